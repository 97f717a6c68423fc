"""The session of a run: its workspace, its DuckDB connection, and the lock that keeps runs apart.

Belongs here: opening and closing what one run works in.
Does not belong here: anything that is made in it.
"""

import fcntl
import gc
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.engine import connected
from assets.stage import Session
from assets.store import Cluster, Store
from pipelines.limits import limits
from rate_tables.config_file import ConfigError
from validations.workspace import IN_PROCESS, Workspace

WAIT_SECONDS = 600


class WorkspaceBusy(Exception):
    """Another run is working in the workspace."""


@contextmanager
def lock(
    work: Path, wait_seconds: float, run_id: str | None = None, is_going_on: Callable[[str], bool] = lambda _: False
) -> Iterator[None]:
    """Hold the workspace's lock: one run at a time, from the command line or from the UI.

    The operating system frees it when its holder ends, however it ends. WorkspaceBusy after ``wait_seconds``.
    ``run_id``: of a run whose steps are processes of their own, which take part in its lock (``part_of_lock``); it is free when the last of them has
    ended too. ``is_going_on``: whether a run of which the lock still bears the id goes on, where the operating system cannot know.
    """
    deadline = time.monotonic() + wait_seconds
    with _lock_file(work) as file:
        while busy := _not_taken(file, work, run_id, is_going_on):
            if time.monotonic() >= deadline:
                raise WorkspaceBusy(f"{busy} for over {wait_seconds:.0f} s; wait until it ends and run again.")
            time.sleep(0.2)
        try:
            yield
        finally:
            # A step that comes too late is not taken for one of a run that goes on.
            file.truncate(0)


@contextmanager
def part_of_lock(work: Path, run_id: str) -> Iterator[None]:
    """Take part in the lock of a run that this process makes a step of. WorkspaceBusy if it is not held for that run."""
    with _lock_file(work) as file:
        if not _is_locked(file, fcntl.LOCK_SH) or _held_for(file) != run_id:
            raise WorkspaceBusy("the run that this step belongs to has ended; start it again.")
        yield


def _lock_file(work: Path) -> FileIO:
    work.mkdir(parents=True, exist_ok=True)
    # Without a buffer, which would not see what another process has written since.
    return FileIO(work / ".lock", "a+")


def _held_for(file: FileIO) -> str:
    """Id of the run (or of the process) that the lock is held for, or was when its holder was killed."""
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _is_locked(file: FileIO, kind: int) -> bool:
    """Whether the lock could be taken."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _not_taken(file: FileIO, work: Path, run_id: str | None, is_going_on: Callable[[str], bool]) -> str:
    """Try to take the lock. Who has it, in words; empty if it is ours now."""
    busy = f"another run has been working in {work.parent.name}"
    if not _is_locked(file, fcntl.LOCK_EX):
        return busy
    before = _held_for(file)
    if before not in ("", run_id) and is_going_on(before):
        fcntl.flock(file, fcntl.LOCK_UN)
        return f"run {before} has not ended, as Dagster's run history says (cancel it in the UI if it was killed),"
    file.truncate(0)
    file.write(f"{run_id or os.getpid()}\n".encode())
    # Between the two kinds of lock another run may come; it has then written its own id.
    is_ours = run_id is None or (_is_locked(file, fcntl.LOCK_SH) and _held_for(file) == run_id)
    return "" if is_ours else busy


@cache
def leave_alone_what_was_imported() -> None:
    """Spare Python the search for cycles among all that was imported: a quarter of a million objects, looked through again and again
    while expressions are made, for as long as making them takes."""
    gc.freeze()


def connect(scratch: Path) -> ibis.BaseBackend:
    """A DuckDB connection of this process' own; what does not fit in memory goes to ``scratch``."""
    scratch.mkdir(parents=True, exist_ok=True)
    leave_alone_what_was_imported()
    con = connected(temp_directory=str(scratch / "duckdb"), **limits())
    # Row numbers of delivered files rest on this order.
    con.raw_sql("SET preserve_insertion_order = true")
    return con


def store_of(workspace: Workspace, con: ibis.BaseBackend, cluster: Cluster | None = None) -> Store:
    """The workspace's store, here or where ``workspace.yaml`` says. ConfigError if that cannot be reached."""
    if workspace.file.store is None:
        return Store(workspace.store, con, cluster)
    # Its package takes a part of a second, and few need it.
    from assets.remote_store import RemoteStore

    return RemoteStore(workspace.store, con, workspace.file.store, cluster)


