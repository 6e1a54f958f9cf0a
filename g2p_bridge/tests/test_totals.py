from odoo import fields
from odoo.tests import tagged
from odoo.tools import SQL

from .pipeline_case import PipelineCase
from .statement_case import entry, statement_text

MILLION = 1_000_000
#: currency -> (three amounts, their sum, an amount with a decimal too many)
CURRENCIES = {
    "JPY": (("1", "20", "300"), "321", "1.5"),
    "USD": (("0.10", "10.99", "1000.01"), "1011.10", "0.105"),
    "TND": (("0.001", "10.999", "1000.010"), "1011.010", "0.0001"),
}


@tagged("post_install", "-at_install")
class TestTotals(PipelineCase):
    """Sums are exact in each currency, and however many payments there are."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank.max_batch_size = 1000
        for name in CURRENCIES:
            currency = cls.env["res.currency"].with_context(active_test=False)
            currency = currency.search([("name", "=", name)])
            currency.active = True
            account = cls.create_account(
                cls.bank, account_number=f"ACCOUNT{name}", currency_id=currency.id
            )
            cls.create_program(
                mnemonic=f"PROG{name}",
                funding_account_id=account.id,
                id_mapper_resolution_required=False,
            )

    def status(self, envelope):
        self.env.invalidate_all()
        return self.api.get_disbursement_envelope_status(envelope.disbursement_envelope_id)

    def declare(self, currency, count, total):
        return self.create_envelope(
            count,
            benefit_program_mnemonic=f"PROG{currency}",
            disbursement_currency_code=currency,
            total_disbursement_amount=total,
            cycle_code_mnemonic=f"{currency} {count}",
        )

    def test_currencies_without_with_two_and_with_three_decimals_tie_to_the_last(self):
        for currency, (amounts, total, _too_fine) in CURRENCIES.items():
            with self.subTest(currency):
                self.fake.__init__()
                envelope = self.declare(currency, 3, total)
                rows = self.rows(3)
                for row, amount in zip(rows, amounts, strict=True):
                    row["disbursement_amount"] = amount
                self.run_jobs(
                    lambda e=envelope, r=rows: self.api.create_disbursements(
                        e.disbursement_envelope_id, r
                    )
                )
                orders = [orders[0].amount for orders in self.fake.ordered.values()]
                self.assertEqual([str(amount) for amount in orders], list(amounts))
                self.assertEqual([str(amount) for amount in self.fake.blocks.values()], [total])
                self.assertBooked(envelope, currency, amounts, total)

    def assertBooked(self, envelope, currency, amounts, total):
        """The bank's statement of all three ties, and so do the status and the books."""
        ids = self.disbursements(envelope).mapped("disbursement_id")
        texts = [amount.replace(".", ",") for amount in amounts]
        entries = [
            entry("D", amount if "," in amount else f"{amount},", one)
            for amount, one in zip(texts, ids, strict=True)
        ]
        text = statement_text(f"ACCOUNT{currency}", entries, opening="5000,", currency=currency)
        self.run_jobs(lambda: self.bank_api.upload_mt940(text))
        status = self.status(envelope)
        for name in ("received", "shipped", "reconciled"):
            self.assertEqual(status[f"total_disbursement_amount_{name}"], float(total))
            self.assertEqual(status[f"number_of_disbursements_{name}"], 3)
        self.assertEqual(status["envelope_status"], "settled")
        self.assertFalse(self.env["g2p.ledger.difference"]._check())

    def test_no_currency_takes_a_decimal_more_than_it_has(self):
        for currency, (_amounts, total, too_fine) in CURRENCIES.items():
            with self.subTest(currency):
                envelope = self.declare(currency, 3, total)
                [error] = self.assertRefused(
                    "INVALID_DISBURSEMENT_PAYLOAD",
                    self.api.create_disbursements,
                    envelope.disbursement_envelope_id,
                    self.rows(1, amount=too_fine),
                )
                self.assertEqual(error["response_error_codes"], ["INVALID_DISBURSEMENT_AMOUNT"])
                self.assertRefused(
                    "INVALID_TOTAL_DISBURSEMENT_AMOUNT", self.declare, currency, 3, too_fine
                )

    def test_a_million_tenths_are_a_hundred_thousand(self):
        """All but ten are copied in as intake leaves them; the last call is the real one."""
        envelope = self.declare("USD", MILLION, "100000.00")
        self.insert_tenths(envelope, MILLION - 10)
        status = self.status(envelope)
        self.assertEqual(status["envelope_status"], "receiving")
        self.assertEqual(status["total_disbursement_amount_received"], 99999.0)
        intake = self.api.create_disbursements
        envelope_id = envelope.disbursement_envelope_id
        for rows, code in (
            (self.rows(10, amount="0.11"), "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED"),
            (self.rows(11, amount="0.01"), "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED"),
        ):
            self.assertRefused(code, intake, envelope_id, rows)
        with self.env.cr.savepoint() as savepoint:
            intake(envelope_id, [*self.rows(9, amount=0.1), *self.rows(1, "0.09", first=10)])
            self.assertEqual(self.status(envelope)["total_disbursement_amount_received"], 99999.99)
            self.assertEqual(self.status(envelope)["envelope_status"], "receiving")
            savepoint.rollback()
        intake(envelope_id, self.rows(10, amount=0.1))
        status = self.status(envelope)
        self.assertEqual(status["envelope_status"], "ready")
        self.assertEqual(status["number_of_disbursements_received"], MILLION)
        self.assertEqual(repr(status["total_disbursement_amount_received"]), "100000.0")
        self.assertEqual(str(envelope._payable_amount()), "100000.00")
        self.assertFalse(self.env["g2p.ledger.difference"]._check(envelope))

    def insert_tenths(self, envelope, count):
        """Insert payments of 0.10 and their journal row, as the intake does."""
        values = {"envelope": envelope.id, "count": count, "now": fields.Datetime.now()}
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement
                       (envelope_id, state, received_at, state_since, changed_xid, disbursement_id,
                        amount, mis_reference_number, beneficiary_id, beneficiary_name, narrative)
                SELECT %(envelope)s, 'received', %(now)s, %(now)s, 1, 'M' || n, 0.10, 'M' || n,
                       'B' || n, 'Person', 'Grant' FROM generate_series(1, %(count)s) AS n
                """,
                **values,
            )
        )
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement_journal
                       (envelope_id, target, disbursement_count, amount, cause, created_at)
                VALUES (%(envelope)s, 'received', %(count)s, %(count)s * 0.10, 'test', %(now)s)
                """,
                **values,
            )
        )

    def test_a_thousand_batches_of_a_thousand_tenths_are_a_hundred_thousand(self):
        """As many journal rows as a million payments leave; the payments are left out here."""
        envelope = self.declare("USD", MILLION, "100000.00")
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement_journal (envelope_id, batch_id, source, target,
                       disbursement_count, amount, cause, created_at)
                SELECT %(envelope)s, CASE WHEN step > 1 THEN batch END, source, target,
                       CASE WHEN target = 'reversed' THEN 1 ELSE 1000 END,
                       CASE WHEN target = 'reversed' THEN 0.10 ELSE 100.00 END, 'test', %(now)s
                  FROM generate_series(1, 1000) AS batch,
                       (VALUES (1, NULL, 'received'), (2, 'received', 'resolved'),
                               (3, 'resolved', 'batched'), (4, 'batched', 'sent'),
                               (5, 'sent', 'reconciled'), (6, 'reconciled', 'reversed'))
                       AS moves(step, source, target)
                """,
                envelope=envelope.id,
                now=fields.Datetime.now(),
            )
        )
        status = self.status(envelope)
        for name in ("received", "shipped", "reconciled"):
            self.assertEqual(status[f"number_of_disbursements_{name}"], MILLION)
            self.assertEqual(status[f"total_disbursement_amount_{name}"], 100000.0)
        self.assertEqual(status["number_of_disbursements_reversed"], 1000)
        self.assertEqual(status["total_disbursement_amount_reversed"], 100.0)
        self.assertEqual(envelope.reconciled_amount, 99900.0)
