"""A release goes into a real PostgreSQL server: whole, once, with the totals that were released, or not at all."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from releasable import YEAR
from whole_runs import annual_billing

from pipelines.release.postgres import NotLoaded, load
from pipelines.release.releases import NotAsReleased
from validations.workspace import MARKER, Workspace

UPDATES = "annual_billing.winter_average_updates"
EVERYTHING = (
    "SELECT (SELECT string_agg(r::text || r.xmin, ';' ORDER BY version) FROM annual_billing.releases r), "
    f"(SELECT string_agg(u::text || u.xmin, ';' ORDER BY version, service_id) FROM {UPDATES} u)"
)
SECRET = "not-to-be-told"


def program(name: str) -> str:
    """A program of PostgreSQL; distributions keep it off the path."""
    found = [shutil.which(name), *sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)]
    if not any(found):
        if os.environ.get("ANNUAL_BILLING_REQUIRE_POSTGRES"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed: apt-get install postgresql")
    return next(path for path in found if path)


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """A server that listens on a socket in its folder only."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    # PostgreSQL refuses to be run by root.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, user["user"], user["group"])

    def run(*command: str) -> None:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **user)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    try:
        run(initdb, "--pgdata", "data", "--username", "office", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        run(
            pg_ctl,
            "--pgdata",
            "data",
            "--wait",
            "--log",
            "log",
            "--options",
            f"-c listen_addresses='' -k {folder}",
            "start",
        )
        try:
            yield folder
        finally:
            run(pg_ctl, "--pgdata", "data", "--wait", "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(server: Path, request: pytest.FixtureRequest) -> str:
    """How to reach a database of the test's own."""
    name = f"of_{abs(hash(request.node.name))}"
    with psycopg.connect(f"host={server} user=office dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"host={server} user=office password={SECRET} dbname={name}"


@pytest.fixture
def workspace(released: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(released, tmp_path / "ws", symlinks=True)))


def asked(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


def next_version(workspace: Workspace, **changed: object) -> None:
    """The first version once more as the second, other words in its marker."""
    folder = workspace.bill_files / str(YEAR)
    shutil.copytree(folder / "v1", folder / "v2")
    marker = json.loads((folder / "v2" / MARKER).read_bytes()) | {"version": 2, "digest": "2" * 64} | changed
    (folder / "v2" / MARKER).write_text(json.dumps(marker), encoding="utf-8")


def test_a_release_is_imported_whole_with_its_control_totals_and_importing_again_changes_nothing(
    workspace: Workspace, database: str
) -> None:
    first = annual_billing("load", YEAR, "--to", database, "--workspace", workspace.folder)
    assert first.code == 0, first.err
    assert first.out.startswith(f"Imported: v1 of {YEAR}: 8 sewer services")
    folder = workspace.bill_files / str(YEAR) / "v1"
    marker = json.loads((folder / MARKER).read_bytes())
    totals = asked(
        database,
        "SELECT billing_agency, count(*)::int, (sum(old_winter_average) * 1000)::bigint, (sum(new_winter_average) * 1000)::bigint, "
        f"(sum(preview_amount) * 100)::bigint FROM {UPDATES} GROUP BY 1 ORDER BY 1",
    )
    assert totals == [tuple(one.values()) for one in marker["agencies"]]
    with next(folder.glob("*.csv")).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    there = asked(
        database, f"SELECT service_id, new_winter_average, effective_date::text, source_code FROM {UPDATES} ORDER BY 1"
    )
    assert there == [
        (r["service_id"], Decimal(r["new_winter_average"]), r["effective_date"], r["source_code"]) for r in rows
    ]
    before = asked(database, EVERYTHING)
    again = annual_billing("load", YEAR, "--to", database, "--workspace", workspace.folder)
    assert (again.code, again.out.split(":")[0]) == (0, "There already")
    assert asked(database, EVERYTHING) == before


def test_the_sql_that_a_release_carries_makes_the_tables_that_the_loader_fills(
    workspace: Workspace, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute((workspace.bill_files / str(YEAR) / "v1" / "postgres" / "schema.sql").read_bytes())
    assert load(workspace, YEAR, database).is_new
    comments = asked(
        database,
        "SELECT count(*) FILTER (WHERE col_description(attrelid, attnum) IS NULL) FROM pg_attribute "
        f"WHERE attrelid = '{UPDATES}'::regclass AND attnum > 2",
    )
    assert comments == [(0,)]


def test_versions_follow_each_other_and_the_view_shows_the_last(workspace: Workspace, database: str) -> None:
    next_version(workspace)
    assert load(workspace, YEAR, database, version=1).released.version == 1
    assert load(workspace, YEAR, database).released.version == 2
    assert asked(database, f"SELECT version, count(*) FROM {UPDATES} GROUP BY 1 ORDER BY 1") == [(1, 8), (2, 8)]
    in_force = asked(database, "SELECT DISTINCT version FROM annual_billing.winter_averages_in_force")
    assert in_force == [(2,)]
    assert not load(workspace, YEAR, database, version=1).is_new


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("older", "v1 is older"),
        ("another digest", "of another workspace"),
        ("another utility", "of another utility"),
        ("a changed file", "sewer_utility.csv is not as it was released"),
        ("totals", "other control totals than v2"),
        ("rows in the database", "rows were changed there"),
        ("no such version", "has no version 7; allowed: 1, 2"),
        ("a value that the table refuses", "PostgreSQL refused (23514"),
    ],
)
def test_what_is_not_the_next_whole_release_is_refused_and_the_database_stays_as_it_was(
    workspace: Workspace, database: str, spoil: str, says: str
) -> None:
    next_version(workspace)
    folder = workspace.bill_files / str(YEAR) / "v2"
    marker = json.loads((folder / MARKER).read_bytes())
    version = 2
    load(workspace, YEAR, database, version=2 if spoil in ("older", "another digest") else 1)
    if spoil == "older":
        version = 1
    elif spoil == "another digest":
        marker["digest"] = "3" * 64
    elif spoil == "another utility":
        marker["utility"] = "Elsewhere"
    elif spoil == "totals":
        marker["agencies"][0]["new_average_thousandths"] += 1
    elif spoil == "rows in the database":
        version = 1
        with psycopg.connect(database) as connection:
            connection.execute(
                f"UPDATE {UPDATES} SET new_winter_average = new_winter_average + 0.001 WHERE service_id = 'S03'"
            )
    elif spoil == "no such version":
        version = 7
    elif spoil in ("a changed file", "a value that the table refuses"):
        path = folder / "sewer_utility.csv"
        path.write_bytes(path.read_bytes().replace(b",ccf,", b",cfc,", 1))
        if spoil == "a value that the table refuses":
            file = next(one for one in marker["files"] if one["file"] == path.name)
            file["content_hash"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / MARKER).write_text(json.dumps(marker), encoding="utf-8")
    before = asked(database, EVERYTHING)
    with pytest.raises((NotLoaded, NotAsReleased)) as refused:
        load(workspace, YEAR, database, version)
    assert says in str(refused.value)
    assert asked(database, EVERYTHING) == before


def test_no_message_repeats_how_to_reach_the_database(workspace: Workspace) -> None:
    told = annual_billing(
        "load", YEAR, "--to", f"host=127.0.0.1 port=1 password={SECRET}", "--workspace", workspace.folder
    )
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("PostgreSQL refused (no connection), so nothing was imported.")
    wrong = annual_billing("load", YEAR, "--to", f"{SECRET} is no address", "--workspace", workspace.folder)
    assert wrong.code == 1
    assert SECRET not in told.err + wrong.err
