from odoo.tests import tagged
from odoo.tools import file_open
from odoo.tools.convert import convert_xml_import

from .common import BridgeCommon

STATES = {
    "receiving",
    "ready",
    "approved",
    "funds_available",
    "funds_blocked",
    "disbursing",
    "disbursed",
    "settled",
    "needs_attention",
    "cancelled",
}
PAYMENT_STATES = {
    *("received", "unresolved", "sent", "unknown", "reconciled", "reversed", "rejected"),
    "cancelled",
}


@tagged("post_install", "-at_install")
class TestDemoData(BridgeCommon):
    """What --with-demo installs is a ministry whose books agree, and which calls nobody."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with file_open("g2p_bridge/demo/demo.xml", "rb") as file:
            convert_xml_import(cls.env, "g2p_bridge", file, mode="init", noupdate=True)
        cls.env.flush_all()
        cls.programs = cls.env["g2p.benefit.program"].search(
            [("mnemonic", "in", ["CHILD", "PENSION", "FARM", "RELIEF"])]
        )
        cls.envelopes = cls.env["g2p.disbursement.envelope"].search(
            [("program_id", "in", cls.programs.ids)]
        )

    def test_every_state_is_there(self):
        self.assertEqual(set(self.envelopes.mapped("state")), STATES)
        payments = self.env["g2p.disbursement"]
        rows = payments._read_group(
            [("envelope_id", "in", self.envelopes.ids)], ["state"], ["__count"]
        )
        self.assertEqual({state for state, _count in rows}, PAYMENT_STATES)
        self.assertGreater(sum(count for _state, count in rows), 4000)

    def test_all_books_agree(self):
        differences = self.env["g2p.ledger.difference"]._check()
        self.assertEqual(
            [(d.rule, d.envelope_id.display_name, d.expected, d.found) for d in differences], []
        )

    def test_there_is_work_of_each_kind(self):
        notices = self.env["g2p.notice"].search([("closed_at", "=", False)])
        self.assertLessEqual(
            {"funds", "approval", "attention", "statement_late"}, set(notices.mapped("kind"))
        )
        statements = self.env["g2p.account.statement"].search(
            [("bank_id", "in", self.envelopes.bank_id.ids)]
        )
        self.assertEqual(set(statements.mapped("state")), {"processed", "held"})
        open_entries = self.env["g2p.account.statement.line"].search(
            [("outcome", "=", "error"), ("is_handled", "=", False)]
        )
        self.assertEqual(open_entries.mapped("customer_reference"), ["TRF0099812"])

    def test_statements_follow_on_one_another(self):
        statements = self.env["g2p.account.statement"].search(
            [("bank_id", "in", self.envelopes.bank_id.ids), ("state", "=", "processed")]
        )
        self.assertEqual(set(statements.mapped("continuity_note")), {False})
        self.assertTrue(all(statements.mapped("is_tied")))

    def test_nothing_calls_out_by_itself(self):
        self.assertEqual(set(self.envelopes.bank_id.mapped("connector")), {False})
        from odoo.addons.queue_job.tests.common import trap_jobs

        with trap_jobs() as trap:
            self.env["g2p.disbursement.envelope"]._cron_find_due_work()
        for job in trap.enqueued_jobs:
            with trap_jobs() as following:
                job.recordset = job.recordset.with_env(job.recordset.env(cr=self.env.cr))
                job.perform()
            names = {follower.method_name for follower in following.enqueued_jobs}
            self.assertFalse(names - {"_resolve", "_advance"}, job.description)
        self.assertEqual(set(self.envelopes.mapped("state")), STATES)

    def test_nothing_is_in_the_future(self):
        self.env.cr.execute(
            """
            SELECT max(greatest(created_at, (SELECT max(state_since) FROM g2p_disbursement)))
                   <= now() AT TIME ZONE 'utc' FROM g2p_disbursement_journal
            """
        )
        self.assertEqual(self.env.cr.fetchone(), (True,))

    def test_it_is_loaded_once(self):
        self.assertFalse(self.env["g2p.demo"]._load())

    def test_a_usual_installation_has_none(self):
        manifest = self.env["ir.module.module"].search([("name", "=", "g2p_bridge")])
        self.assertFalse(manifest.demo)
