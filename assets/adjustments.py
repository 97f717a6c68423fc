"""Adjustments: what staff entered about a meter's volume in a period, and the rows of consumption it changes.

Belongs here: taking the sheet in, the differences it makes.
Does not belong here: averaging, what an adjustment is worth in dollars.

Originals stay: ``adjusted_consumption`` holds differences only, and a row that it does not name counts as billed.
"""

from collections.abc import Iterator

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.deliveries import content_hash_of
from assets.readers.office_sheet import OfficeSheet, read_office_sheet
from assets.readers.sheet import UnreadableFile
from assets.stage import (
    Making,
    Session,
    Slice,
    asset_out,
    stage,
    version_of,
    years_of,
)
from assets.store import WHOLE
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_SHEET,
    ADJUSTMENTS,
    REJECTED_ROWS,
)
from validations.workspace import Workspace

METER_PERIOD = ["district_id", "district_account", "meter_id", "period_start", "period_end"]


def _read(session: Session, billing_year: int) -> OfficeSheet:
    path = session.workspace.adjustments(billing_year)
    if not path.exists():
        return OfficeSheet(ADJUSTMENTS.empty(), REJECTED_ROWS.empty())
    shown = f"adjustments/{path.name}"
    try:
        return read_office_sheet(
            session.store.con, path, shown, ADJUSTMENT_SHEET, ADJUSTMENTS, (), session.workspace.work / "scratch"
        )
    except UnreadableFile as error:
        raise dg.Failure(f"{shown}: {error}; mend the sheet and run again.", allow_retries=False) from None


def adjustment_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster assets ``adjustments`` and ``rejected_rows/adjustments``."""

    @dg.multi_asset(
        name="adjustment_sheet",
        outs={
            "adjustments": asset_out(ADJUSTMENTS, workspace, None, "adjustment", "Consumption adjustments as entered"),
            "adjustments_rejected_rows": asset_out(
                REJECTED_ROWS, workspace, ADJUSTMENT_SHEET, "delivery_details",
                "Rows of the adjustment sheet that cannot be used, and why",
            ),
        },
        partitions_def=years_of(workspace),
        required_resource_keys={"session"},
    )  # fmt: skip
    def _adjustments(context: dg.AssetExecutionContext) -> Iterator[dg.Output[Making]]:
        session: Session = context.resources.session
        year = int(context.partition_key)
        path = session.workspace.adjustments(year)
        sheet = _read(session, year)
        version = version_of("adjustments", content_hash_of(path) if path.exists() else "none")
        yield dg.Output(
            Making(ADJUSTMENTS, year, {WHOLE: Slice(version, lambda: sheet.rows)}), output_name="adjustments"
        )
        yield dg.Output(
            Making(REJECTED_ROWS, year, {ADJUSTMENT_SHEET: Slice(version, lambda: sheet.rejected)}),
            output_name="adjustments_rejected_rows",
        )

    return _adjustments


@stage(ADJUSTED_CONSUMPTION, "adjustment", by_slice=True)
def adjusted_consumption(consumption: ir.Table, adjustments: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """Registered, billed and adjusted volume side by side, where an adjustment changes what counts.

    An adjustment names one meter and one delivered period, in the district's unit. One that meets no row, or two, changes
    nothing and is a finding.
    """
    ours = adjustments.semi_join(sewer_services, "service_id")
    entries = ours.select("adjustment_id", "service_id", *METER_PERIOD, "volume_unit", "adjusted_volume_thousandths")
    met = entries.inner_join(consumption, [*METER_PERIOD, "volume_unit"])
    alone = met.group_by(METER_PERIOD).agg(times=ibis._.count()).filter(ibis._.times == 1)
    return met.semi_join(alone, METER_PERIOD)
