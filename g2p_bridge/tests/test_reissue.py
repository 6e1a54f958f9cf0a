from datetime import timedelta
from decimal import Decimal

from psycopg2 import IntegrityError

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged
from odoo.tools import SQL, mute_logger

from odoo.addons.g2p_bridge.models import g2p_reissue
from odoo.addons.queue_job.tests.common import trap_jobs

from .reissue_case import ReissueCase
from .statement_case import entry


@tagged("post_install", "-at_install")
class TestReissue(ReissueCase):
    """What did not arrive is paid again once, by an envelope like any other."""

    def test_a_list_that_hands_over_only_a_part_is_told_so(self):
        payments = self.returned + self.refused
        self.assertEqual(len(payments), 2)
        parameters = self.env["ir.config_parameter"].sudo()
        parameters.set_param("web.active_ids_limit", 2)
        with self.assertRaisesRegex(UserError, "at most 2 payments at once"):
            payments.with_user(self.officer).action_reissue()
        parameters.set_param("web.active_ids_limit", 3)
        action = payments.with_user(self.officer).action_reissue()
        self.assertEqual(action["context"]["g2p_payment_ids"], payments.ids)

    # -- what is reissued -----------------------------------------------------------------------

    def test_returned_and_refused_payments_become_a_new_envelope_of_the_same_sum(self):
        new = self.reissue()
        copies = self.disbursements(new)
        originals = self.returned + self.refused
        self.assertEqual(copies.reissue_of_id, originals)
        for name in ("amount", "mis_reference_number", "beneficiary_id", "beneficiary_name"):
            self.assertEqual(copies.mapped(name), originals.mapped(name))
        self.assertEqual(set(copies.mapped("state")), {"received"})
        self.assertFalse(set(copies.mapped("disbursement_id")) & set(self.ids))
        self.assertEqual(
            (new.number_of_disbursements, new.total_disbursement_amount, new.state),
            (2, 200, "ready"),
        )
        self.assertEqual(new.number_of_beneficiaries, 2)
        self.assertEqual((new.total_received_count, new.total_received_amount), (2, 200))
        self.assertEqual(new.cycle_code_mnemonic, self.envelope.cycle_code_mnemonic)
        self.assertEqual(self.broken_rules(), set())

    def test_it_is_linked_both_ways(self):
        new = self.reissue()
        self.assertEqual(new.reissued_from_id, self.envelope)
        self.assertEqual(self.envelope.reissue_ids, new)
        self.assertEqual(self.returned.reissue_id.reissue_of_id, self.returned)
        self.assertEqual(self.returned.reissue_id.envelope_id, new)
        self.assertEqual(new.reissue_reason, "account corrected")
        self.assertIn("account corrected", self.envelope.message_ids[0].body)

    def test_a_part_is_chosen_by_reason_or_by_payment(self):
        new = self.reissue({"groups": [["rejected", "AC04"]]}, expected=(1, Decimal(100)))
        self.assertEqual(self.disbursements(new).reissue_of_id, self.refused)
        new = self.reissue({"ids": [self.returned.id]}, expected=(1, Decimal(100)))
        self.assertEqual(self.disbursements(new).reissue_of_id, self.returned)

    def test_a_payment_that_may_still_be_paid_is_never_reissued(self):
        other = self.sent_envelope(3)
        payments = self.disbursements(other)
        for state in ("received", "unresolved", "resolved", "batched", "sent", "unknown"):
            with self.subTest(state=state):
                self.env.cr.execute(
                    "UPDATE g2p_disbursement SET state = %s WHERE id = ANY(%s)",
                    [state, payments.ids],
                )
                self.env.invalidate_all()
                self.assertFalse(other._find_reissuable())
                with self.assertRaisesRegex(UserError, "changed meanwhile"):
                    self.reissue(envelope=other, expected=(3, Decimal(300)))
        self.assertFalse(other.reissue_ids)

    def test_a_paid_payment_is_never_reissued_whatever_is_asked_for(self):
        with self.assertRaisesRegex(UserError, "changed meanwhile"):
            self.reissue({"ids": [self.paid.id]}, expected=(1, Decimal(100)))
        with self.assertRaisesRegex(UserError, "nothing to reissue"):
            self.reissue({"ids": [self.paid.id]}, expected=(0, Decimal(0)))

    def test_a_payment_cancelled_by_the_program_is_not_reissued_one_left_out_is(self):
        other = self.create_full_envelope(2, cycle_code_mnemonic="2026-12")
        withdrawn, left_out = self.disbursements(other)
        payments = self.env["g2p.disbursement"]
        payments._bulk_transition("cancelled", SQL("d.id = %s", withdrawn.id), cause="test")
        payments._bulk_transition(
            "cancelled",
            SQL("d.id = %s", left_out.id),
            cause="test",
            assign=SQL("reason_code = 'LEFT_OUT'"),
        )
        new = self.reissue(envelope=other, expected=(1, Decimal(100)))
        self.assertEqual(self.disbursements(new).reissue_of_id, left_out)

    # -- once -----------------------------------------------------------------------------------

    def test_a_payment_is_reissued_once_while_its_reissue_lives(self):
        self.reissue()
        self.assertFalse(self.envelope._find_reissuable())
        with self.assertRaisesRegex(UserError, "changed meanwhile"):
            self.reissue()
        self.assertEqual(len(self.envelope.reissue_ids), 1)

    def test_the_database_refuses_a_second_living_reissue(self):
        first = self.reissue()
        [copy] = self.disbursements(first).filtered(lambda p: p.reissue_of_id == self.refused)
        with (
            self.assertRaises(IntegrityError),
            mute_logger("odoo.sql_db"),
            self.env.cr.savepoint(),
        ):
            self.env.cr.execute(
                "UPDATE g2p_disbursement SET reissue_of_id = %s WHERE id = %s",
                [copy.reissue_of_id.id, self.paid.id],
            )

    def test_once_its_reissue_is_cancelled_a_payment_can_be_reissued_again(self):
        first = self.reissue()
        first._set_cancelled("wrong day", "test")
        self.env.flush_all()
        self.assertFalse(self.returned.reissue_id)
        second = self.reissue()
        self.assertEqual(self.disbursements(second).reissue_of_id, self.returned + self.refused)
        self.assertEqual(self.broken_rules(), set())

    def test_a_reissue_that_comes_back_is_reissued_itself(self):
        new = self.reissue()
        self.send_all(new)
        copies = self.disbursements(new)
        self.env["g2p.disbursement"]._bulk_transition(
            "rejected", SQL("d.id = %s", copies[0].id), cause="test"
        )
        self.assertFalse(self.envelope._find_reissuable())
        third = self.reissue(envelope=new, expected=(1, Decimal(100)))
        self.assertEqual(self.disbursements(third).reissue_of_id, copies[0])
        self.assertEqual(third.reissued_from_id, new)

    def test_a_slice_whose_payments_were_reissued_by_another_is_refused_whole(self):
        """What two officers at once would do if they got past every look: the index decides."""
        first = self.reissue()
        second = self.reissue_of_nothing()
        with self.assertRaisesRegex(UserError, "meanwhile"):
            second._copy_originals((self.returned + self.refused).ids)
        self.assertEqual(len(self.disbursements(first)), 2)
        self.assertFalse(self.disbursements(second))

    def reissue_of_nothing(self):
        """Return an open reissue that is still empty."""
        return self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": "REISSUETESTEMPTY",
                "program_id": self.program.id,
                "funding_account_id": self.account.id,
                "currency_id": self.currency.id,
                "disbursement_frequency": "Monthly",
                "cycle_code_mnemonic": "2026-11",
                "number_of_beneficiaries": 2,
                "number_of_disbursements": 2,
                "total_disbursement_amount": 200,
                "disbursement_schedule_date": fields.Date.today(),
                "created_by_id": self.officer.id,
                "reissued_from_id": self.envelope.id,
                "reissue_selection": {},
                "reissue_asked_at": fields.Datetime.now(),
            }
        )

    # -- what the bank's statements say ---------------------------------------------------------

    def test_a_refused_payment_that_the_bank_debited_is_not_reissued(self):
        [line] = self.book(entry("D", 100, self.ids[2]), number="2/1").line_ids
        self.assertEqual(line.error_reason, "REJECTED_DISBURSEMENT")
        self.assertEqual([g[0] for g in self.envelope._find_reissuable()], ["reversed"])
        self.assertEqual(self.envelope._count_not_reissuable(), (0, 1))
        line.with_user(self.officer)._dismiss("no idea")
        self.env.flush_all()
        self.assertEqual([g[0] for g in self.envelope._find_reissuable()], ["reversed"])

    def test_once_that_debit_came_back_it_is(self):
        self.book(entry("D", 100, self.ids[2]), number="2/1")
        self.book(entry("C", 100, self.ids[2]), number="3/1")
        self.assertEqual({g[0] for g in self.envelope._find_reissuable()}, {"reversed", "rejected"})

    def test_a_return_that_the_bank_took_back_is_no_return(self):
        [line] = self.book(entry("RC", 100, self.ids[1]), number="2/1").line_ids
        self.assertEqual(line.error_reason, "REVERSED_CREDIT")
        self.assertEqual([g[0] for g in self.envelope._find_reissuable()], ["rejected"])

    def test_a_second_debit_stops_it_until_somebody_says_that_it_is_the_first_one_again(self):
        [line] = self.book(entry("D", 100, self.ids[1]), number="2/1").line_ids
        self.assertEqual(line.error_reason, "DUPLICATE_DISBURSEMENT")
        self.assertEqual([g[0] for g in self.envelope._find_reissuable()], ["rejected"])
        line.with_user(self.officer)._dismiss("the corrected statement")
        self.env.flush_all()
        self.assertEqual({g[0] for g in self.envelope._find_reissuable()}, {"reversed", "rejected"})

    def test_what_turns_out_to_be_paid_after_the_reissue_is_not_batched(self):
        new = self.reissue()
        self.env["g2p.disbursement"]._bulk_transition(
            "resolved", SQL("d.envelope_id = %s", new.id), cause="test"
        )
        self.book(entry("RC", 100, self.ids[1]), number="2/1")
        new.write({"state": "funds_blocked", "funds_blocked_reference_number": "B2"})
        with trap_jobs():
            new._form_batches()
        self.assertEqual((new.state, new.attention_code), ("needs_attention", "REISSUE_DISPUTED"))
        self.assertIn(self.ids[1], new.attention_message)
        self.assertFalse(new.batch_ids)
        self.assertStates(new, "resolved", "resolved")

    def test_nor_is_its_batch_sent_that_stands_ready(self):
        new = self.reissue()
        self.env["g2p.disbursement"]._bulk_transition(
            "resolved", SQL("d.envelope_id = %s", new.id), cause="test"
        )
        new.write({"state": "funds_blocked", "funds_blocked_reference_number": "B2"})
        with trap_jobs():
            new._form_batches()
        self.assertEqual(new.batch_ids.state, "ready")
        self.book(entry("D", 100, self.ids[2]), number="2/1")
        with trap_jobs():
            self.assertEqual(new.batch_ids._disburse_funds_from_bank(), "waits for approval")
        self.assertEqual(new.attention_code, "REISSUE_DISPUTED")
        self.assertFalse(new.call_ids)

    def test_the_ledger_finds_a_payment_that_went_out_twice(self):
        new = self.reissue()
        self.send_all(new)
        self.assertFalse(self.broken_rules() & {"REISSUE_DIFFERS", "REISSUE_PAID_TWICE"})
        self.book(entry("D", 100, self.ids[2]), number="2/1")
        self.assertIn("REISSUE_PAID_TWICE", self.broken_rules())

    def test_the_ledger_finds_a_reissue_that_is_not_as_its_original(self):
        new = self.reissue()
        for change in (
            "UPDATE g2p_disbursement SET amount = 101 WHERE envelope_id = %s",
            "UPDATE g2p_disbursement SET beneficiary_id = 'X' WHERE envelope_id = %s",
            "UPDATE g2p_disbursement_envelope SET reissued_from_id = NULL WHERE id = %s",
        ):
            with self.subTest(change), self.env.cr.savepoint() as savepoint:
                self.env.cr.execute(change, [new.id])
                self.assertIn("REISSUE_DIFFERS", self.broken_rules())
                savepoint.rollback()
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET state = 'sent' WHERE id = %s", [self.refused.id]
        )
        self.assertIn("REISSUE_DIFFERS", self.broken_rules())

    # -- who and when ---------------------------------------------------------------------------

    def test_whoever_reissued_cannot_approve_it(self):
        self.program.approval_required = True
        self.addCleanup(setattr, self.program, "approval_required", False)
        new = self.reissue(user=self.approver)
        self.assertEqual(new.created_by_id, self.approver)
        with self.assertRaises(AccessError):
            new.with_user(self.approver).action_approve()
        second = self.create_user("test_approver_2", "g2p_bridge.group_approver")
        with trap_jobs():
            new.with_user(second).action_approve()
        self.assertEqual(new.state, "approved")

    def test_nobody_but_officers_reissues(self):
        viewer = self.create_user("test_viewer", "g2p_bridge.group_viewer")
        for user in (viewer, self.pbms_user):
            with self.assertRaises(AccessError):
                self.reissue(user=user)
        with self.assertRaises(AccessError):
            self.returned.with_user(viewer).action_reissue()
        self.assertFalse(self.envelope.reissue_ids)

    def test_what_changed_since_the_officer_looked_is_not_reissued(self):
        for expected in ((1, Decimal(200)), (2, Decimal("200.01")), (3, Decimal(300))):
            with self.assertRaisesRegex(UserError, "2 payments"):
                self.reissue(expected=expected)

    def test_it_is_paid_today_or_later_in_the_account_s_currency(self):
        envelope = self.envelope.with_user(self.officer)
        yesterday = fields.Date.today() - timedelta(days=2)
        with self.assertRaisesRegex(UserError, "today or later"):
            envelope._reissue(None, yesterday, "x", (2, Decimal(200)))
        self.program.active = False
        with self.assertRaisesRegex(UserError, "archived"):
            self.reissue()

    # -- slices ---------------------------------------------------------------------------------

    def sliced(self, size):
        """Have a transaction take no more than ``size`` payments."""
        before = g2p_reissue.REISSUE_SLICE
        g2p_reissue.REISSUE_SLICE = size
        self.addCleanup(setattr, g2p_reissue, "REISSUE_SLICE", before)

    def returned_envelope(self, count):
        envelope = self.sent_envelope(count)
        self.env["g2p.disbursement"]._bulk_transition(
            "rejected", SQL("d.envelope_id = %s", envelope.id), cause="test"
        )
        return envelope

    def run_slices(self, new):
        """Run the jobs that fill an envelope, and one more; return how many there were."""
        number, is_due = 0, True
        while is_due:
            with trap_jobs() as trap:
                new._take_originals()
            self.env.flush_all()
            self.env.invalidate_all()
            number += 1
            is_due = any(job.method_name == "_take_originals" for job in trap.enqueued_jobs)
        self.assertRegex(new._take_originals(), "not due")
        return number

    def test_many_are_taken_in_slices_that_may_run_again(self):
        self.sliced(2)
        source = self.returned_envelope(5)
        new = self.reissue(envelope=source, expected=(5, Decimal(500)))
        self.assertEqual((new.state, new.total_received_count), ("receiving", 0))
        self.assertEqual(self.run_slices(new), 3)
        self.assertEqual((new.state, new.total_received_count), ("ready", 5))
        self.assertEqual(self.disbursements(new).reissue_of_id, self.disbursements(source))
        self.assertEqual(self.broken_rules(), set())

    def test_the_cron_goes_on_with_one_whose_job_was_lost(self):
        self.sliced(2)
        new = self.reissue(envelope=self.returned_envelope(5), expected=(5, Decimal(500)))
        with trap_jobs():
            new._take_originals()
        self.env["queue.job"].search([]).unlink()
        self.assertIn(new, self.env["g2p.disbursement.envelope"]._find_due(500))
        with trap_jobs() as trap:
            new._advance()
        trap.assert_jobs_count(1, only=new._take_originals)
        self.run_slices(new)
        self.assertEqual((new.state, new.total_received_count), ("ready", 5))

    def test_a_slice_of_exactly_the_size_ends_well(self):
        self.sliced(2)
        new = self.reissue(envelope=self.returned_envelope(4), expected=(4, Decimal(400)))
        self.run_slices(new)
        self.assertEqual((new.state, new.total_received_count), ("ready", 4))

    def test_while_one_is_made_no_other_begins(self):
        self.sliced(1)
        source = self.returned_envelope(3)
        self.reissue(envelope=source, expected=(3, Decimal(300)))
        with self.assertRaisesRegex(UserError, "under way"):
            self.reissue(envelope=source, expected=(3, Decimal(300)))

    def test_what_ends_unpaid_after_the_officer_looked_is_not_taken_along(self):
        self.sliced(1)
        source = self.returned_envelope(3)
        new = self.reissue(envelope=source, expected=(3, Decimal(300)))
        late = self.disbursements(source)[2]
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET state_since = now() + interval '1 hour' WHERE id = %s",
            [late.id],
        )
        with self.assertRaisesRegex(UserError, "meanwhile"):
            self.run_slices(new)
        new._on_reissue_failed(exc_message="meanwhile")
        self.assertEqual(new.state, "cancelled")
        self.assertEqual(set(self.disbursements(new).mapped("state")), {"cancelled"})
        self.assertEqual(len(source._find_reissuable()), 1)

    def test_an_envelope_cancelled_while_it_is_filled_stays_as_it_is(self):
        self.sliced(1)
        new = self.reissue(envelope=self.returned_envelope(3), expected=(3, Decimal(300)))
        with trap_jobs():
            new._take_originals()
        new._set_cancelled("no", "test")
        self.assertEqual(new._take_originals(), "not due (cancelled)")
        self.assertEqual(len(self.disbursements(new)), 1)

    def test_what_the_program_cancels_meanwhile_is_no_part_of_it(self):
        self.sliced(2)
        new = self.reissue(envelope=self.returned_envelope(3), expected=(3, Decimal(300)))
        with trap_jobs():
            new._take_originals()
        first = self.disbursements(new)[0]
        self.api.cancel_disbursements([first.disbursement_id], "no")
        self.run_slices(new)
        self.assertEqual((new.state, new.number_of_disbursements), ("ready", 2))
        self.assertEqual(new.total_disbursement_amount, 200)
        self.assertEqual(self.broken_rules(), set())

    def test_as_many_queries_for_many_as_for_few(self):
        counts = []
        for number in (3, 30):
            source = self.returned_envelope(number)
            self.reissue(envelope=source, expected=(number, Decimal(100 * number)))
            source.reissue_ids._set_cancelled("again", "test")
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            self.reissue(envelope=source, expected=(number, Decimal(100 * number)))
            counts.append(self.env.cr.sql_log_count - before)
        self.assertEqual(counts[0], counts[1])

    # -- the program system ---------------------------------------------------------------------

    def test_the_program_system_sees_what_was_reissued_as_what(self):
        page = self.api.get_disbursement_changes(limit=10_000)
        new = self.reissue()
        copy = self.returned.reissue_id
        answer, paid = self.api.get_disbursement_status([self.ids[1], self.ids[0]])
        self.assertEqual(answer["reissued_as_disbursement_id"], copy.disbursement_id)
        self.assertEqual(answer["status"], "reversed")
        self.assertEqual(paid["reissued_as_disbursement_id"], "")
        [answer] = self.api.get_disbursement_status([copy.disbursement_id])
        self.assertEqual(answer["reissue_of_disbursement_id"], self.ids[1])
        self.assertTrue(page["cursor"])
        # its number is of this transaction: the feed gives it once that is committed
        self.env.cr.execute("SELECT pg_current_xact_id()::text::bigint")
        self.assertEqual(self.returned.changed_xid, self.env.cr.fetchone()[0])
        status = self.api.get_disbursement_envelope_status(new.disbursement_envelope_id)
        self.assertEqual(status["number_of_disbursements_received"], 2)

    def test_the_program_system_can_add_nothing_to_a_reissue(self):
        self.sliced(1)
        new = self.reissue(envelope=self.returned_envelope(3), expected=(3, Decimal(300)))
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_COMPLETE",
            self.api.create_disbursements,
            new.disbursement_envelope_id,
            self.rows(1, first=9),
        )
        new.disbursement_schedule_date = fields.Date.today() + timedelta(days=3)
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_COMPLETE",
            self.api.amend_disbursement_envelope,
            new.disbursement_envelope_id,
            number_of_disbursements=9,
        )

    # -- the wizard -----------------------------------------------------------------------------

    def test_the_wizard_says_what_will_happen_and_opens_the_new_envelope(self):
        wizard = self.wizard()
        self.assertEqual((wizard.payment_count, wizard.payment_amount), (2, 200))
        self.assertEqual(
            [(g.state, g.reason_code, g.payment_count) for g in wizard.group_ids],
            [("rejected", "AC04", 1), ("reversed", "Monthly grant", 1)],
        )
        with trap_jobs():
            action = wizard.action_reissue()
        new = self.env["g2p.disbursement.envelope"].browse(action["res_id"])
        self.assertEqual((new.state, new.number_of_disbursements), ("ready", 2))

    def test_a_code_that_came_without_words_is_put_in_words(self):
        self.refused.sudo().reason = False
        self.env.flush_all()
        groups = self.wizard().group_ids
        refused = groups.filtered(lambda group: group.reason_code == "AC04")
        self.assertEqual(refused.reason, "account closed")

    def test_groups_are_chosen_in_the_form(self):
        form = Form(
            self.env["g2p.reissue"]
            .with_user(self.officer)
            .with_context(default_envelope_id=self.envelope.id)
        )
        with form.group_ids.edit(1) as group:
            group.is_chosen = False
        self.assertEqual((form.payment_count, form.payment_amount), (1, 100))
        form.reason = "account corrected"
        wizard = form.save()
        with trap_jobs():
            action = wizard.action_reissue()
        new = self.env["g2p.disbursement.envelope"].browse(action["res_id"])
        self.assertEqual(self.disbursements(new).reissue_of_id, self.refused)

    def test_one_payment_is_reissued_from_its_form(self):
        action = self.returned.with_user(self.officer).action_reissue()
        wizard = self.wizard(**action["context"])
        self.assertEqual(wizard.payment_count, 1)
        with trap_jobs():
            wizard.action_reissue()
        self.assertTrue(self.returned.reissue_id)
        self.assertFalse(self.refused.reissue_id)
