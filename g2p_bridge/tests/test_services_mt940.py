import json
import logging
import os
import tempfile
import tracemalloc
from datetime import date
from decimal import Decimal
from pathlib import Path

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors import entries
from odoo.addons.g2p_bridge.connectors.entries import (
    PackedEntries,
    StatementEntry,
    most_decimals,
    total_of,
)
from odoo.addons.g2p_bridge.connectors.errors import StatementInvalid
from odoo.addons.g2p_bridge.services import mt940

CHECKOUT = Path(__file__).resolve().parents[2]
OWN = Path(__file__).parent / "statements"
#: third party's samples with an ``expected.json``, where there are any
SAMPLES = Path(os.environ.get("G2P_STATEMENT_SAMPLES") or CHECKOUT / "../shared/samples/mt940")

#: where the library cuts a reference (:20:, :61: subfield 7) and a bank reference
REFERENCE_WIDTH, BANK_REFERENCE_WIDTH = 16, 23

HEAD = ":20:REF1\n:25:MADEUP0001\n:28C:1/1\n:60F:C261122USD100,00\n"
ENTRY = ":61:2611231123D1,00NTRFNONREF\n"
TAIL = ":62F:C261123USD99,00\n"


def own_cases():
    """Yield (file name, content, expected) of the statements beside this file."""
    for golden in sorted(OWN.glob("*.json")):
        [statement] = (path for path in OWN.glob(f"{golden.stem}.*") if path != golden)
        yield statement.name, statement.read_bytes(), json.loads(golden.read_text("utf-8"))


def sample_cases():
    """Yield (file name, content, expected) of the third party's samples; none where not there."""
    listing = SAMPLES / "expected.json"
    if "G2P_STATEMENT_SAMPLES" in os.environ or listing.exists():
        for name, expected in json.loads(listing.read_text("utf-8"))["files"].items():
            yield name, (SAMPLES / name).read_bytes(), expected


@tagged("post_install", "-at_install")
class TestStatementFiles(BaseCase):
    """Whole files, against what is known of them."""

    maxDiff = None

    def test_every_statement_is_read_as_expected(self):
        count = 0
        for name, content, expected in own_cases():
            with self.subTest(name=name):
                self.assertEqual(
                    [_as_json(statement) for statement in mt940.parse(content)],
                    expected["statements"],
                )
            count += 1
        self.assertGreaterEqual(count, 13)
        for name, content, expected in sample_cases():
            with self.subTest(name=name):
                self._check_sample(content, expected)

    def test_a_statement_is_the_same_however_its_lines_end(self):
        for name, content, _expected in own_cases():
            if name in ("utf16.sta", "latin1.sta"):
                continue
            plain = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            for end in (b"\n", b"\r\n", b"\r", b"\r\r\n"):
                with self.subTest(name=name, end=end):
                    self.assertEqual(mt940.parse(plain.replace(b"\n", end)), mt940.parse(content))

    def test_a_file_cut_anywhere_is_refused_or_loses_whole_statements_only(self):
        """Half a file never passes for a statement with other numbers."""
        for name in ("plain.sta", "pages.sta", "swift_blocks.sta"):
            content = (OWN / name).read_bytes()
            whole = mt940.parse(content)
            for end in range(len(content)):
                try:
                    part = mt940.parse(content[:end])
                except StatementInvalid:
                    continue
                ending = content[:end].rstrip(b"0123456789,")
                is_in_amount = ending.endswith((b"USD", b"EUR"))
                for got, full in zip(part, whole, strict=False):
                    same = got.entries == full.entries[: len(got.entries)]
                    self.assertTrue(same, f"{name} cut at {end}")
                    if got != full and not is_in_amount:
                        self.assertIn(b":62M:", content[:end], f"{name} cut at {end}")

    def _check_sample(self, content, expected):
        if not expected["complete"]:
            with self.assertRaises(StatementInvalid):
                mt940.parse(content)
            return
        statements = mt940.parse(content)
        entries = [entry for statement in statements for entry in statement.entries]
        self.assertEqual(len(statements), expected["statements"])
        self.assertEqual(len(entries), expected["transactions"])
        total = sum((entry.signed_amount for entry in entries), Decimal(0))
        self.assertEqual(total, Decimal(expected["sum"]))
        # the library cuts references, and puts text of :86: behind some; ours are those of :61:
        self.assertEqual(
            [entry.customer_reference[:REFERENCE_WIDTH] for entry in entries],
            [_first_line(reference)[:REFERENCE_WIDTH] for reference in expected["references"]],
        )
        self.assertEqual(
            [_sample_view(statement) for statement in statements],
            [_expected_view(statement) for statement in expected["statement_list"]],
        )


