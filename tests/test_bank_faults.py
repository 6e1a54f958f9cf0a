"""A bank that fails in every way, and processes that die: each payment is made exactly once.

The bank's ledger is the judge, not ours. ``times_ordered`` counts the orders of a payment; repeats
that the bank knew by their Idempotency-Key are no further order.
"""

import contextlib
import os
import signal
import time
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from test_whole_way import assert_books_agree, beneficiaries, send

from bridge_stack.rpc import RpcError
from bridge_stack.stack import Stack
from bridge_stack.world import PBMS_GROUP, World

pytestmark = pytest.mark.stack

COUNT = 30
#: dead jobs are found at the next tick of the cron, which the tests do not wait for, or in a minute
DEADLINE_S = 120
#: nothing is asked again by the clock: the tests say when
PARAMETERS = {"g2p_bridge.retry_seconds": "1", "g2p_bridge.recheck_minutes": "60"}
BANK_VALUES = {"read_timeout": 2, "connect_timeout": 2, "max_batch_size": 10}
OPERATIONS = ("block_funds", "initiate_payment")
#: what the bank does, before or after the work, to a call
FAULTS = [
    {"fault": "reset"},
    {"fault": "error_before"},
    {"fault": "delay_before", "seconds": 10},  # time-out, and 5 s if a job finds it locked
    {"fault": "delay", "seconds": 4},
    {"fault": "drop"},
    {"fault": "error_after"},
    {"fault": "garbage"},
    {"fault": "half"},
    {"fault": "refuse", "seconds": 3},
]


@pytest.fixture(scope="module")
def impatient(request):
    """Yield a system of its own, whose bridge does not wait long: its processes are killed."""
    with Stack(channels="root:3") as running:
        for key, value in PARAMETERS.items():
            running.admin.execute("ir.config_parameter", "set_param", key, value)
        yield running
        running.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="module")
def user(impatient):
    """Return login and key of the one program system, for a user takes three seconds to make."""
    return "pbms-faults", impatient.create_user("pbms-faults", [PBMS_GROUP])


def impatient_world(stack, user, **bank_values):
    world = World(stack, bank_values={**BANK_VALUES, **bank_values}, user=user)
    world.link(beneficiaries(COUNT))
    return world


@pytest.fixture(scope="module")
def worlds(impatient, user):
    """Return a world for each fault: it was hit by it, and then got all the time it needs."""
    made = {}
    for operation in OPERATIONS:
        for fault in FAULTS:
            world = impatient_world(impatient, user)
            HITS.get(fault["fault"], hit)(world, operation, fault)
            made[operation, fault["fault"]] = world
    press_on(*made.values())
    for world in made.values():
        world.settle()
    return made


def hit(world, operation, fault):
    """Have the world's first such call meet the fault."""
    switch_on(world, endpoint=f"/{operation}", **fault)
    send(world, COUNT)
    wait_for_hit(world)


def switch_on(world, **fault):
    """Have one call for the world's account meet a fault: other worlds may still be under way."""
    world.at_bank("/admin/faults", account_number=world.account_number, count=1, **fault)


def wait_for_hit(world):
    def is_hit():
        answer = requests.get(f"{world.stack.bank_url}/admin/faults", timeout=10)
        return answer.json()["faults"][-1]["hits"]

    world.stack.wait_until(is_hit, DEADLINE_S, "call that meets the fault")


def hit_and_ask_early(world, operation, fault):
    """Have it meet the fault, and ask the bank again while it has not begun with the call."""
    hit(world, operation, fault)

    def is_given_up():
        status = world.pbms.status()
        return status["attention_code"] or status["number_of_disbursements_unknown"]

    world.stack.wait_until(is_given_up, DEADLINE_S, "time-out")
    press_on(world, deadline_s=fault["seconds"])


def hit_closed_port(world, operation, fault):
    """Close the bank's port while the call before this one is under way: that is answered."""
    before = {"block_funds": "check_funds", "initiate_payment": "block_funds"}[operation]
    switch_on(world, endpoint=f"/{before}", fault="delay", seconds=1)
    send(world, COUNT)
    wait_for_hit(world)
    world.at_bank("/admin/faults", **fault)

    def is_refused():
        calls = world.admin.execute(
            "g2p.bank.call",
            "search_read",
            [("bank_id", "=", world.bank_id), ("operation", "=", operation)],
            ["state", "attempts"],
        )
        return any(call["state"] == "unavailable" or call["attempts"] > 1 for call in calls)

    world.stack.wait_until(is_refused, DEADLINE_S, "refused connection")
    world.stack.wait_until(lambda: is_open(world.stack.bank_url), DEADLINE_S, "open port")


def is_open(url):
    try:
        return requests.get(f"{url}/ping", timeout=10).ok
    except requests.ConnectionError:
        return False


#: how a world comes to meet a fault, where simply switching it on would not do
HITS = {"delay_before": hit_and_ask_early, "refuse": hit_closed_port}


def press_on(*worlds, deadline_s=DEADLINE_S):
    """Do what the clock does in production, only sooner, until all is sent or time is over.

    Whether all was sent is for each test to say: one world that is stuck fails no other's test.
    """
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and not all(map(is_sent, map(status_of, worlds))):
        forward(worlds[0].stack)
        with contextlib.suppress(RpcError):  # the real cron is at it in this very second
            worlds[0].run_cron()
        time.sleep(0.5)


