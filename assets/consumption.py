"""Consumption: every record of a district's files in the one canonical form, or in ``rejected_rows`` with a reason.

Belongs here: turning text fields into dates and volumes, register readings into use, telling duplicates from contradictions.
Does not belong here: reading files into fields (``readers``), which service a meter serves (``service_consumption``).

The front door: this stage takes files in, so it alone reads something that is not a table. It raises for nothing that is in
a file. Every record ends as consumption or as a rejected row; a check counts both against what was read.
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.deliveries import archived
from assets.readers import Sheet, UnreadableFile, read_sheet
from assets.stage import Making, Session, Slice, asset_facts, version_of, years_of
from assets.store import Stored
from rate_tables.exact import stored_as, whole
from rate_tables.looked_up import looked_up
from validations.district import (
    AtPosition,
    ColumnRef,
    District,
    RegisterReadings,
    Volume,
)
from validations.reasons import REASONS
from validations.tables import CONSUMPTION, DELIVERY_TOTALS, METERS, REJECTED_ROWS
from validations.workspace import Workspace, Year

_LONGEST_PERIOD_DAYS = 400
_LARGEST_VOLUME_THOUSANDTHS = 10_000_000_000
_LONGEST_FIELD = 200
_LONGEST_RAW_TEXT = 4_000


@ibis.udf.scalar.builtin(name="try_strptime", signature=(("string", "string"), "timestamp"))
def _try_strptime(text: str, date_format: str) -> dt.datetime:  # type: ignore[empty-body]
    """DuckDB's try_strptime: null where the text is not a date in that format."""


# Fields of a record, as text


def _index_of(reference: ColumnRef, field: str, header: list[str]) -> int:
    if isinstance(reference, AtPosition):
        return reference.position - 1
    name = reference if isinstance(reference, str) else field
    if name not in header:
        shown = ", ".join(h for h in header if h)[:300]
        raise UnreadableFile(f"the header lacks the column {name!r}; it has: {shown}")
    _is_once(name, header)
    return header.index(name)


def _is_once(name: str, header: list[str]) -> None:
    if header.count(name) > 1:
        raise UnreadableFile(f"the header has the column {name!r} {header.count(name)} times; which one counts?")


def _months(header: list[str], header_format: str) -> list[tuple[int, str, dt.date, dt.date]]:
    """Columns named like a month: index, name, first day, first day after."""
    found = []
    for index, name in enumerate(header):
        try:
            first = dt.datetime.strptime(name, header_format).date().replace(day=1)
        except ValueError:
            continue
        _is_once(name, header)
        found.append((index, name, first, (first + dt.timedelta(days=32)).replace(day=1)))
    if not found:
        raise UnreadableFile(f"no column is named like a month in the format {header_format!r}")
    return found


def text_records(sheet: Sheet, entry: District, source_file: str) -> ir.Table:
    """One row per record: source_file, source_row, source_column, raw_text, problem, and the entry's fields as text.

    A record is a row of the sheet, or a cell of it where months are columns (then with period_start and period_end dates).
    UnreadableFile if the header lacks a column.
    """
    rows = sheet.rows.mutate(source_file=ibis.literal(source_file))
    named = entry.columns.named()
    indexes = {field: _index_of(reference, field, sheet.header) for field, reference in named.items()}
    months = _months(sheet.header, entry.month_columns.header_format) if entry.month_columns else []

    texts = {field: rows.fields[index].fill_null("").strip() for field, index in indexes.items()}
    where = ["source_file", "source_row", "raw_text", "problem"]
    if not months:
        return rows.select(*where, source_column=ibis.literal(""), **texts)
    cells = rows.select(
        *where,
        **texts,
        cell=ibis.array(
            [
                ibis.struct(
                    {
                        "source_column": ibis.literal(name),
                        "volume": rows.fields[index].fill_null("").strip(),
                        "month_start": ibis.literal(first),
                        "month_end": ibis.literal(after),
                    }
                )
                for index, name, first, after in months
            ]
        ).unnest(),
    )
    return cells.unpack("cell")


