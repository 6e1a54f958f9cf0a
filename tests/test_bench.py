"""bench/run as a stranger runs it: every stage is there. Nothing is timed here."""

import json
import subprocess
from xml.etree import ElementTree

import pytest

from bridge_stack.common import project
from g2p_bench import results, svg
from g2p_bench.run import GROUPS

pytestmark = pytest.mark.stack
ROWS = 300


def bench(*arguments):
    return subprocess.run(
        [str(project() / "bench" / "run"), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def result():
    done = bench("--disbursements", str(ROWS), "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_stage_is_measured_against_its_floor(result):
    assert result["problems"] == [] and result["bare"] is False
    stages = result["stages"]
    assert {stage["stage"] for stage in stages} == {
        name for names in GROUPS.values() for name in names
    }
    for stage in stages:
        assert stage["rows"] > 0 and stage["seconds"] > 0, stage
        assert stage["rows_per_s"] > 0 and stage["ratio"] > 0, stage


def test_intake_is_measured_over_both_doors_with_one_client_and_four(result):
    intake = [stage for stage in result["stages"] if stage["stage"].startswith("intake_")]
    assert {(stage["stage"], stage["clients"]) for stage in intake} == {
        (f"intake_{door}_{kind}", clients)
        for door in ("jsonrpc", "json2")
        for kind in ("100", "1000", "1000_brief", "5000")
        for clients in (1, 4)
    }
    assert {stage["rows"] for stage in intake} == {ROWS}


def test_what_the_doors_leave_is_measured_where_nothing_else_is_done_with_the_rows():
    done = bench("--bare", "--stages", "intake", "--disbursements", str(ROWS), "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    bare = json.loads(done.stdout.splitlines()[-1])
    assert bare["bare"] is True and bare["problems"] == []
    assert {stage["stage"] for stage in bare["stages"]} == set(GROUPS["intake"])


@pytest.mark.parametrize("more", [[], ["--stages", "intake", "--write"]])
def test_what_the_doors_leave_is_not_taken_for_what_the_bridge_does(more):
    done = bench("--bare", *more)
    assert done.returncode == 2
    assert "--stages intake alone" in done.stderr


def test_the_machine_and_the_memory_of_its_processes_are_told(result):
    assert result["machine"]["cores"] and result["machine"]["postgresql"]
    [dispatch] = [stage for stage in result["stages"] if stage["stage"] == "dispatch"]
    for kind in ("http_worker", "job_runner", "bank"):
        assert dispatch["memory_mb"][kind] > 0


def test_a_stage_that_was_over_when_it_was_looked_at_has_a_rate():
    assert results.stage("x", rows=300, seconds=0.0, floor_seconds=0.01)["rows_per_s"] > 0


def test_it_explains_itself_and_refuses_nonsense():
    assert "--disbursements" in bench("--help").stdout
    for wrong in (("--disbursements", "0"), ("--stages", "nothing"), ("--disbursements", "many")):
        done = bench(*wrong)
        assert done.returncode == 2
        assert "usage" in done.stderr


def test_a_plot_shows_each_line_with_its_name():
    text = svg.log_plot(
        "Rates", "N", "rows/s", {"a < b": [(1000, 5), (10**6, 70)], "c": [(1000, 1)]}
    )
    root = ElementTree.fromstring(text)
    words = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"Rates", "a < b", "c", "1,000", "1,000,000"} <= set(words)
    assert sum(node.tag.endswith("circle") for node in root.iter()) == 3
