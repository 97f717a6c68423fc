"""Contents: everything that a release of a year rests on, each with its hash; and the one hash of all of it.

Belongs here: what counts as content, the hash of all of it, keeping files that people may still change.
Does not belong here: the hash of a table (``hashed_rows``), who approves (``pipelines.release.approval``), holding files against it later (``verification``).

A person approves ``digest_of`` the contents. So no time, no path of a machine and nothing of how a run went is in it: the same
deliveries, sheets, decisions and schedules give the same hash, whatever the threads and the order of rows and files.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import ibis.expr.types as ir

from assets.code_version import code_version
from assets.hashed_rows import HashedSlice, hash_of_slices, hashed_slices, keep_slices, known_slices
from assets.log import Entry, Log, canonical
from assets.pulling.archive import Taken, archived, content_hash_of, keep
from assets.stage import Making, Session, Slice, asset_facts, slices_of, version_of, years_of
from assets.store import WHOLE
from rate_tables.billing_periods import schedule_periods
from rate_tables.calendar_days import after_months
from rate_tables.schedule import SHIPPED
from validations.contract import Contract
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    BILL_LINES,
    BILLING_BASIS,
    BILLS,
    CLASS_AVERAGES,
    CONTENTS,
    CURRENT_AVERAGES,
    DECISIONS,
    DELIVERIES,
    FINDINGS,
    METER_LINKS,
    NON_SEWER_ACCOUNTS,
    RATE_SCHEDULE,
    RECONCILIATION,
    SEWER_SERVICES,
    STRENGTHS,
)
from validations.workspace import SHIPPED_LAYOUTS, Workspace, Year

_SHEETS_OF_EXTRACT = (SEWER_SERVICES, METER_LINKS, NON_SEWER_ACCOUNTS, CURRENT_AVERAGES, STRENGTHS)
NOTHING_KNOWN: Mapping[str, HashedSlice] = {}
GROWING = ("decisions", "overrides")
"""Kinds of file that are only added to."""
SETTINGS = "settings of the year in workspace.yaml"
_IN_FORCE = [name for name in DECISIONS.columns if name not in ("evidence_seen", "evidence_now", "status")]


def _whole(table: ir.Table) -> ir.Table:
    return table


TABLES: dict[Contract, Callable[[ir.Table], ir.Table]] = {
    SEWER_SERVICES: _whole,
    ADJUSTED_CONSUMPTION: _whole,
    FINDINGS: lambda findings: findings.select("finding_id", "severity"),
    DECISIONS: lambda decisions: decisions.filter(decisions.status == "stands").select(*_IN_FORCE),
    CLASS_AVERAGES: _whole,
    BILLING_BASIS: _whole,
    BILLS: _whole,
    BILL_LINES: _whole,
    RATE_SCHEDULE: _whole,
    RECONCILIATION: _whole,
}
"""Tables that a release is made from, and what of each counts."""


@dataclass(frozen=True, order=True)
class Content:
    """One thing that a release rests on; ``rows`` of a table, else None."""

    kind: str
    name: str
    content_hash: str
    rows: int | None = None


@dataclass(frozen=True)
class OfficeFile:
    """A file that people write: what it counts as, its name for people, and where it lies."""

    kind: str
    name: str
    path: Path


def digest_of(contents: list[Content]) -> str:
    """The hash that an approval names: SHA-256 over the sorted contents."""
    rows = [[one.kind, one.name, one.content_hash, one.rows] for one in sorted(contents)]
    return hashlib.sha256(canonical({"contents": rows})).hexdigest()


def table_contents(
    session: Session, billing_year: int, *contracts: Contract, known: Mapping[str, HashedSlice] = NOTHING_KNOWN
) -> tuple[list[Content], dict[Contract, dict[str, HashedSlice]]]:
    """Tables of the year as the store has them, and what their slices come to.

    ``known``: what an earlier look found of the slices. Errors: duckdb.Error, KeyError if a slice is damaged.
    """
    slices = {contract: slices_of(contract, session.workspace) for contract in contracts}
    found = hashed_slices(session.store, billing_year, {c: TABLES[c] for c in contracts}, slices, known)
    return [Content("table", c.name, *hash_of_slices(of)) for c, of in found.items()], found


def delivery_contents(session: Session, billing_year: int) -> list[Content]:
    """The delivered files that the year's run read: they lie in the archive under their hash."""
    deliveries = session.store.read(DELIVERIES, billing_year, slices_of(DELIVERIES, session.workspace))
    read = deliveries.filter(deliveries.status == "current").select("district_id", "source_file", "content_hash")
    return [
        Content("delivery", f"{row['district_id']}/{row['source_file']}", row["content_hash"])
        for row in session.store.con.to_pyarrow(read).to_pylist()
    ]


