import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain

from odoo import models
from odoo.tools import SQL

from ..services.mt940 import page_number
from .own_cursor import lock_for_transaction, own_cursor

#: the day that a statement counts to; balances of accounts without movement may have none
_DAY = SQL("coalesce(s.closing_date, s.opening_date, s.uploaded_at::date)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedStatement:
    """What tells statements of an account apart (MT940 :28C:)."""

    account_id: int
    year: int
    number: int | str | None  # None: the bank or the statement has no number
    first_page: int
    last_page: int
    digest: str  # of what the statement says
    label: str
    state: str = ""

    @classmethod
    def of(cls, account, statement):
        """Return those of a parsed statement of the funding account."""
        day = statement.closing_date or statement.opening_date or _today()
        return cls(
            account_id=account.id,
            year=day.year,
            number=_number(statement.number) if account.bank_id.has_statement_numbers else None,
            first_page=page_number(statement.first_sequence or statement.sequence) or 1,
            last_page=page_number(statement.sequence) or 1,
            digest=_digest(statement),
            label=_label(statement.number, statement.sequence),
        )

    def stored_as(self, state):
        """Return the same of a statement that was stored in this state."""
        return replace(self, state=state)

    def find_repeated(self, others):
        """Say whether one of the others says the same, under the same number."""
        return any(
            self.has_number_of(other) and other.digest == self.digest
            for other in others
            if other.state != "dismissed"
        )

    def find_contradicted(self, others):
        """Say whether one of the others was booked under the same number with other content."""
        return any(
            self.has_number_of(other) and other.digest != self.digest
            for other in others
            if other.state in ("received", "processed")
        )

    def has_number_of(self, other):
        """Say whether both are numbered alike, in the same year of the same account."""
        return (
            self.number is not None
            and (self.account_id, self.year, self.number)
            == (other.account_id, other.year, other.number)
            and self.first_page <= other.last_page
            and other.first_page <= self.last_page
        )


class AccountStatement(models.Model):
    """Numbers of statements: the same one twice, gaps, and those that come in the wrong order."""

    _inherit = "g2p.account.statement"

    def _lock_numbers(self, parsed):
        """Have uploads for the same accounts pass one by one; return what was booked before.

        :param parsed: list of (funding account, Statement)
        :return: list of their NumberedStatement, and list of those of the same accounts and years
        """
        numbered = [NumberedStatement.of(account, statement) for account, statement in parsed]
        for account_id in sorted({number.account_id for number in numbered}):
            lock_for_transaction(self.env.cr, f"g2p.account.statement of {account_id}")
        self.env.flush_all()
        with own_cursor(self.env) as cr:  # sees what came in while this one was read and waited
            cr.execute(
                SQL(
                    """
                    SELECT s.account_id, extract(year FROM %(day)s)::int, s.statement_number,
                           s.first_sequence_number, s.sequence_number, s.statement_sha256, s.state
                      FROM g2p_account_statement s
                     WHERE s.account_id = ANY(%(accounts)s) AND s.kind = 'statement'
                       AND extract(year FROM %(day)s) = ANY(%(years)s)
                    """,
                    day=_DAY,
                    accounts=list({number.account_id for number in numbered}),
                    years=list({number.year for number in numbered}),
                )
            )
            rows = cr.fetchall()
        return numbered, [
            NumberedStatement(
                account_id=account_id,
                year=year,
                number=_number(number or ""),
                first_page=page_number(first or "") or 1,
                last_page=page_number(last or "") or 1,
                digest=digest,
                label=_label(number, last),
                state=state,
            )
            for account_id, year, number, first, last, digest, state in rows
        ]

    def _compute_continuity_note(self):
        notes = self._continuity_notes(SQL("s.account_id = ANY(%s)", self.account_id.ids))
        for statement in self:
            statement.continuity_note = notes.get(statement._origin.id, False)

    def _search_continuity_note(self, operator, value):
        """Find statements with a gap before them (``!=`` False), or the others."""
        if operator not in ("in", "not in") or set(value) - {False}:
            return NotImplemented
        with_gap = self._continuity_notes(SQL("TRUE"))
        return [("id", "not in" if operator == "in" else "in", list(with_gap))]

    def _continuity_notes(self, accounts):
        """Return statement id -> why it does not follow on the one before it.

        Of what is booked, in the order of day and number: the order of arrival does not matter.

        :param SQL accounts: condition on the statements, as ``s``, that takes whole accounts
        """
        self.env.flush_all()
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT * FROM (
                    SELECT s.id, a.currency_id, b.has_statement_numbers, s.statement_number,
                           s.first_sequence_number, s.sequence_number, s.opening_balance,
                           lag(s.id) OVER chain AS last_id,
                           lag(s.statement_number) OVER chain AS last_number,
                           lag(s.sequence_number) OVER chain AS last_sequence,
                           lag(s.closing_balance) OVER chain AS last_balance
                      FROM g2p_account_statement s
                      JOIN g2p_funding_account a ON a.id = s.account_id
                      JOIN g2p_sponsor_bank b ON b.id = s.bank_id
                     WHERE %(accounts)s AND s.kind = 'statement'
                       AND s.state IN ('received', 'processed')
                    WINDOW chain AS (PARTITION BY s.account_id ORDER BY %(day)s, %(number)s,
                                     %(page)s, s.id)
                ) follower WHERE last_id IS NOT NULL
                """,
                accounts=accounts,
                day=_DAY,
                number=_as_number(SQL("s.statement_number")),
                page=_as_number(SQL("s.first_sequence_number")),
            )
        )
        return {row["id"]: note for row in rows if (note := self._continuity_note(row))}

    def _in_chain_order(self, account):
        """Return the booked statements of an account, in the order of day and number."""
        self.env.flush_all()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT s.id FROM g2p_account_statement s JOIN g2p_sponsor_bank b ON b.id = s.bank_id
                 WHERE s.account_id = %s AND s.kind = 'statement'
                   AND s.state IN ('received', 'processed')
                 ORDER BY %s, %s, %s, s.id
                """,
                account.id,
                _DAY,
                _as_number(SQL("s.statement_number")),
                _as_number(SQL("s.first_sequence_number")),
            )
        )
        return self.browse(statement_id for (statement_id,) in rows)

    def _continuity_note(self, row):
        before = (_number(row["last_number"] or ""), page_number(row["last_sequence"] or "") or 1)
        now = (
            _number(row["statement_number"] or ""),
            page_number(row["first_sequence_number"] or "") or 1,
        )
        if row["has_statement_numbers"] and now == before and now[0] is not None:
            return False  # the same number again: an officer took it for a correction
        notes = []
        if row["has_statement_numbers"] and not _follows(before, now):
            notes.append(
                self.env._(
                    "Number %(number)s does not follow on %(last)s.",
                    number=_label(row["statement_number"], row["first_sequence_number"]),
                    last=_label(row["last_number"], row["last_sequence"]),
                )
            )
        if row["opening_balance"] != row["last_balance"]:
            currency = self.env["res.currency"].browse(row["currency_id"])
            notes.append(
                self.env._(
                    "Opens with %(opening)s, but %(last)s closed with %(closing)s.",
                    opening=currency.format(row["opening_balance"]),
                    last=_label(row["last_number"], row["last_sequence"])
                    or self.env._("the statement before"),
                    closing=currency.format(row["last_balance"]),
                )
            )
        return " ".join(notes)


