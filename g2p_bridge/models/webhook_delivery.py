"""How a program system is told of changes: what is read, what is sent, in which order, and when.

Nothing is written when a payment changes. A job reads what changed since the webhook's cursor, as
``get_disbursement_changes`` does, and makes an event for each envelope of some hundred payments; an
envelope's own change of state is an event of the transaction that made it. The job then delivers
the first event of each envelope, until there are none: the next one of an envelope is sent once the
one before was taken. What became of each is committed at once, on a cursor of its own, so whatever
dies in between, an event is at most sent again, under its id.
"""

import time
import uuid
from datetime import timezone

import requests

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from ..connectors import http
from ..connectors.errors import BankError, BankRejected, BankUnavailable
from ..const import MAX_COUNT
from ..services.api_answers import change_answer, timestamp
from ..services.webhook_signature import signed_headers
from .g2p_bridge_disbursements import CHANGE_COLUMNS, CHANGE_JOINS
from .own_cursor import own_cursor, try_lock_for_transaction
from .roles import ADMINISTRATOR, check_role

#: payments that one event tells of
CHANGES_PER_EVENT = 500
#: changes that are looked at in one statement
CHANGES_AT_A_TIME = 20_000
#: of a webhook; with more, nothing new is read until some are delivered
MOST_WAITING = 10_000
#: seconds to connect, and between two bytes of the answer
TIMEOUT_S = (5, 10)
#: an answer is looked at for its status only
MAX_ANSWER_BYTES = 64 * 1024
#: after so long a job makes room for others; so much of it at most is reading
RUN_S, READ_S = 20, 10
#: calls in a row without an answer that can be used, after which the receiver counts as down
DOWN_AFTER = 2
FIRST_WAIT_S, LONGEST_WAIT_S = 10, 3600
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30, 900


