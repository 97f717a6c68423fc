"""One worked example of an averaging rule, through the code that bills.

Belongs here: laying one customer's water out in the tables that averaging reads, and reading what comes out.
Does not belong here: the shape of an example's file (``examples``), any arithmetic.

``averaged(con, rule, effective, customer)`` is called once per example, with an in-memory DuckDB connection
(``ibis.duckdb.connect()``), the schedule's averaging rule, the day on which the update takes effect, and a ``Customer`` whose
water is ``months`` or ``periods``. How the average is applied to a bill, ``rerating`` says.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from rate_tables.averaging import averages_of_services
from rate_tables.averaging_rule import AveragingRule, thousandths_of
from rate_tables.calendar_days import after_months
from rate_tables.fallbacks import undecided, with_fallbacks
from rate_tables.terms import Purpose
from rate_tables.volume_units import VolumeUnit

_LONG_AGO = dt.date(1990, 1, 1)
_NEVER = dt.date(9999, 12, 31)
_MILLION = 1_000_000


@dataclass(frozen=True)
class Period:
    """A service period: from the day of the opening read to the day of the closing read."""

    start: dt.date
    end: dt.date
    volume: Decimal
    is_estimated: bool = False
    meter: str = "M1"


@dataclass(frozen=True)
class Customer:
    """Who is averaged, and what is known of its water.

    ``months``: first day of a calendar month, and the volume of the whole month. Volumes are in ``volume_unit``, the rule's own
    if there is none; averages a month, in the rule's. ``meters``: purpose of a meter, domestic where none is named.
    """

    periods: tuple[Period, ...] = ()
    months: tuple[tuple[dt.date, Decimal], ...] = ()
    volume_unit: VolumeUnit | None = None
    meters: tuple[tuple[str, Purpose], ...] = ()
    customer_class: str = "single_family"
    billing_cycle: str = ""
    dwelling_units: int = 1
    edu: Decimal = Decimal(1)
    status: str = "active"
    volume_source: str = "district"
    service_start: dt.date | None = None
    occupant_since: dt.date | None = None
    prior_average: Decimal | None = None
    class_average: Decimal | None = None


@dataclass(frozen=True)
class Averaged:
    """What the rule makes of it: ``average`` a month in the rule's unit, None if it is held or excluded."""

    average: Decimal | None
    derivation: str
    derivation_note: str
    applied_as: str
    days_covered: int = 0
    months_counted: int = 0


def _table(rows: list[dict[str, Any]], types: dict[str, pa.DataType]) -> ir.Table:
    return ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))))


def _laid_out(customer: Customer, rule: AveragingRule) -> tuple[ir.Table, ir.Table, ir.Table, ir.Table]:
    """Consumption, what it serves, adjustments (none) and the one service."""
    text, day, number, truth = pa.string(), pa.date32(), pa.int64(), pa.bool_()
    whole_months = [Period(first, after_months(first, 1), volume) for first, volume in customer.months]
    purposes = dict(customer.meters)
    periods = [*customer.periods, *whole_months]
    account = {"district_id": "example", "district_account": "A"}
    consumption = [
        account | {
            "meter_id": p.meter, "period_start": p.start, "period_end": p.end, "days": (p.end - p.start).days,
            "registered_volume_thousandths": thousandths_of(p.volume), "billed_volume_thousandths": thousandths_of(p.volume),
            "volume_unit": customer.volume_unit or rule.unit.value,
            "read_type": "estimated" if p.is_estimated else "actual",
            "source_file": "example", "source_row": row, "source_column": "",
        }
        for row, p in enumerate(periods, 1)
    ]  # fmt: skip
    links = [
        account | {
            "service_id": "S", "meter_id": meter, "purpose": purposes.get(meter, "domestic"), "link_start": _LONG_AGO,
            "link_end": _NEVER, "share_from_millionths": 0, "share_to_millionths": _MILLION,
        }
        for meter in sorted({p.meter for p in periods})
    ]  # fmt: skip
    start = customer.service_start or _LONG_AGO
    service = {
        "service_id": "S", "customer_class": customer.customer_class, "jurisdiction": "", "billing_cycle": customer.billing_cycle,
        "dwelling_units": customer.dwelling_units, "edu_thousandths": thousandths_of(customer.edu), "status": customer.status,
        "service_start": start, "service_end": None, "occupant_since": customer.occupant_since or start,
        "volume_source": customer.volume_source,
    }  # fmt: skip
    meter = {"district_id": text, "district_account": text, "meter_id": text}
    period = {"period_start": day, "period_end": day}
    return (
        _table(consumption, meter | period | {
            "days": number, "registered_volume_thousandths": number, "billed_volume_thousandths": number, "volume_unit": text,
            "read_type": text, "source_file": text, "source_row": number, "source_column": text,
        }),
        _table(links, meter | {
            "service_id": text, "purpose": text, "link_start": day, "link_end": day, "share_from_millionths": number,
            "share_to_millionths": number,
        }),
        _table([], {
            "service_id": text, "district_id": text, "source_file": text, "source_row": number, "source_column": text,
            "adjusted_volume_thousandths": number, "is_left_out": truth,
        }),
        _table([service], {
            "service_id": text, "customer_class": text, "jurisdiction": text, "billing_cycle": text, "dwelling_units": number,
            "edu_thousandths": number, "status": text, "service_start": day, "service_end": day, "occupant_since": day,
            "volume_source": text,
        }),
    )  # fmt: skip


def averaged(con: Any, rule: AveragingRule, effective: dt.date, customer: Customer) -> Averaged:
    """The winter average of one customer under ``rule``, in the update that takes effect on ``effective``."""

    def known(volume: Decimal | None) -> ir.IntegerValue:
        return ibis.null("int64") if volume is None else ibis.literal(thousandths_of(volume), "int64")

    services = averages_of_services(*_laid_out(customer, rule), rule, effective)
    found = with_fallbacks(
        undecided(services).mutate(
            is_awaited=ibis.literal(False),
            prior_average_thousandths=known(customer.prior_average),
            prior_is_own=ibis.literal(customer.prior_average is not None),
            class_average_thousandths=known(customer.class_average),
        ),
        rule,
        effective,
    )
    figures = {
        "average": found.winter_average_thousandths,
        "days": found.days_covered.fill_null(0),
        "months": found.months_counted.fill_null(0),
    }
    texts = found.select(
        "derivation",
        "derivation_note",
        "applied_as",
        **{name: figure.cast("string") for name, figure in figures.items()},
    )
    (row,) = con.to_pyarrow(texts).to_pylist()
    average = None if row["average"] is None else Decimal(row["average"]).scaleb(-3)
    return Averaged(
        average, row["derivation"], row["derivation_note"], row["applied_as"], int(row["days"]), int(row["months"])
    )
