"""Rules about whose winter it is: who moved in, an empty house, a builder's water. A basis that rests on it says so.

Belongs here: rules whose ids begin with ``history.``; their messages become part of the basis' note.
Does not belong here: stuck meters (``of_use``).
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from rate_tables.review_limits import ReviewLimits
from validations.review.finding import as_json, found, found_in_use, sentence
from validations.review.use import Use
from validations.workspace import Year


def _measured(sewer_services: ir.Table) -> ir.Table:
    s = sewer_services
    return s.filter((s.status != "closed") & (s.volume_source == "district"))


def moved_in_during_winter(sewer_services: ir.Table, year: Year) -> ir.Table:
    """The occupant came during the winter: use before that is not the customer's."""
    s = _measured(sewer_services)
    rows = s.filter(
        (s.occupant_since > ibis.literal(year.window_start)) & (s.occupant_since < ibis.literal(year.window_end))
    )
    rows = rows.mutate(period_start=ibis.literal(year.window_start), period_end=rows.occupant_since)
    return found(
        rows, "history.moved_in_during_winter", "info", ["service_id"],
        sentence("the occupant came on ", rows.occupant_since, "; consumption before that day does not count"),
        as_json(occupant_since=rows.occupant_since, service_start=rows.service_start),
        "Nothing; an appeal may bring other months.",
    )  # fmt: skip


def low_before_occupant(sewer_services: ir.Table, limits: ReviewLimits, year: Year) -> ir.Table:
    """Water was on for building before the first occupant came: a low winter that is not the customer's."""
    s = _measured(sewer_services)
    built = s.occupant_since.delta(s.service_start, unit="day")
    begin = year.window_start - dt.timedelta(days=limits.building_days.value)
    rows = s.filter(
        (built >= limits.builders_water_days.value) & (s.service_start > ibis.literal(begin)) & (s.occupant_since > ibis.literal(year.window_start))
        & (s.occupant_since < ibis.literal(year.effective))
    )  # fmt: skip
    rows = rows.mutate(period_start=ibis.literal(year.window_start), period_end=rows.occupant_since)
    return found(
        rows, "history.low_before_occupant", "info", ["service_id"],
        sentence("service began on ", rows.service_start, " and the first occupant came on ", rows.occupant_since,
                 "; water for building does not count"),
        as_json(occupant_since=rows.occupant_since, service_start=rows.service_start),
        "Nothing; an appeal may bring other months.",
    )  # fmt: skip


def vacant_in_winter(use: Use, limits: ReviewLimits) -> ir.Table:
    """Next to nothing for a month of the winter where somebody uses water otherwise; or, where a read covers more than that, so
    little that nobody can have been there for a good part of it."""
    p = use.looked.filter(use.looked.winter_days > 0)
    usual = ibis.greatest(p.usual_ccf, p.last_year_ccf.fill_null(0), p.all_ccf)
    least = float(limits.least_usual_ccf.value)
    next_to_nothing = p.ccf_a_month <= usual * float(limits.vacant_share.value)
    # Beside the lower of both years, so that a dry year is no vacancy.
    lower = ibis.least(p.upper_usual_ccf, ibis.coalesce(p.last_year_ccf, p.upper_usual_ccf))
    missing = (p.winter_days * (1 - p.ccf_a_month / lower.nullif(0))).floor().cast("int64")
    in_part = (p.days > 45) & (missing >= limits.partly_vacant_days.value) & (lower > 2 * least)
    empty = p.filter((p.ccf >= 0) & (usual > least / 2) & (next_to_nothing | in_part.fill_null(False)))
    empty = empty.mutate(empty_days=ibis.ifelse(next_to_nothing, empty.winter_days, missing))
    s = empty.group_by("service").agg(
        district=empty.district.min(), period_start=empty.period_start.min(), period_end=empty.period_end.max(),
        days=empty.empty_days.sum(),
    )  # fmt: skip
    rows = s.filter(s.days >= limits.vacant_days.value)
    return found_in_use(
        rows, "history.vacant_in_winter", "info",
        sentence("use is as if nobody was there on ", rows.days, " days of the winter between ", rows.period_start, " and ", rows.period_end),
        as_json(days=rows.days, first_day=rows.period_start, day_after=rows.period_end),
        "See whether the premise was empty; leave the period out of the average if the customer asks for it.",
    )  # fmt: skip
