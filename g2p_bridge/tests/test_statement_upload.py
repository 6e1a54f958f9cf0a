import json

from odoo.exceptions import UserError
from odoo.tests import Form, HttpCase, tagged

from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestStatementUpload(StatementCase):
    """Dropped files: what came of each is said, with what to do; entries find their payments."""

    def drop(self, text, name="nov.sta", user=None):
        statements = self.env["g2p.account.statement"].with_user(user or self.officer)
        with trap_jobs():
            answer = statements._take_dropped_file(text.encode(), name)
        self.env.flush_all()
        return answer

    def test_a_file_is_taken_and_what_it_matched_is_counted(self):
        entries = [
            entry("D", 100, self.ids[0]),
            entry("D", 100, self.ids[0]),
            entry("D", 100, self.ids[1]),
            entry("RD", 100, self.ids[1]),
            entry("D", 5, "CHARGE"),
        ]
        answer = self.drop(self.text(entries))
        self.assertEqual(answer["status"], "stored")
        statement = self.env["g2p.account.statement"].browse(answer["statement_ids"])
        self.assertEqual((statement.pending_count, statement.line_count), (5, 5))
        self.process(statement)
        self.assertEqual(
            (
                statement.pending_count,
                statement.reconciled_count,
                statement.reversed_count,
                statement.duplicate_count,
                statement.problem_count,
            ),
            (0, 2, 1, 1, 2),
        )
        self.assertEqual(statement.uploaded_by_id, self.officer)

    def test_the_same_file_again_is_said_to_be_known_and_books_nothing(self):
        text = self.text([entry("D", 100, self.ids[0])])
        first, again = self.drop(text), self.drop(text, name="copy.sta")
        self.assertEqual(again["status"], "known")
        self.assertEqual(first["statement_ids"], again["statement_ids"])

    def test_each_refusal_says_what_to_do_and_leaves_nothing(self):
        before = self.env["g2p.account.statement"].search_count([])
        self.env["ir.config_parameter"].set_param("g2p_bridge.statement_max_entries", "1")
        entries = [entry("D", 100, self.ids[0]), entry("D", 100, self.ids[1])]
        for text, words in (
            ("no statement", "MT940 file"),
            (self.text([], account="UNKNOWN1"), "account number"),
            (self.text([], currency="EUR"), "currency"),
            (self.text(entries), "in parts"),
        ):
            with self.subTest(words):
                answer = self.drop(text)
                self.assertEqual(answer["status"], "refused")
                self.assertIn(words, answer["hint"])
                self.assertTrue(answer["error"])
                self.assertNotIn("UNKNOWN1", json.dumps(answer))
        self.assertEqual(self.env["g2p.account.statement"].search_count([]), before)

    def test_nobody_but_officers_has_a_file_taken(self):
        viewer = self.create_user("test_viewer", "g2p_bridge.group_viewer")
        text = self.text([entry("D", 100, self.ids[0])])
        for user in (viewer, self.bank_user):
            answer = self.drop(text, user=user)
            self.assertEqual((answer["status"], answer["statement_ids"]), ("refused", []))

    # -- candidates of an entry -----------------------------------------------------------------

    def lost_entry(self, mark="D", amount=100):
        return self.book(entry(mark, amount, "NONREF"), number="5/1").line_ids

    def test_an_entry_is_offered_the_open_payments_of_its_amount_and_account(self):
        self.book(entry("D", 100, self.ids[0]))
        other = self.create_account(self.bank, name="Other", account_number="TEST0002")
        elsewhere = self.sent_envelope(1)
        elsewhere.funding_account_id = other
        payments = self.disbursements(self.envelope)
        self.env.flush_all()
        self.assertEqual(
            self.lost_entry()._find_candidates(),
            (payments[1] + payments[2]).sorted("id", reverse=True),
        )
        returned = self.book(entry("C", 100, "NONREF"), number="6/1").line_ids
        self.assertEqual(returned._find_candidates(), payments[0])
        odd = self.book(entry("D", 55, "NONREF"), number="7/1").line_ids
        self.assertFalse(odd._find_candidates())

    def test_one_is_chosen_by_name_and_booked(self):
        line = self.lost_entry()
        payment = self.disbursements(self.envelope)[1]
        names = self.env["g2p.disbursement"].with_user(self.officer)
        found = names.with_context(g2p_match_names=True).name_search(
            "person 2", [("id", "in", line._find_candidates().ids)]
        )
        self.assertEqual([key for key, _name in found], payment.ids)
        self.assertIn("Person 2 (BEN2)", found[0][1])
        form = Form(
            self.env["g2p.match.entry"]
            .with_user(self.officer)
            .with_context(default_line_id=line.id)
        )
        self.assertEqual(form.candidate_count, 3)
        form.disbursement_id = payment
        form.note = "the bank's letter"
        form.save().action_match()
        self.assertStates(self.envelope, "sent", "reconciled", "sent")
        self.assertEqual(line.handling_note, "the bank's letter")

    def test_nothing_chosen_is_said_so(self):
        wizard = (
            self.env["g2p.match.entry"]
            .with_user(self.officer)
            .create({"line_id": self.lost_entry().id, "note": "x"})
        )
        with self.assertRaisesRegex(UserError, "Choose the payment"):
            wizard.action_match()


@tagged("post_install", "-at_install")
class TestStatementDoor(HttpCase):
    """The door that the browser uses."""

    def test_a_file_without_token_or_session_is_not_taken(self):
        answer = self.url_open(
            "/g2p_bridge/statement_file", files={"ufile": ("x.sta", b"x")}, allow_redirects=False
        )
        self.assertIn(answer.status_code, (303, 400))
        self.authenticate("admin", "admin")
        answer = self.url_open("/g2p_bridge/statement_file", files={"ufile": ("x.sta", b"x")})
        self.assertEqual(answer.status_code, 400, "it needs a CSRF token")
