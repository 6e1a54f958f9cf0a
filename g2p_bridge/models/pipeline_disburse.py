from collections import defaultdict
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from ..connectors.dto import (
    ACCEPTED,
    NOT_FOUND,
    REJECTED,
    UNSEEN,
    Acknowledgement,
    FinancialAddress,
    Payment,
)
from ..connectors.errors import BankOutcomeUnknown, BankRejected, BankUnavailable
from .own_cursor import own_cursor, try_lock_for_transaction
from .pipeline_resolve import ADDRESS_COLUMNS
from .roles import APPROVER, OFFICER, check_role

#: batches that one transaction forms, so that none holds locks on all rows of a big envelope
BATCHES_PER_ROUND = 20


class DisbursementEnvelope(models.Model):
    """Batches: formed of what is resolved, a round at a time."""

    _inherit = "g2p.disbursement.envelope"

    def action_disburse_funds_from_bank(self):
        """Form batches of what is payable and send what stands ready (jobs)."""
        check_role(self, OFFICER)
        self._enqueue_advance()

    def _form_batches(self):
        """Put a round of resolved payments into batches, and have ready ones sent.

        :raise RetryableJobError: a round ended after our snapshot was taken and before we had the
            lock: it left the row of the envelope as it was, so the lock does not tell
        """
        if self._count_batches_past_snapshot() != self.batch_count:
            raise RetryableJobError("batches were formed meanwhile", seconds=1, ignore_retry=True)
        parts, has_more = self._next_parts()
        payment_ids = sorted(row_id for _destination, ids in parts for row_id in ids)
        if parts and not (self._check_approval(payment_ids) and self._check_originals(payment_ids)):
            return self.state
        if parts:
            self._create_batches(parts)
            if self.state != "disbursing":
                self._set_disbursing()
        if has_more:
            self._enqueue_round()
        self.bank_id._enqueue_ready()
        if self.state == "funds_blocked":
            return self._settle_if_ended()
        return self._set_disbursed_if_done()

    def _count_batches_past_snapshot(self):
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT count(*) FROM g2p_disbursement_batch WHERE envelope_id = %s", [self.id]
            )
            [count] = cr.fetchone()
        return count

    def _enqueue_round(self):
        """Have another round begin when this one is committed; one, however many ask for it.

        One that waits already cannot have its turn before: we hold the envelope's lock.
        """
        self._delayed(
            self.env._("Find the next step"), identity_key=f"round:{self.id}", priority=5
        )._advance()

    def _next_parts(self):
        """Return the next batches as [(destination, payment ids)], and whether there are more.

        With a batch for each destination bank, what does not fill one waits for a later round, the
        last one at most: so a round reads a few times what it puts into batches, and never sorts
        all that is left.
        """
        size = self.bank_id.max_batch_size
        for times in (1, 2, 4):
            limit = size * BATCHES_PER_ROUND * times
            rows = self._find_payable(limit)
            parts = cut_by_destination(rows, size)
            is_all = len(rows) < limit
            full = [part for part in parts if len(part[1]) == size]
            if full or is_all:
                break
        # of so many destinations that none fills a batch, the largest
        chosen = parts if is_all else full or sorted(parts, key=_size_of_part, reverse=True)
        has_more = not is_all or len(chosen) > BATCHES_PER_ROUND
        return chosen[:BATCHES_PER_ROUND], has_more

    def _find_payable(self, limit):
        return self.env.execute_query(
            SQL(
                """
                SELECT d.id, %s FROM g2p_disbursement d
                 WHERE %s AND d.state = 'resolved' ORDER BY d.id LIMIT %s
                """,
                SQL("coalesce(d.bank_code, '')")
                if self.bank_id.split_by_destination_bank
                else SQL("''"),
                self._is_of_envelope(),
                limit,
            )
        )

    def _create_batches(self, parts):
        first = self.batch_count + 1
        # no chatter of what every batch does: the record itself and its bank calls say when
        batches = (
            self.env["g2p.disbursement.batch"]
            .with_context(tracking_disable=True)
            .create(
                [
                    {
                        "name": f"{self.disbursement_envelope_id}-{first + index}",
                        "envelope_id": self.id,
                        "destination_bank_code": destination or False,
                    }
                    for index, (destination, _ids) in enumerate(parts)
                ]
            )
        )
        members = [
            (row_id, batch.id)
            for batch, (_destination, ids) in zip(batches, parts, strict=True)
            for row_id in ids
        ]
        row_ids, batch_ids = zip(*members, strict=True)
        moved = self.env["g2p.disbursement"]._bulk_transition(
            "batched",
            # the bounds keep it from reading the payments of all envelopes
            SQL("d.id = v.row_id AND d.id BETWEEN %s AND %s", min(row_ids), max(row_ids)),
            cause="disburse_funds_from_bank",
            assign=SQL("batch_id = v.batch_id"),
            from_clause=SQL(
                "unnest(%s, %s) AS v(row_id, batch_id)", list(row_ids), list(batch_ids)
            ),
        )
        for _envelope, batch_id, count, amount in moved:
            batches.browse(batch_id).write({"disbursement_count": count, "total_amount": amount})

    def _set_disbursed_if_done(self):
        """All is with the bank when no batch is open and nothing payable is left."""
        open_work = self.env.execute_query(
            SQL(
                """
                SELECT EXISTS (SELECT FROM g2p_disbursement_batch
                                WHERE envelope_id = %(id)s AND state IN ('ready', 'unknown'))
                    OR EXISTS (SELECT FROM g2p_disbursement
                                WHERE envelope_id = %(id)s AND state IN ('received', 'resolved'))
                """,
                id=self.id,
            )
        )[0][0]
        if open_work:
            return self.state
        if self.state != "disbursed":
            self._set_disbursed()
        return self._settle_if_ended()


