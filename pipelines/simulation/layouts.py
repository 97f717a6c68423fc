"""Kinds of files: writing columns of text as the layout in a registry entry says.

Belongs here: one writer per kind of layout; headers, headings, trailers; where a column has its place.
Does not belong here: what a delivery holds (``records``, ``delivery``).
"""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import xlsxwriter

from pipelines.simulation.lines import (
    Field,
    Notation,
    encoded,
    number_in,
    number_text,
    quoted,
    whole_file,
    write_lines,
)
from pipelines.simulation.refusal import cannot
from validations.layout import (
    AtCharacters,
    AtPosition,
    ColumnRef,
    Delimited,
    FixedWidth,
    Layout,
    TrailerRecord,
    Workbook,
)

_WORKBOOK_MADE = dt.datetime(2000, 1, 1)
_MOST_SHEET_ROWS = 1_048_576


@dataclass
class Column:
    """A column that has not its place yet: the entry's name for it, where the entry finds it, and its texts.

    ``kind``: text; a number, which a spreadsheet holds as one and a fixed field fills with zeros; or a quantity, which is in
    the totals too.
    """

    name: str
    reference: ColumnRef
    content: Field
    kind: Literal["text", "number", "quantity"] = "text"


@dataclass
class Content:
    """What one file holds.

    ``shown``: the entry's file, for errors; ``title``: lines that stand above a header; ``decimals``: of its quantities;
    ``misstated_by``: by how much the totals that it states are above what it holds.
    """

    shown: str
    title: list[str]
    columns: list[Column]
    notation: Notation
    decimals: int
    trailer: TrailerRecord | None = None
    begins_with_mark: bool = False
    misstated_by: int = 0

    @property
    def count(self) -> int:
        return len(self.columns[0].content.codes)

    def total(self, columns: list[Column]) -> int:
        """Sum of what can be read in columns, in whole numbers of 10^-decimals."""
        total = 0
        for column in columns:
            values = [number_in(label, self.notation) or 0 for label in column.content.labels]
            times = np.bincount(column.content.codes, minlength=len(values))
            total += sum(value * int(n) for value, n in zip(values, times, strict=True))
        return total

    @property
    def stated(self) -> int:
        """The total that a trailer states."""
        return self.total(self.quantities) + self.misstated_by

    @property
    def quantities(self) -> list[Column]:
        return [column for column in self.columns if column.kind == "quantity"]


def write_file(path: Path, layout: Layout, content: Content) -> None:
    """Write a file in its layout. ConfigError if the layout has no room for what is simulated."""
    try:
        match layout:
            case Delimited():
                _write_delimited(path, layout, content)
            case FixedWidth():
                _write_fixed_width(path, layout, content)
            case Workbook():
                _write_workbook(path, layout, content)
    except UnicodeEncodeError as error:
        raise cannot(
            content.shown,
            "layout.encoding",
            f"{error.encoding!r} has no way to write {error.object[error.start : error.end]!r}; allowed here: 'utf-8'.",
        ) from None


def _arranged(content: Content, first: list[Column]) -> list[tuple[str, Column]]:
    """Header and column in the order of the file: ``first``, columns by position where the entry says, the others around."""
    placed: dict[int, tuple[str, Column]] = {}
    by_name = [(str(column.reference), column) for column in first]
    for column in content.columns:
        if isinstance(column.reference, AtPosition):
            placed[column.reference.position] = (column.name.replace("_", " ").title(), column)
            if column.reference.position <= len(first):
                raise cannot(
                    content.shown,
                    f"columns.{column.name}.position",
                    f"{column.reference.position} is the place of record_prefix; allowed: from {len(first) + 1}.",
                )
        else:
            by_name.append((str(column.reference), column))
    nothing = Field([""], np.zeros(content.count, dtype=np.int64))
    columns: list[tuple[str, Column]] = []
    while placed or by_name:
        place = len(columns) + 1
        if place in placed:
            columns.append(placed.pop(place))
        elif by_name:
            columns.append(by_name.pop(0))
        else:
            columns.append((f"Unused {place}", Column("", f"Unused {place}", nothing)))
    return columns


