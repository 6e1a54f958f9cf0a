from decimal import Decimal
from functools import partial

from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown
from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError
from odoo.addons.queue_job.tests.common import trap_jobs

from .fake_bank import DoneThen
from .pipeline_case import PipelineCase
from .statement_case import entry, statement_text

STARTED = "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED"
LEFT = "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED"
ENVELOPE_CANCELLED = "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED"
NO_ANSWER = BankOutcomeUnknown("no answer", code="ReadTimeout")

#: where an envelope stands -> (code that its cancellation is refused with, whether money is held)
PLACES = {
    "receiving": (None, False),
    "ready": (None, False),
    "approved": (None, False),
    "funds_available": (None, False),
    "block_unknown": (None, True),
    "funds_blocked": (None, True),
    "batch_ready": (STARTED, True),
    "batch_being_sent": (STARTED, True),
    "batch_unknown": (STARTED, True),
    "batch_rejected": (STARTED, True),
    "disbursed": (STARTED, True),
    "settled": (STARTED, False),
    "cancelled": (ENVELOPE_CANCELLED, False),
}
#: places whose envelope may come to need attention, and be paused
WORKING = [place for place in PLACES if place not in ("block_unknown", "settled", "cancelled")]
#: state of a payment -> (places to meet it at, code that its cancellation is refused with)
PAYMENTS = {
    "received": (("receiving", "ready"), None),
    "resolved": (("approved", "funds_available", "block_unknown", "funds_blocked"), None),
    "unresolved": (
        (
            "approved",
            "funds_available",
            "block_unknown",
            "funds_blocked",
            "batch_ready",
            "batch_being_sent",
            "batch_unknown",
            "batch_rejected",
            "disbursed",
        ),
        None,
    ),
    "batched": (("batch_ready", "batch_being_sent"), LEFT),
    "unknown": (("batch_unknown",), LEFT),
    "sent": (("disbursed",), LEFT),
    "rejected": (("batch_rejected",), LEFT),
    "reconciled": (("settled",), LEFT),
    "reversed": (("settled",), LEFT),
    "cancelled": (("settled",), "INVALID_DISBURSEMENT_PAYLOAD"),
}


