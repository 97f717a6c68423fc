"""The winter average, against an independent implementation and published examples.

Belongs here: which part of a period counts, months and cycles, the steps to one figure, how much history is enough.
Does not belong here: what stands in for an average that cannot be computed (``test_fallbacks``), files of rules.

The second implementation (``averaged_by_fractions``) walks day by day in fractions, over generated services and generated rules.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from averaged_by_fractions import (
    LONG_AGO,
    MILLION,
    OPEN,
    Average,
    Link,
    Meter,
    Period,
    Service,
    World,
    half_away,
    worked_out,
)  # fmt: skip
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assets.engine import connected
from rate_tables.averaging import days_covered, winter_averages
from rate_tables.averaging_rule import AveragingRule
from rate_tables.counted_use import counted_periods
from rate_tables.schedule import SHIPPED, load_schedule
from validations.contract import Contract
from validations.tables import ADJUSTED_CONSUMPTION, CONSUMPTION, SERVICE_CONSUMPTION, SEWER_SERVICES

CWS = load_schedule(SHIPPED / "clean_water_services" / "2018-07-01.yaml").schedule.averaging
EFFECTIVE = dt.date(2019, 7, 1)
WINTER = (dt.date(2018, 11, 1), dt.date(2019, 5, 1))

Counted = list[tuple[Any, ...]]
"""Service, source row, first and last counted day (the last one exclusive), whether it covers, counted volume."""


def ruled(rule: AveragingRule = CWS, **values: Any) -> AveragingRule:
    """The rule with other values, checked as if it had been read from a file."""
    content = rule.model_dump()
    for name, value in values.items():
        if name == "steps":
            content[name] = [step | {"source": "a test"} for step in value]
        else:
            content[name] = None if value is None else {"value": value, "source": "a test"}
    return AveragingRule.model_validate(content)


def months(first: int, last: int) -> dict[str, Any]:
    return {"kind": "months", "first": first, "last": last}


BY_MONTHS = {"kind": "months", "each": 1}
BY_CYCLES = {"kind": "cycles", "dated_by": "closing_read", "reads_within_days": 10, "joined_up_to_days": 35}
MEAN = {"step": "mean"}
BY_DAYS_OF_WINDOW = {"step": "mean_by_days", "days_of_month": "of_the_window"}


def rounded(to: str = "0.01", direction: str = "half_up") -> dict[str, Any]:
    return {"step": "round", "to": to, "direction": direction}


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
            record = {"source_file": "a.csv", "source_row": row, "source_column": ""}
            consumption.append(
                here | when | volumes | record | {
                    "days": (p.end - p.start).days, "read_type": p.read_type, "is_rollover": False,
                    "delivered_quantity_thousandths": p.billed,
                }
            )  # fmt: skip
            if p.adjusted is not None or p.is_left_out:
                counts = p.billed if p.adjusted is None else p.adjusted
                change = {
                    "adjusted_volume_thousandths": counts,
                    "is_left_out": p.is_left_out,
                    "adjustment_id": f"J{row}",
                }
                adjusted += [
                    here | when | volumes | record | change | {"service_id": service_id}
                    for service_id in sorted({k.service for k in meter.links})
                ]
        links += [
            here | {
                "service_id": k.service, "purpose": k.purpose, "link_start": k.start, "link_end": k.end,
                "share_from_millionths": k.share_from, "share_to_millionths": k.share_to,
            }
            for k in meter.links
        ]  # fmt: skip
    services = [
        {
            "service_id": service_id, "account_id": "A", "premise_id": "P", "customer_class": s.customer_class,
            "dwelling_units": 1, "edu_thousandths": 1000, "esu_thousandths": 1000, "jurisdiction": "Tigard",
            "billing_agency": "Tigard", "billing_frequency": "monthly", "billing_cycle": s.billing_cycle, "status": "active",
            "service_start": s.start, "service_end": s.end, "occupant_since": s.occupant_since, "volume_source": "district",
            "bears_account_charges": True, "slice_id": "alder",
        }
        for service_id, s in world.services.items()
    ]  # fmt: skip
    return {
        CONSUMPTION: consumption, SERVICE_CONSUMPTION: links, ADJUSTED_CONSUMPTION: adjusted, SEWER_SERVICES: services,
    }  # fmt: skip


class Engine:
    """DuckDB with the tables that averaging reads; an expression is compiled once and asked of world after world."""

    def __init__(self) -> None:
        self.con = connected()
        self.tables = [
            self.con.create_table(contract.name, schema=contract.schema)
            for contract in (CONSUMPTION, SERVICE_CONSUMPTION, ADJUSTED_CONSUMPTION, SEWER_SERVICES)
        ]
        self.compiled: dict[tuple[Any, ...], str] = {}

    def parts(self, rule: AveragingRule, effective: dt.date, whose: Any) -> Counted:
        """Counted periods."""

        def parts() -> ir.Table:
            counted = counted_periods(*self.tables, rule, effective, whose)
            return counted.filter(counted.counted_end > counted.counted_start).select(
                "service_id", "source_row", "counted_start", "counted_end", "covers", "counted_volume_thousandths"
            )

        return sorted(self._asked(parts, rule, effective, whose), key=repr)

    def averages(self, rule: AveragingRule, effective: dt.date, whose: Any) -> dict[str, Average]:
        """Service -> its average."""

        def averages() -> ir.Table:
            counted = counted_periods(*self.tables, rule, effective, whose)
            return winter_averages(counted, rule, effective).select(
                "service_id", "average_thousandths", "has_enough_history", "winter_volume_thousandths", "days_covered",
                "months_counted", "periods_counted", "periods_estimated", "periods_adjusted",
            )  # fmt: skip

        return {service_id: Average(*figures) for service_id, *figures in self._asked(averages, rule, effective, whose)}

    def _asked(self, question: Callable[[], ir.Table], rule: AveragingRule, *when: Any) -> list[Any]:
        key = (question.__name__, rule.model_dump_json(), *when)
        if key not in self.compiled:
            self.compiled[key] = self.con.compile(question())
        return self.con.con.execute(self.compiled[key]).fetchall()

    def put(self, world: World, backward: bool) -> None:
        for contract, rows in rows_of(world).items():
            arrow = pa.Table.from_pylist(rows[::-1] if backward else rows, schema=contract.schema.to_pyarrow())
            self.con.con.execute(f"DELETE FROM {contract.name}")
            self.con.con.register("rows", arrow).execute(f"INSERT INTO {contract.name} SELECT * FROM rows")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def computed(
    engine: Engine, world: World, rule: AveragingRule = CWS, effective: dt.date = EFFECTIVE, whose: str = "own",
    backward: bool = False,
) -> tuple[Counted, dict[str, Average]]:  # fmt: skip
    engine.put(world, backward)
    return engine.parts(rule, effective, whose), engine.averages(rule, effective, whose)


def average_of(
    engine: Engine, world: World, rule: AveragingRule = CWS, effective: dt.date = EFFECTIVE, whose: str = "own"
) -> Average:
    """The only service's winter."""
    engine.put(world, backward=False)
    (found,) = engine.averages(rule, effective, whose).values()
    return found


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
    for length, step, billed, registered, read_type, adjusted, is_left_out in draw(
        st.lists(
            st.tuples(
                st.sampled_from([1, 7, 15, 28, 30, 30, 31, 31, 61, 92, 400]),
                st.sampled_from([0, 0, 0, 0, 0, -9, 12]),
                volumes,
                volumes,
                st.sampled_from(["actual", "estimated", "corrected"]),
                st.one_of(st.none(), st.none(), st.none(), st.integers(0, 200_000)),
                st.sampled_from([False, False, False, False, True]),
            ),
            min_size=1, max_size=9,
        )
    ):  # fmt: skip
        end = day + dt.timedelta(days=length)
        periods[day, end] = Period(day, end, billed, registered, read_type, adjusted, is_left_out)
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
                draw(st.one_of(st.just(LONG_AGO), st.just(LONG_AGO), near_winter)),
                draw(st.one_of(st.none(), st.none(), near_winter)),
                draw(since),
                draw(st.sampled_from(["single_family", "single_family", "commercial"])),
                draw(st.sampled_from(["", "B"])),
            )
        for number in range(draw(st.integers(1, 3))):
            all_meters[f"{neighbours}-{number}"] = draw(meters(pair))
    return World(all_meters, services)


