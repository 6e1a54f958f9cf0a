import re
from urllib.parse import urlsplit

import asyncssh

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError

from odoo.addons.g2p_bridge.connectors import http

from ..transport import FOLDER, HTTPS, SFTP

CODE = "iso20022"

#: whoever changes one of these sends the bank's credentials, or its files, somewhere else
_PLACES = (
    "iso20022_transport",
    "iso20022_sftp_host",
    "iso20022_sftp_port",
    "iso20022_sftp_user",
    "iso20022_sftp_host_key",
    "iso20022_post_url",
    "iso20022_fetch_url",
)
_SECRETS = ("secret", "iso20022_sftp_private_key", "iso20022_sftp_password")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


class SponsorBank(models.Model):
    """A bank that takes ISO 20022 files: its settings, and where its files travel."""

    _inherit = "g2p.sponsor.bank"

    connector = fields.Selection(
        selection_add=[(CODE, "ISO 20022 files")], ondelete={CODE: "set null"}
    )
    iso20022_message_version = fields.Selection(
        [("pain.001.001.09", "pain.001.001.09"), ("pain.001.001.03", "pain.001.001.03")],
        string="Payment message",
        default="pain.001.001.09",
        tracking=True,
        help="The version of the payment file that the bank takes.",
    )
    iso20022_transport = fields.Selection(
        [(FOLDER, "Folder of the server"), (SFTP, "SFTP"), (HTTPS, "HTTPS")],
        string="Files travel by",
        default=SFTP,
        tracking=True,
    )
    iso20022_out_path = fields.Char(
        string="Folder for payments",
        tracking=True,
        help="Where payment files are laid down. On the bank's SFTP server; or below the folder "
        "that the server's environment names (G2P_BRIDGE_BANK_FOLDERS).",
    )
    iso20022_in_path = fields.Char(
        string="Folder of the bank",
        tracking=True,
        help="Where the bank lays its status reports and statements down.",
    )
    iso20022_taken_path = fields.Char(
        string="Folder of taken payments",
        tracking=True,
        help="Where the bank moves payment files that it has taken, under the same name. Where it "
        "shows none, leave it empty: then fewer payments without an answer are found again.",
    )
    iso20022_archive_folder = fields.Char(
        string="Read files go to",
        default="archive",
        help="Folder below that of the bank; made when it is missing.",
    )
    iso20022_error_folder = fields.Char(
        string="Unreadable files go to",
        default="error",
        help="Folder below that of the bank; made when it is missing.",
    )
    iso20022_sftp_host = fields.Char(string="SFTP server", tracking=True)
    iso20022_sftp_port = fields.Integer(string="SFTP port", default=22, tracking=True)
    iso20022_sftp_user = fields.Char(string="SFTP user", tracking=True)
    iso20022_sftp_host_key = fields.Text(
        string="Host key of the server",
        help="As the bank publishes it, such as: ssh-ed25519 AAAA... Nothing is sent to a server"
        " that shows another.",
    )
    iso20022_sftp_private_key = fields.Text(
        string="Private key",
        groups="base.group_system",
        copy=False,
        help="OpenSSH or PEM, without passphrase. Seen and changed by system administrators only.",
    )
    iso20022_sftp_password = fields.Char(
        string="SFTP password", groups="base.group_system", copy=False
    )
    iso20022_has_sftp_secret = fields.Boolean(
        string="SFTP key or password set",
        compute="_compute_iso20022_has_sftp_secret",
        compute_sudo=True,
    )
    iso20022_post_url = fields.Char(string="Address for payments", tracking=True)
    iso20022_fetch_url = fields.Char(
        string="Address of the bank's files",
        tracking=True,
        help="Gives what the bank has for us: one document or several. It is asked again and again;"
        " what came before is known again.",
    )
    iso20022_initiating_party_name = fields.Char(
        string="Our name at the bank", help="Initiating party and debtor, as in the contract."
    )
    iso20022_initiating_party_id = fields.Char(
        string="Our id at the bank", help="Initiating party: the bank's number for us."
    )
    iso20022_agent_bic = fields.Char(string="BIC of the bank")
    iso20022_agent_member_id = fields.Char(
        string="Clearing number of the bank", help="Where it has no BIC."
    )
    iso20022_charge_bearer = fields.Selection(
        [
            ("SLEV", "By the scheme's rules (SLEV)"),
            ("SHAR", "Shared (SHAR)"),
            ("DEBT", "By us (DEBT)"),
            ("CRED", "By the beneficiary (CRED)"),
        ],
        string="Charges",
        default="SLEV",
    )
    iso20022_service_level = fields.Char(
        string="Service level", help="Such as SEPA, NURG or URGP; empty: none is named."
    )
    iso20022_local_instrument = fields.Char(string="Local instrument", help="Such as INST.")
    iso20022_category_purpose = fields.Char(
        string="Category purpose", help="Such as GOVT, SSBE (social benefit) or PENS."
    )
    iso20022_creditor_agent_from = fields.Selection(
        [
            ("auto", "Bank code: BIC, or clearing number"),
            ("bic", "Bank code, always a BIC"),
            ("bank", "Bank code, a clearing number"),
            ("branch", "Branch code (IFSC, sort code)"),
            ("bank_branch", "Bank code and branch code"),
            ("none", "Not named: the account says it"),
        ],
        string="Beneficiary's bank",
        default="auto",
        help="What of a beneficiary's account tells the bank where to pay to.",
    )
    iso20022_clearing_system = fields.Char(
        string="Clearing system", help="Of clearing numbers, such as USABA or INFSC."
    )
    iso20022_batch_booking = fields.Selection(
        [("no", "One entry for each payment"), ("yes", "One entry for a file")],
        string="Booking",
        default="no",
        help="What the statement shows. Only with one entry for each payment, or with the details"
        " of the others, are payments reconciled.",
    )
    iso20022_charset = fields.Selection(
        [("latin", "Latin letters of SEPA and SWIFT"), ("utf8", "All of Unicode")],
        string="Characters",
        default="latin",
        help="What names and texts may hold; others are written in these.",
    )
    iso20022_funds_policy = fields.Selection(
        [
            ("balance", "The last statement must cover it"),
            ("execution", "The bank checks when it executes"),
        ],
        string="Funds",
        default="balance",
        tracking=True,
        help="A bank that takes files holds no funds for us. Either the closing balance of the last"
        " statement, less what was ordered since, must cover an envelope; or nothing is asked, and"
        " the bank refuses what it cannot pay.",
    )
    iso20022_refuses_repeats = fields.Boolean(
        string="Refuses a repeated message",
        tracking=True,
        help="The bank knows each message id for ever, and refuses a file whose id it had before."
        " Only then is a file without an answer laid down again. If this is not so, it pays twice:"
        " leave it off unless the bank has said so in writing.",
    )
    iso20022_fetched_at = fields.Datetime(string="Files last fetched", readonly=True, copy=False)
    iso20022_fetch_error = fields.Char(string="Last fetch failed", readonly=True, copy=False)
    iso20022_file_error_count = fields.Integer(
        string="Files to look at", compute="_compute_iso20022_file_error_count", compute_sudo=True
    )

    @api.depends("iso20022_sftp_private_key", "iso20022_sftp_password")
    def _compute_iso20022_has_sftp_secret(self):
        for bank in self:
            bank.iso20022_has_sftp_secret = bool(
                bank.iso20022_sftp_private_key or bank.iso20022_sftp_password
            )

    def _compute_iso20022_file_error_count(self):
        counts = dict(
            self.env["g2p.bank.file"]._read_group(
                [("bank_id", "in", self.ids), ("state", "=", "error")], ["bank_id"], ["__count"]
            )
        )
        for bank in self:
            bank.iso20022_file_error_count = counts.get(bank, 0)

    @api.constrains("iso20022_sftp_host_key")
    def _check_iso20022_host_key(self):
        if not all(map(_is_public_key, self.filtered("iso20022_sftp_host_key"))):
            raise ValidationError(
                self.env._(
                    "The host key cannot be read. It is one line such as: ssh-ed25519 AAAA..."
                )
            )

    @api.constrains("iso20022_post_url", "iso20022_fetch_url")
    def _check_iso20022_urls(self):
        for bank in self:
            for url in filter(None, (bank.iso20022_post_url, bank.iso20022_fetch_url)):
                if not _is_usable(url):
                    raise ValidationError(
                        self.env._(
                            "Addresses must begin with https:// (or be of this machine, in a test"
                            " set-up), without user and password: the API key has its own field."
                        )
                    )

    @api.constrains("iso20022_agent_bic")
    def _check_iso20022_bic(self):
        for bank in self.filtered("iso20022_agent_bic"):
            if not _BIC.fullmatch(bank.iso20022_agent_bic):
                raise ValidationError(
                    self.env._("A BIC has 8 or 11 characters: letters and digits, in capitals.")
                )

    @api.constrains("iso20022_archive_folder", "iso20022_error_folder", "iso20022_out_path")
    def _check_iso20022_folders(self):
        for bank in self.filtered(lambda bank: bank.connector == CODE):
            for name in (bank.iso20022_archive_folder, bank.iso20022_error_folder):
                if not _FOLDER_NAME.fullmatch(name or ""):
                    raise ValidationError(
                        self.env._("Name one folder for read files and one for unreadable ones.")
                    )

    def write(self, vals):
        self._check_iso20022_may_move(vals)
        return super().write(vals)

    def _check_iso20022_may_move(self, vals):
        """Refuse to send a secret to another place on the word of who may not see it."""
        if self.env.su or self.env.user.has_group("base.group_system"):
            return
        for bank in self:
            moves = any(
                name in vals and (vals[name] or False) != (bank[name] or False) for name in _PLACES
            )
            if moves and any(bank.sudo()[name] for name in _SECRETS):
                raise AccessError(
                    self.env._(
                        "Only a system administrator may change where the files of %s travel: its"
                        " key or password would be sent there.",
                        bank.name,
                    )
                )

    @api.private
    def _prepare_connector_options(self):
        """Add what the connector has to know; secrets among them."""
        options = super()._prepare_connector_options()
        if self.connector != CODE:
            return options
        bank = self.sudo()  # the secrets are for system administrators and the connector
        names = (name for name in self._fields if name.startswith("iso20022_"))
        kept = {name.removeprefix("iso20022_"): bank[name] for name in names if _is_setting(name)}
        return {**options, CODE: kept}

    def action_view_bank_files(self):
        """Open the files that came from the bank."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge_bank_iso20022.g2p_bank_file_action"
        )
        return {**action, "domain": [("bank_id", "in", self.ids)], "context": {}}


def _is_setting(name):
    return name not in {
        "iso20022_fetched_at",
        "iso20022_fetch_error",
        "iso20022_file_error_count",
        "iso20022_has_sftp_secret",
    }


def _is_usable(url):
    try:
        parts = urlsplit(url)
        has_user = parts.username is not None or parts.password is not None
        return (
            bool(parts.hostname)
            and not has_user
            and parts.scheme in ("https", "http")
            and (not http.is_plain(url))
        )
    except ValueError:
        return False


def _is_public_key(bank):
    try:
        asyncssh.import_public_key(bank.iso20022_sftp_host_key)
    except (asyncssh.KeyImportError, ValueError):
        return False
    return True
