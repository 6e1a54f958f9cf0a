"""The contract that every connector keeps, as far as a bank of files can be asked for it."""

import dataclasses
from decimal import Decimal

from lxml import etree

from odoo.tests import TransactionCase, tagged

from odoo.addons.g2p_bridge.tests.bank_double import Ask, HttpBank
from odoo.addons.g2p_bridge.tests.connector_contract import (
    FAULTS,
    LIES,
    MORE_FAULTS,
    ConnectorContract,
)
from odoo.addons.g2p_bridge.tests.http_server import reply

#: a port that no service has
NOBODY = "http://127.0.0.1:1/payments"
REFUSED = b"<refused/>"
ANY_ANSWER = "any answer of the 200s says that the file has arrived"
NOT_ASKED = "a bank of files is not asked for it: nothing leaves"
BY_REPORT = "it comes later, as a status report"


class FileBank(HttpBank):
    """A bank to which pain.001 is posted; it answers that it has it, and nothing more."""

    paths = {"/payments": "initiate_payment"}
    #: what is posted twice is two orders
    knows_keys = False
    unsupported = {
        **dict.fromkeys(
            ("garbage", "cut", "empty", "wrong_shape", "binary", "wrong_type"), ANY_ANSWER
        ),
        **dict.fromkeys(("check_funds", "block_funds", "release_funds"), NOT_ASKED),
        **{f"release_funds:{kind}": NOT_ASKED for kind in (*FAULTS, *MORE_FAULTS)},
        "test_connection": "it asks for the head of the address, which the double does not have",
        "wrong_account": BY_REPORT,
        **dict.fromkeys(("refuse_last", *LIES), BY_REPORT),
    }

    def set_available(self, amount):
        """Its funds are its own affair; no fault is on."""
        self._faults.clear()
        self.available = Decimal(10) ** 15

    def unreachable_account(self):
        """Return the account with an address where nobody listens."""
        options = {"iso20022": {**self.account.options["iso20022"], "post_url": NOBODY}}
        return dataclasses.replace(self.account, options=options)

    def decode(self, body):
        return etree.fromstring(body)

    def encode(self, answer):
        return answer

    def read_initiate_payment(self, document):
        return Ask(
            account=document.findtext(".//{*}DbtrAcct/{*}Id/{*}Othr/{*}Id"),
            payments=tuple(
                (
                    each.findtext("{*}PmtId/{*}EndToEndId"),
                    Decimal(each.findtext("{*}Amt/{*}InstdAmt")),
                )
                for each in document.iter("{*}CdtTrfTxInf")
            ),
        )

    def write_initiate_payment(self, _order):
        return b"<ok/>"

    def write_refusal(self, operation, code):
        return REFUSED

    def _answer(self, handler, words, fault, request):
        if words == REFUSED:
            return reply(handler, words, 422)
        return super()._answer(handler, words, fault, request)


@tagged("post_install", "-at_install")
class TestFileBankContract(ConnectorContract, TransactionCase):
    """Over HTTPS, where every fault of the contract can happen."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        options = {"iso20022": {"transport": "https", "funds_policy": "execution"}}
        cls.bank_driver = FileBank.serve(cls, options=options)
        url = cls.bank_driver.account.base_url
        options["iso20022"]["post_url"] = f"{url}/payments"

    def setUp(self):
        super().setUp()
        self.connector = self.env["g2p.bank.connector.iso20022"]
