"""MT940 statements, read with the ``mt-940`` library.

The library's own ``parse`` is not used: it opens a file when the content happens to be a path,
loses empty lines of :86: and which line an error is in, cuts references, takes text that is no
statement for an empty one, and writes what it cannot read, account numbers included, into the log.
So the text is taken apart here, line by line, and each :61:, :60a: and :62a: goes through a tag of
the library, with a pattern that takes the whole reference and nothing that is no amount.

The text is decoded, mended and read piece by piece: but for the file's own bytes and its entries,
which are packed, nothing in here grows with it.
"""

import re
from codecs import getincrementaldecoder
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial

import mt940

from ..connectors.dto import PackedEntries, Statement
from ..connectors.errors import StatementInvalid

MAX_BYTES = 32 * 1024 * 1024
#: entries of one file, whatever the setting says; read in some ten seconds
MAX_ENTRIES = 500_000

#: MT940 :61: subfield 7 (16x) and the width of :60a: and :62a: amounts (15d)
_REFERENCE_WIDTH = 16
_MAX_AMOUNT_WIDTH = 16
_NUMBER_WIDTH = 9

#: bytes, or characters, that are decoded at a time
_PIECE = 128 * 1024
#: each run of them ends a line where a line feed follows, and as many as it has where none does
_CARRIAGE_RETURNS = re.compile(r"(\r+)(\n?)")
_TAG = re.compile(r":(\d\d|NS)([A-Z]?):", re.ASCII)
#: some German banks wrap lines so that a tag is torn after its first colon
_TORN_TAG = re.compile(r"(?:\d\d|NS)[A-Z]?:", re.ASCII)
#: blocks 1 to 4 of a SWIFT message, with the first tag in the same line
_SWIFT_HEADER = re.compile(r"\{.*\{4:(?::(?=\d\d))", re.ASCII)
#: what transports put around statements: SOH, STX, ETX, EOT, SUB; and the BOM
_TRANSPORT = str.maketrans("", "", "\x01\x02\x03\x04\x1a\ufeff")
#: bytes that are letters in the code pages of DOS and control characters in Latin-1
_DOS_BYTES = re.compile(rb"[\x80-\x9f]")
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class _SilentTag:
    """A tag that keeps what it cannot read out of log and exception."""

    RE_FLAGS = re.IGNORECASE | re.VERBOSE | re.ASCII

    def parse(self, transactions, value):
        """Return the groups of the pattern.

        :raise StatementInvalid: the value does not fit
        """
        match = self.re.match(value)
        if match is None:
            raise StatementInvalid(self.why_unreadable(value))
        return match.groupdict()


class _EntryTag(_SilentTag, mt940.tags.Statement):
    """:61: with references of any length.

    Wider than ``StatementGLS`` and ``StatementASNB`` together, for the banks that made those
    necessary; narrower where the library reads on after half an amount.
    """

    pattern = r"""^
    (?P<year>\d{2})(?P<month>\d{2})(?P<day>\d{2})   # 6!n value date
    (?P<entry_month>\d{2}|[ ]{2})?(?P<entry_day>\d{2}|[ ]{2})?   # [4!n] entry date
    (?P<status>R?[DC])                              # 2a mark
    (?P<funds_code>[A-Z])?                          # [1!a] third letter of the currency
    [\n ]?
    (?P<amount>\d{1,15}(?:,\d{0,5})?)(?![\d.,])     # 15d
    (?P<id>[A-Z][A-Z0-9 ]{3})?                      # 1!a3!c
    (?P<customer_reference>[^\n/]*(?:/(?!/)[^\n/]*)*)   # 16x, or more, up to //
    (?://(?P<bank_reference>[^\n]*))?               # [//16x], or more
    (?:\n(?P<extra_details>[\s\S]*))?               # [34x], or more
    $"""

    def why_unreadable(self, value):
        if not re.match(r"\d{6}", value, re.ASCII):
            return "the entry (:61:) does not begin with a value date, YYMMDD"
        if not re.match(r"\d{6}[\d ]*R?[DC]", value, re.ASCII | re.IGNORECASE):
            return "the entry (:61:) has no mark D, C, RD or RC after its dates"
        return "the amount of the entry (:61:) cannot be read: digits and one comma are allowed"


class _BalanceTag(_SilentTag, mt940.tags.BalanceBase):
    """:60a: and :62a:, the amount to the end of the line."""

    pattern = r"""^
    (?P<status>[DC])(?P<year>\d{2})(?P<month>\d{2})(?P<day>\d{2})
    (?P<currency>[A-Z]{3})[ ]?(?P<amount>\d{1,15}(?:,\d{0,5})?)
    $"""

    def why_unreadable(self, value):
        return "the balance cannot be read: mark, YYMMDD, currency and amount are expected"


