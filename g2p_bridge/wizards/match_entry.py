from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import MAX_REASON


class MatchEntry(models.TransientModel):
    """An officer names the payment that a statement entry belongs to."""

    _name = "g2p.match.entry"
    _inherit = ["g2p.record.wizard"]
    _description = "Match a statement entry by hand"
    _SUBJECT = "line_id"

    line_id = fields.Many2one(
        "g2p.account.statement.line", required=True, readonly=True, ondelete="cascade"
    )
    currency_id = fields.Many2one(related="line_id.currency_id", related_sudo=False)
    amount = fields.Monetary(
        related="line_id.amount", related_sudo=False, string="Amount of the entry"
    )
    error_reason = fields.Selection(related="line_id.error_reason", related_sudo=False)
    # an id typed or pasted, not a drop-down: names are searched for in millions of payments
    reference = fields.Char(
        string="Disbursement ID", required=True, help="The whole ID, as on the payment."
    )
    disbursement_id = fields.Many2one(
        "g2p.disbursement", string="Payment", compute="_compute_disbursement_id"
    )
    beneficiary_name = fields.Char(related="disbursement_id.beneficiary_name", related_sudo=False)
    payment_amount = fields.Monetary(
        related="disbursement_id.amount", related_sudo=False, string="Amount of the payment"
    )
    payment_state = fields.Selection(
        related="disbursement_id.state", related_sudo=False, string="State"
    )
    note = fields.Char(string="Reason", required=True, size=MAX_REASON)

    @api.depends("reference")
    def _compute_disbursement_id(self):
        for wizard in self:
            reference = (wizard.reference or "").strip().upper()
            wizard.disbursement_id = reference and self.env["g2p.disbursement"].search(
                [("disbursement_id", "=", reference)]
            )

    def action_match(self):
        """Book the entry on the payment; who, when and why stay with the entry.

        :raise AccessError: not an officer
        :raise UserError: no such payment, it does not agree with the entry, or the entry is
            handled already
        """
        self.ensure_one()
        if not self.disbursement_id:
            raise UserError(self.env._("There is no payment %s.", self.reference))
        self.line_id._match_by_hand(self.disbursement_id, self.note)
