from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..connectors import masking
from ..const import DISBURSEMENT_STATES, ISO_STATUS
from .bulk_fields import BigInteger, BulkMany2one
from .g2p_account_link import AccountLink
from .planner import count_if_misjudged
from .reason_words import in_words


class Disbursement(models.Model):
    """One payment to one beneficiary.

    Millions of rows: written by set-based statements only, with few indexes and no foreign key:
    envelopes are never deleted, and their journal has one. No chatter; the journal and the batch
    tell the story.
    """

    _name = "g2p.disbursement"
    _description = "Disbursement"
    _order = "id"
    _rec_name = "disbursement_id"
    _rec_names_search = ["disbursement_id", "mis_reference_number", "beneficiary_id"]
    _log_access = False

    #: state -> the states it may be reached from
    _TRANSITIONS = {
        "resolved": ("received", "unresolved"),
        "unresolved": ("received",),
        "batched": ("resolved",),
        "sent": ("batched", "unknown"),
        "rejected": ("batched", "unknown", "sent"),
        "unknown": ("batched",),
        "reconciled": ("sent", "unknown", "batched"),
        "reversed": ("reconciled",),
        "cancelled": ("received", "unresolved", "resolved"),
    }

    disbursement_id = fields.Char(string="Disbursement ID", required=True, readonly=True)
    envelope_id = BulkMany2one("g2p.disbursement.envelope", required=True, readonly=True)
    mis_reference_number = fields.Char(string="MIS reference", required=True, readonly=True)
    beneficiary_id = fields.Char(string="Beneficiary ID", required=True, readonly=True)
    beneficiary_name = fields.Char(required=True, readonly=True)
    amount = fields.Monetary(required=True, readonly=True)
    currency_id = fields.Many2one(related="envelope_id.currency_id")
    program_id = fields.Many2one(related="envelope_id.program_id")
    narrative = fields.Char(required=True, readonly=True)
    state = fields.Selection(DISBURSEMENT_STATES, required=True, readonly=True, group_expand=True)
    iso_status = fields.Char(
        string="ISO 20022 status", compute="_compute_iso_status", help="Payment status (pain.002)"
    )
    received_at = fields.Datetime(required=True, readonly=True)
    state_since = fields.Datetime(string="In this state since", required=True, readonly=True)
    changed_xid = BigInteger(string="Change number", readonly=True)
    batch_id = BulkMany2one("g2p.disbursement.batch", readonly=True, index="btree_not_null")

    fa_type = fields.Selection(AccountLink._FA_TYPES, string="Kind of account", readonly=True)
    account_number = fields.Char(readonly=True, groups="g2p_bridge.group_account_viewer")
    mobile_number = fields.Char(readonly=True, groups="g2p_bridge.group_account_viewer")
    email_address = fields.Char(readonly=True, groups="g2p_bridge.group_account_viewer")
    account_masked = fields.Char(
        string="Account", compute="_compute_account_masked", compute_sudo=True
    )
    bank_code = fields.Char(string="Destination bank", readonly=True)
    branch_code = fields.Char(readonly=True)
    wallet_provider = fields.Char(readonly=True)

    reason_code = fields.Char(readonly=True, help="Why it is unresolved, rejected or reversed.")
    reason = fields.Char(readonly=True)
    reason_words = fields.Char(string="Why", compute="_compute_reason_words")
    followed_up_at = fields.Datetime(
        string="Followed up",
        readonly=True,
        help="When its rejection or return was left to the program, or it was reissued.",
    )
    bank_reference = fields.Char(readonly=True, help="The bank's reference of the payment.")
    last_line_id = fields.Integer(readonly=True, help="Statement entry that moved it last.")
    line_ids = fields.One2many(
        "g2p.account.statement.line", "matched_disbursement_id", string="Statement lines"
    )

    _disbursement_id_uniq = models.Constraint(
        "UNIQUE (disbursement_id)", "Disbursement id exists already."
    )
    _mis_reference_uniq = models.Constraint(
        "UNIQUE (envelope_id, mis_reference_number)",
        "The MIS reference stands already in this envelope.",
    )
    _amount_positive = models.Constraint("CHECK (amount > 0)", "The amount must be positive.")
    #: what is still to be looked up or batched, in the order it came
    _waiting_idx = models.Index(
        "(envelope_id, state, id) WHERE state IN ('received', 'unresolved', 'resolved')"
    )
    _changes_idx = models.Index("(changed_xid, id)")
    #: rejections and returns that nobody has dealt with; no payment is in it on its usual way
    _follow_up_idx = models.Index(
        "(envelope_id, state, reason_code)"
        " WHERE state IN ('rejected', 'reversed') AND followed_up_at IS NULL"
    )

    @api.depends("state")
    def _compute_iso_status(self):
        for disbursement in self:
            disbursement.iso_status = ISO_STATUS.get(disbursement.state, "")

    @api.depends("reason_code", "reason")
    @api.depends_context("lang")
    def _compute_reason_words(self):
        for disbursement in self:
            disbursement.reason_words = in_words(
                self.env, disbursement.reason_code, disbursement.reason
            )

    @api.depends("account_number", "mobile_number", "email_address")
    def _compute_account_masked(self):
        for disbursement in self:
            full = (
                disbursement.account_number
                or disbursement.mobile_number
                or disbursement.email_address
            )
            disbursement.account_masked = masking.mask_account(full) if full else False

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Payments are never deleted; cancel them instead."))

    def action_view_envelope(self):
        """Open the envelope of the payment."""
        self.check_access("read")
        return self.envelope_id._get_records_action()

    def action_view_batch(self):
        """Open the batch of the payment."""
        self.check_access("read")
        return self.batch_id._get_records_action()

    @api.private
    def _bulk_transition(
        self,
        target,
        where,
        *,
        cause,
        assign=None,
        from_clause=None,
        source=None,
        then=None,
        is_withdrawal=False,
    ):
        """Move every disbursement that meets ``where`` to ``target``; the only writer of states.

        One statement per source state, whatever the number of rows; each adds its journal rows.
        Where ``from_clause`` tells the source states itself, one statement for all of them.

        :param str target: state to reach
        :param SQL where: condition on the alias ``d`` (and what ``from_clause`` adds)
        :param str cause: what did it, for the journal
        :param SQL assign: further assignments (``reason_code = v.code``)
        :param SQL from_clause: further tables
        :param SQL source: column of ``from_clause`` with the state that it found the payment in
        :param SQL then: further steps of the same statement, as common table expressions
            (``name AS (...)``) that read ``moved``: id, envelope_id, batch_id, amount, source,
            last_line_id
        :return: list of (envelope id, batch id, count, amount) that moved
        """
        self.env.flush_all()
        if from_clause:
            count_if_misjudged(self.env, self._table)
        allowed = self._TRANSITIONS[target]
        # The planner's statistics may be of a minute ago, when no payment was in this state: for
        # one row it would join by a loop over all, for hours. So where it joins, it may not know
        # that this is a column.
        state = SQL("d.state || ''") if from_clause else SQL("d.state")
        if source:
            # the row must still be as it was found: a statement in READ COMMITTED looks again
            ways = [(source, SQL("%s = %s AND %s = ANY(%s)", state, source, source, list(allowed)))]
        else:
            ways = [(SQL("%s", name), SQL("%s = %s", state, name)) for name in allowed]
        moved = []
        for source_, is_due in ways:
            # not env.execute_query: when a caller cancels one of the rows meanwhile, that would put
            # the statement into the log as an error, account numbers included
            self.env.cr.execute(
                SQL(
                    """
                    WITH moved AS (
                        UPDATE g2p_disbursement d
                           SET state = %(target)s, state_since = %(now)s,
                               changed_xid = pg_current_xact_id()::text::bigint %(assign)s
                               %(from_clause)s
                         WHERE %(is_due)s AND %(where)s
                     RETURNING d.id, d.envelope_id, d.batch_id, d.amount, d.last_line_id,
                               %(source)s AS source) %(then)s
                    INSERT INTO g2p_disbursement_journal
                           (envelope_id, batch_id, source, target, disbursement_count, amount,
                            cause, user_id, created_at, is_withdrawal)
                    SELECT envelope_id, batch_id, source, %(target)s, count(*), sum(amount),
                           %(cause)s, %(uid)s, %(now)s, %(is_withdrawal)s
                      FROM moved GROUP BY envelope_id, batch_id, source
                    RETURNING envelope_id, batch_id, disbursement_count, amount
                    """,
                    target=target,
                    source=source_,
                    is_due=is_due,
                    now=fields.Datetime.now(),
                    assign=SQL(", %s", assign) if assign else SQL(),
                    from_clause=SQL("FROM %s", from_clause) if from_clause else SQL(),
                    where=where,
                    then=SQL(", %s", then) if then else SQL(),
                    cause=cause,
                    uid=self.env.uid,
                    is_withdrawal=is_withdrawal,
                ),
                log_exceptions=False,
            )
            moved += self.env.cr.fetchall()
        if moved:
            self.env.invalidate_all()
        return moved
