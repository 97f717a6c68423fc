"""Rules about how much a service used: against itself, last year, its class, and figures that are no reading.

Belongs here: rules over the periods of a service (``use``).
Does not belong here: periods as such (``of_periods``), meters and reads (``of_meters``), who lived there (``of_history``).

A period outside the window moves no average, so what is found there is for information.
"""

from __future__ import annotations

from dataclasses import replace

import ibis
import ibis.expr.types as ir

from rate_tables.review_limits import ReviewLimits
from validations.review.finding import as_json, ccf, found_in_use, sentence
from validations.review.of_meters import corrected_estimates, missed_rollovers
from validations.review.use import (
    MONTH_DAYS,
    Use,
    about_ten_or_a_hundred,
    ccf_of_service,
    in_order,
    in_runs,
    is_winter_above_summer,
    no_surprise,
    of_services_with,
)

_TWO_MONTHS = 75


def _shown(rows: ir.Table) -> ir.StringValue:
    return sentence(rows.period_start, " to ", rows.period_end, ": ") + ccf(rows.ccf_a_month)


def of_service(use: Use, rows: ir.Table, **more: ir.Value) -> ir.Table:
    """One row per service of the periods ``rows``: what they span, the periods in words, whether any counts in the winter."""
    r = rows.mutate(_shown=_shown(rows))
    found_of = r.group_by("service").agg(
        district=r.district.min(),
        period_start=r.period_start.min(),
        period_end=r.period_end.max(),
        periods=ibis._.count(),
        in_words=r._shown.group_concat("; ", order_by=[r.period_start, r.period_end]),
        worst_ccf=r.ccf_a_month.max(),
        usual=r.usual_ccf.min(),
        last_year=r.last_year_ccf.max(),
        counts=(r.winter_days > 0).any(),
        **more,
    )
    return use.with_class(found_of).rename(of_class="class_ccf")


def _own(rows: ir.Table, **more: ir.Value) -> ir.StringValue:
    return as_json(
        periods_ccf_a_month=rows.in_words,
        usual_ccf_a_month=ccf(rows.usual),
        last_year_ccf_a_month=ccf(rows.last_year),
        **more,
    )


def _if_it_counts(rows: ir.Table, severity: str) -> ir.StringValue:
    return ibis.ifelse(rows.counts, severity, "info")


def use_high(use: Use, limits: ReviewLimits) -> ir.Table:
    """Far above the service's own usual use and that of the same dates last year; without any history, far above its class."""
    p = use.looked
    excess = float(limits.least_excess_ccf.value)
    usual, times = ibis.greatest(p.usual_ccf, 1.0), no_surprise(p.usual_ccf, limits.tolerance.value)
    over_usual = p.ccf_a_month > usual * times
    last_was_odd = p.last_year_ccf > usual * times
    over_last = p.last_year_ccf.isnull() | last_was_odd | (p.ccf_a_month > p.last_year_ccf * times)
    by_enough = p.ccf_a_month - p.usual_ccf > excess
    # Two reads have no middle; a service that began lately is compared with its class.
    known, new = use.usual.filter(use.usual.periods > 2), use.usual.filter(~use.usual.has_a_year)
    far = of_services_with(p.filter(over_usual & over_last & by_enough), known)
    of_new = p.inner_join(use.with_class(new.select("service")), "service")
    over_class = of_new.filter(of_new.ccf_a_month > of_new.class_ccf * float(limits.class_times.value))
    rows = of_service(use, far.union(over_class.drop("class_ccf"), distinct=True))
    return found_in_use(
        rows, "use.high", _if_it_counts(rows, "review"),
        sentence("used ", ccf(rows.worst_ccf), " CCF a month where ", ccf(rows.usual), " are usual (same dates last year: ",
                 ccf(rows.last_year), "): ", rows.in_words),
        _own(rows),
        "Ask the customer about a leak or a filled pool, and the district about the read; enter a consumption adjustment if it is one.",
        beside=as_json(class_ccf_a_month=ccf(rows.of_class)),
    )  # fmt: skip


