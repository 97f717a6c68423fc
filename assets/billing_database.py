"""``billing.duckdb``: every table of every year, for whoever reads them.

Belongs here: building the database; names, types and comments of columns.
Does not belong here: making any table, putting the database in the place of the old one (``publication``).

Whole numbers become decimals here, under the name without the unit's ending, and every table and column carries a comment
with its meaning and unit.

To write a table takes ten times as long as to read it. So a run takes over what the last one published, and replaces the rows of those
slices that have changed since; it builds the database anew where anything is not as that run left it.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq

from assets.bill_files import drafts_made, remove_other_drafts
from assets.contents import record_run
from assets.literal_path import literal
from assets.publication import last_publication, link_drafts, next_publication
from assets.stage import PER_DISTRICT, Session, slices_of, version_of, years_of
from assets.standing_questions import create_views, sql_of_views
from assets.store import ROWS_OF_A_GROUP, Store
from rate_tables.exact import scale_of
from validations.contract import Contract
from validations.tables import PUBLISHED, SEWER_SERVICES
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


_MADE_FROM = "made_from.json"
_MOST_REPLACED = 0.5
"""Share of all rows: what was replaced goes on taking room in the file, so it is built anew before it would hold more of that."""
_PART_BYTES = 16 * 2**20
_NAME = "billing"
"""What DuckDB calls a database that lies in ``billing.duckdb``: views keep this name."""


@dataclass(frozen=True)
class _MadeFrom:
    """What a published database was made from, kept beside it.

    ``contents``: "table/year/slice" -> content of the slice. ``replaced``: rows replaced since it was built anew. ``file_hash``: of the file's parts.
    """

    version: str
    contents: dict[str, str]
    replaced: int = 0
    file_hash: str = ""


def hash_of_parts(store: Store, file: Path) -> str:
    """SHA-256 of the hashes of a file's parts, as many of which are looked at at once as the run has threads."""

    def one(begin: int) -> bytes:
        with file.open("rb") as opened:
            opened.seek(begin)
            return hashlib.sha256(opened.read(_PART_BYTES)).digest()

    with ThreadPoolExecutor(_threads(store)) as pool:
        return hashlib.sha256(b"".join(pool.map(one, range(0, file.stat().st_size, _PART_BYTES)))).hexdigest()


def _threads(store: Store) -> int:
    return int(_setting(store, "threads"))


def _setting(store: Store, name: str) -> str:
    """What the run's own connection is kept to."""
    ((value,),) = store.con.raw_sql(f"SELECT current_setting('{name}')").fetchall()
    return str(value)


class _NotAsRecorded(Exception):
    """The last database cannot be taken over."""


def _connected(store: Store, database: Path) -> duckdb.DuckDBPyConnection:
    """A connection to a database, new or not, with the limits of the run's own but for one thread."""
    # One thread writes the rows of a slice together, so that those of a changed one can be taken out without writing others again.
    con = duckdb.connect(config={"threads": 1, "memory_limit": _setting(store, "memory_limit")})
    # The order of rows is no part of a table, and keeping it takes half of the time again.
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET enable_progress_bar = false")
    # All is written to the file once, at the end: nobody reads it before.
    con.execute("SET checkpoint_threshold = '1TB'")
    con.execute("SET auto_checkpoint_skip_wal_threshold = 1000000000000")
    con.execute(f"ATTACH {_quoted(str(database))} AS {_NAME} (ROW_GROUP_SIZE {ROWS_OF_A_GROUP})")
    con.execute(f"USE {_NAME}")
    return con


