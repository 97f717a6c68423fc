"""Releasing: a year that is whole, approved as it stands, and held up by nothing becomes a version that may leave the house.

Belongs here: the conditions, the order of writing, the marker, the entry in the log.
Does not belong here: what is in the files (``bundle``), who approves (``approval``), which versions there are (``releases``).

Files are written beside, the folder is renamed into place, then ``release.json`` is written into it, then the log gets its entry. Until
the marker is there, the folder is no release and the next command takes it away. Whoever is stopped after the marker has released: the
same command again finds the version whole and adds the entry.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from assets.contents import digest_of
from assets.durable import force_to_disk, whole_file
from assets.log import Entry, Log
from assets.pulling.archive import content_hash_of
from assets.stage import Session
from pipelines.release.approval import Approval, approval_in_force, contents_to_release, why_not_approved
from pipelines.release.bundle import Bundle, write_bundle
from pipelines.release.fixed_width import DoesNotFit
from pipelines.release.gate import blocks_of
from pipelines.release.people import as_listed, require
from pipelines.release.posting import NotPostable
from pipelines.release.releases import Released, last, unfinished, versions
from pipelines.release.verification import Proof, check_release, check_releases
from pipelines.session import open_session
from rate_tables.config_file import ConfigError
from validations.gate import Block
from validations.workspace import MARKER, Workspace

FORMAT = 1


class NotReleased(Exception):
    """Nothing was released; the message says why and what to do. ``blocks`` are what holds up release, if that is why."""

    def __init__(self, message: str, blocks: list[Block] | None = None) -> None:
        super().__init__(message)
        self.blocks = blocks or []


@dataclass(frozen=True)
class Outcome:
    """The version that is released. ``is_new`` is false where the year was released already as it stands."""

    released: Released
    is_new: bool


def release(workspace: Workspace, billing_year: int, by: str = "") -> Outcome:
    """Release the year as it stands; where the last version has the same contents, nothing is written.

    Errors: NotReleased; NotApproved if something changed since the run; NotEntitled, NotRun, LogBroken, WorkspaceBusy, each with what to
    do; ConfigError if a file that a person wrote cannot be used.
    """
    workspace.year(billing_year)
    if by:
        by = as_listed(workspace, by)
    elif workspace.file.people:
        raise ConfigError("--by: it is required, because workspace.yaml says who may release; allowed: your name.")
    require(workspace, by, "release")
    with open_session(workspace) as session:
        contents = contents_to_release(session, billing_year)
        digest = digest_of(contents)
        _take_into_log(workspace, billing_year)
        _refuse_if_changed(workspace, billing_year)
        before = last(workspace, billing_year)
        if before is not None and before.marker["digest"] == digest:
            return Outcome(before, is_new=False)
        blocks = blocks_of(session, billing_year)
        if blocks:
            raise NotReleased(f"{billing_year} is not released; what holds it up ({len(blocks):,}):", blocks)
        approval = approval_in_force(workspace, billing_year, digest)
        if approval is None:
            raise NotReleased(why_not_approved(workspace, billing_year, contents))
        for folder in unfinished(workspace, billing_year):
            _remove(folder)
        try:
            released = _written(session, billing_year, by, digest, approval)
        except (NotPostable, DoesNotFit) as why:
            raise NotReleased(f"{why} Nothing was released.") from None
        except (OSError, duckdb.Error) as error:
            what = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise NotReleased(
                f"The files could not be written ({what}), so nothing was released. Make room or mend that, and release {billing_year} again."
            ) from None
        try:
            _record(workspace, billing_year, released)
        except OSError as error:
            raise NotReleased(
                f"Version {released.version} is whole, and the log could not be written ({error.strerror}). Mend that and release "
                f"{billing_year} again: it adds the entry."
            ) from None
        return Outcome(released, is_new=True)


def _releases_in_log(workspace: Workspace, billing_year: int) -> set[int]:
    return {int(entry.about["version"]) for entry in Log(workspace).entries(billing_year, "release")}


def _take_into_log(workspace: Workspace, billing_year: int) -> None:
    """Add the entry of a version whose command was stopped after the marker. NotReleased if it is not one of this workspace."""
    recorded = _releases_in_log(workspace, billing_year)
    for found in versions(workspace, billing_year):
        if found.version in recorded:
            continue
        everything = Log(workspace).entries()
        proof = Proof()
        shown = found.folder.relative_to(workspace.folder).as_posix()
        check_release(found.folder, shown, everything, proof)
        if not proof.wrong and not _is_of_its_approval(found, everything, billing_year):
            proof.add(f"{shown}/{MARKER} does not name what its approval names.")
        if proof.wrong or found.version != max(recorded, default=0) + 1:
            raise NotReleased(
                "\n".join(
                    [
                        *proof.wrong,
                        f"{shown} is in no entry of the log, and not a release of this workspace. Take it out.",
                    ]
                )
            )
        _record(workspace, billing_year, found)
        recorded.add(found.version)


def _is_of_its_approval(found: Released, everything: list[Entry], billing_year: int) -> bool:
    entry_hash, digest = found.marker["approval"]["entry_hash"], found.marker.get("digest")
    return any(
        e.hash == entry_hash and e.billing_year == billing_year and e.about["digest"] == digest for e in everything
    )


def _refuse_if_changed(workspace: Workspace, billing_year: int) -> None:
    """A version rests on those before it, so each of them has to be as it was released."""
    proof = Proof()
    check_releases(workspace, billing_year, Log(workspace).entries(), proof)
    if proof.wrong:
        raise NotReleased(
            "\n".join([*proof.wrong, f"Nothing was released; annual-billing verify {billing_year} names everything."])
        )


def _remove(folder: Path) -> None:
    outgoing = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    folder.rename(outgoing)
    shutil.rmtree(outgoing)


def _written(session: Session, billing_year: int, by: str, digest: str, approval: Approval) -> Released:
    workspace = session.workspace
    earlier = versions(workspace, billing_year)
    version = earlier[-1].version + 1 if earlier else 1
    folder = workspace.bill_files / str(billing_year) / f"v{version}"
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    beside.mkdir(parents=True)
    try:
        decided_on = dt.datetime.fromisoformat(approval.at).date()
        bundle = write_bundle(
            session, billing_year, beside, version=version, digest=digest, earlier=earlier, decided_on=decided_on
        )
        for below in (beside, *(path for path in beside.rglob("*") if path.is_dir())):
            force_to_disk(below)
        beside.rename(folder)
        force_to_disk(folder.parent)
        marker = _marker(workspace, billing_year, version, by, digest, approval, bundle)
        _write_marker(folder, marker)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Released(version, folder, marker)


def _marker(
    workspace: Workspace, billing_year: int, version: int, by: str, digest: str, approval: Approval, bundle: Bundle
) -> dict[str, Any]:
    named = {name: value for name, value in asdict(approval).items() if name != "digest"}
    return {
        "format": FORMAT,
        "utility": workspace.file.name,
        "billing_year": billing_year,
        "version": version,
        "digest": digest,
        "approval": named,
        "log_head": Log(workspace).head(),
        "effective_date": workspace.year(billing_year).effective.isoformat(),
        "effective_means": bundle.posting.effective_means,
        "volume_unit": bundle.posting.volume_unit,
        "files": [file.as_row() for file in bundle.files],
        "agencies": [totals.as_row() for totals in bundle.posting.totals],
        "released_by": by,
        "at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _write_marker(folder: Path, marker: dict[str, Any]) -> None:
    with whole_file(folder / MARKER) as beside:
        beside.write_text(json.dumps(marker, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _record(workspace: Workspace, billing_year: int, released: Released) -> None:
    """Add the release to the log."""
    about = {
        "version": released.version,
        "digest": released.marker["digest"],
        "approval": released.marker["approval"]["entry_hash"],
        "marker_hash": content_hash_of(released.folder / MARKER),
    }
    Log(workspace).append("release", billing_year, str(released.marker["released_by"]), about)
