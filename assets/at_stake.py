"""What is at stake: findings about services, each with what it is worth.

Belongs here: what the average and the bills of a year would be if a finding were decided the other way, and what its rule proposes.
Does not belong here: rules, the list and its order (``worklist``), averaging and rating themselves.

The other way is computed by the code that averages and bills: each finding's service is taken as a service of its own, under
the finding's id, with the other consumption or the other average.
"""

from __future__ import annotations

from functools import partial

import ibis
import ibis.expr.types as ir

from assets.adjusted_consumption import RECORD, last_steps, standing
from assets.bills import bill_lines, bills
from assets.kept import Bench
from assets.stage import SERVICES_TOGETHER, stage, year_version
from rate_tables.averaging import averages_of_services
from rate_tables.exact import stored_as
from rate_tables.looked_up import looked_up
from validations.tables import ADJUSTED_CONSUMPTION, AT_STAKE
from validations.workspace import Year

PRIOR_AVERAGE_RULES = (
    "use.high", "use.negative", "use.placeholder", "use.tenfold", "use.rising", "use.winter_above_summer",
)  # fmt: skip
"""Rules that doubt a volume: as long as nobody knows the right one, the average in force is the better figure."""
LEAVE_OUT_RULES = ("history.vacant_in_winter", "use.zero_run")
"""Rules about a time in which nothing was used."""
SET_AVERAGE = ("set_average", "prior_average")
"""Decisions that say the average itself."""
_NOT_FROM_USE = ("override", "fixed", "carried_forward", "excluded")
_METER = ["district_id", "district_account", "meter_id"]


def _with_decision(findings: ir.Table, decisions: ir.Table) -> ir.Table:
    """Findings with decision, decision_id and decision_status of the decision in force or the stale one; empty without."""
    last = decisions.filter(decisions.status.isin(["stands", "stale"]))
    last = last.select("finding_id", "decision", "decision_id", decision_status="status")
    found = looked_up(findings, last, "finding_id", "decision", "decision_id", "decision_status")
    return found.mutate(
        decision=found.decision.fill_null(""),
        decision_id=found.decision_id.fill_null(""),
        decision_status=found.decision_status.fill_null(""),
    )


def _other_use(
    asked: ir.Table,
    proposed_corrections: ir.Table,
    used: ir.Table,
    adjusted_consumption: ir.Table,
    adjustment_steps: ir.Table,
) -> ir.Table:
    """``adjusted_consumption`` of each finding the other way, under the finding's id: without what its decision changed, or with what
    its rule proposes."""
    decided = adjusted_consumption.inner_join(
        asked.select("finding_id", "service_id", "decision_id", "by_decision"), "service_id"
    )
    is_by_decision = decided.by_decision & decided.adjustment_id.contains(decided.decision_id)
    staying = decided.filter(~is_by_decision)
    # What an entry of the sheet said of the row before the decision holds again without it.
    entered = last_steps(adjustment_steps).select(*RECORD, "volume_thousandths", "is_left_out", "by")
    again = decided.filter(is_by_decision).drop("is_left_out").inner_join(entered, RECORD)
    again = again.mutate(adjusted_volume_thousandths=again.volume_thousandths, adjustment_id=again.by)
    undecided = asked.filter(~asked.by_decision).select("finding_id")
    proposed = proposed_corrections.inner_join(undecided, "finding_id").select(
        "finding_id", *RECORD, "proposed_volume_thousandths"
    )
    staying = staying.anti_join(proposed, ["finding_id", *RECORD])
    met = used.inner_join(proposed, RECORD)
    met = met.mutate(
        adjusted_volume_thousandths=met.proposed_volume_thousandths,
        is_left_out=ibis.literal(False),
        adjustment_id=met.finding_id,
    )
    parts = (table.mutate(service_id=table.finding_id) for table in (staying, again, met))
    return ibis.union(*(ADJUSTED_CONSUMPTION.conform(part) for part in parts))


def _under_finding_id(table: ir.Table, listed: ir.Table) -> ir.Table:
    """Rows of each finding's service, with the finding's id in the place of the service's."""
    met = table.inner_join(listed.select("finding_id", "service_id"), "service_id")
    return met.mutate(service_id=met.finding_id).select(*table.columns)


def _of_findings(**tables: ir.Table) -> ir.Table:
    """The same of two tables, of which the second holds the findings."""
    table, listed = tables.values()
    return _under_finding_id(table, listed)


def _averaged_other_way(
    used: ir.Table, asked_links: ir.Table, other_use: ir.Table, asked_services: ir.Table, *, year: Year
) -> ir.Table:
    """finding_id and recomputed_thousandths: the winter average of those whose other way is other consumption; null if there is not
    enough history, or the winter adds to less than zero."""
    rule = year.averaging.schedule.averaging
    averages = averages_of_services(used, asked_links, other_use, asked_services, rule, year.effective)
    is_known = averages.has_enough_history.fill_null(False) & (averages.winter_volume_thousandths >= 0)
    known = averages.filter(is_known)
    return known.select(finding_id="service_id", recomputed_thousandths="average_thousandths")