# Text to values


@dataclass(frozen=True)
class _Value:
    """A value read from text, and which rows it could not be read in, by reason code in order."""

    value: ir.Value
    problems: list[tuple[ir.BooleanValue, str]]


def _date(text: ir.StringValue, date_format: str) -> _Value:
    parsed = _try_strptime(text, date_format).date()
    # DuckDB takes "infinity" for a date, and 18 for a year of four digits.
    unreadable = parsed.isnull() | (parsed.year() < 1000) | ~text.re_search("[0-9]")
    if not re.search(r"[^%A-Za-z]", date_format):
        # Without separators a digit that is missing would move the others: 2018113 is not a date.
        length = len(dt.date(2000, 12, 31).strftime(date_format))
        unreadable = unreadable | (text.length() != length)
    return _Value(parsed, [(unreadable, "date_unreadable")])


def _thousandths(
    text: ir.StringValue, volume: Volume, allow_negative: bool, largest: int = _LARGEST_VOLUME_THOUSANDTHS
) -> _Value:
    """Volume or reading in thousandths of the unit."""
    # A point where a comma is the decimal mark separates thousands: 1.234 is not one and a quarter.
    number = text.translate(",.", ".,") if volume.decimal_mark == "," else text
    if volume.implied_decimals:
        pattern, too_precise = r"^[+-]?[0-9]{1,15}$", ibis.literal(False)
        value = number.try_cast("int64") * 10 ** (3 - volume.implied_decimals)
    else:
        pattern, too_precise = r"^[+-]?[0-9]{1,12}(\.[0-9]*)?$", number.re_search(r"\.[0-9]{3}[0-9]*[1-9]")
        value = (number.try_cast("decimal(18, 3)") * 1000).cast("int64")
    problems = [
        (text == "", "volume_missing"),
        (~number.re_search(pattern), "volume_unreadable"),
        (too_precise, "volume_too_precise"),
        (value.abs() > largest, "volume_out_of_range"),
    ]
    if not allow_negative:
        problems.append((value < 0, "volume_negative"))
    return _Value(ibis.ifelse(number.re_search(pattern), value, ibis.null("int64")), problems)


def _read_type(records: ir.Table, entry: District) -> _Value:
    if entry.columns.read_type is None:
        return _Value(ibis.literal("unknown"), [])
    text = records.read_type
    known = [(text == code, meaning) for code, meaning in entry.read_types.items()]
    meaning = ibis.cases((text == "", entry.read_types.get("", "unknown")), *known, else_=ibis.null("string"))
    return _Value(meaning, [(meaning.isnull(), "read_type_unknown")])


