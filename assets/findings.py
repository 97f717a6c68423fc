"""Findings: what a person should look at before the year is released.

Belongs here: giving the rules about deliveries, the office's sheets and districts their tables, and adding those about use.
Does not belong here: the rules (``validations.review``), what services used (``irregular_use``), decisions about findings.
"""

from __future__ import annotations

from functools import partial

import ibis.expr.types as ir

from assets.kept import Bench
from assets.stage import stage, year_version
from validations.review import OF_OFFICE, all_findings
from validations.review.of_matching import of_one_number
from validations.tables import FINDINGS
from validations.workspace import Year


@stage(FINDINGS, "review", traced=True)
def findings(
    deliveries: ir.Table,
    delivery_totals: ir.Table,
    rejected_rows: ir.Table,
    meters: ir.Table,
    service_consumption: ir.Table,
    unmatched: ir.Table,
    extract_changes: ir.Table,
    sewer_services: ir.Table,
    adjustments: ir.Table,
    past_adjustments: ir.Table,
    refused_adjustments: ir.Table,
    district_use: ir.Table,
    irregular_use: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """What is irregular, each with its evidence and what to do. ``must_decide`` stands in the way of release."""
    inputs = {
        "deliveries": deliveries, "delivery_totals": delivery_totals, "rejected_rows": rejected_rows, "meters": meters,
        "service_consumption": service_consumption, "unmatched": unmatched, "extract_changes": extract_changes,
        "sewer_services": sewer_services, "adjustments": adjustments, "past_adjustments": past_adjustments,
        "refused_adjustments": refused_adjustments, "district_use": district_use,
    }  # fmt: skip
    bench = Bench({**inputs, "irregular_use": irregular_use}, year_version(year))
    of_office = partial(all_findings, OF_OFFICE, limits=year.review_limits.rules, year=year)
    # They are few: with all meters the database would meet every meter with every other of its number first.
    bench.keep("meters_of_one_number", of_one_number, "meters")
    bench.keep("of_office", of_office, *inputs, "meters_of_one_number")
    return bench.shown("together", _together, "of_office", "irregular_use")


def _together(of_office: ir.Table, irregular_use: ir.Table) -> ir.Table:
    """A meter that was changed is one finding, whether or not the CIS knows of it; what it does not know weighs more."""
    return of_office.union(irregular_use.anti_join(of_office, "finding_id"))
