"""Files that are only added to, decisions and overrides, as the log knows them.

Belongs here: the states of such a file that the log holds; the entry that lacks where a command was killed between file and log.
Does not belong here: adding to the files (``pipelines.review.taking_in``, ``gate``), judging what was changed (``verification``).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.contents import GROWING, contents_of_entry, grown
from assets.log import Entry, Log
from assets.pulling.archive import archived
from validations.workspace import Workspace


def states_in_log(workspace: Workspace, entries: list[Entry]) -> dict[str, list[tuple[int, str, int]]]:
    """File -> its states in order: size in bytes, hash, number of the entry."""
    states: dict[str, list[tuple[int, str, int]]] = {}
    for entry in entries:
        if {"file", "bytes", "content_hash"} <= entry.about.keys():
            states.setdefault(str(entry.about["file"]), []).append(
                (int(entry.about["bytes"]), str(entry.about["content_hash"]), entry.number)
            )
        for one in contents_of_entry(entry):
            kept = archived(workspace.archive, one.content_hash)
            if one.kind in GROWING and kept.is_file():
                states.setdefault(one.name, []).append((kept.stat().st_size, one.content_hash, entry.number))
    return states


def take_into_log(workspace: Workspace, billing_year: int) -> None:
    """Add the entry that a command owes which was killed after it had added to a file. Errors: LogBroken.

    A file that does not begin as the log holds it is left alone: ``verify`` names it.
    """
    log = Log(workspace)
    states = states_in_log(workspace, log.entries(billing_year))
    decisions, overrides = workspace.decisions(billing_year), workspace.overrides(billing_year)
    rows = _rows_unknown(decisions, states)
    if rows:
        names = {row["decided_by"] for row in rows}
        about = {"decisions": len(rows), **grown(f"decisions/{decisions.name}", decisions)}
        log.append("decisions", billing_year, names.pop() if len(names) == 1 else "", about)
    rows = _rows_unknown(overrides, states)
    if rows:
        about = about_override(rows[-1], overrides)
        log.append("override", billing_year, rows[-1]["overridden_by"], about)


def about_override(row: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What the log says of an override that is the last line of its file."""
    said = {name: row[name] for name in ("override_id", "block_id", "evidence_hash", "reason")}
    return said | grown(f"decisions/{path.name}", path)


def _rows_unknown(path: Path, states: dict[str, list[tuple[int, str, int]]]) -> list[dict[str, str]]:
    """Rows at the end of a file that no entry knows."""
    content = path.read_bytes() if path.is_file() else b""
    size, content_hash, _ = max(states.get(f"decisions/{path.name}", []), default=(0, "", 0))
    if len(content) <= size or (size and hashlib.sha256(content[:size]).hexdigest() != content_hash):
        return []
    text = content.decode("utf-8-sig", errors="replace")
    header = next(csv.reader(io.StringIO(text)))
    rest = content[size:].decode("utf-8", errors="replace") if size else text.partition("\n")[2]
    return [row for row in csv.DictReader(io.StringIO(rest), fieldnames=header) if None not in row.values()]
