"""The winter average, against an independent implementation and published examples.

Belongs here: which part of a period counts, coverage, the average and its one rounding.
Does not belong here: what stands in for an average that cannot be computed (``billing_basis``).

The second implementation below walks day by day in fractions. What it shares with the code is the rule: a period's volume is
laid over its days by running totals rounded half away from zero to thousandths, so parts add to it; a meter's shares likewise,
after the days; the average is rounded once, from the exact sum of these parts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import floor
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rate_tables.averaging import counted_periods, days_covered, winter_averages
from rate_tables.schedule import SHIPPED, AveragingRule, Rounding, load_schedule, window, window_months
from validations.contract import Contract
from validations.tables import ADJUSTED_CONSUMPTION, CONSUMPTION, SERVICE_CONSUMPTION, SEWER_SERVICES

SCHEDULE = load_schedule(SHIPPED / "clean_water_services" / "2018-07-01.yaml").schedule
WINTER = (dt.date(2018, 11, 1), dt.date(2019, 5, 1))
OPEN = dt.date(9999, 12, 31)
LONG_AGO = dt.date(2001, 1, 1)
MILLION = 1_000_000

CUBIC_INCH = Fraction(254, 100) ** 3  # cubic centimetres
CUBIC_CENTIMETRES = {
    "ccf": 100 * 12**3 * CUBIC_INCH,
    "gal": 231 * CUBIC_INCH,
    "thousand_gal": 1_000 * 231 * CUBIC_INCH,
    "m3": Fraction(1_000_000),
}


@dataclass(frozen=True)
class Period:
    start: dt.date
    end: dt.date
    billed: int
    registered: int = 0
    read_type: str = "actual"
    adjusted: int | None = None


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


@dataclass(frozen=True)
class World:
    meters: dict[str, Meter]
    services: dict[str, Service] = field(default_factory=lambda: {"S1": Service()})


@dataclass(frozen=True)
class Average:
    """What a service's winter comes to."""

    average: int | None
    volume: int
    days_covered: int
    periods: int
    estimated: int
    adjusted: int


Winter = tuple[dt.date, dt.date]
Part = tuple[str, int, dt.date, dt.date, bool, int]
"""Service, source row, first and last counted day (the last one exclusive), whether it covers, counted volume."""


def ruled(rule: AveragingRule = SCHEDULE.averaging, **values: Any) -> AveragingRule:
    """The rule with other values."""
    cited = {name: getattr(rule, name).model_copy(update={"value": value}) for name, value in values.items()}
    return rule.model_copy(update=cited)


def rounded_to(decimals: int) -> Rounding:
    cited = SCHEDULE.rounding.average_decimals.model_copy(update={"value": decimals})
    return SCHEDULE.rounding.model_copy(update={"average_decimals": cited})


# --- the code under test, over tables that keep their contracts


def rows_of(world: World) -> dict[Contract, list[dict[str, Any]]]:
    """The rows of the four tables that averaging reads."""
    consumption, links, adjusted = [], [], []
    row = 0
    for meter_id, meter in world.meters.items():
        here = {"district_id": "alder", "district_account": f"A{meter_id}", "meter_id": meter_id}
        for p in meter.periods:
            row += 1
            volumes = {"registered_volume_thousandths": p.registered, "billed_volume_thousandths": p.billed}
            when = {"period_start": p.start, "period_end": p.end, "volume_unit": meter.unit}
            consumption.append(
                here | when | volumes | {
                    "days": (p.end - p.start).days, "read_type": p.read_type, "is_rollover": False,
                    "delivered_quantity_thousandths": p.billed, "source_file": "a.csv", "source_row": row, "source_column": "",
                }
            )  # fmt: skip
            if p.adjusted is not None:
                adjusted.append(
                    here | when | volumes
                    | {"service_id": "S1", "adjusted_volume_thousandths": p.adjusted, "adjustment_id": f"J{row}"}
                )  # fmt: skip
        links += [
            here | {
                "service_id": k.service, "purpose": k.purpose, "link_start": k.start, "link_end": k.end,
                "share_from_millionths": k.share_from, "share_to_millionths": k.share_to,
            }
            for k in meter.links
        ]  # fmt: skip
    services = [
        {
            "service_id": service_id, "account_id": "A", "premise_id": "P", "customer_class": "single_family",
            "dwelling_units": 1, "edu_thousandths": 1000, "esu_thousandths": 1000, "jurisdiction": "Tigard",
            "billing_agency": "Tigard", "billing_frequency": "monthly", "status": "active", "service_start": s.start,
            "service_end": s.end, "occupant_since": s.occupant_since, "volume_source": "district", "slice_id": "alder",
        }
        for service_id, s in world.services.items()
    ]  # fmt: skip
    return {
        CONSUMPTION: consumption, SERVICE_CONSUMPTION: links, ADJUSTED_CONSUMPTION: adjusted, SEWER_SERVICES: services,
    }  # fmt: skip


