"""The steps by which an averaging rule gets from counted use to one figure a month, in the order in which they stand.

Belongs here: the shape of ``steps`` in a schedule's file, and which orders make sense.
Does not belong here: computing them (``averaging``), the window (``averaging_window``).

A step speaks of months. Where use is counted by cycles, a month is a cycle: ``drop_highest: count: 1`` leaves out the highest
cycle. Volumes are in the rule's unit. Nothing is rounded but by a ``round`` step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from rate_tables.averaging_window import ByCycles, ByDays, CountedBy
from rate_tables.config_file import ExactNumber, NotAllowed, Strict
from rate_tables.terms import Source

Volume = Annotated[ExactNumber, Field(ge=0, le=10_000_000, decimal_places=3)]
Count = Annotated[int, Field(ge=1, le=12)]
Days = Annotated[int, Field(ge=1, le=200)]
Factor = Annotated[ExactNumber, Field(gt=0, le=10, decimal_places=4)]
Multiple = Annotated[ExactNumber, Field(gt=0, le=100_000, decimal_places=3)]


class _Step(Strict):
    source: Source


# --- which months, and what each of them counts for


class ScalePartMonths(_Step):
    """A month of which only a part is known counts as its daily use times all its days, to the smallest volume there is."""

    step: Literal["scale_part_months"]


class LeaveOutShortMonths(_Step):
    """A month of which fewer days are known does not count."""

    step: Literal["leave_out_short_months"]
    under_days: Days


class EachMonthAtLeast(_Step):
    """A month below this counts as this much."""

    step: Literal["each_month_at_least"]
    volume: Volume


class EachMonthAtMost(_Step):
    """A month above this counts as this much."""

    step: Literal["each_month_at_most"]
    volume: Volume


class Choose(_Step):
    """The highest or lowest ``count`` months are left out, or they alone are kept. Of equal ones the earliest comes first."""

    step: Literal["drop_highest", "drop_lowest", "keep_highest", "keep_lowest"]
    count: Count


class KeepConsecutive(_Step):
    """Only ``count`` months that follow each other without a gap are kept: the first or last such, or those with least use."""

    step: Literal["keep_consecutive"]
    count: Annotated[int, Field(ge=2, le=12)]
    which: Literal["first", "last", "lowest"]


# --- from months to one figure


class Mean(_Step):
    """The use of the months that are left, divided by their number."""

    step: Literal["mean"]


class DaysOfMonth(Strict):
    """The days that a month is taken to have."""

    common_year: Annotated[ExactNumber, Field(ge=28, le=31, decimal_places=2)]
    leap_year: Annotated[ExactNumber, Field(ge=28, le=31, decimal_places=2)]
    """In an update that takes effect in a leap year."""


class MeanByDays(_Step):
    """The use, divided by the days of which it is known, times the days of a month.

    ``days_of_month``: ``of_the_window``: the window's days divided by its months, so that a full window gives use / months;
    ``twelfth_of_year``: of the year that begins on the effective date; or as they are given.
    """

    step: Literal["mean_by_days"]
    days_of_month: Literal["of_the_window", "twelfth_of_year"] | DaysOfMonth


# --- what becomes of the figure


class Multiply(_Step):
    """The figure times a factor: a return factor, or an allowance."""

    step: Literal["multiply"]
    by: Factor


class AtMost(_Step):
    """The figure is capped."""

    step: Literal["at_most"]
    volume: Volume


class AtLeast(_Step):
    """The figure has a floor."""

    step: Literal["at_least"]
    volume: Volume


class Round(_Step):
    """The figure is rounded to a multiple of ``to``. It is never negative, so half_up is half away from zero."""

    step: Literal["round"]
    to: Multiple
    direction: Literal["half_up", "up", "down"]


OfMonths = ScalePartMonths | LeaveOutShortMonths | EachMonthAtLeast | EachMonthAtMost | Choose | KeepConsecutive
ToOneFigure = Mean | MeanByDays
OfTheFigure = Multiply | AtMost | AtLeast | Round
AnyStep = OfMonths | ToOneFigure | OfTheFigure
Step = Annotated[AnyStep, Field(discriminator="step")]

MOST_STEPS = 12
MOST_FACTORS = 2


def out_of_order(steps: tuple[AnyStep, ...], counted_by: CountedBy, has_months: bool) -> Iterator[NotAllowed]:
    """What does not make sense in this order; keys are below the rule. ``has_months``: the window is of whole months."""
    kinds = [0 if isinstance(s, OfMonths) else 1 if isinstance(s, ToOneFigure) else 2 for s in steps]
    if len(steps) > MOST_STEPS:
        yield NotAllowed(f"at most {MOST_STEPS} steps", "steps")
    if kinds.count(1) != 1:
        yield NotAllowed("one step that makes one figure of the months: mean or mean_by_days", "steps")
        return
    for place, (step, kind) in enumerate(zip(steps, kinds, strict=True)):
        if place and kind < kinds[place - 1]:
            yield NotAllowed(
                f"{step.step} in its place: first steps about single months, then mean or mean_by_days, then steps about "
                f"the figure",
                "steps", place, "step",
            )  # fmt: skip
        if isinstance(counted_by, ByDays) and (kind == 0 or isinstance(step, Mean)):
            yield NotAllowed(
                f"mean_by_days, and no {step.step}: use that is counted by days has no single months",
                "steps",
                place,
                "step",
            )
        if isinstance(step, MeanByDays) and step.days_of_month == "of_the_window" and not has_months:
            yield NotAllowed(
                "another way than of_the_window: the window does not come out even in months",
                "steps", place, "days_of_month",
            )  # fmt: skip
    if isinstance(counted_by, ByCycles) and counted_by.months_each == "by_its_days":
        for place, step in enumerate(steps):
            if isinstance(step, KeepConsecutive):
                yield NotAllowed(
                    "keep_consecutive only where each cycle is the same number of months", "steps", place, "step"
                )
    if sum(isinstance(s, Multiply) for s in steps) > MOST_FACTORS:
        yield NotAllowed(f"at most {MOST_FACTORS} multiply steps", "steps")
    last_product = max(place for place, s in enumerate(steps) if isinstance(s, Multiply | ToOneFigure))
    if not any(isinstance(s, Round) for s in steps[last_product:]):
        yield NotAllowed(
            "a round step after the last mean or multiply, so that the figure is written out whole", "steps"
        )
