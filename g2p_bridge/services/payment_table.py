"""What the columns of a table of payments mean, and each row as the API would take it."""

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

from ..const import MAX_REFERENCE, MAX_TEXT
from .api_rows import checked_row
from .table_file import SPREADSHEET_DIGITS
from .written_amounts import (
    WrittenAmountError,
    decimal_of,
    is_ambiguous,
    readings_of,
    sniff_style,
    to_plain,
)

#: field of the API -> what may stand above its column, in any case, with or without accents
NAMES = {
    "mis_reference_number": (
        "mis reference number", "mis reference", "mis ref", "reference", "ref", "reference number",
        "ref no", "payment reference", "payment id", "transaction id", "transaction reference",
        "entitlement id", "entitlement reference",
        "référence", "référence mis", "réf", "numéro de référence", "référence de paiement",
        "id paiement", "n° de référence",
        "referencia", "referencia mis", "número de referencia", "referencia de pago", "id de pago",
        "المرجع", "مرجع", "الرقم المرجعي", "رقم المرجع", "مرجع الدفعة", "رقم الدفعة",
    ),
    "beneficiary_id": (
        "beneficiary id", "beneficiary", "beneficiary number", "beneficiary no", "id", "person id",
        "household id", "national id", "nid", "id number", "recipient id", "member id",
        "registration id", "registration number", "individual id", "payee id",
        "bénéficiaire", "id bénéficiaire", "identifiant bénéficiaire", "identifiant",
        "numéro bénéficiaire", "numéro de bénéficiaire", "matricule", "nin", "code bénéficiaire",
        "beneficiario", "id beneficiario", "id del beneficiario", "identificación",
        "número de beneficiario", "cédula", "dni", "documento", "código de beneficiario", "curp",
        "رقم المستفيد", "معرف المستفيد", "هوية المستفيد", "الرقم الوطني", "رقم الهوية",
        "الرقم القومي",
    ),
    "beneficiary_name": (
        "beneficiary name", "name", "full name", "recipient name", "recipient", "payee",
        "payee name", "person name", "names",
        "nom", "nom complet", "nom du bénéficiaire", "nom bénéficiaire", "nom et prénom",
        "noms et prénoms", "nom et prénoms",
        "nombre", "nombre completo", "nombre del beneficiario", "nombre beneficiario",
        "nombre y apellido", "nombres y apellidos", "apellidos y nombres",
        "اسم المستفيد", "الاسم", "اسم", "الاسم الكامل",
    ),
    "disbursement_amount": (
        "disbursement amount", "amount", "payment amount", "amount due", "net amount", "value",
        "transfer amount", "entitlement amount", "sum", "amount to pay",
        "montant", "montant à payer", "montant net", "somme", "montant du paiement", "valeur",
        "monto", "importe", "cantidad", "monto a pagar", "importe a pagar", "valor", "monto neto",
        "المبلغ", "مبلغ", "القيمة", "مبلغ الدفعة", "المبلغ المستحق",
    ),
    "narrative": (
        "narrative", "description", "purpose", "payment purpose", "remarks", "remark", "note",
        "notes", "details", "payment details", "text", "memo", "remittance information",
        "libellé", "motif", "objet", "remarque", "commentaire", "motif du paiement",
        "descripción", "concepto", "motivo", "detalle", "glosa", "observaciones",
        "البيان", "الوصف", "الغرض", "ملاحظات", "وصف", "بيان",
    ),
}  # fmt: skip
#: in the order of the template
FIELDS = tuple(NAMES)
#: what a file must have a column for; the reference can be made, the text can be one for all
REQUIRED = ("beneficiary_id", "beneficiary_name", "disbursement_amount")
#: language -> the template's columns; each is a name above
TEMPLATE_NAMES = {
    "en": ("Reference", "Beneficiary ID", "Beneficiary name", "Amount", "Description"),
    "fr": ("Référence", "Identifiant bénéficiaire", "Nom du bénéficiaire", "Montant", "Libellé"),
    "es": ("Referencia", "ID del beneficiario", "Nombre del beneficiario", "Importe", "Concepto"),
    "ar": ("المرجع", "رقم المستفيد", "اسم المستفيد", "المبلغ", "البيان"),
}
#: rows among which the one with the columns' names is looked for
HEADER_ROWS = 10

_API_CODES = {
    "INVALID_MIS_REFERENCE_NUMBER": "mis_reference_number",
    "DUPLICATE_MIS_REFERENCE_NUMBER": "mis_reference_number",
    "INVALID_BENEFICIARY_ID": "beneficiary_id",
    "INVALID_BENEFICIARY_NAME": "beneficiary_name",
    "INVALID_NARRATIVE": "narrative",
    "INVALID_DISBURSEMENT_AMOUNT": "disbursement_amount",
}
#: a number as a spreadsheet program shortens it: the digits that are missing are lost
_SHORTENED = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+", re.ASCII)


