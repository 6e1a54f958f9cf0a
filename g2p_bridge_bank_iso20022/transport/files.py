"""Files laid down under their final name in one step: what folders and SFTP have in common.

A payment file is written under a temporary name, which banks do not take, and then renamed. So up
to the rename nothing has reached the bank, and after it everything has.
"""

import posixpath
import re
from dataclasses import dataclass

from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)

#: what became of a payment file
REACHED = "reached"  # it lies where the bank takes it, or has taken it
UNSENT = "unsent"  # it never got its final name, nor will it
UNSEEN = "unseen"  # it lies nowhere that we can see

#: files of a folder; with more than that nothing is fetched, for none may be overlooked
MAX_ENTRIES = 20_000
_UNFINISHED = re.compile(r"^\.|\.(tmp|temp|part|partial|filepart|crdownload)$|~$", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f/]")
MAX_NAME = 255


class NotThere(Exception):
    """There is no such file or folder."""


class Refused(Exception):
    """The other side said no, and did nothing.

    :param str code: machine-readable; :param str message: sentence without private data
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Lost(Refused):
    """No answer: it may have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file that the bank has laid down."""

    name: str
    size: int  # bytes
    modified: int  # seconds since the epoch, by the clock of whoever keeps the files

    @property
    def stamp(self):
        """A text that changes when the file does."""
        return f"{self.size}:{self.modified}"


def is_finished(name):
    """Say whether a name is one under which whole files lie."""
    return (
        bool(name)
        and len(name) <= MAX_NAME
        and not (_UNFINISHED.search(name) or _CONTROL.search(name))
    )


class FileTransport:
    """The steps, on top of what a kind of storage can do; a context manager.

    A kind gives ``_exists``, ``_measure`` (bytes and time as in :class:`RemoteFile`), ``_write``,
    ``_rename``, ``_remove``, ``_list``, ``_read``, ``_make_folder``, ``_check_folder`` (each raises
    :class:`NotThere`, :class:`Refused`, :class:`Lost`).
    """

    #: a file can be looked for after it was sent
    can_look = True

    def __init__(self, settings):
        self.settings = settings

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    # -- out ------------------------------------------------------------------------------------

    def send(self, name, content):
        """Lay a payment file down for the bank; one that is there already is left as it is.

        :raise BankUnavailable: it surely does not lie under its name
        :raise BankOutcomeUnknown: perhaps it does
        """
        temporary = self._temporary(name)
        try:
            if self._is_there(name):
                return
            self._write(temporary, content)
            if self._size(temporary) != len(content):
                raise Refused("SHORT_FILE", "The file did not arrive whole.")
        except (NotThere, Refused) as error:
            raise _unavailable(error) from error
        try:
            self._rename(temporary, self._out(name))
        except Lost as error:
            raise _unknown(error) from error
        except (NotThere, Refused) as error:
            self._judge_failed_rename(name, error)

    def _judge_failed_rename(self, name, error):
        """Go on where a refused rename was done all the same; else say what is known of it."""
        try:
            found = self._find(name)
        except (NotThere, Refused):
            found = UNSEEN
        if found == UNSENT:
            raise _unavailable(error) from error
        if found == UNSEEN:
            raise _unknown(error) from error

    def find(self, name):
        """Say what became of a payment file: REACHED, UNSENT or UNSEEN.

        What was still on its way to its name is taken away first: it can never get there after.

        :raise BankUnavailable: nobody answers
        """
        try:
            return self._find(name)
        except (NotThere, Refused) as error:
            raise _unavailable(error) from error

    def _find(self, name):
        if self._is_there(name):
            return REACHED
        try:
            self._remove(self._temporary(name))
        except NotThere:
            # it may have got its name in between
            return REACHED if self._is_there(name) else UNSEEN
        return UNSENT

    def _is_there(self, name):
        taken = self.settings.taken_path
        return self._exists(self._out(name)) or (
            bool(taken) and self._exists(self._join(taken, name))
        )

    def _size(self, path):
        size, _modified = self._measure(path)
        return size

    def _out(self, name):
        return self._join(self.settings.out_path, name)

    def _temporary(self, name):
        return self._join(self.settings.out_path, f".{name}.part")

    # -- in -------------------------------------------------------------------------------------

    def list_new(self):
        """Return the bank's files (list of RemoteFile), all of them, the oldest first.

        :raise BankUnavailable: nobody answers, the folder is not there, or holds too many
        """
        try:
            found = [each for each in self._list(self.settings.in_path) if is_finished(each.name)]
        except (NotThere, Refused) as error:
            raise _unavailable(error) from error
        return sorted(found, key=lambda file: (file.modified, file.name))

    def fetch(self, file, max_bytes):
        """Return a file's bytes, or None where it changed or went away since it was listed.

        :raise BankUnavailable: nobody answers, or it may not be read
        :raise BankRejected: it is longer than ``max_bytes``
        """
        if file.size > max_bytes:
            raise BankRejected(f"It is longer than {max_bytes} bytes.", code="FILE_TOO_LONG")
        path = self._join(self.settings.in_path, file.name)
        try:
            content = self._read(path, max_bytes)
            is_same = len(content) == file.size == self._size(path)
        except NotThere:
            return None
        except Refused as error:
            raise _unavailable(error) from error
        return content if is_same else None

    def tidy(self, file, folder, new_name):
        """Move a file that was read out of the way; one that is gone, or was replaced, is left.

        :param str folder: below ``in_path``
        :param str new_name: under which it is kept there
        :raise BankUnavailable: nobody answers, or it may not be moved
        """
        path = self._join(self.settings.in_path, file.name)
        target = self._join(self.settings.in_path, folder)
        try:
            size, modified = self._measure(path)
            # not all servers tell the time
            is_later = modified and file.modified and modified != file.modified
            if size != file.size or is_later:
                return
            self._make_folder(target)
            self._rename(path, self._join(target, new_name))
        except NotThere:
            return
        except Refused as error:
            raise _unavailable(error) from error

    # -- test -----------------------------------------------------------------------------------

    def check(self):
        """Look whether the folders are there; changes nothing.

        :raise BankUnavailable: nobody answers
        :raise BankRejected: one of them is not there, or may not be used
        """
        for path in (self.settings.out_path, self.settings.in_path, self.settings.taken_path):
            if not path:
                continue
            try:
                self._check_folder(path)
            except Lost as error:
                raise _unavailable(error) from error
            except (NotThere, Refused) as error:
                raise BankRejected(f"The folder {path} cannot be used.", code="FOLDER") from error

    def _join(self, *parts):
        return posixpath.join(*parts)


def _unavailable(error):
    if isinstance(error, NotThere):
        return BankUnavailable("The folder is not there.", code="NO_SUCH_FOLDER")
    return BankUnavailable(str(error), code=error.code)


def _unknown(error):
    if isinstance(error, NotThere):
        return BankOutcomeUnknown(
            "The file went away before it had its name.", code="FILE_WENT_AWAY"
        )
    return BankOutcomeUnknown(str(error), code=error.code)