class Webhook(models.Model):
    """Delivery of events."""

    _inherit = "g2p.webhook"

    # -- when -----------------------------------------------------------------------------------

    @api.model
    def _cron_deliver(self):
        """Enqueue a job for each webhook that has something to tell."""
        found = self.env.execute_query(
            SQL(
                """
                SELECT w.id FROM g2p_webhook w
                 WHERE w.active AND NOT coalesce(w.is_paused, FALSE)
                   AND (w.next_run_at IS NULL OR w.next_run_at <= %(now)s)
                   AND (EXISTS (SELECT FROM g2p_webhook_event v WHERE v.webhook_id = w.id
                                   AND (v.next_attempt_at IS NULL OR v.next_attempt_at <= %(now)s))
                     OR EXISTS (SELECT FROM g2p_disbursement d
                                 WHERE (d.changed_xid, d.id) > (w.cursor_xid, w.cursor_id)))
                """,
                now=fields.Datetime.now(),
            )
        )
        self.browse(webhook_id for (webhook_id,) in found)._enqueue_run()

    @api.private
    def _enqueue_run(self, at=None):
        """Have events delivered, now or later; once, however often it is asked for."""
        for webhook in self:
            webhook.with_user(SUPERUSER_ID).with_delay(
                identity_key=f"webhook:{webhook.id}" + (":later" if at else ""),
                description=self.env._("Deliver events: %s", webhook.display_name),
                eta=at,
                max_retries=0,
            )._run()

    @api.private
    def _run(self):
        """Read what changed and deliver what waits (queue job). May run any number of times.

        :raise RetryableJobError: another webhook is being delivered: one at a time, so that dead
            receivers never keep more than one place of the job runner
        """
        self.ensure_one()
        if not self.active or self.is_paused:
            return "switched off"
        if self.next_run_at and self.next_run_at > fields.Datetime.now():
            return f"the receiver is down; next attempt {self.next_run_at}"
        if not try_lock_for_transaction(self.env.cr, f"g2p.webhook:{self.id}"):
            return "another job delivers"
        if not try_lock_for_transaction(self.env.cr, "g2p.webhook.turn"):
            raise RetryableJobError("another webhook has its turn", seconds=3, ignore_retry=True)
        begun = time.monotonic()
        has_more = self._read_changes(begun + READ_S)
        tally = self._deliver(begun + RUN_S)
        self._keep_tally(tally)
        self._enqueue_next(has_more)
        return f"{tally['taken']} events"

    def _enqueue_next(self, has_more):
        """Enqueue the next run, now or when the first failed event is due; last, as it writes."""
        with own_cursor(self.env) as cr:
            webhook = self.with_env(self.env(cr=cr))
            webhook.invalidate_recordset()
            down_until = webhook.next_run_at
            times = [at for at, _number in webhook._find_waits()]
        now = fields.Datetime.now()
        at = min(times, default=None)
        if has_more or (at and at <= now):
            at = now
        if at:
            at = max(at, down_until or at)
            self._enqueue_run(at if at > now else None)

    # -- what is told ---------------------------------------------------------------------------

    def _read_changes(self, until):
        """Make events of what changed since the cursor; say whether there is more to read.

        :param float until: of the monotonic clock
        """
        while time.monotonic() < until:
            with own_cursor(self.env) as cr:
                webhook = self.with_env(self.env(cr=cr))
                if webhook._count_waiting() >= MOST_WAITING or not webhook._read_slice():
                    return False
        return True

    def _count_waiting(self):
        self.env.cr.execute(
            "SELECT count(*) FROM g2p_webhook_event WHERE webhook_id = %s", [self.id]
        )
        return self.env.cr.fetchone()[0]

    def _read_slice(self):
        """Make events of the next changes and move the cursor; say whether the slice was full."""
        self.env.cr.execute(
            SQL(
                """
                WITH w AS (
                    SELECT id, program_id, h.below,
                           -- numbers of another database, before a restore: begin anew
                           CASE WHEN cursor_xid < h.below THEN cursor_xid ELSE h.below - 1 END
                           AS cursor_xid,
                           CASE WHEN cursor_xid < h.below THEN cursor_id ELSE %(end)s END
                           AS cursor_id
                      FROM g2p_webhook
                     CROSS JOIN (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                                 AS below) h
                     WHERE id = %(id)s),
                seen AS MATERIALIZED (
                    SELECT d.changed_xid AS xid, d.id, d.envelope_id
                      FROM g2p_disbursement d
                     WHERE (d.changed_xid, d.id) > ((SELECT cursor_xid FROM w),
                                                    (SELECT cursor_id FROM w))
                       AND d.changed_xid < (SELECT below FROM w)
                     ORDER BY d.changed_xid, d.id LIMIT %(limit)s),
                parts AS (
                    SELECT s.xid, s.id, s.envelope_id,
                           (row_number() OVER (PARTITION BY s.envelope_id ORDER BY s.xid, s.id) - 1)
                           / %(size)s AS part
                      FROM seen s JOIN g2p_disbursement_envelope e ON e.id = s.envelope_id
                     WHERE e.program_id = (SELECT program_id FROM w)),
                made AS (
                    INSERT INTO g2p_webhook_event
                           (webhook_id, envelope_id, kind, message_id, xid, last_xid, first_id,
                            last_id, change_count, created_at, attempts)
                    SELECT %(id)s, envelope_id, 'disbursements',
                           'msg_' || replace(gen_random_uuid()::text, '-', ''), min(xid), max(xid),
                           (array_agg(id ORDER BY xid, id))[1],
                           (array_agg(id ORDER BY xid DESC, id DESC))[1], count(*), %(now)s, 0
                      FROM parts GROUP BY envelope_id, part ORDER BY envelope_id, part)
                UPDATE g2p_webhook SET
                       cursor_xid = CASE WHEN f.is_full THEN l.xid ELSE w.below - 1 END,
                       cursor_id = CASE WHEN f.is_full THEN l.id ELSE %(end)s END
                  FROM w CROSS JOIN (SELECT count(*) = %(limit)s AS is_full FROM seen) f
                  LEFT JOIN (SELECT xid, id FROM seen ORDER BY xid DESC, id DESC LIMIT 1) l ON TRUE
                 WHERE g2p_webhook.id = w.id
                RETURNING f.is_full
                """,
                id=self.id,
                end=MAX_COUNT,
                limit=CHANGES_AT_A_TIME,
                size=CHANGES_PER_EVENT,
                now=fields.Datetime.now(),
            ),
            log_exceptions=False,
        )
        [is_full] = self.env.cr.fetchone()
        return is_full

    def _find_waits(self, limit=100):
        """Return [(when it is due, id)] of the first event of each envelope, soonest first.

        An envelope's own event waits until all changes of its time are read.
        """
        self.env.cr.execute(
            SQL(
                """
                SELECT coalesce(first.next_attempt_at, first.created_at), first.id
                  FROM (SELECT DISTINCT ON (v.envelope_id) v.* FROM g2p_webhook_event v
                         WHERE v.webhook_id = %s
                         ORDER BY v.envelope_id, v.xid, v.kind, v.id) first
                  JOIN g2p_webhook w ON w.id = first.webhook_id
                 WHERE w.active AND NOT coalesce(w.is_paused, FALSE)
                   AND first.xid <= CASE WHEN w.cursor_id = %s THEN w.cursor_xid
                                         WHEN first.kind = 'envelope' THEN w.cursor_xid - 1
                                         ELSE w.cursor_xid END
                 ORDER BY 1, 2 LIMIT %s
                """,
                self.id,
                MAX_COUNT,
                limit,
            )
        )
        return self.env.cr.fetchall()

    # -- sending --------------------------------------------------------------------------------

    def _deliver(self, until):
        """Send the first event of each envelope that is due, again and again.

        :param float until: of the monotonic clock; what is under way then comes to its end
        :return: dict of ``taken`` (count), ``error`` (of the last failure), ``is_down``
        """
        tally = {"taken": 0, "error": "", "is_down": False}
        silent = 0
        while due := self._find_due_events():
            for event_id in due:
                if time.monotonic() > until:
                    return tally
                error = self._deliver_one(event_id)
                if error is None:
                    tally["taken"] += 1
                    silent = 0
                    continue
                tally["error"] = f"{error} ({error.code})"
                silent = 0 if isinstance(error, BankRejected) else silent + 1
                if silent >= DOWN_AFTER:
                    return {**tally, "is_down": True}
        return tally

    def _find_due_events(self):
        now = fields.Datetime.now()
        with own_cursor(self.env) as cr:
            waits = self.with_env(self.env(cr=cr))._find_waits()
        return [event_id for at, event_id in waits if at <= now]

    def _deliver_one(self, event_id):
        """Send one event and keep what became of it; return the error, or None."""
        with own_cursor(self.env) as cr:
            event = self.env["g2p.webhook.event"].with_env(self.env(cr=cr)).browse(event_id)
            if not event.exists():
                return None  # switched off meanwhile
            message_id, body = event.message_id, event._prepare_body()
        try:
            if body:  # what it was about may all have changed again: a later event tells of that
                self._post(message_id, body)
        except BankError as error:
            self._keep_failure(event_id, error)
            return error
        with own_cursor(self.env) as cr:
            cr.execute("DELETE FROM g2p_webhook_event WHERE id = %s", [event_id])
        return None

    def _keep_failure(self, event_id, error):
        now = fields.Datetime.now()
        with own_cursor(self.env) as cr:
            cr.execute(
                """
                UPDATE g2p_webhook_event
                   SET attempts = attempts + 1, last_error = %(error)s,
                       first_failed_at = coalesce(first_failed_at, %(now)s),
                       next_attempt_at = %(now)s::timestamp
                           + least(%(first)s * 2 ^ least(attempts, 20), %(longest)s)
                           * interval '1 s'
                 WHERE id = %(id)s
                """,
                {
                    "id": event_id,
                    "now": now,
                    "error": f"{error} ({error.code})"[:200],
                    "first": FIRST_WAIT_S,
                    "longest": LONGEST_WAIT_S,
                },
            )

    def _keep_tally(self, tally):
        """Keep what administrators see; a receiver that is down is left alone for a while."""
        now = fields.Datetime.now()
        with own_cursor(self.env) as cr:
            cr.execute(
                """
                UPDATE g2p_webhook SET
                       delivered_count = coalesce(delivered_count, 0) + %(taken)s,
                       last_success_at = CASE WHEN %(taken)s > 0 THEN %(now)s
                                              ELSE last_success_at END,
                       last_failure_at = CASE WHEN %(error)s <> '' THEN %(now)s
                                              ELSE last_failure_at END,
                       last_failure = CASE WHEN %(error)s <> '' THEN %(error)s
                                           ELSE last_failure END,
                       failed_runs = CASE WHEN %(is_down)s THEN w.before + 1 ELSE 0 END,
                       next_run_at = CASE WHEN %(is_down)s THEN %(now)s::timestamp
                           + least(%(first)s * 2 ^ w.before, %(longest)s) * interval '1 s' END
                  FROM (SELECT id, CASE WHEN %(taken)s > 0 THEN 0
                                        ELSE least(coalesce(failed_runs, 0), 20) END AS before
                          FROM g2p_webhook) w
                 WHERE g2p_webhook.id = w.id AND w.id = %(id)s
                """,
                {
                    **tally,
                    "id": self.id,
                    "now": now,
                    "first": FIRST_PAUSE_S,
                    "longest": LONGEST_PAUSE_S,
                },
            )
        self.env.invalidate_all()

    def _post(self, message_id, body):
        """Send one signed event; whatever 2xx the receiver answers, it took it.

        Redirects are not followed, and nothing of the answer is kept but its status.

        :raise BankError: it was not taken, as far as we know
        """
        if not (keys := self._keys()):
            raise BankUnavailable("The webhook has no signing secret.", code="SECRET_MISSING")
        with requests.Session() as session:
            request = http.prepare(session, self.base_url, body, {})
            request.headers.update(signed_headers(message_id, request.body, keys, int(time.time())))
            http.send(
                session,
                request,
                timeout_s=TIMEOUT_S,
                safe=True,
                max_bytes=MAX_ANSWER_BYTES,
                parse=_only_status_counts,
            )

    def action_send_test_event(self):
        """Send an event of type ``test`` now, and show what the receiver made of it."""
        check_role(self, ADMINISTRATOR)
        self.ensure_one()
        body = {
            "type": "test",
            "timestamp": _utc(fields.Datetime.now()),
            "data": {"benefit_program_mnemonic": self.program_id.mnemonic},
        }
        try:
            self._post(f"msg_{uuid.uuid4().hex}", body)
        except BankError as error:
            kind, text = "danger", self.env._("It was not taken: %s", error)
        else:
            kind, text = "success", self.env._("The receiver took the test event.")
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {"type": kind, "message": text},
        }


