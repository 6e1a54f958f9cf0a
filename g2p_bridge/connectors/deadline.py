"""An end for a whole call: a bank that drips one byte a second holds no worker for ever.

The time-outs of ``requests`` are for connecting and between two bytes. Here the socket is given
less and less time, so that request and answer together end at a moment that was fixed before.
"""

import http.client
import io
import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

#: in pieces, for TLS begins to count anew with each record that it sends
_PIECE_BYTES = 16 * 1024
#: a socket's time-out is rounded to milliseconds
_ROUNDING_S = 0.01

_ends_at = ContextVar("g2p_bridge_deadline")


@contextmanager
def limit(seconds):
    """End what connections of :func:`install` do in this block after so many seconds.

    They then fail as with a time-out of their own; only looking a name up and connecting have
    just their own time-outs.

    :return: function that says whether the time is over
    """
    ends_at = time.monotonic() + seconds
    token = _ends_at.set(ends_at)
    try:
        yield lambda: time.monotonic() >= ends_at - _ROUNDING_S
    finally:
        _ends_at.reset(token)


def install(pool):
    """Have the connections of a urllib3 connection pool keep to :func:`limit`."""
    if not issubclass(pool.ConnectionCls, _LimitedConnection):
        pool.ConnectionCls = _limited(pool.ConnectionCls)


def _shorten(sock):
    """Give the socket no more time than is left."""
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time of the whole call is over")
    own = sock.gettimeout()
    sock.settimeout(left if own is None else min(own, left))


class _LimitedFile(io.RawIOBase):
    """What arrives on a socket, until the time is over."""

    def __init__(self, sock, file):
        super().__init__()
        self._sock, self._file = sock, file

    def readable(self):
        return True

    def readinto(self, buffer):
        _shorten(self._sock)
        return self._file.readinto(buffer)

    def close(self):
        self._file.close()
        return super().close()


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, sock, *args, **kwargs):
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_LimitedFile(sock, self.fp.detach()))


class _LimitedConnection:
    """Stands in front of a connection class of urllib3."""

    response_class = _LimitedResponse

    def send(self, data):  # pylint: disable=missing-return  # it sends in pieces
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), _PIECE_BYTES):
            _shorten(self.sock)
            super().send(data[start : start + _PIECE_BYTES])


@lru_cache
def _limited(connection_class):
    return type(f"Limited{connection_class.__name__}", (_LimitedConnection, connection_class), {})
