from odoo import fields
from odoo.tests.common import tagged

from . import test_browser


@tagged("post_install", "-at_install", "g2p_browser")
class TestHomeBrowser(test_browser.TestBrowser):
    """Home and the money bar, in a real browser; an error in its console fails the test."""

    # what is inherited is the world, not its tests
    test_an_officer_finds_out_why_a_payment_came_back = None
    test_html_of_a_caller_is_shown_as_text = None

    def test_an_officer_goes_from_home_to_what_is_behind_a_number(self):
        envelope = self.create_envelope_with_a_reversed_payment()
        envelope.disbursement_schedule_date = fields.Date.today()
        self.env.cr.execute(
            "UPDATE g2p_disbursement_journal SET created_at = %s", [fields.Datetime.now()]
        )
        self.start_tour("/odoo/g2p-home", "g2p_bridge_home", login="tour_officer")
