"""Appeals: what customers have appealed against, until when it is to be decided, and whether a granted one has changed anything.

Belongs here: reading ``appeals/YEAR.csv``, what of it waits for a person.
Does not belong here: changing an average: an appeal is realised by an adjustment or a decision alone.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from assets.stage import Session, slices_of
from pipelines.release.whole_sheet import read_whole, refuse_mistakes
from validations.tables import ADJUSTMENTS, APPEALS, DECISIONS, REFUSED_ADJUSTMENTS, SEWER_SERVICES


@dataclass(frozen=True)
class Appeal:
    """A line of the sheet. ``decided`` is None and ``outcome`` empty while it is open."""

    appeal_id: str
    service_id: str
    received: dt.date
    due: dt.date
    decided: dt.date | None
    outcome: str
    realised_by: str
    entered_by: str

    def is_overdue(self, today: dt.date) -> bool:
        return self.decided is None and self.due < today

    def contradictions(self, shown: str) -> list[str]:
        """Sentences for what of the line cannot be so."""
        at = f"{shown}: appeal {self.appeal_id}: "
        found = []
        if self.due < self.received:
            found.append(f"due {self.due} is before received {self.received}.")
        if (self.decided is None) != (self.outcome == ""):
            found.append("decided and outcome are both filled in, or both empty while it is open.")
        if self.decided is not None and self.decided < self.received:
            found.append(f"decided {self.decided} is before received {self.received}.")
        if self.outcome != "granted" and self.realised_by:
            found.append("realised_by is for a granted appeal only.")
        return [at + sentence for sentence in found]


def read_appeals(session: Session, billing_year: int) -> list[Appeal]:
    """The year's appeals in order of id; none without a sheet. ConfigError with a sentence for each line that cannot be used."""
    con: Any = session.store.con
    path = session.workspace.appeals(billing_year)
    if not path.is_file():
        return []
    shown = f"appeals/{path.name}"
    sheet = read_whole(session, path, shown, APPEALS)
    appeals = [Appeal(**row) for row in con.to_pyarrow(sheet.order_by("appeal_id")).to_pylist()]
    refuse_mistakes(shown, [sentence for appeal in appeals for sentence in appeal.contradictions(shown)])
    return appeals


def waiting(session: Session, billing_year: int, today: dt.date) -> list[str]:
    """A sentence for each appeal that waits for somebody: overdue, or granted while nothing has changed the average.

    Errors: ConfigError if the sheet cannot be used.
    """
    appeals = read_appeals(session, billing_year)
    if not appeals:
        return []
    in_force = _in_force(session, billing_year)
    services = _column(session, billing_year, SEWER_SERVICES, "service_id")
    sentences = []
    for appeal in appeals:
        about = f"Appeal {appeal.appeal_id} of {appeal.service_id}"
        if appeal.service_id not in services:
            sentences.append(f"{about}: the CIS extract has no such service.")
        if appeal.is_overdue(today):
            days = (today - appeal.due).days
            sentences.append(
                f"{about} was due on {appeal.due}, {days:,} {'day' if days == 1 else 'days'} ago, and is open. Decide it."
            )
        if appeal.outcome != "granted":
            continue
        if not appeal.realised_by:
            sentences.append(
                f"{about} is granted and names nothing that realises it. Enter an adjustment or a decision, and its id in realised_by."
            )
        elif in_force.get(appeal.realised_by) != appeal.service_id:
            whose = in_force.get(appeal.realised_by)
            why = f"is about {whose}" if whose else "is no adjustment or decision in force"
            sentences.append(
                f"{about} is granted by {appeal.realised_by}, which {why} as of the last run. Mend the id, or enter it and run the year "
                "again."
            )
    return sentences


def _column(session: Session, billing_year: int, contract: Any, name: str) -> set[str]:
    table = session.store.read(contract, billing_year, slices_of(contract, session.workspace))
    return set(session.store.con.to_pyarrow(table.select(name)).column(name).to_pylist())


def _in_force(session: Session, billing_year: int) -> dict[str, str]:
    """Adjustment or decision that changes something as of the last run -> the service that it is about."""
    con = session.store.con
    adjustments, refused, decisions = (
        session.store.read(contract, billing_year, slices_of(contract, session.workspace))
        for contract in (ADJUSTMENTS, REFUSED_ADJUSTMENTS, DECISIONS)
    )
    entered = adjustments.anti_join(refused, "adjustment_id").select(id="adjustment_id", service_id="service_id")
    changes = decisions.filter((decisions.status == "stands") & (decisions.decision != "as_it_is"))
    both = entered.union(changes.select(id="decision_id", service_id="service_id"))
    return {row["id"]: row["service_id"] for row in con.to_pyarrow(both).to_pylist()}
