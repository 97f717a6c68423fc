"""How much of the machine a command may use, as the environment says.

Belongs here: the two variables, what they may say. Does not belong here: opening anything within these limits (``session``, ``summary``).
"""

from __future__ import annotations

import os
import re
from typing import Any

from rate_tables.config_file import ConfigError

THREADS_VARIABLE = "ANNUAL_BILLING_THREADS"
"""How many cores a command may use; all if it is not set."""
MEMORY_VARIABLE = "ANNUAL_BILLING_MEMORY"
"""How much memory DuckDB may use in a command, such as 3GB; four fifths of the machine's if it is not set. More goes to disk."""


def limits() -> dict[str, Any]:
    """DuckDB's settings that keep it to this; none for what is not set. ConfigError if a variable says something else."""
    said = {
        "threads": _allowed(THREADS_VARIABLE, r"[1-9][0-9]{0,2}", "a whole number from 1 to 999"),
        "memory_limit": _allowed(MEMORY_VARIABLE, r"[1-9][0-9]{0,4}[MG]B", "a whole number and MB or GB, such as 3GB"),
    }
    return {setting: value for setting, value in said.items() if value}


def _allowed(variable: str, pattern: str, allowed: str) -> str | None:
    said = os.environ.get(variable)
    if said and not re.fullmatch(pattern, said):
        raise ConfigError(f"{variable}: {said!r} is not allowed; allowed: {allowed}.")
    return said or None
