from contextlib import suppress
from unittest.mock import patch

from odoo import fields
from odoo.sql_db import Cursor
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown, BankUnavailable
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.jobrunner.runner import Database
from odoo.addons.queue_job.tests.common import trap_jobs

from .fake_bank import DoneThen
from .pipeline_case import PipelineCase
from .statement_case import entry, statement_text

NO_ANSWER = BankOutcomeUnknown("no answer", code="ReadTimeout")
#: more jobs than any of the ways below has
MANY = 40


@tagged("post_install", "-at_install")
class TestLostJobs(PipelineCase):
    """Whatever job dies for good, the cron finds its work by the state of the records."""

    def run_some(self, start, count):
        """Run what ``start`` enqueues, up to ``count`` jobs; all others are lost for good.

        :return: whether any was lost
        """
        todo = self._enqueued_by(start)
        while todo:
            if not count:
                return True
            count -= 1
            job = todo.pop(0)
            # what would come again is lost here, too
            with suppress(RetryableJobError), self.env.cr.savepoint():
                todo += self._enqueued_by(job.perform)
            self.env.flush_all()
            self.env.invalidate_all()
        return False

    def envelopes(self):
        """Yield envelopes of which all jobs after the first, second, ... are lost."""
        for count in range(MANY):
            envelope = self.ready_envelope(cycle_code_mnemonic=f"cycle {count}")
            was_lost = self.run_some(envelope._enqueue_advance, count)
            yield envelope
            if not was_lost:
                return
        self.fail("the jobs have no end")

    def run_cron(self):
        self.run_jobs(self.env["g2p.disbursement.envelope"]._cron_find_due_work)

    def upload(self, envelopes, number):
        """Have the bank report that all payments of the envelopes were made."""
        debits = [
            entry("D", 100, payment.disbursement_id) for payment in self.disbursements(envelopes)
        ]
        self.bank_api.upload_mt940(
            statement_text("TEST0001", debits, number=f"{number}/1"), "statement.mt940"
        )
        self.env.flush_all()

    def test_wherever_the_jobs_of_a_payment_are_lost_the_cron_goes_on(self):
        seen = set()
        for envelope in self.envelopes():
            seen.add(envelope.state)
            self.run_cron()
            self.assertEqual(envelope.state, "disbursed")
        self.assertLessEqual({"ready", "funds_available", "funds_blocked", "disbursing"}, seen)
        self.assertNothingTwice()

    def test_wherever_the_jobs_of_a_statement_are_lost_the_cron_goes_on(self):
        seen = set()
        for count in range(MANY):
            envelope = self.ready_envelope(cycle_code_mnemonic=f"cycle {count}")
            self.run_envelope(envelope)
            was_lost = self.run_some(lambda e=envelope, n=count: self.upload(e, n + 1), count)
            statement = self.env["g2p.account.statement"].search([], limit=1, order="id desc")
            seen.add((statement.state, envelope.state, bool(envelope.funds_released_at)))
            self.run_cron()
            self.assertEqual((statement.state, envelope.state), ("processed", "settled"))
            self.assertTrue(envelope.funds_released_at)
            if not was_lost:
                break
        self.assertLessEqual(
            {
                ("received", "disbursed", False),
                ("processed", "disbursed", False),
                ("processed", "settled", False),
            },
            seen,
        )

    def test_a_lost_release_of_a_block_whose_answer_was_lost_too_is_found(self):
        envelope = self.ready_envelope()
        envelope._set_funds_available()
        self.fake.script("block_funds", DoneThen(NO_ANSWER))
        envelope._block_funds_with_bank()
        with trap_jobs():
            self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        self.env.flush_all()
        self.run_cron()
        self.assertEqual(list(self.fake.blocks.values()), [0])
        self.assertTrue(envelope.funds_released_at)
        self.assertEqual(self._enqueued_by(envelope._cron_find_due_work), [])

    def test_a_bank_that_is_away_when_it_is_asked_does_not_undo_that_a_block_may_be_there(self):
        for problem in (BankUnavailable("away", code="Refused"), NO_ANSWER):
            self.fake.__init__()
            envelope = self.ready_envelope(cycle_code_mnemonic=problem.code)
            envelope._set_funds_available()
            self.fake.script("block_funds", DoneThen(NO_ANSWER), problem)
            envelope._block_funds_with_bank()
            with trap_jobs():
                self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
            with suppress(RetryableJobError):  # assertRaises would roll back what was noted
                envelope._release_funds_at_bank()
            self.assertEqual(self.fake.call_count("block_funds"), 2)
            self.env.flush_all()
            self.run_cron()
            self.assertEqual(set(self.fake.blocks.values()), {0})
            self.assertTrue(envelope.funds_released_at)

    def test_where_keys_are_unknown_a_lost_block_is_not_asked_about_each_minute(self):
        envelope = self.ready_envelope()
        envelope._set_funds_available()
        self.fake.honours_idempotency_key = False
        self.fake.script("block_funds", DoneThen(NO_ANSWER))
        envelope._block_funds_with_bank()
        with trap_jobs():
            self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        self.env.flush_all()
        self.run_cron()
        self.assertIn("Nobody knows whether funds are blocked", envelope.release_error)
        self.assertEqual(self._enqueued_by(envelope._cron_find_due_work), [])


