from decimal import Decimal

from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .common import BridgeCommon


def entry(mark, amount, reference, *, bank_reference="B1", narrative=("Monthly grant",)):
    """Return one entry as (mark, amount text, reference, bank reference, :86: lines)."""
    text = amount if isinstance(amount, str) else f"{amount},00"
    return mark, text, reference, bank_reference, list(narrative)


def statement_text(
    account,
    entries,
    *,
    number="1/1",
    opening="1000,00",
    closing=None,
    currency="USD",
    day="261123",
    page="FF",
):
    """Return an MT940 of these entries; it ties unless ``closing`` says otherwise.

    :param str day: of the balances, YYMMDD
    :param str page: the letters of :60a: and :62a:
    """
    balance = _decimal(opening)
    lines = [":20:REF1", f":25:{account}", f":28C:{number}"]
    lines.append(f":60{page[0]}:{_balance(balance, currency, day)}")
    for mark, amount, reference, bank_reference, narrative in entries:
        lines.append(f":61:2611231123{mark}{amount}NTRF{reference}//{bank_reference}")
        lines.append(":86:" + "\n".join(narrative))
        balance += _decimal(amount) if mark in ("C", "RD") else -_decimal(amount)
    final = balance if closing is None else _decimal(closing)
    return "\n".join([*lines, f":62{page[1]}:{_balance(final, currency, day)}", "-", ""])


def _decimal(text):
    return Decimal(text.replace(",", "."))


def _balance(amount, currency, day):
    mark = "D" if amount < 0 else "C"
    return f"{mark}{day}{currency}{abs(amount):.2f}".replace(".", ",")


class StatementCase(BridgeCommon):
    """An envelope whose three payments of 100.00 are with the bank."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank.max_batch_size = 1000

    def setUp(self):
        super().setUp()
        self.envelope = self.sent_envelope(3)
        self.ids = self.disbursements(self.envelope).mapped("disbursement_id")

    def sent_envelope(self, count):
        """Return a disbursed envelope whose payments are sent, without a bank."""
        envelope = self.create_full_envelope(count)
        self.send_all(envelope)
        return envelope

    def send_all(self, envelope):
        """Have every payment of a full envelope be with the bank, without a bank."""
        payments = self.env["g2p.disbursement"]
        where = SQL("d.envelope_id = %s", envelope.id)
        batch = self.env["g2p.disbursement.batch"].create(
            {"name": f"{envelope.disbursement_envelope_id}-1", "envelope_id": envelope.id}
        )
        payments._bulk_transition("resolved", where, cause="test")
        payments._bulk_transition(
            "batched", where, cause="test", assign=SQL("batch_id = %s", batch.id)
        )
        batch._set_acknowledged({"reference": "", "rejected": []})
        envelope.write({"state": "disbursed", "funds_blocked_reference_number": "BLOCK1"})
        self.env.flush_all()

    def text(self, entries, account="TEST0001", **values):
        return statement_text(account, entries, **values)

    def upload(self, text):
        answer = self.bank_api.upload_mt940(text, "statement.mt940")
        self.env.flush_all()
        return answer

    def statement(self, answer):
        return self.env["g2p.account.statement"].search([("name", "=", answer["statement_id"])])

    def book(self, *entries, **values):
        """Upload a statement of these entries, run its jobs and return it."""
        statement = self.statement(self.upload(self.text(list(entries), **values)))
        self.process(statement)
        return statement

    def outcomes(self, statement):
        """Return (outcome, error reason) of the entries, in their order."""
        return [
            (line.outcome, line.error_reason)
            for line in statement.line_ids.sorted("entry_sequence")
        ]

    def process(self, statement):
        """Run the matching jobs of a statement to their end."""
        todo = self.matching_jobs(statement, statement._process_statement)
        while todo:
            todo += self.matching_jobs(statement, todo.pop(0).perform)
        self.env.invalidate_all()

    def matching_jobs(self, statement, function):
        """Call a function and return the jobs of the statement that it enqueues."""
        with trap_jobs() as trap:
            function()
        self.env.flush_all()
        return [job for job in trap.enqueued_jobs if job.recordset == statement]
