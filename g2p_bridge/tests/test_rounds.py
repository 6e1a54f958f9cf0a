from datetime import timedelta
from itertools import pairwise

from odoo import fields
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models import pipeline_disburse, pipeline_resolve
from odoo.addons.queue_job.tests.common import trap_jobs

from .fake_bank import DoneThen
from .pipeline_case import PipelineCase
from .test_pipeline import NO_ANSWER


class RealJobsCase(PipelineCase):
    """Jobs are real rows of the job list here, and run by hand."""

    def jobs(self, method):
        """Return the jobs of a method that have not ended, in the order they were made."""
        return self.env["queue.job"].search(
            [("method_name", "=", method), ("state", "!=", "done")], order="id"
        )

    def run_first(self, method):
        """Run the oldest job of the method to its end."""
        job = self.jobs(method)[0]
        job.state = "started"
        self.env.flush_all()
        getattr(job.records, method)(*job.args)
        job.write({"state": "done", "date_done": fields.Datetime.now()})
        self.env.flush_all()


@tagged("post_install", "-at_install")
class TestLookupTurns(RealJobsCase):
    """A few look-ups of an envelope at a time."""

    def setUp(self):
        super().setUp()
        self.patch(pipeline_resolve, "LOOKUPS_AT_A_TIME", 2)
        self.env["ir.config_parameter"].set_param("g2p_bridge.resolve_size", "2")

    def slices(self):
        """Return the cycles and places (from 1) of the payments that jobs are to look up."""
        found = []
        for job in self.jobs("_resolve"):
            first_id, last_id, _states = job.args
            ids = self.disbursements(job.records).sorted("id").ids
            found.append(
                (
                    job.records.cycle_code_mnemonic,
                    ids.index(first_id) + 1,
                    ids.index(last_id) + 1,
                )
            )
        return found

    def test_no_more_jobs_than_places_however_often_it_is_asked(self):
        envelope = self.ready_envelope(10, cycle_code_mnemonic="big")
        for _time in range(2):
            self.assertEqual(envelope._enqueue_resolve(), 2)
            self.assertEqual(self.slices(), [("big", 1, 2), ("big", 3, 4)])

    def test_each_that_ends_enqueues_the_next_and_the_last_one_the_next_step(self):
        envelope = self.ready_envelope(9, cycle_code_mnemonic="big")
        envelope._enqueue_resolve()
        seen = []
        while self.jobs("_resolve"):
            self.assertFalse(self.jobs("_advance"))
            seen.append(self.slices()[0])
            self.assertLessEqual(len(self.slices()), 2)
            self.run_first("_resolve")
        self.assertEqual(seen, [("big", n, min(n + 1, 9)) for n in (1, 3, 5, 7, 9)])
        self.assertEqual(self.jobs("_advance").records, envelope)
        self.assertStates(envelope, *["resolved"] * 3, *["unresolved"] * 6)

    def test_envelopes_take_turns_whatever_their_size(self):
        for cycle, count in (("big", 8), ("small", 4)):
            self.ready_envelope(count, cycle_code_mnemonic=cycle)._enqueue_resolve()
        seen = []
        while self.jobs("_resolve"):
            seen.append(self.slices()[0][0])
            self.run_first("_resolve")
        self.assertEqual(seen, ["big", "big", "small", "small", "big", "big"])

    def test_a_slice_whose_job_was_lost_is_looked_up_in_the_end(self):
        envelope = self.ready_envelope(8, cycle_code_mnemonic="big")
        envelope._enqueue_resolve()
        self.jobs("_resolve")[0].state = "failed"
        while self.jobs("_resolve").filtered(lambda job: job.state == "pending"):
            self.jobs("_resolve").filtered(lambda job: job.state == "failed").unlink()
            self.run_first("_resolve")
        self.assertEqual(self.disbursements(envelope).sorted("id")[0].state, "received")
        self.run_first("_advance")
        self.assertEqual(self.slices(), [("big", 1, 2)])

    def test_the_unresolved_are_looked_up_again_among_those_that_came_since(self):
        envelope = self.ready_envelope(8, cycle_code_mnemonic="big")
        self.env["g2p.disbursement"]._bulk_transition(
            "unresolved",
            SQL("d.id = ANY(%s)", self.disbursements(envelope).sorted("id").ids[2:5]),
            cause="test",
        )
        envelope._enqueue_resolve(states=("received", "unresolved"))
        self.assertEqual(self.slices(), [("big", 1, 2), ("big", 3, 4)])
        while self.jobs("_resolve"):
            self.run_first("_resolve")
        self.assertStates(envelope, *["resolved"] * 3, *["unresolved"] * 5)
        self.assertEqual(len(self.jobs("_advance")), 1)

    def test_a_pause_stops_after_what_is_under_way(self):
        envelope = self.ready_envelope(8, cycle_code_mnemonic="big")
        envelope._enqueue_resolve()
        envelope.is_paused = True
        self.run_first("_resolve")
        self.assertEqual(self.slices(), [("big", 3, 4)])


