"""Names of the workbook's sheets and columns, and what each word of decision does.

Belongs here: what the writer and the reader of the workbook have to agree on. Does not belong here: writing or reading it.
"""

from __future__ import annotations

from rate_tables.terms import Decision

WORKLIST_SHEET = "worklist"
SAMPLE_SHEET = "sample"
WORDS_SHEET = "what each word does"
SUMMARY_SHEET = "summary"
STALE_SHEET = "changed since"
OTHER_SHEET = "districts and accounts"
ENTRY_SHEETS = (WORKLIST_SHEET, SAMPLE_SHEET, OTHER_SHEET)
"""Sheets in which decisions are entered."""

ENTRY_COLUMNS = ("decision", "average", "reason", "name")
"""Columns that a person fills in."""
TIED_COLUMNS = ("finding_id", "evidence_hash")
"""Hidden columns that say what a row is about."""
SHOWN_COLUMNS = {"service": "service_id", "rule": "rule_id"}
"""Columns that show the same to a person, and what of the finding stands in them."""

DECISIONS: dict[Decision, str] = {
    "as_it_is": "The consumption counts as it stands; the finding has been looked at and is no mistake.",
    "as_proposed": "The correction that the rule proposes counts. Only where the workbook shows a proposal.",
    "leave_out": "The finding's period is left out of the average: neither its volume nor its days count.",
    "prior_average": "The average that is in force stays for another year.",
    "set_average": "The figure in the column average is billed per month. It needs that figure; no other word may have one.",
}
