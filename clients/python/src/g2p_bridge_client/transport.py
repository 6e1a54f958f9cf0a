"""One call over HTTP, repeated where that is safe."""

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from .errors import (
    AccessRefused,
    BridgeClientError,
    CallInvalid,
    OutcomeUnknown,
    Refused,
    RowError,
    Unavailable,
)

_logger = logging.getLogger("g2p_bridge_client")

_LOCAL = ("localhost", "127.0.0.1", "::1")
_CONNECTIONS = 32
_LONGEST_DEMAND_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is made, and how long it is waited in between.

    The wait doubles with each attempt, up to a limit, and a random part of up to half of it is
    taken off, so that many clients do not come back at the same moment. The defaults wait for
    a minute and a half in all. A server that names a time itself (``Retry-After``) is obeyed.

    :ivar sleep: waits; another one lets a program stop in between
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)

    def wait_s(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt, the first is 1."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        return random.uniform(longest / 2, longest)


class _Bearer(requests.auth.AuthBase):
    """Adds the key to a request and shows it nowhere; with it, no ``.netrc`` is asked."""

    def __init__(self, api_key: str) -> None:
        # requests would name the value in its own error
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("the API key is empty, or has characters that no key has")
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"bearer {self._api_key}"
        return request


class _NoAnswer(Exception):
    """An attempt that brought no answer.

    :ivar reason: for people, without anything secret
    :ivar is_unknown: it may have been carried out
    :ivar wait_s: what the server asks for
    :ivar is_final: the next attempt would end the same
    """

    def __init__(
        self, reason: str, *, is_unknown: bool, wait_s: float = 0.0, is_final: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_unknown = is_unknown
        self.wait_s = wait_s
        self.is_final = is_final


class Transport:
    """Calls of one user of one database; several threads may share it."""

    def __init__(
        self,
        url: str,
        api_key: str,
        database: str,
        *,
        retry: RetryPolicy,
        timeout_s: tuple[float, float],
        allow_plain_http: bool,
    ) -> None:
        self.url = _checked_url(url, allow_plain_http)
        self.database = database
        self._retry = retry
        self._timeout_s = timeout_s
        self._auth = _Bearer(api_key)
        self._headers = {"Content-Type": "application/json"}
        if database:
            self._headers["X-Odoo-Database"] = database
        self._session = requests.Session()
        # nothing of one call stays for the next, so that threads can share the session
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(self, method: str, arguments: dict[str, Any], *, is_repeatable: bool) -> Any:
        """Make one call and return its answer as JSON, with ``Decimal`` for broken numbers.

        :param is_repeatable: a second time does what one time does
        :raise BridgeClientError: see :mod:`.errors`
        """
        body = json.dumps(arguments).encode("ascii")
        key = str(arguments.get("idempotency_key", ""))
        is_unknown = False
        attempt = 1
        while True:
            try:
                return self._attempt(method, body)
            except BridgeClientError as error:
                error.after_unknown = is_unknown
                raise
            except _NoAnswer as failed:
                is_unknown = is_unknown or failed.is_unknown
                is_last = failed.is_final or attempt >= self._retry.attempts
                if is_last or (failed.is_unknown and not is_repeatable):
                    if is_unknown:
                        raise OutcomeUnknown(method, key, failed.reason) from None
                    raise Unavailable(f"{method}: {failed.reason}") from None
                self._wait(method, attempt, failed)
            attempt += 1

    def _wait(self, method: str, attempt: int, failed: _NoAnswer) -> None:
        seconds = max(self._retry.wait_s(attempt), failed.wait_s)
        _logger.warning(
            "%s: %s; attempt %d of %d, again in %.1f s",
            method,
            failed.reason,
            attempt,
            self._retry.attempts,
            seconds,
        )
        self._retry.sleep(seconds)

    def _attempt(self, method: str, body: bytes) -> Any:
        try:
            response = self._session.post(
                f"{self.url}/json/2/g2p.bridge/{method}",
                data=body,
                headers=self._headers,
                auth=self._auth,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            failure = _failure_of(error)
        else:
            return _answer_of(response)
        # not from within: the exception holds the request, and that the key
        raise failure


def _checked_url(url: str, allow_plain_http: bool) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("the URL is not of the form https://host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the URL has a user, a password, a query or a fragment")
    if parts.scheme == "http" and parts.hostname not in _LOCAL and not allow_plain_http:
        raise ValueError("over http:// the API key could be read: use https://")
    return url.rstrip("/")


def _failure_of(error: requests.RequestException) -> _NoAnswer:
    name = type(error).__name__
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY" in str(error):
        return _NoAnswer("the server's certificate is not valid", is_unknown=False, is_final=True)
    if isinstance(error, requests.ConnectTimeout) or _is_not_connected(error):
        return _NoAnswer(f"no connection ({name})", is_unknown=False)
    return _NoAnswer(f"no answer ({name})", is_unknown=True)


def _is_not_connected(error: requests.RequestException) -> bool:
    """Say whether there was no connection to send the call on; in doubt there was."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)


def _answer_of(response: requests.Response) -> Any:
    status = response.status_code
    if status == 429:
        raise _NoAnswer("HTTP 429", is_unknown=False, wait_s=_demanded_wait_s(response))
    if status >= 500:
        raise _NoAnswer(f"HTTP {status}", is_unknown=True, wait_s=_demanded_wait_s(response))
    if status in (401, 403):
        raise AccessRefused(status)
    try:
        answer = json.loads(response.content, parse_float=Decimal)
    except ValueError:
        if status == 200:
            raise _NoAnswer("an answer that is no JSON", is_unknown=True) from None
        raise CallInvalid(status, "no answer of the bridge; is the address right?") from None
    if status == 200:
        return answer
    raise _refusal(status, answer)


def _refusal(status: int, answer: Any) -> BridgeClientError:
    if not isinstance(answer, dict):
        return CallInvalid(status, "no answer of the bridge; is the address right?")
    message = answer.get("message")
    sentence = message if isinstance(message, str) else ""
    if status != 422 or not str(answer.get("name")).endswith("BridgeError"):
        return CallInvalid(status, sentence.partition("\n")[0] or "the call was not taken")
    try:
        code, rows = answer["arguments"]
        return Refused(str(code), _sentence_of(sentence), tuple(map(_row_error, rows)))
    except (TypeError, ValueError, KeyError):
        return CallInvalid(status, "a refusal of another form")


def _sentence_of(message: str) -> str:
    """Return the sentence out of ``CODE``, line break, sentence and first rows."""
    return message.partition("\n")[2].partition(" (row ")[0] or message


def _row_error(row: dict[str, Any]) -> RowError:
    reference = row.get("mis_reference_number") or row.get("disbursement_id") or ""
    return RowError(int(row["index"]), str(reference), tuple(row["response_error_codes"]))


def _demanded_wait_s(response: requests.Response) -> float:
    demand = response.headers.get("Retry-After", "")
    return float(min(int(demand), _LONGEST_DEMAND_S)) if demand.isdecimal() else 0.0
