"""How a district writes it down: a delivery in the layout that the district's registry entry declares, with its faults.

Belongs here: one writer per kind of layout, driven by the entry alone; the faults that real files have.
Does not belong here: what was used (``usage``), whose it is (``population``, ``extract``).
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xlsxwriter

from pipelines.simulation.lines import (
    Field,
    Flags,
    Ints,
    day,
    encoded,
    number_text,
    quoted,
    whole_file,
    write_lines,
)
from pipelines.simulation.population import Population
from pipelines.simulation.usage import Periods, delivered_decimals, first_of_each
from rate_tables.config_file import ConfigError
from rate_tables.volume_units import UNIT_NAMES
from validations.district import (
    AtCharacters,
    AtPosition,
    Delimited,
    District,
    FixedWidth,
    RegisterReadings,
    Workbook,
)

_WORKBOOK_MADE = dt.datetime(2000, 1, 1)
_MOST_SHEET_ROWS = 1_048_576


class Fault(NamedTuple):
    """Something wrong in a delivery, put there on purpose."""

    fault: str
    district_account: str


class Delivered(NamedTuple):
    """A delivery that was written."""

    source_file: str
    rows: int
    faults: list[Fault]


@dataclass
class Table:
    """The records of a delivery before they are written: columns by the entry's names for them, or by month.

    ``meter``: row of the population's meters. ``quantities``: names of the columns that hold volumes or readings.
    ``dates``: name of a date column that can be spoilt, if there is one.
    """

    fields: dict[str, Field]
    meter: Ints
    quantities: list[str]
    dates: str | None

    def take(self, rows: Ints) -> Table:
        return Table({k: f.take(rows) for k, f in self.fields.items()}, self.meter[rows], self.quantities, self.dates)


def _code(entry: District, meaning: str) -> str:
    """The district's code for a kind of read; its code for an actual one if it has none; empty without codes."""
    for wanted in (meaning, "actual"):
        for code, means in entry.read_types.items():
            if means == wanted:
                return code
    return ""


def _codes(entry: District, opening: Flags, final: Flags, estimated: Flags) -> Field:
    """Read types of rows."""
    labels = [_code(entry, meaning) for meaning in ("actual", "estimated", "final", "opening")]
    return Field(labels, np.where(opening, 3, np.where(final, 2, np.where(estimated, 1, 0))))


def _numbers(entry: District, values: Ints) -> Field:
    """Delivered whole numbers as the district writes them: with its decimal mark, or with implied decimals."""
    decimals = 0 if entry.volume.implied_decimals else delivered_decimals(entry)
    return Field.of_numbers(values, decimals, entry.volume.decimal_mark)


def _ids(population: Population, meter: Ints) -> dict[str, Field]:
    """Account and, where the layout has it, meter."""
    found = {"account": Field(population.meters["account"].tolist(), meter)}
    if population.entry.has_meter_ids:
        found["meter"] = Field(population.meters["meter_id"].tolist(), meter)
    return found


def _usage_table(population: Population, periods: Periods) -> Table:
    """A record per meter and period."""
    entry = population.entry
    shown_end = periods.end - (1 if entry.period_end_is == "last_day" else 0)
    final = periods.end == population.meters["end"].to_numpy()[periods.meter]
    fields = _ids(population, periods.meter) | {
        "period_start": Field.of_days(periods.start, entry.date_format),
        "period_end": Field.of_days(shown_end, entry.date_format),
        "volume": _numbers(entry, periods.billed),
        "registered_volume": _numbers(entry, periods.registered),
        "read_type": _codes(entry, np.zeros(len(final), dtype=bool), final, periods.estimated),
    }
    named = entry.columns.named()
    return Table({k: f for k, f in fields.items() if k in named}, periods.meter, ["volume"], "period_end")


def _readings_table(population: Population, periods: Periods, measure: RegisterReadings) -> Table:
    """A record per meter and reading day; each meter begins with the reading that opens its first period."""
    entry, meters = population.entry, population.meters
    first = first_of_each(periods.meter)
    group = np.cumsum(first) - 1
    rows = np.arange(len(first))
    count = len(first) + int(first.sum())
    closes = rows + group + 1
    opens = (rows + group)[first]
    meter, days, shown = np.empty((3, count), dtype=np.int64)
    estimated = np.zeros(count, dtype=bool)
    meter[closes], days[closes], shown[closes] = periods.meter, periods.end, periods.closing
    estimated[closes] = periods.estimated
    meter[opens], days[opens] = periods.meter[first], periods.start[first]
    shown[opens] = (periods.closing - periods.billed)[first]
    opening = days == meters["start"].to_numpy()[meter]
    final = days == meters["end"].to_numpy()[meter]
    fields = _ids(population, meter) | {
        "read_date": Field.of_days(days, entry.date_format),
        "reading": _numbers(entry, shown % 10**measure.dials),
        "read_type": _codes(entry, opening, final, estimated),
    }
    named = entry.columns.named()
    return Table({k: f for k, f in fields.items() if k in named}, meter, ["reading"], "read_date")


