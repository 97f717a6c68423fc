"""The winter average: from counted use to one figure per sewer service, in the steps that the rule states.

Belongs here: months and their days, which of them count, the arithmetic, whether the history is enough.
Does not belong here: whose use counts (``counted_use``), what stands in for an average (``fallbacks``), reading or writing.

All figures are whole numbers until a ``round`` step: volumes in thousandths of 8 nanolitres, and the figure as one whole number
over another. How large they can become: a service's winter is taken to be at most 400 rows of the largest volume that the front
door lets in (10^10 thousandths of the largest unit, 4.8 x 10^11 times 8 nl: together 2 x 10^24); days of a month multiply by
at most 3,100, two factors by 10^5 each, which makes 6 x 10^37, and 128 bits hold 1.7 x 10^38. Beyond that the engine stops
with an error; it never wraps round.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import ibis
import ibis.expr.types as ir

from rate_tables.averaging_rule import AveragingRule, Enough, Window, thousandths_of, windows_of
from rate_tables.averaging_steps import (
    AtLeast,
    AtMost,
    Choose,
    DaysOfMonth,
    EachMonthAtLeast,
    EachMonthAtMost,
    KeepConsecutive,
    LeaveOutShortMonths,
    Mean,
    MeanByDays,
    Multiply,
    OfMonths,
    OfTheFigure,
    Round,
    ScalePartMonths,
)  # fmt: skip
from rate_tables.calendar_days import days_between
from rate_tables.counted_use import counted_periods, of_window, window_number
from rate_tables.exact import divide_wide, round_half_away, truncating_divide, widened
from rate_tables.looked_up import looked_up
from rate_tables.volume_units import SIZE_8NL

_MONTH = ["service_id", "window_no", "span_start", "span_end", "span_months"]
_EVERY_NUMBER_OF_MONTHS = lcm(*range(1, 14))


def days_covered(counted: ir.Table, keys: list[str]) -> ir.Table:
    """One row per ``keys``: days_covered, each day once however many meters cover it."""
    covering = counted.filter(counted.covers)
    before = ibis.window(group_by=keys, order_by=["counted_start", "counted_end"], preceding=(None, 1))
    reached = covering.counted_end.max().over(before)
    fresh = covering.select(
        *keys,
        begin=ibis.greatest(covering.counted_start, ibis.coalesce(reached, covering.counted_start)),
        end=covering.counted_end,
    )
    days = ibis.greatest(days_between(fresh.begin, fresh.end), 0)
    return fresh.group_by(keys).agg(days_covered=days.sum())


def months_of_use(counted: ir.Table) -> ir.Table:
    """One row per service and stretch with counted periods: what it used there.

    Columns: those of the stretch, volume_8nl_thousandths, days_covered, periods_counted, periods_estimated, periods_adjusted.
    """
    size = ibis.cases(
        *((counted.volume_unit == unit, ibis.literal(eights, "int64")) for unit, eights in SIZE_8NL.items())
    )
    months = counted.group_by(_MONTH).agg(
        volume_8nl_thousandths=(widened(counted.counted_volume_thousandths) * size).sum(),
        periods_counted=counted.count(),
        periods_estimated=counted.is_estimated.cast("int64").sum(),
        periods_adjusted=counted.is_adjusted.cast("int64").sum(),
    )
    keys = ["service_id", "span_start"]
    found = looked_up(months, days_covered(counted, keys), keys, "days_covered")
    return found.mutate(days_covered=found.days_covered.fill_null(0))


# --- steps about single months


def _ranked(months: ir.Table, step: Choose) -> ir.Table:
    of_a_month = months.volume_8nl_thousandths * truncating_divide(
        ibis.literal(_EVERY_NUMBER_OF_MONTHS, "int64"), months.span_months
    )
    ranked = months.mutate(of_a_month=of_a_month)
    order = ranked.of_a_month.desc() if step.step.endswith("highest") else ranked.of_a_month
    place = ibis.row_number().over(ibis.window(group_by="service_id", order_by=[order, ranked.span_start]))
    ranked = ranked.mutate(place=place)
    is_kept = ranked.place < step.count if step.step.startswith("keep") else ranked.place >= step.count
    return ranked.filter(is_kept).drop("of_a_month", "place")


def _consecutive(months: ir.Table, step: KeepConsecutive) -> ir.Table:
    of_service = ibis.window(group_by="service_id", order_by="span_start")
    m = months.mutate(place=ibis.row_number().over(of_service), reached=months.span_end.lag().over(of_service))
    m = m.mutate(begins=(m.reached.isnull() | (m.span_start > m.reached)).cast("int64"))
    run = ibis.window(group_by="service_id", order_by="place", preceding=step.count - 1, following=0)
    within_run = ibis.window(group_by="service_id", order_by="place", preceding=step.count - 2, following=0)
    m = m.mutate(
        run_volume=m.volume_8nl_thousandths.sum().over(run),
        run_months=ibis._.count().over(run),
        gaps=m.begins.sum().over(within_run),
    )
    runs = m.filter((m.run_months == step.count) & (m.gaps == 0))
    order = {"first": [runs.place], "last": [runs.place.desc()], "lowest": [runs.run_volume, runs.place]}[step.which]
    chosen = runs.mutate(choice=ibis.row_number().over(ibis.window(group_by="service_id", order_by=order)))
    chosen = chosen.filter(chosen.choice == 0)
    kept = looked_up(m, chosen.select("service_id", last_place="place"), "service_id", "last_place")
    kept = kept.filter((kept.place <= kept.last_place) & (kept.place > kept.last_place - step.count))
    return kept.select(*months.columns)


def _after_step(months: ir.Table, step: OfMonths, unit_size: int) -> ir.Table:
    """The months that are left after one step about single months, and what each counts for."""
    volume = months.volume_8nl_thousandths
    match step:
        case ScalePartMonths():
            days = days_between(months.span_start, months.span_end)
            whole = round_half_away(volume * days, months.days_covered, divide_wide)
            is_part = months.days_covered < days
            return months.mutate(
                volume_8nl_thousandths=ibis.ifelse(is_part, whole, volume),
                days_covered=ibis.ifelse(is_part, days, months.days_covered),
            )
        case LeaveOutShortMonths():
            return months.filter(months.days_covered >= step.under_days)
        case EachMonthAtLeast() | EachMonthAtMost():
            limit = widened(months.span_months) * thousandths_of(step.volume) * unit_size
            bounded = ibis.greatest if isinstance(step, EachMonthAtLeast) else ibis.least
            return months.mutate(volume_8nl_thousandths=bounded(volume, limit))
        case Choose():
            return _ranked(months, step)
        case KeepConsecutive():
            return _consecutive(months, step)


# --- from months to one figure, and what becomes of it; the figure is ``volume`` over ``parts``


def _days_of_month(step: MeanByDays, windows: Sequence[Window], number: ir.IntegerValue) -> tuple[ir.Value, ir.Value]:
    """The days of a month as one whole number over another."""

    def of(window: Window) -> Fraction:
        if isinstance(step.days_of_month, DaysOfMonth):
            is_leap = calendar.isleap(window.effective.year)
            return Fraction(step.days_of_month.leap_year if is_leap else step.days_of_month.common_year)
        if step.days_of_month == "twelfth_of_year":
            return Fraction((window.effective.replace(year=window.effective.year + 1) - window.effective).days, 12)
        return Fraction(window.days, window.months or 1)

    days = of_window(number, windows, lambda w: of(w).numerator)
    return days, of_window(number, windows, lambda w: of(w).denominator)


def _one_figure(months: ir.Table, step: Mean | MeanByDays, windows: Sequence[Window]) -> ir.Table:
    """One row per service with a month left: volume over parts, never negative."""
    total = months.group_by("service_id").agg(
        window_no=ibis._.window_no.max(),
        volume=ibis._.volume_8nl_thousandths.sum(),
        days=ibis._.days_covered.sum(),
        months=ibis._.span_months.sum(),
    )
    volume = ibis.greatest(total.volume, 0)
    if isinstance(step, Mean):
        return total.select("service_id", volume=volume, parts=total.months)
    of_month, twelfths = _days_of_month(step, windows, total.window_no)
    return total.select("service_id", volume=volume * of_month, parts=total.days * twelfths)


def _after_figure(figure: ir.Table, step: OfTheFigure, unit_size: int) -> ir.Table:
    match step:
        case Multiply():
            factor = Fraction(step.by)
            return figure.mutate(volume=figure.volume * factor.numerator, parts=figure.parts * factor.denominator)
        case AtMost() | AtLeast():
            limit = figure.parts * thousandths_of(step.volume) * unit_size
            bounded = ibis.least if isinstance(step, AtMost) else ibis.greatest
            return figure.mutate(volume=bounded(figure.volume, limit))
        case Round():
            one = figure.parts * thousandths_of(step.to) * unit_size
            times = {
                "half_up": lambda: round_half_away(figure.volume, one, divide_wide),
                "down": lambda: divide_wide(figure.volume, one),
                "up": lambda: divide_wide(figure.volume + one - 1, one),
            }[step.direction]()
            return figure.mutate(
                volume=times * thousandths_of(step.to) * unit_size, parts=widened(ibis.literal(1, "int64"))
            )


# --- whether it is enough


def _is_enough(history: ir.Table, enough: Enough, window_days: ir.IntegerValue) -> ir.BooleanValue:
    asked = []
    if enough.days is not None:
        asked.append(history.days_covered >= enough.days)
    if enough.coverage is not None:
        share = Fraction(enough.coverage)
        asked.append(history.days_covered * share.denominator >= window_days * share.numerator)
    if enough.count is not None:
        asked.append(history[f"months_of_{enough.of_at_least_days or 1}"] >= enough.count)
    if enough.full is not None:
        asked.append(history.full_months >= enough.full)
    first, *others = asked
    for other in others:
        first = first & other
    return first


def winter_averages(counted: ir.Table, rule: AveragingRule, effective: dt.date) -> ir.Table:
    """One row per service with counted periods: the average per month as the rule builds it.

    Columns: service_id, average_thousandths (of rule.unit a month; null where no month is left), has_enough_history,
    winter_volume_thousandths, days_covered, months_counted (months or cycles of which use is known), periods_counted,
    periods_estimated, periods_adjusted.
    """
    unit_size = SIZE_8NL[rule.unit.value]
    windows = windows_of(rule, effective)
    all_months = months_of_use(counted)

    lengths = {e.of_at_least_days or 1 for e in rule.enough_history.value if e.count is not None}
    known = all_months.days_covered
    history = all_months.group_by("service_id").agg(
        window_no=all_months.window_no.max(),
        volume_8nl_thousandths=all_months.volume_8nl_thousandths.sum(),
        days_covered=known.sum(),
        months_counted=(known > 0).cast("int64").sum(),
        full_months=(known >= days_between(all_months.span_start, all_months.span_end)).cast("int64").sum(),
        **{f"months_of_{n}": (known >= n).cast("int64").sum() for n in sorted(lengths)},
        periods_counted=all_months.periods_counted.sum(),
        periods_estimated=all_months.periods_estimated.sum(),
        periods_adjusted=all_months.periods_adjusted.sum(),
    )
    window_days = of_window(history.window_no, windows, lambda w: w.days)
    is_enough = ibis.or_(*(_is_enough(history, enough, window_days) for enough in rule.enough_history.value))

    months = all_months.filter(all_months.days_covered > 0)
    for step in rule.steps:
        if isinstance(step, OfMonths):
            months = _after_step(months, step, unit_size)
    (to_one,) = (step for step in rule.steps if isinstance(step, Mean | MeanByDays))
    figure = _one_figure(months, to_one, windows)
    for step in rule.steps:
        if isinstance(step, OfTheFigure):
            figure = _after_figure(figure, step, unit_size)
    figure = figure.select("service_id", average_thousandths=divide_wide(figure.volume, figure.parts * unit_size))
    found = looked_up(history, figure, "service_id", "average_thousandths")
    return found.select(
        "service_id", "average_thousandths",
        has_enough_history=is_enough & found.average_thousandths.notnull(),
        winter_volume_thousandths=round_half_away(found.volume_8nl_thousandths, unit_size, divide_wide),
        days_covered="days_covered", months_counted="months_counted", periods_counted="periods_counted",
        periods_estimated="periods_estimated", periods_adjusted="periods_adjusted",
    )  # fmt: skip


def counted_use(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    rule: AveragingRule,
    effective: dt.date,
) -> ir.Table:
    """All that averages are made from: the rows of ``counted_periods`` with ``whose``, those of the occupant before only where the
    rule falls back on them."""
    tables = (consumption, service_consumption, adjusted_consumption, sewer_services)
    own = counted_periods(*tables, rule, effective).mutate(whose=ibis.literal("own"))
    if not rule.takes("previous_occupant"):
        return own
    before = counted_periods(*tables, rule, effective, "previous_occupant")
    return ibis.union(own, before.mutate(whose=ibis.literal("previous_occupant")))


def averages_of_counted_use(
    counted: ir.Table, sewer_services: ir.Table, rule: AveragingRule, effective: dt.date
) -> ir.Table:
    """One row per sewer service: what its own use comes to, and that of the occupant before where the rule falls back on it.

    ``counted``: rows of ``counted_use``. Columns: those of ``winter_averages`` (null without counted periods), window_start,
    window_end, previous_occupant_average_thousandths (null where the rule does not ask for it, or its history is not enough).
    """
    windows = windows_of(rule, effective)
    number = window_number(sewer_services, windows)
    services = sewer_services.mutate(
        window_start=of_window(number, windows, lambda w: w.start),
        window_end=of_window(number, windows, lambda w: w.end),
    )
    own = winter_averages(counted.filter(counted.whose == "own"), rule, effective)
    found = looked_up(services, own, "service_id", *(c for c in own.columns if c != "service_id"))
    if not rule.takes("previous_occupant"):
        return found.mutate(previous_occupant_average_thousandths=ibis.null("int64"))
    before = winter_averages(counted.filter(counted.whose == "previous_occupant"), rule, effective)
    before = before.filter(before.has_enough_history)
    before = before.select("service_id", previous_occupant_average_thousandths="average_thousandths")
    return looked_up(found, before, "service_id", "previous_occupant_average_thousandths")


def averages_of_services(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    rule: AveragingRule,
    effective: dt.date,
) -> ir.Table:
    """``averages_of_counted_use`` of the use that counts."""
    tables = (consumption, service_consumption, adjusted_consumption, sewer_services)
    return averages_of_counted_use(counted_use(*tables, rule, effective), sewer_services, rule, effective)
