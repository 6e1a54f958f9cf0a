"""A program system written for OpenG2P's bridge changes its base URL, and everything works.

The replies are compared as text: names, order, types and nulls are those that release 1.1.0 of that
bridge answers. Ids and times are each side's own.
"""

import json
import re
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator
from openg2p import PREFIX, Partner
from test_whole_way import ERRORS, beneficiaries, quiet, today, wait_for

pytestmark = pytest.mark.stack

MIB = 1024 * 1024
#: of the peer's OpenAPI document; create_benefit_program_configuration is a screen here
PEER_PATHS = {
    "/create_disbursement_envelope",
    "/cancel_disbursement_envelope",
    "/amend_disbursement_envelope",
    "/create_disbursements",
    "/cancel_disbursements",
    "/upload_mt940",
    "/get_disbursement_status",
    "/get_disbursement_envelope_status",
    "/ping",
}
ENVELOPE = (
    "id",
    "disbursement_envelope_id",
    "benefit_program_mnemonic",
    "disbursement_frequency",
    "cycle_code_mnemonic",
    "number_of_beneficiaries",
    "number_of_disbursements",
    "total_disbursement_amount",
    "disbursement_currency_code",
    "disbursement_schedule_date",
)
ROW = (
    "id",
    "mis_reference_number",
    "disbursement_id",
    "disbursement_envelope_id",
    "beneficiary_id",
    "beneficiary_name",
    "disbursement_amount",
    "narrative",
    "receipt_time_stamp",
    "cancellation_status",
    "cancellation_time_stamp",
    "response_error_codes",
)


@pytest.fixture(scope="module")
def world(new_world):
    world = new_world()
    world.link(beneficiaries(40))
    world.partner = trusted(world)
    return world


def trusted(world, sender_id=None, **values):
    """Return a partner whose key the bridge trusts, as the program system's user."""
    partner = Partner(world.stack.url, sender_id or f"pbms-{world.mnemonic.lower()}")
    [user] = world.admin.execute("res.users", "search", [("login", "=", world.login)])
    partner.record = world.create(
        "g2p.trusted.key",
        **{
            "sender_id": partner.sender_id,
            "api_user_id": user,
            "public_key": partner.public_key,
            **values,
        },
    )
    return partner


@pytest.fixture
def partner(world):
    return world.partner


def envelope(world, count=3, amount=100, day=None, **other):
    return {
        "benefit_program_mnemonic": world.mnemonic,
        "disbursement_frequency": "Monthly",
        "cycle_code_mnemonic": "2026-11",
        "number_of_beneficiaries": count,
        "number_of_disbursements": count,
        "total_disbursement_amount": count * amount,
        "disbursement_currency_code": "USD",
        "disbursement_schedule_date": (day or today()).isoformat(),
        **other,
    }


def tomorrow():
    return today() + timedelta(days=1)


def rows(envelope_id, numbers, amount=100):
    return [
        {
            "mis_reference_number": f"MIS-BEN{number:06d}",
            "disbursement_envelope_id": envelope_id,
            "beneficiary_id": f"BEN{number:06d}",
            "beneficiary_name": f"Person {number}",
            "disbursement_amount": amount,
            "narrative": "Monthly food grant",
        }
        for number in numbers
    ]


def opened(world, count=3, day=None, **other):
    """Open an envelope, and return its id."""
    message = envelope(world, count, day=day, **other)
    reply = world.partner.call("create_disbursement_envelope", message)
    assert reply["header"]["status"] == "succ", reply
    return reply["message"]["disbursement_envelope_id"]


def reply_text(body, code, message):
    """Return the reply that OpenG2P's bridge gives, with a placeholder for its time."""
    header = {
        "version": "1.0.0",
        "message_id": body["header"]["message_id"],
        "message_ts": "TIME",
        "action": body["header"]["action"],
        "status": "rjct" if code else "succ",
        "status_reason_code": None,
        "status_reason_message": code,
        "total_count": None,
        "completed_count": None,
        "sender_id": None,
        "receiver_id": None,
        "is_msg_encrypted": False,
        "meta": {},
    }
    reply = {"header": header, "message": message}
    return json.dumps(reply, separators=(",", ":"), ensure_ascii=False)


def assert_replied(response, body, code, message):
    """The reply is, byte for byte but for its time, what OpenG2P's bridge answers."""
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    time = r'"message_ts":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"'
    found, count = re.subn(time, '"message_ts":"TIME"', response.content.decode())
    assert count == 1
    assert found == reply_text(body, code, message)


