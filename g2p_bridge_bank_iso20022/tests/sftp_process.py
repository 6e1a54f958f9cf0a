"""The SFTP server of the tests as a process: started, killed, started again."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncssh

SERVER = Path(__file__).with_name("sftp_server.py")
DEADLINE_S = 30


class SftpProcess:
    """A server on a fresh folder with ``in``, ``in/taken`` and ``out``; keys are made here.

    :ivar root: the folder that it serves (Path)
    :ivar settings: what a transport needs to reach it, as a dict
    """

    def __init__(self):
        self._place = tempfile.TemporaryDirectory(prefix="g2p-sftp-")
        base = Path(self._place.name)
        self.root = base / "files"
        for name in ("in/taken", "out"):
            (self.root / name).mkdir(parents=True)
        self._fault_file = base / "files.fault"
        self._port_file = base / "port"
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self._key_file = base / "authorized_keys"
        self._key_file.write_bytes(self.key.export_public_key())
        self.password = secrets.token_urlsafe(12)
        self._process, self._port = None, 0
        self.start()

    def start(self):
        """Start it, after an end on the same port; the host key stays."""
        self._port_file.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(SERVER),
                str(self.root),
                str(self._key_file),
                str(self._port_file),
                "bridge",
            ],
            env={
                **os.environ,
                "SFTP_PASSWORD": self.password,
                "SFTP_PORT": str(self._port),
            },
        )
        end = time.monotonic() + DEADLINE_S
        while not self._port_file.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the SFTP server did not start")
            time.sleep(0.02)
        port, self.host_key = self._port_file.read_text().splitlines()[:2]
        self._port = int(port)

    def stop(self):
        """End it, and its folder."""
        self.kill()
        self._place.cleanup()

    def kill(self):
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def wait_until_dead(self):
        """Wait until a fault has ended it."""
        self._process.wait(DEADLINE_S)

    def fault(self, name):
        """Have the next operation that it is of meet a fault."""
        self._fault_file.write_text(name)

    def clear_fault(self):
        self._fault_file.unlink(missing_ok=True)

    @property
    def settings(self):
        return {
            "kind": "sftp",
            "out_path": "/in",
            "in_path": "/out",
            "taken_path": "/in/taken",
            "host": "127.0.0.1",
            "port": self._port,
            "user": "bridge",
            "private_key": self.key.export_private_key().decode(),
            "host_key": self.host_key,
            "timeout_s": (5, 5),
        }
