from datetime import timedelta
from decimal import Decimal
from functools import partial

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    NOT_FOUND,
    REJECTED,
    Acknowledgement,
    FundsAvailability,
    PaymentStatus,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.queue_job.tests.common import trap_jobs

from .fake_bank import DoneThen
from .pipeline_case import PipelineCase

NO_ANSWER = BankOutcomeUnknown("no answer", code="ReadTimeout")
DOWN = BankUnavailable("connection refused", code="ConnectionError")


@tagged("post_install", "-at_install")
class TestWholeWay(PipelineCase):
    """An envelope goes from its last disbursement to sent by its own jobs."""

    def test_the_call_that_completes_an_envelope_starts_it(self):
        envelope = self.create_envelope()
        with trap_jobs() as trap:
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
            trap.assert_jobs_count(0)
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(1, first=3))
            trap.assert_jobs_count(1, only=envelope._advance)
            self.assertEqual(trap.enqueued_jobs[0].user_id, self.env.ref("base.user_root").id)

    def test_all_is_paid_once_and_the_money_is_held_for_it(self):
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertEqual(envelope.state, "disbursed")
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertEqual(envelope.batch_ids.mapped("disbursement_count"), [2, 1])
        self.assertEqual(list(self.fake.blocks.values()), [Decimal("300.00")])
        self.assertEqual(
            sorted(self.fake.ordered),
            sorted(self.disbursements(envelope).mapped("disbursement_id")),
        )
        self.assertNothingTwice()

    def test_payments_carry_what_the_bank_needs(self):
        envelope = self.ready_envelope(amount=Decimal("33.33"))
        self.run_envelope(envelope)
        payment = self.fake.ordered[self.disbursements(envelope)[0].disbursement_id][0]
        self.assertEqual(
            (payment.amount, payment.currency, payment.creditor_account.account_number),
            (Decimal("33.33"), "USD", "ACCOUNT-BEN1"),
        )
        self.assertEqual((payment.program, payment.cycle), ("TESTPROG", "2026-11"))

    def test_an_envelope_of_tomorrow_waits_and_an_outage_of_a_day_drops_nothing(self):
        envelope = self.ready_envelope(disbursement_schedule_date=self.tomorrow())
        self.run_envelope(envelope)
        self.assertEqual((envelope.state, self.fake.call_count("check_funds")), ("ready", 0))
        with freeze_time(fields.Datetime.now() + timedelta(days=3)):
            self.run_jobs(envelope._cron_find_due_work)
        self.assertEqual(envelope.state, "disbursed")

    def test_without_look_up_the_beneficiary_ids_travel(self):
        self.program.id_mapper_resolution_required = False
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent", "sent")
        payment = self.fake.ordered[self.disbursements(envelope)[0].disbursement_id][0]
        self.assertEqual((payment.creditor_id, payment.creditor_account), ("BEN1", None))

    def test_two_payments_to_one_person_are_both_made(self):
        envelope = self.create_envelope(2)
        rows = self.rows(2)
        rows[1]["beneficiary_id"] = "BEN1"
        with trap_jobs():
            self.api.create_disbursements(envelope.disbursement_envelope_id, rows)
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent")

    def test_batches_hold_one_destination_bank_where_the_bank_wants_it(self):
        self.bank.split_by_destination_bank = True
        links = self.env["g2p.account.link"].search([("beneficiary_id", "in", ["BEN1", "BEN3"])])
        links.bank_code = "OTHER"
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertEqual(
            envelope.batch_ids.mapped(lambda b: (b.destination_bank_code, b.disbursement_count)),
            [("DEST", 1), ("OTHER", 2)],
        )

    def test_a_paused_envelope_stays_where_it_is(self):
        envelope = self.ready_envelope()
        envelope.with_user(self.officer).action_pause()
        self.run_envelope(envelope)
        self.assertEqual((envelope.state, len(self.fake.calls)), ("ready", 0))
        self.run_jobs(envelope.with_user(self.officer).action_resume)
        self.assertEqual(envelope.state, "disbursed")

    def test_a_step_that_was_enqueued_before_a_pause_asks_nobody(self):
        envelope = self.ready_envelope()
        envelope.with_user(self.officer).action_pause()
        with trap_jobs():
            envelope._check_funds_with_bank()
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        self.assertEqual((envelope.state, len(self.fake.calls)), ("funds_available", 0))

    def test_an_approval_needs_a_second_person_who_is_an_approver(self):
        self.program.approval_required = True
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertEqual((envelope.state, len(self.fake.calls)), ("ready", 0))
        with self.assertRaises(AccessError):
            envelope.with_user(self.officer).action_approve()
        approver = self.create_user("test_approver", "g2p_bridge.group_approver")
        envelope.created_by_id = approver
        with self.assertRaises(AccessError):
            envelope.with_user(approver).action_approve()
        envelope.created_by_id = self.pbms_user
        self.run_jobs(envelope.with_user(approver).action_approve)
        self.assertEqual((envelope.state, envelope.approved_by_id), ("disbursed", approver))

    def test_every_payment_cancelled_before_the_date_ends_the_envelope(self):
        envelope = self.ready_envelope(disbursement_schedule_date=self.tomorrow())
        ids = self.disbursements(envelope).mapped("disbursement_id")
        with trap_jobs():
            self.api.cancel_disbursements(ids)
        with freeze_time(fields.Datetime.now() + timedelta(days=1)):
            self.run_envelope(envelope)
        self.assertEqual((envelope.state, len(self.fake.calls)), ("settled", 0))

    def test_a_cancelled_payment_is_never_sent_and_its_money_not_asked_for(self):
        envelope = self.ready_envelope()
        first = self.disbursements(envelope)[0].disbursement_id
        with trap_jobs():
            self.api.cancel_disbursements([first])
        self.run_envelope(envelope)
        self.assertStates(envelope, "cancelled", "sent", "sent")
        self.assertNotIn(first, self.fake.ordered)
        self.assertEqual(list(self.fake.blocks.values()), [Decimal("200.00")])

    def test_the_cron_takes_up_what_no_job_is_left_for(self):
        envelope = self.ready_envelope()  # its jobs were trapped: as if they were lost
        self.run_jobs(envelope._cron_find_due_work)
        self.assertEqual(envelope.state, "disbursed")
        self.assertEqual(self._enqueued_by(envelope._cron_find_due_work), [])

    def test_what_waits_for_somebody_keeps_no_other_from_its_turn(self):
        self.program.approval_required = True
        waiting = self.ready_envelope()
        other = self.create_program(mnemonic="OTHER")
        due = self.ready_envelope(benefit_program_mnemonic=other.mnemonic)
        self.assertEqual(waiting._find_due(limit=500), waiting + due)
        looked_at = {waiting._find_due(limit=1) for _tick in range(60)}
        self.assertEqual(looked_at, {waiting, due})


