"""Files posted to, and fetched from, an address of the bank."""

import hashlib
import time

import requests

from odoo.addons.g2p_bridge.connectors import http
from odoo.addons.g2p_bridge.connectors.errors import (
    BankError,
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)

from .files import UNSEEN, RemoteFile

_DECLARATION = b"<?xml"
#: a server that does not know HEAD is there all the same
_NO_HEAD = frozenset({"HTTP_405", "HTTP_501"})


class HttpsTransport:
    """One POST for each payment file; one GET that brings what the bank has for us."""

    can_look = False

    def __init__(self, settings):
        self.settings = settings
        self._fetched = {}

    def __enter__(self):
        self._session = requests.Session()
        return self

    def __exit__(self, *_error):
        self._session.close()

    def send(self, name, content, *, masked="", idempotency_key=""):
        """Post a payment file; any answer of the 200s means that the bank has it.

        :raise BankUnavailable: see :func:`http.send`
        :raise BankRejected: the bank refused it
        :raise BankOutcomeUnknown: no clear answer; or refused by a bank that refuses what it has
        """
        headers = {
            "Content-Type": "application/xml",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Idempotency-Key": idempotency_key,
        }
        try:
            self._send("POST", self.settings.post_url, content, headers, safe=False, masked=masked)
        except BankRejected as error:
            if not self.settings.refuses_repeats:
                raise
            # of a repeat it says nothing of the first time
            raise BankOutcomeUnknown(
                f"{error} It may have it from an earlier time.", code=error.code
            ) from error

    def find(self, _name):
        """Nothing can be seen of what was posted."""
        return UNSEEN

    def list_new(self):
        """Fetch what the bank has: one document, or several one after another.

        :raise BankError: no usable answer
        """
        if not self.settings.fetch_url:
            return []
        body = self._send("GET", self.settings.fetch_url, None, {}, safe=True, masked="")
        now = int(time.time())
        self._fetched = {}
        for part in split_documents(body):
            name = f"{hashlib.sha256(part).hexdigest()[:32]}.xml"
            self._fetched[name] = part
        return [
            RemoteFile(name=name, size=len(part), modified=now)
            for name, part in self._fetched.items()
        ]

    def fetch(self, file, max_bytes):
        """Return what :meth:`list_new` fetched."""
        if file.size > max_bytes:
            raise BankRejected(f"It is longer than {max_bytes} bytes.", code="FILE_TOO_LONG")
        return self._fetched[file.name]

    def tidy(self, _file, _folder, _new_name):
        """The bank itself knows what it has handed out."""

    def check(self):
        """Ask the address for payments for nothing, which posts nothing.

        :raise BankError: it is not there, or lets us not in
        """
        try:
            self._send("HEAD", self.settings.post_url, None, {}, safe=True, masked="")
        except BankError as error:
            if error.code not in _NO_HEAD:
                raise

    def _send(self, method, url, content, headers, *, safe, masked):
        if not url:
            raise BankUnavailable("The bank's form has no address for it.", code="NO_ADDRESS")
        if self.settings.secret:
            headers = {**headers, "Authorization": f"Bearer {self.settings.secret}"}
        request = http.prepare(self._session, url, content, headers, method=method)
        return http.send(
            self._session,
            request,
            timeout_s=self.settings.timeout_s,
            safe=safe,
            parse=bytes,
            masked=masked,
        )


def split_documents(body):
    """Return the documents (list of bytes) of a body; each XML has its own declaration."""
    starts, place = [], body.find(_DECLARATION)
    while place != -1:
        starts.append(place)
        place = body.find(_DECLARATION, place + len(_DECLARATION))
    if len(starts) < 2:
        return [body] if body.strip() else []
    ends = [*starts[1:], len(body)]
    return [body[start:end] for start, end in zip(starts, ends, strict=True)]
