"""What an envelope went through, and what of it is not paid: read in sets, when a form opens."""

from odoo import api, fields, models
from odoo.tools import SQL

from .reason_words import in_words
from .roles import OFFICER, check_role
from .words import duration_text, moment_text, money_text, number_text, payments_text

#: states of payments that reached nobody, and may still be seen to
NOT_PAID = ("unresolved", "rejected", "reversed", "unknown")
#: those of them that have a reason and a partial index which begins with the envelope
WITH_REASON = ("unresolved", "rejected", "reversed")
#: more payments than that in one state are not read when a form opens: they are one group
GROUPED_AT_MOST = 50_000
#: statements that the form of an envelope shows
STATEMENTS_SHOWN = 10


class DisbursementEnvelope(models.Model):
    _inherit = "g2p.disbursement.envelope"

    not_paid = fields.Json(compute="_compute_not_paid", compute_sudo=True)
    timeline = fields.Json(compute="_compute_timeline", compute_sudo=True)
    not_paid_count = fields.Integer(
        string="Needs attention", compute="_compute_not_paid_count", compute_sudo=True
    )
    payable_amount = fields.Monetary(
        string="Needed",
        compute="_compute_payable_amount",
        compute_sudo=True,
        help="What may still be paid, and is not with the bank yet.",
    )
    approved_hash = fields.Char(
        string="Approved content", compute="_compute_approved_hash", compute_sudo=True
    )
    recent_statement_ids = fields.Many2many(
        "g2p.account.statement", compute="_compute_recent_statement_ids", string="Statements"
    )

    @api.depends("journal_ids")
    def _compute_not_paid_count(self):
        for envelope in self:
            envelope.not_paid_count = sum(envelope[f"{state}_count"] for state in NOT_PAID)

    @api.depends("received_amount", "unresolved_amount", "resolved_amount")
    def _compute_payable_amount(self):
        for envelope in self:
            envelope.payable_amount = envelope.currency_id.round(
                envelope.received_amount + envelope.unresolved_amount + envelope.resolved_amount
            )

    @api.depends("approval_ids.voided_at")
    def _compute_approved_hash(self):
        for envelope in self:
            approval = envelope.approval_ids[:1]
            envelope.approved_hash = False if approval.voided_at else approval.content_hash

    # -- not paid -------------------------------------------------------------------------------

    @api.depends("journal_ids")
    @api.depends_context("lang", "uid")
    def _compute_not_paid(self):
        for envelope in self:
            envelope.not_paid = envelope._not_paid_groups()

    def _not_paid_groups(self):
        """Return the payments that are not paid, a group for each reason, biggest first.

        :return: list of dict of ``key``, ``title``, ``state``, ``reason_code``, ``reason``
            (in words, with the code where it is the bank's), ``has_reason`` (all of the group have
            this one), ``count``, ``payments``, ``money`` and ``fixes``, as :meth:`_prepare_fixes`
            has them
        """
        self.ensure_one()
        whole, rows = ["unknown", "cancelled"], []
        for state in WITH_REASON:
            if self[f"{state}_count"] > GROUPED_AT_MOST:
                whole.append(state)
            elif self[f"{state}_count"]:
                rows += self._reasons_of(state)
        # the books know their number and money, without the reasons
        rows += [
            (state, None, None, self[f"{state}_count"], self[f"{state}_amount"])
            for state in whole
            if self[f"{state}_count"]
        ]
        rows.sort(key=lambda row: (row[0] == "cancelled", -row[4]))
        return [self._prepare_not_paid_group(*row) for row in rows]

    def _reasons_of(self, state):
        """Return (state, reason code, reason, count, amount) of the payments in one state."""
        return self.env.execute_query(
            SQL(
                """
                SELECT %(state)s, reason_code, max(reason), count(*), sum(amount)
                  FROM g2p_disbursement WHERE envelope_id = %(id)s AND state = %(state)s
                 GROUP BY reason_code ORDER BY 5 DESC LIMIT 20
                """,
                state=state,
                id=self.id,
            )
        )

    def _prepare_not_paid_group(self, state, reason_code, reason, count, amount):
        titles = {
            "unresolved": self.env._("No account known"),
            "rejected": self.env._("Refused by the bank"),
            "reversed": self.env._("Came back from the bank"),
            "unknown": self.env._("The bank did not answer; they may be paid"),
            "cancelled": self.env._("Cancelled"),
        }
        return {
            "key": f"{state}:{reason_code or ''}",
            "title": titles[state],
            "state": state,
            "reason_code": reason_code or False,
            "has_reason": state in WITH_REASON and count <= GROUPED_AT_MOST,
            "reason": in_words(self.env, reason_code, reason) or False,
            "count": count,
            "payments": payments_text(self.env, count),
            "money": money_text(self.env, amount, self.currency_id),
            "fixes": self._prepare_fixes(state, reason_code)
            if self.env.user.has_group(OFFICER)
            else [],
        }

    def _prepare_fixes(self, state, reason_code):
        """Return the buttons of a group of payments that are not paid; other parts add theirs.

        :return: list of dict of ``label`` and ``method`` (a public method of the envelope, called
            with ``disbursement_state`` and ``disbursement_reason`` in its context)
        """
        if state == "unresolved" and self.state not in ("settled", "cancelled"):
            return [{"label": self.env._("Look up again"), "method": "action_resolve"}]
        if state in ("rejected", "reversed"):
            return [{"label": self.env._("Reissue…"), "method": "action_open_reissue"}]
        if state == "unknown":
            return [{"label": self.env._("Decide"), "method": "action_view_unknown_batches"}]
        return []

    def action_view_unknown_batches(self):
        """Open the batches of the envelope of which nobody knows whether the bank has them."""
        action = self.action_view_batches()
        return {**action, "domain": [*action["domain"], ("state", "=", "unknown")]}

    # -- timeline -------------------------------------------------------------------------------

    @api.depends("journal_ids", "approval_ids")
    @api.depends_context("lang", "tz")
    def _compute_timeline(self):
        for envelope in self:
            envelope.timeline = envelope._prepare_timeline()

    def _prepare_timeline(self):
        """Return each step with its time and duration, oldest first; retries are folded into one.

        :return: list of dict of ``key``, ``title``, ``moment``, ``duration``, ``detail``
        """
        self.ensure_one()
        steps = [
            *self._movement_steps(),
            *self._call_steps(),
            *self._approval_steps(),
        ]
        if self.funds_released_at:
            steps.append(
                (self.funds_released_at, self.funds_released_at, self.env._("Funds released"), "")
            )
        return [
            {
                "key": index,
                "title": title,
                "moment": moment_text(self.env, begin),
                "at": fields.Datetime.to_string(begin),
                "duration": duration_text(self.env, (end - begin).total_seconds())
                if end and end > begin
                else "",
                "detail": detail,
            }
            for index, (begin, end, title, detail) in enumerate(
                sorted(steps, key=lambda step: step[0])
            )
        ]

    def _movement_steps(self):
        titles = {
            "received": self.env._("Received"),
            "unresolved": self.env._("No account found"),
            "resolved": self.env._("Accounts found"),
            "batched": self.env._("Put into batches"),
            "sent": self.env._("Sent to the bank"),
            "unknown": self.env._("Sent without an answer"),
            "rejected": self.env._("Refused by the bank"),
            "reconciled": self.env._("Paid, by the bank's statement"),
            "reversed": self.env._("Came back from the bank"),
            "cancelled": self.env._("Cancelled"),
        }
        rows = self.env.execute_query(
            SQL(
                """
                SELECT target, min(created_at), max(created_at), sum(disbursement_count)::bigint,
                       sum(amount)
                  FROM g2p_disbursement_journal WHERE envelope_id = %s
                 GROUP BY target ORDER BY min(id)
                """,
                self.id,
            )
        )
        return [
            (
                begin,
                end,
                titles[target],
                self.env._(
                    "%(payments)s, %(money)s",
                    payments=payments_text(self.env, count),
                    money=money_text(self.env, amount, self.currency_id),
                ),
            )
            for target, begin, end, count, amount in rows
        ]

    def _call_steps(self):
        """Return one step for each kind of call that is no payment, however often it was made."""
        titles = {
            "check_funds": self.env._("Funds checked"),
            "block_funds": self.env._("Funds held"),
            "release_funds": self.env._("Release asked for"),
            "inquire_payments": self.env._("Bank asked what it has"),
        }
        rows = self.env.execute_query(
            SQL(
                """
                SELECT operation, min(started_at), max(coalesce(answered_at, started_at)),
                       sum(attempts)::bigint, count(*) FILTER (WHERE state <> 'answered')
                  FROM g2p_bank_call
                 WHERE envelope_id = %s AND operation = ANY(%s) GROUP BY operation
                """,
                self.id,
                list(titles),
            )
        )
        return [
            (begin, end, titles[operation], self._call_detail(attempts, failed))
            for operation, begin, end, attempts, failed in rows
            if begin
        ]

    def _call_detail(self, attempts, failed):
        calls = number_text(self.env, attempts)
        if failed:
            return self.env._(
                "%(calls)s calls, %(failed)s without a good answer",
                calls=calls,
                failed=number_text(self.env, failed),
            )
        return self.env._("%(calls)s calls", calls=calls) if attempts > 1 else ""

    def _approval_steps(self):
        return [
            (
                approval.approved_at,
                approval.approved_at,
                self.env._("Approved by %s", approval.user_id.name),
                self.env._(
                    "%(payments)s, %(money)s",
                    payments=payments_text(self.env, approval.disbursement_count),
                    money=money_text(self.env, approval.amount, self.currency_id),
                ),
            )
            for approval in self.approval_ids
        ]

    # -- statements -----------------------------------------------------------------------------

    @api.depends("funding_account_id", "journal_ids")
    def _compute_recent_statement_ids(self):
        """Show the last statements of the account since its schedule date, not their entries."""
        statements = self.env["g2p.account.statement"]
        for envelope in self:
            envelope.recent_statement_ids = statements.search(
                [
                    ("account_id", "=", envelope.funding_account_id.id),
                    ("closing_date", ">=", envelope.disbursement_schedule_date),
                ],
                order="closing_date, id",
                limit=STATEMENTS_SHOWN,
            )

    def action_open_reissue(self):
        """Open the wizard that pays again what did not arrive.

        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_reissue_action")
        return {**action, "context": {"default_envelope_id": self.id}}

    def action_open_cancel(self):
        """Open the wizard that cancels the envelope.

        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_cancel_envelope_action"
        )
        return {**action, "context": {"default_envelope_id": self.id}}

    def action_view_journal(self):
        """Open the movements of the envelope's payments."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_disbursement_journal_action"
        )
        return {**action, "domain": [("envelope_id", "=", self.id)], "context": {}}
