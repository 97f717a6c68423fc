"""A year whose steps are processes of their own is the year made in one process.

Belongs here: whole runs with the executors of ``workspace.yaml``. Does not belong here: the lock by itself (``test_session``).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from alembic.script import ScriptDirectory
from whole_runs import PROGRAM, ROOT, annual_billing, bill_file_bytes, table_hashes

from pipelines.annual_update import use_dagster_home
from pipelines.executors import executor_of
from pipelines.run_history import RunHistory
from pipelines.session import WorkspaceBusy, open_session
from rate_tables.config_file import ConfigError
from validations.workspace import WORKSPACE_VARIABLE, Workspace

YEAR = 2019
SECONDS = 900
"""Longer than a machine takes that has much other work."""


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of fifty services and two districts, made in one process."""
    folder = tmp_path_factory.mktemp("executors") / "in_process"
    made = annual_billing("simulate", folder, "--accounts", 50, "--districts", 2, "--seed", 7)
    assert made.code == 0, made.err
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.err
    return folder


def with_executor(of: Path, folder: Path, *lines: str) -> Path:
    """The same workspace before its run, with these lines in ``workspace.yaml``."""
    shutil.copytree(of, folder, ignore=shutil.ignore_patterns("work", "log.jsonl"))
    said = (of / "workspace.yaml").read_text(encoding="utf-8")
    (folder / "workspace.yaml").write_text("\n".join([said, *lines, ""]), encoding="utf-8")
    return folder


def rows_of(table: Path) -> list[str]:
    """The rows of a Parquet file as text, in order."""
    return sorted(map(str, duckdb.read_parquet(str(table)).fetchall()))


@contextmanager
def begun(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A run on its way, in a process that nothing was imported into before, and what it prints."""
    printed = folder.parent / "printed.txt"
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", WORKSPACE_VARIABLE)}
    # A file, because a killed run leaves steps that hold what it prints to.
    with printed.open("w") as out:
        command = [str(PROGRAM), "run", str(YEAR), "--workspace", str(folder)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        yield process, printed
    finally:
        process.kill()
        process.wait(SECONDS)


@contextmanager
def history(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The workspace's run history; the environment is as it was, afterwards."""
    for name in ("DAGSTER_HOME", WORKSPACE_VARIABLE, "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    use_dagster_home(Workspace(folder))
    with dg.DagsterInstance.get() as instance:
        yield instance


def processes_of_steps(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Step -> the process that made it."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_WORKER_STARTED)
    found = [log.dagster_event for log in events if log.dagster_event]
    return {str(e.step_key): str(e.engine_event_data.metadata["pid"].value) for e in found}


def test_steps_in_processes_of_their_own_make_the_same_year_and_a_killed_run_and_a_second_one_do_not_disturb_it(
    in_process: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_executor(
        in_process, tmp_path / "ws", "executor: multiprocess", "executor_config: {max_concurrent: 2}"
    )
    workspace = Workspace(folder)
    with begun(folder) as (first, printed):
        deadline = time.monotonic() + SECONDS
        while not list(workspace.store.glob("consumption/*/*.parquet")):
            assert first.poll() is None, printed.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(WorkspaceBusy, match="another run"), open_session(workspace, wait_seconds=0.5):
            pass
        os.kill(first.pid, signal.SIGKILL)
        first.wait(SECONDS)
    assert not workspace.database.exists()

    # It waits for what the killed run has left running, and finishes its work.
    with begun(folder) as (second, printed):
        assert second.wait(SECONDS) == 0, printed.read_text()
    assert "STEP_WORKER" not in printed.read_text()

    assert table_hashes(folder) == table_hashes(in_process)
    assert bill_file_bytes(folder, YEAR) == bill_file_bytes(in_process, YEAR)
    assert list((folder / "work" / "scratch").iterdir()) == []
    with history(folder, monkeypatch) as instance:
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
        made_by = processes_of_steps(instance, run.run_id)
    assert len(made_by) > 70
    assert len(set(made_by.values())) == len(made_by)


def test_a_run_that_a_run_launcher_starts_holds_the_lock_for_its_steps(
    in_process: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the UI starts it: what a run launcher starts takes up a run from the run history, and its steps find it by its id."""
    folder = with_executor(in_process, tmp_path / "ws", "executor: multiprocess")
    workspace = Workspace(folder)
    one, other = workspace.districts
    steps = [f"{step}_{district}" for district in (one, other) for step in ("deliveries_", "front_door", "check")]
    with history(folder, monkeypatch) as instance:
        launched = subprocess.run(
            [
                str(Path(sys.executable).with_name("dagster")), "job", "launch", "-m", "pipelines.definitions", "-j", "annual_update",
                "--tags", json.dumps({"dagster/partition": str(YEAR)}), "--op-selection", ",".join(steps),
            ],
            cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert launched.returncode == 0, launched.stdout + launched.stderr
        deadline = time.monotonic() + SECONDS
        while not (run := instance.get_runs()[0]).is_finished:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert set(processes_of_steps(instance, run.run_id)) == set(steps)
    for district in (one, other):
        (made,), (expected,) = (
            list(w.store.glob(f"consumption/{YEAR}/{district}.parquet")) for w in (workspace, Workspace(in_process))
        )
        assert rows_of(made) == rows_of(expected)


def test_the_run_history_is_opened_without_reading_dagsters_scripts_of_migration_again_and_is_of_their_last_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptDirectory, "_load_revisions", None)
    for _ in range(2):
        opened = RunHistory.from_local(str(tmp_path))
        for storage in (opened.run_storage, opened.event_log_storage, opened.schedule_storage):
            of_file, last = storage.alembic_version() or ("", "")
            assert of_file == last != ""
        opened.dispose()


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["executor: multiproces"], "key executor: 'multiproces' is not allowed; allowed: in_process, multiprocess, or "),
        (["executor: dagster_none:x_executor"], "'dagster_none:x_executor' is not allowed, because it cannot be imported"),
        (["executor: dagster:no_such"], "'dagster:no_such' is not allowed, because dagster has no no_such; allowed: "),
        (["executor: pathlib:Path"], "'pathlib:Path' is not allowed, because it is no executor of Dagster; allowed: "),
        (["executor_config: {max_concurrent: 2}"], "key executor_config: not allowed as it stands; allowed: no "),
        (["executor: multiprocess", "executor_config: {max: 2}"], 'key executor_config: Received unexpected config entry "max"'),
        (["executor: multiprocess", "engine: spark"], "key executor: not allowed as it stands; allowed: in_process where "),
    ],
)  # fmt: skip
def test_an_executor_that_cannot_be_used_is_one_sentence(
    in_process: Path, tmp_path: Path, lines: list[str], sentence: str
) -> None:
    folder = with_executor(in_process, tmp_path / "ws", *lines)
    with pytest.raises(ConfigError) as said:
        executor_of(Workspace(folder))
    assert str(said.value).startswith("workspace.yaml")
    assert sentence in str(said.value)
    assert "\n" not in str(said.value)


def test_an_executor_is_named_by_its_import_path(in_process: Path, tmp_path: Path) -> None:
    lines = ["executor: dagster:multiprocess_executor", "executor_config: {max_concurrent: 1}"]
    executor = executor_of(Workspace(with_executor(in_process, tmp_path / "ws", *lines)))
    assert executor.name == dg.multiprocess_executor.name