@tagged("post_install", "-at_install")
class TestInquiryTurns(RealJobsCase):
    """As many inquiries at a time as the bank takes calls."""

    def unknown_batches(self, count):
        """Return an envelope whose batches, of two payments each, all have an unknown outcome."""
        self.link(*(f"BEN{number}" for number in range(4, 2 * count + 1)))
        envelope = self.ready_envelope(2 * count, cycle_code_mnemonic="unknown")
        with trap_jobs():
            envelope._resolve(0, 2**31 - 1)
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
            envelope._form_batches()
        self.fake.script("initiate_payment", *[DoneThen(NO_ANSWER)] * count)
        for batch in envelope.batch_ids:
            with trap_jobs():
                batch._disburse_funds_from_bank()
        self.env.cr.execute(  # all were asked about an hour ago
            "UPDATE g2p_bank_call SET started_at = started_at - interval '1 hour'"
        )
        envelope.batch_ids.state_since = fields.Datetime.now() - timedelta(hours=1)
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(set(envelope.batch_ids.mapped("state")), {"unknown"})
        return envelope

    def enqueue(self):
        self.env["g2p.disbursement.batch"]._enqueue_inquiries(500)

    def test_each_that_ends_has_the_next_one_asked_about_until_all_are(self):
        envelope = self.unknown_batches(4)
        seen = []
        for _time in range(2):
            self.enqueue()
        while jobs := self.jobs("_disburse_funds_from_bank"):
            seen.append(len(jobs))
            self.run_first("_disburse_funds_from_bank")
        self.assertEqual(seen, [2, 2, 2, 1])
        self.assertEqual(set(envelope.batch_ids.mapped("state")), {"acknowledged"})
        self.assertNothingTwice()

    def test_batches_that_are_sent_keep_no_inquiry_waiting(self):
        self.bank.max_parallel_calls = 1
        unknown = self.unknown_batches(2)
        big = self.ready_envelope(4, cycle_code_mnemonic="big")
        with trap_jobs():
            big._resolve(0, 2**31 - 1)
            big._set_funds_available()
            big._block_funds_with_bank()
            big._form_batches()
        self.bank._enqueue_ready()
        self.enqueue()
        seen = []
        while jobs := self.jobs("_disburse_funds_from_bank"):
            seen.append(jobs[0].records.envelope_id.cycle_code_mnemonic)
            self.run_first("_disburse_funds_from_bank")
        self.assertEqual(seen, ["big", "unknown", "unknown", "big"])
        self.assertEqual(set((big + unknown).batch_ids.mapped("state")), {"acknowledged"})
        self.assertNothingTwice()


@tagged("post_install", "-at_install")
class TestDestinations(PipelineCase):
    """Batches for one destination bank each, made a round at a time."""

    def setUp(self):
        super().setUp()
        self.patch(pipeline_disburse, "BATCHES_PER_ROUND", 2)
        self.bank.split_by_destination_bank = True

    def formed(self, destinations):
        """Return the destination and size of each batch made for payments to these banks."""
        count = len(destinations)
        self.link(*(f"BEN{number}" for number in range(4, count + 1)))
        for number, destination in enumerate(destinations, start=1):
            link = self.env["g2p.account.link"].search([("beneficiary_id", "=", f"BEN{number}")])
            link.bank_code = destination
        envelope = self.ready_envelope(count)
        with trap_jobs():
            envelope._resolve(0, 2**31 - 1)
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        sizes = [0]
        while len(envelope.batch_ids) > sizes[-1] or len(sizes) == 1:
            sizes.append(len(envelope.batch_ids))
            with trap_jobs():
                envelope._form_batches()
            self.env.invalidate_all()
        self.assertLessEqual(max(after - before for before, after in pairwise(sizes)), 2)
        self.assertStates(envelope, *["batched"] * count)
        for batch in envelope.batch_ids:
            [destination] = set(batch.disbursement_ids.mapped("bank_code"))
            self.assertEqual(batch.destination_bank_code, destination)
        return envelope.batch_ids.mapped(
            lambda batch: (batch.destination_bank_code, batch.disbursement_count)
        )

    def test_what_fills_no_batch_waits_for_a_later_round(self):
        # four payments are read for a round; each bank gets full batches but for its last one
        self.assertEqual(
            self.formed("AABCABCACAB"),
            [("A", 2), ("B", 2), ("A", 2), ("C", 2), ("A", 1), ("B", 1), ("C", 1)],
        )

    def test_of_more_banks_than_a_round_reads_payments_each_gets_what_there_is(self):
        letters = "ABCDEFGHIJKLMNOPQRSTUVW"
        self.assertEqual(sorted(self.formed(letters)), [(letter, 1) for letter in letters])
