"""Answers to what went wrong around a call, in the form of OpenG2P's services."""

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, Unauthorized

from odoo.exceptions import AccessDenied, AccessError
from odoo.http import SessionExpiredException

from ..services import openg2p_messages as messages

#: what is wrong -> (HTTP status, code, sentence); the first that fits
_ANSWERS = (
    (RequestEntityTooLarge, 413, "G2P-REQ-413", "The request is too large."),
    (Unauthorized, 401, "G2P-AUT-401", "Unauthorized. No valid API key came with the call."),
    (AccessDenied, 401, "G2P-AUT-401", "Unauthorized. No valid API key came with the call."),
    (SessionExpiredException, 401, "G2P-AUT-401", "Unauthorized. Send an API key."),
    (AccessError, 403, "G2P-AUT-403", "Forbidden. This user may not use this part of the API."),
)


def error_response(request, exc):
    """Return the response for an exception that no controller answered; it tells nothing of it."""
    status, code, sentence = _answer_for(exc)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 413:
        headers["Connection"] = "close"  # the rest of the body is not read
    return request.make_json_response(messages.errors(code, sentence), headers, status=status)


def _answer_for(exc):
    for kind, *answer in _ANSWERS:
        if isinstance(exc, kind):
            return answer
    if isinstance(exc, HTTPException) and exc.code is not None:
        return exc.code, "G2P-REQ-100", exc.name
    return 500, "G2P-REQ-100", "Unknown Error."
