"""Files of an SFTP server whose host key is known beforehand."""

import asyncio
import contextlib
import stat

import asyncssh

from odoo.addons.g2p_bridge.connectors.errors import BankUnavailable

from .files import MAX_ENTRIES, FileTransport, Lost, NotThere, Refused, RemoteFile

#: a transfer slower than this (bytes a second) is given up
SLOWEST = 20_000

#: answers of the server that leave open whether it did anything
_NO_ANSWER = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.SFTPBadMessage)
_NOT_THERE = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


class SftpTransport(FileTransport):
    """One connection for as long as the ``with`` block lasts; every step of it has an end."""

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._connection = self._files = None
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_error):
        self._close()

    def _open(self):
        """Connect, without asking anything of this machine: no agent, no configuration, no trust.

        :raise BankUnavailable: nothing was sent
        """
        options = self._options()
        try:
            self._files = self._wait(self._connect(options), sum(self.settings.timeout_s))
        except asyncssh.HostKeyNotVerifiable as error:
            raise BankUnavailable(
                "The server shows another host key than the bank's form has: nothing was sent."
                " Ask the bank whether it has a new one.",
                code="HOST_KEY",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise BankUnavailable(
                "The server refuses user, key or password.", code="SFTP_LOGIN"
            ) from error
        except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
            code = type(error).__name__
            raise BankUnavailable(f"It could not be reached ({code}).", code=code) from error

    async def _connect(self, options):
        settings = self.settings
        self._connection = await asyncssh.connect(
            settings.host,
            settings.port,
            options=options,
            config=None,
        )
        return await self._connection.start_sftp_client()

    def _options(self):
        """Return the options of the connection.

        :raise BankUnavailable: a key on the form cannot be read
        """
        settings = self.settings
        if not settings.host_key:
            raise BankUnavailable("The bank's form has no host key.", code="HOST_KEY_MISSING")
        try:
            host_key = asyncssh.import_public_key(settings.host_key)
            keys = (
                [asyncssh.import_private_key(settings.private_key)] if settings.private_key else []
            )
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
            # what the library says might show a part of the key
            raise BankUnavailable(
                "Host key or private key on the bank's form cannot be read.", code="SFTP_KEY"
            ) from None
        return asyncssh.SSHClientConnectionOptions(
            config=None,
            username=settings.user,
            password=settings.password or None,
            client_keys=keys or None,
            known_hosts=([host_key], [], []),
            agent_path=None,
            preferred_auth="publickey,password,keyboard-interactive",
            connect_timeout=settings.timeout_s[0],
            login_timeout=settings.timeout_s[1],
            keepalive_interval=settings.timeout_s[1],
            keepalive_count_max=1,
        )

    def _close(self):
        if self._connection is not None:
            self._connection.abort()  # what had to arrive has arrived
        self._loop.run_until_complete(_end_all())
        self._loop.close()

    def _wait(self, coroutine, seconds):
        return self._loop.run_until_complete(self._limited(coroutine, seconds))

    async def _limited(self, coroutine, seconds):
        """Run a step; one that takes longer is left to its fate, and the connection ended.

        To cancel it and wait would not do: closing a file waits for an answer as well.
        """
        task = asyncio.ensure_future(coroutine)
        done, _pending = await asyncio.wait({task}, timeout=seconds)
        if not done:
            if self._connection is not None:
                self._connection.abort()
            task.cancel()
            raise asyncio.TimeoutError
        return task.result()

    def _ask(self, coroutine, size=0):
        """Run one step, and say by its kind of error what is known of it."""
        connect_s, read_s = self.settings.timeout_s
        try:
            return self._wait(coroutine, connect_s + 2 * read_s + size / SLOWEST)
        except _NOT_THERE as error:
            raise NotThere from error
        except asyncio.TimeoutError as error:
            raise Lost("TOTAL_TIMEOUT", "The server did not answer in time.") from error
        except _NO_ANSWER as error:
            raise Lost(type(error).__name__, "The connection was lost.") from error
        except asyncssh.SFTPError as error:
            code = type(error).__name__
            raise Refused(code, f"The server refused it ({code}).") from error
        except (OSError, asyncssh.Error) as error:
            code = type(error).__name__
            raise Lost(code, f"The connection was lost ({code}).") from error

    def _exists(self, path):
        try:
            self._measure(path)
        except NotThere:
            return False
        return True

    def _measure(self, path):
        attributes = self._ask(self._files.stat(path))
        if attributes.size is None:
            raise Refused("NO_SIZE", "The server does not say how long a file is.")
        return attributes.size, int(attributes.mtime or 0)

    def _write(self, path, content):
        self._ask(self._put(path, content), len(content))

    async def _put(self, path, content):
        with contextlib.suppress(*_NOT_THERE):
            # what an attempt before is still writing goes into a file of its own
            await self._files.remove(path)
        async with self._files.open(path, "wb") as file:
            await file.write(content)
            with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()

    def _rename(self, path, target):
        self._ask(self._move(path, target))

    async def _move(self, path, target):
        try:
            await self._files.posix_rename(path, target)
        except asyncssh.SFTPOpUnsupported:
            await self._files.rename(path, target)

    def _remove(self, path):
        self._ask(self._files.remove(path))

    def _list(self, path):
        return self._ask(self._entries(path))

    async def _entries(self, path):
        found = []
        async for entry in self._files.scandir(path):
            attributes = entry.attrs
            if attributes.permissions is not None and not stat.S_ISREG(attributes.permissions):
                continue
            if len(found) >= MAX_ENTRIES:
                raise Refused(
                    "TOO_MANY_FILES",
                    f"More than {MAX_ENTRIES} files lie in the folder: have the old ones removed.",
                )
            found.append(
                RemoteFile(
                    name=str(entry.filename),
                    size=attributes.size or 0,
                    modified=int(attributes.mtime or 0),
                )
            )
        return found

    def _read(self, path, max_bytes):
        return self._ask(self._get(path, max_bytes), max_bytes)

    async def _get(self, path, max_bytes):
        async with self._files.open(path, "rb") as file:
            return await file.read(max_bytes + 1)

    def _make_folder(self, path):
        if self._is_folder(path):
            return
        try:
            self._ask(self._files.mkdir(path))
        except Refused:
            # servers say "failure" of a folder that another connection has just made
            if not self._is_folder(path):
                raise

    def _check_folder(self, path):
        if not self._is_folder(path):
            raise NotThere

    def _is_folder(self, path):
        try:
            attributes = self._ask(self._files.stat(path))
        except NotThere:
            return False
        return attributes.permissions is None or stat.S_ISDIR(attributes.permissions)


async def _end_all():
    """Cancel what still runs on the loop, and wait for it a moment at most."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=2)
