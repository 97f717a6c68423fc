"""The store: a slice is written whole or not at all, in the declared types, with its version.

Belongs here: ``Store`` on real folders. Does not belong here: what tables mean.
"""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract_rows import row, table_of
from front_door_helpers import rows_of

from assets.billing_basis import billing_basis
from assets.readers.lines import read_lines
from assets.stage import Session, all_slices
from assets.store import ROWS_OF_A_GROUP, WHOLE, Store, Stored
from validations.contract import Contract, column
from validations.tables import ADJUSTMENTS, DECISIONS, SEWER_SERVICES
from validations.workspace import SAMPLE, Workspace

TABLE = Contract(
    "amounts", "thing", ("thing",),
    {
        "thing": column("string", "Thing"),
        "amount_cents": column("int64", "Amount", "cents"),
        "day": column("date", "Day", nullable=True),
    },
)  # fmt: skip
YEAR = 2019
ONE_MORE_THAN_A_DOUBLE_HOLDS = 2**53 + 1


def parts(*amounts: int) -> Any:
    return ibis.memtable({"thing": ["a"] * len(amounts), "amount_cents": list(amounts), "day": [None] * len(amounts)},
                         schema=TABLE.schema)  # fmt: skip


def total(*amounts: int) -> Any:
    """A sum, which the engine makes 128 bits wide."""
    return parts(*amounts).group_by("thing").agg(amount_cents=ibis._.amount_cents.sum(), day=ibis._.day.max())


@pytest.fixture
def store(con: Any, tmp_path: Path) -> Store:
    return Store(tmp_path / "store", con)


def files(store: Store) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in store.folder.rglob("*") if p.is_file()}


def test_a_slice_comes_back_with_its_rows_types_and_version(con: Any, store: Store) -> None:
    assert store.write(TABLE, 2018, "x", total(2**53, 1), "v1") == 1
    assert store.write(TABLE, 2018, "y", parts(5, 6), "v2") == 2
    back = store.read(TABLE, 2018, ["x"])
    assert back.schema() == TABLE.schema
    assert rows_of(con, back) == [{"thing": "a", "amount_cents": ONE_MORE_THAN_A_DOUBLE_HOLDS, "day": None}]
    assert (store.version(TABLE, 2018, "x"), store.version(TABLE, 2018, "y")) == ("v1", "v2")
    assert (store.rows(TABLE, 2018, "y"), store.rows(TABLE, 2019, "y")) == (2, 0)
    assert sorted(files(store)) == ["x.parquet", "y.parquet"]


EDGES = (1, 31, 33, 127, 129, 2047, 2049, ROWS_OF_A_GROUP, ROWS_OF_A_GROUP + 1, 2 * ROWS_OF_A_GROUP + 1)
"""Rows at and beside the ends of what numbers are packed in, of vectors, and of groups of rows."""


@pytest.mark.parametrize("rows", EDGES)
@pytest.mark.parametrize("absent", [0.4, 1])
def test_any_whole_number_text_and_day_comes_back_for_duckdb_and_for_other_readers(
    store: Store, rows: int, absent: float
) -> None:
    chance = random.Random(f"{rows} {absent}")  # noqa: S311 - the same rows every time
    names = [chance.choice(["", "a", 'é€𝄞\n"', f"{n:09}", "x" * 300]) for n in range(rows)]
    numbers = [chance.choice([-(2**63), 2**63 - 1, 0, -1, n, chance.randrange(-(2**63), 2**63)]) for n in range(rows)]
    days = [
        None if chance.random() < absent else dt.date.fromordinal(chance.randrange(1, 3_652_000)) for _ in range(rows)
    ]
    given = pa.table({"thing": names, "amount_cents": numbers, "day": pa.array(days, pa.date32())})
    store.write(TABLE, YEAR, "x", ibis.memtable(given), "v1")
    for back in (store.con.to_pyarrow(store.read(TABLE, YEAR, ["x"])), pq.read_table(store.path(TABLE, YEAR, "x"))):
        assert sorted(map(repr, back.to_pylist())) == sorted(map(repr, given.to_pylist()))


