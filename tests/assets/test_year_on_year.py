"""This year against the last. Belongs here: what is summed where. Does not belong here: what the page makes of it."""

from __future__ import annotations

import datetime as dt

from contract_rows import Row, row, table_of

from assets.year_on_year import year_on_year
from validations.tables import BILLING_BASIS, BILLS, SEWER_SERVICES

JULY, JANUARY = dt.date(2019, 7, 1), dt.date(2020, 1, 1)


def year(services: dict[str, tuple[str, str, str, int | None, int | None]]) -> list[list[Row]]:
    """service -> slice, class, derivation, average, cents of each of six bills before and three after January."""
    basis, bills, extract = [], [], []
    for name, (slice_id, customer_class, derivation, average, cents) in services.items():
        basis.append(row(
            BILLING_BASIS, service_id=name, slice_id=slice_id, derivation=derivation, winter_average_thousandths=average, volume_unit="ccf",
        ))  # fmt: skip
        extract.append(row(SEWER_SERVICES, service_id=name, customer_class=customer_class, slice_id=slice_id))
        if derivation != "excluded":
            bills += [
                row(BILLS, service_id=name, period_start=start, amount_cents=cents, bills_in_period=count)
                for start, count in ((JULY, 6), (JANUARY, 3))
            ]
    return [basis, bills, extract]


def compared(now: list[list[Row]], then: list[list[Row]]) -> dict[tuple[str, str], Row]:
    contracts = (BILLING_BASIS, BILLS, SEWER_SERVICES)
    tables = [table_of(contract, *rows) for contract, rows in zip(contracts * 2, [*now, *then], strict=True)]
    return {(r["slice_id"], r["customer_class"]): r for r in year_on_year(*tables).to_pyarrow().to_pylist()}


def test_each_service_is_summed_where_it_is_in_its_own_year_and_nothing_is_left_out() -> None:
    now = year({
        "stays": ("alder", "single_family", "computed", 8_000, 100),
        "held": ("alder", "single_family", "held", None, None),
        "closed": ("alder", "single_family", "excluded", None, None),
        "moved": ("dunmore", "commercial", "computed", 20_000, 700),
    })  # fmt: skip
    then = year({
        "stays": ("alder", "single_family", "computed", 7_000, 90),
        "moved": ("alder", "single_family", "computed", 19_000, 200),
        "left": ("elder", "industrial", "computed", 50_000, 900),
    })  # fmt: skip
    found = compared(now, then)
    homes = found["alder", "single_family"]
    assert (homes["services"], homes["averaged"], homes["average_sum_thousandths"]) == (2, 1, 8_000)
    assert (homes["billed_services"], homes["amount_a_year_cents"], homes["services_in_both"]) == (1, 900, 1)
    assert (homes["prior_services"], homes["prior_average_sum_thousandths"], homes["prior_amount_a_year_cents"]) == (
        2,
        26_000,
        2_610,
    )
    assert (found["dunmore", "commercial"]["services_in_both"], found["dunmore", "commercial"]["prior_services"]) == (
        1,
        0,
    )
    assert (found["elder", "industrial"]["services"], found["elder", "industrial"]["prior_amount_a_year_cents"]) == (
        0,
        8_100,
    )
    assert len(found) == 3


def test_a_year_before_that_was_not_run_is_zero_throughout_and_has_no_unit() -> None:
    (only,) = compared(year({"one": ("alder", "commercial", "computed", 8_000, 100)}), [[], [], []]).values()
    assert {value for name, value in only.items() if name.startswith("prior_")} == {0, ""}
    assert only["services_in_both"] == 0