_ENTRY_TAG, _BALANCE_TAG = _EntryTag(), _BalanceTag()
_KNOWN_TAGS = frozenset(str(tag)[:2] for tag in mt940.tags.TAG_BY_ID)
#: these head a statement; after its first entry they can only be lines of a text
_HEAD_TAGS = frozenset({"13", "21", "25", "28", "34", "60"})


_OUTSIDE = "an entry (:61:) outside of opening and closing balance"
_INTERIM = "this is an interim report (MT942), which has no booked balances"


@dataclass(slots=True)
class _Field:
    """A tag with its lines, and where it stands."""

    tag: str  # two digits, or NS
    letter: str
    line: int  # 1-based
    lines: list


@dataclass(slots=True)
class _Page:
    """One :20: to :62a:; MT940 may spread a statement over several."""

    line: int
    reference: str
    account_number: str = ""
    number: str = ""
    sequence: str = ""
    opening: tuple | None = None  # (is first page, date, currency, Decimal)
    closing: tuple | None = None  # (is last page, date, currency, Decimal)
    is_interim: bool = False
    entries: PackedEntries = field(default_factory=PackedEntries)
    #: the last entry, which may go on: a dict of its fields
    draft: dict | None = None

    def end_entry(self):
        """Keep the entry that was being read."""
        if self.draft:
            self.entries.append(**self.draft)
            self.draft = None


def parse(content):
    """Read every statement of a file.

    Pages (:60M:, :62M:) of one statement are joined. Whether a statement ties is for the caller to
    judge, by its ``difference``.

    :param content: bytes (UTF-8, UTF-16 with BOM, Latin-1 or a code page of DOS) or str
    :return: list of Statement, in the order of the file, at least one
    :raise StatementInvalid: no MT940, not all of it, a tag that cannot be read, or beyond
        :data:`MAX_BYTES` or :data:`MAX_ENTRIES`; the message names the line but nothing of it
    """
    if len(content) > MAX_BYTES:
        raise StatementInvalid(f"The file is larger than {MAX_BYTES} bytes.")
    pages = _read_pages(_read_fields(_lines(_decoded(content))))
    if not pages:
        raise StatementInvalid("The file holds no MT940 statement: no line begins with :20:")
    for page in pages:
        page.end_entry()
        _check_complete(page)
    return [_join(group) for group in group_pages(pages, _continues)]


