"""The Python client against the real server: lost answers, a killed client, totals to the cent."""

import itertools
import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from lossy_proxy import LossyProxy

import g2p_bridge_client as package
from bridge_stack.common import project

pytestmark = pytest.mark.stack

DEADLINE_S = 120
#: more than any script here has faults in a row, whichever of several threads takes them
ATTEMPTS = 12
LOSSES = ("drop", "cut", "bad", "garbage", "busy")
SOURCE = project() / "clients" / "python" / "src"
#: sends an envelope as a program system would; its arguments are URL, count and rows in a call
SENDER = """
import os, sys
from test_clients import client_of, envelope_of, rows_of
url, program, cycle, day, count, rows_per_call = sys.argv[1:]

def on_sent(answers):
    for answer in answers:
        print(answer.mis_reference_number, answer.disbursement_id)
    print("part", flush=True)

with client_of(url, os.environ["PBMS_KEY"]) as client:
    sent = client.send_envelope(
        envelope_of(program, int(count), day, cycle=cycle),
        rows_of(int(count)),
        rows_per_call=int(rows_per_call),
        on_sent=on_sent,
    )
print("sent", sent.count, sent.total)
"""


def today():
    return datetime.now(timezone.utc).date()


def amount_of(number):
    return Decimal(1000 + number).scaleb(-2)


def rows_of(count):
    """Yield payments; the number decides person and amount."""
    for number in range(1, count + 1):
        yield package.NewDisbursement(
            mis_reference_number=f"REF{number:06d}",
            beneficiary_id=f"BEN{number:06d}",
            beneficiary_name=f"Person {number}",
            disbursement_amount=amount_of(number),
            narrative="Monthly grant",
        )


def envelope_of(program, count, day=None, *, cycle):
    total = sum(map(amount_of, range(1, count + 1)), Decimal(0))
    return package.NewEnvelope(
        benefit_program_mnemonic=program,
        disbursement_frequency="Monthly",
        cycle_code_mnemonic=cycle,
        number_of_beneficiaries=count,
        number_of_disbursements=count,
        total_disbursement_amount=total,
        disbursement_currency_code="USD",
        disbursement_schedule_date=datetime.fromisoformat(day).date() if day else today(),
    )


def client_of(url, key, **values):
    policy = package.RetryPolicy(attempts=ATTEMPTS, first_wait_s=0.01, longest_wait_s=0.2)
    return package.BridgeClient(url, key, retry=policy, **values)


@pytest.fixture(scope="module")
def world(new_world):
    """Return the world of all these tests; each has a cycle, and so an envelope, of its own."""
    return new_world(mapper=None)


@pytest.fixture
def cycle(request):
    return request.node.name


@pytest.fixture
def client(world):
    with client_of(world.stack.url, world.key, database=world.stack.db) as client:
        yield client


@contextmanager
def lossy(world, *script, **values):
    """Give (proxy, client whose calls go through it)."""
    with (
        LossyProxy(world.stack.url, script) as proxy,
        client_of(proxy.url, world.key, database=world.stack.db, **values) as client,
    ):
        yield proxy, client


def stored(world, cycle):
    """Return [(envelope id, reference, payment id)] of all payments of a cycle."""
    payments = world.admin.execute(
        "g2p.disbursement",
        "search_read",
        [
            ("program_id", "=", world.program_id),
            ("envelope_id.cycle_code_mnemonic", "=", cycle),
        ],
        ["envelope_id", "mis_reference_number", "disbursement_id"],
    )
    return sorted(
        (each["envelope_id"][0], each["mis_reference_number"], each["disbursement_id"])
        for each in payments
    )


def assert_sent_once(world, cycle, answers, count):
    """One envelope has each payment once, under the id that was answered; the bank agrees."""
    found = stored(world, cycle)
    assert len({envelope_id for envelope_id, *_rest in found}) == 1
    told = sorted((each.mis_reference_number, each.disbursement_id) for each in answers)
    assert [tuple(each[1:]) for each in found] == told
    assert len({reference for reference, _id in told}) == len(told) == count

    ours = {payment_id for _reference, payment_id in told}

    def ordered():
        payments = [each for each in world.ledger()["payments"] if each["reference"] in ours]
        return payments if len(payments) >= count else None

    payments = world.stack.wait_until(ordered, DEADLINE_S, "orders at the bank")
    assert sorted(each["reference"] for each in payments) == sorted(ours)
    assert {each["times_ordered"] for each in payments} == {1}
    total = sum(Decimal(each["amount"]) for each in payments)
    assert total == sum(map(amount_of, range(1, count + 1)))


