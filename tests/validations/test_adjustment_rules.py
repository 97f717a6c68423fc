"""Rules about the adjustment sheet: what they find, and that a mended or renewed entry is found no more.

Belongs here: these rules on tables of a few rows. Does not belong here: what speaks against an entry (the assets' tests).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis.expr.types as ir
import pytest

from validations.contract import violations
from validations.review.of_adjustments import adjustment_refused, adjustment_to_renew, adjustment_unreadable
from validations.tables import ADJUSTMENTS, FINDINGS, PAST_ADJUSTMENTS, REFUSED_ADJUSTMENTS, REJECTED_ROWS
from validations.workspace import SAMPLE, Workspace

JULY = dt.date(2018, 7, 1)


def rows_of(table: ir.Table) -> list[dict[str, Any]]:
    assert violations(FINDINGS, table).count().execute() == 0
    return table.to_pyarrow().to_pylist()  # type: ignore[no-any-return]


def past(adjustment_id: str, service_id: str, kind: str, sheet_year: int, expires_on: dt.date | None) -> dict[str, Any]:
    return {
        "sheet_year": sheet_year, "adjustment_id": adjustment_id, "service_id": service_id, "kind": kind,
        "period_start": dt.date(2018, 1, 1), "period_end": JULY, "linked_to": "", "expires_on": expires_on, "reason": "x",
    }  # fmt: skip


def this_year(service_id: str, kind: str) -> dict[str, Any]:
    empty = {name: None if column.nullable else "" for name, column in ADJUSTMENTS.columns.items()}
    day = {"period_start": dt.date(2019, 1, 1), "period_end": dt.date(2019, 2, 1)}
    return (
        empty
        | day
        | {"adjustment_id": f"{service_id}{kind}", "service_id": service_id, "kind": kind, "method": "deduct"}
    )


def test_a_refused_entry_has_to_be_decided_and_its_evidence_is_the_sentence() -> None:
    def finding(message: str) -> dict[str, Any]:
        row = {"adjustment_id": "J:1", "service_id": "S1", "message": message}
        (found,) = rows_of(adjustment_refused(REFUSED_ADJUSTMENTS.of_rows([row])))
        return found

    first, other = finding("document is empty"), finding("reason is empty")
    assert (first["finding_id"], first["service_id"], first["severity"]) == (
        "adjustment.refused:J%3A1",
        "S1",
        "must_decide",
    )
    assert "refused and changes nothing: document is empty" in first["message"]
    assert first["finding_id"] == other["finding_id"]
    assert first["evidence_hash"] != other["evidence_hash"]


def test_a_row_of_the_sheet_that_cannot_be_read_has_to_be_decided_and_a_districts_has_not() -> None:
    def row(district: str, number: int) -> dict[str, Any]:
        return {
            "district_id": district, "source_file": "adjustments/2019.csv", "source_row": number, "source_column": "",
            "raw_text": "J1,Clerk One", "reason_code": "value_unreadable", "reason_kind": "refused",
            "message": "volume cannot be read", "delivered_quantity_thousandths": None,
        }  # fmt: skip

    (found,) = rows_of(adjustment_unreadable(REJECTED_ROWS.of_rows([row("adjustments", 3), row("dunmore", 4)])))
    assert (found["finding_id"], found["severity"]) == ("adjustment.unreadable:adjustments/2019.csv:3", "must_decide")
    assert found["district_id"] == ""
    assert "Clerk" not in str(found)


@pytest.mark.parametrize(
    ("entered", "due"),
    [([], ["P1"]), ([("S1", "product")], []), ([("S1", "irrigation"), ("S2", "product")], ["P1"])],
    ids=["nothing entered", "renewed", "another kind, another service"],
)
def test_what_expired_is_due_until_the_service_has_an_entry_of_that_kind(
    entered: list[tuple[str, str]], due: list[str]
) -> None:
    last = [
        past("P1", "S1", "product", 2018, JULY),
        past("P0", "S3", "product", 2017, JULY),
        past("L1", "S4", "leak", 2018, None),
    ]
    table = ADJUSTMENTS.of_rows([this_year(*one) for one in entered])
    found = rows_of(adjustment_to_renew(PAST_ADJUSTMENTS.of_rows(last), table, Workspace(SAMPLE).year(2019)))
    assert [f["finding_id"].split(":")[-1] for f in found] == due
    assert {f["severity"] for f in found} <= {"review"}
