"""The example bank's connector, against the example bank itself."""

from collections import defaultdict
from decimal import Decimal

from odoo.tests import TransactionCase, tagged

from odoo.addons.g2p_bridge.connectors.dto import REJECTED, DebtorAccount
from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown, BankRejected
from odoo.addons.g2p_bridge.tests.bank_double import HttpProxy
from odoo.addons.g2p_bridge.tests.connector_contract import ConnectorContract

from .bank_process import BankProcess

ACCOUNT = "7000000001"
READ_TIMEOUT_S = 1
PATHS = ("check_funds", "block_funds", "release_funds", "initiate_payment", "inquire_payments")
#: more than any block of the contract holds
TOO_MUCH = 10_000_000_000


class ExampleBankDriver(HttpProxy):
    """The contract's view of a running example bank.

    :param BankProcess bank: with the account, and this bearer token
    """

    paths = {f"/{operation}": operation for operation in PATHS}
    unsupported = {
        "other_count": "An order's answer has no count.",
        "other_sum": "An order's answer has no sum.",
    }

    def __init__(self, bank, secret):
        super().__init__(
            bank.url,
            bank_code="EXB",
            account_number=ACCOUNT,
            timeout_s=(5, READ_TIMEOUT_S),
            secret=secret,
        )
        self.bank = bank

    def set_available(self, amount):
        """Book what is missing, or too much."""
        surplus = Decimal(self.bank.account(ACCOUNT)["available"]) - amount
        if surplus:
            mark = "D" if surplus > 0 else "C"
            entry = {"account_number": ACCOUNT, "mark": mark, "amount": f"{abs(surplus)}"}
            self.bank.ask("/admin/postings", entry)

    def ordered(self):
        """Each order, those refused as duplicates too: the bridge should not have sent them."""
        ledger = self.bank.ledger()
        taken = [item for item in ledger["payments"] if item["state"] != "rejected"]
        doubled = [item for item in ledger["refused_orders"] if item["reason_code"] == "AM05"]
        orders = defaultdict(list)
        for item in taken + doubled:
            orders[item["reference"]].append(Decimal(item["amount"]))
        return dict(orders)

    def change_request(self, kind, operation, values):
        if kind == "refuse_all":
            return values[0]  # an object in the place of a list: HTTP 400
        if kind == "refuse_last":
            return [*values[:-1], {**values[-1], "payment_amount": TOO_MUCH}]
        return values

    def change_answer(self, kind, operation, values):
        foreign = {"payment_reference_number": "NOBODYSPAYMENT00", "reason_code": "AC04"}
        if operation == "inquire_payments":
            items = values["payments"]
            changed = {
                "unknown_payment": [*items, {**items[0], **foreign}],
                "repeated_payment": [*items, items[0]],
                "missing_payment": items[1:],
            }
            return {**values, "payments": changed.get(kind, items)}
        if kind == "unknown_payment":
            return {**values, "rejected": [foreign]}
        if kind == "repeated_payment":
            one = {**foreign, "payment_reference_number": next(reversed(self.ordered()))}
            return {**values, "rejected": [one, one]}
        return values

    def narrative(self, booking):
        """Six lines of :86:, as this bank writes them."""
        payment = booking.payment
        lines = [payment.remittance_information, payment.program, payment.cycle]
        return [":86:" + lines[0], *lines[1:], payment.creditor_id, "", booking.reason]


