"""A seeded simulation of a utility: what its districts deliver and what its CIS says, over its billing years.

Belongs here: making or opening the workspace, the order of the work, the summary.
Does not belong here: who is there (``population``), what they use (``usage``), how a district writes it (``layouts``),
what the CIS says (``extract``).

Everybody in it is invented. The same arguments give the same files, byte for byte.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pipelines.simulation.delivery import write_delivery
from pipelines.simulation.extract import YearFiles, present_services, services_said
from pipelines.simulation.irregular import (
    CONTROL_TOTAL,
    Found,
    after,
    cast_irregular,
    inactive_services,
    marked,
    misbilled_averages,
    plan_irregular,
    planned_faults,
    truth_of,
    with_district_fault,
    with_irregular,
)
from pipelines.simulation.lines import day, whole_file
from pipelines.simulation.population import (
    SCENARIO_NAMES,
    cast_scenarios,
    is_by_month,
    nobody_moves,
    populate,
    refuse_another_life,
)
from pipelines.simulation.usage import as_read, first_registers, periods_of, winter_averages
from rate_tables.config_file import ConfigError, ExactNumber, Strict, load_config
from validations.district import District, RegisterReadings
from validations.workspace import SAMPLE, Workspace

__all__ = ["SCENARIO_NAMES", "SimulationFile", "SimulationSummary", "simulate"]

Progress = Callable[[str, int, int], None]

_FEWEST_PER_DISTRICT = 25
_MOST_ACCOUNTS = 20_000_000
_DEFAULT_DISTRICTS = 8
_MOST_IRREGULAR_PERCENT = Decimal(2)
_INVENTED_NAMES = (
    "Juniper Flat", "Marten Hill", "Otter Slough", "Pinedale", "Quarry Bend", "Rushwater", "Sorrel Gap", "Tamarack",
    "Umber Fork", "Vesper Falls", "Wren Hollow", "Yarrow Prairie",
)  # fmt: skip


class SimulationFile(Strict):
    """``simulation.yaml``: how many sewer services are simulated, the seed of their invention, and how many services in a
    hundred play each kind of irregular use, every year anew."""

    accounts: Annotated[int, Field(ge=_FEWEST_PER_DISTRICT, le=_MOST_ACCOUNTS)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    irregular_percent: Annotated[ExactNumber, Field(ge=0, le=_MOST_IRREGULAR_PERCENT)] = Decimal(0)


@dataclass(frozen=True)
class SimulationSummary:
    """What a simulation made. ``services``: sewer services over all years; ``delivered_rows``: records in all files."""

    folder: Path
    seed: int
    billing_years: tuple[int, ...]
    districts: int
    services: int
    delivered_files: int
    delivered_rows: int


def simulate(
    folder: Path,
    accounts: int | None = None,
    districts: int | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    irregular_percent: Decimal | None = None,
    district_faults: Mapping[str, str] | None = None,
) -> SimulationSummary:
    """Make the deliveries, CIS extracts and adjustments of every billing year of the workspace ``folder``.

    Where ``folder`` is no workspace yet it becomes one, with ``districts`` invented districts. What is not given is
    taken from ``simulation.yaml``. ``progress`` is told what is counted, how many are done, and of how many.
    ``irregular_percent`` of the services play each kind of irregular use in each year; ``district_faults`` names, for a kind
    that a whole district plays in the last year (``irregular.DISTRICT_KINDS``), the district.

    Errors: ConfigError if the workspace or an argument cannot be used; nothing is changed then. ConfigError also if a layout
    has no room for what is simulated; deliveries that were written by then stay.
    """
    if not (folder / "workspace.yaml").exists():
        _new_workspace(folder, accounts, districts, seed, irregular_percent)
    workspace = Workspace(folder)
    entries = list(workspace.districts.values())
    billing_years = sorted(workspace.file.billing_years)
    for latest in entries:
        for year in billing_years:
            refuse_another_life(latest, workspace.district(latest.district, year))
    if districts is not None and districts != len(entries):
        raise ConfigError(
            f"--districts {districts} is not allowed; the workspace's registry has {len(entries)}, and all are used."
        )
    chosen = _chosen(folder, accounts, seed, irregular_percent, len(entries))
    faults = planned_faults(district_faults or {}, list(workspace.districts))
    counts = _split(chosen.accounts, len(entries), chosen.seed)
    casts = cast_scenarios(entries, counts, billing_years)
    irregular_casts = cast_irregular(entries, counts, billing_years, chosen.irregular_percent)
    truth: dict[int, list[Found]] = {year: [] for year in billing_years}
    injected: list[tuple[int, str, str, str, str]] = []
    deliveries = files = rows = 0
    arriving = nobody_moves()
    with ExitStack() as stack:
        year_files = {year: YearFiles(workspace.folder, year, stack) for year in billing_years}
        for place, entry in enumerate(entries):
            moving_day = _moving_day(entries, place, billing_years[-1], chosen.seed)
            population = populate(
                entry, place, counts[place], casts[place], billing_years, chosen.seed, arriving, moving_day
            )
            arriving = population.leaving
            population, plan = plan_irregular(population, place, irregular_casts[place], billing_years, chosen.seed)
            registers = first_registers(population, billing_years)
            former = prior_average = np.full(counts[place], np.nan)
            # The year before the first is lived through unseen: its winter is what the CIS bills from in the first.
            for year in range(billing_years[0] - 1, billing_years[-1] + 1):
                rng = np.random.default_rng([chosen.seed, place, year])
                population = replace(population, entry=workspace.district(entry.district, year))
                here = marked(population, plan, year)
                periods = periods_of(here, year, registers, rng)
                periods = with_irregular(here, periods, plan, year, registers)
                inactive = inactive_services(population, plan, year)
                usable = np.ones(len(periods.meter), dtype=bool)
                if year in year_files:
                    fault = faults.get(entry.district) if year == billing_years[-1] else None
                    if fault is not None:
                        periods, detail = with_district_fault(here, periods, fault, plan, year)
                        truth[year].append(Found(year, fault, entry.district, "", "", detail))
                    delivery = workspace.folder / "deliveries" / str(year) / entry.district
                    delivered = write_delivery(delivery, here, periods, year, rng, misstated=fault == CONTROL_TOTAL)
                    in_extract = misbilled_averages(population, plan, year, prior_average, former)
                    rollovers = year_files[year].add(population, periods, in_extract, inactive)
                    present = present_services(population, year)
                    truth[year] += truth_of(population, periods, plan, year, present, rollovers)
                    usable = delivered.usable
                    deliveries, files, rows = deliveries + 1, files + delivered.files, rows + delivered.rows
                    injected += [(year, entry.district, *fault) for fault in delivered.faults]
                    if progress is not None:
                        progress("deliveries written", deliveries, len(entries) * len(billing_years))
                read, counted = as_read(periods, usable, isinstance(entry.measure, RegisterReadings))
                said = services_said(population, year, inactive)
                former = prior_average
                prior_average = winter_averages(population, read, counted, said, year, prior_average)
                population = after(population, periods)
    header = ("year", "district_id", "source_file", "fault", "district_account")
    injected.sort(key=lambda row: row[0])
    _write_sheet(workspace.folder / "truth" / "injected_rows.csv", header, injected)
    for year, found in truth.items():
        _write_sheet(workspace.folder / "truth" / f"irregular_{year}.csv", Found._fields, found)
    return SimulationSummary(
        workspace.folder, chosen.seed, tuple(billing_years), len(entries), chosen.accounts, files, rows
    )


def _chosen(
    folder: Path, accounts: int | None, seed: int | None, irregular_percent: Decimal | None, districts: int
) -> SimulationFile:
    """The arguments, and for those not given what ``simulation.yaml`` says."""
    path = folder / "simulation.yaml"
    irregular = irregular_percent
    if path.exists() or accounts is None or seed is None:
        written = load_config(SimulationFile, path, "simulation.yaml")
        accounts = written.accounts if accounts is None else accounts
        seed = written.seed if seed is None else seed
        irregular = written.irregular_percent if irregular is None else irregular
    return _checked(accounts, seed, Decimal(0) if irregular is None else irregular, districts)


def _checked(accounts: int, seed: int, irregular_percent: Decimal, districts: int) -> SimulationFile:
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed: {seed} is not allowed; allowed: a whole number from 0 to 2^63 - 1.")
    fewest = _FEWEST_PER_DISTRICT * districts
    if not fewest <= accounts <= _MOST_ACCOUNTS:
        raise ConfigError(
            f"accounts: {accounts} is not allowed; allowed: {fewest:,} ({_FEWEST_PER_DISTRICT} for each of {districts} "
            f"districts) to {_MOST_ACCOUNTS:,}."
        )
    if not 0 <= irregular_percent <= _MOST_IRREGULAR_PERCENT:
        raise ConfigError(
            f"irregular_percent: {irregular_percent} is not allowed; allowed: 0 to {_MOST_IRREGULAR_PERCENT} (percent of the "
            "services, for each kind)."
        )
    return SimulationFile(accounts=accounts, seed=seed, irregular_percent=irregular_percent)


def _split(accounts: int, districts: int, seed: int) -> list[int]:
    """How many services each district has: nearly equal parts that add to all."""
    weights = np.random.default_rng([seed, 2**16]).uniform(0.85, 1.15, districts)
    above = accounts - _FEWEST_PER_DISTRICT * districts
    bounds = np.rint(np.concatenate([[0], np.cumsum(weights)]) / weights.sum() * above).astype(int)
    return [int(part) + _FEWEST_PER_DISTRICT for part in np.diff(bounds)]


def _moving_day(entries: list[District], place: int, billing_year: int, seed: int) -> int:
    """When services go over from a district to the next one: in January, on its first day where periods are months."""
    by_month = any(is_by_month(entry) for entry in entries[place : place + 2])
    return day(billing_year, 1, 1 if by_month else int(np.random.default_rng([seed, 2**17, place]).integers(8, 25)))


def _write_sheet(path: Path, header: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with whole_file(path) as handle:
        handle.write(text.getvalue().encode())


def _new_workspace(
    folder: Path, accounts: int | None, districts: int | None, seed: int | None, irregular_percent: Decimal | None
) -> None:
    """Make ``folder`` a workspace with invented districts, each after one of the sample's in turn."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: not empty and no workspace; name a workspace, or a folder that is new or empty.")
    count = _DEFAULT_DISTRICTS if districts is None else districts
    if not 1 <= count <= 200:
        raise ConfigError(f"--districts {count} is not allowed; allowed: 1 to 200.")
    usual = load_config(SimulationFile, SAMPLE / "simulation.yaml", "simulation.yaml")
    chosen = _checked(
        usual.accounts if accounts is None else accounts,
        usual.seed if seed is None else seed,
        usual.irregular_percent if irregular_percent is None else irregular_percent,
        count,
    )
    templates: dict[str, list[Path]] = {}
    for path in sorted((SAMPLE / "districts").glob("*.yaml")):
        templates.setdefault(path.name.split(".")[0], []).append(path)
    (folder / "districts").mkdir(parents=True)
    for number in range(count):
        name = _INVENTED_NAMES[number % len(_INVENTED_NAMES)]
        district = f"{name.lower().replace(' ', '_')}_{number + 1:03d}"
        template = sorted(templates)[number % len(templates)]
        for path in templates[template]:
            text = path.read_text(encoding="utf-8")
            for key, value in (
                ("district", district),
                ("name", f"{name} Water District {number + 1}"),
                ("write_to", f"office@{district.replace('_', '-')}.example"),
            ):
                text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", text, count=1)
            target = folder / "districts" / path.name.replace(template, district, 1)
            target.write_text(text, encoding="utf-8")
    (folder / "simulation.yaml").write_text(
        "# What `annual-billing simulate` makes for this workspace: deliveries and CIS extract of each billing year.\n"
        f"accounts: {chosen.accounts}\nseed: {chosen.seed}\n"
        f"# So many services in a hundred play each kind of irregular use, every year anew.\n"
        f'irregular_percent: "{chosen.irregular_percent}"\n',
        encoding="utf-8",
    )
    sample = (SAMPLE / "workspace.yaml").read_text(encoding="utf-8")
    (folder / "workspace.yaml").write_text(
        re.sub(r"(?m)^name: .*$", "name: Simulated Sewer Utility", sample, count=1), encoding="utf-8"
    )
