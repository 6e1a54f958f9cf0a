from decimal import Decimal

from odoo.tests import tagged

from . import camt_text as xml
from .mock_bank_process import MORNING, MockBankProcess, next_monday
from .statement_case import StatementCase

DAY = next_monday()
IBAN = "NL41MOCK0000000001"  # of the bank's own example


@tagged("post_install", "-at_install")
class TestMockBank(StatementCase):
    """Files of a bank that somebody else wrote: told ahead, then on the statement."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account.account_number = IBAN
        cls.account.currency_id = cls.env.ref("base.EUR")

    def create_full_envelope(self, count, **values):
        return super().create_full_envelope(count, **values, disbursement_currency_code="EUR")

    def setUp(self):
        super().setUp()
        self.mock = MockBankProcess(hour=MORNING)
        self.addCleanup(self.mock.stop)

    def test_debits_and_a_return_from_order_to_statement(self):
        first, second, third = self.ids
        returned = {"days": 1, "reason": "AC04", "end_to_end_id": second}
        self.mock.ask(
            "PATCH",
            "/_mock/accounts/ACME",
            json={"behaviour": "return-later", "parameters": returned},
        )
        self.mock.ask("POST", "/payments", data=self.order(self.ids).encode())
        self.assertEqual(self.take("camt.054"), ["notification"])
        self.assertStates(self.envelope, "reconciled", "reconciled", "reconciled")
        self.assertEqual(self.unconfirmed(), {first, second, third})
        self.mock.ask("POST", "/_mock/advance?days=1")
        self.assertEqual(self.take("camt.053", "camt.054"), ["statement", "notification"])
        self.assertStates(self.envelope, "reconciled", "reversed", "reconciled")
        self.assertEqual(self.unconfirmed(), {second})  # its return
        self.mock.ask("POST", "/_mock/advance?days=1")
        self.assertEqual(self.take("camt.053"), ["statement"])
        self.assertStates(self.envelope, "reconciled", "reversed", "reconciled")
        self.assertEqual(self.unconfirmed(), set())
        payment = self.disbursements(self.envelope)[1]
        self.assertEqual(payment.reason_code, "AC04")
        self.assertTrue(payment.is_reissuable)
        statements = self.env["g2p.account.statement"].search([("kind", "=", "statement")])
        self.assertEqual(statements.mapped("state"), ["processed"] * 2)
        self.assertTrue(all(statements.mapped("is_tied")))
        self.assertFalse(any(statements.mapped("continuity_note")))
        self.assertFalse(any(statements.mapped("problem_count")))
        self.assertEqual(
            sum(statements.mapped("reconciled_count")), 3, "each debit stands on a statement"
        )

    def take(self, *kinds):
        """Collect the bank's messages, check and book those of the kinds; return what they are."""
        messages = self.mock.ask("GET", "/_mock/mailbox")
        found = [
            (each["type"], each["body"])
            for each in messages
            if each["account"] == "ACME" and each["type"].startswith(kinds)
        ]
        found.sort()  # a statement before what was told after it
        statements = self.env["g2p.account.statement"]
        for _kind, text in found:
            statement = self.statement(self.upload(text))
            self.process(statement)
            statements += statement
        return statements.mapped("kind")

    def unconfirmed(self):
        lines = self.env["g2p.account.statement.line"].search([("is_unconfirmed", "=", True)])
        return set(lines.mapped("disbursement_reference"))

    def order(self, ids):
        """Return a pain.001 that pays each of them 100.00."""
        total = Decimal(100) * len(ids)
        counts = xml.tag("NbOfTxs", str(len(ids))) + xml.tag("CtrlSum", f"{total:.2f}")
        bank = xml.tag("FinInstnId", xml.tag("BICFI", "MOCKNL2A"))
        payments = (
            xml.tag(
                "CdtTrfTxInf",
                xml.tag("PmtId", xml.tag("EndToEndId", given)),
                xml.tag("Amt", xml.tag("InstdAmt", "100.00", Ccy="EUR")),
                xml.tag("CdtrAgt", bank),
                xml.tag("Cdtr", xml.tag("Nm", "A Person")),
                xml.tag("CdtrAcct", xml.tag("Id", xml.tag("IBAN", "DE75512108001245126199"))),
            )
            for given in ids
        )
        return xml.tag(
            "Document",
            xml.tag(
                "CstmrCdtTrfInitn",
                xml.tag(
                    "GrpHdr",
                    xml.tag("MsgId", "M1"),
                    xml.tag("CreDtTm", f"{DAY}T09:00:00Z"),
                    counts,
                    xml.tag("InitgPty", xml.tag("Nm", "A Program")),
                ),
                xml.tag(
                    "PmtInf",
                    xml.tag("PmtInfId", "M1-1"),
                    xml.tag("PmtMtd", "TRF"),
                    counts,
                    xml.tag("ReqdExctnDt", xml.tag("Dt", str(DAY))),
                    xml.tag("Dbtr", xml.tag("Nm", "A Program")),
                    xml.tag("DbtrAcct", xml.tag("Id", xml.tag("IBAN", IBAN))),
                    xml.tag("DbtrAgt", bank),
                    *payments,
                ),
            ),
            xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09",
        )
