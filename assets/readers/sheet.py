"""What every reader gives.

Belongs here: the ``Sheet``, the error for a file that has not the announced layout.
Does not belong here: reading.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    ``rows``: one row per line or sheet row that should be a record: source_row (from 1, as the file counts), raw_text,
    fields (array of text, null if the row could not be split), problem (reason code or null).
    ``header``: column names, in the order of ``fields``; empty if the layout has none.
    ``control_records`` and ``control_quantity``: what the file states of itself, as text.
    """

    rows: ir.Table
    header: list[str]
    rows_in_file: int
    rows_of_layout: int
    control_records: str | None = None
    control_quantity: list[str] | None = None
