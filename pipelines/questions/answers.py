"""Answers to standing questions: rows of a view, as many as are asked for.

Belongs here: reading a view, narrowing it, the CSV of it. Does not belong here: what a view says.
"""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from assets.standing_questions import QUESTIONS, Question
from pipelines.district_entry.harmless import harmless
from pipelines.summary import NotRun, Table, connect_for_reading
from rate_tables.config_file import ConfigError
from validations.workspace import Workspace

_COUNTED_YEARS = ("years_without_history", "years_running")
_LONGEST_CELL = 90


@dataclass(frozen=True)
class Answer:
    """Rows of a view for a year, cells as the database has them, worst first."""

    question: Question
    columns: list[str]
    rows: list[tuple[Any, ...]]
    remarks: list[str]

    def table(self, at_most: int) -> Table:
        """The first rows, to be printed."""
        figures = [
            n
            for n, name in enumerate(self.columns)
            if any(isinstance(row[n], int | Decimal) and not isinstance(row[n], bool) for row in self.rows)
        ]
        shown = [
            [harmless(_text(cell, name), _LONGEST_CELL) for cell, name in zip(row, self.columns, strict=True)]
            for row in self.rows[:at_most]
        ]
        places = [n for n in range(len(self.columns)) if n not in figures] + figures
        return Table(
            f"{self.question.title}: {len(self.rows):,}", [self.columns[n] for n in places], [[row[n] for n in places] for row in shown],
            numbers_from=len(places) - len(figures),
        )  # fmt: skip

    def write(self, path: Path) -> None:
        """Every row as CSV; what a spreadsheet would take for a formula is marked as text. ConfigError if the file is there already."""
        try:
            with path.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(self.columns)
                writer.writerows([_safe(cell) for cell in row] for row in self.rows)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be written ({error.strerror}); name a file that is not there yet."
            ) from None


def _text(cell: Any, name: str) -> str:
    if name.startswith("last_year"):
        return "" if cell is None else str(cell)
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int | Decimal) else str(cell)


def _safe(cell: Any) -> Any:
    if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r"):
        return f"'{cell}"
    return cell


def _order(question: Question) -> str:
    """Worst first: most years, then most money or volume, then by key."""
    worst = [
        f"{name} DESC"
        for name in (*_COUNTED_YEARS, "is_billed", "balance", "billed_volume", "delivered_volume")
        if name in question.columns
    ]
    first = ["unclaimed_from NULLS LAST"] if "unclaimed_from" in question.columns else worst
    keys = [
        name for name in ("service_id", "district_id", "district_account", "volume_unit") if name in question.columns
    ]
    return ", ".join([*first, *keys])


def found(name: str) -> Question:
    """The question of a name. ConfigError names those that there are."""
    for question in QUESTIONS:
        if question.name == name:
            return question
    raise ConfigError(f"{name!r} is no standing question; there are: {', '.join(q.name for q in QUESTIONS)}.")


def _ask(
    con: duckdb.DuckDBPyConnection, question: Question, billing_year: int, years: int, as_of: dt.date | None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    where, given = ["billing_year = $year"], {"year": billing_year}
    for name in _COUNTED_YEARS:
        if name in question.columns and years > 1:
            where.append(f"{name} >= $years")
            given["years"] = years
    if "unclaimed_from" in question.columns and as_of is not None:
        where.append("(unclaimed_from <= $as_of OR unclaimed_from IS NULL)")
        given["as_of"] = as_of  # type: ignore[assignment]
    # Names in this SQL are those of the list of questions; nothing comes from a person.
    sql = f'SELECT * EXCLUDE (billing_year) FROM "{question.view}" WHERE {" AND ".join(where)} ORDER BY {_order(question)}'  # noqa: S608
    try:
        answer = con.execute(sql, given)
    except duckdb.CatalogException:
        raise NotRun(f"the last run did not know this question; run: annual-billing run {billing_year}") from None
    return [column[0] for column in answer.description or ()], answer.fetchall()


def _remarks(con: duckdb.DuckDBPyConnection, workspace: Workspace, question: Question, billing_year: int) -> list[str]:
    remarks = [question.remedy]
    if question.name in ("collections_or_written_off", "untouched_credits"):
        given = con.execute(
            "SELECT count(*) FROM receivables WHERE billing_year = $year", {"year": billing_year}
        ).fetchone()
        if not given or not given[0]:
            remarks.append(
                f"There are no receivables of the year: export cis_extract/{billing_year}/receivables.csv and run again."
            )
    if question.name == "untouched_credits":
        law = workspace.file.unclaimed_property
        remarks.append(
            "workspace.yaml, key unclaimed_property, does not say after how many years a credit is unclaimed: every credit is listed."
            if law is None
            else f"A credit is unclaimed after {law.years} years without a change ({law.source})."
        )
    if any(name in question.columns for name in _COUNTED_YEARS):
        rows = con.execute(
            "SELECT DISTINCT billing_year FROM billing_basis WHERE billing_year <= $year ORDER BY 1",
            {"year": billing_year},
        ).fetchall()
        remarks.append(f"Years are counted among those that were run: {', '.join(str(row[0]) for row in rows)}.")
    return remarks


def answer(
    workspace: Workspace, billing_year: int, name: str, *, years: int = 1, as_of: dt.date | None = None
) -> Answer:
    """What the question ``name`` answers for the year: rows of ``years`` years in a row at least; credits unclaimed on ``as_of``.

    Errors: NotRun; ConfigError if there is no such question.
    """
    workspace.year(billing_year)
    question = found(name)
    with connect_for_reading(workspace, billing_year) as con:
        columns, rows = _ask(con, question, billing_year, years, as_of)
        return Answer(question, columns, rows, _remarks(con, workspace, question, billing_year))


def overview(workspace: Workspace, billing_year: int, *, years: int = 1, as_of: dt.date | None = None) -> Table:
    """Every question with the number of its rows. Errors as ``answer``."""
    workspace.year(billing_year)
    with connect_for_reading(workspace, billing_year) as con:
        rows = [[q.name, q.title, f"{len(_ask(con, q, billing_year, years, as_of)[1]):,}"] for q in QUESTIONS]
    return Table(f"Standing questions of {billing_year}", ["name", "question", "rows"], rows, numbers_from=2)
