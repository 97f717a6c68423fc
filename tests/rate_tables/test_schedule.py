"""Schedules: what ships, what a broken file says, which schedule holds when.

Belongs here: the files below ``rate_tables/``, their loader, the schedule in force.
Does not belong here: computing with a schedule (averaging, charging).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rate_tables.config_file import ConfigError
from rate_tables.schedule import (
    SHIPPED,
    LoadedSchedule,
    averaging_rule_for,
    load_schedule,
    load_schedules,
    schedule_in_force,
    window,
    window_months,
)

CWS = SHIPPED / "clean_water_services"
SHOWN = "rate_tables/clean_water_services/2018-07-01.yaml"
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
        day: {"edu_month": Decimal(base), "volume_month": Decimal(use), "esu_month": Decimal(swm)}
        for day, (base, use, swm) in PUBLISHED_RATES.items()
    }
    for one in CWS_SCHEDULES:
        rule = one.schedule.averaging
        assert {k: str(v) for k, v in rule.no_history_default.value.items()} == {"single_family": "8"}
        assert (rule.unit.value, window_months(rule)) == ("ccf", 6)


@pytest.mark.parametrize(("billing_year", "days"), [(2019, 181), (2020, 182), (2100, 181)])
def test_the_winter_is_november_to_april(billing_year: int, days: int) -> None:
    start, after = window(CWS_SCHEDULES[0].schedule.averaging, billing_year)
    assert (start, after) == (dt.date(billing_year - 1, 11, 1), dt.date(billing_year, 5, 1))
    assert (after - start).days == days


NO_SHARE = "local_share_where_none_is_listed:"
WHEN = "Budget FAQs 2019-20 (figures of fiscal year 2018-19)"


def listed(share: str, charge: str = "sewer_use") -> str:
    return f'  - {{jurisdiction: Beaverton, charge: {charge}, share: {share}, source: "a newspaper"}}\n'


BROKEN: dict[str, tuple[str, str, str, str, str]] = {
    # mistake: (replaced, by, text on the line that is named, key that is named, what is allowed)
    "key twice": ("status: adopted\n", "status: adopted\nstatus: proposed\n", "status: proposed", "'status'", "each key is allowed once"),
    "key unknown": ("status: adopted", "statsu: adopted\nstatus: adopted", "statsu", "statsu", "utility, effective, status"),
    "key unknown, inside": ("per: esu_month", "per: esu_month\n    unit: ESU", "unit: ESU", "charges.2.unit", "code, title, per, rate, source"),
    "key not text": ("status: adopted", "[a, b]: c\nstatus: adopted", "[a, b]", "a key", "must be text"),
    "rate as a bare number": ('rate: "1.93"', "rate: 1.93", "rate: 1.93", "charges.1.rate", 'a number written as text, for example "30.03"'),
    "rate in words": ('rate: "1.93"', 'rate: "about 2"', "about 2", "charges.1.rate", "a number written as text"),
    "rate too fine": ('rate: "1.93"', 'rate: "1.93001"', "1.93001", "charges.1.rate", "no more than 4 decimal places"),
    "rate below zero": ('rate: "1.93"', 'rate: "-1.93"', "-1.93", "charges.1.rate", "greater than or equal to 0"),
    "rate missing": ('    rate: "1.93"\n', "", "code: sewer_use", "charges.1.rate", "this key is required"),
    "source missing": (", source: 'CWS \"Our Rates\": use charge per CCF'", "", "unit: {value: ccf}", "averaging.unit.source", "this key is required"),
    "source of a rate missing": (f"    source: 'CWS {WHEN}'\n  - code: sewer_use", "  - code: sewer_use", "code: sewer_base", "charges.0.source", "this key is required"),
    "purpose rule unknown": ("fire: leave_out", "fire: burn", "fire: burn", "averaging.purposes.value.fire", "'add', 'subtract', 'leave_out' or 'replace'"),
    "purpose unknown": ("fire: leave_out", "fire: leave_out\n      pool: add", "pool: add", "averaging.purposes.value.pool", "'domestic', 'irrigation', 'fire'"),
    "purpose without a rule": ("      fire: leave_out\n", "", "    value:", "averaging.purposes.value", "a rule for each meter purpose; fire has none"),
    "unit unknown": ("value: ccf", "value: barrels", "value: barrels", "averaging.unit.value", "'ccf', 'cf', 'gal'"),
    "month out of the winter": ("first_month: {value: 11", "first_month: {value: 3", "first_month", "averaging.first_month.value", "greater than or equal to 7"),
    "default too fine": ('single_family: "8"', 'single_family: "8.1234"', "8.1234", "averaging.no_history_default.value.single_family", "no more than 3 decimal places"),
    "term unknown": ("value: fiscal_year", "value: forever", "value: forever", "term.value", "'fiscal_year' or 'until_replaced'"),
    "charge twice": ("code: swm", "code: sewer_use # once swm", "once swm", "charges.2.code", "charge codes that differ"),
    "share beyond one": (NO_SHARE, f"local_shares:\n{listed(chr(34) + '1.01' + chr(34))}{NO_SHARE}", "1.01", "local_shares.0.share", "less than or equal to 1"),
    "share below zero": (NO_SHARE, f"local_shares:\n{listed(chr(34) + '-0.1' + chr(34))}{NO_SHARE}", "-0.1", "local_shares.0.share", "greater than or equal to 0"),
    "share too fine": (NO_SHARE, f"local_shares:\n{listed(chr(34) + '0.1234567' + chr(34))}{NO_SHARE}", "0.1234567", "local_shares.0.share", "no more than 6 decimal places"),
    "share of no charge": (NO_SHARE, f"local_shares:\n{listed(chr(34) + '0.5' + chr(34), 'water')}{NO_SHARE}", "charge: water", "local_shares.0.charge", "sewer_base, sewer_use, swm"),
    "share twice": (NO_SHARE, f"local_shares:\n{listed(chr(34) + '0.5' + chr(34))}{listed(chr(34) + '0.6' + chr(34))}{NO_SHARE}", "0.6", "local_shares.1", "one local share of sewer_use for Beaverton"),
    "share of the others beyond one": ('value: "0"\n', 'value: "2"\n', 'value: "2"', "local_share_where_none_is_listed.value", "less than or equal to 1"),
    "a day that no month has": ("2018-07-01", "2018-06-31", "effective", "'2018-06-31'", "day is out of range for month"),
    "not readable as YAML": ("status: adopted", "status: [adopted", "term:", "", "expected ',' or ']'"),
}  # fmt: skip


def load_broken(folder: Path, text: str, name: str = "2018-07-01.yaml", utility: str = "clean_water_services") -> str:
    """What loading ``text`` says."""
    path = folder / utility / name
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_schedule(path)
    return str(caught.value)


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_is_one_sentence_with_file_line_key_and_what_is_allowed(tmp_path: Path, mistake: str) -> None:
    replaced, by, on_the_line, key, allowed = BROKEN[mistake]
    assert replaced in TEXT
    text = TEXT.replace(replaced, by, 1)
    sentence = load_broken(tmp_path, text)
    said = sentence.removeprefix(f"{SHOWN}, line ")
    assert said != sentence
    line, _, rest = said.partition(": ")
    assert on_the_line in text.splitlines()[int(line) - 1]
    assert key in rest
    assert allowed in rest
    assert "\n" not in sentence
    assert len(sentence) < 400, "a sentence, not a copy of the file"


def test_several_mistakes_are_several_sentences(tmp_path: Path) -> None:
    text = TEXT.replace('rate: "29.16"', "rate: 29.16").replace("value: ccf", "value: barrels")
    assert len(load_broken(tmp_path, text).splitlines()) == 2


def test_a_name_that_contradicts_the_date_is_refused(tmp_path: Path) -> None:
    assert load_broken(tmp_path, TEXT, name="2018-07-02.yaml") == (
        "rate_tables/clean_water_services/2018-07-02.yaml: key effective: 2018-07-01 contradicts the file's name; "
        "the file must be called 2018-07-01.yaml."
    )


def test_a_folder_that_contradicts_the_utility_is_refused(tmp_path: Path) -> None:
    assert "key utility: 'clean_water_services' contradicts the folder; it must be 'other'." in load_broken(
        tmp_path, TEXT, utility="other"
    )


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
