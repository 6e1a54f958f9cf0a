from odoo import fields, models


class SponsorBank(models.Model):
    """The example bank as a choice of connector; it needs no settings of its own."""

    _inherit = "g2p.sponsor.bank"

    connector = fields.Selection(
        selection_add=[
            ("example", "Example Bank"),
            ("example_plain", "Example Bank without keys, inquiry and release"),
        ],
        ondelete={"example": "set null", "example_plain": "set null"},
    )
