"""tests/chaos: kill and break everything while payments are under way, and judge by the ledger."""

import argparse
import random
import signal
import sys

from bridge_stack.chaos.run import LANES, Run
from bridge_stack.common import BridgeError, complain, say


def main(arguments):
    """Run; return 0 if all is well, 1 if not, 3 for what a person has to mend."""
    # an orderly end on SIGTERM too: the database server goes with us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="tests/chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many (%(default)s)")
    parser.add_argument(
        "--seed", type=int, help="decides them; by default a new one, which is told"
    )
    parser.add_argument(
        "--disbursements", type=int, default=40, help="payments in a round (%(default)s)"
    )
    parser.add_argument(
        "--lanes", type=int, default=LANES, help="rounds under way at a time (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if min(options.rounds, options.lanes) < 1 or options.disbursements < 10:
        parser.error("rounds and lanes are 1 or more, disbursements 10 or more")
    seed = options.seed if options.seed is not None else random.randrange(10**6)  # no secret
    say(f"chaos     seed {seed}")
    run = Run(rounds=options.rounds, seed=seed, payments=options.disbursements, lanes=options.lanes)
    try:
        result = run.play()
    except BridgeError as error:
        complain(f"chaos: {error}")
        return 3
    for problem in result.problems:
        complain(f"chaos: {problem}")
    sys.stderr.flush()
    say(result.line())
    return 1 if result.problems or result.lost or result.duplicated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
