import tempfile
from pathlib import Path

from odoo.tests.common import HttpCase, new_test_user, tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models.g2p_certificate_key import CertificateKey


@tagged("post_install", "-at_install", "g2p_browser")
class TestCertificateBrowser(HttpCase):
    """From a settled envelope to the files, in a real browser."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        new_test_user(
            cls.env, "tour_officer", password="tour_officer", groups="g2p_bridge.group_officer"
        )
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.classPatch(CertificateKey, "_path", lambda _self: Path(folder.name) / "key.pem")

    def create_settled_envelope(self):
        """Return an envelope of three payments: two are paid, one came back; all the books tie."""
        bank = self.env["g2p.sponsor.bank"].create({"name": "Tour bank", "code": "TOUR"})
        account = self.env["g2p.funding.account"].create(
            {"name": "Tour account", "bank_id": bank.id, "account_number": "TOUR0001"}
        )
        program = self.env["g2p.benefit.program"].create(
            {
                "name": "Tour program",
                "mnemonic": "TOUR",
                "funding_account_id": account.id,
                "id_mapper_resolution_required": False,
            }
        )
        envelope = self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": "TOURENVELOPE",
                "program_id": program.id,
                "funding_account_id": account.id,
                "currency_id": account.currency_id.id,
                "cycle_code_mnemonic": "TOUR-CYCLE",
                "number_of_beneficiaries": 3,
                "number_of_disbursements": 3,
                "total_disbursement_amount": 300,
                "disbursement_schedule_date": "2026-11-01",
                "state": "settled",
                "funds_blocked_reference_number": "BLOCK1",
                "funds_blocked_amount": 300,
                "funds_released_at": "2026-11-02 08:00:00",
            }
        )
        self.store_payments(envelope)
        self.store_statement(envelope)
        return envelope

    def store_payments(self, envelope):
        """Write what the pipeline writes: payments, their batch with its call, and the journal."""
        batch = self.env["g2p.disbursement.batch"].create(
            {
                "name": "TOURENVELOPE-1",
                "envelope_id": envelope.id,
                "disbursement_count": 3,
                "total_amount": 300,
                "bank_reference": "BATCH1",
                "decided_by_id": self.env.uid,
            }
        )
        batch.write({"state": "acknowledged"})
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement
                       (envelope_id, batch_id, disbursement_id, mis_reference_number,
                        beneficiary_id, beneficiary_name, amount, narrative, state,
                        received_at, state_since, changed_xid)
                SELECT %s, %s, 'TOURPAYMENT' || n, 'MIS' || n, 'BEN' || n, 'Person ' || n, 100,
                       'Monthly grant', CASE WHEN n = 3 THEN 'reversed' ELSE 'reconciled' END,
                       now() AT TIME ZONE 'utc', now() AT TIME ZONE 'utc', 1
                  FROM generate_series(1, 3) n
                """,
                envelope.id,
                batch.id,
            )
        )
        for source, target, count in (
            (None, "received", 3),
            ("received", "resolved", 3),
            ("resolved", "batched", 3),
            ("batched", "sent", 3),
            ("sent", "reconciled", 3),
            ("reconciled", "reversed", 1),
        ):
            self.env["g2p.disbursement.journal"].create(
                {
                    "envelope_id": envelope.id,
                    "source": source,
                    "target": target,
                    "disbursement_count": count,
                    "amount": 100 * count,
                    "created_at": "2026-11-01 08:00:00",
                }
            )

    def store_statement(self, envelope):
        statement = self.env["g2p.account.statement"].create(
            {
                "name": "TOURSTATEMENT",
                "account_id": envelope.funding_account_id.id,
                "statement_number": "1",
                "sequence_number": "1",
                "opening_date": "2026-11-02",
                "opening_balance": 1000,
                "closing_date": "2026-11-02",
                "closing_balance": 800,
                "is_tied": True,
                "content_sha256": "0" * 64,
                "state": "processed",
            }
        )
        payments = self.env["g2p.disbursement"].search([("envelope_id", "=", envelope.id)])
        lines = [("D", payment, "reconciled") for payment in payments]
        lines.append(("RD", payments.filtered(lambda p: p.state == "reversed"), "reversed"))
        self.env["g2p.account.statement.line"].create(
            [
                {
                    "statement_id": statement.id,
                    "entry_sequence": place,
                    "mark": mark,
                    "amount": 100,
                    "value_date": "2026-11-02",
                    "outcome": outcome,
                    "matched_disbursement_id": payment.id,
                    "envelope_id": envelope.id,
                }
                for place, (mark, payment, outcome) in enumerate(lines, start=1)
            ]
        )
        self.env.flush_all()

    def test_an_officer_issues_a_certificate_and_downloads_it(self):
        envelope = self.create_settled_envelope()
        self.start_tour(
            f"/odoo/g2p.disbursement.envelope/{envelope.id}",
            "g2p_bridge_certificate",
            login="tour_officer",
        )
        certificate = self.env["g2p.certificate"].search([("envelope_id", "=", envelope.id)])
        self.assertEqual(certificate.state, "issued")
        self.authenticate("tour_officer", "tour_officer")
        proof = self.url_open(f"/g2p_bridge/certificate/{certificate.id}/proof/TOURPAYMENT2")
        self.assertIn("TOURPAYMENT2", proof.json()["line"])
        self.assertNotIn("TOURPAYMENT1", proof.text)

    def test_files_are_for_those_who_may_read_the_certificate(self):
        certificate = self.create_settled_envelope().sudo()
        new_test_user(self.env, "tour_nobody", password="tour_nobody", groups="base.group_user")
        officer = self.env["res.users"].search([("login", "=", "tour_officer")])
        issued = certificate.with_user(officer).action_issue_certificate()["res_id"]
        for login, status in (("tour_nobody", 403), ("tour_officer", 200)):
            self.authenticate(login, login)
            for what in ("pdf", "json", "register", "key", "proof/TOURPAYMENT1"):
                answer = self.url_open(f"/g2p_bridge/certificate/{issued}/{what}")
                self.assertEqual(answer.status_code, status, what)
            missing = self.url_open(f"/g2p_bridge/certificate/{issued}/nothing")
            self.assertEqual(missing.status_code, 404 if status == 200 else 403)