def use_low(use: Use, limits: ReviewLimits) -> ir.Table:
    """Far below the service's own usual use and that of the same dates last year, and not nothing."""
    p = use.looked
    least = float(limits.least_usual_ccf.value)
    times = no_surprise(p.usual_ccf, limits.tolerance.value)
    p = p.mutate(usual_ccf=p.upper_usual_ccf, times=ibis.greatest(times, float(limits.low_times.value)))
    under_usual = (
        (p.ccf_a_month * p.times < p.usual_ccf)
        & (p.usual_ccf - p.ccf_a_month > 1.5 * least)
        & (p.usual_ccf > 2 * least)
    )
    under_last = (
        p.last_year_ccf.isnull()
        | (p.ccf_a_month * p.times < p.last_year_ccf)
        | (p.last_year_ccf * p.times < p.usual_ccf)
    )
    rows = of_service(use, p.filter(under_usual & under_last & (p.ccf > 0)), least_ccf=p.ccf_a_month.min())
    return found_in_use(
        rows, "use.low", _if_it_counts(rows, "review"),
        sentence("used ", ccf(rows.least_ccf), " CCF a month where ", ccf(rows.usual), " are usual (same dates last year: ",
                 ccf(rows.last_year), "): ", rows.in_words),
        _own(rows),
        "See whether somebody was away or the meter slows; leave the period out if the use is not the customer's.",
        beside=as_json(class_ccf_a_month=ccf(rows.of_class)),
    )  # fmt: skip


def use_tenfold(use: Use, limits: ReviewLimits) -> ir.Table:
    """Ten or a hundred times the usual (or the periods beside it), or that part of it, between periods that are as usual: a slipped decimal."""
    p = in_order(use.of_uneven(float(limits.slip_from.value)))
    usual = ibis.ifelse(
        (p.last_year_ccf > 0) & (p.last_year_ccf < p.usual_ccf * 3) & (p.last_year_ccf * 3 > p.usual_ccf),
        (p.last_year_ccf + p.usual_ccf) / 2, p.usual_ccf,
    )  # fmt: skip
    ratio = p.ccf_a_month / usual.nullif(0)
    around = (p.ccf_before + p.ccf_after) / 2
    is_slip = about_ten_or_a_hundred(ratio, limits) | about_ten_or_a_hundred(
        p.ccf_a_month / around.nullif(0), limits
    ).fill_null(False)
    p = p.mutate(ratio=ratio, slipped=is_slip & (usual > float(limits.least_usual_ccf.value)) & (p.ccf > 0))
    in_time = ibis.window(group_by="service", order_by="number")
    p = p.mutate(
        before=p.ratio.lag().over(in_time).fill_null(1.0),
        after=p.ratio.lead().over(in_time).fill_null(1.0),
    )
    most = float(limits.as_usual_times.value)
    as_usual = ibis.and_(*(p[beside].between(1 / most, most) for beside in ("before", "after")))
    rows = of_service(use, p.filter(p.slipped & as_usual))
    return found_in_use(
        rows, "use.tenfold", _if_it_counts(rows, "must_decide"),
        sentence("is about ten or a hundred times the usual ", ccf(rows.usual), " CCF a month, or that part of it: ", rows.in_words),
        _own(rows),
        "Ask the district whether a decimal slipped in this read; enter what was used as a consumption adjustment.",
    )  # fmt: skip


def _in_nines(fewest: int) -> list[int]:
    """Whole numbers of 64 bits that are so many nines or more, whatever zeros follow them."""
    return [(10**n - 1) * 10**zeros for n in range(fewest, 19) for zeros in range(19 - n)]


def use_placeholder(use: Use, limits: ReviewLimits) -> ir.Table:
    """A figure that stands where nothing was read, such as 9,999, and is far from usual."""
    r = use.reads.filter(~use.reads.is_prior & ~use.reads.is_adjusted & use.reads.is_own)
    values = [int(v * 1000) for v in limits.placeholder_values.value]
    nines = _in_nines(limits.placeholder_nines.value)
    rows = r.filter(r.billed_thousandths.isin([*nines, *values]))
    rows = rows.mutate(nines=rows.billed_thousandths.isin(nines))
    rows = rows.inner_join(use.usual.select("service", "all_a_day", "periods"), "service")
    # A row of nines is hardly ever read, unless it is about the usual; a round figure may be.
    a_day = ccf_of_service(rows) / rows.days
    about_usual = (rows.periods > 2) & (a_day < 2 * rows.all_a_day) & (2 * a_day > rows.all_a_day)
    rows = rows.filter(
        (rows.nines & ~about_usual)
        | (a_day > float(limits.placeholder_times.value) * ibis.greatest(rows.all_a_day, 0.02))
    )
    begin, end = use.window
    rows = rows.group_by("service").agg(
        district=rows.district.min(), period_start=rows.period_start.min(), period_end=rows.period_end.max(),
        value=rows.billed_thousandths.max() / 1000, unit=rows.volume_unit.min(), usual=rows.all_a_day.min() * MONTH_DAYS,
        counts=((rows.period_end > begin) & (rows.period_start < end)).any(),
    )  # fmt: skip
    return found_in_use(
        rows, "use.placeholder", _if_it_counts(rows, "must_decide"),
        sentence("the figure ", ccf(rows.value), " ", rows.unit, " stands where ", ccf(rows.usual), " CCF a month are usual; it looks like no reading"),
        as_json(value=ccf(rows.value), unit=rows.unit, period_start=rows.period_start, usual_ccf_a_month=ccf(rows.usual)),
        "Ask the district for the read; enter what was used as a consumption adjustment, or leave the period out.",
    )  # fmt: skip


