"""What is irregular about use: estimates put right, last year's leak, whose data a decision is tied to, odd data.

Belongs here: how findings and proposals hang on two years' deliveries and on other services; both ways of computing them.
Does not belong here: what each rule finds (``tests/validations/test_review_of_use``).
"""

from __future__ import annotations

import datetime as dt
import random
from itertools import pairwise
from typing import Any

import ibis.expr.types as ir
import pytest
from contract_rows import Row, row, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from use_world import (
    DISTRICT,
    EDGES,
    FEBRUARY,
    JANUARY,
    METER,
    MONTHS,
    THIS_YEAR,
    Home,
    found_in,
    made_by,
    proposed_in,
    read,
    stored,
    table_by,
    tables_of,
    usual,
    year_2019,
)

from assets.irregular_use import _USE, _laid_out, _use, district_use, irregular_use, proposed_corrections
from validations.contract import violations
from validations.review import OF_USE, all_findings
from validations.review.of_meters import corrected_estimates
from validations.review.use import last_year_of, looked_at
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_STEPS,
    CONSUMPTION,
    DISTRICT_USE,
    IRREGULAR_USE,
    NO_DISTRICT,
    PROPOSED_CORRECTIONS,
    SEVERAL_DISTRICTS,
)

ESTIMATED, LAST = range(1, 23), 23
USED_CF = 22 * 885 - 4_132


def awwa_m36() -> Home:
    """22 months at 885 cubic feet that nobody read, then a read that was billed as -4,132, in whose month 825 went through."""
    in_cf = {"volume_unit": "cf"}
    guessed = {n: [read(n, 885_000, read_type="estimated", **in_cf)] for n in ESTIMATED}
    last = read(LAST, -4_132_000, registered_volume_thousandths=825_000, **in_cf)
    return Home(reads={0: [read(0, 700_000, **in_cf)], **guessed, LAST: [last]})


def by_month(proposed: list[Row]) -> dict[int, int]:
    return {EDGES.index(one["period_start"]): one["proposed_volume_thousandths"] for one in proposed}


def leak(months: range, volume: int = 60_000) -> dict[int, int]:
    return dict.fromkeys(months, volume)


def adjusted(home: Home, service_id: str, volumes: dict[int, int], *, is_left_out: bool = False) -> list[Row]:
    """What counts of some months in the end, for last year's table."""
    rows = {EDGES.index(one["period_start"]): one for one in home.rows(service_id)}
    keys = ("source_file", "source_row", "source_column", "period_start", "period_end", "district_account")
    return [
        row(ADJUSTED_CONSUMPTION, service_id=service_id, district_id=DISTRICT, meter_id=METER, volume_unit="ccf",
            adjusted_volume_thousandths=volume, is_left_out=is_left_out, **{key: rows[n][key] for key in keys})
        for n, volume in volumes.items()
    ]  # fmt: skip


def test_a_correction_after_22_estimates_proposes_what_went_through_825_in_its_month_and_15338_in_all(con: Any) -> None:
    """The case of AWWA M36, in a delivery that holds both years: no volume is lost, none made up."""
    tables = tables_of({"S1": awwa_m36()}, in_one_delivery=True)
    proposed = by_month(proposed_in(con, tables))
    assert proposed.keys() == {*ESTIMATED, LAST}
    assert proposed[LAST] == 825_000
    assert sum(proposed.values()) == USED_CF * 1000 == 15_338_000
    # The rest lies on the estimated months by days: 14,513 cubic feet over 669 days are 21.69 a day.
    for month in ESTIMATED:
        days = (EDGES[month + 1] - EDGES[month]).days
        assert abs(proposed[month] - 14_513_000 * days / 669) <= 1
    one = found_in(con, tables)["read.estimate_then_correction:S1"]
    assert "825.0 cf" in one["proposal"]
    assert "together 15338.0 cf went through" in one["message"]


