"""A year after its release: a late delivery and a leak change it, the next version corrects the bills, and any version can be made again.

Belongs here: promises about what a released year and its versions go through, as the office meets them.
Does not belong here: the credit of a single bill (``test_corrections``), what a release needs (``test_release``).
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from releasable import APPROVES, YEAR, delivery, undecided_year
from whole_runs import Ran, annual_billing

from assets.log import Log
from pipelines.release.releases import versions
from validations.workspace import Workspace


@dataclass(frozen=True)
class Corrected:
    """A workspace with two versions, and what was said on the way."""

    folder: Path
    first: dict[str, bytes]
    proposed: str
    previewed: str


def done(folder: Path, command: str, *arguments: object) -> Ran:
    ran = annual_billing(command, YEAR, *arguments, "--workspace", folder)
    assert ran.code == 0, ran.out + ran.err
    return ran


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def released(folder: Path, version: int) -> Path:
    return folder / "work" / "bill_files" / str(YEAR) / f"v{version}"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def approve_and_release(folder: Path) -> None:
    done(folder, "approve", "--by", APPROVES)
    done(folder, "release", "--by", APPROVES)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    """The district delivers another January of S03 after v1, and two bills of each of S03 and S04 went out on v1."""
    folder = undecided_year(tmp_path_factory.mktemp("after_release") / "ws", odd=())
    approve_and_release(folder)
    first = content(released(folder, 1))
    bills = ["service_id,billing_agency,period_start,period_end,billed_winter_average,billed_amount"]
    for row in rows(next(path for path in released(folder, 1).glob("*.csv"))):
        if row["service_id"] in ("S03", "S04"):
            bills += [
                f"{row['service_id']},{row['billing_agency']},{days},{row['new_winter_average']},{row['preview_amount']}"
                for days in ("2019-07-01,2019-08-01", "2019-08-01,2019-09-01")
            ]
    (folder / "bills_issued").mkdir()
    (folder / "bills_issued" / f"{YEAR}.csv").write_text("\n".join(bills) + "\n", encoding="utf-8")
    delivered = folder / "deliveries" / str(YEAR) / "tiny" / "history.csv"
    delivered.write_text(delivery({"S03": 5}), encoding="utf-8")
    done(folder, "run")
    proposed = done(folder, "status").out
    previewed = done(folder, "credits").out
    approve_and_release(folder)
    return Corrected(folder, first, proposed, previewed)


def test_a_redelivery_for_a_released_year_is_a_proposal_and_the_released_version_stays_to_the_byte(
    corrected: Corrected,
) -> None:
    assert "Released: v1. What stands differs from it in 1 service: 1 with another average." in corrected.proposed
    assert content(released(corrected.folder, 1)) == corrected.first
    said = done(corrected.folder, "status").out
    assert "Released: v2. What stands has the same averages." in said


def test_the_next_version_has_the_whole_the_difference_and_the_credits_of_bills_on_the_average_before(
    corrected: Corrected,
) -> None:
    folder = released(corrected.folder, 2)
    (changed,) = rows(folder / "differences.csv")
    (agency,) = {path.name for path in released(corrected.folder, 1).glob("*.csv")}
    (posted,) = [row for row in rows(folder / agency) if row["service_id"] == "S03"]
    (before,) = [row for row in rows(released(corrected.folder, 1) / agency) if row["service_id"] == "S03"]
    assert len(rows(folder / agency)) == len(rows(released(corrected.folder, 1) / agency))
    credits = rows(folder / "credits.csv")
    assert [(row["service_id"], row["outcome"], row["billed_average"]) for row in credits] == [
        ("S03", "credit", before["new_winter_average"])
    ] * 2
    for row in credits:
        assert row["new_average"] == posted["new_winter_average"] == changed["new_winter_average"]
        assert row["corrected_amount"] == posted["preview_amount"]
        cents = [int(row[name].replace(".", "")) for name in ("billed_amount", "corrected_amount", "credit")]
        assert cents[0] - cents[1] == cents[2] > 0
    together = f"{2 * cents[2] // 100}.{2 * cents[2] % 100:02d}"
    assert corrected.previewed.splitlines()[4].split()[1:4] == ["4", "2", together]


def test_a_version_is_made_again_byte_for_byte_from_what_the_archive_keeps_whatever_the_office_has_changed_since(
    corrected: Corrected, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(corrected.folder, tmp_path / "ws"))
    shutil.rmtree(folder / "deliveries")
    (folder / "adjustments" / f"{YEAR}.csv").write_text("changed since\n", encoding="utf-8")
    (folder / "bills_issued" / f"{YEAR}.csv").unlink()
    again = done(folder, "reproduce", "--to", tmp_path / "again")
    assert "the same byte for byte" in again.out
    then = content(released(folder, 2))
    del then["release.json"]
    assert content(tmp_path / "again" / "v2") == then
    entry = Log(Workspace(folder)).entries(YEAR, "reproduction")[-1]
    assert (entry.about["version"], entry.about["differing"]) == (2, [])


def test_a_version_is_not_made_again_from_an_archive_or_against_a_marker_that_was_changed(
    corrected: Corrected, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(corrected.folder, tmp_path / "ws"))

    def refused(*arguments: object) -> str:
        ran = annual_billing("reproduce", YEAR, *arguments, "--workspace", folder)
        assert (ran.code, "Traceback" in ran.err) == (1, False)
        return ran.err

    assert "no such version; released: v1, v2." in refused("--version", 3, "--to", tmp_path / "again")
    assert "already and not empty" in refused("--to", folder)
    delivered = (corrected.folder / "deliveries" / str(YEAR) / "tiny" / "history.csv").read_bytes()
    content_hash = hashlib.sha256(delivered).hexdigest()
    kept = folder / "work" / "archive" / content_hash[:2] / content_hash
    kept.write_bytes(delivered.replace(b",5,A", b",6,A", 1))
    assert "delivery tiny/history.csv: the archive does not have it as it was" in refused("--to", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    marker = released(folder, 1) / "release.json"
    marker.write_bytes(marker.read_bytes().replace(b'"version": 1', b'"version": 2'))
    assert "v1: release.json is not as the log has it" in refused("--version", 1, "--to", tmp_path / "other")


def test_released_versions_are_listed_in_order(corrected: Corrected) -> None:
    assert [one.version for one in versions(Workspace(corrected.folder), YEAR)] == [1, 2]
