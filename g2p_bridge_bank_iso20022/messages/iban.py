"""IBANs, by python-stdnum: the check digits and each country's own length and form."""

import re
from importlib.machinery import SourceFileLoader

import stdnum

# Odoo's import hook for stdnum leaves the package without the loader that opens its data files
if not hasattr(stdnum.__spec__.loader, "get_resource_reader"):
    stdnum.__spec__.loader = SourceFileLoader(stdnum.__spec__.name, stdnum.__spec__.origin)

from stdnum import iban

_SHAPE = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def compact(number):
    """Return a number as an IBAN is written for machines: capitals, no spaces."""
    return number.replace(" ", "").upper()


def is_iban(number):
    """Say whether a compact number is an IBAN of a country that has them."""
    return _SHAPE.fullmatch(number) is not None and iban.is_valid(number, check_country=False)


def is_mistyped(number):
    """Say whether a compact number would be an IBAN with other check digits."""
    if not _SHAPE.fullmatch(number):
        return False
    repaired = number[:2] + iban.calc_check_digits(number) + number[4:]
    return repaired != number and is_iban(repaired)
