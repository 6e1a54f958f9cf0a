import json
import logging
import os
import tempfile
from decimal import Decimal
from pathlib import Path

from odoo.tests import BaseCase, tagged

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
