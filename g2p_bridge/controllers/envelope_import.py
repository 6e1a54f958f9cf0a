import io
import tempfile

from werkzeug.exceptions import NotFound
from werkzeug.wsgi import wrap_file

from odoo import http
from odoo.http import Response, content_disposition, request

from ..models.roles import OFFICER, check_role
from ..services import payment_file_writer

_TYPES = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
#: bigger files are written to disk, not held in memory
_IN_MEMORY = 4 * 1024 * 1024


class EnvelopeImport(http.Controller):
    """Files that officers download for an import: made when asked for, kept nowhere."""

    @http.route(
        "/g2p_bridge/envelope_import/template.<string:kind>",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def template(self, kind):
        """Give an empty file, its columns named in the user's language."""
        check_role(request.env["g2p.envelope.import"], OFFICER)
        if kind not in _TYPES:
            raise NotFound
        out = io.BytesIO()
        payment_file_writer.write_template(out, kind, request.env.lang or "en_US")
        out.seek(0)
        return _download(out, f"payments.{kind}", kind)

    @http.route(
        "/g2p_bridge/envelope_import/<int:import_id>/bad_rows",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def bad_rows(self, import_id):
        """Give the bad rows of a file as they came, each with its reasons in a last column."""
        record = request.env["g2p.envelope.import"].browse(import_id)
        if not record.exists():
            raise NotFound
        check_role(record, OFFICER)
        if record.kind not in _TYPES:  # no file was given yet
            raise NotFound
        out = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  closed with the response
        record._write_bad_rows(out)
        out.seek(0)
        return _download(out, record._bad_rows_filename(), record.kind)


def _download(file, name, kind):
    response = Response(
        wrap_file(request.httprequest.environ, file),
        content_type=_TYPES[kind],
        direct_passthrough=True,
    )
    response.headers["Content-Disposition"] = content_disposition(name)
    response.headers["Cache-Control"] = "no-store"
    return response
