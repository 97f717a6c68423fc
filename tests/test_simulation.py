"""The simulation: same seed same bytes, every scenario there, files as the registry announces, nothing else touched."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import itertools
import shutil
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from pipelines.simulation import SCENARIO_NAMES, simulate
from rate_tables.config_file import ConfigError
from validations.district import AtCharacters, District, FixedWidth, RegisterReadings, Workbook
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
    folder = copy_of_sample(tmp_path_factory.mktemp("simulation") / "sample")
    simulate(folder)
    return Workspace(folder)


def delivery(workspace: Workspace, billing_year: int, entry: District) -> Path:
    (path,) = Path(workspace.deliveries(billing_year, entry)).glob(entry.files)
    return path


def records(workspace: Workspace, billing_year: int, entry: District) -> Rows:
    """The records of a text delivery by the entry's names for the columns."""
    path, named = delivery(workspace, billing_year, entry), entry.columns.named()
    if isinstance(entry.layout, FixedWidth):
        found = []
        for line in path.read_text().splitlines():
            if line.startswith(entry.layout.record_prefix):
                cut = {
                    k: line[r.start - 1 : r.start - 1 + r.width]
                    for k, r in named.items()
                    if isinstance(r, AtCharacters)
                }
                found.append({k: text.strip() for k, text in cut.items()})
        return found
    return [{k: row[str(reference)] for k, reference in named.items()} for row in rows_of(path)]


def registered(workspace: Workspace) -> list[District]:
    return list(workspace.districts.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        folder = copy_of_sample(tmp_path / name)
        simulate(folder, accounts=200, seed=seed)
        made.append(fingerprint(folder))
    assert made[0] == made[1]
    delivered = [{k: v for k, v in one.items() if k.startswith("deliveries")} for one in made]
    assert len(delivered[0]) == 12
    assert all(delivered[0][name] != delivered[2][name] for name in delivered[0])


def test_every_scenario_occurs_even_with_few_services(tmp_path: Path) -> None:
    folder = copy_of_sample(tmp_path / "few")
    summary = simulate(folder, accounts=200, seed=5)
    played = {row["scenario"] for year in YEARS for row in rows_of(folder / "truth" / f"{year}.csv")}
    assert played == set(SCENARIO_NAMES)
    faults = {row["fault"] for row in rows_of(folder / "truth" / "injected_rows.csv")}
    assert faults == {
        "exact_duplicate", "bad_date", "text_in_volume", "same_period_other_values", "unmatched_account", "lost_zeros",
    }  # fmt: skip
    assert (summary.services, summary.districts, summary.delivered_files) == (200, 4, 12)
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


def test_usage_periods_follow_each_other_through_all_years(sample: Workspace) -> None:
    faulty = {row["district_account"] for row in rows_of(sample.folder / "truth" / "injected_rows.csv")}
    absent = {
        row["district_account"]
        for year in YEARS
        for row in rows_of(sample.folder / "truth" / f"{year}.csv")
        if row["scenario"] == "unmatched_service"
    }
    for name in ("alder_creek", "dunmore"):
        entry = sample.districts[name]
        more = dt.timedelta(days=1 if entry.period_end_is == "last_day" else 0)
        by_meter = defaultdict(list)
        for year in YEARS:
            for row in records(sample, year, entry):
                if row["account"] not in faulty | absent:
                    start, end = (
                        dt.datetime.strptime(row[key], entry.date_format).date()
                        for key in ("period_start", "period_end")
                    )
                    by_meter[row["meter"]].append((start, end + more, row["read_type"]))
        assert len(by_meter) > 400
        for periods in by_meter.values():
            assert all(start < end for start, end, _ in periods)
            assert all(one[1] == other[0] for one, other in itertools.pairwise(periods))
        codes = {code for periods in by_meter.values() for _, _, code in periods}
        assert {entry.read_types[code] for code in codes} == {"actual", "estimated", "final"}


def test_readings_telescope_through_all_years(sample: Workspace) -> None:
    """A delivery opens with the reading that closed the one before; only a register that goes round steps back."""
    entry = sample.districts["bellflower"]
    assert isinstance(entry.measure, RegisterReadings)
    size, at_most = 10**entry.measure.dials, int(entry.measure.rollover_at_most)
    injected = rows_of(sample.folder / "truth" / "injected_rows.csv")
    faulty = {row["district_account"] for row in injected} | {
        row["district_account"].lstrip("0") for row in injected if row["fault"] == "lost_zeros"
    }
    absent = {
        row["district_account"]
        for year in YEARS
        for row in rows_of(sample.folder / "truth" / f"{year}.csv")
        if row["scenario"] == "unmatched_service"
    }
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
    assert entry.layout.account_width == 7
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

    played = rows_of(sample.folder / "truth" / f"{year}.csv")
    unmatched = {row["district_account"] for row in played if row["scenario"] == "unmatched_service"}
    lost = {row["district_account"] for row in played if row["scenario"] == "lost_zeros"}
    too_new = {
        row["district_account"] for row in played if row["scenario"] in ("new_service", "new_commercial_no_history")
    }
    for entry in registered(sample):
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
            delivered = {f"{int(row[0]):0{entry.layout.account_width}d}" for row in body}  # type: ignore[arg-type]
        else:
            delivered = {row["account"] for row in records(sample, year, entry)}
        assert accounts - delivered <= unmatched | lost | too_new
        strangers = delivered - accounts - without_sewer - {account.lstrip("0") for account in lost}
        injected = {
            row["district_account"]
            for row in rows_of(sample.folder / "truth" / "injected_rows.csv")
            if (row["year"], row["district_id"], row["fault"]) == (str(year), entry.district, "unmatched_account")
        }
        assert injected <= strangers
        assert len(injected) == 2
        # Whoever closed before the last extract, or begins after this one, is delivered without a link for some weeks.
        assert len(strangers) <= 2 + 0.02 * len(delivered)


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
        delivered = {
            (row["meter"], row["period_start"], row["period_end"]): row for row in records(sample, year, entry)
        }
        adjusted = [row for row in rows_of(sample.adjustments(year)) if row["district_id"] == entry.district]
        for row in adjusted:
            last_day = dt.date.fromisoformat(row["period_end"]) - dt.timedelta(days=1)
            start = dt.date.fromisoformat(row["period_start"])
            period = delivered[row["meter_id"], start.strftime(entry.date_format), last_day.strftime(entry.date_format)]
            assert int(period["volume"]) > 3 * Decimal(row["adjusted_volume"]) * 100


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
    summary = simulate(tmp_path / "new", accounts=240, districts=6, seed=1, progress=lambda *step: told.append(step))
    workspace = Workspace(tmp_path / "new")
    assert len(workspace.districts) == summary.districts == 6
    assert not set(workspace.districts) & {path.stem for path in (SAMPLE / "districts").glob("*.yaml")}
    assert told[-1][1:] == (18, 18)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        *MADE,
        "districts",
        "simulation.yaml",
        "workspace.yaml",
    }


