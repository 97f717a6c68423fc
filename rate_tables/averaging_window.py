"""Which use an averaging rule looks at: the window, and how the use in it is counted.

Belongs here: the shape of ``window`` and ``counted_by`` in a schedule's file, and the dates they come to in a given year.
Does not belong here: what is done with the counted use (``averaging_steps``), meeting it with consumption (``counted_use``).

A window is a stretch of the calendar; that of a billing year is the last one that has ended by the effective date.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rate_tables.calendar_days import after_months
from rate_tables.config_file import NotAllowed, Strict

Month = Annotated[int, Field(ge=1, le=12)]
Dates = tuple[dt.date, dt.date]
"""First day, and first day after."""


class MonthsWindow(Strict):
    """Calendar months, from the first day of month ``first`` to the last day of month ``last``."""

    kind: Literal["months"]
    first: Month
    last: Month

    def until(self, effective: dt.date) -> Dates:
        """The last such stretch that has ended by ``effective``."""
        after = after_months(dt.date(effective.year, self.last, 1), 1)
        if after > effective:
            after = after_months(after, -12)
        return after_months(after, -self.months), after

    @property
    def months(self) -> int:
        return (self.last - self.first) % 12 + 1


class DatesWindow(Strict):
    """Days, both included, each written as month and day: "11-15" to "03-14"."""

    kind: Literal["dates"]
    first: str
    last: str

    @field_validator("first", "last")
    @classmethod
    def _stands_in_every_year(cls, month_day: str) -> str:
        try:
            dt.datetime.strptime(f"1999-{month_day}", "%Y-%m-%d")
        except ValueError:
            raise ValueError("a day that every year has, as month and day: 11-15") from None
        return month_day

    def until(self, effective: dt.date) -> Dates:
        """The last such stretch that has ended by ``effective``."""
        after = dt.date.fromisoformat(f"{effective.year}-{self.last}") + dt.timedelta(days=1)
        if after > effective:
            after = dt.date.fromisoformat(f"{effective.year - 1}-{self.last}") + dt.timedelta(days=1)
        start = dt.date.fromisoformat(f"{after.year}-{self.first}")
        return (start if start < after else start.replace(year=start.year - 1)), after

    @property
    def months(self) -> int | None:
        """How many months it has; None if it does not come out even, or begins on a day that not every month has."""
        start, after = self.until(dt.date(2003, 12, 31))
        if start.day != after.day or start.day > 28:
            return None
        return 12 * (after.year - start.year) + after.month - start.month


WindowOfUse = Annotated[MonthsWindow | DatesWindow, Field(discriminator="kind")]


class CycleWindow(Strict):
    """The window of the services of one billing cycle, and their effective date where it differs from the year's."""

    window: WindowOfUse
    effective: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$")] | None = None


class ByDays(Strict):
    """The window's days taken together: its use, and the days of which use is known.

    A period counts by its days inside the window: the day of its opening read is its first, the day of its closing read the
    first after it.
    """

    kind: Literal["days"]


class ByMonths(Strict):
    """Stretches of ``each`` months from the window's first day on; periods are shared among them by days (see ByDays)."""

    kind: Literal["months"]
    each: Annotated[int, Field(ge=1, le=6)] = 1


class ByCycles(Strict):
    """Cycles: one reading of all meters of a service to the next. A cycle belongs to the window as a whole, by its date.

    ``dated_by``: the day of the closing read, the last day before it, or the bill, ``days_from_read_to_bill`` after the read;
    or both reads, opening and closing, have to lie in the window.
    ``months_each``: how many months a cycle stands for; ``by_its_days``: the nearest whole number of twelfths of 365 days.
    ``reads_within_days``: closing reads of several meters that lie so near each other end the same cycle.
    ``joined_up_to_days``: where a meter is changed, its last period and the first of the meter after it are one cycle if they
    have together no more than so many days.
    """

    kind: Literal["cycles"]
    dated_by: Literal["closing_read", "last_day", "bill", "both_reads"]
    days_from_read_to_bill: Annotated[int, Field(ge=0, le=60)] | None = None
    months_each: Annotated[int, Field(ge=1, le=6)] | Literal["by_its_days"] = 1
    reads_within_days: Annotated[int, Field(ge=0, le=14)]
    joined_up_to_days: Annotated[int, Field(ge=0, le=200)]

    @model_validator(mode="after")
    def _bills_have_a_day(self) -> ByCycles:
        if (self.dated_by == "bill") != (self.days_from_read_to_bill is not None):
            raise NotAllowed("days_from_read_to_bill where cycles are dated by the bill, and only there", "dated_by")
        return self

    @property
    def days_after_read(self) -> int:
        """Days from the closing read to the date by which the cycle belongs to a window."""
        return {"last_day": -1, "bill": self.days_from_read_to_bill or 0}.get(self.dated_by, 0)


CountedBy = Annotated[ByDays | ByMonths | ByCycles, Field(discriminator="kind")]
