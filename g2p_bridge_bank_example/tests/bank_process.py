"""The example bank as a process, for tests: started, asked over HTTP, killed, started again."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

SIMULATOR = Path(__file__).resolve().parents[1] / "simulator"
TIMEOUT_S = 30


class BankProcess:
    """A running example bank with books of its own.

    :param options: further command line options
    :param str token: sent with each call, where the bank asks for one
    :param dict environment: further environment variables
    """

    def __init__(self, *options, token="", environment=None):
        self._folder = tempfile.TemporaryDirectory(prefix="example_bank_")
        self.options = list(options)
        self._environment = environment or {}
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._process = None
        self.port = 0
        self.start()

    @property
    def url(self):
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        """What the process wrote to standard error since its first start."""
        return self._log_path.read_text()

    @property
    def _log_path(self):
        return Path(self._folder.name) / "log"

    def start(self):
        """Start the process, at the same port as before, and wait until it listens."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, str(SIMULATOR), "--port", str(self.port)),
                    *("--database", str(Path(self._folder.name) / "bank.db"), *self.options),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
                text=True,
            )
        line = self._process.stdout.readline()
        if not line.startswith("listening on http://127.0.0.1:"):
            raise AssertionError(f"the bank did not start: {line!r}\n{self.log}")
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self):
        """End it with SIGKILL: it cannot tidy up."""
        self._process.kill()
        self._reap()

    def stop(self):
        """End it and delete its books."""
        self._process.terminate()
        self._reap()
        self._folder.cleanup()

    def _reap(self):
        self._process.wait(TIMEOUT_S)
        self._process.stdout.close()

    def post(self, path, body=None, *, key=None, token=None):
        """POST JSON; returns the response."""
        headers = {**self._headers, **({"Idempotency-Key": key} if key else {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return requests.post(self.url + path, json=body, headers=headers, timeout=TIMEOUT_S)

    def ask(self, path, body=None, *, key=None):
        """POST JSON that has to succeed; returns the JSON of the answer."""
        response = self.post(path, body, key=key)
        if not response.ok:
            raise AssertionError(f"{path}: HTTP {response.status_code} {response.text}")
        return response.json()

    def get(self, path, **options):
        """GET; returns the response."""
        return requests.get(
            self.url + path, timeout=TIMEOUT_S, **{"headers": self._headers, **options}
        )

    def ledger(self):
        """The books, see simulator/example_bank/ledger.py."""
        return self.get("/ledger").json()

    def account(self, number="7000000001"):
        """One account of the books."""
        accounts = {item["account_number"]: item for item in self.ledger()["accounts"]}
        return accounts[number]

    def fault(self, name, endpoint="*", **values):
        """Switch a fault on; by default for one call."""
        body = {"fault": name, **values}
        if name != "refuse":
            body["endpoint"] = endpoint
        self.ask("/admin/faults", body)

    def clear_faults(self):
        """Switch all faults off, and wait until the port is open again."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self._is_listening():
            if time.monotonic() > deadline:
                raise AssertionError(f"the bank's port stays closed\n{self.log}")
            time.sleep(0.02)
        response = requests.delete(
            self.url + "/admin/faults", headers=self._headers, timeout=TIMEOUT_S
        )
        response.raise_for_status()

    def _is_listening(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def payment(number=1, block="none", **values):
    """A payment as the wire has it, with made-up people."""
    return {
        "payment_reference_number": f"TEST{number:012d}",
        "remitting_account": "7000000001",
        "remitting_account_currency": "USD",
        "payment_amount": 100.0,
        "funds_blocked_reference_number": block,
        "beneficiary_name": f"Person {number}",
        "beneficiary_account": f"MADEUP{number}",
        "beneficiary_account_currency": "USD",
        "beneficiary_account_type": "BANK_ACCOUNT",
        "beneficiary_bank_code": "SOME_BANK",
        "beneficiary_branch_code": "B1",
        "beneficiary_mobile_wallet_provider": None,
        "beneficiary_phone_no": "",
        "beneficiary_email": "",
        "beneficiary_email_wallet_provider": None,
        "narrative_1": "Support for schooling",
        "narrative_2": "SCHOOL",
        "narrative_3": "2030-01",
        "narrative_4": f"ID{number}",
        "narrative_5": "",
        "narrative_6": "",
        "payment_date": "2026-01-01",
        **values,
    }
