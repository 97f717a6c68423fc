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
from assets.readers.lines import Lines, begins_with, ends_with_line_end, is_blank, one_trailer, read_lines
from assets.readers.sheet import Sheet, UnreadableFile
from validations.layout import AtPosition, ColumnRef, Delimited, TrailerRecord

_MOST_LINES_OF_A_RECORD = 50
_LONGEST_FIELD = 131_072
"""Python's own limit, held here too because any library can lift it for the whole process."""
_COVERED = "\x1f"
"""Stands for a delimiter inside quotes while a line is split."""
_IS_OPEN = """contains(raw_text, '"') AND (strlen(raw_text) - strlen(replace(raw_text, '"', ''))) % 2 = 1"""
"""SQL: whether a line leaves a quote open."""


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
    # Where no quote stands for itself, every second part between quotes is a field: four times as quick.
    covered = line.split('"').map(lambda part, n: ibis.ifelse(n % 2 == 1, part.replace(delimiter, _COVERED), part))
    simple = covered.join("").split(delimiter)
    simple = simple.map(lambda f: ibis.ifelse(f.contains(_COVERED), f.replace(_COVERED, delimiter), f))
    fields = ibis.ifelse(line.contains('""') | line.contains(_COVERED), plain, simple)
    return ibis.ifelse(led.re_search(whole_line), fields, ibis.null("array<string>"))


def _fields_of(text: str, layout: Delimited) -> list[str] | None:
    """Fields of one record; None if its quotes are not balanced."""
    if layout.quotes == "none":
        return text.split(layout.delimiter)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 and all(len(field) <= _LONGEST_FIELD for field in rows[0]) else None


def _with_records_joined(lines: Lines, layout: Delimited, columns: int) -> Lines:
    """Lines where a record that goes on in the next ones stands whole at its first line.

    A line that leaves a quote open goes on to the next such line if both, with what is between them, are one record of as
    many fields as the header; if they are none, the quote is a stray one and costs its own line only.
    """
    first_record = layout.header_row + layout.header_lines if layout.header_row else 1
    opens = [*lines.texts(f"source_row >= {first_record} AND {_IS_OPEN}")]
    spans = [(a, b) for a, b in pairwise(opens) if b - a < _MOST_LINES_OF_A_RECORD]
    if not spans:
        return lines
    within = sorted({row for first, last in spans for row in range(first, last + 1)})
    texts = lines.texts("source_row IN (SELECT unnest($1))", within)
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
    return lines.replaced(
        {first: text for first, _, text in whole},
        {row for first, last, _ in whole for row in range(first + 1, last + 1)},
    )


def _header(lines: Lines, layout: Delimited) -> list[str]:
    """Names of the columns; empty if the layout has none. UnreadableFile if they are not there."""
    if not layout.header_row:
        return []
    last = layout.header_row + layout.header_lines - 1
    texts = [*lines.texts("source_row BETWEEN $1 AND $2", layout.header_row, last).values()]
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
    if lines.count == 0:
        raise UnreadableFile("the file is empty")
    header = _header(lines, layout)
    stated = _fields_of(one_trailer(lines, trailer), layout) if trailer else None
    if layout.line_breaks_in_quotes and layout.quotes == "double":
        lines = _with_records_joined(lines, layout, len(header))
    cut_off = None
    if layout.final_line_end == "required" and not ends_with_line_end(path, layout.encoding):
        cut_off = lines.count
    told = (layout, trailer and trailer.prefix, len(header), cut_off)
    return Sheet(
        lines.table,
        lambda table: _rows(table, layout, trailer, len(header), cut_off),
        told,
        header,
        lines.count,
        lines.blanks,
        _at(stated, trailer.count) if trailer else None,
        [_at(stated, trailer.total)] if trailer else None,
    )


def _rows(
    lines: ir.Table, layout: Delimited, trailer: TrailerRecord | None, columns: int, cut_off: int | None
) -> ir.Table:
    """Records of the lines, split. ``columns``: how many the header has, 0 without one; ``cut_off``: the line that has no end."""
    first_record = layout.header_row + layout.header_lines if layout.header_row else 1
    body = lines.filter(lines.source_row >= first_record)
    others = (*layout.other_records, *([trailer.prefix] if trailer else []))
    body = body.filter(~is_blank(body.raw_text) & ~begins_with(body.raw_text, others))
    plain = body.raw_text.split(layout.delimiter)
    if layout.quotes == "double":
        plain = ibis.ifelse(body.raw_text.contains('"'), _split_quoted(body.raw_text, layout.delimiter), plain)
    split = body.mutate(fields=plain)
    is_cut = ibis.literal(False) if cut_off is None else split.source_row == cut_off
    wrong_count = split.fields.length() != columns if columns else ibis.literal(False)
    return split.mutate(
        problem=ibis.cases(
            (is_cut, "line_cut_off"),
            (~split.raw_text.startswith(layout.record_prefix), "record_kind_unknown"),
            (split.fields.isnull(), "stray_quote"),
            (wrong_count, "field_count"),
            else_=None,
        )
    )
