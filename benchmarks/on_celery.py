"""A year whose steps are tasks of Celery, on a real broker with real workers, against the same year made in one process.

Belongs here: the broker and the worker, both runs, their comparison, ``on_celery.md``. Does not belong here: executors (``pipelines.executors``).

    python benchmarks/on_celery.py [--to benchmarks/on_celery.md]

Needs ``redis-server``, for example from ``apt-get install redis-server``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from whole_runs import annual_billing, bill_file_bytes, table_hashes  # noqa: E402

from pipelines.annual_update import use_dagster_home  # noqa: E402
from validations.workspace import WORKSPACE_VARIABLE, Workspace  # noqa: E402

YEAR = 2019
ACCOUNTS, DISTRICTS, SEED, WORKERS = 50, 2, 7, 2
SECONDS = 1_800
"""After which something hangs."""
SECONDS_TO_BEGIN = 120


@contextmanager
def running(command: list[str], printed: Path, ready: str, **variables: str) -> Iterator[None]:
    """A process that has printed ``ready``; it is ended afterwards, with those that it started."""
    with printed.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - commands of ours
            command, cwd=ROOT, env={**os.environ, **variables}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        begun = time.monotonic()
        while ready not in printed.read_text(encoding="utf-8", errors="replace"):
            if process.poll() is not None or time.monotonic() > begun + SECONDS_TO_BEGIN:
                raise SystemExit(f"{command[0]} did not begin: {printed.read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """The address of a Redis server that keeps nothing."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is needed: apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--save", "", "--dir", str(folder)]
    with running(command, folder / "broker.txt", "Ready to accept connections"):
        yield f"redis://127.0.0.1:{port}/0"


def made(command: str, *arguments: object) -> float:
    """Seconds that a command took that ended well."""
    begun = time.perf_counter()
    ran = annual_billing(command, *arguments, timeout=SECONDS)
    if ran.code != 0:
        raise SystemExit(ran.out + ran.err)
    return time.perf_counter() - begun


def steps_by_worker(workspace: Workspace) -> Counter[str]:
    """Processes of the worker -> steps that each made in the last run."""
    use_dagster_home(workspace)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_runs(limit=1)[0]
        logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
        return Counter(str(log.dagster_event.pid) for log in logs if log.dagster_event)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "on_celery.md")
    to = parser.parse_args().to
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        alone, spread = folder / "in_process", folder / "on_celery"
        made("simulate", alone, "--accounts", ACCOUNTS, "--districts", DISTRICTS, "--seed", SEED)
        shutil.copytree(alone, spread)
        seconds = {"in_process": made("run", YEAR, "--workspace", alone)}
        with broker(folder) as address:
            config = {"broker": address, "backend": address}
            with (spread / "workspace.yaml").open("a", encoding="utf-8") as settings:
                settings.write(
                    yaml.safe_dump({"executor": "dagster_celery:celery_executor", "executor_config": config})
                )
            told = folder / "worker.yaml"
            told.write_text(yaml.safe_dump({"execution": {"config": config}}), encoding="utf-8")
            workspace = Workspace(spread)
            use_dagster_home(workspace)
            programs = Path(sys.executable).parent
            worker = [str(programs / "dagster-celery"), "worker", "start", "-A", "dagster_celery.app", "-y", str(told), "--", f"--concurrency={WORKERS}"]  # fmt: skip
            variables = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
            with running(worker, folder / "worker.txt", " ready.", **variables, **{WORKSPACE_VARIABLE: str(spread)}):
                seconds["on Celery"] = made("run", YEAR, "--workspace", spread)
            steps = steps_by_worker(workspace)
        expected, found = table_hashes(alone), table_hashes(spread)
        differing = [table for table in expected.keys() | found.keys() if expected.get(table) != found.get(table)]
        is_same_file = bill_file_bytes(alone, YEAR) == bill_file_bytes(spread, YEAR)
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("dagster-celery", "celery", "redis"))
    lines = [
        "# A year on Celery", "",
        f"Made by `python benchmarks/on_celery.py`: {ACCOUNTS} services, {DISTRICTS} districts; {packages}; a Redis server as broker, one worker with "
        f"{WORKERS} processes on the same machine.", "",
        "| | |", "| --- | --: |",
        *(f"| seconds, {name} | {took:.1f} |" for name, took in seconds.items()),
        f"| steps | {sum(steps.values())} |",
        f"| processes that made them | {len(steps)} |",
        f"| tables compared | {len(expected)} |",
        f"| tables that differ | {len(differing)} |",
        f"| bill files | {'same bytes' if is_same_file else 'DIFFER'} |",
    ]  # fmt: skip
    text = "\n".join([*lines, ""])
    print(text)
    to.write_text(text, encoding="utf-8")
    if differing or not is_same_file or len(steps) < WORKERS:
        raise SystemExit(f"not the same year: {differing}")


if __name__ == "__main__":
    main()
