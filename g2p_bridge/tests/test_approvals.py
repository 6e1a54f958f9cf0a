import hashlib
import json
from datetime import timedelta

from lxml import etree

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown
from odoo.addons.g2p_bridge.models import g2p_envelope_approval
from odoo.addons.queue_job.tests.common import trap_jobs

from .pipeline_case import PipelineCase


@tagged("post_install", "-at_install")
class TestApprovals(PipelineCase):
    """What is sent is what a second person approved, to the last character."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program.approval_required = True
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")

    def approved(self, count=3, **values):
        envelope = self.ready_envelope(count, **values)
        self.approve(envelope)
        return envelope

    def approve(self, envelope):
        with trap_jobs():
            envelope.with_user(self.approver).action_approve()
        self.env.invalidate_all()

    def tamper(self, envelope, assignment):
        """Change a payment past all our code, as somebody with the database in hands could."""
        self.env.flush_all()
        second = self.disbursements(envelope)[1]
        self.env.cr.execute(
            SQL("UPDATE g2p_disbursement SET %s WHERE id = %s", SQL(assignment), second.id)
        )
        self.env.invalidate_all()

    def assertStopped(self, envelope, code="APPROVAL_VOID"):
        self.assertEqual((envelope.state, envelope.attention_code), ("needs_attention", code))
        self.assertEqual(self.fake.call_count("initiate_payment"), 0)

    def test_what_was_approved_is_paid(self):
        envelope = self.approved()
        self.run_envelope(envelope)
        self.assertStates(envelope, "sent", "sent", "sent")
        [approval] = envelope.approval_ids
        self.assertEqual(approval.user_id, self.approver)
        self.assertEqual(approval.disbursement_count, 3)
        self.assertEqual(approval.amount, 300)
        self.assertRegex(approval.content_hash, r"^[0-9a-f]{64}$")

    def test_the_same_content_has_the_same_hash_and_any_other_has_not(self):
        envelope = self.ready_envelope()
        before = envelope._approval_slices()
        self.assertEqual(envelope._approval_slices(), before)
        for assignment in (
            "amount = amount + 0.01",
            "beneficiary_id = 'BEN3'",
            "beneficiary_name = beneficiary_name || ' '",
            "narrative = 'Bonus'",
            "mis_reference_number = 'MISX'",
        ):
            with self.subTest(assignment), self.env.cr.savepoint():
                self.tamper(envelope, assignment)
                after = envelope._approval_slices()
                self.assertNotEqual(after, before)
                before = after

    def press_approve(self, envelope, **shown):
        with trap_jobs():
            envelope.with_user(self.approver).with_context(**shown).action_approve()

    def assertRefused(self, envelope, **shown):
        with self.assertRaisesRegex(UserError, "after it was shown"), self.env.cr.savepoint():
            self.press_approve(envelope, **shown)
        self.env.invalidate_all()
        self.assertEqual((envelope.state, len(envelope.approval_ids)), ("ready", 0))

    def test_what_changed_after_the_form_was_shown_is_not_approved(self):
        later = fields.Date.today() + timedelta(days=5)
        envelope = self.ready_envelope(disbursement_schedule_date=later.isoformat())
        shown = envelope.approval_mark
        self.api.cancel_disbursements([self.disbursements(envelope)[0].disbursement_id])
        self.assertRefused(envelope, g2p_shown_mark=shown)
        self.env.invalidate_all()
        shown = envelope.approval_mark
        envelope.disbursement_schedule_date = later + timedelta(days=1)
        self.env.flush_all()
        self.assertRefused(envelope, g2p_shown_mark=shown)
        self.assertRefused(envelope, g2p_shown_mark=False)
        self.press_approve(envelope, g2p_shown_mark=envelope.approval_mark)
        self.assertEqual((envelope.state, envelope.approval_ids.amount), ("approved", 200))

    def test_what_is_not_as_the_review_showed_is_not_approved(self):
        """Also where somebody changed it past all our code: the mark of the form is the same."""
        envelope = self.ready_envelope()
        review = envelope.with_user(self.approver).review_for_approval()
        shown = {
            "g2p_shown_mark": review["mark"],
            "g2p_shown_hash": review["released"]["content_hash"],
        }
        self.tamper(envelope, "beneficiary_name = 'Somebody else'")
        self.assertEqual(envelope.approval_mark, review["mark"])
        self.assertRefused(envelope, **shown)
        self.tamper(envelope, "beneficiary_name = 'Person 2'")
        now = envelope.with_user(self.approver).review_for_approval()["released"]["content_hash"]
        self.press_approve(envelope, **{**shown, "g2p_shown_hash": now})
        self.assertEqual(envelope.approval_ids.content_hash, now)

    def test_steps_that_leave_the_list_as_it_is_leave_the_mark(self):
        """A form that is open while accounts are looked up can still approve."""
        envelope = self.ready_envelope()
        before = envelope.approval_mark
        with trap_jobs():
            envelope._resolve(0, 2**31 - 1)
        self.env.invalidate_all()
        self.assertEqual(envelope.approval_mark, before)

    def test_the_form_sends_what_it_shows(self):
        view = (
            self.env["g2p.disbursement.envelope"]
            .with_user(self.approver)
            .get_view(view_type="form")
        )
        form = etree.fromstring(view["arch"])
        [button] = form.xpath("//button[@name='action_approve']")
        self.assertEqual(button.get("context"), "{'g2p_shown_mark': approval_mark}")
        self.assertTrue(form.xpath("//field[@name='approval_mark']"))

    def test_a_payment_changed_before_funds_are_asked_for_stops_it(self):
        envelope = self.approved()
        self.tamper(envelope, "amount = amount + 1")
        self.run_envelope(envelope)
        self.assertStopped(envelope)
        self.assertEqual(self.fake.call_count("check_funds"), 0)

    def test_a_payment_changed_after_the_funds_check_stops_the_block(self):
        envelope = self.approved()
        with trap_jobs():
            envelope._check_funds_with_bank()
        self.tamper(envelope, "amount = amount + 1")
        self.run_envelope(envelope)
        self.assertStopped(envelope)
        self.assertEqual(self.fake.call_count("block_funds"), 0)

    def test_a_payment_changed_after_the_block_stops_the_batch(self):
        envelope = self.approved()
        self.fake.script("block_funds", self._tampering_block(envelope))
        self.run_envelope(envelope)
        self.assertStopped(envelope)
        self.assertEqual(envelope.resume_state, "funds_blocked")

    def ready_batches(self):
        """Return an approved envelope with two batches that stand ready."""
        envelope = self.approved()
        with trap_jobs():
            envelope._check_funds_with_bank()
            envelope._block_funds_with_bank()
            envelope._resolve(0, 2**31 - 1)
            envelope._form_batches()
        self.assertEqual(envelope.batch_ids.mapped("state"), ["ready", "ready"])
        return envelope

    def test_a_payment_changed_in_a_batch_that_stands_ready_is_not_sent(self):
        envelope = self.ready_batches()
        self.tamper(envelope, "amount = amount + 1")
        self.run_jobs(envelope.bank_id._enqueue_ready)
        self.assertStopped(envelope)
        self.assertEqual(envelope.batch_ids.mapped("state"), ["ready", "ready"])
        self.assertIn("It was changed after", envelope.attention_message)
        self.tamper(envelope, "amount = amount - 1")
        self.run_jobs(envelope.with_user(self.approver).action_approve)
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertNothingTwice()

    def test_a_batch_that_stands_ready_is_not_sent_once_the_approval_is_void(self):
        envelope = self.ready_batches()
        envelope.approval_ids.voided_at = envelope.approved_at
        self.run_jobs(envelope.bank_id._enqueue_ready)
        self.assertStopped(envelope, "APPROVAL_MISSING")
        self.run_jobs(envelope.with_user(self.approver).action_approve)
        self.assertStates(envelope, "sent", "sent", "sent")

    def test_a_payment_changed_in_a_batch_that_the_bank_never_got_is_not_sent_again(self):
        envelope = self.ready_batches()
        self.fake.script("initiate_payment", BankOutcomeUnknown("?", code="Timeout"))
        batch = envelope.batch_ids[0]
        with trap_jobs():
            batch._disburse_funds_from_bank()
        self.assertEqual(batch.state, "unknown")
        self.tamper(envelope, "amount = amount + 1")
        with trap_jobs():
            batch._disburse_funds_from_bank()
        self.assertEqual((batch.state, envelope.attention_code), ("unknown", "APPROVAL_VOID"))
        self.assertEqual(self.fake.call_count("initiate_payment"), 1)
        self.tamper(envelope, "amount = amount - 1")
        self.run_jobs(envelope.with_user(self.approver).action_approve)
        self.run_jobs(batch._enqueue_disburse)
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertNothingTwice()

    def _tampering_block(self, envelope):
        def block(account, amount, key):
            self.tamper(envelope, "beneficiary_name = 'Somebody else'")
            return self.fake._block_funds(account, amount, key)

        return block

    def test_parts_of_the_list_are_hashed_as_in_the_whole_of_it(self):
        self.patch(g2p_envelope_approval, "SLICE", 2)
        self.link(*(f"BEN{number}" for number in range(4, 8)))
        envelope = self.ready_envelope(7, disbursement_schedule_date=self.tomorrow())
        ids = self.disbursements(envelope).ids
        slices = envelope._approval_slices()
        self.assertEqual([part["count"] for part in slices], [2, 2, 2, 1])
        self.assertEqual([part["last_id"] for part in slices], [ids[1], ids[3], ids[5], None])
        self.assertEqual(len({part["hash"] for part in slices}), 4)
        bounds = [(0, ids[1]), (ids[1], ids[3]), (ids[3], ids[5]), (ids[5], None)]
        self.assertEqual(envelope._approval_slices(bounds), slices)
        for wanted in ([0], [3], [0, 2], [1, 3], [0, 1, 3]):
            found = envelope._approval_slices([bounds[index] for index in wanted])
            self.assertEqual(found, [slices[index] for index in wanted])
        # two payments after each other, as PostgreSQL always hashed them: approvals stay good
        digest = b"".join(
            hashlib.sha256(
                json.dumps(
                    [
                        payment.disbursement_id,
                        payment.mis_reference_number,
                        payment.beneficiary_id,
                        payment.beneficiary_name,
                        f"{payment.amount:.2f}",
                        payment.narrative,
                    ]
                ).encode()
            ).digest()
            for payment in self.disbursements(envelope)[:2]
        )
        self.assertEqual(slices[0]["hash"], hashlib.sha256(digest).hexdigest())
        for payment in self.disbursements(envelope)[2:4]:
            self.api.cancel_disbursements([payment.disbursement_id])
        self.env.invalidate_all()
        [first, empty, third] = envelope._approval_slices(bounds[:3])
        self.assertEqual((first, third), (slices[0], slices[2]))
        self.assertEqual((empty["count"], empty["hash"]), (0, hashlib.sha256().hexdigest()))

    def test_a_payment_added_past_our_code_stops_it(self):
        envelope = self.approved()
        self.env.cr.execute(
            """
            INSERT INTO g2p_disbursement (disbursement_id, envelope_id, mis_reference_number,
                   beneficiary_id, beneficiary_name, amount, narrative, state, received_at,
                   state_since, changed_xid)
            SELECT 'SMUGGLED', envelope_id, 'SMUGGLED', beneficiary_id, beneficiary_name, amount,
                   narrative, state, received_at, state_since, changed_xid
              FROM g2p_disbursement WHERE envelope_id = %s LIMIT 1
            """,
            [envelope.id],
        )
        self.env.invalidate_all()
        self.run_envelope(envelope)
        self.assertStopped(envelope)

    def test_other_totals_or_another_account_stop_it(self):
        for values in (
            {"total_disbursement_amount": 301},
            {"number_of_disbursements": 4},
            {"cycle_code_mnemonic": "2026-12"},
        ):
            with self.subTest(values):
                envelope = self.approved()
                envelope.write(values)
                self.run_envelope(envelope)
                self.assertStopped(envelope)

    def test_a_changed_account_number_of_the_program_stops_it(self):
        envelope = self.approved()
        self.account.account_number = "SOMEBODYELSE"
        self.run_envelope(envelope)
        self.assertStopped(envelope)

    def test_an_edited_approval_counts_for_nothing(self):
        envelope = self.approved()
        self.tamper(envelope, "amount = amount + 1")
        approval = envelope.approval_ids
        approval.content = {**approval.content, "slices": envelope._approval_slices()}
        self.run_envelope(envelope)
        self.assertStopped(envelope)

    def test_a_cancellation_after_it_voids_it_at_once(self):
        envelope = self.approved(disbursement_schedule_date=self.tomorrow())
        cancelled = self.disbursements(envelope)[0]
        self.run_jobs(lambda: self.api.cancel_disbursements([cancelled.disbursement_id]))
        self.assertStopped(envelope)
        self.assertTrue(envelope.approval_ids.voided_at)
        self.assertIn(self.approver.name, envelope.attention_message)

    def test_approved_again_the_rest_is_paid(self):
        envelope = self.approved()
        cancelled = self.disbursements(envelope)[0]
        self.run_jobs(lambda: self.api.cancel_disbursements([cancelled.disbursement_id]))
        self.assertStopped(envelope)
        self.run_jobs(envelope.with_user(self.approver).action_approve)
        self.assertStates(envelope, "cancelled", "sent", "sent")
        self.assertEqual(len(envelope.approval_ids), 2)
        self.assertEqual(envelope.approval_ids[0].disbursement_count, 2)

    def test_an_officer_who_tries_again_gets_no_further(self):
        envelope = self.approved()
        self.tamper(envelope, "amount = amount + 1")
        self.run_envelope(envelope)
        self.run_jobs(envelope.with_user(self.officer).action_resume)
        self.assertStopped(envelope, "APPROVAL_MISSING")

    def test_a_program_that_asks_for_it_later_gets_it(self):
        self.program.approval_required = False
        envelope = self.ready_envelope()
        self.fake.script("block_funds", self._approval_from_now_on)
        self.run_envelope(envelope)
        self.assertStopped(envelope, "APPROVAL_MISSING")
        self.run_jobs(envelope.with_user(self.approver).action_approve)
        self.assertStates(envelope, "sent", "sent", "sent")

    def _approval_from_now_on(self, account, amount, key):
        self.program.approval_required = True
        return self.fake._block_funds(account, amount, key)

    def test_it_is_given_once_and_only_to_what_is_complete(self):
        envelope = self.approved(disbursement_schedule_date=self.tomorrow())
        with self.assertRaises(UserError):
            self.approve(envelope)
        with self.assertRaises(UserError):
            self.approve(self.create_envelope())
        self.assertEqual(len(envelope.approval_ids), 1)

    def test_nobody_but_an_approver_gives_it(self):
        envelope = self.ready_envelope()
        with self.assertRaises(AccessError):
            envelope.with_user(self.officer).action_approve()
        self.assertFalse(envelope.approval_ids)

    def test_long_lists_are_cut_into_slices_that_are_looked_at_one_by_one(self):
        self.patch(g2p_envelope_approval, "SLICE", 2)
        self.link("BEN4", "BEN5")
        envelope = self.approved(5)
        slices = envelope.approval_ids.content["slices"]
        self.assertEqual([part["count"] for part in slices], [2, 2, 1])
        payments = self.disbursements(envelope)
        self.tamper(envelope, "amount = amount + 1")  # the second payment: in the first slice
        approval = envelope.approval_ids
        self.assertFalse(envelope._is_as_approved(approval, payments[0].ids))
        self.assertTrue(envelope._is_as_approved(approval, payments[2:4].ids))
        self.assertTrue(envelope._is_as_approved(approval, payments[4].ids))
        self.assertFalse(envelope._is_as_approved(approval, payments.ids))
        self.assertFalse(envelope._is_as_approved(approval, None))
