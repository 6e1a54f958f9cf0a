from odoo import api, fields, models
from odoo.tools import SQL, format_date

from .reason_words import in_words

#: outcome of an entry -> of Bootstrap
_TONES = {"reconciled": "success", "reversed": "warning", "noted": "secondary"}


class Disbursement(models.Model):
    """A payment's whole life in sentences, told from what is stored; none of it is stored again."""

    _inherit = "g2p.disbursement"

    story = fields.Json(compute="_compute_story", help="Steps of its life, the oldest first.")
    caller_answer = fields.Text(
        string="Answer for the caller",
        compute="_compute_caller_answer",
        help="Two lines for whoever asks where the money is; without account number.",
    )

    @api.depends("state", "line_ids", "batch_id")
    @api.depends_context("lang", "tz", "uid")
    def _compute_story(self):
        for payment in self:
            payment.story = payment._story_steps() if payment._origin else []

    def _story_steps(self):
        """Return the steps, the oldest first; an addon with steps of its own adds to them.

        :return: list of dicts: ``text``; ``at`` (time) or ``on`` (day) as text, empty where nobody
            knows it; ``until``: no later than that; ``tone``: of Bootstrap; ``links``: list of
            dicts of ``label``, ``model`` and ``id``; ``is_next``: it is yet to come
        """
        self.ensure_one()
        times = self._story_times()
        return [
            self._step_received(times),
            *self._steps_account(times),
            *self._steps_batch(times),
            *self._steps_entries(),
            *self._steps_end(times),
            *self._steps_next(),
        ]

    def _step(self, text, *, at=None, on=None, until=None, tone="secondary", links=(), **more):
        return {
            "text": text,
            "at": fields.Datetime.to_string(at) or "",
            "on": fields.Date.to_string(on) or "",
            "until": fields.Datetime.to_string(until) or "",
            "tone": tone,
            "links": [
                {"label": label, "model": record._name, "id": record.id}
                for label, record in links
                if record and record.has_access("read")
            ],
            **more,
        }

    def _story_times(self):
        """Return what the journal knows of the payment's moves, in one query."""
        [times] = self.env.execute_query_dict(
            SQL(
                """
                WITH j AS (SELECT * FROM g2p_disbursement_journal
                            WHERE envelope_id = %(envelope)s
                              AND (batch_id IS NULL OR batch_id = %(batch)s)),
                     batched AS (SELECT max(created_at) AS at FROM j
                                  WHERE batch_id = %(batch)s AND target = 'batched'),
                     looked_up AS (SELECT min(created_at) AS first, max(created_at) AS last
                                     FROM j WHERE target = 'resolved'
                                      AND created_at <= coalesce((SELECT at FROM batched),
                                                                 'infinity'))
                SELECT (SELECT count(*) FROM j WHERE source IS NULL
                           AND created_at <= %(received)s) AS call_number,
                       (SELECT min(user_id) FROM j WHERE source IS NULL
                           AND created_at = %(received)s) AS sender,
                       (SELECT first FROM looked_up) AS first_resolved_at,
                       (SELECT last FROM looked_up) AS last_resolved_at,
                       (SELECT at FROM batched) AS batched_at,
                       (SELECT max(created_at) FROM j
                         WHERE batch_id = %(batch)s AND target = 'sent') AS sent_at,
                       (SELECT min(user_id) FROM j WHERE target = 'cancelled'
                           AND created_at = %(since)s) AS canceller,
                       (SELECT max(answered_at) FROM g2p_bank_call k
                         WHERE k.envelope_id = %(envelope)s AND k.operation = 'resolve'
                           AND k.state = 'answered'
                           AND split_part(k.idempotency_key, ':', 3)::int =
                               (SELECT max(split_part(c.idempotency_key, ':', 3)::int)
                                  FROM g2p_bank_call c
                                 WHERE c.envelope_id = %(envelope)s AND c.operation = 'resolve'
                                   AND split_part(c.idempotency_key, ':', 3)::int <= %(id)s)
                       ) AS answered_at,
                       (SELECT count(*) FROM g2p_disbursement_batch
                         WHERE envelope_id = %(envelope)s AND id <= %(batch)s) AS batch_number,
                       (SELECT count(*) FROM g2p_disbursement_batch
                         WHERE envelope_id = %(envelope)s) AS batch_count
                """,
                envelope=self.envelope_id.id,
                batch=self.batch_id.id or None,
                received=self.received_at,
                since=self.state_since,
                id=self.id,
            )
        )
        return times

    def _user_name(self, user_id):
        user = self.env["res.users"].sudo().browse(user_id)  # names of colleagues are no secret
        return user.name if user_id else self.env._("somebody")

    # -- the way out ----------------------------------------------------------------------------

    def _step_received(self, times):
        envelope = self.envelope_id
        values = {
            "sender": self._user_name(times["sender"] or envelope.sudo().created_by_id.id),
            "cycle": envelope.cycle_code_mnemonic,
            "program": envelope.program_id.name,
        }
        if times["sender"]:
            text = self.env._(
                "Received from %(sender)s with call %(call)s of %(program)s, cycle %(cycle)s.",
                call=times["call_number"],
                **values,
            )
        else:
            text = self.env._(
                "Received from %(sender)s for %(program)s, cycle %(cycle)s.", **values
            )
        links = [(self.env._("Envelope"), envelope)]
        if self.reissue_of_id:
            text = self.env._(
                "Reissue of %(payment)s by %(person)s, for %(program)s, cycle %(cycle)s.",
                payment=self.reissue_of_id.disbursement_id,
                person=values["sender"],
                program=values["program"],
                cycle=values["cycle"],
            )
            links.append((self.env._("Payment before"), self.reissue_of_id))
        return self._step(text, at=self.received_at, links=links)

    def _steps_account(self, times):
        mapper = self.program_id.mapper_id
        if self.state == "unresolved":
            text = self.env._("No account found: %s.", self.reason_words)
            return [self._step(text, at=self.state_since, tone="danger")]
        if not self.envelope_id.id_mapper_resolution_required:
            if self.state in ("received", "cancelled"):
                return []
            text = self.env._("No account is looked up: the bank knows it by the beneficiary ID.")
            return [self._step(text)]
        if not self.fa_type:
            return []
        kinds = dict(self._fields["fa_type"]._description_selection(self.env))
        text = self.env._(
            "Account found by %(mapper)s: %(kind)s %(account)s, %(bank)s.",
            mapper=mapper.name or self.env._("the mapper"),
            kind=kinds[self.fa_type].lower(),
            account=self.account_masked or "",
            bank=self.bank_code or self.wallet_provider or self.env._("no bank named"),
        )
        return [self._step(text, **self._time_of_look_up(times))]

    def _time_of_look_up(self, times):
        """Return when the account was found, as exactly as that is known."""
        if self.state == "resolved":
            return {"at": self.state_since}
        if times["answered_at"]:
            return {"at": times["answered_at"]}
        if times["first_resolved_at"] == times["last_resolved_at"]:
            return {"at": times["last_resolved_at"]}
        return {"until": times["last_resolved_at"]}

    def _steps_batch(self, times):
        batch = self.batch_id
        if not batch:
            return []
        text = self.env._(
            "Put into batch %(name)s, %(number)s of %(count)s so far.",
            name=batch.name,
            number=times["batch_number"],
            count=times["batch_count"],
        )
        steps = [self._step(text, at=times["batched_at"], links=[(self.env._("Batch"), batch)])]
        call = batch.call_ids.filtered(lambda c: c.operation == "initiate_payment")[:1]
        if call:
            steps.append(self._step_sent(batch, call))
        if batch.decided_by_id:
            steps.append(self._step_decided(batch))
        return steps

    def _step_sent(self, batch, call):
        bank = batch.bank_id.name
        links = [(self.env._("Bank call"), call)]
        if call.state == "answered":
            reference = self.bank_reference or batch.bank_reference
            text = self.env._("Sent to %s, which took the batch.", bank)
            if reference:
                text = self.env._(
                    "Sent to %(bank)s, which took the batch under reference %(reference)s.",
                    bank=bank,
                    reference=batch.bank_reference or reference,
                )
            return self._step(text, at=call.answered_at, tone="info", links=links)
        sentences = {
            "started": self.env._("Sent to %s; its answer is not known yet.", bank),
            "unavailable": self.env._("%s could not be reached; it is tried again.", bank),
            "rejected": self.env._("%s refused the batch.", bank),
            "unknown": self.env._("Sent to %s, which did not answer: it may have paid.", bank),
        }
        tone = "danger" if call.state in ("rejected", "unknown") else "info"
        at = call.answered_at or call.started_at
        return self._step(sentences[call.state], at=at, tone=tone, links=links)

    def _step_decided(self, batch):
        labels = dict(batch._fields["proposed_decision"]._description_selection(self.env))
        text = self.env._(
            "%(first)s and %(second)s decided about the batch: %(decision)s (%(note)s).",
            first=batch.proposed_by_id.name,
            second=batch.decided_by_id.name,
            decision=labels.get(batch.proposed_decision, "-"),
            note=batch.decision_note or "-",
        )
        return self._step(text, at=batch.decided_at, links=[(self.env._("Batch"), batch)])

    # -- the bank's word ------------------------------------------------------------------------

    def _steps_entries(self):
        return [self._step_entry(line) for line in self.line_ids.sorted("id")]

    def _step_entry(self, line):
        values = {
            "statement": line.statement_id.display_name,
            "entry": line.entry_sequence,
            "amount": line.currency_id.format(line.amount),
        }
        links = [
            (self.env._("Statement entry"), line),
            (self.env._("Statement"), line.statement_id),
        ]
        return self._step(
            self._entry_in_words(line, values) + self._handling_in_words(line),
            on=line.value_date or line.entry_date,
            tone=_TONES.get(line.outcome, "danger"),
            links=links,
        )

    def _entry_in_words(self, line, values):
        text = self._outcome_in_words(line, values)
        if line.is_unconfirmed:
            return text + " " + self.env._("The bank told so ahead; no statement shows it yet.")
        return text

    def _outcome_in_words(self, line, values):
        if line.outcome == "reconciled":
            if line.bank_reference:
                return self.env._(
                    "Debited: statement %(statement)s, entry %(entry)s, the bank's reference "
                    "%(reference)s.",
                    reference=line.bank_reference,
                    **values,
                )
            return self.env._("Debited: statement %(statement)s, entry %(entry)s.", **values)
        if line.outcome == "reversed":
            return self.env._(
                "Came back: %(reason)s (statement %(statement)s, entry %(entry)s).",
                reason=in_words(self.env, line.reversal_reason) or self.env._("no reason given"),
                **values,
            )
        if line.outcome == "noted":
            return self.env._(
                "%(statement)s, entry %(entry)s, says so as well: another entry stands for it.",
                **values,
            )
        if line.outcome == "pending":
            return self.env._(
                "Entry %(entry)s of statement %(statement)s is yet to be matched.", **values
            )
        reasons = dict(line._fields["error_reason"]._description_selection(self.env))
        return self.env._(
            "Entry %(entry)s of statement %(statement)s, %(amount)s, changed nothing: %(reason)s.",
            reason=reasons.get(line.error_reason, line.error_reason or "-"),
            **values,
        )

    def _handling_in_words(self, line):
        if not line.is_handled:
            return ""
        return " " + self.env._(
            "Handled by %(person)s: %(note)s",
            person=self._user_name(line.handled_by_id.id),
            note=line.handling_note or "-",
        )

    # -- the end, and what comes next -----------------------------------------------------------

    def _steps_end(self, times):
        steps = []
        if self.state == "rejected":
            text = self.env._("Refused: %s.", self.reason_words or self.env._("no reason given"))
            steps.append(self._step(text, at=self.state_since, tone="danger"))
        if self.state == "cancelled":
            text = self.env._(
                "Cancelled by %(person)s: %(reason)s.",
                person=self._user_name(times["canceller"]),
                reason=self.reason or self.env._("no reason given"),
            )
            steps.append(self._step(text, at=self.state_since, tone="dark"))
        if self.reissue_id:
            text = self.env._("Reissued as %s.", self.reissue_id.disbursement_id)
            links = [(self.env._("Payment"), self.reissue_id)]
            at = self.reissue_id.received_at
            steps.append(self._step(text, at=at, tone="info", links=links))
        elif self.followed_up_at:
            text = self.env._("Followed up: the program sees to this person.")
            links = [(self.env._("Envelope"), self.envelope_id)]
            steps.append(self._step(text, at=self.followed_up_at, links=links))
        return steps

    def _steps_next(self):
        text = self._next_in_words()
        return [self._step(text, tone="primary", is_next=True)] if text else []

    def _next_in_words(self):
        """Return who moves next, empty where nobody has to."""
        envelope = self.envelope_id
        day = format_date(self.env, envelope.disbursement_schedule_date)
        if self.state in ("rejected", "reversed"):
            if self.followed_up_at:
                return ""
            return self.env._("Next: an officer, from the list of what needs attention.")
        sentences = {
            "received": self.env._("Next: its account is looked up, some days before %s.", day),
            "unresolved": self.env._(
                "Next: the program names an account. It is looked up again every hour."
            ),
            "resolved": self.env._("Next: it goes to the bank, on %s or as soon as it can.", day),
            "batched": self.env._("Next: its batch is sent to %s.", envelope.bank_id.name),
            "sent": self.env._("Next: the statement of %s shows it.", envelope.bank_id.name),
            "unknown": self.env._(
                "Next: %s is asked, its statement shows it, or two persons decide.",
                envelope.bank_id.name,
            ),
        }
        return sentences.get(self.state, "")

    # -- for the help desk ----------------------------------------------------------------------

    @api.depends("state", "line_ids", "amount", "reason_code")
    @api.depends_context("lang", "tz")
    def _compute_caller_answer(self):
        for payment in self:
            payment.caller_answer = "\n".join(payment._answer_lines()) if payment._origin else ""

    def _answer_lines(self):
        """Return what became of the money, and what to do, with nothing that identifies an account.

        :return: two lines
        """
        values = {
            "amount": self.currency_id.format(self.amount),
            "what": self.narrative,
            "reference": self.disbursement_id,
            "day": format_date(self.env, self._day_of_outcome()),
            "reason": self.reason_words or self.env._("no reason given"),
        }
        return self._answer_first_line(values), self._answer_second_line(values)

    def _day_of_outcome(self):
        outcome = "reversed" if self.state == "reversed" else "reconciled"
        line = self.line_ids.filtered(lambda entry: entry.outcome == outcome)[-1:]
        if self.state in ("reconciled", "reversed") and line:
            return line.value_date or line.entry_date
        if self.state in ("received", "resolved", "batched"):
            return self.envelope_id.disbursement_schedule_date
        return fields.Datetime.context_timestamp(self, self.state_since).date()

    def _answer_first_line(self, values):
        sentences = {
            "reconciled": self.env._(
                "%(amount)s (%(what)s) was paid to your account on %(day)s.", **values
            ),
            "sent": self.env._(
                "%(amount)s (%(what)s) was given to the bank on %(day)s and is on its way.",
                **values,
            ),
            "unknown": self.env._(
                "%(amount)s (%(what)s) was given to the bank; we wait for its confirmation.",
                **values,
            ),
            "unresolved": self.env._(
                "%(amount)s (%(what)s) waits, because we know no account of yours.", **values
            ),
            "rejected": self.env._(
                "%(amount)s (%(what)s) was refused by the bank on %(day)s: %(reason)s.", **values
            ),
            "reversed": self.env._(
                "%(amount)s (%(what)s) came back from your bank on %(day)s: %(reason)s.", **values
            ),
            "cancelled": self.env._("%(amount)s (%(what)s) was cancelled on %(day)s.", **values),
        }
        return sentences.get(self.state) or self.env._(
            "%(amount)s (%(what)s) goes to the bank on %(day)s.", **values
        )

    def _answer_second_line(self, values):
        if self.state == "reconciled":
            return self.env._(
                "If it is not there, ask your bank. Our reference: %(reference)s.", **values
            )
        if self.state in ("unresolved", "rejected", "reversed"):
            return self.env._(
                "Please give the program office a valid account. Our reference: %(reference)s.",
                **values,
            )
        if self.state == "cancelled":
            return self.env._(
                "Please ask the program office why. Our reference: %(reference)s.", **values
            )
        return self.env._("You need not do anything. Our reference: %(reference)s.", **values)
