"""What the bank does: accounts, blocks of funds, payment orders. Wire fields in, wire fields out.

Amounts inside are whole ten-thousandths (see money). Funds of an account are
``balance`` (booked) less ``held`` (blocked and not yet settled or released).
"""

import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from . import money

ACCOUNT_NOT_FOUND = "Account not found"
INSUFFICIENT_FUNDS = "Insufficient funds"
INVALID_AMOUNT = "Amount has more decimals than its currency"
BLOCK_NOT_FOUND = "Block not found"

#: why a payment order is refused, with codes of ISO 20022 (external status reasons)
DUPLICATE, FUNDS, AMOUNT, ACCOUNT = "AM05", "AM04", "AM12", "AC02"
CURRENCY, BLOCK, REFERENCE = "AM11", "AG01", "CH16"
REASONS = {
    DUPLICATE: "This payment reference number was ordered before",
    FUNDS: "The block has not enough funds left",
    AMOUNT: "Not a positive amount in this currency",
    ACCOUNT: "Remitting account not found",
    CURRENCY: "The remitting account has another currency",
    BLOCK: "No such block on the remitting account",
    REFERENCE: "The reference is not 1 to 16 letters, digits, - or _",
}
#: MT940 :61: subfield 7 is 16x; the captured references also have "_"
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,16}")
_NARRATIVES = tuple(f"narrative_{number}" for number in range(1, 7))


class KeyReused(Exception):
    """The Idempotency-Key came before, with another body."""


class UnknownAccount(Exception):
    """No account has this number."""


class AccountExists(Exception):
    """An account with this number is there already."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How this bank behaves; nothing here changes while it runs."""

    seed: int = 1
    float_days: int = 0
    reversal_rate: float = 0.0
    reversal_after_days: int = 0
    return_mark: str = "RD"
    batch_limit: int = 10_000
    fixed_date: date | None = None
    statement_entries: int = 50_000
    mt940_style: str = "standard"
    mt940_newline: str = "\r\n"


