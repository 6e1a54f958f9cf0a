"""One process of the stack: started, waited for, killed, restarted, ended."""

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import requests

from bridge_stack.common import BridgeError, tail

POLL_S = 0.05


def free_ports(count):
    """Return ports (list of int) of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def check_port(port, what="the server"):
    """Raise a :class:`BridgeError` when somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # like the servers do: a port that is only waiting out its last connections is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BridgeError(
                f"Port {port} for {what} is taken or not allowed ({error.strerror}): "
                "stop what listens there, or choose another port."
            ) from error


@functools.cache
def _tied_to_parent():
    """Return a command prefix that ends the command when we die, however abruptly; or nothing."""
    prefix = ["setpriv", "--pdeathsig", "TERM"]
    if not shutil.which(prefix[0]):
        return []
    probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return [] if probe.returncode else prefix


class Process:
    """A program in a process group of its own, with its output in a log file.

    :param command: list of str
    :param env: its whole environment
    :param keep: it outlives us
    :param share_fds: file descriptors that it inherits
    :param options: further ones of :class:`subprocess.Popen`, such as another user
    """

    def __init__(
        self, name, command, env, log, *, cwd=None, keep=False, share_fds=(), options=None
    ):
        self.name = name
        self.command = command
        self.log = log
        self._env = env
        self._cwd = cwd
        self._keep = keep
        self._share_fds = tuple(share_fds)
        self._options = options or {}
        self._child = None
        self._log_start = 0

    def start(self):
        """Start it, and return at once; its output is added to the log file."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        prefix = [] if self._keep else _tied_to_parent()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                [*prefix, *self.command],
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._share_fds,
                # Ctrl-C is for us: we end it, in order
                start_new_session=True,
                **self._options,
            )

    @property
    def pid(self):
        """The process id of the program, or None before it was started."""
        return self._child.pid if self._child else None

    @property
    def is_running(self):
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def output(self):
        """Return what it wrote since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for(self, condition, deadline_s, what):
        """Return what ``condition()`` returns once it is true.

        :raise BridgeError: the program ended, or the deadline passed; with the end of its log
        """
        end = time.monotonic() + deadline_s
        while not (result := condition()):
            if not self.is_running:
                raise BridgeError(f"{self.name} ended with {self._child.returncode}.{self._tail()}")
            if time.monotonic() > end:
                raise BridgeError(f"{self.name}: no {what} within {deadline_s} s.{self._tail()}")
            time.sleep(POLL_S)
        return result

    def wait_for_address(self, deadline_s=30):
        """Return the URL that it announces in a line ``listening on http://HOST:PORT``."""
        announced = re.compile(r"^listening on (http://\S+?)/?\s*$", re.MULTILINE)
        found = self.wait_for(lambda: announced.search(self.output()), deadline_s, "address")
        return found[1]

    def wait_for_url(self, url, deadline_s=60):
        """Wait until a GET of the URL is answered with 200."""
        self.wait_for(lambda: _answers(url), deadline_s, f"answer at {url}")

    def _tail(self):
        return f" The end of {self.log}:\n{tail(self.log)}"

    def send(self, number, *, whole=False):
        """Send a signal to the program, or to its whole process group."""
        if self.is_running:
            (os.killpg if whole else os.kill)(self.pid, number)

    def kill(self, number=signal.SIGKILL, *, whole=True):
        """Send a signal and, where it is SIGKILL, wait for the end: a crash, to the others."""
        self.send(number, whole=whole)
        if number == signal.SIGKILL and self._child:
            self._child.wait(10)

    def wait_for_end(self, deadline_s):
        """Wait until it has ended by itself, or the deadline has passed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(deadline_s)

    def stop(self, deadline_s=15):
        """End it: SIGTERM, and SIGKILL for whatever of its group is left after the deadline."""
        if self._child is None:
            return
        self.send(signal.SIGTERM)
        self.wait_for_end(deadline_s)
        # children of it that outlived it; the group keeps its number while one of them lives
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(10)


def _answers(url):
    try:
        return requests.get(url, timeout=5).status_code == requests.codes.ok
    except requests.RequestException:
        return False
