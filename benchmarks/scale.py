"""How long the annual update takes against a bare script that reads, averages, rates and writes: ratios, stages, memory, growth.

Belongs here: making workspaces of several sizes, running everything in turn under a limit of memory, ``scale.md`` and the table for README.
Does not belong here: the bare scripts (``bare/``), whether figures are right (tests).

    python benchmarks/scale.py [--sizes 25000 250000 2000000] [--turns 3] [--folder DIR] [--gigabytes GB] [--peers] [--to FILE]

Each size is simulated once in DIR and kept there. A turn runs the annual update with nothing made before it (``work/`` removed), the bare script in DuckDB, in
Polars and in pandas, then the annual update again with one late district. An annual update that exceeds the limit of memory is ended, and the benchmark fails. A million
services and more are run in one turn. Ten million and more are allowed twice the memory, and run without the late district; Polars and pandas, which would need several
times that memory, are run only with ``--peers``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
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
FEWEST = 25 * DISTRICTS
"""Services that can be simulated in so many districts."""
SMALLEST = 25_000
LARGE = 1_000_000
"""From so many services on, one turn."""
LARGEST = 10_000_000
"""From so many services on, twice the memory, no late district, and no peers unless asked."""
WORKBOOK_ROWS, WORKBOOK_COLUMNS, WORKBOOK_SECONDS = 50_000, 25, 5.0
EXTRAPOLATED = 100_000_000
MACHINES = 50
SPREAD, STAGES, PUBLISHED, REST = (
    "front doors: pulling, reading and checking each district's files",
    "office's sheets, stages and their checks",
    "bill files, contents, `billing.duckdb`",
    "start, Dagster between steps",
)
"""Kinds of steps. Only the first spreads over processes or machines within one run."""
_OF_A_DISTRICT = ("deliveries__", "front_door_")
_OF_PUBLICATION = ("bill_files", "contents", "billing_database")
PROMISES: dict[str, tuple[str, ...]] = {
    "averaging and rating, which the bare script does too: consumption met with services, adjusted, counted, averaged, rated": (
        "service_consumption", "adjustment_steps", "refused_adjustments", "adjusted_consumption", "counted_use", "winter_averages",
        "released_class_averages", "class_averages", "billing_basis", "rate_schedule", "bills", "bill_lines",
    ),
    "whatever layout a district has: files kept and hashed, each row read with its number or refused with a reason": ("deliveries", "front doors"),
    "the office's part: CIS extract, what changed since last year's, adjustment and decision sheets": (
        "cis_extract", "adjustment_sheet", "decision_sheet",
    ),
    "irregular use, what is at stake, what a person looks at first": (
        "unmatched", "irregular_use", "proposed_corrections", "district_use", "findings", "decisions", "at_stake", "worklist", "year_on_year",
    ),
    "every volume accounted for, from delivery to bill": (
        "counted_volume", "delivered_volume", "linked_volume", "volume_account", "reconciliation",
    ),
    "checks: each table against its contract, sums against each other": ("checks",),
    "one hash of all that a person approves": ("contents",),
    "`billing.duckdb`, seen whole or not at all, and bill files": ("billing_database", "bill_files"),
}  # fmt: skip
"""What steps are for -> the steps, as ``seconds_by_stage`` names them."""
BESIDE_DUCKDB = 0.325
"""The share of the allowed memory for Python, its libraries and what DuckDB does not count, which grows with what DuckDB has at hand."""
_SECONDS_BETWEEN_LOOKS = 0.1
"""At a process' memory: looking finds its children among all processes, which is work of its own."""
LEAST_RATIO = {250_000: 12.0, 2_000_000: 10.0}


