"""The command ``explain``.

Belongs here: its arguments, printing, exit codes. Does not belong here: what it says (``derivation``, ``text``, ``page``).
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """In which form to say it."""

    text = "text"
    json = "json"
    html = "html"


def explain(
    year: Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")],
    asked_for: Annotated[str, typer.Argument(metavar="ID", help="A service, an account or a premise of the CIS.")],
    form: Annotated[Form, typer.Option("--as", help="text to read, json for a program, html to print.")] = Form.text,
    contacts: Annotated[
        Path | None,
        typer.Option(
            "--contacts", metavar="FILE", help="A contact sheet (CSV): ID may be an address on it.", show_default=False
        ),
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
    ] = None,
) -> None:
    """Say why the bills of a service are what they are: lines, rates, average, readings, file and row, and what changed since last year.

    Exit codes: 0 said; 1 no such id, or the year has not been run; 2 the call or the configuration is wrong.
    """
    from pipelines.explain.derivation import NotFound, as_json
    from pipelines.explain.derivation import explain as explanation_of
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        explanation = explanation_of(Workspace.chosen(workspace), year, asked_for, contacts)
    except (NotRun, NotFound) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if form is Form.json:
        typer.echo(as_json(explanation), nl=False)
    elif form is Form.html:
        from pipelines.explain.page import as_html

        typer.echo(as_html(explanation), nl=False)
    else:
        from pipelines.explain.text import as_text

        typer.echo(as_text(explanation), nl=False)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(explain)