class Bank:
    """The bank over its books; each method is one transaction.

    :param Store store: the books
    :param Config config: float, reversals, limits
    """

    def __init__(self, store, config):
        self.store = store
        self.config = config

    # clock

    def business_date(self, db):
        """The bank's date: today in UTC, or the date it was started at, plus the days advanced."""
        base = self.config.fixed_date or datetime.now(timezone.utc).date()
        row = db.execute("SELECT value FROM setting WHERE name = 'clock_days'").fetchone()
        return base + timedelta(days=int(row["value"]) if row else 0)

    def advance_clock(self, days):
        """Move the business date; returns the new one. It survives a restart."""
        with self.store.write() as db:
            db.execute(
                "INSERT INTO setting (name, value) VALUES ('clock_days', ?1)"
                " ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + ?1",
                (days,),
            )
            return self.business_date(db)

    # accounts

    def create_account(self, account_number, currency, balance, account_holder):
        """Open an account with a balance in ten-thousandths.

        :raise AccountExists: the number is taken
        """
        with self.store.write() as db:
            if find_account(db, account_number):
                raise AccountExists(account_number)
            db.execute(
                "INSERT INTO account (account_number, currency, account_holder, opening_balance,"
                " balance, reported_balance, reported_date) VALUES (?1, ?2, ?3, ?4, ?4, ?4, ?5)",
                (account_number, currency, account_holder, balance, f"{self.business_date(db)}"),
            )

    def post(self, account_number, *, mark, amount, reference="", narrative=""):
        """Book an entry that no payment order caused: a top-up (C), a bank charge (D).

        :raise UnknownAccount: no such account
        """
        with self.store.write() as db:
            account = find_account(db, account_number)
            if account is None:
                raise UnknownAccount(account_number)
            today = f"{self.business_date(db)}"
            sign = 1 if mark in ("C", "RD") else -1
            [number] = db.execute("SELECT coalesce(max(id), 0) + 1 FROM posting").fetchone()
            db.execute(
                "INSERT INTO posting (id, account_id, mark, amount, value_date, entry_date,"
                " reference, bank_reference, narrative) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    account["id"],
                    mark,
                    amount,
                    today,
                    today,
                    reference or f"ENTRY{number}",
                    f"EXP{number:012d}",
                    narrative,
                ),
            )
            db.execute(
                "UPDATE account SET balance = balance + ? WHERE id = ?",
                (sign * amount, account["id"]),
            )

    def flag_beneficiary(self, beneficiary, reason):
        """Payments to this account (or narrative 4) will be reversed; no reason lifts that."""
        with self.store.write() as db:
            db.execute("DELETE FROM beneficiary_flag WHERE beneficiary = ?", (beneficiary,))
            if reason:
                db.execute("INSERT INTO beneficiary_flag VALUES (?, ?)", (beneficiary, reason))

    # the wire protocol

    def check_funds(self, body):
        """``/check_funds``: whether the funds that are not held suffice."""
        with self.store.read() as db:
            account = find_account(db, body["account_number"], body["account_currency"])
        needed = money.to_units(body["total_funds_needed"])
        problem = _funds_problem(account, needed)
        return {
            "status": "failed" if problem else "success",
            "account_number": body["account_number"],
            "has_sufficient_funds": not problem,
            "error_message": problem,
        }

    def block_funds(self, body, key=None, digest=""):
        """``/block_funds``: hold funds; with a key it is done once.

        :param str digest: of the body as it was sent, to tell whether a repeat is one
        :raise KeyReused: the key came with another body
        """
        return self._once("/block_funds", key, digest, body, self._block)

    def _block(self, db, _call_id, body):
        account = find_account(db, body["account_number"], body["currency"])
        amount = money.to_units(body["amount"])
        if problem := _funds_problem(account, amount):
            return {"status": "failed", "block_reference_no": "", "error_message": problem}
        reference = str(uuid.uuid4())
        db.execute(
            "INSERT INTO block (reference, account_id, amount, created_at) VALUES (?, ?, ?, ?)",
            (reference, account["id"], amount, _now()),
        )
        db.execute("UPDATE account SET held = held + ? WHERE id = ?", (amount, account["id"]))
        return {"status": "success", "block_reference_no": reference, "error_message": ""}

    def release_funds(self, body):
        """``/release_funds``: free what no payment has drawn; a repeat gives the same answer."""
        with self.store.write() as db:
            _record_call(db, "/release_funds", None, 0, "accepted")
            block = db.execute(
                "SELECT b.* FROM block b JOIN account a ON a.id = b.account_id"
                " WHERE b.reference = ? AND a.account_number = ?",
                (body["block_reference_no"], body["account_number"]),
            ).fetchone()
            if block is None:
                return {"status": "failed", "released_amount": 0, "error_message": BLOCK_NOT_FOUND}
            released = block["released"] if block["is_released"] else _release(db, block)
        return {
            "status": "success",
            "released_amount": money.to_number(released),
            "error_message": "",
        }

    def initiate_payment(self, payments, key=None, digest=""):
        """``/initiate_payment``: take payment orders; only receipt is acknowledged.

        With a key, the answer also has ``bank_reference`` and ``rejected``; and the same
        list again under this key orders nothing.

        :param str digest: of the body as it was sent, to tell whether a repeat is one
        :raise KeyReused: the key came with another body
        """
        answer = self._once("/initiate_payment", key, digest, payments, self._take_orders)
        if key:
            return answer
        return {"status": answer["status"], "error_message": answer["error_message"]}

    def _take_orders(self, db, call_id, payments):
        intake = _Intake(db, self.business_date(db), self.config.float_days)
        rejected = intake.take(call_id, payments)
        return {
            "status": "success",
            "error_message": "",
            "bank_reference": f"EXC{call_id:012d}",
            "rejected": [
                {
                    "payment_reference_number": reference,
                    "reason_code": code,
                    "reason": REASONS[code],
                }
                for reference, code in rejected
            ],
        }

    def inquire_payments(self, body):
        """``/inquire_payments``: what became of these references, in their order."""
        with self.store.read() as db:
            found = {
                row["reference"]: row
                for row in db.execute(
                    "SELECT reference, state, reason_code, bank_reference FROM payment_order"
                    " WHERE account_number = ?"
                    " AND reference IN (SELECT value FROM json_each(?))"
                    # the order that counts comes last and so wins
                    " ORDER BY state != 'rejected', id",
                    (body["account_number"], json.dumps(body["payment_reference_numbers"])),
                )
            }
        return {
            "status": "success",
            "payments": [
                _payment_status(reference, found.get(reference))
                for reference in body["payment_reference_numbers"]
            ],
        }

    def _once(self, endpoint, key, digest, body, work):
        """Do the work, or give the stored answer of the same key.

        An answer ``failed`` is not stored: nothing happened, so the key is still free, and the
        same call succeeds once the account has funds.
        """
        count = len(body) if isinstance(body, list) else 0
        with self.store.write() as db:
            if key and (answer := _recall(db, endpoint, key, digest)):
                _record_call(db, endpoint, key, count, "replayed")
                return answer
            call_id = _record_call(db, endpoint, key, count, "accepted")
            answer = work(db, call_id, body)
            if key and answer["status"] == "success":
                db.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?, ?)",
                    (endpoint, key, digest, json.dumps(answer)),
                )
            return answer


