"""What a file is by its first bytes, whatever its name says.

Belongs here: telling workbooks, archives and documents from text. Does not belong here: reading them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

_WORKBOOK = "a workbook"
_MOST_DIRECTORY_BYTES = 4_000_000
_BEGINNINGS = {
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls or .doc)",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a compressed file (.gz)",
    b"7z\xbc\xaf": "a compressed file (.7z)",
    b"Rar!": "a compressed file (.rar)",
    b"PAR1": "a Parquet file",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"{\\rtf": "a text document (.rtf)",
}


def other_than_text(path: Path) -> str | None:
    """What the file is, in words, if it is a known kind of file other than plain text; else None."""
    with path.open("rb") as file:
        first = file.read(16)
    if first.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    return next((words for beginning, words in _BEGINNINGS.items() if first.startswith(beginning)), None)


def is_workbook(kind: str | None) -> bool:
    """Whether a file of this kind may be opened as a workbook."""
    return kind in (_WORKBOOK, _BEGINNINGS[b"\xd0\xcf\x11\xe0"])


def _kind_of_zip(path: Path) -> str:
    if _directory_bytes(path) > _MOST_DIRECTORY_BYTES:
        return "a zip archive"
    try:
        with zipfile.ZipFile(path) as parts:
            names = set(parts.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError):
        return "a damaged workbook or zip archive"
    known = "xl/workbook.xml" in names or "xl/workbook.bin" in names or {"mimetype", "content.xml"} <= names
    return _WORKBOOK if known else "a zip archive"


def _directory_bytes(path: Path) -> int:
    """Size of the zip's list of parts as its last record states it: whoever opens the zip reads all of it."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 66_000), 2)
        last = file.read()
    at = last.rfind(b"PK\x05\x06")
    return int.from_bytes(last[at + 12 : at + 16], "little") if at >= 0 else 0
