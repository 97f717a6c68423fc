"""Reproduction: a released version made again from the archive and the log, and held against what was released, byte for byte.

Belongs here: which inputs a version was made from, laying them out in a workspace of their own, running it, comparing.
Does not belong here: how a year is run (``pipelines.annual_update``), what is in a release (``releases``).

The approval's entry in the log names every input by its hash, and the archive has each under it. The years before, whose use a year is
held against, are made again first, each from the inputs of its last run before that approval. Nothing is read from the office's folders,
no server is asked, and the workspace's own tables and files are not touched.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from assets.code_version import code_version
from assets.contents import SETTINGS, Content, contents_of, contents_of_entry, settings_of
from assets.log import Entry, Log
from assets.pulling.archive import archived, content_hash_of
from assets.released_class_averages import FILE as CLASS_AVERAGES_FILE
from pipelines.release.approval import differences
from pipelines.release.bundle import Bundle, write_bundle
from pipelines.release.fixed_width import DoesNotFit
from pipelines.release.posting import NotPostable
from pipelines.release.releases import Released, versions
from pipelines.session import open_session
from validations.district import District
from validations.source import Folder
from validations.workspace import MARKER, Workspace

_OFFICE = ("adjustments", "bill_layouts", "bills_issued", "cis_extract", "decisions", "districts", "rate_tables")


class NotReproduced(Exception):
    """The version cannot be made again; the message says why and what to do."""


@dataclass
class Reproduction:
    """What came of it. ``differing``: sentences, none if every file is the same; ``same``: files that are, byte for byte."""

    billing_year: int
    version: int
    folder: Path
    same: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class ReproducedWorkspace(Workspace):
    """A workspace laid out from the archive: every district's files lie in its own folder, wherever they came from."""

    def district(self, district_id: str, billing_year: int) -> District:
        return super().district(district_id, billing_year).model_copy(update={"source": Folder()})

    def _refuse_folder_outside(self, entry: District, shown: str) -> None:
        """No folder of an entry is looked at here."""


def runs_to_repeat(log: list[Entry], approval: Entry) -> list[Entry]:
    """Entries about the billing years to be run, in order: the approval last, the last runs of the years that it leans on before."""
    found = [approval]
    while True:
        year = found[-1].billing_year - 1
        runs = [e for e in log if e.kind == "run" and e.billing_year == year and e.number < approval.number]
        if not runs:
            return found[::-1]
        found.append(runs[-1])


def lay_out(workspace: Workspace, billing_year: int, contents: list[Content], to: Path) -> ReproducedWorkspace:
    """Make ``to`` the workspace in which the year was run; deliveries of other years stay there.

    Errors: NotReproduced naming what the archive lacks or has changed.
    """
    for name in _OFFICE:
        shutil.rmtree(to / name, ignore_errors=True)
    _write_settings(workspace, billing_year, contents, to)
    own = f"rate_tables/{workspace.file.rate_tables}/"
    for one in contents:
        if one.kind == "table" or one.name == SETTINGS:
            continue
        if one.kind == "delivery":
            district, _, file = one.name.partition("/")
            _lay_delivery(workspace, billing_year, district, file, one, to)
        elif not one.name.startswith("rate_tables/") or one.name.startswith(own):
            _copied(workspace, one, to / _inside(one.name))
    return ReproducedWorkspace(to)


def _inside(name: str) -> PurePosixPath:
    """A name from the log as a path that stays in the folder. NotReproduced if it would not."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise NotReproduced(f"The log names {name!r}, which is no file of a workspace.")
    return path


def _copied(workspace: Workspace, one: Content, target: Path) -> None:
    kept = archived(workspace.archive, one.content_hash)
    if not kept.is_file() or content_hash_of(kept) != one.content_hash:
        raise NotReproduced(
            f"{one.kind} {one.name}: the archive does not have it as it was, under {one.content_hash}. Put that file back from a copy; "
            "annual-billing verify names all that lack."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept, target)


def _lay_delivery(workspace: Workspace, billing_year: int, district: str, file: str, one: Content, to: Path) -> None:
    """Put a delivered file where its district's files lie; a member of a zip by the zip that it came in."""
    folder = to / "deliveries" / str(billing_year) / _inside(district)
    if "/" not in file:
        _copied(workspace, one, folder / _inside(file))
        return
    name, _, member = file.partition("/")
    target = folder / _inside(name)
    if target.is_file():
        return
    for content_hash in _contents_under(workspace, billing_year, district, name):
        kept = archived(workspace.archive, content_hash)
        if kept.is_file() and one.content_hash in _hashes_of_members(kept, member):
            _copied(workspace, Content("delivery", f"{district}/{name}", content_hash), target)
            return
    raise NotReproduced(f"{one.kind} {one.name}: the archive has no zip of that name that holds it as it was.")


