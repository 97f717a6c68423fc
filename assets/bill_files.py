"""Bill files: what would leave the house, one file per billing agency.

Belongs here: the layout of the file, its header and control record, writing all files of a year or none, showing them.
Does not belong here: computing what is in it, approving it.

These files are drafts: each says in its name, its header and its control record that nobody has approved it yet. They lie in a folder
named by their hashes; ``bill_files/YEAR/draft`` leads to it once the run publishes its tables (``publication``). So readers see all drafts
of one state, the one of ``billing.duckdb``.

Layout (CSV, UTF-8, one header line of column names, then records told apart by ``record_type``):
``D`` detail, one per sewer service with an average; ``T`` the control record: records, sum of averages, sum of amounts.
"""

import csv
import hashlib
import io
import shutil
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.deliveries import content_hash_of
from assets.durable import force_to_disk
from assets.stage import Making, Session, Slice, asset_facts, with_next_step, years_of
from assets.store import WHOLE, Store
from rate_tables.exact import DECIMALS_OF_SUFFIX, truncating_divide
from validations.tables import BILL_FILES
from validations.workspace import Workspace, Year

APPROVAL = "not approved"
DRAFT = "draft"

COLUMNS = [
    "record_type", "approval", "billing_agency", "service_id", "account_id", "premise_id", "winter_average",
    "prior_average", "volume_unit", "derivation", "effective_date", "billing_frequency", "amount", "bill_status",
]  # fmt: skip


@ibis.udf.scalar.builtin(name="printf", signature=(("string", "int64", "int64"), "string"))
def _printf(pattern: str, whole_part: int, decimals: int) -> str:  # type: ignore[empty-body]
    """DuckDB's printf."""


def decimal_text(value: ir.IntegerValue, suffix: str) -> ir.StringValue:
    """A whole number that is never below zero as decimal text; empty if null."""
    decimals = DECIMALS_OF_SUFFIX[suffix]
    text = _printf(f"%d.%0{decimals}d", truncating_divide(value, 10**decimals), value % 10**decimals)
    return text.fill_null("")