@dataclass
class Measured:
    """What one size took: seconds of each turn and peak memory by what ran, seconds of the update by step, bytes on disk by folder."""

    services: int
    most_bytes: int
    rows: int = 0
    bills: int = 0
    largest_district: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peak_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    steps: dict[str, float] = field(default_factory=dict)
    disk_bytes: dict[str, int] = field(default_factory=dict)

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
            env={**os.environ, "PYTHONPATH": str(ROOT), "ANNUAL_BILLING_MEMORY": f"{most_bytes * (1 - BESIDE_DUCKDB) / 1e6:.0f}MB"},
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
    """A workspace of this size, made once. Of the largest only the year that is run and the one before it: the update reads no other."""
    workspace = folder / f"w{services}"
    if not (workspace / "truth" / f"irregular_{YEAR}.csv").is_file():
        shutil.rmtree(workspace, ignore_errors=True)
        if services >= LARGEST:
            _simulate(workspace, FEWEST, "--districts", str(DISTRICTS))
            for made in ("deliveries", "cis_extract", "adjustments", "truth"):
                shutil.rmtree(workspace / made)
            settings = workspace / "workspace.yaml"
            text = settings.read_text(encoding="utf-8")
            settings.write_text(
                re.sub(r"(?m)^billing_years: .*$", f"billing_years: [{YEAR - 1}, {YEAR}]", text), encoding="utf-8"
            )
            _simulate(workspace, services)
        else:
            _simulate(workspace, services, "--districts", str(DISTRICTS))
    return workspace


def _simulate(workspace: Path, services: int, *more: str) -> None:
    command = [PROGRAM, "simulate", str(workspace), "--accounts", str(services), "--seed", str(SEED), *more]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})  # noqa: S603 - commands of ours


def _run(workspace: Path) -> list[str]:
    return [PROGRAM, "run", str(YEAR), "--workspace", str(workspace)]


def seconds_by_step(workspace: Path) -> dict[str, float]:
    """Seconds of each step of the last run, from Dagster's own events."""
    asked = (
        "import json, sys, dagster as dg; from pathlib import Path; from pipelines.annual_update import use_dagster_home; "
        "from validations.workspace import Workspace; use_dagster_home(Workspace(Path(sys.argv[1]))); i = dg.DagsterInstance.get(); "
        "r = i.get_runs(limit=1)[0]; print(json.dumps({s.step_key: s.end_time - s.start_time for s in i.get_run_step_stats(r.run_id) if s.end_time}))"
    )
    told = subprocess.run(  # noqa: S603 - commands of ours
        [sys.executable, "-c", asked, str(workspace)], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )  # fmt: skip
    return dict(json.loads(told.stdout.splitlines()[-1]))


def seconds_by_stage(one: Measured) -> dict[str, float]:
    """Steps of one kind added up: pulling, reading, checking."""
    found: dict[str, float] = defaultdict(float)
    for step, seconds in one.steps.items():
        kinds = {"check_": "checks", "front_door_": "front doors"}
        found[next((kind for start, kind in kinds.items() if step.startswith(start)), step.split("__")[0])] += seconds
    return dict(found)


def seconds_by_kind(one: Measured) -> dict[str, float]:
    """The whole update by kind of step."""
    districts = {step.removeprefix("front_door_") for step in one.steps if step.startswith("front_door_")}
    found = dict.fromkeys((SPREAD, STAGES, PUBLISHED), 0.0)
    for step, seconds in one.steps.items():
        if step.startswith(_OF_A_DISTRICT) or step.removeprefix("check_") in districts:
            found[SPREAD] += seconds
        else:
            found[PUBLISHED if step.removeprefix("check_") in _OF_PUBLICATION else STAGES] += seconds
    return {**found, REST: max(0.0, one.median(OURS) - sum(found.values()))}


def seconds_by_promise(one: Measured) -> dict[str, float]:
    """The whole update by what its steps are for. KeyError if a step is for nothing that is listed."""
    purpose = {stage: promise for promise, stages_of in PROMISES.items() for stage in stages_of}
    found = dict.fromkeys(PROMISES, 0.0)
    for stage, seconds in seconds_by_stage(one).items():
        found[purpose[stage]] += seconds
    return {**found, REST: max(0.0, one.median(OURS) - sum(found.values()))}


