"""The contact sheet: names and addresses, read for the letters at hand and kept nowhere.

Belongs here: reading the sheet. Does not belong here: anything that would write a name or an address down.

No sentence of this module quotes the sheet: what goes wrong is told by line and account. The sheet is a CSV, because a workbook would
have to be unpacked into a file first.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from rate_tables.config_file import ConfigError

REQUIRED = ("account_id", "name", "address_line_1", "city", "state", "postal_code")
OPTIONAL = ("address_line_2",)
_LONGEST = 100
_MOST_BYTES = 200_000_000


@dataclass(frozen=True)
class Contact:
    """Whom to write to: the name, and the lines of the address below it."""

    name: str
    address: tuple[str, ...]


@dataclass(frozen=True)
class Contacts:
    """Contacts by account, and accounts that cannot be written to with the reason in words."""

    by_account: dict[str, Contact] = field(default_factory=dict, repr=False)
    refused: dict[str, str] = field(default_factory=dict)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(
                f"{path.name}: the contact sheet is larger than {_MOST_BYTES // 1_000_000} MB; give one with fewer accounts."
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path.name}: the contact sheet cannot be read ({error.strerror}).") from None
    if content.startswith(b"PK"):
        raise ConfigError(f"{path.name}: the contact sheet is a workbook; save it as CSV (UTF-8).")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What spreadsheets on Windows write where nobody chose UTF-8.
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            raise ConfigError(f"{path.name}: the contact sheet is not text as UTF-8; save it as CSV (UTF-8).") from None


def _contact(row: dict[str, str]) -> Contact | str:
    """The contact in a row, or why it is none."""
    cells = {name: " ".join((row.get(name) or "").split(" ")).strip() for name in (*REQUIRED, *OPTIONAL)}
    empty = [name for name in REQUIRED if not cells[name]]
    if empty:
        return f"{', '.join(empty)} is empty"
    unprintable = [name for name, text in cells.items() if not text.isprintable()]
    if unprintable:
        return f"{', '.join(unprintable)} holds a character that cannot be printed"
    long = [name for name, text in cells.items() if len(text) > _LONGEST]
    if long:
        return f"{', '.join(long)} has more than {_LONGEST} characters"
    last = re.sub(r" +", " ", f"{cells['city']}, {cells['state']} {cells['postal_code']}")
    return Contact(
        cells["name"], tuple(line for line in (cells["address_line_1"], cells["address_line_2"], last) if line)
    )


def read_contacts(path: Path, accounts: Collection[str]) -> Contacts:
    """Contacts of ``accounts`` in the CSV ``path``: account_id, name, address_line_1, address_line_2 (may be left out), city, state, postal_code.

    An account that stands there twice with different contents is refused: nobody gets another's figures by accident.
    Errors: ConfigError if the file as a whole is no such sheet.
    """
    wanted = set(accounts)
    rows = csv.reader(StringIO(_text(path), newline=""), strict=True)
    found = Contacts()
    try:
        header = [cell.strip() for cell in next(rows, [])]
        missing = [name for name in REQUIRED if name not in header]
        if missing or len(set(header)) != len(header):
            what = f"lacks {', '.join(missing)}" if missing else "has a column twice"
            raise ConfigError(
                f"{path.name}: the header of the contact sheet {what}; it has to have {', '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}."
            )
        place = header.index("account_id")
        for cells in rows:
            account = cells[place].strip() if len(cells) > place else ""
            if account not in wanted or account in found.refused:
                continue
            at = f"line {rows.line_num} of the contact sheet"
            contact = (
                _contact(dict(zip(header, cells, strict=True)))
                if len(cells) == len(header)
                else "it has other cells than the header"
            )
            if isinstance(contact, str):
                found.refused[account] = f"{at}: {contact}"
            elif found.by_account.setdefault(account, contact) != contact:
                found.refused[account] = f"{at}: the account stands there before with another name or address"
    except csv.Error:
        raise ConfigError(f"{path.name}: line {rows.line_num} of the contact sheet is no CSV.") from None
    for account in found.refused:
        found.by_account.pop(account, None)
    for account in wanted - set(found.by_account) - set(found.refused):
        found.refused[account] = "the contact sheet does not have the account"
    return found
