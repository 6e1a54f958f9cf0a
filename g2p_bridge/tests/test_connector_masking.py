import json

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors.masking import (
    MAX_BODY_BYTES,
    mask_account,
    mask_body,
    mask_exchange,
    mask_json,
    mask_path,
    private_values,
)


@tagged("post_install", "-at_install")
class TestMasking(BaseCase):
    """What may be shown of accounts, people and secrets."""

    def test_an_account_keeps_its_last_four_characters(self):
        for number, expected in (
            ("ACC000012345", "****2345"),
            ("AC 0000 1234 5", "****2345"),
            ("12345678", "****5678"),
            ("1234567", "****"),
            ("", ""),
            (12345678, "****5678"),
            ("a.b@example.org", "****@example.org"),
        ):
            self.assertEqual(mask_account(number), expected)

    def test_fields_are_masked_by_name_in_any_spelling(self):
        masked = mask_json(
            {
                "account_number": "ACC000012345",
                "remittingAccount": "ACC000012345",
                "beneficiary_phone_no": "0700000001",
                "beneficiary-email": "x@example.org",
                "Authorization": "Bearer abcdef",
                "fa": "account_number:1",
                "clientSecret": "s",
                "debtor_iban": 123456789012,
                "beneficiary_account_type": "BANK_ACCOUNT",
                "payment_reference_number": "0123456789012345",
                "payment_amount": 100.5,
                "beneficiary_bank_code": "BANK",
                "beneficiary_email_wallet_provider": None,
            }
        )
        self.assertEqual(
            masked,
            {
                "account_number": "****2345",
                "remittingAccount": "****2345",
                "beneficiary_phone_no": "****",
                "beneficiary-email": "****",
                "Authorization": "****",
                "fa": "****",
                "clientSecret": "****",
                "debtor_iban": "****9012",
                "beneficiary_account_type": "BANK_ACCOUNT",
                "payment_reference_number": "0123456789012345",
                "payment_amount": 100.5,
                "beneficiary_bank_code": "BANK",
                "beneficiary_email_wallet_provider": None,
            },
        )

    def test_all_below_a_private_field_is_masked(self):
        masked = mask_json({"account": {"id": "ACC000012345", "x": ["12345678"]}, "ok": [{"a": 1}]})
        self.assertEqual(
            masked, {"account": {"id": "****2345", "x": ["****5678"]}, "ok": [{"a": 1}]}
        )

    def test_sentences_lose_their_numbers_and_addresses(self):
        masked = mask_json(
            ["Account 1111000011 of x@example.org is closed", "2026-11-23T10:00:00.123456"]
        )
        self.assertEqual(masked, ["Account **** of **** is closed", "2026-11-23T10:00:00.123456"])

    def test_more_names_can_be_given(self):
        masked = mask_json({"fiscal_code": "ABCDEF12"}, private=frozenset({"fiscal_code"}))
        self.assertEqual(masked, {"fiscal_code": "****"})

    def test_long_lists_and_texts_are_cut_and_counted(self):
        self.assertEqual(mask_json(list(range(25)))[-2:], [19, "... and 5 more"])
        self.assertEqual(len(mask_json(list(range(20)))), 20)
        self.assertIn("(900 characters)", mask_json("x" * 900))

    def test_data_nested_without_end_is_cut(self):
        value = "ACC000012345"
        for _level in range(500):
            value = [value]
        self.assertIn("****", json.dumps(mask_json(value)))

    def test_a_body_that_is_no_json_is_only_counted(self):
        self.assertEqual(mask_body(b"<html>0700000001</html>"), "(23 bytes, no JSON)")
        self.assertEqual(mask_body(b"[" * 100_000), "(100000 bytes, no JSON)")
        self.assertEqual(mask_body(None), "")
        self.assertEqual(json.loads(mask_body('{"secret": "x"}')), {"secret": "****"})

    def test_numbers_in_a_path_are_masked(self):
        self.assertEqual(mask_path("/v2/accounts/1111000011/pay"), "/v2/accounts/****/pay")

    def test_what_an_answer_repeats_of_the_request_is_masked_wherever_it_stands(self):
        request = [
            {
                "beneficiary_name": 'Zoë "Z" Canary',
                "beneficiary_account": "CANARYACC1",
                "remitting_account": 12345678,
                "beneficiary": {"phone": ["CANARYPHONE"]},
                "name": "Li",
                "narrative_1": "School",
                "is_account": True,
            }
        ]
        known = private_values(request)
        self.assertEqual(known, {'Zoë "Z" Canary', "CANARYACC1", "12345678", "CANARYPHONE"})
        answer = {
            "message": 'CANARYACC1 of Zoë "Z" Canary is closed',
            "ref": "x12345678",
            "why": {"CANARYPHONE": "closed"},
            "narrative_1": "School",
        }
        sent, masked = mask_exchange(json.dumps(request), json.dumps(answer), {"School"})
        self.assertEqual(sent, mask_body(json.dumps(request)))
        for value in ("CANARY", "Zo", "12345678", "School"):
            self.assertNotIn(value, masked)
        self.assertIn("is closed", masked)
        self.assertEqual(mask_body(json.dumps(answer)).count("CANARYACC1"), 1)

    def test_a_request_that_is_no_json_leaves_its_answer_as_it_is(self):
        for request in (None, b"", b"<html>", b"[" * 100_000, b"\xff"):
            _sent, masked = mask_exchange(request, b'{"note": "School"}')
            self.assertEqual(json.loads(masked), {"note": "School"})

    def test_what_a_request_too_long_to_be_shown_holds_is_masked_in_its_answer(self):
        request = json.dumps([{"name": "Canary", "note": "x" * MAX_BODY_BYTES}])
        sent, masked = mask_exchange(request, b'{"note": "Canary"}')
        self.assertEqual(sent, f"({len(request)} bytes)")
        self.assertEqual(json.loads(masked), {"note": "****"})
