"""Whole runs under averaging rules of other utilities, from the delivered files to the billing basis.

Belongs here: what only a whole run can show of a rule: cycles, billing cycles of the extract, class averages across districts.
Does not belong here: what a rule yields for one customer (``rate_tables/test_averaging_files``).
"""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from releasable import approve_and_release, override_everything
from whole_runs import EXTRACT_HEADERS, annual_billing, query, tiny_workspace

from pipelines.release.reproduction import reproduce
from validations.workspace import Workspace

READS = ["2018-11-10", "2018-12-10", "2019-01-10", "2019-02-10", "2019-03-10"]
COMMON = "single_family,1,1,1,Tigard,utility,monthly,active,2010-01-01,,{since},district"


def delivery(account_volumes: dict[str, list[int]], reads: list[str]) -> str:
    lines = [
        f"{account},M{account},{start},{end},{volume},A"
        for account, volumes in account_volumes.items()
        for start, end, volume in zip(reads, reads[1:], volumes, strict=False)
    ]
    return "\n".join(["Account,Meter,From,To,CCF,Type", *lines]) + "\n"


def links(district: str, **accounts: str) -> list[str]:
    return [
        f"{service},{district},{account},M{account},domestic,1,2010-01-01," for service, account in accounts.items()
    ]


def under(folder: Path, rule: str) -> Path:
    """The workspace under another utility's rule."""
    path = folder / "workspace.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("clean_water_services", rule), encoding="utf-8")
    return folder


def basis(folder: Path, columns: str) -> list[tuple[object, ...]]:
    return query(folder, f"SELECT service_id, {columns} FROM billing_basis ORDER BY 1")


def test_bartlesville_cycles_a_floor_for_each_month_and_a_factor(tmp_path: Path) -> None:
    """Bills of 1,496, 2,992, 3,740 and 11,220 gallons: 2,000, 2,992 and 3,740 are the lowest; 1.2 times their mean."""
    extract = {
        "sewer_services": [
            f"S1,A1,P1,{COMMON.format(since='2010-01-01')}",
            f"S2,A2,P2,{COMMON.format(since='2019-02-01')}",
        ],
        "meter_links": links("tiny", S1="101", S2="102"),
        "current_averages": ["S1,2500,gal,2018-04-01"],
    }
    text = delivery({"101": [2, 4, 5, 15], "102": [2, 4, 5, 15]}, READS)
    folder = under(tiny_workspace(tmp_path / "tiny", {2019: text}, {2019: extract}, years=[2019]), "bartlesville")
    ran = annual_billing("run", 2019, "--workspace", folder)
    assert ran.code == 0, ran.err
    gallons = [Decimal(1728 * 100 * ccf) / 231 for ccf in (2, 4, 5, 15)]
    expected = (1 + Decimal(2000 + gallons[1] + gallons[2]) / 3 * Decimal("1.2") - Decimal("0.5")) // 1
    shared = ("lesser_of_average_and_actual", "4, 5, 6, 7, 8, 9, 10, 11", "actual")
    columns = (
        "winter_average, prior_average, volume_unit, derivation, months_counted, applied_as, applied_in_months, "
        "other_months_billed_from"
    )
    assert basis(folder, columns) == [
        ("S1", expected, Decimal(2500), "gal", "computed", 4, *shared),
        ("S2", Decimal(7000), None, "gal", "default", 2, *shared),
    ]
    bills = query(folder, "SELECT status, amount FROM bills ORDER BY 1")
    assert {status for status, _ in bills} == {"held"}, "no charges, so no amounts"


@pytest.fixture(scope="module")
def without_west(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two districts under Portland's rule, run before the second has delivered. Tests copy it before they change it."""
    extract = {
        "sewer_services": [
            f"{service},A{service},P{service},{COMMON.format(since=since)}"
            for service, since in (
                ("E1", "2010-01-01"), ("E2", "2019-04-01"), ("W1", "2010-01-01"), ("W2", "2010-01-01"),
            )
        ],
        "meter_links": [*links("tiny", E1="101", E2="102"), *links("west", W1="201", W2="202")],
        "current_averages": ["W1,3,ccf,2018-07-01"],
    }  # fmt: skip
    quarters = ["2018-12-05", "2019-03-06"]
    text = delivery({"101": [18], "102": [99]}, quarters)
    folder = tiny_workspace(tmp_path_factory.mktemp("portland") / "tiny", {2019: text}, {2019: extract}, years=[2019])
    west = (
        (folder / "districts" / "tiny.yaml").read_text(encoding="utf-8").replace("tiny", "west").replace("Tiny", "West")
    )
    (folder / "districts" / "west.yaml").write_text(west, encoding="utf-8")
    under(folder, "portland")
    run(folder)
    return folder


@pytest.fixture(scope="module")
def with_west(without_west: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, run again with the second district's delivery."""
    folder = copied(without_west, tmp_path_factory.mktemp("with_west"))
    deliver_west(folder, [27], [36])
    run(folder)
    return folder


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "ws", symlinks=True))


