"""Spark as the pipeline uses it through Ibis: the same expressions, computed by a cluster, equal to DuckDB's row for row.

Belongs here: opening Spark, reading and writing the store's Parquet with it, what DuckDB and Spark mean differently by one expression.
Does not belong here: what is computed, where a slice's file lies and how it is written whole (``store``).

Everything that an expression says means what it means in DuckDB: sums that do not overflow, divisions by nothing, how a half is rounded,
how text stands in order. Where Spark means something else, ``_Compiler`` says it in other words.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyspark.sql.types as spark_types
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.base import NULL, STAR
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.backends.sql.datatypes import PySparkType
from pyspark.sql import DataFrame, SparkSession

from assets.built_sql import Built
from assets.engine import KeepsSQL
from assets.kept import named_table
from validations.workspace import SPARK_MEANS

_WIDE = dt.Decimal(38, 0)
"""What a whole number of 128 bits is in Spark."""
LOCAL = "local[2]"
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Takes most of the time of a plan of a hundred joins, and helps none of them.
    "spark.sql.constraintPropagation.enabled": "false",
    # A plan of thirty rules is deep.
    "spark.driver.extraJavaOptions": "-Xss32m",
}


class _Compiler(PySparkCompiler):
    """Spark SQL that means what DuckDB's SQL of the same expression means."""

    __slots__ = ()

    def visit_Select(
        self, op: Any, *, parent: Any, selections: Any, predicates: Any, qualified: Any, **rest: Any
    ) -> Any:
        """Rows chosen by a window are marked first: Spark SQL has no QUALIFY."""
        if not qualified:
            return super().visit_Select(
                op, parent=parent, selections=selections, predicates=predicates, qualified=(), **rest
            )
        name = parent.alias_or_name
        marked = sg.select(STAR, sg.and_(*qualified).as_("_stays", quoted=self.quoted)).from_(parent)
        if predicates:
            marked = marked.where(*predicates)
        result = sg.select(*self._cleanup_names(selections)).from_(
            marked.subquery(sg.to_identifier(name, quoted=self.quoted))
        )
        result = result.where(sg.column("_stays", table=name, quoted=self.quoted))
        if rest["sort_keys"]:
            result = result.order_by(*rest["sort_keys"])
        return result.distinct() if rest["distinct"] else result

    # Whole numbers

    def visit_Sum(self, op: ops.Sum, *, arg: Any, where: Any) -> Any:
        """128 bits wide, as in DuckDB."""
        if op.arg.dtype.is_boolean():
            arg = self.cast(arg, dt.int64)
        if not op.arg.dtype.is_floating():
            arg = self.cast(arg, _WIDE)
        return self.agg.sum(arg, where=where)

    def visit_ArraySum(self, op: ops.ArraySum, *, arg: Any) -> Any:
        (only,) = arg.expressions
        return self.cast(only, _WIDE)

    def visit_ScalarUDF(self, op: ops.ScalarUDF, **given: Any) -> Any:
        if op.__func_name__ != "divide":
            return super().visit_ScalarUDF(op, **given)
        numerator, denominator = (sge.paren(value) for value in given.values())
        if not isinstance(denominator.this, sge.Literal | sge.Cast):
            denominator = self.f.nullif(denominator, 0)
        return sge.paren(sge.IntDiv(this=numerator, expression=denominator))

    def visit_CountStar(self, op: ops.CountStar, *, arg: Any, where: Any) -> Any:
        return self.f.anon.count_if(where) if where is not None else super().visit_CountStar(op, arg=arg, where=where)

    # Doubles

    def visit_Field(self, op: ops.Field, *, rel: Any, name: str) -> Any:
        return super(PySparkCompiler, self).visit_Field(op, rel=rel, name=name)

    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: dt.DataType) -> Any:
        return None if dtype.is_floating() else super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Divide(self, op: ops.Divide, *, left: Any, right: Any) -> Any:
        """Always of doubles; by zero it is infinite, or not a number."""
        left, right = (self.cast(sge.paren(value), dt.float64) for value in (left, right))
        if isinstance(op.right, ops.Literal) and op.right.value:
            return sge.paren(sge.Div(this=left, expression=right, typed=True))
        infinite = self.if_(left > 0, self._double("Infinity"), self._double("-Infinity"))
        by_zero = self.if_(left.eq(0) | self.f.isnan(left), self._double("NaN"), infinite)
        divided = sge.Div(this=left, expression=self.f.nullif(right, 0), typed=True)
        return self.if_(right.eq(0) & left.is_(sg.not_(NULL)), by_zero, divided)

    def _double(self, text: str) -> Any:
        return self.cast(sge.convert(text), dt.float64)

    def visit_IsNull(self, op: ops.IsNull, *, arg: Any) -> Any:
        return arg.is_(NULL)

    def visit_NotNull(self, op: ops.NotNull, *, arg: Any) -> Any:
        return arg.is_(sg.not_(NULL))

    def _rounded_away(self, value: Any) -> Any:
        """A double, rounded to a whole one; a half goes away from zero."""
        size = self.f.abs(value)
        up = self.if_((size - self.f.anon.rint(size)).eq(0.5), self._double("1"), self._double("0"))
        return sge.paren(self.f.signum(value) * sge.paren(self.f.anon.rint(size) + up))

    def visit_Round(self, op: ops.Round, *, arg: Any, digits: Any) -> Any:
        if not op.arg.dtype.is_floating():
            return super().visit_Round(op, arg=arg, digits=digits)
        places = op.digits.value if isinstance(op.digits, ops.Literal) else 0
        power = self._double(f"1e{places}")
        rounded = self._rounded_away(sge.paren(sge.paren(arg) * power))
        return self.cast(sge.paren(sge.Div(this=rounded, expression=power, typed=True)), op.dtype)

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: dt.DataType) -> Any:
        of = op.arg.dtype
        if of.is_floating() and to.is_integer():
            return self.cast(self.f.anon.rint(arg), to)
        if of.is_floating() and to.is_decimal():
            return self._decimal(arg, to)
        if of.is_floating() and to.is_string():
            return self._text(arg)
        if of.is_decimal() and to.is_integer():
            return self.cast(self.f.round(arg, 0), to)
        if to.is_json() and of.is_struct():
            return self._json(op.arg, arg)
        return super().visit_Cast(op, arg=arg, to=to)

    def _decimal(self, value: Any, to: Any) -> Any:
        """A half goes away from zero."""
        scaled = self._rounded_away(sge.paren(sge.paren(value) * self._double(f"1e{to.scale}")))
        whole = self.cast(scaled, dt.Decimal(38 - to.scale, 0))
        unit = self.cast(sge.convert(f"1e-{to.scale}"), dt.Decimal(to.scale + 1, to.scale))
        return self.cast(sge.paren(whole * unit), to)

    def _text(self, value: Any) -> Any:
        """The shortest text that reads as this double, written as DuckDB writes it."""
        size = self.f.abs(value)
        plain = sge.paren((size >= self._double("1e7")) & (size < self._double("1e16"))) | sge.paren(
            (size < self._double("1e-3")) & (size >= self._double("1e-4"))
        )
        written = self.cast(value, dt.string)
        # Java writes these with an exponent.
        digits = self.cast(self.cast(written, dt.Decimal(38, 18)), dt.string)
        trimmed = self.f.regexp_replace(digits, "0+$", "")
        whole = self.f.regexp_replace(trimmed, "[.]$", ".0")
        return self.if_(plain, whole, written)

    def visit_Median(self, op: ops.Median, *, arg: Any, where: Any) -> Any:
        return self.f.percentile(arg if where is None else self.if_(where, arg, NULL), 0.5)

    def visit_ArrayIndex(self, op: ops.ArrayIndex, *, arg: Any, index: Any) -> Any:
        # Spark counts from one in 32 bits; as in DuckDB, there is nothing where an array does not reach.
        at = self.cast(self.if_(index >= 0, index + 1, index), dt.int32)
        return self.f.anon.try_element_at(arg, at)

    # Order

    def visit_ArgMin(self, op: ops.ArgMin, *, arg: Any, key: Any, where: Any) -> Any:
        return self._by("min_by", arg, self.f.struct(key.is_(NULL), key), where)

    def visit_ArgMax(self, op: ops.ArgMax, *, arg: Any, key: Any, where: Any) -> Any:
        return self._by("max_by", arg, self.f.struct(key.is_(sg.not_(NULL)), key), where)

    def _by(self, function: str, arg: Any, key: Any, where: Any) -> Any:
        key = key if where is None else self.if_(where, key, NULL)
        return self.f.anon[function](arg, key)

    def visit_GroupConcat(self, op: ops.GroupConcat, *, arg: Any, sep: Any, where: Any, order_by: Any) -> Any:
        """None where there is nothing to join."""
        if any(key.args.get("desc") for key in order_by):
            raise NotImplementedError("text joined in falling order")
        there = arg.is_(sg.not_(NULL))
        counts = there if where is None else sg.and_(where, there)
        keys = [part for key in order_by for part in (key.this.is_(NULL), key.this)]
        named = [
            self.f.anon.named_struct(*(part for n, k in enumerate((*keys, arg)) for part in (sge.convert(f"k{n}"), k)))
        ]
        collected = self.f.anon.collect_list(self.if_(counts, named[0], NULL))
        ordered = self.f.anon.sort_array(collected) if order_by else collected
        x = sg.to_identifier("x", quoted=self.quoted)
        texts = self.f.transform(
            ordered, sge.Lambda(this=sge.Dot(this=x, expression=sg.to_identifier(f"k{len(keys)}")), expressions=[x])
        )
        return self.f.anon.array_join(self.f.nullif(texts, self.f.array()), sep)

    # Text and dates

    def _json(self, op: Any, value: Any) -> Any:
        """The text of a struct: Spark would leave out what is null, and write doubles as Java does."""
        null = sge.convert("null")
        pieces = list[Any]()
        for (name, dtype), field in zip(op.dtype.items(), value.expressions, strict=True):
            if dtype.is_floating():
                pieces += [sge.convert(f"{json.dumps(name)}:"), self.f.coalesce(self._text(field.unalias()), null)]
            else:
                alone = self.f.anon.to_json(
                    self.f.anon.named_struct(sge.convert(name), field.unalias()),
                    self.f.anon.map(sge.convert("ignoreNullFields"), sge.convert("false")),
                )
                pieces.append(self.f.anon.substr(alone, 2, self.f.length(alone.copy()) - 2))
            pieces.append(sge.convert(","))
        return self.f.anon.concat(sge.convert("{"), *pieces[:-1], sge.convert("}"))

    def visit_DateTruncate(self, op: ops.DateTruncate, *, arg: Any, unit: Any) -> Any:
        return self.f.anon.trunc(arg, unit.singular)


