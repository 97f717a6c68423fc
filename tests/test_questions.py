"""Standing questions: what the views answer, receivables, and that nobody whose debt was written off is billed by accident.

Belongs here: promises about ``questions``, its views and the receivables of the CIS extract. Does not belong here: findings.
"""

from __future__ import annotations

import csv
import datetime as dt
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from releasable import SERVICES, STARTS, YEAR
from whole_runs import SAMPLE_YEAR, SampleRun, annual_billing, query, table_hashes, tiny_workspace

from assets.standing_questions import QUESTIONS, create_views
from pipelines.questions.answers import answer, overview
from rate_tables.config_file import ConfigError
from validations.workspace import Workspace

LAW = "unclaimed_property: {years: 3, source: the law of an invented state}\n"
RECEIVABLES = """service_id,status,balance,credit,credit_since
S01,written_off,120.55,0,
S02,collections,88.10,0,
S03,current,0,42.17,2014-02-28
S04,current,0,7.00,2018-03-01
S05,current,0,5,
S06,forgiven,1,0,
S07,written_off,30,0,
GONE,collections,3,0,
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of a small utility: nothing was delivered of S08, S07 is closed and used on, and nobody knows A-UNKNOWN."""
    lines = ["Account,Meter,From,To,CCF,Type"]
    for service in [*SERVICES[:7], "-UNKNOWN"]:
        lines += [f"A{service},M{service},{start},{end},7,A" for start, end in pairwise(STARTS)]
    extract = {
        "sewer_services": [
            f"{s},C{s},P{s},single_family,1,1,1,fernbrook,sewer_utility,monthly,"
            f"{'closed,2001-01-01,2019-02-01' if s == 'S07' else 'active,2001-01-01,'},2010-01-01,district"
            for s in SERVICES
        ],
        "meter_links": [f"{s},tiny,A{s},M{s},domestic,1,2001-01-01," for s in SERVICES],
        "current_averages": [f"{s},7.5,ccf,2018-07-01" for s in SERVICES],
    }
    made = tiny_workspace(
        tmp_path_factory.mktemp("questions") / "ws", {YEAR: "\n".join(lines) + "\n"}, {YEAR: extract}, years=[YEAR]
    )
    with (made / "workspace.yaml").open("a", encoding="utf-8") as file:
        file.write(LAW)
    (made / "cis_extract" / str(YEAR) / "receivables.csv").write_text(RECEIVABLES, encoding="utf-8")
    done = annual_billing("run", YEAR, "--workspace", made)
    assert done.code == 0, done.out + done.err
    return made


def asked(folder: Path, name: str, **narrowed: Any) -> dict[str, dict[str, Any]]:
    """Answers by service, or by account of a district."""
    given = answer(Workspace(folder), YEAR, name, **narrowed)
    rows = [dict(zip(given.columns, row, strict=True)) for row in given.rows]
    return {row.get("service_id") or row["district_account"]: row for row in rows}


def test_services_without_history_and_what_stands_in_count_the_years_in_a_row(ran: Path) -> None:
    missing = asked(ran, "no_district_history")
    assert {s: (r["years_without_history"], r["last_year_with_history"]) for s, r in missing.items()} == {
        "S08": (1, None)
    }
    assert asked(ran, "no_district_history", years=2) == {}
    stood_in = asked(ran, "stands_in")
    assert {s: (r["derivation"], r["years_running"]) for s, r in stood_in.items()} == {"S08": ("prior_year", 1)}


