"""Tables that are kept while a slice is made: they give what the function gives, and are gone once the slice is written.

Belongs here: the bench and letting go of what it kept. Does not belong here: the rules that are worked out on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from contract_rows import row, table_of

from assets.engine import connected
from assets.kept import PREFIX, Bench, kept
from assets.store import Store
from validations.tables import CLASS_AVERAGES


def names(con: Any) -> list[str]:
    """What lies in the database under a name of kept tables."""
    return [name for name in con.list_tables() if name.startswith(PREFIX)]


def summed(numbers: ir.Table) -> ir.Table:
    return numbers.group_by("word").agg(total=numbers.number.sum(), rows=ibis._.count())


def most(totals: ir.Table) -> ir.Table:
    return totals.agg(most=totals.total.max())


def numbers(*rows: tuple[str, int]) -> ir.Table:
    return ibis.memtable([{"word": word, "number": number} for word, number in rows])


def test_what_is_built_once_is_what_the_function_gives_of_each_slice(con: Any) -> None:
    for place, rows in enumerate(([("a", 1), ("a", 2), ("b", 7)], [("c", -5)])):
        stored = con.create_table(f"numbers_{place}", numbers(*rows), overwrite=True)
        bench = Bench({"numbers": stored}, "version of this test")
        totals = bench.keep("totals", summed, "numbers")
        assert totals.schema() == summed(stored).schema()
        assert totals.order_by("word").execute().equals(summed(stored).order_by("word").execute())
        shown = bench.shown("most", most, "totals")
        assert shown.execute().equals(most(summed(stored)).execute())


def test_another_shape_or_version_of_the_input_is_built_anew(con: Any) -> None:
    narrow, wide = numbers(("a", 1)), numbers(("a", 1)).mutate(more=ibis.literal("x"))

    def columns(numbers: ir.Table) -> ir.Table:
        return numbers.distinct()

    for name, table in (("narrow", narrow), ("wide", wide)):
        made = Bench({"numbers": con.create_table(name, table)}, "one").shown("columns", columns, "numbers")
        assert list(made.columns) == list(table.columns)
    stored = {"numbers": con.create_table("versioned", narrow)}
    ways = {"one": 1, "two": 2}
    for version, factor in ways.items():
        made = Bench(stored, version).shown(
            "by version", lambda numbers, f=factor: numbers.select(n=numbers.number * f), "numbers"
        )
        assert con.to_pyarrow(made).to_pylist() == [{"n": factor}]


def test_rows_in_memory_stay_there(con: Any) -> None:
    rows = numbers(("a", 1), ("a", 2))
    assert kept(rows) is rows
    before = names(con)
    made = Bench({"numbers": rows}, "in memory").keep("in_memory", summed, "numbers")
    assert con.to_pyarrow(made).to_pylist() == [{"word": "a", "total": 3, "rows": 2}]
    assert names(con) == before


def test_what_is_kept_is_gone_once_a_slice_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", connected())
    averages = table_of(CLASS_AVERAGES, row(CLASS_AVERAGES, class_key="a", services=3, class_average_thousandths=5))
    given = store.con.create_table("given", averages)
    made = Bench({"averages": kept(given)}, "written").keep("doubled", lambda averages: averages.distinct(), "averages")
    assert len(names(store.con)) == 3
    assert store.write(CLASS_AVERAGES, 2019, "all", made, "v1") == 1
    assert (
        store.con.to_pyarrow(store.read(CLASS_AVERAGES, 2019, ["all"])).to_pylist()
        == store.con.to_pyarrow(given).to_pylist()
    )
    assert names(store.con) == []
    assert "given" in store.con.list_tables()


def test_what_is_kept_is_gone_after_a_write_that_failed_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", connected())
    averages = table_of(CLASS_AVERAGES, row(CLASS_AVERAGES, class_key="a", services=3, class_average_thousandths=5))
    held = kept(store.con.create_table("given", averages))
    with pytest.raises(KeyError):
        store.write(CLASS_AVERAGES, 2019, "all", held.drop("services"), "v1")
    assert names(store.con) == []
