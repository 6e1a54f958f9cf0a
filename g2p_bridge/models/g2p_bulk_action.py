"""What an officer asks for on "all 48,213 selected": done by jobs, a slice at a time."""

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import LockError, UserError
from odoo.fields import Domain
from odoo.tools import SQL

from .g2p_reissue import LEFT_OUT, not_paid
from .g2p_state_mixin import TransitionError
from .roles import OFFICER, check_role

#: records that one transaction takes
BULK_SLICE = 2_000
#: names of skipped records that are kept for each reason
EXAMPLES = 20
KINDS = [
    ("resolve", "Look up again"),
    ("leave_out", "Leave out"),
    ("retry", "Try again"),
    ("dismiss", "Dismiss"),
    ("assign", "Assign"),
]


class BulkAction(models.Model):
    """One step for many records: who asked for it, how far it is, and what could not be done."""

    _name = "g2p.bulk.action"
    _description = "Bulk action"
    _inherit = ["g2p.state.mixin"]
    _order = "id desc"

    _TRANSITIONS = {
        "running": ("queued",),
        "done": ("queued", "running"),
        "failed": ("queued", "running"),
        "stopped": ("queued", "running"),
    }

    kind = fields.Selection(KINDS, string="Step", required=True, readonly=True)
    res_model = fields.Char(required=True, readonly=True)
    domain = fields.Json(
        required=True,
        readonly=True,
        groups=fields.NO_ACCESS,
        help="What was selected; whoever searched for an account number has it in here.",
    )
    user_id = fields.Many2one(
        "res.users", string="Asked for by", required=True, readonly=True, index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    company_ids = fields.Json(
        string="Companies", readonly=True, help="Companies that were selected."
    )
    asked_at = fields.Datetime(readonly=True, required=True, default=fields.Datetime.now)
    ended_at = fields.Datetime(readonly=True)
    reason = fields.Char(readonly=True)
    assignee_id = fields.Many2one("res.users", string="Assigned to", readonly=True)
    state = fields.Selection(
        [
            ("queued", "Waiting"),
            ("running", "Under way"),
            ("done", "Done"),
            ("failed", "Failed"),
            ("stopped", "Stopped"),
        ],
        required=True,
        readonly=True,
        default="queued",
        group_expand=True,
    )
    total_count = fields.Integer(string="Selected", readonly=True)
    done_count = fields.Integer(string="Done", readonly=True)
    skipped_count = fields.Integer(string="Left as they are", readonly=True)
    progress = fields.Float(compute="_compute_progress")
    skipped = fields.Json(readonly=True, help="Reason: how many, and the names of a few.")
    skipped_text = fields.Text(string="Why", compute="_compute_skipped_text")
    error = fields.Char(readonly=True)
    last_id = fields.Integer(readonly=True, help="The selection is done up to this record.")
    up_to_id = fields.Integer(readonly=True, help="Newest record when it was asked for.")

    @api.depends("kind", "asked_at")
    def _compute_display_name(self):
        labels = dict(self._fields["kind"]._description_selection(self.env))
        for action in self:
            action.display_name = f"{labels.get(action.kind, '')} #{action.id}"

    @api.depends("state", "total_count", "done_count", "skipped_count")
    def _compute_progress(self):
        for action in self:
            handled = action.done_count + action.skipped_count
            action.progress = (
                100
                if action.state == "done"
                else min(100 * handled / (action.total_count or 1), 99)
            )

    @api.depends("skipped")
    def _compute_skipped_text(self):
        for action in self:
            action.skipped_text = "\n".join(
                self.env._(
                    "%(count)s: %(reason)s (%(examples)s)",
                    count=found["count"],
                    reason=reason,
                    examples=", ".join(found["examples"]),
                )
                for reason, found in (action.skipped or {}).items()
            )

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Bulk actions are never deleted: they say who did what."))

    # -- transitions ----------------------------------------------------------------------------

    @api.private
    def _set_running(self):
        """The first slice is being done."""
        return self._transition("running")

    @api.private
    def _set_done(self):
        """All of the selection was looked at."""
        return self._transition("done", ended_at=fields.Datetime.now())

    @api.private
    def _set_failed(self, message):
        """A slice was given up; what was done before stays done."""
        return self._transition("failed", ended_at=fields.Datetime.now(), error=message)

    @api.private
    def _set_stopped(self):
        """An officer stopped it between two slices."""
        return self._transition("stopped", ended_at=fields.Datetime.now())

    # -- asking for it --------------------------------------------------------------------------

    @api.private
    def _start(self, kind, model, domain, *, total, **values):
        """Keep what was asked for, and have it done.

        :param BaseModel model: with the environment of the user
        :param list domain: what is selected, as the user may see it
        :param int total: how many records the user was told
        :return: the bulk action
        """
        check_role(model.browse(), OFFICER)
        newest = model.search(domain, order="id desc", limit=1)
        action = self.sudo().create(  # nobody may create them but here
            {
                "kind": kind,
                "res_model": model._name,
                "domain": domain,
                "user_id": self.env.uid,
                "company_id": self.env.company.id,
                "company_ids": self.env.companies.ids,
                "total_count": total,
                "up_to_id": newest.id,
                **values,
            }
        )
        action._enqueue()
        return action.sudo(False)

    def _enqueue(self):
        for action in self:
            action.with_user(SUPERUSER_ID).with_delay(
                description=f"{action.display_name}: {action.done_count + action.skipped_count}",
                identity_key=f"bulk_action:{action.id}:{action.last_id}",
                max_retries=self.env["g2p.bridge"]._parameter("max_attempts"),
            )._run()

    @api.model
    def _cron_go_on(self, limit=100):
        """Enqueue what was asked for and has no job: its last one died."""
        self.search([("state", "in", ["queued", "running"])], limit=limit)._enqueue()

    def action_stop(self):
        """Stop after the slice that is under way; what is done stays done."""
        check_role(self, OFFICER)
        self.sudo()._set_stopped()  # nobody may write them but their transitions

    def action_view_records(self):
        """Open what was selected.

        :raise AccessError: the selection asks for fields that the user may not see
        """
        self.ensure_one()
        self.check_access("read")
        domain = self.sudo().domain  # nobody reads it but by this button
        self.env[self.res_model]._search(domain)  # refuses fields that are not the user's
        return {
            "type": "ir.actions.act_window",
            "name": self.display_name,
            "res_model": self.res_model,
            "views": [(False, "list"), (False, "form")],
            "domain": domain,
        }

    # -- doing it -------------------------------------------------------------------------------

    @api.private
    def _run(self):
        """Do the next slice of the selection (queue job).

        May run any number of times: how far it is stands in the same transaction as what it did.
        """
        self.ensure_one()
        self._lock_for_job("a slice is under way", seconds=2)
        if self.state not in ("queued", "running"):
            return f"not due ({self.state})"
        user = self.user_id
        if not user.active or not user.has_group(OFFICER):
            self._set_failed(self.env._("Who asked for it is no officer any more."))
            return self.state
        self._set_running()
        records = self._next_slice()
        if records:
            # as the officer, for the journal; nobody may write such records directly
            handler = getattr(records.sudo(), f"_bulk_{self.kind}")
            skipped = handler(self)
            self._count(records, skipped)
            self._enqueue()
            return f"up to {self.last_id}"
        self._set_done()
        self._tell_user()
        return self.state

    def _next_slice(self):
        """Return the next records of the selection, as the user who asked for it sees them."""
        model = self.env[self.res_model].with_user(self.user_id)
        model = model.with_context(allowed_company_ids=self.company_ids, active_test=True)
        place = Domain("id", ">", self.last_id) & Domain("id", "<=", self.up_to_id)
        return model.search(Domain(self.domain) & place, order="id", limit=BULK_SLICE)

    def _count(self, records, skipped):
        """Add a slice to the counts.

        :param dict skipped: reason -> records that were left as they are
        """
        kept = dict(self.skipped or {})
        total = 0
        for reason, left in skipped.items():
            total += len(left)
            known = kept.get(reason, {"count": 0, "examples": []})
            room = EXAMPLES - len(known["examples"])
            names = left[:room].mapped("display_name") if room > 0 else []
            kept[reason] = {
                "count": known["count"] + len(left),
                "examples": known["examples"] + names,
            }
        self.write(
            {
                "last_id": records[-1].id,
                "done_count": self.done_count + len(records) - total,
                "skipped_count": self.skipped_count + total,
                "skipped": kept,
            }
        )

    def _tell_user(self):
        words = self.with_context(lang=self.user_id.lang)
        self.user_id._bus_send(
            "simple_notification",
            {
                "type": "warning" if self.skipped_count or self.state != "done" else "success",
                "title": words.display_name,
                "message": words.env._(
                    "%(done)s done, %(skipped)s left as they are.",
                    done=self.done_count,
                    skipped=self.skipped_count,
                ),
                "sticky": True,
            },
        )

    @api.private
    def _on_run_failed(self, exc_message=None, **_values):
        """Say why a slice was given up."""
        for action in self.filtered(lambda a: a.state in ("queued", "running")):
            action._set_failed((exc_message or "")[:500])
            action._tell_user()


class Disbursement(models.Model):
    """What can be done with many payments."""

    _inherit = "g2p.disbursement"

    @api.private
    def _bulk_preview(self, kind, domain):
        """Return [(currency, count, amount)] of what a step would do something with."""
        query = self._search(domain)
        rows = self.env.execute_query(
            SQL(
                """
                SELECT e.currency_id, count(*), sum(d.amount)
                  FROM g2p_disbursement d JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id
                 WHERE d.id IN %s AND %s GROUP BY 1 ORDER BY 1
                """,
                query.subselect(),
                self._bulk_condition(kind),
            )
        )
        currencies = self.env["res.currency"]
        return [(currencies.browse(key), count, amount) for key, count, amount in rows]

    def _bulk_condition(self, kind):
        """Return the condition on ``d`` and its envelope ``e`` of what a step may be done with."""
        working = self.env["g2p.disbursement.envelope"]._WORKING[1:]
        in_work = SQL("e.state = ANY(%s)", [*working, "needs_attention"])
        if kind == "resolve":
            return SQL("d.state IN ('received', 'unresolved') AND %s", in_work)
        # besides people without account: what would pay somebody again whom the bank paid
        disputed = SQL(
            "EXISTS (SELECT FROM g2p_disbursement o WHERE o.id = d.reissue_of_id AND NOT (%s))",
            not_paid("o"),
        )
        return SQL(
            "(d.state = 'unresolved' OR d.state IN ('received', 'resolved') AND %s) AND %s",
            disputed,
            in_work,
        )

    def _bulk_possible(self, kind, since=None):
        """Return those of the payments that the step may be done with, as they are now."""
        rows = self.env.execute_query(
            SQL(
                """
                SELECT d.id FROM g2p_disbursement d
                  JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id
                 WHERE d.id = ANY(%s) AND %s AND d.state_since <= %s ORDER BY d.id
                """,
                self.ids,
                self._bulk_condition(kind),
                since or fields.Datetime.now(),
            )
        )
        return self.browse(row_id for (row_id,) in rows)

    @api.private
    def _bulk_resolve(self, action):
        """Look the accounts up again; what has none stays as it is."""
        possible = self._bulk_possible("resolve")
        for envelope in possible.envelope_id.sorted("id"):
            part = possible.filtered(lambda p, e=envelope: p.envelope_id == e)
            envelope._look_up(
                SQL(
                    "d.envelope_id = %s AND d.id = ANY(%s)"
                    " AND d.state IN ('received', 'unresolved')",
                    envelope.id,
                    part.ids,
                ),
                part[0].id,
            )
            envelope._enqueue_advance()
        self.env.invalidate_all()
        without = possible.filtered(lambda p: p.state == "unresolved")
        return _reasons(
            (self.env._("Their account is known, or they ended."), self - possible),
            *(
                (reason or self.env._("No account is known."), part)
                for reason, part in without.grouped("reason").items()
            ),
        )

    @api.private
    def _bulk_leave_out(self, action):
        """Cancel payments to people without account; the rest of the envelope goes on."""
        self.envelope_id.sorted("id")._lock_for_bulk()
        possible = self._bulk_possible("leave_out", since=action.asked_at)
        if possible:
            self._bulk_transition(
                "cancelled",
                SQL("d.id = ANY(%s)", possible.ids),
                cause=self.env._("left out"),
                assign=SQL("reason_code = %s, reason = %s", LEFT_OUT, action.reason),
            )
        envelopes = possible.envelope_id
        envelopes._enqueue_recheck_approval()
        envelopes._enqueue_advance()
        return _reasons((self.env._("They have an account, or ended."), self - possible))


class DisbursementEnvelope(models.Model):
    """What can be done with many envelopes."""

    _inherit = "g2p.disbursement.envelope"

    def _lock_for_bulk(self):
        """Keep others from adding to, cancelling from or moving the envelopes, until the commit."""
        for envelope in self:
            envelope._lock_composition()
            envelope._lock_for_job("a step is under way", seconds=2)

    @api.private
    def _bulk_preview(self, kind, domain):
        domain = Domain(domain)
        if kind == "retry":
            domain &= Domain("state", "=", "needs_attention") & Domain("is_paused", "=", False)
        return self._read_group(
            domain, ["currency_id"], ["__count", "total_disbursement_amount:sum"]
        )

    @api.private
    def _bulk_retry(self, action):
        """Try again what stopped."""
        due = self.filtered(lambda e: e.state == "needs_attention" and not e.is_paused)
        busy = self.browse()
        for envelope in due:
            if not envelope._try_resume():
                busy += envelope
        return _reasons(
            (self.env._("They are paused, or have no problem."), self - due),
            (self.env._("A step is under way."), busy),
        )

    def _try_resume(self):
        """Try again what stopped; say whether that was possible."""
        try:
            with self.env.cr.savepoint():
                self._set_resumed()
                self._enqueue_advance()
        except (LockError, TransitionError):
            return False
        return True

    @api.private
    def _bulk_assign(self, action):
        return _assign(self, action)


class AccountStatement(models.Model):
    """What can be done with many statements."""

    _inherit = "g2p.account.statement"

    @api.private
    def _bulk_preview(self, kind, domain):
        return [(self.env["res.currency"], self.search_count(domain), 0)]

    @api.private
    def _bulk_assign(self, action):
        return _assign(self, action)


class AccountStatementLine(models.Model):
    """What can be done with many entries."""

    _inherit = "g2p.account.statement.line"

    @api.private
    def _bulk_preview(self, kind, domain):
        rows = self.env.execute_query(
            SQL(
                """
                SELECT a.currency_id, count(*), sum(l.amount)
                  FROM g2p_account_statement_line l
                  JOIN g2p_account_statement s ON s.id = l.statement_id
                  JOIN g2p_funding_account a ON a.id = s.account_id
                 WHERE l.id IN %s AND l.outcome = 'error' AND NOT l.is_handled
                 GROUP BY 1 ORDER BY 1
                """,
                self._search(domain).subselect(),
            )
        )
        currencies = self.env["res.currency"]
        return [(currencies.browse(key), count, amount) for key, count, amount in rows]

    @api.private
    def _bulk_dismiss(self, action):
        """Take entries off the worklist, with who, when and why."""
        due = self.filtered(lambda line: line.outcome == "error" and not line.is_handled)
        due.write(due._prepare_handled_vals(action.reason))
        return _reasons((self.env._("They are not in the worklist any more."), self - due))


def _reasons(*pairs):
    """Return {reason: records} of those that have any."""
    found = {}
    for reason, records in pairs:
        if records:
            found[reason] = found.get(reason, records.browse()) + records
    return found


def _assign(records, action):
    """Give each of the records to somebody, as a to-do; once, however often it is asked for."""
    kind = records.env.ref("mail.mail_activity_data_todo")
    assignee = action.assignee_id
    has_it = records.filtered(
        lambda r: r.activity_ids.filtered(
            lambda a: a.activity_type_id == kind and a.user_id == assignee
        )
    )
    for record in records - has_it:
        record.activity_schedule(
            activity_type_id=kind.id, user_id=assignee.id, summary=action.reason
        )
    return _reasons((records.env._("It is theirs already."), has_it))
