"""Results for people: a line for each stage."""

from bridge_stack.common import say


def print_heading():
    """Print the names of the columns."""
    say(
        f"{'stage':<24}{'clients':>8}{'rows':>11}{'seconds':>10}{'rows/s':>11}{'floor/s':>11}"
        f"{'ratio':>8}  memory, MB"
    )


def print_result(result):
    """Print the line of a stage."""
    memory = "  ".join(
        f"{kind} {megabytes:.0f}"
        for kind, megabytes in result.get("memory_mb", {}).items()
        if kind != "cron_worker"
    )
    times = ""
    if "p50_ms" in result:
        times = f"  p50 {result['p50_ms']} ms, p95 {result['p95_ms']} ms"
    say(
        f"{result['stage']:<24}{result['clients']:>8}{result['rows']:>11,}"
        f"{result['seconds']:>10.3f}{result['rows_per_s']:>11,.0f}"
        f"{result['floor_rows_per_s']:>11,.0f}{result['ratio']:>8.3f}  {memory}{times}"
    )
