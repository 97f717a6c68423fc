"""The billing basis: the new winter average of every sewer service, what it was before, and how it came about.

Belongs here: the ladder from a computed average to what stands in for it, in the order that the schedule states.
Does not belong here: the average itself (``rate_tables.averaging``), dollars (``bills``).

Every service of the extract is here. Not received is not no history: a service whose district has not delivered keeps its
prior average, marked provisional; a default is for a service that has no history of its own.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.cis_extract import links_of_winter
from assets.stage import stage
from rate_tables.averaging import counted_periods, winter_averages
from rate_tables.exact import whole
from rate_tables.looked_up import looked_up
from rate_tables.schedule import AveragingRule
from validations.tables import BILLING_BASIS
from validations.workspace import Year


def _with_prior(services: ir.Table, current_averages: ir.Table, rule: AveragingRule) -> ir.Table:
    """Services with prior_average_thousandths in the rule's unit, and whether it is the present occupant's own."""
    prior = current_averages.filter(current_averages.volume_unit == rule.unit.value)
    prior = prior.select(
        "service_id", prior_average_thousandths="winter_average_thousandths", prior_since="effective_date"
    )
    found = looked_up(services, prior, "service_id", "prior_average_thousandths", "prior_since")
    is_own = found.occupant_since.isnull() | (found.occupant_since <= found.prior_since)
    return found.mutate(prior_is_own=(found.prior_average_thousandths.notnull() & is_own).fill_null(False))


def _with_awaited(services: ir.Table, meter_links: ir.Table, delivery_totals: ir.Table, year: Year) -> ir.Table:
    """Services with ``is_awaited``: a district that measures it in the winter has delivered nothing readable."""
    received = delivery_totals.filter(~delivery_totals.unreadable & (delivery_totals.records > 0))
    awaited = links_of_winter(meter_links, year).anti_join(received, "district_id").select("service_id").distinct()
    found = looked_up(services, awaited.mutate(is_awaited=ibis.literal(True)), "service_id", "is_awaited")
    return found.mutate(is_awaited=found.is_awaited.fill_null(False))


@stage(BILLING_BASIS, "billing_basis", by_slice=True, follows=("rate_schedule",))
def billing_basis(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    sewer_services: ir.Table,
    meter_links: ir.Table,
    current_averages: ir.Table,
    delivery_totals: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """The winter average of each service under the schedule's averaging rule, and how it came about.

    computed or adjusted: from enough days of its own winter. carried_forward: its district has not delivered. prior_year,
    default: not enough history, in the order the schedule states. held: a person has to decide. excluded: not averaged, with
    the reason in ``derivation_note``.
    """
    rule, rounding = year.averaging.schedule.averaging, year.averaging.schedule.rounding
    window = (year.window_start, year.window_end)
    counted = counted_periods(consumption, service_consumption, adjusted_consumption, sewer_services, rule, window)
    averages = winter_averages(counted, rule, rounding, window)

    services = _with_awaited(_with_prior(sewer_services, current_averages, rule), meter_links, delivery_totals, year)
    s = looked_up(services, averages, "service_id", *(c for c in averages.columns if c != "service_id"))
    minimum = rule.minimum_days.value
    days = s.days_covered.fill_null(0)

    excluded_sources = [v for v, what in rule.other_volume_sources.value.items() if what == "exclude"]
    is_closed = ~s.status.isin(list(rule.statuses.value)) | (s.service_end <= ibis.literal(year.effective)).fill_null(
        False
    )
    is_excluded = s.volume_source.isin(excluded_sources)
    is_measured = s.volume_source == "district"
    defaults = {name: whole(value, 3) for name, value in rule.no_history_default.value.items()}
    has_default = s.customer_class.isin(list(defaults))
    has_prior = s.prior_average_thousandths.notnull()

    fallbacks = {
        "prior_year": (s.prior_is_own, "prior_year"),
        "default": (has_default, "default"),
        "hold": (ibis.literal(True), "held"),
    }
    derivation = ibis.cases(
        (is_closed | is_excluded, "excluded"),
        (~is_measured & has_prior, "prior_year"),
        (is_measured & s.is_awaited & has_prior, "carried_forward"),
        (is_measured & s.is_awaited, "held"),
        (is_measured & (days >= minimum) & (s.periods_adjusted > 0), "adjusted"),
        (is_measured & (days >= minimum), "computed"),
        *(fallbacks[step] for step in rule.without_enough_history.value),
        else_="held",
    )
    s = s.mutate(
        derivation=derivation, days=days, is_closed=is_closed, is_excluded=is_excluded, is_measured=is_measured
    )
    default = ibis.cases(
        *((s.customer_class == name, value) for name, value in defaults.items()), else_=ibis.null("int64")
    )
    average = ibis.cases(
        (s.derivation.isin(["computed", "adjusted"]), s.average_thousandths),
        (s.derivation.isin(["carried_forward", "prior_year"]), s.prior_average_thousandths),
        (s.derivation == "default", default),
        else_=ibis.null("int64"),
    )
    few_days = f"less than {minimum} days of the present occupant's winter are known"
    note = ibis.cases(
        (s.is_closed, "the service is closed or ends by the effective date"),
        (s.is_excluded, ibis.literal("volume source ") + s.volume_source + " is billed by agreement, not by winter average"),
        (~s.is_measured & (s.derivation == "prior_year"),
         ibis.literal("volume source ") + s.volume_source + ": no district history, the average in force stays"),
        (~s.is_measured & (s.derivation == "held"),
         ibis.literal("volume source ") + s.volume_source + " and no average in force: a person has to set one"),
        (s.derivation == "carried_forward", "its district has not delivered; the average in force stays until it does"),
        (s.is_awaited & (s.derivation == "held"), "its district has not delivered and there is no average in force"),
        (s.derivation == "prior_year", few_days + "; the occupant's own average in force stays"),
        (s.derivation == "default", few_days + "; the default of its class"),
        (s.derivation == "held", few_days + " and its class has no default: a person has to set one"),
        (s.derivation == "adjusted", "from its own winter, with consumption adjustments"),
        else_="from its own winter",
    )  # fmt: skip
    return s.mutate(
        winter_average_thousandths=average,
        volume_unit=ibis.literal(rule.unit.value),
        derivation_note=note,
        is_provisional=s.is_awaited & s.is_measured & ~s.is_closed & ~s.is_excluded,
        window_start=ibis.literal(year.window_start),
        window_end=ibis.literal(year.window_end),
        days_covered=s.days,
        periods_counted=s.periods_counted.fill_null(0),
        periods_estimated=s.periods_estimated.fill_null(0),
        periods_adjusted=s.periods_adjusted.fill_null(0),
        effective_date=ibis.literal(year.effective),
        rule_file=ibis.literal(year.averaging.file),
    )