class _Intake:
    """Judges the payment orders of one call, in their order, and writes them down."""

    def __init__(self, db, today, float_days):
        self.db = db
        self.today = today
        self.float_days = float_days
        self.accounts = {}
        self.blocks = {}
        self.drawn = Counter()

    def take(self, call_id, payments):
        """Store one row an order; returns the refused ones as ``[(reference, code)]``."""
        self._load(payments)
        [last] = self.db.execute("SELECT coalesce(max(id), 0) FROM payment_order").fetchone()
        rows, rejected = [], []
        for number, payment in enumerate(payments, start=last + 1):
            code = self._judge(payment)
            if code:
                rejected.append((payment["payment_reference_number"], code))
            rows.append(self._row(number, call_id, payment, code))
        self.db.executemany(
            "INSERT INTO payment_order (id, call_id, reference, account_number, account_id,"
            " block_id, currency, amount, beneficiary_account, beneficiary_name, narrative,"
            " beneficiary_key, bank_reference, state, reason_code, due_date)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self.db.executemany(
            "UPDATE block SET drawn = drawn + ? WHERE id = ?",
            [(amount, block_id) for block_id, amount in self.drawn.items()],
        )
        return rejected

    def _load(self, payments):
        """What the judgement needs, in three queries."""
        numbers = json.dumps(sorted({item["remitting_account"] for item in payments}))
        self.accounts = {
            row["account_number"]: row
            for row in self.db.execute(
                "SELECT * FROM account WHERE account_number IN (SELECT value FROM json_each(?))",
                (numbers,),
            )
        }
        references = {item["funds_blocked_reference_number"] for item in payments}
        self.blocks = {
            row["reference"]: row
            for row in self.db.execute(
                "SELECT * FROM block WHERE reference IN (SELECT value FROM json_each(?))",
                (json.dumps(sorted(references)),),
            )
        }
        ordered = json.dumps([item["payment_reference_number"] for item in payments])
        self.taken = {
            row["reference"]
            for row in self.db.execute(
                "SELECT reference FROM payment_order WHERE state != 'rejected'"
                " AND reference IN (SELECT value FROM json_each(?))",
                (ordered,),
            )
        }

    def _judge(self, payment):
        """The code why this order is refused, or "" after drawing it from its block."""
        reference = payment["payment_reference_number"]
        if not _REFERENCE.fullmatch(reference):
            return REFERENCE
        if reference in self.taken:
            return DUPLICATE
        if code := self._account_problem(payment):
            return code
        block = self._block_of(payment)
        if block is None:
            return BLOCK
        amount = money.to_units(payment["payment_amount"])
        left = block["amount"] - block["drawn"] - block["released"] - self.drawn[block["id"]]
        if amount > left:
            return FUNDS
        self.drawn[block["id"]] += amount
        self.taken.add(reference)
        return ""

    def _account_problem(self, payment):
        account = self.accounts.get(payment["remitting_account"])
        currency = payment["remitting_account_currency"]
        if account is None:
            return ACCOUNT
        if account["currency"] != currency:
            return CURRENCY
        amount = money.to_units(payment["payment_amount"])
        return "" if amount > 0 and money.fits_currency(amount, currency) else AMOUNT

    def _block_of(self, payment):
        """The block that the order names, if it is one of its account."""
        account = self.accounts.get(payment["remitting_account"])
        block = self.blocks.get(payment["funds_blocked_reference_number"])
        if account is None or block is None or block["account_id"] != account["id"]:
            return None
        return block

    def _row(self, number, call_id, payment, code):
        account = self.accounts.get(payment["remitting_account"])
        block = self._block_of(payment)
        return (
            number,
            call_id,
            payment["payment_reference_number"],
            payment["remitting_account"],
            account["id"] if account else None,
            block["id"] if block else None,
            payment["remitting_account_currency"],
            money.to_units(payment["payment_amount"]),
            payment["beneficiary_account"],
            payment["beneficiary_name"],
            _narrative(payment),
            payment.get("narrative_4") or "",
            f"EXB{number:012d}",
            "rejected" if code else "accepted",
            code,
            self._due_date(payment["payment_date"]),
        )

    def _due_date(self, payment_date):
        """When it is booked: the float after the asked date, or after today if that is past."""
        try:
            start = max(date.fromisoformat(payment_date), self.today)
        except ValueError:
            # The captured bank takes any text here.
            start = self.today
        return f"{start + timedelta(days=self.float_days)}"


