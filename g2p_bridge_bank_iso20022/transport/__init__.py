"""How files reach a bank and come from it: a folder, SFTP or HTTPS. No Odoo in here."""

from .files import REACHED, UNSEEN, UNSENT, FileTransport, RemoteFile
from .opening import open_transport
from .settings import FOLDER, HTTPS, SFTP, TransportSettings

__all__ = [
    "FOLDER",
    "HTTPS",
    "REACHED",
    "SFTP",
    "UNSEEN",
    "UNSENT",
    "FileTransport",
    "RemoteFile",
    "TransportSettings",
    "open_transport",
]
