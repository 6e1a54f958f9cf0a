from odoo import fields, models

from ..const import MAX_REASON


class DecideStatement(models.TransientModel):
    """An officer takes a held statement as it is, or dismisses it."""

    _name = "g2p.decide.statement"
    _inherit = ["g2p.record.wizard"]
    _description = "Decide a held statement"
    _SUBJECT = "statement_id"

    statement_id = fields.Many2one(
        "g2p.account.statement", required=True, readonly=True, ondelete="cascade"
    )
    decision = fields.Selection(
        [
            ("accept", "Accept: its entries are matched as they are"),
            ("dismiss", "Dismiss: none of its entries counts"),
        ],
        required=True,
    )
    note = fields.Char(string="Reason", required=True, size=MAX_REASON)
    hold_reason = fields.Char(related="statement_id.hold_reason", related_sudo=False)

    def action_decide(self):
        """Accept or dismiss the statement; who, when and why stay with it.

        :raise AccessError: not an officer
        :raise UserError: the statement is not held
        """
        self.ensure_one()
        self.statement_id._decide(self.decision == "accept", self.note)
