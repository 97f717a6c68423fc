"""The adjustment sheet's front door: what staff entered for the year, and what earlier years' sheets still say.

Belongs here: taking the sheets in.
Does not belong here: what an entry changes and whether it may (``adjustment_steps``), the template (``pipelines.adjustment_sheet``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    version_of,
    years_of,
)
from assets.store import WHOLE, Store
from rate_tables.config_file import ConfigError
from validations.tables import (
    ADJUSTMENT_SHEET,
    ADJUSTMENTS,
    PAST_ADJUSTMENTS,
    REFUSED_ADJUSTMENTS,
    REJECTED_ROWS,
)
from validations.workspace import Workspace


def read_adjustments(con: Any, workspace: Workspace, billing_year: int, scratch: Path) -> OfficeSheet:
    """The year's sheet, CSV or workbook; without rows if there is none. ConfigError if it is there and is no such sheet."""
    path = workspace.adjustments(billing_year)
    if not path.exists():
        return OfficeSheet(ADJUSTMENTS.empty(), REJECTED_ROWS.empty())
    shown = f"adjustments/{path.name}"
    try:
        return read_office_sheet(con, path, shown, ADJUSTMENT_SHEET, ADJUSTMENTS, (), scratch)
    except (UnreadableFile, OSError) as error:
        reason = str(error) if isinstance(error, UnreadableFile) else f"it cannot be read ({error.strerror})"
        raise ConfigError(f"{shown}: {reason.removeprefix(f'{shown}: ')}; mend the sheet and run again.") from None


def past_adjustments(
    con: Any, workspace: Workspace, billing_year: int, years: int, scratch: Path, store: Store | None = None
) -> ir.Table:
    """Entries of the sheets of ``years`` earlier years, without those that the run of their year refused (as ``store`` has it)."""
    parts = [PAST_ADJUSTMENTS.empty()]
    for year in range(billing_year - years, billing_year):
        rows = read_adjustments(con, workspace, year, scratch).rows
        if store is not None:
            rows = rows.anti_join(store.read(REFUSED_ADJUSTMENTS, year, [WHOLE]), "adjustment_id")
        parts.append(PAST_ADJUSTMENTS.conform(rows.mutate(sheet_year=ibis.literal(year, "int64"))))
    return ibis.union(*parts)


def adjustment_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster assets ``adjustments``, ``past_adjustments`` and ``rejected_rows/adjustments``."""

    @dg.multi_asset(
        name="adjustment_sheet",
        outs={
            "adjustments": asset_out(ADJUSTMENTS, workspace, None, "adjustment", "Consumption adjustments as entered"),
            "past_adjustments": asset_out(
                PAST_ADJUSTMENTS, workspace, None, "adjustment", "What earlier years' sheets still say"
            ),
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
        store, year = session.store, session.workspace.year(int(context.partition_key))
        looked_back = year.adjustment_policy.rules.years_looked_back
        scratch = session.workspace.scratch
        try:
            sheet = read_adjustments(store.con, session.workspace, year.billing_year, scratch)
            past = past_adjustments(store.con, session.workspace, year.billing_year, looked_back, scratch, store)
        except ConfigError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

        def content(billing_year: int) -> str:
            path = session.workspace.adjustments(billing_year)
            return content_hash_of(path) if path.exists() else "none"

        before = range(year.billing_year - looked_back, year.billing_year)
        version = version_of("adjustments", content(year.billing_year))
        past_version = version_of(
            "past_adjustments", *((content(y), store.content(REFUSED_ADJUSTMENTS, y, WHOLE)) for y in before)
        )
        made = {
            "adjustments": Making(
                ADJUSTMENTS, year.billing_year, {WHOLE: Slice(version, lambda: sheet.rows)}
            ),
            "past_adjustments": Making(
                PAST_ADJUSTMENTS, year.billing_year, {WHOLE: Slice(past_version, lambda: past)}
            ),
            "adjustments_rejected_rows": Making(
                REJECTED_ROWS, year.billing_year, {ADJUSTMENT_SHEET: Slice(version, lambda: sheet.rejected)}
            ),
        }  # fmt: skip
        for name, making in made.items():
            yield dg.Output(making, output_name=name)

    return _adjustments
