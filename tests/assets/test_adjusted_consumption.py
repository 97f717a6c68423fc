"""What counts of a row of consumption, once adjustments and decisions have had their say.

Belongs here: how entries and decisions meet row by row. Does not belong here: the arithmetic of an adjustment.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from contract_rows import Row, row, table_of
from front_door_helpers import rows_of

from assets.adjusted_consumption import adjusted_consumption
from validations.contract import violations
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_STEPS,
    CONSUMPTION,
    DECISIONS,
    IRREGULAR_USE,
    PROPOSED_CORRECTIONS,
    SERVICE_CONSUMPTION,
)

FILE = {"district_id": "alder_creek", "source_file": "a.csv", "source_column": ""}
METER = {"district_account": "7", "meter_id": "M1"}


def month(number: int) -> Row:
    edges = [dt.date(2018, 11, 1), dt.date(2018, 12, 1), dt.date(2019, 1, 1), dt.date(2019, 2, 1)]
    return {"period_start": edges[number], "period_end": edges[number + 1]}


def read(number: int, volume: int = 9_000) -> Row:
    return row(CONSUMPTION, **FILE, **METER, **month(number), source_row=number, billed_volume_thousandths=volume)


def step(adjustment: str, number: int, after: int, place: int = 1, is_left_out: bool = False) -> Row:
    return row(
        ADJUSTMENT_STEPS, **FILE, **METER, **month(number), source_row=number, adjustment_id=adjustment, place=place,
        service_id="S1", before_volume_thousandths=9_000, after_volume_thousandths=after, is_left_out=is_left_out,
    )  # fmt: skip


def finding(finding_id: str, service_id: str, *numbers: int) -> Row:
    return row(
        IRREGULAR_USE, finding_id=finding_id, service_id=service_id, period_start=month(min(numbers))["period_start"],
        period_end=month(max(numbers))["period_end"],
    )  # fmt: skip


def proposed(finding_id: str, number: int, volume: int) -> Row:
    return row(
        PROPOSED_CORRECTIONS, **FILE, **METER, **month(number), source_row=number, finding_id=finding_id, service_id="S1",
        proposed_volume_thousandths=volume,
    )  # fmt: skip


def decided(decision_id: str, finding_id: str, decision: str, status: str = "stands") -> Row:
    return row(DECISIONS, decision_id=decision_id, finding_id=finding_id, decision=decision, status=status)


def counted(
    con: Any,
    services: list[str],
    steps: list[Row] | None = None,
    findings: list[Row] | None = None,
    proposals: list[Row] | None = None,
    decisions: list[Row] | None = None,
) -> dict[tuple[str, int], tuple[int, bool, str]]:
    """(service, row) -> what counts of it, whether it is left out, and by what; of rows 0 to 2 with 9.000 each."""
    table = adjusted_consumption(
        table_of(CONSUMPTION, *(read(n) for n in range(3))),
        table_of(SERVICE_CONSUMPTION, *(row(SERVICE_CONSUMPTION, service_id=s, **METER, district_id="alder_creek") for s in services)),
        table_of(ADJUSTMENT_STEPS, *steps or []),
        table_of(IRREGULAR_USE, *findings or []),
        table_of(PROPOSED_CORRECTIONS, *proposals or []),
        table_of(DECISIONS, *decisions or []),
    )  # fmt: skip
    assert rows_of(con, violations(ADJUSTED_CONSUMPTION, table)) == []
    return {
        (r["service_id"], r["source_row"]): (r["adjusted_volume_thousandths"], r["is_left_out"], r["adjustment_id"])
        for r in rows_of(con, table)
    }


def test_a_row_that_nothing_names_is_not_here(con: Any) -> None:
    assert counted(con, ["S1"]) == {}


def test_the_last_of_several_entries_counts_and_all_are_named(con: Any) -> None:
    steps = [step("J2", 1, 5_000, place=2), step("J1", 1, 6_000, place=1)]
    assert counted(con, ["S1"], steps) == {("S1", 1): (5_000, False, "J1; J2")}


def test_a_changed_volume_counts_for_every_service_of_the_meter(con: Any) -> None:
    assert set(counted(con, ["S1", "S2"], [step("J1", 1, 6_000)])) == {("S1", 1), ("S2", 1)}


def test_an_accepted_proposal_comes_after_the_entries(con: Any) -> None:
    made = counted(
        con, ["S1"], [step("J1", 1, 6_000)], [finding("F", "S1", 1)], [proposed("F", 1, 825)], [decided("D1", "F", "as_proposed")]
    )  # fmt: skip
    assert made == {("S1", 1): (825, False, "J1; D1")}


def test_a_proposal_that_nobody_accepted_changes_nothing(con: Any) -> None:
    made = counted(
        con, ["S1"], None, [finding("F", "S1", 1)], [proposed("F", 1, 825)],
        [decided("D1", "F", "as_proposed", "stale"), decided("D2", "F", "as_it_is")],
    )  # fmt: skip
    assert made == {}


def test_what_a_decision_leaves_out_is_left_out_for_its_service_alone(con: Any) -> None:
    made = counted(con, ["S1", "S2"], None, [finding("F", "S1", 0, 1)], None, [decided("D1", "F", "leave_out")])
    assert made == {("S1", 0): (9_000, True, "D1"), ("S1", 1): (9_000, True, "D1")}
