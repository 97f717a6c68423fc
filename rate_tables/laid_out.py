"""A schedule laid out in rows: every setting, rate and share beside its source, for a person to read against the resolution.

Belongs here: what stands in a schedule's file, in words and figures; what differs between two of them.
Does not belong here: loading or checking schedules (``schedule``), printing (``pipelines.rates``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from rate_tables.charge import AnyCharge, CustomersOf, MinimumCharge, PercentCharge, PoundCharge, Tier, UnitCharge
from rate_tables.schedule import LoadedSchedule, Schedule
from rate_tables.terms import Cited

PER = {"edu_month": "EDU and month", "esu_month": "ESU and month", "account_month": "account and month"}
UNITS = {"ccf": "CCF", "cf": "cubic foot", "gal": "gallon", "hundred_gal": "hundred gallons",
         "thousand_gal": "thousand gallons", "m3": "cubic metre", "litre": "litre"}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One row: ``item`` names it, ``value`` is as in the file, ``counted`` says in what, ``source`` where it comes from."""

    part: str
    item: str
    value: str
    counted: str
    source: str
    title: str = ""
    """Of a charge, as its bill names it."""

    @property
    def number(self) -> Decimal | None:
        """The value, if it is a number."""
        try:
            return Decimal(self.value)
        except ArithmeticError:
            return None


def _customers(customers: CustomersOf) -> str:
    return ", ".join([*customers.classes, *customers.jurisdictions])


def _tiers(charge: UnitCharge, who: str, tiers: tuple[Tier, ...], counted: str) -> Iterator[Item]:
    named = f"{charge.code}, {who}" if who else charge.code
    for number, tier in enumerate(tiers, 1):
        item = f"{named}, tier {number}" if len(tiers) > 1 else named
        yield Item("charges", item, str(tier.rate), f"$ per {counted}", charge.source, charge.title)
        if tier.up_to is not None:
            yield Item("charges", f"{item}, up to", str(tier.up_to), f"{counted}, a month", charge.source, charge.title)


def _charge(charge: AnyCharge) -> Iterator[Item]:
    def item(name: str, value: object, counted: str) -> Item:
        return Item("charges", f"{charge.code}{name}", str(value), counted, charge.source, charge.title)

    if isinstance(charge, UnitCharge):
        counted = PER.get(charge.per) or UNITS[charge.per]
        for some in charge.rates:
            yield from _tiers(charge, _customers(some), some.in_tiers, counted)
        yield from _tiers(charge, "all others" if charge.rates else "", charge.of_the_others, counted)
        if charge.at_least is not None:
            yield item(", at least", charge.at_least, f"{counted}, a month")
    elif isinstance(charge, PoundCharge):
        yield item("", charge.rate, f"$ per pound of {charge.pollutant.upper()}")
        yield item(", domestic limit", charge.domestic_limit_mg_per_l, "mg/L")
        if charge.where_times_greater is not None:
            yield item(f", instead of {charge.instead_of} where greater than", charge.where_times_greater, "times")
        else:
            yield item(", without a measurement", charge.without_measurement, "")
    elif isinstance(charge, PercentCharge):
        yield item("", charge.percent, f"% of {', '.join(charge.of)}")
    elif isinstance(charge, MinimumCharge):
        yield item("", charge.minimum, f"$ a month at least for {', '.join(charge.of)}")
    if charge.applies_to != CustomersOf():
        yield item(", applies to", _customers(charge.applies_to), "")
    if charge.local_share is not None:
        yield item(", local share", charge.local_share, "of 1")


def _settings(part: str, name: str, value: Any, source: str) -> Iterator[Item]:
    """Rows of a part that is not charges, whatever its shape: a cited value carries its source to all below it."""
    if isinstance(value, Cited):
        yield from _settings(part, name, value.value, value.source)
    elif isinstance(value, BaseModel):
        source = getattr(value, "source", source)
        for key in type(value).model_fields:
            if key != "source" and getattr(value, key) is not None:
                yield from _settings(part, f"{name}.{key}" if name else key, getattr(value, key), source)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _settings(part, f"{name}.{key}", one, source)
    elif isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value):
        for number, one in enumerate(value, 1):
            yield from _settings(part, f"{name}.{number}", one, source)
    else:
        yield Item(part, name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value), "", source)


def charge_items(schedule: Schedule) -> list[Item]:
    """Rates, limits and shares."""
    found = [item for charge in schedule.charges for item in _charge(charge)]
    found += [
        Item("charges", f"{share.charge}, local share of {share.jurisdiction}", str(share.share), "of 1", share.source)
        for share in schedule.local_shares
    ]
    if schedule.local_share_where_none_is_listed:
        rest = schedule.local_share_where_none_is_listed
        found.append(Item("charges", "local share where none is listed", str(rest.value), "of 1", rest.source))
    return [
        *found,
        *_settings("charges", "term", schedule.term, ""),
        *_settings("charges", "rounding.line_decimals", schedule.rounding.line_decimals, ""),
    ]


def averaging_items(schedule: Schedule) -> list[Item]:
    """The averaging rule and its rounding."""
    rest = {name: getattr(schedule.rounding, name) for name in type(schedule.rounding).model_fields}
    rest.pop("line_decimals")
    return [
        *_settings("averaging", "", schedule.averaging, ""),
        *(item for name, value in rest.items() for item in _settings("averaging", f"rounding.{name}", value, "")),
    ]


def authority_items(loaded: LoadedSchedule) -> list[Item]:
    """The act, and from when it holds."""
    schedule = loaded.schedule
    head = {"file": loaded.file, "status": schedule.status, "effective": schedule.effective}
    return [
        *(Item("authority", name, str(value), "", "") for name, value in head.items()),
        *_settings("authority", "", schedule.authority, ""),
    ]


@dataclass(frozen=True)
class Change:
    """What differs between two schedules; ``before`` or ``after`` is empty where only one has the item."""

    part: str
    item: str
    counted: str
    before: str
    after: str
    percent: Decimal | None


def changes(before: Schedule, after: Schedule) -> list[Change]:
    """Every rate of both, and every setting that differs. ``percent`` to a tenth, where both are numbers and the first not 0."""

    def rows(schedule: Schedule) -> dict[tuple[str, str], Item]:
        return {(i.part, i.item): i for i in (*charge_items(schedule), *averaging_items(schedule))}

    old, new = rows(before), rows(after)
    found = []
    for key in [*old, *(key for key in new if key not in old)]:
        was, becomes = old.get(key), new.get(key)
        one = becomes or old[key]
        is_rate = one.part == "charges" and one.counted != ""
        if not is_rate and was and becomes and was.value == becomes.value:
            continue
        percent = None
        if was and becomes and was.number and becomes.number is not None:
            percent = ((becomes.number - was.number) / was.number * 100).quantize(Decimal("0.1"))
        found.append(Change(*key, one.counted, was.value if was else "", becomes.value if becomes else "", percent))
    return found
