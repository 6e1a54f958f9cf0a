"""What goes wrong in payment bridges, tried on the whole system: the bank's ledger is the judge.

Each fault here was seen in the peer of this bridge; `docs/safety-peer.md` names the others' tests.
"""

import contextlib
from datetime import timedelta
from decimal import Decimal

import pytest
from test_bank_faults import forward
from test_doors import upload
from test_whole_way import (
    DEADLINE_S,
    assert_books_agree,
    assert_ledger_ties,
    beneficiaries,
    order_of,
    status_of,
    today,
    wait_for,
)

from bridge_stack.rpc import RpcError
from bridge_stack.world import CURRENCY

pytestmark = pytest.mark.stack

CENTS = ("10.50", "10.50", "10.25", "10.75")


def declare(world, *amounts, cycle="2026-11", schedule_date=None):
    """Have the program system declare payments of these amounts: MIS0000001, MIS0000002, ..."""
    pbms = world.pbms
    pbms.ids = {}
    pbms.amounts = {
        f"MIS{number:07d}": Decimal(amount) for number, amount in enumerate(amounts, start=1)
    }
    pbms.create_envelope(cycle, CURRENCY, schedule_date or today())


def send(world, *amounts, **values):
    declare(world, *amounts, **values)
    world.pbms.send_disbursements()


def ordered(world):
    """Return reference -> (amount, times ordered) of all that the bank was asked to pay."""
    return {
        payment["reference"]: (payment["amount"], payment["times_ordered"])
        for payment in world.ledger()["payments"]
    }


def assert_paid(world, *references):
    """The bank was asked to pay these, each once, to the cent, and nobody else."""
    pbms = world.pbms
    assert ordered(world) == {
        pbms.ids[reference]: (f"{pbms.amounts[reference]:.2f}", 1) for reference in references
    }


def envelope_of(world, *fields):
    [record] = world.admin.execute(
        "g2p.disbursement.envelope",
        "search_read",
        [("disbursement_envelope_id", "=", world.pbms.envelope_id)],
        list(fields),
    )
    return record


def let_its_day_come(world):
    """Make the envelope one that was sent long ago and is due today."""
    with world.stack.postgres.cursor(world.stack.db) as cursor:
        cursor.execute(
            "UPDATE g2p_disbursement_envelope SET disbursement_schedule_date = %s,"
            " state_since = state_since - interval '2 hours' WHERE disbursement_envelope_id = %s",
            [today(), world.pbms.envelope_id],
        )


def tick(world, times=1):
    """Have the clock find due work, as it does each minute."""
    for _time in range(times):
        with contextlib.suppress(RpcError):  # the real cron is at it in this very second
            world.run_cron()


def refusal_of(world, method, **arguments):
    """Return the code that the program system is refused with."""
    with pytest.raises(RpcError) as caught:
        world.pbms.call(method, **arguments)
    return caught.value.arguments[0]


# Totals


@pytest.mark.parametrize("amounts", [CENTS, ("10.99",)], ids=["42.00", "10.99"])
def test_cents_complete_an_envelope_and_reach_the_bank(new_world, amounts):
    world = new_world(mapper=None)
    send(world, *amounts)
    wait_for(world, shipped=len(amounts))
    assert_paid(world, *world.pbms.amounts)
    total = f"{world.pbms.declared_total:.2f}"
    assert [block["amount"] for block in world.ledger()["blocks"]] == [total]
    world.settle()
    status = wait_for(world, reconciled=len(amounts))
    assert status["total_disbursement_amount_received"] == float(total)
    assert status["total_disbursement_amount_reconciled"] == float(total)
    assert_books_agree(world)


# Lost payments