def settled_world(seed: int) -> World:
    """Ten services that are read about every month, with what happens to such: a meter is changed, a second one is read on
    other days, a reading is missing, somebody moves in, nobody is at home."""
    chance = Random(seed)  # noqa: S311 - no secret
    meters, services = {}, {}
    for number in range(10):
        name = f"S{number}"
        every = chance.choice([30, 30, 30, 61])
        day = WINTER[0] - dt.timedelta(days=chance.randrange(75))
        typical = chance.randrange(2_000, 15_000) * every // 30
        periods: list[Period] = []
        while day < WINTER[1] + dt.timedelta(days=20):
            end = day + dt.timedelta(days=every + chance.choice([-2, -1, 0, 0, 1, 2]))
            if chance.random() > 0.05:
                use = (
                    0
                    if chance.random() < 0.1
                    else int(round(typical * chance.uniform(0.5, 1.5), -chance.choice([0, 3])))
                )
                adjusted = chance.randrange(9_000) if chance.random() < 0.03 else None
                periods.append(Period(day, end, use, use + chance.randrange(500), "actual", adjusted))
            day = end
        unit = chance.choice(["ccf", "ccf", "thousand_gal", "m3"])
        if chance.random() < 0.3:
            at = chance.randrange(len(periods))
            whole = periods[at]
            cut = whole.start + dt.timedelta(days=chance.randrange(1, (whole.end - whole.start).days))
            parts = (
                Period(whole.start, cut, whole.billed // 3),
                Period(cut, whole.end, whole.billed - whole.billed // 3),
            )
            meters[f"{name} old"] = Meter((*periods[:at], parts[0]), (Link(name),), unit)
            periods = [parts[1], *periods[at + 1 :]]
        meters[f"{name} main"] = Meter(tuple(periods), (Link(name),), unit)
        if chance.random() < 0.4:
            later = dt.timedelta(days=chance.choice([-3, 0, 2, 6, 9, 14]))
            purpose = chance.choice(["domestic", "deduct", "deduct", "blow_down", "effluent", "irrigation"])
            second = [Period(p.start + later, p.end + later, p.billed // 3, p.billed // 4) for p in periods]
            meters[f"{name} second"] = Meter(tuple(second), (Link(name, purpose),), unit)
        since = LONG_AGO if chance.random() < 0.7 else WINTER[0] + dt.timedelta(days=chance.randrange(120))
        customer_class = chance.choice(["single_family", "single_family", "commercial"])
        services[name] = Service(LONG_AGO, None, since, customer_class, chance.choice(["", "B"]))
    return World(meters, services)


some_worlds = st.one_of(worlds(), *[st.integers(0, 2**32).map(settled_world)] * 3)

# --- rules

limits = st.sampled_from(["0", "2", "5.5", "8", "40"])
month_steps = st.lists(
    st.one_of(
        st.just({"step": "scale_part_months"}),
        st.builds(lambda n: {"step": "leave_out_short_months", "under_days": n}, st.sampled_from([10, 20, 28])),
        st.builds(lambda v: {"step": "each_month_at_least", "volume": v}, limits),
        st.builds(lambda v: {"step": "each_month_at_most", "volume": v}, limits),
        st.builds(
            lambda kind, n: {"step": kind, "count": n},
            st.sampled_from(["drop_highest", "drop_lowest", "keep_highest", "keep_lowest"]),
            st.integers(1, 3),
        ),
        st.builds(
            lambda n, which: {"step": "keep_consecutive", "count": n, "which": which},
            st.integers(2, 3),
            st.sampled_from(["first", "last", "lowest"]),
        ),
    ),
    max_size=3,
)
by_days = st.sampled_from(["twelfth_of_year", {"common_year": "30.42", "leap_year": "30.50"}, "of_the_window"]).map(
    lambda days: {"step": "mean_by_days", "days_of_month": days}
)
figure_steps = st.lists(
    st.one_of(
        st.builds(lambda f: {"step": "multiply", "by": f}, st.sampled_from(["1.2", "0.8", "0.9999"])),
        st.builds(lambda kind, v: {"step": kind, "volume": v}, st.sampled_from(["at_most", "at_least"]), limits),
        st.builds(rounded, st.sampled_from(["0.01", "1", "2.5"]), st.sampled_from(["half_up", "up", "down"])),
    ),
    max_size=3,
)
final_rounding = st.builds(
    rounded, st.sampled_from(["0.001", "0.01", "0.1", "1", "5"]), st.sampled_from(["half_up", "up", "down"])
)
enough = st.lists(
    st.one_of(
        st.builds(lambda n: {"days": n}, st.integers(1, 120)),
        st.builds(lambda n: {"coverage": n}, st.sampled_from(["0.333333", "0.5", "0.9", "1"])),
        st.builds(lambda n, d: {"count": n, "of_at_least_days": d}, st.integers(1, 3), st.sampled_from([20, 28])),
        st.builds(lambda n, m: {"full": n, "count": m}, st.integers(1, 3), st.integers(1, 4)),
    ),
    min_size=1, max_size=2,
)  # fmt: skip
cycles = st.builds(
    lambda dated_by, each, within, joined: {
        "kind": "cycles", "dated_by": dated_by, "months_each": each, "reads_within_days": within, "joined_up_to_days": joined,
    } | ({"days_from_read_to_bill": 12} if dated_by == "bill" else {}),
    st.sampled_from(["closing_read", "last_day", "bill", "both_reads"]),
    st.sampled_from([1, 1, 2, "by_its_days"]),
    st.sampled_from([0, 7, 10]),
    st.sampled_from([0, 35, 70]),
)  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> AveragingRule:
    """Any rule that a file may state, as far as it concerns the average itself."""
    of_months = st.sampled_from([months(11, 4), months(12, 3), months(12, 2), months(2, 2), months(3, 2), months(1, 6)])
    of_dates = st.sampled_from(
        [{"kind": "dates", "first": "11-15", "last": "03-14"}, {"kind": "dates", "first": "11-20", "last": "03-05"}]
    )
    window = draw(st.one_of(of_months, of_dates))
    counted_by = draw(
        st.one_of(st.just({"kind": "days"}), st.sampled_from([BY_MONTHS, {"kind": "months", "each": 2}]), cycles)
    )
    is_by_days = counted_by["kind"] == "days"
    steps = [
        *([] if is_by_days else draw(month_steps)),
        draw(by_days if is_by_days else st.one_of(st.just(MEAN), by_days)),
        *draw(figure_steps),
        draw(final_rounding),
        *draw(st.lists(st.builds(lambda v: {"step": "at_most", "volume": v}, limits), max_size=1)),
    ]
    values: dict[str, Any] = {
        "unit": draw(st.sampled_from(["ccf", "thousand_gal", "m3"])),
        "averaged_volume": draw(st.sampled_from(["billed", "registered"])),
        "whose_history": draw(st.sampled_from(["occupant", "premise"])),
        "before_first_occupant": draw(st.sampled_from(["count", "leave_out"])),
        "vacant_periods": draw(st.sampled_from(["count", "leave_out"])),
        "window": window,
        "counted_by": counted_by,
        "steps": steps,
        "enough_history": draw(enough),
    }
    if draw(st.booleans()):
        own = draw(of_months if window["kind"] == "months" else of_dates)
        values["window_of_billing_cycle"] = {"B": {"window": own}}
    if draw(st.booleans()):
        values["quantity_from"] = CWS.quantity_from.value | {"commercial": "measured_effluent"}
    try:
        return ruled(**values)
    except ValidationError:
        assume(False)
        raise


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
@given(
    some_worlds,
    rules(),
    st.sampled_from([EFFECTIVE, dt.date(2020, 4, 1)]),
    st.sampled_from(["own", "own", "previous_occupant"]),
)
def test_averages_are_those_of_an_independent_day_by_day_calculation(
    engine: Engine, world: World, rule: AveragingRule, effective: dt.date, whose: str
) -> None:
    expected_parts, expected = worked_out(world, rule, effective, whose)
    parts, found = computed(engine, world, rule, effective, whose)
    assert parts == expected_parts
    assert found == expected
    assert all(one.average is None or one.average >= 0 for one in found.values())
    assert computed(engine, world, rule, effective, whose, backward=True) == (parts, found), "order of rows"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    some_worlds,
    st.sampled_from(
        [
            CWS,
            ruled(averaged_volume="registered", whose_history="premise", steps=[BY_DAYS_OF_WINDOW, rounded("0.001")]),
            ruled(counted_by=BY_CYCLES, steps=[{"step": "drop_highest", "count": 1}, MEAN, rounded()]),
            ruled(counted_by=BY_MONTHS, steps=[{"step": "keep_lowest", "count": 3}, MEAN, rounded("1", "up")]),
        ]
    ),
)
def test_common_rules_agree_on_many_more_services(engine: Engine, world: World, rule: AveragingRule) -> None:
    """The same as above; a rule is compiled once, so that more services can be asked."""
    assert computed(engine, world, rule) == worked_out(world, rule, EFFECTIVE)


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
    ("utility", "window", "first", "months_each", "units", "use", "decimals", "average"),
    [
        ("Dallas TX: hundreds of gallons", (12, 3), 12, 1, ("hundred_gal", "hundred_gal"), [120, 100, 98, 110], "0.01", "107"),
        ("Gig Harbor WA: two bimonthly bills, 15 in two months", (12, 3), 12, 2, ("ccf", "ccf"), [20, 10], "0.01", "7.5"),
        ("San Luis Obispo CA: to a whole unit", (12, 2), 12, 1, ("ccf", "ccf"), [4, 5, 7], "1", "5"),
        ("San Luis Obispo CA: before it is rounded", (12, 2), 12, 1, ("ccf", "ccf"), [4, 5, 7], "0.01", "5.33"),
        ("Santa Rosa CA: thousands from gallons", (12, 2), 12, 1, ("gal", "thousand_gal"), [7000, 5000, 6000], "0.01", "6"),
        ("CWS: a customer at the service-area average", (11, 4), 11, 2, ("ccf", "ccf"), [16, 16, 16], "0.01", "8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("counted_by", ["days", "months", "cycles"])
def test_published_averages_come_out_however_use_is_counted(
    engine: Engine, counted_by: str, utility: str, window: tuple[int, int], first: int, months_each: int,
    units: tuple[str, str], use: list[int], decimals: str, average: str,
) -> None:  # fmt: skip
    kind: dict[str, Any] = {"kind": counted_by}
    if counted_by == "months":
        kind |= {"each": months_each}
    if counted_by == "cycles":
        kind = BY_CYCLES | {"months_each": months_each, "dated_by": "last_day"}
    steps = [BY_DAYS_OF_WINDOW if counted_by == "days" else MEAN, rounded(decimals)]
    rule = ruled(unit=units[1], window=months(*window), counted_by=kind, steps=steps)
    periods = months_of(dt.date(2018, first, 1), [1000 * u for u in use], months_each)
    world = World({"M": Meter(periods, (Link("S1"),), units[0])})
    assert average_of(engine, world, rule=rule).average == int(Decimal(average) * 1000), utility


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
    _, found = computed(engine, world, ruled(steps=[BY_DAYS_OF_WINDOW, rounded("0.001")]))
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
    found = days_covered(counted, ["service_id"])
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


def test_a_period_that_is_left_out_counts_neither_as_volume_nor_as_days(engine: Engine) -> None:
    leak, *rest = months_of(WINTER[0], [60_000, 6_000, 6_000, 6_000, 6_000, 6_000])
    left = Period(leak.start, leak.end, 60_000, is_left_out=True)
    found = average_of(engine, World({"M": Meter((left, *rest), (Link("S1"),))}))
    assert found == average_of(engine, World({"M": Meter(tuple(rest), (Link("S1"),))}))


# --- months, cycles and steps


def regular(*volumes_ccf: float, first: dt.date = dt.date(2018, 11, 5), unit: str = "ccf") -> Meter:
    """A meter that is read on the fifth of each month."""
    reads = [dt.date(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, 5) for n in range(20)]
    return Meter(
        tuple(Period(reads[n], reads[n + 1], int(v * 1000)) for n, v in enumerate(volumes_ccf)), (Link("S1"),), unit
    )


DEC_TO_MAR = {"window": months(12, 3), "counted_by": BY_CYCLES}


@pytest.mark.parametrize(
    ("steps", "average"),
    [
        ([MEAN], "8.25"),
        ([{"step": "drop_highest", "count": 1}, MEAN], "5"),
        ([{"step": "drop_highest", "count": 1}, {"step": "drop_lowest", "count": 1}, MEAN], "6.5"),
        ([{"step": "keep_lowest", "count": 3}, MEAN], "5"),
        ([{"step": "keep_lowest", "count": 1}, MEAN], "2"),
        ([{"step": "keep_highest", "count": 1}, MEAN], "18"),
        ([{"step": "keep_consecutive", "count": 2, "which": "lowest"}, MEAN], "4"),
        ([{"step": "keep_consecutive", "count": 3, "which": "first"}, MEAN], "8.67"),
        ([{"step": "each_month_at_least", "volume": "6"}, {"step": "keep_lowest", "count": 3}, MEAN], "6.33"),
        ([{"step": "each_month_at_most", "volume": "6"}, MEAN], "5"),
        ([MEAN, {"step": "multiply", "by": "0.80"}], "6.6"),
        ([MEAN, {"step": "at_most", "volume": "7"}, {"step": "multiply", "by": "1.2"}], "8.4"),
        ([MEAN, {"step": "multiply", "by": "1.2"}, {"step": "at_most", "volume": "7"}], "7"),
        ([MEAN, {"step": "at_least", "volume": "9"}], "9"),
        ([MEAN, rounded("1", "up")], "9"),
        ([{"step": "drop_highest", "count": 1}, MEAN, rounded("1", "up")], "5"),
        ([MEAN, rounded("2.5", "down")], "7.5"),
    ],
)  # fmt: skip
def test_steps_in_their_order(engine: Engine, steps: list[dict[str, Any]], average: str) -> None:
    """Four cycles of 2, 6, 18 and 7, closed from December to March; the one that closes in April is not of the window."""
    world = World({"M": regular(2, 6, 18, 7, 99)})
    found = average_of(engine, world, rule=ruled(**DEC_TO_MAR, steps=[*steps, rounded()]))
    assert (found.average, found.months) == (int(Decimal(average) * 1000), 4)


def test_consecutive_months_have_none_missing_between_them(engine: Engine) -> None:
    whole = regular(2, 6, 18, 7)
    gap = Meter((*whole.periods[:2], whole.periods[3]), whole.links)
    steps = [{"step": "keep_consecutive", "count": 2, "which": "last"}, MEAN, rounded()]
    rule = ruled(**DEC_TO_MAR, steps=steps)
    assert average_of(engine, World({"M": gap}), rule=rule).average == 4_000, "the last two with nothing between them"
    three = ruled(**DEC_TO_MAR, steps=[steps[0] | {"count": 3}, *steps[1:]])
    assert average_of(engine, World({"M": gap}), rule=three).average is None, "three such there are not"


def test_a_month_is_as_long_as_the_rule_says_longer_in_a_leap_year(engine: Engine) -> None:
    """Rio Rancho: total / days x 30.42, or 30.50."""
    steps = [{"step": "mean_by_days", "days_of_month": {"common_year": "30.42", "leap_year": "30.50"}}, rounded()]
    rule = ruled(window=months(12, 2), counted_by=BY_CYCLES, steps=steps)
    for year, days_of_month in ((2019, Fraction("30.42")), (2020, Fraction("30.50"))):
        world = World({"M": regular(3, 4, 5, first=dt.date(year - 1, 11, 5))})
        found = average_of(engine, world, rule=rule, effective=dt.date(year, 3, 1))
        assert found.average == half_away(12 * days_of_month / 92 * 100) * 10
        assert found.days_covered == 92


def test_a_year_without_its_highest_quarter(engine: Engine) -> None:
    rule = ruled(
        window=months(7, 6), counted_by={"kind": "months", "each": 3},
        steps=[{"step": "drop_highest", "count": 1}, MEAN, rounded()],
    )  # fmt: skip
    use = [30_000] * 3 + [6_000] * 3 + [7_000] * 3 + [8_000] * 3
    world = World({"M": Meter(months_of(dt.date(2018, 7, 1), use), (Link("S1"),))})
    assert average_of(engine, world, rule=rule).average == 7_000


def test_of_cycles_of_different_length_the_use_of_a_month_is_compared(engine: Engine) -> None:
    two_months = Period(dt.date(2018, 12, 5), dt.date(2019, 2, 5), 8_000)
    world = World({"M": Meter((*regular(5).periods, two_months), (Link("S1"),))})
    by_its_days = {"window": months(12, 3), "counted_by": BY_CYCLES | {"months_each": "by_its_days"}}
    for step, average in (("keep_highest", 5_000), ("keep_lowest", 4_000)):
        rule = ruled(**by_its_days, steps=[{"step": step, "count": 1}, MEAN, rounded()])
        assert average_of(engine, world, rule=rule).average == average


def test_two_readings_at_a_change_of_meter_are_one_cycle(engine: Engine) -> None:
    """They would look like two low months."""
    old, new = dt.date(2018, 11, 5), dt.date(2018, 11, 20)
    before = Meter((Period(old, new, 3_000),), (Link("S1"),))
    after = regular(6, 6, 6, first=dt.date(2018, 12, 5))
    after = Meter((Period(new, dt.date(2018, 12, 5), 3_000), *after.periods), (Link("S1"),))
    rule = ruled(**DEC_TO_MAR, steps=[{"step": "keep_lowest", "count": 1}, MEAN, rounded()])
    found = average_of(engine, World({"old": before, "new": after}), rule=rule)
    assert (found.average, found.months, found.periods) == (6_000, 4, 5)
    for days, average in ((30, 6_000), (29, 3_000)):
        counted_by = BY_CYCLES | {"joined_up_to_days": days}
        apart = ruled(
            window=months(12, 3), counted_by=counted_by, steps=[{"step": "keep_lowest", "count": 1}, MEAN, rounded()]
        )
        assert average_of(engine, World({"old": before, "new": after}), rule=apart).average == average, (
            "together 30 days"
        )


def test_meters_that_are_read_a_few_days_apart_have_their_cycles_in_common(engine: Engine) -> None:
    first, second = regular(4, 4, 4, 4), regular(2, 2, 2, 2)
    later = tuple(
        Period(p.start + dt.timedelta(days=7), p.end + dt.timedelta(days=7), p.billed) for p in second.periods
    )
    deduct = tuple(Period(p.start + dt.timedelta(days=2), p.end + dt.timedelta(days=2), 1_000) for p in second.periods)
    world = World(
        {"A": first, "B": Meter(later, (Link("S1"),)), "C": Meter(deduct, (Link("S1", "deduct"),))},
    )
    rule = ruled(**DEC_TO_MAR, steps=[{"step": "keep_highest", "count": 1}, MEAN, rounded()])
    found = average_of(engine, world, rule=rule)
    assert (found.average, found.months) == (5_000, 4)


def test_by_which_date_a_cycle_belongs_to_the_window(engine: Engine) -> None:
    """Cycles that begin and end on the first of a month."""
    world = World({"M": Meter(months_of(dt.date(2018, 10, 1), [n * 1000 for n in range(1, 9)]), (Link("S1"),))})

    def mean(**dated: Any) -> int | None:
        rule = ruled(window=months(12, 1), counted_by=BY_CYCLES | dated, steps=[MEAN, rounded()])
        return average_of(engine, world, rule=rule).average

    assert mean(dated_by="last_day") == 3_500, "December and January"
    assert mean(dated_by="closing_read") == 2_500, "November, read on 1 December, and December"
    assert mean(dated_by="bill", days_from_read_to_bill=31) == 1_500, "October, billed on 2 December, and November"
    assert mean(dated_by="both_reads") == 3_000, "from 1 December to the read of 1 January"


def test_billing_cycles_have_windows_of_their_own(engine: Engine) -> None:
    """El Dorado: December to February, or November to January."""
    rule = ruled(
        window=months(12, 2), window_of_billing_cycle={"even": {"window": months(11, 1), "effective": "03-01"}},
        counted_by=BY_MONTHS, steps=[MEAN, rounded()],
    )  # fmt: skip
    use = months_of(dt.date(2018, 11, 1), [12_000, 6_000, 6_000, 3_000])
    world = World(
        {"A": Meter(use, (Link("S1"),)), "B": Meter(use, (Link("S2"),))},
        {"S1": Service(), "S2": Service(billing_cycle="even")},
    )
    _, found = computed(engine, world, rule)
    assert {k: v.average for k, v in found.items()} == {"S1": 5_000, "S2": 8_000}


def test_the_window_is_the_last_that_has_ended_by_the_effective_date() -> None:
    def window(effective: dt.date, **kind: Any) -> tuple[dt.date, dt.date]:
        content = ruled(window=kind, counted_by=BY_CYCLES, steps=[MEAN, rounded()])
        return content.window.value.until(effective)

    assert window(EFFECTIVE, **months(11, 4)) == WINTER
    assert window(dt.date(2020, 3, 1), **months(12, 2)) == (dt.date(2019, 12, 1), dt.date(2020, 3, 1)), "leap year"
    assert window(dt.date(2020, 2, 29), **months(12, 2)) == (dt.date(2018, 12, 1), dt.date(2019, 3, 1))
    assert window(EFFECTIVE, kind="dates", first="11-15", last="03-14") == (dt.date(2018, 11, 15), dt.date(2019, 3, 15))
    assert window(EFFECTIVE, **months(7, 6)) == (dt.date(2018, 7, 1), EFFECTIVE)
    assert window(EFFECTIVE, kind="dates", first="12-01", last="02-28") == (dt.date(2018, 12, 1), dt.date(2019, 3, 1))


def test_what_is_enough(engine: Engine) -> None:
    """Woodburn: three full months, or two and a part of one."""
    rule = ruled(**DEC_TO_MAR, steps=[MEAN, rounded()], enough_history=[{"full": 3}, {"full": 2, "count": 3}])

    def is_enough(cycles: int, since: dt.date = LONG_AGO) -> bool:
        world = World({"M": regular(*[5] * cycles)}, {"S1": Service(occupant_since=since)})
        return average_of(engine, world, rule=rule).is_enough

    assert [is_enough(n) for n in (2, 3)] == [False, True]
    assert is_enough(3, dt.date(2018, 11, 20)), "two full cycles and a part"
    assert not is_enough(3, dt.date(2018, 12, 20)), "one full cycle and a part"


def test_a_part_of_a_month_counts_by_its_daily_use(engine: Engine) -> None:
    world = World({"M": regular(6, 6, 6)}, {"S1": Service(occupant_since=dt.date(2018, 11, 20))})
    steps = [MEAN, rounded()]
    plain = average_of(engine, world, rule=ruled(**DEC_TO_MAR, steps=steps))
    scaled = average_of(engine, world, rule=ruled(**DEC_TO_MAR, steps=[{"step": "scale_part_months"}, *steps]))
    assert (plain.average, scaled.average) == (5_000, 6_000)
    assert plain.days_covered == scaled.days_covered == 77


def test_months_without_use_are_left_out_where_the_rule_says_so(engine: Engine) -> None:
    world = World({"M": regular(6, 0, 0, 8)})
    steps = [MEAN, rounded()]
    assert average_of(engine, world, rule=ruled(**DEC_TO_MAR, steps=steps)).average == 3_500
    found = average_of(engine, world, rule=ruled(**DEC_TO_MAR, steps=steps, vacant_periods="leave_out"))
    assert (found.average, found.months) == (7_000, 2)


def test_the_previous_occupants_history_ends_where_the_present_ones_begins(engine: Engine) -> None:
    world = World({"M": regular(6, 8, 40, 40)}, {"S1": Service(occupant_since=dt.date(2019, 1, 5))})
    rule = ruled(**DEC_TO_MAR, steps=[MEAN, rounded()])
    assert average_of(engine, world, rule=rule).average == 40_000
    assert average_of(engine, world, rule=rule, whose="previous_occupant").average == 7_000


def test_the_largest_volumes_in_the_largest_unit_do_not_overflow(engine: Engine) -> None:
    """400 rows of what the front door lets in at most, a cap as large, and two factors of ten."""
    largest = 10_000_000_000
    day = dt.date(2018, 12, 1)
    one = Period(day, day + dt.timedelta(days=60), largest)
    world = World({f"M{n}": Meter((one,), (Link("S1"),), "thousand_gal") for n in range(400)})
    ten = {"step": "multiply", "by": "9.9999"}
    for counted_by, reduce in (
        ({"kind": "days"}, {"step": "mean_by_days", "days_of_month": {"common_year": "30.42", "leap_year": "30.50"}}),
        (BY_MONTHS, MEAN),
        (BY_CYCLES, MEAN),
    ):
        each = [] if counted_by == {"kind": "days"} else [{"step": "each_month_at_least", "volume": "10000000"}]
        steps = [*each, reduce, ten, ten, rounded("0.001"), {"step": "at_most", "volume": "10000000"}]
        rule = ruled(unit="thousand_gal", window=months(12, 3), counted_by=counted_by, steps=steps)
        assert average_of(engine, world, rule=rule).average == 10_000_000_000


# --- mistakes in a file


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": [{"step": "drop_highest", "count": 1}, MEAN]}, "a round step after the last mean or multiply"),
        ({"steps": [rounded(), rounded()]}, "one step that makes one figure"),
        ({"steps": [MEAN, MEAN, rounded()]}, "one step that makes one figure"),
        ({"steps": [MEAN, {"step": "drop_highest", "count": 1}, rounded()]}, "drop_highest in its place"),
        ({"steps": [rounded(), MEAN, rounded()]}, "in its place"),
        ({"steps": [MEAN, rounded(), {"step": "multiply", "by": "1.2"}]}, "a round step after the last mean or multiply"),
        ({"steps": [MEAN, *[{"step": "multiply", "by": "2"}] * 3, rounded()]}, "at most 2 multiply steps"),
        ({"steps": [{"step": "median"}, rounded()]}, "median"),
        ({"counted_by": {"kind": "days"}}, "no single months"),
        ({"counted_by": BY_CYCLES | {"dated_by": "bill"}}, "days_from_read_to_bill"),
        ({"counted_by": {"kind": "months", "each": 4}}, "comes out even in stretches of 4 months"),
        ({"window": {"kind": "dates", "first": "11-31", "last": "03-01"}}, "a day that every year has"),
        ({"window": {"kind": "dates", "first": "11-15", "last": "03-20"}}, "comes out even"),
        ({"steps": [*[{"step": "drop_highest", "count": 1}] * 11, MEAN, rounded()]}, "at most 12 steps"),
        ({"steps": []}, "one step that makes one figure"),
        ({"enough_history": []}, "at least one of them"),
        ({"enough_history": [{}]}, "at least one of days, coverage, count, full"),
        ({"enough_history": [{"days": 5, "of_at_least_days": 3}]}, "beside a count"),
        ({"without_enough_history": [{"take": "hold"}, {"take": "default"}]}, "hold as the last fallback only"),
        ({"without_enough_history": [{"take": "default"}, {"take": "default"}]}, "each fallback once"),
        ({"without_enough_history": [{"take": "default"}, {"take": "class_average"}]}, "class_average_of"),
        ({"without_enough_history": [{"take": "hold"}]}, "no_history_default where a fallback takes default"),
        ({"applied": {"applied_as": "upper_limit", "months": [4, 5]}}, "other_months where months are named"),
        ({"quantity_from": CWS.quantity_from.value | {"industrial": "fixed_per_edu"}}, "fixed_volume_per_edu"),
    ],
)  # fmt: skip
def test_a_rule_that_contradicts_itself_is_refused_in_words(values: dict[str, Any], sentence: str) -> None:
    sound: dict[str, Any] = {"window": months(12, 2), "counted_by": BY_MONTHS, "steps": [MEAN, rounded()]}
    ruled(**sound)
    with pytest.raises(ValidationError, match=sentence):
        ruled(**(sound | values))
