"""Averaging rules as files: those that ship, and rules of other utilities written as files without touching code.

Belongs here: what a rule's file yields for a customer.
Does not belong here: the arithmetic against an independent implementation (``test_averaging``).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from assets.engine import connected
from rate_tables.averaging_example import Averaged, Customer, Period, averaged
from rate_tables.config_file import ConfigError
from rate_tables.schedule import SHIPPED, LoadedSchedule, load_schedule

SHIPPED_RULES = {
    "austin", "bartlesville", "clean_water_services", "colorado_springs", "dallas", "denver", "lcmua", "new_mexico_water",
    "oak_lodge", "phoenix", "pierce_county", "portland", "rio_rancho", "san_diego", "san_luis_obispo", "santa_rosa",
    "shreveport", "springfield", "tallahassee", "woodburn",
}  # fmt: skip


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


def shipped(utility: str) -> LoadedSchedule:
    """The utility's latest schedule."""
    return load_schedule(sorted((SHIPPED / utility).glob("*.yaml"))[-1])


def reads(*volumes: str, first: dt.date, days: int = 30) -> tuple[Period, ...]:
    """Periods of so many days, one after the other."""
    return tuple(
        Period(first + dt.timedelta(days=days * n), first + dt.timedelta(days=days * (n + 1)), Decimal(v))
        for n, v in enumerate(volumes)
    )


def months(first: dt.date, *volumes: str) -> tuple[tuple[dt.date, Decimal], ...]:
    return tuple(
        (dt.date(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, 1), Decimal(v))
        for n, v in enumerate(volumes)
    )


def outcome(con: Any, loaded: LoadedSchedule, **customer: Any) -> tuple[str | None, str, str]:
    found: Averaged = averaged(con, loaded.schedule.averaging, loaded.schedule.effective, Customer(**customer))
    average = None if found.average is None else f"{found.average.normalize():f}"
    return average, found.derivation, found.applied_as


def test_the_rules_that_are_promised_ship() -> None:
    assert {path.parent.name for path in SHIPPED.glob("*/*.yaml")} >= SHIPPED_RULES


@pytest.mark.parametrize(
    ("utility", "customer", "expected"),
    [
        ("austin", {"periods": reads("5000", "7000", first=dt.date(2017, 11, 20))}, ("6000", "computed", "upper_limit")),
        (
            "austin",
            {"periods": reads("9000", "5000", "7000", "9000", first=dt.date(2017, 11, 1)), "billing_cycle": "may"},
            ("7000", "computed", "upper_limit"),
        ),
        (
            "dallas",
            {"periods": reads("500", "500", first=dt.date(2017, 11, 10))},
            ("400", "computed", "lesser_of_average_and_actual"),
        ),
        (
            "dallas",
            {"periods": reads("500", first=dt.date(2017, 11, 10)), "prior_average": Decimal(90)},
            ("90", "prior_year", "lesser_of_average_and_actual"),
        ),
        ("denver", {"months": months(dt.date(2018, 1, 1), "9", "4", "9")}, ("4", "computed", "average")),
        ("new_mexico_water", {"periods": reads("3000", "3100", "3050", first=dt.date(2017, 12, 5))}, ("3100", "computed", "average")),
        ("oak_lodge", {"months": months(dt.date(2017, 12, 1), "4", "5", "6", "7")}, ("5.5", "computed", "average")),
        ("phoenix", {"periods": reads("10", "11", "12", first=dt.date(2009, 12, 5))}, ("8.8", "computed", "average")),
        ("pierce_county", {"months": months(dt.date(2017, 1, 1), *["7"] * 11, "8")}, ("8", "computed", "average")),
        ("pierce_county", {"months": months(dt.date(2017, 1, 1), *["7"] * 11)}, (None, "held", "")),
        (
            "portland",
            {"periods": reads("30", "18", first=dt.date(2017, 10, 10), days=91)},
            ("6", "computed", "lesser_of_average_and_actual"),
        ),
        ("portland", {"class_average": Decimal("5.5")}, ("5.5", "class_average", "lesser_of_average_and_actual")),
        ("rio_rancho", {"class_average": Decimal("5.5")}, ("5.5", "class_average", "lesser_of_average_and_actual")),
        (
            "rio_rancho",
            {"periods": reads("4", "5", "6", first=dt.date(2017, 11, 10))},
            ("5.07", "computed", "average"),  # 15 / 90 x 30.42
        ),
        ("san_diego", {"periods": reads("20", "14", first=dt.date(2017, 10, 20), days=60)}, ("7", "computed", "average")),
        ("shreveport", {"months": months(dt.date(2017, 11, 1), "9000", "4000", "5000", "2000")}, ("4500", "computed", "lesser_of_average_and_actual")),
        ("springfield", {"months": months(dt.date(2017, 12, 1), "4", "5")}, (None, "held", "")),
        ("tallahassee", {"periods": reads("40", "90", "50", "60", first=dt.date(2017, 11, 10))}, ("90", "computed", "upper_limit")),
        ("woodburn", {"periods": reads("4", "9", "5", "6", first=dt.date(2017, 11, 10))}, ("5", "computed", "average")),
    ],
)  # fmt: skip
def test_shipped_rules_do_what_the_published_rules_say(
    con: Any, utility: str, customer: dict[str, Any], expected: tuple[str | None, str, str]
) -> None:
    assert outcome(con, shipped(utility), **customer) == expected


