import random
from itertools import permutations

from odoo.exceptions import UserError
from odoo.fields import Datetime
from odoo.tests import tagged
from odoo.tools import SQL

from . import camt_text as xml
from .camt_text import camt_text, credit, debit
from .statement_case import StatementCase
from .statement_case import entry as mt940_entry

DAY = "2026-11-23"


class AheadCase(StatementCase):
    """Three sent payments of 100.00, and a bank that tells of entries ahead of its statement."""

    def setUp(self):
        super().setUp()
        self.number = 0
        self.payments = self.disbursements(self.envelope)
        self.envelope.funds_blocked_amount = 300

    def tell(self, *entries, message="054", **values):
        """Book a notification, or an interim report."""
        self.number += 1
        return self.book_text(
            camt_text(
                *entries,
                message=message,
                identification=f"N{self.number}",
                number=f"{self.number}",
                **values,
            )
        )

    def show(self, *entries, day=DAY):
        """Book a statement; it ties."""
        self.number += 1
        text = camt_text(*entries, number=f"{self.number}", identification=f"S{self.number}")
        return self.book_text(text.replace(DAY, day))

    def book_text(self, text):
        statement = self.statement(self.upload(text))
        self.process(statement)
        return statement

    def cases(self):
        self.env.flush_all()
        self.env.invalidate_all()
        return self.env["g2p.attention"].search([("kind", "=", "statement_unconfirmed")])

    def open_points(self):
        self.env.invalidate_all()
        return {
            point["code"]: (point["count"], point["amount"])
            for point in self.envelope._certificate_open_points()
        }

    def assertBooksAgree(self):
        """No rule of the ledger is broken; the funds of the test's envelope are made up."""
        found = self.env["g2p.ledger.difference"]._check(self.envelope)
        rules = found.mapped("rule")
        self.assertFalse(
            {"STATEMENT_DIFFERS", "ENTRY_DIFFERS", "STATES_DIFFER", "REISSUE_PAID_TWICE"}
            & set(rules),
            found.mapped(lambda each: (each.rule, each.subject, each.expected, each.found)),
        )

    def counting(self, outcome):
        """Return the entries that count as debits, or returns, of the envelope's payments."""
        return self.env["g2p.account.statement.line"].search(
            [("envelope_id", "=", self.envelope.id), ("outcome", "=", outcome)]
        )


