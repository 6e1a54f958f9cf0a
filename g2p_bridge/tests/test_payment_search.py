from odoo.exceptions import AccessError
from odoo.sql_db import db_connect
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .pipeline_case import PipelineCase
from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestPaymentSearch(StatementCase):
    """One box finds a payment by whatever somebody has of it."""

    def found(self, text, user=None):
        """Return what is found for a text, as (model, ids)."""
        self.env.flush_all()
        hits = self.env["g2p.disbursement"].with_user(user or self.officer).action_view_found(text)
        return [(hit["model"], hit.get("ids", hit.get("id"))) for hit in hits]

    def setUp(self):
        super().setUp()
        self.payments = self.disbursements(self.envelope)
        self.second = self.payments[1]

    def assertFinds(self, text, *records):
        self.assertEqual(self.found(text), [(record._name, record.id) for record in records])

    def test_by_a_disbursement_id_whole_in_small_letters_or_with_blanks(self):
        for text in (self.ids[1], self.ids[1].lower(), f"  {self.ids[1]} "):
            self.assertFinds(text, self.second)

    def test_by_the_beginning_of_an_id(self):
        begin = self.ids[0][:10]
        found = {record for model, record in self.found(begin) if model == "g2p.disbursement"}
        self.assertLessEqual(set(self.payments.ids), found)

    def test_by_mis_reference_beneficiary_and_reference_of_the_bank(self):
        self.assertFinds("MIS2", self.second)
        self.assertFinds("BEN2", self.second)
        self.book(entry("D", 100, self.ids[1], bank_reference="EXB77"))
        self.assertFinds("EXB77", self.second)

    def test_by_an_envelope_id_and_a_batch(self):
        self.assertFinds(self.envelope.disbursement_envelope_id, self.envelope)
        batch = self.second.batch_id
        self.assertFinds(batch.name, batch)
        batch.bank_reference = "EXC9"
        self.env.cr.execute("UPDATE g2p_disbursement SET bank_reference = 'EXC9'")
        self.assertFinds("EXC9", batch)

    def test_nothing_is_found_for_other_texts_whatever_they_are(self):
        for text in ("", "  ", "ab", "MIS", "MIS22", "%%%", "_____", "' OR 1=1", "\\", "x" * 5000):
            self.assertEqual(self.found(text), [], text)
        for value in (None, 7, ["MIS2"], {}):
            self.assertEqual(self.found(value), [])

    def test_all_payments_of_one_person_are_a_list_behind_the_newest(self):
        for index in range(9):
            with trap_jobs():
                self.create_full_envelope(1, cycle_code_mnemonic=f"cycle {index}")
        found = self.found("BEN1")
        newest = self.env["g2p.disbursement"].search(
            [("beneficiary_id", "=", "BEN1")], order="id desc"
        )
        self.assertEqual(len(found), 9)
        self.assertEqual(found[0], ("g2p.disbursement", newest[0].id))
        self.assertEqual(found[-1], ("g2p.disbursement", newest.ids))

    def test_a_hit_says_whose_it_is_and_what_became_of_it(self):
        [hit] = self.env["g2p.disbursement"].with_user(self.officer).action_view_found("BEN2")
        self.assertEqual(hit["name"], f"{self.ids[1]} · Person 2")
        self.assertIn("100.00 · Sent · TESTPROG · 2026-11", hit["detail"])

    def test_nothing_is_found_across_companies(self):
        other = self.env["res.company"].create({"name": "Other"})
        stranger = self.create_user("test_stranger", "g2p_bridge.group_officer")
        stranger.write({"company_ids": [(6, 0, other.ids)], "company_id": other.id})
        for text in (
            self.ids[1],
            "MIS2",
            "BEN2",
            self.envelope.disbursement_envelope_id,
            self.second.batch_id.name,
        ):
            self.assertEqual(self.found(text, user=stranger), [], text)

    def test_machines_and_strangers_to_the_bridge_find_nothing(self):
        employee = self.create_user("test_employee", "base.group_user")
        for user in (self.pbms_user, self.bank_user, employee):
            with self.assertRaises(AccessError):
                self.found("BEN2", user=user)

    def test_each_way_goes_by_an_index(self):
        payments = self.env["g2p.disbursement"]
        for way in ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan"):
            self.env.cr.execute(SQL("SET LOCAL %s = off", SQL.identifier(way)))
        for query in payments._queries_of_name("BEN2"):
            plan = self.env.execute_query(SQL("EXPLAIN %s", query))
            self.assertIn("g2p_disbursement_search_idx", str(plan))

    def test_a_payment_that_changes_writes_little_into_the_journal_of_postgresql(self):
        # the filters of a range of pages are written whole for each new row version in it: with
        # ranges of 64 pages these were 5 KB for each payment of a statement
        count = 500
        with trap_jobs():
            envelope = self.create_full_envelope(count, cycle_code_mnemonic="journal")
        self.env.flush_all()
        self.env["g2p.disbursement"]._cron_summarize()
        [[plan]] = self.env.execute_query(
            SQL(
                "EXPLAIN (ANALYZE, WAL, FORMAT JSON) UPDATE g2p_disbursement"
                " SET bank_reference = 'EXW' || id WHERE envelope_id = %s",
                envelope.id,
            )
        )
        update = plan[0]["Plan"]
        # pages that are written whole after a checkpoint do not count
        written = (update["WAL Bytes"] - update["WAL FPI"] * 8192) / count
        self.assertGreater(written, 100)
        self.assertLess(written, 2000)

    def test_the_planner_is_as_free_afterwards_as_before(self):
        self.found("BEN2")
        for way in ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan"):
            self.assertEqual(
                self.env.execute_query(SQL("SELECT current_setting(%s)", way)), [("on",)]
            )

    def test_the_same_queries_however_many_are_found(self):
        def query_count(text):
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.found(text)
            return self.env.cr.sql_log_count - before

        query_count("BEN1")
        one = query_count("BEN1")
        for index in range(9):
            with trap_jobs():
                self.create_full_envelope(1, cycle_code_mnemonic=f"cycle {index}")
        query_count("BEN1")
        self.assertEqual(query_count("BEN1"), one)
        self.assertLess(one, 30)


@tagged("post_install", "-at_install")
class TestSummaries(PipelineCase):
    """Nothing moves here: a move may have the table counted, which keeps others from its lock."""

    def test_ranges_are_summarized_by_the_clock_unless_the_table_is_locked(self):
        payments = self.env["g2p.disbursement"]
        with trap_jobs():
            self.create_full_envelope(500, cycle_code_mnemonic="ranges")
        self.env.flush_all()
        self._forget_first_range()
        # as autovacuum does; a connection of its own, for that of the test would not wait
        with db_connect(self.env.cr.dbname).cursor() as other:
            other.execute("SET LOCAL lock_timeout = '60s'")
            other.execute("LOCK TABLE g2p_disbursement IN SHARE UPDATE EXCLUSIVE MODE")
            payments._cron_summarize()
        self.assertGreater(self._summarize(), 0)
        self._forget_first_range()
        payments._cron_summarize()
        self.assertEqual(self._summarize(), 0)

    def _forget_first_range(self):
        """Have a range that is not summarized; new rows may come into pages that were free."""
        self._summarize()
        self.env.cr.execute(
            "SELECT brin_desummarize_range('g2p_disbursement_search_idx'::regclass, 0)"
        )

    def _summarize(self):
        """Return how many ranges were not summarized."""
        query = SQL("SELECT brin_summarize_new_values(%s::regclass)", "g2p_disbursement_search_idx")
        [[count]] = self.env.execute_query(query)
        return count
