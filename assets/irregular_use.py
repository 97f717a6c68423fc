"""What is irregular about use: findings per service, the corrections they propose, each district against last year.

Belongs here: giving the rules of use the tables of a slice, this year's and last year's.
Does not belong here: the rules (``validations.review``), other findings (``findings``), decisions about them.
"""

from __future__ import annotations

from functools import partial

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from assets.adjusted_consumption import last_steps
from assets.kept import Bench
from assets.stage import stage, year_version
from validations.review import OF_USE, Rule, all_findings, as_findings
from validations.review.of_districts import district_use as use_of_district
from validations.review.of_meters import RULES_THAT_PROPOSE, proposed_by_rules
from validations.review.use import (
    Use,
    classes_of,
    crowded_of,
    doubled_of,
    followed_of,
    followed_together,
    last_year_of,
    links_of,
    looked_at,
    meters_of,
    named_of,
    odd_periods_of,
    periods_of,
    reads_of,
    records_of,
    services_of,
    several_of,
    usual_of,
)
from validations.tables import DISTRICT_USE, IRREGULAR_USE, NO_DISTRICT, PROPOSED_CORRECTIONS, SEVERAL_DISTRICTS
from validations.workspace import Year


def _records(
    consumption: ir.Table,
    adjustment_steps: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    links: ir.Table,
) -> ir.Table:
    return records_of(consumption, last_steps(adjustment_steps), prior_consumption, prior_adjusted_consumption, links)


def _several(doubled: ir.Table, consumption: ir.Table, adjustment_steps: ir.Table, links: ir.Table) -> ir.Table:
    return several_of(doubled, consumption, last_steps(adjustment_steps), links)


def _records_to_judge(**tables: ir.Table) -> ir.Table:
    """Without the rows of consumption that a correction would change: no rule looks at them."""
    return _records(**tables).drop("source_file", "source_row", "source_column")


def _laid_out(inputs: dict[str, ir.Table], year: Year, *, to_propose: bool = False) -> Bench:
    """A bench with the tables of use, each computed once: rules read them many times.

    ``to_propose``: for rules that say what should count; they look at reads and what is usual, and at nothing beside.
    """
    bench = Bench(inputs, year_version(year))
    lay = bench.shown if to_propose else bench.keep
    bench.keep("links", links_of, "service_consumption", "prior_service_consumption", "sewer_services")
    bench.keep("meters", meters_of, "links")
    bench.keep("named", named_of, "meters")
    bench.keep("services", services_of, "named", "sewer_services")
    records = _records if to_propose else _records_to_judge
    bench.keep(
        "records",
        records,
        "consumption",
        "adjustment_steps",
        "prior_consumption",
        "prior_adjusted_consumption",
        "links",
    )
    bench.keep("records_followed", followed_of, "records")
    bench.keep("reads", reads_of, "records", "records_followed")
    lay("doubled", doubled_of, "reads", "meters")
    lay("several", _several, "doubled", "consumption", "adjustment_steps", "links")
    bench.keep("followed", followed_together, "reads", "records_followed")
    bench.keep("crowded", crowded_of, "reads", "meters", "followed")
    bench.keep("periods", partial(periods_of, year=year), "reads", "crowded")
    bench.keep("usual", usual_of, "periods")
    lay("classes", classes_of, "usual", "services")
    odd_periods = partial(odd_periods_of, limits=year.review_limits.rules)
    lay("odd_periods", odd_periods, "periods", "usual", "services")
    lay("last_year", last_year_of, "odd_periods", "usual")
    lay("looked", looked_at, "odd_periods", "last_year", "usual")
    return bench


def _use(year: Year, **tables: ir.Table) -> Use:
    """``tables``: those that are ``_laid_out``."""
    return Use(**tables, window=(ibis.literal(year.window_start), ibis.literal(year.window_end)))


_USE = ("services", "meters", "named", "reads", "several", "followed", "crowded", "usual", "classes", "looked")


