"""Compares what was owed with the bank's ledger: the ledger is the judge, not the bridge."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

ENDED = ("settled", "cancelled")


@dataclass
class Verdict:
    """What a round came to.

    :ivar payments: that the bank made
    :ivar lost: payable ones that it did not make
    :ivar duplicated: further orders of the same payment, and payments of what was cancelled
    :ivar problems: sentences (list); none, if all is well
    """

    payments: int = 0
    lost: int = 0
    duplicated: int = 0
    problems: list = field(default_factory=list)

    def expect(self, what, found, wanted):
        """Note a problem unless both are equal."""
        if found != wanted:
            self.problems.append(f"{what} is {found}, not {wanted}")


class Judge:
    """Judges the rounds of one program.

    :param is_mute: the bank gives nothing back, and an officer decides what it cannot say
    """

    def __init__(self, program, is_mute):
        self.program = program
        self.is_mute = is_mute
        self._block_count = 0
        self._known_ids = set()

    def judge(self, cases):
        """Return the :class:`Verdict` on the cases of a round, all of which had their time."""
        verdict = Verdict()
        ledger = self.program.world.ledger()
        self.program.follow_to_the_end([one for case in cases for one in case.ids.values()])
        orders = {payment["reference"]: payment for payment in ledger["payments"]}
        debits = Counter(
            posting["reference"] for posting in ledger["postings"] if posting["mark"] == "D"
        )
        for case in cases:
            self._known_ids.update(case.ids.values())
            self._judge_payments(verdict, case, orders, debits)
            if case.envelope_id:
                self._judge_totals(verdict, case, orders)
        strays = sorted(set(orders) - self._known_ids)
        verdict.expect("what the bank paid and nobody owes", strays, [])
        verdict.duplicated += len(strays)
        verdict.expect("what the bank refused", len(ledger["refused_orders"]), 0)
        self._judge_funds(verdict, ledger, len(cases))
        return verdict

    # payments

    def _judge_payments(self, verdict, case, orders, debits):
        payable = case.payable()
        for reference, given_id in case.ids.items():
            order = orders.get(given_id)
            if order:
                verdict.payments += 1
                again = max(order["times_ordered"], debits[given_id]) - 1
                if again > 0:
                    verdict.duplicated += again
                    verdict.problems.append(f"{given_id} was ordered {again + 1} times")
            state = self.program.states.get(given_id, "missing")
            if reference not in payable:
                verdict.expect(f"cancelled {given_id}", state, "cancelled")
                if order:
                    verdict.duplicated += 1
                    verdict.problems.append(f"{given_id} was cancelled and is paid")
            elif not (self.is_mute and state == "rejected" and order is None):
                self._judge_payable(verdict, case, reference, order, state)

    def _judge_payable(self, verdict, case, reference, order, state):
        given_id = case.ids[reference]
        is_returned = reference in {case.references[position] for position in case.plan.returned}
        wanted = ("reversed", "reversed") if is_returned else ("settled", "reconciled")
        if order is None:
            verdict.lost += 1
            verdict.problems.append(f"{given_id} was never ordered; it is {state} here")
            return
        verdict.expect(f"{given_id} at the bank", order["state"], wanted[0])
        verdict.expect(f"{given_id}", state, wanted[1])
        verdict.expect(f"amount of {given_id}", Decimal(order["amount"]), case.amounts[reference])

    # totals

    def _judge_totals(self, verdict, case, orders):
        status = case.status()
        verdict.expect(f"envelope {case.name}", status["envelope_status"] in ENDED, True)
        if status["envelope_status"] not in ENDED:
            verdict.problems.append(f"envelope {case.name} is {status['envelope_status']}")
        mine = [orders[given_id] for given_id in case.ids.values() if given_id in orders]
        returned = [order for order in mine if order["state"] == "reversed"]
        counts = {
            "received": len(case.ids) - len(case.withdrawn),
            "reconciled": len(mine),
            "reversed": len(returned),
            "shipped": len(mine),
            "unknown": 0,
            "unresolved": 0,
        }
        for name, wanted in counts.items():
            found = status[f"number_of_disbursements_{name}"]
            verdict.expect(f"{name} of {case.name}", found, wanted)
        amounts = {
            "received": sum(
                case.amounts[reference] for reference in set(case.ids) - case.withdrawn
            ),
            "reconciled": _sum(mine),
            "reversed": _sum(returned),
            "shipped": _sum(mine),
        }
        for name, wanted in amounts.items():
            found = Decimal(repr(status[f"total_disbursement_amount_{name}"]))
            verdict.expect(f"amount {name} of {case.name}", found, wanted)

    # funds

    def _judge_funds(self, verdict, ledger, case_count):
        new = len(ledger["blocks"]) - self._block_count
        self._block_count = len(ledger["blocks"])
        if not self.is_mute and new > case_count:
            verdict.problems.append(f"{new} blocks for {case_count} envelopes")
        for block in ledger["blocks"]:
            drawn, released = Decimal(block["drawn"]), Decimal(block["released"])
            verdict.expect(
                f"settled of a block {block['amount']}", Decimal(block["settled"]), drawn
            )
            if not self.is_mute:
                verdict.expect("what a block gave out", drawn + released, Decimal(block["amount"]))
        if self.is_mute:
            return
        [account] = ledger["accounts"]
        verdict.expect("what the account holds", Decimal(account["held"]), 0)


def _sum(orders):
    return sum((Decimal(order["amount"]) for order in orders), Decimal(0))
