from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import MAX_REASON


class DecideBlock(models.TransientModel):
    """An officer says whether the bank holds the funds, where it gave no answer."""

    _name = "g2p.decide.block"
    _inherit = ["g2p.record.wizard"]
    _description = "Decide an unknown block of funds"
    _SUBJECT = "envelope_id"

    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, ondelete="cascade"
    )
    decision = fields.Selection(
        [
            ("blocked", "The bank holds the funds"),
            ("not_blocked", "The bank holds nothing and never will for this request"),
        ],
        required=True,
    )
    reference = fields.Char(string="Block reference", help="As the bank says it.")
    note = fields.Char(string="Reason", required=True, size=MAX_REASON)
    consequence = fields.Char(string="What happens", compute="_compute_consequence")

    @api.depends("envelope_id")
    def _compute_consequence(self):
        for wizard in self:
            wizard.envelope_id.check_access("read")
            wizard.consequence = self.env._(
                "%s did not say whether it holds the funds. Ask the bank first: nothing here can be"
                " taken back.",
                wizard.envelope_id.bank_id.name,
            )

    def action_decide(self):
        """Settle the block as decided; who, when and why stay with the envelope.

        :raise AccessError: not an officer
        :raise UserError: the reference is missing, or no block has an unknown outcome
        """
        self.ensure_one()
        if self.decision == "blocked" and not self.reference:
            raise UserError(self.env._("Enter the reference under which the bank holds the funds."))
        reference = self.reference if self.decision == "blocked" else ""
        self.envelope_id._decide_block(reference, self.note)
