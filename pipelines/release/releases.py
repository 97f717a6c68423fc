"""Releases: the versions of a year that left the house.

Belongs here: which versions there are, and what the marker of each says.
Does not belong here: who approved one (``approval``), proof of all that a year rests on (``verification``).

A folder counts as a release once its marker, written last, is in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.pulling.archive import content_hash_of
from rate_tables.config_file import ConfigError
from validations.workspace import MARKER, Workspace


class NotAsReleased(Exception):
    """There is no such version, or a file of it is not as it was released; the message says what to do."""


@dataclass(frozen=True)
class Released:
    """A version: its number, its folder, and its marker as it was written."""

    version: int
    folder: Path
    marker: dict[str, Any]


def versions(workspace: Workspace, billing_year: int) -> list[Released]:
    """The released versions of a year, the first one first. ConfigError naming a marker that cannot be read."""
    found = []
    for path in (workspace.bill_files / str(billing_year)).glob(f"v*/{MARKER}"):
        number = _number(path.parent)
        if number is None:
            continue
        try:
            marker = json.loads(path.read_bytes())
        except (OSError, ValueError):
            marker = None
        if not isinstance(marker, dict):
            raise ConfigError(
                f"{path.relative_to(workspace.folder).as_posix()}: it cannot be read; put it back from a copy. annual-billing verify "
                f"{billing_year} names everything that was changed."
            )
        found.append(Released(number, path.parent, marker))
    return sorted(found, key=lambda one: one.version)


def _number(folder: Path) -> int | None:
    found = re.fullmatch(r"v([1-9][0-9]{0,5})", folder.name)
    return int(found[1]) if found else None


def unfinished(workspace: Workspace, billing_year: int) -> list[Path]:
    """Folders of versions without a marker: a release was stopped, or the marker was taken away. None of them is a release."""
    folders = (workspace.bill_files / str(billing_year)).glob("v*")
    return sorted(f for f in folders if f.is_dir() and _number(f) is not None and not (f / MARKER).is_file())


def last(workspace: Workspace, billing_year: int) -> Released | None:
    """The latest released version of a year; None before the first. Errors as ``versions``."""
    found = versions(workspace, billing_year)
    return found[-1] if found else None


def chosen_version(workspace: Workspace, billing_year: int, version: int | None) -> Released:
    """The version that a person names, the last one if none. NotAsReleased if there is none; else errors as ``versions``."""
    workspace.year(billing_year)
    there = versions(workspace, billing_year)
    if not there:
        raise NotAsReleased(f"{billing_year} is not released; run: annual-billing release {billing_year} --by NAME")
    found = [one for one in there if version in (None, one.version)]
    if not found:
        allowed = ", ".join(str(one.version) for one in there)
        raise NotAsReleased(f"--version: {billing_year} has no version {version}; allowed: {allowed}.")
    return found[-1]


def posted_files(released: Released) -> list[Path]:
    """The CSV file of each billing agency. NotAsReleased naming one that is not as it was released."""
    hashes = {str(one["file"]): str(one["content_hash"]) for one in released.marker["files"]}
    files = [released.folder / f"{one['billing_agency']}.csv" for one in released.marker["agencies"]]
    for path in files:
        if not path.is_file() or content_hash_of(path) != hashes.get(path.name):
            raise NotAsReleased(
                f"v{released.version} of {released.marker['billing_year']}: {path.name} is not as it was released. Put it back from a copy; "
                f"annual-billing verify {released.marker['billing_year']} names all that was changed."
            )
    return files
