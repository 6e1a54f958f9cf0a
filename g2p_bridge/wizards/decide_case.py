from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import MAX_REASON
from ..models.g2p_attention import PAYMENT_STATES
from ..models.roles import OFFICER, check_role


class DecideCase(models.TransientModel):
    """An officer decides a case of the worklist, and says why."""

    _name = "g2p.decide.case"
    _description = "Decide a case that needs attention"

    # by its key, and looked up as its user may: cases have no row that could be referred to
    key = fields.Char(required=True, readonly=True)
    decision = fields.Selection(
        [
            ("leave_out", "Leave out"),
            ("hand_back", "Leave to the program"),
            ("accept", "Accept as it is"),
            ("dispute", "Dispute with the bank"),
        ],
        required=True,
        readonly=True,
    )
    note = fields.Char(string="Reason", required=True, size=MAX_REASON)
    #: what the officer was shown: more than that is not decided
    shown_count = fields.Integer()
    case_name = fields.Char(string="Case", compute="_compute_case")
    payment_count = fields.Integer(string="Payments", compute="_compute_case")
    amount = fields.Monetary(compute="_compute_case")
    currency_id = fields.Many2one("res.currency", compute="_compute_case")

    @api.model
    def default_get(self, fields_list):
        values = super().default_get(fields_list)
        case = self._find_case(values.get("key"))
        return {**values, "shown_count": case.payment_count}

    def _find_case(self, key):
        return self.env["g2p.attention"].search([("key", "=", key)])

    @api.depends("key")
    def _compute_case(self):
        for wizard in self:
            case = wizard._find_case(wizard.key)
            wizard.case_name = case.name
            wizard.payment_count = case.payment_count
            wizard.amount = case.amount
            wizard.currency_id = case.currency_id

    def action_decide(self):
        """Do what is decided; who, when and why stay with the case.

        :raise AccessError: not an officer
        :raise UserError: the case is solved meanwhile, or it grew
        """
        self.ensure_one()
        case = self._find_case(self.key)
        if not case:
            raise UserError(self.env._("The case is solved already."))
        check_role(case, OFFICER)
        getattr(self, f"_decide_{self.decision}")(case)
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def _check_kind(self, case, *kinds):
        if case.kind not in kinds:
            raise UserError(self.env._("This step is not for a case of this kind."))
        if case.payment_count != self.shown_count:
            raise UserError(
                self.env._(
                    "There are %(now)s payments by now, not %(shown)s: look at the case again.",
                    now=case.payment_count,
                    shown=self.shown_count,
                )
            )

    def _decide_leave_out(self, case):
        self._check_kind(case, "payment_unresolved")
        envelope, reason_code = case.envelope_id, case.reason_code
        case._keep_decision(self.note)  # before: then the case is gone
        envelope._leave_out(reason_code, self.note)

    def _decide_hand_back(self, case):
        self._check_kind(case, "payment_rejected", "payment_returned")
        envelope, state, reason_code = case.envelope_id, PAYMENT_STATES[case.kind], case.reason_code
        case._keep_decision(self.note)  # before: then the case is gone
        envelope._hand_back(state, reason_code, self.note)

    def _decide_accept(self, case):
        self._check_kind(case, "statement_gap", "statement_unconfirmed", "statement_untied")
        statement, mark, name = case.statement_id, case.mark, case.name
        case._keep_decision(self.note, accepted_mark=mark)
        statement.sudo().message_post(  # nobody may write statements directly
            body=self.env._("Accepted (%(case)s): %(note)s", case=name, note=self.note)
        )

    def _decide_dispute(self, case):
        self._check_kind(case, "entry_amount", "entry_duplicate")
        statement, name = case.statement_id, case.name
        case._keep_decision(self.note, disputed_at=fields.Datetime.now())
        statement.sudo().message_post(  # nobody may write statements directly
            body=self.env._("Disputed (%(case)s): %(note)s", case=name, note=self.note)
        )
