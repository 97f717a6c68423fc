"""Charges, re-rated on the decimal module from the text of the schedule, and bills that were published.

Belongs here: quantity, amount and shares of each line, what a bill lacks, a bill that two schedules share.
Does not belong here: whether a bill may be sent, revenue (the assets' tests).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import ibis
import pyarrow as pa
import pytest
import yaml
from decimal_rating import Days, Lacking, Line, Service, bill
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assets.engine import connected
from rate_tables.billing_periods import SchedulePeriod, bill_stretches, schedule_periods
from rate_tables.calendar_days import after_months
from rate_tables.charging import STRENGTH_COLUMNS, charge_lines, held_reasons
from rate_tables.schedule import SHIPPED, LoadedSchedule, load_schedule, load_schedules
from rate_tables.terms import MONTHS_PER_BILL

CWS = {one.schedule.effective: one for one in load_schedules(SHIPPED / "clean_water_services")}
HEAD = (SHIPPED / "clean_water_services" / "2018-07-01.yaml").read_text(encoding="utf-8").partition("\ncharges:")[0]
CITIES = ["Beaverton", "Tigard", "unincorporated"]
WHOLE = Days()
CLASSES = ["single_family", "multi_family", "commercial", "industrial", "institutional"]


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


def schedule_of(folder: Path, content: dict[str, Any]) -> tuple[LoadedSchedule, dict[str, Any]]:
    """A schedule with these charges and shares, loaded from a file; and the file as plain YAML gives it."""
    text = f"{HEAD}\n{yaml.safe_dump(content, sort_keys=False)}"
    path = folder / "clean_water_services" / "2018-07-01.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_schedule(path), yaml.safe_load(text)


def service(**values: Any) -> Service:
    """A home of one EDU and one ESU with an average of 8, where ``values`` says nothing else."""
    of_a_home: Service = {
        "customer_class": "single_family", "jurisdiction": "Tigard", "billing_frequency": "monthly", "edu": Decimal(1),
        "esu": Decimal(1), "volume": Decimal(8), "bears_account_charges": True, "bod": None, "cod": None, "tss": None,
    }  # fmt: skip
    return of_a_home | values


def table_of(services: list[Service], days: Days = WHOLE) -> Any:
    """The services as the code under test takes them."""

    def thousandths(value: Decimal | None) -> int | None:
        return None if value is None else int(value * 1000)

    texts = ("customer_class", "jurisdiction", "billing_frequency")
    columns: dict[str, Any] = {"service_id": [str(n) for n in range(len(services))]}
    columns |= {name: [s[name] for s in services] for name in texts}
    columns["bears_account_charges"] = [s["bears_account_charges"] for s in services]
    numbers = {"edu_thousandths": "edu", "esu_thousandths": "esu"}
    numbers |= {column: column.partition("_")[0] for column in STRENGTH_COLUMNS}
    for column, name in numbers.items():
        columns[column] = pa.array([thousandths(s[name]) for s in services], pa.int64())
    columns["bill_volume_thousandths"] = [
        int(s["volume"] * 1000) * MONTHS_PER_BILL[s["billing_frequency"]] for s in services
    ]
    if days != WHOLE:
        columns |= {"from_day": [days.first] * len(services), "to_day": [days.last] * len(services)}
        columns["days"] = [days.all] * len(services)
    return ibis.memtable(pa.table(columns))


Bills = dict[int, dict[tuple[str, int], Line]]


def lines_of(con: Any, services: list[Service], loaded: LoadedSchedule, unit: str = "ccf", days: Days = WHOLE) -> Bills:
    """Place of the service -> (charge, tier) -> line."""
    found: Bills = defaultdict(dict)
    rows = con.to_pyarrow(charge_lines(table_of(services, days), loaded, unit)).to_pylist()
    for row in rows:
        assert row["schedule_file"] == loaded.file
        found[int(row["service_id"])][row["charge_code"], row["tier"]] = Line(
            Decimal(row["quantity_thousandths"]) / 1000,
            Decimal(row["rate_ten_thousandths"]) / 10_000,
            *(Decimal(row[f"{name}amount_cents"]) / 100 for name in ("", "regional_", "local_")),
        )
    assert sum(map(len, found.values())) == len(rows)
    return found


def held(con: Any, services: list[Service], loaded: LoadedSchedule, unit: str = "ccf") -> dict[int, str]:
    rows = con.to_pyarrow(held_reasons(table_of(services), loaded, unit)).to_pylist()
    return {int(row["service_id"]): row["held_reason"] for row in rows}


def amounts(con: Any, one: Service, loaded: LoadedSchedule, unit: str = "ccf") -> dict[str, Decimal]:
    """Charge -> dollars of one bill, its tiers added."""
    assert held(con, [one], loaded, unit) == {}
    found: dict[str, Decimal] = defaultdict(Decimal)
    for (code, _), line in lines_of(con, [one], loaded, unit)[0].items():
        found[code] += line.amount
    return dict(found)


# --- generated schedules and services, against the second rating

money = st.integers(0, 400_000).map(lambda n: f"{Decimal(n) / 10_000}")
rate = st.one_of(money, money, money, money, money, st.just("unknown"))
quantity = st.integers(0, 40_000).map(lambda n: f"{Decimal(n) / 1000}")
share = st.sampled_from(["0", "0.164", "0.333333", "0.5", "0.75", "1"])
some_classes = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=4, unique=True)
some_cities = st.lists(st.sampled_from(CITIES), min_size=1, max_size=2, unique=True)


@st.composite
def tiers(draw: st.DrawFn) -> list[dict[str, str]]:
    ends = sorted(draw(st.sets(st.integers(1, 30_000), min_size=1, max_size=3)))
    return [{"up_to": f"{Decimal(end) / 1000}", "rate": draw(rate)} for end in ends] + [{"rate": draw(rate)}]


@st.composite
def prices(draw: st.DrawFn) -> dict[str, Any]:
    """A rate, tiers, or those of named customers with or without one for the others."""
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        named = draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True))
        found["rates"] = [
            {"classes": [one], **({"tiers": draw(tiers())} if draw(st.booleans()) else {"rate": draw(rate)})}
            for one in named
        ]
    if not found or draw(st.booleans()):
        found |= {"tiers": draw(tiers())} if draw(st.booleans()) else {"rate": draw(rate)}
    return found


@st.composite
def charges(draw: st.DrawFn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    units = ["edu_month", "esu_month", "account_month", "ccf", "gal", "thousand_gal"]
    for number in range(draw(st.integers(1, 4))):
        one: dict[str, Any] = {"code": f"unit_{number}", "per": draw(st.sampled_from(units)), **draw(prices())}
        if draw(st.integers(0, 3)) == 0:
            one["at_least"] = draw(quantity)
        found.append(one)
    if draw(st.booleans()):
        for pollutant in ("bod", "tss"):
            found.append({
                "code": pollutant, "per": "pound", "pollutant": pollutant, "domestic_limit_mg_per_l": draw(quantity),
                "rate": draw(rate), "without_measurement": draw(st.sampled_from(["domestic", "domestic", "hold"])),
            })  # fmt: skip
        if draw(st.booleans()):
            found.append({
                "code": "cod", "per": "pound", "pollutant": "cod", "domestic_limit_mg_per_l": draw(quantity),
                "rate": draw(rate), "instead_of": "bod", "where_times_greater": "2.25",
            })  # fmt: skip
    for number in range(draw(st.integers(0, 3))):
        of = draw(st.lists(st.sampled_from([c["code"] for c in found]), min_size=1, max_size=3, unique=True))
        kind = draw(st.sampled_from(["percent", "minimum"]))
        figure = f"{Decimal(draw(st.integers(0, 10_000))) / 100}"
        found.append({"code": f"on_others_{number}", kind: figure, "of": of})
    for one in found:
        one |= {"title": one["code"], "source": "generated"}
        if draw(st.integers(0, 3)) == 0:
            one["applies_to"] = {"classes": draw(some_classes)} | (
                {"jurisdictions": draw(some_cities)} if draw(st.booleans()) else {}
            )
        if draw(st.integers(0, 3)) == 0:
            one["local_share"] = draw(share)
    return found


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"charges": draw(charges())}
    codes = [c["code"] for c in found["charges"]]
    listed = draw(st.sets(st.tuples(st.sampled_from(CITIES), st.sampled_from(codes)), max_size=4))
    found["local_shares"] = [
        {"jurisdiction": city, "charge": code, "share": draw(share), "source": "generated"}
        for city, code in sorted(listed)
    ]
    if draw(st.booleans()):
        found["local_share_where_none_is_listed"] = {"value": draw(share), "source": "generated"}
    return found


def generated_services(seed: int, number: int) -> list[Service]:
    random = Random(seed)  # noqa: S311

    def figure(few: list[str], most: int) -> Decimal:
        return Decimal(random.choice(few)) if random.random() < 0.4 else Decimal(random.randrange(most)) / 1000

    def strength() -> Decimal | None:
        return random.choice([None, Decimal(200), Decimal(450), figure(["614", "1200", "0"], 3_000_000)])

    return [
        service(
            customer_class=random.choice(CLASSES), jurisdiction=random.choice(CITIES),
            billing_frequency=random.choice(list(MONTHS_PER_BILL)), edu=figure(["0", "1", "2.5"], 400_000),
            esu=figure(["0", "1"], 400_000), volume=figure(["0", "0.01", "8"], random.choice([40_000, 10**7])),
            bears_account_charges=random.random() < 0.8, bod=strength(), cod=strength(), tss=strength(),
        )
        for _ in range(number)
    ]  # fmt: skip


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example takes a second: shrinking would take an hour
)  # fmt: skip
@given(
    schedules(), st.integers(0, 2**32), st.sampled_from(["ccf", "gal", "thousand_gal"]),
    st.sampled_from([Days(), Days(), Days(0, 17, 61), Days(17, 61, 61)]),
)  # fmt: skip
def test_every_line_is_to_the_cent_what_decimal_rerating_gives_and_its_parts_add_to_it(
    con: Any, tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], seed: int, unit: str, days: Days
) -> None:
    loaded, plain = schedule_of(tmp_path_factory.mktemp("generated"), content)
    services = generated_services(seed, 120)
    lines, reasons = lines_of(con, services, loaded, unit, days), held(con, services, loaded, unit)
    for number, one in enumerate(services):
        try:
            # What is lacking for the whole bill holds it, even if its quantity in a part of the days is too small to be measured.
            bill(plain, one, unit, Days())
            expected = bill(plain, one, unit, days)
        except Lacking:
            assert number in reasons
            continue
        assert number not in reasons
        assert lines.get(number, {}) == expected
        assert all(line.regional + line.local == line.amount for line in expected.values())


def test_a_bill_that_crosses_a_change_is_shared_by_days_and_no_quantity_is_lost(con: Any) -> None:
    """16 CCF and two EDU-months over 62 days, of which 31 lie before the change: half of each at the old rate."""
    old, new = CWS[dt.date(2018, 7, 1)], CWS[dt.date(2019, 7, 1)]
    two_months = [service(billing_frequency="two_monthly")]
    before = lines_of(con, two_months, old, days=Days(0, 31, 62))[0]
    after = lines_of(con, two_months, new, days=Days(31, 62, 62))[0]
    assert {code: (line.quantity, line.amount) for (code, _), line in before.items()} == {
        "sewer_base": (1, Decimal("29.16")), "sewer_use": (8, Decimal("15.44")), "swm": (1, Decimal("8.75")),
    }  # fmt: skip
    assert {code: (line.quantity, line.amount) for (code, _), line in after.items()} == {
        "sewer_base": (1, Decimal("30.03")), "sewer_use": (8, Decimal("15.92")), "swm": (1, Decimal("9.25")),
    }  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 364), min_size=1, max_size=3, unique=True))
def test_the_quantities_of_the_parts_of_a_bill_add_to_those_of_the_bill(con: Any, seed: int, cuts: list[int]) -> None:
    loaded = CWS[dt.date(2019, 7, 1)]
    services = generated_services(seed, 40)
    days = [0, *sorted(cuts), 365]
    whole = lines_of(con, services, loaded)
    parts = [lines_of(con, services, loaded, days=Days(a, b, 365)) for a, b in itertools.pairwise(days)]
    for number, lines in whole.items():
        for key, line in lines.items():
            assert sum(part[number][key].quantity for part in parts) == line.quantity


@given(
    st.sets(st.dates(dt.date(2018, 8, 1), dt.date(2021, 6, 30)), max_size=3),
    st.sampled_from(list(MONTHS_PER_BILL)),
    st.sampled_from([dt.date(2019, 7, 1), dt.date(2020, 1, 31)]),
)
def test_the_bills_of_a_year_fill_it_and_cover_twelve_months(
    changes: set[dt.date], frequency: str, start: dt.date
) -> None:
    first = CWS[dt.date(2018, 7, 1)]
    standing = [
        first.model_copy(update={
            "file": str(day),
            "schedule": first.schedule.model_copy(update={
                "effective": day, "term": first.schedule.term.model_copy(update={"value": "until_replaced"}),
            }),
        })
        for day in {dt.date(2018, 7, 1), *changes}
    ]  # fmt: skip
    periods = schedule_periods(standing, start)
    assert (periods[0].start, periods[-1].end) == (start, after_months(start, 12))
    assert all(a.end == b.start for a, b in itertools.pairwise(periods))
    for period in periods:
        begun = [one.schedule.effective for one in standing if one.schedule.effective <= period.start]
        assert period.schedule is not None
        assert period.schedule.schedule.effective == max(begun)

    stretches = bill_stretches(periods, frequency)
    assert (stretches[0].start, stretches[-1].end) == (start, after_months(start, 12))
    assert all(a.end == b.start for a, b in itertools.pairwise(stretches))
    assert sum(stretch.bills for stretch in stretches) * MONTHS_PER_BILL[frequency] == 12
    for stretch in stretches:
        begins = [part.from_day for part in stretch.parts]
        ends = [part.to_day for part in stretch.parts]
        assert [*begins, stretch.parts[0].days] == [0, *ends]
        if len(stretch.parts) > 1:
            assert stretch.bills == 1
            assert stretch.parts[0].days == (stretch.end - stretch.start).days


def test_a_year_with_one_schedule_is_one_stretch() -> None:
    periods = (SchedulePeriod(dt.date(2019, 7, 1), dt.date(2020, 7, 1), CWS[dt.date(2019, 7, 1)]),)
    assert {f: [s.bills for s in bill_stretches(periods, f)] for f in MONTHS_PER_BILL} == {
        "monthly": [12], "two_monthly": [6], "quarterly": [4], "half_yearly": [2], "yearly": [1],
    }  # fmt: skip


def test_a_city_keeps_its_share_and_another_city_does_not(con: Any, tmp_path: Path) -> None:
    """Beaverton 2018: 16.4 % of sewer, 75 % of SWM. 29.16 x 0.164 = 4.78, 15.44 x 0.164 = 2.53, 8.75 x 0.75 = 6.56."""
    text = (SHIPPED / "clean_water_services" / "2018-07-01.yaml").read_text(encoding="utf-8")
    shares = [
        {"jurisdiction": "Beaverton", "charge": code, "share": kept, "source": "Pamplin Media 397188"}
        for code, kept in {"sewer_base": "0.164", "sewer_use": "0.164", "swm": "0.75"}.items()
    ]
    loaded, _ = schedule_of(tmp_path, {"charges": yaml.safe_load(text)["charges"], "local_shares": shares})
    lines = lines_of(con, [service(jurisdiction="Beaverton"), service()], loaded)
    kept = [[lines[n][code, 1].local for code in ("sewer_base", "sewer_use", "swm")] for n in (0, 1)]
    assert kept == [[Decimal("4.78"), Decimal("2.53"), Decimal("6.56")], [0, 0, 0]]


def test_a_bill_that_lacks_a_rate_says_which_and_has_no_amount_of_zero(con: Any) -> None:
    sherwood = load_schedule(SHIPPED / "sherwood" / "2023-07-01.yaml")
    house = service(customer_class="multi_family", jurisdiction="Sherwood")
    assert held(con, [house], sherwood) == {
        0: "Sewer base, city: no rate for multi_family in Sherwood stands in rate_tables/sherwood/2023-07-01.yaml"
    }
    assert ("sewer_base_city", 1) not in lines_of(con, [house], sherwood)[0]


def test_a_schedule_without_charges_holds_every_bill(con: Any, tmp_path: Path) -> None:
    loaded, _ = schedule_of(tmp_path, {"charges": []})
    assert "its rates are not known" in held(con, [service()], loaded)[0]
