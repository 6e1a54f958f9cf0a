"""Every door of the API, from outside: what goes in, what comes out, how a refusal arrives."""

import json
import subprocess
import xmlrpc.client
from datetime import datetime, timezone

import odoorpc
import pytest
import requests

from bridge_stack.pbms import Pbms
from bridge_stack.rpc import RpcError
from bridge_stack.world import World

pytestmark = pytest.mark.stack

BRIDGE = "g2p.bridge"


@pytest.fixture(scope="module")
def world(stack):
    return World(stack, mapper=None)


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
            "beneficiary_name": f"Person {index}",
            "disbursement_amount": amount,
            "narrative": "Grant",
        }
        for index in range(count)
    ]


class JsonRpcDoor:
    """``/jsonrpc``, execute_kw."""

    def __init__(self, world):
        self.pbms = world.pbms

    def call(self, method, **arguments):
        return self.pbms.call(method, **arguments)

    def refusal(self, method, **arguments):
        with pytest.raises(RpcError) as caught:
            self.pbms.call(method, **arguments)
        return caught.value.arguments


class XmlRpcDoor:
    """``/xmlrpc/2/object``."""

    def __init__(self, world):
        self.world = world
        url, stack = f"{world.stack.url}/xmlrpc/2", world.stack
        self.uid = xmlrpc.client.ServerProxy(f"{url}/common").authenticate(
            stack.db, world.login, world.key, {}
        )
        self.models = xmlrpc.client.ServerProxy(f"{url}/object")

    def call(self, method, **arguments):
        return self.models.execute_kw(
            self.world.stack.db, self.uid, self.world.key, BRIDGE, method, [], arguments
        )

    def refusal(self, method, **arguments):
        with pytest.raises(xmlrpc.client.Fault) as caught:
            self.call(method, **arguments)
        return [caught.value.faultString.split(":")[0]]