@tagged("post_install", "-at_install")
class TestFunds(PipelineCase):
    """Money is checked, held once, and given back."""

    def test_short_funds_are_told_and_asked_again_after_a_while(self):
        envelope = self.ready_envelope()
        self.fake.script("check_funds", FundsAvailability(is_available=False, reason="short"))
        self.run_envelope(envelope)
        self.assertEqual(
            (envelope.state, envelope.attention_code, envelope.funds_available_with_bank),
            ("needs_attention", "FUNDS_NOT_AVAILABLE", "FUNDS_NOT_AVAILABLE"),
        )
        self.assertFalse(self.fake.blocks)
        self.assertEqual(self._enqueued_by(envelope._cron_find_due_work), [])
        with freeze_time(fields.Datetime.now() + timedelta(minutes=20)):
            self.run_jobs(envelope._cron_find_due_work)
        self.assertEqual((envelope.state, envelope.attention_code), ("disbursed", False))
        self.assertEqual(envelope.funds_available_attempts, 2)

    def test_an_officer_asks_again_at_once(self):
        envelope = self.ready_envelope()
        self.fake.script("check_funds", FundsAvailability(is_available=False, reason="short"))
        self.run_envelope(envelope)
        self.run_jobs(envelope.with_user(self.officer).action_resume)
        self.assertEqual(envelope.state, "disbursed")

    def test_a_bank_that_is_down_is_asked_again_by_the_job(self):
        envelope = self.ready_envelope()
        self.fake.script("check_funds", DOWN)
        [postponed] = self.run_envelope(envelope)
        self.assertEqual(postponed.seconds, 10)  # and the look-up's end asked once more
        self.assertEqual((envelope.state, self.fake.call_count("check_funds")), ("disbursed", 2))

    def test_given_up_it_is_put_before_an_officer_and_comes_back_by_itself(self):
        envelope = self.ready_envelope()
        envelope._on_step_failed(exc_name="x.FailedJobError", exc_message="Max. retries: refused")
        self.assertEqual(
            (envelope.state, envelope.attention_code), ("needs_attention", "BANK_UNAVAILABLE")
        )
        with freeze_time(fields.Datetime.now() + timedelta(minutes=20)):
            self.run_jobs(envelope._cron_find_due_work)
        self.assertEqual(envelope.state, "disbursed")

    def test_a_block_whose_answer_was_lost_is_made_once(self):
        envelope = self.ready_envelope()
        self.fake.script("block_funds", DoneThen(NO_ANSWER))
        self.run_envelope(envelope)
        self.assertEqual(
            (envelope.state, envelope.funds_blocked_with_bank), ("needs_attention", "ERROR")
        )
        with freeze_time(fields.Datetime.now() + timedelta(minutes=20)):
            self.run_jobs(envelope._cron_find_due_work)  # without human help
        self.assertEqual(envelope.state, "disbursed")
        self.assertEqual(len(self.fake.blocks), 1)

    def test_where_the_bank_honours_no_key_an_unknown_block_is_never_repeated(self):
        self.fake.honours_idempotency_key = False
        envelope = self.ready_envelope()
        self.fake.script("block_funds", DoneThen(NO_ANSWER))
        self.run_envelope(envelope)
        self.run_jobs(envelope.with_user(self.officer).action_resume)
        self.assertEqual(envelope.state, "needs_attention")
        self.assertEqual((self.fake.call_count("block_funds"), len(self.fake.blocks)), (1, 1))

    def test_an_officer_decides_an_unknown_block(self):
        self.fake.honours_idempotency_key = False
        for reference, blocks in (("TOLD-1", 1), ("", 2)):
            self.fake.blocks.clear()
            envelope = self.ready_envelope()
            self.fake.script("block_funds", DoneThen(NO_ANSWER))
            self.run_envelope(envelope)
            wizard = self.env["g2p.decide.block"].with_user(self.officer)
            decision = wizard.create(
                {
                    "envelope_id": envelope.id,
                    "decision": "blocked" if reference else "not_blocked",
                    "reference": reference,
                    "note": "told by phone",
                }
            )
            self.run_jobs(decision.action_decide)
            self.assertEqual((envelope.state, len(self.fake.blocks)), ("disbursed", blocks))
            with self.assertRaises(UserError):
                decision.action_decide()

    def test_a_refused_block_is_asked_for_again_under_another_key(self):
        envelope = self.ready_envelope()
        self.fake.script("block_funds", BankRejected("short", code="INSUFFICIENT_FUNDS"))
        self.run_envelope(envelope)
        self.assertEqual(envelope.funds_blocked_with_bank, "FUNDS_BLOCK_FAILURE")
        self.run_jobs(envelope.with_user(self.officer).action_resume)
        keys = [call.arguments[2] for call in self.fake.calls if call.operation == "block_funds"]
        self.assertEqual([key.rpartition(":")[2] for key in keys], ["1", "2"])
        self.assertEqual(envelope.state, "disbursed")

    def test_a_block_is_kept_when_the_job_dies_after_the_answer(self):
        envelope = self.ready_envelope()
        envelope._set_funds_available()
        envelope._block(envelope._start_block())  # and here the worker dies
        envelope._block_funds_with_bank()
        self.assertEqual(
            (envelope.state, envelope.funds_blocked_reference_number),
            ("funds_blocked", "BLOCK000001"),
        )
        self.assertEqual(self.fake.call_count("block_funds"), 1)

    def test_a_cancelled_envelope_gives_its_money_back(self):
        envelope = self.ready_envelope()
        with trap_jobs():
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        self.run_jobs(
            lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        )
        self.assertEqual((envelope.state, list(self.fake.blocks.values())), ("cancelled", [0]))
        self.assertTrue(envelope.funds_released_at)

    def test_a_cancelled_envelope_finds_a_block_whose_answer_was_lost(self):
        envelope = self.ready_envelope()
        envelope._set_funds_available()
        self.fake.script("block_funds", DoneThen(NO_ANSWER))
        envelope._block_funds_with_bank()
        self.run_jobs(
            lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        )
        self.assertEqual(list(self.fake.blocks.values()), [0])
        self.assertTrue(envelope.funds_released_at)

    def test_a_later_attempt_that_never_left_does_not_undo_one_that_perhaps_arrived(self):
        self.keeps_postponed = True  # own cursors stay
        envelope = self.ready_envelope()
        envelope._set_funds_available()
        self.fake.script("block_funds", DoneThen(NO_ANSWER), DOWN)
        envelope._block_funds_with_bank()
        envelope._set_resumed()
        self.run_jobs(envelope._enqueue_block_funds)
        [call] = envelope._open_block_calls()
        self.assertEqual((call.state, call.attempts), ("unknown", 2))
        self.run_jobs(
            lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        )
        self.assertEqual(list(self.fake.blocks.values()), [0])
        self.assertTrue(envelope.funds_released_at)

    def test_a_release_without_answer_is_asked_for_again(self):
        envelope = self.ready_envelope()
        with trap_jobs():
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        self.fake.script("release_funds", DOWN)
        self.run_jobs(
            lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        )
        self.assertFalse(envelope.funds_released_at)
        self.run_jobs(envelope._cron_find_due_work)
        self.assertTrue(envelope.funds_released_at)
        self.assertEqual(self._enqueued_by(envelope._cron_find_due_work), [])

    def test_a_refused_release_is_shown_and_asked_for_after_a_while_not_each_minute(self):
        envelope = self.ready_envelope()
        with trap_jobs():
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        self.fake.script("release_funds", BankRejected("no such block", code="NOBLOCK"))
        self.run_jobs(
            lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        )
        self.assertEqual(envelope.release_error, "no such block")
        self.run_jobs(envelope._cron_find_due_work)
        self.assertEqual(self.fake.call_count("release_funds"), 1)
        envelope.next_release_at = fields.Datetime.now() - timedelta(minutes=1)
        self.run_jobs(envelope._cron_find_due_work)
        self.assertTrue(envelope.funds_released_at)
        self.assertFalse(envelope.release_error)

    def test_a_release_that_was_given_up_is_shown_and_tried_again(self):
        envelope = self.ready_envelope()
        envelope._on_release_failed(exc_message="the bank is down")
        self.assertEqual(envelope.release_error, "the bank is down")
        self.assertGreater(envelope.next_release_at, fields.Datetime.now())

    def test_what_the_bank_holds_is_shown_from_block_to_release(self):
        self.program.id_mapper_resolution_required = False
        envelope = self.ready_envelope(3)
        self.assertFunds(envelope, blocked=0, drawn=0, held=0, idle=0)
        with trap_jobs():
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        self.assertFunds(envelope, blocked=300, drawn=0, held=300, idle=0)
        cancelled = self.disbursements(envelope)[0]
        with trap_jobs():
            self.api.cancel_disbursements([cancelled.disbursement_id])
        self.assertFunds(envelope, blocked=300, drawn=0, held=300, idle=100)
        self.run_envelope(envelope)
        self.assertFunds(envelope, blocked=300, drawn=200, held=100, idle=100)
        payments = self.env["g2p.disbursement"]
        where = SQL("d.envelope_id = %s", envelope.id)
        with trap_jobs():
            payments._bulk_transition("reconciled", where, cause="test")
        self.run_envelope(envelope)
        self.assertEqual(envelope.state, "settled")
        self.assertFunds(envelope, blocked=300, drawn=200, held=0, idle=0, released=100)

    def test_a_bank_without_release_is_said_to_hold(self):
        self.fake.supports_release = False
        envelope = self.ready_envelope()
        with trap_jobs():
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
        self.run_jobs(
            lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        )
        self.assertFunds(envelope, blocked=300, drawn=0, held=300, idle=300)
        self.assertFalse(self.account.bank_releases)
        self.assertEqual(self._enqueued_by(envelope._cron_find_due_work), [])

    def assertFunds(self, envelope, *, blocked, drawn, held, idle, released=0):
        """Assert what envelope and account show of the one block that there is."""
        self.env.invalidate_all()
        self.assertEqual(
            (envelope.funds_drawn_amount, envelope.funds_held_amount, envelope.funds_idle_amount),
            (drawn, held, idle),
        )
        account = envelope.funding_account_id
        self.assertEqual(
            (
                account.funds_blocked_amount,
                account.funds_drawn_amount,
                account.funds_held_amount,
                account.funds_idle_amount,
                account.funds_released_amount,
            ),
            (blocked, drawn, held, idle, released),
        )


