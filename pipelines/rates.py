"""What the person who keeps the rates asks: do the files hold, what do they say, what changes, which of them are locked.

Belongs here: checking folders of schedules with their examples, laying schedules out for reading and comparing.
Does not belong here: printing (``cli``), a proposed schedule over a year's basis (``what_if``), rules of billing.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.summary import Table
from rate_tables.config_file import ConfigError
from rate_tables.laid_out import Item, authority_items, averaging_items, changes, charge_items
from rate_tables.schedule import SHIPPED, LoadedSchedule, Schedule, load_schedule, load_schedules, schedule_in_force

WARN_BEYOND_PERCENT = 15
"""A rate that moves by more than this is worth a second look at the resolution."""


@dataclass
class Checked:
    """What ``check`` found. ``mistakes``: files that cannot be used; ``differences``: examples that come out otherwise."""

    table: Table
    mistakes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def utilities(folder: Path) -> list[Path]:
    """The utilities' folders in ``folder``, or itself. ConfigError if there is no schedule in it."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: the folder does not exist; name one that holds schedules.")
    if any(folder.glob("*.yaml")):
        return [folder]
    found = sorted(below for below in folder.iterdir() if any(below.glob("*.yaml")))
    if not found:
        raise ConfigError(
            f"{folder}: no schedule is in it; allowed: a utility's folder with files like 2019-07-01.yaml, or a folder of such "
            "folders."
        )
    return found


def check(folder: Path) -> Checked:
    """Load every schedule and every example in ``folder``, and run the examples through the code that bills."""
    from assets.engine import connected
    from rate_tables.examples import differences, load_examples, run_example

    con: Any = connected()
    checked = Checked(
        Table(f"Rates in {folder}", ["utility", "schedules", "charges", "examples", "state"], [], numbers_from=1)
    )
    for utility in utilities(folder):
        before = len(checked.mistakes) + len(checked.differences)
        schedules: list[LoadedSchedule] = []
        examples = []
        try:
            schedules = load_schedules(utility)
            examples = load_examples(utility, schedules)
        except ConfigError as error:
            checked.mistakes += str(error).splitlines()
        for example in examples:
            try:
                outcome = run_example(con, example)
            except ConfigError as error:
                checked.mistakes.append(str(error))
                continue
            checked.differences += [f"{example.file}: {d}" for d in differences(example.example.expected, outcome)]
        charges = max((len(one.schedule.charges) for one in schedules), default=0)
        wrong = len(checked.mistakes) + len(checked.differences) - before
        state = f"{wrong} to mend" if wrong else "holds"
        checked.table.rows.append(
            [utility.name, str(len(schedules)), str(charges or "none"), str(len(examples)), state]
        )
    return checked


def find_schedule(named: str) -> LoadedSchedule:
    """A schedule by its path, or as ``utility/date`` of one that ships. ConfigError if there is none of that name."""
    path = Path(named)
    if not path.exists():
        short = re.sub(r"^rate_tables/", "", named)
        path = SHIPPED / (short if short.endswith(".yaml") else f"{short}.yaml")
    if not path.is_file():
        raise ConfigError(
            f"{named}: no such schedule; allowed: the path of a file, or one that ships, like sherwood/2023-07-01."
        )
    return load_schedule(path.resolve())


def find_in_force(utility: str, date: str, own: Path | None) -> LoadedSchedule:
    """The schedule of a utility that takes effect on a date, proposed or adopted; else the adopted one that holds on it.

    Errors: ConfigError if there is none, or the words are no utility and no date.
    """
    folders = [Path(utility).resolve(), *(folder / utility for folder in (own, SHIPPED) if folder is not None)]
    folder = next((one for one in folders if any(one.glob("*.yaml"))), None)
    if folder is None:
        names = ", ".join(path.name for path in utilities(SHIPPED))
        raise ConfigError(f"{utility}: no such utility; allowed: a utility's folder, or one that ships: {names}.")
    try:
        day = dt.date.fromisoformat(date)
    except ValueError:
        raise ConfigError(f"{date}: not a date; allowed: year, month and day, like 2019-07-01.") from None
    schedules = load_schedules(folder)
    found = next((one for one in schedules if one.schedule.effective == day), schedule_in_force(schedules, day))
    if found is None:
        effective = ", ".join(f"{one.schedule.effective} ({one.schedule.status})" for one in schedules)
        raise ConfigError(f"{utility}: no adopted schedule holds on {day}; there are those of {effective}.")
    return found


def show(loaded: LoadedSchedule) -> list[Table]:
    """A schedule as tables that can be read against the resolution."""

    def rows(items: list[Item], named: bool) -> list[list[str]]:
        return [[*([item.title] if named else []), item.item, item.value, item.counted, item.source] for item in items]

    head = [[item.item, item.value] for item in authority_items(loaded)]
    return [
        Table(f"{loaded.schedule.utility}, from {loaded.schedule.effective}", ["what", "as it stands"], head, 2),
        Table(
            "Charges",
            ["on the bill", "item", "figure", "counted in", "source"],
            rows(charge_items(loaded.schedule), True),
            5,
        ),
        Table("Averaging", ["item", "setting", "", "source"], rows(averaging_items(loaded.schedule), False), 4),
    ]


def diff(before: LoadedSchedule, after: LoadedSchedule) -> tuple[Table, list[str]]:
    """Every rate of both schedules with old, new and percent, and every setting that differs; and warnings."""
    rows, warnings = [], []
    for change in changes(before.schedule, after.schedule):
        percent = "" if change.percent is None else f"{change.percent:+}"
        rows.append([change.item, change.counted, change.before, change.after, percent])
        if change.percent is not None and abs(change.percent) > WARN_BEYOND_PERCENT:
            warnings.append(
                f"{change.item}: {change.before} becomes {change.after}, {percent} %; beyond {WARN_BEYOND_PERCENT} %."
            )
        elif change.part == "charges" and change.counted and not (change.before and change.after):
            warnings.append(f"{change.item}: stands only in {(before if change.before else after).file}.")
    title = f"{before.file} ({before.schedule.status}) to {after.file} ({after.schedule.status})"
    return Table(title, ["item", "counted in", "old", "new", "percent"], rows, numbers_from=2), warnings


def json_schemas() -> Iterator[tuple[Path, str]]:
    """The JSON Schemas that editors check schedules and examples with: the file of each, and its text."""
    from rate_tables.examples import Example

    for name, model in (("schedule.schema.json", Schedule), ("example.schema.json", Example)):
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
        yield SHIPPED / name, json.dumps(_without_titles(schema), indent=1, ensure_ascii=False) + "\n"


def _without_titles(part: Any) -> Any:
    """A schema without the titles that repeat each key's name."""
    if isinstance(part, dict):
        return {k: _without_titles(v) for k, v in part.items() if k != "title" or not isinstance(v, str)}
    return [_without_titles(one) for one in part] if isinstance(part, list) else part


def percent(before: Decimal | int, after: Decimal | int) -> str:
    """The change in percent, to a tenth; empty where there was nothing before."""
    return f"{(Decimal(after) - Decimal(before)) / Decimal(before) * 100:+.1f}" if before else ""
