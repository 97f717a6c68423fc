"""The workspace and its districts: every mistake in them is a sentence for the person who made it.

Belongs here: ``workspace.yaml``, ``districts/*.yaml``, the billing year.
Does not belong here: schedules (their own tests), files of districts (the readers' tests).
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from rate_tables.config_file import ConfigError
from rate_tables.schedule import SHIPPED
from validations.district import AtCharacters, AtPosition
from validations.workspace import SAMPLE, Workspace

ALDER, BELL, CINDER, DUN = (
    f"districts/{name}.yaml" for name in ("alder_creek", "bellflower", "cinder_butte", "dunmore")
)
WS = "workspace.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a person wrote of the sample workspace."""
    made = tmp_path / "utility"
    made.mkdir()
    shutil.copy(SAMPLE / WS, made / WS)
    shutil.copytree(SAMPLE / "districts", made / "districts")
    return made


def read_everything(folder: Path, billing_year: int = 2019) -> None:
    workspace = Workspace(folder)
    assert workspace.districts
    workspace.year(billing_year)


def said_of(folder: Path, billing_year: int = 2019) -> str:
    with pytest.raises(ConfigError) as caught:
        read_everything(folder, billing_year)
    return str(caught.value)


def edit(path: Path, replaced: str, by: str) -> str:
    text = path.read_text(encoding="utf-8")
    assert replaced in text
    path.write_text(text.replace(replaced, by, 1), encoding="utf-8")
    return path.read_text(encoding="utf-8")


TRAILER = "trailer: {prefix: T, count: {start: 2, width: 9}, total: {start: 11, width: 14}}\n"