def test_layouts_that_the_sample_does_not_have(tmp_path: Path) -> None:
    """Another registry entry needs no other code: semicolons, decimal commas, UTF-16, positions, months in text."""
    folder = copy_of_sample(tmp_path / "others")
    for path in (folder / "districts").glob("*.yaml"):
        path.unlink()
    (folder / "districts" / "comma.yaml").write_text(
        "district: comma\nname: Comma\nwrite_to: x\nfiles: 'hist_*.txt'\n"
        "layout: {kind: delimited, delimiter: ';', encoding: utf-16, header_row: 0}\n"
        "columns: {account: {position: 2}, meter: {position: 1}, period_start: {position: 4}, "
        "period_end: {position: 5}, volume: {position: 6}}\n"
        "volume: {unit: m3, decimal_mark: ','}\nbilling_cycle: quarterly\n"
    )
    (folder / "districts" / "months.yaml").write_text(
        "district: months\nname: Months\nwrite_to: x\nlayout: {kind: delimited, header_row: 3}\n"
        "columns: {account: ACCT}\nmonth_columns: {header_format: '%Y-%m'}\nvolume: {unit: cf}\n"
        "billing_cycle: monthly\n"
    )
    (folder / "districts" / "sheet.yaml").write_text(
        "district: sheet\nname: Sheet\nwrite_to: x\nfiles: '*.xlsx'\nlayout: {kind: workbook}\n"
        "columns: {account: A, period_start: F, period_end: T, volume: V}\n"
        "volume: {unit: gal}\nbilling_cycle: mixed\n"
    )
    simulate(folder, accounts=200)
    (path,) = (folder / "deliveries" / "2019" / "comma").glob("hist_*.txt")
    lines = [line.split(";") for line in path.read_text(encoding="utf-16").splitlines()]
    assert {len(line) for line in lines} == {6}
    assert {line[2] for line in lines} == {""}
    assert all("," in line[5] or line[5] == "n/a" for line in lines)
    months = (folder / "deliveries" / "2019" / "months" / "months_2019.csv").read_text().splitlines()
    assert months[2].startswith("ACCT,2018-05,2018-06,")
    assert months[2].endswith(",2019-04")
    sheet = CalamineWorkbook.from_path(str(folder / "deliveries" / "2019" / "sheet" / "sheet_2019.xlsx"))
    assert sheet.get_sheet_by_index(0).to_python()[0] == ["A", "F", "T", "V"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"districts": 5}, "the workspace's registry has 4"),
        ({"accounts": 99}, "allowed: 100"),
        ({"seed": -1}, "seed: -1 is not allowed"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_a_sentence(
    tmp_path: Path, arguments: dict[str, int], sentence: str
) -> None:
    folder = copy_of_sample(tmp_path / "refused")
    before = fingerprint(folder)
    with pytest.raises(ConfigError, match=sentence):
        simulate(folder, **arguments)  # type: ignore[arg-type]
    assert fingerprint(folder) == before


def test_a_folder_with_other_things_in_it_is_not_made_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(ConfigError, match="not empty and no workspace"):
        simulate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
