"""The averaging rule of a schedule, as a typed value.

Belongs here: what the ``averaging`` part of a schedule's file may say, and what of it would contradict itself.
Does not belong here: the shape of its window (``averaging_window``) and steps (``averaging_steps``), computing with it.

Read from top to bottom it is the resolution: whose use, of which window, counted how, in which steps; how much of it is
enough; what stands in where it is not; how the average is applied.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from rate_tables.averaging_steps import Step, out_of_order
from rate_tables.averaging_window import (
    ByCycles,
    ByDays,
    ByMonths,
    CountedBy,
    CycleWindow,
    Dates,
    DatesWindow,
    Month,
    MonthsWindow,
    WindowOfUse,
)  # fmt: skip
from rate_tables.calendar_days import after_months
from rate_tables.config_file import NotAllowed, Strict
from rate_tables.terms import Average, Cited, CustomerClass, Purpose, Share, VolumeSource
from rate_tables.volume_units import VolumeUnit

PurposeRule = Literal["add", "subtract", "leave_out", "replace"]
"""``replace``: where a service has such a meter, it alone counts."""
QuantitySource = Literal["winter_average", "metered", "measured_effluent", "fixed_per_edu"]
AppliedAs = Literal["average", "average_daily_use", "upper_limit", "lesser_of_average_and_actual"]
CrossingBill = Literal["shared_by_days", "bills_issued_on_or_after"]


class Enough(Strict):
    """A history that is enough: all that is said here must hold. Months are cycles where use is counted by cycles.

    ``days``: days of the window of which use is known; ``coverage``: their share of its days. ``count``: months of which use
    is known, each of ``of_at_least_days`` where that is said. ``full``: months of which every day is known.
    """

    days: Annotated[int, Field(ge=1, le=366)] | None = None
    coverage: Share | None = None
    count: Annotated[int, Field(ge=1, le=12)] | None = None
    of_at_least_days: Annotated[int, Field(ge=1, le=200)] | None = None
    full: Annotated[int, Field(ge=1, le=12)] | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Enough:
        if self.of_at_least_days is not None and self.count is None:
            raise NotAllowed("of_at_least_days beside a count", "of_at_least_days")
        if not any((self.days, self.coverage, self.count, self.full)):
            raise NotAllowed("at least one of days, coverage, count, full")
        return self


class Fallback(Strict):
    """What stands in for an average without enough history.

    ``applied_as``: how it is applied, where that is not how an average is. ``yields_to_lower_actual_after_months``: once so
    many months are known, a lower mean of them takes its place; a higher one waits for the next update.
    """

    take: Literal["previous_occupant", "prior_year", "class_average", "default", "hold"]
    applied_as: AppliedAs | None = None
    yields_to_lower_actual_after_months: Annotated[int, Field(ge=1, le=12)] | None = None


class Applied(Strict):
    """How the billing system makes the volume of a bill from the average.

    ``months``: in which calendar months, all if none is named; in the others ``other_months`` bills actual use or the average.
    """

    applied_as: AppliedAs
    months: tuple[Month, ...] = ()
    other_months: Literal["actual", "average"] | None = None

    @model_validator(mode="after")
    def _other_months_have_a_rule(self) -> Applied:
        if bool(self.months) != (self.other_months is not None):
            raise NotAllowed("other_months where months are named, and only there", "other_months")
        return self


@dataclass(frozen=True)
class Window:
    """The window of one billing cycle ("": of all that have none of their own) in one year's update."""

    billing_cycle: str
    start: dt.date
    end: dt.date
    months: int | None
    """None if it does not come out even."""
    effective: dt.date

    @property
    def days(self) -> int:
        return (self.end - self.start).days


