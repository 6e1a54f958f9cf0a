"""camt.053 statements, and camt.054 and camt.052 reports of entries, read with ``lxml``.

Any version from 02 on: elements are known by their local names, and what a version spells in
another way is looked for in both. What is not read of a message is not judged either; that is for
its schema.

The file is untrusted. It may have no DTD, so that there is no entity to expand and no address to
fetch; its depth is bounded by libxml2, and what stands between two parts that are read by
:data:`MAX_BETWEEN`. Each part is dropped from the tree once it is read, and entries are packed, so
but for the file's own bytes nothing in here grows with it.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache

from lxml import etree

from ..connectors.dto import NOTIFICATION, REPORT, STATEMENT, PackedEntries, Statement
from ..connectors.errors import StatementInvalid
from .mt940 import MAX_ENTRIES, group_pages, page_number

#: an entry takes some 700 bytes, five times as many as one of MT940
MAX_BYTES = 256 * 1024 * 1024

#: bytes that hold no entry, transaction or end of a statement
MAX_BETWEEN = 1024 * 1024
#: digits that are kept exactly wherever an amount goes (ISO 20022 allows 18)
_MAX_DIGITS = 15
_AMOUNT = re.compile(r"(?=\d|\.\d)(\d{0,18})(?:\.(\d{0,17}))?", re.ASCII)
_ISO_DIGITS = 18
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:T[\d:.]+)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
#: no code or reference of ISO 20022 is longer; texts are (AddtlNtryInf: 500)
_MAX_REFERENCE = 140

#: bytes that are handed to the parser at a time
_PIECE = 64 * 1024
_HARDENED = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
    "collect_ids": False,
}
_DECLARATION = re.compile(r"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*>""")
#: in each of them a DOCTYPE is written as in ASCII, or in two bytes a letter
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "utf-16": "utf-16",
    "utf-16le": "utf-16le",
    "utf-16be": "utf-16be",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "latin1": "iso-8859-1",
    "windows-1252": "windows-1252",
    "cp1252": "windows-1252",
}
_DOCTYPES = tuple("<!DOCTYPE".encode(name) for name in ("ascii", "utf-16le", "utf-16be"))
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16le"), (b"\xfe\xff", "utf-16be"))
_NAMED = re.compile(r"(?:pain|camt|pacs|head|admi)\.\d{3}\.\d{3}\.\d\d", re.ASCII)

#: element -> (the message that holds it, what it is)
_KINDS = {
    "Stmt": ("BkToCstmrStmt", STATEMENT),
    "Ntfctn": ("BkToCstmrDbtCdtNtfctn", NOTIFICATION),
    "Rpt": ("BkToCstmrAcctRpt", REPORT),
}
_EVENTS = [f"{{*}}{name}" for name in (*_KINDS, "Ntry", "NtryDtls", "TxDtls")]
#: opening, or the closing one of before; closing; interim, between the pages of a statement
_BALANCES = frozenset({"OPBD", "PRCD", "CLBD", "ITBD"})
_MARKS = {
    ("DBIT", False): "D",
    ("CRDT", False): "C",
    ("CRDT", True): "RD",
    ("DBIT", True): "RC",
}
_NO_REFERENCE = frozenset({"NOTPROVIDED", "NONREF"})


@dataclass(slots=True)
class _Balance:
    code: str
    amount: Decimal  # signed
    day: date | None


@dataclass(slots=True)
class _Page:
    """One Stmt, Ntfctn or Rpt; a statement may be spread over several."""

    kind: str
    line: int
    reference: str = ""
    number: str = ""
    legal_number: str = ""
    page_number: str = ""
    is_last: bool = True
    created_on: date | None = None
    account_number: str = ""
    currency: str = ""
    balances: list = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    entries: PackedEntries = field(default_factory=PackedEntries)
    #: (count, sum) of the booked entries, batches as one, and of all
    booked: dict = field(default_factory=lambda: {"DBIT": [0, Decimal(0)], "CRDT": [0, Decimal(0)]})
    seen: dict = field(default_factory=lambda: {"DBIT": [0, Decimal(0)], "CRDT": [0, Decimal(0)]})
    left_out_count: int = 0


