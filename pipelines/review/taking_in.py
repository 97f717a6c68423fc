"""Taking decisions in: from the workbook that a person filled in, or a CSV, to the workspace's file of decisions.

Belongs here: holding each entry against the findings as they are, adding good ones to the file.
Does not belong here: reading that file back for a run (``assets.decisions``), printing (``commands``).

What comes in is a file from outside: it is opened where those of districts are, and nothing of it is believed. The file of
decisions only grows. It is written beside the old one, read back, and put in its place whole. No sentence names a person or
repeats a reason.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis

from assets.contents import grown
from assets.decisions import read_decisions
from assets.durable import whole_file
from assets.log import Log
from assets.readers.delimited import read_delimited
from assets.readers.sheet import Sheet, UnreadableFile
from assets.readers.workbook import Notation, read_workbook
from assets.stage import Session, all_slices
from assets.store import WHOLE
from pipelines.release.growing_files import take_into_log
from pipelines.release.people import may
from pipelines.review.words import DECISIONS, ENTRY_SHEETS, SHOWN_COLUMNS, TIED_COLUMNS
from pipelines.session import open_session
from pipelines.summary import NotRun
from rate_tables.config_file import ConfigError
from rate_tables.exact import scale_of, whole
from validations.contract import Contract
from validations.layout import Delimited, Workbook
from validations.reasons import REASONS
from validations.tables import BILLING_BASIS, DECISION_ENTRIES, FINDINGS, IRREGULAR_USE, PROPOSED_CORRECTIONS
from validations.workspace import Workspace

_FIGURE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,3}0*)?")
_NOT_PLAIN = re.compile(r"^[=+@\-]|[\x00-\x1f\x7f]")
_MOST_CHARACTERS = 200
_MOST_OF_EVIDENCE = 20_000
_SAID = ("decision", "average_thousandths", "reason", "decided_by", "evidence_hash")

Row = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A row with a decision, as text; ``place`` is where it stands, ``shown`` what a person saw it to be about, by column."""

    place: str
    finding_id: str
    evidence_hash: str
    decision: str
    average: str
    reason: str
    name: str
    shown: dict[str, str]


@dataclass(frozen=True)
class TakenIn:
    """What became of a file: decisions taken in by word, rows that were there before, a sentence per row that was refused."""

    counts: dict[str, int]
    taken_before: int
    refused: list[str]


class Refused(Exception):
    """The sentence that says why a row cannot be taken in."""


def _entries_of(con: Any, sheet: Sheet, shown: str, is_workbook: bool) -> tuple[list[Entry], list[str]]:
    """Rows of a sheet that have a decision, and a sentence for each row that cannot be told apart into columns or that somebody began
    and did not decide."""
    needed = [*TIED_COLUMNS, "decision", "reason", *(["average", "name"] if is_workbook else [])]
    missing = [name for name in needed if name not in sheet.header]
    if missing:
        raise ConfigError(
            f"{shown}: the header lacks {', '.join(missing)}; take the workbook as `annual-billing review` wrote it."
        )
    others = ("average", "name", *SHOWN_COLUMNS)
    known = [*needed, *(name for name in others if name not in needed and name in sheet.header)]
    repeated = [name for name in known if sheet.header.count(name) > 1]
    if repeated:
        raise ConfigError(f"{shown}: the header has {', '.join(repeated)} more than once.")
    fields = {name: sheet.rows.fields[sheet.header.index(name)].fill_null("").strip() for name in known}
    rows = sheet.rows.select("source_row", "problem", **fields)
    is_begun = [rows[name] != "" for name in ("decision", "average", "reason") if name in known]
    rows = rows.filter(rows.problem.notnull() | ibis.or_(*is_begun)).order_by("source_row")
    found, refused = [], []
    for row in con.to_pyarrow(rows).to_pylist():
        place = f"{shown}, row {row.pop('source_row')}"
        problem = row.pop("problem")
        if problem is not None:
            refused.append(f"{place}: {REASONS[problem][1]}")
        elif not row["decision"]:
            refused.append(
                f"{place}, column decision: it is empty beside an average or a reason; allowed: {', '.join(DECISIONS)}, or an empty row."
            )
        else:
            absent: Row = {"average": "", "name": ""}
            seen = {name: row.pop(name) for name in SHOWN_COLUMNS if name in row}
            found.append(Entry(place, shown=seen, **absent | row))
    return found, refused


