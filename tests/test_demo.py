"""bin/demo as a stranger runs it."""

import json
import subprocess
from decimal import Decimal

import pytest

from bridge_stack.common import project

pytestmark = pytest.mark.stack


def demo(*arguments):
    return subprocess.run(
        [str(project() / "bin" / "demo"), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
        check=False,
    )


def test_the_demo_ends_with_totals_that_tie():
    done = demo("--disbursements", "1200", "--json", "--seed", "5")
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ok"] is True
    assert result["received"] == 1200
    ended = ("reconciled", "reversed", "unresolved", "cancelled")
    assert sum(result[state] for state in ended) == 1200
    assert result["sent"] == result["reconciled"] + result["reversed"]
    assert result["unresolved"] and result["reversed"]  # the unhappy paths show
    assert Decimal(result["reconciled_total"]) < Decimal(result["declared_total"])


def test_the_demo_explains_itself_and_refuses_nonsense():
    assert "--disbursements" in demo("--help").stdout
    for wrong in (("--disbursements", "0"), ("--mapper", "nowhere"), ("--disbursements", "many")):
        done = demo(*wrong)
        assert done.returncode == 2
        assert "usage" in done.stderr
