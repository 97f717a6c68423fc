"""The store: every stage's table as Parquet, one file per table, billing year and slice.

Belongs here: paths, atomic writing, the declared schema, the version of a slice.
Does not belong here: what a table is made from (the stages), Dagster (``pipelines.io_manager``).

A file carries in its own metadata the version of all it was made from, so data and version change in one rename: whoever is killed in between leaves
either the old slice or the new one, never a mixture. It may also carry a hash of its rows: who reads a slice that was made again and came out the same
has nothing to do.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow.parquet as pq

from assets.durable import whole_file
from assets.kept import PREFIX, in_any_order, let_go, named_table
from assets.literal_path import literal
from validations.contract import Contract

WHOLE = "all"
"""The slice of a table that is not sliced."""
OF_SLICE = "of_slice"
"""The column that says to which slice a row belongs, of a table with the rows of several."""

ROWS_OF_A_GROUP = 15 * 2048
"""DuckDB reads a file with as many cores as it has groups of rows: a slice has a hundred thousand, and its own measure is 122,880."""
_VALUES_OF_A_DICTIONARY = 1_000
"""A column with more values than this in a group of rows is written as it stands: DuckDB gives up on a dictionary after a fifth of the rows, and
collecting that many for nothing takes a fifth of the time to write. Files are a tenth larger at most."""


NO_ROWS = "0-0-0"
"""The hash of no rows."""


_HASH = "format('{}-{:x}-{:x}', count(*), coalesce(sum(of_row::HUGEINT), 0), coalesce(bit_xor(of_row), 0))"
"""SQL of the hash of rows, whatever their order, from ``of_row``: DuckDB's own of 64 bits in two sums. It tells whether a table has changed, and
proves nothing to anybody."""


def _hashed(contract: Contract, *beside: str) -> str:
    """SQL of the rows that were kept to be written, as ``of_row``, the hash of a row, and the columns ``beside``."""
    names = ", ".join(f'"{name}"' for name in contract.columns)
    return f"(SELECT {', '.join((*beside, f'hash({names}) AS of_row'))} FROM {PREFIX}written)"  # noqa: S608 - names of ours


@dataclass(frozen=True)
class Footer:
    """What a slice's file says of itself."""

    version: str | None
    content: str | None
    rows: int


