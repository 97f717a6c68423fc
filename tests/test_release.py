"""A release: whole or not there, only as approved, the same bytes for the same contents, readable by other programs.

Belongs here: the bill files, their marker, the conditions for writing them, what a stopped command leaves.
Does not belong here: approving (``test_approval``), proving a release later (``test_verification``), credits (``test_corrections``).
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import frictionless
import ibis
import pyarrow.parquet as pq
import pytest
from releasable import APPROVES, ENTERED, ODD, SERVICES, YEAR, decide_all, override_everything
from whole_runs import ROOT, annual_billing, query

from assets.contents import contents_of, digest_of
from assets.engine import connected
from assets.log import Log
from assets.stage import slices_of
from pipelines.release import releasing
from pipelines.release.approval import approve
from pipelines.release.bundle import write_bundle
from pipelines.release.correction_commands import after_release
from pipelines.release.fixed_width import DoesNotFit, records
from pipelines.release.people import NotEntitled
from pipelines.release.posting import NotPostable, Posting, differences_of, posting_of
from pipelines.release.releases import last, unfinished, versions
from pipelines.release.releasing import NotReleased, release
from pipelines.release.verification import Proof, check_releases
from pipelines.session import open_session, read_session
from rate_tables.config_file import ConfigError, load_config
from rate_tables.exact import scale_of
from validations.bill_layout import BillLayout, FixedField
from validations.contract import Contract
from validations.tables import BILLING_BASIS, BILLS, POSTED_AVERAGES, SEWER_SERVICES
from validations.workspace import MARKER, SHIPPED_LAYOUTS, Workspace

AGENCY = "fernbrook_agency"
SHIPPED = load_config(BillLayout, SHIPPED_LAYOUTS / "winter_average_update.yaml")
ISSUED = (
    "service_id,billing_agency,period_start,period_end,billed_winter_average,billed_amount\n"
    "S01,sewer_utility,2019-07-01,2019-08-01,7.5,54.21\n"
)


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name there."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def approved(undecided: Path) -> Path:
    """The same, all overridden and approved, ready for its first release."""
    folder = shutil.copytree(undecided, undecided.with_name("approved"), symlinks=True)
    override_everything(folder)
    approve(Workspace(folder), YEAR, APPROVES)
    return folder


@pytest.fixture(scope="module")
def first(approved: Path) -> Path:
    """The same with its first version."""
    folder = shutil.copytree(approved, approved.with_name("first"), symlinks=True)
    release(Workspace(folder), YEAR, APPROVES)
    return folder


@pytest.fixture(scope="module")
def second(first: Path) -> Path:
    """The same after the findings were decided, with bills issued in the meantime, and a second version."""
    folder = shutil.copytree(first, first.with_name("second"), symlinks=True)
    decide_all(folder)
    (folder / "bills_issued").mkdir()
    (folder / "bills_issued" / f"{YEAR}.csv").write_text(ISSUED, encoding="utf-8")
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.out + ran.err
    approve(Workspace(folder), YEAR, APPROVES)
    release(Workspace(folder), YEAR, APPROVES)
    return folder


@pytest.fixture
def to_release(approved: Path, tmp_path: Path) -> Workspace:
    """A copy of the approved year, to be spoilt."""
    return Workspace(shutil.copytree(approved, tmp_path / "ws", symlinks=True))


def files_of(workspace: Path, version: int = 1) -> Path:
    return workspace / "work" / "bill_files" / str(YEAR) / f"v{version}"


# What holds a release up


def test_what_holds_up_release_is_listed_with_its_next_step_and_nothing_is_written(undecided: Path) -> None:
    before = content_of(undecided / "work" / "bill_files")
    refused = annual_billing("release", YEAR, "--by", APPROVES, "--workspace", undecided)
    assert refused.code == 1
    assert "findings.nothing_to_decide" in refused.err
    assert "annual-billing" in refused.err
    assert content_of(undecided / "work" / "bill_files") == before


def test_promise_6_a_year_that_nobody_approved_as_it_stands_is_not_released(to_release: Workspace) -> None:
    approvals = to_release.log.read_bytes()
    lines = approvals.splitlines(keepends=True)
    assert json.loads(lines[-1])["kind"] == "approval"
    to_release.log.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(NotReleased, match=f"Nobody has approved {YEAR}"):
        release(to_release, YEAR, APPROVES)
    to_release.log.write_bytes(approvals)
    with to_release.overrides(YEAR).open("a", encoding="utf-8") as file:
        line = to_release.overrides(YEAR).read_text(encoding="utf-8").splitlines()[-1]
        number = int(line.split(",")[0].rpartition("-")[2])
        file.write(line.replace(f"{number:06d}", f"{number + 1:06d}") + "\n")
    with pytest.raises(
        NotReleased, match=rf"Changed since it was approved .*decisions/{YEAR}_overrides.csv \(changed\)"
    ):
        release(to_release, YEAR, APPROVES)
    assert versions(to_release, YEAR) == []


def test_who_may_not_release_does_not_and_where_people_are_listed_somebody_is_named(to_release: Workspace) -> None:
    with pytest.raises(NotEntitled, match="may not release"):
        release(to_release, YEAR, ENTERED)
    with pytest.raises(ConfigError, match="--by: it is required"):
        release(to_release, YEAR)


def test_a_setting_that_contradicts_the_rule_about_crossing_bills_is_refused(to_release: Workspace) -> None:
    with (to_release.folder / "workspace.yaml").open("a", encoding="utf-8") as file:
        file.write("release: {effective: bills_issued}\n")
    with read_session(Workspace(to_release.folder)) as session, pytest.raises(ConfigError, match="crossing_bill"):
        posting_of(session, YEAR)


# What is in it


def test_the_public_frictionless_tool_finds_every_file_valid_and_a_changed_byte_not(
    second: Path, tmp_path: Path
) -> None:
    for version in (1, 2):
        folder = shutil.copytree(files_of(second, version), tmp_path / f"v{version}")
        report = frictionless.validate(str(folder / "datapackage.json"))
        assert report.valid, report.flatten(["name", "type", "note"])
        described = json.loads((folder / "datapackage.json").read_bytes())["resources"]
        assert {one["path"] for one in described} == content_of(folder).keys() - {MARKER, "datapackage.json"}
    path = folder / "sewer_utility.csv"
    path.write_bytes(path.read_bytes().replace(b"ready", b"heldy", 1))
    assert not frictionless.validate(str(folder / "datapackage.json")).valid


def test_csv_parquet_and_fixed_width_hold_the_same_and_come_to_the_control_totals(first: Path) -> None:
    folder = files_of(first)
    marker = json.loads((folder / MARKER).read_bytes())
    (agency,) = marker["agencies"]
    with (folder / "sewer_utility.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["service_id"] for row in rows] == SERVICES
    stands = query(first, "SELECT service_id, winter_average, prior_average FROM billing_basis ORDER BY 1")
    assert [
        (r["service_id"], Decimal(r["new_winter_average"]), Decimal(r["old_winter_average"])) for r in rows
    ] == stands
    typed = pq.read_table(folder / "sewer_utility.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in typed] == rows
    header, *details, trailer = (folder / "sewer_utility.txt").read_text(encoding="ascii").splitlines()
    assert {len(line) for line in (header, *details, trailer)} == {160}
    assert (header[67:71], header[71:75], header[75:83], header[95:159]) == (
        str(YEAR),
        "0001",
        "20190701",
        marker["digest"],
    )
    for line, row in zip(details, rows, strict=True):
        texts = {
            "service_id": line[1:26],
            "account_id": line[26:51],
            "premise_id": line[51:76],
            "source_code": line[112:132],
        }
        assert {name: text.rstrip() for name, text in texts.items()} == {name: row[name] for name in texts}
        numbers = {
            "old_winter_average": line[76:88],
            "new_winter_average": line[88:100],
            "preview_amount": line[140:152],
        }
        assert {name: text.strip() and Decimal(text) for name, text in numbers.items()} == {
            name: row[name] and Decimal(row[name]) for name in numbers
        }

    def total(name: str) -> Decimal:
        return sum((Decimal(row[name] or "0") for row in rows), Decimal(0))

    totals = [total(name) for name in ("old_winter_average", "new_winter_average", "preview_amount")]
    assert totals == [Decimal(trailer[10:28]), Decimal(trailer[28:46]), Decimal(trailer[46:64])]
    assert int(trailer[1:10]) == len(details) == agency["services"]
    assert [
        Decimal(agency["old_average_thousandths"]).scaleb(-3),
        Decimal(agency["new_average_thousandths"]).scaleb(-3),
        Decimal(agency["preview_amount_cents"]).scaleb(-2),
    ] == totals


def test_the_marker_names_digest_approval_log_head_and_the_hash_of_every_file(first: Path) -> None:
    workspace = Workspace(first)
    (found,) = versions(workspace, YEAR)
    entries = Log(workspace).entries()
    approval = next(entry for entry in entries if entry.kind == "approval")
    assert entries[-1].kind == "release"
    assert entries[-1].previous == found.marker["log_head"] == approval.hash
    assert found.marker["approval"]["entry_hash"] == approval.hash
    assert found.marker["digest"] == approval.about["digest"] == entries[-1].about["digest"]
    assert {one["file"] for one in found.marker["files"]} == content_of(found.folder).keys() - {MARKER}
    proof = Proof()
    check_releases(workspace, YEAR, entries, proof)
    assert proof.wrong == []


def test_promise_3_the_same_contents_give_the_same_bytes_with_one_thread_and_with_four(
    approved: Path, first: Path, tmp_path: Path
) -> None:
    released = content_of(files_of(first))
    del released[MARKER]
    for threads in (1, 4):
        with read_session(Workspace(approved)) as session:
            session.store.con.raw_sql(f"SET threads = {threads}")
            digest = digest_of(contents_of(session, YEAR))
            made = tmp_path / str(threads)
            made.mkdir()
            write_bundle(session, YEAR, made, version=1, digest=digest, earlier=[], decided_on=dt.date(2030, 1, 1))
        assert content_of(made) == released


def test_releasing_again_says_so_and_changes_nothing(first: Path) -> None:
    before, log = content_of(first / "work" / "bill_files"), (first / "log.jsonl").read_bytes()
    again = annual_billing("release", YEAR, "--by", APPROVES, "--workspace", first)
    assert again.code == 0
    assert "released already as it stands: v1" in again.out
    assert content_of(first / "work" / "bill_files") == before
    assert (first / "log.jsonl").read_bytes() == log


def test_the_next_version_lists_exactly_what_changed_and_leaves_the_one_before_as_it_was(
    first: Path, second: Path
) -> None:
    assert content_of(files_of(second, 1)) == content_of(files_of(first, 1))
    averages = [
        {row["service_id"]: row["new_winter_average"] for row in csv.DictReader(text.decode().splitlines())}
        for text in (content_of(files_of(second, version))["sewer_utility.csv"] for version in (1, 2))
    ]
    differ = [service for service in SERVICES if averages[0][service] != averages[1][service]]
    assert set(ODD) <= set(differ) < set(SERVICES)
    with (files_of(second, 2) / "differences.csv").open(encoding="utf-8", newline="") as file:
        changed = list(csv.DictReader(file))
    assert [(row["service_id"], row["old_winter_average"], row["new_winter_average"]) for row in changed] == [
        (service, averages[0][service], averages[1][service]) for service in differ
    ]
    assert all(row["effective_date"] == "2019-07-01" and "prior average stays" in row["reason"] for row in changed)
    assert "credits.csv" in content_of(files_of(second, 2))


def posted(*rows: dict[str, Any]) -> ibis.Table:
    """Rows of POSTED_AVERAGES, each a change of a plain one."""
    plain = {
        "service_id": "S1", "account_id": "A1", "premise_id": "P1", "billing_agency": AGENCY, "old_winter_average_thousandths": 7_000,
        "new_winter_average_thousandths": 8_000, "volume_unit": "ccf", "source_code": "computed", "effective_date": dt.date(2019, 7, 1),
        "effective_means": "service_days", "billing_frequency": "monthly", "preview_amount_cents": 5_000, "bill_status": "ready",
    }  # fmt: skip
    return POSTED_AVERAGES.of_rows([plain | row for row in rows])


def test_each_way_in_which_a_posting_can_differ_is_a_row_with_its_reason() -> None:
    before = posted(
        {"service_id": "same"}, {"service_id": "changed"}, {"service_id": "gone"}, {"service_id": "moved"},
        {"service_id": "later"}, {"service_id": "source_only"},
    )  # fmt: skip
    now = posted(
        {"service_id": "same"}, {"service_id": "changed", "new_winter_average_thousandths": 8_001},
        {"service_id": "added", "source_code": "default"}, {"service_id": "moved", "billing_agency": "other_agency"},
        {"service_id": "later", "effective_date": dt.date(2019, 8, 1)}, {"service_id": "source_only", "source_code": "adjusted"},
    ).mutate(derivation_note=ibis.literal("a note"))  # fmt: skip
    con = connected()
    found = con.to_pyarrow(differences_of(before, Posting(now, [], "ccf", "service_days"))).to_pylist()
    rows = {
        (r["service_id"], r["billing_agency"]): (r["old_winter_average_thousandths"], r["new_winter_average_thousandths"], r["reason"])
        for r in found
    }  # fmt: skip
    assert rows == {
        ("changed", AGENCY): (8_000, 8_001, "computed from its own winter: a note"),
        ("gone", AGENCY): (8_000, None, "nothing is posted any more; before: computed from its own winter"),
        ("added", AGENCY): (None, 8_000, "nothing was posted before; default of its class (no history): a note"),
        ("moved", AGENCY): (8_000, None, "another agency bills it"),
        ("moved", "other_agency"): (None, 8_000, "another agency billed it; computed from its own winter: a note"),
        ("later", AGENCY): (8_000, 8_000, "computed from its own winter: a note"),
    }


# What must not leave


def spoil(workspace: Workspace, contract: Contract, change: Callable[[ibis.Table], ibis.Table]) -> None:
    """Change a table of the store behind the program's back."""
    with open_session(workspace) as session:
        for slice_id in slices_of(contract, workspace):
            if slice_id in session.store.slices(contract, YEAR):
                table = session.store.con.create_table(
                    "spoilt", session.store.read(contract, YEAR, [slice_id]), temp=True
                )
                session.store.write(contract, YEAR, slice_id, change(table), "spoilt")
                session.store.con.drop_table("spoilt", force=True)


