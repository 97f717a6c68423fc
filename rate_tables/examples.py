"""Worked examples: bills and averages that somebody published, as files that a rate analyst can read.

Belongs here: the shape of ``rate_tables/<utility>/examples/*.yaml``, and running one through the code that bills.
Does not belong here: the arithmetic itself (``averaging``, ``charging``), printing (``pipelines.rates``).

One file is one example: what a source gives, and what it says comes out. A figure that the source does not give is left
out, and is then not compared.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from pydantic import Field

from rate_tables.averaging_example import Averaged, Customer, Period, averaged
from rate_tables.calendar_days import after_months
from rate_tables.charging import STRENGTH_COLUMNS, charge_lines, held_reasons, strength_column
from rate_tables.config_file import ConfigError, ExactNumber, Strict, load_config
from rate_tables.exact import whole
from rate_tables.rerating import bill_volume
from rate_tables.schedule import LoadedSchedule
from rate_tables.terms import MONTHS_PER_BILL, BillingFrequency, CustomerClass, Pollutant, Source
from rate_tables.volume_units import VolumeUnit

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Quantity = Annotated[ExactNumber, Field(ge=0, decimal_places=3)]
Volume = Annotated[ExactNumber, Field(decimal_places=3)]
Money = Annotated[ExactNumber, Field(decimal_places=2)]


class ExamplePeriod(Strict):
    """A service period: from the day of the opening read to the day of the closing read."""

    start: dt.date
    end: dt.date
    volume: Volume
    read_type: Literal["actual", "estimated"] = "actual"


class Given(Strict):
    """The customer and its water, as far as the source gives them.

    Its water is one of: ``average`` (a month, in the rule's unit; nothing is averaged then), ``months`` (volume of calendar
    months) or ``periods``. ``actual_volume``: what it used in the month that is billed, ``billed_month``, where the rule
    compares. Volumes of one bill and of an average are in the rule's unit.
    """

    customer_class: CustomerClass = "single_family"
    jurisdiction: str = "unincorporated"
    billing_frequency: BillingFrequency = "monthly"
    billing_cycle: str = ""
    edu: Quantity = Decimal(1)
    esu: Quantity = Decimal(1)
    strengths_mg_per_l: dict[Pollutant, Quantity] = {}
    volume_unit: VolumeUnit | None = None
    """Unit of the volumes below, where it is not the rule's."""
    average: Quantity | None = None
    months: dict[Month, Volume] = {}
    periods: tuple[ExamplePeriod, ...] = ()
    actual_volume: Volume | None = None
    billed_month: Month | None = None
    service_start: dt.date | None = None
    occupant_since: dt.date | None = None
    prior_average: Quantity | None = None
    class_average: Quantity | None = None


class Expected(Strict):
    """What the source says comes out. ``lines``: charge code -> dollars of one bill; others are not compared.

    ``average``: a month, in the rule's unit. ``billed_volume``: volume of the bill after the average is applied.
    ``held``: words that stand in the reason for which the bill is held.
    """

    average: Quantity | None = None
    derivation: str | None = None
    billed_volume: Quantity | None = None
    lines: dict[str, Money] = {}
    total: Money | None = None
    held: str | None = None


class Example(Strict):
    """One worked example. ``schedule``: the effective date, and so the file, of the schedule that it is of.

    ``billing_year``: the annual update that the average is of; without it, the year in which the schedule takes effect.
    """

    name: str
    source: Source
    schedule: dt.date
    billing_year: int | None = None
    given: Given = Given()
    expected: Expected


@dataclass(frozen=True)
class LoadedExample:
    """An example with the file it was read from and the schedule that it is of."""

    example: Example
    file: str
    schedule: LoadedSchedule


@dataclass(frozen=True)
class Outcome:
    """What the code that bills makes of an example. ``lines``: charge code -> dollars; ``held``: why there is no bill."""

    average: Decimal | None
    derivation: str
    billed_volume: Decimal | None
    lines: dict[str, Decimal]
    held: str | None

    @property
    def total(self) -> Decimal:
        return sum(self.lines.values(), Decimal(0))


def load_examples(folder: Path, schedules: list[LoadedSchedule]) -> list[LoadedExample]:
    """The examples beside a utility's schedules. ConfigError with a sentence for each that cannot be used."""
    loaded, wrong = [], []
    of_day = {one.schedule.effective: one for one in schedules}
    for path in sorted((folder / "examples").glob("*.yaml")):
        shown = f"rate_tables/{folder.name}/examples/{path.name}"
        try:
            example = load_config(Example, path, shown)
        except ConfigError as error:
            wrong.append(str(error))
            continue
        schedule = of_day.get(example.schedule)
        if schedule is None:
            dates = ", ".join(map(str, of_day)) or "none"
            wrong.append(
                f"{shown}: key schedule: {example.schedule} is not allowed; allowed: the effective date of a schedule "
                f"beside it ({dates})."
            )
            continue
        loaded.append(LoadedExample(example, shown, schedule))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return loaded


