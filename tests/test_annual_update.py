"""The annual update as data staff run it: again, with a late district, beside readers, and with mistakes.

Belongs here: promises about a whole run of the sample, through the command line.
Does not belong here: figures of single services (``test_story``, ``test_independent_rating``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from whole_runs import (
    ROOT,
    SAMPLE_YEAR,
    SampleRun,
    annual_billing,
    bill_file_bytes,
    query,
    table_hashes,
)

LATE = "dunmore"


def test_readme_shows_what_the_commands_print(sample: SampleRun) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sample.simulated.out in readme
    assert sample.ran.out in readme


def test_running_again_changes_nothing_even_beside_a_reader_and_a_stale_log(
    sample: SampleRun, sample_copy: Path
) -> None:
    database = sample_copy / "work" / "billing.duckdb"
    before = table_hashes(sample_copy)
    services = len(query(sample_copy, "SELECT service_id FROM billing_basis"))
    reader = subprocess.Popen(
        [sys.executable, "-c", (
            "import duckdb, sys\n"
            f"con = duckdb.connect({str(database)!r}, read_only=True)\n"
            "print('open', flush=True)\n"
            "sys.stdin.readline()\n"
            "print(con.execute('SELECT count(*) FROM billing_basis').fetchone()[0])\n"
        )],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    ran = annual_billing("run", SAMPLE_YEAR, "--workspace", sample_copy)
    answer, _ = reader.communicate("\n", timeout=60)

    assert ran.code == 0, ran.err
    assert ran.out == sample.ran.out
    assert answer.strip() == str(services), "the reader kept the state it had opened"
    assert table_hashes(sample_copy) == before
    assert bill_file_bytes(sample_copy) == bill_file_bytes(sample.folder)


def test_a_stale_write_ahead_log_does_no_harm(sample_copy: Path) -> None:
    before = table_hashes(sample_copy)
    database = sample_copy / "work" / "billing.duckdb"
    killed = subprocess.run(
        [sys.executable, "-c", (
            "import duckdb, os\n"
            f"con = duckdb.connect({str(database)!r})\n"
            "con.execute('SET checkpoint_threshold = \\'1TB\\'')\n"
            "con.execute('DELETE FROM billing_basis')\n"
            "os._exit(9)\n"
        )],
        check=False,
    )  # fmt: skip
    assert killed.returncode == 9
    log = Path(f"{database}.wal")
    assert log.exists(), "somebody wrote into the database and was killed"
    ran = annual_billing("run", SAMPLE_YEAR, "--workspace", sample_copy)
    assert ran.code == 0, ran.err
    assert not log.exists()
    assert table_hashes(sample_copy) == before


def test_a_district_that_has_not_delivered_is_carried_forward_and_its_late_delivery_changes_only_its_own_services(
    sample: SampleRun, sample_copy: Path
) -> None:
    delivery = sample_copy / "deliveries" / str(SAMPLE_YEAR) / LATE
    aside = sample_copy / "aside"
    shutil.move(delivery, aside)
    shutil.rmtree(sample_copy / "work")
    first = annual_billing("run", SAMPLE_YEAR, "--workspace", sample_copy)
    assert first.code == 0, "an undelivered district does not stop the year"
    assert f"{LATE}       not received" in first.out
    assert "before release: delivery.not_received" in first.out

    basis = "SELECT service_id, derivation, winter_average, prior_average, is_provisional FROM billing_basis"
    complete = {r[0]: r[1:] for r in query(sample.folder, basis)}
    provisional = {r[0]: r[1:] for r in query(sample_copy, basis)}
    measured_there = {
        s
        for (s,) in query(
            sample.folder,
            "SELECT DISTINCT service_id FROM meter_links WHERE billing_year = ? AND district_id = ? "
            "AND link_start < '2019-05-01' AND coalesce(link_end, '9999-01-01') > '2018-11-01'",
            SAMPLE_YEAR,
            LATE,
        )
    }
    assert len(measured_there) > 200
    assert complete.keys() == provisional.keys()
    for service in complete.keys() - measured_there:
        assert provisional[service] == complete[service]
    for service in measured_there:
        derivation, average, prior, is_provisional = provisional[service]
        if complete[service][0] == "excluded":
            assert derivation == "excluded"
        elif prior is None:
            assert (derivation, average, is_provisional) == ("held", None, True), "no history is not known yet"
        else:
            assert (derivation, average, is_provisional) == ("carried_forward", prior, True)

    status = annual_billing("status", SAMPLE_YEAR, "--workspace", sample_copy)
    assert status.code == 0
    assert f"deliveries/{LATE}, received: Ask the district for its file" in status.out

    shutil.move(aside, delivery)
    late = annual_billing("run", SAMPLE_YEAR, "--workspace", sample_copy)
    assert late.code == 0, late.err
    assert late.out == sample.ran.out
    assert bill_file_bytes(sample_copy) == bill_file_bytes(sample.folder)
    hashes, expected = table_hashes(sample_copy), table_hashes(sample.folder)
    assert {t for t in expected if hashes[t] != expected[t]} <= {"deliveries"}, "its ledger may know an earlier day"


def test_a_year_without_adopted_rates_is_averaged_and_its_bills_are_held(sample_copy: Path) -> None:
    ran = annual_billing("run", 2017, "--workspace", sample_copy)
    assert ran.code == 0, ran.err
    assert "held: no adopted schedule holds for fiscal year 2017-18." in ran.out
    assert query(
        sample_copy, "SELECT count(*), count(amount) FROM bills WHERE billing_year = 2017 AND status <> 'held'"
    ) == [(0, 0)]
    assert query(
        sample_copy, "SELECT count(*) > 1500 FROM billing_basis WHERE billing_year = 2017 AND derivation = 'computed'"
    ) == [(True,)]
    assert query(sample_copy, "SELECT count(*) FROM bill_lines WHERE billing_year = 2017") == [(0,)]


def test_two_runs_at_once_wait_for_each_other(sample_copy: Path) -> None:
    before = table_hashes(sample_copy)
    program = Path(sys.executable).with_name("annual-billing")
    both = [
        subprocess.Popen([str(program), "run", str(SAMPLE_YEAR), "-w", str(sample_copy)], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    deadline = time.monotonic() + 240
    assert [run.wait(timeout=max(1, deadline - time.monotonic())) for run in both] == [0, 0]
    assert table_hashes(sample_copy) == before


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "mistake", "code", "sentence"),
    [
        (["run", 2031], None, 2, "workspace.yaml: key billing_years: 2031 is not listed; allowed: 2017, 2018, 2019."),
        (["run", "spring"], None, 2, "Invalid value for 'YEAR'"),
        (["run", 2019], ("districts/dunmore.yaml", "unit: ccf", "unit: buckets"), 2,
         "districts/dunmore.yaml, line 16: key volume.unit: 'buckets' is not allowed; allowed: 'ccf', 'cf',"),
        (["run", 2019], ("workspace.yaml", "owner:", "ownr:"), 2, "workspace.yaml, line 8: key ownr: this key is not known."),
        (["status", 2019], None, 1, "billing year 2019 has not been run here; run: annual-billing run 2019"),
        (["run", 2019], None, 1, "cis_extract/2019/sewer_services.csv does not exist; export the CIS extract"),
        (["status", 2019, "-w", "/nowhere"], None, 2, "/nowhere: the workspace folder does not exist"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence_and_an_exit_code_never_a_traceback(
    sample: SampleRun,
    tmp_path: Path,
    arguments: list[object],
    mistake: tuple[str, str, str] | None,
    code: int,
    sentence: str,
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in ("workspace.yaml", "districts"):
        source = sample.folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    if mistake:
        edit(folder / mistake[0], *mistake[1:])
    ran = annual_billing(*arguments, *([] if "-w" in arguments else ["-w", folder]))
    assert ran.code == code
    assert sentence in ran.err
    assert "Traceback" not in ran.out + ran.err


@pytest.mark.parametrize("command", [[], ["run"], ["status"], ["simulate"], ["ui"]])
def test_every_command_has_help_that_a_newcomer_can_act_on(command: list[str]) -> None:
    ran = annual_billing(*command, "--help")
    assert ran.code == 0
    assert "Usage: annual-billing" in ran.out
    for option in ("--workspace", "YEAR") if command and command[0] in ("run", "status") else ():
        assert option in ran.out


def test_every_published_table_and_column_says_what_it_means(sample: SampleRun) -> None:
    with duckdb.connect(str(sample.folder / "work" / "billing.duckdb"), read_only=True) as con:
        silent = con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND coalesce(comment, '') = ''"
        ).fetchall()
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE comment NOT LIKE 'One row per %'").fetchall()
    assert silent == []
    assert tables == []
