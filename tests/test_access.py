"""What a machine user may do in Odoo: its side of the API, and nothing else.

A machine has the group of its API only, so it is no internal user. What Odoo gives to any user
whatever its groups is listed here (``LEFT_BY_ODOO``), and nothing in it is of the bridge.
"""

from datetime import datetime, timezone

import pytest
import requests
from doors import ACCESS_DENIED, ACCESS_ERROR, Json2Door, JsonRpcDoor, Refused, XmlRpcDoor
from test_whole_way import send, wait_for

from bridge_stack.rpc import RpcError
from bridge_stack.world import PBMS_GROUP

pytestmark = pytest.mark.stack

BRIDGE = "g2p.bridge"
BANK_GROUP = "g2p_bridge.group_bank_api"
PBMS_METHODS = (
    "create_disbursement_envelope",
    "amend_disbursement_envelope",
    "cancel_disbursement_envelope",
    "get_disbursement_envelope_status",
    "create_disbursements",
    "cancel_disbursements",
    "get_disbursement_status",
    "get_disbursement_changes",
    "get_disbursement_exceptions",
    "correct_disbursements",
)
BANK_METHODS = ("upload_mt940", "update_status_of_disbursements")
MACHINES = ("pbms", "bank")
#: models whose records anybody may look for: attachments of their own, of which machines have none
OPEN_MODELS = {"ir.attachment"}
#: calls that Odoo answers to every user, with what it answers a machine
LEFT_BY_ODOO = (
    # itself: its log-in name is readable, its display name may be changed
    ("res.users", "has_group", {"ids": "own", "group_ext_id": "base.group_user"}, False),
    ("res.users", "write", {"ids": "own", "vals": {"name": "A machine"}}, True),
    # the names of fields, not their contents
    (
        "g2p.disbursement.envelope",
        "fields_get",
        {"allfields": ["id"], "attributes": ["type"]},
        {
            "id": {"type": "integer"},
        },
    ),
    # a file that anybody may fetch
    (
        "g2p.account.link",
        "get_import_templates",
        {},
        [
            {
                "label": "Import template for account links",
                "template": "/g2p_bridge/static/xls/account_links.csv",
            }
        ],
    ),
)
#: some for the doors that are not asked for all models; the way behind the doors is the same
CLOSED_MODELS = (
    "g2p.account.link",
    "g2p.bank.call",
    "g2p.disbursement",
    "g2p.disbursement.envelope",
    "g2p.funding.account",
    "g2p.sponsor.bank",
    "ir.config_parameter",
    "queue.job",
    "res.partner",
    "res.users",
)
SENSITIVE_MODELS = {
    "ir.actions.server",
    "ir.attachment",
    "ir.config_parameter",
    "ir.cron",
    "ir.model.access",
    "ir.rule",
    "mail.message",
    "queue.job",
    "res.groups",
    "res.partner",
    "res.users",
    "res.users.apikeys",
}
#: of methods of Odoo's that the addons extend, which cannot be called without
ARGUMENTS = {
    "write": [{}],
    "onchange": [{}, [], {}],
}
#: those that are of no record, with what they are called with
OF_MODEL = {
    "create": [[{}]],
    "get_home": [],
    "get_steps": [],
    "default_get": [["key"]],
    "action_view_found": ["MIS1"],
}
PRIVATE_METHODS = (
    (BRIDGE, "_parameter"),
    (BRIDGE, "_upload_statement"),
    ("g2p.disbursement", "_bulk_transition"),
    ("g2p.disbursement.envelope", "_set_ready"),
    ("g2p.disbursement.envelope", "_advance"),
    ("g2p.disbursement.envelope", "_cron_find_due_work"),
    ("g2p.disbursement.batch", "_disburse_funds_from_bank"),
    ("g2p.bank.connector.example", "initiate_payment"),
    ("g2p.bank.connector.example", "block_funds"),
    ("g2p.bank.connector.example", "parse_statement"),
    ("g2p.sponsor.bank", "_get_connector"),
    ("g2p.funding.account", "_to_debtor_account"),
)
#: finds the methods that the addons (re)define and that Odoo lets through its doors
_FIND_PUBLIC_METHODS = """
from odoo.exceptions import AccessError
from odoo.service.model import get_public_method

def is_public(model, method):
    try:
        return bool(get_public_method(model, method))
    except (AccessError, AttributeError):
        return False

result = sorted(
    (name, method)
    for name in env.registry
    if name.startswith("g2p.")
    for method in {
        method
        for base in type(env[name]).__mro__
        if base.__module__.startswith("odoo.addons.g2p_bridge")
        for method in vars(base)
    }
    if callable(getattr(type(env[name]), method)) and is_public(env[name], method)
)
"""


