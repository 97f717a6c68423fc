"""The workbook that reviewers work in: one row per finding about a service, what it rests on, and cells for the decision.

Belongs here: sheets, cells, widths, drop-downs, print set-up.
Does not belong here: what stands in it (``evidence``), reading it back (``taking_in``: like any file from outside).

Text is written as text: nothing that begins like a formula becomes one, and leading zeros stay. A workbook that is there already is
never written over: somebody may have filled it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

import xlsxwriter

from assets.durable import whole_file
from pipelines.review.evidence import Review, Row
from pipelines.review.words import (
    DECISIONS,
    ENTRY_COLUMNS,
    OTHER_SHEET,
    SAMPLE_SHEET,
    STALE_SHEET,
    SUMMARY_SHEET,
    TIED_COLUMNS,
    WORDS_SHEET,
    WORKLIST_SHEET,
)
from rate_tables.config_file import ConfigError
from rate_tables.volume_units import UNIT_NAMES

_LONGEST_TEXT = 2_000
_LISTS = {
    "worklist": "one by one",
    "sample": "sample of those below the limit",
    "below_limit": "below the limit, not drawn",
}


@dataclass(frozen=True)
class Column:
    """A column of a list: header, width, format of its cells, and what stands in it."""

    header: str
    width: float
    shape: str
    value: Callable[[Row], Any]


@dataclass(frozen=True)
class Entry:
    """What stands in a row's cells for the decision."""

    decision: str = ""
    average: str = ""
    reason: str = ""
    name: str = ""


def _period(row: Row) -> str:
    if row["period_start"] is None or row["period_end"] is None:
        return ""
    return f"{row['period_start']} to {row['period_end']}"


def _decided_before(row: Row) -> str:
    return (
        f"{row['decision']} ({'the evidence has changed' if row['decision_status'] == 'stale' else 'stands'})"
        if row["decision"]
        else ""
    )


def _columns(review: Review) -> list[Column]:
    """The columns of the lists about services, up to the cells for the decision."""

    def of(name: str) -> Callable[[Row], Any]:
        return lambda row: row[name]

    def month(place: int) -> Column:
        return Column(review.months[place].strftime("%Y-%m"), 6.4, "use", lambda row: row["months"][place])

    return [
        Column("place", 5.5, "count", of("place")),
        Column("account", 11, "text", of("account_id")),
        Column("service", 11, "text", of("service_id")),
        Column("district", 13, "text", of("district_id")),
        Column("class", 12, "text", of("customer_class")),
        Column("rule", 24, "text", of("rule_id")),
        Column("severity", 10.5, "text", of("severity")),
        Column("what was found", 40, "text", of("message")),
        Column("what to do", 30, "text", of("remedy")),
        Column("period (to: the day after)", 11, "text", _period),
        Column("use in it, a month", 8, "use", of("in_period")),
        Column("a year before", 8, "use", of("last_year")),
        Column("own median month", 8, "use", of("own_median")),
        *(month(place) for place in range(len(review.months))),
        Column("chart", 16, "chart", lambda _: None),
        Column("average in force", 9, "average", of("prior_average")),
        Column("average now", 9, "average", of("winter_average")),
        Column("average the other way", 9, "average", of("other_average")),
        Column("the other way", 18, "text", of("other_way")),
        Column("bills a year now", 10.5, "dollars", of("amount_a_year")),
        Column("bills a year the other way", 10.5, "dollars", of("other_amount_a_year")),
        Column("dollars a year at stake", 10.5, "dollars", of("at_stake_a_year")),
        Column("proposed decision", 13.5, "text", of("proposed_decision")),
        Column("decided before", 14, "text", _decided_before),
    ]  # fmt: skip


