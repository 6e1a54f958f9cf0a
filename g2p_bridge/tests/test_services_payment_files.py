import codecs
import io
import os
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from unittest import TestCase

import openpyxl
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.g2p_bridge.services import payment_file_writer as writer
from odoo.addons.g2p_bridge.services import payment_table as table
from odoo.addons.g2p_bridge.services import table_file, written_amounts
from odoo.addons.g2p_bridge.services.table_file import Reading, TableError

HEADER = "Reference,Beneficiary ID,Beneficiary name,Amount,Description"


class FileCase(TestCase):
    """Files in a folder that goes away."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "file")

    def save(self, content, encoding="utf-8"):
        """Write a file of this text, or of these bytes; return its path."""
        with open(self.path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode(encoding))
        return self.path

    def rows_in(self, content, encoding="utf-8", **values):
        """Return (reading, rows) of a file."""
        path = self.save(content, encoding)
        reading = table_file.look_at(path, **values)
        return reading, list(table_file.rows_of(path, reading))

    def workbook(self, *rows, formats=None):
        """Write a workbook of these rows; return its path."""
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        for place, number_format in (formats or {}).items():
            book.active[place].number_format = number_format
        book.save(self.path)
        return self.path

    def read_workbook(self, *rows, **values):
        path = self.workbook(*rows, **values)
        return [cells for _number, cells in table_file.rows_of(path, table_file.look_at(path))]

    def assertNoTable(self, code, content, **values):
        with self.assertRaises(TableError) as caught:
            self.rows_in(content, **values)
        self.assertEqual(caught.exception.code, code)
        return caught.exception.values


class TestReadCsv(FileCase):
    """CSV as people's programs write it."""

    def test_every_encoding_is_known_by_its_content(self):
        for encoding, text, found in (
            ("utf-8", "Nom;Montant\nRenée Müller;12,50\n", "utf-8-sig"),
            ("utf-8-sig", "Nom;Montant\nRenée Müller;12,50\n", "utf-8-sig"),
            ("utf-16", "Nom;Montant\nRenée أحمد;12,50\n", "utf-16"),
            ("cp1252", "Nom;Montant\nRenée Ñandú;12,50\n", "cp1252"),
            ("cp1256", "الاسم;المبلغ\nأحمد علي;12,50\n", "cp1256"),
        ):
            with self.subTest(encoding=encoding):
                reading, rows = self.rows_in(text, encoding)
                self.assertEqual((reading.encoding, reading.separator), (found, ";"))
                lines = [line.split(";") for line in text.splitlines()]
                self.assertEqual([cells for _number, cells in rows], lines)

    def test_big_endian_utf16_is_read(self):
        content = codecs.BOM_UTF16_BE + "a,b\n1,2\n".encode("utf-16-be")
        self.assertEqual(self.rows_in(content)[1], [(1, ["a", "b"]), (2, ["1", "2"])])

    def test_every_separator_is_found(self):
        for separator in ",;\t|":
            lines = [HEADER, "R1,B1,Ann,10.00,x", "R2,B2,Bob,20.00,y"]
            text = "\r\n".join(line.replace(",", separator) for line in lines)
            with self.subTest(separator=separator):
                reading, rows = self.rows_in(text)
                self.assertEqual(reading.separator, separator)
                self.assertEqual([len(cells) for _number, cells in rows], [5, 5, 5])

    def test_decimal_commas_do_not_count_as_separators(self):
        reading, rows = self.rows_in("id;name;amount\n1;Ann;10,50\n2;Bob;20,25\n3;Cy;5\n")
        self.assertEqual(reading.separator, ";")
        self.assertEqual(rows[1][1], ["1", "Ann", "10,50"])

    def test_row_numbers_are_those_of_a_spreadsheet(self):
        text = 'sep=;\nid;name\n\n1;"two\nlines"\n;;\n2;Bob\n'
        self.assertEqual(
            self.rows_in(text)[1],
            [(2, ["id", "name"]), (4, ["1", "two\nlines"]), (6, ["2", "Bob"])],
        )

    def test_an_open_quote_is_an_error_with_its_row_not_one_long_cell(self):
        for text in ('id,name\n1,Ann\n2,"Bob\n3,Cy\n', 'id,name\n1,Ann\n2,"B"ob\n'):
            self.assertEqual(self.assertNoTable("FILE_QUOTES", text), {"row": 3})

    def test_what_is_no_table_is_refused(self):
        for code, content in (
            ("FILE_EMPTY", b""),
            ("FILE_EMPTY", b" \r\n"),
            ("FILE_OLD_EXCEL", b"\xd0\xcf\x11\xe0" + b"x" * 600),
            ("FILE_NO_TABLE", b"\x7fELF\x00\x00\x01binary"),
            ("FILE_BROKEN_WORKBOOK", b"PK\x03\x04 and nothing else"),
        ):
            with self.subTest(code=code):
                self.assertNoTable(code, content)

    def test_a_file_in_another_encoding_says_where(self):
        text = "id,name\n" + "1,Ann\n" * 9 + "2,Renée\n"
        path = self.save(text, "cp1252")
        with self.assertRaises(TableError) as caught:
            list(table_file.rows_of(path, Reading("csv", "utf-8-sig", ",")))
        self.assertEqual(caught.exception.code, "FILE_NOT_IN_ENCODING")

    def test_too_many_columns_are_refused(self):
        values = self.assertNoTable("FILE_TOO_WIDE", "x," * 100 + "x\n")
        self.assertEqual(values, {"row": 1, "limit": 100})

    def test_a_cell_without_end_is_marked_not_kept(self):
        cell = self.rows_in("id,name\n1," + "x" * 3000 + "\n")[1][1][1][1]
        self.assertEqual((cell[0], len(cell[1])), ("long", 2000))


