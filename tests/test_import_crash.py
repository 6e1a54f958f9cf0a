"""A worker is killed while it stores rows of a file: each row is stored exactly once in the end."""

import base64
import contextlib
import os
import signal

import psycopg2
import pytest

from bridge_stack.rpc import RpcError
from bridge_stack.stack import Stack
from bridge_stack.world import PBMS_GROUP, World

pytestmark = pytest.mark.stack

IMPORT, PAYMENT, ENVELOPE = (
    "g2p.envelope.import",
    "g2p.disbursement",
    "g2p.disbursement.envelope",
)
#: so many slices that it can be caught in the middle
ROWS, SLICE = 3000, 50
#: dead jobs are found at a tick of the cron, or in a minute
DEADLINE_S = 150


@pytest.fixture(scope="module")
def mortal(request):
    """Yield a system of its own: its workers are killed."""
    with Stack(channels="root:3") as running:
        parameters = {"g2p_bridge.rows_per_call": str(SLICE), "g2p_bridge.retry_seconds": "1"}
        for key, value in parameters.items():
            running.admin.execute("ir.config_parameter", "set_param", key, value)
        yield running
        running.keep_logs = bool(request.session.testsfailed)


def read_import(world, record, *names):
    [values] = world.admin.execute(IMPORT, "read", [record], list(names))
    return values


def import_file(world, stack):
    """Upload and check a file of so many rows, and have its payments stored; return its id."""
    rows = [f"R{n},P{n},Person {n},{n % 90 + 10}.25,Grant" for n in range(1, ROWS + 1)]
    text = "\n".join(["Reference,Beneficiary ID,Beneficiary name,Amount,Description", *rows])
    values = {
        "program_id": world.program_id,
        "cycle_code_mnemonic": "2026-11",
        "file": base64.b64encode(text.encode()).decode(),
        "filename": "november.csv",
        "totals_from": "file",
    }
    [record] = world.admin.execute(IMPORT, "create", [values])
    world.admin.execute(IMPORT, "action_look", [record])
    world.admin.execute(IMPORT, "action_check", [record])
    stack.wait_until(
        lambda: read_import(world, record, "state")["state"] == "checked", DEADLINE_S, "check"
    )
    world.admin.execute(IMPORT, "action_import", [record])
    return record


def stored(stack, record):
    """Return (rows that the import says it stored, payments of its envelope), as committed."""
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(
            "SELECT i.stored_count, (SELECT count(*) FROM g2p_disbursement d"
            " WHERE d.envelope_id = i.envelope_id) FROM g2p_envelope_import i WHERE i.id = %s",
            [record],
        )
        return cursor.fetchone()


@contextlib.contextmanager
def booking_held_up(stack):
    """Let nobody write the journal while the block runs: payments are stored, and not committed."""
    dsn = {
        "host": stack.postgres.env()["PGHOST"],
        "port": stack.postgres.env()["PGPORT"],
        "user": stack.postgres.env()["PGUSER"],
    }
    with contextlib.closing(psycopg2.connect(dbname=stack.db, **dsn)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE g2p_disbursement_journal IN SHARE MODE")
        yield
        connection.rollback()


def writers_of_the_journal(stack):
    """Return how many connections wait to write the journal."""
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE c.relname = 'g2p_disbursement_journal' AND NOT l.granted"
        )
        return cursor.fetchone()[0]


def kill_workers(stack):
    pids = stack.worker_pids_of("WorkerHTTP")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def press_on(world, is_over):
    """Do what the clock does in production, only sooner, until it is over."""

    def has_ended():
        with contextlib.suppress(RpcError, OSError):  # the server may just come back
            if is_over():
                return True
            world.run_cron()
        return False

    world.stack.wait_until(has_ended, DEADLINE_S, "end of the import")


def test_a_worker_killed_while_it_stores_rows_of_a_file_stores_each_once(mortal):
    user = "pbms-import", mortal.create_user("pbms-import", [PBMS_GROUP])
    world = World(mortal, user=user, mapper=None)
    record = import_file(world, mortal)
    mortal.wait_until(lambda: stored(mortal, record)[0], DEADLINE_S, "first slice")
    with booking_held_up(mortal):
        mortal.wait_until(lambda: writers_of_the_journal(mortal), DEADLINE_S, "slice under way")
        before = stored(mortal, record)
        kill_workers(mortal)
    assert 0 < before[0] < ROWS, "it was killed in the middle"
    press_on(world, lambda: read_import(world, record, "state")["state"] == "done")
    values = read_import(world, record, "envelope_id", "stored_count", "problem")
    assert (values["stored_count"], values["problem"]) == (ROWS, False)
    envelope_id = values["envelope_id"][0]
    with mortal.postgres.cursor(mortal.db) as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT mis_reference_number), sum(amount)"
            " FROM g2p_disbursement WHERE envelope_id = %s",
            [envelope_id],
        )
        payments = cursor.fetchone()
        cursor.execute(
            "SELECT sum(disbursement_count), sum(amount) FROM g2p_disbursement_journal"
            " WHERE envelope_id = %s AND source IS NULL",
            [envelope_id],
        )
        booked = cursor.fetchone()
    total = sum(n % 90 + 10 for n in range(1, ROWS + 1)) + ROWS / 4
    assert payments == (ROWS, ROWS, total)
    assert booked == (ROWS, total)
    [envelope] = world.admin.execute(ENVELOPE, "read", [envelope_id], ["state"])
    assert envelope["state"] != "receiving"
    assert world.differences() == []