def detail_records(billing_basis: ir.Table, bills: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """One row per sewer service with an average, in the file's columns and what its totals are of; amounts are of the year's first
    billing period."""
    premise = sewer_services.select("service_id", "premise_id")
    begins = bills.group_by("service_id").agg(period_start=bills.period_start.min())
    first = bills.semi_join(begins, ["service_id", "period_start"])
    facts = first.select("service_id", "billing_agency", "billing_frequency", "amount_cents", "status")
    rows = billing_basis.filter(billing_basis.winter_average_thousandths.notnull())
    rows = rows.inner_join(premise, "service_id").inner_join(facts, "service_id")
    return rows.mutate(
        record_type=ibis.literal("D"),
        approval=ibis.literal(APPROVAL),
        winter_average=decimal_text(rows.winter_average_thousandths, "_thousandths"),
        prior_average=decimal_text(rows.prior_average_thousandths, "_thousandths"),
        effective_date=rows.effective_date.strftime("%Y%m%d"),
        amount=decimal_text(rows.amount_cents, "_cents"),
        bill_status=rows.status,
    ).select(*COLUMNS, "winter_average_thousandths", "amount_cents")


def _control_record(agency: str, totals: dict[str, Any], year: Year) -> str:
    record = dict.fromkeys(COLUMNS, "") | {
        "record_type": "T",
        "approval": APPROVAL,
        "billing_agency": agency,
        "service_id": str(totals["records"]),
        "winter_average": f"{totals['average'] // 1000}.{totals['average'] % 1000:03d}",
        "effective_date": year.effective.strftime("%Y%m%d"),
        "amount": f"{totals['cents'] // 100}.{totals['cents'] % 100:02d}",
    }
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(record[c] for c in COLUMNS)
    return line.getvalue()


def write_bill_files(con: Any, folder: Path, details: ir.Table, year: Year) -> list[dict[str, Any]]:
    """Write the year's drafts into a folder of their own below ``folder``, all or none. Returns rows of the ``bill_files`` table."""
    beside = folder / f".{uuid.uuid4().hex}.tmp"
    beside.mkdir(parents=True)
    name = f"details_{uuid.uuid4().hex}"
    kept = con.create_table(name, details, temp=True)
    try:
        totals = kept.group_by("billing_agency").agg(
            records=ibis._.count(),
            average=ibis._.winter_average_thousandths.sum().cast("int64"),
            cents=ibis._.amount_cents.sum().fill_null(0).cast("int64"),
        )
        rows = []
        for total in totals.order_by("billing_agency").to_pyarrow().to_pylist():
            agency = total["billing_agency"]
            path = beside / f"{agency}_{year.billing_year}_NOT_APPROVED.csv"
            chosen = kept.filter(kept.billing_agency == agency).select(*COLUMNS).order_by("service_id")
            con.to_csv(chosen, path, header=True)
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(_control_record(agency, total, year))
            force_to_disk(path)
            rows.append({
                "billing_agency": agency, "file": f"{year.billing_year}/{DRAFT}/{path.name}",
                "content_hash": content_hash_of(path), "records": total["records"],
                "winter_average_thousandths": total["average"], "amount_cents": total["cents"], "approval": APPROVAL,
            })  # fmt: skip
        target = folder / _name_of(rows)
        if not _holds(target, rows):
            take_away(target)
            beside.rename(target)
        return rows
    finally:
        con.drop_table(name, force=True)
        shutil.rmtree(beside, ignore_errors=True)


def _name_of(rows: list[dict[str, Any]]) -> str:
    """Name of the folder that holds exactly the files of these rows."""
    files = sorted((row["file"], row["content_hash"]) for row in rows)
    return hashlib.sha256(repr(files).encode()).hexdigest()[:32]


def _holds(folder: Path, rows: list[dict[str, Any]]) -> bool:
    """Whether the folder has exactly the files of these rows, as they were made."""
    if not folder.is_dir():
        return False
    there = {path.name: content_hash_of(path) for path in folder.iterdir()}
    return there == {Path(row["file"]).name: row["content_hash"] for row in rows}


def take_away(folder: Path) -> None:
    """Remove a folder that may be there; whoever is killed meanwhile leaves what the next run removes."""
    if folder.is_dir():
        outgoing = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
        folder.rename(outgoing)
        shutil.rmtree(outgoing)


def drafts_made(workspace: Workspace, store: Store, billing_year: int) -> Path | None:
    """The folder with the drafts that the stored ``bill_files`` table names; None if there is none."""
    rows = store.con.to_pyarrow(store.read(BILL_FILES, billing_year, [WHOLE])).to_pylist()
    made = workspace.drafts / str(billing_year) / _name_of(rows)
    return made if made.is_dir() else None


def remove_other_drafts(workspace: Workspace, billing_year: int) -> None:
    """Remove drafts of the year that ``draft`` does not show."""
    shown = (workspace.bill_files / str(billing_year) / DRAFT).resolve()
    for folder in (workspace.drafts / str(billing_year)).glob("[!.]*"):
        if folder.resolve() != shown:
            take_away(folder)


def bill_files_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster asset ``bill_files``: files go out here, so it alone writes something that is not a table."""

    @dg.asset(
        name="bill_files",
        deps=[dg.AssetKey([name]) for name in ("billing_basis", "bills", "sewer_services", "reconciliation")],
        partitions_def=years_of(workspace),
        group_name="release",
        description=with_next_step(
            BILL_FILES, f"Drafts of what leaves the house, each marked as not approved. One row per {BILL_FILES.row}."
        ),
        required_resource_keys={"session"},
        **asset_facts(BILL_FILES, workspace),
    )
    def _bill_files(context: dg.AssetExecutionContext) -> Making:
        session: Session = context.resources.session
        year = session.workspace.year(int(context.partition_key))
        tables = (dg.AssetKey([name]) for name in ("billing_basis", "bills", "sewer_services"))
        details = detail_records(*(session.stored(key, year.billing_year).read() for key in tables))
        folder = session.workspace.drafts / str(year.billing_year)
        rows = write_bill_files(session.store.con, folder, details, year)
        version = str(uuid.uuid4())
        return Making(
            BILL_FILES, year.billing_year,
            {WHOLE: Slice(version, lambda: BILL_FILES.of_rows(rows))},
        )  # fmt: skip

    return _bill_files