class TestReadXlsx(FileCase):
    """Workbooks: what a person sees in a cell, or a reason to ask."""

    def test_zeros_at_the_beginning_of_an_id_stay(self):
        rows = self.read_workbook(
            ["0012", 12, 12], [1, 2, 3], formats={"B1": "00000", "C1": "General"}
        )
        self.assertEqual(rows[0], ["0012", "00012", ("number", "12")])

    def test_numbers_are_what_the_program_shows_of_them(self):
        values = [0.1 + 0.2, 1e21, 1234.5, 4.1, 1e15 / 3, 100]
        self.assertEqual(
            [cell[1] for cell in self.read_workbook(values)[0]],
            ["0.3", "1e+21", "1234.5", "4.1", "333333333333333", "100"],
        )

    def test_what_is_neither_text_nor_number_keeps_its_kind(self):
        import datetime

        row = self.read_workbook(["=A2*2", datetime.date(2026, 11, 1), True, "#N/A", None, "x"])[0]
        self.assertEqual([cell[0] for cell in row[:3]], ["formula", "date", "boolean"])
        self.assertEqual(row[1], ("date", "2026-11-01"))
        self.assertEqual(row[3:], [("error", "#N/A"), "", "x"])

    def test_rows_and_columns_that_are_empty_are_left_out_of_the_count_but_not_of_the_numbers(self):
        path = self.workbook(["a", "b", None], [None], ["1", None, None])
        rows = list(table_file.rows_of(path, table_file.look_at(path)))
        self.assertEqual(rows, [(1, ["a", "b"]), (3, ["1"])])

    def test_a_hidden_sheet_is_not_taken(self):
        book = openpyxl.Workbook()
        book.active.title = "Notes"
        book.active.sheet_state = "hidden"
        book.create_sheet("November").append(["id"])
        book.create_sheet("December").append(["id"])
        book.save(self.path)
        self.assertEqual(table_file.look_at(self.path).sheet, "November")
        self.assertEqual(table_file.sheet_names(self.path), ["November", "December"])
        self.assertEqual(table_file.look_at(self.path, sheet="December").sheet, "December")
        with self.assertRaises(TableError) as caught:
            table_file.look_at(self.path, sheet="Notes")
        self.assertEqual(caught.exception.code, "FILE_NO_SHEET")

    def repack(self, **changes):
        """Write the workbook again with other parts."""
        self.workbook(["id", "name"], ["1", "Ann"])
        with zipfile.ZipFile(self.path) as old:
            parts = {name: old.read(name) for name in old.namelist()}
        parts.update(changes.get("parts", {}))
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in parts.items():
                if name not in changes.get("without", ()):
                    new.writestr(name, content)
        with self.assertRaises(TableError) as caught:
            list(table_file.rows_of(self.path, table_file.look_at(self.path)))
        return caught.exception.code

    def test_a_bomb_is_not_unpacked(self):
        limit = table_file.MAX_UNPACKED
        table_file.MAX_UNPACKED = 1024**2
        self.addCleanup(setattr, table_file, "MAX_UNPACKED", limit)
        code = self.repack(parts={"xl/media/zeros.bin": b"\x00" * 2 * 1024**2})
        self.assertEqual(code, "FILE_TOO_LARGE_UNPACKED")

    def test_entities_are_not_read(self):
        xml = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><worksheet/>'
        code = self.repack(parts={"xl/worksheets/sheet1.xml": xml})
        self.assertEqual(code, "FILE_BROKEN_WORKBOOK")

    def test_other_packed_files_are_no_workbooks(self):
        self.assertEqual(self.repack(without={"xl/workbook.xml"}), "FILE_NO_TABLE")
        for parts in (
            {"xl/worksheets/sheet1.xml": b"<worksheet><sheetData><row><c"},
            {"xl/workbook.xml": b"no xml"},
        ):
            self.assertEqual(self.repack(parts=parts), "FILE_BROKEN_WORKBOOK")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
    def test_a_spoilt_workbook_ends_in_an_answer(self, changes):
        path = self.workbook(["id", "name"], ["1", "Ann"], ["2", 3.5])
        content = bytearray(Path(path).read_bytes())
        for place, value in changes:
            content[place % len(content)] = value
        self.save(bytes(content))
        with suppress(TableError):
            list(table_file.rows_of(path, table_file.look_at(path)))


