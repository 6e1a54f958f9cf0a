from decimal import Decimal

from odoo import fields
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models.ledger_rules import RULES, query
from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry

#: what a world without a bank breaks: nobody was asked for accounts, funds or answers
OF_A_BANK = {
    "ACKNOWLEDGEMENT_DIFFERS",
    "BATCH_DIFFERS",
    "PAID_WITHOUT_ACCOUNT",
    "PAID_WITHOUT_BLOCK",
}


class ReissueCase(StatementCase):
    """An envelope of which one payment is paid, one came back, and one was refused."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")

    def setUp(self):
        super().setUp()
        self.paid, self.returned, self.refused = self.disbursements(self.envelope)
        self.book(
            entry("D", 100, self.ids[0]),
            entry("D", 100, self.ids[1]),
            entry("RD", 100, self.ids[1]),
        )
        self.env["g2p.disbursement"]._bulk_transition(
            "rejected",
            SQL("d.id = %s", self.refused.id),
            cause="test",
            assign=SQL("reason_code = 'AC04', reason = 'Account closed'"),
        )
        self.assertStates(self.envelope, "reconciled", "reversed", "rejected")

    def reissue(self, selection=None, *, user=None, expected=(2, Decimal(200)), envelope=None):
        """Have the officer reissue what there is; return the new envelope."""
        source = (envelope or self.envelope).with_user(user or self.officer)
        with trap_jobs():
            new_id = source._reissue(selection, fields.Date.today(), "account corrected", expected)
        self.env.flush_all()
        self.env.invalidate_all()
        return self.env["g2p.disbursement.envelope"].browse(new_id)

    def wizard(self, envelope=None, **context):
        return (
            self.env["g2p.reissue"]
            .with_user(self.officer)
            .with_context(**context)
            .create({"envelope_id": (envelope or self.envelope).id, "reason": "account corrected"})
        )

    def broken_rules(self):
        """Return the codes of the ledger's rules that do not hold."""
        self.env.flush_all()
        return {
            rule.code
            for rule in RULES
            if rule.code not in OF_A_BANK and self.env.execute_query(query(rule))
        }
