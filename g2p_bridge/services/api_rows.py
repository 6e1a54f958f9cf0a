"""Rules for the rows of the API's bulk calls, and how a wrong row is named."""

from operator import itemgetter

from ..const import MAX_BANK_REFERENCE, MAX_REFERENCE, MAX_TEXT
from . import money
from .field_rules import are_texts, is_left_out, is_text, to_date

#: field of a row -> (its rule's code, most characters)
ROW_TEXTS = (
    ("mis_reference_number", "INVALID_MIS_REFERENCE_NUMBER", MAX_REFERENCE),
    ("beneficiary_id", "INVALID_BENEFICIARY_ID", MAX_REFERENCE),
    ("beneficiary_name", "INVALID_BENEFICIARY_NAME", MAX_TEXT),
    ("narrative", "INVALID_NARRATIVE", MAX_TEXT),
)

#: fields of a payment that its program may correct, in the order of a correction
CORRECTABLE_TEXTS = ("beneficiary_id", "beneficiary_name", "narrative")

#: status that a bank reports -> states of ours that it does not contradict
FITTING_STATES = {
    "accepted": ("sent", "reconciled", "reversed"),
    "rejected": ("rejected",),
}


_values = itemgetter(
    "mis_reference_number",
    "beneficiary_id",
    "beneficiary_name",
    "disbursement_amount",
    "narrative",
)


def faultless_rows(given, envelope_id, places):
    """Return the rows as :func:`checked_row` does where none has a fault; else None.

    It looks at a column as a whole, which for a thousand rows takes a third of the time. Which row
    is wrong, and why, :func:`checked_row` says.

    :param list given: not empty
    :param str envelope_id: which rows may name, and no other
    :param int places: decimals of the currency
    """
    try:
        columns = list(zip(*map(_values, given), strict=True))
        named = {row.get("disbursement_envelope_id", envelope_id) for row in given}
        columns[3] = money.parse_amounts(columns[3], places)
    except (KeyError, TypeError, AttributeError, money.AmountError):
        return None
    texts = (*columns[:3], columns[4])
    is_good = (
        named == {envelope_id}
        and all(
            are_texts(column, longest)
            for column, (_name, _code, longest) in zip(texts, ROW_TEXTS, strict=True)
        )
        and len(set(columns[0])) == len(given)
    )
    return list(zip(*columns, strict=True)) if is_good else None


def checked_row(given, places, seen):
    """Return (tuple of values, list of codes) of one row; ``seen`` holds the references so far."""
    if not isinstance(given, dict):
        return None, ["INVALID_DISBURSEMENT_PAYLOAD"]
    codes = []
    amount = None
    try:
        amount = money.parse_amount(given.get("disbursement_amount"), places)
    except money.AmountError:
        codes.append("INVALID_DISBURSEMENT_AMOUNT")
    codes += [code for name, code, longest in ROW_TEXTS if not is_text(given.get(name), longest)]
    reference = given.get("mis_reference_number")
    if isinstance(reference, str):
        if reference in seen:
            codes.append("DUPLICATE_MIS_REFERENCE_NUMBER")
        seen.add(reference)
    row = (
        reference,
        given.get("beneficiary_id"),
        given.get("beneficiary_name"),
        amount,
        given.get("narrative"),
    )
    return row, codes


def checked_correction(row, known):
    """Return the codes of what is wrong with one row of a correction.

    :param known: ids of the rows before it
    """
    if not isinstance(row, dict):
        return ["INVALID_DISBURSEMENT_PAYLOAD"]
    codes = []
    if not is_text(row.get("disbursement_id"), MAX_REFERENCE):
        codes.append("INVALID_DISBURSEMENT_ID")
    elif row["disbursement_id"] in known:
        codes.append("DUPLICATE_DISBURSEMENT_ID")
    codes += [
        code
        for name, code, longest in ROW_TEXTS
        if name in CORRECTABLE_TEXTS
        and not is_left_out(row.get(name))
        and not is_text(row.get(name), longest)
    ]
    # an amount that is not what it was must not seem to be taken
    if set(row) - {"disbursement_id", *CORRECTABLE_TEXTS}:
        codes.append("FIELD_NOT_CORRECTABLE")
    return codes


def usable_text(value):
    """Return what a caller gave for an id, as far as an answer can hold it; else an empty text.

    Not all that JSON can say can be answered: half of a surrogate pair has no UTF-8.
    """
    text = value[:MAX_REFERENCE] if isinstance(value, str) else ""
    return text if is_text(text, MAX_REFERENCE) else ""


def row_error(index, given, codes):
    reference = given.get("mis_reference_number") if isinstance(given, dict) else None
    return {
        "index": index,
        "mis_reference_number": usable_text(reference),
        "response_error_codes": codes,
    }


def id_error(index, disbursement_id, code):
    return {
        "index": index,
        "disbursement_id": usable_text(disbursement_id),
        "response_error_codes": [code],
    }


def update_codes(row, known):
    """Return the codes of what is wrong with one status update."""
    if not isinstance(row, dict):
        return ["INVALID_DISBURSEMENT_PAYLOAD"]
    codes = []
    if not isinstance(row.get("disbursement_id"), str) or row["disbursement_id"] not in known:
        codes.append("INVALID_DISBURSEMENT_ID")
    if not isinstance(row.get("status"), str) or row["status"] not in FITTING_STATES:
        codes.append("INVALID_STATUS")
    for name in ("bank_reference", "reason_code"):
        value = row.get(name)
        if not is_left_out(value) and not is_text(value, MAX_BANK_REFERENCE):
            codes.append("INVALID_BANK_REFERENCE")
            break
    day = row.get("value_date")
    if not is_left_out(day) and to_date(day) is None:
        codes.append("INVALID_VALUE_DATE")
    return codes
