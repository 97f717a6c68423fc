"""Looking columns up in another table, and rows up by values.

Belongs here: the one form of left join that every floor uses; rows whose key is one of many values.
Does not belong here: joins that multiply or drop rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import ibis
import ibis.expr.types as ir


def looked_up(table: ir.Table, other: ir.Table, keys: str | list[str], *columns: str) -> ir.Table:
    """``table`` with ``columns`` of ``other``, null where ``other`` has no row. ``other`` has at most one row per key.

    The other table's keys are renamed before the join: afterwards every name means what it says (of two columns of one name,
    Ibis would take the right one, which is null where nothing was found).
    """
    names = [keys] if isinstance(keys, str) else keys
    right = other.select(*columns, **{f"_key_{k}": other[k] for k in names})
    joined = table.left_join(right, [table[k] == right[f"_key_{k}"] for k in names])
    return joined.select(*table.columns, *columns)


def among(table: ir.Table, column: str, values: Iterable[str]) -> ir.Table:
    """Rows of ``table`` whose ``column`` is one of ``values``, which come from data: they go to the database as a table, not as part of the SQL."""
    wanted = ibis.memtable({column: sorted(set(values))}, schema={column: "string"})
    return table.semi_join(wanted, column)
