from datetime import date

from freezegun import freeze_time

from odoo.tests import tagged

from ..models.statement_due import NOT_AWAITED, StatementDue
from .statement_case import StatementCase, entry

#: a Monday
SENT = "2026-11-23 10:00:00"


@tagged("post_install", "-at_install")
class TestStatementDue(StatementCase):
    """When a statement is due, and from when on it is late."""

    def setUp(self):
        with freeze_time(SENT):
            super().setUp()  # sends the payments
        self.program.disbursement_sla_days = 3
        self.bank.float_days = 1

    def due(self, at):
        """Return the answer for the account, which is that of its only envelope, too."""
        with freeze_time(at):
            answer = self.account._statement_due()[self.account.id]
            self.assertEqual(self.envelope._statement_due()[self.envelope.id], answer)
        return answer

    def book_on(self, day, *entries):
        with freeze_time(f"{day} 20:00:00"):
            return self.book(*entries, day=day[2:].replace("-", ""), number=f"{day[8:]}/1")

    def test_it_is_due_some_days_after_the_schedule_date_and_late_from_the_next_day(self):
        due_on = date(2026, 11, 26)
        self.assertEqual(self.due("2026-11-24 08:00:00"), StatementDue(due_on, 0))
        self.assertEqual(self.due("2026-11-26 23:00:00"), StatementDue(due_on, 0))
        self.assertEqual(self.due("2026-11-27 01:00:00"), StatementDue(due_on, 1))
        self.assertEqual(self.due("2026-12-06 01:00:00"), StatementDue(due_on, 10))

    def test_what_is_sent_after_its_schedule_date_is_counted_from_the_sending(self):
        self.envelope.disbursement_schedule_date = "2026-11-10"
        self.assertEqual(self.due("2026-11-24 08:00:00").due_on, date(2026, 11, 26))

    def test_it_is_not_due_before_the_debit(self):
        """Ten business days from a Monday are two weeks."""
        self.bank.float_days = 10
        self.assertEqual(self.due("2026-12-01 08:00:00"), StatementDue(date(2026, 12, 7), 0))

    def test_days_are_those_of_the_company(self):
        self.account.company_id.partner_id.tz = "Pacific/Auckland"  # 13 hours ahead
        self.assertEqual(self.due("2026-11-26 12:00:00").days_late, 1)
        self.account.company_id.partner_id.tz = "America/Los_Angeles"
        self.assertEqual(self.due("2026-11-27 06:00:00").days_late, 0)

    def test_a_statement_of_the_day_of_the_debit_ends_the_waiting(self):
        self.book_on("2026-11-24", entry("D", 100, self.ids[0]))
        self.assertEqual(self.due("2026-12-06 08:00:00"), NOT_AWAITED)
        self.assertEqual(self.envelope.sent_count, 2, "they are missing, not their statement")

    def test_a_statement_of_before_does_not(self):
        self.book_on("2026-11-23")
        self.assertEqual(self.due("2026-11-28 08:00:00").days_late, 2)

    def test_a_dismissed_statement_does_not(self):
        self.book_on("2026-11-24", entry("D", 100, self.ids[0])).write({"state": "dismissed"})
        self.assertEqual(self.due("2026-11-28 08:00:00").days_late, 2)

    def test_what_is_sent_later_waits_for_a_later_statement(self):
        """And a payment a day does not put the date of the first one off."""
        self.book_on("2026-11-24", *(entry("D", 100, one) for one in self.ids))
        self.assertEqual(self.due("2026-12-06 08:00:00"), NOT_AWAITED)
        for day in (1, 2, 3):
            with freeze_time(f"2026-12-0{day} 10:00:00"):
                self.envelope = self.create_full_envelope(3, cycle_code_mnemonic=f"late {day}")
                self.send_all(self.envelope)
        with freeze_time("2026-12-06 08:00:00"):
            answers = self.account._statement_due()
        self.assertEqual(answers, {self.account.id: StatementDue(date(2026, 12, 4), 2)})

    def test_an_account_that_sent_nothing_awaits_nothing(self):
        other = self.create_account(self.bank, account_number="OTHER")
        self.assertEqual(other._statement_due(), {other.id: NOT_AWAITED})
        self.assertEqual(other.browse()._statement_due(), {})

    def test_one_query_whatever_the_number_of_accounts_and_envelopes(self):
        self.create_account(self.bank, account_number="OTHER")
        accounts = self.env["g2p.funding.account"].search([])
        self.env.flush_all()
        with self.assertQueryCount(1):
            accounts._statement_due()
