"""How a function from tables to a table becomes a stage of the data's way.

Belongs here: the ``stage`` decorator, slices, the version of what a table is made from, the Dagster asset around it.
Does not belong here: reading and writing (``store``, ``pipelines.io_manager``), any rule of billing.

A stage is written as ``def billing_basis(adjusted_consumption, sewer_services, *, year)``: its positional parameters are
the tables it is made from, by name. It does no input or output, so a test calls it with small tables. Where a stage is
made slice by slice, only those slices are made whose inputs have changed; districts' slices are made together, as many as are small enough,
because planning a statement takes as long as running it on a small district.
"""

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.built_sql import built_text
from assets.code_version import code_version
from assets.column_lineage import column_sources
from assets.kept import Bench
from assets.next_steps import NEXT_STEPS
from assets.store import NO_ROWS, OF_SLICE, WHOLE, Store, Stored
from rate_tables.looked_up import looked_up
from validations import tables
from validations.contract import Contract
from validations.workspace import Workspace, Year

ROOT = Path(__file__).parent.parent
CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in tables.PUBLISHED}
PER_DISTRICT = {"deliveries", "delivery_totals", "consumption", "meters", "rejected_rows"}
"""Tables that each district's front door makes, one asset per district."""
OF_METERS = {"adjustment_steps"}
"""Sliced tables whose rows are about meters: one that serves a service of several districts may serve another of its own district too."""
PRIOR = "prior_"
"""A parameter ``prior_consumption`` is given the table ``consumption`` of the billing year before, without rows if that was not run.

It is no input in Dagster's eyes, whose partition mappings allow one partition of a table upstream; its version counts all the same.
"""
SERVICES_TOGETHER = 150_000
"""Slices of districts are made together up to so many services: what a large district takes in memory, many small ones may take."""
OFFICE_SHEETS = {"rejected_rows": (tables.CIS, tables.ADJUSTMENT_SHEET, tables.DECISION_SHEET)}
"""Of these, the ones that sheets of the office add a part to."""
NOT_ONE_DISTRICT = (tables.SEVERAL_DISTRICTS, tables.NO_DISTRICT)
"""Slices of services that are no district's."""


@dataclass(frozen=True)
class Session:
    """What a run works in: the workspace and the store. Made once per run, under the workspace's lock."""

    workspace: Workspace
    store: Store

    def stored(self, key: dg.AssetKey, year: int) -> Stored:
        """The table of an asset as the store holds it: all of its slices that there are, or those of one part."""
        name, *part = key.path
        contract = CONTRACTS[name]
        if part:
            slices = tuple(part)
        elif name in PER_DISTRICT:
            slices = (*self.workspace.districts, *OFFICE_SHEETS.get(name, ()))
        else:
            there = set(self.store.slices(contract, year))
            slices = tuple(s for s in all_slices(self.workspace) if s in there) or (WHOLE,)
        return Stored(self.store, contract, year, slices)


@dataclass(frozen=True)
class Slice:
    """One slice to be made: the version of all it is made from, and how to make it."""

    version: str
    make: Callable[[], ir.Table]


@dataclass(frozen=True)
class Batch:
    """Slices that are made by one statement. Of several, the table has the column OF_SLICE beside its own."""

    slices: tuple[str, ...]
    make: Callable[[], ir.Table]


@dataclass(frozen=True)
class Making:
    """A stage's answer: slices that the I/O manager makes and writes where the store does not have that version."""

    contract: Contract
    year: int
    slices: dict[str, Slice]
    column_lineage: dg.TableColumnLineage | None = None
    hashes_rows: bool = False
    """Whether who reads a slice depends on its rows, not on what they were made from."""
    together: Callable[[list[str]], list[Batch]] | None = None
    """How some of the slices are made by as few statements as may be."""

    def batches(self, slices: list[str]) -> list[Batch]:
        """What has to be made for these slices."""
        if self.together and len(slices) > 1:
            return self.together(slices)
        return [Batch((s,), self.slices[s].make) for s in slices]


