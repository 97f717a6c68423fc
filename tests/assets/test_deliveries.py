"""Deliveries: what is received is kept unchanged, told apart by content, and never raises.

Belongs here: ``receive`` against real folders: versions, years, zips, names, files that are not taken.
Does not belong here: servers (``test_pulling``), what is in a file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import threading
import zipfile
from pathlib import Path
from typing import Any

import ibis
import pytest
from front_door_helpers import copy_of_workspace, entry_of, rows_of
from hypothesis import example, given
from hypothesis import strategies as st

from assets.deliveries import archived, content_hash_of, receive
from assets.pulling import folder
from assets.pulling.names import LONGEST_NAME, shown_name
from rate_tables.config_file import ConfigError
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


def put(workspace: Workspace, entry: District, name: str, content: bytes, year: int = YEAR) -> Path:
    folder = workspace.deliveries(year, entry)
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
    workspace.deliveries(YEAR, entry).mkdir(parents=True)
    assert [row["message"] for row in receive(workspace, YEAR, entry)] == [
        "no file *.csv was found; ask billing@alder-creek.example"
    ]


def test_what_does_not_match_the_pattern_is_no_delivery(workspace: Workspace, entry: District) -> None:
    for name in ("a.csv", "a.csv.bak", "notes.txt", "._a.csv", ".DS_Store", "acsv"):
        put(workspace, entry, name, name.encode())
    (workspace.deliveries(YEAR, entry) / "folder.csv").mkdir()
    assert [name for name, *_ in statuses(workspace, entry)] == ["a.csv"]


def test_districts_and_years_have_ledgers_of_their_own(workspace: Workspace, entry: District) -> None:
    put(workspace, entry, "a.csv", b"one")
    statuses(workspace, entry)
    assert [row["status"] for row in receive(workspace, 2019, entry)] == ["not_received"]
    assert [row["status"] for row in receive(workspace, YEAR, workspace.districts["dunmore"])] == ["not_received"]


def test_names_beside_the_pattern_are_named_when_nothing_came(workspace: Workspace, entry: District) -> None:
    for name in ("A.CSV", "notes.txt"):
        put(workspace, entry, name, b"one")
    assert [row["message"] for row in receive(workspace, YEAR, entry)] == [
        "no file *.csv was found (other names are there: A.CSV, notes.txt); ask billing@alder-creek.example"
    ]


def test_the_year_is_filled_into_the_pattern(workspace: Workspace) -> None:
    entry = entry_of("alder_creek", source={"kind": "folder", "path": "outbox"}, files="use_{year}*.csv")
    for name in ("use_2017.csv", "use_2018.csv", "use_2018_late.csv"):
        put(workspace, entry, name, name.encode())
    assert [name for name, *_ in statuses(workspace, entry)] == ["use_2018.csv", "use_2018_late.csv"]


# --- folders ---------------------------------------------------------------------------------------------------------


def registry_with(workspace: Workspace, source: str, workspace_lines: str = "") -> Workspace:
    path = workspace.folder / "districts" / "alder_creek.yaml"
    path.write_text(path.read_text() + f"source: {source}\n")
    with (workspace.folder / "workspace.yaml").open("a") as file:
        file.write(workspace_lines)
    return Workspace(workspace.folder)


@pytest.mark.parametrize("path", ["/etc/{year}", "../{year}", "a/../../{year}", "/"])
def test_a_registry_that_points_outside_the_workspace_is_refused(workspace: Workspace, path: str) -> None:
    source = f'{{kind: folder, path: "{path}"}}\nfiles: "*{{year}}.csv"'
    entry = workspace.folder / "districts" / "alder_creek.yaml"
    entry.write_text(entry.read_text().replace('files: "*.csv"\n', ""))
    with pytest.raises(ConfigError) as caught:
        _ = registry_with(workspace, source).districts
    assert str(caught.value) == (
        f"districts/alder_creek.yaml: key source.path: {path!r} leads out of the workspace; allowed: a folder below it, or "
        "below one that workspace.yaml lists under deliveries_from."
    )


def test_a_folder_outside_is_read_once_the_workspace_lists_where_it_is(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "incoming"
    (outside / "2018").mkdir(parents=True)
    (outside / "2018" / "a.csv").write_bytes(b"one")
    there = registry_with(workspace, f'{{kind: folder, path: "{outside}/{{year}}"}}', f"deliveries_from: [{outside}]\n")
    assert statuses(there, there.districts["alder_creek"]) == [("a.csv", b"one", 1, "current")]


def test_promise_9_links_and_pipes_are_not_followed_out_of_the_folder(
    workspace: Workspace, entry: District, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"secret")
    folder = put(workspace, entry, "a.csv", b"one").parent
    (folder / "b.csv").symlink_to(secret)
    (folder / "c.csv").symlink_to("a.csv")
    (folder / "d.csv").symlink_to("nothing")
    (folder / "e.csv").symlink_to(tmp_path)
    os.mkfifo(folder / "f.csv")
    rows = {row["source_file"]: (row["status"], row["message"]) for row in receive(workspace, YEAR, entry)}
    assert rows == {
        "a.csv": ("current", "read"),
        "b.csv": ("refused", "it is a link that leads out of the district's folder; it is not read"),
        "c.csv": ("same_content", "the same content as a.csv; read once"),
        "d.csv": ("refused", "it is a link that leads nowhere; it is not read"),
        "e.csv": ("refused", "it is a link that leads out of the district's folder; it is not read"),
        "f.csv": ("refused", "it is no ordinary file; it is not read"),
    }
    assert not archived(workspace.archive, hashlib.sha256(b"secret").hexdigest()).exists()


def test_a_folder_that_is_itself_a_link_outside_is_a_row(workspace: Workspace, entry: District, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"secret")
    folder = workspace.deliveries(YEAR, entry)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path)
    (row,) = receive(workspace, YEAR, entry)
    assert (row["status"], row["message"]) == (
        "not_received",
        "the district's folder is a link that leads out of the workspace; nothing is read from there",
    )


def test_a_folder_that_cannot_be_read_leaves_what_came_before_in_force(workspace: Workspace, entry: District) -> None:
    folder = put(workspace, entry, "a.csv", b"one").parent
    statuses(workspace, entry)
    shutil.rmtree(folder)
    folder.write_bytes(b"a file where the folder was")
    rows = receive(workspace, YEAR, entry)
    assert [(row["source_file"], row["status"]) for row in rows] == [("a.csv", "current"), ("", "not_checked")]
    assert rows[1]["message"] == (
        "the district's folder cannot be read (Not a directory); what was received before is read, whether more has come is "
        "not known"
    )


# --- still being written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv.part", "a.csv.tmp", "a.csv.filepart", "~$a.csv", ".a.csv", ".a.csv.x7Qa01"])
def test_a_name_that_says_unfinished_is_not_taken(workspace: Workspace, entry: District, name: str) -> None:
    put(workspace, entry, name, b"half")
    assert [(row["source_file"], row["status"], row["message"]) for row in receive(workspace, YEAR, entry)] == [
        (name, "still_being_written", "its name says that it is still being written; run again"),
        ("", "not_received", f"nothing is read: {name}: its name says that it is still being written; run again"),
    ]
    put(workspace, entry, "b.csv", b"whole")
    assert [row["status"] for row in receive(workspace, YEAR, entry)] == ["current", "still_being_written"]


def test_a_file_that_grows_while_it_is_copied_is_not_taken(workspace: Workspace, entry: District) -> None:
    path = put(workspace, entry, "a.csv", b"x" * 50_000_000)
    stop = threading.Event()

    def write_on() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"more")

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        rows = receive(workspace, YEAR, entry)
    finally:
        stop.set()
        writer.join()
    assert [(row["status"], row["message"]) for row in rows] == [
        ("still_being_written", "still being written; run again"),
        ("not_received", "nothing is read: a.csv: still being written; run again"),
    ]
    assert [status for *_, status in statuses(workspace, entry)] == ["current"]


def test_a_file_that_changes_right_after_it_was_recognised_is_not_taken(
    workspace: Workspace, entry: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(workspace, entry, "a.csv", b"one")
    statuses(workspace, entry)

    def hash_and_change(read: Path) -> str:
        content_hash = content_hash_of(read)
        path.write_bytes(b"one and more")
        return content_hash

    monkeypatch.setattr(folder, "content_hash_of", hash_and_change)
    assert [row["status"] for row in receive(workspace, YEAR, entry)] == [
        "superseded", "still_being_written", "not_received",
    ]  # fmt: skip


def test_a_file_that_changed_a_moment_ago_waits_where_the_entry_says_so(workspace: Workspace) -> None:
    entry = entry_of("alder_creek", source={"kind": "folder", "quiet_seconds": 3600})
    path = put(workspace, entry, "a.csv", b"one")
    assert [row["status"] for row in receive(workspace, YEAR, entry)] == ["still_being_written", "not_received"]
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 7200))
    assert statuses(workspace, entry) == [("a.csv", b"one", 1, "current")]


# --- size ------------------------------------------------------------------------------------------------------------


def test_a_file_of_more_than_2_gb_is_refused_without_being_read(workspace: Workspace, entry: District) -> None:
    path = put(workspace, entry, "a.csv", b"")
    os.truncate(path, 2_200_000_000)
    (row, _) = receive(workspace, YEAR, entry)
    assert (row["status"], row["bytes"], row["message"]) == (
        "refused", 2_200_000_000, "has 2,200.0 MB, and largest_file_mb allows 2,000 MB; it is not read",
    )  # fmt: skip
    assert not [p for p in workspace.work.rglob("*") if p.is_file() and p.stat().st_size > 10_000]


def test_a_file_may_be_as_large_as_the_limit_and_not_a_byte_more(workspace: Workspace) -> None:
    entry = entry_of("alder_creek", largest_file_mb=1)
    put(workspace, entry, "a.csv", b"x" * 1_000_000)
    put(workspace, entry, "b.csv", b"x" * 1_000_001)
    assert [row["status"] for row in receive(workspace, YEAR, entry)] == ["current", "refused"]


# --- another year's file ---------------------------------------------------------------------------------------------


def fates(workspace: Workspace, entry: District, year: int) -> list[tuple[str, str]]:
    return [(row["source_file"], row["status"]) for row in receive(workspace, year, entry)]


def test_last_years_file_sent_again_is_not_read_and_the_sentence_names_year_and_file(
    workspace: Workspace, entry: District
) -> None:
    put(workspace, entry, "use_2018.csv", b"one", 2018)
    assert fates(workspace, entry, 2018) == [("use_2018.csv", "current")]
    put(workspace, entry, "history.csv", b"one", 2019)
    rows = receive(workspace, 2019, entry)
    assert [(row["source_file"], row["status"]) for row in rows] == [
        ("history.csv", "sent_before"),
        ("", "not_received"),
    ]
    assert "the same content was received for billing year 2018 as use_2018.csv on " in rows[0]["message"]
    assert "Ask billing@alder-creek.example for the file of 2019" in rows[0]["message"]
    assert rows[1]["message"] == f"nothing is read: history.csv: {rows[0]['message']}"
    assert fates(workspace, entry, 2018) == [("use_2018.csv", "current")], "the year that had it first keeps it"
    put(workspace, entry, "new.csv", b"two", 2019)
    assert fates(workspace, entry, 2019) == [("history.csv", "sent_before"), ("new.csv", "current")]


def test_a_file_put_into_the_wrong_year_can_be_moved_to_the_right_one(workspace: Workspace, entry: District) -> None:
    wrong = put(workspace, entry, "a.csv", b"one", 2019)
    assert fates(workspace, entry, 2019) == [("a.csv", "current")]
    ledger = workspace.archive / "ledger" / "2019" / "alder_creek.jsonl"
    put(workspace, entry, "a.csv", b"one", 2018)
    earlier = json.loads(ledger.read_text()) | {"received_on": "2018-01-01"}
    ledger.write_text(json.dumps(earlier) + "\n")
    assert fates(workspace, entry, 2018) == [("a.csv", "sent_before"), ("", "not_received")]
    wrong.unlink()
    assert fates(workspace, entry, 2019) == [("a.csv", "withdrawn"), ("", "not_received")]
    (row,) = receive(workspace, 2018, entry)
    assert row["status"] == "current"
    assert row["message"] == (
        "read; the same content was received for billing year 2019 as a.csv on 2018-01-01, where it is no longer"
    )


def test_empty_files_of_two_years_are_not_taken_for_one(workspace: Workspace, entry: District) -> None:
    for year in (2018, 2019):
        put(workspace, entry, "a.csv", b"", year)
        assert fates(workspace, entry, year) == [("a.csv", "current")]


# --- zips ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def zipping() -> District:
    return entry_of("alder_creek", files="*", zip_members="*.csv", largest_file_mb=9)


def zip_of(members: dict[str, bytes], **changes: dict[str, Any]) -> bytes:
    """A zip with these members; ``changes``: attributes of a member's header, by its name without dots."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in changes.get(name.split(".")[0], {}).items():
                setattr(info, key, value)
            opened.writestr(info, content)
    return made.getvalue()


