from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.queue_job.tests.common import trap_jobs

from .fake_bank import DoneThen
from .pipeline_case import PipelineCase

LIMIT = 3
WAIT_S = 30
LONGEST_S = 100


@tagged("post_install", "-at_install")
class TestBankHealth(PipelineCase):
    """A bank that is down is asked gently, and comes back by itself."""

    keeps_postponed = True

    def setUp(self):
        super().setUp()
        parameters = self.env["ir.config_parameter"]
        parameters.set_param("g2p_bridge.breaker_failures", str(LIMIT))
        parameters.set_param("g2p_bridge.breaker_seconds", str(WAIT_S))
        parameters.set_param("g2p_bridge.breaker_longest_seconds", str(LONGEST_S))

    def fail(self, count, error=None):
        """Have so many funds checks find the bank down; return the envelopes."""
        envelopes = [self.ready_envelope() for _number in range(count)]
        self.fake.script("check_funds", *[error or BankUnavailable("down", code="Refused")] * count)
        for envelope in envelopes:
            self.run_jobs(envelope._enqueue_check_funds)
        return envelopes

    def health(self):
        self.env.invalidate_all()
        return self.env["g2p.bank.health"].search([("bank_id", "=", self.bank.id)])

    def let_pass(self, seconds):
        """Move what is dated into the past."""
        health = self.health()
        self.env.cr.execute(
            "UPDATE g2p_bank_health SET open_until = open_until - make_interval(secs => %s)"
            " WHERE id = %s",
            [seconds, health.id],
        )

    def seconds_open(self):
        return (self.health().open_until - fields.Datetime.now()).total_seconds()

    def test_some_failures_are_no_reason_to_stop_asking(self):
        self.fail(LIMIT - 1)
        self.assertFalse(self.health().is_open)
        self.assertEqual(self.health().failure_count, LIMIT - 1)
        self.assertFalse(self.bank.down_message)

    def test_after_some_failures_in_a_row_nobody_asks(self):
        self.fail(LIMIT)
        self.assertTrue(self.health().is_open)
        others = [self.ready_envelope() for _number in range(10)]
        postponed = [
            error for envelope in others for error in self.run_jobs(envelope._enqueue_check_funds)
        ]
        self.assertEqual(self.fake.call_count("check_funds"), LIMIT)
        self.assertEqual(len(postponed), 10)
        for error in postponed:
            self.assertTrue(error.ignore_retry, "waiting is no attempt")
            self.assertBetween(error.seconds, 1, WAIT_S + 10)

    def assertBetween(self, number, low, high):
        self.assertGreaterEqual(number, low)
        self.assertLessEqual(number, high)

    def test_the_officer_sees_why(self):
        [first, *_others] = self.fail(LIMIT)
        for text in (self.bank.down_message, first.bank_down_message):
            self.assertIn("Test bank has not answered", text)
            self.assertIn("Refused", text)
        down = self.env["g2p.bank.health"].with_user(self.officer).search([("is_open", "=", True)])
        self.assertEqual(down.bank_id, self.bank)
        self.assertFalse(
            self.env["g2p.bank.health"].search([("is_open", "=", False), ("id", "in", down.ids)])
        )

    def test_then_one_call_goes_through_as_a_probe(self):
        envelopes = self.fail(LIMIT)
        self.let_pass(WAIT_S)
        reached = []

        def answer(*_arguments):
            # while the probe is under way, nobody else is let through
            self.assertTrue(self.run_envelope(envelopes[1]))
            reached.append(True)
            raise BankUnavailable("still down", code="Refused")

        self.fake.script("check_funds", answer)
        self.run_envelope(envelopes[0])
        self.assertEqual(reached, [True])
        self.assertEqual(self.fake.call_count("check_funds"), LIMIT + 1)

    def test_each_failed_probe_doubles_the_wait_up_to_the_longest(self):
        envelopes = self.fail(LIMIT)
        for expected in (2 * WAIT_S, LONGEST_S, LONGEST_S):
            self.let_pass(LONGEST_S)
            self.fake.script("check_funds", BankUnavailable("down", code="Refused"))
            self.run_envelope(envelopes[0])
            self.assertBetween(self.seconds_open(), expected - 5, expected)

    def test_an_answer_opens_the_way_for_all(self):
        envelopes = self.fail(LIMIT)
        self.let_pass(WAIT_S)
        for envelope in envelopes:
            self.run_envelope(envelope)
        self.assertFalse(self.health().is_open)
        self.assertFalse(self.health().down_since)
        for envelope in envelopes:
            self.assertStates(envelope, "sent", "sent", "sent")
        self.assertNothingTwice()

    def test_a_refusal_is_an_answer(self):
        self.fail(LIMIT - 1)
        self.fail(LIMIT, error=BankRejected("no such account", code="AC01"))
        self.assertFalse(self.health().is_open)
        self.assertEqual(self.health().failure_count, 0)

    def test_a_batch_waits_and_nothing_is_known_to_have_failed(self):
        envelope = self.ready_envelope(2)
        self.fake.script("block_funds", *[BankUnavailable("down", code="Refused")] * LIMIT)
        for _number in range(LIMIT):
            self.run_envelope(envelope)
        self.assertTrue(self.health().is_open)
        self.assertFalse(envelope.attention_code)
        self.let_pass(WAIT_S)
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent")

    def test_the_one_call_that_may_pass_is_the_question_about_an_unknown_batch(self):
        envelope = self.ready_envelope(2)
        self.fake.script("initiate_payment", DoneThen(BankOutcomeUnknown("?", code="Timeout")))
        self.run_envelope(envelope)
        self.assertStates(envelope, "unknown", "unknown")
        self.fail(LIMIT)
        self.let_pass(WAIT_S)
        # to look what is known of the payment call is no call: it must not use the probe up
        self.assertFalse(self.run_jobs(envelope.batch_ids._enqueue_disburse))
        self.assertStates(envelope, "sent", "sent")
        self.assertFalse(self.health().is_open)
        self.assertNothingTwice()

    def test_the_one_call_that_may_pass_is_the_question_about_a_lost_block(self):
        envelope = self.ready_envelope(2)
        self.fake.script("block_funds", DoneThen(BankOutcomeUnknown("?", code="Timeout")))
        self.run_envelope(envelope)
        with trap_jobs():
            self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        self.fail(LIMIT)
        self.let_pass(WAIT_S)
        self.assertFalse(self.run_jobs(envelope._enqueue_release_funds))
        self.assertEqual(list(self.fake.blocks.values()), [0])
        self.assertTrue(envelope.funds_released_at)

    def test_an_officer_who_knows_better_has_it_asked_at_once(self):
        envelopes = self.fail(LIMIT)
        viewer = self.create_user("test_viewer", "g2p_bridge.group_viewer")
        with self.assertRaises(AccessError):
            self.health().with_user(viewer).action_ask_again()
        self.health().with_user(self.officer).action_ask_again()
        self.run_envelope(envelopes[0])
        self.assertStates(envelopes[0], "sent", "sent", "sent")

    def test_one_bank_that_is_down_stops_no_other(self):
        self.fail(LIMIT)
        other = self.create_bank(code="OTHER", connector=self.bank.connector)
        account = self.create_account(other, account_number="OTHER1")
        self.create_program(mnemonic="OTHERPROG", funding_account_id=account.id)
        envelope = self.ready_envelope(3, benefit_program_mnemonic="OTHERPROG")
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent", "sent")

    def test_it_was_down_since_the_first_failure(self):
        self.fail(LIMIT)
        first = self.health().down_since
        self.env.cr.execute(
            "UPDATE g2p_bank_health SET down_since = %s", [first - timedelta(hours=1)]
        )
        self.let_pass(WAIT_S)
        self.fail(1)
        self.assertEqual(self.health().down_since, first - timedelta(hours=1))
