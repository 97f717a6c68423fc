"""The winter average: from service periods to one figure per sewer service.

Belongs here: which part of a period counts, coverage of the window, the average and its one rounding.
Does not belong here: what happens to a service without enough history (``assets.billing_basis`` walks the ladder that the
schedule states), reading or writing.

All volumes stay whole numbers until the average is rounded. A period is cut at the window's edges, at the ends of its meter
link and where the present occupant's history begins, by days; parts of a period always add to it, because each part is the
difference of two rounded running totals.
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from rate_tables.exact import round_half_away
from rate_tables.looked_up import looked_up
from rate_tables.schedule import AveragingRule, Rounding, window_months
from rate_tables.volume_units import SIZE_8NL

_MILLION = 1_000_000
_NEVER = dt.date(9999, 12, 31)


def _part(
    volume: ir.IntegerValue, begin: ir.IntegerValue, end: ir.IntegerValue, of: ir.IntegerValue | int
) -> ir.IntegerValue:
    """The part of ``volume`` from ``begin`` to ``end`` of ``of``; parts laid end to end add to the volume exactly."""
    return round_half_away(volume * end, of) - round_half_away(volume * begin, of)


def _days(later: ir.DateValue, earlier: ir.DateValue) -> ir.IntegerValue:
    return later.delta(earlier, unit="day")


def counted_periods(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    rule: AveragingRule,
    window: tuple[dt.date, dt.date],
) -> ir.Table:
    """One row per service and service period that counts towards its average.

    Columns: service_id, source_file, source_row, source_column, counted_start, counted_end, covers (whether its days count
    as covered), volume_unit, counted_volume_thousandths (signed), is_estimated, is_adjusted.
    """
    window_start, window_end = (ibis.literal(day) for day in window)
    near = consumption.filter((consumption.period_end > window_start) & (consumption.period_start < window_end))
    met = near.inner_join(service_consumption, ["district_id", "district_account", "meter_id"])

    history_start = (
        ibis.coalesce(sewer_services.occupant_since, ibis.literal(_NEVER))
        if rule.whose_history.value == "occupant"
        else sewer_services.service_start
    )
    bounds = sewer_services.select(
        "service_id",
        history_start=ibis.greatest(history_start, sewer_services.service_start),
        history_end=sewer_services.service_end.fill_null(ibis.literal(_NEVER)),
    )
    met = met.inner_join(bounds, "service_id")
    met = met.mutate(
        counted_start=ibis.greatest(met.period_start, window_start, met.link_start, met.history_start),
        counted_end=ibis.least(met.period_end, window_end, met.link_end, met.history_end),
    )
    met = met.filter(met.counted_end > met.counted_start)

    period = ["district_id", "district_account", "meter_id", "period_start", "period_end"]
    met = looked_up(met, adjusted_consumption, period, "adjusted_volume_thousandths")
    source = "billed_volume_thousandths" if rule.averaged_volume.value == "billed" else "registered_volume_thousandths"
    volume = ibis.coalesce(met.adjusted_volume_thousandths, met[source])

    rules = rule.purposes.value
    of_kind = {kind: [p for p, r in rules.items() if r == kind] for kind in ("add", "subtract", "replace")}
    replaced = (
        service_consumption.filter(service_consumption.purpose.isin(of_kind["replace"])).select("service_id").distinct()
    )
    replaced = replaced.mutate(is_replaced=ibis.literal(True))
    met = looked_up(met.mutate(volume=volume), replaced, "service_id", "is_replaced")
    is_replaced = met.is_replaced.fill_null(False)
    sign = ibis.cases(
        (is_replaced, met.purpose.isin(of_kind["replace"]).ifelse(1, 0)),
        (met.purpose.isin(of_kind["add"]), 1),
        (met.purpose.isin(of_kind["subtract"]), -1),
        else_=0,
    )
    inside = _part(
        met.volume, _days(met.counted_start, met.period_start), _days(met.counted_end, met.period_start), met.days
    )
    met = met.mutate(sign=sign, inside=inside)
    met = met.filter(met.sign != 0)
    shared = _part(met.inside, met.share_from_millionths, met.share_to_millionths, _MILLION)
    return met.select(
        "service_id", "source_file", "source_row", "source_column", "counted_start", "counted_end", "volume_unit",
        covers=(met.sign > 0) & met.purpose.isin(["domestic", *of_kind["replace"]]),
        counted_volume_thousandths=met.sign * shared,
        is_estimated=met.read_type == "estimated",
        is_adjusted=met.adjusted_volume_thousandths.notnull(),
    )  # fmt: skip


def days_covered(counted: ir.Table) -> ir.Table:
    """One row per service: days_covered, each day once however many meters cover it."""
    covering = counted.filter(counted.covers)
    before = ibis.window(group_by="service_id", order_by=["counted_start", "counted_end"], preceding=(None, 1))
    reached = covering.counted_end.max().over(before)
    fresh = covering.select(
        "service_id",
        begin=ibis.greatest(covering.counted_start, ibis.coalesce(reached, covering.counted_start)),
        end=covering.counted_end,
    )
    days = ibis.greatest(_days(fresh.end, fresh.begin), 0)
    return fresh.group_by("service_id").agg(days_covered=days.sum())


def winter_averages(
    counted: ir.Table, rule: AveragingRule, rounding: Rounding, window: tuple[dt.date, dt.date]
) -> ir.Table:
    """One row per service with counted periods: the average per month as the rule builds it.

    average = volume / days covered x days of the window / months of the window, so that a full window gives volume / months
    and a part of it is scaled by days. Rounded once; never below zero.

    Columns: service_id, average_thousandths (of rule.unit a month; null without covered days), winter_volume_thousandths,
    days_covered, periods_counted, periods_estimated, periods_adjusted.
    """
    decimals = rounding.average_decimals.value
    unit_size = SIZE_8NL[rule.unit.value]
    window_days = (window[1] - window[0]).days
    months = window_months(rule)

    by_unit = counted.group_by("service_id", "volume_unit").agg(
        volume=ibis._.counted_volume_thousandths.sum(),
        periods_counted=ibis._.count(),
        periods_estimated=ibis._.is_estimated.cast("int64").sum(),
        periods_adjusted=ibis._.is_adjusted.cast("int64").sum(),
    )
    size = ibis.cases(
        *((by_unit.volume_unit == unit, ibis.literal(eights, "int64")) for unit, eights in SIZE_8NL.items())
    )
    totals = (
        by_unit.mutate(size_8nl=size)
        .group_by("service_id")
        .agg(
            volume_8nl_thousandths=(ibis._.volume * ibis._.size_8nl).sum(),
            periods_counted=ibis._.periods_counted.sum(),
            periods_estimated=ibis._.periods_estimated.sum(),
            periods_adjusted=ibis._.periods_adjusted.sum(),
        )
    )
    totals = looked_up(totals, days_covered(counted), "service_id", "days_covered")
    days = totals.days_covered.fill_null(0)
    average = round_half_away(
        totals.volume_8nl_thousandths * (window_days * 10**decimals),
        ibis.ifelse(days > 0, days, 1) * (1000 * unit_size * months),
    )
    return totals.select(
        "service_id",
        average_thousandths=ibis.ifelse(days > 0, ibis.greatest(average, 0) * 10 ** (3 - decimals), ibis.null("int64")),
        winter_volume_thousandths=round_half_away(totals.volume_8nl_thousandths, unit_size),
        days_covered=days,
        periods_counted="periods_counted",
        periods_estimated="periods_estimated",
        periods_adjusted="periods_adjusted",
    )
