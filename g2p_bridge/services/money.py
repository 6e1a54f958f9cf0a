"""Amounts: exact decimals between API, database and bank; never a float in between."""

import re
from decimal import Decimal, InvalidOperation, localcontext
from functools import lru_cache

#: any number of so many significant decimal digits survives the way through an IEEE 754 double,
#: which is what a JSON number becomes in most programs
MAX_DIGITS = 15

_TEXT = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_ALL_DIGITS = "The amount has more than 15 digits, which a JSON number cannot hold exactly."


class AmountError(ValueError):
    """A value that is no amount; the message is a sentence for the caller."""


def parse_amount(value, decimal_places, *, allow_zero=False):
    """Return an amount of the API as ``Decimal`` at the currency's scale.

    :param value: JSON number (int or float), or text of ASCII digits with an optional point and
        decimals: no sign, no exponent, no spaces
    :param int decimal_places: decimals of the currency (ISO 4217 minor unit)
    :param bool allow_zero: take zero too
    :raise AmountError: no number, boolean, NaN, infinite, negative, zero, more decimals than the
        currency (a text may not even have zeros there: 1.500 is one and a half or 1500), or more
        than 15 digits including the currency's decimals
    """
    kind = type(value)
    if kind is str:
        text = value
    elif kind is int:
        text = str(value) if -(10**MAX_DIGITS) < value < 10**MAX_DIGITS else "1" * (MAX_DIGITS + 1)
    elif kind is float:
        text = _text_of_float(value)
    elif kind is Decimal:
        text = _text_of_decimal(value)
    else:
        raise AmountError("The amount must be a number or a text of digits.")
    match = _TEXT.fullmatch(text)
    if match is None:
        raise AmountError(_why_no_amount(text))
    return _checked(*match.groups(default=""), decimal_places, allow_zero)


def parse_amounts(values, decimal_places):
    """Return :func:`parse_amount` of each of the values; faster where all are written alike.

    Those are texts with all decimals of the currency (``1234.50``), or exact JSON numbers.

    :param values: sequence, not empty
    :raise AmountError: one of them is no amount
    """
    kinds = set(map(type, values))
    if kinds <= {int, Decimal}:
        texts, pattern = list(map(str, values)), _short(decimal_places)
    elif kinds == {str}:
        texts, pattern = values, _usual(decimal_places)
    else:
        return [parse_amount(value, decimal_places) for value in values]
    lines = "\n".join(texts)
    is_one_each = lines.count("\n") == len(values) - 1
    if is_one_each and pattern.fullmatch(lines):
        amounts = list(map(Decimal, texts))
        if all(amounts):
            return amounts if kinds == {str} else _scaled(amounts, decimal_places)
    return [parse_amount(value, decimal_places) for value in values]


def _scaled(amounts, places):
    step = Decimal(1).scaleb(-places)
    return [amount.quantize(step) for amount in amounts]


@lru_cache
def _usual(places):
    """Return the pattern for lines that hold one amount with so many decimals each."""
    line = f"[0-9]{{1,{MAX_DIGITS - places}}}" + (f"[.][0-9]{{{places}}}" if places else "")
    return re.compile(f"{line}(?:\n{line})*")


@lru_cache
def _short(places):
    """Return the pattern for lines that hold one amount with at most so many decimals each."""
    line = f"[0-9]{{1,{MAX_DIGITS - places}}}" + (f"(?:[.][0-9]{{1,{places}}})?" if places else "")
    return re.compile(f"{line}(?:\n{line})*")


def _checked(whole, decimals, places, allow_zero):
    missing = places - len(decimals)
    if missing < 0:
        raise AmountError(f"The amount has more than the {places} decimals of its currency.")
    if len(whole) + places > MAX_DIGITS:
        whole = whole.lstrip("0")
        if len(whole) + places > MAX_DIGITS:
            raise AmountError(_ALL_DIGITS)
    amount = Decimal(f"{whole}.{decimals}{'0' * missing}")
    if not amount and not allow_zero:
        raise AmountError("The amount must be above zero.")
    return amount


def _text_of_float(value):
    """Return the shortest text that is this float, which is what its sender wrote."""
    text = repr(value)
    if "e" in text or "n" in text:  # 1e-07, 1e+16, nan, inf
        return _text_of_decimal(Decimal(text))
    return text[:-2] if text.endswith(".0") else text


def _text_of_decimal(value):
    if not value.is_finite():
        raise AmountError("The amount must be a finite number.")
    if value.adjusted() >= MAX_DIGITS:
        raise AmountError(_ALL_DIGITS)
    if value.as_tuple().exponent < -MAX_DIGITS * 2:
        raise AmountError("The amount has more decimals than any currency.")
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _why_no_amount(text):
    if text.startswith("-") and _TEXT.fullmatch(text[1:]):
        return "The amount must not be negative."
    return "The amount must be digits, with a point before the decimals: 1234.50"


def to_json_number(amount):
    """Return an amount as the float that prints as exactly this amount.

    :param Decimal amount: finite
    :raise AmountError: no float is this amount (more than 15 to 17 digits)
    """
    number = float(amount)
    if not amount.is_finite() or Decimal(repr(number)) != amount:
        raise AmountError("The amount cannot be written as a JSON number exactly.")
    return number


def format_amount(amount, decimal_places):
    """Return an amount as text with the currency's decimals: ``1234.50``.

    :param Decimal amount: finite
    :param int decimal_places: decimals of the currency
    :raise AmountError: it has more decimals than that
    """
    try:
        with localcontext() as context:
            context.prec = 60
            exact = amount.quantize(Decimal(1).scaleb(-decimal_places))
    except InvalidOperation as error:
        raise AmountError("The amount is no finite number of money.") from error
    if exact != amount:
        raise AmountError(
            f"The amount has more than the {decimal_places} decimals of its currency."
        )
    return format(exact, "f")
