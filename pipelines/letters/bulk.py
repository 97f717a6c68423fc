"""Letters of one kind to many: services, contacts and template brought together.

Belongs here: one letter after the other, and what became of each. Does not belong here: what a letter says, its document.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.letters.contacts import read_contacts
from pipelines.letters.figures import NoLetter, letter_about, open_book, services_meant
from pipelines.letters.kinds import Kind
from pipelines.letters.writing import Template, file_name, put
from rate_tables.config_file import ConfigError
from validations.workspace import Workspace


@dataclass
class Done:
    """Letters written, and a sentence for each that was not; no names, no addresses."""

    written: int = 0
    not_written: list[str] = field(default_factory=list)
    are_drafts: bool = False


def write_letters(
    workspace: Workspace, kind: Kind, billing_year: int, contact_sheet: Path, wanted: dict[str, str], to: Path, dated: dt.date,
    reply_by: dt.date | None,
) -> Done:  # fmt: skip
    """Write a letter for each service that the ids in ``wanted`` mean (id -> why, where an adjustment is refused).

    Errors: NotRun; ConfigError, before the first letter unless it is about a template.
    """
    done = Done()
    if reply_by is not None and reply_by < dated:
        raise ConfigError(f"--reply-by {reply_by} is before the date of the letter, {dated}.")
    template = Template(workspace, kind)
    with open_book(workspace, billing_year) as book:
        services, unknown = services_meant(book, list(wanted))
        done.not_written += [f"{one!r}: no service or account of the CIS extract of {billing_year}" for one in unknown]
        contacts = read_contacts(contact_sheet, {service["account_id"] for service in services})
        done.are_drafts = book.version is None and kind is not Kind.request_for_information
        try:
            to.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--to {str(to)!r}: cannot be made ({error.strerror}).") from None
        for service in services:
            service_id, account_id = service["service_id"], service["account_id"]
            try:
                contact = contacts.by_account.get(account_id)
                if contact is None:
                    raise NoLetter(f"account {account_id}: {contacts.refused[account_id]}")
                because = wanted.get(service_id) or wanted.get(account_id) or ""
                said = letter_about(book, kind, service, dated=dated, because=because, reply_by=reply_by)
                content = template.filled_in({**said, "name": contact.name, "address": list(contact.address)})
                target = to / file_name(kind, billing_year, service_id)
                if not put(content, target):
                    raise NoLetter(f"there is a {target.name} already; it is not overwritten")
            except NoLetter as error:
                done.not_written.append(f"{service_id}: {error}")
            except OSError as error:
                raise ConfigError(f"--to {str(to)!r}: cannot be written to ({error.strerror}).") from None
            else:
                done.written += 1
    return done
