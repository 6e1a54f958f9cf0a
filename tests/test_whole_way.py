"""Envelopes from the PBMS's first call to the bank's statement, through the real processes."""

from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
import requests

from bridge_stack.world import CURRENCY

pytestmark = pytest.mark.stack

#: what Odoo 19 says of each call on /jsonrpc and /xmlrpc/2
DEPRECATION = "odoo.addons.rpc.controllers"
ERRORS = (" ERROR ", " CRITICAL ")
LEVELS = (" WARNING ", *ERRORS)
DEADLINE_S = 120
#: of the mapper's people; see the ``stack`` fixture
LINKED_AT_MAPPER = 150
WALLET = {
    "fa_type": "MOBILE_WALLET",
    "account_number": False,
    "mobile_number": "0700000001",
    "wallet_provider": "MPAY",
}


def today():
    return datetime.now(timezone.utc).date()


def send(world, count, schedule_date=None, *, cycle="2026-11", rows_per_call=1000):
    """Have the PBMS send an envelope of ``count`` payments; return its id."""
    pbms = world.pbms
    pbms.draw_amounts(count)
    pbms.create_envelope(cycle, CURRENCY, schedule_date or today())
    pbms.send_disbursements(rows_per_call=rows_per_call)
    return pbms.envelope_id


def wait_for(world, **numbers):
    """Wait until the envelope's status has these ``number_of_disbursements_...``."""

    def reached():
        status = world.pbms.status()
        found = {name: status[f"number_of_disbursements_{name}"] for name in numbers}
        return status if found == numbers else None

    return world.stack.wait_until(reached, DEADLINE_S, f"{numbers} at {world.pbms.status()}")


def beneficiaries(count, first=1):
    return [f"BEN{number:06d}" for number in range(first, first + count)]


def assert_books_agree(world):
    """Program, bridge and bank say the same, to the cent, and nobody was paid twice."""
    pbms, ledger, status = world.pbms, world.ledger(), world.pbms.status()

    def told():  # what a transaction beside us may still change comes a moment later
        pbms.follow_changes()
        totals = pbms.totals()
        count = totals["reconciled"][0] + totals["reversed"][0]
        return totals if count == status["number_of_disbursements_reconciled"] else None

    totals = world.stack.wait_until(told, DEADLINE_S, "changes in the feed")
    assert sum(count for count, _amount in totals.values()) == len(pbms.amounts)
    assert sum(amount for _count, amount in totals.values()) == pbms.declared_total
    by_state = {}
    for payment in ledger["payments"]:
        by_state.setdefault(payment["state"], []).append(Decimal(payment["amount"]))
        assert payment["times_ordered"] == 1
    assert sum(by_state.get("settled", [])) == totals["reconciled"][1]
    assert sum(by_state.get("reversed", [])) == totals["reversed"][1]
    reversed_amount = Decimal(repr(status["total_disbursement_amount_reversed"]))
    assert reversed_amount == totals["reversed"][1]
    paid = Decimal(repr(status["total_disbursement_amount_reconciled"])) - reversed_amount
    assert paid == totals["reconciled"][1]
    assert status["number_of_disbursements_reversed"] == totals["reversed"][0]
    assert_ledger_ties(world)


def assert_ledger_ties(world):
    """The bridge's own check of all its books finds nothing to say of the world's envelopes."""
    assert world.differences() == []


def jobs_under_way(stack):
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute("SELECT count(*) FROM queue_job WHERE state IN ('enqueued', 'started')")
        [count] = cursor.fetchone()
        return count


@contextmanager
def quiet(stack, levels=LEVELS):
    """Assert that the server has nothing to complain of while the block runs.

    What other tests left behind is theirs: it begins when no job is under way.

    :param levels: what is a complaint; our refusals are warnings in Odoo's log
    """
    stack.wait_until(lambda: not jobs_under_way(stack), DEADLINE_S, "end of all jobs")
    log = stack.log("server")
    start = log.stat().st_size
    yield
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    assert lines
    loud = [line for line in lines if any(level in line for level in levels)]
    assert [line for line in loud if DEPRECATION not in line] == []


