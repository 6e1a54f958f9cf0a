"""Their JSON <-> our values, and what an answer of the wrong shape is taken for."""

import copy
import unittest
from datetime import date
from decimal import Decimal

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    BANK_ACCOUNT,
    EMAIL_WALLET,
    MOBILE_WALLET,
    NOT_FOUND,
    REJECTED,
    DebtorAccount,
    FinancialAddress,
    Payment,
    PaymentStatus,
    StatementEntry,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)

from ..connectors import wire

ACCOUNT = DebtorAccount(
    bank_code="EXB", base_url="http://bank.test", account_number="7000000001", currency="USD"
)


def a_payment(number=1, **values):
    return Payment(
        **{
            "end_to_end_id": f"TEST{number:012d}",
            "amount": Decimal("100.00"),
            "currency": "USD",
            "creditor_id": f"ID{number}",
            "creditor_name": f"Person {number}",
            **values,
        }
    )


class TestToWire(unittest.TestCase):
    """What leaves for the bank."""

    def test_the_bodies_of_the_small_calls(self):
        self.assertEqual(
            wire.funds_check_to_wire(ACCOUNT, Decimal("300.50")),
            {
                "account_number": "7000000001",
                "account_currency": "USD",
                "total_funds_needed": 300.5,
            },
        )
        self.assertEqual(
            wire.block_to_wire(ACCOUNT, Decimal(300)),
            {"account_number": "7000000001", "currency": "USD", "amount": 300.0},
        )
        self.assertEqual(
            wire.release_to_wire(ACCOUNT, "block-1"),
            {"account_number": "7000000001", "block_reference_no": "block-1"},
        )
        self.assertEqual(
            wire.inquiry_to_wire(ACCOUNT, [a_payment(1), a_payment(2)]),
            {
                "account_number": "7000000001",
                "payment_reference_numbers": ["TEST000000000001", "TEST000000000002"],
            },
        )

    def test_a_payment_to_a_bank_account(self):
        payment = a_payment(
            creditor_account=FinancialAddress(
                fa_type=BANK_ACCOUNT,
                account_number="MADEUP1",
                bank_code="SOME_BANK",
                branch_code="B1",
                mobile_number="0000",
                email_address="one@example.org",
                wallet_provider="unused",
            ),
            remittance_information="Support for schooling",
            program="SCHOOL",
            cycle="2030-01",
            requested_date=date(2030, 1, 31),
        )
        self.assertEqual(
            wire.payment_to_wire(payment, ACCOUNT, "block-1"),
            {
                "payment_reference_number": "TEST000000000001",
                "remitting_account": "7000000001",
                "remitting_account_currency": "USD",
                "payment_amount": 100.0,
                "funds_blocked_reference_number": "block-1",
                "beneficiary_name": "Person 1",
                "beneficiary_account": "MADEUP1",
                "beneficiary_account_currency": "USD",
                "beneficiary_account_type": "BANK_ACCOUNT",
                "beneficiary_bank_code": "SOME_BANK",
                "beneficiary_branch_code": "B1",
                "beneficiary_mobile_wallet_provider": None,
                "beneficiary_phone_no": "0000",
                "beneficiary_email": "one@example.org",
                "beneficiary_email_wallet_provider": None,
                "narrative_1": "Support for schooling",
                "narrative_2": "SCHOOL",
                "narrative_3": "2030-01",
                "narrative_4": "ID1",
                "narrative_5": "",
                "narrative_6": "",
                "payment_date": "2030-01-31",
            },
        )

    def test_required_strings_are_never_null(self):
        body = wire.payment_to_wire(a_payment(), ACCOUNT, "block-1")
        nulls = {name for name, value in body.items() if value is None}
        providers = {"beneficiary_mobile_wallet_provider", "beneficiary_email_wallet_provider"}
        self.assertEqual(nulls, providers)
        self.assertEqual((body["beneficiary_account"], body["payment_date"]), ("", ""))

    def test_a_wallet_names_its_provider_in_the_field_of_its_kind(self):
        for fa_type, name in (
            (MOBILE_WALLET, "beneficiary_mobile_wallet_provider"),
            (EMAIL_WALLET, "beneficiary_email_wallet_provider"),
        ):
            address = FinancialAddress(fa_type=fa_type, wallet_provider="Purse")
            body = wire.payment_to_wire(a_payment(creditor_account=address), ACCOUNT, "b")
            self.assertEqual(body[name], "Purse")
            self.assertEqual(list(body.values()).count("Purse"), 1)

    def test_an_amount_leaves_exactly_or_not_at_all(self):
        for text in ("0.01", "10.10", "1000000", "999999999999.99"):
            self.assertEqual(Decimal(repr(wire.amount_to_wire(Decimal(text)))), Decimal(text))
        for text in ("12345678901234567.89", "NaN", "Infinity"):
            with self.assertRaises(BankRejected) as caught:
                wire.amount_to_wire(Decimal(text))
            self.assertEqual(caught.exception.code, "AMOUNT_NOT_EXACT")