class Json2Door:
    """``/json/2`` with a bearer API key."""

    def __init__(self, world):
        self.url = f"{world.stack.url}/json/2/{BRIDGE}"
        self.headers = {"Authorization": f"bearer {world.key}"}

    def post(self, method, arguments):
        return requests.post(
            f"{self.url}/{method}", json=arguments, headers=self.headers, timeout=60
        )

    def call(self, method, **arguments):
        answer = self.post(method, arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refusal(self, method, **arguments):
        answer = self.post(method, arguments)
        assert answer.status_code == 422
        return answer.json()["arguments"]


class OdooRpcDoor:
    """The ``odoorpc`` library."""

    def __init__(self, world):
        host, port = world.stack.url.removeprefix("http://").split(":")
        self.odoo = odoorpc.ODOO(host, port=int(port))
        self.odoo.login(world.stack.db, world.login, world.key)

    def call(self, method, **arguments):
        return self.odoo.execute_kw(BRIDGE, method, [], arguments)

    def refusal(self, method, **arguments):
        with pytest.raises(odoorpc.error.RPCError) as caught:
            self.call(method, **arguments)
        return caught.value.info["data"]["arguments"]


class CurlDoor:
    """Plain ``curl`` on ``/json/2``."""

    def __init__(self, world):
        self.world = world

    def curl(self, method, arguments):
        command = [
            "curl",
            "--silent",
            "--write-out",
            "\n%{http_code}",
            "--header",
            "Content-Type: application/json",
            "--header",
            f"Authorization: bearer {self.world.key}",
            "--data",
            "@-",
            f"{self.world.stack.url}/json/2/{BRIDGE}/{method}",
        ]
        done = subprocess.run(
            command,
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        body, _newline, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)

    def call(self, method, **arguments):
        status, body = self.curl(method, arguments)
        assert status == 200, body
        return body

    def refusal(self, method, **arguments):
        status, body = self.curl(method, arguments)
        assert status == 422
        return body["arguments"]


DOORS = [JsonRpcDoor, XmlRpcDoor, Json2Door, OdooRpcDoor, CurlDoor]


@pytest.mark.parametrize("door_class", DOORS)
def test_the_whole_pbms_side_can_be_driven_through_the_door(world, door_class):
    door = door_class(world)
    envelope = door.call("create_disbursement_envelope", **envelope_request(world))
    envelope_id = envelope["disbursement_envelope_id"]
    amended = door.call(
        "amend_disbursement_envelope",
        disbursement_envelope_id=envelope_id,
        number_of_disbursements=3,
        total_disbursement_amount="300.00",
    )
    assert amended["total_disbursement_amount"] == 300
    created = door.call(
        "create_disbursements", disbursement_envelope_id=envelope_id, disbursements=rows(3)
    )
    ids = [row["disbursement_id"] for row in created]
    assert len(set(ids)) == 3
    [cancelled] = door.call("cancel_disbursements", disbursement_ids=ids[:1], reason="moved")
    assert cancelled["cancellation_status"] == "Cancelled"
    status = door.call("get_disbursement_envelope_status", disbursement_envelope_id=envelope_id)
    assert status["number_of_disbursements_received"] == 3
    assert status["number_of_disbursements_cancelled"] == 1
    first, second, third = door.call("get_disbursement_status", disbursement_ids=ids)
    assert [first["status"], second["status"]] == ["cancelled", third["status"]]
    assert ids[0] in changes_of(door)
    door.call("cancel_disbursement_envelope", disbursement_envelope_id=envelope_id)


def changes_of(door):
    """Return the ids in the changes feed, read to its end in small pages."""
    found, cursor = [], ""
    while True:
        page = door.call("get_disbursement_changes", cursor=cursor, limit=7)
        found += [change["disbursement_id"] for change in page["changes"]]
        cursor = page["cursor"]
        if not page["has_more"]:
            return found


@pytest.mark.parametrize("door_class", DOORS)
def test_a_refusal_carries_its_code_through_the_door(world, door_class):
    door = door_class(world)
    refusal = door.refusal(
        "create_disbursement_envelope", **envelope_request(world, benefit_program_mnemonic="NOPE")
    )
    assert refusal[0] == "INVALID_PROGRAM_MNEMONIC"


@pytest.mark.parametrize("door_class", [JsonRpcDoor, Json2Door, OdooRpcDoor, CurlDoor])
def test_bad_rows_of_a_thousand_are_named_through_the_door(world, door_class):
    door = door_class(world)
    request = envelope_request(world, count=1000)
    envelope_id = door.call("create_disbursement_envelope", **request)["disbursement_envelope_id"]
    thousand = rows(1000)
    thousand[411]["disbursement_amount"] = -5
    code, errors = door.refusal(
        "create_disbursements", disbursement_envelope_id=envelope_id, disbursements=thousand
    )
    assert code == "INVALID_DISBURSEMENT_PAYLOAD"
    assert errors == [
        {
            "index": 411,
            "mis_reference_number": "MIS411",
            "response_error_codes": ["INVALID_DISBURSEMENT_AMOUNT"],
        }
    ]


def test_a_message_reads_as_a_sentence_and_hides_no_code(world):
    answer = Json2Door(world).post("get_disbursement_envelope_status", {})
    assert answer.json()["message"].startswith("INVALID_DISBURSEMENT_ENVELOPE_ID\nThe ")


# -- statements over HTTP ---------------------------------------------------------------------


def statement(world, *, number="1/1"):
    today = datetime.now(timezone.utc).strftime("%y%m%d")
    balance = f"C{today}USD1000000000,00"
    return (
        f":20:DOOR\n:25:{world.account_number}\n:28C:{number}\n:60F:{balance}\n:62F:{balance}\n-\n"
    )


def upload(world, content, key=None, **options):
    headers = {"Authorization": f"Bearer {key or world.stack.bank_key}"}
    files = {"statement_file": ("statement.mt940", content, "text/plain")}
    options = {"files": files, "headers": headers, **options}
    return requests.post(f"{world.stack.url}/g2p_bridge/upload_mt940", timeout=60, **options)


def test_curl_uploads_a_statement(world, tmp_path):
    file = tmp_path / "statement.mt940"
    file.write_text(statement(world), encoding="utf-8")
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--header",
            f"Authorization: Bearer {world.stack.bank_key}",
            "--form",
            f"statement_file=@{file};type=text/plain",
            f"{world.stack.url}/g2p_bridge/upload_mt940",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer = json.loads(done.stdout)
    assert answer["header"]["status"] == "succ"
    assert len(answer["message"]) == 16
    assert upload(world, statement(world)).json()["message"] == answer["message"]


def test_the_facade_takes_a_statement_as_text(world):
    bank = Pbms(world.stack, "example-bank", world.stack.bank_key, world.mnemonic)
    answer = bank.call("upload_mt940", statement=statement(world, number="7/1"))
    assert answer["statements"][0]["statement_number"] == "7"


def test_a_file_that_is_no_statement_is_refused_with_its_code(world):
    answer = upload(world, "hello, not a statement")
    assert answer.status_code == 200
    header = answer.json()["header"]
    assert (header["status"], header["status_reason_message"]) == ("rjct", "INVALID_STATEMENT")


def test_a_missing_part_is_a_bad_request(world):
    answer = upload(world, "", files=None, data={"other": "1"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "G2P-REQ-102"


def test_nobody_uploads_without_the_banks_key(world):
    assert upload(world, statement(world), headers={}).status_code == 401
    assert upload(world, statement(world), key="wrong").status_code == 401
    assert upload(world, statement(world), key=world.key).status_code == 403
