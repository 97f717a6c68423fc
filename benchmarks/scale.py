"""How long the annual update takes against a bare script that reads, averages, rates and writes: ratios, stages, memory, growth.

Belongs here: making workspaces of several sizes, running everything in turn under a limit of memory, ``scale.md`` and the table for README.
Does not belong here: the bare scripts (``bare/``), whether figures are right (tests).

    python benchmarks/scale.py [--sizes 25000 250000] [--turns 3] [--folder DIR] [--gigabytes 4]

Each size is simulated once in DIR and kept there. A turn runs the bare script in DuckDB, in Polars and in pandas, then the annual update with nothing made
before it (``work/`` removed), then again with one late district. An annual update that exceeds the limit of memory is ended, and the benchmark fails. A million services and more
are run in one turn without the late district: it would take three quarters of an hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
PROGRAM = str(Path(sys.executable).with_name("annual-billing"))
BARE = ROOT / "benchmarks" / "bare"
YEAR = 2019
SEED = 8
DISTRICTS = 15
OURS = "annual update"
LATE = "annual update, again with one late district of fifteen"
SCRIPTS = {
    "bare script (DuckDB)": "in_duckdb.py",
    "the same in Polars": "in_polars.py",
    "the same in pandas": "in_pandas.py",
}
LARGE = 1_000_000
"""From so many services on, one turn without a late district."""
BESIDE_DUCKDB_BYTES = 1_300_000_000
"""What Python, its libraries and what DuckDB does not count take of the allowed memory."""
_SECONDS_BETWEEN_LOOKS = 0.1
"""At a process' memory: looking finds its children among all processes, which is work of its own."""
LEAST_RATIO = {25_000: None, 250_000: 12.0, 2_000_000: 10.0}


@dataclass
class Measured:
    """What one size took: seconds of each turn and peak memory by what ran, seconds of the update by stage."""

    services: int
    rows: int
    bills: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peak_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    stages: dict[str, float] = field(default_factory=dict)

    def median(self, what: str) -> float:
        return statistics.median(self.seconds[what])

    def ratio(self, what: str) -> float:
        return self.median(what) / self.median(next(iter(SCRIPTS)))


class TooMuchMemory(Exception):
    """A process exceeded the limit and was ended."""


def timed(command: list[str], most_bytes: int) -> tuple[float, int, str]:
    """Seconds, peak resident bytes (of the process and those it started) and output. TooMuchMemory; CalledProcessError."""
    peak = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        begun = time.perf_counter()
        process = psutil.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ANNUAL_BILLING_MEMORY": f"{(most_bytes - BESIDE_DUCKDB_BYTES) // 10**6}MB"},
        )  # fmt: skip
        try:
            while process.poll() is None:
                used = 0
                for one in (process, *_children(process)):
                    try:
                        used += one.memory_info().rss
                    except psutil.Error:
                        continue
                peak = max(peak, used)
                if used > most_bytes:
                    raise TooMuchMemory(
                        f"{' '.join(command)}: {used / 1e9:.1f} GB, {most_bytes / 1e9:.1f} GB are allowed"
                    )
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        finally:
            # Nobody leaves a run behind that goes on in a folder of the benchmark.
            if process.poll() is None:
                process.kill()
                process.wait()
        seconds = time.perf_counter() - begun
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return seconds, peak, text


