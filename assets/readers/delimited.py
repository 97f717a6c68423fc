"""Delimited text.

Belongs here: splitting numbered lines at a delimiter, with and without quotes; finding the header.
Does not belong here: decoding and numbering (``lines``), meaning of fields (``assets.consumption``).
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.lines import read_lines
from assets.readers.sheet import Sheet, UnreadableFile
from validations.district import Delimited


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


def read_delimited(con: Any, path: Path, layout: Delimited, scratch: Path) -> Sheet:
    """A delimited file as a Sheet. UnreadableFile if it is empty or not text in the announced encoding."""
    lines = read_lines(con, path, layout.encoding, scratch)
    rows_in_file = int(lines.count().execute())
    if rows_in_file == 0:
        raise UnreadableFile("the file is empty")
    header: list[str] = []
    if layout.header_row:
        text = lines.filter(lines.source_row == layout.header_row).raw_text.to_pyarrow().to_pylist()
        if not text or not text[0].strip():
            raise UnreadableFile(f"line {layout.header_row} should hold the column names and is empty")
        try:
            header = [name.strip() for name in next(csv.reader([text[0]], delimiter=layout.delimiter))]
        except csv.Error:
            raise UnreadableFile(f"line {layout.header_row} does not hold column names that can be read") from None

    body = lines.filter((lines.source_row > layout.header_row) & (lines.raw_text.strip() != ""))
    has_quote = body.raw_text.contains('"')
    split = body.mutate(
        fields=ibis.ifelse(
            has_quote, _split_quoted(body.raw_text, layout.delimiter), body.raw_text.split(layout.delimiter)
        )
    )
    wrong_count = split.fields.length() != len(header) if header else ibis.literal(False)
    rows = split.mutate(
        problem=ibis.cases((split.fields.isnull(), "stray_quote"), (wrong_count, "field_count"), else_=None)
    )
    return Sheet(rows, header, rows_in_file, rows_in_file - int(body.count().execute()))
