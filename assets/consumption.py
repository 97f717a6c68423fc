"""Consumption: every record of a district's files in the one canonical form, or in ``rejected_rows`` with a reason.

Belongs here: the Dagster assets of a district's front door.
Does not belong here: taking the files in (``front_door``), which service a meter serves (``service_consumption``).
"""

from collections.abc import Iterator

import dagster as dg

from assets.deliveries import archived
from assets.front_door import DeliveredFile, FrontDoor
from assets.stage import Making, Session, Slice, asset_out, version_of, years_of
from validations.district import District
from validations.tables import CONSUMPTION, DELIVERY_TOTALS, METERS, REJECTED_ROWS
from validations.workspace import Workspace

_OUTPUTS = {
    "consumption": (CONSUMPTION, "Consumption of {name} in the one canonical form"),
    "meters": (METERS, "Meters of {name} and what each delivered in all"),
    "rejected_rows": (REJECTED_ROWS, "What of {name}'s files is not consumption, and why"),
    "delivery_totals": (
        DELIVERY_TOTALS,
        "What each file of {name} holds, counted while it was read, and what it states of itself",
    ),
}


def consumption_assets(entry: District, workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster assets ``consumption/<district>`` and the tables about it that leave the front door with it."""

    def out(name: str) -> dg.AssetOut:
        contract, text = _OUTPUTS[name]
        # A group shows its assets by district alone, so consumption has one of its own.
        group = name if name == "consumption" else "delivery_details"
        return asset_out(contract, workspace, entry.district, group, text.format(name=entry.name))

    deliveries_key = dg.AssetKey(["deliveries", entry.district])

    @dg.multi_asset(
        name=f"front_door_{entry.district}",
        outs={name: out(name) for name in _OUTPUTS},
        deps=[deliveries_key],
        partitions_def=years_of(workspace),
        required_resource_keys={"session"},
    )
    def _front_door(context: dg.AssetExecutionContext) -> Iterator[dg.Output[Making]]:
        session: Session = context.resources.session
        year = session.workspace.year(int(context.partition_key))
        rows = session.stored(deliveries_key, year.billing_year).read().to_pyarrow().to_pylist()
        files = sorted((r["source_file"], r["content_hash"]) for r in rows if r["status"] == "current")
        in_force, archive = session.workspace.district(entry.district, year.billing_year), session.workspace.archive
        door = FrontDoor(
            session.store.con,
            in_force,
            year,
            [DeliveredFile(name, content_hash, archived(archive, content_hash)) for name, content_hash in files],
            session.workspace.scratch,
        )
        version = version_of("front_door", in_force.model_dump_json(), year.effective, *files)
        try:
            for name, (contract, _) in _OUTPUTS.items():
                making = Slice(version, lambda name=name: door[name])  # type: ignore[misc]
                yield dg.Output(Making(contract, year.billing_year, {entry.district: making}), output_name=name)
        finally:
            door.close()

    return _front_door
