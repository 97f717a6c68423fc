"""What the UI shows of a table follows the table, though it is kept while the table is the same.

Belongs here: when it is worked out again. Does not belong here: what is shown (``test_ui``).
"""

from __future__ import annotations

from pathlib import Path

from contract_rows import row, table_of
from whole_runs import committed_sample

from assets.engine import connected
from assets.stage import Making, Session, Slice
from assets.store import WHOLE, Store
from pipelines.io_manager import StoreIOManager
from validations.tables import CLASS_AVERAGES
from validations.workspace import Workspace


def test_what_is_shown_of_a_table_is_of_its_rows_as_they_are(tmp_path: Path) -> None:
    workspace = Workspace(committed_sample(tmp_path / "sample"))
    session = Session(workspace, Store(workspace.store, connected()))
    making = Making(CLASS_AVERAGES, 2019, {WHOLE: Slice("v", CLASS_AVERAGES.empty)})
    for version, keys in (("v1", "a"), ("v2", "ab"), ("v3", ""), ("v4", "ab")):
        rows = [row(CLASS_AVERAGES, class_key=key) for key in keys]
        session.store.write(CLASS_AVERAGES, 2019, WHOLE, table_of(CLASS_AVERAGES, *rows), version, hashes_rows=True)
        for _ in "worked out", "kept":
            shown = StoreIOManager(session)._described(making)
            assert shown["dagster/row_count"] == len(keys)
            assert all(f"| {key} |" in shown["preview"].md_str for key in keys)
