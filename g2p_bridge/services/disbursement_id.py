"""Disbursement ids: 16 characters of ``[A-Z0-9]``, the last a check character.

They fit MT940 :61: subfield 7 (16x) and ISO 20022 EndToEndId unchanged. Eight characters are
milliseconds since 1970 (UTC, base 36, lasting until 2059 and then starting over), seven a number
that starts at random in each call and counts up within it, so that the ids of a call stand next
to each other in a database index. The last is the check character of ISO 7064 mod 37,36: a
mistyped reference is never somebody else's payment.
"""

import re
import secrets
import time
from functools import lru_cache

LENGTH = 16
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SHAPE = re.compile(r"[0-9A-Z]{16}", re.ASCII)
#: an id that is a word of its own in a line of a bank, bare, behind a code word (EREF+, /EREF/) or
#: behind a subfield code of :86: (?20); no hyphen: what it joins may be a longer reference
_WORD = re.compile(
    r"""(?:^ | [\s:+=,;(\["'] | [?<>~^]\d\d | /[A-Z]{2,8}/)
        ([0-9A-Z]{16})
        (?=$ | [\s,;)\]"'] | \.(?:\s|$) | [?<>~^]\d\d | /(?:[A-Z]{2,8}/ | /|\s|$))""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_MODULUS = 36
#: the two last digits before the check character come from a table
_BLOCK = 36**2
_BLOCK_COUNT = 36**5
_CLOCK_WRAP = 36**8

#: [state][value of the character] -> state, of the checksum of ISO 7064 mod 37,36
_NEXT = [
    [((state or _MODULUS) * 2 % (_MODULUS + 1) + value) % _MODULUS for value in range(_MODULUS)]
    for state in range(_MODULUS)
]
_NEXT_BY_CHAR = [dict(zip(_ALPHABET, row, strict=True)) for row in _NEXT]
_START = _MODULUS // 2


def new_ids(count):
    """Return so many new ids, in ascending order but where the random number wraps around.

    Ids of one call are distinct; two calls share one only if they fall into the same millisecond
    and near the same of 78 billion random numbers, which a unique index has to catch.

    :param int count: at least 0
    :raise ValueError: count is negative
    """
    if count < 0:
        raise ValueError("count is negative")
    prefix = _to_base36(time.time_ns() // 1_000_000 % _CLOCK_WRAP, 8)
    state = _state_after(prefix, _START)
    block, offset = divmod(secrets.randbelow(_BLOCK * _BLOCK_COUNT), _BLOCK)
    ids = []
    while len(ids) < count:
        head = _to_base36(block % _BLOCK_COUNT, 5)
        endings = _endings(_state_after(head, state))[offset : offset + count - len(ids)]
        head = prefix + head
        ids += [head + ending for ending in endings]
        block, offset = block + 1, 0
    return ids


def is_valid(text):
    """Say whether the text is an id: 16 of ``[A-Z0-9]``, the last the right check character."""
    return (
        isinstance(text, str)
        and _SHAPE.fullmatch(text) is not None
        and _state_after(text, _START) == 1
    )


def find_only(lines):
    """Return the one id that stands in the lines as a word of its own, in capitals or not.

    :param lines: texts; an id broken over two of them is not found
    :return: the id in capitals; empty where there is none, or more than one
    """
    words = {word.upper() for line in lines for word in _WORD.findall(line)}
    found = [word for word in words if is_valid(word)]
    return found[0] if len(found) == 1 else ""


def _state_after(text, state):
    for char in text:
        state = _NEXT_BY_CHAR[state][char]
    return state


@lru_cache(maxsize=_MODULUS)
def _endings(state):
    """Return the 1,296 endings of two digits and check character, after a checksum state."""
    endings = []
    for tens, after_tens in zip(_ALPHABET, _NEXT[state], strict=True):
        for ones, after_ones in zip(_ALPHABET, _NEXT[after_tens], strict=True):
            check = (1 - (after_ones or _MODULUS) * 2 % (_MODULUS + 1)) % _MODULUS
            endings.append(tens + ones + _ALPHABET[check])
    return endings


def _to_base36(number, width):
    digits = []
    for _place in range(width):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
