"""The dated schedule: what a utility adopted, as a typed value.

Belongs here: the shape of a schedule file, finding the schedule of a billing year.
Does not belong here: computing with it (``averaging`` and ``charging`` do), customers, files of districts.

One file per adopted schedule: ``rate_tables/<utility>/<effective date>.yaml``. Every figure stands beside its source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from rate_tables.averaging_rule import AveragingRule
from rate_tables.charge import Charge, contradictions
from rate_tables.config_file import ConfigError, NotAllowed, Strict, load_config
from rate_tables.terms import Cited, Share, Source

SHIPPED = Path(__file__).parent
LOCK = "schedules.lock"
"""Beside a utility's schedules: the hashes of those that have been used, which do not change any more."""


class Authority(Strict):
    """The act that adopted the schedule, and where it can be read."""

    title: str
    number: str | None = None
    adopted_on: dt.date | None = None
    found_at: str
    note: str = ""


class Rounding(Strict):
    """To what the results are rounded; a half goes away from zero (``exact.round_half_away``)."""

    line_decimals: Cited[Literal[2]]


class LocalShare(Strict):
    """The part of a charge that a jurisdiction keeps; the rest is regional."""

    jurisdiction: str
    charge: str
    share: Share
    source: Source


class Schedule(Strict):
    """One adopted schedule of one utility."""

    utility: str
    effective: dt.date
    status: Literal["adopted", "proposed"]
    term: Cited[Literal["fiscal_year", "until_replaced"]]
    authority: Authority
    rounding: Rounding
    averaging: AveragingRule
    charges: tuple[Charge, ...]
    """None where the utility's rates are not known: averages are built, bills are held."""
    local_shares: tuple[LocalShare, ...] = ()
    local_share_where_none_is_listed: Cited[Share] | None = None
    """Of charges that state no ``local_share`` themselves; without it they are regional as a whole."""

    @model_validator(mode="after")
    def _codes_are_consistent(self) -> Schedule:
        for contradiction in contradictions(self.charges):
            raise contradiction
        codes = [charge.code for charge in self.charges]
        seen = set[tuple[str, str]]()
        for place, share in enumerate(self.local_shares):
            if share.charge not in codes:
                raise NotAllowed(
                    f"local shares of charges that exist ({', '.join(codes)}), not of {share.charge!r}",
                    "local_shares", place, "charge",
                )  # fmt: skip
            if (share.jurisdiction, share.charge) in seen:
                raise NotAllowed(
                    f"one local share of {share.charge} for {share.jurisdiction}; it stands twice",
                    "local_shares",
                    place,
                )
            seen.add((share.jurisdiction, share.charge))
        return self


class LoadedSchedule(Strict):
    """A schedule with the file it was read from; ``file`` is what bills and averages cite."""

    schedule: Schedule
    file: str
    content_hash: str

    def __hash__(self) -> int:
        return hash((self.file, self.content_hash))


def load_schedule(path: Path) -> LoadedSchedule:
    """Read one schedule. ConfigError if it is wrong or if its name contradicts its date or utility."""
    shown = f"rate_tables/{path.parent.name}/{path.name}"
    schedule = load_config(Schedule, path, shown)
    if path.name != f"{schedule.effective.isoformat()}.yaml":
        raise ConfigError(
            f"{shown}: key effective: {schedule.effective} contradicts the file's name; "
            f"the file must be called {schedule.effective}.yaml."
        )
    if path.parent.name != schedule.utility:
        raise ConfigError(
            f"{shown}: key utility: {schedule.utility!r} contradicts the folder; it must be {path.parent.name!r}."
        )
    return LoadedSchedule(schedule=schedule, file=shown, content_hash=hashlib.sha256(path.read_bytes()).hexdigest())


def load_schedules(folder: Path) -> list[LoadedSchedule]:
    """All schedules of a utility, oldest first. ConfigError with a sentence for each mistake in any of them."""
    loaded, wrong = list[LoadedSchedule](), [*changed_since_locked(folder)]
    for path in sorted(folder.glob("*.yaml")):
        try:
            loaded.append(load_schedule(path))
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return loaded


def locked_hashes(folder: Path) -> dict[str, str]:
    """File name -> hash of each schedule of a utility that has been used, as ``schedules.lock`` states it.

    Errors: ConfigError if the lock file is not of the form that ``sha256sum`` reads and writes.
    """
    path = folder / LOCK
    if not path.exists():
        return {}
    hashes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        found = re.fullmatch(r"([0-9a-f]{64})  (\d{4}-\d\d-\d\d\.yaml)", line)
        if not found:
            raise ConfigError(
                f"rate_tables/{folder.name}/{LOCK}, line {number}: not a hash, two spaces and a schedule's file name; "
                "restore the line as annual-billing rates lock wrote it."
            )
        hashes[found[2]] = found[1]
    return hashes


def changed_since_locked(folder: Path) -> Iterator[str]:
    """A sentence for each schedule that has been used and is not any more what it was."""
    for name, locked in locked_hashes(folder).items():
        path = folder / name
        if not path.exists():
            yield f"rate_tables/{folder.name}/{name}: this schedule has been used for bills and is locked, but it is gone; restore it."
        elif hashlib.sha256(path.read_bytes()).hexdigest() != locked:
            yield (
                f"rate_tables/{folder.name}/{name}: this schedule has been used for bills and is locked, but the file was "
                "changed; restore it, and write what changes as a new file with the date from which it holds."
            )


def lock_schedules(folder: Path) -> list[str]:
    """Add every adopted schedule of a utility to its lock; names of those that were not in it. ConfigError as for loading."""
    before = locked_hashes(folder)
    adopted = {
        Path(one.file).name: one.content_hash for one in load_schedules(folder) if one.schedule.status == "adopted"
    }
    lines = [f"{digest}  {name}\n" for name, digest in sorted((before | adopted).items())]
    beside = folder / f".{LOCK}.tmp"
    beside.write_text("".join(lines), encoding="utf-8")
    beside.rename(folder / LOCK)
    return sorted(set(adopted) - set(before))


def schedule_in_force(schedules: list[LoadedSchedule], effective: dt.date) -> LoadedSchedule | None:
    """The adopted schedule that holds on ``effective``, or None.

    A schedule ends where the next begins. One adopted for a fiscal year also ends with that year: a year without a
    schedule of its own has no rate, and its bills are held rather than rated with old figures.
    """
    started = [s for s in schedules if s.schedule.status == "adopted" and s.schedule.effective <= effective]
    if not started:
        return None
    latest = max(started, key=lambda s: s.schedule.effective)
    begins = latest.schedule.effective
    ends = (begins.year + 1, begins.month, begins.day)
    if latest.schedule.term.value == "fiscal_year" and (effective.year, effective.month, effective.day) >= ends:
        return None
    return latest


def averaging_rule_for(schedules: list[LoadedSchedule], effective: dt.date) -> LoadedSchedule | None:
    """The schedule whose averaging rule builds the basis that takes effect on ``effective``.

    Averages are built before the new rates are adopted, so the rule of the latest schedule that has begun by then
    serves until another replaces it, whatever the term of its rates; before the first schedule, the first one's.
    """
    adopted = [s for s in schedules if s.schedule.status == "adopted"]
    started = [s for s in adopted if s.schedule.effective <= effective]
    if started:
        return max(started, key=lambda s: s.schedule.effective)
    return min(adopted, key=lambda s: s.schedule.effective, default=None)
