from odoo import fields, models

from ..const import MAX_REASON


class DecideBatch(models.TransientModel):
    """An officer says what became of a batch for which the bank gave no answer.

    A second person, an approver, confirms it on the batch.
    """

    _name = "g2p.decide.batch"
    _inherit = ["g2p.record.wizard"]
    _description = "Decide an unknown batch"
    _SUBJECT = "batch_id"

    batch_id = fields.Many2one(
        "g2p.disbursement.batch", required=True, readonly=True, ondelete="cascade"
    )
    decision = fields.Selection(
        [
            ("paid", "The bank has the batch and pays it"),
            ("not_paid", "The bank has not got it and will never pay it"),
        ],
        required=True,
    )
    note = fields.Char(string="Reason", required=True, size=MAX_REASON)
    currency_id = fields.Many2one(related="batch_id.currency_id", related_sudo=False)
    disbursement_count = fields.Integer(related="batch_id.disbursement_count", related_sudo=False)
    total_amount = fields.Monetary(related="batch_id.total_amount", related_sudo=False)

    def action_decide(self):
        """Propose the decision; who, when and why stay with the batch.

        :raise AccessError: not an officer
        :raise UserError: the batch's outcome is not unknown
        """
        self.ensure_one()
        self.batch_id._propose(self.decision == "paid", self.note)
