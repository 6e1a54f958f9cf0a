"""The contract finds what is wrong with a connector: each of its tests fails for some mistake."""

import dataclasses
import logging
import unittest
from decimal import Decimal
from unittest.mock import patch

import requests

from odoo import api
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    Acknowledgement,
    FundsAvailability,
    FundsBlock,
    PaymentStatus,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
    StatementInvalid,
)
from odoo.addons.g2p_bridge.services import mt940

from .connector_contract import FAULTS, MORE_FAULTS, ConnectorContract
from .probe_case import ProbeCase, ProbeConnector

_logger = logging.getLogger(__name__)

AVAILABLE, SHORT = (
    FundsAvailability(is_available=True),
    FundsAvailability(is_available=False, reason="short"),
)


def calling(name, caught, instead):
    """Return the probe's method, with ``instead`` in the place of an error that it should raise."""
    method = getattr(ProbeConnector, name)

    @api.private
    def careless(self, *arguments):
        try:
            return method(self, *arguments)
        except caught as error:
            if isinstance(instead, type):
                raise instead(str(error), code=error.code) from error
            return instead

    return careless


@api.private
def says(answer):
    """Return a method that asks nobody."""
    return api.private(lambda self, *arguments: answer)


@api.private
def order_and_tell(self, account, block_reference, payments, idempotency_key):
    _logger.info("ordering from %s", account.account_number)
    return ProbeConnector.initiate_payment(
        self, account, block_reference, payments, idempotency_key
    )


@api.private
def order_and_name_nobody(self, *arguments):
    answer = ProbeConnector.initiate_payment(self, *arguments)
    return dataclasses.replace(answer, rejected=())


def ping(self):
    """What a bank addon may have for itself, forgotten to be made private."""


@api.private
def hold_to_test(self, account, amount):
    self.check_funds(account, amount)
    self.block_funds(account, amount, "test")
    return AVAILABLE


@api.private
def guess(self, account, idempotency_key, payments):
    return [PaymentStatus(end_to_end_id=p.end_to_end_id, status=ACCEPTED) for p in payments]


@api.private
def inquire_without_looking(self, account, idempotency_key, payments):
    ids = [payment.end_to_end_id for payment in payments]
    answer = self._send(account, "/payments/inquire", {"ids": ids}, safe=True)
    return [PaymentStatus(end_to_end_id=name, status=status) for name, status in answer["known"]]


@api.private
def without_key(self, account, idempotency_key):
    return {"Content-Type": "application/json"}


@api.private
def authenticate_by_constant(self, request, account):
    request.headers["Authorization"] = "Bearer made-up-secret-token"


@api.private
def send_simply(self, account, path, body, *, idempotency_key=None, safe=False):
    """As one writes it without a thought for banks that drip, or answer without end."""
    unclear = BankUnavailable if safe else BankOutcomeUnknown
    headers = {"Authorization": f"Bearer {account.secret}"} | self._headers(
        account, idempotency_key
    )
    response = requests.post(account.base_url + path, json=body, headers=headers, timeout=9)
    if response.headers.get("Content-Type") == "text/html":
        raise BankRejected("It answered with a page.", code="PAGE")
    if not response.ok:
        raise unclear("It failed.", code=f"HTTP_{response.status_code}")
    return response.json(parse_float=Decimal)


@api.private
def parse_as_ours(self, content):
    return [
        dataclasses.replace(statement, account_number="DEBTOR0000012345", currency="USD")
        for statement in mt940.parse(content)
    ]


@api.private
def parse_what_can_be_parsed(self, content):
    try:
        return mt940.parse(content)
    except StatementInvalid:
        return []


