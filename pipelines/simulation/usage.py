"""What they use: the reading calendar of a district and the water that every meter counts between two readings.

Belongs here: service periods, seasons, leaks, estimates and their correction, registers, the true winter average.
Does not belong here: who is there (``population``), how a period is written down (``layouts``).

Volumes are whole numbers of 10^-decimals of the district's unit. Water flows in fractions; what a register shows is
whole, and so are all figures from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from pipelines.simulation.lines import FAR, Flags, Floats, Ints, day
from pipelines.simulation.population import SINGLE, Population, as_of, links_known, per_ccf
from pipelines.simulation.refusal import cannot, shown_as
from rate_tables.volume_units import SIZE_8NL
from validations.district import District, RegisterReadings

_MONTH_DAYS = 30.4375
_SUMMER_PEAK = day(2000, 7, 25)
_USAGE_DECIMALS = {"ccf": 1, "thousand_gal": 1, "m3": 1}
_ESTIMATED_SHARE = 0.006
_NEW_HOME_CCF = 8.0
_LEAST_HISTORY_DAYS = 90
_SIGN = {"domestic": 1.0, "deduct": -1.0, "make_up": -1.0, "blow_down": 1.0, "irrigation": 0.0, "fire": 0.0}


def delivered_decimals(entry: District) -> int:
    """Decimals of the district's unit to which it delivers."""
    if entry.volume.implied_decimals or isinstance(entry.measure, RegisterReadings):
        return entry.volume.implied_decimals
    return _USAGE_DECIMALS.get(entry.volume.unit, 0)


def delivered_per_ccf(entry: District) -> float:
    """Delivered whole numbers in one CCF."""
    return per_ccf(entry) * 10 ** delivered_decimals(entry)


class Round(NamedTuple):
    """When a meter reader comes: every so many months, in which of them, on which day (later if that is a weekend)."""

    months: int
    remainder: int
    day_of_month: int


_MONTHLY = [*(Round(1, 0, d) for d in range(1, 16)), Round(1, 0, 24)]
_TWO_MONTHLY = [*(Round(2, 1, d) for d in range(3, 16, 2)), *(Round(2, 0, d) for d in range(24, 31))]
_QUARTERLY = [*(Round(3, 2, d) for d in range(3, 16, 2)), *(Round(3, 1, d) for d in range(24, 31))]
_CALENDAR_MONTHS = [Round(1, 0, 1)]
_MAY = 5


def rounds_of(entry: District) -> list[Round]:
    """The reading rounds of a district. Nearly all of them come by in the second half of April or the first of May."""
    if entry.month_columns is not None:
        return _CALENDAR_MONTHS
    if entry.bill_month is not None:
        months = entry.bill_month.months
        if 12 % months:
            raise cannot(
                shown_as(entry), "bill_month.months", f"{months} cannot be simulated; allowed: 1, 2, 3, 4, 6 or 12."
            )
        return [Round(months, _MAY % months, 1)]
    return {
        "monthly": _MONTHLY,
        "two_monthly": _TWO_MONTHLY,
        "quarterly": _QUARTERLY,
        "mixed": [*_MONTHLY, *_TWO_MONTHLY],
    }[entry.billing_cycle]


def last_read_by(billing_year: int) -> int:
    """The last day whose readings are still in the delivery of a billing year."""
    return day(billing_year, 5, 17)


