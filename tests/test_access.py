"""What a machine user may do in Odoo: its API, and nothing else."""

import pytest
import requests

from bridge_stack.pbms import Pbms
from bridge_stack.rpc import RpcError
from bridge_stack.world import World

pytestmark = pytest.mark.stack

PBMS_METHODS = (
    "create_disbursement_envelope",
    "amend_disbursement_envelope",
    "cancel_disbursement_envelope",
    "get_disbursement_envelope_status",
    "create_disbursements",
    "cancel_disbursements",
    "get_disbursement_status",
    "get_disbursement_changes",
)
BANK_METHODS = ("upload_mt940", "update_status_of_disbursements")
#: attachments of nobody in particular are open to all in Odoo; none of ours is
CLOSED_MODELS = (
    "g2p.account.link",
    "g2p.account.mapper",
    "g2p.account.statement",
    "g2p.account.statement.line",
    "g2p.bank.call",
    "g2p.benefit.program",
    "g2p.disbursement",
    "g2p.disbursement.batch",
    "g2p.disbursement.envelope",
    "g2p.disbursement.journal",
    "g2p.funding.account",
    "g2p.sponsor.bank",
    "ir.config_parameter",
    "ir.cron",
    "ir.model",
    "mail.message",
    "queue.job",
    "res.company",
    "res.currency",
    "res.groups",
    "res.partner",
    "res.users",
    "res.users.apikeys",
)
PRIVATE_METHODS = (
    ("g2p.bridge", "_parameter"),
    ("g2p.bridge", "_upload_statement"),
    ("g2p.disbursement", "_bulk_transition"),
    ("g2p.disbursement.envelope", "_set_ready"),
    ("g2p.disbursement.envelope", "_advance"),
    ("g2p.disbursement.batch", "_disburse_funds_from_bank"),
    ("g2p.bank.connector.example", "initiate_payment"),
    ("g2p.bank.connector.example", "block_funds"),
    ("g2p.bank.connector.example", "parse_statement"),
    ("g2p.sponsor.bank", "_get_connector"),
    ("g2p.funding.account", "_to_debtor_account"),
)


@pytest.fixture(scope="module")
def world(stack):
    return World(stack, mapper=None)


@pytest.fixture(scope="module")
def machines(world):
    """Return RPC clients of a PBMS user, a bank user and a user without any of the groups."""
    stack = world.stack
    clerk = stack.create_user("clerk-without-groups")
    return {
        "pbms": stack.rpc(world.login, world.key),
        "bank": stack.rpc("example-bank", stack.bank_key),
        "clerk": stack.rpc("clerk-without-groups", clerk),
    }


def refused(rpc, *call, **arguments):
    """Return the name of the exception that a call ends in."""
    with pytest.raises(RpcError) as caught:
        rpc.execute(*call, **arguments)
    return caught.value.name


@pytest.mark.parametrize("who", ["pbms", "bank"])
@pytest.mark.parametrize("model", CLOSED_MODELS)
def test_a_machine_reads_no_other_model(machines, who, model):
    name = refused(machines[who], model, "search_read", [], ["id"], limit=1)
    assert name == "odoo.exceptions.AccessError"


@pytest.mark.parametrize("who", ["pbms", "bank"])
def test_a_machine_writes_nothing(machines, who):
    for model, values in (("res.partner", {"name": "x"}), ("g2p.account.link", {})):
        assert refused(machines[who], model, "create", values) == "odoo.exceptions.AccessError"
    assert (
        refused(machines[who], "res.users", "write", [1], {"name": "x"})
        == "odoo.exceptions.AccessError"
    )
    assert machines[who].execute("ir.attachment", "search_read", [], ["name"]) == []


@pytest.mark.parametrize(("model", "method"), PRIVATE_METHODS)
def test_nobody_calls_private_methods_not_even_the_administrator(stack, machines, model, method):
    for rpc in (*machines.values(), stack.rpc()):
        assert refused(rpc, model, method) == "odoo.exceptions.AccessError"


@pytest.mark.parametrize(
    ("who", "methods"),
    [("bank", PBMS_METHODS), ("pbms", BANK_METHODS), ("clerk", PBMS_METHODS + BANK_METHODS)],
)
def test_each_method_asks_for_its_group_at_every_door(world, machines, who, methods):
    for method in methods:
        assert refused(machines[who], "g2p.bridge", method) == "odoo.exceptions.AccessError"
    key = {"bank": world.stack.bank_key, "pbms": world.key}.get(who)
    for method in methods if key else ():
        answer = requests.post(
            f"{world.stack.url}/json/2/g2p.bridge/{method}",
            json={},
            headers={"Authorization": f"bearer {key}"},
            timeout=60,
        )
        assert answer.status_code == 403, method


def test_a_machine_gets_no_back_office(world):
    with requests.Session() as session:
        answer = session.get(f"{world.stack.url}/odoo", timeout=60)
        assert "/web/login" in answer.url


def test_a_program_that_names_its_users_is_hidden_from_others(world):
    stack = world.stack
    other_key = stack.create_user("other-pbms", ["g2p_bridge.group_pbms_api"])
    other = Pbms(stack, "other-pbms", other_key, world.mnemonic)
    for client, code in (
        (other, "INVALID_PROGRAM_MNEMONIC"),
        (world.pbms, "INVALID_DISBURSEMENT_FREQUENCY"),
    ):
        with pytest.raises(RpcError) as caught:
            client.call("create_disbursement_envelope", benefit_program_mnemonic=world.mnemonic)
        assert caught.value.arguments[0] == code


def test_secrets_are_readable_by_system_administrators_only(world):
    stack = world.stack
    world.admin.execute("g2p.sponsor.bank", "write", [world.bank_id], {"secret": "s3cret"})
    key = stack.create_user("bridge-admin", ["base.group_user", "g2p_bridge.group_administrator"])
    rpc = stack.rpc("bridge-admin", key)
    [bank] = rpc.execute("g2p.sponsor.bank", "read", [world.bank_id], ["has_secret"])
    assert bank["has_secret"]
    name = refused(rpc, "g2p.sponsor.bank", "read", [world.bank_id], ["secret"])
    assert name == "odoo.exceptions.AccessError"
    world.admin.execute("g2p.sponsor.bank", "write", [world.bank_id], {"secret": False})
