from decimal import Decimal

from odoo import fields, models
from odoo.tools import SQL
from odoo.tools.misc import format_date

from ..services.report import COUNT, DAY, MONEY, SENTENCE, TEXT, Report, Section

#: entries to look at that a report lists; the worklist has all
MOST_ENTRIES = 500


class DisbursementEnvelope(models.Model):
    """What is printed of an envelope: the numbers are those of its screen."""

    _inherit = "g2p.disbursement.envelope"

    def action_print_summary(self):
        """Download the summary (PDF)."""
        return self._print("summary.pdf")

    def action_print_reconciliation(self):
        """Download the reconciliation (PDF)."""
        return self._print("reconciliation.pdf")

    def action_print_reconciliation_xlsx(self):
        """Download the reconciliation (XLSX)."""
        return self._print("reconciliation.xlsx")

    def _print(self, what):
        self.check_access("read")
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"/g2p_bridge/envelope/{self.id}/{what}",
            "target": "download",
        }

    def _report(self, kind):
        """Return a report: ``summary`` or ``reconciliation``."""
        self.ensure_one()
        is_summary = kind == "summary"
        return Report(
            title=self.env._("Envelope summary") if is_summary else self.env._("Reconciliation"),
            subtitle=f"{self.program_id.name} · {self.cycle_code_mnemonic}",
            currency=self.currency_id.name,
            decimals=self.currency_id.decimal_places,
            facts=self._report_facts(),
            sections=self._summary_sections() if is_summary else self._reconciliation_sections(),
            footer=_footer(self.env, self.disbursement_envelope_id),
            signatures=[
                self.env._("Prepared by, date"),
                self.env._("Checked by, date"),
                self.env._("Approved by, date"),
            ],
        )

    def _report_facts(self):
        states = dict(self._fields["state"]._description_selection(self.env))
        account = self.funding_account_id
        facts = [
            (self.env._("Envelope"), self.disbursement_envelope_id),
            (self.env._("State"), states[self.state]),
            (self.env._("Schedule date"), format_date(self.env, self.disbursement_schedule_date)),
            (
                self.env._("Funding account"),
                f"{account.name} \u200e{account.account_masked}\u200e, {self.bank_id.name}",
            ),
            (self.env._("Currency"), self.currency_id.name),
        ]
        if self.approved_by_id:
            day = format_date(self.env, self.approved_at)
            facts.append((self.env._("Approved by"), f"{self.approved_by_id.name}, {day}"))
        return facts

    def _report_amount(self, amount):
        return Decimal(self._exact(amount))

    def _summary_sections(self):
        return [self._section_of_states(), self._section_of_loop(), self._section_of_funds()]

    def _section_of_states(self):
        labels = dict(
            self.env["g2p.disbursement"]._fields["state"]._description_selection(self.env)
        )
        rows = [
            [label, self[f"{state}_count"], self._report_amount(self[f"{state}_amount"])]
            for state, label in labels.items()
            if self[f"{state}_count"]
        ]
        total = [
            self.env._("Received"),
            self.total_received_count,
            self._report_amount(self.total_received_amount),
        ]
        return Section(
            title=self.env._("Payments by state"),
            columns=self._report_columns(self.env._("State")),
            rows=[*rows, total],
            has_total=True,
        )

    def _report_columns(self, label):
        return [
            (label, TEXT),
            (self.env._("Payments"), COUNT),
            (self.env._("Amount (%s)", self.currency_id.name), MONEY),
        ]

    def _section_of_loop(self):
        open_count = self.waiting_count + self.sent_count + self.unknown_count
        open_amount = self.waiting_amount + self.sent_amount + self.unknown_amount
        parts = {name: pair for name, pair in self._closed_loop().items() if name != "withdrawn"}
        rows = [
            [self.env._("Paid"), *self._report_pair(parts["paid"])],
            [self.env._("Reversed"), *self._report_pair(parts["reversed"])],
            [self.env._("Rejected"), *self._report_pair(parts["rejected"])],
            [self.env._("Unresolved"), *self._report_pair(parts["unresolved"])],
            [self.env._("Cancelled"), *self._report_pair(parts["cancelled"])],
            [self.env._("On the way"), *self._report_pair((open_count, open_amount))],
            [self.env._("Missing"), *self._report_pair((self.missing_count, self.missing_amount))],
            [self.env._("Declared"), *self._report_pair(parts["declared"])],
        ]
        ties = [sum(column) for column in zip(*[row[1:] for row in rows[:-1]], strict=True)]
        note = (
            self.env._("The parts add up to what was declared.")
            if ties == rows[-1][1:]
            else self.env._("The parts do not add up to what was declared.")
        )
        return Section(
            title=self.env._("Declared, and what became of it"),
            columns=self._report_columns(self.env._("Part")),
            rows=rows,
            has_total=True,
            note=note,
        )

    def _report_pair(self, pair):
        return [pair[0], self._report_amount(pair[1])]

    def _section_of_funds(self):
        funds = self._use_of_funds()
        return Section(
            title=self.env._("Funds"),
            columns=[
                (self.env._("At the bank"), TEXT),
                (self.env._("Amount (%s)", self.currency_id.name), MONEY),
            ],
            rows=[
                [self.env._("Held"), self._report_amount(funds["held"])],
                [self.env._("Drawn by payments"), self._report_amount(funds["drawn"])],
                [self.env._("Released"), self._report_amount(funds["released"])],
                [self.env._("Still held"), self._report_amount(funds["kept"])],
            ],
        )

    def _reconciliation_sections(self):
        statements = self._statements_of_entries()
        return [
            self._section_of_loop(),
            self._section_of_books(statements),
            self._section_of_statements(statements),
            self._section_of_reasons(),
            self._section_of_entries(),
        ]

    def _statements_of_entries(self):
        """Return [(statement, {outcome: (count, amount)})] of the entries of the payments."""
        rows = self.env["g2p.account.statement.line"]._read_group(
            [
                ("envelope_id", "=", self.id),
                ("outcome", "in", ["reconciled", "reversed"]),
                ("is_unconfirmed", "=", False),
            ],
            ["statement_id", "outcome"],
            ["__count", "amount:sum"],
        )
        found = {}
        for statement, outcome, count, amount in rows:
            found.setdefault(statement, {})[outcome] = (count, amount)
        return sorted(found.items(), key=lambda item: item[0].id)

    def _section_of_books(self, statements):
        booked = {"reconciled": [0, Decimal(0)], "reversed": [0, Decimal(0)]}
        for _statement, outcomes in statements:
            for outcome, (count, amount) in outcomes.items():
                booked[outcome][0] += count
                booked[outcome][1] += self._report_amount(amount)
        debited = (
            self.reconciled_count + self.reversed_count,
            self.reconciled_amount + self.reversed_amount,
        )
        rows = []
        for label, ours, theirs in (
            (self.env._("Debits"), debited, booked["reconciled"]),
            (
                self.env._("Returns"),
                (self.reversed_count, self.reversed_amount),
                booked["reversed"],
            ),
        ):
            count, amount = self._report_pair(ours)
            rows.append([label, count, amount, *theirs, amount - theirs[1]])
        name = self.currency_id.name
        return Section(
            title=self.env._("Our books and the bank's statements"),
            columns=[
                ("", TEXT),
                (self.env._("Payments"), COUNT),
                (self.env._("Our books (%s)", name), MONEY),
                (self.env._("Entries"), COUNT),
                (self.env._("Statements (%s)", name), MONEY),
                (self.env._("Difference (%s)", name), MONEY),
            ],
            rows=rows,
            note=self._note_of_unconfirmed(),
        )

    def _note_of_unconfirmed(self):
        """Say how much of our books rests on notifications alone."""
        [(count, amount)] = self.env["g2p.account.statement.line"]._read_group(
            [("envelope_id", "=", self.id), ("is_unconfirmed", "=", True)],
            [],
            ["__count", "amount:sum"],
        )
        if not count:
            return ""
        return self.env._(
            "%(count)s entries of %(amount)s in all were told ahead by the bank, and stand on no "
            "statement yet.",
            count=count,
            amount=self._report_amount(amount),
        )

    def _section_of_statements(self, statements):
        nothing = (0, 0.0)
        return Section(
            title=self.env._("Statements with entries of these payments"),
            columns=[
                (self.env._("Statement"), TEXT),
                (self.env._("Closed on"), DAY),
                (self.env._("Debits"), COUNT),
                (self.env._("Amount (%s)", self.currency_id.name), MONEY),
                (self.env._("Returns"), COUNT),
                (self.env._("Amount (%s)", self.currency_id.name), MONEY),
            ],
            rows=[
                [
                    statement._label(),
                    _day(statement.closing_date),
                    *self._report_pair(outcomes.get("reconciled", nothing)),
                    *self._report_pair(outcomes.get("reversed", nothing)),
                ]
                for statement, outcomes in statements
            ],
            note="" if statements else self.env._("No statement has an entry of them yet."),
        )

    def _section_of_reasons(self):
        states = dict(
            self.env["g2p.disbursement"]._fields["state"]._description_selection(self.env)
        )
        rows = self.env.execute_query(
            SQL(
                """
                SELECT state, coalesce(reason_code, ''), count(*), sum(amount)
                  FROM g2p_disbursement
                 WHERE envelope_id = %s AND state IN ('reversed', 'rejected', 'unresolved')
                 GROUP BY 1, 2 ORDER BY 1, 4 DESC
                """,
                self.id,
            )
        )
        return Section(
            title=self.env._("Not paid, and why"),
            columns=[
                (self.env._("State"), TEXT),
                (self.env._("Reason"), TEXT),
                (self.env._("Payments"), COUNT),
                (self.env._("Amount (%s)", self.currency_id.name), MONEY),
            ],
            rows=[
                [states[state], reason, count, self._report_amount(amount)]
                for state, reason, count, amount in rows
            ],
            note="" if rows else self.env._("Nothing came back, and nothing was refused."),
        )

    def _section_of_entries(self):
        entries = self.env["g2p.account.statement.line"].search(
            self._open_entries_domain(), limit=MOST_ENTRIES + 1
        )
        return _section_of_open_entries(self.env, entries, self.currency_id)


