"""Reconciliation: what must be equal from the delivered files to the bills, with both figures side by side.

Belongs here: giving the identities their tables.
Does not belong here: the identities (``validations.identities``), judging them (``validations.checks``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from validations.identities import identities_of_files, identities_of_volume, identities_of_year
from validations.tables import RECONCILIATION


@stage(RECONCILIATION, "release", built_once=True)
def reconciliation(
    delivery_totals: ir.Table,
    delivered_volume: ir.Table,
    rejected_rows: ir.Table,
    sewer_services: ir.Table,
    billing_basis: ir.Table,
    bills: ir.Table,
    bill_lines: ir.Table,
    volume_account: ir.Table,
    counted_volume: ir.Table,
    winter_averages: ir.Table,
) -> ir.Table:
    """Rows and volume of each delivery down to the averages, services, bills and shares: both sides of each identity, and the
    difference."""
    every = delivered_volume.filter(delivered_volume.fate == "")
    taken = every.select("district_id", "source_file", n="records", q="delivered_quantity_thousandths")
    return ibis.union(
        *identities_of_files(delivery_totals, taken, rejected_rows),
        *identities_of_volume(volume_account, counted_volume, winter_averages, billing_basis),
        *identities_of_year(sewer_services, billing_basis, bills, bill_lines),
    )
