from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models.planner import count_if_misjudged
from odoo.addons.queue_job.tests.common import trap_jobs

from .pipeline_case import PipelineCase
from .vacuum import vacuum_past


@tagged("post_install", "-at_install")
class TestMisjudgedTables(PipelineCase):
    """Autovacuum that looks amid a large transaction notes tables as empty that are not."""

    COUNT = 3_000

    def setUp(self):
        super().setUp()
        self.env.cr.execute(
            SQL(
                "INSERT INTO g2p_account_link"
                " (mapper_id, beneficiary_id, account_number, fa_type, active)"
                " SELECT %s, 'BEN' || n, 'AC' || n, 'BANK_ACCOUNT', TRUE"
                "   FROM generate_series(10, 30000) n",
                self.mapper.id,
            )
        )
        self.envelope = self.create_full_envelope(self.COUNT, cycle_code_mnemonic="large")

    def notes(self):
        """Return how many accounts PostgreSQL believes to be there."""
        self.env.cr.execute("SELECT reltuples FROM pg_class WHERE relname = 'g2p_account_link'")
        return self.env.cr.fetchone()[0]

    def test_look_ups_do_not_read_all_accounts_for_each_person(self):
        vacuum_past(self.env.cr, "g2p_account_link")
        self.assertEqual(self.notes(), 0)
        with trap_jobs():
            self.envelope._resolve(1, 2**31 - 1)
        states = self.disbursements(self.envelope).grouped("state")
        self.assertEqual(
            {state: len(part) for state, part in states.items()},
            {"resolved": self.COUNT - 6, "unresolved": 6},
        )
        self.assertGreater(self.notes(), 29_000)

    def test_what_is_known_is_not_counted_again(self):
        self.env.cr.execute("ANALYZE g2p_account_link")
        with self.assertQueryCount(1):
            count_if_misjudged(self.env, "g2p_account_link")
