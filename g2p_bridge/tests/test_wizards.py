import base64

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestWizards(StatementCase):
    """What officers decide: done by the model, with the reason kept, or clearly refused."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.viewer = cls.create_user("test_viewer", "g2p_bridge.group_viewer")

    def wizard(self, name, **values):
        """Return the wizard of that name, filled in by the officer."""
        return self.env[f"g2p.{name}"].with_user(self.officer).create(values)

    def upload_wizard(self, text):
        return self.wizard(
            "upload.statement", content=base64.b64encode(text.encode()), filename="nov.sta"
        )

    def unknown_batch(self):
        """Return a batch of two payments for which the bank gave no answer."""
        envelope = self.sent_envelope(2)
        batch = envelope.batch_ids
        # back to where it was before its call
        batch.write({"state": "ready"})
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET state = 'batched' WHERE batch_id = %s", [batch.id]
        )
        self.env.invalidate_all()
        batch._set_unknown("ReadTimeout", "no answer")
        return batch

    def worklist_entry(self, *entries):
        """Return entries of a processed statement that wait for an officer."""
        statement = self.statement(self.upload(self.text(list(entries))))
        self.process(statement)
        return statement.line_ids.filtered(lambda line: line.outcome == "error")

    # -- upload a statement ---------------------------------------------------------------------

    def test_an_uploaded_statement_is_stored_and_opened(self):
        wizard = self.upload_wizard(self.text([entry("D", 100, self.ids[0])]))
        with trap_jobs() as trap:
            action = wizard.action_upload()
        statement = self.env["g2p.account.statement"].browse(action["res_id"])
        trap.assert_jobs_count(1, only=statement._process_statement)
        self.assertEqual(action["res_model"], "g2p.account.statement")
        self.assertEqual(statement.line_count, 1)
        self.assertEqual(statement.uploaded_by_id, self.officer)
        self.assertEqual(statement.filename, "nov.sta")

    def test_the_same_file_opens_the_statement_of_the_first_time(self):
        text = self.text([entry("D", 100, self.ids[0])])
        first = self.upload_wizard(text).action_upload()
        again = self.upload_wizard(text).action_upload()
        self.assertEqual(first["res_id"], again["res_id"])

    def test_a_file_that_is_no_statement_is_refused_in_words_and_changes_nothing(self):
        before = self.env["g2p.account.statement"].search_count([])
        with self.assertRaises(UserError) as caught:
            self.upload_wizard("not a statement").action_upload()
        self.assertIn("no statement that can be booked", caught.exception.args[0])
        self.assertEqual(self.env["g2p.account.statement"].search_count([]), before)

    def test_a_statement_of_another_company_s_account_is_refused(self):
        company = self.env["res.company"].create({"name": "Other ministry"})
        bank = self.create_bank(code="OTHER", company_id=company.id)
        self.create_account(bank, account_number="FOREIGN1")
        text = self.text([entry("D", 100, self.ids[0])], account="FOREIGN1")
        with self.assertRaises(UserError) as caught:
            self.upload_wizard(text).action_upload()
        self.assertIn("no funding account", caught.exception.args[0])
        self.assertNotIn("FOREIGN1", caught.exception.args[0])

    # -- cancel an envelope ---------------------------------------------------------------------

    def test_an_envelope_is_cancelled_with_its_payments_and_the_reason(self):
        envelope = self.create_full_envelope(2, cycle_code_mnemonic="2026-12")
        self.wizard("cancel.envelope", envelope_id=envelope.id, reason="duplicate").action_cancel()
        self.assertEqual((envelope.state, envelope.cancel_reason), ("cancelled", "duplicate"))
        self.assertStates(envelope, "cancelled", "cancelled")
        last = envelope.journal_ids.sorted("id")[-1]
        self.assertEqual((last.user_id, last.target), (self.officer, "cancelled"))

    def test_cancelling_gives_blocked_funds_back(self):
        envelope = self.create_full_envelope(2, cycle_code_mnemonic="2026-12")
        envelope.write({"state": "funds_blocked", "funds_blocked_reference_number": "BLOCK9"})
        wizard = self.wizard("cancel.envelope", envelope_id=envelope.id, reason="duplicate")
        with trap_jobs() as trap:
            wizard.action_cancel()
        trap.assert_jobs_count(1, only=envelope._release_funds_at_bank)

    def test_an_envelope_of_which_money_may_have_moved_is_not_cancelled(self):
        states = self.disbursements(self.envelope).mapped("state")
        wizard = self.wizard("cancel.envelope", envelope_id=self.envelope.id, reason="late")
        with self.assertRaisesRegex(UserError, "may have moved"):
            wizard.action_cancel()
        self.envelope._set_needs_attention("X", "x")
        with self.assertRaisesRegex(UserError, "may have moved"):
            wizard.action_cancel()
        self.assertEqual(self.envelope.state, "needs_attention")
        self.assertStates(self.envelope, *states)

    def test_a_cancelled_envelope_says_that_it_is_cancelled(self):
        envelope = self.create_full_envelope(2, cycle_code_mnemonic="2026-12")
        wizard = self.wizard("cancel.envelope", envelope_id=envelope.id, reason="duplicate")
        wizard.action_cancel()
        with self.assertRaisesRegex(UserError, "cancelled already"):
            wizard.action_cancel()

    # -- decide a batch -------------------------------------------------------------------------

    def decide(self, batch, decision, note):
        """Have the officer propose it, and the approver confirm it."""
        self.wizard("decide.batch", batch_id=batch.id, decision=decision, note=note).action_decide()
        approver = self.create_user("test_approver", "g2p_bridge.group_approver")
        batch.with_user(approver).action_confirm_decision()

    def test_a_batch_decided_as_paid_waits_for_the_statement(self):
        batch = self.unknown_batch()
        self.decide(batch, "paid", "letter")
        self.assertEqual((batch.state, batch.decision_note), ("acknowledged", "letter"))
        self.assertStates(batch.envelope_id, "sent", "sent")

    def test_a_batch_decided_as_not_paid_is_rejected(self):
        batch = self.unknown_batch()
        self.decide(batch, "not_paid", "bank says no")
        self.assertEqual((batch.state, batch.reason_code), ("rejected", "DECIDED_NOT_PAID"))
        self.assertStates(batch.envelope_id, "rejected", "rejected")

    def test_a_batch_whose_outcome_is_known_is_not_decided(self):
        batch = self.envelope.batch_ids
        wizard = self.wizard("decide.batch", batch_id=batch.id, decision="not_paid", note="x")
        with self.assertRaisesRegex(UserError, "unknown outcome"):
            wizard.action_decide()
        self.assertEqual(batch.state, "acknowledged")

    # -- decide a statement ---------------------------------------------------------------------

    def held_statement(self):
        text = self.text([entry("D", 100, self.ids[0])], closing="1,00")
        statement = self.statement(self.upload(text))
        self.assertEqual(statement.state, "held")
        return statement

    def test_a_held_statement_is_accepted_with_the_reason(self):
        statement = self.held_statement()
        self.wizard(
            "decide.statement", statement_id=statement.id, decision="accept", note="fee netted"
        ).action_decide()
        self.assertEqual((statement.state, statement.decision_note), ("received", "fee netted"))

    def test_a_dismissed_statement_counts_for_nothing(self):
        statement = self.held_statement()
        wizard = self.wizard(
            "decide.statement", statement_id=statement.id, decision="dismiss", note="wrong file"
        )
        wizard.action_decide()
        self.assertEqual(statement.state, "dismissed")
        self.assertStates(self.envelope, "sent", "sent", "sent")
        with self.assertRaisesRegex(UserError, "Only a held statement"):
            wizard.action_decide()

    # -- match and dismiss entries --------------------------------------------------------------

    def test_an_entry_is_matched_with_the_payment_whose_id_is_typed(self):
        line = self.worklist_entry(entry("D", 100, "NONREF"))
        form = Form(
            self.env["g2p.match.entry"]
            .with_user(self.officer)
            .with_context(default_line_id=line.id)
        )
        form.reference = f" {self.ids[1].lower()} "
        self.assertEqual(form.beneficiary_name, "Person 2")
        form.note = "the bank's letter"
        form.save().action_match()
        self.assertEqual((line.outcome, line.is_handled), ("reconciled", True))
        self.assertEqual(
            (line.handled_by_id, line.handling_note), (self.officer, "the bank's letter")
        )
        self.assertStates(self.envelope, "sent", "reconciled", "sent")

    def test_an_entry_is_not_matched_with_what_does_not_agree(self):
        line = self.worklist_entry(entry("D", 55, "NONREF"))
        for reference, words in ((self.ids[0], "amounts"), ("NOSUCHPAYMENT", "no payment")):
            wizard = self.wizard("match.entry", line_id=line.id, reference=reference, note="x")
            with self.assertRaisesRegex(UserError, words):
                wizard.action_match()
        self.assertEqual((line.outcome, line.is_handled), ("error", False))

    def test_the_entries_selected_in_the_list_are_dismissed_with_the_reason(self):
        lines = self.worklist_entry(entry("D", 5, "FEE1"), entry("D", 6, "FEE2"))
        wizard = (
            self.env["g2p.dismiss.entry"]
            .with_user(self.officer)
            .with_context(active_model=lines._name, active_ids=lines.ids)
            .create({"note": "bank charge"})
        )
        wizard.action_dismiss()
        self.assertEqual(lines.mapped("handling_note"), ["bank charge", "bank charge"])
        self.assertEqual(lines.handled_by_id, self.officer)
        with self.assertRaisesRegex(UserError, "worklist"):
            wizard.action_dismiss()

    # -- who may --------------------------------------------------------------------------------

    def test_nobody_but_officers_gets_a_wizard(self):
        for name in (
            "upload.statement",
            "cancel.envelope",
            "decide.batch",
            "decide.block",
            "decide.statement",
            "match.entry",
            "dismiss.entry",
        ):
            for user in (self.viewer, self.pbms_user, self.bank_user):
                with self.subTest(wizard=name, user=user.login), self.assertRaises(AccessError):
                    self.env[f"g2p.{name}"].with_user(user).check_access("create")

    def test_no_wizard_goes_on_without_a_reason(self):
        for name, field in (
            ("cancel.envelope", "reason"),
            ("decide.batch", "note"),
            ("decide.block", "note"),
            ("decide.statement", "note"),
            ("match.entry", "note"),
            ("dismiss.entry", "note"),
        ):
            self.assertTrue(self.env[f"g2p.{name}"]._fields[field].required, name)
