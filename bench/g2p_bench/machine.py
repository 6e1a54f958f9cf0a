"""What the numbers were measured on."""

import os
import platform
from pathlib import Path

#: settings of PostgreSQL that decide how fast it writes
_SETTINGS = (
    "shared_buffers",
    "max_wal_size",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
)


def describe(system, workers, channels):
    """Return a dict of processor, memory, versions and settings, and the load before the run."""
    [[version]] = system.query("SELECT current_setting('server_version')")
    settings = dict(
        system.query(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)",
            list(_SETTINGS),
        )
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "postgresql": version.split()[0],
        "postgresql_settings": settings,
        "http_workers": workers,
        "parallel_jobs": channels,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
