"""What irregular use looks like in one meter's periods: one small function per kind.

Belongs here: changing the periods of one meter, or of a whole district, so that a rule has something to find.
Does not belong here: who plays what and how often (``irregular``), what was used before (``usage``).

A function changes the periods that it is given, and says in words what it did; None where these periods cannot show it, and
then nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.simulation.lines import Flags, Floats, Ints, date_of, day
from pipelines.simulation.population import per_ccf
from pipelines.simulation.usage import delivered_decimals
from rate_tables.volume_units import SIZE_8NL
from validations.district import District

_SPLIT_OFF_DAYS = (6, 9)
_SHIFTED_DAYS = (5, 9)
_LEAST_ZERO_DAYS = 95
_LONGEST_MONTH = 36


@dataclass
class MeterPeriods:
    """The periods of one meter in a delivery, in the order of time; columns as in ``Periods``."""

    entry: District
    billing_year: int
    start: Ints
    end: Ints
    billed: Ints
    registered: Ints
    estimated: Flags
    multiplier: Ints

    @property
    def days(self) -> Ints:
        return self.end - self.start

    @property
    def in_winter(self) -> Floats:
        """Part of each period that lies in November to April."""
        opens, closes = day(self.billing_year - 1, 11, 1), day(self.billing_year, 5, 1)
        inside = np.clip(np.minimum(self.end, closes) - np.maximum(self.start, opens), 0, None)
        part: Floats = inside / self.days
        return part

    def winter(self) -> Ints:
        """Periods that lie in the winter, or nearly."""
        return np.flatnonzero(self.in_winter >= 0.8)

    def use(self, rows: Ints | int, volumes: Floats | Ints | float) -> None:
        """Let the meter count other volumes, in whole steps of its register."""
        step = self.multiplier[rows]
        self.billed[rows] = np.rint(np.asarray(volumes) / step).astype(np.int64) * step
        self.registered[rows] = self.billed[rows]

    def dates(self, rows: Ints) -> str:
        return f"{date_of(self.start[rows[0]])} to {date_of(self.end[rows[-1]])}"

    def keep(self, rows: Ints) -> None:
        """Only these periods, in this order."""
        for name in ("start", "end", "billed", "registered", "estimated", "multiplier"):
            setattr(self, name, getattr(self, name)[rows].copy())


Play = Callable[[MeterPeriods, np.random.Generator], str | None]


def _one_of(rng: np.random.Generator, rows: Ints) -> int:
    return int(rows[rng.integers(len(rows))])


def _inner_winter(one: MeterPeriods) -> Ints:
    """Winter periods that have a period before and after them."""
    rows = one.winter()
    return rows[(rows > 0) & (rows < len(one.start) - 1)]


def gap(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A winter period is missing."""
    rows = _inner_winter(one)
    rows = rows[one.days[rows] >= 20]
    if not len(rows):
        return None
    row = _one_of(rng, rows)
    said = one.dates(np.array([row]))
    one.keep(np.delete(np.arange(len(one.start)), row))
    return said


