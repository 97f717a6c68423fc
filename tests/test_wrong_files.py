"""Everything that can be wrong with a file.

Belongs here: the table of wrong files, the sentence that each leads to, and that nothing else was lost.
Does not belong here: files broken at random (``test_mutated_files``), reasons of single records (``assets.test_consumption``).

A district has three accounts with a whole winter. A wrong file is theirs with one thing wrong, so what is expected is always:
the sentence, how many of the eighteen good rows still count, and all other districts as if nothing had happened.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import pytest
import xlsxwriter
import yaml
from whole_runs import EXTRACT_HEADERS, annual_billing, query

from assets.deliveries import archived, receive
from assets.engine import connected
from assets.front_door import DeliveredFile, FrontDoor
from validations.identities import by_file, identities_of_files
from validations.review import OF_OFFICE, all_findings
from validations.tables import DELIVERIES
from validations.workspace import Workspace

YEAR = 2019
MONTHS = ["2018-11-01", "2018-12-01", "2019-01-01", "2019-02-01", "2019-03-01", "2019-04-01", "2019-05-01"]
ACCOUNTS = ("110", "111", "112")
HEADER = "account,meter,from,to,use,type"
GOOD = [f"{account},M{account},{start},{end},6,A" for account in ACCOUNTS for start, end in pairwise(MONTHS)]
BASE: dict[str, Any] = {
    "name": "Water District",
    "write_to": "office@water.example",
    "files": "*.csv",
    "layout": {"kind": "delimited"},
    "columns": {"account": "account", "meter": "meter", "period_start": "from", "period_end": "to", "volume": "use",
                "read_type": "type"},
    "volume": {"unit": "ccf"},
    "read_types": {"A": "actual"},
    "billing_cycle": "monthly",
}  # fmt: skip
FIXED: dict[str, Any] = {
    "files": "*.txt",
    "layout": {"kind": "fixed_width", "record_length": 33, "record_prefix": "D"},
    "columns": {"account": {"start": 2, "width": 3}, "meter": {"start": 5, "width": 4},
                "period_start": {"start": 9, "width": 10}, "period_end": {"start": 19, "width": 10},
                "volume": {"start": 29, "width": 4}, "read_type": {"start": 33, "width": 1}},
    "trailer": {"prefix": "T", "count": {"start": 2, "width": 3}, "total": {"start": 5, "width": 5}},
}  # fmt: skip
BOOK: dict[str, Any] = {"files": "*.xlsx", "layout": {"kind": "workbook"}}
ZIPPED: dict[str, Any] = {"files": "*.zip", "zip_members": "*.csv"}

Content = bytes | Callable[[Path], None]


def text(*lines: str, header: str = HEADER) -> bytes:
    """Lines of a delivery under its header."""
    return ("\n".join([header, *lines]) + "\n").encode()


def changed(row: int, line: str) -> list[str]:
    """The good rows, one of them another."""
    return [line if number == row else good for number, good in enumerate(GOOD)]


def with_field(row: int, place: int, value: str) -> list[str]:
    """The good rows, one field of one of them another."""
    fields = GOOD[row].split(",")
    fields[place] = value
    return changed(row, ",".join(fields))


def workbook(rows: list[list[Any]], far: tuple[int, int] | None = None) -> bytes:
    """A workbook with one sheet."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        page = book.add_worksheet()
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
        if far:
            page.write(*far, 1)
    return made.getvalue()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip of these members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as parts:
        for name, content in members:
            parts.writestr(name, content)
    return made.getvalue()


def _link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return member


def _of_size(size: int) -> Callable[[Path], None]:
    def made(path: Path) -> None:
        with path.open("wb") as file:
            file.write(text(*GOOD))
            file.truncate(size)

    return made


def _fixed(records: list[str], count: int, total: str) -> bytes:
    return ("\n".join([*records, f"T{count:03d}{total}"]) + "\n").encode()


FIXED_ROWS = ["D{}{}{}{}{:>4}{}".format(*line.split(",")) for line in GOOD]
NINE = GOOD[:9]


@dataclass(frozen=True)
class Wrong:
    """A wrong delivery.

    ``said``: a piece of the sentence, in ``rejected_rows``, ``deliveries`` or ``findings``. ``rows``: how many rows are
    consumption. ``entry``: what the district's entry says otherwise than ``BASE``.
    """

    files: dict[str, Content]
    said: str
    rows: int
    entry: dict[str, Any] = field(default_factory=dict)


