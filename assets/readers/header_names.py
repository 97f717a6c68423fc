"""Names of columns.

Belongs here: names that stand on several rows. Does not belong here: which column serves which field (``assets.records``).
"""

from __future__ import annotations


def joined_names(rows: list[list[str]], repeats: bool) -> list[str]:
    """Column names whose parts stand on several rows, joined by a space.

    Where ``repeats``, an empty part above the last row is the one to its left: cells that were merged.
    """
    width = max(len(row) for row in rows)
    parts = [[name.strip() for name in row] + [""] * (width - len(row)) for row in rows]
    if repeats:
        for row in parts[:-1]:
            for place in range(1, width):
                row[place] = row[place] or row[place - 1]
    return [" ".join(part for part in column if part) for column in zip(*parts, strict=True)]
