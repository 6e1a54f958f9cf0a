"""Installing, updating, copying, uninstalling and installing again."""

import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sweep import columns_with

from bridge_stack import template
from bridge_stack.common import child_env, odoo_command
from bridge_stack.postgres import Postgres
from bridge_stack.stack import odoo_shell

pytestmark = pytest.mark.stack

ADDONS = ("g2p_bridge", "g2p_bridge_bank_example", "g2p_bridge_bank_iso20022")
LEVELS = (" WARNING ", " ERROR ", " CRITICAL ")

LEFT = """
result = {
    "models": env["ir.model"].search_count([("model", "like", "g2p.%")]),
    "data": env["ir.model.data"].search_count([("module", "like", "g2p_bridge%")]),
    "crons": env["ir.cron"].with_context(active_test=False).search_count(
        [("name", "like", "G2P Bridge%")]),
}
env.cr.execute("SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'g2p\\\\_%'")
result["tables"] = env.cr.fetchone()[0]
"""


CANARY = "canary-of-the-original"
#: an envelope on its way, with jobs that wait, at a bank and a mapper that have secrets
SET_UP = """
from datetime import datetime
made = env["g2p.sponsor.bank"].create({"name": "Bank", "code": "ORIGINAL",
    "connector": "example", "base_url": url, "secret": canary + " bank"})
account = env["g2p.funding.account"].create({"name": "Account", "bank_id": made.id,
    "account_number": "ORIGINAL1", "currency_id": env.ref("base.USD").id})
env.ref("base.USD").active = True
mapper = env["g2p.account.mapper"].create({"name": "Mapper", "provider": "g2p_connect",
    "base_url": url, "secret": canary + " mapper"})
env["g2p.account.mapper"].create({"name": "Local", "secret": canary + " local"})
program = env["g2p.benefit.program"].create({"name": "Program", "mnemonic": "ORIGINAL",
    "funding_account_id": account.id, "mapper_id": mapper.id})
env["g2p.webhook"].create({"program_id": program.id, "base_url": url}).flush_recordset()
env.cr.execute("UPDATE g2p_webhook SET secret = %s", [canary + " webhook"])
keys = []
for number, group in enumerate(("pbms_api", "bank_api", "officer")):
    user = env["res.users"].create({"name": group, "login": group,
        "group_ids": [(6, 0, env.ref("g2p_bridge.group_" + group).ids)]})
    keys.append(env["res.users.apikeys"].with_user(user).sudo()._generate("rpc", "key", None))
pbms = env["res.users"].search([("login", "=", "pbms_api")])
env["g2p.trusted.key"].create({"sender_id": "pbms", "api_user_id": pbms.id})
bridge = env["g2p.bridge"].with_user(pbms)
answer = bridge.create_disbursement_envelope("ORIGINAL", "Monthly", "2026-11", 1, 1, "1.00", "USD",
    datetime.utcnow().date().isoformat())
env.cr.commit()
bridge.create_disbursements(answer["disbursement_envelope_id"], [{"mis_reference_number": "1",
    "beneficiary_id": "BEN1", "beneficiary_name": "One", "disbursement_amount": "1.00",
    "narrative": "Grant"}])
env.cr.commit()
result = keys
"""
#: makes each step by hand, as somebody might who wants to see the copy work
TRY_TO_PAY = """
from odoo.addons.queue_job.exception import RetryableJobError
envelope = env["g2p.disbursement.envelope"].search([("program_id.mnemonic", "=", "ORIGINAL")])
envelope._cron_find_due_work()
env.cr.commit()
for step in (lambda: envelope._resolve(0, 10**9), envelope._check_funds_with_bank):
    try:
        step()
    except RetryableJobError:
        env.cr.rollback()
apikeys = env["res.users.apikeys"].sudo().search([])
result = {
    "state": envelope.state,
    "crons": env["ir.cron"].search([("name", "like", "G2P Bridge%")]).mapped("name"),
    "keys": apikeys.user_id.mapped("login"),
    "trusted": env["g2p.trusted.key"].search([]).mapped("sender_id"),
    "addresses": sorted(set(env["g2p.sponsor.bank"].search([]).mapped("base_url")
        + env["g2p.account.mapper"].search([("provider", "!=", "local")]).mapped("base_url"))),
}
"""