def test_several_slices_read_as_one_table_and_their_versions_as_one(con: Any, store: Store) -> None:
    store.write(TABLE, 2018, "x", parts(1), "v1")
    store.write(TABLE, 2018, "y", parts(2), "v2")
    store.write(TABLE, 2017, "z", parts(3), "v3")
    stored = Stored(store, TABLE, 2018, ("x", "y", "z"))
    assert [row["amount_cents"] for row in rows_of(con, stored.read(), "amount_cents")] == [1, 2]
    assert [row["amount_cents"] for row in rows_of(con, stored.read("y"))] == [2]
    assert (stored.content(), stored.content("y")) == ("v1+v2+absent", "v2")


def test_a_slice_made_again_with_the_same_rows_has_the_same_content_whatever_it_was_made_from(store: Store) -> None:
    contents = []
    for version, numbers in (("v1", (1, 2)), ("v2", (2, 1)), ("v3", (1, 3)), ("v4", (1, 2, 2))):
        store.write(TABLE, 2018, "x", parts(*numbers), version, hashes_rows=True)
        assert store.version(TABLE, 2018, "x") == version
        contents.append(store.content(TABLE, 2018, "x"))
    assert contents[0] == contents[1]
    assert len(set(contents)) == 3


def test_a_row_of_a_table_that_is_not_sliced_is_content_of_the_slice_of_its_service_alone(store: Store) -> None:
    def basis_versions(*decisions: dict[str, Any], adjustments: tuple[dict[str, Any], ...] = ()) -> dict[str, str]:
        store.write(DECISIONS, YEAR, WHOLE, table_of(DECISIONS, *decisions), f"{decisions}", hashes_rows=True)
        store.write(ADJUSTMENTS, YEAR, WHOLE, table_of(ADJUSTMENTS, *adjustments), f"{adjustments}")
        stored = {argument: session.stored(key, YEAR) for argument, key in billing_basis.input_keys(workspace).items()}
        slices = billing_basis.making(stored, workspace.year(YEAR), all_slices(workspace)).slices
        return {slice_id: one.version for slice_id, one in slices.items()}

    def changed(*two: dict[str, str]) -> set[str]:
        return {slice_id for slice_id in two[0] if two[0][slice_id] != two[1][slice_id]}

    workspace = Workspace(SAMPLE)
    session = Session(workspace, store)
    mine, other = list(workspace.districts)[:2]
    services = [
        row(SEWER_SERVICES, service_id=service, slice_id=of)
        for service, of in (("S1", mine), ("S2", mine), ("S3", other))
    ]
    store.write(SEWER_SERVICES, YEAR, WHOLE, table_of(SEWER_SERVICES, *services), "v1")
    decided = row(DECISIONS, decision_id="D1", service_id="S1", decision="set_average", average_thousandths=5000)
    of_district = row(DECISIONS, decision_id="D2", service_id="")
    entered = row(ADJUSTMENTS, adjustment_id="A1", service_id="S3")
    before = basis_versions(decided)
    assert changed(before, basis_versions()) == {mine}
    assert changed(before, basis_versions({**decided, "average_thousandths": 6000})) == {mine}
    assert changed(before, basis_versions({**decided, "service_id": "S3"})) == {mine, other}
    assert changed(before, basis_versions(decided, of_district)) == set()
    assert changed(before, basis_versions(decided, adjustments=(entered,))) == {other}
    assert changed(before, basis_versions(decided)) == set()


def test_slices_written_together_are_what_each_is_alone_and_a_row_of_another_is_refused(con: Any, store: Store) -> None:
    several = con.create_table(
        "several",
        parts(1, 2, 3).mutate(of_slice=ibis.cases((ibis._.amount_cents == 2, "o'hara"), else_="x")),
        temp=True,
    )
    for slice_id, numbers in (("x", (3, 1)), ("o'hara", (2,)), ("without", ())):
        store.write(TABLE, 2018, slice_id, parts(*numbers) if numbers else TABLE.empty(), "v1", hashes_rows=True)
    versions = dict.fromkeys(("x", "o'hara", "without"), "v2")
    store.write_together(TABLE, 2019, several, versions)
    for slice_id in versions:
        assert store.content(TABLE, 2019, slice_id) == store.content(TABLE, 2018, slice_id)
        assert store.version(TABLE, 2019, slice_id) == "v2"
        assert rows_of(con, store.read(TABLE, 2019, [slice_id]).order_by("amount_cents")) == rows_of(
            con, store.read(TABLE, 2018, [slice_id]).order_by("amount_cents")
        )
    for wrong in (several.filter(several.of_slice != "none"), several.mutate(of_slice=ibis.null("string"))):
        with pytest.raises(ValueError, match="amounts"):
            store.write_together(TABLE, 2019, wrong, {"x": "v3"})
    assert store.version(TABLE, 2019, "x") == "v2"


