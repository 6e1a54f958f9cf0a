"""One digest for the same content, however its keys are ordered."""

import hashlib
import json
from datetime import date
from decimal import Decimal


def content_hash(obj):
    """Return the SHA-256 (64 hexadecimal digits) of JSON data in canonical form.

    The order of keys does not matter, all else does: ``1`` and ``"1"`` differ, and so do ``1`` and
    ``1.0``, which a caller who repeats a call sends alike. A ``Decimal`` counts by its value.

    :param obj: dict, list, str, int, float, bool, None, Decimal, date
    :raise TypeError: something else is in it
    :raise ValueError: NaN or infinite
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_default)
    return _sha256(text)


def rows_hash(rows):
    """Return :func:`content_hash` of rows that hold one amount each; in a third of its time.

    It writes a column at a time, for JSON's writer is fast with lists of texts only.

    :param list rows: not empty; tuples of texts and, as their fourth value, a finite ``Decimal``
        above zero
    """
    references, persons, names, amounts, narratives = zip(*rows, strict=True)
    lines = zip(
        *map(_quoted, (references, persons, names)),
        [f'{{"decimal":"{_shortest(amount)}"}}' for amount in amounts],
        _quoted(narratives),
        strict=True,
    )
    return _sha256("[[" + "],[".join(map(",".join, lines)) + "]]")


def _quoted(texts):
    """Return each of the texts as JSON writes it; no line end is left in them."""
    return json.dumps(texts, separators=("\n", ":"))[1:-1].split("\n")


def _sha256(text):
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _shortest(amount):
    """Return an amount without zeros at its end: 12.50 as 12.5, 100.00 as 100."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def canonical_bytes(obj):
    """Return JSON data as the one text (UTF-8) that RFC 8785 allows for it.

    Keys are ASCII here and numbers are whole, so that Python's own writer does it; so do the
    libraries of other languages.

    :param obj: dict, list, str, int, bool, None; keys in ASCII
    :raise TypeError: something else is in it, a float among others
    """
    _check_exact(obj)
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _check_exact(value):
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or not name.isascii():
                raise TypeError("a key is no ASCII text")
            _check_exact(item)
    elif isinstance(value, list):
        for item in value:
            _check_exact(item)
    elif value is not None and not isinstance(value, str | int):
        raise TypeError(f"{type(value).__name__} has no canonical text")


def _default(value):
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("NaN and infinite amounts have no canonical form")
        return {"decimal": _shortest(value) if value else "0"}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    raise TypeError(f"{type(value).__name__} is no JSON")
