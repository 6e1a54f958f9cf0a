"""How much memory the processes of the system take at most during a stage, in MB (2**20 bytes)."""

import contextlib
import threading
from collections import defaultdict
from pathlib import Path

#: name in the results -> how the server calls that kind of worker in its log
WORKERS = {
    "http_worker": "WorkerHTTP",
    "cron_worker": "WorkerCron",
    "job_runner": "WorkerJobRunner",
}
SAMPLE_S = 0.5


class Memory:
    """Peaks by kind of process.

    ``http_worker`` (the largest one; it runs the jobs, too), ``cron_worker``, ``job_runner``,
    ``bank``, ``mapper``: resident set (RSS), by the kernel's own high-water mark (VmHWM), which is
    set back at the begin of each stage. ``postgres``: proportional share (PSS) of all processes of
    the database server together, seen twice a second, for each of them maps the same shared
    buffers; left out where the server runs on another machine or under a foreign account.

    :param stack: a running :class:`~bridge_stack.stack.Stack`
    """

    def __init__(self, stack):
        self._stack = stack
        self._kinds = {}
        self._postmaster = _postmaster(stack)

    @contextlib.contextmanager
    def watch(self):
        """Yield a dict that holds the peaks in MB when the block has ended."""
        peaks, is_over = defaultdict(float), threading.Event()
        for pids in self._processes().values():
            for pid in pids:
                _reset_high_water(pid)
        sampler = threading.Thread(target=self._sample, args=(peaks, is_over), daemon=True)
        sampler.start()
        try:
            yield peaks
        finally:
            is_over.set()
            sampler.join()
            for kind, pids in self._processes().items():
                peaks[kind] = max(map(_high_water_mb, pids), default=0.0)
            for kind in peaks:
                peaks[kind] = round(peaks[kind], 1)

    def _sample(self, peaks, is_over):
        while self._postmaster:
            children = _children(self._postmaster)
            now = sum(map(_pss_mb, [self._postmaster, *children]))
            peaks["postgres"] = max(peaks["postgres"], now)
            if is_over.wait(SAMPLE_S):
                return

    def _processes(self):
        """Return kind -> list of process ids, as they are now."""
        found = {kind: [] for kind in WORKERS}
        pids = self._stack.worker_pids()
        if not set(pids) <= set(self._kinds):
            for kind, name in WORKERS.items():
                self._kinds.update(dict.fromkeys(self._stack.worker_pids_of(name), kind))
        for pid in pids:
            if kind := self._kinds.get(pid):
                found[kind].append(pid)
        others = {name: [pid] for name, pid in self._stack.pids.items() if name != "server"}
        return {**found, **others}


def _postmaster(stack):
    """Return the id of the database server's first process, or None where it is not ours to see."""
    if not stack.postgres.is_embedded:
        return None
    with stack.postgres.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [backend] = cursor.fetchone()
        return int(Path(f"/proc/{backend}/stat").read_text(encoding="ascii").split()[3])


def _children(pid):
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(child) for child in text.split()]
    return []


def _reset_high_water(pid):
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _high_water_mb(pid):
    return _field_mb(f"/proc/{pid}/status", "VmHWM:")


def _pss_mb(pid):
    return _field_mb(f"/proc/{pid}/smaps_rollup", "Pss:")


def _field_mb(path, name):
    with contextlib.suppress(OSError):  # it ended meanwhile
        for line in Path(path).read_text(encoding="ascii").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0