class AveragingRule(Strict):
    """How a winter average is built, from whose use, and how it is applied."""

    unit: Cited[VolumeUnit]
    averaged_volume: Cited[Literal["billed", "registered"]]
    purposes: Cited[dict[Purpose, PurposeRule]]
    quantity_from: Cited[dict[CustomerClass, QuantitySource]]
    """Where the quantity of a class comes from; a metered class is billed from actual use and has no average."""
    statuses: Cited[tuple[Literal["active", "suspended"], ...]]
    other_volume_sources: Cited[dict[VolumeSource, Literal["prior_year", "exclude"]]]
    whose_history: Cited[Literal["occupant", "premise"]]
    before_first_occupant: Cited[Literal["count", "leave_out"]]
    """Use of a premise in which nobody has lived yet, where the history is the premise's."""
    vacant_periods: Cited[Literal["count", "leave_out"]]
    """A period without use counts as one of zero, or as not known."""

    window: Cited[WindowOfUse]
    window_of_billing_cycle: Cited[dict[str, CycleWindow]] | None = None
    counted_by: Cited[CountedBy]
    steps: tuple[Step, ...]

    enough_history: Cited[tuple[Enough, ...]]
    """Any one of them suffices."""
    without_enough_history: Cited[tuple[Fallback, ...]]
    """The first that there is."""
    no_history_default: Cited[dict[CustomerClass, Average]] | None = None
    class_average_of: Cited[tuple[Literal["customer_class", "jurisdiction", "dwelling_units"], ...]] | None = None
    """What services have in common whose computed averages make one class average; nothing: all of them."""
    fixed_volume_per_edu: Cited[Average] | None = None

    applied: Cited[Applied]
    crossing_bill: Cited[CrossingBill]

    @model_validator(mode="after")
    def _says_all_it_needs(self) -> AveragingRule:
        for name, kinds in (("purposes", get_args(Purpose)), ("quantity_from", get_args(CustomerClass))):
            missing = sorted(set(kinds) - set(getattr(self, name).value))
            if missing:
                what = "meter purpose" if name == "purposes" else "customer class"
                raise NotAllowed(f"a rule for each {what}; {', '.join(missing)} has none", name, "value")
        if "district" in self.other_volume_sources.value:
            raise NotAllowed("volume sources other than district", "other_volume_sources", "value", "district")
        for name in ("enough_history", "without_enough_history"):
            if not getattr(self, name).value:
                raise NotAllowed("at least one of them", name, "value")
        takes = [fallback.take for fallback in self.without_enough_history.value]
        for needed, name in (("default", "no_history_default"), ("class_average", "class_average_of")):
            if (needed in takes) != (getattr(self, name) is not None):
                raise NotAllowed(
                    f"{name} where a fallback takes {needed}, and only there", "without_enough_history", "value"
                )
        if ("fixed_per_edu" in self.quantity_from.value.values()) != (self.fixed_volume_per_edu is not None):
            raise NotAllowed(
                "fixed_volume_per_edu where a class is fixed_per_edu, and only there", "quantity_from", "value"
            )
        for place, take in enumerate(takes):
            if take in takes[:place]:
                raise NotAllowed(f"each fallback once; {take} stands twice", "without_enough_history", "value", place)
        if "hold" in takes[:-1]:
            raise NotAllowed("hold as the last fallback only", "without_enough_history", "value", takes.index("hold"))
        return self

    @model_validator(mode="after")
    def _window_can_be_counted(self) -> AveragingRule:
        named = self.window_of_billing_cycle.value if self.window_of_billing_cycle else {}
        windows: list[tuple[WindowOfUse, tuple[str, ...]]] = [(self.window.value, ("window", "value"))]
        windows += [(one.window, ("window_of_billing_cycle", "value", name, "window")) for name, one in named.items()]
        if "" in named:
            raise NotAllowed("the name of a billing cycle", "window_of_billing_cycle", "value")
        counted_by = self.counted_by.value
        for window, key in windows:
            if isinstance(counted_by, ByMonths) and (window.months is None or window.months % counted_by.each):
                raise NotAllowed(f"a window that comes out even in stretches of {counted_by.each} months", *key)
        for mistake in out_of_order(self.steps, counted_by, all(window.months is not None for window, _ in windows)):
            raise mistake
        return self

    def takes(self, what: str) -> bool:
        """Whether a fallback takes it."""
        return any(fallback.take == what for fallback in self.without_enough_history.value)


def windows_of(rule: AveragingRule, effective: dt.date) -> tuple[Window, ...]:
    """The window of each billing cycle in the update that takes effect on ``effective``; that of all others comes first."""

    def one(cycle: str, window: MonthsWindow | DatesWindow, day: dt.date) -> Window:
        return Window(cycle, *window.until(day), window.months, day)

    named = rule.window_of_billing_cycle.value if rule.window_of_billing_cycle else {}
    own = [
        one(cycle, w.window, dt.date.fromisoformat(f"{effective.year}-{w.effective}") if w.effective else effective)
        for cycle, w in sorted(named.items())
    ]
    return (one("", rule.window.value, effective), *own)


def reach(rule: AveragingRule, effective: dt.date) -> Dates:
    """The days on which use can lie that counts in this update."""
    windows = windows_of(rule, effective)
    start, end = min(w.start for w in windows), max(w.end for w in windows)
    counted_by = rule.counted_by.value
    if not isinstance(counted_by, ByCycles):
        return start, end
    each = 13 if counted_by.months_each == "by_its_days" else counted_by.months_each
    longest = max(31 * each, counted_by.joined_up_to_days) + counted_by.reads_within_days
    return (
        start - dt.timedelta(days=longest + max(counted_by.days_after_read, 0)),
        end + dt.timedelta(days=counted_by.reads_within_days + 1),
    )


def spans_of(rule: AveragingRule, window: Window) -> list[tuple[dt.date, dt.date, int]]:
    """The stretches whose use is counted apart: first day, first day after, months. Not for use that is counted by cycles."""
    counted_by = rule.counted_by.value
    if isinstance(counted_by, ByDays) or window.months is None:
        return [(window.start, window.end, window.months or 1)]
    each = counted_by.each if isinstance(counted_by, ByMonths) else 1
    return [
        (after_months(window.start, n), after_months(window.start, n + each), each)
        for n in range(0, window.months, each)
    ]


def thousandths_of(volume: Decimal) -> int:
    """A volume of the rule as a whole number of thousandths."""
    return int(volume.scaleb(3))
