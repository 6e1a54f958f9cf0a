"""The books as JSON: what a test judges a bridge by. Amounts are decimal strings."""

from . import money


def full(bank, account_number=None):
    """Everything: accounts, blocks, payments, refused orders, postings, calls, statements.

    :param str account_number: only what belongs to this account (calls are always all there)
    """
    with bank.store.read() as db:
        parameters = {"number": account_number}
        payments, refused = _payments(db, parameters)
        return {
            "business_date": f"{bank.business_date(db)}",
            "accounts": _accounts(db, parameters),
            "blocks": _blocks(db, parameters),
            "payments": payments,
            "refused_orders": refused,
            "postings": _postings(db, parameters),
            "statements": statements(db),
            "calls": [dict(row) for row in db.execute("SELECT * FROM call ORDER BY id")],
        }


def summary(bank):
    """Counts and sums, cheap with millions of payments, and whether the books tie.

    ``ordered_more_than_once`` counts references for which more than one order came, not
    counting repeats that the bank knew by their Idempotency-Key.
    """
    with bank.store.read() as db:
        [repeated] = db.execute(
            "SELECT count(*) FROM"
            " (SELECT 1 FROM payment_order GROUP BY reference HAVING count(*) > 1)"
        ).fetchone()
        return {
            "business_date": f"{bank.business_date(db)}",
            "accounts": _accounts(db, {"number": None}),
            "payments": _counts(db),
            "ordered_more_than_once": repeated,
            "problems": problems(db),
        }


def problems(db):
    """What does not tie in the books, one sentence each; the empty list is the proof."""
    found = []
    for row in db.execute(
        "SELECT a.account_number, a.balance, a.held, a.opening_balance,"
        " (SELECT coalesce(sum(CASE WHEN mark IN ('C', 'RD') THEN amount ELSE -amount END), 0)"
        "    FROM posting p WHERE p.account_id = a.id) AS posted,"
        " (SELECT coalesce(sum(amount - released - settled), 0)"
        "    FROM block b WHERE b.account_id = a.id) AS blocked"
        " FROM account a"
    ):
        if row["opening_balance"] + row["posted"] != row["balance"]:
            found.append(f"{row['account_number']}: balance is not opening balance plus postings")
        if row["blocked"] != row["held"]:
            found.append(f"{row['account_number']}: held funds are not those of the blocks")
    found += [
        f"{row['reference']}: drawn is not the sum of its payments"
        for row in db.execute(
            "SELECT b.reference FROM block b WHERE b.drawn !="
            " (SELECT coalesce(sum(amount), 0) FROM payment_order o"
            "   WHERE o.block_id = b.id AND o.state != 'rejected')"
        )
    ]
    return found


def _accounts(db, parameters):
    return [
        {
            "account_number": row["account_number"],
            "account_holder": row["account_holder"],
            "currency": row["currency"],
            "opening_balance": money.to_text(row["opening_balance"], row["currency"]),
            "balance": money.to_text(row["balance"], row["currency"]),
            "held": money.to_text(row["held"], row["currency"]),
            "available": money.to_text(row["balance"] - row["held"], row["currency"]),
            "statement_number": row["statement_number"],
        }
        for row in db.execute(
            "SELECT * FROM account WHERE :number IS NULL OR account_number = :number ORDER BY id",
            parameters,
        )
    ]


def _blocks(db, parameters):
    return [
        {
            "reference": row["reference"],
            "account_number": row["account_number"],
            "is_released": bool(row["is_released"]),
            **{
                name: money.to_text(row[name], row["currency"])
                for name in ("amount", "drawn", "settled", "released")
            },
        }
        for row in db.execute(
            "SELECT b.*, a.account_number, a.currency FROM block b"
            " JOIN account a ON a.id = b.account_id"
            " WHERE :number IS NULL OR a.account_number = :number ORDER BY b.id",
            parameters,
        )
    ]


def _payments(db, parameters):
    """One row a reference, its accepted order before a refused one; and all refused orders."""
    payments, refused = {}, []
    for row in db.execute(
        "SELECT * FROM payment_order WHERE :number IS NULL OR account_number = :number ORDER BY id",
        parameters,
    ):
        order = _order(row)
        if row["state"] == "rejected":
            refused.append(order)
        known = payments.get(row["reference"])
        times = known["times_ordered"] + 1 if known else 1
        if known is None or known["state"] == "rejected":
            known = payments[row["reference"]] = order
        known["times_ordered"] = times
    return list(payments.values()), [dict(order, times_ordered=1) for order in refused]


def _order(row):
    return {
        "reference": row["reference"],
        "account_number": row["account_number"],
        "call_id": row["call_id"],
        "amount": money.to_text(row["amount"], row["currency"]),
        "currency": row["currency"],
        "beneficiary_account": row["beneficiary_account"],
        "beneficiary_name": row["beneficiary_name"],
        "narrative": row["narrative"].split("\n"),
        "bank_reference": row["bank_reference"],
        "state": row["state"],
        "reason_code": row["reason_code"] or row["return_reason"],
        "due_date": row["due_date"],
    }


def _postings(db, parameters):
    return [
        {
            **{
                name: row[name]
                for name in ("account_number", "mark", "value_date", "entry_date", "reference")
            },
            "bank_reference": row["bank_reference"],
            "reason": row["reason"],
            "amount": money.to_text(row["amount"], row["currency"]),
            "statement_id": f"{row['statement_id'] or ''}",
        }
        for row in db.execute(
            "SELECT p.*, a.account_number, a.currency FROM posting p"
            " JOIN account a ON a.id = p.account_id"
            " WHERE :number IS NULL OR a.account_number = :number ORDER BY p.id",
            parameters,
        )
    ]


def statements(db):
    """Each statement without its content."""
    return [
        {
            "id": f"{row['id']}",
            "account_number": row["account_number"],
            "number": row["number"],
            "entry_count": row["entry_count"],
            "opening_balance": money.to_text(row["opening_balance"], row["currency"]),
            "closing_balance": money.to_text(row["closing_balance"], row["currency"]),
            "is_uploaded": bool(row["is_uploaded"]),
            "attempt_count": row["attempt_count"],
            "last_answer": row["last_answer"],
        }
        for row in db.execute(
            "SELECT s.id, s.number, s.entry_count, s.opening_balance, s.closing_balance,"
            " s.is_uploaded, s.attempt_count, s.last_answer, a.account_number, a.currency"
            " FROM statement s JOIN account a ON a.id = s.account_id ORDER BY s.id"
        )
    ]


def _counts(db):
    return {
        row["state"]: {
            "count": row["number"],
            # several currencies may be in it: this is a check sum, not an amount of money
            "sum": money.to_text(row["total"], ""),
        }
        for row in db.execute(
            "SELECT state, count(*) AS number, sum(amount) AS total"
            " FROM payment_order GROUP BY state ORDER BY state"
        )
    }
