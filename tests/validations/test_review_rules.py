"""Rules of review: each finds what it is for, and nothing else.

Belongs here: every rule on tables of a few rows; ids, evidence and severity of findings.
Does not belong here: findings of a whole year (the tests of the annual update).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from validations.contract import Contract, violations
from validations.review_rules import RULES, all_findings
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENTS,
    DELIVERIES,
    DELIVERY_TOTALS,
    EXTRACT_CHANGES,
    FINDINGS,
    METERS,
    REJECTED_ROWS,
    SERVICE_CONSUMPTION,
    SEVERITIES,
    SEWER_SERVICES,
    UNMATCHED,
)
from validations.workspace import SAMPLE, Workspace, Year

Row = dict[str, Any]
CONTRACTS = {
    contract.name: contract
    for contract in (
        DELIVERIES, DELIVERY_TOTALS, REJECTED_ROWS, UNMATCHED, EXTRACT_CHANGES, METERS, SERVICE_CONSUMPTION, SEWER_SERVICES,
        ADJUSTMENTS, ADJUSTED_CONSUMPTION,
    )
}  # fmt: skip
HOSTILE = '=cmd|"/c calc"\n\\ é'


def row(contract: Contract, **values: Any) -> Row:
    """A row that keeps the contract, with ``values`` in it."""
    made: Row = {}
    for name, col in contract.columns.items():
        limits = {check.name: check.statistics for check in col.checks}
        if col.nullable:
            made[name] = None
        elif "isin" in limits:
            made[name] = limits["isin"]["allowed_values"][0]
        elif contract.schema[name].is_string():
            made[name] = f"some {name}"
        elif contract.schema[name].is_date():
            made[name] = dt.date(2015, 1, 1)
        elif contract.schema[name].is_boolean():
            made[name] = False
        else:
            made[name] = 1
    assert values.keys() <= made.keys()
    return made | values


@pytest.fixture(scope="module")
def con() -> Any:
    return ibis.duckdb.connect()


@pytest.fixture(scope="module")
def year() -> Year:
    return Workspace(SAMPLE).year(2019)


Tables = dict[str, list[Row]]


def findings(con: Any, year: Year, tables: Tables, backward: bool = False) -> list[Row]:
    """Findings of every rule whose tables are given; the findings keep their own contract."""
    made: dict[str, ir.Table | Year] = {"year": year}
    for name, rows in tables.items():
        arrow = pa.Table.from_pylist(rows[::-1] if backward else rows, schema=CONTRACTS[name].schema.to_pyarrow())
        made[name] = ibis.memtable(arrow)
    found = con.create_table("found", all_findings(**made), overwrite=True)
    assert con.to_pyarrow(violations(FINDINGS, found)).to_pylist() == []
    return sorted(con.to_pyarrow(found).to_pylist(), key=lambda one: one["finding_id"])


totals = {"records": 10, "delivered_quantity_thousandths": 5000}
link = {"district_id": "alder", "district_account": "7", "meter_id": "m"}
came = {"status": "active", "volume_source": "district"}

MONTHLY = {"cycle_days_from": 25, "cycle_days_to": 36}
PREMISES = [row(SEWER_SERVICES, service_id=s, premise_id=f"premise of {s}") for s in ("S1", "S2")]


def spans(district: str, first: dt.date, last: dt.date, file: str = "history") -> Row:
    """A file whose consumption lies between two days."""
    return row(DELIVERY_TOTALS, district_id=district, source_file=file, first_day=first, last_day=last, **MONTHLY)


def claims(meter: str, days: int) -> list[Row]:
    """A meter that two districts deliver, for so many days both."""
    day = dt.date(2019, 1, 10)
    return [
        row(METERS, district_id="one", district_account="7", meter_id=meter, last_day=day, rollovers=0),
        row(METERS, district_id="two", district_account="8", meter_id=meter, first_day=day - dt.timedelta(days=days),
            last_day=dt.date(2019, 4, 1), rollovers=0),
    ]  # fmt: skip


def serves(meter: str, first: str, second: str) -> list[Row]:
    """The services that the two districts' meters of that number serve."""
    return [
        row(SERVICE_CONSUMPTION, district_id="one", district_account="7", meter_id=meter, service_id=first),
        row(SERVICE_CONSUMPTION, district_id="two", district_account="8", meter_id=meter, service_id=second),
    ]


