"""Which entries are to be renewed, from the sheets as they are: an office asks before it runs the year.

Belongs here: the list for a person. Does not belong here: which entries these are (``validations.review``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from assets.adjustments import past_adjustments, read_adjustments
from pipelines.session import read_session
from pipelines.summary import Table
from validations.review.of_adjustments import to_renew
from validations.workspace import Workspace


def renewals(workspace: Workspace, billing_year: int) -> tuple[Table, list[str]]:
    """Entries of last year's sheet that expire and have no successor in this year's; a sentence for each row that cannot be read.

    Errors: ConfigError if a sheet is there and is none.
    """
    _ = workspace.year(billing_year)
    with tempfile.TemporaryDirectory() as scratch, read_session(workspace) as session:
        con, folder = session.store.con, Path(scratch)
        sheets = [read_adjustments(con, workspace, year, folder) for year in (billing_year - 1, billing_year)]
        past = past_adjustments(con, workspace, billing_year, 1, folder, session.store)
        due = to_renew(past, sheets[1].rows, billing_year).order_by("expires_on", "adjustment_id")
        rows = con.to_pyarrow(due).to_pylist()
        unread = [
            f"{row['source_file']}, row {row['source_row']}: {row['message']}"
            for sheet in sheets
            for row in con.to_pyarrow(sheet.rejected.order_by("source_row")).to_pylist()
        ]
    names = ("adjustment_id", "service_id", "kind", "expires_on", "reason")
    found = Table(
        f"To renew for billing year {billing_year}: {len(rows)} entries of last year's sheet expire and have no successor",
        list(names), [[str(row[name]) for name in names] for row in rows], len(names),
    )  # fmt: skip
    return found, unread
