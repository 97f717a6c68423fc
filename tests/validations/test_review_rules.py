"""Rules about deliveries, districts, matching and the office's sheets: each finds what it is for, and nothing else.

Belongs here: every such rule on tables of a few rows; ids, evidence and severity of findings.
Does not belong here: rules of use (``test_review_of_use``), findings of a whole year (the tests of the annual update).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from contract_rows import Row, row, table_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.engine import connected
from validations.contract import violations
from validations.review import OF_OFFICE, OF_USE, RULES, all_findings
from validations.review.of_matching import of_one_number
from validations.tables import (
    ADJUSTMENT_SHEET,
    ADJUSTMENTS,
    DECISION_SHEET,
    DELIVERIES,
    DELIVERY_TOTALS,
    DISTRICT_USE,
    EXTRACT_CHANGES,
    FINDINGS,
    METERS,
    PAST_ADJUSTMENTS,
    REFUSED_ADJUSTMENTS,
    REJECTED_ROWS,
    SERVICE_CONSUMPTION,
    SEVERITIES,
    SEWER_SERVICES,
    UNMATCHED,
)
from validations.workspace import SAMPLE, Workspace, Year

CONTRACTS = {
    contract.name: contract
    for contract in (
        DELIVERIES, DELIVERY_TOTALS, REJECTED_ROWS, UNMATCHED, EXTRACT_CHANGES, METERS, SERVICE_CONSUMPTION, SEWER_SERVICES,
        ADJUSTMENTS, PAST_ADJUSTMENTS, REFUSED_ADJUSTMENTS, DISTRICT_USE,
    )
}  # fmt: skip
HOSTILE = '=cmd|"/c calc"\n\\ é'


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


@pytest.fixture(scope="module")
def year() -> Year:
    return Workspace(SAMPLE).year(2019)


Tables = dict[str, list[Row]]


def findings(con: Any, year: Year, tables: Tables, rule: str = "", backward: bool = False) -> list[Row]:
    """Findings of one rule, or of every one whose tables are given; the findings keep their own contract."""
    made: dict[str, Any] = {"year": year, "limits": year.review_limits.rules}
    for name, rows in tables.items():
        made[name] = table_of(CONTRACTS[name], *(rows[::-1] if backward else rows))
    if "meters" in made:
        made["meters_of_one_number"] = of_one_number(made["meters"])
    rules = [one for one in OF_OFFICE if rule in ("", one.function.__name__)]
    found = con.create_table("found", all_findings(rules, **made), overwrite=True)
    assert con.to_pyarrow(violations(FINDINGS, found)).to_pylist() == []
    return sorted(con.to_pyarrow(found).to_pylist(), key=lambda one: one["finding_id"])


def as_last_year(district: str, **changes: Any) -> Row:
    """A district whose delivery is what it was a year ago, but for ``changes``."""
    return row(DISTRICT_USE, **{
        "district_id": district, "accounts": 100, "prior_accounts": 100, "meters_compared": 100, "ratio_millionths": 1_000_000,
        "winter_ratio_millionths": 1_000_000, "summer_ratio_millionths": 1_000_000, "volume_thousandths": 5_000_000,
        "prior_volume_thousandths": 5_000_000, "thin_month": dt.date(2018, 12, 1), "thin_month_rows": 95, "usual_rows": 100,
        "stuck_month": dt.date(2018, 12, 1), "stuck_value_thousandths": 7_000, "stuck_rows": 5, "stuck_of_rows": 100,
        "usual_stuck_millionths": 40_000, "shared_month_accounts": 0,
    } | changes)  # fmt: skip


def of_both(ratio: int) -> Row:
    """Use a day, winter and summer alike, against last year's."""
    return {"ratio_millionths": ratio, "winter_ratio_millionths": ratio, "summer_ratio_millionths": ratio}


totals = {"records": 10, "delivered_quantity_thousandths": 5000}
link = {"district_id": "alder", "district_account": "7", "meter_id": "m"}

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