def test_two_benefits_of_one_person_in_one_batch_are_both_paid(new_world):
    world = new_world()
    world.link(beneficiaries(1))
    declare(world, "10.00", "20.00")
    rows = [world.pbms.row(reference, amount) for reference, amount in world.pbms.amounts.items()]
    rows[1]["beneficiary_id"] = rows[0]["beneficiary_id"]
    answer = world.pbms.call(
        "create_disbursements",
        disbursement_envelope_id=world.pbms.envelope_id,
        disbursements=rows,
    )
    world.pbms.ids = {row["mis_reference_number"]: row["disbursement_id"] for row in answer}
    wait_for(world, shipped=2)
    assert_paid(world, "MIS0000001", "MIS0000002")
    payments = world.ledger()["payments"]
    assert len({payment["beneficiary_account"] for payment in payments}) == 1


def test_ten_envelopes_one_after_the_other_are_all_paid(new_world):
    world = new_world(mapper=None)
    for number in range(10):
        send(world, "1.00", "2.00", cycle=f"cycle {number}")
        wait_for(world, shipped=2)
    assert list(ordered(world).values()) == [("1.00", 1), ("2.00", 1)] * 10
    assert len(world.ledger()["blocks"]) == 10
    assert_ledger_ties(world)


def test_a_topped_up_account_lets_the_envelope_go_on_by_itself(new_world):
    world = new_world(balance="1.00", mapper=None)
    send(world, *CENTS)
    world.stack.wait_until(
        lambda: world.pbms.status()["attention_code"] == "FUNDS_NOT_AVAILABLE", DEADLINE_S
    )
    assert world.ledger()["blocks"] == []
    world.at_bank("/admin/postings", account_number=world.account_number, mark="C", amount="41.00")
    forward(world.stack)
    tick(world)
    wait_for(world, shipped=4)
    assert world.pbms.status()["attention_code"] == ""


def test_a_bank_without_connector_is_shown_and_the_envelope_goes_on_when_it_has_one(new_world):
    world = new_world(mapper=None)
    world.admin.execute("g2p.sponsor.bank", "write", [world.bank_id], {"connector": False})
    send(world, *CENTS)
    world.stack.wait_until(
        lambda: world.pbms.status()["attention_code"] == "STEP_FAILED", DEADLINE_S
    )
    assert "Choose a connector" in envelope_of(world, "attention_message")["attention_message"]
    world.admin.execute("g2p.sponsor.bank", "write", [world.bank_id], {"connector": "example"})
    forward(world.stack)
    tick(world)
    wait_for(world, shipped=4)


# Double payments


def test_what_waited_for_its_day_is_paid_once_however_slow_the_bank_and_often_the_clock(new_world):
    world = new_world()
    world.link(beneficiaries(4))
    send(world, *CENTS, schedule_date=today() + timedelta(days=1))
    world.stack.wait_until(
        lambda: world.pbms.status()["number_of_disbursements_resolved"] == 4, DEADLINE_S
    )
    for endpoint in ("/block_funds", "/initiate_payment"):
        world.at_bank(
            "/admin/faults",
            endpoint=endpoint,
            account_number=world.account_number,
            fault="delay_before",
            seconds=3,
            count=1,
        )
    let_its_day_come(world)
    tick(world, times=10)
    wait_for(world, shipped=4)
    tick(world, times=2)
    assert_paid(world, *world.pbms.amounts)
    assert len(world.ledger()["blocks"]) == 1


def test_a_reference_that_comes_again_is_refused_and_not_paid_again(new_world):
    world = new_world(mapper=None)
    declare(world, *CENTS)
    pbms = world.pbms
    rows = [pbms.row(reference, amount) for reference, amount in pbms.amounts.items()]
    arguments = {"disbursement_envelope_id": pbms.envelope_id}
    pbms.send_part(["MIS0000001"], None)
    code = refusal_of(world, "create_disbursements", disbursements=rows[:2], **arguments)
    assert code == "INVALID_DISBURSEMENT_PAYLOAD"
    twice = [rows[1], rows[1]]
    assert refusal_of(world, "create_disbursements", disbursements=twice, **arguments) == code
    pbms.send_part(list(pbms.amounts)[1:], None)
    wait_for(world, received=4, shipped=4)
    assert_paid(world, *pbms.amounts)


