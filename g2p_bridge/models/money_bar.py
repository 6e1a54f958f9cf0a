from odoo import api, fields, models

from .words import money_text, payments_text

#: segment of the bar -> states of the payments in it; each state stands in one of them
SEGMENTS = {
    "paid": ("reconciled",),
    "reversed": ("reversed",),
    "sent": ("sent",),
    "waiting": ("received", "resolved", "batched"),
    "not_payable": ("unresolved", "rejected"),
    "unknown": ("unknown",),
    "cancelled": ("cancelled",),
}


class DisbursementJournal(models.Model):
    _inherit = "g2p.disbursement.journal"

    @api.private
    def _segment_labels(self):
        """Return the word for each segment."""
        return {
            "paid": self.env._("Paid"),
            "reversed": self.env._("Reversed"),
            "sent": self.env._("Sent"),
            "waiting": self.env._("Waiting"),
            "not_payable": self.env._("No account or refused"),
            "unknown": self.env._("Outcome unknown"),
            "cancelled": self.env._("Cancelled"),
        }

    @api.private
    def _prepare_money_bar(self, totals, currency, declared_count, declared_amount):
        """Return what the money bar shows, plain JSON.

        :param dict totals: {state: (count, amount)}, as ``_totals_by_state`` has them
        :param int declared_count: payments that there should be
        :param float declared_amount: their sum
        :return: dict of ``segments`` (only those with payments), ``total`` (what the full width
            stands for), ``text`` (all of it in words), ``ties`` and ``tie_text``
        """
        rounded = currency.round if currency else float
        labels = self._segment_labels()
        segments = []
        for key, states in SEGMENTS.items():
            parts = [totals[state] for state in states if state in totals]
            count = sum(part[0] for part in parts)
            if count <= 0:
                continue
            amount = rounded(sum(part[1] for part in parts))
            segments.append(
                {
                    "key": key,
                    "label": labels[key],
                    "states": list(states),
                    "count": count,
                    "amount": amount,
                    "text": self.env._(
                        "%(label)s: %(payments)s, %(money)s",
                        label=labels[key],
                        payments=payments_text(self.env, count),
                        money=money_text(self.env, amount, currency),
                    ),
                }
            )
        count = sum(segment["count"] for segment in segments)
        amount = rounded(sum(segment["amount"] for segment in segments))
        missing = (declared_count - count, rounded(declared_amount - amount))
        return {
            "segments": segments,
            "total": max(declared_amount, amount),
            "text": "; ".join(segment["text"] for segment in segments)
            or self.env._("No payments yet"),
            "ties": missing == (0, 0),
            "tie_text": self._tie_text(currency, (declared_count, declared_amount), missing),
        }

    def _tie_text(self, currency, declared, missing):
        """Say whether what is declared is the sum of the parts, and by how much it is not."""
        values = {
            "payments": payments_text(self.env, declared[0]),
            "money": money_text(self.env, declared[1], currency),
        }
        if missing == (0, 0):
            return self.env._("Declared %(payments)s, %(money)s: the parts add up to it.", **values)
        values["missing_payments"] = payments_text(self.env, abs(missing[0]))
        values["missing_money"] = money_text(self.env, abs(missing[1]), currency)
        if missing[0] >= 0 and missing[1] >= 0:
            return self.env._(
                "Declared %(payments)s, %(money)s. Still missing: %(missing_payments)s,"
                " %(missing_money)s.",
                **values,
            )
        return self.env._(
            "Declared %(payments)s, %(money)s. The parts differ from it by %(missing_payments)s,"
            " %(missing_money)s.",
            **values,
        )


class DisbursementEnvelope(models.Model):
    _inherit = "g2p.disbursement.envelope"

    money_bar = fields.Json(string="Progress", compute="_compute_money_bar", compute_sudo=True)

    @api.depends(
        "journal_ids", "number_of_disbursements", "total_disbursement_amount", "currency_id"
    )
    @api.depends_context("lang")
    def _compute_money_bar(self):
        journal = self.env["g2p.disbursement.journal"]
        totals = journal._totals_by_state(envelopes=self)
        for envelope in self:
            envelope.money_bar = journal._prepare_money_bar(
                totals.get(envelope.id, {}),
                envelope.currency_id,
                envelope.number_of_disbursements,
                envelope.total_disbursement_amount,
            )


class DisbursementBatch(models.Model):
    _inherit = "g2p.disbursement.batch"

    money_bar = fields.Json(string="Progress", compute="_compute_money_bar", compute_sudo=True)

    @api.depends("journal_ids", "disbursement_count", "total_amount", "currency_id")
    @api.depends_context("lang")
    def _compute_money_bar(self):
        journal = self.env["g2p.disbursement.journal"]
        totals = journal._totals_by_state(batches=self)
        for batch in self:
            batch.money_bar = journal._prepare_money_bar(
                totals.get(batch.id, {}),
                batch.currency_id,
                batch.disbursement_count,
                batch.total_amount,
            )
