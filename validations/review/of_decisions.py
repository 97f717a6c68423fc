"""Rules about the file of decisions: lines that cannot be read.

Belongs here: saying what a person has to do about the file.
Does not belong here: which decision about a finding is in force (``assets.decisions``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from validations.review.finding import as_json, found, sentence
from validations.tables import DECISION_SHEET


def decision_unreadable(rejected_rows: ir.Table) -> ir.Table:
    """A line of the file of decisions cannot be read. Until it can, an earlier decision about the same finding is in force."""
    r = rejected_rows.filter(rejected_rows.district_id == DECISION_SHEET)
    rows = r.mutate(district_id=ibis.literal(""))
    return found(
        rows, "decision.unreadable", "must_decide", ["source_file", "source_row"],
        sentence(rows.source_file, ", row ", rows.source_row, ": ", rows.message, "; an earlier decision may count in its place"),
        as_json(file=rows.source_file, row=rows.source_row, refused=rows.message),
        "Put back the file as `annual-billing decide` wrote it, and run again.",
    )  # fmt: skip
