"""A program system written for OpenG2P's bridge: its header, its signature, its paths."""

import base64
import json
import uuid
from datetime import datetime, timezone

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PREFIX = "/g2p_bridge/openg2p/v1"
TIMEOUT_S = 120


class Partner:
    """A sender with a key pair of its own.

    :param url: of the server
    :param sender_id: as the bridge knows it, or does not
    """

    def __init__(self, url, sender_id):
        self.base_url = url + PREFIX
        self.sender_id = sender_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._session = requests.Session()

    @property
    def public_key(self):
        """The public key, PEM."""
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def body(self, name, message, **header):
        """Return the body of a call, as OpenG2P's clients build it."""
        count = len(message) if isinstance(message, list) else 1
        given = {
            "version": "1.0.0",
            "message_id": str(uuid.uuid4()),
            "message_ts": datetime.now(timezone.utc).replace(tzinfo=None).isoformat(),
            "action": name,
            "sender_id": self.sender_id,
            "sender_uri": "",
            "receiver_id": "g2p-bridge",
            "total_count": count,
            "is_msg_encrypted": False,
            "meta": "string",
        }
        return {"signature": "", "header": {**given, **header}, "message": message}

    def signature_of(self, payload, header=b'{"alg":"RS256","typ":"JWT"}'):
        """Return the detached JWS of some bytes."""
        head = _base64url(header)
        signed = f"{head}.{_base64url(payload)}".encode()
        return f"{head}..{_base64url(self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))}"

    def send(self, name, body):
        """Send a body as OpenG2P's clients do: the signature is of another writing of it."""
        signed = json.dumps(body, separators=(",", ":")).encode()
        return self.post(name, json.dumps(body), {"Signature": self.signature_of(signed)})

    def send_raw(self, name, text, key=None):
        """Send a text or bytes to the letter, signed as they are."""
        content = text if isinstance(text, bytes) else text.encode()
        return self.post(name, content, {"Signature": (key or self).signature_of(content)})

    def call(self, name, message, **header):
        """Send a message, and return its reply (dict)."""
        response = self.send(name, self.body(name, message, **header))
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, name, content, headers):
        """Send bytes or a text with headers, and return the response."""
        headers = {"Content-Type": "application/json", **headers}
        url = f"{self.base_url}/{name}"
        return self._session.post(url, data=content, headers=headers, timeout=TIMEOUT_S)


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
