"""The whole system as real processes: PostgreSQL, Odoo with its job runner, the example bank."""

import functools
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from bridge_stack import install, template
from bridge_stack.common import (
    BridgeError,
    child_env,
    home,
    odoo_command,
    project,
    remove_tree,
    say,
    venv_python,
)
from bridge_stack.postgres import Postgres
from bridge_stack.process import Process, check_port, free_ports
from bridge_stack.rpc import JsonRpc

_SERVER_WIDE = "base,web,rpc,queue_job"
_UPLOAD_PATH = "/g2p_bridge/upload_mt940"
_RESULT = "bridge-stack-result:"

_CREATE_USER = """
from datetime import datetime, timedelta
groups = env["res.groups"]
for xml_id in groups_given or ["base.group_user"]:
    groups |= env.ref(xml_id)
users = env["res.users"].with_context(active_test=False, no_reset_password=True)
user = users.search([("login", "=", login)]) or users.create(
    {"login": login, "name": login, "group_ids": [(6, 0, groups.ids)]}
)
user.write({"active": True, "group_ids": [(4, group.id) for group in groups]})
keys = env["res.users.apikeys"].with_user(user).sudo()
result = keys._generate("rpc", "bridge_stack", datetime.now() + timedelta(days=days))
env.cr.commit()
"""


