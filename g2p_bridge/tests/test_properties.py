"""Any order of calls, answers, crashes, statements and decisions: the books tie after each."""

import os
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.dto import REJECTED, Acknowledgement, PaymentStatus
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError
from odoo.addons.queue_job.exception import RetryableJobError

from .fake_bank import OPERATIONS, DoneThen
from .pipeline_case import PipelineCase
from .statement_case import entry, statement_text

EXAMPLES = int(os.environ.get("G2P_PROPERTY_EXAMPLES", "20"))
PEOPLE = 6
ENVELOPES = 3
CURRENCIES = {"JPY": 0, "USD": 2, "TND": 3}
#: states in which the bank must have been asked to pay, exactly once
ORDERED = {"sent", "reconciled", "reversed"}
#: states in which it must not have been
NEVER_ORDERED = {"received", "unresolved", "resolved", "cancelled"}
#: refusals that a random call may meet; any other is a failure of the test
REFUSALS = {
    "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED",
    "DISBURSEMENT_ENVELOPE_COMPLETE",
    "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED",
    "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED",
    "INVALID_DISBURSEMENT_PAYLOAD",
    "AMENDMENT_BELOW_RECEIVED",
}

EXCEEDS = {
    "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED",
    "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED",
}


class Crash(Exception):
    """The process died."""


def refuse_first(_account, _block, payments, _key):
    """Take a batch but for its first payment."""
    refused = PaymentStatus(
        end_to_end_id=payments[0].end_to_end_id, status=REJECTED, reason_code="AC01"
    )
    return Acknowledgement(reference="PART", rejected=(refused,))


#: what a call of the bridge may meet; drawn by name, so that a failure is readable
ANSWERS = {
    "unavailable": lambda: BankUnavailable("down", code="Refused"),
    "rejected": lambda: BankRejected("no", code="AC01"),
    "never arrived": lambda: BankOutcomeUnknown("no answer", code="ReadTimeout"),
    "answer lost": lambda: DoneThen(BankOutcomeUnknown("no answer", code="ReadTimeout")),
    "crash before": lambda: Crash(),
    "crash after": lambda: DoneThen(Crash()),
}


@tagged("post_install", "-at_install")
class TestProperties(PipelineCase):
    """Random histories against the fake bank, which is the judge of what was ordered."""

    keeps_postponed = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.approver = cls.create_user("test_approver", "g2p_bridge.group_approver")
        for name in CURRENCIES:
            currency = cls.env["res.currency"].with_context(active_test=False)
            currency = currency.search([("name", "=", name)])
            currency.active = True
            account = cls.create_account(
                cls.bank, account_number=f"ACCOUNT{name}", currency_id=currency.id
            )
            cls.create_program(mnemonic=f"PROG{name}", funding_account_id=account.id)

    def test_books_tie_after_any_history(self):
        case = self

        class Machine(History):
            pass

        Machine.case = case
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                derandomize="G2P_PROPERTY_EXAMPLES" not in os.environ,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


index = st.integers(min_value=0, max_value=99)
#: of an envelope's payments, in the smallest units of its currency
amounts = st.lists(st.integers(min_value=1, max_value=10**7), min_size=1, max_size=5)