@dataclass(slots=True)
class _Entry:
    """An Ntry that is being read, with the transactions (TxDtls) that it has so far."""

    element: object
    mark: str
    indicator: str
    is_reversal: bool
    is_booked: bool
    amount: Decimal
    currency: str
    value_date: date | None
    entry_date: date | None
    bank_reference: str
    kind: str
    first: dict | None = None
    parts: PackedEntries = field(default_factory=PackedEntries)
    count: int = 0
    announced: int = 0  # NbOfTxs
    batch_reference: str = ""
    has_amounts: bool = True


def is_xml(content):
    """Say whether a file is XML; no MT940 begins like it."""
    head = content[:256].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\x00")
    return head[:1] == b"<"


def encoded(text):
    """Return the bytes of an XML text, in the encoding that it declares for itself."""
    text = text.removeprefix("\ufeff")
    encoding = _declared(text.lstrip())
    if encoding.startswith("utf"):
        return text.encode(encoding, "surrogatepass")
    return text.encode(encoding, "xmlcharrefreplace")


def parse(content):
    """Read every statement of a file.

    Entries that are not booked (pending, or for information) are left out, and counted. A booked
    batch becomes one entry for each of its transactions where these add up to it; else it stays
    one entry, which says how many transactions it is of. Whether a statement ties is for the
    caller to judge, by its ``difference``.

    :param bytes content: UTF-8, UTF-16, ISO-8859-1, ISO-8859-15 or windows-1252
    :return: list of Statement, in the order of the file, at least one
    :raise StatementInvalid: no camt.053, .054 or .052, not all of it, not well-formed, something
        in it that cannot be booked as it is, or beyond :data:`MAX_BYTES` or :data:`MAX_ENTRIES`;
        the message names the element and its line, but nothing of what is in it
    """
    if len(content) > MAX_BYTES:
        raise StatementInvalid(f"The file is larger than {MAX_BYTES} bytes.")
    content, encoding = _checked(content)
    reader = _Reader()
    parser = etree.XMLPullParser(("end",), tag=_EVENTS, encoding=encoding, **_HARDENED)
    try:
        last = 0
        for start in range(0, len(content), _PIECE):
            parser.feed(content[start : start + _PIECE])
            if reader.take(parser.read_events()):
                last = start
            elif start - last > MAX_BETWEEN:
                raise StatementInvalid(
                    f"The file has more than {MAX_BETWEEN} bytes without an entry: a part of it is "
                    "too large for a statement."
                )
        document = parser.close()
    except etree.XMLSyntaxError as error:
        # not its words: they quote the file
        raise StatementInvalid(f"Line {error.lineno or 1}: the XML is not well-formed.") from None
    if not reader.pages:
        raise StatementInvalid(f"The file holds no camt.053, camt.054 or camt.052{_what(document)}")
    return [_join(group) for group in group_pages(reader.pages, _continues)]


# -- bytes ------------------------------------------------------------------------------------


def _checked(content):
    """Return the bytes of the document, and the one encoding they are read in."""
    encoding = "utf-8"
    for mark, name in _BOMS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], name
            break
    else:
        content = content.lstrip(b" \t\r\n")
        if content[:2] in (b"<\x00", b"\x00<"):
            encoding = "utf-16le" if content[:1] == b"<" else "utf-16be"
        else:
            encoding = _declared(content[:1024].decode("latin-1"))
            if encoding.startswith("utf-16"):
                encoding = "utf-8"  # a text was converted, and its declaration was not
    if b"\x00\x00" in content[:4]:
        raise StatementInvalid("The file is in an encoding that is not read here: send UTF-8.")
    if any(doctype in content for doctype in _DOCTYPES):
        raise StatementInvalid("The file has a DTD (DOCTYPE), which no statement needs.")
    return content, encoding


