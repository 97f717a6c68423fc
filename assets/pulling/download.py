"""Bringing one file over, in as many attempts as it takes.

Belongs here: going on where a broken transfer ended, the size limit, whether what came is whole.
Does not belong here: how a kind of source gives its content.

An unfinished file lies beside the archive under a name made of source, name, size and stamp: if the file has changed at its
source, that name differs and the transfer begins anew.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import IO, Any

from assets.pulling.archive import Taken, keep
from assets.pulling.location import CHUNK_BYTES, Found, Location, NotTaken, PassingFault, Patience
from assets.pulling.names import size_in_words

_KEPT_DAYS = 30
STILL_WRITTEN = "still being written; run again"


def too_large(count: int | None, limit_mb: int) -> NotTaken:
    """The refusal of a file of that size; None if it is only known to be more than the limit."""
    size = f"has {size_in_words(count)}" if count is not None else f"has more than {limit_mb:,} MB"
    return NotTaken(f"{size}, and largest_file_mb allows {limit_mb:,} MB; it is not read")


def part_path(parts: Path, source: str, file: Found) -> Path:
    """Where the unfinished file lies. Those of an earlier state of it are removed, and those that nobody went on with."""
    of_name = hashlib.sha256(repr((source, file.address)).encode()).hexdigest()[:24]
    of_state = hashlib.sha256(repr((file.bytes, file.stamp)).encode()).hexdigest()[:24]
    part = parts / f"{of_name}.{of_state}.part"
    parts.mkdir(parents=True, exist_ok=True)
    for other in os.scandir(parts):
        forgotten = time.time() - other.stat().st_mtime > _KEPT_DAYS * 86_400
        if other.name != part.name and (forgotten or other.name.startswith(f"{of_name}.")):
            os.unlink(other)
    return part


def fetch(location: Location, file: Found, part: Path, archive: Path, limit_mb: int, patience: Patience) -> Taken:
    """The file in the archive. NotTaken if it cannot be had; what came of it stays in ``part`` if it can be gone on with."""
    expected, faults = location.hash_of(file), 0
    while True:
        before = _size(part)
        try:
            content = _continued(location, file, part, limit_mb, patience)
            if expected is None or content.content_hash == expected:
                if not location.is_unchanged(file):
                    raise NotTaken(STILL_WRITTEN, "still_being_written")
                keep(archive, part, content)
                return content
            part.unlink()
            if before == 0:
                raise NotTaken(
                    f"its SHA-256 is {content.content_hash[:16]}..., announced was {expected[:16]}...; it is not read"
                )
        except PassingFault as fault:
            faults = 1 if _size(part) > before else faults + 1
            patience.wait_after(fault, faults)
        except NotTaken as reason:
            if reason.status != "not_pulled":
                part.unlink(missing_ok=True)
            raise
        except OSError as error:
            part.unlink(missing_ok=True)
            raise NotTaken(f"it cannot be kept here ({error.strerror})", "not_pulled") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continued(location: Location, file: Found, part: Path, limit_mb: int, patience: Patience) -> Taken:
    with part.open("ab+") as target:
        wanted = target.seek(0, os.SEEK_END)
        if wanted and wanted == file.bytes:
            begins, chunks = wanted, None
        else:
            begins, chunks = location.opened(file, wanted)
        if begins != wanted:
            target.truncate(0)
        digest, count = _digest_so_far(target)
        for chunk in chunks or ():
            patience.seconds_left()
            count += len(chunk)
            if count > limit_mb * 1_000_000:
                raise too_large(None, limit_mb)
            if file.bytes is not None and count > file.bytes:
                raise NotTaken(STILL_WRITTEN, "still_being_written")
            digest.update(chunk)
            target.write(chunk)
    if file.bytes is not None and count < file.bytes:
        if not location.is_unchanged(file):
            raise NotTaken(STILL_WRITTEN, "still_being_written")
        raise PassingFault(f"only {size_in_words(count)} of {size_in_words(file.bytes)} came")
    return Taken(digest.hexdigest(), count)


def _digest_so_far(target: IO[bytes]) -> tuple[Any, int]:
    digest, count = hashlib.sha256(), 0
    target.seek(0)
    while chunk := target.read(CHUNK_BYTES):
        digest.update(chunk)
        count += len(chunk)
    return digest, count
