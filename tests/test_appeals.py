"""Appeals: dates that are kept, those that are overdue, and granted ones that have changed nothing.

Belongs here: promises about ``appeals/YEAR.csv``. Does not belong here: what an adjustment or a decision changes.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from test_corrections import YEAR, fill
from whole_runs import tiny_workspace

from assets.stage import Session
from assets.store import WHOLE
from pipelines.release.appeals import waiting
from pipelines.session import open_session
from rate_tables.config_file import ConfigError
from validations.tables import ADJUSTMENTS, DECISIONS, REFUSED_ADJUSTMENTS
from validations.workspace import Workspace

TODAY = dt.date(2019, 10, 15)
HEADER = "appeal_id,service_id,received,due,decided,outcome,realised_by,entered_by"


def waiting_for(folder: Path, *lines: str) -> list[str]:
    """What waits, in a year with the adjustments ADJ-1 (of S1) and ADJ-2 (of S2, refused), and the decisions D-1 and D-2 (of S3)."""
    tiny_workspace(folder, {}, {}, years=[YEAR])
    (folder / "appeals").mkdir()
    (folder / "appeals" / f"{YEAR}.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    with open_session(Workspace(folder)) as session:
        fill(session, {f"S{n}": (6000, 7500) for n in (1, 2, 3)}, ())
        decide(session)
        return waiting(session, YEAR, TODAY)


def decide(session: Session) -> None:
    def entry(number: int) -> dict[str, Any]:
        return dict.fromkeys(ADJUSTMENTS.columns, "") | {
            "adjustment_id": f"ADJ-{number}", "service_id": f"S{number}", "period_start": dt.date(2018, 12, 1),
            "period_end": dt.date(2019, 1, 1), "kind": "leak", "method": "volume", "volume_thousandths": 2000,
            "less_volume_thousandths": None, "volume_unit": "ccf", "share_millionths": None, "bills": None, "expires_on": None,
        }  # fmt: skip

    def decision(number: int, word: str) -> dict[str, Any]:
        return dict.fromkeys(DECISIONS.columns, "x") | {
            "decision_id": f"D-{number}", "service_id": "S3", "decision": word, "average_thousandths": None,
            "decided_on": dt.date(2019, 9, 1), "status": "stands",
        }  # fmt: skip

    refused = {"adjustment_id": "ADJ-2", "service_id": "S2", "message": "not allowed"}
    session.store.write(ADJUSTMENTS, YEAR, WHOLE, ADJUSTMENTS.of_rows([entry(1), entry(2)]), "v")
    session.store.write(REFUSED_ADJUSTMENTS, YEAR, WHOLE, REFUSED_ADJUSTMENTS.of_rows([refused]), "v")
    decisions = [decision(1, "prior_average"), decision(2, "as_it_is")]
    session.store.write(DECISIONS, YEAR, WHOLE, DECISIONS.of_rows(decisions), "v")


def test_an_open_appeal_is_named_from_the_day_after_it_was_due_and_a_decided_one_is_not(tmp_path: Path) -> None:
    found = waiting_for(
        tmp_path / "ws",
        "AP-1,S1,2019-08-01,2019-10-14,,,,Clerk One",
        "AP-2,S1,2019-08-01,2019-10-15,,,,Clerk One",
        "AP-3,S1,2019-08-01,2019-09-01,2019-09-20,refused,,Clerk One",
        "AP-4,S99,2019-08-01,2019-12-01,,,,Clerk One",
    )
    assert found == [
        "Appeal AP-1 of S1 was due on 2019-10-14, 1 day ago, and is open. Decide it.",
        "Appeal AP-4 of S99: the CIS extract has no such service.",
    ]


def test_a_granted_appeal_waits_until_an_adjustment_or_decision_about_its_service_changes_something(
    tmp_path: Path,
) -> None:
    granted = "2019-08-01,2019-10-14,2019-09-01,granted"
    found = waiting_for(
        tmp_path / "ws",
        f"AP-1,S1,{granted},ADJ-1,Clerk One",
        f"AP-2,S2,{granted},ADJ-2,Clerk One",
        f"AP-3,S3,{granted},D-1,Clerk One",
        f"AP-4,S3,{granted},D-2,Clerk One",
        f"AP-5,S2,{granted},ADJ-1,Clerk One",
        f"AP-6,S1,{granted},,Clerk One",
    )
    assert [sentence.split(",")[0].split(" and ")[0] for sentence in found] == [
        "Appeal AP-2 of S2 is granted by ADJ-2", "Appeal AP-4 of S3 is granted by D-2", "Appeal AP-5 of S2 is granted by ADJ-1",
        "Appeal AP-6 of S1 is granted",
    ]  # fmt: skip
    assert "which is about S1" in found[2]
    assert "is no adjustment or decision in force" in found[0]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("AP-1,S1,2019-08-01,2019-07-01,,,,C", "appeal AP-1: due 2019-07-01 is before received 2019-08-01."),
        ("AP-1,S1,2019-08-01,2019-10-01,2019-09-01,,,C", "decided and outcome are both filled in, or both empty"),
        ("AP-1,S1,2019-08-01,2019-10-01,2019-07-01,refused,,C", "decided 2019-07-01 is before received"),
        ("AP-1,S1,2019-08-01,2019-10-01,2019-09-01,refused,D-1,C", "realised_by is for a granted appeal only."),
        ("AP-1,S1,2019-08-01,2019-10-01,2019-09-01,perhaps,,C", "appeals/2019.csv, line 2: outcome: not "),
        ("AP-1,S1,1 August,2019-10-01,,,,C", "appeals/2019.csv, line 2: received cannot be read"),
        ("AP-1,S1,2019-08-01,2019-10-01,,,,", "appeals/2019.csv, line 2: entered_by: not "),
    ],
    ids=[
        "due too early",
        "no outcome",
        "decided too early",
        "refused, realised",
        "no such outcome",
        "no date",
        "no name",
    ],
)
def test_an_appeal_that_cannot_be_so_is_named_with_what_is_wrong(line: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        waiting_for(tmp_path / "ws", line)
    assert sentence in str(raised.value)
