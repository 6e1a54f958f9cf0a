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
    reference = fields.Char(string="or its ID", help="The whole ID, as on the payment.")
    disbursement_id = fields.Many2one(
        "g2p.disbursement",
        string="Payment",
        compute="_compute_disbursement_id",
        store=True,
        readonly=False,
    )
    candidate_ids = fields.Many2many("g2p.disbursement", compute="_compute_candidate_ids")
    candidate_count = fields.Integer(compute="_compute_candidate_ids")
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
            if reference := (wizard.reference or "").strip().upper():
                wizard.disbursement_id = self.env["g2p.disbursement"].search(
                    [("disbursement_id", "=", reference)]
                )

    @api.depends("line_id")
    def _compute_candidate_ids(self):
        for wizard in self:
            # the wizard's own check refuses an entry that its user may not read
            wizard.line_id.check_access("read")
            found = wizard.line_id and wizard.line_id._find_candidates()
            wizard.candidate_ids = found
            wizard.candidate_count = len(found)

    def action_match(self):
        """Book the entry on the payment; who, when and why stay with the entry.

        :raise AccessError: not an officer
        :raise UserError: no such payment, it does not agree with the entry, or the entry is
            handled already
        """
        self.ensure_one()
        if not self.disbursement_id:
            raise UserError(
                self.env._("There is no payment %s.", self.reference)
                if self.reference
                else self.env._("Choose the payment that the entry belongs to.")
            )
        self.disbursement_id.check_access("read")
        self.line_id._match_by_hand(self.disbursement_id, self.note)