def use_negative(use: Use, limits: ReviewLimits) -> ir.Table:
    """Less than nothing, and neither the end of estimated reads nor a register that went round: those rules propose what counts."""
    r = use.reads.filter(~use.reads.is_prior & use.reads.is_own)
    read = ["meter", "period_start", "period_end"]
    negative = r.filter(r.volume_thousandths < 0)
    # What explains a read is among the reads of its own service.
    theirs = replace(use, reads=of_services_with(use.reads, negative))
    explained = corrected_estimates(theirs).select(read).union(missed_rollovers(theirs, limits).select(read))
    rows = negative.anti_join(explained, read)
    begin, end = use.window
    rows = rows.group_by("service").agg(
        district=rows.district.min(), period_start=rows.period_start.min(), period_end=rows.period_end.max(),
        value=rows.volume_thousandths.min() / 1000, unit=rows.volume_unit.min(),
        counts=((rows.period_end > begin) & (rows.period_start < end)).any(),
    )  # fmt: skip
    return found_in_use(
        rows, "use.negative", _if_it_counts(rows, "must_decide"),
        sentence("the volume is ", ccf(rows.value), " ", rows.unit, " from ", rows.period_start, " to ", rows.period_end),
        as_json(value=ccf(rows.value), unit=rows.unit, period_start=rows.period_start, period_end=rows.period_end),
        "A credit belongs to the months that were billed too high: ask the district which, and enter what was used.",
    )  # fmt: skip


def use_zero_run(use: Use, limits: ReviewLimits) -> ir.Table:
    """Nothing for several cycles on an active account that uses water otherwise: vacant, stuck or tampered."""
    zeros = use.looked.filter(use.looked.ccf <= 0)
    zeros = in_order(of_services_with(use.looked, zeros)).filter(lambda t: t.ccf <= 0)
    zeros = in_runs(zeros, ibis.window(group_by="service", order_by="number"))
    runs = zeros.group_by("service", "run").agg(
        district=zeros.district.min(), period_start=zeros.period_start.min(), period_end=zeros.period_end.max(),
        days=zeros.days.sum(), counts=(zeros.winter_days > 0).any(),
    )  # fmt: skip
    long = runs.filter(runs.days >= limits.zero_days.value)
    active = use.services.filter((use.services.status == "active") & use.services.occupant_since.notnull())
    uses = use.usual.filter(use.usual.most_a_day * MONTH_DAYS > float(limits.least_usual_ccf.value))
    long = long.semi_join(active, "service").semi_join(uses, "service")
    rows = long.group_by("service").agg(
        district=long.district.min(), period_start=long.period_start.min(), period_end=long.period_end.max(),
        days=long.days.sum(), counts=long.counts.any(),
    )  # fmt: skip
    return found_in_use(
        rows, "use.zero_run", _if_it_counts(rows, "review"),
        sentence("no use for ", rows.days, " days between ", rows.period_start, " and ", rows.period_end, " on an active account"),
        as_json(days=rows.days, period_start=rows.period_start, period_end=rows.period_end),
        "Ask whether the premise was empty or the meter is stuck; leave the period out if it is not the customer's use.",
    )  # fmt: skip


