"""Every average and every bill of the sample, computed a second time from the published consumption and the extract; and
the consumption of four districts read a second time from their files.

Belongs here: an independent reading and re-rating in fractions and decimals, that shares no code with the pipeline.
Does not belong here: any import of the project's own modules.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import astuple
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
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
            (a["district_account"], a["meter_id"], a["period_start"], a["period_end"]): Decimal(a["volume"])
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
        if covered >= 90 and volume[service_id] < 0:
            return "held", None
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


class Record(NamedTuple):
    """A record of a file as its district means it, volumes with the multiplier."""

    account: str
    meter: str
    register: str
    start: dt.date
    end: dt.date
    registered: Fraction
    billed: Fraction
    read_type: str


def date(text: str, date_format: str) -> dt.date:
    return dt.datetime.strptime(text, date_format).date()


Row = dict[str, str]


def elderwick_rows(folder: Path) -> Iterator[Row]:
    text = (folder / "elderwick_2019.csv").read_bytes().decode("cp1252")
    yield from csv.DictReader(io.StringIO(text), delimiter=";")


def elderwick(row: Row) -> Record:
    """Semicolons, cp1252, day first, decimal comma; the day of the read and the days before it."""
    end = date(row["Date de relevé"], "%d.%m.%Y")
    start = end - dt.timedelta(days=int(row["Jours"]))
    use = Fraction(row["Consommation m³"].replace(".", "").replace(",", "."))
    kind = {"Lue": "actual", "Estimée": "estimated", "Clôture": "final"}[row["Relève"]]
    return Record(row["Numéro d'abonné"], row["Compteur"], "", start, end, use, use, kind)


def foxglove_rows(folder: Path) -> Iterator[Row]:
    with zipfile.ZipFile(folder / "foxglove_2019.zip") as routes:
        for name in sorted(routes.namelist()):
            text = routes.read(name).decode("utf-8")
            assert text[0] == "\ufeff"
            yield from csv.DictReader(io.StringIO(text[1:], newline=""))


def foxglove(row: Row) -> Record:
    """A file per route in a zip, each begun by a mark; the bill of a month is for the month before."""
    end = date(row["Bill Month"], "%b %Y")
    start = (end - dt.timedelta(days=1)).replace(day=1)
    use = Fraction(row["Gallons"].replace(",", ""))
    kind = {"READ": "actual", "EST": "estimated", "FINAL": "final"}[row["Read"]]
    return Record(row["Customer"], row["Meter Serial"], "", start, end, use, use, kind)


def gorse_hollow_rows(folder: Path) -> Iterator[Row]:
    yield from csv.DictReader((folder / "gorse_hollow_2019.csv").read_text(encoding="utf-8").splitlines()[2:])


def gorse_hollow(row: Row) -> Record:
    """Billed and registered use with a multiplier, a minus after the number, a row for each register."""
    registered, billed = (
        Fraction(re.sub(r"^(.*)-$", r"-\1", row[name])) * int(row["Multiplier"])
        for name in ("Registered Use", "Billed Use")
    )
    if row["Unit"] not in ("CF", "CUFT"):
        raise ValueError(row["Unit"])
    start, end = (date(row[name], "%m/%d/%y") for name in ("Prev Read Date", "Curr Read Date"))
    kind = {"A": "actual", "E": "estimated", "F": "final"}[row["Type"]]
    return Record(row["Acct"], row["Meter"], row["Register"], start, end, registered, billed, kind)


def hazel_fen_rows(folder: Path) -> Iterator[Row]:
    space = {"": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(folder / "hazel_fen_2019_accounts.xlsx") as book:
        sheet_rows = ET.fromstring(book.read("xl/worksheets/sheet1.xml")).findall("sheetData/row", space)
    known = dict([text.text or "" for text in row.findall("c/is/t", space)] for row in sheet_rows[2:])
    names = ["account", "meter", "start", "end", "use", "kind", "size"]
    for line in (folder / "hazel_fen_2019.csv").read_text(encoding="utf-8").split("\n"):
        if line.startswith("D|"):
            row = dict(zip(names, line.split("|")[1:], strict=True))
            yield row | {"known": known.get(row["account"].rjust(9, "0"), "")}


def hazel_fen(row: Row) -> Record:
    """Typed lines between bars; account numbers with a check digit, which a workbook translates."""
    account = row["account"].rjust(9, "0")
    weighted = sum(int(digit) * weight for digit, weight in zip(account[:8], (3, 2, 7, 6, 5, 4, 3, 2), strict=True))
    if "0123456789X"[-weighted % 11] != account[8] or not row["known"]:
        raise ValueError(account)
    start, end = (date(row[name], "%d-%b-%Y") for name in ("start", "end"))
    kind = {"A": "actual", "E": "estimated", "F": "final"}[row["kind"]]
    return Record(row["known"], row["meter"], "", start, end, Fraction(row["use"]), Fraction(row["use"]), kind)


@pytest.mark.parametrize(
    ("rows_of", "record_of"),
    [
        (elderwick_rows, elderwick),
        (foxglove_rows, foxglove),
        (gorse_hollow_rows, gorse_hollow),
        (hazel_fen_rows, hazel_fen),
    ],
)
def test_the_published_consumption_is_what_a_second_reading_of_the_files_gives(
    sample: SampleRun, rows_of: Callable[[Path], Iterator[Row]], record_of: Callable[[Row], Record]
) -> None:
    name = record_of.__name__
    read, unusable = list[Record](), 0
    for row in rows_of(sample.folder / "deliveries" / str(SAMPLE_YEAR) / name):
        try:
            read.append(record_of(row))
        except ValueError:
            unusable += 1
    once = set(read)
    told = Counter(record[:5] for record in once)
    expected = Counter(
        (r.account, r.meter, r.start, r.end, r.registered, r.billed, r.read_type) for r in once if told[r[:5]] == 1
    )
    published = query(
        sample.folder,
        "SELECT district_account, meter_id, period_start, period_end, registered_volume, billed_volume, read_type "
        "FROM consumption WHERE billing_year = ? AND district_id = ?",
        SAMPLE_YEAR,
        name,
    )
    assert Counter((*row[:4], Fraction(row[4]), Fraction(row[5]), row[6]) for row in published) == expected
    left = query(
        sample.folder,
        "SELECT reason_kind, count(*) FROM rejected_rows WHERE billing_year = ? AND district_id = ? GROUP BY 1",
        SAMPLE_YEAR,
        name,
    )
    contradicting = len(once) - expected.total()
    assert dict(left) == {"refused": unusable + contradicting, "duplicate": len(read) - len(once)}
    assert min(unusable, contradicting, len(read) - len(once)) >= 2


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


def test_promise_2_every_bill_line_is_to_the_cent_what_an_independent_rating_gives(sample: SampleRun) -> None:
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