def _declared(text):
    """Return the encoding that the text declares; UTF-8 where it declares none.

    :raise StatementInvalid: it is none of those that are read here
    """
    if not (match := _DECLARATION.match(text)):
        return "utf-8"
    if encoding := _ENCODINGS.get(match[1].lower()):
        return encoding
    raise StatementInvalid("The file is in an encoding that is not read here: send UTF-8.")


def _what(document):
    """Return what the message is, where it is another one of ISO 20022."""
    found = _NAMED.search(f"{document.tag} " + " ".join(filter(None, document.nsmap.values())))
    return f"; it is a {found[0]}." if found else "."


# -- elements ---------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _local(tag):
    return tag.rpartition("}")[2]


def _named(element):
    """Return the children by their names, the first of each."""
    found = {}
    for child in element:
        found.setdefault(_local(child.tag), child)
    return found


def _child(element, *names):
    """Return what stands at the end of the path, or None."""
    for name in names:
        if element is None:
            return None
        element = next((child for child in element if _local(child.tag) == name), None)
    return element


def _text(element):
    """Return the text in one line, or an empty one."""
    return " ".join((element.text or "").split()) if element is not None else ""


def _reference(element):
    text = _text(element)[:_MAX_REFERENCE]
    return "" if text.upper() in _NO_REFERENCE else text


def _lines(elements):
    return [text for element in elements if (text := _text(element))]


def _all(element, name):
    return () if element is None else [child for child in element if _local(child.tag) == name]


def _required(children, name, owner):
    if (child := children.get(name)) is None:
        raise StatementInvalid(f"Line {owner.sourceline}: {_local(owner.tag)} has no {name}.")
    return child


def _amount(element):
    """Return (Decimal, currency) of an Amt, at the scale that it is written in."""
    name = _local(element.tag)
    currency = (element.get("Ccy") or "").strip()
    if not re.fullmatch("[A-Z]{3}", currency, re.ASCII):
        raise StatementInvalid(f"Line {element.sourceline}: {name} has no currency (Ccy).")
    try:
        return _decimal(_text(element)), currency
    except StatementInvalid as error:
        raise StatementInvalid(f"Line {element.sourceline}: {name} {error}") from None


@lru_cache(maxsize=4096)
def _decimal(text):
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise StatementInvalid("cannot be read: digits and one decimal point are allowed.")
    whole, fraction = match[1].lstrip("0"), match[2] or ""
    if len(whole) + len(fraction) > _ISO_DIGITS:
        raise StatementInvalid(f"has more than {_ISO_DIGITS} digits.")
    if len(whole) + len(fraction.rstrip("0")) > _MAX_DIGITS:
        raise StatementInvalid(f"has more than {_MAX_DIGITS} digits, which are not kept exactly.")
    return Decimal(f"{whole or 0}.{fraction}") if fraction else Decimal(whole or 0)


def _day(element):
    """Return the day of a Dt or DtTm, as the bank writes it, or None where there is none."""
    if element is None:
        return None
    inner = next((child for child in element if _local(child.tag) in ("Dt", "DtTm")), element)
    if not (text := _text(inner)):
        return None
    try:
        return _date(text)
    except ValueError:
        name = _local(element.tag)
        raise StatementInvalid(
            f"Line {element.sourceline}: {name} is no day (YYYY-MM-DD)."
        ) from None


@lru_cache(maxsize=1024)
def _date(text):
    match = _DAY.fullmatch(text)
    if not match:
        raise ValueError(text)
    return date.fromisoformat(match[1])


def _indicator(children, owner):
    element = _required(children, "CdtDbtInd", owner)
    if (text := _text(element)) not in ("CRDT", "DBIT"):
        raise StatementInvalid(f"Line {element.sourceline}: CdtDbtInd is neither CRDT nor DBIT.")
    return text


