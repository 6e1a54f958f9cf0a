from odoo import api, fields, models
from odoo.exceptions import UserError

from ..connectors import masking
from ..const import LINE_REASONS
from .bulk_fields import BulkMany2one


class AccountStatement(models.Model):
    """A statement of a funding account as the bank sent it, and what became of its entries."""

    _name = "g2p.account.statement"
    _description = "Account statement"
    _inherit = ["g2p.state.mixin", "mail.thread", "mail.activity.mixin"]
    _order = "id desc"
    _mail_post_access = "read"

    _TRANSITIONS = {
        "received": ("held", "dismissed"),
        "processed": ("received",),
        "dismissed": ("held",),
    }

    name = fields.Char(string="Statement ID", required=True, readonly=True, copy=False)
    kind = fields.Selection(
        [
            ("statement", "Statement"),
            ("notification", "Notification"),
            ("report", "Interim report"),
        ],
        required=True,
        readonly=True,
        default="statement",
        help="A notification (camt.054) and an interim report (camt.052) tell of entries ahead of "
        "their statement. They have no balances; what they book waits for the statement to show "
        "it as well.",
    )
    account_id = fields.Many2one(
        "g2p.funding.account", required=True, readonly=True, index=True, ondelete="restrict"
    )
    bank_id = fields.Many2one(related="account_id.bank_id", store=True)
    company_id = fields.Many2one(related="account_id.company_id", store=True)
    currency_id = fields.Many2one(related="account_id.currency_id")
    reference = fields.Char(readonly=True, help="The bank's reference (MT940 :20:, camt Id).")
    statement_number = fields.Char(
        readonly=True,
        help="MT940 :28C: before the slash; camt LglSeqNb, ElctrncSeqNb or, without one, Id.",
    )
    first_sequence_number = fields.Char(
        readonly=True, help="MT940 :28C: after the slash, camt PgNb; of the first page."
    )
    sequence_number = fields.Char(
        readonly=True, help="MT940 :28C: after the slash, camt PgNb; of the last page."
    )
    opening_date = fields.Date(readonly=True)
    opening_balance = fields.Monetary(readonly=True)
    closing_date = fields.Date(readonly=True)
    closing_balance = fields.Monetary(readonly=True)
    difference = fields.Monetary(
        readonly=True, help="Closing balance less opening balance and entries; zero when it ties."
    )
    is_tied = fields.Boolean(string="Ties", readonly=True)
    left_out_count = fields.Integer(
        string="Left out",
        readonly=True,
        help="Entries of the file that the bank has not booked (pending, or for information): "
        "they are not kept, and count for nothing.",
    )
    continuity_note = fields.Char(
        string="Gap",
        compute="_compute_continuity_note",
        search="_search_continuity_note",
        help="Why it does not follow on the statement before it; empty once the missing one is in.",
    )
    state = fields.Selection(
        [
            ("received", "Received"),
            ("processed", "Processed"),
            ("held", "Held"),
            ("dismissed", "Dismissed"),
        ],
        required=True,
        readonly=True,
        default="received",
        tracking=True,
        group_expand=True,
    )
    hold_reason = fields.Char(readonly=True, tracking=True)
    decision_note = fields.Char(readonly=True, tracking=True)
    uploaded_at = fields.Datetime(readonly=True, default=fields.Datetime.now)
    uploaded_by_id = fields.Many2one("res.users", readonly=True)
    filename = fields.Char(readonly=True)
    attachment_id = fields.Many2one(
        "ir.attachment",
        string="File",
        readonly=True,
        groups="g2p_bridge.group_account_viewer",
        help="As the bank sent it, with the account numbers that it holds.",
    )
    content_sha256 = fields.Char(readonly=True, index=True)
    statement_sha256 = fields.Char(
        readonly=True, help="Of what the statement says, however its file is written."
    )
    position = fields.Integer(readonly=True, help="1-based place of the statement in its file.")
    line_ids = fields.One2many("g2p.account.statement.line", "statement_id", string="Entries")
    line_count = fields.Integer(compute="_compute_line_counts", compute_sudo=True)
    problem_count = fields.Integer(
        string="Entries to look at", compute="_compute_line_counts", compute_sudo=True
    )

    _name_uniq = models.Constraint("UNIQUE (name)", "Statement id exists already.")
    _file_uniq = models.Constraint(
        "UNIQUE (content_sha256, position)", "This file was uploaded before."
    )
    _unprocessed_idx = models.Index("(account_id, id) WHERE state = 'received'")
    #: ahead of their statement
    _ahead_idx = models.Index("(account_id, id) WHERE kind <> 'statement'")
    _held_idx = models.Index("(id) WHERE state = 'held'")
    #: the day of an account's last statement, however many it has
    _day_idx = models.Index(
        "(account_id, coalesce(closing_date, opening_date, uploaded_at::date))"
        " WHERE kind = 'statement' AND state <> 'dismissed'"
    )

    @api.depends("line_ids.outcome", "line_ids.is_handled")
    def _compute_line_counts(self):
        lines = self.env["g2p.account.statement.line"]
        counts = dict(
            lines._read_group([("statement_id", "in", self.ids)], ["statement_id"], ["__count"])
        )
        problems = dict(
            lines._read_group(
                [
                    ("statement_id", "in", self.ids),
                    ("outcome", "=", "error"),
                    ("is_handled", "=", False),
                ],
                ["statement_id"],
                ["__count"],
            )
        )
        for statement in self:
            statement.line_count = counts.get(statement, 0)
            statement.problem_count = problems.get(statement, 0)

    @api.depends("account_id", "statement_number", "sequence_number", "name", "kind")
    @api.depends_context("lang")
    def _compute_display_name(self):
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        for statement in self:
            number = "/".join(filter(None, (statement.statement_number, statement.sequence_number)))
            kind = "" if statement.kind == "statement" else f" ({kinds[statement.kind]})"
            name = f"{statement.account_id.name} {number or statement.name}"
            statement.display_name = name + kind

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Statements are never deleted."))

    @api.private
    def _set_received(self, note):
        """An officer takes a held statement as it is, or one that was dismissed by mistake."""
        return self._transition("received", decision_note=note)

    @api.private
    def _set_processed(self):
        """Every entry has its outcome."""
        return self._transition("processed")

    @api.private
    def _set_dismissed(self, note):
        """An officer refuses a held statement: none of its entries counts."""
        return self._transition("dismissed", decision_note=note)

    def action_view_lines(self):
        """Open the entries."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_account_statement_line_action"
        )
        return {**action, "domain": [("statement_id", "=", self.id)], "context": {}}


class AccountStatementLine(models.Model):
    """One entry of a statement, and the payment it belongs to."""

    _name = "g2p.account.statement.line"
    _description = "Statement entry"
    _order = "statement_id desc, entry_sequence"
    _rec_name = "customer_reference"
    _log_access = False

    statement_id = BulkMany2one(
        "g2p.account.statement", required=True, readonly=True, ondelete="restrict"
    )
    account_id = fields.Many2one(related="statement_id.account_id")
    company_id = fields.Many2one(related="statement_id.company_id")
    bank_id = fields.Many2one(related="statement_id.bank_id")
    entry_sequence = fields.Integer(string="Entry", readonly=True, help="1-based.")
    mark = fields.Selection(
        [
            ("D", "Debit"),
            ("C", "Credit"),
            ("RD", "Reversal of a debit"),
            ("RC", "Reversal of a credit"),
        ],
        string="Kind",
        required=True,
        readonly=True,
    )
    amount = fields.Monetary(required=True, readonly=True)
    currency_id = fields.Many2one(related="statement_id.currency_id")
    value_date = fields.Date(readonly=True)
    entry_date = fields.Date(readonly=True)
    customer_reference = fields.Char(readonly=True, help="MT940 :61: subfield 7, camt EndToEndId")
    bank_reference = fields.Char(
        readonly=True, help="MT940 :61: subfield 8, camt AcctSvcrRef or NtryRef"
    )
    narrative = fields.Text(readonly=True, groups="g2p_bridge.group_account_viewer")
    narrative_masked = fields.Text(
        string="Text of the bank", compute="_compute_narrative_masked", compute_sudo=True
    )
    disbursement_reference = fields.Char(
        readonly=True, help="The disbursement id that the bank's connector read in the entry."
    )
    beneficiary_name_from_bank = fields.Char(readonly=True)
    reversal_reason = fields.Char(readonly=True)
    reversal_details = fields.Char(
        string="Reason in words", readonly=True, help="What the bank adds to the reason."
    )
    batch_reference = fields.Char(
        readonly=True, help="The bank's name of the booking that it is, or a part of."
    )
    transaction_count = fields.Integer(
        string="Transactions",
        readonly=True,
        help="Of a batch that the bank did not take apart: how many transactions it is of.",
    )
    outcome = fields.Selection(
        [
            ("pending", "To be matched"),
            ("reconciled", "Debit of a payment"),
            ("reversed", "Return of a payment"),
            ("error", "To be looked at"),
            ("noted", "Noted, counts for nothing"),
        ],
        required=True,
        readonly=True,
        group_expand=True,
    )
    error_reason = fields.Selection(LINE_REASONS, readonly=True)
    matched_disbursement_id = BulkMany2one(
        "g2p.disbursement", string="Payment", readonly=True, index="btree_not_null"
    )
    envelope_id = BulkMany2one("g2p.disbursement.envelope", readonly=True)
    is_handled = fields.Boolean(string="Handled", readonly=True)
    handled_by_id = BulkMany2one("res.users", readonly=True)
    handled_at = fields.Datetime(readonly=True)
    handling_note = fields.Char(readonly=True)

    _statement_entry_uniq = models.Constraint(
        "UNIQUE (statement_id, entry_sequence)", "Entry numbers of a statement are unique."
    )
    #: entries of an envelope stand beside each other: a few numbers for each megabyte are enough
    _envelope_idx = models.Index("USING brin (envelope_id)")
    _worklist_idx = models.Index("(statement_id) WHERE outcome = 'error' AND NOT is_handled")
    #: returns that came before their debit
    _early_return_idx = models.Index(
        "(matched_disbursement_id) WHERE error_reason = 'INVALID_REVERSAL' AND NOT is_handled"
    )

    @api.depends("narrative")
    def _compute_narrative_masked(self):
        for line in self:
            line.narrative_masked = masking.mask_text(line.narrative or "")
