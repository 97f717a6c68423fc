"""Rules about a district's delivery as a whole, against last year's.

Belongs here: unit changes, stuck figures, volumes, accounts and months that are not what they were; the figures they rest on.
Does not belong here: whether a file came and adds up (``of_deliveries``).
"""

from __future__ import annotations

from itertools import permutations

import ibis
import ibis.expr.types as ir

from rate_tables.looked_up import looked_up
from rate_tables.review_limits import ReviewLimits
from rate_tables.volume_units import SIZE_8NL
from validations.review.finding import as_json, found, sentence
from validations.review.of_periods import A_MONTH, is_named_by_month
from validations.review.use import METER
from validations.workspace import Year

UNIT_RATIOS = sorted(
    {SIZE_8NL[a] / SIZE_8NL[b] for a, b in permutations(SIZE_8NL, 2)} | {0.001, 0.01, 0.1, 10.0, 100.0, 1000.0}
)
"""What a delivery is off by if its unit is another than the one that is announced."""

_MILLION = 1_000_000
_TWO_MONTHS = 75


def _with_season(consumption: ir.Table, year: Year) -> ir.Table:
    c = consumption
    middle = c.period_start.delta(ibis.literal(year.window_start), unit="day") + c.days / 2
    of_year = ((middle.cast("int64") - (year.window_end - year.window_start).days // 2) % 365 + 365) % 365
    return c.mutate(is_winter=(of_year < 92) | (of_year >= 273))


def _a_day(consumption: ir.Table, year: Year) -> ir.Table:
    """One row per meter: what it was billed a day in winter and in summer, in the unit as delivered."""
    c = _with_season(consumption, year)
    volume, days = c.billed_volume_thousandths.cast("float64"), c.days
    return c.group_by(METER).agg(
        winter=volume.sum(where=c.is_winter) / days.sum(where=c.is_winter),
        summer=volume.sum(where=~c.is_winter) / days.sum(where=~c.is_winter),
        both=volume.sum() / days.sum(),
    )


def _months(consumption: ir.Table) -> ir.Table:
    """One row per month of reads: rows, and the commonest figure above zero with its rows."""
    c = consumption.mutate(month=consumption.period_end.truncate("M").cast("date"))
    each = c.group_by("month", "billed_volume_thousandths").agg(times=ibis._.count())
    nonzero = each.billed_volume_thousandths > 0
    return each.group_by("month").agg(
        reads=each.times.sum(),
        value=each.billed_volume_thousandths.argmax(
            each.times * _MILLION * 1000 - each.billed_volume_thousandths / 1000, where=nonzero
        ),
        times=each.times.max(where=nonzero),
    )


def _sharing_a_month(consumption: ir.Table, year: Year) -> ir.Table:
    """One row: shared_month_accounts, accounts with two bills that are named by a month and share one of the winter."""
    # To put all reads in order takes longer than all else here, and most districts name the days.
    named = consumption.filter(is_named_by_month(consumption)).select(METER).distinct()
    c = consumption.semi_join(named, METER)
    before = ibis.window(group_by=METER, order_by=["period_start", "period_end"], preceding=(None, 1))
    c = c.mutate(reached=c.period_end.max().over(before))
    start, stop = ibis.greatest(c.period_start, year.window_start), ibis.least(c.reached, c.period_end, year.window_end)
    twice = ibis.least(c.reached, c.period_end).delta(c.period_start, unit="day")
    c = c.filter(is_named_by_month(c) & (stop > start) & (twice <= A_MONTH))
    return c.agg(shared_month_accounts=c.district_account.nunique())


def district_use(consumption: ir.Table, prior_consumption: ir.Table, year: Year) -> ir.Table:
    """One row: this year's delivery of a district against last year's; the contract ``district_use`` without the district."""
    now, then = _a_day(consumption, year), _a_day(prior_consumption, year)
    then = then.rename(then_winter="winter", then_summer="summer", then_both="both")
    met = now.inner_join(then, METER)

    def ratio(name: str) -> ir.Value:
        before = met[f"then_{name}"]
        return (
            ((met[name] / before.nullif(0)).median(where=(before > 0) & (met[name] > 0)) * _MILLION)
            .round()
            .cast("int64")
        )

    ratios = met.agg(
        meters_compared=met.count(), ratio_millionths=ratio("both"), winter_ratio_millionths=ratio("winter"),
        summer_ratio_millionths=ratio("summer"),
    )  # fmt: skip

    def totals(table: ir.Table, before: str) -> ir.Table:
        return table.agg(
            **{
                f"{before}accounts": table.district_account.nunique(),
                f"{before}volume_thousandths": table.billed_volume_thousandths.sum().fill_null(0),
            }
        )

    months, before = _months(consumption), _months(prior_consumption)
    last_year = before.select(month=(before.month + ibis.interval(years=1)).cast("date"), reads_then=before.reads)
    months = months.cast({"month": "date"})
    # A month without any read has no row of its own.
    every = months.select("month").union(last_year.select("month"), distinct=True)
    months = looked_up(looked_up(every, months, "month", "reads", "value", "times"), last_year, "month", "reads_then")
    months = months.mutate(reads=months.reads.fill_null(0))
    months = months.filter((months.month >= months.month.min(where=months.reads > 0).over(ibis.window()))
                           & (months.month <= months.month.max(where=months.reads > 0).over(ibis.window())))  # fmt: skip
    # The first and the last month of a delivery are parts of months.
    in_time = ibis.window(order_by="month")
    ends = months.mutate(reads_before=months.reads.lag().over(in_time), reads_after=months.reads.lead().over(in_time))
    inner = ends.filter(ends.reads_before.notnull() & ends.reads_after.notnull())
    of_all = inner.mutate(
        middle=inner.reads.median().over(ibis.window()),
        usual_part=(inner.times / inner.reads.nullif(0)).median().over(ibis.window()),
    )
    # Last year knows which months have reads. Without it, the months beside do, unless reads come by once a quarter.
    beside = ibis.least(of_all.middle.cast("int64"), of_all.reads_before, of_all.reads_after)
    typical = consumption.days.median().as_scalar()
    usual = ibis.coalesce(of_all.reads_then, ibis.ifelse(typical <= _TWO_MONTHS, beside, ibis.null("int64")))
    judged = of_all.mutate(
        usual=usual, thinness=of_all.reads / usual.nullif(0), part=of_all.times / of_all.reads.nullif(0)
    )
    worst = judged.agg(
        thin_month=judged.month.argmin(judged.thinness), thin_month_rows=judged.reads.argmin(judged.thinness),
        usual_rows=judged.usual.argmin(judged.thinness), stuck_month=judged.month.argmax(judged.part),
        stuck_value_thousandths=judged.value.argmax(judged.part), stuck_rows=judged.times.argmax(judged.part),
        stuck_of_rows=judged.reads.argmax(judged.part),
        usual_stuck_millionths=(judged.usual_part.max() * _MILLION).round().cast("int64"),
    )  # fmt: skip
    both = totals(consumption, "").cross_join(totals(prior_consumption, "prior_"))
    return both.cross_join(ratios).cross_join(worst).cross_join(_sharing_a_month(consumption, year))


def _ratio(millionths: ir.IntegerValue) -> ir.StringValue:
    return (millionths / _MILLION).cast("decimal(18, 3)").cast("string").fill_null("?")


def _is_unit_ratio(ratio: ir.FloatingValue, limits: ReviewLimits) -> ir.BooleanValue:
    within = float(limits.unit_ratio_within.value)
    return ibis.or_(*((ratio > r * (1 - within)) & (ratio < r * (1 + within)) for r in UNIT_RATIOS))


def _compared(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """Districts with enough meters in both years; ``is_unit``: the ratio of all is one of two units."""
    d = district_use.filter(district_use.meters_compared >= limits.least_rows_to_judge.value)
    ratio, winter = (d[f"{name}_millionths"] / _MILLION for name in ("ratio", "winter_ratio"))
    is_unit = _is_unit_ratio(ratio, limits) & _is_unit_ratio(winter, limits)
    return d.mutate(ratio=ratio, winter=winter, is_unit=is_unit.fill_null(False))


def district_not_compared(district_use: ir.Table) -> ir.Table:
    """Last year's delivery is not in the store, so everything is compared with this year's alone."""
    rows = district_use.filter((district_use.prior_accounts == 0) & (district_use.accounts > 0))
    return found(
        rows, "district.not_compared", "info", ["district_id"],
        sentence("last year's delivery is not in the store; use is compared with this year's alone"),
        as_json(accounts=rows.accounts),
        "Run the year before, then this one again.",
    )  # fmt: skip


def district_unit_changed(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """Every meter's use is off by the ratio of two units: the district writes in another unit than its entry says."""
    d = _compared(district_use, limits)
    rows = d.filter(d.is_unit)
    return found(
        rows, "district.unit_changed", "must_decide", ["district_id"],
        sentence("use a day is ", _ratio(rows.ratio_millionths), " times last year's in the middle of ", rows.meters_compared,
                 " meters, which is the ratio of two units"),
        as_json(ratio=_ratio(rows.ratio_millionths), meters=rows.meters_compared),
        "Ask the district for the unit of its file; correct volume.unit in its entry, from this year on (from_year).",
    )  # fmt: skip


def district_volume_changed(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """The district's volume is not what it was a year ago."""
    d = _compared(district_use, limits)
    rows = d.filter(((d.ratio - 1).abs() > float(limits.district_volume_within.value)) & ~d.is_unit)
    return found(
        rows, "district.volume_changed", "review", ["district_id"],
        sentence("use a day is ", _ratio(rows.ratio_millionths), " times last year's in the middle of ", rows.meters_compared,
                 " meters; the volume delivered went from ", _whole(rows.prior_volume_thousandths), " to ",
                 _whole(rows.volume_thousandths)),
        as_json(ratio=_ratio(rows.ratio_millionths), volume=_whole(rows.volume_thousandths), last_year=_whole(rows.prior_volume_thousandths)),
        "Ask the district what changed: accounts, unit, or the weather.",
    )  # fmt: skip


def _whole(thousandths: ir.IntegerValue) -> ir.StringValue:
    return (thousandths / 1000).round().cast("int64").cast("string")


def district_accounts_changed(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """The district delivered many more or fewer accounts than a year ago."""
    d = district_use.filter(district_use.prior_accounts >= limits.least_rows_to_judge.value)
    change = d.accounts / d.prior_accounts - 1
    rows = d.filter((change.abs() > float(limits.district_accounts_within.value)) & (d.accounts > 0))
    return found(
        rows, "district.accounts_changed", "must_decide", ["district_id"],
        sentence("delivered ", rows.accounts, " accounts, ", rows.prior_accounts, " a year ago"),
        as_json(accounts=rows.accounts, last_year=rows.prior_accounts),
        "Ask the district whether a route or a file is missing.",
    )  # fmt: skip


def district_month_missing(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """A month has few reads or next to none."""
    d = district_use.filter(district_use.usual_rows >= limits.least_rows_to_judge.value)
    rows = d.filter(d.thin_month_rows < d.usual_rows * float(limits.month_missing_share.value))
    return found(
        rows, "district.month_missing", "must_decide", ["district_id"],
        sentence("only ", rows.thin_month_rows, " reads end in the month of ", rows.thin_month, "; usual are ", rows.usual_rows),
        as_json(month=rows.thin_month, reads=rows.thin_month_rows, usual=rows.usual_rows),
        "Ask the district for the reads of that month.",
    )  # fmt: skip


def district_stuck_value(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """One figure stands at a large part of a month's reads."""
    d = district_use.filter(district_use.stuck_of_rows >= limits.least_rows_to_judge.value)
    part = d.stuck_rows / d.stuck_of_rows
    rows = d.filter((part >= float(limits.stuck_share.value)) & (part > 2 * d.usual_stuck_millionths / _MILLION))
    return found(
        rows, "district.stuck_value", "must_decide", ["district_id"],
        sentence("the figure ", _decimal(rows.stuck_value_thousandths), " stands at ", rows.stuck_rows, " of ", rows.stuck_of_rows,
                 " reads that end in the month of ", rows.stuck_month),
        as_json(value=_decimal(rows.stuck_value_thousandths), rows=rows.stuck_rows, of=rows.stuck_of_rows, month=rows.stuck_month),
        "Ask the district for the real reads.",
    )  # fmt: skip


def _decimal(thousandths: ir.IntegerValue) -> ir.StringValue:
    return (thousandths / 1000).cast("decimal(18, 1)").cast("string").fill_null("?")


def district_winter_median_moved(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """The middle of the district's winter use is not where it was a year ago."""
    d = _compared(district_use, limits)
    rows = d.filter(((d.winter - 1).abs() > float(limits.district_winter_within.value)) & ~d.is_unit)
    return found(
        rows, "district.winter_median_moved", "review", ["district_id"],
        sentence("winter use a day is ", _ratio(rows.winter_ratio_millionths), " times last year's in the middle of ",
                 rows.meters_compared, " meters (summer: ", _ratio(rows.summer_ratio_millionths), ")"),
        as_json(winter=_ratio(rows.winter_ratio_millionths), summer=_ratio(rows.summer_ratio_millionths), meters=rows.meters_compared),
        "Ask the district what changed; see whether the weather explains it.",
    )  # fmt: skip


def district_bills_share_months(district_use: ir.Table, limits: ReviewLimits) -> ir.Table:
    """Bills of several months that are named by a month, two of which share one: what both hold is divided by days that count once,
    so the average of such an account is too high."""
    rows = district_use.filter(district_use.shared_month_accounts > 0)
    many = rows.shared_month_accounts >= limits.least_rows_to_judge.value
    return found(
        rows, "district.bills_share_months", ibis.ifelse(many, "must_decide", "review"), ["district_id"],
        sentence(rows.shared_month_accounts, " of ", rows.accounts, " accounts have two bills that share a month of the winter, because "
                 "bills are named by a month; their averages are too high"),
        as_json(accounts=rows.shared_month_accounts, of=rows.accounts),
        "Ask the district for the days on which meters were read, and name their columns in its entry (period_start, period_end).",
    )  # fmt: skip
