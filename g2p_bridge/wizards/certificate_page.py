from odoo import api, fields, models
from odoo.exceptions import UserError

from ..models.roles import OFFICER


class CertificatePage(models.TransientModel):
    """What is open at an envelope, or that nothing is; and its certificates."""

    _name = "g2p.certificate.page"
    _inherit = ["g2p.record.wizard"]
    _description = "Certificate of an envelope: the page"
    _SUBJECT = "envelope_id"

    envelope_id = fields.Many2one("g2p.disbursement.envelope", required=True, readonly=True)
    currency_id = fields.Many2one(related="envelope_id.currency_id", related_sudo=False)
    point_ids = fields.One2many(
        "g2p.certificate.point", "page_id", compute="_compute_point_ids", store=True
    )
    is_closed = fields.Boolean(compute="_compute_point_ids", store=True)
    may_issue = fields.Boolean(compute="_compute_certificate")
    certificate_id = fields.Many2one("g2p.certificate", compute="_compute_certificate")
    certificate_ids = fields.Many2many(
        "g2p.certificate", string="All certificates", compute="_compute_certificate"
    )
    outdated_because = fields.Char(related="certificate_id.outdated_because", related_sudo=False)
    declared_count = fields.Integer(
        related="envelope_id.number_of_disbursements", related_sudo=False
    )
    declared_amount = fields.Monetary(
        related="envelope_id.total_disbursement_amount", related_sudo=False
    )
    paid_count = fields.Integer(related="envelope_id.reconciled_count", related_sudo=False)
    paid_amount = fields.Monetary(related="envelope_id.reconciled_amount", related_sudo=False)
    reversed_count = fields.Integer(related="envelope_id.reversed_count", related_sudo=False)
    reversed_amount = fields.Monetary(related="envelope_id.reversed_amount", related_sudo=False)
    rejected_count = fields.Integer(related="envelope_id.rejected_count", related_sudo=False)
    rejected_amount = fields.Monetary(related="envelope_id.rejected_amount", related_sudo=False)
    unresolved_count = fields.Integer(related="envelope_id.unresolved_count", related_sudo=False)
    unresolved_amount = fields.Monetary(related="envelope_id.unresolved_amount", related_sudo=False)
    cancelled_count = fields.Integer(related="envelope_id.cancelled_count", related_sudo=False)
    cancelled_amount = fields.Monetary(related="envelope_id.cancelled_amount", related_sudo=False)

    @api.depends("envelope_id")
    def _compute_point_ids(self):
        for page in self:
            # stored, so computed as superuser; an onchange asks before anything is checked
            page.envelope_id.sudo(False).check_access("read")
            points = page.envelope_id._certificate_open_points() if page.envelope_id else []
            page.point_ids = [fields.Command.clear()] + [
                fields.Command.create(point) for point in points
            ]
            page.is_closed = bool(page.envelope_id) and not points

    @api.depends("envelope_id")
    def _compute_certificate(self):
        for page in self:
            found = self.env["g2p.certificate"].search(
                [("envelope_id", "=", page.envelope_id.id)], order="id desc"
            )
            page.certificate_ids = found
            page.certificate_id = found.filtered(lambda c: c.state == "issued")[:1]
            page.may_issue = (
                page.is_closed
                and self.env.user.has_group(OFFICER)
                and not found.filtered(lambda c: c.state == "preparing")
                and (not page.certificate_id or bool(page.certificate_id.outdated_because))
            )

    @api.depends("envelope_id")
    def _compute_display_name(self):
        for page in self:
            page.display_name = self.env._(
                "Certificate of %s",
                f"{page.envelope_id.program_id.mnemonic} {page.envelope_id.cycle_code_mnemonic}",
            )

    def action_issue(self):
        """Issue the certificate."""
        return self.envelope_id.action_issue_certificate()

    def action_look_again(self):
        """Say anew what is open."""
        return self.envelope_id.action_certificate()

    def _reopened(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Certificate"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "views": [(False, "form")],
        }


class CertificatePoint(models.TransientModel):
    """One thing that is open."""

    _name = "g2p.certificate.point"
    _description = "Open point of a certificate"

    page_id = fields.Many2one("g2p.certificate.page", required=True, ondelete="cascade")
    currency_id = fields.Many2one(related="page_id.currency_id", related_sudo=False)
    code = fields.Char(required=True)
    sentence = fields.Char(string="What is open", required=True)
    count = fields.Integer()
    amount = fields.Monetary()

    def action_show(self):
        """Open what is meant."""
        return self.page_id.envelope_id._action_of_point(self.code)


class ProvePayment(models.TransientModel):
    """Asks for one payment, to prove it without showing the others."""

    _name = "g2p.prove.payment"
    _inherit = ["g2p.record.wizard"]
    _description = "Prove one payment"
    _SUBJECT = "certificate_id"

    certificate_id = fields.Many2one("g2p.certificate", required=True, readonly=True)
    disbursement_id = fields.Char(string="Disbursement ID", required=True)

    def action_prove(self):
        """Download the proof.

        :raise UserError: the payment is none of the envelope
        """
        self.certificate_id.check_access("read")
        name = "".join((self.disbursement_id or "").split()).upper()
        payments = self.env["g2p.disbursement"]
        found = payments.search(
            [
                ("disbursement_id", "=", name),
                ("envelope_id", "=", self.certificate_id.envelope_id.id),
            ]
        )
        if not found:
            raise UserError(self.env._("No payment of this envelope has the ID %s.", name))
        return {
            "type": "ir.actions.act_url",
            "url": f"/g2p_bridge/certificate/{self.certificate_id.id}/proof/{name}",
            "target": "new",
            "close": True,
        }
