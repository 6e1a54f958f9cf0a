"""Several callers at once: all get in, none is lost, nothing is counted twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from test_whole_way import assert_books_agree, beneficiaries, today, wait_for

from bridge_stack.pbms import Pbms
from bridge_stack.rpc import RpcError
from bridge_stack.world import CURRENCY, World

pytestmark = pytest.mark.stack

CLIENTS = 8


def rows_of(pbms, first, count):
    references = list(pbms.amounts)[first : first + count]
    return [pbms.row(reference, pbms.amounts[reference]) for reference in references]


def clients_of(world, count=CLIENTS):
    """Return ``count`` clients of the same program system, each with a connection of its own."""
    made = []
    for _number in range(count):
        client = Pbms(world.stack, world.login, world.key, world.mnemonic)
        client.envelope_id, client.amounts = world.pbms.envelope_id, world.pbms.amounts
        made.append(client)
    return made


def open_envelope(world, count):
    world.pbms.draw_amounts(count)
    world.pbms.create_envelope("2026-11", CURRENCY, today())


def send_part(client, first, count, key=None):
    """Send one part; return the ids, or the code of the refusal."""
    try:
        answer = client.call(
            "create_disbursements",
            disbursement_envelope_id=client.envelope_id,
            disbursements=rows_of(client, first, count),
            idempotency_key=key,
        )
    except RpcError as error:
        return error.arguments[0] if error.arguments else error.name
    return [row["disbursement_id"] for row in answer]


def test_eight_clients_with_retries_send_one_envelope(stack):
    world = World(stack)
    world.link(beneficiaries(1600))
    open_envelope(world, 1600)
    clients = clients_of(world)
    # each part is sent three times under its key, by different clients, all at the same time
    parts = [(first, f"part {first}") for first in range(0, 1600, 50)] * 3

    def send(job):
        number, (first, key) = job
        return first, send_part(clients[number % CLIENTS], first, 50, key)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(send, enumerate(parts)))
    by_part = {}
    for first, answer in answers:
        assert isinstance(answer, list), answer
        assert by_part.setdefault(first, answer) == answer
    assert len({one for answer in by_part.values() for one in answer}) == 1600
    wait_for(world, received=1600, shipped=1600)
    world.settle()
    wait_for(world, reconciled=1600)
    assert_books_agree(world)


def test_of_two_that_race_for_the_last_place_one_wins(stack):
    world = World(stack)
    open_envelope(world, 100)
    clients = clients_of(world, 4)
    send_part(clients[0], 0, 90)
    world.pbms.amounts = clients[0].amounts
    extra = {f"EXTRA{number}": amount for number, amount in enumerate(last_amounts(world))}
    for client in clients:
        client.amounts = {**client.amounts, **extra}
    jobs = [(clients[0], 90), (clients[1], 100)]  # the same money, under other references
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda job: send_part(job[0], job[1], 10), jobs))
    refusals = [answer for answer in answers if isinstance(answer, str)]
    assert refusals == ["NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED"]
    status = world.pbms.status()
    assert status["number_of_disbursements_received"] == 100


def last_amounts(world):
    return list(world.pbms.amounts.values())[90:100]


def test_the_same_rows_without_a_key_are_taken_once(stack):
    world = World(stack)
    open_envelope(world, 100)
    clients = clients_of(world, 4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda client: send_part(client, 0, 50), clients))
    refusals = [answer for answer in answers if isinstance(answer, str)]
    assert refusals == ["INVALID_DISBURSEMENT_PAYLOAD"] * 3
    assert world.pbms.status()["number_of_disbursements_received"] == 50


def test_one_envelope_is_made_of_many_creates_under_one_key(stack):
    world = World(stack)
    world.pbms.draw_amounts(10)

    def create(client):
        client.amounts = world.pbms.amounts
        return client.create_envelope("2026-11", CURRENCY, today())

    with ThreadPoolExecutor(CLIENTS) as pool:
        ids = set(pool.map(create, clients_of(world)))
    assert len(ids) == 1


def test_a_cancellation_that_races_with_intake_leaves_nothing_payable(stack):
    world = World(stack)
    world.link(beneficiaries(2000))
    open_envelope(world, 2000)
    sender, canceller = clients_of(world, 2)

    def cancel(_number):
        try:
            canceller.call(
                "cancel_disbursement_envelope", disbursement_envelope_id=sender.envelope_id
            )
        except RpcError as error:
            return error.arguments[0]
        return "cancelled"

    with ThreadPoolExecutor(2) as pool:
        sent = pool.submit(lambda: [send_part(sender, first, 25) for first in range(0, 500, 25)])
        outcome = pool.submit(cancel, 0).result()
        answers = sent.result()
    assert outcome == "cancelled"
    late = {answer for answer in answers if isinstance(answer, str)}
    assert late <= {"DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"}
    world.pbms.follow_changes()
    assert set(world.pbms.states.values()) <= {"cancelled"}


def test_two_uploads_of_the_same_file_are_one_statement(stack):
    world = World(stack)
    balance = f"C{today():%y%m%d}USD1,00"
    content = f":20:RACE\n:25:{world.account_number}\n:28C:1/1\n:60F:{balance}\n:62F:{balance}\n-\n"

    def upload(_number):
        answer = requests.post(
            f"{stack.url}/g2p_bridge/upload_mt940",
            files={"statement_file": ("race.mt940", content, "text/plain")},
            headers={"Authorization": f"Bearer {stack.bank_key}"},
            timeout=60,
        )
        return answer.json()["message"]

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(upload, range(4)))) == 1
