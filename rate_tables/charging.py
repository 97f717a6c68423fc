"""Charges: from quantities to the lines of a bill.

Belongs here: quantity, rate and amount of each recurring charge, how it is shared with the jurisdiction, what a bill lacks.
Does not belong here: whether a bill may be sent (``assets.bills``), the figures (the schedule's file).

Every line is quantity x rate, rounded to the cent. A quantity is a whole number of thousandths; where it comes out of a
conversion, of pounds or of a share by days, it is rounded to one first.

The tables of services that come in here have: service_id, customer_class, jurisdiction, billing_frequency, edu_thousandths,
esu_thousandths, bears_account_charges (true for one service of each account), bill_volume_thousandths (of one bill; null if not
known), and for each pollutant a column like bod_mg_per_l_thousandths (null if not measured). Where a schedule rates only some
days of a bill they also have from_day, to_day, days: it rates those from from_day to to_day, of days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from math import gcd
from operator import add, and_, or_
from typing import get_args

import ibis
import ibis.expr.types as ir

from rate_tables.charge import (
    AnyCharge,
    CustomersOf,
    KnownOrNot,
    MinimumCharge,
    PercentCharge,
    PoundCharge,
    Tier,
    UnitCharge,
)
from rate_tables.exact import part_of, round_half_away, stored_as, whole, widened
from rate_tables.schedule import LoadedSchedule
from rate_tables.terms import MONTHS_PER_BILL, Pollutant
from rate_tables.volume_units import SIZE_8NL

_COUNTED = {
    "edu_month": "EDU-months",
    "esu_month": "ESU-months",
    "account_month": "account-months",
    "pound": "pounds",
}
"""What a charge is per -> unit of a line's quantity; a volume is in the unit of volume itself."""

_HUNDREDTHS_OF_POUNDS = 834
"""A million gallons of water with one milligram in each litre carry 8.34 pounds."""


def strength_column(pollutant: str) -> str:
    """Column with a service's measured strength."""
    return f"{pollutant}_mg_per_l_thousandths"


STRENGTH_COLUMNS = [strength_column(pollutant) for pollutant in get_args(Pollutant)]


def months_per_bill(services: ir.Table) -> ir.IntegerValue:
    """How many months a bill of each service is for."""
    months = ibis.cases(*((services.billing_frequency == name, n) for name, n in MONTHS_PER_BILL.items()))
    # The engine would take the literals for 32 bits, and their product with a rate with them.
    return stored_as(months, "int64")  # type: ignore[no-any-return]


def quantity_unit(charge: AnyCharge) -> str:
    """In what the quantity of the charge's lines is counted."""
    if isinstance(charge, PercentCharge):
        return "dollars"
    if isinstance(charge, MinimumCharge):
        return "dollars to the minimum"
    return _COUNTED.get(charge.per, charge.per)


@dataclass(frozen=True)
class _Line:
    """One line of each service, by the names of its columns. ``is_due``: the service pays this charge."""

    charge: AnyCharge
    tier: int

    def _named(self, what: str) -> str:
        return f"_{self.charge.code}_{self.tier}_{what}"

    @property
    def is_due(self) -> str:
        return self._named("is_due")

    @property
    def quantity(self) -> str:
        return self._named("quantity")

    @property
    def rate(self) -> str:
        return self._named("rate")

    @property
    def amount(self) -> str:
        return self._named("amount")


Due = tuple[ir.BooleanValue, ir.IntegerValue, ir.IntegerValue]
"""Whether a line is due, its quantity (null if not known), its rate (null if not known)."""


def _among(services: ir.Table, customers: CustomersOf) -> ir.BooleanValue:
    conditions = [ibis.literal(True)]
    if customers.classes:
        conditions.append(services.customer_class.isin(list(customers.classes)))
    if customers.jurisdictions:
        conditions.append(services.jurisdiction.isin(list(customers.jurisdictions)))
    return reduce(and_, conditions)


def _rate(rate: KnownOrNot | None) -> ir.IntegerValue:
    return ibis.literal(whole(rate, 4), "int64") if isinstance(rate, Decimal) else ibis.null("int64")


def _of_its_days(services: ir.Table, quantity: ir.IntegerValue) -> ir.IntegerValue:
    """The part of a bill's quantity that falls on the days of the schedule; such parts add to the whole quantity."""
    if "days" not in services.columns:
        return quantity
    return part_of(quantity, services.from_day, services.to_day, services.days)


