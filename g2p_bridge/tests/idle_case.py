import logging
import re
from contextlib import contextmanager
from unittest.mock import patch

from odoo.sql_db import Cursor
from odoo.tools import SQL

from .pipeline_case import PipelineCase

#: not below Odoo's loggers, which the tests keep quiet: see docs/idle.md
_plans = logging.getLogger("g2p_bridge_idle")

BATCHES, PAYMENTS = 5, 50
#: rows that a query may read and leave aside
MOST_IN_VAIN = 10
#: tables that grow for ever
GROWING = (
    "g2p_disbursement_envelope",
    "g2p_disbursement",
    "g2p_disbursement_batch",
    "g2p_disbursement_journal",
    "g2p_bank_call",
    "g2p_account_statement",
    "g2p_account_statement_line",
    "queue_job",
)
#: as the pipeline leaves them: all paid, what was left of the block released, all jobs done
SETTLED = (
    """
    INSERT INTO g2p_disbursement_envelope (
        disbursement_envelope_id, program_id, company_id, funding_account_id, bank_id, currency_id,
        cycle_code_mnemonic, number_of_beneficiaries, number_of_disbursements,
        total_disbursement_amount, disbursement_schedule_date, state, state_since,
        funds_available_with_bank, funds_blocked_with_bank, funds_blocked_reference_number,
        funds_blocked_amount, funds_released_at)
    SELECT 'OLD' || n, %(program)s, %(company)s, %(account)s, %(bank)s, %(currency)s,
           'cycle ' || n, %(payments)s, %(payments)s, %(payments)s * 100, date '2026-01-01',
           'settled', now(), 'FUNDS_AVAILABLE', 'FUNDS_BLOCK_SUCCESS', 'BLOCK' || n,
           %(payments)s * 100, %(released_at)s
      FROM generate_series(1, %(count)s) n
    """,
    """
    INSERT INTO g2p_disbursement_batch (
        name, envelope_id, program_id, bank_id, company_id, state, state_since,
        disbursement_count, total_amount, bank_reference)
    SELECT disbursement_envelope_id || '-' || n, id, program_id, bank_id, company_id,
           'acknowledged', now(), %(payments)s / %(batches)s, 1000, 'REF'
      FROM g2p_disbursement_envelope, generate_series(1, %(batches)s) n
     WHERE disbursement_envelope_id LIKE 'OLD%%'
    """,
    """
    INSERT INTO g2p_disbursement (
        disbursement_id, envelope_id, mis_reference_number, beneficiary_id, beneficiary_name,
        amount, narrative, state, received_at, state_since, changed_xid, batch_id, account_number)
    SELECT b.name || '-' || n, b.envelope_id, b.name || '-' || n, 'BEN' || n, 'Person', 100,
           'Grant', 'reconciled', now(), now(), 1, b.id, 'ACC' || n
      FROM g2p_disbursement_batch b, generate_series(1, %(payments)s / %(batches)s) n
     WHERE b.name LIKE 'OLD%%'
    """,
    """
    INSERT INTO g2p_disbursement_journal (
        envelope_id, batch_id, source, target, disbursement_count, amount, created_at)
    SELECT b.envelope_id, b.id, source, target, b.disbursement_count, b.total_amount, now()
      FROM g2p_disbursement_batch b, (VALUES
           (NULL, 'received'), ('received', 'resolved'), ('resolved', 'batched'),
           ('batched', 'sent'), ('sent', 'reconciled')) moves (source, target)
     WHERE b.name LIKE 'OLD%%'
    """,
    """
    INSERT INTO g2p_bank_call (
        operation, idempotency_key, bank_id, envelope_id, batch_id, company_id, state, attempts,
        started_at, answered_at)
    SELECT 'initiate_payment', 'initiate_payment:' || name, bank_id, envelope_id, id, company_id,
           'answered', 1, now(), now()
      FROM g2p_disbursement_batch WHERE name LIKE 'OLD%%'
     UNION ALL
    SELECT operation, operation || ':' || disbursement_envelope_id, bank_id, id, NULL, company_id,
           'answered', 1, now(), now()
      FROM g2p_disbursement_envelope,
           unnest(ARRAY['check_funds', 'block_funds', 'release_funds']) operation
     WHERE disbursement_envelope_id LIKE 'OLD%%'
    """,
    """
    INSERT INTO g2p_account_statement (
        name, account_id, bank_id, company_id, statement_number, state, kind, content_sha256,
        position)
    SELECT 'OLD' || n, %(account)s, %(bank)s, %(company)s, n, 'processed', 'statement',
           'OLD' || n, 1
      FROM generate_series(1, %(count)s) n
    """,
    """
    INSERT INTO g2p_account_statement_line (
        statement_id, entry_sequence, mark, amount, outcome, matched_disbursement_id, envelope_id)
    SELECT s.id, row_number() OVER (PARTITION BY s.id ORDER BY d.id), 'D', d.amount, 'reconciled',
           d.id, d.envelope_id
      FROM g2p_account_statement s
      JOIN g2p_disbursement_envelope e ON e.disbursement_envelope_id = s.name
      JOIN g2p_disbursement d ON d.envelope_id = e.id
    """,
    """
    INSERT INTO queue_job (
        uuid, name, state, model_name, method_name, identity_key, channel, date_created, date_done)
    SELECT name, name, 'done', 'g2p.disbursement.batch', '_disburse_funds_from_bank',
           'disburse:' || bank_id || ':' || id, 'root.g2p_bridge.bank_fake', now(), now()
      FROM g2p_disbursement_batch WHERE name LIKE 'OLD%%'
    """,
)


