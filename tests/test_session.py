"""The session of a run: one at a time, and nothing left of one that was killed.

Belongs here: the lock, leftovers.
Does not belong here: whole runs (``test_annual_update``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import committed_sample

from pipelines.session import WorkspaceBusy, lock, open_session
from validations.workspace import Workspace

HOLDER = """
import sys, time
from pathlib import Path
from pipelines.session import lock
with lock(Path(sys.argv[1]), 5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_with_a_sentence_until_the_first_ends_however_it_ends(tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = subprocess.Popen([sys.executable, "-c", HOLDER, str(work)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with pytest.raises(WorkspaceBusy, match="another run has been working in"), lock(work, 0.5):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=10)
    with lock(work, 5):
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
