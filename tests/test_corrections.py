"""Corrections of what has been billed: each bill's credit or charge, what earlier releases gave, what a person has to look at.

Belongs here: promises about ``credits.csv`` and how it comes about; the worked example of ``docs/corrections.md``.
Does not belong here: appeals and what stands against a release (``test_after_release``), writing a release (``test_release``).
"""

from __future__ import annotations

import csv
import datetime as dt
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import decimal_rating
import pytest
import yaml
from whole_runs import ROOT, tiny_workspace

from assets.stage import Session
from assets.store import WHOLE
from pipelines.release.corrections import CREDITS, Corrections, corrections_of, write_credits
from pipelines.session import open_session
from rate_tables.calendar_days import after_months
from rate_tables.config_file import ConfigError
from validations.tables import BILLING_BASIS, SEWER_SERVICES
from validations.workspace import Workspace

YEAR = 2019
EFFECTIVE = dt.date(2019, 7, 1)
APPROVED = dt.date(2020, 2, 10)
HEADER = "service_id,billing_agency,period_start,period_end,billed_winter_average,billed_amount"


def month(number: int) -> str:
    """Days of a monthly bill, the first one being July's."""
    return f"{after_months(EFFECTIVE, number)},{after_months(EFFECTIVE, number + 1)}"


def basis_row(service: str, new: int | None, prior: int | None) -> dict[str, Any]:
    return {
        "service_id": service, "account_id": f"C{service}", "winter_average_thousandths": new, "prior_average_thousandths": prior,
        "volume_unit": "ccf", "derivation": "held" if new is None else "computed", "derivation_note": "", "is_provisional": False,
        "applied_as": "" if new is None else "average", "applied_in_months": "", "other_months_billed_from": "",
        "yields_to_lower_actual_after_months": None, "crossing_bill": "shared_by_days", "window_start": dt.date(2018, 11, 1),
        "window_end": dt.date(2019, 5, 1), "days_covered": 181, "months_counted": 6, "winter_volume_thousandths": None,
        "periods_counted": 6, "periods_estimated": 0, "periods_adjusted": 0, "effective_date": EFFECTIVE,
        "rule_file": "rate_tables/clean_water_services/2019-07-01.yaml", "slice_id": "tiny",
    }  # fmt: skip


def service_row(service: str, agency: str, frequency: str, edu: int = 1000, esu: int = 1000) -> dict[str, Any]:
    return {
        "service_id": service, "account_id": f"C{service}", "premise_id": f"P{service}", "customer_class": "single_family",
        "dwelling_units": 1, "edu_thousandths": edu, "esu_thousandths": esu, "jurisdiction": "fernbrook", "billing_agency": agency,
        "billing_frequency": frequency, "billing_cycle": "", "status": "active", "service_start": dt.date(2001, 1, 1),
        "service_end": None, "occupant_since": None, "volume_source": "district", "bears_account_charges": True, "slice_id": "tiny",
    }  # fmt: skip


