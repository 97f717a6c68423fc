"""A delivered zip: its members as files of the delivery.

Belongs here: what makes a zip one that is not unpacked, unpacking it whole or not at all.
Does not belong here: which members belong to the delivery (the district's ``zip_members``).

What a zip says of itself is not believed: bytes are counted as they come out, and a member's name is never part of a path.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import shutil
import stat
import uuid
import zipfile
from pathlib import Path

from assets.pulling.archive import Taken, keep
from assets.pulling.location import CHUNK_BYTES, NotTaken
from assets.pulling.names import LONGEST_NAME, belongs, shown_name

MOST_MEMBERS = 1_000
MOST_TIMES_LARGER = 200
_ALWAYS_ALLOWED_BYTES = 1_000_000
_LARGEST_DIRECTORY = 4_000_000


class _Measured(io.FileIO):
    """A file of which no part is read that would hold a directory of absurd size in memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _LARGEST_DIRECTORY:
            raise NotTaken(f"the zip has more than {MOST_MEMBERS:,} members; it is not unpacked")
        return super().read(size) or b""


def unpacked(zip_path: Path, pattern: str, archive: Path, limit_mb: int) -> dict[str, Taken]:
    """Shown name -> content of each member that belongs to the delivery, now in the archive. NotTaken if any is unsafe."""
    scratch = archive / f".{uuid.uuid4().hex}.tmp"
    scratch.mkdir(parents=True)
    try:
        with _Measured(zip_path) as file, zipfile.ZipFile(file) as opened:
            wanted = _safe_members(opened, pattern)
            files = _written(opened, wanted, scratch, limit_mb, zip_path.stat().st_size)
        for path, content in files.values():
            keep(archive, path, content)
        return {name: content for name, (_, content) in files.items()}
    except NotTaken:
        raise
    except OSError as error:
        if error.errno is not None:
            raise NotTaken(f"the zip cannot be unpacked here ({error.strerror})", "not_pulled") from None
        raise NotTaken("the zip is damaged; it is not unpacked") from None
    except NotImplementedError:
        raise NotTaken("the zip is packed in a way that is not read; it is not unpacked") from None
    except Exception:  # A damaged zip can break zipfile anywhere.
        raise NotTaken("the zip is damaged; it is not unpacked") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _safe_members(opened: zipfile.ZipFile, pattern: str) -> list[zipfile.ZipInfo]:
    members = opened.infolist()
    if len(members) > MOST_MEMBERS:
        raise NotTaken(f"the zip has {len(members):,} members, {MOST_MEMBERS:,} are allowed; it is not unpacked")
    seen: set[str] = set()
    for member in members:
        name = shown_name(member.filename)
        parts = member.filename.replace("\\", "/").split("/")
        if parts[0] == "" or ".." in parts or parts[0][1:2] == ":" or "\0" in member.orig_filename:
            raise NotTaken(f"the zip has a member {name} whose path leads out of it; it is not unpacked")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise NotTaken(f"the zip has a member {name} that is a link or no file; it is not unpacked")
        if member.filename in seen:
            raise NotTaken(f"the zip has two members {name}; it is not unpacked")
        seen.add(member.filename)
        if member.flag_bits & 1:
            raise NotTaken(f"the zip's member {name} is encrypted; it is not unpacked, ask for it without a password")
    wanted = [m for m in members if not m.is_dir() and _belongs(m.filename, pattern)]
    for member in wanted:
        if member.filename.lower().endswith((".zip", ".7z", ".gz", ".rar")):
            raise NotTaken(f"the zip has a packed file {shown_name(member.filename)} in it; it is not unpacked")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotTaken("the zip is packed in a way that is not read; it is not unpacked, ask for an ordinary zip")
    if not wanted:
        raise NotTaken(f"none of the zip's {len(members):,} members is {pattern}; nothing is read from it")
    return wanted


def _belongs(name: str, pattern: str) -> bool:
    base = name.rsplit("/", 1)[-1]
    return belongs(base, "*") and (fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(base, pattern))


def _written(
    opened: zipfile.ZipFile, wanted: list[zipfile.ZipInfo], scratch: Path, limit_mb: int, packed_bytes: int
) -> dict[str, tuple[Path, Taken]]:
    most = min(limit_mb * 1_000_000, max(MOST_TIMES_LARGER * packed_bytes, _ALWAYS_ALLOWED_BYTES))
    files: dict[str, tuple[Path, Taken]] = {}
    total = 0
    for number, member in enumerate(wanted):
        path = scratch / str(number)
        digest, count = hashlib.sha256(), 0
        with opened.open(member) as source, path.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                count, total = count + len(chunk), total + len(chunk)
                if total > most:
                    raise NotTaken(_too_much(most, limit_mb))
                digest.update(chunk)
                target.write(chunk)
        if count != member.file_size:
            raise NotTaken("the zip is damaged; it is not unpacked")
        files[shown_member(member.filename)] = path, Taken(digest.hexdigest(), count)
    return files


def _too_much(most: int, limit_mb: int) -> str:
    if most == limit_mb * 1_000_000:
        return f"the zip unpacks to more than the {limit_mb:,} MB that largest_file_mb allows; it is not unpacked"
    return f"the zip unpacks to more than {MOST_TIMES_LARGER} times its size; it is not unpacked"


def shown_member(name: str) -> str:
    """A member's path within the zip, shown safely, its folders still parted by slashes."""
    shown = "/".join(shown_name(part) for part in name.split("/"))
    return shown if len(shown) <= 2 * LONGEST_NAME else shown_name(name)
