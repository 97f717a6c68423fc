"""Deliveries: what is received is kept unchanged, told apart by content, and never raises.

Belongs here: ``receive`` against real folders and file systems. Does not belong here: what is in a file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import ibis
import pytest
from front_door_helpers import copy_of_workspace, entry_of, rows_of
from fsspec.implementations.memory import MemoryFileSystem

from assets.deliveries import archived, receive
from validations.contract import violations
from validations.district import District
from validations.tables import DELIVERIES
from validations.workspace import Workspace

YEAR = 2018


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return copy_of_workspace(tmp_path / "workspace")


@pytest.fixture
def entry(workspace: Workspace) -> District:
    return workspace.districts["alder_creek"]


def put(workspace: Workspace, entry: District, name: str, content: bytes) -> Path:
    folder = Path(workspace.deliveries(YEAR, entry))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def statuses(workspace: Workspace, entry: District) -> list[tuple[str, bytes, int, str]]:
    """(file, content in the archive, version, status), after checking what holds for every delivery."""
    rows = receive(workspace, YEAR, entry)
    keys = [(row["source_file"], row["content_hash"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(row.keys() == DELIVERIES.columns.keys() and row["message"] for row in rows)
    assert not list(workspace.archive.rglob("*.tmp"))
    found = []
    for row in rows:
        content = archived(workspace.archive, row["content_hash"]).read_bytes() if row["content_hash"] else b""
        if row["content_hash"]:
            assert hashlib.sha256(content).hexdigest() == row["content_hash"]
            assert len(content) == row["bytes"]
        found.append((row["source_file"], content, row["version"], row["status"]))
    return found


def test_content_is_kept_unchanged_under_its_hash_and_receiving_again_changes_nothing(
    con: Any, workspace: Workspace, entry: District
) -> None:
    content = bytes(range(256)) * 10_000
    put(workspace, entry, "a.csv", content)
    first = statuses(workspace, entry)
    assert first == [("a.csv", content, 1, "current")]
    kept = {path: path.read_bytes() for path in workspace.archive.rglob("*") if path.is_file()}
    assert statuses(workspace, entry) == first
    assert {path: path.read_bytes() for path in workspace.archive.rglob("*") if path.is_file()} == kept
    table = con.create_table("received", DELIVERIES.empty().to_pyarrow(), overwrite=True)
    con.insert("received", ibis.memtable(receive(workspace, YEAR, entry), schema=DELIVERIES.schema))
    assert rows_of(con, violations(DELIVERIES, table)) == []


def test_the_same_content_under_two_names_is_one_delivery(workspace: Workspace, entry: District) -> None:
    put(workspace, entry, "b.csv", b"one")
    put(workspace, entry, "a.csv", b"one")
    put(workspace, entry, "c.csv", b"two")
    assert statuses(workspace, entry) == [
        ("a.csv", b"one", 1, "current"), ("b.csv", b"one", 1, "same_content"), ("c.csv", b"two", 1, "current"),
    ]  # fmt: skip


def test_changed_content_is_a_new_version_and_going_back_makes_the_former_current(
    workspace: Workspace, entry: District
) -> None:
    path = put(workspace, entry, "a.csv", b"one")
    statuses(workspace, entry)
    path.write_bytes(b"two")
    assert statuses(workspace, entry) == [("a.csv", b"one", 1, "superseded"), ("a.csv", b"two", 2, "current")]
    path.write_bytes(b"one")
    assert statuses(workspace, entry) == [("a.csv", b"one", 1, "current"), ("a.csv", b"two", 2, "superseded")]
    ledger = workspace.archive / "ledger" / str(YEAR) / "alder_creek.jsonl"
    assert [json.loads(line)["bytes"] for line in ledger.read_text().splitlines()] == [3, 3]


def test_a_file_taken_away_is_withdrawn_and_kept_and_can_come_back(workspace: Workspace, entry: District) -> None:
    path = put(workspace, entry, "a.csv", b"one")
    put(workspace, entry, "b.csv", b"one")
    statuses(workspace, entry)
    path.unlink()
    assert statuses(workspace, entry) == [("a.csv", b"one", 1, "withdrawn"), ("b.csv", b"one", 1, "current")]
    shutil.rmtree(path.parent)
    assert [status for *_, status in statuses(workspace, entry)] == ["withdrawn", "withdrawn", "not_received"]
    put(workspace, entry, "a.csv", b"one")
    assert statuses(workspace, entry) == [("a.csv", b"one", 1, "current"), ("b.csv", b"one", 1, "withdrawn")]


def test_nothing_received_is_a_row_that_says_whom_to_ask(workspace: Workspace, entry: District) -> None:
    assert statuses(workspace, entry) == [("", b"", 0, "not_received")]
    Path(workspace.deliveries(YEAR, entry)).mkdir(parents=True)
    assert [row["message"] for row in receive(workspace, YEAR, entry)] == [
        "no file *.csv was found; ask billing@alder-creek.example"
    ]


def test_what_does_not_match_the_pattern_or_is_hidden_is_no_delivery(workspace: Workspace, entry: District) -> None:
    for name in ("a.csv", "a.csv.bak", "notes.txt", ".a.csv", "~$a.csv", "acsv"):
        put(workspace, entry, name, name.encode())
    (Path(workspace.deliveries(YEAR, entry)) / "folder.csv").mkdir()
    assert [name for name, *_ in statuses(workspace, entry)] == ["a.csv"]


def test_districts_and_years_have_ledgers_of_their_own(workspace: Workspace, entry: District) -> None:
    put(workspace, entry, "a.csv", b"one")
    statuses(workspace, entry)
    assert [row["status"] for row in receive(workspace, 2019, entry)] == ["not_received"]
    assert [row["status"] for row in receive(workspace, YEAR, workspace.districts["dunmore"])] == ["not_received"]


def test_a_location_on_another_file_system_is_pulled_alike(workspace: Workspace) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe({"/drop/2018/alder_creek/a.csv": b"one", "/drop/2018/alder_creek/.b.csv": b"two"})
    try:
        entry = entry_of("alder_creek", location="memory://drop/{year}/{district}")
        assert statuses(workspace, entry) == [("a.csv", b"one", 1, "current")]
        filesystem.pipe("/drop/2018/alder_creek/a.csv", b"more")
        assert statuses(workspace, entry) == [("a.csv", b"one", 1, "superseded"), ("a.csv", b"more", 2, "current")]
    finally:
        filesystem.rm("/drop", recursive=True)


class _OutageError(Exception):
    """What a storage service's own library raises: no OSError."""


