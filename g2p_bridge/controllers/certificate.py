import base64
import json

from odoo import http
from odoo.http import request

from ..services import register
from .reports import download


class CertificateFiles(http.Controller):
    """The files of certificates, for whoever may read the certificate."""

    @http.route(
        "/g2p_bridge/certificate/<int:certificate_id>/<string:what>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def files(self, certificate_id, what):
        """Answer with the paper (pdf), the signed file (json), the register or the key."""
        certificate = self._certificate(certificate_id)
        name = certificate.name
        if what == "pdf":
            content = base64.b64decode(certificate.with_context(bin_size=False).pdf)
            return download(content, f"certificate-{name}.pdf", "application/pdf")
        if what == "json":
            content = base64.b64decode(certificate.with_context(bin_size=False).document)
            return download(content, f"certificate-{name}.json", "application/json")
        if what == "key":
            content = certificate.key_id.public_key.encode()
            return download(content, "certificate-key.pem", "application/x-pem-file")
        if what == "register":
            parts = certificate.sudo().register_part_ids  # who sees it sees its register
            streams = [
                request.env["ir.binary"]._get_stream_from(part) for part in parts.sorted("id")
            ]
            # one part after the other: a stored file is read when its turn comes
            content = (stream.read() for stream in streams)
            response = download(content, f"register-{name}.csv.gz", "application/gzip")
            response.headers["Content-Length"] = str(sum(stream.size for stream in streams))
            return response
        raise request.not_found()

    @http.route(
        "/g2p_bridge/certificate/<int:certificate_id>/proof/<string:disbursement_id>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def proof(self, certificate_id, disbursement_id):
        """Answer with the proof of one payment, which shows none of the others."""
        certificate = self._certificate(certificate_id)
        found = register.prove(certificate._register_parts, disbursement_id)
        if found is None:
            raise request.not_found()
        line, path = found
        proof = {
            "format": "g2p-bridge-payment-proof/1",
            "certificate_id": certificate.name,
            "line": line,
            "path": path,
        }
        content = json.dumps(proof, indent=1).encode() + b"\n"
        return download(content, f"payment-{disbursement_id}.json", "application/json")

    def _certificate(self, certificate_id):
        certificate = request.env["g2p.certificate"].browse(certificate_id).exists()
        if not certificate or certificate.state not in ("issued", "superseded"):
            raise request.not_found()
        certificate.check_access("read")
        return certificate
