"""Why a payment reached nobody, in the codes of ISO 20022, whoever said it and in whatever words.

One table: what mappers, connectors, statements and ourselves say, and the code for it (external
status reasons of pain.002, return reasons of pacs.004 and camt.053). Plain words for the codes are
those of ``models/reason_words.py``.
"""

import re

#: without a reason; with one in words only
NOT_SAID, IN_WORDS = "MS03", "NARR"
NAME_MISMATCH = "BE01"

#: what they say -> ISO 20022; texts are compared by :func:`_plain`
CODES = {
    # account mappers (G2P Connect) and our own look-up
    "succ.fa.not_linked_to_id": "AC03",
    "succ.fa.not_found": "AC03",
    "succ.fa.inactive": "AC06",
    "succ.id.inactive": "BE06",
    "succ.id.not_found": "BE06",
    "rjct.id.invalid": "BE06",
    "rjct.fa.invalid": "AC01",
    "rjct.name.mismatch": NAME_MISMATCH,
    "LEFT_OUT": "AC03",  # by an officer or a correction: nobody knew an account
    # banks that speak in words, in answers and in statements
    "ACCOUNT_BLOCKED": "AC06",
    "ACCOUNT_CLOSED": "AC04",
    "ACCOUNT_DORMANT": "AC06",
    "ACCOUNT_FROZEN": "AC06",
    "ACCOUNT_NAME_MISMATCH": NAME_MISMATCH,
    "ACCOUNT_NOT_FOUND": "AC01",
    "BENEFICIARY_DECEASED": "MD07",
    "DUPLICATE": "AM05",
    "DUPLICATE_PAYMENT": "AM05",
    "INSUFFICIENT_FUNDS": "AM04",
    "INVALID_ACCOUNT": "AC01",
    "INVALID_ACCOUNT_NUMBER": "AC01",
    "INVALID_BANK_CODE": "RC01",
    "NAME_MISMATCH": NAME_MISMATCH,
    "NO_SUCH_ACCOUNT": "AC01",
    "REFUSED_BY_BENEFICIARY": "MS02",
    "TRANSACTION_FORBIDDEN": "AG01",
    "UNKNOWN_ACCOUNT": "AC01",
}
_LEADING_CODE = re.compile(r"[A-Z]{2}[A-Z0-9]{2}\b")
_NOT_PLAIN = re.compile(r"[^A-Z0-9]+")


def iso_reason(code, words, known):
    """Return the ISO 20022 reason code of what a bank, a mapper or we ourselves said.

    :param str code: reason code as it is stored; may be a text, or empty
    :param str words: what was said beside it; may be empty
    :param known: codes that count as ISO 20022's
    """
    for said in (code or "", words or ""):
        if said in known and _LEADING_CODE.fullmatch(said):
            return said
        if found := CODES.get(said) or CODES.get(_plain(said)):
            return found
        leading = _LEADING_CODE.match(said)
        if leading and leading[0] in known:
            return leading[0]
    return IN_WORDS if code or words else NOT_SAID


def _plain(text):
    """Return a text as the table has it: *Account closed.* as ``ACCOUNT_CLOSED``."""
    return _NOT_PLAIN.sub("_", text.upper()).strip("_")
