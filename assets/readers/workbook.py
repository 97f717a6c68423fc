"""Spreadsheets.

Belongs here: asking a process of its own for a sheet (``workbook_process``) and taking its answer as a ``Sheet``.
Does not belong here: meaning of fields (``assets.records``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import ibis
import pyarrow.parquet as pq

from assets.readers import workbook_process
from assets.readers.content import is_workbook, other_than_text
from assets.readers.sheet import Sheet, UnreadableFile
from validations.layout import AtPosition, ColumnRef, Workbook

_MOST_BYTES = 6 << 30
_MOST_SECONDS = 300


@dataclass(frozen=True)
class Notation:
    """How values that a workbook holds as such are written as text, so that they are read like those of a text file."""

    date_format: str = "%Y-%m-%d"
    decimal_mark: str = "."
    month_header_format: str | None = None
    bill_month_format: str | None = None


def read_workbook(
    path: Path, layout: Workbook, columns: dict[str, ColumnRef], notation: Notation, scratch: Path
) -> Sheet:
    """A sheet as a Sheet.

    UnreadableFile if the file is no workbook, lacks the sheet or its header, or unpacks to more than can be held.
    """
    kind = other_than_text(path)
    if not is_workbook(kind):
        raise UnreadableFile(f"the file is {kind or 'text'}; announced is a workbook")
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{uuid.uuid4().hex}.parquet"
    first = columns.get("account", next(iter(columns.values())))
    bill_month = columns.get("bill_month")
    request = {
        "path": str(path), "target": str(target), "sheet": layout.sheet, "header_row": layout.header_row,
        "header_lines": layout.header_lines, "header_repeats": layout.header_repeats, "totals_label": layout.totals_label,
        "account": first.position if isinstance(first, AtPosition) else first, "decimal_mark": notation.decimal_mark,
        "date_format": notation.date_format, "header_date_format": notation.month_header_format or notation.date_format,
        "date_format_of": {bill_month: notation.bill_month_format} if isinstance(bill_month, str) else {},
        "most_bytes": _MOST_BYTES, "most_seconds": _MOST_SECONDS,
    }  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - our own program, and nothing of the file is an argument
            [sys.executable, "-P", "-m", workbook_process.__name__],
            input=json.dumps(request), capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        if done.returncode == workbook_process.NOT_AS_ANNOUNCED:
            raise UnreadableFile(done.stdout)
        if done.returncode:
            raise UnreadableFile(
                f"the workbook is damaged, or unpacks to more than {_MOST_BYTES >> 30} GB; ask for it as a text file"
            )
        table = pq.read_table(target)
    finally:
        target.unlink(missing_ok=True)
    facts = json.loads(table.schema.metadata[b"sheet"])
    return Sheet(
        ibis.memtable(table.replace_schema_metadata()),
        lambda cells: cells.mutate(problem=ibis.null("string")),
        (),
        facts["header"],
        facts["rows_in_file"],
        frozenset(facts["blanks"]),
        control_quantity=facts["totals"],
    )
