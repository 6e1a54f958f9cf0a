"""A chaos run: rounds drawn from a seed, several under way at the same time, each one judged."""

import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field

import psycopg2
import requests

from bridge_stack.chaos import plan as plans
from bridge_stack.chaos.judge import ENDED, Judge
from bridge_stack.chaos.officer import Officer
from bridge_stack.chaos.program import Case, Program, Stuck, insist
from bridge_stack.chaos.system import System
from bridge_stack.common import say
from bridge_stack.rpc import RpcError
from bridge_stack.world import PBMS_GROUP, World

APPROVER_GROUP = "g2p_bridge.group_approver"

LANES = 3
#: seconds that a round may take after its storm: dead jobs are found within one minute
RECOVERY_S = 240
#: seconds between two looks at a round
LOOK_S = 1.0
BANK_VALUES = {"read_timeout": 2, "connect_timeout": 2, "max_batch_size": 4}
#: rounds that went wrong, after which no further one begins
ENOUGH = 3

_EXPLAIN = """
SELECT e.disbursement_envelope_id, e.state, e.resume_state, e.attention_code, e.next_attempt_at,
       e.funds_released_at, e.funds_blocked_reference_number IS NOT NULL,
       (SELECT string_agg(b.name || ' ' || b.state, ', ') FROM g2p_disbursement_batch b
         WHERE b.envelope_id = e.id AND b.state <> 'acknowledged'),
       (SELECT string_agg(DISTINCT c.operation || ' ' || c.state, ', ') FROM g2p_bank_call c
         WHERE c.envelope_id = e.id),
       (SELECT string_agg(DISTINCT d.state, ', ') FROM g2p_disbursement d
         WHERE d.envelope_id = e.id)
  FROM g2p_disbursement_envelope e WHERE e.disbursement_envelope_id = ANY(%s)
"""
_OPEN_JOBS = """
SELECT state, retry, date_enqueued, eta, name, exc_name FROM queue_job
 WHERE state NOT IN ('done', 'cancelled') ORDER BY id LIMIT 15
"""


@dataclass
class Result:
    """What a run came to; ``problems`` are sentences with their round."""

    rounds: int = 0
    kills: int = 0
    faults: int = 0
    payments: int = 0
    lost: int = 0
    duplicated: int = 0
    problems: list = field(default_factory=list)

    def line(self):
        """Return the last line of a run."""
        names = ("rounds", "kills", "faults", "payments", "lost", "duplicated")
        return " ".join(f"{name}={getattr(self, name)}" for name in names)