def _is_true(element):
    text = _text(element).lower()
    if text not in ("", "true", "false", "1", "0"):
        name = _local(element.tag)
        raise StatementInvalid(f"Line {element.sourceline}: {name} is neither true nor false.")
    return text in ("true", "1")


def _code(element):
    """Return the code in a choice of Cd and Prtry, or the text itself (up to version 06)."""
    if element is None:
        return ""
    inner = _child(element, "Cd")
    inner = _child(element, "Prtry") if inner is None else inner
    if inner is not None and len(inner):
        inner = _child(inner, "Cd") if _child(inner, "Cd") is not None else _child(inner, "Id")
    return _text(element if inner is None else inner)[:_MAX_REFERENCE]


# -- events -----------------------------------------------------------------------------------


class _Reader:
    """Takes the parts of a message as they are complete, and drops them from the tree."""

    def __init__(self):
        self.pages = []
        self._element = None  # the Stmt that is being read
        self._page = None
        self._entry = None
        self._count = 0

    def take(self, events):
        """Read what is complete; say whether there was any of it."""
        found = False
        for _event, element in events:
            name = _local(element.tag)
            if name == "TxDtls":
                is_ours = self._take_transaction(element)
            elif name == "NtryDtls":
                is_ours = self._take_details(element)
            elif name == "Ntry":
                is_ours = self._take_entry(element)
            else:
                is_ours = self._take_page(element)
            found = found or is_ours
        return found

    # A part in the wrong place is none: what is around it is not dropped, and counts as between.

    def _take_transaction(self, element):
        details = element.getparent()
        if _local(details.tag) != "NtryDtls" or not self._open_entry(details.getparent()):
            return False
        self._read_batch(details)  # which is dropped with the transaction
        if self._entry.is_booked:
            self._read_transaction(element)
        _drop(element)
        return True

    def _take_details(self, element):
        if not self._open_entry(element.getparent()):
            return False
        self._read_batch(element)
        _drop(element)
        return True

    def _take_entry(self, element):
        if not self._open_entry(element):
            return False
        self._finish_entry(element)
        _drop(element)
        return True

    def _take_page(self, element):
        if not self._open_page(element):
            return False
        self._read_heads(element)
        self._finish_page()
        _drop(element)
        return True

    def _open_page(self, element):
        """Make the statement the one that is being read; say whether it is one."""
        if element is None:
            return False
        if element is self._element:
            return True
        parent = element.getparent()
        known = _KINDS.get(_local(element.tag))
        if not known or parent is None or _local(parent.tag) != known[0]:
            return False
        self._element, self._page = element, _Page(known[1], element.sourceline)
        return True

    def _open_entry(self, element):
        """Make the entry the one that is being read; say whether it is one."""
        if element is None or _local(element.tag) != "Ntry":
            return False
        if self._entry and self._entry.element is element:
            return True
        statement = element.getparent()
        if not self._open_page(statement):
            return False
        self._read_heads(statement, element)
        self._entry = self._read_entry(element)
        return True

    # -- heads --------------------------------------------------------------------------------

    def _read_heads(self, statement, before=None):
        """Read and drop what stands in the statement before an entry, or at its end."""
        while len(statement) and statement[0] is not before:
            child = statement[0]
            if reader := _HEADS.get(_local(child.tag)):
                reader(self._page, child)
            statement.remove(child)

    def _finish_page(self):
        page = self._page
        _check_complete(page)
        _check_summary(page)
        self.pages.append(page)
        self._element = self._page = self._entry = None

    # -- entries ------------------------------------------------------------------------------

    def _read_entry(self, element):
        children = _named(element)
        account_reference = _reference(children.get("AcctSvcrRef"))
        amount, currency = _amount(_required(children, "Amt", element))
        _see_currency(self._page, currency, element)
        indicator = _indicator(children, element)
        is_reversal = _is_true(children.get("RvslInd"))
        value_date, entry_date = _day(children.get("ValDt")), _day(children.get("BookgDt"))
        return _Entry(
            element=element,
            mark=_MARKS[indicator, is_reversal],
            indicator=indicator,
            is_reversal=is_reversal,
            is_booked=_code(_required(children, "Sts", element)) == "BOOK",
            amount=amount,
            currency=currency,
            value_date=value_date or entry_date or self._page.created_on,
            entry_date=entry_date,
            bank_reference=account_reference or _reference(children.get("NtryRef")),
            batch_reference=account_reference,
            kind=_transaction_type(children.get("BkTxCd")),
        )

    def _read_batch(self, details):
        entry, batch = self._entry, _child(details, "Btch")
        if batch is not None:
            entry.announced += page_number(_text(_child(batch, "NbOfTxs"))) or 0
            entry.batch_reference = entry.batch_reference or _reference(_child(batch, "PmtInfId"))

    def _read_transaction(self, element):
        entry = self._entry
        self._count_one(element)
        entry.count += 1
        values = _transaction(entry, element)
        values["batch_reference"] = _batch_reference(self._page, entry, values)
        if values["amount"] is None:
            entry.has_amounts = False
        if entry.count == 1:
            entry.first = values
        elif entry.has_amounts:
            if entry.count == 2:
                entry.parts.append(**entry.first)
            entry.parts.append(**values)

    def _finish_entry(self, element):
        page, entry, self._entry = self._page, self._entry, None
        _tally(page.seen, entry)
        if not entry.is_booked:
            page.left_out_count += 1
            return
        _tally(page.booked, entry)
        texts = _lines(_all(element, "AddtlNtryInf"))
        if entry.count > 1 and _adds_up(entry):
            page.entries.extend(entry.parts)
            return
        if not entry.count:
            self._count_one(element)
        count = max(entry.count, entry.announced)
        values = entry.first if count == 1 and entry.first else _whole(entry)
        page.entries.append(
            **{
                **values,
                "mark": entry.mark,
                "amount": entry.amount,
                "narrative": (*texts, *values["narrative"]),
                "transaction_count": max(count, 1),
                "batch_reference": _batch_reference(page, entry, values),
            }
        )

    def _count_one(self, element):
        self._count += 1
        if self._count > MAX_ENTRIES:
            raise StatementInvalid(
                f"Line {element.sourceline}: the file has more than {MAX_ENTRIES} entries."
            )


