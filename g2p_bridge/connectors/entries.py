"""Entries of a statement, kept small: a file may have half a million of them."""

import marshal
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache

#: entries that are packed together
_PACK_SIZE = 1000
#: the fastest level: texts of statements repeat themselves so much that it takes them to a fifth
_LEVEL = 1
#: details of an entry that has none
_NO_DETAILS = ("", "", "", 1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementEntry:
    """One entry of a statement (MT940 :61: with its :86:, camt.053 Ntry or one of its TxDtls).

    The fields after ``supplementary_details`` are what only ISO 20022 has in fields of its own.
    """

    sequence: int  # 1-based position in its statement
    mark: str  # D, C, RD or RC (MT940 :61: subfield 3; CdtDbtInd with RvslInd)
    amount: Decimal  # always positive; the mark says the direction
    value_date: date
    entry_date: date | None = None
    customer_reference: str = ""  # subfield 7, EndToEndId
    bank_reference: str = ""  # subfield 8, AcctSvcrRef or NtryRef
    transaction_type: str = ""  # subfield 6, e.g. NTRF; BkTxCd, e.g. PMNT/ICDT/ESCT
    narrative: tuple[str, ...] = ()  # lines of :86:, empty ones kept; Ustrd, AddtlTxInf
    supplementary_details: str = ""  # subfield 9, InstrId, TxId
    counterparty_name: str = field(default="", repr=False)  # Cdtr of a debit or return
    return_reason_code: str = field(default="", repr=False)  # RtrInf/Rsn, e.g. AC04
    return_reason: str = field(default="", repr=False)  # RtrInf/AddtlInf
    #: of a batch that the bank did not take apart: it is of no payment of ours as a whole
    transaction_count: int = field(default=1, repr=False)
    #: the bank's name of the booking that it is, or a part of: AcctSvcrRef, PmtInfId or NtryRef;
    #: in a statement only of what names no payment
    batch_reference: str = field(default="", repr=False)

    @property
    def signed_amount(self):
        """What the entry adds to the balance of the account."""
        return _signed(self.mark, self.amount)

    @property
    def details(self):
        """The fields that only ISO 20022 has; empty where they are, as in every MT940."""
        values = (
            self.counterparty_name,
            self.return_reason_code,
            self.return_reason,
            self.transaction_count,
            self.batch_reference,
        )
        return () if values == _NO_DETAILS else values


class PackedEntries(Sequence):
    """Entries in some fifty bytes each instead of more than a thousand.

    A sequence of :class:`StatementEntry` that makes them as they are asked for: to go through it
    again and again holds one pack of them at a time. Its entries count their sequence themselves.

    :ivar total: Decimal, what the entries add to the balance of the account
    :ivar decimals: int, of the amount that is written with the most
    """

    __slots__ = ("_open", "_packed_count", "_packs", "decimals", "total")
    __hash__ = None

    def __init__(self):
        self._packs, self._packed_count = [], 0
        self._open = []
        self.total, self.decimals = Decimal(0), 0

    def append(
        self,
        *,
        mark,
        amount,
        value_date,
        entry_date=None,
        customer_reference="",
        bank_reference="",
        transaction_type="",
        narrative=(),
        supplementary_details="",
        counterparty_name="",
        return_reason_code="",
        return_reason="",
        transaction_count=1,
        batch_reference="",
    ):
        """Add an entry; the arguments are the fields of a :class:`StatementEntry`."""
        self.total += _signed(mark, amount)
        self.decimals = max(self.decimals, -amount.as_tuple().exponent)
        details = (
            counterparty_name,
            return_reason_code,
            return_reason,
            transaction_count,
            batch_reference,
        )
        self._open.append(
            (
                mark,
                str(amount),
                value_date and value_date.toordinal(),
                entry_date and entry_date.toordinal(),
                customer_reference,
                bank_reference,
                transaction_type,
                tuple(narrative),
                supplementary_details,
                () if details == _NO_DETAILS else details,
            )
        )
        if len(self._open) >= _PACK_SIZE:
            self._pack()

    def extend(self, other):
        """Add the entries of another one, behind ours."""
        if other._packs:
            self._pack()
            other._pack()
            self._packs += other._packs
            self._packed_count += other._packed_count
        else:  # a few: in a pack of their own they would be packed in vain
            self._open += other._open
            if len(self._open) >= _PACK_SIZE:
                self._pack()
        self.total += other.total
        self.decimals = max(self.decimals, other.decimals)

    def __len__(self):
        return self._packed_count + len(self._open)

    def __iter__(self):
        sequence = 0
        for _count, pack in self._packs:
            for values in _unpacked(pack):
                sequence += 1
                yield _entry(sequence, values)
        for values in self._open:
            sequence += 1
            yield _entry(sequence, values)

    def __getitem__(self, index):
        if isinstance(index, slice):
            places = range(len(self))[index]
            chosen = set(places)
            found = {e.sequence - 1: e for e in self if e.sequence - 1 in chosen}
            return tuple(found[place] for place in places)
        place = range(len(self))[index]
        before = 0
        for count, pack in self._packs:
            if place < before + count:
                return _entry(place + 1, _unpacked(pack)[place - before])
            before += count
        return _entry(place + 1, self._open[place - before])

    def __eq__(self, other):
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    def __repr__(self):
        return f"<{len(self)} entries>"  # no text of a bank, account numbers among it

    def _pack(self):
        if self._open:
            self._packs.append((len(self._open), zlib.compress(marshal.dumps(self._open), _LEVEL)))
            self._packed_count += len(self._open)
            self._open = []


def total_of(entries):
    """Return what entries add to the balance of the account, as a Decimal."""
    if isinstance(entries, PackedEntries):
        return entries.total
    return sum((entry.signed_amount for entry in entries), Decimal(0))


def most_decimals(entries):
    """Return the decimals of the amount that is written with the most of them."""
    if isinstance(entries, PackedEntries):
        return entries.decimals
    return max((-entry.amount.as_tuple().exponent for entry in entries), default=0)


def _signed(mark, amount):
    return amount if mark in ("C", "RD") else -amount


def _unpacked(pack):
    return marshal.loads(zlib.decompress(pack))  # what we wrote ourselves, a moment ago


def _entry(sequence, values):
    (
        mark,
        amount,
        value_date,
        entry_date,
        reference,
        bank_reference,
        kind,
        narrative,
        supplementary,
        details,
    ) = values
    name, reason_code, reason, count, batch = details or _NO_DETAILS
    return StatementEntry(
        sequence=sequence,
        mark=mark,
        amount=_decimal(amount),
        value_date=_day(value_date),
        entry_date=_day(entry_date),
        customer_reference=reference,
        bank_reference=bank_reference,
        transaction_type=kind,
        narrative=narrative,
        supplementary_details=supplementary,
        counterparty_name=name,
        return_reason_code=reason_code,
        return_reason=reason,
        transaction_count=count,
        batch_reference=batch,
    )


_decimal = lru_cache(maxsize=4096)(Decimal)


@lru_cache(maxsize=1024)
def _day(ordinal):
    return date.fromordinal(ordinal) if ordinal else None
