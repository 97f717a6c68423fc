"""Public consumption data through the whole pipeline, against an account of it kept with the standard library alone.

Belongs here: promises about a real city's bills and real households' register readings, through the command line.
Does not belong here: how the workspaces are made and the account is kept (``real_data``).
"""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
import yaml
from explained import check_average
from real_data import (
    CUBIC_METRES,
    DATASETS,
    REGISTERS_WINTER,
    SANTA_MONICA_ENTRY,
    SANTA_MONICA_YEAR,
    WINTER,
    WINTER_BEFORE,
    Bill,
    Period,
    Reading,
    alicante_months,
    alicante_readings,
    averages_by_hand,
    backward_steps,
    known_defects,
    month_later,
    outcomes,
    repeated,
    san_joan_readings,
    santa_monica_bills,
    santa_monica_services,
    winter_averages,
)
from whole_runs import ROOT, query

from assets.engine import connected
from assets.front_door import DeliveredFile, FrontDoor
from pipelines.explain.derivation import as_json, explain
from rate_tables.exact import stored_as
from validations.district import District
from validations.review.of_districts import district_month_missing
from validations.review.of_districts import district_use as use_of_district
from validations.workspace import Workspace

pytestmark = pytest.mark.skipif(not DATASETS.is_dir(), reason="the data sets do not lie beside the checkout")

LITRES = CUBIC_METRES / 1000


@dataclass(frozen=True)
class Made:
    """A workspace after its run, and what the command printed."""

    folder: Path
    printed: str


