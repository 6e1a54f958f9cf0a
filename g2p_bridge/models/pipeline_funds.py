from contextlib import contextmanager
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..connectors.errors import BankOutcomeUnknown, BankRejected, BankUnavailable
from .ledger_rules import DRAWN, TO_PAY
from .roles import OFFICER, check_role

#: check and release may be repeated after any outcome: they move no money, or are idempotent by
#: the block's reference
ALWAYS = ("started", "answered", "unavailable", "rejected", "unknown")


class DisbursementEnvelope(models.Model):
    """Funds at the sponsor bank: checked, blocked, released."""

    _inherit = "g2p.disbursement.envelope"

    #: by bank, for one without release holds its blocks for ever
    _release_idx = models.Index(
        "(bank_id, id) WHERE state IN ('settled', 'cancelled') AND funds_released_at IS NULL"
    )

    @api.depends("journal_ids", "funds_blocked_amount", "funds_released_at")
    def _compute_funds(self):
        """What became of the block: drawn by payments, released, or still held at the bank."""
        totals = self.env["g2p.disbursement.journal"]._totals_by_state(envelopes=self)
        for envelope in self:
            amounts = {state: part[1] for state, part in totals.get(envelope.id, {}).items()}
            drawn = sum(amounts.get(state, 0.0) for state in DRAWN)
            to_pay = sum(amounts.get(state, 0.0) for state in TO_PAY)
            if envelope.state in ("settled", "cancelled"):
                to_pay = 0.0
            is_held = envelope.funds_blocked_reference_number and not envelope.funds_released_at
            rounded = envelope.currency_id.round if envelope.currency_id else float
            held = max(rounded(envelope.funds_blocked_amount - drawn), 0.0) if is_held else 0.0
            envelope.funds_drawn_amount = rounded(drawn)
            envelope.funds_held_amount = held
            envelope.funds_idle_amount = max(rounded(held - to_pay), 0.0)

    # -- check ----------------------------------------------------------------------------------

    def action_check_funds_with_bank(self):
        """Ask the bank whether the money is there (job)."""
        check_role(self, OFFICER)
        for envelope in self.filtered(lambda e: e.state in ("ready", "approved")):
            envelope._enqueue_check_funds()

    def _enqueue_check_funds(self):
        self._delayed(
            self.env._("Check funds"),
            identity_key=f"check_funds:{self.id}",
            channel=self.bank_id._job_channel(),
        )._check_funds_with_bank()
        return "funds are checked"

    @api.private
    def _check_funds_with_bank(self):
        """Ask the bank whether it has what the envelope needs (queue job).

        May run any number of times: it moves no money, and what is not due is left alone.

        :raise RetryableJobError: the bank did not answer
        """
        self.ensure_one()
        due_state = "approved" if self.approval_required else "ready"
        if not self._lock_if(due_state):
            return f"not due ({self.state})"
        if not self._check_approval():
            return self.state
        account, amount = self.funding_account_id._to_debtor_account(), self._payable_amount()
        if not amount:  # cancelled one by one since the job was enqueued
            return self._settle_if_ended()
        connector = self.bank_id._get_connector()
        calls = self.env["g2p.bank.call"]
        call = calls._start(
            "check_funds", f"check_funds:{self.disbursement_envelope_id}", self, reopen=ALWAYS
        )
        try:
            answer = calls._run(call, lambda: _with_json(connector.check_funds(account, amount)))
        except BankUnavailable as error:
            raise self._back_off(error, call.attempts) from error
        except (BankRejected, BankOutcomeUnknown) as error:
            self._funds_check_failed("ERROR", error.code, str(error))
        else:
            if answer.is_available:
                self._set_funds_available()
            else:
                self._funds_check_failed(
                    "FUNDS_NOT_AVAILABLE", "FUNDS_NOT_AVAILABLE", answer.reason
                )
        self._enqueue_advance()
        return self.state

    def _funds_check_failed(self, status, code, reason):
        self._set_needs_attention(
            code,
            self.env._(
                "Funds check at %(bank)s: %(reason)s", bank=self.bank_id.name, reason=reason
            ),
            next_attempt_at=self._next_attempt(),
            funds_available_with_bank=status,
            funds_available_latest_timestamp=fields.Datetime.now(),
            funds_available_latest_error_code=code,
        )

    # -- block ----------------------------------------------------------------------------------

    def action_block_funds_with_bank(self):
        """Have the bank hold the money (job)."""
        check_role(self, OFFICER)
        for envelope in self.filtered(lambda e: e.state == "funds_available"):
            envelope._enqueue_block_funds()

    def _enqueue_block_funds(self):
        self._delayed(
            self.env._("Block funds"),
            identity_key=f"block_funds:{self.id}",
            channel=self.bank_id._job_channel(),
        )._block_funds_with_bank()
        return "funds are blocked"

    @api.private
    def _block_funds_with_bank(self):
        """Have the bank hold what the envelope needs (queue job).

        May run any number of times: the key, committed before the first byte, keeps a second
        block from being made. A block whose outcome nobody knows is asked for again only where
        the bank honours the key; otherwise an officer decides.

        :raise RetryableJobError: the bank surely did not get it
        """
        self.ensure_one()
        if not self._lock_if("funds_available"):
            return f"not due ({self.state})"
        if not self._check_approval():
            return self.state
        if not self._payable_amount():  # cancelled one by one: a bank refuses to hold nothing
            return self._settle_if_ended()
        call = self._start_block()
        try:
            answer = self._block(call) if call.is_new else self._recall_block(call)
        except BankUnavailable as error:
            raise self._back_off(error, call.attempts) from error
        except BankRejected as error:
            self._funds_block_failed("FUNDS_BLOCK_FAILURE", error, self._next_attempt())
        except BankOutcomeUnknown as error:
            # asked for again under the same key, where the bank honours it; else a person decides
            honours = self.bank_id._capabilities().honours_block_key
            self._funds_block_failed("ERROR", error, honours and self._next_attempt())
        else:
            self._set_funds_blocked(answer["reference"], float(answer["amount"]))
            self._enqueue_advance()
        return self.state

    def _start_block(self):
        """Open the call row: the same key until the bank surely refused, then the next one."""
        calls = self.env["g2p.bank.call"]
        refused = calls.search_count(
            [
                ("envelope_id", "=", self.id),
                ("operation", "=", "block_funds"),
                ("state", "=", "rejected"),
            ]
        )
        key = f"block_funds:{self.disbursement_envelope_id}:{refused + 1}"
        intent = {"amount": str(self._payable_amount())}
        if self.asks_bank_first:
            calls._assume_made("block_funds", key, self, intent=intent)
        reopen = self._reopened()
        return calls._start("block_funds", key, self, reopen=reopen, intent=intent)

    def _reopened(self):
        """Return the outcomes of a block after which the same block may be asked for again."""
        is_safe = self.bank_id._capabilities().honours_block_key
        return ("unavailable", "started", "unknown") if is_safe else ("unavailable",)

    def _block(self, call):
        """Make the announced block; a repeat asks for the amount of the first time."""
        amount = Decimal(call.intent["amount"])
        account = self.funding_account_id._to_debtor_account()
        connector = self.bank_id._get_connector()

        def block():
            answer = connector.block_funds(account, amount, call.idempotency_key)
            kept = {"reference": answer.reference, "amount": str(amount)}
            return kept, kept

        return self.env["g2p.bank.call"]._run(call, block)

    def _recall_block(self, call):
        known = self.env["g2p.bank.call"]._known(call)
        if known["state"] == "answered":
            return known["answer"]
        raise BankOutcomeUnknown(
            self.env._("The bank did not say whether it blocked the funds."),
            code=known["error_code"] or "NO_ANSWER",
        )

    def _funds_block_failed(self, status, error, next_attempt_at):
        self._set_needs_attention(
            error.code,
            self.env._(
                "Block of funds at %(bank)s: %(reason)s", bank=self.bank_id.name, reason=error
            ),
            next_attempt_at=next_attempt_at,
            funds_blocked_with_bank=status,
            funds_blocked_latest_timestamp=fields.Datetime.now(),
            funds_blocked_latest_error_code=error.code,
        )

    @api.private
    def _decide_block(self, reference, note):
        """Settle by a person's word whether the bank holds the funds, where it could not say.

        :param str reference: the bank's reference of the block; empty: nothing is held
        :param str note: what the decision rests on
        :raise UserError: no block of the envelope has an unknown outcome
        """
        self.ensure_one()
        check_role(self, OFFICER)
        calls = self.env["g2p.bank.call"].sudo()  # call rows belong to the pipeline
        call = self.sudo()._open_block_calls().filtered(lambda c: c.state != "answered")[:1]
        if self.state != "needs_attention" or not call:
            raise UserError(self.env._("No block of this envelope has an unknown outcome."))
        if reference:
            kept = {"reference": reference, "amount": call.intent["amount"]}
            calls._set_state(call, "answered", answer=kept)
        else:
            calls._set_state(call, "rejected", error_code="DECIDED_NOT_BLOCKED")
        envelope = self.sudo()  # nobody may write envelopes but their transitions
        envelope.message_post(
            body=self.env._(
                "Decided: funds are blocked under %(reference)s. %(note)s",
                reference=reference,
                note=note,
            )
            if reference
            else self.env._("Decided: no funds are blocked. %s", note)
        )
        envelope._set_resumed()
        envelope._enqueue_advance()

    # -- release --------------------------------------------------------------------------------

    def _enqueue_release_funds(self):
        if self._may_hold_funds():
            self._delayed(
                self.env._("Release funds"),
                identity_key=f"release_funds:{self.id}",
                channel=self.bank_id._job_channel(),
            )._release_funds_at_bank()

    def _may_hold_funds(self):
        return not self.funds_released_at and bool(
            self.funds_blocked_reference_number or self._open_block_calls()
        )

    def _open_block_calls(self):
        return self.env["g2p.bank.call"].search(
            [
                ("envelope_id", "=", self.id),
                ("operation", "=", "block_funds"),
                ("state", "in", ["started", "unknown", "answered"]),
            ]
        )

    @api.private
    def _release_funds_at_bank(self):
        """Give back what the bank still holds for an ended envelope (queue job).

        May run any number of times: a bank releases by the block's reference. A pause does not
        hold it up, for nothing is left that could wait for its end.

        :raise RetryableJobError: the bank did not say that it released
        """
        self.ensure_one()
        is_due = self._lock_if("settled", "cancelled", even_paused=True)
        if not is_due or not self._may_hold_funds():
            return f"not due ({self.state})"
        connector = self.bank_id._get_connector()
        if not self.bank_id._capabilities().supports_release:
            return "the bank has no release: it goes on holding the rest"
        try:
            reference = self.funds_blocked_reference_number or self._find_lost_block()
            if reference:
                self._release(connector, reference)
        except BankRejected as error:
            self.write({"release_error": str(error)[:500], "next_release_at": self._next_attempt()})
            return "refused"
        self.write(
            {
                "funds_released_at": fields.Datetime.now(),
                "release_error": False,
                "next_release_at": False,
            }
        )
        return "released"

    @api.private
    def _on_release_failed(self, exc_message=None, **_values):
        """The bank could not be reached in all attempts: shown, and tried again by the cron."""
        for envelope in self:
            envelope.write(
                {
                    "release_error": (exc_message or "")[:500],
                    "next_release_at": envelope._next_attempt(),
                }
            )

    def _release(self, connector, reference):
        calls = self.env["g2p.bank.call"]
        account = self.funding_account_id._to_debtor_account()

        def release():
            connector.release_funds(account, reference)
            return None, {"reference": reference}

        call = calls._start(
            "release_funds", f"release_funds:{self.disbursement_envelope_id}", self, reopen=ALWAYS
        )
        with self._asked_again_later(call):
            calls._run(call, release)

    def _find_lost_block(self):
        """Return the reference of a block whose answer was lost when the envelope was cancelled.

        A bank that honours the key answers the same request again. Each time counts as another
        attempt, so that one which does not arrive leaves open what became of the first.
        """
        calls = self.env["g2p.bank.call"]
        for block in self._open_block_calls():
            call = calls._start("block_funds", block.idempotency_key, self, reopen=self._reopened())
            known = calls._known(call)
            if known["state"] == "answered":
                return known["answer"]["reference"]
            if not call.is_new:
                raise BankRejected(
                    self.env._("Nobody knows whether funds are blocked; ask the bank."),
                    code="BLOCK_UNKNOWN",
                )
            try:
                with self._asked_again_later(call):
                    return self._block(call)["reference"]
            except BankRejected:
                continue  # it was never made, and the row says so now
        return ""

    @contextmanager
    def _asked_again_later(self, call):
        """Have the job come back where the bank did not say what became of a call."""
        try:
            yield
        except (BankUnavailable, BankOutcomeUnknown) as error:
            raise self._back_off(error, call.attempts) from error

    def _find_held_funds(self, limit):
        """Return ended envelopes whose block, known or lost, is not released yet."""
        self.flush_model()
        ids = self.env.execute_query(
            SQL(
                """
                SELECT id FROM g2p_disbursement_envelope e
                 WHERE state IN ('settled', 'cancelled') AND funds_released_at IS NULL
                   AND bank_id = ANY(%(banks)s)
                   AND (next_release_at IS NULL OR next_release_at <= %(now)s)
                   AND (funds_blocked_reference_number <> ''
                     OR EXISTS (SELECT FROM g2p_bank_call
                                 WHERE envelope_id = e.id AND operation = 'block_funds'
                                   AND state IN ('started', 'unknown', 'answered')))
                 ORDER BY id LIMIT %(limit)s
                """,
                banks=self.env["g2p.sponsor.bank"]._find_releasing().ids,
                now=fields.Datetime.now(),
                limit=limit,
            )
        )
        return self.browse(envelope_id for (envelope_id,) in ids)

    # -- shared ---------------------------------------------------------------------------------

    def _lock_if(self, *states, even_paused=False):
        """Lock the envelope and say whether it is in such a state; what is paused is not due.

        :raise RetryableJobError: another step of the envelope is under way
        """
        self._lock_for_job("a step is under way", seconds=2)
        return self.state in states and (even_paused or not self.is_paused)


def _with_json(result):
    return result, None
