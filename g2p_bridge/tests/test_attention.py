from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models import payment_follow_up
from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


class AttentionCase(StatementCase):
    """A world with an envelope whose three payments of 100.00 are with the bank."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")
        cls.viewer = cls.create_user("test_viewer", "g2p_bridge.group_viewer")

    def cases(self, *kinds, user=None):
        """Return the cases of these kinds (of all, without), as an officer sees them."""
        self.env.flush_all()
        self.env.invalidate_all()
        model = self.env["g2p.attention"].with_user(user or self.officer)
        return model.search([("kind", "in", kinds)] if kinds else [])

    def case(self, kind, user=None):
        """Return the one case of a kind."""
        cases = self.cases(kind, user=user)
        self.assertEqual(len(cases), 1, cases.mapped("name"))
        return cases

    def assertSum(self, case, count, amount):
        self.assertEqual((case.payment_count, case.amount), (count, amount))
        self.assertEqual(case.currency_id, self.currency)

    def move(self, payments, target, **values):
        """Move payments past our code's own ways, as a bank's answer does."""
        assign = SQL(", ").join(
            SQL("%s = %s", SQL.identifier(name), value) for name, value in values.items()
        )
        self.env["g2p.disbursement"]._bulk_transition(
            target, SQL("d.id = ANY(%s)", payments.ids), cause="test", assign=assign
        )

    def seen_before(self, payments):
        """Have payments be of an earlier transaction, as they are outside of tests."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET changed_xid = 1 WHERE id = ANY(%s)", [payments.ids]
        )
        self.env.invalidate_all()

    def decide(self, action, note="the program said so", user=None):
        """Fill the wizard that a button of a case opens, and press its button."""
        wizard = (
            self.env[action["res_model"]]
            .with_user(user or self.officer)
            .with_context(**action["context"])
        )
        form = Form(wizard)
        form.note = note
        return form.save().action_decide()


