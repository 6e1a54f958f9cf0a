from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models import g2p_bulk_action
from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestBulkActions(StatementCase):
    """One step for all that is selected: done in slices, once, and what could not be is said."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.viewer = cls.create_user("test_viewer", "g2p_bridge.group_viewer")

    def setUp(self):
        super().setUp()
        self.sliced(2)
        self.messages = []

    def sliced(self, size):
        before = g2p_bulk_action.BULK_SLICE
        g2p_bulk_action.BULK_SLICE = size
        self.addCleanup(setattr, g2p_bulk_action, "BULK_SLICE", before)

    def unresolved_envelope(self, count, **values):
        """Return a ready envelope to whose people no account is known."""
        with trap_jobs():
            envelope = self.create_full_envelope(count, cycle_code_mnemonic="2026-12", **values)
        self.env["g2p.disbursement"]._bulk_transition(
            "unresolved",
            SQL("d.envelope_id = %s", envelope.id),
            cause="test",
            assign=SQL("reason_code = 'none', reason = 'No account is linked'"),
        )
        self.env.invalidate_all()
        return envelope

    def wizard(self, kind, model, domain, user=None, **values):
        """Return the wizard as the list opens it with all selected."""
        return (
            self.env["g2p.start.bulk.action"]
            .with_user(user or self.officer)
            .with_context(
                active_model=model, active_domain=domain, active_ids=[1], g2p_all_selected=True
            )
            .create({"kind": kind, **values})
        )

    def start(self, *args, **values):
        with trap_jobs():
            action = self.wizard(*args, **values).action_start()
        return self.env["g2p.bulk.action"].browse(action["res_id"])

    def run_slice(self, action):
        """Run a job of it; say whether it enqueued another."""
        with trap_jobs() as trap:
            action._run()
        self.env.flush_all()
        self.env.invalidate_all()
        return any(job.method_name == "_run" for job in trap.enqueued_jobs)

    def run_all(self, action):
        number = 1
        while self.run_slice(action):
            number += 1
        return number

    # -- leave out ------------------------------------------------------------------------------

    def test_all_that_is_selected_is_left_out_in_slices_with_the_reason(self):
        envelope = self.unresolved_envelope(5)
        domain = [["envelope_id", "=", envelope.id]]
        wizard = self.wizard("leave_out", "g2p.disbursement", domain, reason="moved away")
        self.assertEqual((wizard.selected_count, wizard.possible_count), (5, 5))
        self.assertEqual(wizard.possible_amounts, self.currency.format(500))
        with trap_jobs():
            action = self.env["g2p.bulk.action"].browse(wizard.action_start()["res_id"])
        self.assertEqual((action.state, action.total_count, action.progress), ("queued", 5, 0))
        self.assertTrue(self.run_slice(action))
        self.assertEqual((action.state, action.done_count), ("running", 2))
        self.assertEqual(action.progress, 40)
        self.run_all(action)
        self.assertEqual((action.state, action.done_count, action.skipped_count), ("done", 5, 0))
        self.assertStates(envelope, *["cancelled"] * 5)
        payment = self.disbursements(envelope)[0]
        self.assertEqual((payment.reason_code, payment.reason), ("LEFT_OUT", "moved away"))
        self.assertEqual(envelope.journal_ids.sorted("id")[-1].user_id, self.officer)
        self.assertEqual((envelope.cancelled_count, envelope.cancelled_amount), (5, 500))

    def test_what_is_not_without_account_is_left_as_it_is_and_said(self):
        envelope = self.unresolved_envelope(3)
        self.env["g2p.disbursement"]._bulk_transition(
            "resolved", SQL("d.id = %s", self.disbursements(envelope)[1].id), cause="test"
        )
        domain = ["|", ["envelope_id", "=", envelope.id], ["envelope_id", "=", self.envelope.id]]
        wizard = self.wizard("leave_out", "g2p.disbursement", domain, reason="moved")
        self.assertEqual((wizard.selected_count, wizard.possible_count), (6, 2))
        with trap_jobs():
            action = self.env["g2p.bulk.action"].browse(wizard.action_start()["res_id"])
        self.run_all(action)
        self.assertEqual((action.done_count, action.skipped_count), (2, 4))
        [found] = action.skipped.values()
        self.assertEqual(found["count"], 4)
        self.assertEqual(len(found["examples"]), 4)
        self.assertIn(self.ids[0], action.skipped_text)
        self.assertStates(envelope, "cancelled", "resolved", "cancelled")
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_what_lost_its_account_after_the_officer_looked_is_not_left_out(self):
        envelope = self.unresolved_envelope(2)
        action = self.start(
            "leave_out", "g2p.disbursement", [["envelope_id", "=", envelope.id]], reason="moved"
        )
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET state_since = now() + interval '1 hour' WHERE id = %s",
            [self.disbursements(envelope)[0].id],
        )
        self.run_all(action)
        self.assertStates(envelope, "unresolved", "cancelled")
        self.assertEqual((action.done_count, action.skipped_count), (1, 1))

    def test_a_job_that_runs_again_goes_on_where_the_last_one_ended(self):
        envelope = self.unresolved_envelope(5)
        action = self.start(
            "leave_out", "g2p.disbursement", [["envelope_id", "=", envelope.id]], reason="moved"
        )
        with self.env.cr.savepoint() as savepoint:  # it dies before its commit
            self.run_slice(action)
            savepoint.rollback()
        self.env.invalidate_all()
        self.assertEqual((action.state, action.done_count, action.last_id), ("queued", 0, 0))
        for _time in range(5):  # twice as many jobs as there are slices
            self.run_slice(action)
        self.assertEqual((action.state, action.done_count, action.skipped_count), ("done", 5, 0))

    def test_it_can_be_stopped_between_two_slices(self):
        envelope = self.unresolved_envelope(5)
        action = self.start(
            "leave_out", "g2p.disbursement", [["envelope_id", "=", envelope.id]], reason="moved"
        )
        self.run_slice(action)
        action.with_user(self.officer).action_stop()
        self.assertFalse(self.run_slice(action))
        self.assertEqual((action.state, action.done_count), ("stopped", 2))
        self.assertEqual(envelope.unresolved_count, 3)

    def test_of_another_company_nothing_is_touched(self):
        company = self.env["res.company"].create({"name": "Other ministry"})
        envelope = self.unresolved_envelope(2)
        self.env.cr.execute(
            "UPDATE g2p_disbursement_envelope SET company_id = %s WHERE id = %s",
            [company.id, envelope.id],
        )
        self.env.invalidate_all()
        wizard = self.wizard("leave_out", "g2p.disbursement", [], reason="x")
        self.assertEqual(wizard.possible_count, 0)
        with self.assertRaisesRegex(UserError, "nothing selected"):
            wizard.action_start()

    def test_who_is_no_officer_any_more_stops_it(self):
        envelope = self.unresolved_envelope(2)
        action = self.start(
            "leave_out", "g2p.disbursement", [["envelope_id", "=", envelope.id]], reason="moved"
        )
        self.officer.group_ids -= self.env.ref("g2p_bridge.group_officer")
        self.assertFalse(self.run_slice(action))
        self.assertEqual(action.state, "failed")
        self.assertStates(envelope, "unresolved", "unresolved")

    def test_the_cron_goes_on_with_one_whose_job_was_lost(self):
        envelope = self.unresolved_envelope(3)
        action = self.start(
            "leave_out", "g2p.disbursement", [["envelope_id", "=", envelope.id]], reason="moved"
        )
        with trap_jobs() as trap:
            self.env["g2p.bulk.action"]._cron_go_on()
        trap.assert_jobs_count(1, only=action._run)
        self.run_all(action)
        with trap_jobs() as trap:
            self.env["g2p.bulk.action"]._cron_go_on()
        trap.assert_jobs_count(0)

    # -- look up again --------------------------------------------------------------------------

    def test_accounts_are_looked_up_again(self):
        envelope = self.unresolved_envelope(3)
        self.link("BEN1", "BEN3")
        action = self.start("resolve", "g2p.disbursement", [["envelope_id", "=", envelope.id]])
        self.run_all(action)
        self.assertStates(envelope, "resolved", "unresolved", "resolved")
        self.assertEqual((action.done_count, action.skipped_count), (2, 1))
        self.assertIn("No account is linked", action.skipped_text)

    # -- envelopes, statements, entries ---------------------------------------------------------

    def test_stopped_envelopes_are_tried_again(self):
        stopped = self.unresolved_envelope(1)
        stopped._set_needs_attention("X", "x")
        paused = self.unresolved_envelope(1)
        paused._set_needs_attention("X", "x")
        paused.is_paused = True
        domain = [["id", "in", (stopped + paused + self.envelope).ids]]
        action = self.start("retry", "g2p.disbursement.envelope", domain)
        self.run_all(action)
        self.assertEqual((stopped.state, paused.state), ("ready", "needs_attention"))
        self.assertEqual((action.done_count, action.skipped_count), (1, 2))

    def test_entries_are_dismissed_with_the_reason(self):
        statement = self.book(
            entry("D", 100, self.ids[0]), *[entry("D", 5, f"FEE{n}") for n in range(4)]
        )
        domain = [["statement_id", "=", statement.id]]
        wizard = self.wizard("dismiss", "g2p.account.statement.line", domain, reason="charges")
        self.assertEqual((wizard.selected_count, wizard.possible_count), (5, 4))
        with trap_jobs():
            action = self.env["g2p.bulk.action"].browse(wizard.action_start()["res_id"])
        self.run_all(action)
        lines = statement.line_ids.filtered(lambda line: line.outcome == "error")
        self.assertEqual(lines.mapped("handling_note"), ["charges"] * 4)
        self.assertEqual(lines.handled_by_id, self.officer)
        self.assertEqual((action.done_count, action.skipped_count), (4, 1))
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_each_is_assigned_once(self):
        for _time in range(2):
            action = self.start(
                "assign",
                "g2p.disbursement.envelope",
                [["id", "=", self.envelope.id]],
                assignee_id=self.officer.id,
                reason="look at it",
            )
            self.run_all(action)
        activity = self.envelope.activity_ids
        self.assertEqual((activity.user_id, activity.summary), (self.officer, "look at it"))
        self.assertEqual(action.skipped_count, 1)

    # -- who and what ---------------------------------------------------------------------------

    def test_nobody_but_officers_starts_stops_or_sees_one(self):
        with self.assertRaises(AccessError):
            self.wizard("resolve", "g2p.disbursement", [], user=self.viewer)
        envelope = self.unresolved_envelope(2)
        action = self.start("resolve", "g2p.disbursement", [["envelope_id", "=", envelope.id]])
        for call in (action.with_user(self.viewer).action_stop,):
            with self.assertRaises(AccessError):
                call()
        with self.assertRaises(AccessError):
            action.with_user(self.officer).write({"state": "done"})

    def test_a_step_is_for_its_records_only(self):
        for kind, model in (
            ("leave_out", "g2p.disbursement.envelope"),
            ("dismiss", "g2p.disbursement"),
            ("retry", "res.partner"),
        ):
            with self.subTest(kind=kind, model=model), self.assertRaisesRegex(UserError, "no such"):
                self.wizard(kind, model, [], reason="x").action_start()

    def test_what_cancels_or_dismisses_needs_a_reason(self):
        envelope = self.unresolved_envelope(1)
        domain = [["envelope_id", "=", envelope.id]]
        for reason in (False, "  "):
            with self.assertRaisesRegex(UserError, "Say why"):
                self.wizard("leave_out", "g2p.disbursement", domain, reason=reason).action_start()

    def test_only_what_is_ticked_where_not_all_is_selected(self):
        envelope = self.unresolved_envelope(3)
        ticked = self.disbursements(envelope)[1]
        wizard = (
            self.env["g2p.start.bulk.action"]
            .with_user(self.officer)
            .with_context(active_model="g2p.disbursement", active_ids=ticked.ids, active_domain=[])
            .create({"kind": "leave_out", "reason": "moved"})
        )
        with trap_jobs():
            action = self.env["g2p.bulk.action"].browse(wizard.action_start()["res_id"])
        self.run_all(action)
        self.assertStates(envelope, "unresolved", "cancelled", "unresolved")

    def test_steps_are_in_the_action_menu_of_officers_only(self):
        for model in ("g2p.disbursement", "g2p.disbursement.envelope"):
            for user, is_there in ((self.officer, True), (self.viewer, False)):
                found = self.env["ir.actions.actions"].with_user(user).get_bindings(model)
                names = {action["name"] for action in found.get("action", ())}
                self.assertEqual(bool(names & {"Leave out…", "Try again…"}), is_there)

    def test_as_many_queries_for_many_as_for_few(self):
        self.sliced(1000)
        counts = []
        for number in (3, 30):
            envelope = self.unresolved_envelope(number)
            action = self.start(
                "leave_out", "g2p.disbursement", [["envelope_id", "=", envelope.id]], reason="x"
            )
            before = self.env.cr.sql_log_count
            self.run_slice(action)
            counts.append(self.env.cr.sql_log_count - before)
        self.assertLessEqual(counts[1], counts[0])  # the first one also fills caches
