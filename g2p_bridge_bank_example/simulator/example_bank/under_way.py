"""How many calls are under way at the same time: a test asks whether a bridge keeps its limit.

In memory: a restart forgets it.
"""

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass

#: the first account that a body names is the one of the whole call
_ACCOUNT = re.compile(
    rb'"(?:remitting_account|account_number|program_account_number)"\s*:\s*"([^"]*)"'
)


@dataclass
class Count:
    """Calls of one kind for one account."""

    endpoint: str
    account_number: str
    calls: int = 0
    under_way: int = 0
    peak: int = 0


class UnderWay:
    """Counts of the calls; safe to use from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts = {}

    @contextmanager
    def call(self, endpoint, account_number):
        """Count a call from here to the end of the block."""
        key = endpoint, account_number
        with self._lock:
            count = self._counts.setdefault(key, Count(*key))
            count.calls += 1
            count.under_way += 1
            count.peak = max(count.peak, count.under_way)
        try:
            yield
        finally:
            with self._lock:
                count.under_way -= 1

    def listing(self):
        """The counts as dicts."""
        with self._lock:
            return [dict(vars(count)) for count in self._counts.values()]


def account_of(body):
    """The account that the body of a call is for, or "" where it names none.

    :param bytes body: not parsed, for payment lists are long
    """
    found = _ACCOUNT.search(body)
    return found[1].decode(errors="replace") if found else ""
