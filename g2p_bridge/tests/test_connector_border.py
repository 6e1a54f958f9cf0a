import contextlib
import gzip
import os
import tempfile
import tracemalloc
from datetime import timedelta
from unittest.mock import patch

import requests

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors import http
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)

from .http_server import Authority, ScriptedServer, reply, self_signed

#: seconds to connect, and between two bytes
TIMEOUT_S = (0.5, 1)
#: so long does a slow server wait between two bytes: it never runs into a time-out of one byte
PAUSE_S = 0.05
#: bytes that it drips at most, a multiple of what fits into the whole time
DRIPS = 600
SECRET = "canary-of-the-border"


def post(url, *, body=None, safe=False, timeout_s=TIMEOUT_S, **options):
    with requests.Session() as session:
        headers = {"Authorization": f"Bearer {SECRET}"}
        request = http.prepare(session, url, {"a": 1} if body is None else body, headers)
        return http.send(session, request, timeout_s=timeout_s, safe=safe, **options)


def read_at_once(handler, length):
    return handler.rfile.read(length)


def read_slowly(handler, length):
    """Read a body piece by piece, so that nothing stands still long enough for a time-out.

    :return: how many bytes came, as text
    """
    count = 0
    with contextlib.suppress(OSError):
        while count < length and not handler.server.is_stopping.wait(PAUSE_S):
            piece = handler.rfile.read(64 * 1024)
            if not piece:
                break
            count += len(piece)
    return f"{count}".encode()


class BorderCase(BaseCase):
    def trust(self, authority):
        """Have an authority trusted, as a server's administrator does it."""
        file = self.enterContext(tempfile.NamedTemporaryFile())
        file.write(authority.pem)
        file.flush()
        self.set_environment(REQUESTS_CA_BUNDLE=file.name)

    def set_environment(self, **values):
        self.enterContext(patch.dict(os.environ, values))

    def assertEnds(self, respond, expected, code, tls=None, *, read=read_at_once, **options):
        """Assert in which error a call ends, and return it and the server."""
        with ScriptedServer(respond, tls, read) as server:
            host = server.url.replace("127.0.0.1", "localhost")
            with self.assertRaises(expected) as caught:
                post(f"{host}/pay", **options)
        self.assertIs(type(caught.exception), expected)
        self.assertEqual(caught.exception.code, code)
        return caught.exception, server


def fine(handler, _body):
    reply(handler, b"{}")


@tagged("post_install", "-at_install")
class TestTls(BorderCase):
    """Nothing is sent to whoever cannot prove to be the bank."""

    def assertUntrusted(self, tls, reason):
        error, server = self.assertEnds(fine, BankUnavailable, "SSLError", tls)
        self.assertRegex(str(error), f"certificate does not verify.*nothing was sent.*{reason}")
        self.assertEqual(server.requests, [])

    def test_a_certificate_that_nobody_signed_is_refused(self):
        self.assertUntrusted(self_signed(), "self.signed certificate")

    def test_a_certificate_of_an_unknown_authority_is_refused(self):
        self.assertUntrusted(Authority().server("localhost"), "unable to get local issuer")

    def test_a_certificate_of_another_host_is_refused(self):
        authority = Authority()
        self.trust(authority)
        self.assertUntrusted(authority.server("bank.example"), "[Hh]ostname mismatch")

    def test_a_certificate_that_has_run_out_is_refused(self):
        authority = Authority()
        self.trust(authority)
        expired = authority.server("localhost", ends_in=timedelta(minutes=-5))
        self.assertUntrusted(expired, "expired")

    def test_a_bank_with_an_authority_of_its_own_is_trusted_by_the_environment(self):
        authority = Authority()
        self.trust(authority)
        with ScriptedServer(fine, authority.server("localhost")) as server:
            self.assertEqual(post(server.url.replace("127.0.0.1", "localhost")), {})


