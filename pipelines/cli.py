"""The command line.

Belongs here: arguments, printing, exit codes.
Does not belong here: anything that the UI could also start or show.

Exit codes: 0 done; 1 the run or a gate refused, with what to do; 2 the call or the configuration is wrong. What a command
needs is imported where it is used, so that ``--help`` answers at once.
"""

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.explain import commands as explain_commands
from pipelines.letters import commands as letter_commands
from pipelines.questions import commands as question_commands
from pipelines.release import commands as release_commands
from pipelines.release import correction_commands, exchange_commands
from pipelines.reports import commands as report_commands
from pipelines.review import commands as review_commands

app = typer.Typer(
    name="annual-billing",
    help="The annual update of a sewer utility: districts' consumption histories in, winter averages and bills out.\n\n"
    "A workspace is a folder with a workspace.yaml; without --workspace it is the one named by ANNUAL_BILLING_WORKSPACE, "
    "else the sample.\n\nExit codes: 0 done; 1 refused, with what to do; 2 the call or the configuration is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

district = typer.Typer(
    no_args_is_help=True, help="Write a district's entry: draft one, and see what it makes of a file."
)
app.add_typer(district, name="district")

YearArgument = Annotated[int, typer.Argument(metavar="YEAR", help="Billing year, for example 2019 for FY2019-20.")]
WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace folder.", show_default=False)
]


