"""Pulling: a district's files of a year from where its entry says they are, into the archive.

Belongs here: which of the files that a location has belong to the delivery, what became of each.
Does not belong here: versions and the ledger (``deliveries``), what is in a file (``readers``).

One module per kind of source, each imported only where an entry has that kind. Whatever a location or a file does, it ends as
a sentence about that file or that location; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from assets.pulling.archive import Taken, archived, is_kept
from assets.pulling.download import STILL_WRITTEN, fetch, part_path, too_large
from assets.pulling.folder import FolderLocation
from assets.pulling.location import Found, Location, NotTaken, PassingFault, Patience
from assets.pulling.names import belongs, says_unfinished, shown_name
from assets.pulling.zipped import unpacked
from validations.district import District
from validations.source import S3, Folder, Https, Sftp
from validations.workspace import Workspace

MOST_FILES = 10_000
_NAMES_IN_A_SENTENCE = 3
_SURE_AFTER_SECONDS = 120

T = TypeVar("T")


@dataclass(frozen=True)
class Remembered:
    """A file as it was at the last pull. ``stamp`` is empty if it was too fresh to be told from a later state by it."""

    content_hash: str
    bytes: int
    stamp: str = ""


@dataclass(frozen=True)
class Trouble:
    """Why a file that is at the location was not taken."""

    status: str
    message: str
    bytes: int
    gone: bool = False


@dataclass
class Pulled:
    """What a location had: by shown name, files in the archive and files that were not taken.

    ``failure``: why the location could not be looked at as a whole, else empty. ``others``: names of files there that do not
    belong to the delivery. ``zips``: of the files taken, those that are unpacked (empty) or why not; members are files
    taken, named ``zip/member``.
    """

    taken: dict[str, Remembered] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    zips: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    failure: str = ""


def pull(
    workspace: Workspace,
    billing_year: int,
    entry: District,
    remembered: dict[str, Remembered],
    patience: Patience | None = None,
) -> Pulled:
    """Everything of the delivery that is at the district's source, now in the archive.

    ``remembered``: what an earlier pull took, by shown name. If the source cannot be looked at, that is the answer.
    """
    pulled = Pulled()
    patience = patience or Patience(getattr(entry.source, "time_limit_minutes", 60))
    location: Location | None = None
    try:
        location = opened_location(workspace, billing_year, entry, patience)
        pattern = entry.files.replace("{year}", str(billing_year))
        for name, file in _of_delivery(_patiently(location.found, patience), pattern, pulled).items():
            try:
                pulled.taken[name] = _taken(
                    workspace, billing_year, entry, location, file, remembered.get(name), patience
                )
            except NotTaken as reason:
                pulled.troubles[name] = Trouble(reason.status, str(reason), file.bytes or 0, reason.gone)
            except Exception as error:  # Each kind of location fails in its own way.
                pulled.troubles[name] = Trouble("not_pulled", f"it could not be pulled ({type(error).__name__})", 0)
        _unpack_zips(workspace, entry, pulled)
    except NotTaken as reason:
        return _as_before(workspace, entry, remembered, str(reason))
    except Exception as error:  # Each kind of location fails in its own way.
        return _as_before(workspace, entry, remembered, f"the delivery could not be pulled ({type(error).__name__})")
    finally:
        if location is not None:
            location.close()
    return pulled


def lying_there(workspace: Workspace, billing_year: int, entry: District) -> dict[str, str] | None:
    """Name -> content hash of the delivery's files as they lie in the district's folder; takes nothing into the archive.

    Files that would not be taken are left out. None where the source is no folder, or the folder cannot be looked at.
    """
    if not isinstance(entry.source, Folder):
        return None
    location = FolderLocation(workspace.deliveries(billing_year, entry), workspace.folders_of_deliveries)
    hashes = {}
    try:
        files = _of_delivery(location.found(), entry.files.replace("{year}", str(billing_year)), Pulled())
    except NotTaken:
        return None
    for name, file in files.items():
        if file.not_taken is None and (file.bytes or 0) <= entry.largest_file_mb * 1_000_000:
            try:
                hashes[name] = location.hash_of(file) or ""
            except NotTaken:
                continue
    return hashes


def _as_before(workspace: Workspace, entry: District, remembered: dict[str, Remembered], failure: str) -> Pulled:
    """What was there when the location could last be looked at."""
    files = {n: f for n, f in remembered.items() if "/" not in n}
    kept = {n: f for n, f in files.items() if is_kept(workspace.archive, Taken(f.content_hash, f.bytes))}
    pulled = Pulled(taken=kept, failure=failure)
    _unpack_zips(workspace, entry, pulled)
    return pulled


def opened_location(workspace: Workspace, billing_year: int, entry: District, patience: Patience) -> Location:
    """The entry's source. NotTaken if what it needs is not there, as a variable with a password."""
    source, district = entry.source, entry.district
    match source:
        case Folder():
            return FolderLocation(workspace.deliveries(billing_year, entry), workspace.folders_of_deliveries)
        case Sftp():
            from assets.pulling.sftp import SftpLocation

            known_hosts = _own_file(workspace, source.known_hosts, "known_hosts")
            text = known_hosts.read_text(encoding="utf-8", errors="replace") if known_hosts else None
            return SftpLocation(source, billing_year, district, text, patience)
        case Https():
            from assets.pulling.https import HttpsLocation

            return HttpsLocation(
                source, billing_year, district, _own_file(workspace, source.ca_file, "ca_file"), patience
            )
        case S3():
            from assets.pulling.s3 import S3Location

            return S3Location(source, billing_year, district, _own_file(workspace, source.ca_file, "ca_file"), patience)