class Engine:
    """DuckDB with the tables that averaging reads; an expression is compiled once and asked of world after world."""

    def __init__(self) -> None:
        self.con = ibis.duckdb.connect()
        self.tables = [
            self.con.create_table(contract.name, schema=contract.schema)
            for contract in (CONSUMPTION, SERVICE_CONSUMPTION, ADJUSTED_CONSUMPTION, SEWER_SERVICES)
        ]
        self.compiled: dict[str, tuple[str, str]] = {}

    def questions(self, rule: AveragingRule, rounding: Rounding, winter: Winter) -> tuple[str, str]:
        """Counted periods, averages."""
        key = f"{rule.model_dump_json()} {rounding.model_dump_json()} {winter}"
        if key not in self.compiled:
            counted = counted_periods(*self.tables, rule, winter)
            averages = winter_averages(counted, rule, rounding, winter)
            parts = counted.select(
                "service_id", "source_row", "counted_start", "counted_end", "covers", "counted_volume_thousandths"
            )
            results = averages.select(
                "service_id", "average_thousandths", "winter_volume_thousandths", "days_covered", "periods_counted",
                "periods_estimated", "periods_adjusted",
            )  # fmt: skip
            self.compiled[key] = self.con.compile(parts), self.con.compile(results)
        return self.compiled[key]

    def put(self, world: World, backward: bool) -> None:
        for contract, rows in rows_of(world).items():
            arrow = pa.Table.from_pylist(rows[::-1] if backward else rows, schema=contract.schema.to_pyarrow())
            self.con.con.execute(f"DELETE FROM {contract.name}")
            self.con.con.register("rows", arrow).execute(f"INSERT INTO {contract.name} SELECT * FROM rows")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def computed(
    engine: Engine,
    world: World,
    rule: AveragingRule = SCHEDULE.averaging,
    rounding: Rounding = SCHEDULE.rounding,
    winter: Winter = WINTER,
    backward: bool = False,
) -> tuple[list[Part], dict[str, Average]]:
    engine.put(world, backward)
    parts, averages = (
        engine.con.con.execute(question).fetchall() for question in engine.questions(rule, rounding, winter)
    )
    return sorted(parts), {service_id: Average(*figures) for service_id, *figures in averages}


def average_of(engine: Engine, world: World, **how: Any) -> Average:
    """The only service's winter."""
    (found,) = computed(engine, world, **how)[1].values()
    return found


# --- the second implementation: day by day, in fractions


def half_away(value: Fraction) -> int:
    magnitude = floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def days_between(start: dt.date, end: dt.date) -> Iterable[int]:
    return range(start.toordinal(), end.toordinal())


@lru_cache
def volume_by_day(period: Period, volume: int) -> dict[int, int]:
    """Day -> its thousandths: what the running total grows by on that day."""
    n = (period.end - period.start).days
    totals = [half_away(Fraction(volume * k, n)) for k in range(n + 1)]
    return {day: totals[k + 1] - totals[k] for k, day in enumerate(days_between(period.start, period.end))}


