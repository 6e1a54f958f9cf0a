from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError
from odoo.tools import SQL

from ..connectors import http
from ..const import MAX_COUNT
from ..services import webhook_signature
from .bulk_fields import BigInteger, BulkMany2one
from .roles import ADMINISTRATOR, check_role

#: what was signed with the old secret counts for so long, beside the new one
OLD_SECRET_FOR = timedelta(days=1)

EVENT_KINDS = [("disbursements", "Payments"), ("envelope", "Envelope")]


class Webhook(models.Model):
    """Where a program system is told of changes, instead of asking for them.

    How events are made and delivered: :mod:`.webhook_delivery`. What the program system can ask for
    (``get_disbursement_changes``) stays the truth.
    """

    _name = "g2p.webhook"
    _description = "Webhook of a program"
    _inherit = ["g2p.endpoint.mixin", "mail.thread"]
    _order = "program_id"
    _rec_name = "program_id"

    program_id = fields.Many2one(
        "g2p.benefit.program", required=True, ondelete="cascade", tracking=True
    )
    company_id = fields.Many2one(related="program_id.company_id", store=True, index=True)
    active = fields.Boolean(default=True, tracking=True)
    is_paused = fields.Boolean(
        string="Paused",
        tracking=True,
        help="Nothing is sent; what happens meanwhile is told, in order, once it is resumed.",
    )
    base_url = fields.Char(
        string="URL",
        required=True,
        help="Events are sent to it as signed POST requests: https://, or http:// to this machine.",
    )
    secret = fields.Char(
        string="Signing secret",
        help="Signs the events; the program system checks them with it. Seen by system"
        " administrators only.",
    )
    old_secret = fields.Char(groups="base.group_system", copy=False)
    old_secret_until = fields.Datetime(string="Old secret counts until", readonly=True, copy=False)

    cursor_xid = BigInteger(string="Read up to change", readonly=True, copy=False)
    cursor_id = fields.Integer(readonly=True, copy=False)
    next_run_at = fields.Datetime(string="Next attempt", readonly=True, copy=False)
    failed_runs = fields.Integer(readonly=True, copy=False)
    delivered_count = fields.Integer(string="Events delivered", readonly=True, copy=False)
    last_success_at = fields.Datetime(string="Last delivered", readonly=True, copy=False)
    last_failure_at = fields.Datetime(string="Last failure", readonly=True, copy=False)
    last_failure = fields.Char(string="What failed", readonly=True, copy=False)
    event_ids = fields.One2many("g2p.webhook.event", "webhook_id", string="Waiting events")
    waiting_count = fields.Integer(string="Events waiting", compute="_compute_waiting")
    held_count = fields.Integer(
        string="Envelopes held back",
        compute="_compute_waiting",
        help="Whose first event was not taken: their later ones wait for it.",
    )

    _program_uniq = models.Constraint("UNIQUE (program_id)", "The program has a webhook already.")

    @api.depends("event_ids.attempts")
    def _compute_waiting(self):
        rows = self.env["g2p.webhook.event"]._read_group(
            [("webhook_id", "in", self.ids)], ["webhook_id"], ["__count"]
        )
        held = self.env["g2p.webhook.event"]._read_group(
            [("webhook_id", "in", self.ids), ("attempts", ">", 0)],
            ["webhook_id"],
            ["envelope_id:count_distinct"],
        )
        waiting, held = dict(rows), dict(held)
        for webhook in self:
            webhook.waiting_count = waiting.get(webhook, 0)
            webhook.held_count = held.get(webhook, 0)

    @api.constrains("base_url")
    def _check_https(self):
        for webhook in self:
            if http.is_plain(webhook.base_url):
                raise ValidationError(
                    self.env._(
                        "The URL of a webhook must start with https:// (http:// is taken"
                        " for localhost only)."
                    )
                )

    @api.constrains("secret", "old_secret")
    def _check_secret(self):
        webhooks = self.sudo()  # nobody but system administrators sees the secret
        given = {*webhooks.mapped("secret"), *webhooks.mapped("old_secret")} - {False}
        if not all(map(webhook_signature.is_secret, given)):
            raise ValidationError(
                self.env._(
                    "The signing secret must be whsec_ and 24 to 64 bytes in base64: leave it empty"
                    " to have one made."
                )
            )

    @api.model_create_multi
    def create(self, vals_list):
        webhooks = super().create(vals_list)
        for webhook in webhooks.sudo():  # nobody but system administrators sees the secret
            webhook.secret = webhook.secret or webhook_signature.new_secret()
        webhooks._begin_now()
        return webhooks

    def write(self, vals):
        changed = self.filtered(lambda w: "active" in vals and w.active != vals["active"])
        result = super().write(vals)
        changed._begin_now()
        return result

    def _check_may_move(self, base_url):
        """Have what a secret signs go to no address of who may not see it."""
        if self.env.su or self.env.user.has_group("base.group_system"):
            return
        if any(webhook.base_url != base_url for webhook in self):
            raise AccessError(
                self.env._("Only a system administrator may change the URL of a webhook.")
            )

    def _begin_now(self):
        """Tell what happens from now on, and forget what waits."""
        if not self:
            return
        self.flush_recordset()
        self.env.cr.execute("DELETE FROM g2p_webhook_event WHERE webhook_id = ANY(%s)", [self.ids])
        self.env.cr.execute(
            """
            UPDATE g2p_webhook SET cursor_id = %s, next_run_at = NULL, failed_runs = 0,
                   cursor_xid = pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1
             WHERE id = ANY(%s)
            """,
            [MAX_COUNT, self.ids],
        )
        self.env.invalidate_all()

    def _keys(self):
        """Return the keys to sign with; none where there is no secret.

        For as long as the old secret counts, its key is among them.
        """
        webhook = self.sudo()  # the secret is for system administrators, and for signing
        given = [webhook.secret]
        if webhook.old_secret_until and webhook.old_secret_until > fields.Datetime.now():
            given.append(webhook.old_secret)
        return [webhook_signature.key_of(secret) for secret in given if secret]

    def action_new_secret(self):
        """Make a new secret; the old one counts beside it for a day.

        :raise AccessError: not a system administrator
        """
        self.check_access("write")
        if not self.env.user.has_group("base.group_system"):
            raise AccessError(self.env._("Only system administrators see and change secrets."))
        for webhook in self:
            webhook.write(
                {
                    "old_secret": webhook.secret,
                    "old_secret_until": fields.Datetime.now() + OLD_SECRET_FOR,
                    "secret": webhook_signature.new_secret(),
                }
            )

    def action_pause(self):
        """Send nothing until it is resumed; nothing that happens meanwhile is lost."""
        check_role(self, ADMINISTRATOR)
        self.write({"is_paused": True})

    def action_resume(self):
        """Go on, and try at once what was not taken."""
        check_role(self, ADMINISTRATOR)
        self.write({"is_paused": False})
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE g2p_webhook_event SET next_attempt_at = NULL WHERE webhook_id = ANY(%s)",
            [self.ids],
        )
        self.env.cr.execute(
            "UPDATE g2p_webhook SET next_run_at = NULL WHERE id = ANY(%s)", [self.ids]
        )
        self.env.invalidate_all()
        self._enqueue_run()


