"""A stand-in for OpenG2P's account mapper (SPAR): ``python tests/stand_ins/mapper --help``.

TEST DOUBLE. Answers ``POST /sync/resolve`` and ``/sync/link`` (G2P Connect) with the fields,
codes and order of SPAR 1.1.0. Signatures are checked with ``--require-signature``. How it
misbehaves is set with ``POST /admin/behaviour``.
"""

import argparse
import base64
import hashlib
import json
import random
import signal
import socket
import sys
import threading
import time
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

_FA = (
    "account_number:{account}.branch_code:BR001.bank_code:EXAMPLE_BANK"
    ".mobile_number:{mobile}.email_address:{email}.fa_type:BANK_ACCOUNT"
)
_NOT_LINKED = ("succ.fa.not_linked_to_id", "ID doesn't exist, please link first")
_ID_EMPTY = ("rjct.reference_id.invalid", "ID is required")
_DUPLICATE = ("rjct.reference_id.duplicate", "ID and FA are already mapped")
_WRONG_ACTION = "rjct.action.not_supported"
_WRONG_SIGNATURE = "rjct.jwt.invalid"

#: field -> what it may be; the defaults are those of a healthy mapper
_BEHAVIOUR = {
    "shuffle": False,  # answers in another order
    "part": 1.0,  # share of the answers that are given; the rest is missing
    "delay": 0.0,  # seconds before the answer
    "fault": "",  # "500", "garbage", "drop", or "jwt": the signature is not accepted
    "count": None,  # for how many calls; None: until the next POST
}
_FAULTS = ("", "500", "garbage", "drop", "jwt")


class InvalidRequest(Exception):
    """The body has the wrong shape; the message is SPAR's."""


class Links:
    """Which beneficiary id has which financial address.

    :param dict known: id -> fa
    :param int count: ids BEN000001 up to this number are linked; 0: every id is
    :param float missing_rate: share of those that is not linked after all, by seed and id
    """

    def __init__(self, known, *, count, missing_rate, seed, is_generating):
        self._known = dict(known)
        self._count = count
        self._missing_rate = missing_rate
        self._seed = seed
        self._is_generating = is_generating
        self._lock = threading.Lock()

    def find(self, beneficiary_id):
        """The fa of this id, or "" where it is not linked."""
        if beneficiary_id in self._known:
            return self._known[beneficiary_id]
        return self._generate(beneficiary_id) if self._is_generating else ""

    def link(self, beneficiary_id, fa):
        """Link the id; False where it is linked already."""
        with self._lock:
            if self.find(beneficiary_id):
                return False
            self._known[beneficiary_id] = fa
            return True

    def _generate(self, beneficiary_id):
        digest = hashlib.sha256(f"{self._seed}:{beneficiary_id}".encode()).digest()
        if int.from_bytes(digest[:8], "big") < self._missing_rate * 2**64:
            return ""
        if self._count and not self._is_counted(beneficiary_id):
            return ""
        number = int.from_bytes(digest[8:12], "big")
        return _FA.format(
            account=f"ACC{number:010d}", mobile=f"07{number:010d}", email=f"p{number}@example.org"
        )

    def _is_counted(self, beneficiary_id):
        digits = beneficiary_id.removeprefix("BEN")
        is_one = digits.isascii() and digits.isdigit() and beneficiary_id == f"BEN{digits}"
        return is_one and 1 <= int(digits) <= self._count


class Behaviour:
    """How the mapper misbehaves just now."""

    def __init__(self, seed):
        self._lock = threading.Lock()
        self._values = dict(_BEHAVIOUR)
        self.random = random.Random(seed)

    def set(self, values):
        """Replace it; what is not named is healthy again."""
        if unknown := set(values) - set(_BEHAVIOUR):
            raise InvalidRequest(f"Unknown field {', '.join(sorted(unknown))}")
        if values.get("fault", "") not in _FAULTS:
            raise InvalidRequest(f"fault is one of {', '.join(_FAULTS[1:])}")
        with self._lock:
            self._values = {**_BEHAVIOUR, **values}

    def draw(self):
        """What applies to this call; a counted one is used up by it."""
        with self._lock:
            values = dict(self._values)
            if self._values["count"] is not None:
                self._values["count"] -= 1
                if self._values["count"] <= 0:
                    self._values = dict(_BEHAVIOUR)
        return values


