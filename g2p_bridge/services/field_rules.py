"""Rules for single fields of the API; each says whether a value is acceptable."""

import re
import unicodedata
from datetime import date

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
#: what must not reach a bank file: control characters, and halves of surrogate pairs
_FORBIDDEN_CATEGORIES = ("Cc", "Cs")


def is_text(value, max_length):
    """Say whether ``value`` is a text with something to see, and nothing that controls a terminal.

    :param int max_length: most characters
    """
    if not isinstance(value, str) or not value or len(value) > max_length:
        return False
    if value.isascii():
        return value.isprintable() and not value.isspace()
    return not value.isspace() and not any(
        unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in value
    )


def to_count(value, max_count):
    """Return ``value`` as a whole number from 1 to ``max_count``, or None.

    A JSON number without fraction counts as whole (``3.0``); booleans and texts do not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if 1 <= value <= max_count else None


def to_date(value):
    """Return the day that ``YYYY-MM-DD`` names, or None."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
