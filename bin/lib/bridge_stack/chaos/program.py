"""The program system of a chaos run: it repeats what had no answer, and keeps books of its own."""

import threading
import time
from datetime import datetime, timezone

import requests

from bridge_stack.rpc import JsonRpc, RpcError
from bridge_stack.world import CURRENCY

PAGE = 5000
DEADLINE_S = 120
FEED_S = 60
ENDED_STATES = {"reconciled", "reversed", "rejected", "cancelled"}
ALREADY_CANCELLED = "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"
TOO_LATE = (
    "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED",
    "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED",
)


class Stuck(Exception):
    """Something did not happen in all the time that it got."""


def is_outage(error):
    """Say whether an answer tells of the server's trouble, not of the call: it may be repeated."""
    return error.name.startswith("psycopg2.")


def insist(call, what):
    """Make a call, and make it again until it has an answer.

    :raise RpcError: it was refused
    :raise Stuck: there was no answer for two minutes
    """
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return call()
        except requests.RequestException as error:
            problem = error
        except RpcError as error:
            if not is_outage(error):
                raise
            problem = error
        if time.monotonic() > end:
            raise Stuck(f"no answer to {what}: {type(problem).__name__}")
        time.sleep(0.2)


def code_of(error):
    """Return the bridge's code of a refusal."""
    return error.arguments[0] if error.arguments else error.name


class Program:
    """One program: its clients, and what the changes feed told.

    :param world: a :class:`~bridge_stack.world.World`
    :ivar states: disbursement id -> state, as of the last :meth:`follow_changes`
    """

    def __init__(self, world, clients=4):
        self.world = world
        stack = world.stack
        self.clients = [
            JsonRpc(stack.url, stack.db, world.login, world.key, timeout_s=60)
            for _number in range(clients)
        ]
        self.states = {}
        self._cursor = ""

    def call(self, method, client=0, **arguments):
        """Call the bridge until it answers."""
        rpc = self.clients[client]
        return insist(lambda: rpc.execute("g2p.bridge", method, **arguments), method)

    def follow_changes(self):
        """Read the changes feed to its end."""
        while True:
            page = self.call("get_disbursement_changes", cursor=self._cursor, limit=PAGE)
            for change in page["changes"]:
                self.states[change["disbursement_id"]] = change["status"]
            self._cursor = page["cursor"]
            if not page["has_more"]:
                return

    def follow_to_the_end(self, ids):
        """Read the changes feed until it told the end of these payments, or for a minute.

        The feed holds back what is newer than a transaction that still runs, such as that of one
        of Odoo's own crons.
        """
        end = time.monotonic() + FEED_S
        while True:
            self.follow_changes()
            told = {self.states.get(each) for each in ids}
            if told <= ENDED_STATES or time.monotonic() > end:
                return
            time.sleep(1)


