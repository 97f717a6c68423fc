"""Entries of the adjustment sheet: what is refused and with which sentence, in which order the others are applied, what adds up.

Belongs here: both stages over small worlds, by hand and at random.
Does not belong here: the worked examples of each kind (``test_adjustment_examples``), reading the sheet (``test_adjustment_sheet``).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from adjustment_world import ONLY, D, Row, World, entry, outcome, past, winter, year_2019
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.adjustment_steps import overrides
from rate_tables.adjusting import METHODS, ORDER
from validations.tables import ADJUSTMENTS, REFUSED_ADJUSTMENTS

JANUARY = ("2019-01-05", "2019-02-05")
FEBRUARY = ("2019-02-05", "2019-03-05")


def leak(adjustment_id: str = "J1", months: tuple[str, str] = JANUARY, **given: Any) -> Row:
    return entry(adjustment_id, "leak", "volume", *months, **{"volume_thousandths": 8_000} | given)


def watering(adjustment_id: str = "J1", months: tuple[str, str] = JANUARY, **given: Any) -> Row:
    return entry(adjustment_id, "irrigation", "deduct", *months, **{"volume_thousandths": 3_100} | given)


# What is refused


ALONE: dict[str, tuple[Row, str]] = {
    "a service that nobody knows": (leak(service_id="S9"), "service S9 is not in the CIS extract"),
    "a meter that is not the service's": (leak(**ONLY | {"meter_id": "M7"}), "alder 0100 M7 is no delivered meter of service S1; its delivered meters are: alder 0100 M1 (domestic)"),
    "an account whose zeros are lost": (leak(**ONLY | {"district_account": "100", "meter_id": ""}), "alder 100 is no delivered meter of service S1"),
    "half a name of a meter": (leak(meter_id="M1"), "a meter is named by district_id, district_account and meter_id together"),
    "a part of a delivered period": (leak(months=("2019-01-06", "2019-02-05")), "delivered periods nearby begin or end on 2019-01-05, 2019-02-05, 2019-03-05"),
    "a period that was not delivered": (leak(months=("2017-01-05", "2017-02-05")), "has to cover whole delivered periods"),
    "days without any delivered use": (watering(months=("2018-11-30", "2019-01-05")), "use was not delivered for 5 of these 36 days"),
    "more than the use": (watering(volume_thousandths=32_001), "32.001 ccf would come off the use from 2019-01-05 to 2019-02-05, which is 32 ccf"),
    "more than the use of its days": (watering(months=("2019-01-05", "2019-01-06"), volume_thousandths=1_033), "which is 1.032 ccf"),
    "an approver who entered it": (leak(entered_by="A  Clerk ", approved_by="a clerk"), "the same person entered and approved it"),
    "no document": (leak(document="?-."), "document is empty"),
    "no reason": (leak(reason=" "), "reason is empty"),
    "nobody who approved": (leak(approved_by=""), "approved_by is empty"),
    "a figure that is missing": (leak(volume_thousandths=None), "volume is empty, and the method volume asks for it"),
    "a figure too many": (leak(bills=3), "bills is given, and the method volume asks for volume"),
    "a volume without its unit": (leak(volume_unit=""), "volume_unit is empty and there is a volume"),
    "a method of another kind": (entry("J1", "vacancy", "volume", *JANUARY, volume_thousandths=1), "a vacancy is not found by volume; allowed: leave_out"),
    "a period that goes backward": (leak(months=("2019-02-05", "2019-01-05")), "not after its first day"),
    "a share that nobody can tell": (entry("J1", "leak", "prior_year", *JANUARY, reached_sewer=""), "share and reached_sewer are both empty"),
    "no year before": (entry("J1", "leak", "prior_year", *JANUARY), "the use from 2018-01-05 to 2018-02-05, the same days a year before, is not known"),
    "too few bills before": (entry("J1", "leak", "mean_of_bills_before", *JANUARY, bills=2), "1 bills of this meter and occupant are known right before 2019-01-05"),
    "more blown down than made up": (entry("J1", "evaporation", "make_up_less_blow_down", *JANUARY, volume_thousandths=1_000, less_volume_thousandths=2_000), "more was blown down than made up"),
    "no day of expiry": (entry("J1", "product", "deduct", *JANUARY, volume_thousandths=1_000, expires_on=None), "an entry of the kind product has to expire"),
    "one that has expired": (watering(expires_on=D("2019-02-04")), "it expired on 2019-02-04, before its period ends on 2019-02-05"),
    "a link to nothing": (leak(linked_to="J0"), "linked_to J0 is no entry of this service that stands in this or last year's sheet"),
    "a link to itself": (leak(linked_to="J1"), "linked_to J1 does not come before this entry"),
    "an override that names a meter": (entry("J1", "override", "average", *JANUARY, volume_thousandths=1, **ONLY), "an override is about the service"),
}  # fmt: skip


@pytest.mark.parametrize("case", ALONE, ids=list(ALONE))
def test_refused_with_a_sentence_while_the_others_stand(case: str) -> None:
    row, sentence = ALONE[case]
    good = watering("J2", FEBRUARY)
    made = outcome(winter(9_000, 32_000, 10_000), row, good)
    assert sentence in made.refused.pop("J1")
    assert made.refused == {}
    assert {step["adjustment_id"] for step in made.steps} == {"J2"}


def test_two_entries_of_one_kind_about_one_day_of_a_meter_are_both_refused() -> None:
    world = winter(9_000, 32_000, 10_000)
    apart = watering("J1", ("2019-01-05", "2019-01-20")), watering("J2", ("2019-01-20", "2019-02-05"))
    assert outcome(world, *apart).refused == {}
    over = outcome(world, watering("J1", ("2019-01-05", "2019-01-21"), **ONLY), apart[1], leak("J3"))
    assert {k: v.split(",")[0] for k, v in over.refused.items()} == {"J1": "it overlaps J2", "J2": "it overlaps J1"}
    assert {step["adjustment_id"] for step in over.steps} == {"J3"}


def test_an_effluent_meter_stands_beside_no_other_entry() -> None:
    effluent = entry("J1", "industrial_discharge", "effluent_meter", *JANUARY, volume_thousandths=5_000)
    made = outcome(winter(9_000, 32_000), effluent, watering("J2"))
    assert set(made.refused) == {"J1", "J2"}
    assert made.steps == []


def test_one_leak_in_three_years_unless_it_goes_on_with_the_last() -> None:
    world = winter(9_000, 32_000, 30_000)
    world.past = [past("J0", "leak", "2018-12-05", "2019-01-05"), past("P0", "pool", "2018-06-05", "2018-07-05")]
    assert (
        "one leak in 3 years, and J0 of the sheet of 2018 began on 2018-12-05" in outcome(world, leak()).refused["J1"]
    )
    assert outcome(world, leak(linked_to="J0")).refused == {}
    world.past = [past("J0", "leak", "2016-01-05", "2016-02-05", 2016)]
    assert outcome(world, leak()).refused == {}
    world.past += [past("J0b", "leak", "2016-12-05", "2017-01-05", 2017, linked_to="J0")]
    assert outcome(world, leak()).refused == {}
    again = outcome(world, leak(), leak("J2", FEBRUARY))
    assert "one leak in 3 years, and J1 of this sheet" in again.refused["J2"]
    assert outcome(world, leak(), leak("J2", FEBRUARY, linked_to="J1")).refused == {}


def test_a_refused_leak_does_not_use_up_the_one_that_is_allowed() -> None:
    made = outcome(winter(9_000, 32_000, 30_000), leak(document=""), leak("J2", FEBRUARY))
    assert set(made.refused) == {"J1"}


def test_an_entry_that_goes_on_with_a_refused_one_is_refused() -> None:
    made = outcome(winter(9_000, 32_000, 30_000), leak(document=""), leak("J2", FEBRUARY, linked_to="J1"))
    assert made.refused["J2"] == "it goes on with J1, which is refused"


def test_a_leak_covers_two_periods_at_most_with_what_it_goes_on_with() -> None:
    world = winter(30_000, 32_000, 30_000)
    assert outcome(world, leak(months=("2018-12-05", "2019-02-05"))).refused == {}
    assert "covers 3 periods" in outcome(world, leak(months=("2018-12-05", "2019-03-05"))).refused["J1"]
    chained = outcome(world, leak(months=("2018-12-05", "2019-02-05")), leak("J2", FEBRUARY, linked_to="J1"))
    assert "covers 3 periods" in chained.refused["J2"]


def test_one_pool_a_year() -> None:
    world = winter(9_000, 32_000, 10_000)
    pools = [entry(f"J{n}", "pool", "deduct", *m, volume_thousandths=1_000) for n, m in enumerate((JANUARY, FEBRUARY))]
    assert "one pool a year" in outcome(world, *pools).refused["J1"]


def test_the_policy_in_force_says_how_often() -> None:
    loaded = year_2019().adjustment_policy
    leak_policy = loaded.rules.leak
    yearly = leak_policy.model_copy(update={"once_in_years": leak_policy.once_in_years.model_copy(update={"value": 1})})
    once = replace(loaded, rules=loaded.rules.model_copy(update={"leak": yearly}))
    world = winter(9_000, 32_000)
    world.past = [past("J0", "leak", "2018-01-05", "2018-02-05")]
    assert set(outcome(world, leak()).refused) == {"J1"}
    assert outcome(world, leak(), year=replace(year_2019(), adjustment_policy=once)).refused == {}


def test_a_meter_of_several_services_takes_what_is_about_its_readings_and_nothing_else() -> None:
    world = World().service("S1").service("S2")
    world.meter(share_to_millionths=500_000).meter(service_id="S2", share_from_millionths=500_000)
    world.deliver(*JANUARY, 32_000)
    made = outcome(world, leak(), watering("J2"))
    assert "serves several services" in made.refused.pop("J2")
    assert made.refused == {}
    assert made.counts() == {("M1", "2019-01-05"): 8_000}


def test_a_stretch_does_not_change_a_period_that_is_partly_another_services() -> None:
    world = World().service().meter(link_start=D("2019-01-20"))
    world.deliver(*JANUARY, 32_000)
    world.deliver(*FEBRUARY, 9_000)
    assert "not the service's as a whole" in outcome(world, watering()).refused["J1"]
    assert outcome(world, watering(months=FEBRUARY)).refused == {}


def test_only_what_domestic_meters_measured_is_taken_off_or_added_to() -> None:
    world = winter(9_000, 32_000).meter("M2", purpose="deduct")
    world.deliver(*JANUARY, 4_000, "M2")
    assert "M2 is linked as deduct" in outcome(world, watering(**ONLY | {"meter_id": "M2"})).refused["J1"]
    assert outcome(world, watering()).counts() == {("M1", "2019-01-05"): 28_900}


def test_a_volume_for_one_of_several_meters_has_to_name_it() -> None:
    world = winter(9_000, 32_000).meter("M2")
    world.deliver(*JANUARY, 4_000, "M2")
    assert "name its district, account and meter" in outcome(world, leak()).refused["J1"]
    assert outcome(world, leak(**ONLY)).counts() == {("M1", "2019-01-05"): 8_000}
    whole = outcome(world, entry("J1", "vacancy", "leave_out", *JANUARY))
    assert whole.counts() == {("M1", "2019-01-05"): None, ("M2", "2019-01-05"): None}


# What is applied


def test_entries_about_one_period_are_applied_in_the_stated_order_each_to_what_the_one_before_left() -> None:
    world = winter(9_000, 40_000)
    sheet = [
        entry("A", "added_supply", "add", *JANUARY, volume_thousandths=1_000),
        entry("B", "evaporation", "share", *JANUARY, share_millionths=500_000),
        watering("C", volume_thousandths=2_000),
        entry("D", "leak", "mean_of_bills_before", *JANUARY, bills=1, share_millionths=500_000),
        entry("E", "meter_error", "volume", *JANUARY, volume_thousandths=29_000),
    ]
    steps = sorted(outcome(world, *sheet).steps, key=lambda s: s["place"])
    assert [s["adjustment_id"] for s in steps] == ["E", "D", "C", "B", "A"]
    assert [s["after_volume_thousandths"] for s in steps] == [29_000, 19_000, 17_000, 8_500, 9_500]
    assert [s["before_volume_thousandths"] for s in steps[1:]] == [s["after_volume_thousandths"] for s in steps[:-1]]
    assert outcome(world, *reversed(sheet)).counts() == outcome(world, *sheet).counts()


def test_what_was_adjusted_last_year_is_what_this_year_is_compared_with() -> None:
    world = winter(9_000, 32_000)
    leaky = world.deliver("2018-01-05", "2018-02-05", 60_000, last_year=True)
    by_last_year = entry("J1", "leak", "prior_year", *JANUARY)
    assert outcome(world, by_last_year).counts() == {("M1", "2019-01-05"): 32_000}
    kept = {k: leaky[k] for k in ("district_id", "source_file", "source_row", "source_column", "district_account", "meter_id",
            "period_start", "period_end", "registered_volume_thousandths", "billed_volume_thousandths", "volume_unit")}  # fmt: skip
    change = kept | {
        "service_id": "S1",
        "adjusted_volume_thousandths": 7_000,
        "is_left_out": False,
        "adjustment_id": "J0",
    }
    world.prior_adjusted = [change]
    assert outcome(world, by_last_year).counts() == {("M1", "2019-01-05"): 7_000}
    world.deliver("2018-01-05", "2018-02-05", 60_000)  # delivered again, as it was
    assert outcome(world, by_last_year).counts() == {("M1", "2019-01-05"): 7_000}
    world.prior_adjusted = [change | {"is_left_out": True}]
    world.consumption.pop()
    assert set(outcome(world, by_last_year).refused) == {"J1"}


def test_the_use_of_another_occupant_is_nobodys_history() -> None:
    for moved_in in (D("2018-01-20"), None):
        world = winter(9_000, 32_000)
        world.services[0]["occupant_since"] = moved_in
        world.deliver("2018-01-05", "2018-02-05", 8_000, last_year=True)
        assert set(outcome(world, entry("J1", "leak", "prior_year", *JANUARY)).refused) == {"J1"}


def test_a_month_left_out_is_no_bill_before() -> None:
    world = winter(9_000, 1_000, 30_000)
    made = outcome(world, entry("J1", "vacancy", "leave_out", *JANUARY),
                   entry("J2", "pool", "above_mean", *FEBRUARY, bills=1))  # fmt: skip
    # A pool comes before a vacancy, so the vacant month still counts as the bill before it.
    assert made.counts()["M1", "2019-02-05"] == round(1_000 * 28 / 31)
    mean = entry("J2", "pool", "above_mean", *FEBRUARY, bills=1)
    left = outcome(world, entry("J1", "leak", "leave_out", *JANUARY), mean)
    assert left.counts() == {("M1", "2019-01-05"): None, ("M1", "2019-02-05"): round(9_000 * 28 / 31)}


def test_registers_of_a_compound_meter_share_a_change() -> None:
    world = World().service().meter()
    world.deliver(*JANUARY, 31_000, source_column="high")
    world.deliver(*JANUARY, 1_000, source_column="low")
    steps = {s["source_row"]: s for s in outcome(world, leak(volume_thousandths=10_001)).steps}
    assert [steps[n]["after_volume_thousandths"] for n in (2, 3)] == [9_688, 313]
    assert "of this the register in row 3: 1 ccf to 0.313 ccf" in steps[3]["why"]


def test_an_override_sets_an_average_and_changes_no_consumption() -> None:
    average = entry("J1", "override", "average", *JANUARY, volume_thousandths=6_500)
    made = outcome(winter(9_000, 32_000), average)
    assert (made.steps, made.refused) == ([], {})
    refused = REFUSED_ADJUSTMENTS.of_rows([])
    rows = overrides(ADJUSTMENTS.of_rows([average, leak("J2")]), refused).to_pyarrow().to_pylist()
    assert rows == [{"adjustment_id": "J1", "service_id": "S1", "volume_unit": "ccf", "average_thousandths": 6_500}]
    assert set(outcome(winter(9_000), average, average | {"adjustment_id": "J2"}).refused) == {"J1", "J2"}


# What always holds


DAYS = st.dates(dt.date(2018, 11, 25), dt.date(2019, 5, 15))
EDGES = ["2018-12-05", "2019-01-05", "2019-02-05", "2019-03-05", "2019-04-05", "2019-05-05"]
small = st.integers(0, 40_000)


@st.composite
def entries(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(METHODS)))
        method = draw(st.sampled_from(METHODS[kind]))
        start, end = draw(
            st.one_of(
                st.tuples(st.sampled_from(EDGES), st.sampled_from(EDGES)), st.tuples(DAYS.map(str), DAYS.map(str))
            )
        )
        row = entry(f"J{number}", kind, method, min(start, end), max(start, end))
        if row["volume_unit"]:
            row |= {"volume_thousandths": draw(small), "volume_unit": draw(st.sampled_from(["ccf", "gal", "m3"]))}
        if method in ("make_up_less_blow_down", "water_balance"):
            row["less_volume_thousandths"] = draw(small)
        if method in ("mean_of_bills_before", "above_mean"):
            row["bills"] = draw(st.integers(1, 3))
        if method == "share":
            row["share_millionths"] = draw(st.integers(0, 1_000_000))
        row |= draw(
            st.sampled_from(
                [{}, {}, {}, ONLY, {"document": ""}, {"linked_to": "J0"}, {"service_id": "S2"}, {"service_id": "S9"}]
            )
        )
        rows.append(row)
    return rows


@settings(max_examples=30, deadline=None)
@given(entries(), st.lists(st.integers(-2_000, 60_000), min_size=5, max_size=5))
@example([watering(months=("2018-12-20", "2019-04-20"), volume_thousandths=10_001)], [9_000] * 5)
def test_an_entry_is_refused_or_leaves_steps_and_steps_follow_each_other(sheet: list[Row], volumes: list[int]) -> None:
    world = winter(*volumes).service("S2").meter("M2", "S2")
    world.deliver("2018-01-05", "2018-02-05", 8_000, last_year=True)
    world.deliver("2018-12-05", "2019-02-05", 20_000, "M2")
    made = outcome(world, *sheet)
    kind_of = {row["adjustment_id"]: row["kind"] for row in sheet}
    applied = {step["adjustment_id"] for step in made.steps}
    assert applied.isdisjoint(made.refused)
    assert applied | set(made.refused) == {i for i, kind in kind_of.items() if kind != "override" or i in made.refused}
    assert all(made.refused.values())

    delivered = {(row["source_file"], row["source_row"]): row["billed_volume_thousandths"] for row in world.consumption}
    by_row = defaultdict(list)
    for step in sorted(made.steps, key=lambda s: s["place"]):
        by_row[step["source_file"], step["source_row"]].append(step)
    for record, steps in by_row.items():
        assert [s["place"] for s in steps] == list(range(1, len(steps) + 1))
        assert [s["before_volume_thousandths"] for s in steps] == [
            delivered[record], *(s["after_volume_thousandths"] for s in steps[:-1])
        ]  # fmt: skip
        order = [ORDER.index(kind_of[s["adjustment_id"]]) for s in steps]
        assert order == sorted(order)
        assert all(s["why"] for s in steps)

    for row in sheet:
        if row["method"] in ("deduct", "add") and row["volume_unit"] == "ccf" and row["adjustment_id"] in applied:
            theirs = [s for s in made.steps if s["adjustment_id"] == row["adjustment_id"]]
            moved = sum(s["after_volume_thousandths"] - s["before_volume_thousandths"] for s in theirs)
            assert moved == (1 if row["method"] == "add" else -1) * row["volume_thousandths"]
