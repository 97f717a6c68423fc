"""Every average and every bill of the sample, computed a second time from the published consumption and the extract.

Belongs here: an independent re-rating in fractions and decimals, that shares no code with the pipeline.
Does not belong here: any import of the project's own modules.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections import defaultdict
from dataclasses import astuple
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from decimal_rating import bill
from whole_runs import ROOT, SAMPLE_YEAR, SampleRun, query

# A cubic inch is 16.387064 cm3 and a US gallon 231 of them; a CCF is 172,800.
CCF_PER = {
    "ccf": Fraction(1),
    "cf": Fraction(1, 100),
    "gal": Fraction(231, 172_800),
    "hundred_gal": Fraction(23_100, 172_800),
    "thousand_gal": Fraction(231_000, 172_800),
    "m3": Fraction(1_000_000) / Fraction(Decimal("16.387064")) / 172_800,
}
START, END = dt.date(SAMPLE_YEAR - 1, 11, 1), dt.date(SAMPLE_YEAR, 5, 1)
SIGN = {"domestic": 1, "deduct": -1, "make_up": -1, "blow_down": 1, "irrigation": 0, "fire": 0}


def half_up(value: Fraction) -> int:
    """To the nearest whole number, a half away from zero."""
    size = int(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def sheet(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "cis_extract" / str(SAMPLE_YEAR) / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def day(text: str, otherwise: dt.date) -> dt.date:
    return dt.date.fromisoformat(text) if text else otherwise


def expected_basis(folder: Path) -> dict[str, tuple[str, Decimal | None]]:
    """Service -> derivation and winter average in CCF a month."""
    services = {s["service_id"]: s for s in sheet(folder, "sewer_services")}
    prior = {a["service_id"]: a for a in sheet(folder, "current_averages")}
    links = defaultdict(list)
    shares: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for link in sorted(sheet(folder, "meter_links"), key=lambda x: (x["link_start"], x["service_id"])):
        meter = (link["district_id"], link["district_account"], link["meter_id"], link["purpose"])
        begin = shares[meter]
        shares[meter] += Decimal(link["share"])
        links[link["district_id"], link["district_account"]].append((link, begin, shares[meter]))
    with (folder / "adjustments" / f"{SAMPLE_YEAR}.csv").open(encoding="utf-8") as file:
        adjusted = {
            (a["district_account"], a["meter_id"], a["period_start"], a["period_end"]): Decimal(a["adjusted_volume"])
            for a in csv.DictReader(file)
        }

    days: dict[str, set[dt.date]] = defaultdict(set)
    volume: dict[str, Fraction] = defaultdict(Fraction)
    touched = set()
    rows = query(
        folder,
        "SELECT district_id, district_account, meter_id, period_start, period_end, billed_volume, volume_unit "
        "FROM consumption WHERE billing_year = ? AND period_end > ? AND period_start < ?",
        SAMPLE_YEAR, START, END,
    )  # fmt: skip
    for district, account, meter, period_start, period_end, billed, unit in rows:
        for link, share_from, share_to in links[district, account]:
            service = services[link["service_id"]]
            if link["meter_id"] not in ("", meter) or SIGN[link["purpose"]] == 0:
                continue
            begin = max(period_start, START, day(link["link_start"], START), day(service["service_start"], START),
                        day(service["occupant_since"], dt.date.max))  # fmt: skip
            end = min(period_end, END, day(link["link_end"], END), day(service["service_end"], END))
            if end <= begin:
                continue
            entry = adjusted.get((account, meter, str(period_start), str(period_end)))
            thousandths = int((billed if entry is None else entry) * 1000)
            length = (period_end - period_start).days
            inside = half_up(Fraction(thousandths * (end - period_start).days, length)) - half_up(
                Fraction(thousandths * (begin - period_start).days, length)
            )
            part = half_up(inside * Fraction(share_to)) - half_up(inside * Fraction(share_from))
            volume[link["service_id"]] += SIGN[link["purpose"]] * Fraction(part, 1000) * CCF_PER[unit]
            if entry is not None:
                touched.add(link["service_id"])
            if link["purpose"] == "domestic":
                days[link["service_id"]] |= {begin + dt.timedelta(n) for n in range((end - begin).days)}

    def derived(service_id: str, service: dict[str, str]) -> tuple[str, Decimal | None]:
        before = prior.get(service_id)
        average_before = Decimal(before["winter_average"]) if before else None
        ends = day(service["service_end"], dt.date.max)
        if (
            service["status"] == "closed"
            or ends <= dt.date(SAMPLE_YEAR, 7, 1)
            or service["volume_source"] == "wholesale"
        ):
            return "excluded", None
        if service["volume_source"] != "district" and before:
            return "prior_year", average_before
        covered = len(days[service_id])
        if covered >= 90:
            average = volume[service_id] * 181 / (covered * 6)
            hundredths = max(half_up(average * 100), 0)
            return "adjusted" if service_id in touched else "computed", Decimal(hundredths).scaleb(-2)
        own = before and day(service["occupant_since"], dt.date.min) <= dt.date.fromisoformat(before["effective_date"])
        if own:
            return "prior_year", average_before
        if service["customer_class"] == "single_family":
            return "default", Decimal(8)
        return "held", None

    return {service_id: derived(service_id, service) for service_id, service in services.items()}


def test_every_winter_average_is_what_an_independent_computation_gives(sample: SampleRun) -> None:
    published = {
        row[0]: row[1:]
        for row in query(
            sample.folder,
            "SELECT service_id, derivation, winter_average FROM billing_basis WHERE billing_year = ?",
            SAMPLE_YEAR,
        )
    }
    expected = expected_basis(sample.folder)
    assert len(expected) > 1900
    differing = {s: (published.get(s), e) for s, e in expected.items() if published.get(s) != e}
    assert not differing
    assert published.keys() == expected.keys()


def test_every_bill_line_is_to_the_cent_what_an_independent_rating_gives(sample: SampleRun) -> None:
    text = (ROOT / "rate_tables" / "clean_water_services" / f"{SAMPLE_YEAR}-07-01.yaml").read_text(encoding="utf-8")
    schedule: dict[str, Any] = yaml.safe_load(text)
    services = {s["service_id"]: s for s in sheet(sample.folder, "sewer_services")}
    expected = set()
    for service_id, (_, average) in expected_basis(sample.folder).items():
        if average is None:
            continue
        service = services[service_id]
        rated = service | {"edu": Decimal(service["edu"]), "esu": Decimal(service["esu"]), "volume": average}
        expected |= {
            (service_id, code, tier, *astuple(line)) for (code, tier), line in bill(schedule, rated, "ccf").items()
        }
    assert len(expected) > 5700
    lines = query(
        sample.folder,
        "SELECT service_id, charge_code, tier, quantity, rate, amount, regional_amount, local_amount FROM bill_lines "
        "WHERE billing_year = ?",
        SAMPLE_YEAR,
    )
    assert set(lines) == expected
    assert len(lines) == len(expected)
    bills = query(
        sample.folder,
        "SELECT service_id FROM bills b WHERE billing_year = ? AND amount IS DISTINCT FROM "
        "(SELECT sum(amount) FROM bill_lines l WHERE l.billing_year = b.billing_year AND l.service_id = b.service_id)",
        SAMPLE_YEAR,
    )
    assert bills == []
    year = query(
        sample.folder,
        "SELECT service_id FROM bills WHERE billing_year = ? AND bills_in_period * "
        "(CASE billing_frequency WHEN 'monthly' THEN 1 WHEN 'two_monthly' THEN 2 END) <> 12",
        SAMPLE_YEAR,
    )
    assert year == []