def assert_refused(world, name, code, message, expected, **header):
    """A message is refused with the code, and the reply's message is the expected one."""
    body = world.partner.body(name, message, **header)
    assert_replied(world.partner.send(name, body), body, code, expected)


NO_ENVELOPE = dict.fromkeys(ENVELOPE)
NOT_SUPPORTED = "rjct.action.not_supported"


def row_reply(row, codes, **other):
    """Return a row as a reply repeats it."""
    reply = {name: row.get(name) for name in ROW} | {"response_error_codes": codes, **other}
    if reply["disbursement_amount"] is not None:
        reply["disbursement_amount"] = float(reply["disbursement_amount"])
    return reply


# -- the captured calls, one by one --------------------------------------------------------------


def test_an_envelope_is_opened(world, partner):
    message = envelope(world)
    body = partner.body("create_disbursement_envelope", message)
    response = partner.send("create_disbursement_envelope", body)
    given = response.json()["message"]["disbursement_envelope_id"]
    expected = {"id": None, "disbursement_envelope_id": given, **message}
    assert_replied(response, body, "", expected | {"total_disbursement_amount": 300.0})
    assert len(given) == 16


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("benefit_program_mnemonic", "NOPE", "INVALID_PROGRAM_MNEMONIC"),
        ("cycle_code_mnemonic", "", "INVALID_CYCLE_CODE_MNEMONIC"),
        ("number_of_beneficiaries", 0, "INVALID_NO_OF_BENEFICIARIES"),
        ("number_of_disbursements", 0, "INVALID_NO_OF_DISBURSEMENTS"),
        ("total_disbursement_amount", -1, "INVALID_TOTAL_DISBURSEMENT_AMOUNT"),
        ("disbursement_schedule_date", "2020-01-01", "INVALID_DISBURSEMENT_SCHEDULE_DATE"),
        # the peer answers HTTP 500, or checks nothing
        ("disbursement_frequency", None, "INVALID_DISBURSEMENT_FREQUENCY"),
        ("number_of_disbursements", None, "INVALID_NO_OF_DISBURSEMENTS"),
        ("total_disbursement_amount", None, "INVALID_TOTAL_DISBURSEMENT_AMOUNT"),
        ("disbursement_schedule_date", None, "INVALID_DISBURSEMENT_SCHEDULE_DATE"),
        ("disbursement_currency_code", "XXX", "INVALID_DISBURSEMENT_CURRENCY_CODE"),
    ],
)
def test_an_envelope_is_refused_with_its_code(world, field, value, code):
    message = envelope(world, **{field: value})
    assert_refused(world, "create_disbursement_envelope", code, message, NO_ENVELOPE)


def test_the_action_must_name_the_call_where_the_peer_checks_it(world):
    name = "create_disbursement_envelope"
    other = {"action": "something_else"}
    assert_refused(world, name, NOT_SUPPORTED, envelope(world), NO_ENVELOPE, **other)
    message = {"disbursement_envelope_id": opened(world)}
    name = "cancel_disbursement_envelope"
    assert_refused(world, name, NOT_SUPPORTED, message, NO_ENVELOPE, action="x")


def test_a_frequency_of_no_list_is_a_bad_request(partner, world):
    name = "create_disbursement_envelope"
    body = partner.body(name, envelope(world, disbursement_frequency="Hourly"))
    response = partner.send(name, body)
    assert response.status_code == 400
    sentence = (
        "Invalid Input. Input should be 'Daily', 'Weekly', 'Fortnightly', 'Monthly', 'BiMonthly', "
        "'Quarterly', 'SemiAnnually', 'Annually' or 'OnDemand'"
    )
    assert response.json() == {"errors": [{"code": "G2P-REQ-102", "message": sentence}]}


def test_an_envelope_is_amended(world, partner):
    given = opened(world, day=tomorrow())
    message = envelope(world, 5, day=tomorrow(), disbursement_envelope_id=given)
    name = "amend_disbursement_envelope"
    body = partner.body(name, message)
    expected = {each: message.get(each) for each in ENVELOPE}
    expected["total_disbursement_amount"] = 500.0
    assert_replied(partner.send(name, body), body, "", expected)
    of_today = {**message, "disbursement_envelope_id": opened(world)}
    assert_refused(world, name, "DISBURSEMENT_ENVELOPE_DATE_PASSED", of_today, NO_ENVELOPE)
    unknown = {**message, "disbursement_envelope_id": "no-such-envelope"}
    assert_refused(world, name, "DISBURSEMENT_ENVELOPE_NOT_FOUND", unknown, NO_ENVELOPE)


