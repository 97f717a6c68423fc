"""The commands of a release: ``approve``, ``release``, ``verify``, ``override``, ``reconcile``.

Belongs here: arguments, printing, exit codes. Does not belong here: what they do (the other modules of this package).
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

_Year = Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")]
_Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]


def approve(
    year: _Year,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who approves; by default not who entered or decided.")],
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sign with this SSH key of yours.", show_default="not signed"),
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Approve YEAR exactly as it stands, for release. Any change after that makes the approval void.

    Exit codes: 0 approved; 1 refused, with what to do; 2 the call or the configuration is wrong.
    """
    from assets.log import LogBroken
    from pipelines.release import approval
    from pipelines.release.people import NotEntitled
    from pipelines.release.signature import NotSigned
    from pipelines.session import WorkspaceBusy
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        done = approval.approve(Workspace.chosen(workspace), year, by, key)
    except (approval.NotApproved, NotEntitled, NotSigned, LogBroken, NotRun, WorkspaceBusy) as error:
        _refuse(str(error))
    approved = done.approval
    signed = f"signed with the key {approved.signer}" if approved.signer else "not signed"
    typer.echo(f"Approved: {year} as it stands, {approved.digest}")
    typer.echo(f"Log entry {approved.number}, {approved.at}, {signed}. Any change makes this approval void.")
    if done.blocks:
        typer.echo("What still holds up release; whatever is changed for it has to be approved again:")
        for block in done.blocks:
            typer.echo(f"  - {block.block_id}: {block.sentence} {block.next_step}")


def release(
    year: _Year,
    by: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Who releases; required where workspace.yaml lists people.", show_default=False
        ),
    ] = "",
    workspace: _Workspace = None,
) -> None:
    """Release YEAR as it was approved: write its bill files, whole or not at all, as the next version.

    Releasing again what is released already changes nothing.

    Exit codes: 0 released, now or before; 1 refused, with what to do; 2 the call or the configuration is wrong.
    """
    from assets.log import LogBroken
    from pipelines.cli import _print_table
    from pipelines.release import releasing
    from pipelines.release.approval import NotApproved
    from pipelines.release.people import NotEntitled
    from pipelines.session import WorkspaceBusy
    from pipelines.summary import NotRun, Table
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    try:
        outcome = releasing.release(chosen, year, by)
    except releasing.NotReleased as error:
        typer.echo(str(error), err=True)
        for block in error.blocks:
            typer.echo(f"  - {block.block_id}: {block.sentence} {block.next_step}", err=True)
        raise typer.Exit(1) from None
    except (NotApproved, NotEntitled, LogBroken, NotRun, WorkspaceBusy) as error:
        _refuse(str(error))
    released, marker = outcome.released, outcome.released.marker
    if not outcome.is_new:
        typer.echo(
            f"{year} is released already as it stands: v{released.version}, {marker['at']}. Nothing was changed."
        )
        return
    means = {"service_days": "service days", "bills_issued": "bills issued"}[marker["effective_means"]]
    typer.echo(f"Released: {year}, v{released.version}, {marker['digest']}")
    typer.echo(
        f"For {means} on and after {marker['effective_date']}. {len(marker['files']):,} files in {released.folder}"
    )
    unit = str(marker["volume_unit"]).upper() if marker["volume_unit"] in ("ccf", "cf") else marker["volume_unit"]
    columns = ["agency", "services", f"{unit} a month before", f"{unit} a month now", "$ of one period, preview"]
    rows = [
        [
            one["billing_agency"],
            f"{one['services']:,}",
            f"{Decimal(one['old_average_thousandths']).scaleb(-3):,.3f}",
            f"{Decimal(one['new_average_thousandths']).scaleb(-3):,.3f}",
            f"{Decimal(one['preview_amount_cents']).scaleb(-2):,.2f}",
        ]
        for one in marker["agencies"]
    ]
    _print_table(Table("Posted", columns, rows))


def verify(year: _Year, workspace: _Workspace = None) -> None:
    """Prove that the log, deliveries, sheets, decisions, schedules and released files of YEAR are what they were.

    Exit codes: 0 proved; 1 something was changed, named one by one; 2 the call or the configuration is wrong.
    """
    from pipelines.release import verification
    from pipelines.session import WorkspaceBusy
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        proof = verification.verify(Workspace.chosen(workspace), year)
    except (NotRun, WorkspaceBusy) as error:
        _refuse(str(error))
    looked_at = ", ".join(f"{what} {number:,}" for what, number in proof.looked_at.items())
    typer.echo(f"Held against the log: {looked_at}.")
    if proof.wrong:
        for sentence in proof.wrong:
            typer.echo(f"  - {sentence}")
        _refuse(f"Not as it was: {len(proof.wrong):,}. Each is named above.")
    typer.echo(f"{year} is as it was, to the byte.")


def override(
    year: _Year,
    block: Annotated[str, typer.Argument(metavar="BLOCK", help="What holds up release, as status names it.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so; needs the right to decide.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="Why YEAR may be released all the same; one line.")],
    workspace: _Workspace = None,
) -> None:
    """Let YEAR be released in spite of BLOCK, as it stands: where other rows fail, it is back.

    Exit codes: 0 overridden; 1 refused, with what to do; 2 the call or the configuration is wrong.
    """
    from assets.log import LogBroken
    from pipelines.release.gate import NotOverridden, make_override
    from pipelines.release.people import NotEntitled
    from pipelines.session import WorkspaceBusy
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        made = make_override(Workspace.chosen(workspace), year, block, by, why)
    except (NotOverridden, NotEntitled, LogBroken, NotRun, WorkspaceBusy) as error:
        _refuse(str(error))
    rows = f"{made.rows:,} {'row' if made.rows == 1 else 'rows'}"
    typer.echo(f"Overridden: {made.block_id}, {rows}. {made.in_words}")


def reconcile(
    year: _Year,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where to write the page.", show_default="in work/reconciliation"),
    ] = None,
    workspace: _Workspace = None,
) -> None:
    """Write the page that reconciles YEAR from the deliveries to the bill files, to be printed or handed on.

    Exit codes: 0 written, and everything adds up; 1 something does not, or YEAR has not been run; 2 the call is wrong.
    """
    from pipelines.release.reconciliation_page import write_page
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    try:
        page, written = write_page(chosen, year, to)
    except NotRun as error:
        _refuse(str(error))
    typer.echo(f"wrote {written}")
    for fact in page.facts:
        typer.echo(f"  {fact.title}: {fact.text}")
    if not page.adds_up:
        _refuse("Something does not add up; the page names it.")


def _refuse(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(approve)
    app.command()(release)
    app.command()(verify)
    app.command()(override)
    app.command()(reconcile)
