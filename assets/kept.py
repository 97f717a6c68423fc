"""Tables that are computed once and read many times while one slice is made.

Belongs here: keeping such tables for as long as their slice takes; building their SQL once, though there are many slices.
Does not belong here: tables that a stage makes (``store``), what is computed.

A slice's inputs get names that are the same for every slice, so that the SQL is the same too: building that of thirty rules takes
seconds, running it a part of one. (Ibis' own ``Table.cache()`` drops what it holds as soon as nobody holds the Python object, and
an expression that reads it does not; a stage returns an expression.)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.backends.sql.datatypes import DuckDBType

from assets.built_sql import Built, built, sql_of

PREFIX = "kept_"


@runtime_checkable
class Hands(Protocol):
    """How an engine is told to show a table under a name, or to keep its rows."""

    def to_sql(self, table: ir.Table) -> str: ...

    def show(self, name: str, table: ir.Table) -> None: ...

    def show_sql(self, name: str, found: Built) -> None: ...

    def keep_sql(self, name: str, found: Built) -> None: ...


@dataclass(frozen=True)
class OfDuckDB:
    """Hands of a DuckDB connection, whatever its class."""

    con: Any

    def to_sql(self, table: ir.Table) -> str:
        return str(ibis.to_sql(table, dialect="duckdb", pretty=False))

    def show(self, name: str, table: ir.Table) -> None:
        op = table.op()
        if isinstance(op, ops.DatabaseTable):
            self.con.raw_sql(f'CREATE OR REPLACE VIEW "{name}" AS FROM "{op.name}"')
        else:
            self.con.create_view(name, table, overwrite=True)

    def show_sql(self, name: str, found: Built) -> None:
        self._create("VIEW", name, found)

    def keep_sql(self, name: str, found: Built) -> None:
        with in_any_order(self.con):
            self._create("TEMP TABLE", name, found)

    def _create(self, kind: str, name: str, found: Built) -> None:
        for of_memory, rows in found.in_memory:
            self.con.con.register(of_memory, rows)
        self.con.raw_sql(f'CREATE OR REPLACE {kind} "{name}" AS {as_typed(found.sql, found.schema)}')


class Bench:
    """Where one slice is worked on. Without a connection (all inputs lie in memory) nothing is kept, and all is computed at the end."""

    def __init__(self, inputs: Mapping[str, ir.Table], version: Hashable) -> None:
        """``version``: what is bound to functions beside tables, such as the year's settings."""
        self._version = version
        self._tables = dict(inputs)
        stored = [op for table in inputs.values() for op in table.op().find(ops.DatabaseTable)]
        self._con: Any = stored[0].source if stored else None
        self._hands: Hands = self._con if isinstance(self._con, Hands) else OfDuckDB(self._con)
        if self._con is not None:
            for name, table in inputs.items():
                self._hands.show(f"{PREFIX}{name}", table)

    def built(self, name: str, function: Callable[..., ir.Table], *reads: str) -> Built:
        """SQL of ``function`` of the tables called ``reads``; built once for all slices, and for all years where nothing is bound to it."""
        schemas = {n: self._tables[n].schema() for n in reads}
        plain, is_bound = _plain(function)
        return built(
            (
                self._version if is_bound else None,
                self._con.name,
                f"{plain.__module__}.{plain.__qualname__}",
                name,
                *((n, tuple(schema.items())) for n, schema in schemas.items()),
            ),
            lambda: sql_of(
                function(**{n: ibis.table(schema, name=f"{PREFIX}{n}") for n, schema in schemas.items()}),
                self._hands.to_sql,
            ),
        )

    def shown(self, name: str, function: Callable[..., ir.Table], *reads: str) -> ir.Table:
        """``function`` of the tables called ``reads``, to be computed by whoever reads it, functions after it too."""
        if self._con is None:
            self._tables[name] = function(**{n: self._tables[n] for n in reads})
            return self._tables[name]
        # A view, because what is given as SQL would be taken apart and put together again for every slice.
        found = self.built(name, function, *reads)
        self._hands.show_sql(f"{PREFIX}{name}", found)
        self._tables[name] = named_table(self._con, f"{PREFIX}{name}", found.schema)
        return self._tables[name]

    def count(self, name: str, function: Callable[..., ir.Table], *reads: str) -> int:
        """Rows that ``function`` gives of the tables called ``reads``."""
        rows = self.shown(name, function, *reads)
        if self._con is None:
            return int(rows.count().execute())
        ((counted,),) = self._con.raw_sql(f'SELECT count(*) FROM "{PREFIX}{name}"').fetchall()  # noqa: S608 - a name of ours
        return int(counted)

    def keep(self, name: str, function: Callable[..., ir.Table], *reads: str) -> ir.Table:
        """The same, computed now and kept under ``name`` for functions after it."""
        if self._con is None:
            return self.shown(name, function, *reads)
        found = self.built(name, function, *reads)
        self._hands.keep_sql(f"{PREFIX}{name}", found)
        self._tables[name] = named_table(self._con, f"{PREFIX}{name}", found.schema)
        return self._tables[name]


def _plain(function: Callable[..., ir.Table]) -> tuple[Any, bool]:
    """The function itself, and whether what it gives may depend on values that are bound to it: by ``partial``, as defaults, or from a function around it."""
    if isinstance(function, partial):
        plain, is_bound = _plain(function.func)
        return plain, is_bound or bool(function.args or function.keywords)
    own: Any = function
    return own, not isinstance(own, FunctionType) or bool(own.__closure__ or own.__defaults__ or own.__kwdefaults__)


def as_typed(sql: str, schema: ibis.Schema) -> str:
    """``sql`` with exactly these types: DuckDB widens sums, and what reads it builds on the types that were declared."""
    casts = ", ".join(f'CAST("{n}" AS {_type_in_sql(t)}) AS "{n}"' for n, t in schema.items())
    return f"SELECT {casts} FROM ({sql})"  # noqa: S608 - names and types of ours


@cache
def _type_in_sql(dtype: dt.DataType) -> str:
    return str(DuckDBType.from_ibis(dtype).sql("duckdb"))


def named_table(con: Any, name: str, schema: ibis.Schema) -> ir.Table:
    """A table or view whose columns are known: asking for them takes ten times as long as reading a small table."""
    return ops.DatabaseTable(name, schema=schema, source=con, namespace=ops.Namespace()).to_expr()


@contextmanager
def in_any_order(con: Any) -> Iterator[None]:
    """What DuckDB makes meanwhile need not have the order of what it is made from: keeping that takes it half as long again."""
    con.raw_sql("SET preserve_insertion_order = false")
    try:
        yield
    finally:
        con.raw_sql("SET preserve_insertion_order = true")


def let_go(con: Any) -> None:
    """Drop what was kept: the slice is written."""
    names = (
        f"SELECT 'VIEW', view_name FROM duckdb_views() WHERE view_name LIKE '{PREFIX}%' "  # noqa: S608 - names of ours
        f"UNION ALL SELECT 'TABLE', table_name FROM duckdb_tables() WHERE table_name LIKE '{PREFIX}%'"
    )
    for kind, name in con.raw_sql(names).fetchall():
        con.raw_sql(f'DROP {kind} "{name}"')


def kept(table: ir.Table) -> ir.Table:
    """The table's rows, computed now, for as long as the slice takes. Rows that lie in memory stay where they are."""
    stored = table.op().find(ops.DatabaseTable)
    if not stored:
        return table
    con: Any = stored[0].source
    return con.create_table(f"{PREFIX}{uuid.uuid4().hex}", table, temp=True)
