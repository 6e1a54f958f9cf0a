"""The package mock-bank as a process: somebody else's reading of the same standard."""

import socket
import subprocess
import sys
import time

import requests

TIMEOUT_S = 30


class MockBankProcess:
    """A running mock-bank with fresh books in memory, until it is stopped."""

    def __init__(self, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mockbank", "--quiet", "--port", str(port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{port}"
        self._wait()

    def stop(self):
        """End it."""
        self._process.terminate()
        self._process.wait(TIMEOUT_S)

    def call(self, method, path, **options):
        """Return the response (requests) to a call."""
        return requests.request(method, self.url + path, timeout=TIMEOUT_S, **options)

    def _wait(self):
        deadline = time.monotonic() + TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._is_up():
                return
            time.sleep(0.05)
        self._process.kill()
        self._process.wait(TIMEOUT_S)
        raise AssertionError("mock-bank did not start")

    def _is_up(self):
        try:
            return self.call("GET", "/_mock/health").ok
        except requests.ConnectionError:
            return False
