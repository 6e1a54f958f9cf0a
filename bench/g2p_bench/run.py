"""One run: the system started, the chosen stages measured."""

import json
import tempfile
import time
import traceback
from pathlib import Path

import requests

from bridge_stack.common import BridgeError, complain, say
from bridge_stack.rpc import RpcError
from bridge_stack.run_tests import addons_path
from bridge_stack.stack import Stack
from g2p_bench import files, intake, machine, questions, way
from g2p_bench.clients import CallsFailed
from g2p_bench.report import print_result
from g2p_bench.system import System

#: what --stages takes, with the stages of each
GROUPS = {
    "intake": intake.names("jsonrpc") + intake.names("json2"),
    "resolve": ("resolve_local", "resolve_g2p_connect"),
    "dispatch": ("way_intake", "dispatch"),
    "statement": ("statement_parse", "statement_store", "statement_match"),
    "whole": ("whole_way_sent", "whole_way_reconciled"),
    "files": ("files_dispatch", "files_status", "files_statement"),
    "questions": (
        "status_envelope",
        "status_disbursements",
        "changes_page",
        "envelope_list",
        "envelope_form",
    ),
}
_NEEDS_WAY = ("dispatch", "statement", "whole", "questions")
_FAILURES = (
    BridgeError,
    RpcError,
    CallsFailed,
    AssertionError,
    requests.RequestException,
)


class Run:
    """The stages of one number of disbursements, on a system of their own.

    :param int count: disbursements
    :param list groups: of :data:`GROUPS`
    :param int intake_rows: rows of each intake measurement
    :param int listed_rows: rows of each of the 80 envelopes of the list
    :param int workers: HTTP workers; ``channels``: parallel jobs
    :param bare: the servers' intake does nothing but store rows; for the group ``intake`` only
    """

    def __init__(self, count, groups, *, intake_rows, listed_rows, workers, channels, bare=False):
        self.count = count
        self.groups = groups
        self.intake_rows = intake_rows
        self.listed_rows = listed_rows
        self.workers = workers
        self.channels = channels
        self.bare = bare
        self.stages = []
        self.problems = []

    def measure(self):
        """Run all; return the result as JSON takes it. What fails is in its ``problems``."""
        begun = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="g2p-bench-") as self._folder,
            Stack(
                workers=self.workers,
                channels=f"root:{self.channels}",
                # as large as fits into the 32 MB of an upload
                bank_options=["--reversal-rate=0", "--float-days=0", "--statement-entries=100000"],
                mapper=True,
                mapper_options=(),
                environment={files.FOLDERS: self._folder},
                **(_bare_intake() if self.bare else {}),
            ) as stack,
        ):
            system = System(stack, self.channels)
            try:
                described = machine.describe(system, self.workers, self.channels)
                system.warm_up()
                self._measure_groups(system)
            finally:
                system.close()
            stack.keep_logs = bool(self.problems)
        return {
            "disbursements": self.count,
            "machine": described,
            "bare": self.bare,
            "run_seconds": round(time.monotonic() - begun, 1),
            "problems": self.problems,
            "stages": self.stages,
        }

    def _measure_groups(self, system):
        if "intake" in self.groups:
            self._take("intake", lambda: intake.measure(system, self.intake_rows))
        if set(self.groups) - {"intake", "files"}:
            say(f"bench     linking {self.count:,} accounts")
            system.link(system.world, self.count)
        if "resolve" in self.groups:
            for measure in (way.resolve_local, way.resolve_g2p_connect):
                self._take(measure.__name__, lambda m=measure: [m(system, self.count)])
        if set(self.groups) & set(_NEEDS_WAY):
            self._measure_way(system)
        if "files" in self.groups:
            self._take("files", lambda: self._measure_files(system))

    def _measure_way(self, system):
        journey = way.Way(system, self.count)
        wanted = {name for group in self.groups for name in GROUPS[group]}

        def results():
            journey.go()
            return [result for result in journey.results if result["stage"] in wanted]

        has_gone = self._take("the whole way", results)
        if has_gone and "questions" in self.groups:
            self._take(
                "questions",
                lambda: questions.measure(system, journey.envelope, self.count, self.listed_rows),
            )

    def _measure_files(self, system):
        journey = files.FileWay(system, self.count, self._folder)
        journey.go()
        return journey.results

    def _take(self, name, measure):
        """Keep the results of a measurement; return whether it succeeded."""
        try:
            for result in measure():
                self.stages.append(result)
                print_result(result)
        except _FAILURES as error:
            complain(f"bench: {name}: {error}\n{traceback.format_exc(limit=-3)}")
            self.problems.append(f"{name}: {error}"[:500])
            return False
        return True


def _bare_intake():
    """Return the options of a :class:`Stack` whose intake is that of ``addons/g2p_bench_bare``."""
    addon = Path(__file__).parents[1] / "addons" / "g2p_bench_bare"
    return {
        "server_wide": [addon.name],
        "odoo_options": [f"--addons-path={addons_path([addon])}"],
    }


def to_json(result):
    """Return a result as one line."""
    return json.dumps(result, separators=(",", ":"))