@pytest.mark.parametrize(
    ("contract", "change", "sentence"),
    [
        (BILLS, lambda t: t.filter(t.service_id != "S03"), "S03.*without a bill"),
        (BILLING_BASIS, lambda t: t.filter(t.service_id != "S03"), "other totals than the drafts"),
        (SEWER_SERVICES, lambda t: t.mutate(premise_id=ibis.literal("=1+1")), "premise_id that begins like a spreadsheet formula"),
        (BILLING_BASIS, lambda t: t.mutate(account_id=ibis.literal("A\n1")), "account_id that .* cannot be printed"),
    ],
    ids=["a bill lacks", "an average lacks", "a formula", "a line end in an id"],
)  # fmt: skip
def test_promise_9_what_is_not_whole_or_could_be_a_formula_is_not_posted(
    to_release: Workspace, contract: Contract, change: Callable[[ibis.Table], ibis.Table], sentence: str
) -> None:
    spoil(to_release, contract, change)
    with read_session(to_release) as session, pytest.raises(NotPostable, match=sentence):
        posting_of(session, YEAR)


OF_FILE = {
    "billing_agency": AGENCY, "billing_year": YEAR, "version": 1, "effective_date": dt.date(2019, 7, 1), "effective_means": "service_days",
    "digest": "0" * 64, "services": 1, "sum_of_old_averages": 7_000, "sum_of_new_averages": 8_000, "sum_of_preview_amounts": 5_000,
}  # fmt: skip
SERVICE = {
    "service_id": "S1", "account_id": "A1", "premise_id": "P1", "old_winter_average": None, "new_winter_average": 8_125, "volume_unit": "ccf",
    "source_code": "computed", "effective_date": dt.date(2019, 7, 1), "preview_amount": None, "bill_status": "held",
    "billing_frequency": "monthly",
}  # fmt: skip


