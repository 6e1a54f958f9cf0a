"""Floors in PostgreSQL: the same rows, in the same server, by one statement."""

import io
import statistics
import time

#: a floor is measured that often, and the middle one taken, up to so many rows
REPEATS, REPEATED_UP_TO = 3, 100_000

#: Never to be changed: ratios of different versions are ratios to this table.
_YARDSTICK = """
    CREATE TABLE IF NOT EXISTS bench_yardstick (
        id serial PRIMARY KEY,
        disbursement_id varchar NOT NULL UNIQUE,
        envelope_id integer NOT NULL,
        mis_reference_number varchar NOT NULL,
        beneficiary_id varchar NOT NULL,
        beneficiary_name varchar NOT NULL,
        amount numeric NOT NULL,
        narrative varchar NOT NULL,
        state varchar NOT NULL,
        batch_id integer,
        received_at timestamp NOT NULL,
        UNIQUE (envelope_id, mis_reference_number));
    CREATE INDEX IF NOT EXISTS bench_yardstick_batch ON bench_yardstick (batch_id, state)
"""
_COLUMNS = (
    "disbursement_id, envelope_id, mis_reference_number, beneficiary_id, beneficiary_name, amount,"
    " narrative, state, batch_id, received_at"
)
#: the yardstick, with the columns that a look-up and a match fill
_MOVED = """
    DROP TABLE IF EXISTS bench_moved;
    CREATE TABLE bench_moved (LIKE bench_yardstick INCLUDING ALL);
    ALTER TABLE bench_moved ADD fa_type varchar, ADD account_number varchar, ADD bank_code varchar,
        ADD branch_code varchar, ADD bank_reference varchar, ADD last_line_id integer
"""
_LINES = """
    DROP TABLE IF EXISTS bench_lines;
    CREATE TABLE bench_lines (
        id serial PRIMARY KEY,
        statement_id integer NOT NULL,
        outcome varchar NOT NULL,
        entry_sequence integer,
        mark varchar NOT NULL,
        amount numeric NOT NULL,
        value_date date,
        entry_date date,
        customer_reference varchar,
        bank_reference varchar,
        narrative varchar,
        disbursement_reference varchar);
    CREATE INDEX ON bench_lines (statement_id);
    CREATE INDEX ON bench_lines (disbursement_reference)
"""
_LINE_COLUMNS = (
    "statement_id, outcome, entry_sequence, mark, amount, value_date, entry_date,"
    " customer_reference, bank_reference, narrative, disbursement_reference"
)


def copy_rows(cursor, envelope_id):
    """Return the seconds of one COPY of the envelope's rows into the yardstick, committed.

    :param cursor: of a connection in autocommit mode, to the database of the bridge
    :param int envelope_id: database id
    """
    cursor.execute(_YARDSTICK)
    source = f"SELECT {_COLUMNS} FROM g2p_disbursement WHERE envelope_id = {int(envelope_id)}"  # noqa: S608 - an int
    return _copy(cursor, f"({source} ORDER BY id)", "bench_yardstick", _COLUMNS)


def copy_lines(cursor, statement_ids):
    """Return the seconds of one COPY of the statements' entries into a bare table, committed."""
    cursor.execute(_LINES)
    ids = ", ".join(str(int(statement_id)) for statement_id in statement_ids)
    source = f"SELECT {_LINE_COLUMNS} FROM g2p_account_statement_line WHERE statement_id IN ({ids})"  # noqa: S608 - ints
    return _copy(cursor, f"({source} ORDER BY id)", "bench_lines", _LINE_COLUMNS)


def _copy(cursor, source, table, columns):
    buffer = io.BytesIO()
    cursor.copy_expert(f"COPY {source} TO STDOUT", buffer)

    def prepare():
        cursor.execute(f"TRUNCATE {table}")
        buffer.seek(0)

    def copy():
        cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", buffer)

    return _middle(prepare, copy, buffer.getvalue().count(b"\n"))


def update_resolved(cursor, envelope_id, mapper_id):
    """Return the seconds of one UPDATE .. FROM that gives the rows their accounts, committed."""
    return _update(
        cursor,
        envelope_id,
        "received",
        """
        UPDATE bench_moved d
           SET state = 'resolved', fa_type = l.fa_type, account_number = l.account_number,
               bank_code = l.bank_code, branch_code = l.branch_code
          FROM g2p_account_link l
         WHERE l.mapper_id = %s AND l.active AND l.beneficiary_id = d.beneficiary_id
           AND d.state = 'received'
        """,
        [mapper_id],
    )


def update_matched(cursor, envelope_id, statement_ids):
    """Return the seconds of one UPDATE .. FROM that matches rows and entries, committed."""
    return _update(
        cursor,
        envelope_id,
        "sent",
        """
        UPDATE bench_moved d
           SET state = 'reconciled', bank_reference = l.bank_reference, last_line_id = l.id
          FROM g2p_account_statement_line l
         WHERE l.statement_id = ANY(%s) AND l.disbursement_reference = d.disbursement_id
           AND l.amount = d.amount AND d.state = 'sent'
        """,
        [list(statement_ids)],
    )


def _update(cursor, envelope_id, state, statement, values):
    cursor.execute(_YARDSTICK)
    cursor.execute("SELECT count(*) FROM g2p_disbursement WHERE envelope_id = %s", [envelope_id])
    [count] = cursor.fetchone()

    def prepare():
        cursor.execute(_MOVED)
        columns = _COLUMNS.replace(" state", " %(state)s").replace(" batch_id", " 1")
        cursor.execute(
            f"INSERT INTO bench_moved ({_COLUMNS}) SELECT {columns} FROM g2p_disbursement"  # noqa: S608 - constants
            " WHERE envelope_id = %(envelope)s ORDER BY id",
            {"state": state, "envelope": envelope_id},
        )
        cursor.execute("ANALYZE bench_moved")

    def update():
        cursor.execute(statement, values)
        if cursor.rowcount != count:
            raise AssertionError(f"the floor moved {cursor.rowcount} of {count} rows")

    return _middle(prepare, update, count)


def _middle(prepare, measured, rows):
    """Return the median of the seconds that ``measured`` takes."""
    times = []
    for _repeat in range(REPEATS if rows <= REPEATED_UP_TO else 1):
        prepare()
        begun = time.monotonic()
        measured()
        times.append(time.monotonic() - begun)
    return statistics.median(times)