def page_number(text):
    """Return a part of :28C: as a number, or None where it is none (5n; some banks use more)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_WIDTH else None


# -- text -> fields -----------------------------------------------------------------------------


def _decoded(content):
    """Return the pieces of the text, one at a time.

    :raise StatementInvalid: binary data
    """
    if isinstance(content, str):
        encoding, pieces = None, partial(_pieces, content)
    else:
        encoding = _encoding_of(content)
        pieces = partial(_decode, content, encoding)
    if any("\0" in piece for piece in pieces()):
        raise StatementInvalid("The file holds binary data, not the text of a statement.")
    return pieces()


def _encoding_of(content):
    """Return the name; only narratives hold more than ASCII, so a wrong guess spoils no booking."""
    encoding = "utf-16" if content.startswith(_UTF16_BOMS) else "utf-8"
    try:
        for _piece in _decode(content, encoding):
            pass
    except UnicodeDecodeError:
        # code page 852 is what the library takes too; these two take any byte
        return "cp852" if _DOS_BYTES.search(content) else "latin-1"
    return encoding


def _decode(content, encoding):
    decoder = getincrementaldecoder(encoding)()
    for piece in _pieces(content):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _pieces(content):
    return (content[start : start + _PIECE] for start in range(0, len(content), _PIECE))


def _lines(pieces):
    """Yield the lines of the text, every tag at the begin of one.

    The count of lines stays, for the messages.
    """
    is_torn = False
    for raw_line in _raw_lines(pieces):
        line = raw_line
        if is_torn and _TORN_TAG.match(line):
            yield ""
            line = f":{line}"
        elif is_torn:
            yield ":"
        is_torn = line == ":"
        if not is_torn:
            yield _SWIFT_HEADER.sub(":", line, count=1) if line[:1] == "{" else line
    if is_torn:
        yield ":"


def _raw_lines(pieces):
    """Yield the lines of the text, whatever ends them, without what transports put around."""
    begun = []  # a line that goes on in the next piece
    for piece in pieces:
        text = piece.translate(_TRANSPORT)
        # what ends in carriage returns may go on with a line feed
        ended = text.rstrip("\r")
        end = max(ended.rfind("\n"), ended.rfind("\r")) + 1
        if end:
            yield from _with_line_feeds("".join(begun) + text[:end]).split("\n")[:-1]
            begun = []
        begun.append(text[end:])
    yield from _with_line_feeds("".join(begun)).split("\n")


def _with_line_feeds(text):
    text = text.replace("\r\n", "\n")
    return _CARRIAGE_RETURNS.sub(_line_feeds, text) if "\r" in text else text


def _line_feeds(match):
    return "\n" if match[2] else "\n" * len(match[1])


def _read_fields(lines):
    """Yield the fields of the text; what stands before the first and between two is dropped."""
    current, in_entries = None, False
    for number, raw_line in enumerate(lines, start=1):
        line = raw_line.rstrip()
        start = line[:1]
        if start == ":" and (match := _TAG.match(line)) and _is_tag(match[1], in_entries):
            if current:
                yield current
            current = _Field(match[1], match[2], number, [line[match.end() :]])
            in_entries = match[1] == "61" or (in_entries and match[1] not in ("20", "62"))
        elif start == "-" and (line.startswith("-}") or (line == "-" and not in_entries)):
            if current:
                yield current
            current = None
        elif current:
            current.lines.append(line)
    if current:
        yield current


def _is_tag(tag, in_entries):
    return tag in _KNOWN_TAGS and not (in_entries and tag in _HEAD_TAGS)


# -- fields -> pages ----------------------------------------------------------------------------


def _read_pages(fields):
    pages, entry_count, wants_details = [], 0, False
    for item in fields:
        with_line = _READERS.get(item.tag)
        try:
            if item.tag == "20":
                pages.append(_Page(item.line, item.lines[0].strip()))
            elif item.tag == "60" and pages and pages[-1].closing:
                pages.append(_next_page(pages[-1], item))
            if item.tag == "61":
                entry_count += 1
                _check_count(entry_count)
            if item.tag == "86" and not wants_details:
                continue  # of the statement as a whole
            if with_line:
                with_line(_open_page(pages), item)
        except StatementInvalid as error:
            raise StatementInvalid(f"Line {item.line}: {error}") from error.__cause__
        wants_details = item.tag in ("61", "86")
    return pages


def _check_count(count):
    if count > MAX_ENTRIES:
        raise StatementInvalid(f"the file has more than {MAX_ENTRIES} entries")


def _open_page(pages):
    if not pages:
        raise StatementInvalid("this stands before the first :20:, so it is a part of a statement")
    return pages[-1]


def _next_page(page, item):
    """Return the page that a bank begins without repeating :20: to :28C:."""
    return _Page(item.line, page.reference, page.account_number, page.number, page.sequence)


def _read_account(page, item):
    page.account_number = page.account_number or item.lines[0].strip()


def _read_number(page, item):
    page.number, _slash, page.sequence = item.lines[0].strip().partition("/")


def _mark_interim(page, item):
    page.is_interim = True


def _read_opening(page, item):
    if page.opening:
        raise StatementInvalid("a second opening balance, before the closing balance of the first")
    page.opening = _read_balance(item)


def _read_closing(page, item):
    if page.closing:
        raise StatementInvalid("a second closing balance")
    page.closing = _read_balance(item)
    if page.opening and page.opening[2] != page.closing[2]:
        raise StatementInvalid(
            "the closing balance is in another currency than the opening balance"
        )


def _read_balance(item):
    """Return (is it :60F: or :62F:, date or None, currency, signed amount)."""
    if len(item.lines) > 1 and re.match(r"[\d,]+$", item.lines[1], re.ASCII):
        raise StatementInvalid("the amount of the balance is broken over two lines")
    parts = _BALANCE_TAG.parse(None, item.lines[0].strip())
    amount = _amount(parts["amount"])
    day = parts["year"] + parts["month"] + parts["day"]
    return (
        item.letter != "M",
        None if day == "000000" else _date(day),  # an account without movement so far
        parts["currency"].upper(),
        -amount if parts["status"] in "Dd" else amount,
    )


def _read_entry(page, item):
    if page.opening is None or page.closing is not None:
        raise StatementInvalid(_INTERIM if page.is_interim else _OUTSIDE)
    parts = _ENTRY_TAG.parse(None, "\n".join(item.lines).strip())
    value_date = _date(parts["year"] + parts["month"] + parts["day"])
    reference, rest = _split_reference(parts["customer_reference"])
    details = (rest, *(parts["extra_details"] or "").split("\n"))
    page.end_entry()
    page.draft = {
        "mark": parts["status"].upper(),
        "amount": _amount(parts["amount"]),
        "value_date": value_date,
        "entry_date": _entry_date(parts["entry_month"], parts["entry_day"], value_date),
        "customer_reference": reference,
        "bank_reference": (parts["bank_reference"] or "").strip(),
        "transaction_type": parts["id"] or "",
        "supplementary_details": "\n".join(filter(None, map(str.strip, details))),
        "narrative": [],
    }


def _read_details(page, item):
    page.draft["narrative"] += item.lines


_READERS = {
    "13": _mark_interim,
    "25": _read_account,
    "28": _read_number,
    "34": _mark_interim,
    "60": _read_opening,
    "61": _read_entry,
    "62": _read_closing,
    "86": _read_details,
    "90": _mark_interim,
}


def _split_reference(text):
    """Return (reference, what stands behind it).

    16x padded with spaces has text of the bank behind it. A longer one without is kept whole, so
    that one which begins like ours is not taken for ours.
    """
    if len(text) > _REFERENCE_WIDTH and text[_REFERENCE_WIDTH - 1] == " ":
        return text[:_REFERENCE_WIDTH].strip(), text[_REFERENCE_WIDTH:]
    return text.strip(), ""


@lru_cache(maxsize=1024)
def _amount(text):
    """Return an amount of MT940 (15d), at the scale it is written in: ``1,`` is one."""
    if len(text) > _MAX_AMOUNT_WIDTH:
        raise StatementInvalid("the amount has more than 15 digits")
    return mt940.models.Amount(text, None).amount


@lru_cache(maxsize=1024)
def _date(digits):
    """Return the day of YYMMDD.

    Banks that reckon every month at 30 days write 30 February: the month's last day.
    """
    parts = {"year": digits[:2], "month": digits[2:4], "day": digits[4:]}
    if digits[4:] <= "31":
        parts = mt940.processors.date_fixup_pre_processor(None, None, parts)
    try:
        day = mt940.models.Date(**parts)
    except ValueError as error:
        raise StatementInvalid("there is no such day as this date") from error
    return date(day.year, day.month, day.day)


@lru_cache(maxsize=1024)
def _entry_date(month, day, value_date):
    """Return the day of MMDD next to the value date, over the turn of the year too; or None."""
    if not (month or "").strip(" 0") or not (day or "").strip(" 0"):
        return None
    days = [
        _date(f"{value_date.year + shift - 2000:02d}{month}{day}")
        for shift in (-1, 0, 1)
        if 0 <= value_date.year + shift - 2000 <= 99
    ]
    return min(days, key=lambda candidate: abs(candidate - value_date))


# -- pages -> statements ------------------------------------------------------------------------


def _check_complete(page):
    if page.is_interim and not (page.opening or page.closing):
        raise StatementInvalid(f"Line {page.line}: {_INTERIM}")
    missing = [
        name
        for name, value in (
            ("reference (:20:)", page.reference),
            ("account (:25:)", page.account_number),
            ("opening balance (:60F:)", page.opening),
            ("closing balance (:62F:)", page.closing),
        )
        if not value
    ]
    if missing:
        raise StatementInvalid(
            f"Line {page.line}: the statement that begins here has no {' and no '.join(missing)}."
        )


def group_pages(pages, continues):
    """Return lists of pages that are one statement.

    :param continues: says of two pages whether the second goes on where the first ended
    """
    groups = []
    for page in pages:
        if groups and continues(groups[-1][-1], page):
            groups[-1].append(page)
        else:
            groups.append([page])
    return groups


def _continues(before, page):
    """Say whether a page goes on where the one before it ended."""
    if before.closing[0] or page.opening[0]:
        return False
    if (before.account_number, before.number) != (page.account_number, page.number):
        return False
    if before.closing[2] != page.opening[2]:
        return False
    sequences = (page_number(before.sequence), page_number(page.sequence))
    if None not in sequences:
        return sequences[0] < sequences[1]
    return before.sequence == page.sequence and before.closing[3] == page.opening[3]


def _join(pages):
    first, last = pages[0], pages[-1]
    return Statement(
        reference=first.reference,
        account_number=first.account_number,
        number=first.number,
        first_sequence=first.sequence,
        sequence=last.sequence,  # the next statement follows on the last page
        currency=first.opening[2],
        opening_date=first.opening[1],
        opening_balance=first.opening[3],
        closing_date=last.closing[1],
        closing_balance=last.closing[3],
        entries=_joined([page.entries for page in pages]),
    )


def _joined(parts):
    first, *others = parts
    for entries in others:
        first.extend(entries)
    return first
