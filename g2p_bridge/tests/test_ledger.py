from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models.ledger_rules import RULES

from .pipeline_case import PipelineCase
from .statement_case import StatementCase, entry

#: rule -> what somebody with the database in hands does to break just that
BREAKAGES = {
    "STATES_DIFFER": "UPDATE g2p_disbursement SET state = 'reconciled' WHERE state = 'reversed'",
    "DECLARED_DIFFERS": "UPDATE g2p_disbursement_envelope SET number_of_disbursements = 4",
    "BATCH_DIFFERS": "UPDATE g2p_disbursement_batch SET total_amount = total_amount + 1",
    "PAYMENT_STATE": "UPDATE g2p_disbursement SET batch_id = NULL WHERE state = 'sent'",
    "ACKNOWLEDGEMENT_DIFFERS": "UPDATE g2p_disbursement_batch SET bank_reference = 'NO SUCH'",
    "ANSWER_NOT_BOOKED": """
        UPDATE g2p_disbursement_batch SET state = 'ready';
        UPDATE g2p_bank_call SET answered_at = answered_at - interval '2 hours'""",
    "ORDERED_TWICE": """
        INSERT INTO g2p_bank_call (idempotency_key, operation, state, batch_id, envelope_id)
        SELECT 'another', operation, state, batch_id, envelope_id FROM g2p_bank_call
         WHERE operation = 'initiate_payment' LIMIT 1""",
    "PAID_WITHOUT_ACCOUNT": "UPDATE g2p_disbursement SET fa_type = NULL WHERE state = 'sent'",
    "PAID_WITHOUT_BLOCK": "UPDATE g2p_disbursement_envelope SET funds_blocked_amount = 299",
    "STATEMENT_DIFFERS": """
        UPDATE g2p_account_statement_line SET outcome = 'error' WHERE outcome = 'reversed'""",
    "ENTRY_DIFFERS": "UPDATE g2p_account_statement_line SET amount = 1 WHERE mark = 'RD'",
    "STATEMENT_SUM": "UPDATE g2p_account_statement SET closing_balance = closing_balance + 1",
    "REISSUE_DIFFERS": """
        UPDATE g2p_disbursement SET reissue_of_id =
               (SELECT max(id) FROM g2p_disbursement WHERE state = 'reversed')
         WHERE state = 'sent'""",
    "REISSUE_PAID_TWICE": """
        UPDATE g2p_disbursement SET reissue_of_id =
               (SELECT max(id) FROM g2p_disbursement WHERE state = 'reconciled')
         WHERE state = 'sent'""",
    "FUNDS_IDLE": """
        UPDATE g2p_disbursement_envelope
           SET state = 'settled', state_since = now() - interval '2 days'""",
}
#: rule -> what breaks another part of it than the break above
FURTHER_BREAKAGES = (
    ("STATES_DIFFER", "UPDATE g2p_disbursement SET amount = amount + 1 WHERE state = 'sent'"),
    (
        "DECLARED_DIFFERS",
        "UPDATE g2p_disbursement_envelope"
        " SET total_disbursement_amount = total_disbursement_amount + 1",
    ),
    (
        "DECLARED_DIFFERS",
        "UPDATE g2p_disbursement_envelope SET state = 'receiving', number_of_disbursements = 2",
    ),
    (
        "DECLARED_DIFFERS",
        "UPDATE g2p_disbursement_envelope SET state = 'cancelled', total_disbursement_amount = 299",
    ),
    (
        "BATCH_DIFFERS",
        "UPDATE g2p_disbursement_batch SET disbursement_count = disbursement_count + 1",
    ),
    ("PAYMENT_STATE", "UPDATE g2p_disbursement SET state = 'cancelled' WHERE state = 'sent'"),
    ("PAYMENT_STATE", "UPDATE g2p_disbursement SET state = 'batched' WHERE state = 'sent'"),
    (
        "PAYMENT_STATE",
        """UPDATE g2p_disbursement_batch SET state = 'ready';
           UPDATE g2p_disbursement SET state = 'unknown' WHERE state = 'sent'""",
    ),
    ("PAYMENT_STATE", "UPDATE g2p_disbursement SET batch_id = 0 WHERE state = 'sent'"),
    (
        "PAYMENT_STATE",
        """UPDATE g2p_disbursement_batch SET state = 'unknown';
           UPDATE g2p_disbursement SET state = 'batched' WHERE state = 'sent'""",
    ),
    (
        "ACKNOWLEDGEMENT_DIFFERS",
        "UPDATE g2p_bank_call SET state = 'unknown' WHERE operation = 'initiate_payment'",
    ),
    ("ACKNOWLEDGEMENT_DIFFERS", "DELETE FROM g2p_bank_call WHERE operation = 'initiate_payment'"),
    (
        "ACKNOWLEDGEMENT_DIFFERS",
        """UPDATE g2p_bank_call
              SET answer = jsonb_set(answer::jsonb, '{rejected}', '[["SOMEBODY", "AC01"]]')
            WHERE operation = 'initiate_payment'""",
    ),
    (
        "ANSWER_NOT_BOOKED",
        """UPDATE g2p_disbursement_batch SET state = 'unknown';
           UPDATE g2p_bank_call
              SET state = 'rejected', answered_at = answered_at - interval '2 hours'""",
    ),
    (
        "PAID_WITHOUT_BLOCK",
        "UPDATE g2p_disbursement_envelope SET funds_blocked_reference_number = NULL",
    ),
    (
        "STATEMENT_DIFFERS",
        """UPDATE g2p_account_statement_line SET outcome = 'error'
            WHERE id = (SELECT max(id) FROM g2p_account_statement_line
                         WHERE outcome = 'reconciled')""",
    ),
    (
        "STATEMENT_DIFFERS",
        """UPDATE g2p_account_statement_line SET matched_disbursement_id =
                  (SELECT min(id) FROM g2p_disbursement) WHERE outcome = 'reconciled'""",
    ),
    ("ENTRY_DIFFERS", "UPDATE g2p_disbursement SET state = 'sent' WHERE state = 'reversed'"),
    ("ENTRY_DIFFERS", "UPDATE g2p_account_statement SET account_id = %(account)s"),
)


