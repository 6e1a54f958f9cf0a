"""Signatures of webhooks as Standard Webhooks 1.0 has them: HMAC-SHA256, symmetric (``v1``)."""

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
#: bytes that a secret may have
SHORTEST, LONGEST = 24, 64
_NEW = 32


def new_secret():
    """Return a new random secret, in the form in which it is handed over."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_NEW)).decode()


def key_of(secret):
    """Return the key (bytes) that a secret stands for.

    :raise ValueError: it is no secret of Standard Webhooks; the text says nothing of it
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"not {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64") from None
    return key


def is_secret(secret):
    """Say whether :func:`key_of` takes a text."""
    try:
        return bool(key_of(secret))
    except ValueError:
        return False


def signed_headers(message_id, body, keys, sent_at):
    """Return the headers that make a body a webhook.

    :param str message_id: the same at each attempt
    :param bytes body: as it leaves
    :param keys: one, or two while a secret is being replaced: each gets a signature
    :param int sent_at: seconds since 1970, of this attempt
    """
    content = f"{message_id}.{sent_at}.".encode() + body
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(digest).decode()}" for digest in digests
        ),
    }
