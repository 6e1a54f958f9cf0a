"""What is sent and what comes back, as in docs/api.md, under the API's own names.

Amounts are :class:`~decimal.Decimal`, times are in UTC; a time or a day that is not there is None.
Names, texts and account holders are not in the ``repr``: logs and tracebacks are no place for them.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from .wire import amount_text


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEnvelope:
    """One program and cycle, with the control totals of what will follow."""

    benefit_program_mnemonic: str
    disbursement_frequency: str
    cycle_code_mnemonic: str
    number_of_beneficiaries: int
    number_of_disbursements: int
    total_disbursement_amount: Decimal
    disbursement_currency_code: str
    disbursement_schedule_date: date

    def __post_init__(self) -> None:
        amount_text(self.total_disbursement_amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDisbursement:
    """One payment to be made."""

    mis_reference_number: str
    beneficiary_id: str = field(repr=False)
    beneficiary_name: str = field(repr=False)
    disbursement_amount: Decimal
    narrative: str = field(repr=False)

    def __post_init__(self) -> None:
        amount_text(self.disbursement_amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An envelope as the bridge took it."""

    disbursement_envelope_id: str
    benefit_program_mnemonic: str
    disbursement_frequency: str
    cycle_code_mnemonic: str
    number_of_beneficiaries: int
    number_of_disbursements: int
    total_disbursement_amount: Decimal
    disbursement_currency_code: str
    disbursement_schedule_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Disbursement:
    """A payment as the bridge took it; keep its ``disbursement_id`` beside your own reference."""

    mis_reference_number: str
    disbursement_id: str
    disbursement_envelope_id: str
    disbursement_amount: Decimal
    beneficiary_id: str = field(repr=False)
    beneficiary_name: str = field(repr=False)
    narrative: str = field(repr=False)
    receipt_time_stamp: datetime | None
    cancellation_status: str
    cancellation_time_stamp: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledEnvelope:
    """Answer of ``cancel_disbursement_envelope``."""

    disbursement_envelope_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledPayment:
    """Answer of ``cancel_disbursements``, for one of them."""

    disbursement_id: str
    disbursement_envelope_id: str
    cancellation_status: str
    cancellation_time_stamp: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeStatus:
    """How far an envelope is. A payment that came back stays counted as reconciled."""

    disbursement_envelope_id: str
    envelope_status: str
    is_paused: bool
    attention_code: str
    number_of_disbursements_received: int
    total_disbursement_amount_received: Decimal
    funds_available_with_bank: str
    funds_available_latest_timestamp: datetime | None
    funds_available_latest_error_code: str
    funds_available_attempts: int
    funds_blocked_with_bank: str
    funds_blocked_latest_timestamp: datetime | None
    funds_blocked_latest_error_code: str
    funds_blocked_attempts: int
    funds_blocked_reference_number: str
    id_mapper_resolution_required: bool
    number_of_disbursements_shipped: int
    number_of_disbursements_reconciled: int
    number_of_disbursements_reversed: int
    number_of_disbursements_resolved: int
    number_of_disbursements_unresolved: int
    number_of_disbursements_rejected: int
    number_of_disbursements_unknown: int
    number_of_disbursements_cancelled: int
    total_disbursement_amount_shipped: Decimal
    total_disbursement_amount_reconciled: Decimal
    total_disbursement_amount_reversed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconRecord:
    """What the bank's statement says of a payment."""

    bank_disbursement_batch_id: str
    disbursement_id: str
    disbursement_envelope_id: str
    beneficiary_name_from_bank: str = field(repr=False)
    remittance_reference_number: str
    remittance_statement_id: str
    remittance_statement_number: str
    remittance_statement_sequence: str
    remittance_entry_sequence: str
    remittance_entry_date: date | None
    remittance_value_date: date | None
    reversal_found: bool
    reversal_statement_id: str
    reversal_statement_number: str
    reversal_statement_sequence: str
    reversal_entry_sequence: str
    reversal_entry_date: date | None
    reversal_value_date: date | None
    reversal_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReconRecord:
    """An entry with a payment's reference that did not match it."""

    statement_id: str
    statement_number: str
    statement_sequence: str
    entry_sequence: str
    entry_date: date | None
    value_date: date | None
    error_reason: str
    disbursement_id: str
    bank_reference_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconRecords:
    """The statement entries of one payment."""

    disbursement_recon_payloads: tuple[ReconRecord, ...] = ()
    disbursement_error_recon_payloads: tuple[ErrorReconRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DisbursementStatus:
    """What became of a payment; ``response_error_codes`` says so where the id is not known."""

    disbursement_id: str
    status: str
    iso_status: str
    reason_code: str
    reason: str = field(repr=False)
    reissued_as_disbursement_id: str
    reissue_of_disbursement_id: str
    response_error_codes: tuple[str, ...]
    disbursement_recon_records: ReconRecords


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a payment stands now."""

    disbursement_id: str
    disbursement_envelope_id: str
    mis_reference_number: str
    status: str
    iso_status: str
    reason_code: str
    reason: str = field(repr=False)
    reissue_of_disbursement_id: str
    reissued_as_disbursement_id: str
    changed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesPage:
    """One page of changes, and the cursor after it: keep both in one transaction."""

    changes: tuple[Change, ...]
    cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPaid:
    """A payment that reached nobody, and why."""

    disbursement_id: str
    disbursement_envelope_id: str
    mis_reference_number: str
    beneficiary_id: str = field(repr=False)
    disbursement_amount: Decimal
    disbursement_currency_code: str
    kind: str
    status: str
    iso_status: str
    iso_reason_code: str
    iso_reason: str
    reason_code: str
    reason: str = field(repr=False)
    since: datetime | None
    reissued_as_disbursement_id: str
    is_correctable: bool
    not_correctable_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPaidPage:
    """One page of one reading of the payments that reached nobody."""

    exceptions: tuple[NotPaid, ...]
    cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A payment to be tried again; what is None stays as it was."""

    disbursement_id: str
    beneficiary_id: str | None = field(default=None, repr=False)
    beneficiary_name: str | None = field(default=None, repr=False)
    narrative: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedDisbursement:
    """How it is tried again: ``reissued`` as another payment, or ``looked_up_again``."""

    disbursement_id: str
    mis_reference_number: str
    correction: str
    reissued_as_disbursement_id: str
    reissued_as_disbursement_envelope_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement of an uploaded file."""

    statement_id: str
    statement_number: str
    statement_sequence: str
    status: str
    hold_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementUpload:
    """Answer of ``upload_mt940``."""

    statement_id: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """A bank's word on one payment: ``accepted`` or ``rejected``."""

    disbursement_id: str
    status: str
    bank_reference: str | None = None
    reason_code: str | None = None
    value_date: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdateResult:
    """Where that payment stands now, and whether the update contradicts it."""

    disbursement_id: str
    status: str
    response_error_codes: tuple[str, ...]