class TestFromWire(unittest.TestCase):
    """What comes from the bank, in and out of shape."""

    payments = [a_payment(1), a_payment(2)]
    check = {
        "status": "success",
        "account_number": "7000000001",
        "has_sufficient_funds": True,
        "error_message": "",
    }
    block = {"status": "success", "block_reference_no": "block-1", "error_message": ""}
    release = {"status": "success", "released_amount": Decimal("5.5"), "error_message": ""}
    acknowledgement = {
        "status": "success",
        "error_message": "",
        "bank_reference": "EXC1",
        "rejected": [
            {
                "payment_reference_number": "TEST000000000002",
                "reason_code": "AM04",
                "reason": "The block has not enough funds left",
            }
        ],
    }
    inquiry = {
        "status": "success",
        "payments": [
            {
                "payment_reference_number": "TEST000000000002",
                "status": "not_found",
                "bank_reference": "",
                "reason_code": "",
            },
            {
                "payment_reference_number": "TEST000000000001",
                "status": "accepted",
                "bank_reference": "EXB1",
                "reason_code": "",
            },
        ],
    }

    def test_funds(self):
        self.assertTrue(wire.availability_from_wire(self.check, ACCOUNT).is_available)
        short = {
            **self.check,
            "status": "failed",
            "has_sufficient_funds": False,
            "error_message": "Insufficient funds",
        }
        answer = wire.availability_from_wire(short, ACCOUNT)
        self.assertEqual((answer.is_available, answer.reason), (False, "Insufficient funds"))

    def test_refusals_have_our_codes(self):
        failed = {"status": "failed", "account_number": "7000000001"}
        for message, code in (
            ("Insufficient funds", "INSUFFICIENT_FUNDS"),
            ("Account not found", "ACCOUNT_NOT_FOUND"),
            ("Account 7000000001 is closed", "REFUSED"),
            (None, "REFUSED"),
            (["odd"], "REFUSED"),
        ):
            with self.assertRaises(BankRejected) as caught:
                wire.block_from_wire({**failed, "error_message": message})
            self.assertEqual(caught.exception.code, code)
            self.assertNotIn("7000000001", str(caught.exception))
        with self.assertRaises(BankRejected) as caught:
            wire.availability_from_wire(
                {**failed, "has_sufficient_funds": False, "error_message": "Account not found"},
                ACCOUNT,
            )
        self.assertEqual(caught.exception.code, "ACCOUNT_NOT_FOUND")
        with self.assertRaises(BankRejected) as caught:
            wire.check_release({"status": "failed", "error_message": "Block not found"})
        self.assertEqual(caught.exception.code, "BLOCK_NOT_FOUND")
        with self.assertRaises(BankRejected):
            wire.acknowledgement_from_wire({"status": "failed"}, self.payments)

    def test_a_block(self):
        self.assertEqual(wire.block_from_wire(self.block).reference, "block-1")

    def test_a_release(self):
        self.assertIsNone(wire.check_release(self.release))

    def test_an_acknowledgement(self):
        answer = wire.acknowledgement_from_wire(self.acknowledgement, self.payments)
        self.assertEqual(answer.reference, "EXC1")
        refused = PaymentStatus(
            end_to_end_id="TEST000000000002", status=REJECTED, reason_code="AM04"
        )
        self.assertEqual(answer.rejected, (refused,))

    def test_the_plain_receipt_of_openg2p_is_an_acknowledgement(self):
        receipt = {"status": "success", "error_message": ""}
        answer = wire.acknowledgement_from_wire(receipt, self.payments)
        self.assertEqual((answer.reference, answer.rejected), ("", ()))

    def test_a_payment_the_bank_had_before_is_not_taken_for_unpaid(self):
        answer = copy.deepcopy(self.acknowledgement)
        answer["rejected"][0]["reason_code"] = "AM05"
        with self.assertRaises(BankOutcomeUnknown) as caught:
            wire.acknowledgement_from_wire(answer, self.payments)
        self.assertEqual(caught.exception.code, "DUPLICATE")

    def test_an_inquiry_comes_in_the_order_of_the_payments(self):
        answer = wire.statuses_from_wire(self.inquiry, self.payments)
        self.assertEqual([status.status for status in answer], [ACCEPTED, NOT_FOUND])
        self.assertEqual(answer[0].bank_reference, "EXB1")

    def test_answers_of_the_wrong_shape_leave_the_outcome_open(self):
        for changes in (
            {"status": "maybe"},
            {"status": None},
            {"status": ["success"]},
            {"block_reference_no": ""},
            {"block_reference_no": 17},
        ):
            with self.assertRaises(BankOutcomeUnknown):
                wire.block_from_wire({**self.block, **changes})
        for answer in ([], {}, {"status": "success"}):
            with self.assertRaises(BankOutcomeUnknown):
                wire.block_from_wire(answer)

    def test_acknowledgements_of_the_wrong_shape_leave_the_outcome_open(self):
        [item] = self.acknowledgement["rejected"]
        for changes in (
            {"status": "received"},
            {"bank_reference": None},
            {"rejected": {}},
            {"rejected": [[]]},
            {"rejected": [{"payment_reference_number": "TEST000000000001"}]},
            {"rejected": [{**item, "payment_reference_number": "SOMEBODYELSES"}]},
            {"rejected": [item, item]},
        ):
            with self.assertRaises(BankOutcomeUnknown):
                wire.acknowledgement_from_wire({**self.acknowledgement, **changes}, self.payments)
        with self.assertRaises(BankOutcomeUnknown):
            wire.acknowledgement_from_wire([], self.payments)

    def test_useless_answers_to_questions_may_be_asked_for_again(self):
        first, second = self.inquiry["payments"]
        for answer in (
            {**self.inquiry, "payments": [first]},
            {**self.inquiry, "payments": [first, first]},
            {**self.inquiry, "payments": [first, second, second]},
            {**self.inquiry, "payments": [first, {**second, "status": "perhaps"}]},
            {**self.inquiry, "payments": [first, {**second, "payment_reference_number": "X"}]},
            {**self.inquiry, "payments": [first, None]},
            {**self.inquiry, "payments": None},
            {**self.inquiry, "status": "failed"},
            [],
        ):
            with self.assertRaises(BankUnavailable):
                wire.statuses_from_wire(answer, self.payments)
        for changes in (
            {"account_number": "7000000002"},
            {"has_sufficient_funds": False},
            {"has_sufficient_funds": 1},
            {"status": "failed"},
            {"status": "unsure"},
        ):
            with self.assertRaises(BankUnavailable):
                wire.availability_from_wire({**self.check, **changes}, ACCOUNT)
        with self.assertRaises(BankUnavailable):
            wire.check_release({"status": "done"})

    def test_narrative_lines_count_from_one(self):
        entry = StatementEntry(
            sequence=1,
            mark="RD",
            amount=Decimal(1),
            value_date=date(2030, 1, 1),
            narrative=("a", "b", "c", "ID1", "", "ACCOUNT_CLOSED "),
        )
        self.assertEqual(wire.narrative(entry, 4), "ID1")
        self.assertEqual(wire.narrative(entry, 6), "ACCOUNT_CLOSED")
        self.assertEqual(wire.narrative(entry, 7), "")
