from collections import Counter

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..connectors.dto import BANK_ACCOUNT, EMAIL_WALLET, MOBILE_WALLET
from ..services.financial_address import REQUIRED_PART


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
        help="The built-in table that the link is in.",
    )
    company_id = fields.Many2one(related="mapper_id.company_id", store=True)
    active = fields.Boolean(default=True)
    beneficiary_id = fields.Char(
        required=True,
        string="Beneficiary ID",
        help="Exactly as the program system sends it with a payment.",
    )
    fa_type = fields.Selection(_FA_TYPES, required=True, default=BANK_ACCOUNT, string="Kind")
    account_number = fields.Char(
        groups="g2p_bridge.group_account_viewer",
        help="Of the beneficiary, as the destination bank writes it.",
    )
    bank_code = fields.Char(
        help="Of the destination bank, as the sponsor bank knows it (BIC or national code)."
    )
    branch_code = fields.Char(help="Of the destination bank's branch, where it is asked for.")
    mobile_number = fields.Char(
        groups="g2p_bridge.group_account_viewer", help="Of the wallet, with its country code."
    )
    email_address = fields.Char(
        groups="g2p_bridge.group_account_viewer", help="That the wallet is known by."
    )
    wallet_provider = fields.Char(help="Who keeps the wallet, as the sponsor bank knows it.")

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

    @api.model_create_multi
    def create(self, vals_list):
        """Add links; refuse what the database would refuse, before it does.

        Its refusal puts the whole statement into the server's log, account numbers included.

        :raise ValidationError: a beneficiary has a link already, or an address is incomplete
        """
        self.check_access("create")
        defaults = self.default_get(["mapper_id", "fa_type"])
        self._check_new([{**defaults, **vals} for vals in vals_list], self.browse())
        return super().create(vals_list)

    def write(self, vals):
        """Change links, with the checks of :meth:`create`."""
        names = ("mapper_id", "beneficiary_id", "fa_type", *REQUIRED_PART.values())
        if vals.keys() & set(names):
            self.check_access("write")
            rows = self.sudo().read(names, load=None)
            self._check_new([{**row, **vals} for row in rows], self)
        return super().write(vals)

    def _check_new(self, rows, replaced):
        """Check links as they would be.

        :param list rows: dicts of their values
        :param recordset replaced: the links that they take the place of
        """
        for row in rows:
            if not row.get("mapper_id") or not row.get("beneficiary_id"):
                raise ValidationError(self.env._("A link needs a mapper and a beneficiary ID."))
            part = REQUIRED_PART.get(row.get("fa_type"))
            if part and not row.get(part):
                raise ValidationError(
                    self.env._(
                        "The link of %s lacks the address of its kind.", row["beneficiary_id"]
                    )
                )
        mappers = self.env["g2p.account.mapper"].browse({row["mapper_id"] for row in rows})
        mappers.check_access("read")  # before it is said what is in them
        keys = Counter((row.get("mapper_id"), row.get("beneficiary_id")) for row in rows)
        known = self.sudo().with_context(active_test=False)
        known = known.search_fetch(
            [
                ("beneficiary_id", "in", [person for _mapper, person in keys]),
                ("mapper_id", "in", mappers.ids),
                ("id", "not in", replaced.ids),
            ],
            ["mapper_id", "beneficiary_id"],
        )
        keys.update((link.mapper_id.id, link.beneficiary_id) for link in known)
        twice = sorted(person for (_mapper, person), count in keys.items() if person and count > 1)
        if twice:
            raise ValidationError(
                self.env._(
                    "These beneficiaries have a link in this mapper already: %s",
                    ", ".join(twice[:10]),
                )
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
