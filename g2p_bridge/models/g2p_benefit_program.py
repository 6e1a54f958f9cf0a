from odoo import api, fields, models
from odoo.exceptions import ValidationError


class BenefitProgram(models.Model):
    """A program that pays benefits (OpenG2P: benefit_program_configuration)."""

    _name = "g2p.benefit.program"
    _description = "Benefit program"
    _inherit = ["mail.thread"]
    _order = "name"
    _rec_names_search = ["name", "mnemonic"]

    name = fields.Char(
        required=True, tracking=True, help="As officers and beneficiaries know the program."
    )
    mnemonic = fields.Char(
        required=True, copy=False, help="The program's name on the API (benefit_program_mnemonic)."
    )
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    funding_org_code = fields.Char(
        string="Funding organization code", help="Its short name in the state's books."
    )
    funding_org_name = fields.Char(
        string="Funding organization", help="Whose money is paid, such as a ministry."
    )
    funding_account_id = fields.Many2one(
        "g2p.funding.account",
        required=True,
        ondelete="restrict",
        tracking=True,
        help="New envelopes are paid from it; those that are there keep theirs.",
    )
    currency_id = fields.Many2one(related="funding_account_id.currency_id")
    id_mapper_resolution_required = fields.Boolean(
        string="Look up accounts",
        default=True,
        help="Accounts of beneficiaries are looked up in the account mapper. Without it, the "
        "beneficiary ids travel to the bank, which knows the accounts.",
    )
    mapper_id = fields.Many2one(
        "g2p.account.mapper",
        string="Account mapper",
        ondelete="restrict",
        help="Says to which account a beneficiary is paid.",
    )
    approval_required = fields.Boolean(
        tracking=True, help="A second person approves each envelope before money is asked for."
    )
    disbursement_sla_days = fields.Integer(
        string="Statement due after (days)",
        default=lambda self: self.env["g2p.bridge"]._parameter("disbursement_sla_days"),
        help="Days after the schedule date by which the bank's statement should have come.",
    )
    api_user_ids = fields.Many2many(
        "res.users",
        string="API users of the program",
        help="Users of the PBMS API that may work with this program. Empty: every user of the "
        "PBMS API.",
    )

    _mnemonic_uniq = models.Constraint(
        "UNIQUE (company_id, mnemonic)", "This program mnemonic exists already."
    )
    _sla_positive = models.Constraint(
        "CHECK (disbursement_sla_days >= 0)", "The statement cannot be due before the payment."
    )

    @api.constrains("id_mapper_resolution_required", "mapper_id")
    def _check_mapper(self):
        for program in self:
            if program.id_mapper_resolution_required and not program.mapper_id:
                raise ValidationError(
                    self.env._(
                        "Choose an account mapper for %s, or turn the look-up off.", program.name
                    )
                )

    @api.constrains("funding_account_id", "company_id")
    def _check_company(self):
        for program in self:
            if program.funding_account_id.company_id != program.company_id:
                raise ValidationError(
                    self.env._(
                        "Program %s and its funding account belong to different companies.",
                        program.name,
                    )
                )