class WebhookEvent(models.Model):
    """What an event says."""

    _inherit = "g2p.webhook.event"

    @api.private
    def _prepare_body(self):
        """Return the event as JSON data; None where there is nothing left to say."""
        self.ensure_one()
        envelope = self.envelope_id
        about = {
            "benefit_program_mnemonic": envelope.program_id.mnemonic,
            "disbursement_envelope_id": envelope.disbursement_envelope_id,
            "cycle_code_mnemonic": envelope.cycle_code_mnemonic,
        }
        if self.kind == "envelope":
            of_envelope = {
                "envelope_status": self.state,
                "attention_code": self.attention_code or "",
                "reissue_of_disbursement_envelope_id": (
                    envelope.reissued_from_id.disbursement_envelope_id or ""
                ),
                "changed_at": timestamp(self.created_at),
            }
            return self._enclosed("envelope.changed", {**about, **of_envelope})
        rows = self._find_changes()
        if not rows:
            return None
        changes = [change_answer(row) for row in rows]
        return self._enclosed("disbursements.changed", {**about, "changes": changes})

    def _enclosed(self, kind, data):
        return {"type": kind, "timestamp": _utc(self.created_at), "data": data}

    def _find_changes(self):
        """Return the payments whose latest change is one of those that the event is about."""
        return self.env.execute_query_dict(
            SQL(
                """
                WITH part AS MATERIALIZED (
                    SELECT c.id, c.envelope_id FROM g2p_disbursement c
                     WHERE (c.changed_xid, c.id) >= (%s, %s)
                       AND (c.changed_xid, c.id) <= (%s, %s))
                SELECT %s FROM part JOIN g2p_disbursement d ON d.id = part.id %s
                 WHERE part.envelope_id = %s ORDER BY d.changed_xid, d.id
                """,
                self.xid,
                self.first_id,
                self.last_xid,
                self.last_id,
                CHANGE_COLUMNS,
                CHANGE_JOINS,
                self.envelope_id.id,
            )
        )


class DisbursementEnvelope(models.Model):
    """An envelope whose program is told of it."""

    _inherit = "g2p.disbursement.envelope"

    @api.private
    def _transition(self, target, **values):
        moved = super()._transition(target, **values)
        if moved:
            self.env["g2p.webhook.event"]._note_envelopes(moved, target)
        return moved

    @api.private
    def _advance(self):
        result = super()._advance()
        # steps end here: their changes are told now, and not at the next tick of the cron
        webhooks = self.env["g2p.webhook"]
        found = webhooks.search(
            [("program_id", "=", self.program_id.id), ("is_paused", "=", False)]
        )
        found._enqueue_run()
        return result


def _utc(moment):
    return moment.replace(tzinfo=timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _only_status_counts(_body):
    """Return nothing of what a receiver says beside its HTTP status."""
