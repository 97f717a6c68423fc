"""The front door: a district's files come in, tables go out.

Belongs here: the tables that leave the front door, reading a district's files once for all of them; what can be told of a
file only when all of it was read.
Does not belong here: reading files into fields (``readers``), what a record says (``records``).

It alone reads something that is not a table, and it raises for nothing that is in a file. Every record ends as consumption or
as a rejected row; a check counts both against what was read.
"""

from __future__ import annotations

import fnmatch
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.any_layout import read_rows, read_sheet
from assets.readers.lines import forget_lines
from assets.readers.sheet import Sheet, UnreadableFile
from assets.records.account_numbers import cross_reference_rows
from assets.records.comparison import classified_records
from assets.records.fields import text_records
from assets.records.values import thousandths, typed_records
from rate_tables.exact import stored_as
from rate_tables.looked_up import looked_up
from validations.district import District
from validations.reasons import REASONS
from validations.tables import CONSUMPTION, DELIVERY_TOTALS, METERS, REJECTED_ROWS
from validations.workspace import Year

_CYCLE_DAYS = {"monthly": (25, 36), "two_monthly": (52, 70), "quarterly": (80, 102), "mixed": (None, None)}
"""Typical length of a period: CalTRACK drops periods under 25 days, over 35 (monthly) or 70 (two-monthly)."""
_FEWEST_SWAPPED_DATES = 3
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


def texts_of(sheet: Sheet, source_file: str) -> ir.Table:
    """The rows of a file as they stand there: source_file, source_row, raw_text."""
    return sheet.rows.select("source_row", "raw_text", source_file=ibis.literal(source_file))


def with_texts(classified: ir.Table, texts: list[ir.Table]) -> ir.Table:
    """Records that are not consumption, with raw_text. Hardly any are, so no record carries its text along."""
    left = classified.filter(classified.reason_code.notnull())
    return looked_up(
        left, ibis.union(*texts) if len(texts) > 1 else texts[0], ["source_file", "source_row"], "raw_text"
    )


