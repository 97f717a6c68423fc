"""A file's name as DuckDB takes it.

Belongs here: names that DuckDB would take for patterns. Does not belong here: where files lie (``validations.workspace``).
"""

from __future__ import annotations

import re
from pathlib import Path


def literal(path: Path) -> str:
    """``path`` as a pattern that fits this file alone: of folders ``a[1]`` and ``a1``, DuckDB would read in the second."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
