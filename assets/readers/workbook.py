"""Spreadsheets.

Belongs here: a sheet's cells as text, telling title, header and totals from records.
Does not belong here: meaning of fields (``assets.consumption``).

Cells hold values, not text: a number arrives as a float and is written in its shortest exact notation, an account's lost
leading zeros are put back to the announced width, dates and decimals are written in the entry's own notation.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from assets.readers.sheet import Sheet, UnreadableFile
from validations.district import AtPosition, ColumnRef, Workbook

_LARGEST_EXACT_FLOAT = 2**53


def _text(value: Any, date_format: str, decimal_mark: str) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            if value.is_integer() and abs(value) < _LARGEST_EXACT_FLOAT:
                return str(int(value))
            return format(Decimal(repr(value)), "f").replace(".", decimal_mark)
        case dt.datetime() | dt.date():
            return value.strftime(date_format)
        case None:
            return ""
        case _:
            return str(value).strip()


def read_workbook(path: Path, layout: Workbook, account: ColumnRef, date_format: str, decimal_mark: str) -> Sheet:
    """A sheet as a Sheet. UnreadableFile if the file is no workbook, or lacks the sheet or its header."""
    try:
        book = CalamineWorkbook.from_path(str(path))
        if layout.sheet is not None and layout.sheet not in book.sheet_names:
            raise UnreadableFile(
                f"the workbook has no sheet {layout.sheet!r}; it has: {', '.join(book.sheet_names[:20])}"
            )
        sheet = book.get_sheet_by_name(layout.sheet) if layout.sheet else book.get_sheet_by_index(0)
        cells = sheet.to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError):
        raise UnreadableFile("the file is not a workbook that can be read; is this the announced layout?") from None
    if len(cells) < layout.header_row:
        raise UnreadableFile(f"row {layout.header_row} should hold the column names; the sheet has {len(cells)} rows")

    header = [_text(value, date_format, decimal_mark) for value in cells[layout.header_row - 1]]
    if isinstance(account, AtPosition):
        account_at = account.position - 1
        if account_at >= len(header):
            raise UnreadableFile(f"the account should be in column {account.position}; the sheet has {len(header)}")
    elif isinstance(account, str) and account in header:
        account_at = header.index(account)
    else:
        raise UnreadableFile(f"the header lacks the column {account!r}; it has: {', '.join(h for h in header if h)}")

    source_rows, raw_texts, fields, totals = [], [], [], None
    for number, values in enumerate(cells[layout.header_row :], start=layout.header_row + 1):
        row = [_text(value, date_format, decimal_mark) for value in values]
        if not any(row):
            continue
        if layout.totals_label is not None and row[account_at].startswith(layout.totals_label):
            totals = row[:account_at] + row[account_at + 1 :]
            continue
        raw_texts.append("\t".join(row))
        if layout.account_width and row[account_at].isdigit():
            row[account_at] = row[account_at].zfill(layout.account_width)
        source_rows.append(number)
        fields.append(row)
    rows = ibis.memtable(
        pa.table(
            {
                "source_row": pa.array(source_rows, pa.int64()),
                "raw_text": pa.array(raw_texts, pa.string()),
                "fields": pa.array(fields, pa.list_(pa.string())),
                "problem": pa.nulls(len(fields), pa.string()),
            }
        )
    )
    return Sheet(rows, header, len(cells), len(cells) - len(fields), control_quantity=totals)
