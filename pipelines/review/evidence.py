"""What stands in the workbook, from ``billing.duckdb``: findings with their worth, and the use they are about.

Belongs here: reading what was published, use by months for a person to look at.
Does not belong here: cells and sheets (``workbook``), what a finding is worth (``assets.worklist``).

Figures of use are for looking at: days of a month that are known stand for the month. Nothing is computed from them.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import duckdb

from pipelines.summary import connect_for_reading
from rate_tables.volume_units import SIZE_8NL
from validations.workspace import Workspace, Year

MONTHS = 12

Row = dict[str, Any]


@dataclass(frozen=True)
class Review:
    """``rows``: one per finding about a service, in order of place. ``others``: findings about no service, and those
    that nobody had to decide and somebody did. ``changed``: one per
    figure of a decision whose evidence has changed. ``load``: one per rule and list. ``months``: first days of the months shown."""

    title: str
    unit: str
    months: list[dt.date]
    rows: list[Row]
    others: list[Row]
    changed: list[Row]
    load: list[Row]


def _rows(con: duckdb.DuckDBPyConnection, sql: str, **given: Any) -> list[Row]:
    return con.execute(sql, given or None).to_arrow_table().to_pylist()


def months_shown(year: Year) -> list[dt.date]:
    """First days of the twelve months that end with the winter window."""
    last = year.window_end - dt.timedelta(days=1)
    count = last.year * 12 + last.month - 1
    return [dt.date(n // 12, n % 12 + 1, 1) for n in range(count - MONTHS + 1, count + 1)]


def _keep_daily_use(con: duckdb.DuckDBPyConnection, billing_year: int) -> None:
    """``daily``: use per listed service and day of this year's and last year's delivery, in the basis' unit."""
    size = " ".join(f"WHEN '{unit}' THEN {eights}" for unit, eights in SIZE_8NL.items())
    con.execute(
        f"""
        CREATE TEMP TABLE daily AS
        WITH listed AS (
            SELECT DISTINCT service_id, b.volume_unit AS shown_unit
            FROM worklist JOIN billing_basis b USING (billing_year, service_id)
            WHERE billing_year = $year AND (listed_on <> 'below_limit' OR decision <> '')
        ), met AS (
            SELECT m.service_id, c.period_start, c.period_end, c.days,
                   coalesce(a.adjusted_volume, c.billed_volume)::DOUBLE * (m.share_to - m.share_from)
                   * (CASE c.volume_unit {size} END)::DOUBLE / (CASE shown_unit {size} END) AS volume
            FROM consumption c
            JOIN service_consumption m USING (billing_year, district_id, district_account, meter_id)
            JOIN listed ON listed.service_id = m.service_id
            LEFT JOIN adjusted_consumption a
              ON a.billing_year = c.billing_year AND a.service_id = m.service_id AND a.district_id = c.district_id
                 AND a.source_file = c.source_file AND a.source_row = c.source_row AND a.source_column = c.source_column
            WHERE c.billing_year IN ($year, $year - 1) AND m.purpose = 'domestic'
                  AND c.period_start < m.link_end AND c.period_end > m.link_start
            QUALIFY rank() OVER (PARTITION BY m.service_id, c.district_id, c.district_account, c.meter_id, c.period_start, c.period_end
                                 ORDER BY c.billing_year DESC) = 1
        ), days AS (
            SELECT service_id, volume / days AS volume,
                   unnest(generate_series(period_start, period_end - 1, INTERVAL 1 DAY))::DATE AS day
            FROM met
        )
        SELECT service_id, day, sum(volume) AS volume FROM days GROUP BY ALL
        """,  # noqa: S608 - sizes of units
        {"year": billing_year},
    )
    con.execute(
        """
        CREATE TEMP TABLE monthly AS
        SELECT service_id, date_trunc('month', day)::DATE AS month, avg(volume) * day(last_day(any_value(day))) AS volume
        FROM daily GROUP BY 1, 2
        """
    )