def typed_records(records: ir.Table, entry: District, year: Year) -> ir.Table:
    """Text records with their values, and ``reason_code`` where one of them cannot be used.

    Columns: where it stands (source_*), raw_text, reason_code, district_account, meter_id, period_start, period_end (null
    start for a reading), registered_thousandths, delivered_quantity_thousandths, read_type.
    """
    account = records.account
    meter = records.meter if entry.has_meter_ids else ibis.literal("")
    allow_negative = entry.volume.negative == "credit"
    if is_reading := isinstance(entry.measure, RegisterReadings):
        quantity = _thousandths(
            records.reading, entry.volume, allow_negative, largest=10**entry.measure.dials * 1000 - 1
        )
    else:
        quantity = _thousandths(records.volume, entry.volume, allow_negative)
    registered = quantity
    if entry.columns.registered_volume is not None:
        registered = _thousandths(records.registered_volume, entry.volume, allow_negative=True)
    read_type = _read_type(records, entry)

    never: list[tuple[ir.BooleanValue, str]] = []
    if entry.month_columns:
        start, end = _Value(records.month_start, never), _Value(records.month_end, never)
    elif is_reading:
        start, end = _Value(ibis.null("date"), never), _date(records.read_date, entry.date_format)
    else:
        start = _date(records.period_start, entry.date_format)
        end = _date(records.period_end, entry.date_format)
        if entry.period_end_is == "last_day":
            end = _Value(stored_as(end.value + ibis.interval(days=1), "date"), end.problems)

    problems: list[tuple[ir.BooleanValue, str]] = [
        (records.raw_text.re_search(r"[\x00-\x08\x0b-\x1f\x7f]"), "control_character"),
        (account.re_search(r"[\t\n]") | meter.re_search(r"[\t\n]"), "control_character"),
        (account == "", "account_missing"),
        (account.re_search(r"^[=+@-]"), "account_is_formula"),
        ((account.length() > _LONGEST_FIELD) | (meter.length() > _LONGEST_FIELD), "field_too_long"),
        *start.problems,
        *end.problems,
        (end.value <= start.value, "period_backward"),
        (end.value.delta(start.value, unit="day") > _LONGEST_PERIOD_DAYS, "period_too_long"),
        (end.value > year.effective, "period_in_the_future"),
    ]
    if entry.month_columns:
        problems.append((records.volume == "", "empty_month"))
    problems += [*quantity.problems, *registered.problems, *read_type.problems]
    return records.select(
        "source_file", "source_row", "source_column", "raw_text",
        reason_code=ibis.cases((records.problem.notnull(), records.problem), *problems, else_=ibis.null("string")),
        district_account=account,
        meter_id=meter,
        period_start=start.value,
        period_end=end.value,
        registered_thousandths=registered.value,
        delivered_quantity_thousandths=quantity.value,
        read_type=read_type.value,
    )  # fmt: skip


# Rows that meet other rows


_WHERE = ["source_file", "source_row", "source_column"]


def _with_reason(records: ir.Table, found: ir.Table) -> ir.Table:
    """``records`` with ``reason_code`` set where ``found`` (source_* and code) names the row."""
    judged = looked_up(records, found, _WHERE, "code")
    return judged.mutate(reason_code=ibis.coalesce(judged.reason_code, judged.code)).drop("code")


def without_duplicates(records: ir.Table, entry: District) -> ir.Table:
    """Records where an exact repetition, and the same meter and period with other values, have their reason code.

    The first of equal rows (by file and row) stays. Of rows that contradict each other none stays, unless the entry says
    that they are registers to be added.
    """
    period = ["district_account", "meter_id", "period_start", "period_end"]
    everything = [*period, "registered_thousandths", "delivered_quantity_thousandths", "read_type"]
    good = records.filter(records.reason_code.isnull())
    if entry.exact_duplicate == "duplicate":
        # Only keys that stand more than once are ranked: ranking every row would sort the whole delivery.
        repeated = (
            _null_safe_keys(good, everything).group_by("row_key").agg(times=ibis._.count()).filter(ibis._.times > 1)
        )
        ranked = _null_safe_keys(good, everything).semi_join(repeated, "row_key")
        ranked = ranked.mutate(rank=ibis.row_number().over(group_by="row_key", order_by=_WHERE))
        again = ranked.filter(ranked.rank > 0).mutate(code=ibis.literal("exact_duplicate"))
        records = _with_reason(records, again)
        good = records.filter(records.reason_code.isnull())
    if entry.same_period_other_values == "refuse":
        keyed = _null_safe_keys(good, period)
        contradicting = (
            keyed.group_by("row_key")
            .agg(values=ibis._.delivered_quantity_thousandths.nunique(), times=ibis._.count())
            .filter((ibis._.times > 1) & ((ibis._["values"] > 1) | (entry.exact_duplicate == "duplicate")))
        )
        both = keyed.semi_join(contradicting, "row_key").mutate(code=ibis.literal("same_period_other_values"))
        records = _with_reason(records, both)
    return records


def _null_safe_keys(table: ir.Table, columns: list[str]) -> ir.Table:
    """``table`` with one text key of ``columns``; the separator is a control character, which no accepted row holds."""
    parts = [table[c].cast("string").fill_null("") for c in columns]
    return table.mutate(row_key=ibis.literal("\x1f").join(parts))