def test_a_thousand_people_are_paid_and_every_book_agrees(new_world):
    world = new_world()
    closed = f"CLOSED{world.account_number}"
    world.link(beneficiaries(960))
    world.link(beneficiaries(10, first=961), **WALLET)
    world.link(beneficiaries(10, first=971), account_number=closed)
    world.at_bank("/admin/beneficiaries", beneficiary=closed, reason="ACCOUNT_CLOSED")
    with quiet(world.stack):
        send(world, 1000, rows_per_call=300)
        wait_for(world, received=1000, shipped=980, unresolved=20)
        world.settle()
        wait_for(world, reconciled=980, reversed=10)
    assert_books_agree(world)
    [block] = world.ledger()["blocks"]
    assert Decimal(block["amount"]) == world.pbms.declared_total
    assert_sent_to_wallet(world, "MIS0000961")
    returned = status_of(world, "MIS0000971")
    [recon] = returned["disbursement_recon_records"]["disbursement_recon_payloads"]
    assert (returned["status"], recon["reversal_reason"]) == ("reversed", "ACCOUNT_CLOSED")
    assert recon["beneficiary_name_from_bank"] == "BEN000971"


def status_of(world, reference):
    """Return the status of a payment by the program's own reference."""
    ids = [world.pbms.ids[reference]]
    return world.pbms.call("get_disbursement_status", disbursement_ids=ids)[0]


def order_of(world, reference):
    """Return the bank's order of a payment by the program's own reference."""
    return next(
        payment
        for payment in world.ledger()["payments"]
        if payment["reference"] == world.pbms.ids[reference]
    )


def assert_sent_to_wallet(world, reference):
    order = order_of(world, reference)
    assert (order["beneficiary_account"], order["state"]) == ("", "settled")


def test_who_is_linked_later_is_paid_from_the_same_block(new_world):
    world = new_world()
    world.link(beneficiaries(8))
    send(world, 10)
    wait_for(world, shipped=8, unresolved=2)
    assert status_of(world, "MIS0000009")["reason_code"] == "succ.fa.not_linked_to_id"
    world.link(beneficiaries(2, first=9))
    world.run_cron("cron_resolve_again")
    wait_for(world, shipped=10, unresolved=0)
    world.settle()
    wait_for(world, reconciled=10)
    assert_books_agree(world)
    assert len(world.ledger()["blocks"]) == 1
    world.stack.wait_until(lambda: world.pbms.status()["envelope_status"] == "settled", 30)


def test_a_g2p_connect_mapper_that_shuffles_and_forgets_holds_up_nobody(new_world):
    world = new_world(mapper="g2p_connect")
    at_mapper(world, "/admin/behaviour", {"shuffle": True, "part": 0.5, "count": 1})
    send(world, 200)
    status = wait_until_all_are_looked_up(world, 200)
    assert status["number_of_disbursements_unresolved"] > 200 - LINKED_AT_MAPPER
    world.run_cron("cron_resolve_again")
    wait_for(world, shipped=LINKED_AT_MAPPER, unresolved=200 - LINKED_AT_MAPPER)
    link_at_mapper(world, beneficiaries(200 - LINKED_AT_MAPPER, first=LINKED_AT_MAPPER + 1))
    world.run_cron("cron_resolve_again")
    wait_for(world, shipped=200, unresolved=0)
    world.settle()
    wait_for(world, reconciled=200)
    assert_books_agree(world)
    assert_sent_to_wallet(world, "MIS0000200")
    assert order_of(world, "MIS0000001")["beneficiary_account"]


