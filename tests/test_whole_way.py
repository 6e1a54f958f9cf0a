"""Envelopes from the PBMS's first call to the bank's statement, through the real processes."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
import requests

from bridge_stack.world import CURRENCY, World

pytestmark = pytest.mark.stack

#: what Odoo 19 says of each call on /jsonrpc and /xmlrpc/2
DEPRECATION = "odoo.addons.rpc.controllers"
DEADLINE_S = 120


def today():
    return datetime.now(timezone.utc).date()


def send(world, count, schedule_date=None, rows_per_call=1000):
    """Have the PBMS send an envelope of ``count`` payments."""
    pbms = world.pbms
    pbms.draw_amounts(count)
    pbms.create_envelope("2026-11", CURRENCY, schedule_date or today())
    pbms.send_disbursements(lambda: None, rows_per_call)


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
    pbms, ledger = world.pbms, world.ledger()
    pbms.follow_changes()
    totals, status = pbms.totals(), pbms.status()
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


def test_a_thousand_people_are_paid_and_every_book_agrees(stack):
    world = World(stack)
    world.link(beneficiaries(980))
    world.at_bank("/admin/beneficiaries", beneficiary="ACC000007", reason="ACCOUNT_CLOSED")
    send(world, 1000, rows_per_call=300)
    wait_for(world, received=1000, shipped=980, unresolved=20)
    world.settle()
    wait_for(world, reconciled=980, reversed=1)
    assert_books_agree(world)
    [block] = world.ledger()["blocks"]
    assert Decimal(block["amount"]) == world.pbms.declared_total
    returned = find(world, "MIS0000007")
    [recon] = returned["disbursement_recon_records"]["disbursement_recon_payloads"]
    assert (returned["status"], recon["reversal_reason"]) == ("reversed", "ACCOUNT_CLOSED")
    assert recon["beneficiary_name_from_bank"] == "BEN000007"


def find(world, reference):
    """Return the status of a payment by the program's own reference, found in the feed."""
    cursor, known = "", {}
    while True:
        page = world.pbms.call("get_disbursement_changes", cursor=cursor, limit=1000)
        for change in page["changes"]:
            known[change["mis_reference_number"]] = change
        cursor = page["cursor"]
        if not page["has_more"]:
            break
    ids = [known[reference]["disbursement_id"]]
    return world.pbms.call("get_disbursement_status", disbursement_ids=ids)[0]


def test_who_is_linked_later_is_paid_from_the_same_block(stack):
    world = World(stack)
    world.link(beneficiaries(8))
    send(world, 10)
    wait_for(world, shipped=8, unresolved=2)
    assert find(world, "MIS0000009")["reason_code"] == "succ.fa.not_linked_to_id"
    world.link(beneficiaries(2, first=9))
    world.run_cron("cron_resolve_again")
    wait_for(world, shipped=10, unresolved=0)
    world.settle()
    status = wait_for(world, reconciled=10)
    assert_books_agree(world)
    assert len(world.ledger()["blocks"]) == 1
    if status["envelope_status"] != "settled":
        stack.wait_until(lambda: world.pbms.status()["envelope_status"] == "settled", 30)


def test_a_g2p_connect_mapper_that_shuffles_and_forgets_holds_up_nobody(stack):
    world = World(stack, mapper="g2p_connect")
    behaviour = f"{stack.mapper_url}/admin/behaviour"
    requests.post(
        behaviour, json={"shuffle": True, "part": 0.5, "count": 1}, timeout=10
    ).raise_for_status()
    send(world, 200)
    status = wait_until_all_are_looked_up(world, 200)
    assert 0 < status["number_of_disbursements_unresolved"] < 200
    requests.post(behaviour, json={}, timeout=10).raise_for_status()
    world.run_cron("cron_resolve_again")
    wait_for(world, shipped=200, unresolved=0)
    world.settle()
    wait_for(world, reconciled=200)
    assert_books_agree(world)


def wait_until_all_are_looked_up(world, count):
    def done():
        status = world.pbms.status()
        sent = status["number_of_disbursements_shipped"]
        missing = status["number_of_disbursements_unresolved"]
        return status if sent and sent + missing == count else None

    return world.stack.wait_until(done, DEADLINE_S, "look-up of all")


def test_without_look_up_the_bank_gets_the_ids(stack):
    world = World(stack, mapper=None)
    send(world, 5)
    wait_for(world, shipped=5)
    assert len(world.ledger()["payments"]) == 5


def test_an_envelope_of_another_day_waits(stack):
    world = World(stack)
    world.link(beneficiaries(3))
    send(world, 3, today() + timedelta(days=30))
    world.run_cron()
    status = world.pbms.status()
    assert status["envelope_status"] == "ready"
    assert world.ledger()["payments"] == []


def test_a_program_that_pays_the_same_people_twice_pays_both(stack):
    world = World(stack)
    world.link(beneficiaries(3))
    for cycle in ("2026-10", "2026-11"):
        world.pbms.draw_amounts(3)
        world.pbms.create_envelope(cycle, CURRENCY, today())
        world.pbms.send_disbursements(lambda: None)
        wait_for(world, shipped=3)
    assert len(world.ledger()["payments"]) == 6


def test_an_account_that_is_topped_up_lets_the_envelope_go_on(stack):
    world = World(stack, balance="1.00")
    world.link(beneficiaries(3))
    send(world, 3)
    stack.wait_until(
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


def test_a_cancelled_envelope_frees_its_money_and_pays_nobody(stack):
    world = World(stack)
    world.link(beneficiaries(3))
    world.admin.execute(
        "g2p.benefit.program", "write", [world.program_id], {"approval_required": True}
    )
    send(world, 3)
    stack.wait_until(lambda: world.pbms.status()["envelope_status"] == "ready", 60)
    world.pbms.call("cancel_disbursement_envelope", disbursement_envelope_id=world.pbms.envelope_id)
    world.run_cron()
    ledger = world.ledger()
    assert (ledger["payments"], ledger["blocks"]) == ([], [])
    world.pbms.follow_changes()
    assert set(world.pbms.states.values()) == {"cancelled"}


def test_the_feed_read_while_payments_move_loses_nothing(stack):
    world = World(stack)
    world.link(beneficiaries(500))
    pbms = world.pbms
    pbms.draw_amounts(500)
    pbms.create_envelope("2026-11", CURRENCY, today())
    pbms.send_disbursements(pbms.follow_changes, rows_per_call=50)

    def all_sent():
        pbms.follow_changes()
        return list(pbms.states.values()).count("sent") == 500

    stack.wait_until(all_sent, DEADLINE_S, "500 sent in the feed")


def test_nothing_of_this_warns_in_the_servers_log(stack):
    world = World(stack)
    world.link(beneficiaries(3))
    start = len(stack.log("server").read_text(encoding="utf-8"))
    send(world, 3)
    wait_for(world, shipped=3)
    world.settle()
    wait_for(world, reconciled=3)
    lines = stack.log("server").read_text(encoding="utf-8")[start:].splitlines()
    loud = [line for line in lines if any(f" {level} " in line for level in LEVELS)]
    assert lines
    assert [line for line in loud if DEPRECATION not in line] == []


LEVELS = ("WARNING", "ERROR", "CRITICAL")