def test_years_that_were_not_run_neither_add_to_a_row_nor_end_it() -> None:
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE sewer_services (billing_year INT, service_id TEXT, customer_class TEXT, status TEXT, service_start DATE, service_end DATE, occupant_since DATE, volume_source TEXT, account_id TEXT)"
    )
    con.execute(
        "CREATE TABLE billing_basis (billing_year INT, service_id TEXT, account_id TEXT, derivation TEXT, derivation_note TEXT, is_provisional BOOLEAN, winter_average DECIMAL(18, 3), window_start DATE)"
    )
    con.execute(
        "CREATE TABLE service_consumption (billing_year INT, service_id TEXT, district_id TEXT, district_account TEXT, meter_id TEXT)"
    )
    con.execute(
        "CREATE TABLE consumption (billing_year INT, district_id TEXT, district_account TEXT, meter_id TEXT, period_start DATE, period_end DATE, billed_volume DECIMAL(18, 3), volume_unit TEXT)"
    )
    con.execute(
        "CREATE TABLE bills (billing_year INT, service_id TEXT, status_reason TEXT, amount DECIMAL(18, 2), bills_in_period BIGINT)"
    )
    con.execute(
        "CREATE TABLE unmatched (billing_year INT, district_id TEXT, district_account TEXT, side TEXT, billed_volume DECIMAL(18, 3), volume_unit TEXT, nearest_account TEXT)"
    )
    con.execute(
        "CREATE TABLE receivables (billing_year INT, service_id TEXT, status TEXT, balance DECIMAL(18, 2), credit DECIMAL(18, 2), credit_since DATE)"
    )
    delivered = {2011: False, 2012: True, 2013: False, 2016: False, 2017: False}
    for year, has_history in delivered.items():
        con.execute(
            "INSERT INTO sewer_services VALUES (?, 'S', 'single_family', 'active', '2001-01-01', NULL, NULL, 'district', 'A')",
            [year],
        )
        derivation = "computed" if has_history else "prior_year"
        con.execute(
            "INSERT INTO billing_basis VALUES (?, 'S', 'A', ?, '', false, 7, ?)",
            [year, derivation, dt.date(year - 1, 11, 1)],
        )
        if has_history:
            con.execute("INSERT INTO service_consumption VALUES (?, 'S', 'd', 'a', 'm')", [year])
        if not has_history:
            con.execute("INSERT INTO unmatched VALUES (?, 'd', 'x', 'district', 5, 'ccf', '')", [year])
    create_views(con, _Without())  # type: ignore[arg-type]
    expected = {2011: 1, 2013: 1, 2016: 2, 2017: 3}
    for name, column in (
        ("no_district_history", "years_without_history"),
        ("stands_in", "years_running"),
        ("district_account_maybe_sewer", "years_running"),
    ):
        assert dict(con.execute(f"SELECT billing_year, {column} FROM question_{name}").fetchall()) == expected, name


class _Without:
    """A workspace whose file says nothing of unclaimed property."""

    class file:
        unclaimed_property = None


def test_who_uses_water_without_a_bill_and_which_accounts_might_have_sewer(ran: Path) -> None:
    unbilled = asked(ran, "served_not_billed")
    assert set(unbilled) == {"S07"}
    row = unbilled["S07"]
    assert (row["used_from"], row["used_until"], row["delivered_volume"]) == (dt.date(2019, 2, 1), STARTS[-1], 7 * 3)
    assert "closed" in row["why_not_billed"]
    left_over = asked(ran, "district_account_maybe_sewer")
    assert {account: r["billed_volume"] for account, r in left_over.items()} == {"A-UNKNOWN": 7 * 12}


def test_what_the_update_does_with_debts_and_nobody_written_off_is_billed_unseen(ran: Path) -> None:
    debts = asked(ran, "collections_or_written_off")
    assert {s: (r["status"], r["is_billed"]) for s, r in debts.items()} == {
        "S01": ("written_off", True), "S02": ("collections", True), "S07": ("written_off", False), "GONE": ("collections", False),
    }  # fmt: skip
    assert debts["S01"]["what_the_update_does"].startswith("BILLED ANEW")
    assert "closed" in debts["S07"]["what_the_update_does"]
    assert "no such service" in debts["GONE"]["what_the_update_does"]
    status = annual_billing("status", YEAR, "--workspace", ran)
    block = next(line for line in status.out.splitlines() if "nobody_written_off_is_billed:" in line)
    assert "1 row" in block or " 1 " in block, block
    refused = query(
        ran, "SELECT message FROM rejected_rows WHERE source_file LIKE '%receivables.csv' AND billing_year = ?", YEAR
    )
    assert len(refused) == 1
    assert "status" in refused[0][0]


