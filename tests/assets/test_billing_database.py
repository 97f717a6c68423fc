"""``billing.duckdb``: what is published of the store.

Belongs here: building it from slices of several years.
Does not belong here: whole runs (``test_annual_update``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest
from contract_rows import row, table_of
from whole_runs import committed_sample, table_hashes

from assets.billing_database import hash_of_parts, publish
from assets.publication import last_publication
from assets.stage import Session
from assets.store import WHOLE, Store
from validations.contract import Contract
from validations.tables import BILLING_BASIS, CONSUMPTION, CURRENT_AVERAGES, SEWER_SERVICES, UNMATCHED
from validations.workspace import Workspace

ROW = {"service_id": "S1", "winter_average_thousandths": 7_500, "volume_unit": "ccf", "effective_date": "2018-07-01"}


def session_with(con: Any, folder: Path, year: int, contract: Contract) -> Session:
    """A sample workspace whose store holds ``ROW`` in one year, as ``contract`` declares it."""
    workspace = Workspace(committed_sample(folder))
    store = Store(workspace.store, con)
    values = {name: ROW[name] for name in contract.columns}
    store.write(contract, year, WHOLE, ibis.memtable([values]), "v1")
    return Session(workspace, store)


def test_whole_numbers_are_published_as_exact_decimals_under_the_name_without_their_unit(
    con: Any, tmp_path: Path
) -> None:
    session = session_with(con, tmp_path / "sample", 2019, CURRENT_AVERAGES)
    assert publish(session)["current_averages"] == 1
    with duckdb.connect(str(session.workspace.database), read_only=True) as published:
        row = published.execute("SELECT billing_year, winter_average FROM current_averages").fetchall()
        (comment,) = published.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'current_averages' AND column_name = 'winter_average'"
        ).fetchone() or ("",)
    assert row == [(2019, Decimal("7.500"))]
    assert comment == "Winter average billed now, per month [CCF]"


def test_a_year_made_before_a_column_existed_stays_published_with_that_column_empty(con: Any, tmp_path: Path) -> None:
    earlier = {name: col for name, col in CURRENT_AVERAGES.columns.items() if name != "effective_date"}
    former = Contract(CURRENT_AVERAGES.name, CURRENT_AVERAGES.row, CURRENT_AVERAGES.key, earlier)
    session = session_with(con, tmp_path / "sample", 2018, former)
    session.store.write(CURRENT_AVERAGES, 2019, WHOLE, ibis.memtable([ROW]), "v1")
    publish(session)
    with duckdb.connect(str(session.workspace.database), read_only=True) as published:
        rows = published.execute(
            "SELECT billing_year, effective_date::VARCHAR FROM current_averages ORDER BY 1"
        ).fetchall()
    assert rows == [(2018, None), (2019, "2018-07-01")]


def put(session: Session, contract: Contract, year: int, slice_id: str, *rows: dict[str, Any]) -> None:
    """A slice with these rows; its version is what they say."""
    version = repr((slice_id, rows))
    session.store.write(contract, year, slice_id, table_of(contract, *(row(contract, **one) for one in rows)), version)


def deliver(session: Session, year: int, number: int, *, volume: int = 1) -> None:
    """What a district sends, a row of it twice, what of it is of no service and of one without consumption, and the basis of its services."""
    consumption, basis = of_district(number, volume=volume)
    put(session, CONSUMPTION, year, f"d{number}", *consumption)
    put(session, BILLING_BASIS, year, f"d{number}", *basis)
    left_over = [{"district_id": f"d{number}", "service_id": s} for s in ("", f"S{number}.0")]
    put(session, UNMATCHED, year, f"d{number}", *left_over)


def of_district(number: int, *, volume: int = 1) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of consumption of a district, one of them twice, and of the basis of its services."""
    consumption = [
        {"district_id": f"d{number}", "source_row": n // 2, "billed_volume_thousandths": volume} for n in range(20)
    ]
    return consumption, [{"service_id": f"S{number}.{n}", "winter_average_thousandths": volume} for n in range(20)]


def services(session: Session, year: int, *, moved: str = "") -> None:
    """The services of six districts, one of which may have moved to the slice of the last."""
    rows = [
        {"service_id": (name := f"S{number}.{n}"), "slice_id": "d6" if name == moved else f"d{number}"}
        for number in range(1, 7) for n in range(20)
    ]  # fmt: skip
    put(session, SEWER_SERVICES, year, WHOLE, *rows)


@pytest.fixture
def published(con: Any, tmp_path: Path) -> Session:
    """Two years of six districts of which the last has not delivered, published."""
    folder = committed_sample(tmp_path / "sample")
    for file in (folder / "districts").glob("*.yaml"):
        entry = file.read_text(encoding="utf-8")
        file.unlink()
    for number in range(1, 7):
        of_this = "\n".join(
            f"district: d{number}" if one.startswith("district:") else one for one in entry.splitlines()
        )
        (folder / "districts" / f"d{number}.yaml").write_text(of_this, encoding="utf-8")
    workspace = Workspace(folder)
    session = Session(workspace, Store(workspace.store, con))
    for year in (2018, 2019):
        for number in range(1, 6):
            deliver(session, year, number)
        put(session, CURRENT_AVERAGES, year, WHOLE, ROW)
        services(session, year)
    publish(session)
    return session


def late_district(session: Session) -> None:
    deliver(session, 2019, 6)


def removed_district(session: Session) -> None:
    for contract in (CONSUMPTION, BILLING_BASIS, UNMATCHED):
        session.store.path(contract, 2019, "d3").unlink()


def other_figures(session: Session) -> None:
    consumption, basis = of_district(2, volume=7)
    put(session, CONSUMPTION, 2019, "d2", *consumption)
    put(session, BILLING_BASIS, 2019, "d2", *basis[:-1])
    put(session, UNMATCHED, 2019, "d2", {"district_id": "d2", "district_account": "another"})


def moved_service(session: Session) -> None:
    """A service is measured by another district than before, and has the same average there."""
    services(session, 2019, moved="S2.5")
    _, basis = of_district(2)
    put(session, BILLING_BASIS, 2019, "d2", *basis[:5], *basis[6:])
    put(session, BILLING_BASIS, 2019, "d6", basis[5])


def other_setting(session: Session) -> None:
    put(session, CURRENT_AVERAGES, 2019, WHOLE, ROW | {"winter_average_thousandths": 8})


def most_districts(session: Session) -> None:
    for number in range(1, 6):
        consumption, basis = of_district(number, volume=9)
        for year in (2018, 2019):
            put(session, CONSUMPTION, year, f"d{number}", *consumption)
            put(session, BILLING_BASIS, year, f"d{number}", *basis)


def changed_by_somebody(session: Session) -> None:
    with duckdb.connect(str(session.workspace.database)) as opened:
        opened.execute("DELETE FROM billing_basis WHERE service_id = 'S1.1'")


def recorded_otherwise(session: Session) -> None:
    """What is recorded of the last database is not what it holds, and a district that was late is to be added to it."""
    changed_by_somebody(session)
    record = last_publication(session.workspace) / "made_from.json"
    about = json.loads(record.read_bytes()) | {"file_hash": hash_of_parts(session.store, session.workspace.database)}
    record.write_text(json.dumps(about), encoding="utf-8")
    late_district(session)


def replaced_rows(session: Session) -> int:
    return int(json.loads((last_publication(session.workspace) / "made_from.json").read_bytes())["replaced"])


@pytest.mark.parametrize(
    ("change", "rows_replaced"),
    [
        (late_district, 42), (removed_district, 0), (other_figures, 40), (moved_service, 140), (other_setting, 1),
        (most_districts, 0), (changed_by_somebody, 0), (recorded_otherwise, 0),
    ],
)  # fmt: skip
def test_promise_4_what_is_taken_over_from_the_last_database_and_what_is_built_anew_are_the_same(
    published: Session, change: Callable[[Session], None], rows_replaced: int
) -> None:
    change(published)
    publish(published)
    taken_over = table_hashes(published.workspace.folder)
    assert replaced_rows(published) == rows_replaced
    (last_publication(published.workspace) / "made_from.json").unlink()
    publish(published)
    assert taken_over == table_hashes(published.workspace.folder)


def test_a_database_is_built_anew_before_half_of_it_would_be_rows_that_were_replaced(published: Session) -> None:
    replaced = list[int]()
    for volume in range(10, 16):
        consumption, _ = of_district(1, volume=volume)
        put(published, CONSUMPTION, 2019, "d1", *consumption, *consumption, *consumption)
        publish(published)
        replaced.append(replaced_rows(published))
    assert replaced == [60, 120, 180, 240, 300, 0]
