"""The list of services or accounts to write to.

Belongs here: reading it. Does not belong here: what is written to them.
"""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from rate_tables.config_file import ConfigError

_MOST_BYTES = 50_000_000
_ID = ("id", "service_id", "account_id")


def read_list(path: Path) -> dict[str, str]:
    """Service or account -> why it is refused, where the list has the column ``because``; else empty. In the order of the list.

    The file has one id a line, or is a CSV whose header names the column id, service_id or account_id. Errors: ConfigError.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path.name}: the list is larger than {_MOST_BYTES // 1_000_000} MB.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path.name}: the list cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name}: the list is not text as UTF-8; save it as CSV (UTF-8).") from None
    try:
        rows = [
            cells
            for cells in csv.reader(StringIO(text, newline=""), strict=True)
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error:
        raise ConfigError(f"{path.name}: the list is no CSV.") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    place = next((header.index(name) for name in _ID if name in header), None)
    if place is None:
        if any(len(cells) > 1 for cells in rows):
            raise ConfigError(f"{path.name}: the list has several columns and none of them is {' or '.join(_ID)}.")
        place, header = 0, ["id"]
    else:
        rows = rows[1:]
    why = header.index("because") if "because" in header else None
    found: dict[str, str] = {}
    for cells in rows:
        one = cells[place].strip() if len(cells) > place else ""
        if one:
            because = " ".join(cells[why].split()) if why is not None and len(cells) > why else ""
            if found.setdefault(one, because) != because:
                raise ConfigError(f"{path.name}: {one!r} stands in the list twice with different reasons.")
    if not found:
        raise ConfigError(f"{path.name}: the list is empty.")
    return found
