"""Findings: what a person should look at before the year is released.

Belongs here: giving the rules about deliveries, the office's sheets and districts their tables, and adding those about use.
Does not belong here: the rules (``validations.review``), what services used (``irregular_use``), decisions about findings.
"""

from __future__ import annotations

import ibis.expr.types as ir

from assets.stage import stage
from validations.review import OF_OFFICE, all_findings
from validations.tables import FINDINGS
from validations.workspace import Year


@stage(FINDINGS, "review", built_once=True)
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
    of_office = all_findings(
        OF_OFFICE, deliveries=deliveries, delivery_totals=delivery_totals, rejected_rows=rejected_rows, meters=meters,
        service_consumption=service_consumption, unmatched=unmatched, extract_changes=extract_changes,
        sewer_services=sewer_services, adjustments=adjustments, past_adjustments=past_adjustments,
        refused_adjustments=refused_adjustments, district_use=district_use, limits=year.review_limits.rules, year=year,
    )  # fmt: skip
    # A meter that was changed is one finding, whether or not the CIS knows of it; what it does not know weighs more.
    return of_office.union(irregular_use.anti_join(of_office, "finding_id"))
