"""Tables in files that people send: CSV in its many spellings, and XLSX; row by row.

A cell is a text, or where a workbook holds something else, a pair of its kind and what it says:
``("number", "12.5")``, ``("date", "2026-11-01")``. Nothing is guessed twice: how a file is to be
read is a :class:`Reading`, found by :func:`look_at` and changed by a person.
"""

import codecs
import csv
import itertools
import re
import zipfile
from contextlib import closing, contextmanager
from datetime import date, datetime, time
from typing import NamedTuple
from xml.etree.ElementTree import ParseError, fromstring
from zlib import error as ZlibError

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

ENCODINGS = ("utf-8-sig", "utf-16", "cp1252", "cp1256")
SEPARATORS = (",", ";", "\t", "|")
#: more columns than any list of payments has
MAX_COLUMNS = 100
#: a longer cell is no field of a payment
MAX_CELL = 2000
#: what a workbook may hold when it is unpacked, in bytes; a hundred times what 100,000 rows need
MAX_UNPACKED = 512 * 1024 * 1024
#: digits of a number that a spreadsheet program keeps
SPREADSHEET_DIGITS = 15
HEAD_ROWS = 50
_HEAD_BYTES = 256 * 1024
_BLOCK = 1024 * 1024
#: what a spreadsheet program would run: in a cell that we write an apostrophe stands before it
RUNS = "=+-@"

_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_ZIP = b"PK"
_BOOK = "xl/workbook.xml"
_ALL_ZEROS = re.compile(r"0+")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")


class TableError(ValueError):
    """A file that cannot be read as a table.

    :param str code: see the words in ``models/g2p_envelope_import.py``
    :param values: what the words name: ``row``, ``limit``
    """

    def __init__(self, code, **values):
        super().__init__(code)
        self.code = code
        self.values = values


class Reading(NamedTuple):
    """How a file is read."""

    kind: str  # csv or xlsx
    encoding: str = ""
    separator: str = ""
    sheet: str = ""


def look_at(path, *, sheet="", encoding="", separator=""):
    """Return the :class:`Reading` of a file; what is given counts, the rest is found out.

    :raise TableError: it is no table that can be read
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise TableError("FILE_EMPTY")
    if head.startswith(_ZIP):
        return Reading("xlsx", sheet=_choose_sheet(path, sheet))
    if head.startswith(_OLD_EXCEL):
        raise TableError("FILE_OLD_EXCEL")
    encoding = encoding or sniff_encoding(path)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    if encoding in ("utf-8-sig", "cp1252", "cp1256") and "\x00" in text:
        raise TableError("FILE_NO_TABLE")
    return Reading("csv", encoding=encoding, separator=separator or sniff_separator(text))


def rows_of(path, reading):
    """Yield (row number as a spreadsheet program shows it, cells) of each row with something in it.

    :raise TableError: the file breaks off, is not in this encoding, is too wide
    """
    rows = _csv_rows(path, reading) if reading.kind == "csv" else _xlsx_rows(path, reading.sheet)
    for number, cells in rows:
        while cells and cells[-1] == "":
            cells.pop()
        if len(cells) > MAX_COLUMNS:
            raise TableError("FILE_TOO_WIDE", row=number, limit=MAX_COLUMNS)
        if cells:
            yield number, cells


def text_of(cell):
    """Return what a cell says."""
    return cell if isinstance(cell, str) else cell[1]


# CSV


def sniff_encoding(path):
    """Return the encoding of a text file: by its first bytes, or by what it can be read in."""
    with open(path, "rb") as file:
        head = file.read(_BLOCK)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for block in itertools.chain([head], iter(lambda: file.read(_BLOCK), b"")):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _sniff_code_page(head)
    return "utf-8-sig"


def _sniff_code_page(head):
    """Return the Windows code page: letters of Arabic stand together, accents mostly alone."""
    runs = [len(run) for run in _HIGH_RUN.findall(head)]
    together = sum(length for length in runs if length > 1)
    return "cp1256" if together * 2 > sum(runs) else "cp1252"


def sniff_separator(text):
    """Return the separator by which the first rows have the most columns, all the same number."""
    first = text.split("\n", 1)[0].strip("\ufeff\r ")
    if first.casefold().startswith("sep=") and len(first) == 5:
        return first[4]

    def score(separator):
        try:
            # the last row may be cut
            rows = list(
                itertools.islice(csv.reader(text.splitlines(True), delimiter=separator), 30)
            )
        except csv.Error:
            return (0, 0)
        widths = [len(row) for row in rows[:29] if any(row)]
        most = max(set(widths), key=lambda width: (widths.count(width), width), default=0)
        return (widths.count(most) / len(widths), most) if most > 1 else (0, 0)

    return max(SEPARATORS, key=score)


def _csv_rows(path, reading):
    number = 0
    try:
        with open(path, encoding=reading.encoding, newline="") as file:
            for number, cells in enumerate(
                csv.reader(file, delimiter=reading.separator, strict=True), start=1
            ):
                if number == 1 and len(cells) <= 2 and cells and cells[0].startswith("sep="):
                    continue  # for spreadsheet programs
                yield number, [_clean(cell) for cell in cells]
    except UnicodeError as error:
        raise TableError("FILE_NOT_IN_ENCODING", row=number + 1) from error
    except csv.Error as error:
        raise TableError("FILE_QUOTES", row=number + 1) from error


def _clean(text):
    """Return a text without the blanks around it, and without the apostrophe that we put in."""
    text = text.strip()
    if len(text) > MAX_CELL:
        return ("long", text[:MAX_CELL])
    return text[1:] if text[:1] == "'" and text[1:2] in RUNS and len(text) > 1 else text


# XLSX


def _choose_sheet(path, sheet):
    names = sheet_names(path)
    if sheet and sheet not in names:
        raise TableError("FILE_NO_SHEET", sheet=sheet)
    return sheet or names[0]


def sheet_names(path):
    """Return the names of a workbook's visible sheets, in their order."""
    with _as_table_errors(), zipfile.ZipFile(path) as parts:
        _check_parts(parts)  # and not all of the book: its texts alone take seconds
        sheets = [part for part in fromstring(parts.read(_BOOK)).iter() if _is_sheet(part)]
    names = [sheet.get("name", "") for sheet in sheets if sheet.get("state") in (None, "visible")]
    if not names:
        raise TableError("FILE_EMPTY")
    return names


