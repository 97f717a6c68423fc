"""The gate as the office meets it: what holds up release, with its next step, and overrides that hold for what they were made on.

Belongs here: promises about ``status`` and ``override`` on a year that was really run. Does not belong here: releasing.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import pytest
from releasable import APPROVES, DECIDED, ODD, YEAR, delivery
from whole_runs import annual_billing

from assets.log import Log
from pipelines.release.gate import NotOverridden, gate_of, make_override
from pipelines.release.people import NotEntitled
from pipelines.session import read_session
from rate_tables.config_file import ConfigError
from validations.gate import Gate
from validations.workspace import Workspace

WAITING = "findings.nothing_to_decide"
WHY = "the district confirmed both readings by telephone"


@pytest.fixture
def folder(undecided: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undecided, tmp_path / "ws", symlinks=True))


def status(folder: Path) -> str:
    ran = annual_billing("status", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.err
    return ran.out[ran.out.index("Checks:") :]


def override(folder: Path, block: str = WAITING, by: str = DECIDED, why: str = WHY) -> tuple[int, str]:
    ran = annual_billing("override", YEAR, block, "--by", by, "--why", why, "--workspace", folder)
    assert "Traceback" not in ran.err
    return ran.code, ran.out + ran.err


def run(folder: Path) -> None:
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.err


def test_an_override_lets_the_year_through_as_it_stands_and_other_failing_rows_bring_the_block_back(
    folder: Path,
) -> None:
    held_up = status(folder)
    assert f"- {WAITING}: 2 rows break this: No finding waits for a decision." in held_up
    assert (
        "Next: Follow the remedy of each finding, or decide it (annual-billing review, then decide), and run again."
        in held_up
    )
    assert f"annual-billing override {YEAR} {WAITING} --by NAME" in held_up

    code, said = override(folder)
    assert (code, said.splitlines()[0]) == (
        0,
        f"Overridden: {WAITING}, 2 rows. " + said.split(". ", 1)[1].splitlines()[0],
    )
    let_through = status(folder)
    assert "Nothing holds up release." in let_through
    assert DECIDED in let_through
    assert WHY in let_through
    entry = Log(Workspace(folder)).entries(YEAR, "override")[-1]
    assert (entry.by, entry.about["block_id"], entry.about["reason"]) == (DECIDED, WAITING, WHY)
    assert override(folder)[0] == 0, "the same again, as after a kill, finds it done"
    code, said = override(folder, why="another reason")
    assert (code, "overridden already" in said) == (1, True), "once is enough"
    assert len(Log(Workspace(folder)).entries(YEAR, "override")) == 1

    made = (folder / "decisions" / f"{YEAR}_overrides.csv").read_bytes()
    history = folder / "deliveries" / str(YEAR) / "tiny" / "history.csv"
    history.write_text(delivery({ODD[0]: 90, ODD[1]: 91}), encoding="utf-8")
    run(folder)
    back = status(folder)
    assert f"- {WAITING}: 2 rows break this" in back
    assert f"{WAITING}: no longer so, or on other rows than O-{YEAR}-000001 was made on" in back

    history.write_text(delivery(dict.fromkeys(ODD, 90)), encoding="utf-8")
    run(folder)
    assert "Nothing holds up release." in status(folder)
    assert (folder / "decisions" / f"{YEAR}_overrides.csv").read_bytes() == made


@pytest.mark.parametrize(
    ("block", "by", "why", "refused", "says"),
    [
        (
            "bills.no_such_check",
            DECIDED,
            WHY,
            NotOverridden,
            f"'bills.no_such_check' does not hold up release; what does: {WAITING}.",
        ),
        (WAITING, APPROVES, WHY, NotEntitled, "may not decide"),
        (WAITING, "Some Body", WHY, NotEntitled, "may not decide"),
        (WAITING, DECIDED, "because", ConfigError, "--why: allowed: one line of 10 to 200 characters"),
        (WAITING, DECIDED, "=HYPERLINK(1)&2222", ConfigError, "--why: allowed"),
        (WAITING, DECIDED, "x" * 201, ConfigError, "--why: allowed"),
    ],
)
def test_an_override_that_cannot_be_made_is_a_sentence_and_leaves_no_trace(
    undecided: Path, block: str, by: str, why: str, refused: type[Exception], says: str
) -> None:
    workspace = Workspace(undecided)
    before = Log(workspace).head()
    with pytest.raises(refused, match=re.escape(says)):
        make_override(workspace, YEAR, block, by, why)
    assert not workspace.overrides(YEAR).exists()
    assert Log(workspace).head() == before


def test_a_mistake_at_the_command_line_is_a_sentence_and_an_exit_code(undecided: Path) -> None:
    code, said = override(undecided, why="because")
    assert (code, said.startswith("--why: allowed")) == (2, True)
    code, said = override(undecided, by="Some Body")
    assert (code, "may not decide" in said) == (1, True)


def test_a_file_of_overrides_that_somebody_edited_is_refused_with_file_and_line(folder: Path) -> None:
    make_override(Workspace(folder), YEAR, WAITING, DECIDED, WHY)
    path = folder / "decisions" / f"{YEAR}_overrides.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",2,", ",two,"), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=f"^decisions/{YEAR}_overrides.csv, line 2: rows cannot be read; put back the file"
    ):
        gate(folder)


def gate(folder: Path) -> Gate:
    with read_session(Workspace(folder)) as session:
        return gate_of(session, YEAR)


def test_a_district_that_has_not_delivered_blocks_by_its_name_and_once(folder: Path) -> None:
    shutil.rmtree(folder / "deliveries")
    shutil.rmtree(folder / "adjustments")
    run(folder)
    (block,) = gate(folder).blocks
    assert block.block_id == "deliveries.received/tiny"
    assert block.next_step.startswith("Ask the district for its file")
    make_override(
        Workspace(folder), YEAR, block.block_id, DECIDED, "its services carry their averages forward this year"
    )
    assert gate(folder).is_open


def test_an_extract_older_than_workspace_yaml_allows_holds_up_release_until_it_is_refreshed(folder: Path) -> None:
    with (folder / "workspace.yaml").open("a", encoding="utf-8") as file:
        file.write("release: {extract_at_most_days: 30}\n")
    as_of = folder / "cis_extract" / str(YEAR) / "as_of.txt"

    def held_up_by() -> list[str]:
        return [block.sentence for block in gate(folder).blocks if block.block_id == "cis_extract.recent"]

    assert held_up_by()[0].startswith("The CIS extract does not say of which day it is")
    as_of.write_text("2019-05-20\n", encoding="utf-8")
    run(folder)
    assert held_up_by()[0].startswith("The CIS extract is of 2019-05-20, 42 days before 2019-07-01")
    as_of.write_text("2019-06-20\n", encoding="utf-8")
    assert held_up_by(), "what counts is the extract that the year was run with"
    run(folder)
    assert held_up_by() == []
    as_of.write_text("last week\n", encoding="utf-8")
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 1
    assert "cis_extract/2019/as_of.txt: 'last week' is no day; allowed: one line" in ran.err


def test_a_row_lost_in_the_store_is_found_when_the_gate_is_asked_and_cannot_be_overridden(folder: Path) -> None:
    (path,) = (folder / "work" / "store" / "consumption" / str(YEAR)).glob("*.parquet")
    beside = path.with_suffix(".less")
    duckdb.sql(f"COPY (SELECT * FROM '{path}' LIMIT 50) TO '{beside}' (FORMAT parquet)")
    beside.rename(path)
    lost = "consumption.rows_and_volume_add_up/tiny"
    assert {block.block_id: block.rows for block in gate(folder).blocks}[lost] == 2, "rows and volume"
    with pytest.raises(NotOverridden, match="must not be overridden"):
        make_override(Workspace(folder), YEAR, lost, DECIDED, WHY)