#: mistake -> what is wrong with the connector, and tests of the contract that have to fail
MISTAKES = {
    "what may have been done is taken for not received": (
        {
            "initiate_payment": calling("initiate_payment", BankOutcomeUnknown, BankUnavailable),
            "block_funds": calling("block_funds", BankOutcomeUnknown, BankUnavailable),
        },
        (
            "a_fault_of_an_order_leaves_its_outcome_open",
            "a_fault_of_a_block_leaves_its_outcome_open",
            "an_answer_about_another_order_leaves_the_outcome_open",
        ),
    ),
    "what may have been done is taken for refused": (
        {"initiate_payment": calling("initiate_payment", BankOutcomeUnknown, BankRejected)},
        ("a_fault_of_an_order_leaves_its_outcome_open",),
    ),
    "what never left is left open": (
        {"initiate_payment": calling("initiate_payment", BankUnavailable, BankOutcomeUnknown)},
        ("what_never_left_is_unavailable",),
    ),
    "silence is taken for funds": (
        {"check_funds": calling("check_funds", BankUnavailable, AVAILABLE)},
        ("a_fault_of_a_question_is_unavailable",),
    ),
    "silence is taken for a release": (
        {"release_funds": calling("release_funds", BankUnavailable, False)},
        ("a_fault_of_a_release_is_no_success",),
    ),
    "the flag says keys, and none is sent": (
        {"_headers": without_key},
        (
            "a_repeat_under_the_same_key_pays_once",
            "a_fault_of_an_order_leaves_its_outcome_open",
            "a_fault_of_a_block_leaves_its_outcome_open",
        ),
    ),
    "the flag says inquiry, and it is a guess": (
        {"inquire_payments": guess},
        (
            "an_inquiry_tells_what_the_bank_has",
            "a_fault_of_an_order_leaves_its_outcome_open",
            "a_fault_of_a_question_is_unavailable",
        ),
    ),
    "the flag says release, and nothing is released": (
        {"release_funds": says(None)},
        ("released_funds_are_available_again", "a_fault_of_a_release_is_no_success"),
    ),
    "there are always funds": (
        {"check_funds": says(AVAILABLE)},
        ("funds_that_are_missing_are_not_available", "a_block_takes_what_it_holds"),
    ),
    "there are never funds": (
        {"check_funds": says(SHORT)},
        ("funds_that_are_there_are_available",),
    ),
    "a block is made up": (
        {"block_funds": says(FundsBlock(reference="made up"))},
        ("a_block_takes_what_it_holds", "a_block_without_funds_is_rejected"),
    ),
    "amounts are rounded": (
        {"_amount": lambda self, amount: f"{amount:.1f}"},
        ("payments_arrive_once_and_to_the_cent",),
    ),
    "amounts are floats": (
        {"_amount": lambda self, amount: float(amount)},
        ("an_amount_that_no_json_number_holds_is_never_rounded",),
    ),
    "the test call holds funds": (
        {"test_connection": hold_to_test},
        ("a_test_call_holds_and_orders_nothing",),
    ),
    "the test call is always well": (
        {"test_connection": says(AVAILABLE)},
        ("a_test_call_tells_a_wrong_account", "a_fault_of_a_question_is_unavailable"),
    ),
    "the secret is not the account's": (
        {"_authenticate": authenticate_by_constant},
        ("with_a_wrong_secret_nothing_is_done",),
    ),
    "a helper can be called over RPC": (
        {"ping": ping},
        ("no_call_can_be_made_over_rpc",),
    ),
    "a refusal is taken for success": (
        {"initiate_payment": calling("initiate_payment", BankRejected, Acknowledgement())},
        ("an_order_that_is_refused_pays_nobody",),
    ),
    "refused payments are not named": (
        {"initiate_payment": order_and_name_nobody},
        ("payments_that_are_refused_are_named_and_the_others_paid",),
    ),
    "the receipt is not read": (
        {"_check_receipt": lambda self, *arguments: None},
        ("an_answer_about_another_order_leaves_the_outcome_open",),
    ),
    "the answer to an inquiry is not compared with the question": (
        {"inquire_payments": inquire_without_looking},
        ("an_answer_about_other_payments_says_nothing_of_ours",),
    ),
    "HTTP without rules": (
        {"_send": send_simply},
        (
            "a_right_answer_of_a_wrong_type_is_taken_or_left_open",
            "a_fault_of_an_order_leaves_its_outcome_open",
        ),
    ),
    "an account is logged": (
        {"initiate_payment": order_and_tell},
        ("nothing_private_is_written_anywhere",),
    ),
    "every statement is ours": (
        {"parse_statement": parse_as_ours},
        ("a_statement_of_another_account_or_currency_says_so",),
    ),
    "a bad statement is an empty one": (
        {"parse_statement": parse_what_can_be_parsed},
        ("what_is_no_statement_is_invalid",),
    ),
    "the reason of a return is lost": (
        {"retrieve_reversal_reason": says("")},
        ("the_banks_statement_is_understood",),
    ),
}
PREFIX = "test_contract_"
#: what these cost is not needed to find what the others find
WAITING = dict.fromkeys(("timeout", "stalled", "slow"), "It takes its time.")


