"""Schedules: what ships, what a broken file says, which schedule holds when.

Belongs here: the files below ``rate_tables/``, their loader, the schedule in force.
Does not belong here: computing with a schedule (averaging, charging).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rate_tables.averaging_rule import windows_of
from rate_tables.config_file import ConfigError
from rate_tables.schedule import (
    LOCK,
    SHIPPED,
    LoadedSchedule,
    averaging_rule_for,
    load_schedule,
    load_schedules,
    lock_schedules,
    schedule_in_force,
)

CWS = SHIPPED / "clean_water_services"
CWS_SCHEDULES = load_schedules(CWS)
TEXT = (CWS / "2018-07-01.yaml").read_text(encoding="utf-8")

PUBLISHED_RATES = {  # fiscal year's first day -> base per EDU, use per CCF, SWM per ESU, as CWS published them
    dt.date(2018, 7, 1): ("29.16", "1.93", "8.75"),  # CWS Budget FAQs 2019-20
    dt.date(2019, 7, 1): ("30.03", "1.99", "9.25"),  # CWS "Our Rates" 2019-20
    dt.date(2023, 7, 1): ("33.95", "2.25", "10.55"),  # CWS rates page
    dt.date(2025, 7, 1): ("36.37", "2.41", "11.30"),  # CWS rates page, latest found
}


def test_everything_that_ships_loads_and_cites_its_sources() -> None:
    files = sorted(SHIPPED.glob("*/*.yaml"))
    loaded = [one for folder in {path.parent for path in files} for one in load_schedules(folder)]
    assert len(loaded) == len(files) > 0
    for one in loaded:
        assert (SHIPPED.parent / one.file).exists()
        assert all(len(charge.source) > 10 for charge in one.schedule.charges)


def test_shipped_rates_are_exactly_the_published_ones() -> None:
    rates = {
        one.schedule.effective: {charge.per: charge.rate for charge in one.schedule.charges} for one in CWS_SCHEDULES
    }
    assert rates == {
        day: {"edu_month": Decimal(base), "ccf": Decimal(use), "esu_month": Decimal(swm)}
        for day, (base, use, swm) in PUBLISHED_RATES.items()
    }
    for one in CWS_SCHEDULES:
        rule = one.schedule.averaging
        assert rule.no_history_default is not None
        assert {k: str(v) for k, v in rule.no_history_default.value.items()} == {"single_family": "8"}
        assert rule.unit.value == "ccf"


@pytest.mark.parametrize(("billing_year", "days"), [(2019, 181), (2020, 182), (2100, 181)])
def test_the_winter_is_november_to_april(billing_year: int, days: int) -> None:
    (winter,) = windows_of(CWS_SCHEDULES[0].schedule.averaging, dt.date(billing_year, 7, 1))
    assert (winter.start, winter.end) == (dt.date(billing_year - 1, 11, 1), dt.date(billing_year, 5, 1))
    assert (winter.days, winter.months) == (days, 6)


BROKEN = Path(__file__).parent / "broken"


def test_each_broken_file_is_one_sentence_with_file_line_key_and_what_is_allowed() -> None:
    """The first line of each file below ``broken/`` is the sentence, from its line on."""
    expected = {}
    for path in sorted(BROKEN.glob("*/*.yaml")):
        sentence = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        joined = ", " if sentence.startswith("line ") else ": "
        expected[path.parent.name] = f"rate_tables/{path.parent.name}/{path.name}{joined}{sentence}"
    assert len(expected) > 35
    said = {}
    for name in expected:
        with pytest.raises(ConfigError) as caught:
            load_schedules(BROKEN / name)
        said[name] = str(caught.value)
    assert said == expected
    assert all(len(sentence) < 400 for sentence in said.values()), "a sentence, not a copy of the file"


def test_the_line_that_is_named_is_the_one_that_is_wrong() -> None:
    """Of the mistakes that stand on one line, that line holds the word that is wrong."""
    wrong = {
        "key_twice": "status: proposed", "key_unknown": "statsu", "number_not_text": "rate: 29.16", "rate_too_fine": "29.16001",
        "tiers_do_not_rise": '"4"', "last_tier_with_end": "up_to", "percent_of_no_charge": "water", "share_twice": '"0.5"',
        "citation_missing": "unit: {value: ccf}", "own_share_beyond_one": 'local_share: "2"', "class_unknown": "homes",
    }  # fmt: skip
    for name, word in wrong.items():
        lines = (BROKEN / name / "2018-07-01.yaml").read_text(encoding="utf-8").splitlines()
        number = int(lines[0].removeprefix("# line ").partition(":")[0])
        # A flow list stands on one line; a charge's key may be named by the line on which the charge begins.
        assert any(word in line for line in lines[number - 1 : number + 1]), name


def test_several_mistakes_are_several_sentences(tmp_path: Path) -> None:
    text = TEXT.replace('rate: "29.16"', "rate: 29.16").replace("value: ccf", "value: barrels")
    path = tmp_path / "clean_water_services" / "2018-07-01.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_schedule(path)
    assert len(str(caught.value).splitlines()) == 2


def copied(folder: Path) -> Path:
    """The shipped schedules in a folder of their own, locked."""
    target = folder / "clean_water_services"
    shutil.copytree(CWS, target)
    lock_schedules(target)
    return target


def test_a_schedule_that_has_been_used_does_not_change(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    assert load_schedules(folder)
    path = folder / "2019-07-01.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('"1.99"', '"1.98"'), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_schedules(folder)
    assert str(caught.value) == (
        "rate_tables/clean_water_services/2019-07-01.yaml: this schedule has been used for bills and is locked, but the file "
        "was changed; restore it, and write what changes as a new file with the date from which it holds."
    )
    path.unlink()
    with pytest.raises(ConfigError, match="is locked, but it is gone; restore it"):
        load_schedules(folder)
    with pytest.raises(ConfigError):
        lock_schedules(folder)


def test_a_new_schedule_stands_beside_those_that_are_locked_until_it_is_locked_too(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    text = TEXT.replace("effective: 2018-07-01", "effective: 2020-07-01")
    (folder / "2020-07-01.yaml").write_text(text, encoding="utf-8")
    (folder / "2021-07-01.yaml").write_text(
        TEXT.replace("effective: 2018-07-01", "effective: 2021-07-01").replace("status: adopted", "status: proposed"),
        encoding="utf-8",
    )
    assert len(load_schedules(folder)) == 6
    assert lock_schedules(folder) == ["2020-07-01.yaml"], "a proposed schedule may still change"
    assert lock_schedules(folder) == []


def test_the_lock_is_one_that_sha256sum_reads(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for line in (folder / LOCK).read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / LOCK).write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"schedules.lock, line 1: not a hash"):
        load_schedules(folder)


def test_the_schedules_of_clean_water_services_are_locked() -> None:
    names = {line.split("  ")[1] for line in (CWS / LOCK).read_text(encoding="utf-8").splitlines()}
    assert names == {Path(one.file).name for one in CWS_SCHEDULES}


days = st.dates(dt.date(2015, 1, 1), dt.date(2032, 12, 31))


@given(days)
@example(dt.date(2019, 6, 30))
@example(dt.date(2019, 7, 1))
@example(dt.date(2020, 6, 30))
@example(dt.date(2020, 7, 1))
def test_a_fiscal_years_rates_hold_from_its_first_day_to_its_last_and_no_longer(day: dt.date) -> None:
    fiscal_year = day.year if day >= dt.date(day.year, 7, 1) else day.year - 1
    found = schedule_in_force(CWS_SCHEDULES, day)
    begins = dt.date(fiscal_year, 7, 1)
    assert (found.schedule.effective if found else None) == (begins if begins in PUBLISHED_RATES else None)


@given(days)
def test_rates_adopted_until_replaced_hold_until_the_next_begin(day: dt.date) -> None:
    standing = [changed(one, term="until_replaced") for one in CWS_SCHEDULES]
    found = schedule_in_force(standing, day)
    begun = [begins for begins in PUBLISHED_RATES if begins <= day]
    assert (found.schedule.effective if found else None) == (max(begun) if begun else None)


@given(days, st.sets(st.sampled_from(sorted(PUBLISHED_RATES))))
def test_a_proposed_schedule_is_never_in_force_and_ends_none(day: dt.date, proposed: set[dt.date]) -> None:
    mixed = [
        changed(one, status="proposed") if one.schedule.effective in proposed else changed(one, term="until_replaced")
        for one in CWS_SCHEDULES
    ]
    adopted = [one for one in mixed if one.schedule.status == "adopted"]
    for choose in (schedule_in_force, averaging_rule_for):
        found = choose(mixed, day)
        assert found is None or found.schedule.status == "adopted"
        assert found == choose(adopted, day)


def test_a_fiscal_year_that_begins_on_a_leap_day_ends() -> None:
    leap = changed(CWS_SCHEDULES[0], effective=dt.date(2020, 2, 29))
    assert schedule_in_force([leap], dt.date(2021, 2, 28)) == leap
    assert schedule_in_force([leap], dt.date(2021, 3, 1)) is None


@given(days)
def test_averaging_has_a_rule_even_where_the_rates_are_missing(day: dt.date) -> None:
    found = averaging_rule_for(CWS_SCHEDULES, day)
    begun = [begins for begins in PUBLISHED_RATES if begins <= day]
    assert found is not None
    assert found.schedule.effective == max(begun, default=min(PUBLISHED_RATES))


def changed(one: LoadedSchedule, term: str | None = None, **values: object) -> LoadedSchedule:
    """The schedule with other values."""
    if term is not None:
        values["term"] = one.schedule.term.model_copy(update={"value": term})
    return one.model_copy(update={"schedule": one.schedule.model_copy(update=values)})
