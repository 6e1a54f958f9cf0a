from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.const import DISBURSEMENT_STATES
from odoo.addons.g2p_bridge.models.money_bar import SEGMENTS

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestMoneyBar(StatementCase):
    """What the bar shows is what the books say, and each part opens its own payments."""

    def bar(self, envelope=None):
        self.env.invalidate_all()
        return (envelope or self.envelope).with_user(self.officer).money_bar

    def parts(self, bar):
        return {part["key"]: (part["count"], part["amount"]) for part in bar["segments"]}

    def test_every_state_of_a_payment_has_its_segment_and_no_two(self):
        states = [state for states in SEGMENTS.values() for state in states]
        self.assertEqual(sorted(states), sorted(state for state, _label in DISBURSEMENT_STATES))
        labels = self.env["g2p.disbursement.journal"]._segment_labels()
        self.assertEqual(set(labels), set(SEGMENTS))

    def test_the_parts_are_those_of_the_books_and_tie(self):
        self.book(entry("D", 100, self.ids[0]), entry("D", 100, self.ids[1]))
        self.book(
            entry("RD", 100, self.ids[1], narrative=["Grant", "AC04"]),
            number="2/1",
            opening="800,00",
        )
        bar = self.bar()
        self.assertEqual(
            self.parts(bar), {"paid": (1, 100.0), "reversed": (1, 100.0), "sent": (1, 100.0)}
        )
        self.assertTrue(bar["ties"])
        self.assertEqual(bar["total"], 300.0)
        rows = self.env.execute_query(
            SQL(
                "SELECT state, count(*), sum(amount) FROM g2p_disbursement"
                " WHERE envelope_id = %s GROUP BY state",
                self.envelope.id,
            )
        )
        of_state = {state: key for key, states in SEGMENTS.items() for state in states}
        self.assertEqual(
            {of_state[state]: (count, float(amount)) for state, count, amount in rows},
            self.parts(bar),
        )

    def test_what_is_missing_is_said_and_does_not_tie(self):
        envelope = self.create_envelope(3, cycle_code_mnemonic="part")
        self.assertFalse(self.bar(envelope)["segments"])
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(1))
        bar = self.bar(envelope)
        self.assertEqual(self.parts(bar), {"waiting": (1, 100.0)})
        self.assertEqual((bar["ties"], bar["total"]), (False, 300.0))
        self.assertEqual(
            bar["tie_text"].replace("\u00a0", " "),
            "Declared 3 payments, USD 300.00. Still missing: 2 payments, USD 200.00.",
        )

    def test_a_payment_that_is_in_no_book_shows_as_a_difference(self):
        """More than declared cannot come in: here the books say so all the same."""
        self.env["g2p.disbursement.journal"].create(
            {
                "envelope_id": self.envelope.id,
                "target": "received",
                "disbursement_count": 1,
                "amount": 0.01,
                "created_at": "2026-11-01 08:00:00",
            }
        )
        bar = self.bar()
        self.assertFalse(bar["ties"])
        self.assertIn("differ", bar["tie_text"])

    def test_all_of_it_is_said_in_words(self):
        self.assertEqual(self.bar()["text"].replace("\u00a0", " "), "Sent: 3 payments, USD 300.00")
        empty = self.create_envelope(3, cycle_code_mnemonic="empty")
        self.assertEqual(self.bar(empty)["text"], "No payments yet")

    def test_a_segment_opens_exactly_its_payments(self):
        self.book(entry("D", 100, self.ids[0]))
        envelope = self.envelope.with_user(self.officer)
        for part in self.bar()["segments"]:
            action = envelope.with_context(
                disbursement_state=",".join(part["states"])
            ).action_view_disbursements()
            found = self.env["g2p.disbursement"].search(action["domain"])
            self.assertEqual(
                (len(found), sum(found.mapped("amount"))), (part["count"], part["amount"])
            )
            self.assertEqual(found.envelope_id, self.envelope)

    def test_a_batch_has_a_bar_too(self):
        self.book(entry("D", 100, self.ids[0]))
        bar = self.envelope.batch_ids.with_user(self.officer).money_bar
        self.assertEqual(self.parts(bar), {"paid": (1, 100.0), "sent": (2, 200.0)})

    def test_one_query_for_the_journal_whatever_the_number_of_envelopes(self):
        for cycle in range(4):
            self.create_full_envelope(3, cycle_code_mnemonic=f"more {cycle}")
        envelopes = self.env["g2p.disbursement.envelope"].search([])
        self.assertGreaterEqual(len(envelopes), 5)
        envelopes.mapped("money_bar")  # reads what is kept: envelopes, currencies, the language
        envelopes.invalidate_recordset(["money_bar"])
        with self.assertQueryCount(1):
            envelopes.mapped("money_bar")
