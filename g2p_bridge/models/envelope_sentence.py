from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from .statement_due import NOT_AWAITED, SENDING
from .words import day_text, duration_text, moment_text, money_text, number_text, payments_text

#: the speed of sending is that of the last minutes
SPEED_MINUTES = 10
#: states in which a bank that is down holds the envelope up
NEEDS_BANK = (
    "ready",
    "approved",
    "funds_available",
    "funds_blocked",
    "disbursing",
    "needs_attention",
)


class DisbursementEnvelope(models.Model):
    """The one sentence that says what happens next, and when."""

    _inherit = "g2p.disbursement.envelope"

    sentence = fields.Char(
        string="What happens next", compute="_compute_sentence", compute_sudo=True
    )
    sentence_level = fields.Char(
        compute="_compute_sentence",
        compute_sudo=True,
        help="How it is to be read: secondary, info, warning, danger, success or dark.",
    )

    @api.depends("state", "is_paused", "journal_ids", "bank_id", "attention_message")
    @api.depends_context("lang", "tz")
    def _compute_sentence(self):
        """Put the state of each envelope in words; a few queries, whatever their number."""
        due = self.filtered(lambda e: e.state in SENDING)._statement_due()
        speeds = self.filtered(lambda e: e.state == "disbursing")._sending_speeds()
        for envelope in self:
            level, sentence = envelope._prepare_sentence(
                due.get(envelope.id, NOT_AWAITED), speeds.get(envelope.id, 0)
            )
            envelope.sentence_level = level
            envelope.sentence = sentence

    def _sending_speeds(self):
        """Return envelope id -> payments that went to the bank in a second, of late."""
        if not self:
            return {}
        since = fields.Datetime.now() - timedelta(minutes=SPEED_MINUTES)
        rows = self.env.execute_query(
            SQL(
                """
                SELECT envelope_id, sum(disbursement_count),
                       greatest(extract(epoch FROM %s - min(created_at)), 1)
                  FROM g2p_disbursement_journal
                 WHERE envelope_id = ANY(%s) AND target = 'sent' AND created_at >= %s
                 GROUP BY envelope_id
                """,
                fields.Datetime.now(),
                self.ids,
                since,
            )
        )
        return {envelope_id: float(count) / float(seconds) for envelope_id, count, seconds in rows}

    def _prepare_sentence(self, due, speed):
        """Return (level, sentence) of one envelope."""
        if self.is_paused and self.state not in ("settled", "cancelled"):
            return "warning", self.env._(
                "Paused: calls under way come to their end, no new ones are made."
            )
        if self.bank_down_message and self.state in NEEDS_BANK:
            return "danger", self.bank_down_message
        if self.state == "disbursed":
            return self._sentence_of_disbursed(due)
        if self.state == "disbursing":
            return "danger" if self.unknown_count else "info", self._sentence_of_disbursing(speed)
        return getattr(self, f"_sentence_of_{self.state}")()

    def _sentence_of_receiving(self):
        return "secondary", self.env._(
            "Waiting for the rest: %(received)s of %(declared)s received, %(amount)s of %(total)s.",
            received=number_text(self.env, self.total_received_count),
            declared=payments_text(self.env, self.number_of_disbursements),
            amount=self._money(self.total_received_amount),
            total=self._money(self.total_disbursement_amount),
        )

    def _sentence_of_ready(self):
        if self.approval_required:
            return "info", self.env._(
                "Complete and tied. Waiting for approval by a second person;"
                " scheduled for %(day)s.",
                day=day_text(self.env, self.disbursement_schedule_date),
            )
        return self._sentence_before_bank()

    def _sentence_of_approved(self):
        return self._sentence_before_bank()

    def _sentence_before_bank(self):
        day = day_text(self.env, self.disbursement_schedule_date)
        if self._is_due():
            return "info", self.env._(
                "Complete and tied. It was to go out on %(day)s: the bank is asked for the money.",
                day=day,
            )
        return "info", self.env._("Complete and tied. Goes to the bank on %(day)s.", day=day)

    def _sentence_of_funds_available(self):
        return "info", self.env._(
            "%(bank)s has the money; it is being held for this envelope.", bank=self.bank_id.name
        )

    def _sentence_of_funds_blocked(self):
        return "info", self.env._(
            "%(money)s held at %(bank)s under reference %(reference)s since %(moment)s."
            " Payments are being made ready.",
            money=self._money(self.funds_blocked_amount),
            bank=self.bank_id.name,
            reference=self.funds_blocked_reference_number,
            moment=moment_text(self.env, self.funds_blocked_latest_timestamp or self.state_since),
        )

    def _sentence_of_disbursing(self, speed):
        values = {
            "sent": number_text(self.env, self.shipped_count),
            "payments": payments_text(
                self.env, self.shipped_count + self.unknown_count + self.waiting_count
            ),
        }
        if self.unknown_count:
            return self.env._(
                "%(sent)s of %(payments)s sent. Of %(unknown)s nobody knows whether the bank has"
                " them.",
                unknown=payments_text(self.env, self.unknown_count),
                **values,
            )
        if not self.waiting_count or not speed:
            return self.env._("%(sent)s of %(payments)s sent.", **values)
        return self.env._(
            "%(sent)s of %(payments)s sent; about %(left)s left.",
            left=duration_text(self.env, self.waiting_count / speed),
            **values,
        )

    def _sentence_of_disbursed(self, due):
        if due.days_late:
            return "danger", self._late_sentence(due)
        if due.due_on:
            return "warning", self.env._(
                "All sent. Waiting for the bank's statement, expected %(day)s.",
                day=day_text(self.env, due.due_on),
            )
        if self.sent_count:
            return "warning", self.env._(
                "The bank's statement is in. %(payments)s, %(money)s, are on none yet.",
                payments=payments_text(self.env, self.sent_count),
                money=self._money(self.sent_amount),
            )
        if self.unknown_count:
            return "danger", self.env._(
                "Of %(payments)s, %(money)s, nobody knows whether the bank has them.",
                payments=payments_text(self.env, self.unknown_count),
                money=self._money(self.unknown_amount),
            )
        if self.unresolved_count:
            return "warning", self.env._(
                "What could be sent is on the bank's statements. No account is known for"
                " %(payments)s, %(money)s: they are sent when one is linked.",
                payments=payments_text(self.env, self.unresolved_count),
                money=self._money(self.unresolved_amount),
            )
        return "info", self.env._("All sent. The last payments are about to be sent or settled.")

    def _late_sentence(self, due):
        day = day_text(self.env, due.due_on)
        if due.days_late == 1:
            return self.env._(
                "All sent. The bank's statement was expected %(day)s: late by 1 day.", day=day
            )
        return self.env._(
            "All sent. The bank's statement was expected %(day)s: late by %(days)s days.",
            day=day,
            days=number_text(self.env, due.days_late),
        )

    def _sentence_of_settled(self):
        return "success", self.env._(
            "%(paid)s paid, %(reversed)s reversed, %(unpaid)s never sent or refused.",
            paid=number_text(self.env, self.reconciled_count),
            reversed=number_text(self.env, self.reversed_count),
            unpaid=number_text(self.env, self.cancelled_count + self.rejected_count),
        )

    def _sentence_of_needs_attention(self):
        values = {"problem": (self.attention_message or "").rstrip(". ")}
        if self.next_attempt_at:
            return "danger", self.env._(
                "%(problem)s. It is tried again by itself at %(moment)s.",
                moment=moment_text(self.env, self.next_attempt_at),
                **values,
            )
        return "danger", self.env._("%(problem)s. It waits for you.", **values)

    def _sentence_of_cancelled(self):
        values = {
            "moment": moment_text(self.env, self.state_since),
            "money": self._money(self.total_received_amount),
        }
        if self.cancel_reason:
            return "dark", self.env._(
                "Cancelled %(moment)s: “%(reason)s”. Nothing of %(money)s is paid.",
                reason=self.cancel_reason,
                **values,
            )
        return "dark", self.env._("Cancelled %(moment)s. Nothing of %(money)s is paid.", **values)

    def _money(self, amount):
        return money_text(self.env, amount, self.currency_id)
