"""The report to a district: what of its delivery was wrong or doubtful, in its own columns and account numbers, and what is asked of it.

Belongs here: which rows stand on which sheet, in words that the district can act on; the workbook.
Does not belong here: finding what is wrong (``assets``, ``validations``), how a file is read (``assets.readers``).

Only this district's data is in it. Text is written as text: nothing that begins like a formula becomes one.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

import ibis
import xlsxwriter

from assets.durable import whole_file
from assets.pulling.archive import archived
from assets.readers.any_layout import read_sheet
from assets.readers.sheet import UnreadableFile
from assets.stage import Session
from pipelines.pages.figures import Read, Rows
from pipelines.release.gate import require_run
from pipelines.session import read_session
from rate_tables.config_file import ConfigError
from rate_tables.looked_up import among
from rate_tables.volume_units import UNIT_NAMES
from validations.workspace import Workspace

_LONGEST_TEXT = 2_000
_WIDEST, _LINE_HEIGHT, _MOST_LINES = 46, 15, 20
_ASKED = {
    "refused": "Please send the row again, corrected.",
    "duplicate": "Nothing, if the row was sent twice; else tell us which row counts.",
}
ASKED_ABOUT = {
    "delivery.not_received": "Please send your consumption history.",
    "delivery.not_taken": "Please look at the file that is named, and send it again.",
    "delivery.of_another_district": "Please see whether this is your file, and send yours.",
    "delivery.unreadable": "Please send the file in its usual layout, or tell us what has changed in it.",
    "delivery.control_total": "Please tell us whether the file is complete, or send it again.",
    "delivery.without_records": "Please send your consumption history: this file has none.",
    "delivery.outside_winter": "Please send the history of this winter.",
    "delivery.ends_in_winter": "Please send the reads until the end of the winter.",
    "delivery.off_cycle": "Please tell us on which cycle these meters are read.",
    "district.unit_changed": "Please tell us in which unit the file is.",
    "district.volume_changed": "Please tell us what changed: accounts, unit or use.",
    "district.accounts_changed": "Please tell us whether a route or a file is missing.",
    "district.month_missing": "Please send the reads of that month.",
    "district.stuck_value": "Please send the figures that were read.",
    "district.winter_median_moved": "Please tell us what changed, if you know.",
    "district.bills_share_months": "Please send the days on which the meters were read.",
    "meter.multiplier_changed": "Please tell us the multiplier of this meter, and since when.",
    "meter.missed_rollover": "Please tell us whether the meter passed its highest figure.",
    "read.estimated_run": "Please send a reading, if the meter was read since.",
    "period.gap": "Please send the reading that is missing.",
    "period.overlap": "Please tell us which of the two is right.",
    "period.several_figures": "Please tell us whether the account has so many meters, or one figure came more than once.",
    "use.high": "Please look at the reading: is it right?",
    "use.tenfold": "Please look at the reading: has a decimal slipped? If so, send what was used.",
    "use.placeholder": "This looks like no reading: please send what was read.",
    "use.negative": "Please tell us which months this corrects, and what was used in them.",
    "use.repeated_value": "Please tell us whether the meter was read each time, or the figure copied.",
}
"""Rule -> what is asked of the district where it finds something; of other findings it is asked nothing."""
_RECORD = ["source_file", "source_row", "source_column"]

Cell = str | int | Decimal | None


@dataclass(frozen=True)
class Sheet:
    """A sheet of the workbook: what it is, in a sentence; its columns; its rows."""

    name: str
    words: str
    columns: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class DistrictReport:
    """The workbook's content. ``lines``: the first sheet, line by line; ``sheets``: the others."""

    title: str
    lines: list[str]
    sheets: list[Sheet]


def _in_units(thousandths: int | None) -> Decimal | None:
    return None if thousandths is None else Decimal(thousandths).scaleb(-3)


def _only(read: Read, table: str, district: str) -> Any:
    found = read.table(table)
    return found.filter(found.district_id == district)


