"""bin/demo: an envelope of payments, from the PBMS's JSON-RPC call to reconciled."""

import argparse
import json
import random
import sys
import time
from contextlib import redirect_stdout
from datetime import datetime, timezone
from decimal import Decimal

import requests

from bridge_stack.common import BridgeError, complain, say
from bridge_stack.rpc import RpcError
from bridge_stack.stack import Stack
from bridge_stack.world import CURRENCY, World

PROGRAM = "CHILD"
UNRESOLVED_RATE = 0.02
REVERSAL_RATE = 0.03
STATEMENT_DEADLINE_S = 30
STALL_S = 180
POLL_S = 0.3


def _count(text):
    number = int(text)
    if not 1 <= number <= 999_999:
        raise argparse.ArgumentTypeError("must be between 1 and 999,999")
    return number


def _options(arguments):
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--disbursements", type=_count, default=1000, metavar="N")
    parser.add_argument("--mapper", choices=("local", "g2p_connect"), default="local")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="decides amounts, who is not found, who is reversed (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line in the end")
    parser.add_argument("--keep", action="store_true", help="leave everything running for a look")
    return parser.parse_args(arguments)


def main(arguments):
    """Run the demo; return 0 when every total ties, 1 when not, 3 for what a person must mend."""
    options = _options(arguments)
    started = time.monotonic()
    talk = sys.stderr if options.json else sys.stdout
    try:
        with redirect_stdout(talk):
            result = _run(options, started)
    except (BridgeError, RpcError, requests.RequestException) as error:
        complain(f"demo: {error}")
        if options.json:
            say(json.dumps({"ok": False, "error": str(error)}))
        return 3
    except KeyboardInterrupt:
        complain("demo: stopped")
        return 130
    if options.json:
        say(json.dumps(result))
    return 0 if result["ok"] else 1


def _run(options, started):
    bank_options = [f"--seed={options.seed}", f"--reversal-rate={REVERSAL_RATE}", "--float-days=0"]
    mapper_options = [
        f"--count={options.disbursements}",
        f"--missing-rate={UNRESOLVED_RATE}",
        f"--seed={options.seed}",
    ]
    with Stack(
        bank_options=bank_options,
        mapper=options.mapper == "g2p_connect",
        mapper_options=mapper_options,
        keep=options.keep,
    ) as stack:
        demo = Demo(stack, options)
        demo.set_up()
        demo.pay()
        demo.reconcile()
        result = demo.report(time.monotonic() - started)
        say(f"\nBack office: {stack.url}  database: {stack.db}")
        say(f"Login: {'  password: '.join(stack.ADMIN)}" + _keep_hint(options))
        return result


def _keep_hint(options):
    return "" if options.keep else "  (gone now; --keep leaves it running)"