def test_a_run_of_estimates_that_began_in_last_years_delivery_is_put_right_alike(con: Any) -> None:
    """Proposals are for this year's rows; with last year's part of the same spread they are all that went through."""
    tables = tables_of({"S1": awwa_m36()})
    proposed = by_month(proposed_in(con, tables))
    assert proposed.keys() == {*THIS_YEAR}
    whole = by_month(proposed_in(con, tables_of({"S1": awwa_m36()}, in_one_delivery=True)))
    assert proposed == {month: whole[month] for month in THIS_YEAR}

    bench = _laid_out(stored(con, tables), year_2019())
    use = _use(year_2019(), **{name: bench._tables[name] for name in _USE})
    both_years = con.to_pyarrow(corrected_estimates(use)).to_pylist()
    assert sum(one["proposed_thousandths"] for one in both_years) == USED_CF * 1000
    assert sum(one["billed_thousandths"] for one in both_years) == USED_CF * 1000


def test_a_correction_is_spread_only_where_all_that_it_corrects_is_known(con: Any) -> None:
    """Not where an estimate is missing, or the sheet has changed one: its part would fall on the others."""
    whole, missing = awwa_m36(), awwa_m36()
    missing.reads[15] = []
    tables = tables_of({"whole": whole, "missing": missing, "adjusted": awwa_m36()}, in_one_delivery=True)
    rows = con.to_pyarrow(tables["consumption"]).to_pylist()
    (one,) = [one for one in rows if one["district_account"] == "adjusted" and one["period_start"] == EDGES[15]]
    keys = (
        "district_id",
        "source_file",
        "source_row",
        "source_column",
        "district_account",
        "meter_id",
        "period_start",
        "period_end",
    )
    step = row(ADJUSTMENT_STEPS, service_id="adjusted", before_volume_thousandths=885_000, after_volume_thousandths=500_000,
               **{key: one[key] for key in keys})  # fmt: skip
    given = tables | {"adjustment_steps": table_of(ADJUSTMENT_STEPS, step)}
    assert {one["service_id"] for one in proposed_in(con, given)} == {"whole"}
    must_decide = [name for name, one in found_in(con, given).items() if one["severity"] == "must_decide"]
    assert sorted(must_decide) == [
        "read.estimate_then_correction:whole",
        "use.negative:adjusted",
        "use.negative:missing",
    ]


def test_every_proposal_belongs_to_a_finding(con: Any) -> None:
    """Also where a service's id has a colon in it."""
    homes = {"A:1": awwa_m36(), "S%2": Home({JANUARY: -9_992_000})}
    tables = tables_of(homes)
    assert {one["finding_id"] for one in proposed_in(con, tables)} <= found_in(con, tables).keys()
    assert by_month([p for p in proposed_in(con, tables) if p["service_id"] == "S%2"]) == {JANUARY: 8_000}
    table = table_by(con, proposed_corrections, stored(con, tables))
    assert con.to_pyarrow(violations(PROPOSED_CORRECTIONS, table)).to_pylist() == []


def test_last_years_leak_does_not_hide_this_years(con: Any) -> None:
    """Whether an adjustment took it away last year, left it out, or nobody saw it."""
    last_winter, this_winter = range(8, 10), range(20, 22)
    home = Home(leak(last_winter) | leak(this_winter))
    as_used = {n: usual(n) for n in last_winter}
    taken_away = adjusted(home, "adjusted", as_used)
    left_out = adjusted(home, "left out", as_used, is_left_out=True)
    homes = {"adjusted": home, "left out": home, "unseen": home}
    # The rows of last year's table are those of the delivery: each is written once.
    tables = tables_of(homes)
    delivered = con.to_pyarrow(tables["prior_consumption"]).to_pylist()
    numbers = {(one["district_account"], one["period_start"]): one["source_row"] for one in delivered}
    for one in (*taken_away, *left_out):
        one["source_row"] = numbers[one["district_account"], one["period_start"]]
    found = found_in(
        con, tables | {"prior_adjusted_consumption": ADJUSTED_CONSUMPTION.of_rows([*taken_away, *left_out])}
    )
    assert {f"use.high:{name}" for name in homes} <= found.keys()
    assert "same dates last year: 8." in found["use.high:adjusted"]["message"]
    assert "same dates last year: 44.0" in found["use.high:unseen"]["message"]