CASES: dict[str, tuple[Tables, Tables, dict[str, tuple[str, str]]]] = {
    # rule: (tables with something to find, tables without, finding id -> severity and a piece of the message)
    "delivery_not_received": (
        {"deliveries": [row(DELIVERIES, district_id="alder", status="not_received", message="no file *.csv was found"),
                        row(DELIVERIES, district_id="bell", status="current")]},
        {"deliveries": [row(DELIVERIES, status=s, source_file=s) for s in ("current", "superseded", "same_content", "withdrawn")]},
        {"delivery.not_received:alder": ("must_decide", "alder has not delivered: no file *.csv was found")},
    ),
    "delivery_not_taken": (
        {"deliveries": [row(DELIVERIES, district_id="alder", source_file=s, status=s, message="why")
                        for s in ("refused", "not_pulled", "still_being_written")]},
        {"deliveries": [row(DELIVERIES, status=s, source_file=s) for s in ("current", "unpacked", "withdrawn")]},
        {f"delivery.not_taken:alder:{s}": ("must_decide", f"{s} of alder: why")
         for s in ("refused", "not_pulled", "still_being_written")},
    ),
    "delivery_not_checked": (
        {"deliveries": [row(DELIVERIES, district_id="alder", status="not_checked", message="the connection failed")]},
        {"deliveries": [row(DELIVERIES, status="current")]},
        {"delivery.not_checked:alder": ("review", "alder: the connection failed")},
    ),
    "delivery_sent_before": (
        {"deliveries": [row(DELIVERIES, district_id="alder", source_file="a.csv", status="sent_before", message="that of 2018")]},
        {"deliveries": [row(DELIVERIES, status="same_content")]},
        {"delivery.sent_before:alder:a.csv": ("review", "a.csv of alder: that of 2018")},
    ),
    "delivery_of_another_district": (
        {"deliveries": [row(DELIVERIES, district_id=d, source_file=f, content_hash=h, status=s, bytes=b)
                        for d, f, h, s, b in (("alder", "a.csv", "1", "current", 9), ("bell", "b.csv", "1", "current", 9),
                                              ("cinder", "c.csv", "1", "withdrawn", 9), ("dun", "d.csv", "2", "current", 9))]},
        {"deliveries": [row(DELIVERIES, district_id=d, source_file=f, content_hash=h, status=s, bytes=b)
                        for d, f, h, s, b in (("alder", "a.csv", "1", "current", 9), ("alder", "b.csv", "1", "same_content", 9),
                                              ("alder", "c.csv", "0", "current", 0), ("bell", "d.csv", "0", "current", 0))]},
        {"delivery.of_another_district:alder:a.csv": ("must_decide", "a.csv of alder is the same file as one of bell"),
         "delivery.of_another_district:bell:b.csv": ("must_decide", "b.csv of bell is the same file as one of alder")},
    ),
    "delivery_unreadable": (
        {"delivery_totals": [row(DELIVERY_TOTALS, district_id="alder", source_file="a.csv", unreadable=True, message="no header")]},
        {"delivery_totals": [row(DELIVERY_TOTALS)]},
        {"delivery.unreadable:alder:a.csv": ("must_decide", "a.csv cannot be read: no header")},
    ),
    "delivery_control_total": (
        {"delivery_totals": [
            row(DELIVERY_TOTALS, district_id="d", source_file="count", **totals, control_records=11),
            row(DELIVERY_TOTALS, district_id="d", source_file="sum", **totals, control_records=10, control_quantity_thousandths=4999),
        ]},
        {"delivery_totals": [
            row(DELIVERY_TOTALS, source_file="states nothing", **totals),
            row(DELIVERY_TOTALS, source_file="right", **totals, control_records=10, control_quantity_thousandths=5000),
        ]},
        {"delivery.control_total:d:count": ("must_decide", "count states other totals than it holds"),
         "delivery.control_total:d:sum": ("must_decide", "sum states other totals than it holds")},
    ),
    "delivery_refused_rows": (
        {"rejected_rows": [
            *(row(REJECTED_ROWS, district_id="alder", source_row=n, reason_code="volume_missing", reason_kind="refused",
                  message="the volume is empty") for n in (4, 3)),
            row(REJECTED_ROWS, district_id="cis_extract", source_row=1, reason_code="value_unreadable", message="edu cannot be read"),
            row(REJECTED_ROWS, district_id="cis_extract", source_row=2, reason_code="value_unreadable", message="esu cannot be read"),
        ]},
        {"rejected_rows": [row(REJECTED_ROWS, source_row=1, reason_code="exact_duplicate", reason_kind="duplicate"),
                           row(REJECTED_ROWS, source_row=2, reason_code="opening_reading", reason_kind="set_aside")]},
        {"delivery.refused_rows:alder:volume_missing:the volume is empty": ("review", "2 rows of alder were refused: the volume is empty"),
         "delivery.refused_rows:cis_extract:value_unreadable:edu cannot be read": ("review", "1 rows of cis_extract"),
         "delivery.refused_rows:cis_extract:value_unreadable:esu cannot be read": ("review", "1 rows of cis_extract")},
    ),
    "delivery_without_records": (
        {"delivery_totals": [row(DELIVERY_TOTALS, district_id="bare", source_file=f, records=0) for f in ("a", "b")]},
        {"delivery_totals": [
            row(DELIVERY_TOTALS, district_id="cloud", source_file="sheet", records=0),
            row(DELIVERY_TOTALS, district_id="cloud", source_file="history", records=1),
        ]},
        {"delivery.without_records:bare": ("must_decide", "bare has delivered 2 file(s) without a single record")},
    ),
    "delivery_off_cycle": (
        {"delivery_totals": [row(DELIVERY_TOTALS, district_id="off", source_file=str(days), typical_days=days, **MONTHLY)
                             for days in (24, 61)]},
        {"delivery_totals": [
            *(row(DELIVERY_TOTALS, source_file=str(days), typical_days=days, **MONTHLY) for days in (25, 36)),
            row(DELIVERY_TOTALS, source_file="mixed", typical_days=90),
        ]},
        {"delivery.off_cycle:off:24": ("must_decide", "a period typically has 24 days, and the district's cycle 25 to 36"),
         "delivery.off_cycle:off:61": ("must_decide", "a period typically has 61 days")},
    ),
    "delivery_outside_winter": (
        {"delivery_totals": [
            spans("last_year", dt.date(2017, 5, 1), dt.date(2018, 11, 1)), spans("next_year", dt.date(2019, 5, 1), dt.date(2019, 6, 1)),
            spans("early", dt.date(2018, 5, 1), dt.date(2019, 3, 25)),
        ]},
        {"delivery_totals": [
            spans("open", dt.date(2018, 5, 1), dt.date(2019, 3, 26)),
            spans("parts", dt.date(2017, 5, 1), dt.date(2018, 6, 1)),
            spans("parts", dt.date(2018, 6, 1), dt.date(2019, 5, 1), "second"),
        ]},
        {"delivery.outside_winter:last_year": ("must_decide", "the history of last_year goes from 2017-05-01 to 2018-11-01; the winter from 2018-11-01"),
         "delivery.outside_winter:next_year": ("must_decide", "the winter from 2018-11-01 to 2019-05-01"),
         "delivery.ends_in_winter:early": ("review", "goes from 2018-05-01 to 2019-03-25")},
    ),
    "match_meter_in_two_districts": (
        {"meters": [*claims("twice", 1), *claims("namesake", 1)],
         "service_consumption": [*serves("twice", "S1", "S1"), *serves("namesake", "S1", "S2")],
         "sewer_services": PREMISES},
        {"meters": [*claims("changed hands", 0), *claims("", 1), *claims("of nobody", 1)],
         "service_consumption": [*serves("changed hands", "S1", "S1"), *serves("", "S1", "S1")],
         "sewer_services": PREMISES},
        {"match.meter_in_two_districts:S1:one:7:twice:two:8": ("must_decide", "for the same days, for one premise: its use counts twice"),
         "match.meter_in_two_districts:S1:one:7:namesake:two:8": ("review", "delivered by one (account 7) and by two (account 8)")},
    ),
    "match_service_without_consumption": (
        {"unmatched": [row(UNMATCHED, **link | {"meter_id": m}, service_id="S1", side="service", message="not delivered")
                       for m in ("m1", "m2")]},
        {"unmatched": [row(UNMATCHED, service_id="", side="known_non_sewer")]},
        {"match.service_without_consumption:S1:alder:7:m1": ("review", "account 7: not delivered"),
         "match.service_without_consumption:S1:alder:7:m2": ("review", "account 7: not delivered")},
    ),
    "match_account_without_service": (
        {"unmatched": [row(UNMATCHED, **link, service_id="", side="district", message="no service is linked"),
                       row(UNMATCHED, **link | {"meter_id": ""}, service_id="", side="district", message="no service is linked")]},
        {"unmatched": [row(UNMATCHED, service_id="", side="known_non_sewer")]},
        {"match.account_without_service:alder:7:m": ("review", "account 7: no service is linked"),
         "match.account_without_service:alder:7:": ("review", "account 7: no service is linked")},
    ),
    "extract_changed": (
        {"extract_changes": [row(EXTRACT_CHANGES, service_id="S1", change="edu", last_year="1", this_year="2")]},
        {"extract_changes": []},
        {"extract.changed:S1:edu": ("info", "edu: was '1', is '2'")},
    ),
    "meter_rollover": (
        {"meters": [row(METERS, **link | {"district_account": a}, rollovers=2) for a in ("7", "8")],
         "service_consumption": [row(SERVICE_CONSUMPTION, **link | {"district_account": a}, service_id="S1", link_start=day)
                                 for a in ("7", "8") for day in (dt.date(2015, 1, 1), dt.date(2019, 1, 1))]},
        {"meters": [row(METERS, **link, rollovers=0), row(METERS, **link | {"meter_id": "of nobody"}, rollovers=1)],
         "service_consumption": [row(SERVICE_CONSUMPTION, **link)]},
        {"meter.rollover:S1:alder:7:m": ("info", "the register of meter m went back 2 time(s)"),
         "meter.rollover:S1:alder:8:m": ("info", "the register of meter m went back 2 time(s)")},
    ),
    "occupant_since_this_winter": (
        {"sewer_services": [row(SEWER_SERVICES, service_id="first", **came, occupant_since=dt.date(2018, 11, 2)),
                            row(SEWER_SERVICES, service_id="last", **came, occupant_since=dt.date(2019, 4, 30))]},
        {"sewer_services": [
            row(SEWER_SERVICES, service_id="with the winter", **came, occupant_since=dt.date(2018, 11, 1)),
            row(SEWER_SERVICES, service_id="after it", **came, occupant_since=dt.date(2019, 5, 1)),
            row(SEWER_SERVICES, service_id="nobody", **came),
            row(SEWER_SERVICES, service_id="closed", **came | {"status": "closed"}, occupant_since=dt.date(2019, 1, 1)),
            row(SEWER_SERVICES, service_id="well", **came | {"volume_source": "well"}, occupant_since=dt.date(2019, 1, 1)),
        ]},
        {"history.moved_in_during_winter:first": ("info", "the occupant came on 2018-11-02"),
         "history.moved_in_during_winter:last": ("info", "the occupant came on 2019-04-30")},
    ),
    "adjustment_without_consumption": (
        {"adjustments": [row(ADJUSTMENTS, adjustment_id="J1", district_account="7"), row(ADJUSTMENTS, adjustment_id="J2")],
         "adjusted_consumption": [row(ADJUSTED_CONSUMPTION, adjustment_id="J2")]},
        {"adjustments": [row(ADJUSTMENTS, adjustment_id="J2")],
         "adjusted_consumption": [row(ADJUSTED_CONSUMPTION, adjustment_id="J2")]},
        {"adjustment.without_consumption:J1": ("must_decide", "adjustment J1 of account 7 meets no row of consumption")},
    ),
}  # fmt: skip


