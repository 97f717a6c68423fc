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
_PERIOD = ["period_start", "period_end", "days", "volume_unit"]
_OF_READ = ["meter", "service", "district", *_PERIOD, "is_prior", "is_own"]
_NEXT_TO_NOTHING = 0.001
"""Of use a day, in CCF."""
_HARDLY_LESS = 0.99
"""Of a limit: what a service must have for a rule to be asked at all, beyond what figures are rounded by."""


@dataclass(frozen=True)
class Use:
    """``services``, ``meters``: one row per service with domestic meters, and per service and such a meter: the numbers by which other
    tables call them (service, meter), and what the CIS says of them.
    ``named``: one row per service and district that measures it: ids for both numbers (service, district).

    ``reads``: one row per service, domestic meter and period of this year's and last year's delivery.
    ``several``: this year's reads of several records, and in how many columns of the file these stand (columns_of_file).
    ``followed``: reads that do not begin where those of their meter before them end, with the day up to which these go (reached).
    ``crowded``: services for which more than one figure may stand for a day.

    ``usual``: one row per service with any reads of the present occupant: what it uses in winter and in summer, per day.
    ``classes``: one row per class of a slice: what is usual for it.
    ``looked``: one row per service and period of this year, all domestic meters together, of the present occupant, beside what is
    usual (``looked_at``); of the services that a rule over periods can find (``odd_periods_of``).
    ``window``: first day of the winter window, and the first day after.

    Services, meters and districts are numbered, in the order of their ids: to group, join and put in order by texts takes several times as
    long. A rule that follows a service through time first asks, row by row, which services it can find at all (``of_services_with``,
    ``of_uneven``): to put all of them in order takes longer than all else that it does. Tables may hold the services of several slices;
    what is usual for others is that of the slice.
    """

    services: ir.Table
    meters: ir.Table
    named: ir.Table
    reads: ir.Table
    several: ir.Table
    followed: ir.Table
    crowded: ir.Table
    usual: ir.Table
    classes: ir.Table
    looked: ir.Table
    window: tuple[ir.DateScalar, ir.DateScalar]

    def of_uneven(self, times: float) -> ir.Table:
        """Periods of the services whose use a day is, at its highest, so many times the lowest or hardly less: the others have no
        period that is so many times another, or their mean."""
        spread = self.usual.spread
        return self.looked.semi_join(self.usual.filter(spread.isnull() | (spread > _HARDLY_LESS * times)), "service")

    def with_class(self, rows: ir.Table) -> ir.Table:
        """Rows of services with what is usual for their class (class_ccf)."""
        class_of = ["slice_id", "customer_class"]
        placed = looked_up(rows, self.services, "service", *class_of)
        return looked_up(placed, self.classes, class_of, "class_ccf").drop(class_of)


def of_services_with(rows: ir.Table, some: ir.Table) -> ir.Table:
    """All ``rows`` of the services that have any row in ``some``."""
    return rows.semi_join(some.select("service").distinct(), "service")


def in_order(periods: ir.Table) -> ir.Table:
    """This year's periods of whole services, with their number in the service and the use a month before and after (ccf_before, ccf_after)."""
    in_time = ibis.window(group_by="service", order_by=["period_start", "period_end"])
    return periods.mutate(
        number=ibis.row_number().over(in_time),
        ccf_before=periods.ccf_a_month.lag().over(in_time),
        ccf_after=periods.ccf_a_month.lead().over(in_time),
    )


def in_runs(rows: ir.Table, in_time: Any) -> ir.Table:
    """Rows with ``run``, alike for rows whose ``number`` (in a longer table) follow each other without a gap."""
    placed = rows.mutate(place=ibis.row_number().over(in_time))
    return placed.mutate(run=placed.number - placed.place).drop("place")


def _in_ccf(volume: ir.IntegerValue, unit: ir.StringValue) -> ir.FloatingValue:
    size = ibis.cases(
        *((unit == name, ibis.literal(eights / SIZE_8NL["ccf"] / 1000)) for name, eights in SIZE_8NL.items())
    )
    return volume.cast("float64") * size


