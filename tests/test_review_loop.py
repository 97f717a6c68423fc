"""The reviewer's loop: the workbook goes out, decisions come in, and nothing is lost or changed on the way.

Belongs here: what `review` writes and `decide` takes in or refuses, with findings made by hand.
Does not belong here: rules; what decisions change.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import shutil
import subprocess
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from contract_rows import row, table_of
from python_calamine import CalamineWorkbook
from whole_runs import annual_billing, tiny_workspace
from xlsxwriter.utility import xl_rowcol_to_cell

from assets.billing_database import publish
from assets.decisions import read_decisions
from assets.engine import connected
from assets.store import WHOLE
from pipelines.review.evidence import review_of
from pipelines.review.taking_in import TakenIn, read_entries, take_in
from pipelines.review.words import DECISIONS, SAMPLE_SHEET, STALE_SHEET, TIED_COLUMNS, WORKLIST_SHEET
from pipelines.review.workbook import Entry, write_workbook
from pipelines.session import open_session
from rate_tables.config_file import ConfigError
from validations.contract import Contract
from validations.tables import (
    BILLING_BASIS,
    CONSUMPTION,
    DECISION_ENTRIES,
    FINDINGS,
    IRREGULAR_USE,
    PROPOSED_CORRECTIONS,
    SERVICE_CONSUMPTION,
    SEWER_SERVICES,
    WORKLIST,
)
from validations.tables import DECISIONS as DECISIONS_TABLE
from validations.workspace import Workspace

YEAR = 2019
D = dt.date.fromisoformat
SERVICES = ("0001", "0002", "0003", "0004")
RULES = {"0001": "use.high", "0002": "read.estimate_then_correction", "0003": "use.zero_run", "0004": "use.low"}
OF_DISTRICT = "delivery.refused_rows:tiny"
HOSTILE = '=HYPERLINK("http://x.example") used 41 CCF'


def _sheets_of(workbook: Path) -> str:
    """The XML of all sheets."""
    with zipfile.ZipFile(workbook) as parts:
        return "".join(parts.read(name).decode() for name in parts.namelist() if name.startswith("xl/worksheets/sheet"))


def finding_of(service: str) -> str:
    return f"{RULES[service]}:{service}"


def hand_made(folder: Path, *, moved: tuple[str, ...] = ()) -> Workspace:
    """A workspace whose store has one finding for each of four services and one for the district; the evidence of ``moved`` is another."""
    if not (folder / "workspace.yaml").exists():
        tiny_workspace(folder, {}, {}, years=[2018, YEAR])
    workspace = Workspace(folder)
    findings = [
        row(
            FINDINGS, finding_id=finding_of(s), service_id=s, district_id="tiny", rule_id=RULES[s], severity="review", message=HOSTILE,
            period_start=D("2018-12-01"), period_end=D("2019-01-01"), evidence=f'{{"ccf":{9 if s in moved else 4},"name":"0{s}"}}',
            evidence_hash=f"hash of {s}{' moved' if s in moved else ''}",
        ) for s in SERVICES
    ]  # fmt: skip
    of_district = row(
        FINDINGS, finding_id=OF_DISTRICT, service_id="", district_id="tiny", severity="must_decide", evidence_hash="d"
    )
    proposal = row(
        PROPOSED_CORRECTIONS,
        finding_id=finding_of("0002"),
        service_id="0002",
        district_id="tiny",
        proposed_volume_thousandths=7,
        volume_unit="ccf",
    )
    months = [D(f"2018-{m:02d}-01") for m in range(5, 13)] + [D(f"2019-{m:02d}-01") for m in range(1, 6)]
    used = [
        row(CONSUMPTION, district_id="tiny", district_account=s, meter_id="", period_start=a, period_end=b, days=(b - a).days,
            billed_volume_thousandths=1000 * (n + 1), volume_unit="ccf", source_file="f", source_row=n * 10 + int(s), source_column="")
        for s in SERVICES for n, (a, b) in enumerate(pairwise(months))
    ]  # fmt: skip
    links = [
        row(SERVICE_CONSUMPTION, service_id=s, district_id="tiny", district_account=s, meter_id="", purpose="domestic", link_start=D("2001-01-01"),
            link_end=D("9999-12-31"), share_from_millionths=0, share_to_millionths=1_000_000) for s in SERVICES
    ]  # fmt: skip
    listed = [
        row(WORKLIST, finding_id=finding_of(s), service_id=s, account_id=f"0{s}", rule_id=RULES[s], severity="review", place=n,
            listed_on="sample" if s == "0004" else "worklist", winter_average_thousandths=8000, at_stake_a_year_cents=10_000 - n,
            proposed_decision="as_it_is", decision="", decision_status="") for n, s in enumerate(SERVICES, start=1)
    ]  # fmt: skip
    basis = [
        row(BILLING_BASIS, service_id=s, volume_unit="ccf", prior_average_thousandths=None if s == "0003" else 5000, slice_id="tiny") for s in SERVICES
    ]  # fmt: skip
    tables: list[tuple[Contract, str, list[Any]]] = [
        (FINDINGS, WHOLE, [*findings, of_district]), (IRREGULAR_USE, "tiny", [{**f, "period_end": None} if f["service_id"] == "0004" else f for f in findings]),
        (PROPOSED_CORRECTIONS, "tiny", [proposal]), (WORKLIST, WHOLE, listed), (CONSUMPTION, "tiny", used),
        (SERVICE_CONSUMPTION, "tiny", links), (BILLING_BASIS, "tiny", basis),
        (SEWER_SERVICES, "tiny", [row(SEWER_SERVICES, service_id=s, slice_id="tiny") for s in SERVICES]),
    ]  # fmt: skip
    with open_session(workspace) as session:
        for contract, slice_id, rows in tables:
            session.store.write(contract, YEAR, slice_id, table_of(contract, *rows), "v")
        publish(session)
    return workspace


def taken(workspace: Workspace, file: Path, **given: Any) -> TakenIn:
    return take_in(workspace, YEAR, file, today=D("2019-05-20"), **given)


def decided(workspace: Workspace) -> list[dict[str, Any]]:
    con = connected()
    sheet = read_decisions(con, workspace.decisions(YEAR), workspace.work / "scratch")
    assert con.to_pyarrow(sheet.rejected.count()).as_py() == 0
    return list(con.to_pyarrow(sheet.rows.order_by("decision_id")).to_pylist())


def filled(workspace: Workspace, to: Path, entries: dict[str, Entry]) -> Path:
    """The workbook that `review` writes, as a person filled it in."""
    write_workbook(review_of(workspace, YEAR), to, 3, entries)
    return to


def sheet_of(path: Path, *rows: dict[str, str]) -> Path:
    names = list(dict.fromkeys(name for r in rows for name in r))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def line(service: str, decision: str, **given: str) -> dict[str, str]:
    return {"finding_id": finding_of(service), "evidence_hash": f"hash of {service}", "decision": decision, "average": "",
            "reason": "seen on site", "name": "Clerk One"} | given  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-made workspace, built once; tests take a copy."""
    folder = tmp_path_factory.mktemp("review") / "ws"
    hand_made(folder)
    return folder


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(made, tmp_path / "ws")))


