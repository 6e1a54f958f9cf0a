"""Cancelling while the money leaves: the answer and the bank's ledger never contradict."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
import requests
from test_concurrency import clients_of
from test_whole_way import ERRORS, quiet, today

from bridge_stack.rpc import RpcError
from bridge_stack.world import CURRENCY

pytestmark = pytest.mark.stack

ENVELOPES = 24
PAYMENTS = 12
#: how far an envelope is when its cancellation begins: from before the funds check to after payment
STAGES = ("receiving", "ready", "funds_available", "funds_blocked", "disbursing", "disbursed")
NOT_ANY_MORE = "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED"
STARTED = "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED"
ALREADY = "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"
DEADLINE_S = 180
#: envelopes end here; what waits in the bridge is done with
ENDED = ("disbursed", "settled", "cancelled")


@pytest.fixture
def world(new_world):
    """Return a world that sends small batches to a slow bank: some payments leave before others."""
    world = new_world(mapper=None, bank_values={"max_batch_size": 4})
    world.at_bank(
        "/admin/faults",
        endpoint="/initiate_payment",
        fault="delay_before",
        seconds=0.3,
        count=None,
    )
    yield world
    requests.delete(f"{world.stack.bank_url}/admin/faults", timeout=60)


def sent_envelope(world, client, number):
    """Have the client send a whole envelope; return its payments' ids."""
    client.draw_amounts(PAYMENTS)
    client.create_envelope(f"race-{number}", CURRENCY, today())
    client.send_disbursements()
    return list(client.ids.values())


def answer_of(client, method, **arguments):
    """Return ``done``, or the code of the refusal."""
    try:
        client.call(method, **arguments)
    except RpcError as error:
        assert len(error.arguments) == 2, error  # one of ours
        return error.arguments[0]
    return "done"


def wait_for_stage(world, client, stage):
    """Wait until the envelope is as far as this, or farther."""
    reached = {*STAGES[STAGES.index(stage) :], "settled"}
    world.stack.wait_until(
        lambda: client.status()["envelope_status"] in reached, DEADLINE_S, f"envelope {stage}"
    )


def wait_until_ended(world, client):
    world.stack.wait_until(
        lambda: client.status()["envelope_status"] in ENDED, DEADLINE_S, f"end of {client.status()}"
    )


def ordered_at_bank(world):
    """Return the references of all payments that the bank has, each ordered once."""
    payments = world.ledger()["payments"]
    assert {payment["times_ordered"] for payment in payments} <= {1}
    references = [payment["reference"] for payment in payments]
    assert len(set(references)) == len(references)
    return set(references)


def race(world, cancel, seed):
    """Send envelopes, each cancelled at some moment; return what each race came to.

    :param cancel: function of (client, ids, chance) that returns the race's result
    """
    clients = clients_of(world, ENVELOPES)

    def run(number):
        chance = random.Random(f"{seed}-{number}")
        client = clients[number]
        ids = sent_envelope(world, client, number)
        wait_for_stage(world, client, STAGES[number % len(STAGES)])
        time.sleep(chance.uniform(0, 0.5))
        result = cancel(client, ids, chance)
        wait_until_ended(world, client)
        return ids, result

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(8) as pool:
        return list(pool.map(run, range(ENVELOPES)))


def test_a_payment_is_cancelled_or_paid_never_both(world):
    def cancel(client, ids, chance):
        chance.shuffle(ids)
        answers = {}
        for part in (ids[:2], ids[2:3], ids[3:6]):
            answer = answer_of(client, "cancel_disbursements", disbursement_ids=part)
            answers.update(dict.fromkeys(part, answer))
            time.sleep(chance.uniform(0, 0.5))
        return answers

    results = race(world, cancel, seed=1)
    answers = {one: answer for _ids, result in results for one, answer in result.items()}
    cancelled = {one for one, answer in answers.items() if answer == "done"}
    assert set(answers.values()) == {"done", NOT_ANY_MORE}
    everybody = {one for ids, _result in results for one in ids}
    assert ordered_at_bank(world) == everybody - cancelled


def test_an_envelope_is_cancelled_by_one_of_two_or_paid(world):
    def cancel(client, ids, chance):
        gate = Barrier(2)

        def once(one):
            gate.wait()
            return answer_of(
                one, "cancel_disbursement_envelope", disbursement_envelope_id=client.envelope_id
            )

        [other] = clients_of(world, 1)
        other.call("get_disbursement_changes", limit=1)  # logged in before the race
        with ThreadPoolExecutor(2) as pool:
            return sorted(pool.map(once, (client, other)))

    results = race(world, cancel, seed=2)
    outcomes = [result for _ids, result in results]
    assert [ALREADY, "done"] in outcomes
    assert [STARTED, STARTED] in outcomes
    paid = set()
    for ids, result in results:
        assert result in ([ALREADY, "done"], [STARTED, STARTED])
        if "done" not in result:
            paid.update(ids)
    assert ordered_at_bank(world) == paid
    world.stack.wait_until(
        lambda: not [block for block in world.ledger()["blocks"] if held(block)],
        DEADLINE_S,
        "release of what cancelled envelopes held",
    )


def held(block):
    """Return what a block still holds (Decimal) for payments that were not ordered."""
    return Decimal(block["amount"]) - Decimal(block["drawn"]) - Decimal(block["released"])
