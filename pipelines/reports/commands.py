"""The commands ``report``, ``district-report`` and ``expectations``.

Belongs here: their arguments, printing, exit codes. Does not belong here: what is in the reports (``year``, ``district``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Year = Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")]
_Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]


def report(
    year: _Year,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where to write it.", show_default="in work/reports")
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Write the report of YEAR: totals, changes, who moved most, what was refused and decided, what was released.

    One page that opens without a network and prints. Exit codes: 0 written; 1 YEAR has not been run; 2 the call is wrong.
    """
    from pipelines.reports.year import write_report
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        page, written = write_report(Workspace.chosen(workspace), year, to)
    except NotRun as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"wrote {written}")
    for fact in page.facts:
        typer.echo(f"  {fact.title}: {fact.text}")


def district_report(
    year: _Year,
    district: Annotated[str, typer.Argument(metavar="DISTRICT", help="Its id, as in districts/DISTRICT.yaml.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE.xlsx", help="Where to write it.", show_default="in work/reports")
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Write what is to be sent to DISTRICT: rows refused, accounts that do not meet, doubts, totals, and what is asked.

    Exit codes: 0 written; 1 YEAR has not been run; 2 the call or the configuration is wrong.
    """
    from pipelines.reports.district import write_report
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        report, written = write_report(Workspace.chosen(workspace), year, district, to)
    except NotRun as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"wrote {written}")
    for sheet in report.sheets:
        typer.echo(f"  {sheet.name}: {len(sheet.rows):,}")


def expectations(year: _Year, workspace: _Workspace = None) -> None:
    """Say what a reviewer would say aloud of YEAR against the year before, and which of it is not so.

    The job `population` in the UI says the same as checks of billing_basis. Exit codes: 0 all is so; 1 something is not, or YEAR has not
    been run; 2 the call is wrong.
    """
    from pipelines.expectations import in_words, said_of_year
    from pipelines.release.gate import require_run
    from pipelines.session import read_session
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    chosen.year(year)
    try:
        with read_session(chosen) as session:
            require_run(session, year)
            found = said_of_year(session, year)
    except NotRun as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for said in found:
        typer.echo(in_words(said))
        for row in said.rows:
            typer.echo("  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()))
    if not all(said.holds for said in found):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(report)
    app.command()(district_report)
    app.command()(expectations)
