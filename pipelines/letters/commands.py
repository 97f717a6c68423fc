"""The commands ``letter`` and ``letter-template``.

Belongs here: arguments, printing, exit codes. Does not belong here: what a letter says (``figures``), its document (``writing``).

Nothing that is printed has a name or an address in it.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from pipelines.letters.kinds import Kind

_Kind = Annotated[Kind, typer.Argument(metavar="KIND", help=", ".join(Kind) + ".")]
_Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]


def letter(
    kind: _Kind,
    year: Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")],
    contacts: Annotated[
        Path, typer.Option(metavar="FILE.csv", help="Names and addresses by account; read, and kept nowhere.")
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where the letters go; made if it does not exist.")],
    service: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="A service or an account; may be given again.", show_default=False),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="One service or account a line, or a CSV with the column id (and because).",
            show_default=False,
        ),
    ] = None,
    because: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Why an adjustment is refused, in words for the customer.", show_default=False
        ),
    ] = "",
    dated: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Date of the letter.", show_default="today"),
    ] = None,
    reply_by: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="Until when a customer is asked to answer.",
            show_default="as workspace.yaml says",
        ),
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Write letters as Word documents, one for each service. Names and addresses are in the letters and nowhere else.

    Exit codes: 0 all written; 1 some not, each with its reason; 2 the call, a template or the contact sheet is wrong.
    """
    from pipelines.letters.asked_for import read_list
    from pipelines.letters.bulk import write_letters
    from pipelines.summary import NotRun
    from rate_tables.config_file import ConfigError
    from validations.workspace import Workspace

    if bool(service) == (listed is not None):
        raise ConfigError("Name either --service ID, once or more, or --list FILE.")
    wanted = read_list(listed) if listed is not None else dict.fromkeys(service or [], "")
    try:
        done = write_letters(
            Workspace.chosen(workspace), kind, year, contacts, {one: own or because for one, own in wanted.items()}, to,
            dated.date() if dated else dt.date.today(), reply_by.date() if reply_by else None,
        )  # fmt: skip
    except NotRun as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for sentence in done.not_written:
        typer.echo(f"not written: {sentence}", err=True)
    typer.echo(f"wrote {done.written:,} {'letter' if done.written == 1 else 'letters'} into {to}")
    if done.are_drafts:
        typer.echo(f"{year} is not released: every letter says that it is a draft.")
    if done.not_written:
        raise typer.Exit(1)


def letter_template(kind: _Kind, workspace: _Workspace = None) -> None:
    """Copy the template of KIND into the workspace, to be edited in Word. Letters of KIND are written from it from then on."""
    from pipelines.letters.writing import copy_template
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    target = copy_template(chosen, kind)
    typer.echo(
        f"wrote {target.relative_to(chosen.folder).as_posix()}; edit it in Word, then try it with: annual-billing letter {kind} YEAR ..."
    )


def register(app: typer.Typer) -> None:
    """Add both commands to ``app``."""
    app.command()(letter)
    app.command("letter-template")(letter_template)
