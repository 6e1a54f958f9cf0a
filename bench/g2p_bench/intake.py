"""Intake: payments into one envelope, over each door, in calls of several sizes."""

from g2p_bench import floors
from g2p_bench.results import stage
from g2p_bench.system import FAR_DAYS

SIZES = (100, 1000, 5000)
CLIENTS = (1, 4)
#: from here on each client has at least one call
_REAL_RUN = 1000


def measure(system, count):
    """Yield a result for each door, size of call and number of clients.

    The envelope is due in two months, so nothing else happens to its rows. The floor is one COPY of
    the same rows into the yardstick.

    :param int count: rows; at least one full call for each client, but in runs below 1,000
    """
    for door in (system.jsonrpc, system.json2):
        for size in SIZES:
            for clients in CLIENTS:
                rows = max(count, size * clients) if count >= _REAL_RUN else count
                yield _measure(system, door, rows, size, clients)


def _measure(system, door, rows, size, clients):
    envelope = system.declare(system.world, rows, FAR_DAYS)
    with system.memory.watch() as memory:
        calls = system.send(door, envelope, rows, per_call=size, clients=clients)
    [[received]] = system.query(
        "SELECT count(*) FROM g2p_disbursement WHERE envelope_id = %s", envelope.id
    )
    if received != rows:
        raise AssertionError(f"{received} of {rows} rows were received")
    return stage(
        f"intake_{door.name}_{size}",
        rows=rows,
        seconds=calls.seconds,
        floor_seconds=floors.copy_rows(system.cursor, envelope.id),
        clients=clients,
        memory=memory,
        calls=len(calls.latencies),
        latencies=calls.latencies,
    )