@pytest.fixture(scope="module")
def world(new_world):
    """Return a world with a payment at the bank, so that there is something to be seen."""
    world = new_world(mapper=None)
    send(world, 1)
    wait_for(world, shipped=1)
    return world


@pytest.fixture(scope="module")
def users(world):
    """Return name -> (login, API key) of both machines and of a person without a group of ours."""
    stack = world.stack
    return {
        "pbms": (world.login, world.key),
        "bank": ("example-bank", stack.bank_key),
        "clerk": ("clerk", stack.create_user("clerk")),
    }


@pytest.fixture(params=MACHINES)
def machine(request, world, users):
    """Return the RPC client of a machine."""
    return world.stack.rpc(*users[request.param])


def refusal(rpc, *call, **arguments):
    """Return the name of the exception that a call ends in."""
    with pytest.raises(RpcError) as caught:
        rpc.execute(*call, **arguments)
    return caught.value.name


def answer_or_refusal(rpc, *call, **arguments):
    try:
        return rpc.execute(*call, **arguments)
    except RpcError as error:
        return error.name


@pytest.fixture(scope="module")
def models(world):
    """Return the names of all models of the database that have records."""
    found = world.admin.execute(
        "ir.model", "search_read", [("abstract", "=", False)], ["model"], order="model"
    )
    names = [row["model"] for row in found]
    assert {*CLOSED_MODELS, "mail.message", "res.groups"} <= set(names)
    return names


def test_a_machine_reads_no_model_at_all(machine, models):
    answers = {
        model: answer_or_refusal(machine, model, "search_read", [], ["id"], limit=1)
        for model in models
    }
    opened = {model: answer for model, answer in answers.items() if answer != ACCESS_ERROR}
    assert opened == {model: [] for model in OPEN_MODELS}


@pytest.mark.parametrize("operation", ["create", "write", "unlink"])
def test_a_machine_changes_none_of_our_models_nor_who_may_what(machine, models, operation):
    arguments = {"create": [{}], "write": [[1], {}], "unlink": [[1]]}[operation]
    ours = {model for model in models if model.startswith("g2p.")}
    for model in sorted(ours | SENSITIVE_MODELS):
        assert refusal(machine, model, operation, *arguments) == ACCESS_ERROR, model


@pytest.mark.parametrize("who", MACHINES)
@pytest.mark.parametrize("door_class", [XmlRpcDoor, Json2Door])
def test_the_other_doors_are_closed_as_well(world, users, door_class, who):
    door = door_class(world.stack, *users[who])
    for model in CLOSED_MODELS:
        with pytest.raises(Refused) as caught:
            door.call(model, "search_read", domain=[], fields=["id"])
        assert caught.value.name == ACCESS_ERROR, model
        with pytest.raises(Refused) as caught:
            door.call(model, "create", vals_list=[{}])
        assert caught.value.name == ACCESS_ERROR, model


def test_a_machine_sees_of_all_users_itself_only(machine):
    own = machine.uid
    assert machine.execute("res.users", "read", [own], ["login"])[0]["login"] == machine.login
    assert refusal(machine, "res.users", "read", [2], ["login"]) == ACCESS_ERROR
    for values in ({"login": "root"}, {"group_ids": [(4, 1)]}):
        assert refusal(machine, "res.users", "write", [own], values) == ACCESS_ERROR


