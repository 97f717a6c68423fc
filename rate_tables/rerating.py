"""Re-rating: bills of the past, from their averages and what was really used, as the rule in the billing basis applies them.

Belongs here: how an average becomes the volume of one bill, and which average a bill has that crosses the effective date.
Does not belong here: building the average (``averaging``), the charges on the volume (``charging``).

Tables of bills that come in here have: bill_start, bill_end, months_of_bill, actual_volume_thousandths (null if not known), and
of the billing basis winter_average_thousandths, prior_average_thousandths, applied_as, applied_in_months,
other_months_billed_from, crossing_bill, effective_date; volumes in the basis' unit. A bill belongs to the calendar
month of its last day.
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from rate_tables.calendar_days import days_between
from rate_tables.exact import round_half_away


def bill_volume(bills: ir.Table, average: ir.IntegerValue, days_of_year: int) -> ir.IntegerValue:
    """Volume of each whole bill on ``average`` (a month): null where the average, or an actual volume it needs, is not known.

    ``days_of_year``: days of the year from the effective date, over which twelve averages are spread where the average is
    applied as daily use.
    """
    actual = bills.actual_volume_thousandths
    daily = round_half_away(average * 12 * days_between(bills.bill_start, bills.bill_end), days_of_year)
    whole = ibis.ifelse(bills.applied_as == "average_daily_use", daily, average * bills.months_of_bill)
    lesser = ibis.cases((whole.isnull() | actual.isnull(), ibis.null("int64")), (whole < actual, whole), else_=actual)
    limited = bills.applied_as.isin(["upper_limit", "lesser_of_average_and_actual"])
    month = (bills.bill_end - ibis.interval(days=1)).month().cast("string")
    named = ibis.literal(" ") + bills.applied_in_months.replace(",", " ") + " "
    applies = (bills.applied_in_months == "") | named.contains(ibis.literal(" ") + month + " ")
    return ibis.cases(
        (~applies & (bills.other_months_billed_from == "actual"), actual),
        (~applies, whole),
        (limited, lesser),
        else_=whole,
    )


def bill_parts(bills: ir.Table, start: dt.date, end: dt.date, days_of_year: int) -> ir.Table:
    """The parts of ``bills`` that lie in a schedule's days, from ``start`` to ``end``, ready for ``charging``.

    Adds bill_volume_thousandths (of the whole bill, on the average of that part), from_day, to_day and days. A bill that crosses
    the effective date is cut there, its days before on the prior average; or, where the day of issue decides, it is on the new
    average as a whole if it ends on that date or later.
    """
    is_shared = bills.crossing_bill == "shared_by_days"
    is_new = bills.bill_end >= bills.effective_date
    begin = ibis.greatest(bills.bill_start, ibis.literal(start))
    until = ibis.least(bills.bill_end, ibis.literal(end))
    sides = [
        (bills.winter_average_thousandths, ibis.ifelse(is_shared, ibis.greatest(begin, bills.effective_date), begin), until,
         is_shared | is_new),
        (bills.prior_average_thousandths, begin, ibis.ifelse(is_shared, ibis.least(until, bills.effective_date), until),
         is_shared | ~is_new),
    ]  # fmt: skip
    parts = [
        bills.mutate(
            bill_volume_thousandths=bill_volume(bills, average, days_of_year),
            from_day=days_between(bills.bill_start, first),
            to_day=days_between(bills.bill_start, last),
            days=days_between(bills.bill_start, bills.bill_end),
        ).filter((first < last) & counts)
        for average, first, last, counts in sides
    ]
    return ibis.union(*parts)
