"""Fixed-width text.

Belongs here: cutting numbered lines at fixed characters, telling records from the trailer.
Does not belong here: decoding and numbering (``lines``), meaning of fields (``assets.consumption``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis

from assets.readers.lines import read_lines
from assets.readers.sheet import Sheet, UnreadableFile
from validations.district import AtCharacters, ColumnRef, FixedWidth, TrailerRecord


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
    rows_in_file = int(lines.count().execute())
    if rows_in_file == 0:
        raise UnreadableFile("the file is empty")
    is_blank = lines.raw_text.strip() == ""
    is_trailer = lines.raw_text.startswith(trailer.prefix) if trailer else ibis.literal(False)

    control_records = control_quantity = None
    if trailer:
        texts = lines.filter(is_trailer).raw_text.to_pyarrow().to_pylist()
        if len(texts) != 1:
            raise UnreadableFile(
                f"the file should end with one trailer record ({trailer.prefix}...) and has {len(texts)}; is it cut off?"
            )
        control_records = _cut(texts[0], trailer.count)
        control_quantity = [_cut(texts[0], trailer.total)]

    body = lines.filter(~is_blank & ~is_trailer)
    named = {field: ref for field, ref in columns.items() if isinstance(ref, AtCharacters)}
    rows = body.mutate(
        fields=ibis.array([body.raw_text.substr(ref.start - 1, ref.width) for ref in named.values()]),
        problem=ibis.cases(
            (~body.raw_text.startswith(layout.record_prefix), "record_kind_unknown"),
            (body.raw_text.length() != layout.record_length, "record_length"),
            else_=None,
        ),
    )
    layout_rows = rows_in_file - int(body.count().execute())
    return Sheet(rows, list(named), rows_in_file, layout_rows, control_records, control_quantity)


def _cut(text: str, at: AtCharacters) -> str:
    return text[at.start - 1 : at.start - 1 + at.width].strip()
