"""Irregular use on purpose: who plays which kind in which year, and the truth about it.

Belongs here: kinds and where they can be, how often each is played, who plays it, what is written down of it.
Does not belong here: what a kind looks like in a meter's periods (``irregular_periods``), ordinary lives (``population``).

A kind is named by the id of the rule that has to find it. Nobody plays two kinds in one year or in two that follow each other,
and nobody plays one who plays a scenario, so that the truth of a year is not confused by the year before. Scenarios that are to
be found by a rule are in the truth too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from pipelines.simulation import irregular_periods as played
from pipelines.simulation.extract import Rollover
from pipelines.simulation.lines import FAR, Flags, Floats, Ints, date_of, day
from pipelines.simulation.population import (
    COMMERCIAL,
    MULTI,
    Population,
    can_change_meters,
    has_estimates,
    has_meter_ids,
    is_by_month,
    new_year,
    with_more_meters,
)
from pipelines.simulation.usage import Periods, first_of_each, rounds_of
from validations.district import District, RegisterReadings

MANY_METERS, PER_DWELLING_UNIT = "account.many_meters", "use.per_dwelling_unit"
CHANGED_OUT, ON_INACTIVE, MISBILLED = "meter.changed_out", "use.on_inactive", "backtest.misbilled"
CONTROL_TOTAL = "delivery.control_total"
_ALWAYS = 0
_INACTIVE = ("suspended", "closed")
_METERS_OF_ONE = 14
_PLAUSIBLE_CCF_PER_UNIT = 25.0
_OF_SCENARIO = {
    "change_out": CHANGED_OUT,
    "class_change": "service.class_changed",
    "new_occupant": "history.moved_in_during_winter",
    "vacant": "history.vacant_in_winter",
    "builder_low_winter": "history.low_before_occupant",
}


class Found(NamedTuple):
    """A line of the truth: what a rule has to find. ``service_id`` and account are empty for what concerns a district."""

    billing_year: int
    rule_id: str
    district_id: str
    service_id: str
    district_account: str
    detail: str


def _has_readings(entry: District) -> bool:
    return isinstance(entry.measure, RegisterReadings)


def _has_dates(entry: District) -> bool:
    return not is_by_month(entry)


@dataclass(frozen=True)
class Kind:
    """A kind of irregular use that single services play.

    ``play`` changes the periods of its meter, where that is all there is to it; ``least_ccf`` and ``most_ccf`` a month are
    what a service uses that can play it; ``months`` between two reads; ``always``: in every year, not anew in each; ``words``:
    what is played, where ``play`` does not say it.
    """

    rule_id: str
    play: played.Play | None = None
    where: Callable[[District], bool] = lambda entry: True
    least_ccf: float = 3.0
    most_ccf: float = 60.0
    months: tuple[int, ...] = (1, 2, 3, 4, 6, 12)
    classes: tuple[int, ...] = ()
    always: bool = False
    words: str = ""

    @property
    def what(self) -> str:
        """What is played, in a sentence."""
        return self.words or (self.play.__doc__ or "")


KINDS = (
    Kind(MANY_METERS, where=has_meter_ids, least_ccf=25, most_ccf=400, classes=(MULTI, COMMERCIAL), always=True,
         words="Many small meters of one account count the use of one service."),
    Kind(PER_DWELLING_UNIT, most_ccf=70, classes=(MULTI,), always=True,
         words="A building uses far more for each dwelling unit than a household can."),
    Kind(CHANGED_OUT, where=can_change_meters,
         words="The meter is changed in winter, known to the CIS (a scenario) or not."),
    Kind("meter.multiplier_changed", played.multiplier_changed,
         lambda e: e.columns.multiplier is not None and e.month_columns is None, least_ccf=5),
    Kind("use.rising", played.rising, least_ccf=4, most_ccf=40, months=(1,)),
    Kind("use.repeated_value", played.repeated_value, least_ccf=4, months=(1, 2)),
    Kind("use.negative", played.negative,
         lambda e: e.volume.negative == "credit" and not _has_readings(e), least_ccf=4),
    Kind("period.overlap", played.overlap, lambda e: _has_dates(e) and not _has_readings(e)),
    Kind("period.gap", played.gap, lambda e: not _has_readings(e)),
    Kind("period.off_cycle", played.off_cycle, _has_dates),
    Kind("use.placeholder", played.placeholder, lambda e: not _has_readings(e)),
    Kind("use.tenfold", played.tenfold, lambda e: not _has_readings(e), least_ccf=4),
    Kind("read.estimated_run", played.estimated_run, lambda e: has_estimates(e) and e.month_columns is None),
    Kind("use.winter_above_summer", played.winter_above_summer, least_ccf=4, most_ccf=40),
    Kind("use.zero_run", played.zero_run),
    Kind(ON_INACTIVE, words="The CIS calls the service suspended or closed, and use goes on."),
    Kind("use.high", played.high, least_ccf=4),
    Kind("use.low", played.low, least_ccf=5),
    Kind(MISBILLED, least_ccf=4, words="The average in force is wrong: two digits exchanged, or the year before kept."),
)  # fmt: skip
"""Every kind that services play, those that few can play first."""

DISTRICT_KINDS: dict[str, played.DistrictPlay | None] = {
    "district.unit_changed": played.unit_changed,
    "district.stuck_value": played.stuck_value,
    "district.volume_changed": played.volume_changed,
    "district.accounts_changed": played.accounts_changed,
    "district.month_missing": played.month_missing,
    "district.winter_median_moved": played.winter_median_moved,
    CONTROL_TOTAL: None,
}
"""Every kind that a whole district can play in the last billing year. A control total is misstated by the file itself."""


def _can_show(kind: Kind, entry: District) -> bool:
    """Whether a district's layout and reading rounds can show a kind."""
    return kind.where(entry) and any(round_.months in kind.months for round_ in rounds_of(entry))