@app.command()
def run(year: YearArgument, workspace: WorkspaceOption = None) -> None:
    """Run the annual update of YEAR, and say what came of it.

    Running again changes nothing; when a late district has delivered, only its own services are computed anew.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from pipelines.annual_update import run_year
    from pipelines.progress import step_in_words
    from pipelines.summary import summarise
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    errors = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors, transient=not errors.is_terminal, disable=not errors.is_terminal,
    ) as progress:  # fmt: skip
        bar = progress.add_task(f"annual update {year}", total=None)

        def heard(event: str, step: str, steps: int) -> None:
            if event == "STEP_START":
                progress.update(bar, total=steps, description=step_in_words(step))
            elif event in ("STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"):
                progress.advance(bar)

        outcome = run_year(chosen, year, heard)
        progress.update(bar, description=f"annual update {year}")
    if not outcome.succeeded:
        _refuse(outcome.sentence)
    _print_summary(summarise(chosen, year))


@app.command()
def status(year: YearArgument, workspace: WorkspaceOption = None) -> None:
    """Show the state of YEAR: deliveries, averages, bills, checks, and what holds up release."""
    from pipelines.checks import verdicts
    from pipelines.release.correction_commands import after_release
    from pipelines.release.gate import gate_of
    from pipelines.session import read_session
    from pipelines.summary import NotRun, Table, summarise
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    try:
        summary = summarise(chosen, year)
        with read_session(chosen) as session:
            judged = list(verdicts(session, year))
            gate = gate_of(session, year, judged)
    except NotRun as error:
        _refuse(str(error))
    _print_summary(summary)
    failed = [v for v in judged if not v.passed]
    _print_table(
        Table(
            f"Checks: {len(judged) - len(failed)} of {len(judged)} hold",
            ["on", "check", "rows", "holds up release"],
            [[v.on, v.check.name, f"{v.failing_rows:,}", "yes" if v.check.blocks else "no"] for v in failed],
            numbers_from=2,
        )
    )
    if gate.overridden:
        typer.echo("\nOverridden")
        for block, override in gate.overridden:
            typer.echo(f"  - {block.block_id}: {block.sentence} {override.in_words}")
    for override in gate.spent:
        typer.echo(f"  - {override.block_id}: no longer so, or on other rows than {override.override_id} was made on")
    if gate.is_open:
        typer.echo("\nNothing holds up release.")
    else:
        typer.echo("\nWhat holds up release")
        for block in gate.blocks:
            typer.echo(f"  - {block.block_id}: {block.sentence}")
            typer.echo(f"    Next: {block.next_step}")
            if block.may_be_overridden:
                typer.echo(f'    Or:   annual-billing override {year} {block.block_id} --by NAME --why "..."')
    typer.echo("\nApproval, releases and appeals")
    for sentence in after_release(chosen, year):
        typer.echo(f"  - {sentence}")


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The workspace to fill; made if it does not exist.")],
    accounts: Annotated[
        int | None, typer.Option(min=25, help="Sewer services, about.", show_default="from simulation.yaml")
    ] = None,
    districts: Annotated[
        int | None, typer.Option(min=1, max=200, help="Districts of a new workspace.", show_default="8")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same files.", show_default="from simulation.yaml")
    ] = None,
    irregular: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=2,
            help="So many services in a hundred play each kind of irregular use, every year.",
            show_default="from simulation.yaml",
        ),
    ] = None,
) -> None:
    """Make deliveries and CIS extracts of an invented utility, for trying things out.

    Overwrites the deliveries, extracts and adjustments of the workspace's billing years; never its work folder.
    """
    from decimal import Decimal

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from pipelines.simulation import simulate as make

    errors = Console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        bars: dict[str, TaskID] = {}

        def shown(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=of)
            progress.update(bars[what], completed=done)

        percent = None if irregular is None else Decimal(str(irregular))
        made = make(folder, accounts, districts, seed, shown, percent)
    typer.echo(
        f"{made.services:,} sewer services, {made.districts} districts, billing years "
        f"{', '.join(map(str, made.billing_years))}: {made.delivered_files} files with {made.delivered_rows:,} rows "
        f"(seed {made.seed})"
    )


@district.command("check")
def district_check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, a zip or a folder with a sample.")],
    district_id: Annotated[
        str | None,
        typer.Option("--district", "-d", metavar="ID", help="A district of the registry.", show_default=False),
    ] = None,
    entry_file: Annotated[
        Path | None,
        typer.Option("--entry", "-e", metavar="FILE", help="An entry that is not there yet.", show_default=False),
    ] = None,
    year: Annotated[
        int | None, typer.Option(metavar="YEAR", help="Billing year of the sample.", show_default="the latest one")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="PERCENT", min=0, max=100, help="So many records in a hundred may be refused.")
    ] = 1.0,
    workspace: WorkspaceOption = None,
) -> None:
    """Read the sample at PATH against a district's entry, as a run would, and show what came of it. Keeps nothing.

    Exit codes: 0 the entry fits the sample; 1 something speaks against running it: a file that cannot be read, more records
    refused than tolerated, other totals than the file states, volumes or periods that do not fit unit or cycle; 2 the call or
    the entry is wrong.
    """
    from pipelines.district_entry.check import check
    from rate_tables.config_file import ConfigError, load_config
    from validations.district import District
    from validations.workspace import Workspace

    _print_what_can_be_printed()
    chosen = Workspace.chosen(workspace)
    chosen_year = chosen.year(year or chosen.file.billing_years[-1])
    if (district_id is None) == (entry_file is None):
        raise ConfigError(
            "Name either --district ID, for one of the registry, or --entry FILE, for one that is not there yet."
        )
    if entry_file is not None:
        entry = load_config(District, entry_file)
    else:
        if district_id not in chosen.districts:
            raise ConfigError(
                f"--district {district_id!r} is not in the registry; there are: {', '.join(chosen.districts)}."
            )
        entry = chosen.district(district_id, chosen_year.billing_year)
    checked = check(chosen, chosen_year, entry, path, tolerance)
    typer.echo(checked.title)
    for part in checked.parts:
        if isinstance(part, list):
            typer.echo("\n" + "\n".join(part))
        else:
            _print_table(part)
    for title, sentences in (("To know", checked.to_know), ("What speaks against running it", checked.against)):
        if sentences:
            typer.echo(f"\n{title}")
            for sentence in sentences:
                typer.echo(f"  - {sentence}")
    if checked.against:
        typer.echo("\nThe entry does not fit the sample.")
        raise typer.Exit(1)
    typer.echo("\nThe entry fits the sample.")


@district.command("guess")
def district_guess(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of a district: text, a workbook, or a zip of these.")
    ],
    district_id: Annotated[
        str | None,
        typer.Option("--district", "-d", metavar="ID", help="Its id: alder_creek.", show_default="from the name"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The district's name.", show_default="from the id")] = None,
    write_to: Annotated[str | None, typer.Option(help="Whom to write to about a delivery.", show_default=False)] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the draft to DIR/ID.yaml.", show_default="print it")
    ] = None,
) -> None:
    """Draft a district's entry from FILE, with the evidence for each guess.

    A person goes through the comments: confirm is a guess with its evidence, answer is a question that the file leaves open.
    As long as one is open, the entry is refused. Only the first 5 MB and 20,000 rows are looked at.

    Exit codes: 0 drafted; 1 the file cannot be described by an entry; 2 the call is wrong.
    """
    from pipelines.district_entry.guess import guess
    from pipelines.district_entry.unknown_file import CannotGuess
    from rate_tables.config_file import ConfigError

    _print_what_can_be_printed()
    if not path.is_file():
        raise ConfigError(f"{str(path)!r}: there is no such file; name a file of the district.")
    try:
        draft = guess(path, district_id, name, write_to)
    except CannotGuess as error:
        _refuse(f"No entry can be drafted: {error}.")
    except OSError as error:
        raise ConfigError(f"{str(path)!r}: cannot be read ({error.strerror}).") from None
    if write is None:
        typer.echo(draft.text, nl=False)
        shown = "an entry"
    else:
        if not draft.district:
            raise ConfigError("The file's name gives no id for the district; name it with --district ID.")
        target = write / f"{draft.district}.yaml"
        if target.exists():
            raise ConfigError(f"{target}: there is an entry of that name already; it is not overwritten.")
        write.mkdir(parents=True, exist_ok=True)
        target.write_text(draft.text, encoding="utf-8")
        shown = str(target)
    left = f"To be answered first: {', '.join(draft.unanswered)}." if draft.unanswered else "Nothing is left open."
    typer.echo(f"Drafted {shown}. {left} Then: annual-billing district check FILE --entry ENTRY", err=True)


@app.command()
def ui(
    workspace: WorkspaceOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
    *,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="For reviewers: everything can be looked at, nothing started or changed."),
    ] = False,
) -> None:
    """Start the Dagster UI on this machine, showing the workspace's runs."""
    from pipelines.annual_update import use_dagster_home
    from validations.workspace import Workspace

    chosen = Workspace.chosen(workspace)
    _ = chosen.districts, chosen.schedules
    use_dagster_home(chosen)
    typer.echo(f"{chosen.file.name}: http://127.0.0.1:{port} (Ctrl-C ends it)")
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    more = ["--read-only"] if read_only else []
    os.execv(program, [program, "-m", "pipelines.definitions", "-h", "127.0.0.1", "-p", str(port), *more])  # noqa: S606


