from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .common import PBMS_GROUP
from .pipeline_case import PipelineCase

KEYS = [
    "bank",
    "account",
    "test_call",
    "mapper",
    "links",
    "program",
    "api_user",
    "jobs",
    "cron",
    "envelope",
]


@tagged("post_install", "-at_install")
class TestSetupChecklist(PipelineCase):
    """Each step knows when it is done, and says what is wrong until then."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.administrator = cls.create_user(
            "test_administrator", "g2p_bridge.group_administrator,base.group_system"
        )
        # another company is an installation where nothing is there yet
        cls.company = cls.env["res.company"].create({"name": "Empty ministry"})
        cls.administrator.company_ids += cls.company
        cls.officer.company_ids += cls.company

    def steps(self, user=None, company=None):
        self.env.flush_all()
        self.env.invalidate_all()
        checklist = self.env["g2p.setup.checklist"].with_user(user or self.administrator)
        company = company or self.company
        with trap_jobs():
            steps = checklist.with_context(allowed_company_ids=company.ids).get_steps()
        self.assertEqual([step["key"] for step in steps], KEYS)
        for step in steps:
            self.assertTrue(step["name"] and step["help"])
            self.assertIsInstance(step["done"], bool)
        return {step["key"]: step for step in steps}

    def in_company(self, model):
        return self.env[model].with_company(self.company)

    def test_nothing_is_done_where_nothing_is(self):
        steps = self.steps()
        done = {key for key, step in steps.items() if step["done"]}
        self.assertLessEqual(done, {"cron", "jobs"})  # of the server, not of the company
        for key, model in (
            ("bank", "g2p.sponsor.bank"),
            ("account", "g2p.funding.account"),
            ("mapper", "g2p.account.mapper"),
            ("program", "g2p.benefit.program"),
        ):
            action = steps[key]["action"]
            self.assertEqual((action["res_model"], action["view_mode"]), (model, "form"))
            self.assertFalse(action["res_id"])

    def test_each_record_gets_its_step_done(self):
        bank = self.in_company("g2p.sponsor.bank").create(
            {"name": "New bank", "code": "NEW", "company_id": self.company.id}
        )
        step = self.steps()["bank"]
        self.assertFalse(step["done"])
        self.assertIn("New bank has no connector", step["help"])
        self.assertEqual(step["action"]["res_id"], bank.id)
        bank.connector = "fake"
        self.assertIn("no base URL", self.steps()["bank"]["help"])
        bank.base_url = "https://bank.invalid"
        self.assertTrue(self.steps()["bank"]["done"])

        account = self.create_account(bank, account_number="NEW1")
        step = self.steps()
        self.assertTrue(step["account"]["done"])
        self.assertFalse(step["test_call"]["done"])
        self.assertEqual(step["test_call"]["action"]["res_id"], account.id)

        mapper = self.in_company("g2p.account.mapper").create(
            {"name": "Table", "company_id": self.company.id}
        )
        steps = self.steps()
        self.assertEqual((steps["mapper"]["done"], steps["links"]["done"]), (True, False))
        self.env["g2p.account.link"].create(
            {"mapper_id": mapper.id, "beneficiary_id": "B", "account_number": "A1"}
        )
        self.assertTrue(self.steps()["links"]["done"])

        self.env["g2p.benefit.program"].create(
            {
                "name": "New",
                "mnemonic": "NEW",
                "company_id": self.company.id,
                "funding_account_id": account.id,
                "mapper_id": mapper.id,
            }
        )
        self.assertTrue(self.steps()["program"]["done"])

    def test_a_test_call_that_the_bank_answered_is_done(self):
        company = self.bank.company_id
        self.administrator.company_ids += company
        self.assertFalse(self.steps(company=company)["test_call"]["done"])
        self.bank.base_url = "https://bank.invalid"
        self.account.with_user(self.officer).action_test_connection()
        self.assertEqual(self.fake.call_count("check_funds"), 1)
        self.assertTrue(self.steps(company=company)["test_call"]["done"])

    def test_programs_that_look_nobody_up_need_no_mapper(self):
        bank = self.in_company("g2p.sponsor.bank").create(
            {"name": "New bank", "code": "NEW", "company_id": self.company.id}
        )
        self.env["g2p.benefit.program"].create(
            {
                "name": "New",
                "mnemonic": "NEW",
                "company_id": self.company.id,
                "funding_account_id": self.create_account(bank, account_number="N").id,
                "id_mapper_resolution_required": False,
            }
        )
        steps = self.steps()
        self.assertEqual((steps["mapper"]["done"], steps["links"]["done"]), (True, True))
        self.assertIn("Not needed", steps["mapper"]["help"])

    def test_a_mapper_over_http_is_tested_rather_than_filled(self):
        mapper = self.in_company("g2p.account.mapper").create(
            {
                "name": "SPAR",
                "company_id": self.company.id,
                "provider": "g2p_connect",
                "base_url": "https://spar.invalid",
            }
        )
        step = self.steps()["links"]
        self.assertEqual((step["done"], step["action"]["res_id"]), (False, mapper.id))
        self.assertIn("Test connection", step["help"])

    def test_an_api_user_counts_with_its_key(self):
        user = self.create_user("new_pbms", PBMS_GROUP)
        user.write({"company_id": self.company.id, "company_ids": [(6, 0, self.company.ids)]})
        step = self.steps()["api_user"]
        self.assertFalse(step["done"])
        self.assertIn("has no API key", step["help"])
        self.env["res.users.apikeys"].with_user(user).sudo()._generate(
            "rpc", "test", fields.Datetime.now() + timedelta(days=9)
        )
        self.assertTrue(self.steps()["api_user"]["done"])

    # -- machinery ------------------------------------------------------------------------------

    def set_jobs(self, state=None, age=0):
        """Have no job in the queue but one of ours, if any."""
        self.env.cr.execute("DELETE FROM queue_job")
        if state:
            at = fields.Datetime.now() - timedelta(seconds=age)
            self.env.cr.execute(
                SQL(
                    "INSERT INTO queue_job (uuid, state, date_created, date_done, model_name,"
                    " method_name) VALUES ('u', %s, %s, %s, 'g2p.setup.checklist', '_heartbeat')",
                    state,
                    at,
                    at if state == "done" else None,
                )
            )

    def test_a_job_that_ended_lately_shows_the_runner(self):
        self.set_jobs("done", age=30)
        self.assertTrue(self.steps()["jobs"]["done"])
        self.set_jobs("done", age=3600)
        self.assertFalse(self.steps()["jobs"]["done"])

    def test_a_job_that_waits_for_long_shows_that_there_is_no_runner(self):
        self.set_jobs("pending", age=300)
        step = self.steps()["jobs"]
        self.assertFalse(step["done"])
        self.assertIn("1 jobs wait and none is run", step["help"])

    def test_where_no_job_is_known_one_is_tried_once(self):
        self.set_jobs()
        checklist = self.env["g2p.setup.checklist"].with_user(self.administrator)
        with trap_jobs() as trap:
            checklist.get_steps()
            trap.assert_jobs_count(1, only=checklist._heartbeat)
            trap.perform_enqueued_jobs()
        self.set_jobs("pending", age=5)
        with trap_jobs() as trap:
            checklist.get_steps()
            trap.assert_jobs_count(0)

    def test_a_cron_that_does_not_run_is_told(self):
        cron = self.env.ref("g2p_bridge.cron_find_due_work")
        cron.lastcall = fields.Datetime.now()
        self.assertTrue(self.steps()["cron"]["done"])
        cron.lastcall = fields.Datetime.now() - timedelta(hours=1)
        step = self.steps()["cron"]
        self.assertFalse(step["done"])
        self.assertIn("--max-cron-threads", step["help"])
        cron.write({"active": False, "lastcall": fields.Datetime.now()})
        step = self.steps()["cron"]
        self.assertFalse(step["done"])
        self.assertIn("switched off", step["help"])

    def test_an_envelope_ends_it(self):
        company = self.bank.company_id
        self.assertFalse(self.steps(company=company)["envelope"]["done"])
        self.create_envelope()
        self.assertTrue(self.steps(company=company)["envelope"]["done"])

    # -- roles ----------------------------------------------------------------------------------

    def test_others_than_administrators_read_it_and_open_nothing(self):
        for step in self.steps(self.officer).values():
            self.assertIs(step["action"], False)

    def test_who_has_no_role_reads_nothing(self):
        for user in (self.pbms_user, self.create_user("stranger", "base.group_user")):
            with self.assertRaises(AccessError):
                self.env["g2p.setup.checklist"].with_user(user).get_steps()