def test_every_rule_is_tried_here() -> None:
    assert {rule.function.__name__ for rule in RULES} == CASES.keys()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for(con: Any, year: Year, rule: str) -> None:
    tables, _, expected = CASES[rule]
    found = findings(con, year, tables)
    said = {one["finding_id"]: one for one in found}
    assert said.keys() == expected.keys()
    for finding_id, (severity, message) in expected.items():
        one = said[finding_id]
        assert one["severity"] == severity in SEVERITIES
        assert message in one["message"]
        assert one["finding_id"].startswith(f"{one['rule_id']}:")
        assert isinstance(json.loads(one["evidence"]), dict)
        assert one["remedy"].endswith(".")


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_silent_where_all_is_well(con: Any, year: Year, rule: str) -> None:
    assert findings(con, year, CASES[rule][1]) == []


def test_findings_do_not_depend_on_the_order_of_rows(con: Any, year: Year) -> None:
    together: Tables = {}
    for tables, _, _ in CASES.values():
        for name, rows in tables.items():
            together.setdefault(name, []).extend(rows)
    found = findings(con, year, together)
    assert len(found) == sum(len(expected) for _, _, expected in CASES.values())
    assert findings(con, year, together, backward=True) == found


def test_evidence_is_json_and_holds_what_stood_in_the_file_unchanged(con: Any, year: Year) -> None:
    stray = row(UNMATCHED, side="district", service_id="", district_account=HOSTILE, meter_id=HOSTILE)
    (found,) = findings(con, year, {"unmatched": [stray]})
    evidence = json.loads(found["evidence"])
    assert (evidence["account"], evidence["meter"]) == (HOSTILE, HOSTILE)
    late = row(SEWER_SERVICES, **came, occupant_since=dt.date(2019, 1, 9), service_start=dt.date(2015, 1, 1))
    (found,) = findings(con, year, {"sewer_services": [late]})
    assert json.loads(found["evidence"]) == {"occupant_since": "2019-01-09", "service_start": "2015-01-01"}


account = st.text(st.sampled_from(":%A3"), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.tuples(account, st.one_of(account, st.just(""))), min_size=2, max_size=40))
@example({("3:", ""), ("3", ":")})
@example({("3%3A", ""), ("3:", "")})
def test_two_things_never_share_a_finding_id(con: Any, year: Year, things: set[tuple[str, str]]) -> None:
    """Whatever characters an account number is written with."""
    strays = [
        row(UNMATCHED, side="district", service_id="", district_id="alder", district_account=a, meter_id=m)
        for a, m in sorted(things)
    ]
    assert len({one["finding_id"] for one in findings(con, year, {"unmatched": strays})}) == len(things)