def _own_file(workspace: Workspace, below: str | None, key: str) -> Path | None:
    if below is None:
        return None
    path = (workspace.folder / below).resolve()
    if not path.is_relative_to(workspace.folder) or not path.is_file():
        raise NotTaken(f"{below} is no file of the workspace; source.{key} of the district's entry names it")
    return path


def _patiently(ask: Callable[[], T], patience: Patience) -> T:
    faults = 0
    while True:
        try:
            return ask()
        except PassingFault as fault:
            faults += 1
            patience.wait_after(fault, faults)


def _of_delivery(found: list[Found], pattern: str, pulled: Pulled) -> dict[str, Found]:
    """Shown name -> file, in order of name; those still being written and those that do not belong are noted."""
    files: dict[str, Found] = {}
    for file in sorted(found, key=lambda f: f.name):
        name = shown_name(file.name)
        if says_unfinished(file.name, pattern):
            pulled.troubles[name] = Trouble(
                "still_being_written", f"its name says that it is {STILL_WRITTEN}", file.bytes or 0
            )
        elif not belongs(file.name, pattern):
            pulled.others.append(name)
        elif name in files:
            pulled.troubles[name] = Trouble("refused", "several files of this name are there; none is read", 0)
        else:
            files[name] = file
    if len(files) > MOST_FILES:
        raise NotTaken(f"there are {len(files):,} files, and {MOST_FILES:,} are allowed; none is read", "not_pulled")
    return {name: file for name, file in files.items() if name not in pulled.troubles}


def _taken(
    workspace: Workspace,
    billing_year: int,
    entry: District,
    location: Location,
    file: Found,
    last: Remembered | None,
    patience: Patience,
) -> Remembered:
    if file.not_taken is not None:
        raise file.not_taken
    if file.bytes is not None and file.bytes > entry.largest_file_mb * 1_000_000:
        raise too_large(file.bytes, entry.largest_file_mb)
    quiet = getattr(entry.source, "quiet_seconds", 0)
    if quiet and file.age_seconds is not None and file.age_seconds < quiet:
        raise NotTaken(f"it changed less than {quiet} seconds ago and may be {STILL_WRITTEN}", "still_being_written")
    stamp = f"{file.bytes} {file.stamp}"
    if last and last.stamp == stamp and is_kept(workspace.archive, Taken(last.content_hash, last.bytes)):
        return last
    content = _patiently(lambda: _kept_already(workspace, location, file), patience)
    if content is None:
        server = entry.source.model_dump_json(include={"kind", "host", "port", "endpoint_url", "bucket"})
        part = part_path(workspace.parts, f"{entry.district} {billing_year} {server}", file)
        content = fetch(location, file, part, workspace.archive, entry.largest_file_mb, patience)
    # Where time is told in whole seconds, two states of a fresh file can have one stamp.
    sure = file.age_seconds is None or file.age_seconds > _SURE_AFTER_SECONDS
    return Remembered(
        content.content_hash, content.bytes, stamp if sure and not isinstance(entry.source, Folder) else ""
    )


def _kept_already(workspace: Workspace, location: Location, file: Found) -> Taken | None:
    """The file's content if its hash can be had and the archive has it already."""
    content_hash = location.hash_of(file)
    path = archived(workspace.archive, content_hash) if content_hash else None
    if content_hash is None or path is None or not path.is_file():
        return None
    if not location.is_unchanged(file):
        raise NotTaken(STILL_WRITTEN, "still_being_written")
    return Taken(content_hash, path.stat().st_size)


def _unpack_zips(workspace: Workspace, entry: District, pulled: Pulled) -> None:
    if entry.zip_members is None:
        return
    for name, content in list(pulled.taken.items()):
        if not name.lower().endswith(".zip"):
            continue
        try:
            path = archived(workspace.archive, content.content_hash)
            members = unpacked(path, entry.zip_members, workspace.archive, entry.largest_file_mb)
        except NotTaken as reason:
            pulled.zips[name] = str(reason)
        else:
            pulled.zips[name] = ""
            pulled.taken |= {f"{name}/{m}": Remembered(c.content_hash, c.bytes) for m, c in members.items()}


def names_in_words(names: list[str]) -> str:
    """The first few names for a sentence."""
    shown = ", ".join(names[:_NAMES_IN_A_SENTENCE])
    return shown if len(names) <= _NAMES_IN_A_SENTENCE else f"{shown} and {len(names) - _NAMES_IN_A_SENTENCE:,} more"