@tagged("post_install", "-at_install")
class TestLedger(PipelineCase, StatementCase):
    """The invariants hold after all that our code does, and a break of each is found."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank.max_batch_size = 1000

    def setUp(self):
        super().setUp()
        first, second, _third = self.ids
        entries = [entry("D", 100, first), entry("D", 100, second), entry("RD", 100, second)]
        self.run_jobs(lambda: self.upload(self.text(entries)))

    def sent_envelope(self, count):
        """Return an envelope that went the whole way to the bank."""
        envelope = self.ready_envelope(count)
        self.run_envelope(envelope)
        return envelope

    def check(self, envelopes=None):
        self.env.invalidate_all()
        return self.env["g2p.ledger.difference"]._check(envelopes)

    def break_books(self, sql):
        self.env.flush_all()
        self.env.cr.execute(SQL(sql))

    def rules_broken(self):
        return set(self.check().mapped("rule"))

    def test_what_our_code_did_ties(self):
        self.assertStates(self.envelope, "reconciled", "reversed", "sent")
        self.assertFalse(self.check())
        self.assertFalse(self.check(self.envelope))

    def test_every_rule_has_a_break_that_it_finds(self):
        self.assertEqual(set(BREAKAGES), {rule.code for rule in RULES})
        for code, sql in BREAKAGES.items():
            with self.subTest(code):
                savepoint = self.env.cr.savepoint(flush=False)
                with savepoint:
                    self.break_books(sql)
                    self.assertIn(code, self.rules_broken())
                    savepoint.rollback()
                self.env.invalidate_all()
        self.assertFalse(self.check())

    def test_each_part_of_a_rule_has_a_break_that_it_finds(self):
        """A rule of several conditions is not tested by a break of one of them."""
        other = self.create_account(self.bank, name="Other", account_number="TEST0002")
        for code, sql in FURTHER_BREAKAGES:
            with self.subTest(code=code, sql=sql):
                savepoint = self.env.cr.savepoint(flush=False)
                with savepoint:
                    self.env.flush_all()
                    self.env.cr.execute(sql, {"account": other.id})
                    self.assertIn(code, self.rules_broken())
                    savepoint.rollback()
                self.env.invalidate_all()
        self.assertFalse(self.check())

    def test_a_difference_is_kept_once_and_goes_by_itself(self):
        self.break_books("UPDATE g2p_disbursement_batch SET total_amount = total_amount + 1")
        [difference] = self.check()
        self.assertEqual(difference.batch_id, self.envelope.batch_ids)
        self.assertEqual((difference.expected, difference.found), ("3 / 301.00", "3 / 300.00"))
        self.assertEqual(self.check(), difference)
        self.assertEqual(self.envelope.ledger_difference_count, 1)
        self.break_books("UPDATE g2p_disbursement_batch SET total_amount = total_amount - 1")
        self.assertFalse(self.check())
        self.assertTrue(difference.is_gone)
        self.assertEqual(self.envelope.ledger_difference_count, 0)

    def test_the_check_of_one_envelope_leaves_the_differences_of_others(self):
        self.break_books("UPDATE g2p_disbursement_batch SET total_amount = total_amount + 1")
        [difference] = self.check()
        other = self.create_envelope(cycle_code_mnemonic="other")
        self.assertFalse(self.check(other))
        self.assertFalse(difference.is_gone)

    def test_an_officer_checks_an_envelope_and_sees_what_differs(self):
        envelope = self.envelope.with_user(self.officer)
        self.assertEqual(envelope.action_check_ledger()["params"]["type"], "success")
        self.break_books("UPDATE g2p_disbursement_batch SET total_amount = total_amount + 1")
        self.env.invalidate_all()
        with self.assertLogs("odoo.addons.g2p_bridge", "WARNING") as logs:
            action = envelope.action_check_ledger()
        self.assertIn("BATCH_DIFFERS", logs.output[0])
        found = self.env["g2p.ledger.difference"].with_user(self.officer).search(action["domain"])
        self.assertEqual(found.rule, "BATCH_DIFFERS")

    def test_a_viewer_sees_differences_and_checks_nothing(self):
        viewer = self.create_user("test_viewer", "g2p_bridge.group_viewer")
        with self.assertRaises(AccessError):
            self.envelope.with_user(viewer).action_check_ledger()
        with self.assertRaises(AccessError):
            self.env["g2p.ledger.difference"].with_user(viewer).action_check_all()

    def test_cancelled_and_withdrawn_payments_tie_as_well(self):
        envelope = self.create_envelope(3, cycle_code_mnemonic="other")
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
        withdrawn = self.disbursements(envelope)[0]
        self.api.cancel_disbursements([withdrawn.disbursement_id])
        self.assertFalse(self.check())
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2, first=3))
        self.assertFalse(self.check())
        self.run_envelope(envelope)
        self.assertFalse(self.check())
        cancelled = self.create_full_envelope(2, cycle_code_mnemonic="third")
        self.api.cancel_disbursement_envelope(cancelled.disbursement_envelope_id)
        self.assertFalse(self.check())

    def test_a_block_released_in_time_is_no_difference(self):
        self.break_books(
            "UPDATE g2p_disbursement_envelope SET state_since = now() - interval '2 days'"
        )
        self.fake.supports_release = False
        self.envelope.write({"state": "settled"})
        self.assertFalse(self.check(), "a bank without release is no fault of ours")
        self.fake.supports_release = True
        self.envelope.state_since = fields.Datetime.now() - timedelta(hours=1)
        self.assertFalse(self.check(), "the release has its time")
