"""Who is there: the invented sewer services, meters and district accounts of one district, and the scenarios they play.

Belongs here: classes, dates, meters, links, account numbers, and which service is special in which way.
Does not belong here: how much water flows (``usage``), how it is written down (``layouts``, ``extract``).

Days are days since 1970-01-01. Nobody in here is real, and nobody has a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.simulation.account_numbers import accounts_of, restores_zeros, spread_numbers
from pipelines.simulation.lines import FAR, Flags, Floats, Ints, day
from pipelines.simulation.refusal import cannot, shown_as
from rate_tables.volume_units import SIZE_8NL
from validations.district import District, RegisterReadings
from validations.layout import AtCharacters, FixedWidth, Workbook

CLASSES = ["single_family", "multi_family", "commercial", "industrial", "institutional"]
SINGLE, MULTI, COMMERCIAL, INDUSTRIAL, INSTITUTIONAL = range(5)
_CLASS_SHARES = [0.84, 0.06, 0.07, 0.01, 0.02]
_JURISDICTIONS = ["unincorporated", "fernbrook", "osprey_hill", "linden_mills"]
_JURISDICTION_SHARES = [0.4, 0.3, 0.18, 0.12]
_NON_SEWER_REASONS = ["septic", "outside the boundary", "irrigation only"]
_NON_SEWER_SHARE = 0.03
_UNMATCHED_ACCOUNTS = 2
_SUSPENDED_SHARE = 0.004
_LEAST_COMPOUND_CCF = 20.0
_LEAST_MULTIPLIED_CCF = 40.0


def as_of(billing_year: int) -> int:
    """The day on which the CIS extract of a billing year is taken."""
    return day(billing_year, 6, 1)


def new_year(billing_years: Ints) -> Ints:
    """1 January of each year."""
    return np.array([day(int(year), 1, 1) for year in billing_years], dtype=np.int64)


def has_meter_ids(entry: District) -> bool:
    return entry.has_meter_ids


def _is_register(entry: District) -> bool:
    return isinstance(entry.measure, RegisterReadings)


def has_estimates(entry: District) -> bool:
    return entry.columns.read_type is not None and "estimated" in entry.read_types.values()


def _can_lose_zeros(entry: District) -> bool:
    if restores_zeros(entry) or entry.account_numbers.cross_reference is not None:
        return False
    return isinstance(entry.layout, FixedWidth) or (_is_register(entry) and not isinstance(entry.layout, Workbook))


def is_by_month(entry: District) -> bool:
    """Whether periods are calendar months, named by month and not by day."""
    return entry.month_columns is not None or entry.bill_month is not None


def can_change_meters(entry: District) -> bool:
    return entry.has_meter_ids and not is_by_month(entry)


def _anywhere(entry: District) -> bool:
    return True


@dataclass(frozen=True)
class Scenario:
    """Something out of the ordinary that a service plays.

    ``share`` is the part of a district's services that play it (each year anew where ``yearly``); ``at_least`` holds
    for the whole workspace (in each year), in a district where it can happen.
    """

    name: str
    share: float
    customer_class: int | None = None
    yearly: bool = False
    at_least: int = 1
    at_most: int | None = None
    where: Callable[[District], bool] = _anywhere


SCENARIOS = (
    Scenario("irrigation_meter", 0.015, SINGLE),
    Scenario("fire_meter", 0.004, COMMERCIAL),
    Scenario("two_domestic_meters", 0.004, MULTI, where=has_meter_ids),
    Scenario("shared_meter", 0.002, MULTI),
    Scenario("deduct_meter", 0.003, COMMERCIAL),
    Scenario("cooling_tower", 0.002, INDUSTRIAL),
    Scenario("well", 0.006, SINGLE),
    Scenario("permit", 0.001, INDUSTRIAL),
    Scenario("wholesale", 0.0002, INSTITUTIONAL, at_least=2),
    Scenario("provider_change", 0.003, SINGLE, yearly=True),
    Scenario("new_service", 0.005, SINGLE, yearly=True),
    Scenario("new_commercial_no_history", 0.001, COMMERCIAL, yearly=True, at_least=3),
    Scenario("finaled_service", 0.005, SINGLE, yearly=True),
    Scenario("builder_low_winter", 0.003, SINGLE, yearly=True),
    Scenario("new_occupant", 0.01, SINGLE, yearly=True),
    Scenario("vacant", 0.008, SINGLE, yearly=True),
    Scenario("leak", 1 / 300, SINGLE, yearly=True, at_least=2),
    Scenario("rollover", 0.006, yearly=True, where=_is_register),
    Scenario("change_out", 0.004, yearly=True, where=can_change_meters),
    Scenario("estimated_reads", 0.008, yearly=True, where=has_estimates),
    Scenario("unmatched_service", 0.0015, yearly=True),
    Scenario("lost_zeros", 0.003, SINGLE, yearly=True, at_most=2, where=_can_lose_zeros),
    Scenario("class_change", 0.001, COMMERCIAL, yearly=True),
    Scenario("edu_change", 0.002, COMMERCIAL, yearly=True),
)
NON_SEWER = "non_sewer"
SCENARIO_NAMES = (*(scenario.name for scenario in SCENARIOS), NON_SEWER)
_SINCE_LAST_EXTRACT = {"class_change", "edu_change"}

Cast = dict[tuple[str, int], int]
"""(scenario, billing year or 0 for all years) -> how many times in one district."""


def refuse_another_life(latest: District, earlier: District) -> None:
    """ConfigError if two entries of one district could not be of the same meters, accounts and lives."""
    facts = {
        "measure": lambda e: (
            (e.measure, e.volume.unit, e.volume.implied_decimals) if _is_register(e) else e.measure.gives
        ),
        "account_numbers": lambda e: e.account_numbers,
        "columns.meter": has_meter_ids,
        "columns.read_type": has_estimates,
        "bill_month": is_by_month,
        "layout.kind": _can_lose_zeros,
    }
    for key, fact in facts.items():
        if fact(latest) != fact(earlier):
            raise cannot(
                shown_as(latest),
                key,
                "a change of this from one year to another cannot be "
                "simulated; the other layouts of this district must have it alike.",
            )


def cast_scenarios(entries: Sequence[District], counts: Sequence[int], billing_years: Sequence[int]) -> list[Cast]:
    """How often each scenario is played in each district, so that every one occurs even where services are few."""
    casts: list[Cast] = [{} for _ in entries]
    for number, scenario in enumerate(SCENARIOS):
        able = [place for place, entry in enumerate(entries) if scenario.where(entry)]
        if scenario.name == "provider_change":
            able = able[:-1]  # a service moves to the district that comes next
            years = billing_years[-1:]
        elif scenario.name in _SINCE_LAST_EXTRACT:
            years = billing_years[1:]
        else:
            years = billing_years if scenario.yearly else [0]
        for turn, year in enumerate(years):
            for place in able:
                wanted = int(scenario.share * counts[place] + 0.5)
                if place == able[(number + turn) % len(able)]:
                    wanted = max(wanted, scenario.at_least)
                if scenario.at_most is not None:
                    wanted = min(wanted, scenario.at_most)
                if wanted:
                    casts[place][scenario.name, year] = wanted
    return casts


@dataclass(frozen=True)
class Population:
    """Everybody in one district, over all years.

    ``services``: one row per sewer service, with scenario and scenario_year. ``meters``: one row per meter, in the
    order of the district's files; ``owner`` is the row of its first service or -1, ``account`` the number that the CIS
    knows, ``own_account`` the district's, ``low_percent`` the part that a compound meter's second register counts (0: it
    has none), ``multiplier`` what one step of its registers stands for. ``links``: service_id, meter (row of
    ``meters``), purpose, share_millionths, start, end, start_known_from and end_known_from (the billing year from
    which the CIS has them); ``service`` is the row of ``services``, -1 for a service of another district. ``leaving``: services that go over to the next district.
    """

    entry: District
    services: pd.DataFrame
    meters: pd.DataFrame
    links: pd.DataFrame
    leaving: pd.DataFrame


class _Meters:
    """Meters and links as they are added, before they have account numbers."""

    def __init__(self) -> None:
        self.blocks: list[pd.DataFrame] = []
        self.links: list[pd.DataFrame] = []
        self.count = 0

    def add(self, role: str, owner: Ints, key: Ints, start: Ints, end: Ints, winter: Floats, summer: Floats) -> Ints:
        """Meters with monthly use in winter and what the height of summer adds (CCF a month); returns their ids."""
        ids = np.arange(self.count, self.count + len(key))
        self.count += len(key)
        self.blocks.append(
            pd.DataFrame({
                "id": ids, "role": role, "owner": owner, "key": key, "start": start, "end": end,
                "winter_ccf": winter, "summer_ccf": summer,
            })
        )  # fmt: skip
        return ids

    def link(
        self, service: Ints, meter: Ints, purpose: str, start: Ints, end: Ints, share: Ints | int = 1_000_000
    ) -> None:
        self.links.append(
            pd.DataFrame({
                "service": service, "meter": meter, "purpose": purpose, "share_millionths": share,
                "start": start, "end": end,
            })
        )  # fmt: skip


def _cast_services(rng: np.random.Generator, count: int, cast: Cast) -> tuple[Ints, np.ndarray, Ints, list[Ints]]:
    """Class, scenario and scenario year of each service, and the groups that share a meter."""
    classes = rng.choice(len(CLASSES), size=count, p=_CLASS_SHARES)
    scenario = np.full(count, "", dtype=object)
    scenario_year = np.zeros(count, dtype=np.int64)
    order = rng.permutation(count)
    groups: list[Ints] = []
    wanted_class = {s.name: s.customer_class for s in SCENARIOS}
    for (name, year), wanted in cast.items():
        sizes = [1] * wanted if name != "shared_meter" else [2 + turn % 3 for turn in range(wanted)]
        pool = order[scenario[order] == ""]
        needed = wanted_class[name]
        if needed is not None:
            fits = classes[pool] == needed
            pool = np.concatenate([pool[fits], pool[~fits]])
        chosen = pool[: sum(sizes)]
        scenario[chosen], scenario_year[chosen] = name, year
        if needed is not None:
            classes[chosen] = needed
        if name == "shared_meter":
            ends = np.cumsum(sizes)
            groups += [np.sort(chosen[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    return classes, scenario, scenario_year, [group for group in groups if len(group) > 1]


def _winter_and_summer(rng: np.random.Generator, classes: Ints, dwelling_units: Ints) -> tuple[Floats, Floats]:
    """Usual monthly use in winter, and what the height of summer adds to it, in CCF."""
    count = len(classes)
    typical = np.array([7.0, 4.4, 18.0, 220.0, 55.0])[classes]
    spread = np.array([0.33, 0.25, 0.9, 0.6, 0.8])[classes]
    most = np.array([40.0, 20.0, 400.0, 700.0, 500.0])[classes]
    winter = np.minimum(typical * np.exp(spread * rng.standard_normal(count)), most)
    winter *= np.where(classes == MULTI, dwelling_units, 1)
    added = np.array([0.9, 0.15, 0.3, 0.05, 0.7])[classes] * np.exp(0.5 * rng.standard_normal(count))
    return winter, winter * np.minimum(added, 4.0)


def _services(
    rng: np.random.Generator, count: int, cast: Cast, first_year: int, prefix: str
) -> tuple[pd.DataFrame, list[Ints]]:
    """Every sewer service of the district, with what changes about it and when."""
    classes, scenario, scenario_year, groups = _cast_services(rng, count, cast)
    units = np.where(classes == SINGLE, 1, np.where(classes == MULTI, 2 + (38 * rng.random(count) ** 3).astype(int), 0))
    # An even number of fixture units is an exact number of thousandths of an EDU (16 fixture units).
    fixture_units = 2 * rng.integers(4, 120, count) * np.where(classes == INDUSTRIAL, 5, 1)
    edu = np.where(units > 0, units * 1000, fixture_units * 1000 // 16)
    esu = np.where(classes == SINGLE, 100, 100 + (5900 * rng.random(count) ** 3).astype(int))
    winter, summer = _winter_and_summer(rng, classes, units)
    start = rng.integers(day(1980, 1, 1), day(first_year - 3, 6, 1), count)
    occupant = start + ((day(first_year - 2, 10, 1) - start) * rng.random(count)).astype(np.int64)
    end = np.full(count, FAR)
    next_occupant = np.full(count, FAR)

    def playing(name: str, earliest: int, latest: int) -> tuple[Ints, Ints]:
        """Rows that play a scenario, and a day for each, counted from 1 January of its year."""
        rows = np.flatnonzero(scenario == name)
        return rows, new_year(scenario_year[rows]) + rng.integers(earliest, latest + 1, len(rows))

    for name, earliest, latest in (("new_service", 45, 105), ("new_commercial_no_history", 80, 110)):
        rows, days = playing(name, earliest, latest)
        start[rows] = occupant[rows] = days
    rows, days = playing("finaled_service", -110, 80)
    end[rows] = days
    rows, days = playing("builder_low_winter", 24, 58)
    start[rows], occupant[rows] = days - rng.integers(90, 150, len(rows)), days
    rows, days = playing("new_occupant", -25, 30)
    next_occupant[rows] = days

    jurisdiction = rng.choice(len(_JURISDICTIONS), size=count, p=_JURISDICTION_SHARES)
    agencies = ["sewer_utility", *(f"city_of_{city}" for city in _JURISDICTIONS[1:])]
    source = np.full(count, "district", dtype=object)
    for name in ("well", "permit", "wholesale"):
        source[scenario == name] = name
    changes = np.isin(scenario, list(_SINCE_LAST_EXTRACT))
    services = pd.DataFrame({
        "service_id": [f"S{prefix}{number:06d}" for number in range(1, count + 1)],
        "scenario": scenario,
        "scenario_year": scenario_year,
        "class": classes,
        "next_class": np.where(scenario == "class_change", INSTITUTIONAL, classes),
        "dwelling_units": units,
        "edu_thousandths": edu,
        "next_edu_thousandths": np.where(scenario == "edu_change", edu + 125 * rng.integers(4, 60, count), edu),
        "change_year": np.where(changes, scenario_year, 9999),
        "esu_hundredths": esu,
        "jurisdiction": np.array(_JURISDICTIONS, dtype=object)[jurisdiction],
        "billing_agency": np.array(agencies, dtype=object)[jurisdiction],
        "billing_frequency": np.where(rng.random(count) < 0.55, "two_monthly", "monthly"),
        "suspended": (scenario == "") & (rng.random(count) < _SUSPENDED_SHARE),
        "start": start,
        "end": end,
        "occupant_since": occupant,
        "next_occupant_since": next_occupant,
        "volume_source": source,
        "winter_ccf": winter,
        "summer_ccf": summer,
    })  # fmt: skip
    return services, groups


def _equal_shares(size: int) -> list[int]:
    """Shares in millionths that add to exactly one."""
    return [1_000_000 // size] * (size - 1) + [1_000_000 - (size - 1) * (1_000_000 // size)]


def _add_meters(
    rng: np.random.Generator, entry: District, services: pd.DataFrame, groups: list[Ints], moving_day: int
) -> _Meters:
    """The meters of the district's sewer services, and the links between them."""
    count = len(services)
    made = _Meters()
    start, end = services["start"].to_numpy().copy(), services["end"].to_numpy().copy()
    scenario, year = services["scenario"].to_numpy(), services["scenario_year"].to_numpy()
    winter, summer = services["winter_ccf"].to_numpy().copy(), services["summer_ccf"].to_numpy().copy()
    metered = services["volume_source"].to_numpy() == "district"
    alone = metered.copy()
    for group in groups:
        alone[group] = False
        metered[group[1:]] = False
        winter[group[0]], summer[group[0]] = winter[group].sum(), summer[group].sum()
        start[group] = start[group].max()
    twice = scenario == "two_domestic_meters"
    winter[twice], summer[twice] = winter[twice] / 2, summer[twice] / 2
    changed = scenario == "change_out"
    end[changed] = new_year(year[changed]) + rng.integers(-30, 45, changed.sum())
    end[scenario == "provider_change"] = moving_day

    main = np.full(count, -1)
    rows = np.flatnonzero(metered)
    main[rows] = made.add("main", rows, rows, start[rows], end[rows], winter[rows], summer[rows])
    rows = np.flatnonzero(alone)
    made.link(rows, main[rows], "domestic", start[rows], end[rows])
    for turn, group in enumerate(groups):
        shares = [500_000, 250_000, 250_000] if len(group) == 3 and turn % 2 else _equal_shares(len(group))
        made.link(group, main[group[[0]]].repeat(len(group)), "domestic", start[group], end[group], np.array(shares))

    next_key = count

    def beside(name: str, purpose: str, of_winter: float, of_summer: float, more: float = 0.0) -> None:
        """A further meter; an account of its own where the layout tells no meters apart."""
        nonlocal next_key
        rows = np.flatnonzero(scenario == name)
        keys = rows
        if not entry.has_meter_ids:
            keys = np.arange(next_key, next_key + len(rows))
            next_key += len(rows)
        use = of_winter * winter[rows], of_summer * summer[rows] + more
        ids = made.add("beside", rows, keys, start[rows], end[rows], *use)
        made.link(rows, ids, purpose, start[rows], end[rows])

    beside("irrigation_meter", "irrigation", 0.0, 1.0, more=8.0)
    beside("fire_meter", "fire", 0.003, 0.0)
    beside("two_domestic_meters", "domestic", 1.0, 1.0)
    beside("deduct_meter", "deduct", 0.3, 0.3)
    beside("cooling_tower", "make_up", 0.4, 0.8)
    beside("cooling_tower", "blow_down", 0.15, 0.3)
    rows = np.flatnonzero(changed)
    far = np.full(len(rows), FAR)
    made.link(rows, made.add("new", rows, rows, end[rows], far, winter[rows], summer[rows]), "domestic", end[rows], far)

    others = max(1, round(_NON_SEWER_SHARE * count)) + _UNMATCHED_ACCOUNTS
    use = _winter_and_summer(rng, np.zeros(others, dtype=np.int64), np.ones(others, dtype=np.int64))
    keys = np.arange(next_key, next_key + others)
    since, far, nobody = np.full(others, day(1990, 1, 1)), np.full(others, FAR), np.full(others, -1)
    unmatched = np.arange(others) < _UNMATCHED_ACCOUNTS
    for role, which in (("unmatched", unmatched), (NON_SEWER, ~unmatched)):
        made.add(role, nobody[which], keys[which], since[which], far[which], use[0][which], use[1][which])
    return made


