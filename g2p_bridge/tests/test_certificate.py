import base64
import copy
import gzip
import importlib.util
import io
import json
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from pypdf import PdfReader

from odoo.exceptions import AccessError, UserError
from odoo.tests.common import tagged
from odoo.tools import SQL, mute_logger

from odoo.addons.g2p_bridge.models import g2p_certificate
from odoo.addons.g2p_bridge.services import register as register_service
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.common import trap_jobs

from .certificate_case import VERIFIER, CertificateCase

ALL_HOLDS, WRONG, UNREADABLE, INCOMPLETE = 0, 1, 2, 3


def leaves(value, path=()):
    """Yield the paths of all scalars in JSON data, and of empty containers."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    is_leaf = True
    for key, item in items:
        is_leaf = False
        yield from leaves(item, (*path, key))
    if is_leaf:
        yield path


def changed(document, path):
    """Return a copy of JSON data in which the scalar at the path is another of its kind."""
    document = copy.deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    value = holder[path[-1]]
    if isinstance(value, bool):
        holder[path[-1]] = not value
    elif isinstance(value, int):
        holder[path[-1]] = value + 1
    elif isinstance(value, str):
        last = value[-1:]
        holder[path[-1]] = value[:-1] + ("1" if last != "1" else "2")
    else:
        holder[path[-1]] = "x"
    return document


@tagged("post_install", "-at_install")
class TestCertificate(CertificateCase):
    """What is certified, and what is not."""

    def test_a_settled_envelope_is_certified_and_verified_without_odoo(self):
        envelope = self.settled_envelope(3, returned=1)
        certificate = self.issue(envelope)
        self.assertEqual(certificate.state, "issued")
        totals = self.document(certificate)["certificate"]["totals"]
        self.assertEqual(totals["declared"], {"count": 3, "amount": "300.00"})
        self.assertEqual(totals["paid"], {"count": 2, "amount": "200.00"})
        self.assertEqual(totals["reversed"], {"count": 1, "amount": "100.00"})
        document, register, key = self.files(certificate)
        code, said = self.verify(document, "--register", register, "--public-key", key)
        self.assertEqual(code, ALL_HOLDS, said)
        self.assertIn("All of it holds", said)
        digest = ("--digest", certificate.digest)
        fingerprint = ("--fingerprint", certificate.key_id.key_id)
        code, said = self.verify(document, "--register", register, *fingerprint, *digest)
        self.assertEqual(code, ALL_HOLDS, said)

    def test_what_was_not_checked_is_said(self):
        document, register, key = self.files(self.issue(self.settled_envelope()))
        self.assertEqual(self.verify(document, "--public-key", key)[0], INCOMPLETE)
        code, said = self.verify(document, "--register", register)
        self.assertEqual(code, INCOMPLETE)
        self.assertIn("Whose key it is", said)
        self.assertEqual(self.verify(document, "--fingerprint", "00" * 32)[0], WRONG)
        self.assertEqual(self.verify(self.folder / "none.json")[0], UNREADABLE)

    def test_any_change_of_the_signed_file_is_found(self):
        """Every single field, by a verifier in this process: a process for each takes too long."""
        document, register, key = self.files(self.issue(self.settled_envelope(3, returned=1)))
        verifier = self.load_verifier()
        original = json.loads(document.read_text())
        paths = list(leaves(original))
        self.assertGreater(len(paths), 90)
        forged = self.folder / "forged.json"
        arguments = [str(forged), "--register", str(register), "--public-key", str(key)]
        with self.quiet():
            forged.write_text(json.dumps(original))
            self.assertEqual(verifier.main(arguments), ALL_HOLDS)
            for path in paths:
                forged.write_text(json.dumps(changed(original, path)))
                self.assertIn(verifier.main(arguments), (WRONG, UNREADABLE), path)
            for path in paths:
                less = copy.deepcopy(original)
                holder = less
                for key_ in path[:-1]:
                    holder = holder[key_]
                del holder[path[-1]]
                forged.write_text(json.dumps(less))
                self.assertIn(verifier.main(arguments), (WRONG, UNREADABLE), path)

    def test_sums_are_added_up_anew_whoever_signed_them(self):
        """The institution's own key makes no wrong sum right."""
        certificate = self.issue(self.settled_envelope(3, returned=1))
        _document, register, key = self.files(certificate)
        original = self.document(certificate)["certificate"]
        signing, _record = self.env["g2p.certificate.key"]._signing_key()
        verifier = self.load_verifier()
        forged = self.folder / "forged.json"
        arguments = [str(forged), "--register", str(register), "--public-key", str(key)]
        for path in (
            ("totals", "declared", "count"),
            ("totals", "declared", "amount"),
            ("totals", "paid", "count"),
            ("totals", "paid", "amount"),
            ("totals", "reversed", "amount"),
            ("totals", "withdrawn", "count"),
            ("totals", "unresolved", "count"),
            ("funds", "held"),
            ("funds", "drawn"),
            ("funds", "released"),
            ("statements", 0, "opening_balance"),
            ("statements", 0, "closing_balance"),
            ("statements", 1, "opening_balance"),
            ("statements", 0, "credits"),
            ("statements", 0, "debits_in_all"),
            ("statements", 0, "debits", "count"),
            ("statements", 1, "returns", "amount"),
            ("statements", 1, "number"),
            ("register", "payments"),
            ("register", "sha256"),
            ("register", "merkle_root"),
        ):
            content = changed(original, path)
            document = {
                "certificate": content,
                "signature": signing.sign(verifier.canonical(content)),
            }
            forged.write_text(json.dumps(document))
            with self.quiet() as said:
                self.assertEqual(verifier.main(arguments), WRONG, path)
            self.assertIn("ok  The signature fits", said.getvalue())

    def test_any_change_of_the_register_is_found(self):
        document, register, key = self.files(self.issue(self.settled_envelope(3, returned=1)))
        text = gzip.decompress(register.read_bytes())
        lines = text.splitlines(keepends=True)
        self.assertEqual(len(lines), 4)
        for forged in (
            text.replace(b"100.00", b"100.01", 1),
            text.replace(b",reversed,", b",paid,", 1),
            b"".join([*lines, lines[-1]]),
            b"".join(lines[:-1]),
            b"".join([lines[0], lines[2], lines[1], lines[3]]),
            text[:-5],
        ):
            register.write_bytes(forged)
            arguments = [document, "--register", register, "--public-key", key]
            self.assertEqual(self.verify(*arguments)[0], WRONG)
        register.write_bytes(text)  # uncompressed is as good
        self.assertEqual(self.verify(*arguments)[0], ALL_HOLDS)

    def test_plain_python_judges_signatures_as_the_library_does(self):
        verifier = self.load_verifier()
        key, _record = self.env["g2p.certificate.key"]._signing_key()
        for message in (b"", b"x", bytes(range(256))):
            signature = base64.b64decode(key.sign(message)["value"])
            forged = [
                (key.raw_public, message + b"!", signature),
                (key.raw_public, message, signature[:-1]),
                (key.raw_public, message, bytes(64)),
                (key.raw_public, message, signature[:32] + b"\xff" * 32),
                (key.raw_public[::-1], message, signature),
                (b"\xff" * 32, message, signature),
                *(
                    (
                        key.raw_public,
                        message,
                        signature[:n] + bytes([signature[n] ^ 1]) + signature[n + 1 :],
                    )
                    for n in (0, 31, 32, 63)
                ),
            ]
            self.assertTrue(verifier.verify_ed25519(key.raw_public, message, signature))
            self.assertTrue(verifier.verify_ed25519_in_python(key.raw_public, message, signature))
            for case in forged:
                self.assertFalse(verifier.verify_ed25519(*case))
                self.assertFalse(verifier.verify_ed25519_in_python(*case))

    def test_one_payment_is_proved_without_the_others(self):
        envelope = self.settled_envelope(5)
        certificate = self.issue(envelope)
        document, _register, key = self.files(certificate)
        for payment in self.disbursements(envelope):
            line, path = register_service.prove(
                certificate._register_parts, payment.disbursement_id
            )
            proof = {
                "format": "g2p-bridge-payment-proof/1",
                "certificate_id": certificate.name,
                "line": line,
                "path": path,
            }
            others = self.disbursements(envelope) - payment
            self.assertFalse([o for o in others if o.disbursement_id in json.dumps(proof)])
            proof_file = self.folder / "proof.json"
            proof_file.write_text(json.dumps(proof))
            arguments = [document, "--payment", proof_file, "--public-key", key]
            code, said = self.verify(*arguments)
            self.assertEqual(code, ALL_HOLDS, said)
            self.assertIn(f"Payment {payment.disbursement_id} is in the register", said)
            proof_file.write_text(json.dumps({**proof, "line": line.replace("100", "900")}))
            self.assertEqual(self.verify(*arguments)[0], WRONG)
        self.assertIsNone(register_service.prove(certificate._register_parts, "NOSUCHPAYMENT"))

    def test_neither_names_nor_accounts_are_in_it(self):
        certificate = self.issue(self.settled_envelope())
        text = base64.b64decode(certificate.document) + gzip.decompress(self.register(certificate))
        for private in (b"Person", b"ACCOUNT-BEN", b"BEN1", b"MIS1", b"TEST0001"):
            self.assertNotIn(private, text)
        self.assertIn(b"****0001", text)

    def test_the_paper_says_what_the_file_says(self):
        envelope = self.settled_envelope(3, returned=1)
        certificate = self.issue(envelope)
        pdf = PdfReader(io.BytesIO(base64.b64decode(certificate.pdf)))
        text = "".join(page.extract_text() for page in pdf.pages).replace("\xa0", " ")
        for amount in (
            envelope.total_disbursement_amount,
            envelope.reconciled_amount,
            envelope.reversed_amount,
            envelope.funds_drawn_amount,
        ):
            self.assertIn(f"USD {amount:,.2f}", text)
        self.assertIn(certificate.digest, re.sub(r"\s", "", text))
        self.assertIn(certificate.key_id.key_id, re.sub(r"\s", "", text))
        self.assertEqual(len(pdf.pages), 2)

    def test_a_paper_is_written_from_right_to_left(self):
        self.env["res.lang"]._activate_lang("ar_001")
        self.officer.lang = "ar_001"
        certificate = self.issue(self.settled_envelope())
        pdf = PdfReader(io.BytesIO(base64.b64decode(certificate.pdf)))
        self.assertIn("USD", pdf.pages[0].extract_text())

    def test_who_approved_it_and_when_is_said(self):
        self.program.approval_required = True
        approver = self.create_user("test_approver", "g2p_bridge.group_approver")
        envelope = self.ready_envelope(2)
        self.run_envelope(envelope)
        self.run_jobs(envelope.with_user(approver).action_approve)
        self.book([("D", payment) for payment in self.disbursements(envelope)])
        approval = self.document(self.issue(envelope))["certificate"]["approval"]
        self.assertEqual(approval["approved_by"], approver.name)
        self.assertEqual(approval["content_hash"], envelope.approval_ids.content_hash)

    def test_withdrawn_payments_stand_beside_the_loop(self):
        with trap_jobs():
            envelope = self.create_envelope(3)
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
            first = self.disbursements(envelope)[0]
            self.api.cancel_disbursements([first.disbursement_id], "wrong person")
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2, first=3))
        self.run_envelope(envelope)
        paid = self.disbursements(envelope).filtered(lambda p: p.state != "cancelled")
        self.book([("D", payment) for payment in paid])
        certificate = self.issue(envelope)
        totals = self.document(certificate)["certificate"]["totals"]
        self.assertEqual(totals["withdrawn"], {"count": 1, "amount": "100.00"})
        self.assertEqual(totals["cancelled"]["count"], 0)
        document, register, key = self.files(certificate)
        code, said = self.verify(document, "--register", register, "--public-key", key)
        self.assertEqual(code, ALL_HOLDS, said)

    def test_what_is_shown_adds_up(self):
        envelope = self.ready_envelope(3)
        first, *others = self.disbursements(envelope)
        with trap_jobs():
            self.api.cancel_disbursements([first.disbursement_id], "moved away")
        self.run_envelope(envelope)
        self.book([("D", payment) for payment in others])
        self.give_back(others[0])
        certificate = self.issue(envelope)
        shown = [
            (certificate[f"{part}_count"], certificate[f"{part}_amount"])
            for part in ("paid", "reversed", "unpaid")
        ]
        self.assertEqual(shown, [(1, 100), (1, 100), (1, 100)])
        self.assertEqual((certificate.payment_count, certificate.amount), (3, 300))

    # -- what is open ---------------------------------------------------------------------------

    def codes(self, envelope):
        self.env.invalidate_all()
        return [point["code"] for point in envelope._certificate_open_points()]

    def test_what_is_open_is_said_and_nothing_is_certified(self):
        envelope = self.sent_envelope(3)
        payments = self.disbursements(envelope)
        [sent] = envelope._certificate_open_points()
        self.assertEqual((sent["code"], sent["count"], sent["amount"]), ("SENT", 3, 300.0))
        with self.assertRaisesRegex(UserError, "no statement shows"):
            self.issue(envelope)
        self.book([("D", payments[0])])
        self.assertEqual(envelope._certificate_open_points()[0]["count"], 2)
        self.assertFalse(self.env["g2p.certificate"].search([("envelope_id", "=", envelope.id)]))

    def test_the_page_leads_to_what_is_open(self):
        envelope = self.sent_envelope(3)
        action = envelope.with_user(self.viewer).action_certificate()
        page = self.env["g2p.certificate.page"].with_user(self.viewer).browse(action["res_id"])
        self.assertFalse(page.is_closed)
        point = page.point_ids.filtered(lambda p: p.code == "SENT")
        shown = point.action_show()
        found = self.env[shown["res_model"]].search_count(shown["domain"])
        self.assertEqual((found, point.count), (3, 3))

    def test_a_gap_between_statements_is_open(self):
        envelope = self.sent_envelope(2)
        first, second = self.disbursements(envelope)
        self.book([("D", first)])
        self.statement_number += 1  # number 2 never came
        self.book([("D", second)])
        self.assertEqual(self.codes(envelope), ["GAPS"])
        self.statement_number = 1
        self.balance = 900
        self.book([], number="2/1")
        self.assertEqual(self.codes(envelope), [])

    def test_an_entry_to_look_at_is_open(self):
        envelope = self.settled_envelope(2)
        payment = self.disbursements(envelope)[0]
        self.book([("D", payment)])  # debited twice
        self.assertEqual(self.codes(envelope), ["ENTRIES"])
        entries = self.env["g2p.account.statement.line"].search(
            [("envelope_id", "=", envelope.id), ("outcome", "=", "error")]
        )
        entries.with_user(self.officer)._dismiss("the bank gave it back by hand")
        self.assertEqual(self.codes(envelope), [])

    def test_money_that_is_still_held_is_open(self):
        envelope = self.settled_envelope(2)
        envelope.write({"funds_released_at": False, "funds_blocked_amount": 300})
        self.assertEqual(self.codes(envelope), ["FUNDS_HELD"])
        self.fake.supports_release = False
        self.assertEqual(self.codes(envelope), [])
        funds = self.document(self.issue(envelope))["certificate"]["funds"]
        self.assertEqual(
            (funds["held"], funds["drawn"], funds["kept"]), ("300.00", "200.00", "100.00")
        )

    def test_a_cancelled_envelope_has_none(self):
        envelope = self.ready_envelope(2)
        envelope._set_cancelled("duplicate cycle", "test")
        self.assertEqual(self.codes(envelope), ["CANCELLED"])

    # -- broken books ---------------------------------------------------------------------------

    def assertNotCertified(self, envelope, statement):
        """Break the books by a statement of SQL, and see that nothing is certified."""
        self.env.flush_all()
        self.env.cr.execute(statement)
        self.env.invalidate_all()
        try:
            with mute_logger(
                "odoo.addons.g2p_bridge.models.g2p_certificate",
                "odoo.addons.g2p_bridge.models.g2p_ledger_difference",
            ):
                certificate = self.issue(envelope)
        except UserError as error:
            return str(error)
        self.assertEqual(certificate.state, "refused")
        self.assertFalse(certificate.document)
        self.assertFalse(certificate.register_part_ids)
        self.assertTrue(certificate.refusal)
        return certificate.refusal

    def broken(self, text):
        envelope = self.settled_envelope(3, returned=1)
        return self.assertNotCertified(envelope, SQL(text, envelope.id))

    def test_a_changed_amount_is_not_certified(self):
        self.broken("UPDATE g2p_disbursement SET amount = 101 WHERE envelope_id = %s")

    def test_a_changed_state_is_not_certified(self):
        self.broken("UPDATE g2p_disbursement SET state = 'rejected' WHERE envelope_id = %s")

    def test_a_lost_payment_is_not_certified(self):
        self.broken(
            "DELETE FROM g2p_disbursement WHERE id ="
            " (SELECT min(id) FROM g2p_disbursement WHERE envelope_id = %s)"
        )

    def test_another_declared_total_is_not_certified(self):
        self.broken(
            "UPDATE g2p_disbursement_envelope SET total_disbursement_amount = 300.01 WHERE id = %s"
        )

    def test_a_lost_entry_is_not_certified(self):
        self.broken("DELETE FROM g2p_account_statement_line WHERE envelope_id = %s")

    def test_a_changed_entry_is_not_certified(self):
        self.broken("UPDATE g2p_account_statement_line SET amount = 100.01 WHERE envelope_id = %s")

    def test_less_held_than_drawn_is_not_certified(self):
        self.broken("UPDATE g2p_disbursement_envelope SET funds_blocked_amount = 299 WHERE id = %s")

    def test_the_register_itself_is_compared_with_the_totals(self):
        """Even where the ledger check finds nothing."""
        envelope = self.settled_envelope(3)
        self.patch(type(self.env["g2p.ledger.difference"]), "_check", lambda *_args: None)
        refusal = self.assertNotCertified(
            envelope,
            SQL("UPDATE g2p_disbursement SET amount = 101 WHERE envelope_id = %s", envelope.id),
        )
        self.assertIn("do not add up", refusal)

    # -- later ----------------------------------------------------------------------------------

    def test_a_late_return_makes_it_outdated_and_the_next_takes_its_place(self):
        envelope = self.settled_envelope(3)
        first = self.issue(envelope)
        self.assertFalse(first.outdated_because)
        self.assertEqual(self.issue(envelope), first)
        self.give_back(self.disbursements(envelope)[:1])
        self.env.invalidate_all()
        self.assertEqual(envelope.state, "settled")
        self.assertIn("came back after it was issued: 1, ", first.outdated_because)
        second = self.issue(envelope)
        self.assertEqual((first.state, second.state), ("superseded", "issued"))
        self.assertEqual(first.superseded_by_id, second)
        self.assertIn("came back", first.superseded_because)
        replaced = self.document(second)["certificate"]["supersedes"]
        self.assertEqual(replaced["certificate_id"], first.name)
        self.assertEqual(replaced["digest"], first.digest)
        # the first one still says what was so then
        document, register, key = self.files(first)
        arguments = (document, "--register", register, "--public-key", key)
        self.assertEqual(self.verify(*arguments)[0], ALL_HOLDS)

    def test_old_certificates_verify_after_the_key_was_replaced(self):
        first = self.issue(self.settled_envelope())
        administrator = self.create_user("test_admin", "g2p_bridge.group_administrator")
        with self.assertRaises(AccessError):
            first.key_id.with_user(self.officer).action_replace()
        first.key_id.with_user(administrator).action_replace()
        self.assertTrue(first.key_id.retired_at)
        envelope = first.envelope_id
        self.give_back(self.disbursements(envelope)[:1])
        second = self.issue(envelope)
        self.assertNotEqual(first.key_id, second.key_id)
        for certificate in (first, second):
            document, register, key = self.files(certificate)
            arguments = (document, "--register", register, "--public-key", key)
            self.assertEqual(self.verify(*arguments)[0], ALL_HOLDS)

    def test_the_key_is_readable_to_the_system_alone(self):
        self.issue(self.settled_envelope())
        path = self.env["g2p.certificate.key"]._path()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
        private = path.read_text().splitlines()[1]
        self.env.cr.execute("SELECT public_key FROM g2p_certificate_key")
        self.assertFalse([row for row in self.env.cr.fetchall() if private in row[0]])

    # -- who ------------------------------------------------------------------------------------

    def test_an_officer_issues_and_a_viewer_reads(self):
        envelope = self.settled_envelope()
        with self.assertRaises(AccessError):
            self.issue(envelope, self.viewer)
        certificate = self.issue(envelope)
        seen = certificate.with_user(self.viewer)
        self.assertTrue(seen.with_context(bin_size=False).pdf)
        self.assertIn("/pdf", seen.action_download_pdf()["url"])
        with self.assertRaises(AccessError):
            seen.write({"digest": "x"})
        with self.assertRaises(AccessError):
            seen.unlink()

    def test_another_company_sees_nothing(self):
        certificate = self.issue(self.settled_envelope())
        company = self.env["res.company"].create({"name": "Elsewhere"})
        stranger = self.create_user("test_stranger", "g2p_bridge.group_viewer")
        stranger.write({"company_ids": [(6, 0, company.ids)], "company_id": company.id})
        seen = certificate.with_user(stranger)
        self.assertFalse(seen.search([]))
        for read in (seen.action_download_pdf, lambda: seen.digest):
            with self.assertRaises(AccessError):
                read()

    def test_people_of_another_program_see_nothing(self):
        envelope = self.settled_envelope()
        certificate = self.issue(envelope)
        self.env["g2p.register.file"]._request(envelope, "csv")
        self.assertTrue(certificate.with_user(self.viewer).search([]))
        self.program.member_ids = self.officer
        self.env.invalidate_all()
        for model in ("g2p.certificate", "g2p.register.file"):
            self.assertFalse(self.env[model].with_user(self.viewer).search([]))
            self.assertTrue(self.env[model].with_user(self.officer).search([]))
        with self.assertRaises(AccessError):
            certificate.with_user(self.viewer).action_download_pdf()
        day = self.env["g2p.account.statement"].search([], limit=1).closing_date
        with self.assertRaises(AccessError):
            self.account.with_user(self.viewer)._reconciliation(day, day)
        self.assertTrue(self.account.with_user(self.officer)._reconciliation(day, day))

    def test_what_is_issued_is_never_changed(self):
        certificate = self.issue(self.settled_envelope())
        files = certificate.register_part_ids | self.env["ir.attachment"].sudo().search(
            [("res_model", "=", "g2p.certificate"), ("res_field", "!=", False)]
        )
        self.assertEqual(len(files), 3)
        for file in files:
            with self.assertRaises(UserError):
                file.sudo().write({"raw": b"forged"})
            with self.assertRaises(UserError):
                file.sudo().unlink()
        with self.assertRaises(UserError):
            certificate.sudo().unlink()

    # -- many -----------------------------------------------------------------------------------

    def test_many_payments_are_certified_by_a_job(self):
        envelope = self.settled_envelope(3)
        self.patch(g2p_certificate, "AT_ONCE", 2)
        with trap_jobs() as trap:
            certificate = self.issue(envelope)
            self.assertEqual(certificate.state, "preparing")
            trap.assert_jobs_count(1, only=certificate._issue)
            self.assertEqual(self.issue(envelope), certificate)  # asked again: the same
            trap.perform_enqueued_jobs()
        self.assertEqual(certificate.state, "issued")
        self.assertEqual(certificate._issue(), "not due (issued)")

    def test_a_job_that_died_is_made_anew_and_two_do_not_work_at_once(self):
        envelope = self.settled_envelope(3)
        self.patch(g2p_certificate, "AT_ONCE", 2)
        with trap_jobs():
            certificate = self.issue(envelope)  # and its job is lost
        with self.assertRaises(AccessError):
            certificate.with_user(self.viewer).action_prepare_again()
        with (
            self.held_elsewhere(f"g2p.certificate.issue:{certificate.id}"),
            self.assertRaises(RetryableJobError),
        ):
            certificate._issue()
        with trap_jobs() as trap:
            certificate.with_user(self.officer).action_prepare_again()
            trap.perform_enqueued_jobs()
        self.assertEqual(certificate.state, "issued")

    def test_a_register_in_parts_is_one_file(self):
        envelope = self.settled_envelope(5)
        writer = register_service.RegisterWriter
        self.patch(
            writer,
            "__init__",
            lambda self, store, _init=writer.__init__: _init(self, store, part_lines=2),
        )
        certificate = self.issue(envelope)
        self.assertEqual(len(certificate.register_part_ids), 3)
        document, register, key = self.files(certificate)
        code, said = self.verify(document, "--register", register, "--public-key", key)
        self.assertEqual(code, ALL_HOLDS, said)

    def test_more_payments_take_no_more_queries(self):
        few, many = self.settled_envelope(2), self.settled_envelope(6, returned=3)
        self.issue(few)  # the key, and what Odoo caches
        counts = []
        for envelope in (few, many):
            certificate = self.env["g2p.certificate"].sudo()._create_next(envelope)
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            certificate._write_register()
            counts.append(self.env.cr.sql_log_count - before)
        self.assertLessEqual(counts[1], counts[0])

    # -- helpers --------------------------------------------------------------------------------

    def load_verifier(self):
        """Return the verifier's module, which imports nothing of ours."""
        spec = importlib.util.spec_from_file_location("verify_certificate", VERIFIER)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @contextmanager
    def quiet(self):
        """Keep what the verifier says."""
        with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
            yield said
