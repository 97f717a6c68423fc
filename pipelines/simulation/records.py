"""What a district's records say: the columns of a delivery as texts, before they have a place in a file.

Belongs here: periods, readings and months as records; registers, multipliers and units; columns that no entry names.
Does not belong here: what was used (``usage``), what is wrong with a record (``faults``), kinds of files (``layouts``).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import numpy as np

from pipelines.simulation.lines import (
    Field,
    Flags,
    Ints,
    Notation,
    date_of,
    day,
)
from pipelines.simulation.population import Population
from pipelines.simulation.refusal import cannot, shown_as
from pipelines.simulation.usage import Periods, delivered_decimals, first_of_each
from validations.district import BillMonth, District, RegisterReadings
from validations.layout import Delimited, field_of_register

_STREETS = [
    "Allée des Érables",
    "Chemin du Chêne",
    "Montée de l'Église",
    "Rue du Grand-Pré",
    "Rue Élisée",
    "Quai de l'Île",
]
_SIZES = ['5/8"', '3/4"', '1"', '1 1/2"', '2"']
_NOTES = ["", "gate locked\ncall first", 'lid says "valve",\nit is the meter']
_NOTE_ON_ONE_IN = 97


@dataclass
class Table:
    """The records of a delivery before they are written: columns by the entry's names for them, or by month.

    ``meter``: row of the population's meters. ``quantities``: names of the columns that hold volumes or readings, of which
    any may be spoilt if ``is_by_column``, else the first. ``dates``: name of a date column that can be spoilt, if there is
    one. ``unnamed``: columns that the district has and the entry does not name, by header. ``part``: in which of the
    delivery's files the record stands. ``period``: the row of ``Periods`` that it closes, -1 for none; with months, a column each.
    """

    fields: dict[str, Field]
    meter: Ints
    quantities: list[str]
    dates: str | None
    part: Ints
    period: Ints
    is_by_column: bool = False
    unnamed: dict[str, Field] = field(default_factory=dict)

    def take(self, rows: Ints) -> Table:
        return Table(
            {k: f.take(rows) for k, f in self.fields.items()}, self.meter[rows], self.quantities, self.dates,
            self.part[rows], self.period[rows], self.is_by_column, {k: f.take(rows) for k, f in self.unnamed.items()},
        )  # fmt: skip


def notation_of(entry: District) -> Notation:
    """How the district writes numbers."""
    return Notation(entry.volume.decimal_mark, entry.volume.thousands_mark, entry.volume.minus)


def written_decimals(entry: District) -> int:
    """Decimals that stand behind a decimal mark."""
    return 0 if entry.volume.implied_decimals else delivered_decimals(entry)


def table_of(population: Population, periods: Periods, billing_year: int) -> Table:
    """The records of a delivery in the order of the district's meters, without faults."""
    entry = population.entry
    if entry.month_columns is not None:
        table = _months_table(population, periods, billing_year, entry.month_columns.header_format)
    elif isinstance(entry.measure, RegisterReadings):
        table = _readings_table(population, periods, entry.measure)
    else:
        table = _usage_table(population, periods)
    named = entry.columns.named()
    fields = table.fields | _beside(population, table.meter)
    table.fields = {k: fields[k] for k in named if k in fields} | {
        k: f for k, f in table.fields.items() if k not in named
    }
    table.unnamed = {k: f for k, f in _unnamed(population, table.meter).items() if k not in named.values()}
    return table


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
    """Delivered whole numbers as the district writes them."""
    return Field.of_numbers(values, written_decimals(entry), notation_of(entry))


def _ids(population: Population, meter: Ints) -> dict[str, Field]:
    """Account and, where the layout has it, meter."""
    found = {"account": Field(population.meters["own_account"].tolist(), meter)}
    if population.entry.has_meter_ids:
        found["meter"] = Field(population.meters["meter_id"].tolist(), meter)
    return found


def _beside(population: Population, meter: Ints) -> dict[str, Field]:
    """What stands beside a volume to say what it means."""
    volume = population.entry.volume
    return {"unit": Field(list(volume.written_as) or [""], meter % max(len(volume.written_as), 1))}