def overlap(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A period stands twice, the second time some days later."""
    rows = _inner_winter(one)
    if not len(rows):
        return None
    row = _one_of(rng, rows)
    one.keep(np.sort(np.append(np.arange(len(one.start)), row)))
    later = int(rng.integers(*_SHIFTED_DAYS, endpoint=True))
    one.start[row + 1] += later
    one.end[row + 1] += later
    return f"{one.dates(np.array([row]))} again {later} days later"


def off_cycle(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A period is read in two parts of which one is far too short, or two are read as one."""
    rows = _inner_winter(one)
    merges = one.entry.billing_cycle != "mixed" and rng.random() < 0.5
    if merges:
        rows = rows[rows < len(one.start) - 2]
    rows = rows[one.days[rows] >= 25]
    if not len(rows):
        return None
    row = _one_of(rng, rows)
    if merges:
        one.end[row] = one.end[row + 1]
        one.billed[row] += one.billed[row + 1]
        one.registered[row] += one.registered[row + 1]
        one.estimated[row] = one.estimated[row + 1]
        one.keep(np.delete(np.arange(len(one.start)), row + 1))
        return f"{one.dates(np.array([row]))} read as one"
    days, volume, step = int(one.days[row]), int(one.billed[row]), int(one.multiplier[row])
    first = int(rng.integers(*_SPLIT_OFF_DAYS, endpoint=True))
    one.keep(np.sort(np.append(np.arange(len(one.start)), row)))
    one.end[row] = one.start[row + 1] = one.start[row] + first
    part = volume * first // (days * step) * step
    one.use(np.array([row, row + 1]), np.array([part, volume - part]))
    one.estimated[row] = False
    return f"{one.dates(np.array([row, row + 1]))} read as {first} and {days - first} days"


def repeated_value(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """The same volume six periods running or more."""
    count = len(one.start)
    if count < 6:
        return None
    length = int(rng.integers(6, min(count, 8), endpoint=True))
    middle = int(np.argmax(one.in_winter)) if len(one.winter()) == 0 else int(np.median(one.winter()))
    first = min(max(middle - length // 2, 0), count - length)
    rows = np.arange(first, first + length)
    one.use(rows, np.full(length, int(one.billed[one.winter()].mean())))
    return f"{one.dates(rows)} {length} times the same"


def zero_run(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """Nothing for three months and more, with somebody there."""
    first = int(one.winter()[0]) if len(one.winter()) else 0
    rows = np.arange(first, len(one.start))
    enough = np.flatnonzero(np.cumsum(one.days[rows]) >= _LEAST_ZERO_DAYS)
    if not len(enough):
        return None
    rows = rows[: enough[0] + 1]
    one.use(rows, np.zeros(len(rows)))
    return one.dates(rows)


def high(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """One or two winter periods at four to eight times the usual, which nobody has adjusted."""
    rows = one.winter()
    if len(rows) < 2:
        return None
    first = int(rng.integers(len(rows)))
    rows = rows[first : first + int(rng.integers(1, 3))]
    one.use(rows, one.billed[rows] * rng.uniform(4, 8, len(rows)))
    return one.dates(rows)


def low(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A winter period at a tenth to a fifth of the usual."""
    if not len(one.winter()):
        return None
    rows = np.array([_one_of(rng, one.winter())])
    one.use(rows, one.billed[rows] * rng.uniform(0.1, 0.2))
    return one.dates(rows)


def negative(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A credit in winter that no estimate explains."""
    if not len(one.winter()):
        return None
    row = _one_of(rng, one.winter())
    usual, step = int(one.billed[row]), int(one.multiplier[row])
    one.billed[row] = -max(round(usual * rng.uniform(0.5, 1) / step), 1) * step
    return one.dates(np.array([row]))


def placeholder(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """9,999, 99,999 or 10,000 stands where nothing was read, at least five times what the service uses in any period."""
    rows = one.winter()
    rows = rows[one.multiplier[rows] == 1]
    if not len(rows):
        return None
    row = _one_of(rng, rows)
    scale = 10 ** delivered_decimals(one.entry)
    # Where the decimal point is only implied, nines fill the digits; else a number is printed.
    nines = 1 if one.entry.volume.implied_decimals else scale
    values = {9_999: 9_999 * nines, 99_999: 99_999 * nines, 10_000: 10_000 * scale}
    far = [value for value in values if values[value] >= 5 * one.billed.max()]
    if not far:
        return None
    value = int(rng.choice(far))
    one.use(row, values[value])
    return f"{one.dates(np.array([row]))} {value}"


def tenfold(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A decimal point one or two places away from its own."""
    row = _one_of(rng, one.winter()) if len(one.winter()) else 0
    usual = int(one.billed[row])
    up, down = [10.0, 100.0], [f for f in (0.1, 0.01) if usual * f >= 10 * one.multiplier[row]]
    if usual <= 0:
        return None
    factor = float(rng.choice([*up, *down]))
    one.use(row, usual * factor)
    return f"{one.dates(np.array([row]))} times {factor:g}"


def rising(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """Each month of the winter is a quarter to two fifths above the one before."""
    rows = one.winter()
    if len(rows) < 5 or one.days[rows].max() > _LONGEST_MONTH:
        return None
    growth = np.cumprod(np.append(1.0, rng.uniform(1.25, 1.4, len(rows) - 1)))
    one.use(rows, one.billed[rows[0]] / one.days[rows[0]] * growth * one.days[rows])
    return one.dates(rows)


def winter_above_summer(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """A leak all winter: two and a half to four times the summer, and the summer as usual."""
    winter, summer = np.flatnonzero(one.in_winter >= 0.5), np.flatnonzero(one.in_winter < 0.2)
    if not len(summer) or not len(winter):
        return None
    a_day = one.billed[summer].sum() / one.days[summer].sum()
    one.use(winter, a_day * rng.uniform(2.5, 4) * np.exp(0.05 * rng.standard_normal(len(winter))) * one.days[winter])
    return one.dates(winter)


def multiplier_changed(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """From a winter period on, a step of the register is said to stand for ten times as much, or a tenth; it counts as before."""
    rows = _inner_winter(one)
    if not len(rows):
        return None
    row, before = _one_of(rng, rows), int(one.multiplier[0])
    after = 10 if before == 1 else before // 10
    one.multiplier[row:] = after
    later = np.arange(row, len(one.start))
    one.use(later, one.billed[later] // before * after)
    return f"from {before} to {after} on {date_of(one.start[row])}"


def estimated_run(one: MeterPeriods, rng: np.random.Generator) -> str | None:
    """Three estimates in a row or four, a little too low; the read after them brings the rest."""
    count = len(one.start)
    if count < 4:
        return None
    length = 3 if count < 6 else int(rng.integers(3, 5))
    first = int(rng.integers(1 if count > length + 1 else 0, count - length))
    rows = np.arange(first, first + length)
    step, true = one.multiplier[rows], int(one.billed[rows].sum())
    one.use(rows, one.billed[rows] * rng.uniform(0.85, 1, length) // step * step)
    one.estimated[:] = False
    one.estimated[rows] = True
    one.billed[first + length] += true - one.billed[rows].sum()
    return one.dates(rows)


# --- of a whole district


@dataclass
class DistrictPeriods:
    """All periods of a delivery, in the order of the district's meters and then of time.

    ``billed`` and ``registered`` may be changed; ``kept`` says which periods are delivered.
    """

    entry: District
    billing_year: int
    account: Ints
    start: Ints
    end: Ints
    billed: Ints
    registered: Ints
    multiplier: Ints
    kept: Flags

    def use(self, rows: Flags, volumes: Floats | npt.NDArray[np.floating[Any]]) -> None:
        step = self.multiplier[rows]
        self.billed[rows] = np.rint(volumes / step).astype(np.int64) * step
        self.registered[rows] = self.billed[rows]


DistrictPlay = Callable[[DistrictPeriods, np.random.Generator], str]


def unit_changed(all_: DistrictPeriods, rng: np.random.Generator) -> str:
    """The file is written in another unit than the one that is announced."""
    own = SIZE_8NL[all_.entry.volume.unit]
    other = str(rng.choice([unit for unit, size in sorted(SIZE_8NL.items()) if size != own]))
    all_.use(np.ones(len(all_.billed), dtype=bool), all_.billed * (own / SIZE_8NL[other]))
    return f"written in {other}"


def _a_winter_month(all_: DistrictPeriods) -> Flags:
    """Periods that end in the month that begins on 15 January."""
    first = day(all_.billing_year, 1, 15)
    months = 2 if np.median(all_.end - all_.start) > _LONGEST_MONTH else 1
    return (all_.end > first) & (all_.end <= first + months * 31)


def stuck_value(all_: DistrictPeriods, rng: np.random.Generator) -> str:
    """One figure stands in a large part of the file in one month."""
    rows = _a_winter_month(all_) & (rng.random(len(all_.billed)) < 0.6)
    value = int(9 * per_ccf(all_.entry) * 10 ** delivered_decimals(all_.entry))
    all_.use(rows, np.full(int(rows.sum()), float(value)))
    return f"{int(rows.sum())} records"


def volume_changed(all_: DistrictPeriods, rng: np.random.Generator) -> str:
    """The volumes of the file are three tenths lower."""
    all_.use(np.ones(len(all_.billed), dtype=bool), all_.billed * 0.7)
    return "times 0.7"


def accounts_changed(all_: DistrictPeriods, rng: np.random.Generator) -> str:
    """A sixth of the accounts are missing."""
    accounts = np.unique(all_.account)
    missing = rng.choice(accounts, int(len(accounts) * rng.uniform(0.15, 0.2)), replace=False)
    all_.kept &= ~np.isin(all_.account, missing)
    return f"{len(missing)} of {len(accounts)} accounts missing"


def month_missing(all_: DistrictPeriods, rng: np.random.Generator) -> str:
    """The reads of one month are nearly all missing."""
    gone = _a_winter_month(all_) & (rng.random(len(all_.billed)) < 0.95)
    all_.kept &= ~gone
    return f"{int(gone.sum())} periods missing"


def winter_median_moved(all_: DistrictPeriods, rng: np.random.Generator) -> str:
    """Everybody's winter is above last year's by a quarter and more, and the summer as it was."""
    opens, closes = day(all_.billing_year - 1, 11, 1), day(all_.billing_year, 5, 1)
    rows = (np.minimum(all_.end, closes) - np.maximum(all_.start, opens)) * 2 >= all_.end - all_.start
    factor = rng.uniform(1.25, 1.3)
    all_.use(rows, all_.billed[rows] * factor)
    return f"winter times {factor:.2f}"
