"""What a person is told at the end of a run, and by ``status``: from ``billing.duckdb`` and the checks alone.

Belongs here: the figures, in the order in which a person asks for them.
Does not belong here: how they are printed (``cli``), how they come about.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from pipelines.limits import limits
from validations.workspace import Workspace


class NotRun(Exception):
    """The year has not been run in this workspace."""


@dataclass(frozen=True)
class Table:
    """A titled table of figures."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    numbers_from: int = 1


@dataclass(frozen=True)
class Summary:
    """The state of a billing year."""

    title: str
    tables: list[Table]
    needs_a_person: list[str]
    outputs: list[tuple[str, str]] = field(default_factory=list)


DERIVATIONS = {
    "computed": "computed from its own winter",
    "adjusted": "computed, with consumption adjustments",
    "previous_occupant": "winter of the occupant before",
    "prior_year": "prior average stays",
    "class_average": "average of its class (no history)",
    "default": "default of its class (no history)",
    "fixed": "fixed volume per EDU",
    "carried_forward": "carried forward: district not received",
    "held": "held: a person has to decide",
    "excluded": "excluded: closed, or billed otherwise",
}


def _rows(con: duckdb.DuckDBPyConnection, sql: str, year: int) -> list[tuple[Any, ...]]:
    return con.execute(sql, {"year": year}).fetchall()


def _count(number: Any) -> str:
    return f"{number or 0:,}"


def _deliveries(con: duckdb.DuckDBPyConnection, year: int) -> Table:
    rows = _rows(
        con,
        """
        WITH files AS (
            SELECT district_id, count(*) FILTER (status = 'current') AS files, bool_or(status = 'not_received') AS missing,
                   bool_or(status IN ('still_being_written', 'refused', 'not_pulled')) AS partial
            FROM deliveries WHERE billing_year = $year GROUP BY 1
        ), totals AS (
            SELECT district_id, sum(records)::BIGINT AS records, bool_or(unreadable) AS unreadable
            FROM delivery_totals WHERE billing_year = $year GROUP BY 1
        ), taken AS (
            SELECT district_id, count(*) AS taken FROM consumption WHERE billing_year = $year GROUP BY 1
        ), left_out AS (
            SELECT district_id, count(*) FILTER (reason_kind = 'refused') AS refused,
                   count(*) FILTER (reason_kind = 'duplicate') AS duplicate,
                   count(*) FILTER (reason_kind = 'set_aside') AS set_aside
            FROM rejected_rows WHERE billing_year = $year GROUP BY 1
        )
        SELECT district_id, CASE WHEN missing THEN 'not received' WHEN unreadable THEN 'unreadable'
                                 WHEN partial THEN 'in part' ELSE 'received' END,
               files, records, taken, refused, duplicate, set_aside
        FROM files LEFT JOIN totals USING (district_id) LEFT JOIN taken USING (district_id)
             LEFT JOIN left_out USING (district_id)
        ORDER BY district_id
        """,
        year,
    )
    return Table(
        "What came in",
        ["district", "state", "files", "records", "consumption", "refused", "duplicate", "set aside"],
        [[r[0], r[1], *map(_count, r[2:])] for r in rows],
        numbers_from=2,
    )


def _averages(con: duckdb.DuckDBPyConnection, year: int) -> Table:
    found = {
        r[0]: r[1:]
        for r in _rows(
            con,
            """
            SELECT derivation, count(*), sum(prior_average), sum(winter_average)
            FROM billing_basis WHERE billing_year = $year GROUP BY 1
            """,
            year,
        )
    }
    rows = [
        [words, _count(found[code][0]), f"{found[code][1] or 0:,.2f}", f"{found[code][2] or 0:,.2f}"]
        for code, words in DERIVATIONS.items()
        if code in found
    ]
    totals = [sum(v[i] or 0 for v in found.values()) for i in range(3)]
    rows.append(["all services", _count(totals[0]), f"{totals[1]:,.2f}", f"{totals[2]:,.2f}"])
    return Table("Winter averages", ["how it came about", "services", "CCF a month before", "CCF a month now"], rows)


def _bills(con: duckdb.DuckDBPyConnection, year: int) -> Table:
    rows = _rows(
        con,
        """
        SELECT status, count(DISTINCT service_id), sum(amount * bills_in_period)
        FROM bills WHERE billing_year = $year GROUP BY 1 ORDER BY status DESC
        """,
        year,
    )
    return Table(
        "Bills (preview)",
        ["state", "services", "$ a year"],
        [[r[0], _count(r[1]), "" if r[2] is None else f"{r[2]:,.2f}"] for r in rows],
    )


def _needs_a_person(con: duckdb.DuckDBPyConnection, year: int) -> list[str]:
    findings = _rows(
        con,
        """
        SELECT severity, rule_id, count(*), min(remedy) FROM findings
        WHERE billing_year = $year AND severity <> 'info' AND finding_id NOT IN (
            SELECT finding_id FROM decisions WHERE billing_year = $year AND status = 'stands'
        ) GROUP BY 1, 2 ORDER BY severity, rule_id
        """,
        year,
    )
    held = _rows(
        con,
        """
        SELECT status_reason, count(*) FROM bills WHERE billing_year = $year AND status = 'held' GROUP BY 1 ORDER BY 2 DESC, 1
        """,
        year,
    )
    sentences = [f"{_count(n)} held: {reason}." for reason, n in held]
    for severity, rule, count, remedy in findings:
        must = "before release" if severity == "must_decide" else "to review"
        sentences.append(f"{_count(count)} {must}: {rule}. {remedy}")
    return sentences


def connect_for_reading(workspace: Workspace, billing_year: int) -> duckdb.DuckDBPyConnection:
    """The published database, read-only. NotRun if it is not there or does not hold the year; ConfigError if ``limits`` are none."""
    if not workspace.database.exists():
        raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")
    allowed = limits()
    con = duckdb.connect(str(workspace.database), read_only=True)
    for setting, value in allowed.items():
        con.execute(f"SET {setting} = '{value}'")
    # Not a parameter: with any, DuckDB imports pandas, which commands that read little would wait for.
    if not con.execute(f"SELECT 1 FROM billing_basis WHERE billing_year = {billing_year:d} LIMIT 1").fetchall():  # noqa: S608
        con.close()
        raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")
    return con


def summarise(workspace: Workspace, billing_year: int) -> Summary:
    """The state of a year as last published. NotRun if there is none."""
    year = workspace.year(billing_year)
    with connect_for_reading(workspace, billing_year) as con:
        tables = [_deliveries(con, billing_year), _averages(con, billing_year), _bills(con, billing_year)]
        needs = _needs_a_person(con, billing_year)
    rates = year.rates.file if year.rates else "no adopted schedule: bills are held"
    title = f"{workspace.file.name}, annual update {year.title}, effective {year.effective}, rates: {rates}"

    def shown(path: Path) -> str:
        return path.relative_to(workspace.folder).as_posix()

    outputs = [
        ("every table", shown(workspace.database)),
        ("bill files, not approved", shown(workspace.bill_files / str(billing_year) / "draft")),
    ]
    return Summary(title, tables, needs, outputs)