@tagged("post_install", "-at_install")
class TestAttentionPayments(AttentionCase):
    """People who were not reached: a case for each envelope and reason, never one a payment."""

    def setUp(self):
        super().setUp()
        self.payments = self.disbursements(self.envelope)

    def unresolved_envelope(self):
        with trap_jobs():
            envelope = self.create_full_envelope(3, cycle_code_mnemonic="2026-12")
        first, *others = self.disbursements(envelope)
        self.move(first, "unresolved", reason_code="rjct.fa.invalid", reason="x")
        self.move(
            first.union(*others) - first,
            "unresolved",
            reason_code="succ.fa.not_linked_to_id",
            reason="No account is linked to this beneficiary",
        )
        return envelope

    def test_nothing_needs_attention_where_all_is_on_its_way(self):
        self.assertFalse(self.cases())

    def test_people_without_account_stand_together_by_reason(self):
        envelope = self.unresolved_envelope()
        cases = self.cases("payment_unresolved").sorted("payment_count")
        self.assertEqual(cases.envelope_id, envelope)
        self.assertSum(cases[0], 1, 100)
        self.assertSum(cases[1], 2, 200)
        self.assertEqual(
            cases.mapped("name"),
            [
                "No account known for 1 person: the account's address cannot be read",
                "No account known for 2 people: no account is linked to this beneficiary",
            ],
        )
        self.assertEqual(cases.mapped("program_id"), self.program)
        self.assertEqual(cases.mapped("bank_id"), self.bank)
        action = cases[1].action_view_subject()
        self.assertEqual(self.env["g2p.disbursement"].search_count(action["domain"]), 2)

    def test_they_are_looked_up_again_by_a_button(self):
        envelope = self.unresolved_envelope()
        with trap_jobs() as trap:
            self.cases("payment_unresolved")[0].action_look_up_again()
        self.assertEqual({job.method_name for job in trap.enqueued_jobs}, {"_resolve"})
        self.link("BEN1", "BEN2", "BEN3")
        with trap_jobs():
            for job in trap.enqueued_jobs:
                job.perform()
        self.assertStates(envelope, "resolved", "resolved", "resolved")
        self.assertFalse(self.cases("payment_unresolved"))

    def test_who_is_left_out_is_cancelled_and_nobody_else(self):
        envelope = self.unresolved_envelope()
        case = self.cases("payment_unresolved").filtered(lambda c: c.payment_count == 2)
        key = case.key
        with trap_jobs():
            self.decide(case.action_leave_out(), note="moved away")
        self.assertStates(envelope, "unresolved", "cancelled", "cancelled")
        self.assertEqual(self.disbursements(envelope)[1].reason, "moved away")
        self.assertEqual(self.cases("payment_unresolved").payment_count, 1)
        self.assertEqual((envelope.cancelled_count, envelope.cancelled_amount), (2, 200))
        self.assertIn("moved away", envelope.message_ids[0].body)
        self.assertFalse(self.env["g2p.ledger.difference"].sudo()._check(envelope))
        kept = self.env["g2p.attention.case"].search([("key", "=", key)])
        self.assertEqual((kept.note, kept.decided_by_id), ("moved away", self.officer))

    def test_nobody_is_left_out_who_has_an_account_by_now(self):
        envelope = self.unresolved_envelope()
        case = self.cases("payment_unresolved").filtered(lambda c: c.payment_count == 2)
        action = case.action_leave_out()
        form = Form(
            self.env[action["res_model"]].with_user(self.officer).with_context(**action["context"])
        )
        form.note = "moved away"
        wizard = form.save()
        self.move(self.disbursements(envelope)[1], "resolved", fa_type="BANK_ACCOUNT")
        self.env.invalidate_all()
        with self.assertRaises(UserError):
            wizard.action_decide()
        self.assertStates(envelope, "unresolved", "resolved", "unresolved")

    def test_what_the_bank_refused_stands_by_reason_until_the_program_has_it(self):
        self.move(self.payments[:2], "rejected", reason_code="AC04")
        case = self.case("payment_rejected")
        self.assertSum(case, 2, 200)
        self.assertEqual(case.name, "The bank refused 2 payments: AC04, account closed")
        with trap_jobs() as trap:
            self.decide(case.action_hand_back())
        self.assertFalse(self.cases("payment_rejected"))
        self.assertStates(self.envelope, "rejected", "rejected", "sent")
        self.assertTrue(all(self.payments[:2].mapped("followed_up_at")))
        self.assertFalse(self.payments[2].followed_up_at)
        self.assertEqual([job.method_name for job in trap.enqueued_jobs], ["_follow_up"])
        self.assertIn("the program said so", self.envelope.message_ids[0].body)

    def test_one_that_is_refused_later_is_a_case_again(self):
        self.move(self.payments[0], "rejected", reason_code="AC04")
        with trap_jobs():
            self.decide(self.case("payment_rejected").action_hand_back())
        self.move(self.payments[1], "rejected", reason_code="AC04")
        case = self.case("payment_rejected")
        self.assertSum(case, 1, 100)
        self.assertEqual(case.name, "The bank refused 1 payment: AC04, account closed")

    def test_more_than_a_slice_is_marked_by_jobs_and_nothing_that_came_since(self):
        self.move(self.payments, "rejected", reason_code="AC04")
        self.seen_before(self.payments[:2])
        with patch.object(payment_follow_up, "SLICE", 1):
            with trap_jobs() as trap:
                self.decide(self.case("payment_rejected").action_hand_back())
            self.env.invalidate_all()
            self.assertEqual(len(self.payments.filtered("followed_up_at")), 1)
            todo = list(trap.enqueued_jobs)
            while todo:
                with trap_jobs() as trap:
                    todo.pop(0).perform()
                todo += trap.enqueued_jobs
        self.env.invalidate_all()
        marked = self.payments.filtered("followed_up_at")
        self.assertLessEqual(self.payments[:2], marked)
        # the last one is of the transaction that still runs: the officer cannot have seen it
        self.assertLessEqual(len(marked - self.payments[:2]), 1)

    def test_what_came_back_is_a_case(self):
        self.book(entry("D", 100, self.ids[0]), entry("D", 100, self.ids[1]))
        self.book(
            entry("RD", 100, self.ids[0], narrative=("AC04",)), number="2/1", opening="800,00"
        )
        case = self.case("payment_returned")
        self.assertSum(case, 1, 100)
        with trap_jobs():
            self.decide(case.action_hand_back())
        self.assertFalse(self.cases("payment_returned"))

    def test_a_decision_on_another_number_of_payments_is_refused(self):
        self.move(self.payments[0], "rejected", reason_code="AC04")
        action = self.case("payment_rejected").action_hand_back()
        form = Form(
            self.env[action["res_model"]].with_user(self.officer).with_context(**action["context"])
        )
        form.note = "all of them"
        wizard = form.save()
        self.move(self.payments[1], "rejected", reason_code="AC04")
        self.env.invalidate_all()
        with self.assertRaises(UserError):
            wizard.action_decide()
        self.assertFalse(self.payments[0].followed_up_at)


