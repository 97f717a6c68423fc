"""The simulation: same seed same bytes, every scenario there, files as the registry announces, nothing else touched."""

from __future__ import annotations

import csv
import datetime as dt
import fnmatch
import hashlib
import io
import itertools
import re
import shutil
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pytest
from python_calamine import CalamineWorkbook

from assets.engine import connected
from assets.front_door import DeliveredFile, FrontDoor
from pipelines.simulation import SCENARIO_NAMES, simulate
from rate_tables.config_file import ConfigError
from rate_tables.volume_units import SIZE_8NL
from validations.district import District, RegisterReadings
from validations.layout import AtCharacters, Delimited, FixedWidth, Workbook
from validations.workspace import SAMPLE, Workspace

YEARS = (2017, 2018, 2019)
MADE = ("deliveries", "cis_extract", "adjustments", "truth")

Rows = list[dict[str, str]]


def rows_of(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def copy_of_sample(folder: Path) -> Path:
    """What a person wrote of the sample workspace, without what runs made in it."""
    folder.mkdir()
    for name in ("workspace.yaml", "simulation.yaml"):
        shutil.copy(SAMPLE / name, folder / name)
    shutil.copytree(SAMPLE / "districts", folder / "districts")
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The sample's ordinary life, without irregular use."""
    folder = copy_of_sample(tmp_path_factory.mktemp("simulation") / "sample")
    simulate(folder, irregular_percent=Decimal(0))
    return Workspace(folder)


def delivery(workspace: Workspace, billing_year: int, entry: District) -> Path:
    """The one file of a delivery; beside it there may be a cross-reference sheet."""
    (path,) = (path for path in delivered(workspace, billing_year, entry) if "_accounts" not in path.name)
    return path


def delivered(workspace: Workspace, billing_year: int, entry: District) -> list[Path]:
    folder = workspace.folder / "deliveries" / str(billing_year) / entry.district
    pattern = entry.files.replace("{year}", str(billing_year))
    return [path for path in sorted(folder.iterdir()) if fnmatch.fnmatch(path.name, pattern)]


def texts(workspace: Workspace, billing_year: int, entry: District) -> dict[str, str]:
    """File, or member of a zip -> its text."""
    path, encoding = delivery(workspace, billing_year, entry), entry.layout.encoding  # type: ignore[union-attr]
    if entry.zip_members is None:
        return {path.name: path.read_bytes().decode(encoding)}
    with zipfile.ZipFile(path) as members:
        return {f"{path.name}/{name}": members.read(name).decode("utf-8-sig") for name in members.namelist()}


def header_of(lines: Iterator[list[str]], layout: Delimited) -> list[str]:
    for _ in range(layout.header_row - 1):
        next(lines)
    upper = [next(lines) for _ in range(layout.header_lines)]
    for row in upper[:-1]:
        for place in range(1, len(row)):
            row[place] = row[place] or row[place - 1] * layout.header_repeats
    return [" ".join(filter(None, parts)) for parts in zip(*upper, strict=True)]


def records(workspace: Workspace, billing_year: int, entry: District) -> Rows:
    """The records of a text delivery by the entry's names for the columns, and ``file``."""
    named, found = entry.columns.named(), []
    for name, text in texts(workspace, billing_year, entry).items():
        if isinstance(entry.layout, FixedWidth):
            for line in text.splitlines():
                if line.startswith(entry.layout.record_prefix):
                    cut = {k: line[r.start - 1 :][: r.width] for k, r in named.items() if isinstance(r, AtCharacters)}
                    found.append({k: part.strip() for k, part in cut.items()} | {"file": name})
            continue
        assert isinstance(entry.layout, Delimited)
        quoting: Any = csv.QUOTE_NONE if entry.layout.quotes == "none" else csv.QUOTE_MINIMAL
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=entry.layout.delimiter, quoting=quoting)
        header = header_of(rows, entry.layout)
        for row in rows:
            if entry.layout.delimiter.join(row).startswith(entry.layout.record_prefix):
                assert len(row) == len(header)
                found.append({k: row[header.index(str(r))] for k, r in named.items()} | {"file": name})
    return found


def cross_reference(workspace: Workspace, billing_year: int, entry: District) -> dict[str, str]:
    """Delivered account number -> the one that the CIS knows, as the sheet beside the delivery says."""
    (path,) = (path for path in delivered(workspace, billing_year, entry) if "_accounts" in path.name)
    title, _, header, *rows = (
        CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python(skip_empty_area=False)
    )
    assert (title[0], header) == (entry.name, ["Our Number", "Sewer Utility's Number"])
    return {str(own): str(known) for own, known in rows}


def known_account(workspace: Workspace, billing_year: int, entry: District) -> Callable[[str], str]:
    """From an account in a file to the one that the CIS knows; what the sheet does not name stays as it is."""
    width = entry.account_numbers.width or 0
    if entry.account_numbers.cross_reference is None:
        return lambda text: text
    sheet = cross_reference(workspace, billing_year, entry)
    return lambda text: sheet.get(text.zfill(width), text)


def number(text: str, entry: District) -> Decimal:
    """A volume as the entry says that it is written."""
    volume = entry.volume
    plain = text.replace(volume.thousands_mark, "") if volume.thousands_mark else text
    plain = plain.replace(volume.decimal_mark, ".")
    if volume.minus == "after" and plain.endswith("-"):
        plain = f"-{plain[:-1]}"
    return Decimal(plain).scaleb(-volume.implied_decimals)


def period(row: dict[str, str], entry: District) -> tuple[dt.date, dt.date]:
    """First day, and first day after."""

    def date(text: str, date_format: str = entry.date_format) -> dt.date:
        return dt.datetime.strptime(text, date_format).date()

    if entry.bill_month is not None:
        assert (entry.bill_month.names, entry.bill_month.months) == ("month_after", 1)
        after = date(row["bill_month"], entry.bill_month.format)
        return (after - dt.timedelta(days=1)).replace(day=1), after
    if "days" in row:
        end = date(row["read_date"])
        return end - dt.timedelta(days=int(row["days"])), end
    more = dt.timedelta(days=1 if entry.period_end_is == "last_day" else 0)
    return date(row["period_start"]), date(row["period_end"]) + more


