import os
from unittest.mock import patch

from odoo.tests.common import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger


@tagged("post_install", "-at_install", "g2p_browser")
class TestImportInBrowser(HttpCase):
    """An officer imports a file, in a real browser; an error in its console fails the test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.officer = new_test_user(
            cls.env, "tour_importer", password="tour_importer", groups="g2p_bridge.group_officer"
        )
        bank = cls.env["g2p.sponsor.bank"].create({"name": "Tour bank", "code": "TOUR"})
        account = cls.env["g2p.funding.account"].create(
            {
                "name": "Tour account",
                "bank_id": bank.id,
                "account_number": "TOUR1",
                "currency_id": cls.env.ref("base.USD").id,
            }
        )
        cls.program = cls.env["g2p.benefit.program"].create(
            {
                "name": "Tour program",
                "mnemonic": "TOUR",
                "funding_account_id": account.id,
                "id_mapper_resolution_required": False,
                "approval_required": True,
            }
        )

    def test_an_officer_mends_two_bad_rows_and_imports_the_file(self):
        # the job runner is another process: here each job runs where it is enqueued
        with (
            patch.dict(os.environ, {"QUEUE_JOB__NO_DELAY": "1"}),
            mute_logger("odoo.addons.queue_job.utils"),
        ):
            self.start_tour(
                "/odoo/g2p-import-envelope", "g2p_envelope_import", login="tour_importer"
            )
        envelope = self.env["g2p.disbursement.envelope"].search(
            [("program_id", "=", self.program.id)]
        )
        self.assertEqual((envelope.total_received_count, envelope.total_received_amount), (3, 155))
        self.assertEqual(envelope.created_by_id, self.officer)
        self.assertEqual(envelope.state, "ready")

    def test_bad_rows_and_templates_are_downloaded(self):
        self.authenticate("tour_importer", "tour_importer")
        imports = self.env["g2p.envelope.import"].with_user(self.officer)
        record = imports.create({"program_id": self.program.id, "cycle_code_mnemonic": "1"})
        url = f"/g2p_bridge/envelope_import/{record.id}/bad_rows"
        self.assertEqual(self.url_open(url).status_code, 404, "no file yet")
        record.sudo().write({"kind": "csv", "encoding": "utf-8-sig", "separator": "comma"})
        self.env["g2p.envelope.import.column"].create(
            {"import_id": record.id, "place": 1, "name": "ID", "meaning": "beneficiary_id"}
        )
        record.sudo().header_row = 1
        self.env.flush_all()
        self.env.cr.execute(
            "INSERT INTO g2p_envelope_import_row (import_id, row_number, cells, problems)"
            " VALUES (%s, 2, '[\"=1\"]', 'CELL_LONG@beneficiary_id')",
            [record.id],
        )
        answer = self.url_open(url)
        self.assertEqual(
            answer.content.decode("utf-8-sig"),
            "ID,Problem\r\n'=1,Beneficiary ID (ID) is too long.\r\n",
        )
        self.assertIn("attachment", answer.headers["Content-Disposition"])
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        for kind in ("csv", "xlsx"):
            answer = self.url_open(f"/g2p_bridge/envelope_import/template.{kind}")
            self.assertEqual(answer.status_code, 200)
            self.assertIn(f"payments.{kind}", answer.headers["Content-Disposition"])
        self.assertEqual(self.url_open("/g2p_bridge/envelope_import/template.pdf").status_code, 404)
        self.assertEqual(
            self.url_open("/g2p_bridge/envelope_import/999999/bad_rows").status_code, 404
        )

    def test_who_is_no_officer_downloads_nothing(self):
        new_test_user(
            self.env, "tour_viewer", password="tour_viewer", groups="g2p_bridge.group_viewer"
        )
        record = self.env["g2p.envelope.import"].create(
            {"program_id": self.program.id, "cycle_code_mnemonic": "1"}
        )
        self.authenticate("tour_viewer", "tour_viewer")
        with mute_logger("odoo.http"):
            for path in ("template.csv", f"{record.id}/bad_rows"):
                answer = self.url_open(f"/g2p_bridge/envelope_import/{path}")
                self.assertEqual(answer.status_code, 403)