# Cancellations


def test_the_others_are_paid_and_the_cancelled_one_never_is(new_world):
    world = new_world()
    world.link(beneficiaries(4))
    send(world, *CENTS, schedule_date=today() + timedelta(days=1))
    world.pbms.call("cancel_disbursements", disbursement_ids=[world.pbms.ids["MIS0000003"]])
    let_its_day_come(world)
    tick(world)
    wait_for(world, received=4, shipped=3, cancelled=1)
    world.settle()
    wait_for(world, shipped=3, reconciled=3)
    world.stack.wait_until(lambda: world.pbms.status()["envelope_status"] == "settled", DEADLINE_S)
    assert_paid(world, "MIS0000001", "MIS0000002", "MIS0000004")
    assert [block["amount"] for block in world.ledger()["blocks"]] == ["31.75"]
    assert_ledger_ties(world)


def test_who_replaces_a_cancelled_payment_is_paid_and_the_cancelled_one_is_not(new_world):
    world = new_world(mapper=None)
    declare(world, *CENTS)
    pbms = world.pbms
    pbms.send_part(["MIS0000001", "MIS0000002", "MIS0000003"], None)
    pbms.call("cancel_disbursements", disbursement_ids=[pbms.ids["MIS0000001"]])
    pbms.amounts["MIS0000005"] = Decimal("10.50")
    pbms.send_part(["MIS0000004", "MIS0000005"], None)
    wait_for(world, received=4, shipped=4)
    assert_paid(world, "MIS0000002", "MIS0000003", "MIS0000004", "MIS0000005")
    assert status_of(world, "MIS0000001")["status"] == "cancelled"
    assert_ledger_ties(world)


def test_a_cancelled_envelope_releases_its_block_and_takes_no_more(new_world):
    world = new_world()  # nobody has an account, so it stays where the funds are blocked
    send(world, *CENTS)
    wait_for(world, unresolved=4)
    world.stack.wait_until(lambda: world.ledger()["blocks"], DEADLINE_S, "block")
    wait_for_state(world, "funds_blocked")
    assert held(world) == "42.00"
    arguments = {"disbursement_envelope_id": world.pbms.envelope_id}
    world.pbms.call("cancel_disbursement_envelope", **arguments)
    world.stack.wait_until(lambda: held(world) == "0.00", DEADLINE_S, "release")
    world.link(beneficiaries(4))
    world.run_cron("cron_resolve_again")
    tick(world)
    rows = [world.pbms.row("MIS0000009", Decimal("1.00"))]
    code = refusal_of(world, "create_disbursements", disbursements=rows, **arguments)
    assert code == "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"
    assert ordered(world) == {}
    assert [block["is_released"] for block in world.ledger()["blocks"]] == [True]
    assert world.pbms.status()["envelope_status"] == "cancelled"
    assert_ledger_ties(world)


def wait_for_state(world, state):
    world.stack.wait_until(
        lambda: world.pbms.status()["envelope_status"] == state, DEADLINE_S, state
    )


def held(world):
    return world.ledger()["accounts"][0]["held"]


def test_what_is_with_the_bank_cannot_be_cancelled(new_world):
    world = new_world(mapper=None)
    send(world, *CENTS)
    wait_for(world, shipped=4)
    world.stack.wait_until(
        lambda: world.pbms.status()["envelope_status"] == "disbursed", DEADLINE_S, "disbursed"
    )
    before = world.pbms.status()
    assert (
        refusal_of(
            world, "cancel_disbursement_envelope", disbursement_envelope_id=world.pbms.envelope_id
        )
        == "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED"
    )
    ids = list(world.pbms.ids.values())
    assert (
        refusal_of(world, "cancel_disbursements", disbursement_ids=ids)
        == "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED"
    )
    assert world.pbms.status() == before
    assert_paid(world, *world.pbms.amounts)


# Statements