def _drop(element):
    """Empty an element that was read, and remove what stands before it."""
    element.clear()
    parent = element.getparent()
    while parent[0] is not element:
        del parent[0]


def _see_currency(page, currency, element):
    """Have all money of the statement be in one currency."""
    if page.currency and page.currency != currency:
        raise StatementInvalid(
            f"Line {element.sourceline}: {_local(element.tag)} is in another currency than the "
            "account."
        )
    page.currency = currency


def _read_account(page, element):
    number = _text(_child(element, "Id", "IBAN")) or _text(_child(element, "Id", "Othr", "Id"))
    page.account_number = number
    if currency := _text(_child(element, "Ccy")):
        _see_currency(page, currency, element)


def _read_balance(page, element):
    if page.kind != STATEMENT:
        return  # of a moment, not of what is booked
    code = _text(_child(element, "Tp", "CdOrPrtry", "Cd"))
    if code not in _BALANCES:
        return
    children = _named(element)
    amount, currency = _amount(_required(children, "Amt", element))
    _see_currency(page, currency, element)
    if any(balance.code == code for balance in page.balances) and code != "ITBD":
        raise StatementInvalid(f"Line {element.sourceline}: a second balance {code}.")
    signed = -amount if _indicator(children, element) == "DBIT" else amount
    page.balances.append(_Balance(code, signed, _day(children.get("Dt"))))


def _read_summary(page, element):
    children = _named(element)
    for name, known in (("TtlDbtNtries", "DBIT"), ("TtlCdtNtries", "CRDT")):
        if (total := children.get(name)) is not None:
            page.summary[known] = _total(total)