rates = typer.Typer(
    help="The rate tables: whether they hold, what they say, what changes.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(rates, name="rates")


@rates.command("check")
def check_rates(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A utility's folder, or a folder of them.", show_default="all that ship"),
    ] = None,
) -> None:
    """Load every schedule in DIR and run its worked examples through the code that bills."""
    from pipelines.rates import check
    from rate_tables.schedule import SHIPPED

    checked = check(folder or SHIPPED)
    _print_table(checked.table)
    for sentence in [*checked.mistakes, *checked.differences]:
        typer.echo(sentence, err=True)
    if checked.mistakes:
        raise typer.Exit(2)
    if checked.differences:
        raise typer.Exit(1)


@rates.command("show")
def show_rates(
    utility: Annotated[str, typer.Argument(metavar="UTILITY", help="A utility that ships, or a folder of one.")],
    date: Annotated[str, typer.Argument(metavar="DATE", help="A day, for example 2019-07-01.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Show the schedule that holds for UTILITY on DATE, to be read against the resolution."""
    from pipelines.rates import find_in_force, show

    for table in show(find_in_force(utility, date, workspace / "rate_tables" if workspace else None)):
        _print_table(table)


@rates.command("diff")
def diff_rates(
    before: Annotated[str, typer.Argument(metavar="A", help="A schedule's file, or utility/date of one that ships.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The one to compare with it.")],
) -> None:
    """Every rate of A and B with old, new and percent, and every setting that differs."""
    from pipelines.rates import WARN_BEYOND_PERCENT, diff, find_schedule

    table, warnings = diff(find_schedule(before), find_schedule(after))
    _print_table(table)
    typer.echo("\nWorth a second look" if warnings else f"\nNo rate moves by more than {WARN_BEYOND_PERCENT} %.")
    for warning in warnings:
        typer.echo(f"  - {warning}")


@rates.command("rerate")
def rerate_bills(
    year: YearArgument,
    sheet: Annotated[
        Path, typer.Argument(metavar="SHEET", help="CSV: service_id, bill_start, bill_end, actual_volume, volume_unit.")
    ],
    to: Annotated[Path, typer.Option(metavar="LINES", help="CSV to write: the lines of these bills.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Rate bills of the past with what was really used, as the averages of YEAR say they are applied."""
    from pipelines.rerate import rerate
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        table, not_rated = rerate(Workspace.chosen(workspace), year, sheet, to)
    except NotRun as error:
        _refuse(str(error))
    _print_table(table)
    for sentence in not_rated:
        typer.echo(sentence, err=True)
    if not_rated:
        raise typer.Exit(1)


@rates.command("lock")
def lock_rates(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A utility's folder.")],
) -> None:
    """Lock the adopted schedules in DIR: they have been used for bills and do not change any more."""
    from rate_tables.schedule import lock_schedules

    added = lock_schedules(folder.resolve())
    typer.echo(f"locked: {', '.join(added)}" if added else "nothing to lock that is not locked already")


@rates.command("schema")
def schema_of_rates() -> None:
    """Write the JSON Schemas that editors check schedules and examples with."""
    from pipelines.rates import json_schemas

    for path, text in json_schemas():
        path.write_text(text, encoding="utf-8")
        typer.echo(f"{path.name}: {len(text):,} characters")


@app.command("what-if")
def what_if(
    year: YearArgument,
    schedule: Annotated[str, typer.Argument(metavar="SCHEDULE", help="The proposed schedule's file.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Try a proposed schedule on the averages of YEAR: revenue, changes in bills. Nothing of it is kept or can be released."""
    from pipelines.rates import find_schedule
    from pipelines.summary import NotRun
    from pipelines.what_if import compare
    from validations.workspace import Workspace

    try:
        compared = compare(Workspace.chosen(workspace), year, find_schedule(schedule))
    except NotRun as error:
        _refuse(str(error))
    typer.echo(compared.title)
    for table in compared.tables:
        _print_table(table)
    for sentence in ["", *compared.remarks]:
        typer.echo(sentence)


@app.command()
def backtest(
    year: YearArgument,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV to write: every service that differs.", show_default=False)
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Average last year's deliveries by the rules of YEAR, against what was billed since. Changes nothing.

    Every difference is explained by a second calculation that comes to the billed figure, or listed, worst first.
    """
    from pipelines.backtest import backtest as compare
    from pipelines.summary import NotRun
    from validations.workspace import Workspace

    try:
        compared = compare(Workspace.chosen(workspace), year, to)
    except NotRun as error:
        _refuse(str(error))
    typer.echo(compared.title)
    for table in compared.tables:
        _print_table(table)
    typer.echo(f"\n{compared.listed:,} of {compared.services:,} services differ without an explanation.")


adjustments = typer.Typer(
    help="Consumption adjustments: the sheet to fill in, what is to be renewed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(adjustments, name="adjustments")


@adjustments.command("template")
def adjustment_template(
    year: YearArgument,
    to: Annotated[Path, typer.Option(metavar="FILE.xlsx", help="The workbook to write; never over another file.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Write the workbook in which adjustments of YEAR are entered: with drop-downs, and a sheet that explains each column."""
    from pipelines.adjustment_sheet.template import write_template
    from validations.workspace import Workspace

    write_template(Workspace.chosen(workspace), year, to)
    typer.echo(f"wrote {to}; fill it in and put it into the workspace as adjustments/{year}.xlsx")


@adjustments.command("renewals")
def adjustment_renewals(year: YearArgument, workspace: WorkspaceOption = None) -> None:
    """List entries of the year before YEAR that expire and have no successor in YEAR's sheet."""
    from pipelines.adjustment_sheet.renewals import renewals
    from validations.workspace import Workspace

    _print_what_can_be_printed()
    table, unread = renewals(Workspace.chosen(workspace), year)
    _print_table(table)
    for sentence in unread:
        typer.echo(f"cannot be read: {sentence}", err=True)


review_commands.register(app)
explain_commands.register(app)
release_commands.register(app)
correction_commands.register(app)
exchange_commands.register(app)
letter_commands.register(app)
report_commands.register(app)
question_commands.register(app)


def _print_table(table) -> None:  # type: ignore[no-untyped-def]
    typer.echo(f"\n{table.title}")
    cells = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    for number, row in enumerate(cells):
        parts = [
            cell.rjust(width) if i >= table.numbers_from else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  " + "  ".join(parts).rstrip())
        if number == 0:
            typer.echo("  " + "  ".join("-" * width for width in widths))


def _print_summary(summary) -> None:  # type: ignore[no-untyped-def]
    typer.echo(summary.title)
    for table in summary.tables:
        _print_table(table)
    typer.echo("\nWhat needs a person")
    for sentence in summary.needs_a_person or ["nothing"]:
        typer.echo(f"  - {sentence}")
    typer.echo("\nWhere it is")
    for what, where in summary.outputs:
        typer.echo(f"  {what}: {where}")


def _print_what_can_be_printed() -> None:
    """A terminal that lacks a character of a district's file shows its number."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _refuse(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def main() -> None:
    """Entry point: a mistake that a person can mend is a sentence, never a traceback."""
    from rate_tables.config_file import ConfigError

    # Imports and expressions are many small objects that stay: looking for cycles among them again and again took a quarter of the time to import.
    gc.set_threshold(50_000, 20, 100)
    try:
        app()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("stopped; running again finishes the work", err=True)
        sys.exit(1)
    except Exception as error:
        from pipelines.annual_update import keep_traceback

        typer.echo(f"unexpected: {type(error).__name__}; details are in {keep_traceback()}", err=True)
        sys.exit(1)
