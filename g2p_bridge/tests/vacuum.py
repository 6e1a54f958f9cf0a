"""VACUUM beside a test, as autovacuum comes along."""

from odoo.sql_db import db_connect
from odoo.tools import SQL


def vacuum_past(cr, table):
    """Have a table vacuumed by a connection of its own, which does not see the test's rows.

    It waits for whoever has the table counted or vacuumed, the test's own transaction too: then it
    is an error, for the test would wait for itself.

    :param cr: cursor of the test
    :raise psycopg2.errors.LockNotAvailable: after a minute
    """
    with db_connect(cr.dbname).cursor() as other:
        other.connection.autocommit = True
        other.execute("SET lock_timeout = '60s'")
        other.execute(SQL("VACUUM %s", SQL.identifier(table)))
        other.execute("RESET lock_timeout")