def rejected_rows(left: ir.Table, district_id: str) -> ir.Table:
    """Records that are not consumption (``with_texts``), with kind and sentence of their reason."""
    kinds = {code: kind for code, (kind, _) in REASONS.items()}
    sentences = {code: sentence for code, (_, sentence) in REASONS.items()}
    return REJECTED_ROWS.conform(
        left.mutate(
            district_id=ibis.literal(district_id),
            raw_text=left.raw_text.left(_LONGEST_RAW_TEXT),
            reason_kind=ibis.cases(*((left.reason_code == code, kind) for code, kind in kinds.items())),
            message=ibis.cases(*((left.reason_code == code, sentence) for code, sentence in sentences.items())),
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


@dataclass(frozen=True)
class DeliveredFile:
    """A file of a delivery: its name, the hash of its content, and where it can be read."""

    source_file: str
    content_hash: str
    path: Path


@dataclass
class FrontDoor:
    """The tables of one district and year, read once and kept until ``close``.

    ``door["consumption"]``, ``["meters"]``, ``["rejected_rows"]``, ``["delivery_totals"]``. Raises for nothing in a file.
    """

    con: Any
    entry: District
    year: Year
    files: list[DeliveredFile]
    scratch: Path

    def __post_init__(self) -> None:
        self._made: dict[str, ir.Table] = {}
        self._temporary: list[str] = []
        self._texts: list[ir.Table] = []

    def __getitem__(self, name: str) -> ir.Table:
        if not self._made:
            self._read()
        return self._made[name]

    def _kept(self, name: str, table: ir.Table) -> ir.Table:
        """A lazy table computed once, because more than one output is made from it."""
        unique = f"{name}_{uuid.uuid4().hex}"
        self._temporary.append(unique)
        return self.con.create_table(unique, table, temp=True)

    def _read(self) -> None:
        totals, parts, left_of_sheets, unreadable = list[dict[str, Any]](), list[ir.Table](), list[ir.Table](), []
        sheets, others = self._cross_references_first()
        known: ir.Table | None = None
        for file in (*sheets, *others):
            fact = self._fact(file)
            totals.append(fact)
            try:
                if file in sheets:
                    known, refused = self._cross_reference(file, fact, known)
                    left_of_sheets.append(refused)
                else:
                    parts.append(self._records(file, fact, known))
            except UnreadableFile as error:
                fact |= {"unreadable": True, "message": str(error)}
                unreadable.append(self._unreadable(file.source_file, str(error)))

        if parts:
            classified = self._kept(
                "classified", classified_records(ibis.union(*parts) if len(parts) > 1 else parts[0], self.entry)
            )
            taken = consumption(classified, self.entry)
            left = rejected_rows(with_texts(classified, self._texts), self.entry.district)
        else:
            taken, left = CONSUMPTION.empty(), REJECTED_ROWS.empty()
        if unreadable:
            left = left.union(REJECTED_ROWS.of_rows(unreadable))
        for refused in left_of_sheets:
            left = left.union(rejected_rows(refused, self.entry.district))
        self._add_periods(totals, taken)
        self._made = {
            "consumption": taken,
            "meters": meters(taken),
            "rejected_rows": left,
            "delivery_totals": DELIVERY_TOTALS.of_rows(totals),
        }

    def _fact(self, file: DeliveredFile) -> dict[str, Any]:
        """The file's row in ``delivery_totals``, before it is read."""
        fewest, most = _CYCLE_DAYS[self.entry.billing_cycle]
        return {
            "district_id": self.entry.district, "source_file": file.source_file, "content_hash": file.content_hash,
            "rows_in_file": 0, "rows_of_layout": 0, "records": 0, "delivered_quantity_thousandths": 0,
            "control_records": None, "control_quantity_thousandths": None, "first_day": None, "last_day": None,
            "typical_days": None, "cycle_days_from": fewest, "cycle_days_to": most, "unreadable": False, "message": "",
        }  # fmt: skip

    def _cross_references_first(self) -> tuple[list[DeliveredFile], list[DeliveredFile]]:
        reference = self.entry.account_numbers.cross_reference
        if reference is None:
            return [], self.files
        is_sheet = [fnmatch.fnmatch(file.source_file.rsplit("/", 1)[-1], reference.files) for file in self.files]
        return (
            [file for file, is_one in zip(self.files, is_sheet, strict=True) if is_one],
            [file for file, is_one in zip(self.files, is_sheet, strict=True) if not is_one],
        )

    def _cross_reference(
        self, file: DeliveredFile, fact: dict[str, Any], known: ir.Table | None
    ) -> tuple[ir.Table, ir.Table]:
        """Accounts that are known under another number (with those of earlier sheets), and the rows that were refused."""
        rule = self.entry.account_numbers
        reference = rule.cross_reference
        if reference is None or known is not None:
            raise UnreadableFile("the delivery has more than one cross-reference sheet; which one counts?")
        columns = {"delivered": reference.delivered, "known_as": reference.known_as}
        sheet = read_rows(self.con, file.path, reference.layout, columns, self.scratch)
        rows = cross_reference_rows(sheet, rule, reference)
        fact |= {"rows_in_file": sheet.rows_in_file, "rows_of_layout": sheet.rows_in_file}
        refused = rows.refused.mutate(
            source_file=ibis.literal(file.source_file),
            source_column=ibis.literal(""),
            delivered_quantity_thousandths=ibis.null("int64"),
        )
        return self._kept("known", rows.usable), self._kept("refused", refused)

    def _records(self, file: DeliveredFile, fact: dict[str, Any], known: ir.Table | None) -> ir.Table:
        """The file's typed records. UnreadableFile if it has not the announced layout."""
        reference = self.entry.account_numbers.cross_reference
        if reference is not None and known is None:
            raise UnreadableFile(
                f"the cross-reference sheet {reference.files} was not delivered or cannot be read, so nobody knows whose "
                "accounts these are"
            )
        sheet = read_sheet(self.con, file.path, self.entry, self.scratch)
        texts = text_records(sheet, self.entry, file.source_file)
        typed = self._kept("typed", typed_records(texts, self.entry, self.year, known))
        self._texts.append(texts_of(sheet, file.source_file))
        self._refuse_swapped_dates(texts, typed, known)
        fact |= self._facts(sheet, typed)
        return typed

    def _refuse_swapped_dates(self, texts: ir.Table, typed: ir.Table, known: ir.Table | None) -> None:
        """UnreadableFile if dates that cannot be read all can with day and month exchanged: then those that can be read are
        wrong too."""
        written = self.entry.date_format
        if "%d" not in written or "%m" not in written:
            return
        unreadable = typed.filter(typed.reason_code == "date_unreadable")
        count = int(unreadable.count().execute())
        if count < _FEWEST_SWAPPED_DATES:
            return
        swapped = written.replace("%d", "%!").replace("%m", "%d").replace("%!", "%m")
        other_way = typed_records(texts, self.entry.model_copy(update={"date_format": swapped}), self.year, known)
        where = ["source_file", "source_row", "source_column"]
        still = other_way.filter(other_way.reason_code == "date_unreadable").semi_join(unreadable, where)
        if count > 10 * int(still.count().execute()):
            raise UnreadableFile(
                f"{count:,} records have dates that cannot be read as {written} and can as {swapped}: day and month are exchanged"
            )

    def _add_periods(self, totals: list[dict[str, Any]], taken: ir.Table) -> None:
        """What each file's consumption spans."""
        spans = taken.group_by("source_file").agg(
            first_day=taken.period_start.min(),
            last_day=taken.period_end.max(),
            typical_days=stored_as(taken.days.quantile(0.5), "int64"),
        )
        found = {row.pop("source_file"): row for row in spans.to_pyarrow().to_pylist()} if self.files else {}
        for fact in totals:
            fact |= found.get(fact["source_file"], {})

    def _facts(self, sheet: Sheet, typed: ir.Table) -> dict[str, Any]:
        counted = (
            typed.agg(n=typed.count(), q=typed.delivered_quantity_thousandths.sum().cast("int64"))
            .to_pyarrow()
            .to_pylist()[0]
        )
        return {
            "rows_in_file": sheet.rows_in_file, "rows_of_layout": sheet.rows_of_layout, "records": counted["n"],
            "delivered_quantity_thousandths": counted["q"] or 0,
            "control_records": self._stated_records(sheet.control_records),
            "control_quantity_thousandths": self._stated_quantity(sheet.control_quantity),
        }  # fmt: skip

    def _stated_records(self, text: str | None) -> int | None:
        """The count that the file states of itself, in records: a row holds one for each register with columns of its own."""
        if text is None:
            return None
        if not re.fullmatch("[0-9]{1,18}", text):
            raise UnreadableFile(f"the trailer should state how many records there are and says {text[:40]!r}")
        return int(text) * self.entry.columns.registers

    def _stated_quantity(self, texts: list[str] | None) -> int | None:
        """The total that the file states of itself, in thousandths; several cells are added. None if there is none."""
        if texts is None:
            return None
        cells = ibis.memtable({"text": [t for t in texts if t]}, schema={"text": "string"})
        value = thousandths(cells.text, self.entry.volume, allow_negative=True).value
        total = self.con.to_pyarrow(stored_as(value.sum(), "int64")).as_py()
        if total is None and self.entry.trailer is not None:
            raise UnreadableFile(f"the trailer should state the total and says {texts[0][:40]!r}")
        return None if total is None else int(total)

    def _unreadable(self, source_file: str, sentence: str) -> dict[str, Any]:
        return {
            "district_id": self.entry.district, "source_file": source_file, "source_row": 0, "source_column": "",
            "raw_text": "", "reason_code": "file_unreadable", "reason_kind": "refused",
            "message": sentence, "delivered_quantity_thousandths": None,
        }  # fmt: skip

    def close(self) -> None:
        for name in self._temporary:
            self.con.drop_table(name, force=True)
        forget_lines(self.con)
