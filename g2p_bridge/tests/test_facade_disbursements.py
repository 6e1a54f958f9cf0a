from odoo.tests import tagged

from .common import BridgeCommon


@tagged("post_install", "-at_install")
class TestCreateDisbursements(BridgeCommon):
    """What create_disbursements takes, refuses and answers: all rows, or none."""

    def send(self, envelope, rows, **values):
        return self.api.create_disbursements(envelope.disbursement_envelope_id, rows, **values)

    def test_the_answer_has_the_captured_fields_in_the_order_of_the_call(self):
        envelope = self.create_envelope()
        answer = self.send(envelope, self.rows())
        self.assertEqual([row["mis_reference_number"] for row in answer], ["MIS1", "MIS2", "MIS3"])
        stored = self.disbursements(envelope)
        self.assertEqual(
            [row["disbursement_id"] for row in answer], stored.mapped("disbursement_id")
        )
        row = answer[0]
        self.assertEqual(row["disbursement_envelope_id"], envelope.disbursement_envelope_id)
        self.assertEqual(
            (row["disbursement_amount"], row["cancellation_status"]), (100.0, "Not_Cancelled")
        )
        self.assertEqual(row["response_error_codes"], [])

    def test_a_brief_answer_has_the_two_ids_of_each_row_also_when_it_is_repeated(self):
        envelope = self.create_envelope()
        given = self.send(envelope, self.rows(), idempotency_key="K", brief=True)
        stored = self.disbursements(envelope)
        self.assertEqual(
            given,
            [
                {"mis_reference_number": reference, "disbursement_id": given_id}
                for reference, given_id in zip(
                    ("MIS1", "MIS2", "MIS3"), stored.mapped("disbursement_id"), strict=True
                )
            ],
        )
        again = self.send(envelope, self.rows(), idempotency_key="K", brief=True)
        self.assertEqual(again, given)
        whole = self.send(envelope, self.rows(), idempotency_key="K")
        self.assertEqual(whole[0]["receipt_time_stamp"][:2], "20")

    def test_brief_is_true_or_false(self):
        envelope = self.create_envelope()
        for wrong in ("yes", 1, ["brief"]):
            self.assertRefused("INVALID_BRIEF", self.send, envelope, self.rows(), brief=wrong)
        self.assertFalse(self.disbursements(envelope))

    def test_number_and_sum_together_complete_the_envelope(self):
        envelope = self.create_envelope()
        self.send(envelope, self.rows(2))
        self.assertEqual(envelope.state, "receiving")
        self.send(envelope, self.rows(1, first=3))
        self.env.invalidate_all()
        self.assertEqual((envelope.state, envelope.total_received_amount), ("ready", 300.0))

    def test_the_right_number_with_too_small_a_sum_stays_open(self):
        envelope = self.create_envelope()
        self.send(envelope, self.rows(3, amount="99.99"))
        self.assertEqual(envelope.state, "receiving")

    def test_cents_add_up_exactly(self):
        envelope = self.create_envelope(4, total_disbursement_amount="42.00")
        rows = self.rows(4)
        for row, amount in zip(rows, (10.50, "10.50", 10.25, "10.75"), strict=True):
            row["disbursement_amount"] = amount
        self.send(envelope, rows[:1])
        self.send(envelope, rows[1:])
        self.env.invalidate_all()
        self.assertEqual((envelope.state, envelope.total_received_amount), ("ready", 42.0))

    def test_ten_times_a_tenth_is_one(self):
        envelope = self.create_envelope(10, total_disbursement_amount=1)
        self.send(envelope, self.rows(10, amount=0.1))
        self.assertEqual(envelope.state, "ready")

    def test_every_bad_row_is_named_with_its_codes_and_nothing_is_stored(self):
        envelope = self.create_envelope(1000, disbursement_schedule_date=self.tomorrow())
        rows = self.rows(1000)
        rows[17].update(beneficiary_id="", disbursement_amount=0)
        rows[400].update(narrative=None, beneficiary_name=7)
        rows[999]["mis_reference_number"] = "MIS1"
        errors = self.assertRefused("INVALID_DISBURSEMENT_PAYLOAD", self.send, envelope, rows)
        self.assertEqual(
            errors,
            [
                {
                    "index": 17,
                    "mis_reference_number": "MIS18",
                    "response_error_codes": [
                        "INVALID_DISBURSEMENT_AMOUNT",
                        "INVALID_BENEFICIARY_ID",
                    ],
                },
                {
                    "index": 400,
                    "mis_reference_number": "MIS401",
                    "response_error_codes": ["INVALID_BENEFICIARY_NAME", "INVALID_NARRATIVE"],
                },
                {
                    "index": 999,
                    "mis_reference_number": "MIS1",
                    "response_error_codes": ["DUPLICATE_MIS_REFERENCE_NUMBER"],
                },
            ],
        )
        self.assertFalse(self.disbursements(envelope))
        self.assertEqual(envelope.total_received_count, 0)

    def test_wrong_amounts_are_refused(self):
        envelope = self.create_envelope()
        for value in (None, 0, -1, 1.005, True, "1e2", "", "abc", float("nan"), float("inf"), {}):
            rows = self.rows(1, amount=value)
            [error] = self.assertRefused("INVALID_DISBURSEMENT_PAYLOAD", self.send, envelope, rows)
            self.assertEqual(error["response_error_codes"], ["INVALID_DISBURSEMENT_AMOUNT"], value)

    def test_control_characters_never_get_in(self):
        envelope = self.create_envelope()
        for value in ("a\nb", "a\x00", "\x1b[2J", "\t", "\ud800"):
            rows = self.rows(1)
            rows[0]["beneficiary_name"] = value
            [error] = self.assertRefused("INVALID_DISBURSEMENT_PAYLOAD", self.send, envelope, rows)
            self.assertEqual(error["response_error_codes"], ["INVALID_BENEFICIARY_NAME"])

    def test_names_of_all_scripts_and_backslashes_are_stored_as_they_are(self):
        envelope = self.create_envelope()
        names = ["محمد الأحمد", "Åse \\N Ñandú", "'; DROP TABLE x; -- <b>"]
        rows = self.rows()
        for row, name in zip(rows, names, strict=True):
            row["beneficiary_name"] = name
        self.send(envelope, rows)
        self.assertEqual(self.disbursements(envelope).mapped("beneficiary_name"), names)

    def test_more_rows_or_more_money_than_declared_are_refused(self):
        envelope = self.create_envelope()
        refused = self.assertRefused
        refused("NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED", self.send, envelope, self.rows(4, amount=1))
        refused(
            "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED",
            self.send,
            envelope,
            self.rows(1, amount="300.01"),
        )
        self.assertFalse(self.disbursements(envelope))
        self.send(envelope, self.rows(3))
        refused("NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED", self.send, envelope, self.rows(1, first=9))

    def test_no_rows_and_too_many_rows_are_refused(self):
        envelope = self.create_envelope()
        for value in ([], None, "rows", {"a": 1}):
            self.assertRefused("EMPTY_DISBURSEMENT_PAYLOAD", self.send, envelope, value)
        self.env["ir.config_parameter"].set_param("g2p_bridge.rows_per_call", "2")
        self.assertRefused("TOO_MANY_DISBURSEMENTS_IN_CALL", self.send, envelope, self.rows(3))
        [error] = self.assertRefused("INVALID_DISBURSEMENT_PAYLOAD", self.send, envelope, ["row"])
        self.assertEqual((error["index"], error["mis_reference_number"]), (0, ""))

    def test_rows_of_two_envelopes_are_refused(self):
        envelope, other = self.create_envelope(), self.create_envelope()
        rows = self.rows(2)
        rows[0]["disbursement_envelope_id"] = envelope.disbursement_envelope_id
        rows[1]["disbursement_envelope_id"] = other.disbursement_envelope_id
        self.assertRefused("MULTIPLE_ENVELOPES_FOUND", self.send, envelope, rows)

    def test_a_reference_that_stands_in_the_envelope_is_refused_by_name(self):
        envelope, other = self.create_envelope(), self.create_envelope()
        self.send(envelope, self.rows(1))
        [error] = self.assertRefused(
            "INVALID_DISBURSEMENT_PAYLOAD", self.send, envelope, self.rows(2)
        )
        self.assertEqual(
            (error["mis_reference_number"], error["response_error_codes"]),
            ("MIS1", ["DUPLICATE_MIS_REFERENCE_NUMBER"]),
        )
        self.send(other, self.rows(1))  # another envelope may use it

    def test_a_repeat_with_the_same_key_gets_the_first_answer_and_books_nothing(self):
        envelope = self.create_envelope()
        first = self.send(envelope, self.rows(2), idempotency_key="part 1")
        again = self.send(envelope, self.rows(2), idempotency_key="part 1")
        self.assertEqual(again, first)
        self.env.invalidate_all()
        self.assertEqual(envelope.total_received_count, 2)
        self.assertRefused(
            "IDEMPOTENCY_KEY_REUSED",
            self.send,
            envelope,
            self.rows(1, first=3),
            idempotency_key="part 1",
        )

    def test_a_repeat_after_the_envelope_is_complete_gets_the_first_answer(self):
        envelope = self.create_envelope()
        first = self.send(envelope, self.rows(3), idempotency_key="all")
        self.assertEqual(self.send(envelope, self.rows(3), idempotency_key="all"), first)

    def test_an_unknown_envelope_is_refused(self):
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_NOT_FOUND",
            self.api.create_disbursements,
            "no-such-envelope",
            self.rows(1),
        )

    def test_a_thousand_rows_cost_as_many_queries_as_ten(self):
        counts = {10: [], 1000: []}
        for count in (10, 1000) * 3:  # the first of each fills caches
            envelope = self.create_envelope(2000)
            self.send(envelope, self.rows(5))
            before = self.env.cr.sql_log_count
            self.send(envelope, self.rows(count, first=10))
            counts[count].append(self.env.cr.sql_log_count - before)
        self.assertEqual(min(counts[10]), min(counts[1000]))


