"""Every door of the API, from outside: what goes in, what comes out, how a refusal arrives."""

import json
from datetime import datetime, timezone
from functools import partial

import pytest
import requests
from doors import (
    ACCESS_DENIED,
    ACCESS_ERROR,
    DOORS,
    CurlDoor,
    Json2Door,
    JsonRpcDoor,
    OdooRpcDoor,
    Refused,
    XmlRpcDoor,
    curl,
)
from test_whole_way import send, wait_for

pytestmark = pytest.mark.stack

BRIDGE = "g2p.bridge"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def world(new_world):
    return new_world(mapper=None)


@pytest.fixture(params=DOORS, ids=lambda door_class: door_class.__name__)
def door_class(request):
    return request.param


@pytest.fixture
def pbms(door_class, world):
    """Return a function that calls the facade through the door as the program system."""
    return partial(door_class(world.stack, world.login, world.key).call, BRIDGE)


@pytest.fixture
def bank(door_class, world):
    """Return the same as the bank."""
    return partial(door_class(world.stack, "example-bank", world.stack.bank_key).call, BRIDGE)


def envelope_request(world, count=2, amount=100, **values):
    return {
        "benefit_program_mnemonic": world.mnemonic,
        "disbursement_frequency": "Monthly",
        "cycle_code_mnemonic": "2026-11",
        "number_of_beneficiaries": count,
        "number_of_disbursements": count,
        "total_disbursement_amount": count * amount,
        "disbursement_currency_code": "USD",
        "disbursement_schedule_date": "2099-12-31",
        **values,
    }


def rows(count=2, amount=100):
    return [
        {
            "mis_reference_number": f"MIS{index}",
            "beneficiary_id": f"BEN{index}",
            "beneficiary_name": f"Zoë Müller {index}",
            "disbursement_amount": amount,
            "narrative": "Grant",
        }
        for index in range(count)
    ]


def refusal_of(call, *arguments, **named):
    with pytest.raises(Refused) as caught:
        call(*arguments, **named)
    return caught.value


def has_null(answer):
    if isinstance(answer, dict):
        return any(map(has_null, answer.values()))
    return any(map(has_null, answer)) if isinstance(answer, list) else answer is None


def test_the_program_system_does_all_its_work_through_the_door(world, pbms):
    answers = []

    def call(method, **arguments):
        answers.append(pbms(method, **arguments))
        return answers[-1]

    envelope = call("create_disbursement_envelope", **envelope_request(world))
    envelope_id = envelope["disbursement_envelope_id"]
    amended = call(
        "amend_disbursement_envelope",
        disbursement_envelope_id=envelope_id,
        number_of_disbursements=3,
        total_disbursement_amount="300.00",
    )
    assert amended["total_disbursement_amount"] == 300
    created = call(
        "create_disbursements", disbursement_envelope_id=envelope_id, disbursements=rows(3)
    )
    assert created[0]["beneficiary_name"] == "Zoë Müller 0"
    ids = [row["disbursement_id"] for row in created]
    assert len(set(ids)) == 3
    [cancelled] = call("cancel_disbursements", disbursement_ids=ids[:1], reason="moved")
    assert cancelled["cancellation_status"] == "Cancelled"
    status = call("get_disbursement_envelope_status", disbursement_envelope_id=envelope_id)
    assert status["number_of_disbursements_received"] == 3
    assert status["number_of_disbursements_cancelled"] == 1
    first, second, third = call("get_disbursement_status", disbursement_ids=ids)
    assert [first["status"], second["status"]] == ["cancelled", third["status"]]
    assert set(ids) <= set(ids_in_feed(call))
    call("cancel_disbursement_envelope", disbursement_envelope_id=envelope_id)
    assert not has_null(answers)


def ids_in_feed(call):
    """Return the ids in the changes feed, read to its end in pages."""
    found, cursor = [], ""
    while True:
        page = call("get_disbursement_changes", cursor=cursor, limit=500)
        found += [change["disbursement_id"] for change in page["changes"]]
        cursor = page["cursor"]
        if not page["has_more"]:
            return found


def test_the_bank_does_all_its_work_through_the_door(world, door_class, bank):
    send(world, 1, cycle=door_class.__name__)
    wait_for(world, shipped=1)
    [one] = world.pbms.ids.values()
    updates = [{"disbursement_id": one, "status": "accepted", "bank_reference": "REF1"}]
    answer = bank("update_status_of_disbursements", updates=updates)
    assert answer == [{"disbursement_id": one, "status": "sent", "response_error_codes": []}]
    number = f"{DOORS.index(door_class) + 100}"
    uploaded = bank("upload_mt940", statement=statement(world, number), filename="a.sta")
    assert uploaded["statements"][0]["statement_number"] == number
    assert not has_null(uploaded)
    again = bank("upload_mt940", statement=statement(world, number), filename="a.sta")
    assert again["statement_id"] == uploaded["statement_id"]


# -- refusals -----------------------------------------------------------------------------------


def bad_rows(world, pbms):
    """Send a thousand rows of which two are wrong; return how that is refused."""
    request = envelope_request(world, count=1000)
    envelope_id = pbms("create_disbursement_envelope", **request)["disbursement_envelope_id"]
    thousand = rows(1000)
    thousand[411]["disbursement_amount"] = -5
    thousand[999]["beneficiary_id"] = ""
    return refusal_of(
        pbms, "create_disbursements", disbursement_envelope_id=envelope_id, disbursements=thousand
    )


