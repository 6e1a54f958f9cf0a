from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..connectors.errors import BankRejected, BankUnavailable
from .own_cursor import lock_for_transaction, own_cursor, try_lock_for_transaction
from .pipeline_funds import ALWAYS
from .planner import count_if_misjudged
from .roles import OFFICER, check_role

NO_ANSWER = ("NO_ANSWER", "The mapper did not answer for this beneficiary")
NOT_LINKED = ("succ.fa.not_linked_to_id", "No account is linked to this beneficiary")

#: jobs of an envelope that look accounts up, those that wait among them
LOOKUPS_AT_A_TIME = 8

#: columns of a disbursement that a look-up fills, with the attribute of the address
ADDRESS_COLUMNS = (
    "fa_type",
    "account_number",
    "bank_code",
    "branch_code",
    "mobile_number",
    "email_address",
    "wallet_provider",
)


class DisbursementEnvelope(models.Model):
    """Accounts of beneficiaries: looked up slice by slice, each slice in one statement."""

    _inherit = "g2p.disbursement.envelope"

    def action_resolve(self):
        """Look up the accounts of all payments that have none (jobs)."""
        check_role(self, OFFICER)
        for envelope in self.filtered(lambda e: e.state in e._WORKING[1:]):
            envelope._enqueue_resolve(states=("received", "unresolved"))

    def _enqueue_resolve_if_near(self):
        """Look accounts up some days ahead, so that there is time to mend what is missing."""
        lead = timedelta(days=self.env["g2p.bridge"]._parameter("resolve_lead_days"))
        if self.disbursement_schedule_date - lead <= fields.Date.context_today(self):
            self._enqueue_resolve()

    @api.private
    def _enqueue_resolve(self, states=("received",)):
        """Have the payments in these states looked up; return how many jobs look at them now.

        A few jobs at a time, so that a big envelope's do not stand before everybody else's; each
        that ends enqueues the next. While there are any, slices that one lost with its job wait
        until the others end.
        """
        return self._enqueue_slices(list(states))

    def _enqueue_slices(self, states, ended=None):
        """Fill the envelope's free places with look-ups of the next slices.

        Asked past our own snapshot, and one after the other: see :mod:`.pipeline_turns`.

        :param tuple ended: (first, last id) of the slice whose job ends with this transaction
        :return: number of jobs that wait or run, but for that one
        """
        self.env.flush_all()
        lock_for_transaction(self.env.cr, f"g2p.disbursement.envelope.lookups:{self.id}")
        with own_cursor(self.env) as cr:
            jobs = self._find_lookups(cr, states) - {ended}
            after = max((last for _first, last in (jobs | {ended}) - {None}), default=0)
            slices = self._find_slices(cr, states, after, LOOKUPS_AT_A_TIME - len(jobs))
        for first_id, last_id in slices:
            self._delayed(
                self.env._("Look up accounts"),
                identity_key=f"{self._lookup_key()}{first_id}:{last_id}:{states[-1]}",
            )._resolve(first_id, last_id, states)
        return len(jobs) + len(slices)

    def _lookup_key(self):
        return f"resolve:{self.id}:"

    def _find_lookups(self, cr, states):
        """Return the (first, last id) of the slices that have a job, as a set."""
        cr.execute(
            SQL(
                """
                SELECT identity_key FROM queue_job
                 WHERE state IN ('pending', 'enqueued', 'started') AND identity_key LIKE %s
                """,
                f"{self._lookup_key()}%:{states[-1]}",
            )
        )
        return {tuple(map(int, key.split(":")[2:4])) for (key,) in cr.fetchall()}

    def _find_slices(self, cr, states, after, count):
        """Return the (first, last id) of the next slices of payments in these states.

        :param int after: the id from which they begin, not included
        """
        if count <= 0:
            return []
        size = self.env["g2p.bridge"]._parameter("resolve_size")
        # of each state by itself, as the index has them: never more is read than is needed
        ids = SQL(" UNION ALL ").join(
            SQL(
                "(SELECT d.id FROM g2p_disbursement d WHERE %s AND d.state = %s AND d.id > %s"
                " ORDER BY d.id LIMIT %s)",
                self._is_of_envelope(),
                state,
                after,
                size * count,
            )
            for state in states
        )
        cr.execute(
            SQL(
                """
                SELECT min(id), max(id)
                  FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / %s AS slice
                          FROM (SELECT id FROM (%s) candidates ORDER BY id LIMIT %s) next) numbered
                 GROUP BY slice ORDER BY 1
                """,
                size,
                ids,
                size * count,
            )
        )
        return cr.fetchall()

    @api.private
    def _resolve(self, first_id, last_id, states=("received",)):
        """Look up the accounts of one slice of the envelope's payments (queue job).

        May run any number of times: it moves no money, and takes only what is in these states.

        :param int first_id: first database id of the slice
        :param int last_id: last one, included
        :raise RetryableJobError: the mapper did not answer
        """
        self.ensure_one()
        if self.state not in self._WORKING and self.state != "needs_attention":
            return f"not due ({self.state})"
        is_ours = self._take_slice(first_id, last_id, states)
        if is_ours:
            self._look_up(self._is_in_slice(first_id, last_id, states), first_id)
        if not self.is_paused and not self._enqueue_slices(list(states), (first_id, last_id)):
            self._enqueue_advance()
        return "looked up" if is_ours else "looked up by another job"

    def _is_of_envelope(self):
        """Return the condition on payments, as ``d``, that they are the envelope's.

        The planner's statistics may be older than the envelope, and say that it has no payments:
        then any index that begins with the envelope seems as good, and each slice would read all of
        a million. Of the result of a subquery it knows nothing, and expects an average envelope.
        """
        return SQL("d.envelope_id = (SELECT %s)", self.id)

    def _is_in_slice(self, first_id, last_id, states):
        return SQL(
            "%s AND d.id BETWEEN %s AND %s AND d.state = ANY(%s)",
            self._is_of_envelope(),
            first_id,
            last_id,
            list(states),
        )

    def _take_slice(self, first_id, last_id, states):
        """Keep other jobs from the slice; say whether there is something to look up in it.

        The same slice is enqueued again while its job runs (an identity key ignores started jobs).
        What that one committed since our snapshot may not be touched: hence the second cursor.
        """
        name = f"g2p.disbursement.envelope.slice:{self.id}:{first_id}"
        if not try_lock_for_transaction(self.env.cr, name):
            return False
        with own_cursor(self.env) as cr:
            cr.execute(
                SQL(
                    "SELECT EXISTS (SELECT FROM g2p_disbursement d WHERE %s)",
                    self._is_in_slice(first_id, last_id, states),
                )
            )
            return cr.fetchone()[0]

    def _look_up(self, where, first_id):
        """Look up the accounts of the payments that meet a condition on ``d``."""
        count_if_misjudged(self.env, "g2p_account_link")
        mapper = self.program_id.mapper_id
        if not self.id_mapper_resolution_required:
            self._resolve_to_ids(where)
        elif mapper.provider == "local":
            self._resolve_locally(mapper, where)
        else:
            self._resolve_by_mapper(mapper, where, first_id)

    def _resolve_to_ids(self, where):
        """The bank knows the accounts: the beneficiary ids travel to it."""
        self.env["g2p.disbursement"]._bulk_transition("resolved", where, cause="resolve")

    def _resolve_locally(self, mapper, where):
        self.env["g2p.account.link"].flush_model()
        disbursements = self.env["g2p.disbursement"]
        disbursements._bulk_transition(
            "resolved",
            SQL(
                "%s AND link.mapper_id = %s AND link.active"
                " AND link.beneficiary_id = d.beneficiary_id",
                where,
                mapper.id,
            ),
            cause="resolve",
            assign=_assign_address("link"),
            from_clause=SQL("g2p_account_link AS link"),
        )
        code, reason = NOT_LINKED
        disbursements._bulk_transition(
            "unresolved",
            where,
            cause="resolve",
            assign=SQL("reason_code = %s, reason = %s", code, reason),
        )

    def _resolve_by_mapper(self, mapper, where, first_id):
        rows = self.env.execute_query(
            SQL("SELECT disbursement_id, beneficiary_id FROM g2p_disbursement d WHERE %s", where)
        )
        if not rows:
            return
        calls = self.env["g2p.bank.call"]
        call = calls._start(
            "resolve", f"resolve:{self.disbursement_envelope_id}:{first_id}", self, reopen=ALWAYS
        )
        try:
            found = calls._run(call, lambda: (mapper._resolve_over_http(dict(rows)), None))
        except BankUnavailable as error:
            raise self._back_off(error, call.attempts) from error
        except BankRejected as error:
            self._set_needs_attention(error.code, str(error), next_attempt_at=self._next_attempt())
            return
        self._store_resolutions([reference for reference, _person in rows], found, where)

    def _store_resolutions(self, references, found, where):
        """Write what the mapper said: an address, a reason, or that it said nothing."""
        linked, missing = [], []
        for reference in references:
            answer = found.get(reference)
            if answer is None:
                missing.append((reference, *NO_ANSWER))
            elif answer.address is None:
                missing.append((reference, answer.reason_code, answer.reason))
            else:
                address = answer.address
                linked.append(
                    (reference, *(getattr(address, name) or None for name in ADDRESS_COLUMNS))
                )
        self._store(linked, "resolved", ADDRESS_COLUMNS, where, _assign_address("v"))
        self._store(
            missing,
            "unresolved",
            ("code", "words"),
            where,
            SQL("reason_code = v.code, reason = v.words"),
        )

    def _store(self, rows, target, columns, where, assign):
        if not rows:
            return
        arrays = SQL(", ").join(
            SQL("%s::text[]", list(column)) for column in zip(*rows, strict=True)
        )
        names = SQL(", ").join(SQL.identifier(name) for name in ("reference", *columns))
        self.env["g2p.disbursement"]._bulk_transition(
            target,
            SQL("%s AND d.disbursement_id = v.reference", where),
            cause="resolve",
            assign=assign,
            from_clause=SQL("unnest(%s) AS v(%s)", arrays, names),
        )

    @api.model
    def _cron_resolve_again(self, limit=500):
        """Look again for accounts of the unresolved, for somebody may have linked them since.

        In no order: of more envelopes than the limit none may keep the others waiting for ever.
        """
        envelopes = self.env.execute_query(
            SQL(
                """
                SELECT id FROM g2p_disbursement_envelope e
                 WHERE state = ANY(%s) AND NOT coalesce(is_paused, FALSE)
                   AND EXISTS (SELECT FROM g2p_disbursement d
                                WHERE d.envelope_id = e.id AND d.state = 'unresolved')
                 ORDER BY random() LIMIT %s
                """,
                list(self._WORKING[1:]),
                limit,
            )
        )
        for (envelope_id,) in envelopes:
            self.browse(envelope_id)._enqueue_resolve(states=("received", "unresolved"))


def _assign_address(alias):
    """Return the assignments of a found address, which also clear an earlier reason."""
    columns = SQL(", ").join(
        SQL("%s = %s", SQL.identifier(name), SQL.identifier(alias, name))
        for name in ADDRESS_COLUMNS
    )
    return SQL("%s, reason_code = NULL, reason = NULL", columns)