@tagged("post_install", "-at_install")
class TestCancelDisbursements(BridgeCommon):
    """Single payments are cancelled while no bank call can have taken them along."""

    def ids(self, envelope):
        return self.disbursements(envelope).mapped("disbursement_id")

    def test_while_receiving_it_leaves_room_for_a_replacement(self):
        envelope = self.create_envelope()
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2))
        first = self.ids(envelope)[0]
        [answer] = self.api.cancel_disbursements([first])
        self.assertEqual(
            (answer["disbursement_id"], answer["cancellation_status"]), (first, "Cancelled")
        )
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(2, first=3))
        self.env.invalidate_all()
        self.assertEqual((envelope.state, envelope.total_received_count), ("ready", 3))

    def test_later_the_rest_goes_on_without_it(self):
        envelope = self.create_full_envelope(disbursement_schedule_date=self.tomorrow())
        self.api.cancel_disbursements(self.ids(envelope)[:1], reason="moved away")
        self.env.invalidate_all()
        self.assertEqual((envelope.state, envelope.cancelled_count), ("ready", 1))
        self.assertEqual(envelope._payable_amount(), 200)
        self.assertEqual(envelope.total_received_count, 3)

    def test_codes_of_what_cannot_be_cancelled(self):
        refused, cancel = self.assertRefused, self.api.cancel_disbursements
        envelope = self.create_full_envelope(disbursement_schedule_date=self.tomorrow())
        first, second, third = self.ids(envelope)
        refused("EMPTY_DISBURSEMENT_PAYLOAD", cancel, [])
        refused("INVALID_DISBURSEMENT_ID", cancel, ["no-such-id", 7])
        [error] = refused("INVALID_DISBURSEMENT_PAYLOAD", cancel, [first, "no-such-id"])
        self.assertEqual(
            (error["index"], error["response_error_codes"]), (1, ["INVALID_DISBURSEMENT_ID"])
        )
        cancel([first])
        [error] = refused("INVALID_DISBURSEMENT_PAYLOAD", cancel, [first, second])
        self.assertEqual(error["response_error_codes"], ["DISBURSEMENT_ALREADY_CANCELED"])
        other = self.create_full_envelope(disbursement_schedule_date=self.tomorrow())
        refused("MULTIPLE_ENVELOPES_FOUND", cancel, [second, self.ids(other)[0]])
        self.disbursements(envelope)[2].state = "batched"
        refused("DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED", cancel, [second, third])
        self.assertStates(envelope, "cancelled", "received", "batched")

    def test_payments_of_a_cancelled_envelope_say_so(self):
        envelope = self.create_full_envelope()
        self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED",
            self.api.cancel_disbursements,
            self.ids(envelope)[:1],
        )


