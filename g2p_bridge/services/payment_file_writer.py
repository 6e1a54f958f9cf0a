"""Files for people: the template of a payment file, and the rows of one that have to be mended."""

import csv
import io

import xlsxwriter

from .payment_table import TEMPLATE_NAMES
from .table_file import RUNS, text_of

_MEMORY = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}


def write_table(out, reading, rows):
    """Write rows as the file was that they come from: same kind, encoding and separator.

    :param out: binary file
    :param Reading reading: of the file
    :param rows: lists of cells
    """
    if reading.kind == "xlsx":
        _write_xlsx(out, reading.sheet, rows)
        return
    # what the encoding does not know, such as our words in a code page, is written as a question
    # mark; of what came in the file it knows all
    text = io.TextIOWrapper(
        out, encoding=reading.encoding, errors="replace", newline="", write_through=True
    )
    writer = csv.writer(text, delimiter=reading.separator)
    for cells in rows:
        writer.writerow([harmless(text_of(cell)) for cell in cells])
    text.flush()
    text.detach()


def harmless(text):
    """Return a text that a spreadsheet program does not run; we take the apostrophe off again."""
    return f"'{text}" if text.lstrip()[:1] and text.lstrip()[0] in RUNS else text


def _write_xlsx(out, sheet, rows):
    with xlsxwriter.Workbook(out, _MEMORY) as book:
        as_text = book.add_format({"num_format": "@"})
        table = book.add_worksheet((sheet or "Sheet1")[:31])
        table.set_column(0, 20, 22, as_text)
        for number, cells in enumerate(rows):
            for place, cell in enumerate(cells):
                if isinstance(cell, str) or cell[0] != "number":
                    table.write_string(number, place, text_of(cell), as_text)
                else:
                    table.write_number(number, place, float(cell[1]))


def write_template(out, kind, language):
    """Write an empty payment file with the columns' names in a language, or in English.

    :param str kind: csv or xlsx
    :param str language: such as ``fr_FR``
    """
    names = TEMPLATE_NAMES.get(language[:2], TEMPLATE_NAMES["en"])
    if kind == "csv":
        out.write(",".join(names).encode("utf-8-sig") + b"\r\n")
        return
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        table = book.add_worksheet()
        as_text = book.add_format({"num_format": "@"})  # zeros at the beginning of an id stay
        bold = book.add_format({"bold": True, "num_format": "@"})
        for place, name in enumerate(names):
            is_amount = place == 3
            table.set_column(place, place, 26, None if is_amount else as_text)
            table.write_string(0, place, name, bold)
        table.freeze_panes(1, 0)
        if language.startswith("ar"):
            table.right_to_left()