def _contents_under(workspace: Workspace, billing_year: int, district: str, name: str) -> Iterator[str]:
    """Hashes of what was delivered under a name, the latest first."""
    ledger = workspace.archive / "ledger" / str(billing_year) / f"{district}.jsonl"
    lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.is_file() else []
    for seen in map(json.loads, reversed([line for line in lines if line.strip()])):
        if seen["source_file"] == name:
            yield str(seen["content_hash"])


def _hashes_of_members(path: Path, member: str) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as zipped:
            for info in zipped.infolist():
                if PurePosixPath(info.filename).name == PurePosixPath(member).name:
                    with zipped.open(info) as content:
                        yield hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except (zipfile.BadZipFile, RuntimeError, OSError):
        return


def _lay_class_averages(workspace: Workspace, log: list[Entry], entry: Entry, to: Path) -> None:
    """Put the class averages that were fixed when ``entry`` was written where a run looks for them."""
    year = entry.billing_year
    before = [e for e in log if (e.kind, e.billing_year) == ("release", year) and e.number < entry.number]
    if not before:
        return
    version, marker_hash = int(before[-1].about["version"]), str(before[-1].about["marker_hash"])
    one = next((one for one in versions(workspace, year) if one.version == version), None)
    if one is None or content_hash_of(one.folder / MARKER) != marker_hash:
        raise NotReproduced(f"v{version} of {year} is not there as it was released; put it back from a copy.")
    target = ReproducedWorkspace(to).bill_files / str(year) / one.folder.name
    target.mkdir(parents=True, exist_ok=True)
    for name in (CLASS_AVERAGES_FILE, MARKER):
        if (one.folder / name).is_file():
            shutil.copyfile(one.folder / name, target / name)


def _write_settings(workspace: Workspace, billing_year: int, contents: list[Content], to: Path) -> None:
    """``workspace.yaml`` with the settings that the year was made with."""
    (wanted,) = [one.content_hash for one in contents if one.name == SETTINGS] or [""]
    kept = archived(workspace.archive, wanted) if wanted else workspace.archive / "none"
    if kept.is_file() and content_hash_of(kept) == wanted:
        settings: dict[str, Any] = json.loads(kept.read_bytes())
        settings.pop("effective")
    elif settings_of(workspace, workspace.year(billing_year)).content_hash == wanted:
        settings = workspace.file.model_dump(
            mode="json", exclude_defaults=True, include={"name", "rate_tables", "effective_month_day", "release"}
        )
    else:
        raise NotReproduced(
            f"workspace.yaml was changed since, and the archive does not have the settings of then, under {wanted}. Put back either from "
            "a copy."
        )
    settings["billing_years"] = [year for year in workspace.file.billing_years if year <= billing_year]
    to.mkdir(parents=True, exist_ok=True)
    (to / "workspace.yaml").write_text(yaml.safe_dump(settings, sort_keys=True), encoding="utf-8")


