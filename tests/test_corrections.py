"""A program system corrects, and officers reissue, at the same moment: paid again once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from test_action_races import ENVELOPE, PAYMENT, envelope_of, reissue
from test_doors import upload
from test_peer_faults import statement
from test_statement_races import entries_of, wait_until_matched
from test_whole_way import DEADLINE_S, ERRORS, quiet, send, today, wait_for

from bridge_stack.rpc import JsonRpc, RpcError

pytestmark = pytest.mark.stack

PAYMENTS, RETURNED, EACH = 30, 12, 3
BRIDGE = "g2p.bridge"
USER_ERROR = "odoo.exceptions.UserError"
#: what the program system is told where somebody was faster
TOO_LATE = {"INVALID_DISBURSEMENT_PAYLOAD", "CORRECTION_CONFLICT", "REISSUE_UNDER_WAY"}


def returned_world(new_world):
    """Return a world of which some payments were debited and came back, and their ids."""
    world = new_world(mapper=None)
    send(world, PAYMENTS)
    wait_for(world, shipped=PAYMENTS)
    references = list(world.pbms.ids)
    entries = entries_of(world, "D", references) + entries_of(world, "RD", references[:RETURNED])
    text, _balance = statement(world, 1, "9000000.00", *entries)
    assert upload(world, text).json()["header"]["status"] == "succ"
    wait_until_matched(world, 1)
    wait_for(world, reversed=RETURNED)
    return world


def exceptions(world):
    answer = world.pbms.call(
        "get_disbursement_exceptions", disbursement_envelope_id=world.pbms.envelope_id
    )
    return answer["exceptions"]


def test_of_a_correction_and_officers_at_once_one_pays_again_and_the_bank_pays_once(new_world):
    world = returned_world(new_world)
    envelope = envelope_of(world)
    rows = [
        {"disbursement_id": row["disbursement_id"], "beneficiary_name": "Amina Diallo"}
        for row in exceptions(world)
        if row["is_correctable"]
    ]
    assert len(rows) == RETURNED
    gate = Barrier(2 * EACH)

    def officer(_number):
        rpc = JsonRpc(world.stack.url, world.stack.db, *world.stack.ADMIN)
        assert rpc.uid  # logged in before the race
        gate.wait()
        return reissue(rpc, envelope)

    def program(_number):
        rpc = world.stack.rpc(world.login, world.key)
        assert rpc.uid
        gate.wait()
        return rpc.execute(BRIDGE, "correct_disbursements", disbursements=rows)

    def outcome(do, number):
        try:
            return do(number)
        except RpcError as error:
            return error

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(2 * EACH) as pool:
        calls = [pool.submit(outcome, do, n) for n in range(EACH) for do in (officer, program)]
        results = [call.result() for call in calls]
    done = [result for result in results if not isinstance(result, RpcError)]
    assert len(done) == 1, results
    for error in results:
        if isinstance(error, RpcError) and error.name != USER_ERROR:
            assert error.arguments[0] in TOO_LATE, error

    def copies():
        domain = [("envelope_id.reissued_from_id", "=", envelope)]
        return world.admin.execute(PAYMENT, "search_read", domain, ["reissue_of_id", "state"])

    world.stack.wait_until(
        lambda: [row["state"] for row in copies()] == ["sent"] * RETURNED, DEADLINE_S, "reissue"
    )
    assert len({row["reissue_of_id"][0] for row in copies()}) == RETURNED
    payments = world.ledger()["payments"]
    assert len(payments) == PAYMENTS + RETURNED
    assert {payment["times_ordered"] for payment in payments} == {1}
    after = exceptions(world)
    assert {row["not_correctable_code"] for row in after} == {"DISBURSEMENT_ALREADY_REISSUED"}
    assert all(row["reissued_as_disbursement_id"] for row in after)
    # the bank of this test has orders that its own ledger settles otherwise than the statement said
    rules = {difference["rule"] for difference in world.differences()}
    assert not rules & {"REISSUE_DIFFERS", "REISSUE_PAID_TWICE", "DECLARED_DIFFERS"}


def test_a_correction_that_is_repeated_at_once_under_its_key_is_done_once(new_world):
    world = returned_world(new_world)
    rows = [
        {"disbursement_id": row["disbursement_id"], "beneficiary_id": f"NEW{number}"}
        for number, row in enumerate(exceptions(world))
    ]
    gate = Barrier(4)

    def correct(_number):
        rpc = world.stack.rpc(world.login, world.key)
        assert rpc.uid
        gate.wait()
        arguments = {"disbursements": rows, "idempotency_key": "again"}
        return rpc.execute(BRIDGE, "correct_disbursements", **arguments)

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(correct, range(4))
    assert len(first) == RETURNED
    assert all(answer == first for answer in others)
    assert {row["correction"] for row in first} == {"reissued"}
    assert len({row["reissued_as_disbursement_envelope_id"] for row in first}) == 1


def test_what_a_late_statement_shows_as_paid_is_not_paid_again_whoever_is_faster(new_world):
    world = returned_world(new_world)
    originals = list(world.pbms.ids)[:RETURNED]
    rows = [{"disbursement_id": world.pbms.ids[reference]} for reference in originals]
    tomorrow = (today() + timedelta(days=1)).isoformat()
    # the bank debits them once more: it paid them after all
    text, _balance = statement(world, 2, "8000000.00", *entries_of(world, "D", originals))
    gate = Barrier(2)

    def correct():
        rpc = world.stack.rpc(world.login, world.key)
        assert rpc.uid
        gate.wait()
        try:
            return rpc.execute(
                BRIDGE,
                "correct_disbursements",
                disbursements=rows,
                disbursement_schedule_date=tomorrow,
            )
        except RpcError as error:
            return error

    def bring():
        gate.wait()
        return upload(world, text).json()["header"]["status"]

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(2) as pool:
        corrected, brought = (call.result() for call in [pool.submit(correct), pool.submit(bring)])
        assert brought == "succ"
        wait_until_matched(world, 2)
    envelope = envelope_of(world)
    if isinstance(corrected, RpcError):
        assert corrected.arguments[0] in TOO_LATE, corrected
        assert not world.admin.execute(
            PAYMENT, "search_count", [("envelope_id.reissued_from_id", "=", envelope)]
        )
    else:
        [again] = world.admin.execute(ENVELOPE, "search", [("reissued_from_id", "=", envelope)])
        values = {"disbursement_schedule_date": today().isoformat()}  # a day goes by
        world.stack.odoo_shell(
            f"env[{ENVELOPE!r}].browse({again}).write({values})\nenv.cr.commit()"
        )
        world.run_cron()

        def is_stopped():
            fields = ["state", "attention_code"]
            [row] = world.admin.execute(ENVELOPE, "read", [again], fields)
            return (row["state"], row["attention_code"]) == ("needs_attention", "REISSUE_DISPUTED")

        world.stack.wait_until(is_stopped, DEADLINE_S, "reissue that is stopped")
    payments = world.ledger()["payments"]
    assert len(payments) == PAYMENTS
    assert {payment["times_ordered"] for payment in payments} == {1}
