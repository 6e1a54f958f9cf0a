from odoo import Command, fields, models

from ..const import MAX_REASON


class DismissEntry(models.TransientModel):
    """An officer says what entries are that belong to no payment of ours."""

    _name = "g2p.dismiss.entry"
    _inherit = ["g2p.record.wizard"]
    _description = "Dismiss statement entries"
    _SUBJECT = "line_ids"

    line_ids = fields.Many2many(
        "g2p.account.statement.line",
        string="Entries",
        required=True,
        readonly=True,
        default=lambda self: self._default_line_ids(),
    )
    note = fields.Char(string="Reason", required=True, size=MAX_REASON)

    def _default_line_ids(self):
        """Take the entries selected in the list."""
        if self.env.context.get("active_model") != "g2p.account.statement.line":
            return False
        return [Command.set(self.env.context.get("active_ids", []))]

    def action_dismiss(self):
        """Take the entries off the worklist; who, when and why stay with each.

        :raise AccessError: not an officer
        :raise UserError: one of them is not on the worklist
        """
        self.ensure_one()
        self.line_ids._dismiss(self.note)
