from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestNotices(StatementCase):
    """One activity for each case, which ends with it; one e-mail a day, if anything changed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.responsible = cls.create_user("notice_officer", "g2p_bridge.group_officer")
        cls.responsible.email = "officer@example.org"
        cls.approver = cls.create_user("notice_approver", "g2p_bridge.group_approver")
        cls.approver.email = "approver@example.org"
        cls.program.responsible_ids = cls.responsible
        cls.notices = cls.env["g2p.notice"]

    def setUp(self):
        super().setUp()
        self.update()  # whatever the database holds already is no news of ours

    def update(self):
        self.env.flush_all()
        self.env.invalidate_all()
        result = self.notices._update()
        self.env.flush_all()
        return result

    def open_kinds(self, record=None):
        record = record or self.envelope
        field = {"g2p.disbursement.envelope": "envelope_id", "g2p.sponsor.bank": "bank_id"}
        column = field.get(record._name, "account_id")
        domain = [(column, "=", record.id), ("closed_at", "=", False)]
        return self.notices.search(domain).mapped("kind")

    def activities(self, user, record=None):
        record = record or self.envelope
        return self.env["mail.activity"].search(
            [
                ("res_model", "=", record._name),
                ("res_id", "=", record.id),
                ("user_id", "=", user.id),
            ]
        )

    def in_trouble(self, code="FUNDS_NOT_AVAILABLE", envelope=None):
        envelope = envelope or self.envelope
        envelope._set_needs_attention(code, "Nothing is there")
        return envelope

    # -- cases ----------------------------------------------------------------------------------

    def test_missing_funds_are_told_once_and_end_by_themselves(self):
        self.in_trouble()
        opened, closed = self.update()
        self.assertEqual((opened.mapped("kind"), closed.ids), (["funds"], []))
        [activity] = self.activities(self.responsible)
        self.assertEqual(activity.summary, "Funds are missing")
        self.assertFalse(self.activities(self.approver))
        for _number in range(3):  # it lasts
            self.assertEqual(tuple(map(len, self.update())), (0, 0))
        self.assertEqual(len(self.activities(self.responsible)), 1)
        self.envelope._set_resumed()
        opened, closed = self.update()
        self.assertEqual((opened.ids, closed.mapped("kind")), ([], ["funds"]))
        self.assertFalse(self.activities(self.responsible))

    def test_what_comes_back_is_a_new_case(self):
        self.in_trouble()
        self.update()
        self.envelope._set_resumed()
        self.update()
        self.in_trouble()
        self.assertEqual(len(self.update()[0]), 1)
        self.assertEqual(len(self.activities(self.responsible)), 1)

    def test_what_somebody_ticked_off_is_not_told_again(self):
        self.in_trouble()
        self.update()
        self.activities(self.responsible).action_feedback(feedback="I phone the treasury")
        self.update()
        self.assertFalse(self.activities(self.responsible))
        self.assertEqual(self.open_kinds(), ["funds"])

    def test_other_trouble_needs_attention(self):
        self.in_trouble("STEP_FAILED")
        self.update()
        self.assertEqual(self.open_kinds(), ["attention"])

    def test_an_unknown_batch_needs_attention(self):
        batch = self.env["g2p.disbursement.batch"].create(
            {"name": "NOTICE-2", "envelope_id": self.envelope.id}
        )
        batch._set_unknown("ReadTimeout", "No answer")
        self.update()
        self.assertEqual(self.open_kinds(), ["attention"])
        batch._set_acknowledged({"reference": "", "rejected": []})
        self.update()
        self.assertEqual(self.open_kinds(), [])

    def approval_envelope(self):
        self.program.approval_required = True
        with trap_jobs():
            return self.create_full_envelope(cycle_code_mnemonic="APPROVE")

    def test_an_approval_that_waits_is_told_to_approvers(self):
        self.program.responsible_ids = self.responsible | self.approver
        envelope = self.approval_envelope()
        self.update()
        self.assertEqual(self.open_kinds(envelope), ["approval"])
        self.assertTrue(self.activities(self.approver, envelope))
        self.assertFalse(self.activities(self.responsible, envelope))
        with trap_jobs():
            envelope.with_user(self.approver).action_approve()
        self.update()
        self.assertEqual(self.open_kinds(envelope), [])
        self.assertFalse(self.activities(self.approver, envelope))

    def test_whoever_created_an_envelope_is_not_asked_to_approve_it(self):
        self.program.responsible_ids = self.approver
        envelope = self.approval_envelope()
        envelope.created_by_id = self.approver
        self.update()
        self.assertFalse(self.activities(self.approver, envelope))
        self.assertTrue(self.activities(self.env.ref("base.user_admin"), envelope))

    def test_where_no_approver_is_responsible_administrators_are_asked(self):
        envelope = self.approval_envelope()
        self.update()
        self.assertFalse(self.activities(self.responsible, envelope))
        self.assertTrue(self.activities(self.env.ref("base.user_admin"), envelope))

    def bank_down(self, minutes):
        now = fields.Datetime.now()
        return self.env["g2p.bank.health"].create(
            {
                "bank_id": self.bank.id,
                "company_id": self.bank.company_id.id,
                "down_since": now - timedelta(minutes=minutes),
                "open_until": now,
                "failure_count": 9,
                "last_error_code": "ConnectTimeout",
            }
        )

    def test_a_bank_that_is_down_is_told_once_for_all_its_envelopes(self):
        health = self.bank_down(minutes=6)
        self.in_trouble("BANK_UNAVAILABLE")
        self.update()
        self.assertEqual((self.open_kinds(self.bank), self.open_kinds()), (["bank_down"], []))
        [activity] = self.activities(self.responsible, self.bank)
        self.assertEqual(activity.summary, "Does not answer")
        health.open_until = False
        self.update()
        self.assertEqual(self.open_kinds(self.bank), [])
        self.assertEqual(self.open_kinds(), ["attention"])  # the envelope still waits

    def test_a_bank_that_is_down_for_a_moment_is_no_news(self):
        self.bank_down(minutes=1)
        self.update()
        self.assertEqual(self.open_kinds(self.bank), [])

    def sent_days_ago(self, days):
        self.envelope.disbursement_schedule_date = fields.Date.today() - timedelta(days=days)
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_disbursement_journal SET created_at = %s WHERE envelope_id = %s",
                fields.Datetime.now() - timedelta(days=days),
                self.envelope.id,
            )
        )

    def test_a_late_statement_is_told_until_it_comes(self):
        self.bank.float_days = 0
        self.sent_days_ago(3)
        self.update()
        self.assertEqual(self.open_kinds(self.account), [])
        self.sent_days_ago(4)
        self.update()
        self.assertEqual(self.open_kinds(self.account), ["statement_late"])
        self.assertTrue(self.activities(self.responsible, self.account))
        self.book(entry("D", 100, self.ids[0]), day=f"{fields.Date.today():%y%m%d}")
        self.update()
        self.assertEqual(self.open_kinds(self.account), [])

    def test_settled_is_news_and_no_work(self):
        self.envelope.write({"state": "settled", "state_since": fields.Datetime.now()})
        for _number in range(2):
            self.update()
        notice = self.notices.search([("envelope_id", "=", self.envelope.id)])
        self.assertEqual((notice.kind, bool(notice.closed_at)), ("settled", True))
        self.assertFalse(self.activities(self.responsible))

    # -- people ---------------------------------------------------------------------------------

    def test_without_responsible_people_administrators_are_told(self):
        self.program.responsible_ids = False
        self.in_trouble()
        self.update()
        self.assertTrue(self.activities(self.env.ref("base.user_admin")))
        self.assertFalse(self.activities(self.responsible))
        self.assertFalse(self.activities(self.env.ref("base.user_root")))

    def test_people_of_another_company_are_told_nothing(self):
        company = self.env["res.company"].create({"name": "Other ministry"})
        self.responsible.write({"company_ids": [(6, 0, company.ids)], "company_id": company.id})
        self.in_trouble()
        self.update()
        self.assertFalse(self.activities(self.responsible))

    # -- cost -----------------------------------------------------------------------------------

    def test_cases_that_last_cost_no_query_more(self):
        self.in_trouble()
        self.update()
        self.update()
        with self.assertQueryCount(6):
            self.notices._update()
            self.env.flush_all()
        for number in range(5):
            envelope = self.sent_envelope_of(f"CYCLE{number}")
            self.in_trouble(envelope=envelope)
        self.update()
        self.assertEqual(len(self.notices.search([("closed_at", "=", False)])), 6)
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertQueryCount(6):
            self.notices._update()
            self.env.flush_all()

    def sent_envelope_of(self, cycle):
        with trap_jobs():
            envelope = self.create_envelope(1, cycle_code_mnemonic=cycle)
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(1))
        return envelope

    # -- digest ---------------------------------------------------------------------------------

    @staticmethod
    def noon():
        """Return noon of tomorrow: after all that a test does, whenever it runs."""
        return fields.Datetime.now().replace(hour=12) + timedelta(days=1)

    def send(self, at=None):
        """Run the cron of the e-mails; return those that were written."""
        before = self.env["mail.mail"].search([])
        now = at or self.noon()
        with patch.object(fields.Datetime, "now", return_value=now):
            self.notices._cron_send_digests()
        self.env.flush_all()
        return self.env["mail.mail"].search([("id", "not in", before.ids)])

    def to(self, mails, user):
        return mails.filtered(lambda mail: user.partner_id in mail.recipient_ids)

    def test_a_digest_says_what_changed_and_only_once_a_day(self):
        self.in_trouble()
        self.update()
        [mail] = self.to(self.send(), self.responsible)
        self.assertIn("(1)", mail.subject)
        body = str(mail.body_html)
        for text in (
            "Funds are missing",
            "Test program, 2026-11",
            "3 payments",
            "Nothing is there",
        ):
            self.assertIn(text, body)
        self.assertIn(f"model=g2p.disbursement.envelope&amp;res_id={self.envelope.id}", body)
        self.assertFalse(self.to(self.send(), self.responsible))

    def test_what_was_told_is_not_told_the_next_day_but_its_end_is(self):
        self.in_trouble()
        self.update()
        now = self.noon()
        self.assertTrue(self.to(self.send(now), self.responsible))
        self.assertFalse(self.to(self.send(now + timedelta(days=1)), self.responsible))
        self.envelope._set_resumed()
        self.update()
        self.notices.search([("envelope_id", "=", self.envelope.id)]).write(
            {"closed_at": now + timedelta(hours=30)}
        )
        [mail] = self.to(self.send(now + timedelta(days=2)), self.responsible)
        self.assertIn("Solved meanwhile", str(mail.body_html))
        self.assertNotIn("Waits for somebody", str(mail.body_html))

    def test_without_news_there_is_no_mail(self):
        self.assertFalse(self.to(self.send(), self.responsible))

    def test_settled_is_in_the_digest(self):
        self.envelope.write({"state": "settled", "state_since": fields.Datetime.now()})
        self.update()
        [mail] = self.to(self.send(), self.responsible)
        self.assertIn("Settled</h3>", str(mail.body_html))

    def test_who_switched_it_off_gets_none(self):
        self.in_trouble()
        self.update()
        self.responsible.with_user(self.responsible).write({"g2p_digest": False})
        self.assertFalse(self.to(self.send(), self.responsible))

    def test_nobody_gets_it_before_the_hour_or_where_it_is_off(self):
        self.in_trouble()
        self.update()
        parameters = self.env["ir.config_parameter"]
        parameters.set_param("g2p_bridge.digest_hour", "23")
        self.assertFalse(self.to(self.send(), self.responsible))
        parameters.set_param("g2p_bridge.digest_hour", "0")
        self.assertFalse(self.to(self.send(), self.responsible))
        parameters.set_param("g2p_bridge.digest_hour", "12")
        self.assertTrue(self.to(self.send(), self.responsible))

    def test_the_hour_is_that_of_the_reader(self):
        self.in_trouble()
        self.update()
        self.responsible.tz = "America/Lima"  # noon in UTC is seven there
        self.env["ir.config_parameter"].set_param("g2p_bridge.digest_hour", "8")
        now = self.noon()
        self.assertFalse(self.to(self.send(now), self.responsible))
        self.assertTrue(self.to(self.send(now + timedelta(hours=1)), self.responsible))

    def test_right_to_left_readers_get_it_from_right_to_left(self):
        self.env["res.lang"]._activate_lang("ar_001")
        self.responsible.lang = "ar_001"
        self.in_trouble()
        self.update()
        [mail] = self.to(self.send(), self.responsible)
        self.assertIn('dir="rtl"', str(mail.body_html))

    def test_names_of_callers_are_text_in_it(self):
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_disbursement_envelope SET cycle_code_mnemonic = %s WHERE id = %s",
                "<img src=x>",
                self.envelope.id,
            )
        )
        self.in_trouble()
        self.update()
        [mail] = self.to(self.send(), self.responsible)
        self.assertNotIn("<img src=x>", str(mail.body_html))
        self.assertIn("&lt;img src=x&gt;", str(mail.body_html))
