"""Findings: what a person should look at before the year is released.

Belongs here: giving the rules their tables.
Does not belong here: the rules (``validations.review_rules``), decisions about findings.
"""

from __future__ import annotations

import ibis.expr.types as ir

from assets.stage import stage
from validations.review_rules import all_findings
from validations.tables import FINDINGS
from validations.workspace import Year


@stage(FINDINGS, "review")
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
    adjusted_consumption: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """What is irregular, each with its evidence and what to do. ``must_decide`` stands in the way of release."""
    return all_findings(
        deliveries=deliveries, delivery_totals=delivery_totals, rejected_rows=rejected_rows, meters=meters,
        service_consumption=service_consumption, unmatched=unmatched, extract_changes=extract_changes,
        sewer_services=sewer_services, adjustments=adjustments, adjusted_consumption=adjusted_consumption, year=year,
    )  # fmt: skip
