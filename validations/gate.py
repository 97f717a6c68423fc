"""The gate: what holds up the release of a year, computed from data whenever somebody asks.

Belongs here: a block and its next step, blocks that no table shows (rates, the age of the extract), which override still holds.
Does not belong here: checks (``checks``), evaluating them, reading and writing overrides (``pipelines.release``).

An override is a decision like any other: somebody says why a year may be released all the same. It holds for the very rows that it
was made on; where others fail, or fewer, the block is back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from rate_tables.schedule import LoadedSchedule
from validations.workspace import Year


@dataclass(frozen=True)
class Block:
    """Something that release waits for.

    ``sentence`` says what is so and ``next_step`` what to do; ``evidence_hash`` is over the rows that make it, ``rows`` of them.
    """

    block_id: str
    sentence: str
    next_step: str
    evidence_hash: str
    rows: int
    may_be_overridden: bool


@dataclass(frozen=True)
class Override:
    """An override as it was made."""

    override_id: str
    block_id: str
    evidence_hash: str
    rows: int
    reason: str
    overridden_by: str
    overridden_on: dt.date

    @property
    def in_words(self) -> str:
        """Who and why, for people."""
        return f"{self.override_id}, {self.overridden_by} on {self.overridden_on}: {self.reason}"


@dataclass(frozen=True)
class Gate:
    """What holds up release, what would but for an override, and overrides that hold no more (of what has changed or gone)."""

    blocks: list[Block]
    overridden: list[tuple[Block, Override]]
    spent: list[Override]

    @property
    def is_open(self) -> bool:
        return not self.blocks


def gate(blocks: Iterable[Block], overrides: Iterable[Override]) -> Gate:
    """Hold overrides, in the order in which they were made, against the blocks as they are."""
    latest = {(o.block_id, o.evidence_hash): o for o in overrides}
    standing, overridden = list[Block](), list[tuple[Block, Override]]()
    for block in blocks:
        override = latest.pop((block.block_id, block.evidence_hash), None)
        if override is not None and block.may_be_overridden:
            overridden.append((block, override))
        else:
            standing.append(block)
    return Gate(standing, overridden, list(latest.values()))


def _hash_of(*facts: object) -> str:
    return hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()


def rates_not_adopted(year: Year, schedules: Iterable[LoadedSchedule]) -> list[Block]:
    """A block where no adopted schedule holds on some day of the year; it names the proposed ones that would."""
    periods = [period for period in year.rate_periods if period.schedule is None]
    if not periods:
        return []
    proposed = sorted(
        s.file
        for s in schedules
        if s.schedule.status == "proposed" and any(s.schedule.effective < p.end for p in periods)
    )
    days = "; ".join(f"{p.start} to {p.end - dt.timedelta(days=1)}" for p in periods)
    step = (
        f"Once they are adopted, set status: adopted in {', '.join(proposed)}, run annual-billing rates check and run the year again."
        if proposed
        else "Add the adopted schedule to rate_tables/, run annual-billing rates check and run the year again."
    )
    rates = "rates are only proposed" if proposed else "there are no rates"
    return [
        Block(
            "rates.adopted",
            f"No adopted schedule holds on {days}: {rates}.",
            step,
            _hash_of(days, *proposed),
            len(periods),
            False,
        )
    ]


def extract_too_old(year: Year, as_of: dt.date | None, at_most_days: int | None) -> list[Block]:
    """A block where the CIS extract in force is more than ``at_most_days`` older than the effective date, or does not say of which
    day it is; none where the workspace asks for no age."""
    if at_most_days is None or (as_of is not None and (year.effective - as_of).days <= at_most_days):
        return []
    folder = f"cis_extract/{year.billing_year}"
    if as_of is None:
        sentence = f"The CIS extract does not say of which day it is, and it may be at most {at_most_days} days older than {year.effective}."
        step = f"Write the day into {folder}/as_of.txt, such as {year.effective - dt.timedelta(days=14)}, and run the year again."
    else:
        age = (year.effective - as_of).days
        sentence = (
            f"The CIS extract is of {as_of}, {age} days before {year.effective}; workspace.yaml, key release.extract_at_most_days, "
            f"allows {at_most_days}."
        )
        step = f"Export the extract again into {folder}, with its day in as_of.txt, and run the year again."
    return [Block("cis_extract.recent", sentence, step, _hash_of(as_of, at_most_days), 1, True)]