class Demo:
    """The people around the bridge: administrator, program system, bank clerk."""

    def __init__(self, stack, options):
        self.stack = stack
        self.options = options
        self.world = self.pbms = None
        self.display = Display(options.disbursements)

    def set_up(self):
        """Set bank, account, program and mapper up, as the administrator does."""
        say("demo      setting up a bank, an account, a program and a mapper")
        self.world = World(
            self.stack, mnemonic=PROGRAM, mapper=self.options.mapper, seed=self.options.seed
        )
        self.pbms = self.world.pbms
        if self.options.mapper == "local":
            chance = random.Random(self.options.seed)  # who is not found in a demo, no secret
            self.world.link(
                f"BEN{number:06d}"
                for number in range(1, self.options.disbursements + 1)
                if chance.random() >= UNRESOLVED_RATE
            )

    # the program system

    def pay(self):
        """Send the envelope, and wait until all that can be paid is with the bank."""
        pbms = self.pbms
        pbms.draw_amounts(self.options.disbursements)
        today = datetime.now(timezone.utc).date()
        say(
            f"demo      the PBMS declares {len(pbms.amounts):,} payments, "
            f"{CURRENCY} {pbms.declared_total:,}"
        )
        pbms.create_envelope(today.strftime("%Y-%m"), CURRENCY, today)
        self.display.begin()
        pbms.send_disbursements(lambda: self.display.show(pbms.status()))
        self._wait(self._all_sent, "all payments sent")

    def _all_sent(self, status):
        return (
            status["number_of_disbursements_shipped"]
            + status["number_of_disbursements_unresolved"]
            + status["number_of_disbursements_rejected"]
            >= self.options.disbursements
        )

    # the bank

    def reconcile(self):
        """Have the bank settle and upload its statement, and wait until it is matched."""
        answer = self.world.settle()
        refused = [upload for upload in answer["uploads"] if not upload["is_uploaded"]]
        if not answer["statements"] or refused:
            raise BridgeError(f"The bank's statement did not get into the bridge: {answer}")
        self._wait(self._all_reconciled, "all payments reconciled")
        self.display.end()

    def _all_reconciled(self, status):
        return (
            status["number_of_disbursements_reconciled"]
            >= status["number_of_disbursements_shipped"]
            and status["number_of_disbursements_reversed"] == self._reversed_at_bank()
        )

    def _reversed_at_bank(self):
        return self._bank_summary()["payments"].get("reversed", {}).get("count", 0)

    def _bank_summary(self):
        answer = requests.get(f"{self.stack.bank_url}/ledger/summary", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def _wait(self, is_done, what):
        """Poll the envelope's status until it is there, or nothing moves any more."""
        last, since = None, time.monotonic()
        while True:
            status = self.pbms.status()
            self.display.show(status)
            if is_done(status):
                return
            if status != last:
                last, since = status, time.monotonic()
            if time.monotonic() - since > STALL_S:
                self.stack.keep_logs = True
                raise BridgeError(
                    f"{what}: nothing moved for {STALL_S} s; the envelope is "
                    f"{status['envelope_status']} {status['attention_code']}"
                )
            time.sleep(POLL_S)

    # the result

    def report(self, seconds):
        """Print the table of totals, and return the JSON result."""
        pbms = self.pbms
        pbms.follow_changes()
        totals, status = pbms.totals(), pbms.status()
        bank = self._bank_summary()
        problems = self._problems(totals, status, bank)
        _print_table(totals, pbms.declared_total)
        for problem in problems:
            say(f"DOES NOT TIE: {problem}")
        return {
            "ok": not problems,
            "disbursement_envelope_id": pbms.envelope_id,
            "received": status["number_of_disbursements_received"],
            "unresolved": totals["unresolved"][0],
            "sent": status["number_of_disbursements_shipped"],
            "reconciled": totals["reconciled"][0],
            "reversed": totals["reversed"][0],
            "cancelled": totals["cancelled"][0],
            "declared_total": str(pbms.declared_total),
            "reconciled_total": str(totals["reconciled"][1]),
            "seconds": round(seconds, 1),
            "url": self.stack.url,
            "db": self.stack.db,
        }

    def _problems(self, totals, status, bank):
        """Return what does not tie between program, bridge and bank, as sentences."""
        ended = ("reconciled", "reversed", "unresolved", "cancelled", "rejected")
        count = sum(totals[state][0] for state in ended)
        amount = sum(totals[state][1] for state in ended)
        paid_at_bank = Decimal(str(_bank_amount(bank, "settled")))
        returned_at_bank = Decimal(str(_bank_amount(bank, "reversed")))
        checks = [
            (
                "payments received",
                status["number_of_disbursements_received"],
                len(self.pbms.amounts),
            ),
            ("payments ended", count, len(self.pbms.amounts)),
            ("amount ended", amount, self.pbms.declared_total),
            (
                "amount received",
                _decimal(status["total_disbursement_amount_received"]),
                self.pbms.declared_total,
            ),
            ("paid at the bank", paid_at_bank, totals["reconciled"][1]),
            ("reversed at the bank", returned_at_bank, totals["reversed"][1]),
            (
                "reversed in the bridge",
                _decimal(status["total_disbursement_amount_reversed"]),
                totals["reversed"][1],
            ),
            ("ordered more than once", bank["ordered_more_than_once"], 0),
            ("problems of the bank's books", bank["problems"], []),
        ]
        return [f"{name}: {got}, not {wanted}" for name, got, wanted in checks if got != wanted]


def _bank_amount(bank, state):
    return bank["payments"].get(state, {}).get("sum", 0)


def _decimal(number):
    """Return a JSON number as the decimal that it was written as."""
    return Decimal(repr(number))


def _print_table(totals, declared):
    say(f"\n{'':<14}{'payments':>12}{CURRENCY:>20}")
    rows = [
        state
        for state in ("reconciled", "reversed", "unresolved", "rejected", "cancelled")
        if totals[state][0]
    ]
    for state in rows:
        count, amount = totals[state]
        say(f"{state:<14}{count:>12,}{amount:>20,}")
    count = sum(totals[state][0] for state in rows)
    amount = sum(totals[state][1] for state in rows)
    say(f"{'together':<14}{count:>12,}{amount:>20,}")
    say(f"{'declared':<14}{'':>12}{declared:>20,}  {'ties' if amount == declared else 'DIFFERS'}")


class Display:
    """A line that follows the envelope: in place on a terminal, a line per step elsewhere."""

    FIELDS = (
        ("received", "number_of_disbursements_received"),
        ("resolved", None),
        ("sent", "number_of_disbursements_shipped"),
        ("reconciled", "number_of_disbursements_reconciled"),
        ("reversed", "number_of_disbursements_reversed"),
    )

    def __init__(self, total):
        self.total = total
        self._last = ""
        self._live = sys.stderr.isatty() and sys.stdout.isatty()

    def begin(self):
        """Start the line."""
        say("")

    def show(self, status):
        """Show where the envelope stands."""
        parts = [
            f"{name} {self._value(status, field):>{len(f'{self.total:,}')}}"
            for name, field in self.FIELDS
        ]
        text = "  ".join([f"{status['envelope_status']:<16}", *parts])
        if text == self._last:
            return
        self._last = text
        if self._live:
            sys.stdout.write(f"\r{text}")
            sys.stdout.flush()
        else:
            say(text)

    def _value(self, status, field):
        if field:
            return f"{status[field]:,}"
        return f"{status['number_of_disbursements_resolved']:,}"

    def end(self):
        """Leave the line."""
        if self._live:
            say("")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
