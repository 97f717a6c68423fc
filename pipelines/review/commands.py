"""The commands ``review`` and ``decide``.

Belongs here: arguments, printing, exit codes of the two. Does not belong here: what they do (``workbook``, ``taking_in``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

_Year = Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")]
_Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]


def _free_name(folder: Path, year: int) -> Path:
    """A name that no workbook of the day has."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"review_{year}_{dt.date.today().isoformat()}"
    names = (folder / f"{stem}{f'_{number}' if number else ''}.xlsx" for number in range(10_000))
    return next(path for path in names if not path.exists())


def review(
    year: _Year,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.xlsx", help="The workbook to write; never over another file.", show_default="in work/review"
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also findings that are decided.")] = False,
    minutes_per_service: Annotated[float, typer.Option(min=0.1, max=600, help="Pace at which hours are stated.")] = 3,
    workspace: _Workspace = None,
) -> None:
    """Write the workbook in which findings of YEAR are decided: what is open, most dollars a year first."""
    from pipelines.review.evidence import review_of
    from pipelines.review.workbook import must_be_free, write_workbook
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    if to is not None:
        must_be_free(to)
    try:
        found = review_of(chosen, year, everything=everything)
    except NotRun as error:
        _refuse(str(error))
    target = to or _free_name(chosen.work / "review", year)
    write_workbook(found, target, minutes_per_service)
    still_open = [r for r in found.rows if r["decision_status"] != "stands"]
    listed = {name: {r["service_id"] for r in still_open if r["listed_on"] == name} for name in ("worklist", "sample")}
    hours = len(listed["worklist"] | listed["sample"]) * minutes_per_service / 60
    typer.echo(f"wrote {target}")
    typer.echo(
        f"{len(listed['worklist']):,} services one by one, {len(listed['sample']):,} as a sample of the others: about {hours:,.1f} hours at "
        f"{minutes_per_service:g} minutes each. {len(found.others):,} findings about districts and accounts."
    )
    typer.echo(f"Fill in the yellow cells, save, then: annual-billing decide {year} FILE")


def decide(
    year: _Year,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The workbook, or a CSV: finding_id, evidence_hash, decision, average, reason, name."
        ),
    ],
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decided, where a row names nobody.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Take in nothing if a row is refused.")] = False,
    workspace: _Workspace = None,
) -> None:
    """Take in the decisions of FILE. Rows without a decision are skipped; what was taken in is never overwritten.

    Exit codes: 0 taken in; 1 a row was refused, with the reason; 2 the call or the file is wrong.
    """
    from assets.log import LogBroken
    from pipelines.review.taking_in import take_in
    from pipelines.session import WorkspaceBusy
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        taken = take_in(Workspace.chosen(workspace), year, file, by=by, strict=strict)
    except (NotRun, WorkspaceBusy, LogBroken) as error:
        _refuse(str(error))
    for sentence in taken.refused:
        typer.echo(f"refused: {sentence}", err=True)
    count = sum(taken.counts.values())
    words = ", ".join(f"{word} {number:,}" for word, number in sorted(taken.counts.items()))
    typer.echo(f"Taken in: {count:,} decisions{f' ({words})' if words else ''}.")
    if taken.taken_before:
        typer.echo(f"{taken.taken_before:,} rows had been taken in before.")
    if taken.refused and strict:
        typer.echo("Nothing was taken in, because a row was refused.")
    if count:
        typer.echo(f"They count once the year is run again: annual-billing run {year}")
    if taken.refused:
        raise typer.Exit(1)


def _refuse(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add both commands to ``app``."""
    app.command()(review)
    app.command()(decide)
