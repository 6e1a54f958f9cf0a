from odoo import api, fields, models

from ..connectors.dto import DebtorAccount


class FundingAccount(models.Model):
    """The account at the sponsor bank that programs are paid from."""

    _name = "g2p.funding.account"
    _description = "Funding account"
    _inherit = ["mail.thread"]
    _order = "bank_id, name"
    _rec_names_search = ["name", "account_number"]

    name = fields.Char(required=True)
    active = fields.Boolean(default=True)
    bank_id = fields.Many2one("g2p.sponsor.bank", required=True, index=True, ondelete="restrict")
    company_id = fields.Many2one(related="bank_id.company_id", store=True, index=True)
    account_number = fields.Char(required=True)
    branch_code = fields.Char()
    currency_id = fields.Many2one(
        "res.currency",
        required=True,
        ondelete="restrict",
        default=lambda self: self.env.company.currency_id,
    )
    program_ids = fields.One2many("g2p.benefit.program", "funding_account_id")

    _account_uniq = models.Constraint(
        "UNIQUE (bank_id, account_number)", "This account of the bank exists already."
    )

    @api.depends("name", "bank_id.name")
    def _compute_display_name(self):
        for account in self:
            account.display_name = f"{account.name} ({account.bank_id.name})"

    @api.private
    def _to_debtor_account(self):
        """Return the account as its bank's connector takes it."""
        self.ensure_one()
        bank = self.bank_id.sudo()  # the secret is for system administrators and the connector
        return DebtorAccount(
            bank_code=bank.code,
            base_url=(bank.base_url or "").rstrip("/"),
            account_number=self.account_number,
            branch_code=self.branch_code or "",
            currency=self.currency_id.name,
            timeout_s=(bank.connect_timeout, bank.read_timeout),
            secret=bank.secret or "",
            options=bank._prepare_connector_options(),
        )
