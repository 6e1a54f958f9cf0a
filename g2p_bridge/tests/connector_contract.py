"""What every bank connector must survive: the tests that a bank addon runs on its own.

A bank addon writes::

    class TestContract(ConnectorContract, TransactionCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            cls.bank_driver = MyBank.serve(cls)

        def setUp(self):
            super().setUp()
            self.connector = self.env["g2p.bank.connector.mybank"]

``self.bank_driver`` is the other side: a test double of the bank that really speaks its protocol.
``bank_double.py`` has one for banks with HTTP that lacks only the words, and the base class of all
others. What a driver has:

``account``
    DebtorAccount that the bank knows, in a currency of two decimals, with the address of the test
    double and a time-out of about a second for an answer.
``set_available(amount)``
    From now on the account has this much (Decimal) that no block holds. No fault is on.
``fault(operation, kind)``
    The next call of the connector's method ``operation`` meets a fault of :data:`FAULTS` or
    :data:`MORE_FAULTS`, a refusal of :data:`REFUSALS` or a lie of :data:`LIES`. For
    ``test_connection`` that is whatever the bank is asked by it.
``ordered()``
    dict of end-to-end id -> list of Decimal: the amount of each order to pay that the bank took.
    A repeat that it knew as a repeat is no order.
``statement(bookings, account_number=..., currency=...)``
    The bank's file (bytes) with these :class:`~.bank_double.Booking`; it adds up.
``unsupported``
    dict of what the bank's protocol has no place for -> why: a name of the tables here,
    ``operation:name`` for one operation, or one of :data:`ABILITIES`. A bank of files has no HTTP
    status, so its driver says so here. What is not tried is listed in the output of the tests, as
    the reason of a skipped test. A driver without this attribute is asked for :data:`FAULTS` alone.
"""

import dataclasses
import logging
import socket
import traceback
from decimal import Decimal

from odoo.exceptions import AccessError
from odoo.service.model import get_public_method

from odoo.addons.g2p_bridge.connectors import http
from odoo.addons.g2p_bridge.connectors.bank_connector import BankConnector
from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    BANK_ACCOUNT,
    NOT_FOUND,
    REJECTED,
    FinancialAddress,
    Payment,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankError,
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
    StatementInvalid,
)
from odoo.addons.g2p_bridge.services.disbursement_id import new_ids

