"""Files of rules that hold from a day on: finding the one in force.

Belongs here: what such files have in common, whatever they say.
Does not belong here: their content (``review_limits``, ``adjustment_policy``); schedules, which also end (``schedule``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from rate_tables.config_file import ConfigError, load_config


class Dated(Protocol):
    """Rules that hold from a day on."""

    @property
    def effective(self) -> dt.date: ...


Rules = TypeVar("Rules", bound=Dated)


@dataclass(frozen=True)
class Loaded(Generic[Rules]):
    """Rules and where they came from."""

    rules: Rules
    file: str
    content_hash: str

    def __hash__(self) -> int:
        return hash((self.file, self.content_hash))


@lru_cache(maxsize=200)
def _loaded(model: type[Rules], path: Path, content_hash: str) -> Loaded[Rules]:
    """The rules in a file of this content; a run asks for them many times."""
    shown = "/".join(("rate_tables", *path.parts[path.parts.index("rate_tables") + 1 :]))
    rules = load_config(model, path, shown)  # type: ignore[type-var]
    if path.name != f"{rules.effective.isoformat()}.yaml":
        raise ConfigError(
            f"{shown}: key effective: {rules.effective} contradicts the file's name; the file must be called "
            f"{rules.effective}.yaml."
        )
    return Loaded(rules, shown, content_hash)


def in_force(model: type[Rules], folders: list[Path], effective: dt.date) -> Loaded[Rules]:
    """The rules that hold on ``effective``, of the first folder that has any; before its first file, that first one holds.

    Errors: ConfigError if a file cannot be used.
    """
    paths = next(found for folder in folders if (found := sorted(folder.glob("*.yaml"))))
    loaded = [_loaded(model, path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]
    return next((one for one in reversed(loaded) if one.rules.effective <= effective), loaded[0])