def _total(element):
    """Return (number or None, sum or None) of a total."""
    count, total = _text(_child(element, "NbOfNtries")), _text(_child(element, "Sum"))
    try:
        return int(count) if page_number(count) is not None else None, (
            _decimal(total) if total else None
        )
    except StatementInvalid as error:
        raise StatementInvalid(f"Line {element.sourceline}: Sum {error}") from None


def _read_pages(page, element):
    page.page_number = _text(_child(element, "PgNb"))
    page.is_last = _is_true(_child(element, "LastPgInd"))


def _setter(name, read=_reference):
    def read_head(page, element):
        setattr(page, name, read(element))

    return read_head


_HEADS = {
    "Id": _setter("reference"),
    "ElctrncSeqNb": _setter("number"),
    "LglSeqNb": _setter("legal_number"),
    "CreDtTm": _setter("created_on", _day),
    "StmtPgntn": _read_pages,
    "NtfctnPgntn": _read_pages,
    "RptPgntn": _read_pages,
    "Acct": _read_account,
    "Bal": _read_balance,
    "TxsSummry": _read_summary,
}


# -- transactions -----------------------------------------------------------------------------


def _transaction(entry, element):
    """Return the fields of an entry for a transaction; its amount is None where it has none."""
    children = _named(element)
    references = _named(children["Refs"]) if "Refs" in children else {}
    indicator = _text(children.get("CdtDbtInd")) or entry.indicator
    returned = children.get("RtrInf")
    remittance = children.get("RmtInf")
    texts = [
        *_lines(_all(remittance, "Ustrd")),
        *_lines(_child(each, "CdtrRefInf", "Ref") for each in _all(remittance, "Strd")),
        *_lines(_all(element, "AddtlTxInf")),
    ]
    others = (_reference(references.get(name)) for name in ("InstrId", "TxId"))
    return {
        "mark": _MARKS.get((indicator, entry.is_reversal), entry.mark),
        "amount": _amount_of_transaction(entry, children),
        "value_date": entry.value_date,
        "entry_date": entry.entry_date,
        "customer_reference": _reference(references.get("EndToEndId")),
        "bank_reference": _reference(references.get("AcctSvcrRef")) or entry.bank_reference,
        "transaction_type": _transaction_type(children.get("BkTxCd")) or entry.kind,
        "narrative": tuple(texts),
        "supplementary_details": "\n".join(filter(None, others)),
        "counterparty_name": _counterparty(children.get("RltdPties"), indicator, returned),
        "return_reason_code": _code(_child(returned, "Rsn")),
        "return_reason": " ".join(_lines(_all(returned, "AddtlInf"))),
    }


def _amount_of_transaction(entry, children):
    """Return the amount in the currency of the entry, or None."""
    element = children.get("Amt")
    if element is None:
        element = _child(children.get("AmtDtls"), "TxAmt", "Amt")  # version 02
    if element is None:
        return None
    amount, currency = _amount(element)
    return amount if currency == entry.currency else None


def _counterparty(parties, indicator, returned):
    """Return who else is in it: a return names the parties of what comes back."""
    is_creditor = indicator == "DBIT" or returned is not None
    party = _child(parties, "Cdtr" if is_creditor else "Dbtr")
    name = _child(party, "Nm")
    return _text(_child(party, "Pty", "Nm") if name is None else name)[:_MAX_REFERENCE]


def _transaction_type(element):
    """Return the code of ISO 20022 (PMNT/ICDT/ESCT), or the bank's own."""
    domain, family = _child(element, "Domn"), _child(element, "Domn", "Fmly")
    parts = (_child(domain, "Cd"), _child(family, "Cd"), _child(family, "SubFmlyCd"))
    codes = "/".join(filter(None, map(_text, parts)))
    return codes or _text(_child(element, "Prtry", "Cd"))[:_MAX_REFERENCE]


def _adds_up(entry):
    signed = entry.amount if entry.mark in ("C", "RD") else -entry.amount
    return entry.has_amounts and entry.parts.total == signed and entry.announced <= entry.count