def read_entries(con: Any, file: Path, scratch: Path) -> tuple[list[Entry], list[str]]:
    """Every row of a workbook or CSV that has a decision, and sentences for rows that cannot be read.

    Errors: ConfigError if the file as a whole is neither.
    """
    if not file.is_file():
        raise ConfigError(f"{file.name}: there is no such file.")
    try:
        if file.suffix.lower() != ".xlsx":
            sheet = read_delimited(con, file, Delimited(kind="delimited", final_line_end="optional"), scratch)
            return _entries_of(con, sheet, file.name, is_workbook=False)
        entries, refused = [], []
        for name in ENTRY_SHEETS:
            layout = Workbook(kind="workbook", sheet=name)
            sheet = read_workbook(file, layout, {"finding_id": "finding_id"}, Notation(), scratch)
            found, wrong = _entries_of(con, sheet, f"sheet {name}", is_workbook=True)
            entries += found
            refused += wrong
        return entries, refused
    except UnreadableFile as error:
        raise ConfigError(f"{file.name}: {error}; take the workbook as `annual-billing review` wrote it.") from None
    except OSError as error:
        raise ConfigError(f"{file.name}: cannot be read ({error.strerror}).") from None


@dataclass(frozen=True)
class Known:
    """What entries are held against: findings by id, which have a proposal, which a period of use, what services bill until now, and
    who may decide."""

    findings: dict[str, Row]
    proposed: set[str]
    of_use: set[str]
    without_prior: set[str]
    may_decide: Callable[[str], bool] = lambda name: True

    @staticmethod
    def of(session: Session, billing_year: int, finding_ids: set[str]) -> Known:
        """The year's findings of these ids. NotRun if the year has none."""
        store, slices = session.store, [*all_slices(session.workspace), WHOLE]
        if WHOLE not in store.slices(FINDINGS, billing_year):
            raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")
        wanted = ibis.memtable({"finding_id": sorted(finding_ids)}, schema={"finding_id": "string"})

        def rows(contract: Contract) -> list[Row]:
            found = store.read(contract, billing_year, slices).semi_join(wanted, "finding_id")
            return list(store.con.to_pyarrow(found).to_pylist())

        basis = store.read(BILLING_BASIS, billing_year, slices)
        without = basis.filter(basis.prior_average_thousandths.isnull()).select("service_id")
        return Known(
            {row["finding_id"]: row for row in rows(FINDINGS)},
            {row["finding_id"] for row in rows(PROPOSED_CORRECTIONS)},
            {row["finding_id"] for row in rows(IRREGULAR_USE) if row["period_start"] and row["period_end"]},
            {row["service_id"] for row in store.con.to_pyarrow(without).to_pylist()},
            lambda name: may(session.workspace, name, "decide"),
        )


def _plain(entry: Entry, column: str, text: str) -> str:
    if not text:
        raise Refused(f"{entry.place}, column {column}: it is empty; every decision needs one.")
    if _NOT_PLAIN.search(text) or len(text) > _MOST_CHARACTERS:
        raise Refused(
            f"{entry.place}, column {column}: allowed: one line of at most {_MOST_CHARACTERS} characters that does not begin with = + - or @."
        )
    return text


