"""What the simulation cannot serve, in one sentence.

Belongs here: the form of that sentence. Does not belong here: what cannot be served (each module knows its own).
"""

from __future__ import annotations

from rate_tables.config_file import ConfigError
from validations.district import District


def shown_as(entry: District) -> str:
    """The entry's file, as a person finds it in the workspace."""
    year = "" if entry.from_year is None else f".from_{entry.from_year}"
    return f"districts/{entry.district}{year}.yaml"


def cannot(shown: str, key: str, words: str) -> ConfigError:
    """The error that names file, key and what is in the way."""
    return ConfigError(f"{shown}: key {key}: {words}")