def _narrative(payment):
    """The six narratives, one a line."""
    lines = [payment.get(name) or "" for name in _NARRATIVES]
    text = "\n".join(lines)
    if text.count("\n") >= len(_NARRATIVES):
        # A line break of the sender's would move the lines after it.
        text = "\n".join(" ".join(line.split()) for line in lines)
    return text


def find_account(db, account_number, currency=None):
    """The account's row, or None; where a currency is given it has to be the account's."""
    account = db.execute(
        "SELECT * FROM account WHERE account_number = ?", (account_number,)
    ).fetchone()
    if account is None or (currency is not None and account["currency"] != currency):
        return None
    return account


def _funds_problem(account, amount):
    if account is None:
        return ACCOUNT_NOT_FOUND
    if not money.fits_currency(amount, account["currency"]):
        return INVALID_AMOUNT
    return INSUFFICIENT_FUNDS if account["balance"] - account["held"] < amount else ""


def _release(db, block):
    left = block["amount"] - block["drawn"]
    db.execute("UPDATE block SET released = ?, is_released = 1 WHERE id = ?", (left, block["id"]))
    db.execute("UPDATE account SET held = held - ? WHERE id = ?", (left, block["account_id"]))
    return left


def _payment_status(reference, row):
    if row is None:
        status = "not_found"
    else:
        status = "rejected" if row["state"] == "rejected" else "accepted"
    return {
        "payment_reference_number": reference,
        "status": status,
        "bank_reference": row["bank_reference"] if row else "",
        "reason_code": row["reason_code"] if row else "",
    }


def _record_call(db, endpoint, key, payment_count, outcome):
    cursor = db.execute(
        "INSERT INTO call (endpoint, idempotency_key, payment_count, outcome, received_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (endpoint, key, payment_count, outcome, _now()),
    )
    return cursor.lastrowid


def _recall(db, endpoint, key, digest):
    row = db.execute(
        "SELECT body_hash, answer FROM idempotency WHERE endpoint = ? AND key = ?", (endpoint, key)
    ).fetchone()
    if row is None:
        return None
    if row["body_hash"] != digest:
        raise KeyReused(key)
    return json.loads(row["answer"])


def _now():
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