@tagged("post_install", "-at_install")
class TestContractIsSharp(ProbeCase):
    """A connector with one mistake fails the contract, there where it says what is wrong."""

    def run_contract(self, name):
        """Run one test of the contract on the probe's connector as it is now."""
        names = ("env", "connector", "bank_driver")
        world = {name: getattr(self, name) for name in names}
        contract = type("Contract", (ConnectorContract, unittest.TestCase), world)
        result = unittest.TestResult()
        contract(f"{PREFIX}{name}").run(result)
        return result

    def test_without_a_mistake_nothing_is_found(self):
        """So that what fails below does so for its mistake, and not for how it is run here."""
        for name in sorted({name for _overrides, names in MISTAKES.values() for name in names}):
            with self.subTest(name), patch.object(self.bank, "unsupported", WAITING):
                result = self.run_contract(name)
                self.assertEqual((result.errors, result.failures, result.skipped), ([], [], []))

    def test_each_mistake_is_found(self):
        for mistake, (overrides, names) in MISTAKES.items():
            for name in names:
                with (
                    self.subTest(mistake, test=name),
                    patch.multiple(type(self.connector), create=True, **overrides),
                    patch.object(self.bank, "unsupported", WAITING),
                ):
                    result = self.run_contract(name)
                    self.assertEqual(result.skipped, [])
                    self.assertFalse(result.wasSuccessful())

    def test_http_without_a_total_time_out_and_a_limit_is_found(self):
        others = dict.fromkeys((*FAULTS, *MORE_FAULTS), "Not this time.")
        del others["slow"], others["huge"]
        with (
            patch.object(type(self.connector), "_send", send_simply),
            patch.object(self.bank, "unsupported", others),
        ):
            result = self.run_contract("a_fault_of_an_order_leaves_its_outcome_open")
        found = {test.params["kind"] for test, _text in result.failures + result.errors}
        self.assertEqual(found, {"slow", "huge"})

    def test_each_test_of_the_contract_finds_a_mistake(self):
        written = {name for name in dir(ConnectorContract) if name.startswith(PREFIX)}
        sharp = {f"{PREFIX}{name}" for _overrides, names in MISTAKES.values() for name in names}
        self.assertEqual(written - sharp, {f"{PREFIX}what_is_not_tried_is_listed"})

    def test_each_fault_but_one_is_found_to_be_open(self):
        """Of a bank that is busy, and of that alone, it is known that it did nothing."""
        [(overrides, _names), *_others] = MISTAKES.values()
        with patch.multiple(type(self.connector), **overrides):
            result = self.run_contract("a_fault_of_an_order_leaves_its_outcome_open")
        self.assertEqual(
            len(result.failures) + len(result.errors), len(FAULTS) + len(MORE_FAULTS) - 1
        )

    def test_what_is_not_tried_is_listed_with_its_reason(self):
        for unsupported, listed in (
            ({}, []),
            ({"slow": "Files do not drip."}, ["slow: Files do not drip."]),
        ):
            with patch.object(self.bank, "unsupported", unsupported):
                result = self.run_contract("what_is_not_tried_is_listed")
                reasons = [reason for _test, reason in result.skipped]
                self.assertEqual((result.wasSuccessful(), reasons), (True, listed))
        for unsupported in ({"sloww": "A typing error."}, {"slow": " "}):
            with patch.object(self.bank, "unsupported", unsupported):
                result = self.run_contract("what_is_not_tried_is_listed")
                self.assertEqual((len(result.failures), result.skipped), (1, []))
