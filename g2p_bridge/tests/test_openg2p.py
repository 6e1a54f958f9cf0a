import json
from decimal import Decimal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from psycopg2 import IntegrityError

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import BaseCase, tagged
from odoo.tools import mute_logger

from odoo.addons.g2p_bridge.services import jws, money, strict_json
from odoo.addons.g2p_bridge.services import openg2p_messages as messages
from odoo.addons.g2p_bridge.services import openg2p_shapes as shapes

from .common import BANK_GROUP, PBMS_GROUP, BridgeCommon


def make_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@tagged("post_install", "-at_install")
class TestStrictJson(BaseCase):
    """What two readers of JSON could take for two things is taken for nothing."""

    def assert_refused(self, text, words):
        content = text if isinstance(text, bytes) else text.encode()
        with self.assertRaisesRegex(strict_json.JsonError, words):
            strict_json.parse(content, 1000)

    def test_numbers_are_exact(self):
        found = strict_json.parse(b"[0.1, 1e2, 3, 100.00, -0.0, 12345678901234567890.25]", 1000)
        self.assertEqual(found[0] + Decimal("0.2"), Decimal("0.3"))
        self.assertEqual([type(each) for each in found[1:3]], [Decimal, int])
        self.assertEqual(str(found[5]), "12345678901234567890.25")

    def test_what_is_ambiguous_or_without_measure_is_refused(self):
        for text, words in (
            ('{"a": 1, "a": 1}', "twice"),
            ('[{"b": {"a": 1, "a": 2}}]', "twice"),
            ("NaN", "holds NaN"),
            ("[-Infinity]", "holds -Infinity"),
            ("1e999", "beyond all measure"),
            ("9" * 401, "beyond all measure"),
            ("0." + "1" * 500, "beyond all measure"),
            ("1e-" + "9" * 30, "beyond all measure"),
            ('"\\ud800"', "not UTF-8"),
            (b'"\xff"', "not UTF-8"),
            ("[" * 999, "nested too deeply|Expecting value"),
            ("[" * 50_000 + "]" * 50_000, "too many values"),
            ("[" + "0," * 1001 + "0]", "too many values"),
            ("", "Expecting value"),
            ("{} {}", "Extra data"),
            ("'a'", "Expecting value"),
        ):
            self.assert_refused(text, words)
        with self.assertRaisesRegex(strict_json.JsonError, "nested too deeply"):
            strict_json.parse(b"[" * 50_000 + b"]" * 50_000, 1_000_000)

    def test_what_is_ignored_is_not_deep_either(self):
        strict_json.check_depth(json.loads("[" * 16 + "]" * 16))
        with self.assertRaises(strict_json.JsonError):
            strict_json.check_depth(json.loads("[" * 17 + "]" * 17))

    def test_it_is_restated_as_openg2p_does(self):
        content = '{ "b": "é",\n "a": [1.50, 1e2, 100, null] }'.encode()
        self.assertEqual(strict_json.restated(content), b'{"b":"\\u00e9","a":[1.5,100.0,100,null]}')


@tagged("post_install", "-at_install")
class TestSignatures(BaseCase):
    """Only RSA keys of a good size, and only as public ones, are read."""

    def test_a_key_is_read_in_any_writing_and_has_one_fingerprint(self):
        key = make_key()
        pem = public_pem(key)
        other = key.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
        self.assertEqual(jws.read_key(pem), jws.read_key(other))
        self.assertEqual(jws.read_key(pem)[0], pem)
        self.assertRegex(jws.read_key(pem)[1], "^[0-9a-f]{64}$")

    def test_what_is_no_such_key_is_refused(self):
        key = make_key()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for pem, code in (
            (private, "private"),
            (public_pem(make_key(1024)), "none"),
            (public_pem(ec.generate_private_key(ec.SECP256R1())), "none"),
            ("", "none"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "none"),
        ):
            with self.assertRaises(jws.KeyProblem) as caught:
                jws.read_key(pem)
            self.assertEqual(caught.exception.code, code)
            self.assertFalse(jws.is_signed("e30..AAAA", [lambda: b""], pem))


@tagged("post_install", "-at_install")
class TestMessages(BaseCase):
    """Rules of the messages that no reply shows."""

    def test_amounts_of_a_column_are_those_of_its_single_values(self):
        texts = ["0.01", "1", "1.5", "12.00", "9999999999999.99", "1e2", "100", "0.10"]
        for column in (
            [strict_json.parse(text.encode(), 9) for text in texts],
            [5, 10**12, 1],
            [Decimal("7.10")],
            ["1.00", 2, Decimal("3.5")],
        ):
            expected = [money.parse_amount(value, 2) for value in column]
            found = money.parse_amounts(column, 2)
            self.assertEqual(list(map(str, found)), list(map(str, expected)))
        for wrong in (
            *(0, -1, 10**13, True, None),
            *map(Decimal, ("0.00", "0.001", "-1.5", "1E+20", "1E-9")),
        ):
            with self.assertRaises(money.AmountError):
                money.parse_amounts([1, wrong], 2)

    def test_a_message_has_its_own_key_by_call_sender_and_id(self):
        keys = {
            messages.message_key(*each)
            for each in (
                ("create_disbursements", ["partner", "A"], "1"),
                ("create_disbursement_envelope", ["partner", "A"], "1"),
                ("create_disbursements", ["partner", "A"], "2"),
                ("create_disbursements", ["partner", "B"], "1"),
                ("create_disbursements", ["user", "A"], "1"),
                ("create_disbursements", ["partner", 'A", "1'], "1"),
            )
        }
        self.assertEqual(len(keys), 6)
        self.assertLess(max(map(len, keys)), 129)
        self.assertIsNone(messages.message_key("create_disbursements", ["user", 1], ""))

    def test_fields_of_no_meaning_are_not_repeated(self):
        row = {"disbursement_id": "A", "hidden": 1, "response_error_codes": ["x"]}
        [reply] = messages.CALLS["cancel_disbursements"].refused([row], "X", [])
        self.assertEqual(list(reply), list(shapes.DISBURSEMENT))
        self.assertEqual(reply["response_error_codes"], ["x"])

    def test_statement_entries_have_reasons_that_openg2ps_clients_know(self):
        entry = {"error_reason": "NOT_SENT", "value_date": "", "entry_sequence": "1"}
        records = {
            "disbursement_recon_payloads": [],
            "disbursement_error_recon_payloads": [entry],
        }
        answer = [{"disbursement_id": "A", "disbursement_recon_records": records}]
        [payment] = messages.CALLS["get_disbursement_status"].accepted(["A"], answer)
        [told] = payment["disbursement_recon_records"]["disbursement_error_recon_payloads"]
        self.assertEqual(told["error_reason"], "INVALID_DISBURSEMENT_ID")
        self.assertIsNone(told["value_date"])


