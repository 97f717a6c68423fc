"""Decisions about findings: what ``decisions/YEAR.csv`` holds, met with the findings as they are.

Belongs here: reading that file, which decision about a finding is the one in force.
Does not belong here: writing it (``pipelines.review.taking_in``), what a decision changes (``adjusted_consumption``,
``billing_basis``).

A decision is tied to the evidence that it was made on. Where that changes, the decision is stale: it changes nothing, and the
finding waits for a person again. Every decision ever taken in stays.
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
from assets.stage import Making, Session, Slice, asset_out, stage, version_of, years_of
from assets.store import WHOLE
from rate_tables.config_file import ConfigError
from rate_tables.looked_up import looked_up
from validations.tables import DECISION_ENTRIES, DECISION_SHEET, DECISIONS, REJECTED_ROWS
from validations.workspace import Workspace

_LONG_TEXTS = ("finding_id", "evidence_seen")


def read_decisions(con: Any, path: Path, scratch: Path) -> OfficeSheet:
    """The decisions of a year's file; without rows if there is none. ConfigError if it is there and is no such file."""
    if not path.exists():
        return OfficeSheet(DECISION_ENTRIES.empty(), REJECTED_ROWS.empty())
    shown = f"decisions/{path.name}"
    try:
        return read_office_sheet(
            con, path, shown, DECISION_SHEET, DECISION_ENTRIES, (), scratch, long_texts=_LONG_TEXTS
        )
    except (UnreadableFile, OSError) as error:
        reason = str(error) if isinstance(error, UnreadableFile) else f"it cannot be read ({error.strerror})"
        raise ConfigError(
            f"{shown}: {reason.removeprefix(f'{shown}: ')}; put back the file as `annual-billing decide` wrote it."
        ) from None


def decision_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster assets ``decision_entries`` and ``rejected_rows/decisions``."""

    @dg.multi_asset(
        name="decision_sheet",
        outs={
            "decision_entries": asset_out(DECISION_ENTRIES, workspace, None, "review", "Decisions as they were taken in"),
            "decisions_rejected_rows": asset_out(
                REJECTED_ROWS, workspace, DECISION_SHEET, "delivery_details",
                "Rows of the file of decisions that cannot be used, and why",
            ),
        },
        partitions_def=years_of(workspace),
        required_resource_keys={"session"},
    )  # fmt: skip
    def _decisions(context: dg.AssetExecutionContext) -> Iterator[dg.Output[Making]]:
        session: Session = context.resources.session
        year, con = int(context.partition_key), session.store.con
        path = session.workspace.decisions(year)
        try:
            sheet = read_decisions(con, path, session.workspace.scratch)
        except ConfigError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        version = version_of("decision_entries", content_hash_of(path) if path.exists() else "none")
        # Of the rows alone: what rests on rejected rows is not to be made again because somebody decided something.
        rejected = con.to_pyarrow(sheet.rejected.order_by("source_row")).to_pylist()
        rejected_version = version_of("decisions_rejected", rejected)
        entries = Making(DECISION_ENTRIES, year, {WHOLE: Slice(version, lambda: sheet.rows)})
        refused = Making(REJECTED_ROWS, year, {DECISION_SHEET: Slice(rejected_version, lambda: sheet.rejected)})
        yield dg.Output(entries, output_name="decision_entries")
        yield dg.Output(refused, output_name="decisions_rejected_rows")

    return _decisions


@stage(DECISIONS, "review", built_once=True)
def decisions(decision_entries: ir.Table, findings: ir.Table) -> ir.Table:
    """Every decision, and whether it stands: of several about a finding only the last one can, and only on unchanged evidence."""
    now = findings.select(
        "finding_id", hash_now="evidence_hash", evidence_now="evidence", service_now="service_id", rule_now="rule_id"
    )
    d = looked_up(decision_entries, now, "finding_id", "hash_now", "evidence_now", "service_now", "rule_now")
    is_last = d.decision_id == d.decision_id.max().over(ibis.window(group_by="finding_id"))
    # Of a line that somebody wrote into the file: it is about its finding's service, and a missing figure sets no average.
    lacks_figure = (d.decision == "set_average") & d.average_thousandths.isnull()
    return d.mutate(
        service_id=ibis.coalesce(d.service_now, d.service_id),
        rule_id=ibis.coalesce(d.rule_now, d.rule_id),
        evidence_now=d.evidence_now.fill_null(""),
        status=ibis.cases(
            (~is_last, "superseded"),
            (d.hash_now.isnull(), "without_finding"),
            ((d.hash_now == d.evidence_hash) & ~lacks_figure, "stands"),
            else_="stale",
        ),
    )
