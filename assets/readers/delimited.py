"""Delimited text.

Belongs here: splitting numbered lines at a delimiter, with and without quotes; finding the header and the trailer; a record
that goes on in the next line.
Does not belong here: decoding and numbering (``lines``), meaning of fields (``assets.records``).
"""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.header_names import joined_names
from assets.readers.lines import begins_with, ends_with_line_end, one_trailer, read_lines
from assets.readers.sheet import Sheet, UnreadableFile
from rate_tables.looked_up import looked_up
from validations.layout import AtPosition, ColumnRef, Delimited, TrailerRecord

_MOST_LINES_OF_A_RECORD = 50
_LONGEST_FIELD = 131_072
"""Python's own limit, held here too because any library can lift it for the whole process."""


@ibis.udf.scalar.builtin(name="regexp_extract_all", signature=(("string", "string", "int64"), "array<string>"))
def _extract_all(text: str, pattern: str, group: int) -> list[str]:  # type: ignore[empty-body]
    """DuckDB's regexp_extract_all."""


def _split_quoted(line: ir.StringValue, delimiter: str) -> ir.ArrayValue:
    """Fields of a line that holds quotes; null if they are not balanced. "" inside quotes is one quote."""
    d = re.escape(delimiter)
    field = f'"(?:[^"]|"")*"|[^"{d}]*'
    whole_line = f"^(?:{d}(?:{field}))+$"
    led = ibis.literal(delimiter) + line
    found = _extract_all(led, f"{d}({field})", 1)
    plain = found.map(lambda f: ibis.ifelse(f.startswith('"'), f.substr(1, f.length() - 2).replace('""', '"'), f))
    return ibis.ifelse(led.re_search(whole_line), plain, ibis.null("array<string>"))


def _fields_of(text: str, layout: Delimited) -> list[str] | None:
    """Fields of one record; None if its quotes are not balanced."""
    if layout.quotes == "none":
        return text.split(layout.delimiter)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 and all(len(field) <= _LONGEST_FIELD for field in rows[0]) else None


def _is_open(line: ir.StringValue) -> ir.BooleanValue:
    """Whether a line leaves a quote open."""
    return (line.length() - line.replace('"', "").length()) % 2 == 1


def _with_records_joined(lines: ir.Table, layout: Delimited, columns: int) -> ir.Table:
    """Lines where a record that goes on in the next ones stands whole at its first line.

    A line that leaves a quote open goes on to the next such line if both, with what is between them, are one record of as
    many fields as the header; if they are none, the quote is a stray one and costs its own line only.
    """
    opens = lines.filter(_is_open(lines.raw_text)).source_row.to_pyarrow().to_pylist()
    opens.sort()
    spans = [(a, b) for a, b in pairwise(opens) if b - a < _MOST_LINES_OF_A_RECORD]
    if not spans:
        return lines
    span = ibis.memtable(spans, schema={"first": "int64", "last": "int64"})
    near = lines.inner_join(span, [lines.source_row >= span["first"], lines.source_row <= span["last"]])
    texts = {
        row["source_row"]: row["raw_text"] for row in near.select("source_row", "raw_text").to_pyarrow().to_pylist()
    }
    whole: list[tuple[int, int, str]] = []
    for first, last in spans:
        if whole and first <= whole[-1][1]:
            continue
        text = "\n".join(texts[row] for row in range(first, last + 1))
        fields = _fields_of(text, layout)
        if fields is not None and (not columns or len(fields) == columns):
            whole.append((first, last, text))
    if not whole:
        return lines
    joined = ibis.memtable(
        [(first, text) for first, _, text in whole], schema={"source_row": "int64", "whole_text": "string"}
    )
    continued = ibis.memtable(
        [(row,) for first, last, _ in whole for row in range(first + 1, last + 1)], schema={"source_row": "int64"}
    )
    kept = looked_up(lines.anti_join(continued, "source_row"), joined, "source_row", "whole_text")
    return kept.select("source_row", raw_text=ibis.coalesce(kept.whole_text, kept.raw_text))


def _header(lines: ir.Table, layout: Delimited) -> list[str]:
    """Names of the columns; empty if the layout has none. UnreadableFile if they are not there."""
    if not layout.header_row:
        return []
    last = layout.header_row + layout.header_lines - 1
    rows = lines.filter(lines.source_row.between(layout.header_row, last)).order_by("source_row")
    texts = rows.raw_text.to_pyarrow().to_pylist()
    if len(texts) < layout.header_lines or not any(text.strip() for text in texts):
        raise UnreadableFile(f"line {layout.header_row} should hold the column names and is empty")
    parts = [_fields_of(text, layout) for text in texts]
    if any(part is None for part in parts):
        raise UnreadableFile(f"line {layout.header_row} does not hold column names that can be read")
    return joined_names([part or [] for part in parts], layout.header_repeats)


def _at(fields: list[str] | None, reference: ColumnRef) -> str:
    place = reference.position - 1 if isinstance(reference, AtPosition) else 0
    return fields[place].strip() if fields and place < len(fields) else ""


def read_delimited(
    con: Any, path: Path, layout: Delimited, scratch: Path, trailer: TrailerRecord | None = None
) -> Sheet:
    """A delimited file as a Sheet.

    UnreadableFile if it is empty, not text in the announced encoding, or lacks its header or the announced trailer.
    """
    lines = read_lines(con, path, layout.encoding, scratch)
    rows_in_file = int(lines.count().execute())
    if rows_in_file == 0:
        raise UnreadableFile("the file is empty")
    header = _header(lines, layout)
    stated = _fields_of(one_trailer(lines, trailer), layout) if trailer else None

    first_record = layout.header_row + layout.header_lines if layout.header_row else 1
    body = lines.filter(lines.source_row >= first_record)
    if layout.line_breaks_in_quotes and layout.quotes == "double":
        body = _with_records_joined(body, layout, len(header))
    others = (*layout.other_records, *([trailer.prefix] if trailer else []))
    # A line that begins after the blanks and control characters is not blank; to strip every line takes as long as to split it.
    is_blank = (body.raw_text < "!") & (body.raw_text.strip() == "")
    body = body.filter(~is_blank & ~begins_with(body.raw_text, others))
    plain = body.raw_text.split(layout.delimiter)
    if layout.quotes == "double":
        plain = ibis.ifelse(body.raw_text.contains('"'), _split_quoted(body.raw_text, layout.delimiter), plain)
    split = body.mutate(fields=plain)
    is_cut = ibis.literal(False)
    if layout.final_line_end == "required" and not ends_with_line_end(path, layout.encoding):
        is_cut = split.source_row == rows_in_file
    wrong_count = split.fields.length() != len(header) if header else ibis.literal(False)
    rows = split.mutate(
        problem=ibis.cases(
            (is_cut, "line_cut_off"),
            (~split.raw_text.startswith(layout.record_prefix), "record_kind_unknown"),
            (split.fields.isnull(), "stray_quote"),
            (wrong_count, "field_count"),
            else_=None,
        )
    )
    return Sheet(
        rows,
        header,
        rows_in_file,
        rows_in_file - int(body.count().execute()),
        _at(stated, trailer.count) if trailer else None,
        [_at(stated, trailer.total)] if trailer else None,
    )
