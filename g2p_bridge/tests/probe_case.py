"""The smallest bank, and its connectors as an addon writes them: the contract is tried on them."""

from decimal import Decimal

from odoo import api, models
from odoo.tests import TransactionCase

from odoo.addons.g2p_bridge.connectors.dto import (
    REJECTED,
    Acknowledgement,
    FundsAvailability,
    FundsBlock,
    PaymentStatus,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.g2p_bridge.services.money import AmountError, to_json_number

from .bank_double import Ask, HttpBank
from .fake_bank import register_connector


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

    def _amount(self, amount):
        try:
            return to_json_number(amount)
        except AmountError as error:
            raise BankRejected(str(error), code="AMOUNT") from error

    @api.private
    def check_funds(self, account, amount):
        body = {"amount": self._amount(amount), "account": account.account_number}
        answer = self._send(account, "/funds/check", body, safe=True)
        is_enough = _member(answer, "ok", bool, BankUnavailable)
        return FundsAvailability(is_available=is_enough, reason="" if is_enough else "short")

    @api.private
    def block_funds(self, account, amount, idempotency_key):
        body = {"amount": self._amount(amount)}
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
                    "amount": self._amount(payment.amount),
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
    _amount = ProbeConnector._amount
    _order = ProbeConnector._order
    _check_receipt = ProbeConnector._check_receipt


def _member(answer, name, kind, error_class):
    """Return a member of an answer; without it nobody knows what the bank did."""
    if isinstance(answer, dict) and set(answer) == {"error"} and isinstance(answer["error"], str):
        raise BankRejected("The bank refused it.", code=answer["error"])
    if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
        raise error_class(f"The answer has no usable {name}.", code="MALFORMED_ANSWER")
    return answer[name]


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