def office_files(workspace: Workspace, year: Year) -> Iterator[OfficeFile]:
    """Files of the office, schedules and rules that the year rests on, as far as they are there."""
    billing_year = year.billing_year
    for y in (billing_year - 1, billing_year):
        sheets = [f"{contract.name}.csv" for contract in _SHEETS_OF_EXTRACT]
        for name in [*sheets, "as_of.txt"] if y == billing_year else sheets:
            yield from _there("extract", f"cis_extract/{y}/{name}", workspace.cis_extract(y) / name)
    for y in range(billing_year - year.adjustment_policy.rules.years_looked_back, billing_year + 1):
        path = workspace.adjustments(y)
        yield from _there("adjustments", f"adjustments/{path.name}", path)
    for kind, path in (
        ("decisions", workspace.decisions(billing_year)),
        ("overrides", workspace.overrides(billing_year)),
    ):
        yield from _there(kind, f"decisions/{path.name}", path)
    path = workspace.bills_issued(billing_year)
    yield from _there("bills_issued", f"bills_issued/{path.name}", path)
    schedules = [year.averaging, *(p.schedule for p in year.rate_periods if p.schedule)]
    if workspace.bills_issued(billing_year).is_file():
        before = schedule_periods(workspace.schedules, after_months(year.effective, -12))
        schedules += [p.schedule for p in before if p.schedule]
    for file in sorted({one.file for one in schedules}):
        yield OfficeFile("schedule", file, path_of_rules(workspace, file))
    for file in sorted({year.adjustment_policy.file, year.review_limits.file}):
        yield OfficeFile("rules", file, path_of_rules(workspace, file))
    for name in sorted(workspace.file.release.layouts):
        yield from _there("rules", f"bill_layouts/{name}.yaml", workspace.bill_layout(name))
    for district in workspace.districts:
        entry = workspace.district(district, billing_year)
        name = f"districts/{district if entry.from_year is None else f'{district}.from_{entry.from_year}'}.yaml"
        yield OfficeFile("rules", name, workspace.folder / name)


def _there(kind: str, name: str, path: Path) -> Iterator[OfficeFile]:
    if path.is_file():
        yield OfficeFile(kind, name, path)


def path_of_rules(workspace: Workspace, file: str) -> Path:
    """Where a file of ``rate_tables/`` or ``bill_layouts/`` lies: in the workspace, else where those that ship are."""
    own = workspace.folder / file
    ships_in = SHIPPED_LAYOUTS if file.startswith("bill_layouts/") else SHIPPED
    return own if own.is_file() else ships_in.parent / file


def _settings(workspace: Workspace, year: Year) -> bytes:
    others = {
        "people",
        "approval",
        "may_approve",
        "billing_years",
        "owner",
        "deliveries_from",
        "engine",
        "executor",
        "executor_config",
        "spark",
        "store",
    }
    settings = workspace.file.model_dump(mode="json", exclude=others, exclude_defaults=True)
    return canonical({**settings, "effective": year.effective.isoformat()})


def settings_of(workspace: Workspace, year: Year) -> Content:
    """What ``workspace.yaml`` says that the year's figures can depend on; not who may do what, where files come from and lie, or what computes them."""
    return Content("rules", SETTINGS, hashlib.sha256(_settings(workspace, year)).hexdigest())


def keep_settings(workspace: Workspace, year: Year) -> None:
    """Keep these settings in the archive, as JSON under their hash."""
    content = settings_of(workspace, year)
    if not archived(workspace.archive, content.content_hash).is_file():
        beside = workspace.archive / f".{uuid.uuid4().hex}.tmp"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(_settings(workspace, year))
        keep(workspace.archive, beside, Taken(content.content_hash, beside.stat().st_size))