class Rules(NamedTuple):
    """How rows of a file are understood."""

    columns: dict  # field -> index of its column
    width: int  # columns of the file
    style: str | None  # of its amounts
    places: int  # decimals of the currency
    currency: str
    cycle: str
    narrative: str  # where the file has none


class Understood(NamedTuple):
    """A row as the API takes it, and what is wrong with it: ``CODE@field``."""

    values: tuple  # in the order of checked_row
    problems: list
    is_ambiguous: bool  # another style would read another amount


def normal(name):
    """Return a column's name without case, accents, vowel marks and punctuation."""
    text = unicodedata.normalize("NFKD", name).casefold()
    kept = (" " if not each.isalnum() else each for each in text if not _is_mark(each))
    return " ".join("".join(kept).split())


def _is_mark(character):
    return unicodedata.combining(character) or character == "\u0640"  # the Arabic stretcher


_MEANINGS = {normal(name): field for field, names in NAMES.items() for name in names}


def find_header(rows):
    """Return the place of the row with the columns' names among the first ones, or None.

    :param list rows: lists of cells
    """
    best = max(range(len(rows[:HEADER_ROWS])), key=lambda n: (_known(rows[n]), -n), default=None)
    if best is None or not _known(rows[best]):
        # a first row without any digit names columns that we do not know
        has_digit = rows and any(not isinstance(c, str) or _has_digit(c) for c in rows[0])
        return None if has_digit or not rows else 0
    return best


def _known(cells):
    return len({_MEANINGS.get(normal(cell)) for cell in cells if isinstance(cell, str)} - {None})


def _has_digit(text):
    return any(each.isdigit() for each in text)


def guess_columns(names, rows, currency=""):
    """Return field -> index of the column that seems to hold it, by names, then by content.

    :param list names: of the columns; empty where the file has none
    :param list rows: the first rows below
    """
    found = {}
    for index, name in enumerate(names):
        field = _MEANINGS.get(normal(name))
        if field and field not in found:
            found[field] = index
    for index, name in enumerate(names):
        field = _meaning_of_words(name)
        if field and field not in found and index not in found.values():
            found[field] = index
    width = width_of(names, rows)
    for field, looks_like in _LOOKS.items():
        if field in found or not (field in REQUIRED or not names):
            continue
        for index in range(width):
            cells = [row[index] if index < len(row) else "" for row in rows]
            if index not in found.values() and rows and looks_like(cells, currency):
                found[field] = index
                break
    return found


def width_of(names, rows):
    """Return how many columns a file has: those with names, or as many as most rows have.

    A row with more is no good row: a separator in an amount makes two cells of it.
    """
    widths = [len(row) for row in rows]
    return len(names) or max(widths, key=lambda width: (widths.count(width), width), default=0)


def _meaning_of_words(name):
    """Return the field whose name, of two words or more, stands within a longer one."""
    text = f" {normal(name)} "
    fits = [known for known in _MEANINGS if " " in known and f" {known} " in text]
    return _MEANINGS[max(fits, key=len)] if fits else None


def _looks_like_amounts(cells, currency):
    """Say whether they are amounts, and not ids: with decimals, or the same again."""
    texts = [cell if isinstance(cell, str) else cell[1] for cell in cells]
    if not all(_is_amount(cell, currency) for cell in cells):
        return False
    has_decimals = any(not text.isdigit() for text in texts)
    return has_decimals or len(set(texts)) < len(texts)


def _is_amount(cell, currency):
    if isinstance(cell, str):
        return bool(readings_of(cell, currency)) and not cell.startswith("0")
    return cell[0] == "number"


def _looks_like_names(cells, _currency):
    return all(
        isinstance(cell, str) and " " in cell and not _has_digit(cell) for cell in cells
    ) and len(set(cells)) * 2 > len(cells)


def _looks_like_ids(cells, _currency):
    texts = [cell if isinstance(cell, str) else cell[1] for cell in cells]
    are_codes = all(_has_digit(text) and " " not in text for text in texts)
    return are_codes and len(set(texts)) == len(texts)


#: what is looked for by content, the surest first
_LOOKS = {
    "disbursement_amount": _looks_like_amounts,
    "beneficiary_name": _looks_like_names,
    "beneficiary_id": _looks_like_ids,
}


def guess_style(rows, column, currency=""):
    """Return the style of a column's amounts, or None where nobody but a person can tell."""
    texts = [row[column] for row in rows if len(row) > column and isinstance(row[column], str)]
    return sniff_style([text for text in texts if text], currency)


