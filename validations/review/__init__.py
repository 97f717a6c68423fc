"""Rules that find what a person should look at.

Belongs here: the list of rules, each with the tables it reads and why there is such a rule.
Does not belong here: the rules (the modules ``of_...``), what must add up (``validations.checks``), correcting anything: a rule
proposes, a person decides.

A rule is a small function: tables in, findings out. It has a dotted id that never changes, a severity, a message, its evidence and
a remedy; its limits are in ``rate_tables/review_limits_by_date``. Severities: ``info`` (good to know), ``review`` (somebody should look),
``must_decide`` (nothing is released before).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from validations.review import (
    of_adjustments,
    of_decisions,
    of_deliveries,
    of_districts,
    of_history,
    of_matching,
    of_meters,
    of_periods,
    of_use,
)
from validations.review.finding import of_services


@dataclass(frozen=True)
class Rule:
    """A rule, what it reads by name (tables, ``use``, ``limits``, ``year``), and what is known of such findings elsewhere."""

    function: Callable[..., ir.Table]
    reads: tuple[str, ...]
    citation: str


_AUDIT = "city auditors: consumption histories billed without a review (Austin 2014: 91 % of reads)"
_LISTED = (
    "what is wrong in consumption histories: estimates, change-outs, rollovers, units, cycles (AWWA M36; city audits)"
)

OF_OFFICE = [
    Rule(of_deliveries.delivery_not_received, ("deliveries",), "districts lag: readings are due by the 15th of the month after (Johnstown PA)"),
    Rule(of_deliveries.delivery_not_taken, ("deliveries",), _AUDIT),
    Rule(of_deliveries.delivery_not_checked, ("deliveries",), _AUDIT),
    Rule(of_deliveries.delivery_sent_before, ("deliveries",), "the same delivery twice is among the faults found in histories"),
    Rule(of_deliveries.delivery_of_another_district, ("deliveries",), "duplicate files are among the faults found in histories"),
    Rule(of_deliveries.delivery_unreadable, ("delivery_totals",), _AUDIT),
    Rule(of_deliveries.delivery_control_total, ("delivery_totals",), "trailers carry a record count and control totals (Neptune, Sensus)"),
    Rule(of_deliveries.delivery_refused_rows, ("rejected_rows",), _AUDIT),
    Rule(of_deliveries.delivery_without_records, ("delivery_totals",), _AUDIT),
    Rule(of_deliveries.delivery_off_cycle, ("delivery_totals",), "CalTRACK: periods beyond 25 to 35 days, or 70 two-monthly"),
    Rule(of_deliveries.delivery_outside_winter, ("delivery_totals", "year"), "last year's file sent again"),
    Rule(of_districts.district_not_compared, ("district_use",), "a difference needs two years"),
    Rule(of_districts.district_unit_changed, ("district_use", "limits"), "a district that changes its unit shows as one ratio in all of its file"),
    Rule(of_districts.district_volume_changed, ("district_use", "limits"), _AUDIT),
    Rule(of_districts.district_accounts_changed, ("district_use", "limits"), _AUDIT),
    Rule(of_districts.district_month_missing, ("district_use", "limits"), "Santa Monica's data: July 2015 has 96 rows"),
    Rule(of_districts.district_stuck_value, ("district_use", "limits"), "the same value repeated across a whole file"),
    Rule(of_districts.district_winter_median_moved, ("district_use", "limits"), _AUDIT),
    Rule(of_districts.district_bills_share_months, ("district_use", "limits"), "Santa Monica's data: bills named by a month, read on other days"),
    Rule(of_matching.match_meter_in_two_districts, ("meters_of_one_number", "service_consumption", "sewer_services"), _LISTED),
    Rule(of_matching.match_service_without_consumption, ("unmatched",), "account numbers re-mapped, leading zeros lost, a check digit added"),
    Rule(of_matching.match_account_without_service, ("unmatched",), "water accounts without sewer in every delivery, every year"),
    Rule(of_matching.extract_changed, ("extract_changes",), _AUDIT),
    Rule(of_matching.service_class_changed, ("extract_changes",), "Santa Monica's data: 908 customers change class"),
    Rule(of_meters.meter_rollover, ("meters", "service_consumption"), "rollover: (10^dials - previous) + current"),
    Rule(of_meters.meter_changed_unknown, ("unmatched", "service_consumption", "meters"), "a change-out gives two partial readings in one period"),
    Rule(of_adjustments.adjustment_refused, ("refused_adjustments",), "$228,146 adjusted without approval (Marlborough 2018)"),
    Rule(of_adjustments.adjustment_unreadable, ("rejected_rows",), "$228,146 adjusted without approval (Marlborough 2018)"),
    Rule(of_decisions.decision_unreadable, ("rejected_rows",), "what is decided once holds until the data changes"),
    Rule(of_adjustments.adjustment_to_renew, ("past_adjustments", "adjustments", "year"), "deductions are certified yearly or lapse"),
]  # fmt: skip
"""Rules about what came in and what the office entered."""

OF_USE = [
    Rule(of_periods.period_gap, ("use", "limits"), "CalTRACK asks for 90 % coverage"),
    Rule(of_periods.period_overlap, ("use", "limits"), "duplicate rows and files"),
    Rule(of_periods.period_several_figures, ("use",), "Santa Monica's data: 23,696 rows repeat a customer and month"),
    Rule(of_periods.period_off_cycle, ("use", "limits"), "CalTRACK: periods beyond 25 to 35 days, or 70 two-monthly"),
    Rule(of_use.use_high, ("use", "limits"), "Atlanta's auditor: over 50 % above the mean; Ventura: over 200 %; Rubicon: scaled by size"),
    Rule(of_use.use_low, ("use", "limits"), "microsabio: 50 % either side; Infor: bands from lowest to highest"),
    Rule(of_use.use_tenfold, ("use", "limits"), _LISTED),
    Rule(of_use.use_placeholder, ("use", "limits"), "Santa Monica's data: 9,999 and 10,000 where nothing was read"),
    Rule(of_use.use_negative, ("use", "limits"), "estimates, then one large negative correction (AWWA M36)"),
    Rule(of_use.use_zero_run, ("use", "limits"), "zero for several cycles: vacant, stuck or tampered"),
    Rule(of_use.use_on_inactive, ("use", "limits"), "use on an inactive account"),
    Rule(of_use.use_repeated_value, ("use", "limits"), "the same value repeated, for one account"),
    Rule(of_use.use_rising, ("use", "limits"), _LISTED),
    Rule(of_use.use_winter_above_summer, ("use", "limits"), _LISTED),
    Rule(of_use.use_per_dwelling_unit, ("use", "limits"), _LISTED),
    Rule(of_meters.meter_missed_rollover, ("use", "limits"), "rollover: (10^dials - previous) + current"),
    Rule(of_meters.meter_changed_out, ("use", "limits"), "a change-out gives two partial readings in one period: add them"),
    Rule(of_meters.meter_multiplier_changed, ("use", "limits"), _LISTED),
    Rule(of_meters.read_estimated_run, ("use", "limits"), "at most two estimates in a row is usual (city audits)"),
    Rule(of_meters.read_estimate_then_correction, ("use",), "AWWA M36: 22 months at 885 cf, then -4,132 where 825 were used"),
    Rule(of_meters.account_many_meters, ("use", "limits"), "Santa Monica's data: one customer id with 710 winter rows"),
    Rule(of_history.moved_in_during_winter, ("sewer_services", "year"), "a new owner's figure follows the address (Pima, Bozeman)"),
    Rule(of_history.low_before_occupant, ("sewer_services", "limits", "year"), "builder's water before the first occupant"),
    Rule(of_history.vacant_in_winter, ("use", "limits"), "seasonal vacancy: a low winter that is not the customer's"),
]  # fmt: skip
"""Rules about what a service used; made slice by slice."""

RULES = [*OF_OFFICE, *OF_USE]
"""Every rule of review."""


def all_findings(rules: Sequence[Rule], **given: Any) -> ir.Table:
    """Findings of those of the rules that get all they read."""
    made = [r.function(*(given[name] for name in r.reads)) for r in rules if set(r.reads) <= given.keys()]
    return as_findings(made, given["use"].named if "use" in given else None)


def as_findings(found: list[ir.Table], named: ir.Table | None) -> ir.Table:
    """What several rules found as one table. ``named``: ids for the numbers of services and districts, where rules of use are among them."""
    numbered = [table for table in found if "service" in table.columns]
    others = [table for table in found if "service" not in table.columns]
    return ibis.union(*others, *([of_services(numbered, named)] if numbered else []))
