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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from assets.built_sql import Built, built, sql_of
from assets.kept import OfDuckDB, as_typed, named_table
from assets.readers.any_layout import read_rows, read_sheet
from assets.readers.lines import forget_lines
from assets.readers.sheet import UnreadableFile
from assets.records.account_numbers import known_accounts, reference_rows, refused_references
from assets.records.comparison import classified_records, compares, may_be_repeated, repetitions
from assets.records.fields import text_records
from assets.records.values import number_text, thousandths, typed_records
from rate_tables.exact import stored_as
from rate_tables.looked_up import looked_up
from validations.district import District, RegisterReadings
from validations.reasons import REASONS
from validations.tables import CONSUMPTION, DELIVERY_TOTALS, METERS, REJECTED_ROWS
from validations.workspace import Year

_CYCLE_DAYS = {"monthly": (25, 36), "two_monthly": (52, 70), "quarterly": (80, 102), "mixed": (None, None)}
"""Typical length of a period: CalTRACK drops periods under 25 days, over 35 (monthly) or 70 (two-monthly)."""
_FEWEST_SWAPPED_DATES = 3
_LONGEST_RAW_TEXT = 4_000
_WITHOUT_DATE = "date_unreadable"
_WHERE = ["source_file", "source_row", "source_column"]
_TEXTS = ibis.schema({"source_file": "string", "source_row": "int64", "raw_text": "string"})
_PLACE = "place_of_a_table_7be2d05f4c914a36_{}_"
"""Stands for a table's name in SQL that is kept: no other text of it is like it."""
Made = Callable[..., ir.Table]
"""A function of tables, by name."""


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


def with_texts(classified: ir.Table, texts: ir.Table) -> ir.Table:
    """Records that are not consumption, with raw_text. Hardly any are, so no record carries its text along.

    ``texts``: the rows of all files as they stand there: source_file, source_row, raw_text.
    """
    left = classified.filter(classified.reason_code.notnull())
    return looked_up(left, texts, ["source_file", "source_row"], "raw_text")


