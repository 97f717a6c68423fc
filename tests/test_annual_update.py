"""The annual update as data staff run it: for the first time, again, beside readers, and with mistakes.

Belongs here: promises about a whole run of the sample, through the command line.
Does not belong here: figures of single services (``test_story``, ``test_independent_rating``); late deliveries (``test_ui``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


def test_readme_shows_what_the_commands_print(sample: SampleRun) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sample.simulated.out in readme
    assert sample.ran.out in readme


def write_ahead_log(database: Path, folder: Path) -> Path:
    """The log that somebody leaves who writes into the database and is killed."""
    copy = Path(shutil.copy(database, folder / database.name))
    killed = subprocess.run(
        [sys.executable, "-c", (
            "import duckdb, os\n"
            f"con = duckdb.connect({str(copy)!r})\n"
            "con.execute('SET checkpoint_threshold = \\'1TB\\'')\n"
            "con.execute('DELETE FROM billing_basis')\n"
            "os._exit(9)\n"
        )],
        check=False,
    )  # fmt: skip
    assert killed.returncode == 9
    return copy.with_name(f"{copy.name}.wal")


def test_promise_4_two_runs_at_once_wait_for_each_other_and_change_nothing_even_beside_a_reader_and_a_stale_log(
    sample: SampleRun, sample_copy: Path, tmp_path: Path
) -> None:
    database = sample_copy / "work" / "billing.duckdb"
    before = table_hashes(sample_copy)
    services = len(query(sample_copy, "SELECT service_id FROM billing_basis"))
    left = write_ahead_log(database, tmp_path)
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
    log = Path(shutil.move(left, f"{database}.wal"))
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(annual_billing, "run", SAMPLE_YEAR, "--workspace", sample_copy) for _ in range(2)]
    answer, _ = reader.communicate("\n", timeout=60)

    for ran in (run.result() for run in runs):
        assert ran.code == 0, ran.err
        assert ran.out == sample.ran.out
    assert answer.strip() == str(services), "the reader kept the state it had opened"
    assert not log.exists()
    assert table_hashes(sample_copy) == before
    assert bill_file_bytes(sample_copy) == bill_file_bytes(sample.folder)


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
    for name in ("workspace.yaml", "districts/dunmore.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.folder / name, folder / name)
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