def _meter_texts(entry: District, rng: np.random.Generator, count: int) -> list[str]:
    """Serial numbers in the district's style; empty where its layout has none."""
    reference = entry.columns.meter
    if reference is None:
        return [""] * count
    digits = min(7, reference.width - 1) if isinstance(reference, AtCharacters) else 7
    numbers = spread_numbers(rng, count, 10**digits // 5, max(10**digits // 2, count))
    letter = "" if not _is_register(entry) and not isinstance(entry.layout, FixedWidth) else entry.district[0].upper()
    return [f"{letter}{number}" for number in numbers]


def _windows(rng: np.random.Generator, meters: pd.DataFrame, services: pd.DataFrame) -> None:
    """The time in which a meter's use is a factor of the usual: empty house, building site, former occupant."""
    count = len(meters)
    opens, closes, factor = np.full(count, FAR), np.full(count, FAR), np.ones(count)
    owner, scenario = meters["owner"].to_numpy(), meters["scenario"].to_numpy()
    rows = np.flatnonzero(scenario == "vacant")
    opens[rows] = new_year(meters["scenario_year"].to_numpy()[rows]) + rng.integers(-75, -30, len(rows))
    closes[rows], factor[rows] = opens[rows] + rng.integers(75, 130, len(rows)), 0.0
    rows = np.flatnonzero(scenario == "builder_low_winter")
    opens[rows], factor[rows] = 0, 0.06
    closes[rows] = services["occupant_since"].to_numpy()[owner[rows]]
    rows = np.flatnonzero(scenario == "new_occupant")
    opens[rows], factor[rows] = 0, rng.choice([0.4, 0.6, 1.5, 1.9], len(rows))
    closes[rows] = services["next_occupant_since"].to_numpy()[owner[rows]]
    meters["window_start"], meters["window_end"], meters["window_factor"] = opens, closes, factor


def per_ccf(entry: District) -> float:
    """Volumes of the district's unit in one CCF."""
    return SIZE_8NL["ccf"] / SIZE_8NL[entry.volume.unit]


def _large_meters(entry: District, meters: pd.DataFrame, services: pd.DataFrame) -> None:
    """Which meters are compound, and which count by tens or hundreds: those that serve more than a household."""
    count, columns = len(meters), entry.columns
    winter, owner = meters["winter_ccf"].to_numpy(), meters["owner"].to_numpy()
    is_large: Flags = (owner >= 0) & (services["class"].to_numpy()[owner] != SINGLE)
    turn = meters["id"].to_numpy()
    compound = np.zeros(count, dtype=bool)
    if (columns.register_id is not None or columns.registers > 1) and entry.month_columns is None:
        compound = is_large & (winter >= _LEAST_COMPOUND_CCF) & (meters["role"] == "main").to_numpy()
        compound &= (meters["scenario"] == "").to_numpy() & (turn % 2 == 0)
    meters["low_percent"] = np.where(compound, 10 + turn % 31, 0)
    multiplier = np.ones(count, dtype=np.int64)
    if columns.multiplier is not None:
        multiplied = is_large & ~compound & (winter >= _LEAST_MULTIPLIED_CCF)
        multiplier[multiplied] = np.where(winter[multiplied] * per_ccf(entry) >= 10_000, 100, 10)
    meters["multiplier"] = multiplier


def nobody_moves() -> pd.DataFrame:
    """``leaving`` of a district that nobody leaves."""
    return pd.DataFrame({"service_id": [], "winter_ccf": [], "summer_ccf": [], "since": np.array([], dtype=np.int64)})


def _in_order(meters: pd.DataFrame, links: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Meters in the order of the district's files; ``links``, whose ``meter`` is an id of a meter, have its row there."""
    meters = meters.sort_values(["own_account", "id"], kind="stable", ignore_index=True)
    row_of_id = np.empty(len(meters), dtype=np.int64)
    row_of_id[meters["id"].to_numpy()] = np.arange(len(meters))
    return meters, links.assign(meter=row_of_id[links["meter"].to_numpy()])


def with_more_meters(
    population: Population, meters: pd.DataFrame, links: pd.DataFrame, rng: np.random.Generator
) -> Population:
    """The population with further meters of its accounts, each with a number of its own and the link in the same row.

    ``meters`` and ``links`` have the columns of the population's; id, meter_id and meter are given here.
    """
    own, count = population.meters, len(population.meters)
    ids = np.arange(count, count + len(meters))
    # Those that were given are drawn from below 8,000,000, or what is alike with fewer digits.
    width = own["meter_id"].str.extract(r"([0-9]+)$")[0].str.len().max() if has_meter_ids(population.entry) else 1
    lowest = 8 * 10 ** (int(width) - 1)
    taken = set(own["meter_id"])
    texts: list[str] = []
    for letter in meters["meter_id"].str.replace(r"[0-9]+$", "", regex=True):
        text = ""
        while not text or text in taken:
            text = f"{letter}{rng.integers(lowest, lowest * 5 // 4)}"
        taken.add(text)
        texts.append(text)
    together = pd.concat([own, meters.assign(id=ids, meter_id=texts)], ignore_index=True)
    linked = population.links.assign(meter=own["id"].to_numpy()[population.links["meter"].to_numpy()])
    all_links = pd.concat([linked, links.assign(meter=ids)], ignore_index=True)
    together, all_links = _in_order(together, all_links)
    all_links = all_links.sort_values(["service_id", "start", "meter"], kind="stable", ignore_index=True)
    return replace(population, meters=together, links=all_links)


def links_known(population: Population, billing_year: int) -> pd.DataFrame:
    """The links as the CIS has them in a billing year's extract: what it hears of later is not there yet."""
    links = population.links[population.links["start_known_from"] <= billing_year]
    return links.assign(end=np.where(links["end_known_from"] <= billing_year, links["end"], FAR))


def populate(
    entry: District,
    place: int,
    count: int,
    cast: Cast,
    billing_years: Sequence[int],
    seed: int,
    arriving: pd.DataFrame,
    moving_day: int,
) -> Population:
    """The whole population of one district.

    ``arriving``: the services that come over from the district before it (its ``leaving``), each ``since`` its day.
    ``moving_day``: when those who leave this one go.
    """
    rng = np.random.default_rng([seed, place])
    services, groups = _services(rng, count, cast, billing_years[0], f"{place + 1:02d}")
    made = _add_meters(rng, entry, services, groups, moving_day)
    highest_key = max(int(block["key"].max()) for block in made.blocks if len(block))
    nobody = np.full(len(arriving), -1)
    keys = np.arange(highest_key + 1, highest_key + 1 + len(arriving))
    since, far = arriving["since"].to_numpy(), np.full(len(arriving), FAR)
    use = arriving["winter_ccf"].to_numpy(), arriving["summer_ccf"].to_numpy()
    ids = made.add("arriving", nobody, keys, since, far, *use)
    made.link(nobody, ids, "domestic", since, far)

    meters = pd.concat(made.blocks, ignore_index=True)
    accounts, key = accounts_of(entry, rng, int(meters["key"].max()) + 1), meters["key"].to_numpy()
    meters["account"] = np.array(accounts.known, dtype=object)[key]
    meters["own_account"] = np.array(accounts.own, dtype=object)[key]
    meters["is_in_sheet"] = accounts.is_in_sheet[key]
    meters["meter_id"] = _meter_texts(entry, rng, len(meters))
    owner = meters["owner"].to_numpy()
    for column, for_nobody in (("scenario", ""), ("scenario_year", 0)):
        plays = (owner >= 0) & meters["role"].isin(["main", "new"]).to_numpy()
        meters[column] = np.where(plays, services[column].to_numpy(dtype=object)[owner], for_nobody)
    meters["scenario_year"] = meters["scenario_year"].astype("int64")
    _windows(rng, meters, services)
    # All meters of an account are read on one round; the calendar says how many rounds there are.
    meters["route"] = rng.integers(0, 2**31, int(meters["key"].max()) + 1)[meters["key"].to_numpy()]
    meters["register_share"] = rng.random(len(meters)) * 0.9
    reasons = np.array(_NON_SEWER_REASONS, dtype=object)[rng.choice(3, len(meters), p=[0.6, 0.25, 0.15])]
    meters["non_sewer_reason"] = np.where(meters["role"] == NON_SEWER, reasons, "")
    _large_meters(entry, meters, services)
    meters["is_plain"] = (meters["role"] == "main") & (meters["scenario"] == "") & (meters["low_percent"] == 0)
    links = pd.concat([block for block in made.links if len(block)], ignore_index=True)
    links["start_known_from"] = links["end_known_from"] = 0
    meters, links = _in_order(meters, links)
    service = links["service"].to_numpy()
    links["service_id"] = services["service_id"].to_numpy(dtype=object)[service]
    links.loc[service < 0, "service_id"] = arriving["service_id"].to_numpy(dtype=object)
    links = links.sort_values(["service_id", "start", "meter"], kind="stable", ignore_index=True)

    goes = services["scenario"] == "provider_change"
    leaving = services.loc[goes, ["service_id", "winter_ccf", "summer_ccf"]].assign(since=moving_day)
    return Population(entry, services, meters, links, leaving.reset_index(drop=True))