def spans(consumption: ir.Table) -> ir.Table:
    """What each file's consumption spans: source_file, first_day, last_day, typical_days."""
    return consumption.group_by("source_file").agg(
        first_day=consumption.period_start.min(),
        last_day=consumption.period_end.max(),
        typical_days=stored_as(consumption.days.quantile(0.5), "int64"),
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
        self._temporary: list[tuple[str, str]] = []
        self._entry = self.entry.model_dump_json()

    def __getitem__(self, name: str) -> ir.Table:
        if not self._made:
            self._read()
        return self._made[name]

    def _kept(self, name: str, function: Made, told: object = (), **tables: ir.Table) -> ir.Table:
        """``function`` of ``tables``, computed now. ``told``: what else than the tables' types it depends on."""
        return self._created("TABLE", name, self._sql(name, function, told, tables))

    def _shown(self, name: str, function: Made, told: object = (), **tables: ir.Table) -> ir.Table:
        """The same, computed by whoever reads it."""
        return self._created("VIEW", name, self._sql(name, function, told, tables))

    def _sql(self, name: str, function: Made, told: object, tables: dict[str, ir.Table]) -> Built:
        """SQL is built once for all files of one layout: that takes longer than running it on a small one."""
        schemas = {n: table.schema() for n, table in tables.items()}
        found = built(
            ("front door", name, repr(told), *((n, tuple(schema.items())) for n, schema in schemas.items())),
            lambda: sql_of(
                function(**{n: ibis.table(schema, name=_PLACE.format(n)) for n, schema in schemas.items()}),
                OfDuckDB(self.con).to_sql,
            ),
        )
        sql = found.sql
        for n, table in tables.items():
            sql = sql.replace(_PLACE.format(n), table.get_name())
        return replace(found, sql=sql)

    def _created(self, kind: str, name: str, found: Built) -> ir.Table:
        unique = f"{name}_{uuid.uuid4().hex}"
        self._temporary.append((kind, unique))
        self.con.raw_sql(f'CREATE TEMP {kind} "{unique}" AS {as_typed(found.sql, found.schema)}')
        return named_table(self.con, unique, found.schema)

    def _together(self, name: str, parts: list[str], schema: ibis.Schema) -> ir.Table:
        """Tables of several files as one. ``parts``: SQL of each."""
        return self._created("VIEW", name, Built(" UNION ALL ".join(parts), schema, ()))

    def _asked(self, sql: str) -> list[tuple[Any, ...]]:
        return self.con.raw_sql(sql).fetchall()  # type: ignore[no-any-return]

    def _read(self) -> None:
        totals, typed, texts, unreadable = list[dict[str, Any]](), list[ir.Table](), list[str](), []
        sheets, others = self._cross_references_first()
        known: ir.Table | None = None
        left_of_sheets = list[ir.Table]()
        for file in (*sheets, *others):
            fact = self._fact(file)
            totals.append(fact)
            try:
                if file in sheets:
                    known, refused = self._cross_reference(file, fact, known)
                    left_of_sheets.append(refused)
                else:
                    records, source = self._records(file, fact, known)
                    typed.append(records)
                    texts.append(_text_sql(file, source))
            except UnreadableFile as error:
                fact |= {"unreadable": True, "message": str(error)}
                unreadable.append(self._unreadable(file.source_file, str(error)))

        taken, left = CONSUMPTION.empty(), REJECTED_ROWS.empty()
        if typed:
            classified = self._classified(typed)
            of_texts = self._together("texts", texts, _TEXTS)
            taken = self._shown(
                "consumption", partial(consumption, entry=self.entry), self._entry, classified=classified
            )
            left = self._shown("rejected_rows", self._rejected, self._entry, classified=classified, texts=of_texts)
            self._add_periods(totals, taken)
        if unreadable:
            left = left.union(REJECTED_ROWS.of_rows(unreadable))
        for refused in left_of_sheets:
            left = left.union(refused)
        self._made = {
            "consumption": taken,
            "meters": self._shown("meters", meters, consumption=taken) if typed else METERS.empty(),
            "rejected_rows": left,
            "delivery_totals": DELIVERY_TOTALS.of_rows(totals),
        }

    def _classified(self, typed: list[ir.Table]) -> ir.Table:
        """Records of all files, each consumption or with the reason why not."""
        tables = {"records": typed[0]}
        if len(typed) > 1:
            parts = [f'FROM "{table.get_name()}"' for table in typed]
            tables = {"records": self._together("records", parts, typed[0].schema())}
        if compares(self.entry):
            near = self._kept("near", may_be_repeated, **tables)
            tables["repeated"] = self._kept("repeated", partial(repetitions, entry=self.entry), self._entry, near=near)
        # Use between readings is found once; what else there is to tell takes no longer than reading it would.
        made = self._kept if isinstance(self.entry.measure, RegisterReadings) else self._shown
        return made("classified", partial(classified_records, entry=self.entry), self._entry, **tables)

    def _rejected(self, classified: ir.Table, texts: ir.Table) -> ir.Table:
        return rejected_rows(with_texts(classified, texts), self.entry.district)

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
        rows = self._kept(
            "reference",
            lambda source: reference_rows(replace(sheet, source=source), rule, reference),
            (self._entry, sheet.told, sheet.header),
            source=self._stored(sheet.source),
        )
        fact |= {"rows_in_file": sheet.rows_in_file, "rows_of_layout": sheet.rows_in_file}
        refused = self._shown(
            "refused_references",
            partial(self._refused_references, source_file=file.source_file),
            file.source_file,
            rows=rows,
        )
        return self._kept("known", known_accounts, reference_rows=rows), refused

    def _refused_references(self, rows: ir.Table, source_file: str) -> ir.Table:
        refused = refused_references(rows).mutate(
            source_file=ibis.literal(source_file),
            source_column=ibis.literal(""),
            delivered_quantity_thousandths=ibis.null("int64"),
        )
        return rejected_rows(refused, self.entry.district)

    def _stored(self, source: ir.Table) -> ir.Table:
        """What was read as a table of the database."""
        if isinstance(source.op(), ops.DatabaseTable):
            return source
        name = f"cells_{uuid.uuid4().hex}"
        self._temporary.append(("TABLE", name))
        self.con.create_table(name, source, temp=True)
        return named_table(self.con, name, source.schema())

    def _records(self, file: DeliveredFile, fact: dict[str, Any], known: ir.Table | None) -> tuple[ir.Table, ir.Table]:
        """The file's typed records, and its rows as they stand there. UnreadableFile if it has not the announced layout."""
        reference = self.entry.account_numbers.cross_reference
        if reference is not None and known is None:
            raise UnreadableFile(
                f"the cross-reference sheet {reference.files} was not delivered or cannot be read, so nobody knows whose "
                "accounts these are"
            )
        sheet = read_sheet(self.con, file.path, self.entry, self.scratch)
        source = self._stored(sheet.source)

        def typed_of(entry: District, source: ir.Table, known: ir.Table | None = None) -> ir.Table:
            texts = text_records(replace(sheet, source=source), entry, file.source_file)
            return typed_records(texts, entry, self.year, known)

        told = (self._entry, self.year.effective, file.source_file, sheet.told, sheet.header, sorted(sheet.blanks))
        tables = {"source": source} if known is None else {"source": source, "known": known}
        typed = self._kept("typed", partial(typed_of, self.entry), told, **tables)
        has_several = self.entry.month_columns is not None or self.entry.columns.registers > 1
        rows_of = "DISTINCT source_row" if has_several else "*"
        counted = f"count(*), count({rows_of}), sum(delivered_quantity_thousandths), count(*) FILTER (reason_code = '{_WITHOUT_DATE}')"
        ((records, rows, quantity, without_date),) = self._asked(f'SELECT {counted} FROM "{typed.get_name()}"')  # noqa: S608 - names of ours
        self._refuse_swapped_dates(typed_of, told, typed, without_date, tables)
        fact |= {
            "rows_in_file": sheet.rows_in_file, "rows_of_layout": sheet.rows_in_file - rows, "records": records,
            "delivered_quantity_thousandths": int(quantity or 0),
            "control_records": self._stated_records(sheet.control_records),
            "control_quantity_thousandths": self._stated_quantity(sheet.control_quantity),
        }  # fmt: skip
        return typed, source

    def _refuse_swapped_dates(
        self, typed_of: Made, told: object, typed: ir.Table, count: int, tables: dict[str, ir.Table]
    ) -> None:
        """UnreadableFile if dates that cannot be read (``count`` of them) all can with day and month exchanged: then those that can
        be read are wrong too."""
        written = self.entry.date_format
        if "%d" not in written or "%m" not in written or count < _FEWEST_SWAPPED_DATES:
            return
        swapped = written.replace("%d", "%!").replace("%m", "%d").replace("%!", "%m")
        other_way = self.entry.model_copy(update={"date_format": swapped})

        def still_unreadable(source: ir.Table, typed: ir.Table, **tables: ir.Table) -> ir.Table:
            wrong = typed.filter(typed.reason_code == _WITHOUT_DATE)
            again = typed_of(other_way, source.semi_join(wrong, "source_row"), **tables)
            return again.filter(again.reason_code == _WITHOUT_DATE).semi_join(wrong, _WHERE).agg(n=ibis._.count())

        still = self._shown("still_unreadable", still_unreadable, told, typed=typed, **tables)
        ((left,),) = self._asked(f'FROM "{still.get_name()}"')
        if count > 10 * left:
            raise UnreadableFile(
                f"{count:,} records have dates that cannot be read as {written} and can as {swapped}: day and month are exchanged"
            )

    def _add_periods(self, totals: list[dict[str, Any]], taken: ir.Table) -> None:
        """What each file's consumption spans."""
        found = self._shown("spans", spans, consumption=taken)
        of_files = {name: facts for name, *facts in self._asked(f'FROM "{found.get_name()}"')}
        for fact in totals:
            fact |= dict(zip(found.columns[1:], of_files.get(fact["source_file"], ()), strict=False))

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
        value = thousandths(number_text(cells.text, self.entry.volume), self.entry.volume, allow_negative=True).value
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
        for kind, name in reversed(self._temporary):
            self.con.raw_sql(f'DROP {kind} IF EXISTS "{name}"')
        forget_lines(self.con)


def _text_sql(file: DeliveredFile, source: ir.Table) -> str:
    """SQL of a file's rows as they stand there."""
    name = file.source_file.replace("'", "''")
    return f"SELECT '{name}' AS source_file, source_row, raw_text FROM \"{source.get_name()}\""  # noqa: S608 - a name of ours
