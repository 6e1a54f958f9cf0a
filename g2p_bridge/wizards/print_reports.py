from odoo import api, fields, models
from odoo.exceptions import UserError


class ExportRegister(models.TransientModel):
    """Asks in which format the payments of an envelope are wanted."""

    _name = "g2p.export.register"
    _inherit = ["g2p.record.wizard"]
    _description = "Payment register of an envelope"
    _SUBJECT = "envelope_id"

    envelope_id = fields.Many2one("g2p.disbursement.envelope", required=True, readonly=True)
    payment_count = fields.Integer(related="envelope_id.total_received_count", related_sudo=False)
    kind = fields.Selection(
        [("xlsx", "Workbook (XLSX)"), ("csv", "Text (CSV)")],
        string="Format",
        required=True,
        default="xlsx",
    )

    def action_export(self):
        """Write the file, and download it or open where it will be."""
        self.envelope_id.check_access("read")
        return self.env["g2p.register.file"]._request(self.envelope_id, self.kind)


class ReconciliationReport(models.TransientModel):
    """Asks for which account and time a reconciliation is wanted."""

    _name = "g2p.reconciliation.report"
    _inherit = ["g2p.record.wizard"]
    _description = "Reconciliation of a funding account"
    _SUBJECT = "account_id"

    account_id = fields.Many2one(
        "g2p.funding.account", required=True, default=lambda self: self._default_account()
    )
    first_day = fields.Date(
        string="From",
        required=True,
        default=lambda self: fields.Date.context_today(self).replace(day=1),
    )
    last_day = fields.Date(
        string="To", required=True, default=lambda self: fields.Date.context_today(self)
    )

    def _default_account(self):
        accounts = self.env["g2p.funding.account"].search([], limit=2)
        return accounts if len(accounts) == 1 else accounts[:0]

    @api.constrains("first_day", "last_day")
    def _check_days(self):
        if any(report.first_day > report.last_day for report in self):
            raise UserError(self.env._("The first day is after the last."))

    def action_pdf(self):
        """Download it as paper."""
        return self._download("pdf")

    def action_xlsx(self):
        """Download it as a workbook."""
        return self._download("xlsx")

    def _download(self, kind):
        self.account_id.check_access("read")
        return {
            "type": "ir.actions.act_url",
            "url": f"/g2p_bridge/account/{self.account_id.id}/{self.first_day}/{self.last_day}"
            f"/reconciliation.{kind}",
            "target": "new",
            "close": True,
        }