def converted(volume: ir.IntegerValue, unit: str, to: str) -> ir.IntegerValue:
    """A volume in thousandths of ``unit``, in thousandths of ``to``, rounded."""
    numerator, denominator = SIZE_8NL[unit], SIZE_8NL[to]
    common = gcd(numerator, denominator)
    if denominator == common:
        return volume * (numerator // common)
    return round_half_away(widened(volume) * (numerator // common), denominator // common)


def _unit_lines(services: ir.Table, charge: UnitCharge, volume_unit: str) -> list[Due]:
    """One line per tier. A tier's quantity is what lies between its own end and that of the tier before."""
    due = _among(services, charge.applies_to)
    if charge.per == "account_month":
        due = due & services.bears_account_charges
    months = services._months
    quantity = {
        "edu_month": services.edu_thousandths * months,
        "esu_month": services.esu_thousandths * months,
        "account_month": 1000 * months,
    }.get(charge.per, services.bill_volume_thousandths)
    if charge.per in SIZE_8NL and charge.per != volume_unit:
        quantity = converted(quantity, volume_unit, charge.per)
    if charge.at_least is not None:
        least = whole(charge.at_least, 3) * months
        quantity = ibis.ifelse(quantity < least, least, quantity)
    quantity = _of_its_days(services, quantity)

    named = [(_among(services, one), one.in_tiers) for one in charge.rates]
    others = charge.of_the_others
    tiers = max(len(one) for one in (*(t for _, t in named), others))

    def rate_of(tier: int) -> ir.IntegerValue:
        def at(one: tuple[Tier, ...]) -> ir.IntegerValue:
            return _rate(one[tier].rate if tier < len(one) else None)

        return ibis.cases(*((who, at(one)) for who, one in named), else_=at(others)) if named else at(others)

    def end_of(tier: int) -> ir.IntegerValue:
        """Where the tier ends; at the quantity itself if it has no end."""

        def at(one: tuple[Tier, ...]) -> ir.IntegerValue:
            end = one[tier].up_to if tier < len(one) else None
            return quantity if end is None else ibis.least(quantity, _of_its_days(services, whole(end, 3) * months))

        return ibis.cases(*((who, at(one)) for who, one in named), else_=at(others)) if named else at(others)

    if tiers == 1:
        return [(due, quantity, rate_of(0))]
    ends = [ibis.literal(0, "int64"), *(end_of(tier) for tier in range(tiers))]
    return [
        (due & (ends[tier + 1] > ends[tier]) if tier else due, ends[tier + 1] - ends[tier], rate_of(tier))
        for tier in range(tiers)
    ]


def _takes_the_place(services: ir.Table, charge: PoundCharge, charges: Iterable[AnyCharge]) -> ir.BooleanValue:
    """Where ``charge`` stands instead of another one."""
    other = next(c for c in charges if isinstance(c, PoundCharge) and c.code == charge.instead_of)
    ours, theirs = services[strength_column(charge.pollutant)], services[strength_column(other.pollutant)]
    greater = ours * 1000 > theirs * whole(charge.where_times_greater or Decimal(0), 3)
    return (_among(services, charge.applies_to) & greater).fill_null(False)


def _pound_line(services: ir.Table, charge: PoundCharge, volume_unit: str, charges: Iterable[AnyCharge]) -> Due:
    strength = services[strength_column(charge.pollutant)]
    due = _among(services, charge.applies_to)
    if charge.instead_of is not None:
        due = _takes_the_place(services, charge, charges)
    elif charge.without_measurement == "domestic":
        due = due & strength.notnull()
    for other in charges:
        if isinstance(other, PoundCharge) and other.instead_of == charge.code:
            due = due & ~_takes_the_place(services, other, charges)
    limit = whole(charge.domestic_limit_mg_per_l, 3)
    excess = ibis.ifelse(strength > limit, strength - limit, strength * 0)
    numerator = SIZE_8NL[volume_unit] * _HUNDREDTHS_OF_POUNDS
    # Hundredths of 8.34, a million gallons, thousandths of mg/L; those of volume and of pounds cancel.
    denominator = SIZE_8NL["gal"] * 100 * 1_000_000 * 1000
    common = gcd(numerator, denominator)
    volume = widened(services.bill_volume_thousandths)
    pounds = round_half_away(volume * excess * (numerator // common), denominator // common)
    return due, _of_its_days(services, pounds), _rate(charge.rate)


def _dependent_line(services: ir.Table, charge: PercentCharge | MinimumCharge, lines: list[_Line]) -> Due:
    """A percentage of other lines, or what they lack to a minimum."""
    others = [line for line in lines if line.charge.code in charge.of]
    dollars = reduce(add, (ibis.ifelse(services[one.is_due], services[one.amount].fill_null(0), 0) for one in others))
    due = _among(services, charge.applies_to) & reduce(or_, (services[one.is_due] for one in others))
    if isinstance(charge, PercentCharge):
        return due, dollars * 10, _rate(charge.percent / 100)
    lacking = _of_its_days(services, whole(charge.minimum, 2) * services._months) - dollars
    return due & (lacking > 0), lacking * 10, _rate(Decimal(1))


def _with_lines(services: ir.Table, charges: tuple[AnyCharge, ...], volume_unit: str) -> tuple[ir.Table, list[_Line]]:
    """Services with the columns of every line beside them, and the lines in the order of the charges."""
    table = services.mutate(_months=months_per_bill(services))

    def added(table: ir.Table, found: dict[_Line, Due]) -> ir.Table:
        columns: dict[str, ir.Value] = {}
        for line, (due, quantity, rate) in found.items():
            columns |= {line.is_due: due, line.quantity: quantity, line.rate: rate}
        table = table.mutate(**columns)
        return table.mutate(
            **{line.amount: round_half_away(table[line.quantity] * table[line.rate], 100_000) for line in found}
        )

    found: dict[_Line, Due] = {}
    for charge in charges:
        if isinstance(charge, UnitCharge):
            units = _unit_lines(table, charge, volume_unit)
            found |= {_Line(charge, tier): due for tier, due in enumerate(units)}
        elif isinstance(charge, PoundCharge):
            found[_Line(charge, 0)] = _pound_line(table, charge, volume_unit, charges)
    table = added(table, found)
    lines = list(found)
    for charge in charges:
        if isinstance(charge, PercentCharge | MinimumCharge):
            line = _Line(charge, 0)
            table = added(table, {line: _dependent_line(table, charge, lines)})
            lines.append(line)
    place = {charge.code: number for number, charge in enumerate(charges)}
    return table, sorted(lines, key=lambda line: (place[line.charge.code], line.tier))


def _local_share(services: ir.Table, charge: AnyCharge, loaded: LoadedSchedule) -> ir.IntegerValue:
    """The jurisdiction's share of a charge, in millionths."""
    schedule = loaded.schedule
    otherwise = schedule.local_share_where_none_is_listed
    share = charge.local_share if charge.local_share is not None else otherwise.value if otherwise else Decimal(0)
    listed = [
        (services.jurisdiction == one.jurisdiction, ibis.literal(whole(one.share, 6), "int64"))
        for one in schedule.local_shares
        if one.charge == charge.code
    ]
    rest = ibis.literal(whole(share, 6), "int64")
    return ibis.cases(*listed, else_=rest) if listed else rest


def charge_lines(
    services: ir.Table, loaded: LoadedSchedule, volume_unit: str, key: tuple[str, ...] = ("service_id",)
) -> ir.Table:
    """One row per bill, charge and tier that is due and has quantity and rate. ``key``: columns that tell bills apart.

    ``volume_unit``: unit of bill_volume_thousandths. amount = quantity x rate, rounded to the cent; the jurisdiction's
    share is rounded, the regional part is the rest, so both add to the amount. Lines of bills that lack something are here
    too: ``held_reason`` says which bills those are.
    """
    table, lines = _with_lines(services, loaded.schedule.charges, volume_unit)
    found = []
    for line in lines:
        rows = table.filter(table[line.is_due] & table[line.amount].notnull())
        amount = rows[line.amount]
        local = round_half_away(amount * _local_share(rows, line.charge, loaded), 1_000_000)
        found.append(
            rows.select(
                *key,
                charge_code=ibis.literal(line.charge.code),
                tier=ibis.literal(line.tier + 1, "int64"),
                quantity_thousandths=rows[line.quantity],
                quantity_unit=ibis.literal(quantity_unit(line.charge)),
                rate_ten_thousandths=rows[line.rate],
                amount_cents=amount,
                regional_amount_cents=amount - local,
                local_amount_cents=local,
                schedule_file=ibis.literal(loaded.file),
            )
        )
    return ibis.union(*found)


def held_reasons(
    services: ir.Table, loaded: LoadedSchedule, volume_unit: str, key: tuple[str, ...] = ("service_id",)
) -> ir.Table:
    """One row per bill that lacks a rate or a quantity: ``key`` and held_reason."""
    table, lines = _with_lines(services, loaded.schedule.charges, volume_unit)
    reasons = []
    for line in lines:
        charge = line.charge
        due, quantity, rate = table[line.is_due], table[line.quantity], table[line.rate]
        lacking = f"{charge.title}: no volume is known"
        if isinstance(charge, PoundCharge):
            measured = table[strength_column(charge.pollutant)].notnull()
            reasons.append(
                (due & ~measured, ibis.literal(f"{charge.title}: no {charge.pollutant.upper()} was measured"))
            )
        reasons.append((due & quantity.isnull(), ibis.literal(lacking)))
        no_rate = ibis.literal(f"{charge.title}: no rate for ") + table.customer_class + " in " + table.jurisdiction
        reasons.append((due & rate.isnull() & (quantity != 0), no_rate + f" stands in {loaded.file}"))
    if not lines:
        reasons = [(ibis.literal(True), ibis.literal(f"{loaded.file} states no charges: its rates are not known"))]
    judged = table.select(*key, held_reason=ibis.cases(*reasons, else_=ibis.null("string")))
    return judged.filter(judged.held_reason.notnull())
