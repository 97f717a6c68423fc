"""What the rules found of a simulated year, against the truth that the simulation kept apart.

Belongs here: reading both, and telling found from missed and from flagged for nothing. Serves a test and the benchmark.
Does not belong here: making workspaces and running them (``whole_runs``), tables for a page (``benchmarks.irregular_use``).
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from whole_runs import query

from validations.workspace import Workspace

LOOKED_AT = ("review", "must_decide")


class Finding(NamedTuple):
    """A finding of a run. ``service_id`` is empty for what concerns a district."""

    rule_id: str
    severity: str
    district_id: str
    service_id: str


class Played(NamedTuple):
    """What was put there for a rule to find. ``service_id`` is empty for what concerns a district."""

    rule_id: str
    district_id: str
    service_id: str


@dataclass
class Score:
    """How well a year's irregular use was found; counts by rule id.

    ``as_another``: missed, but another rule of the same family (the id up to its dot) sent the service to review.
    ``for_nothing``: faultless services (or districts) that the rule sent to review. ``flagged``: faultless services that any
    rule did. ``to_review``: all services that somebody has to look at.
    """

    played: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    as_another: Counter[str] = field(default_factory=Counter)
    for_nothing: Counter[str] = field(default_factory=Counter)
    services: int = 0
    faultless: int = 0
    flagged: int = 0
    to_review: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def scored(
    findings: Iterable[Finding], truth: Iterable[Played], services: Collection[str], not_faultless: Collection[str]
) -> Score:
    """Compare the findings about services (those about districts are left out) with the truth about them.

    ``services``: all of the year; ``not_faultless``: those that play anything, a scenario or a spoilt row as well.
    """
    score = Score(services=len(services))
    rules_of: dict[str, set[str]] = defaultdict(set)
    looked_at: dict[str, set[str]] = defaultdict(set)
    for finding in findings:
        rules_of[finding.service_id].add(finding.rule_id)
        if finding.severity in LOOKED_AT:
            looked_at[finding.service_id].add(finding.rule_id)
    playing = set(not_faultless)
    for rule_id, _, service_id in {one for one in truth if one.service_id}:
        playing.add(service_id)
        score.played[rule_id] += 1
        family = rule_id.split(".")[0]
        if rule_id in rules_of[service_id]:
            score.found[rule_id] += 1
        elif any(other.split(".")[0] == family for other in looked_at[service_id]):
            score.as_another[rule_id] += 1
    for service_id in set(services) - playing:
        score.faultless += 1
        score.flagged += bool(looked_at[service_id])
        score.for_nothing.update(looked_at[service_id])
    score.to_review = sum(bool(looked_at[service_id]) for service_id in services)
    return score


def scored_districts(
    findings: Iterable[Finding], truth: Iterable[Played], districts: Collection[str], rules: Collection[str]
) -> Score:
    """The same of what concerns districts as a whole; ``rules``: those that look for it."""
    score = Score(services=len(districts))
    findings = list(findings)
    found = {(one.rule_id, one.district_id) for one in findings if not one.service_id and one.rule_id in rules}
    plays = {one.district_id: one.rule_id for one in truth if not one.service_id}
    for district, rule_id in plays.items():
        score.played[rule_id] += 1
        if (rule_id, district) in found:
            score.found[rule_id] += 1
        elif any(other == district for _, other in found):
            score.as_another[rule_id] += 1
    looked_at = {(one.rule_id, one.district_id) for one in findings if one.severity in LOOKED_AT and not one.service_id}
    flagged = {(rule_id, district) for rule_id, district in found & looked_at if district not in plays}
    score.faultless = len(set(districts) - plays.keys())
    score.for_nothing.update(rule_id for rule_id, _ in flagged)
    score.flagged = len({district for _, district in flagged})
    return score


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a sheet; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def truth_of(folder: Path, year: int) -> list[Played]:
    """What was played in a year; what only a back-test can find is left out."""
    rows = rows_of(folder / "truth" / f"irregular_{year}.csv")
    return [
        Played(row["rule_id"], row["district_id"], row["service_id"])
        for row in rows
        if not row["rule_id"].startswith("backtest.")
    ]


def not_faultless(folder: Path, year: int) -> set[str]:
    """Services that play anything in a year or the one before: irregular use, a scenario, or a spoilt row of a file."""
    workspace, playing, spoilt = Workspace(folder), set(), set()
    for played_in in (year - 1, year):
        for name in (f"irregular_{played_in}", str(played_in)):
            playing |= {row["service_id"] for row in rows_of(folder / "truth" / f"{name}.csv")}
    for row in rows_of(folder / "truth" / "injected_rows.csv"):
        if int(row["year"]) in (year - 1, year):
            spoilt.add((row["district_id"], row["district_account"]))
    for row in rows_of(workspace.cis_extract(year) / "meter_links.csv"):
        if (row["district_id"], row["district_account"]) in spoilt:
            playing.add(row["service_id"])
    return playing - {""}


def services_of(folder: Path, year: int) -> list[str]:
    """Services in the extract of a year."""
    return [row["service_id"] for row in rows_of(Workspace(folder).cis_extract(year) / "sewer_services.csv")]


def findings_of(folder: Path, year: int) -> list[Finding]:
    """Findings that a run of the year has published."""
    sql = "SELECT rule_id, severity, district_id, service_id FROM findings WHERE billing_year = ?"
    return [Finding(*row) for row in query(folder, sql, year)]