def test_an_envelope_is_cancelled_once(world, partner):
    message = {"disbursement_envelope_id": opened(world, day=tomorrow())}
    name = "cancel_disbursement_envelope"
    body = partner.body(name, message)
    assert_replied(partner.send(name, body), body, "", NO_ENVELOPE | message)
    again = "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"
    assert_refused(world, name, again, message, NO_ENVELOPE)
    unknown = {"disbursement_envelope_id": "no-such-envelope"}
    assert_refused(world, name, "DISBURSEMENT_ENVELOPE_NOT_FOUND", unknown, NO_ENVELOPE)
    amendment = envelope(world, 5, day=tomorrow(), **message)
    assert_refused(world, "amend_disbursement_envelope", again, amendment, NO_ENVELOPE)


def test_payments_are_taken_and_each_gets_its_id(world, partner):
    given = opened(world, day=tomorrow())
    message = rows(given, (11, 12, 13))
    name = "create_disbursements"
    body = partner.body(name, message)
    response = partner.send(name, body)
    ids = [row["disbursement_id"] for row in response.json()["message"]]
    expected = [
        row_reply(row, [], disbursement_id=one) for row, one in zip(message, ids, strict=True)
    ]
    assert_replied(response, body, "", expected)
    assert len({one for one in ids if re.fullmatch("[A-Z0-9]{16}", one)}) == 3


def test_payments_are_refused_with_the_codes_of_the_peer(world):
    given, other = opened(world, day=tomorrow()), opened(world, day=tomorrow())
    refused = [
        ("NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED", rows(given, (1, 2, 3, 4))),
        ("TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED", rows(given, (1,), amount=5000)),
        ("DISBURSEMENT_ENVELOPE_NOT_FOUND", rows("no-such-envelope", (1,))),
        ("MULTIPLE_ENVELOPES_FOUND", rows(given, (1,)) + rows(other, (2,))),
        ("INVALID_DISBURSEMENT_PAYLOAD", []),  # HTTP 500 at the peer
    ]
    for code, message in refused:
        expected = [row_reply(row, None) for row in message]
        assert_refused(world, "create_disbursements", code, message, expected)
    bad = {"beneficiary_id": "", "beneficiary_name": "", "disbursement_amount": 0, "narrative": ""}
    [good, wrong] = rows(given, (1, 2))
    message = [good, {**wrong, **bad}]
    order = [
        "INVALID_DISBURSEMENT_AMOUNT",
        "INVALID_BENEFICIARY_ID",
        "INVALID_BENEFICIARY_NAME",
        "INVALID_NARRATIVE",
    ]
    expected = [row_reply(good, []), row_reply(message[1], order)]
    name = "create_disbursements"
    assert_refused(world, name, "INVALID_DISBURSEMENT_PAYLOAD", message, expected)
    message = [{**good, "disbursement_amount": None}]  # HTTP 500 at the peer
    expected = [row_reply(message[0], ["INVALID_DISBURSEMENT_AMOUNT"])]
    assert_refused(world, name, "INVALID_DISBURSEMENT_PAYLOAD", message, expected)
    assert received(world, given) == (0, 0)


def received(world, given):
    status = world.partner.call("get_disbursement_envelope_status", given)["message"]
    return (
        status["number_of_disbursements_received"],
        status["total_disbursement_amount_received"],
    )


def test_payments_are_cancelled(world, partner):
    given, other = opened(world, day=tomorrow()), opened(world, day=tomorrow())
    name = "create_disbursements"
    first, second, _third = [
        row["disbursement_id"] for row in partner.call(name, rows(given, (1, 2, 3)))["message"]
    ]
    [elsewhere] = partner.call(name, rows(other, (4,)))["message"]
    name = "cancel_disbursements"

    def message(*ids):
        return [{"disbursement_id": one, "response_error_codes": []} for one in ids]

    def expected(*ids, codes=()):
        given_codes = dict(codes)
        return [row_reply({"disbursement_id": one}, given_codes.get(one, [])) for one in ids]

    body = partner.body(name, message(first))
    assert_replied(partner.send(name, body), body, "", expected(first))
    for code, ids, codes in (
        ("INVALID_DISBURSEMENT_PAYLOAD", [first], {first: ["DISBURSEMENT_ALREADY_CANCELED"]}),
        ("INVALID_DISBURSEMENT_ID", ["no-such-id"], {}),
        (
            "INVALID_DISBURSEMENT_PAYLOAD",
            [second, "no-such-id"],
            {"no-such-id": ["INVALID_DISBURSEMENT_ID"]},
        ),
        ("MULTIPLE_ENVELOPES_FOUND", [second, elsewhere["disbursement_id"]], {}),
    ):
        assert_refused(world, name, code, message(*ids), expected(*ids, codes=codes))
    assert_refused(world, name, "INVALID_DISBURSEMENT_PAYLOAD", [], [])