def _average(entry: Entry) -> int | None:
    if entry.decision != "set_average":
        if entry.average:
            raise Refused(
                f"{entry.place}, column average: only set_average may have a figure; empty the cell or change the decision."
            )
        return None
    if not entry.average:
        raise Refused(
            f"{entry.place}, column average: set_average needs the average per month; allowed: a figure such as 7.5."
        )
    if not _FIGURE.fullmatch(entry.average):
        raise Refused(
            f"{entry.place}, column average: {entry.average[:40]!r} is not allowed; allowed: a figure of 0 or more with at most 3 "
            "decimals, such as 7.5."
        )
    return whole(Decimal(entry.average), 3)


def _judged(entry: Entry, known: Known, by: str | None) -> Row:
    """The decision that a row says. Refused if it cannot be taken in."""
    finding = known.findings.get(entry.finding_id)
    if finding is None:
        raise Refused(
            f"{entry.place}, column finding_id: the year has no such finding (any more); write the workbook again."
        )
    for column, shown in entry.shown.items():
        if shown != finding[SHOWN_COLUMNS[column]]:
            raise Refused(
                f"{entry.place}, column {column}: the row shows {shown[:40]!r} and its finding is about {finding[SHOWN_COLUMNS[column]]!r}: "
                "a part of the rows was sorted or moved; write the workbook again."
            )
    if entry.decision not in DECISIONS:
        raise Refused(
            f"{entry.place}, column decision: {entry.decision[:40]!r} is not allowed; allowed: {', '.join(DECISIONS)}."
        )
    said: Row = {
        "decision": entry.decision,
        "average_thousandths": _average(entry),
        "reason": _plain(entry, "reason", entry.reason),
        "decided_by": _plain(entry, "name", entry.name or by or ""),
    }
    if not known.may_decide(said["decided_by"]):
        raise Refused(f"{entry.place}, column name: workspace.yaml, key people, does not let this person decide.")
    at = f"{entry.place}, column decision"
    if not finding["service_id"] and entry.decision != "as_it_is":
        raise Refused(f"{at}: the finding is about no service; allowed: as_it_is.")
    if entry.decision == "as_proposed" and entry.finding_id not in known.proposed:
        raise Refused(f"{at}: as_proposed needs a proposal, and the rule has none here; allowed: another word.")
    if entry.decision == "leave_out" and entry.finding_id not in known.of_use:
        raise Refused(f"{at}: leave_out needs a period of use, and the finding has none; allowed: another word.")
    if entry.decision == "prior_average" and finding["service_id"] in known.without_prior:
        raise Refused(f"{at}: the service has no average in force; allowed: another word.")
    return said | {
        "finding_id": entry.finding_id,
        "service_id": finding["service_id"],
        "rule_id": finding["rule_id"],
        "evidence_hash": entry.evidence_hash,
        "evidence_seen": finding["evidence"][:_MOST_OF_EVIDENCE],
    }


def _is_same(decision: Row, before: Row) -> bool:
    return all(decision[name] == before[name] for name in _SAID)


def judge(entries: list[Entry], known: Known, before: list[Row], by: str | None) -> tuple[list[Row], int, list[str]]:
    """Decisions to be added, how many rows say what was taken in before, and a sentence for each row that is refused.

    ``before`` are the decisions so far, in order.
    """
    times = Counter(entry.finding_id for entry in entries)
    earlier: dict[str, list[Row]] = {}
    for decision in before:
        earlier.setdefault(decision["finding_id"], []).append(decision)
    added, refused, taken_before = [], [], 0
    for entry in entries:
        try:
            if times[entry.finding_id] > 1:
                raise Refused(
                    f"{entry.place}, column finding_id: the finding stands in {times[entry.finding_id]} rows with a decision; allowed: one."
                )
            decision = _judged(entry, known, by)
            same = [_is_same(decision, one) for one in earlier.get(entry.finding_id, [])]
            if same and same[-1]:
                taken_before += 1
                continue
            if decision["evidence_hash"] != known.findings[entry.finding_id]["evidence_hash"]:
                raise Refused(
                    f"{entry.place}, column evidence_hash: the evidence has changed since the workbook was written; write it again and "
                    "look at what changed."
                )
            if any(same):
                raise Refused(
                    f"{entry.place}, column decision: this was taken in before, and a later decision took its place; if it is to hold "
                    "again, give a reason that says so."
                )
            added.append(decision)
        except Refused as sentence:
            refused.append(str(sentence))
    return added, taken_before, refused


