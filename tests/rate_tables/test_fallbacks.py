"""What stands in for an average without enough history, and who is averaged at all.

Belongs here: the ladder in the order of the file, class averages, how the result is applied.
Does not belong here: the average itself (``test_averaging``).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import permutations
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest

from assets.engine import connected
from rate_tables.averaging_example import Customer, Period, averaged
from rate_tables.averaging_rule import AveragingRule
from rate_tables.fallbacks import class_averages, with_fallbacks
from rate_tables.schedule import SHIPPED, load_schedule

CWS = load_schedule(SHIPPED / "clean_water_services" / "2019-07-01.yaml").schedule.averaging
EFFECTIVE = dt.date(2019, 7, 1)


def ruled(**values: Any) -> AveragingRule:
    content = CWS.model_dump()
    for name, value in values.items():
        content[name] = None if value is None else {"value": value, "source": "a test"}
    return AveragingRule.model_validate(content)


def services(*rows: dict[str, Any]) -> ir.Table:
    """Services with all that the ladder asks for."""
    usual = {
        "customer_class": "single_family", "jurisdiction": "Tigard", "dwelling_units": 1, "billing_cycle": "",
        "edu_thousandths": 1000, "status": "active", "service_end": None, "volume_source": "district", "is_awaited": False,
        "prior_average_thousandths": None, "prior_is_own": False, "average_thousandths": None, "has_enough_history": False,
        "periods_adjusted": 0, "winter_volume_thousandths": 1, "previous_occupant_average_thousandths": None, "class_average_thousandths": None,
        "set_average_thousandths": None, "keeps_prior_average": False, "set_by": None, "has_left_out": False, "history_note": None,
    }  # fmt: skip
    texts = {
        "set_by",
        "history_note",
        "service_id",
        "customer_class",
        "jurisdiction",
        "billing_cycle",
        "status",
        "volume_source",
    }
    flags = {"keeps_prior_average", "has_left_out", "is_awaited", "prior_is_own", "has_enough_history"}
    types = {
        name: pa.string() if name in texts else pa.bool_() if name in flags else pa.int64()
        for name in ("service_id", *usual)
    } | {"service_end": pa.date32()}
    full = [usual | {"service_id": f"S{n:02}"} | row for n, row in enumerate(rows, 1)]
    return ibis.memtable(pa.Table.from_pylist(full, schema=pa.schema(list(types.items()))))


def outcomes(rule: AveragingRule, *rows: dict[str, Any]) -> list[tuple[str, int | None]]:
    found = with_fallbacks(services(*rows), rule, EFFECTIVE).order_by("service_id")
    table = connected().to_pyarrow(found.select("derivation", "winter_average_thousandths"))
    return [(row["derivation"], row["winter_average_thousandths"]) for row in table.to_pylist()]


AVAILABLE = {
    "previous_occupant": {"previous_occupant_average_thousandths": 1_000},
    "prior_year": {"prior_average_thousandths": 2_000, "prior_is_own": True},
    "class_average": {"class_average_thousandths": 3_000},
    "default": {"customer_class": "single_family"},
}
FIGURE = {"previous_occupant": 1_000, "prior_year": 2_000, "class_average": 3_000, "default": 4_000}


@pytest.mark.parametrize("order", permutations(AVAILABLE), ids=" ".join)
def test_the_first_that_there_is_stands_in_whatever_the_order(order: tuple[str, ...]) -> None:
    rule = ruled(
        without_enough_history=[*({"take": take} for take in order), {"take": "hold"}],
        no_history_default={"single_family": "4"}, class_average_of=["customer_class"],
    )  # fmt: skip
    rows, expected = [], []
    for place in range(len(order) + 1):
        left = order[place:]
        rows.append({"customer_class": "commercial"} | {k: v for take in left for k, v in AVAILABLE[take].items()})
        expected.append((left[0], FIGURE[left[0]]) if left else ("held", None))
    assert outcomes(rule, *rows) == expected


def test_who_is_averaged_and_from_what() -> None:
    rule = ruled(
        quantity_from=CWS.quantity_from.value | {"commercial": "metered", "multi_family": "fixed_per_edu"},
        fixed_volume_per_edu="6.5",
    )
    own = {"average_thousandths": 5_000, "has_enough_history": True}
    prior = {"prior_average_thousandths": 2_000}
    assert outcomes(
        rule,
        own,
        own | {"periods_adjusted": 1},
        own | {"status": "suspended"},
        own | {"status": "closed"},
        own | {"service_end": EFFECTIVE},
        own | {"service_end": EFFECTIVE + dt.timedelta(days=1)},
        own | {"customer_class": "commercial"},
        own | {"customer_class": "multi_family", "edu_thousandths": 3_001},
        own | {"volume_source": "wholesale"},
        prior | {"volume_source": "well"},
        prior | {"is_awaited": True},
        {"is_awaited": True},
        prior,
    ) == [
        ("computed", 5_000), ("adjusted", 5_000), ("computed", 5_000), ("excluded", None), ("excluded", None),
        ("computed", 5_000), ("excluded", None), ("fixed", 19_507), ("excluded", None), ("prior_year", 2_000),
        ("carried_forward", 2_000), ("held", None), ("default", 8_000),
    ]  # fmt: skip


def test_a_class_average_is_the_mean_of_what_its_services_used_themselves() -> None:
    own = {"average_thousandths": 5_000, "has_enough_history": True}
    rows = [
        own, own | {"average_thousandths": 8_000}, own | {"average_thousandths": 8_010},
        own | {"average_thousandths": 99_000, "has_enough_history": False}, own | {"average_thousandths": 99_000, "status": "closed"},
        own | {"average_thousandths": 99_000, "volume_source": "well"}, own | {"customer_class": "commercial"},
        own | {"dwelling_units": 2, "average_thousandths": 1_000},
    ]  # fmt: skip

    def averages(of: list[str]) -> dict[str, tuple[int, int]]:
        rule = ruled(without_enough_history=[{"take": "class_average"}], no_history_default=None, class_average_of=of)
        found = connected().to_pyarrow(class_averages(services(*rows), rule, EFFECTIVE).cast({"services": "int64"}))
        return {r["class_key"]: (r["services"], int(r["class_average_thousandths"])) for r in found.to_pylist()}

    assert averages(["customer_class"]) == {
        "customer class single_family": (4, 5_500), "customer class commercial": (1, 5_000)
    }  # fmt: skip
    assert averages([]) == {"all services": (5, 5_400)}
    assert averages(["customer_class", "dwelling_units"])["customer class single_family, dwelling units 1"] == (
        3,
        7_000,
    )
    assert connected().to_pyarrow(class_averages(services(*rows), CWS, EFFECTIVE).count()).as_py() == 0


def test_how_the_average_is_applied_is_written_as_a_rule() -> None:
    rule = ruled(
        applied={"applied_as": "lesser_of_average_and_actual", "months": [4, 5], "other_months": "actual"},
        without_enough_history=[
            {"take": "prior_year"},
            {"take": "default", "applied_as": "upper_limit", "yields_to_lower_actual_after_months": 3},
        ],
    )
    own = {"average_thousandths": 5_000, "has_enough_history": True}
    found = with_fallbacks(services(own, {}, {"status": "closed"}), rule, EFFECTIVE).order_by("service_id")
    columns = ["applied_as", "applied_in_months", "other_months_billed_from", "yields_to_lower_actual_after_months"]
    rows = connected().to_pyarrow(found.select(*columns)).to_pylist()
    assert [tuple(row[c] for c in columns) for row in rows] == [
        ("lesser_of_average_and_actual", "4, 5", "actual", None), ("upper_limit", "4, 5", "actual", 3), ("", "", "", None)
    ]  # fmt: skip


def test_the_note_says_what_is_lacking_and_what_stands_in() -> None:
    con = connected()
    assert averaged(con, CWS, EFFECTIVE, Customer()).derivation_note == (
        "less than 90 days of the present occupant's winter are known; the default of its class"
    )
    rule = ruled(
        enough_history=[{"full": 3}, {"coverage": "0.9", "count": 2, "of_at_least_days": 20}],
        without_enough_history=[{"take": "hold"}], no_history_default=None, whose_history="premise",
        counted_by={"kind": "days"},
    )  # fmt: skip
    period = Period(dt.date(2018, 12, 1), dt.date(2019, 1, 1), Decimal(5))
    found = averaged(con, rule, EFFECTIVE, Customer(periods=(period,)))
    assert (found.average, found.derivation, found.days_covered) == (None, "held", 31)
    assert found.derivation_note == (
        "less than 3 full months or 90 % of the days and 2 months of at least 20 days of the premise's winter are known: "
        "a person has to set one"
    )


def test_a_winter_below_zero_waits_for_a_person_whatever_else_could_stand_in() -> None:
    credit = {"average_thousandths": 0, "has_enough_history": True, "winter_volume_thousandths": -1}
    prior = {"prior_average_thousandths": 2_000, "prior_is_own": True}
    assert outcomes(ruled(), credit, credit | prior, credit | {"winter_volume_thousandths": 0}) == [
        ("held", None), ("held", None), ("computed", 0),
    ]  # fmt: skip


def test_what_a_person_decided_comes_before_all_that_is_found_but_bills_nobody_who_is_not_averaged() -> None:
    own = {"average_thousandths": 5_000, "has_enough_history": True, "set_by": "decision D1"}
    prior = {"prior_average_thousandths": 2_000}
    set_average = own | prior | {"set_average_thousandths": 7_000}
    keeps = own | {"keeps_prior_average": True}
    assert outcomes(
        ruled(),
        set_average,
        set_average | {"is_awaited": True},
        set_average | {"winter_volume_thousandths": -1},
        set_average | {"status": "closed"},
        keeps | prior,
        keeps,
        own | {"has_left_out": True},
    ) == [
        ("override", 7_000), ("override", 7_000), ("override", 7_000), ("excluded", None), ("prior_year", 2_000),
        ("held", None), ("adjusted", 5_000),
    ]  # fmt: skip


def test_an_average_says_what_is_to_be_known_of_the_winter_it_rests_on() -> None:
    own = {"average_thousandths": 5_000, "has_enough_history": True, "history_note": "nobody lived there in January"}
    found = with_fallbacks(services(own, own | {"is_awaited": True}), ruled(), EFFECTIVE).order_by("service_id")
    notes = [r["derivation_note"] for r in connected().to_pyarrow(found.select("derivation_note")).to_pylist()]
    assert notes[0] == "from its own winter; nobody lived there in January"
    assert "January" not in notes[1]
