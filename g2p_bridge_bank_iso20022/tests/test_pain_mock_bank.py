"""Orders read by mock-bank, and its answers read here: neither knows the other's code."""

import unittest
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    EMAIL_WALLET,
    MOBILE_WALLET,
    REJECTED,
    FinancialAddress,
)
from odoo.addons.g2p_bridge.tests.mock_bank_process import MockBankProcess

from ..messages import pain001, pain002
from .pain_case import VERSIONS, a_payment, an_account, an_order

#: accounts that mock-bank has from the start
ACME, CLOSED, UNKNOWN_BANK = "NL41MOCK0000000001", "NL84MOCK0000000003", "NL57MOCK0000000004"


class TestMockBank(unittest.TestCase):
    """The process is real, the messages go over HTTP."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank = MockBankProcess()
        cls.addClassCleanup(cls.bank.stop)

    def order(self, *payments, **values):
        """Return an order on ACME's account, with a message id of its own."""
        now = datetime.now(timezone.utc)
        defaults = {
            "message_id": pain001.message_id(f"{self.id()} {sorted(values.items())}"),
            "created_at": now,
            "requested_date": (now + timedelta(days=10)).date(),  # by its clock not past
            "debtor_account": ACME,
            "debtor_agent_bic": "MOCKNL2A",
        }
        return an_order(*payments, **{**defaults, **values})

    def reports(self):
        """Return the StatusReports (list) that wait at the bank, oldest first, and take them."""
        messages = self.bank.call("GET", "/_mock/mailbox", params={"type": "pain.002"}).json()
        return [pain002.parse(message["body"].encode()) for message in messages]

    def test_it_finds_nothing_wrong_with_any_kind_of_order(self):
        wallet = FinancialAddress(
            fa_type=MOBILE_WALLET, mobile_number="+254700000001", wallet_provider="MPESA"
        )
        mail = FinancialAddress(fa_type=EMAIL_WALLET, email_address="someone@post.example")
        payments = (
            a_payment(1, creditor_account=an_account(bank_code="ABNANL2A")),
            a_payment(2, creditor_account=an_account(account_number="0012345", bank_code="X1")),
            a_payment(3, creditor_account=wallet, creditor_name="Müller & محمد"),
            a_payment(4, creditor_account=mail, remittance_information="Child benefit; May"),
            a_payment(5, creditor_account=None, amount=Decimal("0.01")),
        )
        for version in VERSIONS:
            for text in ("latin", "utf8"):
                order = self.order(
                    *payments,
                    version=version,
                    charset=text,
                    service_level="SEPA",
                    category_purpose="GOVT",
                    purpose="SSBE",
                    batch_booking=True,
                    initiating_party_id="CUSTOMER1",
                )
                answer = self.bank.call("POST", "/_mock/validate", data=pain001.write(order))
                self.assertEqual(
                    answer.text.strip(),
                    f"{version} {order.message_id}: 1 batch, 5 payments, 0 findings",
                )

    def test_it_misses_a_cent(self):
        content = pain001.write(self.order(a_payment(1), a_payment(2)))
        spoilt = content.replace(b"<CtrlSum>200.00<", b"<CtrlSum>200.01<")
        self.assertNotEqual(spoilt, content)
        answer = self.bank.call("POST", "/_mock/validate", data=spoilt)
        self.assertIn("AM10", answer.text)

    def test_its_answer_names_each_payment(self):
        order = self.order(
            a_payment(1, creditor_account=an_account(bank_code="ABNANL2A")),
            a_payment(2, creditor_account=an_account(account_number=CLOSED)),
            a_payment(
                3, creditor_account=an_account(account_number=UNKNOWN_BANK, bank_code="ZZZZNL2AXXX")
            ),
        )
        self.bank.call("POST", "/payments", data=pain001.write(order)).raise_for_status()
        [report] = self.reports()
        self.assertEqual(report.version, "pain.002.001.10")
        self.assertEqual(report.original_message_id, order.message_id)
        self.assertEqual(report.original_message_name, order.version)
        self.assertEqual(report.number_of_transactions, 3)
        self.assertEqual(report.control_sum, Decimal(pain001.control_sum(order)))
        self.assertEqual((report.group_status, report.default_status), ("PART", None))
        self.assertEqual(
            {item.end_to_end_id: (item.status, item.reason_code) for item in report.items},
            {
                "TEST000000000001": (ACCEPTED, ""),
                "TEST000000000002": (REJECTED, "AC04"),
                "TEST000000000003": (REJECTED, "RC01"),
            },
        )

    def test_a_file_that_it_rejects_as_a_whole(self):
        content = pain001.write(self.order(a_payment(1), a_payment(2)))
        spoilt = content.replace(b"<NbOfTxs>2<", b"<NbOfTxs>3<", 1)
        self.bank.call("POST", "/payments", data=spoilt)
        [report] = self.reports()
        self.assertEqual((report.group_status, report.default_status), ("RJCT", REJECTED))
        self.assertEqual(report.status_of("TEST000000000001").reason_code, "AM18")

    def test_the_same_message_twice_is_a_repeat_and_no_news_of_the_first(self):
        content = pain001.write(self.order(a_payment(1)))
        for _time in range(2):
            self.bank.call("POST", "/payments", data=content)
        first, second = self.reports()
        self.assertEqual(first.status_of("TEST000000000001").status, ACCEPTED)
        self.assertEqual(second.reason_code, "DUPL")
        self.assertEqual(first.original_message_id, second.original_message_id)
