"""Bills: the recurring charges of the year, per billing period, as preview and control totals.

Belongs here: which services get a bill and in what state, the lines of each.
Does not belong here: how a line is computed (``rate_tables.charging``), files (``bill_files``).

A missing rate or average holds the bill and says so; it is never zero.
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.charging import charge_lines
from rate_tables.looked_up import looked_up
from validations.tables import BILL_LINES, BILLS
from validations.workspace import Year


def _schedule_period(year: Year) -> tuple[dt.date, dt.date]:
    """The days on which this year's charges hold."""
    return year.effective, year.effective.replace(year=year.effective.year + 1)


@stage(BILL_LINES, "bills", by_slice=True, follows=("rate_schedule",))
def bill_lines(billing_basis: ir.Table, sewer_services: ir.Table, *, year: Year) -> ir.Table:
    """Quantity, rate and amount of each charge, for services that have an average and a year that has rates."""
    if year.rates is None:
        return BILL_LINES.empty()
    rated = billing_basis.filter(billing_basis.winter_average_thousandths.notnull())
    services = sewer_services.inner_join(rated.select("service_id", "winter_average_thousandths"), "service_id")
    return charge_lines(services, year.rates).mutate(period_start=ibis.literal(_schedule_period(year)[0]))


@stage(BILLS, "bills", by_slice=True)
def bills(billing_basis: ir.Table, bill_lines: ir.Table, sewer_services: ir.Table, *, year: Year) -> ir.Table:
    """The sum of its lines for every service that is billed, and its state: ready, provisional or held."""
    start, end = _schedule_period(year)
    amounts = bill_lines.group_by("service_id").agg(amount_cents=ibis._.amount_cents.sum())
    billed = billing_basis.filter(billing_basis.derivation != "excluded")
    b = looked_up(billed, amounts, "service_id", "amount_cents")
    b = b.inner_join(sewer_services.select("service_id", "billing_frequency", "billing_agency"), "service_id")
    no_rates = ibis.literal(year.rates is None)
    fiscal_year = f"{year.billing_year}-{(year.billing_year + 1) % 100:02d}"
    return b.mutate(
        period_start=ibis.literal(start),
        period_end=ibis.literal(end),
        status=ibis.cases((b.amount_cents.isnull(), "held"), (b.is_provisional, "provisional"), else_="ready"),
        status_reason=ibis.cases(
            (b.winter_average_thousandths.isnull(), b.derivation_note),
            (no_rates, f"no adopted schedule holds for fiscal year {fiscal_year}"),
            (b.is_provisional, b.derivation_note),
            else_="",
        ),
    )