def test_promise_4_a_late_district_changes_only_its_own_services_once_class_averages_were_released(
    without_west: Path, tmp_path: Path
) -> None:
    folder = copied(without_west, tmp_path)
    override_everything(folder, by="Clerk")
    approve_and_release(folder, by="Manager")
    deliver_west(folder, [27], [36])
    run(folder)
    assert basis(folder, "winter_average, derivation") == [
        ("E1", Decimal(6), "computed"), ("E2", Decimal(6), "class_average"),
        ("W1", Decimal(9), "computed"), ("W2", Decimal(12), "computed"),
    ]  # fmt: skip
    override_everything(folder, by="Clerk")
    approve_and_release(folder, by="Manager")
    made = reproduce(Workspace(folder), 2019, 2, tmp_path / "again")
    assert (made.differing, "class_averages.csv" in made.same) == ([], True)
    changed = folder / "work" / "bill_files" / "2019" / "v2" / "class_averages.csv"
    changed.write_text(changed.read_text(encoding="utf-8").replace("6.000", "7.000"), encoding="utf-8")
    ran = annual_billing("run", 2019, "--workspace", folder)
    assert (ran.code, "v2/class_averages.csv: it is not as it was released" in ran.out + ran.err) == (1, True)


def run(folder: Path) -> None:
    ran = annual_billing("run", 2019, "--workspace", folder)
    assert ran.code == 0, ran.err


def deliver_west(folder: Path, first: list[int], second: list[int]) -> None:
    late = folder / "deliveries" / "2019" / "west" / "history.csv"
    late.parent.mkdir(parents=True, exist_ok=True)
    late.write_text(delivery({"201": first, "202": second}, ["2018-12-10", "2019-03-11"]), encoding="utf-8")


def test_a_class_average_reaches_across_districts_and_a_late_one_changes_what_rests_on_it(
    without_west: Path, with_west: Path
) -> None:
    columns = "winter_average, derivation, is_provisional"
    assert basis(without_west, columns) == [
        ("E1", Decimal(6), "computed", False), ("E2", Decimal(6), "class_average", False),
        ("W1", Decimal(3), "carried_forward", True), ("W2", None, "held", True),
    ]  # fmt: skip
    assert basis(with_west, columns) == [
        ("E1", Decimal(6), "computed", False), ("E2", Decimal(9), "class_average", False),
        ("W1", Decimal(9), "computed", False), ("W2", Decimal(12), "computed", False),
    ]  # fmt: skip
    assert query(with_west, "SELECT class_key, services, class_average FROM class_averages") == [
        ("customer class single_family", 3, Decimal(9))
    ]


def test_a_district_whose_figures_leave_the_class_average_as_it_is_changes_only_its_own_services(
    with_west: Path, tmp_path: Path
) -> None:
    """W1 and W2 change places: the mean stays, so the other district's slice is not made again."""
    folder = copied(with_west, tmp_path)
    store = folder / "work" / "store" / "billing_basis" / "2019"
    before = {path.stem: path.stat().st_mtime_ns for path in store.glob("*.parquet")}
    deliver_west(folder, [36], [27])
    run(folder)
    assert basis(folder, "winter_average")[2:] == [("W1", Decimal(12)), ("W2", Decimal(9))]
    after = {path.stem: path.stat().st_mtime_ns for path in store.glob("*.parquet")}
    assert {name for name in after if after[name] != before[name]} == {"west", "several_districts"}


def test_austins_billing_cycles_take_effect_in_different_months(tmp_path: Path) -> None:
    header = EXTRACT_HEADERS["sewer_services"].replace("billing_frequency", "billing_frequency,billing_cycle")
    lines = [
        f"S{n},A{n},P{n},{COMMON.format(since='2010-01-01')}".replace(",monthly,", f",monthly,{cycle},")
        for n, cycle in ((1, "april"), (2, "may"), (3, ""))
    ]
    extract = {"meter_links": links("tiny", S1="101", S2="102", S3="103")}
    reads = ["2018-11-20", "2018-12-20", "2019-01-20", "2019-02-20"]
    text = delivery({account: [8, 8, 8] for account in ("101", "102", "103")}, reads)
    folder = under(tiny_workspace(tmp_path / "tiny", {2019: text}, {2019: extract}, years=[2019]), "austin")
    workspace = folder / "workspace.yaml"
    workspace.write_text(workspace.read_text(encoding="utf-8") + 'effective_month_day: "04-01"\n', encoding="utf-8")
    sheet = folder / "cis_extract" / "2019" / "sewer_services.csv"
    sheet.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    ran = annual_billing("run", 2019, "--workspace", folder)
    assert ran.code == 0, ran.err
    assert basis(folder, "winter_average, effective_date, applied_as") == [
        (f"S{n}", Decimal(5984), day, "upper_limit")
        for n, day in ((1, date(2019, 4, 1)), (2, date(2019, 5, 1)), (3, date(2019, 4, 1)))
    ]