class LazyCluster:
    """Spark that starts when it is first asked for anything."""

    def __init__(self, properties: Mapping[str, str | int | bool]) -> None:
        self._properties = properties
        self._started: Any = None

    @property
    def _spark(self) -> Any:
        if self._started is None:
            # Takes seconds, and is not installed everywhere.
            from assets.spark_engine import connected as connected_spark

            try:
                self._started = connected_spark(self._properties)
            except Exception as error:
                said = str(error).strip().splitlines() or [type(error).__name__]
                raise ConfigError(f"workspace.yaml: key spark: Spark did not start: {said[0]}") from error
        return self._started

    def read_store(self, paths: list[Path], schema: ibis.Schema) -> ir.Table:
        return self._spark.read_store(paths, schema)

    def write_folder(self, table: ir.Table, folder: Path) -> None:
        self._spark.write_folder(table, folder)

    def stop(self) -> None:
        if self._started is not None:
            self._started.disconnect()


def on_spark(workspace: Workspace) -> LazyCluster | None:
    """Spark, if the workspace computes on it: started by the first stage that has something to make.

    ConfigError if this machine has no Spark or no Java.
    """
    if workspace.file.engine != "spark":
        return None
    home = os.environ.get("JAVA_HOME")
    if importlib.util.find_spec("pyspark") is None:
        lacks = 'Spark is not installed here; install annual-billing with its extra "spark"'
    elif not shutil.which("java", path=f"{home}/bin" if home else None):
        lacks = "Java is not installed here; install a Java runtime, version 17 or 21"
    else:
        return LazyCluster(workspace.file.spark)
    raise ConfigError(f"workspace.yaml: key engine: 'spark' is not allowed, because {lacks}; or let engine be duckdb.")


def remove_leftovers(work: Path) -> None:
    """Remove what a run that was killed had not finished: everything unfinished has a name like ``.name.tmp``."""
    shutil.rmtree(work / "scratch", ignore_errors=True)
    for unfinished in [*work.rglob(".*.tmp"), *work.rglob(".*.old")]:
        if unfinished.is_dir() and not unfinished.is_symlink():
            shutil.rmtree(unfinished)
        else:
            unfinished.unlink()


@contextmanager
def open_session(workspace: Workspace, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[Session]:
    """The workspace under its lock, with a store."""
    with lock(workspace.work, wait_seconds):
        remove_leftovers(workspace.work)
        with _session(workspace) as session:
            yield session


@contextmanager
def step_session(workspace: Workspace, run_id: str) -> Iterator[Session]:
    """The same for one step of a run that holds the lock and has removed leftovers: other steps write beside it."""
    with part_of_lock(workspace.work, run_id), _session(workspace) as session:
        yield session


@contextmanager
def _session(workspace: Workspace) -> Iterator[Session]:
    con = connect(workspace.scratch)
    cluster = on_spark(workspace)
    try:
        yield Session(workspace, store_of(workspace, con, cluster))
    finally:
        con.disconnect()
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(workspace.scratch, ignore_errors=True)


@contextmanager
def read_session(workspace: Workspace) -> Iterator[Session]:
    """The workspace for reading only, without the lock: the store's files are whole at any time. ConfigError if ``limits`` are none.

    What does not fit in memory goes to the system's folder for such files: a run that begins meanwhile removes the workspace's.
    """
    with tempfile.TemporaryDirectory(prefix="annual-billing-") as scratch:
        con = connected(keeps_sql=False, temp_directory=scratch, **limits())
        try:
            yield Session(workspace, store_of(workspace, con))
        finally:
            con.disconnect()


def session_resource(workspace: Workspace) -> dg.ResourceDefinition:
    """The Dagster resource ``session``, made once in each process of a run."""

    @dg.resource(description="The workspace under its lock, and its store")
    def _session_of_run(context: dg.InitResourceContext) -> Iterator[Session]:
        run = context.run if workspace.file.executor != IN_PROCESS else None
        with step_session(workspace, run.run_id) if run else open_session(workspace) as session:
            yield session

    return _session_of_run
