from pathlib import Path

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import config

from ..services import certificate_key
from .own_cursor import lock_for_transaction
from .roles import ADMINISTRATOR, check_role


class CertificateKey(models.Model):
    """The public half of a key that certificates were signed with; the other is in a file."""

    _name = "g2p.certificate.key"
    _description = "Key for certificates"
    _order = "id desc"
    _rec_name = "key_id"

    key_id = fields.Char(
        string="Fingerprint", required=True, readonly=True, help="SHA-256 of the public key."
    )
    public_key = fields.Text(required=True, readonly=True, help="PEM, Ed25519")
    first_used_at = fields.Datetime(readonly=True, default=fields.Datetime.now)
    retired_at = fields.Datetime(
        readonly=True, help="Another key signs since then. What this one signed stays valid."
    )
    is_in_environment = fields.Boolean(
        string="Kept by an administrator", compute="_compute_is_in_environment"
    )

    _key_id_uniq = models.Constraint("UNIQUE (key_id)", "This key is known already.")

    def _compute_is_in_environment(self):
        for key in self:
            key.is_in_environment = certificate_key.is_in_environment()

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Keys are kept, so that old certificates can be checked."))

    @api.model
    def _signing_key(self):
        """Return (the key to sign with, its record), after making either where it lacks.

        :raise UserError: the key cannot be read
        """
        lock_for_transaction(self.env.cr, "g2p.certificate.key")
        try:
            key = certificate_key.load(self._path())
        except certificate_key.KeyProblem as error:
            raise UserError(str(error)) from error
        keys = self.sudo()  # nobody may write keys directly
        known = keys.search([("key_id", "=", key.key_id)])
        if not known:
            known = keys.create({"key_id": key.key_id, "public_key": key.public_pem})
        if known.retired_at:  # an administrator took an older one back
            known.retired_at = False
        others = keys.search([("id", "!=", known.id), ("retired_at", "=", False)])
        others.write({"retired_at": fields.Datetime.now()})
        return key, known

    def _path(self):
        return Path(config["data_dir"], "g2p_bridge", self.env.cr.dbname, "certificate-key.pem")

    def action_replace(self):
        """Sign with a new key from now on.

        :raise AccessError: not an administrator
        :raise UserError: the key is kept outside
        """
        check_role(self, ADMINISTRATOR)
        try:
            certificate_key.replace(self._path())
        except certificate_key.KeyProblem as error:
            raise UserError(str(error)) from error
        _key, record = self._signing_key()
        return record._get_records_action()