MISTAKES: dict[str, tuple[str, str, str, str, str]] = {
    # mistake: (file, replaced, by, text on the line that is named, rest of the sentence)
    "workspace: unknown key": (WS, "owner:", "ownr:", "ownr", "key ownr: this key is not known. Allowed here: name, rate_tables, billing_years"),
    "workspace: key twice": (WS, "owner: billing", "owner: billing\nowner: office", "office", "the key 'owner' is given twice; each key is allowed once."),
    "workspace: no YAML": (WS, "[2017, 2018, 2019]", "[2017, 2018", "effective_month_day", "expected ',' or ']'"),
    "workspace: no years": (WS, "[2017, 2018, 2019]", "[]", "billing_years", "key billing_years: [] is not allowed; tuple should have at least 1 item"),
    "workspace: a year that is none": (WS, "[2017, 2018, 2019]", "[2017, 20188]", "20188", "key billing_years.1: 20188 is not allowed; input should be less than or equal to 2100."),
    "workspace: no such month": (WS, '"07-01"', '"13-01"', "13-01", "key effective_month_day: '13-01' is not allowed; string should match pattern"),
    "workspace: no such day": (WS, '"07-01"', '"02-30"', "02-30", "key effective_month_day: '02-30' is not allowed; allowed: a day that every year has, as month and day: 07-01."),
    "workspace: a way out of the folder": (WS, "rate_tables: clean_water_services", "rate_tables: ../elsewhere", "elsewhere", "key rate_tables: '../elsewhere' is not allowed; string should match pattern"),
    "unknown key": (ALDER, "files:", "file:", "file:", "key file: this key is not known. Allowed here: district, from_year, name, write_to, source, files"),
    "unknown key of a layout": (ALDER, "layout: {kind: delimited, ", "layout:\n  kind: delimited\n  quote: yes\n  # {", "quote", "key layout.quote: this key is not known. Allowed here: kind, delimiter, encoding, header_row, header_lines"),
    "unknown column": (ALDER, "  volume: Usage CCF", "  volumes: Usage CCF", "volumes", "key columns.volumes: this key is not known. Allowed here: account, meter, register_id, period_start"),
    "key missing": (ALDER, "billing_cycle: monthly\n", "", "# One row", "key billing_cycle: this key is required."),
    "key twice": (ALDER, "billing_cycle: monthly", "billing_cycle: monthly\nbilling_cycle: mixed", "mixed", "the key 'billing_cycle' is given twice; each key is allowed once."),
    "wrong unit": (ALDER, "unit: ccf", "unit: CCF", "unit: CCF", "key volume.unit: 'CCF' is not allowed; allowed: 'ccf', 'cf', 'gal', 'hundred_gal', 'thousand_gal', 'm3' or 'litre'."),
    "wrong read type": (ALDER, "E: estimated", "E: guessed", "guessed", "key read_types.E: 'guessed' is not allowed; allowed: 'actual', 'estimated',"),
    "layout unknown": (ALDER, "kind: delimited", "kind: csv", "csv", "key layout: 'csv' is not allowed; allowed: 'delimited', 'fixed_width', 'workbook'."),
    "layout without its kind": (ALDER, "kind: delimited, ", "", "layout", "key layout: the key kind is required below it."),
    "delimiter of two characters": (ALDER, 'delimiter: ","', 'delimiter: ";;"', ";;", "key layout.delimiter: ';;' is not allowed; string should have at most 1 character."),
    "empty delimiter": (ALDER, 'delimiter: ","', 'delimiter: ""', 'delimiter: ""', "key layout.delimiter: '' is not allowed; string should have at least 1 character."),
    "a column that the layout needs": (ALDER, "  volume: Usage CCF\n", "", "columns:", "key columns: not allowed as it stands; allowed: columns that this layout needs; missing: volume."),
    "readings without a date": (BELL, "  read_date: READ_DT\n", "", "columns:", "key columns: not allowed as it stands; allowed: columns that this layout needs; missing: read_date."),
    "a column that is not read": (BELL, "  reading: READING\n", "  reading: READING\n  volume: USE\n", "columns:", "allowed: only columns that this layout reads; not read: volume."),
    "month columns and a volume": (CINDER, "  account: Account\n", "  account: Account\n  volume: Use\n", "columns:", "allowed: only columns that this layout reads; not read: volume."),
    "characters in a delimited layout": (ALDER, "volume: Usage CCF", "volume: {start: 3, width: 2}", "start: 3", "key columns.volume: not allowed as it stands; allowed: for delimited, columns.volume as a header's name or {position}."),
    "a header in a fixed-width layout": (DUN, "account: {start: 2, width: 10}", "account: Account", "Account", "key columns.account: not allowed as it stands; allowed: for fixed_width, columns.account as {start, width}."),
    "characters without a width": (DUN, "account: {start: 2, width: 10}", "account: {start: 2}", "start: 2", "key columns.account.width: this key is required."),
    "a column before the first": (ALDER, "volume: Usage CCF", "volume: {position: 0}", "position: 0", "key columns.volume.position: 0 is not allowed; input should be greater than or equal to 1."),
    "a column as a bare number": (ALDER, "volume: Usage CCF", "volume: 5", "volume: 5", "key columns.volume: 5 is not allowed; allowed: a header's name, {position}, {start, width} or a list of these."),
    "names without a header": (ALDER, "header_row: 1", "header_row: 0", "columns:", "allowed: without a header (layout.header_row 0), columns by {position} only."),
    "a trailer by characters in a delimited layout": (ALDER, "billing_cycle", f"{TRAILER}billing_cycle", "count", "key trailer.count: not allowed as it stands; allowed: for delimited, trailer.count as {position}."),
    "a trailer in a workbook": (CINDER, "billing_cycle", f"{TRAILER}billing_cycle", "trailer", "key trailer: not allowed as it stands; allowed: a trailer record in a text file only; a workbook has layout.totals_label."),
    "a delimiter that stands in fields": (ALDER, 'delimiter: ","', "delimiter: '\"'", "delimiter", "key layout.delimiter: '\"' is not allowed; allowed: a character that no field begins with or consists of: , ; | or a tab."),
    "a date format without a month": (ALDER, "%m/%d/%Y", "%d/%Y", "date_format", "key date_format: '%d/%Y' is not allowed; allowed: a format with year, month and day, for example %m/%d/%Y"),
    "a date format with two months": (ALDER, "%m/%d/%Y", "%m/%m/%d/%Y", "date_format", "key date_format: '%m/%m/%d/%Y' is not allowed"),
    "a format of months without a year": (CINDER, "%b %Y", "%b", "header_format", "key month_columns.header_format: '%b' is not allowed; allowed: a format with year and month"),
    "months of bills without their column": (ALDER, "billing_cycle", "bill_month: {format: '%m/%Y', months: 1}\nbilling_cycle", "bill_month", "key bill_month: not allowed as it stands; allowed: bill_month and columns.bill_month together, or neither."),
    "a period told in two ways": (ALDER, "  volume: Usage CCF", "  volume: Usage CCF\n  days: Days", "columns:", "allowed: columns that this layout needs; missing: read_date."),
    "marks that are one": (ALDER, "negative: credit", 'thousands_mark: "."', "thousands_mark", "key volume.thousands_mark: not allowed as it stands; allowed: a mark that is not the decimal mark."),
    "a unit column without its texts": (ALDER, "  volume: Usage CCF", "  volume: Usage CCF\n  unit: Unit", "volume:", "key volume: not allowed as it stands; allowed: columns.unit and volume.written_as together, or neither."),
    "registers in rows and in columns": (ALDER, "  volume: Usage CCF", "  volume: [High, Low]\n  register_id: Reg", "register_id", "allowed: registers in rows (register_id) or in columns (a list), not both."),
    "more volumes than registered ones": (ALDER, "  volume: Usage CCF", "  volume: [High, Low]\n  registered_volume: Reg", "columns:", "key columns: not allowed as it stands; allowed: lists of one length: volume, registered_volume, reading, previous_reading."),
    "a cross-reference by characters in a CSV": (ALDER, "billing_cycle", "account_numbers:\n  cross_reference:\n    files: x\n    layout: {kind: delimited}\n    delivered: {start: 1, width: 2}\n    known_as: b\nbilling_cycle", "delivered", "key account_numbers.cross_reference.delivered: not allowed as it stands; allowed: for delimited, delivered as a header's name or {position}."),
    "rollover as a bare number": (BELL, '"20000"', "20000", "20000", 'key measure.rollover_at_most: 20000 is not allowed; allowed: a number written as text, for example "30.03" with its quotes.'),
    "a district id with a path": (ALDER, "district: alder_creek", "district: ../alder", "../alder", "key district: '../alder' is not allowed; string should match pattern"),
    "no YAML": (ALDER, "final}", "final", "billing_cycle", "expected ',' or '}'"),
    "a key in braces": (ALDER, "files:", "{year}: 2019\nfiles:", "{year}", "a key must be text, not a list or a mapping."),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_with_file_line_key_and_what_is_allowed(folder: Path, mistake: str) -> None:
    file, replaced, by, on_the_line, rest = MISTAKES[mistake]
    text = edit(folder / file, replaced, by)
    sentence = said_of(folder)
    assert sentence.startswith(f"{file}, line ")
    line, _, said = sentence.removeprefix(f"{file}, line ").partition(": ")
    assert on_the_line in text.splitlines()[int(line) - 1]
    assert rest in said
    assert "\n" not in sentence
    assert len(sentence) < 400, "a sentence, not a copy of the file"


def test_a_district_id_that_contradicts_its_file_is_refused(folder: Path) -> None:
    (folder / ALDER).rename(folder / "districts/alder.yaml")
    assert said_of(folder) == (
        "districts/alder.yaml: key district: 'alder_creek' contradicts the file's name; the file must be called alder_creek.yaml."
    )


def test_a_workspace_without_districts_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "districts")
    assert said_of(folder) == "districts/: no district is registered; one YAML file per district is required."


