"""A year in which the rates change on 15 October, with charges of every kind, from the extract to bills and bill files.

Belongs here: what only a whole run can show of schedules inside a year, of accounts with two services, of measured strengths.
Does not belong here: how a line is computed (``rate_tables/test_charging``).
"""

from __future__ import annotations

import csv
import itertools
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from whole_runs import ROOT, annual_billing, query, tiny_workspace

MONTHS = ["2018-11", "2018-12", "2019-01", "2019-02", "2019-03", "2019-04", "2019-05"]
DELIVERY = "Account,Meter,From,To,CCF,Type\n" + "".join(
    f"{account},M{account},{start}-01,{end}-01,{volume},A\n"
    for account, volume in (("101", 8), ("102", 8), ("103", 100))
    for start, end in itertools.pairwise(MONTHS)
)
COMMON = "unincorporated,utility,{frequency},active,2010-01-01,,2010-01-01,district"
SERVICES = [
    "S1,A1,P1,single_family,1,1,1," + COMMON.format(frequency="monthly"),
    "S2,A1,P2,single_family,1,1,1," + COMMON.format(frequency="two_monthly"),
    "S3,A3,P3,industrial,0,2,4," + COMMON.format(frequency="monthly"),
    "S4,A4,P4,industrial,0,2,4," + COMMON.format(frequency="monthly"),
]
STRENGTHS = "service_id,pollutant,mg_per_l,measured_on,document\nS3,bod,614,2019-05-02,laboratory report 12\n"


