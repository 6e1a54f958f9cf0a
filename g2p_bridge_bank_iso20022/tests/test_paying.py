"""From an envelope to a file for the bank, once, whatever happens on the way."""

import dataclasses
from decimal import Decimal
from unittest import mock

from lxml import etree

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    NOT_FOUND,
    UNSEEN,
    FinancialAddress,
    Payment,
)
from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown, BankRejected
from odoo.addons.g2p_bridge.services.disbursement_id import new_ids
from odoo.addons.g2p_bridge.tests.statement_case import statement_text

from ..messages import pain001
from ..transport.folder import FolderTransport
from .common import CREDITORS, DEBTOR, FileBankCase


def sums_of(content):
    """Return (count, control sum, {end-to-end id: amount}) of a pain.001."""
    root = etree.fromstring(content)
    name = "{*}CstmrCdtTrfInitn/{*}GrpHdr/{*}"
    amounts = {
        each.findtext("{*}PmtId/{*}EndToEndId"): Decimal(each.findtext("{*}Amt/{*}InstdAmt"))
        for each in root.iter("{*}CdtTrfTxInf")
    }
    return int(root.findtext(f"{name}NbOfTxs")), Decimal(root.findtext(f"{name}CtrlSum")), amounts


@tagged("post_install", "-at_install")
class TestPaying(FileBankCase):
    """A batch is one file with one message id, whatever happens."""

    def test_a_batch_is_one_file_with_every_payment_and_the_exact_sum(self):
        envelope = self.sent_envelope()
        [(name, content)] = self.laid_down().items()
        count, total, amounts = sums_of(content)
        payments = self.disbursements(envelope)
        self.assertEqual((count, total), (3, Decimal(300)))
        self.assertEqual(amounts, {each.disbursement_id: Decimal(100) for each in payments})
        self.assertEqual(name, f"{envelope.batch_ids.bank_reference}.xml")

    def test_what_died_after_the_rename_is_found_and_not_laid_down_again(self):
        envelope = self.ready_envelope()
        with mock.patch.object(FolderTransport, "send", _done_then_unknown):
            self.run_envelope(envelope)
        self.assertStates(envelope, "unknown", "unknown", "unknown")
        [name] = self.laid_down()
        (self.root / "in" / name).rename(self.root / "in/taken" / name)
        self.run_jobs(envelope.batch_ids._enqueue_disburse)
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertEqual(self.laid_down(), {})

    def test_what_nobody_can_see_waits_for_an_officer_and_is_not_laid_down_again(self):
        envelope = self.ready_envelope()
        with mock.patch.object(FolderTransport, "send", _done_then_unknown):
            self.run_envelope(envelope)
        self.empty_folders()  # the bank has taken it, and shows nobody
        self.run_jobs(envelope.batch_ids._enqueue_disburse)
        self.assertStates(envelope, "unknown", "unknown", "unknown")
        self.assertEqual(envelope.batch_ids.state, "unknown")
        self.assertEqual(self.laid_down(), {})

    def test_only_to_a_bank_that_refuses_repeats_it_is_laid_down_again_under_the_same_id(self):
        self.bank.iso20022_refuses_repeats = True
        envelope = self.ready_envelope()
        with mock.patch.object(FolderTransport, "send", _done_then_unknown):
            self.run_envelope(envelope)
        [first] = self.laid_down()
        self.empty_folders()
        self.run_jobs(envelope.batch_ids._enqueue_disburse)
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertEqual(list(self.laid_down()), [first])

    def test_a_payment_that_no_file_can_hold_is_refused_and_the_others_are_paid(self):
        link = self.env["g2p.account.link"].search([("account_number", "=", CREDITORS[0])])
        link.account_number = "NL41MOCK0000000002"  # its check digits are wrong
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertStates(envelope, "rejected", "sent", "sent")
        self.assertEqual(self.disbursements(envelope)[0].reason_code, "AC01")
        [content] = self.laid_down().values()
        self.assertEqual(sums_of(content)[:2], (2, Decimal(200)))

    def test_calls_are_kept_masked(self):
        envelope = self.sent_envelope()
        call = envelope.batch_ids.call_ids.filtered(lambda c: c.operation == "initiate_payment")
        kept = f"{call.request_masked}{call.response_masked}{call.error_message}"
        self.assertIn('"control_sum": "300', kept)
        for private in (*CREDITORS, DEBTOR, "Person 1"):
            self.assertNotIn(private, kept)

    def test_nothing_private_is_logged(self):
        with self.assertLogs("odoo.addons.g2p_bridge", "DEBUG") as logs:
            self.sent_envelope()
        for private in (*CREDITORS, DEBTOR, "Person 1"):
            self.assertNotIn(private, "\n".join(logs.output))