def status_of(world):
    """Return the envelope's status; None while there is no server to ask."""
    try:
        return world.pbms.status()
    except requests.ConnectionError:
        return None


def is_sent(status):
    """Say whether all was sent: nothing is, before all was received."""
    count = status and status["number_of_disbursements_shipped"]
    return count and count == status["number_of_disbursements_received"]


def forward(stack):
    """Let a day pass for what waits: rechecks of problems and of unknown batches."""
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(
            """
            UPDATE g2p_disbursement_envelope SET next_attempt_at = now() - interval '1 day'
             WHERE next_attempt_at > now();
            UPDATE g2p_disbursement_batch SET state_since = now() - interval '1 day'
             WHERE state = 'unknown' AND state_since > now() - interval '1 hour';
            UPDATE g2p_bank_call SET started_at = now() - interval '1 day'
             WHERE batch_id IN (SELECT id FROM g2p_disbursement_batch WHERE state = 'unknown')
               AND started_at > now() - interval '1 hour';
            UPDATE g2p_bank_health SET open_until = now() - interval '1 day'
             WHERE open_until IS NOT NULL;
            """
        )


def assert_each_paid_once(world, count=COUNT):
    ledger = world.ledger()
    assert len(ledger["payments"]) == count
    assert {payment["times_ordered"] for payment in ledger["payments"]} == {1}
    assert ledger["refused_orders"] == []
    assert len(ledger["blocks"]) == 1
    world.stack.wait_until(
        lambda: world.pbms.status()["number_of_disbursements_reconciled"] == count,
        DEADLINE_S,
        "reconciled",
    )
    assert_books_agree(world)


@pytest.mark.parametrize("fault", [fault["fault"] for fault in FAULTS])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_of_the_bank_pays_nobody_twice_and_forgets_nobody(worlds, operation, fault):
    assert_each_paid_once(worlds[operation, fault])


def killed_while_paying(stack, user, kill, endpoint="/initiate_payment"):
    """Have ``kill(worker)`` end a process while a payment call of that worker is under way.

    :param endpoint: of another call that is to be under way
    :return: the world, after all has been sent
    """
    world = impatient_world(stack, user)
    kill_in_call(world, kill, endpoint)
    press_on(world)
    world.settle()
    return world


def kill_in_call(world, kill, endpoint):
    switch_on(world, endpoint=endpoint, fault="delay", seconds=1.5)
    send(world, COUNT)
    is_payment = endpoint == "/initiate_payment"
    worker = world.stack.wait_until(
        lambda: calling_worker(world, is_payment), DEADLINE_S, "call under way"
    )
    kill(worker)


def calling_worker(world, is_payment, server="server"):
    """Return the id of the worker that waits for the bank, once the bank has its payments."""
    if is_payment and not world.ledger()["payments"]:
        return None
    bank_port = urlsplit(world.stack.bank_url).port
    for pid in world.stack.worker_pids(server):
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port == bank_port:
                return pid
    return None


def kill_worker(worker):
    os.kill(worker, signal.SIGKILL)


def test_a_worker_killed_while_it_pays_costs_nothing(impatient, user):
    assert_each_paid_once(killed_while_paying(impatient, user, kill_worker))


@pytest.mark.parametrize("endpoint", ["/check_funds", "/block_funds"])
def test_a_worker_killed_while_it_asks_for_funds_costs_nothing(impatient, user, endpoint):
    assert_each_paid_once(killed_while_paying(impatient, user, kill_worker, endpoint))


@pytest.mark.parametrize("endpoint", ["/block_funds", "/initiate_payment"])
def test_a_worker_killed_at_a_bank_without_keys_is_followed_by_no_second_call(
    impatient, user, endpoint
):
    """The bank would do it again and cannot be asked: only the row committed before knows of it."""
    world = impatient_world(impatient, user, connector="example_plain")
    kill_in_call(world, kill_worker, endpoint)
    is_payment = endpoint == "/initiate_payment"

    def is_noticed():
        press_on(world, deadline_s=1)
        status = world.pbms.status()
        shipped, unknown = (status[f"number_of_disbursements_{n}"] for n in ("shipped", "unknown"))
        return (shipped, unknown) == (COUNT - 10, 10) if is_payment else status["attention_code"]

    world.stack.wait_until(is_noticed, DEADLINE_S, "word that nobody can know")
    press_on(world, deadline_s=5)
    assert is_noticed()
    ledger = world.ledger()
    assert len(ledger["payments"]) == (COUNT if is_payment else 0)
    assert {payment["times_ordered"] for payment in ledger["payments"]} <= {1}
    assert (ledger["refused_orders"], len(ledger["blocks"])) == ([], 1)


def test_a_server_killed_while_it_pays_costs_nothing(impatient, user):
    def kill(_worker):
        impatient.kill("server")
        impatient.restart("server")

    assert_each_paid_once(killed_while_paying(impatient, user, kill))


def test_a_bank_killed_while_it_pays_costs_nothing(impatient, user):
    def kill(_worker):
        impatient.kill("bank")
        impatient.restart("bank")

    assert_each_paid_once(killed_while_paying(impatient, user, kill))
