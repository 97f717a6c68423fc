"""Fixed-width text.

Belongs here: cutting numbered lines at fixed characters, telling records from the trailer.
Does not belong here: decoding and numbering (``lines``), meaning of fields (``assets.records``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.lines import begins_with, is_blank, one_trailer, read_lines
from assets.readers.sheet import Sheet, UnreadableFile
from validations.layout import AtCharacters, ColumnRef, FixedWidth, TrailerRecord


def read_fixed_width(
    con: Any,
    path: Path,
    layout: FixedWidth,
    columns: dict[str, ColumnRef],
    trailer: TrailerRecord | None,
    scratch: Path,
) -> Sheet:
    """A fixed-width file as a Sheet whose header is the entry's own field names.

    UnreadableFile if it is empty, not text in the announced encoding, or lacks the announced trailer.
    """
    lines = read_lines(con, path, layout.encoding, scratch)
    if lines.count == 0:
        raise UnreadableFile("the file is empty")
    stated = one_trailer(lines, trailer) if trailer else ""
    named = {field: ref for field, ref in columns.items() if isinstance(ref, AtCharacters)}
    return Sheet(
        lines.table,
        lambda table: _rows(table, layout, trailer, [*named.values()]),
        (layout, trailer and trailer.prefix, [*named.items()]),
        list(named),
        lines.count,
        lines.blanks,
        _cut(stated, trailer.count) if trailer else None,
        [_cut(stated, trailer.total)] if trailer else None,
    )


def _rows(lines: ir.Table, layout: FixedWidth, trailer: TrailerRecord | None, columns: list[AtCharacters]) -> ir.Table:
    """Records of the lines, cut."""
    others = (*layout.other_records, *([trailer.prefix] if trailer else []))
    body = lines.filter(~is_blank(lines.raw_text) & ~begins_with(lines.raw_text, others))
    return body.mutate(
        fields=ibis.array([body.raw_text.substr(ref.start - 1, ref.width) for ref in columns]),
        problem=ibis.cases(
            (~body.raw_text.startswith(layout.record_prefix), "record_kind_unknown"),
            (body.raw_text.length() != layout.record_length, "record_length"),
            else_=None,
        ),
    )


def _cut(text: str, at: ColumnRef) -> str:
    return text[at.start - 1 : at.start - 1 + at.width].strip() if isinstance(at, AtCharacters) else ""
