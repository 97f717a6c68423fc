"""``billing.duckdb``: what is published of the store.

Belongs here: building it from slices of several years.
Does not belong here: whole runs (``test_annual_update``).
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
from whole_runs import committed_sample

from assets.billing_database import publish
from assets.stage import Session
from assets.store import WHOLE, Store
from validations.contract import Contract
from validations.tables import CURRENT_AVERAGES
from validations.workspace import Workspace

ROW = {"service_id": "S1", "winter_average_thousandths": 7_500, "volume_unit": "ccf", "effective_date": "2018-07-01"}


def session_with(con: Any, folder: Path, year: int, contract: Contract) -> Session:
    """A sample workspace whose store holds ``ROW`` in one year, as ``contract`` declares it."""
    workspace = Workspace(committed_sample(folder))
    store = Store(workspace.store, con)
    values = {name: ROW[name] for name in contract.columns}
    store.write(contract, year, WHOLE, ibis.memtable([values]), "v1")
    return Session(workspace, store)


def test_whole_numbers_are_published_as_exact_decimals_under_the_name_without_their_unit(
    con: Any, tmp_path: Path
) -> None:
    session = session_with(con, tmp_path / "sample", 2019, CURRENT_AVERAGES)
    assert publish(session)["current_averages"] == 1
    with duckdb.connect(str(session.workspace.database), read_only=True) as published:
        row = published.execute("SELECT billing_year, winter_average FROM current_averages").fetchall()
        (comment,) = published.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'current_averages' AND column_name = 'winter_average'"
        ).fetchone() or ("",)
    assert row == [(2019, Decimal("7.500"))]
    assert comment == "Winter average billed now, per month [CCF]"


def test_a_year_made_before_a_column_existed_stays_published_with_that_column_empty(con: Any, tmp_path: Path) -> None:
    earlier = {name: col for name, col in CURRENT_AVERAGES.columns.items() if name != "effective_date"}
    former = Contract(CURRENT_AVERAGES.name, CURRENT_AVERAGES.row, CURRENT_AVERAGES.key, earlier)
    session = session_with(con, tmp_path / "sample", 2018, former)
    session.store.write(CURRENT_AVERAGES, 2019, WHOLE, ibis.memtable([ROW]), "v1")
    publish(session)
    with duckdb.connect(str(session.workspace.database), read_only=True) as published:
        rows = published.execute(
            "SELECT billing_year, effective_date::VARCHAR FROM current_averages ORDER BY 1"
        ).fetchall()
    assert rows == [(2018, None), (2019, "2018-07-01")]