@tagged("post_install", "-at_install")
class TestDisburseFunds(PipelineCase):
    """One batch to one bank: what reaches the bank, and how often."""

    def batch(self, count=2):
        """Return a batch that stands ready."""
        envelope = self.ready_envelope(count)
        with trap_jobs():
            envelope._resolve(0, 2**31 - 1)
            envelope._set_funds_available()
            envelope._block_funds_with_bank()
            envelope._form_batches()
        self.env.flush_all()
        return envelope.batch_ids[0]

    def send(self, batch):
        with trap_jobs():
            batch._disburse_funds_from_bank()
        self.env.flush_all()
        self.env.invalidate_all()

    def test_sent_once_it_is_never_sent_again(self):
        batch = self.batch()
        for _attempt in range(3):
            self.send(batch)
        self.assertEqual((batch.state, batch.bank_reference), ("acknowledged", "BATCH000001"))
        self.assertEqual(self.fake.call_count("initiate_payment"), 1)

    def test_a_payment_the_bank_took_but_did_not_answer_is_found_by_inquiry(self):
        batch = self.batch()
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        self.send(batch)
        self.assertEqual(batch.state, "unknown")
        self.assertStates(batch.envelope_id, "unknown", "unknown")
        self.send(batch)
        self.assertEqual(batch.state, "acknowledged")
        self.assertStates(batch.envelope_id, "sent", "sent")
        self.assertEqual(self.fake.call_count("initiate_payment"), 1)
        self.assertNothingTwice()

    def test_a_refused_repeat_of_a_batch_that_may_have_been_taken_rejects_nobody(self):
        self.fake.supports_inquiry = False
        batch = self.batch()
        refused = BankRejected("the key of the API has ended", code="HTTP_403")
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER), refused)
        self.send(batch)
        self.send(batch)
        self.assertEqual(batch.state, "unknown")
        self.assertStates(batch.envelope_id, "unknown", "unknown")
        self.send(batch)  # the bank takes calls again, and knows the key
        self.assertEqual(batch.state, "acknowledged")
        self.assertNothingTwice()

    def test_a_batch_that_the_bank_surely_never_got_and_then_refuses_is_rejected(self):
        batch = self.batch()
        refused = BankRejected("no such account", code="HTTP_422")
        self.fake.script("initiate_payment", NO_ANSWER, refused)
        self.send(batch)
        self.send(batch)  # asked: it has nothing of it
        self.assertEqual(batch.state, "rejected")
        self.assertStates(batch.envelope_id, "rejected", "rejected")

    def test_what_the_bank_surely_never_got_is_sent_again_under_the_same_key(self):
        batch = self.batch()
        self.fake.script("initiate_payment", NO_ANSWER)
        self.send(batch)
        self.send(batch)
        self.assertEqual(batch.state, "acknowledged")
        keys = {c.arguments[3] for c in self.fake.calls if c.operation == "initiate_payment"}
        self.assertEqual((len(keys), self.fake.call_count("initiate_payment")), (1, 2))
        self.assertNothingTwice()

    def test_without_inquiry_and_key_it_waits_for_an_officer(self):
        self.fake.supports_inquiry = self.fake.honours_idempotency_key = False
        batch = self.batch()
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        for _attempt in range(3):
            self.send(batch)
        self.assertEqual((batch.state, self.fake.call_count("initiate_payment")), ("unknown", 1))
        with freeze_time(fields.Datetime.now() + timedelta(hours=2)):
            self.assertEqual(self._enqueued_by(batch.envelope_id._cron_find_due_work)[1:], [])

    def test_without_a_key_what_was_not_found_is_never_sent_again(self):
        self.fake.honours_idempotency_key = False
        batch = self.batch()
        self.fake.script("initiate_payment", NO_ANSWER)
        self.send(batch)
        self.send(batch)
        self.assertEqual((batch.state, self.fake.call_count("initiate_payment")), ("unknown", 1))

    def test_an_inquiry_that_finds_a_part_leaves_it_to_an_officer(self):
        batch = self.batch()
        self.fake.script("initiate_payment", NO_ANSWER)
        self.send(batch)
        ids = batch.disbursement_ids.sorted("id").mapped("disbursement_id")
        for found in ([ACCEPTED], [ACCEPTED, NOT_FOUND], [NOT_FOUND], []):
            with self.subTest(found):
                answer = [
                    PaymentStatus(end_to_end_id=given, status=status)
                    for given, status in zip(ids, found, strict=False)
                ]
                self.fake.script("inquire_payments", answer)
                self.send(batch)
                self.assertEqual(batch.state, "unknown")
                self.assertEqual(self.fake.call_count("initiate_payment"), 1)

    def test_an_inquiry_tells_refused_payments_apart(self):
        batch = self.batch()
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        self.send(batch)
        first, second = batch.disbursement_ids.sorted("id").mapped("disbursement_id")
        self.fake.script(
            "inquire_payments",
            [
                PaymentStatus(end_to_end_id=first, status=REJECTED, reason_code="AC04"),
                PaymentStatus(end_to_end_id=second, status=ACCEPTED, bank_reference="X1"),
            ],
        )
        self.send(batch)
        self.assertStates(batch.envelope_id, "rejected", "sent")

    def test_the_cron_asks_the_bank_again_about_an_unknown_batch(self):
        batch = self.batch()
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        self.send(batch)
        with freeze_time(fields.Datetime.now() + timedelta(hours=2)):
            self.run_jobs(batch.envelope_id._cron_find_due_work)
        self.assertEqual(batch.state, "acknowledged")
        self.assertNothingTwice()

    def test_an_unknown_batch_is_asked_about_after_each_recheck_time_and_in_turn(self):
        first, second = self.batch(), self.batch()
        self.fake.script("initiate_payment", *[DoneThen(NO_ANSWER)] * 2)
        self.send(first)
        self.send(second)
        self.fake.script("inquire_payments", *[DOWN] * 2)
        enqueue = partial(first._enqueue_inquiries, limit=1)
        self.assertEqual(self._enqueued_by(enqueue), [])
        with freeze_time(fields.Datetime.now() + timedelta(minutes=16)):
            for batch in (first, second):
                self.keeps_postponed = True
                [postponed] = self.run_jobs(enqueue)
                self.assertIn("refused", str(postponed))
                self.assertEqual(batch.call_ids[0].operation, "inquire_payments")
            self.assertEqual(self._enqueued_by(enqueue), [])

    def test_a_bank_that_cannot_be_asked_keeps_no_other_waiting(self):
        batch = self.batch()
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        self.send(batch)
        envelope = self.ready_envelope(2)
        silent = self.env["g2p.disbursement.batch"].create(
            {"name": "SILENT", "envelope_id": envelope.id, "state": "unknown"}
        )
        silent.bank_id = self.create_bank(code="SILENT")
        silent.state_since = fields.Datetime.now() - timedelta(days=1)
        self.env.flush_all()
        with freeze_time(fields.Datetime.now() + timedelta(hours=2)):
            [job] = self._enqueued_by(partial(batch._enqueue_inquiries, limit=1))
        self.assertEqual(job.recordset, batch)

    def test_a_bank_whose_addon_is_gone_stops_no_other(self):
        batch = self.batch()
        self.fake.script("initiate_payment", NO_ANSWER)
        self.send(batch)
        self.bank.connector = False
        self.env.flush_all()
        with freeze_time(fields.Datetime.now() + timedelta(hours=2)):
            self._enqueued_by(batch.envelope_id._cron_find_due_work)
        self.assertEqual(batch.state, "unknown")

    def test_a_bank_that_is_down_leaves_the_batch_ready(self):
        batch = self.batch()
        self.fake.script("initiate_payment", DOWN)
        postponed = self.run_jobs(batch._enqueue_disburse)
        self.assertEqual((batch.state, len(postponed)), ("ready", 1))
        self.assertStates(batch.envelope_id, "batched", "batched")
        self.send(batch)
        self.assertEqual(batch.state, "acknowledged")
        self.assertNothingTwice()

    def test_the_bank_gets_no_more_calls_at_once_than_its_form_allows(self):
        self.bank.max_parallel_calls = 2
        batch = self.batch()
        slots = [f"g2p.sponsor.bank.slot:{self.bank.id}:{number}" for number in range(2)]
        with self.held_elsewhere(*slots):
            [postponed] = self.run_jobs(batch._enqueue_disburse)
        self.assertTrue(postponed.ignore_retry, "waiting is no attempt")
        self.assertEqual((batch.state, self.fake.call_count("initiate_payment")), ("ready", 0))
        with self.held_elsewhere(slots[0]):
            self.send(batch)
        self.assertEqual(batch.state, "acknowledged")

    def test_a_batch_that_stands_ready_is_not_sent_during_a_pause(self):
        batch = self.batch()
        batch.envelope_id.with_user(self.officer).action_pause()
        self.send(batch)
        self.assertEqual((batch.state, self.fake.call_count("initiate_payment")), ("ready", 0))
        self.run_jobs(batch.envelope_id.with_user(self.officer).action_resume)
        self.assertEqual(
            (batch.state, self.fake.call_count("initiate_payment")), ("acknowledged", 1)
        )

    def test_a_refused_batch_pays_nobody(self):
        batch = self.batch()
        self.fake.script("initiate_payment", BankRejected("no such block", code="BLOCK"))
        self.send(batch)
        self.send(batch)
        self.assertEqual((batch.state, batch.reason_code), ("rejected", "BLOCK"))
        self.assertStates(batch.envelope_id, "rejected", "rejected")
        self.assertEqual(self.fake.call_count("initiate_payment"), 1)

    def test_payments_that_the_bank_refused_at_once_are_told_apart(self):
        batch = self.batch()
        first = batch.disbursement_ids.sorted("id")[0].disbursement_id
        refused = PaymentStatus(end_to_end_id=first, status=REJECTED, reason_code="AC01")
        self.fake.script("initiate_payment", Acknowledgement(reference="R1", rejected=(refused,)))
        self.send(batch)
        self.assertStates(batch.envelope_id, "rejected", "sent")
        self.assertEqual((batch.rejected_count, batch.sent_count), (1, 1))

    def test_a_worker_that_dies_after_the_answer_costs_a_look_up(self):
        batch = self.batch()
        batch._send_to_bank(
            batch._start_call()
        )  # and here the worker dies: the batch is still ready
        self.send(batch)
        self.assertEqual(batch.state, "acknowledged")
        self.assertEqual(self.fake.call_count("initiate_payment"), 1)
        self.assertEqual(self.fake.call_count("inquire_payments"), 0)

    def test_a_worker_that_dies_before_the_answer_costs_an_inquiry(self):
        batch = self.batch()
        batch._start_call()  # and here the worker dies: nobody knows
        self.assertTrue(batch.is_sending)
        self.send(batch)
        self.assertEqual(batch.state, "acknowledged")
        self.assertEqual(
            (self.fake.call_count("inquire_payments"), self.fake.call_count("initiate_payment")),
            (1, 1),
        )

    def test_what_cannot_be_asked_about_is_not_sent_either(self):
        batch = self.batch()
        self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        self.send(batch)
        self.fake.script("inquire_payments", DOWN)
        [postponed] = self.run_jobs(batch._enqueue_disburse)
        self.assertIn("refused", str(postponed))
        self.assertEqual((batch.state, self.fake.call_count("initiate_payment")), ("unknown", 1))

    def unknown_batch(self):
        batch = self.batch()
        self.fake.script("initiate_payment", NO_ANSWER)
        self.send(batch)
        return batch

    def test_two_persons_decide_an_unknown_batch_with_a_note(self):
        approver = self.create_user("test_approver", "g2p_bridge.group_approver")
        for was_paid, state in ((True, "acknowledged"), (False, "rejected")):
            batch = self.unknown_batch()
            with trap_jobs():
                batch.with_user(self.officer)._propose(was_paid, "told by phone")
                self.assertEqual((batch.state, batch.proposed_by_id), ("unknown", self.officer))
                batch.with_user(approver).action_confirm_decision()
            self.assertEqual((batch.state, batch.decision_note), (state, "told by phone"))
            self.assertEqual(batch.decided_by_id, approver)
            with self.assertRaises(UserError):
                batch.with_user(self.officer)._propose(not was_paid, "changed my mind")
            with self.assertRaises(UserError):
                batch.with_user(approver).action_confirm_decision()

    def test_nobody_decides_an_unknown_batch_alone(self):
        approver = self.create_user("test_approver", "g2p_bridge.group_approver")
        batch = self.unknown_batch()
        with self.assertRaisesRegex(UserError, "Nobody has proposed"):
            batch.with_user(approver).action_confirm_decision()
        batch.with_user(approver)._propose(True, "told by phone")
        with self.assertRaisesRegex(AccessError, "cannot confirm it"):
            batch.with_user(approver).action_confirm_decision()
        with self.assertRaises(AccessError):
            batch.with_user(self.officer).action_confirm_decision()
        self.assertEqual(batch.state, "unknown")

    def test_a_proposal_can_be_withdrawn_and_the_bank_may_be_quicker(self):
        approver = self.create_user("test_approver", "g2p_bridge.group_approver")
        batch = self.unknown_batch()
        batch.with_user(self.officer)._propose(False, "told by phone")
        with self.assertRaisesRegex(UserError, "withdraw it first"):
            batch.with_user(self.officer)._propose(True, "told otherwise")
        self.assertEqual(batch.proposed_decision, "not_paid")
        batch.with_user(approver).action_withdraw_decision()
        self.assertFalse(batch.proposed_decision)
        batch.with_user(self.officer)._propose(False, "told by phone")
        self.run_jobs(batch._enqueue_disburse)  # sent again under its key, and answered
        self.assertEqual(batch.state, "acknowledged")
        with self.assertRaises(UserError):
            batch.with_user(approver).action_confirm_decision()

    def test_a_key_is_made_of_name_and_payments(self):
        first, second = self.batch(), self.batch()
        self.assertNotEqual(first._payment_key(), second._payment_key())
        key = first._payment_key()
        self.assertEqual(first._payment_key(), key)
        self.assertRegex(key, f"^initiate_payment:{first.name}:[0-9a-f]{{16}}$")
        self.send(first)
        first.disbursement_ids[0].amount = 1  # a call that was made keeps its key
        self.env.flush_all()
        self.assertEqual(first._payment_key(), key)

    def restored(self, batch):
        """Have the database forget that the batch was sent, as one that was restored does."""
        self.env.flush_all()
        self.env.cr.execute(
            """
            DELETE FROM g2p_bank_call WHERE batch_id = %(id)s;
            UPDATE g2p_disbursement_batch SET state = 'ready' WHERE id = %(id)s;
            UPDATE g2p_disbursement SET state = 'batched' WHERE batch_id = %(id)s
            """,
            {"id": batch.id},
        )
        self.env.invalidate_all()
        administrator = self.create_user(f"admin{batch.id}", "g2p_bridge.group_administrator")
        batch.envelope_id.with_user(administrator).action_ask_bank_first()

    def test_after_a_restore_the_bank_is_asked_and_what_it_has_is_not_sent_again(self):
        for honours in (True, False):
            batch = self.batch()
            self.send(batch)
            self.fake.honours_idempotency_key = honours
            calls = self.fake.call_count("initiate_payment")
            self.restored(batch)
            self.send(batch)
            self.assertEqual(batch.state, "acknowledged")
            self.assertEqual(self.fake.call_count("initiate_payment"), calls)
            self.assertNothingTwice()

    def test_after_a_restore_what_the_bank_has_not_is_sent_under_its_key(self):
        batch = self.batch()
        self.restored(batch)
        self.send(batch)
        self.assertEqual(
            (batch.state, self.fake.call_count("inquire_payments")), ("acknowledged", 1)
        )
        self.assertNothingTwice()

    def test_after_a_restore_a_bank_that_cannot_be_asked_leaves_it_to_two_persons(self):
        self.fake.supports_inquiry = self.fake.honours_idempotency_key = False
        batch = self.batch()
        self.send(batch)
        self.restored(batch)
        self.send(batch)
        self.assertEqual((batch.state, self.fake.call_count("initiate_payment")), ("unknown", 1))
        with self.assertRaises(AccessError):
            batch.envelope_id.with_user(self.officer).action_ask_bank_first()

    def test_after_a_restore_a_block_is_not_made_twice(self):
        envelope = self.ready_envelope()
        envelope.asks_bank_first = True
        self.run_envelope(envelope)
        self.assertEqual((envelope.state, len(self.fake.blocks)), ("disbursed", 1))
        self.fake.honours_idempotency_key = False
        other = self.ready_envelope(cycle_code_mnemonic="other")
        other.asks_bank_first = True
        self.run_envelope(other)
        self.assertEqual((other.state, len(self.fake.blocks)), ("needs_attention", 1))

    def test_nothing_of_an_account_is_kept_in_a_call(self):
        batch = self.batch()
        self.send(batch)
        for call in self.env["g2p.bank.call"].search([("envelope_id", "=", batch.envelope_id.id)]):
            kept = f"{call.request_masked}{call.response_masked}{call.answer}{call.intent}"
            self.assertNotIn("ACCOUNT-BEN", kept)
            self.assertNotIn("TEST0001", kept)