class MapperApp:
    """The WSGI application."""

    def __init__(self, links, behaviour, public_key=None):
        self._links = links
        self._public_key = public_key
        self._behaviour = behaviour
        self._call_count = 0
        self._asked_count = 0
        self._routes = {
            ("GET", "/ping"): lambda _request: _to_json("pong"),
            ("GET", "/admin/calls"): self._calls,
            ("POST", "/admin/behaviour"): self._set_behaviour,
            ("POST", "/sync/resolve"): self._misbehaving(self._resolve),
            ("POST", "/sync/link"): self._misbehaving(self._link),
        }

    def __call__(self, environ, start_response):
        request = Request(environ)
        try:
            handler = self._routes.get((request.method, request.path))
            if handler is None:
                raise NotFound()
            response = handler(request)
        except InvalidRequest as error:
            response = _error(400, "G2P-REQ-102", f"Invalid Input. {error}")
        except HTTPException as error:
            response = _to_json({"detail": error.name}, error.code)
        response.headers["X-Frame-Options"] = "DENY"
        return response(environ, start_response)

    def _calls(self, _request):
        return _to_json({"resolve_calls": self._call_count, "ids_asked": self._asked_count})

    def _set_behaviour(self, request):
        body = _parse(request)
        self._behaviour.set(body)
        return _to_json({"status": "success"})

    def _misbehaving(self, handle):
        def handler(request):
            values = self._behaviour.draw()
            time.sleep(values["delay"])
            if values["fault"] == "500":
                return _error(500, "G2P-REQ-100", "Unknown Error.")
            if values["fault"] == "garbage":
                return Response(b"<html>no JSON</html>", content_type="text/html")
            if values["fault"] == "drop":
                request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionAbortedError("dropped on purpose")
            return handle(request, values)

        return handler

    def _resolve(self, request, values):
        header, message = _envelope(request, "resolve_request")
        if values["fault"] == "jwt" or not _is_signed(request, self._public_key):
            return _refused(header, _WRONG_SIGNATURE)
        if header["action"] != "resolve":
            return _refused(header, _WRONG_ACTION)
        answers = [self._resolve_one(item) for item in message["resolve_request"]]
        self._call_count += 1
        self._asked_count += len(answers)
        # SPAR gives the rejected ones first.
        answers.sort(key=lambda answer: answer["status"] != "rjct")
        completed = sum(answer["status"] == "succ" for answer in answers)
        answers = self._distort(answers, values)
        return _answer(header, message, "resolve_response", answers, completed)

    def _distort(self, answers, values):
        chance = self._behaviour.random
        if values["part"] < 1:
            answers = [answer for answer in answers if chance.random() < values["part"]]
        if values["shuffle"]:
            chance.shuffle(answers)
        return answers

    def _resolve_one(self, item):
        beneficiary_id = item["id"]
        if not beneficiary_id:
            return _resolved(item, None, "", "rjct", _ID_EMPTY)
        fa = self._links.find(beneficiary_id)
        if not fa:
            return _resolved(item, None, "", "succ", _NOT_LINKED)
        is_detailed = item.get("scope", "details") != "yes_no"
        return _resolved(item, beneficiary_id, fa if is_detailed else "", "succ", (None, None))

    def _link(self, request, _values):
        header, message = _envelope(request, "link_request")
        if header["action"] != "link":
            return _refused(header, _WRONG_ACTION)
        answers = [self._link_one(item) for item in message["link_request"]]
        completed = sum(answer["status"] == "succ" for answer in answers)
        return _answer(header, message, "link_response", answers, completed)

    def _link_one(self, item):
        if not item.get("fa"):
            raise InvalidRequest("Field required")
        is_new = self._links.link(item["id"], item["fa"])
        code, text = (None, None) if is_new else _DUPLICATE
        return {
            "reference_id": item["reference_id"],
            "timestamp": _now(),
            "fa": item["fa"],
            "status": "succ" if is_new else "rjct",
            "status_reason_code": code,
            "status_reason_message": text,
            "additional_info": None,
            "locale": item.get("locale", "en"),
        }


