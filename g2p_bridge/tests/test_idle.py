import re

from odoo.tests import tagged

from .idle_case import IdleCase


@tagged("post_install", "-at_install")
class TestIdleCost(IdleCase):
    """What the crons cost when nothing is due, however much was paid before."""

    def tick(self, name):
        """Run a cron in which nothing is due; return its queries."""
        envelopes = self.env["g2p.disbursement.envelope"]
        getattr(envelopes, name)()  # fills caches
        self.env.invalidate_all()
        with self.recorded() as statements:
            self.assertEqual(self._enqueued_by(getattr(envelopes, name)), [])
        return [each for each in statements if re.match(r"\s*(SELECT|WITH|UPDATE)", each)]

    def test_the_look_for_due_work_is_a_few_indexed_queries(self):
        self.assertFewIndexedQueries(lambda: self.tick("_cron_find_due_work"), limit=10)

    def test_what_a_bank_without_release_holds_costs_nothing(self):
        self.released_at = None
        other = self.create_bank(code="KEEPS")  # without connector
        self.create_bank(code="GIVES", connector=self.bank.connector)
        self.bank = other
        self.assertFewIndexedQueries(lambda: self.tick("_cron_find_due_work"), limit=10)

    def test_the_look_for_missing_accounts_is_one_indexed_query(self):
        self.assertFewIndexedQueries(lambda: self.tick("_cron_resolve_again"), limit=1)