def version_of(*parts: object) -> str:
    """Version of something made from ``parts`` by the code as it stands."""
    return hashlib.sha256("\n".join([code_version(), *map(str, parts)]).encode()).hexdigest()[:32]


def year_version(year: Year) -> str:
    """What of the year's settings a table can depend on."""
    return version_of(
        year.billing_year,
        year.effective,
        year.averaging.content_hash,
        year.adjustment_policy.content_hash,
        year.review_limits.content_hash,
        *((period.start, period.schedule.content_hash if period.schedule else "none") for period in year.rate_periods),
    )


def all_slices(workspace: Workspace) -> tuple[str, ...]:
    """Slices of a sliced table: one per district, then services of several, then services of none."""
    return (*workspace.districts, tables.SEVERAL_DISTRICTS, tables.NO_DISTRICT)


def slices_of(contract: Contract, workspace: Workspace) -> list[str]:
    """Every slice that a table can have in the store."""
    return [*all_slices(workspace), *OFFICE_SHEETS.get(contract.name, ()), WHOLE]


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract as the UI shows it: names, types, meanings with units."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=str(contract.schema[name]),
                description=contract.described(name),
                constraints=dg.TableColumnConstraints(nullable=col.nullable, unique=contract.key == (name,)),
            )
            for name, col in contract.columns.items()
        ],
        constraints=dg.TableConstraints(other=[f"key: {', '.join(contract.key)}"]),
    )


def with_next_step(contract: Contract, description: str) -> str:
    """A description, and below it what a person does next who has looked at the table."""
    step = NEXT_STEPS.get(contract.name)
    return f"{description}\n\n**What to do next.** {step}" if step else description


def asset_facts(contract: Contract, workspace: Workspace, engine: str = "duckdb") -> dict[str, Any]:
    """What every asset carries: owner, kinds (with the engine that it is computed on), column schema, code version."""
    return {
        "owners": [f"team:{workspace.file.owner}"],
        "kinds": {"parquet", engine},
        "metadata": {"dagster/column_schema": column_schema(contract)},
        "code_version": code_version(),
    }


def asset_out(contract: Contract, workspace: Workspace, part: str | None, group: str, text: str) -> dg.AssetOut:
    """One table that leaves a front door; ``part`` is its district or sheet where each has an asset of its own."""
    return dg.AssetOut(
        key=[contract.name, part] if part else [contract.name],
        group_name=group,
        description=with_next_step(contract, f"{text}. One row per {contract.row}."),
        **asset_facts(contract, workspace),
    )


def years_of(workspace: Workspace) -> dg.StaticPartitionsDefinition:
    """The billing years as partitions."""
    return dg.StaticPartitionsDefinition([str(y) for y in workspace.file.billing_years])