def _resolved(item, beneficiary_id, fa, status, reason):
    return {
        "reference_id": item["reference_id"],
        "timestamp": _now(),
        "fa": fa,
        "id": beneficiary_id,
        "account_provider_info": None,
        "status": status,
        "status_reason_code": reason[0],
        "status_reason_message": reason[1],
        "additional_info": None,
        "locale": item.get("locale", "en"),
    }


def _envelope(request, name):
    """Header and message of a request, as far as they are used here."""
    body = _parse(request)
    header, message = body.get("header"), body.get("message")
    if not isinstance(header, dict) or not isinstance(message, dict):
        raise InvalidRequest("Field required")
    items = message.get(name)
    if "action" not in header or "message_id" not in header or not isinstance(items, list):
        raise InvalidRequest("Field required")
    for item in items:
        if not isinstance(item, dict) or not {"reference_id", "id"} <= item.keys():
            raise InvalidRequest("Field required")
    return header, message


def _is_signed(request, key):
    """Whether the header is a detached JWS (RS256) of the body, as OpenG2P's services make it."""
    if key is None:
        return True
    header, _, rest = request.headers.get("Signature", "").partition(".")
    text = f"{header}.{base64.urlsafe_b64encode(request.get_data()).rstrip(b'=').decode()}"
    try:
        signature = base64.urlsafe_b64decode(f"{rest.removeprefix('.')}==")
        key.verify(signature, text.encode(), padding.PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _load_key(path):
    if not path:
        return None
    with open(path, "rb") as file:
        return load_pem_public_key(file.read())


def _parse(request):
    try:
        body = json.loads(request.get_data())
    except ValueError as error:
        raise InvalidRequest("JSON decode error") from error
    if not isinstance(body, dict):
        raise InvalidRequest("Input should be a valid dictionary")
    return body


def _refused(header, reason):
    """The whole request is refused, and the message is empty."""
    answer = _answer_header(header, "rjct", reason)
    return _to_json({"header": answer, "message": {}})


def _answer(header, message, name, answers, completed_count):
    answer = _answer_header(header, "succ", None)
    answer |= {
        "total_count": len(answers),
        "completed_count": completed_count,
        "sender_id": header.get("sender_id"),
        "receiver_id": header.get("receiver_id"),
    }
    transaction_id = message.get("transaction_id")
    body = {"transaction_id": transaction_id, "correlation_id": None, name: answers}
    return _to_json({"header": answer, "message": body})


def _answer_header(header, status, reason):
    return {
        "version": "1.0.0",
        "message_id": header["message_id"],
        "message_ts": _now(),
        "action": header["action"],
        "status": status,
        "status_reason_code": reason,
        "status_reason_message": reason,
        "total_count": None,
        "completed_count": None,
        "sender_id": None,
        "receiver_id": None,
        "is_msg_encrypted": False,
        "meta": {},
    }


def _now():
    # SPAR writes local time without a zone.
    return datetime.now().astimezone().replace(tzinfo=None).isoformat(timespec="microseconds")


def _error(status, code, message):
    return _to_json({"errors": [{"code": code, "message": message}]}, status)


def _to_json(value, status=200):
    return Response(json.dumps(value), status, content_type="application/json")


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code="-", size="-"):
        """No line for each request."""


def _exit(_number, _frame):
    raise SystemExit(0)


def _load_links(path):
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(arguments=None):
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(
        prog="mapper", description="A TEST DOUBLE of OpenG2P's account mapper (SPAR)."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (%(default)s)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--links", metavar="FILE.json", help="object of beneficiary id -> fa")
    group.add_argument("--count", type=int, default=0, help="link BEN000001 to this number")
    parser.add_argument("--missing-rate", type=float, default=0, help="share that is not linked")
    parser.add_argument("--seed", type=int, default=1, help="decides which (%(default)s)")
    parser.add_argument(
        "--require-signature", metavar="PUBLIC_KEY_FILE", help="refuse what this key did not sign"
    )
    options = parser.parse_args(arguments)
    links = Links(
        _load_links(options.links),
        count=options.count,
        missing_rate=options.missing_rate,
        seed=options.seed,
        is_generating=not options.links,
    )
    app = MapperApp(links, Behaviour(options.seed), _load_key(options.require_signature))
    signal.signal(signal.SIGTERM, _exit)
    server = make_server(
        "127.0.0.1", options.port, app, threaded=True, request_handler=_QuietHandler
    )
    sys.stdout.write(f"listening on http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