def worked_out(
    world: World, rule: AveragingRule, decimals: int, winter: Winter
) -> tuple[list[Part], dict[str, Average]]:
    parts: list[Part] = []
    averages: dict[str, Average] = {}
    for service_id, service in world.services.items():
        allowed = set(days_between(*winter)) & set(days_between(service.start, min(service.end or OPEN, winter[1])))
        if rule.whose_history.value == "occupant":
            since = service.occupant_since
            allowed = {d for d in allowed if since is not None and d >= since.toordinal()}
        has_effluent = any(
            k.service == service_id and k.purpose == "effluent" for m in world.meters.values() for k in m.links
        )
        total, covered, rows, estimated, adjusted = Fraction(0), set[int](), 0, 0, 0
        row = 0
        for meter in world.meters.values():
            for period in meter.periods:
                row += 1
                volume = period.registered if rule.averaged_volume.value == "registered" else period.billed
                by_day = volume_by_day(period, volume if period.adjusted is None else period.adjusted)
                for link in (k for k in meter.links if k.service == service_id):
                    days = {d for d in by_day if d in allowed and link.start.toordinal() <= d < link.end.toordinal()}
                    if has_effluent:
                        sign = 1 if link.purpose == "effluent" else 0
                    else:
                        sign = {"domestic": 1, "blow_down": 1, "deduct": -1, "make_up": -1}.get(link.purpose, 0)
                    if not days or not sign:
                        continue
                    inside = sum(by_day[d] for d in days)
                    share = half_away(Fraction(inside * link.share_to, MILLION)) - half_away(
                        Fraction(inside * link.share_from, MILLION)
                    )
                    covers = link.purpose in ("domestic", "effluent")
                    first, last = dt.date.fromordinal(min(days)), dt.date.fromordinal(max(days) + 1)
                    parts.append((service_id, row, first, last, covers, sign * share))
                    total += sign * share * CUBIC_CENTIMETRES[meter.unit] / CUBIC_CENTIMETRES[rule.unit.value]
                    covered |= days if covers else set()
                    rows += 1
                    estimated += period.read_type == "estimated"
                    adjusted += period.adjusted is not None
        if rows:
            months = window_months(rule)
            average = None
            if covered:
                per_month = total / 1000 / len(covered) * len(list(days_between(*winter))) / months
                average = max(0, half_away(per_month * 10**decimals)) * 10 ** (3 - decimals)
            averages[service_id] = Average(average, half_away(total), len(covered), rows, estimated, adjusted)
    return sorted(parts), averages


# --- worlds

near_winter = st.integers(-45, 230).map(lambda n: WINTER[0] + dt.timedelta(days=n))
volumes = st.one_of(st.integers(-30_000, 300_000), st.sampled_from([0, 1, 5_000, 8_000, 10**10]))
purposes = st.sampled_from(
    ["domestic", "domestic", "domestic", "irrigation", "fire", "deduct", "effluent", "make_up", "blow_down"]
)


@st.composite
def meters(draw: st.DrawFn, services: list[str]) -> Meter:
    periods: dict[tuple[dt.date, dt.date], Period] = {}
    day = draw(near_winter)
    for length, step, billed, registered, read_type, adjusted in draw(
        st.lists(
            st.tuples(
                st.sampled_from([1, 7, 28, 30, 31, 61, 92, 400]),
                st.sampled_from([0, 0, 0, -9, 12]),
                volumes,
                volumes,
                st.sampled_from(["actual", "estimated", "corrected"]),
                st.one_of(st.none(), st.none(), st.none(), st.integers(0, 200_000)),
            ),
            min_size=1, max_size=5,
        )
    ):  # fmt: skip
        end = day + dt.timedelta(days=length)
        periods[day, end] = Period(day, end, billed, registered, read_type, adjusted)
        day = end + dt.timedelta(days=step)
    links = []
    begins = LONG_AGO
    for ends in [*draw(st.lists(near_winter, max_size=1)), OPEN]:
        cuts = sorted({0, MILLION, *draw(st.lists(st.integers(1, MILLION - 1), max_size=1))})
        purpose = draw(purposes)
        served = draw(st.permutations(services))
        links += [
            Link(service, purpose, begins, ends, start, to)
            for service, start, to in zip(served, cuts, cuts[1:], strict=False)
        ]
        begins = min(ends, WINTER[1]) + dt.timedelta(days=draw(st.sampled_from([0, 0, 5])))
    of_winter = tuple(link for link in links if link.start < WINTER[1] and link.end > WINTER[0])
    return Meter(tuple(periods.values()), of_winter, draw(st.sampled_from(["ccf", "thousand_gal", "m3"])))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    services: dict[str, Service] = {}
    all_meters: dict[str, Meter] = {}
    for neighbours in range(draw(st.integers(1, 4))):
        pair = [f"S{neighbours}a", f"S{neighbours}b"]
        for name in pair:
            since = st.one_of(st.just(LONG_AGO), st.just(LONG_AGO), near_winter, st.none())
            services[name] = Service(
                draw(st.one_of(st.just(LONG_AGO), near_winter)), draw(st.one_of(st.none(), near_winter)), draw(since)
            )
        for number in range(draw(st.integers(1, 3))):
            all_meters[f"{neighbours}-{number}"] = draw(meters(pair))
    return World(all_meters, services)