@tagged("post_install", "-at_install")
class TestDeadJobs(PipelineCase):
    """What queue_job does with a job whose worker died, which we count on."""

    def start(self, envelope, seconds_ago, **values):
        """Return a job of the envelope that was started so long ago."""
        job = envelope._delayed("step", identity_key=f"advance:{envelope.id}")._advance()
        record = job.db_record()
        began = fields.Datetime.subtract(fields.Datetime.now(), seconds=seconds_ago)
        record.write({"state": "started", "date_enqueued": began, **values})
        self.env.flush_all()
        return record

    def die(self, envelope, **values):
        """Return a job of the envelope that was started a minute ago and whose worker is gone."""
        record = self.start(envelope, 60, **values)
        self.env.cr.execute(Database._query_requeue_dead_jobs(None))
        record.invalidate_recordset()
        return record

    def test_a_started_job_whose_worker_died_is_run_again(self):
        job = self.die(self.ready_envelope())
        self.assertEqual((job.state, job.retry), ("pending", 1))

    def test_a_job_that_was_never_taken_up_is_run_again(self):
        job = self.die(self.ready_envelope(), state="enqueued")
        self.assertEqual((job.state, job.retry), ("pending", 0))

    def test_a_job_that_died_too_often_is_replaced_by_the_cron(self):
        envelope = self.ready_envelope()
        job = self.die(envelope, retry=envelope.env["g2p.bridge"]._parameter("max_attempts") + 1)
        self.assertEqual((job.state, job.exc_name), ("failed", "JobFoundDead"))
        self.run_jobs(envelope._cron_find_due_work)
        self.assertEqual(envelope.state, "disbursed")

    def test_the_cron_has_the_job_runner_look_for_dead_jobs(self):
        """It would sleep for a minute, with the places of its channels taken by the dead."""
        envelopes = self.env["g2p.disbursement.envelope"]
        self.assertFalse(envelopes._wake_job_runner())
        self.start(self.ready_envelope(), 5)
        self.assertFalse(envelopes._wake_job_runner())
        self.start(self.ready_envelope(cycle_code_mnemonic="other"), 15)
        self.assertTrue(envelopes._wake_job_runner())

    def test_each_tick_of_the_cron_wakes_it(self):
        self.start(self.ready_envelope(), 15)
        with patch.object(Cursor, "execute", autospec=True, side_effect=Cursor.execute) as execute:
            self.env["g2p.disbursement.envelope"]._cron_find_due_work()
        queries = [str(call.args[1]) for call in execute.call_args_list]
        self.assertEqual(sum("pg_notify('queue_job'" in query for query in queries), 1)
