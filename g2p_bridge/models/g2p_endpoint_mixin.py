import re

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError

from ..connectors import http

#: scheme, host and path: no user or password, and nothing behind the path
_BASE_URL = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?", re.IGNORECASE)


class EndpointMixin(models.AbstractModel):
    """What banks and mappers share: an address that is called with a secret."""

    _name = "g2p.endpoint.mixin"
    _description = "Bank or mapper that is called over HTTP"

    base_url = fields.Char(string="Base URL", tracking=True)
    secret = fields.Char(
        string="API key",
        groups="base.group_system",
        copy=False,
        help="Sent as bearer token. Seen and changed by system administrators only.",
    )
    has_secret = fields.Boolean(compute="_compute_has_secret", compute_sudo=True)
    sign_requests = fields.Boolean(
        tracking=True,
        help="Requests carry a JWS signature (header Signature), made with the private key that "
        "the server has in its environment: G2P_BRIDGE_SIGNING_KEY_FILE.",
    )
    is_plain_http = fields.Boolean(compute="_compute_is_plain_http")

    @api.depends("secret")
    def _compute_has_secret(self):
        for record in self:
            record.has_secret = bool(record.secret)

    @api.depends("base_url")
    def _compute_is_plain_http(self):
        for record in self:
            record.is_plain_http = http.is_plain(record.base_url)

    @api.constrains("base_url")
    def _check_base_url(self):
        for record in self:
            if record.base_url and not _BASE_URL.fullmatch(record.base_url):
                raise ValidationError(
                    self.env._(
                        "The base URL must be https://host/path (or http:// in a test set-up),"
                        " without user, password, query or fragment: keys have their own field."
                    )
                )

    def write(self, vals):
        if "base_url" in vals:
            self._check_may_move(vals["base_url"])
        return super().write(vals)

    def _check_may_move(self, base_url):
        """Refuse to send a secret to another address on the word of who may not see it."""
        if self.env.su or self.env.user.has_group("base.group_system"):
            return
        for record in self:
            if record.has_secret and (record.base_url or "") != (base_url or ""):
                raise AccessError(
                    self.env._(
                        "Only a system administrator may change the address of %s: its API key"
                        " would be sent there.",
                        record.name,
                    )
                )