RULES = [
    (SCHEDULE.averaging, 2),
    (ruled(averaged_volume="registered", whose_history="premise"), 3),
    (ruled(unit="thousand_gal", whose_history="premise"), 0),
    (ruled(unit="m3", averaged_volume="registered"), 1),
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(worlds(), st.sampled_from(RULES))
def test_averages_are_those_of_an_independent_day_by_day_calculation(
    engine: Engine, world: World, ruling: tuple[AveragingRule, int]
) -> None:
    rule, decimals = ruling
    expected_parts, expected = worked_out(world, rule, decimals, WINTER)
    parts, found = computed(engine, world, rule, rounded_to(decimals))
    assert parts == expected_parts
    assert found == expected
    assert all(one.average is None or one.average >= 0 for one in found.values())
    assert computed(engine, world, rule, rounded_to(decimals), backward=True) == (parts, found), "order of rows"


def test_the_independent_calculation_sees_what_the_rule_is_about() -> None:
    """Guards the test above: a world in which each feature changes the result."""
    month = Period(dt.date(2018, 12, 1), dt.date(2018, 12, 31), 30_000)
    plain = World({"M": Meter((month,), (Link("S1"),))})
    late = World(plain.meters, {"S1": Service(occupant_since=dt.date(2018, 12, 16))})
    part = World({"M": Meter((month,), (Link("S1", share_to=250_000),))})
    covered = [worked_out(w, SCHEDULE.averaging, 2, WINTER)[1]["S1"] for w in (plain, late, part)]
    assert [(c.volume, c.days_covered) for c in covered] == [(30_000, 30), (15_000, 15), (7_500, 30)]


# --- named promises


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-(10**10), 10**10), st.integers(1, 150), st.sets(st.integers(1, 149), max_size=5)),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_parts_of_a_period_always_add_to_it(engine: Engine, periods: list[tuple[int, int, set[int]]]) -> None:
    """Links laid end to end, each taking some days of one period."""
    world_meters = {}
    for number, (volume, length, cuts) in enumerate(periods):
        at = [LONG_AGO, *(WINTER[0] + dt.timedelta(days=cut) for cut in sorted(cuts)), OPEN]
        links = tuple(Link(f"S{number}", start=start, end=end) for start, end in pairwise(at))
        whole = Period(WINTER[0], WINTER[0] + dt.timedelta(days=length), volume)
        world_meters[f"M{number}"] = Meter((whole,), links)
    world = World(world_meters, {f"S{number}": Service() for number in range(len(periods))})
    parts, _ = computed(engine, world)
    for number, (volume, length, cuts) in enumerate(periods):
        mine = [part for part in parts if part[0] == f"S{number}"]
        assert len(mine) == 1 + sum(cut < length for cut in cuts)
        assert sum(part[-1] for part in mine) == volume


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-(10**10), 10**10), st.sets(st.integers(1, MILLION - 1), max_size=5)),
        min_size=1,
        max_size=8,
    )
)
def test_shares_of_one_meter_always_add_to_it(engine: Engine, shared: list[tuple[int, set[int]]]) -> None:
    world_meters, services = {}, {}
    for number, (volume, cuts) in enumerate(shared):
        at = [0, *sorted(cuts), MILLION]
        names = [f"S{number}-{k}" for k in range(len(at) - 1)]
        services |= {name: Service() for name in names}
        links = tuple(
            Link(name, share_from=a, share_to=b) for name, a, b in zip(names, at, at[1:], strict=False)
        )  # fmt: skip
        world_meters[f"M{number}"] = Meter((Period(dt.date(2018, 12, 1), dt.date(2019, 1, 1), volume),), links)
    parts, _ = computed(engine, World(world_meters, services))
    for number, (volume, _) in enumerate(shared):
        assert sum(part[-1] for part in parts if part[0].startswith(f"S{number}-")) == volume


