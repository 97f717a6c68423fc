"""A small world for adjustments: services with their meters, what was delivered of them, what is entered about them.

Belongs here: building the tables that the stages of adjustments read, running both stages. Does not belong here: expectations.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assets.adjustment_steps import adjustment_steps, refused_adjustments
from rate_tables.adjusting import FIGURES
from validations.contract import Contract
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_STEPS,
    ADJUSTMENTS,
    CONSUMPTION,
    PAST_ADJUSTMENTS,
    REFUSED_ADJUSTMENTS,
    SERVICE_CONSUMPTION,
    SEWER_SERVICES,
)
from validations.workspace import SAMPLE, Workspace, Year

Row = dict[str, Any]
Steps = list[Row]
D = dt.date.fromisoformat
EXPIRING = ("evaporation", "product", "deduct_meter")
ONLY = {"district_id": "alder", "district_account": "0100", "meter_id": "M1"}


def year_2019() -> Year:
    return Workspace(SAMPLE).year(2019)


def entry(adjustment_id: str, kind: str, method: str, start: str, end: str, **given: Any) -> Row:
    """An entry of the sheet that is complete but for the figures of its method; volumes in thousandths of a CCF."""
    has_volume = "volume" in FIGURES.get(method, {})  # type: ignore[call-overload]
    return {
        "adjustment_id": adjustment_id, "service_id": "S1", "district_id": "", "district_account": "", "meter_id": "",
        "period_start": D(start), "period_end": D(end), "kind": kind, "method": method, "volume_thousandths": None,
        "less_volume_thousandths": None, "volume_unit": "ccf" if has_volume else "", "share_millionths": None, "bills": None,
        "reached_sewer": "no" if kind == "leak" else "", "linked_to": "",
        "expires_on": D("2020-07-01") if kind in EXPIRING else None, "reason": "seen on site", "document": "LR-1",
        "entered_by": "Clerk One", "approved_by": "Reviewer One",
    } | given  # fmt: skip


def past(adjustment_id: str, kind: str, start: str, end: str, sheet_year: int = 2018, **given: Any) -> Row:
    return {
        "sheet_year": sheet_year, "adjustment_id": adjustment_id, "service_id": "S1", "kind": kind, "period_start": D(start),
        "period_end": D(end), "linked_to": "", "expires_on": None, "reason": "seen on site",
    } | given  # fmt: skip


@dataclass
class World:
    """Tables by rows. ``meter`` and ``deliver`` add to them; ids and places are what the caller says."""

    services: Steps = field(default_factory=list)
    links: Steps = field(default_factory=list)
    consumption: Steps = field(default_factory=list)
    prior: Steps = field(default_factory=list)
    prior_adjusted: Steps = field(default_factory=list)
    past: Steps = field(default_factory=list)

    def service(self, service_id: str = "S1", **given: Any) -> World:
        self.services.append({
            "service_id": service_id, "account_id": f"C{service_id}", "premise_id": "P", "customer_class": "single_family",
            "dwelling_units": 1, "edu_thousandths": 1000, "esu_thousandths": 1000, "jurisdiction": "fernbrook",
            "billing_agency": "sewer_utility", "billing_frequency": "monthly", "billing_cycle": "", "status": "active",
            "service_start": D("2001-01-01"), "service_end": None, "occupant_since": D("2010-01-01"), "volume_source": "district",
            "bears_account_charges": True, "slice_id": "alder",
        } | given)  # fmt: skip
        return self

    def meter(self, meter_id: str = "M1", service_id: str = "S1", **given: Any) -> World:
        self.links.append({
            "service_id": service_id, "district_id": "alder", "district_account": "0100", "meter_id": meter_id,
            "purpose": "domestic", "link_start": D("2001-01-01"), "link_end": D("9999-12-31"), "share_from_millionths": 0,
            "share_to_millionths": 1_000_000,
        } | given)  # fmt: skip
        return self

    def deliver(
        self, start: str, end: str, volume_thousandths: int, meter_id: str = "M1", *, last_year: bool = False, **given: Any
    ) -> Row:  # fmt: skip
        rows = self.prior if last_year else self.consumption
        row = {
            "district_id": "alder", "district_account": "0100", "meter_id": meter_id, "period_start": D(start),
            "period_end": D(end), "days": (D(end) - D(start)).days, "registered_volume_thousandths": volume_thousandths,
            "billed_volume_thousandths": volume_thousandths, "volume_unit": "ccf", "read_type": "actual", "is_rollover": False,
            "delivered_quantity_thousandths": volume_thousandths, "source_file": "last.csv" if last_year else "this.csv",
            "source_row": len(rows) + 2, "source_column": "",
        } | given  # fmt: skip
        rows.append(row)
        return row

    def tables(self, entries: Steps) -> list[Any]:
        made: list[tuple[Contract, Steps]] = [
            (ADJUSTMENTS, entries), (PAST_ADJUSTMENTS, self.past), (SEWER_SERVICES, self.services),
            (SERVICE_CONSUMPTION, self.links), (CONSUMPTION, self.consumption), (CONSUMPTION, self.prior),
            (ADJUSTED_CONSUMPTION, self.prior_adjusted),
        ]  # fmt: skip
        return [contract.of_rows(rows) for contract, rows in made]


@dataclass(frozen=True)
class Outcome:
    """What both stages made of some entries."""

    steps: Steps
    refused: dict[str, str]

    def counts(self) -> dict[tuple[str, str], int | None]:
        """(meter, first day) -> what counts in the end, in thousandths; None if it is left out."""
        last: dict[tuple[str, str], int | None] = {}
        for s in sorted(self.steps, key=lambda s: s["place"]):
            last[s["meter_id"], str(s["period_start"])] = None if s["is_left_out"] else s["after_volume_thousandths"]
        return last


def outcome(world: World, *entries: Row, year: Year | None = None) -> Outcome:
    """Both stages over the world, with what they give held to its contract."""
    tables = world.tables(list(entries))
    steps = ADJUSTMENT_STEPS.conform(adjustment_steps(*tables, year=year or year_2019())).to_pyarrow().to_pylist()
    refused = (
        REFUSED_ADJUSTMENTS.conform(refused_adjustments(*tables, year=year or year_2019())).to_pyarrow().to_pylist()
    )
    return Outcome(steps, {row["adjustment_id"]: row["message"] for row in refused})


def winter(*volumes: int) -> World:
    """One service with one meter and a month's period for each volume, from 5 December 2018 on."""
    world = World().service().meter()
    edges = ["2018-12-05", "2019-01-05", "2019-02-05", "2019-03-05", "2019-04-05", "2019-05-05"]
    for start, end, volume in zip(edges, edges[1:], volumes, strict=False):
        world.deliver(start, end, volume)
    return world


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