# Never twice, never lost


@pytest.mark.parametrize("parallel_calls", [1, 3])
def test_answers_lost_after_the_commit_duplicate_nothing(world, cycle, parallel_calls):
    # every answer is lost once, most of them twice, in all ways
    script = [fault for loss in LOSSES for fault in (loss, "drop", None)]
    answers = []
    with lossy(world, *script) as (proxy, client):
        sent = client.send_envelope(
            envelope_of(world.mnemonic, 100, cycle=cycle),
            rows_of(100),
            rows_per_call=20,
            parallel_calls=parallel_calls,
            on_sent=answers.extend,
        )
    assert (sent.count, sent.total) == (100, sent.envelope.total_disbursement_amount)
    lost = [fault for _method, _key, fault in proxy.calls if fault]
    assert len(lost) == 2 * len(LOSSES)
    assert [each.mis_reference_number for each in answers] == [
        each.mis_reference_number for each in rows_of(100)
    ]
    assert_sent_once(world, cycle, answers, 100)


def test_every_repeat_has_the_key_of_the_first_attempt(world, cycle):
    with lossy(world, "drop", "bad", None, "cut", None) as (proxy, client):
        client.send_envelope(envelope_of(world.mnemonic, 3, cycle=cycle), rows_of(3))
    calls = [(method, key) for method, key, _fault in proxy.calls]
    [create, send] = sorted({call for call in calls if call[0].startswith("create_")})
    assert calls.count(create) == 3
    assert calls.count(send) == 2
    assert create[1] == package.envelope_key(envelope_of(world.mnemonic, 3, cycle=cycle))
    assert send[1] == package.rows_key(list(rows_of(3)))


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(world, cycle):
    answers = []
    with lossy(world, None, "silent", timeout_s=(5, 4)) as (proxy, client):
        client.send_envelope(
            envelope_of(world.mnemonic, 3, cycle=cycle), rows_of(3), on_sent=answers.extend
        )
    assert [method for method, _key, _fault in proxy.calls].count("create_disbursements") >= 2
    assert_sent_once(world, cycle, answers, 3)


def test_a_client_killed_half_way_goes_on_where_it_was(world, cycle):
    """Kill -9 after three parts of eight, then after four; the last start sends the rest."""
    env = os.environ | {
        "PBMS_KEY": world.key,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path]),
    }
    command = [sys.executable, "-c", SENDER, world.stack.url, world.mnemonic, cycle]
    command += [today().isoformat(), "160", "20"]
    told = {}

    def note(line):
        reference, _space, payment_id = line.strip().partition(" ")
        if reference.startswith("REF"):
            assert told.setdefault(reference, payment_id) == payment_id

    for parts in (3, 4):
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as child:
            seen = 0
            while seen < parts:
                line = child.stdout.readline()
                assert line, "it ended before it was killed"
                note(line)
                seen += line == "part\n"
            child.kill()
            for line in child.stdout:
                note(line)
        assert child.returncode == -9
    assert 60 <= len(stored(world, cycle)) < 160
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        note(line)
    assert done.stdout.splitlines()[-1].startswith("sent 160 ")
    found = stored(world, cycle)
    assert {reference: payment_id for _envelope, reference, payment_id in found} == told
    assert len(found) == len(told) == 160
    assert len({envelope_id for envelope_id, *_rest in found}) == 1


def test_a_second_start_with_other_dates_totals_or_parts_pays_nobody_twice(world, client, cycle):
    client.send_envelope(envelope_of(world.mnemonic, 4, cycle=cycle), rows_of(4), rows_per_call=2)
    before = stored(world, cycle)
    for other in (
        envelope_of(world.mnemonic, 5, cycle=cycle),
        envelope_of(world.mnemonic, 4, "2099-01-01", cycle=cycle),
    ):
        with pytest.raises(package.Refused) as caught:
            client.send_envelope(other, rows_of(4))
        assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"
    with pytest.raises(package.Refused) as caught:
        client.send_envelope(
            envelope_of(world.mnemonic, 4, cycle=cycle), rows_of(4), rows_per_call=3
        )
    assert caught.value.code in (
        "INVALID_DISBURSEMENT_PAYLOAD",
        "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED",
    )
    assert stored(world, cycle) == before
    run = package.envelope_key(envelope_of(world.mnemonic, 4, cycle=cycle), "second")
    again = client.send_envelope(
        envelope_of(world.mnemonic, 4, cycle=cycle), rows_of(4), idempotency_key=run
    )
    assert len(stored(world, cycle)) == 8
    assert again.envelope.disbursement_envelope_id


