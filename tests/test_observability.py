"""What an operator sees of a real system: figures, health, log, alerts and a dashboard."""

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from datetime import datetime

import promql_parser
import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from test_docs import anchors_of
from test_whole_way import send, wait_for

from bridge_stack.common import project
from bridge_stack.stack import Stack
from bridge_stack.world import World

pytestmark = pytest.mark.stack

TOKEN = "figures-for-nobody-else-4711"
DEADLINE_S = 120
DOCS = project() / "docs"
FILES = DOCS / "observability"
#: labels that Prometheus itself puts on each series
OF_PROMETHEUS = {"instance", "job", "__name__"}
#: logger of the line that each call to a bank gets
CALLS = "odoo.addons.g2p_bridge.connectors.http"


@pytest.fixture(scope="module")
def observed(request):
    """Yield a system with figures and JSON log.

    The server loads the addon for itself, besides for its database, as the documentation advises.
    """
    with Stack(
        workers=2,
        environment={"G2P_BRIDGE_LOG_FORMAT": "json", "G2P_BRIDGE_METRICS_TOKEN": TOKEN},
        server_wide=["g2p_bridge"],
    ) as running:
        with running.postgres.cursor(running.db) as cursor:
            # the database is a copy of one that may be older than what counts as late
            cursor.execute("UPDATE ir_cron SET nextcall = now() AT TIME ZONE 'UTC'")
        yield running
        running.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="module")
def paid(observed):
    """Return a world whose envelope went its whole way, and an entry of no payment."""
    world = World(observed)
    world.link(["BEN000001", "BEN000002", "BEN000003"])
    send(world, 3)
    wait_for(world, shipped=3)
    world.at_bank("/admin/settle")
    world.at_bank(
        "/admin/postings",
        account_number=world.account_number,
        mark="D",
        amount="7.50",
        narrative="charges",
    )
    world.at_bank("/admin/statements", account_number=world.account_number)
    wait_for(world, reconciled=3)
    world.admin.execute("g2p.ledger.difference", "action_check_all", [])
    observed.wait_until(
        lambda: figure(observed, "ledger_check_timestamp_seconds"), DEADLINE_S, "ledger check"
    )
    return world


