from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..const import DISBURSEMENT_STATES, FREQUENCIES
from .own_cursor import lock_for_transaction
from .roles import ADMINISTRATOR, OFFICER, check_role

#: states of payments whose count and amount an envelope shows
STATE_TOTALS = frozenset(state for state, _label in DISBURSEMENT_STATES)
CANCELLABLE = ("receiving", "ready", "approved", "funds_available", "funds_blocked")

FUNDS_AVAILABLE = [
    ("PENDING_CHECK", "Not checked yet"),
    ("CHECK_IN_PROGRESS", "Being checked"),
    ("FUNDS_AVAILABLE", "Available"),
    ("FUNDS_NOT_AVAILABLE", "Not available"),
    ("ERROR", "Error"),
]
FUNDS_BLOCKED = [
    ("PENDING_CHECK", "Not blocked yet"),
    ("CHECK_IN_PROGRESS", "Being blocked"),
    ("FUNDS_BLOCK_SUCCESS", "Blocked"),
    ("FUNDS_BLOCK_FAILURE", "Refused"),
    ("ERROR", "Error"),
]


class DisbursementEnvelope(models.Model):
    """The payments of one program for one cycle, and their control totals."""

    _name = "g2p.disbursement.envelope"
    _description = "Disbursement envelope"
    _inherit = ["g2p.state.mixin", "mail.thread", "mail.activity.mixin"]
    _order = "disbursement_schedule_date desc, id desc"
    _rec_name = "disbursement_envelope_id"
    _rec_names_search = ["disbursement_envelope_id", "cycle_code_mnemonic", "program_id"]

    _mail_post_access = "read"

    #: what ``needs_attention`` may come from, and go back to
    _WORKING = (*CANCELLABLE, "disbursing", "disbursed")
    _TRANSITIONS = {
        "receiving": ("needs_attention",),
        "ready": ("receiving", "needs_attention"),
        "approved": ("ready", "needs_attention"),
        "funds_available": ("ready", "approved", "needs_attention"),
        "funds_blocked": ("funds_available", "needs_attention"),
        "disbursing": ("funds_blocked", "disbursed", "needs_attention"),
        "disbursed": ("disbursing", "needs_attention"),
        "settled": (
            "ready",
            "approved",
            "funds_available",
            "funds_blocked",
            "disbursing",
            "disbursed",
        ),
        "needs_attention": _WORKING,
        "cancelled": (*CANCELLABLE, "needs_attention"),
    }

    disbursement_envelope_id = fields.Char(
        string="Envelope ID", required=True, readonly=True, copy=False
    )
    program_id = fields.Many2one(
        "g2p.benefit.program", required=True, readonly=True, index=True, ondelete="restrict"
    )
    company_id = fields.Many2one(related="program_id.company_id", store=True, index=True)
    funding_account_id = fields.Many2one(
        "g2p.funding.account", required=True, readonly=True, ondelete="restrict"
    )
    bank_id = fields.Many2one(related="funding_account_id.bank_id", store=True, index=True)
    currency_id = fields.Many2one("res.currency", required=True, readonly=True, ondelete="restrict")
    disbursement_frequency = fields.Selection(
        [(name, name) for name in FREQUENCIES], string="Frequency", readonly=True
    )
    cycle_code_mnemonic = fields.Char(string="Cycle", required=True, readonly=True)
    number_of_beneficiaries = fields.Integer(string="Beneficiaries declared", readonly=True)
    number_of_disbursements = fields.Integer(
        string="Payments declared", readonly=True, tracking=True
    )
    total_disbursement_amount = fields.Monetary(
        string="Amount declared", readonly=True, tracking=True
    )
    disbursement_schedule_date = fields.Date(
        string="Schedule date", required=True, readonly=True, tracking=True, index=True
    )
    id_mapper_resolution_required = fields.Boolean(string="Look up accounts", readonly=True)
    idempotency_key = fields.Char(readonly=True, copy=False)
    content_hash = fields.Char(readonly=True, copy=False)
    created_by_id = fields.Many2one("res.users", string="Received from", readonly=True)

    state = fields.Selection(
        [
            ("receiving", "Receiving"),
            ("ready", "Ready"),
            ("approved", "Approved"),
            ("funds_available", "Funds available"),
            ("funds_blocked", "Funds blocked"),
            ("disbursing", "Disbursing"),
            ("disbursed", "Disbursed"),
            ("settled", "Settled"),
            ("needs_attention", "Needs attention"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        readonly=True,
        default="receiving",
        tracking=True,
        group_expand=True,
        index=True,
    )
    resume_state = fields.Char(readonly=True, copy=False)
    attention_code = fields.Char(string="Problem code", readonly=True, copy=False)
    attention_message = fields.Char(string="Problem", readonly=True, copy=False, tracking=True)
    next_attempt_at = fields.Datetime(string="Next attempt", readonly=True, copy=False)
    is_paused = fields.Boolean(string="Paused", readonly=True, copy=False, tracking=True)
    asks_bank_first = fields.Boolean(
        string="Ask the bank first",
        readonly=True,
        copy=False,
        tracking=True,
        help="Set after a restore: the bank may have calls that our books do not show. It is asked "
        "what it has of a block or batch before anything is sent.",
    )
    approved_by_id = fields.Many2one("res.users", readonly=True, copy=False, tracking=True)
    approved_at = fields.Datetime(readonly=True, copy=False)
    cancel_reason = fields.Char(readonly=True, copy=False, tracking=True)
    approval_required = fields.Boolean(related="program_id.approval_required")

    funds_available_with_bank = fields.Selection(
        FUNDS_AVAILABLE, string="Funds", required=True, readonly=True, default="PENDING_CHECK"
    )
    funds_available_latest_timestamp = fields.Datetime(string="Funds checked at", readonly=True)
    funds_available_latest_error_code = fields.Char(string="Funds check error", readonly=True)
    funds_available_attempts = fields.Integer(
        string="Funds checks", compute="_compute_attempts", compute_sudo=True
    )
    funds_blocked_with_bank = fields.Selection(
        FUNDS_BLOCKED, string="Block", required=True, readonly=True, default="PENDING_CHECK"
    )
    funds_blocked_latest_timestamp = fields.Datetime(string="Blocked at", readonly=True)
    funds_blocked_latest_error_code = fields.Char(string="Block error", readonly=True)
    funds_blocked_attempts = fields.Integer(
        string="Block attempts", compute="_compute_attempts", compute_sudo=True
    )
    funds_blocked_reference_number = fields.Char(
        string="Block reference", readonly=True, copy=False, tracking=True
    )
    funds_blocked_amount = fields.Monetary(string="Amount blocked", readonly=True, copy=False)
    funds_released_at = fields.Datetime(readonly=True, copy=False, tracking=True)
    release_error = fields.Char(readonly=True, copy=False, tracking=True)
    next_release_at = fields.Datetime(readonly=True, copy=False)
    funds_drawn_amount = fields.Monetary(
        string="Drawn from the block", compute="_compute_funds", compute_sudo=True
    )
    funds_held_amount = fields.Monetary(
        string="Still held", compute="_compute_funds", compute_sudo=True
    )
    funds_idle_amount = fields.Monetary(
        string="Held and idle",
        compute="_compute_funds",
        compute_sudo=True,
        help="What the bank still holds and no payment of the envelope will use.",
    )

    bank_down_message = fields.Char(related="bank_id.down_message")

    batch_ids = fields.One2many("g2p.disbursement.batch", "envelope_id")
    batch_count = fields.Integer(compute="_compute_batch_count")
    call_ids = fields.One2many("g2p.bank.call", "envelope_id", string="Bank calls")
    journal_ids = fields.One2many("g2p.disbursement.journal", "envelope_id")

    total_received_count = fields.Integer(
        string="Payments received", compute="_compute_totals", compute_sudo=True
    )
    total_received_amount = fields.Monetary(
        string="Amount received", compute="_compute_totals", compute_sudo=True
    )
    missing_count = fields.Integer(
        string="Payments missing", compute="_compute_totals", compute_sudo=True
    )
    missing_amount = fields.Monetary(
        string="Amount missing", compute="_compute_totals", compute_sudo=True
    )
    waiting_count = fields.Integer(string="Waiting", compute="_compute_totals", compute_sudo=True)
    waiting_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    shipped_count = fields.Integer(string="Sent", compute="_compute_totals", compute_sudo=True)
    shipped_amount = fields.Monetary(
        string="Amount sent", compute="_compute_totals", compute_sudo=True
    )
    received_percent = fields.Float(compute="_compute_totals", compute_sudo=True)
    shipped_percent = fields.Float(compute="_compute_totals", compute_sudo=True)
    paid_percent = fields.Float(string="Paid (%)", compute="_compute_totals", compute_sudo=True)
    received_count = fields.Integer(
        string="Not looked up", compute="_compute_totals", compute_sudo=True
    )
    received_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    unresolved_count = fields.Integer(
        string="Unresolved", compute="_compute_totals", compute_sudo=True
    )
    unresolved_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    resolved_count = fields.Integer(string="Resolved", compute="_compute_totals", compute_sudo=True)
    resolved_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    batched_count = fields.Integer(string="Batched", compute="_compute_totals", compute_sudo=True)
    batched_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    sent_count = fields.Integer(string="Underway", compute="_compute_totals", compute_sudo=True)
    sent_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    unknown_count = fields.Integer(
        string="Outcome unknown", compute="_compute_totals", compute_sudo=True
    )
    unknown_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    reconciled_count = fields.Integer(string="Paid", compute="_compute_totals", compute_sudo=True)
    reconciled_amount = fields.Monetary(
        string="Amount paid", compute="_compute_totals", compute_sudo=True
    )
    reversed_count = fields.Integer(string="Reversed", compute="_compute_totals", compute_sudo=True)
    reversed_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    rejected_count = fields.Integer(string="Rejected", compute="_compute_totals", compute_sudo=True)
    rejected_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)
    cancelled_count = fields.Integer(
        string="Cancelled", compute="_compute_totals", compute_sudo=True
    )
    cancelled_amount = fields.Monetary(compute="_compute_totals", compute_sudo=True)

    _envelope_id_uniq = models.Constraint(
        "UNIQUE (disbursement_envelope_id)", "Envelope id exists already."
    )
    _idempotency_key_uniq = models.UniqueIndex(
        "(company_id, idempotency_key) WHERE idempotency_key IS NOT NULL",
        "This idempotency key was used already.",
    )
    _open_idx = models.Index("(next_attempt_at) WHERE state NOT IN ('settled', 'cancelled')")

    @api.depends("journal_ids", "number_of_disbursements", "total_disbursement_amount")
    def _compute_totals(self):
        totals = self.env["g2p.disbursement.journal"]._totals_by_state(envelopes=self)
        for envelope in self:
            envelope.update(envelope._prepare_totals_vals(totals.get(envelope.id, {})))

    def _prepare_totals_vals(self, totals):
        """Return the computed totals out of {state: (count, amount)}."""
        counts = {state: totals.get(state, (0, 0.0))[0] for state in STATE_TOTALS}
        amounts = {state: totals.get(state, (0, 0.0))[1] for state in STATE_TOTALS}
        rounded = self.currency_id.round if self.currency_id else float

        def added(values, *states):
            return sum(values[state] for state in states or STATE_TOTALS)

        waiting = ("received", "resolved", "batched")
        shipped = ("sent", "reconciled", "reversed")
        declared = self.number_of_disbursements or 1
        received = added(counts)
        received_amount = rounded(added(amounts))
        return {
            "total_received_count": received,
            "total_received_amount": received_amount,
            "missing_count": max(self.number_of_disbursements - received, 0),
            "missing_amount": max(rounded(self.total_disbursement_amount - received_amount), 0),
            "waiting_count": added(counts, *waiting),
            "waiting_amount": rounded(added(amounts, *waiting)),
            "shipped_count": added(counts, *shipped),
            "shipped_amount": rounded(added(amounts, *shipped)),
            "received_percent": 100 * received / declared,
            "shipped_percent": 100 * added(counts, *shipped) / declared,
            "paid_percent": 100 * counts["reconciled"] / declared,
            **{f"{state}_count": count for state, count in counts.items()},
            **{f"{state}_amount": rounded(amount) for state, amount in amounts.items()},
        }

    @api.depends("call_ids.attempts")
    def _compute_attempts(self):
        rows = self.env["g2p.bank.call"]._read_group(
            [
                ("envelope_id", "in", self.ids),
                ("operation", "in", ["check_funds", "block_funds"]),
            ],
            ["envelope_id", "operation"],
            ["attempts:sum"],
        )
        attempts = {(envelope, operation): count for envelope, operation, count in rows}
        for envelope in self:
            envelope.funds_available_attempts = attempts.get((envelope, "check_funds"), 0)
            envelope.funds_blocked_attempts = attempts.get((envelope, "block_funds"), 0)

    @api.depends("batch_ids")
    def _compute_batch_count(self):
        counts = dict(
            self.env["g2p.disbursement.batch"]._read_group(
                [("envelope_id", "in", self.ids)], ["envelope_id"], ["__count"]
            )
        )
        for envelope in self:
            envelope.batch_count = counts.get(envelope, 0)

    @api.depends("program_id.mnemonic", "cycle_code_mnemonic", "disbursement_envelope_id")
    def _compute_display_name(self):
        for envelope in self:
            envelope.display_name = (
                f"{envelope.program_id.mnemonic} {envelope.cycle_code_mnemonic}"
                f" ({envelope.disbursement_envelope_id})"
            )

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Envelopes are never deleted; cancel them instead."))

    # -- transitions ----------------------------------------------------------------------------

    @api.private
    def _set_ready(self):
        """Count and sum received equal what is declared."""
        return self._transition("ready", **self._NO_PROBLEM)

    @api.private
    def _set_approved(self):
        """A second person released the envelope."""
        return self._transition("approved", **self._NO_PROBLEM)

    @api.private
    def _set_funds_available(self):
        """The bank said that the money is there."""
        return self._transition(
            "funds_available",
            funds_available_with_bank="FUNDS_AVAILABLE",
            funds_available_latest_timestamp=fields.Datetime.now(),
            funds_available_latest_error_code=False,
            **self._NO_PROBLEM,
        )

    @api.private
    def _set_funds_blocked(self, reference, amount):
        """The bank holds the money under that reference."""
        return self._transition(
            "funds_blocked",
            funds_blocked_with_bank="FUNDS_BLOCK_SUCCESS",
            funds_blocked_latest_timestamp=fields.Datetime.now(),
            funds_blocked_latest_error_code=False,
            funds_blocked_reference_number=reference,
            funds_blocked_amount=amount,
            **self._NO_PROBLEM,
        )

    @api.private
    def _set_disbursing(self):
        """Batches stand ready for the bank, or are under way."""
        return self._transition("disbursing", **self._NO_PROBLEM)

    @api.private
    def _set_disbursed(self):
        """All that can be paid is with the bank; its statement is awaited."""
        return self._transition("disbursed", **self._NO_PROBLEM)

    @api.private
    def _set_settled(self):
        """Every disbursement ended."""
        return self._transition("settled", **self._NO_PROBLEM)

    @api.private
    def _set_needs_attention(self, code, message, *, next_attempt_at=False, **values):
        """The pipeline cannot go on by itself (until ``next_attempt_at``, where given)."""
        for envelope in self:
            before = envelope.state
            if before == "needs_attention":
                before = envelope.resume_state
            envelope._transition(
                "needs_attention",
                resume_state=before,
                attention_code=code,
                attention_message=message,
                next_attempt_at=next_attempt_at,
                **values,
            )
            # a second problem in a row moves nothing, but is the newer news
            envelope.write(
                {
                    "attention_code": code,
                    "attention_message": message,
                    "next_attempt_at": next_attempt_at,
                    **values,
                }
            )

    @api.private
    def _set_resumed(self):
        """Go back to where the problem came up, to try again."""
        for envelope in self.filtered(lambda e: e.state == "needs_attention"):
            envelope._transition(envelope.resume_state, **self._NO_PROBLEM)

    @api.private
    def _set_cancelled(self, reason, cause):
        """Nothing of the envelope is paid: its payments are cancelled, too.

        :raise TransitionError: money may have moved
        """
        for envelope in self:
            if envelope.state == "needs_attention" and envelope.resume_state not in CANCELLABLE:
                raise UserError(
                    self.env._(
                        "Money of %s may have moved: it cannot be cancelled.", envelope.display_name
                    )
                )
            envelope._transition("cancelled", cancel_reason=reason, **self._NO_PROBLEM)
            self.env["g2p.disbursement"]._bulk_transition(
                "cancelled",
                SQL("d.envelope_id = %s", envelope.id),
                cause=cause,
                assign=SQL("reason = %s", reason or None),
            )

    _NO_PROBLEM = {
        "attention_code": False,
        "attention_message": False,
        "next_attempt_at": False,
        "resume_state": False,
    }

    # -- helpers of the pipeline and the facade -------------------------------------------------

    @api.private
    def _lock_composition(self):
        """Wait for others that add to, cancel from or amend the envelope, until the commit."""
        self.ensure_one()
        lock_for_transaction(self.env.cr, f"g2p.disbursement.envelope:{self.id}")

    @api.private
    def _payable_amount(self):
        """Return the sum that the bank must hold, a Decimal: all that may still be paid.

        Unresolved payments count in, for they go out as soon as their account is known.
        """
        self.ensure_one()
        states = ["received", "unresolved", "resolved"]
        [[amount]] = self.env.execute_query(
            SQL(
                """
                SELECT coalesce(sum(CASE WHEN target = ANY(%(states)s) THEN amount ELSE 0 END
                                  - CASE WHEN source = ANY(%(states)s) THEN amount ELSE 0 END),
                                0)::text
                  FROM g2p_disbursement_journal WHERE envelope_id = %(id)s
                """,
                states=states,
                id=self.id,
            )
        )
        return Decimal(amount)

    # -- buttons --------------------------------------------------------------------------------

    def action_pause(self):
        """Hold the envelope where it is; calls under way come to their end."""
        check_role(self, OFFICER)
        self.sudo().write({"is_paused": True})  # nobody may write envelopes directly

    def action_resume(self):
        """Go on with a paused envelope, or try again after a problem."""
        check_role(self, OFFICER)
        self.sudo().write({"is_paused": False})  # nobody may write envelopes directly
        self.sudo()._set_resumed()
        self._enqueue_advance()

    def action_ask_bank_first(self):
        """Have the bank asked what it has before anything more is sent: for restored databases.

        :raise AccessError: not an administrator
        """
        check_role(self, ADMINISTRATOR)
        still_open = self.filtered(lambda e: e.state not in ("settled", "cancelled"))
        still_open.sudo().write({"asks_bank_first": True})  # nobody may write envelopes directly

    def action_view_disbursements(self):
        """Open the payments.

        ``disbursement_state`` in the context narrows them to some states, parted by commas, and
        ``disbursement_reason`` to one reason code (False: to those without).
        """
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_disbursement_action")
        domain = [("envelope_id", "=", self.id)]
        if state := self.env.context.get("disbursement_state"):
            domain.append(("state", "in", state.split(",")))
        if "disbursement_reason" in self.env.context:
            domain.append(("reason_code", "=", self.env.context["disbursement_reason"]))
        of_envelope = self.env.ref("g2p_bridge.g2p_disbursement_view_list_of_envelope").id
        views = [(of_envelope if kind == "list" else view, kind) for view, kind in action["views"]]
        return {**action, "domain": domain, "views": views, "context": {"g2p_one_envelope": True}}

    def action_view_batches(self):
        """Open the batches."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_disbursement_batch_action"
        )
        return {**action, "domain": [("envelope_id", "=", self.id)], "context": {}}

    def action_view_calls(self):
        """Open the bank calls."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_bank_call_action")
        return {**action, "domain": [("envelope_id", "=", self.id)], "context": {}}

    def action_view_statement_lines(self):
        """Open the statement lines of the envelope's payments."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_account_statement_line_action"
        )
        return {**action, "domain": [("envelope_id", "=", self.id)], "context": {}}