def _whole(entry):
    """Return the fields of a batch that is not taken apart: it carries no payment's reference."""
    return {
        "value_date": entry.value_date,
        "entry_date": entry.entry_date,
        "bank_reference": entry.bank_reference,
        "transaction_type": entry.kind,
        "narrative": (),
    }


def _batch_reference(page, entry, values):
    """Return the bank's name of the booking, where it may be told once in parts and once in a sum.

    A statement needs it for what names no payment only.
    """
    if page.kind == STATEMENT and values.get("customer_reference"):
        return ""
    return entry.batch_reference or entry.bank_reference


def _tally(totals, entry):
    total = totals[entry.indicator]
    total[0] += 1
    total[1] += entry.amount


# -- statements -------------------------------------------------------------------------------


def _check_complete(page):
    missing = [
        name
        for name, value in (
            ("identification (Id)", page.reference),
            ("account (Acct)", page.account_number),
            ("opening balance (OPBD or PRCD)", page.kind != STATEMENT or _opening(page)),
            ("closing balance (CLBD)", page.kind != STATEMENT or _closing(page)),
        )
        if not value
    ]
    if missing:
        raise StatementInvalid(
            f"Line {page.line}: the statement that begins here has no {' and no '.join(missing)}."
        )


def _opening(page):
    """Return the balance before the entries; of a page that is not the first, the interim one."""
    is_later = (page_number(page.page_number) or 1) > 1
    return _find_balance(page, ("OPBD", "PRCD")) or (
        next(iter(_interim(page)), None) if is_later else None
    )


def _closing(page):
    """Return the balance after the entries; of a page that is not the last, the interim one."""
    return _find_balance(page, ("CLBD",)) or (
        next(reversed(_interim(page)), None) if not page.is_last else None
    )


def _find_balance(page, codes):
    found = {balance.code: balance for balance in page.balances}
    return next((found[code] for code in codes if code in found), None)


def _interim(page):
    """Return the interim balances of a page that has two balances or more."""
    interim = [balance for balance in page.balances if balance.code == "ITBD"]
    return interim if len(page.balances) > 1 else []


def _check_summary(page):
    """Compare the entries with the totals of the bank, which may count those left out as well."""
    for indicator, told in page.summary.items():
        name = "TtlDbtNtries" if indicator == "DBIT" else "TtlCdtNtries"
        if not any(_agrees(told, found[indicator]) for found in (page.booked, page.seen)):
            raise StatementInvalid(
                f"Line {page.line}: the entries of the statement that begins here differ from its "
                f"totals (TxsSummry, {name})."
            )


def _agrees(told, found):
    return all(each is None or each == value for each, value in zip(told, found, strict=True))


def _continues(before, page):
    """Say whether a page goes on where the one before it ended."""
    if before.is_last or not page.page_number:
        return False
    numbers = (page_number(before.page_number), page_number(page.page_number))
    return _identity(before) == _identity(page) and None not in numbers and numbers[0] < numbers[1]


def _identity(page):
    return (page.kind, page.account_number, page.currency, _number_of(page))


def _number_of(page):
    """Return what is counted for the account; a bank that counts nothing names each statement."""
    return page.legal_number or page.number or page.reference


def _join(pages):
    first, last = pages[0], pages[-1]
    for page in pages[1:]:
        first.entries.extend(page.entries)
    is_statement = first.kind == STATEMENT
    opening = _opening(first) if is_statement else _Balance("", Decimal(0), None)
    closing = _closing(last) if is_statement else _Balance("", Decimal(0), last.created_on)
    return Statement(
        kind=first.kind,
        reference=first.reference,
        account_number=first.account_number,
        number=_number_of(first),
        first_sequence=first.page_number,
        sequence=last.page_number,
        currency=first.currency,
        opening_date=opening.day,
        opening_balance=opening.amount,
        closing_date=closing.day,
        closing_balance=closing.amount,
        entries=first.entries,
        left_out_count=sum(page.left_out_count for page in pages),
    )