def charges(use: str) -> str:
    return f"""
charges:
  - {{code: account, title: Account charge, per: account_month, rate: "3.00", source: invented}}
  - code: sewer_use
    title: Use charge
    per: ccf
    tiers:
      - {{up_to: "5", rate: "{use}"}}
      - {{rate: "3.00"}}
    source: invented
  - code: strength
    title: Strength surcharge
    per: pound
    pollutant: bod
    domestic_limit_mg_per_l: "200"
    rate: "0.5043"
    without_measurement: hold
    applies_to: {{classes: [industrial]}}
    source: invented
  - {{code: city, title: City fee, percent: "5", of: [account, sewer_use], local_share: "1", source: invented}}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    extract = {
        "sewer_services": SERVICES,
        "meter_links": [f"S{n},tiny,10{n},M10{n},domestic,1,2010-01-01," for n in (1, 2, 3)],
        "current_averages": ["S4,10,ccf,2018-07-01"],
    }
    folder = tiny_workspace(
        tmp_path_factory.mktemp("changing") / "tiny", {2019: DELIVERY}, {2019: extract}, years=[2019]
    )
    (folder / "cis_extract" / "2019" / "strengths.csv").write_text(STRENGTHS, encoding="utf-8")
    shipped = (ROOT / "rate_tables" / "clean_water_services" / "2019-07-01.yaml").read_text(encoding="utf-8")
    head = shipped.partition("\ncharges:")[0].replace("value: fiscal_year", "value: until_replaced")
    own = folder / "rate_tables" / "clean_water_services"
    own.mkdir(parents=True)
    for effective, use in (("2019-07-01", "1.00"), ("2019-10-15", "2.00")):
        text = head.replace("effective: 2019-07-01", f"effective: {effective}") + charges(use)
        (own / f"{effective}.yaml").write_text(text, encoding="utf-8")
    ran = annual_billing("run", 2019, "--workspace", folder)
    assert ran.code == 0, ran.err + ran.out
    return folder


def bills_of(workspace: Path, service: str) -> list[tuple[object, ...]]:
    return query(
        workspace,
        "SELECT period_start, period_end, bills_in_period, amount, status FROM bills WHERE service_id = ? ORDER BY 1",
        service,
    )


def test_bills_before_the_change_after_it_and_the_one_it_falls_into_stand_apart(workspace: Path) -> None:
    """8 CCF: 5 at 1.00 and 3 at 3.00, then 5 at 2.00; October is cut after 14 of its 31 days; and 3.00 an account; and 5 %."""
    before, after = Decimal("3.00") + 14, Decimal("3.00") + 19
    october = bills_of(workspace, "S1")[1][3]
    assert bills_of(workspace, "S1") == [
        (date(2019, 7, 1), date(2019, 10, 1), 3, before + Decimal("0.85"), "ready"),
        (date(2019, 10, 1), date(2019, 11, 1), 1, october, "ready"),
        (date(2019, 11, 1), date(2020, 7, 1), 8, after + Decimal("1.10"), "ready"),
    ]
    lines = query(
        workspace,
        "SELECT charge_code, tier, quantity, rate, amount, right(schedule_file, 15) FROM bill_lines "
        "WHERE service_id = 'S1' AND period_start = DATE '2019-10-01' AND charge_code = 'sewer_use' ORDER BY 2, 6",
    )
    old, new = "2019-07-01.yaml", "2019-10-15.yaml"
    assert lines == [
        ("sewer_use", 1, Decimal("2.258"), Decimal("1.0000"), Decimal("2.26"), old),
        ("sewer_use", 1, Decimal("2.742"), Decimal("2.0000"), Decimal("5.48"), new),
        ("sewer_use", 2, Decimal("1.355"), Decimal("3.0000"), Decimal("4.07"), old),
        ("sewer_use", 2, Decimal("1.645"), Decimal("3.0000"), Decimal("4.94"), new),
    ]


def test_a_bill_of_two_months_is_cut_at_its_own_ends(workspace: Path) -> None:
    assert [row[:3] for row in bills_of(workspace, "S2")] == [
        (date(2019, 7, 1), date(2019, 9, 1), 1),
        (date(2019, 9, 1), date(2019, 11, 1), 1),
        (date(2019, 11, 1), date(2020, 7, 1), 4),
    ]


def test_an_account_with_two_services_is_charged_once(workspace: Path) -> None:
    bearing = query(workspace, "SELECT DISTINCT service_id FROM bill_lines WHERE charge_code = 'account' ORDER BY 1")
    assert bearing == [("S1",), ("S3",)]


def test_a_strength_is_billed_by_the_pound_and_one_that_was_not_measured_holds_the_bill(workspace: Path) -> None:
    """100 CCF are 74,805.19 gallons: 8.34 x 0.07480519 x (614 - 200) = 258.284 pounds, at 0.5043."""
    assert query(
        workspace,
        "SELECT quantity, quantity_unit, rate, amount FROM bill_lines "
        "WHERE service_id = 'S3' AND charge_code = 'strength' AND period_start = DATE '2019-07-01'",
    ) == [(Decimal("258.284"), "pounds", Decimal("0.5043"), Decimal("130.25"))]
    assert query(workspace, "SELECT DISTINCT status, amount, status_reason FROM bills WHERE service_id = 'S4'") == [
        ("held", None, "Strength surcharge: no BOD was measured")
    ]
    assert query(workspace, "SELECT count(*) FROM bill_lines WHERE service_id = 'S4'") == [(0,)]


def test_every_identity_holds_and_the_bill_file_has_each_service_once(workspace: Path) -> None:
    assert query(workspace, "SELECT identity FROM reconciliation WHERE difference <> 0") == []
    assert query(workspace, "SELECT DISTINCT status FROM rate_schedule") == [("adopted",)]
    assert len(query(workspace, "SELECT DISTINCT schedule_file FROM rate_schedule WHERE used_for = 'charges'")) == 2
    (path,) = (workspace / "work" / "bill_files" / "2019" / "draft").iterdir()
    with path.open(encoding="utf-8") as file:
        details = [row for row in csv.DictReader(file) if row["record_type"] == "D"]
    assert sorted(row["service_id"] for row in details) == ["S1", "S2", "S3", "S4"]
    assert {row["service_id"]: row["amount"] for row in details}["S1"] == "17.85"
