"""The other side of a bank connector, for tests: banks that really speak, and do as they are told.

:class:`BankDriver` is what the contract (``connector_contract.py``) asks of any test double;
:class:`HttpBank` is a whole bank with books and faults that lacks nothing but the words of its
protocol, and :class:`HttpProxy` adds the faults to a bank that really runs. A bank addon's test
says those words::

    class AcmeBank(HttpBank):
        paths = {"/funds": "check_funds", "/orders": "initiate_payment", ...}

        def read_check_funds(self, body):
            return Ask(account=body["account"], amount=Decimal(body["amount"]))

        def write_check_funds(self, is_enough):
            return {"enough": is_enough}
        ...
"""

import json
import threading
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import requests

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    NOT_FOUND,
    REJECTED,
    DebtorAccount,
    Payment,
)

from .http_server import ScriptedServer, drop, reply

#: more than a connector reads of an answer
HUGE = 17 * 1024 * 1024
DRIP_S = 0.05
#: longer than any call of the contract may take
DRIPS = 50

UPSTREAM_TIMEOUT_S = 30

#: headers that a proxy makes anew
_OF_THE_CONNECTION = {"host", "content-length", "connection", "accept-encoding"}
#: fault -> HTTP status; nothing is done
_STATUS_BEFORE = {"error_before": 500, "busy": 429}
_FOREIGN_ID = "NOBODYSPAYMENT00"


@dataclass(frozen=True, kw_only=True)
class Booking:
    """What a statement shows of a payment."""

    payment: Payment
    is_return: bool = False
    reason: str = ""  # why it came back


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a call asks of the bank, in the contract's words; as far as the call has it."""

    account: str = ""
    amount: Decimal = Decimal(0)
    block: str = ""
    payments: tuple = ()  # of (end-to-end id, Decimal)
    ids: tuple = ()  # end-to-end ids that are inquired about


@dataclass(frozen=True, kw_only=True)
class Order:
    """The bank's answer to an order of payments."""

    reference: str
    count: int  # payments that it took
    total: Decimal
    refused: tuple = ()  # of (end-to-end id, reason code)


@dataclass(frozen=True)
class Refusal:
    """The bank does not do it."""

    code: str


class BankDriver:
    """What the contract asks of a test double, with what most of them have in common.

    Whoever inherits this has each fault, refusal and lie of ``connector_contract.py``, but for
    those that :attr:`unsupported` names with the reason why the protocol has none such: a name of
    the tables there, or ``operation:name`` for one operation alone. What is named there is listed
    in the output of the tests.
    """

    #: name, or operation:name -> why the bank's protocol has none such
    unsupported = {}
    #: DebtorAccount that the bank knows
    account = None

    def set_available(self, amount):
        """From now on the account has this much that no block holds; no fault is on."""
        raise NotImplementedError

    def fault(self, operation, kind):
        """Have the next call of an operation meet a fault, a refusal or a lie."""
        raise NotImplementedError

    def ordered(self):
        """Return end-to-end id -> list of Decimal, one for each order to pay that was taken."""
        raise NotImplementedError

    # -- statements: MT940, unless the bank writes something else ---------------------------------

    def statement(self, bookings, *, account_number, currency):
        """Return the bank's statement (bytes) of some bookings, opening with 1,000.00."""
        opening, closing = Decimal("1000.00"), Decimal("1000.00")
        lines = [":20:CONTRACT", f":25:{account_number}", ":28C:1/1"]
        lines.append(f":60F:{_balance(opening, currency)}")
        for number, booking in enumerate(bookings, 1):
            closing += booking.payment.amount if booking.is_return else -booking.payment.amount
            lines += self._entry(number, booking)
        lines += [f":62F:{_balance(closing, currency)}", "-", ""]
        return "\n".join(lines).encode("ascii")

    def _entry(self, number, booking):
        mark, payment = "RD" if booking.is_return else "D", booking.payment
        day = date(2026, 1, 15)
        amount = f"{payment.amount:.2f}".replace(".", ",")
        first = f":61:{day:%y%m%d}{day:%m%d}{mark}{amount}NTRF{payment.end_to_end_id}//B{number}"
        return [first, *self.narrative(booking)]

    def narrative(self, booking):
        """Return the lines of :86: of a booking; by default its text, and why it came back."""
        lines = [f":86:{booking.payment.remittance_information}"]
        return lines + ([booking.reason] if booking.reason else [])