_OTHER_COLUMNS = [
    Column("district", 14, "text", lambda row: row["district_id"]),
    Column("rule", 26, "text", lambda row: row["rule_id"]),
    Column("severity", 11, "text", lambda row: row["severity"]),
    Column("what was found", 70, "text", lambda row: row["message"]),
    Column("what to do", 60, "text", lambda row: row["remedy"]),
]
_CHANGED_COLUMNS = [
    Column("decision", 15, "text", lambda row: row["decision_id"]),
    Column("service", 12, "text", lambda row: row["service_id"]),
    Column("rule", 22, "text", lambda row: row["rule_id"]),
    Column("decided", 14, "text", lambda row: row["decision"]),
    Column("on", 11, "text", lambda row: str(row["decided_on"])),
    Column("by", 18, "text", lambda row: row["decided_by"]),
    Column("reason", 36, "text", lambda row: row["reason"]),
    Column("figure", 24, "text", lambda row: row["figure"]),
    Column("as it was then", 26, "text", lambda row: row["then"]),
    Column("as it is", 26, "text", lambda row: row["now"]),
]
_ENTRY_WIDTHS = {"decision": 14, "average": 9, "reason": 30, "name": 13}


class _Book:
    """A workbook being written, with its formats."""

    def __init__(self, path: Path, title: str) -> None:
        literal_text = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        self.book = xlsxwriter.Workbook(str(path), literal_text)
        self.book.set_properties({"title": title})
        self.title = title
        cell: dict[str, Any] = {"valign": "top", "font_size": 9, "bottom": 4, "bottom_color": "#BFBFBF"}
        shapes: dict[str, dict[str, Any]] = {
            "text": {"num_format": "@", "text_wrap": True, "align": "left", "indent": 1}, "count": {"num_format": "0"}, "use": {"num_format": "#,##0.0"},
            "average": {"num_format": "#,##0.0##"}, "dollars": {"num_format": "#,##0.00"}, "chart": {},
        }  # fmt: skip
        self.shapes = {name: self.book.add_format(cell | shape) for name, shape in shapes.items()}
        entry: dict[str, Any] = cell | {"bg_color": "#FFF7D6", "border": 1, "border_color": "#D9C98A"}
        self.entries = {
            name: self.book.add_format(
                entry | ({"num_format": "0.0##"} if name == "average" else {"num_format": "@", "text_wrap": True})
            )
            for name in ENTRY_COLUMNS
        }
        head = {
            "bold": True,
            "font_size": 9,
            "text_wrap": True,
            "valign": "vcenter",
            "bg_color": "#E3ECF5",
            "bottom": 1,
        }
        self.head = self.book.add_format(head)
        self.entry_head = self.book.add_format(head | {"bg_color": "#F7E3A1"})
        self.must = self.book.add_format(cell | {"num_format": "@", "bold": True, "font_color": "#9C0006"})
        self.bold = self.book.add_format({"bold": True})

    def sheet(self, name: str, columns: list[Column], *, kept_columns: int, across: str) -> Any:
        """A sheet with its header, set up for reading on a screen and on paper."""
        sheet = self.book.add_worksheet(name)
        for place, column in enumerate(columns):
            sheet.set_column(place, place, column.width)
            sheet.write_string(0, place, column.header, self.head)
        sheet.set_row(0, 40)
        sheet.freeze_panes(1, kept_columns)
        sheet.set_landscape()
        sheet.set_paper(8 if across == "A3" else 9)
        sheet.set_margins(left=0.3, right=0.3, top=0.6, bottom=0.5)
        sheet.fit_to_pages(2 if across == "A3" else 1, 0)
        sheet.repeat_rows(0)
        if across == "A3":
            sheet.repeat_columns(0, kept_columns - 1)
        sheet.set_header(f"&L{self.title.replace('&', '&&')}&R{name}")
        sheet.set_footer("&CPage &P of &N")
        return sheet

    def write(self, sheet: Any, number: int, place: int, value: Any, shape: Any) -> None:
        if value is None:
            sheet.write_blank(number, place, None, shape)
        elif isinstance(value, (int, float, Decimal)):
            # Spreadsheet programs keep 15 digits; figures for looking at have three decimals, so that they stay what they are.
            sheet.write_number(number, place, round(value, 3), shape)
        else:
            sheet.write_string(number, place, str(value)[:_LONGEST_TEXT], shape)

    def rows(self, sheet: Any, columns: list[Column], rows: Iterable[Row]) -> None:
        for number, row in enumerate(rows, start=1):
            lines = 2
            for place, column in enumerate(columns):
                value = column.value(row)
                is_urgent = column.header == "severity" and value == "must_decide"
                self.write(sheet, number, place, value, self.must if is_urgent else self.shapes[column.shape])
                if column.shape == "text":
                    lines = max(lines, ceil(len(str(value)) / (column.width - 1)))
            sheet.set_row(number, min(12 * lines + 4, 160))

    def entry_cells(
        self, sheet: Any, first: int, rows: list[Row], words: list[str], entries: Mapping[str, Entry]
    ) -> None:
        """Cells for the decision, their drop-downs, and the hidden columns that say what a row is about."""
        for place, name in enumerate(ENTRY_COLUMNS, start=first):
            sheet.set_column(place, place, _ENTRY_WIDTHS[name])
            sheet.write_string(0, place, name, self.entry_head)
        hidden = first + len(ENTRY_COLUMNS)
        for place, name in enumerate(TIED_COLUMNS, start=hidden):
            sheet.set_column(place, place, 20, None, {"hidden": True})
            sheet.write_string(0, place, name, self.head)
        for number, row in enumerate(rows, start=1):
            entry = entries.get(row["finding_id"], Entry())
            for place, name in enumerate(ENTRY_COLUMNS, start=first):
                text = getattr(entry, name)
                value = None if not text else Decimal(text) if name == "average" else text
                self.write(sheet, number, place, value, self.entries[name])
            for place, name in enumerate(TIED_COLUMNS, start=hidden):
                sheet.write_string(number, place, row[name], self.shapes["text"])
        if not rows:
            return
        last = len(rows)
        told = {
            "input_title": "decision",
            "input_message": f"One of: {', '.join(words)}. What each does stands in the sheet '{WORDS_SHEET}'."[:255],
        }
        wrong = {"error_title": "decision", "error_message": f"Allowed: {', '.join(words)}."[:255]}
        sheet.data_validation(1, first, last, first, {"validate": "list", "source": words, **told, **wrong})
        figure = {
            "validate": "decimal",
            "criteria": ">=",
            "value": 0,
            "input_title": "average",
            "input_message": "Per month; for set_average only.",
        }
        sheet.data_validation(1, first + 1, last, first + 1, figure)
        short = {
            "validate": "length",
            "criteria": "<=",
            "value": 200,
            "input_title": "reason",
            "input_message": "Why, in one line. It is kept for ever.",
        }
        sheet.data_validation(1, first + 2, last, first + 2, short)


