"""An expression means on Spark what it means on DuckDB, at the edges too.

Belongs here: promises about ``assets.spark_engine``. Does not belong here: a whole year on Spark (``tests/test_spark.py``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest

from assets.engine import connected as connected_duckdb
from rate_tables.exact import divide_wide, round_half_away, stored_as, truncating_divide, widened

pytestmark = pytest.mark.usefixtures("java")

LARGE = 9_000_000_000_000_000_000
ROWS = pa.table(
    {
        "id": pa.array(range(1, 13), "int64"),
        "part": pa.array(["a", "a", "a", "a", "b", "b", "b", "c", "c", "c", "c", "d"]),
        "whole": pa.array([5, -5, 0, 7, LARGE, LARGE, None, -LARGE, -LARGE, 1, 3, None], "int64"),
        "by": pa.array([2, 2, 3, 0, 10, 7, 3, 9, 4, 0, None, 1], "int64"),
        "real": pa.array([2.5, -2.5, 0.5, 3.5, 0.125, 1e-4, None, 12345678.25, -0.05, 0.15, 1e7, None], "float64"),
        "over": pa.array([0.0, 2.0, 0.0, 3.0, 1e3, 7.0, 1.0, 0.0, 3.0, 0.0, 3.0, 0.0], "float64"),
        "text": pa.array(["00-12 a", "x'y", "back\\slash", "é%ü", None, "", "Z", "a", "B", "_", "10", None]),
        "day": pa.array([dt.date(2020, 2, 29 - n) for n in range(11)] + [None], "date32"),
        "is_it": pa.array([True, False, None, True, True, False, True, None, False, True, False, None]),
    }
)


def of_each_row(t: ir.Table) -> ir.Table:
    begin = ibis.literal(dt.date(2019, 11, 1))
    return t.select(
        "id",
        cut=truncating_divide(t.whole, t.by),
        cut_of_sum=stored_as(truncating_divide(widened(t.whole) * t.by, 10), "int64"),
        cut_of_wide=stored_as(divide_wide(widened(t.whole) * t.by, 10), "int64"),
        half_away=round_half_away(t.whole, 2),
        ratio=t.whole / t.by,
        real_ratio=t.real / t.over,
        share=t.whole * (t.by / 1_000_000),
        nearest=t.real.round(),
        tenth=t.real.round(1),
        fine=(t.real * 1.1).round(6),
        cast=t.real.cast("int64"),
        exact=t.real.cast("decimal(18, 1)"),
        said=t.real.cast("decimal(18, 3)").cast("string"),
        written=t.real.cast("string"),
        whole_written=t.whole.cast("string"),
        no_number=(t.real / t.over).isnull(),
        evidence=ibis.struct({"text": t.text, "real": t.real, "day": t.day, "whole": t.whole}).cast("json").cast("string"),
        bare=t.text.re_replace("[^0-9A-Za-z]", "").re_replace("^0+", ""),
        slashed=t.text.replace("\\", "/").replace("'", "\\"),
        digest=t.text.hexdigest("sha256"),
        letters=t.text.length(),
        days=t.day.delta(begin, unit="day"),
        next_year=(t.day + ibis.interval(years=1)).cast("date"),
        month=t.day.truncate("M").cast("date"),
        most=ibis.greatest(t.whole, t.by, 1),
        first_day=ibis.least(t.day, begin),
        same=t.whole.identical_to(t.by),
        before=t.real.lag().over(ibis.window(group_by="part", order_by="id")),
        near=t.over.mean().over(ibis.range_window(group_by="part", order_by="id", preceding=2, following=0)).round(9),
        place=ibis.row_number().over(ibis.window(group_by="part", order_by=[ibis.desc("text"), "id"])),
    )  # fmt: skip


def of_each_part(t: ir.Table) -> ir.Table:
    return t.group_by("part").agg(
        half_of_sum=stored_as(truncating_divide(t.whole.sum(), 4), "int64"),
        sum_where=t.by.sum(where=t.is_it),
        counted=ibis._.count(),
        counted_where=ibis._.count(where=t.is_it),
        not_null=t.real.count(),
        joined=t.text.group_concat("; ", order_by=[t.by, t.id]),
        joined_where=t.text.group_concat("; ", order_by=t.id, where=t.is_it),
        least_by=t.text.argmin(t.by),
        most_by=t.text.argmax(t.by),
        most_where=t.real.argmax(t.id, where=t.real.notnull()),
        median=t.over.median(),
        median_where=t.by.median(where=t.is_it),
        lower=t.over.collect().sort()[(t.over.count() - 1) // 2],
        of_none=t.over.collect(where=t.id < 0).sort()[(t.over.collect(where=t.id < 0).length() - 1) // 2],
        least=ibis.coalesce(t.over.collect(where=t.id < 0).concat(t.over.collect()), t.over.collect()).sort()[0],
        any=t.is_it.any(),
        every=t.is_it.all(),
        last_day=t.day.max(),
        mean=t.over.mean().round(9),
    )


def chosen_by_a_window(t: ir.Table) -> ir.Table:
    kept = t.filter(t.day == t.day.max().over(ibis.window(group_by="part")))
    return kept.select("id", "part", twice=kept.by * 2)


@pytest.fixture(scope="module")
def spark(java: None) -> Iterator[Any]:
    from assets.spark_engine import connected

    of_java = "-Xss32m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    engine = connected({"spark.sql.shuffle.partitions": 2, "spark.driver.extraJavaOptions": of_java})
    yield engine
    engine.disconnect()


@pytest.mark.parametrize("expression", [of_each_row, of_each_part, chosen_by_a_window])
def test_every_value_is_what_duckdb_computes_bit_for_bit(expression: Any, spark: Any, tmp_path: Path) -> None:
    made = expression(ibis.memtable(ROWS))
    # As every table of the store: DuckDB's own types are wider than Ibis believes.
    table = made.select(**{name: stored_as(made[name], dtype) for name, dtype in made.schema().items()})
    spark.write_folder(table, tmp_path / "rows")
    theirs = duckdb.read_parquet(f"{tmp_path}/rows/*.parquet")
    connected_duckdb(keeps_sql=False).to_parquet(table, tmp_path / "rows.parquet")
    ours = duckdb.read_parquet(str(tmp_path / "rows.parquet"))
    key = table.columns[0]
    for name in table.columns:
        said = [sorted(map(repr, one.select(f'"{key}", "{name}"').fetchall())) for one in (theirs, ours)]
        assert said[0] == said[1], name


def test_a_sum_that_no_longer_fits_is_an_error_and_not_another_number(spark: Any, tmp_path: Path) -> None:
    t = ibis.memtable(ROWS)
    with pytest.raises(Exception, match="OVERFLOW"):
        spark.write_folder(t.group_by("part").agg(whole=stored_as(t.whole.sum(), "int64")), tmp_path / "rows")
    with pytest.raises(Exception, match="OVERFLOW"):
        spark.write_folder(t.select(product=t.whole * t.whole), tmp_path / "rows")