def contents_of(session: Session, billing_year: int) -> list[Content]:
    """Everything that a release of the year would rest on as it stands: the store's tables, the files on disk.

    Errors: ConfigError if a file that a person wrote cannot be used.
    """
    tables, _ = table_contents(session, billing_year, *TABLES)
    year = session.workspace.year(billing_year)
    files = [Content(f.kind, f.name, content_hash_of(f.path)) for f in office_files(session.workspace, year)]
    return _all_of(session, year, tables, files)


def _all_of(session: Session, year: Year, tables: list[Content], files: list[Content]) -> list[Content]:
    settings = settings_of(session.workspace, year)
    return sorted([*files, settings, *delivery_contents(session, year.billing_year), *tables])


def contents_of_last_run(session: Session, billing_year: int) -> list[Content]:
    """The same as the last run found it; empty if the year has not been run to its end."""
    rows = session.store.con.to_pyarrow(session.store.read(CONTENTS, billing_year, [WHOLE])).to_pylist()
    return sorted(Content(**row) for row in rows)


def keep_files(workspace: Workspace, files: list[OfficeFile]) -> list[Content]:
    """Keep each file in the archive under its hash, so that the year can be made again from what it was made of. Returns what was kept."""
    kept = list[Content]()
    for file in files:
        content_hash = content_hash_of(file.path)
        if not archived(workspace.archive, content_hash).is_file():
            beside = workspace.archive / f".{uuid.uuid4().hex}.tmp"
            beside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, beside)
            content_hash = content_hash_of(beside)
            keep(workspace.archive, beside, Taken(content_hash, beside.stat().st_size))
        kept.append(Content(file.kind, file.name, content_hash))
    return kept


def grown(name: str, path: Path) -> dict[str, Any]:
    """State of a file that is only added to, as an entry of the log holds it: its name, size in bytes and hash."""
    content = path.read_bytes()
    return {"file": name, "bytes": len(content), "content_hash": hashlib.sha256(content).hexdigest()}


def record_run(session: Session, billing_year: int) -> Entry | None:
    """Add the run to the log with all that it read and made; None if nothing has changed since the last one of its year."""
    contents = contents_of_last_run(session, billing_year)
    about = {
        "digest": digest_of(contents),
        "code_version": code_version(),
        "contents": [[one.kind, one.name, one.content_hash, one.rows] for one in contents],
    }
    _record_appeals(session.workspace, billing_year)
    return Log(session.workspace).append_unless_same("run", billing_year, "", about)


def _record_appeals(workspace: Workspace, billing_year: int) -> None:
    """Keep the sheet of appeals as it is, and add its state to the log if that is another. No average depends on it."""
    sheets = list(_there("appeals", f"appeals/{billing_year}.csv", workspace.appeals(billing_year)))
    keep_files(workspace, sheets)
    for sheet in sheets:
        about = {"sheet": sheet.name, "sheet_hash": content_hash_of(sheet.path)}
        Log(workspace).append_unless_same("appeal", billing_year, "", about)


def contents_of_entry(entry: Entry) -> list[Content]:
    """The contents that an entry about a run holds."""
    return [Content(*row) for row in entry.about.get("contents", [])]


def contents_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster asset ``contents``, after every table that it holds the hash of."""
    after = [
        *(dg.AssetKey([contract.name]) for contract in TABLES),
        *(dg.AssetKey([DELIVERIES.name, district]) for district in workspace.districts),
    ]

    @dg.asset(
        name=CONTENTS.name,
        deps=after,
        partitions_def=years_of(workspace),
        group_name="release",
        description="Everything that a release of the year would rest on, with its hash. An approval names the hash of all of it. "
        f"One row per {CONTENTS.row}.",
        required_resource_keys={"session"},
        **asset_facts(CONTENTS, workspace),
    )
    def _contents(context: dg.AssetExecutionContext) -> Making:
        session: Session = context.resources.session
        billing_year = int(context.partition_key)
        year = session.workspace.year(billing_year)
        files = keep_files(session.workspace, list(office_files(session.workspace, year)))
        keep_settings(session.workspace, year)
        kept = session.workspace.work / "hashed_rows" / f"{billing_year}.json"
        tables, slices = table_contents(session, billing_year, *TABLES, known=known_slices(kept))
        keep_slices(kept, slices)
        rows = [asdict(one) for one in _all_of(session, year, tables, files)]
        return Making(
            CONTENTS, billing_year, {WHOLE: Slice(version_of(CONTENTS.name, rows), lambda: CONTENTS.of_rows(rows))}
        )

    return _contents