def _done(
    store: Store, con: duckdb.DuckDBPyConnection, tasks: Iterable[Callable[[duckdb.DuckDBPyConnection], None]]
) -> None:
    """Do every task on a connection of its own, as many at once as the run has threads."""

    def one(task: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        with con.cursor() as own:
            own.execute(f"USE {_NAME}")
            task(own)

    with ThreadPoolExecutor(_threads(store)) as pool:
        for _ in pool.map(one, tasks):
            pass


def _replace(
    con: duckdb.DuckDBPyConnection,
    session: Session,
    contract: Contract,
    year: int,
    changed: set[str],
    *,
    services_stay: bool,
) -> None:
    """Replace the rows of a year that come from the slices ``changed``. _NotAsRecorded if the table then has not as many rows as the store.

    ``services_stay``: the services of the year, and so their slices, are what they were.
    """
    store, slices = session.store, slices_of(contract, session.workspace)
    names = ", ".join(f'"{scale_of(name)[0]}"' for name in contract.columns)
    columns = ", ".join(map(_published_column, contract.columns))
    of_year = f'"{contract.name}" WHERE billing_year = {int(year)}'
    stays = store.files(contract, year, [s for s in slices if s not in changed])
    comes = store.files(contract, year, [s for s in slices if s in changed])
    if not stays:
        goes = "true"
    elif contract.name in PER_DISTRICT or contract.by_district:
        goes = f"district_id IN ({', '.join(map(_quoted, sorted(changed)))})"
    elif services_stay and "service_id" in contract.columns:
        theirs = f"billing_year = {int(year)} AND slice_id IN ({', '.join(map(_quoted, sorted(changed)))})"
        goes = f"service_id IN (SELECT service_id FROM {SEWER_SERVICES.name} WHERE {theirs})"  # noqa: S608
    else:
        # Rows do not say which slice they are of. Those that stay are known by their hash; one kept by mistake shows in the count.
        goes = f"hash({names}) NOT IN (SELECT hash({names}) FROM (SELECT {columns} FROM ({_source(contract, stays)})))"  # noqa: S608
    con.execute(f"DELETE FROM {of_year} AND {goes}")  # noqa: S608
    if comes:
        con.execute(f'INSERT INTO "{contract.name}" SELECT {int(year)}, {columns} FROM ({_source(contract, comes)})')  # noqa: S608
    ((rows,),) = con.execute(f"SELECT count(*) FROM {of_year}").fetchall()  # noqa: S608
    if rows != sum(store.rows(contract, year, s) for s in slices):
        raise _NotAsRecorded


def _take_over(session: Session, database: Path, wanted: _MadeFrom) -> _MadeFrom:
    """Make ``database`` from the last one that was published. _NotAsRecorded or duckdb.Error if that cannot be done."""
    last = last_publication(session.workspace)
    try:
        before = _MadeFrom(**json.loads((last / _MADE_FROM).read_bytes()))
        shutil.copyfile(last / database.name, database)
    except (OSError, ValueError, TypeError) as error:
        raise _NotAsRecorded from error
    if before.version != wanted.version or hash_of_parts(session.store, database) != before.file_hash:
        raise _NotAsRecorded
    changed: dict[tuple[str, int], set[str]] = {}
    for key in {key for key, _ in before.contents.items() ^ wanted.contents.items()}:
        table, year, slice_id = key.split("/")
        changed.setdefault((table, int(year)), set()).add(slice_id)
    contracts = {contract.name: contract for contract in PUBLISHED}
    rows = session.store.rows
    coming = sum(rows(contracts[table], year, s) for (table, year), slices in changed.items() for s in slices)
    everything = sum(
        rows(contracts[table], int(year), s) for table, year, s in (key.split("/") for key in wanted.contents)
    )
    replaced = before.replaced + coming
    if replaced > _MOST_REPLACED * everything:
        raise _NotAsRecorded
    con = _connected(session.store, database)
    try:
        tasks = []
        for (table, of_year), slices in changed.items():
            about: dict[str, Any] = {"contract": contracts[table], "year": of_year, "changed": slices}
            services_stay = (SEWER_SERVICES.name, of_year) not in changed
            tasks.append(partial(_replace, session=session, **about, services_stay=services_stay))
        _done(session.store, con, tasks)
        con.execute("CHECKPOINT")
    finally:
        con.close()
    return replace(wanted, replaced=replaced)


def _build(session: Session, database: Path) -> None:
    """Build ``database`` from the store alone."""
    workspace, store = session.workspace, session.store
    con = _connected(store, database)
    try:
        tasks = []
        for contract in PUBLISHED:
            slices = slices_of(contract, workspace)
            paths = {year: store.files(contract, year, slices) for year in workspace.file.billing_years}
            tasks.append(partial(_create, contract=contract, paths=paths))
        _done(store, con, tasks)
        # Each statement on its own would be written to disk on its own.
        con.execute("BEGIN")
        for contract in PUBLISHED:
            _comment(con, contract)
        create_views(con, workspace)
        con.execute("COMMIT")
        con.execute("CHECKPOINT")
    finally:
        con.close()


def _made_from(session: Session) -> _MadeFrom:
    """What the database has to be made from."""
    workspace, store = session.workspace, session.store
    contents = {
        f"{contract.name}/{year}/{slice_id}": content
        for contract in PUBLISHED
        for year in workspace.file.billing_years
        for slice_id in slices_of(contract, workspace)
        if (content := store.content(contract, year, slice_id)) is not None
    }
    return _MadeFrom(version_of("billing_database", workspace.file.billing_years, sql_of_views(workspace)), contents)


def publish(session: Session) -> dict[str, int]:
    """Make ``billing.duckdb`` from the store, and show it and the drafts of bill files to readers. Returns rows per table."""
    workspace, store = session.workspace, session.store
    years = workspace.file.billing_years
    with next_publication(workspace) as folder:
        database, made_from = folder / workspace.database.name, _made_from(session)
        try:
            made_from = _take_over(session, database, made_from)
        except (_NotAsRecorded, duckdb.Error):
            for leftover in folder.iterdir():
                leftover.unlink()
            _build(session, database)
        about = replace(made_from, file_hash=hash_of_parts(session.store, database))
        (folder / _MADE_FROM).write_text(json.dumps(asdict(about)), encoding="utf-8")
        drafts = {year: drafts_made(workspace, store, year) for year in years}
        link_drafts(workspace, folder, {year: made for year, made in drafts.items() if made})
    for year in years:
        remove_other_drafts(workspace, year)
    return {
        contract.name: sum(store.rows(contract, year, s) for year in years for s in slices_of(contract, workspace))
        for contract in PUBLISHED
    }


def unlike_store(session: Session, billing_year: int) -> list[str]:
    """Tables of ``billing.duckdb`` whose rows of the year are not those of the store. duckdb.Error if it cannot be read."""
    differing = []
    con = duckdb.connect(str(session.workspace.database), read_only=True)
    try:
        for setting in ("threads", "memory_limit"):
            con.execute(f"SET {setting} = '{_setting(session.store, setting)}'")
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