class Run:
    """So many rounds on one system.

    :param int rounds: how many
    :param int seed: decides them all
    :param int payments: in each round
    :param int lanes: rounds under way at the same time
    """

    def __init__(self, *, rounds, seed, payments=40, lanes=LANES):
        self.seed, self.payments = seed, payments
        self.result = Result()
        self._lock = threading.Lock()
        self._bad_rounds = 0
        self._numbers = queue.SimpleQueue()
        for number in range(1, rounds + 1):
            self._numbers.put(number)
        self._lane_count = min(lanes, rounds)

    def play(self):
        """Play all rounds and return the :class:`Result`."""
        with System() as system:
            user = "pbms-chaos", system.stack.create_user("pbms-chaos", [PBMS_GROUP])
            key = system.stack.create_user("approver-chaos", [APPROVER_GROUP])
            approver = system.stack.rpc("approver-chaos", key)
            lanes = [Lane(self, system, user, approver) for _number in range(self._lane_count)]
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
            self._look_at_the_end(system)
            self._check_books(lanes)
            self.result.kills, self.result.faults = system.kills, system.count_faults()
            system.stack.keep_logs = bool(self.result.problems)
        return self.result

    def next_plan(self):
        """Return the plan of the next round, or None when there is no more."""
        with self._lock:
            if self._bad_rounds >= ENOUGH:
                return None
        try:
            number = self._numbers.get_nowait()
        except queue.Empty:
            return None
        return plans.draw(self.seed, number, self.payments)

    def book(self, plan, verdict, seconds, detail=""):
        """Count a round in, and tell of it."""
        result = self.result
        with self._lock:
            result.rounds += 1
            for name in ("payments", "lost", "duplicated"):
                setattr(result, name, getattr(result, name) + getattr(verdict, name))
            outcome = "WRONG" if verdict.problems else "well"
            say(
                f"round {plan.number:4}  {plan.summary()}: {verdict.payments} payments,"
                f" {outcome} after {seconds:.1f} s"
            )
            if verdict.problems:
                self._bad_rounds += 1
                self._tell(plan.number, verdict.problems, detail)

    def _tell(self, number, problems, detail):
        for problem in problems:
            text = f"seed {self.seed} round {number}: {problem}"
            self.result.problems.append(text)
            say(f"VIOLATION {text}")
        if detail:
            say(detail)

    def _look_at_the_end(self, system):
        """When all is quiet no job is left, and the bank's own books tie."""
        end = time.monotonic() + RECOVERY_S
        while True:
            jobs = system.unfinished_jobs()
            if jobs is not None and not set(jobs) - {"failed"}:
                break
            if time.monotonic() > end:
                self._tell("end", [f"jobs are left: {jobs}"], "")
                break
            time.sleep(LOOK_S)
        if jobs:
            say(f"end         jobs that failed, whose work others did: {jobs}")
        summary = insist(lambda: _get(f"{system.stack.bank_url}/ledger/summary"), "ledger")
        if summary["problems"] or summary["ordered_more_than_once"]:
            self._tell("end", [f"the bank's books: {summary}"], "")

    def _check_books(self, lanes):
        """Have the bridge compare all its own books: what it finds is wrong."""
        for lane in lanes:
            for found in lane.differences():
                self._tell("end", [f"the bridge's books: {found}"], "")


def _get(url):
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    return answer.json()


class Lane(threading.Thread):
    """Plays one round after the other, beside other lanes, with accounts of its own."""

    def __init__(self, run, system, user, approver):
        super().__init__(daemon=True)
        self._run, self._system, self._user, self._approver = run, system, user, approver
        self._parties = {is_mute: self._make_party(is_mute) for is_mute in (False, True)}

    def _make_party(self, is_mute):
        values = {**BANK_VALUES, "connector": "example_plain" if is_mute else "example"}
        world = World(self._system.stack, bank_values=values, user=self._user)
        world.admin = self._system.stack.rpc()  # a connection of its own
        program = Program(world)
        return program, Judge(program, is_mute), Officer(world, self._approver)

    def differences(self):
        """Return what the bridge's check of its books finds in all envelopes of the lane."""
        worlds = [program.world for program, _judge, _officer in self._parties.values()]
        return [
            found
            for world in worlds
            for found in insist(world.differences, "the check of the books")
        ]

    def run(self):
        """Play until there is no more plan."""
        while plan := self._run.next_plan():
            Round(self._run, self._system, plan, *self._parties[plan.is_mute]).play()