@tagged("post_install", "-at_install")
class TestResolve(PipelineCase):
    """A beneficiary without account holds up nobody, and is taken along later."""

    def test_the_payable_go_on_and_the_missing_one_follows_when_linked(self):
        envelope = self.ready_envelope(4)
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent", "sent", "unresolved")
        missing = self.disbursements(envelope)[3]
        self.assertEqual(missing.reason_code, "succ.fa.not_linked_to_id")
        self.assertEqual((envelope.state, envelope.unresolved_count), ("disbursed", 1))
        self.link("BEN4")
        self.run_jobs(envelope._cron_resolve_again)
        self.assertStates(envelope, "sent", "sent", "sent", "sent")
        self.assertEqual((missing.reason_code, missing.reason), (False, False))
        self.assertEqual(list(self.fake.blocks.values()), [Decimal("400.00")])
        self.assertNothingTwice()

    def test_who_is_linked_when_all_others_were_paid_long_ago_is_paid_as_well(self):
        envelope = self.ready_envelope(4)
        self.run_envelope(envelope)
        with trap_jobs():
            self.env["g2p.disbursement"]._bulk_transition(
                "reconciled", SQL("d.envelope_id = %s", envelope.id), cause="test"
            )
        self.run_jobs(envelope._enqueue_advance)
        self.assertEqual((envelope.state, self.fake.call_count("release_funds")), ("disbursed", 0))
        self.link("BEN4")
        self.run_jobs(envelope._cron_resolve_again)
        self.assertStates(envelope, *["reconciled"] * 3, "sent")
        self.assertNothingTwice()

    def test_who_is_never_linked_keeps_no_other_envelope_from_its_turn(self):
        envelopes = [self.ready_envelope(4), self.ready_envelope(4)]
        for envelope in envelopes:
            self.run_envelope(envelope)
        looked_at = set()
        for _tick in range(60):
            for job in self._enqueued_by(partial(envelope._cron_resolve_again, limit=1)):
                looked_at.add(job.recordset)
        self.assertEqual(looked_at, set(envelopes))

    def test_an_officer_looks_again_at_once(self):
        envelope = self.ready_envelope(4)
        self.run_envelope(envelope)
        self.link("BEN4")
        self.run_jobs(envelope.with_user(self.officer).action_resolve)
        self.assertStates(envelope, *["sent"] * 4)

    def test_an_archived_link_counts_as_none(self):
        self.env["g2p.account.link"].search([("beneficiary_id", "=", "BEN1")]).active = False
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertStates(envelope, "unresolved", "sent", "sent")

    def test_slices_meet_the_same_end(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.resolve_size", "1")
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent", "sent")

    def test_a_slice_that_another_job_looks_up_is_left_to_it(self):
        envelope = self.ready_envelope()
        with self.held_elsewhere(f"g2p.disbursement.envelope.slice:{envelope.id}:1"), trap_jobs():
            envelope._resolve(1, 2**31 - 1)
        self.assertStates(envelope, "received", "received", "received")
        with trap_jobs():
            envelope._resolve(1, 2**31 - 1)
        self.assertStates(envelope, "resolved", "resolved", "resolved")

    def test_accounts_are_looked_up_some_days_ahead(self):
        soon = (fields.Date.today() + timedelta(days=2)).isoformat()
        far = (fields.Date.today() + timedelta(days=20)).isoformat()
        near = self.ready_envelope(disbursement_schedule_date=soon)
        later = self.ready_envelope(disbursement_schedule_date=far)
        self.run_envelope(near)
        self.run_envelope(later)
        self.assertStates(near, *["resolved"] * 3)
        self.assertStates(later, *["received"] * 3)

    def test_account_numbers_are_masked_for_officers(self):
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        payment = self.disbursements(envelope)[0].with_user(self.officer)
        self.assertTrue(payment.account_masked.endswith("BEN1"))
        self.assertNotIn("ACCOUNT", payment.account_masked)
        with self.assertRaises(AccessError):
            payment.read(["account_number"])

    def test_the_number_of_queries_does_not_depend_on_the_number_of_payments(self):
        counts = {3: [], 200: []}
        for count in (3, 200) * 3:  # the first of each fills caches
            envelope = self.ready_envelope(count)
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            with trap_jobs():
                envelope._resolve(0, 2**31 - 1)
            counts[count].append(self.env.cr.sql_log_count - before)
        self.assertEqual(min(counts[3]), min(counts[200]))
