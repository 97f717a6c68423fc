"""Whose use counts towards an average, and to which stretch of the window it belongs.

Belongs here: meeting periods with services, purposes and shares, cutting periods by days.
Does not belong here: which readings make a cycle (``cycles``), what is done with the counted use (``averaging``).

A stretch is what the rule counts apart (``averaging_window``): the window as a whole, a month of it, or a cycle. A period is
cut at the edges of the stretch, at the ends of its meter link and where the present occupant's history begins, by days; parts
of a period always add to it, because each part is the difference of two rounded running totals.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Literal

import ibis
import ibis.expr.types as ir

from rate_tables.averaging_rule import AveragingRule, Window, reach, spans_of, windows_of
from rate_tables.averaging_window import ByCycles
from rate_tables.calendar_days import days_between
from rate_tables.cycles import with_cycles
from rate_tables.exact import part_of
from rate_tables.looked_up import looked_up

Whose = Literal["own", "previous_occupant"]

_MILLION = 1_000_000
_NEVER = dt.date(9999, 12, 31)

COUNTED = (
    "service_id", "window_no", "span_start", "span_end", "span_months", "district_id", "source_file", "source_row", "source_column",
    "counted_start", "counted_end", "covers", "volume_unit", "counted_volume_thousandths", "is_estimated", "is_adjusted",
)  # fmt: skip


def window_number(services: ir.Table, windows: Sequence[Window]) -> ir.IntegerValue:
    """Place of each service's window among ``windows``; the first is for every cycle that has none of its own."""
    if len(windows) == 1:
        return ibis.literal(0, "int64")
    own = ((services.billing_cycle == w.billing_cycle, place) for place, w in enumerate(windows) if place)
    return ibis.cases(*own, else_=0).cast("int64")


def of_window(number: ir.IntegerValue, windows: Sequence[Window], value: Callable[[Window], Any]) -> ir.Value:
    """What ``value`` says of the window with that number."""
    first, *others = [ibis.literal(value(window)) for window in windows]
    if not others:
        return first
    return ibis.cases(*((number == place, other) for place, other in enumerate(others, start=1)), else_=first)


def bounds_of_history(
    sewer_services: ir.Table, rule: AveragingRule, windows: Sequence[Window], whose: Whose = "own"
) -> ir.Table:
    """One row per service: service_id, history_start and history_end (from when to when its use counts), is_by_effluent (by which
    meters), window_no."""
    s, never = sewer_services, ibis.literal(_NEVER)
    service_end = s.service_end.fill_null(never)
    if whose == "previous_occupant":
        start, end = s.service_start, ibis.least(ibis.coalesce(s.occupant_since, s.service_start), service_end)
    elif rule.whose_history.value == "occupant":
        start, end = ibis.greatest(ibis.coalesce(s.occupant_since, never), s.service_start), service_end
    elif rule.before_first_occupant.value == "leave_out":
        start, end = ibis.ifelse(s.occupant_since.isnull(), never, s.service_start), service_end
    else:
        start, end = s.service_start, service_end
    by_effluent = [name for name, source in rule.quantity_from.value.items() if source == "measured_effluent"]
    return s.select(
        "service_id",
        history_start=start,
        history_end=end,
        is_by_effluent=s.customer_class.isin(by_effluent) if by_effluent else ibis.literal(False),
        window_no=window_number(s, windows),
    )


def _with_spans(met: ir.Table, rule: AveragingRule, windows: Sequence[Window]) -> ir.Table:
    """Each period once for each stretch of its window, with span_start, span_end and span_months."""
    spans = [spans_of(rule, window) for window in windows]
    if all(len(of_one) == 1 for of_one in spans):
        number = met.window_no
        return met.mutate(
            span_start=of_window(number, windows, lambda w: w.start),
            span_end=of_window(number, windows, lambda w: w.end),
            span_months=of_window(number, windows, lambda w: w.months or 1).cast("int64"),
        )
    arrays = [
        ibis.array(
            [
                ibis.struct({"start": ibis.literal(a), "end": ibis.literal(b), "months": ibis.literal(n, "int64")})
                for a, b, n in of_one
            ]
        )
        for of_one in spans
    ]
    first, *others = arrays
    chosen = (
        ibis.cases(*((met.window_no == n, a) for n, a in enumerate(others, start=1)), else_=first) if others else first
    )
    met = met.mutate(span=chosen.unnest())
    met = met.mutate(span_start=met.span.start, span_end=met.span.end, span_months=met.span.months)
    return met.drop("span")


def _replacing(rule: AveragingRule) -> list[str]:
    """Purposes of meters that take the place of a service's other meters."""
    return [purpose for purpose, kind in rule.purposes.value.items() if kind == "replace"]


