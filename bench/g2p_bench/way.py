"""An envelope on its way: accounts, the bank, the statement."""

import json
import threading
import time
from collections import defaultdict

import requests

from bridge_stack.common import BridgeError
from g2p_bench import floors
from g2p_bench.clients import Request, post_all
from g2p_bench.results import stage
from g2p_bench.system import NEAR_DAYS

#: nothing moved for so long: the run has failed
STALL_S = 300
#: the follower sleeps so many times as long as its question took, and at least this
_REST, _LEAST_S = 25, 0.02
#: ids in one request to the mapper: the default of its record
_MAPPER_BATCH = 1000
_UPLOAD_PATH = "/g2p_bridge/upload_mt940"
#: an envelope's states on its way: one that is too short to be seen was there, if a later one is
_STATES = (
    "receiving",
    "ready",
    "funds_available",
    "funds_blocked",
    "disbursing",
    "disbursed",
    "settled",
)

#: Reads the same files with the bridge's parser and with the library alone, each several times.
_PARSE = """
import statistics, time
import mt940
from odoo.addons.g2p_bridge.services import mt940 as ours
def middle(read):
    times = []
    for _repeat in range(repeats):
        begun = time.monotonic()
        read()
        times.append(time.monotonic() - begun)
    return statistics.median(times)
texts = []
for path in paths:
    with open(path, "rb") as file:
        texts.append(file.read())
def by_us():
    return sum(len(s.entries) for text in texts for s in ours.parse(text))
def by_library():
    return sum(len(mt940.models.Transactions().parse(text.decode())) for text in texts)
result = {"entries": by_us(), "seconds": middle(by_us), "floor_seconds": middle(by_library)}
"""


class Follower:
    """Notes when an envelope's payments were committed in a state, by the journal of moves.

    Asks on a connection of its own, a twenty-fifth of the time at most.

    :ivar first: state -> ``time.monotonic()`` when the first payments were seen to have reached it
    :ivar done: state -> when all had; with the envelope's states beside those of payments
    """

    def __init__(self, system, envelope, count):
        self._system = system
        self._envelope = envelope
        self._count = count
        self._is_over = threading.Event()
        self._has_looked = threading.Condition()
        self._problem = None
        self.first = {}
        self.done = {}
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._is_over.set()
        self._thread.join()

    def wait_for(self, name):
        """Return when all payments had reached a state, or the envelope one of its states.

        :raise BridgeError: nothing moves any more, or nobody looks any more
        """
        with self._has_looked:
            self._has_looked.wait_for(lambda: name in self.done or self._is_over.is_set())
        if name not in self.done:
            raise BridgeError(self._problem or f"the envelope was not followed up to {name}")
        return self.done[name]

    def _follow(self):
        try:
            self._look_again_and_again()
        finally:
            with self._has_looked:
                self._is_over.set()
                self._has_looked.notify_all()

    def _look_again_and_again(self):
        stack, last, moved_at = self._system.stack, None, time.monotonic()
        with stack.postgres.cursor(stack.db) as cursor:
            while not self._is_over.is_set():
                begun = time.monotonic()
                state, reached = self._ask(cursor)
                now = time.monotonic()
                with self._has_looked:
                    self._note(state, reached, now)
                    self._has_looked.notify_all()
                if (state, reached) != last:
                    last, moved_at = (state, reached), now
                if now - moved_at > STALL_S:
                    self._problem = f"nothing moved for {STALL_S} s: {state}, {reached}"
                    return
                self._is_over.wait(max((now - begun) * _REST, _LEAST_S))

    def _ask(self, cursor):
        cursor.execute(
            "SELECT target, sum(disbursement_count) FROM g2p_disbursement_journal"
            " WHERE envelope_id = %(id)s GROUP BY target"
            " UNION ALL SELECT 'envelope ' || state, 0 FROM g2p_disbursement_envelope"
            " WHERE id = %(id)s",
            {"id": self._envelope.id},
        )
        rows = dict(cursor.fetchall())
        [state] = [name for name in rows if name.startswith("envelope ")]
        rows.pop(state)
        return state.removeprefix("envelope "), rows

    def _note(self, state, reached, now):
        for passed in _STATES[: _STATES.index(state) + 1] if state in _STATES else (state,):
            self.done.setdefault(f"envelope {passed}", now)
        for target, count in reached.items():
            self.first.setdefault(target, now)
            if count >= self._count:
                self.done.setdefault(target, now)


