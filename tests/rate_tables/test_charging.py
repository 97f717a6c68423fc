"""Charges, re-rated with the decimal module, and bills that were published.

Belongs here: quantity, amount and shares of each line.
Does not belong here: whether a bill may be sent, revenue (the assets' tests).
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rate_tables.charging import charge_lines
from rate_tables.schedule import SHIPPED, LoadedSchedule, LocalShare, load_schedules

CWS = {one.schedule.effective: one for one in load_schedules(SHIPPED / "clean_water_services")}
CENT = Decimal("0.01")
CITIES = ["Beaverton", "Tigard", "unincorporated"]
Service = dict[str, Any]


def sharing(loaded: LoadedSchedule, otherwise: str = "0", **shares_of_beaverton: str) -> LoadedSchedule:
    """The schedule with shares for Beaverton, and one for everybody else."""
    listed = tuple(
        LocalShare(jurisdiction="Beaverton", charge=code, share=Decimal(share), source="Pamplin Media 397188")
        for code, share in shares_of_beaverton.items()
    )
    rest = loaded.schedule.local_share_where_none_is_listed.model_copy(update={"value": Decimal(otherwise)})
    changed = loaded.schedule.model_copy(update={"local_shares": listed, "local_share_where_none_is_listed": rest})
    return loaded.model_copy(update={"schedule": changed})


BEAVERTON = sharing(CWS[dt.date(2018, 7, 1)], sewer_base="0.164", sewer_use="0.164", swm="0.75")
UNEVEN = sharing(CWS[dt.date(2025, 7, 1)], otherwise="0.333333", sewer_use="0.5", swm="1")
SCHEDULES = [*CWS.values(), BEAVERTON, UNEVEN]


@pytest.fixture(scope="module")
def con() -> Any:
    return ibis.duckdb.connect()


def service(edu: int, esu: int, average: int, frequency: str = "monthly", city: str = "Tigard") -> Service:
    """A service; EDU, ESU and winter average in thousandths."""
    return {
        "billing_frequency": frequency, "jurisdiction": city,
        "edu_thousandths": edu, "esu_thousandths": esu, "winter_average_thousandths": average,
    }  # fmt: skip


def lines_of(con: Any, services: list[Service], loaded: LoadedSchedule) -> dict[tuple[str, str], dict[str, Any]]:
    """Service (its place) and charge -> line."""
    t = ibis.memtable(pa.Table.from_pylist([{"service_id": str(n), **s} for n, s in enumerate(services)]))
    lines = con.to_pyarrow(charge_lines(t, loaded)).to_pylist()
    found = {(line["service_id"], line["charge_code"]): line for line in lines}
    assert len(found) == len(lines) == len(services) * len(loaded.schedule.charges)
    return found


def bill(con: Any, one: Service, loaded: LoadedSchedule) -> dict[str, int]:
    """Charge -> cents."""
    return {code: line["amount_cents"] for (_, code), line in lines_of(con, [one], loaded).items()}


def rerated(one: Service, loaded: LoadedSchedule) -> dict[str, tuple[Decimal, Decimal, Decimal, Decimal]]:
    """Charge -> quantity, amount, regional and local part, in dollars, from the file's figures."""
    schedule = loaded.schedule
    found = {}
    for charge in schedule.charges:
        column = {"edu_month": "edu", "esu_month": "esu", "volume_month": "winter_average"}[charge.per]
        months = 2 if one["billing_frequency"] == "two_monthly" else 1
        quantity = Decimal(one[f"{column}_thousandths"]) / 1000 * months
        amount = (quantity * charge.rate).quantize(CENT, ROUND_HALF_UP)
        kept = schedule.local_share_where_none_is_listed.value
        for share in schedule.local_shares:
            if (share.jurisdiction, share.charge) == (one["jurisdiction"], charge.code):
                kept = share.share
        local = (amount * kept).quantize(CENT, ROUND_HALF_UP)
        found[charge.code] = (quantity, amount, amount - local, local)
    return found


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.builds(
            service,
            st.one_of(st.sampled_from([0, 1, 1000, 2500]), st.integers(0, 5_000_000)),
            st.one_of(st.sampled_from([0, 1, 1000]), st.integers(0, 5_000_000)),
            st.one_of(st.sampled_from([0, 10, 8000]), st.integers(0, 10**9)),
            st.sampled_from(["monthly", "two_monthly"]),
            st.sampled_from(CITIES),
        ),
        min_size=1, max_size=40,
    ),
    st.sampled_from(SCHEDULES),
)  # fmt: skip
def test_every_line_is_to_the_cent_what_decimal_rerating_gives_and_its_parts_add_to_it(
    con: Any, services: list[Service], loaded: LoadedSchedule
) -> None:
    lines = lines_of(con, services, loaded)
    for number, one in enumerate(services):
        for code, expected in rerated(one, loaded).items():
            line = lines[str(number), code]
            assert (
                Decimal(line["quantity_thousandths"]) / 1000,
                Decimal(line["amount_cents"]) / 100,
                Decimal(line["regional_amount_cents"]) / 100,
                Decimal(line["local_amount_cents"]) / 100,
            ) == expected
            assert line["regional_amount_cents"] + line["local_amount_cents"] == line["amount_cents"]
            assert line["schedule_file"] == loaded.file


