import hashlib
from bisect import bisect_left

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ..services.canonical import content_hash
from .bulk_fields import BulkMany2one
from .g2p_state_mixin import TransitionError
from .roles import APPROVER, check_role

#: payments under one hash, so that a round of batches checks its own part and no more
SLICE = 10_000
#: no condition
EVERY = SQL("TRUE")
#: states in which an approved envelope still has something to send
AFTER_APPROVAL = ("approved", "funds_available", "funds_blocked", "disbursing", "disbursed")


class EnvelopeApproval(models.Model):
    """What a second person released: an envelope with exactly these payments and totals.

    ``content_hash`` is the SHA-256 of the canonical JSON of ``content``: the control totals, whom
    they are debited to, and a hash for each slice of the ordered payment list. A slice's hash is
    the SHA-256 of the SHA-256 of each of its payments, in order.
    """

    _name = "g2p.envelope.approval"
    _description = "Approval of an envelope"
    _order = "id desc"
    _log_access = False

    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, index=True, ondelete="restrict"
    )
    user_id = BulkMany2one("res.users", string="Approved by", required=True, readonly=True)
    approved_at = fields.Datetime(required=True, readonly=True)
    content = fields.Json(required=True, readonly=True)
    content_hash = fields.Char(required=True, readonly=True)
    disbursement_count = fields.Integer(string="Payments", readonly=True)
    amount = fields.Monetary(readonly=True)
    currency_id = fields.Many2one(related="envelope_id.currency_id")
    voided_at = fields.Datetime(readonly=True, help="What was approved is no longer what there is.")

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Approvals are never deleted."))


