"""Bills: the recurring charges of the year, per billing period, as preview and control totals.

Belongs here: which services get a bill and in what state, the lines of each.
Does not belong here: how a line is computed (``rate_tables.charging``), files (``bill_files``).

A missing rate, quantity or average holds the bill and says so; it is never zero. Bills that are alike stand in one row; a year
whose rates change has a row for each stretch of bills, and one for a bill that the change falls into.
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.billing_periods import bill_stretches
from rate_tables.charging import charge_lines, held_reasons, months_per_bill, strength_column
from rate_tables.looked_up import looked_up
from rate_tables.schedule import LoadedSchedule
from rate_tables.terms import MONTHS_PER_BILL
from validations.tables import BILL_LINES, BILLS, POLLUTANTS
from validations.workspace import Year


def with_strengths(services: ir.Table, strengths: ir.Table) -> ir.Table:
    """Services with a column for each pollutant, null where it was not measured."""
    measured = strengths.group_by("service_id").agg(
        **{
            strength_column(pollutant): strengths.mg_per_l_thousandths.max(where=strengths.pollutant == pollutant)
            for pollutant in POLLUTANTS
        }
    )
    return looked_up(services, measured, "service_id", *map(strength_column, POLLUTANTS))


def rated_services(billing_basis: ir.Table, sewer_services: ir.Table, strengths: ir.Table) -> ir.Table:
    """One row per service that has an average, with all that its charges are counted by (``rate_tables.charging``).

    The volume of a bill is the average's: where the rule takes the lesser of it and actual use, this is the most it can be.
    """
    rated = billing_basis.filter(billing_basis.winter_average_thousandths.notnull())
    services = sewer_services.inner_join(rated.select("service_id", "winter_average_thousandths"), "service_id")
    services = services.mutate(bill_volume_thousandths=services.winter_average_thousandths * months_per_bill(services))
    return with_strengths(services, strengths)


_BILL = ("service_id", "period_start")


def _bills_of_year(year: Year) -> tuple[ir.Table, dict[LoadedSchedule | None, ir.Table]]:
    """The stretches of alike bills of each billing frequency; and for each schedule the bills that it rates, or a part of.

    Both have billing_frequency and period_start; the first period_end and bills_in_period, the others, where some bill is
    shared by days, from_day, to_day and days.
    """
    stretches, parts = [], dict[LoadedSchedule | None, list[dict[str, Any]]]()
    for frequency in MONTHS_PER_BILL:
        for stretch in bill_stretches(year.rate_periods, frequency):
            bill = {"billing_frequency": frequency, "period_start": stretch.start}
            stretches.append(bill | {"period_end": stretch.end, "bills_in_period": stretch.bills})
            for part in stretch.parts:
                days = {"from_day": part.from_day, "to_day": part.to_day, "days": part.days}
                parts.setdefault(part.schedule, []).append(bill | days)
    rated = {}
    for schedule, rows in parts.items():
        table = ibis.memtable(rows)
        is_shared = any((row["from_day"], row["to_day"]) != (0, row["days"]) for row in rows)
        rated[schedule] = table if is_shared else table.drop("from_day", "to_day", "days")
    return ibis.memtable(stretches), rated


def held_bills(services: ir.Table, year: Year) -> ir.Table:
    """One row per service and stretch of bills that lack something: service_id, period_start, held_reason."""
    unit = year.averaging.schedule.averaging.unit.value
    found = []
    for schedule, bills_rated in _bills_of_year(year)[1].items():
        rated = services.inner_join(bills_rated, "billing_frequency")
        if schedule is None:
            reason = ibis.literal(f"no adopted schedule holds for fiscal year {year.fiscal_year}")
            found.append(rated.select(*_BILL, held_reason=reason))
        else:
            found.append(held_reasons(rated, schedule, unit, _BILL))
    each = ibis.union(*found)
    return each.group_by(*_BILL).agg(held_reason=each.held_reason.min())


@stage(BILL_LINES, "bills", by_slice=True, built_once=True, follows=("rate_schedule",))
def bill_lines(billing_basis: ir.Table, sewer_services: ir.Table, strengths: ir.Table, *, year: Year) -> ir.Table:
    """Quantity, rate and amount of each charge, for bills that lack nothing."""
    services = rated_services(billing_basis, sewer_services, strengths)
    unit = year.averaging.schedule.averaging.unit.value
    lines = [
        charge_lines(services.inner_join(bills_rated, "billing_frequency"), schedule, unit, (*_BILL, "slice_id"))
        for schedule, bills_rated in _bills_of_year(year)[1].items()
        if schedule is not None and schedule.schedule.charges
    ]
    if not lines:
        return BILL_LINES.empty()
    return ibis.union(*lines).anti_join(held_bills(services, year), _BILL)


@stage(BILLS, "bills", by_slice=True, built_once=True)
def bills(
    billing_basis: ir.Table, bill_lines: ir.Table, sewer_services: ir.Table, strengths: ir.Table, *, year: Year
) -> ir.Table:
    """The sum of its lines for every service that is billed, and its state: ready, provisional or held."""
    billed = billing_basis.filter(billing_basis.derivation != "excluded")
    billed = billed.inner_join(sewer_services.select("service_id", "billing_frequency", "billing_agency"), "service_id")
    billed = billed.inner_join(_bills_of_year(year)[0], "billing_frequency")
    amounts = bill_lines.group_by(*_BILL).agg(amount_cents=ibis._.amount_cents.sum())
    held = held_bills(rated_services(billing_basis, sewer_services, strengths), year)
    b = looked_up(looked_up(billed, amounts, [*_BILL], "amount_cents"), held, [*_BILL], "held_reason")
    return b.mutate(
        status=ibis.cases((b.amount_cents.isnull(), "held"), (b.is_provisional, "provisional"), else_="ready"),
        status_reason=ibis.cases(
            (b.winter_average_thousandths.isnull(), b.derivation_note),
            (b.amount_cents.isnull(), b.held_reason.fill_null("no charge of the schedule applies to it")),
            (b.is_provisional, b.derivation_note),
            else_="",
        ),
    )
