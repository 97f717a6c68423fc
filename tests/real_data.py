"""Public consumption data taken through the whole pipeline: workspaces made from it, and tables of what became of it.

    python tests/real_data.py santa_monica DIR    makes the workspace DIR, runs its annual update, prints the tables in docs/real_data.md
    python tests/real_data.py registers DIR       the same of two sets of register readings, for docs/real_data.md

Belongs here: reading the data sets with nothing but the standard library, deriving a CIS extract from them, the tables.
Does not belong here: any import of the project's own modules; expectations (``test_real_data``).

The data lies beside the checkout and is not part of it. Why each entry says what it says: ``docs/real_data.md``.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median

from whole_runs import EXTRACT_HEADERS, ROOT, annual_billing, query

DATASETS = ROOT.parent / "shared" / "datasets"

CUBIC_METRES = 1_000_000 / Fraction(Decimal("16.387064")) / 172_800
"""A cubic metre in CCF: a cubic inch is 16.387064 cm3, and a CCF is 172,800 of them."""


@dataclass(frozen=True)
class Period:
    """A volume, in thousandths of the file's unit, used from the first day to before the second."""

    account: str
    start: dt.date
    end: dt.date
    thousandths: int


@dataclass(frozen=True)
class Average:
    """A winter average in hundredths of a CCF a month, the days it is known from, and how many periods."""

    hundredths: int
    days: int
    periods: int


def half_up(numerator: int, denominator: int) -> int:
    """The quotient of two numbers that are not below zero, to the nearest whole number, a half upwards."""
    return (2 * numerator + denominator) // (2 * denominator)


def winter_averages(
    periods: Iterable[Period], start: dt.date, end: dt.date, ccf_per_unit: Fraction = Fraction(1)
) -> dict[str, Average]:
    """Account -> average of the months from ``start`` to before ``end``, shared by days, from the days that are known."""
    pieces = defaultdict(list)
    for p in periods:
        begin, until = max(p.start, start), min(p.end, end)
        if begin < until:
            length = (p.end - p.start).days
            inside = half_up(p.thousandths * (until - p.start).days, length) - half_up(
                p.thousandths * (begin - p.start).days, length
            )
            pieces[p.account].append((begin, until, inside))
    months = (end.year - start.year) * 12 + end.month - start.month
    found = {}
    for account, parts in pieces.items():
        days, reached = 0, start
        for begin, until, _ in sorted(parts):
            days += max((until - max(begin, reached)).days, 0)
            reached = max(reached, until)
        volume = sum(inside for *_, inside in parts) * ccf_per_unit
        a_month = volume * (end - start).days * 100 / (1000 * days * months)
        found[account] = Average(half_up(a_month.numerator, a_month.denominator), days, len(parts))
    return found


