import base64
import io
import re
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import openpyxl
from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from odoo.addons.g2p_bridge.models import pipeline_import
from odoo.addons.g2p_bridge.models.import_words import file_words, problem_words
from odoo.addons.g2p_bridge.services import table_file

from .pipeline_case import PipelineCase

HEADER = "Reference,Beneficiary ID,Beneficiary name,Amount,Description"


def lines(count, amount="100.00", first=1):
    return [f"R{n},BEN{n},Person {n},{amount},Grant" for n in range(first, first + count)]


class ImportCase(PipelineCase):
    """An officer with files."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program.approval_required = True
        cls.viewer = cls.create_user("test_viewer", "g2p_bridge.group_viewer")
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")

    def upload(self, content, user=None, **values):
        """Return an import of a file, as the form leaves it after its first step."""
        if isinstance(content, list):
            content = "\n".join([HEADER, *content]) + "\n"
        raw = content if isinstance(content, bytes) else content.encode()
        return (
            self.env["g2p.envelope.import"]
            .with_user(user or self.officer)
            .create(
                {
                    "program_id": self.program.id,
                    "cycle_code_mnemonic": "2026-11",
                    "file": base64.b64encode(raw),
                    "filename": "november.csv",
                    "totals_from": "file",
                    **values,
                }
            )
        )

    def check(self, record, **values):
        """Look at the columns, set these values, and have the whole file checked."""
        record.action_look()
        if values:
            record.write(values)
        self.run_jobs(record.action_check)
        return record

    def checked(self, content, **values):
        return self.check(self.upload(content, **values))

    def imported(self, content, **values):
        record = self.checked(content, **values)
        self.run_jobs(record.action_import)
        return record

    def bad_rows(self, record):
        """Return row number -> problem of the bad rows."""
        rows = self.env["g2p.envelope.import.row"].with_user(self.officer)
        found = rows.search([("import_id", "=", record.id), ("problems", "!=", False)])
        return {row.row_number: row.problem_words for row in found}


@tagged("post_install", "-at_install")
class TestEnvelopeImport(ImportCase):
    """From a file to an envelope: nothing is stored before the officer says so."""

    def test_a_good_file_becomes_an_envelope_that_waits_for_a_second_person(self):
        record = self.checked(lines(3))
        self.assertEqual((record.state, record.good_count, record.bad_count), ("checked", 3, 0))
        self.assertFalse(record.envelope_id)
        self.assertIn("3 payments, USD 300.00", record.outcome)
        self.assertIn("second person", record.outcome)
        self.run_jobs(record.action_import)
        envelope = record.envelope_id
        self.assertEqual((record.state, envelope.state), ("done", "ready"))
        self.assertEqual(envelope.created_by_id, self.officer)
        self.assertEqual(envelope.number_of_beneficiaries, 3)
        self.assertEqual((envelope.total_received_count, envelope.total_received_amount), (3, 300))
        payments = self.disbursements(envelope)
        self.assertEqual(payments.mapped("mis_reference_number"), ["R1", "R2", "R3"])
        self.assertEqual(payments.mapped("beneficiary_name"), ["Person 1", "Person 2", "Person 3"])
        journal = envelope.journal_ids.filtered(lambda row: not row.source)
        self.assertEqual((journal.cause, journal.user_id), ("import_envelope", self.officer))
        self.assertFalse(
            self.env["g2p.envelope.import.row"].search([("import_id", "=", record.id)])
        )

    def test_whoever_imported_it_cannot_approve_it(self):
        record = self.upload(lines(2), user=self.approver)
        self.check(record)
        self.run_jobs(record.action_import)
        with self.assertRaises(AccessError):
            record.envelope_id.with_user(self.approver).action_approve()
        self.assertEqual(record.envelope_id.state, "ready")

    def test_an_imported_envelope_is_paid_like_any_other(self):
        record = self.imported(lines(3))
        self.run_jobs(record.envelope_id.with_user(self.approver).action_approve)
        self.assertEqual(record.envelope_id.state, "disbursed")
        self.assertNothingTwice()

    def test_all_bad_rows_are_named_before_anything_is_stored(self):
        record = self.checked(
            [*lines(2), "R3,BEN3,,10.00,Grant", "R1,BEN4,Ann,0,Grant", "R5,BEN5,Bob,1,000,Grant"]
        )
        self.assertEqual((record.good_count, record.bad_count), (2, 3))
        self.assertEqual(
            self.bad_rows(record),
            {
                4: "Beneficiary name is empty.",
                5: "Amount is zero. Reference stands already in row 2.",
                6: "The row has more cells than the file has columns: "
                "does a cell hold a separator?",
            },
        )
        self.assertIn("Beneficiary name is empty", record.review)
        self.assertFalse(record.outcome)
        self.assertIn("Mend the bad rows", record.blocker)
        with self.assertRaisesRegex(UserError, "Mend the bad rows"):
            record.action_import()
        self.assertFalse(record.envelope_id)

    def test_bad_rows_are_left_out_only_on_purpose(self):
        record = self.checked([*lines(2), "R3,BEN3,,10.00,Grant"])
        record.leaves_out_bad_rows = True
        self.assertIn("2 payments, USD 200.00", record.outcome)
        self.run_jobs(record.action_import)
        self.assertEqual((record.state, record.envelope_id.total_received_count), ("done", 2))
        self.assertEqual(list(self.bad_rows(record)), [4])  # still there to download

    def test_totals_of_the_cover_letter_must_tie(self):
        record = self.checked(
            lines(3), totals_from="typed", declared_count=4, declared_amount=400.5
        )
        self.assertIn("Declared: 4 payments, USD 400.50", record.blocker)
        self.assertIn("Difference: -1 payments, USD -100.50", record.blocker)
        with self.assertRaisesRegex(UserError, "The totals differ"):
            record.action_import()
        record.write({"declared_count": 3, "declared_amount": 300})
        self.run_jobs(record.action_import)
        self.assertEqual(record.envelope_id.state, "ready")

    def test_without_totals_nothing_is_imported(self):
        record = self.checked(lines(3), totals_from="typed")
        self.assertIn("Enter the control totals", record.blocker)

    def test_cents_tie_exactly(self):
        amounts = ["0.10", "0.20", "1234567890123.45", "0.01"]
        rows = [f"R{n},BEN{n},Ann,{amount},x" for n, amount in enumerate(amounts)]
        record = self.checked(
            rows, totals_from="typed", declared_count=4, declared_amount=1234567890123.76
        )
        self.assertFalse(record.blocker)
        self.assertIn("1,234,567,890,123.76", record.outcome)
        record.declared_amount = 1234567890123.77
        self.assertIn("Difference: 0 payments, USD -0.01", record.blocker)

    def test_an_ambiguous_amount_waits_for_the_officers_choice(self):
        text = "\n".join(line.replace(",", ";") for line in [HEADER, "R1,BEN1,Ann,#,x"])
        record = self.upload(text.replace("#", "1,234"))
        record.action_look()
        self.assertFalse(record.amount_style)
        self.assertIn("can be read in two ways", record.preview)
        self.run_jobs(record.action_check)
        self.assertIn("can be read in two ways", self.bad_rows(record)[2])
        record.action_back()
        record.amount_style = "point"
        self.assertIn("USD 1,234.00", record.preview)
        self.run_jobs(record.action_check)
        self.assertEqual((record.good_count, record.ambiguous_count), (1, 1))
        self.assertIn("USD 1,234.00", record.outcome)

    def test_columns_and_the_way_the_file_is_read_can_be_changed(self):
        text = "a|b|c|d\nBEN1|Ann Lee|x|7.50\nBEN2|Bob Ray|y|7.50\n"
        record = self.upload(text)
        record.action_look()
        self.assertEqual((record.separator, record.header_row), ("bar", 1))
        columns = {column.name: column for column in record.column_ids}
        self.assertEqual(columns["c"].meaning, "ignored")
        columns["c"].meaning = "narrative"
        columns["d"].meaning = "ignored"
        with self.assertRaisesRegex(UserError, "Say which column is the Amount"):
            record.action_check()
        columns["a"].meaning = "disbursement_amount"
        columns["d"].meaning = "disbursement_amount"
        with self.assertRaisesRegex(UserError, "More than one column is the Amount"):
            record.action_check()
        columns["a"].meaning = "beneficiary_id"
        self.run_jobs(record.action_check)
        self.assertEqual((record.good_count, record.good_amount), (2, 15))
        record.action_back()
        record.separator = "comma"
        self.assertEqual(len(record.column_ids), 1)

    def test_a_file_without_reference_and_description_gets_both(self):
        record = self.imported("ID,Name,Amount\nBEN1,Ann,5\nBEN2,Bob,6\n")
        payments = self.disbursements(record.envelope_id)
        self.assertEqual(payments.mapped("mis_reference_number"), ["2026-11-BEN1", "2026-11-BEN2"])
        self.assertEqual(set(payments.mapped("narrative")), {"Test program 2026-11"})

    def test_a_workbook_is_imported_with_its_zeros(self):
        book = openpyxl.Workbook()
        for row in (HEADER.split(","), ["0001", "007", "Ann", 10.1, "x"], ["2", "8", "B", 3, "y"]):
            book.active.append(row)
        out = io.BytesIO()
        book.save(out)
        record = self.imported(out.getvalue(), filename="november.xlsx")
        payments = self.disbursements(record.envelope_id)
        self.assertEqual(payments.mapped("mis_reference_number"), ["0001", "2"])
        self.assertEqual(payments[0].beneficiary_id, "007")
        self.assertEqual(payments.mapped("amount"), [10.1, 3.0])

    def test_a_file_that_cannot_be_read_says_why_and_changes_nothing(self):
        record = self.upload(b"\xd0\xcf\x11\xe0old")
        with self.assertRaisesRegex(UserError, "old Excel file"):
            record.action_look()
        self.assertEqual(record.state, "draft")
        record = self.upload("\n".join([HEADER, *lines(80), 'R,"B']))
        self.check(record)
        self.assertEqual(record.state, "columns")
        self.assertIn("quotation mark in row 82", record.problem)
        self.assertFalse(record.envelope_id)

    def test_limits_are_kept(self):
        parameters = self.env["ir.config_parameter"]
        parameters.set_param("g2p_bridge.import_max_rows", "5")
        record = self.checked(lines(6))
        self.assertIn("more than 5 rows", record.problem)
        parameters.set_param("g2p_bridge.import_max_bytes", "100")
        with self.assertRaisesRegex(UserError, "larger than"):
            self.upload(lines(6))

    def test_the_same_file_again_asks_for_a_word(self):
        first = self.imported(lines(2))
        second = self.checked(lines(2))
        self.assertEqual(second.repeated_id, first)
        self.assertIn("The same file was imported", second.blocker)
        with self.assertRaisesRegex(UserError, "The same file was imported"):
            second.action_import()
        second.is_repeat_confirmed = True
        self.run_jobs(second.action_import)
        self.assertEqual(second.envelope_id.state, "ready")
        self.assertNotEqual(second.envelope_id, first.envelope_id)
        other = self.checked(lines(2), cycle_code_mnemonic="2026-12")
        self.assertFalse(other.repeated_id)

    def test_references_in_other_open_envelopes_are_told(self):
        self.imported(lines(2))
        record = self.checked([*lines(2, first=2), "R9,BEN9,Ann,1,x"])
        self.assertEqual((record.good_count, record.known_count), (3, 1))
        self.assertTrue(record.other_envelope_ids)
        self.assertFalse(record.blocker)  # it is a warning
        action = record.action_view_known_rows()
        rows = self.env["g2p.envelope.import.row"].search(action["domain"])
        self.assertEqual(rows.mapped("mis_reference_number"), ["R2"])
        self.imported(lines(1, first=3), cycle_code_mnemonic="2026-12")
        again = self.checked(lines(4), cycle_code_mnemonic="2027-01")
        self.assertEqual((again.good_count, again.known_count), (4, 3))

    def test_bad_rows_come_back_as_a_file_that_can_be_imported_when_mended(self):
        self.env.user.lang = "en_US"
        record = self.checked([*lines(1), "R2,=BEN2,Ann,0,Grant", "R3,BEN3,Bob,7,Grant"])
        out = io.BytesIO()
        record._write_bad_rows(out)
        text = out.getvalue().decode("utf-8-sig")
        self.assertEqual(
            text,
            f"{HEADER},Problem\r\nR2,'=BEN2,Ann,0,Grant,Amount is zero.\r\n",
        )
        mended = self.checked(text.replace(",0,", ",12,"), cycle_code_mnemonic="2026-12")
        self.assertEqual((mended.good_count, mended.bad_count), (1, 0))
        self.run_jobs(mended.action_import)
        self.assertEqual(self.disbursements(mended.envelope_id).beneficiary_id, "=BEN2")

    def test_html_in_a_file_is_shown_as_text(self):
        record = self.upload(["R1,BEN1,<img src=x>,5,x", "R2,<img src=y>,Bob,0,x"])
        record.action_look()
        self.assertIn("&lt;img src=x&gt;", record.preview)
        self.run_jobs(record.action_check)
        self.assertIn("&lt;img src=y&gt;", record.review)
        self.assertNotIn("<img", record.preview + record.review)

    def test_the_preview_follows_what_is_changed_before_it_is_saved(self):
        record = self.upload("ID;Name;Amount\nBEN1;Ann;1.234\n")
        record.action_look()
        form = Form(record)
        self.assertIn("can be read in two ways", form.preview)
        form.amount_style = "comma"
        self.assertIn("USD 1,234.00", form.preview)
        with form.column_ids.edit(1) as column:
            column.meaning = "ignored"
        self.assertIn("Say which column is the Beneficiary name", form.preview)

    def test_a_file_checked_in_one_currency_is_not_paid_in_another(self):
        record = self.checked(lines(1))
        euro = self.env.ref("base.EUR")
        euro.active = True
        other = self.create_account(self.bank, account_number="EUR1", currency_id=euro.id)
        self.program.funding_account_id = other
        self.assertIn("currency has changed", record.blocker)
        with self.assertRaisesRegex(UserError, "currency has changed"):
            record.action_import()

    def test_a_day_that_has_passed_is_no_day_to_pay_on(self):
        record = self.upload(lines(1), disbursement_schedule_date="2026-01-01")
        self.check(record)
        self.assertIn("has passed", record.blocker)
        record.disbursement_schedule_date = fields.Date.today()
        self.assertFalse(record.blocker)


@tagged("post_install", "-at_install")
class TestImportJobs(ImportCase):
    """Killed, repeated, stopped: each payment is stored once, and a part is never paid."""

    def slices_of(self, size):
        self.env["ir.config_parameter"].set_param("g2p_bridge.rows_per_call", str(size))

    def test_a_slice_that_runs_again_stores_nothing_twice(self):
        self.slices_of(2)
        record = self.checked(lines(5))
        [job] = self._enqueued_by(record.action_import)
        while job:
            jobs = self._enqueued_by(job.perform)
            self.env.flush_all()
            self.env.invalidate_all()
            again = self._enqueued_by(job.perform)  # as if its worker had died after the commit
            self.env.flush_all()
            self.env.invalidate_all()
            todo = [each for each in [*jobs, *again] if each.method_name == "_store_slice"]
            job = todo[0] if record.state == "importing" else None
        self.assertEqual((record.state, record.stored_count), ("done", 5))
        self.assertEqual(record.envelope_id.total_received_count, 5)
        self.assertEqual(len(self.disbursements(record.envelope_id)), 5)

    def test_a_slice_that_dies_leaves_nothing_and_is_stored_when_it_runs_again(self):
        self.slices_of(2)
        record = self.checked(lines(4))
        [job] = self._enqueued_by(record.action_import)
        with (
            patch.object(type(record), "write", side_effect=RuntimeError("killed")),
            suppress(RuntimeError),
            self.env.cr.savepoint(),
        ):
            job.perform()
        self.env.invalidate_all()
        self.assertEqual(len(self.disbursements(record.envelope_id)), 0)
        self.assertEqual((record.envelope_id.state, record.stored_count), ("receiving", 0))
        self.run_jobs(lambda: self.env["g2p.envelope.import"]._enqueue_unfinished(10))
        self.assertEqual((record.state, record.envelope_id.state), ("done", "ready"))
        self.assertEqual(len(self.disbursements(record.envelope_id)), 4)

    def test_a_slice_whose_job_died_after_its_payments_were_stored_is_known_again(self):
        self.slices_of(2)
        record = self.checked(lines(4)).sudo()
        self._enqueued_by(record.with_user(self.officer).action_import)
        record._store(record._next_rows())
        self.assertEqual((len(self.disbursements(record.envelope_id)), record.stored_count), (2, 0))
        self.slices_of(3)  # set otherwise meanwhile: the slice is the same
        self.run_jobs(lambda: record._enqueue_unfinished(10))
        self.assertEqual((record.state, record.stored_count), ("done", 4))
        self.assertEqual(len(self.disbursements(record.envelope_id)), 4)
        self.assertEqual(record.envelope_id.total_received_count, 4)

    def test_an_import_whose_last_mark_was_lost_is_not_given_up_beside_a_whole_envelope(self):
        record = self.checked(lines(2))
        self._enqueued_by(record.action_import)
        self._enqueued_by(lambda: record.sudo()._store(record.sudo()._next_rows()))
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual((record.state, record.envelope_id.state), ("importing", "ready"))
        with self.assertRaisesRegex(UserError, "All payments have arrived"):
            record.action_cancel()
        self.run_jobs(lambda: record.sudo()._enqueue_unfinished(10))
        self.assertEqual((record.state, record.envelope_id.state), ("done", "ready"))

    def test_reading_goes_on_where_it_was_killed(self):
        record = self.upload([*lines(6), "R2,BEN7,Ann,1,x"])
        record.action_look()
        with patch.object(pipeline_import, "READ_AT_ONCE", 2):
            [job] = self._enqueued_by(record.action_check)
            keep, calls = type(record)._keep_rows, []

            def killed_at_the_third(self, *args):
                calls.append(1)
                if len(calls) == 3:
                    raise RuntimeError("killed")
                return keep(self, *args)

            with (
                patch.object(type(record), "_keep_rows", killed_at_the_third),
                suppress(RuntimeError),
            ):
                job.perform()
            self.env.invalidate_all()
            self.assertEqual((record.state, record.read_count), ("reading", 4))
            self.run_jobs(lambda: self.env["g2p.envelope.import"]._enqueue_unfinished(10))
        self.assertEqual((record.state, record.read_count), ("checked", 7))
        self.assertEqual((record.good_count, record.bad_count), (6, 1))
        self.assertIn("stands already in row 3", self.bad_rows(record)[8])

    def test_one_job_hands_over_to_the_next(self):
        record = self.upload(lines(7))
        record.action_look()
        with (
            patch.object(pipeline_import, "READ_AT_ONCE", 2),
            patch.object(pipeline_import, "READ_IN_A_JOB", 4),
        ):
            self.run_jobs(record.action_check)
        self.assertEqual((record.state, record.good_count), ("checked", 7))

    def test_a_check_that_was_stopped_writes_no_more(self):
        record = self.upload(lines(5))
        record.action_look()
        [job] = self._enqueued_by(record.action_check)
        record.action_stop()
        job.perform()
        self.assertEqual((record.state, record.read_count), ("columns", 0))
        [newer] = self._enqueued_by(record.action_check)
        job.perform()  # of the check before
        self.assertEqual(record.read_count, 0)
        newer.perform()
        self.env.invalidate_all()
        self.assertEqual((record.state, record.read_count), ("checked", 5))

    def test_a_check_that_is_stopped_while_it_reads_ends_at_once(self):
        record = self.upload(lines(6))
        record.action_look()
        keep, calls = type(record)._keep_rows, []

        def stopped_at_the_second(imported, *args):
            calls.append(1)
            if len(calls) == 2:
                record.action_stop()
            return keep(imported, *args)

        with (
            patch.object(pipeline_import, "READ_AT_ONCE", 2),
            patch.object(type(record), "_keep_rows", stopped_at_the_second),
        ):
            self.run_jobs(record.action_check)
        self.assertEqual(len(calls), 2)
        self.assertEqual((record.state, record.read_count), ("columns", 2))

    def test_an_import_that_is_given_up_leaves_nothing_to_pay(self):
        self.slices_of(2)
        record = self.checked(lines(5))
        [job] = self._enqueued_by(record.action_import)
        [following] = self._enqueued_by(job.perform)
        self.env.flush_all()
        self.assertEqual(record.envelope_id.total_received_count, 2)
        record.action_cancel()
        self.assertEqual(self._enqueued_by(following.perform), [])
        self.env.invalidate_all()
        self.assertEqual((record.state, record.envelope_id.state), ("cancelled", "cancelled"))
        self.assertEqual(set(self.disbursements(record.envelope_id).mapped("state")), {"cancelled"})

    def test_an_import_that_is_done_cannot_be_given_up_or_repeated(self):
        record = self.imported(lines(2))
        with self.assertRaisesRegex(UserError, "All payments have arrived"):
            record.action_cancel()
        with self.assertRaisesRegex(UserError, "imported already"):
            record.action_import()
        self.assertEqual(record.envelope_id.state, "ready")

    def test_what_the_bridge_refuses_stops_the_import_in_words(self):
        self.slices_of(2)
        record = self.checked(lines(4))
        [job] = self._enqueued_by(record.action_import)
        self.api.cancel_disbursement_envelope(record.envelope_id.disbursement_envelope_id)
        self.env.flush_all()
        job.perform()
        self.env.invalidate_all()
        self.assertEqual(record.state, "failed")
        self.assertIn("is cancelled", record.problem)
        self.assertEqual(len(self.disbursements(record.envelope_id)), 0)
        record.action_cancel()
        self.assertEqual(record.state, "cancelled")

    def test_a_job_that_failed_for_good_is_put_before_the_officer(self):
        record = self.checked(lines(2))
        self._enqueued_by(record.action_import)
        record.sudo()._on_job_failed(exc_name="X", exc_message="no disk")
        self.assertEqual((record.state, record.problem), ("failed", "no disk"))
        self.run_jobs(record.action_try_again)
        self.assertEqual((record.state, record.envelope_id.state), ("done", "ready"))

    def test_slices_cost_the_same_however_many_rows_they_have(self):
        counts = []
        for size in (5, 10, 500):  # the first one fills the caches
            record = self.upload(lines(size), cycle_code_mnemonic=f"cycle {size}")
            record.action_look()
            [job] = self._enqueued_by(record.action_check)
            before = self.env.cr.sql_log_count
            job.perform()
            self.env.flush_all()
            read = self.env.cr.sql_log_count - before
            self.env.invalidate_all()
            [job] = self._enqueued_by(record.action_import)
            before = self.env.cr.sql_log_count
            self._enqueued_by(job.perform)
            self.env.flush_all()
            counts.append((read, self.env.cr.sql_log_count - before))
            self.assertEqual(record.state, "done")
            record.sudo().envelope_id._set_cancelled("", "test")  # each open one is looked into
        self.assertEqual(counts[1], counts[2])
        self.assertGreater(counts[1][1], 5)

    def test_files_are_forgotten_after_some_days(self):
        record = self.checked([*lines(2), "R3,BEN3,,10.00,Grant"])
        attachment = record.sudo().attachment_id
        record._cron_forget_files()
        self.assertTrue(attachment.exists())
        with freeze_time(fields.Datetime.add(fields.Datetime.now(), days=31)):
            record.sudo()._cron_forget_files()
        self.assertFalse(attachment.exists())
        self.assertTrue(record.forgotten_at)
        self.assertFalse(record.sudo().sample)
        self.assertFalse(any(record.column_ids.mapped("values")))
        self.assertEqual(self.bad_rows(record), {})
        self.assertTrue(record.file_sha256)


@tagged("post_install", "-at_install")
class TestImportAccess(ImportCase):
    """Files hold people's data: who may do what with them."""

    def test_only_officers_import(self):
        for user in (self.viewer, self.pbms_user, self.bank_user):
            with self.subTest(user=user.login), self.assertRaises(AccessError):
                self.upload(lines(1), user=user)
        record = self.checked(lines(1))
        for user in (self.viewer, self.pbms_user):
            for action in ("action_import", "action_cancel", "action_view_bad_rows"):
                with self.assertRaises(AccessError):
                    getattr(record.with_user(user), action)()

    def test_an_officer_cannot_set_what_the_check_found(self):
        record = self.checked([*lines(1), "R2,BEN2,,1,x"])
        for values in (
            {"state": "importing"},
            {"bad_count": 0},
            {"good_amount": 5},
            {"envelope_id": 1},
            {"amount_style": "comma"},
            {"imported_by_id": self.approver.id},
        ):
            with self.subTest(values=values), self.assertRaises(AccessError):
                record.write(values)
        with self.assertRaises(AccessError):
            record.column_ids[0].write({"meaning": "ignored"})
        with self.assertRaises(AccessError):
            record.column_ids[0].write({"import_id": record.id})
        with self.assertRaises(AccessError):
            self.upload(lines(1), state="checked")
        with self.assertRaises(AccessError):
            record.unlink()

    def test_the_file_is_not_public_and_not_searched(self):
        record = self.upload(lines(1))
        attachment = record.sudo().attachment_id
        self.assertFalse(attachment.public)
        self.assertFalse(attachment.index_content)
        with self.assertRaises(AccessError):
            record.read(["attachment_id"])
        with self.assertRaises(AccessError):
            attachment.with_user(self.officer).read(["raw"])
        with self.assertRaises(AccessError):
            record.read(["sample"])

    def test_another_companys_imports_are_not_seen(self):
        company = self.env["res.company"].create({"name": "Other"})
        record = self.checked(lines(1))
        other = self.create_user("test_other", "g2p_bridge.group_officer")
        other.write({"company_id": company.id, "company_ids": [(6, 0, company.ids)]})
        imports = self.env["g2p.envelope.import"].with_user(other)
        self.assertFalse(imports.search([("id", "=", record.id)]))
        self.assertFalse(
            imports.env["g2p.envelope.import.row"].search([("import_id", "=", record.id)])
        )
        with self.assertRaises(AccessError):
            self.upload(lines(1), user=other)
        with self.assertRaises(AccessError):
            record.with_user(other).action_import()

    def test_bad_rows_are_for_who_uploaded_them_or_may_see_accounts(self):
        record = self.checked([*lines(1), "R2,BEN2,,1,x"])
        colleague = self.create_user("test_colleague", "g2p_bridge.group_officer")
        with self.assertRaises(AccessError):
            record.with_user(colleague)._write_bad_rows(io.BytesIO())
        administrator = self.create_user("test_administrator", "g2p_bridge.group_administrator")
        out = io.BytesIO()
        record.with_user(administrator)._write_bad_rows(out)
        self.assertIn(b"BEN2", out.getvalue())

    def test_numbers_of_accounts_are_masked_in_the_columns(self):
        record = self.upload("ID,Name,Amount,IBAN\nBEN1,Ann,5,DE89370400440532013000\n")
        record.action_look()
        column = record.column_ids.filtered(lambda each: each.name == "IBAN")
        self.assertEqual(column.meaning, "ignored")
        self.assertNotIn("370400440532013000", column.values)
        self.assertNotIn("370400440532013000", record.preview)

    def test_the_words_of_every_problem_are_there(self):
        source = Path(table_file.__file__).read_text(encoding="utf-8")
        codes = set(re.findall(r'TableError\(\s*"(\w+)"', source))
        self.assertGreater(len(codes), 8)
        for code in codes | {"FILE_TOO_LARGE", "FILE_TOO_MANY_ROWS"}:
            self.assertTrue(file_words(self.env, code, {}))
        for code in ("CELL_LONG", "CELL_BOOLEAN", "AMOUNT_UNCLEAR", "AMOUNT_EXPONENT"):
            self.assertTrue(problem_words(self.env, f"{code}@narrative", {}, 2))
