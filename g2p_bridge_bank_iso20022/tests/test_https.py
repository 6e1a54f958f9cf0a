"""Files over HTTPS, against mock-bank: posted once, its mailbox read again and again."""

from unittest import mock

from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors import http
from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown, BankUnavailable
from odoo.addons.g2p_bridge.tests.mock_bank_process import MockBankProcess

from .common import CREDITORS, FileBankCase


@tagged("post_install", "-at_install")
class TestHttps(FileBankCase):
    """What an HTTP answer says of a payment file, and what it does not."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank.write({"iso20022_transport": "https"})

    def setUp(self):
        super().setUp()
        self.mock_bank = MockBankProcess()
        self.addCleanup(self.mock_bank.stop)
        self.bank.write(
            {
                "iso20022_post_url": f"{self.mock_bank.url}/payments",
                "iso20022_fetch_url": f"{self.mock_bank.url}/_mock/mailbox?raw&leave",
            }
        )

    def at_bank(self):
        return self.mock_bank.call("GET", "/_mock/payments").json()

    def test_a_file_is_posted_once_and_the_banks_word_is_fetched(self):
        envelope = self.sent_envelope()
        self.assertEqual(len(self.at_bank()), 3)
        for _again in range(2):
            self.fetch()
            [file] = self.files()
            self.assertEqual((file.kind, file.state, file.seen_count), ("pain.002", "processed", 1))
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertEqual(file.accepted_count, 3)

    def test_a_refused_file_is_refused_and_kept_masked(self):
        self.mock_bank.call("PATCH", "/_mock/accounts/ACME", json={"behaviour": "reject-file"})
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertStates(envelope, "rejected", "rejected", "rejected")
        calls = envelope.batch_ids.call_ids.filtered(lambda c: c.operation == "initiate_payment")
        self.assertEqual((calls.state, calls.http_status), ("rejected", 422))
        for number in CREDITORS:
            self.assertNotIn(number, f"{calls.request_masked}{calls.response_masked}")

    def test_a_repeat_that_the_bank_refuses_rejects_nobody(self):
        self.bank.iso20022_refuses_repeats = True
        envelope = self.ready_envelope()
        send = http.send

        def sent_but_unheard(*args, **kwargs):
            send(*args, **kwargs)
            raise BankOutcomeUnknown("no answer", code="ReadTimeout")

        with mock.patch.object(http, "send", sent_but_unheard):
            self.run_envelope(envelope)
        self.assertStates(envelope, "unknown", "unknown", "unknown")
        self.run_jobs(envelope.batch_ids._enqueue_disburse)
        self.assertStates(envelope, "unknown", "unknown", "unknown")
        self.assertEqual(len(self.at_bank()), 3)
        self.fetch()
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertEqual(envelope.batch_ids.state, "acknowledged")

    def test_the_test_call_posts_nothing(self):
        connector, account = self.bank._get_connector(), self.account._to_debtor_account()
        self.assertTrue(connector.test_connection(account, 1).is_available)
        self.assertEqual(self.at_bank(), [])
        self.mock_bank.stop()
        with self.assertRaises(BankUnavailable):
            connector.test_connection(account, 1)

    def test_where_nobody_listens_nothing_was_posted(self):
        self.mock_bank.stop()
        envelope = self.ready_envelope()
        postponed = self.run_envelope(envelope)
        self.assertEqual(len(postponed), 1)
        self.assertIn("could not be reached", str(postponed[0]))
        self.assertStates(envelope, "batched", "batched", "batched")
