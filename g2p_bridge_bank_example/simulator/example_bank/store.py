"""Where the bank keeps its books: one SQLite file that survives kill -9.

WAL with ``synchronous=FULL``: what was answered is on disk. Every write is one
``BEGIN IMMEDIATE`` transaction; writers of this process queue at a lock rather than at
SQLite's polling busy handler.
"""

import sqlite3
import threading
from contextlib import contextmanager

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    account_number TEXT NOT NULL UNIQUE,
    currency TEXT NOT NULL,
    account_holder TEXT NOT NULL,
    opening_balance INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
    statement_number INTEGER NOT NULL DEFAULT 0,
    reported_balance INTEGER NOT NULL,
    reported_date TEXT NOT NULL);

-- what is left of a block: amount - drawn - released
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    account_id INTEGER NOT NULL REFERENCES account (id),
    amount INTEGER NOT NULL,
    drawn INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 0,
    released INTEGER NOT NULL DEFAULT 0,
    is_released INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    CHECK (drawn + released <= amount AND settled <= drawn));

-- every call to an endpoint that moves money, replays and faults included
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    idempotency_key TEXT,
    payment_count INTEGER NOT NULL DEFAULT 0,
    outcome TEXT NOT NULL,
    received_at TEXT NOT NULL);

CREATE TABLE idempotency (
    endpoint TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (endpoint, key));

-- every payment order received, the refused ones too
CREATE TABLE payment_order (
    id INTEGER PRIMARY KEY,
    call_id INTEGER NOT NULL REFERENCES call (id),
    reference TEXT NOT NULL,
    account_number TEXT NOT NULL,
    account_id INTEGER REFERENCES account (id),
    block_id INTEGER REFERENCES block (id),
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL,
    beneficiary_account TEXT NOT NULL,
    beneficiary_name TEXT NOT NULL,
    narrative TEXT NOT NULL,
    beneficiary_key TEXT NOT NULL,
    bank_reference TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('accepted', 'rejected', 'settled', 'reversed')),
    reason_code TEXT NOT NULL DEFAULT '',
    due_date TEXT NOT NULL,
    return_reason TEXT NOT NULL DEFAULT '',
    return_date TEXT NOT NULL DEFAULT '');
CREATE INDEX payment_order_reference ON payment_order (reference);
-- a reference is paid once, whatever happens: this index is the last guard
CREATE UNIQUE INDEX payment_order_live ON payment_order (reference) WHERE state != 'rejected';
CREATE INDEX payment_order_due ON payment_order (due_date) WHERE state = 'accepted';
CREATE INDEX payment_order_return ON payment_order (return_date)
    WHERE state = 'settled' AND return_reason != '';

CREATE TABLE posting (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account (id),
    order_id INTEGER REFERENCES payment_order (id),
    mark TEXT NOT NULL CHECK (mark IN ('D', 'C', 'RD', 'RC')),
    amount INTEGER NOT NULL CHECK (amount > 0),
    value_date TEXT NOT NULL,
    entry_date TEXT NOT NULL,
    reference TEXT NOT NULL,
    bank_reference TEXT NOT NULL,
    narrative TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    statement_id INTEGER REFERENCES statement (id));
CREATE INDEX posting_unreported ON posting (account_id, id) WHERE statement_id IS NULL;

CREATE TABLE statement (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account (id),
    number INTEGER NOT NULL,
    entry_count INTEGER NOT NULL,
    opening_balance INTEGER NOT NULL,
    closing_balance INTEGER NOT NULL,
    content BLOB NOT NULL,
    is_uploaded INTEGER NOT NULL DEFAULT 0,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    last_answer TEXT NOT NULL DEFAULT '');
CREATE INDEX statement_pending ON statement (id) WHERE is_uploaded = 0;

-- beneficiaries whose payments always come back, and why
CREATE TABLE beneficiary_flag (beneficiary TEXT PRIMARY KEY, reason TEXT NOT NULL);
"""


class StoreError(Exception):
    """The database file cannot be used; the message says why."""


class Store:
    """The database file, opened once per transaction.

    :param str path: file name; it is created where it does not exist
    """

    def __init__(self, path):
        self.path = str(path)
        self._writing = threading.Lock()
        # Held open: SQLite would else checkpoint and delete the WAL after each transaction.
        self._keeper = self._connect()
        self._create_schema()

    def close(self):
        """Close the connection that is held open; safe to repeat."""
        self._keeper.close()

    @contextmanager
    def read(self):
        """A connection that sees one consistent state of the books."""
        connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def write(self):
        """A connection in a write transaction: committed at the end, undone by any exception."""
        with self._writing:
            connection = self._connect()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                # What was not committed goes with the connection.
                connection.close()

    def _connect(self):
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=60, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _create_schema(self):
        with self.write() as db:
            [version] = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                # executescript would commit the transaction first
                for statement in _statements(_SCHEMA):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")
            elif version != SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by another version of the example bank"
                    f" (schema {version}, here {SCHEMA_VERSION}): use another file."
                )


def _statements(script):
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
