"""Rules about periods: days that no read covers, days that two cover, periods off the cycle.

Belongs here: rules about when a meter was read.
Does not belong here: how much it counted (``of_use``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from rate_tables.looked_up import looked_up
from rate_tables.review_limits import ReviewLimits
from validations.review.finding import as_json, found_in_use, sentence
from validations.review.use import Use, is_off_cycle, of_services_with

A_MONTH = 31
_LONGER_THAN_A_MONTH = 45


def is_named_by_month(reads: ir.Table) -> ir.BooleanValue:
    """Whether only months are known of a bill of several: a read some days before or after the first gives it another month's name."""
    return (reads.period_start.day() == 1) & (reads.period_end.day() == 1) & (reads.days >= _LONGER_THAN_A_MONTH)


def _after_another(use: Use) -> ir.Table:
    """This year's reads of the occupant that do not begin where those before them end, and whether only months are known of the period."""
    r = use.followed.filter(~use.followed.is_prior & use.followed.is_own)
    return r.mutate(is_named_by_month=is_named_by_month(r))


def period_gap(use: Use, limits: ReviewLimits) -> ir.Table:
    """Days of the winter that no read of the meter covers, between two that there are; for information where bills of several
    months are named by a month, and one month is between."""
    r = _after_another(use)
    begin, end = use.window
    start, stop = ibis.greatest(r.reached, begin), ibis.least(r.period_start, end)
    r = r.mutate(missing=stop.delta(start, unit="day"), first=start, after=stop)
    rows = r.filter(r.missing >= limits.gap_days.value)
    rows = rows.group_by("service").agg(
        district=rows.district.min(),
        period_start=rows["first"].min(),
        period_end=rows.after.max(),
        days=rows.missing.sum(),
        is_naming=(rows.is_named_by_month & (rows.missing <= A_MONTH)).all(),
    )
    return found_in_use(
        rows, "period.gap", ibis.ifelse(rows.is_naming, "info", "review"),
        sentence("no read covers ", rows.days, " days of the winter between ", rows.period_start, " and ", rows.period_end),
        as_json(days=rows.days, first_day=rows.period_start, day_after=rows.period_end),
        "Ask the district for the missing read; refused rows stand in rejected_rows. The average rests on the days that are known.",
    )  # fmt: skip


def period_overlap(use: Use, limits: ReviewLimits) -> ir.Table:
    """Days that two reads of one meter cover: their use counts twice; for information where bills of several months are named by a
    month, and share one."""
    r = _after_another(use)
    r = r.mutate(twice=ibis.least(r.reached, r.period_end).delta(r.period_start, unit="day"))
    rows = r.filter(r.twice >= limits.overlap_days.value)
    begin, end = use.window
    rows = rows.group_by("service").agg(
        district=rows.district.min(), period_start=rows.period_start.min(), period_end=rows.period_end.max(),
        days=rows.twice.sum(), counts=((rows.period_end > begin) & (rows.period_start < end)).any(),
        is_naming=(rows.is_named_by_month & (rows.twice <= A_MONTH)).all(),
    )  # fmt: skip
    return found_in_use(
        rows, "period.overlap", ibis.ifelse(rows.counts & ~rows.is_naming, "must_decide", "info"),
        sentence(rows.days, " days between ", rows.period_start, " and ", rows.period_end, " stand in two reads of one meter"),
        as_json(days=rows.days, first_day=rows.period_start, day_after=rows.period_end),
        "Ask the district which of the two is right; leave the other out.",
    )  # fmt: skip


def period_several_figures(use: Use) -> ir.Table:
    """One meter and period with several figures, where the file tells no meters apart: they were added."""
    r = use.several.filter(use.several.records > use.several.columns_of_file)
    rows = r.group_by("service").agg(
        district=r.district.min(), period_start=r.period_start.min(), period_end=r.period_end.max(),
        periods=ibis._.count(), records=r.records.max(),
    )  # fmt: skip
    return found_in_use(
        rows, "period.several_figures", "info",
        sentence(rows.periods, " periods have up to ", rows.records, " figures each for one meter, or the file tells its meters not apart; they were added"),
        as_json(periods=rows.periods, records=rows.records),
        "Nothing, if the account has so many meters; else ask the district.",
    )  # fmt: skip


def period_off_cycle(use: Use, limits: ReviewLimits) -> ir.Table:
    """A period much shorter or longer than the service's others; days are shared, so the average allows for it."""
    shorter, longer = float(limits.off_cycle_shorter_than.value), float(limits.off_cycle_longer_than.value)
    p = of_services_with(use.looked, use.usual.filter(is_off_cycle(use.usual, limits)))
    p = looked_up(p, p.group_by("service").agg(typical_days=p.days.median()), "service", "typical_days")
    odd = p.filter((p.days < p.typical_days * shorter) | (p.days > p.typical_days * longer))
    rows = odd.group_by("service").agg(
        district=odd.district.min(), period_start=odd.period_start.min(), period_end=odd.period_end.max(),
        periods=ibis._.count(), shortest=odd.days.min(), longest=odd.days.max(), typical=odd.typical_days.min().cast("int64"),
    )  # fmt: skip
    return found_in_use(
        rows, "period.off_cycle", "info",
        sentence(rows.periods, " periods have ", rows.shortest, " to ", rows.longest, " days where ", rows.typical, " are usual"),
        as_json(periods=rows.periods, shortest=rows.shortest, longest=rows.longest, typical=rows.typical),
        "Nothing, if the meter was read out of turn; use counts by days.",
    )  # fmt: skip