def use_between_readings(records: ir.Table, measure: RegisterReadings) -> ir.Table:
    """Register readings as use: each reading closes the period that the meter's reading before it opened.

    A first reading, or one that the district marks as opening, opens a period and has no use. A backward step is a rollover
    if the use it gives is at most ``rollover_at_most``; else it is refused, and so is the reading after it if that is at or
    above the one before, because then nobody can tell which of the three is wrong.
    """
    good = records.filter(records.reason_code.isnull())
    series = ibis.window(
        group_by=["district_account", "meter_id"], order_by=["period_end", "source_file", "source_row"]
    )
    reading = good.delivered_quantity_thousandths
    stepped = good.mutate(
        previous=reading.lag(1).over(series),
        before_previous=reading.lag(2).over(series),
        previous_opens=(good.read_type == "opening").lag(1).over(series),
        previous_date=good.period_end.lag(1).over(series),
    )
    full_turn = 10**measure.dials * 1000
    most = whole(measure.rollover_at_most, 3)

    def is_refused_step(now: ir.IntegerValue, before: ir.IntegerValue) -> ir.BooleanValue:
        return (now < before) & (now - before + full_turn > most)

    use = stepped.delivered_quantity_thousandths - stepped.previous
    rolled = (use < 0) & (use + full_turn <= most)
    opens = stepped.previous.isnull() | (stepped.read_type == "opening")
    doubtful = (
        ~stepped.previous_opens
        & is_refused_step(stepped.previous, stepped.before_previous)
        & (stepped.delivered_quantity_thousandths >= stepped.before_previous)
    )
    too_long = stepped.period_end.delta(stepped.previous_date, unit="day") > _LONGEST_PERIOD_DAYS
    measured = stepped.select(
        *_WHERE,
        code=ibis.cases(
            (opens, "opening_reading"),
            (is_refused_step(stepped.delivered_quantity_thousandths, stepped.previous), "reading_backward"),
            (doubtful.fill_null(False), "reading_backward"),
            (too_long, "period_too_long"),
            else_=ibis.null("string"),
        ),
        opened_on=stepped.previous_date,
        is_rollover=rolled.fill_null(False),
        use_thousandths=ibis.ifelse(rolled, use + full_turn, use),
    )
    used = looked_up(records, measured, _WHERE, "code", "opened_on", "is_rollover", "use_thousandths")
    return used.mutate(
        reason_code=ibis.coalesce(used.reason_code, used.code),
        period_start=used.opened_on,
        registered_thousandths=used.use_thousandths,
        billed_thousandths=used.use_thousandths,
        is_rollover=used.is_rollover.fill_null(False),
    )


def classified_records(records: ir.Table, entry: District) -> ir.Table:
    """Typed records of all files of a district, each consumption (reason_code null) or with the reason why not."""
    told_apart = without_duplicates(records, entry)
    if isinstance(entry.measure, RegisterReadings):
        return use_between_readings(told_apart, entry.measure)
    return told_apart.mutate(
        billed_thousandths=told_apart.delivered_quantity_thousandths, is_rollover=ibis.literal(False)
    )


# The tables that leave the front door


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
        value = _thousandths(cells.text, self.entry.volume, allow_negative=True).value
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

    def spec(name: str) -> dg.AssetOut:
        contract, text = _OUTPUTS[name]
        facts = asset_facts(contract, workspace)
        return dg.AssetOut(
            key=[name, entry.district], group_name="consumption", owners=facts["owners"], kinds=facts["kinds"],
            metadata=facts["metadata"], code_version=facts["code_version"],
            description=f"{text.format(name=entry.name)}. One row per {contract.row}.",
        )  # fmt: skip

    @dg.multi_asset(
        name=f"front_door_{entry.district}",
        outs={name: spec(name) for name in _OUTPUTS},
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
