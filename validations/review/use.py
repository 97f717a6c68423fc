"""What was used, as rules look at it: by meter and period, by service and period, and what is usual for each service.

Belongs here: the three tables that the rules of use share, made once per slice.
Does not belong here: rules.

Volumes are those that count after the entries of the adjustment sheet, and last year's as adjusted in the end, so that last year's
leak does not hide this year's. Figures for judging are CCF a day in binary fractions, made from whole numbers in one
multiplication each; a volume that is proposed to count stays a whole number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from rate_tables.looked_up import looked_up
from rate_tables.review_limits import ReviewLimits, Tolerance
from rate_tables.volume_units import SIZE_8NL
from validations.tables import SEVERAL_DISTRICTS
from validations.workspace import Year

RECORD = ["district_id", "source_file", "source_row", "source_column"]
METER = ["district_id", "district_account", "meter_id"]
MONTH_DAYS = 365.25 / 12
_DAYS_AROUND = 31
_A_YEAR = 330
_CYCLES = 3


@dataclass(frozen=True)
class Use:
    """``reads``: one row per service, domestic meter and period of this year's and last year's delivery.
    ``followed``: this year's own reads that another of their meter comes before, with the day up to which those before go (reached).

    ``periods``: one row per service and period, all domestic meters together, of the present occupant.
    ``usual``: one row per service with any of these: what it uses in winter and in summer, per day.
    ``looked``: this year's periods beside what is usual and beside the periods before and after them (``looked_at``).
    ``window``: first day of the winter window, and the first day after.

    A rule that follows a service through time first asks, row by row, which services it can find at all (``of_services_with``): to
    put all of them in order takes longer than all else that it does. Tables may hold the services of several slices; what is usual for
    others is that of the slice.
    """

    reads: ir.Table
    followed: ir.Table
    periods: ir.Table
    usual: ir.Table
    looked: ir.Table
    window: tuple[ir.DateScalar, ir.DateScalar]


def of_services_with(rows: ir.Table, some: ir.Table) -> ir.Table:
    """All ``rows`` of the services that have any row in ``some``."""
    return rows.semi_join(some.select("service_id").distinct(), "service_id")


def in_runs(rows: ir.Table, in_time: Any) -> ir.Table:
    """Rows with ``run``, alike for rows whose ``number`` (in a longer table) follow each other without a gap."""
    placed = rows.mutate(place=ibis.row_number().over(in_time))
    return placed.mutate(run=placed.number - placed.place).drop("place")


def _in_ccf(volume: ir.IntegerValue, unit: ir.StringValue) -> ir.FloatingValue:
    size = ibis.cases(
        *((unit == name, ibis.literal(eights / SIZE_8NL["ccf"] / 1000)) for name, eights in SIZE_8NL.items())
    )
    return volume.cast("float64") * size


def _counting(consumption: ir.Table, changed: ir.Table, is_prior: bool) -> ir.Table:
    """Consumption with what counts of it; rows that are left out are not here."""
    c = looked_up(consumption, changed, RECORD, "volume_thousandths", "is_left_out")
    c = c.filter(~c.is_left_out.fill_null(False))
    return c.mutate(
        is_adjusted=c.volume_thousandths.notnull(),
        volume_thousandths=ibis.coalesce(c.volume_thousandths, c.billed_volume_thousandths),
        is_prior=ibis.literal(is_prior),
    ).drop("is_left_out")


def reads_of(
    consumption: ir.Table,
    last_steps: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    service_consumption: ir.Table,
    prior_service_consumption: ir.Table,
    sewer_services: ir.Table,
) -> ir.Table:
    """One row per service, domestic meter and period; the registers of a meter together.

    ``last_steps``: what the entries of the sheet leave of a row (volume_thousandths, is_left_out), by row of consumption.
    """
    prior_changed = prior_adjusted_consumption.group_by(RECORD).agg(
        volume_thousandths=ibis._.adjusted_volume_thousandths.min(), is_left_out=ibis._.is_left_out.any()
    )
    links = service_consumption.filter(service_consumption.purpose == "domestic")
    parts = []
    for table, changed, is_prior in (
        (consumption, last_steps, False),
        (prior_consumption.anti_join(consumption, [*METER, "period_start", "period_end"]), prior_changed, True),
    ):
        met = _counting(table, changed, is_prior).inner_join(_links(links, prior_service_consumption, is_prior), METER)
        inside = (met.period_start < met.link_end) & (met.period_end > met.link_start)
        parts.append(met.filter(inside))
    both = parts[0].union(parts[1].select(*parts[0].columns))
    period = ["service_id", *METER, "period_start", "period_end", "days", "is_prior", "volume_unit"]
    both = both.mutate(share=both.share_to_millionths - both.share_from_millionths)
    r = both.group_by(period).agg(
        volume_thousandths=both.volume_thousandths.sum(),
        billed_thousandths=both.billed_volume_thousandths.sum(),
        registered_thousandths=both.registered_volume_thousandths.sum(),
        delivered_thousandths=both.delivered_quantity_thousandths.max(),
        is_estimated=(both.read_type == "estimated").any(),
        is_adjusted=both.is_adjusted.any(),
        records=ibis._.count(),
        share_millionths=both.share.max(),
        source_file=both.source_file.min(),
        source_row=both.source_row.min(),
        source_column=both.source_column.min(),
    )
    # To count the columns of every read takes longer than all else here, and hardly any read has two records.
    several = both.semi_join(r.filter(r.records > 1), period)
    columns = several.group_by(period).agg(columns_of_file=several.source_column.nunique())
    r = looked_up(r, columns, period, "columns_of_file")
    r = r.mutate(columns_of_file=r.columns_of_file.fill_null(1))
    r = r.inner_join(
        sewer_services.select("service_id", "slice_id", "customer_class", "dwelling_units", "status", "service_start",
                              "service_end", "occupant_since"), "service_id",
    )  # fmt: skip
    # What another district measured before the service came to its own is not compared with what is measured now.
    r = r.filter(~r.is_prior | (r.slice_id == r.district_id) | (r.slice_id == SEVERAL_DISTRICTS))
    # A period that begins a little before the occupant came is taken as the occupant's: it has the opening read.
    own_since = ibis.coalesce(r.occupant_since, r.service_start)
    ccf = _in_ccf(r.volume_thousandths, r.volume_unit)
    return r.mutate(
        is_own=own_since.delta(r.period_start, unit="day") <= 10,
        ccf=ccf,
        ccf_of_service=ccf * (r.share_millionths / 1_000_000),
    )


def followed_of(reads: ir.Table) -> ir.Table:
    """One row per read of this year, of the present occupant, with another read of its meter before it: reached, the last day after of those."""
    before = ibis.window(group_by=["service_id", *METER], order_by=["period_start", "period_end"], preceding=(None, 1))
    # Of no more columns than are needed: all that there are would be put in order with them.
    r = reads.select(
        "service_id", *METER, "period_start", "period_end", "days", "is_prior", "is_own", reached=reads.period_end.max().over(before)
    )  # fmt: skip
    return r.filter(r.reached.notnull() & ~r.is_prior & r.is_own).drop("is_prior", "is_own")


def _links(links: ir.Table, prior: ir.Table, is_prior: bool) -> ir.Table:
    """Which meters are whose: this year's links, and for last year's reads those too that have ended since."""
    wanted = ["service_id", *METER, "link_start", "link_end", "share_from_millionths", "share_to_millionths"]
    if not is_prior:
        return links.select(*wanted)
    before = prior.filter(prior.purpose == "domestic").anti_join(links, ["service_id", *METER, "link_start"])
    return links.select(*wanted).union(before.select(*wanted))


def _beside(periods: ir.Table) -> ir.Table:
    """One row per period of services whose meters are read on different days: ccf_beside, what the others counted on its days.

    Otherwise the use of such a service would go up and down with whichever of its meters was read.
    """
    p = periods.select("service_id", "period_start", "period_end", "days", "ccf")
    in_time = ibis.window(group_by="service_id", order_by=["period_start", "period_end"])
    p = p.mutate(reaches_next=(p.period_start.lead().over(in_time) < p.period_end).fill_null(False))
    several = p.group_by("service_id").agg(times=p.reaches_next.sum()).filter(lambda t: t.times >= _CYCLES)
    p = p.semi_join(several, "service_id")
    other = p.select(
        "service_id", other_start="period_start", other_end="period_end", other_days="days", other_ccf="ccf"
    )
    met = p.inner_join(other, "service_id")
    both = ibis.least(met.period_end, met.other_end).delta(ibis.greatest(met.period_start, met.other_start), unit="day")
    is_same = (met.period_start == met.other_start) & (met.period_end == met.other_end)
    met = met.filter((both > 0) & ~is_same)
    return met.group_by("service_id", "period_start", "period_end").agg(
        ccf_beside=(met.other_ccf * (both / met.other_days)).sum()
    )


def periods_of(reads: ir.Table, year: Year) -> ir.Table:
    """One row per service and period of the present occupant, with its neighbours: ccf a day, of the same dates last year."""
    r = reads.filter(reads.is_own)
    p = r.group_by(
        "service_id", "slice_id", "customer_class", "dwelling_units", "period_start", "period_end", "days", "is_prior"
    ).agg(
        district_id=r.district_id.min(),
        ccf=r.ccf_of_service.sum(),
        records=r.records.sum(),
        is_estimated=r.is_estimated.any(),
        is_adjusted=r.is_adjusted.any(),
    )
    p = looked_up(p, _beside(p), ["service_id", "period_start", "period_end"], "ccf_beside")
    # Rounded, so that the order in which meters are added does not show.
    p = p.mutate(ccf=(p.ccf + p.ccf_beside.fill_null(0)).round(6)).drop("ccf_beside")
    begin, end = ibis.literal(year.window_start), ibis.literal(year.window_end)
    inside = ibis.greatest(ibis.least(p.period_end, end).delta(ibis.greatest(p.period_start, begin), unit="day"), 0)
    middle = p.period_start.delta(ibis.literal(year.window_start), unit="day") + p.days / 2
    p = p.mutate(winter_days=inside, a_day=p.ccf / p.days, middle=middle.cast("int64"))
    # Half a year away from the middle of the window is the height of the other season.
    of_year = ((p.middle - (year.window_end - year.window_start).days // 2) % 365 + 365) % 365
    p = p.mutate(is_winter=(of_year < 92) | (of_year >= 273))
    a_year_ago = ibis.range_window(
        group_by="service_id", order_by="middle", preceding=(365 + _DAYS_AROUND, 365 - _DAYS_AROUND)
    )
    return p.mutate(a_day_last_year=p.a_day.mean().over(a_year_ago).round(9))


@ibis.udf.agg.builtin(name="quantile_disc")
def lower_quantile(value: float, at: float) -> float:  # type: ignore[empty-body]
    """A value that occurs, the lower of two in the middle: of a usual and an unusual read, the usual one."""


def usual_of(periods: ir.Table) -> ir.Table:
    """One row per service: the lower median of its use a day in winter (and the upper one), in summer and altogether, of both years."""
    p = periods
    return p.group_by("service_id", "slice_id", "customer_class").agg(
        winter_a_day=lower_quantile(p.a_day, 0.5, where=p.is_winter),
        upper_winter_a_day=lower_quantile(p.a_day, 0.501, where=p.is_winter),
        summer_a_day=lower_quantile(p.a_day, 0.5, where=~p.is_winter),
        all_a_day=lower_quantile(p.a_day, 0.5),
        periods=ibis._.count(),
        typical_days=p.days.median(where=~p.is_prior),
        has_a_year=p.period_end.max().delta(p.period_start.min(), unit="day") >= _A_YEAR,
    )


def looked_at(periods: ir.Table, usual: ir.Table, tolerance: tuple[Tolerance, ...]) -> ir.Table:
    """This year's periods with what is usual: ccf_a_month, usual_ccf, last_year_ccf, class_ccf, and how many times the usual
    is still no surprise (times); with their number in their service, and ccf_before and ccf_after, a month, beside them in time."""
    of_class = usual.group_by("slice_id", "customer_class").agg(class_a_day=usual.winter_a_day.median())
    p = periods.filter(~periods.is_prior)
    in_time = ibis.window(group_by="service_id", order_by=["period_start", "period_end"])
    p = p.mutate(
        number=ibis.row_number().over(in_time),
        ccf_before=p.a_day.lag().over(in_time) * MONTH_DAYS,
        ccf_after=p.a_day.lead().over(in_time) * MONTH_DAYS,
    )
    p = looked_up(
        p,
        usual,
        "service_id",
        "winter_a_day",
        "upper_winter_a_day",
        "summer_a_day",
        "all_a_day",
        "typical_days",
        "has_a_year",
        "periods",
    )
    p = looked_up(p, of_class, ["slice_id", "customer_class"], "class_a_day")
    season = ibis.ifelse(p.is_winter, p.winter_a_day, p.summer_a_day)
    # Of two winter reads, the lower one is usual beside a high one, and the upper one beside a low one.
    upper = ibis.ifelse(p.is_winter, ibis.least(p.upper_winter_a_day, p.all_a_day), p.summer_a_day)
    p = p.mutate(
        ccf_a_month=p.a_day * MONTH_DAYS,
        usual_ccf=ibis.coalesce(season, p.all_a_day) * MONTH_DAYS,
        upper_usual_ccf=ibis.greatest(ibis.coalesce(season, p.all_a_day), ibis.coalesce(upper, p.all_a_day))
        * MONTH_DAYS,
        last_year_ccf=p.a_day_last_year * MONTH_DAYS,
        class_ccf=p.class_a_day * MONTH_DAYS,
    )
    *bounded, last = tolerance
    bands = [(p.usual_ccf <= float(b.up_to_ccf_a_month or 0), float(b.times)) for b in bounded]
    times = ibis.cases(*bands, else_=float(last.times)) if bands else ibis.literal(float(last.times))
    return p.mutate(times=times).drop(
        "winter_a_day", "upper_winter_a_day", "summer_a_day", "class_a_day", "a_day_last_year", "is_prior", "records", "is_estimated", "is_adjusted", "middle"
    )  # fmt: skip


def about_ten_or_a_hundred(ratio: ir.FloatingValue, limits: ReviewLimits) -> ir.BooleanValue:
    """Whether a ratio is about ten or a hundred, or a tenth or a hundredth: a decimal's place."""
    low, high = float(limits.slip_from.value), float(limits.slip_to.value)
    return ibis.or_(
        *((ratio >= t * low / 10) & (ratio <= t * high / 10) for t in (10, 100)),
        *((ratio >= 10 / high / t) & (ratio <= 10 / low / t) for t in (10, 100)),
    )
