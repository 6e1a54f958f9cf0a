"""A big envelope at a slow bank: others are not kept waiting, and the bank's limit is kept.

Judged by the order of events in the bank's books, never by seconds.
"""

from collections import Counter

import pytest
import requests
from test_whole_way import DEADLINE_S, send

from bridge_stack.stack import Stack
from bridge_stack.world import PBMS_GROUP, World

pytestmark = pytest.mark.stack

BATCH_SIZE = 50
#: payments; 120 batches
BIG = 6000
SMALL = 100
PARALLEL_CALLS = 2
SLOW_S = 0.4
#: calls of the big envelope between the last call that brings in a small one and the last payment
#: call of that: each of the steps before waits until one of the big one's calls ends
MOST_BETWEEN = BIG // BATCH_SIZE // 6


@pytest.fixture(scope="module", params=["root:2", "root:4"])
def crowded(request):
    """Yield a system of its own: as many jobs as the bank takes calls, or more."""
    with Stack(channels=request.param, workers=6) as running:
        yield running
        running.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="module")
def race(crowded):
    """Return two worlds, after a big and a small envelope at a slow bank and one at another.

    :return: the world of the slow bank, that of the other one, and cycle -> number of payment calls
        that had been made when its last payment was received
    """
    user = "pbms-fair", crowded.create_user("pbms-fair", [PBMS_GROUP])
    values = {"max_batch_size": BATCH_SIZE, "max_parallel_calls": PARALLEL_CALLS}
    slow, quick = (World(crowded, mapper=None, bank_values=values, user=user) for _ in range(2))
    fault = {"fault": "delay", "endpoint": "/initiate_payment", "seconds": SLOW_S}
    slow.at_bank("/admin/faults", account_number=slow.account_number, count=None, **fault)
    begun = {}

    def bring(world, cycle, count):
        send(world, count, cycle=cycle)
        begun[cycle] = len(cycles_of_calls(slow, quick))
        return world.pbms.envelope_id

    big = bring(slow, "big", BIG)
    crowded.wait_until(lambda: cycles_of_calls(slow), DEADLINE_S, "call of the big envelope")
    bring(slow, "small", SMALL)
    bring(quick, "elsewhere", SMALL)
    slow.pbms.envelope_id = big

    def is_sent():
        return slow.pbms.status()["number_of_disbursements_shipped"] == BIG

    crowded.wait_until(is_sent, 3 * DEADLINE_S, "big envelope that is sent")
    return slow, quick, begun


def cycles_of_calls(*worlds):
    """Return the cycle that each payment call paid for, in the order in which the bank had them."""
    by_call = {
        payment["call_id"]: payment["narrative"][2]
        for world in worlds
        for payment in world.ledger()["payments"]
    }
    return [by_call[call_id] for call_id in sorted(by_call)]


def test_small_envelopes_are_paid_while_a_big_one_is_under_way(race):
    slow, quick, begun = race
    calls = cycles_of_calls(slow, quick)
    assert Counter(calls) == {"big": 120, "small": 2, "elsewhere": 2}
    between = {}
    for cycle in ("small", "elsewhere"):
        last = len(calls) - 1 - calls[::-1].index(cycle)
        between[cycle] = calls[begun[cycle] : last].count("big")
    assert max(between.values()) <= MOST_BETWEEN


def test_the_bank_gets_as_many_calls_at_once_as_it_allows_and_never_more(race):
    slow, _quick, _begun = race
    answer = requests.get(f"{slow.stack.bank_url}/admin/calls", timeout=10)
    [count] = [
        count
        for count in answer.json()["calls"]
        if count["endpoint"] == "/initiate_payment"
        and count["account_number"] == slow.account_number
    ]
    assert (count["calls"], count["peak"]) == (122, PARALLEL_CALLS)


def test_no_job_runs_in_vain(race):
    slow, _quick, _begun = race
    with slow.stack.postgres.cursor(slow.stack.db) as cursor:
        cursor.execute("SELECT count(*) FROM queue_job")
        [[jobs]] = cursor.fetchall()
    text = slow.stack.log("server").read_text(encoding="utf-8", errors="replace")
    runs = text.count("GET /queue_job/runjob?")
    # some found their record held by another for a moment
    assert runs <= jobs * 1.1
