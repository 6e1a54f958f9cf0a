from decimal import Decimal

from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .reissue_case import ReissueCase


@tagged("post_install", "-at_install")
class TestFollowUp(ReissueCase):
    """Who was not reached is left to the program, or reissued: never both, never forgotten."""

    def where(self, payments):
        return SQL("d.id = ANY(%s)", payments.ids)

    def cases(self):
        self.env.flush_all()
        self.env.invalidate_all()
        cases = self.env["g2p.attention"].with_user(self.officer).search([])
        return cases.filtered(lambda case: case.kind.startswith("payment_")).mapped("kind")

    def hand_back(self):
        with trap_jobs():
            self.envelope.with_user(self.officer)._hand_back("rejected", "AC04", "by phone")
        self.env.flush_all()
        self.env.invalidate_all()

    def test_what_is_left_to_the_program_is_not_reissued_too(self):
        self.assertEqual(set(self.cases()), {"payment_rejected", "payment_returned"})
        self.hand_back()
        self.assertEqual(self.cases(), ["payment_returned"])
        self.assertFalse(self.refused.is_reissuable)
        with self.assertRaises(UserError):
            self.reissue({"ids": self.refused.ids}, expected=(1, Decimal(100)))
        with self.assertRaises(UserError):
            self.reissue()
        new = self.reissue(expected=(1, Decimal(100)))
        self.assertEqual(self.disbursements(new).reissue_of_id, self.returned)

    def test_nor_when_it_is_left_to_the_program_while_the_reissue_is_filled(self):
        with trap_jobs():
            new = self.create_envelope(2, cycle_code_mnemonic="again")
        new.write({"reissued_from_id": self.envelope.id, "created_by_id": self.officer.id})
        self.hand_back()
        with self.assertRaises(UserError):
            new._copy_originals(self.refused.ids)
        self.assertFalse(self.disbursements(new))
        self.assertEqual(new._copy_originals(self.returned.ids), (1, Decimal(100)))

    def test_what_is_reissued_leaves_the_list_and_comes_back_with_its_cancellation(self):
        new = self.reissue()
        self.assertFalse(self.cases())
        self.assertTrue(self.refused.followed_up_at)
        self.env["g2p.disbursement"]._bulk_transition(
            "cancelled", self.where(self.disbursements(new)), cause="test"
        )
        self.env.invalidate_all()
        self.assertEqual(set(self.cases()), {"payment_rejected", "payment_returned"})
        self.assertFalse(self.refused.followed_up_at)

    def test_the_story_tells_of_the_reissue_on_both_pages(self):
        new = self.disbursements(self.reissue())
        again = new.filtered(lambda payment: payment.reissue_of_id == self.refused)
        told = [step["text"] for step in self.refused.with_user(self.officer).story]
        self.assertEqual(told[-1], f"Reissued as {again.disbursement_id}.")
        told = [step["text"] for step in again.with_user(self.officer).story]
        self.assertIn(f"Reissue of {self.refused.disbursement_id} by ", told[0])

    def test_the_button_of_a_case_opens_the_wizard_of_its_envelope(self):
        cases = self.env["g2p.attention"].with_user(self.officer).search([])
        action = cases.filtered(lambda case: case.kind == "payment_rejected").action_reissue()
        wizard = self.env[action["res_model"]].with_user(self.officer)
        wizard = wizard.with_context(**action["context"]).create({"reason": "corrected"})
        self.assertEqual((wizard.payment_count, wizard.payment_amount), (2, 200))
