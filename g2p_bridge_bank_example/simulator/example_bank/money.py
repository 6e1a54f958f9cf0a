"""Amounts inside the bank: whole ten-thousandths of a currency unit, never floats.

Four decimals are more than any currency of ISO 4217 has, so one integer holds every
amount; whether a currency has the decimals of an amount is asked with :func:`fits_currency`.
"""

from decimal import Decimal, InvalidOperation
from functools import lru_cache

SCALE = 4
_UNIT = 10**SCALE
#: of the first digit, so that a sum of amounts still fits SQLite's 64 bits
_MAX_EXPONENT = 13

#: decimals of the currencies that have not two (ISO 4217 list one, column "minor unit")
_DECIMALS = {
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"], 0),
    **dict.fromkeys(["RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
}


class AmountError(ValueError):
    """A number that is no amount of money; the message says why."""


@lru_cache(maxsize=65_536)  # a program pays few different amounts, and each is asked for often
def to_units(number):
    """A JSON number (int or Decimal) as ten-thousandths.

    :raise AmountError: more than four decimals, or a hundred trillion and more
    """
    value = number if isinstance(number, Decimal) else Decimal(number)
    if value.adjusted() > _MAX_EXPONENT:
        raise AmountError("Amount is too large")
    units = value * _UNIT
    if units != units.to_integral_value():
        raise AmountError(f"Amount has more than {SCALE} decimals")
    return int(units)


def decimals_of(currency):
    """How many decimals the currency has (ISO 4217 minor unit)."""
    return _DECIMALS.get(currency, 2)


def fits_currency(units, currency):
    """Whether the amount has no more decimals than its currency."""
    return units % 10 ** (SCALE - decimals_of(currency)) == 0


def to_text(units, currency):
    """The amount as a decimal string with the decimals of the currency: ``-12.50``."""
    decimals = decimals_of(currency)
    whole, rest = divmod(abs(units), _UNIT)
    fraction = f".{rest:04d}"[: decimals + 1] if decimals else ""
    return f"{'-' if units < 0 else ''}{whole}{fraction}"


def to_number(units):
    """The amount as a JSON number; exact up to 15 digits, which is all that a double holds."""
    return units // _UNIT if units % _UNIT == 0 else float(Decimal(units) / _UNIT)


def parse(value):
    """What an operator typed: a JSON number or a decimal string.

    :raise AmountError: neither of them
    """
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise AmountError("An amount is a number or a decimal string")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise AmountError("An amount is a number or a decimal string") from error
    if not number.is_finite():
        raise AmountError("An amount is finite")
    return number
