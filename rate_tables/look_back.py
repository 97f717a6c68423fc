"""Look-back: how far back issued bills are corrected, and what becomes of each when its average changes.

Belongs here: the first day that is looked back to, the outcome of one bill, its credit or charge.
Does not belong here: what a bill comes to on an average (``rerating``, ``charging``), which bills were issued.

A bill is corrected whole or not at all: it counts if its last day is the first day of the look-back or later. Credits and charges
of earlier corrections are taken off, so that nobody is credited twice. Only a bill that the rules account for is corrected: where
they do not make its amount of the average that it was billed on, a person has to look before money moves.

Tables of bills that come in here have: bill_end (first day after), billed_average_thousandths, new_average_thousandths (null if none
is posted), billed_cents, as_billed_cents (what the rules make of the average it was billed on), corrected_cents (of the new one; null
where a bill cannot be rated, which not_rated_reason explains), credited_before_cents, charged_before_cents, held_reason (null if nothing
stands against the bill).
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from rate_tables.calendar_days import after_months

NOT_AS_BILLED = "the rules do not make the billed amount of the average that it was billed on"


def first_day(decided_on: dt.date, months: int | None) -> dt.date | None:
    """First day of the look-back of a decision; None if every bill is looked at."""
    return None if months is None else after_months(decided_on, -months)


def with_outcomes(bills: ir.Table, looks_back_to: dt.date | None) -> ir.Table:
    """``bills`` with outcome, note (why, where it is held), credit_cents and charge_cents (0 unless that is the outcome).

    Outcomes: credit, charge, unchanged, outside_look_back (its last day is before it), held (a person has to look).
    """
    b = bills
    to_pay = b.corrected_cents - b.billed_cents + b.credited_before_cents - b.charged_before_cents
    was_corrected = (b.credited_before_cents != 0) | (b.charged_before_cents != 0)
    is_same = (b.billed_average_thousandths == b.new_average_thousandths).fill_null(False) & ~was_corrected
    is_early = ibis.literal(False) if looks_back_to is None else b.bill_end <= ibis.literal(looks_back_to)
    outcome = ibis.cases(
        (b.held_reason.notnull(), "held"),
        (is_same, "unchanged"),
        (is_early, "outside_look_back"),
        (to_pay.isnull() | (b.as_billed_cents != b.billed_cents).fill_null(True), "held"),
        (to_pay < 0, "credit"),
        (to_pay > 0, "charge"),
        else_="unchanged",
    )
    judged = b.mutate(outcome=outcome, to_pay=to_pay)
    return judged.mutate(
        note=ibis.ifelse(
            judged.outcome == "held", ibis.coalesce(judged.held_reason, judged.not_rated_reason, NOT_AS_BILLED), ""
        ),
        credit_cents=ibis.ifelse(judged.outcome == "credit", -judged.to_pay, 0),
        charge_cents=ibis.ifelse(judged.outcome == "charge", judged.to_pay, 0),
    ).drop("to_pay")