def months_of(first: dt.date, volumes_thousandths: list[int], months_each: int = 1) -> tuple[Period, ...]:
    """Periods of whole calendar months, one after the other."""

    def month(n: int) -> dt.date:
        return dt.date(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, 1)

    return tuple(
        Period(month(n * months_each), month((n + 1) * months_each), volume)
        for n, volume in enumerate(volumes_thousandths)
    )


@pytest.mark.parametrize(
    ("utility", "first_month", "last_month", "months_each", "units", "use", "decimals", "average"),
    [
        ("Dallas TX: hundreds of gallons", 12, 3, 1, ("hundred_gal", "hundred_gal"), [120, 100, 98, 110], 2, "107"),
        ("Gig Harbor WA: two bimonthly bills, 15 in two months", 12, 3, 2, ("ccf", "ccf"), [20, 10], 2, "7.5"),
        ("San Luis Obispo CA: to a whole unit", 12, 2, 1, ("ccf", "ccf"), [4, 5, 7], 0, "5"),
        ("San Luis Obispo CA: before it is rounded", 12, 2, 1, ("ccf", "ccf"), [4, 5, 7], 2, "5.33"),
        ("Santa Rosa CA: thousands from gallons", 12, 2, 1, ("gal", "thousand_gal"), [7000, 5000, 6000], 2, "6"),
        ("CWS: a customer at the service-area average", 11, 4, 2, ("ccf", "ccf"), [16, 16, 16], 2, "8"),
    ],
)  # fmt: skip
def test_published_averages_come_out(
    engine: Engine, utility: str, first_month: int, last_month: int, months_each: int, units: tuple[str, str],
    use: list[int], decimals: int, average: str,
) -> None:  # fmt: skip
    rule = ruled(first_month=first_month, last_month=last_month, unit=units[1])
    winter = window(rule, 2019)
    periods = months_of(winter[0], [1000 * u for u in use], months_each)
    assert periods[-1].end == winter[1]
    world = World({"M": Meter(periods, (Link("S1"),), units[0])})
    found = average_of(engine, world, rule=rule, rounding=rounded_to(decimals), winter=winter)
    assert found.average == int(Decimal(average) * 1000), utility


def test_a_period_across_the_edge_counts_by_its_days_inside(engine: Engine) -> None:
    """AWWA M36: 33.204 million gallons, 10 of 31 days: 10.711."""
    period = Period(dt.date(2018, 10, 11), dt.date(2018, 11, 11), 33_204)
    assert computed(engine, World({"M": Meter((period,), (Link("S1"),))}))[0][0][-1] == 10_711


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 100_000), min_size=6, max_size=6), min_size=1, max_size=20))
def test_six_full_months_average_to_their_plain_mean(engine: Engine, services: list[list[int]]) -> None:
    """However long the months are."""
    world = World(
        {f"M{n}": Meter(months_of(WINTER[0], use), (Link(f"S{n}"),)) for n, use in enumerate(services)},
        {f"S{n}": Service() for n in range(len(services))},
    )
    _, found = computed(engine, world, rounding=rounded_to(3))
    assert {k: v.average for k, v in found.items()} == {
        f"S{n}": half_away(Fraction(sum(use), 6)) for n, use in enumerate(services)
    }
    assert {v.days_covered for v in found.values()} == {181}


def test_two_meters_in_parallel_do_not_cover_a_day_twice(engine: Engine) -> None:
    full, offset = months_of(WINTER[0], [6_000] * 6), Period(dt.date(2018, 12, 10), dt.date(2019, 2, 3), 12_000)
    alone = World({"M1": Meter(full, (Link("S1"),))})
    both = World({"M1": Meter(full, (Link("S1"),)), "M2": Meter((offset,), (Link("S1"),))})
    assert average_of(engine, alone).average == 6_000
    found = average_of(engine, both)
    assert (found.days_covered, found.average) == (181, 8_000)


