import csv
import gzip
import io
from decimal import Decimal

from openpyxl import load_workbook
from pypdf import PdfReader

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests.common import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models import g2p_register_file
from odoo.addons.g2p_bridge.models.pdf_fonts import fonts
from odoo.addons.g2p_bridge.services import report as report_service
from odoo.addons.queue_job.tests.common import trap_jobs

from .certificate_case import CertificateCase

FORMULA = '=HYPERLINK("http://x.invalid";"pay")'


@tagged("post_install", "-at_install")
class TestReports(CertificateCase):
    """What is printed and exported says what the screen says."""

    def pdf_text(self, report):
        pdf = PdfReader(io.BytesIO(report_service.to_pdf(report, fonts(), "en_US")))
        return "".join(page.extract_text() for page in pdf.pages)

    def workbook(self, report):
        content = report_service.to_xlsx(report, "en_US")
        return load_workbook(io.BytesIO(content), read_only=False)

    def rows_of(self, sheet):
        return [[cell.value for cell in row] for row in sheet.iter_rows()]

    def amounts(self, envelope):
        names = ("total_disbursement", "total_received", "reconciled", "reversed", "funds_drawn")
        return {envelope[f"{name}_amount"] for name in names}

    def test_a_summary_shows_the_numbers_of_the_screen(self):
        envelope = self.settled_envelope(3, returned=1)
        report = envelope.with_user(self.viewer)._report("summary")
        text = self.pdf_text(report)
        for amount in self.amounts(envelope):
            self.assertIn(f"{amount:,.2f}", text)
        self.assertIn("The parts add up to what was declared", text)
        self.assertIn("Approved by, date", text)
        self.assertNotIn("TEST0001", text)
        self.assertIn("****0001", text)

    def test_a_summary_ties_on_the_way_too(self):
        with trap_jobs():
            envelope = self.create_envelope(3)
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
        self.assertIn("The parts add up", self.pdf_text(envelope._report("summary")))
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_disbursement_envelope SET number_of_disbursements = 1 WHERE id = %s",
                envelope.id,
            )
        )
        self.env.invalidate_all()
        self.assertIn("do not add up", self.pdf_text(envelope._report("summary")))

    def test_a_workbook_has_the_same_sums_as_numbers(self):
        envelope = self.settled_envelope(3, returned=1)
        report = envelope.with_user(self.viewer)._report("reconciliation")
        book = self.workbook(report)
        self.assertEqual(len(book.sheetnames), 1 + len(report.sections))
        for section, name in zip(report.sections, book.sheetnames[1:], strict=True):
            rows = self.rows_of(book[name])
            self.assertEqual(rows[0], [label for label, _kind in section.columns])
            for written, row in zip(rows[1:], section.rows, strict=False):
                for cell, value, (_label, kind) in zip(written, row, section.columns, strict=True):
                    if kind == report_service.MONEY:
                        self.assertEqual(Decimal(str(cell)), value)
        loop = self.rows_of(book[book.sheetnames[1]])
        *parts, total = [row for row in loop[1:] if row[1] is not None]
        self.assertEqual(total[1:], [3, 300])
        self.assertEqual(
            [sum(column) for column in zip(*[row[1:] for row in parts], strict=True)], total[1:]
        )

    def test_our_books_and_the_statements_stand_beside_each_other(self):
        envelope = self.settled_envelope(3, returned=1)
        section = envelope._section_of_books(envelope._statements_of_entries())
        self.assertEqual(
            section.rows,
            [
                ["Debits", 3, Decimal(300), 3, Decimal(300), Decimal(0)],
                ["Returns", 1, Decimal(100), 1, Decimal(100), Decimal(0)],
            ],
        )
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_account_statement_line SET amount = 90"
                " WHERE envelope_id = %s AND outcome = 'reversed'",
                envelope.id,
            )
        )
        self.env.invalidate_all()
        section = envelope._section_of_books(envelope._statements_of_entries())
        self.assertEqual(section.rows[1][-1], Decimal(10))

    def test_an_account_is_reconciled_over_a_time(self):
        envelope = self.settled_envelope(3, returned=1)
        self.book([("D", self.disbursements(envelope)[1])])  # to be looked at
        day = self.env["g2p.account.statement"].search([], limit=1).closing_date
        report = self.account.with_user(self.viewer)._reconciliation(day, day)
        statements, envelopes, entries = report.sections
        self.assertEqual(len(statements.rows), 4)
        total = statements.rows[-1]
        self.assertEqual(total[2] - total[3] + total[4], total[5])
        self.assertEqual(total[2:6], [Decimal(1000), Decimal(400), Decimal(100), Decimal(700)])
        self.assertEqual(envelopes.rows, [["TESTPROG 2026-11", 3, Decimal(300), 1, Decimal(100)]])
        self.assertEqual(entries.rows[0][-1], "Payment was debited before")
        self.assertIn("1,000.00", self.pdf_text(report))
        nothing = self.account._reconciliation(
            fields.Date.to_date("2020-01-01"), fields.Date.to_date("2020-01-31")
        )
        self.assertIn("No statement", self.pdf_text(nothing))

    # -- register -------------------------------------------------------------------------------

    def written(self, envelope, kind):
        files = self.env["g2p.register.file"].with_user(self.viewer)
        files._request(envelope.with_user(self.viewer), kind)
        file = self.env["g2p.register.file"].search([], limit=1)
        return file, b"".join(file.piece_ids.sorted("id").mapped("raw"))

    def test_a_register_has_every_payment_and_masks_accounts(self):
        envelope = self.settled_envelope(3, returned=1)
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_disbursement SET beneficiary_name = %s WHERE envelope_id = %s",
                FORMULA,
                envelope.id,
            )
        )
        for kind in ("xlsx", "csv"):
            file, content = self.written(envelope, kind)
            if kind == "xlsx":
                sheet = load_workbook(io.BytesIO(content)).active
                rows = self.rows_of(sheet)
                self.assertEqual({cell.data_type for cell in sheet["D"][1:]}, {"s"})
                self.assertEqual(sheet["D2"].value, FORMULA)
            else:
                text = gzip.decompress(content).decode("utf-8-sig")
                rows = list(csv.reader(io.StringIO(text)))
                self.assertEqual(rows[1][3], f"'{FORMULA}")
            self.assertEqual(len(rows), 4)
            self.assertEqual(
                [row[0] for row in rows[1:]], self.disbursements(envelope).mapped("disbursement_id")
            )
            self.assertEqual(sum(Decimal(str(row[6])) for row in rows[1:]), 300)
            self.assertEqual(
                {row[4] for row in rows[1:]},
                set(self.disbursements(envelope).mapped("account_masked")),
            )
            self.assertNotIn("ACCOUNT-BEN1", str(rows))
            self.assertEqual(file.payment_count, 3)

    def test_many_payments_are_written_by_a_job_in_pieces(self):
        envelope = self.settled_envelope(3)
        self.patch(g2p_register_file, "AT_ONCE", 2)
        self.patch(g2p_register_file, "PIECE_BYTES", 100)
        with trap_jobs() as trap:
            action = self.env["g2p.register.file"].with_user(self.viewer)._request(envelope, "csv")
            file = self.env["g2p.register.file"].browse(action["res_id"])
            self.assertEqual(file.state, "preparing")
            with self.assertRaises(UserError):
                file.action_download()
            trap.perform_enqueued_jobs()
        self.assertEqual(file.state, "ready")
        self.assertGreater(len(file.piece_ids), 1)
        content = b"".join(file.piece_ids.sorted("id").mapped("raw"))
        self.assertEqual(len(gzip.decompress(content).splitlines()), 4)
        self.env.flush_all()
        self.env.cr.execute("UPDATE g2p_register_file SET create_date = '2026-01-01'")
        self.env.invalidate_all()
        self.env["g2p.register.file"]._gc_files()
        self.assertFalse(file.exists())

    def test_too_many_for_a_workbook_are_told_so(self):
        envelope = self.settled_envelope(3)
        self.patch(g2p_register_file, "MOST_IN_WORKBOOK", 2)
        with self.assertRaisesRegex(UserError, "take the text file"):
            self.env["g2p.register.file"]._request(envelope, "xlsx")

    def test_who_may_not_read_an_envelope_prints_nothing(self):
        envelope = self.settled_envelope()
        machine = envelope.with_user(self.pbms_user)
        for action in (
            machine.action_print_summary,
            machine.action_print_reconciliation,
            machine.action_print_reconciliation_xlsx,
        ):
            with self.assertRaises(AccessError):
                action()

    def test_a_paper_in_arabic_mirrors_its_tables(self):
        self.env["res.lang"]._activate_lang("ar_001")
        envelope = self.settled_envelope().with_context(lang="ar_001")
        content = report_service.to_pdf(envelope._report("summary"), fonts(), "ar_001")
        self.assertIn("300.00", PdfReader(io.BytesIO(content)).pages[0].extract_text())
        book = report_service.to_xlsx(envelope._report("summary"), "ar_001")
        self.assertTrue(load_workbook(io.BytesIO(book)).active.sheet_view.rightToLeft)