class Spark(KeepsSQL, Backend):
    """A Spark backend of Ibis, with tables that are kept while a slice is made."""

    name = "pyspark"
    compiler = _Compiler()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._views: set[str] = set()

    def _shown(self, frame: DataFrame, name: str) -> None:
        frame.createOrReplaceTempView(name)
        self._views.add(name)

    def _computed(self, frame: DataFrame) -> DataFrame:
        """The rows, computed now. They lie with the workers; below ``spark.checkpoint.dir`` if that is set, where they outlive a worker."""
        if self._session.conf.get("spark.checkpoint.dir", None):
            return frame.checkpoint()
        return frame.localCheckpoint()

    def read_store(self, paths: list[Path], schema: ibis.Schema) -> ir.Table:
        """These files of the store as one table."""
        name = f"stored_{uuid.uuid4().hex}"
        frame = self._session.read.schema(_spark_schema(schema)).parquet(*map(_literal, paths))
        self._shown(frame, name)
        return named_table(self, name, schema)

    def write_folder(self, table: ir.Table, folder: Path) -> None:
        """The table's rows as Parquet in ``folder``, with exactly its types; nothing is kept of how it was made."""
        try:
            self._run_pre_execute_hooks(table)
            frame = self._session.sql(self.typed(self.compile(table), table.schema()))
            frame.write.mode("overwrite").parquet(str(folder))
        finally:
            self.let_go()

    def compile(self, expr: ir.Expr, /, **other: Any) -> str:
        with _fused():
            return super().compile(expr, **other)

    def to_sql(self, table: ir.Table) -> str:
        with _fused():
            return str(self.compiler.to_sqlglot(table.unbind()).sql(dialect=self.dialect))

    def typed(self, sql: str, schema: ibis.Schema) -> str:
        casts = ", ".join(f"CAST(`{n}` AS {PySparkType.from_ibis(t).sql('spark')}) AS `{n}`" for n, t in schema.items())
        return f"SELECT {casts} FROM ({sql})"  # noqa: S608 - names and types of ours

    # What ``kept`` asks of an engine

    def show(self, name: str, table: ir.Table) -> None:
        self._run_pre_execute_hooks(table)
        self._shown(self._session.sql(self.compile(table)), name)

    def show_sql(self, name: str, found: Built) -> None:
        self._shown(self._frame(found), name)

    def keep_sql(self, name: str, found: Built) -> None:
        self._shown(self._computed(self._frame(found)), name)

    def _frame(self, found: Built) -> DataFrame:
        for name, rows in found.in_memory:
            self._session.createDataFrame(rows).createOrReplaceTempView(name)
        return self._session.sql(self.typed(found.sql, found.schema))

    def create_table(self, name: str, /, obj: Any = None, *, temp: bool = False, **other: Any) -> ir.Table:
        if not isinstance(obj, ir.Table) or not temp or other:
            return super().create_table(name, obj, temp=temp, **other)
        self._run_pre_execute_hooks(obj)
        schema = obj.schema()
        frame = self._session.sql(self.typed(self.compile(obj), schema))
        self._shown(self._computed(frame), name)
        return named_table(self, name, schema)

    def let_go(self) -> None:
        """Drop all that was shown and kept: the slice is written."""
        for name in self._views:
            self._session.catalog.dropTempView(name)
        self._views.clear()

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        # Let go by Ibis, when nobody holds the table any more.
        self._session.createDataFrame(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)


