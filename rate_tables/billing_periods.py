"""The bills of a year: which stretches of it have which schedule, and which bill crosses a change.

Belongs here: cutting the year at the days on which rates change.
Does not belong here: amounts (``charging``), the averages' window (``averaging_rule``).

Billing periods follow each other from the effective date of the annual update. A bill that crosses a change of rates is
shared by days: a stretch of its own, with two schedules.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import groupby, pairwise

from rate_tables.calendar_days import after_months
from rate_tables.schedule import LoadedSchedule, schedule_in_force
from rate_tables.terms import MONTHS_PER_BILL


@dataclass(frozen=True)
class SchedulePeriod:
    """Days on which one schedule holds; none where no adopted one does."""

    start: dt.date
    end: dt.date
    schedule: LoadedSchedule | None


@dataclass(frozen=True)
class BillPart:
    """The part of a bill that one schedule rates: its days from ``from_day`` to ``to_day``, of ``days``."""

    schedule: LoadedSchedule | None
    from_day: int = 0
    to_day: int = 1
    days: int = 1


@dataclass(frozen=True)
class BillStretch:
    """Consecutive bills of one frequency that are all alike: ``bills`` of them, from ``start`` to ``end``."""

    start: dt.date
    end: dt.date
    bills: int
    parts: tuple[BillPart, ...]


def schedule_periods(schedules: list[LoadedSchedule], start: dt.date) -> tuple[SchedulePeriod, ...]:
    """The year from ``start``, cut where another schedule begins to hold or one ends."""
    end = after_months(start, 12)
    adopted = [s.schedule for s in schedules if s.schedule.status == "adopted"]
    days = {start} | {day for s in adopted for day in (s.effective, after_months(s.effective, 12)) if start < day < end}
    held = [(day, schedule_in_force(schedules, day)) for day in sorted(days)]
    runs = [next(run) for _, run in groupby(held, key=lambda one: one[1] and one[1].file)]
    ends = [*(day for day, _ in runs[1:]), end]
    return tuple(SchedulePeriod(day, until, schedule) for (day, schedule), until in zip(runs, ends, strict=True))


def bill_stretches(periods: tuple[SchedulePeriod, ...], frequency: str) -> tuple[BillStretch, ...]:
    """The bills of the year that ``periods`` fill, for one billing frequency."""
    months = MONTHS_PER_BILL[frequency]
    reads = [after_months(periods[0].start, n) for n in range(0, 13, months)]
    bills = []
    for start, end in pairwise(reads):
        inside = [(p, max(p.start, start), min(p.end, end)) for p in periods if p.start < end and p.end > start]
        days = (end - start).days
        parts = (
            (BillPart(inside[0][0].schedule),)
            if len(inside) == 1
            else tuple(BillPart(p.schedule, (a - start).days, (b - start).days, days) for p, a, b in inside)
        )
        bills.append(BillStretch(start, end, 1, parts))
    stretches: list[BillStretch] = []
    for bill in bills:
        last = stretches[-1] if stretches else None
        if last and len(bill.parts) == len(last.parts) == 1 and bill.parts == last.parts:
            stretches[-1] = BillStretch(last.start, bill.end, last.bills + 1, last.parts)
        else:
            stretches.append(bill)
    return tuple(stretches)