def read_days(round_: Round, billing_year: int) -> list[int]:
    """Reading days of a delivery: the one that opens its first period, and all until it is sent."""
    days = []
    for month in range((billing_year - 2) * 12 + 6, billing_year * 12 + 5):
        year, month_of_year = month // 12, month % 12 + 1
        if month_of_year % round_.months != round_.remainder:
            continue
        last = day(year + month_of_year // 12, month_of_year % 12 + 1, 1) - 1
        read = min(day(year, month_of_year, 1) + round_.day_of_month - 1, last)
        weekday = (read + 3) % 7
        if round_.day_of_month > 1 and weekday >= 5:
            read += 7 - weekday
        days.append(read)
    by, before = last_read_by(billing_year), last_read_by(billing_year - 1)
    opening = max(read for read in days if read <= before)
    return [read for read in days if opening <= read <= by]


@dataclass(frozen=True)
class Periods:
    """The service periods of one delivery, in the order of the district's meters and then of time.

    ``meter``: row of the meters. ``start``, ``end``: days of the opening and the closing read. ``billed``: what the
    district bills, in delivered whole numbers; ``registered``: what went through. ``closing``: the register at the end,
    as if it had dials without limit. ``leaks``: rows whose meter counted a leak; ``without_leak``: what they would have
    counted. ``multiplier``: what one step of the meter's register stands for.
    """

    meter: Ints
    start: Ints
    end: Ints
    billed: Ints
    registered: Ints
    closing: Ints
    estimated: Flags
    leaks: Ints
    without_leak: Ints
    multiplier: Ints


@dataclass(frozen=True)
class ServicesPresent:
    """What a year's extract says of the services of a district, for each of them: when its occupant came and when it ends, as
    days (``FAR``: it does not say)."""

    occupant_since: Ints
    end: Ints


def first_of_each(meter: Ints) -> Flags:
    """True where a new meter begins in rows that are grouped by meter."""
    first = np.ones(len(meter), dtype=bool)
    first[1:] = meter[1:] != meter[:-1]
    return first


def first_registers(population: Population, billing_years: list[int]) -> Ints:
    """What each meter's register shows when the simulation begins, in delivered whole numbers."""
    meters, measure = population.meters, population.entry.measure
    if not isinstance(measure, RegisterReadings):
        return np.zeros(len(meters), dtype=np.int64)
    size = 10**measure.dials
    shown: Ints = (meters["register_share"].to_numpy() * size).astype(np.int64)
    begin = last_read_by(billing_years[0] - 2)
    shown[meters["start"].to_numpy() > begin] = 0
    shown *= meters["multiplier"].to_numpy()
    rows = np.flatnonzero(meters["scenario"] == "rollover")
    months = (meters["scenario_year"].to_numpy()[rows] - (billing_years[0] - 2)) * 12 - 6
    # Averaged over a year, the part of the summer's height is 1/pi: the season is the upper half of a cosine.
    use = meters["winter_ccf"].to_numpy()[rows] + meters["summer_ccf"].to_numpy()[rows] / np.pi
    step = meters["multiplier"].to_numpy()[rows]
    steps = (size - months * use * delivered_per_ccf(population.entry) / step).astype(np.int64)
    shown[rows] = steps % size * step
    return shown


def _true_volumes(population: Population, meter: Ints, start: Ints, end: Ints, rng: np.random.Generator) -> Ints:
    """What every meter counts in every period."""
    meters, entry = population.meters, population.entry
    season = np.maximum(np.cos(2 * np.pi * ((start + end) / 2 - _SUMMER_PEAK) / 365.25), 0)
    month = meters["winter_ccf"].to_numpy()[meter] + meters["summer_ccf"].to_numpy()[meter] * season
    opens, closes = meters["window_start"].to_numpy()[meter], meters["window_end"].to_numpy()[meter]
    inside = np.clip(np.minimum(end, closes) - np.maximum(start, opens), 0, None) / (end - start)
    month *= 1 + (meters["window_factor"].to_numpy()[meter] - 1) * inside
    month *= np.exp(0.12 * rng.standard_normal(len(meter)))
    month *= np.exp(0.06 * rng.standard_normal(len(meters)))[meter]
    step = meters["multiplier"].to_numpy()[meter]
    volume: Ints = np.rint(month * ((end - start) / _MONTH_DAYS * delivered_per_ccf(entry)) / step).astype(np.int64)
    return np.minimum(volume, _most_in_a_period(entry)) * step


def _most_in_a_period(entry: District) -> int:
    """A register that went round is believed up to a limit, and no meter here comes near it."""
    if isinstance(entry.measure, RegisterReadings):
        return int(entry.measure.rollover_at_most * 10 ** delivered_decimals(entry) * 6 // 10)
    return 2**40


def _spring_leaks(
    population: Population,
    billing_year: int,
    meter: Ints,
    start: Ints,
    end: Ints,
    volume: Ints,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Let one winter period of each leaking meter run to several times its use; rows, and what they would have been."""
    meters = population.meters
    leaking = ((meters["scenario"] == "leak") & (meters["scenario_year"] == billing_year)).to_numpy()[meter]
    in_winter = np.minimum(end, day(billing_year, 5, 1)) - np.maximum(start, day(billing_year - 1, 11, 1))
    rows = rng.permutation(np.flatnonzero(leaking & (in_winter >= 0.8 * (end - start)) & (volume > 0)))
    rows = np.sort(rows[np.unique(meter[rows], return_index=True)[1]])
    without = volume[rows].copy()
    leaked = np.rint(without * rng.uniform(4, 8, len(rows))).astype(np.int64)
    step = meters["multiplier"].to_numpy()[meter[rows]]
    volume[rows] = np.minimum(leaked // step, _most_in_a_period(population.entry)) * step
    return rows, without


def _estimates(
    population: Population, billing_year: int, meter: Ints, end: Ints, true: Ints, rng: np.random.Generator
) -> tuple[Flags, Ints]:
    """Which closing reads are estimated, and by how much the register is then taken too high, in whole numbers.

    Where a district bills apart from what its registers count, those who play it are estimated for most of a year, always
    at the same figure and far too high; the read that ends it makes the billed volume negative (AWWA M36's pattern).
    """
    meters, entry = population.meters, population.entry
    count = len(meter)
    if entry.columns.read_type is None or "estimated" not in entry.read_types.values():
        return np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int64)
    # Too high an estimate ends in a credit or a register that goes back, which not every district can write.
    credits = entry.volume.negative == "credit" and not isinstance(entry.measure, RegisterReadings)
    for_long = credits and entry.columns.registered_volume is not None
    first = first_of_each(meter)
    begins = np.flatnonzero(first)
    sizes = np.diff(np.append(begins, count))
    place, size = np.arange(count) - begins.repeat(sizes), sizes.repeat(sizes)
    playing = ((meters["scenario"] == "estimated_reads") & (meters["scenario_year"] == billing_year)).to_numpy()[meter]
    chance = (rng.random(count) < _ESTIMATED_SHARE) & meters["is_plain"].to_numpy()[meter]
    run = (place <= size - 3) if for_long else (place >= size // 2 - 1) & (place <= size // 2)
    estimated = np.where(playing, run, chance)
    # The last read of a delivery and the last of a meter are always real ones, so every estimate is corrected.
    last = np.append(first[1:], True)
    estimated &= ~last & (end != meters["end"].to_numpy()[meter])
    factor = rng.uniform(0.6, 1.5, count) if credits else rng.uniform(0.5, 1.0, count)
    if credits:
        factor = np.where(playing, rng.uniform(1.5, 3.0, count), factor)
    step = meters["multiplier"].to_numpy()[meter]
    assumed = true * factor
    if for_long and playing.any():
        highest = np.zeros(len(meters))
        np.maximum.at(highest, meter[playing & estimated], assumed[playing & estimated])
        assumed = np.where(playing, highest[meter], assumed)
    error = np.where(estimated, np.rint((assumed - true) / step).astype(np.int64) * step, 0)
    running = np.concatenate([[0], np.cumsum(error)])
    at_last_actual = np.maximum.accumulate(np.where(estimated, -1, np.arange(count)))
    return estimated, np.where(estimated, running[1:] - running[at_last_actual + 1], 0)


def periods_of(population: Population, billing_year: int, registers: Ints, rng: np.random.Generator) -> Periods:
    """All service periods of a district's delivery. ``registers`` moves on to what each meter shows at its end."""
    meters = population.meters
    calendar = [read_days(round_, billing_year) for round_ in rounds_of(population.entry)]
    reads = np.array([[*days, *[FAR] * (16 - len(days))] for days in calendar])
    route = meters["route"].to_numpy() % len(calendar)
    counts = np.array([len(days) - 1 for days in calendar])[route]
    meter = np.arange(len(meters)).repeat(counts)
    place = np.arange(len(meter)) - (np.cumsum(counts) - counts).repeat(counts)
    start = np.maximum(reads[route[meter], place], meters["start"].to_numpy()[meter])
    end = np.minimum(reads[route[meter], place + 1], meters["end"].to_numpy()[meter])
    there = end > start
    meter, start, end = meter[there], start[there], end[there]

    true = _true_volumes(population, meter, start, end, rng)
    leaks, without_leak = _spring_leaks(population, billing_year, meter, start, end, true, rng)
    estimated, too_high = _estimates(population, billing_year, meter, end, true, rng)
    first = first_of_each(meter)
    total = np.cumsum(true)
    before_meter = np.maximum.accumulate(np.where(first, total - true, 0))
    closing = registers[meter] + total - before_meter
    last = np.append(first[1:], True)
    registers[meter[last]] = closing[last]
    before = np.where(first, 0, np.concatenate([[0], too_high[:-1]]))
    billed = true + too_high - before
    return Periods(
        meter, start, end, billed, true, closing + too_high, estimated, leaks, without_leak,
        meters["multiplier"].to_numpy()[meter],
    )  # fmt: skip


def as_read(periods: Periods, usable: Flags, by_readings: bool) -> tuple[Periods, Ints]:
    """What can be read of a delivery, and what its periods count when leaks are adjusted, in delivered whole numbers.

    ``usable``: periods whose record is not refused. Where records are readings, the period after a refused one begins earlier.
    """
    volume = periods.billed.copy()
    volume[periods.leaks] = periods.without_leak
    kept = np.flatnonzero(usable)
    start, billed, counted = periods.start[kept], periods.billed[kept], volume[kept]
    if by_readings:
        into: Ints = np.cumsum(usable) - usable
        rows = np.flatnonzero(~usable & (into < len(kept)))
        rows = rows[periods.meter[kept[into[rows]]] == periods.meter[rows]]
        np.minimum.at(start, into[rows], periods.start[rows])
        np.add.at(billed, into[rows], periods.billed[rows])
        np.add.at(counted, into[rows], volume[rows])
    nothing = np.zeros(0, dtype=np.int64)
    return Periods(
        periods.meter[kept], start, periods.end[kept], billed, periods.registered[kept], periods.closing[kept],
        periods.estimated[kept], nothing, nothing, periods.multiplier[kept],
    ), counted  # fmt: skip


def _half_up(numerator: Ints, denominator: Ints | int) -> Ints:
    """A quotient as a whole number; a half goes away from zero."""
    away = np.floor_divide(2 * np.abs(numerator) + denominator, np.multiply(denominator, 2)).astype(np.int64)
    return np.where(numerator < 0, -away, away)


def winter_averages(
    population: Population, periods: Periods, counted: Ints, present: ServicesPresent, billing_year: int, prior: Floats
) -> Floats:
    """Winter use of each service per month in CCF, to the hundredth, as the utility bills it a year later; NaN where nobody knows.

    What the district billed, adjusted (``counted``), from November to April by days, of the present occupant; with less than
    90 days of that the average before it (``prior``) if it is the occupant's own, else 8 CCF for a household. A second
    calculation, so that the pipeline has something to be compared with that it did not make.
    """
    services = population.services
    source = services["volume_source"].to_numpy()
    average = np.where(np.isin(source, ["well", "permit"]), np.round(services["winter_ccf"].to_numpy(), 2), np.nan)
    opens, closes = day(billing_year - 1, 11, 1), day(billing_year, 5, 1)
    links = links_known(population, billing_year)
    links = links[(links["service"] >= 0) & (links["start"] <= as_of(billing_year))]
    service, meter = links["service"].to_numpy(), links["meter"].to_numpy()
    since = np.maximum(np.maximum(present.occupant_since[service], services["start"].to_numpy()[service]), opens)
    since = np.maximum(since, links["start"].to_numpy())
    until = np.minimum(np.minimum(present.end[service], links["end"].to_numpy()), closes)

    # Every period once for each link of its meter.
    begin = np.searchsorted(periods.meter, meter)
    sizes = np.searchsorted(periods.meter, meter, side="right") - begin
    link = np.arange(len(links)).repeat(sizes)
    row = np.arange(len(link)) - (np.cumsum(sizes) - sizes).repeat(sizes) + begin.repeat(sizes)
    start, end = np.maximum(periods.start[row], since[link]), np.minimum(periods.end[row], until[link])
    sign = links["purpose"].map(_SIGN).to_numpy()[link].astype(np.int64)
    inside = (end > start) & (sign != 0)
    link, row, start, end, sign = link[inside], row[inside], start[inside], end[inside], sign[inside]
    volume = counted[row] * 10 ** (3 - delivered_decimals(population.entry))
    days = periods.end[row] - periods.start[row]
    part = _half_up(volume * (end - periods.start[row]), days) - _half_up(volume * (start - periods.start[row]), days)
    part = sign * _half_up(part * links["share_millionths"].to_numpy()[link], 1_000_000)
    total = np.zeros(len(services), dtype=np.int64)
    np.add.at(total, service[link], part)

    covers = links["purpose"].to_numpy()[link] == "domestic"
    covered = _days_covered(service[link][covers], start[covers], end[covers], len(services))
    size, ccf, months_of_days = SIZE_8NL[population.entry.volume.unit], SIZE_8NL["ccf"], closes - opens
    enough = np.flatnonzero((covered >= _LEAST_HISTORY_DAYS) & (source == "district"))
    for one in enough.tolist():
        hundredths = Fraction(int(total[one]) * size * months_of_days, int(covered[one]) * 6 * ccf * 10)
        # Less than nothing is for a person to decide, who leaves what was in force.
        average[one] = prior[one] if hundredths < 0 else int(hundredths + Fraction(1, 2)) / 100
    short = np.flatnonzero((covered < _LEAST_HISTORY_DAYS) & (source == "district"))
    is_own = (present.occupant_since[short] <= day(billing_year - 1, 7, 1)) & ~np.isnan(prior[short])
    default = np.where(services["class"].to_numpy()[short] == SINGLE, _NEW_HOME_CCF, np.nan)
    average[short] = np.where(is_own, prior[short], default)
    average[present.end < closes] = np.nan
    return average


def _days_covered(service: Ints, start: Ints, end: Ints, services: int) -> Ints:
    """Days of each service on which some period stands, each once."""
    order = np.lexsort((end, start, service))
    service, start, end = service[order], start[order], end[order]
    # A service's days on a stretch of the number line of its own.
    far = service * FAR
    reached = np.append(-1, np.maximum.accumulate(end + far)[:-1]) if len(end) else end
    fresh = np.clip(end + far - np.maximum(start + far, reached), 0, None)
    return np.bincount(service, fresh, services).astype(np.int64)
