"""Payments that surely did not arrive, paid again by an envelope of their own."""

from contextlib import suppress
from decimal import Decimal

from psycopg2 import IntegrityError

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from ..services.disbursement_id import new_ids
from .bulk_fields import BulkMany2one
from .own_cursor import own_cursor
from .roles import OFFICER, check_role

#: what an officer left out: its person had no account, and nothing was ever sent
LEFT_OUT = "LEFT_OUT"
#: payments that one transaction of a reissue adds
REISSUE_SLICE = 10_000


def not_paid(alias="d"):
    """Return the condition that a payment ended and its person has not got the money.

    Nothing leads out of these states. And the bank's statements show no more going out for it than
    came back, whatever anybody decided about the entries; only a debit that says again what another
    one says counts as none once it is dismissed. That money came back must stand on a statement: a
    notification alone is not enough to pay again, while one of a debit is enough not to.
    """
    return SQL(
        """
        (%(d)s.state IN ('reversed', 'rejected')
         OR %(d)s.state = 'cancelled' AND %(d)s.reason_code = %(left_out)s)
        AND coalesce((
            SELECT sum(CASE WHEN l.mark IN ('D', 'RC') THEN l.amount
                            WHEN s.kind = 'statement' THEN -l.amount ELSE 0 END)
              FROM g2p_account_statement_line l
              JOIN g2p_account_statement s ON s.id = l.statement_id
             WHERE l.matched_disbursement_id = %(d)s.id AND l.outcome <> 'noted'
               AND NOT (l.outcome = 'error' AND l.is_handled
                        AND l.error_reason = 'DUPLICATE_DISBURSEMENT')), 0) <= 0
        """,
        d=SQL.identifier(alias),
        left_out=LEFT_OUT,
    )


#: ended without a word of the bank that it was paid, as far as states say
_ENDED_UNPAID = SQL(
    "(d.state IN ('reversed', 'rejected') OR d.state = 'cancelled' AND d.reason_code = %s)",
    LEFT_OUT,
)
#: a reissue lives until it is cancelled; one that came back is reissued itself
_HAS_REISSUE = SQL(
    "EXISTS (SELECT FROM g2p_disbursement n"
    " WHERE n.reissue_of_id = d.id AND n.state <> 'cancelled')"
)
#: what was left to the program is paid by it, or by nobody: not by both
REISSUABLE = SQL("%s AND NOT %s AND d.followed_up_at IS NULL", not_paid(), _HAS_REISSUE)


class Disbursement(models.Model):
    """The payment that replaces another, and the one that it replaces."""

    _inherit = "g2p.disbursement"

    reissue_of_id = BulkMany2one("g2p.disbursement", string="Reissue of", readonly=True)
    reissue_id = fields.Many2one(
        "g2p.disbursement", string="Reissued as", compute="_compute_reissue_id"
    )
    is_reissuable = fields.Boolean(compute="_compute_is_reissuable", compute_sudo=True)

    #: two officers at once: one of them wins
    _reissue_of_uniq = models.UniqueIndex(
        "(reissue_of_id) WHERE reissue_of_id IS NOT NULL AND state <> 'cancelled'",
        "The payment was reissued already.",
    )
    #: what may be reissued; nothing is in it before its end
    _unpaid_idx = models.Index(
        "(envelope_id, state, id) WHERE state IN ('rejected', 'reversed', 'cancelled')"
    )

    @api.depends("state")
    def _compute_reissue_id(self):
        found = self._reissues_of(self.ids)
        for disbursement in self:
            disbursement.reissue_id = found.get(disbursement.id)

    @api.depends("state")
    def _compute_is_reissuable(self):
        found = self.env.execute_query(
            SQL(
                "SELECT d.id FROM g2p_disbursement d WHERE d.id = ANY(%s) AND %s",
                self.ids,
                REISSUABLE,
            )
        )
        reissuable = {row_id for (row_id,) in found}
        for disbursement in self:
            disbursement.is_reissuable = disbursement.id in reissuable

    @api.private
    def _reissues_of(self, ids):
        """Return {payment id: id of the living payment that replaces it}."""
        return dict(
            self.env.execute_query(
                SQL(
                    "SELECT reissue_of_id, id FROM g2p_disbursement"
                    " WHERE reissue_of_id = ANY(%s) AND state <> 'cancelled'",
                    list(ids),
                )
            )
        )

    def action_reissue(self):
        """Open the wizard that reissues these payments; they are of one envelope.

        :raise UserError: they are of several, or so many that a list hands over only a part
        """
        check_role(self, OFFICER)
        parameters = self.env["ir.config_parameter"].sudo()
        most = int(parameters.get_param("web.active_ids_limit", "20000"))
        if len(self) >= most:  # of all that is selected, Odoo's lists send so many ids and no more
            raise UserError(
                self.env._(
                    "A list hands over at most %(most)s payments at once: some of the selected ones"
                    " would be left out. Use Reissue on the envelope.",
                    most=f"{most:,}",
                )
            )
        if len(self.envelope_id) != 1:
            raise UserError(self.env._("Choose payments of one envelope."))
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_reissue_action")
        return {
            **action,
            "context": {"default_envelope_id": self.envelope_id.id, "g2p_payment_ids": self.ids},
        }

    def action_view_reissue(self):
        """Open the payment that replaces this one."""
        self.check_access("read")
        return self.reissue_id._get_records_action()

    def action_view_reissue_of(self):
        """Open the payment that this one replaces."""
        self.check_access("read")
        return self.reissue_of_id._get_records_action()

    @api.private
    def _bulk_transition(self, target, where, **options):
        moved = super()._bulk_transition(target, where, **options)
        if moved and target == "cancelled":
            envelopes = self.env["g2p.disbursement.envelope"].sudo()
            touched = envelopes.browse({envelope_id for envelope_id, *_rest in moved})
            self._tell_originals(touched.filtered("reissued_from_id"))
        return moved

    def _tell_originals(self, envelopes):
        """Have what this transaction cancelled show up in the changes of what it replaced."""
        if not envelopes:
            return
        self.env.cr.execute(
            """
            UPDATE g2p_disbursement d SET changed_xid = n.changed_xid, followed_up_at = NULL
              FROM g2p_disbursement n
             WHERE n.envelope_id = ANY(%s) AND n.state = 'cancelled'
               AND n.changed_xid = pg_current_xact_id()::text::bigint AND d.id = n.reissue_of_id
            """,
            [envelopes.ids],
            log_exceptions=False,  # it changed meanwhile: Odoo runs the request again
        )


