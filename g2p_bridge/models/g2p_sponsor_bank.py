import re

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..connectors.dto import Capabilities


class SponsorBank(models.Model):
    """A bank that pays for the programs, and how to talk to it."""

    _name = "g2p.sponsor.bank"
    _description = "Sponsor bank"
    _inherit = ["g2p.endpoint.mixin", "mail.thread"]
    _order = "name"
    _rec_names_search = ["name", "code"]

    name = fields.Char(required=True, tracking=True, help="As officers know the bank.")
    code = fields.Char(
        required=True,
        copy=False,
        help="Short name in capitals, digits and underscores; names the bank's job channel.",
    )
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    connector = fields.Selection(
        selection=[],
        help="How the bank is spoken to. Each bank addon adds its own.",
        tracking=True,
    )
    base_url = fields.Char(
        help="Address under which the bank's services stand, such as https://api.bank.example/g2p",
    )
    secret = fields.Char(string="API key of the bank")
    max_batch_size = fields.Integer(
        string="Payments per call",
        default=lambda self: self.env["g2p.bridge"]._parameter("batch_size"),
        help="Most payments that the bank takes in one call.",
    )
    split_by_destination_bank = fields.Boolean(
        string="One destination per call",
        help="One batch holds payments to one destination bank only.",
    )
    max_parallel_calls = fields.Integer(
        string="Calls at the same time",
        default=2,
        help="Most payment calls under way to this bank at the same time.",
    )
    float_days = fields.Integer(
        string="Debit after",
        default=1,
        help="Business days from the payment order until its debit on the statement. A statement"
        " counts as late from this day and the program's own number of days on.",
    )
    connect_timeout = fields.Integer(
        string="Connection time-out", default=10, help="Seconds to wait for a connection."
    )
    read_timeout = fields.Integer(
        string="Answer time-out",
        default=30,
        help="Seconds to wait for the next byte of an answer. A payment call that runs into it "
        "is inquired about, never blindly repeated.",
    )
    untied_statement_policy = fields.Selection(
        [("hold", "Hold for an officer"), ("book", "Book and flag")],
        string="If it does not add up",
        required=True,
        default="hold",
        help="What happens with a statement whose entries and opening balance do not add up to its "
        "closing balance.",
    )
    has_statement_numbers = fields.Boolean(
        string="Statements are numbered",
        default=True,
        help="Statement numbers of this bank count up, so a gap means a missing statement.",
    )
    api_user_ids = fields.Many2many(
        "res.users",
        string="API users of the bank",
        help="Users of the Bank API that may send this bank's statements and statuses. "
        "Empty: every user of the Bank API.",
    )
    funding_account_ids = fields.One2many("g2p.funding.account", "bank_id")
    down_message = fields.Char(compute="_compute_down_message", compute_sudo=True)

    _code_uniq = models.Constraint("UNIQUE (company_id, code)", "This bank code exists already.")
    _sizes_positive = models.Constraint(
        "CHECK (max_batch_size > 0 AND max_parallel_calls > 0 AND float_days >= 0"
        " AND connect_timeout > 0 AND read_timeout > 0)",
        "Batch size, parallel calls and time-outs of a bank must be positive.",
    )

    def _compute_down_message(self):
        down = self.env["g2p.bank.health"].search(
            [("bank_id", "in", self.ids), ("is_open", "=", True)]
        )
        messages = {health.bank_id: health._prepare_message() for health in down}
        for bank in self:
            bank.down_message = messages.get(bank, False)

    @api.constrains("code")
    def _check_code(self):
        for bank in self:
            if not re.fullmatch(r"[A-Z0-9_]{1,32}", bank.code or ""):
                raise ValidationError(
                    self.env._("The bank code may hold capitals, digits and underscores only.")
                )

    @api.private
    def _get_connector(self):
        """Return the connector model of the bank.

        :raise UserError: none is chosen, or its addon is not installed
        """
        self.ensure_one()
        connector = self._connector_or_none()
        if connector is None:
            raise UserError(
                self.env._("Choose a connector for %s: install its bank addon first.", self.name)
            )
        return connector

    @api.private
    def _connector_or_none(self):
        """Return the connector model, or None where its addon is gone: one bank stops no other."""
        self.ensure_one()
        name = f"g2p.bank.connector.{self.connector}"
        return self.env[name].sudo() if self.connector and name in self.env else None

    @api.private
    def _capabilities(self):
        """Return what the bank can do; nothing where the addon of its connector is gone."""
        connector = self._connector_or_none()
        if connector is None:
            return Capabilities()
        return connector.capabilities(self.sudo()._prepare_connector_options())

    @api.model
    def _find_releasing(self):
        """Return the banks, archived ones too, whose connector can release blocked funds."""
        banks = self.with_context(active_test=False).search([("connector", "!=", False)])
        return banks.filtered(lambda bank: bank._releases_funds())

    def _releases_funds(self):
        return self._capabilities().supports_release

    @api.model
    def _find_askable(self):
        """Return the banks that can say what became of a payment call, or take it again safely."""
        banks = self.with_context(active_test=False).search([("connector", "!=", False)])
        return banks.filtered(lambda bank: bank._can_be_asked())

    def _can_be_asked(self):
        can = self._capabilities()
        return can.supports_inquiry or can.honours_idempotency_key

    @api.private
    def _prepare_connector_options(self):
        """Return plain values that the bank's connector needs besides address and secret.

        Bank addons extend it with the fields that they add to the bank.
        """
        return {}

    @api.private
    def _job_channel(self):
        """Return the queue_job channel of the bank, so that a slow bank holds up no other."""
        return f"root.g2p_bridge.bank_{self.code.lower()}"
