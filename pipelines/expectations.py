"""The year's population against the year before: figures for the statements, checks in the UI, a job of their own.

Belongs here: the small tables that the statements are about, the verdicts as asset checks.
Does not belong here: the statements and their limits (``validations.expectations``).

They are no part of the annual update: importing Great Expectations takes longer than a small year.
"""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis
from dagster import AssetCheckExecutionContext

from assets.stage import Session, years_of
from pipelines.metadata import markdown_table
from pipelines.pages.figures import Read, sums_by
from validations.expectations import ExpectationLimits, Said, said_of, statements
from validations.workspace import Workspace

JOB = "population"
ASSET = dg.AssetKey(["billing_basis"])
_WITHOUT_HISTORY = ("default", "class_average", "carried_forward")


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3) if whole else 0.0


def _median(read: Read) -> float:
    basis = read.table("billing_basis")
    (row,) = read.rows(basis.agg(middle=basis.winter_average_thousandths.quantile(0.5)))
    return float(row["middle"] or 0)


def tables_of(session: Session, billing_year: int) -> tuple[dict[str, Any], bool]:
    """Data frames ``year`` (one row), ``classes`` and ``districts`` (a row each), and whether the year before was run."""
    import pandas as pd

    read, before = Read(session, billing_year), Read(session, billing_year - 1)
    on_year = read.rows("year_on_year")
    total = {
        name: sum(row[name] for row in on_year)
        for name in ("services", "prior_services", "amount_a_year_cents", "prior_amount_a_year_cents")
    }
    was_run = bool(total["prior_services"])
    basis = read.table("billing_basis")
    kinds = {r["derivation"]: r["n"] for r in read.rows(basis.group_by("derivation").agg(n=basis.count()))}
    everyone = sum(kinds.values())
    year = {
        "services_of_last_percent": _percent(total["services"], total["prior_services"]),
        "median_of_last_percent": _percent(_median(read), _median(before)) if was_run else 0.0,
        "bills_of_last_percent": _percent(total["amount_a_year_cents"], total["prior_amount_a_year_cents"]),
        "without_history_percent": _percent(sum(kinds.get(kind, 0) for kind in _WITHOUT_HISTORY), everyone),
        "held_percent": _percent(kinds.get("held", 0), everyone),
    }
    classes = [
        {
            "class": name, "share_percent": _percent(of["services"], total["services"]),
            "last_share_percent": _percent(of["prior_services"], total["prior_services"]),
            "points_moved": round(_percent(of["services"], total["services"]) - _percent(of["prior_services"], total["prior_services"]), 3),
        }
        for name, of in sums_by(on_year, "customer_class", "services", "prior_services").items()
    ]  # fmt: skip
    rejected = read.table("rejected_rows")
    refused = {
        r["district_id"]: r["rows"]
        for r in read.rows(
            rejected.filter(rejected.reason_kind == "refused").group_by("district_id").agg(rows=ibis._.count())
        )
    }
    districts = [
        {
            "district": name,
            "refused_rows": refused.get(name, 0),
            "records": of["records"],
            "refused_percent": _percent(refused.get(name, 0), of["records"]),
        }
        for name, of in sums_by(read.rows("delivery_totals"), "district_id", "records").items()
    ]
    columns = {
        "classes": ["class", "share_percent", "last_share_percent", "points_moved"],
        "districts": ["district", "refused_rows", "records", "refused_percent"],
    }
    tables = {
        "year": pd.DataFrame([year]),
        "classes": pd.DataFrame(classes, columns=columns["classes"]),
        "districts": pd.DataFrame(districts, columns=columns["districts"]),
    }
    return tables, was_run


def said_of_year(session: Session, billing_year: int) -> list[Said]:
    """Every statement about a year, with its verdict."""
    # Nobody is told that the office looked at its figures.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    tables, was_run = tables_of(session, billing_year)
    return said_of(session.workspace.file.expectations, tables, was_run_before=was_run)


def in_words(said: Said) -> str:
    """A verdict in a sentence."""
    if not said.compared:
        return f"{said.statement.words} Nothing to compare with: the year before was not run here."
    return said.statement.words if said.holds else f"NOT SO: {said.statement.words} {said.statement.remedy}"


def population_checks(workspace: Workspace) -> dg.AssetChecksDefinition:
    """The statements as checks of ``billing_basis``, all in one step."""
    specs = [
        dg.AssetCheckSpec(one.name, asset=ASSET, description=one.words, partitions_def=years_of(workspace))
        for one in statements(ExpectationLimits())
    ]

    @dg.multi_asset_check(name="check_population", specs=specs, required_resource_keys={"session"})
    def _population(context: AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for said in said_of_year(context.resources.session, int(context.partition_key)):
            metadata: dict[str, dg.MetadataValue] = {"holds up release": dg.MetadataValue.text("no")}
            if said.rows:
                rows = markdown_table(said.rows, list(said.rows[0]))
                metadata |= {
                    "where it is not so": dg.MetadataValue.md(rows),
                    "what to do": dg.MetadataValue.text(said.statement.remedy),
                }
            yield dg.AssetCheckResult(
                asset_key=ASSET, check_name=said.statement.name, passed=said.holds, severity=dg.AssetCheckSeverity.WARN,
                metadata=metadata, description=in_words(said),
            )  # fmt: skip

    return _population