def _text_of(rows: list[Row], with_header: bool) -> str:
    """Decisions as lines of the file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = list(DECISION_ENTRIES.columns)
    if with_header:
        writer.writerow([scale_of(name)[0] for name in names])
    for row in rows:
        average = row["average_thousandths"]
        shown = row | {"average_thousandths": "" if average is None else format(Decimal(average).scaleb(-3), "f")}
        writer.writerow([shown[name] for name in names])
    return out.getvalue()


def _add(con: Any, path: Path, added: list[Row], scratch: Path) -> None:
    """Add decisions to the file: whole or not at all. ConfigError if they could not be read back from it."""
    old = path.read_bytes() if path.exists() else b""
    ended = old if not old or old.endswith(b"\n") else old + b"\n"
    with whole_file(path) as beside:
        beside.write_bytes(ended + _text_of(added, with_header=not old).encode())
        read = {r["decision_id"]: r for r in con.to_pyarrow(read_decisions(con, beside, scratch).rows).to_pylist()}
        lost = [row for row in added if read.get(row["decision_id"]) != row]
        if lost:
            raise ConfigError(
                f"decisions/{path.name}: {len(lost)} decisions could not be read back from it, so nothing was taken in; put back the file "
                "as `annual-billing decide` wrote it."
            )


def _last_number(path: Path, billing_year: int) -> int:
    """The highest number of a decision in the file, also of rows that cannot be read; at least one for each line."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    numbers = re.findall(rb"(?m)^\W?D-%d-([0-9]{6})\b" % billing_year, content)
    return max([content.count(b"\n"), *map(int, numbers)]) if content else 0


def take_in(
    workspace: Workspace, billing_year: int, file: Path, *, by: str | None = None, strict: bool = False, today: dt.date | None = None
) -> TakenIn:  # fmt: skip
    """Add the decisions of ``file`` to those of the year; ``by`` decided where the row names nobody.

    Rows without a decision are skipped. A bad row is refused and the good ones stand, or none where ``strict``.
    Errors: ConfigError if the file, or the file of decisions, cannot be used at all; NotRun if the year has not been run;
    WorkspaceBusy while a run goes on; LogBroken, with nothing taken in, if the log is not as it was written.
    """
    _ = workspace.year(billing_year)
    path, scratch = workspace.decisions(billing_year), workspace.scratch
    with open_session(workspace) as session:
        take_into_log(workspace, billing_year)
        con: Any = session.store.con
        entries, unread = read_entries(con, file, scratch)
        known = Known.of(session, billing_year, {entry.finding_id for entry in entries})
        before = con.to_pyarrow(read_decisions(con, path, scratch).rows.order_by("decision_id")).to_pylist()
        added, taken_before, refused = judge(entries, known, before, by)
        refused = [*unread, *refused]
        if strict and refused:
            return TakenIn({}, taken_before, refused)
        first = _last_number(path, billing_year) + 1
        for number, decision in enumerate(added, start=first):
            decision |= {"decision_id": f"D-{billing_year}-{number:06d}", "decided_on": today or dt.date.today()}
        added = [{name: decision[name] for name in DECISION_ENTRIES.columns} for decision in added]
        if added:
            _add(con, path, added, scratch)
            about = {"decisions": len(added), **grown(f"decisions/{path.name}", path)}
            Log(workspace).append("decisions", billing_year, " ".join((by or "").split()), about)
    return TakenIn(dict(Counter(decision["decision"] for decision in added)), taken_before, refused)