class TestWrittenAmounts(TestCase):
    """Amounts as people write them: exactly, or not at all."""

    def test_each_style_reads_its_own(self):
        for text, point, comma in (
            ("1234", "1234", "1234"),
            ("1234.50", "1234.50", "AMOUNT_OTHER_STYLE"),
            ("1234,50", "AMOUNT_OTHER_STYLE", "1234.50"),
            ("1,234.50", "1234.50", "AMOUNT_OTHER_STYLE"),
            ("1.234,50", "AMOUNT_OTHER_STYLE", "1234.50"),
            ("1,234", "1234", "1.234"),
            ("1.234", "1.234", "1234"),
            ("0,123", "AMOUNT_OTHER_STYLE", "0.123"),
            ("1,234,567", "1234567", "AMOUNT_OTHER_STYLE"),
            ("12,34,567.50", "1234567.50", "AMOUNT_OTHER_STYLE"),
            ("1,23,45", "AMOUNT_OTHER_STYLE", "AMOUNT_OTHER_STYLE"),
            ("1 234,50", "AMOUNT_OTHER_STYLE", "1234.50"),
            ("1\u00a0234\u202f567.5", "1234567.5", "AMOUNT_OTHER_STYLE"),
            ("1'234.50", "1234.50", "AMOUNT_OTHER_STYLE"),
            ("١٢٣٤", "1234", "1234"),
            ("١٬٢٣٤٫٥٠", "1234.50", "1234.50"),
            ("USD 100.25", "100.25", "AMOUNT_OTHER_STYLE"),
            ("100 usd", "100", "100"),
            ("EUR 100", "AMOUNT_NO_NUMBER", "AMOUNT_NO_NUMBER"),
            ("1 23", "AMOUNT_NO_NUMBER", "AMOUNT_NO_NUMBER"),
            ("-5", "AMOUNT_NEGATIVE", "AMOUNT_NEGATIVE"),
            ("(5.00)", "AMOUNT_NEGATIVE", "AMOUNT_NEGATIVE"),
            ("1.5E+03", "AMOUNT_EXPONENT", "AMOUNT_EXPONENT"),
            ("1e3", "AMOUNT_EXPONENT", "AMOUNT_EXPONENT"),
            ("12.", "AMOUNT_NO_NUMBER", "AMOUNT_NO_NUMBER"),
            (".5", "AMOUNT_NO_NUMBER", "AMOUNT_NO_NUMBER"),
            ("abc", "AMOUNT_NO_NUMBER", "AMOUNT_NO_NUMBER"),
            ("²", "AMOUNT_NO_NUMBER", "AMOUNT_NO_NUMBER"),
        ):
            for style, expected in (("point", point), ("comma", comma)):
                with self.subTest(text=text, style=style):
                    self.assertEqual(self.plain(text, style), expected)

    def plain(self, text, style):
        try:
            return written_amounts.to_plain(text, style, "USD")
        except written_amounts.WrittenAmountError as error:
            return error.code

    def test_without_a_style_no_mark_is_understood(self):
        self.assertEqual(self.plain("1234", None), "1234")
        for text in ("1,234", "1.50", "1.234,50"):
            self.assertEqual(self.plain(text, None), "AMOUNT_UNCLEAR")

    def test_the_style_of_a_file_is_told_only_where_it_is_certain(self):
        for texts, style in (
            (["100", "200"], "point"),
            (["100", "20.50"], "point"),
            (["100", "20,50"], "comma"),
            (["1,234", "2,500"], None),
            (["1.234", "2.500"], None),
            (["1,234", "20.50"], "point"),
            (["1.234", "20,50"], "comma"),
            (["20.50", "20,50"], None),
            (["1,234,567"], "point"),
            (["x", ""], "point"),
        ):
            with self.subTest(texts=texts):
                self.assertEqual(written_amounts.sniff_style(texts), style)

    @given(st.integers(0, 10**13), st.sampled_from(["point", "comma"]), st.booleans())
    def test_what_is_written_is_read(self, cents, style, grouped):
        mark, between = written_amounts.STYLES[style]
        whole = f"{cents // 100:,}".replace(",", between if grouped else "")
        text = f"{whole}{mark}{cents % 100:02}"
        plain = written_amounts.to_plain(text, style)
        self.assertEqual(plain, f"{cents // 100}.{cents % 100:02}")

    @given(st.text(max_size=12))
    def test_no_text_is_read_as_anything_but_digits(self, text):
        for style in ("point", "comma", None):
            with suppress(written_amounts.WrittenAmountError):
                plain = written_amounts.to_plain(text, style, "USD")
                self.assertRegex(plain, r"\A[0-9]+(\.[0-9]+)?\Z")