class Case:
    """One envelope of a program, from its declaration to its end.

    :param plan: an :class:`~bridge_stack.chaos.plan.EnvelopePlan`
    :param name: unique in the program
    :param client: which of the program's clients it has for itself

    :ivar amounts: reference -> amount, of all that were sent
    :ivar ids: reference -> disbursement id, of all that were taken
    :ivar cancelled: references of which the bridge said that they are cancelled
    :ivar withdrawn: those of them that were replaced
    :ivar is_cancelled: the bridge said so of the whole envelope
    """

    def __init__(self, program, plan, name, client):
        self.program, self.plan, self.name = program, plan, name
        self._client = client
        self.references = [f"{name}N{index:03d}" for index in range(len(plan.amounts))]
        self.amounts = dict(zip(self.references, plan.amounts, strict=True))
        self.ids = {}
        self.cancelled, self.withdrawn = set(), set()
        self.is_cancelled = False
        self.envelope_id = None
        self.problem = None

    def start(self):
        """Begin in a thread of its own, and return it; :attr:`problem` tells what went wrong."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        return thread

    def _run(self):
        try:
            self._live(time.monotonic())
        except (RpcError, Stuck) as error:
            self.problem = f"envelope {self.name}: {error}"

    def _live(self, start):
        """Do what the plan says, each thing at its time or as soon as what it needs is there."""
        plan = self.plan
        self._link(set(range(len(self.references))) - plan.linked_later - plan.never_linked)
        _sleep_until(start + plan.begins_at)
        self._declare()
        self._send()
        todo = [(at, self._cancel, positions) for at, positions in plan.cancels]
        todo.append((plan.links_at, self._link, plan.linked_later))
        if plan.cancelled_at is not None:
            todo.append((plan.cancelled_at, self._cancel_all, None))
        for at, work, argument in sorted(todo, key=lambda item: item[0]):
            _sleep_until(start + at)
            work(argument)

    def _link(self, positions):
        """Have the people of these positions linked to accounts, whoever is linked already."""
        people = [f"BEN{self.references[position]}" for position in sorted(positions)]
        insist(lambda: self._link_missing(people), "link")

    def _link_missing(self, people):
        world = self.program.world
        found = world.admin.execute(
            "g2p.account.link",
            "search_read",
            [("mapper_id", "=", world.mapper_id), ("beneficiary_id", "in", people)],
            ["beneficiary_id"],
        )
        try:
            world.link(sorted(set(people) - {each["beneficiary_id"] for each in found}))
        except RpcError as error:
            if not error.name.endswith("ValidationError"):
                raise
            # an earlier request, whose answer was lost, came through in this very moment
            raise requests.ConnectionError("linked meanwhile") from error

    def _declare(self):
        answer = self._call(
            "create_disbursement_envelope",
            benefit_program_mnemonic=self.program.world.mnemonic,
            disbursement_frequency="Monthly",
            cycle_code_mnemonic=self.name,
            number_of_beneficiaries=len(self.amounts),
            number_of_disbursements=len(self.amounts),
            total_disbursement_amount=str(sum(self.plan.amounts)),
            disbursement_currency_code=CURRENCY,
            disbursement_schedule_date=datetime.now(timezone.utc).date().isoformat(),
            idempotency_key=self.name,
        )
        self.envelope_id = answer["disbursement_envelope_id"]

    def _send(self):
        size = self.plan.rows_per_call
        parts = [self.references[at : at + size] for at in range(0, len(self.references), size)]
        if self.plan.replaced is not None:
            # what is to be replaced must be gone before the envelope is complete
            replaced = self.references[self.plan.replaced]
            parts = [[replaced], *([each for each in part if each != replaced] for part in parts)]
            self._send_part(parts.pop(0), "replaced")
            self._replace(replaced, parts)
        for number, part in enumerate(parts):
            if part and not self.is_cancelled:
                self._send_part(part, str(number))

    def _replace(self, replaced, parts):
        [outcome] = self._cancel([self.plan.replaced])
        if outcome:
            self.withdrawn.add(replaced)
            other = f"{replaced}R"
            self.amounts[other] = self.amounts[replaced]
            self.references.append(other)
            self._link([len(self.references) - 1])
            parts.append([other])

    def _send_part(self, references, key):
        try:
            answer = self._call(
                "create_disbursements",
                disbursement_envelope_id=self.envelope_id,
                disbursements=[self._row(reference) for reference in references],
                idempotency_key=key,
            )
        except RpcError as error:
            if code_of(error) != ALREADY_CANCELLED:
                raise
            self.is_cancelled = True
            return
        self.ids.update({row["mis_reference_number"]: row["disbursement_id"] for row in answer})

    def _row(self, reference):
        return {
            "mis_reference_number": reference,
            "beneficiary_id": f"BEN{reference}",
            "beneficiary_name": f"Person {reference}",
            "disbursement_amount": str(self.amounts[reference]),
            "narrative": "Monthly grant",
        }

    def _cancel(self, positions):
        """Cancel payments, all or none of them; return whether they are, for each."""
        references = [self.references[position] for position in positions]
        try:
            self._call(
                "cancel_disbursements",
                disbursement_ids=[self.ids[reference] for reference in references],
                reason="not entitled",
            )
        except RpcError as error:
            if not self._was_cancelled(error):
                return [False] * len(references)
        self.cancelled.update(references)
        return [True] * len(references)

    def _was_cancelled(self, error):
        """Say whether a refusal means that they are cancelled already: by a call without answer.

        :raise RpcError: it is a refusal that nobody expects
        """
        code = code_of(error)
        if code in TOO_LATE:
            return False
        if code == ALREADY_CANCELLED:
            self.is_cancelled = True
            return True
        rows = error.arguments[1] if len(error.arguments) > 1 else []
        codes = {each for row in rows for each in row["response_error_codes"]}
        if codes != {"DISBURSEMENT_ALREADY_CANCELED"}:
            raise error
        return True

    def cancel_never_linked(self):
        """Give up those of whom no account will ever be known."""
        for position in sorted(self.plan.never_linked):
            if self.references[position] not in self.cancelled:
                self._cancel([position])

    def _cancel_all(self, _nothing):
        try:
            self._call(
                "cancel_disbursement_envelope",
                disbursement_envelope_id=self.envelope_id,
                reason="wrong cycle",
            )
        except RpcError as error:
            if not self._was_cancelled(error):
                return
        self.is_cancelled = True

    def status(self):
        """Return the envelope's status as the bridge answers it."""
        return self._call(
            "get_disbursement_envelope_status", disbursement_envelope_id=self.envelope_id
        )

    def _call(self, method, **arguments):
        return self.program.call(method, self._client, **arguments)

    def payable(self):
        """Return the references (set) that must be paid, once each."""
        if self.is_cancelled:
            return set()
        return set(self.ids) - self.cancelled


def _sleep_until(moment):
    time.sleep(max(0, moment - time.monotonic()))