def _header(names: list[str], layout: Delimited | Workbook, shown: str) -> list[list[str]]:
    """The rows that hold the names: a word in each row but the last, which has the rest; merged cells are empty but one."""
    lines = layout.header_lines
    parts = [name.split(" ", lines - 1) for name in names]
    rows = [[part[line] if line < len(part) else "" for part in parts] for line in range(lines)]
    if layout.header_repeats:
        if any(len(part) < lines - 1 for part in parts):
            raise cannot(
                shown, "layout.header_repeats", f"with names of fewer than {lines - 1} words it cannot be simulated."
            )
        for row in rows[:-1]:
            for place in range(len(row) - 1, 0, -1):
                if row[place] == row[place - 1]:
                    row[place] = ""
    return rows


def _write_delimited(path: Path, layout: Delimited, content: Content) -> None:
    delimiter, quotes = layout.delimiter, layout.quotes == "double"
    same = np.zeros(content.count, dtype=np.int64)
    kinds = [text for text in layout.record_prefix.split(delimiter) if text]
    columns = _arranged(content, [Column("", f"Record{k or ''}", Field([text], same)) for k, text in enumerate(kinds)])
    if not quotes:
        _refuse_delimiters(layout, content, columns)
    above = [content.title[k] if k < len(content.title) else "" for k in range(max(layout.header_row - 1, 0))]
    head = [quoted(text, delimiter) if quotes else text for text in above]
    if layout.header_row:
        rows = _header([name for name, _ in columns], layout, content.shown)
        head += [delimiter.join(quoted(name, delimiter) if quotes else name for name in row) for row in rows]
    head += [prefix + content.title[0] for prefix in layout.other_records]
    with whole_file(path) as handle:
        handle.write(
            b"\xff\xfe" if layout.encoding == "utf-16" else b"\xef\xbb\xbf" if content.begins_with_mark else b""
        )
        handle.write(encoded("".join(f"{line}\n" for line in head), layout.encoding))
        write_lines(handle, [column.content for _, column in columns], delimiter, layout.encoding, quotes)
        if content.trailer is not None:
            line = _trailer(layout, content, content.trailer)
            handle.write(encoded(f"{line}\n", layout.encoding))
        if layout.final_line_end == "optional":
            _cut_line_end(handle, layout)


def _refuse_delimiters(layout: Delimited, content: Content, columns: list[tuple[str, Column]]) -> None:
    for name, column in columns:
        for label in (name, *column.content.labels):
            if layout.delimiter in label or "\n" in label:
                raise cannot(
                    content.shown,
                    "layout.quotes",
                    f"'none' leaves no way to write {label!r} between delimiters "
                    f"{layout.delimiter!r}; allowed here: 'double'.",
                )


def _cut_line_end(handle: BinaryIO, layout: Delimited) -> None:
    handle.seek(-len(encoded("\n", layout.encoding)), os.SEEK_END)
    handle.truncate()


def _trailer(layout: Delimited, content: Content, trailer: TrailerRecord) -> str:
    """The trailer record of delimited text."""
    fields = trailer.prefix.split(layout.delimiter)
    while fields and not fields[-1]:
        fields.pop()
    values = (
        (trailer.count, str(content.count)),
        (trailer.total, number_text(content.stated, content.decimals, content.notation)),
    )
    for reference, text in values:
        if isinstance(reference, AtPosition):
            fields += [""] * (reference.position - len(fields))
            if fields[reference.position - 1]:
                raise cannot(
                    content.shown,
                    "trailer",
                    f"position {reference.position} is taken by the prefix or the other figure.",
                )
            fields[reference.position - 1] = text if layout.quotes == "none" else quoted(text, layout.delimiter)
    return layout.delimiter.join(fields)


def _filled(content: Content, column: Column, label: str, width: int) -> str:
    """A field of a fixed-width record: numbers to the right, with zeros before them where they are plain; text to the left."""
    if len(label) > width:
        raise cannot(
            content.shown,
            f"columns.{column.name}.width",
            f"{width} is not enough for the simulated value {label!r}; allowed: at least {len(label)}.",
        )
    if column.kind == "text" or number_in(label, content.notation) is None:
        return label.ljust(width)
    is_plain = not content.notation.thousands_mark and not label.startswith("(")
    return label.zfill(width) if is_plain else label.rjust(width)


