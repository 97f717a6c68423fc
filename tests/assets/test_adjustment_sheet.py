"""The adjustment sheet as a file: the template filled in and read back, CSV beside it, hostile cells, limits across sheets.

Belongs here: from files to ``adjustments`` and ``past_adjustments``; the commands about the sheet.
Does not belong here: what an entry changes (``test_adjustment_steps``).
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from adjustment_world import ONLY, D, Row, entry, write
from front_door_helpers import copy_of_workspace, rows_of
from typer.testing import CliRunner

from assets.adjustments import past_adjustments, read_adjustments
from assets.store import WHOLE, Store
from pipelines.adjustment_sheet.template import columns, write_template
from pipelines.cli import app
from rate_tables.config_file import ConfigError
from rate_tables.exact import scale_of
from validations.contract import violations
from validations.tables import ADJUSTMENTS, REFUSED_ADJUSTMENTS
from validations.workspace import Workspace

HOSTILE = "x =cmd|'/c calc'!A0 <&>\"é"


def as_text(name: str, value: Any) -> str:
    decimals = scale_of(name)[1]
    if value is None:
        return ""
    return f"{value / 10**decimals:.{decimals}f}" if decimals else str(value)


def csv_of(*rows: Row) -> str:
    quoted = ('"' + as_text(n, row[n]).replace('"', '""') + '"' for row in rows for n in ADJUSTMENTS.columns)
    cells = list(quoted)
    width = len(ADJUSTMENTS.columns)
    lines = [",".join(cells[i : i + width]) for i in range(0, len(cells), width)]
    return "\n".join([",".join(columns()), *lines]) + "\n"


def filled_in(template: Path, to: Path, *lines: dict[str, Any]) -> Path:
    """The template with ``lines`` (column -> value) below its header, as a spreadsheet program writes such cells."""
    with zipfile.ZipFile(template) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    styles = {
        at: style
        for first, last, style in re.findall(r'<col min="(\d+)" max="(\d+)"[^>]* style="(\d+)"', sheet)
        for at in range(int(first), int(last) + 1)
    }
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = []
        for at, column in enumerate(columns(), start=1):
            value, where = line.get(column), f'r="{chr(64 + at)}{number}" s="{styles[at]}"'
            if isinstance(value, dt.date):
                cells.append(f"<c {where}><v>{(value - dt.date(1899, 12, 30)).days}</v></c>")
            elif isinstance(value, (int, float)):
                cells.append(f"<c {where}><v>{value!r}</v></c>")
            elif value:
                cells.append(f'<c {where} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>')
            else:
                cells.append(f"<c {where}/>")
        rows.append(f'<row r="{number}">{"".join(cells)}</row>')
    parts["xl/worksheets/sheet1.xml"] = sheet.replace("</sheetData>", "".join(rows) + "</sheetData>").encode()
    to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(to, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    return to


def cells_of(row: Row) -> dict[str, Any]:
    """A row as a person types it into the template: numbers as numbers, dates as dates."""
    made = {}
    for column, name in columns().items():
        decimals = scale_of(name)[1]
        made[column] = row[name] if row[name] is None or not decimals else row[name] / 10**decimals
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return copy_of_workspace(tmp_path / "ws")


ROWS = [
    entry("J1", "leak", "prior_year", "2019-01-05", "2019-02-05", **ONLY | {"district_account": "00100"}, reason=HOSTILE),
    entry("J2", "evaporation", "make_up_less_blow_down", "2019-01-05", "2019-02-04", volume_thousandths=233_280_000,
          less_volume_thousandths=77_760_125, volume_unit="gal", linked_to="J0"),
    entry("J3", "pool", "above_mean", "2019-01-05", "2019-02-05", bills=3),
    entry("J4", "evaporation", "share", "2019-01-05", "2019-02-05", share_millionths=100_000),
]  # fmt: skip


def test_what_is_filled_into_the_template_is_read_back_as_it_was_entered(
    con: Any, tmp_path: Path, workspace: Workspace
) -> None:
    write_template(workspace, 2019, tmp_path / "template.xlsx")
    filled_in(tmp_path / "template.xlsx", workspace.folder / "adjustments" / "2019.xlsx", *map(cells_of, ROWS))
    read = read_adjustments(con, workspace, 2019, tmp_path / "scratch")
    assert rows_of(con, read.rejected) == []
    assert rows_of(con, read.rows.order_by("adjustment_id")) == ROWS
    assert rows_of(con, violations(ADJUSTMENTS, ADJUSTMENTS.conform(read.rows))) == []


def test_a_csv_says_the_same_as_a_workbook_and_both_together_are_refused(
    con: Any, tmp_path: Path, workspace: Workspace
) -> None:
    write(workspace.folder / "adjustments" / "2019.csv", csv_of(*ROWS))
    read = read_adjustments(con, workspace, 2019, tmp_path / "scratch")
    assert rows_of(con, read.rows.order_by("adjustment_id")) == ROWS
    write_template(workspace, 2019, workspace.folder / "adjustments" / "2019.xlsx")
    with pytest.raises(ConfigError, match=r"adjustments/2019\.csv and adjustments/2019\.xlsx are both there"):
        read_adjustments(con, workspace, 2019, tmp_path / "scratch")


def test_the_template_as_it_is_written_has_no_entry_and_no_formula_but_its_lists(
    con: Any, tmp_path: Path, workspace: Workspace
) -> None:
    target = workspace.folder / "adjustments" / "2019.xlsx"
    target.parent.mkdir()
    write_template(workspace, 2019, target)
    read = read_adjustments(con, workspace, 2019, tmp_path / "scratch")
    assert rows_of(con, read.rows) == rows_of(con, read.rejected) == []
    with zipfile.ZipFile(target) as book:
        sheets = [book.read(name).decode() for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
        words = book.read("xl/sharedStrings.xml").decode()
    assert not any("<f>" in sheet for sheet in sheets)
    lists = re.findall(r'<dataValidation type="list"[^>]*><formula1>(.*?)</formula1>', sheets[0])
    assert len(lists) == 5
    assert all(re.fullmatch(r"lists!\$[A-E]\$1:\$[A-E]\$\d+", one) for one in lists)
    assert all(f">{district}<" in words for district in workspace.districts)


def test_a_template_never_takes_the_place_of_a_file(tmp_path: Path, workspace: Workspace) -> None:
    there = write(tmp_path / "mine.xlsx", "mine")
    for wrong, sentence in (
        (there, "already"),
        (tmp_path / "t.csv", "ends in .xlsx"),
        (tmp_path / "no" / "t.xlsx", "no such folder"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            write_template(workspace, 2019, wrong)
    assert there.read_text(encoding="utf-8") == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"ws", "mine.xlsx"}


def test_cells_that_a_program_would_obey_or_that_are_no_value_are_refused_and_the_others_stand(
    con: Any, tmp_path: Path, workspace: Workspace
) -> None:
    write_template(workspace, 2019, tmp_path / "template.xlsx")
    good = cells_of(ROWS[0])
    bad = {
        "reason": "=HYPERLINK(1)", "service_id": "+S1", "volume": "12 or so", "period_start": "5 January", "share": 1.5, "bills": 2.5,
        "kind": "leaks", "adjustment_id": "",
    }  # fmt: skip
    lines = [
        good,
        *(good | {"adjustment_id": f"B{n}"} | {column: value} for n, (column, value) in enumerate(bad.items())),
    ]
    filled_in(tmp_path / "template.xlsx", workspace.folder / "adjustments" / "2019.xlsx", *lines)
    read = read_adjustments(con, workspace, 2019, tmp_path / "scratch")
    assert [row["adjustment_id"] for row in rows_of(con, read.rows)] == ["J1"]
    messages = {row["source_row"]: row["message"] for row in rows_of(con, read.rejected)}
    assert [column for n, column in enumerate(bad, start=3) if column not in messages.get(n, "")] == []
    assert {row["source_file"] for row in rows_of(con, read.rejected)} == {"adjustments/2019.xlsx"}


@pytest.mark.parametrize("content", [b"", b"not a workbook", b"PK\x03\x04broken"], ids=["empty", "text", "damaged"])
def test_a_file_that_is_no_workbook_is_a_sentence(
    con: Any, tmp_path: Path, workspace: Workspace, content: bytes
) -> None:
    path = workspace.folder / "adjustments" / "2019.xlsx"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^adjustments/2019\.xlsx: .*; mend the sheet and run again\.$"):
        read_adjustments(con, workspace, 2019, tmp_path / "scratch")


def test_a_sheet_without_its_columns_is_a_sentence_that_names_them(
    con: Any, tmp_path: Path, workspace: Workspace
) -> None:
    write(workspace.folder / "adjustments" / "2019.csv", "adjustment_id,service_id,volume\nJ1,S1,8\n")
    with pytest.raises(
        ConfigError, match=r"^adjustments/2019\.csv: the header lacks period_start, .*it has: adjustment_id"
    ):
        read_adjustments(con, workspace, 2019, tmp_path / "scratch")


def test_earlier_sheets_count_as_far_back_as_asked_without_what_was_refused_then(
    con: Any, tmp_path: Path, workspace: Workspace
) -> None:
    for year in (2015, 2016, 2017, 2018):
        rows = [
            entry(f"J{year}", "leak", "leave_out", f"{year}-01-05", f"{year}-02-05"),
            entry(f"K{year}", "vacancy", "leave_out", f"{year}-01-05", f"{year}-02-05"),
        ]
        write(workspace.folder / "adjustments" / f"{year}.csv", csv_of(*rows))
    store = Store(workspace.store, con)
    refused = REFUSED_ADJUSTMENTS.of_rows([{"adjustment_id": "K2017", "service_id": "S1", "message": "no"}])
    store.write(REFUSED_ADJUSTMENTS, 2017, WHOLE, refused, "1")
    found = past_adjustments(con, workspace, 2019, 3, tmp_path / "scratch", store)
    assert {(row["sheet_year"], row["adjustment_id"]) for row in rows_of(con, found)} == {
        (2016, "J2016"), (2016, "K2016"), (2017, "J2017"), (2018, "J2018"), (2018, "K2018"),
    }  # fmt: skip


def test_the_renewal_list_names_what_expires_and_has_no_successor(workspace: Workspace) -> None:
    def product(identity: str, service: str, year: int, **given: Any) -> Row:
        return entry(
            identity,
            "product",
            "deduct",
            f"{year}-01-05",
            f"{year}-02-05",
            volume_thousandths=1_000,
            service_id=service,
            **given,
        )

    last = [product("P1", "S1", 2018), product("P2", "S2", 2018, expires_on=D("2018-07-01")),
            entry("L1", "leak", "leave_out", "2018-01-05", "2018-02-05", service_id="S3")]  # fmt: skip
    write(workspace.folder / "adjustments" / "2018.csv", csv_of(*last))
    write(workspace.folder / "adjustments" / "2019.csv", csv_of(product("Q1", "S1", 2019), product("Q2", "", 2019)))
    ran = CliRunner().invoke(app, ["adjustments", "renewals", "2019", "--workspace", str(workspace.folder)])
    assert ran.exit_code == 0
    assert "To renew for billing year 2019: 1 entries" in ran.stdout
    assert re.search(r"P2 +S2 +product +2018-07-01 +seen on site", ran.stdout)
    assert "P1" not in ran.stdout
    assert "L1" not in ran.stdout
    assert "adjustments/2019.csv, row 3: service_id" in ran.output


def test_the_template_command_writes_where_it_is_told(tmp_path: Path, workspace: Workspace) -> None:
    target = tmp_path / "sheet.xlsx"
    ran = CliRunner().invoke(app, ["adjustments", "template", "2019", "--to", str(target), "-w", str(workspace.folder)])
    assert ran.exit_code == 0, ran.output
    assert "adjustments/2019.xlsx" in ran.stdout
    assert zipfile.is_zipfile(target)
