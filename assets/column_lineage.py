"""Which columns of its inputs each column of a table is computed from.

Belongs here: reading that off an expression. Does not belong here: showing it (``pipelines.io_manager``).

What only chooses or orders rows (a filter, the key of a join) is no source of a column: nearly every column would come from it.
"""

from __future__ import annotations

from functools import cache

import ibis.expr.operations as ops
import ibis.expr.types as ir

Sources = frozenset[tuple[str, str]]
"""Names of a table and one of its columns."""


def column_sources(table: ir.Table) -> dict[str, Sources]:
    """Column -> the columns of unbound tables that its values are computed from; none where it is a constant."""

    @cache
    def of_column(relation: ops.Relation, name: str) -> Sources:
        match relation:
            case ops.UnboundTable():
                return frozenset({(relation.name, name)})
            case ops.Set():
                return of_column(relation.left, name) | of_column(relation.right, name)
            case ops.PhysicalTable():
                return frozenset()
            case _:
                return of_value(relation.values[name])

    @cache
    def of_value(value: ops.Node) -> Sources:
        if isinstance(value, ops.Field):
            return of_column(value.rel, value.name)
        if isinstance(value, ops.ScalarSubquery):
            return of_column(value.rel, value.rel.schema.names[0])
        return frozenset().union(*(of_value(child) for child in value.__children__ if isinstance(child, ops.Value)))

    return {name: of_column(table.op(), name) for name in table.columns}
