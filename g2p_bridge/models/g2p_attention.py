from datetime import datetime, time, timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL, format_date, format_datetime, formatLang

from .reason_words import in_words
from .roles import OFFICER, check_role

#: column -> its SQL type; each kind gives those that it has
_COLUMNS = {
    "kind": "varchar",
    "key": "varchar",
    "severity": "varchar",
    "amount": "numeric",
    "payment_count": "int4",
    "since": "timestamp",
    "envelope_id": "int4",
    "batch_id": "int4",
    "statement_id": "int4",
    "line_id": "int4",
    "health_id": "int4",
    "difference_id": "int4",
    "program_id": "int4",
    "bank_id": "int4",
    "mapper_id": "int4",
    "funding_account_id": "int4",
    "company_id": "int4",
    "currency_id": "int4",
    "reason_code": "varchar",
    "reason": "varchar",
    "mark": "varchar",
}
#: a program system that takes no events for so long is a case
FAILING_FOR = timedelta(minutes=15)
#: ids that a browser keeps whole (52 bits)
_ID_MASK = (1 << 52) - 1

#: of the envelope ``e`` that a case is about
_OF_ENVELOPE = {
    "envelope_id": SQL("e.id"),
    "program_id": SQL("e.program_id"),
    "bank_id": SQL("e.bank_id"),
    "funding_account_id": SQL("e.funding_account_id"),
    "company_id": SQL("e.company_id"),
    "currency_id": SQL("e.currency_id"),
}
#: of the account ``a`` that a case is about
_OF_ACCOUNT = {
    "bank_id": SQL("a.bank_id"),
    "funding_account_id": SQL("a.id"),
    "company_id": SQL("a.company_id"),
    "currency_id": SQL("a.currency_id"),
}
#: what came of the funds step: anything but a bank that surely has too little is *stopped*
_IS_FUNDS = SQL("e.attention_code = 'FUNDS_NOT_AVAILABLE'")
IS_BLOCK = SQL(
    """e.resume_state = 'funds_available' AND EXISTS (
            SELECT FROM g2p_bank_call k
             WHERE k.envelope_id = e.id AND k.operation = 'block_funds'
               AND k.state IN ('started', 'unknown'))"""
)


