"""What an operator's machines ask: the figures for Prometheus, and whether all is well."""

import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from odoo import SUPERUSER_ID, api, fields, models, release
from odoo.modules import Manifest
from odoo.sql_db import Cursor
from odoo.tools import SQL

from odoo.addons.queue_job.jobrunner.runner import PG_ADVISORY_LOCK_ID

from ..const import LINE_REASONS
from .g2p_attention import IS_BLOCK
from .g2p_call_statistic import cumulated
from .g2p_ledger_difference import LAST_CHECK
from .ledger_rules import RULES

#: the longest that one statement, and all of a scrape, may take
STATEMENT_LIMIT_MS = 2000
SCRAPE_LIMIT_S = 8
#: a job or the cron of every minute that is so late is stuck
STUCK_S = 600
ENDED = ("settled", "cancelled")
#: steps of the pipeline, in its order
STEPS = (
    "import",
    "resolve",
    "approve",
    "check_funds",
    "block_funds",
    "form_batches",
    "send_batches",
    "bank_answer",
    "match_statements",
)
#: codes of our own that an envelope stops with; a bank's own are "other", for nobody knows how many
REASONS = (
    "FUNDS_NOT_AVAILABLE",
    "BANK_UNAVAILABLE",
    "STEP_FAILED",
    "REISSUE_DISPUTED",
    "APPROVAL_VOID",
    "APPROVAL_MISSING",
    "NO_ANSWER",
    "SIGNING_KEY_MISSING",
    "SIGNING_KEY_INVALID",
)
OTHER = "other"
_PREFIX = "g2p_bridge_"
#: who is called: a bank by its code, which is unique in its company, or a mapper by its id
_CALLED = ("company", "kind", "code")


class ScrapeTimeout(Exception):
    """The figures take too long: none are given, and the database is left alone."""


