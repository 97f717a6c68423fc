"""Killing a command at a chosen moment, and what a reader sees of a workspace then.

Belongs here: killing with SIGKILL after a time or right before a change of the workspace, keeping what a kill at each change would
leave, the state that readers see.
Does not belong here: expectations; what a workspace is made of (``whole_runs``, ``releasable``).

Nothing in the program knows of this. Python tells an audit hook of every file that is about to be opened for writing, renamed or
removed; the process that is to be killed has such a hook.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whole_runs import IMPORTED, Ran, _command, bill_file_bytes, table_hashes

from assets.log import Log
from pipelines.release.releases import versions
from validations.workspace import Workspace

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link"}
_WRITES = os.O_WRONLY | os.O_RDWR
_NO_DATA = {"dagster_home", "scratch"}
_COPIED_BYTES = 1 << 16


@dataclass(frozen=True)
class Kill:
    """When a command is killed: ``after_seconds``, or right before its change number ``before_change``, or the first one of a name
    that ends in ``before_name``; ``file_limit`` is a size in bytes above which nothing can be written, as on a full disk."""

    after_seconds: float | None = None
    before_change: int | None = None
    before_name: str = ""
    file_limit: int | None = None


@dataclass(frozen=True)
class Stopped:
    """A command that was to be killed: what it printed (code -9 if it was), and its changes of the workspace so far, in words."""

    ran: Ran
    changes: list[str]

    @property
    def was_killed(self) -> bool:
        return self.ran.code == -signal.SIGKILL


def _changed_path(event: str, arguments: tuple[Any, ...], folder: str) -> str | None:
    """The path below ``folder`` that is about to change, or None."""
    if event not in CHANGES or (event == "open" and not (arguments[2] or 0) & _WRITES):
        return None
    path = arguments[1] if event in ("os.rename", "os.symlink", "os.link") else arguments[0]
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.path.abspath(os.fspath(path))
    if not text.startswith(f"{folder}/"):
        return None
    below = text.removeprefix(f"{folder}/")
    return None if _NO_DATA & set(below.split("/")) else below


def keep_state(folder: Path, target: Path) -> None:
    """Copy what lies in the workspace at this moment. Large files are never changed in place, so a link to them is enough."""
    for path in folder.rglob("*"):
        below = path.relative_to(folder)
        if _NO_DATA & set(below.parts) or not (path.is_symlink() or path.is_file()):
            continue
        kept = target / below
        kept.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            kept.symlink_to(path.readlink())
        elif path.stat().st_size > _COPIED_BYTES:
            os.link(path, kept)
        else:
            shutil.copyfile(path, kept)


def _hook(folder: str, kill: Kill, keep: Path | None, said: int) -> Callable[[str, tuple[Any, ...]], None]:
    numbers, busy = itertools.count(1), False

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            below = _changed_path(event, arguments, folder)
            if below is not None:
                number = next(numbers)
                os.write(said, f"{event.removeprefix('os.')} {below}\n".encode())
                if keep is not None:
                    keep_state(Path(folder), keep / f"{number:05d}")
                if number == kill.before_change or (kill.before_name and below.endswith(kill.before_name)):
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            busy = False

    return heard


def _to_be_killed(
    arguments: list[str], environment: dict[str, str], scratch: str, folder: str, kill: Kill, keep: Path | None
) -> None:
    said = os.open(f"{scratch}/changes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.addaudithook(_hook(folder, kill, keep, said))
    if kill.file_limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kill.file_limit, kill.file_limit))
    _command(arguments, environment, f"{scratch}/out", f"{scratch}/err")


def stopped(folder: Path, kill: Kill, *arguments: object, keep: Path | None = None, timeout: float = 300) -> Stopped:
    """Run a command on the workspace ``folder`` and kill it. ``keep``: a folder for the state before each of its changes."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([*IMPORTED, "killed"])
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "ANNUAL_BILLING_WORKSPACE")}
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        said = [Path(scratch) / name for name in ("out", "err", "changes")]
        for path in said:
            path.touch()
        command = [*map(str, arguments), "--workspace", str(folder)]
        process = processes.Process(target=_to_be_killed, args=(command, environment, scratch, str(folder), kill, keep))
        process.start()
        process.join(timeout if kill.after_seconds is None else kill.after_seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            if kill.after_seconds is None:
                raise TimeoutError(f"annual-billing {' '.join(command)} took over {timeout} s")
        code = int(process.exitcode or 0)
        process.close()
        out, err, changes = (path.read_text(encoding="utf-8") for path in said)
        return Stopped(Ran(code, out, err), changes.splitlines())


@dataclass(frozen=True)
class State:
    """What readers see: tables of ``billing.duckdb`` and drafts of the bill files by hash (empty where there are none yet), files of each
    released version, lines of the file of decisions, and kinds of the log's entries with who made them."""

    tables: dict[str, str]
    drafts: dict[str, str]
    released: dict[str, dict[str, str]]
    decisions: list[str]
    log: list[tuple[str, str]]


def state_of(folder: Path, year: int) -> State:
    """The state that readers see. Raises what a reader would get if something cannot be read."""
    workspace = Workspace(folder)
    drafts = workspace.bill_files / str(year) / "draft"
    decisions = workspace.decisions(year)
    return State(
        table_hashes(folder) if workspace.database.exists() else {},
        {name: _hash(content) for name, content in bill_file_bytes(folder, year).items()} if drafts.exists() else {},
        {one.folder.name: _hashes(one.folder) for one in versions(workspace, year)},
        decisions.read_text(encoding="utf-8").splitlines() if decisions.exists() else [],
        [(entry.kind, entry.by) for entry in Log(workspace).entries()],
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    """Files of a released version by hash; its marker tells the time, so of it there is only the name."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: "" if name == "release.json" else _hash(path.read_bytes()) for name, path in files.items()}
