"""Checks in the UI: one factory for all of them.

Belongs here: evaluating a check over the store, and its result in Dagster's terms.
Does not belong here: what must hold (``validations.checks``).

Each failing check says how many rows, shows the worst fifty, names the file with all of them, and what to do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
import ibis.expr.types as ir
from dagster import AssetCheckExecutionContext

from assets.hashed_rows import hash_of_rows
from assets.kept import Bench, let_go
from assets.remembered import recalled, remember
from assets.stage import CONTRACTS, OFFICE_SHEETS, PER_DISTRICT, Session, slices_of, version_of, years_of
from assets.store import WHOLE, Stored
from pipelines.metadata import markdown_table
from validations.checks import CHECKS, Check, checks_of
from validations.tables import SEWER_SERVICES
from validations.workspace import Workspace

WORST = 50


@dataclass(frozen=True)
class Verdict:
    """A check's result: how many rows break it, the first of them, and the hash of what an override is tied to (empty if none)."""

    check: Check
    slice_id: str | None
    failing_rows: int
    worst: list[dict[str, Any]]
    full_list: str | None
    evidence_hash: str

    @property
    def passed(self) -> bool:
        return self.failing_rows == 0

    @property
    def on(self) -> str:
        return f"{self.check.table}/{self.slice_id}" if self.slice_id else self.check.table


def evaluate(
    checks: Iterable[Check], session: Session, year: int, slice_id: str | None, *, keep_list: bool
) -> Iterator[Verdict]:
    """Run checks on tables of a year, or on one district's part of them."""
    chosen = list(checks)
    held = _held(session, year, chosen[0], slice_id) if keep_list else {}
    holds: dict[str, str] = {}
    bench: Bench | None = None
    try:
        for check in chosen:
            name = f"{check.table}.{check.name}"
            seen = _seen(check, session, year, slice_id)
            unlike = [of for of, content in seen.items() if held.get(of) != content]
            if unlike and len(unlike) < len(seen):
                # It uses the bench under the same names.
                bench = None
                if _holds_in(check, session, year, unlike):
                    unlike = []
            if not unlike:
                holds |= seen
                yield Verdict(check, slice_id, 0, [], None, "")
                continue
            bench = bench or Bench(
                {n: _stored(session, n, year, slice_id).read() for c in chosen for n in c.reads}, "checks"
            )
            asked = partial(_failing, check)
            if bench.count(name, asked, *check.reads) == 0:
                holds |= seen
                if keep_list:
                    _list_of(check, session, year, slice_id).unlink(missing_ok=True)
                yield Verdict(check, slice_id, 0, [], None, "")
            else:
                yield _failed(
                    check, session, year, slice_id, bench.shown(name, asked, *check.reads), keep_list=keep_list
                )
    finally:
        let_go(session.store.con)
    if keep_list and holds != held:
        remember(_memory(session, year, chosen[0], slice_id), holds)


def _seen(check: Check, session: Session, year: int, slice_id: str | None) -> dict[str, str]:
    """What the check is asked of, by name: each slice of its table where slices may be asked apart, else all that it reads."""
    name = f"{check.table}.{check.name}"
    if check.of_services and slice_id is None:
        stored = _stored(session, check.table, year, None)
        there = {s: stored.store.content(stored.contract, year, s) for s in stored.slices}
        if there.get(WHOLE) is None:
            return {f"{name}/{s}": version_of("check", name, content) for s, content in there.items() if content}
    contents = (_stored(session, n, year, slice_id).content() for n in check.reads)
    return {name: version_of("check", name, *contents)}


def _holds_in(check: Check, session: Session, year: int, seen: list[str]) -> bool:
    """Whether the check holds in these slices, asked by themselves, where it held in all of the table before.

    No service may have rows both in them and in the others: nobody would see that a key is there twice.
    """
    store, contract = session.store, CONTRACTS[check.table]
    slices = {of.rsplit("/", 1)[1] for of in seen}
    rows = store.read(contract, year, sorted(slices))
    others = store.read(contract, year, [s for s in slices_of(contract, session.workspace) if s not in slices])
    services = store.read(SEWER_SERVICES, year, [WHOLE])
    theirs = services.filter(services.slice_id.isin(sorted(slices)))
    try:
        bench = Bench({check.table: rows}, "checks")
        return bench.count(f"{check.table}.{check.name}", partial(_failing, check), check.table) == 0 and not any(
            int(store.con.to_pyarrow(strays.count()).as_py())
            for strays in (rows.anti_join(theirs, "service_id"), others.semi_join(theirs, "service_id"))
        )
    finally:
        let_go(store.con)


