"""Clients that are no bottleneck: bodies made beforehand, answers read but not parsed."""

import http.client
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: seconds without a byte after which a call counts as failed
TIMEOUT_S = 600


class CallsFailed(Exception):
    """Some calls of a stage were not answered as they should be."""


@dataclass(slots=True)
class Request:
    """A POST, complete.

    :ivar path: with the slash in front
    :ivar body: bytes
    :ivar headers: dict
    """

    path: str
    body: bytes
    headers: dict


@dataclass(slots=True)
class Calls:
    """What came of a number of requests.

    :ivar seconds: from the start of all clients to the last answer
    :ivar ended_at: ``time.monotonic()`` of that
    :ivar latencies: seconds of each call
    :ivar answers: (HTTP status, body) of each call, in no order
    """

    seconds: float = 0.0
    ended_at: float = 0.0
    latencies: list = field(default_factory=list)
    answers: list = field(default_factory=list)


def post_all(url, requests, clients=1):
    """Post every request, each client one after the other, all clients at the same time.

    :param str url: of the server, without path
    :param list requests: :class:`Request`
    :param int clients: threads, each with a connection of its own
    :return: Calls
    :raise CallsFailed: one of them was not answered with HTTP 200, or with a JSON-RPC error
    """
    todo, calls, failures = deque(requests), Calls(), []
    start = threading.Barrier(clients + 1)
    threads = [
        threading.Thread(target=_client, args=(url, todo, calls, failures, start), daemon=True)
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    started_at = time.monotonic()
    for thread in threads:
        thread.join()
    calls.ended_at = time.monotonic()
    calls.seconds = calls.ended_at - started_at
    _check(calls, failures)
    return calls


def _client(url, todo, calls, failures, start):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    start.wait()
    try:
        while True:
            try:
                request = todo.popleft()
            except IndexError:
                return
            began = time.monotonic()
            connection.request("POST", request.path, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
            calls.latencies.append(time.monotonic() - began)
            calls.answers.append((answer.status, body))
    except (OSError, http.client.HTTPException) as error:
        failures.append(repr(error))
    finally:
        connection.close()


def _check(calls, failures):
    for status, body in calls.answers:
        if status != 200:
            failures.append(f"HTTP {status}: {_short(body)}")
        elif body.startswith(b'{"jsonrpc"') and (error := _rpc_error(body)):
            failures.append(error)
    if failures:
        raise CallsFailed(f"{len(failures)} calls failed, such as: {failures[0]}")


def _rpc_error(body):
    # the answer of a large call is not parsed just to see that it is one
    if b'"error"' not in body[:200] or not (error := json.loads(body).get("error")):
        return ""
    data = error.get("data") or {}
    return f"{data.get('name')}: {data.get('message')} {data.get('arguments')}"[:500]


def _short(body):
    return body[:300].decode(errors="replace")


class JsonRpcDoor:
    """``execute_kw`` on ``/jsonrpc``."""

    name = "jsonrpc"

    def __init__(self, db, uid, key):
        self._head = [db, uid, key]

    def request(self, model, method, **arguments):
        """Return the :class:`Request` of a call with named arguments."""
        call = [*self._head, model, method, [], arguments]
        params = {"service": "object", "method": "execute_kw", "args": call}
        body = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": params}
        return Request("/jsonrpc", _bytes(body), {"Content-Type": "application/json"})

    @staticmethod
    def result(body):
        """Return the result in the bytes of an answer."""
        return json.loads(body)["result"]


class Json2Door:
    """``POST /json/2/<model>/<method>`` with a bearer key."""

    name = "json2"

    def __init__(self, db, key):
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": f"bearer {key}",
            "X-Odoo-Database": db,
        }

    def request(self, model, method, **arguments):
        """Return the :class:`Request` of a call with named arguments."""
        return Request(f"/json/2/{model}/{method}", _bytes(arguments), self._headers)

    @staticmethod
    def result(body):
        """Return the result in the bytes of an answer."""
        return json.loads(body)


class BackOfficeDoor:
    """``/web/dataset/call_kw`` with the session of a user, as the web client calls it."""

    name = "web"

    def __init__(self, url, db, login, password):
        params = {"db": db, "login": login, "password": password}
        body = {"jsonrpc": "2.0", "method": "call", "params": params}
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
        path = "/web/session/authenticate"
        connection.request("POST", path, _bytes(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        connection.close()
        self._headers = {"Content-Type": "application/json", "Cookie": cookie}

    def request(self, model, method, *args, **arguments):
        """Return the :class:`Request` of a call."""
        params = {"model": model, "method": method, "args": args, "kwargs": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": params}
        path = f"/web/dataset/call_kw/{model}/{method}"
        return Request(path, _bytes(body), self._headers)

    result = staticmethod(JsonRpcDoor.result)


def _bytes(body):
    return json.dumps(body, separators=(",", ":")).encode()
