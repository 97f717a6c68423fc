"""Two hundred commands killed with SIGKILL, and what each left.

Belongs here: the commands, the moments, the verdict after each kill, ``kills.md``. Does not belong here: how a command is killed and what a
reader sees (``tests.killed``).

    python benchmarks/kills.py [--count 200] [--seed 20191123] [--workers 2] [--to benchmarks/kills.md]
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from killed import Kill, State, state_of, stopped  # noqa: E402
from whole_runs import annual_billing, query  # noqa: E402

from pipelines.release.gate import blocks_of  # noqa: E402
from pipelines.release.verification import verify  # noqa: E402
from pipelines.session import read_session  # noqa: E402
from validations.workspace import Workspace  # noqa: E402

YEAR = 2019
ACCOUNTS, DISTRICTS, SEED_OF_SAMPLE = 50, 2, 7
LATE = "marten_hill_002"
DECIDES, APPROVES = "Clerk One", "Reviewer One"
VERDICTS = [
    "database mixed",
    "drafts mixed",
    "two states",
    "decisions lost",
    "release in part",
    "log broken",
    "not finished",
]
BEFORE, AFTER, BETWEEN = "the state before", "the state after", "in between"


@dataclass
class Scenario:
    """A command that is killed: where it starts, what it is, its share of the kills; then what it makes if nobody kills it."""

    name: str
    start: Path
    arguments: tuple[object, ...]
    share: float
    before: State | None = None
    after: State | None = None
    wrong: tuple[str, ...] = ()
    seconds: float = 0
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Killed:
    """One kill: of which command, when, what readers saw, and which promises were broken."""

    scenario: str
    when: str
    seen: str
    broken: tuple[str, ...]
    details: str


def copied(start: Path, target: Path) -> Path:
    """A copy of a workspace; links in it stay links."""
    return Path(shutil.copytree(start, target, symlinks=True))


def done(folder: Path, command: str, *arguments: object) -> None:
    """Run a command that has to succeed."""
    ran = annual_billing(command, YEAR, *arguments, "--workspace", folder, timeout=900)
    assert ran.code == 0, f"{command}: {ran.out[-2000:]}{ran.err}"


def override_all(folder: Path) -> None:
    """Override whatever holds up the release."""
    with read_session(Workspace(folder)) as session:
        blocks = [block.block_id for block in blocks_of(session, YEAR)]
    for block in blocks:
        done(folder, "override", block, "--by", DECIDES, "--why", "settled with the next version")


def sheet_of_decisions(folder: Path, target: Path) -> Path:
    """Half of the findings about services, decided as they are."""
    found = query(folder, "SELECT finding_id, evidence_hash FROM findings WHERE severity <> 'info' ORDER BY 1")
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["finding_id", "evidence_hash", "decision", "reason", "name"])
        writer.writerows([*row, "as_it_is", "looked at", DECIDES] for row in found[::2])
    return target


def scenarios(base: Path) -> list[Scenario]:
    """The commands, each with the workspace that it starts from."""
    fresh = base / "fresh"
    made = annual_billing("simulate", fresh, "--accounts", ACCOUNTS, "--districts", DISTRICTS, "--seed", SEED_OF_SAMPLE)
    assert made.code == 0, made.err
    late = fresh / "deliveries" / str(YEAR) / LATE
    aside = Path(shutil.move(late, base / LATE))
    once = copied(fresh, base / "once")
    done(once, "run")
    sheet = sheet_of_decisions(once, base / "decisions.csv")
    rerun = copied(once, base / "rerun")
    done(rerun, "decide", sheet, "--by", DECIDES)
    shutil.copytree(aside, rerun / late.relative_to(fresh))
    to_approve = copied(rerun, base / "to_approve")
    done(to_approve, "run")
    to_override = copied(to_approve, base / "to_override")
    with read_session(Workspace(to_override)) as session:
        block = blocks_of(session, YEAR)[0].block_id
    override_all(to_approve)
    to_release = copied(to_approve, base / "to_release")
    done(to_release, "approve", "--by", APPROVES)
    again = copied(to_release, base / "again")
    done(again, "release", "--by", APPROVES)
    shutil.rmtree(again / late.relative_to(fresh))
    done(again, "run")
    override_all(again)
    done(again, "approve", "--by", APPROVES)
    by = ("--by", APPROVES)
    why = ("--by", DECIDES, "--why", "settled with the next version")
    return [
        Scenario("run, the first", fresh, ("run", YEAR), 0.1),
        Scenario("run, after a late delivery and decisions", rerun, ("run", YEAR), 0.2),
        Scenario("decide", once, ("decide", YEAR, sheet, "--by", DECIDES), 0.2),
        Scenario("override", to_override, ("override", YEAR, block, *why), 0.1),
        Scenario("approve", to_approve, ("approve", YEAR, *by), 0.14),
        Scenario("release, the first version", to_release, ("release", YEAR, *by), 0.14),
        Scenario("release, the second version", again, ("release", YEAR, *by), 0.12),
    ]


def undisturbed(one: Scenario, base: Path) -> None:
    """What the command makes if nobody kills it."""
    folder = copied(one.start, base / "undisturbed")
    one.before = state_of(folder, YEAR)
    begun = time.monotonic()
    ran = stopped(folder, Kill(), *one.arguments)
    one.seconds = time.monotonic() - begun
    assert ran.ran.code == 0, ran.ran.err
    one.after = state_of(folder, YEAR)
    assert one.after != one.before, one.name
    one.wrong = tuple(verify(Workspace(folder), YEAR).wrong)
    one.changes = tuple(ran.changes)
    shutil.rmtree(folder)


def stages(one: Scenario) -> list[int]:
    """For each table of the store that the command writes, the number of the change that puts its first slice there."""
    first: dict[str, int] = {}
    for number, change in enumerate(one.changes, 1):
        verb, path = change.split(" ", 1)
        if verb == "rename" and path.startswith("work/store/"):
            first.setdefault(path.split("/")[2], number)
    return list(first.values())


def kills_of(one: Scenario, count: int, chance: random.Random) -> list[Kill]:
    """Half at random moments; half right before a change of the workspace: of each stage first, then of any."""
    at_once = [Kill(after_seconds=chance.uniform(0.05, one.seconds)) for _ in range((count + 1) // 2)]
    left = count - len(at_once)
    numbers = stages(one)
    chance.shuffle(numbers)
    numbers = [*numbers[:left], *(chance.randint(1, len(one.changes)) for _ in range(left - len(numbers)))]
    return [*at_once, *(Kill(before_change=number) for number in numbers)]


def broken_promises(one: Scenario, seen: State) -> list[str]:
    """Which promises a reader saw broken."""
    assert one.before is not None
    assert one.after is not None
    ends = (one.before, one.after)
    found = []
    if seen.tables not in [end.tables for end in ends]:
        found.append("database mixed")
    if seen.drafts not in [end.drafts for end in ends]:
        found.append("drafts mixed")
    if not found and (seen.tables, seen.drafts) not in [(end.tables, end.drafts) for end in ends]:
        found.append("two states")
    if seen.released not in [end.released for end in ends]:
        found.append("release in part")
    if seen.decisions not in [end.decisions for end in ends]:
        found.append("decisions lost")
    if one.before.log != seen.log[: len(one.before.log)] or seen.log != one.after.log[: len(seen.log)]:
        found.append("log broken")
    return found


def side(one: Scenario, seen: State) -> str:
    """Whether readers saw the state before or after; in between where the command had more to say to the log, for example."""
    return BEFORE if seen == one.before else AFTER if seen == one.after else BETWEEN


def finished(one: Scenario, folder: Path) -> str:
    """Run the command again on what the killed one left. Empty if all is as if nobody had been killed, else what is not."""
    ran = annual_billing(*one.arguments, "--workspace", folder, timeout=900)
    if ran.code != 0:
        return f"exit code {ran.code}: {ran.out[-500:]}{ran.err[-500:]}"
    now = state_of(folder, YEAR)
    if now != one.after:
        names = [name for name in vars(now) if getattr(now, name) != getattr(one.after, name)]
        return f"other {', '.join(names)} than undisturbed"
    wrong = verify(Workspace(folder), YEAR).wrong
    return "" if tuple(wrong) == one.wrong else f"verify: {' '.join(wrong)}"


def killed(one: Scenario, kill: Kill, chance: random.Random, folder: Path) -> Killed:
    """Kill the command once, look, and run it again. A command that ended before its moment is killed at another one."""
    for _ in range(20):
        copied(one.start, folder)
        stop = stopped(folder, kill, *one.arguments)
        if stop.was_killed:
            break
        shutil.rmtree(folder)
        kill = Kill(after_seconds=chance.uniform(0.05, one.seconds * 0.9))
    assert stop.was_killed, f"{one.name} always ended before it was killed"
    last = stop.changes[-1] if stop.changes else "nothing"
    when = f"after {kill.after_seconds:.2f} s, last: {last}" if kill.after_seconds else f"before: {last}"
    broken, seen_as, details = list[str](), BETWEEN, ""
    try:
        seen = state_of(folder, YEAR)
        broken, seen_as = broken_promises(one, seen), side(one, seen)
    except Exception as error:
        broken, details = ["database mixed"], f"{type(error).__name__}: {error}"
    left = finished(one, folder)
    if left:
        broken.append("not finished")
    if not broken:
        shutil.rmtree(folder)
    return Killed(one.name, when, seen_as, tuple(broken), f"{details} {left}".strip())


def table(kills: list[Killed], names: list[str]) -> list[str]:
    """A row per command, and one of all."""
    seen = [BEFORE, AFTER, BETWEEN]
    lines = [
        f"| command | kills | readers saw {BEFORE} | {AFTER} | {BETWEEN} | {' | '.join(VERDICTS)} |",
        "| --- |" + " --: |" * (1 + len(seen) + len(VERDICTS)),
    ]
    for name in [*names, "all"]:
        of_name = [one for one in kills if name in (one.scenario, "all")]
        counts = Counter(verdict for one in of_name for verdict in one.broken) + Counter(one.seen for one in of_name)
        cells = [len(of_name), *(counts[what] for what in [*seen, *VERDICTS])]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return lines


def in_words(kills: list[Killed], names: list[str], seed: int, at_stages: int) -> list[str]:
    """``kills.md``."""
    return [
        "# Commands killed at any moment",
        "",
        f"{len(kills):,} kills with SIGKILL, seed {seed}, made by `python benchmarks/kills.py`: a workspace of {ACCOUNTS} services and {DISTRICTS} "
        f"districts, one of them late. Half of the kills come at a random moment, half right before the command changes something in the workspace: {at_stages} "
        "before the first slice of a stage is put into the store, the others before any change.",
        "",
        "After each kill a reader looks at all there is: the tables of `billing.duckdb` by hash of their sorted rows, the drafts of bill files, the released "
        "versions, the file of decisions, the log. Each has to be as it was before the command, or as the command leaves it undisturbed; nothing else. Then the same "
        "command is run again: it has to succeed, leave the very state that it leaves undisturbed, and `annual-billing verify` has to prove it.",
        "",
        f"`{BETWEEN}` is a whole state too, one step short of the end: the version is released and the log does not say so yet, for "
        "example. `two states`: database and drafts of bill files are whole and not of the same run.",
        "",
        *table(kills, names),
    ]


def main() -> None:
    """Make the workspaces, kill, judge, write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=20191123)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "kills.md")
    chosen = arguments.parse_args()
    chance = random.Random(chosen.seed)  # noqa: S311 - the same seed kills at the same places
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        made = scenarios(base)
        jobs: list[Callable[[], Killed]] = []
        at_stages = 0
        for one in made:
            undisturbed(one, base)
            wanted = kills_of(one, round(chosen.count * one.share), chance)
            at_stages += len({kill.before_change for kill in wanted if kill.before_change} & set(stages(one)))
            for kill in wanted:
                number, own = len(jobs), random.Random(chance.random())  # noqa: S311
                jobs.append(lambda o=one, k=kill, n=number, c=own: killed(o, k, c, base / f"killed_{n}"))  # type: ignore[misc]
            print(f"{one.name}: {one.seconds:.1f} s, {len(one.changes)} changes, {len(wanted)} kills", flush=True)
        chance.shuffle(jobs)
        kills = []
        with ThreadPoolExecutor(chosen.workers) as pool:
            for number, kill in enumerate(pool.map(lambda job: job(), jobs), 1):
                kills.append(kill)
                told = f" BROKEN: {', '.join(kill.broken)} {kill.details}" if kill.broken else ""
                print(f"{number} of {len(jobs)}: {kill.scenario}, {kill.when}: {kill.seen}{told}", flush=True)
    lines = in_words(kills, [one.name for one in made], chosen.seed, at_stages)
    chosen.to.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    sys.exit(any(kill.broken for kill in kills))


if __name__ == "__main__":
    main()