def _totals(read: Read, district: str, unit: str) -> Sheet:
    deliveries = {(r["source_file"], r["content_hash"]): r for r in read.rows(_only(read, "deliveries", district))}
    taken = read.rows(
        _only(read, "consumption", district)
        .group_by("source_file")
        .agg(rows=ibis._.count(), volume=ibis._.billed_volume_thousandths.sum().cast("decimal(38, 0)"))
    )
    left = read.rows(
        _only(read, "rejected_rows", district).group_by("source_file", "reason_kind").agg(rows=ibis._.count())
    )
    accepted = {r["source_file"]: r for r in taken}
    apart = {(r["source_file"], r["reason_kind"]): r["rows"] for r in left}
    rows: list[list[Cell]] = []
    for fact in read.rows(_only(read, "delivery_totals", district).order_by("source_file")):
        file = fact["source_file"]
        mine = accepted.get(file, {"rows": 0, "volume": 0})
        came = deliveries.get((file, fact["content_hash"]), {})
        rows.append([
            file, str(came.get("received_on") or ""), fact["records"], mine["rows"],
            *(apart.get((file, kind), 0) for kind in ("refused", "duplicate", "set_aside")),
            _in_units(fact["delivered_quantity_thousandths"]), _in_units(int(mine["volume"] or 0)),
            str(fact["first_day"] or ""), str(fact["last_day"] or ""),
            fact["control_records"], _in_units(fact["control_quantity_thousandths"]), fact["message"],
        ])  # fmt: skip
    columns = [
        "file", "received on", "records read", "taken as consumption", "refused", "duplicates", "set aside", "delivered, as it stands in the file",
        f"volume taken, {unit}", "first day", "day after the last", "records that the file states", "total that the file states", "remarks",
    ]  # fmt: skip
    words = "Totals as we understood them. Please tell us if one of them is not yours. Set aside: opening readings, empty months, later years."
    return Sheet("totals", words, columns, rows)


def _own_cells(
    session: Session, district: str, billing_year: int, read: Read, rows: Rows
) -> tuple[list[str], dict[tuple[str, int], list[str]]]:
    """The district's own columns, and by file and row the cells that stand there; a file that cannot be read has none."""
    entry = session.workspace.district(district, billing_year)
    wanted: dict[str, set[int]] = {}
    for row in rows:
        wanted.setdefault(row["source_file"], set()).add(row["source_row"])
    columns, cells = list[str](), dict[tuple[str, int], list[str]]()
    delivered = _only(read, "deliveries", district)
    for file in read.rows(delivered.filter(delivered.status == "current").order_by("source_file")):
        path = archived(session.workspace.archive, file["content_hash"])
        if file["source_file"] not in wanted or not path.is_file():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                sheet = read_sheet(session.store.con, path, entry, Path(scratch))
            except UnreadableFile:
                continue
            header = sheet.header or [f"field {n + 1}" for n in range(len(entry.columns.named()))]
            columns += [name for name in header if name not in columns]
            numbers = sorted(wanted[file["source_file"]])
            chosen = sheet.rows.filter(sheet.rows.source_row.isin(numbers)).select("source_row", "fields")
            for row in session.store.con.to_pyarrow(chosen).to_pylist():
                fields = dict(zip(header, row["fields"] or [], strict=False))
                cells[file["source_file"], row["source_row"]] = [fields.get(name, "") for name in columns]
    return columns, cells


def _refused(session: Session, read: Read, district: str, billing_year: int) -> Sheet:
    rejected = _only(read, "rejected_rows", district)
    rows = read.rows(rejected.filter(rejected.reason_kind.isin(list(_ASKED))).order_by(*_RECORD))
    columns, cells = _own_cells(session, district, billing_year, read, rows)
    # Where months or registers are columns, a row is refused in several of them for the same reason.
    together: dict[tuple[str, int, str, str], Rows] = {}
    for r in rows:
        together.setdefault((r["source_file"], r["source_row"], r["message"], r["reason_kind"]), []).append(r)
    shown: list[list[Cell]] = []
    for (file, number, message, kind), of_row in together.items():
        own = cells.get((file, number))
        # A row that could not be split has no cells of its own; then the text stands in the first.
        own = own if own and any(own) else [of_row[0]["raw_text"]]
        which = ", ".join(r["source_column"] for r in of_row if r["source_column"])
        shown.append([file, number, which, message, _ASKED[kind], *own, *[""] * (len(columns) - len(own))])
    words = "Rows that are not counted, as they stand in your file. Until they come again, the use in them is missing."
    return Sheet(
        "rows not counted",
        words,
        ["file", "row", "column", "what is wrong", "what we ask", *(columns or ["row as it stands"])],
        shown,
    )


