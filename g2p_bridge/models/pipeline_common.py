"""What every step of the pipeline shares: how jobs are enqueued, retried and given up."""

from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from .own_cursor import lock_for_transaction, own_cursor

MAX_BACK_OFF_S = 3600
#: payments in these have not ended: they keep their envelope from being settled
OPEN_STATES = ("received", "unresolved", "resolved", "batched", "sent", "unknown")


def _open_count(envelope):
    """Return how many payments of an envelope have not ended, as SQL over the journal.

    :param SQL envelope: its id
    """
    return SQL(
        """
        (SELECT coalesce(sum(disbursement_count) FILTER (WHERE target = ANY(%(open)s)), 0)
              - coalesce(sum(disbursement_count) FILTER (WHERE source = ANY(%(open)s)), 0)
           FROM g2p_disbursement_journal WHERE envelope_id = %(envelope)s)
        """,
        open=list(OPEN_STATES),
        envelope=envelope,
    )


class DisbursementEnvelope(models.Model):
    """The envelope's way through the pipeline.

    Level-triggered: :meth:`_advance` looks at the state and enqueues what is due, so nothing
    depends on an earlier message having arrived; and each step enqueues it when it ends, so
    nobody waits for the cron.
    """

    _inherit = "g2p.disbursement.envelope"

    @api.private
    def _enqueue_advance(self):
        """Have the due step looked for as soon as this transaction is committed."""
        for envelope in self:
            envelope._delayed(self.env._("Find the next step"), priority=5)._advance()

    @api.private
    def _enqueue_advance_if_last(self, still_open):
        """Look for the next step when no other job of the round is left.

        Of jobs that end at the same time, the last one to commit sees that it is the last: each
        holds an advisory lock from here to its commit, and asks past its own snapshot.

        :param SQL still_open: a condition that holds while others of the round have work left
        """
        self.ensure_one()
        lock_for_transaction(self.env.cr, f"g2p.disbursement.envelope.round:{self.id}")
        with own_cursor(self.env) as cr:
            cr.execute(SQL("SELECT %s", still_open))
            [is_open] = cr.fetchone()
        if not is_open:
            self._enqueue_advance()

    @api.private
    def _enqueue_advance_if_ended(self, ended_count):
        """Look for the next step when no payment is open but those that end with this transaction.

        By the sums of the journal, past our snapshot: a bank tells the status of a million payments
        in a thousand calls, and the step that a job finds reads all that is open.

        :param int ended_count: payments that this transaction has moved from open states to others
        """
        self._enqueue_advance_if_last(SQL("%s > %s", _open_count(SQL("%s", self.id)), ended_count))

    def _delayed(self, description, *, identity_key=None, channel=None, priority=None):
        """Return the envelope as a delayable; jobs run as OdooBot, whoever called."""
        parameter = self.env["g2p.bridge"]._parameter
        return self.with_user(SUPERUSER_ID).with_delay(
            description=f"{description}: {self.display_name}",
            identity_key=identity_key,
            channel=channel,
            priority=priority,
            max_retries=parameter("max_attempts"),
        )

    @api.private
    def _advance(self):
        """Enqueue the step that is due (queue job). May run any number of times."""
        self.ensure_one()
        self._lock_for_job("a step is under way", seconds=2)
        if self.is_paused:
            return "paused"
        if self.state == "needs_attention":
            if not self.next_attempt_at or self.next_attempt_at > fields.Datetime.now():
                return "waits for an officer"
            self._set_resumed()
        step = getattr(self, f"_advance_{self.state}", None)
        return step() if step else self.state

    def _advance_ready(self):
        if self.approval_required:
            self._enqueue_resolve_if_near()
            return "waits for approval"
        return self._advance_approved()

    def _advance_approved(self):
        self._enqueue_resolve_if_near()
        if not self._is_due():
            return f"due on {self.disbursement_schedule_date}"
        if not self._payable_amount():
            return self._settle_if_ended()
        return self._enqueue_check_funds()

    def _advance_funds_available(self):
        return self._enqueue_block_funds()

    def _advance_funds_blocked(self):
        if self._enqueue_resolve():
            return "accounts are looked up"
        return self._form_batches()

    def _advance_disbursing(self):
        self._enqueue_resolve()
        return self._form_batches()

    def _advance_disbursed(self):
        self._enqueue_resolve()
        return self._form_batches()

    def _is_due(self):
        """Due is due: an outage of a day delays, never drops."""
        today = fields.Date.context_today(self.with_context(tz=self._business_tz()))
        return self.disbursement_schedule_date <= today

    def _business_tz(self):
        return self.company_id.partner_id.tz or self.env.user.tz or "UTC"

    def _settle_if_ended(self):
        """Settle when every payment ended; what the bank still holds goes back."""
        totals = self.env["g2p.disbursement.journal"]._totals_by_state(envelopes=self)[self.id]
        if set(OPEN_STATES) & set(totals):
            return self.state
        self._set_settled()
        self._enqueue_release_funds()
        return self.state

    # -- giving up ------------------------------------------------------------------------------

    def _back_off(self, error, attempts):
        """Return the exception that has the job run again later.

        :param BankUnavailable error: the bank (or mapper) surely did not get the call
        :param int attempts: calls made so far
        """
        parameter = self.env["g2p.bridge"]._parameter
        # each round of attempts begins with a short wait again
        doublings = max(attempts - 1, 0) % parameter("max_attempts")
        seconds = min(parameter("retry_seconds") * 2**doublings, MAX_BACK_OFF_S)
        return RetryableJobError(f"{error} ({error.code})", seconds=seconds)

    def _next_attempt(self):
        minutes = self.env["g2p.bridge"]._parameter("recheck_minutes")
        return fields.Datetime.now() + timedelta(minutes=minutes)

    @api.private
    def _on_step_failed(self, exc_name=None, exc_message=None, exc_info=None, **_values):
        """Put a step that was given up in front of an officer; the cron tries again later."""
        code = "BANK_UNAVAILABLE" if (exc_name or "").endswith("FailedJobError") else "STEP_FAILED"
        for envelope in self:
            if envelope.state in envelope._WORKING or envelope.state == "needs_attention":
                envelope._set_needs_attention(
                    code, (exc_message or "")[:500], next_attempt_at=envelope._next_attempt()
                )

    # -- cron -----------------------------------------------------------------------------------

    #: states in which there may be work that no event announces
    _DUE_STATES = ("ready", "approved", "funds_available", "funds_blocked", "disbursing")

    @api.model
    def _cron_find_due_work(self, limit=500):
        """Enqueue what is due and has no job, by state."""
        for envelope in self._find_due(limit):
            envelope._delayed(
                self.env._("Find the next step"), identity_key=f"advance:{envelope.id}"
            )._advance()
        for envelope in self._find_held_funds(limit):
            envelope._enqueue_release_funds()
        self.env["g2p.disbursement.batch"]._enqueue_inquiries(limit)
        self.env["g2p.account.statement"]._enqueue_unprocessed(limit)
        self.env["g2p.envelope.import"]._enqueue_unfinished(limit)
        self._wake_job_runner()

    def _wake_job_runner(self):
        """Have the job runner look for dead jobs, if any job is under way for some time.

        It looks only when something happens to a job, or after a minute. Until then dead jobs take
        the places of living ones.

        :return: whether it was woken
        """
        self.env.cr.execute(
            """
            SELECT pg_notify('queue_job', uuid) FROM queue_job
             WHERE state IN ('enqueued', 'started')
               AND date_enqueued < now() AT TIME ZONE 'utc' - interval '10 s' LIMIT 1
            """
        )
        return bool(self.env.cr.rowcount)

    def _find_due(self, limit):
        now = fields.Datetime.now()
        horizon = fields.Date.today() + timedelta(
            days=self.env["g2p.bridge"]._parameter("resolve_lead_days") + 1
        )
        return self._find_part(
            [
                ("is_paused", "=", False),
                "|",
                "|",
                "|",
                "&",
                ("state", "=", "receiving"),
                ("reissued_from_id", "!=", False),
                "&",
                ("state", "in", self._DUE_STATES),
                ("disbursement_schedule_date", "<=", horizon),
                "&",
                ("state", "=", "needs_attention"),
                ("next_attempt_at", "<=", now),
                ("id", "in", self._find_disbursed_with_work()),
            ],
            limit,
        )

    def _find_part(self, domain, limit):
        """Return such envelopes; where there are more than ``limit``, any of them.

        Some stay in the domain with nothing to do, those that wait for an approval or for an
        account: with a fixed order they would keep the rest from ever being looked at.
        """
        ids = self.env.execute_query(
            SQL(
                "SELECT id FROM (%s) AS due (id) ORDER BY random() LIMIT %s",
                self._search(domain).select(),
                limit,
            )
        )
        return self.browse(sorted(envelope_id for (envelope_id,) in ids))

    def _find_disbursed_with_work(self):
        """Return ids of disbursed envelopes with payments that became payable, or that all ended.

        Events tell of both; this is for events whose job died.
        """
        return [
            envelope_id
            for (envelope_id,) in self.env.execute_query(
                SQL(
                    """
                    SELECT id FROM g2p_disbursement_envelope e
                     WHERE state = 'disbursed'
                       AND (EXISTS (SELECT FROM g2p_disbursement d
                                     WHERE d.envelope_id = e.id AND d.state = 'resolved')
                         OR %s = 0)
                    """,
                    _open_count(SQL("e.id")),
                )
            )
        ]
