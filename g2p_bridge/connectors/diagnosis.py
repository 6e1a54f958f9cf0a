"""What ended a call, as one word: for a person who sets a bank up, not for the pipeline.

The pipeline acts on the class of an error alone. Whoever fills in an address wants to know which of
many things is wrong with it.
"""

import socket
import ssl

import requests

from .errors import BankRejected

#: OpenSSL's X509_V_ERR_* -> word
_CERTIFICATE = {
    7: "certificate_issuer",  # signed by somebody who only has the issuer's name
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    18: "certificate_issuer",
    19: "certificate_issuer",
    20: "certificate_issuer",
    21: "certificate_issuer",
    62: "certificate_host",
    64: "certificate_host",
}
_BY_CODE = {
    "GARBAGE": "not_json",
    "MALFORMED_ANSWER": "other_answer",
    "ANSWER_TOO_LONG": "other_answer",
    "TOTAL_TIMEOUT": "time_out_answer",
    "ACCOUNT_NOT_FOUND": "account",
    "SIGNING_KEY_MISSING": "signing_key",
    "SIGNING_KEY_INVALID": "signing_key",
    "HTTP_401": "credentials",
    "HTTP_403": "forbidden",
    "HTTP_404": "path",
    "HTTP_405": "path",
    "HTTP_429": "busy",
}
#: in this order, for some are kinds of others
_BY_CAUSE = (
    (socket.gaierror, "name"),
    (ConnectionRefusedError, "refused"),
    (requests.ConnectTimeout, "time_out_connect"),
    (requests.ReadTimeout, "time_out_answer"),
    (requests.exceptions.ProxyError, "proxy"),
    (ssl.SSLError, "tls"),
    (requests.exceptions.SSLError, "tls"),
    (requests.exceptions.InvalidURL, "address"),
    (requests.exceptions.MissingSchema, "address"),
    (requests.exceptions.InvalidSchema, "address"),
    (requests.ConnectionError, "dropped"),
    (requests.exceptions.ChunkedEncodingError, "dropped"),
)


def diagnose(error):
    """Return the word (text) for what ended a call.

    :param BankError error: as a connector raised it
    """
    if word := _BY_CODE.get(error.code):
        return word
    if error.code.startswith("HTTP_"):
        return {"3": "redirect", "4": "refused_by_bank"}.get(error.code[5:6], "server_error")
    causes = list(_causes_of(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _CERTIFICATE.get(cause.verify_code, "certificate")
    for kind, word in _BY_CAUSE:
        if any(isinstance(cause, kind) for cause in causes):
            return word
    return "refused_by_bank" if isinstance(error, BankRejected) else "unclear"


def _causes_of(error):
    """Yield the exceptions behind one: requests and urllib3 hide them in arguments, too."""
    todo, seen = [error], set()
    while todo:
        found = todo.pop()
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        todo += [found.__cause__, found.__context__, getattr(found, "reason", None), *found.args]
