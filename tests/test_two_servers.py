"""Two Odoo servers on one database share the work, and one of them may die at any moment.

Each has HTTP workers, a cron thread and a job runner. A load balancer stands in front of both, for
callers and for the job runner that is master, the one with PostgreSQL's advisory lock.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests
from test_bank_faults import (
    BANK_VALUES,
    PARAMETERS,
    assert_each_paid_once,
    calling_worker,
    press_on,
)
from test_whole_way import beneficiaries, send, today, wait_for

from bridge_stack.stack import Stack
from bridge_stack.world import CURRENCY, PBMS_GROUP, World

pytestmark = pytest.mark.stack

COUNT = 200
#: so that a killed server leaves calls behind, whichever job it was given
SLOW_CALLS = {"endpoint": "/initiate_payment", "fault": "delay", "seconds": 1, "count": 20}
DEADLINE_S = 180
#: the lock of queue_job's job runner (``jobrunner/runner.py``)
RUNNER_LOCK = 2293787760715711918


@pytest.fixture(scope="module")
def two(request):
    """Yield a system with two servers, of which tests kill one and bring it back."""
    with Stack(servers=2, workers=3, channels="root:3") as running:
        for key, value in PARAMETERS.items():
            running.admin.execute("ir.config_parameter", "set_param", key, value)
        yield running
        running.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="module")
def user(two):
    """Return login and key of the one program system, for a user takes three seconds to make."""
    return "pbms-two", two.create_user("pbms-two", [PBMS_GROUP])


def new_world(stack, user):
    world = World(stack, user=user, bank_values={**BANK_VALUES, "max_parallel_calls": 4})
    world.link(beneficiaries(COUNT))
    return world


def query(stack, statement, *values):
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def servers_of(stack):
    return [name for name in stack.pids if name.startswith("server")]


def master_of(stack):
    """Return the server whose job runner is master, or None while nobody is."""
    names = query(
        stack,
        """
        SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
           AND (l.classid::bigint << 32) + l.objid::bigint = %s
        """,
        RUNNER_LOCK,
    )
    assert len(names) <= 1
    for server in servers_of(stack):
        pids = stack.worker_pids_of("WorkerJobRunner", server)
        if names and names[0][0] in {f"odoo-{pid}" for pid in pids}:
            return server
    return None


def wait_for_master(stack):
    return stack.wait_until(lambda: master_of(stack), DEADLINE_S, "job runner that is master")


def jobs_by_server(stack, since):
    """Return how many jobs (Counter) each server has done after the job with this id."""
    owners = {
        pid: server
        for server in servers_of(stack)
        for pid in stack.all_worker_pids_of("WorkerHTTP", server)
    }
    done = "SELECT worker_pid FROM queue_job WHERE id > %s AND state = 'done'"
    return Counter(owners[pid] for (pid,) in query(stack, done, since))


def last_job(stack):
    [(number,)] = query(stack, "SELECT coalesce(max(id), 0) FROM queue_job")
    return number


def test_two_servers_share_the_work(two, user):
    assert servers_of(two) == ["server", "server-2"]
    wait_for_master(two)
    since = last_job(two)
    world = new_world(two, user)
    send(world, COUNT, rows_per_call=20)
    wait_for(world, shipped=COUNT)
    world.settle()
    assert_each_paid_once(world, COUNT)
    done = jobs_by_server(two, since)
    # a batch each, at least; in turn, so neither has nearly all
    assert done.total() >= COUNT // BANK_VALUES["max_batch_size"]
    assert min(done["server"], done["server-2"]) >= done.total() / 5, done


def test_the_other_runner_waits_for_its_turn(two):
    master = wait_for_master(two)
    [other] = set(servers_of(two)) - {master}
    assert two.worker_pids_of("WorkerJobRunner", other)


@pytest.mark.parametrize("is_master", [True, False], ids=["master", "other"])
def test_a_server_killed_amid_the_work_loses_nothing(two, user, is_master):
    master = wait_for_master(two)
    [other] = set(servers_of(two)) - {master}
    victim, survivor = (master, other) if is_master else (other, master)
    paying, sending = new_world(two, user), new_world(two, user)
    paying.at_bank("/admin/faults", **SLOW_CALLS)
    is_killed = Event()
    try:
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send_past_the_end_of_a_server, sending, is_killed)
            send(paying, COUNT)
            try:
                two.wait_until(
                    lambda: calling_worker(paying, True, victim), DEADLINE_S, "call under way"
                )
                two.kill(victim)
            finally:
                is_killed.set()
            sent.result()
        assert victim not in two.pids
        two.wait_until(lambda: master_of(two) == survivor, DEADLINE_S, "master that took over")
        press_on(paying, sending, deadline_s=DEADLINE_S)
        for world in (paying, sending):
            world.settle()
            assert_each_paid_once(world, COUNT)
    finally:
        two.restart(victim)


def send_past_the_end_of_a_server(world, is_killed):
    """Have the PBMS send without a pause while a server dies, repeating what got no answer.

    In the middle of the envelope it goes on repeating a part until the server is dead.
    """
    pbms = world.pbms
    pbms.draw_amounts(COUNT)
    until_answered(world, lambda: pbms.create_envelope("2026-11", CURRENCY, today()))
    references = list(pbms.amounts)
    for start in range(0, COUNT, 10):
        part, key = references[start : start + 10], f"part-{start}"
        answers = [until_answered(world, lambda: pbms.send_part(part, key))]  # noqa: B023 - at once
        while start == COUNT // 2 and not is_killed.is_set():
            answers.append(until_answered(world, lambda: pbms.send_part(part, key)))  # noqa: B023
        assert all(answer == answers[0] for answer in answers)


def until_answered(world, call):
    """Return the answer to a call, made again while the connection breaks."""

    def answer():
        try:
            return call()
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return None

    return world.stack.wait_until(answer, DEADLINE_S, "answer")
