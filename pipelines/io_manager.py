"""The I/O manager: writes what a stage makes, reads what the next one needs.

Belongs here: deciding which slices have to be made again, and telling the UI what was written.
Does not belong here: files and their atomic writing (``assets.store``), what a table is.
"""

from typing import Any

import dagster as dg

from assets.code_version import code_version
from assets.remembered import recalled, remember
from assets.stage import Making, Session, version_of
from assets.store import WHOLE, Stored
from pipelines.metadata import described, lineage_table, markdown_table
from pipelines.pages.figures import Read
from pipelines.pages.page import as_markdown
from pipelines.pictures.charts import as_image
from pipelines.pictures.of_year import numbers_of, pictures_of, worst_of_each_district
from pipelines.release.reconciliation_page import page_of
from validations.tables import RECONCILIATION, WORKLIST


class StoreIOManager(dg.IOManager):
    """Slices whose inputs have not changed since they were written are left as they are."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def handle_output(self, context: dg.OutputContext, obj: Making) -> None:
        store = self._session.store
        made = [s for s, one in obj.slices.items() if store.version(obj.contract, obj.year, s) != one.version]
        for batch in obj.batches(made):
            versions = {s: obj.slices[s].version for s in batch.slices}
            if len(versions) > 1:
                store.write_together(obj.contract, obj.year, batch.make(), versions)
            else:
                ((slice_id, version),) = versions.items()
                store.write(obj.contract, obj.year, slice_id, batch.make(), version, hashes_rows=obj.hashes_rows)
        for former in store.slices(obj.contract, obj.year):
            # A version of the program before this one may have made the table whole, or by slice.
            if (former == WHOLE) != (WHOLE in obj.slices):
                store.drop(obj.contract, obj.year, former)
        shown: dict[str, Any] = dict(numbers_of(obj.contract.name, Read(self._session, obj.year)))
        if obj.contract is RECONCILIATION:
            text = as_markdown(page_of(self._session, obj.year, in_run=True))
            shown["the year on one page"] = dg.MetadataValue.md(text)
        if obj.contract is WORKLIST:
            worst = worst_of_each_district(Read(self._session, obj.year))
            listed = markdown_table(worst, list(worst[0])) if worst else "*nothing at stake*"
            shown["worst of each district, and what to do"] = dg.MetadataValue.md(listed)
        pictures = pictures_of(obj.contract.name, self._session, obj.year)
        if pictures:
            shown["pictures"] = dg.MetadataValue.md("\n\n".join(map(as_image, pictures)))
        if obj.column_lineage:
            shown["dagster/column_lineage"] = obj.column_lineage
            shown["where each column comes from"] = dg.MetadataValue.md(lineage_table(obj.column_lineage))
        before = self._rows_a_year_before(obj)
        if before is not None:
            shown["rows a year before"] = before
        context.add_output_metadata(
            {
                **shown,
                **self._described(obj),
                "made": ", ".join(made) if made else "nothing: all inputs are as they were",
            }
        )

    def _described(self, obj: Making) -> dict[str, Any]:
        """What the UI shows of the table, kept for as long as the table is the same: to look at it again takes longer than all else where nothing changed."""
        store = self._session.store
        name = obj.contract.name if len(obj.slices) > 1 else f"{obj.contract.name}.{next(iter(obj.slices))}"
        path = self._session.workspace.work / "shown" / str(obj.year) / f"{name}.json"
        content = version_of(code_version("pipelines"), *(store.content(obj.contract, obj.year, s) for s in obj.slices))
        kept = recalled(path)
        if kept.get("content") != content:
            rows = sum(store.rows(obj.contract, obj.year, s) for s in obj.slices)
            facts = described(obj.contract, store.read(obj.contract, obj.year, obj.slices), rows)
            texts = {k: fact.md_str for k, fact in facts.items() if isinstance(fact, dg.MarkdownMetadataValue)}
            kept = {"content": content, "figures": {k: facts[k] for k in facts if k not in texts}, "texts": texts}
            remember(path, kept)
        return {**kept["figures"], **{k: dg.MetadataValue.md(text) for k, text in kept["texts"].items()}}

    def _rows_a_year_before(self, obj: Making) -> int | None:
        """None where that year has not been run."""
        store = self._session.store
        there = set(store.slices(obj.contract, obj.year - 1)) & set(obj.slices)
        return sum(store.rows(obj.contract, obj.year - 1, s) for s in there) if there else None

    def load_input(self, context: dg.InputContext) -> Stored:
        return self._session.stored(context.asset_key, int(context.partition_key))


@dg.io_manager(required_resource_keys={"session"}, description="Parquet in the workspace's store, one file per slice")
def store_io_manager(context: dg.InitResourceContext) -> StoreIOManager:
    return StoreIOManager(context.resources.session)
