"""Fields of a record, as text: which column of a sheet is what.

Belongs here: finding the entry's columns; a row, a month's cell or a register's cell as one record.
Does not belong here: what a text means (``values``).
"""

from __future__ import annotations

import datetime as dt
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from assets.readers.sheet import Sheet, UnreadableFile
from validations.district import District
from validations.layout import OF_REGISTERS, AtPosition, ColumnRef, field_of_register

_OF_ROW = ["source_file", "source_row", "problem", "has_control"]
_IDS = ("account", "meter", "register_id")
_AROUND_FIELDS = " \t\n\r\v\f"
_BETWEEN_FIELDS = "\t\n"
"""Control characters that a row may hold, but no identifier."""


def index_of(reference: ColumnRef, field: str, header: list[str]) -> int:
    """Place of a column in the fields. UnreadableFile if the header lacks it or has it twice."""
    if isinstance(reference, AtPosition):
        return reference.position - 1
    name = reference if isinstance(reference, str) else field
    if name not in header:
        shown = ", ".join(h for h in header if h)[:300]
        raise UnreadableFile(f"the header lacks the column {name!r}; it has: {shown}")
    _is_once(name, header)
    return header.index(name)


def _is_once(name: str, header: list[str]) -> None:
    if header.count(name) > 1:
        raise UnreadableFile(f"the header has the column {name!r} {header.count(name)} times; which one counts?")


def _months(header: list[str], header_format: str) -> list[tuple[int, str, dt.date, dt.date]]:
    """Columns named like a month: index, name, first day, first day after."""
    found = []
    for index, name in enumerate(header):
        try:
            first = dt.datetime.strptime(name, header_format).date().replace(day=1)
        except ValueError:
            continue
        _is_once(name, header)
        found.append((index, name, first, (first + dt.timedelta(days=32)).replace(day=1)))
    if not found:
        raise UnreadableFile(f"no column is named like a month in the format {header_format!r}")
    return found


def _holds(text: ir.StringValue, characters: str) -> ir.BooleanValue:
    """Whether a text holds one of some characters."""
    return reduce(or_, (text.contains(c) for c in characters), ibis.literal(False))  # type: ignore[no-any-return]


def _text(rows: ir.Table, index: int, blanks: frozenset[str]) -> ir.StringValue:
    """A field without the blanks around it. Stripping costs more than all else that is done with it: hardly any field needs it."""
    text = rows.fields[index].fill_null("")
    at_an_end = [found for c in _stripped(blanks) for found in (text.startswith(c), text.endswith(c))]
    return ibis.ifelse(rows.has_blanks & reduce(or_, at_an_end), text.strip(), text) if at_an_end else text


def _stripped(blanks: frozenset[str]) -> str:
    return "".join(c for c in _AROUND_FIELDS if c in blanks)


def _with_control(rows: ir.Table, ids: list[ir.StringValue], blanks: frozenset[str]) -> ir.BooleanValue:
    """Whether a row holds a control character, or an identifier one that may stand between fields."""
    found = ibis.literal(False)
    if blanks - {" ", *_BETWEEN_FIELDS}:
        found = rows.raw_text.re_search(r"[\x00-\x08\x0b-\x1f\x7f]")
    if within := "".join(c for c in _BETWEEN_FIELDS if c in blanks):
        found = reduce(or_, (_holds(text, within) for text in ids), found)
    return found


def _cells(rows: ir.Table, shared: dict[str, ir.Value], cells: list[dict[str, ir.Value]]) -> ir.Table:
    """A record for each of ``cells`` in each row."""
    return rows.select(*_OF_ROW, **shared, cell=ibis.array([ibis.struct(cell) for cell in cells]).unnest()).unpack(
        "cell"
    )


def text_records(sheet: Sheet, entry: District, source_file: str) -> ir.Table:
    """One row per record: source_file, source_row, source_column, register_place, has_control (a control character where none
    may be), problem, and the entry's fields as text.

    A record is a row of the sheet; or a cell of it where months are columns (then with month_start and month_end dates), or
    where the registers of a compound meter are columns. UnreadableFile if the header lacks a column.
    """
    blanks = sheet.blanks
    has_blanks = _holds(sheet.rows.raw_text, _stripped(blanks))
    rows = sheet.rows.mutate(source_file=ibis.literal(source_file), has_blanks=has_blanks)
    indexes = {name: index_of(ref, name, sheet.header) for name, ref in entry.columns.named().items()}
    registers = entry.columns.registers
    of_registers = [
        {name: indexes[field_of_register(name, place)] for name in OF_REGISTERS if name in indexes}
        for place in range(1, registers + 1)
    ]
    of_row = {name: index for name, index in indexes.items() if not any(index in r.values() for r in of_registers)}
    texts = {name: _text(rows, index, blanks) for name, index in of_row.items()}
    rows = rows.mutate(has_control=_with_control(rows, [texts[name] for name in _IDS if name in texts], blanks))

    if entry.month_columns:
        months = _months(sheet.header, entry.month_columns.header_format)
        cells = [
            {"source_column": ibis.literal(name), "register_place": ibis.literal(1, "int64"), "volume": _text(rows, index, blanks),
             "month_start": ibis.literal(first), "month_end": ibis.literal(after)}
            for index, name, first, after in months
        ]  # fmt: skip
        return _cells(rows, texts, cells)
    if registers > 1:
        cells = [
            {"source_column": ibis.literal(_shown(next(iter(columns.values())), sheet.header)),
             "register_place": ibis.literal(place, "int64"),
             **{name: _text(rows, index, blanks) for name, index in columns.items()}}
            for place, columns in enumerate(of_registers, start=1)
        ]  # fmt: skip
        return _cells(rows, texts, cells)
    texts |= {name: _text(rows, index, blanks) for name, index in of_registers[0].items()}
    return rows.select(*_OF_ROW, source_column=ibis.literal(""), register_place=ibis.literal(1, "int64"), **texts)


def _shown(index: int, header: list[str]) -> str:
    return header[index] if index < len(header) else f"column {index + 1}"
