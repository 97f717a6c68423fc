"""Reading a delivered file into rows of text fields, whatever its layout.

Belongs here: one module per kind of file; each gives a ``Sheet``. Nothing is interpreted yet: fields stay text.
Does not belong here: dates, volumes, duplicates (``assets.consumption``), where files come from (``assets.deliveries``).
"""

from __future__ import annotations

from pathlib import Path

import ibis

from assets.readers.delimited import read_delimited
from assets.readers.fixed_width import read_fixed_width
from assets.readers.sheet import Sheet, UnreadableFile
from assets.readers.workbook import read_workbook
from validations.district import Delimited, District, FixedWidth

__all__ = ["Sheet", "UnreadableFile", "read_sheet"]


def read_sheet(con: ibis.BaseBackend, path: Path, entry: District, scratch: Path) -> Sheet:
    """The file at ``path`` as its district's entry describes it.

    Errors: UnreadableFile with a sentence for the district if the file as a whole does not have the announced layout.
    """
    layout = entry.layout
    if isinstance(layout, Delimited):
        return read_delimited(con, path, layout, scratch)
    if isinstance(layout, FixedWidth):
        return read_fixed_width(con, path, layout, entry.columns.named(), entry.trailer, scratch)
    return read_workbook(path, layout, entry.columns.account, entry.date_format, entry.volume.decimal_mark)