_Found = TypeVar("_Found")


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
        self._footers: dict[Path, tuple[tuple[int, int, int], Footer]] = {}
        self._views: dict[tuple[str, ...], str] = {}
        self._found: dict[tuple[object, ...], Any] = {}
        self._cluster = cluster

    def path(self, contract: Contract, year: int, slice_id: str) -> Path:
        return self.folder / contract.name / str(year) / f"{slice_id}.parquet"

    def is_there(self, path: Path) -> bool:
        """Whether the store has this file; what is there can be read at ``path``."""
        return path.exists()

    def slices(self, contract: Contract, year: int) -> list[str]:
        """Slices of the table that the store has, in order."""
        return sorted(
            n.removesuffix(".parquet")
            for n in self._names(contract.name, year)
            if not n.startswith(".") and n.endswith(".parquet")
        )

    def _names(self, contract_name: str, year: int) -> list[str]:
        return [path.name for path in (self.folder / contract_name / str(year)).glob("*")]

    def files(self, contract: Contract, year: int, slices: Iterable[str]) -> list[Path]:
        """Files of those of the slices that the store has."""
        return [path for path in (self.path(contract, year, s) for s in slices) if self.is_there(path)]

    def drop(self, contract: Contract, year: int, slice_id: str) -> None:
        """Remove a slice that is no part of the table any more."""
        self.path(contract, year, slice_id).unlink(missing_ok=True)

    def _in_place(self, beside: Path, path: Path) -> None:
        """Before a file that is written takes its place."""

    def _placed(self, path: Path) -> None:
        """After it has taken it."""

    def _footer(self, contract: Contract, year: int, slice_id: str) -> Footer | None:
        """What the slice's file says of itself, read once for as long as the file is the same; None if it is not there."""
        path = self.path(contract, year, slice_id)
        if not self.is_there(path):
            return None
        there = path.stat()
        state = (there.st_ino, there.st_mtime_ns, there.st_size)
        known = self._footers.get(path)
        if known is None or known[0] != state:
            about = pq.read_metadata(path)
            said = {
                key: value.decode() for key, value in (about.metadata or {}).items() if key in (b"version", b"content")
            }
            known = (state, Footer(said.get(b"version") or None, said.get(b"content") or None, about.num_rows))
            self._footers[path] = known
        return known[1]

    def version(self, contract: Contract, year: int, slice_id: str) -> str | None:
        """Version of all that the slice was made from, or None if it is not there."""
        footer = self._footer(contract, year, slice_id)
        return footer.version if footer else None

    def content(self, contract: Contract, year: int, slice_id: str) -> str | None:
        """Hash of the slice's rows if it has one, else its version; None if it is not there. What is made from a slice depends on this."""
        footer = self._footer(contract, year, slice_id)
        return (footer.content or footer.version) if footer else None

    def content_by_slice(self, contract: Contract, year: int, services: ir.Table) -> dict[str, str]:
        """Slice -> hash of the rows that are about its services, of a table that is not sliced. Slices without such rows are not named.

        ``services``: a table of the store with the slice of every service.
        """
        if not self.rows(contract, year, WHOLE):
            return {}
        names = ", ".join(f'rows."{name}"' for name in contract.columns)
        rows = self.read(contract, year, [WHOLE])
        of_rows = (
            f'SELECT slice_id, hash({names}) AS of_row FROM "{rows.get_name()}" AS rows '  # noqa: S608 - names of ours
            f'JOIN "{services.get_name()}" AS services ON rows.service_id = services.service_id'
        )
        found = self.con.raw_sql(f"SELECT slice_id, {_HASH} FROM ({of_rows}) GROUP BY slice_id")  # noqa: S608
        return dict(found.fetchall())

    def rows(self, contract: Contract, year: int, slice_id: str) -> int:
        footer = self._footer(contract, year, slice_id)
        return footer.rows if footer else 0

    def read(self, contract: Contract, year: int, slices: Iterable[str]) -> ir.Table:
        """The slices as one table; those that are not there have no rows."""
        paths = tuple(map(literal, self.files(contract, year, slices)))
        if not paths:
            return contract.empty()
        if paths not in self._views:
            name = f"stored_{uuid.uuid4().hex}"
            files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
            self.con.raw_sql(f'CREATE TEMP VIEW "{name}" AS FROM read_parquet([{files}])')
            self._views[paths] = name
        return named_table(self.con, self._views[paths], contract.schema)

    def to_compute(self, contract: Contract, year: int, slices: Iterable[str]) -> ir.Table:
        """The slices as one table of the engine that stages are computed on."""
        paths = self.files(contract, year, slices)
        if self._cluster is None or not paths:
            return self.read(contract, year, slices)
        return self._cluster.read_store(paths, contract.schema)

    def of_accounts_to_compute(
        self, contract: Contract, year: int, slices: Iterable[str], accounts: ir.Table, content: str
    ) -> ir.Table:
        """The same, of which nobody needs more than the rows of ``accounts`` (district_id, district_account). DuckDB looks for them once: they
        are few, and to find them it goes over all rows. ``content``: what these slices and the accounts hold."""
        if self._cluster is not None or not self.files(contract, year, slices):
            return self.to_compute(contract, year, slices)

        def found() -> ir.Table:
            rows = self.read(contract, year, slices).semi_join(accounts, ["district_id", "district_account"])
            return self.con.create_table(f"of_accounts_{uuid.uuid4().hex}", rows, temp=True)

        return self.once(("rows of accounts", contract.name, year, content), found)

    def once(self, asked: tuple[object, ...], find: Callable[[], _Found]) -> _Found:
        """What was found of the store's rows before, for as long as it is open. ``asked`` names what is asked and what the rows hold."""
        if asked not in self._found:
            self._found[asked] = find()
        return self._found[asked]  # type: ignore[no-any-return]

    def write(
        self, contract: Contract, year: int, slice_id: str, table: ir.Table, version: str, *, hashes_rows: bool = False
    ) -> int:
        """Write a slice whole, or not at all. Returns its rows. TypeError if the file's types are not the declared ones.

        ``hashes_rows``: keep the hash of its rows with it; they are then computed before they are written.
        """
        target = self.path(contract, year, slice_id)
        try:
            with self._here(contract.conform(table), target) as rows:
                if not hashes_rows:
                    return self._write(contract, target, rows, {"version": version})
                with in_any_order(self.con):
                    kept = self.con.create_table(f"{PREFIX}written", rows, temp=True)
                    ((content,),) = self.con.raw_sql(f"SELECT {_HASH} FROM {_hashed(contract)}").fetchall()  # noqa: S608 - names of ours
                    return self._write(contract, target, kept, {"version": version, "content": content})
        finally:
            let_go(self.con)

    def write_together(self, contract: Contract, year: int, table: ir.Table, versions: Mapping[str, str]) -> None:
        """Write the slices of a table with the column OF_SLICE, each whole or not at all, with the hash of its rows.

        ``versions``: of each slice; one without rows is written too. Errors: as for ``write``; ValueError if a row is of none of them.
        """
        name, one = f"{PREFIX}written", f"{PREFIX}of_slice"
        try:
            with (
                self._here(contract.conform(table, OF_SLICE), self.path(contract, year, "together")) as rows,
                in_any_order(self.con),
            ):
                self.con.create_table(name, rows, temp=True)
                hashes = dict(
                    self.con.raw_sql(
                        f"SELECT {OF_SLICE}, {_HASH} FROM {_hashed(contract, OF_SLICE)} GROUP BY {OF_SLICE}"  # noqa: S608 - names of ours
                    ).fetchall()
                )
                if stray := hashes.keys() - versions.keys():
                    raise ValueError(f"table {contract.name}: rows of {stray}, which are not made together here")
                for slice_id, version in versions.items():
                    quoted = slice_id.replace("'", "''")
                    self.con.raw_sql(
                        f"CREATE OR REPLACE TEMP VIEW {one} AS SELECT * EXCLUDE ({OF_SLICE}) FROM {name} WHERE {OF_SLICE} = '{quoted}'"  # noqa: S608
                    )
                    about = {"version": version, "content": hashes.get(slice_id, NO_ROWS)}
                    of_slice = named_table(self.con, one, contract.schema)
                    self._write(contract, self.path(contract, year, slice_id), of_slice, about)
        finally:
            let_go(self.con)

    def _write(self, contract: Contract, target: Path, rows: ir.Table, about: dict[str, str]) -> int:
        with whole_file(target) as beside:
            self.con.to_parquet(
                rows,
                beside,
                KV_METADATA=about,
                COMPRESSION="zstd",
                ROW_GROUP_SIZE=ROWS_OF_A_GROUP,
                DICTIONARY_SIZE_LIMIT=_VALUES_OF_A_DICTIONARY,
                WRITE_BLOOM_FILTER=False,
            )
            written = ibis.Schema.from_pyarrow(pq.read_schema(beside))
            for name, declared in contract.schema.items():
                if written[name].copy(nullable=True) != declared.copy(nullable=True):
                    raise TypeError(
                        f"table {contract.name}: {name} was written as {written[name]}, declared {declared}"
                    )
            written_rows = int(pq.read_metadata(beside).num_rows)
            self._in_place(beside, target)
        self._placed(target)
        return written_rows

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

    def content(self, slice_id: str | None = None) -> str:
        """What the slice (or all of them) holds."""
        chosen = [slice_id] if slice_id else self.slices
        return "+".join(self.store.content(self.contract, self.year, s) or "absent" for s in chosen)
