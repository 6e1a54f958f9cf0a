"""What PostgreSQL's planner believes of a table, where a step would stand still for it."""

from odoo.tools import SQL

#: a table of so few pages is read in no time, whatever is believed of it
_FEW_PAGES = 20


def count_if_misjudged(env, table):
    """Have PostgreSQL count a table in which it expects less than a row to a page.

    Autovacuum that looks while most rows are of transactions under way (the first payments of a
    system, its demo data, a large import of accounts) notes that there are hardly any, in many
    pages; and so many rows to a page is what the planner reckons with. Until autovacuum looks again
    a join would read one table whole for each row of the other, which takes minutes.

    A count waits for that of another job, and for its end: so a transaction has tables counted in
    the order of the alphabet, or two would wait for each other.

    :param str table: its name
    """
    is_misjudged = env.execute_query(
        SQL(
            """
            SELECT FROM pg_class
             WHERE oid = %s::regclass AND reltuples >= 0 AND reltuples < relpages
               AND pg_relation_size(oid) > %s * current_setting('block_size')::int
            """,
            table,
            _FEW_PAGES,
        )
    )
    if is_misjudged:
        env.cr.execute(SQL("ANALYZE %s", SQL.identifier(table)))
