import base64
import hashlib
import hmac
import json
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.sql_db import db_connect
from odoo.tests import TransactionCase, tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models import webhook_delivery
from odoo.addons.g2p_bridge.models.own_cursor import lock_for_transaction
from odoo.addons.g2p_bridge.services import webhook_signature
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.common import trap_jobs

from .common import BridgeCommon
from .http_server import ScriptedServer, drop, reply


def verified(secret, headers, body):
    """Return the JSON of an event, as a receiver of its own: with nothing of ours."""
    key = base64.b64decode(secret[len("whsec_") :])
    names = {name.lower(): value for name, value in headers.items()}
    content = b".".join([names["webhook-id"].encode(), names["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" in names["webhook-signature"].split(" ")
    return names["webhook-id"], json.loads(body)


@tagged("post_install", "-at_install")
class TestWebhookSignature(TransactionCase):
    def test_it_is_the_one_of_the_standard(self):
        """The example of the specification's authors, computed by others."""
        headers = webhook_signature.signed_headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            b'{"test": 2432232314}',
            [webhook_signature.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            1614265330,
        )
        self.assertEqual(
            headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        )

    def test_what_is_no_secret_is_refused_without_repeating_it(self):
        for wrong in (
            "",
            "secret",
            "whsec_",
            "whsec_!!!!",
            "whsec_c2hvcnQ=",
            "whsec_" + "QUJD" * 30,
        ):
            with self.assertRaises(ValueError) as caught:
                webhook_signature.key_of(wrong)
            self.assertNotIn(wrong or "x", str(caught.exception).replace("whsec_ and", ""))
        key = webhook_signature.key_of(webhook_signature.new_secret())
        self.assertEqual(len(key), 32)


class WebhookCase(BridgeCommon):
    """A program whose changes are told to a real HTTP server."""

    def setUp(self):
        super().setUp()
        self.status = {}
        server = ScriptedServer(self.respond)
        self.enterContext(server)
        self.server = server
        self.secret = webhook_signature.new_secret()
        self.webhook = self.env["g2p.webhook"].create(
            {
                "program_id": self.program.id,
                "base_url": f"{server.url}/events",
                "secret": self.secret,
            }
        )
        self.env.flush_all()
        self.told = 0

    def respond(self, handler, body):
        """Answer as the test says: by status, for all or for one envelope; ``drop`` hangs up."""
        data = json.loads(body)["data"]
        answer = self.status.get(data.get("disbursement_envelope_id"), self.status.get("all", 204))
        if answer == "drop":
            drop(handler)
        elif answer == "redirect":
            reply(handler, b"", 302, headers=[("Location", f"{self.server.url}/elsewhere")])
        else:
            reply(handler, b"", answer)

    def events(self):
        """Return [(id, event)] that arrived since the last time, each verified."""
        arrived = self.server.requests[self.told :]
        self.told = len(self.server.requests)
        return [verified(self.secret, headers, body) for _path, headers, body in arrived]

    def changed(self, *payments, xid):
        """Have payments be changed by a transaction that is over."""
        self.env.flush_all()
        ids = [row_id for each in payments for row_id in each.ids]
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET changed_xid = %s WHERE id = ANY(%s)", [xid, ids]
        )
        self.env.cr.execute("UPDATE g2p_webhook_event SET xid = 1 WHERE kind = 'envelope'")
        self.env.invalidate_all()

    def rewind(self):
        """Have the webhook read all that is over."""
        self.env.flush_all()
        self.env.cr.execute("UPDATE g2p_webhook SET cursor_xid = 0, cursor_id = 0")
        self.env.invalidate_all()

    def read_changes(self):
        self.assertFalse(self.webhook._read_changes(time.monotonic() + 60))

    def run_webhook(self):
        """Run the job; return the times for which it enqueued others (None: at once)."""
        with trap_jobs() as trap:
            self.webhook._run()
        self.env.flush_all()
        self.env.invalidate_all()
        return [job.eta for job in trap.enqueued_jobs]

    def new_envelope(self, count=3, cycle="2026-11"):
        with trap_jobs():
            envelope = self.create_full_envelope(count, cycle_code_mnemonic=cycle)
        self.env.flush_all()
        return envelope

    def forget(self):
        """Have nothing wait that came before."""
        self.env.cr.execute("DELETE FROM g2p_webhook_event")
        self.env.invalidate_all()

    def assertBeginsNow(self):
        """Assert that all that was over is read, and nothing that may be under way."""
        [[below]] = self.env.execute_query(
            SQL("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        )
        self.assertEqual(self.webhook.cursor_xid, below - 1)

    def sized(self, name, value):
        before = getattr(webhook_delivery, name)
        setattr(webhook_delivery, name, value)
        self.addCleanup(setattr, webhook_delivery, name, before)


@tagged("post_install", "-at_install")
class TestWebhooks(WebhookCase):
    """What program systems are told, in which order, and what a bad receiver does to that."""

    # -- what is told ---------------------------------------------------------------------------

    def test_payments_and_their_envelope_are_told_signed_and_then_forgotten(self):
        envelope = self.new_envelope()
        self.changed(self.disbursements(envelope), xid=2)
        self.env.cr.execute("UPDATE g2p_webhook_event SET xid = 3")
        self.rewind()
        self.assertEqual(self.run_webhook(), [])
        (_first, payments), (_second, state) = self.events()
        self.assertEqual(payments["type"], "disbursements.changed")
        expected = self.api.get_disbursement_changes()["changes"]
        ours = envelope.disbursement_envelope_id
        self.assertEqual(
            payments["data"],
            {
                "benefit_program_mnemonic": "TESTPROG",
                "disbursement_envelope_id": ours,
                "cycle_code_mnemonic": "2026-11",
                "changes": [
                    change for change in expected if change["disbursement_envelope_id"] == ours
                ],
            },
        )
        self.assertEqual(len(payments["data"]["changes"]), 3)
        self.assertEqual(state["type"], "envelope.changed")
        self.assertEqual(state["data"]["envelope_status"], "ready")
        self.assertRegex(state["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertFalse(self.webhook.event_ids)
        self.assertEqual(self.webhook.delivered_count, 2)
        self.assertTrue(self.webhook.last_success_at)
        self.run_webhook()
        self.assertEqual(self.events(), [])

    def test_a_big_envelope_is_told_in_parts_that_have_each_payment_once(self):
        self.sized("CHANGES_PER_EVENT", 4)
        self.sized("CHANGES_AT_A_TIME", 10)
        envelope = self.new_envelope(23)
        other = self.new_envelope(5, cycle="2026-12")
        self.forget()
        self.changed(self.disbursements(envelope), self.disbursements(other), xid=2)
        self.rewind()
        self.run_webhook()
        sizes = [len(event["data"]["changes"]) for _id, event in self.events()]
        self.assertEqual(sum(sizes), 28)
        self.assertLessEqual(max(sizes), 4)
        told = [
            change["disbursement_id"]
            for _path, _headers, body in self.server.requests
            for change in json.loads(body)["data"]["changes"]
        ]
        self.assertEqual(len(set(told)), 28)

    def test_what_changed_again_is_told_once_as_it_stands(self):
        envelope = self.new_envelope()
        first, second, third = self.disbursements(envelope)
        self.forget()
        self.changed(first, second, third, xid=2)
        self.rewind()
        self.read_changes()
        self.env["g2p.disbursement"]._bulk_transition(
            "resolved", SQL("d.id = %s", first.id), cause="test"
        )
        self.changed(first, xid=3)
        self.run_webhook()
        [(_id, event)] = self.events()
        self.assertEqual(
            [change["disbursement_id"] for change in event["data"]["changes"]],
            [second.disbursement_id, third.disbursement_id],
        )
        self.rewind()
        self.env.cr.execute("UPDATE g2p_webhook SET cursor_xid = 2, cursor_id = %s", [third.id])
        self.env.invalidate_all()
        self.run_webhook()
        [(_id, event)] = self.events()
        [change] = event["data"]["changes"]
        self.assertEqual(
            (change["disbursement_id"], change["status"]),
            (
                first.disbursement_id,
                "resolved",
            ),
        )

    def test_what_may_still_be_under_way_waits(self):
        envelope = self.new_envelope()
        self.forget()
        self.rewind()
        self.run_webhook()  # all of it is of this very transaction
        ours = envelope.disbursement_envelope_id
        self.assertEqual(
            [e for _id, e in self.events() if e["data"]["disbursement_envelope_id"] == ours], []
        )
        self.assertFalse(self.webhook.event_ids)
        self.assertBeginsNow()

    def test_another_program_s_changes_are_not_told(self):
        other = self.create_program(mnemonic="OTHERPROG", name="Other")
        with trap_jobs():
            envelope = self.create_full_envelope(2, benefit_program_mnemonic="OTHERPROG")
        self.changed(self.disbursements(envelope), xid=2)
        self.rewind()
        self.run_webhook()
        self.assertEqual(self.events(), [])
        self.assertTrue(other)

    def test_a_cursor_of_a_database_before_its_restore_begins_anew(self):
        self.env.cr.execute("UPDATE g2p_webhook SET cursor_xid = 999999999999")
        self.env.invalidate_all()
        self.run_webhook()
        self.assertBeginsNow()

    # -- a receiver that fails ------------------------------------------------------------------

    @contextmanager
    def held_elsewhere(self, name):
        """Have another session hold an advisory lock."""
        with db_connect(self.env.cr.dbname).cursor() as cr:
            lock_for_transaction(cr, name)
            yield

    def three_envelopes(self):
        """Return envelopes with two events each."""
        envelopes = [self.new_envelope(2, cycle=f"c{number}") for number in range(3)]
        self.forget()
        for xid in (2, 4):
            for envelope in envelopes:
                payments = self.disbursements(envelope)
                self.changed(payments[xid // 3], xid=xid)
        self.rewind()
        self.sized("CHANGES_PER_EVENT", 1)
        self.read_changes()
        return envelopes

    def test_an_event_that_fails_holds_back_its_envelope_and_no_other(self):
        bad, *good = self.three_envelopes()
        name = bad.disbursement_envelope_id
        self.status[name] = 400
        [later] = self.run_webhook()
        events = self.events()
        tried = [
            event_id for event_id, e in events if e["data"]["disbursement_envelope_id"] == name
        ]
        self.assertEqual(len(tried), 1)
        taken = [e["data"]["disbursement_envelope_id"] for _id, e in events]
        for envelope in good:
            self.assertEqual(taken.count(envelope.disbursement_envelope_id), 2)
        self.assertEqual(len(self.webhook.event_ids), 2)
        self.assertEqual((self.webhook.held_count, self.webhook.failed_runs), (1, 0))
        self.assertGreater(later, fields.Datetime.now())
        # again, not yet due
        self.assertEqual(self.run_webhook(), [later])
        self.assertEqual(self.events(), [])
        # and taken in the end: the first one first, under its id
        self.status.clear()
        self.webhook.action_resume()
        self.run_webhook()
        (first, _event), (second, _later) = self.events()
        self.assertEqual(first, tried[0])
        self.assertNotEqual(first, second)
        self.assertFalse(self.webhook.event_ids)

    def test_the_waits_grow_and_end(self):
        self.three_envelopes()
        self.status["all"] = 400
        waits = []
        for _attempt in range(12):
            now = fields.Datetime.now()
            self.env.cr.execute("UPDATE g2p_webhook_event SET next_attempt_at = NULL")
            self.env.invalidate_all()
            self.run_webhook()
            waits.append(
                max(
                    (event.next_attempt_at - now).total_seconds()
                    for event in self.webhook.event_ids
                    if event.next_attempt_at
                )
            )
        self.assertLess(waits[0], 20)
        self.assertTrue(all(later >= earlier - 5 for earlier, later in pairwise(waits)))
        self.assertLessEqual(waits[-1], 3700)
        self.assertGreater(waits[-1], 3500)

    def test_a_dead_receiver_is_left_alone_for_a_while_and_loses_nothing(self):
        self.three_envelopes()
        self.status["all"] = "drop"
        [later] = self.run_webhook()
        self.assertEqual(len(self.server.requests), 2)  # not one for each envelope
        self.assertEqual(later, self.webhook.next_run_at)
        self.assertEqual(self.webhook.failed_runs, 1)
        self.assertIn("ConnectionError", self.webhook.last_failure)
        self.run_webhook()
        self.assertEqual(len(self.server.requests), 2)
        self.events()
        self.status.clear()
        self.webhook.action_resume()
        self.run_webhook()
        self.assertEqual(len(self.events()), 6)
        self.assertEqual(self.webhook.failed_runs, 0)
        self.assertFalse(self.webhook.next_run_at)

    def test_a_redirect_is_not_followed_and_counts_as_not_taken(self):
        self.three_envelopes()
        self.status["all"] = "redirect"
        self.run_webhook()
        self.assertEqual({path for path, _headers, _body in self.server.requests}, {"/events"})
        self.assertEqual(len(self.webhook.event_ids), 6)
        self.assertIn("redirect", self.webhook.last_failure)

    def test_an_answer_without_end_is_given_up(self):
        def respond(handler, _body):
            reply(handler, b"x" * 200_000)

        self.three_envelopes()
        with ScriptedServer(respond) as server:
            self.webhook.base_url = server.url
            self.env.flush_all()
            self.run_webhook()
        self.assertIn("ANSWER_TOO_LONG", self.webhook.last_failure)
        self.assertEqual(len(self.webhook.event_ids), 6)

    def test_with_too_many_waiting_nothing_new_is_read(self):
        self.three_envelopes()
        self.sized("MOST_WAITING", 3)
        self.rewind()
        self.status["all"] = 500
        self.run_webhook()
        self.assertEqual(self.webhook.cursor_xid, 0)
        self.assertEqual(self.webhook.waiting_count, 6)

    def test_what_is_not_taken_for_long_is_on_the_worklist(self):
        self.three_envelopes()
        self.status["all"] = 503
        self.run_webhook()
        cases = self.env["g2p.attention"].with_user(self.officer)
        domain = [("kind", "=", "webhook_down")]
        self.assertFalse(cases.search(domain))
        since = fields.Datetime.now() - timedelta(minutes=16)
        self.env.cr.execute(
            "UPDATE g2p_webhook_event SET first_failed_at = %s WHERE attempts > 0", [since]
        )
        self.env.invalidate_all()
        case = cases.search(domain)
        self.assertEqual((case.program_id, case.place), (self.program, "Test program"))
        self.assertIn("takes no events", case.name)
        self.assertEqual(case.action_view_subject()["res_model"], "g2p.benefit.program")
        self.webhook.is_paused = True
        self.env.flush_all()
        self.assertFalse(cases.search(domain))

    # -- when -----------------------------------------------------------------------------------

    def test_the_cron_finds_what_there_is_to_tell_and_nothing_else(self):
        def enqueued():
            with trap_jobs() as trap:
                self.env["g2p.webhook"]._cron_deliver()
            return [job.recordset for job in trap.enqueued_jobs if job.recordset == self.webhook]

        self.run_webhook()
        self.env.cr.execute(
            "UPDATE g2p_webhook SET cursor_xid = pg_current_xact_id()::text::bigint"
        )
        self.env.invalidate_all()
        self.assertEqual(enqueued(), [])
        self.env.cr.execute("UPDATE g2p_webhook SET cursor_xid = cursor_xid - 1")
        self.new_envelope()
        self.assertEqual(enqueued(), [self.webhook])
        self.webhook.is_paused = True
        self.env.flush_all()
        self.assertEqual(enqueued(), [])

    def test_a_step_of_the_pipeline_has_its_changes_told_at_once(self):
        envelope = self.new_envelope()
        with trap_jobs() as trap:
            envelope._advance()
        self.assertIn(
            self.webhook, [job.recordset for job in trap.enqueued_jobs if job.method_name == "_run"]
        )

    def test_while_another_session_delivers_a_job_leaves_it_to_it(self):
        self.three_envelopes()
        with self.held_elsewhere(f"g2p.webhook:{self.webhook.id}"):
            self.assertEqual(self.run_webhook(), [])
        self.assertEqual(self.events(), [])
        with self.held_elsewhere("g2p.webhook.turn"), self.assertRaises(RetryableJobError):
            self.webhook._run()
        self.run_webhook()
        self.assertEqual(len(self.events()), 6)

    def test_paused_it_tells_later_switched_off_it_does_not(self):
        envelope = self.new_envelope()
        self.forget()
        self.webhook.action_pause()
        envelope._set_approved()
        self.env.flush_all()
        self.assertEqual(self.webhook.event_ids.mapped("state"), ["approved"])
        self.changed(self.disbursements(envelope), xid=2)
        self.run_webhook()
        self.assertEqual(self.events(), [])
        with trap_jobs() as trap:
            self.webhook.action_resume()
        self.assertEqual(len(trap.enqueued_jobs), 1)
        self.rewind()
        self.run_webhook()
        self.assertEqual(len(self.events()), 2)
        self.webhook.active = False
        envelope._set_needs_attention("X", "x")
        self.env.flush_all()
        self.assertFalse(self.webhook.event_ids)
        self.webhook.active = True
        self.env.flush_all()
        self.assertBeginsNow()

    # -- who and how ----------------------------------------------------------------------------

    def test_a_test_event_is_sent_at_once_and_shown(self):
        administrator = self.create_user("test_admin", "g2p_bridge.group_administrator")
        action = self.webhook.with_user(administrator).action_send_test_event()
        self.assertEqual(action["params"]["type"], "success")
        [(event_id, event)] = self.events()
        self.assertTrue(event_id.startswith("msg_"))
        self.assertEqual(event["type"], "test")
        self.status["all"] = 401
        action = self.webhook.with_user(administrator).action_send_test_event()
        self.assertEqual(action["params"]["type"], "danger")
        self.assertIn("401", action["params"]["message"])
        with self.assertRaises(AccessError):
            self.webhook.with_user(self.officer).action_send_test_event()

    def test_a_new_secret_and_the_old_one_count_for_a_day(self):
        administrator = self.create_user("test_admin", "g2p_bridge.group_administrator")
        with self.assertRaises(AccessError):
            self.webhook.with_user(administrator).action_new_secret()
        old = self.secret
        self.webhook.action_new_secret()
        new = self.webhook.secret
        self.assertNotEqual(new, old)
        self.webhook.action_send_test_event()
        _path, headers, body = self.server.requests[-1]
        verified(old, headers, body)
        verified(new, headers, body)
        self.webhook.old_secret_until = fields.Datetime.now() - timedelta(seconds=1)
        self.webhook.action_send_test_event()
        _path, headers, body = self.server.requests[-1]
        verified(new, headers, body)
        with self.assertRaises(AssertionError):
            verified(old, headers, body)

    def test_without_a_secret_nothing_is_sent(self):
        self.three_envelopes()
        self.env.cr.execute("UPDATE g2p_webhook SET secret = NULL")
        self.env.invalidate_all()
        self.run_webhook()
        self.assertEqual(self.server.requests, [])
        self.assertIn("SECRET_MISSING", self.webhook.last_failure)

    def test_a_secret_is_made_where_none_is_given_and_a_weak_one_refused(self):
        other = self.create_program(mnemonic="OTHERPROG", name="Other")
        values = {"program_id": other.id, "base_url": "https://pbms.example/hook"}
        webhook = self.env["g2p.webhook"].create(values)
        self.assertEqual(len(webhook_signature.key_of(webhook.secret)), 32)
        self.assertFalse(webhook.copy_data()[0].get("secret"))
        with self.assertRaises(ValidationError):
            webhook.secret = "hunter2"

    def test_events_go_by_https_or_to_this_machine(self):
        for url in ("http://pbms.example/hook", "ftp://x/y", "https://u:p@x/y", "https://x/y?k=1"):
            with self.assertRaises(ValidationError), self.env.cr.savepoint():
                self.webhook.base_url = url
        for url in ("https://pbms.example/hook", "http://localhost:8080/hook"):
            self.webhook.base_url = url

    def test_nobody_moves_a_webhook_whose_secret_is_not_for_him(self):
        administrator = self.create_user("test_admin", "g2p_bridge.group_administrator")
        with self.assertRaises(AccessError):
            self.webhook.with_user(administrator).base_url = "https://elsewhere.example/"
