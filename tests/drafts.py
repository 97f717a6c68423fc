"""Drafts of ``district guess`` beside the entries that are right.

Belongs here: what a person still has to answer or to correct in a draft. As a program it prints the table of
``docs/districts.md``: python tests/drafts.py WORKSPACE
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.district_entry.guess import guess
from validations.district import District
from validations.workspace import Workspace

YEAR = 2019
FILES = {
    "alder_creek": ("csv, a row per month", "alder_creek_2019.csv"),
    "bellflower": ("csv, register readings", "bellflower_2019.csv"),
    "cinder_butte": ("workbook, months as columns", "cinder_butte_2019.xlsx"),
    "dunmore": ("fixed width, implied decimals", "dunmore_2019.txt"),
    "elderwick": ("cp1252, decimal comma, days", "elderwick_2019.csv"),
    "foxglove": ("zip of several csv, bill months", "foxglove_2019.zip"),
    "gorse_hollow": ("csv, registered beside billed", "gorse_hollow_2019.csv"),
    "hazel_fen": ("typed records, check digit", "hazel_fen_2019.csv"),
}
_ALWAYS = {"district", "from_year", "name", "write_to"}


@dataclass(frozen=True)
class Compared:
    """A draft and what is between it and the entry that is right: keys to answer, keys to correct."""

    draft: str
    answer: list[str]
    correct: list[str]


def _value_at(content: Any, path: list[str]) -> Any:
    for step in path:
        content = content.get(step) if isinstance(content, dict) else None
    return content


def _put(content: Any, path: list[str], value: Any) -> None:
    for step in path[:-1]:
        content = content[step]
    content[path[-1]] = value


def differing(one: Any, other: Any, path: tuple[str, ...] = ()) -> list[str]:
    """Keys that differ, as deep as both sides have them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [key for name in {**one, **other} for key in differing(one.get(name), other.get(name), (*path, name))]
    return [] if one == other else [".".join(path)]


def answered(text: str, unanswered: list[str], right: dict[str, Any]) -> dict[str, Any]:
    """A draft with what it leaves open taken from the entry that is right."""
    content = copy.deepcopy(yaml.safe_load(text))
    for key in [*unanswered, *_ALWAYS]:
        path = ["" if step == '""' else step for step in key.split(".")]
        _put(content, path, _value_at(right, path))
    return content  # type: ignore[no-any-return]


def compared(file: Path, entry: District) -> Compared:
    """The draft made from ``file`` beside ``entry``."""
    draft, right = guess(file), entry.model_dump(mode="json")
    made = District.model_validate(answered(draft.text, draft.unanswered, right)).model_dump(mode="json")
    return Compared(draft.text, [k for k in draft.unanswered if k not in _ALWAYS], differing(made, right))


def table(workspace: Workspace) -> str:
    """What a person has to do, as a table."""
    lines = []
    for district, (layout, file) in FILES.items():
        entry = workspace.district(district, YEAR)
        result = compared(workspace.deliveries(YEAR, entry) / file, entry)
        answer, correct = (", ".join(f"`{k}`" for k in keys) or "nothing" for keys in (result.answer, result.correct))
        lines.append(f"| {district} | {layout} | {answer} | {correct} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Workspace(Path(sys.argv[1]))))