class DisbursementEnvelope(models.Model):
    """Maker and checker: what is sent is what a second person saw."""

    _inherit = "g2p.disbursement.envelope"

    approval_ids = fields.One2many("g2p.envelope.approval", "envelope_id", string="Approvals")
    approval_mark = fields.Char(
        string="Approval",
        compute="_compute_approval_mark",
        compute_sudo=True,
        groups="g2p_bridge.group_officer",
    )

    @api.depends("state")
    def _compute_approval_mark(self):
        marks = self._approval_marks()
        for envelope in self:
            envelope.approval_mark = marks.get(envelope.id)

    def _approval_marks(self):
        """Say in one word what a form shows of the content: another word once any of it changed.

        Totals and the last move in or out of the list; cheap, where the content hash reads it all.

        :return: dict of envelope id -> mark
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT envelope_id, max(id) FROM g2p_disbursement_journal
                 WHERE envelope_id = ANY(%s) AND (source IS NULL OR target = 'cancelled')
                 GROUP BY envelope_id
                """,
                self.ids,
            )
        )
        last_moves = dict(rows)
        return {
            envelope.id: content_hash(
                {**envelope._approval_totals(), "last_move": last_moves.get(envelope.id)}
            )
            for envelope in self
            if envelope.id
        }

    def action_approve(self):
        """Release the envelope to the bank, as a second person.

        What she was shown may come along in the context, and must be what there is now:
        ``g2p_shown_mark``, the ``approval_mark`` of the form, and ``g2p_shown_hash``, the content
        hash of a review. Without them it releases what there is.

        :raise AccessError: not an approver, or the one who created it
        :raise TransitionError: it is approved already, or not complete
        :raise UserError: it is not what she was shown
        """
        check_role(self, APPROVER)
        if self.env.user in self.created_by_id:
            raise AccessError(self.env._("Whoever created an envelope cannot approve it."))
        for envelope in self.sudo():  # nobody may write envelopes but their transitions
            envelope._lock_composition()
            envelope._check_shown("g2p_shown_mark", envelope._approval_marks()[envelope.id])
            if envelope.state == "needs_attention" and envelope._lacks_approval():
                envelope._set_resumed()
            if envelope.state == "ready":
                envelope._set_approved()
            elif envelope._has_approval() or envelope.state not in AFTER_APPROVAL:
                raise TransitionError(envelope, "approved")
            envelope._keep_approval()
            envelope._enqueue_advance()

    def _check_shown(self, key, now):
        shown = self.env.context.get(key)
        if shown is not None and shown != now:
            raise UserError(
                self.env._("It was changed after it was shown to you. Look at it again.")
            )

    def _lacks_approval(self):
        return self.attention_code in ("APPROVAL_VOID", "APPROVAL_MISSING")

    def _has_approval(self):
        return bool(self.approval_ids[:1]) and not self.approval_ids[:1].voided_at

    def _keep_approval(self):
        now = fields.Datetime.now()
        self.write({"approved_by_id": self.env.uid, "approved_at": now})
        slices = self._approval_slices()
        content = {**self._approval_totals(), "slices": slices}
        digest = content_hash(content)
        self._check_shown("g2p_shown_hash", digest)
        self.env["g2p.envelope.approval"].create(
            {
                "envelope_id": self.id,
                "user_id": self.env.uid,
                "approved_at": now,
                "content": content,
                "content_hash": digest,
                "disbursement_count": sum(part["count"] for part in slices),
                "amount": self._payable_amount(),
            }
        )

    def _approval_totals(self):
        return {
            "disbursement_envelope_id": self.disbursement_envelope_id,
            "program": self.program_id.mnemonic,
            "cycle": self.cycle_code_mnemonic,
            "number_of_beneficiaries": self.number_of_beneficiaries,
            "number_of_disbursements": self.number_of_disbursements,
            "total_disbursement_amount": f"{self.total_disbursement_amount:.4f}",
            "currency": self.currency_id.name,
            "schedule_date": self.disbursement_schedule_date.isoformat(),
            "funding_account": content_hash(
                [self.bank_id.code, self.funding_account_id.account_number]
            ),
        }

    def _approval_slices(self, bounds=None):
        """Return count and hash of each slice of the payment list, in order.

        Cancelled payments are no part of it. One pass over the list, however many slices.

        :param list bounds: [(after id, up to id or None)] of earlier slices to add up again; by
            default the list is cut anew
        :return: list of dict of ``last_id``, ``count``, ``hash``
        """
        if bounds is None:
            parts = self._hash_parts(SQL("(row_number() OVER (ORDER BY d.id) - 1) / %s", SLICE))
            slices = [
                {"last_id": last_id, "count": count, "hash": digest}
                for last_id, count, digest in parts.values()
            ]
            if slices:  # the last one has no end, so a payment that is added later is in it
                slices[-1]["last_id"] = None
            return slices
        if not bounds:
            return []
        after, upto = zip(*bounds, strict=True)
        place = SQL("width_bucket(d.id, %s::int[])", [last_id + 1 for last_id in after])
        within = SQL("d.id > %s AND d.id <= coalesce(%s, d.id)", after[0], upto[-1])
        in_place = SQL("id <= coalesce((%s::int[])[place], id)", list(upto))
        parts = self._hash_parts(place, within, in_place)
        nothing = (None, 0, hashlib.sha256().hexdigest())
        return [
            {"last_id": end, "count": count, "hash": digest}
            for number, end in enumerate(upto, start=1)
            for _last_id, count, digest in [parts.get(number, nothing)]
        ]

    def _hash_parts(self, place, within=EVERY, in_place=EVERY):
        """Return {place in the list: (last id, count, hash)}, in the order of the list.

        :param SQL place: number of the part that a payment ``d`` is in
        :param SQL within: which payments ``d`` are looked at
        :param SQL in_place: which of them, by ``id`` and ``place``, are in their part
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT place, max(id), count(*),
                       encode(sha256(string_agg(digest, ''::bytea ORDER BY id)), 'hex')
                  FROM (SELECT d.id, %(place)s AS place,
                               sha256(convert_to(json_build_array(d.disbursement_id,
                                   d.mis_reference_number, d.beneficiary_id, d.beneficiary_name,
                                   d.amount::text, d.narrative)::text, 'UTF8')) AS digest
                          FROM g2p_disbursement d
                         WHERE d.envelope_id = %(envelope)s AND d.state <> 'cancelled'
                           AND %(within)s
                        OFFSET 0) list
                 WHERE %(in_place)s
                 GROUP BY place ORDER BY place
                """,
                place=place,
                envelope=self.id,
                within=within,
                in_place=in_place,
            )
        )
        return {number: part for number, *part in rows}

    def _check_approval(self, payment_ids=None):
        """Say whether what is there is what was approved; if not, put it before an approver.

        :param list payment_ids: look at these payments' part of the list only; by default at all
        """
        if not self.approval_required:
            return True
        approval = self.approval_ids[:1]
        if not self._has_approval():
            code, message = "APPROVAL_MISSING", self.env._("It was not approved.")
        elif self._is_as_approved(approval, payment_ids):
            return True
        else:
            code = "APPROVAL_VOID"
            message = self.env._(
                "It was changed after %(user)s approved it. It needs another approval.",
                user=approval.user_id.display_name,
            )
            approval.voided_at = fields.Datetime.now()
        self._set_needs_attention(code, message)
        return False

    def _is_as_approved(self, approval, payment_ids):
        content = approval.content
        if content_hash(content) != approval.content_hash:
            return False
        kept = content["slices"]
        if {**self._approval_totals(), "slices": kept} != content:
            return False
        if not kept:
            return not self._approval_slices()
        lasts = [part["last_id"] for part in kept]
        ends = lasts[:-1]
        bounds = list(zip([0, *ends], lasts, strict=True))
        if payment_ids is None:
            wanted = range(len(kept))
        else:
            wanted = sorted({bisect_left(ends, payment_id) for payment_id in payment_ids})
        now = self._approval_slices([bounds[index] for index in wanted])
        return now == [kept[index] for index in wanted]

    @api.private
    def _recheck_approval(self):
        """Void an approval at once when the list was changed after it (queue job)."""
        self.ensure_one()
        self._lock_for_job("a step is under way", seconds=2)
        if self._has_approval() and self.state in AFTER_APPROVAL:
            self._check_approval()
        return self.state

    def _enqueue_recheck_approval(self):
        for envelope in self.filtered(lambda e: e.approval_required and e._has_approval()):
            envelope._delayed(self.env._("Check the approval"))._recheck_approval()