def test_days_that_overlap_or_touch_are_counted_once_and_gaps_not_at_all(engine: Engine) -> None:
    day = dt.date(2018, 12, 1)
    spans = [(0, 10), (0, 10), (2, 5), (10, 12), (20, 21), (19, 30), (40, 41)]  # 0-12, 19-30, 40-41
    counted = ibis.memtable(
        pa.table(
            {
                "service_id": ["S1"] * len(spans) + ["S2"],
                "counted_start": [day + dt.timedelta(days=a) for a, _ in spans] + [day],
                "counted_end": [day + dt.timedelta(days=b) for _, b in spans] + [day + dt.timedelta(days=99)],
                "covers": [True] * len(spans) + [False],
            }
        )
    )
    found = days_covered(counted)
    assert engine.con.to_pyarrow(found.mutate(days_covered=found.days_covered.cast("string"))).to_pylist() == [
        {"service_id": "S1", "days_covered": str(12 + 11 + 1)}
    ]


def test_where_there_is_an_effluent_meter_it_alone_counts(engine: Engine) -> None:
    full = Meter(months_of(WINTER[0], [9_000] * 6), (Link("S1"),))
    irrigation = Meter(months_of(WINTER[0], [5_000] * 6), (Link("S1", "deduct"),))
    effluent = Meter(months_of(WINTER[0], [4_000] * 6), (Link("S1", "effluent"),))
    assert average_of(engine, World({"M1": full, "M2": irrigation})).average == 4_000
    found = average_of(engine, World({"M1": full, "M2": irrigation, "M3": effluent}))
    assert (found.average, found.periods, found.days_covered) == (4_000, 6, 181)


def test_evaporation_is_make_up_less_blow_down(engine: Engine) -> None:
    """The published tower: 7,776 less 2,592 gallons a day is lost, 5,184."""
    days = (dt.date(2018, 12, 1), dt.date(2018, 12, 2))
    world = World(
        {
            "main": Meter((Period(*days, 10_000_000),), (Link("S1"),), "gal"),
            "up": Meter((Period(*days, 7_776_000),), (Link("S1", "make_up"),), "gal"),
            "down": Meter((Period(*days, 2_592_000),), (Link("S1", "blow_down"),), "gal"),
        }
    )
    assert average_of(engine, world, rule=ruled(unit="gal")).volume == 10_000_000 - 5_184_000


def test_use_before_the_occupant_came_does_not_count(engine: Engine) -> None:
    builder, family = [90_000] * 3, [5_000] * 3
    world = World(
        {"M": Meter(months_of(WINTER[0], builder + family), (Link("S1"),))},
        {"S1": Service(occupant_since=dt.date(2019, 2, 1))},
    )
    found = average_of(engine, world)
    assert (found.volume, found.days_covered) == (15_000, 89)
    assert found.average == half_away(Fraction(15_000 * 181, 89 * 6 * 10)) * 10
    assert average_of(engine, world, rule=ruled(whose_history="premise")).volume == 285_000
    nobody = World(world.meters, {"S1": Service(occupant_since=None)})
    assert computed(engine, nobody) == ([], {})


def test_an_average_is_never_negative_but_its_volume_says_what_was_counted(engine: Engine) -> None:
    world = World({"M": Meter(months_of(WINTER[0], [2_000, -40_000, 0, 0, 0, 0]), (Link("S1"),))})
    found = average_of(engine, world)
    assert (found.average, found.volume) == (0, -38_000)


def test_without_a_covered_day_there_is_no_average_rather_than_zero(engine: Engine) -> None:
    world = World({"M": Meter(months_of(WINTER[0], [2_000] * 6), (Link("S1", "blow_down"),))})
    found = average_of(engine, world)
    assert (found.average, found.days_covered, found.periods) == (None, 0, 6)


def test_an_adjustment_counts_instead_of_what_was_billed_or_registered(engine: Engine) -> None:
    leak, *rest = months_of(WINTER[0], [60_000, 6_000, 6_000, 6_000, 6_000, 6_000])
    world = World({"M": Meter((Period(leak.start, leak.end, 60_000, 60_000, adjusted=6_000), *rest), (Link("S1"),))})
    found = average_of(engine, world)
    assert (found.average, found.adjusted) == (6_000, 1)