@pytest.mark.parametrize(("model", "method", "arguments", "answer"), LEFT_BY_ODOO)
def test_odoo_leaves_this_to_everybody(machine, model, method, arguments, answer):
    named = dict(arguments)
    records = [[machine.uid]] if named.pop("ids", None) else []
    assert machine.execute(model, method, *records, **named) == answer


# -- methods --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public_methods(world):
    """Return (model, method) of all that the addons let through the doors, the facade apart."""
    found = [tuple(pair) for pair in world.stack.odoo_shell(_FIND_PUBLIC_METHODS)]
    assert {method for model, method in found if model == BRIDGE} == {*PBMS_METHODS, *BANK_METHODS}
    others = [pair for pair in found if pair[0] != BRIDGE]
    assert ("g2p.disbursement.envelope", "action_approve") in others
    return others


def test_a_machine_calls_no_public_method_but_the_facade(machine, public_methods):
    for_all = {(model, method) for model, method, *_rest in LEFT_BY_ODOO}
    opened = [
        (model, method)
        for model, method in public_methods
        if (model, method) not in for_all
        and answer_or_refusal(
            machine, model, method, *OF_MODEL.get(method, [[1], *ARGUMENTS.get(method, ())])
        )
        != ACCESS_ERROR
    ]
    assert opened == []


@pytest.mark.parametrize(("model", "method"), PRIVATE_METHODS)
def test_nobody_calls_private_methods_not_even_the_administrator(world, users, model, method):
    for rpc in (*(world.stack.rpc(*user) for user in users.values()), world.admin):
        assert refusal(rpc, model, method) == ACCESS_ERROR


def test_private_methods_are_private_at_every_door(world, users):
    for door_class in (XmlRpcDoor, Json2Door, JsonRpcDoor):
        door = door_class(world.stack, *users["pbms"])
        for model, method in PRIVATE_METHODS:
            with pytest.raises(Refused) as caught:
                door.call(model, method)
            assert caught.value.name == ACCESS_ERROR, (door_class, model, method)


def test_a_machine_controls_no_job_and_no_clock(world, machine):
    for model, method in (
        ("queue.job", "requeue"),
        ("queue.job", "button_done"),
        ("queue.job", "button_cancelled"),
        ("ir.cron", "method_direct_trigger"),
        ("ir.actions.server", "run"),
        ("ir.module.module", "button_immediate_uninstall"),
    ):
        [there] = world.admin.execute(model, "search", [], limit=1)
        assert refusal(machine, model, method, [there]) in (ACCESS_ERROR, ACCESS_DENIED), model


@pytest.mark.parametrize(
    ("who", "methods"),
    [("bank", PBMS_METHODS), ("pbms", BANK_METHODS), ("clerk", PBMS_METHODS + BANK_METHODS)],
)
def test_each_method_asks_for_its_group_before_all_else(world, users, who, methods):
    for door_class in (JsonRpcDoor, XmlRpcDoor, Json2Door):
        door = door_class(world.stack, *users[who])
        for method in methods:
            with pytest.raises(Refused) as caught:
                door.call(BRIDGE, method)
            assert caught.value.name == ACCESS_ERROR, (door_class, method)


def test_a_machine_gets_no_back_office(world):
    with requests.Session() as session:
        answer = session.get(
            f"{world.stack.url}/odoo", headers={"Authorization": f"bearer {world.key}"}, timeout=60
        )
        assert "/web/login" in answer.url
        answer = session.post(
            f"{world.stack.url}/web/session/authenticate",
            json={"params": {"db": world.stack.db, "login": world.login, "password": world.key}},
            timeout=60,
        )
        assert answer.json()["error"]["data"]["name"] == "odoo.exceptions.AccessDenied"


# -- programs and banks that name their users -----------------------------------------------------


