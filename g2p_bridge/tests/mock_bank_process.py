"""The package mock-bank as a process: somebody else's reading of the same standard."""

import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import requests

TIMEOUT_S = 30
#: hours of the bank's day (UTC): before 15:00 it books on the day what it gets, after that later
MORNING, AFTERNOON = "09:00", "16:00"


def next_monday():
    """Return the first Monday after today (UTC): a day on which the bank works."""
    today = datetime.now(timezone.utc).date()
    return today + timedelta(days=7 - today.weekday())


class MockBankProcess:
    """A running mock-bank with fresh books in memory, until it is stopped.

    :param hour: when it starts, on the next Monday: what it does depends on hour and weekday, and
        a test's result may not
    """

    def __init__(self, *options, hour=AFTERNOON):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mockbank", "--quiet", "--port", str(port)),
                *("--clock", f"{next_monday()}T{hour}", *options),
            ],
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

    def ask(self, method, path, **options):
        """Return what a call that must succeed is answered (JSON)."""
        answer = self.call(method, path, **options)
        assert answer.ok, f"{path}: HTTP {answer.status_code} {answer.text}"
        return answer.json()

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
