"""Consumption as it counts for sewer: registered, billed and adjusted volume side by side, where something changes what counts.

Belongs here: putting entered adjustments and decisions about findings together, row by row.
Does not belong here: the arithmetic of an adjustment (``adjustment_steps``), what a rule proposes (``irregular_use``), averages.

Originals stay: this table holds differences only, and a row that it does not name counts as billed. A decision comes after the
entries of the sheet, because what it was made on had them in it.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.kept import Bench
from assets.stage import stage
from validations.tables import ADJUSTED_CONSUMPTION

RECORD = ["district_id", "source_file", "source_row", "source_column"]
_METER = ["district_id", "district_account", "meter_id"]
_CHANGE = ["service_id", *RECORD, "volume_thousandths", "is_left_out", "place", "by"]


def last_steps(adjustment_steps: ir.Table) -> ir.Table:
    """One row per row of consumption: what all adjustments leave of it (volume_thousandths, is_left_out) and which (by)."""
    s = adjustment_steps
    return s.group_by([*RECORD, *_METER[1:]]).agg(
        volume_thousandths=s.after_volume_thousandths.argmax(s.place),
        is_left_out=s.is_left_out.any(),
        by=s.adjustment_id.group_concat("; ", order_by=s.place),
    )


def standing(decisions: ir.Table, *words: str) -> ir.Table:
    """The decisions in force that say one of ``words``."""
    return decisions.filter((decisions.status == "stands") & decisions.decision.isin(words))


def _changed(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjustment_steps: ir.Table,
    irregular_use: ir.Table,
    proposed_corrections: ir.Table,
    decisions: ir.Table,
) -> ir.Table:
    """One row per service and row of consumption that adjustments or decisions change: what they leave of it, and which do."""
    served = service_consumption.select("service_id", *_METER).distinct()
    entered = last_steps(adjustment_steps).inner_join(served, _METER).mutate(place=ibis.literal(1, "int64"))

    accepted = standing(decisions, "as_proposed").select("finding_id", by="decision_id")
    proposed = proposed_corrections.drop("service_id").inner_join(accepted, "finding_id").inner_join(served, _METER)
    proposed = proposed.group_by(["service_id", *RECORD]).agg(
        volume_thousandths=proposed.proposed_volume_thousandths.argmax(proposed.by), by=proposed.by.max()
    )
    proposed = proposed.mutate(is_left_out=ibis.literal(False), place=ibis.literal(2, "int64"))

    out = standing(decisions, "leave_out").select("finding_id", by="decision_id")
    out = irregular_use.select("finding_id", "service_id", begin="period_start", end="period_end").inner_join(
        out, "finding_id"
    )
    left = consumption.inner_join(served.inner_join(out, "service_id"), _METER)
    left = left.filter((left.period_start >= left.begin) & (left.period_end <= left.end))
    left = left.group_by(["service_id", *RECORD]).agg(by=left.by.max())
    left = left.mutate(
        volume_thousandths=ibis.null("int64"), is_left_out=ibis.literal(True), place=ibis.literal(3, "int64")
    )

    changes = ibis.union(*(part.select(*_CHANGE) for part in (entered, proposed, left)))
    return changes.group_by(["service_id", *RECORD]).agg(
        volume_thousandths=changes.volume_thousandths.argmax(changes.place, where=changes.volume_thousandths.notnull()),
        is_left_out=changes.is_left_out.any(),
        adjustment_id=changes.by.group_concat("; ", order_by=changes.place),
    )


def _as_changed(consumption: ir.Table, changed: ir.Table) -> ir.Table:
    met = consumption.inner_join(changed, RECORD)
    return met.mutate(adjusted_volume_thousandths=ibis.coalesce(met.volume_thousandths, met.billed_volume_thousandths))


@stage(ADJUSTED_CONSUMPTION, "adjustment", by_slice=True, traced=True)
def adjusted_consumption(
    consumption: ir.Table,
    service_consumption: ir.Table,
    adjustment_steps: ir.Table,
    irregular_use: ir.Table,
    proposed_corrections: ir.Table,
    decisions: ir.Table,
) -> ir.Table:
    """What counts of each row that adjustments or decisions change, and which of them say so.

    A changed volume is the meter's, and so counts for every service that the meter serves; a period that a decision leaves out
    is left out for the service that was decided about.
    """
    inputs = {
        "consumption": consumption, "service_consumption": service_consumption, "adjustment_steps": adjustment_steps,
        "irregular_use": irregular_use, "proposed_corrections": proposed_corrections, "decisions": decisions,
    }  # fmt: skip
    bench = Bench(inputs, ADJUSTED_CONSUMPTION.name)
    # What few rows are changed is known once they are kept: the engine would else expect as many as there is consumption.
    bench.keep("changed", _changed, *inputs)
    return bench.shown("as_changed", _as_changed, "consumption", "changed")
