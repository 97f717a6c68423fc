"""Contracts: the one-pass search for broken rows, against pandera; and the habits every table keeps.

Belongs here: ``violations``, and what holds for the declaration of each published table.
Does not belong here: what is in the tables (the assets' tests), rules across tables (checks).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from assets.engine import connected
from rate_tables.exact import DECIMALS_OF_SUFFIX, scale_of
from validations.contract import Contract, column, violations
from validations.tables import PUBLISHED

COLOURS = ["red", "green"]
TABLE = Contract(
    "things",
    "thing",
    ("maker", "number"),
    {
        "maker": column("string", "Maker", not_empty=True),
        "number": column("int64", "Number", ge=0),
        "weight": column("int64", "Weight", "grams", nullable=True, ge=1, le=9),
        "colour": column("string", "Colour", isin=COLOURS),
        "made_date": column("date", "Day"),
        "is_sold": column("boolean", "Whether it is sold", nullable=True),
        "note": column("string", "Remark", nullable=True),
    },
)
Row = dict[str, Any]

rows = st.fixed_dictionaries(
    {
        "maker": st.sampled_from(["a", "b", "c", "d", "e", "", None]),
        "number": st.one_of(st.integers(0, 5), st.sampled_from([-1, None])),
        "weight": st.sampled_from([1, 5, 9, None, 0, 10]),
        "colour": st.sampled_from([*COLOURS, *COLOURS, "Red", "", None]),
        "made_date": st.sampled_from([dt.date(2019, 5, 1), dt.date(9999, 12, 31), None]),
        "is_sold": st.sampled_from([True, False, None]),
        "note": st.sampled_from(["", "x", None]),
    }
)
sound_rows = st.fixed_dictionaries(
    {
        "maker": st.sampled_from("abcdefgh"),
        "number": st.integers(0, 50),
        "weight": st.sampled_from([1, 9, None]),
        "colour": st.sampled_from(COLOURS),
        "made_date": st.just(dt.date(2019, 5, 1)),
        "is_sold": st.sampled_from([True, None]),
        "note": st.sampled_from(["", None]),
    }
)
SOUND = {
    "maker": "a", "number": 1, "weight": None, "colour": "red", "made_date": dt.date(2019, 5, 1), "is_sold": None, "note": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


def stored(con: Any, contract: Contract, content: list[Row]) -> ibis.Table:
    arrow = pa.Table.from_pylist(content, schema=contract.schema.to_pyarrow())
    return con.create_table(contract.name, arrow, overwrite=True)


def broken_columns(row: Row) -> set[str]:
    """Columns whose rule a row breaks, worked out by hand."""
    return {
        *(name for name in ("maker", "number", "colour", "made_date") if row[name] is None),
        *(["maker"] if row["maker"] == "" else []),
        *(["number"] if row["number"] is not None and row["number"] < 0 else []),
        *(["weight"] if row["weight"] is not None and not 1 <= row["weight"] <= 9 else []),
        *(["colour"] if row["colour"] is not None and row["colour"] not in COLOURS else []),
    }


def pandera_accepts(contract: Contract, table: ibis.Table) -> bool:
    try:
        contract.pandera.validate(table, lazy=True)
    except SchemaErrors:
        return False
    return True


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.lists(rows, min_size=1, max_size=5), st.lists(sound_rows, min_size=1, max_size=6)))
@example([SOUND])
@example([SOUND, SOUND])
@example([SOUND, SOUND | {"number": 2}])
@example([SOUND | {"weight": 10}])
@example([SOUND | {"colour": "Red"}])
@example([SOUND | {"maker": ""}])
@example([SOUND | {"made_date": None}])
def test_rows_that_break_a_contract_are_found_exactly_where_pandera_finds_fault(con: Any, content: list[Row]) -> None:
    table = stored(con, TABLE, content)
    found = con.to_pyarrow(violations(TABLE, table)).to_pylist()
    assert (not found) == pandera_accepts(TABLE, table)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=8))
def test_each_broken_row_stands_with_its_key_and_every_rule_that_it_breaks(con: Any, content: list[Row]) -> None:
    found = con.to_pyarrow(violations(TABLE, stored(con, TABLE, content))).to_pylist()
    by_key = [row for row in found if row["broken_rule"] == "the key (maker, number) stands more than once"]
    by_column = [row for row in found if row not in by_key]

    def keyed(row: Row) -> tuple[Any, ...]:
        return row["maker"], row["number"]

    assert Counter((keyed(row), frozenset(broken_columns(row))) for row in content if broken_columns(row)) == Counter(
        (keyed(row), frozenset(rule.split(":")[0].split(" ")[0] for rule in row["broken_rule"].split("; ")))
        for row in by_column
    )
    times = Counter(keyed(row) for row in content if None not in keyed(row))
    assert Counter(keyed(row) for row in by_key) == {key: n for key, n in times.items() if n > 1}
    assert all(list(row) == [*TABLE.columns, "broken_rule"] for row in found)


def test_a_table_is_cast_to_what_it_declares_and_lacks_no_column(con: Any) -> None:
    table = stored(con, TABLE, [SOUND, SOUND | {"number": 2**53}])
    summed = table.group_by("maker").agg(number=ibis._.number.sum())
    wide = table.drop("number").join(summed, "maker").distinct().mutate(surplus=ibis.literal(1))
    assert con.to_pyarrow(TABLE.conform(wide)).to_pylist() == [SOUND | {"number": 2**53 + 1}]
    with pytest.raises(KeyError, match="table things lacks the columns weight, note"):
        TABLE.conform(table.drop("weight", "note"))


@pytest.mark.parametrize("contract", PUBLISHED, ids=lambda contract: contract.name)
def test_a_published_table_explains_itself_and_keeps_the_habits_of_the_house(contract: Contract) -> None:
    assert set(contract.key) <= set(contract.columns)
    for name, col in contract.columns.items():
        assert len(str(col.description)) > 2, name
        if any(name.endswith(suffix) for suffix in DECIMALS_OF_SUFFIX):
            assert col.metadata["unit"], f"{name} has no unit"
            assert contract.schema[name].is_int64(), name
        if name.endswith(("_date", "_start", "_end", "_day", "_since")):
            assert contract.schema[name].is_date(), name
        if name.startswith("is_"):
            assert contract.schema[name].is_boolean(), name
        assert not contract.schema[name].is_floating(), f"{name} would not be exact"
    assert not [name for name in contract.key if contract.columns[name].nullable], "a key is never empty"
    published = [scale_of(name)[0] for name in contract.columns]
    assert len(set(published)) == len(published), "two columns would be published under one name"


def test_no_name_is_published_twice() -> None:
    assert len({contract.name for contract in PUBLISHED}) == len(PUBLISHED)


@pytest.mark.parametrize("contract", PUBLISHED, ids=lambda contract: contract.name)
def test_an_empty_table_keeps_every_published_contract(con: Any, contract: Contract) -> None:
    """And each of its checks has a form that the one pass knows."""
    assert con.to_pyarrow(violations(contract, contract.empty())).num_rows == 0
