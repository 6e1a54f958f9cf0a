"""The register of an envelope: one line for each payment, and what the lines add up to.

Made by PostgreSQL's COPY, which writes into :class:`RegisterWriter`; read again to prove a single
payment. Memory stays the same for a thousand payments and for a million.
"""

import csv
import gzip
import hashlib
import io
from dataclasses import dataclass, field

from .merkle import MerkleTree, leaf_hash

FORMAT = "g2p-bridge-register/1"
COLUMNS = (
    "disbursement_id",
    "amount",
    "outcome",
    "reason_code",
    "debit_statement",
    "debit_entry",
    "debit_mark",
    "debit_amount",
    "debit_date",
    "debit_reference",
    "return_statement",
    "return_entry",
    "return_mark",
    "return_amount",
    "return_date",
    "return_reference",
    "nonce",
)
#: payments in one stored part; parts are members of one gzip file
PART_LINES = 100_000


@dataclass
class Tally:
    """Counts and sums, in the smallest unit of the currency: {key: [count, sum]}."""

    outcomes: dict = field(default_factory=dict)
    debits: dict = field(default_factory=dict)
    returns: dict = field(default_factory=dict)

    def add(self, row):
        """Count a payment (list of texts in the order of :data:`COLUMNS`)."""
        _count(self.outcomes, row[2], row[1])
        if row[4]:
            _count(self.debits, row[4], row[7])
        if row[10]:
            _count(self.returns, row[10], row[13])


def _count(totals, key, amount):
    total = totals.setdefault(key, [0, 0])
    total[0] += 1
    total[1] += int(amount.replace(".", ""))


class RegisterWriter:
    """What COPY writes to: hashes, adds up, and hands on compressed parts.

    :param store: called with the bytes of each part (a gzip member) as soon as it is full
    """

    def __init__(self, store, part_lines=PART_LINES):
        self.tally = Tally()
        self.tree = MerkleTree()
        self._store = store
        self._part_lines = part_lines
        self._digest = hashlib.sha256()
        self._rest = b""
        self._has_header = False
        self._in_part = 0
        self._open_part()

    # no model: COPY writes here
    def write(self, data):  # pylint: disable=method-required-super
        """Take the next piece of the CSV text; pieces end anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._digest.update(line + b"\n")
            self._zip.write(line + b"\n")
            if self._has_header:
                self._take(line)
            self._has_header = True

    def close(self):
        """Hand on the last part and return (SHA-256 of the text, Merkle root), hexadecimal."""
        if self._rest:
            raise ValueError("the register ends within a line")
        self._close_part()
        return self._digest.hexdigest(), self.tree.root().hex()

    def _take(self, line):
        self.tree.add(line)
        self.tally.add(next(csv.reader([line.decode()])))
        self._in_part += 1
        if self._in_part == self._part_lines:
            self._close_part()
            self._open_part()

    def _open_part(self):
        self._buffer = io.BytesIO()
        # without a time of day the same payments make the same file
        self._zip = gzip.GzipFile(fileobj=self._buffer, mode="wb", compresslevel=6, mtime=0)
        self._in_part = 0

    def _close_part(self):
        self._zip.close()
        self._store(self._buffer.getvalue())


def lines_of(parts):
    """Yield the lines (bytes, without their end) of a register, its header first.

    :param parts: iterable of bytes, as they were stored
    """
    for part in parts:
        with gzip.GzipFile(fileobj=io.BytesIO(part)) as text:
            for line in text:
                yield line.rstrip(b"\n")


def prove(open_parts, disbursement_id):
    """Return (line as text, path) of one payment, or None if it is not in the register.

    :param open_parts: called without arguments, gives the parts from the first one on
    """
    start = disbursement_id.encode() + b","
    found = next((line for line in lines_of(open_parts()) if line.startswith(start)), None)
    if found is None:
        return None
    tree = MerkleTree(leaf_hash(found))
    lines = lines_of(open_parts())
    next(lines)  # the header is no leaf
    for line in lines:
        tree.add(line)
    tree.root()
    return found.decode(), [f"{side}:{digest.hex()}" for side, digest in tree.path]
