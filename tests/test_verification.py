"""A changed byte in anything that a released year rests on, or that left the house, is found and named by ``verify``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from releasable import ENTERED, UTILITY, YEAR, decide_all
from whole_runs import annual_billing

from assets.log import Log
from pipelines.release.verification import verify
from validations.workspace import Workspace

SCHEDULE = f"rate_tables/{UTILITY}/2019-07-01.yaml"
NOT_OF_THE_YEAR = (
    "work/.lock",
    "work/archive/ledger/",
    "work/checks/",
    "work/dagster_home/",
    "work/hashed_rows/",
    "work/published/",
    "work/scratch/",
    "work/shown/",
    # DuckDB leaves parts of its file unused; its tables are compared with those of the store.
    "work/billing.duckdb",
    "workspace.yaml",
)


@pytest.fixture(scope="module")
def folder(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released year, a billing system's answer to it, and decisions that were taken in since."""
    made = Path(shutil.copytree(released, tmp_path_factory.mktemp("verify") / "ws", symlinks=True))
    decide_all(made)
    answer = made.parent / "answer.csv"
    answer.write_text("service_id,status,winter_average,reason\nS01,refused,,closed\n", encoding="utf-8")
    assert annual_billing("answer", YEAR, answer, "--by", ENTERED, "--workspace", made).code == 1
    assert verify(Workspace(made), YEAR).wrong == []
    return made


@contextmanager
def spoilt(path: Path, content: bytes) -> Iterator[None]:
    """The file with other content for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def other_byte(path: Path) -> bytes:
    """The content with another byte in its middle."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle] = ord("7") if content[middle] != ord("7") else ord("3")
    return bytes(content)


def other_table(path: Path) -> bytes:
    """The Parquet file with another byte in the values of its longest column: a byte of what describes them need not change what is read."""
    group = pq.read_metadata(path).row_group(0)
    longest = max(map(group.column, range(group.num_columns)), key=lambda column: column.total_compressed_size)
    content = bytearray(path.read_bytes())
    last = (longest.dictionary_page_offset or longest.data_page_offset) + longest.total_compressed_size - 1
    content[last] ^= 0xFF
    return bytes(content)


def files_that_count(folder: Path) -> list[str]:
    """Every file of the workspace that the year rests on or that was made of it, the store's tables aside."""
    year = Workspace(folder).year(YEAR)
    schedules = {year.averaging.file, year.adjustment_policy.file, year.review_limits.file}
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    return sorted(
        name
        for name in names
        if not name.startswith(NOT_OF_THE_YEAR)
        and not name.startswith("work/store/")
        and "/draft/" not in name
        and (not name.startswith("rate_tables/") or name in schedules)
    )


def at_once(names: list[str]) -> list[list[str]]:
    """Files that are changed together: of one folder, the log and the markers apart. Each has to be named all the same."""
    groups: dict[str, list[str]] = {}
    for name in names:
        alone = name.endswith(("release.json", "log.jsonl"))
        groups.setdefault(
            name if alone else "/".join(name.split("/")[: 2 if name.startswith("work/") else 1]), []
        ).append(name)
    return list(groups.values())


def as_named(name: str) -> str:
    """What of a file's name stands in a sentence about it: a draft lies elsewhere than where it is shown."""
    if name.startswith("work/drafts/"):
        return f"work/bill_files/{YEAR}/draft/{name.rpartition('/')[2]}"
    return name.removeprefix(f"deliveries/{YEAR}/")


def test_a_changed_byte_in_any_delivery_sheet_decision_schedule_bill_file_or_log_is_found_and_named(
    folder: Path,
) -> None:
    names = files_that_count(folder)
    for kind in (
        "deliveries/",
        "cis_extract/",
        "adjustments/",
        "decisions/",
        "districts/",
        "rate_tables/",
        "answers/",
        "log.jsonl",
    ):
        assert any(name.startswith(kind) for name in names), kind
    assert {f"work/bill_files/{YEAR}/v1/{n}" for n in ("sewer_utility.csv", "sewer_utility.txt", "release.json")} < {
        *names
    }
    not_named = []
    for group in at_once(names):
        with ExitStack() as changed:
            for name in group:
                changed.enter_context(spoilt(folder / name, other_byte(folder / name)))
            wrong = verify(Workspace(folder), YEAR).wrong
        not_named += [(name, wrong) for name in group if not any(as_named(name) in sentence for sentence in wrong)]
    assert not_named == []
    assert verify(Workspace(folder), YEAR).wrong == []


@pytest.mark.parametrize("table", ["billing_basis", "bills", "bill_lines", "adjusted_consumption", "sewer_services"])
def test_a_changed_table_is_found_and_named(folder: Path, table: str) -> None:
    path = max((folder / "work" / "store" / table / str(YEAR)).glob("*.parquet"), key=lambda p: p.stat().st_size)
    with spoilt(path, other_table(path)):
        assert any(table in sentence for sentence in verify(Workspace(folder), YEAR).wrong)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("taken out", "line"),
        ("put elsewhere", "line"),
        ("cut off", "does not|no such|is gone|no entry|knows of no"),
        ("half a line", "has no end"),
    ],
)
def test_a_line_of_the_log_that_is_taken_out_or_put_elsewhere_is_found(folder: Path, kind: str, says: str) -> None:
    lines = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    content = {
        "taken out": [*lines[:1], *lines[2:]],
        "put elsewhere": [lines[1], lines[0], *lines[2:]],
        "cut off": lines[:2],
        "half a line": [*lines, lines[-1][:20]],
    }[kind]
    with spoilt(folder / "log.jsonl", b"".join(content)):
        wrong = verify(Workspace(folder), YEAR).wrong
    assert wrong
    assert any(word in " ".join(wrong) for word in says.split("|"))


@pytest.mark.parametrize("file", ["sewer_utility.csv", "release.json", "postgres/schema.sql"])
def test_a_released_file_that_is_gone_and_one_that_was_put_there_are_named(folder: Path, file: str) -> None:
    version = folder / "work" / "bill_files" / str(YEAR) / "v1"
    aside, stranger = folder.parent / "aside", version / "one_more.csv"
    shutil.move(version / file, aside)
    stranger.write_text("service_id\n", encoding="utf-8")
    try:
        wrong = verify(Workspace(folder), YEAR).wrong
    finally:
        stranger.unlink()
        shutil.move(aside, version / file)
    assert any(f"v1/{file} is gone" in one or f"has no {file}" in one for one in wrong)
    assert file == "release.json" or any("v1/one_more.csv was put there after the release" in one for one in wrong)
    assert len(Log(Workspace(folder)).entries(YEAR, "release")) == 1


def test_the_command_says_what_it_looked_at_and_names_what_changed_with_exit_code_1(folder: Path) -> None:
    proved = annual_billing("verify", YEAR, "--workspace", folder)
    assert (proved.code, f"{YEAR} is as it was, to the byte." in proved.out) == (0, True)
    with spoilt(folder / SCHEDULE, other_byte(folder / SCHEDULE)):
        changed = annual_billing("verify", YEAR, "--workspace", folder)
    assert changed.code == 1
    assert SCHEDULE in changed.out