WRONG: dict[str, Wrong] = {
    "missing district": Wrong({}, "no file *.csv was found; ask office@water.example", 0),
    "empty file": Wrong({"a.csv": b""}, "the file is empty", 0),
    "header alone": Wrong({"a.csv": text()}, "1 file(s) without a single record of consumption", 0),
    "header changed": Wrong({"a.csv": text(*GOOD, header=HEADER.replace("use", "usage"))},
                            "the header lacks the column 'use'; it has: account, meter, from, to, usage, type", 0),
    "wrong encoding": Wrong({"a.csv": text(*GOOD, "Æ,M,2018-11-01,2018-12-01,6,A").decode().encode("cp1252")},
                            "not text in the announced encoding utf-8", 0),
    "workbook for text": Wrong({"a.csv": workbook([HEADER.split(",")])}, "the file is a workbook; announced is text", 0),
    "text for workbook": Wrong({"a.xlsx": text(*GOOD)}, "the file is text; announced is a workbook", 0, BOOK),
    "last line cut off": Wrong({"a.csv": text(*GOOD)[:-3]}, "the last line has no line end; the file seems to be cut off", 17),
    "too few fields": Wrong({"a.csv": text(*changed(4, "110,M110"))}, "another number of fields than the header", 17),
    "too many fields": Wrong({"a.csv": text(*changed(4, GOOD[4] + ",x"))}, "another number of fields than the header", 17),
    "stray quote": Wrong({"a.csv": text(*changed(4, '"' + GOOD[4]))}, "a quotation mark is opened and not closed", 17),
    "no such date": Wrong({"a.csv": text(*with_field(4, 3, "2019-02-30"))}, "a date is missing, does not exist", 17),
    "day and month exchanged": Wrong(
        {"a.csv": text(*(f"{a},M{a},{day:02d}/0{month}/2019,{day:02d}/0{month + 1}/2019,6,A"
                         for a in ACCOUNTS for month in (1, 2) for day in (9, 19)))},
        "have dates that cannot be read as %m/%d/%Y and can as %d/%m/%Y: day and month are exchanged", 0,
        {"date_format": "%m/%d/%Y"},
    ),
    "day and month exchanged unseen": Wrong(
        {"a.csv": text(*(f"{a},M{a},01/{month:02d}/2019,01/{month + 1:02d}/2019,6,A" for a in ACCOUNTS for month in range(1, 6)))},
        "a period typically has 1 days, and the district's cycle 25 to 36", 15, {"date_format": "%m/%d/%Y"},
    ),
    "negative volume": Wrong({"a.csv": text(*with_field(4, 4, "-6"))}, "below zero and this district's entry does not allow", 17),
    "absurd volume": Wrong({"a.csv": text(*with_field(4, 4, "60000000"))}, "beyond anything a meter can register", 17),
    "text in a number": Wrong({"a.csv": text(*with_field(4, 4, "six"))}, "the volume is not a number", 17),
    "another unit": Wrong(
        {"a.csv": text(*(f"{line},{'GAL' if n == 4 else 'CCF'}" for n, line in enumerate(GOOD)), header=HEADER + ",unit")},
        "the row states a unit that is not the district's", 17,
        {"columns": {**BASE["columns"], "unit": "unit"}, "volume": {"unit": "ccf", "written_as": ["CCF"]}},
    ),
    "control total differs": Wrong({"a.txt": _fixed(FIXED_ROWS, 18, "00109")}, "states other totals than it holds", 18, FIXED),
    "control count differs": Wrong({"a.txt": _fixed(FIXED_ROWS, 19, "00108")}, "states other totals than it holds", 18, FIXED),
    "trailer without a total": Wrong({"a.txt": _fixed(FIXED_ROWS, 18, "-----")}, "the trailer should state the total and says", 0, FIXED),
    "trailer without a count": Wrong({"a.txt": _fixed(FIXED_ROWS, 18, "00108").replace(b"T018", b"T   ")}, "the trailer should state how many records", 0, FIXED),
    "trailer missing": Wrong({"a.txt": _fixed(FIXED_ROWS, 18, "00108")[:-11]}, "one trailer record (T...) and has 0; is it cut off", 0, FIXED),
    "last year again": Wrong({"a.csv": text(*GOOD)}, "2018", 0),
    "last year's history": Wrong({"a.csv": text(*(line.replace("2019", "2018").replace("2018-1", "2017-1") for line in GOOD))},
                                 "the winter from 2018-11-01 to 2019-05-01", 18),
    "account like a formula": Wrong({"a.csv": text(*with_field(4, 0, "=1+1"))}, "begins like a spreadsheet formula", 17),
    "control character": Wrong({"a.csv": text(*with_field(4, 0, "11\x1b[2J0"))}, "a field holds a control character", 17),
    "account of 10,000 characters": Wrong({"a.csv": text(*with_field(4, 0, "1" * 10_000))}, "longer than 200 characters", 17),
    "header of 10,000 characters": Wrong({"a.csv": text(*GOOD, header=HEADER.replace("use", "u" * 10_000))},
                                         "the header lacks the column 'use'", 0),
    "zip to far more than it holds": Wrong({"a.zip": zipped(("a.csv", text(*GOOD) + b"\n" * 30_000_000))}, "unpack", 0, ZIPPED),
    "zip to a path outside": Wrong({"a.zip": zipped(("../../a.csv", text(*GOOD)))}, "outside", 0, ZIPPED),
    "zip with a link": Wrong({"a.zip": zipped(("a.csv", text(*GOOD)), (_link("b.csv"), b"/etc/passwd"))}, "link", 0, ZIPPED),
    "damaged zip": Wrong({"a.zip": zipped(("a.csv", text(*GOOD)))[:-40]}, "damaged", 0, ZIPPED),
    "zip that nobody announced": Wrong({"a.csv": zipped(("a.csv", text(*GOOD)))}, "the file is a zip archive; announced is text", 0),
    "workbook bomb": Wrong({"a.xlsx": workbook([HEADER.split(",")], far=(1_048_575, 16_383))}, "unpacks to more than", 0, BOOK),
    "two gigabytes": Wrong({"a.csv": _of_size(2 * 1024**3 + 1)}, "MB", 0),
    "still being written": Wrong({"a.csv.part": text(*NINE)}, "still being written", 0, {"files": "*"}),
}  # fmt: skip
"""Name -> what is wrong and what it leads to. See below for what shows beside other districts only, and for a registry that is
wrong itself; a name of 10,000 characters in a store's listing is in ``assets.test_pulling``."""