@tagged("post_install", "-at_install")
class TestTrustedKeys(BridgeCommon):
    """Who may trust a key, which ones, and for whom."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pem = public_pem(make_key())

    def trust(self, **values):
        return self.env["g2p.trusted.key"].create(
            {
                "sender_id": "pbms-one",
                "api_user_id": self.pbms_user.id,
                "public_key": self.pem,
                **values,
            }
        )

    def assert_invalid(self, words, attempt):
        with self.assertRaises(ValidationError) as caught:  # a Regex one would roll nothing back
            attempt()
        self.assertIn(words, str(caught.exception))

    def test_only_a_system_administrator_trusts_a_key(self):
        key = self.trust()
        administrator = self.create_user("test_admin", "g2p_bridge.group_administrator")
        as_administrator = key.with_user(administrator)
        self.assertEqual(as_administrator.fingerprint, key.fingerprint)
        for attempt in (
            lambda: as_administrator.write({"public_key": public_pem(make_key())}),
            lambda: as_administrator.write({"active": False}),
            lambda: as_administrator.create({"sender_id": "x", "api_user_id": self.pbms_user.id}),
            as_administrator.unlink,
            key.with_user(self.officer).read,
            key.with_user(self.pbms_user).read,
        ):
            with self.assertRaises(AccessError):
                attempt()

    def test_a_key_acts_as_a_program_system_only(self):
        for user in (self.bank_user, self.officer, self.env.user):
            self.assert_invalid("PBMS API", lambda user=user: self.trust(api_user_id=user.id))

    def test_a_senders_keys_act_as_one_user(self):
        key = self.trust()
        other = self.create_user("test_pbms_2", PBMS_GROUP)
        values = {
            "sender_id": "PBMS_ONE",
            "api_user_id": other.id,
            "public_key": public_pem(make_key()),
        }
        self.assert_invalid("other key", lambda: self.trust(**values))
        key.active = False
        self.trust(**values)
        self.assert_invalid("other key", lambda: key.write({"active": True}))

    def test_what_is_no_public_key_is_not_kept(self):
        private = make_key().private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        for pem, words in ((private.decode(), "private key"), ("hello", "BEGIN PUBLIC KEY")):
            self.assert_invalid(words, lambda pem=pem: self.trust(public_key=pem))
        key = self.trust(public_key=f"\n  {self.pem}\n")
        self.assertEqual(key.public_key, self.pem)
        for sender in (" ", "a\nb", "x" * 129):
            with self.assertRaises(ValidationError):
                key.sender_id = sender
        with self.assertRaises(IntegrityError), mute_logger("odoo.sql_db"):
            self.trust(sender_id="Pbms_One")

    def test_a_change_is_told_in_the_chatter(self):
        keys = self.env["g2p.trusted.key"].with_context(tracking_disable=False)
        key = keys.browse(self.trust().id)
        self.flush_tracking()
        key.public_key = public_pem(make_key())
        self.flush_tracking()
        tracked = key.message_ids.tracking_value_ids
        self.assertEqual(tracked.field_id.mapped("name"), ["fingerprint"])
        self.assertNotIn(self.pbms_user.partner_id, key.message_partner_ids)

    def flush_tracking(self):
        self.env.flush_all()
        self.env.cr.precommit.run()

    def test_only_who_is_active_is_believed(self):
        key = self.trust(public_key=False)
        keys = self.env["g2p.trusted.key"]

        def user(signature=None, sender="pbms-one"):
            return keys._user_of(sender, signature, [lambda: b""])

        self.assertEqual(user(), self.pbms_user.id)
        self.assertIsNone(user(""))  # without a key there is nothing to check by
        self.assertIsNone(user(sender="\0"))
        self.assertIsNone(user(sender="pbms-two"))
        self.pbms_user.active = False
        self.env.flush_all()
        self.assertIsNone(user())
        self.pbms_user.active = True
        key.active = False
        self.env.flush_all()
        self.assertIsNone(user())

    def test_a_user_who_left_the_group_is_refused_by_the_facade(self):
        self.trust()
        self.pbms_user.group_ids -= self.env.ref(PBMS_GROUP)
        bridge = self.env["g2p.bridge"].with_user(self.pbms_user)
        with self.assertRaises(AccessError):
            bridge.get_disbursement_envelope_status("x")
        self.assertFalse(self.pbms_user.has_group(BANK_GROUP))
