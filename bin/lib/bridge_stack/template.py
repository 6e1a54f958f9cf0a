"""Databases with the addons installed: made once per state of the addons, then cloned."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bridge_stack.common import (
    BridgeError,
    child_env,
    data_dir,
    home,
    locked,
    odoo_command,
    project,
    project_key,
    remove_tree,
    say,
    tail,
)
from bridge_stack.install import postgres_programs
from bridge_stack.postgres import Postgres

#: ``rpc`` is named because automatic installation is off: it holds /jsonrpc, /xmlrpc and /json/2.
#: Then the bridge, and each bank addon that stands beside it.
MODULES = (
    "rpc",
    "g2p_bridge",
    *sorted(path.parent.name for path in project().glob("g2p_bridge_bank_*/__manifest__.py")),
)
#: Parts of an addon that leave no trace in a database.
_NOT_INSTALLED = {"tests", "simulator", "readme", "__pycache__"}


def source_hash(modules=MODULES):
    """Return 12 hexadecimal digits over all that a fresh installation depends on."""
    digest = hashlib.sha256()
    for step in ("odoo", "python"):
        digest.update((home() / "stamps" / f"{step}.json").read_bytes())
    for module in modules:
        digest.update(module.encode())
        for path in _installed_files(project() / module):
            digest.update(str(path.relative_to(project())).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _installed_files(folder):
    """Return the files (sorted) of an addon of ours; none for an addon that comes with Odoo."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in files
        if path.relative_to(folder).parts[0] not in _NOT_INSTALLED
        and "__pycache__" not in path.parts
    )


def install_log(modules=MODULES):
    """Return the path of the log of the last installation of these modules."""
    return home() / "log" / f"install-{_family(modules)}.log"


def install_warnings(modules=MODULES):
    """Return the lines (list) of the last installation's log of level WARNING and above."""
    return warnings_in(install_log(modules))


def warnings_in(log):
    """Return the lines (list) of a log of Odoo's of level WARNING and above."""
    lines = log.read_text(encoding="utf-8").splitlines()
    level = re.compile(r"^\S+ \S+ \d+ (WARNING|ERROR|CRITICAL) ")
    return [line for line in lines if level.match(line)]


def _family(modules):
    """Return what the templates of the same modules of the same checkout have in common."""
    # with the home, which has the file stores: two of them may share one PostgreSQL
    text = f"{project_key()} {home()} {','.join(modules)}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def template_database(postgres, modules=MODULES):
    """Return the name of a database with the modules installed; make it if the addons changed.

    Nobody may connect to it. A clone takes about a second, an installation about half a minute.

    :param postgres: a running :class:`~bridge_stack.postgres.Postgres`
    :raise BridgeError: the installation failed; with the end of its log
    """
    prefix = f"g2p_template_{_family(modules)}_"
    name = prefix + source_hash(modules)
    if postgres.exists(name):
        return name
    waiting = "template  waiting for another installation to end"
    with locked(home() / "locks" / f"{prefix}lock", waiting):
        if not postgres.exists(name):
            for old in postgres.databases(prefix):
                drop_database(postgres, old)
            return _make_template(postgres, name, modules)
    return name


def _make_template(postgres, name, modules):
    """Make the template and return its name.

    Where the addons changed during the installation it holds a mixture: good enough for this time,
    but under a name that no later call asks for.
    """
    say(f"template  installing {', '.join(modules)} in a fresh database")
    making, start = f"{name}_making", time.monotonic()
    postgres.create(making)
    run_install(making, "--init", modules, install_log(modules))
    _check_installed(postgres, making, modules)
    postgres.close_to_connections(making)
    if not name.endswith(source_hash(modules)):
        name = f"{name}_mixed"
    _file_store(name).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # no attachment, no file store
        _file_store(making).rename(_file_store(name))
    # last, for the name says that it is complete
    postgres.rename(making, name)
    say(f"template  ready ({time.monotonic() - start:.0f} s)")
    return name


