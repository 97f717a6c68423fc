"""The commands after a release: ``credits``, ``reproduce``; and what ``status`` says of approval, releases, answers and appeals.

Belongs here: arguments, printing, exit codes. Does not belong here: what they do (``corrections``, ``reproduction``, ``restatement``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.release.corrections import Corrections
    from pipelines.summary import Table
    from validations.workspace import Workspace

_Year = Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")]
_Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]


def credits_of_year(
    year: _Year,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="CSV to write: one line per bill.", show_default=False)
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Show what bills issued for YEAR would be credited or charged, were YEAR approved today and released. Changes nothing.

    The bills are those of bills_issued/YEAR.csv, as they were first billed.

    Exit codes: 0 shown; 1 YEAR has not been run, or bills are held for a person; 2 the call or the sheet is wrong.
    """
    from pipelines.cli import _print_table
    from pipelines.release.corrections import corrections_of, write_credits
    from pipelines.release.gate import require_run
    from pipelines.release.releases import versions
    from pipelines.session import read_session
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    chosen.year(year)
    try:
        with read_session(chosen) as session:
            require_run(session, year)
            earlier = [one.folder for one in versions(chosen, year)]
            found = corrections_of(session, year, earlier, dt.datetime.now(dt.UTC).date())
            if found is not None and to is not None:
                write_credits(session, found, to)
    except NotRun as error:
        _refuse(str(error))
    if found is None:
        typer.echo(f"There is no bills_issued/{year}.csv, so there is nothing to credit or charge.")
        return
    _print_table(table_of(found))
    since = f"bills that end on {found.looks_back_to} or later" if found.looks_back_to else "every bill of the year"
    typer.echo(f"\nLook-back: {since}.")
    if to is not None:
        typer.echo(f"wrote {to}")
    held = sum(total["held"] for total in found.totals)
    if held:
        _refuse(f"Held for a person: {held:,}. The note of each says why; add --to FILE.csv to see them.")


def reproduce(
    year: _Year,
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="An empty folder, or one that is made: the year and its files go there.")
    ],
    version: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Which version.", show_default="the last one")
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Make a released version of YEAR again from the archive, and hold its files against the released ones, byte for byte.

    Exit codes: 0 every file is the same; 1 one is not, or the version cannot be made again; 2 the call is wrong.
    """
    from assets.log import LogBroken
    from pipelines.release import reproduction
    from pipelines.session import WorkspaceBusy
    from validations.workspace import Workspace

    try:
        found = reproduction.reproduce(Workspace.chosen(workspace), year, version, to.resolve())
    except (reproduction.NotReproduced, LogBroken, WorkspaceBusy) as error:
        _refuse(str(error))
    for remark in found.remarks:
        typer.echo(remark)
    for sentence in found.differing:
        typer.echo(f"  - {sentence}")
    if found.differing:
        _refuse(f"v{found.version} of {year} was made again in {found.folder}, and differs.")
    typer.echo(
        f"v{found.version} of {year} was made again: {len(found.same):,} files, the same byte for byte, in {found.folder}"
    )


def table_of(found: Corrections) -> Table:
    """Credits and charges by agency, for people."""
    from pipelines.summary import Table

    columns = ["agency", "bills", "credits", "$ credited", "charges", "$ charged", f"{found.volume_unit} more or less"]
    columns += ["outside look-back", "held", "unchanged"]

    def cells(agency: str, row: dict[str, Any]) -> list[str]:
        volume = row["corrected_volume_thousandths"] - row["billed_volume_thousandths"]
        return [
            agency, f"{row['bills']:,}", f"{row['credits']:,}", _scaled(row["credit_cents"], 2), f"{row['charges']:,}",
            _scaled(row["charge_cents"], 2), _scaled(volume, 3), *(f"{row[n]:,}" for n in ("outside_look_back", "held", "unchanged")),
        ]  # fmt: skip

    rows = [cells(total["billing_agency"], total) for total in found.totals]
    names = [name for name in (found.totals[0] if found.totals else {}) if name != "billing_agency"]
    if len(rows) > 1:
        rows.append(cells("all", {name: sum(total[name] for total in found.totals) for name in names}))
    return Table("Bills issued on another average", columns, rows)


def _scaled(number: int, decimals: int) -> str:
    whole, rest = divmod(abs(number), 10**decimals)
    return f"{'-' if number < 0 else ''}{whole:,}.{rest:0{decimals}d}"


def after_release(workspace: Workspace, year: int) -> list[str]:
    """What ``status`` says of the year's approval, releases, answers and appeals, in sentences; a file that cannot be used is one of them."""
    from assets.log import LogBroken
    from pipelines.release import answers
    from pipelines.release.appeals import waiting
    from pipelines.release.approval import standing
    from pipelines.release.releases import unfinished
    from pipelines.release.restatement import in_words, proposal_of
    from pipelines.session import read_session
    from rate_tables.config_file import ConfigError

    sentences = list[str]()
    with read_session(workspace) as session:
        try:
            sentences.append(standing(session, year))
        except (LogBroken, ConfigError) as error:
            sentences += str(error).splitlines()
        try:
            proposal = proposal_of(session, year)
            sentences += in_words(proposal, year) if proposal else ["Not released."]
            sentences += [
                f"{folder.name} in {folder.parent.relative_to(workspace.folder).as_posix()} has no release.json: a release was stopped. It is "
                f"no release; the next one takes it away."
                for folder in unfinished(workspace, year)
            ]
            sentences += answers.standing(workspace, year)
        except (LogBroken, ConfigError) as error:
            sentences += str(error).splitlines()
        try:
            sentences += waiting(session, year, dt.date.today())
        except ConfigError as error:
            sentences += str(error).splitlines()
    return sentences


def _refuse(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("credits")(credits_of_year)
    app.command()(reproduce)
