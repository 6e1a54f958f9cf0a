"""Whose batch goes next: so many jobs for each bank as it takes calls, envelopes in turn.

A job for each ready batch would keep the workers from everybody else: those beyond the bank's limit
run only to find it busy, and those of a big envelope stand before all that comes later. So there is
a job for each call that the bank takes at the same time, and each that ends enqueues the next.
"""

from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from .own_cursor import lock_for_transaction, own_cursor

#: jobs that wait for longer leave their place to others; the cron, too, comes each minute
LONG_WAIT = timedelta(minutes=1)


class SponsorBank(models.Model):
    """The places of a bank: jobs that send batches, at most so many as it takes calls."""

    _inherit = "g2p.sponsor.bank"

    @api.private
    def _enqueue_next(self, ended, *, was_unknown=False):
        """Give the place of a batch, whose job ends with this transaction, to the next one.

        Asked past our own snapshot, which is older than the call: batches that were formed
        meanwhile found no place free, and are enqueued by nobody else.

        :param bool was_unknown: the bank was asked what became of it; then one of the same kind
            comes first, as after one that was sent one that is to be sent
        """
        self._lock_places()
        with own_cursor(self.env) as cr:
            jobs = self._find_jobs(cr)
            jobs.pop(ended.id, None)
            taken, places = [*jobs, ended.id], self._free_places(jobs)

            def ready():
                return self._find_next(cr, places - len(found), taken, ended.envelope_id.id)

            def unknown():
                return self._find_unknown(cr, places - len(found), taken)

            found = []
            for find in (unknown, ready) if was_unknown else (ready, unknown):
                found += find()
        self._enqueue_batches(found)

    @api.private
    def _enqueue_inquiries(self, limit):
        """Have the bank asked about batches whose outcome nobody knows, the first of them.

        As many as it takes calls, beside what is being sent: its places may never be free.
        """
        self._lock_places()
        with own_cursor(self.env) as cr:
            jobs = [batch_id for batch_id, holds in self._find_jobs(cr).items() if holds]
            cr.execute(
                "SELECT count(*) FROM g2p_disbursement_batch"
                " WHERE id = ANY(%s::int[]) AND state = 'unknown'",
                [jobs],
            )
            [asked] = cr.fetchone()
            found = self._find_unknown(cr, min(limit, self.max_parallel_calls - asked), jobs)
        self._enqueue_batches(found)

    def _find_unknown(self, cr, places, taken):
        """Return (id, name) of the batches that the bank is to be asked about now."""
        if places <= 0 or not self._can_be_asked():
            return []
        # longest not asked first, or those that stay unknown would keep the rest waiting for ever
        cr.execute(
            SQL(
                "SELECT id, name FROM (%s) due WHERE id <> ALL(%s::int[])"
                " ORDER BY asked_at, id LIMIT %s",
                self._unknown_batches(),
                taken,
                places,
            )
        )
        return cr.fetchall()

    @api.private
    def _unknown_batches(self):
        """Return the query of the banks' batches with unknown outcome that are due to be asked."""
        minutes = self.env["g2p.bridge"]._parameter("recheck_minutes")
        return SQL(
            """
            SELECT b.id, b.name, b.bank_id, latest.asked_at
              FROM g2p_disbursement_batch b
             CROSS JOIN LATERAL (SELECT greatest(b.state_since, max(k.started_at)) AS asked_at
                                   FROM g2p_bank_call k WHERE k.batch_id = b.id) latest
             WHERE b.state = 'unknown' AND b.bank_id = ANY(%s) AND latest.asked_at <= %s
            """,
            self.ids,
            fields.Datetime.now() - timedelta(minutes=minutes),
        )

    @api.private
    def _enqueue_ready(self):
        """Fill the free places with ready batches, those of this transaction among them.

        Whatever job was lost: each minute the cron comes here with each envelope that has any.
        """
        self._lock_places()
        with own_cursor(self.env) as cr:
            jobs = self._find_jobs(cr)
        self.env.flush_all()
        self._enqueue_batches(self._find_next(self.env.cr, self._free_places(jobs), list(jobs), 0))

    def _lock_places(self):
        """Let others wait, to our commit, with giving places of the bank away."""
        self.ensure_one()
        lock_for_transaction(self.env.cr, f"g2p.sponsor.bank.places:{self.id}")

    def _free_places(self, jobs):
        return self.max_parallel_calls - sum(jobs.values())

    def _find_jobs(self, cr):
        """Return batch id -> whether its job, which runs or waits, holds a place.

        What waits for long holds none, or a few unlucky batches would stop the bank's other work.
        But while the bank is down, that is what they wait for, and others would only join them.
        """
        now = fields.Datetime.now()
        cr.execute(
            SQL(
                """
                SELECT identity_key, eta IS NULL OR eta <= %(soon)s
                       OR EXISTS (SELECT FROM g2p_bank_health
                                   WHERE bank_id = %(bank)s AND open_until > %(now)s)
                  FROM queue_job
                 WHERE channel = %(channel)s AND date_done IS NULL
                   AND state IN ('pending', 'enqueued', 'started')
                   AND identity_key LIKE %(keys)s
                """,
                soon=now + LONG_WAIT,
                now=now,
                bank=self.id,
                channel=self._job_channel(),
                keys=f"{self._key_of_batch('')}%",
            )
        )
        return {int(key.rpartition(":")[2]): holds for key, holds in cr.fetchall()}

    def _find_next(self, cr, places, taken, after_id):
        """Return (id, name) of the batches that go next: of each envelope one, then another.

        :param list taken: ids of batches that have a job
        :param int after_id: id of the envelope that had its turn
        """
        if places <= 0:
            return []
        cr.execute(
            SQL(
                """
                SELECT b.id, b.name FROM g2p_disbursement_envelope e
                 CROSS JOIN LATERAL (
                    SELECT id, name, row_number() OVER (ORDER BY id) AS turn
                      FROM g2p_disbursement_batch
                     WHERE envelope_id = e.id AND state = 'ready' AND id <> ALL(%(taken)s::int[])
                     ORDER BY id LIMIT %(places)s) b
                 WHERE e.bank_id = %(bank)s AND e.state = 'disbursing'
                   AND NOT coalesce(e.is_paused, FALSE)
                 ORDER BY b.turn, e.id <= %(after)s, e.id LIMIT %(places)s
                """,
                taken=taken,
                places=places,
                bank=self.id,
                after=after_id,
            )
        )
        return cr.fetchall()

    @api.private
    def _enqueue_batches(self, batches):
        """Enqueue a job for each of the bank's batches, which our snapshot need not know yet.

        :param list batches: (id, name)
        """
        for batch_id, name in batches:
            batch = self.env["g2p.disbursement.batch"].browse(batch_id)
            batch.with_user(SUPERUSER_ID).with_delay(
                identity_key=self._key_of_batch(batch_id),
                channel=self._job_channel(),
                description=self.env._("Send batch %s", name),
                max_retries=self.env["g2p.bridge"]._parameter("max_attempts"),
            )._disburse_funds_from_bank()

    def _key_of_batch(self, batch_id):
        return f"disburse:{self.id}:{batch_id}"
