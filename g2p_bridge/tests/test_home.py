from datetime import date

from dateutil.relativedelta import relativedelta
from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged

from .statement_case import StatementCase, entry

NOW = "2026-11-23 10:00:00"


@tagged("post_install", "-at_install")
class TestHome(StatementCase):
    """Home shows the numbers of the books, to whoever may see them."""

    def setUp(self):
        self.startPatcher(freeze_time(NOW))
        super().setUp()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.viewer = cls.create_user("home_viewer", "g2p_bridge.group_viewer")
        cls.approver = cls.create_user("home_approver", "g2p_bridge.group_approver")

    def home(self, user=None):
        self.env.flush_all()
        self.env.invalidate_all()
        return self.env["g2p.home"].with_user(user or self.officer).get_home()

    def figures(self, user=None):
        """Return key -> {currency: (count, amount)}."""
        return {
            figure["key"]: {
                line["currency"]: (line["count"], line["amount"]) for line in figure["lines"]
            }
            for figure in self.home(user)["figures"]
        }

    def records(self, action):
        return self.env[action["res_model"]].with_user(self.officer).search(action["domain"])

    # -- numbers --------------------------------------------------------------------------------

    def test_what_is_sent_is_on_the_way(self):
        figures = self.figures()
        self.assertEqual(figures["on_the_way"], {"USD": (3, 300.0)})
        self.assertEqual(figures["paid"], {})
        self.assertEqual(figures["not_reached"], {})

    def test_paid_is_what_statements_debited_less_what_came_back(self):
        self.book(*(entry("D", 100, one) for one in self.ids))
        self.assertEqual(self.figures()["paid"], {"USD": (3, 300.0)})
        self.book(
            entry("RD", 100, self.ids[0], narrative=["Grant", "AC04"]),
            number="2/1",
            opening="700,00",
        )
        figures = self.figures()
        self.assertEqual(figures["paid"], {"USD": (2, 200.0)})
        self.assertEqual(figures["not_reached"], {"USD": (1, 100.0)})
        self.assertEqual(figures["on_the_way"], {})

    def test_paid_is_of_this_month_where_the_user_is(self):
        with freeze_time("2026-10-31 20:00:00"):
            self.book(*(entry("D", 100, one) for one in self.ids))
        self.assertEqual(self.figures()["paid"], {})
        self.officer.tz = "Asia/Tokyo"  # where it was the 1st of November
        self.assertEqual(self.figures()["paid"], {"USD": (3, 300.0)})

    def test_each_figure_opens_the_list_behind_it(self):
        self.book(entry("D", 100, self.ids[0]))
        self.env.cr.execute("SELECT state, count(*) FROM g2p_disbursement GROUP BY state")
        counts = dict(self.env.cr.fetchall())
        self.assertEqual(counts, {"reconciled": 1, "sent": 2})
        actions = {figure["key"]: figure["action"] for figure in self.home()["figures"]}
        self.assertEqual(self.records(actions["paid"]).reconciled_count, 1)
        self.assertEqual(self.records(actions["on_the_way"]).sent_count, 2)
        self.assertFalse(self.records(actions["not_reached"]))
        self.book(
            entry("RD", 100, self.ids[0], narrative=["Grant", "AC04"]),
            number="2/1",
            opening="900,00",
        )
        home = self.home()
        [action] = [f["action"] for f in home["figures"] if f["key"] == "not_reached"]
        self.assertEqual(self.records(action).disbursement_id, self.ids[0])
        [row] = home["envelopes"]["rows"]
        self.assertEqual(row["action"]["res_id"], self.envelope.id)
        [program] = home["programs"]
        self.assertEqual(self.records(program["action"]), self.envelope)

    def test_held_and_idle_is_that_of_the_envelopes(self):
        self.envelope.funds_blocked_amount = 500
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(
            (self.envelope.funds_held_amount, self.envelope.funds_idle_amount), (200, 200)
        )
        [figure] = [f for f in self.home()["figures"] if f["key"] == "held"]
        self.assertEqual([line["amount"] for line in figure["lines"]], [200.0])
        self.assertIn("200.00 held, accounts: 1", figure["note"])
        self.assertEqual(self.records(figure["action"]), self.account)

    def test_currencies_are_never_added_up(self):
        euro = self.env.ref("base.EUR")
        euro.active = True
        account = self.create_account(
            self.bank, account_number="EURO1", currency_id=euro.id, name="Euro account"
        )
        self.create_program(
            name="Euro program",
            mnemonic="EURO",
            funding_account_id=account.id,
            id_mapper_resolution_required=False,
        )
        envelope = self.create_envelope(
            2, benefit_program_mnemonic="EURO", disbursement_currency_code="EUR"
        )
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
        home = self.home()
        self.assertEqual(self.figures()["on_the_way"], {"USD": (3, 300.0), "EUR": (2, 200.0)})
        self.assertEqual(
            [row["name"] for row in home["programs"]], ["Euro program", "Test program"]
        )
        self.assertEqual([chart["currency"] for chart in home["trend"]], ["EUR", "USD"])

    def test_the_trend_has_a_bar_for_each_month_with_the_sums_of_its_envelopes(self):
        self.book(*(entry("D", 100, one) for one in self.ids))
        self.envelope.disbursement_schedule_date = date(2026, 9, 5)
        [chart] = self.home()["trend"]
        self.assertEqual(len(chart["bars"]), 6)
        totals = {bar["key"]: bar["total"] for bar in chart["bars"]}
        self.assertEqual(totals.pop("2026-09-01"), 300.0)
        self.assertEqual(set(totals.values()), {0.0})
        self.assertEqual(chart["max"], 300.0)

    def test_what_is_settled_and_of_another_month_is_not_of_this_cycle(self):
        self.book(*(entry("D", 100, one) for one in self.ids))
        self.envelope._settle_if_ended()
        self.assertEqual(self.home()["envelopes"]["count"], 1)
        self.envelope.disbursement_schedule_date = date(2026, 10, 5)
        self.assertEqual(self.home()["envelopes"]["count"], 0)
        self.envelope.state = "disbursed"
        self.assertEqual(self.home()["envelopes"]["count"], 1)

    # -- words ----------------------------------------------------------------------------------

    def test_the_headline_says_what_is_out_and_what_waits(self):
        self.assertEqual(self.home()["headline"]["text"], "1 envelope out, nothing waits for you.")
        self.envelope.write({"state": "needs_attention", "resume_state": "disbursed"})
        home = self.home()
        self.assertEqual(home["headline"]["waiting_count"], 1)
        self.assertEqual(self.records(home["headline"]["waiting_action"]), self.envelope)
        self.assertEqual(self.home(self.viewer)["headline"]["waiting_count"], 0)

    def test_what_an_approver_may_approve_waits_for_the_approver(self):
        self.program.approval_required = True
        ready = self.create_full_envelope(3, cycle_code_mnemonic="ready")
        self.assertEqual(self.home()["headline"]["waiting_count"], 0)
        home = self.home(self.approver)
        self.assertEqual(self.records(home["headline"]["waiting_action"]), ready)
        ready.created_by_id = self.approver
        self.assertEqual(self.home(self.approver)["headline"]["waiting_count"], 0)

    def test_banks_are_up_slow_or_down_and_their_statement_late(self):
        health = self.env["g2p.bank.health"].sudo()

        def bank():
            [row] = [row for row in self.home()["banks"] if row["id"] == self.bank.id]
            return row

        self.assertEqual(bank()["status"], "unknown")
        row = health.create(
            {
                "bank_id": self.bank.id,
                "company_id": self.bank.company_id.id,
                "last_answer_at": NOW,
                "latency_ms": 120,
            }
        )
        self.assertEqual((bank()["status"], bank()["status_text"]), ("up", "up, 120 ms"))
        row.latency_ms = 4200
        self.assertEqual(bank()["status_text"], "slow, 4,200 ms")
        row.write({"down_since": NOW, "open_until": "2026-11-23 12:00:00"})
        self.assertEqual((bank()["status"], bank()["status_text"]), ("down", "down since 10:00"))
        self.assertEqual((bank()["last_statement"], bank()["late"]), ("no statement yet", ""))
        with freeze_time("2026-11-28 10:00:00"):
            self.assertEqual(bank()["late"], "statement late by 2 days")
            cases = self.home()["attention"]["cases"]
            [case] = [c for c in cases if c["key"] == f"statement_late:{self.account.id}"]
            self.assertEqual(case["since"], "2 days")

    # -- who sees what --------------------------------------------------------------------------

    def test_only_people_of_the_bridge_have_a_home(self):
        for user in (self.pbms_user, self.bank_user):
            with self.assertRaises(AccessError):
                self.home(user)
        self.assertFalse(self.home(self.viewer)["is_empty"])

    def test_a_viewer_has_numbers_but_no_work_and_no_button(self):
        home = self.home(self.viewer)
        self.assertEqual(self.figures(self.viewer), self.figures())
        self.assertFalse(home["attention"])
        self.assertEqual(home["buttons"], [])
        labels = [button["label"] for button in self.home()["buttons"]]
        self.assertIn("Upload statement", labels)

    def test_nothing_of_another_company_is_in_it(self):
        company = self.env["res.company"].create({"name": "Other ministry"})
        other = self.create_user("home_other", "g2p_bridge.group_officer")
        other.write({"company_ids": [(6, 0, company.ids)], "company_id": company.id})
        self.book(entry("D", 100, self.ids[0]))
        home = self.home(other)
        self.assertTrue(home["is_empty"])
        bank = self.create_bank(name="Other bank", code="OTHER", company_id=company.id)
        account = self.create_account(bank, account_number="OTHER1")
        program = self.create_program(
            name="Other program",
            mnemonic="OTHER",
            company_id=company.id,
            funding_account_id=account.id,
            mapper_id=False,
            id_mapper_resolution_required=False,
        )
        self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": "OTHERENVELOPE",
                "program_id": program.id,
                "funding_account_id": account.id,
                "currency_id": self.currency.id,
                "cycle_code_mnemonic": "2026-11",
                "number_of_disbursements": 1,
                "total_disbursement_amount": 1,
                "disbursement_schedule_date": fields.Date.today(),
            }
        )
        home = self.home(other)
        self.assertEqual([row["name"] for row in home["banks"]], ["Other bank"])
        self.assertEqual([row["name"] for row in home["programs"]], ["Other program"])
        self.assertTrue(all(not figure["lines"] for figure in home["figures"]))
        self.assertEqual(
            {row["program"] for row in self.home()["envelopes"]["rows"]}, {"Test program"}
        )

    def test_nothing_of_a_program_that_others_only_see_is_in_it(self):
        self.book(entry("D", 100, self.ids[0]))
        self.assertTrue(self.figures()["paid"])
        self.program.member_ids = self.create_user("home_member", "g2p_bridge.group_officer")
        self.assertTrue(self.home()["is_empty"])
        self.assertTrue(self.figures(self.program.member_ids)["paid"])

    def test_a_program_counts_and_opens_its_envelopes(self):
        program = self.program.with_user(self.viewer)
        self.assertEqual(program.envelope_count, 1)
        self.assertEqual(self.records(program.action_view_envelopes()), self.envelope)

    def test_an_account_says_when_its_statement_is_expected(self):
        account = self.account.with_user(self.viewer)
        self.assertEqual(account.statement_due_on, date(2026, 11, 26))
        with freeze_time("2026-11-24 20:00:00"):
            self.book(entry("D", 100, self.ids[0]), day="261124")
        account.invalidate_recordset()
        self.assertFalse(account.statement_due_on)
        self.assertEqual(account.last_statement_on, date(2026, 11, 24))

    def test_an_empty_database_shows_the_first_steps(self):
        self.env.cr.execute("UPDATE g2p_disbursement_envelope SET company_id = NULL")
        home = self.home()
        self.assertTrue(home["is_empty"])
        self.assertNotIn("figures", home)

    # -- cost -----------------------------------------------------------------------------------

    def test_queries_do_not_grow_with_envelopes_and_payments(self):
        def queries():
            self.home()  # what is read once only: groups, menus, words
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.env["g2p.home"].with_user(self.officer).get_home()
            return self.env.cr.sql_log_count - before

        few = queries()
        for month in range(6):
            envelope = self.create_full_envelope(7, cycle_code_mnemonic=f"more {month}")
            self.send_all(envelope)
            envelope.disbursement_schedule_date = date(2026, 11, 5) - relativedelta(months=month)
        self.assertEqual(queries(), few)
