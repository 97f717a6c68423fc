"""The files of a released version, all but its marker.

Belongs here: which files there are, writing each so that the same contents give the same bytes, their hashes.
Does not belong here: what is in them (``posting``, ``corrections``), whether they may leave (``releasing``), the marker.

CSV and fixed-width text are the same byte for byte for the same contents, whatever the threads; so is Parquet for the same version of
its library, which writes its own name into the file. No file says when it was written, or where.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow.parquet as pq

from assets.durable import force_to_disk
from assets.pulling.archive import content_hash_of
from assets.released_class_averages import FILE as CLASS_AVERAGES_FILE
from assets.stage import Session, slices_of
from pipelines.release.corrections import CREDITS, corrections_of, write_credits
from pipelines.release.fixed_width import DoesNotFit, records
from pipelines.release.package import ReleasedFile, datapackage
from pipelines.release.postgres_schema import SCHEMA_FILE, schema_sql
from pipelines.release.posting import (
    ControlTotals,
    NotPostable,
    Posting,
    as_decimals,
    as_text,
    differences_of,
    posted_by,
    posting_of,
)
from pipelines.release.releases import Released
from rate_tables.exact import scale_of
from validations.bill_layout import BillLayout, bill_layouts
from validations.contract import Contract
from validations.tables import CLASS_AVERAGES, CREDITED_BILLS, DIFFERENCES, POSTED_AVERAGES

DATAPACKAGE = "datapackage.json"
DIFFERENCES_FILE = "differences.csv"
_ROWS_AT_A_TIME = 50_000


@dataclass(frozen=True)
class Bundle:
    """What was written: files in the order of their names, and what is posted."""

    files: list[ReleasedFile]
    posting: Posting


def write_bundle(
    session: Session,
    billing_year: int,
    folder: Path,
    *,
    version: int,
    digest: str,
    earlier: list[Released],
    decided_on: dt.date,
) -> Bundle:
    """Write the files of a version into ``folder``, an empty one; each is on disk when this returns.

    ``earlier``: the versions before. ``decided_on``: day of the approval, from which credits look back. Errors: NotPostable and
    DoesNotFit (nothing of this may be released), ConfigError, OSError.
    """
    con: Any = session.store.con
    workspace = session.workspace
    layouts = bill_layouts(workspace)
    posting = posting_of(session, billing_year)
    if not posting.totals:
        raise NotPostable(f"No sewer service has an average in {billing_year}, so there is nothing to post.")
    _refuse_names_that_meet(posting, layouts)
    of_year = {
        "utility": workspace.file.name, "billing_year": billing_year, "version": version, "digest": digest,
        "effective_date": workspace.year(billing_year).effective, "effective_means": posting.effective_means,
        "volume_unit": posting.volume_unit,
    }  # fmt: skip
    files = list[ReleasedFile]()
    for totals in posting.totals:
        files += _files_of_agency(con, folder, posting, totals, layouts, of_year)
    if earlier:
        agencies = [str(one["billing_agency"]) for one in earlier[-1].marker["agencies"]]
        changes = differences_of(posted_by(con, earlier[-1].folder, agencies), posting)
        path = folder / DIFFERENCES_FILE
        con.to_csv(as_text(DIFFERENCES, changes).order_by("service_id", "billing_agency"), path, header=True)
        what = f"Services whose posting differs from version {earlier[-1].version}"
        files.append(_written(path, folder, what, int(con.to_pyarrow(changes.count()).as_py()), DIFFERENCES))
    classes = session.store.read(CLASS_AVERAGES, billing_year, slices_of(CLASS_AVERAGES, workspace))
    number = int(con.to_pyarrow(classes.count()).as_py())
    if number:
        path = folder / CLASS_AVERAGES_FILE
        con.to_csv(as_text(CLASS_AVERAGES, classes).order_by("class_key"), path, header=True)
        what = "Class averages that stand in for services without history; later versions keep them"
        files.append(_written(path, folder, what, number, CLASS_AVERAGES))
    credited = corrections_of(session, billing_year, [one.folder for one in earlier], decided_on)
    if credited is not None:
        rows = write_credits(session, credited, folder / CREDITS)
        what = "Credits and charges of bills that were issued"
        files.append(_written(folder / CREDITS, folder, what, rows, CREDITED_BILLS))
    (folder / SCHEMA_FILE).parent.mkdir()
    (folder / SCHEMA_FILE).write_text(schema_sql(), encoding="utf-8", newline="\n")
    files.append(_written(folder / SCHEMA_FILE, folder, "Tables of PostgreSQL that hold what is posted"))
    files.sort(key=lambda one: one.file)
    described = datapackage(
        files,
        billing_year=billing_year,
        version=version,
        utility=workspace.file.name,
        volume_unit=posting.volume_unit,
    )
    (folder / DATAPACKAGE).write_bytes(described)
    files.append(_written(folder / DATAPACKAGE, folder, "What each file is"))
    return Bundle(sorted(files, key=lambda one: one.file), posting)


def _refuse_names_that_meet(posting: Posting, layouts: list[BillLayout]) -> None:
    """Two files of one name, on a disk that does not tell capitals apart either, would be one."""
    endings = [".csv", ".parquet", *(layout.file_name_ends for layout in layouts)]
    names = [f"{totals.billing_agency}{ending}".lower() for totals in posting.totals for ending in endings]
    twice = [
        name for name, times in Counter([*names, DIFFERENCES_FILE, CREDITS, CLASS_AVERAGES_FILE]).items() if times > 1
    ]
    if twice:
        raise NotPostable(
            f"Two files would have the name {twice[0]}. Give the billing agency another word in the CIS extract, or the layout another "
            "file_name_ends."
        )


def _files_of_agency(
    con: Any,
    folder: Path,
    posting: Posting,
    totals: ControlTotals,
    layouts: list[BillLayout],
    of_year: dict[str, Any],
) -> Iterator[ReleasedFile]:
    agency = totals.billing_agency
    rows = posting.of_agency(agency)
    path = folder / f"{agency}.csv"
    con.to_csv(as_text(POSTED_AVERAGES, rows).order_by("service_id"), path, header=True)
    yield _written(path, folder, f"Winter averages that {agency} posts", totals.services, POSTED_AVERAGES)
    path = folder / f"{agency}.parquet"
    typed = con.to_pyarrow(as_decimals(POSTED_AVERAGES, rows).order_by("service_id"))
    pq.write_table(typed.combine_chunks(), path, compression="zstd", row_group_size=_ROWS_AT_A_TIME)
    yield _written(path, folder, f"The same as {agency}.csv, typed", totals.services)
    of_file = {
        **of_year,
        "billing_agency": agency,
        "services": totals.services,
        "sum_of_old_averages": totals.old_average_thousandths,
        "sum_of_new_averages": totals.new_average_thousandths,
        "sum_of_preview_amounts": totals.preview_amount_cents,
    }
    for layout in layouts:
        path = folder / f"{agency}{layout.file_name_ends}"
        try:
            with path.open("wb") as file:
                file.writelines(records(layout, of_file, _whole_numbers(con, rows)))
        except DoesNotFit as why:
            raise DoesNotFit(f"{path.name}: {why} Give the field more room in the layout, or mend the value.") from None
        yield _written(path, folder, f"The same in fixed width: {layout.title}", totals.services)


def _whole_numbers(con: Any, rows: ir.Table) -> Iterable[dict[str, Any]]:
    """Rows in the order of the file, under the published names, numbers as they are stored."""
    named = rows.order_by("service_id").rename({scale_of(name)[0]: name for name in rows.columns})
    for batch in con.to_pyarrow_batches(named, chunk_size=_ROWS_AT_A_TIME):
        yield from batch.to_pylist()


def _written(
    path: Path, folder: Path, description: str, rows: int | None = None, contract: Contract | None = None
) -> ReleasedFile:
    """Facts about a finished file, which is on disk when this returns."""
    force_to_disk(path)
    name = path.relative_to(folder).as_posix()
    return ReleasedFile(name, path.stat().st_size, rows, content_hash_of(path), description, contract)