class History(RuleBasedStateMachine):
    """One random history; everything that it does is rolled back at its end."""

    case = None

    def __init__(self):
        super().__init__()
        case = self.case
        case.env.flush_all()
        self.savepoint = case.env.cr.savepoint(flush=False)
        case.fake.__init__()
        self.envelopes = case.env["g2p.disbursement.envelope"]
        self.rows = {}
        self.answered_cancelled = set()
        self.statements = 0
        self.texts = []

    def teardown(self):
        self.savepoint.rollback()
        self.savepoint.close(rollback=True)
        self.case.env.transaction.clear()  # also what would be written of what is gone
        self.case.env.registry.clear_cache()

    @initialize(
        key=st.booleans(),
        inquiry=st.booleans(),
        release=st.booleans(),
        size=st.integers(min_value=1, max_value=4),
        currency=st.sampled_from(sorted(CURRENCIES)),
        units=amounts,
    )
    def meet_a_bank(self, key, inquiry, release, size, currency, units):
        fake = self.case.fake
        fake.honours_idempotency_key, fake.supports_inquiry, fake.supports_release = (
            key,
            inquiry,
            release,
        )
        self.case.bank.max_batch_size = size
        self.declare(currency, units, is_sent=True)

    # -- the program system ---------------------------------------------------------------------

    @precondition(lambda self: len(self.envelopes) < ENVELOPES)
    @rule(
        currency=st.sampled_from(sorted(CURRENCIES)),
        units=amounts,
        is_sent=st.integers(min_value=0, max_value=3),
        days=st.sampled_from([0, 0, 1]),
    )
    def declare(self, currency, units, is_sent, days=0):
        digits = CURRENCIES[currency]
        values = [Decimal(unit).scaleb(-digits) for unit in units]
        envelope = self.case.create_envelope(
            len(values),
            benefit_program_mnemonic=f"PROG{currency}",
            disbursement_currency_code=currency,
            total_disbursement_amount=str(sum(values)),
            cycle_code_mnemonic=f"C{len(self.envelopes)}",
            disbursement_schedule_date=str(fields.Date.today() + timedelta(days=days)),
        )
        self.envelopes += envelope
        self.rows[envelope.id] = [
            {
                "mis_reference_number": f"MIS{number}",
                "beneficiary_id": f"BEN{number % PEOPLE + 1}",
                "beneficiary_name": f"Person {number}",
                "disbursement_amount": str(amount),
                "narrative": "Grant",
            }
            for number, amount in enumerate(values)
        ]
        if is_sent:  # most come complete, so that histories get somewhere
            self.send(len(self.envelopes) - 1, len(values))

    @precondition(lambda self: self.envelopes)
    @rule(which=index, count=st.integers(min_value=1, max_value=5))
    def send(self, which, count):
        envelope = self.pick(which)
        there = set(self.payments(envelope).mapped("mis_reference_number"))
        rows = [r for r in self.rows[envelope.id] if r["mis_reference_number"] not in there]
        if rows:
            self.call("create_disbursements", envelope.disbursement_envelope_id, rows[:count])

    @precondition(lambda self: self.envelopes)
    @rule(which=index)
    def send_too_much(self, which):
        envelope = self.pick(which)
        row = {
            **self.rows[envelope.id][0],
            "mis_reference_number": "EXTRA",
            "disbursement_amount": "99999999",
        }
        assert not self.call(
            "create_disbursements", envelope.disbursement_envelope_id, [row], also=EXCEEDS
        )

    @precondition(lambda self: self.envelopes)
    @rule(which=index, more=st.integers(min_value=0, max_value=3), is_too_low=st.booleans())
    def amend(self, which, more, is_too_low):
        """Declare what is there, and some of what is still to come; or less than is there."""
        envelope = self.pick(which)
        states = {p.mis_reference_number: p.state for p in self.payments(envelope)}
        rows = self.rows[envelope.id]
        there = [
            row
            for row in rows
            if states.get(row["mis_reference_number"], "cancelled") != "cancelled"
        ]
        to_come = [row for row in rows if row["mis_reference_number"] not in states]
        wanted = there[:-1] if is_too_low else there + to_come[:more]
        if not wanted:
            return
        is_taken = self.call(
            "amend_disbursement_envelope",
            envelope.disbursement_envelope_id,
            None,
            len(wanted),
            str(sum(Decimal(row["disbursement_amount"]) for row in wanted)),
            also={"DISBURSEMENT_ENVELOPE_DATE_PASSED"},
        )
        if is_taken:
            assert not is_too_low
            self.rows[envelope.id] = [row for row in rows if row not in to_come[more:]]

    @precondition(lambda self: self.envelopes)
    @rule(which=index, payment=index)
    def cancel_a_payment(self, which, payment):
        payments = self.payments(self.pick(which))
        if not payments:
            return
        wanted = payments[payment % len(payments)]
        envelope = wanted.envelope_id
        was_receiving = envelope.state == "receiving"
        if self.call("cancel_disbursements", [wanted.disbursement_id]):
            self.answered_cancelled.add(wanted.disbursement_id)
            if was_receiving:  # it leaves room for a replacement
                old = next(
                    row
                    for row in self.rows[envelope.id]
                    if row["mis_reference_number"] == wanted.mis_reference_number
                )
                self.rows[envelope.id].append(
                    {**old, "mis_reference_number": f"{old['mis_reference_number']}R"}
                )

    @precondition(lambda self: self.envelopes)
    @rule(which=index, is_meant=st.integers(min_value=0, max_value=3))
    def cancel_an_envelope(self, which, is_meant):
        if is_meant:  # rarely, so that histories get somewhere
            return
        envelope = self.pick(which)
        ids = self.payments(envelope).mapped("disbursement_id")
        if self.call("cancel_disbursement_envelope", envelope.disbursement_envelope_id):
            self.answered_cancelled.update(ids)

    # -- the mapper -----------------------------------------------------------------------------

    @rule(person=st.integers(min_value=4, max_value=PEOPLE))
    def link(self, person):
        links = self.case.env["g2p.account.link"]
        if not links.search([("beneficiary_id", "=", f"BEN{person}")]):
            self.case.link(f"BEN{person}")
        self.run(self.envelopes._cron_resolve_again)

    # -- the bank -------------------------------------------------------------------------------

    @rule(
        operation=st.sampled_from(OPERATIONS),
        answers=st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=3),
    )
    def misbehave(self, operation, answers):
        self.case.fake.script(operation, *[ANSWERS[name]() for name in answers])

    @rule()
    def refuse_one_of_a_batch(self):
        def order(account, block, payments, key):
            answer = refuse_first(account, block, payments, key)
            for payment in payments[1:]:
                self.case.fake.ordered[payment.end_to_end_id].append(payment)
            self.case.fake._answers[key] = answer
            return answer

        self.case.fake.script("initiate_payment", order)

    @precondition(lambda self: self.envelopes)
    @rule(
        which=index,
        marks=st.lists(
            st.tuples(st.sampled_from(["D", "RD", "C", "RC"]), index), min_size=1, max_size=6
        ),
        is_wrong=st.booleans(),
    )
    def send_a_statement(self, which, marks, is_wrong):
        """Debits of payments that the bank has, and anything else that a statement may hold."""
        envelope = self.pick(which)
        account, payments = envelope.funding_account_id, self.payments(envelope)
        if not payments:
            return
        digits = CURRENCIES[account.currency_id.name]
        entries = []
        for mark, number in marks:
            payment = payments[number % len(payments)]
            if mark == "D" and not self.case.fake.ordered.get(payment.disbursement_id):
                continue  # a bank does not debit what nobody ordered
            amount = Decimal(str(payment.amount)) + (1 if is_wrong and number % 3 == 0 else 0)
            text = f"{amount:.{digits}f}".replace(".", ",")
            entries.append(entry(mark, text if digits else f"{text},", payment.disbursement_id))
        self.statements += 1
        text = statement_text(
            account.account_number,
            entries,
            number=f"{self.statements}/1",
            opening="99999999999,",
            currency=account.currency_id.name,
        )
        self.texts.append(text)
        self.upload(text)

    @precondition(lambda self: self.texts)
    @rule(which=index)
    def send_a_statement_again(self, which):
        self.upload(self.texts[which % len(self.texts)])

    @precondition(lambda self: self.envelopes)
    @rule(which=index, payment=index, status=st.sampled_from(["accepted", "rejected"]))
    def send_a_status(self, which, payment, status):
        """The bank's word on a payment that it has."""
        taken = self.payments(self.pick(which)).filtered(
            lambda row: self.case.fake.ordered.get(row.disbursement_id)
        )
        if taken:
            wanted = taken[payment % len(taken)]
            update = {"disbursement_id": wanted.disbursement_id, "status": status}
            self.run(lambda: self.case.bank_api.update_status_of_disbursements([update]))

    # -- time and officers ----------------------------------------------------------------------

    @rule()
    def tick(self):
        self.run(self.envelopes._cron_find_due_work)

    @precondition(lambda self: self.envelopes)
    @rule(which=index, is_resumed=st.booleans())
    def pause(self, which, is_resumed):
        """An officer pauses an envelope, mostly not for long."""
        officer = self.pick(which).with_user(self.case.officer)
        self.run(officer.action_pause)
        if is_resumed:
            self.run(officer.action_resume)

    @rule()
    def resume_all(self):
        for envelope in self.envelopes.filtered("is_paused"):
            self.run(envelope.with_user(self.case.officer).action_resume)

    @rule()
    def let_a_day_pass(self):
        self.case.env.flush_all()
        self.case.env.cr.execute(
            """
            UPDATE g2p_disbursement_envelope
               SET disbursement_schedule_date = least(disbursement_schedule_date, current_date),
                   next_attempt_at = next_attempt_at - interval '1 day',
                   next_release_at = next_release_at - interval '1 day';
            UPDATE g2p_disbursement_batch SET state_since = state_since - interval '1 day';
            UPDATE g2p_bank_call SET started_at = started_at - interval '1 day';
            UPDATE g2p_bank_health SET open_until = open_until - interval '1 day'
            """
        )
        self.case.env.invalidate_all()
        self.run(self.envelopes._cron_find_due_work)

    @rule()
    def decide(self):
        """Officers ask the bank on the telephone, and tell the bridge what it says."""
        fake = self.case.fake
        for batch in self.envelopes.batch_ids.filtered(lambda b: b.state == "unknown"):
            ids = batch.disbursement_ids.mapped("disbursement_id")
            taken = {bool(fake.ordered.get(payment_id)) for payment_id in ids}
            if len(taken) == 1 and not batch.proposed_decision:
                batch.with_user(self.case.officer)._propose(taken.pop(), "telephone")
            if batch.proposed_decision:
                self.run(batch.with_user(self.case.approver).action_confirm_decision)
        for envelope in self.envelopes.filtered(lambda e: e.state == "needs_attention"):
            calls = envelope._open_block_calls().filtered(lambda c: c.state != "answered")
            if calls:
                references = fake.block_references.get(calls[0].idempotency_key, [])
                reference = references[-1] if references else ""
                officer = envelope.with_user(self.case.officer)
                self.run(partial(officer._decide_block, reference, "telephone"))

    # -- what must hold -------------------------------------------------------------------------

    @invariant()
    def the_books_tie(self):
        differences = self.case.env["g2p.ledger.difference"]._check()
        assert not differences, differences.read(["rule", "subject", "expected", "found"])

    @invariant()
    def nobody_is_ordered_twice_or_against_a_cancellation(self):
        self.case.assertNothingTwice()
        self.case.env.invalidate_all()
        for payment in self.payments(self.envelopes):
            is_ordered = bool(self.case.fake.ordered.get(payment.disbursement_id))
            if payment.disbursement_id in self.answered_cancelled:
                assert payment.state == "cancelled", payment.state
            if payment.state in NEVER_ORDERED:
                assert not is_ordered, payment.state
            if payment.state in ORDERED:
                assert is_ordered, payment.state

    @invariant()
    def each_envelope_is_blocked_once_at_most(self):
        by_envelope = Counter()
        for key, references in self.case.fake.block_references.items():
            by_envelope[key.split(":")[1]] += len(references)
        assert not by_envelope or max(by_envelope.values()) == 1, by_envelope

    # -- helpers --------------------------------------------------------------------------------

    def pick(self, which):
        return self.envelopes[which % len(self.envelopes)]

    def payments(self, envelopes):
        return self.case.env["g2p.disbursement"].search([("envelope_id", "in", envelopes.ids)])

    def call(self, method, *arguments, also=frozenset()):
        """Call the facade, run what it enqueues; say whether it took the call."""
        try:
            self.run(lambda: getattr(self.case.api, method)(*arguments))
        except BridgeError as error:
            assert error.args[0] in REFUSALS | also, error.args
            return False
        return True

    def upload(self, text):
        try:
            self.run(lambda: self.case.bank_api.upload_mt940(text))
        except UserError as error:
            raise AssertionError(f"the bank's statement was refused: {error}") from error

    def run(self, start):
        """Do it, and run the jobs that it enqueues until none is left; some die on the way."""
        try:
            with self.case.env.cr.savepoint():
                todo = self.case._enqueued_by(start)
        except Crash as error:
            raise AssertionError("nothing that a caller waits for asks the bank") from error
        while todo:
            job = todo.pop(0)
            # a job that dies is lost: whatever it was to do, the cron finds
            with suppress(Crash, RetryableJobError):
                todo += self.case._enqueued_by(job.perform)
            self.case.env.flush_all()
            self.case.env.invalidate_all()
