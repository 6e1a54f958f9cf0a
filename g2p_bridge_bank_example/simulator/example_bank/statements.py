"""From postings that were not reported yet to statements, each posting in exactly one."""

from . import mt940_writer
from .bank import find_account


def generate(bank, account_number, *, even_if_empty=False):
    """Write the statements of one account over all that was not reported yet.

    At most ``config.statement_entries`` entries each; the rest is in the next number.

    :return: ids of the new statements; None where there is no such account
    """
    with bank.store.write() as db:
        account = find_account(db, account_number)
        if account is None:
            return None
        made = []
        while postings := _unreported(db, account["id"], bank.config.statement_entries):
            made.append(_write(db, bank, account_number, postings))
        if not made and even_if_empty:
            made.append(_write(db, bank, account_number, []))
        return made


def generate_all(bank):
    """The statements of every account that has something to report; returns their ids."""
    with bank.store.read() as db:
        numbers = [
            row["account_number"]
            for row in db.execute(
                "SELECT account_number FROM account WHERE id IN"
                " (SELECT account_id FROM posting WHERE statement_id IS NULL) ORDER BY id"
            )
        ]
    return [made for number in numbers for made in generate(bank, number)]


def _unreported(db, account_id, limit):
    return db.execute(
        "SELECT * FROM posting WHERE account_id = ? AND statement_id IS NULL ORDER BY id LIMIT ?",
        (account_id, limit),
    ).fetchall()


def _write(db, bank, account_number, postings):
    account = find_account(db, account_number)
    [statement_id] = db.execute("SELECT coalesce(max(id), 0) + 1 FROM statement").fetchone()
    opening = account["reported_balance"]
    closing = opening + sum(
        row["amount"] if row["mark"] in ("C", "RD") else -row["amount"] for row in postings
    )
    today = f"{bank.business_date(db)}"
    header = {
        "reference": f"{statement_id}",
        "account_number": account_number,
        "number": account["statement_number"] + 1,
        "currency": account["currency"],
        "opening_balance": opening,
        "closing_balance": closing,
        "opening_date": account["reported_date"],
        "closing_date": today,
    }
    config = bank.config
    text = mt940_writer.write(
        header, postings, style=config.mt940_style, newline=config.mt940_newline
    )
    _store(db, statement_id, account["id"], header, text, postings)
    return statement_id


def _store(db, statement_id, account_id, header, text, postings):
    db.execute(
        "INSERT INTO statement (id, account_id, number, entry_count, opening_balance,"
        " closing_balance, content) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            statement_id,
            account_id,
            header["number"],
            len(postings),
            header["opening_balance"],
            header["closing_balance"],
            text.encode("ascii"),
        ),
    )
    if postings:
        db.execute(
            "UPDATE posting SET statement_id = ?"
            " WHERE account_id = ? AND statement_id IS NULL AND id <= ?",
            (statement_id, account_id, postings[-1]["id"]),
        )
    db.execute(
        "UPDATE account SET statement_number = ?, reported_balance = ?, reported_date = ?"
        " WHERE id = ?",
        (header["number"], header["closing_balance"], header["closing_date"], account_id),
    )