def _children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def simulated(folder: Path, services: int) -> Path:
    """A workspace of this size, made once."""
    workspace = folder / f"w{services}"
    if not (workspace / "truth").is_dir():
        shutil.rmtree(workspace, ignore_errors=True)
        command = [
            "simulate",
            str(workspace),
            "--accounts",
            str(services),
            "--districts",
            str(DISTRICTS),
            "--seed",
            str(SEED),
        ]
        subprocess.run(  # noqa: S603 - commands of ours
            [PROGRAM, *command],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    return workspace


def _run(workspace: Path) -> list[str]:
    return [PROGRAM, "run", str(YEAR), "--workspace", str(workspace)]


def seconds_by_stage(workspace: Path) -> dict[str, float]:
    """Seconds of the last run by group of assets, from Dagster's own events."""
    asked = (
        "import json, sys, dagster as dg; from pathlib import Path; from pipelines.annual_update import use_dagster_home; "
        "from validations.workspace import Workspace; use_dagster_home(Workspace(Path(sys.argv[1]))); i = dg.DagsterInstance.get(); "
        "r = i.get_runs(limit=1)[0]; print(json.dumps({s.step_key: s.end_time - s.start_time for s in i.get_run_step_stats(r.run_id) if s.end_time}))"
    )
    told = subprocess.run(  # noqa: S603 - commands of ours
        [sys.executable, "-c", asked, str(workspace)], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )  # fmt: skip
    found: dict[str, float] = defaultdict(float)
    for step, seconds in json.loads(told.stdout.splitlines()[-1]).items():
        name = "checks" if step.startswith("check_") else step.split("__")[0]
        found[name] += seconds
    return dict(found)


def _late_district(workspace: Path) -> Path:
    """The delivery in the middle of all by size."""
    delivered = sorted(
        (workspace / "deliveries" / str(YEAR)).iterdir(),
        key=lambda p: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()),
    )
    return delivered[len(delivered) // 2]


def measure(folder: Path, services: int, turns: int, most_bytes: int) -> Measured:
    import duckdb

    workspace = simulated(folder, services)
    plain = folder / f"plain{services}"
    if not plain.is_dir():
        shutil.rmtree(workspace / "work", ignore_errors=True)
        timed(_run(workspace), most_bytes)
        subprocess.run(  # noqa: S603 - commands of ours
            [sys.executable, str(BARE / "plain.py"), str(workspace), str(YEAR), str(plain)],
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    found = Measured(services, 0, 0)
    is_large = services >= LARGE
    for turn in range(1 if is_large else turns):
        for name, script in SCRIPTS.items():
            seconds, peak, _ = timed([sys.executable, str(BARE / script), str(plain)], psutil.virtual_memory().total)
            found.seconds[name].append(seconds)
            found.peak_bytes[name] = max(found.peak_bytes[name], peak)
        shutil.rmtree(workspace / "work", ignore_errors=True)
        seconds, peak, _ = timed(_run(workspace), most_bytes)
        found.seconds[OURS].append(seconds)
        found.peak_bytes[OURS] = max(found.peak_bytes[OURS], peak)
        found.stages = seconds_by_stage(workspace)
        if turn == 0:
            with duckdb.connect(str(workspace / "work" / "billing.duckdb"), read_only=True) as con:
                ((found.rows,),) = con.sql("SELECT sum(records) FROM delivery_totals").fetchall()
                ((found.bills,),) = con.sql("SELECT count(*) FROM bills").fetchall()
        if is_large:
            print(
                f"{services:,} services: " + ", ".join(f"{n} {s[-1]:.1f} s" for n, s in found.seconds.items()),
                flush=True,
            )
            continue
        aside = folder / "late"
        late = _late_district(workspace)
        shutil.move(late, aside)
        try:
            timed(_run(workspace), most_bytes)
        finally:
            shutil.move(aside, late)
        seconds, peak, _ = timed(_run(workspace), most_bytes)
        found.seconds[LATE].append(seconds)
        found.peak_bytes[LATE] = max(found.peak_bytes[LATE], peak)
        print(
            f"{services:,} services, turn {turn + 1}: "
            + ", ".join(f"{n} {s[-1]:.1f} s" for n, s in found.seconds.items()),
            flush=True,
        )
    return found


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {platform.system()}"


def table(sizes: list[Measured]) -> list[str]:
    lines = ["| services | delivered rows | | seconds | times the bare script | rows a second | bills a second | peak memory, GB |",
             "| --: | --: | --- | --: | --: | --: | --: | --: |"]  # fmt: skip
    for one in sizes:
        for name in one.seconds:
            seconds = one.median(name)
            rates = (f"{one.rows / seconds:,.0f}", f"{one.bills / seconds:,.0f}") if name != LATE else ("", "")
            lines.append(
                f"| {one.services:,} | {one.rows:,} | {name} | {seconds:,.1f} | {one.ratio(name):,.1f} | {rates[0]} | {rates[1]} | {one.peak_bytes[name] / 1e9:,.2f} |"
            )
    return lines


def goals(sizes: list[Measured], most_bytes: int) -> list[str]:
    def row(what: str, goal: str, figure: str, *, is_met: bool) -> str:
        return f"| {what} | {goal} | {figure} | {'met' if is_met else 'NOT MET'} |"

    lines = ["| goal | at most | measured | |", "| --- | --: | --: | --- |"]
    for one in sizes:
        least = LEAST_RATIO.get(one.services)
        if least:
            lines.append(
                row(
                    f"{one.services:,} services, times the bare script",
                    f"{least:g}",
                    f"{one.ratio(OURS):,.1f}",
                    is_met=one.ratio(OURS) <= least,
                )
            )
        if LATE in one.seconds:
            part = one.median(LATE) / one.median(OURS)
            lines.append(
                row(
                    f"{one.services:,} services, a late district, part of the whole",
                    "25 %",
                    f"{100 * part:,.0f} %",
                    is_met=part <= 0.25,
                )
            )
        peak = one.peak_bytes[OURS]
        lines.append(
            row(
                f"{one.services:,} services, peak memory (a run above it is ended)",
                f"{most_bytes / 1e9:g} GB",
                f"{peak / 1e9:,.2f} GB",
                is_met=peak <= most_bytes,
            )
        )
    for small, large in itertools.pairwise(sizes):
        before, after = (1e6 * one.median(OURS) / one.rows for one in (small, large))
        lines.append(
            row(
                f"microseconds a row, from {small.services:,} to {large.services:,} services",
                f"{before:,.1f}",
                f"{after:,.1f}",
                is_met=after <= before,
            )
        )
    asked = statistics.median(timed([PROGRAM, "--help"], most_bytes)[0] for _ in range(5))
    lines.append(row("annual-billing --help, seconds", "0.5", f"{asked:.2f}", is_met=asked < 0.5))
    return lines


def chart(sizes: list[Measured]) -> list[str]:
    longest = max(one.median(name) for one in sizes for name in (*SCRIPTS, OURS))
    lines = ["```text"]
    for one in sizes:
        for name in (*SCRIPTS, OURS):
            bar = "#" * max(1, round(60 * one.median(name) / longest))
            lines.append(f"{one.services:>9,}  {name:<22} {one.median(name):>8.1f} s  {bar}")
    return [*lines, "```"]


def stages(one: Measured) -> list[str]:
    lines = ["| stage | seconds | share |", "| --- | --: | --: |"]
    whole = one.median(OURS)
    known = sorted(one.stages.items(), key=lambda item: -item[1])
    for name, seconds in known[:18]:
        lines.append(f"| {name} | {seconds:,.1f} | {100 * seconds / whole:,.0f} % |")
    rest = whole - sum(seconds for _, seconds in known[:18])
    lines.append(
        f"| all else: other stages, start, Dagster between stages | {rest:,.1f} | {100 * rest / whole:,.0f} % |"
    )
    return lines


def written(sizes: list[Measured], turns: int, most_bytes: int) -> str:
    largest = sizes[-1]
    return "\n".join([
        "# The annual update against a bare script",
        "",
        f"Made by `python benchmarks/scale.py`: {turns} turn{'s' * (turns > 1)} (of a million services and more, one), medians; {machine()}. {DISTRICTS} districts in mixed layouts, billing year {YEAR}, seed {SEED}.",
        "",
        "The bare script reads, averages, rates and writes. Its files are in one layout already, matched with services, and nobody is told anything. The annual",
        "update begins with the districts' files and an empty `work/`, and ends with checked tables, reasons, findings and bill files. Built SQL is kept",
        "between runs (`assets/built_sql.py`), as it is for anybody who runs it a second time. DuckDB may use what is allowed in all less "
        f"{BESIDE_DUCKDB_BYTES / 1e9:g} GB (`ANNUAL_BILLING_MEMORY`); what does not fit goes to disk.",
        "",
        *table(sizes),
        "",
        *goals(sizes, most_bytes),
        "",
        *chart(sizes),
        "",
        f"Where the time goes, {largest.services:,} services, the last turn:",
        "",
        *stages(largest),
        "",
    ])  # fmt: skip


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", nargs="+", type=int, default=[25_000, 250_000])
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "annual-billing-scale")
    arguments.add_argument("--gigabytes", type=float, default=4.0)
    chosen = arguments.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    most_bytes = int(chosen.gigabytes * 1e9)
    sizes = [measure(chosen.folder, services, chosen.turns, most_bytes) for services in sorted(chosen.sizes)]
    text = written(sizes, chosen.turns, most_bytes)
    (ROOT / "benchmarks" / "scale.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