@tagged("post_install", "-at_install")
class TestConnectorContract(ConnectorContract, TransactionCase):
    """The kit, and what only this bank has."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        secret = "made-up-token"
        cls.bank = BankProcess(
            *("--account", f"{ACCOUNT}:USD:0"),
            token=secret,
            environment={"EXAMPLE_BANK_API_KEY": secret},
        )
        cls.addClassCleanup(cls.bank.stop)
        cls.bank_driver = ExampleBankDriver.serve(cls, cls.bank, secret)

    def setUp(self):
        super().setUp()
        self.connector = self.env["g2p.bank.connector.example"]

    def test_the_bank_offers_its_connector(self):
        bank = self.env["g2p.sponsor.bank"].create(
            {"name": "Example", "code": "EXB", "connector": "example", "base_url": self.bank.url}
        )
        self.assertEqual(bank._get_connector()._name, "g2p.bank.connector.example")

    def test_refused_payments_are_named_and_the_others_paid(self):
        good, bad = self.contract_payments("60.00", "50.00")
        self.bank_driver.set_available(Decimal("100.00"))
        account = self.bank_driver.account
        block = self.connector.block_funds(account, Decimal("100.00"), self._key())
        answer = self.connector.initiate_payment(account, block.reference, [good, bad], self._key())
        [refused] = answer.rejected
        self.assertEqual((refused.end_to_end_id, refused.reason_code), (bad.end_to_end_id, "AM04"))
        self.assertOrderedOnce([good])
        statuses = self.connector.inquire_payments(account, "", [bad])
        self.assertEqual([status.status for status in statuses], [REJECTED])

    def test_another_request_under_a_used_key_is_not_taken_for_unpaid(self):
        payments, key = self.contract_payments("1.00", "1.00"), self._key()
        self.contract_order(payments, key)
        account = self.bank_driver.account
        with self.assertRaises(BankOutcomeUnknown) as caught:
            self.connector.initiate_payment(account, "other", payments, key)
        self.assertEqual(caught.exception.code, "KEY_REUSED")

    def test_the_same_payments_under_another_key_are_not_taken_for_unpaid(self):
        payments = self.contract_payments("1.00")
        self.contract_order(payments, self._key())
        with self.assertRaises(BankOutcomeUnknown) as caught:
            self.contract_order(payments, self._key())
        self.assertEqual(caught.exception.code, "DUPLICATE")

    def test_without_the_token_nothing_is_done(self):
        account = DebtorAccount(
            bank_code="EXB", base_url=self.bank.url, account_number=ACCOUNT, currency="USD"
        )
        with self.assertRaises(BankRejected) as caught:
            self.connector.block_funds(account, Decimal(1), self._key())
        self.assertEqual(caught.exception.code, "HTTP_401")

    def test_an_unknown_block_cannot_be_released(self):
        with self.assertRaises(BankRejected) as caught:
            self.connector.release_funds(self.bank_driver.account, "none")
        self.assertEqual(caught.exception.code, "BLOCK_NOT_FOUND")

    def test_the_banks_own_statement_is_understood(self):
        paid, returned = self.contract_payments("60.00", "40.00")
        self.contract_order([paid, returned], self._key())
        self.bank.ask("/admin/statements", {"upload": False})  # all that came before
        beneficiary = {"beneficiary": returned.creditor_id, "reason": "ACCOUNT_CLOSED"}
        self.bank.ask("/admin/beneficiaries", beneficiary)
        self.bank.ask("/admin/settle")
        [number] = self.bank.ask("/admin/statements", {"upload": False})["statements"]
        content = self.bank.get(f"/admin/statements/{number}").content
        [statement] = self.connector.parse_statement(content)
        self.assertEqual(statement.difference, 0)
        self.assertEqual(statement.account_number, ACCOUNT)
        ours = {payment.end_to_end_id for payment in (paid, returned)}
        entries = [e for e in statement.entries if e.customer_reference in ours]
        self.assertEqual(
            [
                (
                    entry.mark,
                    self.connector.retrieve_disbursement_id(entry),
                    self.connector.retrieve_beneficiary_name(entry),
                    entry.amount,
                )
                for entry in entries
            ],
            [
                ("D", paid.end_to_end_id, paid.creditor_id, paid.amount),
                ("D", returned.end_to_end_id, returned.creditor_id, returned.amount),
                ("RD", returned.end_to_end_id, returned.creditor_id, returned.amount),
            ],
        )
        reasons = [self.connector.retrieve_reversal_reason(entry) for entry in entries]
        self.assertEqual(reasons, ["", "", "ACCOUNT_CLOSED"])
