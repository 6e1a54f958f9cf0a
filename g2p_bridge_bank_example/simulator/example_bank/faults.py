"""Faults on demand: named, counted or by seeded chance, for one endpoint or for all.

They live in memory: a restart clears them.
"""

import random
import threading
from dataclasses import dataclass

#: before any work is done
BEFORE = {
    "reset": "the connection is reset (RST), nothing is done",
    "error_before": "HTTP error (status, default 500), nothing is done",
    "delay_before": "waits (seconds), then does it: an inquiry meanwhile finds nothing",
}
#: after the work is done and on disk
AFTER = {
    "delay": "done at once, answered late (seconds)",
    "drop": "done, then the connection is closed without an answer",
    "error_after": "done, then HTTP error (status, default 500)",
    "garbage": "done, then HTTP 200 with a body that is no JSON",
    "half": "done, then half of the answer",
}
#: the whole server
REFUSE = "refuse"


class InvalidFault(Exception):
    """No such fault, or its numbers make no sense; the message says which."""


@dataclass
class Fault:
    """One fault that is switched on."""

    fault: str
    endpoint: str = "*"
    account_number: str = "*"
    count: int | None = 1  # how often; None: until it is cleared
    skip: int = 0  # calls that pass before it begins
    probability: float = 1.0
    seconds: float = 0.0
    status: int = 500
    hits: int = 0

    @property
    def is_spent(self):
        """Whether it has happened as often as it was asked for."""
        return self.count is not None and self.hits >= self.count


class Faults:
    """The faults that are switched on; safe to use from several threads.

    :param int seed: with the order of the calls, decides which calls a chance hits
    """

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._faults = []

    def add(self, values):
        """Switch a fault on.

        :param dict values: fields of :class:`Fault`
        :raise InvalidFault: unknown field or fault, or a number out of range
        """
        try:
            fault = Fault(**values)
        except TypeError as error:
            raise InvalidFault(f"A fault has no such field, or lacks its name: {error}") from error
        _check(fault)
        with self._lock:
            self._faults.append(fault)

    def clear(self):
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def listing(self):
        """The faults that are on or were, with the count of their hits."""
        with self._lock:
            return [dict(vars(fault)) for fault in self._faults]

    def draw(self, endpoint, account_number=""):
        """The fault that hits this call, or None; the oldest one that applies wins."""
        with self._lock:
            for fault in self._faults:
                is_meant = fault.endpoint in ("*", endpoint)
                is_meant = is_meant and fault.account_number in ("*", account_number)
                if is_meant and not fault.is_spent and self._hits(fault):
                    fault.hits += 1
                    return fault
        return None

    def _hits(self, fault):
        if fault.skip > 0:
            fault.skip -= 1
            return False
        return fault.probability >= 1 or self._random.random() < fault.probability


def _check(fault):
    known = (*BEFORE, *AFTER)
    if fault.fault not in known:
        raise InvalidFault(f"Unknown fault; there are: {', '.join((*known, REFUSE))}")
    numbers = (fault.skip, fault.probability, fault.seconds, fault.status, fault.count or 0)
    if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
        raise InvalidFault("count, skip, probability, seconds and status are numbers")
    if not 0 <= fault.probability <= 1 or min(numbers) < 0 or not 400 <= fault.status <= 599:
        raise InvalidFault("probability is 0 to 1, status 400 to 599, nothing is negative")