def registered(workspace: Workspace) -> list[District]:
    return list(workspace.districts.values())


def injected(workspace: Workspace, district_id: str, billing_year: int | None = None) -> Rows:
    """What was put into a district's files on purpose."""
    rows = rows_of(workspace.folder / "truth" / "injected_rows.csv")
    return [r for r in rows if r["district_id"] == district_id and r["year"] in (str(billing_year or r["year"]))]


def played(workspace: Workspace, billing_year: int, scenario: str) -> set[str]:
    """Accounts of those that play it."""
    rows = rows_of(workspace.folder / "truth" / f"{billing_year}.csv")
    return {row["district_account"] for row in rows if row["scenario"] == scenario}


def irregular(workspace: Workspace, billing_year: int) -> Rows:
    """What the rules have to find."""
    return rows_of(workspace.folder / "truth" / f"irregular_{billing_year}.csv")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        folder = copy_of_sample(tmp_path / name)
        simulate(folder, accounts=200, seed=seed)
        made.append(fingerprint(folder))
    assert made[0] == made[1]
    deliveries = [{k: v for k, v in one.items() if k.startswith("deliveries")} for one in made]
    assert len(deliveries[0]) == 27
    assert all(deliveries[0][name] != deliveries[2][name] for name in deliveries[0])


def test_every_scenario_occurs_even_with_few_services(tmp_path: Path) -> None:
    folder = copy_of_sample(tmp_path / "few")
    summary = simulate(folder, accounts=200, seed=5)
    scenarios = {row["scenario"] for year in YEARS for row in rows_of(folder / "truth" / f"{year}.csv")}
    assert scenarios == set(SCENARIO_NAMES)
    faults = {row["fault"] for row in rows_of(folder / "truth" / "injected_rows.csv")}
    assert faults == {
        "exact_duplicate", "bad_date", "text_in_volume", "same_period_other_values", "unmatched_account", "lost_zeros",
        "overlapping_row", "unknown_unit", "wrong_check_digit", "not_in_cross_reference",
    }  # fmt: skip
    assert (summary.services, summary.districts, summary.delivered_files) == (200, 8, 27)
    assert all(len(rows_of(folder / "adjustments" / f"{year}.csv")) >= 2 for year in YEARS)


def test_fixed_width_lines_and_trailer_are_as_announced(sample: Workspace) -> None:
    entry = sample.districts["dunmore"]
    assert isinstance(entry.layout, FixedWidth)
    assert entry.trailer is not None
    for year in YEARS:
        *lines, trailer = delivery(sample, year, entry).read_text().splitlines()
        assert {len(line) for line in lines} == {entry.layout.record_length}
        count, total = entry.trailer.count, entry.trailer.total
        volumes = [row["volume"] for row in records(sample, year, entry)]
        assert trailer.startswith(entry.trailer.prefix)
        assert int(trailer[count.start - 1 : count.start - 1 + count.width]) == len(lines) == len(volumes)
        readable = sum(int(text) for text in volumes if text != "n/a")
        assert int(trailer[total.start - 1 : total.start - 1 + total.width]) == readable


def test_usage_periods_follow_each_other_through_all_years_and_layouts(sample: Workspace) -> None:
    for name in ("alder_creek", "dunmore", "elderwick", "foxglove", "gorse_hollow", "hazel_fen"):
        faulty = {row["district_account"] for row in injected(sample, name)}
        absent = set.union(*(played(sample, year, "unmatched_service") for year in YEARS))
        by_meter = defaultdict(list)
        codes = set()
        for year in YEARS:
            entry = sample.district(name, year)
            known = known_account(sample, year, entry)
            for row in records(sample, year, entry):
                if known(row["account"]) not in faulty | absent:
                    by_meter[row["meter"], row.get("register_id")].append(period(row, entry))
                    codes.add(entry.read_types[row["read_type"]])
        assert len(by_meter) > 200
        for periods in by_meter.values():
            assert all(start < end for start, end in periods)
            assert all(one[1] == other[0] for one, other in itertools.pairwise(periods))
        assert codes == {"actual", "estimated", "final"}


@pytest.mark.parametrize("name", ["alder_creek", "elderwick", "foxglove", "gorse_hollow", "hazel_fen"])
def test_what_a_file_says_of_a_plain_winter_is_the_true_average_that_the_cis_has_a_year_later(
    sample: Workspace, name: str
) -> None:
    """A reader of its own: registered volumes by days within November to April, against the truth rounded to a hundredth of a CCF."""
    compared = 0
    for year in YEARS[:-1]:
        entry, opens, closes = sample.district(name, year), dt.date(year - 1, 11, 1), dt.date(year, 5, 1)
        links = defaultdict(list)
        for row in rows_of(sample.cis_extract(year + 1) / "meter_links.csv"):
            links[row["service_id"]].append(row)
        special = {row["service_id"] for y in YEARS for row in rows_of(sample.folder / "truth" / f"{y}.csv")}
        faulty = {row["district_account"] for row in injected(sample, name, year)}
        known, used = known_account(sample, year, entry), defaultdict(lambda: [Decimal(0), Decimal(0)])
        for row in records(sample, year, entry):
            account = known(row["account"])
            if entry.read_types[row["read_type"]] != "actual":
                faulty.add(account)
            if account in faulty:
                continue
            start, end = period(row, entry)
            days = Decimal(max((min(end, closes) - max(start, opens)).days, 0))
            volume = number(row.get("registered_volume", row["volume"]), entry) * Decimal(row.get("multiplier", 1))
            used[account][0] += volume * days / (end - start).days
            used[account][1] += days * (row.get("register_id") != "LOW")
        ccf = Decimal(SIZE_8NL[entry.volume.unit]) / SIZE_8NL["ccf"]
        for average in rows_of(sample.cis_extract(year + 1) / "current_averages.csv"):
            rows = links[average["service_id"]]
            if average["service_id"] in special or {row["district_id"] for row in rows} != {name}:
                continue
            if rows[0]["district_account"] not in faulty:
                volume, days = used[rows[0]["district_account"]]
                own = volume / days * (closes - opens).days / 6 * ccf
                assert abs(own - Decimal(average["winter_average"])) < Decimal("0.006"), (average, own)
                compared += 1
    assert compared > 250