def _follows(before, now):
    """Say whether a number continues: the next one, its next page, or a new year's first."""
    if not isinstance(before[0], int) or not isinstance(now[0], int):
        return True  # not counted at all: the balances alone must follow
    return now in ((before[0] + 1, 1), (before[0], before[1] + 1), (1, 1))


def _number(text):
    """Return a statement number, without leading zeros where it has only digits; None for none."""
    number = page_number(text)
    return (text.strip() if number is None else number) or None


def _label(number, sequence):
    return "/".join(filter(None, (number, sequence)))


def _as_number(column):
    return SQL(
        "CASE WHEN b.has_statement_numbers AND %(text)s ~ '^[0-9]{1,9}$' THEN %(text)s::int END",
        text=column,
    )


def _digest(statement):
    """Return a hash of what the statement says; its :20: may change when it is sent again."""
    digest = hashlib.sha256()
    head = (
        statement.number,
        statement.first_sequence,
        statement.sequence,
        statement.currency,
        statement.opening_date,
        statement.opening_balance,
        statement.closing_date,
        statement.closing_balance,
    )
    for value in chain(head, statement.entries):
        # details, which MT940 has none of, stand beside: what was booked by earlier versions keeps
        # its hash
        details = getattr(value, "details", ())
        text = f"{value!r}{details}\n" if details else f"{value!r}\n"
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _today():
    return datetime.now(timezone.utc).date()
