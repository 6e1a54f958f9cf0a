import base64
import json
import os
import tempfile
from unittest.mock import patch

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors import http, signing
from odoo.addons.g2p_bridge.connectors.dto import DebtorAccount
from odoo.addons.g2p_bridge.connectors.errors import BankUnavailable

from .http_server import ScriptedServer, reply
from .pipeline_case import PipelineCase
from .test_account_mapper import MapperServer

#: a request of OpenG2P's bridge 1.1.0 to its mapper, with made-up people, and its throw-away key
CAPTURED_BODY = (
    b'{"header":{"version":"1.0.0","message_id":"f8e27842-ae9c-4302-a34d-a93ad6b3022c","me'
    b'ssage_ts":"2026-11-23 16:22:02.638103","action":"resolve","sender_id":"g2p-bridge","'
    b'sender_uri":"","receiver_id":"","total_count":3,"is_msg_encrypted":false,"meta":null'
    b'},"message":{"transaction_id":"74bc38ea-86fe-4135-b0ae-37d3aed1fed1","resolve_reques'
    b't":[{"reference_id":"36158d1a-6961-4bfb-a969-9fc339afce55","timestamp":"2026-11-23 1'
    b'6:22:02.634234","fa":"","id":"BEN000011","name":null,"scope":"details","additional_i'
    b'nfo":null,"locale":"en"},{"reference_id":"ecd02c8e-a537-4d31-be66-dab6191175c0","tim'
    b'estamp":"2026-11-23 16:22:02.634705","fa":"","id":"BEN000012","name":null,"scope":"d'
    b'etails","additional_info":null,"locale":"en"},{"reference_id":"5510bcc4-44cb-43ff-bd'
    b'35-19cdf958d21f","timestamp":"2026-11-23 16:22:02.634978","fa":"","id":"BEN000013","'
    b'name":null,"scope":"details","additional_info":null,"locale":"en"}]}}'
)
CAPTURED_SIGNATURE = (
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9..rFjOX12FNLCCa_XJYgidXpFj8oqeCHBt_A9Z1jBGo8hMeD"
    "Py57-3wAoDmkVDEPE-N5g_xrytFw4h61RGde9FgIc3zFzU3vKG7zF69uIRGz3NXPPdAA0MJeII2OwUs0tt9O"
    "YjwMEfIgQCKADsOyAmWJ6VJWDNZ7MoJUYb4443myCReunEVXMY24mIFAtTXIhK2RPN5l9ZejA__ENSrFojS9"
    "FgqeSlyDcnfNkDil0P81oxILmbxnrWx5xjm9UN797s8ITdETRo5YX57FT5WvQdniz-IQFBzmPZhDGQuVQnqg"
    "ULwWvKJoNFSc4CN_yBnbYl3bFf8hbqmfwTlDlo103kTw"
)
CAPTURED_KEY = b"""\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4itqKSoADNeFQSKvx/U7
mem8irXSGc1JlIFvRS7IYhJbngmzYj4/OUZnWJQyZqNL3ZSNtZniQSbZQxjmDtuG
7igjRaQn6cn96yvrzbRa+c69zP6WaC+mKvR3Ob4tQdpmzftFlUIKizGI8nLh3fH1
dRuHIvfAOgDO8wxfPrKAaGxQPHXwGjv7oumfjdp+ghtIDswW5/ByUBQxmUISdNfp
M61mzuZ+zc6zQmNDspOGqhtGR0p3M3i0B2QMWc6v9gbbdMLS39wk58HO6o0KO/0Z
51rP/g6z12+pq4VY9w/hX8utMcbpyfjnsYI5uCZ9xSCEWNGkqDAcr0O8eLVMgk0Y
1QIDAQAB
-----END PUBLIC KEY-----
"""

KEY = rsa.generate_private_key(65537, 2048)


