"""The hash of rows, and of a table as the store has it: the same for the same rows in any order, another for any others.

Belongs here: a row as text, the order of rows, hashing slices side by side, taking over the hashes of files that have not changed.
Does not belong here: which tables and columns count (``contents``), whether a stage has to be made again (``store``).

A table's hash is that of its slices' hashes. Which service is of which slice is data, so the same rows lie in the same slices; and of fifteen
districts of which one was late, fourteen need not be hashed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from assets.code_version import code_version
from assets.literal_path import literal
from assets.log import canonical
from assets.pulling.archive import content_hash_of
from assets.remembered import recalled, remember
from assets.store import Store
from validations.contract import Contract

_ROWS_AT_A_TIME = 50_000
_ROWS = "rows_to_hash"


@dataclass(frozen=True)
class HashedSlice:
    """SHA-256 of a slice's file and of what counts of its rows, and how many these are."""

    file_hash: str
    rows_hash: str
    rows: int


def hash_of_rows(store: Store, table: ir.Table, key: tuple[str, ...]) -> tuple[str, int]:
    """SHA-256 of the rows as text in the order of the key, and how many there are.

    A value is its length and its text, a missing one a dash, so that no two tables have the same text.
    """
    return _hash_of(store.con.to_pyarrow_batches(_lines(table, key), chunk_size=_ROWS_AT_A_TIME))


def _lines(table: ir.Table, key: tuple[str, ...]) -> ir.Table:
    """Rows as text, in order."""

    def text(name: str) -> list[ir.StringValue]:
        value = table[name].cast("string")
        # Of a missing value length and text are missing too, and what joins them passes over both.
        return [value.length().cast("string"), ibis.ifelse(value.isnull(), "-", ":"), value]

    line = ibis.literal("").join([part for name in table.columns for part in text(name)])
    return table.mutate(line=line).order_by(*key, "line").select("line")


def _hash_of(batches: Iterable[pa.RecordBatch]) -> tuple[str, int]:
    digest, rows = hashlib.sha256(), 0
    for batch in batches:
        if lines := batch.num_rows:
            of_batch = pa.ListArray.from_arrays([0, lines], batch.column(0))
            digest.update(pc.binary_join(of_batch, "\n")[0].as_buffer())
            digest.update(b"\n")
            rows += lines
    return digest.hexdigest(), rows


def hash_of_slices(slices: Mapping[str, HashedSlice]) -> tuple[str, int]:
    """SHA-256 over the hashes of a table's slices that have rows, by name, and how many rows they have."""
    parts = [[name, one.rows_hash, one.rows] for name, one in sorted(slices.items()) if one.rows]
    return hashlib.sha256(canonical({"slices": parts})).hexdigest(), sum(one.rows for one in slices.values())


def hashed_slices(
    store: Store,
    billing_year: int,
    counts: Mapping[Contract, Callable[[ir.Table], ir.Table]],
    slices: Mapping[Contract, Iterable[str]],
    known: Mapping[str, HashedSlice],
) -> dict[Contract, dict[str, HashedSlice]]:
    """Every slice that the store has of some tables, several side by side.

    ``counts``: what of each table counts. ``known``: "table/slice" -> what was found of it before. Errors: duckdb.Error if a slice is damaged.
    """
    sql = {
        contract: store.con.compile(_lines(of(contract.conform(ibis.table(contract.schema, name=_ROWS))), contract.key))
        for contract, of in counts.items()
    }
    files = [
        (contract, slice_id, file)
        for contract in counts
        for slice_id in slices[contract]
        for file in store.files(contract, billing_year, [slice_id])
    ]

    def one(of: tuple[Contract, str, Path]) -> HashedSlice:
        contract, slice_id, file = of
        file_hash = content_hash_of(file)
        before = known.get(f"{contract.name}/{slice_id}")
        if before and before.file_hash == file_hash:
            return before
        own: duckdb.DuckDBPyConnection
        with store.con.con.cursor() as own:
            path = literal(file).replace("'", "''")
            own.execute(f"CREATE TEMP VIEW {_ROWS} AS FROM read_parquet('{path}')")
            return HashedSlice(file_hash, *_hash_of(own.execute(sql[contract]).to_arrow_reader(_ROWS_AT_A_TIME)))

    ((threads,),) = store.con.raw_sql("SELECT current_setting('threads')").fetchall()
    # The largest first, so that none is left alone at the end.
    files.sort(key=lambda of: of[2].stat().st_size, reverse=True)
    found: dict[Contract, dict[str, HashedSlice]] = {contract: {} for contract in counts}
    with ThreadPoolExecutor(int(threads)) as pool:
        for (contract, slice_id, _), hashed in zip(files, pool.map(one, files), strict=True):
            found[contract][slice_id] = hashed
    return found


def known_slices(path: Path) -> dict[str, HashedSlice]:
    """What ``keep_slices`` wrote there; nothing if that is not there, or of other code."""
    kept = recalled(path)
    return {n: HashedSlice(*of) for n, of in kept["slices"].items()} if kept.get("code") == code_version() else {}


def keep_slices(path: Path, found: Mapping[Contract, Mapping[str, HashedSlice]]) -> None:
    """Keep the hashes for the next run."""
    slices = {f"{contract.name}/{name}": astuple(one) for contract, of in found.items() for name, one in of.items()}
    remember(path, {"code": code_version(), "slices": slices})
