"""Bills of the past: how an average and actual use become the volume of a bill.

Belongs here: the lesser of both, months, daily use, bills that cross the effective date.
Does not belong here: the average itself, the charges on the volume.
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from assets.engine import connected
from rate_tables.rerating import bill_parts

EFFECTIVE = dt.date(2019, 7, 1)
Bill = dict[str, Any]


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


def bill(start: dt.date, end: dt.date, **values: Any) -> Bill:
    """A monthly bill on an average of 8, before 6, with 7 used, where ``values`` says nothing else."""
    usual = {
        "bill_start": start, "bill_end": end, "months_of_bill": 1, "actual_volume_thousandths": 7000,
        "winter_average_thousandths": 8000, "prior_average_thousandths": 6000, "applied_as": "average", "applied_in_months": "",
        "other_months_billed_from": "", "crossing_bill": "shared_by_days", "effective_date": EFFECTIVE,
    }  # fmt: skip
    return usual | values


def parts_of(con: Any, bills: list[Bill], start: dt.date, end: dt.date) -> list[list[tuple[int | None, int, int]]]:
    """For each bill its parts: volume of the whole bill, first and last day."""
    dates = {"bill_start", "bill_end", "effective_date"}
    texts = {"applied_as", "applied_in_months", "other_months_billed_from", "crossing_bill"}
    types = {n: pa.date32() if n in dates else pa.string() if n in texts else pa.int64() for n in [*bills[0], "number"]}
    rows = [one | {"number": number} for number, one in enumerate(bills)]
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))))
    found: list[list[tuple[int | None, int, int]]] = [[] for _ in bills]
    for row in con.to_pyarrow(bill_parts(table, start, end, 366)).to_pylist():
        found[row["number"]].append((row["bill_volume_thousandths"], row["from_day"], row["to_day"]))
        assert row["days"] == (row["bill_end"] - row["bill_start"]).days
    return [sorted(parts, key=lambda part: part[1:]) for parts in found]


AUGUST = (dt.date(2019, 8, 1), dt.date(2019, 9, 1))
ACROSS = (dt.date(2019, 6, 21), dt.date(2019, 7, 21))


@pytest.mark.parametrize(
    ("days", "values", "volume"),
    [
        (AUGUST, {"applied_as": "average"}, 8000),
        (AUGUST, {"applied_as": "lesser_of_average_and_actual"}, 7000),
        (AUGUST, {"applied_as": "upper_limit", "actual_volume_thousandths": 9000}, 8000),
        (AUGUST, {"applied_as": "upper_limit", "actual_volume_thousandths": None}, None),
        (AUGUST, {"applied_as": "average", "actual_volume_thousandths": None}, 8000),
        (AUGUST, {"winter_average_thousandths": None}, None),
        (AUGUST, {"applied_as": "average_daily_use"}, 8131),  # 8 x 12 / 366 x 31
        (AUGUST, {"applied_in_months": "8, 9", "other_months_billed_from": "actual"}, 8000),
        (AUGUST, {"applied_in_months": "1, 2, 18", "other_months_billed_from": "actual"}, 7000),
        (
            AUGUST,
            {"applied_in_months": "1, 2", "other_months_billed_from": "average", "applied_as": "upper_limit"},
            8000,
        ),
    ],
)
def test_an_average_is_applied_as_the_rule_says(
    con: Any, days: tuple[dt.date, dt.date], values: Bill, volume: int | None
) -> None:
    assert parts_of(con, [bill(*days, **values)], EFFECTIVE, dt.date(2020, 7, 1)) == [[(volume, 0, 31)]]


def test_a_bill_across_the_effective_date_has_both_averages_or_the_new_one(con: Any) -> None:
    """30 days, 10 of them before 1 July: shared by days, or on the new average because it is issued after."""
    year = (dt.date(2018, 7, 1), dt.date(2020, 7, 1))
    shared, issued = parts_of(con, [bill(*ACROSS), bill(*ACROSS, crossing_bill="bills_issued_on_or_after")], *year)
    assert shared == [(6000, 0, 10), (8000, 10, 30)]
    assert issued == [(8000, 0, 30)]


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.lists(
        st.tuples(
            st.dates(dt.date(2019, 1, 1), dt.date(2020, 4, 20)), st.integers(1, 70), st.integers(0, 10**7), st.integers(0, 10**7),
            st.sampled_from(["average", "average_daily_use", "upper_limit", "lesser_of_average_and_actual"]), st.sampled_from([1, 2]),
        ),
        min_size=1, max_size=50,
    )
)  # fmt: skip
def test_the_parts_of_every_bill_cover_its_days_once_and_their_volume_is_what_decimals_give(
    con: Any, drawn: list[tuple[dt.date, int, int, int, str, int]]
) -> None:
    bills = [
        bill(start, start + dt.timedelta(days), months_of_bill=months, applied_as=applied_as,
             winter_average_thousandths=average, prior_average_thousandths=average // 2, actual_volume_thousandths=actual)
        for start, days, average, actual, applied_as, months in drawn
    ]  # fmt: skip
    for one, parts in zip(bills, parts_of(con, bills, dt.date(2018, 7, 1), dt.date(2020, 7, 1)), strict=True):
        days = (one["bill_end"] - one["bill_start"]).days
        assert [0, *(to for _, _, to in parts)] == [*(since for _, since, _ in parts), days]
        for volume, since, _ in parts:
            is_new = one["bill_start"] + dt.timedelta(since) >= EFFECTIVE
            average = Decimal(one["winter_average_thousandths" if is_new else "prior_average_thousandths"])
            whole = average * one["months_of_bill"]
            if one["applied_as"] == "average_daily_use":
                whole = (average * 12 * days / 366).quantize(Decimal(1), ROUND_HALF_UP)
            if one["applied_as"] in ("upper_limit", "lesser_of_average_and_actual"):
                whole = min(whole, Decimal(one["actual_volume_thousandths"]))
            assert volume == whole
