"""What is wrong with a file or a row, in words for the person who has to mend it."""

from odoo.tools.misc import formatLang


def field_label(env, field):
    """Return how a field of a payment is called on the screens."""
    return {
        "mis_reference_number": env._("Reference"),
        "beneficiary_id": env._("Beneficiary ID"),
        "beneficiary_name": env._("Beneficiary name"),
        "disbursement_amount": env._("Amount"),
        "narrative": env._("Description"),
    }.get(field, "")


def file_words(env, code, values):
    """Return the sentence for a :class:`~..services.table_file.TableError`."""
    row = formatLang(env, values.get("row", 0), digits=0)
    limit = formatLang(env, values.get("limit", 0), digits=0)
    return {
        "FILE_EMPTY": env._("The file is empty."),
        "FILE_OLD_EXCEL": env._(
            "This is an old Excel file, or one with a password. Save it as XLSX or CSV without a "
            "password."
        ),
        "FILE_NO_TABLE": env._("This is neither a CSV file nor an XLSX workbook."),
        "FILE_BROKEN_WORKBOOK": env._(
            "The workbook cannot be read: it is damaged. Open it in your spreadsheet program and "
            "save it as XLSX again."
        ),
        "FILE_TOO_LARGE_UNPACKED": env._(
            "Unpacked, the workbook is larger than %s MB. Leave only the list of payments in it, "
            "or save it as CSV.",
            limit,
        ),
        "FILE_TOO_LARGE": env._(
            "The file is larger than %s MB. Split it, or have the limit raised in the settings.",
            limit,
        ),
        "FILE_TOO_MANY_ROWS": env._(
            "The file has more than %s rows. Split it, or have the limit raised in the settings.",
            limit,
        ),
        "FILE_TOO_WIDE": env._(
            "Row %(row)s has more than %(limit)s columns. Is this the list of payments?",
            row=row,
            limit=limit,
        ),
        "FILE_NO_SHEET": env._("The workbook has no sheet %s.", values.get("sheet", "")),
        "FILE_NOT_IN_ENCODING": env._(
            "The file is not written in the chosen characters: row %s or one near it cannot be "
            "read. Choose other characters.",
            row,
        ),
        "FILE_QUOTES": env._(
            "A quotation mark in row %s is opened and not closed, or stands in the middle of a "
            "cell. Nothing after it can be told apart.",
            row,
        ),
    }[code]


def _cell_words(env, places):
    return {
        "CELL_EMPTY": env._("is empty"),
        "CELL_LONG": env._("is too long"),
        "CELL_CHARACTERS": env._("has characters that no bank takes, such as a line break"),
        "CELL_SHORTENED": env._(
            "was shortened by the spreadsheet program and digits are lost: format the column as "
            "text and enter it again"
        ),
        "CELL_DECIMALS": env._("is a number with decimals"),
        "CELL_DATE": env._("became a date in the spreadsheet program: format the column as text"),
        "CELL_BOOLEAN": env._("is TRUE or FALSE"),
        "CELL_ERROR": env._("is an error of the spreadsheet program"),
        "CELL_FORMULA": env._("is a formula: paste its value instead"),
        "AMOUNT_ZERO": env._("is zero"),
        "AMOUNT_NEGATIVE": env._("is negative"),
        "AMOUNT_DECIMALS": env._("has more than %s decimals", places),
        "AMOUNT_LARGE": env._("is too large"),
        "AMOUNT_EXPONENT": env._(
            "was shortened by the spreadsheet program (1E+06): show all its digits and save again"
        ),
        "AMOUNT_NO_NUMBER": env._("is no number"),
        "AMOUNT_OTHER_STYLE": env._("is not written like the amounts of this file"),
        "AMOUNT_UNCLEAR": env._(
            "can be read in two ways: choose below how amounts are written in this file"
        ),
    }


def problem_words(env, problem, columns, places):
    """Return the sentence for one problem of a row.

    :param str problem: ``CODE@field`` or ``CODE@field#row``
    :param dict columns: field -> what stands above its column
    """
    code, _at, rest = problem.partition("@")
    field, _hash, row = rest.partition("#")
    if code == "ROW_TOO_LONG":
        return env._(
            "The row has more cells than the file has columns: does a cell hold a separator?"
        )
    label = field_label(env, field)
    name = columns.get(field)
    if name and name.casefold() != label.casefold():
        label = env._("%(field)s (%(column)s)", field=label, column=name)
    if code == "DUPLICATE_MIS_REFERENCE_NUMBER":
        return env._("%(field)s stands already in row %(row)s.", field=label, row=row)
    words = _cell_words(env, places)[code]
    return env._("%(field)s %(problem)s.", field=label, problem=words)
