"""SQL that was built from expressions, kept for the next process as Python keeps bytecode.

Belongs here: building it, writing it to the user's cache folder, reading it back. Does not belong here: running it (``kept``).

Building the SQL of a year takes longer than running it on a small utility. What is kept depends on all code, so another version of it finds nothing;
deleting the folder costs the time to build again and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import platformdirs
import pyarrow as pa

from assets.code_version import OF_TABLES, code_version
from assets.remembered import as_remembered, recalled

_KEPT_DAYS = 30


@dataclass(frozen=True)
class Built:
    """SQL of a function of tables, the columns it gives, and the tables in memory that it reads, by name."""

    sql: str
    schema: ibis.Schema
    in_memory: tuple[tuple[str, pa.Table], ...]


_BUILT: dict[Hashable, Built] = {}


def built(key: Hashable, made: Callable[[], Built], *, keeps: bool = True) -> Built:
    """What ``made`` gives, written down unless ``keeps`` is False. ``key``: all that it depends on beside the code, as values whose ``repr`` tells them apart."""
    if key not in _BUILT:
        path = _folder() / f"{_digest(repr(key))}.sql"
        found = _read(path)
        if found is None:
            found = made()
            if keeps:
                _write(found, path)
        _BUILT[key] = found
    return _BUILT[key]


def built_text(key: Hashable, made: Callable[[], str], *, keeps: bool = True) -> str:
    """A text that ``made`` gives (SQL, or what else is read off an expression), kept alike."""
    return built(key, lambda: Built(made(), ibis.schema({}), ()), keeps=keeps).sql


def sql_of(table: ir.Table, to_sql: Callable[[ir.Table], str]) -> Built:
    in_memory = tuple((op.name, op.data.to_pyarrow(op.schema)) for op in table.op().find(ops.InMemoryTable))
    return Built(to_sql(table), table.schema(), in_memory)


@cache
def _folder() -> Path:
    """Where this code's SQL is; those of code that nobody has run for a month are let go."""
    base = Path(platformdirs.user_cache_dir("annual-billing")) / "sql"
    mine = base / code_version(*OF_TABLES, "pipelines")
    if not mine.is_dir():
        with suppress(OSError):
            mine.mkdir(parents=True, exist_ok=True)
            for other in base.iterdir():
                if other.stat().st_mtime < time.time() - _KEPT_DAYS * 86_400:
                    shutil.rmtree(other, ignore_errors=True)
    return mine


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> Built | None:
    """None if it is not there, or not byte for byte what was written."""
    if kept := recalled(path):
        return Built(
            kept["sql"],
            ibis.schema(kept["schema"]),
            tuple((n, pa.ipc.open_stream(base64.b64decode(data)).read_all()) for n, data in kept["in_memory"].items()),
        )
    return None


def _write(one: Built, path: Path) -> None:
    """Keep ``one`` if the folder can be written to."""
    kept = {
        "sql": one.sql,
        "schema": {name: str(dtype) for name, dtype in one.schema.items()},
        "in_memory": {name: base64.b64encode(_as_stream(table)).decode() for name, table in one.in_memory},
    }
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with suppress(OSError):
        beside.write_text(as_remembered(kept), encoding="utf-8")
        os.replace(beside, path)


def _as_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