class TestPaymentTable(TestCase):
    """What columns mean, and what is wrong with a row."""

    def rules(self, **values):
        columns = dict(zip(table.FIELDS, range(5), strict=True))
        given = {"columns": columns, "width": 5, "style": "point", "places": 2, "currency": "USD"}
        return table.Rules(**{**given, "cycle": "2026-11", "narrative": "", **values})

    def problems(self, *cells, **values):
        return table.understand(list(cells), self.rules(**values), set()).problems

    def test_columns_are_known_by_name_in_four_languages(self):
        for names in (
            *table.TEMPLATE_NAMES.values(),
            ("MIS_REF_NO", "National-ID", "FULL NAME", "Amount (USD)", "Payment purpose"),
            ("reference_number", "beneficiary_id", "beneficiary_name", "amount", "narrative"),
            ("N° de référence", "Matricule", "Noms et prénoms", "MONTANT NET", "Motif"),
            ("Referencia de pago", "Cédula", "Apellidos y nombres", "Monto a pagar", "Glosa"),
            ("رقم المرجع", "الرقم الوطني", "الاسم الكامل", "المبلغ", "ملاحظات"),
        ):
            with self.subTest(names=names):
                found = table.guess_columns(names, [])
                expected = dict(zip(table.FIELDS, range(5), strict=True))
                if names[0] == "MIS_REF_NO":
                    expected.pop("mis_reference_number")
                    expected.pop("disbursement_amount")
                self.assertLessEqual(expected.items(), found.items())

    def test_columns_without_known_names_are_known_by_content(self):
        rows = [["A1", "Ann Lee", "7", "10.50"], ["A2", "Bob Ray", "7", "20.00"]]
        expected = {"beneficiary_id": 0, "beneficiary_name": 1, "disbursement_amount": 2}
        self.assertLessEqual(
            {"beneficiary_id": 0, "beneficiary_name": 1}.items(),
            table.guess_columns([], rows).items(),
        )
        found = table.guess_columns(["x", "y", "z", "w"], [[*r[:2], "k", r[3]] for r in rows])
        self.assertEqual(found, {**expected, "disbursement_amount": 3})

    def test_an_account_column_is_none_of_ours(self):
        names = ["Account number", "IBAN", "Beneficiary ID", "Name", "Amount"]
        self.assertEqual(
            table.guess_columns(names, []),
            {"beneficiary_id": 2, "beneficiary_name": 3, "disbursement_amount": 4},
        )

    def test_the_row_with_the_names_is_found_below_a_title(self):
        names = ["Beneficiary ID", "Name", "Amount"]
        self.assertEqual(table.find_header([["List of November"], ["page 1"], names]), 2)
        self.assertEqual(table.find_header([names, ["1", "Ann", "10"]]), 0)
        self.assertEqual(table.find_header([["foo", "bar"], ["1", "Ann"]]), 0)
        self.assertIsNone(table.find_header([["1", "Ann", "10"], ["2", "Bob", "20"]]))
        self.assertIsNone(table.find_header([]))

    def test_a_good_row_is_what_the_api_takes(self):
        from decimal import Decimal

        row = table.understand(["R1", "B1", "Ann", "1,234.50", "Grant"], self.rules(), set())
        self.assertEqual(row.values, ("R1", "B1", "Ann", Decimal("1234.50"), "Grant"))
        self.assertEqual(row.problems, [])
        self.assertFalse(row.is_ambiguous)
        whole = table.understand(["R1", "B1", "Ann", "1,234", "Grant"], self.rules(), set())
        self.assertEqual((whole.values[3], whole.is_ambiguous), (Decimal(1234), True))

    def test_every_problem_has_its_column_and_reason(self):
        good = ["R1", "B1", "Ann", "10.00", "Grant"]
        for place, cell, problem in (
            (0, "", "CELL_EMPTY@mis_reference_number"),
            (0, "x" * 129, "CELL_LONG@mis_reference_number"),
            (0, "1.23457E+14", "CELL_SHORTENED@mis_reference_number"),
            (1, ("number", "12.5"), "CELL_DECIMALS@beneficiary_id"),
            (1, ("number", "1e+21"), "CELL_SHORTENED@beneficiary_id"),
            (1, ("number", "1234567890123456"), "CELL_SHORTENED@beneficiary_id"),
            (1, ("date", "2026-11-01"), "CELL_DATE@beneficiary_id"),
            (1, ("formula", ""), "CELL_FORMULA@beneficiary_id"),
            (2, "x" * 141, "CELL_LONG@beneficiary_name"),
            (2, ("long", "x"), "CELL_LONG@beneficiary_name"),
            (2, "a\nb", "CELL_CHARACTERS@beneficiary_name"),
            (2, "Ren\ufffde", "CELL_CHARACTERS@beneficiary_name"),
            (2, ("error", "#N/A"), "CELL_ERROR@beneficiary_name"),
            (3, "", "CELL_EMPTY@disbursement_amount"),
            (3, "0.00", "AMOUNT_ZERO@disbursement_amount"),
            (3, "1.505", "AMOUNT_DECIMALS@disbursement_amount"),
            (3, "12345678901234", "AMOUNT_LARGE@disbursement_amount"),
            (3, ("number", "-5"), "AMOUNT_NEGATIVE@disbursement_amount"),
            (3, ("number", "0.333333333333333"), "AMOUNT_DECIMALS@disbursement_amount"),
            (3, ("number", "0"), "AMOUNT_ZERO@disbursement_amount"),
            (3, ("boolean", "True"), "CELL_BOOLEAN@disbursement_amount"),
            (3, ("formula", ""), "CELL_FORMULA@disbursement_amount"),
            (3, "10,5", "AMOUNT_OTHER_STYLE@disbursement_amount"),
        ):
            with self.subTest(problem=problem, cell=cell):
                cells = [*good[:place], cell, *good[place + 1 :]]
                self.assertEqual(self.problems(*cells), [problem])

    def test_a_row_with_a_cell_too_many_is_no_good_row(self):
        """An amount with a comma in it, in a file that has commas between the columns."""
        self.assertEqual(self.problems("R1", "B1", "Ann", "1", "000", "Grant"), ["ROW_TOO_LONG@"])

    def test_a_reference_comes_once(self):
        seen = set()
        rows = [["R1", f"B{n}", "Ann", "1", "x"] for n in range(2)]
        first, second = (table.understand(row, self.rules(), seen).problems for row in rows)
        self.assertEqual(first, [])
        self.assertEqual(second, ["DUPLICATE_MIS_REFERENCE_NUMBER@mis_reference_number"])

    def test_a_reference_that_is_made_is_the_same_for_the_same_payment(self):
        columns = {"beneficiary_id": 0, "beneficiary_name": 1, "disbursement_amount": 2}
        rules = self.rules(columns=columns, width=3, narrative="Grant")
        seen = set()
        row = table.understand(["B1", "Ann", "1"], rules, seen)
        self.assertEqual((row.values[0], row.problems), ("2026-11-B1", []))
        again = table.understand(["B1", "Ann", "1"], rules, seen)
        self.assertEqual(again.problems, ["DUPLICATE_MIS_REFERENCE_NUMBER@beneficiary_id"])
        empty = table.understand(["", "Ann", "1"], rules, seen)
        self.assertEqual(empty.problems, ["CELL_EMPTY@beneficiary_id"])
        long = table.understand(["x" * 125, "Ann", "1"], rules, seen)
        self.assertEqual(long.problems, ["CELL_LONG@beneficiary_id"])

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.text(max_size=20),
                st.tuples(st.sampled_from(["date", "formula", "error", "long"]), st.text()),
                st.floats(allow_nan=False, allow_infinity=False).map(
                    lambda number: ("number", format(number, ".15g"))
                ),
                st.integers().map(lambda number: ("number", str(number))),
            ),
            max_size=7,
        ),
        st.sampled_from(["point", "comma", None]),
        st.integers(0, 3),
    )
    def test_any_row_is_good_or_says_why_not(self, cells, style, places):
        row = table.understand(cells, self.rules(style=style, places=places), set())
        if not row.problems:
            self.assertTrue(all(row.values))
            self.assertLessEqual(-row.values[3].as_tuple().exponent, places)
            self.assertGreater(row.values[3], 0)


