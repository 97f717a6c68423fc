"""Rules about meters and reads: registers that went round, changed meters, multipliers, estimates and their correction.

Belongs here: rules about how a figure came about, and the corrections that these rules know for sure.
Does not belong here: how large it is (``of_use``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from rate_tables.exact import part_of, widened
from rate_tables.looked_up import looked_up
from rate_tables.review_limits import ReviewLimits
from validations.review.finding import as_json, ccf, found, found_in_use, sentence
from validations.review.use import METER, RECORD, Use, about_ten_or_a_hundred, in_order, of_services_with

_IN_TIME = {"group_by": "meter", "order_by": ["period_start", "period_end"]}


def meter_rollover(meters: ir.Table, service_consumption: ir.Table) -> ir.Table:
    """A register went round; the volume allows for it."""
    rolled = meters.filter(meters.rollovers > 0)
    rows = rolled.inner_join(
        service_consumption.select("service_id", *METER).distinct(),
        METER,
    )
    return found(
        rows, "meter.rollover", "info", ["service_id", *METER],
        sentence("the register of meter ", rows.meter_id, " went back ", rows.rollovers, " time(s) and was read as having gone round"),
        as_json(meter=rows.meter_id, rollovers=rows.rollovers),
        "Nothing, if the use looks right; a changed meter or a misread register would need a consumption adjustment.",
    )  # fmt: skip


def missed_rollovers(use: Use, limits: ReviewLimits) -> ir.Table:
    """Reads below zero that a register gone round explains: with ``proposed_thousandths``, what it counted then.

    (10^dials - previous) + current is the volume plus 10^dials; the number of dials is the one that brings it near the usual. A
    register that would go round every few periods is none, and where the meter registered something else it is a credit.
    """
    r = use.reads.filter(
        ~use.reads.is_prior & use.reads.is_own & (use.reads.volume_thousandths < 0) & (use.reads.records == 1)
    )
    r = r.filter(~r.is_adjusted & (r.registered_thousandths == r.billed_thousandths)).inner_join(
        use.usual.select("service", "all_a_day"), "service"
    )
    a_unit = r.ccf / r.volume_thousandths
    expected = r.all_a_day * r.days / (r.share_millionths / 1_000_000) / a_unit

    def near(dials: int) -> ir.BooleanValue:
        volume, turn = r.volume_thousandths + 10 ** (dials + 3), 10.0 ** (dials + 3)
        is_near = (volume.cast("float64") < expected * 3) & (volume.cast("float64") * 3 > expected)
        return (volume > 0) & is_near & (turn >= expected * limits.rollover_periods.value)

    proposed = ibis.cases(
        *((near(n), r.volume_thousandths + 10 ** (n + 3)) for n in (3, 4, 5, 6, 7)), else_=ibis.null("int64")
    )
    rows = r.mutate(proposed_thousandths=proposed)
    return rows.filter(rows.proposed_thousandths.notnull())


def meter_missed_rollover(use: Use, limits: ReviewLimits) -> ir.Table:
    """A volume below zero that a register gone round explains."""
    m = missed_rollovers(use, limits)
    rows = m.group_by("service").agg(
        district=m.district.min(), period_start=m.period_start.min(), period_end=m.period_end.max(),
        value=m.volume_thousandths.min() / 1000, proposed=m.proposed_thousandths.min() / 1000, unit=m.volume_unit.min(),
    )  # fmt: skip
    return found_in_use(
        rows, "meter.missed_rollover", "must_decide",
        sentence("the volume of ", ccf(rows.value), " ", rows.unit, " looks like a register that went round"),
        as_json(value=ccf(rows.value), unit=rows.unit, proposed=ccf(rows.proposed), period_start=rows.period_start),
        "Take the proposed volume, if the meter was not changed.",
        proposal=sentence("count ", ccf(rows.proposed), " ", rows.unit, " for the period from ", rows.period_start),
    )  # fmt: skip


def meter_changed_out(use: Use, limits: ReviewLimits) -> ir.Table:
    """A meter ended and another began on the account: two reads of one period, which are added."""
    account = ["service", "district", "district_account"]
    named = (
        of_services_with(use.meters, use.crowded)
        .filter(use.meters.meter_id != "")
        .select("meter", *account, "meter_id")
    )
    often = named.group_by(account).agg(meters=ibis._.count())
    named = named.semi_join(often.filter(often.meters > 1), account)
    r = use.reads.semi_join(named, "meter")
    r = r.filter(~r.is_prior)
    m = r.group_by("meter").agg(first=r.period_start.min(), last=r.period_end.max())
    m = m.inner_join(named, "meter").drop("meter")
    other = m.rename(
        other_meter="meter_id",
        other_first="first",
        other_last="last",
        _service="service",
        _district="district",
        _account="district_account",
    )
    both = m.inner_join(
        other, [m.service == other._service, m.district == other._district, m.district_account == other._account]
    )
    gap = both.other_first.delta(both["last"], unit="day")
    both = both.mutate(gap=gap).filter(
        (both.meter_id != both.other_meter) & (gap >= -3) & (gap <= limits.change_out_days.value)
    )
    rows = both.group_by("service").agg(
        district=both.district.min(), period_start=both["last"].min(), period_end=both.other_first.max(),
        meter=both.meter_id.min(), new_meter=both.other_meter.min(),
    )  # fmt: skip
    return found_in_use(
        rows, "meter.changed_out", "info",
        sentence("meter ", rows.meter, " was followed by meter ", rows.new_meter, " on ", rows.period_start, "; what both counted is added"),
        as_json(meter=rows.meter, new_meter=rows.new_meter, day=rows.period_start),
        "Nothing, if the CIS knows of the change.",
    )  # fmt: skip


def meter_changed_unknown(unmatched: ir.Table, service_consumption: ir.Table, meters: ir.Table) -> ir.Table:
    """A meter that the CIS does not know, on an account whose meter it knows: changed, and not entered."""
    u = unmatched.filter((unmatched.side == "district") & (unmatched.meter_id != ""))
    u = u.select("district_id", "district_account", new_meter="meter_id")
    known = service_consumption.filter(
        (service_consumption.purpose == "domestic") & (service_consumption.meter_id != "")
    )
    of_account = ["district_id", "district_account"]
    met = u.inner_join(known.semi_join(u, of_account).select("service_id", *METER).distinct(), of_account)
    seen = meters.select("district_id", "district_account", new_meter="meter_id", new_first="first_day")
    met = met.inner_join(seen, ["district_id", "district_account", "new_meter"])
    rows = met.group_by("service_id").agg(
        district_id=met.district_id.min(), district_account=met.district_account.min(), meter=met.meter_id.min(),
        new_meter=met.new_meter.min(), period_start=met.new_first.min(),
    )  # fmt: skip
    return found(
        rows, "meter.changed_out", "review", ["service_id"],
        sentence("account ", rows.district_account, " has meter ", rows.new_meter, " since ", rows.period_start, ", which the CIS does not know beside ", rows.meter),
        as_json(meter=rows.meter, new_meter=rows.new_meter, day=rows.period_start),
        "If the meter was changed, end the old link and add the new one in the CIS; without it the use since then does not count.",
    )  # fmt: skip


def meter_multiplier_changed(use: Use, limits: ReviewLimits) -> ir.Table:
    """From one read on everything is ten or a hundred times what it was, or that part, and still is at the end: the meter's multiplier."""
    p = in_order(use.of_uneven(float(limits.slip_from.value)))
    last = ibis.window(group_by="service", order_by="number", preceding=1, following=0)
    ratio = p.ccf_a_month / ibis.coalesce(p.last_year_ccf, p.usual_ccf).nullif(0)
    slipped = about_ten_or_a_hundred(ratio, limits) | about_ten_or_a_hundred(
        p.ccf_a_month / p.usual_ccf.nullif(0), limits
    ).fill_null(False)
    p = p.mutate(ratio=ratio, slipped=slipped.fill_null(False).cast("int64"), size=p.usual_ccf)
    often = p.group_by("service").agg(times=p.slipped.sum())
    p = of_services_with(p, often.filter(often.times >= 2))
    as_usual = float(limits.as_usual_times.value)
    p = p.mutate(
        running=p.slipped.sum().over(last), is_off=((p.ratio > as_usual) | (p.ratio < 1 / as_usual)).fill_null(False),
        since=p.period_start.min(where=p.slipped == 1).over(ibis.window(group_by="service")),
        step=p.ccf_a_month / p.ccf_before.nullif(0),
    )  # fmt: skip
    # Without a step there, last year is what was off.
    p = p.mutate(steps=((p.step > as_usual) | (p.step < 1 / as_usual)).fill_null(True) & (p.period_start == p.since))
    s = p.group_by("service").agg(
        district=p.district.min(), running=p.running.max(), times=p.ratio.median(where=p.slipped == 1),
        period_start=p.period_start.min(where=p.slipped == 1), period_end=p.period_end.max(), size=p["size"].max(),
        still=p.is_off.all(where=p.period_start >= p.since), steps=p.steps.any(),
    )  # fmt: skip
    rows = s.filter((s.running >= 2) & s.still & s.steps & (s["size"] > float(limits.least_usual_ccf.value)))
    return found_in_use(
        rows, "meter.multiplier_changed", "must_decide",
        sentence("from ", rows.period_start, " on, use is about ", ccf(rows.times), " times what it was"),
        as_json(times=ccf(rows.times), since=rows.period_start),
        "Ask the district for the meter's multiplier; enter what was used as consumption adjustments.",
    )  # fmt: skip


