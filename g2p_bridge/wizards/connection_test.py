from odoo import api, fields, models

from ..models.bulk_fields import BulkMany2one


class ConnectionTest(models.TransientModel):
    """What became of the test calls to a bank or mapper."""

    _name = "g2p.connection.test"
    _description = "Connection test"

    bank_id = fields.Many2one("g2p.sponsor.bank", readonly=True)
    mapper_id = fields.Many2one("g2p.account.mapper", readonly=True)
    account_id = fields.Many2one(
        "g2p.funding.account", readonly=True, help="Only this account; empty: those of the bank."
    )
    line_ids = fields.One2many("g2p.connection.test.line", "test_id", readonly=True)
    verdict = fields.Selection(
        [("ok", "It works"), ("warning", "It answers, with a remark"), ("failed", "Not working")],
        compute="_compute_verdict",
    )

    @api.depends("line_ids.verdict")
    def _compute_verdict(self):
        for test in self:
            found = set(test.line_ids.mapped("verdict")) - {"skipped"}
            test.verdict = next((v for v in ("failed", "warning") if v in found), "ok")

    @api.depends("bank_id", "mapper_id", "account_id")
    def _compute_display_name(self):
        for test in self:
            subject = test.account_id or test.bank_id or test.mapper_id
            test.display_name = self.env._("Connection test: %s", subject.display_name)

    def action_again(self):
        """Make the test calls once more."""
        self.ensure_one()
        return (self.account_id or self.bank_id or self.mapper_id).action_test_connection()

    @api.private
    def _open(self, rows, **subject):
        """Keep what the calls came to and show it.

        :param list rows: dicts of the lines
        :return: action
        """
        lines = [fields.Command.create(row) for row in rows]
        # nobody may create one directly: it shows the name of whatever it is about
        test = self.sudo().create({**subject, "line_ids": lines})
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Test connection"),
            "res_model": self._name,
            "res_id": test.id,
            "view_mode": "form",
            "views": [[False, "form"]],
            "target": "new",
        }


class ConnectionTestLine(models.TransientModel):
    """What became of one test call."""

    _name = "g2p.connection.test.line"
    _description = "Connection test call"

    test_id = fields.Many2one("g2p.connection.test", required=True, ondelete="cascade")
    name = fields.Char(string="What was asked", readonly=True)
    verdict = fields.Selection(
        [("ok", "Works"), ("warning", "Look here"), ("failed", "Failed"), ("skipped", "Not asked")],
        string="Result",
        readonly=True,
    )
    message = fields.Char(string="What happened", readonly=True)
    advice = fields.Char(string="What to do", readonly=True)
    latency_ms = fields.Integer(string="Time (ms)", readonly=True)
    call_id = BulkMany2one("g2p.bank.call", string="Call", readonly=True)

    def action_view_call(self):
        """Open the record of the call: masked request and answer."""
        self.ensure_one()
        self.call_id.check_access("read")
        return self.call_id._get_records_action()
