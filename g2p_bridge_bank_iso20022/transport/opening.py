"""Settings -> the transport that they ask for."""

from odoo.addons.g2p_bridge.connectors.errors import BankUnavailable

from .folder import FolderTransport
from .https import HttpsTransport
from .settings import FOLDER, HTTPS, SFTP
from .sftp import SftpTransport

_KINDS = {FOLDER: FolderTransport, SFTP: SftpTransport, HTTPS: HttpsTransport}


def open_transport(settings):
    """Return the transport, to be used in a ``with`` block.

    :param TransportSettings settings: of the bank
    :raise BankUnavailable: the bank's form says nothing of how its files travel
    """
    kind = _KINDS.get(settings.kind)
    if kind is None:
        raise BankUnavailable("The bank's form has no way for files.", code="NO_TRANSPORT")
    return kind(settings)
