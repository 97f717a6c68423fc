"""A second implementation of averaging rules: day by day, in fractions.

Belongs here: a small world of meters, periods, links and services, and what a rule makes of it.
Does not belong here: expectations (the tests that use it), anything of the code under test but the rule as it was read.

What it shares with the code is the rule itself: a period's volume is laid over its days by running totals rounded half away from
zero to thousandths, so parts add to it; a meter's shares likewise, after the days; a month that is scaled from a part of it is
rounded to thousandths of 8 nanolitres; all else is exact until the rule rounds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

from rate_tables.averaging_rule import AveragingRule, Enough, reach
from rate_tables.averaging_window import ByCycles, ByMonths

OPEN = dt.date(9999, 12, 31)
LONG_AGO = dt.date(2001, 1, 1)
MILLION = 1_000_000

CUBIC_INCH = Fraction(254, 100) ** 3  # cubic centimetres
CUBIC_CENTIMETRES = {
    "ccf": 100 * 12**3 * CUBIC_INCH,
    "gal": 231 * CUBIC_INCH,
    "hundred_gal": 100 * 231 * CUBIC_INCH,
    "thousand_gal": 1_000 * 231 * CUBIC_INCH,
    "m3": Fraction(1_000_000),
}
EIGHT_NANOLITRES = Fraction(8, 1_000_000)


@dataclass(frozen=True)
class Period:
    start: dt.date
    end: dt.date
    billed: int
    registered: int = 0
    read_type: str = "actual"
    adjusted: int | None = None
    is_left_out: bool = False


@dataclass(frozen=True)
class Link:
    service: str
    purpose: str = "domestic"
    start: dt.date = LONG_AGO
    end: dt.date = OPEN
    share_from: int = 0
    share_to: int = MILLION


@dataclass(frozen=True)
class Meter:
    periods: tuple[Period, ...]
    links: tuple[Link, ...]
    unit: str = "ccf"


@dataclass(frozen=True)
class Service:
    start: dt.date = LONG_AGO
    end: dt.date | None = None
    occupant_since: dt.date | None = LONG_AGO
    customer_class: str = "single_family"
    billing_cycle: str = ""


@dataclass(frozen=True)
class World:
    meters: dict[str, Meter]
    services: dict[str, Service] = field(default_factory=lambda: {"S1": Service()})


@dataclass(frozen=True)
class Average:
    """What a service's winter comes to."""

    average: int | None
    is_enough: bool
    volume: int
    days_covered: int
    months: int
    periods: int
    estimated: int
    adjusted: int


@dataclass(frozen=True)
class Part:
    """Days of one period that count for one service. ``volume``: signed thousandths."""

    meter: str
    row: int
    period: Period
    days: frozenset[int]
    covers: bool
    volume: int
    unit: str

    @property
    def eights(self) -> Fraction:
        """Thousandths of 8 nanolitres."""
        return self.volume * CUBIC_CENTIMETRES[self.unit] / EIGHT_NANOLITRES


@dataclass(frozen=True)
class Month:
    """A stretch that the rule counts apart, and what it counts for."""

    start: dt.date
    end: dt.date
    months: int
    parts: tuple[Part, ...]
    volume: Fraction
    days: int

    @property
    def length(self) -> int:
        return (self.end - self.start).days


def half_away(value: Fraction) -> int:
    magnitude = floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def days_between(start: dt.date, end: dt.date) -> Iterable[int]:
    return range(start.toordinal(), end.toordinal())


def day(ordinal: int) -> dt.date:
    return dt.date.fromordinal(ordinal)


@lru_cache
def volume_by_day(period: Period, volume: int) -> dict[int, int]:
    """Day -> its thousandths: what the running total grows by on that day."""
    n = (period.end - period.start).days
    totals = [half_away(Fraction(volume * k, n)) for k in range(n + 1)]
    return {one: totals[k + 1] - totals[k] for k, one in enumerate(days_between(period.start, period.end))}