# --- rules of utilities that ship no file

CYCLES = {"kind": "cycles", "dated_by": "closing_read", "reads_within_days": 10, "joined_up_to_days": 35}
MEAN = {"step": "mean"}


def rounded(to: str) -> dict[str, str]:
    return {"step": "round", "to": to, "direction": "half_up"}


def default(volume: str) -> dict[str, Any]:
    return {"without_enough_history": [{"take": "default"}], "no_history_default": {"single_family": volume}}


OTHERS: dict[str, tuple[dict[str, Any], list[tuple[dict[str, Any], tuple[str | None, str, str]]]]] = {
    "wilsonville": (
        {"window": {"kind": "months", "first": 11, "last": 3}, "enough_history": [{"count": 5}], **default("5")},
        [({}, ("5", "default", "average")),
         ({"months": months(dt.date(2018, 11, 1), "4", "4", "4", "4", "5")}, ("4.2", "computed", "average"))],
    ),
    "heath": (
        {"unit": "gal", "window": {"kind": "months", "first": 11, "last": 2}, "enough_history": [{"count": 4}],
         "steps": [{"step": "drop_highest", "count": 1}, MEAN, rounded("1")], **default("7000")},
        [({"months": months(dt.date(2018, 11, 1), "9000", "2000", "3000", "4000")}, ("3000", "computed", "average"))],
    ),
    "scottsdale": (
        {"window": {"kind": "months", "first": 12, "last": 2}, "counted_by": CYCLES,
         "steps": [MEAN, {"step": "multiply", "by": "0.90"}, rounded("0.01")]},
        [({"periods": reads("10", "10", "10", first=dt.date(2018, 11, 10))}, ("9", "computed", "average"))],
    ),
    "round_rock": (
        {"unit": "gal", "window": {"kind": "months", "first": 11, "last": 2}, "counted_by": CYCLES | {"dated_by": "both_reads"},
         "steps": [MEAN, rounded("100")], "applied": {"applied_as": "upper_limit"}},
        [({"periods": reads("3000", "3100", "3070", first=dt.date(2018, 11, 10))}, ("3100", "computed", "upper_limit"))],
    ),
    "san_antonio": (
        {"unit": "gal", "window": {"kind": "dates", "first": "11-15", "last": "03-15"}, "counted_by": CYCLES,
         "steps": [{"step": "keep_consecutive", "count": 3, "which": "last"}, MEAN, rounded("1")]},
        [({"periods": reads("9000", "3000", "3000", "6000", first=dt.date(2018, 10, 20))}, ("4000", "computed", "average"))],
    ),
    "corpus_christi": (
        {"unit": "gal", "window": {"kind": "months", "first": 12, "last": 2},
         "steps": [MEAN, {"step": "at_most", "volume": "25000"}, rounded("1")]},
        [({"months": months(dt.date(2018, 12, 1), "30000", "30000", "30000")}, ("25000", "computed", "average"))],
    ),
    "vancouver": (
        {"steps": [MEAN, rounded("0.01"), {"step": "at_least", "volume": "3"}]},
        [({"months": months(dt.date(2018, 11, 1), *["1"] * 6)}, ("3", "computed", "average"))],
    ),
    "el_dorado": (
        {"window": {"kind": "months", "first": 12, "last": 2},
         "window_of_billing_cycle": {"even": {"window": {"kind": "months", "first": 11, "last": 1}, "effective": "03-01"}}},
        [({"months": months(dt.date(2018, 11, 1), "9", "6", "6", "3")}, ("5", "computed", "average")),
         ({"months": months(dt.date(2018, 11, 1), "9", "6", "6", "3"), "billing_cycle": "even"}, ("7", "computed", "average"))],
    ),
    "bozeman": (
        {"window": {"kind": "months", "first": 11, "last": 3}, "counted_by": {"kind": "days"},
         "steps": [{"step": "mean_by_days", "days_of_month": "of_the_window"}, {"step": "at_least", "volume": "2"}, rounded("0.01")],
         "quantity_from": {"single_family": "winter_average", "multi_family": "winter_average", "commercial": "metered",
                           "industrial": "metered", "institutional": "metered"}},
        [({"months": months(dt.date(2018, 11, 1), *["5"] * 5), "customer_class": "commercial"}, (None, "excluded", "")),
         ({"months": months(dt.date(2018, 11, 1), *["5"] * 5)}, ("5", "computed", "average"))],
    ),
    "pima": (
        {"window": {"kind": "months", "first": 12, "last": 2}, "counted_by": CYCLES, "enough_history": [{"count": 3}],
         "without_enough_history": [{"take": "previous_occupant"}, {"take": "class_average"}, {"take": "hold"}],
         "class_average_of": ["customer_class"]},
        [({"periods": reads("6", "6", "6", "1", first=dt.date(2018, 11, 10)), "occupant_since": dt.date(2019, 3, 1)},
          ("6", "previous_occupant", "average")),
         ({"class_average": Decimal(7)}, ("7", "class_average", "average"))],
    ),
    "woodburn_now": (
        {"unit": "cf", "window": {"kind": "months", "first": 1, "last": 3}, "enough_history": [{"full": 3}],
         "without_enough_history": [{"take": "default", "yields_to_lower_actual_after_months": 3}],
         "no_history_default": {"single_family": "700"}},
        [({}, ("700", "default", "average"))],
    ),
    "fixed_and_measured": (
        {"quantity_from": {"single_family": "winter_average", "multi_family": "fixed_per_edu", "commercial": "winter_average",
                           "industrial": "measured_effluent", "institutional": "winter_average"}, "fixed_volume_per_edu": "6.5"},
        [({"customer_class": "multi_family", "edu": Decimal("2.5")}, ("16.25", "fixed", "average")),
         ({"months": months(dt.date(2018, 11, 1), *["5"] * 6), "customer_class": "industrial"}, (None, "held", ""))],
    ),
}  # fmt: skip