def test_a_cancellation_without_an_answer_is_left_to_the_caller(world, cycle):
    with lossy(world) as (proxy, client):
        made = client.create_disbursement_envelope(envelope_of(world.mnemonic, 2, cycle=cycle))
        proxy.script("drop")
        with pytest.raises(package.OutcomeUnknown) as caught:
            client.cancel_disbursement_envelope(made.disbursement_envelope_id)
        assert caught.value.method == "cancel_disbursement_envelope"
        assert proxy.calls[-1][0] == "cancel_disbursement_envelope"
        status = client.get_disbursement_envelope_status(made.disbursement_envelope_id)
    assert status.envelope_status == "cancelled"


def test_without_any_answer_the_outcome_is_called_unknown(world, cycle):
    with lossy(world, *["bad"] * ATTEMPTS) as (proxy, client):
        with pytest.raises(package.OutcomeUnknown) as caught:
            client.create_disbursement_envelope(envelope_of(world.mnemonic, 1, cycle=cycle))
        assert caught.value.idempotency_key == proxy.calls[0][1]
        # the next day, by hand
        made = client.create_disbursement_envelope(envelope_of(world.mnemonic, 1, cycle=cycle))
    assert len(proxy.calls) == ATTEMPTS + 1
    envelopes = world.admin.execute(
        "g2p.disbursement.envelope",
        "search_read",
        [("program_id", "=", world.program_id), ("cycle_code_mnemonic", "=", cycle)],
        ["disbursement_envelope_id"],
    )
    assert [each["disbursement_envelope_id"] for each in envelopes] == [
        made.disbursement_envelope_id
    ]


def test_a_refusal_after_a_lost_answer_says_that_there_was_one(world, cycle):
    with lossy(world) as (proxy, client):
        client.create_disbursement_envelope(envelope_of(world.mnemonic, 1, cycle=cycle))
        proxy.script("drop")
        with pytest.raises(package.Refused) as caught:
            client.create_disbursement_envelope(envelope_of(world.mnemonic, 2, cycle=cycle))
        assert caught.value.after_unknown
        with pytest.raises(package.Refused) as caught:
            client.create_disbursement_envelope(envelope_of(world.mnemonic, 2, cycle=cycle))
        assert not caught.value.after_unknown


# Never a wrong total


def test_rows_that_are_not_what_was_declared_are_noticed_and_nothing_is_sent(world, client, cycle):
    with pytest.raises(package.TotalsDiffer) as caught:
        client.send_envelope(envelope_of(world.mnemonic, 4, cycle=cycle), rows_of(3))
    assert "4 payments of 40.10" in str(caught.value)
    assert "3 payments of 30.06" in str(caught.value)
    [(envelope_id, *_rest), *_others] = stored(world, cycle)
    [envelope] = world.admin.execute("g2p.disbursement.envelope", "read", [envelope_id], ["state"])
    assert envelope["state"] == "receiving"
    fourth = list(rows_of(4))[3:]
    made = client.create_disbursement_envelope(envelope_of(world.mnemonic, 4, cycle=cycle))
    assert client.send_disbursements(made.disbursement_envelope_id, fourth)[0] == 1
    client.verify_received(made.disbursement_envelope_id, 4, Decimal("40.10"))
    with pytest.raises(package.TotalsDiffer):
        client.verify_received(made.disbursement_envelope_id, 4, Decimal("40.11"))


def test_amounts_arrive_to_the_last_digit(world, client, cycle):
    total = Decimal("1234567890123.45")
    envelope = package.NewEnvelope(
        benefit_program_mnemonic=world.mnemonic,
        disbursement_frequency="OnDemand",
        cycle_code_mnemonic=cycle,
        number_of_beneficiaries=2,
        number_of_disbursements=2,
        total_disbursement_amount=total,
        disbursement_currency_code="USD",
        disbursement_schedule_date=datetime(2099, 1, 1, tzinfo=timezone.utc).date(),
    )
    [one, two] = rows_of(2)
    rows = [
        package.NewDisbursement(
            mis_reference_number=each.mis_reference_number,
            beneficiary_id=each.beneficiary_id,
            beneficiary_name=each.beneficiary_name,
            disbursement_amount=amount,
            narrative=each.narrative,
        )
        for each, amount in ((one, Decimal("0.010")), (two, total - Decimal("0.01")))
    ]
    sent = client.send_envelope(envelope, rows)
    assert sent.envelope.total_disbursement_amount == total
    assert sent.status.total_disbursement_amount_received == total
    client.cancel_disbursement_envelope(sent.envelope.disbursement_envelope_id, "a test")