class WebhookEvent(models.Model):
    """An event that waits to be delivered; gone once it is.

    Of payments it holds between which changes they are, and not the payments: they are read when it
    is sent, so an envelope of a million is some thousands of small rows, and each payment is told
    as it stands then. What changed again since is told by a later event.
    """

    _name = "g2p.webhook.event"
    _description = "Event that waits for a program system"
    _order = "xid, kind, id"
    _rec_name = "message_id"
    _log_access = False

    webhook_id = fields.Many2one("g2p.webhook", required=True, readonly=True, ondelete="cascade")
    company_id = fields.Many2one(related="webhook_id.company_id")
    envelope_id = BulkMany2one("g2p.disbursement.envelope", required=True, readonly=True)
    kind = fields.Selection(EVENT_KINDS, required=True, readonly=True)
    message_id = fields.Char(
        string="Event ID", required=True, readonly=True, help="The same at each attempt."
    )
    xid = BigInteger(string="Change number", required=True, readonly=True, help="Its first one.")
    last_xid = BigInteger(readonly=True)
    first_id = fields.Integer(readonly=True)
    last_id = fields.Integer(readonly=True)
    change_count = fields.Integer(string="Payments", readonly=True)
    state = fields.Char(string="Envelope state", readonly=True)
    attention_code = fields.Char(readonly=True)
    created_at = fields.Datetime(string="Since", required=True, readonly=True)
    attempts = fields.Integer(required=True, readonly=True, default=0)
    first_failed_at = fields.Datetime(readonly=True)
    next_attempt_at = fields.Datetime(string="Next attempt", readonly=True)
    last_error = fields.Char(readonly=True)

    #: the first of each envelope is the one to deliver
    _order_idx = models.Index("(webhook_id, envelope_id, xid, kind, id)")
    _failed_idx = models.Index("(webhook_id, first_failed_at) WHERE first_failed_at IS NOT NULL")

    @api.private
    def _note_envelopes(self, envelopes, state):
        """Have programs with a webhook be told that envelopes reached a state."""
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_webhook_event
                       (webhook_id, envelope_id, kind, message_id, xid, state, attention_code,
                        created_at, attempts)
                SELECT w.id, e.id, 'envelope',
                       'msg_' || replace(gen_random_uuid()::text, '-', ''),
                       pg_current_xact_id()::text::bigint, %s, %s, %s, 0
                  FROM g2p_disbursement_envelope e JOIN g2p_webhook w ON w.program_id = e.program_id
                 WHERE e.id = ANY(%s) AND w.active
                """,
                state,
                envelopes[:1].attention_code or None,
                fields.Datetime.now(),
                envelopes.ids,
            )
        )