@pytest.mark.parametrize(
    "door_class", [JsonRpcDoor, Json2Door, CurlDoor, OdooRpcDoor], indirect=True
)
def test_a_refusal_is_its_code_and_the_rows_it_means(world, door_class, pbms):
    refusal = bad_rows(world, pbms)
    assert refusal.arguments == [
        "INVALID_DISBURSEMENT_PAYLOAD",
        [
            {
                "index": 411,
                "mis_reference_number": "MIS411",
                "response_error_codes": ["INVALID_DISBURSEMENT_AMOUNT"],
            },
            {
                "index": 999,
                "mis_reference_number": "MIS999",
                "response_error_codes": ["INVALID_BENEFICIARY_ID"],
            },
        ],
    ]
    assert refusal.status == (422 if issubclass(door_class, Json2Door) else 200)


@pytest.mark.parametrize("door_class", [XmlRpcDoor], indirect=True)
def test_an_xml_rpc_fault_begins_with_the_code_and_names_the_rows(world, pbms):
    [text] = bad_rows(world, pbms).arguments
    assert text.startswith("INVALID_DISBURSEMENT_PAYLOAD: ")
    assert "row 411: INVALID_DISBURSEMENT_AMOUNT; row 999: INVALID_BENEFICIARY_ID" in text


def test_an_argument_that_does_not_exist_is_not_ignored(pbms):
    refusal = refusal_of(pbms, "get_disbursement_status", disbursement_idz=["X"])
    assert "disbursement_idz" in refusal.arguments[0]


def test_a_message_reads_as_a_sentence(world):
    answer = requests.post(
        f"{world.stack.url}/json/2/{BRIDGE}/get_disbursement_envelope_status",
        json={},
        headers={"Authorization": f"bearer {world.key}"},
        timeout=60,
    )
    assert answer.json()["message"].startswith("INVALID_DISBURSEMENT_ENVELOPE_ID\nThe ")


def test_a_wrong_key_opens_no_door(world, door_class):
    def enter():
        return door_class(world.stack, world.login, "wrong").call(
            BRIDGE, "get_disbursement_changes"
        )

    refusal = refusal_of(enter)
    if issubclass(door_class, Json2Door):
        assert refusal.status == 401
    else:
        assert refusal.name == ACCESS_DENIED


def test_a_key_without_the_group_opens_the_other_side_at_no_door(door_class, pbms, bank):
    for call, method in ((bank, "get_disbursement_changes"), (pbms, "upload_mt940")):
        refusal = refusal_of(call, method)
        assert refusal.name == ACCESS_ERROR
        assert refusal.status == (403 if issubclass(door_class, Json2Door) else 200)


# -- statements over HTTP -----------------------------------------------------------------------


def statement(world, number="1"):
    today = datetime.now(timezone.utc).strftime("%y%m%d")
    balance = f"C{today}USD1000000000,00"
    account = world.account_number
    return f":20:DOOR\n:25:{account}\n:28C:{number}/1\n:60F:{balance}\n:62F:{balance}\n-\n"


def upload(world, content, key=None, **options):
    headers = {"Authorization": f"Bearer {key or world.stack.bank_key}"}
    files = {"statement_file": ("statement.mt940", content, "text/plain")}
    options = {"files": files, "headers": headers, **options}
    return requests.post(f"{world.stack.url}/g2p_bridge/upload_mt940", timeout=60, **options)


def test_curl_uploads_the_banks_statement_and_payments_are_reconciled(new_world, tmp_path):
    world = new_world(mapper=None)
    send(world, 2)
    wait_for(world, shipped=2)
    world.at_bank("/admin/settle")
    made = world.at_bank("/admin/statements", account_number=world.account_number, upload=False)
    file = tmp_path / "statement.mt940"
    [number] = made["statements"]
    content = requests.get(f"{world.stack.bank_url}/admin/statements/{number}", timeout=60).content
    file.write_bytes(content)
    output = curl(
        "--header",
        f"Authorization: Bearer {world.stack.bank_key}",
        "--form",
        f"statement_file=@{file}",
        f"{world.stack.url}/g2p_bridge/upload_mt940",
    )
    answer = json.loads(output)
    assert answer["header"]["status"] == "succ"
    assert len(answer["message"]) == 16
    wait_for(world, reconciled=2)
    assert upload(world, content).json()["message"] == answer["message"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"hello, not a statement", 200, "INVALID_STATEMENT"),
        (b"", 200, "INVALID_STATEMENT"),
        (b"\x00\xff" * 500, 200, "INVALID_STATEMENT"),
        (b" " * (33 * MIB), 413, "STATEMENT_TOO_LARGE"),
    ],
    ids=["text", "empty", "bytes", "large"],
)
def test_a_file_that_is_no_statement_is_refused_with_its_code(world, content, status, code):
    answer = upload(world, content)
    assert answer.status_code == status
    header = answer.json()["header"]
    assert (header["status"], header["status_reason_message"]) == ("rjct", code)


def test_a_statement_of_an_account_that_nobody_knows_is_refused(world):
    content = statement(world).replace(world.account_number, "NOBODYS")
    header = upload(world, content).json()["header"]
    assert header["status_reason_message"] == "UNKNOWN_ACCOUNT"


def test_a_body_larger_than_the_limit_is_not_even_read(world):
    answer = upload(world, b" " * (65 * MIB))
    assert answer.status_code == 413


@pytest.mark.parametrize("field", ["other", "statement_file"])
def test_a_missing_file_is_a_bad_request(world, field):
    answer = upload(world, "", files=None, data={field: "text, no file"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "G2P-REQ-102"


def test_nobody_uploads_without_the_banks_key(world):
    assert upload(world, statement(world), headers={}).status_code == 401
    assert upload(world, statement(world), key="wrong").status_code == 401
    assert upload(world, statement(world), key=world.key).status_code == 403