class TestFilesForPeople(FileCase):
    """The template is understood; what we write is read again and runs nowhere."""

    def test_each_template_is_understood(self):
        for kind in ("csv", "xlsx"):
            for language in ("en_US", "fr_FR", "es_MX", "ar_001", "de_DE"):
                out = io.BytesIO()
                writer.write_template(out, kind, language)
                _reading, rows = self.rows_in(out.getvalue())
                found = table.guess_columns(rows[0][1], [])
                self.assertEqual(list(found), list(table.FIELDS), (kind, language))

    def test_rows_come_back_as_they_were(self):
        rows = [
            ["Reference", "Name", "Problem"],
            ["=HYPERLINK(1)", "+12", "-5"],
            ["@x", 'a;b"c', "Renée"],
            ["0012", ("number", "12.5"), ("number", "3")],
        ]
        for reading in (
            *(Reading("csv", encoding, ";") for encoding in table_file.ENCODINGS[:3]),
            Reading("xlsx", sheet="November"),
        ):
            with self.subTest(reading=reading):
                out = io.BytesIO()
                writer.write_table(out, reading, rows)
                found, again = self.rows_in(out.getvalue())
                self.assertEqual(found, reading)
                texts = [[table_file.text_of(cell) for cell in cells] for _n, cells in again]
                self.assertEqual(
                    texts, [[table_file.text_of(cell) for cell in cells] for cells in rows]
                )

    def test_nothing_in_a_csv_of_ours_runs(self):
        out = io.BytesIO()
        writer.write_table(out, Reading("csv", "utf-8-sig", ","), [["=1+1", "+1", "-1", "@a", "b"]])
        self.assertEqual(out.getvalue().decode("utf-8-sig"), "'=1+1,'+1,'-1,'@a,b\r\n")
