"""``billing.duckdb``: every table of every year, for whoever reads them.

Belongs here: building the database beside the old one and putting it in its place; names, types and comments of columns.
Does not belong here: making any table.

Whole numbers become decimals here, under the name without the unit's ending, and every table and column carries a comment
with its meaning and unit. Readers of the old file keep it until they close it.
"""

import os
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq

from assets.literal_path import literal
from assets.stage import OFFICE_SHEETS, Session, all_slices, years_of
from assets.store import WHOLE
from rate_tables.exact import scale_of
from validations.contract import Contract
from validations.tables import PUBLISHED
from validations.workspace import Workspace


def slices_of(contract: Contract, workspace: Workspace) -> list[str]:
    """Every slice that a table can have in the store."""
    return [*all_slices(workspace), *OFFICE_SHEETS.get(contract.name, ()), WHOLE]


_SQL_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "date": "DATE", "boolean": "BOOLEAN"}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _published_column(name: str) -> str:
    published, decimals = scale_of(name)
    if decimals is None:
        return f'"{name}"'
    one = "0." + "0" * (decimals - 1) + "1"
    return f'CAST("{name}"::DECIMAL(18, 0) * {one}::DECIMAL({decimals + 1}, {decimals}) AS DECIMAL(18, {decimals})) AS "{published}"'


# Names of tables and columns in this SQL are those of the contracts, and paths are quoted: nothing comes from a file.


def _source(contract: Contract, files: list[Path]) -> str:
    """SQL of the stored rows; a column that files made by an earlier version do not have is empty, as all are without files."""
    present = set(pq.read_schema(files[0]).names) if files else set()
    absent = [f'NULL::{_SQL_TYPES[str(contract.schema[n])]} AS "{n}"' for n in contract.columns if n not in present]
    if not files:
        return f"SELECT {', '.join(absent)} WHERE false"
    return (
        f"SELECT {', '.join(['*', *absent])} FROM read_parquet([{', '.join(_quoted(literal(file)) for file in files)}])"  # noqa: S608
    )


def _create(con: duckdb.DuckDBPyConnection, contract: Contract, paths: dict[int, list[Path]]) -> None:
    """One table with the rows of every year; without rows if no year has any."""
    columns = ", ".join(_published_column(name) for name in contract.columns)
    years = {year: files for year, files in sorted(paths.items()) if files} or {0: []}
    parts = [
        f"SELECT {year}::INTEGER AS billing_year, {columns} FROM ({_source(contract, files)})"  # noqa: S608
        for year, files in years.items()
    ]
    con.execute(f'CREATE TABLE "{contract.name}" AS ' + " UNION ALL ".join(parts))
    con.execute(f'COMMENT ON TABLE "{contract.name}" IS {_quoted(f"One row per billing year and {contract.row}")}')
    con.execute(f"COMMENT ON COLUMN \"{contract.name}\".billing_year IS 'Annual update effective in this year'")
    for name in contract.columns:
        published, decimals = scale_of(name)
        text = contract.described(name)
        if decimals is not None:
            text = text.replace("ten-thousandths of a dollar", "dollars").replace("cents", "dollars")
            for word in ("thousandths of ", "thousandths", "millionths"):
                text = text.replace(word, "")
            text = text.replace(" []", "")
        con.execute(f'COMMENT ON COLUMN "{contract.name}"."{published}" IS {_quoted(text)}')


def publish(session: Session) -> dict[str, int]:
    """Build ``billing.duckdb`` from the store and put it in place of the old one. Returns rows per table."""
    workspace, store = session.workspace, session.store
    target = workspace.database
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    counts = {}
    try:
        con = duckdb.connect(str(beside))
        try:
            for contract in PUBLISHED:
                paths = {
                    year: [
                        path
                        for path in (store.path(contract, year, s) for s in slices_of(contract, workspace))
                        if path.exists()
                    ]
                    for year in workspace.file.billing_years
                }
                _create(con, contract, paths)
                counts[contract.name] = _count(con, contract.name)
            con.execute("CHECKPOINT")
        finally:
            con.close()
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        _remove_stale_log(target)
        beside.rename(target)
    finally:
        beside.unlink(missing_ok=True)
        Path(f"{beside}.wal").unlink(missing_ok=True)
    return counts


def _remove_stale_log(database: Path) -> None:
    """Remove the write-ahead log of somebody who had opened the old file writable: DuckDB would replay it into the new one."""
    Path(f"{database}.wal").unlink(missing_ok=True)


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row: Any = con.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
    return int(row[0])


def billing_database_asset(workspace: Workspace, upstream: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The Dagster asset ``billing_database``, after every table."""

    @dg.asset(
        name="billing_database",
        deps=upstream,
        partitions_def=years_of(workspace),
        group_name="release",
        description="billing.duckdb: every table of every year, with a comment on every column. Built beside the old file "
        "and put in its place, so whoever reads always sees a whole state.",
        owners=[f"team:{workspace.file.owner}"],
        kinds={"duckdb"},
        required_resource_keys={"session"},
    )
    def _billing_database(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        session: Session = context.resources.session
        counts = publish(session)
        lines = "\n".join(f"| {name} | {rows:,} |" for name, rows in counts.items())
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(str(session.workspace.database)),
                "tables": dg.MetadataValue.md(f"| table | rows, all years |\n|---|---:|\n{lines}"),
                "dagster/row_count": sum(counts.values()),
            }
        )

    return _billing_database