def use_on_inactive(use: Use, limits: ReviewLimits) -> ir.Table:
    """Water flows where the CIS has the service suspended, or after it ended."""
    s = use.services.filter(use.services.status.isin(["closed", "suspended"]))
    r = use.reads.inner_join(s.select("service", "status", "service_end"), "service")
    r = r.mutate(ccf_of_service=ccf_of_service(r)).filter(~r.is_prior)
    month = r.ccf_of_service / r.days * MONTH_DAYS
    after_end = (r.status == "closed") & (r.period_start >= r.service_end).fill_null(False)
    rows = r.filter((after_end | (r.status == "suspended")) & (month > float(limits.inactive_ccf.value)))
    rows = rows.group_by("service", "status").agg(
        district=rows.district.min(), period_start=rows.period_start.min(), period_end=rows.period_end.max(),
        # Rounded, so that the order in which reads are added does not show.
        total=rows.ccf_of_service.sum().round(6),
    )  # fmt: skip
    return found_in_use(
        rows, "use.on_inactive", "review",
        sentence("used ", ccf(rows.total), " CCF from ", rows.period_start, " to ", rows.period_end, " while the CIS has it ", rows.status),
        as_json(ccf=ccf(rows.total), status=rows.status, period_start=rows.period_start, period_end=rows.period_end),
        "See whether somebody moved in; correct status and occupant in the CIS.",
    )  # fmt: skip


def use_repeated_value(use: Use, limits: ReviewLimits) -> ir.Table:
    """The same figure again and again, though read: a stuck or copied value. Small figures repeat by chance."""
    fewest = limits.repeated_periods.value - 1
    r = use.reads.filter(~use.reads.is_estimated & (use.reads.ccf > 0))
    some = use.reads.filter(use.reads.ccf > 0)
    often = some.group_by("meter", "billed_thousandths").agg(times=ibis._.count(), is_of_old=some.is_prior.all())
    r = r.semi_join(often.filter((often.times >= fewest) & ~often.is_of_old), "meter")
    r = r.mutate(number=ibis.row_number().over(ibis.window(group_by="meter", order_by=["period_start", "period_end"])))
    r = in_runs(r, ibis.window(group_by=["meter", "billed_thousandths"], order_by="number"))
    runs = r.group_by("meter", "service", "district", "billed_thousandths", "volume_unit", "run").agg(
        period_start=r.period_start.min(), period_end=r.period_end.max(), times=ibis._.count(), this_year=(~r.is_prior).any(),
        month=(r.ccf / r.days).mean().round(9) * MONTH_DAYS, days=r.days.sum(),
    )  # fmt: skip
    enough = ibis.ifelse(runs.days / runs.times > _TWO_MONTHS, fewest, limits.repeated_periods.value)
    long = runs.filter(
        (runs.times >= enough) & runs.this_year & (runs.month > 1.5 * float(limits.least_usual_ccf.value))
    )
    rows = long.group_by("service").agg(
        district=long.district.min(), period_start=long.period_start.min(), period_end=long.period_end.max(),
        times=long.times.max(), value=long.billed_thousandths.max() / 1000, unit=long.volume_unit.min(),
    )  # fmt: skip
    begin, end = use.window
    rows = rows.mutate(counts=(rows.period_end > begin) & (rows.period_start < end))
    return found_in_use(
        rows, "use.repeated_value", _if_it_counts(rows, "review"),
        sentence("the same figure of ", ccf(rows.value), " ", rows.unit, " stands ", rows.times, " times running"),
        as_json(value=ccf(rows.value), unit=rows.unit, times=rows.times, period_start=rows.period_start),
        "Ask the district whether the meter was read, or the figure copied.",
    )  # fmt: skip