def get(stack, path, token=TOKEN, **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return requests.get(f"{stack.url}{path}", headers=headers, timeout=60)


def scrape(stack):
    """Return {name: [(labels, value)]}."""
    answer = get(stack, "/g2p_bridge/metrics")
    assert answer.status_code == 200, answer.text
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def figure(stack, name, **labels):
    """Return the sum of the series with these labels, or None where there is none."""
    values = [
        value
        for found, value in scrape(stack).get(f"g2p_bridge_{name}", [])
        if labels.items() <= found.items()
    ]
    return sum(values) if values else None


# -- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "é"])
def test_nobody_reads_the_figures_without_the_token(observed, token):
    answer = get(observed, "/g2p_bridge/metrics", token=token.encode().decode("latin-1"))
    assert answer.status_code == 401
    assert "g2p_bridge_" not in answer.text


def test_where_no_token_is_set_there_are_no_figures(stack):
    for token in ("", TOKEN):
        assert get(stack, "/g2p_bridge/metrics", token=token).status_code == 404


def test_the_figures_are_those_of_the_books(observed, paid):
    bank = paid.admin.execute("g2p.sponsor.bank", "read", [paid.bank_id], ["code"])[0]["code"]
    for operation in ("check_funds", "block_funds", "initiate_payment"):
        called = {"kind": "bank", "code": bank, "operation": operation, "outcome": "answered"}
        assert figure(observed, "call_duration_seconds_count", **called) == 1
        assert figure(observed, "call_duration_seconds_bucket", le="+Inf", **called) == 1
    assert figure(observed, "up", code=bank) == 1
    assert figure(observed, "unmatched_amount", currency="USD") == 7.5
    assert figure(observed, "ledger_differences") == 0
    assert figure(observed, "job_runner_up") == 1
    [(labels, _one)] = scrape(observed)["g2p_bridge_build_info"]
    assert labels["version"] == labels["code"]


def test_every_worker_tells_the_same_figures(observed, paid):
    """Ages aside, which grow, and jobs, which come and go."""

    def still():
        return {
            (name, tuple(sorted(labels.items()))): value
            for name, series in scrape(observed).items()
            if not re.search(r"seconds$|_jobs$|created", name)
            for labels, value in series
        }

    def asked():
        return {
            each["pid"]
            for each in log_of(observed)
            if each["logger"] == "werkzeug" and "GET /g2p_bridge/metrics" in each["message"]
        }

    workers = set(observed.worker_pids_of("WorkerHTTP"))
    observed.wait_until(lambda: still() and workers <= asked(), DEADLINE_S, "both workers")
    # what ends at this very moment may be in one scrape and not in the next
    observed.wait_until(
        lambda: all(still() == first for first in [still()] for _ in range(10)),
        DEADLINE_S,
        "equal figures",
    )


def test_a_scrape_that_has_to_wait_gives_up(observed, paid):
    with observed.postgres.cursor(observed.db) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE g2p_ledger_difference")
        answer = get(observed, "/g2p_bridge/metrics")
        cursor.execute("ROLLBACK")
    assert answer.status_code == 503
    assert "g2p_bridge_" not in answer.text
    assert get(observed, "/g2p_bridge/metrics").status_code == 200


def test_figures_come_as_openmetrics_to_who_asks_for_it(observed):
    answer = get(
        observed, "/g2p_bridge/metrics", Accept="application/openmetrics-text; version=1.0.0"
    )
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


# -- health -------------------------------------------------------------------------------------


def test_health_tells_strangers_pass_or_fail_and_no_more(observed, paid):
    answer = get(observed, "/g2p_bridge/health", token="")
    names = ("database", "addons", "job_runner", "jobs", "cron")
    assert answer.json() == {"status": "pass", "checks": dict.fromkeys(names, "pass")}
    assert answer.status_code == 200
    ready = get(observed, "/g2p_bridge/health/ready", token="")
    assert ready.json() == {"status": "pass", "checks": {"database": "pass", "addons": "pass"}}
    assert "session_id" not in ready.cookies


def test_a_dead_job_runner_is_seen_and_takes_no_server_out_of_the_balancer(observed, paid):
    observed.wait_until(lambda: figure(observed, "job_runner_up"), DEADLINE_S, "job runner")
    [runner] = observed.worker_pids_of("WorkerJobRunner")
    os.kill(runner, signal.SIGKILL)
    try:
        observed.wait_until(
            lambda: get(observed, "/g2p_bridge/health").status_code == 503, 10, "failure"
        )
        health = get(observed, "/g2p_bridge/health").json()
        assert health["checks"]["job_runner"] == "fail"
        assert health["problems"] == {"job_runner": "no job runner is connected"}
        assert "problems" not in get(observed, "/g2p_bridge/health", token="").json()
        assert get(observed, "/g2p_bridge/health/ready").status_code == 200
        assert figure(observed, "job_runner_up") == 0
    finally:
        observed.wait_until(lambda: figure(observed, "job_runner_up"), DEADLINE_S, "job runner")
    assert get(observed, "/g2p_bridge/health").status_code == 200


def test_without_a_database_the_server_lives_and_is_not_ready(observed, paid):
    """Odoo itself gives up after a while: it is started again at the end, whatever it did."""
    with observed.postgres.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{observed.db}" WITH ALLOW_CONNECTIONS false')
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [observed.db],
        )
        try:
            ready = get(observed, "/g2p_bridge/health/ready")
            live = get(observed, "/web/health")
            figures = get(observed, "/g2p_bridge/metrics")
        finally:
            cursor.execute(f'ALTER DATABASE "{observed.db}" WITH ALLOW_CONNECTIONS true')
    observed.restart("server")
    observed.wait_until(lambda: figure(observed, "job_runner_up"), DEADLINE_S, "job runner")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"database": "fail"})
    assert live.status_code == 200
    assert figures.status_code == 503


# -- the log ------------------------------------------------------------------------------------


#: what Odoo writes before it loads any addon: on its configuration, and of root as a user
_EARLY = re.compile(r"Running as user 'root' .*|[-\d]+ [:,\d]+ \d+ INFO \? odoo: .*")


def log_of(stack):
    """Return the records (dicts) of the server's log; all else in it is from before the addon."""
    lines = stack.log("server").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if not _EARLY.fullmatch(line)]


def test_each_line_of_the_log_is_an_object(observed, paid):
    records = log_of(observed)
    assert len(records) > 50
    for record in records:
        assert datetime.fromisoformat(record["time"].replace("Z", "+00:00")).tzinfo
        assert record["level"] in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        assert record["logger"]
        assert isinstance(record["message"], str)
        assert isinstance(record["pid"], int)
    kinds = {record["logger"] for record in records}
    assert {"werkzeug", "odoo.service.server", CALLS} <= kinds
    assert any("jobrunner" in kind for kind in kinds)


