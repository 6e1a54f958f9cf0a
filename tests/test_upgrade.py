"""A database of an earlier version, updated for real: its shape, and what it held."""

import re

import pytest
from test_whole_way import assert_books_agree, beneficiaries, send, wait_for

from bridge_stack.common import home
from bridge_stack.postgres import Postgres
from bridge_stack.stack import Stack
from bridge_stack.template import drop_database, run_install, temporary_name
from bridge_stack.world import World

pytestmark = pytest.mark.stack

#: what version 19.0.1.1.0 had besides, as it was made then
OLD_SHAPE = """
    ALTER TABLE g2p_disbursement ADD CONSTRAINT g2p_disbursement_envelope_id_fkey
        FOREIGN KEY (envelope_id) REFERENCES g2p_disbursement_envelope ON DELETE RESTRICT;
    ALTER TABLE g2p_account_statement_line
        ADD CONSTRAINT g2p_account_statement_line_statement_id_fkey
        FOREIGN KEY (statement_id) REFERENCES g2p_account_statement ON DELETE RESTRICT;
    CREATE INDEX g2p_account_statement_line__envelope_id_index
        ON g2p_account_statement_line (envelope_id) WHERE envelope_id IS NOT NULL;
    CREATE INDEX g2p_account_statement_line_pending_idx
        ON g2p_account_statement_line (statement_id, mark, entry_sequence)
        WHERE outcome = 'pending';
    INSERT INTO ir_model_constraint (name, module, model, type, definition)
    SELECT old.name, m.id, f.id, old.type, ''
      FROM (VALUES
            ('g2p_disbursement_envelope_id_fkey', 'g2p.disbursement', 'f'),
            ('g2p_account_statement_line_statement_id_fkey', 'g2p.account.statement.line', 'f'),
            ('g2p_account_statement_line_pending_idx', 'g2p.account.statement.line', 'i')
           ) old (name, model, type)
      JOIN ir_module_module m ON m.name = 'g2p_bridge' JOIN ir_model f ON f.model = old.model;
    UPDATE ir_module_module SET latest_version = '19.0.1.1.0' WHERE name = 'g2p_bridge'
"""
OLD_NAMES = re.findall(r"(?:CONSTRAINT|INDEX) (g2p_\w+)", OLD_SHAPE)
TABLES = (
    "g2p_disbursement",
    "g2p_disbursement_envelope",
    "g2p_account_statement",
    "g2p_account_statement_line",
)


@pytest.fixture
def database():
    """Yield a server, and the name of a database on it that is not there yet."""
    name = temporary_name("upgrade")
    with Postgres().running() as postgres:
        try:
            yield postgres, name
        finally:
            drop_database(postgres, name)


def pay(stack, count):
    """Pay some people of a program of its own, up to the bank's statement."""
    world = World(stack)
    world.link(beneficiaries(count))
    send(world, count)
    wait_for(world, shipped=count)
    world.settle()
    wait_for(world, reconciled=count)
    assert_books_agree(world)


def shape(cursor):
    """Return what indexes and constraints there are on the tables, with their definitions."""
    cursor.execute(
        """
        SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%(tables)s)
         UNION ALL
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE conrelid = ANY(%(tables)s::regclass[])
        """,
        {"tables": list(TABLES)},
    )
    return set(cursor.fetchall())


def content(cursor):
    """Return the rows of the tables, each as a dict."""
    rows = {}
    for table in TABLES:
        cursor.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY id")  # noqa: S608 - constants
        rows[table] = [row for (row,) in cursor.fetchall()]
        assert rows[table], table
    return rows


def recorded(cursor):
    """Return which of the old names Odoo still believes to be there."""
    cursor.execute("SELECT name FROM ir_model_constraint WHERE name = ANY(%s)", [OLD_NAMES])
    return {name for (name,) in cursor.fetchall()}


def test_an_update_gives_a_database_today_s_shape_and_keeps_what_it_holds(database):
    postgres, name = database
    with Stack(workers=2, database=name) as stack:
        pay(stack, 20)
    with postgres.cursor(name) as cursor:
        wanted = shape(cursor)
        cursor.execute(OLD_SHAPE)
        before = content(cursor)
        assert {name for name, _definition in shape(cursor) - wanted} == set(OLD_NAMES)
        assert recorded(cursor)
    run_install(name, "--update", ["g2p_bridge"], home() / "log" / f"update-{name}.log")
    with postgres.cursor(name) as cursor:
        assert shape(cursor) == wanted
        assert recorded(cursor) == set()
        assert content(cursor) == before
        cursor.execute("SELECT latest_version FROM ir_module_module WHERE name = 'g2p_bridge'")
        [[version]] = cursor.fetchall()
        assert version != "19.0.1.1.0"
    with Stack(workers=2, database=name) as stack:
        pay(stack, 10)
