from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.g2p_bridge.models.roles import OFFICER, check_role

KINDS = [
    ("pain.002", "Status report (pain.002)"),
    ("camt.052", "Report of the day (camt.052)"),
    ("camt.053", "Statement (camt.053)"),
    ("camt.054", "Notification (camt.054)"),
    ("mt940", "Statement (MT940)"),
    ("other", "Another message"),
    ("unreadable", "Unreadable"),
]


class BankFile(models.Model):
    """A file that the bank laid down for us, and what became of it.

    Of each there is one record, whatever its name and however often it comes: it is known by its
    content. The content itself is for those who may see account numbers.
    """

    _name = "g2p.bank.file"
    _description = "File of a bank"
    _inherit = ["g2p.state.mixin", "mail.thread"]
    _order = "id desc"
    _mail_post_access = "read"

    _TRANSITIONS = {
        "received": ("error",),
        "processed": ("received",),
        "ignored": ("received",),
        "error": ("received",),
        "dismissed": ("error",),
    }

    name = fields.Char(required=True, readonly=True, help="As the bank calls the file.")
    bank_id = fields.Many2one(
        "g2p.sponsor.bank", required=True, readonly=True, index=True, ondelete="restrict"
    )
    company_id = fields.Many2one(related="bank_id.company_id", store=True, index=True)
    kind = fields.Selection(KINDS, required=True, readonly=True)
    message_type = fields.Char(readonly=True, help="Of an XML file, such as camt.053.001.08.")
    message_id = fields.Char(
        string="Message ID", readonly=True, index="btree_not_null", help="The bank's own id of it."
    )
    content_sha256 = fields.Char(string="SHA-256", required=True, readonly=True)
    size = fields.Integer(string="Bytes", readonly=True)
    state = fields.Selection(
        [
            ("received", "To be read"),
            ("processed", "Read"),
            ("ignored", "Not needed"),
            ("error", "To be looked at"),
            ("dismissed", "Dismissed"),
        ],
        required=True,
        readonly=True,
        default="received",
        tracking=True,
    )
    error_code = fields.Char(readonly=True)
    note = fields.Char(string="What came of it", readonly=True)
    hint = fields.Char(string="What to do", readonly=True)
    received_at = fields.Datetime(
        string="Received", required=True, readonly=True, default=fields.Datetime.now
    )
    seen_count = fields.Integer(
        string="Times seen", readonly=True, default=1, help="How often the bank sent it."
    )
    accepted_count = fields.Integer(string="Accepted", readonly=True)
    rejected_count = fields.Integer(string="Rejected", readonly=True)
    contradicted_count = fields.Integer(
        string="Contradicted", readonly=True, help="What statements or earlier answers rule out."
    )
    batch_id = fields.Many2one("g2p.disbursement.batch", string="Of batch", readonly=True)
    statement_ids = fields.Many2many("g2p.account.statement", string="Statements", readonly=True)
    attachment_id = fields.Many2one(
        "ir.attachment",
        string="File",
        readonly=True,
        groups="g2p_bridge.group_account_viewer",
        help="As the bank sent it, with the account numbers that it holds.",
    )
    remote_stamp = fields.Char(readonly=True, help="Size and time of the file at the bank.")
    is_forced = fields.Boolean(readonly=True, help="An officer has had it read again.")
    is_tidied = fields.Boolean(
        string="Moved", readonly=True, help="It was moved out of the bank's folder."
    )
    tidy_error = fields.Char(string="Not moved because", readonly=True)
    tidy_tried_at = fields.Datetime(string="Move last tried", readonly=True)

    _content_uniq = models.Constraint(
        "UNIQUE (bank_id, content_sha256)", "This file of the bank is known already."
    )
    _received_idx = models.Index("(bank_id, id) WHERE state = 'received'")
    _error_idx = models.Index("(bank_id) WHERE state = 'error'")
    #: that are still in the bank's folder
    _untidied_idx = models.Index("(bank_id, name) WHERE NOT is_tidied")

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Files of banks are never deleted."))

    @api.private
    def _set_received(self):
        """An officer has it read again."""
        return self._transition(
            "received", error_code=False, note=False, hint=False, is_forced=True
        )

    @api.private
    def _set_processed(self, note, **values):
        """All that it says is booked."""
        return self._transition("processed", note=note, **values)

    @api.private
    def _set_ignored(self, note):
        """It says nothing that the bridge would need."""
        return self._transition("ignored", note=note)

    @api.private
    def _set_error(self, code, note, hint, **values):
        """Somebody has to look at it."""
        return self._transition("error", error_code=code, note=note[:500], hint=hint, **values)

    @api.private
    def _set_dismissed(self):
        """An officer has dealt with it otherwise."""
        return self._transition("dismissed")

    # -- buttons --------------------------------------------------------------------------------

    def action_read_again(self):
        """Read files that could not be read once more (job): what stood in the way is mended."""
        check_role(self, OFFICER)
        files = self.filtered(lambda file: file.state == "error").sudo()  # written by jobs only
        files._set_received()
        files._enqueue_process()

    def action_dismiss(self):
        """Say that nothing is left to do about files that could not be read."""
        check_role(self, OFFICER)
        self.filtered(lambda file: file.state == "error").sudo()._set_dismissed()

    def action_view_statements(self):
        """Open the statements that came of the file."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_account_statement_action"
        )
        return {**action, "domain": [("id", "in", self.statement_ids.ids)], "context": {}}
