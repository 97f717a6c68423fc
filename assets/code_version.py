"""Which code, of ours and of libraries, a table's content can depend on.

Belongs here: that hash. Does not belong here: which settings and inputs a table is made from (``stage``).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import duckdb
import ibis

ROOT = Path(__file__).parent.parent
OF_TABLES = ("rate_tables", "validations", "assets")


@cache
def code_version(*floors: str) -> str:
    """Hash of the floors that tables are made by, or of others, with the libraries that compute."""
    digest = hashlib.sha256(f"duckdb {duckdb.__version__} ibis {ibis.__version__}".encode())
    for floor in floors or OF_TABLES:
        for path in sorted((ROOT / floor).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
