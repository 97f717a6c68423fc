"""How well irregular use is found: what the simulation played, against what the rules found, on several seeds and sizes.

Belongs here: making and running the workspaces, ``irregular_use.md``, and the table for README.
Does not belong here: telling found from missed (``tests.irregular_truth``), what is played (``pipelines.simulation.irregular``).

Limits are tuned on the first seed; the others report how good they are.

    python benchmarks/irregular_use.py [--seeds 11 31 32 33] [--sizes 2000 5000] [--percent 0.5] [--minutes 3]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from irregular_truth import (  # noqa: E402
    Score,
    findings_of,
    not_faultless,
    scored,
    scored_districts,
    services_of,
    truth_of,
)
from whole_runs import annual_billing  # noqa: E402

from pipelines.simulation import simulate  # noqa: E402
from pipelines.simulation.irregular import CONTROL_TOTAL, DISTRICT_KINDS, KINDS, MISBILLED  # noqa: E402
from validations.district import District, RegisterReadings  # noqa: E402
from validations.workspace import Workspace  # noqa: E402

YEAR = 2019
DISTRICTS = 8
GOAL_FOUND, GOAL_FLAGGED = 98.0, 2.0


def _can_play(rule_id: str, entry: District) -> bool:
    """Whether a district's layout can show a kind that a whole district plays."""
    if rule_id == CONTROL_TOTAL:
        return entry.trailer is not None and entry.trailer.total is not None
    if rule_id in ("district.unit_changed", "district.stuck_value", "district.month_missing"):
        return not isinstance(entry.measure, RegisterReadings)
    return True


def _districts_that_play(workspace: Workspace, turn: int) -> dict[str, str]:
    """A district for every kind, other ones at each turn; one district at least plays none."""
    entries = list(workspace.districts.values())
    left = entries[turn % len(entries) :] + entries[: turn % len(entries)]
    chosen: dict[str, str] = {}
    for rule_id in sorted(DISTRICT_KINDS, key=lambda kind: sum(_can_play(kind, entry) for entry in entries)):
        entry = next(entry for entry in left if _can_play(rule_id, entry))
        chosen[rule_id] = entry.district
        left.remove(entry)
    return chosen


def _run(folder: Path, year: int) -> None:
    ran = annual_billing("run", year, "--workspace", folder, timeout=3600)
    assert ran.code == 0, ran.err


def measure(folder: Path, size: int, seed: int, percent: Decimal, turn: int) -> tuple[Score, Score]:
    """Scores of one workspace: of its services, and of its districts once some of them play a kind as a whole."""
    simulate(folder, accounts=size, districts=DISTRICTS, seed=seed, irregular_percent=percent)
    _run(folder, YEAR - 1)
    beside = folder.with_name(f"{folder.name}_districts")
    shutil.copytree(folder, beside)
    _run(folder, YEAR)
    findings = findings_of(folder, YEAR)
    of_services = scored(findings, truth_of(folder, YEAR), services_of(folder, YEAR), not_faultless(folder, YEAR))
    workspace = Workspace(beside)
    simulate(beside, accounts=size, seed=seed, irregular_percent=percent,
             district_faults=_districts_that_play(workspace, turn))  # fmt: skip
    _run(beside, YEAR)
    found, rules = findings_of(beside, YEAR), list(DISTRICT_KINDS)
    of_districts = scored_districts(found, truth_of(beside, YEAR), list(workspace.districts), rules)
    # The same workspace without such kinds: no district plays one there.
    of_districts += scored_districts(findings, [], list(workspace.districts), rules)
    return of_services, of_districts


def _percent(part: int, of: int) -> str:
    return f"{100 * part / of:.1f} %" if of else ""