def test_a_missing_slice_has_no_rows_no_version_and_the_declared_schema(con: Any, store: Store) -> None:
    empty = store.read(TABLE, 2018, ["x"])
    assert (empty.schema(), rows_of(con, empty)) == (TABLE.schema, [])
    assert store.version(TABLE, 2018, "x") is None


def test_types_other_than_declared_are_refused_and_the_old_slice_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(TABLE, 2018, "x", parts(1), "v1")
    before = files(store)
    monkeypatch.setattr(Contract, "conform", lambda self, table: table.select(*self.columns))
    with pytest.raises(TypeError, match="amounts: amount_cents was written as float64, declared int64"):
        store.write(TABLE, 2018, "x", total(2**53, 1), "v2")
    assert files(store) == before


def test_a_sum_that_does_not_fit_is_refused_and_not_wrapped(store: Store) -> None:
    store.write(TABLE, 2018, "x", parts(1), "v1")
    before = files(store)
    with pytest.raises(Exception, match="out of range"):
        store.write(TABLE, 2018, "x", total(2**63 - 1, 1), "v2")
    assert files(store) == before


@pytest.mark.parametrize("step", ["to_parquet", "fsync", "read_schema", "rename"])
def test_a_write_that_fails_at_any_step_leaves_the_old_slice_whole_and_nothing_beside_it(
    con: Any, store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store.write(TABLE, 2018, "x", parts(1), "v1")
    before = files(store)
    reached = []

    def fail(*args: Any, **kwargs: Any) -> None:
        reached.extend(name for name in files(store) if name.endswith(".tmp"))
        raise OSError("no space left on device")

    class HalfWritten:
        """The connection, whose writing stops half way."""

        def to_parquet(self, table: Any, path: Path, **_: Any) -> None:
            path.write_bytes(b"PAR1 half")
            fail()

        def __getattr__(self, name: str) -> Any:
            return getattr(con, name)

    con = store.con
    match step:
        case "to_parquet":
            store.con = HalfWritten()
        case "fsync":
            monkeypatch.setattr("assets.durable.os.fsync", fail)
        case "read_schema":
            monkeypatch.setattr("assets.store.pq.read_schema", fail)
        case _:
            monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no space left"):
        store.write(TABLE, 2018, "x", parts(2), "v2")
    monkeypatch.undo()
    assert len(reached) == 1, "the failure was not injected while the file was written"
    assert files(store) == before
    assert store.version(TABLE, 2018, "x") == "v1"


def test_a_row_that_cannot_be_computed_fails_the_write_and_not_the_reader(con: Any, store: Store) -> None:
    store.write(TABLE, 2018, "x", parts(1), "v1")
    bad = ibis.memtable(pa.table({"thing": ["a"], "amount_cents": ["x"], "day": pa.nulls(1, pa.date32())}))
    with pytest.raises(Exception, match="convert"):
        store.write(TABLE, 2018, "x", bad, "v2")
    assert [row["amount_cents"] for row in rows_of(con, store.read(TABLE, 2018, ["x"]))] == [1]
    assert sorted(files(store)) == ["x.parquet"]


def test_a_table_without_a_declared_column_is_named(store: Store) -> None:
    with pytest.raises(KeyError, match="amounts lacks the columns day"):
        store.write(TABLE, 2018, "x", parts(1).drop("day"), "v1")


@pytest.mark.parametrize(("name", "beside"), [("g[1]", "g1"), ("g*", "gx"), ("g?", "gx")])
def test_a_folder_with_the_signs_of_a_pattern_is_read_itself_and_not_its_neighbour(
    con: Any, tmp_path: Path, name: str, beside: str
) -> None:
    Store(tmp_path / beside, con).write(TABLE, 2018, "x", parts(1), "v")
    ours = Store(tmp_path / name, con)
    ours.write(TABLE, 2018, "x", parts(2), "v")
    assert [row["amount_cents"] for row in rows_of(con, ours.read(TABLE, 2018, ["x"]))] == [2]
    for folder, text in ((beside, "theirs\n"), (name, "ours\n")):
        (tmp_path / folder / "t.csv").write_text(text)
    lines = read_lines(con, tmp_path / name / "t.csv", "utf-8", tmp_path / "scratch").table
    assert [row["raw_text"] for row in rows_of(con, lines)] == ["ours"]