def test_a_leak_that_this_years_sheet_has_taken_away_is_not_found_again(con: Any) -> None:
    home = Home({JANUARY: 60_000})
    tables = tables_of({"S1": home})
    (leaking,) = [
        one for one in con.to_pyarrow(tables["consumption"]).to_pylist() if one["billed_volume_thousandths"] == 60_000
    ]
    keys = ("district_id", "source_file", "source_row", "source_column", "district_account", "meter_id")
    step = row(
        ADJUSTMENT_STEPS, service_id="S1", before_volume_thousandths=60_000, after_volume_thousandths=8_000,
        period_start=leaking["period_start"], period_end=leaking["period_end"], **{key: leaking[key] for key in keys},
    )  # fmt: skip
    assert "use.high:S1" in found_in(con, tables)
    assert found_in(con, tables | {"adjustment_steps": table_of(ADJUSTMENT_STEPS, step)}) == {}


def test_a_decisions_evidence_changes_with_the_services_own_data_and_with_no_others(con: Any) -> None:
    odd = {
        "high": Home({JANUARY: 40_000}), "slip": Home({JANUARY: 81_000}), "zero": Home(dict.fromkeys(range(18, 21), 0)),
        "m36": awwa_m36(), "vacant": Home({JANUARY: 1_000}),
    }  # fmt: skip

    def hashes(**others: Home) -> dict[str, str]:
        found = found_in(con, tables_of(odd | others))
        return {name: one["evidence_hash"] for name, one in found.items() if one["service_id"] in odd}

    alone = hashes(neighbour=Home())
    assert {name.split(":")[1] for name in alone} == odd.keys()
    tripled = Home({n: 3 * usual(n) for n in MONTHS})
    assert hashes(neighbour=tripled, second=tripled, third=tripled, high_too=tripled) == alone

    odd["high"] = Home({JANUARY: 41_000})
    changed = {name for name, one in hashes(neighbour=Home()).items() if alone[name] != one}
    assert changed == {"use.high:high"}


def test_the_rules_say_the_same_of_tables_in_memory_and_in_a_database(con: Any) -> None:
    """In a database their SQL is built once and intermediate tables are kept; in memory all is one expression."""
    tables = tables_of({"high": Home({JANUARY: 40_000}), "m36": awwa_m36(), "rolled": Home({FEBRUARY: -9_992_000})})
    for stage in (irregular_use, proposed_corrections):
        ways = [made_by(con, stage, given) for given in (tables, stored(con, tables))]
        in_memory, in_database = (sorted(rows, key=lambda one: str(list(one.values()))) for rows in ways)
        assert in_memory == in_database != []
    of_district = {name: tables[name] for name in ("consumption", "prior_consumption")}
    assert made_by(con, district_use, of_district) == made_by(con, district_use, stored(con, of_district)) != []


