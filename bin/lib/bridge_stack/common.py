"""What every part of the stack shares: where things are, what is said, how children are run."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

#: Variables of another Python, Odoo or PostgreSQL set-up that would decide what our children do.
_FOREIGN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "ODOO_RC",
    "OPENERP_SERVER",
    "PGDATABASE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGDATA",
    "PGAPPNAME",
    # the set-up itself runs with it; Odoo without compiled files starts three seconds later
    "PYTHONDONTWRITEBYTECODE",
)


class BridgeError(Exception):
    """Something a person can act on; its text is the sentence to show them."""


_stream = ["stdout"]


def speak_on_stderr():
    """Let :func:`say` leave the standard output to the program that is run."""
    _stream[0] = "stderr"


def say(text):
    """Show one line to whoever runs the command, at once."""
    # looked up each time, for tests capture by putting another stream there
    print(text, file=getattr(sys, _stream[0]), flush=True)


def complain(text):
    """Show a sentence on the error stream."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the commands talk to a person


def project():
    """Return the folder of the checkout (:class:`~pathlib.Path`)."""
    return Path(__file__).resolve().parents[3]


def home():
    """Return the folder that keeps all that was prepared: ``G2P_BRIDGE_HOME`` or ``.cache``."""
    chosen = os.environ.get("G2P_BRIDGE_HOME")
    return Path(chosen).expanduser().absolute() if chosen else project() / ".cache"


def project_key():
    """Return 8 hexadecimal digits that tell this checkout from others that share the home."""
    return hashlib.sha256(str(project()).encode()).hexdigest()[:8]


def venv_python():
    """Return the interpreter of the virtual environment."""
    return home() / "venv" / "bin" / "python"


def odoo_config():
    """Return the path of the Odoo configuration file of this checkout."""
    return home() / "conf" / f"odoo-{project_key()}.conf"


def odoo_launcher():
    """Return the script that starts Odoo; respawned workers run it by this path again."""
    return home() / "bin" / "odoo"


def odoo_command(*arguments):
    """Return the command line (list of str) that runs Odoo; a subcommand comes first."""
    return [str(venv_python()), str(odoo_launcher()), *map(str, arguments)]


def data_dir():
    """Return Odoo's data folder (file stores, sessions)."""
    return home() / "data"


def child_env(**extra):
    """Return the environment of a child: this one, without what belongs to another set-up."""
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    env["PATH"] = os.pathsep.join(
        [str(home() / "bin"), str(venv_python().parent), env.get("PATH", os.defpath)]
    )
    env["ODOO_RC"] = str(odoo_config())
    env["HOME"] = str(usable_home_folder())
    env["PYTHONUNBUFFERED"] = "1"
    # compiled files of all Python code go to the cache, none into the checkout
    env["PYTHONPYCACHEPREFIX"] = str(home() / "pycache")
    return env | {name: str(value) for name, value in extra.items()}


def usable_home_folder():
    """Return ``HOME``, or a folder of our own where that is unset or cannot be written.

    npm, Chromium and Odoo put files there and fail obscurely without it.
    """
    given = os.environ.get("HOME")
    if given and os.path.isdir(given) and os.access(given, os.W_OK | os.X_OK):
        return Path(given)
    own = home() / "user"
    own.mkdir(parents=True, exist_ok=True)
    return own


def write_atomically(path, text):
    """Write ``text`` so that a reader, or a crash, sees the old content or the new, never half."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def remove_tree(path):
    """Remove a folder if it is there, by renaming it first, so that no half of it is used."""
    path = Path(path)
    if not os.path.lexists(path):
        return
    doomed = path.with_name(f".{path.name}.removed-{os.getpid()}")
    os.rename(path, doomed)
    shutil.rmtree(doomed)


@contextlib.contextmanager
def locked(path, waiting):
    """Hold an exclusive lock on a file; say ``waiting`` once where another process holds it.

    The kernel frees the lock of a process that dies, so nothing is ever left locked.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def tail(path, lines=20):
    """Return the last lines of a text file, or a note that there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return f"(no log at {path})"
    return "\n".join(text.splitlines()[-lines:])
