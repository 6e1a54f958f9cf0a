import os
import re
from collections import Counter
from decimal import Decimal

from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.errors import StatementInvalid
from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError
from odoo.addons.g2p_bridge.services import mt940

from .statement_case import StatementCase, entry, statement_text
from .statement_mutator import StatementMutator

#: statements that are only read, and those that are booked as well
READ_COUNT = int(os.environ.get("G2P_FUZZ_STATEMENTS") or 20_000)
BOOKED_COUNT = int(os.environ.get("G2P_FUZZ_UPLOADS") or 300)
SEED = int(os.environ.get("G2P_FUZZ_SEED") or 940)

_REFUSED = frozenset(
    {"INVALID_STATEMENT", "UNKNOWN_ACCOUNT", "STATEMENT_CURRENCY_MISMATCH", "STATEMENT_TOO_LARGE"}
)


@tagged("post_install", "-at_install")
class TestStatementFuzz(StatementCase):
    """Spoilt statements: nothing but clear refusals, nothing made up, nothing half done."""

    def setUp(self):
        super().setUp()
        self.envelope = self.sent_envelope_of(101, 102, 103, 104)
        payments = self.disbursements(self.envelope)
        self.amounts = {p.disbursement_id: Decimal(str(p.amount)) for p in payments}
        self.ids = list(self.amounts)

    def sent_envelope_of(self, *amounts):
        """Return a disbursed envelope with one payment of each amount."""
        envelope = self.create_envelope(
            len(amounts), total_disbursement_amount=sum(amounts), cycle_code_mnemonic="fuzz"
        )
        rows = [
            {**row, "disbursement_amount": amount}
            for row, amount in zip(self.rows(len(amounts)), amounts, strict=True)
        ]
        self.api.create_disbursements(envelope.disbursement_envelope_id, rows)
        self.send_all(envelope)
        return envelope

    def mutator(self):
        """Return a mutator of statements like those of the samples."""
        first, second, third, fourth = self.ids
        debits = [entry("D", 101, first), entry("D", 102, second), entry("D", "5,50", "CHARGES")]
        seeds = [
            statement_text("TEST0001", debits),
            statement_text(
                "TEST0001",
                [
                    entry("D", 103, "NONREF", narrative=[f"166?00PAY?20EREF+{third}?21GRANT"]),
                    entry("D", 104, "NONREF", bank_reference=fourth),
                    entry("RD", 103, third, narrative=["Grant", "", "AC04"]),
                ],
                number="2/1",
            ),
            statement_text("TEST0001", debits[:1], number="3/1", page="FM")
            + statement_text("TEST0001", debits[1:], number="3/2", opening="899,00", page="MF"),
            "{1:F01BANKDEFFAXXX0000000000}{2:O9400000261123X}{4:\n"
            + statement_text("TEST0001", [entry("C", 102, second), entry("D", 102, second)]),
        ]
        return StatementMutator(seeds, self.ids, SEED)

    # -- reading --------------------------------------------------------------------------------

    def test_what_is_read_stands_in_the_text(self):
        mutator, hooks = self.mutator(), self.env["g2p.bank.connector"].sudo()
        count = Counter()
        for number in range(READ_COUNT):
            content = mutator.draw()
            first, again = parsed(content), parsed(content)
            if first != again:
                self.fail(f"statement {number} of seed {SEED} is read in two ways")
            if isinstance(first, str):
                count["refused"] += 1
                continue
            count["read"] += 1
            text = visible(content)
            for read in (read for statement in first for read in statement.entries):
                given = hooks.retrieve_disbursement_id(read)
                count["ids"] += bool(given)
                if not stands_in(text, read, given):
                    self.fail(f"entry {read} of statement {number} of seed {SEED} is made up")
        # the mutator reaches both sides, or it proves nothing
        for kind in ("refused", "read", "ids"):
            self.assertGreater(count[kind], READ_COUNT // 20, count)

    # -- booking --------------------------------------------------------------------------------

    def test_what_is_booked_stands_in_the_text_and_the_rest_leaves_nothing(self):
        mutator, count = self.mutator(), Counter()
        for number in range(BOOKED_COUNT):
            content = mutator.draw()
            with self.env.cr.savepoint() as savepoint:
                try:
                    count[self.book_and_check(content)] += 1
                except Exception as error:
                    raise AssertionError(f"statement {number} of seed {SEED}") from error
                savepoint.rollback()
                self.env.invalidate_all()
        for kind in ("refused", "held", "reconciled"):
            self.assertGreater(count[kind], BOOKED_COUNT // 50, count)

    def book_and_check(self, content):
        """Upload and match the content; return what came of it."""
        before = self.row_counts()
        try:
            statements = self.env["g2p.account.statement"].sudo()._upload(content, "", self.bank)
        except BridgeError as error:
            self.env.flush_all()
            self.assertIn(error.code, _REFUSED)
            self.assertEqual(self.row_counts(), before)
            self.assertEqual(set(self.disbursements(self.envelope).mapped("state")), {"sent"})
            return "refused"
        self.env.flush_all()
        for statement in statements:
            self.process(statement)
        self.check_totals(statements)
        return self.check_payments(content) or statements[0].state

    def row_counts(self):
        return [
            self.env[name].search_count([])
            for name in (
                "g2p.account.statement",
                "g2p.account.statement.line",
                "g2p.disbursement.journal",
                "ir.attachment",
            )
        ]

    def check_totals(self, statements):
        for statement in statements:
            lines = statement.line_ids
            booked = sum(
                Decimal(str(line.amount)) * (1 if line.mark in ("C", "RD") else -1)
                for line in lines
            )
            self.assertEqual(
                Decimal(str(statement.opening_balance))
                + booked
                + Decimal(str(statement.difference)),
                Decimal(str(statement.closing_balance)),
            )
            is_booked = statement.state == "processed"
            self.assertEqual(statement.state in ("held", "dismissed"), not is_booked)
            self.assertEqual("pending" in lines.mapped("outcome"), bool(lines) and not is_booked)
        lines = statements.line_ids
        reversed_ = lines.filtered(lambda line: line.outcome == "reversed")
        debits = lines.filtered(lambda line: line.outcome == "reconciled")
        self.assertEqual(len(reversed_), self.envelope.reversed_count)
        self.assertEqual(len(debits), self.envelope.reconciled_count + len(reversed_))
        self.assertEqual(
            sum(debits.mapped("amount")) - sum(reversed_.mapped("amount")),
            self.envelope.reconciled_amount,
        )

    def check_payments(self, content):
        """A payment moved only if an entry with its very id and amount stands in the text."""
        text = visible(content)
        moved = ""
        for payment in self.disbursements(self.envelope):
            given = payment.disbursement_id
            marks = debit_marks(text, given, self.amounts[given])
            if payment.state != "sent":
                self.assertIn("D", marks)
                moved = "reconciled"
            if payment.state == "reversed":
                self.assertTrue(marks & {"C", "RD"})
        return moved


# -- what stands in a text, found without the parser ---------------------------------------------


def parsed(content):
    """Return the statements, or the message of the refusal."""
    try:
        return mt940.parse(content)
    except StatementInvalid as error:
        return str(error)


def visible(content):
    """Return the text without what transports put around statements."""
    return "".join(mt940._decoded(content)).translate(
        {1: None, 2: None, 3: None, 4: None, 26: None, 0xFEFF: None}
    )


def is_word(text, given):
    """Say whether the id stands in the text as a whole, in capitals or not."""
    for match in re.finditer(re.escape(given), text, re.ASCII | re.IGNORECASE):
        before, after = text[: match.start()][-5:], text[match.end() : match.end() + 1]
        is_start = (
            not before[-1:].isalnum()
            or re.search(r"[?<>~^]\d\d$", before, re.ASCII)
            or re.search(r"[\d,][A-Za-z][A-Za-z0-9 ]{3}$", before, re.ASCII)  # behind NTRF
        )
        if is_start and not after.isalnum():
            return True
    return False


def stands_in(text, read, given):
    """Say whether reference, amount and id of an entry stand in the text."""
    amount = str(read.amount).replace(".", ",")
    return (
        read.customer_reference in text
        and (amount in text or amount.rstrip("0") in text)
        and (not given or is_word(text, given))
    )


def debit_marks(text, given, amount):
    """Return the marks of the pieces from one :61: to the next that hold id and amount."""
    marks = set()
    plain = re.sub(r"[\r\n]+", "\n", text)
    for piece in re.split(r":\n?61:", plain)[1:]:
        head = re.match(
            r"\s*\d{6}[\d ]*(R?[DC])[A-Z]?[\n ]*0*(\d+)(?:,(0*))?(?!\d)",
            piece,
            re.ASCII | re.IGNORECASE,
        )
        if head and Decimal(head[2]) == amount and is_word(piece, given):
            marks.add(head[1].upper())
    return marks
