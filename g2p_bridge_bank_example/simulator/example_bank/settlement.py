"""Settlement: accepted orders are booked after the float, and some come back.

Set-based: a fixed number of statements, whether one order is due or a million.
"""

import hashlib

#: why a payment comes back; the last line of :86: of its reversal
RETURN_REASONS = (
    "ACCOUNT_CLOSED",
    "ACCOUNT_DORMANT",
    "ACCOUNT_BLOCKED",
    "INVALID_ACCOUNT",
    "NAME_MISMATCH",
)


def drawn_reason(seed, account, rate):
    """The reason why what goes to this account comes back, or ""; the same for the same seed."""
    digest = hashlib.sha256(f"{seed}:{account}".encode()).digest()
    if int.from_bytes(digest[:8], "big") >= rate * 2**64:
        return ""
    return RETURN_REASONS[digest[8] % len(RETURN_REASONS)]


def settle(bank):
    """Book what is due: debits first, then the reversals of what was debited before.

    :return: ``{"business_date": str, "settled": count, "reversed": count}``
    """
    with bank.store.write() as db:
        today = bank.business_date(db)
        settled = _settle_due(db, bank.config, today)
        reversed_count = _reverse_due(db, bank.config, today)
    return {"business_date": f"{today}", "settled": settled, "reversed": reversed_count}


def _settle_due(db, config, today):
    db.create_function(
        "drawn_reason",
        1,
        lambda account: drawn_reason(config.seed, account, config.reversal_rate),
    )
    _collect(
        db,
        "INSERT INTO due SELECT id FROM payment_order"
        " WHERE state = 'accepted' AND due_date <= ? ORDER BY id",
        today,
    )
    _post_due(db, "D", today)
    db.execute(
        "UPDATE payment_order SET state = 'settled',"
        " return_date = date(due_date, ?),"
        " return_reason = coalesce("
        "  (SELECT reason FROM beneficiary_flag WHERE beneficiary = beneficiary_account),"
        "  (SELECT reason FROM beneficiary_flag WHERE beneficiary = beneficiary_key),"
        "  drawn_reason(coalesce(nullif(beneficiary_account, ''),"
        "   nullif(beneficiary_key, ''), reference)))"
        " WHERE id IN (SELECT id FROM due)",
        (f"+{config.reversal_after_days} days",),
    )
    _move_totals(db)
    return _count_due(db)


def _move_totals(db):
    """What was settled leaves the balance, the held funds and the blocks alike."""
    db.execute(
        "UPDATE block SET settled = settled + (SELECT sum(o.amount) FROM payment_order o"
        " WHERE o.block_id = block.id AND o.id IN (SELECT id FROM due))"
        " WHERE id IN (SELECT block_id FROM payment_order WHERE id IN (SELECT id FROM due))"
    )
    for account_id, amount in _sums_due(db):
        db.execute(
            "UPDATE account SET balance = balance - ?1, held = held - ?1 WHERE id = ?2",
            (amount, account_id),
        )


def _reverse_due(db, config, today):
    _collect(
        db,
        "INSERT INTO due SELECT id FROM payment_order"
        " WHERE state = 'settled' AND return_reason != '' AND return_date <= ? ORDER BY id",
        today,
    )
    _post_due(db, config.return_mark, today)
    db.execute("UPDATE payment_order SET state = 'reversed' WHERE id IN (SELECT id FROM due)")
    for account_id, amount in _sums_due(db):
        db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", (amount, account_id))
    return _count_due(db)


def _collect(db, insert, today):
    """Name the orders that are due, in a table that all statements of the step share."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS due (id INTEGER PRIMARY KEY)")
    db.execute("DELETE FROM due")
    db.execute(insert, (f"{today}",))


def _post_due(db, mark, today):
    """One posting an order; its value date is the day it fell due, its entry date today."""
    is_return = mark != "D"
    db.execute(
        "INSERT INTO posting (account_id, order_id, mark, amount, value_date, entry_date,"
        " reference, bank_reference, narrative, reason)"
        " SELECT o.account_id, o.id, :mark, o.amount,"
        "  CASE WHEN :is_return THEN o.return_date ELSE o.due_date END, :today,"
        "  o.reference, CASE WHEN :is_return THEN replace(o.bank_reference, 'EXB', 'EXR')"
        "   ELSE o.bank_reference END,"
        "  o.narrative, o.return_reason"
        " FROM payment_order o JOIN due ON due.id = o.id ORDER BY o.id",
        {"mark": mark, "is_return": is_return, "today": f"{today}"},
    )


def _sums_due(db):
    return db.execute(
        "SELECT account_id, sum(amount) FROM payment_order WHERE id IN (SELECT id FROM due)"
        " GROUP BY account_id"
    ).fetchall()


def _count_due(db):
    return db.execute("SELECT count(*) FROM due").fetchone()[0]
