"""What a billing system answers to a release is held against what was posted, kept, and proved with the rest."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from releasable import APPROVES, ENTERED, YEAR
from whole_runs import annual_billing

from assets.log import Log
from pipelines.release.answers import standing, take_in
from pipelines.release.people import NotEntitled
from pipelines.release.verification import verify
from rate_tables.config_file import ConfigError
from validations.workspace import Workspace

HEADER = "service_id,status,winter_average,reason"


@pytest.fixture
def workspace(released: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(released, tmp_path / "ws", symlinks=True)))


def posted(workspace: Workspace) -> dict[str, str]:
    """Service -> the average that was posted."""
    path = workspace.bill_files / str(YEAR) / "v1" / "sewer_utility.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {row["service_id"]: row["new_winter_average"] for row in csv.DictReader(file)}


def sheet(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_an_answer_as_posted_is_reconciled_kept_and_proved(workspace: Workspace, tmp_path: Path) -> None:
    averages = posted(workspace)
    answer = sheet(tmp_path / "answer.csv", HEADER, *(f"{s},accepted,{a}," for s, a in averages.items()))
    total = sum(int(a.replace(".", "")) for a in averages.values())
    totals = sheet(
        tmp_path / "totals.csv",
        "billing_agency,accepted,refused,winter_average",
        f"sewer_utility,{len(averages)},0,{total // 1000}.{total % 1000:03d}",
    )
    ran = annual_billing("answer", YEAR, answer, "--totals", totals, "--by", ENTERED, "--workspace", workspace.folder)
    assert ran.code == 0, ran.out + ran.err
    assert "Reconciled: all is accepted as posted." in ran.out
    assert "sewer_utility reconciled" in standing(workspace, YEAR)[0]
    kept = sorted(workspace.answers(YEAR).iterdir())
    assert {path.read_bytes() for path in kept} == {answer.read_bytes(), totals.read_bytes()}
    entries = len(Log(workspace).entries(YEAR, "answer"))
    take_in(workspace, YEAR, answer, ENTERED, totals)
    assert len(Log(workspace).entries(YEAR, "answer")) == entries == 1
    assert verify(workspace, YEAR).wrong == []
    kept[0].write_bytes(kept[0].read_bytes().replace(b"0", b"1", 1))
    (wrong,) = verify(workspace, YEAR).wrong
    assert kept[0].name in wrong


def test_every_way_in_which_an_answer_is_not_as_posted_is_named(workspace: Workspace, tmp_path: Path) -> None:
    averages = posted(workspace)
    lines = [f"{s},accepted,{a}," for s, a in averages.items() if s not in ("S01", "S02", "S03")]
    answer = sheet(
        tmp_path / "answer.csv",
        HEADER,
        *lines,
        "S01,refused,,closed account",
        "S02,accepted,99.999,",
        "X99,accepted,1,",
    )
    totals = sheet(
        tmp_path / "totals.csv", "billing_agency,accepted,refused,winter_average", "sewer_utility,7,1,1000.000"
    )
    to = tmp_path / "not_as_posted.csv"
    ran = annual_billing(
        "answer", YEAR, answer, "--totals", totals, "--by", ENTERED, "--to", to, "--workspace", workspace.folder
    )
    assert ran.code == 1
    for said in (
        f"S01: refused (posted {averages['S01']}): closed account",
        f"S02: accepted with another average (posted {averages['S02']}, answered 99.999)",
        f"S03: not answered (posted {averages['S03']})",
        "X99: not posted (answered 1.000)",
        "sewer_utility: its totals state 7 services accepted, its rows come to 6.",
        "thousandths in the accepted averages",
    ):
        assert said in ran.out
    assert "Not reconciled" in ran.err
    with to.open(encoding="utf-8", newline="") as file:
        assert [row["service_id"] for row in csv.DictReader(file)] == ["X99", "S01", "S02", "S03"]
    assert "sewer_utility not reconciled" in standing(workspace, YEAR)[0]


def test_an_answer_that_cannot_be_read_whole_is_refused_and_leaves_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    before = Log(workspace).head()
    twice = sheet(
        tmp_path / "twice.csv", HEADER, "S01,accepted,1,", "S01,refused,,", "S02,perhaps,1,", "S03,accepted,=1+1,"
    )
    with pytest.raises(ConfigError, match=r"twice\.csv, line"):
        take_in(workspace, YEAR, twice, ENTERED)
    fine = sheet(tmp_path / "fine.csv", HEADER, "S01,accepted,1,")
    stranger = sheet(tmp_path / "totals.csv", "billing_agency,accepted,refused,winter_average", "elsewhere,1,0,1")
    with pytest.raises(ConfigError, match="'elsewhere' is not in v1; allowed: sewer_utility"):
        take_in(workspace, YEAR, fine, ENTERED, stranger)
    with pytest.raises(NotEntitled):
        take_in(workspace, YEAR, fine, APPROVES)
    assert Log(workspace).head() == before
    assert not workspace.answers(YEAR).exists()
