"""OpenG2P's example bank, unchanged, behind our connector: captured calls of its bridge 1.1.0.

``samples/openg2p_bank.json`` holds requests and answers as they were recorded, with made-up people
and accounts: what we send for the same payments has to be what that bridge sent, and what we make
of each answer is what it means.
"""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

from odoo.tests import TransactionCase, tagged

from odoo.addons.g2p_bridge.connectors.dto import (
    Acknowledgement,
    DebtorAccount,
    FinancialAddress,
    FundsAvailability,
    FundsBlock,
    Payment,
)
from odoo.addons.g2p_bridge.connectors.errors import BankRejected, BankUnavailable
from odoo.addons.g2p_bridge.tests.http_server import ScriptedServer, reply

SAMPLES = json.loads((Path(__file__).parent / "samples" / "openg2p_bank.json").read_text())
SENT_BY_THE_BRIDGE = "success, sent by the bridge"


#: (call, captured case) -> result, or the code of the refusal
MEANINGS = {
    ("check_funds", SENT_BY_THE_BRIDGE): FundsAvailability(is_available=True),
    ("check_funds", "insufficient funds"): FundsAvailability(
        is_available=False, reason="Insufficient funds"
    ),
    ("check_funds", "unknown account"): "ACCOUNT_NOT_FOUND",
    ("check_funds", "field missing"): "HTTP_400",
    ("block_funds", SENT_BY_THE_BRIDGE): FundsBlock(
        reference="93b0943d-6f91-4529-b631-88d81759f1f5"
    ),
    ("block_funds", "insufficient funds"): "INSUFFICIENT_FUNDS",
    ("block_funds", "unknown account"): "ACCOUNT_NOT_FOUND",
    ("block_funds", "wrong currency"): "ACCOUNT_NOT_FOUND",
    # it answers before it looks: repeats and unknown blocks fail later, inside the bank
    ("initiate_payment", SENT_BY_THE_BRIDGE): Acknowledgement(),
    ("initiate_payment", "the same payment again"): Acknowledgement(),
    ("initiate_payment", "unknown block reference"): Acknowledgement(),
    ("initiate_payment", "field missing"): "HTTP_400",
}


def sample(call, case):
    """Return one captured call."""
    return next(each for each in SAMPLES[call] if each["case"] == case)


def bytes_of(captured):
    """Return the body as it was on the wire: its length was captured too."""
    body = json.dumps(captured["body"], separators=(",", ":")).encode()
    assert len(body) == int(captured["headers"]["content-length"])
    return body


def payment_of(item):
    """Return the payment that a captured item of an order tells of."""
    return Payment(
        end_to_end_id=item["payment_reference_number"],
        amount=Decimal(f"{item['payment_amount']:.2f}"),
        currency=item["beneficiary_account_currency"],
        creditor_id=item["narrative_4"],
        creditor_name=item["beneficiary_name"],
        creditor_account=FinancialAddress(
            fa_type=item["beneficiary_account_type"],
            account_number=item.get("beneficiary_account", ""),  # missing in one captured case
            bank_code=item["beneficiary_bank_code"],
            branch_code=item["beneficiary_branch_code"],
            mobile_number=item["beneficiary_phone_no"],
            email_address=item["beneficiary_email"],
        ),
        remittance_information=item["narrative_1"],
        program=item["narrative_2"],
        cycle=item["narrative_3"],
        requested_date=date.fromisoformat(item["payment_date"]),
    )


@tagged("post_install", "-at_install")
class TestOpenG2PBank(TransactionCase):
    """Both connectors of this addon; the plain one is for that bank as it is."""

    def setUp(self):
        super().setUp()
        self.server = ScriptedServer(self._respond)
        self.enterContext(self.server)
        self.connector = self.env["g2p.bank.connector.example_plain"]

    def _respond(self, handler, _body):
        reply(handler, json.dumps(self.captured["answer"]).encode(), self.captured["status"])

    def call(self, call, case, *, account_number=None):
        """Make the call that was captured, get the answer that was captured, return the result."""
        self.captured = sample(call, case)
        body = self.captured["body"]
        [first, *_others] = body if isinstance(body, list) else [body]
        number = account_number or first.get("remitting_account") or first["account_number"]
        account = DebtorAccount(
            bank_code="EXB", base_url=self.server.url, account_number=number, currency="USD"
        )
        amount = Decimal(first.get("total_funds_needed", first.get("amount", 1)))
        if call == "check_funds":
            return self.connector.check_funds(account, amount)
        if call == "block_funds":
            return self.connector.block_funds(account, amount, "key")
        block = first["funds_blocked_reference_number"]
        return self.connector.initiate_payment(account, block, list(map(payment_of, body)), "key")

    def sent(self):
        """Return path, headers and body of the last request."""
        return self.server.requests[-1]

    # -- what we send -----------------------------------------------------------------------------

    def test_an_order_is_sent_byte_for_byte(self):
        for connector in ("example", "example_plain"):
            self.connector = self.env[f"g2p.bank.connector.{connector}"]
            self.call("initiate_payment", SENT_BY_THE_BRIDGE)
            path, headers, body = self.sent()
            with self.subTest(connector=connector):
                self.assertEqual(path, self.captured["path"])
                self.assertEqual(headers["Content-Type"], "application/json")
                self.assertEqual(body, bytes_of(self.captured))

    def test_funds_are_asked_for_in_the_same_names_and_order(self):
        """But for ``300``, which is ``300.0``: that bridge keeps totals as whole numbers."""
        for call in ("check_funds", "block_funds"):
            self.call(call, SENT_BY_THE_BRIDGE)
            path, _headers, body = self.sent()
            with self.subTest(call=call):
                self.assertEqual(path, self.captured["path"])
                self.assertEqual(body, bytes_of(self.captured).replace(b":300}", b":300.0}"))

    def test_the_plain_connector_sends_no_key_that_the_bank_does_not_know(self):
        self.call("initiate_payment", SENT_BY_THE_BRIDGE)
        _path, headers, _body = self.sent()
        self.assertNotIn("Idempotency-Key", headers)

    # -- what we make of the answers --------------------------------------------------------------

    def test_what_each_captured_answer_means(self):
        for (call, case), meaning in MEANINGS.items():
            with self.subTest(call=call, case=case):
                if isinstance(meaning, str):
                    with self.assertRaises(BankRejected) as caught:
                        self.call(call, case)
                    self.assertEqual(caught.exception.code, meaning)
                else:
                    self.assertEqual(self.call(call, case), meaning)

    def test_every_captured_case_has_its_meaning(self):
        captured = {(call, each["case"]) for call, cases in SAMPLES.items() for each in cases}
        self.assertEqual(captured - MEANINGS.keys(), {("initiate_payment", "empty list")})

    def test_an_answer_about_another_account_is_not_believed(self):
        with self.assertRaises(BankUnavailable) as caught:
            self.call("check_funds", SENT_BY_THE_BRIDGE, account_number="1111000044")
        self.assertEqual(caught.exception.code, "MALFORMED_ANSWER")