def test_an_envelope_is_followed_from_the_first_row_to_the_reversal(world, partner):
    closed = f"CLOSED{world.account_number}"
    world.link(["BEN000103"], account_number=closed)
    world.at_bank("/admin/beneficiaries", beneficiary=closed, reason="ACCOUNT_CLOSED")
    given = opened(world)
    name = "get_disbursement_envelope_status"
    body = partner.body(name, given)
    nothing = {
        "disbursement_envelope_id": given,
        "number_of_disbursements_received": 0,
        "total_disbursement_amount_received": 0,
        "funds_available_with_bank": "PENDING_CHECK",
        "funds_available_latest_timestamp": None,
        "funds_available_latest_error_code": "",
        "funds_available_attempts": 0,
        "funds_blocked_with_bank": "PENDING_CHECK",
        "funds_blocked_latest_timestamp": None,
        "funds_blocked_latest_error_code": "",
        "funds_blocked_attempts": 0,
        "funds_blocked_reference_number": None,
        "id_mapper_resolution_required": True,
        "number_of_disbursements_shipped": 0,
        "number_of_disbursements_reconciled": 0,
        "number_of_disbursements_reversed": 0,
    }
    assert_replied(partner.send(name, body), body, "", nothing)
    created = partner.call("create_disbursements", rows(given, (1, 2, 103)))["message"]
    ids = [row["disbursement_id"] for row in created]
    world.pbms.envelope_id = given
    wait_for(world, shipped=3)
    waiting = partner.call("get_disbursement_status", [*ids[:1], "no-such-id"])["message"]
    no_records = {"disbursement_recon_payloads": [], "disbursement_error_recon_payloads": []}
    assert waiting == [
        {"disbursement_id": one, "disbursement_recon_records": no_records}
        for one in (ids[0], "no-such-id")
    ]
    world.settle()
    wait_for(world, reconciled=3, reversed=1)
    response = partner.send(name, body)
    status = response.json()["message"]
    paid = {
        **nothing,
        "number_of_disbursements_received": 3,
        "total_disbursement_amount_received": 300,
        "funds_available_with_bank": "FUNDS_AVAILABLE",
        "funds_available_latest_error_code": None,
        "funds_available_attempts": 1,
        "funds_blocked_with_bank": "FUNDS_BLOCK_SUCCESS",
        "funds_blocked_latest_error_code": None,
        "funds_blocked_attempts": 1,
        "number_of_disbursements_shipped": 3,
        "number_of_disbursements_reconciled": 3,
        "number_of_disbursements_reversed": 1,
    }
    own = (
        "funds_available_latest_timestamp",
        "funds_blocked_latest_timestamp",
        "funds_blocked_reference_number",
    )
    assert all(isinstance(status[each], str) for each in own)
    assert_replied(response, body, "", paid | {each: status[each] for each in own})
    assert_statement_is_told(partner, given, ids)


def assert_statement_is_told(partner, given, ids):
    name = "get_disbursement_status"
    body = partner.body(name, [ids[0], ids[2]])
    response = partner.send(name, body)
    found = [
        payment["disbursement_recon_records"]["disbursement_recon_payloads"]
        for payment in response.json()["message"]
    ]
    day = f"{today().isoformat()}T00:00:00"
    expected = []
    for number, [recon], one in zip(("1", "103"), found, (ids[0], ids[2]), strict=True):
        is_back = number == "103"
        booked = {
            "bank_disbursement_batch_id": recon["bank_disbursement_batch_id"],
            "disbursement_id": one,
            "disbursement_envelope_id": given,
            "beneficiary_name_from_bank": f"BEN{int(number):06d}",
            "remittance_reference_number": recon["remittance_reference_number"],
            "remittance_statement_id": recon["remittance_statement_id"],
            "remittance_statement_number": recon["remittance_statement_number"],
            "remittance_statement_sequence": "1",
            "remittance_entry_sequence": recon["remittance_entry_sequence"],
            "remittance_entry_date": day,
            "remittance_value_date": day,
            "reversal_found": is_back,
            "reversal_statement_id": recon["remittance_statement_id"] if is_back else None,
            "reversal_statement_number": recon["remittance_statement_number"] if is_back else None,
            "reversal_statement_sequence": "1" if is_back else None,
            "reversal_entry_sequence": recon["reversal_entry_sequence"] if is_back else None,
            "reversal_entry_date": day if is_back else None,
            "reversal_value_date": day if is_back else None,
            "reversal_reason": "ACCOUNT_CLOSED" if is_back else None,
        }
        records = {"disbursement_recon_payloads": [booked], "disbursement_error_recon_payloads": []}
        expected.append({"disbursement_id": one, "disbursement_recon_records": records})
    assert_replied(response, body, "", expected)


