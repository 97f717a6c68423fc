"""The gate of a workspace: its checks, rates and extract as blocks, held against the overrides that people made.

Belongs here: evaluating what blocks, the file of overrides: reading it, adding to it.
Does not belong here: what must hold (``validations.checks``, ``validations.gate``), releasing.

``decisions/YEAR_overrides.csv`` only grows: it is written beside the old one, read back, and put in its place whole.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assets.cis_extract import as_of_in_force
from assets.durable import whole_file
from assets.log import Log
from assets.readers.office_sheet import read_office_sheet
from assets.readers.sheet import UnreadableFile
from assets.stage import Session
from assets.store import WHOLE
from pipelines.checks import Verdict, verdicts
from pipelines.release.growing_files import about_override, take_into_log
from pipelines.release.people import as_listed, require
from pipelines.session import open_session
from pipelines.summary import NotRun
from rate_tables.config_file import ConfigError
from validations.gate import Block, Gate, Override, extract_too_old, gate, rates_not_adopted
from validations.tables import DECISION_SHEET, OVERRIDES, RECONCILIATION
from validations.workspace import Workspace

_MOST_CHARACTERS = 200


class NotOverridden(Exception):
    """The override cannot be made; the message says why and what to do."""


def block_of(verdict: Verdict) -> Block:
    """A failing check as a block. ``findings.nothing_to_decide``; of one district ``deliveries.received/dunmore``."""
    check = verdict.check
    where = f"/{verdict.slice_id}" if verdict.slice_id else ""
    return Block(
        f"{check.table}.{check.name}{where}",
        f"{verdict.failing_rows:,} {'rows break' if verdict.failing_rows != 1 else 'row breaks'} this: {check.description}",
        check.recovery,
        verdict.evidence_hash,
        verdict.failing_rows,
        check.may_be_overridden,
    )


def require_run(session: Session, billing_year: int) -> None:
    """NotRun unless the year has been run to its end."""
    if WHOLE not in session.store.slices(RECONCILIATION, billing_year):
        raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")


def gate_of(session: Session, billing_year: int, judged: list[Verdict] | None = None) -> Gate:
    """What holds up the release of the year, from the store and the files as they are; ``judged`` if checks are evaluated already.

    Errors: NotRun; ConfigError if a file that a person wrote cannot be used.
    """
    workspace = session.workspace
    year = workspace.year(billing_year)
    require_run(session, billing_year)
    judged = list(verdicts(session, billing_year, only_blocking=True)) if judged is None else judged
    blocks = [block_of(verdict) for verdict in judged if verdict.check.blocks and not verdict.passed]
    blocks += rates_not_adopted(year, workspace.schedules)
    blocks += extract_too_old(year, as_of_in_force(session, billing_year), workspace.file.release.extract_at_most_days)
    return gate(sorted(blocks, key=lambda block: block.block_id), overrides_of(session, billing_year))


def blocks_of(session: Session, billing_year: int) -> list[Block]:
    """What holds up the release of the year and is not overridden; empty if nothing does. Errors as ``gate_of``."""
    return gate_of(session, billing_year).blocks


def overrides_of(session: Session, billing_year: int) -> list[Override]:
    """Every override of the year, in the order in which they were made. ConfigError if the file is not as it was written."""
    return _read(session, session.workspace.overrides(billing_year))


def _read(session: Session, path: Path) -> list[Override]:
    if not path.exists():
        return []
    con: Any = session.store.con
    shown = f"decisions/{path.name}"
    mended = "put back the file as `annual-billing override` wrote it"
    try:
        sheet = read_office_sheet(con, path, shown, DECISION_SHEET, OVERRIDES, (), session.workspace.scratch)
    except (UnreadableFile, OSError) as error:
        reason = str(error) if isinstance(error, UnreadableFile) else f"it cannot be read ({error.strerror})"
        raise ConfigError(f"{shown}: {reason.removeprefix(f'{shown}: ')}; {mended}.") from None
    wrong = con.to_pyarrow(sheet.rejected.order_by("source_row").limit(1)).to_pylist()
    if wrong:
        raise ConfigError(f"{shown}, line {wrong[0]['source_row']}: {wrong[0]['message']}; {mended}.")
    return [Override(**row) for row in con.to_pyarrow(sheet.rows.order_by("override_id")).to_pylist()]


def _plain_reason(why: str) -> str:
    reason = " ".join(why.split())
    if not 10 <= len(reason) <= _MOST_CHARACTERS or reason[0] in "=+-@" or not reason.isprintable():
        raise ConfigError(
            f"--why: allowed: one line of 10 to {_MOST_CHARACTERS} characters that does not begin with = + - or @."
        )
    return reason


def make_override(
    workspace: Workspace, billing_year: int, block_id: str, by: str, why: str, today: dt.date | None = None
) -> Override:
    """Override a block as it stands; whoever does needs the right to decide. It is in the file and the log when this returns.

    The same override again is the one that there is.

    Errors: NotRun; WorkspaceBusy; NotEntitled; NotOverridden if there is no such block or it must not be overridden; ConfigError.
    """
    by, reason = as_listed(workspace, by), _plain_reason(why)
    require(workspace, by, "decide")
    with open_session(workspace) as session:
        take_into_log(workspace, billing_year)
        found = gate_of(session, billing_year)
        chosen = [block for block in found.blocks if block.block_id == block_id]
        made = [
            one
            for block, one in found.overridden
            if (block.block_id, one.overridden_by, one.reason) == (block_id, by, reason)
        ]
        if made and not chosen:
            return made[-1]
        if not chosen:
            raise NotOverridden(_not_there(found, block_id, billing_year))
        (block,) = chosen
        if not block.may_be_overridden:
            raise NotOverridden(f"{block_id} must not be overridden. {block.sentence} {block.next_step}")
        path = workspace.overrides(billing_year)
        before = _read(session, path)
        override = Override(
            f"O-{billing_year}-{len(before) + 1:06d}",
            block_id,
            block.evidence_hash,
            block.rows,
            reason,
            by,
            today or dt.date.today(),
        )
        _add(session, path, override)
        Log(workspace).append("override", billing_year, by, about_override(asdict(override), path))
    return override


def _not_there(found: Gate, block_id: str, billing_year: int) -> str:
    if any(block.block_id == block_id for block, _ in found.overridden):
        return f"{block_id} is overridden already; annual-billing status {billing_year} shows by whom and why."
    ids = ", ".join(block.block_id for block in found.blocks) or "nothing"
    return f"{block_id!r} does not hold up release; what does: {ids}."


def _add(session: Session, path: Path, override: Override) -> None:
    """Add a line to the file, whole or not at all. ConfigError if it could not be read back."""
    names = list(OVERRIDES.columns)
    old = path.read_bytes() if path.exists() else b""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if not old:
        writer.writerow(names)
    writer.writerow([getattr(override, name) for name in names])
    with whole_file(path) as beside:
        beside.write_bytes((old if not old or old.endswith(b"\n") else old + b"\n") + out.getvalue().encode())
        if _read(session, beside)[-1:] != [override]:
            raise ConfigError(
                "--why: the line could not be read back as it was written; use plain letters and figures."
            )
