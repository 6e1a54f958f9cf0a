"""Slices of a statement, and statements of an account, matched by several jobs at the same time."""

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from test_doors import BRIDGE, upload
from test_peer_faults import statement
from test_uploads import setting
from test_whole_way import DEADLINE_S, ERRORS, assert_books_agree, quiet, send, wait_for

from bridge_stack.rpc import JsonRpc

pytestmark = pytest.mark.stack

PAYMENTS = 60
CRON_S = 60


def statements_of(world, state):
    domain = [("account_id", "=", world.account_id), ("state", "=", state)]
    return world.admin.execute("g2p.account.statement", "search_count", domain)


def wait_until_matched(world, count):
    def is_over():
        return statements_of(world, "processed") == count

    world.stack.wait_until(is_over, DEADLINE_S, f"{count} statements matched")


def entries_of(world, mark, references):
    pbms = world.pbms
    return [
        (mark, f"{pbms.amounts[reference]:.2f}", pbms.ids[reference], "Grant")
        for reference in references
    ]


def outcomes(world):
    """Return payment -> Counter of what its entries came to."""
    found = defaultdict(Counter)
    for line in world.admin.execute(
        "g2p.account.statement.line",
        "search_read",
        [("account_id", "=", world.account_id)],
        ["disbursement_reference", "outcome", "error_reason"],
    ):
        found[line["disbursement_reference"]][line["error_reason"] or line["outcome"]] += 1
    return found


def test_of_debits_of_one_payment_in_slices_matched_at_once_one_counts(new_world):
    world, slices = new_world(mapper=None), 8
    send(world, PAYMENTS)
    wait_for(world, shipped=PAYMENTS)
    references = list(world.pbms.ids)
    entries = []
    for number in range(slices):  # the same payments in each, in one order and in the other
        entries += entries_of(world, "D", references[:: -1 if number % 2 else 1])
    entries += entries_of(world, "RD", references[:10])
    text, _balance = statement(world, 1, "9000000.00", *entries)
    with setting(world.stack, "match_size", PAYMENTS), quiet(world.stack, ERRORS):
        assert upload(world, text).json()["header"]["status"] == "succ"
        wait_until_matched(world, 1)
        wait_for(world, shipped=PAYMENTS, reconciled=PAYMENTS, reversed=10)
    for place, (reference, found) in enumerate(outcomes(world).items()):
        assert reference in world.pbms.ids.values()
        once = {"reconciled": 1, "DUPLICATE_DISBURSEMENT": slices - 1}
        assert found in (Counter(once), Counter({**once, "reversed": 1})), place


def test_statements_that_come_at_once_are_all_matched(new_world):
    world, files = new_world(mapper=None), 6
    send(world, PAYMENTS)
    wait_for(world, shipped=PAYMENTS)
    references = list(world.pbms.ids)
    texts = [
        statement(
            world, number + 1, "9000000.00", *entries_of(world, "D", references[number::files])
        )[0]
        for number in range(files)
    ]
    with ThreadPoolExecutor(files) as pool:
        answers = list(pool.map(lambda text: upload(world, text).json(), texts))
    assert {answer["header"]["status"] for answer in answers} == {"succ"}
    wait_until_matched(world, files)
    wait_for(world, shipped=PAYMENTS, reconciled=PAYMENTS)


def test_when_the_server_is_killed_between_slices_all_are_matched_once(new_world):
    world = new_world(mapper=None)
    send(world, PAYMENTS)
    wait_for(world, shipped=PAYMENTS)
    world.at_bank("/admin/settle")
    with setting(world.stack, "match_size", 2):
        world.at_bank("/admin/statements", account_number=world.account_number)
        world.stack.wait_until(
            lambda: world.pbms.status()["number_of_disbursements_reconciled"], DEADLINE_S
        )
        world.stack.kill("server")
        world.stack.restart("server")
        world.run_cron()
        wait_until_matched(world, 1)
    assert world.pbms.status()["number_of_disbursements_reconciled"] == PAYMENTS
    assert {tuple(found.items()) for found in outcomes(world).values()} == {(("reconciled", 1),)}
    assert_books_agree(world)


def test_of_calls_that_end_the_last_payments_at_once_one_finds_that_all_have_ended(new_world):
    """Nobody comes after it but a cron: none of them may think that another one will."""
    world, calls = new_world(mapper=None), 6
    send(world, PAYMENTS)
    wait_for(world, shipped=PAYMENTS)
    names = list(world.pbms.ids.values())
    banks = [
        JsonRpc(world.stack.url, world.stack.db, "example-bank", world.stack.bank_key)
        for _number in range(calls)
    ]
    gate = Barrier(calls)

    def refuse(number):
        assert banks[number].uid  # logged in before the race
        gate.wait()
        updates = [
            {"disbursement_id": name, "status": "rejected", "reason_code": "AC04"}
            for name in names[number::calls]
        ]
        return banks[number].execute(BRIDGE, "update_status_of_disbursements", updates=updates)

    with quiet(world.stack, ERRORS), ThreadPoolExecutor(calls) as pool:
        answers = [row for answer in pool.map(refuse, range(calls)) for row in answer]
        assert {row["status"] for row in answers} == {"rejected"}
        domain = [("program_id", "=", world.program_id), ("state", "=", "settled")]
        world.stack.wait_until(
            lambda: world.admin.execute("g2p.disbursement.envelope", "search_count", domain),
            CRON_S / 2,
            "a settled envelope",
        )
