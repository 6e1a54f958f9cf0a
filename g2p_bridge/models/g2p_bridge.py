import io
from datetime import datetime
from decimal import Decimal

from psycopg2 import IntegrityError

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

from ..connectors import masking
from ..const import (
    FREQUENCIES,
    ISO_STATUS,
    MAX_BANK_REFERENCE,
    MAX_CHANGES,
    MAX_COUNT,
    MAX_REASON,
    MAX_REFERENCE,
    MAX_TEXT,
    PARAMETERS,
)
from ..services import canonical, money
from ..services.disbursement_id import new_ids
from ..services.field_rules import is_text, to_count, to_date
from .g2p_bridge_error import BridgeError
from .g2p_disbursement_envelope import CANCELLABLE
from .own_cursor import lock_for_transaction, own_cursor
from .pipeline_statement import WAS_SENT

PBMS_GROUP = "g2p_bridge.group_pbms_api"
BANK_GROUP = "g2p_bridge.group_bank_api"

#: field of a row -> (its rule's code, most characters)
ROW_TEXTS = (
    ("mis_reference_number", "INVALID_MIS_REFERENCE_NUMBER", MAX_REFERENCE),
    ("beneficiary_id", "INVALID_BENEFICIARY_ID", MAX_REFERENCE),
    ("beneficiary_name", "INVALID_BENEFICIARY_NAME", MAX_TEXT),
    ("narrative", "INVALID_NARRATIVE", MAX_TEXT),
)
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Bridge(models.AbstractModel):
    """The API of the bridge, for Odoo's external API (JSON-RPC, XML-RPC, JSON-2).

    Plain JSON in and out. A caller needs the group of the PBMS API or of the Bank API, and
    nothing else in Odoo; what it may touch are the programs (banks) that name it, or that name
    nobody. Refusals are :class:`~.g2p_bridge_error.BridgeError`.
    """

    _name = "g2p.bridge"
    _description = "G2P Bridge API"

    # -- PBMS: envelopes ------------------------------------------------------------------------

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
        self._check_caller(PBMS_GROUP)
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
        program = self._find_program(benefit_program_mnemonic)
        values = self._prepare_envelope_vals(program, request)
        digest = canonical.content_hash(request)
        known = self._known_envelope(program.company_id, idempotency_key, digest)
        if known:
            return self._envelope_answer(known, program, values)
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
        **unchangeable,
    ):
        """Change control totals or schedule date of an envelope that is still receiving.

        What is left out stays. The other fields of the create call are taken when they say what
        stands already, and ignored otherwise, as OpenG2P's bridge does.

        :return: dict as of :meth:`create_disbursement_envelope`
        """
        self._check_caller(PBMS_GROUP)
        envelope = self._find_envelope(disbursement_envelope_id)
        self._wait_for_composition(envelope)
        if envelope.state == "cancelled":
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        if envelope.disbursement_schedule_date <= self._today(envelope.company_id):
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_DATE_PASSED")
        if envelope.state != "receiving":
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_COMPLETE")
        rules = self._control_rules(envelope.currency_id, envelope.company_id)
        given = {
            "number_of_beneficiaries": number_of_beneficiaries,
            "number_of_disbursements": number_of_disbursements,
            "total_disbursement_amount": total_disbursement_amount,
            "disbursement_schedule_date": disbursement_schedule_date,
        }
        given = {name: value for name, value in given.items() if value not in (None, False, "")}
        if not given:
            raise BridgeError(self.env, "AMENDMENT_EMPTY")
        values = {name: rules[name](value) for name, value in given.items()}
        self._amend(envelope, values)
        return self._envelope_answer(
            envelope.disbursement_envelope_id, envelope.program_id, envelope
        )

    @api.model
    def cancel_disbursement_envelope(self, disbursement_envelope_id=None, reason=None):
        """Cancel an envelope of which no money can have moved; blocked funds are released.

        :param str reason: shown to officers, at most 500 characters
        :return: dict with ``disbursement_envelope_id``
        """
        self._check_caller(PBMS_GROUP)
        reason = self._checked_reason(reason)
        envelope = self._find_envelope(disbursement_envelope_id)
        self._wait_for_composition(envelope)
        if envelope.state == "cancelled":
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        if envelope.state not in CANCELLABLE and (
            envelope.state != "needs_attention" or envelope.resume_state not in CANCELLABLE
        ):
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED")
        envelope._set_cancelled(reason, "cancel_disbursement_envelope")
        envelope._enqueue_release_funds()
        return {"disbursement_envelope_id": envelope.disbursement_envelope_id}

    @api.model
    def get_disbursement_envelope_status(self, disbursement_envelope_id=None):
        """Say how far an envelope is: what was received, shipped, paid, reversed; its funds.

        A reversed disbursement stays counted as reconciled, as in OpenG2P's bridge.

        :return: dict; empty texts stand where there is nothing to say
        """
        self._check_caller(PBMS_GROUP)
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
            "funds_available_latest_timestamp": _timestamp(
                envelope.funds_available_latest_timestamp
            ),
            "funds_available_latest_error_code": envelope.funds_available_latest_error_code or "",
            "funds_available_attempts": envelope.funds_available_attempts,
            "funds_blocked_with_bank": envelope.funds_blocked_with_bank,
            "funds_blocked_latest_timestamp": _timestamp(envelope.funds_blocked_latest_timestamp),
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

    # -- PBMS: disbursements --------------------------------------------------------------------

    @api.model
    def create_disbursements(
        self, disbursement_envelope_id=None, disbursements=None, idempotency_key=None
    ):
        """Add disbursements to an envelope: all rows of the call, or none.

        Several callers may send parts of one envelope at the same time. The call that makes count
        and sum equal the declared ones completes the envelope, and its way to the bank begins.

        :param list disbursements: dicts of ``mis_reference_number``, ``beneficiary_id``,
            ``beneficiary_name``, ``disbursement_amount``, ``narrative``
        :param str idempotency_key: a repeat with the same key and content gets the first answer
        :return: list of the rows with their ``disbursement_id``, in the order of the call
        """
        self._check_caller(PBMS_GROUP)
        envelope = self._find_envelope(disbursement_envelope_id)
        self._check_idempotency_key(idempotency_key)
        rows = self._checked_rows(envelope, disbursements)
        digest = canonical.content_hash(rows) if idempotency_key else None
        if self._known_intake(envelope, idempotency_key, digest):
            return self._known_rows_answer(envelope, rows)
        received_at = fields.Datetime.now()
        ids = new_ids(len(rows))
        try:
            with self.env.cr.savepoint(flush=False):
                self._copy_disbursements(envelope, ids, rows, received_at)
        except IntegrityError:
            if self._known_intake(envelope, idempotency_key, digest):
                return self._known_rows_answer(envelope, rows)
            raise self._duplicates_error(envelope, rows) from None
        self._book_intake(envelope, rows, idempotency_key, digest, received_at)
        return _rows_answer(envelope.disbursement_envelope_id, rows, ids, _timestamp(received_at))

    @api.model
    def cancel_disbursements(self, disbursement_ids=None, reason=None):
        """Cancel disbursements of one envelope that no bank call can have taken along: all or none.

        While the envelope is receiving they leave room for replacements; later the rest is paid.

        :param list disbursement_ids: our ids
        :param str reason: shown to officers, at most 500 characters
        :return: list of dicts with ``disbursement_id`` and ``cancellation_status``
        """
        self._check_caller(PBMS_GROUP)
        reason = self._checked_reason(reason)
        found = self._find_disbursements(disbursement_ids)
        envelope = self._only_envelope(found)
        self._wait_for_composition(envelope)
        self._check_cancellable(disbursement_ids, envelope)
        moved = (
            self.env["g2p.disbursement"]
            .sudo()
            ._bulk_transition(
                "cancelled",
                SQL("d.disbursement_id = ANY(%s)", list(disbursement_ids)),
                cause="cancel_disbursements",
                assign=SQL("reason = %s", reason or None),
                is_withdrawal=envelope.state == "receiving",
            )
        )
        if sum(count for *_ids, count, _amount in moved) != len(set(disbursement_ids)):
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED")
        envelope._enqueue_advance()
        now = _timestamp(fields.Datetime.now())
        return [
            {
                "disbursement_id": disbursement_id,
                "disbursement_envelope_id": envelope.disbursement_envelope_id,
                "cancellation_status": "Cancelled",
                "cancellation_time_stamp": now,
                "response_error_codes": [],
            }
            for disbursement_id in disbursement_ids
        ]

    @api.model
    def get_disbursement_status(self, disbursement_ids=None):
        """Say what became of disbursements, with what the bank's statements say of them.

        :param list disbursement_ids: our ids
        :return: list of dicts, in the order of the call; an id that is not the caller's has
            ``INVALID_DISBURSEMENT_ID`` in its ``response_error_codes``
        """
        self._check_caller(PBMS_GROUP)
        found = self._find_disbursements(disbursement_ids, strict=False)
        records = self._recon_records(found)
        return [
            self._disbursement_answer(disbursement_id, found.get(disbursement_id), records)
            for disbursement_id in disbursement_ids
        ]

    @api.model
    def get_disbursement_changes(self, cursor=None, limit=1000):
        """Give what changed since the cursor, so that nobody has to poll all ids.

        Each disbursement appears once, as it stands now, after its latest change. Nothing is left
        out: changes of transactions that may still be under way wait for the next call.

        :param str cursor: of the last answer; None or empty from the beginning
        :param int limit: most changes, up to 10,000
        :return: dict of ``changes``, ``cursor`` for the next call, ``has_more``
        """
        self._check_caller(PBMS_GROUP)
        if to_count(limit, MAX_CHANGES) is None:
            raise BridgeError(self.env, "INVALID_LIMIT")
        after = self._parse_cursor(cursor)
        programs = self._programs()
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT d.id, d.changed_xid, d.disbursement_id, e.disbursement_envelope_id,
                       d.mis_reference_number, d.state, d.reason_code, d.reason, d.state_since
                  FROM g2p_disbursement d JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id
                 WHERE (d.changed_xid, d.id) > (%s, %s)
                   AND d.changed_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                   AND e.program_id = ANY(%s)
                 ORDER BY d.changed_xid, d.id LIMIT %s
                """,
                *after,
                programs.ids,
                int(limit),
            )
        )
        last = (rows[-1]["changed_xid"], rows[-1]["id"]) if rows else after
        return {
            "changes": [_change_answer(row) for row in rows],
            "cursor": f"{last[0]}-{last[1]}",
            "has_more": len(rows) == limit,
        }

    # -- bank -----------------------------------------------------------------------------------

    @api.model
    def upload_mt940(self, statement=None, filename=None):
        """Take a statement of one or more funding accounts (MT940).

        The file is checked at once; its entries are matched by a job. The same file again gets
        the first answer.

        :param str statement: the file's text
        :param str filename: its name
        :return: dict of ``statement_id`` and ``statements``: list of dicts of ``statement_id``,
            ``statement_number``, ``statement_sequence``, ``status`` (received, held, processed,
            dismissed) and ``hold_reason``
        """
        self._check_caller(BANK_GROUP)
        if not isinstance(statement, str) or not statement.strip():
            raise BridgeError(self.env, "INVALID_STATEMENT", "it is empty")
        content = statement.encode("utf-8", "surrogatepass")
        return self._upload_statement(content, filename)

    @api.private
    def _upload_statement(self, content, filename):
        """Take a statement's bytes; see :meth:`upload_mt940`."""
        self._check_caller(BANK_GROUP)
        name = filename if isinstance(filename, str) and is_text(filename, 255) else ""
        statements = self.env["g2p.account.statement"].sudo()._upload(content, name, self._banks())
        return {
            "statement_id": statements[0].name,
            "statements": [
                {
                    "statement_id": record.name,
                    "statement_number": record.statement_number or "",
                    "statement_sequence": record.sequence_number or "",
                    "status": record.state,
                    "hold_reason": record.hold_reason or "",
                }
                for record in statements
            ],
        }

    @api.model
    def update_status_of_disbursements(self, updates=None):
        """Take the bank's word on single payments, ahead of its statement.

        :param list updates: dicts of ``disbursement_id``, ``status`` (``accepted`` or
            ``rejected``), ``bank_reference``, ``reason_code``, ``value_date`` (``YYYY-MM-DD``)
        :return: list of dicts with ``disbursement_id``, ``status`` (ours) and
            ``response_error_codes``; a row that contradicts what we know stops no other
        """
        self._check_caller(BANK_GROUP)
        rows = self._checked_updates(updates)
        disbursements = self.env["g2p.disbursement"].sudo()
        envelope_ids = set()
        for status, target in (("accepted", "sent"), ("rejected", "rejected")):
            part = [row for row in rows if row["status"] == status]
            if part:
                moved = disbursements._bulk_transition(target, **_prepare_update(part))
                envelope_ids.update(envelope_id for envelope_id, *_rest in moved)
        self.env["g2p.disbursement.envelope"].sudo().browse(envelope_ids)._enqueue_advance()
        return self._updates_answer(rows)

    # -- who may what ---------------------------------------------------------------------------

    def _check_caller(self, group):
        """Refuse callers without the group, before anything is looked at."""
        if not self.env.user.has_group(group):
            raise AccessError(self.env._("This user may not use this part of the G2P Bridge API."))

    def _programs(self):
        """Return the programs of the caller, for all that follows as superuser."""
        return self._of_caller("g2p.benefit.program")

    def _banks(self):
        """Return the banks that the caller may speak for."""
        return self._of_caller("g2p.sponsor.bank")

    def _of_caller(self, model):
        user = self.env.user
        records = self.env[model].sudo().search([("company_id", "in", user.company_ids.ids)])
        return records.filtered(
            lambda record: not record.api_user_ids or user in record.api_user_ids
        )

    def _find_program(self, mnemonic):
        if isinstance(mnemonic, str):
            for program in self._programs():
                if program.mnemonic == mnemonic:
                    return program
        raise BridgeError(self.env, "INVALID_PROGRAM_MNEMONIC")

    def _find_envelope(self, disbursement_envelope_id):
        if not isinstance(disbursement_envelope_id, str) or not disbursement_envelope_id:
            raise BridgeError(self.env, "INVALID_DISBURSEMENT_ENVELOPE_ID")
        envelope = self.env["g2p.disbursement.envelope"].sudo()
        if is_text(disbursement_envelope_id, MAX_REFERENCE):
            envelope = envelope.search(
                [("disbursement_envelope_id", "=", disbursement_envelope_id)], limit=1
            )
        if not envelope or envelope.program_id not in self._programs():
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_NOT_FOUND")
        return envelope

    # -- envelopes ------------------------------------------------------------------------------

    def _prepare_envelope_vals(self, program, request):
        """Return the checked values of a new envelope (OpenG2P's field rules)."""
        if request["disbursement_frequency"] not in FREQUENCIES:
            raise BridgeError(self.env, "INVALID_DISBURSEMENT_FREQUENCY", ", ".join(FREQUENCIES))
        if not is_text(request["cycle_code_mnemonic"], MAX_REFERENCE):
            raise BridgeError(self.env, "INVALID_CYCLE_CODE_MNEMONIC")
        currency = program.funding_account_id.currency_id
        rules = self._control_rules(currency, program.company_id)
        values = {name: rule(request[name]) for name, rule in rules.items()}
        if request["disbursement_currency_code"] != currency.name:
            raise BridgeError(self.env, "INVALID_DISBURSEMENT_CURRENCY_CODE")
        return {
            **values,
            "disbursement_frequency": request["disbursement_frequency"],
            "cycle_code_mnemonic": request["cycle_code_mnemonic"],
            "currency_id": currency.id,
        }

    def _control_rules(self, currency, company):
        """Return field -> function that checks and converts its value."""

        def count(code):
            def rule(value):
                number = to_count(value, MAX_COUNT)
                if number is None:
                    raise BridgeError(self.env, code)
                return number

            return rule

        def total(value):
            try:
                return float(money.parse_amount(value, currency.decimal_places))
            except money.AmountError as error:
                raise BridgeError(self.env, "INVALID_TOTAL_DISBURSEMENT_AMOUNT") from error

        def schedule_date(value):
            day = to_date(value)
            if day is None or day < self._today(company):
                raise BridgeError(self.env, "INVALID_DISBURSEMENT_SCHEDULE_DATE")
            return day

        return {
            "number_of_beneficiaries": count("INVALID_NO_OF_BENEFICIARIES"),
            "number_of_disbursements": count("INVALID_NO_OF_DISBURSEMENTS"),
            "total_disbursement_amount": total,
            "disbursement_schedule_date": schedule_date,
        }

    def _today(self, company):
        """Return the business day of the company."""
        zone = company.partner_id.tz or "UTC"
        return fields.Date.context_today(self.with_context(tz=zone))

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
            raise BridgeError(self.env, "IDEMPOTENCY_KEY_REUSED")
        return known and known[0]

    def _check_idempotency_key(self, key):
        if key not in (None, False, "") and not is_text(key, MAX_REFERENCE):
            raise BridgeError(self.env, "INVALID_IDEMPOTENCY_KEY")

    def _checked_reason(self, reason):
        if reason in (None, False, ""):
            return ""
        if not is_text(reason, MAX_REASON):
            raise BridgeError(self.env, "INVALID_REASON")
        return reason

    def _envelope_answer(self, envelope_id, program, values):
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

    def _wait_for_composition(self, envelope):
        """Wait for others that change the envelope; a change meanwhile has the call run again."""
        envelope._lock_composition()
        self._wait_for_row(envelope)
        envelope.invalidate_recordset()

    def _wait_for_row(self, envelope):
        self.env.cr.execute(
            "SELECT id FROM g2p_disbursement_envelope WHERE id = %s FOR NO KEY UPDATE",
            [envelope.id],
        )

    def _amend(self, envelope, values):
        count, amount = self._booked(envelope)
        declared_count = values.get("number_of_disbursements", envelope.number_of_disbursements)
        declared = values.get("total_disbursement_amount", envelope.total_disbursement_amount)
        places = envelope.currency_id.decimal_places
        declared = money.parse_amount(declared, places)
        if declared_count < count or declared < amount:
            raise BridgeError(self.env, "AMENDMENT_BELOW_RECEIVED")
        envelope.write(values)
        if (declared_count, declared) == (count, amount):
            self._complete(envelope)

    def _complete(self, envelope):
        envelope._set_ready()
        envelope._enqueue_advance()

    # -- intake ---------------------------------------------------------------------------------

    def _checked_rows(self, envelope, disbursements):
        """Return the rows as tuples of their five values, amounts as Decimal.

        :raise BridgeError: some are wrong; each is named with its index, reference and codes
        """
        if not isinstance(disbursements, list) or not disbursements:
            raise BridgeError(self.env, "EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(disbursements) > limit:
            raise BridgeError(self.env, "TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        places = envelope.currency_id.decimal_places
        envelope_id = envelope.disbursement_envelope_id
        rows, errors, seen = [], [], set()
        for index, given in enumerate(disbursements):
            row, codes = _checked_row(given, places, seen)
            rows.append(row)
            if codes:
                errors.append(_row_error(index, given, codes))
            elif given.get("disbursement_envelope_id", envelope_id) != envelope_id:
                raise BridgeError(self.env, "MULTIPLE_ENVELOPES_FOUND")
        if errors:
            raise BridgeError(self.env, "INVALID_DISBURSEMENT_PAYLOAD", rows=errors)
        return rows

    def _known_intake(self, envelope, idempotency_key, digest):
        """Say whether a call with this key and content was booked before.

        :raise BridgeError: the key came with other content
        """
        if not idempotency_key:
            return False
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT content_hash FROM g2p_disbursement_journal"
                " WHERE envelope_id = %s AND idempotency_key = %s",
                [envelope.id, idempotency_key],
            )
            known = cr.fetchone()
        if known and known[0] != digest:
            raise BridgeError(self.env, "IDEMPOTENCY_KEY_REUSED")
        return bool(known)

    def _known_rows_answer(self, envelope, rows):
        references = [row[0] for row in rows]
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT mis_reference_number, disbursement_id, received_at FROM g2p_disbursement"
                " WHERE envelope_id = %s AND mis_reference_number = ANY(%s)",
                [envelope.id, references],
            )
            known = {reference: (given_id, at) for reference, given_id, at in cr.fetchall()}
        received_at = _timestamp(known[references[0]][1])
        ids = [known[reference][0] for reference in references]
        return _rows_answer(envelope.disbursement_envelope_id, rows, ids, received_at)

    def _duplicates_error(self, envelope, rows):
        """Return the error that names the rows whose reference the envelope has already."""
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT mis_reference_number FROM g2p_disbursement"
                " WHERE envelope_id = %s AND mis_reference_number = ANY(%s)",
                [envelope.id, [row[0] for row in rows]],
            )
            known = {reference for (reference,) in cr.fetchall()}
        errors = [
            _row_error(index, {"mis_reference_number": row[0]}, ["DUPLICATE_MIS_REFERENCE_NUMBER"])
            for index, row in enumerate(rows)
            if row[0] in known
        ]
        return BridgeError(self.env, "INVALID_DISBURSEMENT_PAYLOAD", rows=errors)

    def _copy_disbursements(self, envelope, ids, rows, received_at):
        """Insert the rows with one COPY.

        :raise IntegrityError: one of the references stands in the envelope already
        """
        self.env.cr.execute("SELECT pg_current_xact_id()::text")
        xid = self.env.cr.fetchone()[0]
        head = f"{envelope.id}\treceived\t{received_at}\t{received_at}\t{xid}"
        lines = "".join(
            f"{head}\t{given_id}\t{amount}\t{_escaped(reference)}\t{_escaped(person)}"
            f"\t{_escaped(name)}\t{_escaped(narrative)}\n"
            for given_id, (reference, person, name, amount, narrative) in zip(
                ids, rows, strict=True
            )
        )
        self.env.cr.copy_expert(
            "COPY g2p_disbursement (envelope_id, state, received_at, state_since, changed_xid,"
            " disbursement_id, amount, mis_reference_number, beneficiary_id, beneficiary_name,"
            " narrative) FROM STDIN",
            io.StringIO(lines),
        )

    def _book_intake(self, envelope, rows, idempotency_key, digest, received_at):
        """Count the call in, against the declared totals.

        Calls of one envelope pass here one by one, from the lock to their commit; what the
        others booked is read past our snapshot.

        :raise BridgeError: the envelope takes no more, or not so much
        """
        count, amount = len(rows), sum(row[3] for row in rows)
        envelope._lock_composition()
        state, declared_count, declared = self._declared(envelope)
        self._check_receiving(state)
        booked_count, booked = self._booked(envelope)
        if booked_count + count > declared_count:
            raise BridgeError(self.env, "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED")
        if booked + amount > declared:
            raise BridgeError(self.env, "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED")
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement_journal
                       (envelope_id, target, disbursement_count, amount, cause, user_id,
                        created_at, idempotency_key, content_hash)
                VALUES (%s, 'received', %s, %s, 'create_disbursements', %s, %s, %s, %s)
                """,
                envelope.id,
                count,
                amount,
                self.env.uid,
                received_at,
                idempotency_key or None,
                digest,
            )
        )
        if (booked_count + count, booked + amount) == (declared_count, declared):
            self._wait_for_row(envelope)
            self._complete(envelope)

    def _check_receiving(self, state):
        if state == "cancelled":
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        if state != "receiving":
            raise BridgeError(self.env, "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED")

    def _declared(self, envelope):
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT state, number_of_disbursements, total_disbursement_amount::text"
                " FROM g2p_disbursement_envelope WHERE id = %s",
                [envelope.id],
            )
            state, count, amount = cr.fetchone()
        return state, count, Decimal(amount)

    def _booked(self, envelope):
        """Return count and sum that all committed calls booked, less what was withdrawn."""
        with own_cursor(self.env) as cr:
            cr.execute(
                """
                SELECT coalesce(sum(CASE WHEN is_withdrawal THEN -disbursement_count
                                         ELSE disbursement_count END), 0)::bigint,
                       coalesce(sum(CASE WHEN is_withdrawal THEN -amount ELSE amount END), 0)::text
                  FROM g2p_disbursement_journal
                 WHERE envelope_id = %s AND (source IS NULL OR is_withdrawal)
                """,
                [envelope.id],
            )
            count, amount = cr.fetchone()
        return count, Decimal(amount)

    # -- disbursements --------------------------------------------------------------------------

    def _find_disbursements(self, disbursement_ids, strict=True):
        """Return id -> record of what the caller may see.

        :raise BridgeError: INVALID_DISBURSEMENT_ID when none is known, INVALID_DISBURSEMENT_PAYLOAD
            when some are not (``strict``), EMPTY_DISBURSEMENT_PAYLOAD
        """
        if not isinstance(disbursement_ids, list) or not disbursement_ids:
            raise BridgeError(self.env, "EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(disbursement_ids) > limit:
            raise BridgeError(self.env, "TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        asked = [item for item in disbursement_ids if is_text(item, MAX_REFERENCE)]
        records = self.env["g2p.disbursement"].sudo().search([("disbursement_id", "in", asked)])
        programs = self._programs()
        found = {
            record.disbursement_id: record for record in records if record.program_id in programs
        }
        if strict:
            self._check_all_found(disbursement_ids, found)
        return found

    def _check_all_found(self, disbursement_ids, found):
        unknown = [
            _id_error(index, item, "INVALID_DISBURSEMENT_ID")
            for index, item in enumerate(disbursement_ids)
            if not isinstance(item, str) or item not in found
        ]
        if unknown:
            code = "INVALID_DISBURSEMENT_PAYLOAD" if found else "INVALID_DISBURSEMENT_ID"
            raise BridgeError(self.env, code, rows=unknown)

    def _only_envelope(self, found):
        envelopes = {record.envelope_id for record in found.values()}
        if len(envelopes) > 1:
            raise BridgeError(self.env, "MULTIPLE_ENVELOPES_FOUND")
        return envelopes.pop()

    def _check_cancellable(self, disbursement_ids, envelope):
        if envelope.state == "cancelled":
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        states = dict(
            self.env.execute_query(
                SQL(
                    "SELECT disbursement_id, state FROM g2p_disbursement"
                    " WHERE disbursement_id = ANY(%s)",
                    list(disbursement_ids),
                )
            )
        )
        cancelled = [
            _id_error(index, item, "DISBURSEMENT_ALREADY_CANCELED")
            for index, item in enumerate(disbursement_ids)
            if states[item] == "cancelled"
        ]
        if cancelled:
            raise BridgeError(self.env, "INVALID_DISBURSEMENT_PAYLOAD", rows=cancelled)
        open_states = self.env["g2p.disbursement"]._TRANSITIONS["cancelled"]
        if any(states[item] not in open_states for item in disbursement_ids):
            raise BridgeError(self.env, "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED")

    def _recon_records(self, found):
        """Return disbursement row id -> list of its statement entries, oldest first."""
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT l.matched_disbursement_id, l.outcome, l.error_reason, l.entry_sequence,
                       l.entry_date, l.value_date, l.bank_reference, l.reversal_reason,
                       l.beneficiary_name_from_bank, l.disbursement_reference,
                       s.name, s.statement_number, s.sequence_number
                  FROM g2p_account_statement_line l
                  JOIN g2p_account_statement s ON s.id = l.statement_id
                 WHERE l.matched_disbursement_id = ANY(%s) ORDER BY l.id
                """,
                [record.id for record in found.values()],
            )
        )
        records = {}
        for row in rows:
            records.setdefault(row["matched_disbursement_id"], []).append(row)
        return records

    def _disbursement_answer(self, disbursement_id, record, records):
        entries = records.get(record.id, []) if record else []
        debit = next((row for row in entries if row["outcome"] == "reconciled"), None)
        credit = next((row for row in entries if row["outcome"] == "reversed"), None)
        return {
            "disbursement_id": disbursement_id if isinstance(disbursement_id, str) else "",
            "status": record.state if record else "",
            "iso_status": record.iso_status if record else "",
            "reason_code": record.reason_code or "" if record else "",
            "reason": record.reason or "" if record else "",
            "response_error_codes": [] if record else ["INVALID_DISBURSEMENT_ID"],
            "disbursement_recon_records": {
                "disbursement_recon_payloads": [_recon_answer(record, debit, credit)]
                if debit
                else [],
                "disbursement_error_recon_payloads": [
                    _error_recon_answer(record, row) for row in entries if row["outcome"] == "error"
                ],
            },
        }

    def _parse_cursor(self, cursor):
        """Return (transaction number, row id) after which the next page begins."""
        if cursor in (None, False, ""):
            return (0, 0)
        xid, _dash, row_id = cursor.partition("-") if isinstance(cursor, str) else ("", "", "")
        if not (xid.isascii() and xid.isdigit() and row_id.isascii() and row_id.isdigit()):
            raise BridgeError(self.env, "INVALID_CURSOR")
        self.env.cr.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        # a number that no transaction here can have had: the database was restored elsewhere
        if int(xid) >= self.env.cr.fetchone()[0] or len(row_id) > 10:
            raise BridgeError(self.env, "INVALID_CURSOR")
        return (int(xid), int(row_id))

    # -- status updates of the bank -------------------------------------------------------------

    def _checked_updates(self, updates):
        """Return the updates as dicts of texts, with ``record`` and the codes of their errors.

        :raise BridgeError: the form of a row is wrong; nothing was changed
        """
        if not isinstance(updates, list) or not updates:
            raise BridgeError(self.env, "EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(updates) > limit:
            raise BridgeError(self.env, "TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        banks = self._banks()
        ids = [row.get("disbursement_id") for row in updates if isinstance(row, dict)]
        asked = [item for item in ids if is_text(item, MAX_REFERENCE)]
        records = self.env["g2p.disbursement"].sudo().search([("disbursement_id", "in", asked)])
        known = {
            record.disbursement_id for record in records if record.envelope_id.bank_id in banks
        }
        errors = []
        for index, row in enumerate(updates):
            if codes := _update_codes(row, known):
                given = row.get("disbursement_id") if isinstance(row, dict) else ""
                errors.append({**_id_error(index, given, ""), "response_error_codes": codes})
        if errors:
            raise BridgeError(self.env, "INVALID_DISBURSEMENT_PAYLOAD", rows=errors)
        return updates

    def _updates_answer(self, rows):
        """Say for each row where its payment stands now, and whether the row contradicts that."""
        ids = [row["disbursement_id"] for row in rows]
        records = self.env["g2p.disbursement"].sudo().search([("disbursement_id", "in", ids)])
        states = {record.disbursement_id: record for record in records}
        answer = []
        for row in rows:
            record = states[row["disbursement_id"]]
            fits = record.state in _FITTING_STATES[row["status"]]
            if not fits:
                record.envelope_id.message_post(
                    body=self.env._(
                        "The bank says %(status)s of %(id)s, which is %(state)s here.",
                        status=row["status"],
                        id=record.disbursement_id,
                        state=record.state,
                    )
                )
            answer.append(
                {
                    "disbursement_id": record.disbursement_id,
                    "status": record.state,
                    "response_error_codes": [] if fits else ["STATUS_CONTRADICTS"],
                }
            )
        return answer

    # -- settings -------------------------------------------------------------------------------

    @api.private
    def _parameter(self, name):
        """Return a setting of the bridge, a whole number; its default where it is not set well."""
        key = f"g2p_bridge.{name}"
        value = self.env["ir.config_parameter"].sudo().get_param(key)
        return int(value) if value and value.isdigit() and int(value) else PARAMETERS[key]

    @api.private
    def _mask(self, account_number):
        """Return an account number as it may be shown."""
        return masking.mask_account(account_number)


_FITTING_STATES = {
    "accepted": ("sent", "reconciled", "reversed"),
    "rejected": ("rejected",),
}


def _timestamp(value):
    """Return an ISO 8601 time without zone, UTC, as OpenG2P's answers have it; empty for none."""
    return value.isoformat() if isinstance(value, datetime) else ""


def _escaped(text):
    """Return a text as COPY's text format takes it."""
    return text.translate(_COPY_ESCAPES) if "\\" in text else text


def _checked_row(given, places, seen):
    """Return (tuple of values, list of codes) of one row; ``seen`` holds the references so far."""
    if not isinstance(given, dict):
        return None, ["INVALID_DISBURSEMENT_PAYLOAD"]
    codes = []
    amount = None
    try:
        amount = money.parse_amount(given.get("disbursement_amount"), places)
    except money.AmountError:
        codes.append("INVALID_DISBURSEMENT_AMOUNT")
    codes += [code for name, code, longest in ROW_TEXTS if not is_text(given.get(name), longest)]
    reference = given.get("mis_reference_number")
    if isinstance(reference, str):
        if reference in seen:
            codes.append("DUPLICATE_MIS_REFERENCE_NUMBER")
        seen.add(reference)
    row = (
        reference,
        given.get("beneficiary_id"),
        given.get("beneficiary_name"),
        amount,
        given.get("narrative"),
    )
    return row, codes


def _row_error(index, given, codes):
    reference = given.get("mis_reference_number") if isinstance(given, dict) else None
    return {
        "index": index,
        "mis_reference_number": reference[:MAX_REFERENCE] if isinstance(reference, str) else "",
        "response_error_codes": codes,
    }


def _id_error(index, disbursement_id, code):
    return {
        "index": index,
        "disbursement_id": disbursement_id[:MAX_REFERENCE]
        if isinstance(disbursement_id, str)
        else "",
        "response_error_codes": [code],
    }


def _rows_answer(envelope_id, rows, ids, received_at):
    return [
        {
            "mis_reference_number": reference,
            "disbursement_id": given_id,
            "disbursement_envelope_id": envelope_id,
            "beneficiary_id": person,
            "beneficiary_name": name,
            "disbursement_amount": float(amount),
            "narrative": narrative,
            "receipt_time_stamp": received_at,
            "cancellation_status": "Not_Cancelled",
            "cancellation_time_stamp": "",
            "response_error_codes": [],
        }
        for given_id, (reference, person, name, amount, narrative) in zip(ids, rows, strict=True)
    ]


def _change_answer(row):
    return {
        "disbursement_id": row["disbursement_id"],
        "disbursement_envelope_id": row["disbursement_envelope_id"],
        "mis_reference_number": row["mis_reference_number"],
        "status": row["state"],
        "iso_status": ISO_STATUS[row["state"]],
        "reason_code": row["reason_code"] or "",
        "reason": row["reason"] or "",
        "changed_at": _timestamp(row["state_since"]),
    }


def _day(value):
    """Return a day as OpenG2P's answers have it: ISO 8601 with midnight."""
    return f"{value.isoformat()}T00:00:00" if value else ""


def _entry_answer(prefix, row):
    """Return the captured fields of one statement entry; empty texts where there is none."""
    row = row or {}
    return {
        f"{prefix}_statement_id": row.get("name") or "",
        f"{prefix}_statement_number": row.get("statement_number") or "",
        f"{prefix}_statement_sequence": row.get("sequence_number") or "",
        f"{prefix}_entry_sequence": str(row.get("entry_sequence") or ""),
        f"{prefix}_entry_date": _day(row.get("entry_date") or row.get("value_date")),
        f"{prefix}_value_date": _day(row.get("value_date")),
    }


def _recon_answer(record, debit, credit):
    return {
        "bank_disbursement_batch_id": record.batch_id.name or "",
        "disbursement_id": record.disbursement_id,
        "disbursement_envelope_id": record.envelope_id.disbursement_envelope_id,
        "beneficiary_name_from_bank": debit["beneficiary_name_from_bank"] or "",
        "remittance_reference_number": debit["bank_reference"] or "",
        **_entry_answer("remittance", debit),
        "reversal_found": bool(credit),
        **_entry_answer("reversal", credit),
        "reversal_reason": (credit and credit["reversal_reason"]) or "",
    }


def _error_recon_answer(record, row):
    return {
        "statement_id": row["name"],
        "statement_number": row["statement_number"] or "",
        "statement_sequence": row["sequence_number"] or "",
        "entry_sequence": str(row["entry_sequence"]),
        "entry_date": _day(row["entry_date"] or row["value_date"]),
        "value_date": _day(row["value_date"]),
        "error_reason": row["error_reason"],
        "disbursement_id": record.disbursement_id,
        "bank_reference_number": row["bank_reference"] or "",
    }


def _prepare_update(rows):
    """Return the arguments of the transition that status updates ask for."""
    return {
        "where": SQL("d.disbursement_id = v.reference AND %s", WAS_SENT),
        "cause": "update_status_of_disbursements",
        "assign": SQL(
            "bank_reference = coalesce(v.bank_reference, d.bank_reference),"
            " reason_code = v.reason_code"
        ),
        "from_clause": SQL(
            "unnest(%s::text[], %s::text[], %s::text[])"
            " AS v(reference, bank_reference, reason_code)",
            [row["disbursement_id"] for row in rows],
            [row.get("bank_reference") or None for row in rows],
            [row.get("reason_code") or None for row in rows],
        ),
    }


def _update_codes(row, known):
    """Return the codes of what is wrong with one status update."""
    if not isinstance(row, dict):
        return ["INVALID_DISBURSEMENT_PAYLOAD"]
    codes = []
    if not isinstance(row.get("disbursement_id"), str) or row["disbursement_id"] not in known:
        codes.append("INVALID_DISBURSEMENT_ID")
    if row.get("status") not in _FITTING_STATES:
        codes.append("INVALID_STATUS")
    for name in ("bank_reference", "reason_code"):
        value = row.get(name)
        if value not in (None, False, "") and not is_text(value, MAX_BANK_REFERENCE):
            codes.append("INVALID_BANK_REFERENCE")
            break
    day = row.get("value_date")
    if day not in (None, False, "") and to_date(day) is None:
        codes.append("INVALID_VALUE_DATE")
    return codes