@contextmanager
def _fused() -> Iterator[None]:
    """Nested selects are joined by Ibis: Spark takes twice as long over a plan where they are not."""
    before = ibis.options.sql.fuse_selects
    ibis.options.sql.fuse_selects = True
    try:
        yield
    finally:
        ibis.options.sql.fuse_selects = before


def _spark_schema(schema: ibis.Schema) -> spark_types.StructType:
    from ibis.backends.pyspark.datatypes import PySparkSchema

    return PySparkSchema.from_ibis(schema)


def _literal(path: Path) -> str:
    """A path in which no character stands for others."""
    return "".join(f"\\{c}" if c in "*?[]{}\\" else c for c in str(path))


def connected(properties: Mapping[str, str | int | bool]) -> Spark:
    """An engine with a Spark session. Where neither ``properties`` nor Spark's own files name a master: two workers on this machine."""
    chosen = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in properties.items()}
    if not {"SPARK_HOME", "SPARK_CONF_DIR"} & set(os.environ):
        chosen.setdefault("spark.master", LOCAL)
    if chosen.get("spark.master", "").startswith("local"):
        # Nobody else has to reach this machine.
        chosen = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} | chosen
    builder = SparkSession.builder.appName("annual-billing")
    for key, value in (_SETTINGS | chosen | SPARK_MEANS).items():
        builder = builder.config(key, value)
    # An error is told by who catches it, in a sentence; not before that, with the whole plan.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    engine: Spark = Spark().connect(session)
    return engine
