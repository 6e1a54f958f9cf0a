import unittest
from decimal import Decimal

from odoo import api, models
from odoo.exceptions import AccessError
from odoo.service.model import get_public_method
from odoo.tests import TransactionCase, tagged

from odoo.addons.g2p_bridge.connectors.dto import (
    REJECTED,
    Acknowledgement,
    DebtorAccount,
    FundsAvailability,
    FundsBlock,
    PaymentStatus,
    StatementEntry,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.g2p_bridge.services.disbursement_id import new_ids
from odoo.addons.g2p_bridge.services.money import AmountError, to_json_number
from odoo.addons.g2p_bridge.tests.bank_double import Ask, HttpBank
from odoo.addons.g2p_bridge.tests.connector_contract import (
    FAULTS,
    MORE_FAULTS,
    ConnectorContract,
)
from odoo.addons.g2p_bridge.tests.fake_bank import (
    MODEL,
    DoneThen,
    register_connector,
    serve_fake_bank,
)
from odoo.addons.g2p_bridge.tests.http_server import ScriptedServer, reply


class ProbeBank(HttpBank):
    """The smallest bank that the contract can be run against, with a protocol of its own."""

    paths = {
        "/funds/check": "check_funds",
        "/funds/block": "block_funds",
        "/funds/release": "release_funds",
        "/payments": "initiate_payment",
        "/payments/inquire": "inquire_payments",
    }

    def write_refusal(self, operation, code):
        return {"error": code}

    def read_check_funds(self, body):
        return Ask(account=body["account"], amount=Decimal(body["amount"]))

    def write_check_funds(self, is_enough):
        return {"ok": is_enough}

    def read_block_funds(self, body):
        return Ask(amount=Decimal(body["amount"]))

    def write_block_funds(self, reference):
        return {"reference": reference}

    def read_release_funds(self, body):
        return Ask(block=body["reference"])

    def write_release_funds(self, _nothing):
        return {"released": True}

    def read_initiate_payment(self, body):
        payments = [(item["id"], Decimal(item["amount"])) for item in body["payments"]]
        return Ask(payments=tuple(payments))

    def write_initiate_payment(self, order):
        refused = [{"id": reference, "why": code} for reference, code in order.refused]
        return {
            "reference": order.reference,
            "count": order.count,
            "total": f"{order.total}",
            "refused": refused,
        }

    def read_inquire_payments(self, body):
        return Ask(ids=tuple(body["ids"]))

    def write_inquire_payments(self, statuses):
        return {"known": [[reference, status] for reference, status in statuses]}


class ProbeConnector(models.AbstractModel):
    """A connector as a bank addon writes it."""

    _name = "g2p.bank.connector.probe"
    _inherit = ["g2p.bank.connector"]
    _description = "Connector to the probe bank"
    _module = "g2p_bridge"
    _register = False

    supports_inquiry = True
    supports_release = True
    honours_idempotency_key = True

    @api.private
    def check_funds(self, account, amount):
        body = {"amount": _exact(amount), "account": account.account_number}
        answer = self._send(account, "/funds/check", body, safe=True)
        is_enough = _member(answer, "ok", bool, BankUnavailable)
        return FundsAvailability(is_available=is_enough, reason="" if is_enough else "short")

    @api.private
    def block_funds(self, account, amount, idempotency_key):
        body = {"amount": _exact(amount)}
        answer = self._send(account, "/funds/block", body, idempotency_key=idempotency_key)
        return FundsBlock(reference=_member(answer, "reference", str, BankOutcomeUnknown))

    @api.private
    def release_funds(self, account, block_reference):
        body = {"reference": block_reference}
        answer = self._send(account, "/funds/release", body, safe=True)
        _member(answer, "released", bool, BankUnavailable)

    @api.private
    def initiate_payment(self, account, block_reference, payments, idempotency_key):
        answer = self._order(account, payments, idempotency_key)
        reference = _member(answer, "reference", str, BankOutcomeUnknown)
        refused = _member(answer, "refused", list, BankOutcomeUnknown)
        rejected = tuple(
            PaymentStatus(end_to_end_id=item["id"], status=REJECTED, reason_code=item["why"])
            for item in refused
        )
        self._check_receipt(answer, payments, {status.end_to_end_id for status in rejected})
        return Acknowledgement(reference=reference, rejected=rejected)

    def _check_receipt(self, answer, payments, refused):
        """Believe an answer only if it is about this order."""
        taken = [payment.amount for payment in payments if payment.end_to_end_id not in refused]
        count = _member(answer, "count", int, BankOutcomeUnknown)
        total = Decimal(_member(answer, "total", str, BankOutcomeUnknown))
        is_whole = len(taken) + len(answer["refused"]) == len(payments)
        if not is_whole or (count, total) != (len(taken), sum(taken)):
            raise BankOutcomeUnknown("The answer is about another order.", code="OTHER_ORDER")

    def _order(self, account, payments, idempotency_key):
        body = {
            "account_number": account.account_number,
            "payments": [
                {
                    "id": payment.end_to_end_id,
                    "amount": _exact(payment.amount),
                    "beneficiary_name": payment.creditor_name,
                    "beneficiary_account": payment.creditor_account.account_number,
                    "beneficiary_phone_no": payment.creditor_account.mobile_number,
                    "beneficiary_email": payment.creditor_account.email_address,
                }
                for payment in payments
            ],
        }
        return self._send(account, "/payments", body, idempotency_key=idempotency_key)

    @api.private
    def inquire_payments(self, account, idempotency_key, payments):
        ids = [payment.end_to_end_id for payment in payments]
        answer = self._send(account, "/payments/inquire", {"ids": ids}, safe=True)
        known = _member(answer, "known", list, BankUnavailable)
        if not all(isinstance(item, list) and len(item) == 2 for item in known) or sorted(
            str(reference) for reference, _status in known
        ) != sorted(ids):
            raise BankUnavailable("The answer is about other payments.", code="OTHER_PAYMENTS")
        return [
            PaymentStatus(end_to_end_id=reference, status=status) for reference, status in known
        ]


class PlainProbeConnector(models.AbstractModel):
    """The same of a bank that can be neither asked nor told twice."""

    _name = "g2p.bank.connector.plain_probe"
    _inherit = ["g2p.bank.connector"]
    _description = "Connector to the probe bank without its extras"
    _module = "g2p_bridge"
    _register = False

    check_funds = ProbeConnector.check_funds
    block_funds = ProbeConnector.block_funds
    initiate_payment = ProbeConnector.initiate_payment
    _order = ProbeConnector._order
    _check_receipt = ProbeConnector._check_receipt


class CarelessConnector(models.AbstractModel):
    """A connector with the mistake that pays twice: it takes any trouble for *not received*."""

    _name = "g2p.bank.connector.careless"
    _inherit = ["g2p.bank.connector"]
    _description = "Connector that the contract must refuse"
    _module = "g2p_bridge"
    _register = False

    honours_idempotency_key = False
    check_funds = ProbeConnector.check_funds
    block_funds = ProbeConnector.block_funds
    _order = ProbeConnector._order
    _check_receipt = ProbeConnector._check_receipt

    @api.private
    def initiate_payment(self, account, block_reference, payments, idempotency_key):
        arguments = (account, block_reference, payments, idempotency_key)
        try:
            return ProbeConnector.initiate_payment(self, *arguments)
        except BankOutcomeUnknown as error:
            raise BankUnavailable(str(error), code=error.code) from error


def _member(answer, name, kind, error_class):
    """Return a member of an answer; without it nobody knows what the bank did."""
    if isinstance(answer, dict) and set(answer) == {"error"} and isinstance(answer["error"], str):
        raise BankRejected("The bank refused it.", code=answer["error"])
    if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
        raise error_class(f"The answer has no usable {name}.", code="MALFORMED_ANSWER")
    return answer[name]


def _exact(amount):
    try:
        return to_json_number(amount)
    except AmountError as error:
        raise BankRejected(str(error), code="AMOUNT") from error


class ProbeCase(TransactionCase):
    """A registry that serves one connector of this file, and its bank."""

    connector_class = ProbeConnector

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        register_connector(cls, cls.connector_class, cls.connector_class._name.rpartition(".")[2])
        cls.bank = ProbeBank.serve(cls)
        cls.bank.knows_keys = cls.env[cls.connector_class._name].honours_idempotency_key

    def setUp(self):
        super().setUp()
        self.connector = self.env[self.connector_class._name].sudo()
        self.bank_driver = self.bank


@tagged("post_install", "-at_install")
class TestContractOnProbe(ConnectorContract, ProbeCase):
    """The contract holds for a good connector with all extras."""


@tagged("post_install", "-at_install")
class TestContractOnPlainProbe(ConnectorContract, ProbeCase):
    """The contract holds for a good connector without extras."""

    connector_class = PlainProbeConnector


@tagged("post_install", "-at_install")
class TestContractFails(ProbeCase):
    """The contract finds a bad connector."""

    connector_class = CarelessConnector

    def test_a_careless_connector_fails_the_contract(self):
        world = {"connector": self.connector, "bank_driver": self.bank_driver}
        contract = type("Contract", (ConnectorContract, unittest.TestCase), world)
        result = unittest.TestResult()
        contract("test_contract_a_fault_of_an_order_leaves_its_outcome_open").run(result)
        self.assertEqual(
            len(result.failures) + len(result.errors), len(FAULTS) + len(MORE_FAULTS) - 1
        )


@tagged("post_install", "-at_install")
class TestBankConnector(ProbeCase):
    """What the abstract connector does for all banks."""

    def entry(self, reference="", narrative=()):
        return StatementEntry(
            sequence=1,
            mark="D",
            amount=Decimal(1),
            value_date=None,
            customer_reference=reference,
            narrative=narrative,
        )

    def test_only_a_whole_valid_id_is_read_from_an_entry(self):
        [text] = new_ids(1)
        retrieve = self.connector.retrieve_disbursement_id
        self.assertEqual(retrieve(self.entry(text)), text)
        self.assertEqual(retrieve(self.entry(f" {text.lower()} ")), text)
        wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
        for other in ("", "NONREF", f"{text}X", f"{text} X", text[:-1], wrong):
            self.assertEqual(retrieve(self.entry(other)), "")

    def test_the_reason_is_the_last_line_that_says_something(self):
        reason = self.connector.retrieve_reversal_reason
        self.assertEqual(
            reason(self.entry("", ("Grant", " ACCOUNT_CLOSED ", "", " "))), "ACCOUNT_CLOSED"
        )
        self.assertEqual(reason(self.entry("", ("", ""))), "")
        self.assertEqual(reason(self.entry()), "")

    def test_what_a_connector_lacks_it_names(self):
        base = self.env["g2p.bank.connector"]
        for method, count in (
            ("check_funds", 2),
            ("block_funds", 3),
            ("release_funds", 2),
            ("initiate_payment", 4),
            ("inquire_payments", 3),
        ):
            with self.assertRaisesRegex(NotImplementedError, rf"g2p\.bank\.connector .*{method}"):
                getattr(base, method)(*[None] * count)

    def test_no_method_can_be_called_over_rpc(self):
        base = self.env["g2p.bank.connector"]
        own = [name for name in vars(type(base.browse()).__mro__[1]) if not name.startswith("__")]
        methods = [
            name for name in own if callable(getattr(base, name)) and not name.startswith("_")
        ]
        self.assertIn("initiate_payment", methods)
        for name in methods:
            with self.assertRaises(AccessError):
                get_public_method(base, name)

    def test_the_secret_goes_to_the_bank_and_nowhere_else(self):
        self.bank.set_available(Decimal(1))
        with self.assertLogs("odoo.addons.g2p_bridge") as logs:
            self.connector.check_funds(self.bank.account, Decimal(1))
        headers = self.bank.requests[-1][1]
        self.assertEqual(headers["Authorization"], f"Bearer {self.bank.account.secret}")
        self.assertNotIn(self.bank.account.secret, repr(logs.output) + repr(self.bank.account))

    def test_an_answer_of_another_kind_leaves_the_outcome_open(self):
        with ScriptedServer(lambda handler, _body: reply(handler, b"7")) as server:
            account = DebtorAccount(
                bank_code="X", base_url=server.url, account_number="X", currency="USD"
            )
            for safe, expected in ((False, BankOutcomeUnknown), (True, BankUnavailable)):
                with self.assertRaises(expected):
                    self.connector._send(account, "/x", {}, safe=safe)

    def test_a_base_url_that_is_none_is_unavailable(self):
        for base_url in ("", "bank", "http://"):
            account = DebtorAccount(
                bank_code="X", base_url=base_url, account_number="X", currency="USD"
            )
            with self.subTest(base_url=base_url), self.assertRaises(BankUnavailable):
                self.connector._send(account, "/x", {})


@tagged("post_install", "-at_install")
class TestFakeBank(TransactionCase):
    """The registry serves the fake bank, and it does as scripted."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fake = serve_fake_bank(cls)

    def test_a_bank_record_may_have_the_connector(self):
        bank = self.env["g2p.sponsor.bank"]
        self.assertIn("fake", dict(bank._fields["connector"]._description_selection(self.env)))
        self.assertIn(MODEL, self.env)
        self.assertTrue(self.env[MODEL].sudo().supports_inquiry)
        self.fake.supports_inquiry = False
        self.assertFalse(self.env[MODEL].sudo().supports_inquiry)

    def test_scripted_calls_end_as_told_and_the_rest_goes_well(self):
        connector, amount = self.env[MODEL], Decimal("5.00")
        self.fake.script("block_funds", BankUnavailable("down"), DoneThen(BankOutcomeUnknown("?")))
        with self.assertRaises(BankUnavailable):
            connector.block_funds(None, amount, "k1")
        with self.assertRaises(BankOutcomeUnknown):
            connector.block_funds(None, amount, "k1")
        self.assertEqual(connector.block_funds(None, amount, "k1").reference, "BLOCK000001")
        self.assertEqual(connector.block_funds(None, amount, "k2").reference, "BLOCK000002")
        self.assertEqual(self.fake.call_count("block_funds"), 4)
        self.assertEqual(self.fake.blocks, {"BLOCK000001": amount, "BLOCK000002": amount})

    def test_what_is_no_operation_cannot_be_scripted(self):
        with self.assertRaises(ValueError):
            self.fake.script("pay", 1)
