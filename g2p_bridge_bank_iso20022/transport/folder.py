"""A folder of this machine, which the bank's own software (or a share) empties and fills."""

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path

from odoo.addons.g2p_bridge.connectors.errors import BankUnavailable

from .files import FileTransport, Lost, NotThere, Refused, RemoteFile

#: environment of the server: below it, and nowhere else, folders of banks may lie
ROOT = "G2P_BRIDGE_BANK_FOLDERS"

#: with these the system says that it did nothing
_DEFINITE = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EXDEV,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)


class FolderTransport(FileTransport):
    """Files of a folder below the one that the server's environment names."""

    def __enter__(self):
        root = os.environ.get(ROOT)
        if not root:
            raise BankUnavailable(
                f"The server has no folder for files of banks: set {ROOT}.", code="NO_FOLDERS"
            )
        self._root = Path(root).resolve()
        return self

    def _place(self, path):
        """Return the real place of a file: its folder is followed, its name taken as it is.

        :raise Refused: it does not lie below the root
        """
        folder, _slash, name = path.rpartition("/")
        return self._folder(folder) / name

    def _folder(self, path):
        """Return the real place of a folder; links must not lead out of the root.

        :raise Refused: it does not lie below the root
        """
        real = (self._root / path.lstrip("/")).resolve()
        if ".." in Path(path).parts or not real.is_relative_to(self._root):
            raise Refused("FOLDER_OUTSIDE", "The folder does not lie below that of the server.")
        return real

    def _exists(self, path):
        with _told():
            return self._place(path).is_file()

    def _measure(self, path):
        with _told():
            status = self._status(path)
            return status.st_size, int(status.st_mtime)

    def _status(self, path):
        status = self._place(path).lstat()
        if not stat.S_ISREG(status.st_mode):
            raise NotThere
        return status

    def _write(self, path, content):
        with _told():
            target = self._place(path)
            target.unlink(missing_ok=True)
            # nobody else may have put a link there
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(target, flags, 0o660), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

    def _rename(self, path, target):
        with _told():
            source, goal = self._place(path), self._place(target)
            source.rename(goal)
            for folder in {source.parent, goal.parent}:
                _sync_folder(folder)

    def _remove(self, path):
        with _told():
            self._place(path).unlink()

    def _list(self, path):
        with _told(), os.scandir(self._folder(path)) as entries:
            return [
                RemoteFile(name=entry.name, size=status.st_size, modified=int(status.st_mtime))
                for entry in entries
                if entry.is_file(follow_symlinks=False)
                and (status := _status_or_none(entry)) is not None
            ]

    def _read(self, path, max_bytes):
        with _told():
            descriptor = os.open(self._place(path), os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(max_bytes + 1)

    def _make_folder(self, path):
        with _told():
            self._folder(path).mkdir(exist_ok=True)

    def _check_folder(self, path):
        with _told():
            place = self._folder(path)
            if not place.is_dir():
                raise NotThere
            if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
                raise Refused("PERMISSION", "It may not be written.")


def _status_or_none(entry):
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # moved meanwhile
        return None


def _sync_folder(folder):
    """Have a rename outlast a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # the name is there, but may be gone after a crash
        raise Lost("NOT_SYNCED", "The folder could not be written to its disk.") from error
    finally:
        os.close(descriptor)


@contextmanager
def _told():
    """Turn the system's errors into ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotThere from error
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, type(error).__name__)
        kind = Refused if error.errno in _DEFINITE else Lost
        raise kind(code, f"The folder cannot be used ({os.strerror(error.errno or 0)}).") from error