def _amounts(bills_of_year: ir.Table) -> ir.Table:
    """service_id and amount_a_year_cents: all bills of the year; null if one is held."""
    b = bills_of_year
    total = b.group_by("service_id").agg(
        cents=stored_as((b.amount_cents * b.bills_in_period).sum(), "int64"), held=b.amount_cents.isnull().any()
    )
    return total.select("service_id", amount_a_year_cents=ibis.ifelse(total.held, ibis.null("int64"), total.cents))


def _rated(weighed: ir.Table) -> ir.Table:
    """Findings whose other average differs."""
    other, now = weighed.other_average_thousandths, weighed.winter_average_thousandths
    return weighed.filter(other.notnull() & ~other.identical_to(now))


def _other_basis(rated: ir.Table, billing_basis: ir.Table) -> ir.Table:
    """``billing_basis`` of each finding with its other average, under the finding's id."""
    other = rated.select(service_id="finding_id", winter_average_thousandths="other_average_thousandths")
    basis = _under_finding_id(billing_basis, rated).drop("winter_average_thousandths")
    return looked_up(basis, other, "service_id", "winter_average_thousandths").select(*billing_basis.columns)


def _other_lines(other_basis: ir.Table, rated_services: ir.Table, rated_strengths: ir.Table, *, year: Year) -> ir.Table:
    return bill_lines(other_basis, rated_services, rated_strengths, year=year)


def _other_amounts(
    other_basis: ir.Table, other_lines: ir.Table, rated_services: ir.Table, rated_strengths: ir.Table, *, year: Year
) -> ir.Table:
    """finding_id and other_amount_a_year_cents of findings whose other average differs."""
    amounts = _amounts(bills(other_basis, other_lines, rated_services, rated_strengths, year=year))
    return amounts.select(finding_id="service_id", other_amount_a_year_cents="amount_a_year_cents")


def _weighed(listed: ir.Table, recomputed: ir.Table, *, year: Year) -> ir.Table:
    """Findings with other_average_thousandths and other_way."""
    f = looked_up(listed, recomputed, "finding_id", "recomputed_thousandths")
    first_day, day_after = (ibis.literal(day) for day in year.use_dates)
    is_outside = ((f.period_end <= first_day) | (f.period_start >= day_after)).fill_null(False)
    sets_average = f.by_decision & f.decision.isin(SET_AVERAGE)
    is_set = f.derivation.isin(_NOT_FROM_USE) | f.is_set_by_decision
    is_by_use = f.is_proposed | f.by_decision
    # Where the history is not enough, what stands in for it does whatever is decided about single rows.
    stays = f.recomputed_thousandths.isnull() & ~f.derivation.isin(["computed", "adjusted", "override", "held"])
    cases: list[tuple[ir.BooleanValue, ir.IntegerValue, str]] = [
        (is_set & ~sets_average, f.winter_average_thousandths, "the average does not rest on what was used"),
        (f.by_decision & ~stays, f.recomputed_thousandths, "as it is, without the decision"),
        (f.is_proposed & ~stays, f.recomputed_thousandths, "the proposed correction counts"),
        (is_by_use, f.winter_average_thousandths, "too little history: another average stands in either way"),
        (is_outside, f.winter_average_thousandths, "the period is outside the winter"),
        (f.prior_average_thousandths.notnull(), f.prior_average_thousandths, "the average in force stays"),
    ]
    return f.mutate(
        other_average_thousandths=ibis.cases(*((when, value) for when, value, _ in cases), else_=ibis.null("int64")),
        other_way=ibis.cases(
            *((when, words) for when, _, words in cases), else_="not known: there is no average in force"
        ),
    )


def _listed(
    findings: ir.Table,
    decisions: ir.Table,
    sewer_services: ir.Table,
    billing_basis: ir.Table,
    proposed_corrections: ir.Table,
) -> ir.Table:
    """Findings about services with their averages, and what is proposed or decided about them."""
    of_services = findings.filter((findings.severity != "info") & (findings.service_id != ""))
    basis = billing_basis.select("service_id", "winter_average_thousandths", "prior_average_thousandths", "derivation")
    listed = _with_decision(of_services, decisions).inner_join(
        sewer_services.select("service_id", "account_id"), "service_id"
    )
    listed = listed.inner_join(basis, "service_id")
    proposals = proposed_corrections.select("finding_id", is_proposed=ibis.literal(True)).distinct()
    listed = looked_up(listed, proposals, "finding_id", "is_proposed").mutate(
        is_proposed=ibis._.is_proposed.fill_null(False)
    )
    changed = (listed.decision_status == "stands") & (listed.decision != "as_it_is")
    listed = listed.mutate(by_decision=changed)
    set_by_decision = (
        standing(decisions, *SET_AVERAGE).select("service_id", is_set_by_decision=ibis.literal(True)).distinct()
    )
    listed = looked_up(listed, set_by_decision, "service_id", "is_set_by_decision")
    return listed.mutate(is_set_by_decision=listed.is_set_by_decision.fill_null(False))