def _unnamed(population: Population, meter: Ints) -> dict[str, Field]:
    """Columns that show what the layout says of its text: letters beyond ASCII, quotation marks, line breaks."""
    layout = population.entry.layout
    if not isinstance(layout, Delimited):
        return {}
    found = {}
    if layout.encoding in ("cp1252", "latin-1"):
        found["Rue"] = Field(_STREETS, meter % len(_STREETS))
    if layout.quotes == "none":
        sizes = np.searchsorted([12, 40, 120, 300], population.meters["winter_ccf"].to_numpy())
        found["Size"] = Field(_SIZES, sizes[meter])
    if layout.line_breaks_in_quotes and layout.quotes == "double":
        noted = (meter % _NOTE_ON_ONE_IN == 0) & first_of_each(meter)
        found["Note"] = Field(_NOTES, noted * (1 + meter // _NOTE_ON_ONE_IN % (len(_NOTES) - 1)))
    return found


def _by_register(population: Population, meter: Ints) -> tuple[Ints, Ints]:
    """Where registers are rows: for each row of the file, the record that it is a register of, and which one, from 0."""
    two = population.meters["low_percent"].to_numpy()[meter] > 0
    if population.entry.columns.register_id is None:
        two = np.zeros(len(meter), dtype=bool)
    of = np.arange(len(meter)).repeat(1 + two)
    return of, (np.append(-1, of[:-1]) == of).astype(np.int64)


def _of_registers(
    population: Population,
    name: str,
    values: Ints,
    meter: Ints,
    register: Ints,
    multiplier: Ints,
    size: int | None = None,
) -> dict[str, Field]:
    """A volume or reading as its registers show it: a row is one register, or has a column for each.

    ``values`` are the meter's, in delivered whole numbers; ``size`` is what a register shows at most, plus one.
    """
    entry, meters = population.entry, population.meters
    count = entry.columns.registers
    percent = meters["low_percent"].to_numpy()[meter]
    if entry.columns.register_id is None and count == 1:
        percent = np.zeros(len(meter), dtype=np.int64)
    step = multiplier if entry.columns.multiplier is not None else 1
    low = values * percent // 100
    shown = [np.where(register == 1, low, values - low), low]
    found = {}
    for place in range(1, count + 1):
        steps = shown[min(place, 2) - 1] // step
        content = _numbers(entry, steps if size is None else steps % size)
        if place > 1:
            content.set(np.flatnonzero((percent == 0) | (place > 2)), "")
        found[field_of_register(name, place)] = content
    return found


def _register_names(register: Ints, meter: Ints, population: Population) -> Field:
    is_compound = population.meters["low_percent"].to_numpy()[meter] > 0
    return Field(["", "HIGH", "LOW"], np.where(is_compound, 1 + register, 0))


def _last_months(ends: Ints, rule: BillMonth) -> Field:
    """The month that names a bill, for periods of so many calendar months of which one ends with April."""
    different, codes = np.unique(ends, return_inverse=True)
    labels = []
    for end in different:
        last = date_of(end - 1)
        month = last.year * 12 + last.month - 1
        month += (3 - month) % rule.months + (1 if rule.names == "month_after" else 0)
        labels.append(dt.date(month // 12, month % 12 + 1, 1).strftime(rule.format))
    return Field(labels, codes)


def _usage_table(population: Population, periods: Periods) -> Table:
    """A record per meter (or register) and period."""
    entry = population.entry
    of, register = _by_register(population, periods.meter)
    meter, start, end = periods.meter[of], periods.start[of], periods.end[of]
    final = end == population.meters["end"].to_numpy()[meter]
    # What was not read was not registered: where a read is estimated, the system knows of no other use.
    registered = np.where(periods.estimated, periods.billed, periods.registered)[of]
    multiplier = periods.multiplier[of]
    volumes = _of_registers(population, "volume", periods.billed[of], meter, register, multiplier)
    fields = _ids(population, meter) | {
        "register_id": _register_names(register, meter, population),
        "period_start": Field.of_days(start, entry.date_format),
        "period_end": Field.of_days(end - (1 if entry.period_end_is == "last_day" else 0), entry.date_format),
        "read_date": Field.of_days(end, entry.date_format),
        "days": Field.of_numbers(end - start),
        **volumes,
        **_of_registers(population, "registered_volume", registered, meter, register, multiplier),
        "multiplier": Field.of_numbers(multiplier),
        "read_type": _codes(entry, np.zeros(len(final), dtype=bool), final, periods.estimated[of]),
    }
    if entry.bill_month is not None:
        fields["bill_month"] = _last_months(end, entry.bill_month)
    named = entry.columns.named()
    dates = next(name for name in ("bill_month", "read_date", "period_end") if name in named)
    fields = {k: f for k, f in fields.items() if k in named}
    return Table(fields, meter, list(volumes), dates, np.zeros(len(meter), dtype=np.int64), of)


def _readings_table(population: Population, periods: Periods, measure: RegisterReadings) -> Table:
    """A record per meter (or register) and reading day; each meter begins with the reading that opens its first period."""
    entry, meters = population.entry, population.meters
    first = first_of_each(periods.meter)
    group = np.cumsum(first) - 1
    rows = np.arange(len(first))
    count = len(first) + int(first.sum())
    closes = rows + group + 1
    opens = (rows + group)[first]
    meter, days, shown, multiplier = np.empty((4, count), dtype=np.int64)
    estimated = np.zeros(count, dtype=bool)
    meter[closes], days[closes], shown[closes] = periods.meter, periods.end, periods.closing
    estimated[closes] = periods.estimated
    multiplier[closes], multiplier[opens] = periods.multiplier, periods.multiplier[first]
    meter[opens], days[opens] = periods.meter[first], periods.start[first]
    shown[opens] = (periods.closing - periods.billed)[first]
    of, register = _by_register(population, meter)
    meter, days, estimated, multiplier = meter[of], days[of], estimated[of], multiplier[of]
    opening = days == meters["start"].to_numpy()[meter]
    final = days == meters["end"].to_numpy()[meter]
    readings = _of_registers(population, "reading", shown[of], meter, register, multiplier, 10**measure.dials)
    fields = _ids(population, meter) | {
        "register_id": _register_names(register, meter, population),
        "read_date": Field.of_days(days, entry.date_format),
        **readings,
        "multiplier": Field.of_numbers(multiplier),
        "read_type": _codes(entry, opening, final, estimated),
    }
    named = entry.columns.named()
    fields = {k: f for k, f in fields.items() if k in named}
    closed = np.full(count, -1)
    closed[closes] = rows
    return Table(fields, meter, list(readings), "read_date", np.zeros(len(meter), dtype=np.int64), closed[of])


def _months_table(population: Population, periods: Periods, billing_year: int, header_format: str) -> Table:
    """A record per account (or meter) with a column per calendar month, empty where there was no service."""
    entry = population.entry
    if entry.columns.register_id is not None or entry.columns.registered_volume is not None:
        raise cannot(
            shown_as(entry), "month_columns", "with register_id or registered_volume beside it, it cannot be simulated."
        )
    first_months = [dt.date(billing_year - 1 + (4 + k) // 12, (4 + k) % 12 + 1, 1) for k in range(12)]
    starts = np.array([day(d.year, d.month, 1) for d in first_months])
    month = np.searchsorted(starts, periods.start, side="right") - 1
    row = np.cumsum(first_of_each(periods.meter)) - 1
    meter = periods.meter[first_of_each(periods.meter)]
    volume = np.zeros((len(meter), 12), dtype=np.int64)
    period = np.full((len(meter), 12), -1)
    np.add.at(volume, (row, month), periods.billed)
    period[row, month] = np.arange(len(row))
    fields = _ids(population, meter)
    if entry.columns.multiplier is not None:
        multiplier = population.meters["multiplier"].to_numpy()[meter]
        volume //= multiplier[:, np.newaxis]
        fields["multiplier"] = Field.of_numbers(multiplier)
    names = [d.strftime(header_format) for d in first_months]
    for k, name in enumerate(names):
        fields[name] = _numbers(entry, volume[:, k])
        if (period[:, k] < 0).any():
            fields[name].set(np.flatnonzero(period[:, k] < 0), "")
    if entry.columns.read_type is not None:
        nothing = np.zeros(len(meter), dtype=bool)
        fields["read_type"] = _codes(entry, nothing, nothing, nothing)
    return Table(fields, meter, names, None, np.zeros(len(meter), dtype=np.int64), period, is_by_column=True)
