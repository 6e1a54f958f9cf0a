"""The Python client without a server: its shape, its JSON, its keys, its installation."""

import ast
import inspect
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from test_docs import constants, facade_methods, keys_of, text_of

import g2p_bridge_client as package
from bridge_stack.common import project
from g2p_bridge_client import messages, wire

SOURCE = project() / "clients" / "python"
#: left out: what the bridge takes and ignores, as OpenG2P's does; and short answers without the
#: amounts, which the client compares
IGNORED = {
    "create_disbursements": {"brief"},
    "amend_disbursement_envelope": {
        "benefit_program_mnemonic",
        "disbursement_frequency",
        "cycle_code_mnemonic",
        "disbursement_currency_code",
    },
}
#: of the refusals and of the objects that the client keeps as one value
OTHER_FIELDS = {"changes", "exceptions", "index"}


def envelope(**values):
    return package.NewEnvelope(
        **{
            "benefit_program_mnemonic": "CHILD",
            "disbursement_frequency": "Monthly",
            "cycle_code_mnemonic": "2026-11",
            "number_of_beneficiaries": 1,
            "number_of_disbursements": 1,
            "total_disbursement_amount": Decimal("10.50"),
            "disbursement_currency_code": "USD",
            "disbursement_schedule_date": date(2026, 11, 30),
            **values,
        }
    )


def row(**values):
    return package.NewDisbursement(
        **{
            "mis_reference_number": "M1",
            "beneficiary_id": "BEN000001",
            "beneficiary_name": "Amina Example",
            "disbursement_amount": Decimal("10.50"),
            "narrative": "Grant",
            **values,
        }
    )


# It is the whole API


def arguments_of(method):
    found = set(inspect.signature(method).parameters) - {"self"}
    if "envelope" in found:
        found |= {field.name for field in fields(package.NewEnvelope)}
    return found


def test_each_method_of_the_api_has_its_method_with_all_arguments():
    missing = {}
    for method in facade_methods():
        wanted = {each.arg for each in method.args.args} - {"self"}
        ours = getattr(package.BridgeClient, method.name, None)
        left = wanted - arguments_of(ours) - IGNORED.get(method.name, set()) if ours else wanted
        if left or not ours:
            missing[method.name] = left
    assert missing == {}


def test_each_field_of_an_answer_has_its_place():
    answers = ast.parse(text_of("g2p_bridge/services/api_answers.py")).body
    makers = [each for each in answers if isinstance(each, ast.FunctionDef)]
    wanted = set().union(*map(keys_of, [*makers, *facade_methods()]))
    wanted -= {name for name in wanted if name.startswith(("_", "changed_xid"))}
    ours = {
        field.name
        for kind in vars(messages).values()
        if is_dataclass(kind)
        for field in fields(kind)
    }
    assert wanted - ours - OTHER_FIELDS == set()


def test_the_states_and_codes_of_the_readme_are_real():
    codes = constants()["ERROR_SENTENCES"]
    named = {"IDEMPOTENCY_KEY_REUSED", "INVALID_DISBURSEMENT_PAYLOAD"}
    assert named <= set(codes)
    text = (SOURCE / "README.md").read_text("utf-8")
    assert [code for code in named if code not in text] == []


# Amounts, times, texts


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("10.50", "10.5"),
        ("1E+3", "1000"),
        ("0.01", "0.01"),
        ("100", "100"),
        ("9999999999999.99", "9999999999999.99"),
        ("1E-2", "0.01"),
    ],
)
def test_an_amount_is_written_exactly_and_in_one_way(amount, text):
    assert wire.plain(row(disbursement_amount=Decimal(amount)))["disbursement_amount"] == text


@pytest.mark.parametrize(
    ("amount", "error"),
    [
        (10.5, TypeError),
        (10, TypeError),
        (Decimal("NaN"), ValueError),
        (Decimal("inf"), ValueError),
    ],
)
def test_what_is_no_exact_amount_does_not_come_in(amount, error):
    with pytest.raises(error):
        row(disbursement_amount=amount)
    with pytest.raises(error):
        envelope(total_disbursement_amount=amount)


CHANGE = {
    "disbursement_id": "A",
    "disbursement_envelope_id": "E",
    "mis_reference_number": "M1",
    "status": "sent",
    "iso_status": "ACSP",
    "reason_code": "",
    "reason": "",
    "reissue_of_disbursement_id": "",
    "reissued_as_disbursement_id": "",
    "changed_at": "2026-11-23T21:57:08",
    "of_a_newer_bridge": [1],
}


