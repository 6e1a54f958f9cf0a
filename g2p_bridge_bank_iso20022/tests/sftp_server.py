"""An SFTP server in a process of its own, on a folder, with faults that a file switches on.

``python sftp_server.py FOLDER KEYFILE PORTFILE USER``: makes its host key, lets in who has the
public key in ``KEYFILE`` (or the password of the environment), and serves the folder alone. The
file ``FOLDER.fault`` names the fault of the next operation that it is of:

``die_before_rename``, ``die_after_rename``
    the server ends, as if it was killed, at a rename
``cut_upload``
    the connection is cut in the middle of a write
``refuse_rename``, ``refuse_rename_done``
    the server answers a rename with a failure, and has done nothing, or all of it
``no_space``, ``no_permission``
    a write is refused
``silent``
    nothing is answered any more
"""

import asyncio
import os
import sys
from pathlib import Path

import asyncssh


class Files(asyncssh.SFTPServer):
    """The folder, and the fault that is on."""

    def __init__(self, chan):
        super().__init__(chan, chroot=ROOT.encode())
        self._connection = chan.get_connection()

    def _meets(self, *faults):
        if not FAULT.exists():
            return ""
        fault = FAULT.read_text().strip()
        if fault not in faults:
            return ""
        FAULT.unlink()
        return fault

    async def write(self, file_obj, offset, data):
        fault = self._meets("cut_upload", "no_space", "silent")
        if fault == "cut_upload":
            super().write(file_obj, offset, data[: len(data) // 2])
            self._connection.abort()
            raise asyncssh.SFTPConnectionLost("cut")
        if fault == "no_space":
            raise asyncssh.SFTPFailure("no space left on device")
        if fault == "silent":
            await asyncio.sleep(600)
        return super().write(file_obj, offset, data)

    def open(self, path, pflags, attrs):
        if pflags & asyncssh.FXF_WRITE and self._meets("no_permission"):
            raise asyncssh.SFTPPermissionDenied("no")
        return super().open(path, pflags, attrs)

    def posix_rename(self, oldpath, newpath):  # pylint: disable=missing-return  # it has none
        fault = self._meets(
            "die_before_rename", "die_after_rename", "refuse_rename", "refuse_rename_done"
        )
        if fault in ("die_before_rename", "refuse_rename"):
            _end(fault)
        super().posix_rename(oldpath, newpath)
        if fault:
            _end(fault)


def _end(fault):
    if fault.startswith("die"):
        os._exit(9)
    raise asyncssh.SFTPFailure("failure")


class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return bool(PASSWORD)

    def validate_password(self, username, password):
        return username == USER and password == PASSWORD


async def main(key_file, port_file):
    host_key_file = Path(f"{ROOT}.hostkey")
    if not host_key_file.exists():
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(host_key_file)
    server = await asyncssh.listen(
        "127.0.0.1",
        int(os.environ.get("SFTP_PORT", "0")),
        server_factory=Server,
        server_host_keys=[str(host_key_file)],
        authorized_client_keys=key_file,
        sftp_factory=Files,
        allow_scp=False,
    )
    host_key = asyncssh.read_private_key(host_key_file).export_public_key().decode().strip()
    port = server.sockets[0].getsockname()[1]
    temporary = Path(f"{port_file}.new")
    temporary.write_text(f"{port}\n{host_key}\n")
    temporary.rename(port_file)
    await server.wait_closed()


if __name__ == "__main__":
    ROOT, KEY_FILE, PORT_FILE, USER = sys.argv[1:5]
    PASSWORD = os.environ.get("SFTP_PASSWORD", "")
    FAULT = Path(f"{ROOT}.fault")
    asyncio.run(main(KEY_FILE, PORT_FILE))