@cache
def month_later(first: dt.date, months: int) -> dt.date:
    """The first day of the month that many months later."""
    count = first.year * 12 + first.month - 1 + months
    return dt.date(count // 12, count % 12 + 1, 1)


def write_workspace(
    folder: Path, name: str, districts: dict[str, tuple[str, bytes]], extracts: dict[int, dict[str, list[str]]]
) -> None:
    """A workspace with a CIS extract for each billing year, and in the last of them one file of each district.

    ``districts``: id -> entry, and the content of the file. ``extracts``: billing year -> sheet -> lines.
    """
    (folder / "districts").mkdir(parents=True)
    year = max(extracts)
    (folder / "workspace.yaml").write_text(
        f"name: {name}\nrate_tables: clean_water_services\nbilling_years: {sorted(extracts)}\n", encoding="utf-8"
    )
    for district, (entry, content) in districts.items():
        (folder / "districts" / f"{district}.yaml").write_text(entry, encoding="utf-8")
        delivered = folder / "deliveries" / str(year) / district / f"{district}.csv"
        delivered.parent.mkdir(parents=True)
        delivered.write_bytes(content)
    for of_year, sheets in extracts.items():
        extract = folder / "cis_extract" / str(of_year)
        extract.mkdir(parents=True)
        for sheet, header in EXTRACT_HEADERS.items():
            text = "\n".join([header, *sheets.get(sheet, [])]) + "\n"
            (extract / f"{sheet}.csv").write_text(text, encoding="utf-8")


def service(account: str, customer_class: str, since: dt.date, city: str, frequency: str) -> str:
    """A line of sewer_services: one dwelling that was there from the first day known of its water."""
    return f"S{account},A{account},P{account},{customer_class},1,1,1,{city},{city},{frequency},active,{since},,{since},district"


def _shown(cell: object) -> str:
    if isinstance(cell, Decimal):
        return f"{cell:,.0f}" if cell == cell.to_integral() else f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def markdown(header: list[str], rows: Iterable[Iterable[object]], numbers: Collection[int]) -> str:
    """A table; numbers with thousands separated, their columns set to the right."""
    rule = ["--:" if place in numbers else "---" for place in range(len(header))]
    texts = [[_shown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *texts])


# --- Santa Monica: bills of two months, without meter ids


SANTA_MONICA_YEAR = 2015
EFFECTIVE = dt.date(2015, 7, 1)
WINTER = (dt.date(2014, 11, 1), dt.date(2015, 5, 1))
WINTER_BEFORE = (dt.date(2013, 11, 1), dt.date(2014, 5, 1))

SANTA_MONICA_ENTRY = """\
# A bill every two months, named by its month. There are no meter ids, and a customer may have several meters: equal rows
# are other meters, and volumes of one month are added. The class of a row stands for the meter, because nothing else tells
# irrigation water from the rest. The file goes on after the billing year; what is later is set aside.
district: santa_monica
name: Santa Monica
write_to: water@santa-monica.example
files: "*.csv"
layout: {kind: delimited}
columns: {account: cust_id, meter: cust_class, bill_month: usage_date, volume: usage_ccf}
bill_month: {format: "%Y-%m-%d", months: 2, names: last_month}
volume: {unit: ccf}
billing_cycle: two_monthly
exact_duplicate: second_meter
same_period_other_values: add
after_effective_date: set_aside
"""

CLASSES = {
    "RESIDENTIAL_SINGLE": "single_family",
    "RESIDENTIAL_MULTI": "multi_family",
    "COMMERCIAL": "commercial",
    "INSTITUTIONAL": "institutional",
    "OTHER": "commercial",
}
IRRIGATION = "IRRIGATION"
SENTINELS = (9_999_000, 10_000_000)


@dataclass(frozen=True)
class Bill:
    """A row of Santa Monica's file, and the line it stands on."""

    line: int
    text: tuple[str, ...]
    customer: str
    city_class: str
    month: dt.date
    thousandths: int

    @property
    def period(self) -> Period:
        return Period(self.customer, month_later(self.month, -1), month_later(self.month, 1), self.thousandths)

    @property
    def is_later(self) -> bool:
        """Whether its period ends after the billing year's effective date."""
        return month_later(self.month, 1) > EFFECTIVE


def santa_monica_delivery() -> bytes:
    return gzip.decompress((DATASETS / "santa_monica_water_usage.csv.gz").read_bytes())


@cache
def santa_monica_bills() -> list[Bill]:
    """Every row of the file."""
    rows = csv.reader(santa_monica_delivery().decode("utf-8").splitlines())
    customer, ccf, city_class, month = map(next(rows).index, ("cust_id", "usage_ccf", "cust_class", "usage_date"))
    return [
        Bill(line, tuple(r), r[customer], r[city_class], dt.date.fromisoformat(r[month]), int(Decimal(r[ccf]) * 1000))
        for line, r in enumerate(rows, start=2)
    ]


def averages_by_hand(bills: Iterable[Bill], winter: tuple[dt.date, dt.date]) -> dict[str, Average]:
    """Customer -> winter average of all that is not irrigation."""
    return winter_averages((b.period for b in bills if b.city_class != IRRIGATION), *winter)


def santa_monica_services(bills: Iterable[Bill], effective: dt.date = EFFECTIVE) -> dict[str, tuple[str, dt.date]]:
    """Customer -> class and first day, of all who have water other than irrigation by the effective date of a year.

    Who had several classes is in the one that used most water; if none used any, in the one of most rows.
    """
    used: dict[str, Counter[str]] = defaultdict(Counter)
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    since: dict[str, dt.date] = {}
    for bill in bills:
        if bill.period.end <= effective and bill.city_class != IRRIGATION:
            used[bill.customer][bill.city_class] += bill.thousandths
            rows[bill.customer][bill.city_class] += 1
            since[bill.customer] = min(since.get(bill.customer, bill.period.start), bill.period.start)
    return {
        customer: (CLASSES[max(sorted(classes), key=lambda c: (classes[c], rows[customer][c]))], since[customer])
        for customer, classes in used.items()
    }


def santa_monica_extract(effective: dt.date) -> dict[str, list[str]]:
    """Sheet -> lines of a CIS extract that knows the rows up to the effective date of a year."""
    bills = santa_monica_bills()
    services = santa_monica_services(bills, effective)
    meters: dict[tuple[str, str], dt.date] = {}
    for bill in bills:
        if bill.period.end <= effective:
            key = (bill.customer, bill.city_class)
            meters[key] = min(meters.get(key, bill.period.start), bill.period.start)
    before = averages_by_hand(bills, WINTER_BEFORE)
    return {
        "sewer_services": [
            service(customer, customer_class, since, "santa_monica", "two_monthly")
            for customer, (customer_class, since) in services.items()
        ],
        "meter_links": [
            f"S{customer},santa_monica,{customer},{city_class},{'irrigation' if city_class == IRRIGATION else 'domestic'},1,{since},"
            for (customer, city_class), since in meters.items()
            if customer in services
        ],
        "non_sewer_accounts": [
            f"santa_monica,{customer},irrigation only"
            for customer in dict.fromkeys(customer for customer, _ in meters)
            if customer not in services
        ],
        "current_averages": [
            f"S{customer},{Decimal(average.hundredths).scaleb(-2)},ccf,2014-07-01"
            for customer, average in before.items()
            if customer in services and average.days >= 90
        ],
    }


def build_santa_monica(folder: Path) -> None:
    """The workspace: the file as it was published; CIS extracts derived from its rows up to July of this year and of the last."""
    entry = (SANTA_MONICA_ENTRY, santa_monica_delivery())
    extracts = {
        year: santa_monica_extract(dt.date(year, EFFECTIVE.month, EFFECTIVE.day))
        for year in (SANTA_MONICA_YEAR - 1, SANTA_MONICA_YEAR)
    }
    write_workspace(folder, "Santa Monica", {"santa_monica": entry}, extracts)


def outcomes(folder: Path, district: str) -> dict[int, str]:
    """Line of the delivered file -> ``consumption``, or kind and code of the reason why not."""
    rows = query(
        folder,
        "SELECT source_row, 'consumption' FROM consumption WHERE district_id = ? UNION ALL "
        "SELECT source_row, reason_kind || ': ' || reason_code FROM rejected_rows WHERE district_id = ?",
        district,
        district,
    )
    found = dict(rows)
    if len(found) != len(rows):
        raise AssertionError("a line of the file stands twice")
    return found


def repeated(bills: list[Bill], key: Callable[[Bill], object]) -> list[Bill]:
    """Rows whose key an earlier row has."""
    seen, again = set[object](), []
    for bill in bills:
        if key(bill) in seen:
            again.append(bill)
        seen.add(key(bill))
    return again


def placeholder_customer(bills: list[Bill]) -> str:
    """The customer id with the most rows: no single customer has hundreds of meters."""
    return Counter(b.customer for b in bills).most_common(1)[0][0]


def known_defects(bills: list[Bill]) -> dict[str, list[Bill]]:
    """What is known to be odd in the file, in words -> its rows."""
    volumes, classes = defaultdict(list), defaultdict(set)
    for bill in bills:
        volumes[bill.customer].append(bill.thousandths)
        classes[bill.customer].add(bill.city_class)
    usual = {customer: max(median(all_of), 1000) for customer, all_of in volumes.items()}
    several = {customer for customer, all_of in classes.items() if len(all_of) > 1}
    largest = max(bills, key=lambda b: b.thousandths)
    placeholder, winter = placeholder_customer(bills), (dt.date(2014, 12, 1), dt.date(2015, 3, 1))
    return {
        "equal to an earlier row in every field": repeated(bills, lambda b: b.text),
        "another row of the same customer and month": repeated(bills, lambda b: (b.customer, b.month)),
        f"of the {len(several):,} customers with several classes": [b for b in bills if b.customer in several],
        "zero": [b for b in bills if b.thousandths == 0],
        "9,999 or 10,000, which look like no reading": [b for b in bills if b.thousandths in SENTINELS],
        "above ten times the customer's own median": [b for b in bills if b.thousandths > 10 * usual[b.customer]],
        f"the largest, {largest.thousandths // 1000:,} CCF": [largest],
        f"December to March of the one customer id {placeholder}": [
            b for b in bills if b.customer == placeholder and winter[0] <= b.month <= winter[1]
        ],
        "July 2015, nearly missing": [b for b in bills if b.month == dt.date(2015, 7, 1)],
        "irrigation": [b for b in bills if b.city_class == IRRIGATION],
    }


REPEATS = ("period.several_figures", "account.many_meters")
FOUND_BY = (
    REPEATS,
    REPEATS,
    ("service.class_changed", "extract.changed", "meter.changed_out"),
    ("use.zero_run", "history.vacant_in_winter"),
    ("use.placeholder",),
    ("use.high", "use.tenfold"),
    ("use.high", "use.tenfold"),
    ("account.many_meters",),
    (),
    (),
)
"""The rules that find each of the known defects, in their order. July 2015 is a later year's; irrigation is linked as such."""


def santa_monica_findings(folder: Path) -> str:
    """What rules find: by rule and severity, and the twenty services whose average hangs most on a finding."""
    services, to_review = query(
        folder,
        "SELECT count(*), count(*) FILTER (service_id IN (SELECT service_id FROM findings WHERE severity <> 'info')) "
        "FROM sewer_services",
    )[0]
    rules = query(
        folder,
        "SELECT rule_id, severity, count(DISTINCT service_id) FROM findings WHERE service_id <> '' GROUP BY rule_id, severity "
        "ORDER BY severity = 'info', 3 DESC, 1",
    )
    shares = [[*row, f"{100 * row[2] / services:.2f} %"] for row in rules]
    shares.append(["any", "review or must_decide", to_review, f"{100 * to_review / services:.2f} %"])
    worst = query(
        folder,
        "SELECT service_id, winter_average, other_average, message FROM worklist JOIN findings USING (finding_id, service_id) "
        "WHERE other_average IS NOT NULL QUALIFY row_number() OVER (PARTITION BY service_id ORDER BY abs(winter_average - "
        "other_average) DESC, finding_id) = 1 ORDER BY abs(winter_average - other_average) DESC, service_id LIMIT 20",
    )
    return "\n\n".join([
        markdown(["rule", "severity", "services", "share"], shares, {2, 3}),
        markdown(["service", "CCF a month now", "the other way", "why a person should look"], worst, {1, 2}),
    ])  # fmt: skip


def santa_monica_table(folder: Path) -> str:
    """What became of the file, from the published database: rows and volume by reason, services, known oddities, findings."""
    bills = santa_monica_bills()
    ended = outcomes(folder, "santa_monica")
    rows, volume = Counter[str](), Counter[str]()
    for bill in bills:
        rows[ended[bill.line]] += 1
        volume[ended[bill.line]] += bill.thousandths
    kinds = ["consumption", *sorted(set(rows) - {"consumption"})]
    became = [[kind, rows[kind], Decimal(volume[kind]).scaleb(-3)] for kind in kinds]
    total = Decimal(volume.total()).scaleb(-3)
    services = query(
        folder,
        "SELECT derivation, count(*), coalesce(sum(prior_average), 0), coalesce(sum(winter_average), 0) FROM billing_basis "
        "WHERE billing_year = ? GROUP BY ROLLUP (derivation) ORDER BY derivation NULLS LAST",
        SANTA_MONICA_YEAR,
    )
    by_rule, reviewed = defaultdict(set), set[str]()
    for rule, severity, service_id in query(folder, "SELECT rule_id, severity, service_id FROM findings"):
        by_rule[rule].add(service_id)
        if severity != "info":
            reviewed.add(service_id)
    odd = []
    for (words, found), finders in zip(known_defects(bills).items(), FOUND_BY, strict=True):
        services_found = set[str]().union(*(by_rule[rule] for rule in finders))
        taken = Counter(f"S{b.customer}" for b in found if ended[b.line] == "consumption")
        odd.append([
            words, len(found), *(sum(1 for b in found if ended[b.line] == kind) for kind in kinds),
            sum(rows for s, rows in taken.items() if s in services_found),
            sum(rows for s, rows in taken.items() if s in reviewed), ", ".join(finders),
        ])  # fmt: skip
    largest = max(bills, key=lambda b: b.thousandths)
    averages = {
        s: figures
        for s, *figures in query(folder, "SELECT service_id, prior_average, winter_average FROM billing_basis")
    }
    reasons = {placeholder_customer(bills): "a customer id that stands for many"} | {
        b.customer: f"a bill of {b.thousandths // 1000:,} CCF in {b.month:%B %Y}"
        for b in bills
        if (b is largest or b.thousandths in SENTINELS) and ended[b.line] == "consumption"
    }
    oddest = [[f"S{customer}", reason, *averages[f"S{customer}"]] for customer, reason in reasons.items()]
    return "\n\n".join([
        markdown(["what became of the rows", "rows", "CCF"], [*became, ["all of the file", rows.total(), total]], {1, 2}),
        markdown(
            ["how the winter average came about", "services", "CCF a month before", "CCF a month now"],
            [[derivation or "all services", *figures] for derivation, *figures in services],
            {1, 2, 3},
        ),
        markdown(
            ["rows that are known to be odd", "rows", *kinds, "flagged", "to review", "flagged by"],
            odd, range(1, 4 + len(kinds)),
        ),
        markdown(["service", "what its average holds", "CCF a month before", "CCF a month now"], oddest, {2, 3}),
        santa_monica_findings(folder),
    ])  # fmt: skip


# --- Register readings: San Joan in cubic metres and quarters, Alicante in litres and months


REGISTERS_YEAR = 2017
REGISTERS_WINTER = (dt.date(2016, 11, 1), dt.date(2017, 5, 1))

SAN_JOAN_ENTRY = """\
# Readings every quarter, all since 1993. No register shows more than four digits; a household uses far below 500 m3 in a
# quarter, so a larger step back is no register that went round.
district: san_joan
name: San Joan
write_to: water@san-joan.example
files: "*.csv"
layout: {kind: delimited, delimiter: ";"}
measure: {gives: register_readings, dials: 4, rollover_at_most: "500"}
columns: {account: user key, read_date: date, reading: consumption}
volume: {unit: m3}
billing_cycle: quarterly
"""

ALICANTE_ENTRY = """\
# Two readings a month, the first and the last of a remote register in litres. Seven digits hold the largest; 100 m3 between
# two readings is far above what a household uses.
district: alicante
name: Alicante
write_to: water@alicante.example
files: "*.csv"
layout: {kind: delimited}
measure: {gives: register_readings, dials: 7, rollover_at_most: "100000"}
columns: {account: household, read_date: read_date, reading: litres}
volume: {unit: litre}
billing_cycle: monthly
"""

ALICANTE_MONTHS_ENTRY = """\
# The same file as it came: what each month used, without the readings.
district: alicante_months
name: Alicante, by month
write_to: water@alicante.example
files: "*.csv"
layout: {kind: delimited}
columns: {account: user.key, bill_month: month, volume: sum_diff_litres}
bill_month: {format: "%Y-%m", months: 1, names: last_month}
volume: {unit: litre, negative: refuse}
billing_cycle: monthly
"""


@dataclass(frozen=True)
class Reading:
    """What a register showed on a day, and the line of the delivered file that says so."""

    line: int
    account: str
    day: dt.date
    thousandths: int


def san_joan_delivery() -> bytes:
    return (DATASETS / "daiad_san_joan_quarterly_reads.csv").read_bytes()


def san_joan_readings() -> list[Reading]:
    """Every row of the file."""
    rows = csv.reader(san_joan_delivery().decode("utf-8").splitlines()[1:], delimiter=";")
    return [
        Reading(line, account, dt.date.fromisoformat(day), int(reading) * 1000)
        for line, (account, day, reading) in enumerate(rows, start=2)
    ]


@dataclass(frozen=True)
class HouseholdMonth:
    """A row of Alicante's file: the first and last reading of a month, what its hours add to, and its lowest hour."""

    line: int
    account: str
    month: dt.date
    first: int
    last: int
    used: int
    lowest_step: int


def alicante_months() -> list[HouseholdMonth]:
    """Every row of the file."""
    text = (DATASETS / "daiad_alicante_monthly_registers.csv").read_text(encoding="utf-8")
    return [
        HouseholdMonth(line, r["user.key"], dt.date.fromisoformat(f"{r['month']}-01"),
                       *(int(Decimal(r[n])) for n in ("first_read", "last_read", "sum_diff_litres", "min_diff")))
        for line, r in enumerate(csv.DictReader(text.splitlines()), start=2)
    ]  # fmt: skip


def alicante_readings() -> list[Reading]:
    """Two readings for each row: the first on the month's first day, the last on its last day."""
    found: list[Reading] = []
    for m in alicante_months():
        for day, litres in ((m.month, m.first), (month_later(m.month, 1) - dt.timedelta(1), m.last)):
            found.append(Reading(len(found) + 2, m.account, day, litres * 1000))
    return found


def backward_steps(readings: Iterable[Reading]) -> list[tuple[Reading, Reading]]:
    """Readings that are lower than the one before them, each after that one; of equal rows the first."""
    by_account: dict[str, dict[tuple[dt.date, int], Reading]] = defaultdict(dict)
    for r in readings:
        by_account[r.account].setdefault((r.day, r.thousandths), r)
    return [
        (then, now)
        for series in by_account.values()
        for then, now in pairwise(series[key] for key in sorted(series))
        if now.thousandths < then.thousandths
    ]


def build_registers(folder: Path) -> None:
    """The workspace of both sets: each household is a service; Alicante's are there twice, by readings and by months."""
    readings = {
        "san_joan": san_joan_readings(),
        "alicante": alicante_readings(),
    }
    readings["alicante_months"] = readings["alicante"]
    lines = [f"{r.account},{r.day},{r.thousandths // 1000}" for r in readings["alicante"]]
    districts = {
        "san_joan": (SAN_JOAN_ENTRY, san_joan_delivery()),
        "alicante": (ALICANTE_ENTRY, "\n".join(["household,read_date,litres", *lines, ""]).encode()),
        "alicante_months": (
            ALICANTE_MONTHS_ENTRY,
            (DATASETS / "daiad_alicante_monthly_registers.csv").read_bytes(),
        ),
    }
    services, links = [], []
    for district, all_of in readings.items():
        since = {r.account: r.day for r in sorted(all_of, key=lambda r: r.day, reverse=True)}
        for account, day in since.items():
            services.append(service(f"-{district}-{account}", "single_family", day, district, "two_monthly"))
            links.append(f"S-{district}-{account},{district},{account},,domestic,1,{day},")
    sheets = {"sewer_services": services, "meter_links": links}
    write_workspace(folder, "Register readings", districts, {REGISTERS_YEAR: sheets})


def registers_table(folder: Path) -> str:
    """What became of the readings, and of each step back, from the published database."""
    became = query(
        folder,
        "SELECT district_id, outcome, count(*) FROM ("
        "SELECT district_id, CASE WHEN is_rollover THEN 'consumption, rollover' ELSE 'consumption' END AS outcome FROM consumption "
        "UNION ALL SELECT district_id, reason_kind || ': ' || reason_code FROM rejected_rows) "
        "GROUP BY 1, 2 ORDER BY district_id <> 'san_joan', 1, 2",
    )
    ended = outcomes(folder, "san_joan")
    steps = sorted(backward_steps(san_joan_readings()), key=lambda s: (s[1].day, s[1].account))
    shown = [
        [then.account[:8], then.day, then.thousandths // 1000, now.day, now.thousandths // 1000,
         10_000 + (now.thousandths - then.thousandths) // 1000, ended[now.line]]
        for then, now in steps
    ]  # fmt: skip
    by_readings, by_months = outcomes(folder, "alicante"), outcomes(folder, "alicante_months")
    within = Counter(
        (
            "the month's last reading is below its first"
            if m.last < m.first
            else "between readings within the month only",
            by_readings[2 * m.line - 1],
            by_months[m.line],
        )
        for m in alicante_months()
        if m.lowest_step < 0
    )
    backward = [[words, count, *became_of] for (words, *became_of), count in sorted(within.items())]
    return "\n\n".join([
        markdown(["district", "what became of the rows", "rows"], became, {2}),
        markdown(["San Joan", "read", "m3", "read", "m3", "use if it had gone round", "what became of it"], shown, {2, 4, 5}),
        markdown(["Alicante: where the register went back", "household-months", "its last reading", "the month's use"], backward, {1}),
    ])  # fmt: skip


SETS: dict[str, tuple[Callable[[Path], None], int, Callable[[Path], str]]] = {
    "santa_monica": (build_santa_monica, SANTA_MONICA_YEAR, santa_monica_table),
    "registers": (build_registers, REGISTERS_YEAR, registers_table),
}


def main(name: str, folder: str) -> int:
    """Make the workspace, run its year, print what became of the data."""
    build, year, table = SETS[name]
    build(Path(folder))
    ran = annual_billing("run", year, "--workspace", folder)
    if ran.code:
        print(ran.err, file=sys.stderr)
        return ran.code
    print(table(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
