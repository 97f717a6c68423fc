"""The commands between a release and the billing system: ``load``, ``answer``.

Belongs here: arguments, printing, exit codes. Does not belong here: what they do (``postgres``, ``answers``).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.release.answers import Answer

_Year = Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")]
_Version = Annotated[int | None, typer.Option(metavar="N", min=1, help="Which version.", show_default="the last one")]
_Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]
_MOST_SHOWN = 20


def load(
    year: _Year,
    to: Annotated[
        str,
        typer.Option(
            metavar="DATABASE",
            help="How to reach PostgreSQL, as its own tools take it. Keep a password in ~/.pgpass, not here.",
        ),
    ],
    version: _Version = None,
    workspace: _Workspace = None,
) -> None:
    """Import a released version of YEAR into PostgreSQL: whole or not at all, held against its control totals.

    Importing again what is there already changes nothing.

    Exit codes: 0 the database holds it; 1 refused, with what to do; 2 the call or the configuration is wrong.
    """
    from pipelines.release import postgres
    from pipelines.release.releases import NotAsReleased
    from validations.workspace import Workspace

    try:
        loaded = postgres.load(Workspace.chosen(workspace), year, to, version)
    except (postgres.NotLoaded, NotAsReleased) as error:
        _refuse(str(error))
    what = f"v{loaded.released.version} of {year}: {loaded.services:,} sewer services, control totals as released."
    typer.echo(f"Imported: {what}" if loaded.is_new else f"There already: {what} Nothing was changed.")


def answer(
    year: _Year,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What became of each service.")
    ],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who takes it in; needs the right to enter.")],
    totals: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="The billing system's own totals.", show_default=False
        ),
    ] = None,
    version: _Version = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="CSV of all that is not as posted.", show_default=False),
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Take in what the billing system answered to a release of YEAR, and hold it against what was posted.

    FILE (CSV or .xlsx): service_id, status (accepted or refused), winter_average, reason. Totals: billing_agency, accepted, refused,
    winter_average (sum of those accepted). Both are kept in answers/YEAR.

    Exit codes: 0 all is accepted as posted; 1 something is not, named; 2 the call or a sheet is wrong.
    """
    from assets.log import LogBroken
    from pipelines.cli import _print_table
    from pipelines.release import answers
    from pipelines.release.people import NotEntitled
    from pipelines.release.releases import NotAsReleased
    from pipelines.summary import NotRun, Table
    from validations.workspace import Workspace

    try:
        found = answers.take_in(Workspace.chosen(workspace), year, file, by, totals, version)
    except (NotAsReleased, NotEntitled, LogBroken, NotRun) as error:
        _refuse(str(error))
    outcomes = answers.OUTCOMES[:-1]
    rows = [
        [str(one["billing_agency"]), f"{one['posted']:,}", *(f"{one[outcome]:,}" for outcome in outcomes)]
        for one in found.agencies
    ]
    _print_table(Table(f"Answer to v{found.released.version}", ["agency", "posted", *outcomes], rows))
    for agency in found.silent:
        typer.echo(f"{agency} has not answered.")
    if to is not None:
        _write(to, found)
        typer.echo(f"wrote {to}")
    if found.is_reconciled:
        typer.echo("Reconciled: all is accepted as posted.")
        return
    for sentence in [*found.totals, *map(_in_words, found.services[:_MOST_SHOWN])]:
        typer.echo(f"  - {sentence}")
    if len(found.services) > _MOST_SHOWN:
        typer.echo(f"  and {len(found.services) - _MOST_SHOWN:,} more; --to FILE.csv writes all.")
    _refuse(
        "Not reconciled. Settle it with the billing system; what has to change here takes a decision or an adjustment, and a next version."
    )


def _number(thousandths: int | None) -> str:
    return "" if thousandths is None else f"{thousandths // 1000}.{thousandths % 1000:03d}"


def _in_words(one: dict[str, Any]) -> str:
    posted, answered = _number(one["posted_thousandths"]), _number(one["answered_thousandths"])
    figures = ", ".join(f"{what} {number}" for what, number in (("posted", posted), ("answered", answered)) if number)
    reason = f": {one['reason']}" if one["reason"] else ""
    return f"{one['service_id']}: {one['outcome']}{f' ({figures})' if figures else ''}{reason}"


def _write(to: Path, found: Answer) -> None:
    columns = ["billing_agency", "service_id", "outcome", "posted_winter_average", "answered_winter_average", "reason"]
    with to.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for one in found.services:
            averages = (_number(one["posted_thousandths"]), _number(one["answered_thousandths"]))
            writer.writerow([one["billing_agency"], one["service_id"], one["outcome"], *averages, one["reason"]])


def _refuse(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(load)
    app.command()(answer)
