"""Text files as numbered lines.

Belongs here: decoding and numbering lines, what a line begins with. Does not belong here: splitting a line into fields.

A file is read as one text column and its lines are numbered as they come, blank ones too; so one damaged line costs only
itself, and a row number is the number an editor shows. (A typed CSV read lets one stray quote swallow the rest of the file.)
"""

from __future__ import annotations

import codecs
import io
import uuid
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from assets.literal_path import literal
from assets.readers.sheet import UnreadableFile
from validations.layout import TrailerRecord

NEVER_IN_TEXT = "\x01\x1e\x02\x1f"
"""A separator that no district's text holds, so that a line stays whole."""

_CHUNK_BYTES = 1 << 20
_LINES = "lines_of_a_file_"


def _is_safe(path: Path) -> bool:
    """Whether DuckDB reads every line of the UTF-8 file whole: one kind of line end throughout, and not the separator.

    Without a word it drops a line between mixed ends and what follows the separator, and adds blank lines where a first line
    feed is followed by carriage returns.
    """
    returns = feeds = pairs = 0
    tail = b""
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            if NEVER_IN_TEXT.encode() in tail + chunk:
                return False
            feeds += chunk.count(b"\n")
            pairs += tail.endswith(b"\r") and chunk.startswith(b"\n")
            if b"\r" in chunk:
                returns += chunk.count(b"\r")
                pairs += chunk.count(b"\r\n")
            tail = chunk[-len(NEVER_IN_TEXT) :]
    return returns == 0 or returns == pairs == feeds


def _as_safe_utf8(path: Path, encoding: str, scratch: Path) -> Path:
    """``path`` itself if it is UTF-8 that can be read as it is, else a copy in ``scratch``.

    In the copy every line ends in a line feed, and the separator's first character is replaced by another control character.
    """
    if encoding == "utf-8" and _is_safe(path):
        return path
    scratch.mkdir(parents=True, exist_ok=True)
    copy = scratch / f"{uuid.uuid4().hex}.txt"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    try:
        with path.open("rb") as source, copy.open("w", encoding="utf-8", newline="") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(decoder.decode(chunk).replace(NEVER_IN_TEXT[0], NEVER_IN_TEXT[2]))
            target.write(decoder.decode(b"", final=True).replace(NEVER_IN_TEXT[0], NEVER_IN_TEXT[2]))
    except UnicodeError:  # A missing byte order mark in UTF-16 is a plain UnicodeError.
        copy.unlink(missing_ok=True)
        raise UnreadableFile(f"the file is not text in the announced encoding {encoding}") from None
    return copy


def forget_lines(con: Any) -> None:
    """Free the lines of every file that was read: a district's are needed until its tables are written, and no longer."""
    found = con.raw_sql("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    for (name,) in found:
        if name.startswith(_LINES):
            con.drop_table(name, force=True)


def read_lines(con: Any, path: Path, encoding: str, scratch: Path) -> ir.Table:
    """One row per line of the file: source_row (from 1), raw_text (empty for a blank line).

    The lines are read once, into a temporary table. UnreadableFile if the file is not text in ``encoding``.
    """
    text = _as_safe_utf8(path, encoding, scratch)
    try:
        lines = con.read_csv(
            literal(text), columns={"raw_text": "VARCHAR"}, delim=NEVER_IN_TEXT, quote="", escape="", header=False,
            auto_detect=False, strict_mode=False, max_line_size=2_000_000,
        )  # fmt: skip
        numbered = lines.select(source_row=ibis.row_number() + 1, raw_text=lines.raw_text.fill_null(""))
        return con.create_table(f"{_LINES}{uuid.uuid4().hex}", numbered, temp=True)
    except duckdb.Error as error:
        what = str(error).lower()
        if "utf-8" in what or "unicode" in what:
            raise UnreadableFile(f"the file is not text in the announced encoding {encoding}") from None
        if "line size" in what or "maximum_line_size" in what or "max_line_size" in what:
            raise UnreadableFile("a line is longer than 2,000,000 characters; is this the announced layout?") from None
        raise UnreadableFile("the file cannot be read as lines of text; is this the announced layout?") from None
    finally:
        if text != path:
            text.unlink(missing_ok=True)


def ends_with_line_end(path: Path, encoding: str) -> bool:
    """Whether the file's last line has a line end."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2, 0))
        last = file.read()
    if encoding == "utf-16":
        return last in (b"\n\0", b"\0\n", b"\r\0", b"\0\r")
    return last[-1:] in (b"\n", b"\r")


def begins_with(text: ir.StringValue, prefixes: tuple[str, ...]) -> ir.BooleanValue:
    """Whether a line begins with one of ``prefixes``."""
    found = ibis.literal(False)
    for prefix in prefixes:
        found = found | text.startswith(prefix)
    return found


def one_trailer(lines: ir.Table, trailer: TrailerRecord) -> str:
    """The line that states the file's totals. UnreadableFile if there is not just one."""
    texts = lines.filter(lines.raw_text.startswith(trailer.prefix)).raw_text.to_pyarrow().to_pylist()
    if len(texts) != 1:
        raise UnreadableFile(
            f"the file should end with one trailer record ({trailer.prefix}...) and has {len(texts)}; is it cut off?"
        )
    return str(texts[0])
