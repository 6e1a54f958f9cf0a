from datetime import timedelta

from odoo import fields
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.errors import BankUnavailable
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.common import trap_jobs

from .pipeline_case import PipelineCase


@tagged("post_install", "-at_install")
class TestTurns(PipelineCase):
    """Whose batch goes next; jobs are real rows of the job list here, and run by hand."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.link(*(f"BEN{number}" for number in range(4, 11)))

    def disbursing(self, cycle, count=10, **values):
        """Return an envelope whose batches, of two payments each, stand ready; none has a job."""
        envelope = self.ready_envelope(count, cycle_code_mnemonic=cycle, **values)
        with trap_jobs():
            envelope._resolve(0, 2**31 - 1)
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
            envelope._form_batches()
        self.env.flush_all()
        return envelope

    def jobs(self):
        """Return the jobs that send batches and have not ended, in the order they were made."""
        return self.env["queue.job"].search(
            [("method_name", "=", "_disburse_funds_from_bank"), ("state", "!=", "done")], order="id"
        )

    def batches(self):
        """Return what :meth:`jobs` send, each as its envelope's cycle and its number in there."""
        found = []
        for job in self.jobs():
            batch = job.records
            found.append((batch.envelope_id.cycle_code_mnemonic, int(batch.name.split("-")[-1])))
        return found

    def run_first(self):
        """Run the oldest job to its end."""
        job = self.jobs()[0]
        job.state = "started"
        self.env.flush_all()
        job.records._disburse_funds_from_bank()
        job.write({"state": "done", "date_done": fields.Datetime.now()})
        self.env.flush_all()

    def test_no_more_jobs_than_the_bank_takes_calls(self):
        self.bank.max_parallel_calls = 3
        envelope = self.disbursing("big")
        for _time in range(2):
            envelope._form_batches()
            self.assertEqual(self.batches(), [("big", 1), ("big", 2), ("big", 3)])

    def test_each_that_ends_gives_its_place_to_the_next_until_all_are_sent(self):
        envelope = self.disbursing("big")
        envelope._form_batches()
        seen = []
        while jobs := self.jobs():
            seen.append(len(jobs))
            self.run_first()
        self.assertEqual(seen, [2, 2, 2, 2, 1])
        self.assertEqual(set(envelope.batch_ids.mapped("state")), {"acknowledged"})
        self.assertNothingTwice()

    def test_envelopes_of_a_bank_take_turns_whatever_their_size(self):
        self.bank.max_parallel_calls = 1
        for cycle, count in (("big", 10), ("small", 2), ("middle", 4)):
            self.disbursing(cycle, count)
        self.bank._enqueue_ready()
        seen = []
        while self.jobs():
            seen += self.batches()
            self.run_first()
        self.assertEqual(
            [cycle for cycle, _number in seen],
            ["big", "small", "middle", "big", "middle", "big", "big", "big"],
        )

    def test_a_paused_envelope_is_passed_over_and_its_job_gives_the_place_away(self):
        self.bank.max_parallel_calls = 1
        first, _second = self.disbursing("first"), self.disbursing("second")
        self.bank._enqueue_ready()
        first.is_paused = True
        self.run_first()
        self.assertEqual(self.batches(), [("second", 1)])
        self.run_first()
        self.assertEqual(self.batches(), [("second", 2)])
        self.assertEqual(set(first.batch_ids.mapped("state")), {"ready"})

    def test_banks_do_not_take_places_from_each_other(self):
        self.bank.max_parallel_calls = 1
        self.disbursing("here")
        self.bank._enqueue_ready()
        company = self.env["res.company"].create({"name": "Another company"})
        bank = self.create_bank(code=self.bank.code, company_id=company.id, max_parallel_calls=1)
        self.assertEqual(bank._job_channel(), self.bank._job_channel())
        jobs = bank._find_jobs(self.env.cr)
        self.assertEqual((jobs, bank._free_places(jobs)), ({}, 1))

    def wait(self, seconds):
        """Have the only job wait for so long."""
        self.jobs().eta = fields.Datetime.now() + timedelta(seconds=seconds)
        self.env.flush_all()
        self.bank._enqueue_ready()

    def test_a_job_that_waits_for_long_leaves_its_place_to_another_batch(self):
        self.bank.max_parallel_calls = 1
        self.disbursing("big")
        self.bank._enqueue_ready()
        self.wait(seconds=30)
        self.assertEqual(self.batches(), [("big", 1)])
        self.wait(seconds=300)
        self.assertEqual(self.batches(), [("big", 1), ("big", 2)])

    def test_while_the_bank_is_down_others_do_not_come_to_wait_with_it(self):
        self.bank.max_parallel_calls = 1
        envelope = self.disbursing("big")
        self.bank._enqueue_ready()
        health = self.env["g2p.bank.health"].search([("bank_id", "=", self.bank.id)])
        health.open_until = fields.Datetime.now() + timedelta(seconds=300)
        self.wait(seconds=300)
        self.assertEqual(self.batches(), [("big", 1)])
        health.open_until = fields.Datetime.now() - timedelta(seconds=1)
        self.env.flush_all()
        envelope._form_batches()
        self.assertEqual(self.batches(), [("big", 1), ("big", 2)])

    def test_a_place_lost_with_its_job_is_given_away_by_the_cron(self):
        self.bank.max_parallel_calls = 1
        self.disbursing("big")
        self.bank._enqueue_ready()
        self.jobs().state = "failed"
        self.env.flush_all()
        for job in self._enqueued_by(self.env["g2p.disbursement.envelope"]._cron_find_due_work):
            job.perform()
        self.assertEqual(len(self.jobs().filtered(lambda job: job.state == "pending")), 1)

    def test_a_batch_that_comes_back_later_keeps_its_job_and_no_other_gets_one(self):
        self.bank.max_parallel_calls = 1
        self.disbursing("big")
        self.bank._enqueue_ready()
        self.fake.script("initiate_payment", BankUnavailable("away", code="Refused"))
        with self.assertRaises(RetryableJobError), self.env.cr.savepoint():
            self.run_first()
        self.bank._enqueue_ready()
        self.assertEqual(self.batches(), [("big", 1)])
