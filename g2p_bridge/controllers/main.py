from werkzeug.exceptions import RequestEntityTooLarge

from odoo import http
from odoo.http import request

from ..models.g2p_bridge_error import BridgeError
from ..services import openg2p_messages as messages
from .errors import error_response
from .openg2p import PREFIX

#: what the form around the file may take
FORM_BYTES = 64 * 1024
#: code -> HTTP status, where it is not 200: what a program that sends files has to see at once
_STATUS = {"STATEMENT_TOO_LARGE": 413, "TOO_MANY_REQUESTS": 429}


class UploadDispatcher(http.HttpDispatcher):
    """Requests whose caller and length are checked before their body is read."""

    routing_type = "g2p_upload"

    def dispatch(self, endpoint, args):
        """Run the controller, unless the caller uploads too often or too much."""
        bridge = self.request.env["g2p.bridge"]
        try:
            bridge._admit_upload()
            return super().dispatch(endpoint, args)
        except RequestEntityTooLarge:
            error = BridgeError("STATEMENT_TOO_LARGE", bridge._parameter("statement_max_bytes"))
        except BridgeError as refusal:
            error = refusal
        return _refusal(error)

    def handle_error(self, exc):
        """Answer what the controller did not, as JSON."""
        return error_response(self.request, exc)


class StatementUpload(http.Controller):
    """Statements over plain HTTP, as OpenG2P's banks upload them."""

    def _max_content_length(self):
        return request.env["g2p.bridge"]._parameter("statement_max_bytes") + FORM_BYTES

    @http.route(
        ["/g2p_bridge/upload_mt940", f"{PREFIX}/upload_mt940"],
        type=UploadDispatcher.routing_type,
        auth="bearer",
        methods=["POST"],
        csrf=False,
        save_session=False,
        max_content_length=_max_content_length,
    )
    def upload_mt940(self, statement_file=None, **_ignored):
        """Take the multipart field ``statement_file``; needs an API key of the Bank API.

        :return: JSON with OpenG2P's ``header`` (``status`` succ or rjct, the code in
            ``status_reason_message``) and ``message``: the statement id
        """
        if statement_file is None or isinstance(statement_file, str):
            missing = messages.errors("G2P-REQ-102", "Invalid Input. Field required")
            return request.make_json_response(missing, status=400)
        bridge = request.env["g2p.bridge"]
        try:
            with request.env.cr.savepoint():
                answer = bridge._upload_statement(statement_file.read(), statement_file.filename)
        except BridgeError as error:
            return _refusal(error)
        return request.make_json_response(_reply("", answer["statement_id"], answer))

    @http.route(
        "/g2p_bridge/statement_file",
        type="http",
        auth="user",
        methods=["POST"],
        max_content_length=_max_content_length,
    )
    def statement_file(self, ufile=None, **_ignored):
        """Take a file that an officer dropped into the browser.

        :return: JSON, as of ``_take_dropped_file``
        """
        content, name = (ufile.read(), ufile.filename) if ufile else (b"", "")
        statements = request.env["g2p.account.statement"]
        return request.make_json_response(statements._take_dropped_file(content, name))


def _refusal(error):
    status = _STATUS.get(error.code, 200)
    headers = {} if status == 200 else {"Connection": "close"}
    if error.retry_after_s:
        headers["Retry-After"] = str(error.retry_after_s)
    body = _reply(error.code, str(error))
    return request.make_json_response(body, headers=headers, status=status)


def _reply(code, message, details=None):
    header = {"message_id": "", "action": ""}
    return {
        **messages.reply(header, code, message),
        "statement_id": details and details["statement_id"],
        "statements": details["statements"] if details else [],
        "response_error_code": code or None,
    }