def test_questions_are_refused_with_null(world):
    name = "get_disbursement_envelope_status"
    code = "DISBURSEMENT_ENVELOPE_NOT_FOUND"
    assert_refused(world, name, code, "no-such-envelope", None)
    name = "get_disbursement_status"
    assert_refused(world, name, "INVALID_DISBURSEMENT_PAYLOAD", [], None)


# -- who it is -----------------------------------------------------------------------------------

CALLS = {
    "create_disbursement_envelope": NO_ENVELOPE,
    "amend_disbursement_envelope": NO_ENVELOPE,
    "cancel_disbursement_envelope": NO_ENVELOPE,
    "create_disbursements": [],
    "cancel_disbursements": [],
    "get_disbursement_envelope_status": None,
    "get_disbursement_status": None,
}


def message_of(world, name):
    if name.endswith("_envelope"):
        return envelope(world, disbursement_envelope_id="x")
    if name.startswith("get_"):
        return ["x"] if name == "get_disbursement_status" else "x"
    return [{"disbursement_envelope_id": "x", "disbursement_id": "x"}]


@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_signed_by_its_sender_is_refused(world, partner, name):
    """Also the calls on which the peer checks no signature."""
    stranger = Partner(world.stack.url, partner.sender_id)
    body = partner.body(name, message_of(world, name))
    content = json.dumps(body).encode()
    good = partner.signature_of(content)
    head, signature = good.split("..")
    for wrong in (
        stranger.signature_of(content),
        partner.signature_of(content + b" "),
        partner.signature_of(content, b'{"alg":"none"}'),
        partner.signature_of(content, b'{"alg":"HS256"}'),
        partner.signature_of(content, b'{"alg":"RS256","crit":["b64"],"b64":false}'),
        f"{head}.{signature}",
        f"..{signature}",
        f"{head}..",
        f"{head}..{signature[:-4]}",
        "Bearer x",
        "",
    ):
        response = partner.post(name, content, {"Signature": wrong})
        assert_replied(response, body, "rjct.jwt.invalid", CALLS[name])
    assert_replied(partner.post(name, content, {}), body, "rjct.jwt.invalid", CALLS[name])
    unknown = stranger.body(name, message_of(world, name), sender_id="nobody")
    assert_replied(stranger.send(name, unknown), unknown, "rjct.jwt.invalid", CALLS[name])
    reply = partner.post(name, content, {"Signature": good}).json()
    assert reply["header"]["status_reason_message"] != "rjct.jwt.invalid"


def test_a_signature_is_of_one_body_only(world, partner):
    """Not of the same message with one amount changed, in whatever way it is written."""
    given = opened(world, day=tomorrow())
    body = partner.body("create_disbursements", rows(given, (1,), amount=0.25))
    signed = json.dumps(body, separators=(",", ":")).encode()
    headers = {"Signature": partner.signature_of(signed)}
    for amount in ("0.26", "0.250000000000000001", "25e-3", '"0.25"', "1.25"):
        text = json.dumps(body).replace("0.25", amount)
        assert text != json.dumps(body)
        reply = partner.post("create_disbursements", text, headers).json()
        assert reply["header"]["status"] == "rjct", amount
    assert received(world, given) == (0, 0)
    text = json.dumps(body, indent=2).replace("0.25", "0.250")
    reply = partner.post("create_disbursements", text, headers).json()
    assert reply["header"]["status"] == "succ"
    assert received(world, given) == (1, 0.25)


def test_signed_bytes_and_names_in_any_script(world, partner):
    given = opened(world, day=tomorrow())
    first, second, third = rows(given, (1, 2, 3))
    first["beneficiary_name"] = "Zoë Müller 🙂"
    text = json.dumps(partner.body("create_disbursements", [first]), ensure_ascii=False, indent=1)
    response = partner.send_raw("create_disbursements", text)
    assert response.json()["message"][0]["beneficiary_name"] == "Zoë Müller 🙂"
    assert "Zoë Müller 🙂".encode() in response.content
    second["beneficiary_name"] = "زينب"
    reply = partner.call("create_disbursements", [second])
    assert reply["message"][0]["beneficiary_name"] == "زينب"
    reply = partner.call("create_disbursements", [third], sender_id=partner.sender_id.upper())
    assert reply["header"]["status"] == "succ"
    assert received(world, given) == (3, 300)


