from decimal import Decimal

from odoo.exceptions import AccessError
from odoo.service.model import get_public_method
from odoo.tests import TransactionCase, tagged

from odoo.addons.g2p_bridge.connectors.dto import (
    DebtorAccount,
    StatementEntry,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankUnavailable,
)
from odoo.addons.g2p_bridge.services.disbursement_id import new_ids
from odoo.addons.g2p_bridge.tests.connector_contract import (
    ConnectorContract,
)
from odoo.addons.g2p_bridge.tests.fake_bank import (
    MODEL,
    DoneThen,
    serve_fake_bank,
)
from odoo.addons.g2p_bridge.tests.http_server import ScriptedServer, reply
from odoo.addons.g2p_bridge.tests.probe_case import PlainProbeConnector, ProbeCase


@tagged("post_install", "-at_install")
class TestContractOnProbe(ConnectorContract, ProbeCase):
    """The contract holds for a good connector with all extras."""


@tagged("post_install", "-at_install")
class TestContractOnPlainProbe(ConnectorContract, ProbeCase):
    """The contract holds for a good connector without extras."""

    connector_class = PlainProbeConnector


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
