"""HTTP to banks and mappers: one request, and what is known of its outcome.

No retries in here: whether the same call may be made again is for the caller to decide, by the
class of the error.
"""

import json
import logging
import ssl
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError

from . import deadline, masking
from .errors import BankError, BankOutcomeUnknown, BankRejected, BankUnavailable

_logger = logging.getLogger(__name__)

#: an answer of 10,000 payment statuses is below 3 MB
MAX_ANSWER_BYTES = 16 * 1024 * 1024
#: powers of ten that an amount may have; ``1e999999999`` is valid JSON, and fills the memory as int
MAX_EXPONENT = 40
_CHUNK_BYTES = 64 * 1024
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

#: requests refuses these before it opens a connection
_NEVER_LEFT = (
    requests.ConnectTimeout,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)

_collectors = ContextVar("g2p_bridge_exchanges", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what came of it, fit to be stored and shown: bodies are masked."""

    method: str
    path: str  # without host and query
    request_masked: str = ""
    response_masked: str = ""
    http_status: int | None = None  # None: no answer
    latency_ms: float
    error: str = ""  # code of the BankError, empty when there was none


@contextmanager
def record():
    """Collect the exchanges of this context: ``with record() as exchanges: ...``.

    Nested records each get the exchange; threads started inside do not report here.

    :return: list of :class:`Exchange`, filled while the block runs
    """
    exchanges = []
    token = _collectors.set((*_collectors.get(), exchanges))
    try:
        yield exchanges
    finally:
        _collectors.reset(token)


def total_timeout_s(timeout_s):
    """Return after how many seconds a call is given up, however its bytes may drip.

    :param tuple timeout_s: seconds to connect, seconds between two bytes of the answer
    """
    connect_s, read_s = timeout_s
    return connect_s + 2 * read_s


def is_plain(url):
    """Say whether what is sent to a URL can be read on its way: no TLS, and to another machine."""
    try:
        parts = urlsplit(url or "")
        return parts.scheme.lower() == "http" and parts.hostname not in _LOCAL_HOSTS
    except ValueError:
        return False


def prepare(session, url, body, headers, *, method="POST"):
    """Return a request to a bank or mapper, with these headers and no other credentials.

    The JSON is written without spaces and in ASCII: what OpenG2P's services sign and verify.

    :param requests.Session session: it will be sent by
    :param body: dict or list, sent as JSON; amounts by ``services.money.to_json_number``. Or bytes,
        sent as they are with the ``Content-Type`` of the headers; or None
    :param dict headers: besides the ``Content-Type`` of JSON
    :return: requests.PreparedRequest
    :raise BankUnavailable: it is no URL that can be called
    """
    data, headers = body, dict(headers)
    if body is not None and not isinstance(body, bytes):
        data = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", **headers}
    request = requests.Request(
        method,
        url,
        data=data,
        headers=headers,
        auth=_leave_as_it_is,
    )
    try:
        return session.prepare_request(request)
    except requests.RequestException as error:
        code = type(error).__name__
        raise BankUnavailable(f"The request could not be made ({code}).", code=code) from error


def _leave_as_it_is(request):
    """Keep ``requests`` from taking the place of our token with what a .netrc file holds."""
    return request


def send(session, request, *, timeout_s, safe, max_bytes=MAX_ANSWER_BYTES, parse=None, masked=None):
    """Send one request and return the JSON of its answer; a failure says what is known of it.

    Redirects are not followed and TLS certificates are always verified. The whole call takes no
    longer than :func:`total_timeout_s`.

    :param requests.Session session: used for its connections, proxies and CA bundle
    :param requests.PreparedRequest request: with all its headers, see :func:`prepare`
    :param tuple timeout_s: seconds to connect, seconds between two bytes of the answer
    :param bool safe: it moves no money (a check, an inquiry), so what is unknown is merely
        unavailable
    :param int max_bytes: a longer answer (after decompression) counts as garbage
    :param parse: function that reads the bytes of an answer of another form than JSON
    :param str masked: the request's body as it may be kept, where it is no JSON; its answer is then
        kept by its length alone
    :return: dict, list or scalar; numbers with a fraction are ``Decimal``
    :raise BankUnavailable: it never left, HTTP 429, or anything unclear of a safe call
    :raise BankRejected: HTTP 3xx, and 4xx other than 408 and 429
    :raise BankOutcomeUnknown: anything unclear of a call that is not safe: time-out, connection
        lost, 5xx, an answer that is no JSON or not whole
    """
    started = time.monotonic()
    seen = {"status": None, "body": b"", "error": ""}
    try:
        _exchange(session, request, timeout_s, max_bytes, seen)
        return _answer_of(seen, parse or _parse_json)
    except BankError as failure:
        seen["error"] = failure.code
        raise _as_known(failure, safe) from failure.__cause__
    finally:
        _report(request, seen, (time.monotonic() - started) * 1000, masked)


def _exchange(session, request, timeout_s, max_bytes, seen):
    """Send, and fill ``seen`` with status and body as they arrive."""
    total_s = total_timeout_s(timeout_s)
    with deadline.limit(total_s) as is_over:
        try:
            _set_timeouts(session, request.url, timeout_s)
            _transfer(session, request, max_bytes, seen)
        except (requests.RequestException, HTTPError) as error:
            raise _failure_of(error, is_over() and total_s) from error


def _transfer(session, request, max_bytes, seen):
    settings = session.merge_environment_settings(
        request.url, {}, True, session.verify or True, session.cert
    )
    with session.send(request, allow_redirects=False, **settings) as response:
        seen["status"] = response.status_code
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > max_bytes:
                raise BankOutcomeUnknown(
                    f"The answer is longer than {max_bytes} bytes.", code="ANSWER_TOO_LONG"
                )
            seen["body"] = body


class _TimedAdapter(BaseAdapter):
    """Gives both time-outs to the adapter that it wraps, and a deadline to its connections.

    ``Session.send`` would take them as a tuple, but Odoo's test framework stands in its way and
    compares the time-out with a number.
    """

    def __init__(self, inner, timeout_s):
        super().__init__()
        self.inner = inner
        self.timeout_s = tuple(timeout_s)

    def send(self, request, **kwargs):
        if isinstance(self.inner, HTTPAdapter):
            settings = {name: kwargs.get(name) for name in ("verify", "proxies", "cert")}
            with suppress(LocationValueError):  # sending says better what is wrong with it
                deadline.install(self.inner.get_connection_with_tls_context(request, **settings))
        return self.inner.send(request, **{**kwargs, "timeout": self.timeout_s})

    def close(self):
        self.inner.close()


def _set_timeouts(session, url, timeout_s):
    adapter = session.get_adapter(url)
    inner = adapter.inner if isinstance(adapter, _TimedAdapter) else adapter
    parts = urlsplit(url)
    session.mount(f"{parts.scheme}://{parts.netloc}/".lower(), _TimedAdapter(inner, timeout_s))


def _answer_of(seen, parse):
    status = seen["status"]
    if 200 <= status < 300:
        return parse(bytes(seen["body"]))
    code = f"HTTP_{status}"
    if status == 429:
        raise BankUnavailable("It asks to be called less often (HTTP 429).", code=code)
    if 300 <= status < 400:
        raise BankRejected(
            f"It answered with a redirect (HTTP {status}), and none is followed: look at the URL.",
            code=code,
        )
    # 408 may come from a gateway in front of a bank that has the request
    if 400 <= status < 500 and status != 408:
        raise BankRejected(f"It refused the request (HTTP {status}).", code=code)
    raise BankOutcomeUnknown(f"It failed with HTTP {status}.", code=code)


def _parse_json(body):
    try:
        return json.loads(body, parse_float=_parse_decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BankOutcomeUnknown("Its answer is no JSON.", code="GARBAGE") from error


def _parse_decimal(text):
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError("number out of range")
    return number


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def _failure_of(error, overdue_s):
    """Return the BankError for what ended a call; ``overdue_s``: its time was over."""
    code = type(error).__name__
    if problem := _certificate_problem(error):
        return BankUnavailable(
            f"Its TLS certificate does not verify, so nothing was sent: {problem}.", code=code
        )
    if _never_left(error):
        return BankUnavailable(f"It could not be reached ({code}).", code=code)
    if overdue_s:
        return BankOutcomeUnknown(
            f"It had not answered in whole after {overdue_s:g} seconds.", code="TOTAL_TIMEOUT"
        )
    return BankOutcomeUnknown(f"No answer, or not a whole one ({code}).", code=code)


def _certificate_problem(error):
    """Return what is wrong with the other side's certificate, or an empty string.

    A failure of TLS may come with the answer: only a certificate that does not verify comes before
    the first byte.
    """
    if not isinstance(error, requests.exceptions.SSLError):
        return ""
    cause = _first_argument(_cause_of(error))
    is_one = isinstance(cause, ssl.SSLCertVerificationError)
    return is_one and (getattr(cause, "verify_message", "") or "not trusted").rstrip(".")


def _never_left(error):
    """Say whether the request surely did not leave; in doubt it did.

    A connection reset after sending is a ``ConnectionError`` too.
    """
    if isinstance(error, _NEVER_LEFT):
        return True
    if isinstance(error, requests.exceptions.ProxyError):
        return False
    is_connection = isinstance(error, requests.ConnectionError)
    return is_connection and isinstance(_cause_of(error), NewConnectionError)


def _cause_of(error):
    cause = _first_argument(error)
    return getattr(cause, "reason", cause)  # urllib3's MaxRetryError holds what it gave up for


def _first_argument(error):
    arguments = getattr(error, "args", ())
    return arguments[0] if arguments else None


def _as_known(failure, safe):
    """Return the failure as its caller may take it: nothing is unknown of a safe call."""
    if safe and isinstance(failure, BankOutcomeUnknown):
        return BankUnavailable(str(failure), code=failure.code)
    return failure


def report(exchange):
    """Write the one log line of a call, and give the exchange to whoever records.

    For calls that are no HTTP requests, such as files that are laid down for a bank.

    :param Exchange exchange: with masked bodies, and no account number in its path
    """
    status = f"HTTP_{exchange.http_status}" if exchange.http_status else "done"
    outcome = exchange.error or status
    _logger.info("%s %s: %s in %d ms", exchange.method, exchange.path, outcome, exchange.latency_ms)
    for exchanges in _collectors.get():
        exchanges.append(exchange)


def is_recording():
    """Say whether somebody keeps what is reported: masking a big body takes a while."""
    return bool(_collectors.get())


def _report(request, seen, latency_ms, masked):
    """Report a request and its answer."""
    report(
        Exchange(
            method=request.method,
            path=masking.mask_path(urlsplit(request.url).path),
            **(_masked_bodies(request, seen["body"], masked) if is_recording() else {}),
            http_status=seen["status"],
            latency_ms=latency_ms,
            error=seen["error"],
        )
    )


def _masked_bodies(request, body, masked):
    if masked is not None:
        answer = f"({len(body)} bytes)" if body else ""
        return {"request_masked": masked, "response_masked": answer}
    token = request.headers.get("Authorization", "").partition(" ")[2]
    request_masked, response_masked = masking.mask_exchange(
        request.body, body, secrets={token} - {""}
    )
    return {"request_masked": request_masked, "response_masked": response_masked}
