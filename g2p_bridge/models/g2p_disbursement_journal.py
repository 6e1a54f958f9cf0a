from odoo import api, fields, models
from odoo.tools import SQL

from ..const import DISBURSEMENT_STATES
from .bulk_fields import BulkMany2one


class DisbursementJournal(models.Model):
    """How many payments, of how much money, went from one state to another, and why.

    Append-only: each set-based transition adds a few rows in its own transaction, so no two
    jobs write the same counter, and the numbers of an envelope or batch are sums over its rows.
    """

    _name = "g2p.disbursement.journal"
    _description = "Disbursement journal"
    _order = "id"
    _log_access = False

    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, index=True, ondelete="restrict"
    )
    batch_id = BulkMany2one("g2p.disbursement.batch", readonly=True, index="btree_not_null")
    source = fields.Selection(DISBURSEMENT_STATES, readonly=True, help="Empty: new payments.")
    target = fields.Selection(DISBURSEMENT_STATES, required=True, readonly=True)
    is_withdrawal = fields.Boolean(
        readonly=True,
        help="Cancelled while the envelope was still receiving: left room for replacements.",
    )
    disbursement_count = fields.Integer(string="Payments", required=True, readonly=True)
    amount = fields.Monetary(required=True, readonly=True)
    currency_id = fields.Many2one(related="envelope_id.currency_id")
    cause = fields.Char(readonly=True)
    user_id = BulkMany2one("res.users", readonly=True)
    created_at = fields.Datetime(string="When", readonly=True, required=True)
    idempotency_key = fields.Char(readonly=True)
    content_hash = fields.Char(readonly=True)

    _idempotency_key_uniq = models.UniqueIndex(
        "(envelope_id, idempotency_key) WHERE idempotency_key IS NOT NULL",
        "This idempotency key was used for this envelope already.",
    )

    #: what was paid and what came back, by time: Home adds up a month of it
    _paid_idx = models.Index("(created_at) WHERE target = 'reconciled' OR source = 'reconciled'")

    @api.private
    def _totals_by_state(self, envelopes=None, batches=None):
        """Return what stands in each state now.

        :return: dict of envelope (or batch) id -> {state: (count, amount as float)}; ``withdrawn``
            stands beside the states for what was cancelled while receiving
        """
        records = envelopes if envelopes is not None else batches
        column = "envelope_id" if envelopes is not None else "batch_id"
        totals = {record_id: {} for record_id in records.ids}
        if not totals:
            return totals
        rows = self.env.execute_query(
            SQL(
                """
                SELECT key, state, sum(n), sum(amount)
                  FROM (SELECT %(key)s AS key,
                               CASE WHEN is_withdrawal THEN 'withdrawn' ELSE target END AS state,
                               disbursement_count AS n, amount
                          FROM g2p_disbursement_journal WHERE %(key)s = ANY(%(ids)s)
                         UNION ALL
                        SELECT %(key)s, source, -disbursement_count, -amount
                          FROM g2p_disbursement_journal
                         WHERE %(key)s = ANY(%(ids)s) AND source IS NOT NULL) moves
                 GROUP BY key, state HAVING sum(n) <> 0
                """,
                key=SQL.identifier(column),
                ids=records.ids,
            )
        )
        for key, state, count, amount in rows:
            totals[key][state] = (int(count), amount)
        return totals