def lapsing(adjustment_id: str, service_id: str, **changes: Any) -> Row:
    """An entry of last year's sheet that expires."""
    given = {"adjustment_id": adjustment_id, "service_id": service_id, "kind": "evaporation", "sheet_year": 2018}
    return row(PAST_ADJUSTMENTS, **given | {"expires_on": dt.date(2019, 7, 1)} | changes)


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
    "district_not_compared": (
        {"district_use": [as_last_year("d", prior_accounts=0, meters_compared=0)]},
        {"district_use": [as_last_year("d", prior_accounts=1), as_last_year("e", accounts=0, prior_accounts=0)]},
        {"district.not_compared:d": ("info", "last year's delivery is not in the store")},
    ),
    "district_unit_changed": (
        {"district_use": [as_last_year(str(ratio), **of_both(ratio)) for ratio in (748_052, 1_336_806, 100_000, 1_000_000_000)]},
        {"district_use": [
            as_last_year("as it was"), as_last_year("a fifth more", **of_both(1_200_000)),
            as_last_year("in winter alone", winter_ratio_millionths=748_052), as_last_year("few", **of_both(748_052) | {"meters_compared": 19}),
            as_last_year("nobody knows", ratio_millionths=None, winter_ratio_millionths=None, summer_ratio_millionths=None),
        ]},
        {f"district.unit_changed:{ratio}": ("must_decide", f"use a day is {text} times last year's")
         for ratio, text in ((748_052, "0.748"), (1_336_806, "1.337"), (100_000, "0.100"), (1_000_000_000, "1000.000"))},
    ),
    "district_volume_changed": (
        {"district_use": [as_last_year("more", **of_both(1_190_000)), as_last_year("less", **of_both(810_000))]},
        {"district_use": [as_last_year("dry year", **of_both(1_170_000)), as_last_year("another unit", **of_both(748_052)),
                          as_last_year("few", **of_both(1_500_000) | {"meters_compared": 19})]},
        {"district.volume_changed:more": ("review", "use a day is 1.190 times last year's in the middle of 100 meters"),
         "district.volume_changed:less": ("review", "the volume delivered went from 5000 to 5000")},
    ),
    "district_accounts_changed": (
        {"district_use": [as_last_year("more", accounts=109), as_last_year("fewer", accounts=91)]},
        {"district_use": [as_last_year("some", accounts=107), as_last_year("none", accounts=0),
                          as_last_year("small", accounts=30, prior_accounts=19)]},
        {"district.accounts_changed:more": ("must_decide", "delivered 109 accounts, 100 a year ago"),
         "district.accounts_changed:fewer": ("must_decide", "delivered 91 accounts, 100 a year ago")},
    ),
    "district_month_missing": (
        {"district_use": [as_last_year("d", thin_month_rows=34)]},
        {"district_use": [as_last_year("enough", thin_month_rows=35), as_last_year("small", thin_month_rows=0, usual_rows=19)]},
        {"district.month_missing:d": ("must_decide", "only 34 reads end in the month of 2018-12-01; usual are 100")},
    ),
    "district_stuck_value": (
        {"district_use": [as_last_year("d", stuck_rows=20)]},
        {"district_use": [as_last_year("less", stuck_rows=19), as_last_year("few", stuck_rows=19, stuck_of_rows=19),
                          as_last_year("as ever", stuck_rows=20, usual_stuck_millionths=100_000)]},
        {"district.stuck_value:d": ("must_decide", "the figure 7.0 stands at 20 of 100 reads")},
    ),
    "district_winter_median_moved": (
        {"district_use": [as_last_year("up", winter_ratio_millionths=1_160_000), as_last_year("down", winter_ratio_millionths=840_000)]},
        {"district_use": [as_last_year("a little", winter_ratio_millionths=1_140_000), as_last_year("another unit", **of_both(748_052)),
                          as_last_year("in summer", summer_ratio_millionths=2_000_000)]},
        {"district.winter_median_moved:up": ("review", "winter use a day is 1.160 times last year's"),
         "district.winter_median_moved:down": ("review", "winter use a day is 0.840 times last year's")},
    ),
    "district_bills_share_months": (
        {"district_use": [as_last_year("some", shared_month_accounts=20), as_last_year("few", shared_month_accounts=19)]},
        {"district_use": [as_last_year("none")]},
        {"district.bills_share_months:some": ("must_decide", "20 of 100 accounts have two bills that share a month of the winter"),
         "district.bills_share_months:few": ("review", "19 of 100 accounts")},
    ),
    "service_class_changed": (
        {"extract_changes": [row(EXTRACT_CHANGES, service_id="S1", change="customer_class", last_year="single_family", this_year="industrial")]},
        {"extract_changes": [row(EXTRACT_CHANGES, service_id="S1", change="edu")]},
        {"service.class_changed:S1": ("info", "the customer class was 'single_family', is 'industrial'")},
    ),
    "meter_changed_unknown": (
        {"unmatched": [row(UNMATCHED, **link | {"meter_id": "M2"}, service_id="", side="district")],
         "service_consumption": [row(SERVICE_CONSUMPTION, **link, service_id="S1", purpose="domestic")],
         "meters": [row(METERS, **link | {"meter_id": "M2"}, first_day=dt.date(2019, 1, 9))]},
        {"unmatched": [row(UNMATCHED, **link | {"meter_id": "M2", "district_account": "8"}, service_id="", side="district"),
                       row(UNMATCHED, **link | {"meter_id": "M3"}, service_id="S1", side="service"),
                       row(UNMATCHED, **link | {"meter_id": ""}, service_id="", side="district")],
         "service_consumption": [row(SERVICE_CONSUMPTION, **link, service_id="S1", purpose="domestic"),
                                 row(SERVICE_CONSUMPTION, **link | {"district_account": "8"}, service_id="S2", purpose="irrigation")],
         "meters": [row(METERS, **link | {"meter_id": "M2", "district_account": a}) for a in ("7", "8")]},
        {"meter.changed_out:S1": ("review", "account 7 has meter M2 since 2019-01-09, which the CIS does not know beside m")},
    ),
    "adjustment_refused": (
        {"refused_adjustments": [row(REFUSED_ADJUSTMENTS, adjustment_id="J1", service_id="S1", message="the account is not known")]},
        {"refused_adjustments": []},
        {"adjustment.refused:J1": ("must_decide", "adjustment J1 is refused and changes nothing: the account is not known")},
    ),
    "adjustment_unreadable": (
        {"rejected_rows": [row(REJECTED_ROWS, district_id=ADJUSTMENT_SHEET, source_file="a.csv", source_row=n, message="no reason")
                           for n in (3, 4)]},
        {"rejected_rows": [row(REJECTED_ROWS, district_id="alder", source_row=3)]},
        {f"adjustment.unreadable:a.csv:{n}": ("must_decide", f"a.csv, row {n}: no reason; the entry changes nothing") for n in (3, 4)},
    ),
    "decision_unreadable": (
        {"rejected_rows": [row(REJECTED_ROWS, district_id=DECISION_SHEET, source_file="d.csv", source_row=3, message="no such word")]},
        {"rejected_rows": [row(REJECTED_ROWS, district_id=d, source_row=3) for d in ("alder", ADJUSTMENT_SHEET)]},
        {"decision.unreadable:d.csv:3": ("must_decide", "d.csv, row 3: no such word")},
    ),
    "adjustment_to_renew": (
        {"past_adjustments": [lapsing("J1", "S1")], "adjustments": [row(ADJUSTMENTS, adjustment_id="K1", service_id="S1", kind="pool"),
                                                                    row(ADJUSTMENTS, adjustment_id="K2", service_id="S2", kind="evaporation")]},
        {"past_adjustments": [lapsing("J1", "S1"), lapsing("J2", "S2", sheet_year=2017), lapsing("J3", "S3", expires_on=None)],
         "adjustments": [row(ADJUSTMENTS, adjustment_id="K1", service_id="S1", kind="evaporation")]},
        {"adjustment.to_renew:S1:evaporation:J1": ("review", "last year's adjustment J1 (evaporation) expires on 2019-07-01")},
    ),
}  # fmt: skip


