"""SQL that is kept: the same as would be built, for every expression of a year, and never that of another expression.

Belongs here: promises about ``assets.engine`` and ``assets.built_sql``. Does not belong here: what a run computes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pytest
from ibis.backends.duckdb import Backend
from releasable import YEAR, made_anew
from whole_runs import query

from assets import built_sql, front_door, kept
from assets.built_sql import Built
from assets.engine import Engine, connected, shape_of
from pipelines.annual_update import run_year
from validations.workspace import WORKSPACE_VARIABLE, Workspace

T = ibis.table({"a": "int64", "b": "string", "c": "date"}, name="t")
U = ibis.table({"a": "int64", "b": "string", "c": "date"}, name="u")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a process that has built nothing."""
    monkeypatch.setattr(built_sql, "_BUILT", {})
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(built_sql, "_folder", lambda: folder)
    return folder


def test_every_sql_of_a_year_is_that_which_ibis_builds_and_nothing_of_a_customer_is_kept(
    cache: Path, undecided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, differing = 0, list[str]()
    kept_or_built = Engine.compile

    def both(self: Engine, expr: Any, /, **how: Any) -> str:
        nonlocal compared
        sql, anew = kept_or_built(self, expr, **how), Backend.compile(self, expr, **how)
        compared += 1
        if sql != anew:
            differing.append(sql)
        return sql

    def kept_and_anew(key: Hashable, made: Callable[[], Built], *, keeps: bool = True) -> Built:
        nonlocal compared
        found, anew = built_sql.built(key, made, keeps=keeps), made()
        compared += 1
        # Tables in memory have other names each time.
        if not found.in_memory and found.sql != anew.sql:
            differing.append(found.sql)
        return found

    monkeypatch.setattr(Engine, "compile", both)
    for user in (kept, front_door):
        monkeypatch.setattr(user, "built", kept_and_anew)
    for name in ("DAGSTER_HOME", WORKSPACE_VARIABLE, "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    workspace = Workspace(made_anew(undecided, tmp_path / "ws"))
    assert run_year(workspace, YEAR, lambda *_: None).succeeded
    assert differing == []
    assert compared > 300
    written = "".join(path.read_text(encoding="utf-8") for path in cache.iterdir())
    assert len(written) > 100_000
    named = query(
        workspace.folder,
        "SELECT service_id FROM sewer_services UNION SELECT account_id FROM sewer_services UNION SELECT district_account FROM consumption",
    )
    assert [name for (name,) in named if f"'{name}'" in written] == []


def test_expressions_that_differ_in_anything_but_names_of_tables_have_different_shapes() -> None:
    different = [
        T, T.limit(1), T.limit(2), T.filter(T.a == 1), T.filter(T.a == 2), T.filter(T.a == 1.0), T.filter(T.b == "1"), T.filter(T.b == "1 "),
        T.filter(T.c == dt.date(2019, 7, 1)), T.filter(T.c == dt.date(2019, 7, 2)), T.mutate(d=ibis.literal(Decimal("1.0"))),
        T.mutate(d=ibis.literal(Decimal("1.1"))), T.mutate(d=ibis.null("int64")), T.mutate(d=ibis.null("int32")), T.mutate(e=ibis.null("int64")),
        T.join(U, "a"), T.join(U, "b"), T.left_join(U, "a"), T.join(T.view(), "a"), T.union(U), T.union(U, distinct=True), T.union(T),
        T.order_by("a"), T.order_by(ibis.desc("a")), T.group_by("b").agg(s=T.a.sum()), T.group_by("b").agg(s=T.a.max()),
        T.mutate(n=ibis.row_number().over(order_by="a")), T.mutate(n=ibis.row_number().over(order_by="a", group_by="b")), T.distinct(), T.count(),
    ]  # fmt: skip
    con = connected()
    for name in ("t", "u"):
        con.create_table(name, schema=T.schema())
    bound = [_bound(one, con) for one in different]
    shapes = [shape_of(one)[0] for one in bound]
    assert len(set(shapes)) == len(shapes)


def _bound(expression: Any, con: Engine) -> Any:
    tables = {op: con.table(op.name).op() for op in expression.op().find(ibis.expr.operations.UnboundTable)}
    return expression.op().replace(tables).to_expr()


@pytest.mark.usefixtures("cache")
def test_the_same_expression_of_other_tables_reads_those() -> None:
    con = connected()
    for name, value in (("one", 1), ("two", 2)):
        con.raw_sql(f"CREATE TABLE \"{name}\" AS SELECT {value} AS a, 'one' AS b")
    for name, value in (("one", 1), ("two", 2), ("one", 1)):
        table = con.table(name)
        assert con.to_pyarrow(table.mutate(c=table.a + 1).filter(table.b == "one")).to_pylist() == [
            {"a": value, "b": "one", "c": value + 1}
        ]
    for value in (3, 4):
        rows = ibis.memtable({"a": [value]})
        assert con.to_pyarrow(rows.mutate(b=rows.a * 2)).to_pylist() == [{"a": value, "b": 2 * value}]


def test_a_table_of_the_database_and_a_view_of_the_connection_are_each_read_where_they_lie(cache: Path) -> None:
    con = connected()
    table = con.create_table("a_table", ibis.memtable({"a": [1]}))
    con.raw_sql("CREATE TEMP VIEW a_view AS SELECT 2::BIGINT AS a")
    view = kept.named_table(con, "a_view", table.schema())
    assert [con.to_pyarrow(one).to_pylist() for one in (table, view, table)] == [[{"a": 1}], [{"a": 2}], [{"a": 1}]]


def test_what_is_kept_is_used_by_the_next_process_and_built_again_where_it_is_not_whole(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = list[int]()

    def made() -> str:
        built.append(1)
        return "SELECT 1"

    def asked_by_a_new_process() -> str:
        monkeypatch.setattr(built_sql, "_BUILT", {})
        return built_sql.built_text(("key", 1), made)

    assert [asked_by_a_new_process() for _ in range(3)] == ["SELECT 1"] * 3
    assert len(built) == 1
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:-5], whole.replace(b"SELECT 1", b"SELECT 7"), b"\xff\xfe"):
        kept.write_bytes(damaged)
        assert asked_by_a_new_process() == "SELECT 1"
    assert len(built) == 5
    assert built_sql.built_text(("key", 2), lambda: "SELECT 2") == "SELECT 2"


def test_a_cache_that_cannot_be_written_to_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_sql, "_BUILT", {})
    monkeypatch.setattr(built_sql, "_folder", lambda: tmp_path / "not there")
    assert built_sql.built_text(("key", 3), lambda: "SELECT 3") == "SELECT 3"