def correct(
    folder: Path, averages: dict[str, tuple[int | None, int | None]], bills: Sequence[str], *, months: int | None = None,
    services: Sequence[dict[str, Any]] = (), earlier: Sequence[Path] = (), header: str = HEADER, on: dt.date = APPROVED,
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:  # fmt: skip
    """``credits.csv`` and the totals, for services with new and prior averages and the lines of a sheet of bills."""
    workspace = workspace_of(folder, bills, months, header)
    with open_session(workspace) as session:
        fill(session, averages, services)
        found = corrections_of(session, YEAR, earlier, on)
        assert isinstance(found, Corrections)
        count = write_credits(session, found, folder / CREDITS)
    with (folder / CREDITS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert count == len(rows)
    return rows, found.totals


def workspace_of(folder: Path, bills: Sequence[str], months: int | None, header: str = HEADER) -> Workspace:
    if not folder.exists():
        tiny_workspace(folder, {}, {}, years=[YEAR])
        if months is not None:
            with (folder / "workspace.yaml").open("a", encoding="utf-8") as file:
                file.write(f"release: {{look_back_months: {months}}}\n")
    sheet = folder / "bills_issued" / f"{YEAR}.csv"
    sheet.parent.mkdir(exist_ok=True)
    sheet.write_text("\n".join([header, *bills]) + "\n", encoding="utf-8")
    return Workspace(folder)


def fill(
    session: Session, averages: dict[str, tuple[int | None, int | None]], services: Sequence[dict[str, Any]]
) -> None:
    """The store as a run would leave it."""
    rows = services or [service_row(service, "sewer_utility", "monthly") for service in averages]
    basis = [basis_row(service, *pair) for service, pair in averages.items()]
    session.store.write(BILLING_BASIS, YEAR, "tiny", BILLING_BASIS.of_rows(basis), "v")
    session.store.write(SEWER_SERVICES, YEAR, WHOLE, SEWER_SERVICES.of_rows(list(rows)), "v")


def test_the_worked_example_of_a_leak_found_in_february_comes_to_the_cent(tmp_path: Path) -> None:
    bills = [f"S1,sewer_utility,{month(n)},8,55.20" for n in range(7)]
    rows, totals = correct(tmp_path / "ws", {"S1": (6000, 7500), "S2": (8000, 7500)}, bills, months=6)
    early, *corrected = rows
    assert (early["period_start"], early["outcome"], early["credit"]) == ("2019-07-01", "outside_look_back", "0.00")
    assert [row["credit"] for row in corrected] == ["3.98"] * 6
    assert {row["outcome"] for row in corrected} == {"credit"}
    assert corrected[0] | {} == {
        "billing_agency": "sewer_utility", "service_id": "S1", "account_id": "CS1", "period_start": "2019-08-01",
        "period_end": "2019-09-01", "billed_average": "8.000", "new_average": "6.000", "volume_unit": "ccf",
        "billed_volume": "8.000", "corrected_volume": "6.000", "billed_amount": "55.20", "corrected_amount": "51.22",
        "credited_before": "0.00", "charged_before": "0.00", "credit": "3.98", "charge": "0.00", "outcome": "credit", "note": "",
    }  # fmt: skip
    (total,) = totals
    assert (total["bills"], total["credits"], total["credit_cents"], total["charge_cents"]) == (7, 6, 6 * 398, 0)
    assert (total["billed_volume_thousandths"], total["corrected_volume_thousandths"]) == (48_000, 36_000)


def test_a_bill_counts_if_its_last_day_is_the_first_of_the_look_back_and_not_if_it_is_the_day_before(
    tmp_path: Path,
) -> None:
    bills = ["S1,sewer_utility,2019-07-10,2019-08-11,8,55.20", "S2,sewer_utility,2019-07-10,2019-08-10,8,55.20"]
    rows, _ = correct(tmp_path / "ws", {"S1": (6000, 7500), "S2": (6000, 7500)}, bills, months=6)
    assert [(row["service_id"], row["outcome"]) for row in rows] == [("S1", "credit"), ("S2", "outside_look_back")]


def test_every_bill_is_rated_as_an_independent_rating_does_it_and_the_rest_adds_up_by_agency(tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311 - invented bills
    schedules = {
        year: yaml.safe_load(
            (ROOT / f"rate_tables/clean_water_services/{year}-07-01.yaml").read_text(encoding="utf-8"),  # type: ignore[arg-type]
        )
        for year in (2018, 2019)
    }
    services, averages, lines, expected = [], {}, [], dict[tuple[str, str], Decimal]()
    for number in range(150):
        name, months = f"S{number:03d}", chance.choice([1, 2, 3])
        edu, esu = chance.choice([1000, 1500, 2250]), chance.choice([1000, 3125])
        frequency = {1: "monthly", 2: "two_monthly", 3: "quarterly"}[months]
        services.append(service_row(name, chance.choice(["north", "south"]), frequency, edu, esu))
        billed, new, prior = (chance.randrange(0, 40_000) for _ in range(3))
        averages[name] = (new, prior)
        start = after_months(EFFECTIVE, chance.randrange(-1, 8)) + dt.timedelta(days=chance.randrange(20))
        end = after_months(start, months)
        amounts = []
        for average in (billed, new):
            amount = Decimal(0)
            for schedule, volume, first, last in ((2018, prior, start, EFFECTIVE), (2019, average, EFFECTIVE, end)):
                days = decimal_rating.Days((max(first, start) - start).days, (last - start).days, (end - start).days)
                if days.first < days.last:
                    service = {
                        "customer_class": "single_family", "jurisdiction": "fernbrook", "billing_frequency": frequency,
                        "edu": Decimal(edu) / 1000, "esu": Decimal(esu) / 1000, "volume": Decimal(volume) / 1000,
                    }  # fmt: skip
                    found = decimal_rating.bill(schedules[schedule], service, "ccf", days)
                    amount += sum((line.amount for line in found.values()), Decimal(0))
            amounts.append(amount)
        lines.append(f"{name},{services[-1]['billing_agency']},{start},{end},{Decimal(billed) / 1000},{amounts[0]}")
        expected[name, str(start)] = amounts[1] - amounts[0]
    rows, totals = correct(tmp_path / "ws", averages, lines, services=services)
    assert {row["outcome"] for row in rows} == {"credit", "charge"}
    found_rows = {(r["service_id"], r["period_start"]): Decimal(r["charge"]) - Decimal(r["credit"]) for r in rows}
    assert found_rows == {key: due for key, due in expected.items() if due}
    for total in totals:
        ours = [row for row in rows if row["billing_agency"] == total["billing_agency"]]
        assert sum(Decimal(row["credit"]) for row in ours) * 100 == total["credit_cents"]
        assert sum(Decimal(row["charge"]) for row in ours) * 100 == total["charge_cents"]
    assert sum(total["bills"] for total in totals) == 150


def test_what_a_release_before_has_credited_is_not_credited_again_and_comes_back_where_the_average_does(
    tmp_path: Path,
) -> None:
    bills = [f"S1,sewer_utility,{month(n)},8,55.20" for n in range(2)]
    first, _ = correct(tmp_path / "v2", {"S1": (6000, 7500)}, bills)
    assert [row["credit"] for row in first] == ["3.98", "3.98"]
    again, (total,) = correct(tmp_path / "v3", {"S1": (6000, 7500)}, bills, earlier=[tmp_path / "v2"])
    assert (again, total["unchanged"]) == ([], 2)
    lower, _ = correct(tmp_path / "v4", {"S1": (5000, 7500)}, bills, earlier=[tmp_path / "v2", tmp_path / "v3"])
    assert [(row["credited_before"], row["credit"]) for row in lower] == [("3.98", "1.99")] * 2
    back, _ = correct(tmp_path / "v5", {"S1": (8000, 7500)}, bills, earlier=[tmp_path / f"v{n}" for n in (2, 3, 4)])
    assert [(row["credited_before"], row["credit"], row["charge"]) for row in back] == [("5.97", "0.00", "5.97")] * 2


def test_a_bill_that_the_rules_do_not_account_for_is_held_and_never_guessed(tmp_path: Path) -> None:
    averages = {f"S{n}": (6000, 7500) for n in range(1, 9)} | {"S5": (None, 7500), "S9": (8000, 7500)}
    bills = [
        f"S1,sewer_utility,{month(0)},8,58.00", f"S2,other_agency,{month(0)},8,55.20", f"S3,sewer_utility,{month(0)},8,55.20",
        "S3,sewer_utility,2019-07-15,2019-08-15,8,55.20", f"S4,sewer_utility,{month(12)},8,55.20",
        f"S5,sewer_utility,{month(0)},8,55.20", f"S99,sewer_utility,{month(0)},8,55.20",
        "S6,sewer_utility,2019-05-01,2019-06-01,8,55.20", f"S9,sewer_utility,{month(0)},8,99.99",
    ]  # fmt: skip
    rows, (other, ours) = correct(tmp_path / "ws", averages, bills)
    notes = [(row["service_id"], row["note"]) for row in rows]
    assert notes == [
        ("S2", "the CIS extract has another billing agency: sewer_utility"),
        ("S1", "the rules do not make the billed amount of the average that it was billed on"),
        ("S3", "its days overlap with those of another bill of the service"),
        ("S3", "its days overlap with those of another bill of the service"),
        ("S4", "it ends after the billing year 2019 (FY2019-20)"),
        ("S5", "no average of the service stands"),
        ("S6", "it ends before the averages of 2019 (FY2019-20) hold"),
        ("S99", "the CIS extract has no such service"),
    ]
    assert {(row["outcome"], row["credit"], row["charge"]) for row in rows} == {("held", "0.00", "0.00")}
    assert (other["held"], ours["held"], ours["unchanged"], ours["credit_cents"]) == (1, 7, 1, 0)


def test_a_bill_corrected_before_is_held_where_the_sheet_has_it_otherwise_or_no_longer(tmp_path: Path) -> None:
    bills = [f"S1,sewer_utility,{month(n)},8,55.20" for n in range(2)]
    correct(tmp_path / "v2", {"S1": (6000, 7500)}, bills)
    rebilled = [f"S1,sewer_utility,{month(0)},6,51.22"]
    rows, _ = correct(tmp_path / "v3", {"S1": (5000, 7500)}, rebilled, earlier=[tmp_path / "v2"])
    assert [(row["period_start"], row["outcome"], row["note"].split(";")[0]) for row in rows] == [
        ("2019-07-01", "held", "a release before has corrected it as billed otherwise"),
        ("2019-08-01", "held", "a release before has corrected it, and the sheet no longer has it"),
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"S1,sewer_utility,{month(0)},8,55.205", "bills_issued/2019.csv, line 3: billed_amount cannot be read"),
        (f"S1,sewer_utility,{month(0)},8,", "bills_issued/2019.csv, line 3: billed_amount_cents is missing"),
        (f'=S1,sewer_utility,{month(0)},8,"55.20"', "bills_issued/2019.csv, line 3: service_id cannot be read"),
        (
            "S1,sewer_utility,2019-13-01,2019-08-01,8,55.20",
            "bills_issued/2019.csv, line 3: period_start cannot be read",
        ),
        (f"S9,sewer_utility,{month(0)},8,55.20", "bills_issued/2019.csv, line 2"),
    ],
    ids=["half a cent", "no amount", "a formula", "no such month", "the same bill twice"],
)
def test_a_sheet_with_a_line_that_cannot_be_used_corrects_nothing_and_says_which_line(
    line: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as raised:
        correct(tmp_path / "ws", {"S1": (6000, 7500)}, [f"S9,sewer_utility,{month(0)},8,55.20", line])
    assert sentence in str(raised.value)


def test_without_bills_issued_there_is_nothing_to_correct(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws", [], None)
    workspace.bills_issued(YEAR).unlink()
    with open_session(workspace) as session:
        fill(session, {"S1": (6000, 7500)}, ())
        assert corrections_of(session, YEAR, [], APPROVED) is None