def test_a_program_that_names_its_users_is_hidden_from_others(world):
    stack = world.stack
    other = stack.rpc("other-pbms", stack.create_user("other-pbms", [PBMS_GROUP]))
    [payment] = world.pbms.ids.values()
    envelope = {"disbursement_envelope_id": world.pbms.envelope_id}
    for method, arguments, code in (
        (
            "create_disbursement_envelope",
            {"benefit_program_mnemonic": world.mnemonic},
            "INVALID_PROGRAM_MNEMONIC",
        ),
        ("get_disbursement_envelope_status", envelope, "DISBURSEMENT_ENVELOPE_NOT_FOUND"),
        ("cancel_disbursement_envelope", envelope, "DISBURSEMENT_ENVELOPE_NOT_FOUND"),
        ("amend_disbursement_envelope", envelope, "DISBURSEMENT_ENVELOPE_NOT_FOUND"),
        ("create_disbursements", envelope, "DISBURSEMENT_ENVELOPE_NOT_FOUND"),
        ("cancel_disbursements", {"disbursement_ids": [payment]}, "INVALID_DISBURSEMENT_ID"),
    ):
        with pytest.raises(RpcError) as caught:
            other.execute(BRIDGE, method, **arguments)
        assert caught.value.arguments[0] == code, method
    [status] = other.execute(BRIDGE, "get_disbursement_status", disbursement_ids=[payment])
    assert (status["status"], status["response_error_codes"]) == ("", ["INVALID_DISBURSEMENT_ID"])
    # others' programs that name no user are open to it, so ask for this envelope's changes alone
    changes = other.execute(BRIDGE, "get_disbursement_changes", limit=5000)
    assert not changes["has_more"]
    seen = {change["disbursement_envelope_id"] for change in changes["changes"]}
    assert world.pbms.envelope_id not in seen


def test_a_bank_that_names_its_users_is_hidden_from_others(new_world):
    world = new_world(mapper=None)
    send(world, 1)
    wait_for(world, shipped=1)
    stack = world.stack
    own = stack.rpc("own-bank", stack.create_user("own-bank", [BANK_GROUP]))
    world.admin.execute(
        "g2p.sponsor.bank", "write", [world.bank_id], {"api_user_ids": [(4, own.uid)]}
    )
    other = stack.rpc("example-bank", stack.bank_key)
    today = datetime.now(timezone.utc).strftime("%y%m%d")
    balance = f"C{today}USD1,00"
    account = world.account_number
    statement = f":20:HIDDEN\n:25:{account}\n:28C:1/1\n:60F:{balance}\n:62F:{balance}\n-\n"
    [payment] = world.pbms.ids.values()
    update = {"disbursement_id": payment, "status": "accepted"}
    for method, arguments, code in (
        ("upload_mt940", {"statement": statement}, "UNKNOWN_ACCOUNT"),
        ("update_status_of_disbursements", {"updates": [update]}, "INVALID_DISBURSEMENT_PAYLOAD"),
    ):
        with pytest.raises(RpcError) as caught:
            other.execute(BRIDGE, method, **arguments)
        assert caught.value.arguments[0] == code
        assert own.execute(BRIDGE, method, **arguments)
    # even the same file again is not found by the other
    assert refusal(other, BRIDGE, "upload_mt940", statement=statement) != ACCESS_ERROR


def test_secrets_are_readable_by_system_administrators_only(world):
    stack = world.stack
    key = stack.create_user("bridge-admin", ["base.group_user", "g2p_bridge.group_administrator"])
    rpc = stack.rpc("bridge-admin", key)
    world.admin.execute("g2p.sponsor.bank", "write", [world.bank_id], {"secret": "s3cret"})
    [bank] = rpc.execute("g2p.sponsor.bank", "read", [world.bank_id], ["has_secret"])
    assert bank["has_secret"]
    assert refusal(rpc, "g2p.sponsor.bank", "read", [world.bank_id], ["secret"]) == ACCESS_ERROR
    world.admin.execute("g2p.sponsor.bank", "write", [world.bank_id], {"secret": False})