def test_a_true_read_after_long_estimates_makes_the_bill_negative_and_leaves_the_registered_use(
    sample: Workspace,
) -> None:
    corrected = 0
    for year in YEARS:
        entry = sample.district("gorse_hollow", year)
        faulty = {row["district_account"] for row in injected(sample, entry.district, year)}
        accounts, (text,) = played(sample, year, "estimated_reads"), texts(sample, year, entry).values()
        by_account = defaultdict(list)
        for row in records(sample, year, entry):
            billed, use = number(row["volume"].replace("n/a", "0"), entry), row["registered_volume"]
            by_account[row["account"]].append((entry.read_types[row["read_type"]], billed, number(use, entry)))
        for account, rows in by_account.items():
            if account in faulty:
                continue
            for before, (kind, billed, use) in itertools.pairwise([("actual", 0, 0), *rows]):
                assert use >= 0
                assert billed == use or (before[0] == "estimated" and kind != "estimated")
            if account in accounts:
                run = [billed for kind, billed, _ in rows if kind == "estimated"]
                after = rows[len(run)]
                assert len(run) >= 3
                assert len(set(run)) == 1
                assert after[0] == "actual"
                assert after[1] < -after[2] < 0
                assert f",{-after[1]}-,{after[2]},1," in text
                corrected += 1
    assert corrected >= 6


def test_a_compound_meter_has_a_row_for_each_register_and_a_large_one_its_multiplier(sample: Workspace) -> None:
    entry = sample.district("gorse_hollow", 2019)
    faulty = {row["district_account"] for row in injected(sample, entry.district, 2019)}
    rows = [row for row in records(sample, 2019, entry) if row["account"] not in faulty]
    registers = defaultdict(list)
    for row in rows:
        registers[row["meter"], row["period_start"]].append(row["register_id"])
    assert {tuple(found) for found in registers.values()} == {("",), ("HIGH", "LOW")}
    assert {row["unit"] for row in rows} == set(entry.volume.written_as)
    assert {row["multiplier"] for row in rows} == {"1", "10", "100"}
    assert {row["multiplier"] for row in rows if row["register_id"]} == {"1"}


def test_a_zip_holds_a_marked_file_per_route_and_a_few_records_stand_in_two(sample: Workspace) -> None:
    for year in YEARS:
        entry = sample.district("foxglove", year)
        with zipfile.ZipFile(delivery(sample, year, entry)) as members:
            contents = [members.read(name) for name in members.namelist()]
            assert {member.date_time[0] for member in members.infolist()} == {1980}
        assert len(contents) == 4
        assert all(content.startswith(b"\xef\xbb\xbfCustomer,") for content in contents)
        assert any(b'"gate locked\n' in content for content in contents)
        stands = defaultdict(set)
        for row in records(sample, year, entry):
            stands[tuple(row[k] for k in entry.columns.named())].add(row["file"])
        twice = sorted((key[0], max(files)) for key, files in stands.items() if len(files) > 1)
        faults = [row for row in injected(sample, "foxglove", year) if row["fault"] == "overlapping_row"]
        assert len(faults) == len(twice) == 9
        assert {row["district_account"] for row in faults} == {account for account, _ in twice}
        assert {row["source_file"] for row in faults} <= set(texts(sample, year, entry))


def test_the_layout_of_a_district_changes_with_its_year(sample: Workspace) -> None:
    before, after = (
        next(iter(texts(sample, year, sample.district("elderwick", year)).values())) for year in (2018, 2019)
    )
    assert before.startswith("Account,Meter,Previous Read,Current Read,Use M3,Code\n")
    assert before.isascii()
    assert after.startswith("Numéro d'abonné;Compteur;Date de relevé;Jours;Consommation m³;Relève;Rue\n")
    assert ";1.0" in after or ";1.1" in after, "thousands have a point"
    assert all(re.fullmatch(r"[0-9.]+,[0-9]|n/a", line.split(";")[4]) for line in after.splitlines()[1:])


def test_account_numbers_have_zeros_a_check_digit_and_a_sheet_that_translates_them(sample: Workspace) -> None:
    for year in YEARS:
        entry = sample.district("hazel_fen", year)
        text = next(iter(texts(sample, year, entry).values()))
        *_, trailer = text.splitlines()
        assert not text.endswith("\n")
        rows, sheet = records(sample, year, entry), cross_reference(sample, year, entry)
        total = sum(number(row["volume"], entry) for row in rows if row["volume"] != "n/a")
        assert trailer == f"T|{len(rows)}|{total}"
        wrong = {row["account"] for row in rows if not is_mod_11(row["account"].zfill(9))}
        assert len(wrong) == 1
        without_zeros = {row["account"] for row in rows if len(row["account"]) < 9}
        assert 1 <= len(without_zeros) <= 30
        assert {"X", "0"} <= {number[-1] for number in sheet} | {number[0] for number in sheet}
        missing = {row["account"].zfill(9) for row in rows} - sheet.keys() - wrong
        faults = Counter(row["fault"] for row in injected(sample, "hazel_fen", year))
        assert len(missing) == faults["not_in_cross_reference"] == faults["wrong_check_digit"] == 1


def is_mod_11(number: str) -> bool:
    """Digits weighted 2 to 7 in turn from the right, and the last one (X for 10), divide by 11."""
    weights = itertools.cycle(range(2, 8))
    total = sum(int(digit) * weight for digit, weight in zip(reversed(number[:-1]), weights, strict=False))
    return (total + (10 if number[-1] == "X" else int(number[-1]))) % 11 == 0