def test_the_workbook_has_a_row_for_each_open_finding_most_dollars_first_and_no_formula(
    workspace: Workspace, tmp_path: Path
) -> None:
    book = CalamineWorkbook.from_path(filled(workspace, tmp_path / "out.xlsx", {}))
    assert book.sheet_names[:4] == [WORKLIST_SHEET, "what each word does", "summary", SAMPLE_SHEET]
    header, *rows = book.get_sheet_by_name(WORKLIST_SHEET).to_python()
    shown = [dict(zip(header, r, strict=True)) for r in rows]
    assert [r["service"] for r in shown] == ["0001", "0002", "0003"]
    assert [r["account"] for r in shown] == ["00001", "00002", "00003"]
    assert {r["what was found"] for r in shown} == {HOSTILE}
    assert [r["2018-05"] for r in shown] == pytest.approx([1.0] * 3)
    assert [r["2019-04"] for r in shown] == pytest.approx([12.0] * 3)
    assert shown[0]["use in it, a month"] == round(8 / 31 * 365.25 / 12, 3)
    assert all(r["decision"] == r["average"] == r["reason"] == r["name"] == "" for r in shown)
    assert "<f>" not in _sheets_of(tmp_path / "out.xlsx")
    with pytest.raises(ConfigError, match="not overwritten"):
        filled(workspace, tmp_path / "out.xlsx", {})


