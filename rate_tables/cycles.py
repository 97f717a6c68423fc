"""Which readings of a service make one cycle.

Belongs here: meters that are read on different days, meters that are changed, meters that measure what never covers a day.
Does not belong here: which cycles belong to a window (``counted_use``), what is done with them (``averaging``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from rate_tables.averaging_window import ByCycles
from rate_tables.calendar_days import days_between
from rate_tables.exact import round_half_away
from rate_tables.looked_up import looked_up

_METER = ["service_id", "district_id", "district_account", "meter_id"]
_PART = ["service_id", "district_id", "source_file", "source_row", "source_column", "purpose", "link_start"]


def _with_ends(covering: ir.Table, joined_up_to_days: int) -> ir.Table:
    """Periods with ``closes``: the day of the read that closes their cycle.

    That is their own closing read, or that of the meter that took over on this day, if both periods together are short enough
    to be one cycle.
    """
    of_meter = ibis.window(group_by=_METER)
    c = covering.mutate(
        is_first=covering.period_start == covering.period_start.min().over(of_meter),
        is_last=covering.period_end == covering.period_end.max().over(of_meter),
    )
    taking_over = (
        c.filter(c.is_first).group_by("service_id", period_end="period_start").agg(taken_over=ibis._.period_end.max())
    )
    c = looked_up(c, taking_over, ["service_id", "period_end"], "taken_over")
    is_change = c.is_last & c.taken_over.notnull() & (days_between(c.period_start, c.taken_over) <= joined_up_to_days)
    return c.mutate(closes=ibis.ifelse(is_change.fill_null(False), c.taken_over, c.period_end))


def with_cycles(parts: ir.Table, counted_by: ByCycles) -> ir.Table:
    """``parts`` of periods with their cycle: span_start, span_end and span_months; counted days are cut to the cycle.

    Cycles are made by periods whose days count as covered, and follow each other without overlapping: where two meters are
    read a few days apart, the cycle ends with the later read. Other meters go with the first cycle that does not end before
    they are read; a reading that is late goes to the next, and without a next it belongs to none.
    """
    within = counted_by.reads_within_days
    covering = _with_ends(parts.filter(parts.covers), counted_by.joined_up_to_days)
    reads = covering.group_by("service_id", "closes").agg(opens=ibis._.period_start.min())
    in_order = ibis.window(group_by="service_id", order_by="closes")
    before = reads.closes.lag().over(in_order)
    reads = reads.mutate(is_new=(before.isnull() | (days_between(before, reads.closes) > within)).cast("int64"))
    reads = reads.mutate(
        cycle_no=reads.is_new.sum().over(
            ibis.window(group_by="service_id", order_by="closes", preceding=None, following=0)
        )
    )
    cycles = reads.group_by("service_id", "cycle_no").agg(opens=ibis._.opens.min(), span_end=ibis._.closes.max())
    ended = cycles.span_end.lag().over(ibis.window(group_by="service_id", order_by="cycle_no"))
    cycles = cycles.mutate(span_start=ibis.greatest(cycles.opens, ended.fill_null(cycles.opens)))
    days = days_between(cycles.span_start, cycles.span_end)
    months = (
        ibis.greatest(round_half_away(days * 12, 365), 1)
        if counted_by.months_each == "by_its_days"
        else ibis.literal(counted_by.months_each, "int64")
    )
    cycles = cycles.mutate(span_months=months)

    numbered = reads.select("service_id", "closes", "cycle_no")
    ours = looked_up(covering, numbered, ["service_id", "closes"], "cycle_no")
    others = parts.filter(~parts.covers)
    after = others.select(*_PART, read="period_end").inner_join(
        cycles.select("service_id", "cycle_no", "span_end"), "service_id"
    )
    after = after.filter(days_between(after.read, after.span_end) >= -within)
    first_after = after.group_by(_PART).agg(cycle_no=ibis._.cycle_no.min())
    theirs = others.inner_join(first_after, _PART)
    columns = [*parts.columns, "cycle_no"]
    placed = ours.select(*columns).union(theirs.select(*columns))
    placed = placed.inner_join(cycles.drop("opens"), ["service_id", "cycle_no"])
    return placed.mutate(
        counted_start=ibis.greatest(placed.counted_start, placed.span_start),
        counted_end=ibis.least(placed.counted_end, placed.span_end),
    )
