from odoo.tests import tagged

from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError

from . import camt_text as xml
from .camt_text import balance, camt_text, credit, debit, document, entry, page
from .statement_case import StatementCase
from .statement_case import entry as mt940_entry


@tagged("post_install", "-at_install")
class TestCamtUpload(StatementCase):
    """camt.053 is taken wherever MT940 is, and booked by the same rules."""

    def take(self, content, filename=""):
        statements = self.env["g2p.account.statement"].sudo()._upload(content, filename, self.bank)
        self.env.flush_all()
        for statement in statements:
            self.process(statement)
        return statements

    def test_debits_and_returns_are_booked_with_reason_and_words(self):
        given = self.ids[0]
        answer = self.upload(
            camt_text(
                debit(given, account_reference="R1", creditor="A Person"),
                credit(given, reason="AC04", reason_texts=["Account closed"]),
                debit("NOTPROVIDED", texts=[f"Grant {self.ids[1]}"]),
            )
        )
        self.assertEqual(answer["statements"][0]["kind"], "statement")
        self.process(self.statement(answer))
        statement = self.statement(answer)
        self.assertEqual(
            self.outcomes(statement),
            [("reconciled", False), ("reversed", False), ("reconciled", False)],
        )
        self.assertEqual((statement.closing_balance, statement.is_tied), (900, True))
        payment = self.disbursements(self.envelope)[0]
        self.assertEqual((payment.reason_code, payment.reason), ("AC04", "Account closed"))
        self.assertEqual(payment.bank_reference, "R1")
        self.assertEqual(
            statement.line_ids.sorted("entry_sequence")[0].beneficiary_name_from_bank, "A Person"
        )
        [told] = self.api.get_disbursement_status([given])
        self.assertEqual((told["reason_code"], told["reason"]), ("AC04", "Account closed"))

    def test_the_words_of_a_return_show_no_account(self):
        """They go to the payment, its caller and everybody who may see it."""
        words = ["Account DE75512108001245126199 closed", "tell a.person@example.org"]
        given = self.ids[0]
        text = camt_text(debit(given), credit(given, reason="AC04", reason_texts=words))
        statement = self.take(text.encode())
        payment = self.disbursements(self.envelope)[0]
        self.assertRegex(payment.reason, r"^Account DE\*+ closed tell \*+$")
        [told] = self.api.get_disbursement_status([given])
        shown = f"{told} {statement.line_ids.mapped('reversal_details')}"
        self.assertNotRegex(shown, "512108|a.person")

    def test_each_transaction_of_a_batch_is_a_payment(self):
        parts = [xml.transaction(given, "100.00") for given in self.ids]
        statement = self.take(camt_text(entry("300.00", "DBIT", *parts)).encode())
        self.assertEqual(self.outcomes(statement), [("reconciled", False)] * 3)
        self.assertEqual((statement.line_count, statement.is_tied), (3, True))
        self.assertStates(self.envelope, "reconciled", "reconciled", "reconciled")

    def test_the_file_is_kept_as_it_came_and_served_as_a_text(self):
        content = camt_text(debit(self.ids[0])).replace("UTF-8", "ISO-8859-1").encode("latin-1")
        for filename, name in (("", "statement.xml"), ("day.camt", "day.camt")):
            content += b"\n"
            file = self.take(content, filename).sudo().attachment_id
            self.assertEqual((file.name, file.raw), (name, content))
            self.assertEqual((file.mimetype, file.index_content), ("text/plain", False))

    def test_a_text_by_rpc_is_the_file_that_an_http_upload_brings(self):
        """Whatever encoding it declares: the second is known as the first."""
        for encoding, number in (("ISO-8859-1", "1"), ("UTF-8", "2")):
            text = camt_text(debit("A", creditor="Fran\u00e7ois"), number=number)
            text = text.replace("UTF-8", encoding)
            first = self.statement(self.upload(text))
            self.assertEqual(first.line_ids.beneficiary_name_from_bank, "Fran\u00e7ois")
            self.assertEqual(self.take(text.encode(encoding)), first)
        text = camt_text(debit("A"), number="3").replace("UTF-8", "UTF-7")
        self.assertRefused("INVALID_STATEMENT", self.bank_api.upload_mt940, text)

    def test_an_officer_drops_it_or_takes_the_wizard(self):
        statements = self.env["g2p.account.statement"].with_user(self.officer)
        text = camt_text(debit(self.ids[0])).replace("UTF-8", "UTF-16")
        result = statements._take_dropped_file(text.encode("utf-16"), "a.xml")
        self.assertEqual(result["status"], "stored", result)
        result = statements._take_dropped_file(b"<Document><A/></Document>", "a.xml")
        self.assertEqual(result["status"], "refused")
        self.assertIn("camt.053", result["error"])
        self.assertIn("camt.053", result["hint"])

    def test_numbers_repeats_and_corrections_are_those_of_any_statement(self):
        first = self.take(camt_text(debit(self.ids[0]), number="7").encode())
        again = self.take(camt_text(debit(self.ids[0]), number="7", identification="S2").encode())
        other = self.take(camt_text(debit(self.ids[1]), number="7").encode())
        self.assertEqual(
            (first + again + other).mapped("state"), ["processed", "dismissed", "held"]
        )
        follows = camt_text(number="8", balances=balance("OPBD", 900) + balance("CLBD", 900))
        self.assertFalse(self.take(follows.encode()).continuity_note)
        gap = camt_text(number="10", balances=balance("OPBD", 900) + balance("CLBD", 900))
        self.assertIn("does not follow", self.take(gap.encode()).continuity_note)

    def test_a_return_reason_is_a_part_of_what_a_statement_says(self):
        first = camt_text(credit("A", reason="AC04"), number="7")
        self.take(first.encode())
        self.assertEqual(self.take((first + "\n").encode()).state, "dismissed")
        changed = camt_text(credit("A", reason="AM09"), number="7")
        self.assertEqual(self.take(changed.encode()).state, "held")

    def test_pages_in_files_of_their_own_follow(self):
        first = page(
            debit(self.ids[0]),
            pages="<PgNb>1</PgNb><LastPgInd>false</LastPgInd>",
            balances=balance("OPBD", 1000) + balance("ITBD", 900),
        )
        last = page(
            debit(self.ids[1]),
            pages="<PgNb>2</PgNb><LastPgInd>true</LastPgInd>",
            balances=balance("ITBD", 900) + balance("CLBD", 800),
        )
        found = [self.take(document(part).encode()) for part in (first, last)]
        self.assertEqual([s.sequence_number for s in found], ["1", "2"])
        self.assertFalse(any(s.continuity_note for s in found))
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")

    def test_it_follows_on_an_mt940(self):
        """A bank that changes from one format to the other breaks no chain."""
        self.take(self.text([mt940_entry("D", 100, self.ids[0])], number="1/1").encode())
        both = camt_text(
            debit(self.ids[1]),
            number="2",
            balances=xml.ties([debit(self.ids[1])], opening="900.00"),
        )
        statement = self.take(both.encode())
        self.assertFalse(statement.continuity_note)
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")

    def test_what_cannot_be_booked_changes_nothing(self):
        before = self.env["ir.attachment"].search_count([])
        for text, code in (
            (camt_text(to_account=xml.account("9876543210")), "UNKNOWN_ACCOUNT"),
            (
                camt_text(
                    to_account=xml.account(currency="EUR"),
                    balances=balance("OPBD", 1, "EUR") + balance("CLBD", 1, "EUR"),
                ),
                "STATEMENT_CURRENCY_MISMATCH",
            ),
            (camt_text(debit("A", "0.001")), "INVALID_STATEMENT"),
            (camt_text(debit("A"))[:-30], "INVALID_STATEMENT"),
            (document(), "INVALID_STATEMENT"),
        ):
            with self.assertRaises(BridgeError) as caught, self.env.cr.savepoint():
                self.take(text.encode())
            self.assertEqual(caught.exception.code, code)
            self.assertNotIn("9876543210", str(caught.exception))
        self.assertEqual(self.env["ir.attachment"].search_count([]), before)
        self.assertFalse(self.env["g2p.account.statement"].search([("bank_id", "=", self.bank.id)]))

    def test_the_limit_of_entries_counts_transactions(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.statement_max_entries", "2")
        parts = [xml.transaction(given, "100.00") for given in self.ids]
        self.assertRefused(
            "STATEMENT_TOO_MANY_ENTRIES",
            self.bank_api.upload_mt940,
            camt_text(entry("300.00", "DBIT", *parts)),
        )

    def test_one_that_does_not_tie_is_held_and_pending_ones_are_told(self):
        pending = entry("100.00", "DBIT", xml.transaction(self.ids[0], "100.00"), status="PDNG")
        held = self.take(camt_text(pending).encode())  # its closing balance has it already
        self.assertEqual((held.state, held.left_out_count), ("held", 1))
        self.assertStates(self.envelope, "sent", "sent", "sent")
