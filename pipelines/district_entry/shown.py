"""What a person sees of a sample that was read: what was understood, what was refused, what speaks against running it.

Belongs here: the figures and their words, in the order in which a person asks for them.
Does not belong here: taking the sample in (``check``), printing (``cli``).

Text of the files is shown on the person's own terminal, harmless and cut.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from assets.front_door import DeliveredFile, FrontDoor
from assets.readers.any_layout import read_sheet
from assets.readers.sheet import Sheet, UnreadableFile
from pipelines.district_entry.harmless import harmless
from pipelines.district_entry.household import IN_WORDS, in_ccf, in_gallons, is_ordinary, ordinary_units
from pipelines.summary import Table
from rate_tables.volume_units import UNIT_NAMES
from validations.district import District, ReadingPairs, RegisterReadings, Usage
from validations.layout import AtCharacters, AtPosition, ColumnRef, Delimited, FixedWidth, Workbook
from validations.reasons import REASONS

_SHOWN_RECORDS = 10
_SHOWN_PER_REASON = 3
_SHOWN_NAMES = 15
_FEWEST_FOR_A_MEDIAN = 20
_FIRST_BYTES = 2_000
_DAYS = [(1, 9), (10, 24), (25, 36), (37, 51), (52, 70), (71, 79), (80, 102), (103, 400)]
"""Lengths of periods that are counted together: the usual ones of monthly, two-monthly and quarterly reading, and between."""


@dataclass
class Checked:
    """What came of a check.

    ``parts``: tables and lines in the order in which a person reads them. ``against``: what speaks against running it; empty
    if the entry fits the sample. ``to_know``: what a person should know of all the same.
    """

    title: str
    parts: list[Table | list[str]] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    to_know: list[str] = field(default_factory=list)


def show_reading(con: Any, door: FrontDoor, tolerated_percent: float, checked: Checked) -> None:
    """Add what was read to ``checked``."""
    reading = _Reading(con, door, checked)
    reading.columns_and_records()
    reading.volumes()
    reading.periods()
    reading.totals()
    reading.left_out(tolerated_percent)


class _Reading:
    """The tables of the front door, asked one after the other."""

    def __init__(self, con: Any, door: FrontDoor, checked: Checked) -> None:
        self._con, self._door, self._checked, self._entry = con, door, checked, door.entry
        for name in ("consumption", "rejected_rows"):
            con.create_table(f"checked_{name}", door[name], temp=True)
        self._files: list[dict[str, Any]] = con.to_pyarrow(door["delivery_totals"]).to_pylist()

    def _rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._con.con.execute(sql, list(parameters)).fetchall()  # type: ignore[no-any-return]

    def columns_and_records(self) -> None:
        """Which column is what, and the first records beside the text that they stand in."""
        shown = self._file_to_show()
        if shown is None:
            return
        try:
            sheet = read_sheet(self._con, shown.path, self._entry, self._door.scratch)
        except UnreadableFile:
            self._beginning(shown)
            return
        self._checked.parts.append([f"{harmless(shown.source_file)} is read as {_layout_in_words(self._entry)}"])
        first = sheet.rows.order_by("source_row").limit(_SHOWN_RECORDS).select("source_row", "raw_text", "fields")
        texts = {row["source_row"]: row for row in self._con.to_pyarrow(first).to_pylist()}
        self._checked.parts.append(_columns_table(self._entry, sheet, texts))
        if records := self._first_records(shown.source_file, sheet, texts):
            self._checked.parts.append(records)

    def _file_to_show(self) -> DeliveredFile | None:
        """The first file that holds records; else the first that cannot be read."""
        found = next((f for f in self._files if f["records"]), None)
        found = found or next((f for f in self._files if f["unreadable"]), None)
        return next((f for f in self._door.files if found and f.source_file == found["source_file"]), None)

    def _beginning(self, file: DeliveredFile) -> None:
        with file.path.open("rb") as opened:
            text = opened.read(_FIRST_BYTES).decode("utf-8", "replace")
        lines = [f"  {harmless(line, 100)}" for line in text.splitlines()[:3]]
        self._checked.parts.append([f"{harmless(file.source_file)} cannot be read; it begins:", *lines])

    def _first_records(self, source_file: str, sheet: Sheet, texts: dict[int, dict[str, Any]]) -> Table | None:
        unit = self._entry.volume.unit
        found = self._rows(
            """
            SELECT source_row, source_column, district_account, meter_id, period_start, period_end, days,
                   billed_volume_thousandths, read_type, NULL
            FROM checked_consumption WHERE source_file = $1 AND list_contains($2, source_row)
            UNION ALL
            SELECT source_row, source_column, NULL, NULL, NULL, NULL, NULL, NULL, NULL, reason_kind || ': ' || reason_code
            FROM checked_rejected_rows WHERE source_file = $1 AND list_contains($2, source_row)
            """,
            source_file, list(texts),
        )  # fmt: skip
        place = {name: number for number, name in enumerate(sheet.header)}
        found.sort(key=lambda row: (row[0], place.get(row[1], 0)))
        rows = []
        for row, column, account, meter, start, end, days, volume, read_type, reason in found[:_SHOWN_RECORDS]:
            text = texts[row]["raw_text"]
            if column in place:
                text = f"{column}: {texts[row]['fields'][place[column]]}"
            understood = (
                [f"({harmless(reason)})", "", "", "", "", "", ""]
                if reason
                else [
                    harmless(account, 24),
                    harmless(meter, 24),
                    str(start),
                    str(end),
                    str(days),
                    _number(volume),
                    read_type,
                ]
            )
            rows.append([str(row), *understood, harmless(text, 70)])
        if not rows:
            return None
        names = [
            "row",
            "account",
            "meter",
            "from",
            "to (not in it)",
            "days",
            unit,
            "read type",
            "as it stands in the file",
        ]
        return Table(f"The first {len(rows)} records", names, rows, numbers_from=len(names))

    def volumes(self) -> None:
        """What an ordinary account uses, so that a wrong unit is seen."""
        entry, unit = self._entry, self._entry.volume.unit
        figures = self._rows(
            """
            WITH periods AS (
                SELECT district_account, meter_id, period_start, period_end, sum(billed_volume_thousandths) AS volume
                FROM checked_consumption GROUP BY ALL
            ), of_meters AS (
                SELECT district_account, sum(volume) / 1000 / sum(period_end - period_start) * 30 AS volume
                FROM periods GROUP BY district_account, meter_id
            ), of_accounts AS (SELECT sum(volume)::DOUBLE AS volume FROM of_meters GROUP BY district_account)
            SELECT count(*), quantile_cont(volume, 0.1), median(volume), quantile_cont(volume, 0.9) FROM of_accounts
            """
        )
        accounts, low, median, high = figures[0]
        if not accounts:
            return
        rows = [
            [words, f"{value:,.2f}", f"{in_ccf(value, unit):,.2f}", f"{in_gallons(value, unit):,.0f}"]
            for words, value in (
                ("one in ten uses less than", low), ("the median account", median), ("one in ten uses more than", high),
            )
        ]  # fmt: skip
        title = f"Volumes are {_unit_in_words(entry)}. In 30 days, of {accounts:,} accounts"
        self._checked.parts.append(Table(title, ["", unit, "CCF", "gallons"], rows))
        if not is_ordinary(median, unit):
            others = [UNIT_NAMES[u] for u in ordinary_units(median) if u != unit]
            would = f" Read as {' or '.join(others)} it would." if others else ""
            sentence = (
                f"The median account uses {in_ccf(median, unit):,.2f} CCF in 30 days, and {IN_WORDS}: the unit or the decimals "
                f"do not fit.{would}"
            )
            few = f" With {accounts} accounts this may be chance."
            if accounts < _FEWEST_FOR_A_MEDIAN:
                self._checked.to_know.append(sentence + few)
            else:
                self._checked.against.append(sentence)

    def periods(self) -> None:
        """First and last day, how long periods are, whether that is the cycle, how much of the winter is there."""
        count, first, last = self._rows("SELECT count(*), min(period_start), max(period_end) FROM checked_consumption")[
            0
        ]
        if not count:
            return
        lengths = self._rows(
            f"""
            SELECT list_position({[most for _, most in _DAYS]}::BIGINT[], most), count(*) FROM (
                SELECT list_min(list_filter({[most for _, most in _DAYS]}::BIGINT[], lambda m: m >= days)) AS most
                FROM checked_consumption
            ) GROUP BY 1 ORDER BY 1
            """  # noqa: S608 - numbers of this module
        )
        rows = []
        for place, number in lengths:
            fewest, most = _DAYS[place - 1]
            share = number / count
            rows.append([f"{fewest} to {most} days", "#" * max(1, round(share * 40)), f"{number:,}", f"{share:.1%}"])
        title = f"Periods from {first} to {last} (the day of the last read)"
        self._checked.parts.append(Table(title, ["length", "", "records", "share"], rows, numbers_from=2))
        self._cycle(count)
        self._winter()

    def _cycle(self, count: int) -> None:
        cycle = self._entry.billing_cycle.replace("_", "-")
        usual = next(((f["cycle_days_from"], f["cycle_days_to"]) for f in self._files), (None, None))
        fewest, most = usual
        if fewest is None:
            self._checked.parts.append([f"The cycle is {cycle}: no length is expected."])
            return
        fitting, typical = self._rows(
            "SELECT count(*) FILTER (days BETWEEN $1 AND $2), median(days) FROM checked_consumption", fewest, most
        )[0]
        self._checked.parts.append(
            [f"The cycle is {cycle} ({fewest} to {most} days): {fitting / count:.1%} of the records have that length."]
        )
        if not fewest <= typical <= most:
            self._checked.against.append(
                f"A period typically has {typical:.0f} days, and billing_cycle {cycle} says {fewest} to {most}: look at the "
                "dates (day and month exchanged?) and at billing_cycle."
            )

    def _winter(self) -> None:
        year = self._door.year
        start, end = year.window_start, year.window_end
        asked = year.averaging.schedule.averaging.enough_history.value
        least = next((enough.days for enough in asked if enough.days), 1)
        meters, covered, enough = self._rows(
            """
            WITH periods AS (
                SELECT DISTINCT district_account, meter_id, greatest(period_start, $1::DATE) AS a, least(period_end, $2::DATE) AS b
                FROM checked_consumption
            ), of_meters AS (
                SELECT least(sum(greatest(b - a, 0)), $2::DATE - $1::DATE) AS days FROM periods GROUP BY district_account, meter_id
            )
            SELECT count(*), sum(days) / (count(*) * ($2::DATE - $1::DATE)), count(*) FILTER (days >= $3) FROM of_meters
            """,
            start, end, least,
        )[0]  # fmt: skip
        self._checked.parts.append([
            f"The winter of billing year {year.billing_year} ({start} to {end}): {float(covered):.1%} of its days are covered; "
            f"{enough:,} of {meters:,} meters have at least {least} days of it."
        ])  # fmt: skip
        if not covered:
            self._checked.against.append(
                f"No record reaches into the winter of billing year {year.billing_year}: is this the year of the sample (--year)?"
            )

    def totals(self) -> None:
        """Per file: rows, records and volume, what became of them, and what the file states of itself."""
        counted = {
            (f, kind): (n, q)
            for f, kind, n, q in self._rows(
                """
                SELECT source_file, 'taken', count(*), sum(delivered_quantity_thousandths) FROM checked_consumption GROUP BY 1
                UNION ALL
                SELECT source_file, reason_kind, count(*), sum(delivered_quantity_thousandths)
                FROM checked_rejected_rows GROUP BY 1, 2
                """
            )
        }
        kinds = ["taken", "refused", "duplicate", "set_aside"]
        what = self._entry.volume.unit if isinstance(self._entry.measure, Usage) else "sum of readings"
        rows = []
        for file in self._files:
            name = file["source_file"]
            if file["unreadable"]:
                self._checked.against.append(f"{harmless(name)} cannot be read: {harmless(file['message'], 500)}.")
            counts = [f"{counted.get((name, kind), (0, 0))[0]:,}" for kind in kinds]
            volume = _number(file["delivered_quantity_thousandths"])
            rows.append([harmless(name), f"{file['rows_in_file']:,}", f"{file['records']:,}", *counts, volume])
            self._control_totals(file)
        names = ["file", "rows", "records", "consumption", "refused", "duplicate", "set aside", what]
        self._checked.parts.append(Table("What became of each file", names, rows))
        if not any(file["records"] for file in self._files) and not self._checked.against:
            self._checked.against.append("There is no record of consumption in any file.")

    def _control_totals(self, file: dict[str, Any]) -> None:
        stated = (
            ("records", file["control_records"], file["records"], "{:,}".format),
            ("a sum of", file["control_quantity_thousandths"], file["delivered_quantity_thousandths"], _number),
        )
        for words, states, holds, shown in stated:
            if states is not None and states != holds:
                self._checked.against.append(
                    f"{harmless(file['source_file'])} states {words} {shown(states)} and holds {shown(holds)}: ask whether the "
                    "file is complete, or look at decimals and unit."
                )
        if file["control_records"] == file["records"] and file["control_records"] is not None:
            self._checked.parts.append(
                [f"{harmless(file['source_file'])} states how many records it has, and has them: {file['records']:,}."]
            )

    def left_out(self, tolerated_percent: float) -> None:
        """What was refused, was there twice or was set aside, and why; the first rows of each."""
        counts = self._rows(
            """
            SELECT reason_kind, reason_code, count(*) FROM checked_rejected_rows WHERE reason_code <> 'file_unreadable'
            GROUP BY reason_kind, reason_code ORDER BY reason_kind = 'set_aside', reason_kind = 'duplicate', 3 DESC, 2
            """
        )
        records = sum(file["records"] for file in self._files)
        refused = sum(n for kind, _, n in counts if kind == "refused")
        for kind, code, count in counts:
            head = f"{kind.replace('_', ' ')}: {count:,} {'row' if count == 1 else 'rows'}, {code}: {REASONS[code][1]}"
            rows = self._rows(
                "SELECT source_file, source_row, source_column, raw_text FROM checked_rejected_rows WHERE reason_code = ? "
                "ORDER BY 1, 2, 3 LIMIT ?", code, _SHOWN_PER_REASON,
            )  # fmt: skip
            several = len(self._files) > 1
            lines = [
                f"    {harmless(name) + ', ' if several else ''}row {row}{', ' + harmless(column) if column else ''}: "
                f"{harmless(text, 100)}"
                for name, row, column, text in rows
            ]
            self._checked.parts.append([head, *lines])
        if refused > records * tolerated_percent / 100:
            share = f" ({refused / records:.1%})" if records else ""
            self._checked.against.append(
                f"{refused:,} of {records:,} records{share} are refused; {tolerated_percent:g} % are tolerated."
            )
        elif refused:
            self._checked.to_know.append(
                f"{refused:,} of {records:,} records are refused: send them back to {harmless(self._entry.write_to)}."
            )


def _columns_table(entry: District, sheet: Sheet, texts: dict[int, dict[str, Any]]) -> Table:
    first: list[str] = next(([f or "" for f in t["fields"]] for t in texts.values() if t["fields"]), [])
    rows, used = [], set[int]()
    for name, reference in entry.columns.named().items():
        place = _place(reference, name, sheet.header)
        used.add(place)
        text = first[place] if place < len(first) else ""
        rows.append([name, _reference_in_words(reference), harmless(text.strip(), 40)])
    if entry.month_columns is not None:
        months = [n for n in sheet.header if _is_month(n, entry.month_columns.header_format)]
        used |= {sheet.header.index(n) for n in months}
        span = f"{len(months)} columns, {months[0]} to {months[-1]}" if months else "no column"
        rows.append(["volume", harmless(span), ""])
    left = [n for i, n in enumerate(sheet.header) if i not in used and n]
    if left and not isinstance(entry.layout, FixedWidth):
        more = f" and {len(left) - _SHOWN_NAMES} more" if len(left) > _SHOWN_NAMES else ""
        rows.append(["(not used)", harmless(", ".join(left[:_SHOWN_NAMES]), 100) + more, ""])
    return Table("Columns", ["field", "column", "in the first record"], rows, numbers_from=3)


def _is_month(name: str, header_format: str) -> bool:
    try:
        dt.datetime.strptime(name, header_format)
    except ValueError:
        return False
    return True


def _place(reference: ColumnRef, field: str, header: list[str]) -> int:
    if isinstance(reference, AtPosition):
        return reference.position - 1
    name = reference if isinstance(reference, str) else field
    return header.index(name) if name in header else len(header)


def _reference_in_words(reference: ColumnRef) -> str:
    match reference:
        case AtPosition(position=position):
            return f"column {position}"
        case AtCharacters(start=start, width=width):
            return f"characters {start} to {start + width - 1}"
        case str():
            return harmless(reference)


def _layout_in_words(entry: District) -> str:
    match entry.layout:
        case Delimited() as layout:
            mark = {"\t": "tabs", " ": "spaces"}.get(layout.delimiter, f"the character {layout.delimiter}")
            last = layout.header_row + layout.header_lines - 1
            names = f"line {layout.header_row}" if last == layout.header_row else f"lines {layout.header_row} to {last}"
            header = f"names of columns in {names}" if layout.header_row else "no names of columns"
            kind = f"text in {layout.encoding}, fields parted by {mark}, {header}"
        case FixedWidth() as layout:
            kind = f"text in {layout.encoding}, fields at fixed characters, {layout.record_length} in a line"
        case Workbook() as layout:
            sheet = f"sheet {harmless(layout.sheet)}" if layout.sheet else "its first sheet"
            kind = f"a workbook, {sheet}, names of columns in row {layout.header_row}"
    match entry.measure:
        case RegisterReadings():
            gives = "a reading of the register in each row"
        case ReadingPairs():
            gives = "the register's readings at both ends of a period in each row"
        case _:
            gives = "usage, a column per month" if entry.month_columns else "usage, a period in each row"
    return f"{kind}: {gives}."


def _unit_in_words(entry: District) -> str:
    volume = entry.volume
    words = UNIT_NAMES[volume.unit]
    if volume.implied_decimals:
        words += f" with {volume.implied_decimals} decimals that are not written"
    elif volume.decimal_mark == ",":
        words += " with a decimal comma"
    return words + (", times the multiplier of the row" if entry.columns.multiplier is not None else "")


def _number(thousandths: int) -> str:
    return f"{Decimal(thousandths).scaleb(-3):,.3f}".rstrip("0").rstrip(".")
