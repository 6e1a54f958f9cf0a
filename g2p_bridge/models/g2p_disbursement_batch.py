from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .g2p_disbursement_envelope import STATE_TOTALS


class DisbursementBatch(models.Model):
    """What goes to the bank in one call: payments of one envelope."""

    _name = "g2p.disbursement.batch"
    _description = "Disbursement batch"
    _inherit = ["g2p.state.mixin", "mail.thread"]
    _order = "id"

    _TRANSITIONS = {
        "acknowledged": ("ready", "unknown"),
        "rejected": ("ready", "unknown"),
        "unknown": ("ready",),
    }

    name = fields.Char(required=True, readonly=True, copy=False)
    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, index=True, ondelete="restrict"
    )
    program_id = fields.Many2one(related="envelope_id.program_id", store=True)
    bank_id = fields.Many2one(related="envelope_id.bank_id", store=True)
    company_id = fields.Many2one(related="envelope_id.company_id", store=True)
    currency_id = fields.Many2one(related="envelope_id.currency_id")
    destination_bank_code = fields.Char(string="Destination bank", readonly=True)
    state = fields.Selection(
        [
            ("ready", "Ready"),
            ("acknowledged", "Acknowledged"),
            ("rejected", "Rejected"),
            ("unknown", "Outcome unknown"),
        ],
        required=True,
        readonly=True,
        default="ready",
        group_expand=True,
        tracking=True,
    )
    is_sending = fields.Boolean(
        compute="_compute_is_sending", help="Its call to the bank is under way."
    )
    disbursement_count = fields.Integer(string="Payments", readonly=True)
    total_amount = fields.Monetary(readonly=True)
    bank_reference = fields.Char(readonly=True, copy=False)
    reason_code = fields.Char(readonly=True, copy=False)
    reason = fields.Char(readonly=True, copy=False)
    proposed_decision = fields.Selection(
        [("paid", "Was paid"), ("not_paid", "Was not paid")],
        string="Proposed",
        readonly=True,
        copy=False,
        tracking=True,
    )
    proposed_by_id = fields.Many2one("res.users", readonly=True, copy=False, tracking=True)
    proposed_at = fields.Datetime(readonly=True, copy=False)
    decision_note = fields.Char(readonly=True, copy=False, tracking=True)
    decided_by_id = fields.Many2one("res.users", readonly=True, copy=False, tracking=True)
    decided_at = fields.Datetime(readonly=True, copy=False)
    is_own_proposal = fields.Boolean(compute="_compute_is_own_proposal")
    disbursement_ids = fields.One2many("g2p.disbursement", "batch_id")
    call_ids = fields.One2many("g2p.bank.call", "batch_id", string="Bank calls")
    journal_ids = fields.One2many("g2p.disbursement.journal", "batch_id")

    sent_count = fields.Integer(compute="_compute_totals")
    sent_amount = fields.Monetary(compute="_compute_totals")
    reconciled_count = fields.Integer(compute="_compute_totals")
    reconciled_amount = fields.Monetary(compute="_compute_totals")
    reversed_count = fields.Integer(compute="_compute_totals")
    reversed_amount = fields.Monetary(compute="_compute_totals")
    rejected_count = fields.Integer(compute="_compute_totals")
    rejected_amount = fields.Monetary(compute="_compute_totals")
    unknown_count = fields.Integer(compute="_compute_totals")
    unknown_amount = fields.Monetary(compute="_compute_totals")

    _name_uniq = models.Constraint("UNIQUE (name)", "Batch name exists already.")
    _open_idx = models.Index("(envelope_id, state, id) WHERE state IN ('ready', 'unknown')")

    @api.depends("journal_ids")
    def _compute_totals(self):
        totals = self.env["g2p.disbursement.journal"]._totals_by_state(batches=self)
        for batch in self:
            for state in STATE_TOTALS & {"sent", "reconciled", "reversed", "rejected", "unknown"}:
                count, amount = totals.get(batch.id, {}).get(state, (0, 0.0))
                batch[f"{state}_count"] = count
                batch[f"{state}_amount"] = amount

    @api.depends("call_ids.state", "state")
    def _compute_is_sending(self):
        for batch in self:
            batch.is_sending = batch.state == "ready" and any(
                call.state == "started" for call in batch.sudo().call_ids
            )

    @api.depends("proposed_by_id")
    @api.depends_context("uid")
    def _compute_is_own_proposal(self):
        for batch in self:
            batch.is_own_proposal = batch.proposed_by_id == self.env.user

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Batches are never deleted."))

    def action_view_disbursements(self):
        """Open the payments of the batch."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_disbursement_action")
        return {**action, "domain": [("batch_id", "=", self.id)], "context": {}}

    @api.private
    def _set_acknowledged(self, acknowledgement):
        """The bank took the batch: its payments are sent, but for those it refused at once.

        :param dict acknowledgement: ``reference``, and ``rejected``: list of [end-to-end id, code]
        """
        self.ensure_one()
        # the usual way leaves no chatter, as a batch that had a problem does
        usual = self.with_context(tracking_disable=self.state == "ready")
        if not usual._transition(
            "acknowledged",
            bank_reference=acknowledgement["reference"],
            reason_code=False,
            reason=False,
        ):
            return
        disbursements = self.env["g2p.disbursement"]
        if acknowledgement["rejected"]:
            references, codes = zip(*acknowledgement["rejected"], strict=True)
            disbursements._bulk_transition(
                "rejected",
                SQL("d.batch_id = %s AND d.disbursement_id = refused.reference", self.id),
                cause=self.name,
                assign=SQL("reason_code = refused.code"),
                from_clause=SQL(
                    "unnest(%s, %s) AS refused(reference, code)", list(references), list(codes)
                ),
            )
        disbursements._bulk_transition(
            "sent",
            SQL("d.batch_id = %s", self.id),
            cause=self.name,
            assign=SQL("bank_reference = %s", acknowledgement["reference"] or None),
        )

    @api.private
    def _set_rejected(self, code, reason):
        """The bank surely refused the batch: none of its payments is made."""
        for batch in self._transition("rejected", reason_code=code, reason=reason):
            self.env["g2p.disbursement"]._bulk_transition(
                "rejected",
                SQL("d.batch_id = %s", batch.id),
                cause=batch.name,
                assign=SQL("reason_code = %s, reason = %s", code, reason),
            )

    @api.private
    def _set_unknown(self, code, reason):
        """Nobody can say whether the bank has the batch: an inquiry or an officer decides."""
        for batch in self._transition("unknown", reason_code=code, reason=reason):
            self.env["g2p.disbursement"]._bulk_transition(
                "unknown", SQL("d.batch_id = %s", batch.id), cause=batch.name
            )
