import os
import re
import tempfile
from datetime import timedelta
from unittest import TestCase
from unittest.mock import patch

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from odoo import fields
from odoo.sql_db import Cursor, db_connect
from odoo.tests import tagged
from odoo.tools import SQL

from ..connectors.errors import BankOutcomeUnknown, BankRejected, BankUnavailable
from ..controllers import monitor
from ..controllers.monitor import Scrape
from ..models.g2p_call_statistic import ABOVE, BOUNDS_MS, bound_of, cumulated
from ..models.g2p_monitor import REASONS, STEPS
from .idle_case import IdleCase, growing_rows_in_vain
from .pipeline_case import PipelineCase
from .statement_case import StatementCase, entry


class TestToken(TestCase):
    """Where the token comes from, and when there is none."""

    def token(self, **environment):
        rest = {key: text for key, text in os.environ.items() if "METRICS_TOKEN" not in key}
        with patch.dict(os.environ, rest | environment, clear=True):
            return monitor._token()

    def test_without_a_token_there_is_none(self):
        self.assertEqual(self.token(), "")

    def test_a_short_one_is_none(self):
        with self.assertLogs("odoo.addons.g2p_bridge.controllers.monitor", "WARNING") as logs:
            self.assertEqual(self.token(G2P_BRIDGE_METRICS_TOKEN="only15letters.."), "")
        self.assertNotIn("only15letters", str(logs.output))
        self.assertEqual(
            self.token(G2P_BRIDGE_METRICS_TOKEN="sixteen.letters."), "sixteen.letters."
        )

    def test_a_file_is_read_each_time_and_counts_after_the_variable(self):
        with tempfile.NamedTemporaryFile("w+") as file:
            for text in ("a-token-of-a-file", "another-token-of-it"):
                file.seek(0)
                file.truncate()
                file.write(f"{text}\n")
                file.flush()
                self.assertEqual(self.token(G2P_BRIDGE_METRICS_TOKEN_FILE=file.name), text)
            given = {"G2P_BRIDGE_METRICS_TOKEN": "the-variable-s-token"}
            found = self.token(G2P_BRIDGE_METRICS_TOKEN_FILE=file.name, **given)
            self.assertEqual(found, "the-variable-s-token")

    def test_a_file_that_is_not_there_is_no_token(self):
        with self.assertLogs("odoo.addons.g2p_bridge.controllers.monitor", "WARNING"):
            self.assertEqual(self.token(G2P_BRIDGE_METRICS_TOKEN_FILE="/nowhere/token"), "")


class MonitorMixin:
    """Reads the figures as Prometheus does."""

    def scrape(self):
        """Return {(name, labels as sorted tuple): value}."""
        self.env.flush_all()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Scrape(self.env["g2p.monitor"]))
        text = generate_latest(registry).decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def figure(self, name, **labels):
        return self.scrape().get((f"g2p_bridge_{name}", tuple(sorted(labels.items()))))

    def figures(self, name, label):
        """Return {value of a label: figure} of a metric with no other label, without zeros."""
        return {
            dict(labels)[label]: value
            for (found, labels), value in self.scrape().items()
            if found == f"g2p_bridge_{name}" and value
        }