def _services_sheet(out: _Book, name: str, review: Review, rows: list[Row], entries: Mapping[str, Entry]) -> None:
    columns = _columns(review)
    sheet = out.sheet(name, columns, kept_columns=3, across="A3")
    out.rows(sheet, columns, rows)
    headers = [column.header for column in columns]
    chart, first_month = headers.index("chart"), headers.index(review.months[0].strftime("%Y-%m"))
    for number in range(1, len(rows) + 1):
        place = {
            "range": f"'{name}'!{_cell(number, first_month)}:{_cell(number, chart - 1)}",
            "type": "column",
            "min": 0,
            "series_color": "#44729D",
        }
        sheet.add_sparkline(number, chart, place | {"high_point": True, "high_color": "#C0504D"})
    out.entry_cells(sheet, len(columns), rows, list(DECISIONS), entries)
    # A filter sorts its own columns and no others: without the hidden ones, a sorted row would be about another finding.
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) + len(ENTRY_COLUMNS) + len(TIED_COLUMNS) - 1)


def _cell(row: int, column: int) -> str:
    return str(xlsxwriter.utility.xl_rowcol_to_cell(row, column, row_abs=True, col_abs=True))


def _write_words(out: _Book, review: Review) -> None:
    columns = [
        Column("word", 18, "text", lambda r: r["word"]),
        Column("what it does", 100, "text", lambda r: r["does"]),
    ]
    sheet = out.sheet(WORDS_SHEET, columns, kept_columns=1, across="A4")
    told: dict[str, str] = {**DECISIONS} | {
        "": "",
        "reason": "Why, in one line. It is kept for ever beside the decision.",
        "name": "Who decided.",
        "a decision": "is tied to the evidence that stands beside it. If a later delivery changes that, the finding comes back here, and both versions "
        f"stand in the sheet '{STALE_SHEET}'.",
        "an empty row": "is skipped: the finding stays open.",
        "figures of use": f"are {UNIT_NAMES[review.unit]}. Days of a month that are known stand for the month.",
        "dollars at stake": "are the difference between the bills of a year with the average as it is and with the average the other way.",
        "when done": "save as .xlsx and call: annual-billing decide YEAR FILE; then run the year again.",
    }  # fmt: skip
    out.rows(sheet, columns, [{"word": word, "does": does} for word, does in told.items()])


