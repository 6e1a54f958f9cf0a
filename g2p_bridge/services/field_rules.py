"""Rules for single fields of the API; each says whether a value is acceptable."""

import re
from datetime import date

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
#: what must not reach a bank file or a person's eyes: control characters, line and paragraph
#: separators, what turns the direction of the text around it, halves of surrogate pairs, what
#: stands for bytes that were no UTF-8 (Odoo reads those so), and code points that are no characters
#: (XML-RPC cannot answer them)
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffd"
    + "".join(map(chr, (plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF))))
    + "]"
)
#: a character that takes up paper: no space, joiner, direction mark or filler
_VISIBLE = re.compile(
    "[^\\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065"
    "\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)


def is_left_out(value):
    """Say whether ``value`` means that an optional argument is left out: None, False, ``""``.

    Not ``in (None, False, "")``, for 0 equals False.
    """
    return value is None or value is False or value == ""


def is_text(value, max_length):
    """Say whether ``value`` is a text with something to see, and nothing that controls a terminal.

    Any script is a text, with its combining characters, joiners and direction marks.

    :param int max_length: most characters (code points)
    """
    if not isinstance(value, str) or not value or len(value) > max_length:
        return False
    if value.isascii():
        return value.isprintable() and not value.isspace()
    return _FORBIDDEN.search(value) is None and _VISIBLE.search(value) is not None


def are_texts(values, max_length):
    """Say whether :func:`is_text` holds for each of the values; in a fraction of the time.

    :param values: sequence, not empty
    """
    try:
        joined = "".join(values)
    except TypeError:  # one of them is no text
        return False
    if not all(values) or max(map(len, values)) > max_length:
        return False
    if joined.isascii():
        return joined.isprintable() and not any(map(str.isspace, values))
    return _FORBIDDEN.search(joined) is None and all(map(_VISIBLE.search, values))


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