def test_no_rule_finds_anything_in_periods_that_are_not_looked_at(con: Any) -> None:
    """Services of which no rule over periods can find anything are left aside: the same is found where all are looked at."""
    drawn = random.Random(20190701)  # noqa: S311 - the same every time is what is wanted

    def home() -> Home:
        # Most are odd in one way only, so that each way of being looked at is needed by some.
        level, spread = drawn.choice([2_000, 8_000, 60_000]), drawn.choice([0.02, 0.02, 0.1, 0.3, 0.6])
        in_winter = drawn.choice([0.6, 1, 1, 1.4, 1.8, 2.5])
        used = {n: round(level * (in_winter if n % 12 >= 6 else 1) * drawn.lognormvariate(0, spread)) for n in MONTHS}
        used |= {n: round(used[n] * drawn.uniform(0, 4)) for n in drawn.sample(MONTHS, drawn.choice([0, 0, 0, 1, 3]))}
        units = {"dwelling_units": drawn.choice([1, 1, 3])}
        months = drawn.choice([1, 1, 2])
        begin = [*range(0, len(MONTHS), months)]
        if drawn.random() < 0.3:
            # Two reads in one.
            begin.remove(drawn.choice(begin[1:]))
        reads: dict[int, list[Row]] = {n: [] for n in MONTHS}
        for first, after in pairwise([*begin, len(MONTHS)]):
            reads[first] = [read(first, sum(used[n] for n in range(first, after)), period_end=EDGES[after])]
        return Home(reads=reads, service=units)

    year = year_2019()
    tables = stored(con, tables_of({f"{n}": home() for n in range(300)}))
    laid_out = _laid_out(tables, year)._tables
    asked = {name: laid_out[name] for name in _USE}
    periods, of_services = laid_out["periods"], laid_out["usual"]
    looked_at_all = looked_at(periods, last_year_of(periods, of_services), of_services)
    some, every = (con.to_pyarrow(table.count()).as_py() for table in (asked["looked"], looked_at_all))
    assert 0 < some < every

    def found(looked: ir.Table) -> list[Row]:
        use = _use(year, **(asked | {"looked": looked}))
        limits, services = year.review_limits.rules, tables["sewer_services"]
        rows = con.to_pyarrow(
            all_findings(OF_USE, use=use, limits=limits, sewer_services=services, year=year)
        ).to_pylist()
        return sorted(rows, key=lambda one: str(one["finding_id"]))

    of_some = found(asked["looked"])
    assert of_some == found(looked_at_all)
    assert {"use.high", "use.low", "use.tenfold", "use.winter_above_summer"} < {one["rule_id"] for one in of_some}


def test_a_district_is_compared_with_last_year_unless_its_slice_is_of_several(con: Any) -> None:
    tables = tables_of({f"S{n}": Home({m: 2 * usual(m) for m in THIS_YEAR}) for n in range(3)})
    given = {name: tables[name] for name in ("consumption", "prior_consumption")}
    (one,) = made_by(con, district_use, stored(con, given))
    assert (one["accounts"], one["prior_accounts"], one["meters_compared"]) == (3, 3, 3)
    assert 1_950_000 < one["winter_ratio_millionths"] < 2_050_000
    table = district_use(**stored(con, given), year=year_2019(), slice_id="tiny")
    assert con.to_pyarrow(violations(DISTRICT_USE, table)).to_pylist() == []
    for several in (SEVERAL_DISTRICTS, NO_DISTRICT):
        # All districts but one may not have delivered yet: what several measure is of one district then, and still none.
        assert con.to_pyarrow(district_use(**given, year=year_2019(), slice_id=several)).to_pylist() == []


def test_bills_that_are_named_by_a_month_and_share_one_of_the_winter_are_counted(con: Any) -> None:
    """Two bills of two months each over three months of the winter; not where days are known, months differ, or it is summer."""

    def bills(first: int, second: int, shift: int = 0) -> Home:
        days = dt.timedelta(days=shift)
        return Home(reads={n: list[Row]() for n in MONTHS} | {
            n: [read(n, 16_000, period_start=EDGES[n] + days, period_end=EDGES[n + 2] + days)] for n in (first, second)
        })  # fmt: skip

    homes = {"shared": bills(18, 19), "apart": bills(18, 20), "by day": bills(18, 19, 5), "summer": bills(12, 13)}
    tables = tables_of(homes)
    given = {name: tables[name] for name in ("consumption", "prior_consumption")}
    (one,) = made_by(con, district_use, stored(con, given))
    assert one["shared_month_accounts"] == 1
    found = found_in(con, tables)
    assert [found[f"period.overlap:{name}"]["severity"] for name in ("shared", "by day")] == ["info", "must_decide"]


