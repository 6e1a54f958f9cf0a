"""Files of the bank: each stored once, read once, moved after; and what its word does."""

from unittest import mock

from odoo.exceptions import AccessError
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.errors import BankUnavailable
from odoo.addons.g2p_bridge.tests.statement_case import entry, statement_text
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.common import trap_jobs

from ..transport.folder import FolderTransport
from .common import DEBTOR, FileBankCase, item, report
from .test_paying import _done_then_unknown

INBOX = "odoo.addons.g2p_bridge_bank_iso20022.models.bank_file_inbox"


@tagged("post_install", "-at_install")
class TestStatusReports(FileBankCase):
    """pain.002: what the bank says of payments, and what it cannot make them."""

    def setUp(self):
        super().setUp()
        self.envelope = self.sent_envelope()
        self.batch = self.envelope.batch_ids
        self.message_id = self.batch.bank_reference
        self.ids = self.disbursements(self.envelope).mapped("disbursement_id")

    def bank_says(self, *items, name="r.xml", **values):
        message_id = values.pop("message_id", self.message_id)
        self.bank_lays_down(name, report(message_id, *items, **values))
        self.fetch()
        return self.files()[-1]

    def test_each_payment_has_its_own_status_with_reason_and_words(self):
        file = self.bank_says(
            item(self.ids[0], "ACCP"),
            item(self.ids[1], "RJCT", "AC04", "Account NL30MOCK0000000005 is closed"),
            item(self.ids[2], "ACSC"),
            status="PART",
        )
        self.assertStates(self.envelope, "sent", "rejected", "sent")
        self.assertEqual(
            (file.state, file.kind, file.accepted_count, file.rejected_count, file.batch_id),
            ("processed", "pain.002", 2, 1, self.batch),
        )
        refused = self.disbursements(self.envelope)[1]
        self.assertEqual(refused.reason_code, "AC04")
        self.assertIn("closed", refused.reason)
        self.assertNotIn("0000000005", refused.reason)

    def test_a_rejected_message_rejects_all_of_its_payments_and_no_others(self):
        other = self.ready_envelope(cycle_code_mnemonic="other")
        self.run_envelope(other)
        self.bank_says(status="RJCT", code="AM04")
        self.assertStates(self.envelope, "rejected", "rejected", "rejected")
        self.assertStates(other, "sent", "sent", "sent")

    def test_a_repeat_that_the_bank_refused_rejects_nothing(self):
        for number, code in enumerate(("DUPL", "AM05", "DU01")):
            with self.subTest(code=code):
                file = self.bank_says(status="RJCT", code=code, own_id=f"D{number}")
                self.assertEqual((file.state, file.error_code), ("error", "DUPLICATE_MESSAGE"))
                self.assertStates(self.envelope, "sent", "sent", "sent")
        file = self.bank_says(item(self.ids[0], "RJCT", "AM05"), status="PART", own_id="D9")
        self.assertEqual(file.state, "error")
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_payment_that_is_called_paid_and_refused_is_left_and_told(self):
        first, second, _third = self.ids
        file = self.bank_says(
            item(first, "ACSC"), item(first, "RJCT", "AC04"), item(second, "ACCP"), status="PART"
        )
        self.assertEqual((file.state, file.error_code), ("error", "STATUS_CONTRADICTS"))
        self.assertEqual((file.accepted_count, file.contradicted_count), (1, 1))
        self.assertIn(first, file.note)
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_refusal_that_names_no_payment_is_told(self):
        file = self.bank_says(
            item("NOTPROVIDED", "RJCT", "AC04"), item(self.ids[0], "ACCP"), status="PART"
        )
        self.assertEqual((file.state, file.error_code), ("error", "STATUS_CONTRADICTS"))
        self.assertEqual((file.accepted_count, file.contradicted_count), (1, 1))
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_late_rejection_counts_and_one_after_the_statement_does_not(self):
        self.bank_says(status="ACCP", own_id="R1")
        self.bank_says(item(self.ids[0], "RJCT", "AC06"), status="PART", own_id="R2")
        self.assertStates(self.envelope, "rejected", "sent", "sent")
        text = statement_text(DEBTOR, [entry("D", 100, self.ids[1])], currency="EUR", day="261125")
        self.bank_lays_down("s.sta", text.encode())
        self.fetch()
        self.assertStates(self.envelope, "rejected", "reconciled", "sent")
        file = self.bank_says(item(self.ids[1], "RJCT", "AC04"), status="PART", own_id="R3")
        self.assertEqual((file.state, file.error_code), ("error", "STATUS_CONTRADICTS"))
        self.assertEqual(file.contradicted_count, 1)
        self.assertStates(self.envelope, "rejected", "reconciled", "sent")

    def test_a_message_that_is_none_of_ours_changes_nothing(self):
        other_bank = self.create_bank(code="OTHER", connector="iso20022")
        self.batch.bank_id = other_bank  # as if it had been sent to another
        self.env.flush_all()
        for message_id in (self.message_id, "SOMEBODYELSES"):
            file = self.bank_says(message_id=message_id, status="RJCT", code="AC04")
            self.assertEqual((file.state, file.error_code), ("error", "NOT_OURS"))
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_of_payments_of_another_message_nothing_is_taken(self):
        other = self.ready_envelope(cycle_code_mnemonic="other")
        self.run_envelope(other)
        theirs = self.disbursements(other)[0].disbursement_id
        file = self.bank_says(
            item(theirs, "RJCT", "AC04"), item(self.ids[0], "RJCT", "AC04"), status="PART"
        )
        self.assertEqual(file.error_code, "STATUS_CONTRADICTS")
        self.assertStates(other, "sent", "sent", "sent")
        self.assertStates(self.envelope, "rejected", "sent", "sent")

    def test_a_report_id_that_comes_again_with_other_content_waits_for_an_officer(self):
        self.bank_says(status="ACCP", own_id="SAME")
        file = self.bank_says(item(self.ids[0], "RJCT", "AC04"), status="PART", own_id="SAME")
        self.assertEqual((file.state, file.error_code), ("error", "MESSAGE_REPEATED"))
        self.assertStates(self.envelope, "sent", "sent", "sent")
        self.run_jobs(file.with_user(self.officer).action_read_again)
        self.assertStates(self.envelope, "rejected", "sent", "sent")

    def test_what_is_only_received_stays_with_the_bank(self):
        self.bank_says(status="ACTC")
        self.assertStates(self.envelope, "sent", "sent", "sent")