Cast = dict[tuple[str, int], int]
"""(rule id, billing year or 0 for all years) -> how many services of one district play it."""


def cast_irregular(
    entries: Sequence[District], counts: Sequence[int], billing_years: Sequence[int], percent: Decimal
) -> list[Cast]:
    """How many services of each district play each kind: ``percent`` of those in districts whose layouts can show it."""
    casts: list[Cast] = [{} for _ in entries]
    if not percent:
        return casts
    for number, kind in enumerate(KINDS):
        able = [place for place, entry in enumerate(entries) if _can_show(kind, entry)]
        if not able:
            continue
        years = [_ALWAYS] if kind.always else billing_years[1:] if kind.rule_id == MISBILLED else billing_years
        for turn, year in enumerate(years):
            first = (number + turn) % len(able)
            order = able[first:] + able[:first]
            sizes = np.cumsum([counts[place] for place in order])
            total = max(int(percent * int(sizes[-1]) / 100 + Decimal("0.5")), 1)
            # The first district has at least one, so that every kind occurs where services are few.
            bounds = -((-total * sizes) // sizes[-1])
            for place, wanted in zip(order, np.diff(bounds, prepend=0), strict=True):
                if wanted:
                    casts[place][kind.rule_id, year] = int(wanted)
    return casts


@dataclass
class Plan:
    """Who plays what in one district. ``by_year``: billing year -> rule id -> rows of the services."""

    seed: tuple[int, ...]
    by_year: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    details: dict[tuple[str, int], str] = field(default_factory=dict)

    def of(self, billing_year: int, rule_id: str) -> list[int]:
        return self.by_year.get(billing_year, {}).get(rule_id, [])

    def playing(self, billing_year: int) -> list[int]:
        return sorted(row for rows in self.by_year.get(billing_year, {}).values() for row in rows)


def _main_meters(population: Population) -> Ints:
    """For each service the row of its own plain meter; -1 where it has none."""
    meters = population.meters
    rows = np.flatnonzero(meters["is_plain"])
    main = np.full(len(population.services), -1)
    main[meters["owner"].to_numpy()[rows]] = rows
    links = population.links["service"].to_numpy()
    main[np.bincount(links[links >= 0], minlength=len(main)) != 1] = -1
    return main


def plan_irregular(
    population: Population, place: int, cast: Cast, billing_years: Sequence[int], seed: int
) -> tuple[Population, Plan]:
    """Choose who plays what, and make the meters that this takes. The population is as it was where nobody plays."""
    plan = Plan((seed, 2**18, place))
    if not cast:
        return population, plan
    rng = np.random.default_rng(plan.seed)
    services, main = population.services, _main_meters(population)
    able = (main >= 0) & (services["scenario"] == "").to_numpy() & ~services["suspended"].to_numpy()
    months = np.array([round_.months for round_ in rounds_of(population.entry)])
    cycle = months[population.meters["route"].to_numpy()[main] % len(months)]
    winter, classes = services["winter_ccf"].to_numpy(), services["class"].to_numpy()
    busy: dict[int, set[int]] = {}
    order = rng.permutation(len(services))
    kinds = {kind.rule_id: kind for kind in KINDS}
    for (rule_id, year), wanted in sorted(cast.items(), key=lambda item: (item[0][1], [*kinds].index(item[0][0]))):
        kind = kinds[rule_id]
        fits = able & (winter >= kind.least_ccf) & (winter <= kind.most_ccf) & np.isin(cycle, kind.months)
        if kind.classes:
            fits &= np.isin(classes, kind.classes)
        if rule_id == PER_DWELLING_UNIT:
            fits &= services["dwelling_units"].to_numpy() <= 12
        years = set(billing_years) if year == _ALWAYS else {year - 1, year, year + 1}
        chosen: list[int] = []
        for row in order[fits[order]].tolist():
            if len(chosen) == wanted:
                break
            if not busy.get(row, set()) & years:
                # Who has another meter from then on plays nothing with the old one.
                busy.setdefault(row, set()).update(
                    set(billing_years) if rule_id == CHANGED_OUT else {year} if year else years
                )
                chosen.append(row)
        for played_in in billing_years if year == _ALWAYS else [year]:
            plan.by_year.setdefault(played_in, {})[rule_id] = chosen
        rows = np.array(chosen, dtype=np.int64)
        if rule_id == MANY_METERS:
            population = _with_many_meters(population, rows, rng)
        elif rule_id == PER_DWELLING_UNIT:
            population = _crowded(population, rows, rng)
        elif rule_id == CHANGED_OUT:
            population = _with_unknown_meters(population, rows, year, rng)
    return population, plan


def _of_services(population: Population, rows: Ints) -> Ints:
    """Rows of the main meters of services, in their order."""
    meters = population.meters
    main = np.flatnonzero((meters["role"] == "main").to_numpy())
    row_of = np.full(len(population.services), -1)
    row_of[meters["owner"].to_numpy()[main]] = main
    of: Ints = row_of[rows]
    return of


def _with_many_meters(population: Population, rows: Ints, rng: np.random.Generator) -> Population:
    """The services' use is counted by many small meters of one account."""
    meters, at = population.meters.copy(), _of_services(population, rows)
    for column in ("winter_ccf", "summer_ccf"):
        meters.loc[at, column] = meters.loc[at, column] / _METERS_OF_ONE
    meters.loc[at, "multiplier"] = 1
    more = meters.iloc[at.repeat(_METERS_OF_ONE - 1)].assign(role="beside", is_plain=False)
    links = population.links[population.links["service"].isin(rows)].sort_values("service", kind="stable")
    links = links.set_index("service").loc[rows].reset_index()
    links = links.loc[np.arange(len(rows)).repeat(_METERS_OF_ONE - 1)]
    return with_more_meters(replace(population, meters=meters), more, links, rng)


def _crowded(population: Population, rows: Ints, rng: np.random.Generator) -> Population:
    """Multi-family buildings that use, for each dwelling unit, far more than a household can."""
    services, meters = population.services.copy(), population.meters.copy()
    at = _of_services(population, rows)
    units = services["dwelling_units"].to_numpy()[rows]
    factor = (
        _PLAUSIBLE_CCF_PER_UNIT * units * rng.uniform(1.3, 1.8, len(rows)) / services["winter_ccf"].to_numpy()[rows]
    )
    for column in ("winter_ccf", "summer_ccf"):
        services.loc[rows, column] *= factor
        meters.loc[at, column] *= factor
    return replace(population, services=services, meters=meters)


def _with_unknown_meters(population: Population, rows: Ints, year: int, rng: np.random.Generator) -> Population:
    """Meters that are changed in the winter, of which the CIS hears a year later."""
    if not len(rows):
        return population
    meters, links, at = population.meters.copy(), population.links.copy(), _of_services(population, rows)
    days = new_year(np.full(len(rows), year)) + rng.integers(-30, 45, len(rows))
    more = meters.iloc[at].assign(role="new", is_plain=False, start=days)
    meters.loc[at, "end"] = days
    of_row = dict(zip(rows.tolist(), days.tolist(), strict=True))
    old = links["service"].isin(rows).to_numpy()
    changed_on = links["service"].map(of_row)[old].astype("int64")
    new = links[old].assign(start=changed_on, start_known_from=year + 1)
    new = new.set_index("service").loc[rows].reset_index()
    links.loc[old, "end"], links.loc[old, "end_known_from"] = changed_on, year + 1
    return with_more_meters(replace(population, meters=meters, links=links), more, new, rng)


def marked(population: Population, plan: Plan, billing_year: int) -> Population:
    """The population in which those who play this year are not plain, so that nothing else happens to them."""
    rows = plan.playing(billing_year)
    if not rows:
        return population
    meters = population.meters
    plays = np.isin(meters["owner"].to_numpy(), rows)
    return replace(population, meters=meters.assign(is_plain=meters["is_plain"] & ~plays))


def with_irregular(population: Population, periods: Periods, plan: Plan, billing_year: int, registers: Ints) -> Periods:
    """The periods of a delivery with what is played in it. ``registers`` go on from there.

    What cannot be shown in the periods there are is taken from the plan.
    """
    acts = [(kind, row) for kind in KINDS if kind.play is not None for row in plan.of(billing_year, kind.rule_id)]
    if not acts:
        return periods
    rng = np.random.default_rng([*plan.seed, billing_year])
    meter_of = _of_services(population, np.array([row for _, row in acts]))
    begins = np.searchsorted(periods.meter, meter_of)
    ends = np.searchsorted(periods.meter, meter_of, side="right")
    changed: list[tuple[int, played.MeterPeriods, Ints]] = []
    for (kind, row), begin, end, meter in zip(acts, begins, ends, meter_of, strict=True):
        here = slice(begin, end)
        one = played.MeterPeriods(
            population.entry, billing_year, periods.start[here].copy(), periods.end[here].copy(),
            periods.billed[here].copy(), periods.registered[here].copy(), periods.estimated[here].copy(),
            periods.multiplier[here].copy(),
        )  # fmt: skip
        opening = int(periods.closing[begin] - periods.billed[begin])
        said = kind.play(one, rng) if kind.play is not None else None
        if said is None:
            plan.by_year[billing_year][kind.rule_id].remove(row)
            continue
        plan.details[population.services["service_id"].iloc[row], billing_year] = said
        closing = _registers_of(one, opening)
        registers[meter] = closing[-1]
        changed.append((int(meter), one, closing))
    return _with_changed(periods, changed)


def after(population: Population, periods: Periods) -> Population:
    """The population a year later: a meter keeps the multiplier that it had in the end."""
    last = np.append(periods.meter[1:] != periods.meter[:-1], True)
    multiplier = population.meters["multiplier"].to_numpy().copy()
    multiplier[periods.meter[last]] = periods.multiplier[last]
    return replace(population, meters=population.meters.assign(multiplier=multiplier))


def _registers_of(one: played.MeterPeriods, opening: int) -> Ints:
    """What a meter's register shows at the end of each period; where its steps come to stand for more, it goes on from there."""
    closing, shown, step = [], opening, int(one.multiplier[0])
    for volume, now in zip(one.billed.tolist(), one.multiplier.tolist(), strict=True):
        shown = shown // step * now + volume if now != step else shown + volume
        step = now
        closing.append(shown)
    return np.array(closing, dtype=np.int64)


def _with_changed(periods: Periods, changed: list[tuple[int, played.MeterPeriods, Ints]]) -> Periods:
    """Periods in which some meters have others."""
    if not changed:
        return periods
    stays = ~np.isin(periods.meter, [meter for meter, *_ in changed])
    old = np.flatnonzero(stays)
    ones = [one for _, one, _ in changed]
    closing = [shown for _, _, shown in changed]
    meter = np.concatenate([periods.meter[old], *(np.full(len(one.start), m) for m, one, _ in changed)])
    order = np.argsort(meter, kind="stable")
    place_of = np.full(len(periods.meter), -1)
    place_of[old] = np.flatnonzero(order < len(old))

    def joined(kept: Ints, parts: list[Ints]) -> Ints:
        together: Ints = np.concatenate([kept[old], *parts])[order]
        return together

    return Periods(
        meter[order],
        joined(periods.start, [one.start for one in ones]),
        joined(periods.end, [one.end for one in ones]),
        joined(periods.billed, [one.billed for one in ones]),
        joined(periods.registered, [one.registered for one in ones]),
        joined(periods.closing, closing),
        np.concatenate([periods.estimated[old], *(one.estimated for one in ones)])[order],
        place_of[periods.leaks],
        periods.without_leak,
        joined(periods.multiplier, [one.multiplier for one in ones]),
    )


def with_district_fault(
    population: Population, periods: Periods, rule_id: str, plan: Plan, billing_year: int
) -> tuple[Periods, str]:
    """The periods of a district that plays a kind as a whole, and what it played."""
    play = DISTRICT_KINDS[rule_id]
    if play is None:
        return periods, "the trailer states other totals"
    rng = np.random.default_rng([*plan.seed, billing_year, 1])
    account = population.meters["own_account"].factorize()[0][periods.meter]
    all_ = played.DistrictPeriods(
        population.entry, billing_year, account, periods.start, periods.end, periods.billed.copy(),
        periods.registered.copy(), periods.multiplier, np.ones(len(account), dtype=bool),
    )  # fmt: skip
    detail = play(all_, rng)
    opening = (periods.closing - periods.billed)[np.searchsorted(periods.meter, periods.meter)]
    total = np.cumsum(all_.billed)
    first = np.flatnonzero(first_of_each(periods.meter))
    before = (total - all_.billed)[first].repeat(np.diff(np.append(first, len(total))))
    leaks = all_.kept[periods.leaks]
    place_of = np.cumsum(all_.kept) - 1
    kept = all_.kept
    return Periods(
        periods.meter[kept], periods.start[kept], periods.end[kept], all_.billed[kept], all_.registered[kept],
        (opening + total - before)[kept], periods.estimated[kept], place_of[periods.leaks[leaks]],
        periods.without_leak[leaks], periods.multiplier[kept],
    ), detail  # fmt: skip


def inactive_services(population: Population, plan: Plan, billing_year: int) -> dict[int, int]:
    """Services that the extract calls inactive while use goes on: row -> day of the end, ``FAR`` where it is suspended."""
    rows = plan.of(billing_year, ON_INACTIVE)
    closed = day(billing_year - 1, 11, 15)
    return {row: closed if _INACTIVE[turn % 2] == "closed" else FAR for turn, row in enumerate(rows)}


def misbilled_averages(
    population: Population, plan: Plan, billing_year: int, in_force: Floats, a_year_before: Floats
) -> Floats:
    """The averages in the extract, wrong at those who play that: two digits exchanged, or those of the year before kept.

    CCF to the hundredth.
    """
    rows = plan.of(billing_year, MISBILLED)
    written = in_force.copy()
    for turn, row in enumerate([*rows]):
        right, former = float(in_force[row]), float(a_year_before[row])
        if np.isnan(right):
            plan.by_year[billing_year][MISBILLED].remove(row)
            continue
        wrong, words = _with_digits_exchanged(right), "two digits exchanged"
        if (turn % 2 or wrong == right) and abs(former - right) >= 0.3:
            wrong, words = former, "the average of the year before kept"
        if wrong == right:
            wrong, words = right + 3, "three too many"
        written[row] = wrong
        service_id = population.services["service_id"].iloc[row]
        plan.details[service_id, billing_year] = f"{words}: {wrong:.2f} for {right:.2f}"
    return written


def _with_digits_exchanged(average: float) -> float:
    """12.34 becomes 21.34; 7.52 becomes 5.72."""
    digits = f"{average:.2f}"
    other = 2 if digits[1] == "." else 1
    return float(digits[other] + digits[1:other] + digits[0] + digits[other + 1 :])


def truth_of(
    population: Population, periods: Periods, plan: Plan, billing_year: int, present: Ints, rollovers: list[Rollover]
) -> list[Found]:
    """What the rules have to find of the services in this year's extract; ``rollovers``: registers that went round."""
    services, meters, district = population.services, population.meters, population.entry.district
    account = np.full(len(services), "", dtype=object)
    own = population.links[population.links["service"] >= 0]
    account[own["service"].to_numpy()] = meters["account"].to_numpy(dtype=object)[own["meter"].to_numpy()]
    found: list[Found] = []

    def add(rule_id: str, row: int, detail: str = "") -> None:
        service_id = str(services["service_id"].iloc[row])
        found.append(Found(billing_year, rule_id, district, service_id, str(account[row]), detail))

    is_present: Flags = np.zeros(len(services), dtype=bool)
    is_present[present] = True
    for rule_id, rows in plan.by_year.get(billing_year, {}).items():
        for turn, row in enumerate(rows):
            said = plan.details.get((str(services["service_id"].iloc[row]), billing_year), "")
            add(rule_id, row, _INACTIVE[turn % 2] if rule_id == ON_INACTIVE else said)
    for scenario, rule_id in _OF_SCENARIO.items():
        plays = (services["scenario"] == scenario) & (services["scenario_year"] == billing_year)
        for row in np.flatnonzero(plays.to_numpy() & is_present).tolist():
            add(rule_id, row)
    for row in np.flatnonzero(services["suspended"].to_numpy() & is_present).tolist():
        add(ON_INACTIVE, row, "suspended")
    for rule_id, meter, detail in _estimates(periods):
        row = int(meters["owner"].iloc[meter])
        if row >= 0 and is_present[row]:
            add(rule_id, row, detail)
    found += [
        Found(billing_year, "meter.rollover", district, r.service_id, r.district_account, r.detail) for r in rollovers
    ]
    different = {(one.rule_id, one.service_id): one for one in reversed(found)}
    return sorted(different.values())


def _estimates(periods: Periods) -> list[tuple[str, int, str]]:
    """Runs of three estimates and more, and credits that end estimates: rule id, meter, detail."""
    found = []
    starts = np.flatnonzero(periods.estimated & ~np.append(False, periods.estimated[:-1]))
    for first in starts.tolist():
        last = first
        while last + 1 < len(periods.meter) and periods.estimated[last + 1]:
            last += 1
        if last - first >= 2:
            detail = f"{date_of(periods.start[first])} to {date_of(periods.end[last])}"
            found.append(("read.estimated_run", int(periods.meter[first]), detail))
        after = last + 1
        if after < len(periods.meter) and periods.meter[after] == periods.meter[first] and periods.billed[after] < 0:
            detail = f"corrected on {date_of(periods.end[after])}"
            found.append(("read.estimate_then_correction", int(periods.meter[first]), detail))
    return found


def planned_faults(faults: Mapping[str, str], districts: Sequence[str]) -> dict[str, str]:
    """District -> the kind that it plays as a whole. ValueError where a kind or district is not known, or a district has two."""
    planned: dict[str, str] = {}
    for rule_id, district in faults.items():
        if rule_id not in DISTRICT_KINDS or district not in districts or district in planned:
            raise ValueError(f"{rule_id} cannot be played by {district}")
        planned[district] = rule_id
    return planned