class Stack:
    """The system in a ``with`` block; everything that it started is gone afterwards.

    :param modules: addons of the database, installed once and cloned from then on
    :param database: name of a database that stays (made when missing, updated when the addons
        changed); by default a fresh one, dropped in the end
    :param workers: Odoo's HTTP workers; 0 for one threaded process, which answers ``/websocket``
        on the same port (browser tests)
    :param servers: how many Odoo servers share the database, each with workers, cron thread and
        job runner; several stand behind a load balancer, which callers and job runners call
    :param channels: job runner channels, ``root:0`` to keep it asleep
    :param bank: start the example bank, with ``bank_options`` added to its command line
    :param mapper: start the mapper stand-in, with ``mapper_options`` likewise
    :param port: of the server, ``bank_port`` of the bank; by default free ones
    :param odoo_options: added to the server's command line
    :param keep: leave everything running on exit, and say how to stop it
    :param folder: for logs and the bank's ledger; by default one that is removed after success
    :param postgres: the server to use, not started yet; by default that of the checkout
    :param with_demo: a new database gets the addons' demo data
    :param environment: variables (dict) of the servers, besides our own
    :param server_wide: addons that the servers load without a database, besides the usual ones

    :ivar url: of the server, or of the load balancer in front of several; ``bank_url``,
        ``mapper_url`` of the others, or None
    :ivar db: name of the database
    :ivar bank_key: API key of the bank's user, which uploads statements with it
    :ivar keep_logs: set it to keep ``folder`` for a look at what went wrong
    """

    ADMIN = ("admin", "admin")

    def __init__(
        self,
        *,
        modules=template.MODULES,
        database=None,
        workers=2,
        servers=1,
        channels="root:2",
        bank=True,
        bank_options=(),
        mapper=False,
        mapper_options=("--count", "1000"),
        port=None,
        bank_port=None,
        odoo_options=(),
        log_level="info",
        keep=False,
        folder=None,
        postgres=None,
        with_demo=False,
        environment=None,
        server_wide=(),
    ):
        self._with_demo = with_demo
        self._environment, self._server_wide = dict(environment or {}), tuple(server_wide)
        self.modules = tuple(modules)
        self.workers = workers
        self.channels = channels
        self.odoo_options = tuple(odoo_options)
        self.log_level = log_level
        self.keep = keep
        self.db = database or template.temporary_name("stack")
        self.url = self.bank_url = self.mapper_url = self.bank_key = None
        self.keep_logs = False
        self._is_temporary = database is None
        self._has_bank, self._bank_options = bank, tuple(bank_options)
        self._has_mapper, self._mapper_options = mapper, tuple(mapper_options)
        self._server_count, self._server_urls = servers, {}
        self._port, self._bank_port = port, bank_port
        self._own_folder = folder is None
        self.folder = Path(folder) if folder else home() / "run" / self.db
        self.postgres = None
        self._postgres_given = postgres
        self._processes = {}

    # starting and ending

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            # half a stack is taken down like a whole one, whatever the reason was
            self._end(failed=True)
            raise
        return self

    def __exit__(self, kind, error, traceback):
        if self.keep and kind is None:
            self._leave_running()
        else:
            self._end(failed=kind is not None)

    def _start(self):
        install.ensure_setup(install.RUNTIME)
        self._check_ports()
        postgres = self._postgres_given or Postgres()
        postgres.start()
        self.postgres = postgres
        template.drop_abandoned(self.postgres, "stack")
        self._prepare_database()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._has_mapper:
            self._start_mapper()
        self._start_servers()
        if self._has_bank:
            self._start_bank()

    def _check_ports(self):
        for port, what in ((self._port, "the server"), (self._bank_port, "the example bank")):
            if port:
                check_port(port, what)

    def _prepare_database(self):
        # read before the work: what changes meanwhile asks for another update next time
        state = f"addons {template.source_hash(self.modules)}"
        if not self.postgres.exists(self.db):
            make = template.make_demo_database if self._with_demo else template.make_database
            make(self.postgres, self.modules, self.db)
        elif self.postgres.note(self.db) != state:
            say(f"database  updating {self.db} to the addons as they are now")
            log = home() / "log" / f"update-{self.db}.log"
            # a bank addon that was made since then is not there to be updated
            new = template.not_installed(self.postgres, self.db, self.modules)
            more = ["--init", ",".join(new)] if new else []
            update = self.modules[1:] or self.modules
            template.run_install(self.db, "--update", update, log, *more)
        self.postgres.set_note(self.db, state)

    def _start_servers(self):
        ports = free_ports(self._server_count)
        if self._port and self._server_count == 1:
            ports = [self._port]
        names = ["server", *(f"server-{number}" for number in range(2, self._server_count + 1))]
        self._server_urls = {
            name: f"http://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)
        }
        self.url = self._server_urls["server"]
        if self._server_count > 1:
            self._start_balancer()
        for name, url in self._server_urls.items():
            self._start_server(name, urlsplit(url).port)
        for name in names:
            self._wait_for(name)

    def _start_server(self, name, port):
        command = odoo_command(
            # names it for every request; a filter beside it has Odoo list the databases each time
            f"--database={self.db}",
            f"--load={','.join([_SERVER_WIDE, *self._server_wide])}",
            f"--workers={self.workers}",
            "--max-cron-threads=1",
            f"--http-port={port}",
            f"--gevent-port={free_ports(1)[0]}",
            "--http-interface=127.0.0.1",
            f"--log-level={self.log_level}",
            *self.odoo_options,
        )
        # the runner reaches the servers over HTTP, where everybody else does
        env = child_env(
            **self.postgres.env(),
            ODOO_QUEUE_JOB_CHANNELS=self.channels,
            ODOO_QUEUE_JOB_HOST="127.0.0.1",
            ODOO_QUEUE_JOB_PORT=urlsplit(self.url).port,
            **self._environment,
        )
        self._run(name, command, env)

    def _start_balancer(self):
        command = [
            str(venv_python()),
            str(_require(project() / "tests" / "stand_ins" / "balancer")),
            f"--port={self._port or free_ports(1)[0]}",
            *(f"--server={urlsplit(url).netloc}" for url in self._server_urls.values()),
        ]
        self.url = self._run("balancer", command, child_env()).wait_for_address()

    def _wait_for(self, name):
        if name in self._server_urls:
            self._processes[name].wait_for_url(f"{self._server_urls[name]}/web/health", 120)
        else:
            self._processes[name].wait_for_address()

    def _start_bank(self):
        self.bank_key = self.create_user("example-bank", ["g2p_bridge.group_bank_api"])
        command = [
            str(venv_python()),
            str(_require(project() / "g2p_bridge_bank_example" / "simulator")),
            f"--port={self._bank_port or free_ports(1)[0]}",
            f"--database={self.folder / 'bank.sqlite'}",
            f"--upload-url={self.url}{_UPLOAD_PATH}",
            *self._bank_options,
        ]
        # not on the command line, which every user of the machine can read
        env = child_env(EXAMPLE_BANK_UPLOAD_KEY=self.bank_key)
        self.bank_url = self._run("bank", command, env).wait_for_address()

    def _start_mapper(self):
        command = [
            str(venv_python()),
            str(_require(project() / "tests" / "stand_ins" / "mapper")),
            f"--port={free_ports(1)[0]}",
            *self._mapper_options,
        ]
        self.mapper_url = self._run("mapper", command, child_env()).wait_for_address()

    def _run(self, name, command, env):
        # the server's claim on PostgreSQL outlives us, if the server does
        shared = [self.postgres.users_fd()] if self.postgres.users_fd() is not None else []
        process = Process(
            name,
            command,
            env,
            self.folder / f"{name}.log",
            cwd=self.folder,
            keep=self.keep,
            share_fds=shared,
        )
        self._processes[name] = process
        process.start()
        return process

    def _end(self, failed):
        for process in reversed(self._processes.values()):
            process.stop()
        if self.postgres is None:
            return
        try:
            if self._is_temporary:
                template.drop_database(self.postgres, self.db)
                self._remove_folder(failed or self.keep_logs)
        finally:
            self.postgres.leave()

    def _remove_folder(self, is_wanted):
        if not self._own_folder:
            return
        if is_wanted and self.folder.exists():
            say(f"stack     the logs stay in {self.folder}")
        else:
            remove_tree(self.folder)

    def _leave_running(self):
        pids = " ".join(str(pid) for pid in self.pids.values())
        say(f"stack     {self.url} runs on (database {self.db}, logs in {self.folder})")
        say(f"stack     stop it with: kill {pids}; then: bin/setup --stop-postgres")
        self.postgres.leave(keep_running=True)

    # while it runs

    @property
    def pids(self):
        """Process ids by name of what runs: ``server``, ``server-2``, ``bank``, ``mapper``..."""
        return {name: each.pid for name, each in self._processes.items() if each.is_running}

    def worker_pids(self, server="server"):
        """Return the ids (list) of a server's worker processes, for tests that kill one."""
        children = Path(f"/proc/{self.pids[server]}/task/{self.pids[server]}/children")
        return [int(pid) for pid in children.read_text(encoding="ascii").split()]

    def worker_pids_of(self, kind, server="server"):
        """Return the ids (list) of a server's workers of one kind.

        :param kind: as the server calls it in its log: ``WorkerHTTP``, ``WorkerCron``,
            ``WorkerJobRunner``
        """
        begun = self.all_worker_pids_of(kind, server)
        return [pid for pid in self.worker_pids(server) if pid in begun]

    def all_worker_pids_of(self, kind, server="server"):
        """Return the ids (set) of all workers of one kind that a server ever had."""
        text = self.log(server).read_text(encoding="utf-8", errors="replace")
        return {int(pid) for pid in re.findall(rf"Worker {kind} \((\d+)\) alive", text)}

    def log(self, name):
        """Return the path of a process's log."""
        return self._processes[name].log

    def kill(self, name, number=signal.SIGKILL, *, whole=True):
        """Signal a process, or with ``whole`` it and all its children, as a crash would."""
        self._processes[name].kill(number, whole=whole)

    def stop(self, name):
        """End a process in order: SIGTERM, SIGKILL after a deadline."""
        self._processes[name].stop()

    def restart(self, name):
        """Start a process again, on the same port and data, and wait until it answers."""
        process = self._processes[name]
        process.stop()
        process.start()
        self._wait_for(name)

    def wait_until(self, condition, deadline_s=60, what="result"):
        """Return the first true value of ``condition()``, asked several times a second.

        :raise AssertionError: the deadline passed
        """
        end = time.monotonic() + deadline_s
        while not (result := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {deadline_s} s; logs in {self.folder}")
            time.sleep(0.2)
        return result

    def rpc(self, login=ADMIN[0], password_or_key=ADMIN[1]):
        """Return a :class:`~bridge_stack.rpc.JsonRpc` of a user, by default the administrator."""
        return JsonRpc(self.url, self.db, login, password_or_key)

    @functools.cached_property
    def admin(self):
        """The administrator's :class:`~bridge_stack.rpc.JsonRpc`; logging in takes a second."""
        return self.rpc()

    def create_user(self, login, groups=(), days=90):
        """Give a user (created if needed) groups by XML id; return a new API key of theirs.

        A new user has these groups and no other: a machine is no internal user. Without groups it
        is an internal user.
        """
        return self.odoo_shell(
            f"login, groups_given, days = {login!r}, {list(groups)!r}, {int(days)}\n{_CREATE_USER}"
        )

    def odoo_shell(self, code):
        """Run Python code in ``odoo shell`` (``env`` is there); return its variable ``result``.

        Takes some three seconds. The code commits itself (``env.cr.commit()``) what is to stay.

        :return: ``result`` as JSON gives it back, None if the code sets none
        :raise BridgeError: the code failed; with the end of its output
        """
        return odoo_shell(self.db, code, self.postgres.env())


def odoo_shell(database, code, postgres_env=None):
    """Run code in ``odoo shell`` on a database; see :meth:`Stack.odoo_shell`."""
    epilogue = f"\nimport json\nprint({_RESULT!r} + json.dumps(locals().get('result')))\n"
    done = subprocess.run(
        odoo_command("shell", "-d", database, "--no-http", "--log-level=error"),
        input=code + epilogue,
        env=child_env(**(postgres_env or {}), ODOO_QUEUE_JOB_CHANNELS="root:0"),
        text=True,
        capture_output=True,
        check=False,
    )
    found = re.search(rf"^{_RESULT}(.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise BridgeError(f"odoo shell failed:\n{done.stderr[-3000:]}")
    return json.loads(found[1])


def _require(path):
    if not os.path.exists(path):
        raise BridgeError(f"{path.relative_to(project())} is not part of this checkout.")
    return path
