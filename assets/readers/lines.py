"""Text files as numbered lines.

Belongs here: decoding and numbering lines, what a line begins with. Does not belong here: splitting a line into fields.

A file is read as one text column and its lines are numbered as they come, blank ones too; so one damaged line costs only
itself, and a row number is the number an editor shows. (A typed CSV read lets one stray quote swallow the rest of the file.)
"""

from __future__ import annotations

import codecs
import io
import uuid
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from assets.kept import named_table
from assets.literal_path import literal
from assets.readers.blanks import blanks_in
from assets.readers.sheet import UnreadableFile
from validations.layout import TrailerRecord

NEVER_IN_TEXT = "\x01\x1e\x02\x1f"
"""A separator that no district's text holds, so that a line stays whole."""

_CHUNK_BYTES = 1 << 20
_LINES = "lines_of_a_file_"
_SCHEMA = ibis.schema({"source_row": "int64", "raw_text": "string"})


@dataclass(frozen=True)
class Lines:
    """A text file's lines, in a temporary table.

    ``table``: one row per line: source_row (from 1), raw_text (empty for a blank line). ``count``: how many.
    ``blanks``: the blanks and control characters that stand anywhere in them.
    """

    table: ir.Table
    count: int
    blanks: frozenset[str]

    def texts(self, condition: str, *values: object) -> dict[int, str]:
        """Number and text of the lines that meet a condition (SQL, with $1 and so on for ``values``), in order."""
        con: Any = self.table.op().source
        sql = f'SELECT source_row, raw_text FROM "{self.table.get_name()}" WHERE {condition} ORDER BY source_row'  # noqa: S608 - ours
        return dict(con.con.execute(sql, list(values)).fetchall())

    def replaced(self, texts: dict[int, str], without: set[int]) -> Lines:
        """The same lines where some have another text, which goes on over several, and those ``without`` are left out."""
        con: Any = self.table.op().source
        name = f"{_LINES}{uuid.uuid4().hex}"
        con.con.execute(
            f"""CREATE TEMP TABLE "{name}" AS
            SELECT source_row, coalesce(whole_text, raw_text) AS raw_text
            FROM "{self.table.get_name()}"
            LEFT JOIN (SELECT unnest($1) AS source_row, unnest($2) AS whole_text) USING (source_row)
            WHERE source_row NOT IN (SELECT unnest($3))""",  # noqa: S608 - names of ours
            [[*texts], [*texts.values()], [*without]],
        )
        con.drop_table(self.table.get_name())
        return Lines(named_table(con, name, _SCHEMA), self.count, self.blanks | {"\n"})


def _scanned(path: Path) -> tuple[bool, set[str]]:
    """Whether DuckDB reads every line of the UTF-8 file whole: one kind of line end throughout, and not the separator. And its blanks.

    Without a word it drops a line between mixed ends and what follows the separator, and adds blank lines where a first line
    feed is followed by carriage returns.
    """
    returns = feeds = pairs = 0
    tail = b""
    blanks = set[str]()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            if NEVER_IN_TEXT.encode() in tail + chunk:
                return False, blanks
            blanks |= blanks_in(chunk)
            feeds += chunk.count(b"\n")
            pairs += tail.endswith(b"\r") and chunk.startswith(b"\n")
            if b"\r" in chunk:
                returns += chunk.count(b"\r")
                pairs += chunk.count(b"\r\n")
            tail = chunk[-len(NEVER_IN_TEXT) :]
    return returns == 0 or returns == pairs == feeds, blanks


def _as_safe_utf8(path: Path, encoding: str, scratch: Path) -> tuple[Path, set[str]]:
    """``path`` itself if it is UTF-8 that can be read as it is, else a copy in ``scratch``. And its blanks.

    In the copy every line ends in a line feed, and the separator's first character is replaced by another control character.
    """
    if encoding == "utf-8":
        is_safe, blanks = _scanned(path)
        if is_safe:
            return path, blanks
    blanks = set()
    scratch.mkdir(parents=True, exist_ok=True)
    copy = scratch / f"{uuid.uuid4().hex}.txt"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            for chunk in chain(iter(partial(source.read, _CHUNK_BYTES), b""), [b""]):
                text = decoder.decode(chunk, final=not chunk).replace(NEVER_IN_TEXT[0], NEVER_IN_TEXT[2]).encode()
                blanks |= blanks_in(text)
                target.write(text)
    except UnicodeError:  # A missing byte order mark in UTF-16 is a plain UnicodeError.
        copy.unlink(missing_ok=True)
        raise UnreadableFile(f"the file is not text in the announced encoding {encoding}") from None
    return copy, blanks


def forget_lines(con: Any) -> None:
    """Free the lines of every file that was read: a district's are needed until its tables are written, and no longer."""
    found = con.raw_sql("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    for (name,) in found:
        if name.startswith(_LINES):
            con.drop_table(name, force=True)


def read_lines(con: Any, path: Path, encoding: str, scratch: Path) -> Lines:
    """The file's lines, read once. UnreadableFile if the file is not text in ``encoding``."""
    text, blanks = _as_safe_utf8(path, encoding, scratch)
    name = f"{_LINES}{uuid.uuid4().hex}"
    try:
        ((count,),) = con.con.execute(
            f"""CREATE TEMP TABLE "{name}" AS
            SELECT row_number() OVER () AS source_row, coalesce(raw_text, '') AS raw_text
            FROM read_csv(
                $1, columns = {{'raw_text': 'VARCHAR'}}, delim = '{NEVER_IN_TEXT}', quote = '', escape = '', header = false,
                auto_detect = false, strict_mode = false, max_line_size = 2_000_000
            )""",  # noqa: S608 - names of ours
            [literal(text)],
        ).fetchall()
        return Lines(named_table(con, name, _SCHEMA), count, frozenset(blanks - {"\r", "\n"}))
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


def is_blank(text: ir.StringValue) -> ir.BooleanValue:
    """Whether a line holds nothing but blanks."""
    # One that begins with a character above the space is none, and need not be stripped.
    return ibis.ifelse(text >= "!", False, text.strip() == "")  # type: ignore[no-any-return]


def one_trailer(lines: Lines, trailer: TrailerRecord) -> str:
    """The line that states the file's totals. UnreadableFile if there is not just one."""
    texts = [*lines.texts("starts_with(raw_text, $1)", trailer.prefix).values()]
    if len(texts) != 1:
        raise UnreadableFile(
            f"the file should end with one trailer record ({trailer.prefix}...) and has {len(texts)}; is it cut off?"
        )
    return texts[0]
