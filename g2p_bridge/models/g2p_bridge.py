from contextlib import contextmanager

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import SQL, lazy

from .. import log_context
from ..connectors import masking
from ..const import MAX_REASON, MAX_REFERENCE, PARAMETERS, ZERO_IS_OFF
from ..services.field_rules import is_left_out, is_text
from .g2p_bridge_error import BridgeError
from .own_cursor import own_cursor

PBMS_GROUP = "g2p_bridge.group_pbms_api"
BANK_GROUP = "g2p_bridge.group_bank_api"


class Bridge(models.AbstractModel):
    """The API of the bridge, for Odoo's external API (JSON-RPC, XML-RPC, JSON-2).

    Plain JSON in and out. A caller needs the group of the PBMS API or of the Bank API, and
    nothing else in Odoo; what it may touch are the programs (banks) that name it, or that name
    nobody. Refusals are :class:`~.g2p_bridge_error.BridgeError`.
    """

    _name = "g2p.bridge"
    _description = "G2P Bridge API"

    # -- who may what ---------------------------------------------------------------------------

    def _for_caller(self, group):
        """Return the facade for a caller with the group, before anything is looked at.

        The context that came with the call is dropped: ``active_test`` in it would bring archived
        programs back, ``tracking_disable`` would leave no trace in the chatter, and
        ``queue_job__no_delay`` would run the bank's calls within the request.

        :raise AccessError: the caller has not got the group
        """
        if not self.env.user.has_group(group):
            raise AccessError(self.env._("This user may not use this part of the G2P Bridge API."))
        self.env.flush_all()  # most of what follows is SQL
        return self.with_env(self.env(context={}))

    def _programs(self):
        """Return the programs of the caller, for all that follows as superuser."""
        return self._of_caller("g2p.benefit.program")

    def _banks(self):
        """Return the banks that the caller may speak for."""
        return self._of_caller("g2p.sponsor.bank")

    def _of_caller(self, model):
        rows = self.env.execute_query(
            SQL(
                "SELECT t.id FROM %s t WHERE %s ORDER BY t.id",
                SQL.identifier(self.env[model]._table),
                self._is_of_caller(model, "t"),
            )
        )
        return self.env[model].sudo().browse(record_id for (record_id,) in rows)

    def _is_of_caller(self, model, alias):
        """Return the condition on programs or banks that the caller may work with.

        They are active, of one of the caller's companies, and name the caller, or nobody.
        """
        named = self.env[model]._fields["api_user_ids"]
        return SQL(
            """
            %(alias)s.active AND %(alias)s.company_id IN (
                SELECT cid FROM res_company_users_rel WHERE user_id = %(uid)s)
            AND (EXISTS (SELECT FROM %(users)s
                          WHERE %(record)s = %(alias)s.id AND %(user)s = %(uid)s)
             OR NOT EXISTS (SELECT FROM %(users)s WHERE %(record)s = %(alias)s.id))
            """,
            alias=SQL.identifier(alias),
            uid=self.env.uid,
            users=SQL.identifier(named.relation),
            record=SQL.identifier(named.column1),
            user=SQL.identifier(named.column2),
        )

    def _find_program(self, mnemonic):
        if isinstance(mnemonic, str):
            for program in self._programs():
                if program.mnemonic == mnemonic:
                    return program
        raise BridgeError("INVALID_PROGRAM_MNEMONIC")

    def _find_envelope(self, disbursement_envelope_id):
        return self._find_envelope_with(disbursement_envelope_id, SQL("NULL"))[0]

    def _find_envelope_with(self, disbursement_envelope_id, wanted):
        """Return an envelope of the caller, and what else is asked of it in the same query.

        :param SQL wanted: expression on the envelope ``e`` and its program ``p``
        """
        if not isinstance(disbursement_envelope_id, str) or not disbursement_envelope_id:
            raise BridgeError("INVALID_DISBURSEMENT_ENVELOPE_ID")
        found = is_text(disbursement_envelope_id, MAX_REFERENCE) and self.env.execute_query(
            SQL(
                """
                SELECT e.id, %s FROM g2p_disbursement_envelope e
                  JOIN g2p_benefit_program p ON p.id = e.program_id
                 WHERE e.disbursement_envelope_id = %s AND %s
                """,
                wanted,
                disbursement_envelope_id,
                self._is_of_caller("g2p.benefit.program", "p"),
            )
        )
        if not found:
            raise BridgeError("DISBURSEMENT_ENVELOPE_NOT_FOUND")
        [(envelope_id, *values)] = found
        log_context.note(envelope=disbursement_envelope_id)
        return self.env["g2p.disbursement.envelope"].sudo().browse(envelope_id), *values

    # -- shared rules ---------------------------------------------------------------------------

    def _today(self, company):
        """Return the business day of the company."""
        zone = company.partner_id.tz or "UTC"
        return fields.Date.context_today(self.with_context(tz=zone))

    def _check_idempotency_key(self, key):
        if not is_left_out(key) and not is_text(key, MAX_REFERENCE):
            raise BridgeError("INVALID_IDEMPOTENCY_KEY")

    def _checked_reason(self, reason):
        if is_left_out(reason):
            return ""
        if not is_text(reason, MAX_REASON):
            raise BridgeError("INVALID_REASON")
        return reason

    @contextmanager
    def _beside(self, envelope):
        """Give the envelope in a transaction of its own, that commits when the block ends well.

        It is READ COMMITTED, so it sees all that was committed while it waited for others: in the
        request's own transaction, REPEATABLE READ, whoever waits would have to start over, which
        beside busy senders never ends.
        """
        self.env.flush_all()
        with own_cursor(self.env) as cr:
            yield envelope.with_env(envelope.env(cr=cr))
        self.env.invalidate_all()

    @contextmanager
    def _alone_with(self, envelope):
        """Give the envelope like :meth:`_beside`, with nobody else who changes it.

        Others that add to it, cancel from it or amend it wait until its end.
        """
        with self._beside(envelope) as alone:
            alone._lock_composition()
            self._wait_for_row(alone)
            yield alone

    def _wait_for_row(self, envelope):
        # where it changed since our snapshot, Odoo runs the request again: nothing to complain of
        envelope.env.cr.execute(
            "SELECT id FROM g2p_disbursement_envelope WHERE id = %s FOR NO KEY UPDATE",
            [envelope.id],
            log_exceptions=False,
        )

    def _complete(self, envelope):
        envelope._set_ready()
        envelope._enqueue_advance()

    # -- settings -------------------------------------------------------------------------------

    @api.private
    def _parameter(self, name):
        """Return a setting of the bridge, a whole number; its default where it is not set well."""
        key = f"g2p_bridge.{name}"
        value = self.env["ir.config_parameter"].sudo().get_param(key)
        is_set = value and value.isdigit() and (int(value) or key in ZERO_IS_OFF)
        return int(value) if is_set else PARAMETERS[key]

    @api.private
    def _mask(self, account_number):
        """Return an account number as it may be shown."""
        return masking.mask_account(account_number)


def ready_made(answer):
    """Return a long answer so that Odoo's RPC does not look into each of its values.

    It looks for what is lazy, which for a thousand rows takes longer than to store them. What is
    lazy itself it takes as a whole.

    :param list answer: plain JSON
    """
    return lazy(lambda: answer)
