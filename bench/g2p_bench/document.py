"""bench/plots: docs/performance.md and its plots, from the measurements in bench/results.json."""

import json
import string
import sys

from bridge_stack.common import project, say, write_atomically
from g2p_bench import svg

_RESULTS = project() / "bench" / "results.json"
_TEMPLATE = project() / "bench" / "performance.md.template"
_DOCUMENT = project() / "docs" / "performance.md"
_IMAGES = project() / "docs" / "images"

#: stages of a plot and of a table: those with rows by the thousand
_RATES = (
    ("intake_jsonrpc_1000", 1),
    ("intake_jsonrpc_1000", 4),
    ("intake_jsonrpc_1000_brief", 4),
    ("resolve_local", None),
    ("resolve_g2p_connect", None),
    ("dispatch", None),
    ("statement_parse", None),
    ("statement_store", None),
    ("statement_match", None),
    ("whole_way_reconciled", None),
)
_QUESTIONS = {
    "status_envelope": "status of the envelope",
    "status_disbursements": "status of 1,000 payments",
    "changes_page": "a page of 1,000 changes",
    "envelope_list": "list of 80 envelopes",
    "envelope_form": "form of the envelope",
}
_WAYS = ("whole_way_sent", "whole_way_reconciled")
_KINDS = {
    "http_worker": "largest HTTP worker, RSS",
    "job_runner": "job runner, RSS",
    "bank": "example bank, RSS",
    "postgres": "PostgreSQL together, PSS",
}


def keep(result):
    """Put the measurements of a run beside those that are kept; newer ones replace older."""
    kept = _load()
    name = str(result["disbursements"])
    known = kept.get(name, {"stages": []})
    stages = {_key(stage): stage for stage in [*known["stages"], *result["stages"]]}
    kept[name] = {**result, "stages": list(stages.values())}
    ordered = dict(sorted(kept.items(), key=lambda item: int(item[0])))
    write_atomically(_RESULTS, json.dumps(ordered, indent=1) + "\n")


def _load():
    return json.loads(_RESULTS.read_text(encoding="utf-8")) if _RESULTS.exists() else {}


def _key(stage):
    return stage["stage"], stage["clients"]


def write():
    """Write the document and its plots."""
    kept = {int(name): result for name, result in _load().items()}
    plots = {
        "performance-rates": _rate_plot(kept),
        "performance-memory": _memory_plot(kept),
        "performance-way": _way_plot(kept),
    }
    for name, text in plots.items():
        write_atomically(_IMAGES / f"{name}.svg", text)
    text = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine=_machine(kept),
        rates=_rate_table(kept),
        way=_way_table(kept),
        memory=_memory_table(kept),
        questions=_question_table(kept),
    )
    write_atomically(_DOCUMENT, text)
    say(f"bench     wrote {_DOCUMENT.relative_to(project())}")


# the plots


def _rate_plot(kept):
    lines = {}
    for name, clients in _RATES:
        points = [
            (count, stage["rows_per_s"])
            for count, result in kept.items()
            if (stage := _find(result, name, clients))
        ]
        lines[_named(name, clients)] = points
    return _plot("Rows a second", "disbursements in the envelope", "rows a second", lines)


def _memory_plot(kept):
    lines = {
        words: [(count, peak) for count, result in kept.items() if (peak := _peak(result, kind))]
        for kind, words in _KINDS.items()
    }
    return _plot("Peak memory", "disbursements in the envelope", "MB", lines)


def _way_plot(kept):
    lines = {
        name: [
            (count, stage["seconds"])
            for count, result in kept.items()
            if (stage := _find(result, name))
        ]
        for name in _WAYS
    }
    return _plot("The whole way", "disbursements in the envelope", "seconds", lines)


def _plot(title, x_name, y_name, lines):
    return svg.log_plot(title, x_name, y_name, {name: line for name, line in lines.items() if line})


def _find(result, name, clients=None):
    return next(
        (
            stage
            for stage in result["stages"]
            if stage["stage"] == name and clients in (None, stage["clients"])
        ),
        None,
    )


def _named(name, clients):
    if not name.strip("`").startswith("intake_"):
        return name
    return f"{name}, {clients} client{'s' if clients > 1 else ''}"


def _peak(result, kind):
    # less the questions: 80 more envelopes stand in the database then
    stages = [stage for stage in result["stages"] if stage["stage"] not in _QUESTIONS]
    return max((stage.get("memory_mb", {}).get(kind, 0) for stage in stages), default=0)


# the tables


def _machine(kept):
    lines = ["| N | processor | memory | PostgreSQL | workers, jobs | load before |"]
    lines.append("|---|---|---|---|---|---|")
    for count, result in kept.items():
        told = result["machine"]
        lines.append(
            f"| {count:,} | {told['processor']}, {told['cores']} cores | {told['memory_gb']} GB |"
            f" {told['postgresql']} | {told['http_workers']}, {told['parallel_jobs']} |"
            f" {told['load_before']} |"
        )
    return "\n".join([*lines, ""])


def _rate_table(kept):
    """Rows a second, and the ratio to the floor, of each stage for each N."""
    keys = {}
    for result in kept.values():
        for stage in result["stages"]:
            if stage["stage"] not in _QUESTIONS:
                keys[_key(stage)] = None
    return _table(
        kept,
        {
            _named(f"`{name}`", clients): lambda result, n=name, c=clients: _find(result, n, c)
            for name, clients in keys
        },
        lambda stage: f"{stage['rows_per_s']:,.0f} ({stage['ratio']:.2f})",
    )


def _way_table(kept):
    rows = {f"`{name}`": lambda result, n=name: _find(result, n) for name in _WAYS}
    return _table(kept, rows, lambda stage: f"{stage['seconds']:,.1f} s")


def _memory_table(kept):
    rows = {words: lambda result, k=kind: _peak(result, k) for kind, words in _KINDS.items()}
    return _table(kept, rows, lambda peak: f"{peak:,.0f} MB")


def _question_table(kept):
    rows = {words: lambda result, n=name: _find(result, n) for name, words in _QUESTIONS.items()}
    return _table(kept, rows, lambda stage: f"{stage['p50_ms']}, {stage['p95_ms']}")


def _table(kept, rows, shown):
    """Return a table with a column for each N.

    :param dict rows: title -> function from a run's result to what ``shown`` makes text of
    """
    lines = ["| | " + " | ".join(f"N = {count:,}" for count in kept) + " |"]
    lines.append("|---" * (len(kept) + 1) + "|")
    for title, pick in rows.items():
        cells = [shown(found) if (found := pick(result)) else "" for result in kept.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(write())