@tagged("post_install", "-at_install")
class TestAttentionSending(AttentionCase):
    """Batches, blocks, funds, banks."""

    def unknown_batch(self):
        with trap_jobs():
            envelope = self.create_full_envelope(3, cycle_code_mnemonic="2026-12")
        where = SQL("d.envelope_id = %s", envelope.id)
        payments = self.env["g2p.disbursement"]
        batch = self.env["g2p.disbursement.batch"].create(
            {"name": "UNKNOWN-1", "envelope_id": envelope.id, "total_amount": 300}
        )
        payments._bulk_transition("resolved", where, cause="test")
        payments._bulk_transition(
            "batched", where, cause="test", assign=SQL("batch_id = %s", batch.id)
        )
        batch._set_unknown("ReadTimeout", "no answer")
        return batch

    def test_a_batch_without_answer_is_decided_by_two_persons_from_the_list(self):
        batch = self.unknown_batch()
        case = self.case("batch_unknown")
        self.assertSum(case, 3, 300)
        self.assertEqual(case.name, "The bank did not answer for batch UNKNOWN-1; it may have paid")
        action = case.action_decide()
        wizard = self.env[action["res_model"]].with_user(self.officer)
        wizard.with_context(**action["context"]).create(
            {"decision": "not_paid", "note": "the bank said so on the phone"}
        ).action_decide()
        case = self.case("batch_unknown")
        self.assertIn("A second person has to confirm", case.name)
        with self.assertRaises(AccessError):
            case.action_confirm()
        with trap_jobs():
            self.case("batch_unknown", user=self.approver).action_confirm()
        self.assertEqual(batch.state, "rejected")
        self.assertFalse(self.cases("batch_unknown"))
        self.assertSum(self.case("payment_rejected"), 3, 300)

    def test_of_a_batch_only_what_no_statement_proved_is_at_stake(self):
        batch = self.unknown_batch()
        self.move(batch.disbursement_ids[0], "reconciled", last_line_id=1)
        self.assertSum(self.case("batch_unknown"), 2, 200)

    def test_the_bank_is_asked_again_by_a_button(self):
        batch = self.unknown_batch()
        with trap_jobs() as trap:
            self.case("batch_unknown").action_ask_bank()
        [job] = trap.enqueued_jobs
        self.assertEqual((job.recordset, job.method_name), (batch, "_disburse_funds_from_bank"))

    def stopped_envelope(self, code, message, *, state="ready", **values):
        with trap_jobs():
            envelope = self.create_full_envelope(3, cycle_code_mnemonic="2026-12")
        envelope.state = state
        envelope._set_needs_attention(code, message, **values)
        return envelope

    def test_missing_funds_are_checked_again_or_held(self):
        envelope = self.stopped_envelope("FUNDS_NOT_AVAILABLE", "Too little")
        case = self.case("funds_missing")
        self.assertSum(case, 3, 300)
        self.assertIn("Test bank has not got the $", case.name)
        case.action_pause()
        case = self.case("funds_missing")
        self.assertEqual((envelope.is_paused, case.severity), (True, "3"))
        with trap_jobs() as trap:
            case.action_try_again()
        self.assertEqual([job.method_name for job in trap.enqueued_jobs], ["_advance"])
        self.assertEqual((envelope.state, envelope.is_paused), ("ready", False))
        self.assertFalse(self.cases("funds_missing"))

    def test_a_block_without_answer_is_decided(self):
        envelope = self.stopped_envelope(
            "ReadTimeout", "no answer", state="funds_available", funds_blocked_with_bank="ERROR"
        )
        self.assertEqual(self.case("stopped").envelope_id, envelope)
        self.env["g2p.bank.call"]._assume_made(
            "block_funds", "block_funds:X:1", envelope, intent={"amount": "300"}
        )
        case = self.case("block_unknown")
        self.assertFalse(self.cases("stopped"))
        self.assertSum(case, 3, 300)
        action = case.action_decide()
        with trap_jobs():
            self.env[action["res_model"]].with_user(self.officer).with_context(
                **action["context"]
            ).create({"decision": "not_blocked", "note": "by phone"}).action_decide()
        self.assertFalse(self.cases("block_unknown", "stopped", "funds_missing"))
        self.assertEqual(envelope.state, "funds_available")

    def test_any_other_problem_says_what_the_envelope_says(self):
        self.stopped_envelope("BANK_UNAVAILABLE", "The bank is closed")
        self.assertEqual(self.case("stopped").name, "The bank is closed")

    def test_a_bank_that_does_not_answer_is_tried_by_a_button(self):
        later = fields.Datetime.now() + timedelta(minutes=5)
        health = self.env["g2p.bank.health"].create(
            {
                "bank_id": self.bank.id,
                "company_id": self.env.company.id,
                "down_since": "2026-01-01 08:12:00",
                "open_until": later,
            }
        )
        case = self.case("bank_down")
        self.assertIn("Test bank does not answer since", case.name)
        self.assertEqual(case.severity, "1")
        case.action_test()
        self.env.invalidate_all()
        self.assertLess(health.open_until, later)
        health.open_until = False
        self.assertFalse(self.cases("bank_down"))


