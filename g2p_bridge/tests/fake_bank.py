"""A bank without HTTP: answers by script, keeps what it was asked, and pays in memory."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal

from odoo import api, models
from odoo.orm.model_classes import add_to_registry

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    NOT_FOUND,
    Acknowledgement,
    FundsAvailability,
    FundsBlock,
    PaymentStatus,
)

CODE = "fake"
MODEL = f"g2p.bank.connector.{CODE}"
OPERATIONS = (
    "check_funds",
    "block_funds",
    "release_funds",
    "initiate_payment",
    "inquire_payments",
)


@dataclass(frozen=True)
class Call:
    """One call as the connector got it."""

    operation: str
    arguments: tuple


@dataclass
class DoneThen:
    """Script entry: the bank does what it is asked, and then this error is all that is heard."""

    error: Exception


@dataclass
class FakeBank:
    """A bank connector's other side, in memory.

    Unscripted, every call goes well: funds are there, each block and each batch gets a reference,
    and a repeat under the same key is answered as before where :attr:`honours_idempotency_key`
    is set (it is by default, like the other two flags).

    Scripted (:meth:`script`), the next calls of an operation take the entries in turn: an exception
    is raised and nothing was done; :class:`DoneThen` is done, then raises; a callable is called
    with the arguments; any other value is the answer.
    """

    supports_inquiry: bool = True
    supports_release: bool = True
    honours_idempotency_key: bool = True
    #: every call, also those that a script answered
    calls: list = field(default_factory=list)
    #: end-to-end id -> list of Payment, one for each time it was ordered
    ordered: dict = field(default_factory=lambda: defaultdict(list))
    #: block reference -> Decimal still held
    blocks: dict = field(default_factory=dict)
    #: idempotency key -> list of references, one for each time funds were blocked under it
    block_references: dict = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self):
        self._scripts = defaultdict(deque)
        self._answers = {}
        self._numbers = Counter()

    # -- for the test ---------------------------------------------------------------------------

    def script(self, operation, *results):
        """Set what the next calls of the operation end in, one entry for each call."""
        if operation not in OPERATIONS:
            raise ValueError(f"a bank has no {operation}")
        self._scripts[operation].extend(results)

    def call_count(self, operation):
        """Return how often the operation was called."""
        return sum(call.operation == operation for call in self.calls)

    def paid(self, end_to_end_id):
        """Return the sum of what was ordered under an id."""
        return sum((payment.amount for payment in self.ordered[end_to_end_id]), Decimal(0))

    def most_often_ordered(self):
        """Return how often the payment that was ordered most often was: 1 where all is well."""
        return max(map(len, self.ordered.values()), default=0)

    # -- for the connector ----------------------------------------------------------------------

    def perform(self, operation, *arguments):
        """Do, or end as scripted, one call of the connector."""
        self.calls.append(Call(operation, arguments))
        happy = getattr(self, f"_{operation}")
        if not self._scripts[operation]:
            return happy(*arguments)
        entry = self._scripts[operation].popleft()
        if isinstance(entry, DoneThen):
            happy(*arguments)
            raise entry.error
        if isinstance(entry, Exception):
            raise entry
        return entry(*arguments) if callable(entry) else entry

    def _check_funds(self, account, amount):
        return FundsAvailability(is_available=True)

    def _block_funds(self, account, amount, idempotency_key):
        return self._once(idempotency_key, lambda: self._new_block(amount, idempotency_key))

    def _new_block(self, amount, key):
        reference = self._next("BLOCK")
        self.block_references[key].append(reference)
        self.blocks[reference] = amount
        return FundsBlock(reference=reference)

    def _release_funds(self, account, block_reference):
        self.blocks[block_reference] = Decimal(0)

    def _initiate_payment(self, account, block_reference, payments, idempotency_key):
        return self._once(idempotency_key, lambda: self._order(payments))

    def _order(self, payments):
        for payment in payments:
            self.ordered[payment.end_to_end_id].append(payment)
        return Acknowledgement(reference=self._next("BATCH"))

    def _inquire_payments(self, account, idempotency_key, payments):
        return [
            PaymentStatus(
                end_to_end_id=payment.end_to_end_id,
                status=ACCEPTED if self.ordered.get(payment.end_to_end_id) else NOT_FOUND,
            )
            for payment in payments
        ]

    def _once(self, key, work):
        if not self.honours_idempotency_key:
            return work()
        if key not in self._answers:
            self._answers[key] = work()
        return self._answers[key]

    def _next(self, prefix):
        self._numbers[prefix] += 1
        return f"{prefix}{self._numbers[prefix]:06d}"


def serve_fake_bank(test_class):
    """Have the registry serve a :class:`FakeBank` as connector ``fake`` until the class is done.

    Call it in ``setUpClass``, after ``super().setUpClass()``, and give the bank's record
    ``connector="fake"``.

    :param type test_class: a TransactionCase
    :return: FakeBank
    """
    bank = FakeBank()
    register_connector(test_class, _connector_class(bank), CODE)
    return bank


def register_connector(test_class, model_class, code):
    """Add a connector model and its code to the registry until the test class is done.

    :param type test_class: a TransactionCase
    :param type model_class: AbstractModel, inherits g2p.bank.connector, with ``_register = False``
    :param str code: what the bank's ``connector`` field holds
    """
    registry = test_class.registry
    add_to_registry(registry, model_class)
    test_class.addClassCleanup(registry.__delitem__, model_class._name)
    registry._setup_models__(test_class.env.cr, [model_class._name])
    selection = registry["g2p.sponsor.bank"]._fields["connector"]
    choices = [*selection.selection, (code, f"Test: {code}")]
    test_class.classPatch(selection, "selection", choices)
    test_class.classPatch(selection, "_selection", dict(choices))  # what Odoo checks values by


def _connector_class(bank):
    class FakeConnector(models.AbstractModel):
        _name = MODEL
        _inherit = ["g2p.bank.connector"]
        _description = "Connector to the fake bank of tests"
        _module = "g2p_bridge"
        _register = False

        supports_inquiry = property(lambda self: bank.supports_inquiry)
        supports_release = property(lambda self: bank.supports_release)
        honours_idempotency_key = property(lambda self: bank.honours_idempotency_key)

        @api.private
        def check_funds(self, account, amount):
            return bank.perform("check_funds", account, amount)

        @api.private
        def block_funds(self, account, amount, idempotency_key):
            return bank.perform("block_funds", account, amount, idempotency_key)

        @api.private
        def release_funds(self, account, block_reference):
            return bank.perform("release_funds", account, block_reference)

        @api.private
        def initiate_payment(self, account, block_reference, payments, idempotency_key):
            return bank.perform(
                "initiate_payment", account, block_reference, payments, idempotency_key
            )

        @api.private
        def inquire_payments(self, account, idempotency_key, payments):
            return bank.perform("inquire_payments", account, idempotency_key, payments)

    return FakeConnector