def with_sign(links: ir.Table, service_consumption: ir.Table, rule: AveragingRule) -> ir.Table:
    """Links of meters with services, with ``sign``: 1 where a meter of this purpose adds, -1 where it subtracts, 0 where it does not
    count. Needs is_by_effluent (``bounds_of_history``)."""
    rules, replacing = rule.purposes.value, _replacing(rule)
    of_kind = {kind: [p for p, r in rules.items() if r == kind] for kind in ("add", "subtract")}
    replaced = service_consumption.filter(service_consumption.purpose.isin(replacing)).select("service_id").distinct()
    links = looked_up(links, replaced.mutate(is_replaced=ibis.literal(True)), "service_id", "is_replaced")
    return links.mutate(
        sign=ibis.cases(
            (links.is_by_effluent, (links.purpose == "effluent").ifelse(1, 0)),
            (links.is_replaced.fill_null(False), links.purpose.isin(replacing).ifelse(1, 0)),
            (links.purpose.isin(of_kind["add"]), 1),
            (links.purpose.isin(of_kind["subtract"]), -1),
            else_=0,
        )
    ).drop("is_replaced")


def counted_periods(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    rule: AveragingRule,
    effective: dt.date,
    whose: Whose = "own",
) -> ir.Table:
    """One row per service, service period and stretch in which it counts, for the update that takes effect on ``effective``.

    Columns: service_id, window_no (place among ``windows_of``), span_start, span_end and span_months of the stretch, district_id,
    source_file, source_row, source_column, counted_start, counted_end, covers (whether its days count as covered),
    volume_unit, counted_volume_thousandths (signed), is_estimated, is_adjusted.

    ``whose``: "own" is the history that the rule asks for; "previous_occupant" what came before the present occupant.
    """
    windows = windows_of(rule, effective)
    first_day, day_after = (ibis.literal(day) for day in reach(rule, effective))
    # What is known of a link is found out before it meets the many periods of its meter.
    links = service_consumption.inner_join(bounds_of_history(sewer_services, rule, windows, whose), "service_id")
    links = with_sign(links, service_consumption, rule)
    links = links.filter(links.sign != 0)
    covers = (links.sign > 0) & links.purpose.isin(["domestic", *_replacing(rule), "effluent"])
    near = consumption.filter((consumption.period_end > first_day) & (consumption.period_start < day_after))
    met = near.inner_join(links.mutate(covers=covers), ["district_id", "district_account", "meter_id"])

    counted_by = rule.counted_by.value
    edges = ["link", "history"]
    if not isinstance(counted_by, ByCycles):
        met = _with_spans(met, rule, windows)
        edges.append("span")
    met = met.mutate(
        counted_start=ibis.greatest(met.period_start, *(met[f"{edge}_start"] for edge in edges)),
        counted_end=ibis.least(met.period_end, *(met[f"{edge}_end"] for edge in edges)),
    )
    met = met.filter(met.counted_end > met.counted_start)

    record = ["service_id", "district_id", "source_file", "source_row", "source_column"]
    met = looked_up(met, adjusted_consumption, record, "adjusted_volume_thousandths", "is_left_out")
    met = met.filter(~met.is_left_out.fill_null(False))
    source = "billed_volume_thousandths" if rule.averaged_volume.value == "billed" else "registered_volume_thousandths"
    volume = ibis.coalesce(met.adjusted_volume_thousandths, met[source])

    met = met.mutate(volume=volume)
    inside = part_of(
        met.volume,
        days_between(met.period_start, met.counted_start),
        days_between(met.period_start, met.counted_end),
        met.days,
    )
    met = met.mutate(inside=inside)
    met = met.mutate(
        counted_volume_thousandths=met.sign
        * part_of(met.inside, met.share_from_millionths, met.share_to_millionths, _MILLION),
        is_estimated=met.read_type == "estimated",
        is_adjusted=met.adjusted_volume_thousandths.notnull(),
    )
    if rule.vacant_periods.value == "leave_out":
        met = met.filter(~(met.covers & (met.volume == 0)))
    if isinstance(counted_by, ByCycles):
        met = with_cycles(met, counted_by)
        start = of_window(met.window_no, windows, lambda w: w.start)
        days = of_window(met.window_no, windows, lambda w: w.days)
        dated = days_between(start, met.span_end) + counted_by.days_after_read
        met = met.filter((dated >= 0) & (dated < days))
        if counted_by.dated_by == "both_reads":
            met = met.filter(days_between(start, met.span_start) >= 0)
    return met.select(*COUNTED)