def _unmatched(read: Read, district: str, unit: str) -> list[Sheet]:
    found = read.rows(_only(read, "unmatched", district).order_by("district_account", "meter_id", "service_id"))
    theirs = [
        [
            r["district_account"],
            r["meter_id"],
            _in_units(r["billed_volume_thousandths"]),
            r["nearest_account"],
            r["message"],
        ]
        for r in found
        if r["side"] == "district"
    ]
    ours = [
        [r["district_account"], r["meter_id"], r["nearest_account"], r["message"]]
        for r in found
        if r["side"] == "service"
    ]
    return [
        Sheet(
            "accounts without a service",
            "Accounts in your delivery that we serve nowhere. Please tell us whether these premises are on the sewer, or whose meter it is.",
            ["account", "meter", f"volume, {unit}", "nearest number that we know", "what is so"],
            theirs,
        ),
        Sheet(
            "accounts not delivered",
            "Accounts that we serve and that your delivery does not have. Please send their history, or tell us the number under which they go.",
            ["account", "meter", "nearest number in your delivery", "what is so"],
            ours,
        ),
    ]


def _doubts(read: Read, district: str) -> Sheet:
    """Findings that the district can say something about, with the accounts that they are about."""
    findings = _only(read, "findings", district)
    asked = findings.filter(findings.rule_id.isin(list(ASKED_ABOUT)) & (findings.severity != "info"))
    rows = read.rows(asked.order_by("rule_id", "service_id", "finding_id"))
    links = _only(read, "service_consumption", district)
    accounts: dict[str, list[str]] = {}
    named = among(links, "service_id", {r["service_id"] for r in rows if r["service_id"]})
    for link in read.rows(
        named.select("service_id", "district_account", "meter_id").distinct().order_by("district_account", "meter_id")
    ):
        shown = link["district_account"] + (f", meter {link['meter_id']}" if link["meter_id"] else "")
        accounts.setdefault(link["service_id"], []).append(shown)
    shown_rows: list[list[Cell]] = [
        [
            "; ".join(accounts.get(r["service_id"], [])) or "the delivery",
            str(r["period_start"] or ""),
            str(r["period_end"] or ""),
            r["message"],
            ASKED_ABOUT[r["rule_id"]],
        ]
        for r in rows
    ]
    words = (
        "Figures that we doubt. Our own work goes on meanwhile; an answer may change what your customer pays for sewer."
    )
    return Sheet(
        "figures in doubt",
        words,
        ["account", "from", "to (the day after)", "what we found", "what we ask"],
        shown_rows,
    )


def report_of(session: Session, billing_year: int, district: str) -> DistrictReport:
    """What is to be sent to a district. Errors: NotRun; ConfigError if there is no such district."""
    workspace = session.workspace
    if district not in workspace.districts:
        raise ConfigError(f"DISTRICT: {district!r} is not allowed; allowed: {', '.join(workspace.districts)}.")
    year = workspace.year(billing_year)
    require_run(session, billing_year)
    entry, read = workspace.district(district, billing_year), Read(session, billing_year)
    unit = UNIT_NAMES.get(entry.volume.unit, entry.volume.unit)
    refused = _refused(session, read, district, billing_year)
    sheets = [_totals(read, district, unit), refused, *_unmatched(read, district, unit), _doubts(read, district)]
    kinds = Counter(row[4] for row in refused.rows)
    wrong = kinds[_ASKED["refused"]]
    office = workspace.file.office
    lines = [
        f"{entry.name}: your delivery for the annual update {year.title}",
        f"{workspace.file.name}, for the winter {year.window_start} to {year.window_end} (that day excluded); new averages hold from {year.effective}.",
        "",
        "What we ask of you",
        f"1. totals: files that we read: {len(sheets[0].rows):,}. Tell us if a total is not yours.",
        f"2. rows not counted: {wrong:,} that could not be used, to be sent again; {len(refused.rows) - wrong:,} that came twice.",
        f"3. accounts without a service: {len(sheets[2].rows):,} of your accounts that we do not serve.",
        f"4. accounts not delivered: {len(sheets[3].rows):,} accounts of ours that are missing.",
        f"5. figures in doubt: {len(sheets[4].rows):,} that we would ask you to look at.",
        "",
        f"Answers before {year.effective} still count for this year. Corrected rows may come as a file of their own or as the whole file again.",
    ]
    if office is not None:
        reached = "; ".join(part for part in (office.phone, office.hours, office.email) if part)
        lines += ["", f"Questions: {office.name}; {reached}"]
    return DistrictReport(lines[0], lines, sheets)


