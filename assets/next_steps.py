"""What a person does next who has looked at a table in the UI.

Belongs here: one sentence for each table that asks something of somebody. Does not belong here: what a finding asks (its rule's remedy),
what a red check asks (``validations.checks``).
"""

NEXT_STEPS: dict[str, str] = {
    "deliveries": "Ask a district that has delivered nothing; mend its entry where a file could not be read (annual-billing district check).",
    "rejected_rows": "Send the district its rows (annual-billing district-report YEAR DISTRICT); mend the office's own sheets where they stand.",
    "meters": "Compare the number with last year's: fewer means a part of the delivery is missing.",
    "extract_changes": "Look through who came, went or changed class, and mend the CIS where that is not so.",
    "extract_refresh": "Look through what changed since the extract before; what was decided on other facts is stale.",
    "unmatched": "Link the account in the CIS, list it among the non-sewer accounts, or ask the district why an account is missing.",
    "refused_adjustments": "Mend the row in the sheet of adjustments as its sentence says, and run the year again.",
    "irregular_use": "Decide from the work list, which has these findings with what each is worth.",
    "proposed_corrections": "Take them in the review workbook with the word as_proposed, or leave them.",
    "district_use": "Call the district where it delivered much less or more than last year, before anybody looks at single services.",
    "findings": "Open the work list: most dollars a year first.",
    "worklist": "Look at the worst of each district under Events, then decide: annual-billing review YEAR, then annual-billing decide YEAR FILE.",
    "decisions": "Decide anew what is stale: the facts have changed since.",
    "billing_basis": "Decide what is held; read the pictures against last year; ask about one service with annual-billing explain YEAR ID.",
    "bills": "Read what is held and why; one bill is explained by annual-billing explain YEAR ID.",
    "bill_lines": "Compare the revenue by charge with last year's, and the schedules with annual-billing rates diff.",
    "rate_schedule": "Compare each figure with the adopted resolution; rates check holds the worked examples.",
    "volume_account": "Follow a district's volume from the delivery to the averages; ask where a step loses more than it should.",
    "year_on_year": "Find the district or class behind a change, then its services in the report of the year (annual-billing report YEAR).",
    "reconciliation": "Read the year on one page under Events; then approve: annual-billing approve YEAR --by NAME.",
    "contents": "Nothing: an approval names the hash of it.",
    "bill_files": "Look at the drafts; after approval, annual-billing release YEAR --by NAME writes the files that the billing system imports.",
    "receivables": "Ask the standing questions: annual-billing questions YEAR collections_or_written_off.",
}
