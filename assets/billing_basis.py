"""The billing basis: the new winter average of every sewer service, what it was before, and how it came about.

Belongs here: what the ladder of fallbacks needs to know of each service: its prior average, whether its district is awaited.
Does not belong here: the average itself (``winter_averages``), the ladder (``rate_tables.fallbacks``), dollars (``bills``).

Every service of the extract is here. Not received is not no history: a service whose district has not delivered keeps its
prior average, marked provisional; a default is for a service that has no history of its own.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.cis_extract import links_of_winter
from assets.stage import stage
from rate_tables.averaging_rule import AveragingRule
from rate_tables.fallbacks import class_key, effective_of, with_fallbacks
from rate_tables.looked_up import looked_up
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
    winter_averages: ir.Table,
    class_averages: ir.Table,
    sewer_services: ir.Table,
    meter_links: ir.Table,
    current_averages: ir.Table,
    delivery_totals: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """The winter average of each service under the schedule's averaging rule, and how it came about.

    computed or adjusted: from enough of its own winter. carried_forward: its district has not delivered. previous_occupant,
    prior_year, class_average, default: not enough history, in the order the schedule states. fixed: by EDU. held: a person has
    to decide. excluded: not averaged, with the reason in ``derivation_note``.
    """
    rule = year.averaging.schedule.averaging
    services = _with_awaited(_with_prior(sewer_services, current_averages, rule), meter_links, delivery_totals, year)
    services = services.mutate(class_key=class_key(services, rule))
    services = looked_up(services, class_averages, "class_key", "class_average_thousandths")
    own = winter_averages.drop("slice_id")
    s = looked_up(services, own, "service_id", *(c for c in own.columns if c != "service_id"))
    return with_fallbacks(s, rule, year.effective).mutate(
        volume_unit=ibis.literal(rule.unit.value),
        effective_date=effective_of(s, rule, year.effective),
        rule_file=ibis.literal(year.averaging.file),
    )