class Monitor(models.AbstractModel):
    """Figures and checks for machines that watch.

    All is read from the database, so every worker of every server says the same. Its cost does not
    grow with what was paid before: ended envelopes are in no figure, and all that is open is found
    by partial indexes.
    """

    _name = "g2p.monitor"
    _description = "Figures for operators"

    @api.private
    @contextmanager
    def _reading(self):
        """Give the monitor on a cursor that can neither write nor wait nor run for long."""
        with self.env.registry.cursor() as cr:
            if isinstance(cr, Cursor):  # in tests it is a savepoint
                cr.execute("SET TRANSACTION READ ONLY")
                cr.execute(
                    SQL(
                        "SELECT set_config('statement_timeout', %(limit)s, TRUE),"
                        " set_config('lock_timeout', %(limit)s, TRUE)",
                        limit=str(STATEMENT_LIMIT_MS),
                    )
                )
            yield self.with_env(api.Environment(cr, SUPERUSER_ID, {}))

    # -- figures --------------------------------------------------------------------------------

    @api.private
    def _families(self):
        """Yield the metric families, as long as there is time.

        :raise ScrapeTimeout: there is none left
        """
        ends_at = time.monotonic() + SCRAPE_LIMIT_S
        for family in self._metrics():
            if time.monotonic() > ends_at:
                raise ScrapeTimeout(f"the figures took more than {SCRAPE_LIMIT_S} s")
            yield family

    def _metrics(self):
        """Yield the metric families of a scrape; an addon with figures of its own adds to them.

        Each is read when its turn comes, in a transaction that can only read. Labels have values of
        a known, small set: codes and ids, never names, accounts or texts. A query reads an index,
        and what is open; nothing that grows with what was paid.

        :return: generator of prometheus_client metric families
        """
        yield from self._metrics_build()
        yield from self._metrics_envelopes()
        yield from self._metrics_payments()
        yield from self._metrics_jobs()
        yield from self._metrics_crons()
        yield from self._metrics_banks()
        yield from self._metrics_calls()
        yield from self._metrics_statements()
        yield from self._metrics_entries()
        yield from self._metrics_ledger()

    def _now(self):
        return fields.Datetime.now()

    def _age(self, since):
        """Return seconds since a moment; 0 for none."""
        return max((self._now() - since).total_seconds(), 0) if since else 0

    def _metrics_build(self):
        info = InfoMetricFamily(
            f"{_PREFIX}build", "Versions: of the database, of the code that answers, of Odoo."
        )
        [[installed, code]] = [
            versions for name, _state, *versions in self._addons() if name == "g2p_bridge"
        ]
        info.add_metric(
            [], {"version": installed or "", "code": code or "", "odoo": release.version}
        )
        yield info

    def _addons(self):
        """Return (name, state, version in the database, version of the code) of our addons."""
        rows = self.env.execute_query(
            SQL(
                r"""
                SELECT name, state, latest_version FROM ir_module_module
                 WHERE name LIKE 'g2p\_%%' AND state NOT IN ('uninstalled', 'uninstallable')
                 ORDER BY name
                """
            )
        )
        return [(*row, _code_version(row[0])) for row in rows]

    # -- envelopes and steps --------------------------------------------------------------------

    def _metrics_envelopes(self):
        figures = defaultdict(dict)
        for what, label, count, since in [*self._read_envelopes(), *self._read_work()]:
            figures[what][label] = (count, since)
        states = dict(self.env["g2p.disbursement.envelope"]._fields["state"].selection)
        yield self._gauge(
            "envelopes",
            "Open envelopes by state; ended ones are not counted.",
            ["state"],
            {(state,): figures["state"].get(state, (0,))[0] for state in states if _is_open(state)},
        )
        yield self._gauge(
            "envelopes_paused",
            "Open envelopes that an officer paused.",
            [],
            {(): figures["paused"].get("", (0,))[0]},
        )
        stopped = figures["stopped"]
        yield self._gauge(
            "envelopes_stopped",
            "Envelopes in needs_attention: why, and who goes on with them.",
            ["reason", "waits_for"],
            {
                (reason, waits_for): stopped.get(f"{reason}:{waits_for}", (0,))[0]
                for reason in (*REASONS, OTHER)
                for waits_for in ("officer", "retry")
            },
        )
        yield from self._counts_and_ages(
            "due_work",
            "Work of a step that is due and not paused.",
            "step",
            {step: figures["step"].get(step, (0, None)) for step in STEPS},
        )
        yield from self._counts_and_ages(
            "outcome_unknown",
            "Calls of which nobody can say whether the bank has them.",
            "kind",
            {kind: figures["unknown"].get(kind, (0, None)) for kind in ("batch", "block")},
        )

    def _counts_and_ages(self, name, text, label, figures):
        """Yield two gauges: how many, and the age of the oldest.

        :param dict figures: value of the label -> (count, since)
        """
        yield self._gauge(
            name, f"{text}", [label], {(key,): count for key, (count, _since) in figures.items()}
        )
        yield self._gauge(
            f"{name}_oldest_seconds",
            f"{text} Age of the oldest; 0 where there is none.",
            [label],
            {(key,): self._age(since) for key, (_count, since) in figures.items()},
        )

    def _gauge(self, name, text, labels, values):
        """Return a gauge.

        :param dict values: tuple of the labels' values -> number
        """
        family = GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=labels)
        for key, value in values.items():
            family.add_metric([str(part) for part in key], float(value))
        return family

    def _read_envelopes(self):
        """Return (what, label, count, since) of all that the envelopes' states tell."""
        lead = timedelta(days=self.env["g2p.bridge"]._parameter("resolve_lead_days"))
        return self.env.execute_query(
            SQL(
                """
                WITH opened AS MATERIALIZED (
                    SELECT e.*, p.approval_required,
                           e.disbursement_schedule_date::timestamp
                               AT TIME ZONE coalesce(r.tz, 'UTC') AT TIME ZONE 'UTC' AS due_at
                      FROM g2p_disbursement_envelope e
                      JOIN g2p_benefit_program p ON p.id = e.program_id
                      JOIN res_company c ON c.id = p.company_id
                      JOIN res_partner r ON r.id = c.partner_id
                     WHERE e.state NOT IN ('settled', 'cancelled')),
                going AS (SELECT * FROM opened WHERE is_paused IS NOT TRUE),
                due AS (SELECT *, greatest(state_since, due_at) AS since FROM going
                         WHERE due_at <= %(now)s)
                SELECT 'state', state, count(*), NULL::timestamp FROM opened GROUP BY 2
                 UNION ALL
                SELECT 'paused', '', count(*), NULL FROM opened WHERE is_paused
                 UNION ALL
                SELECT 'stopped',
                       CASE WHEN attention_code = ANY(%(reasons)s) THEN attention_code
                            ELSE %(other)s END
                       || CASE WHEN next_attempt_at IS NULL THEN ':officer' ELSE ':retry' END,
                       count(*), min(state_since)
                  FROM opened WHERE state = 'needs_attention' GROUP BY 2
                 UNION ALL
                SELECT 'unknown', 'block', count(*), min(e.state_since)
                  FROM opened e WHERE state = 'needs_attention' AND %(is_block)s
                 UNION ALL
                SELECT 'step', 'approve', count(*), min(since)
                  FROM due WHERE state = 'ready' AND approval_required
                 UNION ALL
                SELECT 'step', 'check_funds', count(*), min(since)
                  FROM due WHERE state = 'approved'
                              OR (state = 'ready' AND approval_required IS NOT TRUE)
                 UNION ALL
                SELECT 'step', 'block_funds', count(*), min(state_since)
                  FROM going WHERE state = 'funds_available'
                 UNION ALL
                SELECT 'step', 'form_batches', count(*), min(state_since)
                  FROM going WHERE state = 'funds_blocked'
                 UNION ALL
                SELECT 'step', 'resolve', count(*), min(greatest(state_since, due_at - %(lead)s))
                  FROM going e
                 WHERE due_at - %(lead)s <= %(now)s AND state = ANY(%(resolving)s)
                   AND EXISTS (SELECT FROM g2p_disbursement d
                                WHERE d.envelope_id = e.id AND d.state = 'received' OFFSET 0)
                """,
                now=self._now(),
                lead=lead,
                reasons=list(REASONS),
                other=OTHER,
                is_block=IS_BLOCK,
                resolving=[
                    "ready",
                    "approved",
                    "funds_available",
                    "funds_blocked",
                    "disbursing",
                    "disbursed",
                ],
            )
        )

    def _read_work(self):
        """Return (what, label, count, since) of open batches, statements and imports."""
        return self.env.execute_query(
            SQL(
                """
                WITH opened AS MATERIALIZED (
                    SELECT b.state, b.state_since, e.is_paused,
                           (SELECT min(k.started_at) FROM g2p_bank_call k
                             WHERE k.batch_id = b.id AND k.state = 'started') AS asked_at
                      FROM g2p_disbursement_batch b
                      JOIN g2p_disbursement_envelope e ON e.id = b.envelope_id
                     WHERE b.state IN ('ready', 'unknown'))
                SELECT 'step', 'send_batches', count(*), min(state_since) FROM opened
                 WHERE state = 'ready' AND is_paused IS NOT TRUE
                 UNION ALL
                SELECT 'step', 'bank_answer', count(*), min(asked_at) FROM opened
                 WHERE asked_at IS NOT NULL
                 UNION ALL
                SELECT 'unknown', 'batch', count(*), min(state_since) FROM opened
                 WHERE state = 'unknown'
                 UNION ALL
                SELECT 'step', 'match_statements', count(*), min(uploaded_at)
                  FROM g2p_account_statement WHERE state = 'received'
                 UNION ALL
                SELECT 'step', 'import', count(*), min(state_since)
                  FROM g2p_envelope_import WHERE state IN ('reading', 'importing')
                """
            )
        )

    def _metrics_payments(self):
        """Payments of open envelopes: the sums of their journal."""
        rows = self.env.execute_query(
            SQL(
                """
                SELECT v.state, c.name, sum(v.sign * j.disbursement_count),
                       sum(v.sign * j.amount)
                  FROM g2p_disbursement_envelope e
                  JOIN res_currency c ON c.id = e.currency_id
                  JOIN g2p_disbursement_journal j ON j.envelope_id = e.id
                 CROSS JOIN LATERAL (VALUES (j.target, 1), (j.source, -1)) v(state, sign)
                 WHERE e.state NOT IN ('settled', 'cancelled') AND v.state IS NOT NULL
                 GROUP BY 1, 2
                """
            )
        )
        labels = ["state", "currency"]
        yield self._gauge(
            "open_payments",
            "Payments of open envelopes by their state.",
            labels,
            {(state, currency): count for state, currency, count, _amount in rows},
        )
        yield self._gauge(
            "open_payments_amount",
            "Money of payments of open envelopes by their state, in units of the currency.",
            labels,
            {(state, currency): amount for state, currency, _count, amount in rows},
        )

    # -- jobs and crons -------------------------------------------------------------------------

    def _metrics_jobs(self):
        rows = self._read_jobs()
        labels = ["channel", "state"]
        yield self._gauge(
            "jobs",
            "Jobs that are not done, by channel; postponed: to be run later.",
            labels,
            {(channel, state): count for channel, state, count, _since in rows},
        )
        yield self._gauge(
            "jobs_oldest_seconds",
            "Age of the oldest job: since it could run, was handed out or started.",
            labels,
            {
                (channel, state): self._age(since)
                for channel, state, _count, since in rows
                if state in ("pending", "enqueued", "started")
            },
        )
        yield self._gauge(
            "job_runner_up",
            "1: a job runner holds the master's lock in the database.",
            [],
            {(): self._is_job_runner_up()},
        )

    def _read_jobs(self):
        return self.env.execute_query(
            SQL(
                """
                SELECT coalesce(channel, 'root'),
                       CASE WHEN state = 'pending' AND eta > %(now)s THEN 'postponed'
                            ELSE state END,
                       count(*),
                       min(CASE state WHEN 'started' THEN date_started
                                      WHEN 'enqueued' THEN date_enqueued
                                      ELSE greatest(date_created, eta) END)
                  FROM queue_job
                 WHERE state IN ('pending', 'enqueued', 'started', 'wait_dependencies', 'failed')
                 GROUP BY 1, 2
                """,
                now=self._now(),
            )
        )

    def _is_job_runner_up(self):
        """Say whether the connection of a job runner that is master lives."""
        [[count]] = self.env.execute_query(
            SQL(
                """
                SELECT count(*) FROM pg_locks
                 WHERE locktype = 'advisory' AND granted AND objsubid = 1
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND classid = %s AND objid = %s
                """,
                PG_ADVISORY_LOCK_ID >> 32,
                PG_ADVISORY_LOCK_ID & 0xFFFFFFFF,
            )
        )
        return bool(count)

    def _metrics_crons(self):
        rows = self._read_crons()
        yield self._gauge(
            "cron_late_seconds",
            "How long a cron should have run already; 0 where it is in time or switched off.",
            ["cron"],
            {
                (name,): self._age(nextcall) if active else 0
                for name, active, _lastcall, nextcall, _failures in rows
            },
        )
        yield self._gauge(
            "cron_last_run_timestamp_seconds",
            "When a cron ran last; absent before its first run.",
            ["cron"],
            {(name,): _timestamp(last) for name, _active, last, *_rest in rows if last},
        )
        yield self._gauge(
            "cron_active",
            "1: the cron is switched on. Odoo switches off what fails for a week.",
            ["cron"],
            {(name,): active for name, active, *_rest in rows},
        )
        yield self._gauge(
            "cron_failures",
            "How often a cron failed in a row.",
            ["cron"],
            {(name,): failures or 0 for name, *_rest, failures in rows},
        )

    def _read_crons(self):
        return self.env.execute_query(
            SQL(
                r"""
                SELECT d.name, c.active, c.lastcall, c.nextcall, c.failure_count
                  FROM ir_model_data d JOIN ir_cron c ON c.id = d.res_id
                 WHERE d.model = 'ir.cron' AND d.module LIKE 'g2p\_%%'
                 ORDER BY d.name
                """
            )
        )

    # -- banks and mappers ----------------------------------------------------------------------

    def _metrics_banks(self):
        rows = self.env.execute_query(
            SQL(
                """
                SELECT b.company_id, 'bank', b.code, h.open_until IS NULL, h.failure_count,
                       h.down_since
                  FROM g2p_sponsor_bank b LEFT JOIN g2p_bank_health h ON h.bank_id = b.id
                 WHERE b.active OR h.id IS NOT NULL
                 UNION ALL
                SELECT m.company_id, 'mapper', m.id::text, h.open_until IS NULL, h.failure_count,
                       h.down_since
                  FROM g2p_account_mapper m LEFT JOIN g2p_bank_health h ON h.mapper_id = m.id
                 WHERE m.active OR h.id IS NOT NULL
                """
            )
        )
        yield self._gauge(
            "up",
            "0: a bank or mapper counts as down, and is asked by one call at a time.",
            _CALLED,
            {tuple(called): is_up for *called, is_up, _failures, _since in rows},
        )
        yield self._gauge(
            "failures_in_row",
            "Calls without an answer since the last answer.",
            _CALLED,
            {tuple(called): failures or 0 for *called, _is_up, failures, _since in rows},
        )
        yield self._gauge(
            "unanswered_seconds",
            "Since the first call without an answer after the last answer; 0 where it answers.",
            _CALLED,
            {tuple(called): self._age(since) for *called, _is_up, _failures, since in rows},
        )

    def _metrics_calls(self):
        rows = self.env.execute_query(
            SQL(
                """
                SELECT coalesce(b.company_id, m.company_id),
                       CASE WHEN s.bank_id IS NULL THEN 'mapper' ELSE 'bank' END,
                       coalesce(b.code, s.mapper_id::text), s.operation, s.outcome, s.bound_ms,
                       s.call_count, s.duration_ms
                  FROM g2p_call_statistic s
                  LEFT JOIN g2p_sponsor_bank b ON b.id = s.bank_id
                  LEFT JOIN g2p_account_mapper m ON m.id = s.mapper_id
                """
            )
        )
        counts, sums = defaultdict(dict), defaultdict(int)
        for *key, bound_ms, count, duration_ms in rows:
            counts[tuple(key)][bound_ms] = count
            sums[tuple(key)] += duration_ms
        family = HistogramMetricFamily(
            f"{_PREFIX}call_duration_seconds",
            "Calls to banks and mappers: how they ended, and how long they took.",
            labels=[*_CALLED, "operation", "outcome"],
        )
        for key, of_bound in counts.items():
            family.add_metric(
                [str(part) for part in key],
                buckets=cumulated(of_bound),
                sum_value=sums[key] / 1000,
            )
        yield family

    # -- statements and books -------------------------------------------------------------------

    def _metrics_statements(self):
        awaited = self.env["g2p.funding.account"]._awaited_statements(SQL("TRUE"))
        late = defaultdict(int)
        for row in awaited:
            late[row["account_id"]] = max(late[row["account_id"]], row["due"].days_late)
        accounts = self.env.execute_query(
            SQL(
                """
                SELECT a.id, a.company_id, b.code FROM g2p_funding_account a
                  JOIN g2p_sponsor_bank b ON b.id = a.bank_id ORDER BY a.id
                """
            )
        )
        yield self._gauge(
            "statement_late_days",
            "Days since a statement of the account (its id) should have come; 0: none is late.",
            ["company", "bank", "account"],
            {(company, bank, account): late.get(account, 0) for account, company, bank in accounts},
        )
        [[held, since]] = self.env.execute_query(
            SQL("SELECT count(*), min(uploaded_at) FROM g2p_account_statement WHERE state = 'held'")
        )
        yield self._gauge("statements_held", "Statements that wait for an officer.", [], {(): held})
        yield self._gauge(
            "statements_held_oldest_seconds",
            "Age of the oldest statement that waits for an officer.",
            [],
            {(): self._age(since)},
        )

    def _metrics_entries(self):
        """Entries of statements that belong to no payment, until somebody handles them."""
        rows = self.env.execute_query(
            SQL(
                """
                SELECT c.name, l.error_reason, count(*), sum(l.amount), min(s.uploaded_at)
                  FROM g2p_account_statement_line l
                  JOIN g2p_account_statement s ON s.id = l.statement_id
                  JOIN g2p_funding_account a ON a.id = s.account_id
                  JOIN res_currency c ON c.id = a.currency_id
                 WHERE l.outcome = 'error' AND NOT l.is_handled
                 GROUP BY 1, 2
                """
            )
        )
        known = dict(LINE_REASONS)
        labels = ["currency", "reason"]
        counts, amounts, ages = defaultdict(int), defaultdict(float), defaultdict(float)
        for currency, reason, count, amount, since in rows:
            key = (currency, reason if reason in known else OTHER)
            counts[key] += count
            amounts[key] += amount
            ages[key] = max(ages[key], self._age(since))
        yield self._gauge("unmatched_entries", "Statement entries to be looked at.", labels, counts)
        yield self._gauge(
            "unmatched_amount",
            "Money of statement entries to be looked at, in units of the currency.",
            labels,
            amounts,
        )
        yield self._gauge(
            "unmatched_oldest_seconds",
            "Age of the oldest statement with entries to be looked at.",
            labels,
            ages,
        )

    def _metrics_ledger(self):
        """What the last check found: it is made at night, and by no scrape."""
        found = dict(
            self.env.execute_query(
                SQL(
                    "SELECT rule, count(*) FROM g2p_ledger_difference"
                    " WHERE is_gone IS NOT TRUE GROUP BY rule"
                )
            )
        )
        yield self._gauge(
            "ledger_differences",
            "Things that must hold between the books and do not, by rule, as last checked.",
            ["rule"],
            {(rule.code,): found.get(rule.code, 0) for rule in RULES},
        )
        checked = self.env["ir.config_parameter"].sudo().get_param(LAST_CHECK)
        yield self._gauge(
            "ledger_check_timestamp_seconds",
            "When all books were checked last; absent before the first check.",
            [],
            {(): _timestamp(fields.Datetime.to_datetime(checked))} if checked else {},
        )

    # -- health ---------------------------------------------------------------------------------

    @api.private
    def _check_server(self):
        """Say whether the server that answers can take calls.

        :return: dict of check -> what is wrong; an empty text where nothing is
        """
        return {"database": self._problem_of_database(), "addons": self._problem_of_addons()}

    @api.private
    def _check_work(self):
        """Say whether work goes on, on whatever server; in the form of :meth:`_check_server`."""
        return {
            "job_runner": "" if self._is_job_runner_up() else "no job runner is connected",
            "jobs": self._problem_of_jobs(),
            "cron": self._problem_of_cron(),
        }

    def _problem_of_database(self):
        [[is_standby]] = self.env.execute_query(SQL("SELECT pg_is_in_recovery()"))
        return "it is a standby and takes no writes" if is_standby else ""

    def _problem_of_addons(self):
        if not self.pool.ready:
            return "the registry is not ready"
        wrong = [
            f"{name} {state}: database {installed}, code {code}"
            for name, state, installed, code in self._addons()
            if state != "installed" or installed != code
        ]
        return "; ".join(wrong)

    def _problem_of_jobs(self):
        """Jobs that could run and do not, while none is under way, are stuck."""
        rows = self._read_jobs()
        if any(state in ("enqueued", "started") for _channel, state, *_rest in rows):
            return ""
        age = max((self._age(row[3]) for row in rows if row[1] == "pending"), default=0)
        return f"the oldest job waits for {age:.0f} s" if age > STUCK_S else ""

    def _problem_of_cron(self):
        for name, active, _lastcall, nextcall, _failures in self._read_crons():
            if name != "cron_find_due_work":
                continue
            if not active:
                return f"{name} is switched off"
            age = self._age(nextcall)
            return f"{name} is late by {age:.0f} s" if age > STUCK_S else ""
        return "cron_find_due_work is missing"


def _is_open(state):
    return state not in ENDED


def _code_version(name):
    manifest = Manifest.for_addon(name, display_warning=False)
    return manifest.version if manifest else None


def _timestamp(moment):
    """Return Unix seconds of a moment in UTC without zone, as Odoo has them."""
    return (moment - fields.Datetime.to_datetime("1970-01-01 00:00:00")).total_seconds()
