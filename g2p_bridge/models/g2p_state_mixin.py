from odoo import api, fields, models
from odoo.exceptions import UserError


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