def test_every_rule_about_the_office_is_tried_here() -> None:
    """Those of use are tried in ``test_review_of_use``, and there are no others."""
    assert {rule.function.__name__ for rule in OF_OFFICE} == CASES.keys()
    assert [*OF_OFFICE, *OF_USE] == RULES
    assert all(rule.citation for rule in RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for(con: Any, year: Year, rule: str) -> None:
    tables, _, expected = CASES[rule]
    found = findings(con, year, tables, rule)
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
    assert findings(con, year, CASES[rule][1], rule) == []


def test_findings_do_not_depend_on_the_order_of_rows(con: Any, year: Year) -> None:
    together: Tables = {}
    for tables, _, _ in CASES.values():
        for name, rows in tables.items():
            together.setdefault(name, []).extend(rows)
    found = findings(con, year, together)
    assert {rule_id for _, _, expected in CASES.values() for rule_id in expected} <= {
        one["finding_id"] for one in found
    }
    assert findings(con, year, together, backward=True) == found


def test_evidence_is_json_and_holds_what_stood_in_the_file_unchanged(con: Any, year: Year) -> None:
    stray = row(UNMATCHED, side="district", service_id="", district_account=HOSTILE, meter_id=HOSTILE)
    (found,) = findings(con, year, {"unmatched": [stray]})
    evidence = json.loads(found["evidence"])
    assert (evidence["account"], evidence["meter"]) == (HOSTILE, HOSTILE)
    mine = row(METERS, **link | {"meter_id": HOSTILE}, rollovers=2)
    served = row(SERVICE_CONSUMPTION, **link | {"meter_id": HOSTILE})
    (found,) = findings(con, year, {"meters": [mine], "service_consumption": [served]}, "meter_rollover")
    assert json.loads(found["evidence"]) == {"meter": HOSTILE, "rollovers": 2}


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
