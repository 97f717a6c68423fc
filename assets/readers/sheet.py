"""What every reader gives.

Belongs here: the ``Sheet``, the error for a file that has not the announced layout.
Does not belong here: reading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import ibis.expr.types as ir


class UnreadableFile(Exception):
    """A delivered file does not have the announced layout; the message can be sent to the district.

    What a terminal would obey, as a name from the file may hold, is shown as a replacement character.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sentence))


@dataclass(frozen=True)
class Sheet:
    """A file as rows of text fields.

    ``source``: its lines or cells as they were read, with source_row and raw_text. ``as_rows``: makes ``rows`` of such a table;
    ``told`` is all that it depends on, as values whose ``repr`` tells them apart.
    ``header``: column names, in the order of ``fields``; empty if the layout has none.
    ``blanks``: the blanks and control characters that stand anywhere in a row.
    ``control_records`` and ``control_quantity``: what the file states of itself, as text.
    """

    source: ir.Table
    as_rows: Callable[[ir.Table], ir.Table]
    told: object
    header: list[str]
    rows_in_file: int
    blanks: frozenset[str]
    control_records: str | None = None
    control_quantity: list[str] | None = None

    @cached_property
    def rows(self) -> ir.Table:
        """One row per line or sheet row that should be a record: source_row (from 1, as the file counts), raw_text,
        fields (array of text, null if the row could not be split), problem (reason code or null)."""
        return self.as_rows(self.source)
