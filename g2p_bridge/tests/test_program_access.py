from freezegun import freeze_time

from odoo.exceptions import AccessError
from odoo.tests import tagged

from odoo.addons.queue_job.tests.common import trap_jobs

from .common import PBMS_GROUP
from .statement_case import StatementCase, entry

#: models with records of one program
MODELS = (
    "g2p.benefit.program",
    "g2p.disbursement.envelope",
    "g2p.disbursement",
    "g2p.disbursement.batch",
    "g2p.disbursement.journal",
    "g2p.bank.call",
    "g2p.account.statement",
    "g2p.account.statement.line",
)
ROLES = ("viewer", "officer", "approver", "administrator")


@tagged("post_install", "-at_install")
class TestProgramAccess(StatementCase):
    """Of a program that names its people nobody else sees anything; of the others, all do."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users = {
            role: cls.create_user(f"access_{role}", f"g2p_bridge.group_{role}") for role in ROLES
        }
        cls.member = cls.create_user("access_member", "g2p_bridge.group_officer")
        cls.other_account = cls.create_account(cls.bank, name="Other", account_number="OTHER1")
        cls.secret_program = cls.create_program(
            name="Secret program",
            mnemonic="SECRET",
            funding_account_id=cls.other_account.id,
            id_mapper_resolution_required=False,
        )

    def setUp(self):
        super().setUp()
        with trap_jobs():
            secret = self.create_envelope(2, benefit_program_mnemonic="SECRET")
            self.api.create_disbursements(secret.disbursement_envelope_id, self.rows(2))
        self.send_all(secret)
        self.secret = secret
        ids = self.disbursements(secret).mapped("disbursement_id")
        self.book(entry("D", 100, self.ids[0]), number="1")
        self.book(entry("D", 100, ids[0]), account="OTHER1", number="2")
        for envelope in self.envelope | secret:
            self.env["g2p.bank.call"]._assume_made("check_funds", f"check:{envelope.id}", envelope)

    def seen(self, user):
        """Return model -> the programs of which the user sees records."""
        self.env.flush_all()
        self.env.invalidate_all()
        paths = {
            "g2p.benefit.program": lambda record: record,
            "g2p.disbursement.envelope": lambda record: record.program_id,
            "g2p.account.statement": lambda record: record.account_id.program_ids,
        }
        found = {}
        for model in MODELS:
            path = paths.get(model, lambda record: record.envelope_id.program_id)
            records = self.env[model].with_user(user).search([]).sudo()
            programs = self.env["g2p.benefit.program"].sudo().union(*map(path, records))
            found[model] = set((programs & (self.program | self.secret_program)).mapped("mnemonic"))
        return found

    def assertSees(self, user, *mnemonics):
        self.assertEqual(self.seen(user), {model: set(mnemonics) for model in MODELS})

    def test_a_program_without_people_is_seen_by_all_of_the_company(self):
        for user in self.users.values():
            self.assertSees(user, "TESTPROG", "SECRET")

    def test_a_program_with_people_is_seen_by_them_and_administrators(self):
        self.secret_program.member_ids = self.member
        self.assertSees(self.member, "TESTPROG", "SECRET")
        self.assertSees(self.users["administrator"], "TESTPROG", "SECRET")
        for role in ("viewer", "officer", "approver"):
            with self.subTest(role=role):
                self.assertSees(self.users[role], "TESTPROG")

    def test_a_change_of_its_people_counts_at_once(self):
        self.secret_program.member_ids = self.member
        viewer = self.users["viewer"]
        self.assertSees(viewer, "TESTPROG")
        self.secret_program.responsible_ids = viewer
        self.assertSees(viewer, "TESTPROG", "SECRET")
        self.secret_program.responsible_ids = False
        self.assertSees(viewer, "TESTPROG")
        self.secret_program.member_ids = False
        self.assertSees(viewer, "TESTPROG", "SECRET")

    def test_what_is_not_seen_cannot_be_acted_on(self):
        self.secret_program.member_ids = self.member
        officer = self.users["officer"]
        secret = self.secret.with_user(officer)
        with self.assertRaises(AccessError):
            secret.action_pause()
        with self.assertRaises(AccessError):
            secret.read(["total_disbursement_amount"])
        with self.assertRaises(AccessError):
            self.disbursements(self.secret).with_user(officer).read(["amount"])
        self.secret.with_user(self.member).action_pause()
        self.assertTrue(self.secret.is_paused)

    def test_the_worklist_and_imports_leave_it_out(self):
        self.secret_program.member_ids = self.member
        self.secret._set_needs_attention("FUNDS_NOT_AVAILABLE", "Nothing is there")
        started = self.env["g2p.envelope.import"].create(
            {
                "program_id": self.secret_program.id,
                "cycle_code_mnemonic": "2026-12",
                "disbursement_schedule_date": "2026-12-01",
            }
        )
        self.env.flush_all()
        for user, is_seen in ((self.member, True), (self.users["officer"], False)):
            with self.subTest(user=user.login):
                worklist = self.env["g2p.attention"].with_user(user)
                cases = worklist.search([("company_id", "=", self.secret.company_id.id)])
                self.assertEqual(self.secret in cases.sudo().envelope_id, is_seen)
                imports = self.env["g2p.envelope.import"].with_user(user)
                self.assertEqual(bool(imports.search([("id", "=", started.id)])), is_seen)

    def test_home_has_no_figure_of_it(self):
        self.secret_program.member_ids = self.member
        self.secret._set_needs_attention("FUNDS_NOT_AVAILABLE", "Nothing is there")
        self.env.flush_all()

        def home(user):
            self.env.invalidate_all()  # as a request of its own
            return self.env["g2p.home"].with_user(user).get_home()

        def counts(user):
            return [
                [(line["count"], line["amount"]) for line in figure["lines"]]
                for figure in home(user)["figures"][:3]
            ]

        self.assertEqual(counts(self.member), [[(2, 200.0)], [(3, 300.0)], []])
        self.assertEqual(counts(self.users["officer"]), [[(1, 100.0)], [(2, 200.0)], []])
        text = str(home(self.users["officer"]))
        for mark in ("SECRET", "Secret program", self.secret.disbursement_envelope_id):
            self.assertNotIn(mark, text)
        self.assertIn("Secret program", str(home(self.member)))

    def share_account(self):
        """Have both programs pay from one account, and hide the one; return an officer."""
        self.secret_program.write(
            {"member_ids": self.member.ids, "funding_account_id": self.account.id}
        )
        return self.users["officer"]

    def secret_payment_on_shared_account(self):
        """Return a payment of the hidden program that left from the account of both."""
        with trap_jobs():
            envelope = self.create_envelope(
                1, benefit_program_mnemonic="SECRET", cycle_code_mnemonic="2027-01"
            )
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(1))
        self.send_all(envelope)
        return self.disbursements(envelope)

    def test_entries_of_hidden_payments_count_in_no_case_of_others(self):
        officer = self.share_account()
        payment = self.secret_payment_on_shared_account()
        hidden = entry("D", 77, payment.disbursement_id)
        visible = entry("D", 78, self.ids[1])
        alone = self.book(hidden, number="5", day="261124")
        both = self.book(hidden, visible, number="6", day="261125")
        self.env.flush_all()

        def cases(user):
            self.env.invalidate_all()  # as a request of its own
            worklist = self.env["g2p.attention"].with_user(user)
            found = worklist.search(
                [("kind", "=", "entry_amount"), ("statement_id", "in", (alone | both).ids)]
            )
            return {(c.statement_id.id, c.payment_count, c.amount, bool(c.name)) for c in found}

        self.assertEqual(cases(self.member), {(alone.id, 1, 77.0, True), (both.id, 2, 155.0, True)})
        self.assertEqual(cases(officer), {(both.id, 1, 78.0, True)})
        self.env.invalidate_all()
        texts = str(self.env["g2p.home"].with_user(officer).get_home()["attention"])
        self.assertNotIn(payment.disbursement_id, texts)
        self.assertIn(self.ids[1], texts)

    def test_hidden_payments_are_offered_for_no_entry(self):
        officer = self.share_account()
        payment = self.secret_payment_on_shared_account()
        statement = self.book(entry("D", 100, "NOBODYS"), number="7", day="261124")
        line = statement.line_ids
        self.assertIn(payment, line.with_user(self.member)._find_candidates())
        offered = line.with_user(officer)._find_candidates()
        self.assertNotIn(payment, offered)
        self.assertTrue(offered)

    def test_a_late_statement_counts_what_its_reader_sees(self):
        officer = self.share_account()
        self.secret_payment_on_shared_account()
        self.env.flush_all()

        def late(user):
            self.env.invalidate_all()  # as a request of its own
            cases = (
                self.env["g2p.attention"]
                .with_user(user)
                .search(
                    [("kind", "=", "statement_late"), ("funding_account_id", "=", self.account.id)]
                )
            )
            return [(case.payment_count, case.amount) for case in cases]

        with freeze_time("2027-03-01 10:00:00"):
            self.assertEqual(late(self.member), [(3, 300.0)])
            self.assertEqual(late(officer), [(2, 200.0)])

    def test_notes_notices_and_bulk_actions_leave_it_out(self):
        self.secret._set_needs_attention("FUNDS_NOT_AVAILABLE", "Nothing is there")
        self.env.flush_all()
        worklist = self.env["g2p.attention"].with_user(self.member)
        worklist.search([("envelope_id", "=", self.secret.id)]).action_take()
        note = self.env["g2p.attention.case"].search([("program_id", "=", self.secret_program.id)])
        notice, late = self.env["g2p.notice"].create(
            [
                {**subject, "company_id": self.secret.company_id.id, "opened_at": "2026-11-01"}
                for subject in (
                    {"kind": "settled", "envelope_id": self.secret.id},
                    {"kind": "statement_late", "account_id": self.other_account.id},
                )
            ]
        )
        asked = {}
        for user in (self.member, self.users["officer"]):
            with trap_jobs():
                asked[user] = (
                    self.env["g2p.bulk.action"]
                    .with_user(user)
                    ._start(
                        "retry",
                        self.env["g2p.disbursement.envelope"].with_user(user),
                        [["id", "=", self.secret.id]],
                        total=1,
                    )
                )

        def seen(user):
            records = [note, notice, late, asked[self.member].sudo()]
            return [bool(r.with_user(user)._filtered_access("read")) for r in records]

        self.assertTrue(note)
        self.assertEqual(seen(self.users["officer"]), [True] * 4)
        self.secret_program.member_ids = self.member
        self.env.invalidate_all()
        self.assertEqual(seen(self.users["officer"]), [False] * 4)
        self.assertEqual(seen(self.member), [True] * 4)
        self.assertEqual(seen(self.users["administrator"]), [True] * 4)
        own = asked[self.users["officer"]].with_user(self.users["officer"])
        self.assertTrue(own._filtered_access("read"))

    def test_what_was_selected_is_shown_to_who_may_search_so(self):
        """A selection by account number would say the number."""
        accounts = self.create_user(
            "access_accounts", "g2p_bridge.group_officer,g2p_bridge.group_account_viewer"
        )
        domain = [["account_number", "=", "CANARY-ACCOUNT"]]
        with trap_jobs():
            action = (
                self.env["g2p.bulk.action"]
                .with_user(accounts)
                ._start(
                    "resolve", self.env["g2p.disbursement"].with_user(accounts), domain, total=1
                )
            )
        self.assertEqual(action.action_view_records()["domain"], domain)
        for user in (self.users["officer"], self.users["approver"]):
            with self.assertRaises(AccessError):
                action.with_user(user).action_view_records()
            with self.assertRaises(AccessError):
                action.with_user(user).read(["domain"])

    def test_the_page_of_its_certificate_tells_nothing_before_it_is_stored(self):
        self.secret_program.member_ids = self.member
        asked = {"envelope_id": {}, "point_ids": {"fields": {"sentence": {}}}, "is_closed": {}}
        given = {"envelope_id": self.secret.id}, ["envelope_id"], asked

        def page(user):
            return self.env["g2p.certificate.page"].with_user(user)

        shown = page(self.member).onchange(*given)["value"]
        self.assertTrue(shown["point_ids"])
        with self.assertRaises(AccessError):
            page(self.users["officer"]).onchange(*given)

    def test_totals_of_lists_leave_it_out(self):
        self.secret_program.member_ids = self.member
        payments = self.env["g2p.disbursement"]
        ours = [("envelope_id", "in", (self.envelope | self.secret).ids)]

        def total(user):
            return payments.with_user(user)._read_group(ours, [], ["amount:sum", "__count"])

        self.assertEqual(total(self.users["officer"]), [(300.0, 3)])
        self.assertEqual(total(self.member), [(500.0, 5)])

    def test_entries_without_a_payment_are_for_all_who_see_the_account(self):
        self.secret_program.member_ids = self.member
        lines = self.env["g2p.account.statement.line"]
        self.book(entry("D", 55, "NOBODYS"), number="3", day="261124")
        officer = lines.with_user(self.users["officer"])
        self.assertTrue(officer.search([("customer_reference", "=", "NOBODYS")]))
        self.book(entry("D", 55, "THEIRS"), account="OTHER1", number="4", day="261124")
        self.assertFalse(officer.search([("customer_reference", "=", "THEIRS")]))

    def test_an_account_that_programs_share_is_seen(self):
        self.secret_program.write(
            {"member_ids": self.member.ids, "funding_account_id": self.account.id}
        )
        # the account it had has no program any more: it is nobody's in particular
        statements = self.env["g2p.account.statement"].with_user(self.users["officer"])
        self.assertEqual(len(statements.search([("bank_id", "=", self.bank.id)])), 2)

    def test_api_users_are_not_concerned(self):
        self.secret_program.member_ids = self.member
        for envelope in self.envelope | self.secret:
            status = self.api.get_disbursement_envelope_status(envelope.disbursement_envelope_id)
            self.assertEqual(status["number_of_disbursements_reconciled"], 1)
        self.assertFalse(self.pbms_user.has_group("g2p_bridge.group_viewer"))
        self.assertTrue(self.pbms_user.has_group(PBMS_GROUP))

    def test_other_companies_are_not_seen(self):
        company = self.env["res.company"].create({"name": "Other ministry"})
        bank = self.create_bank(code="THEIRS", name="Their bank", company_id=company.id)
        program = self.create_program(
            name="Theirs",
            mnemonic="THEIRS",
            company_id=company.id,
            funding_account_id=self.create_account(bank, account_number="THEIRS1").id,
            id_mapper_resolution_required=False,
            mapper_id=False,
        )
        for role, user in self.users.items():
            with self.subTest(role=role):
                own = self.env["g2p.benefit.program"].with_user(user).search([])
                self.assertNotIn(program, own)
                user.company_ids += company
                both = self.env["g2p.benefit.program"].with_user(user)
                both = both.with_context(allowed_company_ids=(company | user.company_id).ids)
                self.assertIn(program, both.search([]))

    def test_where_nothing_is_hidden_no_condition_is_added(self):
        rules = self.env["ir.rule"].with_user(self.users["viewer"])
        usual = str(rules._compute_domain("g2p.disbursement", "read"))
        self.assertNotIn("program_id", usual)
        self.secret_program.member_ids = self.member
        self.assertIn("program_id", str(rules._compute_domain("g2p.disbursement", "read")))