# accounts


def resolve_local(system, count):
    """Return the result of looking accounts up in the built-in table.

    From the last intake call's answer until all payments were seen to be committed as resolved. The
    envelope is due in two days: its accounts are looked up at once, and nothing else is done. The
    floor is one UPDATE .. FROM over the same rows in a copy of the yardstick.
    """
    world = system.world
    envelope, seconds, memory = _resolve(system, world, count)
    return stage(
        "resolve_local",
        rows=count,
        **seconds,
        floor_seconds=floors.update_resolved(system.cursor, envelope.id, world.mapper_id),
        clients=system.channels,
        memory=memory,
    )


def resolve_g2p_connect(system, count):
    """Return the result of looking accounts up over HTTP, at a mapper that answers at once.

    Like :func:`resolve_local`; the floor is the same requests by bare clients, as many as there are
    jobs at a time.
    """
    world = system.new_world(name="Farm subsidy", mapper="g2p_connect")
    envelope, seconds, memory = _resolve(system, world, count)
    rows = system.query(
        "SELECT disbursement_id, beneficiary_id FROM g2p_disbursement WHERE envelope_id = %s"
        " ORDER BY id",
        envelope.id,
    )
    requests_ = [
        _mapper_request(rows[start : start + _MAPPER_BATCH])
        for start in range(0, len(rows), _MAPPER_BATCH)
    ]
    floor = post_all(system.stack.mapper_url, requests_, system.channels)
    return stage(
        "resolve_g2p_connect",
        rows=count,
        **seconds,
        floor_seconds=floor.seconds,
        clients=system.channels,
        memory=memory,
    )


def _resolve(system, world, count):
    envelope = system.declare(world, count, NEAR_DAYS)
    with system.memory.watch() as memory, Follower(system, envelope, count) as follower:
        begun = system.send(system.jsonrpc, envelope, count).ended_at
        end = follower.wait_for("resolved")
        seconds = {"seconds": end - begun, "first_seconds": _since(begun, follower, "resolved")}
    return envelope, seconds, memory


def _since(begun, follower, state):
    return round(follower.first[state] - begun, 4)


def _mapper_request(rows):
    """Return a G2P Connect request like the bridge's."""
    now = "2030-01-01T00:00:00.000000+00:00"
    items = [
        {
            "reference_id": reference,
            "timestamp": now,
            "fa": "",
            "id": beneficiary_id,
            "name": None,
            "scope": "details",
            "additional_info": None,
            "locale": "en",
        }
        for reference, beneficiary_id in rows
    ]
    header = {
        "version": "1.0.0",
        "message_id": "00000000-0000-0000-0000-000000000000",
        "message_ts": now,
        "action": "resolve",
        "sender_id": "g2p-bridge",
        "sender_uri": "",
        "receiver_id": "",
        "total_count": len(items),
        "is_msg_encrypted": False,
        "meta": None,
    }
    message = {"transaction_id": header["message_id"], "resolve_request": items}
    body = json.dumps({"header": header, "message": message}, separators=(",", ":")).encode()
    return Request("/sync/resolve", body, {"Content-Type": "application/json"})


# the bank and the statement