class AccountStatement(models.Model):
    """How a statement is called in a report."""

    _inherit = "g2p.account.statement"

    def _label(self):
        return "/".join(filter(None, (self.statement_number, self.sequence_number))) or self.name


class FundingAccount(models.Model):
    """The reconciliation of a funding account over a time."""

    _inherit = "g2p.funding.account"

    def _reconciliation(self, first, last):
        """Return the report of the statements that closed between two days (dates)."""
        self.ensure_one()
        chain = self.env["g2p.account.statement"].sudo()._in_chain_order(self)
        statements = chain.filtered(lambda s: s.closing_date and first <= s.closing_date <= last)
        statements.sudo(False).check_access("read")  # they may be of programs for other people
        currency = self.currency_id
        return Report(
            title=self.env._("Reconciliation of a funding account"),
            subtitle=f"{self.name} · {self.bank_id.name}",
            currency=currency.name,
            decimals=currency.decimal_places,
            facts=[
                (self.env._("Account"), f"\u200e{self.account_masked}\u200e"),
                (self.env._("From"), format_date(self.env, first)),
                (self.env._("To"), format_date(self.env, last)),
                (self.env._("Currency"), currency.name),
            ],
            sections=[
                self._section_of_statements(statements),
                self._section_of_envelopes(statements),
                self._section_of_entries(statements),
            ],
            footer=_footer(self.env, self.name),
            signatures=[self.env._("Prepared by, date"), self.env._("Checked by, date")],
        )

    def _decimal(self, amount):
        return Decimal(f"{amount:.{self.currency_id.decimal_places}f}")

    def _section_of_statements(self, statements):
        turnover = self.env["g2p.certificate"]._turnover(statements)
        rows = [
            [
                statement._label(),
                _day(statement.closing_date),
                self._decimal(statement.opening_balance),
                self._decimal(turnover[statement.id]["debits"]),
                self._decimal(turnover[statement.id]["credits"]),
                self._decimal(statement.closing_balance),
            ]
            for statement in statements
        ]
        if rows:
            debits, credits_ = (sum(row[place] for row in rows) for place in (3, 4))
            rows.append([self.env._("Total"), "", rows[0][2], debits, credits_, rows[-1][5]])
        name = self.currency_id.name
        return Section(
            title=self.env._("Statements"),
            columns=[
                (self.env._("Statement"), TEXT),
                (self.env._("Closed on"), DAY),
                (self.env._("Opening (%s)", name), MONEY),
                (self.env._("Debits (%s)", name), MONEY),
                (self.env._("Credits (%s)", name), MONEY),
                (self.env._("Closing (%s)", name), MONEY),
            ],
            rows=rows,
            has_total=bool(rows),
            note=" ".join([self._note_of_balance(rows), *self._notes_of_gaps(statements)]),
        )

    def _notes_of_gaps(self, statements):
        return [
            f"{statement._label()}: {statement.continuity_note}"
            for statement in statements
            if statement.continuity_note
        ]

    def _note_of_balance(self, rows):
        if not rows:
            return self.env._("No statement of this account closed in that time.")
        opening, debits, credits_, closing = rows[-1][2:]
        if opening - debits + credits_ == closing:
            return self.env._("Opening balance - debits + credits = closing balance.")
        return self.env._(
            "Opening balance, debits and credits differ from the closing balance by %s.",
            closing - (opening - debits + credits_),
        )

    def _section_of_envelopes(self, statements):
        rows = self.env["g2p.account.statement.line"]._read_group(
            [
                ("statement_id", "in", statements.ids),
                ("outcome", "in", ["reconciled", "reversed"]),
            ],
            ["envelope_id", "outcome"],
            ["__count", "amount:sum"],
        )
        found = {}
        for envelope, outcome, count, amount in rows:
            found.setdefault(envelope, {})[outcome] = [count, self._decimal(amount)]
        nothing, name = [0, Decimal(0)], self.currency_id.name
        return Section(
            title=self.env._("Envelopes"),
            columns=[
                (self.env._("Envelope"), TEXT),
                (self.env._("Debits"), COUNT),
                (self.env._("Amount (%s)", name), MONEY),
                (self.env._("Returns"), COUNT),
                (self.env._("Amount (%s)", name), MONEY),
            ],
            rows=[
                [
                    f"{envelope.program_id.mnemonic} {envelope.cycle_code_mnemonic}",
                    *outcomes.get("reconciled", nothing),
                    *outcomes.get("reversed", nothing),
                ]
                for envelope, outcomes in found.items()
            ],
            note="" if found else self.env._("No entry is of a payment of ours."),
        )

    def _section_of_entries(self, statements):
        entries = self.env["g2p.account.statement.line"].search(
            [
                ("statement_id", "in", statements.ids),
                ("outcome", "=", "error"),
                ("is_handled", "=", False),
            ],
            limit=MOST_ENTRIES + 1,
        )
        return _section_of_open_entries(self.env, entries, self.currency_id)


