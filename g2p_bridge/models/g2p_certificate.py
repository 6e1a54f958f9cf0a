import base64
import hashlib
import json
import logging

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from ..services import pdf_certificate
from ..services.canonical import canonical_bytes
from .own_cursor import lock_for_transaction, try_lock_for_transaction
from .pdf_fonts import fonts
from .roles import OFFICER, check_role

_logger = logging.getLogger(__name__)

#: envelopes with more payments are certified by a job
AT_ONCE = 20_000


class CertificateRefused(UserError):
    """Something does not add up, so nothing is certified."""


class Certificate(models.Model):
    """Proof that the loop of an envelope is closed, to the cent: signed, and never changed.

    A return that comes later makes it outdated, not wrong: it says what was so when it was issued.
    The next issue takes its place.
    """

    _name = "g2p.certificate"
    _description = "Certificate of an envelope"
    _order = "id desc"

    name = fields.Char(string="Certificate", required=True, readonly=True)
    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, index=True, ondelete="restrict"
    )
    company_id = fields.Many2one(related="envelope_id.company_id", store=True)
    program_id = fields.Many2one(related="envelope_id.program_id", store=True)
    cycle_code_mnemonic = fields.Char(related="envelope_id.cycle_code_mnemonic")
    currency_id = fields.Many2one(related="envelope_id.currency_id")
    issue = fields.Integer(required=True, readonly=True)
    state = fields.Selection(
        [
            ("preparing", "Being prepared"),
            ("issued", "Issued"),
            ("superseded", "Superseded"),
            ("refused", "Refused"),
        ],
        required=True,
        readonly=True,
        default="preparing",
    )
    refusal = fields.Text(string="Why not", readonly=True)
    requested_by_id = fields.Many2one("res.users", string="Issued by", readonly=True)
    issued_at = fields.Datetime(string="Issued at", readonly=True)
    key_id = fields.Many2one("g2p.certificate.key", readonly=True)
    digest = fields.Char(readonly=True, help="SHA-256 of what is signed; the paper shows it, too.")
    document = fields.Binary(string="Signed file", readonly=True, attachment=True)
    pdf = fields.Binary(string="Paper", readonly=True, attachment=True)
    register_part_ids = fields.Many2many("ir.attachment", readonly=True, copy=False)
    payment_count = fields.Integer(string="Payments", readonly=True)
    amount = fields.Monetary(string="Declared", readonly=True)
    paid_count = fields.Integer(string="Paid", readonly=True)
    paid_amount = fields.Monetary(string="Amount paid", readonly=True)
    reversed_count = fields.Integer(string="Came back", readonly=True)
    reversed_amount = fields.Monetary(string="Amount reversed", readonly=True)
    unpaid_count = fields.Integer(string="Rejected or not sent", compute="_compute_unpaid")
    unpaid_amount = fields.Monetary(compute="_compute_unpaid")
    superseded_by_id = fields.Many2one("g2p.certificate", readonly=True)
    superseded_because = fields.Char(readonly=True)
    outdated_because = fields.Char(
        string="Outdated", compute="_compute_outdated_because", compute_sudo=True
    )

    _issue_uniq = models.Constraint("UNIQUE (envelope_id, issue)", "This issue exists already.")
    _preparing_uniq = models.UniqueIndex(
        "(envelope_id) WHERE state = 'preparing'", "A certificate is being prepared already."
    )

    @api.depends(
        *("payment_count", "paid_count", "reversed_count"),
        *("amount", "paid_amount", "reversed_amount"),
    )
    def _compute_unpaid(self):
        for certificate in self:
            certificate.unpaid_count = (
                certificate.payment_count - certificate.paid_count - certificate.reversed_count
            )
            certificate.unpaid_amount = certificate.currency_id.round(
                certificate.amount - certificate.paid_amount - certificate.reversed_amount
            )

    @api.depends("state", "envelope_id.journal_ids")
    def _compute_outdated_because(self):
        for certificate in self:
            certificate.outdated_because = (
                certificate.state == "issued" and certificate._changed_since()
            )

    def _changed_since(self):
        """Return what is no longer as it was certified, as a sentence, or False."""
        count = self.envelope_id.reversed_count - self.reversed_count
        if not count:
            return False
        amount = self.envelope_id.reversed_amount - self.reversed_amount
        return self.env._(
            "Payments that came back after it was issued: %(count)s, %(amount)s.",
            count=count,
            amount=self.currency_id.format(amount),
        )

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Certificates are never deleted."))

    # -- issue ----------------------------------------------------------------------------------

    @api.model
    def _request(self, envelope):
        """Have a certificate made, and return the action that shows it.

        :raise UserError: something is open
        """
        lock_for_transaction(self.env.cr, f"g2p.certificate:{envelope.id}")
        if points := envelope._certificate_open_points():
            raise UserError("\n".join(point["sentence"] for point in points))
        known = self.search([("envelope_id", "=", envelope.id), ("state", "!=", "superseded")])
        if current := known.filtered(
            lambda c: c.state == "preparing" or (c.state == "issued" and not c.outdated_because)
        ):
            return current[0]._get_records_action()
        certificate = self.sudo()._create_next(envelope)  # nobody may write certificates directly
        if envelope.total_received_count > AT_ONCE:
            certificate._enqueue_issue()
        else:
            certificate._issue()
        return certificate.sudo(False)._get_records_action()

    def _create_next(self, envelope):
        issue = self.search_count([("envelope_id", "=", envelope.id)]) + 1
        return self.create(
            {
                "name": f"{envelope.disbursement_envelope_id}-{issue}",
                "envelope_id": envelope.id,
                "issue": issue,
                "requested_by_id": self.env.uid,
            }
        )

    def action_prepare_again(self):
        """Have it prepared by a new job, where the one before died with its worker.

        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        for certificate in self.sudo().filtered(lambda c: c.state == "preparing"):
            certificate._enqueue_issue()

    def _enqueue_issue(self):
        self.with_user(SUPERUSER_ID).with_delay(
            description=self.env._("Issue certificate %s", self.name),
            identity_key=f"issue_certificate:{self.id}",
            max_retries=self.env["g2p.bridge"]._parameter("max_attempts"),
        )._issue()

    @api.private
    def _issue(self):
        """Check the books, write the register, sign and store (queue job).

        May run any number of times: what is issued stays as it is. All is read in one view of the
        books, that of the transaction.
        """
        self.ensure_one()
        if not try_lock_for_transaction(self.env.cr, f"g2p.certificate.issue:{self.id}"):
            raise RetryableJobError("it is being prepared", seconds=10, ignore_retry=True)
        if self.state != "preparing":
            return f"not due ({self.state})"
        language = self.requested_by_id.lang or self.env.lang
        certificate = self.with_context(lang=language)
        # outside of what is undone on a refusal: the differences are the reason then
        self.env["g2p.ledger.difference"]._check(self.envelope_id)
        try:
            with self.env.cr.savepoint():
                certificate._make()
        except CertificateRefused as refusal:
            _logger.warning("Certificate %s was refused.", self.name)
            self.write({"state": "refused", "refusal": str(refusal)})
        return self.state

    @api.private
    def _on_issue_failed(self, exc_message=None, **_values):
        """The job was given up: an officer may ask again."""
        for certificate in self.filtered(lambda c: c.state == "preparing"):
            certificate.write({"state": "refused", "refusal": (exc_message or "")[:500]})

    def _make(self):
        envelope = self.envelope_id
        envelope.invalidate_recordset()
        if points := envelope._certificate_open_points():
            raise CertificateRefused("\n".join(point["sentence"] for point in points))
        register = self._write_register()
        key, key_record = self.env["g2p.certificate.key"]._signing_key()
        issued_at = fields.Datetime.now()
        replaced = self._replaced()
        content = self._content(register, issued_at, replaced)
        signed = canonical_bytes(content)
        document = {"certificate": content, "signature": key.sign(signed)}
        digest = hashlib.sha256(signed).hexdigest()
        text = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
        self.write(
            {
                **self._prepare_totals_vals(envelope),
                "state": "issued",
                "issued_at": issued_at,
                "key_id": key_record.id,
                "digest": digest,
                "document": base64.b64encode(text),
                "pdf": base64.b64encode(self._paper(document, digest)),
            }
        )
        if replaced:
            because = replaced._changed_since() or self.env._("A new one was issued.")
            replaced.write(
                {
                    "state": "superseded",
                    "superseded_by_id": self.id,
                    "superseded_because": because,
                }
            )
        _logger.info("Certificate %s was issued, digest %s.", self.name, digest)

    def _replaced(self):
        return self.search([("envelope_id", "=", self.envelope_id.id), ("state", "=", "issued")])

    def _prepare_totals_vals(self, envelope):
        return {
            "payment_count": envelope.number_of_disbursements,
            "amount": envelope.total_disbursement_amount,
            "paid_count": envelope.reconciled_count,
            "paid_amount": envelope.reconciled_amount,
            "reversed_count": envelope.reversed_count,
            "reversed_amount": envelope.reversed_amount,
        }

    def _paper(self, document, digest):
        return pdf_certificate.render(document, digest, fonts(), self.env)

    # -- downloads ------------------------------------------------------------------------------

    def _download(self, what):
        self.check_access("read")
        self.ensure_one()
        if self.state not in ("issued", "superseded"):
            raise UserError(self.env._("This certificate is not issued."))
        return {
            "type": "ir.actions.act_url",
            "url": f"/g2p_bridge/certificate/{self.id}/{what}",
            "target": "download",
        }

    def action_download_pdf(self):
        """Download the paper."""
        return self._download("pdf")

    def action_download_document(self):
        """Download the signed file."""
        return self._download("json")

    def action_download_register(self):
        """Download the register."""
        return self._download("register")

    def action_download_public_key(self):
        """Download the public key that it was signed with."""
        return self._download("key")

    def _register_parts(self):
        """Yield the stored parts of the register (bytes), one at a time in memory."""
        for part in self.sudo().register_part_ids.sorted("id"):  # who sees it sees its register
            yield part.raw
            part.invalidate_recordset()


class IrAttachment(models.Model):
    """Files of certificates are never changed, whoever asks."""

    _inherit = "ir.attachment"

    def write(self, vals):
        if self.ids and self._has_certificate_files():
            raise UserError(self.env._("Files of certificates are never changed."))
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_no_certificate(self):
        if self._has_certificate_files():
            raise UserError(self.env._("Files of certificates are never deleted."))

    def _has_certificate_files(self):
        rows = self.env.execute_query(
            SQL(
                "SELECT 1 FROM ir_attachment WHERE id = ANY(%s) AND res_model = %s LIMIT 1",
                self.ids,
                Certificate._name,
            )
        )
        return bool(rows)
