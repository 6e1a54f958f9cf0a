"""Reports: made once, then written as paper (PDF) or as a workbook (XLSX) with the same numbers.

A cell is text, a whole number, a day (ISO text) or money (Decimal); its column says which.
"""

import csv
import io
import re
from dataclasses import dataclass, field
from decimal import Decimal

import xlsxwriter
from reportlab.lib.units import mm

from .pdf import BOLD, QUIET, Column, Paper

#: SENTENCE is text that takes more room
TEXT, SENTENCE, COUNT, MONEY, DAY = "text", "sentence", "count", "money", "day"
#: share of the width of a page that a column takes
_WEIGHTS = {TEXT: 1.5, SENTENCE: 3.2, COUNT: 0.8, MONEY: 1.35, DAY: 0.9}
#: width of a column in a workbook, in characters
_CHARACTERS = {TEXT: 26, SENTENCE: 50, COUNT: 12, MONEY: 20, DAY: 12}
#: what a spreadsheet takes for the start of a formula, in a text file
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NOT_IN_NAME = re.compile(r"[\[\]:*?/\\']")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of a report.

    :param columns: list of (label, kind)
    :param rows: list of lists of cells
    :param has_total: the last row is the sum of the others
    """

    title: str
    columns: list
    rows: list
    has_total: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report, ready to be written.

    :param facts: list of (label, value as text)
    :param signatures: who signs by hand
    """

    title: str
    subtitle: str
    currency: str
    decimals: int
    facts: list
    sections: list
    footer: str
    signatures: list = field(default_factory=list)


def to_pdf(report, fonts, language):
    """Return the report as PDF (bytes)."""
    paper = Paper(fonts, title=report.title, language=language, footer=report.footer)
    paper.y -= 4 * mm
    paper.text(paper.left, paper.y, report.title, font=BOLD, size=18)
    paper.y -= 6.5 * mm
    paper.text(paper.left, paper.y, report.subtitle, size=10.5, color=QUIET)
    paper.y -= 3 * mm
    paper.rule()
    for label, value in report.facts:
        paper.need(6 * mm)
        paper.y -= 5.2 * mm
        paper.text(paper.left, paper.y, label, color=QUIET)
        room = paper.right - paper.left - 45 * mm
        paper.text(paper.left + 45 * mm, paper.y, paper.fitted(value, room))
    for section in report.sections:
        _write_section(paper, section, report)
    if report.signatures:
        paper.signatures(report.signatures)
    return paper.finish()


def _write_section(paper, section, report):
    paper.heading(section.title)
    if section.rows:
        weights = [_WEIGHTS[kind] for _label, kind in section.columns]
        unit = (paper.right - paper.left) / sum(weights)
        columns = [
            Column(unit * weight, label, "end" if kind in (COUNT, MONEY) else "start")
            for weight, (label, kind) in zip(weights, section.columns, strict=True)
        ]
        rows = [
            [
                _shown(cell, kind, report.decimals)
                for cell, (_label, kind) in zip(row, section.columns, strict=True)
            ]
            for row in section.rows
        ]
        paper.table(columns, rows, size=8, bold_last=section.has_total)
        paper.y -= 2 * mm
    if section.note:
        paper.paragraph(section.note, size=8, color=QUIET)


def _shown(cell, kind, decimals):
    if cell is None or cell == "":
        return ""
    if kind == MONEY:
        return f"{cell:,.{decimals}f}"
    return f"{cell:,}" if kind == COUNT else str(cell)


def to_xlsx(report, language):
    """Return the report as a workbook (bytes): a sheet of facts, and one for each table."""
    buffer = io.BytesIO()
    with open_workbook(buffer) as book:
        formats = Formats(book, report.decimals)
        sheet = book.add_worksheet()
        _face(sheet, language)
        sheet.set_column(0, 0, 28)
        sheet.set_column(1, 1, 60)
        sheet.write_string(0, 0, report.title, formats.title)
        sheet.write_string(1, 0, report.subtitle)
        for place, (label, value) in enumerate(report.facts, start=3):
            sheet.write_string(place, 0, label, formats.label)
            sheet.write_string(place, 1, value)
        names = set()
        for section in report.sections:
            sheet = book.add_worksheet(_sheet_name(section.title, names))
            _face(sheet, language)
            _fill(sheet, section, formats)
    return buffer.getvalue()


def open_workbook(target):
    """Return a workbook whose texts are never taken for formulas or links.

    Rows are written out as they come, so that memory does not grow with them.
    """
    return xlsxwriter.Workbook(
        target,
        {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "remove_timezone": True,
        },
    )


class Formats:
    """The formats of a workbook."""

    def __init__(self, book, decimals):
        tail = "." + "0" * decimals if decimals else ""
        numbers = {COUNT: "#,##0", MONEY: f"#,##0{tail}"}
        self.title = book.add_format({"bold": True, "font_size": 16})
        self.label = book.add_format({"font_color": "#5b6573"})
        self.heading = book.add_format({"bold": True, "bg_color": "#f3f6f8", "bottom": 1})
        self._plain, self._bold = (
            {
                kind: book.add_format({"bold": bold, "num_format": numbers.get(kind, "@")})
                for kind in (TEXT, SENTENCE, COUNT, MONEY, DAY)
            }
            for bold in (False, True)
        )

    def of(self, kind, is_total=False):
        """Return the format of a cell of that kind."""
        return (self._bold if is_total else self._plain)[kind]


def _face(sheet, language):
    if language.split("_")[0] in ("ar", "fa", "he", "ur"):
        sheet.right_to_left()


def _fill(sheet, section, formats):
    write_heading(sheet, section.columns, formats)
    for place, row in enumerate(section.rows, start=1):
        is_total = section.has_total and place == len(section.rows)
        write_row(sheet, place, section.columns, row, formats, is_total)
    if section.note:
        sheet.write_string(len(section.rows) + 2, 0, section.note)


def write_heading(sheet, columns, formats):
    """Write the labels of columns, and keep them in sight."""
    for number, (label, kind) in enumerate(columns):
        sheet.set_column(number, number, _CHARACTERS[kind])
        sheet.write_string(0, number, label, formats.heading)
    sheet.freeze_panes(1, 0)


def write_row(sheet, place, columns, row, formats, is_total=False):
    """Write a row: money and counts as numbers, all else as text, whatever it looks like."""
    for number, (cell, (_label, kind)) in enumerate(zip(row, columns, strict=True)):
        if cell is None or cell == "":
            continue
        if kind in (COUNT, MONEY):
            sheet.write_number(place, number, cell, formats.of(kind, is_total))
        else:
            sheet.write_string(place, number, str(cell), formats.of(kind, is_total))


def csv_row(row):
    """Return a row of a text file in which no cell can be taken for a formula."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(map(_csv_cell, row))
    return buffer.getvalue()


def _csv_cell(cell):
    if cell is None:
        return ""
    if isinstance(cell, Decimal | int):
        return format(cell, "f") if isinstance(cell, Decimal) else cell
    text = str(cell)
    return f"'{text}" if _FORMULA.match(text) else text


def _sheet_name(title, taken):
    name = _NOT_IN_NAME.sub(" ", title)[:28]
    while name.lower() in taken:
        name = f"{name[:26]} {len(taken)}"
    taken.add(name.lower())
    return name
