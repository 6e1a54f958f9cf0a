"""Payments that an entry of a statement may belong to, for an officer to choose from."""

from odoo import api, models
from odoo.fields import Domain
from odoo.tools import SQL

#: most payments that are offered; whoever knows the id types it
MAX_CANDIDATES = 200


class AccountStatementLine(models.Model):
    """Which open payments fit."""

    _inherit = "g2p.account.statement.line"

    @api.private
    def _find_candidates(self):
        """Return payments of the entry's amount and account that it could move, newest first."""
        self.ensure_one()
        if self.mark == "RC":
            return self.env["g2p.disbursement"]
        target = "reconciled" if self.mark == "D" else "reversed"
        rows = self.env.execute_query(
            SQL(
                """
                SELECT d.id FROM g2p_disbursement d
                  JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id
                 WHERE e.funding_account_id = %s AND d.amount = %s AND d.state = ANY(%s)
                   AND e.state NOT IN ('receiving', 'ready', 'approved', 'cancelled')
                 ORDER BY d.state_since DESC, d.id DESC LIMIT %s
                """,
                self.account_id.id,
                self.amount,
                list(self.env["g2p.disbursement"]._TRANSITIONS[target]),
                MAX_CANDIDATES,
            )
        )
        found = self.env["g2p.disbursement"].browse(row_id for (row_id,) in rows)
        return found._filtered_access("read")  # an account may be of programs for other people


class Disbursement(models.Model):
    """Payments in a drop-down: with the person and the state, where one is chosen."""

    _inherit = "g2p.disbursement"

    @api.depends_context("g2p_match_names")
    def _compute_display_name(self):
        if not self.env.context.get("g2p_match_names"):
            return super()._compute_display_name()
        labels = dict(self._fields["state"]._description_selection(self.env))
        for payment in self:
            payment.display_name = self.env._(
                "%(id)s: %(person)s (%(person_id)s), %(state)s, MIS %(reference)s",
                id=payment.disbursement_id,
                person=payment.beneficiary_name,
                person_id=payment.beneficiary_id,
                state=labels[payment.state],
                reference=payment.mis_reference_number,
            )
        return None

    @api.model
    def _search_display_name(self, operator, value):
        domain = Domain(super()._search_display_name(operator, value))
        if self.env.context.get("g2p_match_names"):
            domain |= Domain("beneficiary_name", operator, value)
        return domain
