from decimal import Decimal

from odoo import Command, api, fields, models
from odoo.exceptions import UserError

from ..const import DISBURSEMENT_STATES, MAX_REASON
from ..models.reason_words import without_code
from ..models.words import money_text, payments_text


class Reissue(models.TransientModel):
    """An officer has payments that did not arrive paid again, by an envelope of their own."""

    _name = "g2p.reissue"
    _inherit = ["g2p.record.wizard"]
    _description = "Reissue payments"
    _SUBJECT = "envelope_id"

    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, ondelete="cascade"
    )
    payment_ids = fields.Json(
        readonly=True, default=lambda self: self.env.context.get("g2p_payment_ids") or False
    )
    group_ids = fields.One2many(
        "g2p.reissue.group",
        "wizard_id",
        string="Payments that did not arrive",
        compute="_compute_group_ids",
        store=True,
        readonly=False,
        precompute=True,
    )
    schedule_date = fields.Date(
        required=True, default=lambda self: fields.Date.context_today(self), string="Pay on"
    )
    reason = fields.Char(required=True, size=MAX_REASON)
    currency_id = fields.Many2one(related="envelope_id.currency_id", related_sudo=False)
    approval_required = fields.Boolean(related="envelope_id.approval_required", related_sudo=False)
    payment_count = fields.Integer(compute="_compute_totals")
    payment_amount = fields.Monetary(compute="_compute_totals")
    consequence = fields.Char(string="What happens", compute="_compute_totals")
    reissued_count = fields.Integer(compute="_compute_not_offered")
    disputed_count = fields.Integer(compute="_compute_not_offered")

    @api.depends("envelope_id")
    def _compute_group_ids(self):
        labels = dict(
            self.env["g2p.disbursement"]._fields["state"]._description_selection(self.env)
        )
        for wizard in self:
            # the wizard's own check refuses an envelope that its user may not read
            wizard.envelope_id.sudo(False).check_access("read")
            found = (
                wizard.envelope_id._find_reissuable(wizard._selected_ids())
                if wizard.envelope_id
                else []
            )
            wizard.group_ids = [Command.clear()] + [
                Command.create(
                    {
                        "state": state,
                        "state_label": labels[state],
                        "reason_code": code,
                        "reason": without_code(self.env, code, reason),
                        "payment_count": count,
                        "amount": float(amount),
                        "exact_amount": str(amount),
                    }
                )
                for state, code, reason, count, amount in found
            ]

    @api.depends("group_ids.is_chosen")
    def _compute_totals(self):
        for wizard in self:
            chosen = wizard.group_ids.filtered("is_chosen")
            wizard.payment_count = sum(chosen.mapped("payment_count"))
            wizard.payment_amount = float(chosen._exact_sum())
            wizard.consequence = self.env._(
                "This pays %(payments)s, %(amount)s, again, by a new envelope. Their accounts are"
                " looked up again.",
                payments=payments_text(self.env, wizard.payment_count),
                amount=money_text(self.env, wizard.payment_amount, wizard.currency_id),
            )

    @api.depends("envelope_id")
    def _compute_not_offered(self):
        for wizard in self:
            wizard.envelope_id.check_access("read")
            wizard.reissued_count, wizard.disputed_count = (
                wizard.envelope_id._count_not_reissuable()
                if wizard.envelope_id and not wizard.payment_ids
                else (0, 0)
            )

    def _selected_ids(self):
        return {"ids": self.payment_ids} if self.payment_ids else None

    def action_reissue(self):
        """Open the new envelope with the chosen payments, and show it.

        :raise AccessError: not an officer
        :raise UserError: nothing is chosen, or something changed since it was shown
        """
        self.ensure_one()
        chosen = self.group_ids.filtered("is_chosen")
        if not chosen:
            raise UserError(self.env._("Choose at least one group of payments."))
        groups = [[group.state, group.reason_code or ""] for group in chosen]
        selection = {"groups": groups}
        if self.payment_ids:
            selection["ids"] = self.payment_ids
        expected = (sum(chosen.mapped("payment_count")), chosen._exact_sum())
        new_id = self.envelope_id._reissue(selection, self.schedule_date, self.reason, expected)
        # the new envelope is younger than this request's snapshot: the browser reads it
        return {
            "type": "ir.actions.act_window",
            "res_model": self.envelope_id._name,
            "res_id": new_id,
            "views": [(False, "form")],
            "target": "current",
        }


class ReissueGroup(models.TransientModel):
    """Payments that did not arrive for the same reason."""

    _name = "g2p.reissue.group"
    _description = "Payments to reissue"

    wizard_id = fields.Many2one("g2p.reissue", required=True, ondelete="cascade")
    is_chosen = fields.Boolean(string="Reissue", default=True)
    state = fields.Selection(DISBURSEMENT_STATES, readonly=True)
    state_label = fields.Char(string="What happened", readonly=True)
    reason_code = fields.Char(string="Code", readonly=True)
    reason = fields.Char(string="In words", readonly=True)
    payment_count = fields.Integer(string="Payments", readonly=True)
    amount = fields.Monetary(readonly=True)
    exact_amount = fields.Char(readonly=True)
    currency_id = fields.Many2one(related="wizard_id.currency_id", related_sudo=False)

    def _exact_sum(self):
        return sum((Decimal(group.exact_amount or 0) for group in self), Decimal(0))
