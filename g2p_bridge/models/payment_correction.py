from decimal import Decimal

from odoo import api, fields, models
from odoo.tools import SQL

from .g2p_reissue import LEFT_OUT, not_paid

#: the living payment ``n`` that replaces ``d``
JOIN_REISSUE = SQL(
    "LEFT JOIN g2p_disbursement n ON n.reissue_of_id = d.id AND n.state <> 'cancelled'"
)


def not_correctable():
    """Return the expression for why a payment ``d`` cannot be corrected, empty if it can.

    The rules of an officer's reissue, and that what lacks an account may be corrected as well. It
    needs the alias ``n`` of :data:`JOIN_REISSUE`.
    """
    return SQL(
        """
        CASE WHEN d.state = 'unresolved' THEN ''
             WHEN d.state NOT IN ('reversed', 'rejected')
                  AND NOT (d.state = 'cancelled' AND coalesce(d.reason_code, '') = %s)
                  THEN 'DISBURSEMENT_NOT_CORRECTABLE'
             WHEN n.id IS NOT NULL THEN 'DISBURSEMENT_ALREADY_REISSUED'
             WHEN d.followed_up_at IS NOT NULL THEN 'DISBURSEMENT_LEFT_TO_PROGRAM'
             WHEN NOT (%s) THEN 'DISBURSEMENT_SHOWN_AS_PAID'
             ELSE '' END
        """,
        LEFT_OUT,
        not_paid(),
    )


class DisbursementEnvelope(models.Model):
    """Payments that the program system corrects: paid again, or looked up again."""

    _inherit = "g2p.disbursement.envelope"

    @api.private
    def _find_correctable(self, disbursement_ids):
        """Return disbursement_id -> dict of what a correction has to know of the payment.

        In it: ``id``, ``state``, the three fields that can be corrected, ``amount`` (Decimal) and
        ``problem``, the code of :func:`not_correctable`.
        """
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT d.disbursement_id, d.id, d.state, d.beneficiary_id, d.beneficiary_name,
                       d.narrative, d.amount::text AS amount, %s AS problem
                  FROM g2p_disbursement d %s
                 WHERE d.envelope_id = %s AND d.disbursement_id = ANY(%s)
                """,
                not_correctable(),
                JOIN_REISSUE,
                self.id,
                list(disbursement_ids),
            )
        )
        return {row["disbursement_id"]: {**row, "amount": Decimal(row["amount"])} for row in rows}

    @api.private
    def _correct(self, payments, corrections, schedule_date, reason, mark):
        """Pay these payments again as corrected, or look up again what only lacks its account.

        In one transaction that is READ COMMITTED, with nobody else who changes the envelope. What
        lacks an account and names another person is left out here and paid by the new envelope,
        which goes the way of any reissue: looked up, approved by a second person, checked.

        :param list payments: as of :meth:`_find_correctable`, without problem
        :param list corrections: for each (beneficiary_id, beneficiary_name, narrative) or None
        :param dict mark: kept with the new envelope, to know the call again
        :return: (the new envelope, may be empty; payments that are looked up again), or None where
            something changed since it was looked at
        """
        self.ensure_one()
        again, paid_again = [], []
        for payment, correction in zip(payments, corrections, strict=True):
            is_lookup = payment["state"] == "unresolved" and not _changes(payment, correction)
            (again if is_lookup else paid_again).append((payment, correction))
        new = self.browse()
        if paid_again:
            left_out = [p["id"] for p, _c in paid_again if p["state"] == "unresolved"]
            if not self._leave_out_to_correct(left_out, reason):
                return None
            new = self._reissue_corrected(paid_again, schedule_date, reason, mark)
        if again and self.state in self._WORKING[1:]:
            self._enqueue_resolve(states=("received", "unresolved"))
        return new, [payment for payment, _correction in again]

    def _leave_out_to_correct(self, ids, reason):
        """Cancel payments without account, as an officer leaves them out; say whether all were."""
        if not ids:
            return True
        moved = self.env["g2p.disbursement"]._bulk_transition(
            "cancelled",
            SQL("d.id = ANY(%s) AND d.state = 'unresolved'", ids),
            cause="correct_disbursements",
            assign=SQL("reason_code = %s, reason = %s", LEFT_OUT, reason),
        )
        self._enqueue_recheck_approval()
        self._enqueue_advance()
        return sum(count for _envelope, _batch, count, _amount in moved) == len(ids)

    def _reissue_corrected(self, paid_again, schedule_date, reason, mark):
        paid_again = sorted(paid_again, key=lambda pair: pair[0]["id"])
        ids = [payment["id"] for payment, _correction in paid_again]
        people = {correction[0] or payment["beneficiary_id"] for payment, correction in paid_again}
        amount = sum((payment["amount"] for payment, _correction in paid_again), Decimal(0))
        new = self._open_reissue(
            {"ids": ids, **mark}, schedule_date, reason, len(ids), amount, people=len(people)
        )
        count, amount = new._copy_originals(
            ids, [correction for _payment, correction in paid_again]
        )
        new._complete_reissue(count, amount)
        return new

    @api.private
    def _book_correction(self, again, idempotency_key, digest):
        """Note the call in the journal, where its key is looked for; it moves nothing."""
        if not again and not idempotency_key:
            return
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement_journal
                       (envelope_id, source, target, disbursement_count, amount, cause, user_id,
                        created_at, idempotency_key, content_hash)
                VALUES (%s, 'unresolved', 'unresolved', %s, %s, 'correct_disbursements', %s, %s,
                        %s, %s)
                """,
                self.id,
                len(again),
                sum((payment["amount"] for payment in again), Decimal(0)),
                self.env.uid,
                fields.Datetime.now(),
                idempotency_key or None,
                digest,
            )
        )

    @api.private
    def _find_corrected(self, idempotency_key):
        """Return the envelope that a call with this key has made; may be empty."""
        return self.reissue_ids.filtered(
            lambda e: (e.reissue_selection or {}).get("idempotency_key") == idempotency_key
        )[:1]


def _changes(payment, correction):
    """Say whether a correction says anything else than the payment does."""
    now = (payment["beneficiary_id"], payment["beneficiary_name"], payment["narrative"])
    return any(new not in (None, old) for new, old in zip(correction, now, strict=True))


class Disbursement(models.Model):
    """What pays a payment again."""

    _inherit = "g2p.disbursement"

    @api.private
    def _replaced_by(self, disbursement_ids, new):
        """Return disbursement_id -> dict of the payment and what pays it again in an envelope.

        :param new: envelope with reissues, or none
        """
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT d.disbursement_id, d.mis_reference_number, n.disbursement_id AS reissued_as,
                       %s AS reissued_in
                  FROM g2p_disbursement d
                  LEFT JOIN g2p_disbursement n
                         ON n.envelope_id = %s AND n.mis_reference_number = d.mis_reference_number
                        AND n.reissue_of_id = d.id
                 WHERE d.disbursement_id = ANY(%s)
                """,
                new.disbursement_envelope_id or None,
                new.id or 0,
                list(disbursement_ids),
            )
        )
        return {row["disbursement_id"]: row for row in rows}
