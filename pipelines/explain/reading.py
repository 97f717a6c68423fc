"""Reading rows of one service out of ``billing.duckdb``, fast.

Belongs here: giving a query its year and id. Does not belong here: which tables are read.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb

Row = dict[str, Any]


def _literal(value: int | str) -> str:
    """SQL of a value. Text goes as hexadecimal digits, so that nothing in it can be SQL."""
    return f"{value:d}" if isinstance(value, int) else f"decode(unhex('{value.encode().hex()}'))"


def rows_of(con: duckdb.DuckDBPyConnection, sql: str, **given: int | str) -> list[Row]:
    """Rows of a query by the names of its columns; ``$name`` in it is ``given[name]``."""
    # With parameters handed over as such, DuckDB imports pandas: that takes longer than all the queries of an explanation.
    found = con.execute(re.sub(r"\$(\w+)", lambda name: _literal(given[name[1]]), sql))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