def test_a_folder_without_a_workspace_is_refused(tmp_path: Path) -> None:
    assert said_of(tmp_path) == "workspace.yaml: the file does not exist; it is required."
    assert said_of(tmp_path / "nowhere").endswith(
        "the workspace folder does not exist; name one that holds a workspace.yaml."
    )


def test_a_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / ALDER).write_bytes(b"name: Caf\xe9\n")
    assert said_of(folder).startswith(f"{ALDER}: the file cannot be read as UTF-8 text")


def test_rate_tables_that_do_not_exist_are_refused_and_those_that_ship_are_named(folder: Path) -> None:
    edit(folder / WS, "rate_tables: clean_water_services", "rate_tables: elsewhere")
    shipped = ", ".join(sorted({path.parent.name for path in SHIPPED.glob("*/*.yaml")}))
    assert said_of(folder) == (
        "workspace.yaml: key rate_tables: 'elsewhere' is not allowed; allowed: a folder below the workspace's "
        f"rate_tables/, or one that ships: {shipped}."
    )


def test_a_year_that_is_not_listed_is_refused_and_those_that_are_listed_are_named(folder: Path) -> None:
    assert said_of(folder, 2031) == (
        "workspace.yaml: key billing_years: 2031 is not listed; allowed: 2017, 2018, 2019."
    )