def _service(given: Given, bill_volume: Decimal | None) -> ir.Table:
    """One row: the customer as ``charging`` takes it."""
    strengths = {strength_column(pollutant): whole(value, 3) for pollutant, value in given.strengths_mg_per_l.items()}
    row = {
        "service_id": "example",
        "customer_class": given.customer_class,
        "jurisdiction": given.jurisdiction,
        "billing_frequency": given.billing_frequency,
        "edu_thousandths": whole(given.edu, 3),
        "esu_thousandths": whole(given.esu, 3),
        "bears_account_charges": True,
        "bill_volume_thousandths": None if bill_volume is None else whole(bill_volume, 3),
        **{column: strengths.get(column) for column in STRENGTH_COLUMNS},
    }
    texts = {"service_id", "customer_class", "jurisdiction", "billing_frequency"}
    types = {name: pa.string() if name in texts else pa.int64() for name in row} | {"bears_account_charges": pa.bool_()}
    return ibis.memtable(pa.Table.from_pylist([row], schema=pa.schema(list(types.items()))))


def _averaged(con: Any, loaded: LoadedExample) -> Averaged:
    """The average that the source gives, or the one that the rule makes of the water that it gives."""
    example, given = loaded.example, loaded.example.given
    rule = loaded.schedule.schedule.averaging
    if given.average is not None:
        return Averaged(given.average, "given", "", "")
    effective = example.schedule.replace(year=example.billing_year or example.schedule.year)
    customer = Customer(
        periods=tuple(Period(p.start, p.end, p.volume, p.read_type == "estimated") for p in given.periods),
        months=tuple((dt.date.fromisoformat(f"{month}-01"), volume) for month, volume in given.months.items()),
        volume_unit=given.volume_unit, customer_class=given.customer_class, billing_cycle=given.billing_cycle,
        edu=given.edu, service_start=given.service_start, occupant_since=given.occupant_since,
        prior_average=given.prior_average, class_average=given.class_average,
    )  # fmt: skip
    return averaged(con, rule, effective, customer)


def _bill_volume(con: Any, loaded: LoadedExample, found: Averaged) -> Decimal | None:
    """Volume of the bill: the average's, or what re-rating makes of it where the source gives the actual use."""
    given, rule = loaded.example.given, loaded.schedule.schedule.averaging
    months = MONTHS_PER_BILL[given.billing_frequency]
    if given.actual_volume is None or given.billed_month is None:
        return None if found.average is None else found.average * months
    start = dt.date.fromisoformat(f"{given.billed_month}-01")
    row = {
        "bill_start": start, "bill_end": after_months(start, months), "months_of_bill": months,
        "applied_as": found.applied_as or rule.applied.value.applied_as,
        "applied_in_months": ", ".join(map(str, rule.applied.value.months)),
        "other_months_billed_from": rule.applied.value.other_months or "",
        "average": None if found.average is None else whole(found.average, 3),
        "actual_volume_thousandths": whole(given.actual_volume, 3),
    }  # fmt: skip
    numbers = {"months_of_bill", "average", "actual_volume_thousandths"}
    types = {name: pa.int64() if name in numbers else pa.string() for name in row}
    types |= {"bill_start": pa.date32(), "bill_end": pa.date32()}
    bill = ibis.memtable(pa.Table.from_pylist([row], schema=pa.schema(list(types.items()))))
    effective = loaded.example.schedule.replace(year=loaded.example.billing_year or loaded.example.schedule.year)
    days = (after_months(effective, 12) - effective).days
    (rated,) = con.to_pyarrow(bill.select(volume=bill_volume(bill, bill.average, days))).to_pylist()
    return None if rated["volume"] is None else Decimal(rated["volume"]) / 1000


def run_example(con: Any, loaded: LoadedExample) -> Outcome:
    """The example, through the code that bills."""
    given, schedule = loaded.example.given, loaded.schedule
    unit = schedule.schedule.averaging.unit.value
    found = _averaged(con, loaded)
    volume = _bill_volume(con, loaded, found)
    service = _service(given, volume)
    lines: dict[str, Decimal] = {}
    if schedule.schedule.charges:
        for line in con.to_pyarrow(charge_lines(service, schedule, unit)).to_pylist():
            cents = Decimal(line["amount_cents"])
            lines[line["charge_code"]] = lines.get(line["charge_code"], Decimal(0)) + cents.scaleb(-2)
    held = con.to_pyarrow(held_reasons(service, schedule, unit)).to_pylist()
    return Outcome(found.average, found.derivation, volume, lines, held[0]["held_reason"] if held else None)


def differences(expected: Expected, outcome: Outcome) -> Iterator[str]:
    """What differs from what the source says, each as ``key: expected, computed``."""

    def compared(key: str, stated: object, computed: object) -> Iterator[str]:
        if stated is not None and stated != computed:
            yield f"{key}: the source says {stated}, computed is {'nothing' if computed is None else computed}"

    yield from compared("average", expected.average, outcome.average)
    yield from compared("derivation", expected.derivation, outcome.derivation)
    yield from compared("billed_volume", expected.billed_volume, outcome.billed_volume)
    for code, amount in expected.lines.items():
        yield from compared(f"lines.{code}", amount, outcome.lines.get(code))
    if expected.total is not None and outcome.held:
        yield f"total: the source says {expected.total}, but the bill is held: {outcome.held}"
    else:
        yield from compared("total", expected.total, outcome.total)
    if expected.held is not None and expected.held not in (outcome.held or ""):
        yield f"held: expected for {expected.held!r}, but {outcome.held or 'it is not held'}"
