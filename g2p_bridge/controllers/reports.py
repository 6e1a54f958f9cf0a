from odoo import fields, http
from odoo.http import content_disposition, request

from ..models.pdf_fonts import fonts
from ..services.report import to_pdf, to_xlsx

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class Reports(http.Controller):
    """Reports, for whoever may read what they are about."""

    @http.route(
        "/g2p_bridge/envelope/<int:envelope_id>/<string:kind>.<string:ending>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def envelope(self, envelope_id, kind, ending):
        """Answer with the summary or the reconciliation of an envelope."""
        if kind not in ("summary", "reconciliation") or ending not in ("pdf", "xlsx"):
            raise request.not_found()
        envelope = _readable("g2p.disbursement.envelope", envelope_id)
        name = f"{kind}-{envelope.disbursement_envelope_id}"
        return _written(envelope._report(kind), ending, name)

    @http.route(
        "/g2p_bridge/account/<int:account_id>/<string:first>/<string:last>"
        "/reconciliation.<string:ending>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def account(self, account_id, first, last, ending):
        """Answer with the reconciliation of a funding account between two days."""
        account = _readable("g2p.funding.account", account_id)
        try:
            days = [fields.Date.to_date(first), fields.Date.to_date(last)]
        except ValueError:
            raise request.not_found() from None
        if ending not in ("pdf", "xlsx"):
            raise request.not_found()
        return _written(account._reconciliation(*days), ending, f"reconciliation-{first}-{last}")

    @http.route(
        "/g2p_bridge/register_file/<int:file_id>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def register_file(self, file_id):
        """Answer with a payment register that was written before."""
        file = _readable("g2p.register.file", file_id)
        if file.state != "ready":
            raise request.not_found()
        pieces = file.sudo().piece_ids.sorted("id")  # who sees the record sees its file
        streams = [request.env["ir.binary"]._get_stream_from(piece) for piece in pieces]
        content = (stream.read() for stream in streams)
        kind = XLSX if file.kind == "xlsx" else "application/gzip"
        response = download(content, file.filename, kind)
        response.headers["Content-Length"] = str(sum(stream.size for stream in streams))
        return response


def _readable(model, record_id):
    record = request.env[model].browse(record_id).exists()
    if not record:
        raise request.not_found()
    record.check_access("read")
    return record


def _written(report, ending, name):
    language = request.env.lang or "en_US"
    if ending == "pdf":
        return download(to_pdf(report, fonts(), language), f"{name}.pdf", "application/pdf")
    return download(to_xlsx(report, language), f"{name}.xlsx", XLSX)


def download(content, name, mimetype):
    """Return the answer that a browser stores as a file."""
    headers = [
        ("Content-Type", mimetype),
        ("Content-Disposition", content_disposition(name)),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    ]
    return request.make_response(content, headers)
