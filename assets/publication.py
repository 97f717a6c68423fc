"""Publication: what readers see of a run, exchanged in one rename.

Belongs here: the folder of a publication, the links that lead into the current one, taking former ones away.
Does not belong here: what is in it (``billing_database``, ``bill_files``).

A publication is a folder with ``billing.duckdb`` and a link to the drafts of bill files of each year. ``work/billing.duckdb`` and
``work/bill_files/YEAR/draft`` lead through the link ``work/published/current``; that one is exchanged. So a reader sees tables and drafts
of one run at any moment, and whoever has a former database open keeps it until it is closed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from assets.bill_files import DRAFT, take_away
from assets.durable import force_to_disk
from validations.workspace import Workspace

_CURRENT = "current"
_DRAFTS = "drafts"


def last_publication(workspace: Workspace) -> Path:
    """The folder that readers are led to; it is not there before the first run has ended."""
    return workspace.publications / _CURRENT


@contextmanager
def next_publication(workspace: Workspace) -> Iterator[Path]:
    """A folder to be filled; readers see it once the block ends, and nothing of it if that fails."""
    folder = workspace.publications
    beside, made = folder / f".{uuid.uuid4().hex}.tmp", folder / uuid.uuid4().hex
    beside.mkdir(parents=True)
    try:
        yield beside
        for path in beside.iterdir():
            if path.is_file():
                force_to_disk(path)
        # DuckDB would replay what somebody who had the old file open for writing left into the new one.
        Path(f"{workspace.database}.wal").unlink(missing_ok=True)
        beside.rename(made)
    finally:
        if beside.is_dir():
            take_away(beside)
    home = folder.resolve()
    years = sorted(path.name for path in (made / _DRAFTS).glob("*"))
    leads = {workspace.database: home / _CURRENT / workspace.database.name}
    leads |= {workspace.bill_files / year / DRAFT: home / _CURRENT / _DRAFTS / year for year in years}
    for way, end in leads.items():
        if not way.exists():
            # To a reader, a link that leads nowhere yet is a year that has not been run.
            _lead(way, end)
    _lead(home / _CURRENT, home / made.name)
    for way, end in leads.items():
        _lead(way, end)
    for former in folder.glob("[!.]*"):
        if former.name not in (made.name, _CURRENT):
            take_away(former)


def link_drafts(workspace: Workspace, publication: Path, drafts: Mapping[int, Path]) -> None:
    """Make the drafts of each year part of the publication."""
    (publication / _DRAFTS).mkdir()
    for year, made in drafts.items():
        end = os.path.relpath(made.resolve(), (publication / _DRAFTS).resolve())
        (publication / _DRAFTS / str(year)).symlink_to(end)


def _lead(way: Path, end: Path) -> None:
    """Make ``way`` a link to ``end``, in one rename; a copy of a workspace may have a file or a folder where the link was."""
    way.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.path.relpath(end, way.parent.resolve())
    if way.is_symlink() and os.readlink(way) == wanted:
        return
    beside = way.with_name(f".{way.name}.{uuid.uuid4().hex}.tmp")
    beside.symlink_to(wanted)
    if way.is_dir() and not way.is_symlink():
        take_away(way)
    beside.rename(way)
