from datetime import timedelta

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged

from .common import BridgeCommon


@tagged("post_install", "-at_install")
class TestCreateEnvelope(BridgeCommon):
    """What create_disbursement_envelope takes, refuses and answers."""

    def refused(self, code, **values):
        before = self.env["g2p.disbursement.envelope"].search_count([])
        request = self.envelope_request(**values)
        self.assertRefused(code, self.api.create_disbursement_envelope, **request)
        self.assertEqual(self.env["g2p.disbursement.envelope"].search_count([]), before)

    def test_the_answer_has_the_captured_fields(self):
        answer = self.api.create_disbursement_envelope(**self.envelope_request())
        envelope_id = answer.pop("disbursement_envelope_id")
        self.assertRegex(envelope_id, r"^[A-Z0-9]{16}$")
        self.assertEqual(answer, {**self.envelope_request(), "total_disbursement_amount": 300.0})

    def test_an_unknown_program_is_refused(self):
        for value in ("NOPE", "", None, 7, ["TESTPROG"]):
            self.refused("INVALID_PROGRAM_MNEMONIC", benefit_program_mnemonic=value)

    def test_a_frequency_outside_the_list_is_refused(self):
        for value in ("Hourly", "", None, []):
            self.refused("INVALID_DISBURSEMENT_FREQUENCY", disbursement_frequency=value)

    def test_every_frequency_of_the_list_is_taken(self):
        for value in ("Daily", "Weekly", "Fortnightly", "BiMonthly", "Quarterly", "OnDemand"):
            self.api.create_disbursement_envelope(
                **self.envelope_request(disbursement_frequency=value)
            )

    def test_an_empty_cycle_code_is_refused(self):
        for value in ("", "  ", None, 3, "a\x00b", "x" * 129):
            self.refused("INVALID_CYCLE_CODE_MNEMONIC", cycle_code_mnemonic=value)

    def test_a_wrong_number_of_beneficiaries_is_refused(self):
        for value in (0, -1, 1.5, "3", True, None, 2**31):
            self.refused("INVALID_NO_OF_BENEFICIARIES", number_of_beneficiaries=value)

    def test_a_wrong_number_of_disbursements_is_refused(self):
        for value in (0, -1, 1.5, "3", True, None, float("nan"), float("inf")):
            self.refused("INVALID_NO_OF_DISBURSEMENTS", number_of_disbursements=value)

    def test_a_wrong_total_is_refused(self):
        for value in (0, -1, "x", True, None, 10.999, "1e3", float("nan"), [], "10,00"):
            self.refused("INVALID_TOTAL_DISBURSEMENT_AMOUNT", total_disbursement_amount=value)

    def test_cents_of_a_total_are_kept(self):
        for value in (10.99, "10.99"):
            answer = self.api.create_disbursement_envelope(
                **self.envelope_request(total_disbursement_amount=value)
            )
            self.assertEqual(answer["total_disbursement_amount"], 10.99)

    def test_a_schedule_date_in_the_past_or_of_another_form_is_refused(self):
        yesterday = (fields.Date.today() - timedelta(days=1)).isoformat()
        for value in (yesterday, "", None, "23.11.2026", "2099-02-30", 20991231, "2099-1-1"):
            self.refused("INVALID_DISBURSEMENT_SCHEDULE_DATE", disbursement_schedule_date=value)

    def test_a_currency_other_than_the_accounts_is_refused(self):
        for value in ("EUR", "usd", "", None):
            self.refused("INVALID_DISBURSEMENT_CURRENCY_CODE", disbursement_currency_code=value)

    def test_a_repeat_with_the_same_key_gets_the_first_answer(self):
        request = self.envelope_request(idempotency_key="once")
        first = self.api.create_disbursement_envelope(**request)
        self.env.flush_all()  # as a commit does
        before = self.env["g2p.disbursement.envelope"].search_count([])
        self.assertEqual(self.api.create_disbursement_envelope(**request), first)
        self.assertEqual(self.env["g2p.disbursement.envelope"].search_count([]), before)

    def test_a_repeat_on_the_next_day_gets_the_first_answer_too(self):
        """An answer lost before midnight can be had after it; a new envelope for the day cannot."""
        request = self.envelope_request(idempotency_key="late")
        request["disbursement_schedule_date"] = fields.Date.today().isoformat()
        first = self.api.create_disbursement_envelope(**request)
        self.env.flush_all()
        with freeze_time(fields.Datetime.now() + timedelta(days=1)):
            self.assertEqual(self.api.create_disbursement_envelope(**request), first)
            self.assertRefused(
                "INVALID_DISBURSEMENT_SCHEDULE_DATE",
                self.api.create_disbursement_envelope,
                **{**request, "idempotency_key": "new"},
            )

    def test_the_same_key_with_other_content_is_refused(self):
        self.api.create_disbursement_envelope(**self.envelope_request(idempotency_key="once"))
        self.env.flush_all()
        self.refused("IDEMPOTENCY_KEY_REUSED", idempotency_key="once", number_of_disbursements=4)
        self.refused("INVALID_IDEMPOTENCY_KEY", idempotency_key=7)

    def test_without_a_key_a_repeat_is_another_envelope(self):
        first = self.api.create_disbursement_envelope(**self.envelope_request())
        second = self.api.create_disbursement_envelope(**self.envelope_request())
        self.assertNotEqual(first["disbursement_envelope_id"], second["disbursement_envelope_id"])

    def test_a_caller_without_the_group_gets_an_access_error(self):
        for user in (self.bank_user, self.officer):
            with self.assertRaises(AccessError):
                self.env["g2p.bridge"].with_user(user).create_disbursement_envelope(
                    **self.envelope_request()
                )

    def test_a_program_that_names_its_callers_is_hidden_from_others(self):
        envelope = self.create_envelope()
        self.program.api_user_ids = self.create_user("other_pbms", "g2p_bridge.group_pbms_api")
        self.refused("INVALID_PROGRAM_MNEMONIC")
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_NOT_FOUND",
            self.api.get_disbursement_envelope_status,
            envelope.disbursement_envelope_id,
        )