def test_rows_come_from_a_generator_and_few_are_held(world, client, cycle):
    answered, most_ahead = 0, 0

    def counted():
        nonlocal most_ahead
        for number, each in enumerate(rows_of(400), start=1):
            most_ahead = max(most_ahead, number - answered)
            yield each

    def on_sent(answers):
        nonlocal answered
        answered += len(answers)

    client.send_envelope(
        envelope_of(world.mnemonic, 400, cycle=cycle),
        counted(),
        rows_per_call=25,
        parallel_calls=3,
        on_sent=on_sent,
    )
    assert answered == 400
    assert 50 < most_ahead <= 3 * 25


# Questions


def test_the_changes_are_followed_to_the_end_from_a_kept_cursor(world, client, cycle):
    sent = client.send_envelope(
        envelope_of(world.mnemonic, 30, cycle=cycle), rows_of(30), rows_per_call=10
    )
    envelope_id = sent.envelope.disbursement_envelope_id
    store = {"cursor": "", "states": {}}

    def follow(pages=None):
        for page in itertools.islice(client.iter_changes(store["cursor"], limit=7), pages):
            for change in page.changes:
                if change.disbursement_envelope_id == envelope_id:
                    store["states"][change.mis_reference_number] = change.status
            store["cursor"] = page.cursor  # in a database: in the same transaction
        return list(store["states"].values())

    follow(pages=2)  # then the program crashes, and starts with what it stored
    world.stack.wait_until(
        lambda: follow().count("sent") == 30, DEADLINE_S, "thirty payments on their way"
    )
    world.settle()
    world.stack.wait_until(
        lambda: follow().count("reconciled") == 30, DEADLINE_S, "thirty payments reconciled"
    )
    status = client.get_disbursement_envelope_status(envelope_id)
    assert status.total_disbursement_amount_reconciled == sent.total
    assert list(client.iter_changes(store["cursor"])) == []
    [(_envelope, _reference, payment_id), *_others] = stored(world, cycle)
    [known, unknown] = client.get_disbursement_status([payment_id, "NOSUCH"])
    [recon] = known.disbursement_recon_records.disbursement_recon_payloads
    assert (known.iso_status, recon.disbursement_id) == ("ACSC", payment_id)
    assert recon.remittance_value_date
    assert unknown.response_error_codes == ("INVALID_DISBURSEMENT_ID",)


def test_an_envelope_is_amended_and_payments_are_cancelled(world, client, cycle):
    made = client.create_disbursement_envelope(
        envelope_of(world.mnemonic, 3, "2099-01-01", cycle=cycle)
    )
    envelope_id = made.disbursement_envelope_id
    [one, two] = client.create_disbursements(envelope_id, list(rows_of(2)))
    [cancelled] = client.cancel_disbursements([one.disbursement_id], "left the program")
    assert cancelled.cancellation_status == "Cancelled"
    amended = client.amend_disbursement_envelope(
        envelope_id,
        number_of_disbursements=1,
        total_disbursement_amount=two.disbursement_amount,
    )
    assert amended.total_disbursement_amount == two.disbursement_amount
    assert amended.number_of_disbursements == 1
    assert client.cancel_disbursement_envelope(envelope_id).disbursement_envelope_id == envelope_id


def test_bad_rows_are_named(world, client, cycle):
    made = client.create_disbursement_envelope(envelope_of(world.mnemonic, 3, cycle=cycle))
    [one, two, three] = rows_of(3)
    bad = package.NewDisbursement(
        mis_reference_number="BAD",
        beneficiary_id=two.beneficiary_id,
        beneficiary_name="",
        disbursement_amount=Decimal("0.001"),
        narrative="x",
    )
    with pytest.raises(package.Refused) as caught:
        client.create_disbursements(made.disbursement_envelope_id, [one, bad, three])
    assert caught.value.code == "INVALID_DISBURSEMENT_PAYLOAD"
    codes = {"INVALID_BENEFICIARY_NAME", "INVALID_DISBURSEMENT_AMOUNT"}
    [error] = caught.value.rows
    assert (error.index, error.reference, set(error.codes)) == (1, "BAD", codes)
    assert "row 1: " in str(caught.value)
    assert caught.value.sentence.startswith("Some rows are wrong")