class DisbursementBatch(models.Model):
    """One batch on its way to the bank: sent once, or known why not."""

    _inherit = "g2p.disbursement.batch"

    def _enqueue_disburse(self):
        for bank, batches in self.grouped("bank_id").items():
            bank._enqueue_batches([(batch.id, batch.name) for batch in batches])

    @api.private
    def _disburse_funds_from_bank(self):
        """Send one batch to its sponsor bank (queue job).

        May run any number of times: what is not due is left alone, and the intent row, committed
        before the first byte, keeps a batch from being sent twice.

        :raise RetryableJobError: the bank surely did not get it
        """
        self.ensure_one()
        self._lock_for_job("the batch is under way", seconds=5)
        if self.state not in ("ready", "unknown") or self.envelope_id.is_paused:
            self.bank_id._enqueue_next(self)
            return f"not due ({self.state})"
        if self.state == "ready" and not self._is_as_approved():
            self.bank_id._enqueue_next(self)
            return "waits for approval"
        self._take_slot()
        was_unknown = self.state == "unknown"
        call = self._start_call()
        try:
            acknowledgement = self._send_to_bank(call) if call.is_new else self._recall(call)
        except BankUnavailable as error:
            raise self.envelope_id._back_off(error, call.attempts) from error
        except BankRejected as error:
            self._set_rejected(error.code, str(error)[:200])
        except BankOutcomeUnknown as error:
            if self.state == "ready":
                self._set_unknown(error.code, str(error)[:200])
        else:
            self._set_acknowledged(acknowledgement)
        self.bank_id._enqueue_next(self, was_unknown=was_unknown)
        self.envelope_id._enqueue_advance_if_last(
            SQL(
                "EXISTS (SELECT FROM g2p_disbursement_batch WHERE envelope_id = %s"
                " AND state = 'ready' AND id <> %s)",
                self.envelope_id.id,
                self.id,
            )
        )
        return self.state

    def _is_as_approved(self):
        """Say whether the batch pays what was approved; if not, put it before an approver.

        Nor does it pay again what the bank's statements show as paid. It was looked at when it was
        formed, but may have stood ready for days since.
        """
        envelope = self.envelope_id
        if envelope._find_disputed(self.disbursement_ids.ids if envelope.reissued_from_id else []):
            envelope._lock_for_job("a step is under way", seconds=2)
            return envelope._check_originals(self.disbursement_ids.ids)
        if not envelope.approval_required:
            return True
        approval, payment_ids = envelope.approval_ids[:1], self.disbursement_ids.ids
        if envelope._has_approval() and envelope._is_as_approved(approval, payment_ids):
            return True
        envelope._lock_for_job("a step is under way", seconds=2)
        if envelope.state == "needs_attention" and envelope._lacks_approval():
            return False  # another batch said so, or the cancellation
        return envelope._check_approval(payment_ids)

    def _take_slot(self):
        """Take one of the parallel calls that the bank allows, until the end of the transaction.

        :raise RetryableJobError: all are taken
        """
        for slot in range(self.bank_id.max_parallel_calls):
            name = f"g2p.sponsor.bank.slot:{self.bank_id.id}:{slot}"
            if try_lock_for_transaction(self.env.cr, name):
                return
        raise RetryableJobError("the bank is busy with our calls", seconds=2, ignore_retry=True)

    def _start_call(self):
        calls, key = self.env["g2p.bank.call"], self._payment_key()
        if self.envelope_id.asks_bank_first:
            calls._assume_made("initiate_payment", key, self)
        return calls._start("initiate_payment", key, self)

    def _payment_key(self):
        """Return the idempotency key of the batch: its name, and a hash of what it pays.

        A database that was restored may use a name again. With the same payments the bank takes
        it for a repeat, as it should; with others it is another key.
        """
        known = self.env["g2p.bank.call"].search(
            [("batch_id", "=", self.id), ("operation", "=", "initiate_payment")], limit=1
        )
        if known:
            return known.idempotency_key
        [[digest]] = self.env.execute_query(
            SQL(
                """
                SELECT encode(sha256(convert_to(
                           string_agg(disbursement_id || ' ' || amount, ';' ORDER BY id),
                           'UTF8')), 'hex')
                  FROM g2p_disbursement WHERE batch_id = %s
                """,
                self.id,
            )
        )
        return f"initiate_payment:{self.name}:{digest[:16]}"

    def _send_to_bank(self, call, is_perhaps_taken=False):
        """Make the payment call and keep its answer before anyone acts on it.

        :param bool is_perhaps_taken: the bank may have the batch from an earlier call; that it
            refuses this one (a key that has ended, say) then tells nothing of that one
        :return: dict of ``reference`` and ``rejected``: list of [end-to-end id, code]
        """
        payments = self._prepare_payments()
        envelope, connector = self.envelope_id, self.bank_id._get_connector()
        account = envelope.funding_account_id._to_debtor_account()

        def send():
            try:
                answer = connector.initiate_payment(
                    account,
                    envelope.funds_blocked_reference_number or "",
                    payments,
                    call.idempotency_key,
                )
            except BankRejected as error:
                if not is_perhaps_taken:
                    raise
                raise BankOutcomeUnknown(
                    self.env._("The bank refused the repeat of a call that it may have taken."),
                    code=error.code,
                ) from error
            kept = _kept_acknowledgement(answer)
            return kept, kept

        return self.env["g2p.bank.call"]._run(call, send)

    def _recall(self, call):
        """Say what became of a call that was made before, without making it again blindly.

        :raise BankUnavailable: the bank did not answer the inquiry
        :raise BankRejected: it surely refused the batch
        :raise BankOutcomeUnknown: nobody can know
        """
        known = self.env["g2p.bank.call"]._known(call)
        if known["state"] == "answered":
            return known["answer"]
        if known["state"] == "rejected":
            raise BankRejected(known["error_message"], code=known["error_code"])
        can = self.bank_id._capabilities()
        if can.supports_inquiry:
            return self._inquire(call)
        if can.honours_idempotency_key:
            return self._send_again(call, is_perhaps_taken=True)
        raise BankOutcomeUnknown(
            self.env._("The bank did not answer, and has no way to ask what became of the batch."),
            code=known["error_code"] or "NO_ANSWER",
        )

    def _inquire(self, call):
        """Ask the bank what it has of the batch; send again only what it surely never got."""
        connector = self.bank_id._get_connector()
        account = self.envelope_id.funding_account_id._to_debtor_account()
        payments = self._prepare_payments()
        calls = self.env["g2p.bank.call"]
        inquiry = calls._start(
            "inquire_payments",
            f"inquire_payments:{self.name}",
            self,
            reopen=("started", "answered", "unavailable", "rejected", "unknown"),
        )
        statuses = calls._run(
            inquiry,
            lambda: (connector.inquire_payments(account, call.idempotency_key, payments), None),
        )
        by_status = defaultdict(list)
        for status in statuses:
            by_status[status.status].append(status)
        if len(statuses) == len(payments) and set(by_status) == {NOT_FOUND}:
            if self.bank_id._capabilities().honours_idempotency_key:
                return self._send_again(call, is_perhaps_taken=False)
            raise BankOutcomeUnknown(
                self.env._("The bank has not got the batch yet; it may still be on its way."),
                code="NOT_FOUND",
            )
        if by_status[UNSEEN]:
            raise BankOutcomeUnknown(
                self.env._("Nothing shows whether the bank has the batch."), code="UNSEEN"
            )
        if len(statuses) == len(payments) and not by_status[NOT_FOUND]:
            answer = Acknowledgement(
                reference=next((s.bank_reference for s in by_status[ACCEPTED]), ""),
                rejected=tuple(by_status[REJECTED]),
            )
            kept = _kept_acknowledgement(answer)
            calls._set_state(call, "answered", answer=kept)
            return kept
        raise BankOutcomeUnknown(
            self.env._("The bank has a part of the batch only."), code="PARTLY_FOUND"
        )

    def _send_again(self, call, is_perhaps_taken):
        """Send the same batch under the same key, which the bank honours.

        :param bool is_perhaps_taken: nobody has said that the bank does not have it
        :raise BankOutcomeUnknown: it is no longer what was approved
        """
        if not self._is_as_approved():
            raise BankOutcomeUnknown(
                self.env._("The bank has not got the batch, which is not as it was approved."),
                code="APPROVAL_VOID",
            )
        again = self.env["g2p.bank.call"]._start(
            "initiate_payment",
            call.idempotency_key,
            self,
            reopen=("started", "unknown", "unavailable"),
        )
        return self._send_to_bank(again, is_perhaps_taken) if again.is_new else self._recall(again)

    def _prepare_payments(self):
        """Return the batch's payments as the connector takes them, in the order they came."""
        envelope = self.envelope_id
        common = {
            "currency": self.currency_id.name,
            "program": envelope.program_id.mnemonic,
            "cycle": envelope.cycle_code_mnemonic,
            "requested_date": envelope.disbursement_schedule_date,
        }
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT disbursement_id, amount::text, beneficiary_id, beneficiary_name, narrative,
                       %s FROM g2p_disbursement WHERE batch_id = %s ORDER BY id
                """,
                SQL(", ").join(map(SQL.identifier, ADDRESS_COLUMNS)),
                self.id,
            )
        )
        digits = Decimal(1).scaleb(-self.currency_id.decimal_places)
        return [
            Payment(
                end_to_end_id=row["disbursement_id"],
                amount=Decimal(row["amount"]).quantize(digits),
                creditor_id=row["beneficiary_id"],
                creditor_name=row["beneficiary_name"],
                remittance_information=row["narrative"],
                creditor_account=_address_of(row),
                **common,
            )
            for row in rows
        ]

    @api.private
    def _on_disburse_failed(self, exc_name=None, exc_message=None, exc_info=None, **_values):
        """The bank could not be reached in all attempts: an officer sees it, the cron goes on."""
        for batch in self:
            batch.envelope_id._on_step_failed(exc_name=exc_name, exc_message=exc_message)

    @api.model
    def _enqueue_inquiries(self, limit):
        """Ask again about batches whose outcome nobody knows, where the bank can be asked."""
        banks = self.env["g2p.sponsor.bank"]._find_askable()
        ids = self.env.execute_query(
            SQL("SELECT DISTINCT bank_id FROM (%s) due ORDER BY 1", banks._unknown_batches())
        )
        for (bank_id,) in ids:
            banks.browse(bank_id)._enqueue_inquiries(limit)

    # -- buttons --------------------------------------------------------------------------------

    def action_disburse_funds_from_bank(self):
        """Send the batch, or ask the bank what became of it (job)."""
        self._check_officer()
        self.filtered(lambda b: b.state in ("ready", "unknown"))._enqueue_disburse()

    @api.private
    def _propose(self, was_paid, note):
        """Say what became of a batch for which the bank has no answer; a second person decides.

        :param bool was_paid: the bank has the batch and pays it
        :param str note: what the word rests on
        :raise UserError: the batch's outcome is not unknown, or somebody has proposed: what a
            second person is about to confirm must not change under their hands
        """
        self.ensure_one()
        self._check_officer()
        self._check_unknown()
        if self.proposed_decision:
            raise UserError(self.env._("There is a proposal already: withdraw it first."))
        self.sudo().write(  # nobody may write batches but their transitions and decisions
            {
                "proposed_decision": "paid" if was_paid else "not_paid",
                "proposed_by_id": self.env.uid,
                "proposed_at": fields.Datetime.now(),
                "decision_note": note,
            }
        )

    def action_confirm_decision(self):
        """Settle, as a second person, what the bank could not say.

        :raise AccessError: not an approver, or the one who proposed it
        :raise UserError: nothing is proposed, or the bank has answered since
        """
        self.ensure_one()
        check_role(self, APPROVER)
        batch = self.sudo()  # nobody may write batches but their transitions and decisions
        batch.lock_for_update(allow_referencing=True)
        batch.invalidate_recordset()
        self._check_unknown()
        if not batch.proposed_decision:
            raise UserError(self.env._("Nobody has proposed a decision yet."))
        if self.env.user == batch.proposed_by_id:
            raise AccessError(self.env._("Whoever proposed a decision cannot confirm it."))
        batch.write({"decided_by_id": self.env.uid, "decided_at": fields.Datetime.now()})
        if batch.proposed_decision == "paid":
            batch._set_acknowledged({"reference": "", "rejected": []})
        else:
            batch._set_rejected("DECIDED_NOT_PAID", batch.decision_note)
        batch.envelope_id._enqueue_advance()

    def action_withdraw_decision(self):
        """Take a proposal back, or refuse one; the batch stays unknown."""
        self.ensure_one()
        self._check_officer()
        self._check_unknown()
        self.sudo().write(  # nobody may write batches but their transitions and decisions
            {
                "proposed_decision": False,
                "proposed_by_id": False,
                "proposed_at": False,
                "decision_note": False,
            }
        )

    def _check_unknown(self):
        if self.state != "unknown":
            raise UserError(self.env._("Only a batch with unknown outcome can be decided."))

    def _check_officer(self):
        check_role(self, OFFICER)


def _kept_acknowledgement(answer):
    """Return the JSON form of an acknowledgement: ids and codes only."""
    return {
        "reference": answer.reference,
        "rejected": [[refused.end_to_end_id, refused.reason_code] for refused in answer.rejected],
    }


def _size_of_part(part):
    return len(part[1])


def cut_by_destination(rows, size):
    """Return [(destination, ids)], of the size of a batch at most, of [(id, destination)]."""
    by_destination = defaultdict(list)
    for row_id, destination in rows:
        by_destination[destination].append(row_id)
    return [
        (destination, ids[start : start + size])
        for destination, ids in sorted(by_destination.items())
        for start in range(0, len(ids), size)
    ]


def _address_of(row):
    if not row["fa_type"]:
        return None
    return FinancialAddress(**{name: row[name] or "" for name in ADDRESS_COLUMNS})
