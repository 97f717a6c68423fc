"""Importing a release into PostgreSQL: whole or not at all, held against its control totals, once.

Belongs here: the loader. Does not belong here: the tables it fills (``postgres_schema``), what the billing system does with them.

The connection string may hold a password: no message repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.release.postgres_schema import schema_sql
from pipelines.release.releases import Released, chosen_version, posted_files
from rate_tables.exact import scale_of
from validations.tables import POSTED_AVERAGES
from validations.workspace import Workspace

_LOCK = 0x616E6E75616C
"""Imports of any release into one database wait for each other."""
_WAIT_SECONDS = 20
_PIECE_BYTES = 1 << 20
_COLUMNS = [scale_of(name)[0] for name in POSTED_AVERAGES.columns]


class NotLoaded(Exception):
    """Nothing was imported, and the database is as it was; the message says why and what to do."""


@dataclass(frozen=True)
class Loaded:
    """A release that the database holds whole. ``is_new`` is false where it held it before."""

    released: Released
    is_new: bool
    services: int


def load(workspace: Workspace, billing_year: int, to: str, version: int | None = None) -> Loaded:
    """Import a version (the last one if none is named) into the database that ``to`` names, in one transaction.

    A version that is there already changes nothing. Errors: NotLoaded; NotAsReleased.
    """
    try:
        import psycopg
    except ImportError:
        raise NotLoaded("The loader is not installed; run: pip install 'annual-billing[postgres]'") from None

    released = chosen_version(workspace, billing_year, version)
    files = posted_files(released)
    try:
        with psycopg.connect(to, connect_timeout=_WAIT_SECONDS) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            is_new = not _is_there(cursor, released)
            if is_new:
                cursor.execute(schema_sql().encode())
                _refuse_unless_next(cursor, released)
                _import(cursor, released, files)
            _compare(cursor, released, is_new)
    except psycopg.Error as error:
        said = error.diag.message_primary
        why = f"{error.sqlstate}: {said}" if error.sqlstate and said else "no connection"
        raise NotLoaded(f"PostgreSQL refused ({why}), so nothing was imported. Mend that and load again.") from None
    return Loaded(released, is_new, sum(int(one["services"]) for one in released.marker["agencies"]))


def _is_there(cursor: Any, released: Released) -> bool:
    cursor.execute("SELECT to_regclass(%s)", ("annual_billing.releases",))
    if cursor.fetchone()[0] is None:
        return False
    marker = released.marker
    cursor.execute(
        "SELECT digest FROM annual_billing.releases WHERE billing_year = %s AND version = %s AND utility = %s",
        (marker["billing_year"], released.version, marker["utility"]),
    )
    found = cursor.fetchone()
    if found and found[0] != marker["digest"]:
        raise NotLoaded(
            f"The database holds another v{released.version} of {marker['billing_year']}, with another hash: it is of another workspace. "
            "Name the right database."
        )
    return found is not None


def _refuse_unless_next(cursor: Any, released: Released) -> None:
    marker = released.marker
    cursor.execute("SELECT utility FROM annual_billing.releases WHERE utility <> %s LIMIT 1", (marker["utility"],))
    if cursor.fetchone():
        raise NotLoaded("The database holds releases of another utility. Name the right database.")
    cursor.execute(
        "SELECT max(version) FROM annual_billing.releases WHERE billing_year = %s", (marker["billing_year"],)
    )
    (latest,) = cursor.fetchone()
    if latest is not None and latest > released.version:
        raise NotLoaded(
            f"The database holds v{latest} of {marker['billing_year']}, and v{released.version} is older, so nothing was imported."
        )


def _import(cursor: Any, released: Released, files: list[Path]) -> None:
    from psycopg import sql

    marker = released.marker
    of_version = (marker["billing_year"], released.version)
    cursor.execute(
        "INSERT INTO annual_billing.releases (billing_year, version, utility, digest, effective_date, effective_means) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        (*of_version, marker["utility"], marker["digest"], marker["effective_date"], marker["effective_means"]),
    )
    table, columns = (
        sql.Identifier("annual_billing", "winter_average_updates"),
        sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)),
    )
    # The files name no version: they go into a table beside, and from there in with that of their marker.
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE posted ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(columns, table)
    )
    copy = sql.SQL("COPY posted ({}) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8')").format(columns)
    for path in files:
        with path.open("rb") as file, cursor.copy(copy) as into:
            while piece := file.read(_PIECE_BYTES):
                into.write(piece)
    cursor.execute(
        sql.SQL("INSERT INTO {0} (billing_year, version, {1}) SELECT %s, %s, {1} FROM posted").format(table, columns),
        of_version,
    )


def _compare(cursor: Any, released: Released, is_new: bool) -> None:
    """Hold what the database has against the control totals of the release. NotLoaded if they differ."""
    cursor.execute(
        "SELECT billing_agency, count(*), coalesce(sum(old_winter_average), 0), sum(new_winter_average), coalesce(sum(preview_amount), 0) "
        "FROM annual_billing.winter_average_updates WHERE billing_year = %s AND version = %s GROUP BY 1",
        (released.marker["billing_year"], released.version),
    )
    there = {row[0]: tuple(row[1:]) for row in cursor.fetchall()}
    stated = {
        one["billing_agency"]: (
            one["services"], Decimal(one["old_average_thousandths"]).scaleb(-3), Decimal(one["new_average_thousandths"]).scaleb(-3),
            Decimal(one["preview_amount_cents"]).scaleb(-2),
        )
        for one in released.marker["agencies"]
    }  # fmt: skip
    wrong = sorted(agency for agency in there.keys() | stated.keys() if there.get(agency) != stated.get(agency))
    if wrong:
        whose = "so nothing was imported" if is_new else "so rows were changed there since it was imported"
        raise NotLoaded(
            f"What the database holds of {', '.join(wrong)} has other control totals than v{released.version}, {whose}."
        )
