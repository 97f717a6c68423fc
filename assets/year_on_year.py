"""This year against the last: services, averages and dollars, by district and class.

Belongs here: both years' sums side by side.
Does not belong here: what of it is worth a look (findings), showing it (``pipelines.release``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.looked_up import looked_up
from validations.tables import YEAR_ON_YEAR

_KEY = ["slice_id", "customer_class"]
_SUMS = ["services", "averaged", "average_sum_thousandths", "billed_services", "amount_a_year_cents"]


def _services(billing_basis: ir.Table, bills: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """Services of a year that are not excluded, with class, slice, average, and what the year's bills come to."""
    amounts = bills.group_by("service_id").agg(
        amount_a_year_cents=(bills.amount_cents * bills.bills_in_period).sum(),
        has_amounts=bills.amount_cents.notnull().all(),
    )
    s = billing_basis.filter(billing_basis.derivation != "excluded")
    s = s.select("service_id", "slice_id", "winter_average_thousandths", "volume_unit")
    s = looked_up(s, sewer_services, "service_id", "customer_class")
    return looked_up(s, amounts, "service_id", "amount_a_year_cents", "has_amounts")


def _sums(services: ir.Table) -> ir.Table:
    s = services
    return s.group_by(_KEY).agg(
        services=s.count(),
        averaged=s.winter_average_thousandths.count(),
        average_sum_thousandths=s.winter_average_thousandths.sum().fill_null(0),
        billed_services=s.has_amounts.fill_null(False).cast("int64").sum(),
        amount_a_year_cents=s.amount_a_year_cents.sum().fill_null(0),
        volume_unit=s.volume_unit.max(),
    )


@stage(YEAR_ON_YEAR, "release", built_once=True)
def year_on_year(
    billing_basis: ir.Table,
    bills: ir.Table,
    sewer_services: ir.Table,
    prior_billing_basis: ir.Table,
    prior_bills: ir.Table,
    prior_sewer_services: ir.Table,
) -> ir.Table:
    """Services, averages and dollars of the year and of the one before, by district and customer class.

    A service stands where it is in each year; the year before is zero throughout where it was not run.
    """
    now = _services(billing_basis, bills, sewer_services)
    then = _services(prior_billing_basis, prior_bills, prior_sewer_services)
    both = now.semi_join(then, "service_id").group_by(_KEY).agg(services_in_both=ibis._.count())
    keys = now.select(*_KEY).union(then.select(*_KEY), distinct=True)
    columns = [*_SUMS, "volume_unit"]
    found = looked_up(keys, _sums(now), _KEY, *columns)
    found = looked_up(
        found, _sums(then).rename({f"prior_{n}": n for n in columns}), _KEY, *(f"prior_{n}" for n in columns)
    )
    found = looked_up(found, both, _KEY, "services_in_both")
    counts = [*_SUMS, *(f"prior_{n}" for n in _SUMS), "services_in_both"]
    return found.mutate(
        **{n: found[n].fill_null(0) for n in counts},
        **{n: found[n].fill_null("") for n in ("volume_unit", "prior_volume_unit")},
    )