def _balance(amount, currency):
    mark = "D" if amount < 0 else "C"
    return f"{mark}260115{currency}{abs(amount):.2f}".replace(".", ",")


class HttpDriver(BankDriver):
    """A server on a free port of this machine that gives answers, or what a fault makes of them.

    :param values: of the DebtorAccount, besides number, currency, secret and time-outs
    """

    #: path of a request -> name of the connector's method
    paths = {}

    def __init__(self, **values):
        self._faults = {}
        self._server = ScriptedServer(self._respond)
        defaults = {
            "bank_code": "DOUBLE",
            "account_number": "DEBTOR0000012345",
            "currency": "USD",
            "timeout_s": (3, 1),
            "secret": "made-up-secret-token",
        }
        self.account = DebtorAccount(**{**defaults, "base_url": self._server.url, **values})

    @classmethod
    def serve(cls, test_class, *arguments, **values):
        """Return a bank that runs until the test class is done."""
        bank = cls(*arguments, **values)
        bank._server.__enter__()
        test_class.addClassCleanup(bank._server.__exit__)
        return bank

    @property
    def requests(self):
        """All that was asked: (path, headers, bytes of the body)."""
        return self._server.requests

    def decode(self, body):
        """Return the bytes of a request or an answer as values; JSON, unless the bank has other."""
        return json.loads(body, parse_float=Decimal)

    def encode(self, answer):
        """Return values as the bytes of an answer."""
        return json.dumps(answer, default=str).encode()

    def perform(self, handler, operation, body, kind):
        """Do what a request asks, and return the answer: HTTP status, and values or None.

        :param handler: of the request, with its ``path`` and ``headers``
        :param str kind: the fault, refusal or lie that is on; None for none
        """
        raise NotImplementedError

    def fault(self, operation, kind):
        asked = operation
        if operation == "test_connection" and operation not in self.paths.values():
            asked = "check_funds"
        self._faults[asked] = kind

    def _respond(self, handler, body):
        operation = self.paths.get(handler.path)
        if operation is None:
            return reply(handler, b"", 404)
        kind = self._faults.pop(operation, None)
        if kind == "dropped_before":
            return drop(handler)
        if kind in _STATUS_BEFORE:
            return reply(handler, b"", _STATUS_BEFORE[kind])
        status, values = self.perform(handler, operation, body, kind)
        if status != 200:
            return reply(handler, b"" if values is None else self.encode(values), status)
        return self._answer(handler, values, kind, body)

    def _answer(self, handler, values, kind, request):
        """Send the answer, or what a fault makes of it."""
        if kind == "wrong_shape":
            values = _misshapen(values)
        elif kind == "empty":
            values = type(values)()
        elif spoil := getattr(self, f"_answer_{kind}", None):
            return spoil(handler, self.encode(values), request)
        return reply(handler, self.encode(values), 500 if kind == "error" else 200)

    def _answer_timeout(self, _handler, _answer, _request):
        self._server.is_stopping.wait(2 * self.account.timeout_s[1])

    def _answer_dropped(self, handler, _answer, _request):
        drop(handler)

    def _answer_garbage(self, handler, _answer, _request):
        reply(handler, b"<html>It works!</html>", headers=[("Content-Type", "text/html")])

    def _answer_half_body(self, handler, answer, _request):
        reply(handler, answer[: len(answer) // 2], claim=len(answer))

    def _answer_stalled(self, handler, answer, request):
        self._answer_half_body(handler, answer, request)
        handler.wfile.flush()
        self._server.is_stopping.wait(3 * self.account.timeout_s[1])

    def _answer_cut(self, handler, answer, _request):
        reply(handler, answer[: len(answer) // 2])

    def _answer_binary(self, handler, answer, _request):
        reply(handler, b"\xff\xfe\x00\xd8" + answer)

    def _answer_huge(self, handler, answer, _request):
        reply(handler, answer + b" " * HUGE)

    def _answer_wrong_type(self, handler, answer, _request):
        reply(handler, answer, headers=[("Content-Type", "text/html")])

    def _answer_echo(self, handler, _answer, request):
        """As a careless bank's page for errors does: with the request, and who made it."""
        told = {"message": str(handler.headers["Authorization"]), "request": request.decode()}
        reply(handler, json.dumps(told).encode(), 500)

    def _answer_slow(self, handler, answer, _request):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(answer) + DRIPS))
        handler.end_headers()
        for _ in range(DRIPS):
            handler.wfile.write(b" ")
            if self._server.is_stopping.wait(DRIP_S):
                return
        handler.wfile.write(answer)


class HttpProxy(HttpDriver):
    """Stands before a bank that really runs, and adds the faults.

    Refusals and lies are the subclass' to make: :meth:`change_request` has the bank refuse, and
    :meth:`change_answer` has it tell something else.

    :param str upstream: base URL of the bank
    :param values: of the DebtorAccount
    """

    def __init__(self, upstream, **values):
        super().__init__(**values)
        self._upstream = upstream

    def change_request(self, kind, operation, values):
        """Return the values of a request as the bank is to get it."""
        return values

    def change_answer(self, kind, operation, values):
        """Return the values of an answer as the connector is to get it."""
        return values

    def perform(self, handler, operation, body, kind):
        asked = self.decode(body)
        changed = self.change_request(kind, operation, asked)
        if changed is not asked:  # or the same bytes: to a bank with keys, others are another call
            body = self.encode(changed)
        kept = {k: v for k, v in handler.headers.items() if k.lower() not in _OF_THE_CONNECTION}
        url = self._upstream + handler.path
        answer = requests.post(url, body, headers=kept, timeout=UPSTREAM_TIMEOUT_S)
        values = self.decode(answer.content)
        return answer.status_code, self.change_answer(kind, operation, values) if kind else values

    def encode(self, answer):
        return json.dumps(answer, default=_number).encode()


class HttpBank(HttpDriver):
    """A bank with an account, blocks, orders and all faults.

    What is missing are the words of its protocol, which a subclass gives:

    - :attr:`paths`, and :meth:`key_of` or :meth:`is_allowed` where they differ;
    - for each of its operations ``read_<operation>(body)``, which returns :class:`Ask`, and
      ``write_<operation>(result)``, which returns the answer; the results are a bool (whether there
      is enough), the reference of a block, None (a release), an :class:`Order`, and a list of
      (end-to-end id, status word of ``dto``);
    - :meth:`write_refusal` for what the bank does not do;
    - :meth:`decode` and :meth:`encode` where it speaks no JSON.

    :param values: of the DebtorAccount
    """

    #: a repeat under its key is answered as before, and not done again
    knows_keys = True

    def __init__(self, **values):
        super().__init__(**values)
        self.available = Decimal(0)
        self._blocks, self._answers, self._orders = {}, {}, {}
        self._lock = threading.Lock()

    # -- the words of the protocol ----------------------------------------------------------------

    def key_of(self, headers):
        """Return the idempotency key of a request, if it has one."""
        return headers.get("Idempotency-Key")

    def is_allowed(self, headers, body):
        """Say whether the request is the account owner's; if not, it is answered with 401."""
        return headers.get("Authorization") == f"Bearer {self.account.secret}"

    def write_refusal(self, operation, code):
        """Return the answer to what the bank does not do (NO_ACCOUNT, NO_FUNDS, REFUSED)."""
        raise NotImplementedError

    # -- what the contract asks -------------------------------------------------------------------

    def set_available(self, amount):
        self.available = amount
        self._faults.clear()

    def ordered(self):
        return {reference: list(amounts) for reference, amounts in self._orders.items()}

    # -- the conversation -------------------------------------------------------------------------

    def perform(self, handler, operation, body, kind):
        if not self.is_allowed(handler.headers, body):
            return 401, None
        try:
            ask = getattr(self, f"read_{operation}")(self.decode(body))
        except (ArithmeticError, KeyError, TypeError, ValueError):
            return 400, None
        result = self._do_once(operation, self.key_of(handler.headers), ask, kind)
        return 200, self._words(operation, _lie(kind, ask, result))

    def _words(self, operation, result):
        if isinstance(result, Refusal):
            return self.write_refusal(operation, result.code)
        return getattr(self, f"write_{operation}")(result)

    # -- the books --------------------------------------------------------------------------------

    def _do_once(self, operation, key, ask, fault):
        with self._lock:
            if not (key and self.knows_keys):
                return self._do(operation, ask, fault)
            if (operation, key) not in self._answers:
                self._answers[operation, key] = self._do(operation, ask, fault)
            return self._answers[operation, key]

    def _do(self, operation, ask, fault):
        if fault == "refuse_all":
            return Refusal("REFUSED")
        if ask.account and ask.account != self.account.account_number:
            return Refusal("NO_ACCOUNT")
        return getattr(self, f"_do_{operation}")(ask, fault)

    def _do_check_funds(self, ask, _fault):
        return ask.amount <= self.available

    def _do_test_connection(self, _ask, _fault):
        return self.available

    def _do_block_funds(self, ask, _fault):
        if ask.amount > self.available:
            return Refusal("NO_FUNDS")
        self.available -= ask.amount
        reference = f"BLOCK-{len(self._blocks) + 1}"
        self._blocks[reference] = ask.amount
        return reference

    def _do_release_funds(self, ask, _fault):
        self.available += self._blocks.get(ask.block, 0)
        self._blocks[ask.block] = Decimal(0)

    def _do_initiate_payment(self, ask, fault):
        refused = ask.payments[-1:] if fault == "refuse_last" else ()
        taken = ask.payments[: len(ask.payments) - len(refused)]
        for reference, amount in taken:
            self._orders.setdefault(reference, []).append(amount)
        return Order(
            reference=f"ORDER-{len(self._orders)}",
            count=len(taken),
            total=sum((amount for _reference, amount in taken), Decimal(0)),
            refused=tuple((reference, "AC04") for reference, _amount in refused),
        )

    def _do_inquire_payments(self, ask, _fault):
        return [
            (reference, ACCEPTED if reference in self._orders else NOT_FOUND)
            for reference in ask.ids
        ]


def _misshapen(values):
    """Return an answer with its names, and other kinds of values."""
    if isinstance(values, dict):
        return {name: [value] for name, value in values.items()}
    return {"answer": values}


def _number(value):
    """Write an amount as the JSON number that it was."""
    return float(value)


def _lie(kind, ask, result):
    """Return what the bank says it did, where that is not what it did."""
    if isinstance(result, Order):
        return _lie_of_order(kind, ask, result)
    if ask.ids and isinstance(result, list):
        return _lie_of_statuses(kind, result)
    return result


def _lie_of_order(kind, ask, order):
    one = (ask.payments[-1][0], "AC04")
    lies = {
        "other_count": {"count": order.count + 1},
        "other_sum": {"total": order.total + Decimal("0.01")},
        "unknown_payment": {"refused": (*order.refused, (_FOREIGN_ID, "AC04"))},
        "repeated_payment": {"refused": (one, one)},
    }
    return replace(order, **lies.get(kind, {}))


def _lie_of_statuses(kind, statuses):
    lies = {
        "unknown_payment": [*statuses, (_FOREIGN_ID, REJECTED)],
        "repeated_payment": [*statuses, (statuses[0][0], REJECTED)],
        "missing_payment": statuses[1:],
    }
    return lies.get(kind, statuses)