def written(folder: Path, utility: str, settings: dict[str, Any]) -> Path:
    """A schedule of ``utility`` as a person would write it: the shipped one of Oak Lodge with other settings."""
    content = yaml.safe_load((SHIPPED / "oak_lodge" / "2018-07-01.yaml").read_text(encoding="utf-8"))
    content |= {"utility": utility, "effective": dt.date(2019, 7, 1), "charges": []}
    rule = content["averaging"]
    rule |= {
        "window": {"value": {"kind": "months", "first": 11, "last": 4}, "source": "published"},
        "enough_history": {"value": [{"count": 1}], "source": "published"},
    }
    for name, value in settings.items():
        if name == "steps":
            rule[name] = [step | {"source": "published"} for step in value]
        else:
            rule[name] = {"value": value, "source": "published"}
    path = folder / utility / "2019-07-01.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("utility", OTHERS)
def test_a_rule_that_ships_no_file_can_be_written_as_one(con: Any, tmp_path: Path, utility: str) -> None:
    settings, customers = OTHERS[utility]
    loaded = load_schedule(written(tmp_path, utility, settings))
    for customer, expected in customers:
        assert outcome(con, loaded, **customer) == expected


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": [MEAN]}, "key averaging.steps"),
        ({"steps": [{"step": "median"}, rounded("1")]}, "'median' is not allowed; allowed: 'scale_part_months'"),
        ({"steps": [MEAN, {"step": "drop_highest", "count": 1}, rounded("1")]},
         "key averaging.steps.1.step: not allowed as it stands; allowed: drop_highest in its place"),
        ({"window": {"kind": "winter"}}, "key averaging.window.value: 'winter' is not allowed; allowed: 'months', 'dates'"),
        ({"window": {"kind": "months", "first": 13, "last": 2}}, "key averaging.window.value.first: 13 is not allowed"),
        ({"counted_by": {"kind": "months", "each": 3}}, "key averaging.window.value: not allowed as it stands; allowed: a window that comes out even"),
        ({"enough_history": [{"count": 2, "long": 3}]}, "key averaging.enough_history.value.0.long: this key is not known"),
        ({"applied": {"applied_as": "cap"}}, "key averaging.applied.value.applied_as: 'cap' is not allowed"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_file_line_and_key(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    path = written(tmp_path, "mistaken", {"window": {"kind": "months", "first": 12, "last": 3}} | settings)
    with pytest.raises(ConfigError) as mistake:
        load_schedule(path)
    (line,) = str(mistake.value).splitlines()
    assert line.startswith("rate_tables/mistaken/2019-07-01.yaml, line ")
    assert sentence in line
