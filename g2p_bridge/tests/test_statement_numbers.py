from odoo.exceptions import UserError
from odoo.tests import Form, tagged

from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestSameNumber(StatementCase):
    """The same file, and the same number (:28C:) with the same or with other content."""

    def test_the_same_file_is_answered_with_the_first_statements_and_books_nothing(self):
        text = self.text([entry("D", 100, self.ids[0])])
        first = self.statement(self.upload(text))
        self.process(first)
        with trap_jobs() as trap:
            self.assertEqual(self.statement(self.upload(text)), first)
            trap.assert_jobs_count(0)
        self.assertEqual(self.envelope.reconciled_count, 1)
        self.assertFalse(first.problem_count)

    def test_the_same_statement_in_another_file_is_dismissed_at_once(self):
        text = self.text([entry("D", 100, self.ids[0])])
        self.process(self.statement(self.upload(text)))
        for again in (text.replace("\n", "\r\n"), text.replace(":20:REF1", ":20:REF2")):
            answer = self.upload(again)["statements"][0]
            self.assertEqual(answer["status"], "dismissed")
            self.assertIn("1/1 came before and says the same", answer["hold_reason"])
        self.assertEqual(self.envelope.reconciled_count, 1)

    def test_a_file_that_overlaps_with_another_books_what_is_new(self):
        first = self.text([entry("D", 100, self.ids[0])])
        second = self.text([entry("D", 100, self.ids[1])], number="2/1", opening="900,00")
        self.process(self.statement(self.upload(first)))
        answer = self.upload(first + second)
        self.assertEqual([row["status"] for row in answer["statements"]], ["dismissed", "received"])
        new = self.env["g2p.account.statement"].search(
            [("name", "=", answer["statements"][1]["statement_id"])]
        )
        self.process(new)
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")
        self.assertFalse(new.continuity_note)

    def test_other_content_is_held_until_an_officer_accepts_it(self):
        self.book(entry("D", 100, self.ids[0]))
        corrected = self.book(entry("D", 100, self.ids[0]), entry("D", 100, self.ids[1]))
        self.assertEqual(corrected.state, "held")
        self.assertIn("1/1 was booked before with other content", corrected.hold_reason)
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        corrected.with_user(self.officer)._decide(True, "the bank sent a correction")
        self.process(corrected)
        self.assertEqual(
            self.outcomes(corrected), [("error", "DUPLICATE_DISBURSEMENT"), ("reconciled", False)]
        )
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")
        self.assertEqual(
            (self.envelope.reconciled_count, self.envelope.reconciled_amount), (2, 200)
        )

    def test_a_forged_one_is_dismissed_and_books_nothing(self):
        self.book(entry("D", 100, self.ids[0]))
        forged = self.book(*(entry("D", 100, given) for given in self.ids))
        forged.with_user(self.officer)._decide(False, "not from the bank")
        self.process(forged)
        self.assertEqual(forged.state, "dismissed")
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_a_corrected_one_follows_on_one_that_is_held_or_dismissed(self):
        for decision in (None, False):
            with self.subTest(decision=decision), self.env.cr.savepoint() as savepoint:
                wrong = self.book(entry("D", 100, self.ids[0]), closing="950,00")
                self.assertEqual(wrong.state, "held")
                if decision is not None:
                    wrong.with_user(self.officer)._decide(decision, "does not add up")
                corrected = self.book(entry("D", 100, self.ids[0]))
                self.assertEqual((corrected.state, corrected.hold_reason), ("processed", False))
                self.assertStates(self.envelope, "reconciled", "sent", "sent")
                savepoint.rollback()
                self.env.invalidate_all()

    def test_one_dismissed_by_mistake_is_taken_after_all(self):
        statement = self.book(entry("D", 100, self.ids[0]), closing="950,00")
        officer = statement.with_user(self.officer)
        officer._decide(False, "wrong button")
        with self.assertRaises(UserError):
            officer._decide(False, "again")
        officer._decide(True, "it was right")
        self.process(statement)
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_what_does_not_tie_and_comes_again_says_both(self):
        self.book(entry("D", 100, self.ids[0]))
        wrong = self.book(entry("D", 100, self.ids[1]), closing="950,00")
        self.assertRegex(wrong.hold_reason, "differ from the closing balance by 50.00.*1/1 was")

    def test_a_bank_without_numbers_is_exempt(self):
        self.bank.has_statement_numbers = False
        self.book(entry("D", 100, self.ids[0]))
        second = self.book(entry("D", 100, self.ids[1]), opening="900,00")
        self.assertEqual((second.state, second.continuity_note), ("processed", False))
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")

    def test_no_number_and_number_zero_are_never_the_same(self):
        for opening, number, given in (
            ("1000,00", "0", self.ids[0]),
            ("900,00", "0", self.ids[1]),
            ("800,00", "", self.ids[2]),
            ("700,00", "", "CHARGES"),
        ):
            statement = self.book(entry("D", 100, given), number=number, opening=opening)
            self.assertEqual(statement.state, "processed")

    def test_only_the_number_of_the_same_account_year_and_page_is_the_same(self):
        self.create_account(self.bank, name="Other", account_number="TEST0002")
        self.book(entry("D", "1,00", "CHARGES"), number="7/2")
        for values in (
            {"number": "7/2", "account": "TEST0002"},
            {"number": "7/2", "day": "271123"},
            {"number": "7/3"},
            {"number": "7/1"},
            {"number": "8/2"},
        ):
            with self.subTest(values=values):
                self.assertEqual(self.book(entry("D", "2,00", "X"), **values).state, "processed")
        for number in ("7/2", "00007/002"):
            with self.subTest(number=number):
                self.assertEqual(self.book(entry("D", "3,00", "X"), number=number).state, "held")

    def test_pages_of_one_statement_are_the_same_where_they_overlap(self):
        pages = self.text([], number="3/1", page="FM") + self.text([], number="3/2", page="MF")
        joined = self.statement(self.upload(pages))
        self.process(joined)
        self.assertEqual((joined.first_sequence_number, joined.sequence_number), ("1", "2"))
        for number, state in (("3/1", "held"), ("3/2", "held"), ("3/3", "processed")):
            with self.subTest(number=number):
                statement = self.book(entry("D", "2,00", "X"), number=number)
                self.assertEqual(statement.state, state)

    def test_the_same_number_twice_in_a_file_is_seen(self):
        text = self.text([entry("D", 100, self.ids[0])])
        other = self.text([entry("D", 100, self.ids[1])])
        answer = self.upload(text + text + other)
        self.assertEqual(
            [row["status"] for row in answer["statements"]], ["received", "dismissed", "held"]
        )

    def test_the_officer_sees_why_on_the_form(self):
        self.book(entry("D", 100, self.ids[0]))
        held = self.book(entry("D", 100, self.ids[1])).with_user(self.officer)
        with Form(held) as form:
            self.assertIn("other content", form.hold_reason)
        wizard = self.env["g2p.decide.statement"].with_user(self.officer)
        asked = wizard.create({"statement_id": held.id, "decision": "dismiss", "note": "forged"})
        self.assertIn("other content", asked.hold_reason)
        self.assertIn(held, held.search([("state", "=", "held")]))


