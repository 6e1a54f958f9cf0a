"""Texts as banks take them: the basic Latin set of ISO 20022 and SWIFT, or any Unicode.

Texts for people (names, remittance information) are transliterated and cut. Identifiers (ids,
account numbers) are never changed: another character would be another account.
"""

import re
import unicodedata
from functools import lru_cache

from anyascii import anyascii

LATIN = "latin"
UTF8 = "utf8"
CHARSETS = (LATIN, UTF8)
#: what stands for a character that has no other form, and for a text of which nothing is left
UNKNOWN = "?"

_SET_X = r"A-Za-z0-9/\-?:().,'+"
_LATIN_TEXT = re.compile(rf"[{_SET_X} ]*")
_LATIN_CHAR = re.compile(rf"[{_SET_X} ]")
#: a reference neither begins nor ends with a slash, nor has two in a row (SWIFT, EPC132-08)
_REFERENCE = re.compile(rf"(?!/)(?!.*//)[{_SET_X}](?:[{_SET_X} ]*[{_SET_X}])?(?<!/)")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
#: of printable ASCII, what the set lacks; as EPC217-08 does it, most become a full stop
_INSTEAD = str.maketrans(
    {
        **dict.fromkeys("!#$%*=@^", "."),
        **dict.fromkeys("[{<", "("),
        **dict.fromkeys("]}>", ")"),
        **dict.fromkeys("_~", "-"),
        **dict.fromkeys('`"', "'"),
        **dict.fromkeys("|\\", "/"),
        "&": "+",
        ";": ",",
    }
)
#: they change the look of the character before them, or nothing at all
_WITHOUT_FORM = ("Mn", "Me", "Cf")


def clean_text(text, limit, charset):
    """Return a text for people in the charset, never empty, at most so many characters long.

    Spaces and line breaks become one space. What the charset has no form for becomes ``?``.

    :param str charset: LATIN or UTF8
    """
    text = " ".join(text.split())
    text = _to_latin(text) if charset == LATIN else _to_xml(text)
    return text[:limit].strip() or UNKNOWN


def is_reference(text, limit):
    """Say whether the text may stand as an id in any message: basic Latin set, not too long."""
    return len(text) <= limit and _REFERENCE.fullmatch(text) is not None


def is_identifier(text, limit, charset=UTF8):
    """Say whether the text may stand as an account number or address, unchanged.

    :param str charset: LATIN for letters, digits and the few signs of that set; UTF8 here means
        printable ASCII, as e-mail addresses need it
    """
    pattern = _LATIN_TEXT if charset == LATIN else _PRINTABLE
    fits = pattern.fullmatch(text) is not None
    return fits and 0 < len(text) <= limit and text == text.strip()


def _to_latin(text):
    if _LATIN_TEXT.fullmatch(text):
        return text
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(map(_latin_of, composed)).split())


@lru_cache(maxsize=4096)
def _latin_of(char):
    if _LATIN_CHAR.fullmatch(char):
        return char
    ascii_text = anyascii(char).translate(_INSTEAD)
    if ascii_text and _LATIN_TEXT.fullmatch(ascii_text):
        return ascii_text
    return "" if unicodedata.category(char) in _WITHOUT_FORM else UNKNOWN


def _to_xml(text):
    return text if text.isascii() and text.isprintable() else "".join(map(_xml_of, text))


@lru_cache(maxsize=4096)
def _xml_of(char):
    is_forbidden = unicodedata.category(char) in ("Cc", "Cs") or ord(char) & 0xFFFE == 0xFFFE
    return UNKNOWN if is_forbidden else char