from .bank_double import Booking

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
MORE_FAULTS = {
    "dropped_before": "closes the connection without an answer, and does nothing",
    "stalled": "does it, and falls silent in the middle of its answer",
    "slow": "does it, and sends its answer byte by byte, for longer than a whole call may take",
    "cut": "does it, and sends the first half of its answer as if it were the whole",
    "empty": "does it, and answers with an object that holds nothing",
    "wrong_shape": "does it, and answers with the right names and other kinds of values",
    "binary": "does it, and answers with bytes that are no text",
    "huge": "does it, and answers rightly, in 17 MiB",
    "echo": "does it, and answers with HTTP 500 and the request, its bearer token included",
}
#: of these it is known that nothing was done
NOTHING_DONE = ("busy",)
#: faults after which an answer may be believed, or not
TOLERABLE = {"wrong_type": "does it, and answers rightly, but calls it a page for people"}
#: what a bank may say to an order
REFUSALS = {
    "refuse_all": "takes none of the payments, and says so",
    "refuse_last": "takes all payments but the last, and names that one",
}
#: answer that is not about what was ordered or asked -> operations that may get it
LIES = {
    "other_count": ("initiate_payment",),
    "other_sum": ("initiate_payment",),
    "unknown_payment": ("initiate_payment", "inquire_payments"),
    "repeated_payment": ("initiate_payment", "inquire_payments"),
    "missing_payment": ("inquire_payments",),
}
#: what a bank need not have, besides
ABILITIES = {
    "check_funds": "the bank is asked whether funds are there",
    "block_funds": "the bank is asked to hold funds",
    "release_funds": "the bank is asked to free what it holds",
    "inquire_payments": "the bank is asked what became of payments",
    "test_connection": "the bank is asked something that shows whether the settings are right",
    "unreachable": "the bank has an address where nobody may listen",
    "wrong_account": "the bank says no to an account that it does not know",
    "secret": "the bank says no to another secret than the account's",
    "statement": "the bank writes statements",
}
#: seconds to connect and to the next byte, of calls that are to end by their total time-out
QUICK_S = (0.3, 0.2)
#: endings of the names of settings (``account.options``) that are secret
SECRET_OPTIONS = ("_key", "_secret", "_password", "_token")
#: what is no statement in any format
NO_STATEMENTS = (b"", b"\x00\xff\xfe\x00", b"<html>It works!</html>", b"[]", b"PK\x03\x04" * 99)

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

    def _unsupported(self):
        """Return what the driver says that its bank has not: name -> why; None of an old driver."""
        return getattr(self.bank_driver, "unsupported", None)

    def _can(self, name, operation=""):
        """Say whether the driver can do it, and for this operation."""
        missing = self._unsupported()
        if missing is None:
            return name in FAULTS or (name in ABILITIES and name not in ("statement", "secret"))
        return not {name, operation, f"{operation}:{name}"} & set(missing)

    def _faults(self, operation):
        """Return the faults (list) that the driver can do to an operation."""
        return [kind for kind in (*FAULTS, *MORE_FAULTS) if self._can(kind, operation)]

    def _need(self, *names):
        """Skip the test, with the driver's reason, where its bank has not what it is about."""
        for name in names:
            if not self._can(name):
                missing = self._unsupported() or {}
                self.skipTest(f"{name}: {missing.get(name, 'the driver does not declare it')}")

    def _account_for(self, kind):
        """Return the account, with time-outs that a slow answer soon has used up."""
        account = self.bank_driver.account
        is_waited_for = kind in ("slow", "stalled")
        return dataclasses.replace(account, timeout_s=QUICK_S) if is_waited_for else account

    def _asked(self, *operations):
        """Return those operations that the connector has and that ask the bank."""
        flags = {"release_funds": "supports_release", "inquire_payments": "supports_inquiry"}
        return [
            name
            for name in operations
            if self._can(name) and (name not in flags or getattr(self.connector, flags[name]))
        ]

    def _unreachable_account(self):
        """Return the account at an address where nobody listens."""
        if own := getattr(self.bank_driver, "unreachable_account", None):
            return own()
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))  # and does not listen; nobody else gets the port meanwhile
        port = silent.getsockname()[1]
        return dataclasses.replace(self.bank_driver.account, base_url=f"http://127.0.0.1:{port}")

    def _deaf_account(self):
        """Return the account at an address where connections wait for ever."""
        if own := getattr(self.bank_driver, "unreachable_account", None):
            return own()
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # more than wait in line; Linux leaves the next one without an answer
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        return dataclasses.replace(
            self.bank_driver.account,
            base_url=f"http://127.0.0.1:{deaf.getsockname()[1]}",
            timeout_s=QUICK_S,
        )

    # -- all goes well --------------------------------------------------------------------------

    def test_contract_funds_that_are_there_are_available(self):
        self.bank_driver.set_available(Decimal("100.00"))
        answer = self.connector.check_funds(self.bank_driver.account, Decimal("100.00"))
        self.assertIs(answer.is_available, True)

    def test_contract_funds_that_are_missing_are_not_available(self):
        self._need("check_funds")
        self.bank_driver.set_available(Decimal("99.99"))
        answer = self.connector.check_funds(self.bank_driver.account, Decimal("100.00"))
        self.assertIs(answer.is_available, False)
        self.assertTrue(answer.reason)

    def test_contract_a_block_takes_what_it_holds(self):
        self._need("check_funds", "block_funds")
        self.bank_driver.set_available(Decimal("100.00"))
        account = self.bank_driver.account
        block = self.connector.block_funds(account, Decimal("60.00"), self._key())
        self.assertTrue(block.reference)
        self.assertIs(self.connector.check_funds(account, Decimal("40.00")).is_available, True)
        self.assertIs(self.connector.check_funds(account, Decimal("40.01")).is_available, False)

    def test_contract_a_block_without_funds_is_rejected(self):
        self._need("block_funds")
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
        if self._can("check_funds"):
            self.assertIs(self.connector.check_funds(account, Decimal("100.00")).is_available, True)
            self.assertIs(
                self.connector.check_funds(account, Decimal("100.01")).is_available, False
            )

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
                if self._can("check_funds"):
                    self.assertIs(answer.is_available, available == "100.00")
        self.bank_driver.set_available(Decimal("100.00"))
        self.connector.test_connection(account, Decimal("0.01"))
        self.assertIs(self.connector.check_funds(account, Decimal("100.00")).is_available, True)
        self.assertEqual(self.bank_driver.ordered(), before)

    def test_contract_a_test_call_tells_a_wrong_account(self):
        """Of another account than the bank's the bank says no, rather than all is well."""
        self._need("test_connection", "wrong_account")
        account = dataclasses.replace(self.bank_driver.account, account_number="NOBODYS0000")
        with self.assertRaises(BankRejected):
            self.connector.test_connection(account, Decimal("0.01"))

    def test_contract_with_a_wrong_secret_nothing_is_done(self):
        self._need("secret")
        account = dataclasses.replace(self.bank_driver.account, secret="another-secret-token")
        payments = self.contract_payments("1.00")
        self.bank_driver.set_available(Decimal("1.00"))
        for operation in self._asked("test_connection", "block_funds", "initiate_payment"):
            arguments = self._calls(account, "no-block", payments)[operation]
            with self.subTest(operation=operation), self.assertRaises(BankRejected):
                getattr(self.connector, operation)(*arguments)
        self.assertNotOrdered(payments)
        self.assertIs(
            self.connector.check_funds(self.bank_driver.account, Decimal("1.00")).is_available, True
        )

    def test_contract_no_call_can_be_made_over_rpc(self):
        """What a bank addon adds is private as well: a leading underscore, or @api.private."""
        odoos = set(dir(type(self.env["base"])))
        added = [name for name in dir(type(self.connector)) if name not in odoos]
        methods = [
            name
            for name in added
            if not name.startswith("_") and callable(getattr(self.connector, name))
        ]
        self.assertIn("initiate_payment", methods)
        for name in methods:
            with self.subTest(name=name), self.assertRaises(AccessError):
                get_public_method(self.connector, name)

    # -- faults ---------------------------------------------------------------------------------

    def test_contract_what_is_not_tried_is_listed(self):
        """Skipped with a list, where there is something that the driver's bank has no place for."""
        missing = self._unsupported()
        if missing is None:
            self.skipTest(f"the driver declares nothing, so only {', '.join(FAULTS)} are tried")
        known = {*FAULTS, *MORE_FAULTS, *TOLERABLE, *REFUSALS, *LIES, *ABILITIES}
        for name, reason in missing.items():
            self.assertIn(name.rpartition(":")[2], known)
            self.assertTrue(reason.strip(), name)
        if missing:
            self.skipTest("; ".join(f"{name}: {missing[name]}" for name in sorted(missing)))

    def test_contract_what_never_left_is_unavailable(self):
        """Nobody listens; or somebody does, and takes no connection until the time is over."""
        self._need("unreachable")
        for account in (self._unreachable_account(), self._deaf_account()):
            self._check_never_left(account)

    def _check_never_left(self, account):
        payments = self.contract_payments("1.00")
        calls = self._calls(account, "no-block", payments)
        for operation in self._asked(*calls):
            with self.subTest(operation=operation), self.assertRaises(BankUnavailable):
                getattr(self.connector, operation)(*calls[operation])
        self.assertNotOrdered(payments)

    def test_contract_a_fault_of_a_question_is_unavailable(self):
        self.bank_driver.set_available(Decimal("100.00"))
        payments = self.contract_payments("1.00")
        questions = ["check_funds", "inquire_payments"]
        if type(self.connector).test_connection is not BankConnector.test_connection:
            questions.append("test_connection")  # by default it is a funds check
        for operation in self._asked(*questions):
            for kind in self._faults(operation):
                arguments = self._calls(self._account_for(kind), "no-block", payments)[operation]
                self.bank_driver.fault(operation, kind)
                with (
                    self.subTest(operation=operation, kind=kind),
                    self.assertRaises(BankUnavailable),
                ):
                    getattr(self.connector, operation)(*arguments)

    def test_contract_a_fault_of_a_release_is_no_success(self):
        for kind in self._faults("release_funds") if self.connector.supports_release else ():
            with self.subTest(kind=kind):
                self._check_release_fault(kind)

    def _check_release_fault(self, kind):
        account = self.bank_driver.account
        self.bank_driver.set_available(Decimal("1.00"))
        block = self.connector.block_funds(account, Decimal("1.00"), self._key())
        self.bank_driver.fault("release_funds", kind)
        with self.assertRaises(BankError) as caught:
            self.connector.release_funds(self._account_for(kind), block.reference)
        self.assertNotIsInstance(caught.exception, BankRejected)
        self.connector.release_funds(account, block.reference)
        if self._can("check_funds"):
            self.assertIs(self.connector.check_funds(account, Decimal("1.00")).is_available, True)

    def test_contract_a_fault_of_a_block_leaves_its_outcome_open(self):
        self._need("block_funds")
        for kind in self._faults("block_funds"):
            with self.subTest(kind=kind):
                self._check_block_fault(kind)

    def _check_block_fault(self, kind):
        account, key = self.bank_driver.account, self._key()
        self.bank_driver.set_available(Decimal("100.00"))
        self.bank_driver.fault("block_funds", kind)
        with self.assertRaises(_error_of(kind)):
            self.connector.block_funds(self._account_for(kind), Decimal("60.00"), key)
        if not (self.connector.honours_idempotency_key or kind in NOTHING_DONE):
            return
        block = self.connector.block_funds(account, Decimal("60.00"), key)
        self.assertTrue(block.reference)
        if self._can("check_funds"):
            self.assertIs(self.connector.check_funds(account, Decimal("40.00")).is_available, True)

    def test_contract_a_fault_of_an_order_leaves_its_outcome_open(self):
        for kind in self._faults("initiate_payment"):
            with self.subTest(kind=kind):
                self._check_order_fault(kind)

    def _check_order_fault(self, kind):
        account, key = self.bank_driver.account, self._key()
        payments = self.contract_payments("10.10", "0.20")
        arguments = (self._block(payments, key), payments, key)
        self.bank_driver.fault("initiate_payment", kind)
        with self.assertRaises(_error_of(kind)):
            self.connector.initiate_payment(self._account_for(kind), *arguments)
        is_done = "before" not in kind and kind not in NOTHING_DONE
        if self.connector.supports_inquiry:
            statuses = self.connector.inquire_payments(account, key, payments)
            self._check_statuses(statuses, payments, ACCEPTED if is_done else NOT_FOUND)
        if self.connector.honours_idempotency_key or not is_done:
            self.connector.initiate_payment(account, *arguments)
        self.assertOrderedOnce(payments)

    def _block(self, payments, key):
        """Have just so much that the payments need, block it, and return the reference."""
        total = sum(payment.amount for payment in payments)
        self.bank_driver.set_available(total)
        account = self.bank_driver.account
        return self.connector.block_funds(account, total, f"{key}-block").reference

    def test_contract_a_right_answer_of_a_wrong_type_is_taken_or_left_open(self):
        self._need("wrong_type")
        payments, key = self.contract_payments("7.07"), self._key()
        arguments = (self.bank_driver.account, self._block(payments, key), payments, key)
        self.bank_driver.fault("initiate_payment", "wrong_type")
        try:
            answer = self.connector.initiate_payment(*arguments)
        except BankOutcomeUnknown:
            answer = None
        self.assertFalse(answer and answer.rejected)
        self.assertOrderedOnce(payments)

    # -- refusals, and answers about something else ------------------------------------------------

    def test_contract_an_order_that_is_refused_pays_nobody(self):
        self._need("refuse_all")
        payments, key = self.contract_payments("8.08", "0.80"), self._key()
        block = self._block(payments, key)
        self.bank_driver.fault("initiate_payment", "refuse_all")
        with self.assertRaises(BankRejected):
            self.connector.initiate_payment(self.bank_driver.account, block, payments, key)
        self.assertNotOrdered(payments)

    def test_contract_payments_that_are_refused_are_named_and_the_others_paid(self):
        self._need("refuse_last")
        payments, key = self.contract_payments("8.08", "0.80", "0.08"), self._key()
        block = self._block(payments, key)
        self.bank_driver.fault("initiate_payment", "refuse_last")
        answer = self.connector.initiate_payment(self.bank_driver.account, block, payments, key)
        [refused] = answer.rejected
        self.assertEqual(
            (refused.end_to_end_id, refused.status), (payments[-1].end_to_end_id, REJECTED)
        )
        self.assertTrue(refused.reason_code)
        self.assertOrderedOnce(payments[:-1])
        self.assertNotOrdered(payments[-1:])

    def test_contract_an_answer_about_another_order_leaves_the_outcome_open(self):
        """Another count or sum than ordered, a payment that was not ordered, or one named twice."""
        for kind in self._lies("initiate_payment"):
            payments, key = self.contract_payments("9.09", "0.90"), self._key()
            block = self._block(payments, key)
            self.bank_driver.fault("initiate_payment", kind)
            with self.subTest(kind=kind):
                with self.assertRaises(BankOutcomeUnknown):
                    self.connector.initiate_payment(self.bank_driver.account, block, payments, key)
                self.assertOrderedOnce(payments)

    def test_contract_an_answer_about_other_payments_says_nothing_of_ours(self):
        """An inquiry whose answer has one too many, one twice or one too few is asked again."""
        payments, key = self.contract_payments("9.09", "0.90"), self._key()
        if self.connector.supports_inquiry:
            self.contract_order(payments, key)
        for kind in self._lies("inquire_payments") if self.connector.supports_inquiry else ():
            self.bank_driver.fault("inquire_payments", kind)
            with self.subTest(kind=kind), self.assertRaises(BankUnavailable):
                self.connector.inquire_payments(self.bank_driver.account, key, payments)

    def _lies(self, operation):
        return [
            kind for kind, told in LIES.items() if operation in told and self._can(kind, operation)
        ]

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

    # -- statements -----------------------------------------------------------------------------

    def _statement(self, account, *bookings):
        """Have the bank write a statement, and return its bytes."""
        return self.bank_driver.statement(
            bookings, account_number=account.account_number, currency=account.currency
        )

    def test_contract_the_banks_statement_is_understood(self):
        self._need("statement")
        paid, returned = self.contract_payments("60.00", "39.99")
        account = self.bank_driver.account
        content = self._statement(
            account,
            Booking(payment=paid),
            Booking(payment=returned),
            Booking(payment=returned, is_return=True, reason="AC04"),
        )
        [statement] = self.connector.parse_statement(content)
        self.assertEqual(
            (statement.account_number, statement.currency, statement.difference),
            (account.account_number, account.currency, Decimal(0)),
        )
        retrieve = self.connector.retrieve_disbursement_id
        self.assertEqual(
            [
                (entry.mark in ("D", "RC"), retrieve(entry), entry.amount)
                for entry in statement.entries
            ],
            [
                (True, paid.end_to_end_id, paid.amount),
                (True, returned.end_to_end_id, returned.amount),
                (False, returned.end_to_end_id, returned.amount),
            ],
        )
        self.assertIn("AC04", self.connector.retrieve_reversal_reason(statement.entries[2]))

    def test_contract_a_statement_of_another_account_or_currency_says_so(self):
        """The bridge refuses it, but only if the connector tells."""
        self._need("statement")
        ours = self.bank_driver.account
        for values in ({"account_number": "SOMEBODYELSES0001"}, {"currency": "EUR"}):
            account = dataclasses.replace(ours, **values)
            booking = Booking(payment=self.contract_payments("1.00")[0])
            [statement] = self.connector.parse_statement(self._statement(account, booking))
            with self.subTest(**values):
                self.assertEqual(
                    (statement.account_number, statement.currency),
                    (account.account_number, account.currency),
                )

    def test_contract_what_is_no_statement_is_invalid(self):
        self._need("statement")
        bookings = [Booking(payment=payment) for payment in self.contract_payments("1.00", "2.00")]
        whole = self._statement(self.bank_driver.account, *bookings)
        for content in (*NO_STATEMENTS, whole[: len(whole) // 2], whole[: len(whole) * 9 // 10]):
            with self.subTest(size=len(content)), self.assertRaises(StatementInvalid):
                self.connector.parse_statement(content)

    # -- secrecy --------------------------------------------------------------------------------

    def test_contract_nothing_private_is_written_anywhere(self):
        payments = self.contract_payments("3.33")
        with (
            self.assertLogs(level=logging.DEBUG) as logs,
            self.assertLogs("odoo", logging.DEBUG) as odoos_logs,  # it has a level of its own
            http.record() as exchanges,
        ):
            for name in ("contract", __name__):
                logging.getLogger(name).debug("so that there is a log without HTTP too")
            self.contract_order(payments, self._key())
            texts = [self._order_and_fail(kind) for kind in ("error", "echo") if self._can(kind)]
        texts += [
            *logs.output,
            *odoos_logs.output,
            *map(repr, exchanges),
            repr(payments),
            repr(self.bank_driver.account),
        ]
        written = "\n".join(texts)
        for private in self._private_texts(payments[0]):
            self.assertNotIn(private, written)

    def _order_and_fail(self, kind):
        """Order with a fault; return its traceback."""
        payments, key = self.contract_payments("4.44"), self._key()
        block = self._block(payments, key)
        self.bank_driver.fault("initiate_payment", kind)
        try:
            self.connector.initiate_payment(self.bank_driver.account, block, payments, key)
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
            *(value for name, value in account.options.items() if name.endswith(SECRET_OPTIONS)),
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