def test_a_missing_number_is_spaces_in_fixed_width_and_never_zero() -> None:
    _, detail, _ = records(SHIPPED, OF_FILE, [SERVICE])
    assert detail[76:100] == b" " * 12 + b"00000008.125"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"account_id": "A" * 26}, "account_id does not fit its field: it is 26 characters long and the field 25 wide"),
        ({"new_winter_average": 10**12}, "new_winter_average does not fit its field"),
        ({"premise_id": "Ünder"}, "premise_id has a character that ascii lacks"),
        ({"service_id": "S\t1"}, "service_id does not fit its field: it has a character that cannot be printed"),
        ({"bill_status": "other"}, "bill_status does not fit its field: the layout has no code for it"),
    ],
)
def test_what_does_not_fit_its_field_is_refused_and_never_cut(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DoesNotFit, match=sentence):
        list(records(SHIPPED, OF_FILE, [SERVICE | change]))


LAYOUT = """\
title: Own
record_length: 20
line_end: crlf
header: [{value: services, width: 5}, {value: effective_date, width: 10, day: MM/DD/YYYY}, {text: "", width: 5}]
detail: [{value: service_id, width: 4, align: right}, {value: new_winter_average, width: 8, decimals: 2, point: implied, pad_with: zero}, {text: x, width: 8}]
trailer: [{value: sum_of_new_averages, width: 20, decimals: 5}]
"""


