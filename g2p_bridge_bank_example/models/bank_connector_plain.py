from odoo import models


class PlainExampleBankConnector(models.AbstractModel):
    """OpenG2P's example bank as it is, without what ours adds to it.

    It knows no keys, cannot be asked what became of a payment, and frees no funds. So an officer
    decides what a call without an answer came to: the hardest kind of bank to be safe with.
    """

    _name = "g2p.bank.connector.example_plain"
    _inherit = "g2p.bank.connector.example"
    _description = "Connector to the example bank without keys, inquiry and release"

    supports_inquiry = False
    supports_release = False
    honours_idempotency_key = False

    def _headers(self, account, idempotency_key):
        return super()._headers(account, None)