class Way:
    """One envelope that goes the whole way, and the results of its stages.

    :ivar envelope: it
    :ivar results: list of results, in the order of the way
    """

    def __init__(self, system, count):
        self._system = system
        self._count = count
        self._floors = {}
        self._statement_ids = []
        self.results = []
        self.envelope = system.declare(system.world, count, 0)

    def go(self):
        """Send it, wait until it is paid, and measure the floors afterwards."""
        with Follower(self._system, self.envelope, self._count) as follower:
            self._send(follower)
            self._dispatch(follower)
            self._reconcile(follower)
        self._whole_way(follower)

    def _add(self, name, **values):
        result = stage(name, **{"rows": self._count, **values})
        self.results.append(result)
        self._floors[name] = result["floor_seconds"]

    def _send(self, follower):
        """Take the payments in: four clients, calls of 1,000 rows, the pipeline behind them."""
        system = self._system
        with system.memory.watch() as memory:
            calls = system.send(system.jsonrpc, self.envelope, self._count)
        self._received_at = calls.ended_at
        self._sent_in = {"seconds": calls.seconds, "memory": memory}

    def _dispatch(self, follower):
        """Batches formed and sent.

        From when all accounts are known and the funds blocked until all payments were seen to be
        committed as sent. The floor is the same bodies posted to the same bank by bare clients, as
        many as the bank allows (they draw on another account).
        """
        system = self._system
        with system.memory.watch() as memory:
            end = follower.wait_for("sent")
            follower.wait_for("envelope disbursed")
        begun = max(follower.done["resolved"], follower.done["envelope funds_blocked"])
        self._sent_at = end
        self._dispatched = {
            "seconds": end - begun,
            "first_seconds": _since(begun, follower, "sent"),
            "batched_seconds": round(follower.done["batched"] - begun, 4),
            "memory": memory,
        }

    def _reconcile(self, follower):
        """The bank settles and writes its statements; they are uploaded and matched."""
        system, world = self._system, self._system.world
        begun = time.monotonic()
        world.at_bank("/admin/settle")
        made = world.at_bank(
            "/admin/statements", account_number=world.account_number, upload=False
        )["statements"]
        texts = [self._read_statement(number) for number in made]
        self._bank_seconds = time.monotonic() - begun
        with system.memory.watch() as memory:
            uploads = [self._upload(text) for text in texts]
            rows, stored_at = self._left_to_match(), uploads[-1][1]
            end = follower.wait_for("reconciled")
            follower.wait_for("envelope settled")
        self._reconciled_at = end
        self._statement_ids = [
            statement_id
            for (statement_id,) in system.query(
                "SELECT id FROM g2p_account_statement WHERE account_id = %s", world.account_id
            )
        ]
        self._uploaded = {"seconds": sum(seconds for seconds, _at in uploads), "memory": memory}
        self._matched = {
            "rows": rows,
            "seconds": end - stored_at,
            "first_seconds": _since(uploads[0][1], follower, "reconciled"),
            "memory": memory,
        }
        self._texts = texts

    def _left_to_match(self):
        """Return how many entries have no outcome yet, once all files were answered.

        While a file is read and stored, those before it are matched: only what is left shows how
        fast a match is that has the machine for itself.
        """
        [[done]] = self._system.query(
            "SELECT coalesce(sum(disbursement_count), 0) FROM g2p_disbursement_journal"
            " WHERE envelope_id = %s AND target = 'reconciled'",
            self.envelope.id,
        )
        if done == self._count:
            raise AssertionError("all was matched before all was stored: nothing can be measured")
        return int(self._count - done)

    def _read_statement(self, number):
        url = f"{self._system.stack.bank_url}/admin/statements/{number}"
        answer = requests.get(url, timeout=600)
        answer.raise_for_status()
        return answer.content

    def _upload(self, text):
        """Upload a statement as the bank does; return (seconds, when it was answered)."""
        stack = self._system.stack
        begun = time.monotonic()
        answer = requests.post(
            f"{stack.url}{_UPLOAD_PATH}",
            files={"statement_file": ("statement.sta", text, "text/plain")},
            headers={"Authorization": f"Bearer {stack.bank_key}", "X-Odoo-Database": stack.db},
            timeout=600,
        )
        end = time.monotonic()
        answer.raise_for_status()
        body = answer.json()
        if body["header"]["status"] != "succ":
            raise BridgeError(f"the statement was refused: {body['header']}")
        return end - begun, end

    # floors, and the results

    def _whole_way(self, follower):
        cursor, envelope_id = self._system.cursor, self.envelope.id
        self._add(
            "way_intake",
            **self._sent_in,
            floor_seconds=floors.copy_rows(cursor, envelope_id),
            clients=4,
        )
        self._add(
            "dispatch",
            **self._dispatched,
            floor_seconds=self._dispatch_floor(),
            clients=self._parallel_calls(),
        )
        self._statement_results()
        self._way_results(follower)

    def _parallel_calls(self):
        [[calls]] = self._system.query(
            "SELECT max_parallel_calls FROM g2p_sponsor_bank WHERE id = %s",
            self._system.world.bank_id,
        )
        return min(calls, self._system.channels)

    def _dispatch_floor(self):
        world, url = self._system.world, self._system.stack.bank_url
        number = f"{world.account_number}F"
        world.at_bank(
            "/admin/accounts",
            account_number=number,
            currency="USD",
            balance="1000000000000.00",
            account_holder="Ministry",
        )
        block = world.at_bank(
            "/block_funds", account_number=number, currency="USD", amount=100_000_000_000
        )["block_reference_no"]
        return post_all(url, self._payment_requests(number, block), self._parallel_calls()).seconds

    def _payment_requests(self, account_number, block):
        batches = defaultdict(list)
        for batch_id, *payment in self._system.query(
            "SELECT batch_id, disbursement_id, amount::text, beneficiary_name, account_number,"
            " narrative, beneficiary_id FROM g2p_disbursement WHERE envelope_id = %s ORDER BY id",
            self.envelope.id,
        ):
            # as text at once: a million dicts would take gigabytes
            order = _payment(payment, account_number, block)
            batches[batch_id].append(json.dumps(order, separators=(",", ":")))
        return [
            Request(
                "/initiate_payment",
                f"[{','.join(orders)}]".encode(),
                {"Content-Type": "application/json", "Idempotency-Key": f"bench:{batch_id}"},
            )
            for batch_id, orders in batches.items()
        ]

    def _statement_results(self):
        cursor = self._system.cursor
        parsed = self._parse()
        store_floor = floors.copy_lines(cursor, self._statement_ids)
        self._match_floor = floors.update_matched(cursor, self.envelope.id, self._statement_ids)
        uploaded = self._uploaded["seconds"]
        self._add(
            "statement_parse",
            seconds=parsed["seconds"],
            floor_seconds=parsed["floor_seconds"],
        )
        self._add(
            "statement_store",
            # the upload is both; what the network takes is in here
            seconds=max(uploaded - parsed["seconds"], 1e-4),
            floor_seconds=store_floor,
            memory=self._uploaded["memory"],
        )
        self._add(
            "statement_match",
            **self._matched,
            floor_seconds=self._match_floor * self._matched["rows"] / self._count,
        )

    def _parse(self):
        paths = []
        for number, text in enumerate(self._texts):
            path = self._system.stack.folder / f"statement-{number}.sta"
            path.write_bytes(text)
            paths.append(str(path))
        repeats = floors.REPEATS if self._count <= floors.REPEATED_UP_TO else 1
        result = self._system.stack.odoo_shell(f"paths, repeats = {paths!r}, {repeats}\n{_PARSE}")
        if result["entries"] != self._count:
            raise AssertionError(f"{result['entries']} of {self._count} entries were read")
        return result

    def _way_results(self, follower):
        """From the last intake call's answer to all sent, and to all reconciled.

        The floor is the sum of the floors of the stages on the way. The bank's own time, to settle
        and write its statements, is a part of the second, told as ``bank_seconds``.
        """
        begun = self._received_at
        resolve = floors.update_resolved(
            self._system.cursor, self.envelope.id, self._system.world.mapper_id
        )
        to_sent = resolve + self._floors["dispatch"]
        statement = sum(self._floors[f"statement_{name}"] for name in ("parse", "store"))
        self._add(
            "whole_way_sent",
            seconds=self._sent_at - begun,
            floor_seconds=to_sent,
            resolved_seconds=round(follower.done["resolved"] - begun, 4),
            blocked_seconds=round(follower.done["envelope funds_blocked"] - begun, 4),
        )
        self._add(
            "whole_way_reconciled",
            seconds=self._reconciled_at - begun,
            floor_seconds=to_sent + statement + self._match_floor,
            bank_seconds=round(self._bank_seconds, 4),
            settled_seconds=round(follower.done["envelope settled"] - begun, 4),
        )


def _payment(row, account_number, block):
    """Return an order as the connector writes it; its reference is another one of that length."""
    reference, amount, name, account, narrative, beneficiary_id = row
    return {
        "payment_reference_number": f"Z{reference[1:]}",
        "remitting_account": account_number,
        "remitting_account_currency": "USD",
        "payment_amount": float(amount),
        "funds_blocked_reference_number": block,
        "beneficiary_name": name,
        "beneficiary_account": account,
        "beneficiary_account_currency": "USD",
        "beneficiary_account_type": "BANK_ACCOUNT",
        "beneficiary_bank_code": "EXAMPLE_BANK",
        "beneficiary_branch_code": "BR001",
        "beneficiary_mobile_wallet_provider": None,
        "beneficiary_phone_no": "",
        "beneficiary_email": "",
        "beneficiary_email_wallet_provider": None,
        "narrative_1": narrative,
        "narrative_2": "PROGRAM",
        "narrative_3": "BENCH-00000000",
        "narrative_4": beneficiary_id,
        "narrative_5": "",
        "narrative_6": "",
        "payment_date": "2030-01-01",
    }