def _write_summary(out: _Book, review: Review, minutes: float) -> None:
    columns = [
        Column("looked at", 30, "text", lambda r: _LISTS[r["listed_on"]]),
        Column("rule", 30, "text", lambda r: r["rule_id"] or "all, each service once"),
        Column("findings", 10, "count", lambda r: r["findings"]),
        Column("open findings", 10, "count", lambda r: r["open"]),
        Column("services", 10, "count", lambda r: r["services"]),
        Column("open services", 10, "count", lambda r: r["open_services"]),
        Column("hours for the open ones", 12, "average", lambda r: None if r["listed_on"] == "below_limit" else round(r["open_services"] * minutes / 60, 1)),
        Column("dollars a year at stake", 14, "dollars", lambda r: r["at_stake"]),
    ]  # fmt: skip
    sheet = out.sheet(SUMMARY_SHEET, columns, kept_columns=0, across="A4")
    out.rows(sheet, columns, review.load)
    sheet.write_string(
        len(review.load) + 2, 0,
        f"Hours at {minutes:g} minutes for a service. A service with findings of several rules is counted under each of them, and once in a line of all.",
    )  # fmt: skip


def _write_sheets(out: _Book, review: Review, minutes: float, entries: Mapping[str, Entry]) -> None:
    _services_sheet(out, WORKLIST_SHEET, review, [r for r in review.rows if r["listed_on"] != "sample"], entries)
    _write_words(out, review)
    _write_summary(out, review, minutes)
    _services_sheet(out, SAMPLE_SHEET, review, [r for r in review.rows if r["listed_on"] == "sample"], entries)
    others = out.sheet(OTHER_SHEET, _OTHER_COLUMNS, kept_columns=1, across="A4")
    out.rows(others, _OTHER_COLUMNS, review.others)
    out.entry_cells(
        others,
        len(_OTHER_COLUMNS),
        review.others,
        list(DECISIONS) if any(r["service_id"] for r in review.others) else ["as_it_is"],
        entries,
    )
    if review.changed:
        changed = out.sheet(STALE_SHEET, _CHANGED_COLUMNS, kept_columns=3, across="A4")
        out.rows(changed, _CHANGED_COLUMNS, review.changed)


def write_workbook(review: Review, to: Path, minutes: float, entries: Mapping[str, Entry] | None = None) -> None:
    """Write the workbook to ``to``, whole or not at all; ``minutes`` a service are what the hours are stated at.

    ``entries``: decisions that are filled in already, by finding.
    Errors: as for ``must_be_free``.
    """
    must_be_free(to)
    with whole_file(to) as beside:
        out = _Book(beside, review.title)
        _write_sheets(out, review, minutes, entries or {})
        out.book.close()


def must_be_free(to: Path) -> None:
    """ConfigError if there is such a file, its folder is not there, or it is no .xlsx: said before a minute's work is done for it."""
    if to.suffix.lower() != ".xlsx":
        raise ConfigError(f"{to}: the review is a workbook; allowed: a name that ends in .xlsx.")
    if to.exists():
        raise ConfigError(
            f"{to}: there is such a file already; it is not overwritten, because decisions may stand in it."
        )
    if not to.parent.is_dir():
        raise ConfigError(f"{to.parent}: there is no such folder; make it first, or name another.")