def test_a_credit_is_listed_from_the_day_on_which_the_law_calls_it_unclaimed(ran: Path) -> None:
    def listed(day: dt.date | None) -> dict[str, dt.date | None]:
        return {s: r["unclaimed_from"] for s, r in asked(ran, "untouched_credits", as_of=day).items()}

    assert listed(dt.date(2017, 2, 27)) == {"S05": None}
    assert listed(dt.date(2017, 2, 28)) == {"S03": dt.date(2017, 2, 28), "S05": None}
    assert listed(dt.date(2021, 2, 28)) == listed(dt.date(2017, 2, 28))
    assert (
        listed(dt.date(2021, 3, 1))
        == listed(None)
        == {"S03": dt.date(2017, 2, 28), "S04": dt.date(2021, 3, 1), "S05": None}
    )


def test_what_somebody_owes_changes_no_average_and_no_bill(ran: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(ran, tmp_path / "own"))
    stage = [
        path
        for name in ("billing_basis", "bills", "bill_lines", "extract_changes")
        for path in (own / "work" / "store" / name).rglob("*.parquet")
    ]
    written = {path: path.stat().st_mtime_ns for path in stage}
    before = table_hashes(own)
    (own / "cis_extract" / str(YEAR) / "receivables.csv").write_text(
        RECEIVABLES.replace("120.55", "1.00"), encoding="utf-8"
    )
    assert annual_billing("run", YEAR, "--workspace", own).code == 0
    assert written
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert {name for name, digest in table_hashes(own).items() if digest != before[name]} == {
        "receivables",
        "cis_extracts",
    }


def test_every_view_and_column_says_what_it_is(ran: Path) -> None:
    views = dict(query(ran, "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"))
    assert set(views) == {question.view for question in QUESTIONS}
    assert all(comment and "One row per billing year and" in comment for comment in views.values())
    silent = query(
        ran,
        "SELECT table_name, column_name FROM duckdb_columns() WHERE table_name LIKE 'question%' AND coalesce(comment, '') = ''",
    )
    assert silent == []


def test_questions_answer_on_the_sample_and_a_csv_of_them_runs_nowhere(sample: SampleRun, tmp_path: Path) -> None:
    own = Workspace(Path(shutil.copytree(sample.folder, tmp_path / "own")))
    counted = {row[0]: int(row[2].replace(",", "")) for row in overview(own, SAMPLE_YEAR).rows}
    (unmatched,) = query(
        own.folder,
        "SELECT count(DISTINCT (district_id, district_account)) FROM unmatched WHERE billing_year = ? AND side = 'district'",
        SAMPLE_YEAR,
    )
    (stands_in,) = query(
        own.folder,
        "SELECT count(*) FROM billing_basis WHERE billing_year = ? AND derivation IN ('default', 'prior_year')",
        SAMPLE_YEAR,
    )
    assert (counted["district_account_maybe_sewer"], counted["stands_in"]) == (unmatched[0], stands_in[0])
    with duckdb.connect(str(own.database)) as con:
        con.execute("UPDATE unmatched SET district_account = '=cmd()' WHERE side = 'district'")
    to = tmp_path / "answer.csv"
    said = annual_billing("questions", SAMPLE_YEAR, "district_account_maybe_sewer", "--to", to, "-w", own.folder)
    assert said.code == 0, said.err
    with to.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["district_account"] for row in rows} == {"'=cmd()"}
    assert (
        annual_billing("questions", SAMPLE_YEAR, "district_account_maybe_sewer", "--to", to, "-w", own.folder).code == 2
    )
    with pytest.raises(ConfigError, match="is no standing question; there are: no_district_history, "):
        answer(own, SAMPLE_YEAR, "nothing")
