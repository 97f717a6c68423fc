"""A delivered file of any layout as a ``Sheet``.

Belongs here: choosing the reader by the entry. Does not belong here: reading.
"""

from __future__ import annotations

from pathlib import Path

import ibis

from assets.readers.content import other_than_text
from assets.readers.delimited import read_delimited
from assets.readers.fixed_width import read_fixed_width
from assets.readers.sheet import Sheet, UnreadableFile
from assets.readers.workbook import Notation, read_workbook
from validations.district import District
from validations.layout import ColumnRef, Delimited, FixedWidth, Layout, TrailerRecord


def read_sheet(con: ibis.BaseBackend, path: Path, entry: District, scratch: Path) -> Sheet:
    """The file at ``path`` as its district's entry describes it.

    Errors: UnreadableFile with a sentence for the district if the file as a whole does not have the announced layout.
    """
    notation = Notation(
        date_format=entry.date_format,
        decimal_mark=entry.volume.decimal_mark,
        month_header_format=entry.month_columns.header_format if entry.month_columns else None,
        bill_month_format=entry.bill_month.format if entry.bill_month else None,
    )
    return read_rows(con, path, entry.layout, entry.columns.named(), scratch, notation, entry.trailer)


def read_rows(
    con: ibis.BaseBackend,
    path: Path,
    layout: Layout,
    columns: dict[str, ColumnRef],
    scratch: Path,
    notation: Notation | None = None,
    trailer: TrailerRecord | None = None,
) -> Sheet:
    """Any file of one of the layouts as a Sheet. UnreadableFile as ``read_sheet``."""
    if isinstance(layout, Delimited | FixedWidth):
        if other := other_than_text(path):
            raise UnreadableFile(f"the file is {other}; announced is text ({layout.kind})")
        if isinstance(layout, Delimited):
            return read_delimited(con, path, layout, scratch, trailer)
        return read_fixed_width(con, path, layout, columns, trailer, scratch)
    return read_workbook(path, layout, columns, notation or Notation(), scratch)