def disk_bytes(workspace: Path) -> dict[str, int]:
    """What the year takes on disk."""
    work = workspace / "work"
    parts = {
        "deliveries": workspace / "deliveries" / str(YEAR),
        "archive of deliveries": work / "archive",
        "store": work / "store",
        "`billing.duckdb`": work / "billing.duckdb",
        "bill files": work / "drafts",
    }
    return {
        name: sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        for name, path in parts.items()
    }


def _late_district(workspace: Path) -> Path:
    """The delivery in the middle of all by size."""
    delivered = sorted(
        (workspace / "deliveries" / str(YEAR)).iterdir(),
        key=lambda p: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()),
    )
    return delivered[len(delivered) // 2]


def _with_a_late_district(workspace: Path, aside: Path, most_bytes: int) -> tuple[float, int]:
    """Seconds and peak bytes of the run that has all districts, after one without the late district."""
    late = _late_district(workspace)
    shutil.move(late, aside)
    try:
        timed(_run(workspace), most_bytes)
    finally:
        shutil.move(aside, late)
    seconds, peak, _ = timed(_run(workspace), most_bytes)
    return seconds, peak


def measure(folder: Path, services: int, turns: int, gigabytes: float | None, *, with_peers: bool) -> Measured:
    """``gigabytes``: what a run may take, if not as much as its size is allowed."""
    import duckdb

    most_bytes = int((gigabytes or (8 if services >= LARGEST else 4)) * 1e9)

    workspace = simulated(folder, services)
    plain = folder / f"plain{services}"
    found = Measured(services, most_bytes)
    scripts = dict(itertools.islice(SCRIPTS.items(), None if with_peers or services < LARGEST else 1))
    for turn in range(1 if services >= LARGE else turns):
        shutil.rmtree(workspace / "work", ignore_errors=True)
        seconds, peak, _ = timed(_run(workspace), most_bytes)
        found.seconds[OURS].append(seconds)
        print(f"{services:,} services, {OURS}: {seconds:.1f} s, {peak / 1e9:.2f} GB", flush=True)
        found.peak_bytes[OURS] = max(found.peak_bytes[OURS], peak)
        found.steps, found.disk_bytes = seconds_by_step(workspace), disk_bytes(workspace)
        if turn == 0:
            with duckdb.connect(str(workspace / "work" / "billing.duckdb"), read_only=True) as con:
                ((found.rows,),) = con.sql("SELECT sum(records) FROM delivery_totals").fetchall()
                ((found.bills,),) = con.sql("SELECT count(*) FROM bills").fetchall()
                ((found.largest_district,),) = con.sql(
                    "SELECT max(n) FROM (SELECT count(*) AS n FROM sewer_services GROUP BY slice_id)"
                ).fetchall()
        if not plain.is_dir():
            # What was stopped halfway is not taken for the whole.
            beside = plain.with_name(f"{plain.name}.part")
            shutil.rmtree(beside, ignore_errors=True)
            subprocess.run(  # noqa: S603 - commands of ours
                [sys.executable, str(BARE / "plain.py"), str(workspace), str(YEAR), str(beside)],
                check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            beside.rename(plain)
        for name, script in scripts.items():
            command = [sys.executable, str(BARE / script), str(plain), f"{most_bytes / 1e9:g}GB"]
            seconds, peak, _ = timed(command, psutil.virtual_memory().total)
            found.seconds[name].append(seconds)
            found.peak_bytes[name] = max(found.peak_bytes[name], peak)
        if services < LARGEST:
            seconds, peak = _with_a_late_district(workspace, folder / "late", most_bytes)
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
        for name in (name for name in (*SCRIPTS, OURS, LATE) if name in one.seconds):
            seconds = one.median(name)
            rates = (f"{one.rows / seconds:,.0f}", f"{one.bills / seconds:,.0f}") if name != LATE else ("", "")
            lines.append(
                f"| {one.services:,} | {one.rows:,} | {name} | {seconds:,.1f} | {one.ratio(name):,.1f} | {rates[0]} | {rates[1]} | {one.peak_bytes[name] / 1e9:,.2f} |"
            )
    return lines


def workbook_seconds() -> float:
    """Reading a workbook as a front door reads it."""
    import xlsxwriter

    from assets.readers.workbook import Notation, read_workbook
    from validations.layout import Workbook

    names = ["Account", *(f"Column {number}" for number in range(2, WORKBOOK_COLUMNS + 1))]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "history.xlsx"
        with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, names)
            for row in range(1, WORKBOOK_ROWS + 1):
                sheet.write_row(row, 0, [f"{row:08}", *(row * column for column in range(2, WORKBOOK_COLUMNS + 1))])
        begun = time.perf_counter()
        read = read_workbook(path, Workbook(kind="workbook"), {"account": "Account"}, Notation(), Path(scratch))
        seconds = time.perf_counter() - begun
    assert int(read.rows.count().execute()) == WORKBOOK_ROWS
    return seconds


def goals(sizes: list[Measured]) -> list[str]:
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
                f"{one.most_bytes / 1e9:g} GB",
                f"{peak / 1e9:,.2f} GB",
                is_met=peak <= one.most_bytes,
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
    if not any(one.services >= LARGEST for one in sizes):
        lines.append(f"| {LARGEST:,} services complete (`--sizes {LARGEST}`) | 8 GB | not in this run | |")
    read = workbook_seconds()
    what = f"a workbook of {WORKBOOK_ROWS:,} rows of {WORKBOOK_COLUMNS} columns is read, seconds"
    lines.append(row(what, f"{WORKBOOK_SECONDS:g}", f"{read:.1f}", is_met=read <= WORKBOOK_SECONDS))
    asked = statistics.median(timed([PROGRAM, "--help"], sizes[0].most_bytes)[0] for _ in range(5))
    lines.append(row("annual-billing --help, seconds", "0.5", f"{asked:.2f}", is_met=asked < 0.5))
    return lines


def chart(sizes: list[Measured]) -> list[str]:
    longest = max(one.median(name) for one in sizes for name in one.seconds)
    lines = ["```text"]
    for one in sizes:
        for name in (name for name in (*SCRIPTS, OURS) if name in one.seconds):
            bar = "#" * max(1, round(60 * one.median(name) / longest))
            lines.append(f"{one.services:>9,}  {name:<22} {one.median(name):>8.1f} s  {bar}")
    return [*lines, "```"]


def stages(one: Measured) -> list[str]:
    lines = ["| stage | seconds | share |", "| --- | --: | --: |"]
    whole = one.median(OURS)
    known = sorted(seconds_by_stage(one).items(), key=lambda item: -item[1])
    for name, seconds in known[:18]:
        lines.append(f"| {name} | {seconds:,.1f} | {100 * seconds / whole:,.0f} % |")
    rest = whole - sum(seconds for _, seconds in known[:18])
    lines.append(
        f"| all else: other stages, start, Dagster between stages | {rest:,.1f} | {100 * rest / whole:,.0f} % |"
    )
    return lines


def promises(one: Measured) -> list[str]:
    """What each promise takes, in seconds and in bare scripts."""
    bare = one.median(next(iter(SCRIPTS)))
    lines = ["| what for | seconds | times the whole bare script |", "| --- | --: | --: |"]
    return lines + [f"| {name} | {s:,.1f} | {s / bare:,.1f} |" for name, s in seconds_by_promise(one).items()]


def extrapolated(one: Measured) -> list[str]:
    """A year of EXTRAPOLATED services in proportion to one that was measured, on one machine and on several."""
    times, per_million = EXTRAPOLATED / one.services, 1e6 / one.services
    workspaces = -(-EXTRAPOLATED // one.services)
    machines = min(MACHINES, workspaces)

    def hours(seconds: float) -> str:
        return f"{seconds * times / 3600:,.2f}"

    kinds, whole = seconds_by_kind(one), one.median(OURS)
    spread = {kind: seconds / MACHINES if kind == SPREAD else seconds for kind, seconds in kinds.items()}
    peak, largest = one.peak_bytes[OURS] / 1e9, one.largest_district
    lines = [
        f"An extrapolation from the {one.services:,} services above, {times:,.0f} times as many in as many times the districts, none of which is larger: nothing of it was run. "
        f"Machines are like this one. One run spreads only its front doors; its stages follow one another. {workspaces:,} workspaces of the size that was "
        f"measured, spread over {machines} machines, spread all.",
        "",
        f"| | seconds per million services | {EXTRAPOLATED:,} on one machine, hours | front doors on {MACHINES} machines, hours | as {workspaces:,} workspaces on {machines} machines, hours |",
        "| --- | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {kind} | {seconds * per_million:,.1f} | {hours(seconds)} | {hours(spread[kind])}{'' if kind == SPREAD else ' (does not spread)'} | {hours(seconds / machines)} |"
        for kind, seconds in kinds.items()
    ]
    lines += [
        f"| all | {whole * per_million:,.1f} | {hours(whole)} | {hours(sum(spread.values()))} | {hours(whole / machines)} |",
        "",
        f"Memory follows the largest district, not the utility: {peak:,.2f} GB with {largest:,} services in it, {peak * 1e6 / largest:,.1f} GB per million services of the largest "
        "district where all of it is counted to that district.",
        "",
        f"| on disk | GB per million services | GB for {EXTRAPOLATED:,} |",
        "| --- | --: | --: |",
    ]
    parts = [*one.disk_bytes.items(), ("all", sum(one.disk_bytes.values()))]
    return lines + [f"| {name} | {size * per_million / 1e9:,.2f} | {size * times / 1e9:,.0f} |" for name, size in parts]


def written(sizes: list[Measured], turns: int) -> str:
    largest = sizes[-1]
    limits = ", ".join(f"{one.most_bytes / 1e9:g} GB for {one.services:,} services" for one in sizes)
    return "\n".join([
        "# The annual update against a bare script",
        "",
        f"Made by `python benchmarks/scale.py`: {turns} turn{'s' * (turns > 1)} (of a million services and more, one), medians; {machine()}. {DISTRICTS} districts in mixed layouts, billing year {YEAR}, seed {SEED}.",
        "",
        "The bare script reads, averages, rates and writes. Its files are in one layout already, matched with services, and nobody is told anything. The annual",
        "update begins with the districts' files and an empty `work/`, and ends with checked tables, reasons, findings and bill files. Built SQL is kept",
        "between runs (`assets/built_sql.py`), as it is for anybody who runs it a second time.",
        "",
        f"Memory that is allowed: {limits}. The update's DuckDB may use {1 - BESIDE_DUCKDB:.1%} of that (`ANNUAL_BILLING_MEMORY`), what does not fit goes to disk, and the whole update is ended above it. "
        "The bare script's DuckDB may use the same; it and its peers are not ended.",
        "",
        *table(sizes),
        "",
        *goals(sizes),
        "",
        *chart(sizes),
        "",
        f"Where the time goes, {largest.services:,} services, the last turn:",
        "",
        *stages(largest),
        "",
        "The same by what it is for. Of this the bare script does the first; it reads files of one layout, and writes one:",
        "",
        *promises(largest),
        "",
        f"## A year of {EXTRAPOLATED // 10**6} million services, computed from what was measured",
        "",
        *extrapolated(largest),
        "",
    ])  # fmt: skip


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", nargs="+", type=int, default=[SMALLEST, 250_000, 2_000_000])
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "annual-billing-scale")
    arguments.add_argument(
        "--gigabytes", type=float, help="memory of a run; else 4, and 8 from ten million services on"
    )
    arguments.add_argument("--peers", action="store_true", help="Polars and pandas also from ten million services on")
    arguments.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "scale.md")
    chosen = arguments.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    # Builds the SQL, which is the same for every size.
    timed(_run(simulated(chosen.folder, SMALLEST)), int(4e9))
    sizes = list[Measured]()
    for services in sorted(chosen.sizes):
        sizes.append(measure(chosen.folder, services, chosen.turns, chosen.gigabytes, with_peers=chosen.peers))
        # The largest take hours: who stops them keeps what was measured by then.
        chosen.to.write_text(written(sizes, chosen.turns), encoding="utf-8")
    print(chosen.to.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