def _runs_of_estimates(use: Use, fewest: int = 1) -> ir.Table:
    """Reads of meters with so many estimates, with ``run``: how many reads up to it were not estimated; and whether it follows_estimate."""
    estimates = use.reads.filter(use.reads.is_estimated).group_by("meter").agg(times=ibis._.count())
    r = use.reads.semi_join(estimates.filter(estimates.times >= fewest), "meter")
    return r.mutate(
        run=(~r.is_estimated).cast("int64").sum().over(ibis.window(**_IN_TIME, preceding=(None, 0))),
        follows_estimate=r.is_estimated.lag().over(ibis.window(**_IN_TIME)).fill_null(False),
    )


def read_estimated_run(use: Use, limits: ReviewLimits) -> ir.Table:
    """More estimates in a row than are usual."""
    r = _runs_of_estimates(use, limits.estimated_in_a_row.value).filter(lambda t: t.is_estimated)
    runs = r.group_by("meter", "service", "district", "run").agg(
        period_start=r.period_start.min(),
        period_end=r.period_end.max(),
        estimates=ibis._.count(),
        this_year=(~r.is_prior).any(),
    )
    long = runs.filter(runs.this_year & (runs.estimates >= limits.estimated_in_a_row.value))
    begin, end = use.window
    rows = long.group_by("service").agg(
        district=long.district.min(), period_start=long.period_start.min(), period_end=long.period_end.max(),
        estimates=long.estimates.max(), counts=((long.period_end > begin) & (long.period_start < end)).any(),
    )  # fmt: skip
    return found_in_use(
        rows, "read.estimated_run", ibis.ifelse(rows.counts, "review", "info"),
        sentence(rows.estimates, " estimates in a row between ", rows.period_start, " and ", rows.period_end),
        as_json(estimates=rows.estimates, first_day=rows.period_start, day_after=rows.period_end),
        "Ask the district for a read; the average rests on what was assumed.",
    )  # fmt: skip