@tagged("post_install", "-at_install")
class TestFiguresOfThePipeline(MonitorMixin, PipelineCase):
    """What the figures say of envelopes, steps, calls and jobs."""

    keeps_postponed = True  # own cursors stay

    def later(self, envelope, **values):
        """Have the envelope stand where it does for an hour."""
        an_hour_ago = fields.Datetime.now() - timedelta(hours=1)
        envelope.write({"state_since": an_hour_ago, **values})

    def test_each_state_has_a_figure_and_ended_envelopes_have_none(self):
        envelope = self.ready_envelope()
        before = self.scrape()
        self.assertEqual(before["g2p_bridge_envelopes", (("state", "ready"),)], 1)
        self.assertEqual(before["g2p_bridge_envelopes", (("state", "disbursing"),)], 0)
        envelope.state = "settled"
        after = self.figures("envelopes", "state")
        self.assertEqual(after, {})
        self.assertNotIn(("g2p_bridge_envelopes", (("state", "settled"),)), self.scrape())

    def test_the_oldest_due_work_of_each_step(self):
        envelope = self.ready_envelope()
        self.later(envelope)
        self.assertEqual(set(self.figures("due_work", "step")), {"resolve", "check_funds"})
        self.assertLess(abs(self.figure("due_work_oldest_seconds", step="check_funds") - 3600), 60)
        for state, step in (
            ("funds_available", "block_funds"),
            ("funds_blocked", "form_batches"),
        ):
            self.later(envelope, state=state)
            self.assertEqual(set(self.figures("due_work", "step")), {"resolve", step})
        envelope.is_paused = True
        self.assertEqual(self.figures("due_work", "step"), {})
        self.assertEqual(self.figure("envelopes_paused"), 1)
        self.assertEqual(set(STEPS), {key[1][0][1] for key in self.steps()})

    def steps(self):
        return [key for key in self.scrape() if key[0] == "g2p_bridge_due_work"]

    def test_an_envelope_that_is_scheduled_for_later_is_no_due_work(self):
        in_a_month = fields.Date.today() + timedelta(days=30)
        self.ready_envelope(disbursement_schedule_date=in_a_month.isoformat())
        self.assertEqual(self.figures("due_work", "step"), {})

    def test_approval_is_a_step_of_its_own(self):
        self.program.approval_required = True
        self.ready_envelope()
        self.assertEqual(set(self.figures("due_work", "step")), {"resolve", "approve"})

    def test_batches_that_wait_and_batches_without_answer(self):
        envelope = self.ready_envelope(2)
        self.later(envelope, state="funds_blocked")
        batch = self.env["g2p.disbursement.batch"].create(
            {"name": "B1", "envelope_id": envelope.id, "state": "ready"}
        )
        self.assertEqual(self.figure("due_work", step="send_batches"), 1)
        self.assertEqual(self.figure("due_work", step="bank_answer"), 0)
        self.env["g2p.bank.call"]._start("initiate_payment", "initiate_payment:B1", batch)
        self.assertEqual(self.figure("due_work", step="bank_answer"), 1)
        batch.state = "unknown"
        self.assertEqual(self.figure("outcome_unknown", kind="batch"), 1)

    def test_a_batch_of_unknown_outcome_is_told(self):
        envelope = self.ready_envelope(2)
        self.fake.script("initiate_payment", BankOutcomeUnknown("no answer", code="ReadTimeout"))
        self.run_envelope(envelope)
        self.assertEqual(self.figure("outcome_unknown", kind="batch"), 1)
        self.assertEqual(self.figures("open_payments", "state"), {"unknown": 2})

    def test_a_stopped_envelope_says_why_and_a_banks_own_words_are_no_label(self):
        envelope = self.ready_envelope()
        envelope._set_needs_attention("FUNDS_NOT_AVAILABLE", "too little")
        stopped = {"reason": "FUNDS_NOT_AVAILABLE", "waits_for": "officer"}
        self.assertEqual(self.figure("envelopes_stopped", **stopped), 1)
        envelope.write({"attention_code": "Mr. Smith", "next_attempt_at": fields.Datetime.now()})
        stopped = {"reason": "other", "waits_for": "retry"}
        self.assertEqual(self.figure("envelopes_stopped", **stopped), 1)
        self.assertIn("FUNDS_NOT_AVAILABLE", REASONS)

    def test_payments_and_their_money_are_those_of_the_journal(self):
        envelope = self.ready_envelope(3)
        figures = self.scrape()
        key = (("currency", "USD"), ("state", "received"))
        self.assertEqual(figures["g2p_bridge_open_payments", key], 3)
        self.assertEqual(figures["g2p_bridge_open_payments_amount", key], 300)
        self.run_envelope(envelope)
        self.assertEqual(self.figures("open_payments", "state"), {"sent": 3})

    def calls(self, operation, outcome):
        called = {"company": str(self.bank.company_id.id), "kind": "bank", "code": "FAKE"}
        labels = {**called, "operation": operation, "outcome": outcome}
        return self.figure("call_duration_seconds_count", **labels) or 0

    def test_calls_are_counted_by_how_they_ended(self):
        self.fake.script("check_funds", BankUnavailable("down", code="ConnectTimeout"))
        self.fake.script("block_funds", BankRejected("no", code="NO"))
        self.run_envelope(self.ready_envelope())
        self.assertEqual(self.calls("check_funds", "unavailable"), 1)
        self.assertEqual(self.calls("check_funds", "answered"), 1)
        self.assertEqual(self.calls("block_funds", "rejected"), 1)
        self.assertEqual(self.calls("initiate_payment", "answered"), 0)

    def test_durations_are_a_histogram(self):
        self.assertEqual(bound_of(0), BOUNDS_MS[0])
        self.assertEqual(bound_of(BOUNDS_MS[0]), BOUNDS_MS[0])
        self.assertEqual(bound_of(BOUNDS_MS[0] + 1), BOUNDS_MS[1])
        self.assertEqual(bound_of(BOUNDS_MS[-1] + 1), ABOVE)
        buckets = dict(cumulated({50: 2, 500: 1, ABOVE: 4}))
        self.assertEqual((buckets["0.05"], buckets["0.25"], buckets["70"]), (2, 2, 3))
        self.assertEqual(buckets["+Inf"], 7)

    def test_a_bank_that_does_not_answer_is_down(self):
        called = {"company": str(self.bank.company_id.id), "kind": "bank", "code": "FAKE"}
        self.assertEqual(self.figure("up", **called), 1)
        self.env["g2p.bank.health"].create(
            {
                "bank_id": self.bank.id,
                "failure_count": 5,
                "down_since": fields.Datetime.now() - timedelta(hours=1),
                "open_until": fields.Datetime.now(),
            }
        )
        self.assertEqual(self.figure("up", **called), 0)
        self.assertEqual(self.figure("failures_in_row", **called), 5)
        self.assertGreater(self.figure("unanswered_seconds", **called), 3500)

    def age(self, job, column, age):
        """Set a moment of a job, which nobody may by the ORM."""
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE queue_job SET %s = %s WHERE id = %s",
                SQL.identifier(column),
                fields.Datetime.now() - age,
                job.id,
            )
        )
        self.env.invalidate_all()

    def test_jobs_that_wait_for_their_time_are_no_backlog(self):
        job = self.bank.with_delay(channel="root.test_monitor")._log_ids().db_record()
        self.assertEqual(self.figure("jobs", channel="root.test_monitor", state="pending"), 1)
        self.age(job, "date_created", timedelta(hours=1))
        oldest = {"channel": "root.test_monitor", "state": "pending"}
        self.assertGreater(self.figure("jobs_oldest_seconds", **oldest), 3500)
        self.age(job, "eta", -timedelta(hours=1))
        self.assertIsNone(self.figure("jobs", channel="root.test_monitor", state="pending"))
        self.assertEqual(self.figure("jobs", channel="root.test_monitor", state="postponed"), 1)

    def test_a_difference_counts_until_it_is_gone(self):
        envelope = self.ready_envelope()
        difference = self.env["g2p.ledger.difference"].create(
            {"rule": "STATES_DIFFER", "envelope_id": envelope.id}
        )
        self.assertEqual(self.figure("ledger_differences", rule="STATES_DIFFER"), 1)
        difference.is_gone = True
        self.assertEqual(self.figure("ledger_differences", rule="STATES_DIFFER"), 0)

    def test_the_check_of_all_books_says_when_it_was(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.ledger_checked_at", False)
        self.assertIsNone(self.figure("ledger_check_timestamp_seconds"))
        envelope = self.ready_envelope()
        self.env["g2p.ledger.difference"]._check(envelope)
        self.assertIsNone(self.figure("ledger_check_timestamp_seconds"), "that was not all books")
        self.env["g2p.ledger.difference"]._check()
        self.assertGreater(self.figure("ledger_check_timestamp_seconds"), 1.7e9)

    def test_no_label_holds_a_name_an_account_or_a_text(self):
        self.run_envelope(self.ready_envelope())
        values = {value for _name, labels in self.scrape() for _label, value in labels}
        for text in ("Test bank", "Test account", "TEST0001", "Test program", "Person", "ACCOUNT-"):
            self.assertFalse([value for value in values if text in value])
        self.assertFalse([value for value in values if " " in value])

    def test_a_cron_that_should_have_run_is_late(self):
        cron = self.env.ref("g2p_bridge.cron_find_due_work")
        cron.write({"active": True, "nextcall": fields.Datetime.now() - timedelta(minutes=20)})
        self.env.flush_all()
        self.assertGreater(self.figure("cron_late_seconds", cron="cron_find_due_work"), 1100)
        figures = self.env["g2p.monitor"]
        self.assertIn("is late", figures._check_work()["cron"])
        cron.active = False
        self.env.flush_all()
        self.assertEqual(self.figure("cron_late_seconds", cron="cron_find_due_work"), 0)
        self.assertEqual(self.figure("cron_active", cron="cron_find_due_work"), 0)
        self.assertIn("switched off", figures._check_work()["cron"])

    def test_code_that_the_database_does_not_have_yet_is_not_ready(self):
        figures = self.env["g2p.monitor"]
        self.assertEqual(figures._check_server(), {"database": "", "addons": ""})
        addon = self.env["ir.module.module"].search([("name", "=", "g2p_bridge")])
        addon.latest_version = "19.0.0.0.1"
        self.env.flush_all()
        self.assertIn("database 19.0.0.0.1", figures._check_server()["addons"])

    def test_jobs_that_nobody_starts_are_stuck(self):
        figures = self.env["g2p.monitor"]
        self.env.cr.execute("DELETE FROM queue_job")
        job = self.bank.with_delay()._log_ids().db_record()
        self.env.flush_all()
        self.assertEqual(figures._check_work()["jobs"], "")
        self.age(job, "date_created", timedelta(minutes=20))
        self.assertIn("waits for", figures._check_work()["jobs"])

    def test_a_job_runner_is_up_while_it_holds_the_lock(self):
        figures = self.env["g2p.monitor"]
        self.assertFalse(figures._is_job_runner_up())
        with db_connect(self.env.cr.dbname).cursor() as cr:
            cr.execute("SELECT pg_try_advisory_lock(2293787760715711918)")
            self.assertTrue(figures._is_job_runner_up())
            cr.execute("SELECT pg_advisory_unlock(2293787760715711918)")

    def test_the_figures_are_read_where_nothing_can_be_written_and_not_for_long(self):
        """On a cursor as a server has it; in tests the monitor's own is a savepoint."""

        class Pool:
            cursor = staticmethod(db_connect(self.env.cr.dbname).cursor)

        class Env:
            registry = Pool

        monitor = type("M", (), {"env": Env, "with_env": lambda self, env: env})()
        reading = type(self.env["g2p.monitor"])._reading
        with reading(monitor) as env:
            self.assertIsInstance(env.cr, Cursor)
            env.cr.execute("SHOW transaction_read_only")
            self.assertEqual(env.cr.fetchone(), ("on",))
            env.cr.execute("SHOW statement_timeout")
            self.assertEqual(env.cr.fetchone(), ("2s",))


@tagged("post_install", "-at_install")
class TestFiguresOfStatements(MonitorMixin, StatementCase):
    """What the figures say of statements and their entries."""

    def test_money_that_belongs_to_no_payment_by_currency(self):
        self.book(entry("D", 100, self.ids[0]), entry("D", 55, "NOSUCHPAYMENT"))
        unmatched = {"currency": "USD", "reason": "INVALID_DISBURSEMENT_ID"}
        self.assertEqual(self.figure("unmatched_amount", **unmatched), 55)
        self.assertEqual(self.figure("unmatched_entries", **unmatched), 1)
        self.env["g2p.account.statement.line"].search([("outcome", "=", "error")]).is_handled = True
        self.assertIsNone(self.figure("unmatched_amount", **unmatched))

    def late(self):
        return self.figure(
            "statement_late_days",
            company=str(self.account.company_id.id),
            bank=self.bank.code,
            account=str(self.account.id),
        )

    def test_a_late_statement_is_told_by_its_account(self):
        self.assertEqual(self.late(), 0)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE g2p_disbursement_journal SET created_at = created_at - interval '20 days'"
        )
        self.envelope.disbursement_schedule_date -= timedelta(days=20)
        self.env.flush_all()
        self.assertEqual(self.late(), self.account._statement_due()[self.account.id].days_late)
        self.assertGreater(self.late(), 10)


@tagged("post_install", "-at_install")
class TestCostOfAScrape(MonitorMixin, IdleCase):
    """What a scrape costs, however much was paid before."""

    def run_scrape(self):
        self.scrape()  # fills caches
        self.env.invalidate_all()
        with self.recorded() as statements:
            self.scrape()
        return [each for each in statements if re.match(r"\s*(SELECT|WITH|UPDATE)", each)]

    def assertCheap(self, **options):
        """Locks and currencies are read as a whole: what was paid makes them no more."""
        self.assertFewIndexedQueries(
            self.run_scrape, limit=14, in_vain=growing_rows_in_vain, **options
        )

    def test_a_scrape_is_a_few_indexed_queries(self):
        self.assertCheap()

    def test_so_it_is_while_payments_are_under_way(self):
        def make_work():
            envelope = self.ready_envelope(cycle_code_mnemonic="now")
            self.run_envelope(envelope)
            other = self.ready_envelope(cycle_code_mnemonic="next")
            self.assertEqual((envelope.state, other.state), ("disbursed", "ready"))

        self.assertCheap(prepare=make_work)
