"""Detached JWS signatures of what comes in, as OpenG2P's services make them.

The header ``Signature`` holds ``base64url(header)..base64url(signature)``: RS256, over
``base64url(header).base64url(content)``.
"""

import base64
import binascii
import hashlib
import json
import re
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

#: RFC 7518, 3.3; above the second one a check costs too much
MIN_KEY_BITS, MAX_KEY_BITS = 2048, 8192
_DETACHED = re.compile(r"([A-Za-z0-9_-]{1,4096})\.\.([A-Za-z0-9_-]{1,2048})", re.ASCII)


class KeyProblem(ValueError):
    """A text is no public key that is taken.

    :ivar code: ``private`` or ``none``
    """

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def read_key(pem):
    """Return (the key in its one usual writing, its SHA-256 in hexadecimal digits).

    :param str pem: RSA public key, PEM
    :raise KeyProblem: it is something else
    """
    if "PRIVATE KEY" in pem:
        raise KeyProblem("private")
    key = _load(pem)
    if key is None:
        raise KeyProblem("none")
    whole = PublicFormat.SubjectPublicKeyInfo
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, whole)).hexdigest()
    return key.public_bytes(Encoding.PEM, whole).decode(), digest


def is_signed(signature, contents, pem):
    """Say whether the key signed one of the contents.

    :param str signature: value of the header, whatever it is
    :param contents: functions that return the bytes; those that are cheap first
    :param str pem: RSA public key
    """
    parts = _DETACHED.fullmatch(signature or "")
    key = _load(pem)
    if not parts or not key:
        return False
    header, signed = parts[1], _decoded(parts[2])
    if not _is_rs256(_decoded(header)) or signed is None:
        return False
    return any(_fits(key, signed, header, content()) for content in contents)


def _fits(key, signed, header, content):
    encoded = base64.urlsafe_b64encode(content).rstrip(b"=")
    try:
        key.verify(signed, header.encode() + b"." + encoded, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _is_rs256(header):
    try:
        values = json.loads(header)
    except (TypeError, ValueError, RecursionError):
        return False
    # RFC 7515, 4.1.11: who does not understand what is marked so must refuse
    return isinstance(values, dict) and values.get("alg") == "RS256" and "crit" not in values


def _decoded(text):
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=64)
def _load(pem):
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    is_good = isinstance(key, rsa.RSAPublicKey) and MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS
    return key if is_good else None
