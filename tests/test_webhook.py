"""The receiver of docs/webhook.md, as a process, at the real system: all, once, in order."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess

import pytest
from test_docs import blocks
from test_import_crash import kill_workers
from test_whole_way import DEADLINE_S, ERRORS, quiet, send, wait_for

from bridge_stack.common import venv_python
from bridge_stack.process import free_ports
from bridge_stack.rpc import RpcError

pytestmark = pytest.mark.stack

PAYMENTS, MORE = 1200, 20
#: state of a connection in /proc/net/tcp
ESTABLISHED = "01"
#: a call of more bytes has its body with it
HEADERS_BYTES = 600
#: a payment's way, and an envelope's
WAY = ("received", "resolved", "batched", "sent", "reconciled", "reversed")
ENVELOPE_WAY = ("ready", "funds_available", "funds_blocked", "disbursing", "disbursed")


class Receiver:
    """The document's program, with its store and the log of the calls that it got."""

    def __init__(self, folder, secret, port):
        self.port = port
        self.store = folder / "events.sqlite"
        self.log = folder / "receiver.log"
        [code] = blocks("docs/webhook.md", "python")
        env = os.environ | {
            "WEBHOOK_SECRET": secret,
            "WEBHOOK_PORT": str(port),
            "WEBHOOK_STORE": str(self.store),
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [venv_python(), "-c", code], env=env, stderr=log, cwd=folder
            )

    def rows(self, query):
        with contextlib.closing(sqlite3.connect(self.store, timeout=30)) as store:
            return store.execute(query).fetchall()

    def payments(self):
        return dict(self.rows("SELECT id, status FROM payment"))

    def events(self, kind):
        """Return `data` members of the events of a kind, in the order in which they came."""
        found = self.rows("SELECT body FROM event ORDER BY number")
        events = [json.loads(body) for (body,) in found]
        return [event["data"] for event in events if event["type"] == kind]

    def count(self, status):
        """Return how many calls were answered with a status."""
        return self.log.read_text(encoding="utf-8").count(f'HTTP/1.1" {status} ')

    def has_unread_call(self):
        """Say whether a call came in that the process has not read, stopped as it is."""
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        unread = [
            int(row[4].partition(":")[2], 16)
            for row in rows
            if int(row[1].partition(":")[2], 16) == self.port and row[3] == ESTABLISHED
        ]
        return max(unread, default=0) > HEADERS_BYTES

    def send_signal(self, number):
        self.process.send_signal(number)


@pytest.fixture
def told(new_world, tmp_path):
    """Yield (world, receiver) of a program whose webhook is the document's receiver."""
    world = new_world(mapper=None)
    [port] = free_ports(1)
    world.webhook = world.create(
        "g2p.webhook", program_id=world.program_id, base_url=f"http://127.0.0.1:{port}/"
    )
    [values] = world.admin.execute("g2p.webhook", "read", [world.webhook], ["secret"])
    receiver = Receiver(tmp_path, values["secret"], port)
    world.stack.wait_until(receiver.store.exists, what="receiver")
    yield world, receiver
    receiver.send_signal(signal.SIGCONT)
    receiver.process.kill()
    receiver.process.wait()
    world.admin.execute("g2p.webhook", "write", [world.webhook], {"active": False})


def truth(world):
    """Return {id: status} of all payments, as the feed has them."""
    found, cursor, has_more = {}, "", True
    while has_more:
        page = world.pbms.call("get_disbursement_changes", cursor=cursor, limit=10_000)
        found |= {
            change["disbursement_id"]: change["status"]
            for change in page["changes"]
            if change["disbursement_envelope_id"] in world.envelopes
        }
        cursor, has_more = page["cursor"], page["has_more"]
    return found


def send_envelope(world, count, cycle):
    send(world, count, cycle=cycle)
    world.envelopes = {*getattr(world, "envelopes", ()), world.pbms.envelope_id}


def wait_until_told(world, receiver, count):
    """Do what the clock does in production, only sooner, until the receiver knows the truth."""

    def is_told():
        with contextlib.suppress(RpcError, OSError):  # the server may just come back
            known = receiver.payments()
            if len(known) == count and known == truth(world):
                return True
            world.run_cron("cron_deliver_webhooks")
        return False

    world.stack.wait_until(is_told, 2 * DEADLINE_S, "receiver that knows the truth")


def assert_in_order(receiver):
    """No payment and no envelope ever goes backwards in the order in which events came."""
    seen = {}
    for data in receiver.events("disbursements.changed"):
        assert 1 <= len(data["changes"]) <= 500
        for change in data["changes"]:
            step = WAY.index(change["status"])
            assert step >= seen.get(change["disbursement_id"], 0), change
            seen[change["disbursement_id"]] = step
    ways = {}
    for data in receiver.events("envelope.changed"):
        ways.setdefault(data["disbursement_envelope_id"], []).append(data["envelope_status"])
    for way in ways.values():
        assert tuple(way) == ENVELOPE_WAY


def test_a_delivery_that_is_killed_amid_tells_all_once_more_and_nothing_out_of_order(told):
    world, receiver = told
    stack = world.stack
    send_envelope(world, PAYMENTS, "2026-11")
    wait_for(world, shipped=PAYMENTS)
    wait_until_told(world, receiver, PAYMENTS)
    with quiet(stack, ERRORS):
        receiver.send_signal(signal.SIGSTOP)  # it takes calls and does not answer
        send_envelope(world, MORE, "2026-12")
        stack.wait_until(receiver.has_unread_call, DEADLINE_S, "delivery under way")
        for pid in stack.worker_pids_of("WorkerJobRunner"):
            os.kill(pid, signal.SIGKILL)
        kill_workers(stack)
        stack.restart("server")
        wait_for(world, shipped=MORE)  # a receiver that hangs holds up no payment
        receiver.send_signal(signal.SIGCONT)
        wait_until_told(world, receiver, PAYMENTS + MORE)
    assert_in_order(receiver)
    stored = receiver.rows("SELECT count(*) FROM event")[0][0]
    assert receiver.count(204) > stored, "the call that was cut off came again, under its id"
    assert receiver.count(401) == 0
    [values] = world.admin.execute(
        "g2p.webhook", "read", [world.webhook], ["waiting_count", "delivered_count"]
    )
    stack.wait_until(
        lambda: (
            not world.admin.execute("g2p.webhook", "read", [world.webhook], ["waiting_count"])[0][
                "waiting_count"
            ]
        ),
        DEADLINE_S,
        "end of what waits",
    )
    assert values["delivered_count"] > 0


def test_the_button_sends_an_event_that_the_receiver_takes(told):
    world, receiver = told
    answer = world.admin.execute("g2p.webhook", "action_send_test_event", [world.webhook])
    assert answer["params"]["type"] == "success"
    assert receiver.events("test") == [{"benefit_program_mnemonic": world.mnemonic}]
    world.admin.execute("g2p.webhook", "write", [world.webhook], {"secret": "whsec_" + "QUJD" * 10})
    answer = world.admin.execute("g2p.webhook", "action_send_test_event", [world.webhook])
    assert answer["params"]["type"] == "danger"
    assert receiver.count(401) == 1