def links_of(service_consumption: ir.Table, prior_service_consumption: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """Which domestic meters are whose, and when, each with its numbers: this year's links, and those that have ended since (is_past),
    which last year's reads meet.

    ``is_of_slice``: what another district measured before the service came to its own is not compared with what is measured now.
    """
    wanted = ["service_id", *METER, "link_start", "link_end", "share_from_millionths", "share_to_millionths"]
    now, then = (
        t.filter(t.purpose == "domestic").select(*wanted) for t in (service_consumption, prior_service_consumption)
    )
    ended = then.anti_join(now, ["service_id", *METER, "link_start"])
    links = now.mutate(is_past=ibis.literal(False)).union(ended.mutate(is_past=ibis.literal(True)))
    s = sewer_services
    of_service = s.select("service_id", "slice_id", own_since=ibis.coalesce(s.occupant_since, s.service_start))
    links = links.inner_join(of_service, "service_id")

    districts = links.select("district_id").distinct()
    districts = districts.mutate(district=ibis.row_number().over(ibis.window(order_by="district_id")))
    links = looked_up(links, districts, "district_id", "district")
    return links.mutate(
        meter=ibis.dense_rank().over(ibis.window(order_by=["service_id", *METER])),
        service=ibis.dense_rank().over(ibis.window(order_by="service_id")),
        share=links.share_to_millionths - links.share_from_millionths,
        is_of_slice=(links.slice_id == links.district_id) | (links.slice_id == SEVERAL_DISTRICTS),
    ).drop("slice_id", "share_from_millionths", "share_to_millionths")


def meters_of(links: ir.Table) -> ir.Table:
    """One row per meter of ``links``."""
    return links.select("meter", "service", "district", "service_id", *METER).distinct()


def named_of(meters: ir.Table) -> ir.Table:
    """One row per service and district that measures it."""
    return meters.select("service", "district", "service_id", "district_id").distinct()


def services_of(named: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """One row per service with domestic meters: what rules ask of the CIS."""
    asked = ["slice_id", "customer_class", "dwelling_units", "status", "service_end", "occupant_since"]
    numbers = named.select("service", "service_id").distinct()
    return numbers.inner_join(sewer_services.select("service_id", *asked), "service_id").drop("service_id")


def _met(consumption: ir.Table, links: ir.Table, changed: ir.Table) -> ir.Table:
    """Consumption with the meters that it is of (``links``) and with what counts of it; rows that are left out are not here."""
    numbered = links.select("meter", "service", "district", *METER, "link_start", "link_end", "share", "own_since")
    met = consumption.inner_join(numbered, METER)
    met = met.filter((met.period_start < met.link_end) & (met.period_end > met.link_start))
    met = looked_up(met, changed, RECORD, "volume_thousandths", "is_left_out")
    met = met.filter(~met.is_left_out.fill_null(False))
    return met.mutate(
        is_adjusted=met.volume_thousandths.notnull(),
        volume_thousandths=ibis.coalesce(met.volume_thousandths, met.billed_volume_thousandths),
        # A period that begins a little before the occupant came is taken as the occupant's: it has the opening read.
        is_own=met.own_since.delta(met.period_start, unit="day") <= 10,
    )


def _met_this_year(consumption: ir.Table, links: ir.Table, last_steps: ir.Table) -> ir.Table:
    return _met(consumption, links.filter(~links.is_past), last_steps)


def records_of(
    consumption: ir.Table,
    last_steps: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    links: ir.Table,
) -> ir.Table:
    """One row per service, domestic meter, period and record of consumption, of this year's and last year's delivery.

    ``last_steps``: what the entries of the sheet leave of a row (volume_thousandths, is_left_out), by row of consumption.
    """
    prior_changed = prior_adjusted_consumption.group_by(RECORD).agg(
        volume_thousandths=ibis._.adjusted_volume_thousandths.min(), is_left_out=ibis._.is_left_out.any()
    )
    prior = prior_consumption.anti_join(consumption, [*METER, "period_start", "period_end"])
    now = _met_this_year(consumption, links, last_steps).mutate(is_prior=ibis.literal(False))
    then = _met(prior, links.filter(links.is_of_slice), prior_changed).mutate(is_prior=ibis.literal(True))
    both = now.union(then.select(*now.columns))
    return both.select(
        *_OF_READ, "volume_thousandths",
        billed_thousandths="billed_volume_thousandths",
        registered_thousandths="registered_volume_thousandths",
        is_estimated=both.read_type == "estimated",
        is_adjusted="is_adjusted",
        records=ibis.literal(1, "int64"),
        share_millionths="share",
        source_file="source_file", source_row="source_row", source_column="source_column",
    )  # fmt: skip


def reads_of(records: ir.Table, records_followed: ir.Table) -> ir.Table:
    """One row per service, domestic meter and period; the registers of a meter together.

    ``records_followed``: records ``followed_of`` each other. Records of one period lie over each other, and hardly any meter has such:
    to group those of all others takes longer than all else here.
    """
    crossed = _crossed(records_followed)
    r = records.semi_join(crossed, "meter")
    how = {
        "volume_thousandths": "sum", "billed_thousandths": "sum", "registered_thousandths": "sum", "is_estimated": "any",
        "is_adjusted": "any", "records": "sum", "share_millionths": "max", "source_file": "min", "source_row": "min",
        "source_column": "min",
    }  # fmt: skip
    together = r.group_by(*_OF_READ).agg(**{n: getattr(r[n], of)() for n, of in how.items() if n in r.columns})
    r = records.anti_join(crossed, "meter").union(together)
    return r.mutate(ccf=_in_ccf(r.volume_thousandths, r.volume_unit))


def ccf_of_service(reads: ir.Table) -> ir.FloatingValue:
    """The service's share of what its meter counted."""
    return reads.ccf * (reads.share_millionths / 1_000_000)


def doubled_of(reads: ir.Table, meters: ir.Table) -> ir.Table:
    """This year's reads of several records, with the ids of their meters."""
    r = reads.filter(~reads.is_prior & (reads.records > 1)).select("meter", *_PERIOD, "records")
    return r.inner_join(meters, "meter")


def several_of(doubled: ir.Table, consumption: ir.Table, last_steps: ir.Table, links: ir.Table) -> ir.Table:
    """``doubled`` with the number of columns of the file in which the records of each stand (columns_of_file).

    To count the columns of every read takes longer than all else here, and hardly any read has two records.
    """
    met = _met_this_year(consumption.semi_join(doubled, [*METER, "period_start", "period_end"]), links, last_steps)
    columns = met.group_by("meter", *_PERIOD).agg(columns_of_file=met.source_column.nunique())
    return doubled.inner_join(columns, ["meter", *_PERIOD])


def followed_of(records: ir.Table) -> ir.Table:
    """One row per record (or read) that does not begin on the day up to which those before it of its meter go (reached)."""
    before = ibis.window(group_by="meter", order_by=["period_start", "period_end"], preceding=(None, 1))
    # Of no more columns than are needed: all that there are would be put in order with them.
    r = records.select(
        "meter", "service", "district", "period_start", "period_end", "days", "is_prior", "is_own",
        reached=records.period_end.max().over(before),
    )  # fmt: skip
    return r.filter(r.reached != r.period_start)


def _crossed(followed: ir.Table) -> ir.Table:
    """Meters with reads that lie over each other."""
    return followed.filter(followed.reached > followed.period_start).select("meter").distinct()


def followed_together(reads: ir.Table, records_followed: ir.Table) -> ir.Table:
    """``followed_of`` the reads, where it is known of their records: only those of a meter that lie over each other were put together."""
    crossed = _crossed(records_followed)
    return records_followed.anti_join(crossed, "meter").union(followed_of(reads.semi_join(crossed, "meter")))


def crowded_of(reads: ir.Table, meters: ir.Table, followed: ir.Table) -> ir.Table:
    """Services with several meters, with a read of several records, or with reads that lie over each other."""
    of_meters = meters.group_by("service").agg(times=ibis._.count())
    return ibis.union(
        of_meters.filter(of_meters.times > 1).select("service"),
        reads.filter(reads.records > 1).select("service"),
        followed.filter(followed.reached > followed.period_start).select("service"),
        distinct=True,
    )


def _by_period(reads: ir.Table) -> ir.Table:
    return reads.group_by("service", "period_start", "period_end", "days", "is_prior").agg(
        district=reads.district.min(), ccf=ccf_of_service(reads).sum()
    )


def _beside(periods: ir.Table) -> ir.Table:
    """One row per period of services whose meters are read on different days: ccf_beside, what the others counted on its days.

    Otherwise the use of such a service would go up and down with whichever of its meters was read.
    """
    p = periods.select("service", "period_start", "period_end", "days", "ccf")
    in_time = ibis.window(group_by="service", order_by=["period_start", "period_end"])
    p = p.mutate(reaches_next=(p.period_start.lead().over(in_time) < p.period_end).fill_null(False))
    several = p.group_by("service").agg(times=p.reaches_next.sum()).filter(lambda t: t.times >= _CYCLES)
    p = p.semi_join(several, "service")
    other = p.select("service", other_start="period_start", other_end="period_end", other_days="days", other_ccf="ccf")
    met = p.inner_join(other, "service")
    both = ibis.least(met.period_end, met.other_end).delta(ibis.greatest(met.period_start, met.other_start), unit="day")
    is_same = (met.period_start == met.other_start) & (met.period_end == met.other_end)
    met = met.filter((both > 0) & ~is_same)
    return met.group_by("service", "period_start", "period_end").agg(
        ccf_beside=(met.other_ccf * (both / met.other_days)).sum()
    )


def periods_of(reads: ir.Table, crowded: ir.Table, year: Year) -> ir.Table:
    """One row per service and period of the present occupant, of both years: ccf, ccf a day, how much of it is winter."""
    own = reads.filter(reads.is_own)
    p = _by_period(own.semi_join(crowded, "service"))
    p = looked_up(p, _beside(p), ["service", "period_start", "period_end"], "ccf_beside")
    p = p.mutate(ccf=p.ccf + p.ccf_beside.fill_null(0)).drop("ccf_beside")
    # Of all other services a read is a period, and to group these takes longer than all else here.
    lone = own.anti_join(crowded, "service")
    p = p.union(lone.mutate(ccf=ccf_of_service(lone)).select(*p.columns))
    # Rounded, so that the order in which meters are added does not show.
    p = p.mutate(ccf=p.ccf.round(6))
    begin, end = ibis.literal(year.window_start), ibis.literal(year.window_end)
    inside = ibis.greatest(ibis.least(p.period_end, end).delta(ibis.greatest(p.period_start, begin), unit="day"), 0)
    middle = p.period_start.delta(ibis.literal(year.window_start), unit="day") + p.days / 2
    p = p.mutate(winter_days=inside, a_day=p.ccf / p.days, middle=middle.cast("int64"))
    # Half a year away from the middle of the window is the height of the other season.
    of_year = ((p.middle - (year.window_end - year.window_start).days // 2) % 365 + 365) % 365
    return p.mutate(is_winter=(of_year < 92) | (of_year >= 273))


def usual_of(periods: ir.Table) -> ir.Table:
    """One row per service: the lower median of its use a day in winter (and the upper one), in summer and altogether, of both years; the
    most; how many times the least that is (spread, empty where the least is next to nothing), and how many times its lower median the most
    of a season is (winter_times, summer_times).

    Of two in the middle the lower is, of a usual and an unusual read, the usual one.
    """
    p = periods
    # To put the few figures of each service in order takes half as long as quantiles of them do.
    u = p.group_by("service").agg(
        winter=p.a_day.collect(where=p.is_winter),
        summer=p.a_day.collect(where=~p.is_winter),
        periods=ibis._.count(),
        winter_most=p.a_day.max(where=p.is_winter & ~p.is_prior & (p.winter_days > 0)),
        summer_least=p.a_day.min(where=~p.is_winter & ~p.is_prior),
        shortest_days=p.days.min(where=~p.is_prior),
        longest_days=p.days.max(where=~p.is_prior),
        has_a_year=p.period_end.max().delta(p.period_start.min(), unit="day") >= _A_YEAR,
        first_middle=p.middle.min(),
        last_middle=p.middle.max(),
    )
    u = u.mutate(
        winter=u.winter.sort(),
        summer=u.summer.sort(),
        both=ibis.coalesce(u.winter.concat(u.summer), u.winter, u.summer).sort(),
    )
    u = u.mutate(
        winter_a_day=u.winter[(u.winter.length() - 1) // 2],
        upper_winter_a_day=u.winter[u.winter.length() // 2],
        winter_highest=u.winter[u.winter.length() - 1],
        summer_a_day=u.summer[(u.summer.length() - 1) // 2],
        summer_highest=u.summer[u.summer.length() - 1],
        all_a_day=u.both[(u.periods - 1) // 2],
        least_a_day=u.both[0],
        most_a_day=u.both[u.periods - 1],
    ).drop("winter", "summer", "both")

    def times(more: ir.FloatingValue, less: ir.FloatingValue) -> ir.FloatingValue:
        return ibis.ifelse(less > _NEXT_TO_NOTHING, more / less, ibis.null("float64"))

    return u.mutate(
        spread=times(u.most_a_day, u.least_a_day),
        winter_times=times(u.winter_highest, u.winter_a_day),
        summer_times=times(u.summer_highest, u.summer_a_day),
    ).drop("least_a_day", "winter_highest", "summer_highest")


def classes_of(usual: ir.Table, services: ir.Table) -> ir.Table:
    """One row per class of a slice: its median winter use, a month (class_ccf)."""
    u = looked_up(usual.select("service", "winter_a_day"), services, "service", "slice_id", "customer_class")
    return u.group_by("slice_id", "customer_class").agg(class_ccf=u.winter_a_day.median() * MONTH_DAYS)


def odd_periods_of(periods: ir.Table, usual: ir.Table, services: ir.Table, limits: ReviewLimits) -> ir.Table:
    """``periods`` of the services that a rule over periods can find at all, by what is known of each service.

    Such a rule asks for a period that is so many times another, or times what is usual in its season; for one that is shorter or longer
    than others; for more in winter than in summer; for a class to compare with; or for use that is much for each dwelling. One that asks
    for anything else has to be told of here.
    """
    u = looked_up(usual, services, "service", "dwelling_units")

    def above(times: ir.FloatingValue, limit: float) -> ir.BooleanValue:
        return (times > _HARDLY_LESS * limit).fill_null(False)

    rising = float(limits.rising_altogether_times.value)
    odd = [
        u.spread.isnull(),
        ~u.has_a_year,
        # High, by the least that is a surprise; low, and a slipped decimal.
        above(ibis.greatest(u.winter_times.fill_null(0), u.summer_times.fill_null(0)), min(float(band.times) for band in limits.tolerance.value)),
        above(u.spread, min(float(limits.low_times.value), float(limits.slip_from.value))),
        above(u.spread, rising) & above(u.winter_times, rising / 1.5),
        is_winter_above_summer(u, limits),
        above(u.spread * float(limits.vacant_share.value), 1),
        # Of a long read, days in which nobody was there may be a part.
        above(u.spread * (1 - limits.partly_vacant_days.value / u.longest_days), 1),
        is_off_cycle(u, limits),
        (u.dwelling_units > 1).fill_null(False)
        & above(u.most_a_day * MONTH_DAYS / u.dwelling_units, float(limits.per_dwelling_unit_ccf.value)),
    ]  # fmt: skip
    return periods.semi_join(u.filter(ibis.or_(*odd)), "service")


def is_winter_above_summer(usual: ir.Table, limits: ReviewLimits) -> ir.BooleanValue:
    """Whether a service can have used so much more in winter than in summer; of one that began lately, the first reads are no summer."""
    times = _HARDLY_LESS * float(limits.winter_above_summer_times.value)
    return (usual.has_a_year & (usual.winter_most > times * usual.summer_least)).fill_null(False)


def is_off_cycle(usual: ir.Table, limits: ReviewLimits) -> ir.BooleanValue:
    """Whether a service can have a period much shorter or longer than its others: what is typical lies between the shortest and the longest."""
    shorter, longer = float(limits.off_cycle_shorter_than.value), float(limits.off_cycle_longer_than.value)
    short, long = usual.shortest_days, usual.longest_days
    return ((short < long * shorter) | (long > short * longer)).fill_null(False)


def last_year_of(odd_periods: ir.Table, usual: ir.Table) -> ir.Table:
    """One row per period of this year that it is known for: a_day_last_year, the mean use a day about the same dates a year before."""
    most, least = 365 + _DAYS_AROUND, 365 - _DAYS_AROUND
    now = odd_periods.filter(~odd_periods.is_prior).inner_join(usual.select("service", "first_middle"), "service")
    now = now.filter(now.middle - now.first_middle >= least)
    then = odd_periods.inner_join(usual.select("service", "last_middle"), "service")
    then = then.filter(then.last_middle - then.middle >= least)
    then = then.select("service", then="middle", a_day_then="a_day")
    met = now.inner_join(then, "service")
    met = met.filter((met.middle - met.then).between(least, most))
    return met.group_by("service", "period_start", "period_end").agg(a_day_last_year=met.a_day_then.mean().round(9))


def looked_at(odd_periods: ir.Table, last_year: ir.Table, usual: ir.Table) -> ir.Table:
    """This year's periods with what is usual, a month: ccf_a_month, usual_ccf (in its season), upper_usual_ccf, all_ccf, last_year_ccf."""
    period = ["service", "period_start", "period_end"]
    p = looked_up(odd_periods.filter(~odd_periods.is_prior), last_year, period, "a_day_last_year")
    p = looked_up(p, usual, "service", "winter_a_day", "upper_winter_a_day", "summer_a_day", "all_a_day")
    season = ibis.ifelse(p.is_winter, p.winter_a_day, p.summer_a_day)
    # Of two winter reads, the lower one is usual beside a high one, and the upper one beside a low one.
    upper = ibis.ifelse(p.is_winter, ibis.least(p.upper_winter_a_day, p.all_a_day), p.summer_a_day)
    return p.select(
        *period, "district", "days", "ccf", "winter_days", "is_winter",
        ccf_a_month=p.a_day * MONTH_DAYS,
        usual_ccf=ibis.coalesce(season, p.all_a_day) * MONTH_DAYS,
        upper_usual_ccf=ibis.greatest(ibis.coalesce(season, p.all_a_day), ibis.coalesce(upper, p.all_a_day)) * MONTH_DAYS,
        all_ccf=p.all_a_day * MONTH_DAYS,
        last_year_ccf=p.a_day_last_year * MONTH_DAYS,
    )  # fmt: skip


def no_surprise(usual_ccf: ir.FloatingValue, tolerance: tuple[Tolerance, ...]) -> ir.FloatingValue:
    """How many times the usual (CCF a month) is still no surprise."""
    *bounded, last = tolerance
    bands = [(usual_ccf <= float(b.up_to_ccf_a_month or 0), float(b.times)) for b in bounded]
    return ibis.cases(*bands, else_=float(last.times)) if bands else ibis.literal(float(last.times))


def about_ten_or_a_hundred(ratio: ir.FloatingValue, limits: ReviewLimits) -> ir.BooleanValue:
    """Whether a ratio is about ten or a hundred, or a tenth or a hundredth: a decimal's place."""
    low, high = float(limits.slip_from.value), float(limits.slip_to.value)
    return ibis.or_(
        *((ratio >= t * low / 10) & (ratio <= t * high / 10) for t in (10, 100)),
        *((ratio >= 10 / high / t) & (ratio <= 10 / low / t) for t in (10, 100)),
    )