def use_rising(use: Use, limits: ReviewLimits) -> ir.Table:
    """Use that rises from read to read through the winter, as a growing leak does, and did not last year."""
    altogether, least = float(limits.rising_altogether_times.value), float(limits.least_excess_ccf.value)
    p = use.of_uneven(altogether)
    is_high = p.is_winter & (p.ccf_a_month > p.usual_ccf * altogether / 1.5) & (p.ccf_a_month > least)
    p = in_order(of_services_with(p, p.filter(is_high)))
    rises = p.ccf_a_month > p.ccf_before * float(limits.rising_each_times.value)
    risen = p.filter(rises.fill_null(False) & p.is_winter)
    often = risen.group_by("service").agg(times=ibis._.count())
    risen = of_services_with(risen, often.filter(often.times >= limits.rising_periods.value - 1))
    risen = in_runs(risen, ibis.window(group_by="service", order_by="number"))
    runs = risen.group_by("service", "run").agg(
        district=risen.district.min(), period_start=risen.period_start.min(), period_end=risen.period_end.max(),
        rises=ibis._.count(), first=risen.ccf_before.argmin(risen.number),
        last=risen.ccf_a_month.argmax(risen.number), usual=risen.usual_ccf.min(),
        first_then=risen.last_year_ccf.argmin(risen.number), last_then=risen.last_year_ccf.argmax(risen.number),
        counts=(risen.winter_days > 0).any(),
    )  # fmt: skip
    rose_last_year = (runs.last_then > runs.first_then * altogether).fill_null(False)
    long = runs.filter(
        (runs.rises >= limits.rising_periods.value - 1) & (runs.last > runs.first * altogether)
        & (runs.last > runs.usual * altogether / 1.5) & runs.counts & ~rose_last_year & (runs.last > least)
    )  # fmt: skip
    rows = long.group_by("service").agg(
        district=long.district.min(), period_start=long.period_start.min(), period_end=long.period_end.max(),
        rises=long.rises.max(), first=long["first"].min(), last=long["last"].max(),
    )  # fmt: skip
    return found_in_use(
        rows, "use.rising", "review",
        sentence("rose ", rows.rises, " times running, from ", ccf(rows["first"]), " to ", ccf(rows["last"]), " CCF a month"),
        as_json(rises=rows.rises, first_ccf_a_month=ccf(rows["first"]), last_ccf_a_month=ccf(rows["last"]), period_start=rows.period_start),
        "A leak that grows looks like this: ask the customer.",
    )  # fmt: skip


def use_winter_above_summer(use: Use, limits: ReviewLimits) -> ir.Table:
    """More in winter than in summer, and more than last winter: a probable leak."""
    times = float(limits.winter_above_summer_times.value)
    p = of_services_with(use.looked, use.usual.filter(is_winter_above_summer(use.usual, limits)))
    s = p.group_by("service").agg(
        district=p.district.min(),
        winter=p.ccf.sum(where=p.is_winter & (p.winter_days > 0)) / p.days.sum(where=p.is_winter & (p.winter_days > 0)) * MONTH_DAYS,
        summer=p.ccf.sum(where=~p.is_winter) / p.days.sum(where=~p.is_winter) * MONTH_DAYS,
        last_winter=p.last_year_ccf.mean(where=p.is_winter & (p.winter_days > 0)),
        period_start=p.period_start.min(where=p.winter_days > 0), period_end=p.period_end.max(where=p.winter_days > 0),
    )  # fmt: skip
    above_last = s.last_winter.isnull() | (s.winter > s.last_winter * (1 + (times - 1) / 2))
    enough = s.winter - s.summer > float(limits.least_excess_ccf.value)
    rows = s.filter((s.winter > s.summer * times) & above_last & enough & (s.summer > 0))
    return found_in_use(
        rows, "use.winter_above_summer", "review",
        sentence("used ", ccf(rows.winter), " CCF a month in winter and ", ccf(rows.summer), " in summer (last winter: ", ccf(rows.last_winter), ")"),
        as_json(winter_ccf_a_month=ccf(rows.winter), summer_ccf_a_month=ccf(rows.summer), last_winter_ccf_a_month=ccf(rows.last_winter)),
        "Water use rises in summer, so this is a probable leak: ask the customer, and enter a consumption adjustment if it is one.",
    )  # fmt: skip


def use_per_dwelling_unit(use: Use, limits: ReviewLimits) -> ir.Table:
    """More in each dwelling of the premise than anybody uses: dwellings are missing in the CIS, or it is something else."""
    of_several = use.services.filter(use.services.dwelling_units > 1).select("service", "dwelling_units")
    p = use.looked.filter(use.looked.winter_days > 0).inner_join(of_several, "service")
    s = p.group_by("service", "dwelling_units").agg(
        district=p.district.min(), winter=p.ccf.sum().round(6) / p.days.sum() * MONTH_DAYS,
        period_start=p.period_start.min(), period_end=p.period_end.max(),
    )  # fmt: skip
    rows = s.mutate(each=s.winter / s.dwelling_units)
    rows = rows.filter(rows.each > float(limits.per_dwelling_unit_ccf.value))
    return found_in_use(
        rows, "use.per_dwelling_unit", "review",
        sentence("used ", ccf(rows.winter), " CCF a month in ", rows.dwelling_units, " dwellings: ", ccf(rows.each), " each"),
        as_json(winter_ccf_a_month=ccf(rows.winter), dwelling_units=rows.dwelling_units),
        "See whether the CIS has all dwellings, and whether something else is on the meter.",
    )  # fmt: skip