def corrected_estimates(use: Use) -> ir.Table:
    """Reads of a run of estimates and the read that corrected them, with ``proposed_thousandths``: what was used in each.

    The real read says what went through since the last real one: all that was billed from there on together, estimates and
    correction. What the meter registered in its own period is what counts for that; the rest is spread over the estimated
    periods by days. Where nothing apart was registered, all of it is spread over all of the periods. So no volume is lost.
    A run that goes back before what is known is not here: nobody knows where it began; nor one in which a read is missing, left
    out, adjusted already or of several registers: what it would share is not all that was billed. (AWWA M36's case.)
    """
    r = _runs_of_estimates(use)
    is_end = ~r.is_estimated & r.follows_estimate
    # The run that a correction ends has the number of the reads before it.
    r = r.mutate(of_run=r.run - is_end.cast("int64"), is_end=is_end)
    r = r.filter(r.is_estimated | r.is_end).filter(lambda t: t.of_run > 0)
    run = ["meter", "of_run"]
    whole = r.group_by(run).agg(
        corrections=r.is_end.sum(),
        corrected=(r.is_end & ((r.billed_thousandths < 0) | (r.registered_thousandths != r.billed_thousandths))).any(),
        total=r.billed_thousandths.sum(),
        apart=r.registered_thousandths.sum(where=r.is_end & (r.registered_thousandths != r.billed_thousandths)).fill_null(0),
        has_apart=(r.is_end & (r.registered_thousandths != r.billed_thousandths)).any(),
        run_start=r.period_start.min(), run_end=r.period_end.max(),
        estimates=r.is_estimated.sum(), correction=r.billed_thousandths.sum(where=r.is_end),
        registered=r.registered_thousandths.sum(where=r.is_end),
        is_whole=(r.records == 1).all() & (~r.is_adjusted).all(), days=r.days.sum(),
    )  # fmt: skip
    is_whole = whole.is_whole & (whole.days == whole.run_end.delta(whole.run_start, unit="day"))
    whole = whole.filter((whole.corrections == 1) & whole.corrected & (whole.total - whole.apart >= 0) & is_whole)
    met = r.inner_join(whole.drop("days"), run)
    met = met.mutate(shares=met.is_estimated | ~met.has_apart)
    in_run = ibis.window(group_by=run, order_by=["period_start", "period_end"], preceding=(None, 1))
    days = met.shares.cast("int64") * met.days
    met = met.mutate(to_share=days)
    met = met.mutate(
        from_day=met.to_share.sum().over(in_run).fill_null(0),
        all_days=met.to_share.sum().over(ibis.window(group_by=run)),
    )
    spread = part_of(widened(met.total - met.apart), met.from_day, met.from_day + met.to_share, met.all_days)
    return met.mutate(proposed_thousandths=ibis.ifelse(met.shares, spread, met.registered_thousandths))