@tagged("post_install", "-at_install")
class TestFunds(FileBankCase):
    """A bank that holds nothing: the last statement, or its own check."""

    def setUp(self):
        super().setUp()
        self.bank.iso20022_funds_policy = "balance"

    def upload(self, closing, day="261124", number="1/1"):
        text = statement_text(
            DEBTOR, [], opening=closing, currency="EUR", day=day, number=number
        ).encode()
        self.run_jobs(lambda: self.env["g2p.account.statement"]._upload(text, "s.sta", self.bank))

    def test_without_a_statement_nothing_is_paid(self):
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertEqual(envelope.state, "needs_attention")
        self.assertEqual(self.laid_down(), {})

    def test_the_last_statement_must_cover_it_with_all_that_was_ordered_since(self):
        self.upload("599,99")
        first = self.ready_envelope()
        self.run_envelope(first)
        self.assertStates(first, "sent", "sent", "sent")
        second = self.ready_envelope(cycle_code_mnemonic="2026-12")
        self.run_envelope(second)
        self.assertEqual(second.attention_code, "FUNDS_NOT_AVAILABLE")
        self.assertEqual(len(self.laid_down()), 1)
        self.upload("600,00", day="261125", number="2/1")
        second._set_resumed()
        self.run_envelope(second)
        self.assertStates(second, "sent", "sent", "sent")

    def test_a_block_is_the_same_for_the_same_key(self):
        connector, account = self.bank._get_connector(), self.account._to_debtor_account()
        account = dataclasses.replace(account, options={"iso20022": {"funds_policy": "execution"}})
        one, again, other = (connector.block_funds(account, 1, key) for key in ("a", "a", "b"))
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)

    def test_a_block_without_funds_is_refused(self):
        self.upload("10,00")
        connector, account = self.bank._get_connector(), self.account._to_debtor_account()
        connector.block_funds(account, Decimal("10.00"), "key")
        with self.assertRaises(BankRejected):
            connector.block_funds(account, Decimal("10.01"), "key")


@tagged("post_install", "-at_install")
class TestConnector(FileBankCase):
    """What the connector says of itself, and of a file."""

    def account_with(self, **values):
        account = self.account._to_debtor_account()
        options = {"iso20022": {**account.options["iso20022"], **values}}
        return dataclasses.replace(account, options=options)

    def test_what_a_bank_can_do_is_what_its_form_says(self):
        for transport, repeats, expected in (
            ("folder", False, (True, False)),
            ("sftp", False, (True, False)),
            ("https", False, (False, False)),
            ("sftp", True, (False, True)),
            ("https", True, (False, True)),
        ):
            self.bank.write({"iso20022_transport": transport, "iso20022_refuses_repeats": repeats})
            can = self.bank._capabilities()
            with self.subTest(transport=transport, repeats=repeats):
                self.assertEqual((can.supports_inquiry, can.honours_idempotency_key), expected)
                self.assertTrue(can.supports_release and can.honours_block_key)

    def test_an_inquiry_says_no_more_than_can_be_seen(self):
        connector, account = self.bank._get_connector(), self.account._to_debtor_account()
        payments = self._payments()

        def asked():
            return {each.status for each in connector.inquire_payments(account, "k", payments)}

        self.assertEqual(asked(), {UNSEEN})
        name = f"{pain001.message_id('k')}.xml"
        (self.root / "in" / f".{name}.part").write_bytes(b"half")
        self.assertEqual(asked(), {NOT_FOUND})
        connector.initiate_payment(account, "", payments, "k")
        self.assertEqual(asked(), {ACCEPTED})
        (self.root / "in" / name).rename(self.root / "in/taken" / name)
        self.assertEqual(asked(), {ACCEPTED})

    def test_the_older_version_is_written_too(self):
        connector = self.bank._get_connector()
        account = self.account_with(message_version="pain.001.001.03")
        connector.initiate_payment(account, "", self._payments(), "k")
        [content] = self.laid_down().values()
        self.assertIn(b"pain.001.001.03", content)

    def test_the_test_call_lays_nothing_down(self):
        connector, account = self.bank._get_connector(), self.account._to_debtor_account()
        self.assertTrue(connector.test_connection(account, Decimal("0.01")).is_available)
        self.assertEqual(self.laid_down(), {})
        with self.assertRaises(BankRejected):
            connector.test_connection(self.account_with(out_path="nowhere"), Decimal("0.01"))

    def test_secrets_travel_to_the_connector_and_show_in_nothing_else(self):
        self.bank.write({"iso20022_sftp_password": "s3cret-word", "secret": "t0ken-word"})
        account = self.account._to_debtor_account()
        self.assertEqual(account.options["iso20022"]["sftp_password"], "s3cret-word")
        self.assertNotIn("s3cret", repr(account))
        self.assertFalse(self.bank.copy({"code": "COPY"}).sudo().iso20022_sftp_password)

    def test_who_may_not_see_a_password_may_not_send_it_elsewhere(self):
        administrator = self.create_user("files_admin", "g2p_bridge.group_administrator")
        bank = self.bank.with_user(administrator)
        self.bank.iso20022_sftp_password = "s3cret-word"
        for values in (
            {"iso20022_sftp_host": "evil.example"},
            {"iso20022_sftp_host_key": False, "iso20022_sftp_port": 23},
            {"iso20022_post_url": "https://evil.example"},
        ):
            with self.subTest(values=values), self.assertRaises(AccessError):
                bank.write(values)
        bank.write({"iso20022_out_path": "in"})

    def test_settings_that_no_bank_has_are_refused(self):
        for values in (
            {"iso20022_sftp_host_key": "nonsense"},
            {"iso20022_agent_bic": "mocknl2a"},
            {"iso20022_post_url": "http://bank.example/pay"},
            {"iso20022_fetch_url": "https://user:word@bank.example"},
            {"iso20022_archive_folder": "../x"},
        ):
            with (
                self.subTest(values=values),
                self.assertRaises(ValidationError),
                self.env.cr.savepoint(),
            ):
                self.bank.write(values)

    def _payments(self):
        return [
            Payment(
                end_to_end_id=name,
                amount=Decimal("1.10"),
                currency="EUR",
                creditor_id="BEN",
                creditor_name="Person",
                creditor_account=FinancialAddress(
                    fa_type="BANK_ACCOUNT", account_number=CREDITORS[0]
                ),
                remittance_information="Grant",
            )
            for name in new_ids(2)
        ]


def _done_then_unknown(self, name, content):
    (self._folder("in") / name).write_bytes(content)
    raise BankOutcomeUnknown("no answer", code="ConnectionLost")