@tagged("post_install", "-at_install")
class TestLostAnswers(FileBankCase):
    """A status report says what the file's own answer could not."""

    def setUp(self):
        super().setUp()
        self.envelope = self.ready_envelope()
        with mock.patch.object(FolderTransport, "send", _done_then_unknown):
            self.run_envelope(self.envelope)
        [name] = self.laid_down()
        self.message_id = name.removesuffix(".xml")
        self.empty_folders()
        self.ids = self.disbursements(self.envelope).mapped("disbursement_id")
        self.assertEqual(self.envelope.batch_ids.state, "unknown")

    def test_a_batch_of_unknown_outcome_is_acknowledged_by_it(self):
        self.bank_lays_down(
            "r.xml",
            report(self.message_id, item(self.ids[0], "RJCT", "AC04"), status="PART"),
        )
        self.bank_lays_down("r2.xml", report(self.message_id, status="ACCP", own_id="R2"))
        self.fetch()
        self.assertEqual(self.envelope.batch_ids.state, "acknowledged")
        self.assertEqual(self.envelope.batch_ids.bank_reference, self.message_id)
        self.assertStates(self.envelope, "rejected", "sent", "sent")

    def test_a_rejected_message_of_unknown_outcome_rejects_its_payments(self):
        self.bank_lays_down("r.xml", report(self.message_id, status="RJCT", code="FF01"))
        self.fetch()
        self.assertStates(self.envelope, "rejected", "rejected", "rejected")


