"""What a person wants to know of a bank, an account or a program at a glance; nothing is stored."""

from odoo import api, fields, models

from .words import moment_text, number_text

#: a bank is called slow when its last answer took longer
SLOW_MS = 3000


class BankHealth(models.Model):
    _inherit = "g2p.bank.health"

    def _prepare_words(self):
        """Return (status, words) of a bank: up, slow, down or unknown; of no record: unknown."""
        if not self or not (self.last_answer_at or self.down_since):
            return "unknown", self.env._("not called yet")
        if self.is_open:
            return "down", self.env._("down since %s", moment_text(self.env, self.down_since))
        if not self.last_answer_at or self.failure_count:
            return "slow", self.env._("did not answer the last call")
        latency = number_text(self.env, self.latency_ms)
        if self.latency_ms > SLOW_MS:
            return "slow", self.env._("slow, %s ms", latency)
        return "up", self.env._("up, %s ms", latency)


class SponsorBank(models.Model):
    _inherit = "g2p.sponsor.bank"

    health_status = fields.Selection(
        [("up", "Up"), ("slow", "Slow"), ("down", "Down"), ("unknown", "Not called yet")],
        string="Health",
        compute="_compute_health",
        compute_sudo=True,
    )
    health_text = fields.Char(
        string="Answers", compute="_compute_health", compute_sudo=True, help="Of the last call."
    )
    last_answer_at = fields.Datetime(
        string="Last answer", compute="_compute_health", compute_sudo=True
    )
    last_statement_on = fields.Date(
        string="Last statement", compute="_compute_statements", compute_sudo=True
    )
    statement_days_late = fields.Integer(
        string="Statement late (days)", compute="_compute_statements", compute_sudo=True
    )

    @api.depends_context("lang", "tz")
    def _compute_health(self):
        found = self.env["g2p.bank.health"].search([("bank_id", "in", self.ids)])
        health = {row.bank_id.id: row for row in found}
        for bank in self:
            row = health.get(bank.id, found.browse())
            bank.health_status, bank.health_text = row._prepare_words()
            bank.last_answer_at = row.last_answer_at

    def _compute_statements(self):
        accounts = self.env["g2p.funding.account"].search([("bank_id", "in", self.ids)])
        of_bank = accounts.grouped("bank_id")
        for bank in self:
            own = of_bank.get(bank._origin, accounts.browse())
            bank.last_statement_on = max(
                filter(None, own.mapped("last_statement_on")), default=False
            )
            bank.statement_days_late = max(own.mapped("statement_days_late"), default=0)

    def action_view_calls(self):
        """Open the calls to the bank, the last one first."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_bank_call_action")
        return {**action, "domain": [("bank_id", "in", self.ids)], "context": {}}

    def action_view_statements(self):
        """Open the statements of the bank."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_account_statement_action"
        )
        return {**action, "domain": [("bank_id", "in", self.ids)], "context": {}}


class FundingAccount(models.Model):
    _inherit = "g2p.funding.account"

    last_statement_on = fields.Date(
        string="Last statement", compute="_compute_last_statement", compute_sudo=True
    )
    statement_due_on = fields.Date(
        string="Statement expected", compute="_compute_last_statement", compute_sudo=True
    )
    statement_days_late = fields.Integer(
        string="Statement late (days)", compute="_compute_last_statement", compute_sudo=True
    )

    def _compute_last_statement(self):
        last = dict(
            self.env["g2p.account.statement"]._read_group(
                [
                    ("account_id", "in", self.ids),
                    ("kind", "=", "statement"),
                    ("state", "!=", "dismissed"),
                ],
                ["account_id"],
                ["closing_date:max"],
            )
        )
        due = self._statement_due()
        for account in self:
            account.last_statement_on = last.get(account._origin, False)
            awaited = due.get(account.id)
            account.statement_due_on = awaited and awaited.due_on
            account.statement_days_late = awaited.days_late if awaited else 0


class BenefitProgram(models.Model):
    _inherit = "g2p.benefit.program"

    envelope_count = fields.Integer(string="Envelopes", compute="_compute_envelope_count")

    def _compute_envelope_count(self):
        counts = dict(
            self.env["g2p.disbursement.envelope"]._read_group(
                [("program_id", "in", self.ids)], ["program_id"], ["__count"]
            )
        )
        for program in self:
            program.envelope_count = counts.get(program._origin, 0)

    def action_view_envelopes(self):
        """Open the envelopes of the program, the newest first."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_disbursement_envelope_action"
        )
        return {**action, "domain": [("program_id", "in", self.ids)], "context": {}}
