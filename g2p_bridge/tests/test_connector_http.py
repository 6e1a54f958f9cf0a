import contextlib
import json
import socket
import ssl
from decimal import Decimal

import requests

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors import http
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)

from .http_server import ScriptedServer, drop, reply, reset, self_signed

TIMEOUT_S = (3, 1)


@tagged("post_install", "-at_install")
class TestSend(BaseCase):
    """One request over a real connection, and what is known of its outcome."""

    def post(self, url, *, safe=False, body=None, session=None, **options):
        with session or requests.Session() as session:
            request = session.prepare_request(
                requests.Request("POST", url, json={"a": 1} if body is None else body)
            )
            return http.send(session, request, timeout_s=TIMEOUT_S, safe=safe, **options)

    def answer(self, respond, **options):
        with ScriptedServer(respond) as server:
            return self.post(f"{server.url}/pay", **options)

    def assertEnds(self, respond, unsafe_class, code, **options):
        """Assert how a call ends, and that a safe one is unavailable where this is unknown."""
        safe_class = BankUnavailable if unsafe_class is BankOutcomeUnknown else unsafe_class
        for safe, expected in ((False, unsafe_class), (True, safe_class)):
            with (
                self.subTest(safe=safe),
                ScriptedServer(respond) as server,
                self.assertRaises(expected) as caught,
            ):
                self.post(f"{server.url}/pay", safe=safe, **options)
            self.assertEqual(caught.exception.code, code)
            self.assertIs(type(caught.exception), expected)
            self.assertEqual(len(server.requests), 1, "no retries")

    # -- answers --------------------------------------------------------------------------------

    def test_numbers_of_an_answer_are_exact(self):
        body = b'{"amount": 4503599627370497.33, "n": 7, "list": [0.1]}'
        answer = self.answer(lambda handler, _body: reply(handler, body))
        self.assertEqual(
            answer, {"amount": Decimal("4503599627370497.33"), "n": 7, "list": [Decimal("0.1")]}
        )

    def test_an_answer_that_is_no_json_leaves_the_outcome_open(self):
        for body in (
            b"",
            b"<html>",
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b'{"a": 1e999999999}',
            b'{"a": 1',
            b"\xff\xfe\xff",
            b"[" * 200_000,
        ):
            with self.subTest(body=body[:20]):
                self.assertEnds(
                    lambda handler, _body, body=body: reply(handler, body),
                    BankOutcomeUnknown,
                    "GARBAGE",
                )

    def test_an_answer_that_breaks_off_leaves_the_outcome_open(self):
        self.assertEnds(
            lambda handler, _body: reply(handler, b'{"status": "succ', claim=100),
            BankOutcomeUnknown,
            "ChunkedEncodingError",
        )

    def test_an_answer_that_is_too_long_is_not_read_to_its_end(self):
        sent = []

        def respond(handler, _body):
            handler.send_response(200)
            handler.send_header("Content-Length", str(2**40))
            handler.end_headers()
            with contextlib.suppress(OSError):  # the other side hangs up, which is the point
                while len(sent) < 2000:
                    handler.wfile.write(b" " * 65536)
                    sent.append(65536)

        self.assertEnds(respond, BankOutcomeUnknown, "ANSWER_TOO_LONG", max_bytes=200_000)
        self.assertLess(sum(sent), 2000 * 65536)

    # -- status codes ---------------------------------------------------------------------------

    def test_status_codes_say_what_is_known(self):
        for status, expected in (
            (301, BankRejected),
            (307, BankRejected),
            (400, BankRejected),
            (401, BankRejected),
            (404, BankRejected),
            (408, BankOutcomeUnknown),
            (409, BankRejected),
            (422, BankRejected),
            (429, BankUnavailable),
            (500, BankOutcomeUnknown),
            (502, BankOutcomeUnknown),
            (503, BankOutcomeUnknown),
            (504, BankOutcomeUnknown),
        ):
            with self.subTest(status=status):
                self.assertEnds(
                    lambda handler, _body, status=status: reply(
                        handler, b'{"a": 1}', status, headers=[("Location", "/other")]
                    ),
                    expected,
                    f"HTTP_{status}",
                )

    # -- no answer ------------------------------------------------------------------------------

    def test_no_answer_in_time_leaves_the_outcome_open(self):
        with ScriptedServer(lambda handler, _body: server.is_stopping.wait(5)) as server:
            for safe, expected in ((False, BankOutcomeUnknown), (True, BankUnavailable)):
                with self.subTest(safe=safe), self.assertRaises(expected) as caught:
                    self.post(server.url, safe=safe)
                self.assertEqual(caught.exception.code, "ReadTimeout")

    def test_an_answer_that_stops_coming_leaves_the_outcome_open(self):
        def respond(handler, _body):
            reply(handler, b'{"status"', claim=100)
            handler.wfile.flush()
            server.is_stopping.wait(5)

        with ScriptedServer(respond) as server, self.assertRaises(BankOutcomeUnknown):
            self.post(server.url)

    def test_a_connection_lost_after_sending_leaves_the_outcome_open(self):
        for end in (drop, reset):
            with self.subTest(end=end.__name__):
                self.assertEnds(
                    lambda handler, _body, end=end: end(handler),
                    BankOutcomeUnknown,
                    "ConnectionError",
                )

    def test_where_nobody_listens_nothing_was_sent(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{probe.getsockname()[1]}/pay"
            with self.assertRaises(BankUnavailable) as caught:
                self.post(url)
        self.assertEqual(caught.exception.code, "ConnectionError")

    def test_a_connection_that_is_never_made_is_unavailable(self):
        session = requests.Session()
        session.mount("http://", _Failing(requests.ConnectTimeout("slow")))
        with self.assertRaises(BankUnavailable):
            self.post("http://127.0.0.1/", session=session)

    def test_an_address_of_another_kind_is_unavailable(self):
        with requests.Session() as session:
            request = requests.Request("POST", "ftp://127.0.0.1/", data=b"").prepare()
            with self.assertRaises(BankUnavailable) as caught:
                http.send(session, request, timeout_s=TIMEOUT_S, safe=False)
        self.assertEqual(caught.exception.code, "InvalidSchema")

    # -- TLS ------------------------------------------------------------------------------------

    def test_a_certificate_that_does_not_verify_is_unavailable(self):
        for verify in (True, False):  # nobody can switch verification off
            session = requests.Session()
            session.verify = verify
            with ScriptedServer(
                lambda handler, _body: reply(handler, b"{}"), self_signed()
            ) as server:
                with self.subTest(verify=verify), self.assertRaises(BankUnavailable) as caught:
                    self.post(server.url, session=session)
                self.assertEqual(caught.exception.code, "SSLError")
                self.assertEqual(server.requests, [])

    def test_another_failure_of_tls_leaves_the_outcome_open(self):
        failure = requests.exceptions.SSLError(_Retries(_Tls(ssl.SSLEOFError("broke off"))))
        session = requests.Session()
        session.mount("https://", _Failing(failure))
        with self.assertRaises(BankOutcomeUnknown):
            self.post("https://localhost/pay", session=session)

    # -- what is sent, logged and recorded ------------------------------------------------------

    def test_both_time_outs_reach_the_connection(self):
        adapter = _Failing(requests.ConnectionError("enough"))
        session = requests.Session()
        session.mount("http://", adapter)
        for _again in range(2):
            with self.assertRaises(BankOutcomeUnknown):
                self.post("http://localhost/pay", session=session)
            self.assertEqual(adapter.options["timeout"], TIMEOUT_S)
            self.assertIs(adapter.options["stream"], True)

    def test_exchanges_are_recorded_with_masked_bodies(self):
        body = {"account_number": "ACC000012345", "payments": [{"beneficiary_name": "Jane"}]}
        with (
            ScriptedServer(lambda handler, sent: reply(handler, sent)) as server,
            http.record() as outer,
            http.record() as exchanges,
        ):
            self.post(f"{server.url}/accounts/1111000011?x=1111000011", body=body)
        [exchange] = exchanges
        self.assertEqual(outer, exchanges)
        masked = {"account_number": "****2345", "payments": [{"beneficiary_name": "****"}]}
        self.assertEqual(json.loads(exchange.request_masked), masked)
        self.assertEqual(json.loads(exchange.response_masked), masked)
        self.assertEqual(
            (exchange.method, exchange.path, exchange.http_status, exchange.error),
            ("POST", "/accounts/****", 200, ""),
        )
        self.assertGreater(exchange.latency_ms, 0)

    def test_a_failure_is_recorded_too(self):
        with http.record() as exchanges, self.assertRaises(BankOutcomeUnknown):
            self.answer(lambda handler, _body: reply(handler, b'{"token": "t1"}', 500))
        with http.record() as others, self.assertRaises(BankOutcomeUnknown):
            self.answer(lambda handler, _body: drop(handler))
        self.assertEqual((exchanges[0].http_status, exchanges[0].error), (500, "HTTP_500"))
        self.assertNotIn("t1", exchanges[0].response_masked)
        self.assertEqual((others[0].http_status, others[0].error), (None, "ConnectionError"))
        self.assertEqual((len(exchanges), len(others)), (1, 1))

    def test_a_call_is_one_log_line_without_its_content(self):
        with self.assertLogs(http.__name__) as logs:
            self.answer(
                lambda handler, sent: reply(handler, sent), body={"account_number": "ACC000012345"}
            )
        [line] = logs.output
        self.assertRegex(line, r"POST /pay: HTTP_200 in \d+ ms$")


class _Failing(requests.adapters.BaseAdapter):
    """An adapter that fails as told, where the network cannot be made to."""

    def __init__(self, failure):
        super().__init__()
        self.failure = failure
        self.options = None

    def send(self, request, **options):
        self.options = options
        raise self.failure

    def close(self):
        pass


class _Tls(Exception):
    """Stands for urllib3's SSLError, which holds the one of the ssl module."""


class _Retries(Exception):
    """Stands for urllib3's MaxRetryError."""

    def __init__(self, reason):
        super().__init__("gave up")
        self.reason = reason