def _write_fixed_width(path: Path, layout: FixedWidth, content: Content) -> None:
    nothing = np.zeros(content.count, dtype=np.int64)
    pieces: list[Field] = [Field([layout.record_prefix], nothing)]
    at = len(layout.record_prefix) + 1
    placed = [(c.reference, c) for c in content.columns if isinstance(c.reference, AtCharacters)]
    for reference, column in sorted(placed, key=lambda item: item[0].start):
        if reference.start < at:
            raise cannot(
                content.shown,
                f"columns.{column.name}.start",
                f"{reference.start} lies inside the field before it; allowed: at least {at}.",
            )
        filled = [_filled(content, column, label, reference.width) for label in column.content.labels]
        pieces += [Field([" " * (reference.start - at)], nothing), column.content.relabelled(filled)]
        at = reference.start + reference.width
    pieces.append(Field([" " * max(layout.record_length - at + 1, 0)], nothing))
    head = [
        (prefix + content.title[0])[: layout.record_length].ljust(layout.record_length)
        for prefix in layout.other_records
    ]
    with whole_file(path) as handle:
        handle.write(b"\xff\xfe" if layout.encoding == "utf-16" else b"")
        handle.write(encoded("".join(f"{line}\n" for line in head), layout.encoding))
        write_lines(handle, pieces, encoding=layout.encoding)
        if content.trailer is not None:
            line = list(content.trailer.prefix.ljust(layout.record_length))
            total = content.stated
            for place, value in ((content.trailer.count, content.count), (content.trailer.total, total)):
                if isinstance(place, AtCharacters):
                    line[place.start - 1 : place.start - 1 + place.width] = f"{value:0{place.width}d}"
            handle.write(encoded("".join(line) + "\n", layout.encoding))


def _cell(column: Column, label: str, content: Content) -> float | str | None:
    """What a spreadsheet makes of a text: a number where it can."""
    if column.kind == "text" or not label:
        return label or None
    if re.fullmatch(r"-?[0-9]+", label):
        return float(label)
    value = number_in(label, content.notation)
    return label if value is None else value / 10**content.decimals


def _write_workbook(path: Path, layout: Workbook, content: Content) -> None:
    first_record = layout.header_row + layout.header_lines - 1
    if content.count + first_record + 1 > _MOST_SHEET_ROWS:
        raise cannot(
            content.shown,
            "layout.kind",
            f"a sheet holds at most {_MOST_SHEET_ROWS:,} rows and the simulated delivery "
            "has more; simulate fewer accounts or more districts.",
        )
    columns = _arranged(content, [])
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    book = xlsxwriter.Workbook(str(beside), {"constant_memory": True})
    book.set_properties({"created": _WORKBOOK_MADE})
    sheet = book.add_worksheet(layout.sheet or "Consumption")
    for line, text in enumerate(content.title[: layout.header_row - 1]):
        sheet.write_string(line, 0, text)
    for line, row in enumerate(_header([name for name, _ in columns], layout, content.shown), layout.header_row - 1):
        for place, name in enumerate(row):
            if name:
                sheet.write_string(line, place, name)
    cells = []
    for _, column in columns:
        values = [_cell(column, label, content) for label in column.content.labels]
        cells.append(np.array(values, dtype=object)[column.content.codes])
    line = first_record
    for record in zip(*cells, strict=True):
        for place, value in enumerate(record):
            if isinstance(value, float):
                sheet.write_number(line, place, value)
            elif value is not None:
                sheet.write_string(line, place, value)
        line += 1
    if layout.totals_label is not None:
        for place, (_, column) in enumerate(columns):
            if column.name == "account":
                sheet.write_string(line, place, layout.totals_label)
            elif column.kind == "quantity":
                sheet.write_number(line, place, content.total([column]) / 10**content.decimals)
    book.close()
    os.replace(beside, path)
