"""What the work at hand is about: the ids that each line of the JSON log carries.

A request has an id, and gathers the ids of the records that it turns out to be about; both end with
it. A job, a cron and a call to a bank give theirs for a block. Ids only: no names, no accounts.
"""

import re
import threading
import uuid
from contextlib import contextmanager
from contextvars import ContextVar

from odoo.http import request

#: of a caller or proxy, who finds the lines again by it
REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_about = ContextVar("g2p_bridge_log_about", default=None)
_state = {"is_wanted": False}


def is_wanted():
    """Say whether any log line shows the ids: where none does, nobody needs to look them up."""
    return _state["is_wanted"]


def want():
    """Have the ids looked up from now on."""
    _state["is_wanted"] = True


@contextmanager
def about(**ids):
    """Have the lines that are logged in this block carry the ids, besides those around it."""
    token = _about.set({**(_about.get() or {}), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def note(**ids):
    """Have the lines carry the ids from here to the end of the request, or of the block."""
    current = _about.get()
    if current is not None:
        current.update(ids)
    elif (held := _of_request()) is not None:
        held.update(ids)


def current():
    """Return the ids (dict) that a line logged now is to carry."""
    return {**(_of_request() or {}), **(_about.get() or {})}


def _of_request():
    """Return the ids of the request that the thread serves, or None where it serves none.

    Odoo gives each request a start time of its own on the thread, which serves one after the other
    and takes the request itself away while it runs a call of ``/jsonrpc``.
    """
    thread = threading.current_thread()
    started_at = getattr(thread, "perf_t0", None)
    if started_at is None:
        return None
    known_at, ids = getattr(thread, "g2p_bridge_log", (None, None))
    if known_at != started_at:
        ids = {"request": _request_id()}
        thread.g2p_bridge_log = (started_at, ids)
    return ids


def _request_id():
    given = request.httprequest.headers.get(REQUEST_ID_HEADER, "") if request else ""
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
