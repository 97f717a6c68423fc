"""Where Dagster keeps the runs of a workspace: SQLite files as by default, each opened once in a process.

Belongs here: how these files are opened. Does not belong here: what Dagster writes into them.

Dagster opens a file anew for every event and waits for the disk after it; a run of a small year has some 750 events, and that took a
sixth of its CPU time (33 s with, 28 s without). A power cut may cost the last events of a run, never the file, and the run is repeated.
It also reads its scripts of migration, some forty modules, anew for each file that it opens: ten times a run, and a quarter of what a small
step takes in a process of its own. They are read once, before such a process is forked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION, get_alembic_config
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

_WAIT_SECONDS = 60
"""For somebody else who writes, the UI for example."""


_read_scripts = ScriptDirectory.from_config
_scripts = _read_scripts(get_alembic_config(sqlite_event_log.__file__))
_scripts.get_current_head()


def _scripts_of(config: Config) -> ScriptDirectory:
    is_dagsters = config.get_main_option("script_location") == ALEMBIC_SCRIPTS_LOCATION
    return _scripts if is_dagsters else _read_scripts(config)


ScriptDirectory.from_config = _scripts_of  # type: ignore[method-assign,assignment]


class OpenedOnce(SqliteEventLogStorage):
    """Dagster's event log, each of whose files stays open."""

    def __init__(self, base_dir: str) -> None:
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.get(shard) or self._engine(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        engine = create_engine(
            self.conn_string_for_shard(shard),
            connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False},
        )
        # Safe with the write-ahead log that Dagster turns on: it may lose the last moments, it is never damaged.
        event.listen(engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=NORMAL").close())
        self._initdb(engine)
        self._engines[shard] = engine
        return engine

    def has_table(self, table_name: str) -> bool:
        """Dagster asks before every check's event, and opens the file for it; a table that is there stays there."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


class RunHistory(DagsterSqliteStorage):
    """Dagster's storage in SQLite, with that event log; ``dagster.yaml`` names it."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = OpenedOnce(_event_logs_directory(base_dir))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "RunHistory":
        return cls.from_local(inst_data=inst_data, **config_value)
