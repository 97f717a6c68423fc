"""Deliveries: what a district sent for a year, pulled and kept unchanged.

Belongs here: telling versions of a file apart, the ledger of what was ever seen, what becomes of each file.
Does not belong here: getting files from where they are (``pulling``), reading what is in a file (``readers``, ``consumption``).

Content is kept under its hash, for ever; the ledger says which content was seen under which name, and when. Nothing in a
file or at a location raises: a delivery that cannot be had is a row that says so. What came before stays in force while the
location cannot be looked at.
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.durable import whole_file
from assets.pulling import Pulled, Remembered, names_in_words, pull
from assets.pulling.archive import archived, content_hash_of
from assets.pulling.location import Patience
from assets.stage import Making, Session, Slice, asset_facts, version_of, with_next_step, years_of
from validations.district import District
from validations.tables import DELIVERIES
from validations.workspace import Workspace

__all__ = ["archived", "content_hash_of", "deliveries_asset", "receive"]


@dataclass(frozen=True)
class Seen:
    """A line of the ledger: this content was seen under this name, first on this day."""

    source_file: str
    content_hash: str
    bytes: int
    received_on: str


@dataclass(frozen=True)
class OtherYear:
    """Another billing year of the district in whose ledger a content stands; ``holds`` if its file is still there."""

    billing_year: int
    seen: Seen
    holds: bool


def _ledger_path(workspace: Workspace, billing_year: int, entry: District) -> Path:
    return workspace.archive / "ledger" / str(billing_year) / f"{entry.district}.jsonl"


def _read_ledger(path: Path) -> list[Seen]:
    if not path.exists():
        return []
    return [Seen(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _write_ledger(path: Path, seen: list[Seen]) -> None:
    with whole_file(path) as beside:
        beside.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in seen), encoding="utf-8")


def _read_last_seen(ledger_path: Path) -> dict[str, Remembered] | None:
    """Files as they were when the location was last looked at; None if it never was."""
    path = ledger_path.with_suffix(".last_seen.json")
    if not path.exists():
        return None
    return {name: Remembered(**facts) for name, facts in json.loads(path.read_text(encoding="utf-8")).items()}


def last_seen_hashes(workspace: Workspace, billing_year: int, entry: District) -> dict[str, str]:
    """Name -> content hash of the files that the last run took, as they lay at the district's location (zips, not their members)."""
    seen = _read_last_seen(_ledger_path(workspace, billing_year, entry)) or {}
    return {name: file.content_hash for name, file in seen.items() if "/" not in name}


def _write_last_seen(ledger_path: Path, files: dict[str, Remembered]) -> None:
    text = json.dumps({name: asdict(file) for name, file in files.items()}, indent=1)
    with whole_file(ledger_path.with_suffix(".last_seen.json")) as beside:
        beside.write_text(text, encoding="utf-8")


def _in_other_years(workspace: Workspace, billing_year: int, entry: District) -> dict[str, OtherYear]:
    """Content hash -> the other year that had it first; one that has it still comes before one that has not."""
    found: dict[str, OtherYear] = {}
    for folder in (workspace.archive / "ledger").glob("[0-9]*"):
        if not folder.name.isdigit() or int(folder.name) == billing_year:
            continue
        path = _ledger_path(workspace, int(folder.name), entry)
        last_seen = _read_last_seen(path)
        for seen in _read_ledger(path):
            other = OtherYear(int(folder.name), seen, last_seen is None or seen.source_file in last_seen)
            former = found.get(seen.content_hash)
            if seen.bytes and (former is None or _precedence(other) < _precedence(former)):
                found[seen.content_hash] = other
    return found


def _precedence(other: OtherYear) -> tuple[bool, str, int]:
    return not other.holds, other.seen.received_on, other.billing_year


def receive(
    workspace: Workspace, billing_year: int, entry: District, patience: Patience | None = None
) -> list[dict[str, Any]]:
    """Pull the district's delivery of a year into the archive.

    Returns rows of the ``deliveries`` table: one per content seen under a name, one per file that was not taken, and one of
    the district itself (``not_received``) if nothing is read, or (``not_checked``) if its files could not be looked at.
    """
    ledger_path = _ledger_path(workspace, billing_year, entry)
    ledger, last_seen = _read_ledger(ledger_path), _read_last_seen(ledger_path) or {}
    pulled = pull(workspace, billing_year, entry, last_seen, patience)
    if not pulled.failure:
        _write_last_seen(ledger_path, pulled.taken)
    known = {(seen.source_file, seen.content_hash) for seen in ledger}
    today = dt.date.today().isoformat()
    new = [
        Seen(name, file.content_hash, file.bytes, today)
        for name, file in pulled.taken.items()
        if (name, file.content_hash) not in known
    ]
    if new:
        _write_ledger(ledger_path, ledger + new)
    judged = _Judged(pulled, _in_other_years(workspace, billing_year, entry), billing_year, entry)
    rows = [judged.of_content(seen) for seen in ledger + new]
    rows += [judged.of_trouble(name) for name in pulled.troubles]
    if not any(row["status"] == "current" for row in rows):
        rows.append(judged.row("", "not_received", judged.why_nothing_is_read(rows)))
    elif pulled.failure:
        rows.append(judged.row(
            "", "not_checked", f"{pulled.failure}; what was received before is read, whether more has come is not known"
        ))  # fmt: skip
    return rows


