"""A program system as the demo and the tests play it: the public API over JSON-RPC, no more."""

import random
from collections import defaultdict
from decimal import Decimal

from bridge_stack.rpc import JsonRpc

ROWS_PER_CALL = 1000
PAGE = 5000


class Pbms:
    """One program system; it knows whom it owes what, and what the bridge says of it.

    :param stack: a running :class:`~bridge_stack.stack.Stack`
    :param key: API key of a user of the PBMS API
    :param program: mnemonic
    :param seed: decides the amounts

    :ivar amounts: MIS reference -> what is owed (Decimal)
    :ivar states: MIS reference -> latest state that the changes feed told
    :ivar ids: MIS reference -> disbursement id
    """

    def __init__(self, stack, login, key, program, seed=1):
        self._rpc = JsonRpc(stack.url, stack.db, login, key)
        self._program = program
        self._random = random.Random(seed)  # amounts of a demo, no secret
        self._cursor = ""
        self.amounts = {}
        self.states = {}
        self.ids = {}
        self.envelope_id = None

    def call(self, method, **arguments):
        """Call a method of ``g2p.bridge`` and return its answer.

        :raise RpcError: the bridge refused
        """
        return self._rpc.execute("g2p.bridge", method, **arguments)

    def draw_amounts(self, count):
        """Decide what is owed: ``count`` amounts from 10.00 to 200.00."""
        self.amounts = {
            f"MIS{index:07d}": Decimal(self._random.randint(1000, 20000)).scaleb(-2)
            for index in range(1, count + 1)
        }
        self.ids = {}

    @property
    def declared_total(self):
        """The sum of all amounts (Decimal)."""
        return sum(self.amounts.values(), Decimal(0))

    def create_envelope(self, cycle, currency, schedule_date, count=None):
        """Declare what is owed, as one envelope; ``count`` payments, by default those drawn."""
        count = count or len(self.amounts)
        answer = self.call(
            "create_disbursement_envelope",
            benefit_program_mnemonic=self._program,
            disbursement_frequency="Monthly",
            cycle_code_mnemonic=cycle,
            number_of_beneficiaries=count,
            number_of_disbursements=count,
            total_disbursement_amount=str(self.declared_total),
            disbursement_currency_code=currency,
            disbursement_schedule_date=schedule_date.isoformat(),
            idempotency_key=f"{self._program}-{cycle}",
        )
        self.envelope_id = answer["disbursement_envelope_id"]
        return self.envelope_id

    def send_disbursements(self, on_progress=None, rows_per_call=ROWS_PER_CALL):
        """Send all disbursements, in calls of some size; the last may be smaller."""
        references = list(self.amounts)
        for start in range(0, len(references), rows_per_call):
            self.send_part(references[start : start + rows_per_call], f"{self.envelope_id}-{start}")
            if on_progress:
                on_progress()

    def send_part(self, references, idempotency_key):
        """Send some of the disbursements in one call; return the answer."""
        answer = self.call(
            "create_disbursements",
            disbursement_envelope_id=self.envelope_id,
            disbursements=[
                self.row(reference, self.amounts[reference]) for reference in references
            ],
            idempotency_key=idempotency_key,
        )
        self.ids.update({row["mis_reference_number"]: row["disbursement_id"] for row in answer})
        return answer

    @staticmethod
    def row(reference, amount):
        """Return a disbursement as the API takes it; the reference decides the person."""
        number = reference.removeprefix("MIS")[-6:] if len(reference) <= 10 else reference
        return {
            "mis_reference_number": reference,
            "beneficiary_id": f"BEN{number}",
            "beneficiary_name": f"Person {number}",
            "disbursement_amount": str(amount),
            "narrative": "Monthly grant",
        }

    def status(self):
        """Return the envelope's status as the bridge answers it."""
        return self.call(
            "get_disbursement_envelope_status", disbursement_envelope_id=self.envelope_id
        )

    def follow_changes(self, limit=PAGE):
        """Read the changes feed to its end; afterwards :attr:`states` is up to date."""
        while True:
            page = self.call("get_disbursement_changes", cursor=self._cursor, limit=limit)
            for change in page["changes"]:
                if change["disbursement_envelope_id"] == self.envelope_id:
                    self.states[change["mis_reference_number"]] = change["status"]
            self._cursor = page["cursor"]
            if not page["has_more"]:
                return

    def totals(self):
        """Return state -> (count, sum as Decimal), by the program's own amounts."""
        totals = defaultdict(lambda: (0, Decimal(0)))
        for reference, amount in self.amounts.items():
            state = self.states.get(reference, "missing")
            count, total = totals[state]
            totals[state] = (count + 1, total + amount)
        return totals