@dataclass(frozen=True)
class Stage:
    """A function from tables to a table, with the table's contract and how it is made."""

    function: Callable[..., ir.Table]
    contract: Contract
    group: str
    by_slice: bool
    follows: tuple[str, ...]
    built_once: bool = False
    traced: bool = False
    by_service: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    together: int = SERVICES_TOGETHER

    def __call__(self, *args: Any, **kwargs: Any) -> ir.Table:
        """The function itself, in the declared shape: what a test calls."""
        return self.contract.conform(self.function(*args, **kwargs))

    @property
    def inputs(self) -> list[str]:
        """Names of the tables that the function takes."""
        parameters = inspect.signature(self.function).parameters.values()
        return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

    def takes(self, name: str) -> bool:
        """Whether the function asks for ``year`` or ``slice_id``, by keyword."""
        return name in inspect.signature(self.function).parameters

    @property
    def description(self) -> str:
        text = inspect.cleandoc(self.function.__doc__ or "")
        return with_next_step(self.contract, f"One row per {self.contract.row}.\n\n{text}")

    def input_keys(self, workspace: Workspace) -> dict[str, dg.AssetKey]:
        """Argument name -> asset, one argument per district where each district has its own asset."""
        keys: dict[str, dg.AssetKey] = {}
        for name in self.inputs:
            if name.startswith(PRIOR):
                continue
            if name in PER_DISTRICT:
                parts = [*workspace.districts, *OFFICE_SHEETS.get(name, ())]
                keys |= {f"{name}__{part}": dg.AssetKey([name, part]) for part in parts}
            else:
                keys[name] = dg.AssetKey([name])
        return keys

    def making(self, stored: dict[str, Stored], year: Year, slices: tuple[str, ...]) -> Making:
        """Slices of this stage's table from the stored inputs."""
        of_year = {"year": year} if self.takes("year") else {}
        wanted = slices if self.by_slice else (WHOLE,)
        if self.contract.by_district:
            wanted = tuple(s for s in slices if s not in NOT_ONE_DISTRICT)
        by_service = self._content_by_service(stored)

        def made(*together: str) -> ir.Table:
            extra = {**of_year, "slice_id": together[0]} if self.takes("slice_id") else of_year
            return self._made({n: self._input(n, stored, together)[0]() for n in self.inputs}, year, extra)

        def slice_of(slice_id: str) -> Slice:
            contents = [
                by_service[name].get(slice_id, NO_ROWS)
                if name in by_service
                else self._input(name, stored, (slice_id,))[1]
                for name in self.inputs
            ]
            version = version_of(self.contract.name, slice_id, year_version(year), *contents)

            def make() -> ir.Table:
                if self.by_slice and not self._services_of(stored, [slice_id]).get(slice_id):
                    return self.contract.empty()
                return made(slice_id)

            return Slice(version, make)

        making = Making(
            self.contract,
            year.billing_year,
            {s: slice_of(s) for s in wanted},
            self.column_lineage(set(stored), of_year, year_version(year) if of_year else ""),
            hashes_rows=True,
        )
        if wanted == (WHOLE,) or self.takes("slice_id"):
            return making

        def together(of: tuple[str, ...]) -> Batch:
            if len(of) == 1:
                return Batch(of, making.slices[of[0]].make)
            return Batch(of, lambda: self._with_slice(made(*of), stored, of))

        return replace(making, together=lambda some: [*map(together, self._groups(some, stored))])

    def _groups(self, slices: list[str], stored: dict[str, Stored]) -> list[tuple[str, ...]]:
        """Slices that are made together. Services of several districts, or of none, meet what others do not: they stay alone."""
        services = self._services_of(stored, slices)
        groups, size = list[tuple[str, ...]](), 0
        for slice_id in slices:
            if slice_id in NOT_ONE_DISTRICT:
                continue
            if groups and size + services[slice_id] <= self.together:
                groups[-1] = (*groups[-1], slice_id)
            else:
                groups, size = [*groups, (slice_id,)], 0
            size += services[slice_id]
        return groups + [(s,) for s in slices if s in NOT_ONE_DISTRICT]

    def _services_of(self, stored: dict[str, Stored], slices: list[str]) -> dict[str, int]:
        """Slice -> services: asking is quicker than computing nothing, thirty times a year. Before there are any, each slice is large."""
        services = self._services(stored)
        if services.content() == "absent":
            return dict.fromkeys(slices, SERVICES_TOGETHER)

        def counted() -> dict[str, int]:
            found = services.read().group_by("slice_id").agg(n=ibis._.count())
            return {row["slice_id"]: row["n"] for row in services.store.con.to_pyarrow(found).to_pylist()}

        return dict.fromkeys(slices, 0) | services.store.once(
            ("services by slice", services.year, services.content()), counted
        )

    def _with_slice(self, table: ir.Table, stored: dict[str, Stored], slices: tuple[str, ...]) -> ir.Table:
        """The table with OF_SLICE, the district of each row or the slice of its service: that may be at hand, though the contract does not ask for it."""
        if self.contract.by_district or "slice_id" in table.columns:
            return table.mutate(**{OF_SLICE: table.district_id if self.contract.by_district else table.slice_id})
        services = self._services(stored).to_compute().filter(ibis._.slice_id.isin(slices))
        return looked_up(table, services.select("service_id", **{OF_SLICE: "slice_id"}), "service_id", OF_SLICE)

    def _content_by_service(self, stored: dict[str, Stored]) -> dict[str, dict[str, str]]:
        """Of each of the inputs ``by_service`` that the store has: slice -> hash of the rows about its services."""
        if not self.by_service or (services := self._services(stored)).content() == "absent":
            return {}
        return {
            name: services.store.content_by_slice(stored[name].contract, stored[name].year, services.read())
            for name in self.by_service
        }

    def _services(self, stored: dict[str, Stored]) -> Stored:
        """Every service with its slice, whether or not the stage reads them."""
        any_input = next(iter(stored.values()))
        return replace(any_input, contract=tables.SEWER_SERVICES, slices=(WHOLE,))

    def column_lineage(
        self, arguments: set[str], of_year: dict[str, Any], version: str
    ) -> dg.TableColumnLineage | None:
        """Which columns of which assets each column comes from, where the function can be asked without rows."""
        if not (self.built_once or self.traced):
            return None
        sources = json.loads(
            built_text(("column lineage", self.contract.name, version), partial(self._sources, of_year))
        )

        def assets_of(name: str) -> list[dg.AssetKey]:
            return [dg.AssetKey(a.split("__")) for a in sorted(arguments) if a == name or a.startswith(f"{name}__")]

        return dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(key, of) for name, of in found for key in assets_of(name)]
                for column, found in sources.items()
            }
        )

    def _sources(self, of_year: dict[str, Any]) -> str:
        """Column -> its sources, as JSON: it takes as long to find as to build the SQL, and is kept with it."""
        without_rows = {n: ibis.table(CONTRACTS[n.removeprefix(PRIOR)].schema, name=n) for n in self.inputs}
        sources = column_sources(self.contract.conform(self.function(**without_rows, **of_year)))
        return json.dumps({column: sorted(found) for column, found in sources.items()})

    def _made(self, tables: dict[str, ir.Table], year: Year, extra: dict[str, Any]) -> ir.Table:
        if not self.built_once:
            return self.function(**tables, **extra)
        bench = Bench(tables, year_version(year))
        return bench.shown(self.contract.name, partial(self.function, **extra), *tables)

    def _input(
        self, name: str, stored: dict[str, Stored], slices: tuple[str, ...]
    ) -> tuple[Callable[[], ir.Table], str]:
        """How to read one input for one slice, or for several that are made together, and its version."""
        if name.startswith(PRIOR):
            prior = self._of_prior_year(name.removeprefix(PRIOR), stored, slices)
            return prior.to_compute, prior.content()
        if name in PER_DISTRICT:
            districts = {
                key.removeprefix(f"{name}__"): value for key, value in stored.items() if key.startswith(f"{name}__")
            }
            if districts.keys() >= set(slices):
                chosen = [districts[s] for s in slices]
            elif slices == (tables.NO_DISTRICT,):
                chosen = []
            else:
                # Nobody is measured by several districts where there is one.
                chosen = list(districts.values()) if slices == (WHOLE,) or len(districts) > 1 else []
            if not chosen:
                return CONTRACTS[name].empty, "none"
            first = chosen[0]
            ids = [s for one in chosen for s in one.slices]
            content = "+".join(one.content() for one in chosen)
            to_compute = partial(first.store.to_compute, first.contract, first.year, ids)
            if slices == (tables.SEVERAL_DISTRICTS,) and "district_account" in first.contract.columns:
                links = replace(first, contract=tables.METER_LINKS, slices=(WHOLE,))
                theirs = links.read().filter(ibis._.slice_id == tables.SEVERAL_DISTRICTS)
                accounts = theirs.select("district_id", "district_account").distinct()
                content += f"+{links.content()}"
                to_compute = partial(
                    first.store.of_accounts_to_compute, first.contract, first.year, ids, accounts, content
                )
            return to_compute, content
        table = stored[name]
        if slices == (WHOLE,) or name in self.whole:
            return table.to_compute, table.content()
        if self.contract.by_district:
            if table.contract.by_district:
                return replace(table, slices=slices).to_compute, replace(table, slices=slices).content()
            if "district_id" in table.contract.columns:
                return lambda: table.to_compute().filter(ibis._.district_id.isin(slices)), table.content()
        elif name in OF_METERS and tables.SEVERAL_DISTRICTS not in slices:
            theirs = tuple(s for s in (*slices, tables.SEVERAL_DISTRICTS) if s in table.slices)
            table = replace(table, slices=theirs)
        elif name not in OF_METERS and set(slices) <= set(table.slices):
            table = replace(table, slices=slices)
        elif "slice_id" in table.contract.columns:
            return lambda: table.to_compute().filter(ibis._.slice_id.isin(slices)), table.content()
        return table.to_compute, table.content()

    def _of_prior_year(self, name: str, stored: dict[str, Stored], slices: tuple[str, ...]) -> Stored:
        """The same slices of a table of the billing year before; services may have come from any district, and tables that
        are not sliced are given whole."""
        any_input = next(iter(stored.values()))
        contract = CONTRACTS[name]
        if name in PER_DISTRICT and slices[0] not in (WHOLE, tables.SEVERAL_DISTRICTS):
            of_year: tuple[str, ...] = () if slices == (tables.NO_DISTRICT,) else slices
        else:
            of_year = tuple(any_input.store.slices(contract, any_input.year - 1))
        return Stored(any_input.store, contract, any_input.year - 1, of_year)

    def asset(self, workspace: Workspace) -> dg.AssetsDefinition:
        """The Dagster asset of this stage, partitioned by billing year.

        It opens its inputs itself: Dagster keeps four records in its history of each input that it hands over, and a stage has dozens.
        """
        keys = self.input_keys(workspace)
        slices = all_slices(workspace)

        @dg.asset(
            name=self.contract.name,
            deps=[*keys.values(), *(dg.AssetKey([name]) for name in self.follows)],
            partitions_def=years_of(workspace),
            group_name=self.group,
            description=self.description,
            required_resource_keys={"session"},
            **asset_facts(self.contract, workspace, workspace.file.engine),
        )
        def _asset(context: dg.AssetExecutionContext) -> Making:
            session: Session = context.resources.session
            year = session.workspace.year(int(context.partition_key))
            stored = {argument: session.stored(key, year.billing_year) for argument, key in keys.items()}
            return self.making(stored, year, slices)

        return _asset