@tagged("post_install", "-at_install")
class TestAmendEnvelope(BridgeCommon):
    """Control totals and date may change before the date, while the envelope is receiving."""

    def amend(self, envelope, **values):
        return self.api.amend_disbursement_envelope(envelope.disbursement_envelope_id, **values)

    def test_totals_and_date_follow(self):
        envelope = self.create_envelope(disbursement_schedule_date=self.tomorrow())
        answer = self.amend(
            envelope,
            number_of_beneficiaries=5,
            number_of_disbursements=5,
            total_disbursement_amount="500.50",
            benefit_program_mnemonic="TESTPROG",
        )
        self.assertEqual(answer["total_disbursement_amount"], 500.5)
        self.assertEqual(
            (envelope.number_of_beneficiaries, envelope.number_of_disbursements), (5, 5)
        )

    def test_an_amendment_that_meets_what_came_completes_the_envelope(self):
        envelope = self.create_envelope(5, disbursement_schedule_date=self.tomorrow())
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(3))
        self.amend(envelope, number_of_disbursements=3, total_disbursement_amount=300)
        self.assertEqual(envelope.state, "ready")

    def test_what_is_refused(self):
        envelope = self.create_envelope(disbursement_schedule_date=self.tomorrow())
        refused = self.assertRefused
        refused("AMENDMENT_EMPTY", self.amend, envelope)
        refused("INVALID_NO_OF_DISBURSEMENTS", self.amend, envelope, number_of_disbursements=-2)
        refused(
            "INVALID_TOTAL_DISBURSEMENT_AMOUNT", self.amend, envelope, total_disbursement_amount="x"
        )
        refused(
            "INVALID_DISBURSEMENT_SCHEDULE_DATE",
            self.amend,
            envelope,
            disbursement_schedule_date="2020-01-01",
        )
        refused("INVALID_DISBURSEMENT_ENVELOPE_ID", self.api.amend_disbursement_envelope, "")
        refused(
            "DISBURSEMENT_ENVELOPE_NOT_FOUND",
            self.api.amend_disbursement_envelope,
            "no-such-envelope",
            number_of_disbursements=4,
        )

    def test_totals_below_what_came_are_refused(self):
        envelope = self.create_envelope(disbursement_schedule_date=self.tomorrow())
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
        for values in ({"number_of_disbursements": 1}, {"total_disbursement_amount": 199}):
            self.assertRefused("AMENDMENT_BELOW_RECEIVED", self.amend, envelope, **values)

    def test_a_reached_date_and_other_states_are_refused(self):
        today = self.create_envelope()
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_DATE_PASSED", self.amend, today, number_of_disbursements=4
        )
        full = self.create_full_envelope(disbursement_schedule_date=self.tomorrow())
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_COMPLETE", self.amend, full, number_of_disbursements=4
        )
        self.api.cancel_disbursement_envelope(full.disbursement_envelope_id)
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED", self.amend, full, number_of_disbursements=4
        )


