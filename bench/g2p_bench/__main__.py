"""bench/run: how fast each stage of the real system is, beside its floor on this machine."""

import argparse
import signal
import sys
from contextlib import redirect_stdout

from bridge_stack.common import BridgeError, complain, say
from g2p_bench import document
from g2p_bench.report import print_heading
from g2p_bench.run import GROUPS, Run, to_json

_MOST = 10_000_000
#: more rows than this change the rate of intake little, and there are twelve measurements of it
_INTAKE_ROWS = 100_000
_LISTED_ROWS = 10_000


def _count(text):
    number = int(text)
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"must be between 1 and {_MOST:,}")
    return number


def _counts(text):
    return [_count(part) for part in text.split(",")]


def _groups(text):
    names = text.split(",")
    if unknown := set(names) - set(GROUPS):
        raise argparse.ArgumentTypeError(
            f"no stages {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}"
        )
    return names


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description=__doc__,
        epilog="Stages: "
        + "; ".join(f"{group}: {', '.join(names)}" for group, names in GROUPS.items()),
    )
    parser.add_argument("--disbursements", type=_count, default=10_000, metavar="N")
    parser.add_argument(
        "--series", type=_counts, metavar="N,N", help="several runs, instead of --disbursements"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line in the end")
    parser.add_argument(
        "--write",
        action="store_true",
        help="keep results without problems in bench/results.json; write docs/performance.md anew",
    )
    parser.add_argument(
        "--stages",
        type=_groups,
        default=list(GROUPS),
        metavar="A,B",
        help=f"of {', '.join(GROUPS)} (default: all)",
    )
    parser.add_argument(
        "--intake-rows",
        type=_count,
        metavar="N",
        help=f"rows of each intake measurement (default: all, at most {_INTAKE_ROWS:,})",
    )
    parser.add_argument(
        "--list-rows",
        type=_count,
        metavar="N",
        help="rows of each of the 80 envelopes of the list; their journal is that of "
        f"--disbursements rows (default: all, at most {_LISTED_ROWS:,})",
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help="intake where the server does nothing with the rows but store them: the most that"
        " Odoo's doors leave (stages: intake only, not for --write)",
    )
    parser.add_argument("--workers", type=int, default=4, help="HTTP workers (%(default)s)")
    parser.add_argument("--channels", type=int, default=2, help="parallel jobs (%(default)s)")
    options = parser.parse_args(arguments)
    if options.bare and (options.stages != ["intake"] or options.write):
        parser.error("--bare measures --stages intake alone, and is not written down")
    return options


def main(arguments):
    """Run; return 0, 1 if a stage failed, 3 for what a person has to mend."""
    # an orderly end on SIGTERM too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = _options(arguments)
    talk = sys.stderr if options.json else sys.stdout
    try:
        with redirect_stdout(talk):
            results = [_run(options, count) for count in options.series or [options.disbursements]]
    except BridgeError as error:
        complain(f"bench: {error}")
        return 3
    except KeyboardInterrupt:
        complain("bench: stopped")
        return 130
    if options.json:
        say(to_json({"series": results} if options.series else results[0]))
    return 1 if any(result["problems"] for result in results) else 0


def _run(options, count):
    say(f"\n{count:,} disbursements")
    print_heading()
    result = Run(
        count,
        options.stages,
        intake_rows=options.intake_rows or min(count, _INTAKE_ROWS),
        listed_rows=min(options.list_rows or _LISTED_ROWS, count),
        workers=options.workers,
        channels=options.channels,
        bare=options.bare,
    ).measure()
    if options.write and not result["problems"]:
        document.keep(result)
        document.write()
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