def test_a_new_key_beside_the_old_one_and_then_alone(world):
    old = trusted(world, f"rotating_{world.mnemonic}")
    new = trusted(world, old.sender_id.replace("_", "-").lower())
    for partner in (old, new):
        assert asked(partner) == "DISBURSEMENT_ENVELOPE_NOT_FOUND"
    world.admin.execute("g2p.trusted.key", "write", [old.record], {"active": False})
    assert asked(old) == "rjct.jwt.invalid"
    assert asked(new) == "DISBURSEMENT_ENVELOPE_NOT_FOUND"


def asked(partner):
    """Return the code with which a question after nothing is refused."""
    reply = partner.call("get_disbursement_envelope_status", "nothing")
    return reply["header"]["status_reason_message"]


def test_signatures_are_left_out_only_by_the_setting(world, partner):
    body = partner.body("get_disbursement_envelope_status", "nothing")

    def unsigned():
        response = partner.post("get_disbursement_envelope_status", json.dumps(body), {})
        return response.json()["header"]["status_reason_message"]

    def set_parameter(value):
        name = "g2p_bridge.openg2p_check_signatures"
        world.admin.execute("ir.config_parameter", "set_param", name, value)

    assert unsigned() == "rjct.jwt.invalid"
    for value in ("no", "false", "-1"):
        set_parameter(value)
        assert unsigned() == "rjct.jwt.invalid"
    set_parameter("0")
    try:
        assert unsigned() == "DISBURSEMENT_ENVELOPE_NOT_FOUND"
        body["header"]["sender_id"] = "nobody"
        assert unsigned() == "rjct.jwt.invalid"
    finally:
        set_parameter(False)
    body["header"]["sender_id"] = partner.sender_id
    assert unsigned() == "rjct.jwt.invalid"


def test_an_api_key_stands_for_a_signature(world, partner):
    name = "get_disbursement_envelope_status"
    body = partner.body(name, opened(world))

    def status(key, **headers):
        headers = {"Authorization": f"Bearer {key}", **headers}
        return partner.post(name, json.dumps(body), headers)

    assert status(world.key).json()["header"]["status"] == "succ"
    # a signature that is there must be right, whatever stands beside it
    wrong = status(world.key, Signature="a..b").json()
    assert wrong["header"]["status_reason_message"] == "rjct.jwt.invalid"
    for key, code in (("wrong", 401), (world.stack.bank_key, 403)):
        response = status(key)
        assert response.status_code == code
        [error] = response.json()["errors"]
        assert error["code"] == f"G2P-AUT-{code}"


def test_the_bank_uploads_there_with_its_key(world):
    url = f"{world.stack.url}{PREFIX}/upload_mt940"
    files = {"statement_file": ("statement.mt940", b"hello", "text/plain")}
    for key, status in ((world.stack.bank_key, 200), (world.key, 403), ("wrong", 401)):
        headers = {"Authorization": f"Bearer {key}"}
        response = requests.post(url, files=files, headers=headers, timeout=60)
        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("application/json")
    headers = {"Authorization": f"Bearer {world.stack.bank_key}"}
    answer = requests.post(url, files=files, headers=headers, timeout=60).json()
    assert answer["header"]["status_reason_message"] == answer["response_error_code"]
    assert answer["response_error_code"] == "INVALID_STATEMENT"


# -- repeats -------------------------------------------------------------------------------------


def count_of(world, model, **values):
    domain = [(name, "=", value) for name, value in values.items()]
    return world.admin.execute(model, "search_count", domain)


def test_a_repeated_message_opens_one_envelope(world, partner):
    """Invariant: one (sender_id, message_id) makes at most one envelope, and never another."""
    name = "create_disbursement_envelope"
    before = count_of(world, "g2p.disbursement.envelope", program_id=world.program_id)
    first = partner.call(name, envelope(world), message_id="E-1")
    again = partner.call(name, envelope(world), message_id="E-1", message_ts="later")
    assert again["message"] == first["message"]
    other = envelope(world, 4)
    assert_refused(world, name, "rjct.message_id.duplicate", other, NO_ENVELOPE, message_id="E-1")
    after = count_of(world, "g2p.disbursement.envelope", program_id=world.program_id)
    assert after == before + 1
    # another sender's ids are its own
    elsewhere = trusted(world, f"other-{world.mnemonic}")
    reply = elsewhere.call(name, other, message_id="E-1")
    assert reply["header"]["status"] == "succ"


