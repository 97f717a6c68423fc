"""Which services the rules over periods look at: each that is odd in one way, just beyond a limit, and none just within it.

Belongs here: every way of being odd by itself. Does not belong here: that no rule finds anything in services that are left aside
(``tests/assets/test_irregular_use``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ibis
import pytest
from use_world import year_2019

from rate_tables.review_limits import ReviewLimits
from validations.review.use import MONTH_DAYS, odd_periods_of

LIMITS = year_2019().review_limits.rules
EVEN = {
    "spread": 1.2, "has_a_year": True, "winter_times": 1.1, "summer_times": 1.1, "winter_most": 0.3, "summer_least": 0.3,
    "shortest_days": 30, "longest_days": 31, "most_a_day": 0.3, "dwelling_units": 1,
}  # fmt: skip
"""A service with nothing odd about it."""


def limits(**values: str) -> ReviewLimits:
    """The limits that ship, with some others."""
    others = {n: getattr(LIMITS, n).model_copy(update={"value": Decimal(value)}) for n, value in values.items()}
    return LIMITS.model_copy(update=others)


def is_looked_at(about: dict[str, Any], by: ReviewLimits) -> bool:
    known = {"service": 1, **EVEN, **about}
    units = {"service": known["service"], "dwelling_units": known.pop("dwelling_units")}
    types = {
        name: "float64" if isinstance(EVEN.get(name), float) else "boolean" if name == "has_a_year" else "int64"
        for name in known
    }
    usual, services = ibis.memtable([known], schema=types), ibis.memtable([units])
    return bool(odd_periods_of(ibis.memtable([{"service": 1, "ccf": 5.0}]), usual, services, by).count().execute())


LEAST_SURPRISE = min(float(band.times) for band in LIMITS.tolerance.value)
WIDE = limits(low_times="100", slip_from="100")
MUCH = 2 * float(LIMITS.per_dwelling_unit_ccf.value) / MONTH_DAYS


@pytest.mark.parametrize(
    ("by", "beyond", "within"),
    [
        (LIMITS, {"spread": None}, {}),
        (LIMITS, {"has_a_year": False}, {}),
        (LIMITS, {"winter_times": LEAST_SURPRISE}, {"winter_times": 0.98 * LEAST_SURPRISE}),
        (LIMITS, {"summer_times": LEAST_SURPRISE}, {"summer_times": 0.98 * LEAST_SURPRISE, "winter_times": None}),
        (limits(low_times="3", slip_from="100"), {"spread": 3.0}, {"spread": 2.9}),
        (limits(low_times="100", slip_from="3"), {"spread": 3.0}, {"spread": 2.9}),
        (LIMITS, {"spread": 2.2, "winter_times": 1.47}, {"spread": 2.2, "winter_times": 1.44}),
        (LIMITS, {"spread": 2.2, "winter_times": 1.47}, {"spread": 2.1, "winter_times": 1.47}),
        (LIMITS, {"winter_most": 0.63}, {"winter_most": 0.61}),
        (WIDE, {"spread": 4.0}, {"spread": 3.9}),
        (LIMITS, {"spread": 2.0, "shortest_days": 88, "longest_days": 90}, {"spread": 1.9, "shortest_days": 88, "longest_days": 90}),
        (LIMITS, {"shortest_days": 20, "longest_days": 30}, {"shortest_days": 22, "longest_days": 30}),
        (LIMITS, {"shortest_days": 22, "longest_days": 31}, {"shortest_days": 23, "longest_days": 31}),
        (LIMITS, {"dwelling_units": 2, "most_a_day": MUCH}, {"dwelling_units": 2, "most_a_day": 0.98 * MUCH}),
        (LIMITS, {"dwelling_units": 2, "most_a_day": MUCH}, {"dwelling_units": 1, "most_a_day": MUCH}),
    ],
    ids=[
        "next to nothing at times", "less than a year", "high in winter", "high in summer", "low", "a slipped decimal", "rising in winter",
        "rising altogether", "winter above summer", "vacant", "vacant in part of a long read", "a short period", "a long period",
        "much for each dwelling", "several dwellings",
    ],
)  # fmt: skip
def test_a_service_that_is_odd_in_one_way_is_looked_at_and_one_just_within_the_limit_is_not(
    by: ReviewLimits, beyond: dict[str, Any], within: dict[str, Any]
) -> None:
    assert [is_looked_at(beyond, by), is_looked_at(within, by)] == [True, False]