class DisbursementEnvelope(models.Model):
    """An envelope of reissued payments, and the one that they come from."""

    _inherit = "g2p.disbursement.envelope"

    reissued_from_id = fields.Many2one(
        "g2p.disbursement.envelope",
        readonly=True,
        copy=False,
        index="btree_not_null",
        ondelete="restrict",
    )
    reissue_ids = fields.One2many(
        "g2p.disbursement.envelope", "reissued_from_id", string="Reissued as"
    )
    reissue_count = fields.Integer(string="Reissues", compute="_compute_reissue_count")
    reissue_reason = fields.Char(readonly=True, copy=False)
    reissue_selection = fields.Json(
        readonly=True, copy=False, help="Which payments: groups of state and reason code, or ids."
    )
    is_correction = fields.Boolean(
        string="Corrected by the program",
        readonly=True,
        copy=False,
        help="The program system asked for the reissue, and may have corrected whom it pays.",
    )
    reissue_asked_at = fields.Datetime(readonly=True, copy=False)
    reissue_last_id = fields.Integer(
        readonly=True, copy=False, help="Originals up to this one are taken."
    )

    @api.depends("reissue_ids")
    def _compute_reissue_count(self):
        counts = dict(
            self._read_group(
                [("reissued_from_id", "in", self.ids)], ["reissued_from_id"], ["__count"]
            )
        )
        for envelope in self:
            envelope.reissue_count = counts.get(envelope, 0)

    def action_view_reissues(self):
        """Open the envelopes that pay again what did not arrive."""
        self.check_access("read")
        return self.reissue_ids._get_records_action(name=self.env._("Reissued as"))

    def action_view_reissued_from(self):
        """Open the envelope that the payments come from."""
        self.check_access("read")
        return self.reissued_from_id._get_records_action()

    # -- what there is to reissue ---------------------------------------------------------------

    @api.private
    def _find_reissue_under_way(self):
        """Return the reissue of this envelope that is still being filled, or none."""
        return self.reissue_ids.filtered(lambda e: e.state == "receiving")[:1]

    @api.private
    def _find_reissuable(self, selection=None):
        """Return what could be reissued now, by state and reason code.

        :param dict selection: as of :meth:`_chosen`; by default all
        :return: list of (state, code, words, count, Decimal amount), most money first
        """
        self.ensure_one()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT d.state, coalesce(d.reason_code, ''), max(d.reason), count(*),
                       sum(d.amount)::text
                  FROM g2p_disbursement d WHERE d.envelope_id = %s AND %s AND %s
                 GROUP BY 1, 2 ORDER BY sum(d.amount) DESC, 1, 2
                """,
                self.id,
                REISSUABLE,
                self._chosen(selection),
            )
        )
        return [(*row[:4], Decimal(row[4])) for row in rows]

    def _chosen(self, selection):
        """Return the condition on ``d`` that a selection stands for.

        :param dict selection: ``groups``: list of [state, reason code], and ``ids``; None for all
        """
        conditions = [SQL("TRUE")]
        if "ids" in (selection or {}):
            conditions.append(SQL("d.id = ANY(%s)", list(selection["ids"])))
        if "groups" in (selection or {}):
            states, codes = zip(*selection["groups"], strict=True)
            conditions.append(
                SQL(
                    "(d.state, coalesce(d.reason_code, '')) IN"
                    " (SELECT * FROM unnest(%s::text[], %s::text[]))",
                    list(states),
                    list(codes),
                )
            )
        return SQL(" AND ").join(conditions)

    @api.private
    def _count_not_reissuable(self):
        """Return (reissued already, the bank shows money out) of payments that were not paid."""
        [row] = self.env.execute_query(
            SQL(
                """
                SELECT count(*) FILTER (WHERE %(has)s),
                       count(*) FILTER (WHERE NOT %(has)s AND NOT (%(not_paid)s))
                  FROM g2p_disbursement d WHERE d.envelope_id = %(id)s AND %(ended)s
                """,
                has=_HAS_REISSUE,
                not_paid=not_paid(),
                ended=_ENDED_UNPAID,
                id=self.id,
            )
        )
        return row

    # -- the new envelope -----------------------------------------------------------------------

    @api.private
    def _reissue(self, selection, schedule_date, reason, expected):
        """Open an envelope that pays again what the officer chose, and have it filled.

        In a transaction of its own, under the lock of this envelope: of two officers at once the
        second sees what the first one did.

        :param dict selection: as of :meth:`_chosen`
        :param date schedule_date: today or later
        :param tuple expected: (count, Decimal amount) that the officer saw
        :return: database id of the new envelope
        :raise UserError: something changed since, or it cannot be reissued
        """
        self.ensure_one()
        check_role(self, OFFICER)
        bridge = self.env["g2p.bridge"]
        # nobody may write envelopes but their transitions
        with bridge._alone_with(self.sudo()) as alone:
            alone._check_reissue(schedule_date)
            groups = alone._find_reissuable(selection)
            found = (sum(g[3] for g in groups), sum((g[4] for g in groups), Decimal(0)))
            if found != tuple(expected):
                raise UserError(
                    self.env._(
                        "It changed meanwhile: now %(count)s payments of %(amount)s could be "
                        "reissued. Look at them again.",
                        count=found[0],
                        amount=alone.currency_id.format(float(found[1])),
                    )
                )
            new = alone._open_reissue(selection, schedule_date, reason, *found)
            new._enqueue_reissue()
            new_id = new.id
        if found[0] <= REISSUE_SLICE:
            # at once, so that the officer sees it complete; if this fails, the job does it
            with suppress(RetryableJobError), own_cursor(self.env) as cr:
                self.browse(new_id).with_env(self.sudo().env(cr=cr))._take_originals()
        self.env.invalidate_all()
        return new_id

    def _check_reissue(self, schedule_date):
        program = self.program_id
        if not program.active:
            raise UserError(self.env._("The program %s is archived.", program.display_name))
        if program.currency_id != self.currency_id:
            raise UserError(
                self.env._("The program's funding account is in another currency by now.")
            )
        if schedule_date < self.env["g2p.bridge"]._today(self.company_id):
            raise UserError(self.env._("The schedule date must be today or later."))
        if under_way := self._find_reissue_under_way():
            raise UserError(
                self.env._(
                    "Another reissue of this envelope is under way, %s: wait until it is complete.",
                    under_way.disbursement_envelope_id,
                )
            )

    def _count_people(self, selection):
        [[people]] = self.env.execute_query(
            SQL(
                "SELECT count(DISTINCT d.beneficiary_id) FROM g2p_disbursement d"
                " WHERE d.envelope_id = %s AND %s AND %s",
                self.id,
                REISSUABLE,
                self._chosen(selection),
            )
        )
        return people

    def _open_reissue(self, selection, schedule_date, reason, count, amount, people=None):
        """Create the envelope that is to pay again what was chosen, and say so in both chatters.

        :param int people: how many the program system says they are, where it corrects some
        """
        if not count:
            raise UserError(self.env._("There is nothing to reissue."))
        program = self.program_id
        new = self.create(
            {
                "disbursement_envelope_id": new_ids(1)[0],
                "program_id": program.id,
                "funding_account_id": program.funding_account_id.id,
                "id_mapper_resolution_required": program.id_mapper_resolution_required,
                "currency_id": self.currency_id.id,
                "disbursement_frequency": self.disbursement_frequency,
                "cycle_code_mnemonic": self.cycle_code_mnemonic,
                "number_of_beneficiaries": people or self._count_people(selection),
                "number_of_disbursements": count,
                "total_disbursement_amount": float(amount),
                "disbursement_schedule_date": schedule_date,
                "created_by_id": self.env.uid,
                "reissued_from_id": self.id,
                "reissue_reason": reason,
                "reissue_selection": selection or {},
                "is_correction": bool(people),
                "reissue_asked_at": fields.Datetime.now(),
            }
        )
        words = {
            "count": count,
            "amount": self.currency_id.format(float(amount)),
            "new": new.disbursement_envelope_id,
            "old": self.disbursement_envelope_id,
            "reason": reason,
        }
        self.message_post(
            body=self.env._(
                "%(count)s payments, %(amount)s, are reissued as envelope %(new)s: %(reason)s",
                **words,
            )
        )
        new.message_post(
            body=self.env._(
                "Reissues %(count)s payments, %(amount)s, of envelope %(old)s: %(reason)s", **words
            )
        )
        return new

    def _enqueue_reissue(self):
        for envelope in self:
            envelope._delayed(
                self.env._("Reissue payments"),
                identity_key=f"reissue:{envelope.id}:{envelope.reissue_last_id}",
            )._take_originals()

    def _advance_receiving(self):
        """Have a reissue filled whose job was lost."""
        if not self.reissued_from_id:
            return self.state
        self._enqueue_reissue()
        return "it is being filled"

    @api.private
    def _take_originals(self):
        """Add the next slice of the payments that are reissued (queue job); the last completes it.

        May run any number of times: how far it is stands in the envelope, in the same transaction.
        """
        self.ensure_one()
        self._lock_composition()
        self._lock_for_job("it is being filled", seconds=2)
        if self.state != "receiving" or not self.reissued_from_id:
            return f"not due ({self.state})"
        with own_cursor(self.env) as cr:  # past our snapshot: others cancel meanwhile
            books = self.env["g2p.bridge"]._books(self.with_env(self.env(cr=cr)))
        ids = self._next_originals()
        count, amount = self._copy_originals(ids) if ids else (0, Decimal(0))
        if len(ids) == REISSUE_SLICE:
            self.reissue_last_id = ids[-1]
            self._enqueue_reissue()
            return f"{count} payments"
        self._complete_reissue(books.count + count, books.amount + amount)
        return self.state

    def _next_originals(self):
        rows = self.env.execute_query(
            SQL(
                """
                SELECT d.id FROM g2p_disbursement d
                 WHERE d.envelope_id = %s AND d.id > %s AND d.state_since <= %s AND %s AND %s
                 ORDER BY d.id LIMIT %s
                """,
                self.reissued_from_id.id,
                self.reissue_last_id,
                self.reissue_asked_at,
                REISSUABLE,
                self._chosen(self.reissue_selection),
                REISSUE_SLICE,
            )
        )
        return [row_id for (row_id,) in rows]

    def _copy_originals(self, ids, corrections=None):
        """Insert the payments that replace these, and book them; the originals' readers hear of it.

        Each keeps its MIS reference, which is unique in its envelope: all come from one.

        :param list corrections: for each id (beneficiary_id, beneficiary_name, narrative), None for
            what stays; by default all stays
        :return: (count, Decimal sum)
        :raise UserError: one was reissued by somebody else, or paid, since it was chosen
        """
        now = fields.Datetime.now()
        persons, names, narratives = zip(*(corrections or [(None,) * 3] * len(ids)), strict=True)
        query = SQL(
            """
            WITH added AS (
                INSERT INTO g2p_disbursement
                       (envelope_id, state, received_at, state_since, changed_xid, disbursement_id,
                        amount, mis_reference_number, beneficiary_id, beneficiary_name, narrative,
                        reissue_of_id)
                SELECT %(envelope)s, 'received', %(now)s, %(now)s,
                       pg_current_xact_id()::text::bigint, v.given, d.amount,
                       d.mis_reference_number, coalesce(v.person, d.beneficiary_id),
                       coalesce(v.name, d.beneficiary_name), coalesce(v.narrative, d.narrative),
                       d.id
                  FROM unnest(%(ids)s::int[], %(given)s::text[], %(persons)s::text[],
                              %(names)s::text[], %(narratives)s::text[])
                       AS v(id, given, person, name, narrative)
                  JOIN g2p_disbursement d ON d.id = v.id AND d.followed_up_at IS NULL
                   AND %(not_paid)s
                 ORDER BY d.id
             RETURNING reissue_of_id, amount),
            told AS (
                UPDATE g2p_disbursement d SET changed_xid = pg_current_xact_id()::text::bigint,
                       followed_up_at = %(now)s
                  FROM added WHERE d.id = added.reissue_of_id AND %(ended)s
                   AND d.followed_up_at IS NULL RETURNING d.id)
            INSERT INTO g2p_disbursement_journal
                   (envelope_id, target, disbursement_count, amount, cause, user_id, created_at)
            SELECT %(envelope)s, 'received', count(*), sum(amount), %(cause)s, %(user)s, %(now)s
              FROM added HAVING count(*) = %(wanted)s AND (SELECT count(*) FROM told) = %(wanted)s
            RETURNING disbursement_count, amount::text
            """,
            envelope=self.id,
            now=now,
            ids=ids,
            given=new_ids(len(ids)),
            persons=list(persons),
            names=list(names),
            narratives=list(narratives),
            not_paid=not_paid(),
            ended=_ENDED_UNPAID,
            cause=f"reissue of {self.reissued_from_id.disbursement_envelope_id}",
            user=self.created_by_id.id,
            wanted=len(ids),
        )
        try:
            with self.env.cr.savepoint(flush=False):
                self.env.cr.execute(query, log_exceptions=False)
                booked = self.env.cr.fetchone()
        except IntegrityError as error:
            raise self._reissue_error() from error
        if not booked:
            raise self._reissue_error()
        self.env.invalidate_all()
        return booked[0], Decimal(booked[1])

    def _reissue_error(self):
        return UserError(
            self.env._("Some of these payments were reissued, or paid, meanwhile: look again.")
        )

    def _complete_reissue(self, count, amount):
        """Let the envelope go on when all is in that the officer saw.

        What the program system cancelled of it meanwhile is no part of it any more.
        """
        [[gross_count, gross]] = self.env.execute_query(
            SQL(
                "SELECT coalesce(sum(disbursement_count), 0), coalesce(sum(amount), 0)::text"
                " FROM g2p_disbursement_journal WHERE envelope_id = %s AND source IS NULL",
                self.id,
            )
        )
        declared = Decimal(str(self.total_disbursement_amount))
        if (gross_count, Decimal(gross)) != (self.number_of_disbursements, declared):
            raise self._reissue_error()
        if not count:
            self._set_cancelled(self.env._("All of its payments were cancelled."), "reissue")
            return
        if count != gross_count:
            self.write(
                {"number_of_disbursements": count, "total_disbursement_amount": float(amount)}
            )
        self.env["g2p.bridge"]._complete(self)

    @api.private
    def _on_reissue_failed(self, exc_message=None, **_values):
        """Give the payments back: an envelope that is not complete pays nobody."""
        for envelope in self.filtered(lambda e: e.state == "receiving"):
            reason = self.env._("The reissue failed: %s", (exc_message or "")[:300])
            envelope._set_cancelled(reason, "reissue failed")
            envelope.reissued_from_id.message_post(body=reason)

    # -- before anything leaves -----------------------------------------------------------------

    @api.private
    def _check_originals(self, payment_ids):
        """Say whether the originals of these payments are still not paid; if not, stop.

        A statement may show later that the bank paid a payment all the same, or took a return back.
        """
        if not (disputed := self._find_disputed(payment_ids)):
            return True
        self._set_needs_attention(
            "REISSUE_DISPUTED",
            self.env._(
                "The bank's statements show money out for what is reissued here (%s): leave those "
                "payments out, or have the bank put it right. Nothing of them is sent.",
                ", ".join(disputed),
            ),
        )
        return False

    def _find_disputed(self, payment_ids):
        """Return ids of a few originals, of these payments, that may have been paid."""
        if not self.reissued_from_id:
            return []
        rows = self.env.execute_query(
            SQL(
                """
                SELECT d.disbursement_id FROM g2p_disbursement n
                  JOIN g2p_disbursement d ON d.id = n.reissue_of_id
                 WHERE n.envelope_id = %s AND n.id = ANY(%s) AND NOT (%s) ORDER BY d.id LIMIT 5
                """,
                self.id,
                list(payment_ids),
                not_paid(),
            )
        )
        return [reference for (reference,) in rows]
