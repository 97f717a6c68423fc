"""An SFTP server.

Belongs here: logging in to the server whose key is pinned, listing a folder, reading from any byte on.
Does not belong here: which keys an entry may have (``validations.source``).

Nothing of the computer's own SSH set-up is used: no configuration, no agent, no known hosts, no keys.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from assets.pulling.credentials import secret
from assets.pulling.location import Found, NotTaken, PassingFault, Patience
from validations.source import Sftp, filled_in

_READ_BYTES = 1 << 20

T = TypeVar("T")


def _private_key(source: Sftp) -> asyncssh.SSHKey:
    variable = str(source.private_key_variable)
    text = secret(variable, "private_key_variable")
    passphrase = secret(source.passphrase_variable, "passphrase_variable") if source.passphrase_variable else None
    try:
        if "-----BEGIN" not in text:
            text = Path(text).read_text(encoding="ascii")
        return asyncssh.import_private_key(text, passphrase)
    except (OSError, ValueError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise NotTaken(
            f"the environment variable {variable} holds neither a private key nor the path of one that can be read and, if it "
            "is encrypted, opened with the passphrase"
        ) from None


class _OneServer(asyncssh.SSHClient):
    """Trusts the pinned keys alone, and notes the key that a server showed if it is none of them."""

    def __init__(self, shown_keys: list[str]) -> None:
        self._shown_keys = shown_keys

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._shown_keys.append(key.get_fingerprint())
        return False


class SftpLocation:
    """Files directly in a folder of the server. ``known_hosts``: the text of the entry's file, if it names one."""

    def __init__(
        self, source: Sftp, billing_year: int, district_id: str, known_hosts: str | None, patience: Patience
    ) -> None:
        self._source = source
        self._folder = filled_in(source.path, billing_year, district_id).encode("utf-8", "surrogateescape")
        self._patience = patience
        try:
            keys = [asyncssh.import_public_key(key) for key in source.host_keys]
            self._trusted: Any = asyncssh.import_known_hosts(known_hosts) if known_hosts is not None else (keys, [], [])
        except (ValueError, asyncssh.KeyImportError):
            raise NotTaken("source.host_keys or source.known_hosts of the district's entry cannot be read") from None
        self._login: dict[str, Any] = (
            {"password": secret(source.password_variable, "password_variable"), "client_keys": None}
            if source.password_variable
            else {"client_keys": [_private_key(source)], "password": None}
        )
        self._shown_keys: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result, or a sentence. After a fault the next call connects anew."""
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, self._patience.timeout()))
        except asyncssh.HostKeyNotVerifiable:
            raise NotTaken(
                f"the server {self._source.host} shows a host key that is not the pinned one ({', '.join(self._shown_keys)}); "
                "nothing was sent to it, ask the district whether its key has changed"
            ) from None
        except asyncssh.KeyExchangeFailed:
            raise NotTaken(
                f"the server {self._source.host} has no host key of a pinned kind, or no safe way of encrypting"
            ) from None
        except asyncssh.PermissionDenied:
            raise NotTaken(f"the server {self._source.host} refused the login of {self._source.user}") from None
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise NotTaken("it is not there", "not_pulled", gone=True) from None
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNotADirectory):
            raise NotTaken("the server does not let it be read", "not_pulled") from None
        except (TimeoutError, OSError, asyncssh.Error) as error:
            self._disconnect()
            raise PassingFault(f"the connection to {self._source.host} failed ({type(error).__name__})") from None

    async def _sftp(self) -> asyncssh.SFTPClient:
        if self._client is None:
            self._shown_keys.clear()
            self._connection = await asyncssh.connect(
                self._source.host, self._source.port, username=self._source.user, known_hosts=self._trusted, config=None,
                agent_path=None, gss_host=None, x509_trusted_certs=None, keepalive_interval=15, client_factory=partial(_OneServer, self._shown_keys),
                **self._login,
            )  # fmt: skip
            self._client = await self._connection.start_sftp_client()
        return self._client

    def found(self) -> list[Found]:
        async def listed() -> list[tuple[bytes, asyncssh.SFTPAttrs]]:
            client = await self._sftp()
            files = []
            async for one in client.scandir(self._folder):
                name, attrs = one.filename, one.attrs
                path = self._folder.rstrip(b"/") + b"/" + _octets(name)
                if attrs.permissions is not None and stat.S_ISLNK(attrs.permissions):
                    try:
                        attrs = await client.stat(path)
                    except asyncssh.SFTPError:
                        continue
                files.append((_octets(name), attrs))
            return files

        try:
            files = self._run(listed())
        except NotTaken as reason:
            if reason.gone:
                return []
            raise
        return [self._found(name, attrs) for name, attrs in files if _is_file(attrs)]

    def _found(self, name: bytes, attrs: asyncssh.SFTPAttrs) -> Found:
        age = time.time() - attrs.mtime if attrs.mtime is not None else None
        path = self._folder.rstrip(b"/") + b"/" + name
        return Found(os.fsdecode(name), path, attrs.size, _stamp(attrs), age)

    def opened(self, file: Found, start: int) -> tuple[int, Iterator[bytes]]:
        async def handle() -> asyncssh.SFTPClientFile:
            return await (await self._sftp()).open(_octets(file.address), "rb", encoding=None)

        remote = self._run(handle())

        def chunks() -> Iterator[bytes]:
            position = start
            try:
                while chunk := _octets(self._run(remote.read(_READ_BYTES, position))):
                    position += len(chunk)
                    yield chunk
            finally:
                if self._client is not None:
                    self._loop.run_until_complete(asyncio.wait({self._loop.create_task(remote.close())}, timeout=5))

        return start, chunks()

    def is_unchanged(self, file: Found) -> bool:
        async def attributes() -> asyncssh.SFTPAttrs:
            return await (await self._sftp()).stat(_octets(file.address))

        try:
            return _stamp(self._run(attributes())) == file.stamp
        except NotTaken:
            return False

    def hash_of(self, file: Found) -> str | None:
        return None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._client = None

    def close(self) -> None:
        self._disconnect()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        if pending:
            self._loop.run_until_complete(asyncio.wait(pending, timeout=5))
        self._loop.close()


def _octets(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else os.fsencode(text)


def _is_file(attrs: asyncssh.SFTPAttrs) -> bool:
    if attrs.permissions is not None and stat.S_IFMT(attrs.permissions):
        return stat.S_ISREG(attrs.permissions)
    return attrs.type in (asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_UNKNOWN)


def _stamp(attrs: asyncssh.SFTPAttrs) -> str:
    return f"{attrs.size}:{attrs.mtime}:{attrs.mtime_ns or 0}"
