"""pain.002, what the bank says of an order (ISO 20022 CustomerPaymentStatusReport), .03 to .15.

A status may stand on the file, on a ``PmtInf`` and on each payment. What counts for a payment is
the closest one. Where two that count contradict each other, nothing is known for sure: the payment
is pending, for one wrongly taken for rejected would be paid twice.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from dateutil.parser import isoparse

from odoo.addons.g2p_bridge.connectors.dto import ACCEPTED, REJECTED

from . import reasons, xml
from .errors import MessageError

#: the bank has it and has not decided, or does not say: never send it again, ask or wait
PENDING = "pending"

#: ISO 20022 status of a group or a payment -> ours; what is not in here is pending
STATUSES = {
    **dict.fromkeys(("ACCP", "ACSP", "ACSC", "ACCC", "ACWC", "ACWP", "ACFC", "ACPD"), ACCEPTED),
    **dict.fromkeys(("ACIS", "CPUC"), ACCEPTED),
    **dict.fromkeys(("RJCT", "CANC"), REJECTED),
    **dict.fromkeys(("RCVD", "ACTC", "PDNG", "PATC", "PRES", "BLCK"), PENDING),
}
PARTLY = "PART"

MIN_VERSION, MAX_VERSION = 3, 15
MAX_INFO = 500
MAX_CODE = 35  # ids, codes and references of ISO 20022: Max35Text
_NAMESPACE = re.compile(r"pain\.002\.001\.([0-9]{2})(?![0-9])")
_DIGITS = re.compile(r"[0-9]{1,15}")
_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,17})?")
_FRACTION = re.compile(r"(?<=\.[0-9]{6})[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusItem:
    """What the bank says of one payment, with what it says of its group in mind."""

    end_to_end_id: str
    status: str  # ACCEPTED, REJECTED or PENDING
    iso_status: str = ""  # the bank's own word; empty where it gave none for this payment
    reason_code: str = ""  # ISO 20022 external status reason, or the bank's own
    additional_info: str = field(default="", repr=False)  # the bank's words: may name people
    bank_reference: str = ""  # AcctSvcrRef
    amount: Decimal | None = None
    currency: str = ""
    is_contradicted: bool = False  # by another status that counts for it


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """One pain.002."""

    version: str  # pain.002.001.10
    message_id: str
    created_at: datetime | None = None  # without a time zone where the bank gave none
    original_message_id: str
    original_message_name: str  # pain.001.001.09
    group_status: str = ""  # the bank's word: ACCP, PART, RJCT ...; else that of the PmtInf
    reason_code: str = ""  # of the whole
    additional_info: str = field(default="", repr=False)
    number_of_transactions: int | None = None  # of the original, as the bank counted
    control_sum: Decimal | None = None  # likewise
    items: tuple = ()  # of StatusItem, one for each end-to-end id
    #: payments named without an id of ours: which ones is not known
    unidentified_count: int = 0
    #: for payments of the original that are not in ``items``; None: nothing is known of them
    default_status: str | None = None

    def status_of(self, end_to_end_id):
        """Return the StatusItem of a payment of the original, None where nothing is known of it.

        For one payment; who asks for many makes a dict of ``items`` and looks at
        ``default_status`` for the others.
        """
        for item in self.items:
            if item.end_to_end_id == end_to_end_id:
                return item
        if self.default_status is None:
            return None
        return StatusItem(
            end_to_end_id=end_to_end_id,
            status=self.default_status,
            iso_status=self.group_status,
            reason_code=self.reason_code,
            additional_info=self.additional_info,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """What is said of a group, a PmtInf or a payment, before the others are looked at."""

    status: str = ""
    reason_code: str = ""
    additional_info: str = ""
    number: int | None = None
    total: Decimal | None = None
    end_to_end_id: str = ""
    bank_reference: str = ""
    amount: Decimal | None = None
    currency: str = ""

    @property
    def outcome(self):
        """Ours; None where nothing is said, or different things of different payments."""
        return None if self.status in ("", PARTLY) else STATUSES.get(self.status, PENDING)


def parse(content, *, max_bytes=xml.MAX_BYTES):
    """Return the StatusReport in a file.

    :param bytes content: as received
    :raise MessageError: FF01: no XML as :mod:`.xml` takes it, no pain.002 of a known version, or
        without what it must have; the sentence says what
    """
    reading = _Reading()
    tags = ("GrpHdr", "OrgnlGrpInfAndSts", "OrgnlPmtInfAndSts", "TxInfAndSts")
    for name, found in xml.read(content, "Document", tags, max_bytes=max_bytes):
        reading.take(name, found)
    return reading.report()


class _Reading:
    """What is known while the file is read, element by element."""

    def __init__(self):
        self.version = ""
        self.header = {}
        self.original = {}
        self.group = _Level()
        self.infos = []
        self.open_payments = []  # of the PmtInf that is not yet at its end
        self.items = {}
        self.unidentified = []

    def take(self, name, found):
        if name == "Document":
            self.version = _version_of(found)
        elif name == "GrpHdr":
            self.header = _header(found)
        elif name == "OrgnlGrpInfAndSts":
            self.original = _original(found)
            self.group = _level(found, "GrpSts")
        elif name == "TxInfAndSts":
            self.open_payments.append(_payment(found))
        else:
            self.close_info(_level(found, "PmtInfSts"))

    def close_info(self, info):
        self.infos.append(info)
        for payment in self.open_payments:
            self.add(_item(payment, info, self.group))
        self.open_payments = []

    def add(self, item):
        key = item.end_to_end_id
        if not key:
            self.unidentified.append(item)
        elif (known := self.items.get(key)) and known.status != item.status:
            self.items[key] = replace(known, status=PENDING, is_contradicted=True)
        else:
            self.items.setdefault(key, item)

    def report(self):
        if self.open_payments:  # outside of any PmtInf
            self.close_info(_Level())
        for part, name in ((self.header, "GrpHdr"), (self.original, "OrgnlGrpInfAndSts")):
            if not part:
                raise MessageError(f"The report has no {name}.", code="FF01")
        whole = self.whole()
        return StatusReport(
            version=self.version,
            **self.header,
            **self.original,
            group_status=self.group.status or whole.status,
            reason_code=self.group.reason_code or whole.reason_code,
            additional_info=self.group.additional_info or whole.additional_info,
            number_of_transactions=self.group.number,
            control_sum=self.group.total,
            items=tuple(self.items.values()),
            unidentified_count=len(self.unidentified),
            default_status=whole.outcome,
        )

    def whole(self):
        """Return the level that counts for payments that are not named; an empty one if none can.

        None can where levels say different things, where a named payment contradicts them, or
        where another than they say is said of a payment that cannot be told from the others.
        """
        levels = [level for level in (self.group, *self.infos) if level.status]
        outcomes = {level.outcome for level in levels}
        outcomes |= {item.status for item in self.unidentified}
        is_doubtful = any(item.is_contradicted for item in self.items.values())
        if len(outcomes) != 1 or is_doubtful or not levels:
            return _Level()
        return levels[0]


def _version_of(namespace):
    match = _NAMESPACE.search(namespace)
    if not match or not MIN_VERSION <= int(match[1]) <= MAX_VERSION:
        raise MessageError(
            f"The file is no pain.002 of version {MIN_VERSION:02} to {MAX_VERSION}.", code="FF01"
        )
    return match[0]


def _header(found):
    return {
        "message_id": _required(found, "MsgId"),
        "created_at": _moment(xml.text_of(found, "CreDtTm")),
    }


def _original(found):
    return {
        "original_message_id": _required(found, "OrgnlMsgId"),
        "original_message_name": xml.text_of(found, "OrgnlMsgNmId")[:MAX_CODE],
    }


def _level(found, status_tag):
    return _Level(
        status=xml.text_of(found, status_tag)[:MAX_CODE],
        **_reason(found),
        number=_number(xml.text_of(found, "OrgnlNbOfTxs")),
        total=_decimal(xml.text_of(found, "OrgnlCtrlSum"), "OrgnlCtrlSum"),
    )


def _payment(found):
    """Return what is said of one payment; its instruction id is the same id, where we wrote it."""
    reference = xml.text_of(found, "OrgnlEndToEndId") or xml.text_of(found, "OrgnlInstrId")
    amount = found.find("OrgnlTxRef/Amt/InstdAmt")
    return _Level(
        status=xml.text_of(found, "TxSts")[:MAX_CODE],
        **_reason(found),
        end_to_end_id=reference if len(reference) <= MAX_CODE else "",
        bank_reference=xml.text_of(found, "AcctSvcrRef")[:MAX_CODE],
        amount=None if amount is None else _decimal((amount.text or "").strip(), "InstdAmt"),
        currency="" if amount is None else amount.get("Ccy", "")[:3],
    )


def _reason(found):
    """Return the reason code of a level, and all that the bank adds in words.

    Of several codes it is the first; before it comes one that says that the bank has it already.
    """
    codes = [
        xml.text_of(info, "Rsn/Cd") or xml.text_of(info, "Rsn/Prtry")
        for info in found.iterfind("StsRsnInf")
    ]
    words = " ".join(info.text or "" for info in found.iterfind("StsRsnInf/AddtlInf"))
    return {
        "reason_code": next(iter(sorted(filter(None, codes), key=_is_other)), "")[:MAX_CODE],
        "additional_info": " ".join(words.split())[:MAX_INFO],
    }


def _is_other(code):
    return code not in reasons.DUPLICATES


def _item(payment, info, group):
    """Return what is to be believed of a payment, with its PmtInf and the group in mind."""
    levels = [level for level in (payment, info, group) if level.outcome is not None]
    closest = levels[0] if levels else payment
    is_contradicted = _contradict({level.outcome for level in levels}, closest.outcome)
    told = next((level for level in levels if level.reason_code), payment)
    return StatusItem(
        end_to_end_id=payment.end_to_end_id,
        status=PENDING if is_contradicted or not levels else closest.outcome,
        iso_status=closest.status,
        reason_code=payment.reason_code or told.reason_code,
        additional_info=payment.additional_info or told.additional_info,
        bank_reference=payment.bank_reference,
        amount=payment.amount,
        currency=payment.currency,
        is_contradicted=is_contradicted,
    )


def _contradict(outcomes, closest):
    """Say whether what is said of a payment and above it cannot both be true.

    A file may be received and a payment in it accepted or rejected; but no payment of a rejected
    group is anything else, and none of an accepted one is rejected.
    """
    return REJECTED in outcomes and (ACCEPTED in outcomes or closest != REJECTED)


def _required(found, tag):
    text = xml.text_of(found, tag)
    if not 0 < len(text) <= MAX_CODE:
        raise MessageError(f"The report's {tag} is missing or too long.", code="FF01")
    return text


def _number(text):
    if text and not _DIGITS.fullmatch(text):
        raise MessageError("The report's OrgnlNbOfTxs is no number.", code="FF01")
    return int(text) if text else None


def _decimal(text, tag):
    if text and not _DECIMAL.fullmatch(text):
        raise MessageError(f"The report's {tag} is no amount.", code="FF01")
    return Decimal(text) if text else None


def _moment(text):
    """Return a time as it was written; None where it cannot be read, for nothing depends on it."""
    try:
        return isoparse(_FRACTION.sub("", text[:MAX_CODE]))
    except (ValueError, OverflowError):
        return None