def reproduce(workspace: Workspace, billing_year: int, version: int | None, to: Path) -> Reproduction:
    """Make a version (by default the last one) again below ``to``, an empty folder or none, and hold its files against the released ones.

    ``to/workspace`` becomes the workspace, ``to/vN`` the files. What came of it is added to the log. Errors: NotReproduced, LogBroken,
    ConfigError.
    """
    workspace.year(billing_year)
    released, earlier = _chosen(workspace, billing_year, version)
    approval = _approval_of(workspace, released)
    was_there = to.exists()
    if was_there and (not to.is_dir() or any(to.iterdir())):
        raise NotReproduced(f"{to} is there already and not empty; name a folder that is not.")
    found = Reproduction(billing_year, released.version, to / f"v{released.version}")
    try:
        bundle = _files_again(workspace, approval, released, earlier, to / "workspace", found)
    except NotReproduced:
        for made in (to / "workspace", found.folder) if was_there else (to,):
            shutil.rmtree(made, ignore_errors=True)
        raise
    then = {str(file["file"]): str(file["content_hash"]) for file in released.marker["files"]}
    again = {file.file: file.content_hash for file in bundle.files}
    for file in sorted(then.keys() | again.keys()):
        if then.get(file) == again.get(file):
            found.same.append(file)
        else:
            state = {(True, True): "is another", (True, False): "is not made", (False, True): "was not released"}
            found.differing.append(f"{file}: {state[file in then, file in again]}")
    about = {"version": released.version, "digest": released.marker["digest"], "differing": found.differing}
    Log(workspace).append("reproduction", billing_year, "", about)
    return found


def _files_again(
    workspace: Workspace, approval: Entry, released: Released, earlier: list[Released], to: Path, found: Reproduction
) -> Bundle:
    """Run the year again in ``to``, and write its files into the reproduction's folder."""
    billing_year = approval.billing_year
    made = _made_again(workspace, approval, to, found)
    found.folder.mkdir(parents=True)
    with open_session(made) as session:
        now = contents_of(session, billing_year)
        found.differing += [f"made from: {what}" for what in differences(contents_of_entry(approval), now)]
        try:
            return write_bundle(
                session, billing_year, found.folder, version=released.version, digest=str(released.marker["digest"]),
                earlier=earlier, decided_on=dt.datetime.fromisoformat(approval.at).date(),
            )  # fmt: skip
        except (NotPostable, DoesNotFit) as why:
            raise NotReproduced("\n".join([*found.differing, f"The files cannot be written again: {why}"])) from None


def _chosen(workspace: Workspace, billing_year: int, version: int | None) -> tuple[Released, list[Released]]:
    """The version, held against its entry in the log, and those before it."""
    released = versions(workspace, billing_year)
    chosen = [one for one in released if version in (None, one.version)][-1:]
    if not chosen:
        there = ", ".join(f"v{one.version}" for one in released) or "none"
        raise NotReproduced(
            f"{billing_year} has no such version; released: {there}."
            if version
            else f"Nothing of {billing_year} is released yet; run: annual-billing release {billing_year}"
        )
    (one,) = chosen
    entries = Log(workspace).entries(billing_year, "release")
    recorded = [entry.about["marker_hash"] for entry in entries if entry.about["version"] == one.version]
    if recorded != [content_hash_of(one.folder / MARKER)]:
        raise NotReproduced(
            f"v{one.version}: {MARKER} is not as the log has it, so there is nothing to hold files against; annual-billing verify "
            f"{billing_year} says what was changed."
        )
    return one, [before for before in released if before.version < one.version]


def _approval_of(workspace: Workspace, released: Released) -> Entry:
    wanted = released.marker["approval"]["entry_hash"]
    found = [entry for entry in Log(workspace).entries(kind="approval") if entry.hash == wanted]
    if not found:
        raise NotReproduced(f"v{released.version}: the log has no approval with the hash that {MARKER} names.")
    return found[0]


def _made_again(workspace: Workspace, approval: Entry, to: Path, found: Reproduction) -> ReproducedWorkspace:
    """The year of an approval, run again in ``to`` from what it was made from, after the years that it leans on."""
    from pipelines.annual_update import run_year

    log = Log(workspace).entries()
    for entry in runs_to_repeat(log, approval):
        year = entry.billing_year
        made = lay_out(workspace, year, contents_of_entry(entry), to)
        _lay_class_averages(workspace, log, entry, to)
        outcome = run_year(made, year, lambda *_: None)
        if not outcome.succeeded:
            raise NotReproduced(f"{year} could not be run again: {outcome.sentence}")
    runs = [e for e in log if (e.kind, e.billing_year) == ("run", approval.billing_year) and e.number < approval.number]
    made_by = runs[-1].about.get("code_version") if runs else None
    if made_by != code_version():
        found.remarks.append(
            f"It was made with code {made_by}; this is code {code_version()}. Where a file differs, make it again with the code of then."
        )
    return made
