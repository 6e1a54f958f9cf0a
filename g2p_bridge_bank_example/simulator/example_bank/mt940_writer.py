"""Account statements as SWIFT MT940, written by the standard.

``standard``: amounts as they are (``100,00``), a bank reference of at most 16
characters, a real opening balance, the closing ``-``. ``captured``: as OpenG2P's example bank
writes it, with amounts of twelve digits and no ``-``, but with balances that tie.
"""

import unicodedata

from . import money

LINE_LENGTH = 65
_SWIFT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-?:().,'+ _")
#: :28C: is 5n/5n
_MAX_NUMBER = 99_999


def write(header, postings, *, style="standard", newline="\r\n"):
    """One statement.

    :param dict header: ``reference``, ``account_number``, ``number``, ``currency``,
        ``opening_balance`` and ``closing_balance`` (signed, in ten-thousandths),
        ``opening_date`` and ``closing_date`` (ISO dates)
    :param postings: rows with ``mark``, ``amount``, ``value_date``, ``entry_date``,
        ``reference``, ``bank_reference``, ``narrative`` (six lines) and ``reason``
    :param str style: ``standard`` or ``captured``
    :return: the text, one ``newline`` after each line
    """
    currency = header["currency"]
    width = 12 if style == "captured" else 0
    lines = [
        f":20:{header['reference']}",
        f":25:{header['account_number']}",
        f":28C:{(header['number'] - 1) % _MAX_NUMBER + 1}/1",
        _balance("60F", header["opening_balance"], header["opening_date"], currency),
    ]
    for posting in postings:
        lines.append(_entry(posting, currency, width))
        lines.extend(_narrative(posting))
    lines.append(_balance("62F", header["closing_balance"], header["closing_date"], currency))
    if style == "standard":
        lines.append("-")
    return newline.join(lines) + newline


def _balance(tag, units, iso_date, currency):
    mark = "D" if units < 0 else "C"
    return f":{tag}:{mark}{_yymmdd(iso_date)}{currency}{_amount(abs(units), currency)}"


def _entry(posting, currency, width):
    amount = _amount(posting["amount"], currency, width)
    dates = _yymmdd(posting["value_date"]) + posting["entry_date"][5:].replace("-", "")
    reference = clean(posting["reference"])[:16] or "NONREF"
    return f":61:{dates}{posting['mark']}{amount}NTRF{reference}//{posting['bank_reference'][:16]}"


def _narrative(posting):
    """Six lines of :86:; the last one says why it was reversed."""
    lines = [*posting["narrative"].split("\n"), *[""] * 6][:6]
    if posting["mark"] != "D" and posting["reason"]:
        lines[5] = posting["reason"]
    first, *rest = map(clean, lines)
    return [f":86:{first}", *rest]


def _amount(units, currency, width=0):
    whole, _, fraction = money.to_text(units, currency).partition(".")
    return f"{whole.zfill(width)},{fraction}"


def _yymmdd(iso_date):
    return iso_date[2:].replace("-", "")


def clean(text):
    """The text in the characters of SWIFT's set x, on one line of at most 65.

    Letters with accents lose them, what has no equivalent becomes a full stop, and no line
    begins like a tag (``:``) or like the end of the message (``-``).
    """
    if not _SWIFT.issuperset(text):
        plain = unicodedata.normalize("NFKD", text)
        text = "".join(
            character if character in _SWIFT else "."
            for character in plain
            if not unicodedata.combining(character)
        )
    if text[:1] in (":", "-"):
        text = "." + text[1:]
    return text[:LINE_LENGTH]
