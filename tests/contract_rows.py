"""Rows that keep a table's contract, for tests that care about a few of their columns.

Belongs here: filling in the rest. Does not belong here: what any test expects.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import ibis.expr.types as ir

from validations.contract import Contract

Row = dict[str, Any]


def row(contract: Contract, **values: Any) -> Row:
    """A row that keeps the contract, with ``values`` in it."""
    made: Row = {}
    for name, col in contract.columns.items():
        limits = {check.name: check.statistics for check in col.checks}
        if col.nullable:
            made[name] = None
        elif "isin" in limits:
            made[name] = limits["isin"]["allowed_values"][0]
        elif contract.schema[name].is_string():
            made[name] = f"some {name}"
        elif contract.schema[name].is_date():
            made[name] = dt.date(2015, 1, 1)
        elif contract.schema[name].is_boolean():
            made[name] = False
        else:
            made[name] = 1
    assert values.keys() <= made.keys()
    return made | values


def table_of(contract: Contract, *rows: Row) -> ir.Table:
    """Rows as a table of the contract's types; without rows an empty one."""
    return ibis.memtable(list(rows), schema=contract.schema) if rows else contract.empty()
