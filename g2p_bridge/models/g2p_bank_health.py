import random

from odoo import api, fields, models
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from .bulk_fields import BulkMany2one
from .own_cursor import own_cursor
from .roles import OFFICER, check_role
from .words import moment_text

#: seconds over which the jobs that wait for a bank spread when its time has come
SPREAD_S = 5


class BankHealth(models.Model):
    """Whether a bank (or mapper) answers: a circuit breaker that all workers share.

    After some failures in a row the circuit opens: nobody is asked until :attr:`open_until`. Then
    one call goes through as a probe. An answer of any kind, a refusal too, closes the circuit; a
    failure opens it for twice as long. One row each, written on cursors of its own, so that jobs
    neither wait for one another nor start over.
    """

    _name = "g2p.bank.health"
    _description = "Health of a bank or mapper"
    _order = "down_since desc nulls last, id"
    _log_access = False

    bank_id = BulkMany2one("g2p.sponsor.bank", readonly=True)
    mapper_id = BulkMany2one("g2p.account.mapper", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    failure_count = fields.Integer(
        string="Failures in a row", readonly=True, help="Calls without an answer since the last one"
    )
    down_since = fields.Datetime(readonly=True, help="First failure after the last answer.")
    open_until = fields.Datetime(
        string="Asked again at", readonly=True, help="No call is made before, then one."
    )
    last_answer_at = fields.Datetime(string="Last answer", readonly=True)
    last_error_code = fields.Char(string="Error code", readonly=True)
    last_error_message = fields.Char(string="Last error", readonly=True)
    latency_ms = fields.Integer(string="Last answer took (ms)", readonly=True)
    is_open = fields.Boolean(
        string="Down", compute="_compute_is_open", search="_search_is_open", compute_sudo=True
    )

    _bank_uniq = models.UniqueIndex("(bank_id) WHERE bank_id IS NOT NULL")
    _mapper_uniq = models.UniqueIndex("(mapper_id) WHERE mapper_id IS NOT NULL")

    @api.depends("bank_id", "mapper_id")
    def _compute_display_name(self):
        for health in self:
            health.display_name = (health.bank_id or health.mapper_id).display_name

    @api.depends("open_until")
    def _compute_is_open(self):
        for health in self:
            health.is_open = bool(health.open_until)

    def _search_is_open(self, operator, value):
        if operator != "in":
            return NotImplemented
        return [("open_until", "!=" if True in value else "=", False)]

    @api.private
    def _prepare_message(self):
        """Return in words why nobody is asked now, and until when."""
        self.ensure_one()
        return self.env._(
            "%(name)s has not answered since %(since)s (%(error)s). It is asked again at %(again)s;"
            " until then its work waits.",
            name=self.display_name,
            since=moment_text(self.env, self.down_since),
            error=self.last_error_code,
            again=moment_text(self.env, self.open_until),
        )

    @api.private
    def _gate(self, bank_id, mapper_id):
        """Let a call pass, unless the circuit is open.

        :raise RetryableJobError: nobody is to be asked now; the job comes back by itself, and the
            wait is no attempt
        """
        with own_cursor(self.env) as cr:
            cr.execute(
                SQL(
                    """
                    SELECT id, extract(epoch FROM open_until - %(now)s)
                      FROM g2p_bank_health WHERE %(whose)s AND open_until IS NOT NULL
                    """,
                    now=fields.Datetime.now(),
                    whose=_whose(bank_id, mapper_id),
                )
            )
            row = cr.fetchone()
            if row is None or (row[1] <= 0 and self._take_probe(cr, row[0])):
                return
        raise RetryableJobError(
            "the bank (or mapper) does not answer at the moment",
            seconds=round(max(row[1], 1) + random.uniform(0, SPREAD_S)),
            ignore_retry=True,
        )

    def _take_probe(self, cr, health_id):
        """Say whether this call is the one that may go through; others wait for its outcome."""
        cr.execute(
            SQL(
                """
                UPDATE g2p_bank_health
                   SET open_until = %(now)s + make_interval(secs => %(wait)s)
                 WHERE id = %(id)s AND open_until <= %(now)s RETURNING id
                """,
                now=fields.Datetime.now(),
                wait=self.env["g2p.bridge"]._parameter("breaker_seconds"),
                id=health_id,
            )
        )
        return cr.fetchone() is not None

    @api.private
    def _record_answer(self, cr, call_values, latency_ms):
        """Close the circuit: it answered.

        :param Cursor cr: the own cursor that the outcome is written on
        :param dict call_values: ``bank_id``, ``mapper_id`` and ``company_id`` of the call
        """
        self._upsert(
            cr,
            call_values,
            SQL(
                "failure_count = 0, down_since = NULL, open_until = NULL, last_answer_at = %s,"
                " latency_ms = %s",
                fields.Datetime.now(),
                latency_ms,
            ),
            failure_count=0,
        )

    @api.private
    def _record_failure(self, cr, call_values, error):
        """Count a failure; the circuit opens after some in a row, each time for longer.

        :param BankError error: what the call ended in
        """
        parameter = self.env["g2p.bridge"]._parameter
        now = fields.Datetime.now()
        self._upsert(
            cr,
            call_values,
            SQL(
                """
                failure_count = health.failure_count + 1,
                down_since = coalesce(health.down_since, %(now)s),
                last_error_code = %(code)s,
                last_error_message = %(message)s,
                open_until = CASE WHEN health.failure_count + 1 >= %(limit)s
                    THEN %(now)s + make_interval(secs => least(%(longest)s,
                        %(wait)s * 2 ^ least(health.failure_count + 1 - %(limit)s, 20)))
                    END
                """,
                now=now,
                code=error.code,
                message=str(error)[:500],
                limit=parameter("breaker_failures"),
                wait=parameter("breaker_seconds"),
                longest=parameter("breaker_longest_seconds"),
            ),
            failure_count=1,
            down_since=now,
            last_error_code=error.code,
            last_error_message=str(error)[:500],
        )

    def _upsert(self, cr, call_values, assignments, **first_values):
        values = {
            "bank_id": call_values["bank_id"],
            "mapper_id": call_values["mapper_id"],
            "company_id": call_values["company_id"],
            **first_values,
        }
        if not (values["bank_id"] or values["mapper_id"]):
            return
        conflict = "bank_id" if values["bank_id"] else "mapper_id"
        cr.execute(
            SQL(
                """
                INSERT INTO g2p_bank_health AS health (%(columns)s) VALUES %(values)s
                ON CONFLICT (%(key)s) WHERE %(key)s IS NOT NULL DO UPDATE SET %(assignments)s
                """,
                columns=SQL(", ").join(map(SQL.identifier, values)),
                values=tuple(values.values()),
                key=SQL.identifier(conflict),
                assignments=assignments,
            )
        )
        self.invalidate_model()

    def action_ask_again(self):
        """Let the next call through at once, for somebody knows that it is up again.

        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        with own_cursor(self.env) as cr:
            cr.execute(
                "UPDATE g2p_bank_health SET open_until = %s"
                " WHERE id = ANY(%s) AND open_until IS NOT NULL",
                [fields.Datetime.now(), self.ids],
            )
        self.invalidate_model()


def _whose(bank_id, mapper_id):
    if bank_id:
        return SQL("bank_id = %s", bank_id)
    return SQL("mapper_id = %s", mapper_id)
