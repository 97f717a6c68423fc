"""The billing basis: the new winter average of every sewer service, what it was before, and how it came about.

Belongs here: what the ladder of fallbacks needs to know of each service: its prior average, whether its district is awaited.
Does not belong here: the average itself (``winter_averages``), the ladder (``rate_tables.fallbacks``), dollars (``bills``).

Every service of the extract is here. Not received is not no history: a service whose district has not delivered keeps its
prior average, marked provisional; a default is for a service that has no history of its own.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.adjusted_consumption import standing
from assets.adjustment_steps import overrides
from assets.cis_extract import links_of_winter
from assets.stage import stage
from rate_tables.averaging_rule import AveragingRule
from rate_tables.exact import round_half_away, stored_as, widened
from rate_tables.fallbacks import class_key, effective_of, with_fallbacks
from rate_tables.looked_up import looked_up
from rate_tables.volume_units import SIZE_8NL
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


def _in_unit(volumes: ir.IntegerValue, of: ir.StringValue, unit: str) -> ir.IntegerValue:
    """Thousandths of the unit that each row names, as thousandths of ``unit``, rounded."""
    size = ibis.cases(*((of == name, ibis.literal(eights, "int64")) for name, eights in SIZE_8NL.items()))
    return round_half_away(widened(volumes) * size, SIZE_8NL[unit])


def _with_decided(
    services: ir.Table, adjustments: ir.Table, refused_adjustments: ir.Table, decisions: ir.Table, rule: AveragingRule
) -> ir.Table:
    """Services with set_average_thousandths, keeps_prior_average and set_by: what an entry or a decision says of the average.

    A decision comes after the entries of the sheet; of several about one service the last one counts.
    """
    entered = overrides(adjustments, refused_adjustments)
    decided = standing(decisions, "set_average", "prior_average")
    said = ibis.union(
        entered.select(
            "service_id", average=stored_as(_in_unit(entered.average_thousandths, entered.volume_unit, rule.unit.value), "int64"), keeps=ibis.literal(False),
            by=ibis.literal("adjustment ") + entered.adjustment_id, place=ibis.literal("1 ") + entered.adjustment_id,
        ),
        decided.select(
            "service_id", average=decided.average_thousandths, keeps=decided.decision == "prior_average",
            by=ibis.literal("decision ") + decided.decision_id, place=ibis.literal("2 ") + decided.decision_id,
        ),
    )  # fmt: skip
    # A struct, because the last of several is taken as it is: where it sets no average, none is taken from those before.
    last = said.group_by("service_id").agg(
        said=ibis.struct({k: said[k] for k in ("average", "keeps", "by")}).argmax(said.place)
    )
    last = last.select(
        "service_id",
        set_average_thousandths=last.said["average"],
        keeps_prior_average=last.said["keeps"],
        set_by=last.said["by"],
    )
    found = looked_up(services, last, "service_id", "set_average_thousandths", "keeps_prior_average", "set_by")
    return found.mutate(keeps_prior_average=found.keeps_prior_average.fill_null(False))


def _with_history_note(
    services: ir.Table, irregular_use: ir.Table, adjusted_consumption: ir.Table, year: Year
) -> ir.Table:
    """Services with history_note (what was found of whose winter it is) and has_left_out (periods that do not count)."""
    i = irregular_use.filter(irregular_use.rule_id.startswith("history."))
    notes = i.group_by("service_id").agg(history_note=i.message.group_concat("; ", order_by=i.rule_id))
    first_day, day_after = (ibis.literal(day) for day in year.use_dates)
    a = adjusted_consumption
    left = a.filter(a.is_left_out & (a.period_end > first_day) & (a.period_start < day_after))
    left = left.select("service_id", has_left_out=ibis.literal(True)).distinct()
    found = looked_up(looked_up(services, notes, "service_id", "history_note"), left, "service_id", "has_left_out")
    return found.mutate(has_left_out=found.has_left_out.fill_null(False))


@stage(
    BILLING_BASIS,
    "billing_basis",
    by_slice=True,
    built_once=True,
    follows=("rate_schedule",),
    by_service=("adjustments", "refused_adjustments", "decisions"),
)
def billing_basis(
    winter_averages: ir.Table,
    class_averages: ir.Table,
    sewer_services: ir.Table,
    meter_links: ir.Table,
    current_averages: ir.Table,
    delivery_totals: ir.Table,
    adjustments: ir.Table,
    refused_adjustments: ir.Table,
    decisions: ir.Table,
    irregular_use: ir.Table,
    adjusted_consumption: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """The winter average of each service under the schedule's averaging rule, and how it came about.

    computed or adjusted: from enough of its own winter. override: a person set it, by an entry or a decision. carried_forward: its district has not delivered. previous_occupant,
    prior_year, class_average, default: not enough history, in the order the schedule states. fixed: by EDU. held: a person has
    to decide. excluded: not averaged, with the reason in ``derivation_note``.
    """
    rule = year.averaging.schedule.averaging
    services = _with_awaited(_with_prior(sewer_services, current_averages, rule), meter_links, delivery_totals, year)
    services = _with_decided(services, adjustments, refused_adjustments, decisions, rule)
    services = _with_history_note(services, irregular_use, adjusted_consumption, year)
    services = services.mutate(class_key=class_key(services, rule))
    services = looked_up(services, class_averages, "class_key", "class_average_thousandths")
    own = winter_averages.drop("slice_id")
    s = looked_up(services, own, "service_id", *(c for c in own.columns if c != "service_id"))
    return with_fallbacks(s, rule, year.effective).mutate(
        volume_unit=ibis.literal(rule.unit.value),
        effective_date=effective_of(s, rule, year.effective),
        rule_file=ibis.literal(year.averaging.file),
    )
