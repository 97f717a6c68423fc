"""The log: whole entries only, each holding the hash of the one before, and no byte of it changes unseen.

Belongs here: adding entries, killed and crowded writers, changed lines.
Does not belong here: what entries are about (``test_approval``), files held against them (``test_verification``).
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_runs import committed_sample

from assets.log import BEGINNING, Log, LogBroken
from validations.workspace import Workspace

WRITER = """
import sys
from pathlib import Path
from assets.log import Log
from validations.workspace import Workspace
log = Log(Workspace(Path(sys.argv[1])))
for number in range(int(sys.argv[3])):
    log.append("run", 2019, "", {"writer": sys.argv[2], "number": number, "text": "x" * 3000})
    print(number, flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(Workspace(committed_sample(tmp_path / "sample")))


@dataclass(frozen=True)
class Written:
    """A log of a few entries, and its bytes as they were written."""

    log: Log
    content: bytes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    log = Log(Workspace(committed_sample(tmp_path_factory.mktemp("written") / "sample")))
    for number in range(4):
        log.append(
            "approval",
            2019,
            "Åsa O'Neil",
            {"digest": "ab" * 32, "number": number, "nested": {"b": [1, None], "a": "é\n"}},
        )
    return Written(log, log.path.read_bytes())


def writer(log: Log, name: str, times: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(log.path.parent), name, str(times)], stdout=subprocess.PIPE, text=True
    )


def test_each_entry_holds_the_hash_of_the_one_before(log: Log) -> None:
    assert (log.head(), log.entries(), log.broken()) == (BEGINNING, [], [])
    first = log.append("run", 2019, "", {"digest": "1"})
    second = log.append("approval", 2019, "A Person", {"digest": "1"})
    third = log.append("run", 2018, "", {"digest": "2"})
    assert log.entries() == [first, second, third]
    assert [e.previous for e in log.entries()] == [BEGINNING, first.hash, second.hash]
    assert (log.head(), log.broken()) == (third.hash, [])
    assert log.entries(2019, "approval") == [second]


def test_a_run_that_changed_nothing_adds_nothing(log: Log) -> None:
    assert log.append_unless_same("run", 2019, "", {"digest": "1", "rows": [1, 2]}) is not None
    log.append("run", 2018, "", {"digest": "2"})
    assert log.append_unless_same("run", 2019, "", {"rows": (1, 2), "digest": "1"}) is None
    assert log.append_unless_same("run", 2019, "", {"digest": "2"}) is not None
    assert log.append_unless_same("run", 2019, "", {"digest": "1", "rows": [1, 2]}) is not None, "it changed in between"
    assert len(log.entries()) == 4


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_any_changed_byte_is_found_and_its_line_named(written: Written, data: st.DataObject) -> None:
    log, content = written.log, written.content
    place = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    log.path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
    line = content[:place].count(b"\n") + 1
    assert any(f"log.jsonl, line {line}:" in sentence for sentence in log.broken())
    with pytest.raises(LogBroken, match="line"):
        log.append("run", 2019, "", {})
    assert log.path.read_bytes()[:place] == content[:place], "nothing was added to a log that was changed"


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_line_taken_out_put_in_or_exchanged_is_found(written: Written, taken: int) -> None:
    lines = written.content.splitlines(keepends=True)
    for changed in (
        [*lines[:taken], *lines[taken + 1 :]],
        [*lines[: taken + 1], lines[taken], *lines[taken + 1 :]],
        [*lines[:taken], lines[taken + 1], lines[taken], *lines[taken + 2 :]],
    ):
        written.log.path.write_bytes(b"".join(changed))
        assert written.log.broken()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_line_whose_writer_was_killed_never_counted_and_is_replaced(written: Written, data: st.DataObject) -> None:
    log = written.log
    lines = written.content.splitlines(keepends=True)
    torn = lines[3][: data.draw(st.integers(1, len(lines[3]) - 2))]
    log.path.write_bytes(b"".join(lines[:3]) + torn)
    assert [entry.number for entry in log.entries()] == [1, 2, 3]
    assert any("line 4: the line has no end" in sentence for sentence in log.broken())
    entry = log.append("run", 2019, "", {})
    assert (entry.number, [e.number for e in log.entries()], log.broken()) == (4, [1, 2, 3, 4], [])


def test_a_lost_line_end_alone_loses_no_entry(written: Written) -> None:
    written.log.path.write_bytes(written.content[:-1])
    assert len(written.log.entries()) == 4
    written.log.append("run", 2019, "", {})
    assert (len(written.log.entries()), written.log.broken()) == (5, [])
    assert written.log.path.read_bytes().startswith(written.content)
    written.log.path.write_bytes(written.content[:-1] + b"x")
    with pytest.raises(LogBroken, match="line 4"):
        written.log.append("run", 2019, "", {})


def test_what_a_killed_writer_had_said_it_wrote_is_there_and_the_next_goes_on(log: Log) -> None:
    for _ in range(5):
        process = writer(log, "killed", 100_000)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(7)]
        before = len(log.entries())
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        said += process.stdout.readlines()
        entries = log.entries()
        assert len(entries) >= before
        numbers = [entry.about["number"] for entry in entries if entry.about["writer"] == "killed"]
        assert int(said[-1]) in numbers[-2:]
        log.append("run", 2019, "", {"writer": "next", "number": 0})
        assert log.broken() == []


def test_writers_at_the_same_time_lose_nothing(log: Log) -> None:
    processes = [writer(log, name, 60) for name in ("one", "two", "three")]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert log.broken() == []
    entries = log.entries()
    assert [entry.number for entry in entries] == list(range(1, 181))
    for name in ("one", "two", "three"):
        assert [e.about["number"] for e in entries if e.about["writer"] == name] == list(range(60))


def test_a_full_disk_leaves_the_log_as_it_was(log: Log) -> None:
    log.append("run", 2019, "", {"digest": "1"})
    content = log.path.read_bytes()
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "_", sys.executable, "-c", WRITER, str(log.path.parent), "full", "3"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "File too large" in limited.stderr
    assert log.path.read_bytes() == content