def rows_in_vain(plan):
    """Return how many rows each node of a plan reads and leaves aside."""
    return [int(rows) for rows in re.findall(r"Rows Removed.*: (\d+)", plan)]


def growing_rows_in_vain(plan):
    """Return the same of those nodes that read a table which grows for ever."""
    found, node = [], ""
    for line in plan.splitlines():
        if "->" in line or not line.startswith(" "):
            node = line
        if (removed := re.search(r"Rows Removed.*: (\d+)", line)) and set(
            re.findall(r"\w+", node)
        ) & set(GROWING):
            found.append(int(removed[1]))
    return found


class IdleCase(PipelineCase):
    """A world in which any number of envelopes was paid long ago."""

    #: when the blocks were released; None: never
    released_at = "2026-01-01"

    def settle(self, count):
        """Have so many envelopes been paid long ago, with all that belongs to them."""
        values = {
            "program": self.program.id,
            "company": self.env.company.id,
            "account": self.account.id,
            "bank": self.bank.id,
            "currency": self.currency.id,
            "count": count,
            "batches": BATCHES,
            "payments": PAYMENTS,
            "released_at": self.released_at,
        }
        self.env.flush_all()
        for statement in SETTLED:
            self.env.cr.execute(statement, values)
        self.env.cr.execute(
            SQL("ANALYZE %s", SQL(", ").join(SQL.identifier(name) for name in GROWING))
        )
        self.env.invalidate_all()

    @contextmanager
    def recorded(self):
        """Give the list of the statements that run in the block, as the server gets them."""
        statements, execute = [], Cursor.execute

        def record(cr, query, params=None, **options):
            statements.append(cr.mogrify(query, params).decode())
            return execute(cr, query, params, **options)

        with patch.object(Cursor, "execute", record):
            yield statements

    def explain(self, statement):
        """Return the plan of a statement and what it read, as text."""
        how = "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF"
        # the statement is one that our own code has just run, with its values in it
        self.env.cr.execute(f"EXPLAIN ({how}) {statement}")  # pylint: disable=sql-injection
        return "\n".join(line for (line,) in self.env.cr.fetchall())

    def forget(self):
        """Remove all that was ever paid."""
        for table in ("queue_job", *reversed(GROWING[:-1])):
            self.env.cr.execute(SQL("DELETE FROM %s", SQL.identifier(table)))

    def assertFewIndexedQueries(self, run, limit, prepare=lambda: None, in_vain=rows_in_vain):
        """Assert that ``run`` makes as many queries after much as after little, each by an index.

        :param run: returns its queries
        :param prepare: makes what is open then
        :param in_vain: tells of a plan how many rows it reads and leaves aside, as list
        """
        self.settle(10)
        prepare()
        few = run()
        self.forget()
        self.settle(1000)
        prepare()
        many = run()
        self.assertEqual(len(many), len(few))
        self.assertLessEqual(len(many), limit)
        for statement in many:
            plan = self.explain(statement)
            _plans.info("%s\n%s", statement, plan)
            scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
            self.assertFalse(scanned & set(GROWING), f"{statement}\n{plan}")
            self.assertLessEqual(
                max(in_vain(plan), default=0), MOST_IN_VAIN, f"{statement}\n{plan}"
            )
