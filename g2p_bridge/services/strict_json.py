"""JSON as a door for strangers reads it: what is ambiguous or without measure is refused."""

import json
import math
from decimal import Decimal, InvalidOperation

#: deeper than any message here; what is ignored in a message may be so deep, too
MAX_DEPTH = 16
#: as many as the longest whole number has that a double holds, and some
MAX_DIGITS = 400


class JsonError(ValueError):
    """The bytes are no JSON that is taken; the message is a phrase for the caller."""


def parse(content, max_values):
    """Return what the bytes say; numbers with a fraction or an exponent as ``Decimal``.

    :param bytes content: UTF-8
    :param int max_values: most values; it is the memory that they need which is bounded
    :raise JsonError: no JSON, a key twice in an object, NaN, a number that no double holds, halves
        of surrogate pairs, too many values, nested without end
    """
    if content.count(b",") + content.count(b"[") + content.count(b"{") > max_values:
        raise JsonError("it holds too many values")
    try:
        text = content.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except JsonError:
        raise
    except UnicodeError:
        raise JsonError("it is not UTF-8") from None
    except RecursionError:
        raise JsonError("it is nested too deeply") from None
    except ValueError as error:
        raise JsonError(getattr(error, "msg", "it is no JSON")) from None
    return value


def check_depth(value, left=MAX_DEPTH):
    """Refuse what is nested too deeply.

    :raise JsonError: it is
    """
    if isinstance(value, list | dict):
        if not left:
            raise JsonError("it is nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            check_depth(item, left - 1)


def restated(content):
    """Return JSON as OpenG2P's services write it again before they sign it, or check a signature.

    The keys keep their order, there are no spaces, what is not ASCII is escaped, and numbers with a
    fraction are written as Python prints them.

    :param bytes content: what :func:`parse` has taken
    """
    return json.dumps(json.loads(content), separators=(",", ":")).encode()


def written(value):
    """Return a reply as the bytes that OpenG2P's services write for it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _object(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise JsonError("it names a member twice")
    return value


def _whole(text):
    _check_size(text)
    return int(text)


def _with_fraction(text):
    _check_size(text)
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        raise JsonError("it holds a number beyond all measure") from None


def _check_size(text):
    if len(text) > MAX_DIGITS or math.isinf(float(text)):
        raise JsonError("it holds a number beyond all measure")


def _no_number(text):
    raise JsonError(f"it holds {text}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_whole,
    parse_float=_with_fraction,
    parse_constant=_no_number,
)