@tagged("post_install", "-at_install")
class TestToldAhead(AheadCase):
    """A booking counts once, whatever tells of it and in whatever order."""

    def test_a_notification_moves_its_payment_and_the_statement_takes_its_place(self):
        told = self.tell(debit(self.ids[0], account_reference="R1"))
        self.assertEqual((told.kind, told.state), ("notification", "processed"))
        self.assertEqual(self.outcomes(told), [("reconciled", False)])
        self.assertTrue(told.line_ids.is_unconfirmed)
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        changed = self.changed_xid()
        shown = self.show(debit(self.ids[0], account_reference="R1"))
        self.assertEqual(self.outcomes(told), [("noted", False)])
        self.assertEqual(self.outcomes(shown), [("reconciled", False)])
        self.assertEqual((told.problem_count, shown.problem_count), (0, 0))
        self.assertFalse(told.line_ids.is_unconfirmed)
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        self.assertEqual(self.payments[0].last_line_id, shown.line_ids.id)
        self.assertGreaterEqual(self.changed_xid(), changed)  # whoever follows the changes sees it
        self.assertEqual(self.envelope.reconciled_amount, 100)
        [answer] = self.api.get_disbursement_status([self.ids[0]])
        [recon] = answer["disbursement_recon_records"]["disbursement_recon_payloads"]
        self.assertEqual(recon["remittance_statement_id"], shown.name)
        self.assertFalse(answer["disbursement_recon_records"]["disbursement_error_recon_payloads"])
        self.assertBooksAgree()

    def changed_xid(self):
        [(value,)] = self.env.execute_query(
            SQL("SELECT changed_xid FROM g2p_disbursement WHERE id = %s", self.payments[0].id)
        )
        return value

    def test_every_order_of_debit_and_return_ends_alike(self):
        """Two notifications and two statements: 24 orders, one end."""
        given = self.ids[0]
        steps = {
            "told debit": lambda: self.tell(debit(given, account_reference="R1")),
            "told return": lambda: self.tell(
                credit(given, account_reference="R2", reason="AC04", reason_texts=["closed"])
            ),
            "debit": lambda: self.show(debit(given, account_reference="R1")),
            "return": lambda: self.show(
                credit(given, account_reference="R2", reason="AC04", reason_texts=["closed"])
            ),
        }
        for order in permutations(steps):
            with self.subTest(order=order), self.env.cr.savepoint() as savepoint:
                booked = {name: steps[name]() for name in order}
                self.assertStates(self.envelope, "reversed", "sent", "sent")
                self.assertEqual(
                    {name: self.outcomes(record) for name, record in booked.items()},
                    {
                        "told debit": [("noted", False)],
                        "told return": [("noted", False)],
                        "debit": [("reconciled", False)],
                        "return": [("reversed", False)],
                    },
                )
                payment = self.payments[0]
                self.assertEqual(payment.last_line_id, booked["return"].line_ids.id)
                self.assertEqual((payment.reason_code, payment.reason), ("AC04", "closed"))
                self.assertEqual(
                    (self.envelope.reversed_count, self.envelope.reversed_amount), (1, 100)
                )
                self.assertFalse(
                    self.env["g2p.account.statement.line"].search([("is_unconfirmed", "=", True)])
                )
                self.assertBooksAgree()
                savepoint.rollback()
                self.env.invalidate_all()

    def test_a_return_that_was_told_ahead_reverses_at_once(self):
        self.show(debit(self.ids[0]))
        told = self.tell(credit(self.ids[0], reason="AC04", reason_texts=["Account closed"]))
        self.assertStates(self.envelope, "reversed", "sent", "sent")
        self.assertEqual(self.payments[0].reason_code, "AC04")
        self.assertEqual(self.payments[0].reason, "Account closed")
        self.assertEqual(told.line_ids.reversal_details, "Account closed")

    def test_a_second_debit_is_a_duplicate_all_the_same(self):
        """Three tellings of two debits: one counts, one is for an officer, nothing is hidden."""
        given = self.ids[0]
        self.tell(debit(given, account_reference="R1"))
        second = self.tell(debit(given, account_reference="R2"))
        self.assertEqual(self.outcomes(second), [("error", "DUPLICATE_DISBURSEMENT")])
        shown = self.show(
            debit(given, account_reference="R2"), debit(given, account_reference="R1")
        )
        self.assertEqual(
            self.outcomes(shown), [("error", "DUPLICATE_DISBURSEMENT"), ("reconciled", False)]
        )
        self.assertEqual(self.outcomes(second), [("noted", False)])
        self.assertEqual(self.envelope.reconciled_amount, 100)
        self.assertBooksAgree()

    def test_a_debit_under_another_reference_is_confirmed_and_the_next_is_a_duplicate(self):
        given = self.ids[0]
        told = self.tell(debit(given, account_reference="R1"))
        first = self.show(debit(given, account_reference="OTHER"))
        second = self.show(debit(given, account_reference="R1"))
        self.assertEqual(self.outcomes(told), [("noted", False)])
        self.assertEqual(self.outcomes(first), [("reconciled", False)])
        self.assertEqual(self.outcomes(second), [("error", "DUPLICATE_DISBURSEMENT")])

    def test_told_twice_is_told_once(self):
        given = self.ids[0]
        first = self.tell(debit(given, account_reference="R1"))
        again = self.tell(debit(given, account_reference="R1"))
        report = self.tell(debit(given), message="052")
        self.assertEqual(report.kind, "report")
        self.assertEqual(self.outcomes(first), [("reconciled", False)])
        self.assertEqual(self.outcomes(again) + self.outcomes(report), [("noted", False)] * 2)
        self.show(debit(given, account_reference="R1"))
        late = self.tell(debit(given, account_reference="R1"))
        self.assertEqual(self.outcomes(late), [("noted", False)])
        self.assertBooksAgree()

    def test_an_mt940_confirms_it_too(self):
        """It has room for 16 characters of the reference."""
        given = self.ids[0]
        told = self.tell(debit(given, account_reference="LONGREFERENCE0123456789"))
        text = self.text([mt940_entry("D", 100, given, bank_reference="LONGREFERENCE012")])
        shown = self.book_text(text)
        late = self.tell(debit(given, account_reference="LONGREFERENCE0123456789"))
        self.assertEqual(self.outcomes(shown), [("reconciled", False)])
        self.assertEqual(self.outcomes(told) + self.outcomes(late), [("noted", False)] * 2)

    def test_what_is_none_of_ours_waits_for_its_statement(self):
        """Told ahead it asks nobody; on the statement it is in the worklist."""
        entries = xml.entry("9.00", "CRDT"), debit("SOMEBODYELSE"), xml.entry("4.00", "DBIT")
        told = self.tell(*entries)
        self.assertEqual(self.outcomes(told), [("noted", False)] * 3)
        shown = self.show(*entries)
        self.assertEqual(self.outcomes(shown), [("error", "INVALID_DISBURSEMENT_ID")] * 3)

    def test_what_is_wrong_with_a_payment_of_ours_is_shown_until_the_statement_says_it(self):
        told = self.tell(debit(self.ids[0], "99.00", "R1"))
        self.assertEqual(self.outcomes(told), [("error", "AMOUNT_MISMATCH")])
        shown = self.show(debit(self.ids[0], "99.00", "R1"))
        self.assertEqual(self.outcomes(shown), [("error", "AMOUNT_MISMATCH")])
        self.assertEqual(self.outcomes(told), [("noted", False)])
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_batch_that_is_not_taken_apart_moves_nothing(self):
        """Whatever its text names, and though the amount is that of a payment."""
        for book in (self.tell, self.show):
            batch = xml.entry("100.00", "DBIT", batch_count="2", additional=self.ids[0])
            statement = book(batch)
            self.assertEqual(statement.line_ids.transaction_count, 2)
            self.assertStates(self.envelope, "sent", "sent", "sent")
        self.assertEqual(self.outcomes(statement), [("error", "INVALID_DISBURSEMENT_ID")])

    def batch(self, *parts, amount="300.00", reference="B1", **values):
        return xml.entry(amount, "DBIT", *parts, account_reference=reference, **values)

    def test_a_sum_on_the_statement_is_what_a_notification_tells_the_payments_of(self):
        """In either order; the sum and its parts count as one, and payments by their statement."""
        parts = [xml.transaction(given, "100.00") for given in self.ids]
        for is_told_first in (True, False):
            for count in ("3", ""):
                with (
                    self.subTest(is_told_first=is_told_first, count=count),
                    self.env.cr.savepoint() as savepoint,
                ):
                    if is_told_first:
                        told = self.tell(self.batch(*parts))
                    shown = self.show(self.batch(batch_count=count), debit("A", "5.00"))
                    if not is_told_first:
                        self.assertStates(self.envelope, "sent", "sent", "sent")
                        told = self.tell(self.batch(*parts))
                    self.assertStates(self.envelope, "reconciled", "reconciled", "reconciled")
                    self.assertEqual(
                        self.outcomes(shown),
                        [
                            ("noted", False),
                            ("error", "INVALID_DISBURSEMENT_ID"),
                            *[("reconciled", False)] * 3,
                        ],
                    )
                    self.assertEqual(self.outcomes(told), [("noted", False)] * 3)
                    lines = self.counting("reconciled")
                    self.assertEqual(lines.statement_id, shown)
                    self.assertFalse(any(lines.mapped("is_unconfirmed")))
                    self.assertEqual(set(self.payments.mapped("last_line_id")), set(lines.ids))
                    turnover = self.env["g2p.certificate"]._turnover(shown)[shown.id]
                    self.assertEqual((turnover["debits"], turnover["credits"]), (305, 0))
                    self.assertFalse(
                        self.env["g2p.ledger.difference"]
                        ._check()
                        .filtered(lambda each: each.rule == "STATEMENT_SUM")
                        .statement_id
                        & (shown + told)
                    )
                    self.assertBooksAgree()
                    again = self.tell(self.batch(*parts))
                    self.assertEqual(self.outcomes(again), [("noted", False)] * 3)
                    savepoint.rollback()
                    self.env.invalidate_all()

    def test_a_booking_without_details_is_known_by_the_reference_of_the_bank(self):
        told = self.tell(self.batch(xml.transaction(self.ids[0], "100.00"), amount="100.00"))
        shown = self.show(self.batch(amount="100.00"), self.batch(amount="7.00", reference="B2"))
        self.assertEqual(self.outcomes(told), [("noted", False)])
        self.assertEqual(
            [outcome for outcome, _reason in self.outcomes(shown)],
            ["noted", "error", "reconciled"],
        )
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        self.assertBooksAgree()

    def test_a_sum_of_which_something_is_missing_stays_whole(self):
        parts = [xml.transaction(given, "100.00") for given in self.ids]
        for told, shown in (
            (self.batch(*parts[:2], amount="200.00"), self.batch()),
            (self.batch(*parts), self.batch(batch_count="4")),
            (self.batch(*parts, reference="OTHER"), self.batch()),
            (self.batch(*parts), xml.entry("300.00", "CRDT", account_reference="B1")),
        ):
            with self.env.cr.savepoint() as savepoint:
                told, shown = self.tell(told), self.show(shown)
                self.assertEqual(self.outcomes(shown), [("error", "INVALID_DISBURSEMENT_ID")])
                self.assertTrue(all(told.line_ids.mapped("is_unconfirmed")))
                self.assertBooksAgree()
                savepoint.rollback()
                self.env.invalidate_all()

    def test_pending_entries_move_nothing_and_are_counted(self):
        pending = xml.entry("100.00", "DBIT", xml.transaction(self.ids[0], "100.00"), status="PDNG")
        told = self.tell(pending)
        self.assertEqual((told.line_count, told.left_out_count), (0, 1))
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_it_is_nothing_among_the_statements_that_are_counted(self):
        first = self.show(debit(self.ids[0]))
        told = self.tell(debit(self.ids[1]))
        self.number -= 1
        second = self.book_text(
            camt_text(
                debit(self.ids[1]),
                number="2",
                balances=xml.ties([debit(self.ids[1])], opening="900.00"),
            )
        )
        self.assertFalse(any((first + told + second).mapped("continuity_note")))
        self.assertEqual(second.state, "processed")
        chain = first._in_chain_order(self.account)
        self.assertEqual(chain, first + second)
        late = self.env["g2p.account.statement"].search([("continuity_note", "!=", False)])
        self.assertFalse(late & (first + told + second))
        self.assertFalse(
            self.env["g2p.ledger.difference"]
            ._check()
            .filtered(lambda each: each.rule == "STATEMENT_SUM" and each.statement_id == told)
        )


