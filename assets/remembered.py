"""What a run remembers for the next one, to save itself work: a small file of JSON that is believed only if it is byte for byte what was written.

Belongs here: writing and reading it back. Does not belong here: what is remembered, and of what it is true. Losing such a file costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.durable import whole_file


def remember(path: Path, what: Mapping[str, Any]) -> None:
    """Write ``what`` so that it outlasts a loss of power."""
    with whole_file(path) as beside:
        beside.write_text(as_remembered(what), encoding="utf-8")


def as_remembered(what: Mapping[str, Any]) -> str:
    """The text of such a file: the hash of what follows, then that."""
    text = json.dumps(what)
    return f"{_digest(text)}\n{text}"


def recalled(path: Path) -> dict[str, Any]:
    """What was remembered there; nothing if the file is not there or not as it was written."""
    try:
        digest, text = path.read_text(encoding="utf-8").split("\n", 1)
        return dict(json.loads(text)) if digest == _digest(text) else {}
    except (OSError, ValueError):
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
