"""The processes of a chaos run: who kills them, and who starts them again."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import psycopg2
import requests

from bridge_stack.common import BridgeError
from bridge_stack.postgres import PrivatePostgres
from bridge_stack.rpc import RpcError
from bridge_stack.stack import Stack

#: nothing is asked again by the clock alone: the days are ours. A bank that is down is left alone
#: for seconds, for all rounds share one that somebody is always breaking
PARAMETERS = {
    "g2p_bridge.retry_seconds": "1",
    "g2p_bridge.recheck_minutes": "60",
    "g2p_bridge.breaker_seconds": "1",
    "g2p_bridge.breaker_longest_seconds": "4",
    "g2p_bridge.match_size": "7",  # statements are matched in slices
}
#: every call of ours is by a door that the server finds old
QUIET = ("--log-handler=odoo.addons.rpc.controllers:ERROR",)
#: share of the kills that are made while a call to the bank is under way; seconds to wait for one
AIMED, AIM_S = 0.7, 2.0
#: of what is written down, nothing may be lost by a crash
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
#: how often a cron runs
TICK_S = 3.0
RESOLVE_TICKS = 2

_FORWARD = """
WITH due AS (SELECT id FROM g2p_disbursement_envelope WHERE next_attempt_at > now()
                FOR UPDATE SKIP LOCKED)
UPDATE g2p_disbursement_envelope e SET next_attempt_at = now() - interval '1 day'
  FROM due WHERE e.id = due.id;
WITH due AS (SELECT id FROM g2p_disbursement_envelope WHERE next_release_at > now()
                FOR UPDATE SKIP LOCKED)
UPDATE g2p_disbursement_envelope e SET next_release_at = now() - interval '1 day'
  FROM due WHERE e.id = due.id;
WITH due AS (SELECT id FROM g2p_disbursement_batch
              WHERE state = 'unknown' AND state_since > now() - interval '1 hour'
                FOR UPDATE SKIP LOCKED)
UPDATE g2p_disbursement_batch b SET state_since = now() - interval '1 day'
  FROM due WHERE b.id = due.id;
UPDATE g2p_bank_call SET started_at = now() - interval '1 day'
 WHERE batch_id IN (SELECT id FROM g2p_disbursement_batch WHERE state = 'unknown')
   AND state <> 'started' AND started_at > now() - interval '1 hour';
UPDATE g2p_bank_health SET open_until = now() - interval '1 day'
 WHERE open_until IS NOT NULL;
