"""The account of rows and volume: from what a district delivered to what its services' averages rest on.

Belongs here: giving every record and every thousandth of volume the step in which it leaves.
Does not belong here: the steps' names (``validations.volume_steps``), whether they add up (``validations.identities``).

Each step is counted for itself: what a step takes is the difference of two totals, with its condition and without, and the last
step is the volume that averaging counted (``counted_volume``). So a district's steps add to zero only if nothing was lost or
counted twice on the way. The totals are made by district (``delivered_volume``) and by slice of services (``linked_volume``), so that
only those of a district that came late are made again. A part of a period is the difference of two rounded running totals, as in averaging, so all of it
comes out to the thousandth.
"""

from __future__ import annotations

from functools import partial

import ibis
import ibis.expr.types as ir

from assets.adjusted_consumption import RECORD, last_steps
from assets.kept import Bench
from assets.service_consumption import without_link
from assets.stage import SERVICES_TOGETHER, stage, year_version
from rate_tables.averaging_rule import AveragingRule, windows_of
from rate_tables.averaging_window import ByCycles, ByDays
from rate_tables.calendar_days import days_between
from rate_tables.counted_use import bounds_of_history, with_sign
from rate_tables.exact import part_of, stored_as
from rate_tables.looked_up import looked_up
from validations.reasons import NOT_OF_RECORDS
from validations.tables import COUNTED_VOLUME, DELIVERED_VOLUME, LINKED_VOLUME, SEVERAL_DISTRICTS, VOLUME_ACCOUNT
from validations.volume_steps import VOLUME_STEPS
from validations.workspace import Year

_METER = ["district_id", "district_account", "meter_id"]
_MILLION = 1_000_000
OWN_AVERAGE = ("computed", "adjusted")
"""Derivations of an average that comes from the service's counted volume."""