def window_of(rule: AveragingRule, effective: dt.date, service: Service) -> tuple[dt.date, dt.date]:
    """The last stretch of the rule's window that ends by the effective date, found by trying years."""
    own = rule.window_of_billing_cycle.value if rule.window_of_billing_cycle else {}
    window = own[service.billing_cycle].window if service.billing_cycle in own else rule.window.value
    found = []
    for year in range(effective.year - 2, effective.year + 1):
        if window.kind == "months":
            start = dt.date(year, window.first, 1)
            end_year = year if window.last >= window.first else year + 1
            last = dt.date(end_year + window.last // 12, window.last % 12 + 1, 1)
        else:
            start = dt.date.fromisoformat(f"{year}-{window.first}")
            last = dt.date.fromisoformat(f"{year}-{window.last}") + dt.timedelta(days=1)
            if last <= start:
                last = dt.date.fromisoformat(f"{year + 1}-{window.last}") + dt.timedelta(days=1)
        if last <= effective:
            found.append((start, last))
    return max(found)


def months_after(start: dt.date, n: int) -> dt.date:
    count = start.year * 12 + start.month - 1 + n
    return dt.date(count // 12, count % 12 + 1, start.day)


def whole_months(start: dt.date, end: dt.date) -> int | None:
    for n in range(1, 25):
        if start.day <= 28 and months_after(start, n) == end:
            return n
    return None


def parts_of(
    world: World, service_id: str, rule: AveragingRule, allowed: set[int], near: tuple[dt.date, dt.date]
) -> list[Part]:
    """What counts for a service on the allowed days."""
    service, rules = world.services[service_id], rule.purposes.value
    by_effluent = rule.quantity_from.value[service.customer_class] == "measured_effluent"
    has_replacing = any(
        k.service == service_id and rules[k.purpose] == "replace" for m in world.meters.values() for k in m.links
    )
    found, row = [], 0
    for name, meter in world.meters.items():
        for period in meter.periods:
            row += 1
            if period.is_left_out or period.end <= near[0] or period.start >= near[1]:
                continue
            volume = period.registered if rule.averaged_volume.value == "registered" else period.billed
            volume = volume if period.adjusted is None else period.adjusted
            by_day = volume_by_day(period, volume)
            for link in (k for k in meter.links if k.service == service_id):
                kind = rules[link.purpose]
                if by_effluent:
                    sign = int(link.purpose == "effluent")
                elif has_replacing:
                    sign = int(kind == "replace")
                else:
                    sign = {"add": 1, "subtract": -1}.get(kind, 0)
                days = {d for d in by_day if d in allowed and link.start.toordinal() <= d < link.end.toordinal()}
                covers = sign > 0 and link.purpose in ("domestic", "effluent")
                if not days or not sign or (covers and volume == 0 and rule.vacant_periods.value == "leave_out"):
                    continue
                inside = sum(by_day[d] for d in days)
                share = half_away(Fraction(inside * link.share_to, MILLION)) - half_away(
                    Fraction(inside * link.share_from, MILLION)
                )
                found.append(Part(name, row, period, frozenset(days), covers, sign * share, meter.unit))
    return found


def cycles_of(parts: list[Part], counted_by: ByCycles) -> list[tuple[dt.date, dt.date, list[Part]]]:
    """Cycles in order: first day, day of the closing read, parts with their days cut to the cycle."""
    covering = [p for p in parts if p.covers]
    begins = {m: min(p.period.start for p in covering if p.meter == m) for m in {p.meter for p in covering}}
    stops = {m: max(p.period.end for p in covering if p.meter == m) for m in {p.meter for p in covering}}

    def closes(part: Part) -> dt.date:
        end = part.period.end
        after = [p.period.end for p in covering if p.period.start == end == begins[p.meter]]
        if stops[part.meter] == end and after and (max(after) - part.period.start).days <= counted_by.joined_up_to_days:
            return max(after)
        return end

    cycles: list[tuple[dt.date, dt.date, list[Part]]] = []
    groups: list[list[Part]] = []
    last = None
    for part in sorted(covering, key=closes):
        if last is None or (closes(part) - last).days > counted_by.reads_within_days:
            groups.append([])
        groups[-1].append(part)
        last = closes(part)
    for group in groups:
        end = max(closes(p) for p in group)
        start = min(p.period.start for p in group)
        if cycles:
            start = max(start, cycles[-1][1])
        cycles.append((start, end, list(group)))
    for part in (p for p in parts if not p.covers):
        for _, end, group in cycles:
            if (part.period.end - end).days <= counted_by.reads_within_days:
                group.append(part)
                break
    return [
        (start, end, [replace(p, days=p.days & set(days_between(start, end))) for p in group])
        for start, end, group in cycles
    ]


def stretches_of(
    world: World, service_id: str, rule: AveragingRule, effective: dt.date, allowed: set[int]
) -> list[tuple[dt.date, dt.date, int, list[Part]]]:
    """What the rule counts apart: first day, first day after, months, parts."""
    counted_by = rule.counted_by.value
    start, end = window_of(rule, effective, world.services[service_id])
    near = reach(rule, effective)
    if not isinstance(counted_by, ByCycles):
        months = whole_months(start, end)
        edges = [(start, end, months or 1)]
        if isinstance(counted_by, ByMonths):
            assert months is not None
            each = counted_by.each
            edges = [(months_after(start, n), months_after(start, n + each), each) for n in range(0, months, each)]
        return [
            (a, b, n, parts_of(world, service_id, rule, allowed & set(days_between(a, b)), near)) for a, b, n in edges
        ]
    found = []
    for opens, closes, parts in cycles_of(parts_of(world, service_id, rule, allowed, near), counted_by):
        dated = closes + dt.timedelta(
            days={"last_day": -1, "bill": counted_by.days_from_read_to_bill or 0}.get(counted_by.dated_by, 0)
        )
        if not start <= dated < end or (counted_by.dated_by == "both_reads" and opens < start):
            continue
        n = counted_by.months_each
        if n == "by_its_days":
            n = max(1, half_away(Fraction((closes - opens).days * 12, 365)))
        found.append((opens, closes, n, parts))
    return found


def after_months_step(months: list[Month], step: object, size: Fraction) -> list[Month]:
    """The months after one step about single months; ``size`` of the rule's unit in thousandths of 8 nanolitres."""
    name, limit = step.step, getattr(step, "volume", None)  # type: ignore[attr-defined]
    count = getattr(step, "count", 0)
    if name == "scale_part_months":
        return [
            m
            if m.days >= m.length
            else replace(m, volume=Fraction(half_away(m.volume * m.length / m.days)), days=m.length)
            for m in months
        ]
    if name == "leave_out_short_months":
        return [m for m in months if m.days >= step.under_days]  # type: ignore[attr-defined]
    if name == "each_month_at_least":
        return [replace(m, volume=max(m.volume, Fraction(limit) * 1000 * size * m.months)) for m in months]
    if name == "each_month_at_most":
        return [replace(m, volume=min(m.volume, Fraction(limit) * 1000 * size * m.months)) for m in months]
    if name == "keep_consecutive":
        runs = [
            months[k : k + count]
            for k in range(len(months) - count + 1)
            if all(b.start <= a.end for a, b in zip(months[k : k + count], months[k + 1 : k + count], strict=False))
        ]
        if not runs:
            return []
        which = step.which  # type: ignore[attr-defined]
        return {"first": runs[0], "last": runs[-1], "lowest": min(runs, key=lambda run: sum(m.volume for m in run))}[
            which
        ]
    highest = name.endswith("highest")
    ranked = sorted(months, key=lambda m: (-m.volume / m.months if highest else m.volume / m.months, m.start))
    kept = ranked[:count] if name.startswith("keep") else ranked[count:]
    return sorted(kept, key=lambda m: m.start)


def one_figure(
    months: list[Month], rule: AveragingRule, effective: dt.date, window: tuple[dt.date, dt.date]
) -> Fraction | None:
    """The rule's steps, in units of the rule a month."""
    size = CUBIC_CENTIMETRES[rule.unit.value] / EIGHT_NANOLITRES
    figure: Fraction | None = None
    for step in rule.steps:
        match step.step:
            case "mean":
                if not months:
                    return None
                figure = max(Fraction(0), sum((m.volume for m in months), Fraction(0)) / sum(m.months for m in months))
                figure /= 1000 * size
            case "mean_by_days":
                if not months:
                    return None
                use = max(Fraction(0), sum((m.volume for m in months), Fraction(0))) / (1000 * size)
                length = step.days_of_month
                if length == "of_the_window":
                    of_month = Fraction((window[1] - window[0]).days, whole_months(*window) or 0)
                elif length == "twelfth_of_year":
                    leap = dt.date(effective.year + (effective.month > 2), 12, 31).timetuple().tm_yday == 366
                    of_month = Fraction(366 if leap else 365, 12)
                else:
                    leap = dt.date(effective.year, 12, 31).timetuple().tm_yday == 366
                    of_month = Fraction(length.leap_year if leap else length.common_year)
                figure = use / sum(m.days for m in months) * of_month
            case "multiply":
                assert figure is not None
                figure *= Fraction(step.by)
            case "at_most":
                assert figure is not None
                figure = min(figure, Fraction(step.volume))
            case "at_least":
                assert figure is not None
                figure = max(figure, Fraction(step.volume))
            case "round":
                assert figure is not None
                times = figure / Fraction(step.to)
                whole = {"half_up": half_away, "up": ceil, "down": floor}[step.direction](times)
                figure = whole * Fraction(step.to)
            case _:
                months = after_months_step(months, step, size)
    return figure


def is_enough(enough: Enough, known: list[Month], window_days: int) -> bool:
    """Whether the months of which use is known are what one line of the rule asks for."""
    days = sum(m.days for m in known)
    long = [m for m in known if m.days >= (enough.of_at_least_days or 1)]
    full = [m for m in known if m.days >= m.length]
    return (
        (enough.days is None or days >= enough.days)
        and (enough.coverage is None or Fraction(days, window_days) >= Fraction(enough.coverage))
        and (enough.count is None or len(long) >= enough.count)
        and (enough.full is None or len(full) >= enough.full)
    )


def worked_out(
    world: World, rule: AveragingRule, effective: dt.date, whose: str = "own"
) -> tuple[list[tuple[object, ...]], dict[str, Average]]:
    """The parts that count (service, row, first day, first day after, covers, volume), and each service's average."""
    all_parts: list[tuple[object, ...]] = []
    averages: dict[str, Average] = {}
    for service_id, service in world.services.items():
        begin, end = service.start, service.end or OPEN
        since = service.occupant_since
        if whose == "previous_occupant":
            end = min(end, since or begin)
        elif rule.whose_history.value == "occupant":
            begin = max(begin, since or OPEN)
        elif rule.before_first_occupant.value == "leave_out" and since is None:
            begin = OPEN
        window = window_of(rule, effective, service)
        wide = set(days_between(dt.date(effective.year - 3, 1, 1), dt.date(effective.year + 2, 1, 1)))
        allowed = {d for d in wide if begin.toordinal() <= d < end.toordinal()}
        months = []
        for start, stop, n, parts in stretches_of(world, service_id, rule, effective, allowed):
            if not parts:
                continue
            covered = set().union(*(p.days for p in parts if p.covers))
            months.append(
                Month(start, stop, n, tuple(parts), sum((p.eights for p in parts), Fraction(0)), len(covered))
            )
            all_parts += [
                (service_id, p.row, day(min(p.days)), day(max(p.days) + 1), p.covers, p.volume) for p in parts if p.days
            ]
        if not months:
            continue
        known = [m for m in months if m.days]
        days = sum(m.days for m in known)
        length = (window[1] - window[0]).days

        figure = one_figure(known, rule, effective, window)
        rows = [p for m in months for p in m.parts]
        averages[service_id] = Average(
            None if figure is None else int(figure * 1000),
            figure is not None and any(is_enough(e, known, length) for e in rule.enough_history.value),
            half_away(sum((m.volume for m in months), Fraction(0)) * EIGHT_NANOLITRES / CUBIC_CENTIMETRES[rule.unit.value]),
            days, len(known), len(rows),
            sum(p.period.read_type == "estimated" for p in rows), sum(p.period.adjusted is not None for p in rows),
        )  # fmt: skip
    return sorted(all_parts, key=repr), averages
