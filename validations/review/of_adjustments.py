"""Rules about the adjustment sheet: entries that are refused or cannot be read, entries that are due for renewal.

Belongs here: saying what a person has to do about the sheet.
Does not belong here: what speaks against an entry (``assets.adjustment_steps``), what entries change.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from validations.review.finding import as_json, found, sentence
from validations.tables import ADJUSTMENT_SHEET
from validations.workspace import Year


def to_renew(past_adjustments: ir.Table, adjustments: ir.Table, billing_year: int) -> ir.Table:
    """Last year's entries with a day of expiry whose service has no entry of that kind in this year's sheet."""
    p = past_adjustments
    last_year = p.filter((p.sheet_year == ibis.literal(billing_year - 1, "int64")) & p.expires_on.notnull())
    return last_year.anti_join(adjustments, ["service_id", "kind"])


def adjustment_refused(refused_adjustments: ir.Table) -> ir.Table:
    """An entry of the sheet changes nothing, because something speaks against it."""
    rows = refused_adjustments
    return found(
        rows, "adjustment.refused", "must_decide", ["adjustment_id"],
        sentence("adjustment ", rows.adjustment_id, " is refused and changes nothing: ", rows.message),
        as_json(adjustment=rows.adjustment_id, refused=rows.message),
        "Mend the entry in the adjustment sheet, or take it out, and run again.",
    )  # fmt: skip


def adjustment_unreadable(rejected_rows: ir.Table) -> ir.Table:
    """A row of the adjustment sheet cannot be read, and so is no entry."""
    r = rejected_rows.filter(rejected_rows.district_id == ADJUSTMENT_SHEET)
    rows = r.mutate(district_id=ibis.literal(""))
    return found(
        rows, "adjustment.unreadable", "must_decide", ["source_file", "source_row"],
        sentence(rows.source_file, ", row ", rows.source_row, ": ", rows.message, "; the entry changes nothing"),
        as_json(file=rows.source_file, row=rows.source_row, refused=rows.message),
        "Mend the row in the adjustment sheet, or take it out, and run again.",
    )  # fmt: skip


def adjustment_to_renew(past_adjustments: ir.Table, adjustments: ir.Table, year: Year) -> ir.Table:
    """An entry of last year's sheet expires and has no successor: the service is billed without it."""
    rows = to_renew(past_adjustments, adjustments, year.billing_year)
    return found(
        rows, "adjustment.to_renew", "review", ["service_id", "kind", "adjustment_id"],
        sentence("last year's adjustment ", rows.adjustment_id, " (", rows.kind, ") expires on ", rows.expires_on,
                 " and has no successor in this year's sheet"),
        as_json(adjustment=rows.adjustment_id, kind=rows.kind, expires_on=rows.expires_on),
        "Ask the customer for this year's figures and certificate and enter them, or let it lapse.",
    )  # fmt: skip
