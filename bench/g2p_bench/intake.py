"""Intake: payments into one envelope, over each door, in calls of several sizes."""

from g2p_bench import floors
from g2p_bench.results import stage
from g2p_bench.system import FAR_DAYS

#: rows of a call, and whether it asks for a brief answer
KINDS = ((100, False), (1000, False), (1000, True), (5000, False))
CLIENTS = (1, 4)
#: from here on each client has at least one call
_REAL_RUN = 1000
#: up to so many rows it is done several times, and the middle one taken
_REPEATS, _REPEATED_UP_TO = 3, 100_000


def measure(system, count):
    """Yield a result for each door, size of call and number of clients.

    The envelope is due in two months, so nothing else happens to its rows. The floor is one COPY of
    the same rows into the yardstick.

    :param int count: rows; at least one full call for each client, but in runs below 1,000
    """
    for door in (system.jsonrpc, system.json2):
        for size, brief in KINDS:
            for clients in CLIENTS:
                rows = max(count, size * clients) if count >= _REAL_RUN else count
                yield _middle(system, door, rows, size, brief, clients)


def names(door):
    """Return the stages of a door, ``jsonrpc`` or ``json2``."""
    return tuple(_name(door, size, brief) for size, brief in KINDS)


def _name(door, size, brief):
    return f"intake_{door}_{size}{'_brief' if brief else ''}"


def _middle(system, *call):
    rows = call[1]
    repeats = _REPEATS if _REAL_RUN <= rows <= _REPEATED_UP_TO else 1
    results = [_measure(system, *call) for _repeat in range(repeats)]
    return sorted(results, key=lambda result: result["ratio"])[repeats // 2]


def _measure(system, door, rows, size, brief, clients):
    envelope = system.declare(system.world, rows, FAR_DAYS)
    with system.memory.watch() as memory:
        calls = system.send(door, envelope, rows, per_call=size, clients=clients, brief=brief)
    [[received]] = system.query(
        "SELECT count(*) FROM g2p_disbursement WHERE envelope_id = %s", envelope.id
    )
    if received != rows:
        raise AssertionError(f"{received} of {rows} rows were received")
    return stage(
        _name(door.name, size, brief),
        rows=rows,
        seconds=calls.seconds,
        floor_seconds=floors.copy_rows(system.cursor, envelope.id),
        clients=clients,
        memory=memory,
        calls=len(calls.latencies),
        latencies=calls.latencies,
    )
