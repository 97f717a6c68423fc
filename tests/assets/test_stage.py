"""Which slices of a table are made again: those whose own inputs have changed, and no others.

Belongs here: versions of slices; slices of another kind that an earlier version of the program left. Does not belong here: what is in a slice
(the stages' tests), whole runs (``test_other_rules``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from contract_rows import row, table_of
from whole_runs import committed_sample

from assets.engine import connected
from assets.service_consumption import unmatched
from assets.stage import CONTRACTS, OFFICE_SHEETS, PER_DISTRICT, Making, Session, Slice, Stage, all_slices
from assets.store import WHOLE, Store, Stored
from assets.volume_account import linked_volume
from assets.winter_averages import counted_use
from pipelines.io_manager import StoreIOManager
from validations.contract import Contract
from validations.tables import CONSUMPTION, METER_LINKS, METERS, SEVERAL_DISTRICTS, SEWER_SERVICES, UNMATCHED
from validations.workspace import Workspace

YEAR = 2019


@pytest.fixture
def session(tmp_path: Path) -> Session:
    workspace = Workspace(committed_sample(tmp_path / "sample"))
    return Session(workspace, Store(workspace.store, connected()))


def write(session: Session, contract: Contract, slice_id: str, *rows: dict[str, Any]) -> None:
    table = table_of(contract, *rows)
    session.store.write(contract, YEAR, slice_id, table, f"{len(rows)} rows", hashes_rows=True)


def stored(session: Session, stage: Stage) -> dict[str, Stored]:
    """All that the stage reads, by argument."""
    return {name: session.stored(key, YEAR) for name, key in stage.input_keys(session.workspace).items()}


def versions(session: Session, stage: Stage) -> dict[str, str]:
    """Slice -> the version that a run would make."""
    making = stage.making(stored(session, stage), session.workspace.year(YEAR), all_slices(session.workspace))
    return {slice_id: one.version for slice_id, one in making.slices.items()}


def given(session: Session, stage: Stage, name: str, slice_id: str) -> list[dict[str, Any]]:
    """Rows of an input that the slice is made from."""
    read, _ = stage._input(name, stored(session, stage), (slice_id,))
    rows: list[dict[str, Any]] = read().to_pyarrow().to_pylist()
    return rows


def without_rows(session: Session, stage: Stage) -> None:
    """All that the stage reads, without rows, in the slices that a run has."""
    for name in stage.inputs:
        parts = [*session.workspace.districts, *OFFICE_SHEETS.get(name, ())] if name in PER_DISTRICT else [WHOLE]
        for part in parts:
            write(session, CONTRACTS[name], part)


def test_what_is_made_by_district_is_made_again_for_the_districts_whose_delivery_changed(session: Session) -> None:
    without_rows(session, unmatched)
    before = versions(session, unmatched)
    assert before.keys() == session.workspace.districts.keys()
    late = next(iter(before))
    write(session, METERS, late, row(METERS, district_id=late))
    after = versions(session, unmatched)
    assert {s for s in before if before[s] != after[s]} == {late}
    write(session, METER_LINKS, WHOLE, *(row(METER_LINKS, district_id=district) for district in before))
    assert all(versions(session, unmatched)[s] != after[s] for s in after)
    assert [r["district_id"] for r in given(session, unmatched, "meter_links", late)] == [late]


def test_what_is_made_by_slice_of_services_is_made_again_for_the_district_that_came_late_and_for_services_of_several(
    session: Session,
) -> None:
    without_rows(session, linked_volume)
    late = next(iter(session.workspace.districts))
    services = [row(SEWER_SERVICES, service_id=s, slice_id=s) for s in all_slices(session.workspace)]
    write(session, SEWER_SERVICES, WHOLE, *services)
    before = versions(session, linked_volume)
    write(session, CONSUMPTION, late, row(CONSUMPTION, district_id=late))
    after = versions(session, linked_volume)
    assert {s for s in before if before[s] != after[s]} == {late, SEVERAL_DISTRICTS}
    # Of links a slice is given the others' too: they say which of its meters they share.
    write(session, METER_LINKS, WHOLE, row(METER_LINKS, district_id=late, slice_id=SEVERAL_DISTRICTS))
    assert all(versions(session, linked_volume)[s] != after[s] for s in after)
    assert [r["slice_id"] for r in given(session, linked_volume, "meter_links", late)] == [SEVERAL_DISTRICTS]


def test_services_of_several_districts_are_given_all_rows_of_their_accounts_as_they_are_now(session: Session) -> None:
    without_rows(session, counted_use)
    first, second = list(session.workspace.districts)[:2]
    several = {"district_account": "A", "slice_id": SEVERAL_DISTRICTS}
    write(session, METER_LINKS, WHOLE, *(row(METER_LINKS, district_id=d, **several) for d in (first, second)))
    for meters in ("M", "MN"):
        for district in (first, second):
            rows = [
                row(CONSUMPTION, district_id=district, district_account=a, meter_id=m) for a in "AB" for m in meters
            ]
            write(session, CONSUMPTION, district, *rows)
        for _ in "found", "found as it is":
            found = given(session, counted_use, "consumption", SEVERAL_DISTRICTS)
            assert sorted((r["district_id"], r["district_account"], r["meter_id"]) for r in found) == sorted(
                (district, "A", meter) for district in (first, second) for meter in meters
            )


@pytest.mark.parametrize("is_whole_now", [False, True])
def test_a_table_that_was_whole_and_is_made_by_slice_now_or_the_other_way_has_no_row_twice(
    session: Session, *, is_whole_now: bool
) -> None:
    districts = tuple(session.workspace.districts)
    former, now = (districts, (WHOLE,)) if is_whole_now else ((WHOLE,), districts)
    for slice_id in former:
        write(session, UNMATCHED, slice_id, row(UNMATCHED, district_account="of before"))
    of_now = Slice("now", lambda: table_of(UNMATCHED, row(UNMATCHED, district_account="of now")))
    making = Making(UNMATCHED, YEAR, dict.fromkeys(now, of_now), hashes_rows=True)
    for _ in "made", "found as it is":
        context = dg.build_output_context(asset_key=UNMATCHED.name)
        StoreIOManager(session).handle_output(context, making)
        table = session.stored(dg.AssetKey(UNMATCHED.name), YEAR)
        assert set(session.store.slices(UNMATCHED, YEAR)) == set(table.slices) == set(now)
        assert {r["district_account"] for r in table.read().to_pyarrow().to_pylist()} == {"of now"}
