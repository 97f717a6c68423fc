"""Deliveries: what a district sent for a year, pulled and kept unchanged.

Belongs here: listing and copying a district's files, telling versions of a file apart, the ledger of what was ever seen.
Does not belong here: reading what is in a file (``readers``, ``consumption``).

Content is kept under its hash, for ever; the ledger says which content was seen under which name, and when. Nothing in a
file or at a location raises: a delivery that cannot be had is a row that says so.
"""

import datetime as dt
import fnmatch
import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import ibis

from assets.stage import Making, Session, Slice, asset_facts, version_of, years_of
from validations.district import District
from validations.tables import DELIVERIES
from validations.workspace import Workspace

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Seen:
    """A line of the ledger: this content was seen under this name, first on this day."""

    source_file: str
    content_hash: str
    bytes: int
    received_on: str


def archived(archive: Path, content_hash: str) -> Path:
    """Where content is kept."""
    return archive / content_hash[:2] / content_hash


def content_hash_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(filesystem: Any, remote: str, archive: Path) -> tuple[str, int]:
    """Copy a file into the archive, hashing as it goes. Returns its hash and size."""
    archive.mkdir(parents=True, exist_ok=True)
    beside = archive / f".{uuid.uuid4().hex}.tmp"
    digest, size = hashlib.sha256(), 0
    try:
        with filesystem.open(remote, "rb") as source, beside.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        kept = archived(archive, digest.hexdigest())
        kept.parent.mkdir(exist_ok=True)
        beside.rename(kept)
    finally:
        beside.unlink(missing_ok=True)
    return digest.hexdigest(), size


def _read_ledger(path: Path) -> list[Seen]:
    if not path.exists():
        return []
    return [Seen(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _extend_ledger(path: Path, seen: list[Seen]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as ledger:
        ledger.writelines(json.dumps(asdict(entry)) + "\n" for entry in seen)
        ledger.flush()
        os.fsync(ledger.fileno())


def receive(workspace: Workspace, billing_year: int, entry: District) -> list[dict[str, Any]]:
    """Pull the district's delivery of a year into the archive.

    Returns rows of the ``deliveries`` table: one per content seen, and one ``not_received`` if nothing is there or not
    everything could be pulled.
    """
    location = workspace.deliveries(billing_year, entry)
    ledger_path = workspace.archive / "ledger" / str(billing_year) / f"{entry.district}.jsonl"
    ledger = _read_ledger(ledger_path)
    present: dict[str, tuple[str, int]] = {}
    trouble = ""
    try:
        filesystem, root = fsspec.core.url_to_fs(location)
        listed = filesystem.ls(root, detail=True) if filesystem.exists(root) else []
        for item in sorted(listed, key=lambda i: i["name"]):
            name = item["name"].rstrip("/").rsplit("/", 1)[-1]
            if item["type"] == "file" and fnmatch.fnmatch(name, entry.files) and not name.startswith((".", "~$")):
                present[name] = _keep(filesystem, item["name"], workspace.archive)
    except Exception as error:  # Each kind of location fails in its own way.
        trouble = f"the delivery could not be pulled ({type(error).__name__})"

    known = {(seen.source_file, seen.content_hash) for seen in ledger}
    today = dt.date.today().isoformat()
    new = [Seen(name, sha, size, today) for name, (sha, size) in present.items() if (name, sha) not in known]
    if new:
        _extend_ledger(ledger_path, new)
        ledger += new

    rows, versions, first_name = [], dict[str, int](), dict[str, str]()
    for name, (sha, _) in present.items():
        first_name.setdefault(sha, name)
    gone = "the file is no longer at the district's location"
    for seen in ledger:
        name, sha = seen.source_file, seen.content_hash
        versions[name] = versions.get(name, 0) + 1
        if name not in present:
            status, message = "withdrawn", f"{trouble or gone}; it is kept but not read"
        elif present[name][0] != sha:
            status, message = (
                "superseded",
                "another content was delivered under this name; this one is kept but not read",
            )
        elif first_name[sha] != name:
            status, message = "same_content", f"the same content as {first_name[sha]}; read once"
        else:
            status, message = "current", "read"
        rows.append({
            "district_id": entry.district, "source_file": name, "content_hash": sha, "bytes": seen.bytes,
            "version": versions[name], "received_on": dt.date.fromisoformat(seen.received_on), "status": status,
            "message": message,
        })  # fmt: skip
    if trouble or not present:
        rows.append({
            "district_id": entry.district, "source_file": "", "content_hash": "", "bytes": 0, "version": 0,
            "received_on": None, "status": "not_received",
            "message": trouble or f"no file {entry.files} was found; ask {entry.write_to}",
        })  # fmt: skip
    return rows


def deliveries_asset(entry: District, workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster asset ``deliveries/<district>``."""

    @dg.asset(
        key=["deliveries", entry.district],
        partitions_def=years_of(workspace),
        group_name="deliveries",
        description=f"Files of {entry.name}, one row per {DELIVERIES.row}. Pulled from where the registry says and kept "
        "unchanged under the hash of their content; the same content twice is one delivery, changed content a new version.",
        required_resource_keys={"session"},
        **asset_facts(DELIVERIES, workspace),
    )
    def _deliveries(context: dg.AssetExecutionContext) -> Making:
        session: Session = context.resources.session
        year = int(context.partition_key)
        rows = receive(session.workspace, year, entry)
        version = version_of("deliveries", entry.district, *rows)
        return Making(
            DELIVERIES, year, {entry.district: Slice(version, lambda: ibis.memtable(rows, schema=DELIVERIES.schema))}
        )

    return _deliveries
