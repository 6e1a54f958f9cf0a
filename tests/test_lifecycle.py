"""Installing, updating, uninstalling and installing again."""

import subprocess

import pytest

from bridge_stack import template
from bridge_stack.common import child_env, odoo_command
from bridge_stack.postgres import Postgres
from bridge_stack.stack import odoo_shell

pytestmark = pytest.mark.stack

ADDONS = "g2p_bridge,g2p_bridge_bank_example"
LEVELS = (" WARNING ", " ERROR ", " CRITICAL ")

UNINSTALL = f"""
modules = env["ir.module.module"].search([("name", "in", {ADDONS.split(",")!r})])
modules.button_immediate_uninstall()
result = modules.mapped("state")
env.cr.commit()
"""

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


def odoo(database, action, modules=ADDONS):
    """Run ``odoo --init`` or ``--update``, and return the lines of its log that warn."""
    done = subprocess.run(
        odoo_command(
            "-d",
            database,
            action,
            modules,
            "--skip-auto-install",
            "--stop-after-init",
            "--no-http",
        ),
        env=child_env(ODOO_QUEUE_JOB_CHANNELS="root:0"),
        capture_output=True,
        text=True,
        check=True,
    )
    log = done.stdout + done.stderr
    assert "Modules loaded" in log
    return [line for line in log.splitlines() if any(level in line for level in LEVELS)]


def test_the_installation_warned_of_nothing():
    with Postgres().running() as postgres:
        template.template_database(postgres)
    assert template.install_warnings() == []


def test_an_update_warns_of_nothing(database):
    assert odoo(database, "--update") == []


def test_uninstalled_it_leaves_nothing_and_can_be_installed_again(database):
    assert odoo_shell(database, UNINSTALL) == ["uninstalled", "uninstalled"]
    assert odoo_shell(database, LEFT) == {"models": 0, "data": 0, "crons": 0, "tables": 0}
    assert odoo(database, "--init") == []
    assert odoo_shell(database, "result = env['g2p.bridge']._parameter('batch_size')") == 1000