class _Judged:
    """What becomes of each file, and the rows that say so."""

    def __init__(self, pulled: Pulled, other_years: dict[str, OtherYear], billing_year: int, entry: District) -> None:
        self._pulled = pulled
        self._other_years = other_years
        self._year = billing_year
        self._entry = entry
        self._versions: dict[str, int] = {}
        self._first_name: dict[str, str] = {}
        for name in sorted(pulled.taken):
            self._first_name.setdefault(pulled.taken[name].content_hash, name)

    def row(
        self, source_file: str, status: str, message: str, seen: Seen | None = None, bytes_there: int = 0
    ) -> dict[str, Any]:
        return {
            "district_id": self._entry.district, "source_file": source_file,
            "content_hash": seen.content_hash if seen else "", "bytes": seen.bytes if seen else bytes_there,
            "version": self._versions.get(source_file, 0),
            "received_on": dt.date.fromisoformat(seen.received_on) if seen else None, "status": status, "message": message,
        }  # fmt: skip

    def of_content(self, seen: Seen) -> dict[str, Any]:
        self._versions[seen.source_file] = self._versions.get(seen.source_file, 0) + 1
        return self.row(seen.source_file, *self._fate(seen), seen)

    def _fate(self, seen: Seen) -> tuple[str, str]:
        name, pulled = seen.source_file, self._pulled
        trouble = pulled.troubles.get(name)
        if name not in pulled.taken and (trouble is None or trouble.gone):
            return "withdrawn", "the file is no longer at the district's location; it is kept but not read"
        if trouble is not None:
            return (
                "superseded",
                "the file of this name that is there now was not taken; this content is kept but not read",
            )
        if pulled.taken[name].content_hash != seen.content_hash:
            return "superseded", "another content was delivered under this name; this one is kept but not read"
        first = self._first_name[seen.content_hash]
        if first != name:
            return "same_content", f"the same content as {first}; read once"
        if pulled.zips.get(name):
            return "refused", pulled.zips[name]
        return self._against_other_years(seen)

    def _against_other_years(self, seen: Seen) -> tuple[str, str]:
        taken = ("unpacked", "unpacked") if seen.source_file in self._pulled.zips else ("current", "read")
        other = self._other_years.get(seen.content_hash)
        if other is None:
            return taken
        same = f"the same content was received for billing year {other.billing_year} as {other.seen.source_file}"
        if not other.holds:
            return taken[0], f"{taken[1]}; {same} on {other.seen.received_on}, where it is no longer"
        if (seen.received_on, self._year) < (other.seen.received_on, other.billing_year):
            return taken
        return "sent_before", (
            f"{same} on {other.seen.received_on}; it is not read. Ask {self._entry.write_to} for the file of {self._year}; if "
            f"this is the one, take it away from {other.billing_year} and run that year again first"
        )

    def of_trouble(self, name: str) -> dict[str, Any]:
        trouble = self._pulled.troubles[name]
        return self.row(name, trouble.status, trouble.message, bytes_there=trouble.bytes)

    def why_nothing_is_read(self, rows: list[dict[str, Any]]) -> str:
        if self._pulled.failure:
            return self._pulled.failure
        ask = f"ask {self._entry.write_to}"
        there = [row for row in rows if row["status"] not in ("withdrawn", "superseded", "same_content", "unpacked")]
        if len(there) == 1:
            return f"nothing is read: {there[0]['source_file']}: {there[0]['message']}"
        if there:
            return f"nothing is read of {len(there)} files; the row of each says why. If they are not right, {ask}"
        pattern = self._entry.files.replace("{year}", str(self._year))
        others = self._pulled.others
        beside = f" (other names are there: {names_in_words(others)})" if others else ""
        return f"no file {pattern} was found{beside}; {ask}"


def deliveries_asset(entry: District, workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster asset ``deliveries/<district>``."""

    @dg.asset(
        key=["deliveries", entry.district],
        partitions_def=years_of(workspace),
        group_name="deliveries",
        description=with_next_step(
            DELIVERIES,
            f"Files of {entry.name}, one row per {DELIVERIES.row}. Pulled from where the registry says and kept unchanged under the hash of "
            "their content; the same content twice is one delivery, changed content a new version.",
        ),
        required_resource_keys={"session"},
        **asset_facts(DELIVERIES, workspace),
    )
    def _deliveries(context: dg.AssetExecutionContext) -> Making:
        session: Session = context.resources.session
        year = int(context.partition_key)
        rows = receive(session.workspace, year, session.workspace.district(entry.district, year))
        version = version_of("deliveries", entry.district, *rows)
        return Making(DELIVERIES, year, {entry.district: Slice(version, lambda: DELIVERIES.of_rows(rows))})

    return _deliveries
