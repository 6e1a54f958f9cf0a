"""bin/serve: the bridge and the example bank, until interrupted, on a database that stays."""

import argparse
import signal
import sys
import threading

from bridge_stack.common import BridgeError, complain, home, say
from bridge_stack.stack import Stack

DATABASE = "g2p_bridge"
#: what the example bank knows of the demo data
DEMO_ACCOUNT = ("--account", "1000000001:USD:1000000")

#: The one thing about the bank that depends on how it was started is where it stands. A base URL
#: that a person set to another machine is theirs.
_WIRE_BANK = """
for bank in env["g2p.sponsor.bank"].search([("connector", "=", "example")]):
    if not bank.base_url or bank.base_url.startswith("http://127.0.0.1:"):
        bank.base_url = bank_url
result = env["g2p.sponsor.bank"].search_count([("connector", "=", "example")])
env.cr.commit()
"""


def wire_bank(stack):
    """Tell the sponsor banks with the example connector where the example bank listens.

    :return: how many there are
    """
    return stack.odoo_shell(f"bank_url = {stack.bank_url!r}\n{_WIRE_BANK}")


def _options(arguments):
    parser = argparse.ArgumentParser(prog="bin/serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8069, help="of the server (default 8069)")
    parser.add_argument("--bank-port", type=int, default=8090, help="of the bank (default 8090)")
    parser.add_argument(
        "--workers", type=int, default=2, help="0: one process, which serves /websocket too"
    )
    parser.add_argument("--channels", default="root:2", help="of the job runner (default root:2)")
    parser.add_argument(
        "--with-demo",
        action="store_true",
        help="on a database of its own with demo data: months of payments of a ministry",
    )
    return parser.parse_args(arguments)


def main(arguments):
    """Serve until SIGINT or SIGTERM; return 0, or 3 for what a person has to mend."""
    options = _options(arguments)
    asked_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt(asked_to_stop))
    stack = Stack(
        database=f"{DATABASE}_demo" if options.with_demo else DATABASE,
        with_demo=options.with_demo,
        bank_options=DEMO_ACCOUNT if options.with_demo else (),
        workers=options.workers,
        channels=options.channels,
        server_wide=["g2p_bridge"],
        port=options.port,
        bank_port=options.bank_port,
        folder=home() / ("serve-demo" if options.with_demo else "serve"),
    )
    try:
        with stack:
            wire_bank(stack)
            say(f"serve     {stack.url}  login: {'  password: '.join(stack.ADMIN)}")
            if options.with_demo:
                say("serve     also: officer, approver, viewer (password as the login)")
            say(f"serve     example bank: {stack.bank_url}  logs: {stack.folder}")
            say("serve     Ctrl-C stops it; the database stays")
            _wait_while_all_run(stack)
    except BridgeError as error:
        complain(f"serve: {error}")
        return 3
    except KeyboardInterrupt:
        say("serve     stopped")
    return 0


def _interrupt(asked_to_stop):
    # once is enough: a second Ctrl-C must not interrupt the clean-up of the first
    if not asked_to_stop.is_set():
        asked_to_stop.set()
        raise KeyboardInterrupt


def _wait_while_all_run(stack):
    expected = set(stack.pids)
    while expected == set(stack.pids):
        threading.Event().wait(1)
    ended = ", ".join(sorted(expected - set(stack.pids)))
    raise BridgeError(f"{ended} ended by itself, see {stack.folder}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