@pytest.mark.parametrize("which", ["sample", "faulty_sample"])
def test_readings_telescope_through_all_years(which: str, request: pytest.FixtureRequest) -> None:
    """A delivery opens with the reading that closed the one before; only a register that goes round steps back."""
    sample: Workspace = request.getfixturevalue(which)
    entry = sample.districts["bellflower"]
    assert isinstance(entry.measure, RegisterReadings)
    size, at_most = 10**entry.measure.dials, int(entry.measure.rollover_at_most)
    faults = injected(sample, "bellflower")
    faulty = {row["district_account"] for row in faults} | {
        row["district_account"].lstrip("0") for row in faults if row["fault"] == "lost_zeros"
    }
    absent = set.union(*(played(sample, year, "unmatched_service") for year in YEARS))
    last: dict[str, tuple[str, str]] = {}
    rollovers = 0
    for year in YEARS:
        by_meter = defaultdict(list)
        for row in records(sample, year, entry):
            if row["account"] not in faulty | absent:
                by_meter[row["meter"]].append((row["read_date"], row["reading"]))
        for meter, readings in by_meter.items():
            assert meter not in last or readings[0] == last[meter]
            last[meter] = readings[-1]
            for (_, before), (_, after) in itertools.pairwise(readings):
                rollovers += int(after) < int(before)
                assert 0 <= (int(after) - int(before)) % size < at_most
    assert rollovers >= 3


def test_the_workbook_has_its_title_its_months_and_its_totals(sample: Workspace) -> None:
    entry = sample.districts["cinder_butte"]
    assert isinstance(entry.layout, Workbook)
    assert entry.account_numbers.width == 7
    for year in YEARS:
        sheet = CalamineWorkbook.from_path(str(delivery(sample, year, entry))).get_sheet_by_name("Consumption")
        rows = sheet.to_python(skip_empty_area=False)
        assert rows[entry.layout.header_row - 1][:2] == ["Account", f"May {year - 1}"]
        assert rows[entry.layout.header_row - 1][-1] == f"Apr {year}"
        *accounts, totals = rows[entry.layout.header_row :]
        assert totals[0] == entry.layout.totals_label
        assert all(isinstance(row[0], float) and row[0] == int(row[0]) for row in accounts)
        for column in range(1, 13):
            total = sum(Decimal(str(row[column])) for row in accounts if isinstance(row[column], float))
            assert Decimal(str(totals[column])) == total


@pytest.mark.parametrize("year", YEARS)
def test_links_are_whole_and_lead_to_delivered_accounts(sample: Workspace, year: int) -> None:
    folder = sample.cis_extract(year)
    services = {row["service_id"]: row for row in rows_of(folder / "sewer_services.csv")}
    shares: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    linked = defaultdict(list)
    for row in rows_of(folder / "meter_links.csv"):
        assert row["service_id"] in services
        key = row["district_id"], row["district_account"], row["meter_id"], row["purpose"], row["link_start"]
        shares[key] += Decimal(row["share"])
        linked[row["service_id"]].append(row)
    assert set(shares.values()) == {Decimal(1)}
    for service_id, service in services.items():
        assert (service["volume_source"] == "district") == (service_id in linked)

    unmatched, lost = played(sample, year, "unmatched_service"), played(sample, year, "lost_zeros")
    too_new = played(sample, year, "new_service") | played(sample, year, "new_commercial_no_history")
    for latest in registered(sample):
        entry = sample.district(latest.district, year)
        accounts = {
            row["district_account"] for rows in linked.values() for row in rows if row["district_id"] == entry.district
        }
        without_sewer = {
            row["district_account"]
            for row in rows_of(folder / "non_sewer_accounts.csv")
            if row["district_id"] == entry.district
        }
        if isinstance(entry.layout, Workbook):
            sheet = CalamineWorkbook.from_path(str(delivery(sample, year, entry))).get_sheet_by_index(0)
            body = sheet.to_python(skip_empty_area=False)[entry.layout.header_row : -1]
            came = {f"{int(row[0]):0{entry.account_numbers.width}d}" for row in body}  # type: ignore[call-overload]
        else:
            known = known_account(sample, year, entry)
            came = {known(row["account"]) for row in records(sample, year, entry)}
        faults = defaultdict(set)
        for row in injected(sample, entry.district, year):
            faults[row["fault"]].add(row["district_account"])
        assert accounts - came <= unmatched | lost | too_new | faults["not_in_cross_reference"]
        strangers = came - accounts - without_sewer - {account.lstrip("0") for account in lost}
        assert faults["unmatched_account"] <= strangers
        assert len(faults["unmatched_account"]) == 2
        # Whoever closed before the last extract, or begins after this one, is delivered without a link for some weeks.
        others = len(faults["not_in_cross_reference"] | faults["wrong_check_digit"])
        assert len(strangers) <= 2 + others + 0.02 * len(came)


def test_a_change_of_provider_joins_two_districts_on_one_day(sample: Workspace) -> None:
    by_service = defaultdict(list)
    for row in rows_of(sample.cis_extract(2019) / "meter_links.csv"):
        by_service[row["service_id"]].append(row)
    moved = [rows for rows in by_service.values() if len({row["district_id"] for row in rows}) == 2]
    assert moved
    for rows in moved:
        before, after = sorted(rows, key=lambda row: row["link_start"])
        assert before["link_end"] == after["link_start"]
        assert after["link_start"].startswith("2019-01-")


def test_an_adjustment_names_a_delivered_period(sample: Workspace) -> None:
    entry = sample.districts["dunmore"]
    for year in YEARS:
        rows = {(row["meter"], row["period_start"], row["period_end"]): row for row in records(sample, year, entry)}
        adjusted = [row for row in rows_of(sample.adjustments(year)) if row["district_id"] == entry.district]
        for row in adjusted:
            last_day = dt.date.fromisoformat(row["period_end"]) - dt.timedelta(days=1)
            start = dt.date.fromisoformat(row["period_start"])
            found = rows[row["meter_id"], start.strftime(entry.date_format), last_day.strftime(entry.date_format)]
            assert int(found["volume"]) > 3 * Decimal(row["volume"]) * 100


