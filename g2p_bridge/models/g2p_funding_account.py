from odoo import api, fields, models

from ..connectors import masking
from ..connectors.dto import DebtorAccount


class FundingAccount(models.Model):
    """The account at the sponsor bank that programs are paid from."""

    _name = "g2p.funding.account"
    _description = "Funding account"
    _inherit = ["mail.thread"]
    _order = "bank_id, name"
    _rec_names_search = ["name"]  # the number would be guessed, a character at a time

    name = fields.Char(required=True, help="As officers know the account; never its number.")
    active = fields.Boolean(default=True)
    bank_id = fields.Many2one(
        "g2p.sponsor.bank",
        required=True,
        index=True,
        ondelete="restrict",
        help="The sponsor bank that keeps the account.",
    )
    company_id = fields.Many2one(related="bank_id.company_id", store=True, index=True)
    account_number = fields.Char(
        required=True,
        groups="g2p_bridge.group_account_viewer",
        help="As the bank writes it in its statements (MT940 field 25, camt IBAN or Othr), without "
        "blanks. Others see its last digits only.",
    )
    account_masked = fields.Char(
        string="Account", compute="_compute_account_masked", compute_sudo=True
    )
    branch_code = fields.Char(help="Of the bank's branch, where the bank asks for it.")
    currency_id = fields.Many2one(
        "res.currency",
        required=True,
        ondelete="restrict",
        default=lambda self: self.env.company.currency_id,
        help="Of the account: envelopes and statements in another one are refused.",
    )
    funds_blocked_amount = fields.Monetary(
        string="Blocked so far", compute="_compute_funds", compute_sudo=True
    )
    funds_drawn_amount = fields.Monetary(
        string="Drawn by payments", compute="_compute_funds", compute_sudo=True
    )
    funds_released_amount = fields.Monetary(
        string="Released", compute="_compute_funds", compute_sudo=True
    )
    funds_held_amount = fields.Monetary(
        string="Held now", compute="_compute_funds", compute_sudo=True
    )
    funds_idle_amount = fields.Monetary(
        string="Held and idle",
        compute="_compute_funds",
        compute_sudo=True,
        help="Held by the bank for envelopes that will not use it.",
    )
    bank_releases = fields.Boolean(compute="_compute_bank_releases", compute_sudo=True)
    program_ids = fields.One2many("g2p.benefit.program", "funding_account_id")

    _account_uniq = models.Constraint(
        "UNIQUE (bank_id, account_number)", "This account of the bank exists already."
    )

    def _compute_funds(self):
        """Add up the blocks of the account's envelopes."""
        envelopes = self.env["g2p.disbursement.envelope"].search(
            [
                ("funding_account_id", "in", self.ids),
                ("funds_blocked_reference_number", "!=", False),
            ]
        )
        of_account = envelopes.grouped("funding_account_id")
        for account in self:
            blocks = of_account.get(account._origin, envelopes.browse())
            rounded = account.currency_id.round if account.currency_id else float
            for name in ("blocked", "drawn", "held", "idle"):
                field = f"funds_{name}_amount"
                account[field] = rounded(sum(blocks.mapped(field)))
            account.funds_released_amount = rounded(
                account.funds_blocked_amount
                - account.funds_drawn_amount
                - account.funds_held_amount
            )

    def _compute_bank_releases(self):
        for account in self:
            account.bank_releases = account.bank_id._releases_funds()

    def action_view_holding_envelopes(self):
        """Open the envelopes for which the bank holds funds of the account."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_disbursement_envelope_action"
        )
        domain = [
            ("funding_account_id", "in", self.ids),
            ("funds_blocked_reference_number", "!=", False),
            ("funds_released_at", "=", False),
        ]
        return {**action, "domain": domain, "context": {}}

    @api.depends("account_number")
    def _compute_account_masked(self):
        for account in self:
            account.account_masked = masking.mask_account(account.account_number or "")

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
            sign_requests=bank.sign_requests,
            options=bank._prepare_connector_options(),
        )
