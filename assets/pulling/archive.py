"""The archive: every content that ever came, under the SHA-256 of it; never changed, never removed.

Belongs here: where content lies, putting a finished file there.
Does not belong here: under which names content came (the ledger in ``deliveries``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from assets.durable import force_to_disk


@dataclass(frozen=True)
class Taken:
    """Content that lies in the archive."""

    content_hash: str
    bytes: int


def archived(archive: Path, content_hash: str) -> Path:
    """Where content is kept."""
    return archive / content_hash[:2] / content_hash


def content_hash_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_kept(archive: Path, content: Taken) -> bool:
    """Whether the archive has this content whole."""
    path = archived(archive, content.content_hash)
    return path.is_file() and path.stat().st_size == content.bytes


def keep(archive: Path, finished: Path, content: Taken) -> None:
    """Move a finished file into the archive."""
    force_to_disk(finished)
    kept = archived(archive, content.content_hash)
    kept.parent.mkdir(parents=True, exist_ok=True)
    finished.rename(kept)