def made(name: str, folder: Path) -> Made:
    command = [sys.executable, str(ROOT / "tests" / "real_data.py"), name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return Made(folder, done.stdout)


@pytest.fixture(scope="module")
def santa_monica(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made("santa_monica", tmp_path_factory.mktemp("real") / "santa_monica")


@pytest.fixture(scope="module")
def registers(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made("registers", tmp_path_factory.mktemp("real") / "registers")


@pytest.fixture(scope="module")
def bills() -> list[Bill]:
    return santa_monica_bills()


def account(ended: dict[int, str], volumes: dict[int, int]) -> dict[str, tuple[int, int]]:
    """What became of rows -> how many, and their volume in thousandths."""
    rows, volume = Counter[str](), Counter[str]()
    for line, became in ended.items():
        rows[became] += 1
        volume[became] += volumes[line]
    return {became: (rows[became], volume[became]) for became in rows}


def published_account(folder: Path, district: str) -> dict[str, tuple[int, int]]:
    return {
        became: (rows, int(volume * 1000))
        for became, rows, volume in query(
            folder,
            "SELECT became, count(*), sum(delivered_quantity) FROM ("
            "SELECT 'consumption' AS became, delivered_quantity FROM consumption WHERE district_id = $1 UNION ALL "
            "SELECT reason_kind || ': ' || reason_code, delivered_quantity FROM rejected_rows WHERE district_id = $1) GROUP BY 1",
            district,
        )
    }


def test_the_documentation_shows_what_the_command_prints_and_the_readme_parts_of_it(santa_monica: Made) -> None:
    assert santa_monica.printed in (ROOT / "docs" / "real_data.md").read_text(encoding="utf-8")
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## A real city\n")[1].split("\n## ")[0]
    tables = [block for block in section.split("\n\n") if block.lstrip().startswith("|")]
    assert tables
    assert [table for table in tables if table.strip() not in santa_monica.printed] == []


def test_at_most_one_customer_in_twenty_goes_to_review(santa_monica: Made) -> None:
    to_review = query(santa_monica.folder, "SELECT count(DISTINCT service_id) FROM findings WHERE severity <> 'info'")
    assert 0 < to_review[0][0] <= 16_380 // 20


def test_every_customer_whose_class_is_another_than_a_year_ago_is_found(santa_monica: Made, bills: list[Bill]) -> None:
    then, now = (santa_monica_services(bills, dt.date(year, 7, 1)) for year in (2014, 2015))
    changed = {f"S{c}" for c in then.keys() & now.keys() if then[c][0] != now[c][0]}
    found = query(santa_monica.folder, "SELECT service_id FROM findings WHERE rule_id = 'service.class_changed'")
    assert {s for (s,) in found} == changed
    assert len(changed) == 28


def test_a_delivery_with_july_2015_is_found_to_lack_it(santa_monica: Made, bills: list[Bill], con: Any) -> None:
    year = Workspace(santa_monica.folder).year(2015)

    def delivered(first: dt.date, last: dt.date) -> ir.Table:
        rows = [
            {"district_id": "santa_monica", "district_account": b.customer, "meter_id": b.city_class, "period_start": b.period.start,
             "period_end": b.period.end, "days": (b.period.end - b.period.start).days, "billed_volume_thousandths": b.thousandths}
            for b in bills if first <= b.month <= last
        ]  # fmt: skip
        columns = list(rows[0])
        return ibis.memtable(pa.table({name: [row[name] for row in rows] for name in columns}))

    of_2014 = delivered(dt.date(2014, 1, 1), dt.date(2015, 6, 1))
    of_2015 = delivered(dt.date(2015, 1, 1), dt.date(2016, 6, 1))
    use = use_of_district(of_2015, of_2014, year)
    use = use.mutate(district_id=ibis.literal("santa_monica"), thin_month=stored_as(use.thin_month, "date"))
    found = district_month_missing(use, year.review_limits.rules)
    # A bill of July ends with the last of July: its closing read stands on the first of August.
    assert con.to_pyarrow(found.message).to_pylist() == ["only 96 reads end in the month of 2015-08-01; usual are 9419"]


def test_the_documentation_shows_what_became_of_the_register_readings(registers: Made) -> None:
    assert registers.printed in (ROOT / "docs" / "real_data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("workspace", ["santa_monica", "registers"])
def test_both_sides_of_every_identity_are_equal(workspace: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(workspace).folder
    identities = query(folder, 'SELECT identity, "left", "right" FROM reconciliation')
    assert {identity for identity, *_ in identities} == {
        "records",
        "quantity",
        "services",
        "bills",
        "amounts",
        "shares",
        "months",
        "rows of the district",
        "volume of the district",
        "counted volume",
    }
    assert [row for row in identities if row[1] != row[2]] == []


def test_each_of_218067_rows_is_consumption_or_has_its_reason_and_no_unit_of_volume_is_lost(
    santa_monica: Made, bills: list[Bill]
) -> None:
    expected = {b.line: "set_aside: period_after_year" if b.is_later else "consumption" for b in bills}
    assert outcomes(santa_monica.folder, "santa_monica") == expected
    by_hand = account(expected, {b.line: b.thousandths for b in bills})
    assert published_account(santa_monica.folder, "santa_monica") == by_hand
    assert by_hand == {
        "consumption": (155_588, 8_433_044_000),
        "set_aside: period_after_year": (62_479, 2_642_249_000),
    }


def test_every_row_of_consumption_says_what_the_line_of_the_file_says(santa_monica: Made, bills: list[Bill]) -> None:
    rows = query(
        santa_monica.folder,
        "SELECT source_row, district_account, meter_id, period_start, period_end, billed_volume, registered_volume, volume_unit "
        "FROM consumption",
    )
    expected = {
        (
            b.line,
            b.customer,
            b.city_class,
            b.period.start,
            b.period.end,
            *2 * (Decimal(b.thousandths).scaleb(-3),),
            "ccf",
        )
        for b in bills
        if not b.is_later
    }
    assert set(rows) == expected


def test_every_customer_is_a_service_or_known_to_have_no_sewer_or_begins_later(
    santa_monica: Made, bills: list[Bill]
) -> None:
    services = {s for (s,) in query(santa_monica.folder, "SELECT service_id FROM billing_basis")}
    unmatched = query(santa_monica.folder, "SELECT district_account, side, billed_volume FROM unmatched")
    no_sewer = {customer: volume for customer, side, volume in unmatched if side == "known_non_sewer"}
    irrigation = Counter[str]()
    by_now = {b.customer for b in bills if not b.is_later}
    for b in bills:
        if not b.is_later and f"S{b.customer}" not in services:
            assert b.city_class == "IRRIGATION"
            irrigation[b.customer] += b.thousandths
    assert {customer: int(volume * 1000) for customer, volume in no_sewer.items()} == irrigation
    later = {b.customer for b in bills} - by_now
    assert (len(services), len(no_sewer), len(later)) == (16_380, 188, 1_099)
    assert {s[1:] for s in services} | no_sewer.keys() == by_now


def test_every_winter_average_is_what_a_count_by_hand_gives(santa_monica: Made, bills: list[Bill]) -> None:
    now, before = averages_by_hand(bills, WINTER), averages_by_hand(bills, WINTER_BEFORE)
    expected = {}
    for customer, (customer_class, _) in santa_monica_services(bills).items():
        found, prior = now.get(customer), before.get(customer)
        own = Decimal(prior.hundredths).scaleb(-2) if prior and prior.days >= 90 else None
        if found and found.days >= 90:
            derivation, average = "computed", Decimal(found.hundredths).scaleb(-2)
        elif own is not None:
            derivation, average = "prior_year", own
        elif customer_class == "single_family":
            derivation, average = "default", Decimal(8)
        else:
            derivation, average = "held", None
        covered = (found.days, found.periods) if found else (0, 0)
        expected[f"S{customer}"] = (derivation, average, own, *covered)
    rows = query(
        santa_monica.folder,
        "SELECT service_id, derivation, winter_average, prior_average, days_covered, periods_counted FROM billing_basis",
    )
    assert {service: tuple(figures) for service, *figures in rows} == expected


def test_the_average_of_a_customer_can_be_worked_out_anew_from_its_explanation_alone(santa_monica: Made) -> None:
    known = query(santa_monica.folder, "SELECT service_id FROM winter_averages WHERE periods_counted > 0 ORDER BY 1")
    workspace = Workspace(santa_monica.folder)
    for (service,) in random.Random(9).sample(known, 50):  # noqa: S311
        explanation = json.loads(as_json(explain(workspace, SANTA_MONICA_YEAR, service)))
        (one,) = explanation["services"]
        check_average(explanation, one)
        assert {bill["status"] for bill in one["bills"]} == {"held"}


def test_no_bill_is_rated_with_the_rates_of_another_year(santa_monica: Made) -> None:
    states = query(santa_monica.folder, "SELECT DISTINCT status, amount, status_reason FROM bills")
    assert {(status, amount) for status, amount, _ in states} == {("held", None)}
    assert "no adopted schedule holds for fiscal year 2015-16" in {reason for *_, reason in states}


def test_the_oddities_known_to_be_in_the_file_are_all_found_in_it(bills: list[Bill]) -> None:
    counted = {words: len(rows) for words, rows in known_defects(bills).items()}
    assert counted == {
        "equal to an earlier row in every field": 2_810,
        "another row of the same customer and month": 23_696,
        "of the 908 customers with several classes": 32_475,
        "zero": 15_876,
        "9,999 or 10,000, which look like no reading": 3,
        "above ten times the customer's own median": 2_938,
        "the largest, 421,817 CCF": 1,
        "December to March of the one customer id 10281": 710,
        "July 2015, nearly missing": 96,
        "irrigation": 7_099,
    }


def test_equal_rows_are_other_meters_because_the_bills_before_and_after_have_as_many_rows(bills: list[Bill]) -> None:
    rows = Counter((b.customer, b.month) for b in bills)
    different = Counter((customer, month) for customer, month, _ in {(b.customer, b.month, b.text) for b in bills})
    kinds = Counter[str]()
    for b in repeated(bills, lambda b: b.text):
        here = (b.customer, b.month)
        beside = max(rows[b.customer, month_later(b.month, -2)], rows[b.customer, month_later(b.month, 2)])
        if not b.is_later:
            kinds["meters" if beside >= rows[here] else "repetition" if beside <= different[here] else "either"] += 1
    assert kinds == {"meters": 1_553, "either": 218, "repetition": 104}


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    connection = connected()
    yield connection
    connection.disconnect()


def test_an_entry_that_takes_equal_rows_for_duplicates_and_others_for_contradictions_accounts_for_every_row_too(
    santa_monica: Made, bills: list[Bill], con: Any
) -> None:
    strict = {"exact_duplicate": "duplicate", "same_period_other_values": "refuse"}
    said = yaml.safe_load(SANTA_MONICA_ENTRY) | strict
    expected = {b.line: "set_aside: period_after_year" if b.is_later else "consumption" for b in bills}
    again = repeated([b for b in bills if not b.is_later], lambda b: (b.customer, b.city_class, b.month, b.thousandths))
    expected |= {b.line: "duplicate: exact_duplicate" for b in again}
    taken = [b for b in bills if expected[b.line] == "consumption"]
    times = Counter((b.customer, b.city_class, b.month) for b in taken)
    contradicted = [b for b in taken if times[b.customer, b.city_class, b.month] > 1]
    expected |= {b.line: "refused: same_period_other_values" for b in contradicted}
    assert (len(again), len(contradicted)) == (2_819, 13_936)
    file = next((santa_monica.folder / "deliveries" / "2015" / "santa_monica").iterdir())
    year = Workspace(santa_monica.folder).year(2015)
    door = FrontDoor(
        con, District.model_validate(said), year, [DeliveredFile(file.name, "", file)], santa_monica.folder
    )
    try:
        found = dict.fromkeys(door["consumption"].source_row.to_pyarrow().to_pylist(), "consumption")
        left = door["rejected_rows"]
        became = (left.reason_kind + ": " + left.reason_code).name("became")
        refused = left.select(left.source_row, became).to_pyarrow()
        found |= dict(zip(refused["source_row"].to_pylist(), refused["became"].to_pylist(), strict=True))
    finally:
        door.close()
    assert found == expected


def uses_by_hand(readings: Iterable[Reading]) -> tuple[dict[int, str], list[Period]]:
    """Line -> what becomes of it; and the use of each period between two readings of which neither is below the other."""
    ended: dict[int, str] = {}
    series: dict[str, dict[tuple[Any, int], Reading]] = defaultdict(dict)
    for r in readings:
        if r is not series[r.account].setdefault((r.day, r.thousandths), r):
            ended[r.line] = "duplicate: exact_duplicate"
    periods = []
    for found in series.values():
        inorder = [found[key] for key in sorted(found)]
        ended[inorder[0].line] = "set_aside: opening_reading"
        for then, now in pairwise(inorder):
            use = now.thousandths - then.thousandths
            ended[now.line] = "consumption" if use >= 0 else "refused: reading_backward"
            if use >= 0:
                periods.append(Period(now.account, then.day, now.day, use))
    return ended, periods


@pytest.mark.parametrize(
    ("district", "readings", "ccf_per_unit", "steps_back"),
    [
        ("san_joan", san_joan_readings, CUBIC_METRES, 30),
        ("alicante", alicante_readings, LITRES, 1),
    ],
    ids=["san_joan", "alicante"],
)
def test_every_reading_is_use_or_opens_a_series_or_is_a_step_back_that_no_rollover_explains(
    registers: Made, district: str, readings: Any, ccf_per_unit: Fraction, steps_back: int
) -> None:
    delivered = readings()
    ended, periods = uses_by_hand(delivered)
    assert outcomes(registers.folder, district) == ended
    in_file = account(ended, {r.line: r.thousandths for r in delivered})
    assert published_account(registers.folder, district) == in_file

    back = backward_steps(delivered)
    assert len(back) == steps_back
    assert {now.line for _, now in back} == {line for line, became in ended.items() if became.startswith("refused")}
    used = query(
        registers.folder,
        "SELECT district_account, period_start, period_end, billed_volume, is_rollover FROM consumption WHERE district_id = ?",
        district,
    )
    assert set(used) == {(p.account, p.start, p.end, Decimal(p.thousandths).scaleb(-3), False) for p in periods}
    averages_are_by_hand(registers.folder, district, periods, ccf_per_unit)


def averages_are_by_hand(folder: Path, district: str, periods: list[Period], ccf_per_unit: Fraction) -> None:
    """Every service of the district has the average of its winter if 90 days of it are known, else the default."""
    by_hand = winter_averages(periods, *REGISTERS_WINTER, ccf_per_unit)
    published = query(
        folder,
        "SELECT service_id, derivation, winter_average, days_covered FROM billing_basis WHERE slice_id = ? ORDER BY 1",
        district,
    )
    expected = []
    for service_id, *_ in published:
        found = by_hand.get(service_id.removeprefix(f"S-{district}-"))
        if found and found.days >= 90:
            expected.append((service_id, "computed", Decimal(found.hundredths).scaleb(-2), found.days))
        else:
            expected.append((service_id, "default", Decimal(8), found.days if found else 0))
    assert published == expected
    assert {row[1] for row in published} >= {"computed"}


def test_alicantes_months_as_they_came_are_all_use_but_the_one_that_went_back(registers: Made) -> None:
    months = alicante_months()
    expected = {m.line: "consumption" if m.used >= 0 else "refused: volume_negative" for m in months}
    assert outcomes(registers.folder, "alicante_months") == expected
    by_hand = account(expected, {m.line: m.used * 1000 for m in months})
    assert published_account(registers.folder, "alicante_months") == by_hand
    assert by_hand["refused: volume_negative"] == (1, -2000)
    periods = [Period(m.account, m.month, month_later(m.month, 1), m.used * 1000) for m in months if m.used >= 0]
    averages_are_by_hand(registers.folder, "alicante_months", periods, LITRES)


def test_47_household_months_of_alicante_went_back_and_all_but_one_made_it_good_within_the_month() -> None:
    back = [m for m in alicante_months() if m.lowest_step < 0]
    assert len(back) == 47
    assert [(m.last - m.first, m.used) for m in back if m.last < m.first] == [(-2, -2)]
    worst = sorted(back, key=lambda m: m.lowest_step)[:2]
    assert [(m.lowest_step, m.used) for m in worst] == [(-248_520, 4_185), (-12_288, 6_896)]


def test_what_a_month_of_alicante_used_is_the_step_of_its_last_reading() -> None:
    by_household = defaultdict(list)
    for m in alicante_months():
        by_household[m.account].append(m)
    steps = [
        (now.last - before.last, now.used)
        for months in by_household.values()
        for before, now in pairwise(sorted(months, key=lambda m: m.month))
    ]
    assert len(steps) == 977
    assert [(step, used) for step, used in steps if step != used] == []
