"""The year before in the sample: run without adopted rates, and in the back-test, last year's deliveries by today's rules against
what was billed since.

Belongs here: what the back-test explains and what it lists, on the sample, whose wrong averages are known; held bills.
Does not belong here: averaging.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from whole_runs import ROOT, SAMPLE_YEAR, Ran, SampleRun, annual_billing, query, table_hashes

BEFORE = SAMPLE_YEAR - 1
CWS = "clean_water_services"


def planted(folder: Path) -> dict[str, str]:
    """Service -> what the generator did to its average in force."""
    with (folder / "truth" / f"irregular_{SAMPLE_YEAR}.csv").open(encoding="utf-8") as file:
        return {r["service_id"]: r["detail"] for r in csv.DictReader(file) if r["rule_id"] == "backtest.misbilled"}


@dataclass(frozen=True)
class TwoYears:
    """The sample after a run of the year before too, and what that printed."""

    folder: Path
    ran: Ran


@pytest.fixture(scope="module")
def two_years(sample: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> TwoYears:
    """While the year before was run, its schedule was not yet in the rate tables; it is there again."""
    folder = Path(shutil.copytree(sample.folder, tmp_path_factory.mktemp("backtest") / "sample"))
    own = folder / "rate_tables" / CWS
    own.mkdir(parents=True)
    shutil.copy(ROOT / "rate_tables" / CWS / f"{SAMPLE_YEAR}-07-01.yaml", own)
    ran = annual_billing("run", BEFORE, "--workspace", folder)
    assert ran.code == 0, ran.err
    shutil.rmtree(folder / "rate_tables")
    return TwoYears(folder, ran)


def test_a_year_without_adopted_rates_is_averaged_and_its_bills_are_held(two_years: TwoYears) -> None:
    assert "held: no adopted schedule holds for fiscal year 2018-19." in two_years.ran.out
    assert query(
        two_years.folder,
        "SELECT count(*), count(amount) FROM bills WHERE billing_year = ? AND status <> 'held'",
        BEFORE,
    ) == [(0, 0)]
    assert query(
        two_years.folder,
        "SELECT count(*) > 1500 FROM billing_basis WHERE billing_year = ? AND derivation = 'computed'",
        BEFORE,
    ) == [(True,)]
    assert query(two_years.folder, "SELECT count(*) FROM bill_lines WHERE billing_year = ?", BEFORE) == [(0,)]


def test_a_backtest_without_a_run_of_the_year_before_is_refused_with_what_to_do(sample: SampleRun) -> None:
    without = annual_billing("backtest", SAMPLE_YEAR, "--workspace", sample.folder)
    assert (without.code, without.out) == (1, "")
    assert f"annual-billing run {BEFORE}" in without.err


def test_every_difference_is_one_that_was_planted_and_nothing_is_changed(two_years: TwoYears, tmp_path: Path) -> None:
    folder = two_years.folder
    before = table_hashes(folder)
    differing = tmp_path / "differing.csv"
    done = annual_billing("backtest", SAMPLE_YEAR, "--to", differing, "--workspace", folder)
    assert done.code == 0, done.err
    assert "dollars are left out" not in done.out
    assert table_hashes(folder) == before

    with differing.open(encoding="utf-8") as file:
        found = {r["service_id"]: r for r in csv.DictReader(file)}
    wrong = planted(folder)
    assert wrong.keys() <= found.keys()
    # A winter below zero waits for a person here; the utility of the sample has kept the average of the year before.
    others = [r for service, r in found.items() if service not in wrong]
    assert {(r["code"], r["derivation"]) for r in others} <= {("average_kept", "held"), ("none_here", "held")}
    exchanged = [service for service, detail in wrong.items() if "exchanged" in detail]
    kept = [service for service, detail in wrong.items() if "kept" in detail]
    assert exchanged
    assert all(found[service]["code"] in ("digits_exchanged", "unit") for service in exchanged)
    assert all(found[service]["code"] in ("average_kept", "rounding") for service in kept)
    for service in exchanged:
        assert service in done.out