class Attention(models.Model):
    """Everything that somebody should look at, one row per case, whatever its kind.

    Not stored: each query finds the cases anew, from counters and partial indexes, so a case is
    gone as soon as it is solved, by whatever means. What people add (an owner, a decision) is
    kept by the key of the case in ``g2p.attention.case``.
    """

    _name = "g2p.attention"
    _description = "Case that needs attention"
    _order = "severity, since, id"
    _auto = False
    _log_access = False

    kind = fields.Selection(
        [
            ("bank_down", "Bank down"),
            ("batch_unknown", "Batch, outcome unknown"),
            ("block_unknown", "Block of funds, outcome unknown"),
            ("books_differ", "Totals differ"),
            ("entry_amount", "Amount differs"),
            ("entry_duplicate", "Debited or returned twice"),
            ("entry_unmatched", "Statement entry without payment"),
            ("funds_missing", "Funds missing"),
            ("payment_rejected", "Rejected by the bank"),
            ("payment_returned", "Came back"),
            ("payment_unresolved", "No account known"),
            ("statement_gap", "Gap between statements"),
            ("statement_held", "Statement held"),
            ("statement_late", "Statement late"),
            ("statement_unconfirmed", "Told ahead, on no statement"),
            ("statement_untied", "Statement does not tie"),
            ("stopped", "Envelope stopped"),
            ("webhook_down", "Program system takes no events"),
        ],
        readonly=True,
    )
    key = fields.Char(readonly=True)
    severity = fields.Selection(
        [("1", "Urgent"), ("2", "Important"), ("3", "Waits")],
        string="Urgency",
        readonly=True,
    )
    name = fields.Char(string="What", compute="_compute_name")
    place = fields.Char(
        string="Where", compute="_compute_place", help="Program and cycle, account or bank."
    )
    age = fields.Char(compute="_compute_age")
    amount = fields.Monetary(readonly=True)
    payment_count = fields.Integer(string="Payments", readonly=True)
    since = fields.Datetime(readonly=True)
    envelope_id = fields.Many2one("g2p.disbursement.envelope", readonly=True)
    batch_id = fields.Many2one("g2p.disbursement.batch", readonly=True)
    statement_id = fields.Many2one("g2p.account.statement", readonly=True)
    line_id = fields.Many2one(
        "g2p.account.statement.line", string="Entry", readonly=True, help="Where there is just one."
    )
    health_id = fields.Many2one("g2p.bank.health", readonly=True)
    difference_id = fields.Many2one("g2p.ledger.difference", readonly=True)
    program_id = fields.Many2one("g2p.benefit.program", readonly=True)
    bank_id = fields.Many2one("g2p.sponsor.bank", readonly=True)
    mapper_id = fields.Many2one("g2p.account.mapper", readonly=True)
    funding_account_id = fields.Many2one("g2p.funding.account", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    currency_id = fields.Many2one("res.currency", readonly=True)
    reason_code = fields.Char(readonly=True)
    reason = fields.Char(readonly=True)
    mark = fields.Char(readonly=True, help="What makes the case the same as when it was accepted.")
    user_id = fields.Many2one("res.users", string="Owner", readonly=True)
    disputed_at = fields.Datetime(readonly=True)
    note = fields.Char(readonly=True)
    proposed_decision = fields.Selection(related="batch_id.proposed_decision", related_sudo=False)
    is_own_proposal = fields.Boolean(related="batch_id.is_own_proposal", related_sudo=False)
    is_paused = fields.Boolean(related="envelope_id.is_paused", related_sudo=False)

    # -- what is found --------------------------------------------------------------------------

    @property
    def _table_query(self):
        return SQL(
            """
            SELECT hashtextextended(x.key, 0) & %(mask)s AS id, x.*, c.user_id, c.disputed_at,
                   c.note
              FROM (%(cases)s) x
              LEFT JOIN g2p_attention_case c ON c.key = x.key
             WHERE x.mark IS NULL OR c.accepted_mark IS NULL OR c.accepted_mark <> x.mark
            """,
            mask=_ID_MASK,
            cases=SQL(" UNION ALL ").join(self._case_queries()),
        )

    def _case_queries(self):
        """Return one SELECT for each kind; an addon with kinds of its own adds to them.

        :return: list of SQL with the columns of ``_COLUMNS``, made by :meth:`_case_query`
        """
        return [
            self._query_unresolved(),
            self._query_ended("payment_rejected", "rejected"),
            self._query_ended("payment_returned", "reversed"),
            self._query_batches(),
            self._query_envelopes(),
            self._query_health(),
            self._query_lines(),
            self._query_held(),
            self._query_untied(),
            self._query_gaps(),
            self._query_late(),
            self._query_unconfirmed(),
            self._query_differences(),
            self._query_webhooks(),
        ]

    @api.private
    def _case_query(self, kind, subject, source, *, severity="2", **columns):
        """Return the SELECT of one kind.

        The kind is a constant wherever it can be, so that a question about one kind does not look
        for the others.

        :param str|SQL kind: value of ``kind``
        :param SQL subject: text that tells the cases of the kind apart
        :param SQL source: what stands behind FROM
        :param columns: name -> SQL; the others are empty
        """
        kind = SQL("%s", kind) if isinstance(kind, str) else kind
        severity = SQL("%s", severity) if isinstance(severity, str) else severity
        given = {
            "kind": kind,
            "key": SQL("%s || ':' || %s", kind, subject),
            "severity": severity,
            **columns,
        }
        return SQL(
            "SELECT %s FROM %s",
            SQL(", ").join(
                SQL(
                    f"CAST(%s AS {sql_type}) AS %s",
                    given.get(name, SQL("NULL")),
                    SQL.identifier(name),
                )
                for name, sql_type in _COLUMNS.items()
            ),
            source,
        )

    def _sees(self, program):
        """Return the condition that the user may see a program.

        Rules hide whole cases; in a case of several programs, only these payments of it count.

        :param SQL program: column with its id, which may be empty
        """
        hidden = [] if self.env.su else self.env.user._g2p_hidden_programs()
        return SQL("%s <> ALL(%s)", program, hidden) if hidden else SQL("TRUE")

    def _query_unresolved(self):
        """People without account, by envelope and reason; none is left in an ended envelope."""
        return self._case_query(
            "payment_unresolved",
            SQL("e.id || ':' || coalesce(p.reason_code, '')"),
            SQL(
                """
                g2p_disbursement_envelope e CROSS JOIN LATERAL (
                    SELECT d.reason_code, max(d.reason) AS reason, count(*) AS n,
                           sum(d.amount) AS amount, min(d.state_since) AS since
                      FROM g2p_disbursement d
                     WHERE d.envelope_id = e.id AND d.state = 'unresolved'
                     GROUP BY d.reason_code) p
                 WHERE e.state NOT IN ('settled', 'cancelled')
                """
            ),
            **_OF_ENVELOPE,
            amount=SQL("p.amount"),
            payment_count=SQL("p.n"),
            since=SQL("p.since"),
            reason_code=SQL("p.reason_code"),
            reason=SQL("p.reason"),
        )

    def _query_ended(self, kind, state):
        """Payments that the bank refused or that came back, until somebody followed them up."""
        return self._case_query(
            kind,
            SQL("p.envelope_id || ':' || coalesce(p.reason_code, '')"),
            SQL(
                """
                (SELECT d.envelope_id, d.reason_code, max(d.reason) AS reason, count(*) AS n,
                        sum(d.amount) AS amount, min(d.state_since) AS since
                   FROM g2p_disbursement d
                  WHERE d.state = %(state)s AND d.state IN ('rejected', 'reversed')
                    AND d.followed_up_at IS NULL
                  GROUP BY d.envelope_id, d.reason_code) p
                  JOIN g2p_disbursement_envelope e ON e.id = p.envelope_id
                """,
                state=state,
            ),
            **_OF_ENVELOPE,
            amount=SQL("p.amount"),
            payment_count=SQL("p.n"),
            since=SQL("p.since"),
            reason_code=SQL("p.reason_code"),
            reason=SQL("p.reason"),
        )

    def _query_batches(self):
        """Batches that nobody can say the outcome of, with what no statement has proved yet."""
        return self._case_query(
            "batch_unknown",
            SQL("b.id::text"),
            SQL(
                """
                g2p_disbursement_batch b
                  JOIN g2p_disbursement_envelope e ON e.id = b.envelope_id
                 CROSS JOIN LATERAL (
                    SELECT sum(v.sign * j.disbursement_count) AS n, sum(v.sign * j.amount) AS amount
                      FROM g2p_disbursement_journal j
                     CROSS JOIN LATERAL (VALUES (j.target, 1), (j.source, -1)) v(state, sign)
                     WHERE j.batch_id = b.id AND v.state = 'unknown') t
                 WHERE b.state = 'unknown'
                """
            ),
            severity="1",
            **_OF_ENVELOPE,
            batch_id=SQL("b.id"),
            amount=SQL("t.amount"),
            payment_count=SQL("t.n"),
            since=SQL("b.state_since"),
            reason_code=SQL("b.reason_code"),
            reason=SQL("b.reason"),
        )

    def _query_envelopes(self):
        """Envelopes that a step failed for: no funds, a block that may be there, or another."""
        kind = SQL(
            "CASE WHEN %s THEN 'funds_missing' WHEN %s THEN 'block_unknown' ELSE 'stopped' END",
            _IS_FUNDS,
            IS_BLOCK,
        )
        return self._case_query(
            SQL("n.kind"),
            SQL("e.id::text"),
            SQL(
                """
                g2p_disbursement_envelope e
                 CROSS JOIN LATERAL (SELECT %(kind)s AS kind) n
                 CROSS JOIN LATERAL (
                    SELECT sum(v.sign * j.disbursement_count) AS n, sum(v.sign * j.amount) AS amount
                      FROM g2p_disbursement_journal j
                     CROSS JOIN LATERAL (VALUES (j.target, 1), (j.source, -1)) v(state, sign)
                     WHERE j.envelope_id = e.id
                       AND v.state IN ('received', 'unresolved', 'resolved', 'batched')) t
                 WHERE e.state = 'needs_attention'
                """,
                kind=kind,
            ),
            severity=SQL(
                "CASE WHEN e.is_paused THEN '3' WHEN n.kind = 'block_unknown' THEN '1' ELSE '2' END"
            ),
            **_OF_ENVELOPE,
            amount=SQL("t.amount"),
            payment_count=SQL("t.n"),
            since=SQL("e.state_since"),
            reason_code=SQL("e.attention_code"),
            reason=SQL("e.attention_message"),
        )

    def _query_health(self):
        """Banks and mappers that do not answer."""
        return self._case_query(
            "bank_down",
            SQL("h.id::text"),
            SQL("g2p_bank_health h WHERE h.open_until IS NOT NULL"),
            severity="1",
            health_id=SQL("h.id"),
            bank_id=SQL("h.bank_id"),
            mapper_id=SQL("h.mapper_id"),
            company_id=SQL("h.company_id"),
            since=SQL("h.down_since"),
            reason_code=SQL("h.last_error_code"),
            reason=SQL("h.last_error_message"),
        )

    def _query_lines(self):
        """Entries that did not match by themselves, by statement and reason."""
        return self._case_query(
            SQL(
                "CASE l.error_reason WHEN 'AMOUNT_MISMATCH' THEN 'entry_amount'"
                " WHEN 'DUPLICATE_DISBURSEMENT' THEN 'entry_duplicate' ELSE 'entry_unmatched' END"
            ),
            SQL("l.statement_id || ':' || coalesce(l.error_reason, '')"),
            SQL(
                """
                (SELECT n.statement_id, n.error_reason, count(*) AS n, sum(n.amount) AS amount,
                        min(n.id) AS first_id
                   FROM g2p_account_statement_line n
                   LEFT JOIN g2p_disbursement_envelope e ON e.id = n.envelope_id
                  WHERE n.outcome = 'error' AND NOT n.is_handled
                    AND (n.envelope_id IS NULL OR %s)
                  GROUP BY n.statement_id, n.error_reason) l
                  JOIN g2p_account_statement s ON s.id = l.statement_id
                  JOIN g2p_funding_account a ON a.id = s.account_id
                """,
                self._sees(SQL("e.program_id")),
            ),
            **_OF_ACCOUNT,
            statement_id=SQL("l.statement_id"),
            line_id=SQL("CASE WHEN l.n = 1 THEN l.first_id END"),
            amount=SQL("l.amount"),
            payment_count=SQL("l.n"),
            since=SQL("s.uploaded_at"),
            reason_code=SQL("l.error_reason"),
        )

    def _query_held(self):
        """Statements that are not booked before an officer decides."""
        return self._case_query(
            "statement_held",
            SQL("s.id::text"),
            SQL(
                "g2p_account_statement s JOIN g2p_funding_account a ON a.id = s.account_id"
                " WHERE s.state = 'held'"
            ),
            severity="1",
            **_OF_ACCOUNT,
            statement_id=SQL("s.id"),
            amount=SQL("nullif(abs(s.difference), 0)"),
            since=SQL("s.uploaded_at"),
            reason=SQL("s.hold_reason"),
        )

    def _query_untied(self):
        """Statements that were booked and do not add up, until somebody accepts that."""
        return self._case_query(
            "statement_untied",
            SQL("s.id::text"),
            SQL(
                "g2p_account_statement s JOIN g2p_funding_account a ON a.id = s.account_id"
                " WHERE NOT s.is_tied AND s.state IN ('received', 'processed')"
                # accepted when it was held: that was the decision
                " AND s.hold_reason IS NULL"
            ),
            **_OF_ACCOUNT,
            statement_id=SQL("s.id"),
            amount=SQL("abs(s.difference)"),
            since=SQL("s.uploaded_at"),
            mark=SQL("s.difference::text"),
        )

    def _query_gaps(self):
        """Statements that do not follow on the one before them, until somebody accepts that."""
        statements = self.env["g2p.account.statement"].sudo().with_context(lang="en_US")
        notes = statements._continuity_notes(SQL("TRUE"))
        return self._case_query(
            "statement_gap",
            SQL("s.id::text"),
            SQL(
                """
                unnest(%s::int[], %s::text[]) gap(id, note)
                  JOIN g2p_account_statement s ON s.id = gap.id
                  JOIN g2p_funding_account a ON a.id = s.account_id
                """,
                list(notes),
                list(notes.values()),
            ),
            **_OF_ACCOUNT,
            statement_id=SQL("s.id"),
            since=SQL("s.uploaded_at"),
            mark=SQL("gap.note"),
        )

    def _query_unconfirmed(self):
        """What was told ahead and should stand on a statement by now, until somebody accepts that.

        By then a later statement was booked, or as many days went by as a statement may take.
        """
        days = self.env["g2p.bridge"]._parameter("disbursement_sla_days")
        return self._case_query(
            "statement_unconfirmed",
            SQL("l.statement_id::text"),
            SQL(
                """
                (SELECT n.statement_id, count(*) AS n, sum(n.amount) AS amount
                   FROM g2p_account_statement_line n
                   JOIN g2p_account_statement ns ON ns.id = n.statement_id
                   JOIN g2p_disbursement_envelope e ON e.id = n.envelope_id
                   LEFT JOIN (SELECT account_id, max(closing_date) AS day
                                FROM g2p_account_statement
                               WHERE kind = 'statement' AND state = 'processed'
                               GROUP BY account_id) last ON last.account_id = ns.account_id
                  WHERE n.is_unconfirmed AND %(sees)s
                    AND (ns.uploaded_at < %(since)s
                         OR coalesce(n.entry_date, n.value_date) < last.day)
                  GROUP BY n.statement_id) l
                  JOIN g2p_account_statement s ON s.id = l.statement_id
                  JOIN g2p_funding_account a ON a.id = s.account_id
                """,
                sees=self._sees(SQL("e.program_id")),
                since=fields.Datetime.now() - timedelta(days=days),
            ),
            **_OF_ACCOUNT,
            statement_id=SQL("l.statement_id"),
            amount=SQL("l.amount"),
            payment_count=SQL("l.n"),
            since=SQL("s.uploaded_at"),
            mark=SQL("l.n || ' / ' || l.amount"),
        )

    def _query_late(self):
        """Accounts whose statement should have come, with what is on the way there."""
        late = self._find_late_statements()
        return self._case_query(
            "statement_late",
            SQL("a.id::text"),
            SQL(
                """
                unnest(%s::int[], %s::timestamp[], %s::int[], %s::numeric[])
                       late(account_id, since, n, amount)
                  JOIN g2p_funding_account a ON a.id = late.account_id
                """,
                *([row[column] for row in late] for column in range(4)),
            ),
            **_OF_ACCOUNT,
            amount=SQL("late.amount"),
            payment_count=SQL("late.n"),
            since=SQL("late.since"),
        )

    def _find_late_statements(self):
        """Return [(account id, due since, payments on the way, amount as text)]."""
        late = {
            row["envelope_id"]: row["due"].due_on
            for row in self.env["g2p.funding.account"]._awaited_statements(SQL("TRUE"))
            if row["due"].days_late
        }
        if not late:
            return []
        rows = self.env.execute_query(
            SQL(
                """
                SELECT e.funding_account_id, min(late.due_on), sum(t.n)::int, sum(t.amount)::text
                  FROM unnest(%s::int[], %s::date[]) late(envelope_id, due_on)
                  JOIN g2p_disbursement_envelope e ON e.id = late.envelope_id
                 CROSS JOIN LATERAL (
                    SELECT sum(v.sign * j.disbursement_count) AS n, sum(v.sign * j.amount) AS amount
                      FROM g2p_disbursement_journal j
                     CROSS JOIN LATERAL (VALUES (j.target, 1), (j.source, -1)) v(state, sign)
                     WHERE j.envelope_id = e.id AND v.state = 'sent') t
                 WHERE %s
                 GROUP BY e.funding_account_id
                """,
                list(late),
                list(late.values()),
                self._sees(SQL("e.program_id")),
            )
        )
        return [
            (account_id, datetime.combine(due, time.min), count, amount)
            for account_id, due, count, amount in rows
        ]

    def _query_differences(self):
        """What the check of all books found, by rule and by what it is about."""
        return self._case_query(
            "books_differ",
            SQL("concat_ws(':', f.rule, f.envelope_id, f.account_id)"),
            SQL(
                """
                (SELECT rule, company_id, envelope_id, account_id, max(id) AS last_id,
                        count(*) AS n, min(first_seen_at) AS since
                   FROM g2p_ledger_difference WHERE NOT coalesce(is_gone, FALSE)
                  GROUP BY rule, company_id, envelope_id, account_id) f
                  LEFT JOIN g2p_disbursement_envelope e ON e.id = f.envelope_id
                  LEFT JOIN g2p_funding_account a ON a.id = f.account_id
                """
            ),
            severity="1",
            envelope_id=SQL("f.envelope_id"),
            program_id=SQL("e.program_id"),
            funding_account_id=SQL("coalesce(a.id, e.funding_account_id)"),
            bank_id=SQL("coalesce(a.bank_id, e.bank_id)"),
            company_id=SQL("f.company_id"),
            currency_id=SQL("coalesce(e.currency_id, a.currency_id)"),
            difference_id=SQL("f.last_id"),
            payment_count=SQL("NULL"),
            since=SQL("f.since"),
            reason_code=SQL("f.rule"),
        )

    def _query_webhooks(self):
        """Program systems that take no events for some time; nothing of a payment waits for it."""
        return self._case_query(
            "webhook_down",
            SQL("w.id::text"),
            SQL(
                """
                g2p_webhook w JOIN g2p_benefit_program p ON p.id = w.program_id
                 CROSS JOIN LATERAL (
                    SELECT min(v.first_failed_at) AS since, max(v.last_error) AS reason
                      FROM g2p_webhook_event v
                     WHERE v.webhook_id = w.id AND v.first_failed_at IS NOT NULL) failed
                 WHERE w.active AND NOT coalesce(w.is_paused, FALSE) AND failed.since <= %s
                """,
                fields.Datetime.now() - FAILING_FOR,
            ),
            severity="3",
            program_id=SQL("w.program_id"),
            company_id=SQL("p.company_id"),
            since=SQL("failed.since"),
            reason=SQL("failed.reason"),
        )

    # -- in words -------------------------------------------------------------------------------

    #: whatever a sentence needs of the case, so that it comes with the same query
    @api.depends(
        "kind",
        "payment_count",
        "amount",
        "currency_id",
        "since",
        "reason_code",
        "reason",
        "envelope_id",
        "batch_id",
        "statement_id",
        "line_id",
        "difference_id",
        "bank_id",
        "mapper_id",
        "funding_account_id",
        "program_id",
        "disputed_at",
        "note",
    )
    @api.depends_context("lang", "tz")
    def _compute_name(self):
        for case in self:
            sentence = getattr(case, f"_sentence_{case.kind}", None)
            case.name = sentence() if sentence else case.reason or case.reason_code

    def _compute_display_name(self):
        for case in self:
            case.display_name = case.name

    @api.depends("envelope_id", "funding_account_id", "bank_id", "mapper_id", "program_id")
    def _compute_place(self):
        for case in self:
            envelope = case.envelope_id
            if envelope:
                case.place = f"{envelope.program_id.mnemonic} {envelope.cycle_code_mnemonic}"
            else:
                whose = case.funding_account_id or case.bank_id or case.mapper_id or case.program_id
                case.place = whose.display_name

    @api.depends("since")
    @api.depends_context("lang")
    def _compute_age(self):
        now = fields.Datetime.now()
        for case in self:
            case.age = case._age_in_words((now - case.since).total_seconds()) if case.since else ""

    def _age_in_words(self, seconds):
        minutes = max(int(seconds // 60), 0)
        if minutes < 60:
            return self.env._("%s min", minutes)
        if minutes < 48 * 60:
            return self.env._("%s h", minutes // 60)
        return self.env._("%s d", minutes // (24 * 60))

    def _count_in_words(self):
        return formatLang(self.env, self.payment_count, digits=0)

    def _reason_in_words(self):
        return in_words(self.env, self.reason_code, self.reason) or self.env._("no reason given")

    def _sentence_payment_unresolved(self):
        reason = self._reason_in_words()
        if self.payment_count == 1:
            return self.env._("No account known for 1 person: %s", reason)
        return self.env._(
            "No account known for %(count)s people: %(reason)s",
            count=self._count_in_words(),
            reason=reason,
        )

    def _sentence_payment_rejected(self):
        reason = self._reason_in_words()
        if self.payment_count == 1:
            return self.env._("The bank refused 1 payment: %s", reason)
        return self.env._(
            "The bank refused %(count)s payments: %(reason)s",
            count=self._count_in_words(),
            reason=reason,
        )

    def _sentence_payment_returned(self):
        reason = self._reason_in_words()
        if self.payment_count == 1:
            return self.env._("1 payment came back: %s", reason)
        return self.env._(
            "%(count)s payments came back: %(reason)s",
            count=self._count_in_words(),
            reason=reason,
        )

    def _sentence_batch_unknown(self):
        batch = self.batch_id
        if batch.proposed_decision:
            labels = dict(batch._fields["proposed_decision"]._description_selection(self.env))
            return self.env._(
                "%(person)s says of batch %(batch)s: %(decision)s. A second person has to confirm.",
                person=batch.proposed_by_id.name,
                batch=batch.name,
                decision=labels[batch.proposed_decision],
            )
        return self.env._("The bank did not answer for batch %s; it may have paid", batch.name)

    def _sentence_block_unknown(self):
        return self.env._("%s did not say whether it holds the funds", self.bank_id.name)

    def _sentence_funds_missing(self):
        sentence = self.env._(
            "%(bank)s has not got the %(amount)s",
            bank=self.bank_id.name,
            amount=self._amount_in_words(),
        )
        return self.env._("%s. The envelope is paused", sentence) if self.is_paused else sentence

    def _amount_in_words(self):
        return self.currency_id.format(self.amount) if self.currency_id else str(self.amount)

    def _sentence_stopped(self):
        return self.reason or self.env._("A step failed: %s", self.reason_code)

    def _sentence_bank_down(self):
        whose = self.bank_id or self.mapper_id
        return self.env._(
            "%(name)s does not answer since %(since)s",
            name=whose.display_name,
            since=format_datetime(self.env, self.since, dt_format="short"),
        )

    def _sentence_webhook_down(self):
        return self.env._(
            "The program system takes no events since %(since)s: %(reason)s",
            since=format_datetime(self.env, self.since, dt_format="short"),
            reason=self.reason,
        )

    def _sentence_entry_unmatched(self):
        reasons = dict(self.line_id._fields["error_reason"]._description_selection(self.env))
        reason = reasons.get(self.reason_code, self.reason_code)
        if self.payment_count > 1:
            return self.env._(
                "%(count)s entries of statement %(statement)s: %(reason)s",
                count=self._count_in_words(),
                statement=self.statement_id.display_name,
                reason=reason,
            )
        marks = dict(self.line_id._fields["mark"]._description_selection(self.env))
        return self.env._(
            "%(mark)s of %(amount)s on statement %(statement)s: %(reason)s",
            mark=marks.get(self.line_id.mark, self.line_id.mark),
            amount=self._amount_in_words(),
            statement=self.statement_id.display_name,
            reason=reason,
        )

    _sentence_entry_duplicate = _sentence_entry_unmatched

    def _sentence_entry_amount(self):
        payment = self.line_id.matched_disbursement_id
        if self.payment_count > 1 or not payment:
            return self._sentence_entry_unmatched()
        text = self.env._(
            "The bank moved %(moved)s, we ordered %(ordered)s (%(payment)s)",
            moved=self._amount_in_words(),
            ordered=self.currency_id.format(payment.amount),
            payment=payment.disbursement_id,
        )
        return self._with_dispute(text)

    def _with_dispute(self, text):
        if not self.disputed_at:
            return text
        return self.env._(
            "%(case)s. Disputed with the bank since %(day)s: %(note)s",
            case=text,
            day=format_date(self.env, self.disputed_at),
            note=self.note,
        )

    def _sentence_statement_held(self):
        return self.env._(
            "Statement %(statement)s is not booked: %(reason)s",
            statement=self.statement_id.display_name,
            reason=self.reason or "",
        )

    def _sentence_statement_untied(self):
        return self.env._(
            "Statement %(statement)s is off by %(amount)s",
            statement=self.statement_id.display_name,
            amount=self._amount_in_words(),
        )

    def _sentence_statement_gap(self):
        return self.env._(
            "A statement before %(statement)s is missing: %(reason)s",
            statement=self.statement_id.display_name,
            reason=self.statement_id.continuity_note or "",
        )

    def _sentence_statement_unconfirmed(self):
        return self.env._(
            "%(statement)s told of %(count)s entries, %(amount)s, that no statement shows",
            statement=self.statement_id.display_name,
            count=self._count_in_words(),
            amount=self._amount_in_words(),
        )

    def _sentence_statement_late(self):
        return self.env._(
            "No statement of %(account)s: it was due on %(day)s",
            account=self.funding_account_id.display_name,
            day=format_date(self.env, self.since),
        )

    def _sentence_books_differ(self):
        difference = self.difference_id
        return self.env._(
            "%(rule)s: %(expected)s expected, %(found)s found",
            rule=difference.display_name,
            expected=difference.expected or "-",
            found=difference.found or "-",
        )

    # -- buttons that show ----------------------------------------------------------------------

    def action_view_subject(self):
        """Open what the case is about: its payments, entries, batch, envelope, statement."""
        self.ensure_one()
        self.check_access("read")
        if self.kind.startswith("payment_"):
            return self._action_payments()
        if self.kind.startswith("entry_"):
            return self._action_entries()
        if self.kind == "statement_unconfirmed":
            action = self._action_of("g2p_account_statement_line_action")
            domain = [("statement_id", "=", self.statement_id.id), ("is_unconfirmed", "=", True)]
            return {**action, "domain": domain, "context": {"g2p_one_statement": True}}
        if self.kind == "books_differ":
            action = self._action_of("g2p_ledger_difference_action")
            domain = [("rule", "=", self.reason_code), ("envelope_id", "=", self.envelope_id.id)]
            return {**action, "domain": [*domain, ("is_gone", "=", False)], "context": {}}
        if self.kind == "bank_down":
            return self._action_of("g2p_bank_health_action")
        if self.kind == "webhook_down":
            return self._action_webhook()
        if self.kind == "statement_late":
            action = self._action_of("g2p_account_statement_action")
            return {
                **action,
                "domain": [("account_id", "=", self.funding_account_id.id)],
                "context": {},
            }
        return (self.batch_id or self.statement_id or self.envelope_id)._get_records_action()

    def _action_webhook(self):
        """Open the webhook, for those who may; its program for the others."""
        webhooks = self.env["g2p.webhook"]
        if not webhooks.has_access("read"):
            return self.program_id._get_records_action()
        return webhooks.search([("program_id", "=", self.program_id.id)])._get_records_action()

    def _action_of(self, xmlid):
        return self.env["ir.actions.act_window"]._for_xml_id(f"g2p_bridge.{xmlid}")

    def _action_payments(self):
        action = self._action_of("g2p_disbursement_action")
        return {
            **action,
            "name": self.name,
            "path": False,
            "domain": [
                ("envelope_id", "=", self.envelope_id.id),
                ("state", "=", PAYMENT_STATES[self.kind]),
                ("reason_code", "=", self.reason_code),
                *([] if self.kind == "payment_unresolved" else [("followed_up_at", "=", False)]),
            ],
            "context": {"g2p_one_envelope": True},
        }

    def _action_entries(self):
        if self.line_id:
            return self.line_id._get_records_action()
        action = self._action_of("g2p_account_statement_line_action_attention")
        return {
            **action,
            "name": self.name,
            "path": False,
            "domain": [
                ("statement_id", "=", self.statement_id.id),
                ("outcome", "=", "error"),
                ("is_handled", "=", False),
                ("error_reason", "=", self.reason_code),
            ],
            "context": {"g2p_one_statement": True},
        }

    def action_view_envelope(self):
        """Open the envelope of the case."""
        self.check_access("read")
        return self.envelope_id._get_records_action()

    def action_view_calls(self):
        """Open the calls to the bank or mapper that does not answer."""
        self.check_access("read")
        action = self._action_of("g2p_bank_call_action")
        whose = [("bank_id", "=", self.bank_id.id), ("mapper_id", "=", self.mapper_id.id)]
        return {**action, "domain": whose, "context": {}}

    # -- buttons that solve ---------------------------------------------------------------------

    def action_take(self):
        """See to the cases: their owner is whoever presses the button."""
        check_role(self, OFFICER)
        self._set_owner(self.env.user)
        return self._done()

    def action_check_books(self):
        """Have all books checked now (job)."""
        check_role(self, OFFICER)
        return self.env["g2p.ledger.difference"].action_check_all()

    def action_look_up_again(self):
        """Look up the accounts of all payments of the envelope that have none (jobs)."""
        self._of_kind("payment_unresolved")
        self.envelope_id.action_resolve()
        return self._done(self.env._("The accounts are looked up; look again in a minute."))

    def action_ask_bank(self):
        """Ask the bank what became of the batch (job)."""
        self._of_kind("batch_unknown")
        self.batch_id.action_disburse_funds_from_bank()
        return self._done(self.env._("The bank is asked; look again in a minute."))

    def action_confirm(self):
        """Confirm, as a second person, what somebody said of the batch.

        :raise AccessError: not an approver, or the one who said it
        """
        self._of_kind("batch_unknown")
        self.batch_id.action_confirm_decision()
        return self._done()

    def action_try_again(self):
        """Have the envelope's step tried again now."""
        self._of_kind("funds_missing", "block_unknown", "stopped")
        self.envelope_id.action_resume()
        return self._done(self.env._("It is tried again; look again in a minute."))

    def action_pause(self):
        """Hold the envelope: nothing is tried until somebody resumes it."""
        self._of_kind("funds_missing", "stopped")
        self.envelope_id.action_pause()
        return self._done()

    def action_test(self):
        """Let the next call to the bank or mapper through at once."""
        self._of_kind("bank_down")
        self.health_id.action_ask_again()
        return self._done(self.env._("The next call goes through; look again in a minute."))

    def action_upload(self):
        """Upload the statement that is missing."""
        self._of_kind(
            "statement_gap",
            "statement_held",
            "statement_late",
            "statement_unconfirmed",
            "statement_untied",
        )
        return self._action_of("g2p_upload_statement_action")

    def action_decide(self):
        """Say what the bank or its statement could not: in the wizard of the case's kind."""
        self._of_kind("batch_unknown", "block_unknown", "statement_held")
        wizard, field, record = {
            "batch_unknown": ("g2p_decide_batch_action", "batch_id", self.batch_id),
            "block_unknown": ("g2p_decide_block_action", "envelope_id", self.envelope_id),
            "statement_held": ("g2p_decide_statement_action", "statement_id", self.statement_id),
        }[self.kind]
        return {**self._action_of(wizard), "context": {f"default_{field}": record.id}}

    def action_match(self):
        """Name the payment that the entry belongs to."""
        self._of_kind("entry_amount", "entry_duplicate", "entry_unmatched")
        if not self.line_id:
            return self._action_entries()
        action = self._action_of("g2p_match_entry_action")
        return {**action, "context": {"default_line_id": self.line_id.id}}

    def action_dismiss(self):
        """Say what the entry is that belongs to no payment of ours."""
        self._of_kind("entry_amount", "entry_duplicate", "entry_unmatched")
        if not self.line_id:
            return self._action_entries()
        action = self._action_of("g2p_dismiss_entry_action")
        return {**action, "context": {"default_line_ids": [self.line_id.id]}}

    def action_leave_out(self):
        """Have the people without account not be paid: in a wizard that asks why."""
        return self._action_decision("leave_out", "payment_unresolved")

    def action_hand_back(self):
        """Leave it to the program to pay these people anew: in a wizard that asks why."""
        return self._action_decision("hand_back", "payment_rejected", "payment_returned")

    def action_reissue(self):
        """Pay these people anew by an envelope of its own: in a wizard."""
        self._of_kind("payment_rejected", "payment_returned")
        action = self._action_of("g2p_reissue_action")
        return {**action, "context": {"default_envelope_id": self.envelope_id.id}}

    def action_accept(self):
        """Accept the statements as they are: in a wizard that asks why."""
        return self._action_decision(
            "accept", "statement_gap", "statement_unconfirmed", "statement_untied"
        )

    def action_dispute(self):
        """Note that the bank was asked to put the amount right: in a wizard that asks why."""
        return self._action_decision("dispute", "entry_amount", "entry_duplicate")

    def action_assign(self):
        """Give the cases to somebody: in a wizard."""
        check_role(self, OFFICER)
        return {
            **self._action_of("g2p_assign_case_action"),
            "context": {"default_keys": self.mapped("key")},
        }

    def _action_decision(self, decision, *kinds):
        self._of_kind(*kinds)
        return {
            **self._action_of("g2p_decide_case_action"),
            "name": self.name,
            "context": {"default_key": self.key, "default_decision": decision},
        }

    def _of_kind(self, *kinds):
        """Let an officer pass with a case that is still there, and of one of the kinds.

        :raise AccessError: not an officer, or the case is another company's
        :raise UserError: it is solved meanwhile, or its kind has no such button
        """
        check_role(self.browse(), OFFICER)
        if not self.exists():
            raise UserError(self.env._("The case is solved already."))
        self.ensure_one()
        check_role(self, OFFICER)
        if self.kind not in kinds:
            raise UserError(self.env._("This step is not for a case of this kind."))

    def _done(self, message=None):
        """Return the action that shows the list anew, and says what goes on."""
        reload = {"type": "ir.actions.client", "tag": "soft_reload"}
        if not message:
            return reload
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {"type": "info", "message": message, "next": reload},
        }

    # -- what people add ------------------------------------------------------------------------

    @api.private
    def _set_owner(self, user):
        """Have somebody see to the cases; empty: nobody."""
        for case in self:
            case._keep(user_id=user.id)

    @api.private
    def _keep(self, **values):
        """Keep something by the key of the case."""
        notes = self.env["g2p.attention.case"].sudo()  # nobody may write them directly
        note = notes.search([("key", "=", self.key)])
        if note:
            note.write(values)
        else:
            notes.create({**self._prepare_note_vals(), **values})
        self.env.flush_all()
        self.env.invalidate_all()

    def _prepare_note_vals(self):
        """Return what says of a note whose it is, also when its case is solved."""
        return {
            "key": self.key,
            "company_id": self.company_id.id,
            "program_id": self.program_id.id,
            "funding_account_id": self.funding_account_id.id,
        }

    @api.private
    def _keep_decision(self, note, **values):
        """Keep who decided what about the case, when and why."""
        self._keep(
            note=note,
            decided_by_id=self.env.uid,
            decided_at=fields.Datetime.now(),
            **values,
        )


#: kind of case -> state of its payments
PAYMENT_STATES = {
    "payment_unresolved": "unresolved",
    "payment_rejected": "rejected",
    "payment_returned": "reversed",
}
