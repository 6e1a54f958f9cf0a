"""The process: a threaded HTTP server that can close its port for a while, and the bank's clock."""

import logging
import signal
import sqlite3
import sys
import threading

from werkzeug.serving import WSGIRequestHandler, make_server

from . import admin

_logger = logging.getLogger(__name__)


class _Handler(WSGIRequestHandler):
    """Logs one line a request at debug level: method, path, status, no body."""

    def log_request(self, code="-", size="-"):
        """Called by werkzeug after each answer."""
        _logger.debug("%s %s %s", self.command, self.path.partition("?")[0], code)

    def connection_dropped(self, error, environ=None):
        """Called by werkzeug when the connection is gone: there is no next request to read."""
        self.close_connection = True


class Server:
    """Serves an application until it is told to stop.

    :param str host: address to listen at
    :param int port: 0 takes a free one, which then stays the same
    """

    def __init__(self, host, port):
        self.host = host
        self.port = port
        self._server = None
        self._closed = threading.Event()
        self._refuse_s = 0

    def run(self, app):
        """Serve; returns when the process is told to end (SIGTERM, Ctrl-C)."""
        signal.signal(signal.SIGTERM, _exit)
        is_first = True
        while True:
            self._server = make_server(
                self.host, self.port, app, threaded=True, request_handler=_Handler
            )
            self.port = self._server.server_port
            if is_first:
                sys.stdout.write(f"listening on http://{self.host}:{self.port}\n")
                sys.stdout.flush()
            is_first = False
            # Closes its socket at the end.
            self._server.serve_forever(poll_interval=0.05)
            self._closed.set()
            if not self._refuse_s:
                return
            threading.Event().wait(self._refuse_s)
            self._refuse_s = 0

    def refuse(self, seconds):
        """Close the port for some seconds: who connects is refused. Called by a request."""
        self._closed.clear()
        self._refuse_s = seconds
        self._server.shutdown()
        self._closed.wait()


def start_rounds(app, seconds):
    """Settle, write statements and upload them every so many seconds, in the background."""
    threading.Thread(target=_rounds, args=(app, seconds), daemon=True).start()


def _rounds(app, seconds):
    timer = threading.Event()
    while not timer.wait(seconds):
        _round(app)


def _round(app):
    try:
        done = admin.run_round(app)
    except sqlite3.Error:
        # A full disk may have room again in the next round; nothing was booked.
        _logger.exception("round failed")
        return
    if done["settled"] or done["reversed"] or done["uploads"]:
        _logger.info("settled %(settled)s, reversed %(reversed)s", done)


def _exit(_number, _frame):
    raise SystemExit(0)
