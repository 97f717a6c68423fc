"""The definitions that Dagster loads: assets, checks, the job, resources.

Belongs here: putting the house together, once, in ``build_definitions``.
Does not belong here: any stage, check or rule.

Loads in a fresh clone, before any delivery exists.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster import PreviewWarning

from assets.adjusted_consumption import adjusted_consumption
from assets.adjustment_steps import adjustment_steps, refused_adjustments
from assets.adjustments import adjustment_assets
from assets.at_stake import at_stake
from assets.bill_files import bill_files_asset
from assets.billing_basis import billing_basis
from assets.billing_database import billing_database_asset
from assets.bills import bill_lines, bills
from assets.cis_extract import cis_extract_assets
from assets.consumption import consumption_assets
from assets.contents import contents_asset
from assets.decisions import decision_assets, decisions
from assets.deliveries import deliveries_asset
from assets.findings import findings
from assets.irregular_use import district_use, irregular_use, proposed_corrections
from assets.rate_schedule import rate_schedule
from assets.reconciliation import reconciliation
from assets.released_class_averages import released_class_averages_asset
from assets.service_consumption import service_consumption, unmatched
from assets.stage import Stage
from assets.volume_account import counted_volume, delivered_volume, linked_volume, volume_account
from assets.winter_averages import class_averages, counted_use, winter_averages
from assets.worklist import worklist
from assets.year_on_year import year_on_year
from pipelines.checks import checks_on
from pipelines.executors import executor_of
from pipelines.expectations import JOB as POPULATION
from pipelines.expectations import population_checks
from pipelines.io_manager import store_io_manager
from pipelines.session import session_resource
from validations.workspace import Workspace

JOB = "annual_update"

# Partitioned check specs are in preview in Dagster 1.13; without them a check would load every year.
warnings.filterwarnings("ignore", category=PreviewWarning)

STAGES: list[Stage] = [
    service_consumption, unmatched, adjustment_steps, refused_adjustments, irregular_use, proposed_corrections, district_use, findings, decisions, adjusted_consumption, counted_use, winter_averages, class_averages, billing_basis, rate_schedule, bills, bill_lines,
    at_stake, worklist, counted_volume, delivered_volume, linked_volume, volume_account, year_on_year, reconciliation,
]  # fmt: skip


def build_assets(workspace: Workspace) -> list[dg.AssetsDefinition]:
    """Every asset, in the order of the data's way."""
    front = [
        *(deliveries_asset(entry, workspace) for entry in workspace.districts.values()),
        *(consumption_assets(entry, workspace) for entry in workspace.districts.values()),
        cis_extract_assets(workspace),
        adjustment_assets(workspace),
        decision_assets(workspace),
        released_class_averages_asset(workspace),
    ]
    made = [
        *front,
        *(stage.asset(workspace) for stage in STAGES),
        bill_files_asset(workspace),
        contents_asset(workspace),
    ]
    read_by_another = {key for asset in made for keys in asset.asset_deps.values() for key in keys}
    last = [key for asset in made for key in asset.keys if key not in read_by_another]
    return [*made, billing_database_asset(workspace, last)]


def build_checks(workspace: Workspace, assets: list[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """One step of checks per district, and one per other asset."""
    steps: dict[str, list[dg.AssetKey]] = {}
    for asset in assets:
        for key in asset.keys:
            district = key.path[-1] if key.path[-1] in workspace.districts else None
            steps.setdefault(district or "_".join(key.path), []).append(key)
    made = [checks_on(name, keys, workspace) for name, keys in steps.items()]
    return [checks for checks in made if checks is not None]


def build_definitions(workspace: Workspace, loggers: Mapping[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """The definitions of a workspace. ConfigError if something a person wrote in it is wrong."""
    assets, executor = build_assets(workspace), executor_of(workspace)
    checks, population = build_checks(workspace, assets), population_checks(workspace)
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.all() - dg.AssetSelection.checks(population),
        executor_def=executor,
        description="The annual update of one billing year: choose the year as the partition.",
    )
    against_last_year = dg.define_asset_job(
        POPULATION,
        selection=dg.AssetSelection.checks(population),
        executor_def=executor,
        description="What a reviewer would say aloud of a year, against the year before: choose the year as the partition.",
    )
    resources: dict[str, Any] = {"session": session_resource(workspace), "io_manager": store_io_manager}
    return dg.Definitions(
        assets=assets,
        asset_checks=[*checks, population],
        jobs=[job, against_last_year],
        resources=resources,
        loggers=dict(loggers or {}) or None,
        executor=executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What ``dagster`` and ``dg`` load: the workspace named by ANNUAL_BILLING_WORKSPACE, else the sample."""
    return build_definitions(Workspace.chosen())