@stage(COUNTED_VOLUME, "release", by_slice=True, built_once=True)
def counted_volume(counted_use: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """The volume that counts towards each service's average, exact and in the unit of the district that measured it."""
    counted = counted_use.filter(counted_use.whose == "own")
    volumes = counted.group_by("service_id", "district_id", "volume_unit").agg(
        counted_volume_thousandths=counted.counted_volume_thousandths.sum(), periods_counted=counted.count()
    )
    return looked_up(volumes, sewer_services, "service_id", "slice_id")


def _went(totals: ir.Table, step: str, rows: ir.IntegerValue | int, volume: ir.IntegerValue | int) -> ir.Table:
    """What a step takes of each district, from a table with a row per district."""
    return totals.select(
        "district_id",
        step=ibis.literal(step),
        rows=stored_as(-rows if isinstance(rows, ir.Value) else ibis.literal(-rows), "int64"),
        volume_thousandths=stored_as(-volume if isinstance(volume, ir.Value) else ibis.literal(-volume), "int64"),
    )


def _delivered(delivery_totals: ir.Table, rejected_rows: ir.Table) -> list[ir.Table]:
    """What came in, and what of it is not consumption."""
    files = delivery_totals.filter(~delivery_totals.unreadable)
    came = files.group_by("district_id").agg(n=files.records.sum(), q=files.delivered_quantity_thousandths.sum())
    refused = rejected_rows.filter(rejected_rows.reason_code.notin(NOT_OF_RECORDS))
    refused = refused.semi_join(files, ["district_id", "source_file"])
    kinds = refused.group_by("district_id", "reason_kind").agg(
        n=refused.count(), q=refused.delivered_quantity_thousandths.sum().fill_null(0)
    )
    return [
        _went(came, "delivered", -came.n, -came.q),
        *(_went(k, kind, k.n, k.q) for kind in ("refused", "duplicate", "set_aside")
          for k in [kinds.filter(kinds.reason_kind == kind)]),
    ]  # fmt: skip


def _with_window(consumption: ir.Table, rule: AveragingRule, year: Year) -> ir.Table:
    """Consumption with the volume that the rule averages, the days of each period that may lie in the window (begin, end), and
    that part of the volume (inside). Cycles count by their date, so of them only what is far from the window is cut off."""
    volume = consumption[f"{rule.averaged_volume.value}_volume_thousandths"]
    first_day, day_after = (ibis.literal(day) for day in year.use_dates)
    c = consumption.mutate(volume=volume)
    if isinstance(rule.counted_by.value, ByCycles):
        is_near = (c.period_end > first_day) & (c.period_start < day_after)
        c = c.mutate(begin=c.period_start, end=ibis.ifelse(is_near, c.period_end, c.period_start))
    else:
        c = c.mutate(begin=ibis.greatest(c.period_start, first_day), end=ibis.least(c.period_end, day_after))
    c = c.mutate(is_inside=c.end > c.begin)
    return c.mutate(inside=ibis.ifelse(c.is_inside, _part(c, c.volume, c.begin, c.end), 0))


def _part(rows: ir.Table, volume: ir.IntegerValue, begin: ir.DateValue, end: ir.DateValue) -> ir.IntegerValue:
    """The part of a period's volume from ``begin`` to ``end``, by days."""
    return part_of(volume, days_between(rows.period_start, begin), days_between(rows.period_start, end), rows.days)


def _totals(periods: ir.Table, *keys: str) -> ir.Table:
    """One row per delivered file and ``keys``: records and volume of its meters, in the window and out of it."""
    p = periods
    return p.group_by("district_id", "source_file", *keys).agg(
        records=p.count(),
        records_inside=p.is_inside.cast("int64").sum(),
        delivered_quantity_thousandths=p.delivered_quantity_thousandths.sum(),
        volume_thousandths=p.volume.sum(),
        volume_inside_thousandths=p.inside.sum(),
        volume_unit=p.volume_unit.min(),
    )


@stage(DELIVERED_VOLUME, "release", built_once=True)
def delivered_volume(
    consumption: ir.Table, meters: ir.Table, meter_links: ir.Table, unmatched: ir.Table, *, year: Year
) -> ir.Table:
    """What was delivered of all meters of a district, and of it what was of those that serve nobody, file by file.

    These are few, so they are looked for among meters, not record by record.
    """
    periods = _with_window(consumption, year.averaging.schedule.averaging, year)
    left_over = unmatched.filter(unmatched.side != "service").select(*_METER, "side")
    alone = looked_up(without_link(meters.select(*_METER), meter_links, year), left_over, _METER, "side")
    fate = ibis.cases(
        (alone.side == "known_non_sewer", "known_non_sewer"),
        (alone.side == "district", "unmatched"),
        else_="not_linked",
    )
    found = periods.inner_join(alone.mutate(fate=fate).select(*_METER, "fate"), _METER)
    every = DELIVERED_VOLUME.conform(_totals(periods).mutate(fate=ibis.literal("")))
    return every.union(DELIVERED_VOLUME.conform(_totals(found, "fate")))


def _links(
    service_consumption: ir.Table,
    meter_links: ir.Table,
    sewer_services: ir.Table,
    billing_basis: ir.Table,
    rule: AveragingRule,
    year: Year,
) -> ir.Table:
    """Links of meters with what is known of their service: slice_id, history_start, history_end, sign, is_averaged; and whether the meter
    may serve services of other slices too (is_shared), or serves nobody but this one (is_only)."""
    bounds = bounds_of_history(sewer_services, rule, windows_of(rule, year.effective))
    own = billing_basis.select("service_id", is_averaged=billing_basis.derivation.isin(OWN_AVERAGE))
    of_meter = service_consumption.group_by(_METER).agg(links=ibis._.count())
    links = looked_up(service_consumption, bounds, "service_id", "history_start", "history_end", "is_by_effluent")
    links = looked_up(links, own, "service_id", "is_averaged")
    links = looked_up(links, of_meter, _METER, "links")
    links = looked_up(links, sewer_services, "service_id", "slice_id")
    # What a district's own services share with services of another slice, they share with those of several districts.
    shared = meter_links.filter(meter_links.slice_id == SEVERAL_DISTRICTS).select(*_METER[:2]).distinct()
    links = looked_up(links, shared.mutate(is_shared=ibis.literal(True)), _METER[:2], "is_shared")
    links = links.mutate(**{n: links[n].fill_null(False) for n in ("is_by_effluent", "is_averaged", "is_shared")})
    links = links.mutate(is_only=(links.links == 1) & ~links.is_shared)
    return with_sign(links, service_consumption, rule)


def _met(
    consumption: ir.Table,
    service_consumption: ir.Table,
    meter_links: ir.Table,
    adjustment_steps: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    billing_basis: ir.Table,
    rule: AveragingRule,
    year: Year,
) -> ir.Table:
    """One row per period in the window and link that it meets, with the volume left after each condition.

    at_link: on the days of the link, for its share; at_history: of these, on the days of the service's history; signed, entered,
    decided: of these, what counts by the meter's purpose, after the entries of the sheet, after decisions; is_linked,
    is_of_history, is_out_by_entry, is_out, slice_id, sign, is_averaged, is_shared, is_only.
    """
    links = _links(service_consumption, meter_links, sewer_services, billing_basis, rule, year)
    periods = _with_window(consumption, rule, year)
    met = periods.filter(periods.is_inside).inner_join(links, _METER)
    entered = last_steps(adjustment_steps).select(
        *RECORD, entered_volume="volume_thousandths", is_out_by_entry="is_left_out"
    )
    met = looked_up(met, entered, RECORD, "entered_volume", "is_out_by_entry")
    met = looked_up(met, adjusted_consumption, ["service_id", *RECORD], "adjusted_volume_thousandths", "is_left_out")

    begin, end = ibis.greatest(met.begin, met.link_start), ibis.least(met.end, met.link_end)
    met = met.mutate(link_begin=begin, link_until=end)
    met = met.mutate(
        own_begin=ibis.greatest(met.link_begin, met.history_start),
        own_until=ibis.least(met.link_until, met.history_end),
    )
    met = met.mutate(
        is_linked=met.link_until > met.link_begin,
        is_of_history=(met.own_until > met.own_begin).fill_null(False),
        is_out_by_entry=met.is_out_by_entry.fill_null(False),
        is_out=met.is_left_out.fill_null(False),
    )

    def of_share(
        is_there: ir.BooleanValue, volume: ir.IntegerValue, begin: ir.DateValue, end: ir.DateValue
    ) -> ir.Value:
        part = _part(met, volume, begin, end)
        return ibis.ifelse(is_there, part_of(part, met.share_from_millionths, met.share_to_millionths, _MILLION), 0)

    met = met.mutate(
        at_link=of_share(met.is_linked, met.volume, met.link_begin, met.link_until),
        at_history=of_share(met.is_of_history, met.volume, met.own_begin, met.own_until),
    )

    def as_changed(changed: ir.IntegerValue, is_out: ir.BooleanValue) -> ir.Value:
        """What counts of a period, of which few are changed."""
        of_changed = of_share(met.is_of_history, changed, met.own_begin, met.own_until)
        return met.sign * ibis.cases((is_out, 0), (changed.isnull(), met.at_history), else_=of_changed)

    return met.mutate(
        signed=met.sign * met.at_history,
        entered=as_changed(met.entered_volume, met.is_out_by_entry),
        decided=as_changed(met.adjusted_volume_thousandths, met.is_out),
    )


_LEFT = ("at_link", "at_history", "of_no_sign", "of_deduct", "signed", "entered", "decided")
"""Volumes at linked meters, each with one condition more than the one before."""


def _by_step(counting: ir.Table) -> ir.Table:
    """Records of linked meters by the step in which they leave, with the volume that each condition leaves: one row per slice, district and
    step, and one per record of a meter with several links, which leaves in the step of the link with which it comes furthest."""
    order = list(VOLUME_STEPS)
    place = ibis.cases(
        (~counting.is_linked, order.index("not_linked")),
        (~counting.is_of_history, order.index("other_occupant")),
        (counting.sign == 0, order.index("not_for_sewer")),
        (counting.is_out & counting.is_out_by_entry, order.index("adjusted")),
        (counting.is_out, order.index("decided")),
        (~counting.is_counted, order.index("own_window")),
        (~counting.is_averaged, order.index("not_averaged")),
        else_=order.index("averaged"),
    ).cast("int64")
    # Only a meter with several links can meet a record twice; grouping all records would be the dearest step of the year.
    is_only = counting.is_only
    c = counting.mutate(
        reached=place,
        step=ibis.ifelse(is_only, place, ibis.null("int64")),
        **{f"of_{n}": ibis.ifelse(is_only, ibis.null(counting[n].type()), counting[n]) for n in RECORD[1:]},
    )
    return c.group_by("slice_id", "district_id", "is_shared", "step", *(f"of_{n}" for n in RECORD[1:])).agg(
        reached=c.reached.max(),
        records=ibis.ifelse(c.is_only.any(), c.count(), 1),
        at_link=c.at_link.sum(),
        at_history=c.at_history.sum(),
        of_no_sign=c.at_history.sum(where=c.sign == 0).fill_null(0),
        of_deduct=c.at_history.sum(where=c.sign < 0).fill_null(0),
        signed=c.signed.sum(),
        entered=c.entered.sum(),
        decided=c.decided.sum(),
    )


def _of_slices(by_step: ir.Table) -> ir.Table:
    """The same, with the records of meters that serve one slice only added up."""
    nothing = dict(zip(RECORD[1:], ("", 0, ""), strict=True))
    b = by_step.mutate(
        place=by_step.reached + 1,
        **{n: ibis.ifelse(by_step.is_shared, by_step[f"of_{n}"], none) for n, none in nothing.items()},
    )
    return b.group_by("slice_id", "district_id", "place", *RECORD[1:]).agg(
        records=b.records.sum(), **{f"{n}_thousandths": b[n].sum() for n in _LEFT}
    )


def _is_by_one_window(rule: AveragingRule, year: Year) -> bool:
    return isinstance(rule.counted_by.value, ByDays) and len(windows_of(rule, year.effective)) == 1


def _counting(met: ir.Table, counted_use: ir.Table, *, rule: AveragingRule, year: Year) -> ir.Table:
    """``met`` with is_counted: whether averaging counted it."""
    if _is_by_one_window(rule, year) and rule.vacant_periods.value == "count":
        return met.mutate(is_counted=ibis.literal(True))
    own = counted_use.filter(counted_use.whose == "own").select("service_id", *RECORD).distinct()
    found = looked_up(met, own.mutate(is_counted=ibis.literal(True)), ["service_id", *RECORD], "is_counted")
    return found.mutate(is_counted=found.is_counted.fill_null(False))


@stage(LINKED_VOLUME, "release", by_slice=True, traced=True, whole=("meter_links",), together=4 * SERVICES_TOGETHER)
def linked_volume(
    consumption: ir.Table,
    service_consumption: ir.Table,
    meter_links: ir.Table,
    adjustment_steps: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    billing_basis: ir.Table,
    counted_use: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """What is left of a district's records and volume at the meters of a slice's services after each condition, by the step in which the
    records leave. A meter that may serve other slices too has a row for each record, which leaves where it comes furthest in any of them."""
    rule = year.averaging.schedule.averaging
    inputs = {
        "consumption": consumption, "service_consumption": service_consumption, "meter_links": meter_links, "adjustment_steps": adjustment_steps,
        "adjusted_consumption": adjusted_consumption, "sewer_services": sewer_services, "billing_basis": billing_basis, "counted_use": counted_use,
    }  # fmt: skip
    bench = Bench(inputs, year_version(year))
    bench.shown(
        "met",
        partial(_met, rule=rule, year=year),
        "consumption",
        "service_consumption",
        "meter_links",
        "adjustment_steps",
        "adjusted_consumption",
        "sewer_services",
        "billing_basis",
    )
    bench.shown("counting", partial(_counting, rule=rule, year=year), "met", "counted_use")
    bench.shown("by_step", _by_step, "counting")
    return bench.shown("of_slices", _of_slices, "by_step")


@stage(VOLUME_ACCOUNT, "release", built_once=True)
def volume_account(
    delivery_totals: ir.Table,
    rejected_rows: ir.Table,
    delivered_volume: ir.Table,
    linked_volume: ir.Table,
    counted_volume: ir.Table,
    billing_basis: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """Where the rows and the volume of each district's delivery went, step by step, down to the averages they count in.

    The steps of a district add to zero, in rows and in thousandths of its unit; what each means stands in its column's comment.
    """
    d = delivered_volume
    of_district = d.group_by("district_id", "fate").agg(
        **{n: d[n].sum() for n in d.columns if n.endswith(("records", "_inside", "_thousandths"))},
        volume_unit=d.volume_unit.min(),
    )
    every, alone = (of_district.filter((of_district.fate == "") == of_all) for of_all in (True, False))
    others = alone.group_by("district_id").agg(v_others=alone.volume_inside_thousandths.sum())
    at_meters = looked_up(every, others, "district_id", "v_others")
    at_meters = at_meters.select("district_id", v=at_meters.volume_inside_thousandths - at_meters.v_others.fill_null(0))
    left = linked_volume
    v = left.group_by("district_id").agg(**{n: left[f"{n}_thousandths"].sum() for n in _LEFT})
    v = looked_up(v, at_meters, "district_id", "v")
    # A record that has rows of its own in several slices is one record.
    of_records = left.filter(left.source_file != "")
    furthest = of_records.group_by(RECORD).agg(place=of_records.place.max(), records=ibis.literal(1, "int64"))
    reached = ["district_id", "place", "records"]
    met = left.filter(left.source_file == "").select(reached).union(furthest.select(reached))
    rows = met.group_by("district_id", "place").agg(n=met.records.sum())
    own = billing_basis.select("service_id", is_averaged=billing_basis.derivation.isin(OWN_AVERAGE))
    counted = looked_up(counted_volume, own, "service_id", "is_averaged")
    counted = counted.group_by("district_id").agg(
        averaged=counted.counted_volume_thousandths.sum(where=counted.is_averaged.fill_null(False)).fill_null(0),
        all=counted.counted_volume_thousandths.sum(),
    )

    nothing = 0
    parts = [
        *_delivered(delivery_totals, rejected_rows),
        _went(every, "reading_to_volume", nothing, every.delivered_quantity_thousandths - every.volume_thousandths),
        _went(every, "outside_window", every.records - every.records_inside, every.volume_thousandths - every.volume_inside_thousandths),
        *(_went(m, fate, m.records_inside, m.volume_inside_thousandths) for fate in ("known_non_sewer", "unmatched", "not_linked")
          for m in [alone.filter(alone.fate == fate)]),
        *(_went(r, step, r.n, nothing) for place, step in enumerate(VOLUME_STEPS, start=1)
          if step in ("not_linked", "other_occupant", "not_for_sewer", "adjusted", "decided", "own_window", "not_averaged", "averaged")
          for r in [rows.filter(rows.place == place)]),
        _went(v, "not_linked", nothing, v.v - v.at_link),
        _went(v, "other_occupant", nothing, v.at_link - v.at_history),
        _went(v, "not_for_sewer", nothing, v.of_no_sign),
        _went(v, "deducted", nothing, v.of_deduct * 2),
        _went(v, "adjusted", nothing, v.signed - v.entered),
        _went(v, "decided", nothing, v.entered - v.decided),
        _went(counted, "not_averaged", nothing, counted["all"] - counted.averaged),
        _went(counted, "averaged", nothing, counted.averaged),
    ]  # fmt: skip
    if not _is_by_one_window(year.averaging.schedule.averaging, year):
        w = looked_up(v, counted, "district_id", "all")
        parts.append(_went(w, "own_window", nothing, w.decided - w["all"].fill_null(0)))
    each = ibis.union(*parts)
    steps = each.group_by("district_id", "step").agg(
        rows=each.rows.sum(), volume_thousandths=each.volume_thousandths.sum()
    )
    steps = steps.filter((steps.step == "delivered") | (steps.rows != 0) | (steps.volume_thousandths != 0))
    found = looked_up(steps, every, "district_id", "volume_unit")
    places = ibis.cases(*((found.step == step, place) for place, step in enumerate(VOLUME_STEPS, start=1)))
    return found.mutate(volume_unit=found.volume_unit.fill_null(""), place=places)
