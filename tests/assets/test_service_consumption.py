"""Meeting delivered meters with the services they serve, and what is left over on either side.

Belongs here: dated links, leftovers, nearest matches. Does not belong here: volumes per service.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from front_door_helpers import rows_of, year_2018

from assets.service_consumption import service_consumption, unmatched
from validations.contract import violations
from validations.tables import (
    DELIVERY_TOTALS,
    METER_LINKS,
    METERS,
    NON_SEWER_ACCOUNTS,
    SERVICE_CONSUMPTION,
    SEWER_SERVICES,
    UNMATCHED,
)

Row = dict[str, Any]
START, END = year_2018().window_start, year_2018().window_end
DAY = dt.timedelta(days=1)


def meter(account: str, meter_id: str = "M1", district: str = "alder_creek", volume: int = 5_000) -> Row:
    return {
        "district_id": district, "district_account": account, "meter_id": meter_id, "periods": 5, "first_day": START,
        "last_day": END, "billed_volume_thousandths": volume, "volume_unit": "ccf", "rollovers": 0,
    }  # fmt: skip


def link(service_id: str, account: str, meter_id: str = "", district: str = "alder_creek", **changes: Any) -> Row:
    return {
        "service_id": service_id, "district_id": district, "district_account": account, "meter_id": meter_id,
        "purpose": "domestic", "share_millionths": 1_000_000, "share_from_millionths": 0,
        "link_start": dt.date(2001, 2, 3), "link_end": None, "slice_id": "alder_creek",
    } | changes  # fmt: skip


def meters_of(*rows: Row) -> ir.Table:
    return ibis.memtable(list(rows), schema=METERS.schema)


def links_of(*rows: Row) -> ir.Table:
    return ibis.memtable(list(rows), schema=METER_LINKS.schema)


def met(con: Any, meters: ir.Table, links: ir.Table) -> set[tuple[str, str, str]]:
    table = service_consumption(meters, links, year=year_2018())
    assert rows_of(con, violations(SERVICE_CONSUMPTION, table)) == []
    return {(row["service_id"], row["district_account"], row["meter_id"]) for row in rows_of(con, table)}


def left_over(
    con: Any,
    meters: ir.Table,
    links: ir.Table,
    known: list[str] | None = None,
    status: str = "active",
    delivered: tuple[str, ...] = ("alder_creek",),
    **totals: Any,
) -> dict[tuple[str, str, str], Row]:
    """Leftovers by (side, account, meter or service)."""
    services = [
        {"service_id": row, "account_id": "C", "premise_id": "P", "customer_class": "single_family", "dwelling_units": 1,
         "edu_thousandths": 1, "esu_thousandths": 1, "jurisdiction": "j", "billing_agency": "b",
         "billing_frequency": "monthly", "status": status, "service_start": START, "service_end": None,
         "occupant_since": None, "volume_source": "district", "slice_id": "alder_creek"}
        for row in sorted({row["service_id"] for row in rows_of(con, links)})
    ]  # fmt: skip
    facts = [
        {"district_id": d, "source_file": "f", "content_hash": "h", "rows_in_file": 9, "rows_of_layout": 1, "records": 8,
         "delivered_quantity_thousandths": 0, "control_records": None, "control_quantity_thousandths": None,
         "unreadable": False, "message": ""} | totals
        for d in delivered
    ]  # fmt: skip
    non_sewer = [{"district_id": "alder_creek", "district_account": a, "reason": "septic"} for a in known or []]
    table = unmatched(
        meters, links, ibis.memtable(non_sewer, schema=NON_SEWER_ACCOUNTS.schema),
        ibis.memtable(services, schema=SEWER_SERVICES.schema), DELIVERY_TOTALS.of_rows(facts),
        year=year_2018(),
    )  # fmt: skip
    assert rows_of(con, violations(UNMATCHED, table)) == []
    return {(r["side"], r["district_account"], r["service_id"] or r["meter_id"]): r for r in rows_of(con, table)}


# Meeting


def test_a_link_with_a_meter_meets_that_meter_and_one_without_meets_all_of_its_account(con: Any) -> None:
    meters = meters_of(
        meter("1", "M1"), meter("1", "M2"), meter("2", "M1"), meter("1", "M1", "dunmore"), meter("3", "")
    )
    links = links_of(link("one", "1", "M1"), link("all", "1"), link("bare", "3"), link("other", "2", "M9"))
    assert met(con, meters, links) == {("one", "1", "M1"), ("all", "1", "M1"), ("all", "1", "M2"), ("bare", "3", "")}
    assert {row["district_id"] for row in rows_of(con, service_consumption(meters, links, year=year_2018()))} == {
        "alder_creek"
    }


@pytest.mark.parametrize(
    ("start", "end", "meets"),
    [
        (START - DAY, None, True), (START - DAY, START, False), (START - DAY, START + DAY, True), (END - DAY, None, True),
        (END, None, False),
    ],
)  # fmt: skip
def test_only_a_link_that_holds_on_some_day_of_the_winter_meets(
    con: Any, start: dt.date, end: dt.date | None, meets: bool
) -> None:
    dated = links_of(link("S1", "1", link_start=start, link_end=end))
    rows = rows_of(con, service_consumption(meters_of(meter("1")), dated, year=year_2018()))
    assert [(r["link_start"], r["link_end"]) for r in rows] == (
        [(start, end or dt.date(9999, 12, 31))] if meets else []
    )
    assert ("district", "1", "M1") in left_over(con, meters_of(meter("1")), dated) or meets


def test_a_shared_meter_serves_each_service_for_its_part(con: Any) -> None:
    links = links_of(
        link("S1", "1", share_millionths=300_000),
        link("S2", "1", share_millionths=700_000, share_from_millionths=300_000),
    )
    rows = rows_of(con, service_consumption(meters_of(meter("1")), links, year=year_2018()), "service_id")
    assert [(r["share_from_millionths"], r["share_to_millionths"]) for r in rows] == [
        (0, 300_000),
        (300_000, 1_000_000),
    ]


# Leftovers


def test_every_meter_meets_a_service_or_is_left_over_once_with_its_volume(con: Any) -> None:
    meters = [
        meter("1", "M1"),
        meter("1", "M2", volume=-7),
        meter("2"),
        meter("3", volume=11),
        meter("4", district="dunmore"),
    ]
    links = links_of(link("S1", "1", "M1"), link("S2", "9"))
    found = left_over(con, meters_of(*meters), links, known=["3", "4"])
    accounts = {k: (v["billed_volume_thousandths"], v["volume_unit"]) for k, v in found.items()}
    assert accounts == {
        ("district", "1", "M2"): (-7, "ccf"), ("district", "2", "M1"): (5_000, "ccf"),
        ("known_non_sewer", "3", "M1"): (11, "ccf"), ("district", "4", "M1"): (5_000, "ccf"),
        ("service", "9", "S2"): (0, ""),
    }  # fmt: skip
    assert "this meter of it is not" in found["district", "1", "M2"]["message"]
    assert "no sewer service is linked" in found["district", "2", "M1"]["message"]
    met_meters = {(account, meter_id) for _, account, meter_id in met(con, meters_of(*meters), links)}
    sides = [(r["district_account"], r["meter_id"]) for r in found.values() if r["side"] != "service"]
    assert sorted([*met_meters, *sides]) == sorted((m["district_account"], m["meter_id"]) for m in meters)


@pytest.mark.parametrize(
    ("delivered", "linked"),
    [("1234", "0001234"), ("0001234", "1234"), ("12345", "1234"), ("1234", "12345"), ("001234-5", "12345"), ("861960-02", "86196002"),
     ("A123", "A1237")],
)  # fmt: skip
def test_lost_zeros_and_a_check_digit_are_named_on_both_sides(con: Any, delivered: str, linked: str) -> None:
    found = left_over(con, meters_of(meter(delivered)), links_of(link("S1", linked)))
    assert found["district", delivered, "M1"]["nearest_account"] == linked
    assert found["service", linked, "S1"]["nearest_account"] == delivered


@pytest.mark.parametrize(
    ("delivered", "linked"), [("1234", "1235"), ("1234", "123499"), ("12", "012"), ("1234", "4321"), ("1234", "2234")]
)
def test_other_differences_are_no_match(con: Any, delivered: str, linked: str) -> None:
    found = left_over(con, meters_of(meter(delivered)), links_of(link("S1", linked)))
    assert {row["nearest_account"] for row in found.values()} == {""}
    assert len(found) == 2


def test_of_several_near_accounts_the_one_with_the_same_digits_is_named(con: Any) -> None:
    links = links_of(
        link("S1", "1234"), link("S2", "0012345"), link("S3", "123456"), link("S4", "12345", "", "dunmore")
    )
    assert left_over(con, meters_of(meter("12345")), links)["district", "12345", "M1"]["nearest_account"] == "0012345"


@pytest.mark.parametrize(
    ("case", "facts"),
    [
        ("not delivered", {"delivered": ("dunmore",)}), ("unreadable", {"unreadable": True}), ("no records", {"records": 0}),
        ("closed", {"status": "closed"}),
    ],
)  # fmt: skip
def test_a_service_is_left_over_only_if_it_is_in_force_and_its_district_was_received(
    con: Any, case: str, facts: dict[str, Any]
) -> None:
    silent = links_of(link("S1", "1"))
    assert list(left_over(con, meters_of(), silent)) == [("service", "1", "S1")]
    assert left_over(con, meters_of(), silent, **facts) == {}, case


def test_a_service_whose_meter_was_changed_is_not_left_over(con: Any) -> None:
    links = links_of(
        link("S1", "1", "OLD", link_end=START + 40 * DAY), link("S1", "1", "NEW", link_start=START + 40 * DAY)
    )
    assert left_over(con, meters_of(meter("1", "NEW")), links) == {}


def test_a_service_with_two_accounts_is_left_over_for_the_one_that_is_silent(con: Any) -> None:
    links = links_of(link("S1", "1"), link("S1", "2"))
    assert list(left_over(con, meters_of(meter("1")), links)) == [("service", "2", "S1")]


@pytest.mark.parametrize(
    ("delivered", "linked", "is_left_over"),
    [
        ((END, END + 30 * DAY), (END, None), False),
        ((START - 60 * DAY, START), (START - 90 * DAY, START - 30 * DAY), False),
        ((START - 60 * DAY, START), (START, None), True),
        ((START - 60 * DAY, END), (START - 90 * DAY, START), True),
        ((START - 60 * DAY, END), (END - DAY, None), False),
    ],
)
def test_a_meter_is_left_over_only_if_no_link_serves_it_on_a_day_that_was_delivered_from_the_winter_on(
    con: Any, delivered: tuple[dt.date, dt.date], linked: tuple[dt.date, dt.date | None], is_left_over: bool
) -> None:
    one = meter("1234") | {"first_day": delivered[0], "last_day": delivered[1]}
    found = left_over(con, meters_of(one), links_of(link("S1", "1234", link_start=linked[0], link_end=linked[1])))
    assert (("district", "1234", "M1") in found) is is_left_over