@tagged("post_install", "-at_install")
class TestContinuity(StatementCase):
    """Gaps and wrong order in numbers and balances: booked, and noted while they last."""

    def empty(self, number, opening="1000,00", **values):
        return self.book(number=number, opening=opening, **values)

    def notes(self, *statements):
        self.env.invalidate_all()
        return [bool(statement.continuity_note) for statement in statements]

    def test_gaps_are_noted(self):
        first, follows, jumps = map(self.empty, ("1/1", "2/1", "4/1"))
        other = self.empty("5/1", opening="7,00")
        self.env.invalidate_all()
        self.assertEqual((first.continuity_note, follows.continuity_note), (False, False))
        self.assertIn("4/1 does not follow on 2/1", jumps.continuity_note)
        self.assertIn("7.00", other.continuity_note)
        self.assertIn("5/1", other.display_name)

    def test_the_note_goes_when_the_missing_one_comes(self):
        first = self.book(entry("D", 100, self.ids[0]))
        third = self.book(entry("D", 100, self.ids[2]), number="3/1", opening="800,00")
        self.assertRegex(third.continuity_note, r"3/1 does not follow on 1/1.*800.00.*900.00")
        second = self.book(entry("D", 100, self.ids[1]), number="2/1", opening="900,00")
        self.assertEqual(self.notes(first, second, third), [False, False, False])
        self.assertStates(self.envelope, "reconciled", "reconciled", "reconciled")

    def test_the_order_of_arrival_makes_no_difference(self):
        statements = (
            ([entry("D", 100, self.ids[0]), entry("RD", 100, self.ids[2])], "1/1", "1000,00"),
            ([entry("D", 100, self.ids[1])], "2/1", "1000,00"),
            ([entry("D", 100, self.ids[2]), entry("RD", 100, self.ids[1])], "3/1", "900,00"),
        )
        ends = set()
        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
            with self.env.cr.savepoint() as savepoint:
                booked = []
                for index in order:
                    entries, number, opening = statements[index]
                    booked.append(self.book(*entries, number=number, opening=opening))
                self.env.invalidate_all()
                states = tuple(self.disbursements(self.envelope).mapped("state"))
                totals = (self.envelope.reconciled_amount, self.envelope.reversed_amount)
                ends.add((states, totals, any(self.notes(*booked))))
                savepoint.rollback()
                self.env.invalidate_all()
        self.assertEqual(ends, {(("reconciled", "reversed", "reversed"), (100, 200), False)})

    def test_a_statement_of_several_pages_leaves_no_gap(self):
        self.empty("1/1")
        pages = self.text([], number="2/1", page="FM") + self.text([], number="2/2", page="MF")
        joined = self.statement(self.upload(pages))
        self.process(joined)
        after = self.empty("3/1")
        self.assertEqual((joined.sequence_number, *self.notes(joined, after)), ("2", False, False))

    def test_pages_that_come_as_files_of_their_own_leave_no_gap(self):
        statements = [
            self.empty("2/1", page="FM"),
            self.empty("2/2", page="MM"),
            self.empty("2/3", page="MF"),
            self.empty("3/1"),
        ]
        self.assertEqual(self.notes(*statements), [False] * 4)

    def test_a_new_year_begins_with_one(self):
        last = self.empty("365/1", day="261231")
        first = self.empty("1/1", day="270102")
        self.assertEqual(self.notes(last, first), [False, False])
        self.assertEqual(first.state, "processed")

    def test_held_and_dismissed_ones_are_no_part_of_the_chain(self):
        first = self.empty("1/1")
        forged = self.empty("1/1", opening="5000,00")
        second = self.empty("2/1")
        self.assertEqual(forged.state, "held")
        self.assertEqual(self.notes(first, forged, second), [False, False, False])
        forged.with_user(self.officer)._decide(False, "forged")
        self.assertEqual(self.notes(first, forged, second), [False, False, False])

    def test_a_bank_without_numbers_is_followed_by_balances_alone(self):
        self.bank.has_statement_numbers = False
        first = self.empty("1/1", day="261101")
        third = self.empty("1/1", day="261103", opening="900,00")
        self.assertEqual(self.notes(first, third), [False, True])
        second = self.book(entry("D", 100, self.ids[0]), day="261102")
        self.assertEqual(self.notes(first, second, third), [False, False, False])

    def test_numbers_that_are_none_and_huge_ones_do_no_harm(self):
        for number in ("A12/X", "9" * 5000, "1/" + "9" * 5000, "\u0661/1", "/"):
            self.assertEqual(self.empty(number).state, "processed")

    def test_an_officer_finds_the_gaps(self):
        self.empty("1/1")
        gap = self.empty("3/1")
        statements = self.env["g2p.account.statement"].with_user(self.officer)
        ours = [("account_id", "=", self.account.id)]
        self.assertEqual(statements.search([*ours, ("continuity_note", "!=", False)]), gap)
        self.assertNotIn(gap, statements.search([*ours, ("continuity_note", "=", False)]))
        with Form(gap.with_user(self.officer)) as form:
            self.assertIn("3/1", form.continuity_note)
