import json
import uuid
from dataclasses import dataclass

from odoo import api, fields, models
from odoo.tools import SQL

from .. import log_context
from ..connectors import http
from ..connectors.errors import BankError, BankOutcomeUnknown, BankRejected, BankUnavailable
from .bulk_fields import BulkMany2one
from .own_cursor import own_cursor

OPERATIONS = [
    ("check_funds", "Check funds"),
    ("block_funds", "Block funds"),
    ("release_funds", "Release funds"),
    ("initiate_payment", "Initiate payment"),
    ("inquire_payments", "Inquire payments"),
    ("resolve", "Look up accounts"),
    ("test_connection", "Test connection"),
]
STATES = [
    ("started", "Started, no answer known"),
    ("answered", "Answered"),
    ("unavailable", "Surely not received"),
    ("rejected", "Refused"),
    ("unknown", "Outcome unknown"),
]
#: class of error -> what is known of the call after it
_OUTCOMES = (
    (BankUnavailable, "unavailable"),
    (BankRejected, "rejected"),
    (BankOutcomeUnknown, "unknown"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCall:
    """A row as it was committed: the running transaction's own snapshot is older than it."""

    id: int
    idempotency_key: str
    attempts: int
    intent: dict | None
    #: the call may be made now; otherwise it was made before, and the row says all that is known
    is_new: bool


class BankCall(models.Model):
    """Every call to a bank or mapper: the intent before it, the outcome after it.

    Rows are written on a cursor of their own, committed before the first byte leaves and before
    anyone acts on an answer. So a crash, a rollback or a second runner costs a look-up here, never
    a payment.
    """

    _name = "g2p.bank.call"
    _description = "Bank call"
    _order = "id desc"
    _rec_name = "idempotency_key"
    _log_access = False

    operation = fields.Selection(OPERATIONS, required=True, readonly=True)
    idempotency_key = fields.Char(required=True, readonly=True)
    bank_id = BulkMany2one("g2p.sponsor.bank", readonly=True)
    mapper_id = BulkMany2one("g2p.account.mapper", readonly=True)
    envelope_id = BulkMany2one("g2p.disbursement.envelope", readonly=True, index="btree_not_null")
    batch_id = BulkMany2one("g2p.disbursement.batch", readonly=True, index="btree_not_null")
    company_id = fields.Many2one("res.company", readonly=True)
    state = fields.Selection(STATES, required=True, readonly=True)
    attempts = fields.Integer(readonly=True)
    is_perhaps_made = fields.Boolean(
        readonly=True,
        help="An earlier attempt may have reached the bank, whatever the last one did.",
    )
    started_at = fields.Datetime(readonly=True)
    answered_at = fields.Datetime(readonly=True)
    latency_ms = fields.Integer(string="Time (ms)", readonly=True)
    http_status = fields.Integer(string="HTTP status", readonly=True)
    error_code = fields.Char(readonly=True)
    error_message = fields.Char(readonly=True)
    intent = fields.Json(readonly=True)
    answer = fields.Json(readonly=True)
    request_masked = fields.Text(string="Request (masked)", readonly=True)
    response_masked = fields.Text(string="Answer (masked)", readonly=True)

    _key_uniq = models.Constraint("UNIQUE (idempotency_key)", "One row per idempotency key.")

    @api.private
    def _start(self, operation, key, subject, *, reopen=("unavailable",), intent=None):
        """Say, for good, that a call is about to be made.

        :param record subject: the envelope or batch it is for
        :param tuple reopen: outcomes after which the same call may be made again
        :param dict intent: what a repeat must say in the same words (the amount); it changes only
            after the bank surely did not get the call
        :return: StartedCall
        :raise RetryableJobError: the bank (or mapper) is down; it is asked again later
        """
        values = {
            **self._prepare_call_vals(operation, key, subject),
            "state": "started",
            "attempts": 1,
            "intent": json.dumps(intent),
        }
        with own_cursor(self.env) as cr:
            known = self._find_started(cr, key)
        if known and known["state"] not in reopen:  # nobody is called: nobody has to be let pass
            return _started_call(known, is_new=False)
        self.env["g2p.bank.health"]._gate(values["bank_id"], values["mapper_id"])
        with own_cursor(self.env) as cr:
            cr.execute(
                SQL(
                    """
                    INSERT INTO g2p_bank_call AS call (%(columns)s) VALUES %(values)s
                    ON CONFLICT (idempotency_key) DO UPDATE
                       SET state = 'started', attempts = call.attempts + 1,
                           started_at = excluded.started_at, answered_at = NULL,
                           is_perhaps_made = coalesce(call.is_perhaps_made, FALSE)
                                             OR call.state IN ('started', 'unknown'),
                           intent = CASE WHEN call.state = 'unavailable' THEN excluded.intent
                                         ELSE call.intent END
                     WHERE call.state = ANY(%(reopen)s)
                    RETURNING id
                    """,
                    columns=SQL(", ").join(map(SQL.identifier, values)),
                    values=tuple(values.values()),
                    reopen=list(reopen),
                )
            )
            is_new = bool(cr.fetchone())
            started = self._find_started(cr, key)
        self.invalidate_model()
        return _started_call(started, is_new=is_new)

    @api.private
    def _start_test(self, subject):
        """Say, for good, that a test call is about to be made; a circuit that is open lets it pass.

        :param record subject: a funding account or a mapper
        :return: StartedCall
        """
        is_mapper = subject._name == "g2p.account.mapper"
        key = f"test_connection:{'mapper' if is_mapper else 'account'}:{subject.id}:{uuid.uuid4()}"
        values = {
            "operation": "test_connection",
            "idempotency_key": key,
            "bank_id": None if is_mapper else subject.bank_id.id,
            "mapper_id": subject.id if is_mapper else None,
            "company_id": subject.company_id.id,
            "started_at": fields.Datetime.now(),
            "state": "started",
            "attempts": 1,
            "intent": json.dumps(None),
        }
        with own_cursor(self.env) as cr:
            cr.execute(
                SQL(
                    "INSERT INTO g2p_bank_call (%s) VALUES %s",
                    SQL(", ").join(map(SQL.identifier, values)),
                    tuple(values.values()),
                )
            )
            started = self._find_started(cr, key)
        self.invalidate_model()
        return _started_call(started, is_new=True)

    def _find_started(self, cr, key):
        cr.execute(
            "SELECT id, idempotency_key, attempts, intent, state FROM g2p_bank_call"
            " WHERE idempotency_key = %s",
            [key],
        )
        return cr.dictfetchone()

    @api.private
    def _assume_made(self, operation, key, subject, *, intent=None):
        """Have a call without row count as made, outcome unknown: the row may be lost.

        For what a restored database does not know of: the bank is asked before anything is sent.
        """
        values = {
            **self._prepare_call_vals(operation, key, subject),
            "state": "unknown",
            "attempts": 0,
            "error_code": "RESTORED",
            "intent": json.dumps(intent),
        }
        with own_cursor(self.env) as cr:
            cr.execute(
                SQL(
                    "INSERT INTO g2p_bank_call (%s) VALUES %s ON CONFLICT DO NOTHING",
                    SQL(", ").join(map(SQL.identifier, values)),
                    tuple(values.values()),
                )
            )
        self.invalidate_model()

    def _prepare_call_vals(self, operation, key, subject):
        envelope = subject if subject._name == "g2p.disbursement.envelope" else subject.envelope_id
        is_look_up = operation == "resolve"
        return {
            "operation": operation,
            "idempotency_key": key,
            "bank_id": None if is_look_up else envelope.funding_account_id.bank_id.id,
            "mapper_id": envelope.program_id.mapper_id.id or None if is_look_up else None,
            "envelope_id": envelope.id,
            "batch_id": subject.id if subject != envelope else None,
            "company_id": envelope.company_id.id,
            "started_at": fields.Datetime.now(),
        }

    @api.private
    def _run(self, call, function):
        """Make the call that :meth:`_start` announced, and keep its outcome before anyone acts.

        :param StartedCall call: as announced
        :param function: makes the call and returns (result, its JSON form to keep)
        :return: the result
        :raise BankError: as ``function`` did; the row says so too
        """
        with http.record() as exchanges, log_context.about(call=call.idempotency_key):
            try:
                result, kept = function()
            except BankError as error:
                self._finish(call, _outcome_of(error), exchanges, error=error)
                raise
        self._finish(call, "answered", exchanges, answer=kept)
        return result

    def _finish(self, call, state, exchanges, *, answer=None, error=None):
        last = exchanges[-1] if exchanges else None
        values = {
            "state": state,
            "answered_at": fields.Datetime.now(),
            "latency_ms": round(sum(exchange.latency_ms for exchange in exchanges)),
            "http_status": last and last.http_status,
            "error_code": error and error.code,
            "error_message": error and str(error)[:500],
            "answer": answer,
            "request_masked": last and last.request_masked,
            "response_masked": last and last.response_masked,
        }
        health = self.env["g2p.bank.health"]
        with own_cursor(self.env) as cr:
            called = self._write_on(cr, call, values)
            # this attempt surely did not arrive; an earlier one may have
            cr.execute(
                "UPDATE g2p_bank_call SET state = 'unknown'"
                " WHERE id = %s AND state = 'unavailable' AND is_perhaps_made",
                [call.id],
            )
            if error is None or isinstance(error, BankRejected):
                health._record_answer(cr, called, values["latency_ms"])
            elif called["operation"] != "test_connection":  # its time-outs are short
                health._record_failure(cr, called, error)
            self.env["g2p.call.statistic"]._count(cr, called, state, values["latency_ms"])
        self.invalidate_model()

    @api.private
    def _set_state(self, call, state, **values):
        """Correct what is known of a call: an inquiry said so."""
        with own_cursor(self.env) as cr:
            self._write_on(cr, call, {"state": state, **values})
        self.invalidate_model()

    def _write_on(self, cr, call, values):
        """Write on a cursor; return whom the call is to, as dict."""
        convert = {name: self._fields[name].convert_to_column for name in values}
        assignments = SQL(", ").join(
            SQL(
                "%s = %s",
                SQL.identifier(name),
                None if value is None else convert[name](value, self),
            )
            for name, value in values.items()
        )
        cr.execute(
            SQL(
                """
                UPDATE g2p_bank_call
                   SET %s WHERE id = %s RETURNING bank_id, mapper_id, company_id, operation
                """,
                assignments,
                call.id,
            )
        )
        names = ("bank_id", "mapper_id", "company_id", "operation")
        return dict(zip(names, cr.fetchone(), strict=True))

    @api.private
    def _known(self, call):
        """Return what is known of a call now, read past the snapshot of the running transaction.

        :return: dict of state, answer, error_code, error_message
        """
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT state, answer, error_code, error_message FROM g2p_bank_call WHERE id = %s",
                [call.id],
            )
            state, answer, code, message = cr.fetchone()
        return {"state": state, "answer": answer, "error_code": code, "error_message": message}


def _started_call(row, *, is_new):
    return StartedCall(
        id=row["id"],
        idempotency_key=row["idempotency_key"],
        attempts=row["attempts"],
        intent=row["intent"],
        is_new=is_new,
    )


def _outcome_of(error):
    return next(state for kind, state in _OUTCOMES if isinstance(error, kind))