def statement(world, number, opening, *entries):
    """Return an MT940 of (mark, amount, reference, lines of :86:), and its closing balance."""
    day = f"{today():%y%m%d}"
    lines = [":20:REF", f":25:{world.account_number}", f":28C:{number}/1"]
    lines.append(f":60F:C{day}{CURRENCY}{opening}".replace(".", ","))
    balance = Decimal(opening)
    for mark, amount, reference, narrative in entries:
        lines.append(f":61:{day}{day[2:]}{mark}{amount}NTRF{reference}//BANK".replace(".", ","))
        if narrative:
            lines.append(f":86:{narrative}")
        balance += Decimal(amount) if mark in ("C", "RD") else -Decimal(amount)
    lines.append(f":62F:C{day}{CURRENCY}{balance:.2f}".replace(".", ","))
    return "\n".join([*lines, "-", ""]), f"{balance:.2f}"


def test_each_odd_entry_has_its_reason_and_disturbs_no_other(new_world):
    world = new_world(mapper=None)
    send(world, *CENTS, "1.00")
    wait_for(world, shipped=5)
    first, second, third, fourth, _fifth = world.pbms.ids.values()
    text, balance = statement(
        world,
        1,
        "9000000.00",
        ("D", "5.00", "CHARGES", "BANK CHARGE"),
        ("D", "10.50", first, "Grant"),  # one line of narrative
        ("D", "10.50", first, "Grant"),  # the same reference twice
        ("D", "10.50", second, None),  # no narrative at all
        ("RD", "10.50", second, "Grant\nACCOUNT_CLOSED"),
        ("RD", "10.50", second, "Grant\nACCOUNT_CLOSED"),  # the same reversal twice
        ("D", "999999.00", third, "Grant"),  # another amount
        ("D", "10.75", fourth, "Grant"),
        ("C", "10.75", fourth, "RETURNED"),  # a return that is an ordinary credit
    )
    assert upload(world, text).json()["header"]["status"] == "succ"
    wait_for(world, shipped=5, reconciled=3, reversed=2)
    assert outcomes(world) == [
        ("error", "INVALID_DISBURSEMENT_ID"),
        ("reconciled", False),
        ("error", "DUPLICATE_DISBURSEMENT"),
        ("reconciled", False),
        ("reversed", False),
        ("error", "INVALID_REVERSAL"),
        ("error", "AMOUNT_MISMATCH"),
        ("reconciled", False),
        ("reversed", False),
    ]
    corrected, _balance = statement(world, 2, balance, ("D", "10.25", third, "Grant"))
    assert upload(world, corrected).json()["header"]["status"] == "succ"
    wait_for(world, shipped=5, reconciled=4, reversed=2)
    found = [status_of(world, reference)["status"] for reference in world.pbms.ids]
    assert found == ["reconciled", "reversed", "reconciled", "reversed", "sent"]
    assert_ledger_ties(world)


def outcomes(world):
    lines = world.admin.execute(
        "g2p.account.statement.line",
        "search_read",
        [("account_id", "=", world.account_id)],
        ["outcome", "error_reason"],
        order="id",
    )
    return [(line["outcome"], line["error_reason"]) for line in lines]


# Privacy


def test_the_log_names_no_person_and_no_account(new_world):
    world = new_world()
    account = f"7770{world.account_number.removeprefix('ACCT')}"
    world.link(beneficiaries(1), account_number=account)
    log = world.stack.log("server")
    start = log.stat().st_size
    send(world, "10.00", "20.00")
    wait_for(world, shipped=1, unresolved=1)
    world.settle()
    wait_for(world, reconciled=1)
    assert order_of(world, "MIS0000001")["beneficiary_account"] == account
    written = log.read_bytes()[start:].decode(errors="replace")
    private = [account, world.account_number, "BEN000001", "BEN000002", "Person 000001"]
    assert [one for one in private if one in written] == []
    assert "/initiate_payment" in written  # it does say what was done
