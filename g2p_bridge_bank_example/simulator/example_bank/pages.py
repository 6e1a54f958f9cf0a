"""The page at ``/``: a look at the books for people. Says that this is a test double."""

from markupsafe import Markup, escape

from . import money

PAGE_SIZE = 50

_LAYOUT = Markup(
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Example Bank (test double)'
    '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
    "<style>body{{font:15px/1.4 system-ui,sans-serif;margin:0 auto;max-width:75rem;padding:0 1rem;"
    "color:#222}}.warn{{background:#7a3b00;color:#fff;padding:.5rem 1rem;font-weight:600}}"
    "table{{border-collapse:collapse;width:100%;margin-bottom:1.5rem}}"
    "th,td{{border-bottom:1px solid #ccc;padding:.25rem .5rem;text-align:left}}"
    "td.n,th.n{{text-align:right;font-variant-numeric:tabular-nums}}"
    ".scroll{{overflow-x:auto}}</style></head><body>"
    '<p class="warn">TEST DOUBLE: no real bank, no real money.</p><h1>Example Bank</h1>'
    "<p>Business date {date}</p>{body}</body></html>"
)


def overview(bank, page):
    """Accounts, blocks and postings, newest first.

    :param int page: 1-based page of the blocks and postings
    :return: the page as text
    """
    offset = (page - 1) * PAGE_SIZE
    with bank.store.read() as db:
        date = bank.business_date(db)
        [count] = db.execute(
            "SELECT max((SELECT count(*) FROM posting), (SELECT count(*) FROM block))"
        ).fetchone()
        tables = [_accounts(db), _blocks(db, offset), _postings(db, offset)]
    body = Markup("").join([*tables, _pager(page, count)])
    return str(_LAYOUT.format(date=date, body=body))


def _accounts(db):
    return _table(
        "Accounts",
        ("Account", "Holder", "Currency", "Balance", "Held", "Available"),
        [
            (
                row["account_number"],
                row["account_holder"],
                row["currency"],
                *_amounts(row, row["balance"], row["held"], row["balance"] - row["held"]),
            )
            for row in db.execute("SELECT * FROM account ORDER BY id LIMIT 200")
        ],
    )


def _blocks(db, offset):
    return _table(
        "Blocks of funds",
        ("Reference", "Account", "Amount", "Drawn", "Settled", "Released"),
        [
            (
                row["reference"],
                row["account_number"],
                *_amounts(row, row["amount"], row["drawn"], row["settled"], row["released"]),
            )
            for row in db.execute(
                "SELECT b.*, a.account_number, a.currency FROM block b"
                " JOIN account a ON a.id = b.account_id ORDER BY b.id DESC LIMIT ? OFFSET ?",
                (PAGE_SIZE, offset),
            )
        ],
    )


def _postings(db, offset):
    return _table(
        "Postings",
        (
            "Entry date",
            "Value date",
            "Account",
            "Mark",
            "Amount",
            "Reference",
            "Bank reference",
            "Reason",
            "Statement",
        ),
        [
            (
                row["entry_date"],
                row["value_date"],
                row["account_number"],
                row["mark"],
                *_amounts(row, row["amount"]),
                row["reference"],
                row["bank_reference"],
                row["reason"],
                row["statement_id"] or "",
            )
            for row in db.execute(
                "SELECT p.*, a.account_number, a.currency FROM posting p"
                " JOIN account a ON a.id = p.account_id ORDER BY p.id DESC LIMIT ? OFFSET ?",
                (PAGE_SIZE, offset),
            )
        ],
    )


class _Amount(str):
    """A cell that is aligned as a number."""

    __slots__ = ()


def _amounts(row, *units):
    return tuple(_Amount(money.to_text(value, row["currency"])) for value in units)


_NUMBERS = ("Balance", "Held", "Available", "Amount", "Drawn", "Settled", "Released")


def _table(title, names, rows):
    head = Markup("").join(
        Markup('<th class="{}">{}</th>').format("n" if name in _NUMBERS else "", name)
        for name in names
    )
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(map(_cell, row))) for row in rows
    )
    if not rows:
        body = Markup('<tr><td colspan="{}">None.</td></tr>').format(len(names))
    return Markup(
        '<h2>{}</h2><div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
        "</div>"
    ).format(title, head, body)


def _cell(value):
    style = Markup(' class="n"') if isinstance(value, _Amount) else ""
    return Markup("<td{}>{}</td>").format(style, escape(value))


def _pager(page, count):
    pages = max(1, -(-count // PAGE_SIZE))
    links = []
    if page > 1:
        links.append(Markup('<a href="?page={}">Newer</a>').format(page - 1))
    links.append(Markup("Page {} of {}").format(page, pages))
    if page < pages:
        links.append(Markup('<a href="?page={}">Older</a>').format(page + 1))
    return Markup("<p>{}</p>").format(Markup(" | ").join(links))
