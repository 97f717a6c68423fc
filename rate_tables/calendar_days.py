"""Counting on the calendar: days between two dates, a date some months away.

Belongs here: what every rule that counts days or months needs.
Does not belong here: which days count (``averaging_window``, ``counted_use``), rounding (``exact``).
"""

from __future__ import annotations

import datetime as dt

import ibis.expr.types as ir


def days_between(earlier: ir.DateValue, later: ir.DateValue) -> ir.IntegerValue:
    """Days from one to the other; below zero if ``later`` comes first."""
    return later.delta(earlier, unit="day")


def after_months(day: dt.date, months: int) -> dt.date:
    """The same day of the month ``months`` later (or earlier), or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return dt.date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")
