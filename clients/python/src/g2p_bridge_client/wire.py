"""Dataclasses to JSON and back: amounts exact, times in UTC, texts as they are."""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import UnexpectedAnswer

T = TypeVar("T")


def amount_text(amount: Decimal) -> str:
    """Return an amount as the API takes it: digits and a point, the shortest text of its value.

    There is one text for each value, so that a repeat is the same to the last byte.

    :raise TypeError: no ``Decimal``; a ``float`` has lost the exact amount already
    :raise ValueError: NaN or infinite
    """
    if not isinstance(amount, Decimal):
        raise TypeError(f"an amount is a Decimal, not a {type(amount).__name__}")
    if not amount.is_finite():
        raise ValueError("an amount is a finite number")
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value: Any) -> Any:
    """Return arguments as plain JSON; members that are None are left out."""
    if isinstance(value, Decimal):
        return amount_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value):
        members = {each.name: getattr(value, each.name) for each in fields(value)}
        return plain(members)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def read(kind: type[T], data: object) -> T:
    """Return an object of JSON as a dataclass; members that it does not know are ignored.

    :raise UnexpectedAnswer: a member is missing or of another type
    """
    if not isinstance(data, dict):
        raise UnexpectedAnswer(f"{kind.__name__}: no object")
    values = {}
    for name, convert, is_needed in _members(kind):  # type: ignore[arg-type]
        if name in data:
            try:
                values[name] = convert(data[name])
            except (TypeError, ValueError, ArithmeticError):
                # without the value: it may be a name
                raise UnexpectedAnswer(f"{kind.__name__}.{name}: another type") from None
        elif is_needed:
            raise UnexpectedAnswer(f"{kind.__name__}.{name}: missing")
    return kind(**values)


@cache
def _members(kind: type[Any]) -> list[tuple[str, Callable[[Any], Any], bool]]:
    hints = get_type_hints(kind)
    return [
        (
            each.name,
            _converter(hints[each.name]),
            each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(kind)
    ]


def _converter(hint: Any) -> Callable[[Any], Any]:
    if get_origin(hint) in (Union, types.UnionType):  # X | None: an empty text stands for None
        [inner] = [each for each in get_args(hint) if each is not type(None)]
        convert = _converter(inner)
        return lambda value: None if value == "" else convert(value)
    if get_origin(hint) is tuple:
        convert = _converter(get_args(hint)[0])
        return lambda value: tuple(map(convert, _a(list, value)))
    if is_dataclass(hint):
        return lambda value: read(hint, value)  # type: ignore[arg-type]
    return _SIMPLE[hint]


def _a(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError
    return value


def _to_decimal(value: object) -> Decimal:
    if type(value) is int:
        return Decimal(value)
    return _a(Decimal, value)


def _to_time(value: object) -> datetime:
    return datetime.fromisoformat(_a(str, value)).replace(tzinfo=timezone.utc)


def _to_day(value: object) -> date:
    return date.fromisoformat(_a(str, value)[:10])


_SIMPLE: dict[Any, Callable[[Any], Any]] = {
    str: lambda value: _a(str, value),
    int: lambda value: _a(int, value),
    bool: lambda value: _a(bool, value),
    Decimal: _to_decimal,
    datetime: _to_time,
    date: _to_day,
}
