"""The running system as the stages use it: programs, envelopes, doors, a connection of our own."""

import contextlib
import io
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from bridge_stack.world import CURRENCY, PBMS_GROUP, World
from g2p_bench.clients import BackOfficeDoor, Json2Door, JsonRpcDoor, post_all
from g2p_bench.memory import Memory

#: such an envelope is complete and stays as it is: its accounts are not even looked up yet
FAR_DAYS = 60
#: its accounts are looked up at once (setting resolve_lead_days), and nothing else happens
NEAR_DAYS = 2
_BALANCE = "1000000000000.00"
_WARM_UP_CALLS = 40


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was declared.

    :ivar id: database id; ``name`` its disbursement_envelope_id
    """

    id: int
    name: str


def row(number):
    """Return a disbursement as the API takes it; the number (from 1) decides all of it."""
    return {
        "mis_reference_number": f"MIS{number:08d}",
        "beneficiary_id": f"BEN{number:08d}",
        "beneficiary_name": f"Amina Example {number:08d}",
        "disbursement_amount": f"{Decimal(_cents(number)).scaleb(-2)}",
        "narrative": "Child benefit, monthly grant",
    }


def _cents(number):
    return 1000 + number * 7919 % 19001


class System:
    """One stack with a program system's user.

    :param stack: a running :class:`~bridge_stack.stack.Stack` with bank and mapper
    :param channels: parallel jobs that the job runner allows

    :ivar cursor: of a connection in autocommit mode to the database of the bridge
    :ivar world: the program with the built-in mapper
    """

    def __init__(self, stack, channels):
        self.stack = stack
        self.channels = channels
        self._open = contextlib.ExitStack()
        self.user = "bench-pbms", stack.create_user("bench-pbms", [PBMS_GROUP])
        self.world = self.new_world()
        self.cursor = self._open.enter_context(stack.postgres.cursor(stack.db))
        self.memory = Memory(stack)
        uid = stack.rpc(*self.user).uid
        self.jsonrpc = JsonRpcDoor(stack.db, uid, self.user[1])
        self.json2 = Json2Door(stack.db, self.user[1])
        self.web = BackOfficeDoor(stack.url, stack.db, *stack.ADMIN)

    def close(self):
        """Close the connection."""
        self._open.close()

    def new_world(self, **options):
        """Return a new :class:`~bridge_stack.world.World` of the same user."""
        return World(self.stack, user=self.user, balance=_BALANCE, **options)

    def warm_up(self):
        """Have every worker load what it loads once, and each door and the jobs used once."""
        bare = self.jsonrpc.request("res.users", "context_get")
        post_all(self.stack.url, [bare] * _WARM_UP_CALLS, clients=4)
        for door in (self.jsonrpc, self.json2):
            envelope = self.declare(self.world, 2000, FAR_DAYS)
            self.send(door, envelope, 2000, per_call=100, clients=4)

    def declare(self, world, count, days_ahead):
        """Declare an envelope of the rows 1 to ``count``, due in so many days."""
        total = Decimal(sum(_cents(number) for number in range(1, count + 1))).scaleb(-2)
        day = datetime.now(timezone.utc).date() + timedelta(days=days_ahead)
        answer = world.pbms.call(
            "create_disbursement_envelope",
            benefit_program_mnemonic=world.mnemonic,
            disbursement_frequency="Monthly",
            cycle_code_mnemonic=f"BENCH-{secrets.token_hex(4)}",
            number_of_beneficiaries=count,
            number_of_disbursements=count,
            total_disbursement_amount=f"{total}",
            disbursement_currency_code=CURRENCY,
            disbursement_schedule_date=day.isoformat(),
        )
        name = answer["disbursement_envelope_id"]
        [[envelope_id]] = self.query(
            "SELECT id FROM g2p_disbursement_envelope WHERE disbursement_envelope_id = %s", name
        )
        return Envelope(envelope_id, name)

    def send(self, door, envelope, count, *, per_call=1000, clients=4, brief=False):
        """Send the rows 1 to ``count``; return the :class:`~g2p_bench.clients.Calls`."""
        requests = [
            door.request(
                "g2p.bridge",
                "create_disbursements",
                disbursement_envelope_id=envelope.name,
                disbursements=[row(n) for n in range(start, min(start + per_call, count + 1))],
                idempotency_key=f"{envelope.name}-{start}",
                brief=brief,
            )
            for start in range(1, count + 1, per_call)
        ]
        return post_all(self.stack.url, requests, clients)

    def link(self, world, count, bank_code="EXAMPLE_BANK"):
        """Give the beneficiaries of the rows 1 to ``count`` an account in the built-in mapper."""
        lines = io.StringIO()
        for number in range(1, count + 1):
            lines.write(f"{world.mapper_id}\tt\tBEN{number:08d}\tBANK_ACCOUNT\tACC{number:010d}\n")
        lines.seek(0)
        self.cursor.copy_expert(
            "COPY g2p_account_link (mapper_id, active, beneficiary_id, fa_type, account_number)"
            " FROM STDIN",
            lines,
        )
        self.cursor.execute(
            "UPDATE g2p_account_link SET company_id = m.company_id, bank_code = %s,"
            " branch_code = 'BR001' FROM g2p_account_mapper m"
            " WHERE m.id = mapper_id AND mapper_id = %s",
            [bank_code, world.mapper_id],
        )
        # what autovacuum does within a minute of an import
        self.cursor.execute("VACUUM ANALYZE g2p_account_link")

    def query(self, statement, *values):
        """Return the rows of a statement."""
        self.cursor.execute(statement, values)
        return self.cursor.fetchall()
