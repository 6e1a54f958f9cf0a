"""The key that certificates are signed with (Ed25519): kept in a file, never in the database.

It comes from the environment, or is made at the first use in Odoo's data folder, readable to the
system's account alone.
"""

import base64
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

#: environment: the path of a PEM file, or the key itself (PEM, line ends as \\n)
KEY_FILE, KEY = "G2P_BRIDGE_CERTIFICATE_KEY_FILE", "G2P_BRIDGE_CERTIFICATE_KEY"


class KeyProblem(Exception):
    """The key cannot be used; the message is a sentence for an administrator, without a secret."""


class SigningKey:
    """A private key; only its public half can be read from it."""

    def __init__(self, private):
        self._private = private
        self._public = private.public_key()

    @property
    def raw_public(self):
        """The public key, 32 bytes."""
        return self._public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public_pem(self):
        """The public key as text (PEM)."""
        return self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def key_id(self):
        """The fingerprint: SHA-256 of the 32 bytes, hexadecimal."""
        return hashlib.sha256(self.raw_public).hexdigest()

    def sign(self, data):
        """Return what stands beside the signed data (dict of texts)."""
        return {
            "algorithm": "Ed25519",
            "key_id": self.key_id,
            "public_key": base64.b64encode(self.raw_public).decode(),
            "value": base64.b64encode(self._private.sign(data)).decode(),
        }


def is_in_environment():
    """Say whether an administrator keeps the key; then it is not made, and not changed, here."""
    return bool(os.environ.get(KEY) or os.environ.get(KEY_FILE))


def load(path):
    """Return the key of the environment, or that of the file, which is made where it lacks.

    :param path: file of the key that is made here
    :raise KeyProblem: there is one, and it cannot be read
    """
    if pem := os.environ.get(KEY):
        return _parsed(pem.replace("\\n", "\n").encode(), KEY)
    if chosen := os.environ.get(KEY_FILE):
        return _parsed(_read(chosen, KEY_FILE), KEY_FILE)
    path = Path(path)
    if not path.exists():
        _store_new(path, os.link)
    return _parsed(_read(path, path.name), path.name)


def replace(path):
    """Put a new key in the place of the old one, which is gone then.

    :raise KeyProblem: an administrator keeps the key in the environment
    """
    if is_in_environment():
        raise KeyProblem(f"The key is kept by {KEY_FILE} or {KEY}: change it there.")
    _store_new(Path(path), os.replace)


def _store_new(path, put_in_place):
    """Write a whole new key file first; of two servers that do so the first one's counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another server was first: its key is taken
            put_in_place(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read(path, name):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KeyProblem(
            f"The key for certificates ({name}) cannot be read ({type(error).__name__})."
        ) from None


def _parsed(pem, name):
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # what the library says of it might show a part of it
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyProblem(f"{name} holds no Ed25519 private key (PEM, without password).")
    return SigningKey(key)
