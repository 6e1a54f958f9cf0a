"""With a read replica, what the back office reads is read there, and needs no writing.

``--dev=replica`` gives Odoo a read-only connection to the same server in the replica's place.
"""

import re

import pytest
import requests
from test_whole_way import assert_books_agree, beneficiaries, send, wait_for

from bridge_stack.stack import Stack
from bridge_stack.world import World

pytestmark = pytest.mark.stack

#: what Odoo says of a request that had to move to the primary
MOVED = "retrying with a read/write cursor"


@pytest.fixture(scope="module")
def replicated(request):
    """Yield a system with a read-only connection beside the usual one."""
    with Stack(workers=3, odoo_options=("--dev=replica",)) as running:
        yield running
        running.keep_logs = bool(request.session.testsfailed)


class BackOffice:
    """The administrator's browser, as far as it reads."""

    def __init__(self, stack):
        self._url, self._session = stack.url, requests.Session()
        login, password = stack.ADMIN
        self._post("session/authenticate", db=stack.db, login=login, password=password)

    def call(self, model, method, *args, **kw):
        """Call a method as the web client does; return its result."""
        return self._post(
            f"dataset/call_kw/{model}/{method}", model=model, method=method, args=args, kwargs=kw
        )

    def _post(self, path, **params):
        answer = self._session.post(f"{self._url}/web/{path}", json={"params": params}, timeout=120)
        answer.raise_for_status()
        return answer.json()["result"]


def test_lists_and_forms_are_read_where_nothing_can_be_written(replicated):
    world = World(replicated)
    world.link(beneficiaries(20))
    send(world, 20)
    wait_for(world, shipped=20)
    world.settle()
    wait_for(world, reconciled=20)
    office, log = BackOffice(replicated), replicated.log("server")
    for model in (
        "g2p.disbursement.envelope",
        "g2p.disbursement",
        "g2p.disbursement.batch",
        "g2p.disbursement.journal",
        "g2p.bank.call",
        "g2p.sponsor.bank",
        "g2p.funding.account",
        "g2p.account.statement",
        "g2p.account.statement.line",
    ):
        names = office.call(model, "fields_get", [], ["type"])
        start = log.stat().st_size
        found = office.call(model, "web_search_read", [], {name: {} for name in names})
        assert found["length"]
        line = replicated.wait_until(lambda: request_line(log, start, model), 10, "line in the log")  # noqa: B023 - at once
        assert line.endswith(" ro"), line
    assert_books_agree(world)
    assert MOVED not in log.read_text(encoding="utf-8", errors="replace")


def request_line(log, start, model):
    """Return the server's line of the reading of a model, which ends in the kind of its cursor."""
    text = log.read_bytes()[start:].decode(errors="replace")
    found = re.search(rf"^.*POST /web/dataset/call_kw/{model}/web_search_read.*$", text, re.M)
    return found and found[0].rstrip()
