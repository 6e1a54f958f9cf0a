"""The HTTP side of the bank: paths, shapes, access, faults."""

import hashlib
import hmac
import os
import socket
import struct
import time

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from . import admin, ledger, pages, shapes, signature
from .answers import errors, to_json
from .bank import KeyReused
from .faults import AFTER, BEFORE
from .under_way import UnderWay, account_of

#: initiate_payment of 10,000 payments has 8 MB
MAX_BODY = 64 * 1024 * 1024

_GARBAGE = b"<html><body>Proxy: everything is fine</body></html>"


class ExampleBankApp:
    """The WSGI application.

    :param Bank bank: does the work
    :param Faults faults: what goes wrong on purpose
    :param Uploader uploader: sends statements
    :param str api_key: bearer token that callers must send; empty: none
    :param refuse: function(seconds) that closes the port for a while
    :param public_key: of the bridge, whose signature every call must have; None: none
    """

    def __init__(self, bank, faults, uploader, *, api_key="", refuse=None, public_key=None):
        self.bank = bank
        self.faults = faults
        self.uploader = uploader
        self.under_way = UnderWay()
        self.refuse = refuse
        self._api_key = api_key
        self._public_key = public_key
        self._urls = Map(
            [
                Rule("/", endpoint=self._page, methods=["GET"]),
                Rule("/ping", endpoint=self._ping, methods=["GET"]),
                Rule("/ledger", endpoint=self._ledger, methods=["GET"]),
                Rule("/ledger/summary", endpoint=self._summary, methods=["GET"]),
                Rule("/check_funds", endpoint=self._check_funds, methods=["POST"]),
                Rule("/block_funds", endpoint=self._block_funds, methods=["POST"]),
                Rule("/release_funds", endpoint=self._release_funds, methods=["POST"]),
                Rule("/initiate_payment", endpoint=self._initiate_payment, methods=["POST"]),
                Rule("/inquire_payments", endpoint=self._inquire_payments, methods=["POST"]),
                Rule("/generate_account_statement", endpoint=self._statement, methods=["POST"]),
                *admin.rules(self),
            ]
        )

    def __call__(self, environ, start_response):
        request = Request(environ)
        request.max_content_length = MAX_BODY
        response = self._respond(request)
        response.headers["X-Frame-Options"] = "DENY"
        return response(environ, start_response)

    def _respond(self, request):
        try:
            handler, arguments = self._urls.bind_to_environ(request.environ).match()
            if handler != self._ping and not self._may(request):
                return _unauthorized()
            if _is_wire(request) and not self._is_signed(request):
                return errors(401, [("EXB-REQ-401", "The Signature does not fit the body")])
            return self._with_faults(request, lambda: handler(request, **arguments))
        except shapes.InvalidRequest as error:
            return errors(400, [(shapes.SHAPE_CODE, f"Invalid Input. {p}") for p in error.problems])
        except KeyReused:
            return errors(
                409, [("EXB-REQ-409", "This Idempotency-Key came before with another body")]
            )
        except HTTPException as error:
            return to_json({"detail": error.name}, error.code)

    def _may(self, request):
        """Bearer token for programs; for a browser the same as password of HTTP Basic."""
        if not self._api_key:
            return True
        given = request.authorization
        token = (given.token or given.password or "") if given else ""
        return hmac.compare_digest(token.encode(), self._api_key.encode())

    def _is_signed(self, request):
        if self._public_key is None:
            return True
        given = request.headers.get("Signature")
        return signature.is_valid(self._public_key, given, request.get_data())

    # faults

    def _with_faults(self, request, handle):
        """The answer of the handler, with what a fault makes of it."""
        if not _is_wire(request):
            return handle()
        account_number = account_of(request.get_data())
        with self.under_way.call(request.path, account_number):
            return self._meet(self.faults.draw(request.path, account_number), request, handle)

    def _meet(self, fault, request, handle):
        if fault is None:
            return handle()
        if fault.fault in BEFORE and (answer := self._before(fault, request)):
            return answer
        response = handle()
        return self._after(fault, request, response) if fault.fault in AFTER else response

    def _before(self, fault, request):
        if fault.fault == "reset":
            _reset(request)
        if fault.fault == "delay_before":
            time.sleep(fault.seconds)
            return None
        return _failure(fault.status)

    def _after(self, fault, request, response):
        if fault.fault == "delay":
            time.sleep(fault.seconds)
            return response
        if fault.fault == "drop":
            _drop(request)
        if fault.fault == "error_after":
            return _failure(fault.status)
        if fault.fault == "garbage":
            return Response(_GARBAGE, content_type="text/html")
        return _half(response)

    # the wire protocol

    def _check_funds(self, request):
        body = shapes.check_object(shapes.parse_json(request.get_data()), shapes.CHECK_FUNDS)
        return to_json(self.bank.check_funds(body))

    def _block_funds(self, request):
        body = shapes.check_object(shapes.parse_json(request.get_data()), shapes.BLOCK_FUNDS)
        return to_json(self.bank.block_funds(body, *_key(request)))

    def _release_funds(self, request):
        body = shapes.check_object(shapes.parse_json(request.get_data()), shapes.RELEASE_FUNDS)
        return to_json(self.bank.release_funds(body))

    def _initiate_payment(self, request):
        payments = shapes.check_payments(shapes.parse_json(request.get_data()))
        limit = self.bank.config.batch_limit
        if len(payments) > limit:
            return errors(400, [("EXB-REQ-413", f"At most {limit} payments in one call")])
        return to_json(self.bank.initiate_payment(payments, *_key(request)))

    def _inquire_payments(self, request):
        body = shapes.check_object(shapes.parse_json(request.get_data()), shapes.INQUIRE_PAYMENTS)
        return to_json(self.bank.inquire_payments(body))

    def _statement(self, request):
        body = shapes.check_object(shapes.parse_json(request.get_data()), shapes.STATEMENT)
        return to_json(admin.generate_account_statement(self, body["program_account_number"]))

    # looking at the books

    def _ping(self, _request):
        return to_json("pong")

    def _ledger(self, request):
        return to_json(ledger.full(self.bank, request.args.get("account_number")))

    def _summary(self, _request):
        return to_json(ledger.summary(self.bank))

    def _page(self, request):
        page = max(1, request.args.get("page", 1, type=int))
        return Response(pages.overview(self.bank, page), content_type="text/html; charset=utf-8")


def _is_wire(request):
    """Whether it is a call of the wire protocol, rather than of the clerk."""
    return request.method == "POST" and not request.path.startswith("/admin/")


def _failure(status):
    return errors(status, [("G2P-REQ-100", "Unknown Error.")])


def _unauthorized():
    response = errors(401, [("EXB-REQ-401", "A bearer token is needed")])
    response.headers["WWW-Authenticate"] = 'Basic realm="Example Bank"'
    return response


def _key(request):
    """The Idempotency-Key and the digest of the body; the key is None where none came."""
    key = request.headers.get("Idempotency-Key")
    return (key, hashlib.sha256(request.get_data()).hexdigest()) if key else (None, "")


def _drop(request):
    """Close the connection in an orderly way, without a byte of an answer."""
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("dropped on purpose")


def _reset(request):
    """Close it with RST: a linger of zero seconds makes close() do that."""
    request.get_data()
    connection = request.environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
    raise ConnectionResetError("reset on purpose")


def _half(response):
    """The whole length is announced, half of it comes; then the server closes the connection."""
    content = response.get_data()
    halved = Response(content[: len(content) // 2], content_type=response.content_type)
    halved.automatically_set_content_length = False
    halved.headers["Content-Length"] = f"{len(content)}"
    return halved
