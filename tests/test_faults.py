"""A run that is stopped, or that goes another way, comes to the same: on a small year, with real processes that really end.

Belongs here: what a whole run of a command takes to show. Does not belong here: hundreds of kills (``benchmarks/kills.py``), faults of
single files (``test_wrong_files``), releases that are stopped (``test_release``), two runs at once (``test_annual_update``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from killed import Kill, State, state_of, stopped
from releasable import DECIDED, YEAR, decide_all, open_findings
from whole_runs import annual_billing

from assets.contents import contents_of, digest_of
from assets.log import Log
from pipelines.district_entry.check import _connection
from pipelines.limits import MEMORY_VARIABLE, THREADS_VARIABLE
from pipelines.release.verification import verify
from pipelines.session import read_session
from pipelines.summary import connect_for_reading
from validations.workspace import Workspace


def digest(folder: Path) -> str:
    """The hash that an approval would name."""
    with read_session(Workspace(folder)) as session:
        return digest_of(contents_of(session, YEAR))


def made(state: State) -> tuple[object, ...]:
    """What readers see of what a run makes."""
    return state.tables, state.drafts


def test_promise_5_a_run_that_finds_no_room_and_one_that_is_killed_leave_the_last_state_and_the_next_one_finishes(
    undecided: Path, decided: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(undecided, tmp_path / "ws", symlinks=True))
    decide_all(folder)
    before = state_of(folder, YEAR)
    full = stopped(folder, Kill(file_limit=4_000), "run", YEAR)
    assert full.ran.code == 1
    assert "Traceback" not in full.ran.out + full.ran.err
    assert state_of(folder, YEAR) == before
    killed = stopped(folder, Kill(before_name="work/published/current"), "run", YEAR)
    assert killed.was_killed
    assert killed.changes[-1] == "rename work/published/current"
    assert state_of(folder, YEAR) == before
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.err
    assert made(state_of(folder, YEAR)) == made(state_of(decided, YEAR)) != made(before)
    assert verify(Workspace(folder), YEAR).wrong == []


@pytest.mark.parametrize("command", ["decide", "override"])
def test_promise_5_what_is_killed_between_its_file_and_the_log_is_in_both_after_the_same_command_again(
    undecided: Path, tmp_path: Path, command: str
) -> None:
    folder = Path(shutil.copytree(undecided, tmp_path / "ws", symlinks=True))
    workspace = Workspace(folder)
    sheet = open_findings(folder, "prior_average")
    call: tuple[object, ...] = ("decide", YEAR, sheet, "--by", DECIDED)
    path = workspace.decisions(YEAR)
    if command == "override":
        call = (
            "override",
            YEAR,
            "findings.nothing_to_decide",
            "--by",
            DECIDED,
            "--why",
            "settled with the next version",
        )
        path = workspace.overrides(YEAR)
    killed = stopped(folder, Kill(before_name="log.jsonl"), *call)
    assert killed.was_killed
    written, logged = path.read_bytes(), len(Log(workspace).entries())
    (unknown,) = verify(workspace, YEAR).wrong
    assert "ends with lines that no entry of the log knows" in unknown
    for _ in range(2):
        again = annual_billing(*call, "--workspace", folder)
        assert again.code == 0, again.err
        assert path.read_bytes() == written
        (entry,) = Log(workspace).entries()[logged:]
        assert entry.by == DECIDED
        assert verify(workspace, YEAR).wrong == []


def test_promise_3_a_clean_rebuild_with_one_thread_is_what_was_made_step_by_step(decided: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(decided, tmp_path / "ws", symlinks=True))
    shutil.rmtree(folder / "work")
    ran = annual_billing("run", YEAR, "--workspace", folder, timeout=300, **{THREADS_VARIABLE: "1"})
    assert ran.code == 0, ran.err
    assert made(state_of(folder, YEAR)) == made(state_of(decided, YEAR))
    assert digest(folder) == digest(decided)


@pytest.mark.parametrize(
    ("variable", "said", "allowed"),
    [
        (THREADS_VARIABLE, "many", "a whole number from 1 to 999"),
        (MEMORY_VARIABLE, "3GB' --", "a whole number and MB or GB, such as 3GB"),
    ],
)
@pytest.mark.parametrize("command", ["run", "status", "questions"])
def test_threads_or_memory_that_are_none_are_a_sentence(
    undecided: Path, variable: str, said: str, allowed: str, command: str
) -> None:
    ran = annual_billing(command, YEAR, "--workspace", undecided, timeout=300, **{variable: said})
    assert ran.code != 0
    assert "Traceback" not in ran.err
    assert f"{variable}: {said!r} is not allowed; allowed: {allowed}." in ran.err


def test_what_reads_the_published_database_and_what_tries_a_sample_keep_to_the_cores_and_memory_that_are_allowed(
    undecided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "SELECT current_setting('threads'), current_setting('memory_limit')"
    with _connection(tmp_path) as con:
        ((_, memory),) = con.raw_sql(asked).fetchall()
        assert memory == "1.8 GiB"
    monkeypatch.setenv(MEMORY_VARIABLE, "64MB")
    monkeypatch.setenv(THREADS_VARIABLE, "1")
    with connect_for_reading(Workspace(undecided), YEAR) as published:
        assert published.execute(asked).fetchall() == [(1, "61.0 MiB")]
    with _connection(tmp_path) as con:
        assert con.raw_sql(asked).fetchall() == [(1, "61.0 MiB")]