def test_a_repeated_message_pays_once(world, partner):
    """Invariant: one (sender_id, message_id) brings its rows into the envelope at most once."""
    given = opened(world, day=tomorrow())
    name = "create_disbursements"
    message = rows(given, (1, 2))
    first = partner.call(name, message, message_id="R-1")
    again = partner.call(name, message, message_id="R-1")
    assert again["message"] == first["message"]
    other = rows(given, (3,))
    expected = [row_reply(row, None) for row in other]
    assert_refused(world, name, "rjct.message_id.duplicate", other, expected, message_id="R-1")
    # the same rows in a new message: their references stand in the envelope already
    twice = "DUPLICATE_MIS_REFERENCE_NUMBER"
    expected = [row_reply(row, [twice]) for row in rows(given, (1,))]
    assert_refused(world, name, "INVALID_DISBURSEMENT_PAYLOAD", rows(given, (1,)), expected)
    assert received(world, given) == (2, 200)
    envelopes = world.admin.execute(
        "g2p.disbursement.envelope", "search", [("disbursement_envelope_id", "=", given)]
    )
    assert count_of(world, "g2p.disbursement", envelope_id=envelopes[0]) == 2


def test_an_id_that_is_no_text_of_the_facade_serves_all_the_same(world, partner):
    """However long, or of whatever characters: it stands in the key by its digest."""
    name = "create_disbursement_envelope"
    for message_id in ("x" * 5000, "\0\n", "\u202e"):
        first = partner.call(name, envelope(world), message_id=message_id)
        again = partner.call(name, envelope(world), message_id=message_id)
        assert again["message"] == first["message"]
        assert again["header"]["message_id"] == message_id
    replies = [partner.call(name, envelope(world), message_id="") for _ in range(2)]
    first, again = [each["message"]["disbursement_envelope_id"] for each in replies]
    assert first != again  # without an id there is nothing to tell a repeat by


# -- bad bodies ----------------------------------------------------------------------------------


def test_cents_are_exact_from_the_first_call_to_the_last(world, partner):
    """0.1 + 0.2 is 0.3: the sum of floats would not complete the envelope."""
    given = opened(world, 2, day=tomorrow(), total_disbursement_amount=0.3)
    for number, amount in ((1, 0.1), (2, 0.2)):
        reply = partner.call("create_disbursements", rows(given, (number,), amount))
        assert reply["message"][0]["disbursement_amount"] == amount
    assert received(world, given) == (2, 0.3)
    domain = [("disbursement_envelope_id", "=", given)]
    [found] = world.admin.execute(
        "g2p.disbursement.envelope", "search_read", domain, ["state", "total_received_amount"]
    )
    assert found["state"] != "receiving"
    assert Decimal(repr(found["total_received_amount"])) == Decimal("0.3")


def test_a_body_that_is_ambiguous_or_without_measure_is_a_bad_request(world, partner):
    name = "create_disbursements"
    given = opened(world, day=tomorrow())
    good = json.dumps(partner.body(name, rows(given, (1,))))
    amount = '"disbursement_amount": 100'
    assert amount in good
    deep = "[" * 20 + "]" * 20
    bad = [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        good + "x",
        good[:-1],
        "\ufeff" + good,
        good.encode("utf-16"),
        good.encode().replace(b"Person", b"\xff\xfe"),
        good.replace("Person 1", "\\ud800"),
        good.replace(amount, f"{amount}, {amount}"),
        good.replace('"header"', '"header": {}, "header"', 1),
        *(good.replace(amount, f'"disbursement_amount": {number}') for number in NUMBERS),
        good.replace('"meta": "string"', f'"meta": {deep}'),
        good.replace('"meta": "string"', f'"meta": {"[" * 100_000}{"]" * 100_000}'),
        good.replace('"signature": ""', f'"signature": {deep}'),
        good.replace(amount, f'"unknown": {deep}, {amount}'),
        good.replace('"meta": "string"', f'"meta": [{"0," * 500_000}0]'),
    ]
    with quiet(world.stack, ERRORS):
        for text in bad:
            response = partner.send_raw(name, text)
            assert response.status_code == 400, text[:200]
            [error] = response.json()["errors"]
            assert error["code"] == "G2P-REQ-102"
            assert error["message"].startswith("Invalid Input. ")
            assert "Person" not in error["message"]
    assert received(world, given) == (0, 0)
    assert partner.send_raw(name, good).json()["header"]["status"] == "succ"


