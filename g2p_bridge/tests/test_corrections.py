from decimal import Decimal

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.tests.common import trap_jobs

from .reissue_case import ReissueCase
from .statement_case import entry


@tagged("post_install", "-at_install")
class TestCorrections(ReissueCase):
    """The program system corrects whom it pays: once, by the rules of an officer's reissue."""

    def correct(self, *rows, user=None, **arguments):
        """Have rows corrected by the program system; return the answer."""
        bridge = self.env["g2p.bridge"].with_user(user or self.pbms_user)
        self.env.flush_all()
        with trap_jobs() as trap:
            answer = bridge.correct_disbursements(list(rows), **arguments)
        self.env.flush_all()
        self.env.invalidate_all()
        self.jobs = trap.enqueued_jobs
        return answer

    def assertCorrectionRefused(self, code, *rows, **arguments):
        """Assert that a correction is refused and changed nothing; return its row errors."""
        before = self.money()
        self.env.flush_all()
        with trap_jobs():
            errors = self.assertRefused(
                code, self.api.correct_disbursements, list(rows), **arguments
            )
        self.assertEqual(self.money(), before)
        return errors

    def money(self):
        self.env.flush_all()
        return self.env.execute_query(
            SQL("SELECT id, state, amount, reissue_of_id FROM g2p_disbursement ORDER BY id")
        )

    def row(self, payment, **values):
        return {"disbursement_id": payment.disbursement_id, **values}

    def new_envelope(self):
        return self.env["g2p.disbursement.envelope"].search(
            [("reissued_from_id", "!=", False)], order="id desc", limit=1
        )

    def unresolved_envelope(self, count=2, state="approved", **values):
        with trap_jobs():
            envelope = self.create_full_envelope(
                count, **{"cycle_code_mnemonic": "2026-12", **values}
            )
        self.env["g2p.disbursement"]._bulk_transition(
            "unresolved",
            SQL("d.envelope_id = %s", envelope.id),
            cause="test",
            assign=SQL("reason_code = 'succ.fa.not_linked_to_id', reason = 'no link'"),
        )
        envelope.write({"state": state})
        return envelope

    # -- what is corrected ----------------------------------------------------------------------

    def test_a_corrected_person_is_paid_the_same_sum_by_a_new_envelope(self):
        [answer] = self.correct(
            self.row(self.refused, beneficiary_id="BEN-NEW", beneficiary_name="Amina Diallo"),
            reason="moved to another bank",
        )
        new = self.new_envelope()
        [copy] = self.disbursements(new)
        self.assertEqual(
            answer,
            {
                "disbursement_id": self.refused.disbursement_id,
                "mis_reference_number": self.refused.mis_reference_number,
                "correction": "reissued",
                "reissued_as_disbursement_id": copy.disbursement_id,
                "reissued_as_disbursement_envelope_id": new.disbursement_envelope_id,
                "response_error_codes": [],
            },
        )
        self.assertEqual(copy.reissue_of_id, self.refused)
        self.assertEqual((copy.beneficiary_id, copy.beneficiary_name), ("BEN-NEW", "Amina Diallo"))
        self.assertEqual(copy.narrative, self.refused.narrative)
        self.assertEqual((copy.amount, copy.state), (100, "received"))
        self.assertEqual(self.refused.beneficiary_id, "BEN3")  # the original stays as it was
        self.assertEqual(
            (new.number_of_disbursements, new.total_disbursement_amount, new.state),
            (1, 100, "ready"),
        )
        self.assertEqual(new.reissue_reason, "moved to another bank")
        self.assertEqual(new.reissued_from_id, self.envelope)
        self.assertTrue(new.is_correction)
        self.assertEqual(self.broken_rules(), set())

    def test_what_is_not_corrected_is_tried_again_as_it_was(self):
        self.correct(self.row(self.refused), self.row(self.returned, narrative="Arrears"))
        returned, refused = self.disbursements(self.new_envelope())
        self.assertEqual(refused.beneficiary_id, self.refused.beneficiary_id)
        self.assertEqual((returned.narrative, refused.narrative), ("Arrears", "Monthly grant"))
        self.assertEqual(self.new_envelope().total_disbursement_amount, 200)
        self.assertEqual(self.broken_rules(), set())

    def test_two_originals_of_one_person_count_as_one_beneficiary(self):
        self.correct(
            self.row(self.refused, beneficiary_id="SAME"),
            self.row(self.returned, beneficiary_id="SAME"),
        )
        self.assertEqual(self.new_envelope().number_of_beneficiaries, 1)

    def test_the_amount_is_never_changed(self):
        for values in (
            {"disbursement_amount": 101},
            {"disbursement_amount": 100},
            {"amount": "5"},
            {"mis_reference_number": "OTHER"},
        ):
            with self.subTest(**values):
                [error] = self.assertCorrectionRefused(
                    "INVALID_DISBURSEMENT_PAYLOAD", self.row(self.refused, **values)
                )
                self.assertEqual(error["response_error_codes"], ["FIELD_NOT_CORRECTABLE"])

    # -- once -----------------------------------------------------------------------------------

    def test_a_payment_is_corrected_once_while_its_reissue_lives(self):
        self.correct(self.row(self.refused))
        [error] = self.assertCorrectionRefused(
            "INVALID_DISBURSEMENT_PAYLOAD", self.row(self.refused)
        )
        self.assertEqual(error["response_error_codes"], ["DISBURSEMENT_ALREADY_REISSUED"])
        self.new_envelope()._set_cancelled("wrong day", "test")
        self.env.flush_all()
        self.correct(self.row(self.refused, beneficiary_id="BEN-NEW"))
        self.assertEqual(self.broken_rules(), set())

    def test_what_an_officer_reissued_is_not_corrected_and_the_other_way_round(self):
        self.reissue({"ids": [self.refused.id]}, expected=(1, Decimal(100)))
        [error] = self.assertCorrectionRefused(
            "INVALID_DISBURSEMENT_PAYLOAD", self.row(self.refused)
        )
        self.assertEqual(error["response_error_codes"], ["DISBURSEMENT_ALREADY_REISSUED"])
        self.correct(self.row(self.returned))
        with self.assertRaisesRegex(UserError, "changed meanwhile"):
            self.reissue({"ids": [self.returned.id]}, expected=(1, Decimal(100)))

    def test_while_an_officer_s_reissue_is_being_filled_a_correction_waits(self):
        self.envelope.reissue_ids = self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": "UNDERWAY",
                "program_id": self.program.id,
                "funding_account_id": self.account.id,
                "currency_id": self.currency.id,
                "cycle_code_mnemonic": "x",
                "disbursement_schedule_date": "2026-11-26",
                "reissued_from_id": self.envelope.id,
            }
        )
        self.assertCorrectionRefused("REISSUE_UNDER_WAY", self.row(self.refused))

    def test_the_same_call_under_the_same_key_is_done_once(self):
        rows = [self.row(self.refused, beneficiary_id="BEN-NEW"), self.row(self.returned)]
        first = self.correct(*rows, idempotency_key="K1")
        before = self.money()
        self.assertEqual(self.correct(*rows, idempotency_key="K1"), first)
        self.assertEqual(self.money(), before)
        # also when that envelope was cancelled since: the key stands for what was done then
        self.new_envelope()._set_cancelled("wrong day", "test")
        self.env.flush_all()
        self.assertEqual(self.correct(*rows, idempotency_key="K1"), first)
        rows[0]["beneficiary_id"] = "BEN-OTHER"
        self.assertCorrectionRefused("IDEMPOTENCY_KEY_REUSED", *rows, idempotency_key="K1")
        self.assertEqual(self.broken_rules(), set())

    def test_all_rows_or_none(self):
        errors = self.assertCorrectionRefused(
            "INVALID_DISBURSEMENT_PAYLOAD",
            self.row(self.refused),
            self.row(self.paid, beneficiary_id="BEN-NEW"),
        )
        self.assertEqual(
            errors,
            [
                {
                    "index": 1,
                    "disbursement_id": self.paid.disbursement_id,
                    "response_error_codes": ["DISBURSEMENT_NOT_CORRECTABLE"],
                }
            ],
        )
        self.assertFalse(self.new_envelope())

    def test_what_may_still_be_paid_is_never_corrected(self):
        for state in ("received", "resolved", "batched", "sent", "unknown", "reconciled"):
            with self.subTest(state=state):
                self.env.cr.execute(
                    "UPDATE g2p_disbursement SET state = %s WHERE id = %s",
                    [state, self.refused.id],
                )
                self.env.invalidate_all()
                self.assertCorrectionRefused(
                    "INVALID_DISBURSEMENT_PAYLOAD",
                    self.row(self.refused, beneficiary_id="BEN-NEW"),
                )

    def test_what_the_program_withdrew_or_an_officer_left_to_it_is_not_paid_by_us(self):
        with trap_jobs():
            self.envelope.with_user(self.officer)._hand_back("rejected", "AC04", "by cheque")
        self.env.flush_all()
        [error] = self.assertCorrectionRefused(
            "INVALID_DISBURSEMENT_PAYLOAD", self.row(self.refused)
        )
        self.assertEqual(error["response_error_codes"], ["DISBURSEMENT_LEFT_TO_PROGRAM"])
        envelope = self.unresolved_envelope()
        payment = self.disbursements(envelope)[0]
        with trap_jobs():
            self.api.cancel_disbursements([payment.disbursement_id])
        [error] = self.assertCorrectionRefused("INVALID_DISBURSEMENT_PAYLOAD", self.row(payment))
        self.assertEqual(error["response_error_codes"], ["DISBURSEMENT_NOT_CORRECTABLE"])

    # -- what the bank's statements say ---------------------------------------------------------

    def test_what_the_bank_shows_as_paid_is_not_paid_again(self):
        self.book(entry("D", 100, self.ids[2]), number="2/1")
        [error] = self.assertCorrectionRefused(
            "INVALID_DISBURSEMENT_PAYLOAD", self.row(self.refused, beneficiary_id="BEN-NEW")
        )
        self.assertEqual(error["response_error_codes"], ["DISBURSEMENT_SHOWN_AS_PAID"])
        self.book(entry("C", 100, self.ids[2]), number="3/1")  # it came back
        self.correct(self.row(self.refused, beneficiary_id="BEN-NEW"))

    def test_a_late_statement_stops_the_corrected_payment_before_it_is_sent(self):
        self.correct(self.row(self.refused, beneficiary_id="BEN-NEW"))
        new = self.new_envelope()
        self.env["g2p.disbursement"]._bulk_transition(
            "resolved", SQL("d.envelope_id = %s", new.id), cause="test"
        )
        new.write({"state": "funds_blocked", "funds_blocked_reference_number": "B2"})
        with trap_jobs():
            new._form_batches()
        self.assertEqual(new.batch_ids.state, "ready")
        self.book(entry("D", 100, self.ids[2]), number="2/1")
        with trap_jobs():
            new.batch_ids._disburse_funds_from_bank()
        self.assertEqual((new.state, new.attention_code), ("needs_attention", "REISSUE_DISPUTED"))
        self.assertFalse(new.call_ids)

    # -- a second person ------------------------------------------------------------------------

    def test_a_corrected_payment_waits_for_approval_where_the_program_asks_for_it(self):
        self.program.approval_required = True
        self.addCleanup(setattr, self.program, "approval_required", False)
        self.correct(self.row(self.refused, beneficiary_id="BEN-NEW"))
        new = self.new_envelope()
        with trap_jobs():
            new._advance()
        self.assertEqual((new.state, new.created_by_id), ("ready", self.pbms_user))
        with trap_jobs():
            new.with_user(self.approver).action_approve()
        self.assertEqual(new.state, "approved")
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET beneficiary_id = 'THIEF' WHERE envelope_id = %s", [new.id]
        )
        self.env.invalidate_all()
        self.assertFalse(new._check_approval())

    def test_nobody_but_the_program_s_own_user_corrects(self):
        for user in (self.officer, self.bank_user):
            with self.assertRaises(AccessError):
                self.correct(self.row(self.refused), user=user)
        self.program.api_user_ids = self.pbms_user
        other = self.create_user("other_pbms", "g2p_bridge.group_pbms_api")
        self.env.flush_all()
        self.assertRefused(
            "INVALID_DISBURSEMENT_ID",
            self.env["g2p.bridge"].with_user(other).correct_disbursements,
            [self.row(self.refused)],
        )

    def test_an_officer_cannot_change_the_person_of_a_reissue(self):
        """The ledger finds it: only a program system says whom it pays."""
        new = self.reissue()
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET beneficiary_id = 'X' WHERE envelope_id = %s", [new.id]
        )
        self.assertIn("REISSUE_DIFFERS", self.broken_rules())

    def test_the_ledger_finds_a_correction_of_another_amount_or_reference(self):
        self.correct(self.row(self.refused, beneficiary_id="BEN-NEW"))
        new = self.new_envelope()
        for change in (
            "UPDATE g2p_disbursement SET amount = 99 WHERE envelope_id = %s",
            "UPDATE g2p_disbursement SET mis_reference_number = 'X' WHERE envelope_id = %s",
        ):
            with self.subTest(change), self.env.cr.savepoint() as savepoint:
                self.env.cr.execute(change, [new.id])
                self.assertIn("REISSUE_DIFFERS", self.broken_rules())
                savepoint.rollback()

    # -- without account ------------------------------------------------------------------------

    def test_whose_account_is_known_by_now_is_looked_up_again_and_stays_itself(self):
        envelope = self.unresolved_envelope()
        first, second = self.disbursements(envelope)
        [answer] = self.correct(
            self.row(first, beneficiary_id=first.beneficiary_id), idempotency_key="K1"
        )
        self.assertEqual(
            (answer["correction"], answer["reissued_as_disbursement_id"]), ("looked_up_again", "")
        )
        self.assertEqual(
            {job.method_name for job in self.jobs if job.recordset == envelope}, {"_resolve"}
        )
        self.assertFalse(self.new_envelope())
        self.assertStates(envelope, "unresolved", "unresolved")
        self.link(first.beneficiary_id)
        with trap_jobs():
            envelope._resolve(first.id, second.id, ["received", "unresolved"])
        self.assertStates(envelope, "resolved", "unresolved")
        # a repeat whose first answer was lost gets it, though the payment goes its way by now
        again = self.correct(
            self.row(first, beneficiary_id=first.beneficiary_id), idempotency_key="K1"
        )
        self.assertEqual(again, [answer])
        self.assertEqual(self.broken_rules(), set())

    def test_who_is_another_person_is_left_out_and_paid_by_the_new_envelope(self):
        envelope = self.unresolved_envelope()
        first, second = self.disbursements(envelope)
        payable = envelope._payable_amount()
        answers = self.correct(self.row(first, beneficiary_id="BEN-NEW"), self.row(second))
        self.assertEqual(
            [answer["correction"] for answer in answers], ["reissued", "looked_up_again"]
        )
        self.assertStates(envelope, "cancelled", "unresolved")
        self.assertEqual(first.reason_code, "LEFT_OUT")
        [copy] = self.disbursements(self.new_envelope())
        self.assertEqual((copy.beneficiary_id, copy.reissue_of_id), ("BEN-NEW", first))
        # the same money, once: what one envelope pays less the other one pays
        self.assertEqual(
            envelope._payable_amount() + self.new_envelope()._payable_amount(), payable
        )
        self.assertEqual(self.broken_rules(), set())

    def test_who_got_an_account_meanwhile_is_not_left_out(self):
        envelope = self.unresolved_envelope()
        first, _second = self.disbursements(envelope)
        found = envelope._find_correctable([first.disbursement_id])
        self.env["g2p.disbursement"]._bulk_transition(
            "resolved", SQL("d.id = %s", first.id), cause="test"
        )
        with trap_jobs():
            done = envelope._correct(
                [found[first.disbursement_id]], [("BEN-NEW", None, None)], None, "x", {}
            )
        self.assertIsNone(done)
        self.assertCorrectionRefused(
            "INVALID_DISBURSEMENT_PAYLOAD", self.row(first, beneficiary_id="BEN-NEW")
        )

    def test_an_approved_envelope_that_a_person_is_taken_from_needs_approval_anew(self):
        self.program.approval_required = True
        self.addCleanup(setattr, self.program, "approval_required", False)
        envelope = self.unresolved_envelope(state="ready")
        with trap_jobs():
            envelope.with_user(self.approver).action_approve()
        first, _second = self.disbursements(envelope)
        self.correct(self.row(first, beneficiary_id="BEN-NEW"))
        self.assertIn("_recheck_approval", {job.method_name for job in self.jobs})
        envelope._recheck_approval()
        self.assertEqual(envelope.attention_code, "APPROVAL_VOID")

    # -- wrong calls ----------------------------------------------------------------------------

    def test_wrong_calls_are_refused_with_their_codes(self):
        good = self.row(self.refused)
        other = self.unresolved_envelope()
        foreign = self.row(self.disbursements(other)[0])
        for rows, arguments, code in (
            ([], {}, "EMPTY_DISBURSEMENT_PAYLOAD"),
            ([good, good], {}, "INVALID_DISBURSEMENT_PAYLOAD"),
            ([{"disbursement_id": "NOBODYS"}], {}, "INVALID_DISBURSEMENT_ID"),
            ([good, foreign], {}, "MULTIPLE_ENVELOPES_FOUND"),
            (
                [good],
                {"disbursement_schedule_date": "2001-01-01"},
                "INVALID_DISBURSEMENT_SCHEDULE_DATE",
            ),
            ([good], {"disbursement_schedule_date": 5}, "INVALID_DISBURSEMENT_SCHEDULE_DATE"),
            ([good], {"reason": "x" * 501}, "INVALID_REASON"),
            ([good], {"idempotency_key": 7}, "INVALID_IDEMPOTENCY_KEY"),
        ):
            with self.subTest(code=code, **arguments):
                self.assertCorrectionRefused(code, *rows, **arguments)
        for values, code in (
            ({"beneficiary_id": 0}, "INVALID_BENEFICIARY_ID"),
            ({"beneficiary_id": "x\n"}, "INVALID_BENEFICIARY_ID"),
            ({"beneficiary_name": ["x"]}, "INVALID_BENEFICIARY_NAME"),
            ({"narrative": "x" * 141}, "INVALID_NARRATIVE"),
        ):
            with self.subTest(**values):
                [error] = self.assertCorrectionRefused(
                    "INVALID_DISBURSEMENT_PAYLOAD", self.row(self.refused, **values)
                )
                self.assertEqual(error["response_error_codes"], [code])

    def test_nothing_is_corrected_in_a_cancelled_envelope(self):
        envelope = self.unresolved_envelope()
        payment = self.disbursements(envelope)[0]
        with trap_jobs():
            envelope._set_cancelled("not this month", "test")
        self.env.flush_all()
        self.assertCorrectionRefused(
            "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED", self.row(payment, beneficiary_id="X")
        )

    def test_the_number_of_queries_is_the_same_however_many_are_corrected(self):
        def count(envelope):
            rows = [
                self.row(payment, beneficiary_id=f"NEW{payment.id}")
                for payment in self.disbursements(envelope)
            ]
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.correct(*rows)
            return self.env.cr.sql_log_count - before

        envelopes = [
            self.unresolved_envelope(size, cycle_code_mnemonic=f"c{number}")
            for number, size in enumerate((2, 2, 60))
        ]
        count(envelopes[0])
        few, many = count(envelopes[1]), count(envelopes[2])
        self.assertEqual(few, many)