def test_the_published_bill_of_a_month_in_2018_comes_out(con: Any) -> None:
    """CWS 2018-19: 8 CCF, 1 EDU, 1 ESU: 29.16 + 15.44, + 8.75 = 53.35."""
    found = bill(con, service(1000, 1000, 8000), CWS[dt.date(2018, 7, 1)])
    assert found == {"sewer_base": 2916, "sewer_use": 1544, "swm": 875}
    assert sum(found.values()) == 5335


def test_the_published_bill_of_two_months_in_2019_comes_out(con: Any) -> None:
    """CWS 2019-20: 16 CCF in two months, an average of 8: 60.06 + 31.84 + 18.50 = 110.40."""
    found = bill(con, service(1000, 1000, 8000, "two_monthly"), CWS[dt.date(2019, 7, 1)])
    assert found == {"sewer_base": 6006, "sewer_use": 3184, "swm": 1850}
    assert sum(found.values()) == 11040


def test_a_city_keeps_its_share_and_another_city_does_not(con: Any) -> None:
    """Beaverton 2018: 16.4 % of sewer, 75 % of SWM. 29.16 x 0.164 = 4.78, 15.44 x 0.164 = 2.53, 8.75 x 0.75 = 6.56."""
    services = [service(1000, 1000, 8000, city="Beaverton"), service(1000, 1000, 8000, city="Tigard")]
    lines = lines_of(con, services, BEAVERTON)
    kept = {key: line["local_amount_cents"] for key, line in lines.items()}
    assert [kept["0", code] for code in ("sewer_base", "sewer_use", "swm")] == [478, 253, 656]
    assert [kept["1", code] for code in ("sewer_base", "sewer_use", "swm")] == [0, 0, 0]


def test_the_regional_part_that_a_member_city_prints_comes_out(con: Any) -> None:
    """Sherwood 2023-24 prints 28.38 of 33.95 and 1.88 of 2.25 for CWS: 83.6 %.

    Its 2.63 of SWM's 10.55 is not reproduced: a quarter of 10.55 is 2.6375, and the rule here rounds it.
    """
    lines = lines_of(
        con,
        [service(1000, 1000, 1000, city="Beaverton")],
        sharing(CWS[dt.date(2023, 7, 1)], sewer_base="0.164", sewer_use="0.164"),
    )
    assert [lines["0", code]["regional_amount_cents"] for code in ("sewer_base", "sewer_use")] == [2838, 188]


def test_a_line_says_in_what_it_is_measured_and_at_which_rate(con: Any) -> None:
    lines = lines_of(con, [service(1000, 1000, 8000)], CWS[dt.date(2018, 7, 1)])
    said = {code: (line["quantity_unit"], line["rate_ten_thousandths"]) for (_, code), line in lines.items()}
    assert said == {"sewer_base": ("EDU-months", 291_600), "sewer_use": ("ccf", 19_300), "swm": ("ESU-months", 87_500)}