def run_install(database, action, modules, log, *options):
    """Run ``odoo --init`` or ``--update`` for the modules, with all output in ``log``.

    :param options: added to the command line, such as ``--with-demo``
    :raise BridgeError: Odoo failed; with the end of its log
    """
    command = odoo_command("-d", database, action, ",".join(modules), "--skip-auto-install")
    command += ["--stop-after-init", "--no-http", "--log-level=info", *options]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            env=child_env(ODOO_QUEUE_JOB_CHANNELS="root:0"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
        )
    if done.returncode:
        raise BridgeError(f"The addons could not be installed. The end of {log}:\n{tail(log, 30)}")


def not_installed(postgres, database, modules):
    """Return those of the modules (list) that a database has not installed."""
    with postgres.cursor(database) as cursor:
        cursor.execute("SELECT name FROM ir_module_module WHERE state = 'installed'")
        installed = {name for (name,) in cursor.fetchall()}
    return [module for module in modules if module not in installed]


def _check_installed(postgres, database, modules):
    # Odoo only warns of a module that it does not find
    if missing := not_installed(postgres, database, modules):
        raise BridgeError(
            f"Not installed: {', '.join(missing)}. The end of {install_log(modules)}:\n"
            f"{tail(install_log(modules), 30)}"
        )


def make_database(postgres, modules, database):
    """Create a database with the modules installed, as a copy of their template.

    A private server has no templates: it gets a dump of the one on the checkout's server.
    """
    if not postgres.is_private:
        clone_database(postgres, template_database(postgres, modules), database)
        return
    with Postgres().running() as shared:
        clone_database(shared, template_database(shared, modules), database)
        try:
            _copy_between(shared, postgres, database)
        finally:
            shared.drop(database)  # its file store stays: it is that of the copy


def make_demo_database(postgres, modules, database):
    """Create a database with the modules and their demo data; there is no template of it."""
    say(f"database  installing {', '.join(modules)} with demo data")
    postgres.create(database)
    log = home() / "log" / f"demo-{database}.log"
    run_install(database, "--init", modules, log, "--with-demo")
    _check_installed(postgres, database, modules)
    # where demo data fails, Odoo warns and goes on without
    with postgres.cursor(database) as cursor:
        cursor.execute("SELECT name FROM ir_module_module WHERE state = 'installed' AND NOT demo")
        without = {name for (name,) in cursor.fetchall()} & set(modules)
    if without:
        raise BridgeError(f"The demo data of {', '.join(sorted(without))} failed: see {log}")


def _copy_between(source, target, database):
    target.create(database)
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "dump"
        # -Z0: written and read at once
        _run_client(source, "pg_dump", "-Fc", "-Z0", "-f", dump, database)
        _run_client(target, "pg_restore", "-j2", "--exit-on-error", "-d", database, dump)


def _run_client(postgres, program, *arguments):
    done = subprocess.run(
        [postgres_programs() / program, *arguments],
        env=child_env(**postgres.env()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BridgeError(f"{program} failed:\n{done.stderr[-1000:]}")


def clone_database(postgres, template, database):
    """Create a database, and its file store, as a copy of a template."""
    postgres.clone(template, database)
    source, target = _file_store(template), _file_store(database)
    remove_tree(target)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source, target):
    # Odoo names a stored file by its content and never changes it, so both may share it
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def drop_database(postgres, database):
    """Drop a database, whoever is connected, and its file store; none is fine too."""
    postgres.drop(database)
    remove_tree(_file_store(database))


def _file_store(database):
    return Path(data_dir()) / "filestore" / database


def temporary_name(kind):
    """Return a name for a database of this process; see :func:`drop_abandoned`."""
    return f"g2p_{kind}_{project_key()}_{os.getpid()}_{os.urandom(3).hex()}"


def drop_abandoned(postgres, kind):
    """Drop the databases of processes that died without dropping them.

    Only on the embedded server: process ids tell nothing about the users of another one.
    """
    if not postgres.is_embedded:
        return
    prefix = f"g2p_{kind}_{project_key()}_"
    for name in postgres.databases(prefix):
        owner = name.removeprefix(prefix).split("_")[0]
        # a stack that was kept running has lost its owner, not its users
        if not Path("/proc", owner).exists() and not postgres.is_in_use(name):
            drop_database(postgres, name)
