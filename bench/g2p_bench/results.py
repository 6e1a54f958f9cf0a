"""What a stage's measurement is."""

#: a stage that is shorter than this was over when it was looked at
LEAST_S = 0.001


def stage(name, *, rows, seconds, floor_seconds, clients=1, memory=None, latencies=None, **more):
    """Return a stage's result as JSON takes it.

    :param float seconds: for all rows
    :param float floor_seconds: what the same rows take at least; ``ratio`` is the floor's share
    :param dict memory: kind of process -> peak in MB, see :class:`g2p_bench.memory.Memory`
    :param list latencies: seconds of single calls; told as ``p50_ms`` and ``p95_ms``
    """
    # of few rows the begin and the end may be seen at the same look
    seconds = max(seconds, LEAST_S)
    result = {
        "stage": name,
        "rows": rows,
        "seconds": round(seconds, 4),
        "rows_per_s": round(rows / seconds, 1),
        "floor_seconds": round(floor_seconds, 4),
        "floor_rows_per_s": round(rows / floor_seconds, 1),
        "ratio": round(floor_seconds / seconds, 4),
        "clients": clients,
        **more,
    }
    if latencies:
        result["p50_ms"] = round(percentile(latencies, 50) * 1000, 1)
        result["p95_ms"] = round(percentile(latencies, 95) * 1000, 1)
    if memory:
        result["memory_mb"] = dict(sorted(memory.items()))
    return result


def percentile(values, percent):
    """Return the smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
