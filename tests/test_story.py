"""One district of ten rows, followed by eye from its file to its bills.

The two bills are those that Clean Water Services published: 53.35 for a month of 2018-19, 110.40 for two months of 2019-20.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from whole_runs import annual_billing, query, tiny_workspace

# Two homes. The Alder Street one is read each month; the Birch Street one in October, in December and in May.
DELIVERY_2019 = """\
Account,Meter,From,To,CCF,Type
101,M1,2018-11-01,2018-12-01,8,A
101,M1,2018-12-01,2019-01-01,8,A
101,M1,2019-01-01,2019-02-01,8,E
101,M1,2019-02-01,2019-03-01,8,A
101,M1,2019-03-01,2019-04-01,8,A
101,M1,2019-04-01,2019-05-01,8,A
102,M2,2018-10-15,2018-12-14,12,A
102,M2,2018-12-14,2019-05-01,27.6,A
101,M1,2019-04-01,2019-05-01,8,A
102,M2,2019-02-30,2019-05-01,9,A
"""
DELIVERY_2018 = DELIVERY_2019.replace("2019-", "2017+").replace("2018-", "2017-").replace("2017+", "2018-")

SERVICES = [
    "S1,A1,P1,single_family,1,1,1,unincorporated,utility,{frequency},active,2010-01-01,,2010-01-01,district",
    "S2,A2,P2,single_family,1,1,1,unincorporated,utility,monthly,active,2010-01-01,,2010-01-01,district",
]
LINKS = ["S1,tiny,101,M1,domestic,1,2010-01-01,", "S2,tiny,102,M2,domestic,1,2010-01-01,"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def extract(frequency: str, before: str) -> dict[str, list[str]]:
        return {
            "sewer_services": [s.format(frequency=frequency) for s in SERVICES],
            "meter_links": LINKS,
            "current_averages": [f"S1,7.5,ccf,{before}", f"S2,6,ccf,{before}"],
        }

    folder = tiny_workspace(
        tmp_path_factory.mktemp("story") / "tiny",
        {2018: DELIVERY_2018, 2019: DELIVERY_2019},
        {2018: extract("monthly", "2017-07-01"), 2019: extract("two_monthly", "2018-07-01")},
        years=[2018, 2019],
    )
    for year in (2018, 2019):
        ran = annual_billing("run", year, "--workspace", folder)
        assert ran.code == 0, ran.err
    return folder


def test_ten_rows_become_eight_of_consumption_one_duplicate_and_one_refused(workspace: Path) -> None:
    taken = query(workspace, "SELECT source_row FROM consumption WHERE billing_year = 2019 ORDER BY 1")
    left = query(
        workspace,
        "SELECT source_row, reason_code, raw_text FROM rejected_rows WHERE billing_year = 2019 ORDER BY 1",
    )
    assert [row for (row,) in taken] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert left == [
        (10, "exact_duplicate", "101,M1,2019-04-01,2019-05-01,8,A"),
        (11, "date_unreadable", "102,M2,2019-02-30,2019-05-01,9,A"),
    ]


def test_the_first_home_used_48_ccf_in_181_days_so_8_a_month(workspace: Path) -> None:
    basis = query(
        workspace,
        "SELECT winter_volume, days_covered, winter_average, prior_average, derivation, periods_estimated "
        "FROM billing_basis WHERE billing_year = 2019 AND service_id = 'S1'",
    )
    assert basis == [(Decimal("48.000"), 181, Decimal("8.000"), Decimal("7.500"), "computed", 1)]


def test_the_second_homes_autumn_period_counts_by_its_days_in_the_winter(workspace: Path) -> None:
    # 15 October to 14 December is 60 days, 43 of them from 1 November: 12 x 43 / 60 = 8.6. Then 27.6 in 138 days.
    # (8.6 + 27.6) / 6 months = 6.0333, to a hundredth 6.03.
    basis = query(
        workspace,
        "SELECT winter_volume, days_covered, winter_average, effective_date "
        "FROM billing_basis WHERE billing_year = 2019 AND service_id = 'S2'",
    )
    assert basis == [(Decimal("36.200"), 181, Decimal("6.030"), date(2019, 7, 1))]


def test_the_bills_are_those_clean_water_services_published(workspace: Path) -> None:
    bills = query(workspace, "SELECT billing_year, amount FROM bills WHERE service_id = 'S1' ORDER BY 1")
    assert bills == [(2018, Decimal("53.35")), (2019, Decimal("110.40"))]


def test_each_line_shows_quantity_rate_amount_and_the_schedule_it_stands_in(workspace: Path) -> None:
    lines = query(
        workspace,
        "SELECT charge_code, quantity, quantity_unit, rate, amount, regional_amount, local_amount, schedule_file "
        "FROM bill_lines WHERE billing_year = 2019 AND service_id = 'S2' ORDER BY 1",
    )
    schedule = "rate_tables/clean_water_services/2019-07-01.yaml"
    assert lines == [
        (
            "sewer_base",
            Decimal("1.000"),
            "EDU-months",
            Decimal("30.0300"),
            Decimal("30.03"),
            Decimal("30.03"),
            0,
            schedule,
        ),
        ("sewer_use", Decimal("6.030"), "ccf", Decimal("1.9900"), Decimal("12.00"), Decimal("12.00"), 0, schedule),
        ("swm", Decimal("1.000"), "ESU-months", Decimal("9.2500"), Decimal("9.25"), Decimal("9.25"), 0, schedule),
    ]  # 6.03 x 1.99 = 11.9997


def test_the_bill_file_holds_both_homes_and_a_control_record_and_says_that_nobody_approved_it(workspace: Path) -> None:
    path = workspace / "work" / "bill_files" / "2019" / "draft" / "utility_2019_NOT_APPROVED.csv"
    assert path.read_text(encoding="utf-8").splitlines() == [
        "record_type,approval,billing_agency,service_id,account_id,premise_id,winter_average,prior_average,volume_unit,"
        "derivation,effective_date,billing_frequency,amount,bill_status",
        "D,not approved,utility,S1,A1,P1,8.000,7.500,ccf,computed,20190701,two_monthly,110.40,ready",
        "D,not approved,utility,S2,A2,P2,6.030,6.000,ccf,computed,20190701,monthly,51.28,ready",
        "T,not approved,utility,2,,,14.030,,,,20190701,,161.68,",
    ]


def test_what_came_in_is_what_was_used_refused_or_repeated_in_rows_and_in_volume(workspace: Path) -> None:
    identities = query(
        workspace,
        'SELECT identity, "left", "right" FROM reconciliation WHERE billing_year = 2019 AND district_id = \'tiny\' ORDER BY 1',
    )
    # 48 + 12 + 27.6 of consumption, 8 repeated, 9 refused.
    assert identities == [
        ("quantity", Decimal("104.600"), Decimal("104.600")), ("records", 10, 10), ("rows of the district", 10, 10),
        ("volume of the district", Decimal("104.600"), Decimal("104.600")),
    ]  # fmt: skip