@tagged("post_install", "-at_install")
class TestAttentionStatements(AttentionCase):
    """Statements that are late, missing, held or do not tie; entries without payment."""

    def test_a_late_statement_is_a_case_of_its_account_until_it_comes(self):
        self.assertFalse(self.cases("statement_late"))
        self.envelope.disbursement_schedule_date = fields.Date.today() - timedelta(days=10)
        self.assertFalse(self.cases("statement_late"), "they were sent today")
        self.env["g2p.disbursement.journal"].search([]).created_at = "2026-01-05 08:00:00"
        case = self.case("statement_late")
        self.assertSum(case, 3, 300)
        self.assertEqual(case.funding_account_id, self.account)
        self.assertIn("No statement of Test account (Test bank): it was due on", case.name)
        self.assertEqual(case.action_upload()["res_model"], "g2p.upload.statement")
        self.book(*(entry("D", 100, reference) for reference in self.ids))
        self.assertFalse(self.cases("statement_late"))

    def test_a_gap_leaves_when_the_missing_one_comes(self):
        self.book(entry("D", 100, self.ids[0]), number="1/1")
        self.book(entry("D", 100, self.ids[2]), number="3/1", opening="800,00")
        case = self.case("statement_gap")
        self.assertIn("A statement before Test account 3/1 is missing", case.name)
        self.book(entry("D", 100, self.ids[1]), number="2/1", opening="900,00")
        self.assertFalse(self.cases("statement_gap"))

    def test_a_gap_that_was_accepted_comes_back_when_it_is_another_one(self):
        self.book(entry("D", 100, self.ids[0]), number="1/1")
        self.book(entry("D", 100, self.ids[2]), number="4/1", opening="700,00")
        self.decide(self.case("statement_gap").action_accept(), note="lost at the bank")
        self.assertFalse(self.cases("statement_gap"))
        self.book(entry("D", 100, self.ids[1]), number="2/1", opening="900,00")
        self.assertEqual(len(self.cases("statement_gap")), 1)

    def test_one_that_is_held_is_decided(self):
        statement = self.statement(
            self.upload(self.text([entry("D", 100, self.ids[0])], closing="890,00"))
        )
        case = self.case("statement_held")
        self.assertEqual((case.statement_id, case.amount, case.severity), (statement, 10, "1"))
        action = case.action_decide()
        self.env[action["res_model"]].with_user(self.officer).with_context(
            **action["context"]
        ).create({"decision": "dismiss", "note": "wrong file"}).action_decide()
        self.assertFalse(self.cases("statement_held", "statement_untied"))

    def test_one_that_is_booked_and_does_not_tie_is_accepted_with_a_reason(self):
        self.bank.untied_statement_policy = "book"
        statement = self.book(entry("D", 100, self.ids[0]), closing="890,00")
        case = self.case("statement_untied")
        self.assertEqual(case.amount, 10)
        self.decide(case.action_accept(), note="interest")
        self.assertFalse(self.cases("statement_untied"))
        self.assertFalse(statement.is_tied)
        self.assertIn("interest", statement.message_ids[0].body)

    def test_an_entry_without_payment_is_matched_or_dismissed(self):
        self.book(entry("D", 55, "NONREF"))
        case = self.case("entry_unmatched")
        self.assertSum(case, 1, 55)
        self.assertIn("Debit of $", case.name)
        self.assertIn("No payment of ours has this reference", case.name)
        action = case.action_dismiss()
        form = Form(
            self.env[action["res_model"]].with_user(self.officer).with_context(**action["context"])
        )
        form.note = "bank charge"
        form.save().action_dismiss()
        self.assertFalse(self.cases("entry_unmatched"))

    def test_several_of_a_statement_are_one_case_that_opens_them(self):
        self.book(entry("D", 55, "NONREF"), entry("D", 5, "OTHER"))
        case = self.case("entry_unmatched")
        self.assertSum(case, 2, 60)
        for button in (case.action_view_subject, case.action_match, case.action_dismiss):
            domain = button()["domain"]
            self.assertEqual(
                sum(self.env["g2p.account.statement.line"].search(domain).mapped("amount")), 60
            )

    def test_another_amount_is_disputed_and_counts_as_nothing(self):
        self.book(entry("D", 104, self.ids[0]))
        case = self.case("entry_amount")
        self.assertIn("we ordered", case.name)
        self.decide(case.action_dispute(), note="ticket 7")
        case = self.case("entry_amount")
        self.assertIn("ticket 7", case.name)
        self.assertTrue(case.disputed_at)
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_debit_that_came_twice_is_a_case_of_its_own(self):
        self.book(entry("D", 100, self.ids[0]))
        self.book(entry("D", 100, self.ids[0]), number="2/1", opening="900,00")
        self.assertSum(self.case("entry_duplicate"), 1, 100)

    def test_books_that_differ_are_a_case_until_they_agree(self):
        difference = self.env["g2p.ledger.difference"].create(
            {
                "rule": "STATES_DIFFER",
                "envelope_id": self.envelope.id,
                "company_id": self.env.company.id,
                "expected": "3 / 300",
                "found": "2 / 200",
                "first_seen_at": "2026-01-01",
            }
        )
        case = self.case("books_differ")
        self.assertEqual(
            case.name,
            "Totals shown differ from the payments: 3 / 300 expected, 2 / 200 found",
        )
        self.assertEqual(
            self.env["g2p.ledger.difference"].search(case.action_view_subject()["domain"]),
            difference,
        )
        difference.is_gone = True
        self.assertFalse(self.cases("books_differ"))


