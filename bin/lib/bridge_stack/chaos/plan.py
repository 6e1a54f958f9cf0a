"""What happens in a round, drawn from its seed: pure values, the same for the same seed."""

import itertools
import random
from dataclasses import dataclass, field
from decimal import Decimal

#: what is killed, and how often in comparison
KILLS = {"worker": 6, "runner": 3, "server": 1, "bank": 3, "postgres": 1}
#: what the bank does to a call: past the time-out of 2 s where it is slow
FAULTS = (
    {"fault": "reset"},
    {"fault": "error_before"},
    {"fault": "delay_before", "seconds": 3.5},
    {"fault": "delay", "seconds": 1.2},
    {"fault": "delay", "seconds": 3.5},
    {"fault": "drop"},
    {"fault": "error_after"},
    {"fault": "garbage"},
    {"fault": "half"},
    {"fault": "refuse", "seconds": 1.5},
)
ENDPOINTS = {"/check_funds": 1, "/block_funds": 2, "/initiate_payment": 5}
#: what a bank has besides, unless it is mute
MORE_ENDPOINTS = {"/inquire_payments": 3, "/release_funds": 1}
#: seconds in which calls, kills and faults of a round fall
STORM_S = 4.0


@dataclass(frozen=True)
class EnvelopePlan:
    """One envelope, and what its program does with it. Payments are named by their position."""

    amounts: tuple
    begins_at: float
    rows_per_call: int
    #: no account is known of these: of the first ones until ``links_at``, of the others ever
    linked_later: frozenset
    never_linked: frozenset
    links_at: float
    #: the bank sends the money of these back
    returned: frozenset
    #: cancelled while the envelope is receiving, and replaced by a payment of the same amount
    replaced: int | None
    #: (seconds, positions) of calls that cancel some payments
    cancels: tuple
    #: seconds after which the whole envelope is cancelled, or None
    cancelled_at: float | None


@dataclass(frozen=True)
class RoundPlan:
    """One round: its envelopes, and what befalls the system meanwhile."""

    number: int
    #: the bank knows no keys and cannot be asked: an officer decides
    is_mute: bool
    envelopes: tuple
    #: (seconds, "kill", what) and (seconds, "fault", its values), in order
    events: tuple
    #: what is killed while the statement is matched, or None
    late_kill: str | None
    #: seconds after which the bank settles and reports in the middle of it all, or None
    early_settlement: float | None
    #: decides further, where the system itself decides what there is to choose from
    rng: random.Random = field(compare=False, repr=False)

    def summary(self):
        """Return a few words about it."""
        words = [what for _at, kind, what in self.events if kind == "kill"]
        words += [f"late {self.late_kill}"] if self.late_kill else []
        words += [what["fault"] for _at, kind, what in self.events if kind == "fault"]
        words += ["mute bank"] if self.is_mute else []
        return f"{len(self.envelopes)} envelopes, {', '.join(words)}"


def draw(seed, number, payments):
    """Return the :class:`RoundPlan` of a round.

    :param int seed: of the whole run
    :param int payments: in the round, all envelopes together
    """
    rng = random.Random(f"{seed}:{number}")  # a draw, no secret
    is_mute = rng.random() < 0.2
    sizes = _sizes(rng, payments, 1 if is_mute else rng.choice((1, 2, 2, 3)))
    return RoundPlan(
        number=number,
        is_mute=is_mute,
        envelopes=tuple(_envelope(rng, size) for size in sizes),
        events=_events(rng, ENDPOINTS if is_mute else ENDPOINTS | MORE_ENDPOINTS),
        late_kill=_kill(rng) if rng.random() < 0.2 else None,
        early_settlement=rng.uniform(1, STORM_S) if rng.random() < 0.3 else None,
        rng=rng,
    )


def _sizes(rng, payments, count):
    """Cut the payments into so many envelopes, none of them tiny."""
    cuts = sorted(rng.sample(range(1, 10), count - 1))
    edges = [0, *(payments * cut // 10 for cut in cuts), payments]
    return [max(after - before, 2) for before, after in itertools.pairwise(edges)]


def _envelope(rng, size):
    positions = rng.sample(range(size), size)
    later, never, returned, gone = (
        {positions.pop() for _ in range(min(rng.choice(draws), len(positions) - 1))}
        for draws in ((0, 0, 1, 3), (0, 0, 0, 1), (0, 0, 1, 2), (0, 1, 2, 4))
    )
    # some of those whose account is not known yet are cancelled, too
    gone |= {position for position in later if rng.random() < 0.3}
    return EnvelopePlan(
        amounts=tuple(Decimal(rng.randint(1, 20000)).scaleb(-2) for _ in range(size)),
        begins_at=rng.uniform(0, STORM_S / 2),
        rows_per_call=max(2, size // rng.randint(1, 4)),
        linked_later=frozenset(later),
        never_linked=frozenset(never),
        links_at=rng.uniform(1, STORM_S + 2),
        returned=frozenset(returned),
        replaced=positions[0] if rng.random() < 0.25 else None,
        cancels=tuple((rng.uniform(0.5, STORM_S), part) for part in _parts(rng, sorted(gone))),
        cancelled_at=rng.uniform(0.5, STORM_S) if rng.random() < 0.25 else None,
    )


def _parts(rng, positions):
    """Cut positions into calls of one or two."""
    parts = []
    while positions:
        count = rng.choice((1, 2))
        parts.append(tuple(positions[:count]))
        positions = positions[count:]
    return parts


def _events(rng, endpoints):
    faults = [
        (rng.uniform(0, STORM_S / 2), "fault", _fault(rng, endpoints))
        for _ in range(rng.randint(3, 6))
    ]
    kills = [
        (rng.uniform(0.3, STORM_S), "kill", _kill(rng)) for _ in range(rng.choice((1, 1, 1, 2)))
    ]
    return tuple(sorted(faults + kills, key=lambda event: event[0]))


def _fault(rng, endpoints):
    fault = dict(rng.choice(FAULTS))
    if fault["fault"] != "refuse":
        [fault["endpoint"]] = rng.choices(list(endpoints), endpoints.values())
        fault["count"] = rng.choice((1, 1, 2))
    return fault


def _kill(rng):
    return rng.choices(list(KILLS), KILLS.values())[0]
