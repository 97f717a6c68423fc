"""Tables that are computed once and read many times while one slice is made.

Belongs here: keeping such tables for as long as their slice takes; building their SQL once, though there are many slices.
Does not belong here: tables that a stage makes (``store``), what is computed.

A slice's inputs get names that are the same for every slice, so that the SQL is the same too: building that of thirty rules takes
seconds, running it a part of one. (Ibis' own ``Table.cache()`` drops what it holds as soon as nobody holds the Python object, and
an expression that reads it does not; a stage returns an expression.)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

PREFIX = "kept_"


@dataclass(frozen=True)
class Built:
    """SQL of a function of tables, the columns it gives, and the tables in memory that it reads."""

    sql: str
    schema: ibis.Schema
    in_memory: tuple[ops.InMemoryTable, ...]


_BUILT: dict[tuple[Hashable, ...], Built] = {}


class Bench:
    """Where one slice is worked on. Without a connection (all inputs lie in memory) nothing is kept, and all is computed at the end."""

    def __init__(self, inputs: Mapping[str, ir.Table], version: Hashable) -> None:
        """``version``: what the SQL depends on beside the names and types of tables."""
        self._version = version
        self._tables = dict(inputs)
        stored = [op for table in inputs.values() for op in table.op().find(ops.DatabaseTable)]
        self._con: Any = stored[0].source if stored else None
        if self._con is not None:
            for name, table in inputs.items():
                self._show(f"{PREFIX}{name}", table)

    def _show(self, name: str, table: ir.Table) -> None:
        """Give the connection ``table`` under another name."""
        op = table.op()
        if isinstance(op, ops.DatabaseTable):
            self._con.raw_sql(f'CREATE OR REPLACE VIEW "{name}" AS FROM "{op.name}"')
        else:
            self._con.create_view(name, table, overwrite=True)

    def built(self, name: str, function: Callable[..., ir.Table], *reads: str) -> Built:
        """SQL of ``function`` of the tables called ``reads``; built once for all slices."""
        schemas = {n: self._tables[n].schema() for n in reads}
        key = (self._version, name, *schemas.items())
        if key not in _BUILT:
            made = function(**{n: ibis.table(schema, name=f"{PREFIX}{n}") for n, schema in schemas.items()})
            in_memory = tuple(made.op().find(ops.InMemoryTable))
            _BUILT[key] = Built(str(ibis.to_sql(made, dialect="duckdb")), made.schema(), in_memory)
        built = _BUILT[key]
        for table in built.in_memory:
            self._con.con.register(table.name, table.data.to_pyarrow(table.schema))
        return built

    def shown(self, name: str, function: Callable[..., ir.Table], *reads: str) -> ir.Table:
        """``function`` of the tables called ``reads``, to be computed by whoever reads it."""
        if self._con is None:
            return function(**{n: self._tables[n] for n in reads})
        # A view, because what is given as SQL would be taken apart and put together again for every slice.
        self._con.raw_sql(f'CREATE OR REPLACE VIEW "{PREFIX}{name}" AS {self.built(name, function, *reads).sql}')
        return self._con.table(f"{PREFIX}{name}")  # type: ignore[no-any-return]

    def keep(self, name: str, function: Callable[..., ir.Table], *reads: str) -> ir.Table:
        """The same, computed now and kept under ``name`` for functions after it."""
        if self._con is None:
            self._tables[name] = self.shown(name, function, *reads)
            return self._tables[name]
        built = self.built(name, function, *reads)
        # DuckDB widens sums; the types that were built are those that functions after this one build on.
        casts = ", ".join(
            f'CAST("{n}" AS {self._con.compiler.type_mapper.from_ibis(t).sql("duckdb")}) AS "{n}"'
            for n, t in built.schema.items()
        )
        self._con.raw_sql(f'CREATE OR REPLACE TEMP TABLE "{PREFIX}{name}" AS SELECT {casts} FROM ({built.sql})')  # noqa: S608 - names of ours
        self._tables[name] = self._con.table(f"{PREFIX}{name}")
        return self._tables[name]


def let_go(con: Any) -> None:
    """Drop what was kept: the slice is written."""
    kinds = (
        ("VIEW", "duckdb_views() WHERE view_name", "view_name"),
        ("TABLE", "duckdb_tables() WHERE table_name", "table_name"),
    )
    for kind, where, column in kinds:
        for (name,) in con.raw_sql(f"SELECT {column} FROM {where} LIKE '{PREFIX}%'").fetchall():  # noqa: S608
            con.raw_sql(f'DROP {kind} "{name}"')


def kept(table: ir.Table) -> ir.Table:
    """The table's rows, computed now, for as long as the slice takes. Rows that lie in memory stay where they are."""
    stored = table.op().find(ops.DatabaseTable)
    if not stored:
        return table
    con: Any = stored[0].source
    return con.create_table(f"{PREFIX}{uuid.uuid4().hex}", table, temp=True)