@tagged("post_install", "-at_install")
class TestAttentionList(AttentionCase):
    """Who sees and does what, whose a case is, and what the list costs."""

    def setUp(self):
        super().setUp()
        self.payments = self.disbursements(self.envelope)
        self.move(self.payments[0], "rejected", reason_code="AC04")

    def test_a_case_is_taken_given_and_found_by_its_owner(self):
        self.case("payment_rejected").action_take()
        case = self.case("payment_rejected")
        self.assertEqual(case.user_id, self.officer)
        model = self.env["g2p.attention"].with_user(self.officer)
        self.assertEqual(model.search([("user_id", "=", self.officer.id)]), case)
        action = case.action_assign()
        form = Form(
            self.env[action["res_model"]].with_user(self.officer).with_context(**action["context"])
        )
        form.user_id = self.approver
        form.save().action_assign()
        self.assertEqual(self.case("payment_rejected").user_id, self.approver)

    def test_a_viewer_sees_the_cases_and_solves_none(self):
        case = self.case("payment_rejected", user=self.viewer)
        for button in (case.action_take, case.action_hand_back, case.action_assign):
            with self.assertRaises(AccessError):
                button()
        self.assertTrue(case.action_view_subject()["domain"])

    def test_a_button_of_another_kind_is_refused(self):
        case = self.case("payment_rejected")
        for button in (case.action_leave_out, case.action_try_again, case.action_ask_bank):
            with self.assertRaises(UserError):
                button()

    def test_a_case_that_is_solved_meanwhile_says_so(self):
        case = self.case("payment_rejected")
        self.payments[0].followed_up_at = fields.Datetime.now()
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertRaisesRegex(UserError, "solved already"):
            case.action_hand_back()

    def test_companies_are_apart(self):
        other = self.env["res.company"].create({"name": "Other"})
        stranger = self.create_user("test_stranger", "g2p_bridge.group_officer")
        stranger.write({"company_ids": [(6, 0, other.ids)], "company_id": other.id})
        case = self.case("payment_rejected")
        self.assertFalse(self.cases(user=stranger))
        action = case.action_hand_back()
        wizard = self.env[action["res_model"]].with_user(stranger).with_context(**action["context"])
        wizard = wizard.create({"note": "mine now"})
        self.assertFalse(wizard.case_name)
        with self.assertRaises(UserError):
            wizard.action_decide()
        self.assertFalse(self.payments[0].followed_up_at)

    def test_nobody_writes_a_case_or_its_note_directly(self):
        case = self.case("payment_rejected")
        with self.assertRaises(AccessError):
            case.write({"user_id": self.officer.id})
        case.action_take()
        note = self.env["g2p.attention.case"].with_user(self.officer).search([])
        with self.assertRaises(AccessError):
            note.write({"accepted_mark": "x"})

    def page(self):
        """Return the list as the web client asks for it: the groups, then each one's cases."""
        model = self.env["g2p.attention"].with_user(self.officer)
        names = ["kind", "name", "amount", "age", "severity", "is_paused", "proposed_decision"]
        specification = {name: {} for name in names}
        specification.update(
            {
                name: {"fields": {"display_name": {}}}
                for name in ("user_id", "currency_id", "envelope_id", "bank_id", "program_id")
            }
        )
        return model.web_search_read([], specification, limit=80)

    def query_count(self):
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        answer = self.page()
        return self.env.cr.sql_log_count - before, answer["length"]

    def add_cases(self, count, cycle):
        """Have each of so many envelopes be stopped, with people without account."""
        for index in range(count):
            with trap_jobs():
                envelope = self.create_full_envelope(3, cycle_code_mnemonic=f"{cycle} {index}")
            self.move(self.disbursements(envelope), "unresolved", reason_code="X", reason="x")
            envelope._set_needs_attention("FUNDS_NOT_AVAILABLE", "Too little")

    def test_the_list_costs_the_same_queries_however_many_cases_there_are(self):
        self.add_cases(1, "first")
        self.page()
        few, length = self.query_count()
        self.add_cases(12, "more")
        self.page()
        many, more = self.query_count()
        self.assertEqual(more, length + 24)
        self.assertEqual(many, few)
        self.assertLess(many, 25)
