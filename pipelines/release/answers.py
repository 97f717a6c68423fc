"""Answers: what a billing system says of a release that it was sent, held against what was posted.

Belongs here: reading an answer, what of it is not as posted, keeping it. Does not belong here: mending anything: that takes a decision
or an adjustment and a next version.

An answer speaks for the billing agencies of whose services or totals it speaks; the others have not answered yet. A sheet with a row that
cannot be read is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.durable import whole_file
from assets.log import Log
from assets.pulling.archive import content_hash_of
from assets.stage import Session
from pipelines.release.people import as_listed, require
from pipelines.release.posting import posted_by
from pipelines.release.releases import Released, chosen_version, last, posted_files
from pipelines.release.whole_sheet import read_whole
from pipelines.session import read_session
from rate_tables.config_file import ConfigError
from validations.tables import ANSWER_TOTALS, ANSWERS
from validations.workspace import Workspace

AS_POSTED = "accepted as posted"
OUTCOMES = (AS_POSTED, "accepted with another average", "refused", "not answered", "not posted")
"""What became of a service; all but the first keep an answer from being reconciled."""


@dataclass(frozen=True)
class Answer:
    """What an answer comes to.

    ``services``: one row per service that is not accepted as posted: billing_agency (empty if nothing was posted), service_id, outcome,
    posted_thousandths, answered_thousandths, reason. ``agencies``: one row per agency that answered, ``posted`` and each outcome counted.
    ``totals``: a sentence for each total that the billing system states otherwise. ``silent``: agencies that did not answer.
    """

    released: Released
    services: list[dict[str, Any]]
    agencies: list[dict[str, Any]]
    totals: list[str]
    silent: list[str]

    @property
    def is_reconciled(self) -> bool:
        return not self.services and not self.totals


def take_in(
    workspace: Workspace, billing_year: int, file: Path, by: str, totals: Path | None = None, version: int | None = None
) -> Answer:
    """Hold an answer against the version that it answers, the last one if none is named, and keep it beside the log's entry.

    The same answer twice in a row adds nothing. Errors: NotAsReleased; NotEntitled; LogBroken; ConfigError if a sheet cannot be used.
    """
    by = as_listed(workspace, by)
    require(workspace, by, "enter")
    released = chosen_version(workspace, billing_year, version)
    with read_session(workspace) as session:
        answer = _held_against(session, released, file, totals)
    kept = [_keep(workspace, released, path) for path in (file, totals) if path is not None]
    about = {
        "version": released.version,
        "files": [[path.relative_to(workspace.folder).as_posix(), content_hash] for path, content_hash in kept],
        "agencies": [str(one["billing_agency"]) for one in answer.agencies],
        "reconciled": answer.is_reconciled,
    }
    Log(workspace).append_unless_same("answer", billing_year, by, about)
    return answer


def _held_against(session: Session, released: Released, file: Path, totals: Path | None) -> Answer:
    con: Any = session.store.con
    posted_files(released)
    of_agency = {str(one["billing_agency"]): one for one in released.marker["agencies"]}
    rows = read_whole(session, file, file.name, ANSWERS)
    stated = (
        {}
        if totals is None
        else _by_agency(con.to_pyarrow(read_whole(session, totals, totals.name, ANSWER_TOTALS)).to_pylist())
    )
    unknown = sorted(stated.keys() - of_agency.keys())
    if totals is not None and unknown:
        raise ConfigError(
            f"{totals.name}: billing_agency {unknown[0]!r} is not in v{released.version}; allowed: {', '.join(sorted(of_agency))}."
        )
    judged = con.create_table(
        ibis.util.gen_name("answered"), _judged(posted_by(con, released.folder, sorted(of_agency)), rows), temp=True
    )
    answered = judged.filter((judged.billing_agency != "") & (judged.outcome != "not answered"))
    agencies = {*con.to_pyarrow(answered.select("billing_agency").distinct()).column(0).to_pylist(), *stated}
    judged = judged.filter(judged.billing_agency.isin(["", *sorted(agencies)]))
    wrong = judged.filter(judged.outcome != AS_POSTED).order_by("billing_agency", "service_id")
    counts = con.to_pyarrow(
        judged.group_by("billing_agency", "outcome").agg(
            services=judged.count(),
            accepted_thousandths=judged.answered_thousandths.sum(where=judged.status == "accepted").fill_null(0).cast("decimal(38, 0)"),
        )
    ).to_pylist()  # fmt: skip
    found = [_counted(agency, int(of_agency[agency]["services"]), counts) for agency in sorted(agencies)]
    said = [sentence for one in found for sentence in _totals_differ(one, stated)]
    return Answer(
        released, con.to_pyarrow(wrong.drop("status")).to_pylist(), found, said, sorted(of_agency.keys() - agencies)
    )


def _by_agency(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(row["billing_agency"]): row for row in rows}


def _judged(posted: ir.Table, answers: ir.Table) -> ir.Table:
    """One row per service that was posted or answered."""
    sent = posted.select("service_id", "billing_agency", posted_thousandths=posted.new_winter_average_thousandths)
    said = answers.select(
        "status", "reason", answered_id=answers.service_id, answered_thousandths=answers.winter_average_thousandths
    )
    both = sent.outer_join(said, sent.service_id == said.answered_id)
    same = both.answered_thousandths.identical_to(both.posted_thousandths)
    outcome = ibis.cases(
        (both.service_id.isnull(), ibis.literal("not posted")),
        (both.answered_id.isnull(), ibis.literal("not answered")),
        (both.status == "refused", ibis.literal("refused")),
        (~same, ibis.literal("accepted with another average")),
        else_=ibis.literal(AS_POSTED),
    )
    return both.select(
        billing_agency=both.billing_agency.fill_null(""),
        service_id=ibis.coalesce(both.service_id, both.answered_id),
        outcome=outcome,
        posted_thousandths=both.posted_thousandths,
        answered_thousandths=both.answered_thousandths,
        reason=both.reason.fill_null(""),
        status=both.status,
    )


def _counted(agency: str, posted: int, counts: list[dict[str, Any]]) -> dict[str, Any]:
    own = {str(one["outcome"]): one for one in counts if one["billing_agency"] == agency}
    counted = {outcome: int(own[outcome]["services"]) if outcome in own else 0 for outcome in OUTCOMES[:-1]}
    accepted = sum(int(one["accepted_thousandths"]) for one in own.values())
    return {"billing_agency": agency, "posted": posted, **counted, "accepted_thousandths": accepted}


def _totals_differ(one: dict[str, Any], stated: dict[str, dict[str, Any]]) -> Iterator[str]:
    agency = one["billing_agency"]
    if agency not in stated:
        return
    said = stated[agency]
    accepted = one[AS_POSTED] + one["accepted with another average"]
    for what, of_rows, of_totals in (
        ("services accepted", accepted, said["accepted"]),
        ("services refused", one["refused"], said["refused"]),
        ("thousandths in the accepted averages", one["accepted_thousandths"], said["winter_average_thousandths"]),
    ):
        if of_rows != of_totals:
            yield f"{agency}: its totals state {of_totals:,} {what}, its rows come to {of_rows:,}."


def _keep(workspace: Workspace, released: Released, file: Path) -> tuple[Path, str]:
    """The sheet as it came, under a name that its content gives; on disk when this returns."""
    content = file.read_bytes()
    content_hash = content_hash_of(file)
    folder = workspace.answers(int(released.marker["billing_year"]))
    kept = folder / f"v{released.version}_{content_hash[:16]}{file.suffix.lower()}"
    if not kept.exists():
        with whole_file(kept) as beside:
            beside.write_bytes(content)
    return kept, content_hash


def standing(workspace: Workspace, billing_year: int) -> list[str]:
    """What ``status`` says of the answers to the last release; nothing before the first answer. LogBroken."""
    released = last(workspace, billing_year)
    entries = [] if released is None else Log(workspace).entries(billing_year, "answer")
    latest: dict[str, tuple[bool, int]] = {}
    for entry in entries:
        if released is not None and entry.about["version"] == released.version:
            latest |= dict.fromkeys(entry.about["agencies"], (bool(entry.about["reconciled"]), entry.number))
    if released is None or not latest:
        return []
    words = {True: "reconciled", False: "not reconciled"}
    said = [f"{agency} {words[is_ok]} (log entry {number})" for agency, (is_ok, number) in sorted(latest.items())]
    silent = sorted({str(one["billing_agency"]) for one in released.marker["agencies"]} - latest.keys())
    said += [f"{agency} has not answered" for agency in silent]
    return [f"Answers to v{released.version}: {'; '.join(said)}."]