def _section_of_open_entries(env, entries, currency):
    fields_ = env["g2p.account.statement.line"]._fields
    reasons = dict(fields_["error_reason"]._description_selection(env))
    marks = dict(fields_["mark"]._description_selection(env))
    note = ""
    if not entries:
        note = env._("No entry is to be looked at.")
    elif len(entries) > MOST_ENTRIES:
        note = env._("The first %s; all are in the worklist.", MOST_ENTRIES)
    return Section(
        title=env._("Entries to look at"),
        columns=[
            (env._("Statement"), TEXT),
            (env._("Entry"), COUNT),
            (env._("Kind"), TEXT),
            (env._("Amount (%s)", currency.name), MONEY),
            (env._("Reason"), SENTENCE),
        ],
        rows=[
            [
                entry.statement_id._label(),
                entry.entry_sequence,
                marks[entry.mark],
                Decimal(f"{entry.amount:.{currency.decimal_places}f}"),
                reasons.get(entry.error_reason, ""),
            ]
            for entry in entries[:MOST_ENTRIES]
        ],
        note=note,
    )


def _footer(env, name):
    now = fields.Datetime.now().isoformat(sep=" ", timespec="minutes")
    return env._(
        "%(name)s · printed %(now)s (UTC) by %(user)s · page %(page)s of %(pages)s",
        name=name,
        now=now,
        user=env.user.name,
        page="{page}",
        pages="{pages}",
    )


def _day(value):
    return value.isoformat() if value else ""
