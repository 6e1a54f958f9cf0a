from odoo import api, fields, models

from ..connectors.dto import BANK_ACCOUNT, EMAIL_WALLET, MOBILE_WALLET


class AccountLink(models.Model):
    """A beneficiary's account in the built-in mapper table."""

    _name = "g2p.account.link"
    _description = "Account link"
    _order = "beneficiary_id"
    _rec_name = "beneficiary_id"

    _FA_TYPES = [
        (BANK_ACCOUNT, "Bank account"),
        (MOBILE_WALLET, "Mobile wallet"),
        (EMAIL_WALLET, "E-mail wallet"),
    ]

    mapper_id = fields.Many2one(
        "g2p.account.mapper",
        required=True,
        ondelete="cascade",
        default=lambda self: self.env["g2p.account.mapper"].search(
            [("provider", "=", "local")], limit=1
        ),
        domain=[("provider", "=", "local")],
    )
    company_id = fields.Many2one(related="mapper_id.company_id", store=True)
    active = fields.Boolean(default=True)
    beneficiary_id = fields.Char(required=True, string="Beneficiary ID")
    fa_type = fields.Selection(_FA_TYPES, required=True, default=BANK_ACCOUNT, string="Kind")
    account_number = fields.Char(groups="g2p_bridge.group_account_viewer")
    bank_code = fields.Char()
    branch_code = fields.Char()
    mobile_number = fields.Char(groups="g2p_bridge.group_account_viewer")
    email_address = fields.Char(groups="g2p_bridge.group_account_viewer")
    wallet_provider = fields.Char()

    _beneficiary_uniq = models.Constraint(
        "UNIQUE (mapper_id, beneficiary_id)", "This beneficiary has a link in this mapper already."
    )
    _address_complete = models.Constraint(
        "CHECK ((fa_type = 'BANK_ACCOUNT' AND coalesce(account_number, '') <> '')"
        " OR (fa_type = 'MOBILE_WALLET' AND coalesce(mobile_number, '') <> '')"
        " OR (fa_type = 'EMAIL_WALLET' AND coalesce(email_address, '') <> ''))",
        "A bank account needs its number, a mobile wallet its mobile number, an e-mail wallet its"
        " address.",
    )

    @api.model
    def get_import_templates(self):
        """Offer the CSV template in Odoo's import screen."""
        return [
            {
                "label": self.env._("Import template for account links"),
                "template": "/g2p_bridge/static/xls/account_links.csv",
            }
        ]
