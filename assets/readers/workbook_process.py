"""Reads one sheet of a workbook in a process of its own, which may use so much memory and time and no more.

Belongs here: cells as text, telling title, header and totals from records. Run as a program by ``workbook``; it
imports little, so that it starts at once.
Does not belong here: meaning of fields.

A workbook is compressed, and a cell far away makes its sheet as large as a continent: whoever opens it cannot know what it
unpacks to. So it is opened where running out of memory ends nothing but the attempt.

Cells hold values, not text: a number arrives as a float and is written in its shortest exact notation, dates and decimals
in the notation that the request names.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import resource
import sys
from decimal import Decimal
from itertools import chain
from typing import Any

from assets.readers.blanks import blanks_in
from assets.readers.header_names import joined_names

_LARGEST_EXACT_FLOAT = 2**53
NOT_AS_ANNOUNCED = 3
"""Exit code: the workbook can be read and is not what was announced; the sentence is on standard output."""


class NotAsAnnounced(Exception):
    """The sentence that says what is not as announced."""


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


def _cells(path: str, sheet_name: str | None) -> list[list[Any]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(path)
        if sheet_name is not None and sheet_name not in book.sheet_names:
            raise NotAsAnnounced(
                f"the workbook has no sheet {sheet_name!r}; it has: {', '.join(book.sheet_names[:20])[:300]}"
            )
        sheet = book.get_sheet_by_name(sheet_name) if sheet_name else book.get_sheet_by_index(0)
        return sheet.to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError, IndexError):
        raise NotAsAnnounced("the file is not a workbook that can be read; is this the announced layout?") from None


def read(request: dict[str, Any]) -> None:
    """Write the sheet's records (source_row, raw_text, fields) as Parquet, with header and totals in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mark, date_format = request["decimal_mark"], request["date_format"]
    cells = _cells(request["path"], request["sheet"])
    first, lines = request["header_row"] - 1, request["header_lines"]
    if len(cells) < first + lines:
        raise NotAsAnnounced(f"row {first + 1} should hold the column names; the sheet has {len(cells)} rows")
    names = [[_text(v, request["header_date_format"], mark) for v in row] for row in cells[first : first + lines]]
    header = joined_names(names, request["header_repeats"])
    account = request["account"]
    if isinstance(account, int):
        account_at = account - 1
        if account_at >= len(header):
            raise NotAsAnnounced(f"the account should be in column {account}; the sheet has {len(header)}")
    elif account in header:
        account_at = header.index(account)
    else:
        shown = ", ".join(h for h in header if h)[:300]
        raise NotAsAnnounced(f"the header lacks the column {account!r}; it has: {shown}")
    formats = [request["date_format_of"].get(name, date_format) for name in header]

    source_rows, raw_texts, fields, totals = [], [], [], None
    for number, values in enumerate(cells[first + lines :], start=first + lines + 1):
        row = [_text(value, shape, mark) for value, shape in zip(values, formats, strict=True)]
        if not any(row):
            continue
        if request["totals_label"] and row[account_at].startswith(request["totals_label"]):
            totals = row[:account_at] + row[account_at + 1 :]
            continue
        source_rows.append(number)
        raw_texts.append("\t".join(row))
        fields.append(row)
    blanks = blanks_in("".join(chain.from_iterable(fields)).encode())
    facts = {"header": header, "rows_in_file": len(cells), "totals": totals, "blanks": "".join(blanks)}
    schema = pa.schema(
        {"source_row": pa.int64(), "raw_text": pa.string(), "fields": pa.list_(pa.string())},
        metadata={"sheet": json.dumps(facts)},
    )
    pq.write_table(pa.table([source_rows, raw_texts, fields], schema=schema), request["target"])


def main() -> None:
    """Read the request from standard input."""
    request = json.load(sys.stdin)
    for limit, most in ((resource.RLIMIT_AS, request["most_bytes"]), (resource.RLIMIT_CPU, request["most_seconds"])):
        resource.setrlimit(limit, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A million cells, none of which leads back to itself, and a process that ends with them: looking for such takes a tenth of the time.
    gc.disable()
    try:
        read(request)
    except NotAsAnnounced as sentence:
        sys.stdout.write(str(sentence))
        sys.exit(NOT_AS_ANNOUNCED)


if __name__ == "__main__":
    main()
