"""What a reviewer would say aloud of a year's population, against the year before: statements for Great Expectations.

Belongs here: the statements, their limits, what to do where one does not hold.
Does not belong here: the figures (``pipelines.expectations``), rules about single services (``review``), what holds up release (``checks``).

A statement that does not hold is for a person to look at; it holds up nothing. Shares are percent in binary fractions: they are
compared with limits, and no money rests on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from rate_tables.config_file import ExactNumber, Strict

if TYPE_CHECKING:
    import pandas as pd

Percent = Annotated[ExactNumber, Field(ge=0, le=100, decimal_places=1)]


def _percent(default: str, meaning: str) -> Percent:
    return Field(ExactNumber(default), description=meaning)  # type: ignore[no-any-return]


class ExpectationLimits(Strict):
    """How far a year may be from the one before, in percent, before somebody is told. Settings of the office; no source states them."""

    services_change: Percent = _percent("5", "Services, more or fewer")
    median_change: Percent = _percent("15", "Median winter average, up or down")
    bills_change: Percent = _percent("15", "Bills of the year, up or down")
    class_share_change: Percent = _percent("3", "Share of a customer class in all services, in points")
    without_history: Percent = _percent("5", "Share of services on a default, a class average or carried forward")
    held: Percent = _percent("1", "Share of services without any average")
    refused_rows: Percent = _percent("2", "Share of a district's delivered records that were refused")


@dataclass(frozen=True)
class Statement:
    """A statement: over a small table, each value of ``column`` lies from ``least`` to ``most``.

    ``against_last_year``: it says nothing where the year before was not run.
    """

    name: str
    words: str
    table: str
    column: str
    least: float
    most: float
    remedy: str
    against_last_year: bool = True


@dataclass(frozen=True)
class Said:
    """What became of a statement. ``rows``: those of its table that break it."""

    statement: Statement
    holds: bool
    compared: bool
    rows: list[dict[str, object]]


def statements(limits: ExpectationLimits) -> list[Statement]:
    """The statements about a year, in the order in which a reviewer would say them."""

    def around(change: Percent) -> tuple[float, float]:
        return 100 - float(change), 100 + float(change)

    of = limits
    return [
        Statement("services_as_many_as_last_year", f"The number of services is within {of.services_change} % of last year's.", "year",
                  "services_of_last_percent", *around(of.services_change), "See extract_changes: whose extract is it, and is it whole?"),
        Statement("median_average_as_last_year", f"The median winter average is within {of.median_change} % of last year's.", "year",
                  "median_of_last_percent", *around(of.median_change),
                  "Look at the districts: a unit, a missing month or a dry winter. year_on_year says where."),
        Statement("bills_as_last_year", f"The bills of the year come within {of.bills_change} % of last year's.", "year",
                  "bills_of_last_percent", *around(of.bills_change), "Compare the schedules (annual-billing rates diff), then the report of the year by charge."),
        Statement("classes_as_last_year", f"No class has gained or lost more than {of.class_share_change} points of all services.", "classes",
                  "points_moved", -float(of.class_share_change), float(of.class_share_change), "See extract_changes for services whose class changed."),
        Statement("few_without_own_history", f"At most {of.without_history} % of the services rest on a default, a class average or last year's figure.",
                  "year", "without_history_percent", 0, float(of.without_history), "See which district has not delivered: annual-billing status.", False),
        Statement("few_held", f"At most {of.held} % of the services have no average.", "year", "held_percent", 0, float(of.held),
                  "Decide them: annual-billing review, then decide.", False),
        Statement("few_refused_rows", f"No district has more than {of.refused_rows} % of its records refused.", "districts", "refused_percent", 0,
                  float(of.refused_rows), "Send the district its report: annual-billing district-report YEAR DISTRICT.", False),
    ]  # fmt: skip


def said_of(limits: ExpectationLimits, tables: dict[str, pd.DataFrame], *, was_run_before: bool) -> list[Said]:
    """Each statement held against the small tables that it is about (``year``, ``classes``, ``districts``), by Great Expectations."""
    # Importing it takes seconds, so only where its verdict is asked for.
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("the year")
    batches = {
        name: source.add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe(name)
        .get_batch({"dataframe": table})
        for name, table in tables.items()
    }
    found = []
    for one in statements(limits):
        if one.against_last_year and not was_run_before:
            found.append(Said(one, True, False, []))
            continue
        expectation = ExpectColumnValuesToBeBetween(column=one.column, min_value=one.least, max_value=one.most)
        result = batches[one.table].validate(expectation, result_format={"result_format": "COMPLETE"})
        wrong = tables[one.table].iloc[list(result.result.get("unexpected_index_list") or [])]
        found.append(
            Said(
                one,
                bool(result.success),
                True,
                [{str(k): v for k, v in row.items()} for row in wrong.to_dict("records")],
            )
        )
    return found