@tagged("post_install", "-at_install")
class TestCancelEnvelope(BridgeCommon):
    """An envelope is cancelled whole, and only before money may have moved."""

    def cancel(self, envelope, **values):
        return self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id, **values)

    def test_its_payments_are_cancelled_too(self):
        envelope = self.create_full_envelope()
        answer = self.cancel(envelope, reason="duplicate cycle")
        self.assertEqual(answer, {"disbursement_envelope_id": envelope.disbursement_envelope_id})
        self.assertEqual((envelope.state, envelope.cancel_reason), ("cancelled", "duplicate cycle"))
        self.assertStates(envelope, *["cancelled"] * 3)

    def test_twice_is_refused(self):
        envelope = self.create_envelope()
        self.cancel(envelope)
        self.assertRefused("DISBURSEMENT_ENVELOPE_ALREADY_CANCELED", self.cancel, envelope)

    def test_an_unknown_id_is_refused(self):
        refused, call = self.assertRefused, self.api.cancel_disbursement_envelope
        refused("DISBURSEMENT_ENVELOPE_NOT_FOUND", call, "no-such-envelope")
        refused("INVALID_DISBURSEMENT_ENVELOPE_ID", call, None)
        refused("INVALID_REASON", self.cancel, self.create_envelope(), reason=7)

    def test_once_money_may_have_moved_it_is_refused(self):
        envelope = self.create_full_envelope()
        for state in ("disbursing", "disbursed", "settled"):
            envelope.state = state
            self.assertRefused("DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED", self.cancel, envelope)
        envelope.write({"state": "needs_attention", "resume_state": "disbursing"})
        self.assertRefused("DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED", self.cancel, envelope)
        self.assertStates(envelope, *["received"] * 3)

    def test_a_cancelled_envelope_takes_no_more(self):
        envelope = self.create_envelope()
        self.cancel(envelope)
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED",
            self.api.create_disbursements,
            envelope.disbursement_envelope_id,
            self.rows(1),
        )


@tagged("post_install", "-at_install")
class TestEnvelopeStatus(BridgeCommon):
    """get_disbursement_envelope_status counts what is there."""

    def test_a_fresh_envelope_answers_the_captured_fields(self):
        envelope = self.create_full_envelope(disbursement_schedule_date=self.tomorrow())
        answer = self.api.get_disbursement_envelope_status(envelope.disbursement_envelope_id)
        expected = {
            "number_of_disbursements_received": 3,
            "total_disbursement_amount_received": 300.0,
            "funds_available_with_bank": "PENDING_CHECK",
            "funds_available_latest_error_code": "",
            "funds_available_attempts": 0,
            "funds_blocked_with_bank": "PENDING_CHECK",
            "funds_blocked_attempts": 0,
            "funds_blocked_reference_number": "",
            "id_mapper_resolution_required": True,
            "number_of_disbursements_shipped": 0,
            "number_of_disbursements_reconciled": 0,
            "number_of_disbursements_reversed": 0,
            "envelope_status": "ready",
        }
        self.assertEqual({name: answer[name] for name in expected}, expected)
        self.assertNotIn(None, answer.values())

    def test_an_unknown_envelope_is_refused(self):
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_NOT_FOUND",
            self.api.get_disbursement_envelope_status,
            "no-such-envelope",
        )
