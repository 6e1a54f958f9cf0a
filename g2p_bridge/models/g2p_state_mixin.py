from psycopg2.errors import SerializationFailure

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError


class TransitionError(UserError):
    """A record is in a state that does not lead where it was asked to go."""

    def __init__(self, record, target):
        labels = dict(record._fields["state"]._description_selection(record.env))
        super().__init__(
            record.env._(
                "%(name)s is %(state)s: it cannot become %(target)s.",
                name=record.display_name,
                state=labels.get(record.state, record.state),
                target=labels.get(target, target),
            )
        )


class StateMixin(models.AbstractModel):
    """States whose changes are locked, checked and dated; only ``_set_*`` methods make them."""

    _name = "g2p.state.mixin"
    _description = "State transitions"

    #: state -> the states it may be reached from
    _TRANSITIONS = {}

    state_since = fields.Datetime(
        string="In this state since", readonly=True, default=fields.Datetime.now, copy=False
    )

    @api.private
    def _lock_for_job(self, busy, seconds, *, is_shared=False):
        """Lock the record until the end of the job, and see it as it is now.

        :param str busy: why the job has to wait where another holds the record
        :param int seconds: until the next try then
        :param bool is_shared: others may hold it beside us that ask for no more than that
        :raise RetryableJobError: another holds it, or it changed since our snapshot (callers cancel
            while jobs run): neither costs a try, nor is it an error for the log
        """
        self.ensure_one()
        query = SQL(
            "SELECT id FROM %s WHERE id = %s FOR %s SKIP LOCKED",
            SQL.identifier(self._table),
            self.id,
            SQL("SHARE") if is_shared else SQL("NO KEY UPDATE"),
        )
        try:
            self.env.cr.execute(query, log_exceptions=False)
        except SerializationFailure as error:
            raise RetryableJobError("it changed", seconds=1, ignore_retry=True) from error
        if not self.env.cr.fetchone():
            raise RetryableJobError(busy, seconds=seconds, ignore_retry=True)
        self.invalidate_recordset()

    @api.private
    def _transition(self, target, **values):
        """Move the records to ``target``, return those that moved; only ``_set_*`` methods call it.

        A record already there is left alone, so a repeat is harmless.

        :param values: fields that belong to the new state (reference, reason)
        :raise LockError: another transaction holds one of them
        :raise TransitionError: one is in a state that does not lead to ``target``
        """
        self.lock_for_update(allow_referencing=True)
        self.invalidate_recordset(["state"])
        due = self.filtered(lambda record: record.state in self._TRANSITIONS[target])
        if wrong := self.filtered(lambda record: record.state != target) - due:
            raise TransitionError(wrong[0], target)
        due.write({"state": target, "state_since": fields.Datetime.now(), **values})
        return due