def _is_without_rows(table: ir.Table) -> bool:
    """Whether nobody delivered anything: services of no district have no consumption."""
    op = table.op()
    return isinstance(op, ops.InMemoryTable) and not len(op.data.to_pyarrow(op.schema))


@stage(IRREGULAR_USE, "review", by_slice=True)
def irregular_use(
    consumption: ir.Table,
    service_consumption: ir.Table,
    sewer_services: ir.Table,
    adjustment_steps: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    prior_service_consumption: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """What is irregular about the use of each service, after the entries of the adjustment sheet and before decisions."""
    inputs = {
        "consumption": consumption, "service_consumption": service_consumption, "sewer_services": sewer_services,
        "adjustment_steps": adjustment_steps, "prior_consumption": prior_consumption,
        "prior_adjusted_consumption": prior_adjusted_consumption, "prior_service_consumption": prior_service_consumption,
    }  # fmt: skip

    limits = year.review_limits.rules
    if _is_without_rows(consumption) and _is_without_rows(prior_consumption):
        return all_findings(OF_USE, limits=limits, sewer_services=sewer_services, year=year)

    def found_by(rule: Rule, sewer_services: ir.Table, **tables: ir.Table) -> ir.Table:
        given = {"use": _use(year, **tables), "limits": limits, "sewer_services": sewer_services, "year": year}
        return rule.function(*(given[name] for name in rule.reads))

    def together(named: ir.Table, **found: ir.Table) -> ir.Table:
        return as_findings(list(found.values()), named)

    bench = _laid_out(inputs, year)
    parts = {f"found_by_{rule.function.__name__}": rule for rule in OF_USE}
    for name, rule in parts.items():
        # Each by itself: a cluster plans and hands out one statement of all rules in the square of their number.
        bench.keep(name, partial(found_by, rule), "sewer_services", *_USE)
    return bench.keep("found", together, "named", *parts)


@stage(PROPOSED_CORRECTIONS, "review", by_slice=True)
def proposed_corrections(
    consumption: ir.Table,
    service_consumption: ir.Table,
    sewer_services: ir.Table,
    adjustment_steps: ir.Table,
    irregular_use: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    prior_service_consumption: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """What would count of each row if a finding's proposal were accepted. Nothing of it counts until a person has decided.

    Only services with such a finding are looked at again: what is proposed for a service rests on its own reads alone.
    """
    if _is_without_rows(consumption) and _is_without_rows(prior_consumption):
        return PROPOSED_CORRECTIONS.empty()
    found = irregular_use.filter(irregular_use.rule_id.isin(list(RULES_THAT_PROPOSE))).select("service_id").distinct()
    inputs = {
        "consumption": consumption, "service_consumption": service_consumption.semi_join(found, "service_id"),
        "sewer_services": sewer_services.semi_join(found, "service_id"), "adjustment_steps": adjustment_steps,
        "prior_consumption": prior_consumption, "prior_adjusted_consumption": prior_adjusted_consumption,
        "prior_service_consumption": prior_service_consumption.semi_join(found, "service_id"),
    }  # fmt: skip

    def proposed(**tables: ir.Table) -> ir.Table:
        return proposed_by_rules(_use(year, **tables), year.review_limits.rules)

    return _laid_out(inputs, year, to_propose=True).keep("proposed", proposed, *_USE)


@stage(DISTRICT_USE, "review", by_slice=True)
def district_use(consumption: ir.Table, prior_consumption: ir.Table, *, year: Year, slice_id: str) -> ir.Table:
    """Accounts, volume, months and the middle of use a day of a district's delivery, beside last year's."""
    if slice_id in (SEVERAL_DISTRICTS, NO_DISTRICT):
        return DISTRICT_USE.empty()

    def compared(consumption: ir.Table, prior_consumption: ir.Table) -> ir.Table:
        district = consumption.select("district_id").distinct()
        return district.cross_join(use_of_district(consumption, prior_consumption, year))

    bench = Bench({"consumption": consumption, "prior_consumption": prior_consumption}, year_version(year))
    return bench.keep("compared", compared, "consumption", "prior_consumption")
