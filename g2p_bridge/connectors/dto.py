"""The border between the bridge and a bank: frozen values, amounts as ``Decimal``.

Names follow ISO 20022 (pain.001, camt.053) and SWIFT MT940. No Odoo in here, so a
connector can be written and tested without a database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from .entries import PackedEntries as PackedEntries
from .entries import StatementEntry as StatementEntry
from .entries import total_of

#: kinds of financial address (the ``fa_type`` of OpenG2P's mapper)
BANK_ACCOUNT = "BANK_ACCOUNT"
MOBILE_WALLET = "MOBILE_WALLET"
EMAIL_WALLET = "EMAIL_WALLET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a bank can do, with the settings that it has; each as the connector's flag says it."""

    supports_inquiry: bool = False
    supports_release: bool = False
    honours_idempotency_key: bool = False
    #: a repeated block call holds the funds once; mostly as with payments
    honours_block_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtorAccount:
    """The funding account at the sponsor bank, and how to reach that bank (ISO 20022 DbtrAcct)."""

    bank_code: str
    base_url: str
    account_number: str = field(repr=False)
    branch_code: str = ""
    currency: str  # ISO 4217
    timeout_s: tuple[float, float] = (10, 30)  # to connect; between two bytes of the answer
    secret: str = field(default="", repr=False)  # bearer token of the bank, empty for none
    sign_requests: bool = False  # with the server's key, see connectors/signing.py
    #: further settings of the bank addon, as plain values
    options: dict = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinancialAddress:
    """Where a creditor receives money; empty strings for what does not apply."""

    fa_type: str  # BANK_ACCOUNT, MOBILE_WALLET or EMAIL_WALLET
    account_number: str = field(default="", repr=False)
    bank_code: str = ""
    branch_code: str = ""
    mobile_number: str = field(default="", repr=False)
    email_address: str = field(default="", repr=False)
    wallet_provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One credit transfer as any bank knows it (ISO 20022 CdtTrfTxInf)."""

    end_to_end_id: str  # our disbursement_id, 16x
    amount: Decimal  # > 0, at the currency's scale
    currency: str  # ISO 4217
    creditor_id: str = field(repr=False)  # the program's id of the person
    creditor_name: str = field(repr=False)
    #: None where the program sends ids and the bank knows the accounts
    creditor_account: FinancialAddress | None = field(default=None, repr=False)
    remittance_information: str = ""
    program: str = ""  # mnemonic
    cycle: str = ""  # mnemonic
    requested_date: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsAvailability:
    """Answer of a funds check."""

    is_available: bool
    reason: str = ""  # the bank's words when it is not


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsBlock:
    """Funds the bank holds for us."""

    reference: str


ACCEPTED = "accepted"  # the bank has it and will pay, or has paid
REJECTED = "rejected"  # the bank surely does not pay it
NOT_FOUND = "not_found"  # the bank never got it
UNSEEN = "unseen"  # nothing can be said: neither that the bank has it, nor that it has not


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStatus:
    """What the bank says of one payment."""

    end_to_end_id: str
    status: str  # ACCEPTED, REJECTED, NOT_FOUND or UNSEEN
    bank_reference: str = ""
    reason_code: str = ""  # ISO 20022 external status reason, or the bank's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """The bank took a batch; ``rejected`` names the payments that it refused at once."""

    reference: str = ""
    rejected: tuple[PaymentStatus, ...] = ()


STATEMENT = "statement"  # of a time, with the balances before and after it
NOTIFICATION = "notification"  # camt.054: single entries, ahead of their statement
REPORT = "report"  # camt.052: the entries of a day that is not over


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of one account (MT940 :20: to :62:, camt.053 Stmt), pages joined.

    Of a notification or report (camt.054 Ntfctn, camt.052 Rpt) both balances are zero: it has
    none that count, and ties always.
    """

    reference: str  # :20:, Id
    account_number: str = field(repr=False)  # :25:, Acct
    number: str = ""  # :28C: before the slash, LglSeqNb or ElctrncSeqNb
    sequence: str = ""  # :28C: after it, PgNb; of the last page
    first_sequence: str = ""  # of the first page, where there are several
    currency: str
    opening_balance: Decimal  # signed: a debit balance is negative
    opening_date: date | None = None
    closing_balance: Decimal
    closing_date: date | None = None
    #: of StatementEntry: a tuple will do, PackedEntries take less memory
    entries: Sequence = ()
    kind: str = STATEMENT  # or NOTIFICATION or REPORT
    left_out_count: int = 0  # entries that are not booked yet: they are none of ``entries``

    @property
    def difference(self):
        """Closing balance less opening balance and entries: zero when the statement ties."""
        if self.kind != STATEMENT:
            return Decimal(0)
        return self.closing_balance - self.opening_balance - total_of(self.entries)
