"""Files that are there whole or not at all, and outlast a loss of power.

Belongs here: a file put into its place, what is forced to disk. Does not belong here: what is in the files, folders that go in together
(``publication``, ``bill_files``), files that only grow (``log``).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to. What was written is on disk and in its place once the block ends; nothing of it if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        force_to_disk(beside)
        beside.rename(path)
        force_to_disk(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def force_to_disk(path: Path) -> None:
    """Return once the content of a finished file, or the names in a folder, would outlast a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
