"""``billing.duckdb``: every table of every year, for whoever reads them.

Belongs here: building the database; names, types and comments of columns.
Does not belong here: making any table, putting the database in the place of the old one (``publication``).

Whole numbers become decimals here, under the name without the unit's ending, and every table and column carries a comment
with its meaning and unit.
"""

from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq

from assets.bill_files import drafts_made, remove_other_drafts
from assets.contents import record_run
from assets.literal_path import literal
from assets.publication import link_drafts, next_publication
from assets.stage import Session, slices_of, years_of
from assets.standing_questions import create_views
from assets.store import Store
from rate_tables.exact import scale_of
from validations.contract import Contract
from validations.tables import PUBLISHED
from validations.workspace import Workspace

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


def _comment(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Say of the table and of every column what it means, and in which unit."""
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


def _connected(store: Store, database: Path) -> duckdb.DuckDBPyConnection:
    """A connection to a new database, with the limits of the run's own."""
    limits = store.con.raw_sql("SELECT current_setting('threads'), current_setting('memory_limit')").fetchone()
    con = duckdb.connect(str(database), config=dict(zip(("threads", "memory_limit"), limits, strict=True)))
    # The order of rows is no part of a table, and keeping it takes half of the time again.
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET enable_progress_bar = false")
    return con


def publish(session: Session) -> dict[str, int]:
    """Build ``billing.duckdb`` from the store, and show it and the drafts of bill files to readers. Returns rows per table."""
    workspace, store = session.workspace, session.store
    counts = {}
    with next_publication(workspace) as folder:
        con = _connected(store, folder / workspace.database.name)
        try:
            for contract in PUBLISHED:
                slices = slices_of(contract, workspace)
                paths = {year: store.files(contract, year, slices) for year in workspace.file.billing_years}
                _create(con, contract, paths)
                counts[contract.name] = sum(store.rows(contract, year, s) for year in paths for s in slices)
            # Each statement on its own would be written to disk on its own.
            con.execute("BEGIN")
            for contract in PUBLISHED:
                _comment(con, contract)
            create_views(con, workspace)
            con.execute("COMMIT")
            con.execute("CHECKPOINT")
        finally:
            con.close()
        drafts = {year: drafts_made(workspace, store, year) for year in workspace.file.billing_years}
        link_drafts(workspace, folder, {year: made for year, made in drafts.items() if made})
    for year in workspace.file.billing_years:
        remove_other_drafts(workspace, year)
    return counts


def unlike_store(session: Session, billing_year: int) -> list[str]:
    """Tables of ``billing.duckdb`` whose rows of the year are not those of the store. duckdb.Error if it cannot be read."""
    differing = []
    con = duckdb.connect(str(session.workspace.database), read_only=True)
    try:
        for contract in PUBLISHED:
            slices = slices_of(contract, session.workspace)
            files = session.store.files(contract, billing_year, slices)
            names = ", ".join(f'"{scale_of(name)[0]}"' for name in contract.columns)
            made = f"SELECT {', '.join(map(_published_column, contract.columns))} FROM ({_source(contract, files)})"  # noqa: S608
            shown = f'SELECT {names} FROM "{contract.name}" WHERE billing_year = {int(billing_year)}'  # noqa: S608
            # The order of rows is no part of a table, so their hashes are added up.
            sums = [
                con.execute(f"SELECT count(*), sum(hash({names})::HUGEINT) FROM ({rows})").fetchone()  # noqa: S608
                for rows in (made, shown)
            ]
            if sums[0] != sums[1]:
                differing.append(contract.name)
    finally:
        con.close()
    return differing


def billing_database_asset(workspace: Workspace, upstream: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The Dagster asset ``billing_database``, after every table."""

    @dg.asset(
        name="billing_database",
        deps=upstream,
        partitions_def=years_of(workspace),
        group_name="release",
        description="billing.duckdb: every table of every year, with a comment on every column. Built beside the old file "
        "and put in its place in one rename, with the drafts of bill files: whoever reads sees a whole state.",
        owners=[f"team:{workspace.file.owner}"],
        kinds={"duckdb"},
        required_resource_keys={"session"},
    )
    def _billing_database(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        session: Session = context.resources.session
        counts = publish(session)
        record_run(session, int(context.partition_key))
        lines = "\n".join(f"| {name} | {rows:,} |" for name, rows in counts.items())
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(str(session.workspace.database)),
                "tables": dg.MetadataValue.md(f"| table | rows, all years |\n|---|---:|\n{lines}"),
                "dagster/row_count": sum(counts.values()),
            }
        )

    return _billing_database