class Round:
    """One round, from its storm to its verdict."""

    def __init__(self, run, system, plan, program, judge, officer):
        self._run, self._system, self.plan = run, system, plan
        self.program, self.judge, self.officer = program, judge, officer
        self.world = program.world
        self.cases = [
            Case(program, envelope, f"R{plan.number:04}E{index}", index)
            for index, envelope in enumerate(plan.envelopes, start=1)
        ]
        self._problems = []

    def play(self):
        """Play it, judge it, and book the verdict."""
        start = time.monotonic()
        try:
            self._flag_returns()
            self._storm()
            self._recover()
        except (Stuck, RpcError) as error:
            self._problems.append(str(error))
        verdict = insist(lambda: self.judge.judge(self.cases), "verdict")
        verdict.problems = self._problems + verdict.problems
        detail = self._explain() if verdict.problems else ""
        self._run.book(self.plan, verdict, time.monotonic() - start, detail)

    def _flag_returns(self):
        for case in self.cases:
            for position in case.plan.returned:
                body = {"beneficiary": f"ACC{case.references[position]}", "reason": "CLOSED"}
                insist(lambda body=body: self._system.at_bank("/admin/beneficiaries", body), "bank")

    def _storm(self):
        """Let the program work while the system is harmed."""
        threads = [case.start() for case in self.cases]
        start = time.monotonic()
        events = list(self.plan.events)
        if self.plan.early_settlement:
            events.append((self.plan.early_settlement, "settle", None))
        for at, kind, what in sorted(events, key=lambda event: event[0]):
            time.sleep(max(0, start + at - time.monotonic()))
            self._befall(kind, what)
        for thread in threads:
            thread.join()
        self._problems += [case.problem for case in self.cases if case.problem]

    def _befall(self, kind, what):
        if kind == "kill":
            self._system.kill(what, self.plan.rng)
        elif kind == "fault":
            self._system.inject(what)
        else:
            self._settle()

    def _settle(self):
        """Have the bank settle, report and upload; what fails is done at the next look."""
        with contextlib.suppress(requests.RequestException):
            self.world.settle()

    # recovery

    def _recover(self):
        """Wait until every envelope ended and the bank holds nothing, and kill once more."""
        end = time.monotonic() + RECOVERY_S
        late_kill = self.plan.late_kill
        while not self._is_ended():
            if time.monotonic() > end:
                raise Stuck(f"not ended after {RECOVERY_S} s")
            time.sleep(LOOK_S)
            with contextlib.suppress(requests.RequestException, psycopg2.Error):
                if self.plan.is_mute:
                    self.officer.look(self.world.ledger())
                if self._is_sent():
                    self._settle()
                    if late_kill:
                        self._system.kill(late_kill, self.plan.rng)
                        late_kill = None

    def _is_sent(self):
        """Say whether nothing but statements, and hopeless payments, is waited for."""
        states = self._states()
        for case in self.cases:
            if states.get(case.envelope_id) == "disbursed":
                case.cancel_never_linked()
        return set(states.values()) <= {"disbursed", *ENDED}

    def _is_ended(self):
        with contextlib.suppress(requests.RequestException, psycopg2.Error):
            if not set(self._states().values()) <= set(ENDED) or self._has_unmatched_statement():
                return False
            accounts = [] if self.plan.is_mute else self.world.ledger()["accounts"]
            return not any(float(one["held"]) for one in accounts)
        return False

    def _has_unmatched_statement(self):
        """Say whether a statement waits to be matched: returns come after the last debit."""
        stack = self._system.stack
        with stack.postgres.cursor(stack.db) as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM g2p_account_statement"
                " WHERE account_id = %s AND state = 'received')",
                [self.world.account_id],
            )
            return cursor.fetchone()[0]

    def _states(self):
        """Return envelope id -> state, past the server: whoever waits must not slow it down."""
        ids = [case.envelope_id for case in self.cases if case.envelope_id]
        stack = self._system.stack
        with stack.postgres.cursor(stack.db) as cursor:
            cursor.execute(
                "SELECT disbursement_envelope_id, state FROM g2p_disbursement_envelope"
                " WHERE disbursement_envelope_id = ANY(%s)",
                [ids],
            )
            return dict(cursor.fetchall())

    def _explain(self):
        """Return what the database says of the round's envelopes, and which jobs are open."""
        ids = [case.envelope_id for case in self.cases if case.envelope_id]
        stack = self._system.stack
        with contextlib.suppress(psycopg2.Error), stack.postgres.cursor(stack.db) as cursor:
            cursor.execute(_EXPLAIN, [ids])
            rows = cursor.fetchall()
            cursor.execute(_OPEN_JOBS)
            return "\n".join(f"   {row}" for row in rows + cursor.fetchall())
        return ""
