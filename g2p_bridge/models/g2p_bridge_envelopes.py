from odoo import api, models

from .. import log_context
from ..const import FREQUENCIES, MAX_COUNT, MAX_REFERENCE
from ..services import canonical, money
from ..services.api_answers import timestamp
from ..services.disbursement_id import new_ids
from ..services.field_rules import is_left_out, is_text, to_count, to_date
from .g2p_bridge import PBMS_GROUP
from .g2p_bridge_error import BridgeError
from .g2p_disbursement_envelope import CANCELLABLE
from .own_cursor import lock_for_transaction, own_cursor


class Bridge(models.AbstractModel):
    """The PBMS side of the API: envelopes."""

    _inherit = "g2p.bridge"

    @api.model
    def create_disbursement_envelope(
        self,
        benefit_program_mnemonic=None,
        disbursement_frequency=None,
        cycle_code_mnemonic=None,
        number_of_beneficiaries=None,
        number_of_disbursements=None,
        total_disbursement_amount=None,
        disbursement_currency_code=None,
        disbursement_schedule_date=None,
        idempotency_key=None,
    ):
        """Open an envelope with its control totals; its disbursements follow.

        :param str benefit_program_mnemonic: program, as configured here
        :param str disbursement_frequency: one of :data:`~..const.FREQUENCIES`
        :param str cycle_code_mnemonic: cycle, such as ``2026-11``
        :param int number_of_beneficiaries: at least 1
        :param int number_of_disbursements: at least 1
        :param total_disbursement_amount: JSON number or decimal text, in units of the currency
        :param str disbursement_currency_code: ISO 4217
        :param str disbursement_schedule_date: ``YYYY-MM-DD``, today or later
        :param str idempotency_key: a repeat with the same key and content gets the first answer
        :return: dict of the same fields and ``disbursement_envelope_id``
        """
        self = self._for_caller(PBMS_GROUP)
        request = {
            "benefit_program_mnemonic": benefit_program_mnemonic,
            "disbursement_frequency": disbursement_frequency,
            "cycle_code_mnemonic": cycle_code_mnemonic,
            "number_of_beneficiaries": number_of_beneficiaries,
            "number_of_disbursements": number_of_disbursements,
            "total_disbursement_amount": total_disbursement_amount,
            "disbursement_currency_code": disbursement_currency_code,
            "disbursement_schedule_date": disbursement_schedule_date,
        }
        return self._open_envelope(
            self._find_program(benefit_program_mnemonic), request, idempotency_key
        )

    @api.private
    def _open_envelope(self, program, request, idempotency_key):
        """Open an envelope of a program: the one way in, for the API and for files.

        :param dict request: the other arguments of :meth:`create_disbursement_envelope`
        :return: as there
        """
        values = self._prepare_envelope_vals(program, request)
        digest = canonical.content_hash(request)
        known = self._known_envelope(program.company_id, idempotency_key, digest)
        if known:
            return self._envelope_answer(known, program, values)
        # not before: what was created yesterday for yesterday is still known by its key
        self._check_not_past(values, program.company_id)
        values.update(
            disbursement_envelope_id=new_ids(1)[0],
            program_id=program.id,
            funding_account_id=program.funding_account_id.id,
            id_mapper_resolution_required=program.id_mapper_resolution_required,
            idempotency_key=idempotency_key,
            content_hash=digest,
            created_by_id=self.env.uid,
        )
        envelope = self.env["g2p.disbursement.envelope"].sudo().create(values)
        return self._envelope_answer(envelope.disbursement_envelope_id, program, values)

    @api.model
    def amend_disbursement_envelope(
        self,
        disbursement_envelope_id=None,
        number_of_beneficiaries=None,
        number_of_disbursements=None,
        total_disbursement_amount=None,
        disbursement_schedule_date=None,
        benefit_program_mnemonic=None,
        disbursement_frequency=None,
        cycle_code_mnemonic=None,
        disbursement_currency_code=None,
    ):
        """Change control totals or schedule date of an envelope that is still receiving.

        What is left out stays. The other fields of the create call are taken, and ignored, as
        OpenG2P's bridge does.

        :return: dict as of :meth:`create_disbursement_envelope`
        """
        self = self._for_caller(PBMS_GROUP)
        envelope = self._find_envelope(disbursement_envelope_id)
        given = {
            "number_of_beneficiaries": number_of_beneficiaries,
            "number_of_disbursements": number_of_disbursements,
            "total_disbursement_amount": total_disbursement_amount,
            "disbursement_schedule_date": disbursement_schedule_date,
        }
        given = {name: value for name, value in given.items() if not is_left_out(value)}
        with self._alone_with(envelope) as alone:
            self._check_amendable(alone)
            if not given:
                raise BridgeError("AMENDMENT_EMPTY")
            rules = self._control_rules(envelope.currency_id)
            values = {name: rules[name](value) for name, value in given.items()}
            self._check_not_past(values, envelope.company_id)
            self._amend(alone, values)
            return self._envelope_answer(alone.disbursement_envelope_id, alone.program_id, alone)

    @api.model
    def cancel_disbursement_envelope(self, disbursement_envelope_id=None, reason=None):
        """Cancel an envelope of which no money can have moved; blocked funds are released.

        :param str reason: shown to officers, at most 500 characters
        :return: dict with ``disbursement_envelope_id``
        """
        self = self._for_caller(PBMS_GROUP)
        reason = self._checked_reason(reason)
        envelope = self._find_envelope(disbursement_envelope_id)
        with self._alone_with(envelope) as alone:
            if alone.state == "cancelled":
                raise BridgeError("DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
            if alone.state not in CANCELLABLE and (
                alone.state != "needs_attention" or alone.resume_state not in CANCELLABLE
            ):
                raise BridgeError("DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED")
            alone._set_cancelled(reason, "cancel_disbursement_envelope")
            alone._enqueue_release_funds()
        return {"disbursement_envelope_id": envelope.disbursement_envelope_id}

    @api.model
    def get_disbursement_envelope_status(self, disbursement_envelope_id=None):
        """Say how far an envelope is: what was received, shipped, paid, reversed; its funds.

        A reversed disbursement stays counted as reconciled, as in OpenG2P's bridge.

        :return: dict; empty texts stand where there is nothing to say
        """
        self = self._for_caller(PBMS_GROUP)
        envelope = self._find_envelope(disbursement_envelope_id)
        reconciled = envelope.reconciled_count + envelope.reversed_count
        return {
            "disbursement_envelope_id": envelope.disbursement_envelope_id,
            "envelope_status": envelope.state,
            "is_paused": envelope.is_paused,
            "attention_code": envelope.attention_code or "",
            "number_of_disbursements_received": envelope.total_received_count,
            "total_disbursement_amount_received": envelope.total_received_amount,
            "funds_available_with_bank": envelope.funds_available_with_bank,
            "funds_available_latest_timestamp": timestamp(
                envelope.funds_available_latest_timestamp
            ),
            "funds_available_latest_error_code": envelope.funds_available_latest_error_code or "",
            "funds_available_attempts": envelope.funds_available_attempts,
            "funds_blocked_with_bank": envelope.funds_blocked_with_bank,
            "funds_blocked_latest_timestamp": timestamp(envelope.funds_blocked_latest_timestamp),
            "funds_blocked_latest_error_code": envelope.funds_blocked_latest_error_code or "",
            "funds_blocked_attempts": envelope.funds_blocked_attempts,
            "funds_blocked_reference_number": envelope.funds_blocked_reference_number or "",
            "id_mapper_resolution_required": envelope.id_mapper_resolution_required,
            "number_of_disbursements_shipped": envelope.shipped_count,
            "number_of_disbursements_reconciled": reconciled,
            "number_of_disbursements_reversed": envelope.reversed_count,
            "number_of_disbursements_resolved": envelope.total_received_count
            - envelope.received_count
            - envelope.unresolved_count
            - envelope.cancelled_count,
            "number_of_disbursements_unresolved": envelope.unresolved_count,
            "number_of_disbursements_rejected": envelope.rejected_count,
            "number_of_disbursements_unknown": envelope.unknown_count,
            "number_of_disbursements_cancelled": envelope.cancelled_count,
            "total_disbursement_amount_shipped": envelope.shipped_amount,
            "total_disbursement_amount_reconciled": envelope.currency_id.round(
                envelope.reconciled_amount + envelope.reversed_amount
            ),
            "total_disbursement_amount_reversed": envelope.reversed_amount,
        }

    # -- rules and helpers ----------------------------------------------------------------------

    def _prepare_envelope_vals(self, program, request):
        """Return the checked values of a new envelope (OpenG2P's field rules)."""
        if request["disbursement_frequency"] not in FREQUENCIES:
            raise BridgeError("INVALID_DISBURSEMENT_FREQUENCY", ", ".join(FREQUENCIES))
        if not is_text(request["cycle_code_mnemonic"], MAX_REFERENCE):
            raise BridgeError("INVALID_CYCLE_CODE_MNEMONIC")
        currency = program.funding_account_id.currency_id
        rules = self._control_rules(currency)
        values = {name: rule(request[name]) for name, rule in rules.items()}
        if request["disbursement_currency_code"] != currency.name:
            raise BridgeError("INVALID_DISBURSEMENT_CURRENCY_CODE")
        return {
            **values,
            "disbursement_frequency": request["disbursement_frequency"],
            "cycle_code_mnemonic": request["cycle_code_mnemonic"],
            "currency_id": currency.id,
        }

    def _check_not_past(self, values, company):
        day = values.get("disbursement_schedule_date")
        if day and day < self._today(company):
            raise BridgeError("INVALID_DISBURSEMENT_SCHEDULE_DATE")

    def _control_rules(self, currency):
        """Return field -> function that checks and converts its value."""

        def count(code):
            def rule(value):
                number = to_count(value, MAX_COUNT)
                if number is None:
                    raise BridgeError(code)
                return number

            return rule

        def total(value):
            try:
                return float(money.parse_amount(value, currency.decimal_places))
            except money.AmountError as error:
                raise BridgeError("INVALID_TOTAL_DISBURSEMENT_AMOUNT") from error

        def schedule_date(value):
            day = to_date(value)
            if day is None:
                raise BridgeError("INVALID_DISBURSEMENT_SCHEDULE_DATE")
            return day

        return {
            "number_of_beneficiaries": count("INVALID_NO_OF_BENEFICIARIES"),
            "number_of_disbursements": count("INVALID_NO_OF_DISBURSEMENTS"),
            "total_disbursement_amount": total,
            "disbursement_schedule_date": schedule_date,
        }

    def _known_envelope(self, company, idempotency_key, digest):
        """Return the envelope id that was given for this key before, or None."""
        self._check_idempotency_key(idempotency_key)
        if not idempotency_key:
            return None
        lock_for_transaction(
            self.env.cr, f"g2p.disbursement.envelope.key:{company.id}:{idempotency_key}"
        )
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT disbursement_envelope_id, content_hash FROM g2p_disbursement_envelope"
                " WHERE company_id = %s AND idempotency_key = %s",
                [company.id, idempotency_key],
            )
            known = cr.fetchone()
        if known and known[1] != digest:
            raise BridgeError("IDEMPOTENCY_KEY_REUSED")
        return known and known[0]

    def _envelope_answer(self, envelope_id, program, values):
        log_context.note(envelope=envelope_id)
        return {
            "disbursement_envelope_id": envelope_id,
            "benefit_program_mnemonic": program.mnemonic,
            "disbursement_frequency": values["disbursement_frequency"],
            "cycle_code_mnemonic": values["cycle_code_mnemonic"],
            "number_of_beneficiaries": values["number_of_beneficiaries"],
            "number_of_disbursements": values["number_of_disbursements"],
            "total_disbursement_amount": values["total_disbursement_amount"],
            "disbursement_currency_code": program.currency_id.name,
            "disbursement_schedule_date": values["disbursement_schedule_date"].isoformat(),
        }

    def _check_amendable(self, envelope):
        if envelope.state == "cancelled":
            raise BridgeError("DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        if envelope.disbursement_schedule_date <= self._today(envelope.company_id):
            raise BridgeError("DISBURSEMENT_ENVELOPE_DATE_PASSED")
        if envelope.state != "receiving" or envelope.reissued_from_id:
            raise BridgeError("DISBURSEMENT_ENVELOPE_COMPLETE")

    def _amend(self, envelope, values):
        books = self._books(envelope)
        declared_count = values.get("number_of_disbursements", envelope.number_of_disbursements)
        declared = values.get("total_disbursement_amount", envelope.total_disbursement_amount)
        places = envelope.currency_id.decimal_places
        declared = money.parse_amount(declared, places)
        if declared_count < books.count or declared < books.amount:
            raise BridgeError("AMENDMENT_BELOW_RECEIVED")
        envelope.write(values)
        if (declared_count, declared) == (books.count, books.amount):
            self._complete(envelope)
