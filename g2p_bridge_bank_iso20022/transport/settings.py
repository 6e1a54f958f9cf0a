"""What a transport has to know, as frozen values."""

from dataclasses import dataclass, field

FOLDER = "folder"
SFTP = "sftp"
HTTPS = "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Where files go to and come from; empty where the transport has no use for it."""

    kind: str  # FOLDER, SFTP or HTTPS
    out_path: str = ""  # where payment files are laid down
    in_path: str = ""  # where the bank lays down its own
    taken_path: str = ""  # where the bank puts payment files that it has taken
    archive_folder: str = "archive"  # below in_path: files that were read
    error_folder: str = "error"  # below in_path: files that could not be
    host: str = ""
    port: int = 22
    user: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)  # OpenSSH or PEM, without passphrase
    host_key: str = ""  # the server's own: ``ssh-ed25519 AAAA...``
    post_url: str = ""
    fetch_url: str = ""
    secret: str = field(default="", repr=False)  # bearer token, HTTPS only
    refuses_repeats: bool = False  # the bank knows a repeated message by its id
    timeout_s: tuple[float, float] = (10, 30)