"""


class System:
    """The whole system with a database server of its own, in a ``with`` block.

    What ended is started again, as a service manager does. Days pass in seconds: what waits for a
    time is made due, and the crons run. Jobs are never touched.

    :ivar stack: a running :class:`~bridge_stack.stack.Stack`
    :ivar kills: how many were made
    """

    def __init__(self):
        self.stack = Stack(
            postgres=PrivatePostgres(),
            workers=4,
            channels="root:4",
            odoo_options=QUIET,
        )
        self.kills = 0
        self._faults_seen = self._faults_before = 0
        self._refusals = 0
        self._processes = threading.RLock()
        self._ended = threading.Event()
        self._threads = []
        # a process is tied to the life of the thread that started it, so one that lives long does
        self._starter = ThreadPoolExecutor(1)

    def __enter__(self):
        self.stack.__enter__()
        try:
            self._check_durable()
            for key, value in PARAMETERS.items():
                self.stack.admin.execute("ir.config_parameter", "set_param", key, value)
            self._crons = self._find_crons()
            self._stop_other_crons()
        except BaseException:
            self.stack.keep_logs = True
            self.stack.__exit__(None, None, None)
            raise
        for work in (self._supervise, self._let_days_pass):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *error):
        with self._processes:  # no kill is under way, and none follows
            self._ended.set()
        for thread in self._threads:
            thread.join()
        self.stack.__exit__(*error)
        self._starter.shutdown()

    def _check_durable(self):
        with self.stack.postgres.cursor(self.stack.db) as cursor:
            for name in DURABLE:
                cursor.execute(f"SHOW {name}")
                [value] = cursor.fetchone()
                if value != "on":
                    raise BridgeError(f"PostgreSQL runs with {name} = {value}: it must be on.")

    def _find_crons(self):
        records = self.stack.admin.execute(
            "ir.model.data",
            "search_read",
            [("module", "=", "g2p_bridge"), ("model", "=", "ir.cron")],
            ["name", "res_id"],
        )
        return {record["name"]: record["res_id"] for record in records}

    def _stop_other_crons(self):
        """Stop Odoo's own crons: a crash has them begin anew, which wears out the machine."""
        others = self.stack.admin.execute(
            "ir.cron", "search", [("id", "not in", list(self._crons.values()))]
        )
        self.stack.admin.execute("ir.cron", "write", others, {"active": False})

    # what goes on all the time

    def _supervise(self):
        """Start again what ended: Odoo ends itself when PostgreSQL is gone."""
        while not self._ended.wait(0.2):
            with self._processes:
                for name in ("server", "bank"):
                    if name not in self.stack.pids:
                        with contextlib.suppress(BridgeError):  # tried again
                            self._start(self.stack.restart, name)

    def _start(self, work, *arguments):
        self._starter.submit(work, *arguments).result()

    def _let_days_pass(self):
        client, ticks = self.stack.rpc(), 0
        while not self._ended.wait(TICK_S):
            ticks += 1
            names = ["cron_find_due_work"]
            if ticks % RESOLVE_TICKS == 0:
                names.append("cron_resolve_again")
            # without a server nothing passes; or the real cron is at it in this very second
            with contextlib.suppress(psycopg2.Error, requests.RequestException, RpcError):
                with self.stack.postgres.cursor(self.stack.db) as cursor:
                    cursor.execute(_FORWARD)
                for name in names:
                    client.execute("ir.cron", "method_direct_trigger", [self._crons[name]])

    # harm

    def kill(self, what, rng):
        """Kill something by SIGKILL; what does not come back by itself is started again.

        :param what: one of :data:`~bridge_stack.chaos.plan.KILLS`
        """
        if what != "runner" and rng.random() < AIMED:
            self._wait_for_call(rng)
        with self._processes:
            if self._ended.is_set():
                return
            self.kills += 1
            down_s = rng.uniform(0, 1)
            if what == "postgres":
                self.stack.postgres.kill()
                time.sleep(down_s)
                self._start(self.stack.postgres.restart)
            elif what in ("server", "bank"):
                self.count_faults(is_last=what == "bank")
                self.stack.kill(what)
                time.sleep(down_s)
                self._start(self.stack.restart, what)
            else:
                self._kill_one(what, rng)

    def _kill_one(self, what, rng):
        kind = {"worker": "WorkerHTTP", "runner": "WorkerJobRunner"}[what]
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, KeyError):
            found = self.stack.worker_pids_of(kind)
            if what == "worker":  # rather one that waits for the bank
                found = [pid for pid in found if self._talks_to_bank(pid)] or found
            if found:
                os.kill(rng.choice(found), signal.SIGKILL)

    def _wait_for_call(self, rng):
        """Have the bank think for a while, and wait until a worker waits for it: now it hurts."""
        endpoint = rng.choice(("/block_funds", "/initiate_payment", "/initiate_payment"))
        fault = rng.choice(("delay", "delay", "delay_before"))
        self.inject({"fault": fault, "endpoint": endpoint, "seconds": 1.2, "count": 2})
        end = time.monotonic() + AIM_S
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError, KeyError):
                if any(map(self._talks_to_bank, self.stack.worker_pids_of("WorkerHTTP"))):
                    return
            time.sleep(0.1)

    def _talks_to_bank(self, pid):
        port = urlsplit(self.stack.bank_url).port
        with contextlib.suppress(psutil.Error):
            connections = psutil.Process(pid).net_connections("tcp")
            return any(each.raddr and each.raddr.port == port for each in connections)
        return False

    def inject(self, fault):
        """Switch a fault of the bank on; where there is no bank now, there is no fault."""
        with contextlib.suppress(requests.RequestException):
            self.at_bank("/admin/faults", fault)
            self._refusals += fault["fault"] == "refuse"

    def at_bank(self, path, body):
        """Call the bank as its clerk, and return its answer."""
        answer = requests.post(f"{self.stack.bank_url}{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def count_faults(self, is_last=False):
        """Return how many calls met a fault; with ``is_last`` the bank forgets its own count."""
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(f"{self.stack.bank_url}/admin/faults", timeout=10)
            self._faults_seen = sum(fault["hits"] for fault in answer.json()["faults"])
        if is_last:
            self._faults_before += self._faults_seen
            self._faults_seen = 0
        return self._faults_before + self._faults_seen + self._refusals

    def unfinished_jobs(self):
        """Return state -> number of jobs that did not end well; None while nobody can say."""
        try:
            with self.stack.postgres.cursor(self.stack.db) as cursor:
                cursor.execute(
                    "SELECT state, count(*) FROM queue_job"
                    " WHERE state NOT IN ('done', 'cancelled') GROUP BY 1"
                )
                return dict(cursor.fetchall())
        except psycopg2.Error:
            return None