def test_each_line_about_an_envelope_says_so(observed, paid):
    records = log_of(observed)
    mine = [each for each in records if each.get("envelope") == paid.pbms.envelope_id]
    calls = [each for each in records if each["logger"] == CALLS]
    assert len(calls) >= 3
    for record in calls:
        assert record["envelope"]
        assert record["bank"].startswith("EXAMPLE_")
        assert record["job"]
        assert record["db"] == observed.db
        assert re.match("(check_funds|block_funds|initiate_payment|release_funds):", record["call"])
    [sent] = [each for each in mine if "/initiate_payment" in each["message"]]
    assert sent["batch"] == f"{paid.pbms.envelope_id}-1"
    # the program system's calls, by the line that the server writes at their end
    answered = [
        each for each in mine if each["logger"] == "werkzeug" and "/jsonrpc" in each["message"]
    ]
    assert len({each["request"] for each in answered}) >= 2
    [upload] = [each for each in records if "/g2p_bridge/upload_mt940" in each["message"]]
    assert upload["statement"]
    assert upload["bank"].startswith("EXAMPLE_")


def test_a_callers_request_id_is_in_the_log_and_nothing_else_of_it(observed):
    get(observed, "/g2p_bridge/health/ready", **{"X-Request-Id": "from-the-proxy.1"})
    get(observed, "/g2p_bridge/health/ready", **{"X-Request-Id": "x" * 65})
    get(observed, "/web/health", **{"X-Request-Id": 'a"b'})

    def logged():
        records = log_of(observed)
        ids = {each.get("request") for each in records}
        return ids if "from-the-proxy.1" in ids else None

    ids = observed.wait_until(logged, 10, "line with the id")
    assert not ids & {"x" * 65, 'a"b'}


def test_neither_token_nor_accounts_are_in_the_log(observed, paid):
    text = observed.log("server").read_text(encoding="utf-8")
    assert TOKEN not in text
    assert paid.account_number not in text
    assert "ACC-BEN000001" not in text


# -- alerts and dashboard -----------------------------------------------------------------------


def selectors_of(text):
    """Return (metric, labels matched) of each selector in an expression."""
    found, waiting = [], [promql_parser.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {match.name for match in node.matchers.matchers}))
        for name in ("expr", "lhs", "rhs", "vs", "vector_selector", "args", "param"):
            child = getattr(node, name, None)
            waiting += child if isinstance(child, list) else [child] if child is not None else []
    return found


def dashboard_expressions():
    board = json.loads((FILES / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }


def alert_rules():
    rules = yaml.safe_load((FILES / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in rules["groups"] for rule in group["rules"]]


@contextmanager
def handed_out_job(stack):
    """Have a job that the runner has handed out, to no worker: a second is enough for a scrape."""
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(
            "INSERT INTO queue_job (uuid, name, state, channel, date_created, date_enqueued)"
            " VALUES ('observed', 'x', 'enqueued', 'root', now() AT TIME ZONE 'UTC',"
            " now() AT TIME ZONE 'UTC')"
        )
        yield
        cursor.execute("DELETE FROM queue_job WHERE uuid = 'observed'")


def test_alerts_and_dashboard_ask_for_figures_that_there_are(observed, paid):
    send(World(observed, user=(paid.login, paid.key)), 1)  # without an account: it stays open
    with handed_out_job(observed):
        found = scrape(observed)
    known = {
        name: set().union(*(labels for labels, _value in series)) for name, series in found.items()
    }
    expressions = dashboard_expressions() | {rule["alert"]: rule["expr"] for rule in alert_rules()}
    assert len(expressions) > 30
    for where, text in expressions.items():
        selectors = selectors_of(text)
        assert selectors, where
        for metric, labels in selectors:
            assert metric in known, (where, metric)
            assert labels <= known[metric] | OF_PROMETHEUS, (where, labels)


def test_each_alert_says_what_to_do_and_where_it_is_written():
    known = {str(path.relative_to(project())): anchors_of(path) for path in DOCS.glob("*.md")}
    for rule in alert_rules():
        said = rule["annotations"]
        assert said["action"].endswith("."), rule["alert"]
        assert said["summary"].endswith("."), rule["alert"]
        document, anchor = said["runbook"].split("#")
        assert anchor in known[document], rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_each_alert_fires_in_its_scenario():
    """Prometheus's own tool says so, where there is one; that each has one is always looked at."""
    scenarios = yaml.safe_load((FILES / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    alerts = [rule["alert"] for rule in alert_rules()]
    assert [each["name"] for each in scenarios[1:]] == alerts
    tool = os.environ.get("G2P_PROMTOOL") or shutil.which("promtool")
    if not tool:
        pytest.skip("no promtool: put it on PATH, or set G2P_PROMTOOL=/path/to/promtool")
    done = subprocess.run(
        [tool, "test", "rules", FILES / "alerts_test.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
