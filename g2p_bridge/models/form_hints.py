"""What the forms of the set-up fill in by themselves, for a person to change."""

import re
import unicodedata

from odoo import api, models


def code_of(name):
    """Return a short name in capitals, digits and underscores, as for a name such as `Plan B`."""
    plain = unicodedata.normalize("NFKD", name or "").encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_")[:32]


class EndpointMixin(models.AbstractModel):
    """Addresses as people paste them."""

    _inherit = "g2p.endpoint.mixin"

    @api.onchange("base_url")
    def _onchange_base_url(self):
        """Take blanks off, and put https:// in front where no scheme is."""
        url = (self.base_url or "").strip()
        if url and "://" not in url:
            url = f"https://{url}"
        self.base_url = url or False


class SponsorBank(models.Model):
    _inherit = "g2p.sponsor.bank"

    @api.onchange("name")
    def _onchange_name(self):
        """Suggest a code for a new bank; and the connector, where there is only one."""
        if not self.code and self.name:
            self.code = code_of(self.name) or False
        choices = self._fields["connector"]._description_selection(self.env)
        if not self.connector and len(choices) == 1:
            self.connector = choices[0][0]

    @api.onchange("code")
    def _onchange_code(self):
        if self.code:
            self.code = code_of(self.code) or self.code


class FundingAccount(models.Model):
    _inherit = "g2p.funding.account"

    @api.onchange("name")
    def _onchange_name(self):
        """Take the bank where there is only one."""
        if not self.bank_id:
            banks = self.env["g2p.sponsor.bank"].search(
                [("company_id", "=", self.env.company.id)], limit=2
            )
            if len(banks) == 1:
                self.bank_id = banks

    @api.onchange("account_number")
    def _onchange_account_number(self):
        """Take the blanks out with which banks print their numbers."""
        if self.account_number:
            self.account_number = "".join(self.account_number.split())


class BenefitProgram(models.Model):
    _inherit = "g2p.benefit.program"

    @api.onchange("name")
    def _onchange_name(self):
        """Suggest a mnemonic for a new program, and the account and mapper if there is one."""
        if not self.mnemonic and self.name:
            self.mnemonic = code_of(self.name) or False
        is_new = not self.funding_account_id
        for field in ("funding_account_id", "mapper_id"):
            if not self[field]:
                found = self[field].search([("company_id", "=", self.company_id.id)], limit=2)
                if len(found) == 1:
                    self[field] = found
        return self._onchange_funding_account_id() if is_new else {}

    @api.onchange("funding_account_id")
    def _onchange_funding_account_id(self):
        """Say before the first envelope what would stop it."""
        bank = self.funding_account_id.bank_id
        if not bank or bank._connector_or_none() is not None:
            return {}
        return {
            "warning": {
                "title": self.env._("Nothing can be sent to this bank yet"),
                "message": self.env._(
                    "%s has no connector: its envelopes would wait. Choose one on its form.",
                    bank.name,
                ),
            }
        }