@tagged("post_install", "-at_install")
class TestWhereItGoes(BorderCase):
    """Body and token go to the address that was set, and to no other."""

    def test_no_redirect_is_followed_to_any_host(self):
        with ScriptedServer(fine) as other:
            for status in (301, 302, 303, 307, 308):
                for url in (f"{other.url}/there", "/elsewhere"):
                    with self.subTest(status=status, url=url):
                        _error, server = self.assertEnds(
                            lambda handler, _body, status=status, url=url: reply(
                                handler, b"", status, headers=[("Location", url)]
                            ),
                            BankRejected,
                            f"HTTP_{status}",
                        )
                        self.assertEqual(len(server.requests), 1)
            self.assertEqual(other.requests, [])

    def test_a_netrc_file_does_not_take_the_place_of_the_token(self):
        with tempfile.NamedTemporaryFile("w", suffix=".netrc") as netrc:
            netrc.write("default login somebody password else\n")
            netrc.flush()
            self.set_environment(NETRC=netrc.name)
            with ScriptedServer(fine) as server:
                post(server.url)
        [(_path, headers, _body)] = server.requests
        self.assertEqual(headers["Authorization"], f"Bearer {SECRET}")

    def test_a_proxy_of_the_environment_is_used_and_has_no_more_time_than_a_bank(self):
        with ScriptedServer(drip_body) as proxy:
            self.set_environment(http_proxy=proxy.url, no_proxy="", NO_PROXY="")
            with self.assertRaises(BankOutcomeUnknown) as caught:
                post("http://localhost:9/pay")
        self.assertEqual(caught.exception.code, "TOTAL_TIMEOUT")
        self.assertEqual(proxy.requests[0][0], "http://localhost:9/pay")

    def test_plain_http_to_another_machine_is_known(self):
        for url, is_plain in (
            ("http://bank.example/g2p", True),
            ("HTTP://10.0.0.1:8080", True),
            ("https://bank.example", False),
            ("http://127.0.0.1:8101", False),
            ("http://localhost", False),
            ("http://[::1]:80/", False),
            ("http://[", False),
            (False, False),
        ):
            self.assertEqual(http.is_plain(url), is_plain, url)


def drip(handler, data):
    """Write byte by byte, each in time, all together for ever."""
    with contextlib.suppress(OSError):  # the other side hangs up, which is the point
        for byte in data:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if handler.server.is_stopping.wait(PAUSE_S):
                return


def drip_body(handler, _body):
    handler.send_response(200)
    handler.send_header("Content-Length", str(DRIPS + 2))
    handler.end_headers()
    handler.wfile.write(b"{}")
    drip(handler, b" " * DRIPS)


def drip_without_length(handler, _body):
    handler.protocol_version = "HTTP/1.0"
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"{}")
    drip(handler, b" " * DRIPS)


def drip_chunks(handler, _body):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    drip(handler, b"1\r\n \r\n" * (DRIPS // 6))


def drip_compressed(handler, _body):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    drip(handler, gzip.compress(os.urandom(DRIPS)))


def drip_header(handler, _body):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(handler, b"a" * DRIPS)


def drip_status(handler, _body):
    drip(handler, b"HTTP/1.1 200 " + b"a" * DRIPS)


def continue_for_ever(handler, _body):
    drip(handler, b"HTTP/1.1 100 Continue\r\n\r\n" * (DRIPS // 25))


@tagged("post_install", "-at_install")
class TestLimits(BorderCase):
    """Neither time nor memory is taken without end."""

    def test_an_answer_that_drips_is_given_up_in_the_end(self):
        for respond in (
            drip_body,
            drip_without_length,
            drip_chunks,
            drip_compressed,
            drip_header,
            drip_status,
            continue_for_ever,
        ):
            with self.subTest(respond=respond.__name__):
                error, _server = self.assertEnds(respond, BankOutcomeUnknown, "TOTAL_TIMEOUT")
                self.assertIn("after 2.5 seconds", str(error))
        self.assertEnds(drip_body, BankUnavailable, "TOTAL_TIMEOUT", safe=True)

    def test_it_is_given_up_under_tls_as_well(self):
        authority = Authority()
        self.trust(authority)
        tls = authority.server("localhost")
        self.assertEnds(drip_body, BankOutcomeUnknown, "TOTAL_TIMEOUT", tls)

    def test_a_bank_that_reads_too_slowly_is_given_up(self):
        authority = Authority()
        self.trust(authority)
        length = 40_000_000
        for tls in (None, authority.server("localhost")):
            with self.subTest(tls=bool(tls)):
                _error, server = self.assertEnds(
                    fine,
                    BankOutcomeUnknown,
                    "TOTAL_TIMEOUT",
                    tls,
                    read=read_slowly,
                    body={"long": "a" * length},
                )
                received = [int(body) for _path, _headers, body in server.requests]
                # what the system buffers is far below half of it
                self.assertLess(max(received, default=0), length // 2)

    def test_the_whole_time_follows_from_the_time_outs(self):
        self.assertEqual(http.total_timeout_s((10, 30)), 70)

    def test_a_small_answer_that_swells_is_not_unpacked_to_its_end(self):
        bomb = gzip.compress(bytes(200_000_000))
        self.assertLess(len(bomb), 300_000)

        def respond(handler, _body):
            reply(handler, bomb, headers=[("Content-Encoding", "gzip")])

        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertEnds(
            respond,
            BankOutcomeUnknown,
            "ANSWER_TOO_LONG",
            max_bytes=1_000_000,
            timeout_s=(10, 30),
        )
        _now, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak, 20_000_000)

    def test_headers_without_end_are_not_read_to_their_end(self):
        def respond(handler, _body):
            with contextlib.suppress(OSError):
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-Long: a\r\n" * 100_000)

        self.assertEnds(respond, BankOutcomeUnknown, "ConnectionError")