def _of_services(
    con: duckdb.DuckDBPyConnection, billing_year: int, months: list[dt.date], everything: bool
) -> list[Row]:
    rows = _rows(
        con,
        """
        WITH listed AS (
            SELECT w.*, f.message, f.remedy, f.proposal, f.period_start, f.period_end, f.evidence_hash, s.customer_class,
                   coalesce(nullif(f.district_id, ''), s.slice_id) AS district_id, b.prior_average
            FROM worklist w
            JOIN findings f USING (billing_year, finding_id)
            JOIN sewer_services s ON s.billing_year = w.billing_year AND s.service_id = w.service_id
            JOIN billing_basis b ON b.billing_year = w.billing_year AND b.service_id = w.service_id
            WHERE w.billing_year = $year
                  AND (w.decision_status <> 'stands' AND w.listed_on <> 'below_limit' OR $everything AND (w.listed_on <> 'below_limit' OR w.decision <> ''))
        ), in_period AS (
            SELECT finding_id, avg(volume) FILTER (day >= period_start) * 365.25 / 12 AS in_period,
                   avg(volume) FILTER (day < period_end - INTERVAL 1 YEAR) * 365.25 / 12 AS last_year
            FROM listed JOIN daily ON daily.service_id = listed.service_id
                 AND (day >= period_start AND day < period_end
                      OR day >= period_start - INTERVAL 1 YEAR AND day < period_end - INTERVAL 1 YEAR)
            GROUP BY 1
        ), own AS (SELECT service_id, median(volume) AS own_median FROM monthly GROUP BY 1)
        SELECT * FROM listed LEFT JOIN in_period USING (finding_id) LEFT JOIN own USING (service_id) ORDER BY place
        """,
        year=billing_year, everything=everything,
    )  # fmt: skip
    known: dict[str, dict[dt.date, float]] = {}
    for row in _rows(con, "SELECT * FROM monthly"):
        known.setdefault(row["service_id"], {})[row["month"]] = row["volume"]
    for row in rows:
        row["months"] = [known.get(row["service_id"], {}).get(month) for month in months]
    return rows


def _flat(evidence: str) -> dict[str, str]:
    """Figures of evidence by name; what is no JSON object is one figure."""
    try:
        found = json.loads(evidence)
    except ValueError:
        return {"evidence": evidence}
    flat: dict[str, str] = {}

    def take(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                take(f"{name}.{key}" if name else str(key), inner)
        else:
            flat[name or "evidence"] = value if isinstance(value, str) else json.dumps(value)

    take("", found)
    return flat


def _changed(con: duckdb.DuckDBPyConnection, billing_year: int) -> list[Row]:
    rows = _rows(
        con,
        "SELECT * FROM decisions WHERE billing_year = $year AND status = 'stale' ORDER BY decision_id",
        year=billing_year,
    )
    found = []
    for row in rows:
        then, now = _flat(row["evidence_seen"]), _flat(row["evidence_now"])
        found += [
            row | {"figure": name, "then": then.get(name, ""), "now": now.get(name, "")}
            for name in dict.fromkeys([*then, *now])
        ]
    return found


def review_of(workspace: Workspace, billing_year: int, *, everything: bool = False) -> Review:
    """What is open of the year as last published, or all of it where ``everything``. NotRun if there is none."""
    year = workspace.year(billing_year)
    months = months_shown(year)
    with connect_for_reading(workspace, billing_year) as con:
        _keep_daily_use(con, billing_year)
        rows = _of_services(con, billing_year, months, everything)
        others = _rows(
            con,
            """
            SELECT f.* FROM findings f
            LEFT JOIN decisions d ON d.billing_year = f.billing_year AND d.finding_id = f.finding_id AND d.status IN ('stands', 'stale')
            WHERE f.billing_year = $year
                  AND (f.service_id = '' AND f.severity <> 'info' AND ($everything OR d.status IS DISTINCT FROM 'stands')
                       OR f.service_id <> '' AND f.severity = 'info' AND (d.status = 'stale' OR $everything AND d.status = 'stands'))
            ORDER BY f.severity, f.district_id, f.finding_id
            """,
            year=billing_year, everything=everything,
        )  # fmt: skip
        load = _rows(
            con,
            """
            WITH listed AS (
                SELECT *, decision_status <> 'stands' AS is_open FROM worklist WHERE billing_year = $year
            ), by_service AS (
                SELECT listed_on, rule_id, service_id, count(*) AS findings, count(*) FILTER (is_open) AS open,
                       bool_or(is_open) AS any_open, max(at_stake_a_year) AS at_stake
                FROM listed GROUP BY GROUPING SETS ((listed_on, rule_id, service_id), (listed_on, service_id))
            )
            SELECT listed_on, rule_id, sum(findings)::BIGINT AS findings, sum(open)::BIGINT AS open, count(*) AS services,
                   count(*) FILTER (any_open) AS open_services, sum(at_stake) AS at_stake
            FROM by_service GROUP BY 1, 2
            ORDER BY listed_on = 'below_limit', listed_on = 'sample', rule_id IS NOT NULL, at_stake DESC NULLS LAST, rule_id
            """,
            year=billing_year,
        )
        changed = _changed(con, billing_year)
    unit = year.averaging.schedule.averaging.unit.value
    return Review(f"{workspace.file.name}, review of {year.title}", unit, months, rows, others, changed, load)