def test_running_again_leaves_alone_what_it_did_not_make(tmp_path: Path) -> None:
    folder = copy_of_sample(tmp_path / "again")
    simulate(folder, accounts=200)
    before = fingerprint(folder)
    for path in ("work/store/kept.parquet", "deliveries/2019/dunmore/from_a_person.txt", "decisions/2019.csv"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("kept")
    with_more = fingerprint(folder)
    simulate(folder, accounts=200)
    assert fingerprint(folder) == with_more
    assert before.items() <= with_more.items()


def test_a_new_folder_becomes_a_workspace(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    summary = simulate(tmp_path / "new", accounts=300, districts=10, seed=1, progress=lambda *step: told.append(step))
    workspace = Workspace(tmp_path / "new")
    assert len(workspace.districts) == summary.districts == 10
    assert not set(workspace.districts) & set(Workspace(SAMPLE).districts)
    assert told[-1][1:] == (30, 30)
    (changed,) = (folder.name for folder in (tmp_path / "new" / "districts").glob("*.from_2019.yaml"))
    district = changed.split(".")[0]
    assert workspace.district(district, 2018).date_format != workspace.district(district, 2019).date_format
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        *MADE,
        "districts",
        "simulation.yaml",
        "workspace.yaml",
    }


# Entries whose layouts the sample does not have: what else the registry can say, several things at once.
OTHERS = {
    "comma": """
files: 'hist_*.txt'
layout: {kind: delimited, delimiter: ';', encoding: utf-16, header_row: 0, record_prefix: 'D', other_records: ['#']}
columns: {account: {position: 3}, meter: {position: 2}, period_start: {position: 5}, period_end: {position: 6},
  volume: [{position: 7}, {position: 8}]}
volume: {unit: m3, decimal_mark: ',', thousands_mark: ' ', minus: parentheses, negative: credit}
period_end_is: last_day
billing_cycle: quarterly
trailer: {prefix: 'END;', count: {position: 4}, total: {position: 2}}
""",
    "months": """
layout: {kind: delimited, header_row: 3, header_lines: 2}
columns: {account: ACCT, multiplier: Times}
month_columns: {header_format: '%b %Y'}
volume: {unit: cf}
billing_cycle: monthly
""",
    "readings": """
files: '*.zip'
zip_members: '*.dat'
layout: {kind: fixed_width, encoding: latin-1, record_length: 60, record_prefix: 'R', other_records: ['*']}
measure: {gives: register_readings, dials: 6, rollover_at_most: "300000"}
columns:
  account: {start: 2, width: 9}
  meter: {start: 12, width: 10}
  register_id: {start: 22, width: 4}
  read_date: {start: 26, width: 6}
  reading: {start: 32, width: 8}
  multiplier: {start: 40, width: 5}
  unit: {start: 45, width: 4}
  read_type: {start: 50, width: 1}
date_format: '%y%m%d'
volume: {unit: cf, written_as: [CF, FT3]}
account_numbers:
  width: 9
  check_digit: {scheme: luhn, is_part: false}
  cross_reference:
    files: 'x_*.dat'
    layout: {kind: fixed_width, record_length: 30}
    delivered: {start: 1, width: 9}
    known_as: {start: 12, width: 12}
    others: keep
read_types: {A: actual, E: estimated, O: opening, F: final}
billing_cycle: two_monthly
trailer: {prefix: 'T', count: {start: 2, width: 8}, total: {start: 10, width: 12}}
""",
    "sheet": """
files: '*.xlsx'
layout: {kind: workbook, header_row: 2, header_lines: 2, header_repeats: true, totals_label: Sum}
columns: {account: Our Account, meter: Our Meter, bill_month: Bill Month, volume: [Use High, Use Low],
  registered_volume: [Register High, Register Low], multiplier: Factor, read_type: Code}
bill_month: {format: '%m/%Y', months: 3}
volume: {unit: ccf, negative: credit}
read_types: {A: actual, E: estimated}
account_numbers: {width: 9, check_digit: {scheme: luhn}}
billing_cycle: quarterly
""",
}
REASON_OF = {
    "bad_date": "date_unreadable", "text_in_volume": "volume_unreadable", "unknown_unit": "unit_unknown",
    "wrong_check_digit": "check_digit_wrong", "exact_duplicate": "exact_duplicate", "overlapping_row": "exact_duplicate",
    "same_period_other_values": "same_period_other_values", "not_in_cross_reference": "account_not_in_cross_reference",
}  # fmt: skip
NO_FAULT = {"empty_month", "no_register", "opening_reading"}


def workspace_with(folder: Path, **entries: str) -> Path:
    """The sample's settings with other districts."""
    copy_of_sample(folder)
    for path in (folder / "districts").glob("*.yaml"):
        path.unlink()
    for name, text in entries.items():
        district = name.split(".")[0]
        (folder / "districts" / f"{name}.yaml").write_text(
            f"district: {district}\nname: {district.title()}\nwrite_to: x\n{text}", encoding="utf-8"
        )
    return folder


def through_the_front_door(workspace: Workspace, billing_year: int, entry: District, folder: Path) -> FrontDoor:
    """The delivery as the pipeline reads it, a zip unpacked by hand."""
    files = []
    for path in delivered(workspace, billing_year, entry):
        if entry.zip_members is None:
            files.append(DeliveredFile(path.name, "", path))
            continue
        with zipfile.ZipFile(path) as members:
            for name in members.namelist():
                members.extract(name, folder)
                files.append(DeliveredFile(f"{path.name}/{name}", "", folder / name))
    return FrontDoor(connected(), entry, workspace.year(billing_year), files, folder / "scratch")


@pytest.mark.parametrize("name", OTHERS)
def test_a_layout_that_the_sample_does_not_have_is_written_as_the_front_door_reads_it(
    tmp_path: Path, name: str
) -> None:
    """Another entry needs no other code: nothing is refused but what was spoilt on purpose, and the totals agree."""
    workspace = Workspace(workspace_with(tmp_path / "others", **{name: OTHERS[name]}))
    simulate(workspace.folder, accounts=300)
    year, entry = 2019, workspace.districts[name]
    door = through_the_front_door(workspace, year, entry, tmp_path / "unpacked")
    expected = Counter(REASON_OF[row["fault"]] for row in injected(workspace, name, year) if row["fault"] in REASON_OF)
    expected["same_period_other_values"] *= 2
    if isinstance(entry.measure, RegisterReadings):
        changed = [r for r in irregular(workspace, year) if r["rule_id"] == "meter.multiplier_changed"]
        expected["multiplier_changed"] = len(changed)
    left = door["rejected_rows"].reason_code.to_pyarrow().to_pylist()
    found = Counter(code for code in left if code not in NO_FAULT)
    if entry.month_columns is not None:
        expected["exact_duplicate"] *= 12
    assert found == +expected
    taken = door["consumption"].district_account.to_pyarrow().to_pylist()
    assert len(taken) > 900
    linked = {row["district_account"] for row in rows_of(workspace.cis_extract(year) / "meter_links.csv")}
    not_there = set.union(
        *(played(workspace, year, s) for s in ("unmatched_service", "new_service", "new_commercial_no_history"))
    )
    assert linked - set(taken) <= not_there
    for file in door["delivery_totals"].to_pyarrow().to_pylist():
        assert not file["unreadable"]
        if file["control_quantity_thousandths"] is not None:
            assert file["control_quantity_thousandths"] == file["delivered_quantity_thousandths"]
    stated = door["delivery_totals"].filter(ibis._.control_quantity_thousandths.notnull()).count().execute()
    assert stated == {"comma": 1, "months": 0, "readings": 4, "sheet": 1}[name]


@pytest.fixture(scope="module")
def faulty_sample(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The sample with its irregular use."""
    folder = copy_of_sample(tmp_path_factory.mktemp("irregular") / "sample")
    simulate(folder)
    return Workspace(folder)


IN_EVERY_YEAR = (
    "account.many_meters", "meter.changed_out", "period.gap", "period.off_cycle", "period.overlap", "read.estimated_run",
    "use.high", "use.low", "use.negative", "use.on_inactive", "use.per_dwelling_unit", "use.placeholder",
    "use.repeated_value", "use.rising", "use.tenfold", "use.winter_above_summer", "use.zero_run", "meter.multiplier_changed",
)  # fmt: skip


def test_without_irregular_use_a_workspace_is_as_if_there_were_none_and_with_it_the_seed_decides(
    tmp_path: Path,
) -> None:
    made = {}
    for name, percent in (("absent", None), ("none", "0"), ("one", "0.5"), ("again", "0.5")):
        folder = copy_of_sample(tmp_path / name)
        text = (folder / "simulation.yaml").read_text()
        (folder / "simulation.yaml").write_text(re.sub("(?m)^irregular_percent.*$", "", text))
        simulate(folder, accounts=400, seed=3, irregular_percent=None if percent is None else Decimal(percent))
        made[name] = fingerprint(folder)
    assert made["absent"] == made["none"]
    assert made["one"] == made["again"]
    assert made["none"] != made["one"]
    scenarios = {
        "history.low_before_occupant", "history.moved_in_during_winter", "history.vacant_in_winter", "meter.changed_out",
        "meter.rollover", "read.estimate_then_correction", "read.estimated_run", "service.class_changed", "use.on_inactive",
    }  # fmt: skip
    for year in YEARS:
        found = {row["rule_id"] for row in irregular(Workspace(tmp_path / "none"), year)}
        assert found <= scenarios


def test_as_many_play_each_kind_as_was_said_and_nobody_plays_two_within_a_year(tmp_path: Path) -> None:
    folder = copy_of_sample(tmp_path / "rate")
    simulate(folder, accounts=4000, irregular_percent=Decimal("0.5"))
    workspace = Workspace(folder)
    everywhere = {"use.high", "use.low", "use.zero_run"}
    plays: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for year in YEARS:
        rows = [row for row in irregular(workspace, year) if row["rule_id"] in IN_EVERY_YEAR]
        counts = Counter(row["rule_id"] for row in rows)
        assert all(18 <= counts[rule_id] <= 20 for rule_id in everywhere), counts
        assert all(counts[rule_id] >= 1 for rule_id in IN_EVERY_YEAR), counts
        of_scenarios = {row["service_id"] for row in rows_of(folder / "truth" / f"{year}.csv")}
        spoilt = {
            (r["district_id"], r["district_account"])
            for e in registered(workspace)
            for r in injected(workspace, e.district, year)
        }
        assert not spoilt & {(row["district_id"], row["district_account"]) for row in rows}
        for row in rows:
            if row["service_id"] not in of_scenarios:
                plays[row["service_id"]].append((year, row["rule_id"]))
    for years in plays.values():
        kinds = {rule_id for _, rule_id in years}
        apart = all(one[0] + 2 <= other[0] for one, other in itertools.pairwise(sorted(years)))
        assert apart or len(kinds) == 1, years


class Delivered:
    """What one year's files say of a service: its consumption in the order of time, as the front door reads it."""

    def __init__(self, service: dict[str, str], rows: list[dict[str, Any]], billing_year: int) -> None:
        self.service, self.rows = service, sorted(rows, key=lambda row: (row["period_start"], row["period_end"]))
        winter = dt.date(billing_year - 1, 11, 1), dt.date(billing_year, 5, 1)
        for row in self.rows:
            row["days"] = (row["period_end"] - row["period_start"]).days
            size = Decimal(SIZE_8NL[row["volume_unit"]]) / SIZE_8NL["ccf"]
            row["ccf_a_month"] = row["billed_volume_thousandths"] * size / 1000 / row["days"] * Decimal("30.4")
            inside = min(row["period_end"], winter[1]) - max(row["period_start"], winter[0])
            row["part_in_winter"] = inside.days / row["days"]

    def rates(self, at_least: float, at_most: float = 1.0) -> list[Decimal]:
        return [row["ccf_a_month"] for row in self.rows if at_least <= row["part_in_winter"] <= at_most]

    def runs(self, is_one: Callable[[dict[str, Any]], Any]) -> list[tuple[Any, list[dict[str, Any]]]]:
        return [(key, list(rows)) for key, rows in itertools.groupby(self.rows, key=is_one)]


def median(values: list[Decimal]) -> Decimal:
    return sorted(values)[len(values) // 2]


SHOWN: dict[str, Callable[[Delivered, str], bool]] = {
    "period.gap": lambda d, _: any((b["period_start"] - a["period_end"]).days >= 20 for a, b in itertools.pairwise(d.rows)),
    "period.overlap": lambda d, _: any(b["period_start"] < a["period_end"] for a, b in itertools.pairwise(d.rows)),
    "period.off_cycle": lambda d, _: (
        min(row["days"] for row in d.rows) <= 9
        or max(row["days"] for row in d.rows) >= 1.6 * float(median([Decimal(row["days"]) for row in d.rows]))
    ),
    "use.repeated_value": lambda d, _: any(
        len(rows) >= 6 and value > 0 for value, rows in d.runs(lambda row: row["billed_volume_thousandths"])
    ),
    "use.zero_run": lambda d, _: any(
        value == 0 and sum(row["days"] for row in rows) >= 90
        for value, rows in d.runs(lambda row: row["billed_volume_thousandths"])
    ),
    "use.on_inactive": lambda d, _: d.service["status"] != "active" and d.rates(0.8)[-1] > 0,
    "use.high": lambda d, _: max(d.rates(0.8)) > 2 * min(d.rates(0.8)),
    "use.low": lambda d, _: min(d.rates(0.8)) < max(d.rates(0.8)) * Decimal("0.4"),
    "use.negative": lambda d, _: sum(rate < 0 for rate in d.rates(0.8)) == 1 and all(r["read_type"] == "actual" for r in d.rows),
    "use.tenfold": lambda d, _: max(d.rates(0.8)) > 4 * min(d.rates(0.8)),
    "use.rising": lambda d, _: all(b > a * Decimal("1.1") for a, b in itertools.pairwise(d.rates(0.8))) and len(d.rates(0.8)) > 4,
    "use.winter_above_summer": lambda d, _: (
        median(d.rates(0.9)) > 2 * sum(d.rates(-9, 0.1), Decimal(0)) / len(d.rates(-9, 0.1))
    ),
    "use.per_dwelling_unit": lambda d, _: min(d.rates(-9)) > 20 * int(d.service["dwelling_units"]) > 0,
    "use.placeholder": lambda d, detail: any(
        str(row["billed_volume_thousandths"]).rstrip("0") == detail.split()[-1].rstrip("0")
        for row in d.rows
    ),
    "read.estimated_run": lambda d, _: any(
        kind == "estimated" and len(rows) >= 3 for kind, rows in d.runs(lambda row: row["read_type"])
    ),
    "account.many_meters": lambda d, _: len({row["meter_id"] for row in d.rows}) >= 12,
    "meter.changed_out": lambda d, _: len({row["meter_id"] for row in d.rows}) == 2,
}  # fmt: skip


@pytest.mark.parametrize("year", YEARS[1:])
def test_what_the_truth_says_of_irregular_use_stands_in_the_delivered_files(
    faulty_sample: Workspace, tmp_path: Path, year: int
) -> None:
    services = {row["service_id"]: row for row in rows_of(faulty_sample.cis_extract(year) / "sewer_services.csv")}
    shown: Counter[str] = Counter()
    for latest in registered(faulty_sample):
        entry = faulty_sample.district(latest.district, year)
        door = through_the_front_door(faulty_sample, year, entry, tmp_path / entry.district)
        by_account = defaultdict(list)
        for row in door["consumption"].to_pyarrow().to_pylist():
            by_account[row["district_account"]].append(row)
        for truth in irregular(faulty_sample, year):
            if truth["district_id"] == entry.district and truth["rule_id"] in SHOWN:
                rows = by_account[truth["district_account"]]
                assert SHOWN[truth["rule_id"]](Delivered(services[truth["service_id"]], rows, year), truth["detail"]), (
                    truth
                )
                shown[truth["rule_id"]] += 1
    assert set(shown) == set(SHOWN)


def test_a_changed_multiplier_stands_in_the_file_and_stays(faulty_sample: Workspace) -> None:
    entry = faulty_sample.districts["gorse_hollow"]
    for year in YEARS[:-1]:
        changed = {
            r["district_account"] for r in irregular(faulty_sample, year) if r["rule_id"] == "meter.multiplier_changed"
        }
        assert changed
        for account in changed:
            one, other = (
                [r["multiplier"] for r in records(faulty_sample, y, entry) if r["account"] == account]
                for y in (year, year + 1)
            )
            assert len(set(one)) == 2
            assert set(other) == {one[-1]}


def test_a_meter_that_the_cis_does_not_know_is_linked_a_year_later(faulty_sample: Workspace) -> None:
    scenarios = {row["service_id"] for row in rows_of(faulty_sample.folder / "truth" / "2018.csv")}
    changed = {
        r["service_id"] for r in irregular(faulty_sample, 2018) if r["rule_id"] == "meter.changed_out"
    } - scenarios
    assert changed
    before, after = (
        {
            row["service_id"]: row
            for row in rows_of(faulty_sample.cis_extract(year) / "meter_links.csv")
            if row["service_id"] in changed
        }
        for year in (2018, 2019)
    )
    assert before.keys() == after.keys() == changed
    for service_id, row in after.items():
        assert row["meter_id"] != before[service_id]["meter_id"]
        assert before[service_id]["link_end"] == ""
        assert "2017-12-01" <= row["link_start"] <= "2018-02-15"


def test_an_average_that_was_billed_wrong_is_in_the_extract_and_all_others_are_right(faulty_sample: Workspace) -> None:
    for year in YEARS[1:]:
        averages = {
            row["service_id"]: row["winter_average"]
            for row in rows_of(faulty_sample.cis_extract(year) / "current_averages.csv")
        }
        wrong = [row for row in irregular(faulty_sample, year) if row["rule_id"] == "backtest.misbilled"]
        assert len(wrong) == 4
        for row in wrong:
            billed, right = re.findall(r"[0-9]+\.[0-9]{2}", row["detail"])
            assert averages[row["service_id"]] == billed != right


DISTRICT_FAULTS = {
    "district.unit_changed": "alder_creek", "district.stuck_value": "cinder_butte", "district.volume_changed": "bellflower",
    "district.accounts_changed": "gorse_hollow", "district.month_missing": "foxglove",
    "district.winter_median_moved": "elderwick", "delivery.control_total": "dunmore",
}  # fmt: skip


def test_a_district_plays_its_kind_in_the_last_year_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    folders = [copy_of_sample(tmp_path / name) for name in ("without", "with")]
    simulate(folders[0], accounts=400)
    simulate(folders[1], accounts=400, district_faults=DISTRICT_FAULTS)
    before, after = (
        {k: v for k, v in fingerprint(folder).items() if k.startswith(("deliveries", "cis_extract"))}
        for folder in folders
    )
    changed = {tuple(Path(k).parts[:3]) for k in before if before[k] != after[k]}
    assert changed == {("deliveries", "2019", district) for district in DISTRICT_FAULTS.values()}
    truth = {(r["rule_id"], r["district_id"]) for r in irregular(Workspace(folders[1]), 2019) if not r["service_id"]}
    assert truth == set(DISTRICT_FAULTS.items())
    totals = []
    for folder in folders:
        workspace = Workspace(folder)
        rows = []
        for district in DISTRICT_FAULTS.values():
            door = through_the_front_door(
                workspace, 2019, workspace.district(district, 2019), folder / "unpacked" / district
            )
            rows.append(door["consumption"].billed_volume_thousandths.sum().execute())
            if district == "dunmore":
                stated = (
                    door["delivery_totals"]
                    .mutate(off=ibis._.control_quantity_thousandths - ibis._.delivered_quantity_thousandths)
                    .off.sum()
                    .execute()
                )
                assert (stated != 0) == (folder is folders[1])
        totals.append(rows)
    ratios = dict(zip(DISTRICT_FAULTS, (new / old for old, new in zip(*totals, strict=True)), strict=True))
    assert not 0.9 < ratios["district.unit_changed"] < 1.1
    assert 0.65 < ratios["district.volume_changed"] < 0.75
    assert 0.7 < ratios["district.accounts_changed"] < 0.95
    assert 0.88 < ratios["district.month_missing"] < 0.97
    assert 1.08 < ratios["district.winter_median_moved"] < 1.25
    assert ratios["delivery.control_total"] == 1


SHORT = """
layout: {layout}
columns: {{account: A, meter: M, {more}}}
volume: {volume}
read_types: {{A: actual}}
billing_cycle: monthly
"""


def short(
    layout: str = "{kind: delimited}",
    more: str = "period_start: F, period_end: T, volume: V",
    volume: str = "{unit: gal}",
) -> str:
    return SHORT.format(layout=layout, more=more, volume=volume)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"xy": short(more="bill_month: B, volume: V") + "bill_month: {format: '%m/%y', months: 5}\n"},
         "districts/xy.yaml: key bill_month.months: 5 cannot be simulated"),
        ({"xy": short(layout="{kind: delimited, quotes: none}", volume="{unit: gal, thousands_mark: ','}")},
         "districts/xy.yaml: key layout.quotes: 'none' leaves no way to write"),
        ({"xy": short(layout="{kind: delimited, encoding: cp1252}", more="period_start: F, period_end: T, volume: Объём")},
         "districts/xy.yaml: key layout.encoding: .* has no way to write"),
        ({"xy": short(), "xy.from_2019": "from_year: 2019\n" + short(layout="{kind: workbook}").replace(" meter: M,", "")},
         "districts/xy.from_2019.yaml: key columns.meter: a change of this"),
        ({"xy": short() + "files: '?.csv'\n"}, "districts/xy.yaml: key files: '?.csv' matches no name"),
        ({"xy": short(layout="{kind: delimited, record_prefix: 'D,', header_row: 0}",
                     more="period_start: {position: 4}, period_end: {position: 5}, volume: {position: 6}")
          .replace("account: A, meter: M", "account: {position: 1}, meter: {position: 3}")},
         "districts/xy.yaml: key columns.account.position: 1 is the place of record_prefix"),
        ({"xy": short() + "trailer: {prefix: 'T,', count: {position: 1}, total: {position: 3}}\n"},
         "districts/xy.yaml: key trailer: position 1 is taken"),
        ({"xy": short() + "files: '*.txt'\naccount_numbers: {cross_reference: {files: '*.csv', layout: {kind: delimited}, "
          "delivered: D, known_as: K}}\n"},
         "districts/xy.yaml: key account_numbers.cross_reference.files: .* would not be among the files"),
        ({"xy": short() + "account_numbers: {width: 4, check_digit: {scheme: luhn}}\n"},
         "districts/xy.yaml: key account_numbers.width: 4 is not enough"),
    ],
    ids=["five_months", "no_quotes", "no_such_letter", "another_life", "no_name", "prefix", "trailer", "no_sheet", "too_short"],
)  # fmt: skip
def test_an_entry_that_cannot_be_simulated_is_said_in_a_sentence(
    tmp_path: Path, entries: dict[str, str], sentence: str
) -> None:
    folder = workspace_with(tmp_path / "refused", **entries)
    with pytest.raises(ConfigError, match=re.escape(sentence).replace(r"\.\*", ".*")):
        simulate(folder, accounts=500)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"districts": 5}, "the workspace's registry has 8"),
        ({"accounts": 199}, "allowed: 200"),
        ({"seed": -1}, "seed: -1 is not allowed"),
        ({"irregular_percent": Decimal(3)}, "irregular_percent: 3 is not allowed; allowed: 0 to 2"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_a_sentence(
    tmp_path: Path, arguments: dict[str, Any], sentence: str
) -> None:
    folder = copy_of_sample(tmp_path / "refused")
    before = fingerprint(folder)
    with pytest.raises(ConfigError, match=sentence):
        simulate(folder, **arguments)
    assert fingerprint(folder) == before


def test_a_folder_with_other_things_in_it_is_not_made_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(ConfigError, match="not empty and no workspace"):
        simulate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