@tagged("post_install", "-at_install")
class TestUnconfirmed(AheadCase):
    """What no statement shows is in the worklist, holds certificates back, and is not paid anew."""

    def test_it_is_a_case_once_a_later_statement_was_booked(self):
        told = self.tell(debit(self.ids[0]), debit(self.ids[1]))
        self.assertFalse(self.cases())
        self.show(debit(self.ids[0]))
        self.assertFalse(self.cases())  # of the same day: another may follow
        self.show(day="2026-11-24")
        case = self.cases()
        self.assertEqual((case.statement_id, case.payment_count, case.amount), (told, 1, 100))
        self.assertIn("no statement shows", case.name)
        action = case.action_view_subject()
        found = self.env["g2p.account.statement.line"].search(action["domain"])
        self.assertEqual(found.matched_disbursement_id, self.payments[1])
        self.show(debit(self.ids[1]))
        self.assertFalse(self.cases())

    def test_it_is_a_case_after_some_days_without_any_statement(self):
        told = self.tell(debit(self.ids[0]))
        self.assertFalse(self.cases())
        told.uploaded_at = Datetime.subtract(Datetime.now(), days=4)
        self.assertEqual(self.cases().statement_id, told)

    def test_an_officer_may_accept_it_until_it_changes(self):
        told = self.tell(debit(self.ids[0]))
        told.uploaded_at = Datetime.subtract(Datetime.now(), days=4)
        action = self.cases().with_user(self.officer).action_accept()
        wizard = self.env["g2p.decide.case"].with_user(self.officer)
        wizard = wizard.with_context(**action["context"]).create({"note": "the bank merged it"})
        wizard.action_decide()
        self.assertFalse(self.cases())
        self.assertIn("the bank merged it", " ".join(told.message_ids.mapped("body")))
        self.assertIn("UNCONFIRMED", self.open_points())  # that it is paid stays unproved

    def test_no_certificate_before_a_statement_shows_it(self):
        told = [debit(given) for given in self.ids]
        self.tell(*told)
        self.assertEqual(self.open_points().get("UNCONFIRMED"), (3, 300))
        self.show(*told)
        self.assertNotIn("UNCONFIRMED", self.open_points())
        self.assertEqual(len(self.envelope._certified_statements()), 1)

    def test_reports_count_statements_and_say_what_rests_on_notifications(self):
        self.tell(debit(self.ids[0]), debit(self.ids[1]))
        self.show(debit(self.ids[0]))
        self.env.invalidate_all()
        sections = self.envelope._reconciliation_sections()
        [books] = [each for each in sections if each.note and "told ahead" in each.note]
        self.assertEqual([int(value) for value in books.rows[0][1:]], [2, 200, 1, 100, 100])
        self.assertIn("1 entries of 100", books.note)
        self.show(debit(self.ids[1]))
        self.env.invalidate_all()
        books = self.envelope._reconciliation_sections()[1]
        self.assertEqual([int(value) for value in books.rows[0][1:]], [2, 200, 2, 200, 0])

    def test_no_payment_is_made_again_for_a_return_that_no_statement_shows(self):
        payment = self.payments[0]
        self.show(debit(self.ids[0]))
        self.tell(credit(self.ids[0], account_reference="R2", reason="AC04"))
        self.assertEqual(payment.state, "reversed")
        self.assertFalse(payment.is_reissuable)
        self.show(credit(self.ids[0], account_reference="R2", reason="AC04"))
        self.env.invalidate_all()
        self.assertTrue(payment.is_reissuable)

    def test_a_debit_that_was_told_ahead_is_enough_not_to_pay_again(self):
        rejected = [{"disbursement_id": self.ids[0], "status": "rejected", "reason_code": "AC04"}]
        self.bank_api.update_status_of_disbursements(rejected)
        self.env.invalidate_all()
        self.assertTrue(self.payments[0].is_reissuable)
        self.tell(debit(self.ids[0]))
        self.env.invalidate_all()
        self.assertFalse(self.payments[0].is_reissuable)

    def test_a_notification_is_no_statement_that_came(self):
        self.tell(debit(self.ids[0]))
        self.env.invalidate_all()
        self.assertFalse(self.account.last_statement_on)
        self.show(debit(self.ids[0]))
        self.env.invalidate_all()
        self.assertEqual(str(self.account.last_statement_on), DAY)

    def test_an_officer_confirms_what_the_statement_garbled(self):
        told = self.tell(debit(self.ids[0]))
        shown = self.show(debit("GARBLED"))
        line = shown.line_ids.with_user(self.officer)
        with self.assertRaises(UserError):
            line._match_by_hand(self.payments[0].with_user(self.officer).browse(), "x")
        line._match_by_hand(self.payments[0], "the bank cut it")
        self.assertEqual(self.outcomes(shown), [("reconciled", False)])
        self.assertEqual(self.outcomes(told), [("noted", False)])
        self.assertTrue(shown.line_ids.is_handled)
        again = self.show(debit("GARBLED2"))
        with self.assertRaises(UserError), self.env.cr.savepoint():
            again.line_ids.with_user(self.officer)._match_by_hand(self.payments[0], "again")
        self.assertEqual(self.outcomes(again), [("error", "INVALID_DISBURSEMENT_ID")])
        self.assertBooksAgree()

    def test_what_was_told_ahead_is_not_matched_by_hand(self):
        told = self.tell(debit(self.ids[0], "99.00"))
        with self.assertRaisesRegex(UserError, "statement will show it"):
            told.line_ids.with_user(self.officer)._match_by_hand(self.payments[1], "x")

    def test_the_story_says_what_rests_on_a_notification(self):
        self.tell(debit(self.ids[0]))
        self.env.invalidate_all()
        self.assertIn("no statement shows it yet", str(self.payments[0].story))
        self.show(debit(self.ids[0]))
        self.env.invalidate_all()
        self.assertNotIn("no statement shows it yet", str(self.payments[0].story))
        self.assertIn("says so as well", str(self.payments[0].story))


