"""A second, short transaction beside the running one."""

from contextlib import contextmanager

from odoo.sql_db import Cursor


@contextmanager
def own_cursor(env):
    """Give a cursor whose reads see what others have committed, and whose writes stay.

    It commits when the block ends well. Odoo's own cursors run REPEATABLE READ and so see
    the past; this one runs READ COMMITTED. Under Odoo's test mode it is a savepoint of the
    test's transaction instead.
    """
    with env.registry.cursor() as cr:
        if isinstance(cr, Cursor):
            cr.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield cr


def lock_for_transaction(cr, name):
    """Wait for, and hold until the end of the transaction, the advisory lock of that name."""
    cr.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def try_lock_for_transaction(cr, name):
    """Hold the advisory lock of that name like :func:`lock_for_transaction`, or say False."""
    cr.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
    [is_held] = cr.fetchone()
    return is_held
