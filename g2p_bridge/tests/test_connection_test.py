import json
import logging
import os
import socket
import tempfile
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tests.common import _super_send
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors.dto import FundsAvailability
from odoo.addons.g2p_bridge.connectors.errors import BankRejected

from .common import BridgeCommon
from .fake_bank import register_connector
from .http_server import DAY, Authority, ScriptedServer, drop, reply, self_signed

SECRET = "made-up-secret-of-the-bank"
GOOD = json.dumps({"ok": True}).encode()


class EchoConnector(models.AbstractModel):
    """The smallest connector with a real call."""

    _name = "g2p.bank.connector.echo"
    _inherit = ["g2p.bank.connector"]
    _description = "Connector of a test"
    _module = "g2p_bridge"
    _register = False

    @api.private
    def check_funds(self, account, amount):
        answer = self._send(
            account,
            "/check",
            {"account_number": account.account_number, "amount": str(amount)},
            safe=True,
        )
        if answer.get("error"):
            raise BankRejected("It has no such account.", code="ACCOUNT_NOT_FOUND")
        return FundsAvailability(is_available=answer["ok"])


@tagged("post_install", "-at_install")
class TestConnectionTest(BridgeCommon):
    """The button says what is wrong, against servers that really are wrong."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        register_connector(cls, EchoConnector, "echo")
        cls.bank.write({"connector": "echo", "secret": SECRET})
        cls.account.account_number = "TESTACCOUNT98765"

    @classmethod
    def _request_handler(cls, session, request, /, **kwargs):
        if request.url.startswith("https://no-such-host.invalid/"):  # reserved: it never resolves
            return _super_send(session, request, **kwargs)
        return super()._request_handler(session, request, **kwargs)

    def serve(self, respond, tls=None):
        """Have the bank stand at a real server that does what is said."""
        server = ScriptedServer(respond, tls=tls)
        server.__enter__()
        self.addCleanup(server.__exit__)
        self.bank.base_url = server.url
        return server

    def press(self, record=None, user=None):
        """Press the button; return the lines that are shown."""
        record = record or self.bank
        action = record.with_user(user or self.officer).action_test_connection()
        self.assertEqual((action["res_model"], action["target"]), ("g2p.connection.test", "new"))
        self.env.invalidate_all()
        return self.env["g2p.connection.test"].browse(action["res_id"]).line_ids

    def trust(self, authority):
        """Have this process take the authority for one that it knows."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "authority.pem"
        file.write_bytes(authority.pem)
        environment = patch.dict(os.environ, {"REQUESTS_CA_BUNDLE": str(file)})
        environment.start()
        self.addCleanup(environment.stop)

    def assertFails(self, text, respond=None, tls=None, verdict="failed"):
        if respond:
            self.serve(respond, tls)
        line = self.press()
        self.assertEqual(line.verdict, verdict, line.message)
        self.assertIn(text, line.message)
        self.assertTrue(line.advice)
        return line

    # -- works ----------------------------------------------------------------------------------

    def test_a_bank_that_answers_works(self):
        server = self.serve(lambda handler, _body: reply(handler, GOOD))
        line = self.press()
        self.assertEqual(line.verdict, "ok")
        self.assertIn("answers, takes our key and knows the account", line.message)
        [(path, headers, body)] = server.requests
        self.assertEqual(path, "/check")
        self.assertEqual(headers["Authorization"], f"Bearer {SECRET}")
        self.assertEqual(json.loads(body)["amount"], "0.01")

    def test_it_is_logged_like_other_calls_and_moves_no_money(self):
        self.serve(lambda handler, _body: reply(handler, GOOD))
        line = self.press()
        call = line.call_id
        self.assertEqual(
            (call.operation, call.state, call.bank_id, call.company_id, call.envelope_id.id),
            ("test_connection", "answered", self.bank, self.bank.company_id, False),
        )
        self.assertEqual(call.http_status, 200)
        self.assertNotIn("TESTACCOUNT98765", call.request_masked)
        self.assertFalse(self.env["g2p.disbursement.journal"].search_count([]))
        self.assertFalse(call.search_count([("operation", "!=", "test_connection")]))
        self.assertEqual(line.action_view_call()["res_id"], call.id)

    def test_an_account_without_money_is_a_remark(self):
        self.assertFails(
            "no money on it",
            lambda handler, _body: reply(handler, b'{"ok": false}'),
            verdict="warning",
        )

    def test_each_account_is_asked_about(self):
        self.create_account(self.bank, name="Second", account_number="TEST0002")
        server = self.serve(lambda handler, _body: reply(handler, GOOD))
        self.assertEqual(self.press().mapped("verdict"), ["ok", "ok"])
        self.assertEqual(len(server.requests), 2)
        self.assertEqual(self.press(self.account).mapped("verdict"), ["ok"])
        self.assertEqual(len(server.requests), 3)

    # -- what can be wrong ----------------------------------------------------------------------

    def test_a_name_that_does_not_resolve(self):
        self.bank.base_url = "https://no-such-host.invalid/g2p"
        self.assertFails("no-such-host.invalid is not known")

    def test_a_port_where_nobody_listens(self):
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        self.bank.base_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        self.assertFails("nothing answers at that port")

    def test_what_fails_for_one_account_is_not_asked_for_the_next(self):
        self.create_account(self.bank, name="Second", account_number="TEST0002")
        server = self.serve(lambda handler, _body: reply(handler, b"{}", 401))
        self.assertEqual(self.press().mapped("verdict"), ["failed", "skipped"])
        self.assertEqual(len(server.requests), 1)

    def test_certificates_that_prove_nothing(self):
        authority = Authority()
        cases = (
            ("issued", "127.0.0.1", self_signed(), None),
            ("has expired", "localhost", authority.server("localhost", ends_in=-DAY), authority),
            ("for another name", "localhost", authority.server("other.example"), authority),
            ("issued", "localhost", Authority().server("localhost"), authority),
        )
        for words, host, tls, trusted in cases:
            with self.subTest(words=words, host=host):
                if trusted:
                    self.trust(trusted)
                server = self.serve(lambda handler, _body: reply(handler, GOOD), tls)
                self.bank.base_url = server.url.replace("127.0.0.1", host)
                self.assertFails(words)
                self.assertEqual(server.requests, [])  # nothing was sent, the key least of all

    def test_a_good_certificate_works(self):
        authority = Authority()
        self.trust(authority)
        server = self.serve(
            lambda handler, _body: reply(handler, GOOD), authority.server("localhost")
        )
        self.bank.base_url = server.url.replace("127.0.0.1", "localhost")
        self.assertEqual(self.press().verdict, "ok")

    def test_https_where_http_is_spoken(self):
        server = self.serve(lambda handler, _body: reply(handler, GOOD))
        self.bank.base_url = server.url.replace("http://", "https://")
        self.assertFails("No secure connection")

    def test_no_answer_in_time(self):
        self.bank.read_timeout = 1
        server = None

        def respond(handler, _body):
            server.is_stopping.wait(5)

        server = self.serve(respond)
        self.assertFails("did not answer in time")

    def test_answers_that_are_none(self):
        statuses = {
            401: "does not take our API key",
            403: "does not allow the call",
            404: "no such service at this path",
            429: "called less often",
            302: "sends us to another address",
            500: "error of its own",
            422: "refuses the call",
        }
        for status, words in statuses.items():
            with self.subTest(status=status):
                self.assertFails(words, lambda handler, _body, s=status: reply(handler, b"{}", s))
        self.assertFails("no JSON", lambda handler, _body: reply(handler, b"<html>Hi</html>"))
        self.assertFails("closed the connection", lambda handler, _body: drop(handler))
        self.assertFails(
            "does not know the account",
            lambda handler, _body: reply(handler, b'{"error": "?"}'),
        )

    def test_what_is_missing_here(self):
        self.bank.base_url = False
        self.assertFails("has no base URL")
        self.bank.connector = False
        self.assertFails("No connector is chosen")
        bank = self.create_bank(code="EMPTY", name="Empty bank")
        with self.assertRaisesRegex(UserError, "Add a funding account"):
            bank.with_user(self.officer).action_test_connection()

    def test_a_signature_without_key(self):
        self.bank.sign_requests = True
        with patch.dict(os.environ):
            os.environ.pop("G2P_BRIDGE_SIGNING_KEY", None)
            os.environ.pop("G2P_BRIDGE_SIGNING_KEY_FILE", None)
            server = self.serve(lambda handler, _body: reply(handler, GOOD))
            self.assertFails("has no key")
        self.assertEqual(server.requests, [])

    # -- circuit --------------------------------------------------------------------------------

    def open_circuit(self):
        now = fields.Datetime.now()
        self.env["g2p.bank.health"].create(
            {
                "bank_id": self.bank.id,
                "company_id": self.bank.company_id.id,
                "failure_count": 7,
                "down_since": now - timedelta(hours=1),
                "open_until": now + timedelta(minutes=4),
                "last_error_code": "ConnectTimeout",
            }
        )

    def test_a_circuit_that_is_open_is_told_and_lets_the_test_pass(self):
        self.open_circuit()
        line = self.assertFails("error of its own", lambda handler, _b: reply(handler, b"", 500))
        self.assertIn("asked again at", line.advice)
        health = self.env["g2p.bank.health"].search([("bank_id", "=", self.bank.id)])
        self.assertEqual((health.is_open, health.failure_count), (True, 7))

    def test_a_test_that_works_closes_the_circuit(self):
        self.open_circuit()
        self.serve(lambda handler, _body: reply(handler, GOOD))
        self.assertIn("goes on now", self.press().advice)
        health = self.env["g2p.bank.health"].search([("bank_id", "=", self.bank.id)])
        self.assertEqual((health.is_open, health.failure_count), (False, 0))

    def test_a_test_that_fails_opens_no_circuit(self):
        self.serve(lambda handler, _body: reply(handler, b"", 500))
        for _number in range(6):
            self.press()
        self.assertFalse(self.env["g2p.bank.health"].search([("bank_id", "=", self.bank.id)]))

    # -- secrets and roles ----------------------------------------------------------------------

    def test_no_secret_is_shown_or_logged(self):
        echo = json.dumps({"key": SECRET, "account": "TESTACCOUNT98765"}).encode()
        with self.assertLogs(level=logging.DEBUG) as logs:
            for status in (200, 401, 422, 500):
                self.serve(lambda handler, _body, s=status: reply(handler, echo, s))
                with self.subTest(status=status):
                    self.press() if status != 200 else None
        rows = self.env.execute_query(
            SQL("SELECT row_to_json(c)::text FROM g2p_bank_call c"),
        ) + self.env.execute_query(
            SQL("SELECT row_to_json(l)::text FROM g2p_connection_test_line l")
        )
        self.assertTrue(rows)
        written = "\n".join([*logs.output, *(text for (text,) in rows)])
        self.assertNotIn(SECRET, written)
        self.assertNotIn("TESTACCOUNT98765", written)

    def test_a_viewer_may_not_call_a_bank(self):
        viewer = self.create_user("test_viewer", "g2p_bridge.group_viewer")
        for record in (self.bank, self.account, self.mapper):
            with self.assertRaises(AccessError):
                record.with_user(viewer).action_test_connection()


