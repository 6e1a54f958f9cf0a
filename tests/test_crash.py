"""Everything is killed and broken while payments are under way: the bank's ledger is the judge.

A short run of what ``tests/chaos`` does for hours. The seed decides it: ``G2P_CHAOS_SEED`` sets
another one, ``G2P_CHAOS_ROUNDS`` a longer run.
"""

import os
from types import SimpleNamespace

import pytest

from bridge_stack.chaos import plan as plans
from bridge_stack.chaos.judge import Judge
from bridge_stack.chaos.program import Case
from bridge_stack.chaos.run import Run
from bridge_stack.install import external_postgres

SEED = int(os.environ.get("G2P_CHAOS_SEED", "20261124"))
ROUNDS = int(os.environ.get("G2P_CHAOS_ROUNDS", "10"))
KILLED = {"worker", "runner", "server", "bank", "postgres"}


@pytest.mark.stack
@pytest.mark.skipif(external_postgres(), reason="PGHOST names a server that is not ours to kill")
def test_whatever_is_killed_everyone_is_paid_once():
    run = Run(rounds=ROUNDS, seed=SEED, payments=30)
    result = run.play()
    again = f"again with: tests/chaos --seed {SEED} --rounds {ROUNDS} --disbursements 30"
    assert result.problems == [], again
    assert (result.rounds, result.lost, result.duplicated) == (ROUNDS, 0, 0), again
    # the run was one: things were killed, calls met faults, people were paid
    assert result.kills >= ROUNDS
    assert result.faults
    assert result.payments


# What decides and judges a run


def test_the_seed_decides_a_round():
    assert plans.draw(1, 7, 40) == plans.draw(1, 7, 40)
    assert plans.draw(1, 7, 40) != plans.draw(2, 7, 40)
    assert plans.draw(1, 7, 40) != plans.draw(1, 8, 40)


def test_a_long_run_kills_and_breaks_everything():
    drawn = [plans.draw(1, number, 40) for number in range(1000)]
    events = [event for plan in drawn for event in plan.events]
    assert {what for _at, kind, what in events if kind == "kill"} == KILLED
    faults = [what for _at, kind, what in events if kind == "fault"]
    assert {fault["fault"] for fault in faults} == {fault["fault"] for fault in plans.FAULTS}
    assert {fault.get("endpoint") for fault in faults} >= {*plans.ENDPOINTS, *plans.MORE_ENDPOINTS}
    assert {plan.is_mute for plan in drawn} == {False, True}
    assert {plan.late_kill for plan in drawn} == {None, *KILLED}


@pytest.mark.parametrize("number", range(50))
def test_a_plan_names_payments_that_are_there_and_no_two_things_of_one(number):
    for envelope in plans.draw(3, number, 30).envelopes:
        positions = set(range(len(envelope.amounts)))
        cancelled = [position for _at, part in envelope.cancels for position in part]
        assert len(set(cancelled)) == len(cancelled)
        assert {*cancelled, *envelope.linked_later, *envelope.never_linked} <= positions
        assert not envelope.returned & (envelope.linked_later | envelope.never_linked)
        assert envelope.replaced not in {*cancelled, *envelope.linked_later, *envelope.returned}


class Paper:
    """A program of three payments and a bank that made them, on paper: for the judge alone."""

    def __init__(self):
        plan = next(
            envelope
            for number in range(100)
            for envelope in plans.draw(5, number, 10).envelopes
            if len(envelope.amounts) >= 3
        )
        self.case = Case(self, plan, "CASE", 0)
        self.case.amounts = dict(list(self.case.amounts.items())[:3])
        self.case.plan = SimpleNamespace(returned=frozenset())
        self.case.ids = {reference: f"ID{reference}" for reference in self.case.amounts}
        self.case.envelope_id = "ENVELOPE"
        self.case.status = lambda: self.answer
        self.states = dict.fromkeys(self.case.ids.values(), "reconciled")
        self.world = self
        total = str(sum(self.case.amounts.values()))
        self.books = {
            "payments": [
                {
                    "reference": self.case.ids[reference],
                    "amount": str(amount),
                    "state": "settled",
                    "times_ordered": 1,
                }
                for reference, amount in self.case.amounts.items()
            ],
            "refused_orders": [],
            "postings": [{"reference": each, "mark": "D"} for each in self.states],
            "blocks": [{"amount": total, "drawn": total, "settled": total, "released": "0"}],
            "accounts": [{"held": "0.00"}],
        }
        counts = {"received": 3, "reconciled": 3, "shipped": 3}
        rest = dict.fromkeys(("reversed", "unknown", "unresolved"), 0)
        amounts = {name: float(total) for name in counts} | {"reversed": 0.0}
        self.answer = {
            "envelope_status": "settled",
            **{f"number_of_disbursements_{name}": n for name, n in (counts | rest).items()},
            **{f"total_disbursement_amount_{name}": value for name, value in amounts.items()},
        }

    def ledger(self):
        return self.books

    def follow_to_the_end(self, ids):
        assert set(ids) == set(self.case.ids.values())

    def verdict(self):
        return Judge(self, is_mute=False).judge([self.case])


def test_the_judge_is_content_with_books_that_agree():
    verdict = Paper().verdict()
    assert (verdict.payments, verdict.lost, verdict.duplicated, verdict.problems) == (3, 0, 0, [])


def test_the_judge_sees_a_payment_that_was_lost():
    paper = Paper()
    paper.books["payments"].pop()
    assert paper.verdict().lost == 1


def test_the_judge_sees_a_payment_that_was_ordered_twice():
    paper = Paper()
    paper.books["payments"][0]["times_ordered"] = 2
    assert paper.verdict().duplicated == 1


def test_the_judge_sees_a_payment_that_was_debited_twice():
    paper = Paper()
    paper.books["postings"].append(paper.books["postings"][0])
    assert paper.verdict().duplicated == 1


def test_the_judge_sees_that_somebody_cancelled_was_paid():
    paper = Paper()
    paper.case.cancelled.add(next(iter(paper.case.ids)))
    assert paper.verdict().duplicated == 1


def test_the_judge_sees_a_payment_that_nobody_owes():
    paper = Paper()
    paper.books["payments"].append({**paper.books["payments"][0], "reference": "STRAY"})
    assert paper.verdict().duplicated == 1


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("payments", "amount", "0.01"),
        ("payments", "state", "accepted"),
        ("blocks", "drawn", "0"),
        ("blocks", "amount", "999999"),
        ("accounts", "held", "0.01"),
    ],
)
def test_the_judge_sees_books_of_the_bank_that_differ(where, name, value):
    paper = Paper()
    paper.books[where][0][name] = value
    assert paper.verdict().problems


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("envelope_status", "disbursed"),
        ("number_of_disbursements_reconciled", 2),
        ("number_of_disbursements_unknown", 1),
        ("total_disbursement_amount_received", 0.01),
        ("total_disbursement_amount_shipped", 0.01),
    ],
)
def test_the_judge_sees_totals_of_ours_that_differ(name, value):
    paper = Paper()
    paper.answer[name] = value
    assert paper.verdict().problems


def test_the_judge_sees_a_state_of_ours_that_differs():
    paper = Paper()
    paper.states[next(iter(paper.states))] = "sent"
    assert paper.verdict().problems


def test_the_judge_sees_a_second_block():
    paper = Paper()
    paper.books["blocks"] *= 2
    assert paper.verdict().problems
