"""Amounts as people write them, to the plain digits that the API takes; never by a guess.

Whether ``1,234`` is one thousand or one and a bit depends on who wrote it. A file has one style,
which a person sees and chooses.
"""

import re
from decimal import Decimal, InvalidOperation

#: style -> (decimal mark, marks between thousands)
STYLES = {"point": (".", ","), "comma": (",", ".")}

#: digits of Arabic and Persian, and their marks
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")
_ARABIC_DECIMAL, _ARABIC_THOUSANDS = "\u066b", "\u066c"
#: between thousands in any style: blanks of several widths, apostrophes
_NEUTRAL = re.compile("(?<=[0-9])[ \u00a0\u2009\u202f'’](?=[0-9]{3}(?![0-9]))")
_EXPONENT = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+", re.ASCII)
_NEGATIVE = re.compile(r"[-\u2212(][0-9.,]+[)]?|[0-9.,]+[-\u2212]", re.ASCII)
_MARKED = re.compile(r"[0-9]+(?:[.,][0-9]+)+", re.ASCII)
_GROUPED = {
    # thousands, or lakhs and crores (1,23,456)
    ",": re.compile(r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:,[0-9]{2})+,[0-9]{3})", re.ASCII),
    ".": re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+", re.ASCII),
}


class WrittenAmountError(ValueError):
    """A text that is no amount in this style; ``code`` says why."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def to_plain(text, style, currency=""):
    """Return an amount as ASCII digits with a point before the decimals.

    :param str text: as written: ``1,234.50``, ``1 234,50``, Arabic digits, ``USD 100``
    :param style: one of :data:`STYLES`, or None where nobody chose: then no mark is understood
    :param str currency: ISO code that may stand before or after it
    :raise WrittenAmountError: AMOUNT_NEGATIVE, AMOUNT_EXPONENT, AMOUNT_UNCLEAR (it has marks and no
        style is chosen), AMOUNT_OTHER_STYLE (its marks are not of this style), AMOUNT_NO_NUMBER
    """
    text = _bare(text, currency)
    if text.isascii() and text.isdigit():
        return text
    if _ARABIC_DECIMAL in text or _ARABIC_THOUSANDS in text:  # they mean one thing
        if "." in text or "," in text:
            raise WrittenAmountError("AMOUNT_NO_NUMBER")
        text = text.replace(_ARABIC_THOUSANDS, ",").replace(_ARABIC_DECIMAL, ".")
        return _by_style(text, "point")
    if _EXPONENT.fullmatch(text):
        raise WrittenAmountError("AMOUNT_EXPONENT")
    if _NEGATIVE.fullmatch(text):
        raise WrittenAmountError("AMOUNT_NEGATIVE")
    if not _MARKED.fullmatch(text):
        raise WrittenAmountError("AMOUNT_NO_NUMBER")
    if style is None:
        raise WrittenAmountError("AMOUNT_UNCLEAR")
    return _by_style(text, style)


def _bare(text, currency):
    text = text.strip()
    if currency and text[: len(currency)].upper() == currency:
        text = text[len(currency) :].lstrip()
    elif currency and text[-len(currency) :].upper() == currency:
        text = text[: -len(currency)].rstrip()
    return _NEUTRAL.sub("", text.translate(_DIGITS))


def _by_style(text, style):
    mark, between = STYLES[style]
    whole, has_decimals, decimals = text.partition(mark)
    is_whole = whole.isdigit() or _GROUPED[between].fullmatch(whole)
    if not is_whole or (has_decimals and not decimals.isdigit()):
        raise WrittenAmountError("AMOUNT_OTHER_STYLE")
    return whole.replace(between, "") + (f".{decimals}" if has_decimals else "")


def readings_of(text, currency=""):
    """Return style -> plain amount for each style in which the text is one."""
    found = {style: _plain_or_none(text, style, currency) for style in STYLES}
    return {style: plain for style, plain in found.items() if plain is not None}


def _plain_or_none(text, style, currency):
    try:
        return to_plain(text, style, currency)
    except WrittenAmountError:
        return None


def is_ambiguous(text, currency=""):
    """Say whether the styles read different amounts out of a text."""
    text = _bare(text, currency)
    if text.isdigit():
        return False
    return len({Decimal(plain) for plain in readings_of(text).values()}) > 1


def sniff_style(texts, currency=""):
    """Return the one style in which all of the amounts can be read, or None.

    None where both would do and say different things, and where neither does.
    """
    fitting = set(STYLES)
    is_open = False
    for text in texts:
        readings = readings_of(text, currency)
        if readings:
            fitting &= set(readings)
            is_open = is_open or len(set(readings.values())) > 1
    if len(fitting) == 1:
        return fitting.pop()
    return "point" if fitting and not is_open else None


def decimal_of(plain):
    """Return a plain amount as Decimal, or None."""
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None
