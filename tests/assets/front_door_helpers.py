"""What the tests of the assets' floor share: a district's entry, a delivered file taken through the real front door.

Belongs here: building entries and files, the steps from a file to its tables. Does not belong here: what should come out.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import xlsxwriter
import yaml

from assets.front_door import consumption, rejected_rows, with_texts
from assets.readers.any_layout import read_sheet
from assets.readers.sheet import Sheet
from assets.records.comparison import classified_records, compares, may_be_repeated, repetitions
from assets.records.fields import text_records
from assets.records.values import typed_records
from validations.district import District
from validations.tables import CONSUMPTION, REJECTED_ROWS
from validations.workspace import SAMPLE, Workspace, Year

Rows = list[dict[str, Any]]

USAGE: dict[str, Any] = {
    "district": "test_water",
    "name": "Test Water",
    "write_to": "office@test-water.example",
    "layout": {"kind": "delimited"},
    "columns": {
        "account": "acct", "meter": "meter", "period_start": "from", "period_end": "to", "volume": "use",
        "read_type": "type",
    },
    "volume": {"unit": "ccf"},
    "read_types": {"A": "actual", "E": "estimated"},
    "billing_cycle": "monthly",
}  # fmt: skip
USAGE_HEADER = "acct,meter,from,to,use,type"

READINGS: dict[str, Any] = {
    "district": "test_water",
    "name": "Test Water",
    "write_to": "office@test-water.example",
    "layout": {"kind": "delimited"},
    "measure": {"gives": "register_readings", "dials": 5, "rollover_at_most": "20000"},
    "columns": {"account": "acct", "meter": "meter", "read_date": "day", "reading": "reading", "read_type": "type"},
    "volume": {"unit": "hundred_gal"},
    "read_types": {"A": "actual", "E": "estimated", "N": "opening"},
    "billing_cycle": "two_monthly",
}
READINGS_HEADER = "acct,meter,day,reading,type"

WIDE: dict[str, Any] = {
    "district": "test_water",
    "name": "Test Water",
    "write_to": "office@test-water.example",
    "layout": {"kind": "delimited"},
    "columns": {"account": "acct"},
    "month_columns": {"header_format": "%b %Y"},
    "volume": {"unit": "thousand_gal"},
    "billing_cycle": "monthly",
}


@cache
def year_2018() -> Year:
    """The sample's update of 2018: winter of 2017-18, effective 1 July 2018."""
    return Workspace(SAMPLE).year(2018)


def entry_of(base: dict[str, Any] | str, **changes: Any) -> District:
    """An entry from a dict or a sample district's name; ``changes`` replace keys, a dict replaces keys within its key."""
    if isinstance(base, str):
        base = yaml.safe_load((SAMPLE / "districts" / f"{base}.yaml").read_text(encoding="utf-8"))
    content = copy.deepcopy(base)
    for key, value in changes.items():
        merges = isinstance(value, dict) and isinstance(content.get(key), dict)
        content[key] = content[key] | value if merges else value
    return District.model_validate(content)


@dataclass(frozen=True)
class Taken:
    """What became of a delivery: its sheets and its two tables, in the order of the file."""

    sheets: list[Sheet]
    consumption: Rows
    rejected: Rows

    @property
    def reasons(self) -> dict[int, str]:
        """Row of the file -> reason code."""
        return {row["source_row"]: row["reason_code"] for row in self.rejected}

    @property
    def volumes(self) -> dict[int, int]:
        """Row of the file -> billed volume in thousandths."""
        return {row["source_row"]: row["billed_volume_thousandths"] for row in self.consumption}


def rows_of(con: Any, table: ir.Table, *order: str) -> Rows:
    """A table as dicts, sorted."""
    sorted_by = table.order_by(list(order)) if order else table
    return con.to_pyarrow(sorted_by).to_pylist()  # type: ignore[no-any-return]


def rows_of_layout(con: Any, sheet: Sheet) -> int:
    """Rows of the file that are no records."""
    return sheet.rows_in_file - int(con.to_pyarrow(sheet.rows.count()).as_py())


def sheet_of(con: Any, folder: Path, content: bytes | str, entry: District, name: str = "delivery") -> Sheet:
    """A delivered file as its Sheet. Text is written as UTF-8 with a line end at its end, which bytes may lack."""
    if isinstance(content, str) and content[-1:] not in ("\n", "\r"):
        content += "\n"
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_sheet(con, path, entry, folder / "scratch")


def take_in(con: Any, folder: Path, entry: District, *contents: bytes | str) -> Taken:
    """Delivered files through the front door's own steps, stored and read back as the run does it."""
    sheets, typed = [], []
    for number, content in enumerate(contents, start=1):
        name = f"file_{number}"
        sheets.append(sheet_of(con, folder, content, entry, name))
        texts = text_records(sheets[-1], entry, name)
        made = con.create_table(ibis.util.gen_name("typed"), typed_records(texts, entry, year_2018()), temp=True)
        typed.append(made)
    records = ibis.union(*typed) if len(typed) > 1 else typed[0]
    near = con.create_table(ibis.util.gen_name("near"), may_be_repeated(records), temp=True)
    judged = classified_records(records, entry, repetitions(near, entry) if compares(entry) else None)
    classified = con.create_table(ibis.util.gen_name("classified"), judged, temp=True)
    where = ("source_file", "source_row", "source_column")
    as_they_stand = [
        sheet.source.select("source_row", "raw_text", source_file=ibis.literal(f"file_{number}"))
        for number, sheet in enumerate(sheets, start=1)
    ]
    left = with_texts(classified, ibis.union(*as_they_stand) if len(sheets) > 1 else as_they_stand[0])
    taken, left = consumption(classified, entry), rejected_rows(left, entry.district)
    assert taken.schema() == CONSUMPTION.schema
    assert left.schema() == REJECTED_ROWS.schema
    return Taken(sheets, rows_of(con, taken, *where), rows_of(con, left, *where))


def workbook_of(path: Path, cells: list[list[Any]], sheet: str = "Consumption") -> bytes:
    """A workbook with one sheet as bytes; None leaves a cell blank, text stays text."""
    with xlsxwriter.Workbook(str(path)) as book:
        page = book.add_worksheet(sheet)
        for row, values in enumerate(cells):
            for column, value in enumerate(values):
                if isinstance(value, str):
                    page.write_string(row, column, value)
                elif value is not None:
                    page.write(row, column, value)
    return path.read_bytes()


def copy_of_workspace(folder: Path) -> Workspace:
    """A workspace of its own with the sample's settings and districts, and no deliveries."""
    (folder / "districts").mkdir(parents=True)
    (folder / "workspace.yaml").write_bytes((SAMPLE / "workspace.yaml").read_bytes())
    for path in (SAMPLE / "districts").glob("*.yaml"):
        (folder / "districts" / path.name).write_bytes(path.read_bytes())
    return Workspace(folder)
