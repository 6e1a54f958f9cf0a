from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import SQL

from ..const import MAX_REFERENCE
from ..services import jws
from ..services.field_rules import is_text
from .g2p_bridge import PBMS_GROUP


class TrustedKey(models.Model):
    """A program system that signs its calls, as OpenG2P's do: its key, and whom it acts as.

    A key is as good as an API key of that user, so only system administrators may change one. A
    sender may have several, all for the same user: the old one and the new one.
    """

    _name = "g2p.trusted.key"
    _description = "Trusted key"
    _inherit = ["mail.thread"]
    _order = "sender_id, id"
    _rec_name = "sender_id"

    sender_id = fields.Char(
        required=True,
        copy=False,
        tracking=True,
        help="The sender_id in the header of its messages. Capitals and small letters, dashes and "
        "underscores count as the same.",
    )
    partner = fields.Char(compute="_compute_partner", store=True, index=True)
    api_user_id = fields.Many2one(
        "res.users",
        string="Acts as",
        required=True,
        ondelete="restrict",
        tracking=True,
        help="User of the PBMS API: its programs are those that the sender may work with.",
    )
    company_id = fields.Many2one(related="api_user_id.company_id", store=True)
    public_key = fields.Text(
        copy=False,
        help="RSA public key, PEM. Without one, the sender's calls are taken only while signatures "
        "are not checked.",
    )
    fingerprint = fields.Char(
        compute="_compute_fingerprint",
        store=True,
        tracking=True,
        help="SHA-256 of the public key. Compare it with what its owner reads to you.",
    )
    active = fields.Boolean(default=True, tracking=True)

    _key_uniq = models.Constraint(
        "UNIQUE (partner, fingerprint)", "This key of this sender stands here already."
    )

    @api.depends("sender_id")
    def _compute_partner(self):
        for key in self:
            key.partner = partner_of(key.sender_id or "")

    @api.depends("public_key")
    def _compute_fingerprint(self):
        for key in self:
            key.fingerprint = key.public_key and self._read_key(key.public_key)[1]

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._with_usual_key(values) for values in vals_list])

    def write(self, vals):
        return super().write(self._with_usual_key(vals))

    def _with_usual_key(self, values):
        """Return the values with a key in its usual writing, and nothing kept of what is none."""
        given = values.get("public_key")
        return {**values, "public_key": self._read_key(given)[0]} if given else values

    def _read_key(self, pem):
        try:
            return jws.read_key(pem.strip())
        except jws.KeyProblem as problem:
            raise ValidationError(self._words(problem.code)) from None

    def _words(self, code):
        words = {
            "private": self.env._(
                "This is a private key: it must stay with its owner, and is spoilt now that it was "
                "sent around. Have a new pair made, and paste the public key."
            ),
            "none": self.env._(
                "Paste an RSA public key of %(least)s to %(most)s bits in PEM form: it begins with "
                "-----BEGIN PUBLIC KEY-----.",
                least=jws.MIN_KEY_BITS,
                most=jws.MAX_KEY_BITS,
            ),
        }
        return words[code]

    @api.constrains("sender_id")
    def _check_sender_id(self):
        for key in self:
            if not is_text(key.sender_id, MAX_REFERENCE):
                raise ValidationError(
                    self.env._(
                        "The sender must be a text of 1 to %(most)s characters.", most=MAX_REFERENCE
                    )
                )

    @api.constrains("api_user_id")
    def _check_user_id(self):
        group = self.env.ref(PBMS_GROUP)
        for key in self:
            if group not in key.api_user_id.all_group_ids:
                raise ValidationError(
                    self.env._(
                        "%(user)s is no user of the PBMS API. Give it the group “%(group)s”, and "
                        "no other.",
                        user=key.api_user_id.name,
                        group=group.name,
                    )
                )

    @api.constrains("partner", "api_user_id", "active")
    def _check_one_user(self):
        for key in self.filtered("active"):
            others = self.sudo().search([("partner", "=", key.partner)])
            if others.api_user_id - key.api_user_id:
                raise ValidationError(
                    self.env._(
                        "%(sender)s acts as another user with its other key. Archive that one "
                        "first.",
                        sender=key.sender_id,
                    )
                )

    @api.model
    def _user_of(self, sender_id, signature, contents):
        """Return the id of the user whom a message is of, or None where its signature is none.

        :param str sender_id: as the message says
        :param signature: value of the header ``Signature``; None while signatures are not checked
        :param contents: functions that return the bytes that may have been signed
        """
        if not is_text(sender_id, MAX_REFERENCE):
            return None
        keys = self.env.execute_query(
            SQL(
                "SELECT k.api_user_id, k.public_key FROM g2p_trusted_key k"
                "  JOIN res_users u ON u.id = k.api_user_id"
                " WHERE k.partner = %s AND k.active AND u.active ORDER BY k.id",
                partner_of(sender_id),
            )
        )
        for api_user_id, pem in keys:
            if signature is None or (pem and jws.is_signed(signature, contents, pem)):
                return api_user_id
        return None


def partner_of(sender_id):
    """Return how OpenG2P's services call a sender when they look for its key."""
    return sender_id.upper().replace("-", "_")