def read_estimate_then_correction(use: Use) -> ir.Table:
    """Months of estimates that were wrong, and the read that put them right all at once."""
    c = corrected_estimates(use)
    this_year = c.filter(~c.is_prior)
    begin, end = use.window
    rows = this_year.group_by("service").agg(
        district=this_year.district.min(), period_start=this_year.run_start.min(), period_end=this_year.run_end.max(),
        estimates=this_year.estimates.max(), correction=this_year.correction.min() / 1000,
        real=this_year.proposed_thousandths.max(where=this_year.is_end) / 1000, unit=this_year.volume_unit.min(),
        total=this_year.total.max() / 1000, counts=((this_year.period_end > begin) & (this_year.period_start < end)).any(),
        is_large=(this_year.correction < 0).any(),
    )  # fmt: skip
    severity = ibis.cases(
        (rows.counts & rows.is_large, "must_decide"), (rows.counts & (rows.estimates > 1), "review"), else_="info"
    )
    return found_in_use(
        rows, "read.estimate_then_correction", severity,
        sentence(rows.estimates, " estimates from ", rows.period_start, " on, then a read that was billed as ", ccf(rows.correction), " ", rows.unit,
                 "; together ", ccf(rows.total), " ", rows.unit, " went through until ", rows.period_end),
        as_json(estimates=rows.estimates, billed=ccf(rows.correction), total=ccf(rows.total), unit=rows.unit,
                first_day=rows.period_start, day_after=rows.period_end),
        "Take the proposed volumes: what went through, spread over the days of the estimates.",
        proposal=sentence("count ", ccf(rows.real), " ", rows.unit, " for the last of these periods, and the rest by days for the others"),
    )  # fmt: skip


RULES_THAT_PROPOSE = ("read.estimate_then_correction", "meter.missed_rollover")
"""Rules that know what should count instead; each finds a service exactly where it proposes something for it."""


def proposed_by_rules(use: Use, limits: ReviewLimits) -> ir.Table:
    """One row per finding and row of consumption that its proposal would change (``proposed_corrections``)."""
    wanted = ["service_id", *RECORD, "district_account", "meter_id", "period_start", "period_end", "volume_unit"]
    found_by = (corrected_estimates(use), missed_rollovers(use, limits))
    of_meter = use.meters.drop("service", "district")
    parts = (
        (rule, rows.inner_join(of_meter, "meter")) for rule, rows in zip(RULES_THAT_PROPOSE, found_by, strict=True)
    )
    return ibis.union(*(
        rows.filter(~rows.is_prior).select(
            *wanted,
            finding_id=sentence(f"{rule}:", rows.service_id.replace("%", "%25").replace(":", "%3A")),
            proposed_volume_thousandths=rows.proposed_thousandths.cast("int64"),
        )
        for rule, rows in parts
    ))  # fmt: skip


def account_many_meters(use: Use, limits: ReviewLimits) -> ir.Table:
    """One service with more meters, or more figures in a period, than one customer has."""
    r = of_services_with(use.reads, use.crowded)
    r = r.filter(~r.is_prior)
    each = r.group_by("service", "period_start", "period_end").agg(district=r.district.min(), records=r.records.sum())
    s = each.group_by("service").agg(
        district=each.district.min(),
        figures=each.records.max(),
        period_start=each.period_start.min(),
        period_end=each.period_end.max(),
    )
    r = looked_up(r, use.meters, "meter", "meter_id")
    meters = r.group_by("service").agg(meters=r.meter_id.nunique())
    s = s.inner_join(meters, "service")
    most = limits.many_meters.value
    rows = s.filter((s.meters >= most) | (s.figures >= most))
    return found_in_use(
        rows, "account.many_meters", "review",
        sentence("has ", rows.meters, " meters and up to ", rows.figures, " figures in one period"),
        as_json(meters=rows.meters, figures=rows.figures),
        "See whether the account stands for one customer, or gathers what belongs to many.",
    )  # fmt: skip