def at_mapper(world, path, body):
    answer = requests.post(f"{world.stack.mapper_url}{path}", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


def link_at_mapper(world, beneficiary_ids):
    """Have a registry link people to mobile wallets at the G2P Connect mapper."""
    wallet = (
        "account_number:.branch_code:.bank_code:.mobile_number:0700000001.email_address:"
        ".fa_type:MOBILE_WALLET"
    )
    items = [
        {"reference_id": one, "id": one, "fa": wallet, "name": "", "phone_number": ""}
        for one in beneficiary_ids
    ]
    header = {"message_id": "m", "message_ts": "2026-11-01T00:00:00", "action": "link"}
    message = {"transaction_id": "t", "link_request": items}
    answer = at_mapper(world, "/sync/link", {"header": header, "message": message})
    assert {one["status"] for one in answer["message"]["link_response"]} == {"succ"}


def wait_until_all_are_looked_up(world, count):
    def done():
        status = world.pbms.status()
        sent = status["number_of_disbursements_shipped"]
        missing = status["number_of_disbursements_unresolved"]
        return status if sent and sent + missing == count else None

    return world.stack.wait_until(done, DEADLINE_S, "look-up of all")


def test_without_look_up_the_bank_gets_the_ids(new_world):
    world = new_world(mapper=None)
    send(world, 5)
    wait_for(world, shipped=5)
    payments = world.ledger()["payments"]
    # narrative 4 is the beneficiary id
    assert {payment["narrative"][3] for payment in payments} == set(beneficiaries(5))
    assert {payment["beneficiary_account"] for payment in payments} == {""}
    world.settle()
    wait_for(world, reconciled=5)
    assert_books_agree(world)


def test_of_envelopes_of_several_days_only_those_of_today_go(new_world):
    world = new_world()
    world.link(beneficiaries(3))
    later = today() + timedelta(days=30)
    waiting = send(world, 3, later, cycle="of a later day")
    send(world, 3, cycle="of today")
    wait_for(world, shipped=3)
    world.pbms.create_envelope("brought forward", CURRENCY, later)
    world.pbms.call(
        "amend_disbursement_envelope",
        disbursement_envelope_id=world.pbms.envelope_id,
        disbursement_schedule_date=today().isoformat(),
    )
    world.pbms.send_disbursements()
    wait_for(world, shipped=3)
    world.run_cron()
    assert len(world.ledger()["payments"]) == 6
    world.pbms.envelope_id = waiting
    status = world.pbms.status()
    assert status["envelope_status"] == "ready"
    assert status["number_of_disbursements_shipped"] == 0


def test_a_program_that_pays_the_same_people_twice_pays_both(new_world):
    world = new_world()
    world.link(beneficiaries(3))
    for cycle in ("2026-10", "2026-11"):
        send(world, 3, cycle=cycle)
        wait_for(world, shipped=3)
    assert len(world.ledger()["payments"]) == 6


def test_an_account_that_is_topped_up_lets_the_envelope_go_on(new_world):
    world = new_world(balance="1.00")
    world.link(beneficiaries(3))
    send(world, 3)
    world.stack.wait_until(
        lambda: world.pbms.status()["funds_available_with_bank"] == "FUNDS_NOT_AVAILABLE", 60
    )
    assert world.pbms.status()["attention_code"] == "FUNDS_NOT_AVAILABLE"
    world.at_bank(
        "/admin/postings", account_number=world.account_number, mark="C", amount="100000.00"
    )
    [envelope] = world.admin.execute(
        "g2p.disbursement.envelope",
        "search",
        [("disbursement_envelope_id", "=", world.pbms.envelope_id)],
    )
    world.admin.execute("g2p.disbursement.envelope", "action_resume", [envelope])
    wait_for(world, shipped=3)


def test_a_cancelled_envelope_frees_its_money_and_pays_nobody(new_world):
    world = new_world()
    world.link(beneficiaries(3))
    world.admin.execute(
        "g2p.benefit.program", "write", [world.program_id], {"approval_required": True}
    )
    send(world, 3)
    world.stack.wait_until(lambda: world.pbms.status()["envelope_status"] == "ready", 60)
    world.pbms.call("cancel_disbursement_envelope", disbursement_envelope_id=world.pbms.envelope_id)
    world.run_cron()
    ledger = world.ledger()
    assert (ledger["payments"], ledger["blocks"]) == ([], [])
    world.pbms.follow_changes()
    assert set(world.pbms.states.values()) == {"cancelled"}


def test_the_feed_read_page_by_page_while_payments_move_loses_nothing(new_world):
    world = new_world()
    world.link(beneficiaries(290))
    pbms = world.pbms
    pbms.follow_changes()  # the shared user's feed is long; what comes is read in small pages
    pbms.draw_amounts(300)
    pbms.create_envelope("2026-11", CURRENCY, today())
    pbms.send_disbursements(lambda: pbms.follow_changes(limit=7), rows_per_call=50)

    def reached(state):
        pbms.follow_changes(limit=7)
        return list(pbms.states.values()).count(state) == 290

    world.stack.wait_until(lambda: reached("sent"), DEADLINE_S, "290 sent in the feed")
    world.settle()
    world.stack.wait_until(lambda: reached("reconciled"), DEADLINE_S, "290 reconciled in the feed")
    answers = pbms.call("get_disbursement_status", disbursement_ids=list(pbms.ids.values()))
    told = {row["disbursement_id"]: row["status"] for row in answers}
    assert {one: pbms.states[reference] for reference, one in pbms.ids.items()} == told
