"""Consumption: every record of a district's files in the one canonical form, or in ``rejected_rows`` with a reason.

Belongs here: the tables that leave the front door, reading a district's files once for all of them.
Does not belong here: reading files into fields (``readers``), what a record says (``records``), which service a meter serves
(``service_consumption``).

The front door: this stage takes files in, so it alone reads something that is not a table. It raises for nothing that is in
a file. Every record ends as consumption or as a rejected row; a check counts both against what was read.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.deliveries import archived
from assets.readers import Sheet, UnreadableFile, read_sheet
from assets.readers.lines import forget_lines
from assets.records.comparison import classified_records
from assets.records.fields import text_records
from assets.records.values import thousandths, typed_records
from assets.stage import Making, Session, Slice, asset_out, version_of, years_of
from assets.store import Stored
from validations.district import District
from validations.reasons import REASONS
from validations.tables import CONSUMPTION, DELIVERY_TOTALS, METERS, REJECTED_ROWS
from validations.workspace import Workspace, Year

_LONGEST_RAW_TEXT = 4_000


def consumption(classified: ir.Table, entry: District) -> ir.Table:
    """Records that are consumption, as one row per meter and service period."""
    rows = classified.filter(classified.reason_code.isnull())
    return CONSUMPTION.conform(
        rows.mutate(
            district_id=ibis.literal(entry.district),
            days=rows.period_end.delta(rows.period_start, unit="day"),
            registered_volume_thousandths=rows.registered_thousandths,
            billed_volume_thousandths=rows.billed_thousandths,
            volume_unit=ibis.literal(entry.volume.unit),
        )
    )


def rejected_rows(classified: ir.Table, district_id: str) -> ir.Table:
    """Records that are not consumption, with kind and sentence of their reason."""
    rows = classified.filter(classified.reason_code.notnull())
    kinds = {code: kind for code, (kind, _) in REASONS.items()}
    sentences = {code: sentence for code, (_, sentence) in REASONS.items()}
    return REJECTED_ROWS.conform(
        rows.mutate(
            district_id=ibis.literal(district_id),
            raw_text=rows.raw_text.left(_LONGEST_RAW_TEXT),
            reason_kind=ibis.cases(*((rows.reason_code == code, kind) for code, kind in kinds.items())),
            message=ibis.cases(*((rows.reason_code == code, sentence) for code, sentence in sentences.items())),
        )
    )


def meters(consumption: ir.Table) -> ir.Table:
    """What each delivered meter has in all, so that later stages need not go through the bulk again."""
    return METERS.conform(
        consumption.group_by("district_id", "district_account", "meter_id").agg(
            periods=ibis._.count(),
            first_day=ibis._.period_start.min(),
            last_day=ibis._.period_end.max(),
            billed_volume_thousandths=ibis._.billed_volume_thousandths.sum(),
            volume_unit=ibis._.volume_unit.min(),
            rollovers=ibis._.is_rollover.cast("int64").sum(),
        )
    )


@dataclass
class _FrontDoor:
    """The tables of one district and year, read once and kept until they are written."""

    session: Session
    entry: District
    year: Year
    files: list[tuple[str, str]]

    def __post_init__(self) -> None:
        self._made: dict[str, ir.Table] = {}
        self._temporary: list[str] = []

    def __getitem__(self, name: str) -> ir.Table:
        if not self._made:
            self._read()
        return self._made[name]

    def _kept(self, name: str, table: ir.Table) -> ir.Table:
        """A lazy table computed once, because more than one output is made from it."""
        unique = f"{name}_{uuid.uuid4().hex}"
        self._temporary.append(unique)
        return self.session.store.con.create_table(unique, table, temp=True)

    def _read(self) -> None:
        con, totals, parts, unreadable = self.session.store.con, [], [], []
        for source_file, content_hash in self.files:
            path = archived(self.session.workspace.archive, content_hash)
            fact: dict[str, Any] = {
                "district_id": self.entry.district, "source_file": source_file, "content_hash": content_hash,
                "rows_in_file": 0, "rows_of_layout": 0, "records": 0, "delivered_quantity_thousandths": 0,
                "control_records": None, "control_quantity_thousandths": None, "unreadable": False, "message": "",
            }  # fmt: skip
            totals.append(fact)
            try:
                sheet = read_sheet(con, path, self.entry, self.session.workspace.work / "scratch")
                texts = text_records(sheet, self.entry, source_file)
            except UnreadableFile as error:
                fact |= {"unreadable": True, "message": str(error)}
                unreadable.append(self._unreadable(source_file, str(error)))
                continue
            typed = self._kept("typed", typed_records(texts, self.entry, self.year))
            parts.append(typed)
            fact |= self._facts(sheet, typed)

        if parts:
            classified = self._kept(
                "classified", classified_records(ibis.union(*parts) if len(parts) > 1 else parts[0], self.entry)
            )
            taken, left = consumption(classified, self.entry), rejected_rows(classified, self.entry.district)
        else:
            taken, left = CONSUMPTION.empty(), REJECTED_ROWS.empty()
        if unreadable:
            left = left.union(ibis.memtable(unreadable, schema=REJECTED_ROWS.schema))
        self._made = {
            "consumption": taken,
            "meters": meters(taken),
            "rejected_rows": left,
            "delivery_totals": ibis.memtable(totals, schema=DELIVERY_TOTALS.schema)
            if totals
            else DELIVERY_TOTALS.empty(),
        }

    def _facts(self, sheet: Sheet, typed: ir.Table) -> dict[str, Any]:
        counted = (
            typed.agg(n=typed.count(), q=typed.delivered_quantity_thousandths.sum().cast("int64"))
            .to_pyarrow()
            .to_pylist()[0]
        )
        return {
            "rows_in_file": sheet.rows_in_file, "rows_of_layout": sheet.rows_of_layout, "records": counted["n"],
            "delivered_quantity_thousandths": counted["q"] or 0,
            "control_records": _stated(sheet.control_records),
            "control_quantity_thousandths": self._stated_quantity(sheet.control_quantity),
        }  # fmt: skip

    def _stated_quantity(self, texts: list[str] | None) -> int | None:
        """The total that the file states of itself, in thousandths; several cells are added. None if there is none."""
        if texts is None:
            return None
        cells = ibis.memtable({"text": [t for t in texts if t]}, schema={"text": "string"})
        value = thousandths(cells.text, self.entry.volume, allow_negative=True).value
        total = self.session.store.con.execute(value.sum())
        return None if total is None or total != total else int(total)

    def _unreadable(self, source_file: str, sentence: str) -> dict[str, Any]:
        return {
            "district_id": self.entry.district, "source_file": source_file, "source_row": 0, "source_column": "",
            "raw_text": "", "reason_code": "file_unreadable", "reason_kind": "refused",
            "message": sentence, "delivered_quantity_thousandths": None,
        }  # fmt: skip

    def close(self) -> None:
        for name in self._temporary:
            self.session.store.con.drop_table(name, force=True)
        forget_lines(self.session.store.con)


def _stated(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


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

    @dg.multi_asset(
        name=f"front_door_{entry.district}",
        outs={name: out(name) for name in _OUTPUTS},
        ins={"deliveries": dg.AssetIn(key=["deliveries", entry.district])},
        partitions_def=years_of(workspace),
        required_resource_keys={"session"},
    )
    def _front_door(context: dg.AssetExecutionContext, deliveries: Stored) -> Iterator[dg.Output[Making]]:
        session: Session = context.resources.session
        year = session.workspace.year(int(context.partition_key))
        rows = deliveries.read().to_pyarrow().to_pylist()
        files = sorted((r["source_file"], r["content_hash"]) for r in rows if r["status"] == "current")
        door = _FrontDoor(session, entry, year, files)
        version = version_of("front_door", entry.model_dump_json(), year.effective, *files)
        try:
            for name, (contract, _) in _OUTPUTS.items():
                making = Slice(version, lambda name=name: door[name])  # type: ignore[misc]
                yield dg.Output(Making(contract, year.billing_year, {entry.district: making}), output_name=name)
        finally:
            door.close()

    return _front_door
