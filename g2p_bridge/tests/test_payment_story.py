from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown
from odoo.addons.queue_job.tests.common import trap_jobs

from .pipeline_case import PipelineCase
from .statement_case import entry, statement_text


@tagged("post_install", "-at_install")
class TestPaymentStory(PipelineCase):
    """What a payment's page tells of it, for each end that it can come to."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")
        for user, name in (
            (cls.pbms_user, "PBMS"),
            (cls.officer, "Olive Officer"),
            (cls.approver, "Abel Approver"),
        ):
            user.name = name

    def told(self, payment):
        """Return the sentences, as an officer reads them."""
        self.env.flush_all()
        self.env.invalidate_all()
        return [step["text"] for step in payment.with_user(self.officer).story]

    def answer(self, payment):
        self.env.invalidate_all()
        lines = payment.with_user(self.officer).caller_answer.split("\n")
        self.assertEqual(len(lines), 2)
        self.assertIn(payment.disbursement_id, lines[1])
        self.assertNotIn("ACCOUNT-BEN", "".join(lines))
        return lines[0]

    def assertTells(self, payment, *parts):
        """Assert that the story has these sentences, in this order, and no others."""
        told = self.told(payment)
        self.assertEqual(len(told), len(parts), told)
        for sentence, part in zip(told, parts, strict=True):
            self.assertIn(part, sentence)

    def sent_payment(self):
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        payment = self.disbursements(envelope)[0]
        self.assertEqual(payment.state, "sent")
        return payment

    def book(self, *entries, **values):
        with trap_jobs():
            answer = self.bank_api.upload_mt940(
                statement_text("TEST0001", list(entries), **values), "statement.mt940"
            )
        statement = self.env["g2p.account.statement"].search(
            [("name", "=", answer["statement_id"])]
        )
        self.run_jobs(statement._enqueue_matching)
        return statement

    def test_one_that_waits_for_its_look_up(self):
        payment = self.disbursements(self.ready_envelope())[0]
        self.assertTells(
            payment,
            "Received from PBMS with call 1 of Test program, cycle 2026-11.",
            "Next: its account is looked up",
        )
        self.assertIn("goes to the bank on", self.answer(payment))

    def test_one_without_account(self):
        envelope = self.ready_envelope(4)
        self.run_envelope(envelope)
        payment = self.disbursements(envelope)[3]
        self.assertTells(
            payment,
            "Received",
            "No account found: no account is linked to this beneficiary.",
            "Next: the program names an account.",
        )
        self.assertIn("we know no account of yours", self.answer(payment))

    def test_one_that_is_with_the_bank(self):
        payment = self.sent_payment()
        self.assertTells(
            payment,
            "Received",
            "Account found by Test mapper: bank account",
            f"Put into batch {payment.batch_id.name}, 1 of 2 so far.",
            "Sent to Test bank, which took the batch under reference",
            "Next: the statement of Test bank shows it.",
        )
        [account] = [text for text in self.told(payment) if "Account found" in text]
        self.assertNotIn("ACCOUNT-BEN1", account)
        self.assertIn("BEN1", account)
        self.assertIn("is on its way", self.answer(payment))

    def test_one_that_was_debited(self):
        payment = self.sent_payment()
        statement = self.book(entry("D", 100, payment.disbursement_id, bank_reference="EXB1"))
        self.assertEqual(payment.state, "reconciled")
        told = self.told(payment)
        self.assertEqual(
            told[-1],
            f"Debited: statement {statement.display_name}, entry 1, the bank's reference EXB1.",
        )
        self.assertIn("was paid to your account on 11/23/2026", self.answer(payment))

    def test_one_that_came_back_with_the_code_in_words(self):
        payment = self.sent_payment()
        self.book(entry("D", 100, payment.disbursement_id))
        self.book(entry("RD", 100, payment.disbursement_id), number="2/1", opening="900,00")
        self.env.cr.execute(
            "UPDATE g2p_account_statement_line SET reversal_reason = 'AC04'"
            " WHERE outcome = 'reversed'"
        )
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET reason_code = 'AC04' WHERE id = %s", [payment.id]
        )
        told = self.told(payment)
        self.assertIn("Debited: statement", told[-3])
        self.assertIn("Came back: AC04, account closed (statement", told[-2])
        self.assertIn("Next: an officer", told[-1])
        self.assertIn("came back from your bank on 11/23/2026: AC04", self.answer(payment))
        payment.followed_up_at = "2026-11-24 08:00:00"
        self.assertEqual(self.told(payment)[-1], "Followed up: the program sees to this person.")

    def test_one_that_the_bank_refused(self):
        payment = self.sent_payment()
        self.env["g2p.disbursement"]._bulk_transition(
            "rejected",
            SQL("d.id = %s", payment.id),
            cause="test",
            assign=SQL("reason_code = 'AC04'"),
        )
        self.assertEqual(self.told(payment)[-2], "Refused: AC04, account closed.")
        self.assertIn("was refused by the bank", self.answer(payment))

    def test_one_whose_bank_did_not_answer_until_two_persons_decided(self):
        self.fake.honours_idempotency_key = self.fake.supports_inquiry = False
        self.fake.script("initiate_payment", BankOutcomeUnknown("no answer", code="ReadTimeout"))
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        payment = self.disbursements(envelope)[0]
        if payment.state != "unknown":  # the other batch got it
            payment = self.disbursements(envelope).filtered(lambda p: p.state == "unknown")[0]
        told = self.told(payment)
        self.assertIn("which did not answer: it may have paid.", told[-2])
        self.assertIn("or two persons decide", told[-1])
        self.assertIn("we wait for its confirmation", self.answer(payment))
        batch = payment.batch_id
        batch.with_user(self.officer)._propose(True, "by phone")
        with trap_jobs():
            batch.with_user(self.approver).action_confirm_decision()
        told = self.told(payment)
        self.assertIn(
            "Olive Officer and Abel Approver decided about the batch: Was paid (by phone).",
            told[-2],
        )
        self.assertIn("Next: the statement", told[-1])

    def test_one_that_was_cancelled(self):
        with trap_jobs():
            envelope = self.ready_envelope()
            payment = self.disbursements(envelope)[0]
            self.api.cancel_disbursements([payment.disbursement_id], "moved away")
        told = self.told(payment)
        self.assertEqual(told[-1], "Cancelled by PBMS: moved away.")
        self.assertIn("was cancelled on", self.answer(payment))

    def test_an_entry_that_changed_nothing_is_told_with_what_came_of_it(self):
        payment = self.sent_payment()
        statement = self.book(entry("D", 104, payment.disbursement_id))
        [text] = [text for text in self.told(payment) if "changed nothing" in text]
        self.assertIn("Amount differs from what we ordered", text)
        statement.line_ids.with_user(self.officer)._dismiss("ticket 7")
        [text] = [text for text in self.told(payment) if "changed nothing" in text]
        self.assertIn("Handled by", text)
        self.assertIn("ticket 7", text)

    def test_each_step_leads_to_its_record(self):
        payment = self.sent_payment()
        self.book(entry("D", 100, payment.disbursement_id))
        linked = {
            (link["model"], link["id"])
            for step in payment.with_user(self.officer).story
            for link in step["links"]
        }
        line = payment.line_ids
        self.assertEqual(
            linked,
            {
                ("g2p.disbursement.envelope", payment.envelope_id.id),
                ("g2p.disbursement.batch", payment.batch_id.id),
                ("g2p.bank.call", payment.batch_id.call_ids[0].id),
                ("g2p.account.statement.line", line.id),
                ("g2p.account.statement", line.statement_id.id),
            },
        )

    def test_times_are_known_or_left_out(self):
        payment = self.sent_payment()
        steps = payment.with_user(self.officer).story
        self.assertEqual(steps[0]["at"], payment.received_at.strftime("%Y-%m-%d %H:%M:%S"))
        for step in steps[:-1]:
            self.assertTrue(step["at"] or step["on"] or step["until"], step["text"])
        self.assertTrue(steps[-1]["is_next"])

    def test_the_same_queries_however_big_the_envelope(self):
        def query_count(payment):
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.assertTrue(payment.with_user(self.officer).story)
            return self.env.cr.sql_log_count - before

        payment = self.sent_payment()
        query_count(payment)
        few = query_count(payment)
        for index in range(20):
            self.link(f"BEN{index + 10}")
        with trap_jobs():
            envelope = self.create_envelope(20, cycle_code_mnemonic="big")
            self.api.create_disbursements(
                envelope.disbursement_envelope_id, self.rows(20, first=10)
            )
        self.run_envelope(envelope)
        big = self.disbursements(envelope)[0]
        self.assertEqual(big.batch_id.envelope_id.batch_count, 10)
        query_count(big)
        self.assertEqual(query_count(big), few)
        self.assertLess(few, 30)
