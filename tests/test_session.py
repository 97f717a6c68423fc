"""The session of a run: one at a time, and nothing left of one that was killed.

Belongs here: the lock, leftovers, limits of cores and memory.
Does not belong here: whole runs (``test_annual_update``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from whole_runs import committed_sample, forked

from assets.stage import Session
from pipelines.limits import MEMORY_VARIABLE, THREADS_VARIABLE
from pipelines.session import WorkspaceBusy, lock, open_session, part_of_lock, read_session
from validations.workspace import Workspace


def _hold(work: Path, kind: str, run: str, said: Connection) -> None:
    with part_of_lock(work, run) if kind == "step" else lock(work, 5, run or None):
        said.send("held")
        time.sleep(60)


@contextmanager
def holding(work: Path, kind: str = "run", run: str = "") -> Iterator[BaseProcess]:
    """Another process that holds the lock, or a part of it."""
    said, says = multiprocessing.Pipe(duplex=False)
    other = forked().Process(target=_hold, args=(work, kind, run, says))
    other.start()
    says.close()
    try:
        assert said.recv() == "held"
        yield other
    finally:
        other.kill()
        other.join()


def _killed(other: BaseProcess) -> None:
    assert other.pid
    os.kill(other.pid, signal.SIGKILL)
    other.join(10)
    assert other.exitcode == -signal.SIGKILL


def test_a_second_run_is_refused_with_a_sentence_until_the_first_ends_however_it_ends(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with holding(work) as first:
        with pytest.raises(WorkspaceBusy, match="another run has been working in"), lock(work, 0.5):
            pass
        _killed(first)
        with lock(work, 5):
            pass


def test_the_lock_of_a_run_is_shared_by_its_steps_alone_and_free_when_the_last_of_them_has_ended(
    tmp_path: Path,
) -> None:
    """Whoever starts the run may be killed: a step that still writes keeps others out until it has ended."""
    work = tmp_path / "work"
    with holding(work, "run", "A") as run, holding(work, "step", "A") as step, holding(work, "step", "A") as sister:
        with pytest.raises(WorkspaceBusy, match="the run that this step belongs to has ended"), part_of_lock(work, "B"):
            pass
        sister.kill()
        for one in (run, step):
            for run_id in (None, "B"):
                with pytest.raises(WorkspaceBusy, match="another run"), lock(work, 0.3, run_id):
                    pass
            _killed(one)
        with lock(work, 5, "B"), part_of_lock(work, "B"):
            pass
    with pytest.raises(WorkspaceBusy, match="the run that this step belongs to has ended"), part_of_lock(work, "B"):
        pass


def test_where_a_lock_may_not_reach_other_machines_a_run_that_the_run_history_calls_unfinished_is_waited_for(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    with holding(work, "run", "A") as run:
        _killed(run)
    with pytest.raises(WorkspaceBusy, match="run A has not ended"), lock(work, 0.3, "B", lambda other: other == "A"):
        pass
    with lock(work, 0, "A", lambda _: True):
        pass
    with lock(work, 0, "B", lambda _: True):
        pass


def test_promise_5_what_a_killed_run_had_not_finished_is_removed_and_what_was_finished_stays(tmp_path: Path) -> None:
    workspace = Workspace(committed_sample(tmp_path / "sample"))
    finished = workspace.store / "bills" / "2019" / "dunmore.parquet"
    unfinished = [
        finished.with_name(".dunmore.parquet.1f.tmp"),
        workspace.archive / ".2a.tmp",
        workspace.work / ".billing.duckdb.3b.tmp",
        workspace.bill_files / "2019" / ".draft.4c.tmp" / "half.csv",
        workspace.bill_files / "2019" / ".draft.5d.old" / "former.csv",
    ]
    for path in [finished, *unfinished]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    link = workspace.work / "published" / ".current.6e.tmp"
    link.parent.mkdir()
    link.symlink_to(finished.parent)
    with open_session(workspace):
        pass
    assert not link.is_symlink()
    assert finished.exists()
    assert [p for p in unfinished if p.exists()] == []


@pytest.mark.parametrize("session_of", [open_session, read_session])
def test_every_command_keeps_to_the_cores_and_memory_that_it_is_allowed_and_leaves_nothing_of_what_did_not_fit(
    session_of: Callable[[Workspace], AbstractContextManager[Session]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(committed_sample(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MEMORY_VARIABLE, "64MB")
    monkeypatch.setenv(THREADS_VARIABLE, "1")
    before = sorted(tmp_path.rglob("*"))
    with session_of(workspace) as session:
        found = session.store.con.raw_sql(
            "SELECT current_setting('threads'), current_setting('memory_limit'), current_setting('temp_directory')"
        )
        ((threads, memory, scratch),) = found.fetchall()
        # Twice what is allowed.
        rows = "SELECT i, hash(i) AS h FROM range(8_000_000) t(i) ORDER BY h"
        session.store.con.raw_sql(f"CREATE TEMP TABLE sorted AS {rows}")
        assert any(Path(scratch).iterdir())
    assert (threads, memory) == (1, "61.0 MiB")
    assert not Path(scratch).exists()
    made = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert [path.name for path in made if path.is_file()] in ([], [".lock"])
