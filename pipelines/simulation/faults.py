"""What is wrong with a delivery: the faults that real files have, put there on purpose and written down.

Belongs here: which records are spoilt and how, each on an account of its own that is otherwise plain.
Does not belong here: what a record says (``records``), irregular use (``usage``).
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import numpy as np

from pipelines.simulation.account_numbers import with_wrong_check_digit
from pipelines.simulation.lines import Flags, Ints, number_in, number_text
from pipelines.simulation.population import Population
from pipelines.simulation.records import Table, notation_of, written_decimals
from pipelines.simulation.usage import delivered_decimals

_OVERLAPPING_RECORDS = 3
_OTHER_UNITS = ("M3", "GAL", "CCF", "HCF")


class Fault(NamedTuple):
    """Something wrong in a delivery, put there on purpose. ``part``: in which of its files."""

    fault: str
    district_account: str
    part: int


class _Again(NamedTuple):
    """A record that stands once more: after which place, in which file, and its quantity if that is another one."""

    row: int
    place: float
    part: int
    quantity: str | None = None


def spoil(
    table: Table, population: Population, billing_year: int, parts: int, rng: np.random.Generator
) -> tuple[Table, list[Fault], Flags, Ints]:
    """Put the faults into a delivery of so many files.

    Returns the table, its faults, which meters' accounts the cross-reference sheet has to name, and which periods cannot be used.
    """
    entry, meters = population.entry, population.meters
    accounts = meters["account"].to_numpy(dtype=object)
    faults: list[Fault] = []
    in_sheet: Flags = meters["is_in_sheet"].to_numpy().copy()
    refused: list[Ints] = []
    part_of_meter = np.zeros(len(meters), dtype=np.int64)
    part_of_meter[table.meter] = table.part

    of_year = meters["scenario_year"].to_numpy() == billing_year
    without_zeros = np.flatnonzero((meters["scenario"] == "lost_zeros").to_numpy() & of_year)
    for meter in without_zeros[[accounts[m].startswith("0") for m in without_zeros]]:
        table.fields["account"].set(np.flatnonzero(table.meter == meter), accounts[meter].lstrip("0"))
        faults.append(Fault("lost_zeros", accounts[meter], int(part_of_meter[meter])))
        refused.append(table.period[table.meter == meter].ravel())
    strangers = np.flatnonzero((meters["role"] == "unmatched").to_numpy())
    faults += [Fault("unmatched_account", accounts[m], int(part_of_meter[m])) for m in strangers]

    rows_of_meter = np.bincount(table.meter, minlength=len(meters))
    enough = 1 if table.is_by_column else 4
    able = np.flatnonzero(meters["is_plain"].to_numpy() & (rows_of_meter >= enough))
    kinds = _kinds(table, population, parts, int(rng.integers(2, 5)))
    chosen = rng.choice(able, min(len(kinds), len(able)), replace=False)
    # A row in the middle of its meter's: what is wrong with a first reading is another matter.
    row = np.searchsorted(table.meter, chosen) + rows_of_meter[chosen] // 2
    again: list[_Again] = []
    for kind, at in zip(kinds, row.tolist(), strict=False):
        account, part = accounts[table.meter[at]], int(table.part[at])
        spoilable = table.quantities if table.is_by_column else table.quantities[:1]
        quantity = spoilable[int(rng.integers(len(spoilable)))]
        times = 1
        own_periods = np.atleast_1d(table.period[at])
        match kind:
            case "text_in_volume" if table.is_by_column:
                refused.append(own_periods[[table.quantities.index(quantity)]])
            case "text_in_volume" | "bad_date" | "unknown_unit" | "wrong_check_digit" | "same_period_other_values":
                refused.append(own_periods)
            case "not_in_cross_reference":
                refused.append(table.period[accounts[table.meter] == account].ravel())
        match kind:
            case "text_in_volume":
                table.fields[quantity].set(at, "n/a")
            case "bad_date" if table.dates is not None:
                table.fields[table.dates].set(at, _impossible_date(population, table.dates, billing_year))
            case "unknown_unit":
                table.fields["unit"].set(at, next(u for u in _OTHER_UNITS if u not in entry.volume.written_as))
            case "wrong_check_digit":
                own = table.fields["account"]
                own.set(at, with_wrong_check_digit(own.labels[own.codes[at]]))
            case "not_in_cross_reference":
                in_sheet &= accounts != account
            case "exact_duplicate":
                # The first comes again at the end of the file, the others at once.
                again.append(_Again(at, at + 0.5 if again else np.inf, part))
            case "overlapping_row":
                last = int(np.searchsorted(table.meter, table.meter[at], side="right"))
                rows = range(last - min(_OVERLAPPING_RECORDS, rows_of_meter[table.meter[at]]), last)
                part, times = (part + 1) % parts, len(rows)
                again += [_Again(one, one + 0.5, part) for one in rows]
            case "same_period_other_values":
                content, notation = table.fields[quantity], notation_of(entry)
                value = number_in(content.labels[content.codes[at]], notation) or 0
                more = int(rng.integers(2, 10)) * 10 ** delivered_decimals(entry)
                text = number_text(value + more, written_decimals(entry), notation)
                again.append(_Again(at, at + 0.5, part, text))
        faults += [Fault(kind, account, part)] * times

    count = len(table.meter)
    order = np.argsort(np.concatenate([np.arange(count), [one.place for one in again]]), kind="stable")
    table = table.take(np.concatenate([np.arange(count), [one.row for one in again]]).astype(np.int64)[order])
    stands_at = np.empty(len(order), dtype=np.int64)
    stands_at[order] = np.arange(len(order))
    for number, one in enumerate(again):
        place = int(stands_at[count + number])
        table.part[place] = one.part
        if one.quantity is not None:
            table.fields[table.quantities[0]].set(place, one.quantity)
    lost = np.concatenate([*refused, np.zeros(0, dtype=np.int64)])
    return table, faults, in_sheet, lost[lost >= 0]


def _kinds(table: Table, population: Population, parts: int, doubled: int) -> list[str]:
    """The faults that this district's files can have."""
    entry, numbers = population.entry, population.entry.account_numbers
    kinds = ["exact_duplicate"] * doubled if entry.exact_duplicate == "duplicate" else []
    kinds.append("text_in_volume")
    if table.dates is not None:
        kinds.append("bad_date")
    if entry.has_meter_ids and entry.same_period_other_values == "refuse" and not table.is_by_column:
        kinds.append("same_period_other_values")
    if entry.columns.unit is not None:
        kinds.append("unknown_unit")
    if numbers.check_digit is not None:
        kinds.append("wrong_check_digit")
    if numbers.cross_reference is not None and numbers.cross_reference.others == "refuse":
        kinds.append("not_in_cross_reference")
    if entry.exact_duplicate == "duplicate":
        kinds += ["overlapping_row"] * (parts - 1)
    return kinds


def _impossible_date(population: Population, column: str, billing_year: int) -> str:
    """30 February, or a thirteenth month, as the district would write it."""
    entry = population.entry
    if column == "bill_month" and entry.bill_month is not None:
        impossible = entry.bill_month.format.replace("%m", "13").replace("%b", "Xxx").replace("%B", "Xxxx")
        return dt.date(billing_year, 2, 1).strftime(impossible)
    return dt.date(billing_year, 2, 1).strftime(entry.date_format.replace("%d", "30"))