@tagged("post_install", "-at_install")
class TestPackedEntries(BaseCase):
    """Entries that are kept small are the same entries."""

    def setUp(self):
        super().setUp()
        self.patch(entries, "_PACK_SIZE", 3)
        self.plain = tuple(
            StatementEntry(
                sequence=number,
                mark=("D", "C", "RD", "RC")[number % 4],
                amount=Decimal(number) / 8,
                value_date=date(2026, 11, number),
                entry_date=date(2026, 12, number) if number % 2 else None,
                customer_reference=f"REF{number}",
                narrative=("one", "", "three")[: number % 3],
            )
            for number in range(1, 9)
        )

    def packed(self, plain):
        packed = PackedEntries()
        for entry in plain:
            values = {name: getattr(entry, name) for name in entry.__slots__ if name != "sequence"}
            packed.append(**values)
        return packed

    def test_they_come_out_as_they_went_in(self):
        packed = self.packed(self.plain)
        self.assertEqual(tuple(packed), self.plain)
        self.assertEqual(tuple(packed), self.plain)  # as often as one likes
        self.assertEqual(
            [str(entry.amount) for entry in packed], [str(e.amount) for e in self.plain]
        )
        self.assertEqual(len(packed), 8)
        for place in (0, 2, 3, 7, -1, -8):
            self.assertEqual(packed[place], self.plain[place])
        for part in (slice(2, 5), slice(None, None, -3), slice(6, 99)):
            self.assertEqual(packed[part], self.plain[part])
        for place in (8, -9):
            with self.assertRaises(IndexError):
                packed[place]

    def test_they_are_equal_to_the_same_entries_only(self):
        packed = self.packed(self.plain)
        self.assertEqual(packed, self.packed(self.plain))
        self.assertEqual(packed, self.plain)
        self.assertNotEqual(packed, self.plain[:-1])
        self.assertNotEqual(packed, (*self.plain[:-1], self.plain[0]))
        self.assertNotEqual(packed, 8)

    def test_parts_are_joined_and_counted_through(self):
        for cut in range(9):
            packed = self.packed(self.plain[:cut])
            packed.extend(self.packed(self.plain[cut:]))
            self.assertEqual(packed, self.plain)
            self.assertEqual((packed.total, packed.decimals), (total_of(self.plain), 3))

    def test_totals_are_those_of_the_entries(self):
        packed = self.packed(self.plain)
        by_hand = sum((entry.signed_amount for entry in self.plain), Decimal(0))
        self.assertEqual((packed.total, total_of(packed), total_of(self.plain)), (by_hand,) * 3)
        self.assertEqual([most_decimals(found) for found in (packed, self.plain, ())], [3, 3, 0])

    def test_their_repr_shows_no_text_of_the_bank(self):
        self.assertEqual(repr(self.packed(self.plain)), "<8 entries>")