class Listener:
    """Stands where the original's bank and mapper are, and counts who comes."""

    def __init__(self):
        self.paths = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.paths.append(self.path)
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_error(503)

            def log_message(self, *_arguments):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def database():
    """Yield a database with both addons installed, of its own."""
    with Postgres().running() as postgres:
        name = template.temporary_name("lifecycle")
        template.clone_database(postgres, template.template_database(postgres), name)
        yield name
        template.drop_database(postgres, name)


def run(*arguments):
    """Run an ``odoo`` command that has to succeed, and return its log."""
    done = subprocess.run(
        odoo_command(*arguments),
        env=child_env(ODOO_QUEUE_JOB_CHANNELS="root:0"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0, log[-3000:]
    return log


def odoo(*arguments):
    """Run an ``odoo`` command, and return the lines of its log that warn."""
    log = run(*arguments)
    assert "Modules loaded" in log
    return [line for line in log.splitlines() if any(level in line for level in LEVELS)]


def load(database, action):
    """Run ``odoo --init`` or ``--update`` of both addons, and return what warns."""
    return odoo(
        "-d",
        database,
        action,
        ",".join(ADDONS),
        "--skip-auto-install",
        "--stop-after-init",
        "--no-http",
    )


def test_the_installation_warned_of_nothing():
    with Postgres().running() as postgres:
        template.template_database(postgres)
    assert template.install_warnings() == []


def test_an_update_warns_of_nothing(database):
    assert load(database, "--update") == []


def test_uninstalled_it_leaves_nothing_and_can_be_installed_again(database):
    assert odoo("module", "uninstall", "-d", database, *ADDONS) == []
    assert odoo_shell(database, LEFT) == {"models": 0, "data": 0, "crons": 0, "tables": 0}
    assert load(database, "--init") == []
    assert odoo_shell(database, "result = env['g2p.bridge']._parameter('batch_size')") == 1000


def texts_with(postgres, database, text):
    """Return {"table.column"} of all that hold a text, in the whole database."""
    return set(columns_with(postgres, database, [text])[text])


def open_jobs(postgres, database):
    with postgres.cursor(database) as cursor:
        cursor.execute(
            "SELECT count(*) FROM queue_job WHERE model_name LIKE 'g2p.%'"
            " AND state IN ('pending', 'enqueued', 'started', 'wait_dependencies')"
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize("way", ["neutralize", "duplicate"])
def test_a_neutralized_copy_has_no_secret_and_pays_nobody(database, way):
    copy = template.temporary_name("lifecycle")
    with Listener().running() as listener, Postgres().running() as postgres:
        set_up = f"url, canary = {listener.url!r}, {CANARY!r}\n{SET_UP}"
        odoo_shell(database, set_up)
        secrets = {"g2p_sponsor_bank.secret", "g2p_account_mapper.secret", "g2p_webhook.secret"}
        assert texts_with(postgres, database, CANARY) == secrets
        assert open_jobs(postgres, database)
        try:
            if way == "duplicate":
                run("db", "duplicate", "--neutralize", database, copy)
            else:
                template.clone_database(postgres, database, copy)
                run("neutralize", "-d", copy)
            assert texts_with(postgres, copy, CANARY) == set()
            assert texts_with(postgres, copy, listener.url) == set()
            assert open_jobs(postgres, copy) == 0
            assert odoo_shell(copy, TRY_TO_PAY) == {
                "state": "ready",
                "crons": [],
                "keys": ["officer"],
                "trusted": [],
                "addresses": ["https://neutralized.invalid"],
            }
            assert listener.paths == []
        finally:
            template.drop_database(postgres, copy)
        # the original goes on: what is counted here would have been counted above
        original = odoo_shell(database, TRY_TO_PAY)
        assert len(original["crons"]) >= 2
        assert sorted(original["keys"]) == ["bank_api", "officer", "pbms_api"]
        assert original["trusted"] == ["pbms"]
        assert set(listener.paths) == {"/sync/resolve", "/check_funds"}
