"""Several callers at once: all get in, none is lost, nothing is counted twice."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from threading import Barrier, Event

import pytest
import requests
from test_whole_way import ERRORS, assert_books_agree, beneficiaries, quiet, today, wait_for

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


def together(clients, do):
    """Have ``do(client, number)`` run for all clients, begun at the same moment.

    :return: list of what they return
    """
    gate = Barrier(len(clients))

    def run(number):
        clients[number].call("get_disbursement_changes", limit=1)  # logged in before the race
        gate.wait()
        return do(clients[number], number)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(run, range(len(clients))))


@contextmanager
def never_exceeded(world, count, amount):
    """Ask for the status all the time that the block runs: it never says more than this."""
    [watcher] = clients_of(world, 1)
    is_over = Event()

    def watch():
        seen = []
        while not is_over.is_set():
            status = watcher.status()
            seen.append(status["number_of_disbursements_received"])
            assert seen[-1] <= count
            assert Decimal(repr(status["total_disbursement_amount_received"])) <= amount
        return seen

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            is_over.set()
        seen = watching.result()
    assert seen == sorted(seen)


def test_eight_clients_with_retries_send_one_envelope(new_world):
    world = new_world()
    world.link(beneficiaries(1600))
    open_envelope(world, 1600)
    clients = clients_of(world)

    def send(number):
        # each part is sent by three clients under its key, at about the same time
        parts = [part for part in range(32) if (number - part) % CLIENTS in (0, 1, 2)]
        return [(part, send_part(clients[number], 50 * part, 50, f"{part}")) for part in parts]

    with (
        quiet(world.stack, ERRORS),
        never_exceeded(world, 1600, world.pbms.declared_total),
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
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


def test_of_what_goes_beyond_the_totals_exactly_the_declared_gets_in(new_world):
    world = new_world(mapper=None)
    world.pbms.amounts = {f"MIS{number:07d}": Decimal(50) for number in range(100)}
    world.pbms.create_envelope("2026-11", CURRENCY, today())
    clients = clients_of(world)

    def send(client, number):
        client.amounts = {f"C{number}-{index}": Decimal(50) for index in range(60)}
        return [send_part(client, first, 3) for first in range(0, 60, 3)]

    with quiet(world.stack, ERRORS), never_exceeded(world, 100, Decimal(5000)):
        answers = list(chain.from_iterable(together(clients, send)))
    taken = [answer for answer in answers if isinstance(answer, list)]
    assert len(taken) == 33  # parts of three: one place is left
    late = {answer for answer in answers if isinstance(answer, str)}
    assert late == {"NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED"}
    world.pbms.amounts = {"LAST": Decimal(50)}
    assert isinstance(send_part(world.pbms, 0, 1), list)
    wait_for(world, received=100, shipped=100)
    assert len(world.ledger()["payments"]) == 100


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


def test_of_other_rows_under_one_key_only_the_first_are_taken(new_world):
    world = new_world(mapper=None)
    open_envelope(world, 400)
    clients = clients_of(world, 4)

    for race in range(10):

        def send(client, number, race=race):
            return send_part(client, 40 * race + 10 * number, 10, key=f"race {race}")

        with quiet(world.stack, ERRORS):
            answers = together(clients, send)
        refusals = [answer for answer in answers if isinstance(answer, str)]
        assert refusals == ["IDEMPOTENCY_KEY_REUSED"] * 3
    assert world.pbms.status()["number_of_disbursements_received"] == 100


def test_parts_that_overlap_in_another_order_are_taken_once(new_world):
    world = new_world(mapper=None)
    open_envelope(world, 2000)
    clients = clients_of(world, 2)
    for first in range(0, 1000, 200):

        def send(client, number, first=first):
            rows = rows_of(client, first, 200)[:: -1 if number else 1]
            try:
                return client.call(
                    "create_disbursements",
                    disbursement_envelope_id=client.envelope_id,
                    disbursements=rows,
                )
            except RpcError as error:
                return error.arguments[0]

        with quiet(world.stack, ERRORS):
            answers = together(clients, send)
        assert sorted(map(type, answers), key=str) == [list, str]
        assert "INVALID_DISBURSEMENT_PAYLOAD" in answers
    assert world.pbms.status()["number_of_disbursements_received"] == 1000


def test_one_envelope_is_made_of_many_creates_under_one_key(new_world):
    world = new_world()
    world.pbms.draw_amounts(10)

    def create(client):
        client.amounts = world.pbms.amounts
        return client.create_envelope("2026-11", CURRENCY, today())

    with ThreadPoolExecutor(CLIENTS) as pool:
        ids = set(pool.map(create, clients_of(world)))
    assert len(ids) == 1


def test_a_cancellation_beside_eight_senders_leaves_nothing_payable(new_world):
    world = new_world()
    open_envelope(world, 4000)
    canceller, *senders = clients_of(world, CLIENTS + 1)
    is_begun, is_over = Event(), Event()

    def send(client, number):
        answers = []
        for first in range(500 * number, 500 * (number + 1), 2):
            answers.append(send_part(client, first, 2))
            is_begun.set()
            if is_over.is_set():
                break
        return answers

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(1) as pool:
        sent = pool.submit(together, senders, send)
        is_begun.wait(60)
        canceller.call(
            "cancel_disbursement_envelope", disbursement_envelope_id=world.pbms.envelope_id
        )
        stopped = world.pbms.status()
        is_over.set()
        answers = list(chain.from_iterable(sent.result()))
    late = {answer for answer in answers if isinstance(answer, str)}
    assert late == {"DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"}
    taken = [one for answer in answers if isinstance(answer, list) for one in answer]
    world.pbms.follow_changes()
    assert list(world.pbms.states.values()) == ["cancelled"] * len(taken)
    assert stopped["number_of_disbursements_received"] == len(taken)
    assert world.ledger()["payments"] == []


def test_an_amendment_beside_seven_senders_holds_from_its_answer_on(new_world):
    """Whoever amends gets an answer at once, and what is taken fits into what was answered last."""
    world = new_world(mapper=None)
    world.pbms.amounts = {f"MIS{number:07d}": Decimal(1) for number in range(2000)}
    world.pbms.create_envelope("2026-11", CURRENCY, today() + timedelta(days=2))
    amender, *senders = clients_of(world)
    is_over, chance = Event(), random.Random(4)

    def send(client, number):
        answers = []
        for first in range(250 * number, 250 * (number + 1), 2):
            answers.append(send_part(client, first, 2))
            if is_over.is_set():
                break
        return answers

    def amend():
        answers = []
        for _attempt in range(25):
            received = amender.status()["number_of_disbursements_received"]
            count = max(received + chance.randint(-10, 20), 1)
            try:
                answer = amender.call(
                    "amend_disbursement_envelope",
                    disbursement_envelope_id=world.pbms.envelope_id,
                    number_of_disbursements=count,
                    total_disbursement_amount=count,
                )
            except RpcError as error:
                answers.append(error.arguments[0])
            else:
                answers.append(answer["number_of_disbursements"])
        is_over.set()
        return answers

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(1) as pool:
        sent = pool.submit(together, senders, send)
        amended = amend()
        answers = list(chain.from_iterable(sent.result()))
    refusals = {answer for answer in answers + amended if isinstance(answer, str)}
    assert refusals <= {
        "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED",
        "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED",
        "AMENDMENT_BELOW_RECEIVED",
        "DISBURSEMENT_ENVELOPE_COMPLETE",
    }
    declared = [answer for answer in amended if isinstance(answer, int)]
    status = world.pbms.status()
    taken = sum(len(answer) for answer in answers if isinstance(answer, list))
    assert status["number_of_disbursements_received"] == taken <= declared[-1]
    is_complete = status["envelope_status"] != "receiving"
    assert is_complete == (taken == declared[-1])


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