@tagged("post_install", "-at_install")
class TestMapperTest(BridgeCommon):
    """The same of account mappers."""

    def press(self):
        action = self.mapper.with_user(self.officer).action_test_connection()
        self.env.invalidate_all()
        return self.env["g2p.connection.test"].browse(action["res_id"]).line_ids

    def serve(self, respond):
        server = ScriptedServer(respond)
        server.__enter__()
        self.addCleanup(server.__exit__)
        self.mapper.write({"provider": "g2p_connect", "base_url": server.url})
        return server

    @staticmethod
    def resolve(handler, body):
        [asked] = json.loads(body)["message"]["resolve_request"]
        answer = {
            "header": {"status": "succ"},
            "message": {
                "resolve_response": [
                    {
                        "reference_id": asked["reference_id"],
                        "status": "rjct",
                        "status_reason_code": "rjct.id.invalid",
                    }
                ]
            },
        }
        reply(handler, json.dumps(answer).encode())

    def test_the_built_in_table_says_what_it_holds(self):
        line = self.press()
        self.assertEqual(line.verdict, "warning")
        self.assertIn("is empty", line.message)
        self.link("BEN1", "BEN2")
        line = self.press()
        self.assertEqual(line.verdict, "ok")
        self.assertIn("holds 2 links", line.message)
        self.assertFalse(line.call_id)

    def test_a_mapper_that_does_not_know_the_test_person_works(self):
        server = self.serve(self.resolve)
        line = self.press()
        self.assertEqual((line.verdict, line.call_id.mapper_id), ("ok", self.mapper))
        [(path, _headers, body)] = server.requests
        self.assertEqual(path, "/sync/resolve")
        self.assertIn("CONNECTION-TEST", body.decode())

    def test_what_is_no_mapper_does_not_work(self):
        empty = b'{"header": {}, "message": {"resolve_response": []}}'
        for body, words in ((b"[]", "no JSON"), (b"<p>", "no JSON"), (empty, "not as this")):
            with self.subTest(body=body):
                self.serve(lambda handler, _body, b=body: reply(handler, b))
                line = self.press()
                self.assertEqual(line.verdict, "failed")
                self.assertIn(words, line.message)
