"""Answers in JSON."""

import json

from werkzeug.wrappers import Response


def to_json(value, status=200):
    """The value as a JSON answer."""
    return Response(json.dumps(value), status, content_type="application/json")


def errors(status, pairs):
    """An error answer as the captured bank writes it, from ``(code, message)`` pairs."""
    return to_json({"errors": [{"code": code, "message": text} for code, text in pairs]}, status)