def stage(
    contract: Contract,
    group: str,
    *,
    by_slice: bool = False,
    follows: tuple[str, ...] = (),
    built_once: bool = False,
    traced: bool = False,
    by_service: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    together: int = SERVICES_TOGETHER,
) -> Callable[[Callable[..., ir.Table]], Stage]:
    """Make a function from tables to a table a stage.

    ``by_slice``: call it for one slice, or for several districts' together: what it says of a service must rest on its own slice alone. ``built_once``: its SQL is the same for every slice, so it is built once; the function then
    sees tables without rows, and must not ask for any. ``follows``: tables that it rests on without reading them, so that the graph shows
    them before it. ``traced``: one that works at a bench of its own, whose columns' sources are told as those of a function built once.
    ``by_service``: inputs that are not sliced, of which the function asks for its own services' rows alone, by ``service_id``: a slice is made again only
    if these have changed. ``whole``: inputs of which a slice is given other slices' rows too. What is ``by_district`` by its contract is called for one district,
    or for several together, with the rows of its inputs that have their ``district_id``; it must not read what is made by slices of services.
    ``together``: how many services' slices are made by one statement, more where little is kept of each.
    """

    def wrap(function: Callable[..., ir.Table]) -> Stage:
        return Stage(function, contract, group, by_slice, follows, built_once, traced, by_service, whole, together)

    return wrap