@tagged("post_install", "-at_install")
class TestInbox(FileBankCase):
    """Each file once, in whatever order jobs run and die."""

    STATEMENT = statement_text(DEBTOR, [], currency="EUR", opening="5,00").encode()

    def archive(self, folder="archive"):
        return sorted(path.name for path in (self.root / "out" / folder).iterdir())

    def waiting(self):
        return [path.name for path in (self.root / "out").iterdir() if path.is_file()]

    def test_a_statement_goes_through_the_usual_door_and_the_file_is_moved(self):
        self.bank_lays_down("s.sta", self.STATEMENT)
        self.fetch()
        [file] = self.files()
        self.assertEqual((file.state, file.kind, file.is_tidied), ("processed", "mt940", True))
        self.assertEqual(file.statement_ids.account_id, self.account)
        self.assertEqual(self.waiting(), [])
        self.assertEqual(self.archive(), [f"{file.content_sha256[:8]}-s.sta"])

    def test_a_bad_file_stops_no_other_and_says_what_to_do(self):
        bad = {
            "a.xml": b"<html>no</html>",
            "b.xml": b"",
            "c.xml": report("X")[:300],
            "d.sta": self.STATEMENT.replace(DEBTOR.encode(), b"NOBODYS"),
        }
        for name, content in bad.items():
            self.bank_lays_down(name, content)
        self.bank_lays_down("e.sta", self.STATEMENT)
        self.fetch()
        files = self.files()
        self.assertEqual(files.filtered(lambda f: f.state == "processed").mapped("name"), ["e.sta"])
        wrong = files.filtered(lambda f: f.state == "error")
        self.assertEqual(sorted(wrong.mapped("name")), sorted(bad))
        self.assertTrue(all(file.note and file.hint and file.error_code for file in wrong))
        self.assertEqual(len(self.archive("error")), 4)
        case = self.env["g2p.attention"].search([("kind", "=", "bank_file")])
        self.assertEqual((case.bank_id, case.payment_count), (self.bank, 4))
        self.assertIn("4", case.name)
        wrong.with_user(self.officer).action_dismiss()
        self.assertFalse(self.env["g2p.attention"].search([("kind", "=", "bank_file")]))

    def test_the_same_content_is_booked_once_under_any_name(self):
        for name in ("s.sta", "again.sta", "s.sta"):
            self.bank_lays_down(name, self.STATEMENT)
            self.fetch()
        [file] = self.files()
        self.assertEqual(file.seen_count, 3)
        self.assertEqual(len(file.statement_ids), 1)
        self.assertEqual(self.waiting(), [])

    def test_a_crash_at_any_place_is_followed_by_a_harmless_repeat(self):
        self.bank_lays_down("s.sta", self.STATEMENT)
        with trap_jobs():  # all that it enqueues is lost
            self.bank._fetch_bank_files()
        [file] = self.files()
        self.assertEqual((file.state, self.waiting()), ("received", ["s.sta"]))
        with trap_jobs():  # read, but the job that moves it is lost
            file._process_bank_file()
        self.assertEqual((file.state, self.waiting()), ("processed", ["s.sta"]))
        self.fetch()
        self.assertEqual(self.files(), file)
        self.assertEqual((file.seen_count, self.waiting()), (1, []))

    def test_two_runners_take_a_file_once(self):
        self.bank_lays_down("s.sta", self.STATEMENT)
        with self.held_elsewhere(f"g2p.bank.file:{self.bank.id}"):
            # the other one may have looked before this file lay there: it is looked again
            with trap_jobs() as trap, self.assertRaises(RetryableJobError):
                self.bank._fetch_bank_files()
            trap.assert_jobs_count(0)
        self.assertFalse(self.files())
        self.fetch()
        [file] = self.files()
        self.assertEqual(file._process_bank_file(), "not due (processed)")
        self.assertEqual(len(file.statement_ids), 1)

    def lay_down_files(self, *names):
        """Lay down files that say nothing we need, each with another content."""
        for name in names:
            content = f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.004.001.09">{name}'
            self.bank_lays_down(name, f"{content}</Document>".encode())

    @property
    def obstacle(self):
        return self.root / "out/obstacle.part"  # a name that is not fetched

    def refuse_moves(self):
        """Have no file be moved, for there is one where the folder should be."""
        self.bank.iso20022_archive_folder = self.obstacle.name
        self.obstacle.write_bytes(b"")

    def test_a_file_that_cannot_be_moved_is_read_once_and_says_why(self):
        self.refuse_moves()
        self.bank_lays_down("s.sta", self.STATEMENT)
        self.fetch()
        with mock.patch.object(FolderTransport, "fetch") as fetch:
            self.fetch()
        fetch.assert_not_called()
        [file] = self.files()
        self.assertEqual((file.state, file.seen_count), ("processed", 1))
        self.assertTrue(file.tidy_error)

    def test_files_that_could_not_be_moved_are_when_one_can(self):
        self.refuse_moves()
        names = ["a.xml", "b.xml", "c.xml"]
        self.lay_down_files(*names)
        self.fetch()
        files = self.files()
        self.assertTrue(all(files.mapped("tidy_error")))
        with mock.patch.object(FolderTransport, "tidy", autospec=True) as tidy:
            tidy.side_effect = BankUnavailable("no", code="NO")
            self.fetch()
            self.assertEqual(tidy.call_count, 1, "a folder that refuses is asked once a look")
        self.obstacle.unlink()
        self.fetch()
        self.assertEqual((files.mapped("is_tidied"), self.waiting()), ([True] * 3, []))
        self.assertFalse(any(files.mapped("tidy_error")))

    def test_files_that_cannot_be_moved_hide_no_newer_ones(self):
        self.refuse_moves()
        with mock.patch(f"{INBOX}.MAX_FILES_PER_ROUND", 2):
            self.lay_down_files("a.xml", "b.xml", "c.xml", "d.xml", "e.xml")
            self.fetch()
            self.lay_down_files("f.xml")
            self.fetch()
        self.assertEqual(self.files(name="f.xml").state, "ignored")

    def test_a_copy_beside_the_file_itself_waits_for_a_later_look(self):
        for name in ("s.sta", "t.sta"):
            self.bank_lays_down(name, self.STATEMENT)
        self.fetch()
        [file] = self.files()
        self.assertEqual((file.seen_count, len(self.waiting())), (1, 1))
        self.fetch()
        self.assertEqual((file.seen_count, len(file.statement_ids), self.waiting()), (2, 1, []))

    def test_a_file_that_comes_again_has_a_job_of_its_own_that_moves_it(self):
        """A job of before may have looked already: it moves what it saw then."""
        self.bank_lays_down("s.sta", self.STATEMENT)
        self.fetch()
        [file] = self.files()
        with trap_jobs() as trap:
            file._enqueue_tidy()
            self.bank_lays_down("t.sta", self.STATEMENT)
            self.bank._fetch_bank_files()
            trap.assert_jobs_count(2, only=file._tidy_bank_file)

    def test_a_message_that_is_not_needed_is_put_away(self):
        self.bank_lays_down(
            "p.xml", b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.004.001.09"/>'
        )
        self.fetch()
        self.assertEqual(self.files().state, "ignored")
        self.assertEqual(len(self.archive()), 1)

    def test_a_file_that_is_too_long_is_not_read(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.statement_max_bytes", "1000")
        self.bank_lays_down("s.sta", b"x" * 1001)
        self.fetch()
        self.fetch()
        [file] = self.files()
        self.assertEqual((file.state, file.error_code), ("error", "FILE_TOO_LONG"))
        self.assertFalse(file.attachment_id)

    def test_a_bank_that_is_not_reached_is_said_on_its_form_until_it_is(self):
        self.bank.iso20022_in_path = "nowhere"
        self.fetch()
        self.assertIn("NO_SUCH_FOLDER", self.bank.iso20022_fetch_error)
        self.bank.iso20022_in_path = "out"
        self.fetch()
        self.assertFalse(self.bank.iso20022_fetch_error)

    def test_only_officers_press_and_only_account_viewers_read_the_content(self):
        self.bank_lays_down("s.sta", self.STATEMENT)
        self.fetch()
        [file] = self.files()
        viewer = self.create_user("files_viewer", "g2p_bridge.group_viewer")
        for step in ("action_read_again", "action_dismiss"):
            with self.assertRaises(AccessError):
                getattr(file.with_user(viewer), step)()
        with self.assertRaises(AccessError):
            self.bank.with_user(viewer).action_fetch_bank_files()
        with self.assertRaises(AccessError):
            file.with_user(viewer).read(["attachment_id"])
        attachment = file.attachment_id
        with self.assertRaises(AccessError):
            attachment.with_user(viewer).read(["raw"])

    def test_a_bug_in_reading_puts_the_file_before_an_officer(self):
        self.bank_lays_down("s.sta", self.STATEMENT)
        with trap_jobs():
            self.bank._fetch_bank_files()
        [file] = self.files()
        file._on_process_failed(exc_message="boom")
        self.assertEqual((file.state, file.error_code), ("error", "STEP_FAILED"))
