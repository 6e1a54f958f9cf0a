"""What every bank connector must survive: the tests that a bank addon runs on its own.

A bank addon writes::

    class TestContract(ConnectorContract, TransactionCase):
        def setUp(self):
            super().setUp()
            self.connector = self.env["g2p.bank.connector.mybank"]
            self.bank_driver = MyBankDriver(...)

``self.bank_driver`` is the other side: a test double of the bank that really speaks its protocol
over HTTP, with these attributes and methods:

``account``
    DebtorAccount that the bank knows, in a currency of two decimals, with the address of the test
    double and a time-out of about a second for an answer.
``set_available(amount)``
    From now on the account has this much (Decimal) that no block holds. No fault is on.
``fault(operation, kind)``
    The next call of the connector's method ``operation`` meets a fault of :data:`FAULTS`. For
    ``test_connection`` that is whatever the bank is asked by it.
``ordered()``
    dict of end-to-end id -> list of Decimal: the amount of each order to pay that the bank took.
    A repeat that it knew as a repeat is no order.
"""

import dataclasses
import logging
import socket
import traceback
from decimal import Decimal

from odoo.addons.g2p_bridge.connectors import http
from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    BANK_ACCOUNT,
    NOT_FOUND,
    FinancialAddress,
    Payment,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankError,
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.g2p_bridge.services.disbursement_id import new_ids

#: kind of fault -> what the test double does
FAULTS = {
    "timeout": "does what it is asked, and answers after the time-out",
    "dropped": "does it, and closes the connection without an answer",
    "error": "does it, and answers with HTTP 500",
    "garbage": "does it, and answers with HTTP 200 and what is no JSON",
    "half_body": "does it, and closes the connection in the middle of the answer",
    "error_before": "answers with HTTP 500, and does nothing",
    "busy": "answers with HTTP 429, and does nothing",
}
#: of these it is known that nothing was done
NOTHING_DONE = ("busy",)

#: amounts that a float, or a sum of floats, would spoil
AMOUNTS = ("0.01", "0.07", "0.10", "19.99", "1234567.89", "4503599627.37")