@tagged("post_install", "-at_install")
class TestCancellation(PipelineCase):
    """At every place of an envelope: cancelled with all that belongs to it, or nothing changes.

    Of an envelope's four payments of 100.00 three have accounts; the bank takes all in one batch.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank.max_batch_size = 1000
        cls.program.approval_required = True
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")

    # -- how an envelope gets to a place ---------------------------------------------------------

    def bring_to(self, place):
        """Return a new envelope that stands at the place, its jobs yet to run."""
        envelope = self.create_envelope(4, cycle_code_mnemonic=place)
        with trap_jobs():
            self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(3))
            if place != "receiving":
                for step in self.steps_to(place, envelope):
                    step()
                    self.env.flush_all()
        self.env.invalidate_all()
        return envelope

    def steps_to(self, place, envelope):
        """Yield what leads from three payments received to the place, step by step."""
        yield partial(
            self.api.create_disbursements,
            envelope.disbursement_envelope_id,
            self.rows(1, first=4),
        )
        if place == "cancelled":
            yield lambda: self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id)
        if place in ("ready", "cancelled"):
            return
        yield envelope.with_user(self.approver).action_approve
        yield partial(envelope._resolve, 0, 2**31 - 1)
        if place == "approved":
            return
        yield envelope._check_funds_with_bank
        if place == "block_unknown":
            self.fake.script("block_funds", DoneThen(NO_ANSWER))
            yield envelope._block_funds_with_bank
        if place in ("funds_available", "block_unknown"):
            return
        yield envelope._block_funds_with_bank
        if place == "funds_blocked":
            return
        yield envelope._form_batches
        yield from self.steps_of_batch(place, envelope)

    def steps_of_batch(self, place, envelope):
        if place == "batch_ready":
            return
        if place == "batch_being_sent":  # its call is out, and nobody knows more yet
            yield envelope.batch_ids._start_call
            return
        if place == "batch_unknown":
            self.fake.script("initiate_payment", DoneThen(NO_ANSWER))
        if place == "batch_rejected":
            yield partial(envelope.batch_ids._set_rejected, "AC01", "no such account")
            return
        yield envelope.batch_ids._disburse_funds_from_bank
        if place == "batch_unknown":
            return
        yield envelope._advance
        if place == "settled":
            yield partial(self.api.cancel_disbursements, self.ids_of(envelope, "unresolved"))
            yield partial(self.book_statement, envelope)
            yield envelope._advance
            yield envelope._release_funds_at_bank

    def book_statement(self, envelope):
        """Have the bank debit what was sent, and bring back the second payment."""
        sent = self.ids_of(envelope, "sent")
        entries = [*(entry("D", 100, one) for one in sent), entry("RD", 100, sent[1])]
        text = statement_text("TEST0001", entries)
        self.run_jobs(lambda: self.bank_api.upload_mt940(text))

    def ids_of(self, envelope, *states):
        self.env.invalidate_all()
        found = self.disbursements(envelope).filtered(lambda payment: payment.state in states)
        return found.mapped("disbursement_id")

    # -- who cancels -----------------------------------------------------------------------------

    def cancel_by_api(self, envelope):
        """Return the code that it was refused with, or None."""
        try:
            self.api.cancel_disbursement_envelope(envelope.disbursement_envelope_id, "test")
        except BridgeError as error:
            return error.args[0]
        return None

    def cancel_by_officer(self, envelope):
        """Return the code that stands for the sentence that the officer got, or None."""
        wizard = self.env["g2p.cancel.envelope"].with_user(self.officer)
        wizard = wizard.create({"envelope_id": envelope.id, "reason": "test"})
        try:
            wizard.action_cancel()
        except UserError as error:
            sentences = {"may have moved": STARTED, "is cancelled already": ENVELOPE_CANCELLED}
            return next(code for part, code in sentences.items() if part in str(error))
        return None

    def cancel_payments(self, ids):
        try:
            self.api.cancel_disbursements(ids, "test")
        except BridgeError as error:
            return error.args[0]
        return None

    # -- what is asserted ------------------------------------------------------------------------

    def picture(self, envelope):
        """Return all that is stored of the envelope, and what the bank did."""
        self.env.flush_all()
        queries = {
            "envelope": "SELECT * FROM g2p_disbursement_envelope WHERE id = %s",
            "payments": "SELECT * FROM g2p_disbursement WHERE envelope_id = %s ORDER BY id",
            "journal": "SELECT * FROM g2p_disbursement_journal WHERE envelope_id = %s ORDER BY id",
            "batches": "SELECT * FROM g2p_disbursement_batch WHERE envelope_id = %s ORDER BY id",
            "calls": "SELECT * FROM g2p_bank_call WHERE envelope_id = %s ORDER BY id",
        }
        rows = {
            name: self.env.execute_query_dict(SQL(query, envelope.id))
            for name, query in queries.items()
        }
        return {**rows, "bank": (len(self.fake.calls), dict(self.fake.blocks))}

    def assertBooksTie(self):
        self.env.invalidate_all()
        differences = self.env["g2p.ledger.difference"]._check()
        self.assertFalse(differences, differences.mapped("rule"))

    def assertNothingHeld(self, envelope):
        self.assertEqual(set(self.fake.blocks.values()) - {Decimal(0)}, set())
        self.assertEqual(envelope.funds_held_amount, 0)

    def assertCancelled(self, envelope, was_held):
        """It is cancelled whole, its jobs and the clock pay nobody, and the bank holds nothing."""
        ordered = set(self.fake.ordered)
        self.env.invalidate_all()
        self.assertEqual(bool(envelope.funds_released_at), was_held)  # at once, not by the clock
        self.run_envelope(envelope)
        self.run_jobs(envelope._cron_find_due_work)
        self.env.invalidate_all()
        self.assertEqual(envelope.state, "cancelled")
        self.assertEqual(set(self.disbursements(envelope).mapped("state")), {"cancelled"})
        self.assertEqual(set(self.fake.ordered), ordered)
        self.assertEqual(self.fake.call_count("release_funds"), int(was_held))
        self.assertNothingHeld(envelope)

    def assertRefusedWhole(self, envelope, before, given, code):
        self.assertEqual(given, code)
        self.assertEqual(self.picture(envelope), before)

    # -- envelopes -------------------------------------------------------------------------------

    def walk(self, places, prepare=None):
        """Try both ways to cancel at each place; ``prepare`` does something to it first."""
        for place in places:
            code, is_held = PLACES[place]
            for cancel in (self.cancel_by_api, self.cancel_by_officer):
                with self.subTest(place, door=cancel.__name__), self.rolled_back():
                    envelope = self.bring_to(place)
                    if prepare:
                        prepare(envelope)
                    before = self.picture(envelope)
                    given, jobs = self.with_jobs(partial(cancel, envelope))
                    if code:
                        self.assertRefusedWhole(envelope, before, given, code)
                        self.assertFalse(jobs)
                    else:
                        self.assertIsNone(given)
                        self.run_jobs(lambda jobs=jobs: [job.perform() for job in jobs])
                        self.assertCancelled(envelope, is_held)
                    self.assertBooksTie()

    def with_jobs(self, function):
        """Return what ``function`` answers, and the jobs that it enqueued."""
        answers = []
        jobs = self._enqueued_by(lambda: answers.append(function()))
        return answers[0], jobs

    def rolled_back(self):
        """Give each try a bank that was never called, and undo what it did."""
        test = self

        class RolledBack:
            def __enter__(self):
                test.fake.__init__()
                self.savepoint = test.env.cr.savepoint()

            def __exit__(self, *_error):
                self.savepoint.close(rollback=True)
                test.env.invalidate_all(flush=False)

        return RolledBack()

    def test_an_envelope_is_cancelled_whole_or_not_touched_at_every_place(self):
        self.walk(PLACES)

    def test_a_problem_does_not_change_what_can_be_cancelled(self):
        self.walk(WORKING, lambda envelope: envelope._set_needs_attention("X", "a problem"))

    def test_a_pause_does_not_change_what_can_be_cancelled(self):
        self.walk(WORKING, lambda envelope: envelope.with_user(self.officer).action_pause())

    # -- payments --------------------------------------------------------------------------------

    def meetings(self):
        """Yield (payment state, place, code) for each place where a payment has the state."""
        for state, (places, code) in PAYMENTS.items():
            for place in places:
                yield state, place, code

    def test_a_payment_is_cancelled_or_not_touched_in_every_state(self):
        for state, place, code in self.meetings():
            with self.subTest(state, place=place), self.rolled_back():
                envelope = self.bring_to(place)
                wanted = self.ids_of(envelope, state)[:1]
                before = self.picture(envelope)
                with trap_jobs():
                    given = self.cancel_payments(wanted)
                if code:
                    self.assertRefusedWhole(envelope, before, given, code)
                else:
                    self.assertIsNone(given)
                    self.assertRestIsPaid(envelope, place, wanted)
                self.assertBooksTie()

    def assertRestIsPaid(self, envelope, place, cancelled):
        """All others with an account are paid once, the cancelled one never, no money stays."""
        if place == "receiving":  # it left room: here is who comes instead, and the fourth
            with trap_jobs():
                row = {**self.rows(1)[0], "mis_reference_number": "INSTEAD"}
                self.api.create_disbursements(
                    envelope.disbursement_envelope_id, [row, *self.rows(1, first=4)]
                )
        if place in ("receiving", "ready"):
            with trap_jobs():
                envelope.with_user(self.approver).action_approve()
        self.recover(envelope)
        if envelope.attention_code == "APPROVAL_VOID":  # it was bound to what was cancelled since
            self.run_jobs(envelope.with_user(self.approver).action_approve)
            self.recover(envelope)
        self.assertEqual(self.ids_of(envelope, "cancelled"), cancelled)
        payable = self.disbursements(envelope).filtered(
            lambda payment: payment.state not in ("cancelled", "unresolved", "rejected")
        )
        self.assertEqual(set(payable.mapped("state")) - {"sent"}, set())
        self.assertEqual(
            {one for one, orders in self.fake.ordered.items() if orders},
            set(payable.mapped("disbursement_id")),
        )
        self.assertNothingTwice()
        self.assertEqual(envelope.funds_idle_amount, self.idle_after(place, envelope))

    def idle_after(self, place, envelope):
        """Return what the bank holds too much: what was in the block and is not to be paid."""
        if envelope.state == "settled":
            return 0
        payments = self.disbursements(envelope)
        to_pay = payments.filtered(lambda p: p.state in ("sent", "unresolved"))
        blocked = envelope.funds_blocked_amount
        self.assertEqual(blocked, 400 if self.is_blocked_at(place) else 300 + self.is_full(place))
        return blocked - sum(to_pay.mapped("amount"))

    def is_blocked_at(self, place):
        return PLACES[place][1]

    def is_full(self, place):
        """Return 100 where a replacement came for what was cancelled."""
        return 100 if place == "receiving" else 0

    def recover(self, envelope):
        """Let time pass for what waits for it."""
        self.run_envelope(envelope)
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_disbursement_envelope SET next_attempt_at = now() - interval '1 day'"
                " WHERE next_attempt_at IS NOT NULL AND id = %s",
                envelope.id,
            )
        )
        self.env.invalidate_all()
        self.run_jobs(envelope._cron_find_due_work)
        for batch in envelope.batch_ids.filtered(lambda b: b.state == "unknown"):
            self.run_jobs(batch._enqueue_disburse)
        self.env.invalidate_all()

    def test_every_state_of_a_payment_is_in_the_table(self):
        states = dict(self.env["g2p.disbursement"]._fields["state"].selection)
        self.assertEqual(set(PAYMENTS), set(states))
        open_states = {state for state, (_places, code) in PAYMENTS.items() if code is None}
        self.assertEqual(open_states, set(self.env["g2p.disbursement"]._TRANSITIONS["cancelled"]))

    def test_all_payments_cancelled_one_by_one_end_the_envelope_and_free_its_money(self):
        self.program.approval_required = False
        for place in ("ready", "funds_available", "block_unknown", "funds_blocked"):
            with self.subTest(place), self.rolled_back():
                envelope = self.create_envelope(4, cycle_code_mnemonic=place)
                self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(3))
                with trap_jobs():
                    self.api.create_disbursements(
                        envelope.disbursement_envelope_id, self.rows(1, first=4)
                    )
                    self.bring_without_approval(envelope, place)
                    ids = self.disbursements(envelope).mapped("disbursement_id")
                    self.assertIsNone(self.cancel_payments(ids))
                self.recover(envelope)
                self.assertEqual(envelope.state, "settled")
                asked = [
                    call.arguments[1] for call in self.fake.calls if call.operation == "block_funds"
                ]
                self.assertNotIn(0, asked, "a bank refuses to hold nothing")
                self.assertFalse(self.fake.ordered)
                self.assertNothingHeld(envelope)
                self.assertBooksTie()

    def bring_without_approval(self, envelope, place):
        if place == "ready":
            return
        envelope._resolve(0, 2**31 - 1)
        envelope._check_funds_with_bank()
        if place == "block_unknown":
            self.fake.script("block_funds", DoneThen(NO_ANSWER))
        if place != "funds_available":
            envelope._block_funds_with_bank()