def test_a_decision_is_taken_in_once_and_kept_with_the_evidence_it_saw(workspace: Workspace, tmp_path: Path) -> None:
    entries = {
        finding_of("0001"): Entry("set_average", "7.125", "a pool was filled", "Clerk One"),
        finding_of("0002"): Entry("as_proposed", "", 'takes the proposal, as "usual"', ""),
        finding_of("0004"): Entry("as_it_is", "", "small", "Clerk Two"),
        OF_DISTRICT: Entry("as_it_is", "", "sent back", "Clerk Two"),
    }
    file = filled(workspace, tmp_path / "out.xlsx", entries)
    assert taken(workspace, file, by="Clerk Three") == TakenIn(
        {"set_average": 1, "as_proposed": 1, "as_it_is": 2}, 0, []
    )
    first, second, *_ = kept = decided(workspace)
    assert first == {
        "decision_id": "D-2019-000001", "finding_id": "use.high:0001", "service_id": "0001", "rule_id": "use.high", "decision": "set_average",
        "average_thousandths": 7125, "reason": "a pool was filled", "decided_by": "Clerk One", "decided_on": D("2019-05-20"),
        "evidence_hash": "hash of 0001", "evidence_seen": '{"ccf":4,"name":"00001"}',
    }  # fmt: skip
    assert (second["decided_by"], second["reason"]) == ("Clerk Three", 'takes the proposal, as "usual"')

    bytes_before = workspace.decisions(YEAR).read_bytes()
    assert taken(workspace, file, by="Clerk Three") == TakenIn({}, 4, [])
    assert workspace.decisions(YEAR).read_bytes() == bytes_before

    later = sheet_of(tmp_path / "later.csv", line("0001", "as_it_is"))
    assert taken(workspace, later).counts == {"as_it_is": 1}
    assert workspace.decisions(YEAR).read_bytes().startswith(bytes_before)
    assert decided(workspace)[:-1] == kept
    again = taken(workspace, file, by="Clerk Three")
    assert (again.counts, again.taken_before, len(again.refused)) == ({}, 3, 1)
    assert "a later decision took its place" in again.refused[0]


BAD = [
    (line("0001", "whatever"), "column decision: 'whatever' is not allowed; allowed: as_it_is, as_proposed"),
    (line("0001", "as_proposed"), "column decision: as_proposed needs a proposal"),
    (line("0004", "leave_out"), "column decision: leave_out needs a period of use"),
    (line("0003", "prior_average"), "column decision: the service has no average in force"),
    (line("0001", "set_average"), "column average: set_average needs the average per month"),
    (line("0001", "as_it_is", average="3"), "column average: only set_average may have a figure"),
    (line("0001", "set_average", average="-3"), "column average: '-3' is not allowed"),
    (line("0001", "set_average", average="7,5"), "column average: '7,5' is not allowed"),
    (line("0001", "set_average", average="1e9"), "column average: '1e9' is not allowed"),
    (line("0001", "as_it_is", reason=""), "column reason: it is empty"),
    (line("0001", "as_it_is", reason="=1+1"), "column reason: allowed: one line"),
    (line("0001", "as_it_is", reason="x" * 201), "column reason: allowed: one line"),
    (line("0001", "as_it_is", name=""), "column name: it is empty"),
    (line("0001", "as_it_is", evidence_hash="older"), "column evidence_hash: the evidence has changed"),
    (line("0001", "as_it_is", finding_id="use.high:9999"), "column finding_id: the year has no such finding"),
    (line("0001", "prior_average", finding_id=OF_DISTRICT, evidence_hash="d"), "the finding is about no service; allowed: as_it_is"),
]  # fmt: skip


