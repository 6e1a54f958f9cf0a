"""The examples of docs/examples, each run as its reader would: from envelope to statement."""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import time

import pytest
from lossy_proxy import LossyProxy

from bridge_stack.common import child_env, home, locked, project, venv_python
from bridge_stack.world import PBMS_GROUP, World

pytestmark = [pytest.mark.stack, pytest.mark.client_tools]

EXAMPLES = project() / "docs" / "examples"
COLLECTION = EXAMPLES / "g2p-bridge.postman_collection.json"
RUNNER = project() / "tests" / "newman"
CLIENT = project() / "clients" / "python" / "src"
DEADLINE_S = 120
PEOPLE = ("BEN000001", "BEN000002", "BEN000003")
COMMANDS = {
    "python_client.py": [str(venv_python())],
    "python_requests.py": [str(venv_python())],
    "python_odoorpc.py": [str(venv_python())],
    "javascript_fetch.mjs": ["node"],
    "curl.sh": ["bash"],
}
NAMES = [*COMMANDS, COLLECTION.name]
LOGIN = "examples"
#: answers lost after the server has committed: of the envelope twice, of each call with rows once
LOSSES = ("drop", "bad", None, "drop", None, "cut", None)


@pytest.fixture(scope="module")
def newman(room):
    """Return the folder with newman and the schema's validator, installed once in the cache."""
    folder = home() / "newman"
    wanted = (RUNNER / "package-lock.json").read_text("utf-8")
    stamp = folder / "installed.json"
    with locked(home() / "newman.lock", "tools     another run installs newman"):
        if stamp.exists() and stamp.read_text("utf-8") == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(RUNNER / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=folder, env=child_env(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"npm needs the network once: {done.stdout + done.stderr}"
        stamp.write_text(wanted, "utf-8")
    return folder


@pytest.fixture(scope="module")
def world(stack):
    """Return a world with a program system of its own, and accounts for the people."""
    world = World(stack, user=(LOGIN, stack.create_user(LOGIN, [PBMS_GROUP])))
    world.link(PEOPLE)
    yield world
    assert world.differences() == []


class Run:
    """One example, running; its cycle, and so its envelope, is its own."""

    def __init__(self, world, name, newman, folder, url=None):
        stack = world.stack
        self.name = name
        self.cycle = f"2026-11-{name.partition('.')[0]}"
        command = [*COMMANDS[name], EXAMPLES / name] if name in COMMANDS else None
        env = os.environ | {
            "BRIDGE_URL": url or stack.url,
            "BRIDGE_DB": stack.db,
            "PBMS_LOGIN": LOGIN,
            "PBMS_KEY": world.key,
            "PROGRAM": world.mnemonic,
            "CYCLE": self.cycle,
            "PYTHONPATH": str(CLIENT),
        }
        self._out, self._err = (folder / f"{name}-{secrets.token_hex(4)}.{end}" for end in "oe")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._child = subprocess.Popen(
                command or self._newman(env, newman, folder),
                cwd=folder,
                env=env,
                stdout=out,
                stderr=err,
            )

    def _newman(self, env, newman, folder):
        """Return newman's command; the key comes by a file, as from Postman's environment."""
        names = {"base_url": "BRIDGE_URL", "db": "BRIDGE_DB", "api_key": "PBMS_KEY"}
        names |= {"program": "PROGRAM", "cycle": "CYCLE"}
        values = [{"key": name, "value": env[given]} for name, given in names.items()]
        file = folder / "environment.json"
        file.write_text(json.dumps({"name": "test", "values": values}), "utf-8")
        command = ["node", newman / "node_modules" / "newman" / "bin" / "newman.js", "run"]
        return [*command, COLLECTION, "--environment", file, "--color", "off"]

    @property
    def is_running(self):
        return self._child.poll() is None

    def end(self):
        """End it if it runs still; return (exit code, output, errors)."""
        if self.is_running:
            self._child.kill()
        code = self._child.wait()
        return code, self._out.read_text("utf-8"), self._err.read_text("utf-8")


@pytest.fixture(scope="module")
def losses():
    """Return name -> how answers were lost to it; :func:`runs` fills it."""
    return {}


@pytest.fixture(scope="module")
def runs(world, newman, room, losses, tmp_path_factory):
    """Return name -> (exit code, output, errors) of two runs: all at once, then all again.

    In the first, answers of creating calls are lost; not those to Postman, which repeats nothing.
    The bank settles and sends its statement whenever it has got something to pay.
    """
    folder = tmp_path_factory.mktemp("examples")
    ended = {name: [] for name in NAMES}
    with contextlib.ExitStack() as proxies:
        between = {
            name: proxies.enter_context(
                LossyProxy(world.stack.url, LOSSES, only="create_disbursement")
            )
            for name in COMMANDS
        }
        urls = {name: proxy.url for name, proxy in between.items()}
        for run in _run_all(world, newman, folder, urls):
            ended[run.name].append(run.end())
    for name, proxy in between.items():
        losses[name] = [fault for _method, _key, fault in proxy.calls if fault]
    for run in _run_all(world, newman, folder, {}):
        ended[run.name].append(run.end())
    return ended


def _run_all(world, newman, folder, urls):
    running = [Run(world, name, newman, folder, urls.get(name)) for name in NAMES]
    end = time.monotonic() + DEADLINE_S
    while any(run.is_running for run in running) and time.monotonic() < end:
        if any(each["state"] == "accepted" for each in world.ledger()["payments"]):
            world.settle()
        time.sleep(0.5)
    return running


def lines_of(world, cycle):
    """Return reference -> (payment id, state) of what the bridge has of a cycle."""
    payments = world.admin.execute(
        "g2p.disbursement",
        "search_read",
        [("program_id", "=", world.program_id), ("envelope_id.cycle_code_mnemonic", "=", cycle)],
        ["mis_reference_number", "disbursement_id", "state"],
    )
    return {
        each["mis_reference_number"]: (each["disbursement_id"], each["state"]) for each in payments
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_pays_follows_and_shows_a_refusal(world, runs, losses, name):
    code, output, errors = runs[name][0]
    assert code == 0, output + errors
    assert losses[name] == list(filter(None, LOSSES))
    cycle = f"2026-11-{name.partition('.')[0]}"
    stored = lines_of(world, cycle)
    assert set(stored) == {f"{cycle}-{person}" for person in PEOPLE}
    assert output.splitlines() == [
        "refused INVALID_DISBURSEMENT_PAYLOAD 0 INVALID_DISBURSEMENT_AMOUNT",
        *(f"{reference} {payment_id} reconciled" for reference, (payment_id, _) in stored.items()),
        "paid 3 157.75",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_second_run_pays_nobody_again(world, runs, name):
    (code, first, _), (again, second, errors) = runs[name]
    assert (code, again) == (0, 0), first + second + errors
    if name in COMMANDS:
        assert second == first
    cycle = f"2026-11-{name.partition('.')[0]}"
    ours = {payment_id for payment_id, _state in lines_of(world, cycle).values()}
    ordered = [each for each in world.ledger()["payments"] if each["reference"] in ours]
    assert len(ours) == len(ordered) == len(PEOPLE)
    assert {each["times_ordered"] for each in ordered} == {1}


def test_the_collection_is_one_by_postmans_schema(newman):
    check = shutil.copy(RUNNER / "check.cjs", newman)
    done = subprocess.run(["node", check, COLLECTION], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_request_of_the_collection_was_sent_and_has_tests(runs):
    code, output, errors = runs[COLLECTION.name][0]
    assert code == 0, output + errors
    requests = [
        request
        for folder in json.loads(COLLECTION.read_text("utf-8"))["item"]
        for request in folder["item"]
    ]
    called = {request["request"]["url"]["path"][-1] for request in requests}
    assert len(called) == 8
    for request in requests:
        scripts = {event["listen"]: event["script"]["exec"] for event in request["event"]}
        assert "pm.test(" in "\n".join(scripts["test"]), request["name"]
        assert f"↳ {request['name']}\n" in output
    failed = re.search(r"assertions\W+(\d+)\W+(\d+)", output)
    assert failed, output
    assert int(failed[1]) > len(requests)
    assert int(failed[2]) == 0


def test_no_example_shows_the_key(world, runs):
    texts = {name: "".join(map(str, both)) for name, both in runs.items()}
    assert [name for name, text in texts.items() if world.key in text] == []
