"""What a file of the bank says, booked: statements by their door, reports by the API's way."""

from decimal import Decimal

from odoo import api, models
from odoo.exceptions import ConcurrencyError
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors import masking
from odoo.addons.g2p_bridge.connectors.dto import REJECTED
from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError
from odoo.addons.g2p_bridge.services.api_rows import FITTING_STATES
from odoo.addons.queue_job.exception import RetryableJobError

from ..messages import pain001, pain002
from ..messages.errors import MessageError
from ..messages.reasons import DUPLICATES
from .bank_file_inbox import let_go_of_content

_STATEMENTS = ("camt.052", "camt.053", "camt.054", "mt940")
#: payments that a message in the chatter names
_NAMED = 10


class BankFile(models.Model):
    """Read once, by a job of its own; a bad file stops no other."""

    _inherit = "g2p.bank.file"

    @api.private
    def _process_bank_file(self):
        """Book what the file says (queue job); what was read before is left alone.

        :raise RetryableJobError: another transaction is in the way
        """
        self.ensure_one()
        self._lock_for_job("the file is being read", seconds=5)
        if self.state != "received":
            return f"not due ({self.state})"
        try:
            with self.env.cr.savepoint():
                self._book()
        except BridgeError as error:
            hint = self.env["g2p.account.statement"]._upload_hint(error.code)
            self._set_error(error.code, error.sentence, hint or self._hint_unreadable())
        except MessageError as error:
            self._set_error(error.code, str(error), self._hint_unreadable())
        except ConcurrencyError as error:
            raise RetryableJobError(str(error), seconds=5, ignore_retry=True) from error
        self._enqueue_tidy()
        let_go_of_content(self.env, self.size)
        return self.state

    def _hint_unreadable(self):
        return self.env._("Compare it with what the bank agreed to send, and have it sent again.")

    def _book(self):
        content = self.attachment_id.raw
        if self.kind in _STATEMENTS:
            return self._book_statements(content)
        if self.kind == "pain.002":
            return self._book_status_report(pain002.parse(content))
        if self.kind == "other":
            return self._set_ignored(
                self.env._(
                    "A %s is not needed: what it says comes in statements and status reports, too.",
                    self.message_type,
                )
            )
        return self._set_error(
            "UNKNOWN_FORMAT",
            self.env._("It is neither an ISO 20022 message nor an MT940 statement."),
            self._hint_unreadable(),
        )

    def _book_statements(self, content):
        statements = self.env["g2p.account.statement"]._upload(content, self.name, self.bank_id)
        return self._set_processed(
            self.env._("Statements: %s", len(statements)), statement_ids=[(6, 0, statements.ids)]
        )

    # -- status reports -------------------------------------------------------------------------

    def _book_status_report(self, report):
        """Have the payments of one of our messages follow what the bank says of them."""
        self.message_id = report.message_id
        batch, call = self._find_order(report.original_message_id)
        problem = self._problem_of(report, batch)
        if problem:
            return self._set_error(*problem, batch_id=batch.id)
        rows, doubtful = self._prepare_rows(report, batch)
        if call:
            self._say_what_became_of(batch, call, rows)
        self.env["g2p.bridge"]._move_by_status(rows)
        contradicted = self._find_contradicted(rows)
        counts = {
            "batch_id": batch.id,
            "accepted_count": sum(row["status"] == "accepted" for row in rows),
            "rejected_count": sum(row["status"] == "rejected" for row in rows),
            "contradicted_count": len(contradicted) + len(doubtful),
        }
        if contradicted:
            self._tell_contradiction(batch.envelope_id, contradicted)
        if contradicted or doubtful:
            return self._set_error(
                "STATUS_CONTRADICTS",
                self.env._(
                    "Of some payments it says what cannot be, or what does not fit to what is"
                    " known; nothing was changed for these. First: %s",
                    ", ".join([*contradicted, *doubtful][:_NAMED]),
                ),
                self.env._("Ask the bank what became of them; statements decide."),
                **counts,
            )
        return self._set_processed(
            self.env._(
                "Accepted: %(accepted)s, rejected: %(rejected)s",
                accepted=counts["accepted_count"],
                rejected=counts["rejected_count"],
            ),
            **counts,
        )

    def _find_order(self, message_id):
        """Return (batch, call) of one of our messages to this bank; the call where it is open.

        A batch whose answer was lost does not have its reference yet: the message id is made of the
        key of its call.
        """
        batches = self.env["g2p.disbursement.batch"]
        mine = [("bank_id", "=", self.bank_id.id)]
        batch = batches.search([*mine, ("bank_reference", "=", message_id)], limit=1)
        if batch:
            return batch, None
        rows = self.env.execute_query(
            SQL(
                """
                SELECT k.id, k.idempotency_key FROM g2p_bank_call k
                  JOIN g2p_disbursement_batch b ON b.id = k.batch_id
                 WHERE b.bank_id = %s AND b.state <> 'acknowledged'
                   AND k.operation = 'initiate_payment'
                """,
                self.bank_id.id,
            )
        )
        for call_id, key in rows:
            if pain001.message_id(key) == message_id:
                call = self.env["g2p.bank.call"].browse(call_id)
                return call.batch_id, call
        return batches, None

    def _problem_of(self, report, batch):
        """Return (code, sentence, hint) of why nothing of a report is taken, or None."""
        if not batch:
            return (
                "NOT_OURS",
                self.env._("It answers a message that this bank never got from here."),
                self.env._("Ask the bank what it is about. Nothing was changed."),
            )
        if report.default_status == REJECTED and report.reason_code in DUPLICATES:
            return (
                "DUPLICATE_MESSAGE",
                self.env._(
                    "The bank had the message before and did not take it again (%s). That says"
                    " nothing of the first time, so nothing was changed.",
                    report.reason_code,
                ),
                self.env._("Wait for the first status report or the statement, then dismiss it."),
            )
        if not self.is_forced and self._came_before(report.message_id):
            return (
                "MESSAGE_REPEATED",
                self.env._("A report with this message id came before and said something else."),
                self.env._("Ask the bank which one counts. Read it again to have this one count."),
            )
        return None

    def _came_before(self, message_id):
        return bool(
            self.search_count(
                [
                    ("bank_id", "=", self.bank_id.id),
                    ("kind", "=", "pain.002"),
                    ("message_id", "=", message_id),
                    ("state", "=", "processed"),
                    ("id", "!=", self.id),
                ],
                limit=1,
            )
        )

    def _prepare_rows(self, report, batch):
        """Return (rows of status updates, ids of payments of which nothing certain is said).

        Only payments of the batch count. What the bank has and has not decided on is accepted here:
        it is with the bank.
        """
        amounts = dict(
            self.env.execute_query(
                SQL(
                    "SELECT disbursement_id, amount::text FROM g2p_disbursement"
                    " WHERE batch_id = %s",
                    batch.id,
                )
            )
        )
        items = {item.end_to_end_id: item for item in report.items}
        rows = []
        doubtful = sorted(set(items) - set(amounts)) + ["NOTPROVIDED"] * report.unidentified_count
        for name, amount in amounts.items():
            item = items.get(name)
            if item is None and report.default_status is None:
                continue
            if item is not None and _is_doubtful(item, amount):
                doubtful.append(name)
                continue
            rows.append(_row(name, item, report))
        return rows, doubtful

    def _say_what_became_of(self, batch, call, rows):
        """Keep what the bank says of a batch whose answer was lost: its job acts on that.

        It has the message, so the batch is acknowledged; what it refuses of it stands in the rows.
        """
        if batch.state not in ("ready", "unknown") or not rows:
            return
        reference = pain001.message_id(call.idempotency_key)
        self.env["g2p.bank.call"]._set_state(
            call, "answered", answer={"reference": reference, "rejected": []}
        )
        batch._enqueue_disburse()

    def _find_contradicted(self, rows):
        """Return the ids (list) of payments that the report wants somewhere they cannot be."""
        self.env.flush_all()
        states = dict(
            self.env.execute_query(
                SQL(
                    "SELECT disbursement_id, state FROM g2p_disbursement"
                    " WHERE disbursement_id = ANY(%s)",
                    [row["disbursement_id"] for row in rows],
                )
            )
        )
        return [
            row["disbursement_id"]
            for row in rows
            if states[row["disbursement_id"]] not in FITTING_STATES[row["status"]]
        ]

    def _tell_contradiction(self, envelope, names):
        envelope.message_post(
            body=self.env._(
                "A status report of the bank does not fit to the state of %(count)s payments here:"
                " %(names)s",
                count=len(names),
                names=", ".join(names[:_NAMED]),
            )
        )


def _is_doubtful(item, amount):
    """Say whether a status is none to act on.

    It is of another amount, another status of the report says the contrary, or it is refused as a
    repeat.
    """
    if item.is_contradicted or (item.amount is not None and item.amount != Decimal(amount)):
        return True
    return item.status == REJECTED and item.reason_code in DUPLICATES


def _row(name, item, report):
    """Return one status update as the API takes it."""
    said = item or report
    status = item.status if item else report.default_status
    return {
        "disbursement_id": name,
        "status": "rejected" if status == REJECTED else "accepted",
        "bank_reference": item.bank_reference if item else "",
        "reason_code": said.reason_code if status == REJECTED else "",
        "reason": masking.mask_text(said.additional_info)[:200] if status == REJECTED else "",
    }