def _text(value: str) -> str:
    return value if len(value) <= _LONGEST_TEXT else value[: _LONGEST_TEXT - 1] + "…"


def _widths(sheet: Sheet) -> list[float]:
    """Width of each column, in characters."""
    widths = []
    for column, name in enumerate(sheet.columns):
        texts = [str(row[column]) for row in sheet.rows[:200] if column < len(row) and row[column] is not None]
        longest = max([len(name) / 2, *(len(text) for text in texts)], default=8)
        widths.append(min(max(longest * 1.05 + 2, 9), _WIDEST))
    return widths


def _lines(row: list[Cell], widths: list[float]) -> int:
    """Lines that a row needs: no program makes room for wrapped text in a workbook that a program wrote."""
    needed = (
        ceil(len(_text(str(cell))) * 1.1 / width) for cell, width in zip(row, widths, strict=False) if cell is not None
    )
    return min(max([1, *needed]), _MOST_LINES)


def write_workbook(report: DistrictReport, to: Path) -> None:
    """Write the workbook to ``to``, whole or not at all. ConfigError if it is no .xlsx or its folder is not there."""
    if to.suffix.lower() != ".xlsx":
        raise ConfigError(f"{to}: the report is a workbook; allowed: a name that ends in .xlsx.")
    if not to.parent.is_dir():
        raise ConfigError(f"{to.parent}: there is no such folder; make it first, or name another.")
    literal = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with whole_file(to) as beside, xlsxwriter.Workbook(str(beside), literal) as book:
        title = book.add_format({"bold": True, "font_size": 14, "text_wrap": True})
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#E8EEF4"})
        wrapped = book.add_format({"text_wrap": True, "valign": "top", "num_format": "@"})
        whole = book.add_format({"num_format": "#,##0", "valign": "top"})
        volume = book.add_format({"num_format": "#,##0.000", "valign": "top"})
        first = book.add_worksheet("what we ask")
        first.set_column(0, 0, 80)
        for number, line in enumerate(report.lines):
            first.write_string(number, 0, line, title if number == 0 else book.add_format({"text_wrap": True}))
            fits, height = (54, 20) if number == 0 else (76, _LINE_HEIGHT)
            first.set_row(number, height * max(1, ceil(len(line) / fits)))
        first.set_landscape()
        first.set_paper(9)
        first.fit_to_pages(1, 0)
        for sheet in report.sheets:
            page = book.add_worksheet(sheet.name)
            page.write_string(0, 0, sheet.words)
            for column, name in enumerate(sheet.columns):
                page.write_string(2, column, _text(name), bold)
            widths = _widths(sheet)
            page.set_row(2, 2 * _LINE_HEIGHT)
            for column, width in enumerate(widths):
                page.set_column(column, column, width)
            for number, row in enumerate(sheet.rows, start=3):
                page.set_row(number, _LINE_HEIGHT * _lines(row, widths))
                for column, cell in enumerate(row):
                    match cell:
                        case None | "":
                            pass
                        case str():
                            page.write_string(number, column, _text(cell), wrapped)
                        case int():
                            page.write_number(number, column, cell, whole)
                        case _:
                            page.write_number(number, column, float(cell), volume)
            page.freeze_panes(3, 0)
            page.set_landscape()
            page.set_paper(9)
            page.fit_to_pages(1, 0)
            page.repeat_rows(2)
            if not sheet.rows:
                page.write_string(3, 0, "none")


def write_report(
    workspace: Workspace, billing_year: int, district: str, to: Path | None = None
) -> tuple[DistrictReport, Path]:
    """Write the report to a district. Errors: NotRun; ConfigError."""
    with read_session(workspace) as session:
        report = report_of(session, billing_year, district)
    target = to or workspace.work / "reports" / f"{billing_year}_{district}.xlsx"
    if to is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    write_workbook(report, target)
    return report, target
