"""Whole runs: building workspaces, running the command line as a person does, reading what was published.

Belongs here: what several tests of a whole run share.
Does not belong here: expectations; fixtures (``conftest``).
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import duckdb

from pipelines.limits import THREADS_VARIABLE

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).with_name("annual-billing")
SAMPLE_YEAR = 2019
IMPORTED = [
    "dagster._core.execution.execute_in_process", "dagster._core.instance.factory", "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root", "ibis.backends.duckdb.converter", "pipelines.annual_update", "pipelines.cli", "pipelines.definitions",
    "pipelines.run_history", "pipelines.summary", "pyarrow.dataset", "rich.progress", "upath", "whole_runs",
]  # fmt: skip
"""What every run imports, sooner or later."""


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str


def _command(arguments: list[str], environment: dict[str, str], out: str, err: str) -> None:
    """The command line in a process that has nothing but its imports from before."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = [str(PROGRAM), *arguments]
    from pipelines.cli import main

    main()


def forked() -> ForkServerContext:
    """Processes of their own, forked from one that has done the imports: they take seconds."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(IMPORTED)
    return processes


def annual_billing(*arguments: object, timeout: float = 300, **variables: str) -> Ran:
    """Run the command line in a process of its own. ``variables``: of its environment."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "ANNUAL_BILLING_WORKSPACE")}
    # As many runs as cores go on at once; that threads change nothing is shown by test_same_result.
    environment |= {THREADS_VARIABLE: "1"} | variables
    with tempfile.TemporaryDirectory() as scratch:
        out, err = Path(scratch) / "out", Path(scratch) / "err"
        process = forked().Process(target=_command, args=([*map(str, arguments)], environment, str(out), str(err)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"annual-billing {' '.join(map(str, arguments))} took over {timeout} s")
        code = process.exitcode
        process.close()
        return Ran(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


def query(folder: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of the workspace's published database."""
    with duckdb.connect(str(folder / "work" / "billing.duckdb"), read_only=True) as con:
        return con.execute(sql, list(parameters)).fetchall()


def table_hashes(folder: Path) -> dict[str, str]:
    """Table -> hash of its sorted rows, for every published table; the day of receipt apart."""
    hashes = {}
    with duckdb.connect(str(folder / "work" / "billing.duckdb"), read_only=True) as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
            columns = [
                c
                for (c,) in con.execute(
                    "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
                ).fetchall()
                if c != "received_on"
            ]
            row = ", ".join(f'coalesce("{c}"::VARCHAR, chr(1))' for c in columns)
            (digest,) = con.execute(
                f'SELECT sha256(string_agg(r, chr(10) ORDER BY r)) FROM (SELECT concat_ws(chr(31), {row}) AS r FROM "{table}")'
            ).fetchone() or ("",)
            hashes[table] = str(digest)
    return hashes


def bill_file_bytes(folder: Path, year: int = SAMPLE_YEAR) -> dict[str, bytes]:
    """Name -> content of the year's draft bill files."""
    return {p.name: p.read_bytes() for p in sorted((folder / "work" / "bill_files" / str(year) / "draft").iterdir())}


def committed_sample(target: Path) -> Path:
    """A copy of what is committed of the sample workspace."""
    source = ROOT / "data" / "sample"
    target.mkdir(parents=True)
    for name in ("workspace.yaml", "simulation.yaml"):
        shutil.copy(source / name, target / name)
    shutil.copytree(source / "districts", target / "districts")
    return target


@dataclass(frozen=True)
class SampleRun:
    """The sample workspace after its annual update, and what the commands printed."""

    folder: Path
    simulated: Ran
    ran: Ran


EXTRACT_HEADERS = {
    "sewer_services": "service_id,account_id,premise_id,customer_class,dwelling_units,edu,esu,jurisdiction,billing_agency,"
    "billing_frequency,status,service_start,service_end,occupant_since,volume_source",
    "meter_links": "service_id,district_id,district_account,meter_id,purpose,share,link_start,link_end",
    "non_sewer_accounts": "district_id,district_account,reason",
    "current_averages": "service_id,winter_average,volume_unit,effective_date",
}

TINY_DISTRICT = """\
district: tiny
name: Tiny Water District
write_to: office@tiny.example
files: "*.csv"
layout: {kind: delimited}
columns: {account: Account, meter: Meter, period_start: From, period_end: To, volume: CCF, read_type: Type}
period_end_is: next_read
volume: {unit: ccf}
read_types: {A: actual, E: estimated}
billing_cycle: mixed
"""


def tiny_workspace(
    folder: Path, deliveries: dict[int, str], extract: dict[int, dict[str, list[str]]], *, years: list[int]
) -> Path:
    """A workspace with one district, written by hand: lines of its delivery, and of each sheet of the extract, per year."""
    (folder / "districts").mkdir(parents=True)
    (folder / "workspace.yaml").write_text(
        f"name: Tiny Utility\nrate_tables: clean_water_services\nbilling_years: {years}\n", encoding="utf-8"
    )
    (folder / "districts" / "tiny.yaml").write_text(TINY_DISTRICT, encoding="utf-8")
    for year, text in deliveries.items():
        path = folder / "deliveries" / str(year) / "tiny" / "history.csv"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    for year, sheets in extract.items():
        for name, header in EXTRACT_HEADERS.items():
            path = folder / "cis_extract" / str(year) / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join([header, *sheets.get(name, [])]) + "\n", encoding="utf-8")
    return folder
