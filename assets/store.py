"""The store: every stage's table as Parquet, one file per table, billing year and slice.

Belongs here: paths, atomic writing, the declared schema, the version of a slice.
Does not belong here: what a table is made from (the stages), Dagster (``pipelines.io_manager``).

A file carries the version of all it was made from in its own metadata, so data and version change in one rename: whoever is
killed in between leaves either the old slice or the new one, never a mixture.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow.parquet as pq

from assets.durable import whole_file
from assets.kept import let_go, named_table
from assets.literal_path import literal
from validations.contract import Contract

WHOLE = "all"
"""The slice of a table that is not sliced."""


class Cluster(Protocol):
    """An engine beside DuckDB that stages are computed on."""

    def read_store(self, paths: list[Path], schema: ibis.Schema) -> ir.Table:
        """These files of the store as one table."""

    def write_folder(self, table: ir.Table, folder: Path) -> None:
        """The table's rows as Parquet files in ``folder``, with exactly the table's types; nothing is kept of how it was made."""


class Store:
    """Parquet tables below one folder, read and written through one DuckDB connection."""

    def __init__(self, folder: Path, con: Any, cluster: Cluster | None = None) -> None:
        """``cluster``: what stages are computed on, where that is not DuckDB."""
        self.folder = folder
        self.con = con
        self._cluster = cluster

    def path(self, contract: Contract, year: int, slice_id: str) -> Path:
        return self.folder / contract.name / str(year) / f"{slice_id}.parquet"

    def version(self, contract: Contract, year: int, slice_id: str) -> str | None:
        """Version of all that the slice was made from, or None if it is not there."""
        path = self.path(contract, year, slice_id)
        if not path.exists():
            return None
        metadata = pq.read_metadata(path).metadata or {}
        return metadata.get(b"version", b"").decode() or None

    def rows(self, contract: Contract, year: int, slice_id: str) -> int:
        path = self.path(contract, year, slice_id)
        return pq.read_metadata(path).num_rows if path.exists() else 0

    def read(self, contract: Contract, year: int, slices: Iterable[str]) -> ir.Table:
        """The slices as one table; those that are not there have no rows."""
        paths = [literal(p) for p in (self.path(contract, year, s) for s in slices) if p.exists()]
        if not paths:
            return contract.empty()
        name = f"stored_{uuid.uuid4().hex}"
        files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        self.con.raw_sql(f'CREATE TEMP VIEW "{name}" AS FROM read_parquet([{files}])')
        return named_table(self.con, name, contract.schema)

    def to_compute(self, contract: Contract, year: int, slices: Iterable[str]) -> ir.Table:
        """The slices as one table of the engine that stages are computed on."""
        paths = [p for p in (self.path(contract, year, s) for s in slices) if p.exists()]
        if self._cluster is None or not paths:
            return self.read(contract, year, slices)
        return self._cluster.read_store(paths, contract.schema)

    def write(self, contract: Contract, year: int, slice_id: str, table: ir.Table, version: str) -> int:
        """Write a slice whole, or not at all. Returns its rows. TypeError if the file's types are not the declared ones."""
        target = self.path(contract, year, slice_id)
        try:
            with whole_file(target) as beside, self._here(contract.conform(table), target) as rows:
                self.con.to_parquet(rows, beside, KV_METADATA={"version": version}, COMPRESSION="zstd")
                written = ibis.Schema.from_pyarrow(pq.read_schema(beside))
                for name, declared in contract.schema.items():
                    if written[name].copy(nullable=True) != declared.copy(nullable=True):
                        raise TypeError(
                            f"table {contract.name}: {name} was written as {written[name]}, declared {declared}"
                        )
                return int(pq.read_metadata(beside).num_rows)
        finally:
            let_go(self.con)

    @contextmanager
    def _here(self, table: ir.Table, target: Path) -> Iterator[ir.Table]:
        """A table of DuckDB with the rows of ``table``: what a cluster computes lies in a folder beside the slice until it is written."""
        if self._cluster is None or {t.source.name for t in table.op().find(ops.DatabaseTable)} <= {self.con.name}:
            yield table
            return
        folder = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            self._cluster.write_folder(table, folder)
            name = f"computed_{uuid.uuid4().hex}"
            files = (literal(folder) + "/*.parquet").replace("'", "''")
            self.con.raw_sql(f"CREATE TEMP VIEW \"{name}\" AS FROM read_parquet('{files}')")
            yield named_table(self.con, name, table.schema())
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Stored:
    """A table of one billing year as the store holds it: what a stage is given for each of its inputs."""

    store: Store
    contract: Contract
    year: int
    slices: tuple[str, ...]

    def read(self, slice_id: str | None = None) -> ir.Table:
        """One slice, or all of them as one table."""
        return self.store.read(self.contract, self.year, [slice_id] if slice_id else self.slices)

    def to_compute(self, slice_id: str | None = None) -> ir.Table:
        """The same as a table of the engine that stages are computed on."""
        return self.store.to_compute(self.contract, self.year, [slice_id] if slice_id else self.slices)

    def content_version(self) -> str:
        """Hash of the rows, in order of the key: for a small table."""
        rows = self.store.con.to_pyarrow(self.read().order_by(self.contract.key)).to_pylist()
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def version(self, slice_id: str | None = None) -> str:
        """What the slice (or all of them) was made from."""
        chosen = [slice_id] if slice_id else self.slices
        return "+".join(self.store.version(self.contract, self.year, s) or "absent" for s in chosen)
