from unittest.mock import patch

from odoo.tests.common import new_test_user, tagged
from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .test_browser import BrowserCase


@tagged("post_install", "-at_install", "g2p_browser")
class TestApprovalBrowser(BrowserCase):
    """What an approver releases is what her browser showed."""

    def test_an_approver_releases_what_she_saw(self):
        approver = new_test_user(
            self.env,
            "tour_approver",
            password="tour_approver",
            groups="g2p_bridge.group_approver",
        )
        envelope = self.create_envelope_with_a_reversed_payment()
        self.leave_only_received(envelope)
        envelopes = type(envelope)
        read, calls = envelopes.review_for_approval, []

        def read_and_change(records):
            review = read(records)
            if not calls:
                self.env.cr.execute(
                    "UPDATE g2p_disbursement SET beneficiary_name = 'Somebody else'"
                    " WHERE disbursement_id = 'TOURPAYMENT2'"
                )
            calls.append(review["released"]["content_hash"])
            return review

        with trap_jobs(), patch.object(envelopes, "review_for_approval", read_and_change):
            self.start_tour(
                f"/odoo/g2p.disbursement.envelope/{envelope.id}",
                "g2p_bridge_approval",
                login="tour_approver",
            )
        self.env.invalidate_all()
        [approval] = envelope.approval_ids
        self.assertEqual((envelope.state, approval.user_id), ("approved", approver))
        self.assertEqual([approval.content_hash], calls[1:])
        self.assertNotEqual(calls[0], calls[1])

    def leave_only_received(self, envelope):
        """Put it where an approver is asked: three payments came in, and nothing else happened."""
        envelope.write({"state": "ready", "created_by_id": self.env.uid})
        envelope.program_id.approval_required = True
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_disbursement SET state = 'received' WHERE envelope_id = %s", envelope.id
            )
        )
        self.env.cr.execute(
            SQL(
                "DELETE FROM g2p_disbursement_journal"
                " WHERE envelope_id = %s AND source IS NOT NULL",
                envelope.id,
            )
        )
        self.env.invalidate_all()