class _FailingFileSystem(MemoryFileSystem):
    """A location that lists its files and fails at one of them, or at once."""

    protocol = "failing"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("failing://", "memory://")))

    def exists(self, path: str, **kwargs: Any) -> bool:
        if "down" in path:
            raise _OutageError("secret-token")
        return bool(super().exists(path, **kwargs))

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if "broken" in path and "r" in mode:
            raise _OutageError("secret-token")
        return super().open(path, mode, **kwargs)


@pytest.fixture
def failing() -> Any:
    fsspec.register_implementation("failing", _FailingFileSystem, clobber=True)
    filesystem = fsspec.filesystem("failing")
    yield filesystem
    filesystem.store.clear()


@pytest.mark.parametrize(
    "location", ["failing://down", "nosuchprotocol://x", "/proc/1/nothing/{year}", "s3://bucket/x"]
)
def test_a_location_that_fails_is_a_row_and_no_exception(workspace: Workspace, failing: Any, location: str) -> None:
    rows = receive(workspace, YEAR, entry_of("alder_creek", location=location))
    assert [row["status"] for row in rows] == ["not_received"]
    assert "secret-token" not in rows[0]["message"]


def test_a_location_that_fails_half_way_is_not_taken_for_a_whole_delivery(workspace: Workspace, failing: Any) -> None:
    failing.pipe({"/drop/a.csv": b"one", "/drop/b.csv": b"two"})
    entry = entry_of("alder_creek", location="failing://drop")
    assert [status for *_, status in statuses(workspace, entry)] == ["current", "current"]
    failing.mv("/drop/b.csv", "/drop/broken.csv")
    rows = receive(workspace, YEAR, entry)
    assert [(row["source_file"], row["status"]) for row in rows] == [
        ("a.csv", "current"), ("b.csv", "withdrawn"), ("", "not_received"),
    ]  # fmt: skip
    assert all("could not be pulled" in row["message"] for row in rows[1:])