def understand(cells, rules, seen):
    """Return the :class:`Understood` of a row.

    The rules of the API decide; what they refuse is said here in more detail.

    :param list cells: of the row
    :param set seen: references so far
    """
    given, problems = _given(cells, rules)
    if len(cells) > rules.width:
        problems.append("ROW_TOO_LONG@")
    values, codes = checked_row(given, rules.places, seen)
    named = {problem.partition("@")[2] for problem in problems}
    for code in codes:
        field = _API_CODES[code]
        detail = _detail(code, field, given[field], rules.places)
        if field == "mis_reference_number" and field not in rules.columns:
            field = "beneficiary_id"  # of which it is made
        if field not in named:
            problems.append(f"{detail}@{field}")
            named.add(field)
    return Understood(values, problems, _is_open(cells, rules))


def _given(cells, rules):
    """Return (row as the API would get it, problems of its cells)."""
    given, problems = {}, []
    for field in FIELDS:
        cell = _cell(cells, rules.columns.get(field))
        if field == "disbursement_amount":
            given[field], problem = _amount(cell, rules)
        else:
            given[field], problem = _text(cell)
        if problem:
            problems.append(f"{problem}@{field}")
    if "narrative" not in rules.columns:
        given["narrative"] = rules.narrative
    if "mis_reference_number" not in rules.columns:
        given["mis_reference_number"] = made_reference(rules.cycle, given["beneficiary_id"])
    return given, problems


def made_reference(cycle, beneficiary_id):
    """Return the reference of a payment whose file has none: the same for the same payment."""
    return f"{cycle}-{beneficiary_id}" if beneficiary_id else ""


def as_cells(cells):
    """Return cells that went through JSON."""
    return [cell if isinstance(cell, str) else tuple(cell) for cell in cells]


def _cell(cells, index):
    return "" if index is None or index >= len(cells) else cells[index]


def _text(cell):
    """Return (text, problem) of a cell."""
    if isinstance(cell, str):
        return (cell, "CELL_SHORTENED") if _SHORTENED.fullmatch(cell) else (cell, None)
    kind, text = cell
    if kind == "number":
        digits = text.lstrip("-")
        if digits.isdigit() and len(digits) <= SPREADSHEET_DIGITS:
            return text, None
        return "", "CELL_DECIMALS" if "." in text and "e" not in text else "CELL_SHORTENED"
    return "", f"CELL_{kind.upper()}"


def _amount(cell, rules):
    """Return (amount as the API takes it, problem) of a cell."""
    if isinstance(cell, str):
        if not cell:
            return "", "CELL_EMPTY"
        try:
            return to_plain(cell, rules.style, rules.currency), None
        except WrittenAmountError as error:
            return "", error.code
    kind, text = cell
    if kind != "number":
        return "", f"CELL_{kind.upper()}"
    number = Decimal(text)
    return (number, None) if number >= 0 else ("", "AMOUNT_NEGATIVE")


def _is_open(cells, rules):
    """Say whether another style would read another amount."""
    cell = _cell(cells, rules.columns.get("disbursement_amount"))
    if not rules.style or not isinstance(cell, str) or cell.isdigit():
        return False
    return is_ambiguous(cell, rules.currency)


def _detail(code, field, value, places):
    """Return why the API refuses a value, where more can be said than its code does."""
    if code == "INVALID_DISBURSEMENT_AMOUNT":
        return _detail_of_amount(value, places)
    if code == "DUPLICATE_MIS_REFERENCE_NUMBER":
        return code
    if not value:
        return "CELL_EMPTY"
    longest = MAX_TEXT if field in ("beneficiary_name", "narrative") else MAX_REFERENCE
    return "CELL_LONG" if len(value) > longest else "CELL_CHARACTERS"


def _detail_of_amount(value, places):
    number = value if isinstance(value, Decimal) else decimal_of(value)
    if not number:
        return "AMOUNT_ZERO"
    text = format(number.normalize(), "f") if isinstance(value, Decimal) else value
    if len(text.partition(".")[2]) > places:
        return "AMOUNT_DECIMALS"
    return "AMOUNT_LARGE"


_ACCOUNTS = re.compile(
    r"\b(iban|account|acct|compte|rib|cuenta|clabe|cbu|mobile|phone|msisdn|telephone|telefono"
    r"|movil|celular|wallet)\b|حساب|ايبان|هاتف|جوال|محفظه|محفظة"
)


def is_account(name):
    """Say whether a column's name is that of an account or a phone, which are shown masked."""
    return _ACCOUNTS.search(normal(name)) is not None