@tagged("post_install", "-at_install")
class TestAnyOrder(AheadCase):
    """Made up by seeded chance: whatever comes in what order, each booking counts once."""

    def test_books_agree_after_each_file(self):
        chance = random.Random(54)
        for number in range(15):
            with self.subTest(number=number), self.env.cr.savepoint() as savepoint:
                self.play(chance)
                savepoint.rollback()
                self.env.invalidate_all()

    def play(self, chance):
        """Let a bank book debits and returns, some twice, and tell of them in any order."""
        bookings = []
        for place, given in enumerate(self.ids):
            debits, credits_ = chance.choice((1, 1, 1, 2)), chance.choice((0, 1, 1, 2))
            bookings += [(debit, given, f"D{place}{copy}") for copy in range(debits)]
            bookings += [(credit, given, f"C{place}{copy}") for copy in range(credits_)]
        has_references = chance.random() < 0.7
        told = chance.sample(bookings, chance.randrange(len(bookings) + 1))
        files = [(self.show, part) for part in self.parts(chance, bookings)]
        files += [(self.tell, part) for part in self.parts(chance, told)]
        files += [(self.tell, part) for part in self.parts(chance, told[:2])]
        chance.shuffle(files)
        for book, part in files:
            book(*(make(given, "100.00", ref * has_references) for make, given, ref in part))
            self.check_each_counts_once()
        self.check_end(bookings)

    def parts(self, chance, bookings):
        """Return the bookings, in any order and in one file or several."""
        left = chance.sample(bookings, len(bookings))
        parts = []
        while left:
            size = chance.randint(1, len(left))
            parts.append(left[:size])
            left = left[size:]
        return parts

    def check_each_counts_once(self):
        debits, returns = self.counting("reconciled"), self.counting("reversed")
        for lines in (debits, returns):
            self.assertEqual(len(lines.matched_disbursement_id), len(lines))
        states = dict.fromkeys(debits.matched_disbursement_id, "reconciled")
        states.update(dict.fromkeys(returns.matched_disbursement_id, "reversed"))
        for payment in self.payments:
            self.assertEqual(payment.state, states.get(payment, "sent"))
        self.assertEqual(
            self.envelope.reconciled_amount + self.envelope.reversed_amount,
            sum(debits.mapped("amount")),
        )
        self.assertEqual(self.envelope.reversed_amount, sum(returns.mapped("amount")))
        self.assertBooksAgree()

    def check_end(self, bookings):
        """All statements are in: nothing rests on a notification, and every booking is judged."""
        lines = self.env["g2p.account.statement.line"].search(
            [("matched_disbursement_id", "in", self.payments.ids)]
        )
        self.assertFalse(lines.filtered("is_unconfirmed"))
        shown = lines.filtered(lambda line: line.statement_kind == "statement")
        self.assertEqual(len(shown), len(bookings))
        self.assertNotIn("noted", shown.mapped("outcome"))
        told = lines - shown
        self.assertLessEqual(set(told.mapped("outcome")), {"noted", "error"})
        for line in told.filtered(lambda line: line.outcome == "error"):
            self.assertFalse(
                shown.filtered(
                    lambda other, line=line: (
                        other.bank_reference == line.bank_reference
                        and other.matched_disbursement_id == line.matched_disbursement_id
                    )
                ),
                "the worklist has an entry that its statement shows as well",
            )
