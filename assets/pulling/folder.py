"""A folder of this computer, a network share included.

Belongs here: listing and reading it without being led out of it.
Does not belong here: which folder a district may have (``validations.workspace``).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assets.pulling.archive import content_hash_of
from assets.pulling.location import CHUNK_BYTES, Found, NotTaken


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_dev}:{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}"


class FolderLocation:
    """Files directly in a folder. ``within``: folders that it, and every link in it, must stay in."""

    def __init__(self, folder: Path, within: list[Path]) -> None:
        self._folder = folder
        self._within = [parent.resolve() for parent in within]

    def found(self) -> list[Found]:
        root = self._folder.resolve()
        if not any(root.is_relative_to(parent) for parent in self._within):
            raise NotTaken(
                "the district's folder is a link that leads out of the workspace; nothing is read from there"
            )
        try:
            with os.scandir(root) as entries:
                return [file for entry in entries if (file := self._file(entry, root))]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise NotTaken(f"the district's folder cannot be read ({error.strerror})", "not_pulled") from None

    def _file(self, entry: os.DirEntry[str], root: Path) -> Found | None:
        try:
            path = Path(entry.path).resolve(strict=True)
            facts = path.stat()
        except (OSError, RuntimeError):
            return self._not_taken(entry, "it is a link that leads nowhere") if entry.is_symlink() else None
        if not path.is_relative_to(root):
            return self._not_taken(entry, "it is a link that leads out of the district's folder")
        if stat.S_ISDIR(facts.st_mode):
            return None
        if not stat.S_ISREG(facts.st_mode):
            return self._not_taken(entry, "it is no ordinary file")
        age = time.time() - facts.st_mtime
        return Found(entry.name, os.fsencode(path), facts.st_size, _stamp(facts), age if age >= 0 else None)

    @staticmethod
    def _not_taken(entry: os.DirEntry[str], reason: str) -> Found:
        return Found(entry.name, b"", 0, "", not_taken=NotTaken(f"{reason}; it is not read"))

    def opened(self, file: Found, start: int) -> tuple[int, Iterator[bytes]]:
        def chunks() -> Iterator[bytes]:
            with _as_found(file) as descriptor:
                os.lseek(descriptor, start, os.SEEK_SET)
                while chunk := os.read(descriptor, CHUNK_BYTES):
                    yield chunk

        return start, chunks()

    def is_unchanged(self, file: Found) -> bool:
        try:
            return _stamp(os.stat(file.address)) == file.stamp
        except OSError:
            return False

    def hash_of(self, file: Found) -> str | None:
        with _as_found(file):
            return content_hash_of(Path(os.fsdecode(file.address)))

    def close(self) -> None:
        pass


@contextmanager
def _as_found(file: Found) -> Iterator[int]:
    """The file opened, if it is still the one that was found: not a link or a pipe put in its place."""
    try:
        descriptor = os.open(file.address, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotTaken(f"it cannot be read ({error.strerror})", "not_pulled") from None
    try:
        if _stamp(os.fstat(descriptor)) != file.stamp:
            raise NotTaken("still being written; run again", "still_being_written")
        yield descriptor
    finally:
        os.close(descriptor)
