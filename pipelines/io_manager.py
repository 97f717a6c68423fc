"""The I/O manager: writes what a stage makes, reads what the next one needs.

Belongs here: deciding which slices have to be made again, and telling the UI what was written.
Does not belong here: files and their atomic writing (``assets.store``), what a table is.
"""

import dagster as dg

from assets.stage import CONTRACTS, OFFICE_SHEETS, PER_DISTRICT, Making, Session, all_slices
from assets.store import WHOLE, Stored
from pipelines.metadata import described
from pipelines.release.reconciliation_page import as_markdown, page_of
from validations.tables import RECONCILIATION


class StoreIOManager(dg.IOManager):
    """Slices whose inputs have not changed since they were written are left as they are."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def handle_output(self, context: dg.OutputContext, obj: Making) -> None:
        store = self._session.store
        made = []
        for slice_id, one in obj.slices.items():
            if store.version(obj.contract, obj.year, slice_id) != one.version:
                store.write(obj.contract, obj.year, slice_id, one.make(), one.version)
                made.append(slice_id)
        rows = sum(store.rows(obj.contract, obj.year, s) for s in obj.slices)
        table = store.read(obj.contract, obj.year, obj.slices)
        page = {}
        if obj.contract is RECONCILIATION:
            text = as_markdown(page_of(self._session, obj.year, in_run=True))
            page = {"the year on one page": dg.MetadataValue.md(text)}
        context.add_output_metadata(
            {
                **page,
                **described(obj.contract, table, rows),
                "made": ", ".join(made) if made else "nothing: all inputs are as they were",
            }
        )

    def load_input(self, context: dg.InputContext) -> Stored:
        name, *part = context.asset_key.path
        contract = CONTRACTS[name]
        year = int(context.partition_key)
        if part:
            slices = tuple(part)
        elif name in PER_DISTRICT:
            slices = (*self._session.workspace.districts, *OFFICE_SHEETS.get(name, ()))
        else:
            present = [
                s for s in all_slices(self._session.workspace) if self._session.store.path(contract, year, s).exists()
            ]
            slices = tuple(present) or (WHOLE,)
        return Stored(self._session.store, contract, year, slices)


@dg.io_manager(required_resource_keys={"session"}, description="Parquet in the workspace's store, one file per slice")
def store_io_manager(context: dg.InitResourceContext) -> StoreIOManager:
    return StoreIOManager(context.resources.session)
