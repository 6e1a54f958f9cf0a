"""JWS signatures of requests as OpenG2P's services send them (header ``Signature``)."""

import base64
import binascii
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def load(pem):
    """Return the public key in a PEM file's bytes.

    :raise ValueError: it holds no RSA public key
    """
    key = load_pem_public_key(pem)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("no RSA public key")
    return key


def is_valid(key, signature, body):
    """Whether a detached JWS (text, or None) is the key owner's signature of a body (bytes)."""
    header, _, rest = (signature or "").partition(".")
    payload, _, signed = rest.partition(".")
    try:
        if payload or json.loads(_decode(header)).get("alg") != "RS256":
            return False
        text = f"{header}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}"
        key.verify(_decode(signed), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError, AttributeError):
        return False
    return True


def _decode(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
