from datetime import timedelta

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools import SQL

from ..models import envelope_story
from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestEnvelopeSentence(StatementCase):
    """The one sentence of each state, with live numbers, and what an approver is shown."""

    def setUp(self):
        with freeze_time("2026-11-23 10:00:00"):
            super().setUp()  # sends the payments, on a Monday

    def sentence(self, envelope=None, at="2026-11-23 12:00:00", **values):
        """Return (level, sentence) as an officer reads it at that time."""
        envelope = envelope or self.envelope
        envelope.sudo().write(values)
        self.env.flush_all()
        self.env.invalidate_all()
        with freeze_time(at):
            envelope = envelope.with_user(self.officer)
            return envelope.sentence_level, envelope.sentence.replace("\u00a0", " ")

    def test_every_state_has_its_sentence(self):
        for state, _label in self.envelope._fields["state"].selection:
            level, sentence = self.sentence(state=state)
            self.assertTrue(sentence, state)
            self.assertIn(
                level, ("secondary", "info", "warning", "danger", "success", "dark"), state
            )

    def test_receiving_says_what_is_missing(self):
        envelope = self.create_envelope(3, cycle_code_mnemonic="part")
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(1))
        self.assertEqual(
            self.sentence(envelope),
            (
                "secondary",
                "Waiting for the rest: 1 of 3 payments received, USD 100.00 of USD 300.00.",
            ),
        )

    def test_ready_says_when_it_goes_or_who_moves_next(self):
        day = {"state": "ready", "disbursement_schedule_date": "2026-12-01"}
        self.assertEqual(
            self.sentence(**day), ("info", "Complete and tied. Goes to the bank on Dec 1.")
        )
        self.program.approval_required = True
        self.assertEqual(
            self.sentence(**day)[1],
            "Complete and tied. Waiting for approval by a second person; scheduled for Dec 1.",
        )

    def test_held_money_is_named_with_its_reference_and_time(self):
        level, sentence = self.sentence(
            state="funds_blocked",
            funds_blocked_amount=300,
            funds_blocked_reference_number="B-123",
            funds_blocked_latest_timestamp="2026-11-23 08:02:00",
        )
        self.assertEqual(level, "info")
        self.assertIn("USD 300.00 held at Test bank under reference B-123 since 08:02", sentence)

    def test_disbursing_says_how_long_it_takes(self):
        """Three are sent; of three more, at their speed, the last is sent in a while."""
        with freeze_time("2026-11-23 10:00:00"):
            envelope = self.create_full_envelope(6, cycle_code_mnemonic="moving")
        journal = self.env["g2p.disbursement.journal"]
        values = {"envelope_id": envelope.id, "disbursement_count": 3, "amount": 300}
        for source, target in (("received", "resolved"), ("resolved", "batched")):
            journal.create(
                {**values, "source": source, "target": target, "created_at": "2026-11-23 10:00:00"}
            )
        journal.create(
            {**values, "source": "batched", "target": "sent", "created_at": "2026-11-23 11:55:00"}
        )
        self.assertEqual(
            self.sentence(envelope, state="disbursing"),
            ("info", "3 of 6 payments sent; about 5 minutes left."),
        )
        self.assertEqual(
            self.sentence(envelope, at="2026-11-23 15:00:00")[1], "3 of 6 payments sent."
        )

    def test_payments_of_unknown_outcome_belong_to_the_whole(self):
        envelope = self.create_full_envelope(6, cycle_code_mnemonic="unknown")
        journal = self.env["g2p.disbursement.journal"]
        for source, target, count in (
            ("received", "resolved", 6),
            ("resolved", "batched", 6),
            ("batched", "sent", 4),
            ("batched", "unknown", 2),
        ):
            journal.create(
                {
                    "envelope_id": envelope.id,
                    "source": source,
                    "target": target,
                    "disbursement_count": count,
                    "amount": count * 100,
                    "created_at": "2026-11-23 10:00:00",
                }
            )
        level, sentence = self.sentence(envelope, state="disbursing")
        self.assertEqual(level, "danger")
        self.assertIn("4 of 6 payments sent. Of 2 payments nobody knows", sentence)

    def test_disbursed_waits_for_the_statement_and_then_it_is_late(self):
        self.program.disbursement_sla_days = 3
        self.assertEqual(
            self.sentence(),
            ("warning", "All sent. Waiting for the bank's statement, expected Nov 26."),
        )
        self.assertEqual(
            self.sentence(at="2026-11-27 12:00:00"),
            ("danger", "All sent. The bank's statement was expected Nov 26: late by 1 day."),
        )
        self.assertIn("late by 4 days", self.sentence(at="2026-11-30 12:00:00")[1])

    def test_a_statement_without_some_payments_is_said(self):
        with freeze_time("2026-11-24 20:00:00"):
            self.book(entry("D", 100, self.ids[0]), day="261124")
        self.assertEqual(
            self.sentence(at="2026-11-30 12:00:00"),
            ("warning", "The bank's statement is in. 2 payments, USD 200.00, are on none yet."),
        )

    def test_settled_counts_what_became_of_all(self):
        self.book(*(entry("D", 100, one) for one in self.ids))
        self.assertEqual(self.envelope._settle_if_ended(), "settled")
        self.assertEqual(
            self.sentence(),
            ("success", "3 paid, 0 reversed, 0 never sent or refused."),
        )

    def test_a_problem_says_when_it_is_tried_again(self):
        values = {"state": "needs_attention", "attention_message": "Funds missing."}
        self.assertEqual(self.sentence(**values), ("danger", "Funds missing. It waits for you."))
        self.assertEqual(
            self.sentence(**values, next_attempt_at="2026-11-23 14:30:00")[1],
            "Funds missing. It is tried again by itself at 14:30.",
        )

    def test_cancelled_says_why(self):
        level, sentence = self.sentence(state="cancelled", cancel_reason="duplicate cycle")
        self.assertEqual(level, "dark")
        self.assertIn("“duplicate cycle”. Nothing of USD 300.00 is paid.", sentence)

    def test_paused_and_a_bank_that_is_down_come_first(self):
        health = self.env["g2p.bank.health"].sudo()
        health.create(
            {
                "bank_id": self.bank.id,
                "company_id": self.bank.company_id.id,
                "down_since": "2026-11-23 11:00:00",
                "open_until": "2026-11-23 13:00:00",
                "last_error_code": "ReadTimeout",
            }
        )
        level, sentence = self.sentence(state="disbursing")
        self.assertEqual(level, "danger")
        self.assertIn("Test bank has not answered since 11:00", sentence)
        self.assertIn("Paused", self.sentence(is_paused=True)[1])
        self.assertNotIn("Paused", self.sentence(state="settled")[1])

    def test_queries_do_not_grow_with_the_envelopes(self):
        def queries(envelopes):
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            envelopes.mapped("sentence")
            return self.env.cr.sql_log_count - before

        self.envelope.sentence  # noqa: B018 what is read once only: the words, the user's zone
        one = queries(self.envelope)
        for cycle in range(4):
            self.sent_envelope_of(f"more {cycle}")
        self.assertEqual(queries(self.env["g2p.disbursement.envelope"].search([])), one)

    def sent_envelope_of(self, cycle):
        envelope = self.create_full_envelope(3, cycle_code_mnemonic=cycle)
        self.send_all(envelope)
        return envelope

    # -- not paid, timeline, review -------------------------------------------------------------

    def test_what_is_not_paid_is_grouped_by_reason_and_opens_its_payments(self):
        self.book(*(entry("D", 100, one) for one in self.ids))
        self.book(
            entry("RD", 100, self.ids[0], narrative=["Grant", "AC04"]),
            entry("RD", 100, self.ids[1], narrative=["Grant", "AC04"]),
            entry("RD", 100, self.ids[2], narrative=["Grant", "AC06"]),
            number="2/1",
            opening="700,00",
        )
        groups = self.envelope.with_user(self.officer).not_paid
        self.assertEqual(
            [(group["state"], group["count"], group["reason_code"]) for group in groups],
            [("reversed", 2, "AC04"), ("reversed", 1, "AC06")],
        )
        self.assertEqual(
            [group["reason"] for group in groups], ["AC04, account closed", "AC06, account blocked"]
        )
        self.assertEqual(self.envelope.not_paid_count, 3)
        for group in groups:
            action = self.envelope.with_context(
                disbursement_state=group["state"], disbursement_reason=group["reason_code"]
            ).action_view_disbursements()
            self.assertEqual(
                self.env["g2p.disbursement"].search_count(action["domain"]), group["count"]
            )

    def test_too_many_to_read_are_one_group_out_of_the_books(self):
        self.book(*(entry("D", 100, one) for one in self.ids))
        self.book(
            entry("RD", 100, self.ids[0], narrative=["Grant", "AC04"]),
            entry("RD", 100, self.ids[1], narrative=["Grant", "AC06"]),
            number="2/1",
            opening="700,00",
        )
        self.patch(envelope_story, "GROUPED_AT_MOST", 1)
        [group] = self.envelope.with_user(self.officer).not_paid
        self.assertEqual(
            (group["state"], group["count"], group["has_reason"]), ("reversed", 2, False)
        )

    def test_buttons_that_help_are_for_officers(self):
        envelope = self.create_full_envelope(3, cycle_code_mnemonic="no accounts")
        self.env["g2p.disbursement"]._bulk_transition(
            "unresolved", SQL("d.envelope_id = %s", envelope.id), cause="test"
        )
        self.envelope = envelope
        viewer = self.create_user("sentence_viewer", "g2p_bridge.group_viewer")
        [group] = self.envelope.with_user(self.officer)._not_paid_groups()
        self.assertEqual([fix["method"] for fix in group["fixes"]], ["action_resolve"])
        [group] = self.envelope.with_user(viewer).sudo()._not_paid_groups()
        self.assertEqual(group["fixes"], [])

    def test_the_timeline_has_a_step_for_each_thing_that_happened_in_order(self):
        with freeze_time("2026-11-24 20:00:00"):
            self.book(*(entry("D", 100, one) for one in self.ids))
        steps = self.envelope.with_user(self.officer).timeline
        self.assertEqual(
            [step["title"] for step in steps],
            [
                "Received",
                "Accounts found",
                "Put into batches",
                "Sent to the bank",
                "Paid, by the bank's statement",
            ],
        )
        self.assertEqual(steps[-1]["at"], "2026-11-24 20:00:00")
        self.assertEqual(steps[-1]["detail"].replace("\u00a0", " "), "3 payments, USD 300.00")

    def test_retries_of_a_call_are_one_step(self):
        calls = self.env["g2p.bank.call"].sudo()
        for index, state in enumerate(("unavailable", "answered")):
            calls.create(
                {
                    "operation": "check_funds",
                    "idempotency_key": f"check{index}",
                    "envelope_id": self.envelope.id,
                    "bank_id": self.bank.id,
                    "state": state,
                    "attempts": 2 + index,
                    "started_at": f"2026-11-23 10:0{index}:00",
                    "answered_at": f"2026-11-23 10:0{index + 4}:00",
                }
            )
        [step] = [
            step for step in self.envelope._prepare_timeline() if step["title"] == "Funds checked"
        ]
        self.assertEqual(step["duration"], "5 minutes")
        self.assertEqual(step["detail"], "5 calls, 1 without a good answer")

    def test_the_review_compares_payment_lists_of_two_cycles(self):
        """Of three people one is new, one is gone, one gets another amount."""
        self.envelope.disbursement_schedule_date = "2026-10-01"
        now = self.create_envelope(
            3, cycle_code_mnemonic="next", total_disbursement_amount="350.00"
        )
        rows = self.rows(3, first=2)  # BEN2, BEN3, BEN4
        rows[1]["disbursement_amount"] = 150
        self.api.create_disbursements(now.disbursement_envelope_id, rows)
        review = now.with_user(self.officer).review_for_approval()
        self.assertEqual(review["last"]["id"], self.envelope.id)
        text = {
            row["label"]: (row["now"].replace("\u00a0", " "), row["change"])
            for row in review["rows"]
        }
        self.assertEqual(
            text,
            {
                "Payments": ("3", ""),
                "Amount": ("USD 350.00", "+16.7 %"),
                "Beneficiaries": ("3", ""),
                "New beneficiaries": ("1 people, USD 100.00", ""),
                "No longer paid": ("1 people, USD 100.00", ""),
                "Paid another amount than before": ("1 people", ""),
            },
        )
        self.assertEqual(
            review["released"]["text"].replace("\u00a0", " "), "3 payments, USD 350.00"
        )

    def test_the_hash_of_the_review_is_that_of_the_approval(self):
        self.program.approval_required = True
        approver = self.create_user("sentence_approver", "g2p_bridge.group_approver")
        envelope = self.create_full_envelope(3, cycle_code_mnemonic="approve me")
        review = envelope.with_user(approver).review_for_approval()
        envelope.with_user(approver).action_approve()
        self.assertEqual(envelope.approval_ids.content_hash, review["released"]["content_hash"])
        self.assertEqual(envelope.approved_hash, review["released"]["content_hash"])

    def test_the_review_tells_what_was_cancelled_since(self):
        envelope = self.create_full_envelope(
            3,
            cycle_code_mnemonic="some cancelled",
            disbursement_schedule_date=(fields.Date.today() + timedelta(days=5)).isoformat(),
        )
        one = self.disbursements(envelope)[0].disbursement_id
        self.assertEqual(envelope.with_user(self.officer).review_for_approval()["changes"], [])
        self.api.cancel_disbursements([one])
        [change] = envelope.with_user(self.officer).review_for_approval()["changes"]
        self.assertIn("1 payment, USD 100.00, cancelled by", change.replace("\u00a0", " "))

    def test_a_viewer_reads_no_review(self):
        viewer = self.create_user("sentence_viewer", "g2p_bridge.group_viewer")
        with self.assertRaises(AccessError):
            self.envelope.with_user(viewer).review_for_approval()
