"""The terms that schedules, charges and averaging rules share: customer classes, frequencies, kinds of
adjustment and decision, a value with its source.

Belongs here: what a schedule's file may say in more than one of its parts.
Does not belong here: the parts themselves (``schedule``, ``charge``, ``averaging_rule``).
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from rate_tables.config_file import ExactNumber, Strict

T = TypeVar("T")
Source = Annotated[str, Field(min_length=3)]
Rate = Annotated[ExactNumber, Field(ge=0, decimal_places=4)]
Share = Annotated[ExactNumber, Field(ge=0, le=1, decimal_places=6)]
Average = Annotated[ExactNumber, Field(ge=0, decimal_places=3)]

CustomerClass = Literal["single_family", "multi_family", "commercial", "industrial", "institutional"]
Purpose = Literal["domestic", "irrigation", "fire", "deduct", "make_up", "blow_down", "effluent"]
VolumeSource = Literal["district", "well", "permit", "flat", "wholesale"]
Pollutant = Literal["bod", "cod", "tss"]
BillingFrequency = Literal["monthly", "two_monthly", "quarterly", "half_yearly", "yearly"]

AdjustmentKind = Literal[
    "leak", "evaporation", "industrial_discharge", "product", "irrigation", "deduct_meter", "added_supply", "pool", "vacancy",
    "meter_error", "override",
]  # fmt: skip
AdjustmentMethod = Literal[
    "prior_year", "mean_of_bills_before", "volume", "leave_out", "make_up_less_blow_down", "share", "effluent_meter",
    "water_balance", "deduct", "above_mean", "add", "average",
]  # fmt: skip
Decision = Literal["as_it_is", "as_proposed", "leave_out", "prior_average", "set_average"]

MONTHS_PER_BILL: dict[str, int] = {"monthly": 1, "two_monthly": 2, "quarterly": 3, "half_yearly": 6, "yearly": 12}


class Cited(Strict, Generic[T]):
    """A value and where it comes from. A setting that no source states says so in ``source``."""

    value: T
    source: Source
