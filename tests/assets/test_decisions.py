"""Decisions met with findings: which one is in force.

Belongs here: what the file may hold, what becomes of a decision when its finding changes. Does not belong here: taking
decisions in.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from contract_rows import row, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.decisions import decisions, read_decisions
from rate_tables.config_file import ConfigError
from validations.tables import DECISION_ENTRIES, FINDINGS

HEADER = "decision_id,finding_id,service_id,rule_id,decision,average,reason,decided_by,decided_on,evidence_hash,evidence_seen\n"
LINE = 'D-2019-000001,use.high:S1,S1,use.high,as_it_is,,a pool was filled,Clerk One,2019-05-02,abc,"{""ccf"":41}"\n'

entries = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["h1", "h2"])), max_size=8)
found = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["h1", "h2"]))


@settings(deadline=None)
@given(entries, found)
def test_only_the_last_decision_about_a_finding_stands_and_only_on_the_evidence_it_saw(
    made: list[tuple[str, str]], now: dict[str, str]
) -> None:
    given_entries = [
        row(DECISION_ENTRIES, decision_id=f"D-2019-{n:06d}", finding_id=finding, evidence_hash=seen)
        for n, (finding, seen) in enumerate(made)
    ]
    findings = [row(FINDINGS, finding_id=f, evidence_hash=h, evidence=f"now {h}") for f, h in now.items()]
    out = decisions(table_of(DECISION_ENTRIES, *given_entries), table_of(FINDINGS, *findings)).to_pyarrow().to_pylist()

    assert len(out) == len(made)
    status = {r["decision_id"]: r["status"] for r in out}
    for n, (finding, seen) in enumerate(made):
        later = [f for f, _ in made[n + 1 :]]
        expected = (
            "superseded" if finding in later
            else "without_finding" if finding not in now
            else "stands" if now[finding] == seen
            else "stale"
        )  # fmt: skip
        assert status[f"D-2019-{n:06d}"] == expected
    assert {r["evidence_now"] for r in out if r["finding_id"] not in now} <= {""}


def test_a_line_that_somebody_wrote_into_the_file_moves_no_other_service_and_sets_no_average_without_a_figure() -> None:
    finding = row(FINDINGS, finding_id="use.high:S1", service_id="S1", rule_id="use.high", evidence_hash="h")
    about = {"finding_id": "use.high:S1", "service_id": "S2", "rule_id": "use.low", "evidence_hash": "h"}
    for decision, average, status in (
        ("prior_average", None, "stands"),
        ("set_average", 1, "stands"),
        ("set_average", None, "stale"),
    ):
        entry = row(DECISION_ENTRIES, **about, decision=decision, average_thousandths=average)
        (met,) = decisions(table_of(DECISION_ENTRIES, entry), table_of(FINDINGS, finding)).to_pyarrow().to_pylist()
        assert (met["service_id"], met["rule_id"], met["status"]) == ("S1", "use.high", status)


def rows_and_refused(con: Any, folder: Path, text: str) -> tuple[list[dict[str, Any]], list[str]]:
    path = folder / "2019.csv"
    path.write_text(text, encoding="utf-8")
    sheet = read_decisions(con, path, folder / "scratch")
    refused = con.to_pyarrow(sheet.rejected.order_by("source_row")).to_pylist()
    return con.to_pyarrow(sheet.rows).to_pylist(), [r["message"] for r in refused]


def test_a_decision_is_read_as_it_was_written(con: Any, tmp_path: Path) -> None:
    (read,), refused = rows_and_refused(con, tmp_path, HEADER + LINE)
    assert refused == []
    assert read == {
        "decision_id": "D-2019-000001", "finding_id": "use.high:S1", "service_id": "S1", "rule_id": "use.high",
        "decision": "as_it_is", "average_thousandths": None, "reason": "a pool was filled", "decided_by": "Clerk One",
        "decided_on": dt.date(2019, 5, 2), "evidence_hash": "abc", "evidence_seen": '{"ccf":41}',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("as_it_is", "whatever", "decision: not"),
        (",as_it_is,,", ",set_average,-4,", "average_thousandths: not"),
        (",as_it_is,,", ",set_average,99999999999,", "average_thousandths: not"),
        ("2019-05-02", "yesterday", "decided_on cannot be read"),
        ("a pool was filled", "=1+1", "reason cannot be read"),
        ("Clerk One", "", "decided_by: not"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_a_sentence_and_the_others_stand(
    con: Any, tmp_path: Path, old: str, new: str, says: str
) -> None:
    good = LINE.replace("000001", "000002")
    read, refused = rows_and_refused(con, tmp_path, HEADER + LINE.replace(old, new) + good)
    assert [r["decision_id"] for r in read] == ["D-2019-000002"]
    assert len(refused) == 1
    assert says in refused[0]


def test_evidence_of_any_length_is_kept(con: Any, tmp_path: Path) -> None:
    long = "{" + "9" * 5_000 + "}"
    (read,), refused = rows_and_refused(con, tmp_path, HEADER + LINE.replace('"{""ccf"":41}"', long))
    assert (read["evidence_seen"], refused) == (long, [])


def test_a_file_that_is_none_is_a_sentence(con: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^decisions/2019\.csv: the header lacks .*; put back the file"):
        rows_and_refused(con, tmp_path, "some,other\nsheet,1\n")


def test_without_a_file_there_are_no_decisions(con: Any, tmp_path: Path) -> None:
    sheet = read_decisions(con, tmp_path / "2019.csv", tmp_path)
    assert con.to_pyarrow(sheet.rows.count()).as_py() == 0