@tagged("post_install", "-at_install")
class TestStatementRules(BaseCase):
    """What is refused, and what the refusal says."""

    def assertRefused(self, content, sentence):
        with self.assertRaises(StatementInvalid) as caught, self.assertNoLogs(level=logging.DEBUG):
            mt940.parse(content)
        self.assertRegex(str(caught.exception), sentence)
        for private in ("MADEUP0001", "SECRETREF"):
            self.assertNotIn(private, str(caught.exception))

    def test_what_is_no_whole_statement_is_refused(self):
        for content, sentence in (
            ("", "no line begins with :20:"),
            ("\n".join(["1234567890"] * 10), "no line begins with :20:"),
            ("hello, not a statement", "no line begins with :20:"),
            (b"%PDF-1.7\n\x00\x01\x02", "binary data"),
            (HEAD + "\0" + TAIL, "binary data"),
            (ENTRY, "^Line 1: .*before the first :20:"),
            (TAIL, "^Line 1: .*before the first :20:"),
            (HEAD + ENTRY, "^Line 1: .*no closing balance"),
            ("\n\n" + HEAD, "^Line 3: .*no closing balance"),
            (HEAD + ENTRY + HEAD + TAIL, "^Line 1: .*no closing balance"),
            (":20:R\n:60F:C261122USD1,00\n" + TAIL, "no account"),
            (":20:\n" + HEAD[9:] + TAIL, "no reference"),
            (":20:R\n:25:A\n" + TAIL, "no opening balance"),
            (":20:R\n:25:A\n" + ENTRY, "^Line 3: .*outside"),
            (HEAD + TAIL + ENTRY, "^Line 6: .*outside"),
            (HEAD + HEAD[33:] + TAIL, "^Line 5: .*second opening"),
            (HEAD + TAIL + TAIL, "^Line 6: .*second closing"),
            (HEAD + TAIL.replace("USD", "EUR"), "another currency"),
            (":20:R\n:25:A\n:34F:USD0,\n:13D:2611231200+0000\n" + ENTRY, "MT942"),
            (":20:R\n:25:A\n:13D:2611231200+0000\n:90D:0USD0,00\n", "MT942"),
        ):
            with self.subTest(content=content):
                self.assertRefused(content, sentence)

    def test_an_entry_that_cannot_be_read_is_refused_with_its_line(self):
        for value, sentence in (
            ("2611231123D1.00NTRFSECRETREF", "amount"),
            ("2611231123D1.234,56NTRFSECRETREF", "amount"),
            ("2611231123D1,234,56NTRFSECRETREF", "amount"),
            ("2611231123D,50NTRFSECRETREF", "amount"),
            ("2611231123DNTRFSECRETREF", "amount"),
            ("2611231123D-1,00NTRFSECRETREF", "amount"),
            ("2611231123D\u0661,00NTRFSECRETREF", "amount"),
            ("2611231123D123456789012345,00NTRFSECRETREF", "15 digits"),
            ("2611231123X1,00NTRFSECRETREF", "mark"),
            ("2611231123EC1,00NTRFSECRETREF", "mark"),
            ("26112D1,00NTRFSECRETREF", "value date"),
            ("SECRETREF", "value date"),
            ("", "value date"),
            ("2613231123D1,00NTRFSECRETREF", "no such day"),
            ("2602400301D1,00NTRFSECRETREF", "no such day"),
            ("2611230431D1,00NTRFSECRETREF", "no such day"),
        ):
            with self.subTest(value=value):
                self.assertRefused(f"{HEAD}:61:{value}\n{TAIL}", f"^Line 5: .*{sentence}")

    def test_a_balance_that_cannot_be_read_is_refused_with_its_line(self):
        for value in (
            "C261123USD99.00",
            "C261123USD9,9,0",
            "C261123USD99,00 CR",
            "C261123USD",
            "C261123US99,00",
            "261123USD99,00",
            "RC261123USD99,00",
            "C26112USD99,00",
            "C261323USD99,00",
            "C261123USD12345678901234,00",
            "C261123USD9\n9,00",
            "",
        ):
            with self.subTest(value=value):
                self.assertRefused(f"{HEAD}{ENTRY}:62F:{value}\n", "^Line 6: ")

    def test_content_is_never_taken_for_a_file_to_open(self):
        with tempfile.NamedTemporaryFile(suffix=".sta") as file:
            file.write((HEAD + ENTRY + TAIL).encode())
            file.flush()
            for content in (file.name, file.name.encode()):
                self.assertRefused(content, "no line begins with :20:")

    def test_text_and_bytes_are_read_alike(self):
        text = HEAD + ENTRY + TAIL
        self.assertEqual(mt940.parse(text), mt940.parse(text.encode()))

    def test_where_the_file_is_cut_into_pieces_makes_no_difference(self):
        torn = HEAD + ":\n61:2611231123D1,00NTRFNONREF\n:\nno tag\n:\n" + TAIL
        cases = [
            torn.encode(),
            torn.replace("\n", "\r\r\n").encode(),
            torn.replace("\n", "\x01\r").encode(),
            (HEAD + ENTRY + ":86:J\u00fcrgen \u0645\n" + TAIL).encode(),
            (HEAD + ENTRY + ":86:J\u00fcrgen\n" + TAIL).encode("utf-16"),
            (HEAD + ENTRY + ":86:J\u00fcrgen\n" + TAIL).encode("cp852"),
            *(path.read_bytes() for path in sorted(OWN.glob("*.sta"))),
        ]
        whole = [mt940.parse(content) for content in cases]
        for size in (1, 2, 3, 7, 64):
            self.patch(mt940, "_PIECE", size)
            for content, expected in zip(cases, whole, strict=True):
                with self.subTest(size=size, content=content[:60]):
                    self.assertEqual(mt940.parse(content), expected)

    def test_a_file_of_line_ends_alone_takes_no_longer_than_its_length(self):
        """With a pattern that looks ahead at each of them, this would take for ever."""
        self.assertRefused(b"\r" * 5_000_000, "no line begins with :20:")

    def test_a_big_statement_takes_little_more_memory_than_its_file(self):
        count = 20_000
        content = f"{HEAD}{ENTRY * count}{TAIL}".encode()
        mt940.parse(content)  # what is loaded once
        tracemalloc.start()
        try:
            [statement] = mt940.parse(content)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(len(statement.entries), count)
        self.assertEqual(statement.difference, Decimal(count) - 1)
        self.assertEqual([statement.entries[place].sequence for place in (0, -1)], [1, count])
        # as objects they would take some 20 MB; now the most is the piece that is being read
        self.assertLess(peak, 4 * 1024 * 1024)

    def test_limits_are_kept(self):
        self.patch(mt940, "MAX_ENTRIES", 3)
        self.assertEqual(len(mt940.parse(HEAD + ENTRY * 3 + TAIL)[0].entries), 3)
        self.assertRefused(HEAD + ENTRY * 4 + TAIL, "^Line 8: .*more than 3 entries")
        self.assertRefused((HEAD + ENTRY * 2 + TAIL) * 2, "more than 3 entries")
        self.patch(mt940, "MAX_BYTES", 100)
        self.assertRefused(HEAD + ENTRY + TAIL, "larger than 100 bytes")

    def test_pages_are_joined_only_where_one_follows_on_the_other(self):
        def page(number, opening, closing, account="A"):
            return (
                f":20:R\n:25:{account}\n:28C:{number}\n:60{opening}USD9,00\n:62{closing}USD9,00\n"
            )

        first = page("1/1", "F:C261123", "M:C261123")
        for second, count in (
            (page("1/2", "M:C261123", "F:C261123"), 1),
            (page("1/3", "M:C261123", "F:C261123"), 1),
            (page("1/1", "M:C261123", "F:C261123"), 2),
            (page("2/2", "M:C261123", "F:C261123"), 2),
            (page("1/2", "F:C261123", "F:C261123"), 2),
            (page("1/2", "M:C261123", "F:C261123", account="B"), 2),
        ):
            with self.subTest(second=second):
                self.assertEqual(len(mt940.parse(first + second)), count)

    def test_a_lost_page_shows_in_the_difference(self):
        lost = (OWN / "pages.sta").read_text("ascii").split("-\n")
        [joined, *_others] = mt940.parse("-\n".join(lost[:1] + lost[2:]))
        self.assertEqual((joined.sequence, joined.difference), ("3", Decimal("-20.00")))

    def test_the_repr_of_a_statement_shows_no_account(self):
        [statement] = mt940.parse(HEAD + ENTRY + TAIL)
        self.assertNotIn("MADEUP0001", repr(statement))