def _memory(session: Session, year: int, first: Check, slice_id: str | None) -> Path:
    where = f"{first.table}.{slice_id}" if slice_id else first.table
    return session.workspace.work / "checks" / str(year) / f"{where}.held.json"


def _held(session: Session, year: int, first: Check, slice_id: str | None) -> dict[str, str]:
    """Checks that held when they were evaluated last, and on what: they need not be asked again of the same rows. What is released is asked anew."""
    return recalled(_memory(session, year, first, slice_id))


def _stored(session: Session, name: str, year: int, slice_id: str | None) -> Stored:
    """A table of the year, or one district's part of it."""
    contract = CONTRACTS[name]
    slices = [slice_id] if slice_id and name in PER_DISTRICT else slices_of(contract, session.workspace)
    return Stored(session.store, contract, year, tuple(slices))


def _failing(check: Check, **tables: ir.Table) -> ir.Table:
    return check.failing(*(tables[name] for name in check.reads))


def _list_of(check: Check, session: Session, year: int, slice_id: str | None) -> Path:
    """The file with all rows that fail."""
    where = f"{check.table}.{slice_id}" if slice_id else check.table
    return session.workspace.work / "checks" / str(year) / f"{where}.{check.name}.csv"


def _failed(
    check: Check, session: Session, year: int, slice_id: str | None, failing: ir.Table, *, keep_list: bool
) -> Verdict:
    """The verdict from the rows that fail."""
    path = _list_of(check, session, year, slice_id)
    shown = failing.select(*check.shown).order_by(*check.shown)
    if keep_list:
        path.parent.mkdir(parents=True, exist_ok=True)
        session.store.con.to_csv(shown, path, header=True)
    worst = shown.limit(WORST).to_pyarrow().to_pylist()
    evidence_hash, rows = hash_of_rows(session.store, failing.select(*check.evidence), check.evidence)
    return Verdict(check, slice_id, rows, worst, str(path) if keep_list else None, evidence_hash)


def _result(verdict: Verdict, key: dg.AssetKey) -> dg.AssetCheckResult:
    check = verdict.check
    metadata: dict[str, Any] = {"rows that fail": verdict.failing_rows}
    if not verdict.passed:
        metadata |= {
            "what to do": check.recovery,
            f"first {WORST}": dg.MetadataValue.md(markdown_table(verdict.worst, list(check.shown))),
            "holds up release": "yes" if check.blocks else "no",
        }
        if verdict.full_list:
            metadata["all of them"] = dg.MetadataValue.path(verdict.full_list)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.blocks else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=check.description if verdict.passed else f"{verdict.failing_rows:,} rows. {check.recovery}",
    )


def checks_on(name: str, keys: list[dg.AssetKey], workspace: Workspace) -> dg.AssetChecksDefinition | None:
    """All checks of some assets, in one step (each step costs Dagster as much as a check of a small table)."""
    chosen = {dg.AssetCheckKey(key, check.name): check for key in sorted(keys) for check in checks_of(key.path[0])}
    if not chosen:
        return None

    def part_of(key: dg.AssetKey) -> str | None:
        return key.path[1] if len(key.path) > 1 else None

    @dg.multi_asset_check(
        name=f"check_{name}",
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=at.asset_key,
                description=check.description,
                partitions_def=years_of(workspace),
            )
            for at, check in chosen.items()
        ],
        required_resource_keys={"session"},
        can_subset=True,
    )
    def _checks(context: AssetCheckExecutionContext) -> Iterable[dg.AssetCheckResult]:
        session: Session = context.resources.session
        year = int(context.partition_key)
        asked = [at for at in chosen if at in context.selected_asset_check_keys]
        for part, of_part in groupby(asked, lambda at: part_of(at.asset_key)):
            keys = list(of_part)
            judged = evaluate((chosen[at] for at in keys), session, year, part, keep_list=True)
            for at, verdict in zip(keys, judged, strict=True):
                yield _result(verdict, at.asset_key)

    return _checks


def verdicts(session: Session, year: int, *, only_blocking: bool = False) -> Iterator[Verdict]:
    """Every check of every table, evaluated now: what ``status`` reports and the gate goes by."""
    wanted = [check for check in CHECKS if check.blocks or not only_blocking]
    for table, of_table in groupby(wanted, lambda check: check.table):
        checks = list(of_table)
        parts = [*session.workspace.districts, *OFFICE_SHEETS.get(table, ())]
        for part in parts if table in PER_DISTRICT else [None]:
            yield from evaluate(checks, session, year, part, keep_list=False)