def test_rate_tables_of_the_workspace_come_before_those_that_ship(folder: Path) -> None:
    own = folder / "rate_tables" / "clean_water_services"
    own.mkdir(parents=True)
    text = (SAMPLE.parent.parent / "rate_tables/clean_water_services/2019-07-01.yaml").read_text(encoding="utf-8")
    (own / "2019-07-01.yaml").write_text(text.replace('"30.03"', '"31.00"'), encoding="utf-8")
    rates = Workspace(folder).year(2019).rates
    assert rates is not None
    assert str(rates.schedule.charges[0].rate) == "31.00"


def test_a_year_has_its_dates_its_title_and_no_rates_where_none_are_published(folder: Path) -> None:
    workspace = Workspace(folder)
    year = workspace.year(2019)
    assert (year.effective, year.window_start, year.window_end, year.title) == (
        dt.date(2019, 7, 1), dt.date(2018, 11, 1), dt.date(2019, 5, 1), "2019 (FY2019-20)",
    )  # fmt: skip
    assert year.rates is not None
    assert year.rates.schedule.effective == dt.date(2019, 7, 1)
    missing = workspace.year(2017)
    assert missing.rates is None, "held, never rated with another year's figures"
    assert missing.averaging.schedule.effective == dt.date(2018, 7, 1)


def test_a_column_is_found_by_name_by_place_or_by_characters(folder: Path) -> None:
    edit(folder / ALDER, "volume: Usage CCF", "volume: {position: 3}")
    districts = Workspace(folder).districts
    assert {"alder_creek", "bellflower", "cinder_butte", "dunmore"} <= districts.keys()
    alder = districts["alder_creek"].columns
    assert (alder.account, alder.volume) == ("Account No", AtPosition(position=3))
    assert districts["dunmore"].columns.account == AtCharacters(start=2, width=10)
    assert alder.named().keys() == {"account", "meter", "period_start", "period_end", "volume", "read_type"}


def test_a_folder_is_filled_in_with_year_and_district(folder: Path) -> None:
    edit(folder / ALDER, "files:", 'source: {kind: folder, path: "in/{year}/{district}"}\nfiles:')
    workspace = Workspace(folder)
    assert workspace.deliveries(2019, workspace.districts["alder_creek"]) == folder / "in/2019/alder_creek"
    assert workspace.deliveries(2019, workspace.districts["dunmore"]) == folder / "deliveries/2019/dunmore"
