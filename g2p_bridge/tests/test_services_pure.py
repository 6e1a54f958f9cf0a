import random
import time
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import pairwise

from freezegun import freeze_time
from stdnum.iso7064 import mod_37_36

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors.dto import BANK_ACCOUNT, EMAIL_WALLET, MOBILE_WALLET
from odoo.addons.g2p_bridge.services import disbursement_id, financial_address, money
from odoo.addons.g2p_bridge.services.api_rows import checked_row, faultless_rows
from odoo.addons.g2p_bridge.services.canonical import content_hash, rows_hash
from odoo.addons.g2p_bridge.services.disbursement_id import is_valid, new_ids
from odoo.addons.g2p_bridge.services.money import AmountError, parse_amount


@tagged("post_install", "-at_install")
class TestDisbursementId(BaseCase):
    """Ids that fit a bank's reference field and give mistyping away."""

    def test_ids_are_what_python_stdnum_takes_for_valid(self):
        ids = new_ids(4000)
        self.assertEqual([text for text in ids if not mod_37_36.is_valid(text)], [])
        self.assertEqual({len(text) for text in ids}, {16})
        self.assertTrue(all(text.isascii() and text.isalnum() for text in ids))
        self.assertEqual([text.upper() for text in ids], ids)

    def test_validity_agrees_with_python_stdnum_on_every_check_character(self):
        for text in new_ids(50):
            for check in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                other = text[:15] + check
                self.assertEqual(is_valid(other), mod_37_36.is_valid(other), other)

    def test_one_wrong_character_is_always_noticed(self):
        [text] = new_ids(1)
        for position in range(16):
            wrong = "1" if text[position] != "1" else "2"
            self.assertFalse(is_valid(text[:position] + wrong + text[position + 1 :]))

    def test_nearly_all_swaps_of_neighbours_are_noticed(self):
        """ISO 7064 promises all single errors, and all but a few transpositions."""
        swaps = missed = 0
        for number in range(500):
            # ids of one call are much alike: each of these is of another time
            with freeze_time(datetime.fromtimestamp(number * 3_456_789.123, timezone.utc)):
                [text] = new_ids(1)
            for position in range(15):
                pair = text[position : position + 2]
                if pair[0] != pair[1]:
                    swapped = text[:position] + pair[::-1] + text[position + 2 :]
                    swaps, missed = swaps + 1, missed + is_valid(swapped)
        self.assertGreater(swaps, 5000)
        self.assertLess(missed / swaps, 0.01)

    def test_what_only_looks_like_an_id_is_none(self):
        [text] = new_ids(1)
        others = (text.lower(), text + "A", text[:15], f" {text}", f"{text}\n", "", None, 7)
        for other in (*others, text.replace(text[0], "\N{FULLWIDTH DIGIT ONE}")):
            with self.subTest(other=other):
                self.assertIs(is_valid(other), other == text)

    def test_ids_of_a_call_are_distinct_and_consecutive(self):
        ids = new_ids(3000)
        numbers = [int(text[8:15], 36) for text in ids]
        steps = {(b - a) % 36**7 for a, b in pairwise(numbers)}
        self.assertEqual(steps, {1})
        self.assertEqual(len(set(ids)), 3000)
        self.assertEqual(len({text[:8] for text in ids}), 1)

    def test_the_first_characters_are_the_time(self):
        before = time.time_ns() // 1_000_000
        [text] = new_ids(1)
        self.assertTrue(before <= int(text[:8], 36) <= time.time_ns() // 1_000_000)

    def test_the_random_number_wraps_around(self):
        self.patch(disbursement_id.secrets, "randbelow", lambda limit: limit - 2)
        ids = new_ids(4)
        self.assertEqual([text[8:15] for text in ids], ["ZZZZZZY", "ZZZZZZZ", "0000000", "0000001"])
        self.assertTrue(all(map(is_valid, ids)))

    def test_counts_at_the_edge(self):
        self.assertEqual(new_ids(0), [])
        with self.assertRaises(ValueError):
            new_ids(-1)


@tagged("post_install", "-at_install")
class TestMoney(BaseCase):
    """Amounts at the door: exact, or refused with a sentence."""

    def test_amounts_are_read_to_the_cent(self):
        for value, places, expected in (
            (100, 2, "100.00"),
            (100.0, 2, "100.00"),
            (0.1, 2, "0.10"),
            (19.99, 2, "19.99"),
            ("19.99", 2, "19.99"),
            ("007.5", 2, "7.50"),
            ("1", 0, "1"),
            (1e3, 2, "1000.00"),
            (0.00001, 5, "0.00001"),
            (9999999999999.99, 2, "9999999999999.99"),
            (999999999999999, 0, "999999999999999"),
            (Decimal("2.50"), 2, "2.50"),
            (Decimal("1E+2"), 2, "100.00"),
        ):
            with self.subTest(value=value):
                amount = parse_amount(value, places)
                self.assertIs(type(amount), Decimal)
                self.assertEqual(str(amount), expected)

    def test_what_is_no_amount_is_refused(self):
        texts = ["", " ", "1 000", "+1", "1e3", "1,5", ".5", "5.", "1.2.3", "0x1", "NaN", "\u0661"]
        numbers = [float("nan"), float("inf"), -float("inf"), -1, -0.01, 0, 0.0, Decimal("NaN")]
        others = [None, True, False, [], {}, b"1", "-1", "0", "0.00", "1\n", " 1"]
        for value in (*texts, *numbers, *others):
            with self.subTest(value=value), self.assertRaises(AmountError):
                parse_amount(value, 2)

    def test_more_decimals_than_the_currency_has_are_refused(self):
        for value, places in ((1.001, 2), ("1.001", 2), ("1.500", 2), (0.5, 0), (1e-9, 2)):
            with self.subTest(value=value), self.assertRaisesRegex(AmountError, "decimals"):
                parse_amount(value, places)

    def test_more_digits_than_a_json_number_holds_are_refused(self):
        for value, places in (
            (10**15, 0),
            (10**13, 2),
            ("10000000000000.00", 2),
            (1e300, 2),
            ("9" * 5000, 2),
            (10**5000, 2),
            (Decimal("1E+999999"), 2),
        ):
            with self.subTest(places=places), self.assertRaisesRegex(AmountError, "15 digits"):
                parse_amount(value, places)

    def test_zero_is_an_amount_where_it_is_allowed(self):
        for value in (0, 0.0, "0", "0.00"):
            self.assertEqual(parse_amount(value, 2, allow_zero=True), 0)
        with self.assertRaises(AmountError):
            parse_amount(-1, 2, allow_zero=True)

    def test_every_amount_taken_survives_a_json_number(self):
        for cents in (1, 7, 10, 29, 1999, 123456789, 450359962737, 999999999999999):
            amount = parse_amount(f"{cents // 100}.{cents % 100:02d}", 2)
            self.assertEqual(parse_amount(money.to_json_number(amount), 2), amount)

    def test_an_amount_that_no_float_is_has_no_json_number(self):
        for text in ("90071992547409.93", "NaN", "Infinity", "1E+400"):
            with self.subTest(text=text), self.assertRaises(AmountError):
                money.to_json_number(Decimal(text))

    def test_amounts_are_written_with_the_decimals_of_the_currency(self):
        self.assertEqual(money.format_amount(Decimal("1E+3"), 2), "1000.00")
        self.assertEqual(money.format_amount(Decimal("7.5"), 2), "7.50")
        self.assertEqual(money.format_amount(Decimal("7"), 0), "7")
        for text in ("7.505", "NaN"):
            with self.assertRaises(AmountError):
                money.format_amount(Decimal(text), 2)


@tagged("post_install", "-at_install")
class TestFinancialAddress(BaseCase):
    """Address strings of a mapper, taken apart by rules."""

    FULL = (
        "account_number:{}.branch_code:B1.bank_code:BANK.mobile_number:{}.email_address:{}.fa_type:"
    )

    def test_each_kind_is_read_with_dots_in_its_values(self):
        full = self.FULL.format("ACC.01", "0700", "a.b@mail.example.org")
        for kind in (BANK_ACCOUNT, MOBILE_WALLET, EMAIL_WALLET):
            address = financial_address.parse(full + kind)
            self.assertEqual(
                (address.fa_type, address.account_number, address.bank_code, address.branch_code),
                (kind, "ACC.01", "BANK", "B1"),
            )
            self.assertEqual(
                (address.mobile_number, address.email_address), ("0700", "a.b@mail.example.org")
            )

    def test_parts_may_be_missing_but_for_the_one_that_is_paid_to(self):
        parse = financial_address.parse
        self.assertEqual(parse("mobile_number:0700.fa_type:MOBILE_WALLET").mobile_number, "0700")
        self.assertIsNone(parse("mobile_number:0700.fa_type:BANK_ACCOUNT"))
        self.assertIsNone(parse(self.FULL.format("", "0700", "a@b.example") + BANK_ACCOUNT))
        self.assertIsNone(parse(self.FULL.format(" ", "0700", "a@b.example") + BANK_ACCOUNT))
        self.assertIsNone(parse(self.FULL.format("A", "", "a@b.example") + MOBILE_WALLET))

    def test_what_no_rule_fits_is_no_address(self):
        for text in (
            "",
            "A",
            "fa_type:BANK_ACCOUNT",
            "account_number:A",
            "account_number:A.fa_type:X",
        ):
            with self.subTest(text=text):
                self.assertIsNone(financial_address.parse(text))
        self.assertIsNone(
            financial_address.parse(self.FULL.format("A" * 600, "", "") + BANK_ACCOUNT)
        )

    def test_the_first_rule_that_fits_wins(self):
        rules = [
            financial_address.Rule("wallet", r"w:(?P<mobile_number>\d+)", MOBILE_WALLET),
            financial_address.Rule("short", r"(?:w:)?(?P<account_number>\w+)", BANK_ACCOUNT),
        ]
        self.assertEqual(financial_address.parse("w:12", rules).fa_type, MOBILE_WALLET)
        self.assertEqual(financial_address.parse("w:ab", rules).account_number, "ab")
        self.assertIsNone(financial_address.parse("w:ab", rules[:1]))
        self.assertIsNone(financial_address.parse("w:12", []))

    def test_openg2p_s_own_expression_is_taken_with_its_kind(self):
        rule = financial_address.Rule(
            "OpenG2P",
            r"^account_number:(?P<account_number>.*)\.branch_code:(?P<branch_code>.*)"
            r"\.fa_type:(?P<fa_type>.*)$",
            BANK_ACCOUNT,
        )
        text = "account_number:A1.branch_code:B1.fa_type:"
        self.assertEqual(financial_address.parse(text + BANK_ACCOUNT, [rule]).account_number, "A1")
        self.assertIsNone(financial_address.parse(text + EMAIL_WALLET, [rule]))

    def test_wrong_expressions_are_refused_when_written(self):
        for expression in (
            "(",
            "(?P<account_number>a",
            "(?P<unknown>a)(?P<account_number>b)",
            "account_number:(.*)",
            r"(?P<account_number>(\w+)+)x",
            r"(?P<account_number>\w)(a|ab)*",
            r"(?P<account_number>\w)(a?){9}",
            "(?P<account_number>a)" + "b" * 1000,
            "(?P<account_number>a{99999999999})",
        ):
            with self.subTest(expression=expression[:40]), self.assertRaises(ValueError):
                financial_address.Rule("bad", expression, BANK_ACCOUNT)
        with self.assertRaises(ValueError):
            financial_address.Rule("bad", "(?P<account_number>a)", "CASH")

    def test_a_repeated_group_without_choices_is_taken(self):
        for expression in (
            r"(?P<account_number>(?:\d\d)+)",
            r"(?:x+)?(?P<account_number>[a(|+]+\()",
            r"(?P<account_number>\w+)(?:\.\w+|)",
        ):
            financial_address.Rule("good", expression, BANK_ACCOUNT)

    def test_an_address_shows_no_account_in_its_repr(self):
        address = financial_address.parse(
            self.FULL.format("A77", "0788", "z@b.example") + BANK_ACCOUNT
        )
        for private in ("A77", "0788", "z@b"):
            self.assertNotIn(private, repr(address))


@tagged("post_install", "-at_install")
class TestCanonical(BaseCase):
    """One digest for the same content."""

    def test_the_order_of_keys_does_not_matter(self):
        one = {"a": 1, "b": [{"x": "ü", "y": None}]}
        other = {"b": [{"y": None, "x": "ü"}], "a": 1}
        self.assertEqual(content_hash(one), content_hash(other))
        self.assertEqual(
            content_hash({"a": 1}),
            "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
        )

    def test_all_else_does(self):
        contents = [
            1,
            "1",
            True,
            None,
            [],
            {},
            [1, 2],
            [2, 1],
            {"a": 1},
            Decimal(1),
            date(2026, 1, 1),
        ]
        self.assertEqual(len({content_hash(content) for content in contents}), len(contents))

    def test_a_decimal_counts_by_its_value(self):
        self.assertEqual(content_hash(Decimal("1.50")), content_hash(Decimal("1.5")))
        self.assertEqual(content_hash(Decimal("100")), content_hash(Decimal("1E+2")))
        self.assertEqual(content_hash(Decimal("0.00")), content_hash(Decimal("-0")))
        self.assertNotEqual(content_hash(Decimal("1.5")), content_hash(Decimal("1.51")))

    def test_what_is_no_content_is_refused(self):
        for value in (float("nan"), Decimal("Infinity")):
            with self.assertRaises(ValueError):
                content_hash(value)
        with self.assertRaises(TypeError):
            content_hash(object())

    def test_rows_have_the_same_digest_on_the_short_way(self):
        rows = [
            ("M1", "B1", 'Jörg "Q" \\', Decimal("12.50"), "cash"),
            ("M2", "B2", "أمينة", Decimal("100.00"), "cash"),
            ("M3", "B3", "Amina", Decimal("100"), "cash"),
            ("M4", "B4", "Amina", Decimal("0.00000001"), "cash"),
        ]
        self.assertEqual(rows_hash(rows), content_hash(rows))
        self.assertNotEqual(rows_hash(rows), rows_hash(rows[:3]))


#: values that a field of a row may come with, good and bad
_FIELD_VALUES = (
    "M1",
    "أمينة بنت محمد",
    "नेहा",
    "x" * 35,
    "x" * 36,
    "x" * 300,
    "\u200b",
    "   ",
    "a\tb",
    "a\u202eb",
    "\ud83d",
    "\ude00",
    "",
    None,
    False,
    5,
    ["M1"],
    {},
)
_AMOUNT_VALUES = (
    *("10.50", "0010.50", "10.5", "7", 7, 7.25, "7.255", "0", "0.00", 0, True, None, "1e3", []),
    *("9" * 16, "9" * 13 + ".99", "9" * 14 + ".99", "10.50\n20.00", "10.50\n", " 10.50"),
    "\u0663.\u0665\u0660",
)


@tagged("post_install", "-at_install")
class TestRows(BaseCase):
    """Rows of a call, looked at together and one by one."""

    def setUp(self):
        super().setUp()
        self.random = random.Random(20261126)

    def a_row(self, number):
        given = {
            "mis_reference_number": f"M{number}",
            "beneficiary_id": f"B{number}",
            "beneficiary_name": self.random.choice(("Amina", "أمينة بنت محمد", "नेहा")),
            "disbursement_amount": self.random.choice(("10.50", "20.00", "10.5", 7, 7.25)),
            "narrative": "Monthly grant",
        }
        if self.random.random() < 0.3:
            given["disbursement_envelope_id"] = "E1"
        return given

    def spoil(self, rows):
        """Put one value of any kind into one row, or make it no row at all."""
        row = self.random.choice(rows)
        name = self.random.choice((*row, "disbursement_envelope_id"))
        change = self.random.random()
        if change < 0.1:
            rows[rows.index(row)] = self.random.choice((None, "row", [], 3))
        elif change < 0.2:
            row.pop(name, None)
        else:
            amount = name == "disbursement_amount"
            row[name] = self.random.choice(_AMOUNT_VALUES if amount else _FIELD_VALUES)

    def one_by_one(self, rows):
        """Return the rows as the slow way reads them, None where one has a fault."""
        seen, read = set(), []
        for given in rows:
            row, codes = checked_row(given, 2, seen)
            if codes or given.get("disbursement_envelope_id", "E1") != "E1":
                return None
            read.append(row)
        return read

    def test_rows_looked_at_together_are_what_they_are_one_by_one(self):
        taken = refused = 0
        for _round in range(3000):
            rows = [self.a_row(number) for number in range(self.random.randint(1, 4))]
            if self.random.random() < 0.5:  # as most programs send them
                for row in rows:
                    row["disbursement_amount"] = "10.50"
            if self.random.random() < 0.7:
                self.spoil(rows)
            expected = self.one_by_one(rows)
            self.assertEqual(faultless_rows(rows, "E1", 2), expected, rows)
            taken, refused = taken + (expected is not None), refused + (expected is None)
        self.assertGreater(min(taken, refused), 500)

    def test_a_reference_that_comes_twice_is_seen_in_a_column(self):
        rows = [self.a_row(1), self.a_row(2), self.a_row(1)]
        self.assertIsNone(faultless_rows(rows, "E1", 2))
        self.assertIsNotNone(faultless_rows(rows[:2], "E1", 2))
