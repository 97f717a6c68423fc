"""The contract of a table: its columns, types, units, keys and ranges, declared once with pandera.

Belongs here: how a contract is declared and how rows that break it are found.
Does not belong here: the contracts themselves (``tables``), cross-table rules (``checks``).

One declaration serves four readers: the store casts to it, the checks test it, Dagster shows it, ``billing.duckdb`` comments
from it. Rows that break it are found in one pass over the table and with their key, which pandera's own report lacks
(it pulls every failing value into memory); a test holds that both give the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
import pyarrow

from rate_tables.exact import scale_of, stored_as


def column(
    dtype: Any,
    meaning: str,
    unit: str = "",
    *,
    nullable: bool = False,
    ge: int | None = None,
    le: int | None = None,
    isin: list[str] | None = None,
    not_empty: bool = False,
    word: bool = False,
    optional: bool = False,
) -> pa.Column:
    """A column of a contract: type, meaning, unit, and what its values may be.

    ``word``: letters, digits, _ and - only, because the value becomes part of a file's name.
    ``optional``: a sheet of the office may leave it out; it is then missing where it may be, else empty text.
    """
    checks = []
    if ge is not None:
        checks.append(pa.Check.ge(ge))
    if le is not None:
        checks.append(pa.Check.le(le))
    if isin is not None:
        checks.append(pa.Check.isin(isin))
    if not_empty:
        checks.append(pa.Check.ne(""))
    if word:
        checks.append(
            pa.Check.str_matches(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$", error="a word of letters, digits, _ and -")
        )
    return pa.Column(
        dt.dtype(dtype), checks, nullable=nullable, description=meaning, metadata={"unit": unit, "optional": optional}
    )


@dataclass(frozen=True, eq=False)
class Contract:
    """What a table promises. ``row`` completes "one row per". ``by_district``: its slices are districts, not slices of services."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: dict[str, pa.Column]
    by_district: bool = False

    @cached_property
    def pandera(self) -> pa.DataFrameSchema:
        """The contract as pandera holds it."""
        return pa.DataFrameSchema(self.columns, unique=list(self.key), strict=True, ordered=True, name=self.name)

    @cached_property
    def schema(self) -> ibis.Schema:
        """Column types in declared order."""
        return ibis.schema({name: col.dtype.type for name, col in self.columns.items()})

    def conform(self, table: ir.Table, *beside: str) -> ir.Table:
        """``table`` with exactly the declared columns, order and types, and the columns ``beside`` as they are. KeyError names what it lacks."""
        missing = [name for name in self.columns if name not in table.columns]
        if missing:
            raise KeyError(f"table {self.name} lacks the columns {', '.join(missing)}")
        declared = {name: stored_as(table[name], dtype) for name, dtype in self.schema.items()}
        return table.select(**declared, **{name: table[name] for name in beside})

    def of_text(self, read: ir.Table) -> ir.Table:
        """The table of a file that we wrote: text under the published names, exact decimals as whole numbers of their small unit."""

        def value(name: str) -> ir.Value:
            published, decimals = scale_of(name)
            text = read[published]
            if decimals is not None:
                text = stored_as(stored_as(text, f"decimal(18, {decimals})") * 10**decimals, "int64")
            return stored_as(text, self.schema[name])  # type: ignore[no-any-return]

        return read.select(**{name: value(name) for name in self.columns})

    def of_rows(self, rows: list[dict[str, Any]]) -> ir.Table:
        """The table of these rows, each with every column; whole numbers beside missing ones stay whole."""
        return ibis.memtable(pyarrow.Table.from_pylist(rows, schema=self.schema.to_pyarrow()))

    def empty(self) -> ir.Table:
        """The table without rows."""
        return self.of_rows([])

    def described(self, column_name: str) -> str:
        """Meaning and unit of a column, for a person."""
        col = self.columns[column_name]
        unit = (col.metadata or {}).get("unit", "")
        return f"{col.description} [{unit}]" if unit else str(col.description)


def _holds(value: ir.Column, check: pa.Check) -> ir.BooleanValue:
    limits = check.statistics or {}
    match check.name:
        case "greater_than_or_equal_to":
            return value >= limits["min_value"]  # type: ignore[no-any-return]
        case "less_than_or_equal_to":
            return value <= limits["max_value"]  # type: ignore[no-any-return]
        case "isin":
            return value.isin(list(limits["allowed_values"]))  # type: ignore[no-any-return]
        case "str_matches":
            return value.re_search(limits["pattern"])  # type: ignore[no-any-return]
        case "not_equal_to":
            return value != limits["value"]  # type: ignore[no-any-return]
        case _:
            raise NotImplementedError(f"the contract has no one-pass form of the check {check.name}")


def broken_rules(contract: Contract, table: ir.Table) -> dict[str, ir.BooleanValue]:
    """Rule in words -> which rows break it."""
    rules: dict[str, ir.BooleanValue] = {}
    for name, col in contract.columns.items():
        if not col.nullable:
            rules[f"{name} is missing"] = table[name].isnull()
        for check in col.checks:
            rules[f"{name}: not {check.error}"] = table[name].notnull() & ~_holds(table[name], check)
    return rules


def violations(contract: Contract, table: ir.Table) -> ir.Table:
    """Rows of ``table`` that break the contract: its columns and ``broken_rule``, one row per row and rule kind.

    A row that breaks several column rules stands once, with all of them; one whose key is repeated stands once more.
    """
    rules = broken_rules(contract, table)
    words = ibis.array(
        [ibis.ifelse(broken, ibis.literal(rule), ibis.null("string")) for rule, broken in rules.items()]
    ).filter(lambda rule: rule.notnull())
    by_column = table.filter(reduce(or_, rules.values())).mutate(broken_rule=words.join("; "))
    repeated = table.group_by(list(contract.key)).agg(times=ibis._.count()).filter(ibis._.times > 1).drop("times")
    by_key = table.semi_join(repeated, list(contract.key)).mutate(
        broken_rule=ibis.literal(f"the key ({', '.join(contract.key)}) stands more than once")
    )
    return by_column.union(by_key)
