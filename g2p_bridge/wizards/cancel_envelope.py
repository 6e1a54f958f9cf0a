from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import MAX_REASON
from ..models.g2p_disbursement_envelope import CANCELLABLE
from ..models.roles import OFFICER, check_role
from ..models.words import money_text, payments_text


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
    consequence = fields.Char(string="What happens", compute="_compute_consequence")

    @api.depends("envelope_id")
    def _compute_consequence(self):
        for wizard in self:
            envelope = wizard.envelope_id
            envelope.check_access("read")
            currency = envelope.currency_id
            said = {
                "payments": payments_text(self.env, envelope.total_received_count),
                "amount": money_text(self.env, envelope.total_received_amount, currency),
            }
            if envelope.funds_blocked_reference_number:
                wizard.consequence = self.env._(
                    "This cancels %(payments)s, %(amount)s, for good, and releases %(held)s at"
                    " %(bank)s.",
                    held=money_text(self.env, envelope.funds_blocked_amount, currency),
                    bank=envelope.bank_id.name,
                    **said,
                )
            else:
                wizard.consequence = self.env._(
                    "This cancels %(payments)s, %(amount)s, for good.", **said
                )

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
