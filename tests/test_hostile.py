"""Hostile JSON at the two JSON doors: a documented code or an answer, and nothing changed.

What never gets as far as the bridge is Odoo's to refuse; ``test_odoo_refuses_...`` say how.
"""

import json
import re
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_whole_way import ERRORS, quiet, send, today, wait_for

from bridge_stack.world import CURRENCY

pytestmark = pytest.mark.stack

BRIDGE = "g2p.bridge"
MIB = 1024 * 1024
DOORS = ["jsonrpc", "json2"]
each_door = pytest.mark.parametrize("door", DOORS)
guarded = pytest.mark.usefixtures("unchanged")
#: a reader that stops in the middle of a big body is a refusal, too
CLOSED = 0
API = Path(__file__).parent.parent / "docs" / "api.md"
many = settings(
    max_examples=120,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # one guard around all examples is what is wanted
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**15, 10**16, 2**31, 2**63, 2**64, 10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=40)
    | st.text(st.characters(categories=["Cc", "Cs", "Cf", "Zl", "Zp", "Mn"]), max_size=12)
    | st.from_regex(r"\A[0-9]{1,40}(-[0-9]{0,40})?\Z")
    | st.sampled_from(
        ["\0", "\ud800", "x" * 20_000, "9" * 5000, "9" * 5000 + "-1", "%", "' OR 1=1 --", "1e5"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=8,
)
words = st.text(
    st.characters(codec="utf-8", categories=["L", "M", "N", "P", "S", "Zs"]),
    min_size=1,
    max_size=99,
)


def documented_codes():
    """Return code -> what docs/api.md says of when it is answered."""
    table = API.read_text(encoding="utf-8").split("\n## Error codes\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| ([A-Z_]+)(?: \*)? \|[^|]+\| ([^|]+) \|", table, re.MULTILINE)
    assert len(found) > 40
    return dict(found)


CODES = documented_codes()


@pytest.fixture(scope="module")
def world(new_world):
    """Return a world with an envelope that receives, and one whose payment is at the bank."""
    world = new_world(mapper=None)
    send(world, 1)
    wait_for(world, shipped=1)
    [world.sent_id] = world.pbms.ids.values()
    world.pbms.draw_amounts(10)
    answer = world.pbms.call("create_disbursement_envelope", **envelope(world))
    world.open_id = world.pbms.envelope_id = answer["disbursement_envelope_id"]
    references = list(world.pbms.amounts)[:2]
    world.pbms.send_part(references, None)
    world.open_payments = [world.pbms.ids[reference] for reference in references]
    world.users = {"pbms": (world.login, world.key), "bank": ("example-bank", world.stack.bank_key)}
    world.uids = {name: world.stack.rpc(*user).uid for name, user in world.users.items()}
    world.session = requests.Session()
    return world


def envelope(world, **other):
    return {
        "benefit_program_mnemonic": world.mnemonic,
        "disbursement_frequency": "Monthly",
        "cycle_code_mnemonic": "2026-11",
        "number_of_beneficiaries": 1000,
        "number_of_disbursements": 1000,
        "total_disbursement_amount": "1000000.00",
        "disbursement_currency_code": CURRENCY,
        "disbursement_schedule_date": "2099-12-31",
        "idempotency_key": None,
        **other,
    }


def row(**other):
    return {
        "mis_reference_number": "HOSTILE",
        "beneficiary_id": "BEN1",
        "beneficiary_name": "A name",
        "disbursement_amount": "10.00",
        "narrative": "Grant",
        **other,
    }


def calls(world):
    """Return method -> arguments that it takes; with one of them wrong it changes nothing."""
    return {
        "create_disbursement_envelope": envelope(world),
        "amend_disbursement_envelope": {
            "disbursement_envelope_id": world.open_id,
            "number_of_beneficiaries": 1000,
            "number_of_disbursements": 1000,
            "total_disbursement_amount": "1000000.00",
            "disbursement_schedule_date": "2099-12-31",
        },
        "cancel_disbursement_envelope": {
            "disbursement_envelope_id": world.open_id,
            "reason": "a reason",
        },
        "create_disbursements": {
            "disbursement_envelope_id": world.open_id,
            "disbursements": [row()],
            "idempotency_key": "hostile",
        },
        "cancel_disbursements": {"disbursement_ids": world.open_payments, "reason": "a reason"},
        "get_disbursement_envelope_status": {"disbursement_envelope_id": world.open_id},
        "get_disbursement_status": {"disbursement_ids": world.open_payments},
        "get_disbursement_changes": {"cursor": "", "limit": 10},
        "get_disbursement_exceptions": {
            "disbursement_envelope_id": world.open_id,
            "only_open": True,
            "cursor": "",
            "limit": 10,
        },
        "correct_disbursements": {
            "disbursements": [{"disbursement_id": world.sent_id, "narrative": "Again"}],
            "disbursement_schedule_date": "2099-12-31",
            "reason": "a reason",
            "idempotency_key": "hostile-correction",
        },
        "upload_mt940": {"statement": ":20:X"},
        "update_status_of_disbursements": {
            "updates": [{"disbursement_id": world.sent_id, "status": "rejected"}]
        },
    }


BANK_METHODS = ("upload_mt940", "update_status_of_disbursements")
ARGUMENTS = sorted(
    (method, name)
    for method, arguments in calls(
        SimpleNamespace(mnemonic="", open_id="", open_payments=[], sent_id="")
    ).items()
    for name in arguments
)


# -- asking -------------------------------------------------------------------------------------


def body_of(world, door, method, text):
    """Return (path, body as bytes, headers) of a call whose named arguments are this JSON."""
    who = "bank" if method in BANK_METHODS else "pbms"
    key = world.users[who][1]
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    headers = {"Content-Type": "application/json"}
    if door == "json2":
        headers["Authorization"] = f"bearer {key}"
        return f"/json/2/{BRIDGE}/{method}", content, headers
    head = json.dumps([world.stack.db, world.uids[who], key, BRIDGE, method, []])[:-1]
    start = '{"jsonrpc": "2.0", "id": 1, "params": {"service": "object", "method": "execute_kw",'
    return "/jsonrpc", f'{start} "args": {head}, '.encode() + content + b"]}}", headers


def ask(world, door, method, arguments):
    """Call a method with raw JSON (text or bytes) or with values, and return what came back.

    :return: object with ``status`` (HTTP), ``code`` (of the bridge, or None), ``rows``, ``answer``
        (None for a refusal), ``name`` of the exception
    """
    text = arguments if isinstance(arguments, str | bytes) else json.dumps(arguments)
    path, body, headers = body_of(world, door, method, text)
    try:
        response = world.session.post(
            f"{world.stack.url}{path}", data=body, headers=headers, timeout=300
        )
    except requests.ConnectionError:
        return SimpleNamespace(status=CLOSED, code=None, rows=[], answer=None, name="")
    try:
        found = response.json()
    except ValueError:
        found = {}
    error = found
    if door == "jsonrpc":
        error = found.get("error", {}).get("data", {})
        is_accepted = "result" in found
    else:
        is_accepted = response.status_code == 200
    code, rows = None, []
    if not is_accepted and error.get("name", "").endswith("BridgeError"):
        code, rows = error["arguments"]
        assert response.status_code == (422 if door == "json2" else 200)
    return SimpleNamespace(
        status=response.status_code,
        code=code,
        rows=rows,
        answer=(found["result"] if door == "jsonrpc" else found) if is_accepted else None,
        name="" if is_accepted else error.get("name", ""),
    )


def assert_refused(world, door, method, arguments):
    """A refusal with a code that docs/api.md has for the method; return it."""
    outcome = ask(world, door, method, arguments)
    assert outcome.code in CODES, (outcome, arguments)
    assert re.search(rf"\b{method}\b", CODES[outcome.code]), (outcome, arguments)
    for each in outcome.rows:
        assert set(each["response_error_codes"]) <= set(CODES)
    return outcome


def records(world):
    """Return how much there is of the world in each model that a call of its users writes.

    Only of this world: jobs of others on the stack may still be at work.
    """

    def count(model, *domain):
        return world.admin.execute(model, "search_count", list(domain))

    program = [("program_id", "=", world.program_id)]
    of_program = [("envelope_id.program_id", "=", world.program_id)]
    envelopes = world.admin.execute("g2p.disbursement.envelope", "search", program)
    chatter = [("model", "=", "g2p.disbursement.envelope"), ("res_id", "in", envelopes)]
    return [
        len(envelopes),
        count("g2p.disbursement", *of_program),
        count("g2p.disbursement.journal", *of_program),
        count("g2p.account.statement", ("account_id", "=", world.account_id)),
        count("mail.message", *chatter),
    ]


@pytest.fixture
def unchanged(world):
    """Let the test run, then assert that it left no record, moved no payment and killed nobody."""
    workers = sorted(world.stack.worker_pids())
    before = records(world), world.pbms.status(), states(world)
    with quiet(world.stack, ERRORS):
        yield
        after = records(world), world.pbms.status(), states(world)
    assert after == before
    assert sorted(world.stack.worker_pids()) == workers


def states(world):
    ids = [*world.open_payments, world.sent_id]
    found = world.pbms.call("get_disbursement_status", disbursement_ids=ids)
    return [each["status"] for each in found]


# -- one argument wrong -------------------------------------------------------------------------


def is_text(value):
    """Say whether a text is one for the documented rule, told in other words than the code's."""
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def may_be_taken(method, name, value):
    """Say whether a value is, or may be, one that the method takes for this argument."""
    optional = method == "amend_disbursement_envelope" or name in ("idempotency_key", "reason")
    if optional and (value is None or value is False or value == ""):
        return name != "disbursement_envelope_id"
    if name in ("cycle_code_mnemonic", "idempotency_key", "reason"):
        return isinstance(value, str) and not _has_control(value)
    if name.startswith(("number_of", "total")):
        if isinstance(value, str):
            return name.startswith("total") and bool(re.fullmatch(r"[0-9.]+", value))
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0.01
    return method.startswith("get_")


def _has_control(value):
    return any(ord(character) < 32 for character in value)


@guarded
@each_door
@many
@given(which=st.sampled_from(ARGUMENTS), value=values)
def test_any_value_in_any_argument(world, door, which, value):
    method, name = which
    arguments = calls(world)[method]
    assume(not may_be_taken(method, name, value))
    assume(value != arguments[name])
    assert_refused(world, door, method, {**arguments, name: value})


@guarded
@each_door
@many
@given(
    which=st.sampled_from([pair for pair in ARGUMENTS if pair[0].startswith("get_")]), value=values
)
def test_any_value_in_a_question_is_answered_or_refused(world, door, which, value):
    method, name = which
    outcome = ask(world, door, method, {**calls(world)[method], name: value})
    if outcome.answer is None:
        assert re.search(rf"\b{method}\b", CODES[outcome.code])


# -- one field of a row wrong -------------------------------------------------------------------

ROW_CODES = {
    "mis_reference_number": "INVALID_MIS_REFERENCE_NUMBER",
    "beneficiary_id": "INVALID_BENEFICIARY_ID",
    "beneficiary_name": "INVALID_BENEFICIARY_NAME",
    "disbursement_amount": "INVALID_DISBURSEMENT_AMOUNT",
    "narrative": "INVALID_NARRATIVE",
}
UPDATE_CODES = {
    "disbursement_id": "INVALID_DISBURSEMENT_ID",
    "status": "INVALID_STATUS",
    "bank_reference": "INVALID_BANK_REFERENCE",
    "reason_code": "INVALID_BANK_REFERENCE",
    "value_date": "INVALID_VALUE_DATE",
}


@guarded
@each_door
@many
@given(name=st.sampled_from(sorted(ROW_CODES)), value=values)
def test_any_value_in_a_field_of_a_row_is_named_with_its_code(world, door, name, value):
    if name == "disbursement_amount":
        assume(not may_be_taken("create_disbursements", "total", value))
    else:
        assume(not isinstance(value, str) or _has_control(value))
    rows = [row(mis_reference_number="GOOD"), row(**{name: value})]
    arguments = {**calls(world)["create_disbursements"], "disbursements": rows}
    outcome = assert_refused(world, door, "create_disbursements", arguments)
    assert outcome.code == "INVALID_DISBURSEMENT_PAYLOAD"
    [error] = outcome.rows
    assert (error["index"], error["response_error_codes"]) == (1, [ROW_CODES[name]])


@guarded
@each_door
@many
@given(name=st.sampled_from(sorted(UPDATE_CODES)), value=values)
def test_any_value_in_a_field_of_an_update_is_named_with_its_code(world, door, name, value):
    is_optional = name not in ("disbursement_id", "status")
    assume(not is_optional or not (value is None or value is False or value == ""))
    if UPDATE_CODES[name] == "INVALID_BANK_REFERENCE":
        assume(not isinstance(value, str) or _has_control(value))
    update = {"disbursement_id": world.sent_id, "status": "rejected", name: value}
    arguments = {"updates": [update]}
    outcome = assert_refused(world, door, "update_status_of_disbursements", arguments)
    assert [each["response_error_codes"] for each in outcome.rows] == [[UPDATE_CODES[name]]]


@guarded
@each_door
@many
@given(value=values)
def test_a_row_of_any_form_is_named(world, door, value):
    arguments = {**calls(world)["create_disbursements"], "disbursements": [value]}
    assert_refused(world, door, "create_disbursements", arguments)
    assert_refused(world, door, "update_status_of_disbursements", {"updates": [value]})
    assert_refused(world, door, "cancel_disbursements", {"disbursement_ids": [value]})


AMOUNTS = [
    *("1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1e16", "1e-3", "0.001", "0", "-0.01"),
    *("true", "null", '"1e5"', '"1,00"', '" 1"', '"1."', '".5"', '"+1"', '"0x1"', '"NaN"'),
    *('"\\u0661"', '"\\uff11"', '"1\\u0000"', f'"{"9" * 5000}"', "9" * 4000, "[1]"),
    f'"{"0" * 5000}.001"',
]


@guarded
@each_door
def test_what_is_no_amount_is_refused_as_total_and_in_a_row(world, door):
    one_row = {
        **calls(world)["create_disbursements"],
        "disbursements": [row(disbursement_amount="HERE")],
    }
    total = envelope(world, total_disbursement_amount="HERE")
    for amount in AMOUNTS:
        text = json.dumps(total).replace('"HERE"', amount)
        outcome = assert_refused(world, door, "create_disbursement_envelope", text)
        assert outcome.code == "INVALID_TOTAL_DISBURSEMENT_AMOUNT"
        text = json.dumps(one_row).replace('"HERE"', amount)
        outcome = assert_refused(world, door, "create_disbursements", text)
        assert outcome.rows[0]["response_error_codes"] == ["INVALID_DISBURSEMENT_AMOUNT"]


CONTROLS = [
    *("\0", "\x07", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"),
    *("\u202e", "\u2066", "\ud800", "\udfff", "\uffff", "\ufdd0", "\ufffd"),
]
TEXTS = (
    ("create_disbursement_envelope", "cycle_code_mnemonic", "INVALID_CYCLE_CODE_MNEMONIC"),
    ("create_disbursement_envelope", "idempotency_key", "INVALID_IDEMPOTENCY_KEY"),
    ("create_disbursements", "idempotency_key", "INVALID_IDEMPOTENCY_KEY"),
    ("cancel_disbursement_envelope", "reason", "INVALID_REASON"),
    ("cancel_disbursements", "reason", "INVALID_REASON"),
)


@guarded
@each_door
def test_a_control_character_is_refused_in_every_text(world, door):
    for text in (f"a{character}b" for character in CONTROLS):
        codes = {**ROW_CODES}
        del codes["disbursement_amount"]
        one_row = {
            **calls(world)["create_disbursements"],
            "disbursements": [row(**dict.fromkeys(codes, text))],
        }
        outcome = assert_refused(world, door, "create_disbursements", one_row)
        assert sorted(outcome.rows[0]["response_error_codes"]) == sorted(codes.values())
        for method, name, code in TEXTS:
            outcome = assert_refused(world, door, method, {**calls(world)[method], name: text})
            assert outcome.code == code


@guarded
@each_door
def test_a_text_with_nothing_to_see_is_refused(world, door):
    for text in ("", " ", "\u00a0\u3000", "\u200b", "\u200d\u200e", "\ufeff"):
        arguments = {
            **calls(world)["create_disbursements"],
            "disbursements": [row(beneficiary_name=text)],
        }
        outcome = assert_refused(world, door, "create_disbursements", arguments)
        assert outcome.rows[0]["response_error_codes"] == ["INVALID_BENEFICIARY_NAME"]


@guarded
@each_door
def test_zero_is_no_way_to_leave_an_argument_out(world, door):
    for method, name in (
        ("amend_disbursement_envelope", "number_of_disbursements"),
        ("amend_disbursement_envelope", "total_disbursement_amount"),
        ("create_disbursements", "idempotency_key"),
        ("cancel_disbursements", "reason"),
    ):
        for zero in (0, 0.0):
            assert_refused(world, door, method, {**calls(world)[method], name: zero})


# -- bodies -------------------------------------------------------------------------------------


@guarded
@each_door
def test_huge_texts_and_lists_are_refused_with_their_code(world, door):
    huge = "x" * (10 * MIB)
    base = calls(world)["create_disbursements"]
    arguments = {**base, "disbursements": [row(beneficiary_name=huge)]}
    outcome = assert_refused(world, door, "create_disbursements", arguments)
    assert outcome.rows[0]["response_error_codes"] == ["INVALID_BENEFICIARY_NAME"]
    arguments = {**base, "disbursements": [row(mis_reference_number=huge)]}
    outcome = assert_refused(world, door, "create_disbursements", arguments)
    assert len(outcome.rows[0]["mis_reference_number"]) <= 128
    for name in ("disbursement_envelope_id", "idempotency_key"):
        assert_refused(world, door, "create_disbursements", {**base, name: huge})
    arguments = {**base, "disbursements": [row()] * 300_000}  # some 50 MB
    outcome = assert_refused(world, door, "create_disbursements", arguments)
    assert outcome.code == "TOO_MANY_DISBURSEMENTS_IN_CALL"
    outcome = assert_refused(world, door, "upload_mt940", {"statement": "x" * (50 * MIB)})
    assert outcome.code == "STATEMENT_TOO_LARGE"
    arguments = {"cursor": huge, "limit": 1}
    assert assert_refused(world, door, "get_disbursement_changes", arguments)


@guarded
@each_door
def test_nesting_that_python_can_read_is_refused_by_the_bridge(world, door):
    deep = "[" * 900 + "]" * 900
    for method, name in ARGUMENTS:
        if (method, name) != ("get_disbursement_status", "disbursement_ids"):
            text = json.dumps({**calls(world)[method], name: "HERE"}).replace('"HERE"', deep)
            assert_refused(world, door, method, text)


@guarded
@each_door
def test_of_a_key_that_is_there_twice_the_last_counts(world, door):
    """So says Python's json; a caller cannot smuggle a second amount past the checks."""
    text = json.dumps({**calls(world)["create_disbursements"], "disbursements": "HERE"})
    one = json.dumps(row())[:-1]
    text = text.replace('"HERE"', f'[{one}, "disbursement_amount": -5}}]')
    outcome = assert_refused(world, door, "create_disbursements", text)
    assert outcome.rows[0]["response_error_codes"] == ["INVALID_DISBURSEMENT_AMOUNT"]


@guarded
@each_door
def test_bytes_that_are_no_utf_8_are_refused_in_a_name(world, door):
    """Odoo reads them as U+FFFD: a name in Latin-1 must not be paid out spoiled."""
    text = json.dumps({**calls(world)["create_disbursements"], "disbursements": [row()]})
    for name in (b"Zo\xeb", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80"):
        outcome = assert_refused(
            world, door, "create_disbursements", text.encode().replace(b"A name", name)
        )
        assert outcome.rows[0]["response_error_codes"] == ["INVALID_BENEFICIARY_NAME"]


#: bodies that are no JSON for Python, or no object of arguments: name -> bytes
MALFORMED = {
    "nothing in it": b" ",
    "half": b'{"disbursement_envelope_id": ',
    "raw control character": b'{"disbursement_envelope_id": "a\nb"}',
    "nul": b'{"disbursement_envelope_id": "a"}\0',
    "number of 5000 digits": b'{"disbursement_envelope_id": ' + b"9" * 5000 + b"}",
    "50 MB of garbage": b"\xff" * (50 * MIB),
    "50 MB of brackets": b"[" * (50 * MIB),
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}
#: deeper than Python's reader goes: it gives up with a RecursionError, which Odoo does not expect
TOO_DEEP = {"50 MB of brackets", "100,000 levels", "100,000 objects"}


@each_door
@pytest.mark.parametrize("name", MALFORMED)
def test_odoo_refuses_a_malformed_body_before_the_bridge_sees_it(world, door, name):
    """Known behaviour of Odoo's dispatchers: HTTP 400, but for nesting that is too deep.

    That is HTTP 500 on /json/2 and an error in the body of HTTP 200 on /jsonrpc, with an ERROR in
    the log. Nothing of the bridge has run by then.
    """
    before, workers = records(world), sorted(world.stack.worker_pids())
    outcome = ask(world, door, "create_disbursements", MALFORMED[name])
    assert outcome.answer is None
    assert outcome.code is None
    if name in TOO_DEEP:
        assert outcome.status == (500 if door == "json2" else 200)
        assert outcome.name == "builtins.RecursionError"
    else:
        assert outcome.status == 400
    assert records(world) == before
    assert sorted(world.stack.worker_pids()) == workers


@each_door
def test_odoo_refuses_an_unknown_argument_before_the_bridge_sees_it(world, door):
    """On /json/2 with HTTP 422; on /jsonrpc Odoo logs a TypeError, which is its own."""
    before = records(world)
    for method, arguments in calls(world).items():
        outcome = ask(world, door, method, {**arguments, "no_such_argument": 1})
        assert outcome.answer is None, method
        if door == "json2":
            assert outcome.status == 422
        else:
            assert outcome.name == "builtins.TypeError"
    assert records(world) == before


# -- what is taken ------------------------------------------------------------------------------


@each_door
@pytest.mark.parametrize(
    "context",
    [
        {"default_state": "funds_blocked", "default_funds_blocked_reference_number": "MINE"},
        {"default_approved_by_id": 2, "default_is_paused": True, "default_resume_state": "ready"},
        {"queue_job__no_delay": True, "tracking_disable": True, "mail_notrack": True},
    ],
)
def test_the_callers_context_decides_nothing(world, door, context):
    arguments = envelope(world, number_of_disbursements=1, total_disbursement_amount="10.00")
    made = ask(
        world, door, "create_disbursement_envelope", {**arguments, "context": context}
    ).answer
    assert made["number_of_disbursements"] == 1
    envelope_id = made["disbursement_envelope_id"]
    [found] = world.admin.execute(
        "g2p.disbursement.envelope",
        "search_read",
        [("disbursement_envelope_id", "=", envelope_id)],
        ["state", "funds_blocked_reference_number", "approved_by_id", "is_paused", "message_ids"],
    )
    assert len(found.pop("message_ids")) == 1  # created, with who and when
    del found["id"]
    assert found == {
        "state": "receiving",
        "funds_blocked_reference_number": False,
        "approved_by_id": False,
        "is_paused": False,
    }


def test_an_archived_program_stays_so_whatever_the_context_says(new_world):
    world = new_world(mapper=None)
    world.admin.execute("g2p.benefit.program", "write", [world.program_id], {"active": False})
    world.users = {"pbms": (world.login, world.key)}
    world.uids = {"pbms": world.stack.rpc(world.login, world.key).uid}
    world.session = requests.Session()
    for door in DOORS:
        arguments = {**envelope(world), "context": {"active_test": False}}
        outcome = ask(world, door, "create_disbursement_envelope", arguments)
        assert outcome.code == "INVALID_PROGRAM_MNEMONIC"


# ruff: noqa: RUF001 - letters that look like others are what this is about
NAMES = [
    "محمد بن عبد الله",
    "अनुष्का क्षत्रिय",
    "ก๋วยเตี๋ยว ผู้ใหญ่",
    "Zoë e\u0301 Ünïcödé \N{LATIN SMALL LETTER DOTLESS I}\N{COMBINING DOT ABOVE}",
    "می\u200cخواهم",  # a joiner that Persian is not written without
    "\u200fעברית mixed with English 123\u200e",
    "👩\u200d👩\u200d👧 and 𠜎𠜱",
    "Z" + "\u0301\u0327\u0323" * 40,
    "x'; DROP TABLE g2p_disbursement; --",
    "100% _like_ \\ \\N \\. $$ {0} %s %(id)s",
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    '"quoted", =HYPERLINK("http://example.com"), @SUM(1)',
    ":61:2611230000D1,00NTRFNONREF",
    "-}{5:}",
]


def test_a_legal_text_of_any_script_arrives_at_the_bank_unchanged(new_world):
    """And what is sent after it is not disturbed: rows are text, never SQL, JSON or MT940."""
    world = new_world(mapper=None)
    drawn = drawn_words(200)
    names = [*NAMES, *drawn]
    world.pbms.amounts = {f"MIS{number:07d}": Decimal(1) for number in range(len(names))}
    world.pbms.create_envelope("2026-11", CURRENCY, today())
    rows = [
        row(
            mis_reference_number=reference,
            beneficiary_id=f"{name[:100]} {reference}",
            beneficiary_name=name,
            narrative=name[::-1].strip() if name in drawn else name,
            disbursement_amount=1,
        )
        for reference, name in zip(world.pbms.amounts, names, strict=True)
    ]
    answer = world.pbms.call(
        "create_disbursements",
        disbursement_envelope_id=world.pbms.envelope_id,
        disbursements=rows,
    )
    for sent, got in zip(rows, answer, strict=True):
        assert {name: got[name] for name in ("beneficiary_name", "narrative")} == {
            name: sent[name] for name in ("beneficiary_name", "narrative")
        }
    wait_for(world, received=len(names), shipped=len(names))
    at_bank = {payment["reference"]: payment for payment in world.ledger()["payments"]}
    for sent, got in zip(rows, answer, strict=True):
        order = at_bank[got["disbursement_id"]]
        assert order["beneficiary_name"] == sent["beneficiary_name"]
        assert sent["narrative"] in order["narrative"]
    world.settle()
    wait_for(world, reconciled=len(names))


def drawn_words(count):
    """Return texts that hypothesis draws, the same ones each time."""
    found = []

    @settings(max_examples=2 * count, derandomize=True, database=None, deadline=None)
    @given(words)
    def draw(text):
        text = text.strip()
        if is_text(text) and any(character.isalnum() for character in text):
            found.append(text)

    draw()
    assert len(set(found)) >= count // 2
    return found[:count]


@each_door
@pytest.mark.parametrize("filename", [None, 5, [], {}, "a\0b", "../../etc/passwd\n", "x" * 10_000])
def test_an_unusable_filename_is_ignored(world, door, filename):
    balance = f"C{today():%y%m%d}USD1,00"
    reference = f"{door}{filename!r}"[:12].encode("ascii", "replace").hex().upper()
    head = f":20:{reference}\n:25:{world.account_number}\n:28C:1/1\n"
    statement = f"{head}:60F:{balance}\n:62F:{balance}\n-\n"
    answer = ask(world, door, "upload_mt940", {"statement": statement, "filename": filename}).answer
    [found] = world.admin.execute(
        "g2p.account.statement",
        "search_read",
        [("name", "=", answer["statement_id"])],
        ["filename"],
    )
    assert found["filename"] is False
