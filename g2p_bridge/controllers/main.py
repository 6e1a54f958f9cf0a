from datetime import datetime, timezone

from odoo import http
from odoo.http import request

from ..models.g2p_bridge_error import BridgeError

#: the file itself is limited by a setting; this is what a worker reads at all
MAX_BODY_BYTES = 64 * 1024 * 1024


class StatementUpload(http.Controller):
    """Statements over plain HTTP, as OpenG2P's banks upload them."""

    @http.route(
        "/g2p_bridge/upload_mt940",
        type="http",
        auth="bearer",
        methods=["POST"],
        csrf=False,
        save_session=False,
        max_content_length=MAX_BODY_BYTES,
    )
    def upload_mt940(self, statement_file=None, **_ignored):
        """Take the multipart field ``statement_file``; needs an API key of the Bank API.

        :return: JSON with OpenG2P's ``header`` (``status`` succ or rjct, the code in
            ``status_reason_message``) and ``message``: the statement id
        """
        if statement_file is None or isinstance(statement_file, str):
            missing = {"code": "G2P-REQ-102", "message": "Invalid Input. Field required"}
            return request.make_json_response({"errors": [missing]}, status=400)
        bridge = request.env["g2p.bridge"]
        try:
            with request.env.cr.savepoint():
                answer = bridge._upload_statement(statement_file.read(), statement_file.filename)
        except BridgeError as error:
            return request.make_json_response(_reply("rjct", error.code, str(error)))
        return request.make_json_response(_reply("succ", "", answer["statement_id"], answer))


def _reply(status, code, message, details=None):
    return {
        "header": {
            "version": "1.0.0",
            "message_id": "",
            "message_ts": datetime.now(timezone.utc).replace(tzinfo=None).isoformat(),
            "action": "",
            "status": status,
            "status_reason_code": None,
            "status_reason_message": code,
            "total_count": None,
            "completed_count": None,
            "sender_id": None,
            "receiver_id": None,
            "is_msg_encrypted": False,
            "meta": {},
        },
        "message": message,
        "statement_id": details and details["statement_id"],
        "statements": details["statements"] if details else [],
        "response_error_code": code or None,
    }
