from odoo import fields, models

from ..models.roles import OFFICER, check_role


class AssignCase(models.TransientModel):
    """An officer says who sees to cases of the worklist."""

    _name = "g2p.assign.case"
    _description = "Assign cases that need attention"

    keys = fields.Json(required=True)
    user_id = fields.Many2one(
        "res.users",
        string="Owner",
        domain="[('share', '=', False)]",
        default=lambda self: self.env.user,
        help="Empty: nobody in particular.",
    )

    def action_assign(self):
        """Give the cases to the person, or to nobody.

        :raise AccessError: not an officer
        """
        self.ensure_one()
        cases = self.env["g2p.attention"].search([("key", "in", list(self.keys))])
        check_role(cases, OFFICER)
        cases._set_owner(self.user_id)
        return {"type": "ir.actions.client", "tag": "soft_reload"}