def _in_dollars(weighed: ir.Table, bills: ir.Table, other_amounts: ir.Table) -> ir.Table:
    """Findings with the bills of a year both ways, what is at stake, most of it for one finding of the service, and what the rule
    proposes."""
    w = looked_up(
        looked_up(weighed, _amounts(bills), "service_id", "amount_a_year_cents"),
        other_amounts,
        "finding_id",
        "other_amount_a_year_cents",
    )
    is_same = (
        w.other_average_thousandths.identical_to(w.winter_average_thousandths) & w.other_average_thousandths.notnull()
    )
    w = w.mutate(other_amount_a_year_cents=ibis.ifelse(is_same, w.amount_a_year_cents, w.other_amount_a_year_cents))
    w = w.mutate(
        at_stake_a_year_cents=ibis.ifelse(
            w.derivation == "excluded", 0, (w.amount_a_year_cents - w.other_amount_a_year_cents).abs()
        )
    )
    of_service = ibis.window(group_by="service_id")
    w = w.mutate(
        most_of_service_cents=w.at_stake_a_year_cents.max().over(of_service),
        must_of_service=(w.severity == "must_decide").any().over(of_service),
        service_has_proposal=w.is_proposed.any().over(of_service),
    )
    return w.mutate(
        proposed_decision=ibis.cases(
            (w.is_proposed, "as_proposed"),
            # Where another rule knows the right volumes, the average in force would put them aside.
            (
                w.rule_id.isin(PRIOR_AVERAGE_RULES) & w.prior_average_thousandths.notnull() & ~w.service_has_proposal,
                "prior_average",
            ),
            (w.rule_id.isin(LEAVE_OUT_RULES) & w.period_start.notnull(), "leave_out"),
            else_="as_it_is",
        )
    )


@stage(
    AT_STAKE,
    "review",
    by_slice=True,
    follows=("rate_schedule",),
    by_service=("findings", "decisions"),
    together=4 * SERVICES_TOGETHER,
)
def at_stake(
    findings: ir.Table,
    proposed_corrections: ir.Table,
    decisions: ir.Table,
    billing_basis: ir.Table,
    bills: ir.Table,
    sewer_services: ir.Table,
    strengths: ir.Table,
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjusted_consumption: ir.Table,
    adjustment_steps: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """Findings about services with what they are worth: bills of a year with the average as it is, and decided the other way."""
    inputs = {
        "findings": findings, "proposed_corrections": proposed_corrections, "decisions": decisions, "billing_basis": billing_basis,
        "bills": bills, "sewer_services": sewer_services, "strengths": strengths, "consumption": consumption,
        "service_consumption": service_consumption, "adjusted_consumption": adjusted_consumption, "adjustment_steps": adjustment_steps,
    }  # fmt: skip
    bench = Bench(inputs, year_version(year))
    bench.keep("listed", _listed, "findings", "decisions", "sewer_services", "billing_basis", "proposed_corrections")
    bench.keep("asked", lambda listed: listed.filter(listed.is_proposed | listed.by_decision), "listed")
    bench.keep("asked_links", _of_findings, "service_consumption", "asked")
    bench.keep(
        "used",
        lambda consumption, asked_links: consumption.semi_join(asked_links, _METER),
        "consumption",
        "asked_links",
    )
    bench.keep(
        "other_use", _other_use, "asked", "proposed_corrections", "used", "adjusted_consumption", "adjustment_steps"
    )
    bench.keep("asked_services", _of_findings, "sewer_services", "asked")
    bench.keep(
        "recomputed", partial(_averaged_other_way, year=year), "used", "asked_links", "other_use", "asked_services"
    )
    bench.keep("weighed", partial(_weighed, year=year), "listed", "recomputed")
    bench.keep("rated", _rated, "weighed")
    bench.keep("other_basis", _other_basis, "rated", "billing_basis")
    bench.keep("rated_services", _of_findings, "sewer_services", "rated")
    bench.keep("rated_strengths", _of_findings, "strengths", "rated")
    bench.keep("other_lines", partial(_other_lines, year=year), "other_basis", "rated_services", "rated_strengths")
    bench.keep(
        "other_amounts",
        partial(_other_amounts, year=year),
        "other_basis",
        "other_lines",
        "rated_services",
        "rated_strengths",
    )
    return bench.shown("in_dollars", _in_dollars, "weighed", "bills", "other_amounts")