def test_a_bad_row_is_refused_with_a_sentence_and_the_good_ones_stand_or_none_if_strict(
    workspace: Workspace, tmp_path: Path
) -> None:
    for number, (bad, says) in enumerate(BAD):
        file = sheet_of(tmp_path / f"{number}.csv", bad, line("0002", "as_it_is", reason=f"reason {number}"))
        refused = taken(workspace, file, strict=True)
        assert (refused.counts, len(refused.refused)) == ({}, 1), bad
        assert f"{number}.csv, row 2, {says}" in refused.refused[0].replace(
            "column decision: the finding", "the finding"
        )
        assert len(decided(workspace)) == number, "strict takes in nothing"
        assert taken(workspace, file).counts == {"as_it_is": 1}
        assert "seen on site" not in refused.refused[0]
        assert "Clerk" not in refused.refused[0]


def test_of_two_rows_about_one_finding_none_is_taken(workspace: Workspace, tmp_path: Path) -> None:
    file = sheet_of(
        tmp_path / "two.csv", line("0001", "as_it_is"), line("0001", "prior_average"), line("0002", "", reason="")
    )
    found = taken(workspace, file)
    assert (found.counts, len(found.refused)) == ({}, 2)
    assert not workspace.decisions(YEAR).exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no workbook", b"finding_id,decision\nx,as_it_is\n", b"\xff\xfe\x00"]
)
@pytest.mark.parametrize("name", ["in.xlsx", "in.csv"])
def test_a_file_that_is_no_review_is_a_sentence(
    workspace: Workspace, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        taken(workspace, tmp_path / name)
    assert not workspace.decisions(YEAR).exists()


def test_what_cannot_be_read_back_is_not_written(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.decisions(YEAR)
    path.parent.mkdir()
    swapped = "finding_id,decision_id,service_id,rule_id,decision,average,reason,decided_by,decided_on,evidence_hash,evidence_seen\n"
    path.write_text(swapped, encoding="utf-8")
    with pytest.raises(ConfigError, match="could not be read back"):
        taken(workspace, sheet_of(tmp_path / "in.csv", line("0001", "as_it_is")))
    assert path.read_text(encoding="utf-8") == swapped
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_commands_say_what_was_taken_in_and_name_nobody(workspace: Workspace, tmp_path: Path) -> None:
    wrote = annual_billing("review", YEAR, "--workspace", workspace.folder, "--to", tmp_path / "out.xlsx")
    assert (wrote.code, wrote.err) == (0, "")
    assert "3 services one by one, 1 as a sample" in wrote.out
    file = sheet_of(tmp_path / "in.csv", line("0001", "as_it_is"), line("0002", "nonsense"))
    ran = annual_billing("decide", YEAR, file, "--workspace", workspace.folder)
    assert ran.code == 1
    assert "Taken in: 1 decisions (as_it_is 1)." in ran.out
    assert "annual-billing run 2019" in ran.out
    assert "in.csv, row 3, column decision: 'nonsense'" in ran.err
    assert "Clerk" not in ran.out + ran.err
    assert annual_billing("decide", YEAR, tmp_path / "gone.csv", "--workspace", workspace.folder).code == 2


def test_a_stale_decision_comes_back_with_both_versions_of_its_evidence(workspace: Workspace, tmp_path: Path) -> None:
    from assets.decisions import decisions

    taken(workspace, sheet_of(tmp_path / "in.csv", line("0001", "as_it_is"), line("0002", "as_it_is")))
    hand_made(workspace.folder, moved=("0001",))
    with open_session(workspace) as session:
        entries = table_of(DECISION_ENTRIES, *decided(workspace))
        met = decisions(entries, session.store.read(FINDINGS, YEAR, [WHOLE]))
        session.store.write(DECISIONS_TABLE, YEAR, WHOLE, met, "v")
        publish(session)
    book = CalamineWorkbook.from_path(filled(workspace, tmp_path / "out.xlsx", {}))
    header, *rows = book.get_sheet_by_name(STALE_SHEET).to_python()
    shown = [dict(zip(header, r, strict=True)) for r in rows]
    assert [(r["service"], r["figure"], r["as it was then"], r["as it is"]) for r in shown] == [
        ("0001", "ccf", "4", "9"), ("0001", "name", "00001", "00001"),
    ]  # fmt: skip


def converted(path: Path, kind: str, folder: Path) -> Path:
    """``path`` as LibreOffice saves it."""
    program = shutil.which("soffice") or shutil.which("libreoffice")
    if program is None:
        if os.environ.get("ANNUAL_BILLING_REQUIRE_OFFICE") == "1":
            pytest.fail("LibreOffice is required here (soffice is not on the path)")
        pytest.skip("LibreOffice is not installed")
    folder.mkdir()
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    subprocess.run(
        [program, profile, "--headless", "--convert-to", kind, "--outdir", str(folder), str(path)],
        check=True,
        capture_output=True,
        timeout=180,
    )
    return folder / f"{path.stem}.{kind}"


def test_a_round_trip_through_a_spreadsheet_program_changes_nothing_it_should_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    entries = {
        finding_of("0001"): Entry("set_average", "7.125", "0042 is the work order", "Clerk One"),
        finding_of("0003"): Entry("leave_out", "", "1/2 of the house was empty", "Clerk Two"),
        finding_of("0004"): Entry("as_it_is", "", "TRUE", "Clerk Two"),
    }
    file = filled(workspace, tmp_path / "review.xlsx", entries)
    back = converted(converted(file, "ods", tmp_path / "ods"), "xlsx", tmp_path / "xlsx")

    con = connected()
    scratch = tmp_path / "scratch"
    assert read_entries(con, back, scratch) == read_entries(con, file, scratch)
    for name in (WORKLIST_SHEET, SAMPLE_SHEET):
        before, after = (CalamineWorkbook.from_path(p).get_sheet_by_name(name).to_python() for p in (file, back))
        assert after == before
    sheets = _sheets_of(back)
    assert "dataValidation " in sheets
    assert all(word in sheets for word in DECISIONS)
    assert taken(workspace, back) == TakenIn({"set_average": 1, "leave_out": 1, "as_it_is": 1}, 0, [])
    assert taken(workspace, file) == TakenIn({}, 3, [])
    assert [
        (d["finding_id"], d["evidence_hash"], d["average_thousandths"], d["reason"]) for d in decided(workspace)
    ] == [
        (finding_of("0001"), "hash of 0001", 7125, "0042 is the work order"),
        (finding_of("0003"), "hash of 0003", None, "1/2 of the house was empty"),
        (finding_of("0004"), "hash of 0004", None, "TRUE"),
    ]


def test_a_row_that_was_sorted_apart_from_what_it_is_about_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    def shown(service: str, rule: str, about: str) -> dict[str, str]:
        return line(about, "as_it_is") | {"service": service, "rule": rule}

    apart = [shown("0003", RULES["0001"], "0001"), shown("0003", RULES["0001"], "0003")]
    good = shown("0002", RULES["0002"], "0002")
    found = taken(workspace, sheet_of(tmp_path / "sorted.csv", *apart, good))
    assert (found.counts, len(found.refused)) == ({"as_it_is": 1}, 2)
    assert "row 2, column service: the row shows '0003' and its finding is about '0001'" in found.refused[0]
    assert "row 3, column rule: the row shows 'use.high' and its finding is about 'use.zero_run'" in found.refused[1]
    assert [d["finding_id"] for d in decided(workspace)] == [finding_of("0002")]


def test_a_filter_sorts_what_a_row_is_about_together_with_the_row(workspace: Workspace, tmp_path: Path) -> None:
    book = filled(workspace, tmp_path / "out.xlsx", {})
    for name, width in ((WORKLIST_SHEET, 3), (SAMPLE_SHEET, 1)):
        header, *rows = CalamineWorkbook.from_path(book).get_sheet_by_name(name).to_python()
        assert len(rows) == width
        last = xl_rowcol_to_cell(len(rows), len(header) - 1)
        assert header[-2:] == list(TIED_COLUMNS)
        assert f'<autoFilter ref="A1:{last}"' in _sheets_of(book)


def test_a_row_that_somebody_began_and_did_not_decide_is_told_and_not_skipped(
    workspace: Workspace, tmp_path: Path
) -> None:
    begun = [line("0001", "", name=""), line("0002", "", reason="", average="7.5")]
    found = taken(workspace, sheet_of(tmp_path / "begun.csv", *begun, line("0003", "", reason="")))
    assert found.counts == {}
    assert [text.split(":")[0] for text in found.refused] == [
        "begun.csv, row 2, column decision", "begun.csv, row 3, column decision",
    ]  # fmt: skip
