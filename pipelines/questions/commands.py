"""The command ``questions``.

Belongs here: its arguments, printing, exit codes. Does not belong here: what it answers (``answers``).
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer


def questions(
    year: Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which question; without it, all of them counted.", show_default=False),
    ] = None,
    years: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Only what has been so for N years in a row, where a question counts years.",
        ),
    ] = 1,
    as_of: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DATE", help="Credits that are unclaimed on this day.", show_default="today"
        ),
    ] = None,
    every_credit: Annotated[bool, typer.Option("--all", help="Credits that are not unclaimed yet, too.")] = False,
    most: Annotated[int, typer.Option(min=1, metavar="ROWS", help="Print at most so many rows.")] = 50,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write every row; never over another file.", show_default=False),
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
    ] = None,
) -> None:
    """Answer what staff ask all year: no district history, something stood in, used but not billed, accounts that might have sewer, debts, credits.

    Exit codes: 0 answered; 1 the year has not been run; 2 the call or the configuration is wrong.
    """
    from pipelines.cli import _print_table
    from pipelines.questions.answers import answer, overview
    from pipelines.summary import NotRun
    from rate_tables.config_file import ConfigError
    from validations.workspace import Workspace

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    chosen = Workspace.chosen(workspace)
    day = None if every_credit else (as_of.date() if as_of else dt.date.today())
    if name is None and to is not None:
        raise ConfigError("--to writes the rows of one question; name it.")
    try:
        if name is None:
            _print_table(overview(chosen, year, years=years, as_of=day))
            typer.echo(
                f"\nThe rows of one: annual-billing questions {year} NAME. In billing.duckdb each is the view question_NAME."
            )
            return
        answered = answer(chosen, year, name, years=years, as_of=day)
    except NotRun as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _print_table(answered.table(most))
    if len(answered.rows) > most:
        typer.echo(f"  and {len(answered.rows) - most:,} more; all of them: --to FILE.csv")
    for remark in answered.remarks:
        typer.echo(f"  {remark}")
    if to is not None:
        answered.write(to)
        typer.echo(f"wrote {to}")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(questions)