def test_who_was_not_paid_is_named_and_corrected_once(new_world, cycle):
    world = new_world()
    world.link(["BEN000001", "BEN000003"])
    world.link(["BEN000009"])
    answers = []
    with lossy(world) as (proxy, client):
        envelope = envelope_of(world.mnemonic, 3, cycle=cycle)
        sent = client.send_envelope(envelope, rows_of(3), on_sent=answers.extend)
        envelope_id = sent.envelope.disbursement_envelope_id
        [found] = world.stack.wait_until(
            lambda: list(client.iter_exceptions(envelope_id, limit=1)), DEADLINE_S, "who has none"
        )
        assert (found.kind, found.disbursement_amount) == ("unresolved", amount_of(2))
        assert found.disbursement_id == answers[1].disbursement_id
        assert found.is_correctable
        proxy.script("drop", "bad")
        correction = package.Correction(
            disbursement_id=found.disbursement_id, beneficiary_id="BEN000009"
        )
        [corrected] = client.correct_disbursements([correction], reason="a new registry id")
        assert corrected.correction == "reissued"
        keys = {key for method, key, _fault in proxy.calls if method == "correct_disbursements"}
        assert len(keys) == 1
        with pytest.raises(package.Refused) as caught:
            client.correct_disbursements([correction])
        assert caught.value.rows[0].codes == ("DISBURSEMENT_ALREADY_REISSUED",)
        assert list(client.iter_exceptions(envelope_id, only_open=True)) == []

        def orders():
            return [each["reference"] for each in world.ledger()["payments"]]

        world.stack.wait_until(lambda: len(orders()) == 3, DEADLINE_S, "three payments")
    paid = {answers[0].disbursement_id, answers[2].disbursement_id}
    assert set(orders()) == paid | {corrected.reissued_as_disbursement_id}


def test_a_bank_uploads_and_reports(world, client, cycle):
    sent = client.send_envelope(envelope_of(world.mnemonic, 1, cycle=cycle), rows_of(1))
    [(_envelope, _reference, payment_id)] = stored(world, cycle)

    def ordered():
        return payment_id in {each["reference"] for each in world.ledger()["payments"]}

    world.stack.wait_until(ordered, DEADLINE_S, "the order")
    number = world.account_number
    text = (
        f":20:CLIENT\n:25:{number}\n:28C:900/1\n:60F:C261123USD1000,00\n"
        ":61:2611231123C5,00NTRFNONREF\n:86:Top-up\n:62F:C261123USD1005,00\n-\n"
    )
    with client_of(world.stack.url, world.stack.bank_key) as bank:
        first = bank.upload_mt940(text, "client.sta")
        assert bank.upload_mt940(text, "client.sta").statement_id == first.statement_id
        assert len(first.statements) == 1

        def taken():
            update = package.StatusUpdate(
                disbursement_id=payment_id, status="accepted", bank_reference="B1"
            )
            [result] = bank.update_status_of_disbursements([update])
            return result.status == "sent"

        world.stack.wait_until(taken, DEADLINE_S, "the bank's word")
    assert sent.count == 1


# Refusals that are nobody's rows, and the key


def test_wrong_keys_groups_and_addresses_are_told_apart(world):
    wrong = secrets.token_hex(20)
    with (
        client_of(world.stack.url, wrong) as client,
        pytest.raises(package.AccessRefused) as caught,
    ):
        client.get_disbursement_changes()
    assert caught.value.status == 401
    with (
        client_of(world.stack.url, world.stack.bank_key) as client,
        pytest.raises(package.AccessRefused) as caught,
    ):
        client.get_disbursement_changes()
    assert caught.value.status == 403
    with (
        client_of(f"{world.stack.url}/nowhere", world.key) as client,
        pytest.raises(package.CallInvalid) as caught,
    ):
        client.get_disbursement_changes()
    assert caught.value.status == 404


def test_the_key_is_in_no_error_and_no_log(world, caplog):
    caplog.set_level("DEBUG")
    shown = []
    with lossy(world, "drop", "bad", "garbage", "busy", "drop") as (_proxy, client):
        client.get_disbursement_changes()
        for call in (
            lambda: client.get_disbursement_envelope_status("NOSUCH"),
            lambda: client.cancel_disbursement_envelope("NOSUCH"),
        ):
            with pytest.raises(package.BridgeClientError) as caught:
                call()
            shown.append(f"{caught.value!s} {caught.value!r} {caught.getrepr(showlocals=False)}")
        shown.append(repr(client))
    assert "again in" in caplog.text
    assert [text for text in (caplog.text, *shown) if world.key in text] == []