def layout_of(path: Path, text: str) -> BillLayout:
    path.write_text(text, encoding="utf-8")
    return load_config(BillLayout, path, "bill_layouts/own.yaml")


def test_a_layout_of_the_workspace_is_written_as_it_says(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "own.yaml", LAYOUT)
    written = b"".join(records(layout, OF_FILE, [SERVICE | {"new_winter_average": 8_120}]))
    assert written == b"    107/01/2019     \r\n  S100000812x       \r\n             8.00000\r\n"
    with pytest.raises(DoesNotFit, match="it has more than 2 decimals"):
        list(records(layout, OF_FILE, [SERVICE]))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("{text: x, width: 8}", "{text: x, width: 9}", r"line 5: key detail: .*20 characters wide together.*these are 21"),
        ("value: service_id", "value: surname", r"line 5: key detail.0.value: 'surname' is not allowed; allowed: .*'account_id'"),
        ("value: service_id", "value: services", r"line 5: key detail.0.value: .*allowed: in a detail record: service_id"),
        ("value: services", "value: version", r"line 6: key trailer: .*the value services, the number of detail records"),
        ("text: x, width: 8", "text: x, width: 8, decimals: 2", r"line 5: key detail.2.decimals: .*only beside a value that is a number"),
        ("align: right", "align: middle", r"line 5: key detail.0.align: 'middle' is not allowed; allowed: 'left' or 'right'"),
        ("title: Own", "titel: Own", r"line 1: key titel: this key is not known"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_layout_is_a_sentence_with_file_line_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in LAYOUT
    with pytest.raises(ConfigError, match=r"^bill_layouts/own.yaml, " + sentence):
        layout_of(tmp_path / "own.yaml", LAYOUT.replace(old, new, 1))


# Stopped on the way


def killed_at(folder: str, step: str) -> None:
    """Release in this process, which dies at a step."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if step == "disk full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
    else:
        setattr(releasing, step, die)
    with pytest.raises(NotReleased, match="nothing was released"):
        release(Workspace(Path(folder)), YEAR, APPROVES)
    os._exit(1)


@pytest.mark.parametrize(("step", "is_released"), [("_marker", False), ("_record", True), ("disk full", False)])
def test_promise_5_a_release_that_is_stopped_is_whole_or_none_and_the_next_command_finishes_it(
    to_release: Workspace, first: Path, step: str, is_released: bool
) -> None:
    processes = multiprocessing.get_context("forkserver")
    process = processes.Process(target=killed_at, args=(str(to_release.folder), step))
    process.start()
    process.join(120)
    assert process.exitcode == (1 if step == "disk full" else -signal.SIGKILL)
    found = versions(to_release, YEAR)
    assert len(found) == is_released
    assert bool(unfinished(to_release, YEAR)) == (step == "_marker")
    outcome = release(to_release, YEAR, APPROVES)
    assert outcome.is_new is not is_released
    made, expected = (content_of(files_of(folder)) for folder in (to_release.folder, first))
    assert made.keys() == expected.keys()
    assert {n: c for n, c in made.items() if n != MARKER} == {n: c for n, c in expected.items() if n != MARKER}
    assert [p.name for p in sorted(outcome.released.folder.parent.iterdir())] == ["draft", "v1"]
    entries, proof = Log(to_release).entries(), Proof()
    assert [entry.kind for entry in entries].count("release") == 1
    check_releases(to_release, YEAR, entries, proof)
    assert proof.wrong == []


def test_a_folder_without_marker_is_told_by_status_and_is_no_release(to_release: Workspace) -> None:
    folder = files_of(to_release.folder)
    folder.mkdir(parents=True)
    (folder / "sewer_utility.csv").write_text("half of it", encoding="utf-8")
    told = after_release(to_release, YEAR)
    assert told[1] == "Not released."
    assert "v1 in work/bill_files/2019 has no release.json" in told[2]
    assert last(to_release, YEAR) is None


def test_nothing_is_released_after_a_version_that_was_changed_or_that_the_log_does_not_know(
    first: Path, tmp_path: Path
) -> None:
    workspace = Workspace(shutil.copytree(first, tmp_path / "ws", symlinks=True))
    stranger = shutil.copytree(files_of(workspace.folder), files_of(workspace.folder, 2))
    marker = json.loads((stranger / MARKER).read_bytes())
    (stranger / MARKER).write_text(json.dumps(marker | {"digest": "0" * 64}), encoding="utf-8")
    with pytest.raises(NotReleased, match=r"does not name what its approval names.*\n.*v2 is in no entry of the log"):
        release(workspace, YEAR, APPROVES)
    shutil.rmtree(stranger)
    path = files_of(workspace.folder) / "sewer_utility.csv"
    path.write_bytes(path.read_bytes().replace(b"ready", b"READY", 1))
    with pytest.raises(NotReleased, match=r"v1/sewer_utility.csv was changed after it was released"):
        release(workspace, YEAR, APPROVES)
    shutil.rmtree(path.parent)
    with pytest.raises(NotReleased, match=r"v1: release 1 \(log entry \d+\) has no release.json"):
        release(workspace, YEAR, APPROVES)


# What docs/bill_files.md says


def test_the_document_names_every_column_key_and_value_and_its_layout_is_one(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "bill_files.md").read_text(encoding="utf-8")
    names = [scale_of(name)[0] for name in POSTED_AVERAGES.columns]
    names += [*BillLayout.model_fields, *FixedField.model_fields, *OF_FILE, "utility", "volume_unit"]
    assert [name for name in names if f"`{name}`" not in document] == []
    (example,) = re.findall(r"```yaml\n(title:.*?)```", document, re.S)
    layout = layout_of(tmp_path / "own.yaml", example)
    _, detail, _ = records(layout, OF_FILE, [SERVICE | {"new_winter_average": 8_120}])
    assert detail == b"A1" + b" " * 18 + b"S1" + b" " * 18 + b"0000000812" + b"HOLD      \r\n"