huge = 10**15
volume = st.one_of(
    st.sampled_from([0, 1, -1, -4_132_000, -9_992_000, 9_999_000, 10_000_000, huge, -huge]), st.integers(-huge, huge)
)
odd_read = st.builds(
    lambda month, shift, days, billed, registered, read_type, meter, unit: read(
        month, billed, registered_volume_thousandths=registered, read_type=read_type, meter_id=meter, volume_unit=unit,
        period_start=EDGES[month] + dt.timedelta(days=shift), period_end=EDGES[month] + dt.timedelta(days=shift + days),
    ),
    st.sampled_from(MONTHS), st.integers(-40, 40), st.integers(1, 400), volume, volume, st.sampled_from(["actual", "estimated"]),
    st.sampled_from(["", "M1", "M2"]), st.sampled_from(["ccf", "gal", "m3"]),
)  # fmt: skip
odd_service = st.fixed_dictionaries(
    {
        "occupant_since": st.one_of(st.none(), st.dates(dt.date(2016, 1, 1), dt.date(2019, 12, 31))),
        "service_start": st.dates(dt.date(2010, 1, 1), dt.date(2019, 12, 31)),
        "service_end": st.one_of(st.none(), st.dates(dt.date(2018, 1, 1), dt.date(2019, 12, 31))),
        "status": st.sampled_from(["active", "suspended", "closed"]),
        "dwelling_units": st.sampled_from([0, 1, 2, 10**9]),
        "volume_source": st.sampled_from(["district", "well"]),
    }
)


def _home(reads: list[Row], service: Row) -> Home:
    return Home(reads={month: [] for month in MONTHS} | {0: reads}, service=service)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.builds(_home, st.lists(odd_read, max_size=12), odd_service), min_size=1, max_size=4))
def test_odd_data_raises_nothing_and_gives_a_service_one_finding_of_a_rule(con: Any, homes: list[Home]) -> None:
    tables = tables_of({f"S{n}": home for n, home in enumerate(homes)})
    found = irregular_use(**stored(con, tables), year=year_2019())
    assert con.to_pyarrow(violations(IRREGULAR_USE, found)).to_pylist() == []
    pairs = [(one["rule_id"], one["service_id"]) for one in con.to_pyarrow(found).to_pylist()]
    assert len(set(pairs)) == len(pairs)
    proposed = table_by(con, proposed_corrections, stored(con, tables))
    assert con.to_pyarrow(violations(PROPOSED_CORRECTIONS, proposed)).to_pylist() == []


@pytest.mark.parametrize("stage", [irregular_use, proposed_corrections, district_use])
def test_nothing_delivered_gives_nothing(con: Any, stage: Any) -> None:
    empty = stored(con, {name: table.limit(0) for name, table in tables_of({"S1": Home()}).items()})
    assert made_by(con, stage, {name: empty[name] for name in stage.inputs if name in empty}) == []


def test_of_a_service_of_no_district_is_found_what_the_cis_says_whether_its_consumption_is_no_table_or_one_without_rows(
    con: Any,
) -> None:
    moved_in = Home(service={"occupant_since": dt.date(2019, 2, 1), "slice_id": NO_DISTRICT})
    tables = tables_of({"S1": moved_in})
    services = stored(con, {"sewer_services": tables.pop("sewer_services")})
    without_rows = services | stored(con, {name: table.limit(0) for name, table in tables.items()})
    no_table = without_rows | {name: CONSUMPTION.empty() for name in ("consumption", "prior_consumption")}
    found = made_by(con, irregular_use, no_table)
    assert [one["finding_id"] for one in found] == ["history.moved_in_during_winter:S1"]
    assert found == made_by(con, irregular_use, without_rows)
    for tables in (no_table, without_rows):
        assert made_by(con, proposed_corrections, tables) == []
