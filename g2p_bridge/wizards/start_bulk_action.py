from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import MAX_REASON
from ..models.g2p_bulk_action import KINDS
from ..models.words import number_text

#: model -> the steps that may be asked for
STEPS = {
    "g2p.disbursement": ("resolve", "leave_out"),
    "g2p.disbursement.envelope": ("retry", "assign"),
    "g2p.account.statement": ("assign",),
    "g2p.account.statement.line": ("dismiss",),
}


class StartBulkAction(models.TransientModel):
    """Before a step is done with all that is selected: with how many, and how much money."""

    _name = "g2p.start.bulk.action"
    _description = "Start a bulk action"

    kind = fields.Selection(KINDS, string="Step", required=True, readonly=True)
    res_model = fields.Char(
        required=True, readonly=True, default=lambda self: self.env.context.get("active_model")
    )
    domain = fields.Json(required=True, readonly=True, default=lambda self: self._default_domain())
    selected_count = fields.Integer(compute="_compute_preview")
    possible_count = fields.Integer(compute="_compute_preview")
    possible_amounts = fields.Char(compute="_compute_preview")
    consequence = fields.Char(string="What happens", compute="_compute_preview")
    reason = fields.Char(size=MAX_REASON)
    assignee_id = fields.Many2one(
        "res.users",
        string="Assign to",
        default=lambda self: self.env.user,
        domain=[("share", "=", False)],
    )

    def _default_domain(self):
        """Take what is selected in the list: its domain, where all of it is."""
        context = self.env.context
        if context.get("g2p_all_selected"):
            return context.get("active_domain") or [[1, "=", 1]]  # a JSON field takes [] for none
        return [["id", "in", context.get("active_ids") or []]]

    def _records(self):
        """Return the empty recordset of the model that the step is for, as the user."""
        self.ensure_one()
        if self.kind not in STEPS.get(self.res_model, ()):
            raise UserError(self.env._("There is no such step for these records."))
        records = self.env[self.res_model].sudo(False)
        records.check_access("read")
        return records

    @api.depends("kind", "res_model", "domain")
    def _compute_preview(self):
        for wizard in self:
            records = wizard._records()
            domain = wizard.domain or []
            found = records._bulk_preview(wizard.kind, domain)
            wizard.selected_count = records.search_count(domain)
            wizard.possible_count = sum(count for _currency, count, _amount in found)
            wizard.possible_amounts = ", ".join(
                currency.format(amount) for currency, _count, amount in found if currency
            )
            wizard.consequence = wizard._consequence()

    def _consequence(self):
        """Return what the step does, in one sentence."""
        if not self.possible_count:
            return self.env._("Nothing of what is selected can have this done.")
        texts = {
            "leave_out": self.env._(
                "Payments that this leaves out: %(count)s, %(amounts)s. They are cancelled for"
                " good, and the others of their envelopes go on. They can be reissued later."
            ),
            "resolve": self.env._(
                "Payments whose accounts this looks up: %(count)s, %(amounts)s. What has an account"
                " is paid with its envelope."
            ),
            "dismiss": self.env._(
                "Entries that this dismisses: %(count)s, %(amounts)s. They stay on their"
                " statements; no payment changes."
            ),
            "retry": self.env._("Envelopes that this tries again: %(count)s, %(amounts)s."),
            "assign": self.env._("Records that this gives to one person, as a to-do: %(count)s."),
        }
        return texts[self.kind] % {
            "count": number_text(self.env, self.possible_count),
            "amounts": self.possible_amounts,
        }

    def action_start(self):
        """Have it done by jobs, and show how far they are.

        :raise AccessError: not an officer, or the records are not for the user
        :raise UserError: the reason is missing, or there is nothing to do
        """
        self.ensure_one()
        if self.kind in ("leave_out", "dismiss") and not (self.reason or "").strip():
            raise UserError(self.env._("Say why, for whoever asks later."))
        if not self.possible_count:
            raise UserError(self.env._("There is nothing selected that this can be done with."))
        action = self.env["g2p.bulk.action"]._start(
            self.kind,
            self._records(),
            self.domain,
            total=self.selected_count,
            reason=self.reason,
            assignee_id=self.assignee_id.id if self.kind == "assign" else False,
        )
        return action._get_records_action(target="new", name=action.display_name)
