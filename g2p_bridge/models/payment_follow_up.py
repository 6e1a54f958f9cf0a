from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .g2p_reissue import LEFT_OUT
from .roles import OFFICER, check_role

#: payments that one transaction marks
SLICE = 10_000
#: states whose payments wait for somebody to deal with them
FOLLOWED_UP = ("rejected", "reversed")


class DisbursementEnvelope(models.Model):
    """What officers decide about the payments of an envelope that reached nobody."""

    _inherit = "g2p.disbursement.envelope"

    @api.private
    def _leave_out(self, reason_code, note):
        """Cancel the payments whose account is not known, for this reason: nobody pays them.

        :param str reason_code: of the unresolved payments; False: those without reason
        :param str note: why, for officers and for the program
        :return: number of payments
        :raise AccessError: not an officer
        :raise UserError: there are none any more
        """
        self.ensure_one()
        check_role(self, OFFICER)
        # nobody may write payments but their transitions
        with self.env["g2p.bridge"]._alone_with(self.sudo()) as alone:
            moved = alone.env["g2p.disbursement"]._bulk_transition(
                "cancelled",
                SQL(
                    "d.envelope_id = %s AND d.state = 'unresolved'"
                    " AND d.reason_code IS NOT DISTINCT FROM %s",
                    alone.id,
                    reason_code or None,
                ),
                cause="left out by an officer",
                assign=SQL("reason_code = %s, reason = %s", LEFT_OUT, note),
                is_withdrawal=alone.state == "receiving",
            )
            count = sum(count for _envelope, _batch, count, _amount in moved)
            if not count:
                raise UserError(self.env._("No such payment is without account any more."))
            alone.message_post(
                body=alone.env._(
                    "%(count)s payments are left out: %(note)s", count=count, note=note
                )
            )
            alone._enqueue_recheck_approval()
            alone._enqueue_advance()
        return count

    @api.private
    def _hand_back(self, state, reason_code, note):
        """Note that the program sees to payments that were refused or came back.

        It moves no money and changes no state: they leave the worklist.

        :param str state: ``rejected`` or ``reversed``
        :raise AccessError: not an officer
        """
        self.ensure_one()
        check_role(self, OFFICER)
        envelope = self.sudo()  # nobody may write payments directly
        envelope.message_post(
            body=self.env._(
                "Left to the program (%(state)s, %(code)s): %(note)s",
                state=state,
                code=reason_code or "-",
                note=note,
            )
        )
        [[snapshot]] = self.env.execute_query(SQL("SELECT pg_current_snapshot()::text"))
        envelope._mark_followed_up(state, reason_code)
        envelope._delayed(self.env._("Follow up payments"))._follow_up(state, reason_code, snapshot)

    @api.private
    def _follow_up(self, state, reason_code, snapshot):
        """Mark another slice of what an officer saw, and nothing that came since (queue job).

        May run any number of times.

        :param str snapshot: of the officer's transaction (``pg_current_snapshot``)
        """
        seen = SQL("pg_visible_in_snapshot(d.changed_xid::text::xid8, %s::pg_snapshot)", snapshot)
        count = self._mark_followed_up(state, reason_code, seen)
        if count == SLICE:
            self._delayed(self.env._("Follow up payments"))._follow_up(state, reason_code, snapshot)
        return f"{count} payments"

    def _mark_followed_up(self, state, reason_code, condition=None):
        """Mark a slice of the envelope's payments as dealt with; return their number."""
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                UPDATE g2p_disbursement SET followed_up_at = %(now)s
                 WHERE id IN (
                    SELECT d.id FROM g2p_disbursement d
                     WHERE d.envelope_id = %(envelope)s AND d.state = %(state)s
                       AND d.state IN %(ended)s AND d.followed_up_at IS NULL
                       AND d.reason_code IS NOT DISTINCT FROM %(code)s AND %(condition)s
                     LIMIT %(limit)s)
                """,
                now=fields.Datetime.now(),
                envelope=self.id,
                state=state,
                ended=FOLLOWED_UP,
                code=reason_code or None,
                condition=condition or SQL("TRUE"),
                limit=SLICE,
            ),
            log_exceptions=False,
        )
        count = self.env.cr.rowcount
        self.env["g2p.disbursement"].invalidate_model(["followed_up_at"])
        return count