def _months_table(population: Population, periods: Periods, billing_year: int, header_format: str) -> Table:
    """A record per account (or meter) with a column per calendar month, empty where there was no service."""
    first_months = [dt.date(billing_year - 1 + (4 + k) // 12, (4 + k) % 12 + 1, 1) for k in range(12)]
    starts = np.array([day(d.year, d.month, 1) for d in first_months])
    month = np.searchsorted(starts, periods.start, side="right") - 1
    row = np.cumsum(first_of_each(periods.meter)) - 1
    meter = periods.meter[first_of_each(periods.meter)]
    volume = np.zeros((len(meter), 12), dtype=np.int64)
    there = np.zeros((len(meter), 12), dtype=bool)
    np.add.at(volume, (row, month), periods.billed)
    there[row, month] = True
    fields = _ids(population, meter)
    names = [d.strftime(header_format) for d in first_months]
    for k, name in enumerate(names):
        fields[name] = _numbers(population.entry, volume[:, k])
        if not there[:, k].all():
            fields[name].set(np.flatnonzero(~there[:, k]), "")
    return Table(fields, meter, names, None)


def _impossible_date(date_format: str, billing_year: int) -> str:
    """30 February, as the district would write it."""
    return dt.date(billing_year, 2, 1).strftime(date_format.replace("%d", "30"))


def _spoil(
    table: Table, population: Population, billing_year: int, rng: np.random.Generator
) -> tuple[Table, list[Fault]]:
    """Put the faults into a delivery that real files have, each on an account of its own that is otherwise plain."""
    entry, meters = population.entry, population.meters
    faults: list[Fault] = []
    accounts = meters["account"].to_numpy(dtype=object)

    of_year = meters["scenario_year"].to_numpy() == billing_year
    lost = np.flatnonzero((meters["scenario"] == "lost_zeros").to_numpy() & of_year)
    for meter in lost[[accounts[m].startswith("0") for m in lost]]:
        table.fields["account"].set(np.flatnonzero(table.meter == meter), accounts[meter].lstrip("0"))
        faults.append(Fault("lost_zeros", accounts[meter]))
    faults += [Fault("unmatched_account", text) for text in accounts[(meters["role"] == "unmatched").to_numpy()]]

    rows_of_meter = np.bincount(table.meter, minlength=len(meters))
    enough = 1 if table.dates is None else 4
    able = np.flatnonzero(meters["is_plain"].to_numpy() & (rows_of_meter >= enough))
    doubled = int(rng.integers(2, 5))
    kinds = ["exact_duplicate"] * doubled + ["text_in_volume"]
    if table.dates is not None:
        kinds.append("bad_date")
    if entry.has_meter_ids:
        kinds.append("same_period_other_values")
    chosen = rng.choice(able, min(len(kinds), len(able)), replace=False)
    # A row in the middle of its meter's: what is wrong with a first reading is another matter.
    row = np.searchsorted(table.meter, chosen) + rows_of_meter[chosen] // 2
    again: list[tuple[int, float]] = []
    other_value: tuple[int, str] | None = None
    for kind, at in zip(kinds, row, strict=False):
        quantity = table.quantities[int(rng.integers(len(table.quantities)))]
        if kind == "text_in_volume":
            table.fields[quantity].set(int(at), "n/a")
        elif kind == "bad_date" and table.dates is not None:
            table.fields[table.dates].set(int(at), _impossible_date(entry.date_format, billing_year))
        elif kind == "exact_duplicate":
            # The first comes again at the end of the file, the others at once.
            again.append((int(at), float(at) + 0.5 if again else np.inf))
        else:
            field = table.fields[quantity]
            value = int(field.labels[field.codes[at]].replace(entry.volume.decimal_mark, ""))
            decimals = 0 if entry.volume.implied_decimals else delivered_decimals(entry)
            more = int(rng.integers(2, 10)) * 10 ** delivered_decimals(entry)
            other_value = len(again), number_text(value + more, decimals, entry.volume.decimal_mark)
            again.append((int(at), float(at) + 0.5))
        faults.append(Fault(kind, accounts[table.meter[at]]))

    count = len(table.meter)
    rows = np.concatenate([np.arange(count), [at for at, _ in again]]).astype(np.int64)
    order = np.argsort(np.concatenate([np.arange(count), [place for _, place in again]]), kind="stable")
    table = table.take(rows[order])
    if other_value is not None:
        table.fields[quantity_of(table)].set(int(np.flatnonzero(order == count + other_value[0])[0]), other_value[1])
    return table, faults


def quantity_of(table: Table) -> str:
    """The one column of volumes or readings."""
    return table.quantities[0]


def _file_name(entry: District, billing_year: int) -> str:
    """A name that matches the entry's pattern."""
    usual = {"delimited": ".csv", "fixed_width": ".txt", "workbook": ".xlsx"}[entry.layout.kind]
    stem = f"{entry.district}_{billing_year}"
    for name in (stem + usual, stem + Path(entry.files).suffix, entry.files.replace("*", stem)):
        if fnmatch.fnmatch(name, entry.files) and not set(name) & set("*?[]/"):
            return name
    raise ConfigError(
        f"districts/{entry.district}.yaml: key files: {entry.files!r} matches no name that the simulation can give; "
        f"use for example '*{usual}'."
    )


def _title(entry: District, billing_year: int) -> list[str]:
    """What stands above a header."""
    return [entry.name, f"Water consumption for billing year {billing_year}, in {UNIT_NAMES[entry.volume.unit]}"]


def _arranged(entry: District, table: Table) -> list[tuple[str, Field]]:
    """Header and column in the order of the file: columns by position where the entry says, the others around them."""
    named = entry.columns.named()
    placed: dict[int, tuple[str, Field]] = {}
    by_name: list[tuple[str, Field]] = []
    for name, field in table.fields.items():
        reference = named.get(name, name)
        if isinstance(reference, AtPosition):
            placed[reference.position] = (name.replace("_", " ").title(), field)
        else:
            by_name.append((str(reference), field))
    nothing = Field([""], np.zeros(len(table.meter), dtype=np.int64))
    columns: list[tuple[str, Field]] = []
    while placed or by_name:
        place = len(columns) + 1
        if place in placed:
            columns.append(placed.pop(place))
        else:
            columns.append(by_name.pop(0) if by_name else (f"Unused {place}", nothing))
    return columns


def _write_delimited(path: Path, entry: District, layout: Delimited, table: Table, billing_year: int) -> None:
    columns = _arranged(entry, table)
    above = [_title(entry, billing_year)[k] if k < 2 else "" for k in range(max(layout.header_row - 1, 0))]
    head = [quoted(text, layout.delimiter) for text in above]
    if layout.header_row:
        head.append(layout.delimiter.join(quoted(name, layout.delimiter) for name, _ in columns))
    with whole_file(path) as handle:
        handle.write(b"\xff\xfe" if layout.encoding == "utf-16" else b"")
        handle.write(encoded("".join(f"{line}\n" for line in head), layout.encoding))
        write_lines(handle, [field for _, field in columns], layout.delimiter, layout.encoding)


def _filled(entry: District, name: str, label: str, width: int, is_quantity: bool) -> str:
    """A field of a fixed-width record: numbers to the right with zeros before them, text to the left."""
    if len(label) > width:
        raise ConfigError(
            f"districts/{entry.district}.yaml: key columns.{name}.width: {width} is not enough for the simulated value "
            f"{label!r}; allowed: at least {len(label)}."
        )
    return label.zfill(width) if is_quantity and label.lstrip("-")[:1].isdigit() else label.ljust(width)


def _write_fixed_width(path: Path, entry: District, layout: FixedWidth, table: Table) -> None:
    count = len(table.meter)
    nothing = np.zeros(count, dtype=np.int64)
    pieces: list[Field] = [Field([layout.record_prefix], nothing)]
    at = len(layout.record_prefix) + 1
    references = {k: r for k, r in entry.columns.named().items() if isinstance(r, AtCharacters) and k in table.fields}
    for name, reference in sorted(references.items(), key=lambda item: item[1].start):
        if reference.start < at:
            raise ConfigError(
                f"districts/{entry.district}.yaml: key columns.{name}.start: {reference.start} lies inside the field "
                f"before it; allowed: at least {at}."
            )
        field = table.fields[name]
        is_quantity = name in table.quantities or name == "registered_volume"
        filled = [_filled(entry, name, label, reference.width, is_quantity) for label in field.labels]
        pieces += [Field([" " * (reference.start - at)], nothing), field.relabelled(filled)]
        at = reference.start + reference.width
    pieces.append(Field([" " * max(layout.record_length - at + 1, 0)], nothing))
    with whole_file(path) as handle:
        handle.write(b"\xff\xfe" if layout.encoding == "utf-16" else b"")
        write_lines(handle, pieces, encoding=layout.encoding)
        if entry.trailer is not None:
            line = list(entry.trailer.prefix.ljust(layout.record_length))
            total = _total(entry, table.fields[quantity_of(table)])
            for place, value in ((entry.trailer.count, count), (entry.trailer.total, total)):
                line[place.start - 1 : place.start - 1 + place.width] = f"{value:0{place.width}d}"
            handle.write(encoded("".join(line) + "\n", layout.encoding))


def _total(entry: District, field: Field) -> int:
    """Sum of what can be read in a column, in delivered whole numbers."""
    digits = [label.replace(entry.volume.decimal_mark, "") for label in field.labels]
    readable = [int(text) if text.lstrip("-").isdigit() else 0 for text in digits]
    times = np.bincount(field.codes, minlength=len(readable))
    return sum(value * int(n) for value, n in zip(readable, times, strict=True))


def _cell(label: str, mark: str) -> float | str | None:
    """What a spreadsheet makes of a text: a number where it can."""
    text = label.replace(mark, ".")
    return None if not label else float(text) if text.lstrip("-").replace(".", "", 1).isdigit() else label


def _write_workbook(path: Path, entry: District, layout: Workbook, table: Table, billing_year: int) -> None:
    if len(table.meter) + layout.header_row + 1 > _MOST_SHEET_ROWS:
        raise ConfigError(
            f"districts/{entry.district}.yaml: key layout.kind: a sheet holds at most {_MOST_SHEET_ROWS:,} rows and "
            "the simulated delivery has more; simulate fewer accounts or more districts."
        )
    columns = _arranged(entry, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    book = xlsxwriter.Workbook(str(beside), {"constant_memory": True})
    book.set_properties({"created": _WORKBOOK_MADE})
    sheet = book.add_worksheet(layout.sheet or "Consumption")
    for line, text in enumerate(_title(entry, billing_year)[: layout.header_row - 1]):
        sheet.write_string(line, 0, text)
    for column, (name, _) in enumerate(columns):
        sheet.write_string(layout.header_row - 1, column, name)
    # An account number without a restoring width and with a zero in front stays text, or it could not be matched.
    as_text = {name for name in ("account", "meter") if name == "meter" or layout.account_width is None}
    cells = []
    by_field = {id(field): name for name, field in table.fields.items()}
    for _, field in columns:
        name = by_field.get(id(field), "")
        numeric = (name in table.quantities or name in ("account", "registered_volume")) and name not in as_text
        values = [_cell(t, entry.volume.decimal_mark) if numeric else t or None for t in field.labels]
        cells.append(np.array(values, dtype=object)[field.codes])
    line = layout.header_row
    for record in zip(*cells, strict=True):
        for column, value in enumerate(record):
            if isinstance(value, float):
                sheet.write_number(line, column, value)
            elif value is not None:
                sheet.write_string(line, column, value)
        line += 1
    if layout.totals_label is not None:
        scale = 10 ** delivered_decimals(entry)
        for column, (_, field) in enumerate(columns):
            name = by_field.get(id(field), "")
            if name == "account":
                sheet.write_string(line, column, layout.totals_label)
            elif name in table.quantities:
                sheet.write_number(line, column, _total(entry, field) / scale)
    book.close()
    os.replace(beside, path)


def write_delivery(
    folder: Path, population: Population, periods: Periods, billing_year: int, rng: np.random.Generator
) -> Delivered:
    """Write the district's file of one billing year into ``folder``, in its own layout and with its faults."""
    entry, meters = population.entry, population.meters
    if entry.month_columns is not None:
        table = _months_table(population, periods, billing_year, entry.month_columns.header_format)
    elif isinstance(entry.measure, RegisterReadings):
        table = _readings_table(population, periods, entry.measure)
    else:
        table = _usage_table(population, periods)
    missing = (meters["scenario"] == "unmatched_service") & (meters["scenario_year"] == billing_year)
    if missing.any():
        table = table.take(np.flatnonzero(~missing.to_numpy()[table.meter]))
    table, faults = _spoil(table, population, billing_year, rng)
    path = folder / _file_name(entry, billing_year)
    match entry.layout:
        case Delimited():
            _write_delimited(path, entry, entry.layout, table, billing_year)
        case FixedWidth():
            _write_fixed_width(path, entry, entry.layout, table)
        case Workbook():
            _write_workbook(path, entry, entry.layout, table, billing_year)
    return Delivered(path.name, len(table.meter), faults)
