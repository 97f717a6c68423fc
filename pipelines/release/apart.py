"""Apart: who has entered and decided what of a year, so that somebody else approves it.

Belongs here: finding the names in the sheet, the decisions and the overrides. Does not belong here: who may do what (``people``).

No sentence here repeats a name.
"""

from __future__ import annotations

from assets.stage import Session
from assets.store import WHOLE
from pipelines.release.gate import overrides_of
from pipelines.release.people import may
from validations.tables import ADJUSTMENTS, DECISION_ENTRIES
from validations.workspace import Right, same_name

_MOST_SHOWN = 10


def who_entered(session: Session, billing_year: int) -> dict[str, str]:
    """Adjustment -> name of who entered it, for the year's sheet as the last run read it."""
    entries = session.store.read(ADJUSTMENTS, billing_year, [WHOLE]).select("adjustment_id", "entered_by")
    rows = session.store.con.to_pyarrow(entries).to_pylist()
    return {row["adjustment_id"]: row["entered_by"] for row in rows}


def who_decided(session: Session, billing_year: int) -> dict[str, str]:
    """Decision or override -> name of who made it, for the year."""
    entries = session.store.read(DECISION_ENTRIES, billing_year, [WHOLE]).select("decision_id", "decided_by")
    rows = session.store.con.to_pyarrow(entries).to_pylist()
    overrides = {one.override_id: one.overridden_by for one in overrides_of(session, billing_year)}
    return {row["decision_id"]: row["decided_by"] for row in rows} | overrides


def not_entitled(session: Session, billing_year: int) -> list[str]:
    """A sentence for what was entered or decided by somebody whom ``workspace.yaml`` does not let do that."""
    sentences = []
    done: tuple[tuple[Right, dict[str, str]], ...] = (
        ("enter", who_entered(session, billing_year)),
        ("decide", who_decided(session, billing_year)),
    )
    for right, names in done:
        wrong = sorted(what for what, name in names.items() if not may(session.workspace, name, right))
        if wrong:
            shown = ", ".join(wrong[:_MOST_SHOWN])
            shown += f" and {len(wrong) - _MOST_SHOWN:,} more" if len(wrong) > _MOST_SHOWN else ""
            sentences.append(
                f"{shown}: by somebody who may not {right}, as workspace.yaml, key people, has it. Have it done again by somebody "
                "who may, or have the list changed."
            )
    return sentences


def done_before(session: Session, billing_year: int, name: str) -> list[Right]:
    """What of that which an approver has to be apart from this person has done for the year."""
    done: dict[Right, dict[str, str]] = {
        "enter": who_entered(session, billing_year),
        "decide": who_decided(session, billing_year),
    }
    return [
        right
        for right in session.workspace.file.approval.apart_from
        if any(same_name(name, other) for other in done[right].values())
    ]
