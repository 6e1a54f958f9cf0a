"""Officers who do the same at the same moment: one of them does it, and nothing is done twice."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from test_doors import upload
from test_peer_faults import statement
from test_statement_races import entries_of, wait_until_matched
from test_whole_way import DEADLINE_S, ERRORS, beneficiaries, quiet, send, today, wait_for

from bridge_stack.rpc import JsonRpc, RpcError

pytestmark = pytest.mark.stack

OFFICERS, PAYMENTS, RETURNED = 6, 40, 20
ENVELOPE, PAYMENT, BULK = "g2p.disbursement.envelope", "g2p.disbursement", "g2p.bulk.action"
USER_ERROR = "odoo.exceptions.UserError"


def at_once(world, do):
    """Have ``do(rpc)`` run for all officers, begun at the same moment; return their results."""
    gate = Barrier(OFFICERS)

    def run(_number):
        rpc = JsonRpc(world.stack.url, world.stack.db, *world.stack.ADMIN)
        assert rpc.uid  # logged in before the race
        gate.wait()
        try:
            return do(rpc)
        except RpcError as error:
            return error

    with ThreadPoolExecutor(OFFICERS) as pool:
        return list(pool.map(run, range(OFFICERS)))


def envelope_of(world):
    domain = [("disbursement_envelope_id", "=", world.pbms.envelope_id)]
    [envelope] = world.admin.execute(ENVELOPE, "search", domain)
    return envelope


def reissue(rpc, envelope):
    values = {"envelope_id": envelope, "reason": "race", "schedule_date": today().isoformat()}
    [wizard] = rpc.execute("g2p.reissue", "create", [values])
    return rpc.execute("g2p.reissue", "action_reissue", [wizard])["res_id"]


def test_of_officers_who_reissue_at_once_one_does_and_the_bank_pays_once(new_world):
    world = new_world(mapper=None)
    send(world, PAYMENTS)
    wait_for(world, shipped=PAYMENTS)
    references = list(world.pbms.ids)
    entries = entries_of(world, "D", references)
    entries += entries_of(world, "RD", references[:RETURNED])
    text, _balance = statement(world, 1, "9000000.00", *entries)
    assert upload(world, text).json()["header"]["status"] == "succ"
    wait_until_matched(world, 1)
    wait_for(world, reversed=RETURNED)
    envelope = envelope_of(world)

    with quiet(world.stack, ERRORS):
        results = at_once(world, lambda rpc: reissue(rpc, envelope))
    refused = [result for result in results if isinstance(result, RpcError)]
    [new] = [result for result in results if not isinstance(result, RpcError)]
    assert {error.name for error in refused} == {USER_ERROR}
    [copy] = world.admin.execute(
        ENVELOPE, "search_read", [("reissued_from_id", "=", envelope)], ["number_of_disbursements"]
    )
    assert (copy["id"], copy["number_of_disbursements"]) == (new, RETURNED)

    def all_sent():
        domain = [("envelope_id", "=", new), ("state", "=", "sent")]
        return world.admin.execute(PAYMENT, "search_count", domain) == RETURNED

    world.stack.wait_until(all_sent, DEADLINE_S, "the reissue is sent")
    payments = world.ledger()["payments"]
    assert len(payments) == PAYMENTS + RETURNED
    assert {payment["times_ordered"] for payment in payments} == {1}
    originals = world.admin.execute(
        PAYMENT, "search_read", [("envelope_id", "=", new)], ["reissue_of_id", "amount"]
    )
    assert len({each["reissue_of_id"][0] for each in originals}) == RETURNED
    rules = {difference["rule"] for difference in world.differences()}
    assert not rules & {"REISSUE_DIFFERS", "REISSUE_PAID_TWICE", "DECLARED_DIFFERS"}


def test_what_officers_leave_out_at_once_is_left_out_once(new_world):
    world = new_world()
    world.link(beneficiaries(1))
    send(world, PAYMENTS)
    wait_for(world, unresolved=PAYMENTS - 1)
    domain = [["envelope_id", "=", envelope_of(world)], ["state", "=", "unresolved"]]

    def leave_out(rpc):
        context = {"active_model": PAYMENT, "active_domain": domain, "g2p_all_selected": True}
        values = {"kind": "leave_out", "reason": "race"}
        [wizard] = rpc.execute("g2p.start.bulk.action", "create", [values], context=context)
        return rpc.execute("g2p.start.bulk.action", "action_start", [wizard])["res_id"]

    with quiet(world.stack, ERRORS):
        results = at_once(world, leave_out)
        ids = [result for result in results if not isinstance(result, RpcError)]
        assert ids, results

        def all_done():
            found = world.admin.execute(BULK, "read", ids, ["state"])
            return {each["state"] for each in found} == {"done"}

        world.stack.wait_until(all_done, DEADLINE_S, "bulk actions done")
    actions = world.admin.execute(BULK, "read", ids, ["done_count", "skipped_count"])
    assert sum(action["done_count"] for action in actions) == PAYMENTS - 1
    wait_for(world, cancelled=PAYMENTS - 1, shipped=1)
    assert world.differences() == []
