"""Sheets of the office that count as a whole: one row that cannot be read refuses all of it.

Belongs here: reading such a sheet. Does not belong here: what is in it (``appeals``, ``answers``, ``corrections``), sheets of which the good
rows stand (``assets``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis.expr.types as ir

from assets.readers.office_sheet import read_office_sheet
from assets.readers.sheet import UnreadableFile
from assets.stage import Session
from rate_tables.config_file import ConfigError
from validations.contract import Contract

MOST_SHOWN = 12


def read_whole(session: Session, path: Path, shown: str, contract: Contract) -> ir.Table:
    """The sheet as the contract's table. ConfigError with a sentence for each line that cannot be used, or for the sheet."""
    con: Any = session.store.con
    try:
        sheet = read_office_sheet(con, path, shown, contract.name, contract, (), session.workspace.scratch)
    except (UnreadableFile, OSError) as error:
        reason = str(error) if isinstance(error, UnreadableFile) else f"it cannot be read ({error.strerror})"
        raise ConfigError(f"{shown}: {reason.removeprefix(f'{shown}: ')}.") from None
    rejected = con.to_pyarrow(sheet.rejected.order_by("source_row")).to_pylist()
    refuse_mistakes(shown, [f"{shown}, line {row['source_row']}: {row['message']}." for row in rejected])
    return contract.conform(sheet.rows)


def refuse_mistakes(shown: str, sentences: list[str]) -> None:
    """ConfigError with the first of these sentences, and how many more there are; nothing if there are none."""
    if sentences:
        left = len(sentences) - MOST_SHOWN
        raise ConfigError(
            "\n".join([*sentences[:MOST_SHOWN], *([f"{shown}: {left:,} more mistakes."] if left > 0 else [])])
        )