def table(score: Score, what: str) -> list[str]:
    """Per rule: played, found, missed, flagged for nothing."""
    lines = [
        f"| rule | played | found | share | missed | of these as another kind | {what} flagged for nothing |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for rule_id in sorted(score.played | score.for_nothing):
        played, found = score.played[rule_id], score.found[rule_id]
        missed = played - found if played else ""
        as_another = score.as_another[rule_id] if played else ""
        cells = [played or "", found if played else "", _percent(found, played), missed, as_another]
        lines.append(f"| {rule_id} | {' | '.join(map(str, cells))} | {score.for_nothing[rule_id]} |")
    return lines


def what_is_played() -> list[str]:
    """The kinds that services play, in words."""
    lines = ["| rule | what is played | by services that use a month |", "| --- | --- | --: |"]
    for kind in sorted(KINDS, key=lambda kind: kind.rule_id):
        if kind.rule_id != MISBILLED:
            lines.append(f"| {kind.rule_id} | {kind.what} | {kind.least_ccf:g} to {kind.most_ccf:g} CCF |")
    return lines


def load(rows: list[tuple[str, Score]], minutes: float) -> list[str]:
    """Per workspace: faultless services flagged, and what somebody has to look at, in services and hours."""
    lines = [
        "| workspace | services | faultless | of these flagged | share | services to review | share | hours |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, s in rows:
        lines.append(
            f"| {name} | {s.services:,} | {s.faultless:,} | {s.flagged} | {_percent(s.flagged, s.faultless)} | {s.to_review:,} | "
            f"{_percent(s.to_review, s.services)} | {s.to_review * minutes / 60:.1f} |"
        )
    return lines


def judgement(score: Score) -> str:
    """Whether the goals are met, in a sentence that names the kinds that are below."""
    below = [r for r in sorted(score.played) if 100 * score.found[r] < GOAL_FOUND * score.played[r]]
    share = 100 * score.flagged / score.faultless if score.faultless else 0.0
    found = (
        f"Below the goal of {GOAL_FOUND:g} %: {', '.join(below)}."
        if below
        else f"Every kind is found in {GOAL_FOUND:g} %."
    )
    met = "within" if share <= GOAL_FLAGGED else "above"
    return f"{found} Faultless services flagged for review: {share:.2f} %, {met} the goal of {GOAL_FLAGGED:g} %."


def written(
    scores: dict[tuple[int, int], tuple[Score, Score]], percent: Decimal, minutes: float
) -> tuple[list[str], list[str]]:
    """The table for README, and the whole page; scores by size and seed, of which the first seed is the one for tuning."""
    tuning, *reporting = dict.fromkeys(seed for _, seed in scores)

    def of(seeds: list[int], which: int) -> Score:
        return sum((both[which] for (_, seed), both in scores.items() if seed in seeds), Score())

    sizes = " and ".join(f"{size:,}" for size in dict.fromkeys(size for size, _ in scores))
    shown = reporting or [tuning]
    for_readme = [*table(of(shown, 0), "services"), "", judgement(of(shown, 0))]
    rows = [
        (f"seed {seed}{' (tuning)' if seed == tuning else ''}, {size:,} services", both[0])
        for (size, seed), both in scores.items()
    ]
    lines = [
        "# Irregular use: found, missed, flagged for nothing",
        "",
        f"Made by `python benchmarks/irregular_use.py`: workspaces of {sizes} services in {DISTRICTS} districts, in which "
        f"{percent} % of the services that can play each kind play it; billing years {YEAR - 1} and {YEAR} are run, and "
        f"the findings of {YEAR} compared with what was played. Limits are tuned on seed {tuning}; the first tables are of "
        f"{'seeds' if len(shown) > 1 else 'seed'} {', '.join(map(str, shown))}.",
        "",
        "Found: the kind's own rule is among the findings of the service (or district). Flagged for nothing: a finding of severity "
        "review or must_decide at a service that plays nothing in this year or the year before, neither irregular use nor a "
        "scenario nor a spoilt row. What a back-test finds is not here.",
        "",
        "## Services",
        "",
        *for_readme,
        "",
        "## Districts as a whole",
        "",
        *table(of(shown, 1), "districts"),
        "",
        f"Districts that play nothing: {of(shown, 1).faultless}, flagged: {of(shown, 1).flagged}.",
        "",
        "## What there is to look at",
        "",
        f"At {minutes:g} minutes a service. The simulation has more irregular use than a real year, so that every kind is counted.",
        "",
        *load(rows, minutes),
    ]
    lines += ["", "## What is played", "", "Beside the scenarios that every simulated year has.", "", *what_is_played()]
    if reporting:
        lines += ["", f"## The tuning seed, {tuning}", "", *table(of([tuning], 0), "services"), "",
                  *table(of([tuning], 1), "districts")]  # fmt: skip
    return for_readme, lines


def main() -> None:
    """Make, run, compare, write the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--seeds", type=int, nargs="+", default=[11, 31, 32, 33], help="the first is the one for tuning"
    )
    arguments.add_argument("--sizes", type=int, nargs="+", default=[2000, 5000])
    arguments.add_argument("--percent", type=Decimal, default=Decimal("0.5"))
    arguments.add_argument("--minutes", type=float, default=3.0, help="minutes that a person looks at a service")
    arguments.add_argument("--keep", type=Path, default=None, help="keep the workspaces in this new folder")
    chosen = arguments.parse_args()
    scores: dict[tuple[int, int], tuple[Score, Score]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        at = chosen.keep or Path(scratch)
        for size in chosen.sizes:
            for seed in chosen.seeds:
                folder = at / f"{size}_{seed}"
                scores[size, seed] = measure(folder, size, seed, chosen.percent, len(scores))
                print(f"seed {seed}, {size:,} services: {judgement(scores[size, seed][0])}", flush=True)
    for_readme, lines = written(scores, chosen.percent, chosen.minutes)
    (ROOT / "benchmarks" / "irregular_use.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(for_readme))


if __name__ == "__main__":
    main()