def test_answers_become_dataclasses_and_unknown_members_are_ignored():
    page = wire.read(package.ChangesPage, {"changes": [CHANGE], "cursor": "1-2", "has_more": False})
    assert page.changes[0].changed_at == datetime(2026, 11, 23, 21, 57, 8, tzinfo=timezone.utc)
    assert wire.read(package.Change, {**CHANGE, "changed_at": ""}).changed_at is None


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (package.ChangesPage, {"changes": {}, "cursor": "", "has_more": False}),
        (package.ChangesPage, {"changes": [], "cursor": "", "has_more": 0}),
        (package.ChangesPage, {"changes": [], "cursor": ""}),
        (package.ChangesPage, []),
        (package.Change, {**CHANGE, "changed_at": "yesterday"}),
    ],
)
def test_an_answer_of_another_form_is_none(kind, data):
    with pytest.raises(package.UnexpectedAnswer):
        wire.read(kind, data)


# Keys


def test_an_envelopes_key_is_that_of_its_program_and_cycle():
    key = package.envelope_key(envelope())
    later = envelope(
        total_disbursement_amount=Decimal(99), disbursement_schedule_date=date(2026, 12, 1)
    )
    assert package.envelope_key(later) == key
    assert key.startswith("CHILD:2026-11:")
    others = {
        package.envelope_key(envelope(cycle_code_mnemonic="2026-12")),
        package.envelope_key(envelope(benefit_program_mnemonic="C")),
        package.envelope_key(envelope(), "reissue-1"),
        package.envelope_key(
            envelope(benefit_program_mnemonic="CHILD:2026", cycle_code_mnemonic="11")
        ),
        key,
    }
    assert len(others) == 5
    long = envelope(benefit_program_mnemonic="P" * 100, cycle_code_mnemonic="ع" * 128)
    assert len(package.envelope_key(long)) <= 128


def test_the_key_of_rows_says_all_of_them_in_their_order():
    one, two = row(), row(mis_reference_number="M2")
    key = package.rows_key([one, two])
    assert key == package.rows_key((row(disbursement_amount=Decimal("10.5")), two))
    assert len(key) <= 128
    different = [[two, one], [one], [one, row(mis_reference_number="M2", narrative="Other")]]
    assert key not in {package.rows_key(rows) for rows in different}


# What it does not take, and does not show


@pytest.mark.parametrize(
    "url", ["ftp://host", "host", "https://user:word@host", "https://host?x=1", "http://host"]
)
def test_an_address_that_would_show_the_key_is_refused(url):
    with pytest.raises(ValueError, match=r"URL|https"):
        package.BridgeClient(url, "KEY")


def test_plain_http_to_another_machine_is_the_callers_word():
    package.BridgeClient("http://host", "KEY", allow_plain_http=True).close()


@pytest.mark.parametrize("key", ["", "SECRET KEY", "SECRET\n", "SECRETé"])
def test_a_key_with_wrong_characters_is_refused_without_being_shown(key):
    with pytest.raises(ValueError, match="API key") as caught:
        package.BridgeClient("https://host", key)
    assert "SECRET" not in str(caught.value)


def test_names_and_texts_are_in_no_repr():
    text = repr(row(beneficiary_name="Amina", narrative="Widow", beneficiary_id="NAT1"))
    assert "M1" in text
    assert [word for word in ("Amina", "Widow", "NAT1") if word in text] == []


def test_waits_grow_to_a_limit_and_are_never_all_the_same():
    policy = package.RetryPolicy(attempts=20, first_wait_s=1, longest_wait_s=8)
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (5000, 8)):
        waits = {policy.wait_s(attempt) for _turn in range(20)}
        assert len(waits) > 1
        assert longest / 2 <= min(waits) <= max(waits) <= longest


def chain_of(error):
    """Yield an error and those behind it; one of requests' (an OSError) would hold the key."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def test_no_connection_at_all_is_said_so_after_all_attempts(caplog):
    waited = []
    policy = package.RetryPolicy(attempts=3, sleep=waited.append)
    with (
        package.BridgeClient("http://127.0.0.1:1", "SECRETKEY", retry=policy) as client,
        pytest.raises(package.Unavailable) as caught,
    ):
        client.cancel_disbursement_envelope("E")  # not repeatable, but it surely did not arrive
    assert len(waited) == 2
    assert [each for each in chain_of(caught.value) if isinstance(each, OSError)] == []
    assert "SECRETKEY" not in caplog.text + str(caught.value) + repr(caught.value) + repr(client)


# It can be installed


def test_it_installs_and_brings_its_types(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--target", tmp_path / "target"]
    done = subprocess.run(
        [*map(str, command), str(tmp_path / "source")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import g2p_bridge_client as c; print(c.__file__, c.BridgeClient('https://h', 'KEY'))"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "target")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(shown.split()[0]).is_relative_to(tmp_path)
    assert (tmp_path / "target" / "g2p_bridge_client" / "py.typed").exists()
