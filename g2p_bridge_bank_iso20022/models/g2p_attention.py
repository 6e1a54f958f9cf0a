from odoo import api, fields, models
from odoo.tools import SQL


class Attention(models.Model):
    """Files of a bank that could not be read, one case for each bank."""

    _inherit = "g2p.attention"

    kind = fields.Selection(selection_add=[("bank_file", "File of a bank")])

    def _case_queries(self):
        return [*super()._case_queries(), self._query_bank_files()]

    @api.private
    def _query_bank_files(self):
        return self._case_query(
            "bank_file",
            SQL("f.bank_id::text"),
            SQL(
                """
                (SELECT bank_id, company_id, count(*) AS n, min(received_at) AS since,
                        (array_agg(error_code ORDER BY id))[1] AS code,
                        (array_agg(note ORDER BY id))[1] AS note
                   FROM g2p_bank_file WHERE state = 'error'
                  GROUP BY bank_id, company_id) f
                """
            ),
            bank_id=SQL("f.bank_id"),
            company_id=SQL("f.company_id"),
            payment_count=SQL("f.n"),
            since=SQL("f.since"),
            reason_code=SQL("f.code"),
            reason=SQL("f.note"),
        )

    def _sentence_bank_file(self):
        if self.payment_count == 1:
            return self.env._("A file of the bank is to be looked at: %s", self.reason)
        return self.env._(
            "%(count)s files of the bank are to be looked at. The first: %(reason)s",
            count=self.payment_count,
            reason=self.reason,
        )

    def action_view_subject(self):
        """Open the bank's files that are to be looked at."""
        self.ensure_one()
        if self.kind != "bank_file":
            return super().action_view_subject()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge_bank_iso20022.g2p_bank_file_action"
        )
        domain = [("bank_id", "=", self.bank_id.id), ("state", "=", "error")]
        return {**action, "path": False, "domain": domain, "context": {}}
