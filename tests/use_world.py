"""Small worlds of use: services that are read every month for two years, each changed in one place.

Belongs here: building the tables that the rules of use are given, and giving them. Does not belong here: what any test expects.

Months are counted from May 2017: 0 to 11 are last year's delivery, 12 to 23 this year's, 18 to 23 the winter of 2018-19.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import ibis
import ibis.expr.types as ir
from contract_rows import Row, row, table_of

from assets.engine import connected
from assets.irregular_use import irregular_use, proposed_corrections
from assets.stage import Stage
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_STEPS,
    CONSUMPTION,
    SERVICE_CONSUMPTION,
    SEWER_SERVICES,
)
from validations.workspace import SAMPLE, Workspace, Year

EDGES = [dt.date(2017 + (4 + n) // 12, (4 + n) % 12 + 1, 1) for n in range(25)]
MONTHS, THIS_YEAR, WINTER = range(24), range(12, 24), range(18, 24)
DECEMBER, JANUARY, FEBRUARY = 19, 20, 21
DISTRICT, METER = "alder_creek", "M1"
_ROWS = itertools.count(1)


@cache
def year_2019() -> Year:
    """The year whose window is the winter of 2018-19."""
    return Workspace(SAMPLE).year(2019)


def usual(month: int) -> int:
    """About 8 CCF in a winter month and 12 in a summer month, no two alike that follow each other."""
    return (8_000 if month % 12 >= 6 else 12_000) + month * 7 % 5 * 40


def read(month: int, volume: int | None = None, **columns: Any) -> Row:
    """One month's read of the one meter; ``account`` is filled in by ``Home``."""
    billed = usual(month) if volume is None else volume
    return row(
        CONSUMPTION, **{
            "district_id": DISTRICT, "meter_id": METER, "period_start": EDGES[month], "period_end": EDGES[month + 1],
            "billed_volume_thousandths": billed, "registered_volume_thousandths": billed,
            "delivered_quantity_thousandths": billed, "volume_unit": "ccf", "read_type": "actual", "source_row": next(_ROWS),
            "source_column": "", "source_file": f"{'this' if month in THIS_YEAR else 'last'}_year.csv",
        } | columns,
    )  # fmt: skip


@dataclass
class Home:
    """A service and its reads by month: as usual, but for ``volumes`` (month -> thousandths) and ``reads`` (month -> what takes the
    month's place). ``service``: columns of sewer_services."""

    volumes: dict[int, int] = field(default_factory=dict)
    reads: dict[int, list[Row]] = field(default_factory=dict)
    service: Row = field(default_factory=dict)

    def rows(self, service_id: str) -> list[Row]:
        months = [self.reads.get(n, [read(n, self.volumes.get(n))]) for n in MONTHS]
        made = [one | {"district_account": service_id} for month in months for one in month]
        return [one | {"days": (one["period_end"] - one["period_start"]).days} for one in made]

    def of_cis(self, service_id: str) -> Row:
        long_ago = dt.date(2010, 1, 1)
        return row(SEWER_SERVICES, **{
            "service_id": service_id, "status": "active", "service_start": long_ago, "occupant_since": long_ago,
            "volume_source": "district", "customer_class": "single_family", "slice_id": DISTRICT,
        } | self.service)  # fmt: skip


def links_of(rows: Iterable[Row]) -> list[Row]:
    """Each meter serves the service called after its account, whole and always."""
    meters = sorted({(one["district_account"], one["meter_id"]) for one in rows})
    return [
        row(SERVICE_CONSUMPTION, service_id=account, district_id=DISTRICT, district_account=account, meter_id=meter,
            purpose="domestic", link_start=dt.date(2010, 1, 1), link_end=dt.date(9999, 12, 31), share_from_millionths=0,
            share_to_millionths=1_000_000)
        for account, meter in meters
    ]  # fmt: skip


def tables_of(
    homes: dict[str, Home],
    steps: list[Row] | None = None,
    prior_adjusted: list[Row] | None = None,
    *,
    in_one_delivery: bool = False,
) -> dict[str, ir.Table]:
    """What the stages about use read; rows of last year are in this year's delivery if it is said to hold both years."""
    rows = [one for service_id, home in homes.items() for one in home.rows(service_id)]
    this_year = [one for one in rows if in_one_delivery or one["source_file"] == "this_year.csv"]
    last_year = [one for one in rows if one["source_file"] == "last_year.csv"]
    links = table_of(SERVICE_CONSUMPTION, *links_of(rows))
    return {
        "consumption": table_of(CONSUMPTION, *this_year),
        "service_consumption": links,
        "sewer_services": table_of(SEWER_SERVICES, *(home.of_cis(name) for name, home in homes.items())),
        "adjustment_steps": table_of(ADJUSTMENT_STEPS, *steps or []),
        "prior_consumption": table_of(CONSUMPTION, *last_year),
        "prior_adjusted_consumption": table_of(ADJUSTED_CONSUMPTION, *prior_adjusted or []),
        "prior_service_consumption": links,
    }


def stored(con: Any, tables: dict[str, ir.Table]) -> dict[str, ir.Table]:
    """The same tables in a database."""
    return {name: con.create_table(f"given_{name}", table, overwrite=True) for name, table in tables.items()}


def table_by(con: Any, stage: Stage, tables: dict[str, ir.Table]) -> ir.Table:
    """What a stage makes that is given ``tables``, as those of one district; what it reads of findings is found in them first."""
    of_slice = {"slice_id": "tiny"} if stage.takes("slice_id") else {}
    if "irregular_use" in stage.inputs:
        found = con.to_pyarrow(irregular_use(**tables, year=year_2019()))
        tables = {**tables, "irregular_use": ibis.memtable(found)}
    return stage(**tables, year=year_2019(), **of_slice)


def made_by(con: Any, stage: Stage, tables: dict[str, ir.Table]) -> list[Row]:
    """Rows of ``table_by``."""
    return con.to_pyarrow(table_by(con, stage, tables)).to_pylist()  # type: ignore[no-any-return]


def found_in(con: Any, tables: dict[str, ir.Table]) -> dict[str, Row]:
    """Findings by id."""
    rows = made_by(con, irregular_use, stored(con, tables))
    assert len({one["finding_id"] for one in rows}) == len(rows)
    return {one["finding_id"]: one for one in rows}


def proposed_in(con: Any, tables: dict[str, ir.Table]) -> list[Row]:
    """Proposed corrections in the order of their periods."""
    return sorted(made_by(con, proposed_corrections, stored(con, tables)), key=lambda one: one["period_start"])


def connection() -> Any:
    """A real DuckDB in memory."""
    return connected()
