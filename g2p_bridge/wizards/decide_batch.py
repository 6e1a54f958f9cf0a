from odoo import api, fields, models

from ..const import MAX_REASON
from ..models.words import money_text, payments_text


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
    consequence = fields.Char(string="What happens", compute="_compute_consequence")

    @api.depends("batch_id")
    def _compute_consequence(self):
        for wizard in self:
            batch = wizard.batch_id
            batch.check_access("read")
            wizard.consequence = self.env._(
                "This proposes what became of %(payments)s, %(amount)s. Ask the bank first. A"
                " second person, an approver, confirms it; then it cannot be taken back.",
                payments=payments_text(self.env, batch.disbursement_count),
                amount=money_text(self.env, batch.total_amount, batch.currency_id),
            )

    def action_decide(self):
        """Propose the decision; who, when and why stay with the batch.

        :raise AccessError: not an officer
        :raise UserError: the batch's outcome is not unknown
        """
        self.ensure_one()
        self.batch_id._propose(self.decision == "paid", self.note)
