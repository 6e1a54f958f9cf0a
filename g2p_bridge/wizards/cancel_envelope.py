from odoo import fields, models
from odoo.exceptions import UserError

from ..const import MAX_REASON
from ..models.g2p_disbursement_envelope import CANCELLABLE
from ..models.roles import OFFICER, check_role


class CancelEnvelope(models.TransientModel):
    """An officer cancels an envelope of which no money can have moved."""

    _name = "g2p.cancel.envelope"
    _inherit = ["g2p.record.wizard"]
    _description = "Cancel an envelope"
    _SUBJECT = "envelope_id"

    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, ondelete="cascade"
    )
    reason = fields.Char(required=True, size=MAX_REASON)
    currency_id = fields.Many2one(related="envelope_id.currency_id", related_sudo=False)
    payment_count = fields.Integer(related="envelope_id.total_received_count", related_sudo=False)
    payment_amount = fields.Monetary(
        related="envelope_id.total_received_amount", related_sudo=False
    )
    funds_blocked_amount = fields.Monetary(
        related="envelope_id.funds_blocked_amount", related_sudo=False
    )
    funds_blocked_reference_number = fields.Char(
        related="envelope_id.funds_blocked_reference_number", related_sudo=False
    )
    bank_id = fields.Many2one(related="envelope_id.bank_id", related_sudo=False)

    def action_cancel(self):
        """Cancel the envelope with all its payments, and give blocked funds back.

        :raise AccessError: not an officer
        :raise UserError: money may have moved, or it is cancelled already
        """
        self.ensure_one()
        envelope = self.envelope_id
        check_role(envelope, OFFICER)
        # nobody may write envelopes but their transitions
        with self.env["g2p.bridge"]._alone_with(envelope.sudo()) as alone:
            self._check_cancellable(alone)
            alone._set_cancelled(self.reason, "cancelled by an officer")
            alone._enqueue_release_funds()

    def _check_cancellable(self, envelope):
        if envelope.state == "cancelled":
            raise UserError(self.env._("%s is cancelled already.", envelope.display_name))
        state = envelope.resume_state if envelope.state == "needs_attention" else envelope.state
        if state not in CANCELLABLE:
            raise UserError(
                self.env._(
                    "Money of %s may have moved: it cannot be cancelled.", envelope.display_name
                )
            )