def test_members_of_a_zip_are_deliveries_of_their_own_and_the_zip_is_kept(
    workspace: Workspace, zipping: District
) -> None:
    packed = zip_of(
        {"r/route_1.csv": b"one", "r/route_2.csv": b"two", "readme.txt": b"x", "__MACOSX/._route_1.csv": b"x"}
    )
    put(workspace, zipping, "h.zip", packed)
    first = statuses(workspace, zipping)
    assert first == [
        ("h.zip", packed, 1, "unpacked"),
        ("h.zip/r/route_1.csv", b"one", 1, "current"),
        ("h.zip/r/route_2.csv", b"two", 1, "current"),
    ]
    assert statuses(workspace, zipping) == first
    again = zip_of({"r/route_1.csv": b"one", "r/route_2.csv": b"changed"})
    put(workspace, zipping, "h.zip", again)
    assert statuses(workspace, zipping)[1:] == [
        ("h.zip/r/route_1.csv", b"one", 1, "current"),
        ("h.zip/r/route_2.csv", b"two", 1, "superseded"),
        ("h.zip", again, 2, "unpacked"),
        ("h.zip/r/route_2.csv", b"changed", 2, "current"),
    ]


def test_without_zip_members_a_zip_is_a_file_like_any(workspace: Workspace) -> None:
    entry = entry_of("alder_creek", files="*")
    packed = zip_of({"a.csv": b"one"})
    put(workspace, entry, "h.zip", packed)
    assert statuses(workspace, entry) == [("h.zip", packed, 1, "current")]


