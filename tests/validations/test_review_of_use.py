"""Rules about use: each finds what it is for, and does not find what is a little less.

Belongs here: every rule of use on a service that is changed in one place.
Does not belong here: how findings depend on last year, on other services and on odd data (``tests/assets/test_irregular_use``).
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import fields
from typing import Any

import ibis
import pytest
from contract_rows import Row
from use_world import (
    DECEMBER,
    EDGES,
    FEBRUARY,
    JANUARY,
    MONTHS,
    THIS_YEAR,
    Home,
    connection,
    found_in,
    read,
    stored,
    tables_of,
    usual,
    year_2019,
)

from assets.irregular_use import irregular_use
from validations.contract import violations
from validations.review import OF_USE
from validations.review.use import Use
from validations.tables import CONSUMPTION, IRREGULAR_USE

DAY = dt.timedelta(days=1)
NOVEMBER, MARCH, APRIL = 18, 22, 23


def volumes(first: int, *ccf: float) -> dict[int, int]:
    return {first + n: round(v * 1000) for n, v in enumerate(ccf)}


def estimated(*months: int) -> dict[int, list[Row]]:
    return {n: [read(n, read_type="estimated")] for n in months}


def corrected(billed: int, registered: int) -> dict[int, list[Row]]:
    """Estimates from November to February, and the read in March."""
    return {
        **estimated(*range(NOVEMBER, MARCH)),
        MARCH: [read(MARCH, billed, registered_volume_thousandths=registered)],
    }


def meters(count: int) -> Home:
    """A service with so many meters in January."""
    return Home(reads={JANUARY: [read(JANUARY, 500, meter_id=f"M{n}") for n in range(1, count + 1)]})


def changed_meter(first: int) -> Home:
    """Another meter from the month ``first`` on, the old one until the new year."""
    gone: dict[int, list[Row]] = {n: [] for n in range(JANUARY, first)}
    return Home(reads=gone | {n: [read(n, meter_id="M2")] for n in range(first, 24)})


def begun(january: dt.date, before: dt.timedelta) -> Home:
    """January's read begins so much earlier than December's ended."""
    return Home(reads={JANUARY: [read(JANUARY, period_start=january - before)]})


def of_cis(**columns: Any) -> Home:
    return Home(service=columns)


YEAR_START = EDGES[JANUARY]
CASES: dict[str, tuple[Home, Home, str, str, str]] = {
    # rule: (what it is for, what is a little less, rule id, severity, a piece of the message)
    "period_gap": (
        begun(YEAR_START, -10 * DAY), begun(YEAR_START, -9 * DAY),
        "period.gap", "review", "no read covers 10 days of the winter between 2019-01-01 and 2019-01-11",
    ),
    "period_overlap": (
        begun(YEAR_START, 2 * DAY), begun(YEAR_START, DAY),
        "period.overlap", "must_decide", "2 days between 2018-12-30 and 2019-02-01 stand in two reads of one meter",
    ),
    "period_several_figures": (
        Home(reads={n: [read(n, meter_id="")] * (1 + (n == JANUARY)) for n in MONTHS}),
        Home(reads={JANUARY: [read(JANUARY), read(JANUARY, meter_id="M2")]}),
        "period.several_figures", "info", "1 periods have up to 2 figures each",
    ),
    "period_off_cycle": (
        Home(reads={DECEMBER: [], NOVEMBER: [read(NOVEMBER, 16_000, period_end=YEAR_START)]}),
        Home(reads={NOVEMBER: [read(NOVEMBER, period_end=EDGES[DECEMBER] + 7 * DAY)],
                    DECEMBER: [read(DECEMBER, period_start=EDGES[DECEMBER] + 7 * DAY)]}),
        "period.off_cycle", "info", "1 periods have 61 to 61 days where 31 are usual",
    ),
    "use_high": (
        Home(volumes(JANUARY, 40)), Home(volumes(JANUARY, 20.5)),
        "use.high", "review", "used 39.3 CCF a month where 8.",
    ),
    "use_low": (
        Home(volumes(JANUARY, 2)), Home(volumes(JANUARY, 3.2)),
        "use.low", "review", "used 2.0 CCF a month where 8.",
    ),
    "use_tenfold": (
        Home(volumes(JANUARY, 81)), Home(volumes(JANUARY, 45)),
        "use.tenfold", "must_decide", "is about ten or a hundred times the usual 8.",
    ),
    "use_placeholder": (
        Home(volumes(JANUARY, 9999)), Home(volumes(JANUARY, 999)),
        "use.placeholder", "must_decide", "the figure 9999.0 ccf stands where",
    ),
    "use_negative": (
        Home(volumes(JANUARY, -5)), Home(volumes(JANUARY, 0)),
        "use.negative", "must_decide", "the volume is -5.0 ccf from 2019-01-01 to 2019-02-01",
    ),
    "use_zero_run": (
        Home(volumes(NOVEMBER, 0, 0, 0)), Home(volumes(NOVEMBER, 0, 0, 5, 0, 0)),
        "use.zero_run", "review", "no use for 92 days between 2018-11-01 and 2019-02-01 on an active account",
    ),
    "use_on_inactive": (
        of_cis(status="suspended"), Home(dict.fromkeys(THIS_YEAR, 400), service={"status": "suspended"}),
        "use.on_inactive", "review", "while the CIS has it suspended",
    ),
    "use_repeated_value": (
        Home(volumes(NOVEMBER, *[8.7] * 5)), Home(volumes(NOVEMBER, *[8.7] * 4)),
        "use.repeated_value", "review", "the same figure of 8.7 ccf stands 5 times running",
    ),
    "use_rising": (
        Home(volumes(NOVEMBER, 7, 8, 11, 13, 16, 19)), Home(volumes(NOVEMBER, 7, 7, 7, 11, 14, 18)),
        "use.rising", "review", "rose 5 times running, from 7.1 to 19.3 CCF a month",
    ),
    "use_winter_above_summer": (
        Home(volumes(NOVEMBER, *[26, 26.1] * 3)), Home(volumes(NOVEMBER, *[22, 22.1] * 3)),
        "use.winter_above_summer", "review", "used 26.3 CCF a month in winter and 12.0 in summer (last winter: 8.",
    ),
    "use_per_dwelling_unit": (
        Home({n: 48_000 + n for n in MONTHS}, service={"dwelling_units": 2}),
        Home({n: 43_000 + n for n in MONTHS}, service={"dwelling_units": 2}),
        "use.per_dwelling_unit", "review", "CCF a month in 2 dwellings: 24.",
    ),
    "meter_missed_rollover": (
        Home(volumes(JANUARY, 8 - 10_000)), Home(volumes(JANUARY, 8 - 5_000)),
        "meter.missed_rollover", "must_decide", "the volume of -9992.0 ccf looks like a register that went round",
    ),
    "meter_changed_out": (
        changed_meter(JANUARY), changed_meter(MARCH),
        "meter.changed_out", "info", "meter M1 was followed by meter M2 on 2019-01-01",
    ),
    "meter_multiplier_changed": (
        Home(volumes(FEBRUARY, 80, 81, 45)), Home(volumes(FEBRUARY, 80, 81, 8)),
        "meter.multiplier_changed", "must_decide", "from 2019-02-01 on, use is about",
    ),
    "read_estimated_run": (
        Home(reads=estimated(DECEMBER, JANUARY, FEBRUARY)), Home(reads=estimated(DECEMBER, JANUARY, MARCH, APRIL)),
        "read.estimated_run", "review", "3 estimates in a row between 2018-12-01 and 2019-03-01",
    ),
    "read_estimate_then_correction": (
        Home(reads=corrected(-20_000, 7_000)), Home(reads=corrected(7_000, 7_000)),
        "read.estimate_then_correction", "must_decide", "4 estimates from 2018-11-01 on, then a read that was billed as -20.0 ccf",
    ),
    "account_many_meters": (
        meters(9), meters(8),
        "account.many_meters", "review", "has 9 meters",
    ),
    "moved_in_during_winter": (
        of_cis(occupant_since=dt.date(2018, 11, 2)), of_cis(occupant_since=dt.date(2018, 11, 1)),
        "history.moved_in_during_winter", "info", "the occupant came on 2018-11-02",
    ),
    "low_before_occupant": (
        of_cis(service_start=dt.date(2018, 11, 10), occupant_since=dt.date(2018, 12, 1)),
        of_cis(service_start=dt.date(2018, 11, 11), occupant_since=dt.date(2018, 12, 1)),
        "history.low_before_occupant", "info", "service began on 2018-11-10 and the first occupant came on 2018-12-01",
    ),
    "vacant_in_winter": (
        Home(volumes(JANUARY, 1)), Home(volumes(JANUARY, 2.3)),
        "history.vacant_in_winter", "info", "on 31 days of the winter between 2019-01-01 and 2019-02-01",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def con() -> Any:
    return connection()


@pytest.fixture(scope="module")
def found(con: Any) -> dict[str, Row]:
    """Findings of one world in which every case is a service, and a service that is as usual."""
    homes = {"as usual": Home()}
    for rule, (odd, less, *_) in CASES.items():
        homes |= {f"{rule} found": odd, f"{rule} less": less}
    return found_in(con, tables_of(homes))


def test_every_rule_of_use_is_tried_here() -> None:
    assert {rule.function.__name__ for rule in OF_USE} == CASES.keys()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for(found: dict[str, Row], rule: str) -> None:
    _, _, rule_id, severity, message = CASES[rule]
    one = found[f"{rule_id}:{rule} found"]
    assert (one["rule_id"], one["severity"], one["service_id"]) == (rule_id, severity, f"{rule} found")
    assert message in one["message"]
    assert isinstance(json.loads(one["evidence"]), dict)
    assert one["remedy"].endswith(".")


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_does_not_find_what_is_a_little_less(found: dict[str, Row], rule: str) -> None:
    assert f"{CASES[rule][2]}:{rule} less" not in found


def test_nothing_is_found_where_all_is_as_usual(found: dict[str, Row]) -> None:
    assert [one["rule_id"] for one in found.values() if one["service_id"] == "as usual"] == []


def test_what_lies_before_the_winter_moves_no_average_and_is_for_information(con: Any) -> None:
    """Severity goes with the window: the same read in June and in January."""
    june = 13
    homes = {"june": Home(volumes(june, 60)), "january": Home(volumes(JANUARY, 40))}
    found = found_in(con, tables_of(homes))
    assert [found[f"use.high:{name}"]["severity"] for name in homes] == ["info", "review"]


def test_a_credit_that_a_proposal_explains_is_found_once(con: Any) -> None:
    """A decision about the proposal is all that is needed; a credit that nothing explains is found as such."""
    in_feet = {n: [read(n, usual(n) * 100, volume_unit="cf")] for n in MONTHS}
    homes = {
        "corrected": Home(reads=corrected(-20_000, 7_000)),
        "gone round": Home(volumes(JANUARY, 8 - 10_000)),
        "unexplained": Home(volumes(JANUARY, -5)),
        # Plus a thousand it would be near the usual; no register of cubic feet goes round every month.
        "in feet": Home(reads=in_feet | {JANUARY: [read(JANUARY, -633_000, volume_unit="cf")]}),
        "credited": Home(reads={JANUARY: [read(JANUARY, -9_992_000, registered_volume_thousandths=8_000)]}),
    }
    found = found_in(con, tables_of(homes))
    must_decide = sorted(one["finding_id"] for one in found.values() if one["severity"] == "must_decide")
    assert must_decide == [
        "meter.missed_rollover:gone round",
        "read.estimate_then_correction:corrected",
        "use.negative:credited",
        "use.negative:in feet",
        "use.negative:unexplained",
    ]


def test_nines_are_a_reading_where_they_are_about_the_usual(con: Any) -> None:
    """A register that counts gallons shows 9,999 of them now and then; 99,999 are no month of a household."""
    in_gallons = {n: [read(n, usual(n) * 748, volume_unit="gal")] for n in MONTHS}
    homes = {
        f"{gallons:,}": Home(reads=in_gallons | {JANUARY: [read(JANUARY, gallons * 1000, volume_unit="gal")]})
        for gallons in (9_999, 99_999)
    }
    found = found_in(con, tables_of(homes))
    assert "use.placeholder:9,999" not in found
    assert "the figure 99999.0 gal stands where" in found["use.placeholder:99,999"]["message"]


def test_findings_do_not_depend_on_the_order_of_rows_even_where_reads_begin_on_one_day(con: Any) -> None:
    home = CASES["use_rising"][0]
    twice = Home(
        home.volumes, {JANUARY: [read(JANUARY, 11_000), read(JANUARY, 5_800, period_end=EDGES[JANUARY] + 20 * DAY)]}
    )
    tables = tables_of({f"{rule} {n}": case[n] for rule, case in CASES.items() for n in (0, 1)} | {"twice": twice})
    found = found_in(con, tables)
    rows = con.to_pyarrow(tables["consumption"]).to_pylist()
    backward = tables | {"consumption": CONSUMPTION.of_rows(rows[::-1])}
    assert found_in(con, backward) == found


def _of_figures(rule: str, ccf: tuple[float, ...], days: tuple[int, ...], **service: Any) -> list[tuple[str, str]]:
    """Message and evidence of what a rule finds of one service that used so much, read after read."""
    (function,) = (one.function for one in OF_USE if one.function.__name__ == rule)
    reads = [
        {"service": 0, "meter": 0, "district": 0, "period_start": EDGES[NOVEMBER] + n * DAY, "period_end": EDGES[APRIL] + n * DAY,
         "days": d, "ccf": v, "volume_unit": "ccf", "billed_thousandths": 1, "share_millionths": 1_000_000, "is_prior": False,
         "is_estimated": False, "winter_days": d}
        for n, (v, d) in enumerate(zip(ccf, days, strict=True))
    ]  # fmt: skip
    services = {"service": 0, "status": "suspended", "service_end": dt.date(2019, 7, 1), "dwelling_units": 2}
    of_rule: Any = {name.name: None for name in fields(Use)} | {
        "services": ibis.memtable([services]), "reads": ibis.memtable(reads), "looked": ibis.memtable(reads),
        "window": (ibis.literal(EDGES[NOVEMBER]), ibis.literal(EDGES[24])),
    }  # fmt: skip
    found = function(Use(**of_rule), year_2019().review_limits.rules).to_pyarrow().to_pylist()
    return [(one["message"], one["evidence"]) for one in found]


@pytest.mark.parametrize(
    ("rule", "ccf", "days", "said"),
    [
        ("use_on_inactive", (71.964, 2.206, 50.965, 161.915), (30,) * 4, "used 287.1 CCF"),
        # 487 days are 16 months.
        ("use_per_dwelling_unit", (286.539, 177.199, 219.197, 404.265), (121, 122, 122, 122), "used 68.0 CCF a month"),
        ("use_repeated_value", (0.100772, 0.141019, 0.068985, 0.078416, 0.10362114168377828), (1,) * 5, ""),
    ],
)  # fmt: skip
def test_figures_that_add_to_another_double_the_other_way_round_are_the_same_finding(
    rule: str, ccf: tuple[float, ...], days: tuple[int, ...], said: str
) -> None:
    """Added in one order and in the other, these come to lie on both sides of a limit, or of a decimal that is written."""
    one, other = (_of_figures(rule, figures, days) for figures in (ccf, ccf[::-1]))
    assert one == other
    assert all(said in message for message, _ in one)


def test_findings_keep_their_contract_and_lie_inside_what_was_read(con: Any, found: dict[str, Row]) -> None:
    homes = {f"{rule} found": case[0] for rule, case in CASES.items()}
    table = irregular_use(**stored(con, tables_of(homes)), year=year_2019())
    assert con.to_pyarrow(violations(IRREGULAR_USE, table)).to_pylist() == []
    for one in found.values():
        assert EDGES[0] <= one["period_start"] <= one["period_end"] <= EDGES[-1], one["finding_id"]


def test_whoever_came_before_or_after_the_winter_or_is_not_measured_did_not_move_in_during_it(con: Any) -> None:
    days = {
        "first": dt.date(2018, 11, 2),
        "last": dt.date(2019, 4, 30),
        "with it": dt.date(2018, 11, 1),
        "after it": dt.date(2019, 5, 1),
    }
    homes = {name: of_cis(occupant_since=day) for name, day in days.items()} | {
        "nobody": of_cis(occupant_since=None),
        "closed": of_cis(occupant_since=dt.date(2019, 1, 1), status="closed"),
        "well": of_cis(occupant_since=dt.date(2019, 1, 1), volume_source="well"),
    }
    moved = [one["service_id"] for one in found_in(con, tables_of(homes)).values() if "moved_in" in one["rule_id"]]
    assert sorted(moved) == ["first", "last"]
