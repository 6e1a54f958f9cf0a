"""Several callers at once: all get in, none is lost, nothing is counted twice."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import chain
from threading import Barrier, Event

import pytest
import requests
from test_whole_way import assert_books_agree, beneficiaries, today, wait_for

from bridge_stack.pbms import Pbms
from bridge_stack.rpc import RpcError
from bridge_stack.world import CURRENCY

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


def test_eight_clients_with_retries_send_one_envelope(new_world):
    world = new_world()
    world.link(beneficiaries(1600))
    open_envelope(world, 1600)
    clients = clients_of(world)

    def send(number):
        # each part is sent by three clients under its key, at about the same time
        parts = [part for part in range(32) if (number - part) % CLIENTS in (0, 1, 2)]
        return [(part, send_part(clients[number], 50 * part, 50, f"{part}")) for part in parts]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(chain.from_iterable(pool.map(send, range(CLIENTS))))
    assert len(answers) == 32 * 3
    by_part = {}
    for part, answer in answers:
        assert isinstance(answer, list), answer
        assert by_part.setdefault(part, answer) == answer
    assert len({one for answer in by_part.values() for one in answer}) == 1600
    wait_for(world, received=1600, shipped=1600)
    world.settle()
    wait_for(world, reconciled=1600)
    assert_books_agree(world)


@pytest.mark.parametrize(
    ("room", "code"),
    [
        (0, "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED"),
        (CLIENTS, "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED"),
    ],
)
def test_of_all_that_race_for_the_last_place_one_wins(new_world, room, code):
    world = new_world(mapper=None)
    clients = clients_of(world)
    for number in range(5):
        world.pbms.draw_amounts(20)
        world.pbms.create_envelope(f"{number}", CURRENCY, today(), count=20 + room)
        total = world.pbms.declared_total
        send_part(world.pbms, 0, 19)
        assert_one_wins(world, clients, code)
        status = world.pbms.status()
        assert status["number_of_disbursements_received"] == 20
        assert Decimal(repr(status["total_disbursement_amount_received"])) == total


def assert_one_wins(world, clients, code):
    """Have every client send one more payment of the same amount at the same moment."""
    *_others, last = world.pbms.amounts.values()
    gate = Barrier(CLIENTS)

    def send(number):
        client = clients[number]
        client.envelope_id, client.amounts = world.pbms.envelope_id, {f"LAST{number}": last}
        client.status()  # logged in before the race
        gate.wait()
        return send_part(client, 0, 1)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(send, range(CLIENTS)))
    assert [answer for answer in answers if isinstance(answer, str)] == [code] * (CLIENTS - 1)


def send_at_once(world, key=None):
    """Have four clients send the same part at the same moment; return their answers."""
    open_envelope(world, 100)
    gate = Barrier(4)

    def send(client):
        client.status()  # logged in before the race
        gate.wait()
        return send_part(client, 0, 50, key)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, clients_of(world, 4)))
    assert world.pbms.status()["number_of_disbursements_received"] == 50
    return answers


def test_the_same_rows_under_one_key_get_one_answer(new_world):
    first, *others = send_at_once(new_world(mapper=None), key="one key")
    assert len(first) == 50
    assert others == [first] * 3


def test_the_same_rows_without_a_key_are_taken_once(new_world):
    answers = send_at_once(new_world(mapper=None))
    refusals = [answer for answer in answers if isinstance(answer, str)]
    assert refusals == ["INVALID_DISBURSEMENT_PAYLOAD"] * 3


def test_one_envelope_is_made_of_many_creates_under_one_key(new_world):
    world = new_world()
    world.pbms.draw_amounts(10)

    def create(client):
        client.amounts = world.pbms.amounts
        return client.create_envelope("2026-11", CURRENCY, today())

    with ThreadPoolExecutor(CLIENTS) as pool:
        ids = set(pool.map(create, clients_of(world)))
    assert len(ids) == 1


def test_a_cancellation_that_races_with_intake_leaves_nothing_payable(new_world):
    world = new_world()
    world.link(beneficiaries(2000))
    open_envelope(world, 2000)
    sender, canceller = clients_of(world, 2)
    is_begun = Event()

    def send():
        answers = []
        for first in range(0, 500, 25):
            answers.append(send_part(sender, first, 25))
            is_begun.set()
        return answers

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        is_begun.wait(60)
        canceller.call("cancel_disbursement_envelope", disbursement_envelope_id=sender.envelope_id)
        answers = sent.result()
    late = {answer for answer in answers if isinstance(answer, str)}
    assert late == {"DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"}
    taken = [one for answer in answers if isinstance(answer, list) for one in answer]
    world.pbms.follow_changes()
    assert list(world.pbms.states.values()) == ["cancelled"] * len(taken)


def test_two_uploads_of_the_same_file_are_one_statement(new_world):
    world = new_world()
    balance = f"C{today():%y%m%d}USD1,00"
    content = f":20:RACE\n:25:{world.account_number}\n:28C:1/1\n:60F:{balance}\n:62F:{balance}\n-\n"

    def upload(_number):
        answer = requests.post(
            f"{world.stack.url}/g2p_bridge/upload_mt940",
            files={"statement_file": ("race.mt940", content, "text/plain")},
            headers={"Authorization": f"Bearer {world.stack.bank_key}"},
            timeout=60,
        )
        assert answer.json()["header"]["status"] == "succ"
        return answer.json()["message"]

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(upload, range(4)))) == 1