def _as_json(statement):
    return {
        "reference": statement.reference,
        "account_number": statement.account_number,
        "number": statement.number,
        "sequence": statement.sequence,
        "currency": statement.currency,
        "opening": [_text(statement.opening_date), str(statement.opening_balance)],
        "closing": [_text(statement.closing_date), str(statement.closing_balance)],
        "difference": str(statement.difference) if statement.difference else "0",
        "entries": [_entry_as_json(entry) for entry in statement.entries],
    }


def _entry_as_json(entry):
    return {
        "mark": entry.mark,
        "amount": str(entry.amount),
        "value_date": _text(entry.value_date),
        "entry_date": _text(entry.entry_date),
        "transaction_type": entry.transaction_type,
        "customer_reference": entry.customer_reference,
        "bank_reference": entry.bank_reference,
        "narrative": list(entry.narrative),
        "supplementary_details": entry.supplementary_details,
    }


def _text(day):
    return day and day.isoformat()


def _first_line(text):
    return (text or "").split("\n")[0]


def _sample_view(statement):
    """Return what the samples' list says of a statement, less the account.

    Where a statement has :25: twice, the library keeps the last, which is text of an entry.
    """
    return {
        "reference": statement.reference[:REFERENCE_WIDTH],
        "number": statement.number,
        "sequence": statement.sequence,
        "opening": [statement.opening_balance, _text(statement.opening_date)],
        "closing": [statement.closing_balance, _text(statement.closing_date)],
        "currency": statement.currency,
        "difference": statement.difference,
        "entries": [
            [
                entry.signed_amount,
                _text(entry.value_date),
                _text(entry.entry_date),
                entry.transaction_type,
                entry.bank_reference[:BANK_REFERENCE_WIDTH],
            ]
            for entry in statement.entries
        ],
    }


def _expected_view(statement):
    opening, closing = statement["opening"], statement["closing"]
    return {
        "reference": statement["reference"],
        "number": statement["number"] or "",
        "sequence": statement["sequence"] or "",
        "opening": [Decimal(opening["amount"]), opening["date"]],
        "closing": [Decimal(closing["amount"]), closing["date"]],
        "currency": opening["currency"],
        "difference": Decimal(statement.get("difference") or 0),
        "entries": [
            [
                Decimal(entry["amount"]),
                entry["value_date"],
                entry["entry_date"],
                entry["type"] or "",
                entry["bank_reference"] or "",
            ]
            for entry in statement["entries"]
        ],
    }
