"""DuckDB as the pipeline uses it through Ibis, and what it has in common with other engines: SQL of an expression that was seen before is not built again.

Belongs here: telling expressions apart by what they are made of, without the names of the tables that they read.
Does not belong here: where built SQL is kept (``built_sql``), what is computed.

A run makes hundreds of expressions of the same few shapes, one for each district, over tables with names of their own. Building the SQL of one takes
longer than running it on a small table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend
from ibis.backends.sql import SQLBackend
from ibis.common.graph import Node
from ibis.expr.datashape import DataShape
from ibis.formats import TableProxy

from assets.built_sql import built_text
from assets.kept import as_typed, named_table

_TABLES = (ops.DatabaseTable, ops.InMemoryTable)
_PLACE = "table_place_1f0c7a52e96b4d38_{}_"
"""Stands for a table's name in SQL that is kept: no other text of an expression is like it."""


class Unknown(Exception):
    """An expression holds something that has no text of its own, so that it cannot be told apart from others."""


def shape_of(table: ir.Expr) -> tuple[str, list[ops.PhysicalTable]]:
    """A text that two expressions share only if their SQL is the same but for the names of tables; and those tables, in order.

    Errors: Unknown.
    """
    numbers: dict[Node, int] = {}
    tables = list[ops.PhysicalTable]()
    lines = list[str]()

    def told(value: Any) -> str:
        match value:
            case Node():
                return f"#{numbers[value]}"
            case tuple() | list():
                return f"({','.join(map(told, value))})"
            case dt.DataType() | ibis.Schema():
                return repr(value)
            case DataShape():
                return type(value).__name__
            case Mapping():
                return "{" + ",".join(f"{told(k)}:{told(v)}" for k, v in value.items()) + "}"
            case _:
                text = repr(value)
                if " at 0x" in text:
                    raise Unknown(text)
                return f"{type(value).__name__} {text}"

    for node in _in_order(table.op()):
        kind = type(node)
        if isinstance(node, _TABLES):
            # Where a table lies is part of the SQL, its name is not: a view of this connection lies nowhere.
            said = f"{kind.__name__} {len(tables)} {getattr(node, 'namespace', None)!r} {node.schema!r}"
            tables.append(node)
        else:
            named = getattr(kind, "__func_name__", "")
            values = (
                f"{name}={told(value)}"
                for name, value in zip(node.__argnames__, node.__args__, strict=True)
                if not isinstance(value, BaseBackend | TableProxy)
            )
            said = f"{kind.__name__} {named} {' '.join(values)}"
        numbers[node] = len(numbers)
        lines.append(said)
    return "\n".join(lines), tables


def _in_order(root: Node) -> list[Node]:
    """Every node once, after all that it is made of; the same order for the same expression."""
    seen: set[Node] = set()
    found = list[Node]()
    waiting: list[tuple[Node, bool]] = [(root, False)]
    while waiting:
        node, is_done = waiting.pop()
        if is_done:
            found.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(child, False) for child in reversed(node.__children__) if child not in seen]
    return found


class KeepsSQL(SQLBackend):
    """A backend of Ibis. What it computes is the backend's; how long it takes to say it is not.

    ``keeps_sql``: whether SQL is kept for other processes; that of a question about one account is not.
    """

    keeps_sql = True

    def compile(
        self,
        expr: ir.Expr,
        /,
        *,
        limit: int | None = None,
        params: Mapping[ir.Expr, Any] | None = None,
        pretty: bool = False,
    ) -> str:
        if params or pretty:
            return super().compile(expr, limit=limit, params=params, pretty=pretty)
        try:
            shape, tables = shape_of(expr)
        except Unknown:
            return super().compile(expr, limit=limit)

        def built() -> str:
            places = {table: table.copy(name=_PLACE.format(number)) for number, table in enumerate(tables)}
            return super(KeepsSQL, self).compile(expr.op().replace(places).to_expr(), limit=limit)

        sql = built_text(
            ("expression", self.name, limit, ibis.options.sql.fuse_selects, shape), built, keeps=self.keeps_sql
        )
        for number, table in enumerate(tables):
            sql = sql.replace(_PLACE.format(number), table.name)
        return sql


class Engine(KeepsSQL, Backend):
    """DuckDB."""

    def create_table(self, name: str, /, obj: Any = None, *, temp: bool = False, **other: Any) -> ir.Table:
        """A table; a temporary one of an expression has exactly the expression's types."""
        if not isinstance(obj, ir.Table) or not temp or other:
            return super().create_table(name, obj, temp=temp, **other)
        self._run_pre_execute_hooks(obj)
        schema = obj.schema()
        self.raw_sql(f'CREATE TEMP TABLE "{name}" AS {as_typed(self.compile(obj), schema)}')
        return named_table(self, name, schema)


def connected(*, keeps_sql: bool = True, **settings: Any) -> Engine:
    """An engine with a database of its own in memory."""
    # DuckDB joins nested selects itself; for Ibis to do it first takes longer than most tables take to make.
    ibis.options.sql.fuse_selects = False
    engine: Engine = Engine().connect(**settings)
    engine.keeps_sql = keeps_sql
    # DuckDB draws a bar over what a command says wherever it takes the process for a person's session.
    engine.raw_sql("SET enable_progress_bar = false")
    return engine
