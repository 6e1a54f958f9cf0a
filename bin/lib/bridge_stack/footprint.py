"""bench/footprint: what a disbursement costs in disk, WAL and memory on its whole way.

Disbursements go from the PBMS's call to reconciled on the real stack, with a PostgreSQL server of
its own, so that all WAL is theirs. Nothing is taken from a prepared database.
"""

import argparse
import json
import sys
import threading
import time
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timezone

import psutil
import requests

from bridge_stack.common import BridgeError, complain, say
from bridge_stack.install import external_postgres
from bridge_stack.postgres import Postgres, PrivatePostgres
from bridge_stack.rpc import RpcError
from bridge_stack.stack import Stack
from bridge_stack.world import CURRENCY, World

#: one statement each, below the limit of entries and bytes of a file
ENVELOPE_SIZE = 100_000
SAMPLE_S = 1
#: a stage that takes longer than this many seconds for 1,000 rows is stuck
SLOWEST_S = 30
#: such statements take long to read
_OPTIONS = ("--limit-time-cpu=3600", "--limit-time-real=3600")

_SIZES = """
    SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid)
      FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""
_FILES = "SELECT coalesce(sum(file_size), 0) FROM ir_attachment"


def _options(arguments):
    parser = argparse.ArgumentParser(prog="bench/footprint", description=__doc__)
    parser.add_argument("--disbursements", type=int, default=10_000, metavar="N")
    parser.add_argument(
        "--rows-per-call", type=int, default=1000, help="of the API (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line in the end")
    options = parser.parse_args(arguments)
    if options.disbursements < 1 or options.rows_per_call < 1:
        parser.error("numbers must be above zero")
    return options


def main(arguments):
    """Measure; return 0, or 3 for what a person has to mend."""
    options = _options(arguments)
    try:
        with redirect_stdout(sys.stderr if options.json else sys.stdout):
            result = _run(options)
    except (BridgeError, RpcError, requests.RequestException, AssertionError) as error:
        complain(f"footprint: {error}")
        return 3
    except KeyboardInterrupt:
        complain("footprint: stopped")
        return 130
    if options.json:
        say(json.dumps(result))
    return 0


def _run(options):
    postgres = Postgres() if external_postgres() else PrivatePostgres()
    if not postgres.is_private:
        say("footprint the server at PGHOST is shared: WAL of others counts too")
    with Stack(
        workers=4,
        channels="root:3",
        bank_options=["--float-days=0"],
        odoo_options=_OPTIONS,
        log_level="warn",
        postgres=postgres,
    ) as stack:
        footprint = Footprint(stack, options)
        footprint.measure()
        return footprint.report()


class Footprint:
    """The stack before and after, and each stage's seconds and WAL."""

    def __init__(self, stack, options):
        self.stack = stack
        self.options = options
        self.count = options.disbursements
        self.world = World(stack, name="Footprint", balance="100000000000.00")
        self.stages = {name: [0.0, 0] for name in ("intake", "dispatch", "statement")}
        self.sizes = self.packed = None
        self.files = self.ledger_check_s = 0
        self.memory = PeakMemory(stack)

    def measure(self):
        """Send all, envelope by envelope, and note what grew."""
        size = min(self.count, ENVELOPE_SIZE)
        say(f"footprint linking {size:,} accounts")
        self.world.link([f"BEN{number:06d}" for number in range(1, size + 1)])
        # what links and set-up left to do is none of a disbursement's
        self._execute("VACUUM ANALYZE")
        self._execute("CHECKPOINT")
        before, files = self._sizes(), self._query(_FILES)[0][0]
        with self.memory:
            for start in range(0, self.count, size):
                self._pay(start, min(size, self.count - start))
                say(f"footprint {min(start + size, self.count):,} disbursements are reconciled")
        self.ledger_check_s = self._check_ledger()
        self.sizes = _grown(before, self._sizes())
        self.files = int(self._query(_FILES)[0][0] - files)
        for table in self.sizes:
            self._execute(f'VACUUM FULL "{table}"')
        self.packed = _grown(before, self._sizes())

    def _pay(self, start, count):
        pbms = self.world.pbms
        pbms.draw_amounts(count)
        with self._stage("intake"):
            today = datetime.now(timezone.utc).date()
            pbms.create_envelope(f"footprint-{start}", CURRENCY, today)
            pbms.send_disbursements(rows_per_call=self.options.rows_per_call)
        with self._stage("dispatch"):
            self._wait("shipped", count)
        self.world.at_bank("/admin/settle")
        with self._stage("statement"):
            answer = self.world.at_bank(
                "/admin/statements", account_number=self.world.account_number
            )
            if not all(upload["is_uploaded"] for upload in answer["uploads"]):
                raise BridgeError(f"The statement did not get into the bridge: {answer}")
            self._wait("reconciled", count)
            self._wait_settled()

    @contextmanager
    def _stage(self, name):
        began, wal = time.monotonic(), self._wal()
        yield
        stage = self.stages[name]
        stage[0] += time.monotonic() - began
        stage[1] += self._wal() - wal

    def _check_ledger(self):
        """Have all books compared, and return the seconds that it took.

        :raise BridgeError: they do not agree
        """
        model, began = "g2p.disbursement.envelope", time.monotonic()
        self.world.admin.timeout_s = 3600
        envelopes = self.world.admin.execute(model, "search", [])
        self.world.admin.execute(model, "action_check_ledger", envelopes)
        if found := self.world.admin.execute("g2p.ledger.difference", "search_count", []):
            raise BridgeError(f"The books differ in {found} places.")
        return round(time.monotonic() - began, 1)

    def _wait(self, what, count):
        field = f"number_of_disbursements_{what}"
        self.stack.wait_until(
            lambda: self.world.pbms.status()[field] == count,
            60 + count * SLOWEST_S / 1000,
            f"{count} {what}",
        )

    def _wait_settled(self):
        self.stack.wait_until(
            lambda: self.world.pbms.status()["envelope_status"] == "settled", 60, "settled envelope"
        )

    def _wal(self):
        return int(self._query("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])

    def _sizes(self):
        return {name: (heap, indexes) for name, heap, indexes in self._query(_SIZES)}

    def _query(self, statement):
        with self.stack.postgres.cursor(self.stack.db) as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def _execute(self, statement):
        with self.stack.postgres.cursor(self.stack.db) as cursor:
            cursor.execute(statement)

    # the result

    def report(self):
        """Print the tables, and return the JSON result."""
        result = {
            "disbursements": self.count,
            "rows_per_call": self.options.rows_per_call,
            "cores": psutil.cpu_count(),
            "stages": [self._stage_result(name, *each) for name, each in self.stages.items()],
            "tables": [self._table_result(table) for table in self._largest_first()],
            "ledger_check_seconds": self.ledger_check_s,
            "statement_file_bytes": self._each(self.files),
            "peak_pss_mb": self.memory.peaks_mb(),
        }
        _print_result(result)
        return result

    def _stage_result(self, name, seconds, wal):
        return {
            "stage": name,
            "seconds": round(seconds, 1),
            "rows_per_s": round(self.count / seconds),
            "wal_bytes": self._each(wal),
        }

    def _table_result(self, table):
        heap, indexes = self.sizes[table]
        packed_heap, packed_indexes = self.packed.get(table, (0, 0))
        return {
            "table": table,
            "heap_bytes": self._each(heap),
            "index_bytes": self._each(indexes),
            "packed_heap_bytes": self._each(packed_heap),
            "packed_index_bytes": self._each(packed_indexes),
        }

    def _largest_first(self):
        return sorted(self.sizes, key=lambda table: -sum(self.sizes[table]))

    def _each(self, amount):
        """Return what one disbursement has of it."""
        return round(amount / self.count, 1)


def _grown(before, after):
    """Return table -> (bytes of heap, bytes of indexes) that it grew by, where it grew."""
    grown = {
        table: tuple(now - then for now, then in zip(sizes, before.get(table, (0, 0)), strict=True))
        for table, sizes in after.items()
    }
    return {table: sizes for table, sizes in grown.items() if sum(sizes) > 0}


def _print_result(result):
    count, size = result["disbursements"], result["rows_per_call"]
    say(f"\n{count:,} disbursements in calls of {size:,}, {result['cores']} cores")
    say(f"\n{'stage':<12}{'seconds':>10}{'rows/s':>10}{'WAL bytes per row':>20}")
    for stage in result["stages"]:
        say(
            f"{stage['stage']:<12}{stage['seconds']:>10,}{stage['rows_per_s']:>10,}"
            f"{stage['wal_bytes']:>20,}"
        )
    total = sum(stage["seconds"] for stage in result["stages"])
    wal = sum(stage["wal_bytes"] for stage in result["stages"])
    say(f"{'together':<12}{total:>10,.1f}{count / total:>10,.0f}{wal:>20,.1f}")
    say(f"the check of all books took {result['ledger_check_seconds']} s")
    _print_tables(result["tables"])
    say(f"{'statement files':<32}{result['statement_file_bytes']:>44,}")
    peaks = ", ".join(f"{name} {peak:,} MB" for name, peak in result["peak_pss_mb"].items())
    say(f"\npeak memory (PSS, with all children): {peaks}")


_BYTES = ("heap_bytes", "index_bytes", "packed_heap_bytes", "packed_index_bytes")


def _print_tables(tables):
    say(f"\n{'':<32}{'as it stands':>22}{'packed (VACUUM FULL)':>22}")
    say(f"{'bytes per row':<32}{'heap':>11}{'indexes':>11}{'heap':>11}{'indexes':>11}")
    shown = [table for table in tables if table["heap_bytes"] + table["index_bytes"] >= 1]
    rest = [table for table in tables if table not in shown]
    for title, group in (
        *((table["table"], [table]) for table in shown),
        ("others", rest),
        ("all tables", tables),
    ):
        sums = (sum(table[name] for table in group) for name in _BYTES)
        say(f"{title:<32}" + "".join(f"{each:>11,.1f}" for each in sums))


class PeakMemory:
    """The highest memory of each process of the stack, its children included, while it is open."""

    def __init__(self, stack):
        self._stack = stack
        self._peaks = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._is_over.set()
        self._thread.join()

    def peaks_mb(self):
        """Return name -> MB (int)."""
        return {name: round(peak / 1e6) for name, peak in self._peaks.items()}

    def _watch(self):
        is_over = False
        while not is_over:  # a short run is looked at, too
            for name, pid in self._stack.pids.items():
                self._peaks[name] = max(self._peaks.get(name, 0), _pss(pid))
            is_over = self._is_over.wait(SAMPLE_S)


def _pss(pid):
    """Return the bytes of a process and its children, shared memory counted once."""
    total = 0
    try:
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            total += each.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return total
    return total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
