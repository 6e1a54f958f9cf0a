"""The paths and messages of OpenG2P's bridge, for program systems that were written for it."""

import logging

from odoo import http
from odoo.http import request

from ..models.g2p_bridge_error import BridgeError
from ..models.g2p_trusted_key import partner_of
from ..services import openg2p_messages as messages
from ..services import openg2p_shapes as shapes
from ..services import strict_json
from ..services.openg2p_openapi import document
from .errors import error_response

_logger = logging.getLogger(__name__)

#: what a program system's base URL ends in
PREFIX = "/g2p_bridge/openg2p/v1"
SIGNATURE = "Signature"
#: per row that a call may have: bytes (many scripts take six a character), and values with those
#: of fields that are ignored
_ROW_BYTES, _ROW_VALUES = 2048, 40
_FRAME_BYTES, _FRAME_VALUES = 64 * 1024, 1000


class OpenG2PDispatcher(http.Dispatcher):
    """Calls whose body the controller reads itself, and whose errors have OpenG2P's form."""

    routing_type = "g2p_openg2p"

    @classmethod
    def is_compatible_with(cls, _request):
        return True

    def dispatch(self, endpoint, args):
        """Run the controller."""
        self.request.params = dict(args)
        return self.request.registry["ir.http"]._dispatch(endpoint)

    def handle_error(self, exc):
        """Answer what the controller did not."""
        return error_response(self.request, exc)


class OpenG2P(http.Controller):
    """One door for all calls: who is it, is it well formed, what does the facade say."""

    def _max_content_length(self):
        return _FRAME_BYTES + _ROW_BYTES * request.env["g2p.bridge"]._parameter("rows_per_call")

    @http.route(
        f"{PREFIX}/<any({','.join(messages.CALLS)}):name>",
        type=OpenG2PDispatcher.routing_type,
        auth="none",
        methods=["POST"],
        save_session=False,
        max_content_length=_max_content_length,
    )
    def take(self, name):
        """Take a message, and answer it.

        :return: HTTP 200 with a reply also where the facade refuses, 400 for a wrong form
        """
        call = messages.CALLS[name]
        try:
            content, body = self._read()
            header, message = shapes.check_header(body), body["message"]
            sender = self._find_sender(header["sender_id"], content)
            if sender:
                call.check_shape(message)
        except (strict_json.JsonError, shapes.ShapeError) as error:
            wrong = messages.errors("G2P-REQ-102", f"Invalid Input. {error}")
            return request.make_json_response(wrong, status=400)
        if sender:
            code, answer = _ask(name, header, message, sender)
        else:
            _logger.info("not signed by a key of its sender: %r", header["sender_id"][:64])
            code, answer = messages.JWT_INVALID, call.refused(message, messages.JWT_INVALID, [])
        reply = strict_json.written(messages.reply(header, code, answer))
        return request.make_response(reply, [("Content-Type", "application/json")])

    @http.route(f"{PREFIX}/ping", type="http", auth="none", methods=["GET"], save_session=False)
    def ping(self):
        """Say that the service is there, as OpenG2P's does."""
        return request.make_json_response("pong")

    @http.route(
        f"{PREFIX}/openapi.json", type="http", auth="none", methods=["GET"], save_session=False
    )
    def openapi(self):
        """Describe the calls: OpenAPI 3.1."""
        return request.make_json_response(document(PREFIX))

    def _read(self):
        """Return the request's body, as bytes and as what they say."""
        if request.httprequest.mimetype not in ("", "application/json"):
            raise strict_json.JsonError("The content type must be application/json")
        content = request.httprequest.get_data()
        rows = request.env["g2p.bridge"]._parameter("rows_per_call")
        return content, strict_json.parse(content, _FRAME_VALUES + _ROW_VALUES * rows)

    def _find_sender(self, sender_id, content):
        """Become the user whom the call is of, and return what tells the sender from others.

        :return: list; None where nothing proves who it is
        """
        headers = request.httprequest.headers
        signature = headers.get(SIGNATURE)
        if signature is None and headers.get("Authorization", "")[:7].lower() == "bearer ":
            request.env["ir.http"]._auth_method_bearer()
            return ["user", request.env.uid]
        is_checked = request.env["g2p.bridge"]._parameter("openg2p_check_signatures")
        user_id = request.env["g2p.trusted.key"]._user_of(
            sender_id,
            (signature or "") if is_checked else None,
            [lambda: content, lambda: strict_json.restated(content)],
        )
        if not user_id:
            return None
        request.update_env(user=user_id)
        return ["partner", partner_of(sender_id)]


def _ask(name, header, message, sender):
    """Ask the facade; return (code, message of the reply), and an empty code for success."""
    call = messages.CALLS[name]
    if call.checks_action and header["action"] != name:
        code = messages.ACTION_NOT_SUPPORTED
        return code, call.refused(message, code, [])
    key = messages.message_key(name, sender, header["message_id"])
    try:
        with request.env.cr.savepoint():
            arguments = call.arguments(message, key)
            answer = getattr(request.env["g2p.bridge"], name)(**arguments)
        return "", call.accepted(message, answer)
    except messages.Refused as refusal:
        code, rows = messages.header_code(refusal.code), []
    except BridgeError as error:
        code, rows = messages.header_code(error.code), error.args[1]
    return code, call.refused(message, code, rows)
