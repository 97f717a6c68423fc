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

CASES: dict[str, tuple[Tables, Tables, dict[str, tuple[str, str]]]] = {
    # rule: (tables with something to find, tables without, finding id -> severity and a piece of the message)
    "delivery_not_received": (
        {"deliveries": [row(DELIVERIES, district_id="alder", status="not_received", message="no file *.csv was found"),
                        row(DELIVERIES, district_id="bell", status="current")]},
        {"deliveries": [row(DELIVERIES, status=s, source_file=s) for s in ("current", "superseded", "same_content", "withdrawn")]},
        {"delivery.not_received:alder": ("must_decide", "alder has not delivered: no file *.csv was found")},
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