WHOLE_RUN = (
    "missing district", "header changed", "last line cut off", "workbook bomb", "zip to a path outside", "control total differs",
)  # fmt: skip
"""Wrong files that are also taken through a whole annual update, beside districts where all is well."""


def _district(folder: Path, name: str) -> str:
    """Add a district to the workspace, with its entry and its delivery."""
    district = "".join(c if c.isalnum() else "_" for c in name.lower())
    wrong = WRONG.get(name, Wrong({"a.csv": text(*GOOD)}, "", 18))
    (folder / "districts").mkdir(exist_ok=True)
    entry = {"district": district, **BASE, **wrong.entry}
    (folder / "districts" / f"{district}.yaml").write_text(yaml.safe_dump(entry, sort_keys=False))
    here = folder / "deliveries" / str(YEAR) / district
    here.mkdir(parents=True)
    for file, content in wrong.files.items():
        content(here / file) if callable(content) else (here / file).write_bytes(content)
    return district


def _workspace(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "workspace.yaml").write_text(
        "name: Utility of Wrong Files\nrate_tables: clean_water_services\nbilling_years: [2018, 2019]\n"
    )
    return folder


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


@pytest.mark.parametrize("name", WRONG)
def test_promise_9_a_wrong_file_is_one_sentence_and_costs_only_what_is_wrong(
    con: Any, tmp_path: Path, name: str
) -> None:
    district = _district(_workspace(tmp_path), name)
    if name == "last year again":
        last_year = tmp_path / "deliveries" / "2018" / district
        last_year.mkdir(parents=True)
        (last_year / "a.csv").write_bytes(text(*GOOD))
        workspace = Workspace(tmp_path)
        receive(workspace, 2018, workspace.district(district, 2018))
    workspace = Workspace(tmp_path)
    entry, year = workspace.district(district, YEAR), workspace.year(YEAR)
    rows = receive(workspace, YEAR, entry)
    files = [
        DeliveredFile(row["source_file"], row["content_hash"], archived(workspace.archive, row["content_hash"]))
        for row in rows
        if row["status"] == "current"
    ]
    door = FrontDoor(con, entry, year, files, tmp_path / "scratch")
    tables = {
        "deliveries": ibis.memtable(rows, schema=DELIVERIES.schema),
        **{made: door[made] for made in ("delivery_totals", "rejected_rows")},
    }
    found = all_findings(OF_OFFICE, **tables, year=year)
    said = [
        m for table in (*tables.values(), found) for m in con.to_pyarrow(table.select("message"))["message"].to_pylist()
    ]
    assert any(WRONG[name].said in message for message in said), said
    assert all(message.isprintable() and len(message) < 700 for message in said)
    assert int(con.to_pyarrow(door["consumption"].count()).as_py()) == WRONG[name].rows
    for identity in identities_of_files(door["delivery_totals"], by_file(door["consumption"]), door["rejected_rows"]):
        lost = con.to_pyarrow(identity.filter(identity.difference_thousandths != 0)).to_pylist()
        assert [row["identity"] for row in lost] == [row["identity"] for row in lost if row["identity"] in name]
    door.close()


