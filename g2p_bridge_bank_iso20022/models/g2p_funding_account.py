import dataclasses

from odoo import api, models
from odoo.tools import SQL

from .g2p_sponsor_bank import CODE

#: payments that the bank has, or is about to get, and that no statement has shown yet
_COMMITTED = ("received", "unresolved", "resolved", "batched", "sent", "unknown")


class FundingAccount(models.Model):
    """What a bank that holds no funds has to be told by us: how much is left on the account."""

    _inherit = "g2p.funding.account"

    @api.private
    def _to_debtor_account(self):
        """Add what the last statement leaves for payments, where the bank's form asks for it."""
        account = super()._to_debtor_account()
        settings = account.options.get(CODE)
        if not settings or settings["funds_policy"] != "balance":
            return account
        options = {**account.options, CODE: {**settings, "balance": self._iso20022_balance()}}
        return dataclasses.replace(account, options=options)

    def _iso20022_balance(self):
        """Return what is known of the account's money.

        :return: dict of ``available`` (decimal text) and ``date`` (ISO) of the last statement that
            counts; empty where there is none
        """
        self.env.flush_all()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT closing_balance::text, closing_date FROM g2p_account_statement
                 WHERE account_id = %s AND state IN ('received', 'processed')
                   AND kind = 'statement' AND closing_date IS NOT NULL
                 ORDER BY closing_date DESC, id DESC LIMIT 1
                """,
                self.id,
            )
        )
        if not rows:
            return {}
        [(closing, day)] = rows
        [(available,)] = self.env.execute_query(
            SQL(
                "SELECT (%s::numeric - %s - %s)::text",
                closing,
                self._iso20022_committed(),
                self._iso20022_told_since(day),
            )
        )
        return {"available": available, "date": day.isoformat()}

    def _iso20022_committed(self):
        """Return the sum (SQL) of what envelopes with a block will still take from the account."""
        return SQL(
            """
            coalesce((
                SELECT sum(moves.sign * j.amount)
                  FROM g2p_disbursement_envelope e
                  JOIN g2p_disbursement_journal j ON j.envelope_id = e.id
                 CROSS JOIN LATERAL (VALUES (j.target, 1), (j.source, -1)) moves (state, sign)
                 WHERE e.funding_account_id = %s AND e.funds_blocked_reference_number <> ''
                   AND e.funds_released_at IS NULL
                   AND moves.state = ANY(%s)), 0)
            """,
            self.id,
            list(_COMMITTED),
        )

    def _iso20022_told_since(self, day):
        """Return the sum (SQL) of debits that notifications tell of after the last statement."""
        return SQL(
            """
            coalesce((
                SELECT sum(l.amount) FROM g2p_account_statement s
                  JOIN g2p_account_statement_line l ON l.statement_id = s.id
                 WHERE s.account_id = %s AND s.kind <> 'statement' AND l.outcome = 'reconciled'
                   AND coalesce(l.entry_date, l.value_date) > %s), 0)
            """,
            self.id,
            day,
        )
