"""Notifications and interim reports: entries that the bank tells ahead of its statement.

They move payments as a statement's entries do, so that a return is known at once. But a booking
counts once: as long as no statement shows it, the notification's entry stands for it and is
*unconfirmed*; the statement's entry takes its place, and the notification's is *noted*. What was
told ahead and changes nothing is noted as well, for the statement will show it. Where a statement
has a batch in one sum, and a notification the payments of it, the statement gets their entries, and
the sum is noted.
"""

from odoo import api, fields, models
from odoo.tools import SQL

#: references of one booking: MT940 has room for 16 characters, and a bank may give none
_SAME_REFERENCE = SQL(
    "(n.bank_reference IS NULL OR o.bank_reference IS NULL"
    " OR left(n.bank_reference, 16) = left(o.bank_reference, 16))"
)
#: of the same direction: a return is marked in two ways
_SAME_DIRECTION = SQL("replace(n.mark, 'RD', 'C') = replace(o.mark, 'RD', 'C')")


class AccountStatement(models.Model):
    """The same booking on a statement and in what came ahead of it."""

    _inherit = "g2p.account.statement"

    def _settle_same_bookings(self, lines):
        """Have each booking count once, by the entry of a statement where there is one.

        In the transaction that gave the entries their outcome, so nobody sees it counted twice.

        :param SQL lines: condition on those entries, as ``l``
        """
        self.env.flush_all()
        if not self._is_told_ahead():
            return
        touched = SQL(
            "(SELECT DISTINCT l.matched_disbursement_id AS payment_id"
            " FROM g2p_account_statement_line l"
            " WHERE %s AND l.matched_disbursement_id IS NOT NULL) touched",
            lines,
        )
        for step in (
            self._note_unmatched(lines),
            self._mark_unconfirmed(touched),
            self._take_over(touched),
            self._note_repeated(touched),
        ):
            # two slices at once: one of them starts over, which is no error
            self.env.cr.execute(step, log_exceptions=False)
        self.env.invalidate_all()

    def _is_told_ahead(self):
        """Say whether the bank tells of this account's entries ahead of its statements."""
        mine = [("account_id", "=", self.account_id.id), ("kind", "!=", "statement")]
        return bool(self.search_count(mine, limit=1))

    def _note_unmatched(self, lines):
        """Return the SQL that notes what was told ahead and is of no payment of ours."""
        return SQL(
            """
            UPDATE g2p_account_statement_line l SET outcome = 'noted', error_reason = NULL
              FROM g2p_account_statement s
             WHERE s.id = l.statement_id AND s.kind <> 'statement' AND %s
               AND l.outcome = 'error' AND NOT l.is_handled AND l.matched_disbursement_id IS NULL
            """,
            lines,
        )

    def _mark_unconfirmed(self, touched):
        """Return the SQL that marks what counts and was told ahead."""
        return SQL(
            """
            UPDATE g2p_account_statement_line n SET is_unconfirmed = TRUE
              FROM %s
              JOIN g2p_account_statement_line m ON m.matched_disbursement_id = touched.payment_id
              JOIN g2p_account_statement s ON s.id = m.statement_id AND s.kind <> 'statement'
             WHERE n.id = m.id AND n.outcome IN ('reconciled', 'reversed')
               AND n.is_unconfirmed IS NOT TRUE
            """,
            touched,
        )

    def _take_over(self, touched):
        """Return the SQL by which entries of statements stand for what was told ahead.

        Whatever their references: a statement that debits a payment twice has two entries, and
        the second one stays a duplicate. Of two, the one with the reference that was told is taken.
        """
        return SQL(
            """
            WITH pair AS (
                SELECT DISTINCT ON (n.id) n.id AS told_id, n.outcome, o.id AS line_id,
                       o.bank_reference, o.reversal_reason, o.reversal_details,
                       touched.payment_id
                  FROM %(touched)s
                  JOIN g2p_account_statement_line n
                       ON n.matched_disbursement_id = touched.payment_id AND n.is_unconfirmed
                  JOIN g2p_account_statement_line o
                       ON o.matched_disbursement_id = touched.payment_id
                      AND o.outcome = 'error' AND NOT o.is_handled AND o.amount = n.amount
                      AND %(same_direction)s
                      AND o.error_reason IN ('DUPLICATE_DISBURSEMENT', 'INVALID_REVERSAL')
                  JOIN g2p_account_statement s ON s.id = o.statement_id AND s.kind = 'statement'
                 ORDER BY n.id, (n.bank_reference = o.bank_reference) DESC NULLS LAST,
                          o.statement_id, o.entry_sequence),
            told AS (
                UPDATE g2p_account_statement_line l
                   SET outcome = 'noted', is_unconfirmed = FALSE
                  FROM pair WHERE l.id = pair.told_id),
            shown AS (
                UPDATE g2p_account_statement_line l
                   SET outcome = pair.outcome, error_reason = NULL
                  FROM pair WHERE l.id = pair.line_id)
            UPDATE g2p_disbursement d
               SET last_line_id = CASE WHEN d.last_line_id = moved.told_id THEN moved.line_id
                                       ELSE d.last_line_id END,
                   bank_reference = coalesce(moved.debit_reference, d.bank_reference),
                   reason_code = coalesce(d.reason_code, moved.reason_code),
                   reason = coalesce(d.reason, moved.reason),
                   changed_xid = pg_current_xact_id()::text::bigint
              FROM (SELECT payment_id,
                           max(told_id) FILTER (WHERE told_id = last.last_line_id) AS told_id,
                           max(line_id) FILTER (WHERE told_id = last.last_line_id) AS line_id,
                           max(pair.bank_reference) FILTER (WHERE outcome = 'reconciled')
                               AS debit_reference,
                           max(reversal_reason) FILTER (WHERE outcome = 'reversed') AS reason_code,
                           max(reversal_details) FILTER (WHERE outcome = 'reversed') AS reason
                      FROM pair JOIN g2p_disbursement last ON last.id = pair.payment_id
                     GROUP BY payment_id) moved
             WHERE d.id = moved.payment_id
            """,
            touched=touched,
            same_direction=_SAME_DIRECTION,
        )

    def _note_repeated(self, touched):
        """Return the SQL that notes what was told ahead and another entry says as well.

        Of another reference it is another booking, and waits in the worklist.
        """
        return SQL(
            """
            UPDATE g2p_account_statement_line l SET outcome = 'noted', error_reason = NULL
              FROM (SELECT n.id
                      FROM %(touched)s
                      JOIN g2p_account_statement_line n
                           ON n.matched_disbursement_id = touched.payment_id
                          AND n.outcome = 'error' AND NOT n.is_handled
                      JOIN g2p_account_statement s
                           ON s.id = n.statement_id AND s.kind <> 'statement'
                     WHERE EXISTS (
                           SELECT FROM g2p_account_statement_line o
                             JOIN g2p_account_statement os ON os.id = o.statement_id
                            WHERE o.matched_disbursement_id = touched.payment_id AND o.id <> n.id
                              AND o.amount = n.amount AND %(same_direction)s AND %(same_reference)s
                              AND (o.outcome IN ('reconciled', 'reversed')
                                   OR os.kind = 'statement' AND o.outcome = 'error'))) repeated
             WHERE l.id = repeated.id
            """,
            touched=touched,
            same_direction=_SAME_DIRECTION,
            same_reference=_SAME_REFERENCE,
        )

    def _take_batches_apart(self):
        """Give statements the entries of batches that a notification tells the payments of.

        When this statement, or notification, is matched as a whole; sums have come before their
        parts, or after them. All of a batch, or nothing.
        """
        self.env.flush_all()
        if not self._is_told_ahead():
            return
        # first by itself, of its own index: from the statements on it would read all their entries
        rows = self.env.execute_query(
            SQL(
                """
                WITH o AS MATERIALIZED (
                    SELECT id, statement_id, batch_reference FROM g2p_account_statement_line
                     WHERE outcome = 'error' AND NOT is_handled
                       AND matched_disbursement_id IS NULL AND batch_reference IS NOT NULL)
                SELECT DISTINCT ON (o.id) o.id, o.statement_id, n.statement_id, o.batch_reference
                  FROM o
                  JOIN g2p_account_statement s ON s.id = o.statement_id
                  JOIN g2p_account_statement_line n
                       ON n.batch_reference = o.batch_reference AND n.is_unconfirmed
                  JOIN g2p_account_statement ns
                       ON ns.id = n.statement_id AND ns.account_id = s.account_id
                 WHERE s.account_id = %s AND s.kind = 'statement'
                   AND s.state IN ('received', 'processed')
                 ORDER BY o.id, n.statement_id
                """,
                self.account_id.id,
            )
        )
        for whole_id, statement_id, notification_id, reference in rows:
            parts = SQL(
                "p.statement_id = %s AND p.batch_reference = %s", notification_id, reference
            )
            if self._are_parts_of(whole_id, parts):
                self.env.cr.execute(self._move_parts(whole_id, statement_id, parts))
        self.env.invalidate_all()

    def _are_parts_of(self, whole_id, parts):
        """Say whether entries that were told ahead are all of a batch, and each stands for one."""
        [(found,)] = self.env.execute_query(
            SQL(
                """
                SELECT count(p.id) >= max(o.transaction_count)
                       AND bool_and(p.outcome IN ('reconciled', 'reversed', 'error')
                                    AND NOT p.is_handled)
                       AND sum(CASE WHEN p.mark IN ('C', 'RD') THEN p.amount ELSE -p.amount END)
                           = max(CASE WHEN o.mark IN ('C', 'RD') THEN o.amount ELSE -o.amount END)
                  FROM g2p_account_statement_line o, g2p_account_statement_line p
                 WHERE o.id = %s AND %s
                """,
                whole_id,
                parts,
            )
        )
        return bool(found)

    def _move_parts(self, whole_id, statement_id, parts):
        """Return the SQL that gives a statement the parts of a batch; what told them is noted."""
        kept = SQL(
            "outcome, error_reason, is_handled, mark, amount, value_date, entry_date,"
            " customer_reference, bank_reference, batch_reference, narrative, transaction_count,"
            " disbursement_reference, beneficiary_name_from_bank, reversal_reason,"
            " reversal_details, matched_disbursement_id, envelope_id"
        )
        return SQL(
            """
            WITH part AS (
                SELECT p.*, last.place + row_number() OVER (ORDER BY p.entry_sequence) AS place
                  FROM g2p_account_statement_line p,
                       (SELECT max(entry_sequence) AS place FROM g2p_account_statement_line
                         WHERE statement_id = %(statement)s) last
                 WHERE %(parts)s),
            shown AS (
                INSERT INTO g2p_account_statement_line (statement_id, entry_sequence, %(kept)s)
                SELECT %(statement)s, place, %(kept)s FROM part RETURNING id, entry_sequence),
            told AS (
                UPDATE g2p_account_statement_line p
                   SET outcome = 'noted', error_reason = NULL, is_unconfirmed = FALSE
                 WHERE %(parts)s),
            whole AS (
                UPDATE g2p_account_statement_line SET outcome = 'noted', error_reason = NULL
                 WHERE id = %(whole)s)
            UPDATE g2p_disbursement d
               SET last_line_id = CASE WHEN d.last_line_id = part.id THEN shown.id
                                       ELSE d.last_line_id END,
                   changed_xid = pg_current_xact_id()::text::bigint
              FROM part JOIN shown ON shown.entry_sequence = part.place
             WHERE d.id = part.matched_disbursement_id AND part.outcome <> 'error'
            """,
            statement=statement_id,
            whole=whole_id,
            parts=parts,
            kept=kept,
        )


class AccountStatementLine(models.Model):
    """An entry that counts ahead of its statement, or beside it."""

    _inherit = "g2p.account.statement.line"

    statement_kind = fields.Selection(related="statement_id.kind", string="Kind of statement")
    is_unconfirmed = fields.Boolean(
        string="On no statement yet",
        readonly=True,
        help="A notification says so, and its payment was moved; no statement shows it yet.",
    )

    _unconfirmed_idx = models.Index("(statement_id) WHERE is_unconfirmed")
    _batch_idx = models.Index("(batch_reference) WHERE is_unconfirmed")

    @api.private
    def _confirm_by_hand(self, payment, target):
        """Have an entry of a statement stand for what was told ahead of the payment.

        :param str target: ``reconciled`` or ``reversed``
        :return: whether there was such an entry
        """
        self.ensure_one()
        reason = {"reconciled": "DUPLICATE_DISBURSEMENT", "reversed": "INVALID_REVERSAL"}[target]
        self.write(
            {
                "matched_disbursement_id": payment.id,
                "envelope_id": payment.envelope_id.id,
                "error_reason": reason,
            }
        )
        self.statement_id._settle_same_bookings(SQL("l.id = %s", self.id))
        return self.outcome == target
