"""Installing, updating, uninstalling and installing again."""

import subprocess

import pytest

from bridge_stack import template
from bridge_stack.common import child_env, odoo_command
from bridge_stack.postgres import Postgres
from bridge_stack.stack import odoo_shell

pytestmark = pytest.mark.stack

ADDONS = ("g2p_bridge", "g2p_bridge_bank_example")
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


@pytest.fixture
def database():
    """Yield a database with both addons installed, of its own."""
    with Postgres().running() as postgres:
        name = template.temporary_name("lifecycle")
        template.clone_database(postgres, template.template_database(postgres), name)
        yield name
        template.drop_database(postgres, name)


def odoo(*arguments):
    """Run an ``odoo`` command, and return the lines of its log that warn."""
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