def encrypted(content: bytes) -> bytes:
    """A zip whose members say that they are encrypted."""
    marked = bytearray(content)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = marked.index(signature) + offset
        marked[at] |= 1
    return bytes(marked)


def two_alike() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("a.csv", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            opened.writestr("a.csv", b"two")
    return made.getvalue()


def damaged(content: bytes) -> bytes:
    at = content.index(b"a.csv") + len("a.csv") + 40
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


def said_to_have(count: int, content: bytes) -> bytes:
    """A zip whose member is said to unpack to so many bytes."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, changed.index(b"PK\1\2") + 24, count)
    struct.pack_into("<I", changed, changed.index(b"PK\3\4") + 22, count)
    return bytes(changed)


NOISE = os.urandom(50_000).hex().encode()
WRONG_ZIPS: dict[str, tuple[Any, str]] = {
    "a path with ..": (lambda: zip_of({"../a.csv": b"x", "b.csv": b"y"}), "the zip has a member ..%2Fa.csv whose path leads out of it; it is not unpacked"),
    "a path with .. in a folder": (lambda: zip_of({"b.csv": b"y", "x/../../a.csv": b"x"}), "whose path leads out of it; it is not unpacked"),
    "an absolute path": (lambda: zip_of({"/etc/a.csv": b"x"}), "the zip has a member %2Fetc%2Fa.csv whose path leads out of it; it is not unpacked"),
    "a path of Windows": (lambda: zip_of({"c:\\a.csv": b"x"}), "whose path leads out of it; it is not unpacked"),
    "backslashes": (lambda: zip_of({"..\\a.csv": b"x"}), "whose path leads out of it; it is not unpacked"),
    "a link": (lambda: zip_of({"a.csv": b"/etc/passwd"}, a={"external_attr": (stat.S_IFLNK | 0o777) << 16, "create_system": 3}), "the zip has a member a.csv that is a link or no file; it is not unpacked"),
    "an encrypted member": (lambda: encrypted(zip_of({"a.csv": b"x"})), "the zip's member a.csv is encrypted; it is not unpacked, ask for it without a password"),
    "two members of one name": (two_alike, "the zip has two members a.csv; it is not unpacked"),
    "too many members": (lambda: zip_of({f"{n}.csv": b"x" for n in range(1_001)}), "the zip has 1,001 members, 1,000 are allowed; it is not unpacked"),
    "a directory of many MB": (lambda: zip_of({f"{'x' * 200}{n}.csv": b"" for n in range(16_500)}), "the zip has more than 1,000 members; it is not unpacked"),
    "a bomb": (lambda: zip_of({"a.csv": bytes(4_000_000)}), "the zip unpacks to more than 200 times its size; it is not unpacked"),
    "more than the limit": (lambda: zip_of({"a.csv": NOISE * 50, "b.csv": NOISE * 50}), "the zip unpacks to more than the 9 MB that largest_file_mb allows; it is not unpacked"),
    "a header that says too much": (lambda: said_to_have(5_000, zip_of({"a.csv": b"x" * 1_000})), "the zip is damaged; it is not unpacked"),
    "a header that says too little": (lambda: said_to_have(10, zip_of({"a.csv": b"x" * 1_000})), "the zip is damaged; it is not unpacked"),
    "a damaged member": (lambda: damaged(zip_of({"a.csv": os.urandom(500)})), "the zip is damaged; it is not unpacked"),
    "cut off": (lambda: zip_of({"a.csv": os.urandom(500)})[:-30], "the zip is damaged; it is not unpacked"),
    "no zip": (lambda: b"account,use\n", "the zip is damaged; it is not unpacked"),
    "packed by other means": (lambda: zip_of({"a.csv": b"x" * 99}, a={"compress_type": zipfile.ZIP_LZMA}), "the zip is packed in a way that is not read; it is not unpacked, ask for an ordinary zip"),
    "nothing that belongs": (lambda: zip_of({"a.txt": b"x", "b/c.txt": b"x"}), "none of the zip's 2 members is *.csv; nothing is read from it"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_ZIPS)
def test_a_zip_that_is_not_safe_is_kept_and_nothing_of_it_is_unpacked(
    workspace: Workspace, zipping: District, wrong: str
) -> None:
    make, sentence = WRONG_ZIPS[wrong]
    content = make()
    put(workspace, zipping, "h.zip", content)
    put(workspace, zipping, "other.csv", b"untouched")
    assert statuses(workspace, zipping) == [("h.zip", content, 1, "refused"), ("other.csv", b"untouched", 1, "current")]
    assert receive(workspace, YEAR, zipping)[0]["message"].endswith(sentence)
    kept = [p for p in workspace.archive.rglob("*") if p.is_file() and "ledger" not in p.parts]
    assert len(kept) == 2
    assert not (workspace.folder.parent / "a.csv").exists()


def test_a_zip_in_a_zip_is_refused(workspace: Workspace) -> None:
    entry = entry_of("alder_creek", files="*.zip", zip_members="*")
    put(workspace, entry, "h.zip", zip_of({"in.zip": zip_of({"a.csv": b"x"})}))
    assert receive(workspace, YEAR, entry)[0]["message"] == "the zip has a packed file in.zip in it; it is not unpacked"


def test_a_refused_zip_stays_refused_while_the_location_cannot_be_looked_at(
    workspace: Workspace, zipping: District
) -> None:
    folder = put(workspace, zipping, "bad.zip", zip_of({"../a.csv": b"x"})).parent
    put(workspace, zipping, "good.zip", zip_of({"a.csv": b"one"}))
    expected = [("bad.zip", "refused"), ("good.zip", "unpacked"), ("good.zip/a.csv", "current")]
    assert fates(workspace, zipping, YEAR) == expected
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    assert fates(workspace, zipping, YEAR) == [*expected, ("", "not_checked")]


# --- names -----------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(), min_size=1, max_size=300), st.text(st.characters(), min_size=1, max_size=300))
@example("\n", "%0A")
@example("caf\udce9", "caf%E9")
def test_a_shown_name_is_only_text_and_two_names_never_become_one(one: str, other: str) -> None:
    shown = shown_name(one)
    assert shown.isprintable()
    assert 0 < len(shown) <= LONGEST_NAME
    assert not set(shown) & set("/\\")
    assert shown[0] not in "=+-@'\" "
    shown.encode("utf-8")
    assert (shown == shown_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name (1) & Söhne 50%.csv", "plain name (1) & Söhne 50%.csv"),
        ("=cmd()|a.csv", "%3Dcmd()|a.csv"),
        ("@SUM(1).csv", "%40SUM(1).csv"),
        ("a\x1b[31m\n.csv", "a%1B[31m%0A.csv"),
        ("[a]*?.csv", "[a]*?.csv"),
        ("caf\udce9.csv", "caf%E9.csv"),
        ("x" * 251 + ".csv", "x" * 80 + "...ba11365029b569a3.csv"),
    ],
)
def test_a_hostile_name_is_shown_safely_and_its_file_is_taken(
    con: Any, workspace: Workspace, entry: District, name: str, shown: str
) -> None:
    put(workspace, entry, name, b"one")
    rows = receive(workspace, YEAR, entry)
    assert [(row["source_file"], row["status"]) for row in rows] == [(shown, "current")]
    table = con.create_table("hostile", DELIVERIES.empty().to_pyarrow(), overwrite=True)
    con.insert("hostile", ibis.memtable(rows, schema=DELIVERIES.schema))
    assert rows_of(con, violations(DELIVERIES, table)) == []
