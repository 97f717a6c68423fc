"""What each sewer service's own winter comes to, before anything stands in for it.

Belongs here: giving the averaging rule the tables of a slice.
Does not belong here: the rule's arithmetic (``rate_tables.averaging``), fallbacks (``billing_basis``).
"""

from __future__ import annotations

import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.averaging import averages_of_counted_use
from rate_tables.averaging import counted_use as use_that_counts
from rate_tables.fallbacks import class_averages as averages_of_classes
from validations.tables import CLASS_AVERAGES, COUNTED_USE, WINTER_AVERAGES
from validations.workspace import Year


@stage(COUNTED_USE, "billing_basis", by_slice=True, built_once=True, follows=("rate_schedule",))
def counted_use(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """The days and the volume of each row of consumption that count towards a service's average: what averages are made from."""
    tables = (consumption, service_consumption, adjusted_consumption, sewer_services)
    return use_that_counts(*tables, year.averaging.schedule.averaging, year.effective)


@stage(WINTER_AVERAGES, "billing_basis", by_slice=True, built_once=True, follows=("rate_schedule",))
def winter_averages(counted_use: ir.Table, sewer_services: ir.Table, *, year: Year) -> ir.Table:
    """The average of each service from its own window, under the schedule's averaging rule, and how much of it is known."""
    s = averages_of_counted_use(counted_use, sewer_services, year.averaging.schedule.averaging, year.effective)
    counts = ("days_covered", "months_counted", "periods_counted", "periods_estimated", "periods_adjusted")
    return s.mutate(
        has_enough_history=s.has_enough_history.fill_null(False), **{name: s[name].fill_null(0) for name in counts}
    )


@stage(CLASS_AVERAGES, "billing_basis", built_once=True, follows=("rate_schedule",))
def class_averages(
    winter_averages: ir.Table, sewer_services: ir.Table, released_class_averages: ir.Table, *, year: Year
) -> ir.Table:
    """The mean of the computed averages of each class, where the rule falls back on it; else no rows.

    Services that fall back on it depend on its figures and not on what they were made from: a late district that leaves them
    as they are changes only its own services. Where the year is released, each class keeps the average that was sent out.
    """
    known = winter_averages.select("service_id", "average_thousandths", "has_enough_history")
    services = sewer_services.inner_join(known, "service_id")
    now = averages_of_classes(services, year.averaging.schedule.averaging, year.effective)
    fixed = released_class_averages.select(*CLASS_AVERAGES.columns)
    return CLASS_AVERAGES.conform(now.anti_join(fixed, "class_key")).union(CLASS_AVERAGES.conform(fixed))
