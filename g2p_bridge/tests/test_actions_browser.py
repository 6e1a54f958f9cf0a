import os
from unittest.mock import patch

from odoo import fields
from odoo.tests.common import HttpCase, new_test_user, tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.services.disbursement_id import new_ids


@tagged("post_install", "-at_install", "g2p_browser")
class TestActionsBrowser(HttpCase):
    """What an officer does, in a real browser: reissue, leave all out, drop a statement."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        new_test_user(
            cls.env, "tour_officer", password="tour_officer", groups="g2p_bridge.group_officer"
        )
        cls.bank = cls.env["g2p.sponsor.bank"].create({"name": "Tour bank", "code": "TOUR"})
        cls.account = cls.env["g2p.funding.account"].create(
            {"name": "Tour account", "bank_id": cls.bank.id, "account_number": "TOUR1"}
        )
        cls.program = cls.env["g2p.benefit.program"].create(
            {
                "name": "Tour program",
                "mnemonic": "TOUR",
                "funding_account_id": cls.account.id,
                "id_mapper_resolution_required": False,
            }
        )

    def run_jobs_at_once(self):
        """Run jobs where they are enqueued: no job runner looks into a test's transaction."""
        environment = patch.dict(os.environ, {"QUEUE_JOB__NO_DELAY": "1"})
        environment.start()
        self.addCleanup(environment.stop)

    def create_envelope(self, cycle, count, state, envelope_state="disbursed", **assign):
        """Return an envelope whose payments of 100.00 are in a state."""
        envelope = self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": new_ids(1)[0],
                "program_id": self.program.id,
                "funding_account_id": self.account.id,
                "currency_id": self.account.currency_id.id,
                "disbursement_frequency": "Monthly",
                "cycle_code_mnemonic": cycle,
                "number_of_beneficiaries": count,
                "number_of_disbursements": count,
                "total_disbursement_amount": 100 * count,
                "disbursement_schedule_date": fields.Date.today(),
                "state": envelope_state,
            }
        )
        batch = self.env["g2p.disbursement.batch"].create(
            {"name": f"{cycle}-1", "envelope_id": envelope.id, "state": "acknowledged"}
        )
        in_batch = state not in ("received", "unresolved", "resolved")
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                WITH added AS (
                    INSERT INTO g2p_disbursement
                           (envelope_id, state, received_at, state_since, changed_xid,
                            disbursement_id, amount, mis_reference_number, beneficiary_id,
                            beneficiary_name, narrative, batch_id, reason_code, reason)
                    SELECT %(envelope)s, %(state)s, now(), now() - interval '1 minute', 0, v.id,
                           100, 'MIS' || v.place, 'BEN' || v.place, 'Person ' || v.place, 'Grant',
                           %(batch)s, %(code)s, %(reason)s
                      FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS v(id, place)
                 RETURNING amount)
                INSERT INTO g2p_disbursement_journal
                       (envelope_id, batch_id, target, disbursement_count, amount, created_at)
                SELECT %(envelope)s, %(batch)s, %(state)s, count(*), sum(amount), now() FROM added
                """,
                envelope=envelope.id,
                state=state,
                batch=batch.id if in_batch else None,
                code=assign.get("reason_code"),
                reason=assign.get("reason"),
                ids=new_ids(count),
            )
        )
        self.env.invalidate_all()
        return envelope

    def test_what_came_back_is_reissued(self):
        envelope = self.create_envelope(
            "TOUR-CYCLE", 1, "reversed", reason_code="AC04", reason="Account closed"
        )
        self.start_tour("/odoo/g2p-envelopes", "g2p_bridge_reissue", login="tour_officer")
        self.env.invalidate_all()
        new = envelope.reissue_ids
        self.assertEqual((new.total_received_count, new.total_received_amount), (1, 100))
        self.assertEqual(new.reissue_reason, "account corrected")
        self.assertEqual(new.created_by_id.login, "tour_officer")

    def test_all_that_is_selected_is_left_out(self):
        self.run_jobs_at_once()
        envelope = self.create_envelope("TOUR-OUT", 100, "unresolved")
        self.start_tour("/odoo/g2p-unresolved", "g2p_bridge_leave_out", login="tour_officer")
        self.env.invalidate_all()
        self.assertEqual((envelope.unresolved_count, envelope.cancelled_count), (0, 100))
        action = self.env["g2p.bulk.action"].search([], limit=1)
        self.assertEqual((action.total_count, action.done_count), (100, 100))
        self.assertEqual(action.user_id.login, "tour_officer")
        self.assertNotIn("id", [leaf[0] for leaf in action.domain if isinstance(leaf, list)])

    def test_a_statement_is_dropped_and_its_result_seen(self):
        self.run_jobs_at_once()
        envelope = self.create_envelope("TOUR-SENT", 2, "sent")
        self.start_tour("/odoo/g2p-statements", "g2p_bridge_drop_statement", login="tour_officer")
        self.env.invalidate_all()
        self.assertEqual((envelope.reconciled_count, envelope.sent_count), (1, 1))
        [statement] = self.env["g2p.account.statement"].search(
            [("account_id", "=", self.account.id)]
        )
        self.assertEqual((statement.state, statement.line_count), ("processed", 2))
        charge = statement.line_ids.filtered("is_handled")
        self.assertEqual(charge.handling_note, "bank charge")