NUMBERS = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000, "1e" + "9" * 30),
    *("0." + "1" * 5000, "true", "[1]", "{}", '"1,00"', '"1e5"', '" 1"', '"-1"', '"\\u0661"'),
]


@pytest.mark.parametrize("name", CALLS)
def test_a_message_of_another_form_is_a_bad_request(world, partner, name):
    good = partner.body(name, message_of(world, name))
    bad = [
        {"header": good["header"]},
        {"message": good["message"]},
        {**good, "header": []},
        {**good, "message": 1},
        {**good, "message": {"message": []} if isinstance(good["message"], list) else [[1]]},
        *(
            {**good, "header": {**good["header"], field: value}}
            for field, value in (
                ("message_id", 1),
                ("message_id", None),
                ("total_count", "x"),
                ("total_count", 1.5),
                ("is_msg_encrypted", "no"),
            )
        ),
        *(
            {**good, "header": {key: item for key, item in good["header"].items() if key != each}}
            for each in ("message_id", "message_ts", "action", "sender_id", "total_count")
        ),
    ]
    for body in bad:
        response = partner.send(name, body)
        assert response.status_code == 400, body
        [error] = response.json()["errors"]
        assert error["code"] == "G2P-REQ-102"


def test_a_large_body_is_refused_before_it_is_read(world, partner):
    name = "create_disbursements"
    # what does not say its length counts as empty for Odoo's server
    for content, status in ((b" " * 21 * MIB, 413), (iter([b" " * MIB] * 21), 400)):
        try:
            response = partner.post(name, content, {"Signature": "a..b"})
        except requests.ConnectionError:
            continue  # the server hung up in the middle of it
        assert response.status_code == status
        assert response.json()["errors"][0]["code"] in ("G2P-REQ-413", "G2P-REQ-102")
    assert asked(world.partner) == "DISBURSEMENT_ENVELOPE_NOT_FOUND"


def test_other_content_and_methods_are_not_taken(world, partner):
    name = "get_disbursement_envelope_status"
    content = json.dumps(partner.body(name, "nothing")).encode()
    headers = {"Signature": partner.signature_of(content), "Content-Type": "text/plain"}
    assert partner.post(name, content, headers).status_code == 400
    assert requests.get(f"{partner.base_url}/{name}", timeout=60).status_code == 405
    assert partner.post("create_nothing", content, {}).status_code == 404


def test_a_thousand_rows_go_the_way_of_all_others(world, partner):
    """One journal line and the same number of rows: it is the facade's bulk path."""
    given = opened(world, 1000, day=tomorrow())
    reply = partner.call("create_disbursements", rows(given, range(1, 1001)))
    assert len({row["disbursement_id"] for row in reply["message"]}) == 1000
    assert received(world, given) == (1000, 100_000)
    envelopes = world.admin.execute(
        "g2p.disbursement.envelope", "search", [("disbursement_envelope_id", "=", given)]
    )
    journal = {"envelope_id": envelopes[0], "cause": "create_disbursements"}
    assert count_of(world, "g2p.disbursement.journal", **journal) == 1


# -- the document --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(world):
    response = requests.get(f"{world.stack.url}{PREFIX}/openapi.json", timeout=60)
    assert response.status_code == 200
    return response.json()


def test_the_document_is_openapi_and_has_the_paths_of_the_peer(world, document):
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["openapi"].startswith("3.1.")
    assert set(document["paths"]) == PEER_PATHS
    assert [each["url"] for each in document["servers"]] == [PREFIX]
    ping = requests.get(f"{world.stack.url}{PREFIX}/ping", timeout=60)
    assert (ping.status_code, ping.json()) == (200, "pong")


#: what schemathesis compares with the document, for what it sends itself: right and wrong
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
)


@pytest.mark.parametrize("who", ["pbms", "bank"])
def test_schemathesis_finds_no_difference(world, who, tmp_path):
    key = world.key if who == "pbms" else world.stack.bank_key
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{world.stack.url}{PREFIX}/openapi.json",
        f"--header=Authorization: Bearer {key}",
        f"--checks={','.join(CHECKS)}",
        f"--include-tag={who}",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=15",
        "--workers=3",
        "--seed=1",
        "--generation-deterministic",
        "--generation-with-security-parameters=false",
        "--no-color",
    ]
    with quiet(world.stack, ERRORS):
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