def _extract(folder: Path, districts: list[str]) -> None:
    """A CIS extract with a service for each account of each district; two districts claim one meter."""
    services, links = [], []
    for district in districts:
        for account in ACCOUNTS:
            service = f"{district}-{account}"
            services.append(
                f"{service},{service},{service},single_family,1,1,1,unincorporated,utility,monthly,active,2010-01-01,,2010-01-01,district"
            )
            links.append(f"{service},{district},{account},,domestic,1,2010-01-01,")
    links.append("all_is_well-112,all_is_well_too,112,,domestic,1,2010-01-01,")
    rows = {"sewer_services": services, "meter_links": links, "non_sewer_accounts": [], "current_averages": []}
    here = folder / "cis_extract" / str(YEAR)
    here.mkdir(parents=True)
    for sheet, header in EXTRACT_HEADERS.items():
        (here / f"{sheet}.csv").write_text("\n".join([header, *rows[sheet]]) + "\n")


def test_wrong_files_of_some_districts_leave_the_others_as_they_are_and_the_run_ends_well(tmp_path: Path) -> None:
    folder = _workspace(tmp_path / "utility")
    districts = [_district(folder, name) for name in (*WHOLE_RUN, "all is well", "all is well too")]
    _extract(folder, districts)
    zeros = folder / "deliveries" / str(YEAR) / "all_is_well_too" / "a.csv"
    zeros.write_bytes(zeros.read_bytes().replace(b"110,M110", b"00110,M110"))
    ran = annual_billing("run", YEAR, "--workspace", folder)
    status = annual_billing("status", YEAR, "--workspace", folder)
    assert (ran.code, status.code) == (0, 0), ran.err + status.err
    assert "Traceback" not in ran.out + ran.err + status.out + status.err
    averages = dict(query(folder, "SELECT service_id, winter_average FROM billing_basis WHERE derivation = 'computed'"))
    expected = {"all_is_well-110", "all_is_well-111", "all_is_well_too-111", "all_is_well_too-112", "last_line_cut_off-110",
                "last_line_cut_off-111", *(f"control_total_differs-{account}" for account in ACCOUNTS)}  # fmt: skip
    assert {service: averages.get(service) for service in expected} == dict.fromkeys(expected, 6)
    claims = [
        m
        for (m,) in query(
            folder,
            "SELECT message FROM findings WHERE rule_id = 'match.meter_in_two_districts' AND severity = 'must_decide'",
        )
    ]
    assert claims == [
        "meter M112 is delivered by all_is_well (account 112) and by all_is_well_too (account 112) for the same days, for one premise: "
        "its use counts twice"
    ]  # fmt: skip
    unmatched = [
        m
        for (m,) in query(
            folder, "SELECT message FROM unmatched WHERE district_id = 'all_is_well_too' AND side = 'service'"
        )
    ]
    assert unmatched == [
        "the linked account is not in the delivery; the nearest match differs in leading zeros or a check digit"
    ]
    lost = query(folder, "SELECT district_id, identity FROM reconciliation WHERE difference <> 0")
    assert lost == [("control_total_differs", "control total")]


REGISTRY = {
    "a unit that nobody knows": ({"volume": {"unit": "buckets"}}, "key volume.unit: 'buckets' is not allowed; allowed: 'ccf'"),
    "a folder outside the workspace": ({"source": {"kind": "folder", "path": "/etc/{year}"}}, "leads out of the workspace; allowed: a folder below it"),
    "a folder above the workspace": ({"source": {"kind": "folder", "path": "../{year}"}}, "leads out of the workspace"),
}  # fmt: skip


@pytest.mark.parametrize("name", REGISTRY)
def test_a_wrong_registry_is_one_sentence_and_nothing_is_run(tmp_path: Path, name: str) -> None:
    change, said = REGISTRY[name]
    (tmp_path / "districts").mkdir()
    (tmp_path / "workspace.yaml").write_text("name: U\nrate_tables: clean_water_services\nbilling_years: [2019]\n")
    (tmp_path / "districts" / "alder.yaml").write_text(yaml.safe_dump({"district": "alder", **BASE, **change}))
    ran = annual_billing("run", YEAR, "--workspace", tmp_path)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.startswith("districts/alder.yaml")
    assert not os.path.exists(tmp_path / "work" / "billing.duckdb")
