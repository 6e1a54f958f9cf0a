"""A reverse proxy that loses what it is told to, after the server has done its work."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

TIMEOUT_S = 60
_PAGE = b"<html><body>Bad gateway</body></html>"


class LossyProxy:
    """Passes calls on to a server, in a ``with`` block; what comes back is another matter.

    Each call takes the next fault of the script, and none when the script is over. The server has
    answered, so it has committed, before any of them but ``busy``:

    ========  =====================================================================
    drop      the connection is closed without an answer
    cut       half of the answer, then closed
    bad       HTTP 502 with a page for people
    garbage   HTTP 200 with such a page
    silent    nothing comes until the proxy is closed
    busy      HTTP 429 with ``Retry-After: 0``; the server does not see the call
    ========  =====================================================================

    :param only: text that a call has in its path or body; others pass
    :ivar url: of the proxy
    :ivar calls: (method, idempotency key, fault or None) of all calls, as they came
    """

    def __init__(self, server_url, script=(), only=""):
        self.calls = []
        self._only = only
        self._server_url = server_url
        self._script = list(script)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._is_over.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def script(self, *faults):
        """Say what happens to the next calls; None lets one pass."""
        with self._lock:
            self._script += faults

    def serve(self, handler):
        """Pass one call on, and lose its answer if it is the turn of that."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        fault = self._note(handler.path, body)
        if fault == "busy":
            _answer(handler, 429, b"", {"Retry-After": "0"})
            return
        answer = requests.post(
            f"{self._server_url}{handler.path}",
            data=body,
            headers={
                name: value for name, value in handler.headers.items() if name.lower() != "host"
            },
            timeout=TIMEOUT_S,
        )
        getattr(self, f"_{fault or 'whole'}")(handler, answer)

    def _note(self, path, body):
        key = json.loads(body).get("idempotency_key")
        is_meant = self._only in f"{path} {body.decode()}"
        with self._lock:
            fault = self._script.pop(0) if self._script and is_meant else None
            self.calls.append((path.rpartition("/")[2], key, fault))
        return fault

    def _whole(self, handler, answer):
        headers = {"Content-Type": answer.headers["Content-Type"]}
        _answer(handler, answer.status_code, answer.content, headers)

    def _drop(self, handler, _answer_lost):
        handler.close_connection = True

    def _cut(self, handler, answer):
        half = answer.content[: len(answer.content) // 2]
        _answer(handler, 200, half, {"Content-Length": len(answer.content)})
        handler.close_connection = True

    def _bad(self, handler, _answer_lost):
        _answer(handler, 502, _PAGE)

    def _garbage(self, handler, _answer_lost):
        _answer(handler, 200, _PAGE)

    def _silent(self, handler, _answer_lost):
        self._is_over.wait(TIMEOUT_S)
        handler.close_connection = True

    def _handler(self):
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                proxy.serve(self)

            def log_message(self, *_arguments):
                """Say nothing: the tests look at :attr:`calls`."""

        return Handler


def _answer(handler, status, body, headers=()):
    handler.send_response(status)
    for name, value in {"Content-Length": len(body), **dict(headers)}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)