def _is_sheet(part):
    return part.tag.rpartition("}")[2] == "sheet"


@contextmanager
def _open_book(path):
    """Give a workbook whose rows are read one by one; what goes wrong with it is a TableError."""
    with _as_table_errors(), open(path, "rb") as file:
        with zipfile.ZipFile(file) as parts:
            _check_parts(parts)
        # formulas as formulas: what was last computed of them may be missing, or of another day
        with closing(load_workbook(file, **_AS_STREAM)) as book:
            yield book


@contextmanager
def _as_table_errors():
    try:
        yield
    except TableError:
        raise
    except _BROKEN as error:
        raise TableError("FILE_BROKEN_WORKBOOK") from error


_AS_STREAM = {"read_only": True, "data_only": False, "keep_links": False}


#: what openpyxl and the libraries below it raise when a workbook is no workbook
_BROKEN = (
    AttributeError,
    EOFError,
    IndexError,
    InvalidFileException,
    KeyError,
    NotImplementedError,
    OSError,
    ParseError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    ZlibError,
    zipfile.BadZipFile,
)


def _check_parts(parts):
    """Refuse a workbook that would grow without end: too large unpacked, or with entities."""
    names = {part.filename for part in parts.infolist()}
    if _BOOK not in names:
        raise TableError("FILE_NO_TABLE")
    if sum(part.file_size for part in parts.infolist()) > MAX_UNPACKED:
        raise TableError("FILE_TOO_LARGE_UNPACKED", limit=MAX_UNPACKED // 1024**2)
    for name in names:
        if name.endswith((".xml", ".rels")):
            with parts.open(name) as part:
                head = part.read(_BLOCK // 16).replace(b"\x00", b"")
            if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
                raise TableError("FILE_BROKEN_WORKBOOK")


def _xlsx_rows(path, sheet):
    with _open_book(path) as book:
        table = book[sheet]
        table.reset_dimensions()  # what the file says of its size is not always so
        zeros = {}  # style -> digits that it shows
        for number, row in enumerate(table.iter_rows(), start=1):
            yield number, [_cell_of(cell, zeros) for cell in row]


def _cell_of(cell, zeros):
    """Return a cell of a workbook as ours: most are texts and numbers."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str) and cell.data_type != "f":
        return ("error", value) if cell.data_type == "e" else _clean(value)
    if cell.data_type == "f":
        return ("formula", "")
    if isinstance(value, bool):
        return ("boolean", str(value))
    if isinstance(value, int | float):
        return _number_of(value, cell, zeros)
    if isinstance(value, datetime):
        return ("date", value.date().isoformat())
    return ("date", value.isoformat() if isinstance(value, date | time) else str(value))


def _number_of(value, cell, zeros):
    """Return a number; where its format shows zeros before it, the digits that a person sees."""
    text = format(value, f".{SPREADSHEET_DIGITS}g") if isinstance(value, float) else str(value)
    if isinstance(value, int) and value >= 0:
        style = cell._style_id
        if style not in zeros:
            shown = cell.number_format
            zeros[style] = len(shown) if _ALL_ZEROS.fullmatch(shown) else 0
        if zeros[style] > 1:
            return text.zfill(zeros[style])
    return ("number", text)