class ConnectorContract:
    """Mix into a test case; see the module's text for what it needs."""

    #: Odoo's own test runner passes over the tests of a mixin otherwise
    allow_inherited_tests_method = True

    # -- the world ------------------------------------------------------------------------------

    def contract_payments(self, *amounts):
        """Return payments of these amounts, each with an id of its own."""
        account = self.bank_driver.account
        return [
            Payment(
                end_to_end_id=end_to_end_id,
                amount=Decimal(amount),
                currency=account.currency,
                creditor_id=f"BEN{index}",
                creditor_name="Contract Creditor",
                creditor_account=FinancialAddress(
                    fa_type=BANK_ACCOUNT,
                    account_number="CREDITOR00098765",
                    bank_code="CONTRACTBANK",
                    branch_code="BR1",
                    mobile_number="0700098765",
                    email_address="creditor@contract.example",
                ),
                remittance_information="Contract grant",
                program="CONTRACT",
                cycle="C1",
            )
            for index, (end_to_end_id, amount) in enumerate(
                zip(new_ids(len(amounts)), amounts, strict=True)
            )
        ]

    def contract_order(self, payments, key, account=None):
        """Block what the payments need, order them under the key, and return the answer."""
        total = sum(payment.amount for payment in payments)
        self.bank_driver.set_available(total)
        block = self.connector.block_funds(self.bank_driver.account, total, f"{key}-block")
        return self.connector.initiate_payment(
            account or self.bank_driver.account, block.reference, payments, key
        )

    def assertOrderedOnce(self, payments):
        """Assert that the bank was told to pay each of these once, and its exact amount."""
        ordered = self.bank_driver.ordered()
        self.assertEqual(
            {payment.end_to_end_id: ordered.get(payment.end_to_end_id) for payment in payments},
            {payment.end_to_end_id: [payment.amount] for payment in payments},
        )

    def assertNotOrdered(self, payments):
        """Assert that the bank knows none of these."""
        self.assertFalse({p.end_to_end_id for p in payments} & set(self.bank_driver.ordered()))

    def _key(self):
        return f"contract-{new_ids(1)[0]}"

    def _unreachable_account(self):
        """Return the account at an address where nobody listens."""
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))  # and does not listen; nobody else gets the port meanwhile
        port = silent.getsockname()[1]
        return dataclasses.replace(self.bank_driver.account, base_url=f"http://127.0.0.1:{port}")

    # -- all goes well --------------------------------------------------------------------------

    def test_contract_funds_that_are_there_are_available(self):
        self.bank_driver.set_available(Decimal("100.00"))
        answer = self.connector.check_funds(self.bank_driver.account, Decimal("100.00"))
        self.assertIs(answer.is_available, True)

    def test_contract_funds_that_are_missing_are_not_available(self):
        self.bank_driver.set_available(Decimal("99.99"))
        answer = self.connector.check_funds(self.bank_driver.account, Decimal("100.00"))
        self.assertIs(answer.is_available, False)
        self.assertTrue(answer.reason)

    def test_contract_a_block_takes_what_it_holds(self):
        self.bank_driver.set_available(Decimal("100.00"))
        account = self.bank_driver.account
        block = self.connector.block_funds(account, Decimal("60.00"), self._key())
        self.assertTrue(block.reference)
        self.assertIs(self.connector.check_funds(account, Decimal("40.00")).is_available, True)
        self.assertIs(self.connector.check_funds(account, Decimal("40.01")).is_available, False)

    def test_contract_a_block_without_funds_is_rejected(self):
        self.bank_driver.set_available(Decimal("99.99"))
        with self.assertRaises(BankRejected):
            self.connector.block_funds(self.bank_driver.account, Decimal("100.00"), self._key())

    def test_contract_released_funds_are_available_again(self):
        account = self.bank_driver.account
        if not self.connector.supports_release:
            with self.assertRaises(NotImplementedError):
                self.connector.release_funds(account, "any")
            return
        self.bank_driver.set_available(Decimal("100.00"))
        block = self.connector.block_funds(account, Decimal("100.00"), self._key())
        self.connector.release_funds(account, block.reference)
        self.connector.release_funds(account, block.reference)  # a repeat is harmless
        self.assertIs(self.connector.check_funds(account, Decimal("100.00")).is_available, True)
        self.assertIs(self.connector.check_funds(account, Decimal("100.01")).is_available, False)

    def test_contract_payments_arrive_once_and_to_the_cent(self):
        payments = self.contract_payments(*AMOUNTS)
        answer = self.contract_order(payments, self._key())
        self.assertEqual(answer.rejected, ())
        self.assertOrderedOnce(payments)

    def test_contract_an_amount_that_no_json_number_holds_is_never_rounded(self):
        payments = self.contract_payments("90071992547409.93")
        account, key = self.bank_driver.account, self._key()
        self.bank_driver.set_available(Decimal("90071992547410.00"))
        try:
            block = self.connector.block_funds(account, payments[0].amount, f"{key}-block")
            self.connector.initiate_payment(account, block.reference, payments, key)
        except (BankRejected, ValueError):
            self.assertNotOrdered(payments)
        else:
            self.assertOrderedOnce(payments)

    # -- the test call --------------------------------------------------------------------------

    def test_contract_a_test_call_holds_and_orders_nothing(self):
        """With the smallest amount there, and not there: the answer is a value, not an error."""
        account = self.bank_driver.account
        before = self.bank_driver.ordered()
        for available in ("100.00", "0.00"):
            self.bank_driver.set_available(Decimal(available))
            with self.subTest(available=available):
                answer = self.connector.test_connection(account, Decimal("0.01"))
                self.assertIs(answer.is_available, available == "100.00")
        self.bank_driver.set_available(Decimal("100.00"))
        self.connector.test_connection(account, Decimal("0.01"))
        self.assertIs(self.connector.check_funds(account, Decimal("100.00")).is_available, True)
        self.assertEqual(self.bank_driver.ordered(), before)

    def test_contract_a_test_call_tells_a_wrong_account(self):
        """Of another account than the bank's the bank says no, rather than all is well."""
        account = dataclasses.replace(self.bank_driver.account, account_number="NOBODYS0000")
        with self.assertRaises(BankRejected):
            self.connector.test_connection(account, Decimal("0.01"))

    # -- faults ---------------------------------------------------------------------------------

    def test_contract_what_never_left_is_unavailable(self):
        account = self._unreachable_account()
        payments = self.contract_payments("1.00")
        for operation, arguments in self._calls(account, "no-block", payments).items():
            with self.subTest(operation=operation), self.assertRaises(BankUnavailable):
                getattr(self.connector, operation)(*arguments)
        self.assertNotOrdered(payments)

    def test_contract_a_fault_of_a_question_is_unavailable(self):
        self.bank_driver.set_available(Decimal("100.00"))
        calls = self._calls(self.bank_driver.account, "no-block", self.contract_payments("1.00"))
        for operation in {"check_funds", "inquire_payments", "test_connection"} & set(calls):
            for kind in FAULTS:
                self.bank_driver.fault(operation, kind)
                with (
                    self.subTest(operation=operation, kind=kind),
                    self.assertRaises(BankUnavailable),
                ):
                    getattr(self.connector, operation)(*calls[operation])

    def test_contract_a_fault_of_a_release_is_no_success(self):
        if not self.connector.supports_release:
            return
        account = self.bank_driver.account
        for kind in FAULTS:
            self.bank_driver.set_available(Decimal("1.00"))
            block = self.connector.block_funds(account, Decimal("1.00"), self._key())
            self.bank_driver.fault("release_funds", kind)
            with self.subTest(kind=kind):
                with self.assertRaises(BankError) as caught:
                    self.connector.release_funds(account, block.reference)
                self.assertNotIsInstance(caught.exception, BankRejected)
            self.connector.release_funds(account, block.reference)
            self.assertIs(self.connector.check_funds(account, Decimal("1.00")).is_available, True)

    def test_contract_a_fault_of_a_block_leaves_its_outcome_open(self):
        for kind in FAULTS:
            with self.subTest(kind=kind):
                self._check_block_fault(kind)

    def _check_block_fault(self, kind):
        account, key = self.bank_driver.account, self._key()
        self.bank_driver.set_available(Decimal("100.00"))
        self.bank_driver.fault("block_funds", kind)
        with self.assertRaises(_error_of(kind)):
            self.connector.block_funds(account, Decimal("60.00"), key)
        if not (self.connector.honours_idempotency_key or kind in NOTHING_DONE):
            return
        block = self.connector.block_funds(account, Decimal("60.00"), key)
        self.assertTrue(block.reference)
        self.assertIs(self.connector.check_funds(account, Decimal("40.00")).is_available, True)

    def test_contract_a_fault_of_an_order_leaves_its_outcome_open(self):
        for kind in FAULTS:
            with self.subTest(kind=kind):
                self._check_order_fault(kind)

    def _check_order_fault(self, kind):
        account, key = self.bank_driver.account, self._key()
        payments = self.contract_payments("10.10", "0.20")
        self.bank_driver.set_available(Decimal("10.30"))
        block = self.connector.block_funds(account, Decimal("10.30"), f"{key}-block")
        self.bank_driver.fault("initiate_payment", kind)
        arguments = (account, block.reference, payments, key)
        with self.assertRaises(_error_of(kind)):
            self.connector.initiate_payment(*arguments)
        is_done = "before" not in kind and kind not in NOTHING_DONE
        if self.connector.supports_inquiry:
            statuses = self.connector.inquire_payments(account, key, payments)
            self._check_statuses(statuses, payments, ACCEPTED if is_done else NOT_FOUND)
        if self.connector.honours_idempotency_key or not is_done:
            self.connector.initiate_payment(*arguments)
        self.assertOrderedOnce(payments)

    # -- repeats and inquiries ------------------------------------------------------------------

    def test_contract_a_repeat_under_the_same_key_pays_once(self):
        if not self.connector.honours_idempotency_key:
            return
        account, key = self.bank_driver.account, self._key()
        payments = self.contract_payments("5.05", "6.06")
        first = self.contract_order(payments, key)
        block = self.connector.block_funds(account, Decimal("11.11"), f"{key}-block")
        again = self.connector.initiate_payment(account, block.reference, payments, key)
        self.assertEqual(again, first)
        self.assertOrderedOnce(payments)

    def test_contract_an_inquiry_tells_what_the_bank_has(self):
        account, key = self.bank_driver.account, self._key()
        payments = self.contract_payments("1.01", "2.02")
        if not self.connector.supports_inquiry:
            with self.assertRaises(NotImplementedError):
                self.connector.inquire_payments(account, key, payments)
            return
        statuses = self.connector.inquire_payments(account, key, payments)
        self._check_statuses(statuses, payments, NOT_FOUND)
        self.contract_order(payments, key)
        statuses = self.connector.inquire_payments(account, key, payments)
        self._check_statuses(statuses, payments, ACCEPTED)

    def _check_statuses(self, statuses, payments, expected):
        self.assertEqual(
            sorted((status.end_to_end_id, status.status) for status in statuses),
            sorted((payment.end_to_end_id, expected) for payment in payments),
        )

    # -- secrecy --------------------------------------------------------------------------------

    def test_contract_nothing_private_is_written_anywhere(self):
        payments = self.contract_payments("3.33")
        with self.assertLogs(level=logging.DEBUG) as logs, http.record() as exchanges:
            logging.getLogger(__name__).debug("so that there is a log without HTTP too")
            texts = [self._order_and_fail(payments)]
        texts += [
            *logs.output,
            *map(repr, exchanges),
            repr(payments),
            repr(self.bank_driver.account),
        ]
        written = "\n".join(texts)
        for private in self._private_texts(payments[0]):
            self.assertNotIn(private, written)

    def _order_and_fail(self, payments):
        """Order once well and once with a fault; return the traceback of the fault."""
        account, key = self.bank_driver.account, self._key()
        self.contract_order(payments, key)
        self.bank_driver.set_available(Decimal("4.44"))
        block = self.connector.block_funds(account, Decimal("4.44"), f"{key}-block-2")
        others = self.contract_payments("4.44")
        self.bank_driver.fault("initiate_payment", "error")
        try:
            self.connector.initiate_payment(account, block.reference, others, f"{key}-2")
        except BankError as error:
            return "".join(traceback.format_exception(error))
        return self.fail("the fault did not happen")

    def _private_texts(self, payment):
        account, address = self.bank_driver.account, payment.creditor_account
        texts = (
            account.account_number,
            account.secret,
            address.account_number,
            address.mobile_number,
            address.email_address,
            payment.creditor_name,
        )
        return [text for text in texts if text]

    def _calls(self, account, block_reference, payments):
        """Return what the connector supports, as operation -> arguments."""
        amount, key = payments[0].amount, self._key()
        calls = {
            "check_funds": (account, amount),
            "test_connection": (account, amount),
            "block_funds": (account, amount, key),
            "initiate_payment": (account, block_reference, payments, key),
        }
        if self.connector.supports_release:
            calls["release_funds"] = (account, block_reference)
        if self.connector.supports_inquiry:
            calls["inquire_payments"] = (account, key, payments)
        return calls


def _error_of(kind):
    """Return what a call that moves money ends in."""
    return BankUnavailable if kind in NOTHING_DONE else BankOutcomeUnknown
