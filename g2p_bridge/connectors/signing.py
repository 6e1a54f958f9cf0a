"""JWS signatures of requests, as OpenG2P's services send and verify them.

The header ``Signature`` holds a detached JWS: ``base64url(header)..base64url(signature)``, made
with RS256 over ``base64url(header).base64url(body)``. The key stands in the environment of the
server, never in the database.
"""

import base64
import os
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .errors import BankUnavailable

HEADER = "Signature"
#: environment: the key itself (PEM), or the path of its file
KEY, KEY_FILE = "G2P_BRIDGE_SIGNING_KEY", "G2P_BRIDGE_SIGNING_KEY_FILE"
#: RFC 7518, 3.3
MIN_KEY_BITS = 2048

_HEADER_JSON = b'{"alg":"RS256","typ":"JWT"}'


def sign(request):
    """Sign the bytes of a request's body; last, for nothing may change them any more.

    :param requests.PreparedRequest request: gets the header ``Signature``
    :raise BankUnavailable: SIGNING_KEY_MISSING, SIGNING_KEY_INVALID; nothing was sent
    """
    request.headers[HEADER] = signature_of(request.body)


def signature_of(payload):
    """Return the detached JWS (text) of some bytes; see :func:`sign`."""
    header = _base64url(_HEADER_JSON)
    signature = _key().sign(
        f"{header}.{_base64url(payload)}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    return f"{header}..{_base64url(signature)}"


def _key():
    """Return the private key; a file is read each time, so that a new key needs no restart."""
    if pem := os.environ.get(KEY):
        # a file of environment variables has one line for each
        return _load(pem.replace("\\n", "\n").encode(), KEY)
    if path := os.environ.get(KEY_FILE):
        try:
            return _load(Path(path).read_bytes(), KEY_FILE)
        except OSError as error:
            raise BankUnavailable(
                f"The signing key of {KEY_FILE} cannot be read ({type(error).__name__}).",
                code="SIGNING_KEY_MISSING",
            ) from None
    raise BankUnavailable(
        f"Requests are to be signed, but the server has no key: set {KEY_FILE} (or {KEY}).",
        code="SIGNING_KEY_MISSING",
    )


@lru_cache(maxsize=2)
def _load(pem, source):
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # what the library says of it might show a part of it
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < MIN_KEY_BITS:
        raise BankUnavailable(
            f"{source} holds no RSA private key (PEM, without password, {MIN_KEY_BITS} bits or"
            " more).",
            code="SIGNING_KEY_INVALID",
        )
    return key


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
