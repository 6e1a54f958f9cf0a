from odoo.tests.common import tagged

from .test_browser import BrowserCase


@tagged("post_install", "-at_install", "g2p_browser")
class TestAttentionBrowser(BrowserCase):
    """The worklist and the search, in a real browser; an error in its console fails the test."""

    def test_an_officer_solves_a_case_from_the_list(self):
        envelope = self.create_envelope_with_a_reversed_payment()
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET state = 'reconciled', reason_code = NULL"
            " WHERE envelope_id = %s",
            [envelope.id],
        )
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET state = 'rejected', reason_code = 'AC04', reason = NULL"
            " WHERE envelope_id = %s AND beneficiary_id IN ('BEN1', 'BEN2')",
            [envelope.id],
        )
        self.env.invalidate_all()
        self.start_tour("/odoo/g2p-attention", "g2p_bridge_attention", login="tour_officer")
        payments = self.env["g2p.disbursement"].search([("envelope_id", "=", envelope.id)])
        self.assertEqual(len(payments.filtered("followed_up_at")), 2)
        [case] = self.env["g2p.attention.case"].search([])
        self.assertEqual(case.note, "The program was called")
        self.assertEqual(case.user_id.login, "tour_officer")

    def test_a_payment_is_found_from_anywhere(self):
        self.create_envelope_with_a_reversed_payment()
        self.start_tour("/odoo/g2p-envelopes", "g2p_bridge_find_payment", login="tour_officer")