def pem_of(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def assert_verifies(key, signature, body):
    """Check a detached JWS as OpenG2P's keymanager does: RS256 over header and payload."""
    header, payload, signed = signature.split(".")
    assert payload == ""
    assert json.loads(decode(header)) == {"alg": "RS256", "typ": "JWT"}
    text = f"{header}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}".encode()
    key.verify(decode(signed), text, padding.PKCS1v15(), hashes.SHA256())


def decode(text):
    return base64.urlsafe_b64decode(f"{text}==")


@tagged("post_install", "-at_install")
class TestSignature(BaseCase):
    """The signature itself, and the key in the environment."""

    def setUp(self):
        super().setUp()
        self.set_key()

    def set_key(self, **values):
        """Have just these of the two variables."""
        environment = patch.dict(os.environ, values)
        self.enterContext(environment)
        for name in {signing.KEY, signing.KEY_FILE} - values.keys():
            os.environ.pop(name, None)

    def assertRefused(self, code, *hidden):
        with self.assertRaises(BankUnavailable) as caught:
            signing.signature_of(b"{}")
        self.assertEqual(caught.exception.code, code)
        for text in hidden:
            self.assertNotIn(text, repr(caught.exception))
            self.assertNotIn(text, repr(caught.exception.__context__))
        return str(caught.exception)

    def test_a_captured_signature_verifies_here(self):
        key = load_pem_public_key(CAPTURED_KEY)
        assert_verifies(key, CAPTURED_SIGNATURE, CAPTURED_BODY)
        with self.assertRaises(InvalidSignature):
            assert_verifies(key, CAPTURED_SIGNATURE, CAPTURED_BODY + b" ")

    def test_a_body_is_written_as_the_captured_one_was_signed(self):
        request = http.prepare(http.requests.Session(), "http://h/", json.loads(CAPTURED_BODY), {})
        self.assertEqual(request.body, CAPTURED_BODY)

    def test_our_header_is_the_captured_one(self):
        self.set_key(**{signing.KEY: pem_of(KEY).decode()})
        ours, captured = signing.signature_of(b"{}"), CAPTURED_SIGNATURE
        self.assertEqual(ours.split(".")[0], captured.split(".")[0])
        self.assertEqual(len(ours), len(captured))

    def test_the_key_comes_from_the_environment(self):
        pem = pem_of(KEY).decode()
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(pem)
            file.flush()
            for values in (
                {signing.KEY: pem},
                {signing.KEY: pem.replace("\n", "\\n")},  # one line in a file of variables
                {signing.KEY_FILE: file.name},
            ):
                with self.subTest(names=list(values)):
                    self.set_key(**values)
                    body = "naïve".encode()
                    assert_verifies(KEY.public_key(), signing.signature_of(body), body)

    def test_a_new_key_in_the_file_is_taken_at_once(self):
        other = rsa.generate_private_key(65537, 2048)
        with tempfile.NamedTemporaryFile() as file:
            self.set_key(**{signing.KEY_FILE: file.name})
            for key in (KEY, other):
                file.seek(0)
                file.truncate()
                file.write(pem_of(key))
                file.flush()
                assert_verifies(key.public_key(), signing.signature_of(b"{}"), b"{}")

    def test_without_a_key_nothing_is_signed(self):
        self.assertIn(signing.KEY_FILE, self.assertRefused("SIGNING_KEY_MISSING"))
        self.set_key(**{signing.KEY_FILE: "/no/such/key.pem"})
        self.assertRefused("SIGNING_KEY_MISSING", "/no/such")

    def test_a_key_that_does_not_fit_is_refused_and_not_shown(self):
        for pem in (
            b"-----BEGIN PRIVATE KEY-----\nCANARYCANARY\n-----END PRIVATE KEY-----\n",
            pem_of(ec.generate_private_key(ec.SECP256R1())),
            pem_of(rsa.generate_private_key(65537, 1024)),
            pem_of(KEY, BestAvailableEncryption(b"password")),
            KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ):
            with self.subTest(kind=pem[:30]):
                self.set_key(**{signing.KEY: pem.decode()})
                self.assertRefused("SIGNING_KEY_INVALID", pem.decode().split("\n")[1])


@tagged("post_install", "-at_install")
class TestSignedCalls(PipelineCase):
    """Over real HTTP: the signature fits exactly the bytes that arrive."""

    def setUp(self):
        super().setUp()
        self.use_key(pem_of(KEY).decode())

    def use_key(self, pem):
        self.enterContext(patch.dict(os.environ, {signing.KEY: pem}))
        os.environ.pop(signing.KEY_FILE, None)

    def call_bank(self, url, **values):
        account = DebtorAccount(
            bank_code="ACME", base_url=url, account_number="ACC1", currency="USD", **values
        )
        body = {"name": "Zoë", "amount": 10.5, "list": [None, True, 1e-07]}
        return self.env["g2p.bank.connector"]._send(account, "/pay", body)

    def test_a_bank_gets_a_signature_of_the_bytes_that_it_gets(self):
        with ScriptedServer(lambda handler, _body: reply(handler, b"{}")) as server:
            self.call_bank(server.url, sign_requests=True, secret="token")
            self.call_bank(server.url)
        (_path, signed, body), (_other, unsigned, _body) = server.requests
        assert_verifies(KEY.public_key(), signed["Signature"], body)
        self.assertEqual(signed["Authorization"], "Bearer token")
        self.assertNotIn("Signature", unsigned)
        with self.assertRaises(InvalidSignature):
            assert_verifies(KEY.public_key(), signed["Signature"], body.replace(b"10.5", b"90.5"))

    def test_without_a_key_a_bank_gets_nothing(self):
        self.use_key("")
        with (
            ScriptedServer(lambda handler, _body: reply(handler, b"{}")) as server,
            self.assertRaises(BankUnavailable) as caught,
        ):
            self.call_bank(server.url, sign_requests=True)
        self.assertEqual(caught.exception.code, "SIGNING_KEY_MISSING")
        self.assertEqual(server.requests, [])

    def test_the_switch_of_the_bank_reaches_its_connector(self):
        account = self.program.funding_account_id
        self.assertFalse(account._to_debtor_account().sign_requests)
        account.bank_id.sign_requests = True
        self.assertTrue(account._to_debtor_account().sign_requests)

    def test_a_mapper_gets_a_signature_of_the_bytes_that_it_gets(self):
        server = MapperServer()
        self.addCleanup(server.close)
        self.mapper.write({"provider": "g2p_connect", "base_url": server.url})
        self.mapper._resolve_over_http({"REF": "BEN1"})
        self.mapper.sign_requests = True
        self.mapper._resolve_over_http({"REF": "BEN1"})
        (_path, unsigned, _parsed), (_other, signed, _body) = server.requests
        self.assertNotIn("Signature", unsigned)
        assert_verifies(KEY.public_key(), signed["Signature"], server.bodies[-1])
        self.use_key("")
        with self.assertRaises(BankUnavailable) as caught:
            self.mapper._resolve_over_http({"REF": "BEN1"})
        self.assertEqual(caught.exception.code, "SIGNING_KEY_MISSING")
        self.assertEqual(len(server.requests), 2)
