from collections import Counter

from odoo import api, models
from odoo.http import request
from odoo.tools import SQL

from ..connectors.errors import StatementInvalid
from ..const import MAX_REFERENCE
from ..services import statement_file
from ..services.api_rows import FITTING_STATES, id_error, update_codes
from ..services.field_rules import is_text
from .g2p_bridge import BANK_GROUP
from .g2p_bridge_error import BridgeError
from .pipeline_statement import WAS_SENT

#: in the environment of a request: its upload was counted, however often Odoo runs it again
_COUNTED = "g2p_bridge.upload_is_counted"


class Bridge(models.AbstractModel):
    """The bank side of the API: statements, and the bank's word on single payments."""

    _inherit = "g2p.bridge"

    @api.model
    def upload_mt940(self, statement=None, filename=None):
        """Take statements of one or more funding accounts: MT940, camt.053, camt.054, camt.052.

        The file is checked at once; its entries are matched by a job. The same file again gets
        the first answer.

        :param str statement: the file's text
        :param str filename: its name
        :return: dict of ``statement_id`` and ``statements``: list of dicts of ``statement_id``,
            ``kind`` (statement, notification, report), ``statement_number``,
            ``statement_sequence``, ``status`` (received, held, processed, dismissed) and
            ``hold_reason``
        """
        self = self._for_caller(BANK_GROUP)
        self._admit_upload()
        if not isinstance(statement, str) or not statement.strip():
            raise BridgeError("INVALID_STATEMENT", "it is empty")
        try:
            content = statement_file.to_bytes(statement)
        except StatementInvalid as error:
            raise BridgeError("INVALID_STATEMENT", error) from error
        return self._upload_statement(content, filename)

    @api.private
    def _admit_upload(self):
        """Refuse callers without the group, and those that upload too often.

        :raise BridgeError: TOO_MANY_REQUESTS
        """
        self = self._for_caller(BANK_GROUP)
        limit = self._parameter("uploads_per_minute")
        environ = request.httprequest.environ if request else {}
        if limit and not environ.get(_COUNTED):
            self.env["g2p.upload.attempt"].sudo()._admit(limit)
            environ[_COUNTED] = True

    @api.private
    def _upload_statement(self, content, filename):
        """Take a statement's bytes; see :meth:`upload_mt940`."""
        self = self._for_caller(BANK_GROUP)
        name = filename if isinstance(filename, str) and is_text(filename, 255) else ""
        statements = self.env["g2p.account.statement"].sudo()._upload(content, name, self._banks())
        return {
            "statement_id": statements[0].name,
            "statements": [
                {
                    "statement_id": record.name,
                    "kind": record.kind,
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
        self = self._for_caller(BANK_GROUP)
        rows = self._checked_updates(updates)
        # callers may send more than we know; the bank's words come in files only
        self._move_by_status([{**row, "reason": None} for row in rows])
        return self._updates_answer(rows)

    @api.private
    def _move_by_status(self, rows):
        """Have payments follow the bank's word, as far as their states allow it.

        Also for what banks say in files (pain.002). A repeat changes nothing.

        :param list rows: dicts as ``updates``, checked; ``reason`` may hold the bank's words
        """
        disbursements = self.env["g2p.disbursement"].sudo()
        moved = {}
        for status, target in (("accepted", "sent"), ("rejected", "rejected")):
            part = [row for row in rows if row["status"] == status]
            if part:
                moved[target] = disbursements._bulk_transition(target, **_prepare_update(part))
        ended = Counter()
        for envelope_id, _batch_id, count, _amount in moved.get("rejected", ()):
            ended[envelope_id] += count
        for envelope_id, count in sorted(ended.items()):  # in one order: each is locked
            envelope = self.env["g2p.disbursement.envelope"].sudo().browse(envelope_id)
            envelope._enqueue_advance_if_ended(count)

    def _checked_updates(self, updates):
        """Return the updates as dicts of texts, with ``record`` and the codes of their errors.

        :raise BridgeError: the form of a row is wrong; nothing was changed
        """
        if not isinstance(updates, list) or not updates:
            raise BridgeError("EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(updates) > limit:
            raise BridgeError("TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        banks = self._banks()
        ids = [row.get("disbursement_id") for row in updates if isinstance(row, dict)]
        asked = [item for item in ids if is_text(item, MAX_REFERENCE)]
        records = self.env["g2p.disbursement"].sudo().search([("disbursement_id", "in", asked)])
        known = {
            record.disbursement_id for record in records if record.envelope_id.bank_id in banks
        }
        errors = []
        for index, row in enumerate(updates):
            if codes := update_codes(row, known):
                given = row.get("disbursement_id") if isinstance(row, dict) else ""
                errors.append({**id_error(index, given, ""), "response_error_codes": codes})
        if errors:
            raise BridgeError("INVALID_DISBURSEMENT_PAYLOAD", rows=errors)
        return updates

    def _updates_answer(self, rows):
        """Say for each row where its payment stands now, and whether the row contradicts that."""
        ids = [row["disbursement_id"] for row in rows]
        records = self.env["g2p.disbursement"].sudo().search([("disbursement_id", "in", ids)])
        states = {record.disbursement_id: record for record in records}
        answer = []
        for row in rows:
            record = states[row["disbursement_id"]]
            fits = record.state in FITTING_STATES[row["status"]]
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


def _prepare_update(rows):
    """Return the arguments of the transition that status updates ask for."""
    return {
        "where": SQL("d.disbursement_id = v.reference AND %s", WAS_SENT),
        "cause": "update_status_of_disbursements",
        "assign": SQL(
            "bank_reference = coalesce(v.bank_reference, d.bank_reference),"
            " reason_code = v.reason_code, reason = coalesce(v.reason, d.reason)"
        ),
        "from_clause": SQL(
            "unnest(%s::text[], %s::text[], %s::text[], %s::text[])"
            " AS v(reference, bank_reference, reason_code, reason)",
            [row["disbursement_id"] for row in rows],
            [row.get("bank_reference") or None for row in rows],
            [row.get("reason_code") or None for row in rows],
            [row.get("reason") or None for row in rows],
        ),
    }