@tagged("post_install", "-at_install")
class TestDisbursementStatus(BridgeCommon):
    """get_disbursement_status and get_disbursement_changes."""

    def test_received_and_unknown_ids_are_told_apart(self):
        envelope = self.create_full_envelope()
        given = self.disbursements(envelope)[0].disbursement_id
        known, unknown, odd = self.api.get_disbursement_status([given, "no-such-id", None])
        empty = {"disbursement_recon_payloads": [], "disbursement_error_recon_payloads": []}
        self.assertEqual(known["disbursement_recon_records"], empty)
        self.assertEqual((known["status"], known["iso_status"]), ("received", "PDNG"))
        self.assertEqual(unknown["response_error_codes"], ["INVALID_DISBURSEMENT_ID"])
        self.assertEqual(odd["response_error_codes"], ["INVALID_DISBURSEMENT_ID"])
        self.assertRefused("EMPTY_DISBURSEMENT_PAYLOAD", self.api.get_disbursement_status, [])

    def test_odd_cursors_and_limits_are_refused(self):
        for cursor in ("x", "1", "1-", "-1", "1-x", 7, "99999999999999999-1", "²-1"):
            self.assertRefused("INVALID_CURSOR", self.api.get_disbursement_changes, cursor)
        for limit in (0, -1, "10", True, 10_001):
            self.assertRefused("INVALID_LIMIT", self.api.get_disbursement_changes, None, limit)

    def test_changes_of_this_transaction_wait_for_its_commit(self):
        self.create_full_envelope()
        answer = self.api.get_disbursement_changes()
        self.assertFalse(answer["changes"])
        self.assertEqual(self.api.get_disbursement_changes(answer["cursor"]), answer)
