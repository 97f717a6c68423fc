"""Fields of a record, as text: which column of a sheet is what.

Belongs here: finding the entry's columns, a row or a cell as one record.
Does not belong here: what a text means (``values``).
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from assets.readers import Sheet, UnreadableFile
from validations.district import AtPosition, ColumnRef, District


def _index_of(reference: ColumnRef, field: str, header: list[str]) -> int:
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


def text_records(sheet: Sheet, entry: District, source_file: str) -> ir.Table:
    """One row per record: source_file, source_row, source_column, raw_text, problem, and the entry's fields as text.

    A record is a row of the sheet, or a cell of it where months are columns (then with period_start and period_end dates).
    UnreadableFile if the header lacks a column.
    """
    rows = sheet.rows.mutate(source_file=ibis.literal(source_file))
    named = entry.columns.named()
    indexes = {field: _index_of(reference, field, sheet.header) for field, reference in named.items()}
    months = _months(sheet.header, entry.month_columns.header_format) if entry.month_columns else []

    texts = {field: rows.fields[index].fill_null("").strip() for field, index in indexes.items()}
    where = ["source_file", "source_row", "raw_text", "problem"]
    if not months:
        return rows.select(*where, source_column=ibis.literal(""), **texts)
    cells = rows.select(
        *where,
        **texts,
        cell=ibis.array(
            [
                ibis.struct(
                    {
                        "source_column": ibis.literal(name),
                        "volume": rows.fields[index].fill_null("").strip(),
                        "month_start": ibis.literal(first),
                        "month_end": ibis.literal(after),
                    }
                )
                for index, name, first, after in months
            ]
        ).unnest(),
    )
    return cells.unpack("cell")
