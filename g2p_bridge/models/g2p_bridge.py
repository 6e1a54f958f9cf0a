from odoo import api, fields, models
from odoo.exceptions import AccessError, ConcurrencyError

from ..connectors import masking
from ..const import MAX_REASON, MAX_REFERENCE, PARAMETERS, ZERO_IS_OFF
from ..services.field_rules import is_text
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

    def _check_caller(self, group):
        """Refuse callers without the group, before anything is looked at."""
        if not self.env.user.has_group(group):
            raise AccessError(self.env._("This user may not use this part of the G2P Bridge API."))

    def _programs(self):
        """Return the programs of the caller, for all that follows as superuser."""
        return self._of_caller("g2p.benefit.program")

    def _banks(self):
        """Return the banks that the caller may speak for."""
        return self._of_caller("g2p.sponsor.bank")

    def _of_caller(self, model):
        user = self.env.user
        records = self.env[model].sudo().search([("company_id", "in", user.company_ids.ids)])
        return records.filtered(
            lambda record: not record.api_user_ids or user in record.api_user_ids
        )

    def _find_program(self, mnemonic):
        if isinstance(mnemonic, str):
            for program in self._programs():
                if program.mnemonic == mnemonic:
                    return program
        raise BridgeError("INVALID_PROGRAM_MNEMONIC")

    def _find_envelope(self, disbursement_envelope_id):
        if not isinstance(disbursement_envelope_id, str) or not disbursement_envelope_id:
            raise BridgeError("INVALID_DISBURSEMENT_ENVELOPE_ID")
        envelope = self.env["g2p.disbursement.envelope"].sudo()
        if is_text(disbursement_envelope_id, MAX_REFERENCE):
            envelope = envelope.search(
                [("disbursement_envelope_id", "=", disbursement_envelope_id)], limit=1
            )
        if not envelope or envelope.program_id not in self._programs():
            raise BridgeError("DISBURSEMENT_ENVELOPE_NOT_FOUND")
        return envelope

    # -- shared rules ---------------------------------------------------------------------------

    def _today(self, company):
        """Return the business day of the company."""
        zone = company.partner_id.tz or "UTC"
        return fields.Date.context_today(self.with_context(tz=zone))

    def _check_idempotency_key(self, key):
        if key not in (None, False, "") and not is_text(key, MAX_REFERENCE):
            raise BridgeError("INVALID_IDEMPOTENCY_KEY")

    def _checked_reason(self, reason):
        if reason in (None, False, ""):
            return ""
        if not is_text(reason, MAX_REASON):
            raise BridgeError("INVALID_REASON")
        return reason

    def _wait_for_composition(self, envelope):
        """Wait for others that change the envelope, and see what they changed.

        :raise ConcurrencyError: something was committed since our snapshot; Odoo runs the request
            again, with a newer one
        """
        envelope._lock_composition()
        self._wait_for_row(envelope)
        if self._latest_journal_id(self.env.cr, envelope) != self._latest_committed_id(envelope):
            raise ConcurrencyError("the envelope changed meanwhile")
        envelope.invalidate_recordset()

    def _latest_committed_id(self, envelope):
        with own_cursor(self.env) as cr:
            return self._latest_journal_id(cr, envelope)

    @staticmethod
    def _latest_journal_id(cr, envelope):
        cr.execute(
            "SELECT max(id) FROM g2p_disbursement_journal WHERE envelope_id = %s", [envelope.id]
        )
        return cr.fetchone()[0]

    def _wait_for_row(self, envelope):
        self.env.cr.execute(
            "SELECT id FROM g2p_disbursement_envelope WHERE id = %s FOR NO KEY UPDATE",
            [envelope.id],
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
